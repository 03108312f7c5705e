//! Texts, numbers and whole values as JSON.

use memchr::memchr2;
use muster_model::TenantLabel;
use muster_model::json::Text;
use muster_model::json::scan::{ByteSet, find, is_plain_escape};

/// What has to be looked at in a text that stands between quotes in JSON already.
const ESCAPES: ByteSet = ByteSet { bytes: [b'\\'; 3], beyond_ascii: false };

/// Appends a text of Microsoft's as a JSON string. What Microsoft wrote is copied as it stands when that is right, and
/// decoded and written anew when it is not: half a surrogate pair, an escape that JSON does not have, a bare control
/// character.
pub(crate) fn push_text(buffer: &mut Vec<u8>, text: Text<'_>) {
    let written = text.as_written();
    if is_right(written) {
        push_written(buffer, written);
    } else {
        push_string(buffer, &text.decoded());
    }
}

/// Appends what may stand between quotes as it is.
#[inline]
pub(crate) fn push_written(buffer: &mut Vec<u8>, written: &str) {
    buffer.reserve(written.len() + 2);
    buffer.push(b'"');
    buffer.extend_from_slice(written.as_bytes());
    buffer.push(b'"');
}

/// Appends `text` as a JSON string.
pub(crate) fn push_string(buffer: &mut Vec<u8>, text: &str) {
    if find(text.as_bytes(), 0, ByteSet::IN_JSON).is_none() {
        push_written(buffer, text);
    } else {
        serde_json::to_writer(buffer, text).expect("a string is JSON, and memory takes it");
    }
}

/// Appends a whole number.
pub(crate) fn push_number(buffer: &mut Vec<u8>, number: i64) {
    buffer.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a JSON text as one line. Newlines can only stand between its tokens, since strings hold none, and a space
/// means the same there.
pub(crate) fn push_line(buffer: &mut Vec<u8>, json: &str) {
    let start = buffer.len();
    buffer.extend_from_slice(json.trim_ascii().as_bytes());
    let mut rest = &mut buffer[start..];
    while let Some(at) = memchr2(b'\n', b'\r', rest) {
        rest[at] = b' ';
        rest = &mut rest[at + 1..];
    }
}

/// The tenant's Entra id, in lower case.
pub(crate) fn tenant_id<'b>(tenant: &TenantLabel, buffer: &'b mut [u8; 36]) -> &'b str {
    tenant.id.as_uuid().as_hyphenated().encode_lower(buffer)
}

/// Whether `written` may stand between quotes in JSON as it is.
pub(crate) fn is_right(written: &str) -> bool {
    let bytes = written.as_bytes();
    let mut at = 0;
    while let Some(found) = find(bytes, at, ESCAPES) {
        at = found
            + match (bytes[found], bytes.get(found + 1)) {
                (b'\\', next) if is_plain_escape(next) => 2,
                // A surrogate is written anew, which also says whether its other half is there.
                (b'\\', Some(b'u')) => match bytes.get(found + 2..found + 6) {
                    Some(digits)
                        if digits.iter().all(u8::is_ascii_hexdigit)
                            && !matches!(digits, [b'd' | b'D', b'8'..=b'f', ..]) =>
                    {
                        6
                    }
                    _ => return false,
                },
                _ => return false,
            };
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_right, push_number, push_string, push_text};
    use muster_model::json::Text;

    #[test]
    fn odd_texts_are_told_from_right_ones() {
        for right in ["", "a\\n\\\"\\\\\\/\\u00e9", "😀", "C:\\\\x"] {
            assert!(is_right(right), "{right}");
        }
        for odd in ["\n", "\\q", "\\", "\\u12", "\\ud800", "\\uDC00x", "\\ud83d\\ude00"] {
            assert!(!is_right(odd), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_what_it_is(text in prop_oneof![any::<String>(), "[a-d\\\\\"\n\u{1}é😀]{0,70}"], escaped in any::<bool>()) {
            let mut buffer = Vec::new();
            if escaped {
                // Every character as an escape, surrogates in pairs.
                let written: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                push_text(&mut buffer, Text::as_in_json(&written));
            } else {
                push_string(&mut buffer, &text);
            }
            prop_assert_eq!(serde_json::from_slice::<String>(&buffer).expect("JSON"), text);
        }

        #[test]
        fn numbers_are_numbers(number in any::<i64>()) {
            let mut buffer = Vec::new();
            push_number(&mut buffer, number);
            prop_assert_eq!(buffer, number.to_string().into_bytes());
        }
    }
}
