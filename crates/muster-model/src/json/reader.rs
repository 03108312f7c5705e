//! Takes one JSON value after the other, borrowing everything and refusing next to nothing.
//!
//! Why not a derived deserialiser: a record was already accepted by a real parser, and from there on nothing that
//! Microsoft (or an attacker, through Microsoft) writes may keep it from being delivered. A derived one fails on a
//! number where a string is expected, on a key that comes twice and on half a surrogate pair. This reader answers
//! "nothing there" instead, decodes no string until it is written, and never allocates.

use super::scan::{string_end, word_end};
use super::{DEPTH_MAX, Error, Text};

/// A place in a JSON text. Each method takes exactly one value, whatever its type.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `text`.
    #[inline]
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The first byte of the next value.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, Error> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(self.malformed())
    }

    /// Whether nothing but blanks is left.
    #[inline]
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_err()
    }

    /// Calls `on_field` with each key (as written); it must take the value. What is not an object is skipped.
    #[inline]
    pub fn object(
        &mut self,
        mut on_field: impl FnMut(&'a str, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
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
    #[inline]
    pub fn items(&mut self, mut on_item: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        match self.peek()? {
            b'[' => self.inside(b']', on_item),
            b'n' => self.skip(),
            _ => on_item(self),
        }
    }

    /// The text of a string, number or boolean; empty for anything else.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'a>, Error> {
        match self.peek()? {
            b'"' => self.string().map(Text::as_in_json),
            b'-' | b'0'..=b'9' | b't' | b'f' => self.raw().map(Text::as_in_json),
            _ => self.skip().map(|()| Text::default()),
        }
    }

    /// The value as written.
    #[inline]
    pub fn raw(&mut self) -> Result<&'a str, Error> {
        self.raw_with(Self::skip)
    }

    /// The value as written; `take` must take it, and may look into it on the way.
    #[inline]
    pub fn raw_with(&mut self, take: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<&'a str, Error> {
        self.peek()?;
        let start = self.at;
        take(self)?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Steps over the value.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Error> {
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
    #[inline]
    fn skip_container(&mut self) -> Result<(), Error> {
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
    #[inline]
    fn inside(
        &mut self,
        closing: u8,
        mut on_entry: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::TooDeep);
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
    #[inline]
    fn string(&mut self) -> Result<&'a str, Error> {
        let start = self.at + 1;
        let (end, _) = string_end(self.text.as_bytes(), start).ok_or_else(|| self.malformed())?;
        self.at = end + 1;
        Ok(&self.text[start..end])
    }

    #[inline]
    fn malformed(&self) -> Error {
        Error::Malformed { at: self.at }
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
            fn value(reader: &mut Reader<'_>) -> Result<(), super::Error> {
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
