//! What stands in a JSON string, and what escapes in it mean.

use std::borrow::Cow;

use memchr::memchr;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::scan::string_end;

/// The text of a JSON string, number or boolean, as written: escapes of strings are still in place. Empty when
/// there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// A text as it stands in JSON between quotes: escapes are still in place.
    #[inline]
    pub const fn as_in_json(text: &'a str) -> Self {
        Self(text)
    }

    /// Whether there is nothing to show: missing, null, of a type that has no text, or only blanks.
    #[inline]
    pub fn is_blank(self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_whitespace())
    }

    /// This text, or the other when this one is blank.
    #[inline]
    pub fn or(self, other: Self) -> Self {
        if self.is_blank() { other } else { self }
    }

    /// The text as written. The same as its meaning for whatever needs no escapes: enum values, ids, times.
    #[inline]
    pub fn as_written(self) -> &'a str {
        self.0
    }

    /// The text after the last `separator`, or all of it.
    #[inline]
    pub fn after_last(self, separator: char) -> Self {
        Self(self.0.rsplit_once(separator).map_or(self.0, |(_, tail)| tail))
    }

    /// The text after the first `separator`; empty when it does not occur.
    #[inline]
    pub fn after_first(self, separator: char) -> Self {
        Self(self.0.split_once(separator).map_or("", |(_, tail)| tail))
    }

    /// The parts between `separators`, without the blanks around them and without blank ones.
    #[inline]
    pub fn split(self, separators: &[char]) -> Vec<Self> {
        self.0.split(separators).map(str::trim).filter(|part| !part.is_empty()).map(Self).collect()
    }

    /// The decoded text; borrowed when it has no escapes.
    #[inline]
    pub fn decoded(self) -> Cow<'a, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(self.0);
        }
        let mut all = String::with_capacity(self.0.len());
        self.pieces(|piece| all.push_str(piece));
        Cow::Owned(all)
    }

    /// Calls `on_piece` with the decoded text, piece by piece. Half a surrogate pair decodes to U+FFFD.
    #[inline]
    pub fn pieces(self, mut on_piece: impl FnMut(&str)) {
        let mut rest = self.0;
        while let Some(at) = memchr(b'\\', rest.as_bytes()) {
            if at > 0 {
                on_piece(&rest[..at]);
            }
            let (character, length) = unescape(&rest[at..]);
            on_piece(character.encode_utf8(&mut [0; 4]));
            rest = rest.get(at + length..).unwrap_or_default();
        }
        if !rest.is_empty() {
            on_piece(rest);
        }
    }
}

/// The character that the escape at the start of `text` means, and how many bytes it takes.
#[inline]
pub fn unescape(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        text.get(at..at + 4)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let Some(letter) = text[1..].chars().next() else {
        return (char::REPLACEMENT_CHARACTER, 1);
    };
    let character = match letter {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let Some(high) = unit(2) else {
                return (char::REPLACEMENT_CHARACTER, 2);
            };
            if let 0xd800..0xdc00 = high
                && text.get(6..8) == Some("\\u")
                && let Some(low @ 0xdc00..0xe000) = unit(8)
            {
                let pair = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return (char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
            }
            return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
        }
        // `\"`, `\\`, `\/`, and whatever else was let through.
        other => other,
    };
    (character, 1 + letter.len_utf8())
}

/// The text of a JSON value that is a string or a number; `None` for anything else, `null` and half a surrogate pair
/// included.
#[must_use]
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => {
            let inner = value.get(1..value.len().checked_sub(1)?)?;
            if memchr(b'\\', inner.as_bytes()).is_none() {
                return Some(Cow::Borrowed(inner));
            }
            serde_json::from_str(value).ok().map(Cow::Owned)
        }
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

/// Reads an answer of a server that a strict parser may refuse for a flaw that [`lenient`] mends. The answer may hold a
/// secret, so a mended copy is wiped.
///
/// # Errors
/// What the parser said of the answer as it came.
pub fn from_answer<T: DeserializeOwned>(answer: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(answer).or_else(|error| {
        let mended = Zeroizing::new(lenient(answer).into_owned());
        serde_json::from_str(&mended).map_err(|_| error)
    })
}

/// An answer as a parser takes it that forgives nothing: without a byte-order mark in front, with bare control
/// characters in strings escaped, and what is not UTF-8 replaced. Borrowed when there is nothing to mend.
#[must_use]
pub fn lenient(answer: &[u8]) -> Cow<'_, str> {
    let answer = String::from_utf8_lossy(answer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer));
    let bytes = answer.as_bytes();
    let (mut mended, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(quote) = memchr(b'"', bytes.get(at..).unwrap_or_default()) {
        let start = at + quote + 1;
        let (end, clean) = string_end(bytes, start).unwrap_or((bytes.len(), false));
        if !clean {
            for (place, byte) in (start..end).zip(&bytes[start..end]).filter(|(_, byte)| **byte < 0x20) {
                mended.push_str(&answer[copied..place]);
                mended.push_str(&format!("\\u{byte:04x}"));
                copied = place + 1;
            }
        }
        at = end + 1;
    }
    if copied == 0 {
        return answer;
    }
    mended.push_str(&answer[copied..]);
    Cow::Owned(mended)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::{from_answer, lenient, text};

    #[test]
    fn text_of_strings_and_numbers() {
        assert_eq!(text(r#""a\nb""#).as_deref(), Some("a\nb"));
        assert_eq!(text("12").as_deref(), Some("12"));
        assert_eq!(text("null"), None);
        assert_eq!(text("\""), None);
        assert_eq!(text(r#""\ud800""#), None);
    }

    #[test]
    fn flaws_of_answers_are_mended() {
        let answer = b"\xef\xbb\xbf{\n \"a\r\": \"1\n2\x002\\\" \xff\", \"b\":[\"\t\"]}";
        let value: Value = serde_json::from_str(&lenient(answer)).expect("JSON");
        assert_eq!(value, serde_json::json!({ "a\r": "1\n2\u{0}2\" \u{fffd}", "b": ["\t"] }));
        assert_eq!(from_answer::<Value>(answer).expect("JSON"), value);
        assert!(from_answer::<Value>(b"<html>").is_err());
        assert!(matches!(lenient(b"{\n\t\"a\": 1}"), Cow::Borrowed(_)));
        assert_eq!(lenient(b"\"\n"), "\"\\u000a");
    }

    proptest! {
        #[test]
        fn a_good_answer_stays_as_it_is(value in ".*") {
            let json = serde_json::json!({ "a": value }).to_string();
            prop_assert_eq!(lenient(json.as_bytes()), json.as_str());
        }
    }
}
