//! Text in a line of CEF or LEEF: what would end a value, a field, a line or an event there is written otherwise, and
//! what would act on a terminal is made visible, such as `<U+202E>`: it is evidence. So no value can start a key, a
//! field, a line or an event. The rules of each syntax are in `cef` and `leef`.

use muster_model::json::scan::{ByteSet, find};
use muster_model::json::{Text, unescape};

/// Where in a line a text goes. LEEF's delimiter is a byte of ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    CefHeader,
    CefValue,
    /// An item of a list in a value.
    CefItem,
    LeefHeader,
    LeefValue(u8),
    LeefItem(u8),
}

/// What becomes of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escaped {
    AsItIs,
    As(&'static str),
    /// Its number, such as `<U+0000>`.
    Visible,
}

impl Place {
    const fn wanted(self) -> ByteSet {
        let bytes = match self {
            Self::CefHeader => [b'\\', b'|', b'|'],
            Self::CefValue => [b'\\', b'=', b'='],
            Self::CefItem => [b'\\', b'=', b';'],
            Self::LeefHeader => [b'\\', b'|', b'|'],
            Self::LeefValue(delimiter) => [b'\\', delimiter, delimiter],
            Self::LeefItem(delimiter) => [b'\\', delimiter, b';'],
        };
        ByteSet { bytes, beyond_ascii: true }
    }

    #[inline(always)]
    fn written_as(self, character: char) -> Escaped {
        use Place::{CefHeader, CefItem, CefValue, LeefHeader, LeefItem, LeefValue};
        match (character, self) {
            ('\\', CefHeader | CefValue | CefItem) => Escaped::As("\\\\"),
            ('|', CefHeader) => Escaped::As("\\|"),
            ('=', CefValue | CefItem) => Escaped::As("\\="),
            (';', CefItem | LeefItem(_)) => Escaped::As("%3B"),
            ('\n' | '\r' | '\t', CefHeader | LeefHeader) | ('\t', CefValue | CefItem) => Escaped::As(" "),
            ('\n', _) => Escaped::As("\\n"),
            ('\r', _) => Escaped::As("\\r"),
            ('\t', _) => Escaped::As("\\t"),
            ('|', LeefHeader) => Escaped::Visible,
            (_, LeefValue(delimiter) | LeefItem(delimiter)) if character == char::from(delimiter) => {
                Escaped::Visible
            }
            _ if is_harmful(character) => Escaped::Visible,
            _ => Escaped::AsItIs,
        }
    }
}

/// Control characters, line and paragraph separators, and what turns the direction of writing.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends a text of our own or of the settings.
pub(crate) fn push(buffer: &mut Vec<u8>, text: &str, place: Place) {
    push_to::<false>(buffer, text, place);
}

/// Appends a text of Microsoft's, decoded.
pub(crate) fn push_text(buffer: &mut Vec<u8>, text: Text<'_>, place: Place) {
    push_to::<true>(buffer, text.as_written(), place);
}

/// Appends `text`, whose escapes of JSON, if it has them, are decoded.
fn push_to<const JSON: bool>(buffer: &mut Vec<u8>, text: &str, place: Place) {
    // Each place gets a loop of its own, in which what is special there is known.
    match place {
        Place::CefHeader => push_at::<JSON>(buffer, text, Place::CefHeader),
        Place::CefValue => push_at::<JSON>(buffer, text, Place::CefValue),
        Place::CefItem => push_at::<JSON>(buffer, text, Place::CefItem),
        Place::LeefHeader => push_at::<JSON>(buffer, text, Place::LeefHeader),
        Place::LeefValue(b'\t') => push_at::<JSON>(buffer, text, Place::LeefValue(b'\t')),
        Place::LeefItem(b'\t') => push_at::<JSON>(buffer, text, Place::LeefItem(b'\t')),
        other => push_at::<JSON>(buffer, text, other),
    }
}

