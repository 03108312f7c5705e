//! Reads JSON in one pass, borrowing everything and refusing next to nothing.
//!
//! Why not a derived deserialiser: a record was already accepted by a real parser, and from there on nothing that
//! Microsoft (or an attacker, through Microsoft) writes may keep it from being delivered. A derived one fails on a
//! number where a string is expected, on a key that comes twice and on half a surrogate pair. This reader answers
//! "nothing there" instead, decodes no string until it is written, and never allocates.

use std::borrow::Cow;

use memchr::memchr;

use super::FormatError;
use super::scan::{string_end, word_end};

/// The deepest nesting that is read. Records nest at most 100 deep; whoever hands over more gets an error.
pub(super) const DEPTH_MAX: usize = 128;

/// The text of a JSON string, number or boolean, as written: escapes of strings are still in place. Empty when
/// there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// A text as it stands in JSON between quotes: escapes are still in place.
    pub(super) const fn as_in_json(text: &'a str) -> Self {
        Self(text)
    }

    /// Whether there is nothing to show: missing, null, of a type that has no text, or only blanks.
    #[inline]
    pub(super) fn is_blank(self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_whitespace())
    }

    /// This text, or the other when this one is blank.
    pub(super) fn or(self, other: Self) -> Self {
        if self.is_blank() { other } else { self }
    }

    /// The text as written. The same as its meaning for whatever needs no escapes: enum values, ids, times.
    pub(super) fn as_written(self) -> &'a str {
        self.0
    }

    /// The text after the last `separator`, or all of it.
    pub(super) fn after_last(self, separator: char) -> Self {
        Self(self.0.rsplit_once(separator).map_or(self.0, |(_, tail)| tail))
    }

    /// The text after the first `separator`; empty when it does not occur.
    pub(super) fn after_first(self, separator: char) -> Self {
        Self(self.0.split_once(separator).map_or("", |(_, tail)| tail))
    }

    /// The parts between `separators`, without the blanks around them and without blank ones.
    pub(super) fn split(self, separators: &[char]) -> Vec<Self> {
        self.0.split(separators).map(str::trim).filter(|part| !part.is_empty()).map(Self).collect()
    }

    /// The decoded text; borrowed when it has no escapes.
    pub(super) fn decoded(self) -> Cow<'a, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(self.0);
        }
        let mut all = String::with_capacity(self.0.len());
        self.pieces(|piece| all.push_str(piece));
        Cow::Owned(all)
    }

    /// Calls `on_piece` with the decoded text, piece by piece. Half a surrogate pair decodes to U+FFFD.
    pub(super) fn pieces(self, mut on_piece: impl FnMut(&str)) {
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
pub(super) fn unescape(text: &str) -> (char, usize) {
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

/// A place in a JSON text. Each method takes exactly one value, whatever its type.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The first byte of the next value.
    pub(super) fn peek(&mut self) -> Result<u8, FormatError> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(self.malformed())
    }

    /// Calls `on_field` with each key (as written); it must take the value. What is not an object is skipped.
    pub(super) fn object(
        &mut self,
        mut on_field: impl FnMut(&'a str, &mut Self) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        if self.peek()? != b'{' {
            return self.skip();
        }
        self.inside(b'}', |reader| {
            if reader.peek()? != b'"' {
                return Err(reader.malformed());
            }
            let key = reader.string()?;
            if reader.peek()? != b':' {
                return Err(reader.malformed());
            }
            reader.at += 1;
            on_field(key, reader)
        })
    }

    /// Calls `on_item` for each item of an array; it must take the item. One value that is no array is taken for an
    /// array of it alone, null for an empty one.
    pub(super) fn items(
        &mut self,
        mut on_item: impl FnMut(&mut Self) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        match self.peek()? {
            b'[' => self.inside(b']', on_item),
            b'n' => self.skip(),
            _ => on_item(self),
        }
    }

    /// The text of a string, number or boolean; empty for anything else.
    pub(super) fn text(&mut self) -> Result<Text<'a>, FormatError> {
        match self.peek()? {
            b'"' => self.string().map(Text),
            b'-' | b'0'..=b'9' | b't' | b'f' => self.raw().map(Text),
            _ => self.skip().map(|()| Text("")),
        }
    }

    /// The value as written.
    pub(super) fn raw(&mut self) -> Result<&'a str, FormatError> {
        self.raw_with(Self::skip)
    }

    /// The value as written; `take` must take it, and may look into it on the way.
    pub(super) fn raw_with(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<(), FormatError>,
    ) -> Result<&'a str, FormatError> {
        self.peek()?;
        let start = self.at;
        take(self)?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Steps over the value.
    pub(super) fn skip(&mut self) -> Result<(), FormatError> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' | b'[' => self.skip_container(),
            _ => {
                self.at = word_end(self.text.as_bytes(), self.at).ok_or_else(|| self.malformed())?;
                Ok(())
            }
        }
    }

    /// Steps over an object or array without recursion.
    fn skip_container(&mut self) -> Result<(), FormatError> {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(self.malformed())
    }

    /// From an opening bracket to its `closing` one, with `on_entry` between the commas.
    fn inside(
        &mut self,
        closing: u8,
        mut on_entry: impl FnMut(&mut Self) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(FormatError::TooDeep);
        }
        self.at += 1;
        if self.peek()? != closing {
            loop {
                on_entry(self)?;
                match self.peek()? {
                    b',' => self.at += 1,
                    byte if byte == closing => break,
                    _ => return Err(self.malformed()),
                }
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// The inside of the string that starts here.
    fn string(&mut self) -> Result<&'a str, FormatError> {
        let start = self.at + 1;
        let (end, _) = string_end(self.text.as_bytes(), start).ok_or_else(|| self.malformed())?;
        self.at = end + 1;
        Ok(&self.text[start..end])
    }

    fn malformed(&self) -> FormatError {
        FormatError::Malformed { at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Reader, Text};

    fn decoded(text: Text<'_>) -> String {
        let mut all = String::new();
        text.pieces(|piece| all.push_str(piece));
        all
    }

    fn text(json: &str) -> String {
        decoded(Reader::new(json).text().expect("a value"))
    }

    #[test]
    fn texts_of_every_type() {
        assert_eq!(text(r#" "a\n\"\\\/\u0041\ud83d\ude00" "#), "a\n\"\\/A😀");
        assert_eq!(text("-12.5e3"), "-12.5e3");
        assert_eq!(text("true"), "true");
        for none in ["null", "{}", "[1]", r#"{"a":{"b":"}"}}"#] {
            assert_eq!(text(none), "", "{none}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        assert_eq!(text(r#""a\ud800b""#), "a\u{fffd}b");
        assert_eq!(text(r#""\udc00\ud800\ud800\udc00""#), "\u{fffd}\u{fffd}\u{10000}");
    }

    #[test]
    fn a_key_may_come_twice_and_one_value_stands_for_a_list() {
        let mut found = Vec::new();
        Reader::new(r#"{"a":[1,"x"],"a":2,"b":null,"c":[]}"#)
            .object(|key, reader| {
                reader.items(|reader| {
                    found.push((key, reader.text()?.as_written()));
                    Ok(())
                })
            })
            .expect("an object");
        assert_eq!(found, [("a", "1"), ("a", "x"), ("a", "2")]);
    }

    #[test]
    fn broken_and_deep_texts_are_errors() {
        let read = |json: &str| {
            fn value(reader: &mut Reader<'_>) -> Result<(), super::FormatError> {
                match reader.peek()? {
                    b'{' => reader.object(|_, reader| value(reader)),
                    b'[' => reader.items(value),
                    _ => reader.skip(),
                }
            }
            value(&mut Reader::new(json))
        };
        for broken in ["", "{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1"#, r#""a"#, "[1 2]", r#"{1:2}"#, r#""\"#] {
            assert!(read(broken).is_err(), "{broken}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn strings_decode_as_a_real_parser_decodes_them(value in any::<String>()) {
            let json = serde_json::to_string(&value).expect("a string");
            prop_assert_eq!(text(&json), value);
        }

        #[test]
        fn never_panics(json in r#"[\[\]{}:,"\\u0d81ax\u{e9}\u{1f600} ]*"#) {
            let mut reader = Reader::new(&json);
            let walked = reader.object(|_, reader| reader.items(|reader| {
                decoded(reader.text()?);
                Ok(())
            }));
            prop_assert!(walked.is_ok() || walked.is_err());
            let text = Reader::new(&json).text().map(decoded);
            prop_assert!(text.is_ok() || text.is_err());
        }
    }
}