#[inline(always)]
fn push_at<const JSON: bool>(buffer: &mut Vec<u8>, text: &str, place: Place) {
    let bytes = text.as_bytes();
    // What stands between these two is copied as it is.
    let (mut start, mut at) = (0, 0);
    while let Some(found) = find(bytes, at, place.wanted()) {
        let escaped = JSON && bytes[found] == b'\\';
        let Some((character, length)) = character_at(text, found, escaped) else { break };
        at = found + length;
        let written_as = place.written_as(character);
        let stays = match written_as {
            Escaped::AsItIs => !escaped,
            // Most often a backslash, which CEF and JSON write in the same way.
            Escaped::As(new) => {
                escaped && length == 2 && new.len() == 2 && new.as_bytes() == &bytes[found..at]
            }
            Escaped::Visible => false,
        };
        if stays {
            continue;
        }
        buffer.extend_from_slice(&bytes[start..found]);
        start = at;
        match written_as {
            Escaped::AsItIs => {
                buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Escaped::As(new) => buffer.extend_from_slice(new.as_bytes()),
            Escaped::Visible => {
                buffer.extend_from_slice(format!("<U+{:04X}>", u32::from(character)).as_bytes());
            }
        }
    }
    buffer.extend_from_slice(bytes.get(start..).unwrap_or_default());
}

/// The character at a place in `text`, or that which the escape there means, and how many bytes it takes.
#[inline(always)]
fn character_at(text: &str, at: usize, escaped: bool) -> Option<(char, usize)> {
    if !escaped {
        let character = text.get(at..)?.chars().next()?;
        return Some((character, character.len_utf8()));
    }
    if text.as_bytes().get(at + 1) == Some(&b'\\') {
        return Some(('\\', 2));
    }
    Some(unescape(text.get(at..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Place, push, push_text};
    use muster_model::json::Text;

    const PLACES: [Place; 7] = [
        Place::CefHeader,
        Place::CefValue,
        Place::CefItem,
        Place::LeefHeader,
        Place::LeefValue(b'\t'),
        Place::LeefValue(b'^'),
        Place::LeefItem(b'\t'),
    ];

    fn written(text: &str, place: Place) -> String {
        let mut buffer = Vec::new();
        push(&mut buffer, text, place);
        String::from_utf8(buffer).expect("text")
    }

    #[test]
    fn each_place_has_its_rules() {
        let hostile = "a\\b|c=d;e\r\nf\tg\0h\u{85}i\u{2028}j\u{202e}k^l\u{a0}é😀–";
        let tail = "h<U+0085>i<U+2028>j<U+202E>k^l\u{a0}é😀–";
        let caret = "h<U+0085>i<U+2028>j<U+202E>k<U+005E>l\u{a0}é😀–";
        for (place, expected) in PLACES.into_iter().zip([
            format!("a\\\\b\\|c=d;e  f g<U+0000>{tail}"),
            format!("a\\\\b|c\\=d;e\\r\\nf g<U+0000>{tail}"),
            format!("a\\\\b|c\\=d%3Be\\r\\nf g<U+0000>{tail}"),
            format!("a\\b<U+007C>c=d;e  f g<U+0000>{tail}"),
            format!("a\\b|c=d;e\\r\\nf\\tg<U+0000>{tail}"),
            format!("a\\b|c=d;e\\r\\nf\\tg<U+0000>{caret}"),
            format!("a\\b|c=d%3Be\\r\\nf\\tg<U+0000>{tail}"),
        ]) {
            assert_eq!(written(hostile, place), expected, "{place:?}");
        }
    }

    #[test]
    fn half_a_character_and_a_broken_escape_are_replaced() {
        for (text, expected) in [("a\\ud800b", "a\u{fffd}b"), ("a\\", "a\u{fffd}"), ("\\u12", "\u{fffd}12")] {
            let mut buffer = Vec::new();
            push_text(&mut buffer, Text::as_in_json(text), Place::CefValue);
            assert_eq!(String::from_utf8(buffer).expect("text"), expected);
        }
    }

    proptest! {
        #[test]
        fn a_text_of_json_is_written_as_its_meaning_is(
            text in prop_oneof![any::<String>(), "[a-c\\\\=|;\t\n\"/^é–😀\u{202e}\u{0}]{0,60}"],
        ) {
            let json = serde_json::to_string(&text).expect("a string");
            for place in PLACES {
                let mut buffer = Vec::new();
                push_text(&mut buffer, Text::as_in_json(&json[1..json.len() - 1]), place);
                prop_assert_eq!(String::from_utf8(buffer).expect("text"), written(&text, place));
            }
        }
    }
}
