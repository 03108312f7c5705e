//! The JSON values in a text, which may be broken.

use std::collections::VecDeque;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::text::NO_TEXT;

/// How often as much as the whole text is read in vain, looking for the ends of values that have none.
const PASSES_MAX: usize = 8;

/// A value in a text, or a place where none can be read.
pub(super) struct Value<'a> {
    /// Where it begins.
    pub(super) at: usize,
    pub(super) body: Result<&'a str, String>,
}

/// The values in a text, those of lists and pages one by one.
pub(super) struct Values<'a> {
    text: &'a str,
    at: usize,
    found: VecDeque<Value<'a>>,
    /// Whether too much was read in vain: from then on no value is longer than its line.
    by_line: bool,
    /// How many bytes were read of values that turned out to be broken.
    wasted: usize,
    /// Whether a list is broken: what is left of it is no trouble of its own.
    in_broken_list: bool,
    /// How many blanks the items of a broken list have before them.
    indent: usize,
    /// A place in the text, and the number of its line: lines are counted once.
    line: (usize, usize),
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        while self.found.is_empty() && self.step() {}
        self.found.pop_front()
    }
}

impl<'a> Values<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            found: VecDeque::new(),
            by_line: false,
            wasted: 0,
            in_broken_list: false,
            indent: 0,
            line: (0, 1),
        }
    }

    /// Reads what stands next. `false` at the end.
    fn step(&mut self) -> bool {
        let text = self.text;
        let rest = text[self.at..].trim_start();
        let start = text.len() - rest.len();
        if rest.is_empty() {
            return false;
        }
        if !rest.starts_with(['{', '[']) {
            if self.in_broken_list && rest.starts_with(',') {
                self.at = start + 1;
                return true;
            }
            self.at = next_at_indent(text, start, self.indent);
            if !self.in_broken_list {
                self.push(start, Err("is not JSON".to_owned()));
            }
            return true;
        }
        let part = if self.by_line { line(rest) } else { rest };
        let mut stream = serde_json::Deserializer::from_str(part).into_iter::<&RawValue>();
        match stream.next() {
            Some(Ok(value)) => {
                self.at = start + stream.byte_offset();
                let (list, items) = items(value.get());
                match list {
                    true => items.into_iter().for_each(|item| self.push(self.offset(item), Ok(item))),
                    false => self.push(start, Ok(value.get())),
                }
            }
            Some(Err(error)) => {
                let lines = part.split_inclusive('\n').take(error.line());
                self.wasted += lines.map(str::len).sum::<usize>();
                self.by_line |= self.wasted > PASSES_MAX * text.len();
                self.broken(start, part, error);
            }
            None => return false,
        }
        true
    }

    /// A value that begins at `start` ends in nonsense: what of it can be read, where it breaks, and where to go on.
    fn broken(&mut self, start: usize, part: &'a str, mut error: serde_json::Error) {
        let text = self.text;
        let (is_list, items) = items(part);
        if is_list {
            self.in_broken_list = true;
            let mut end = start + part.find('[').map_or(0, |at| at + 1);
            for item in items {
                end = self.offset(item) + item.len();
                self.push(self.offset(item), Ok(item));
            }
            let stop = start + part.len();
            let left = text[end..stop].trim_start_matches([',', ' ', '\t', '\r', '\n']);
            let item = stop - left.len();
            let line_start = text[..item].rfind('\n').map_or(0, |at| at + 1);
            let indent = &text[line_start..item];
            let own_line = indent.bytes().all(|byte| byte == b' ' || byte == b'\t');
            self.indent = self.indent.max(if own_line { indent.len() } else { 0 });
            let why = self.why(start, part, &error);
            self.at = next_at_indent(text, item, self.indent);
            let why =
                if self.at == text.len() { format!("{why}; nothing is read from there on") } else { why };
            self.push(item, Err(why));
            return;
        }
        self.at = next_at_indent(text, start, self.indent);
        let line = line(part);
        if line.len() < part.len() && part[line.len()..].trim_start_matches(['\r', '\n']).starts_with('{') {
            // A record a line: this one's mistake is not to be looked for in the next.
            error = serde_json::from_str::<&RawValue>(line).err().unwrap_or(error);
        }
        let why = self.why(start, part, &error);
        self.push(start, Err(why));
    }

    /// What is wrong, with its line and column in the file.
    fn why(&mut self, start: usize, part: &str, error: &serde_json::Error) -> String {
        let (counted, number) = self.line;
        let number = number + memchr::memchr_iter(b'\n', &self.text.as_bytes()[counted..start]).count();
        self.line = (start, number);
        let columns_before = match error.line() {
            1 => start - self.text[..start].rfind('\n').map_or(0, |at| at + 1),
            _ => 0,
        };
        let before = part.lines().take(error.line()).map(|line| line.len() + 1).sum::<usize>();
        let what = error.to_string();
        let is_no_text = part.get(..before.min(part.len())).is_some_and(|part| part.contains(NO_TEXT));
        // The parser stops in front of them.
        let (what, column) = match is_no_text {
            true => ("it has bytes that are not UTF-8", error.column() + 1),
            false => (what.split(" at line ").next().unwrap_or(&what), error.column()),
        };
        format!("is broken: {what}, at line {} column {}", number + error.line() - 1, columns_before + column)
    }

    fn push(&mut self, at: usize, body: Result<&'a str, String>) {
        self.found.push_back(Value { at, body });
    }

    /// Where a part of the text begins in it.
    fn offset(&self, part: &str) -> usize {
        part.as_ptr() as usize - self.text.as_ptr() as usize
    }
}

fn line(text: &str) -> &str {
    text.find('\n').map_or(text, |end| &text[..end])
}

/// The start of the next line behind `from` on which an object or list begins after so many blanks at most; else the
/// end.
fn next_at_indent(text: &str, from: usize, indent: usize) -> usize {
    let bytes = text.as_bytes();
    let starts = memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at + 1);
    let begins = |start: &usize| {
        let line = &bytes[*start..];
        let blanks = line.iter().take(indent + 1).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        blanks <= indent && matches!(line.get(blanks), Some(b'{' | b'['))
    };
    starts.into_iter().find(begins).unwrap_or(text.len())
}

/// Whether a JSON text is a list or a page, and its items, as far as it can be read.
fn items(text: &str) -> (bool, Vec<&str>) {
    let mut items = Vec::new();
    let mut is_list = false;
    let mut reader = serde_json::Deserializer::from_str(text);
    // A text that breaks has broken before, and that is told.
    Items { items: &mut items, is_list: &mut is_list, depth: 0 }.deserialize(&mut reader).ok();
    (is_list, items)
}

/// Collects the items of a list, or of the list in a page.
struct Items<'i, 'a> {
    items: &'i mut Vec<&'a str>,
    is_list: &'i mut bool,
    depth: u8,
}

impl<'a> DeserializeSeed<'a> for Items<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Items<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record, a list or a page")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        *self.is_list = true;
        while let Some(item) = list.next_element::<&RawValue>()? {
            self.items.push(item.get());
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            if self.depth == 0 && matches!(key.as_str(), "value" | "results" | "Results" | "records") {
                let items = Items { items: &mut *self.items, is_list: &mut *self.is_list, depth: 1 };
                object.next_value_seed(items)?;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::text;
    use super::Values;

    /// The values, and `!` with the place of each that cannot be read.
    fn read(text: &str) -> Vec<String> {
        let show = |value: super::Value<'_>| match value.body {
            Ok(body) => body.to_owned(),
            Err(why) => format!("!{why}"),
        };
        Values::new(text).map(show).collect()
    }

    #[test]
    fn records_come_in_many_wrappings() {
        assert_eq!(read(" {\n\"id\":1}\n"), ["{\n\"id\":1}"]);
        assert_eq!(read(r#"[{"id":1},{"id":2}]"#), [r#"{"id":1}"#, r#"{"id":2}"#]);
        assert_eq!(read(r#"{"@odata.context":"x","value":[{"id":1}]}"#), [r#"{"id":1}"#]);
        assert_eq!(read(r#"{"schema":[],"results":[{"A":1}]}"#), [r#"{"A":1}"#]);
        assert_eq!(read(r#"{"records":[{"time":1}]}"#), [r#"{"time":1}"#]);
        assert_eq!(read("{\"id\":1}\n\n{\"id\":2}").len(), 2);
        assert_eq!(read("{\n \"id\":1\n}\n{\n \"id\":2\n}").len(), 2);
        for alone in [r#"{"id":1,"value":"a"}"#, r#"{"id":1,"value":{"value":[1]}}"#, r#"{"value":null}"#] {
            assert_eq!(read(alone), [alone]);
        }
        assert_eq!(read(""), [""; 0]);
        assert_eq!(read(r#"{"value":[]}"#), [""; 0]);
    }

    #[test]
    fn what_is_broken_costs_nothing_else() {
        assert_eq!(
            read("{\"id\":1}\n{\"id\": oh}\n{\"id\":3}\nwords\nmore words\n{\"id\":6"),
            [
                "{\"id\":1}",
                "!is broken: expected value, at line 2 column 8",
                "{\"id\":3}",
                "!is not JSON",
                "!is broken: EOF while parsing an object, at line 6 column 7",
            ]
        );
        assert_eq!(
            read("{\"id\":1\n{\"id\":2}"),
            ["!is broken: EOF while parsing an object, at line 1 column 7", "{\"id\":2}"]
        );
        assert_eq!(
            read("{\n  \"id\": 1\n  \"x\": {\n  }\n}\n{\n}"),
            ["!is broken: expected `,` or `}`, at line 3 column 3", "{\n}"]
        );
    }

    #[test]
    fn a_broken_list_gives_what_it_can() {
        assert_eq!(
            read("[\n  {\n    \"id\": 1\n  },\n  {\n    \"id\": oh\n  },\n  {\n    \"id\": 3\n  }\n]\n"),
            [
                "{\n    \"id\": 1\n  }",
                "!is broken: expected value, at line 6 column 11",
                "{\n    \"id\": 3\n  }"
            ]
        );
        assert_eq!(
            read(r#"{"value":[{"id":1},{"id":2},{"id":"#),
            [
                r#"{"id":1}"#,
                r#"{"id":2}"#,
                "!is broken: EOF while parsing a value, at line 1 column 34; nothing is read from there on",
            ]
        );
        assert_eq!(read("[{\"id\":1},oh]\n{\"id\":2}").len(), 3);
    }

    #[test]
    fn a_value_that_never_ends_is_looked_through_once() {
        // Looking through the rest again for each would take minutes.
        for value in ["{\"a\":\n", "[\n", "[{\"a\":1},\n"] {
            assert!(read(&value.repeat(20_000)).len() >= 19_990, "{value}");
            read(&format!("{}oh", value.repeat(20_000)));
        }
    }

    #[test]
    fn text_comes_in_several_encodings() {
        let utf16 =
            |bytes: fn(u16) -> [u8; 2]| "\u{feff}{\"id\":\"ä\"}".encode_utf16().flat_map(bytes).collect();
        for bytes in [
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
            "{\"id\":\"ä\"}".as_bytes().to_vec(),
            "\u{feff}{\"id\":\"ä\"}".as_bytes().to_vec(),
        ] {
            assert_eq!(text(bytes).as_deref(), Ok("{\"id\":\"ä\"}"));
        }
        let latin = text(b"{\"id\":1}\n{\"id\":\"\xe4\"}\n{\"id\":3}".to_vec()).expect("text");
        assert_eq!(
            read(&latin),
            ["{\"id\":1}", "!is broken: it has bytes that are not UTF-8, at line 2 column 8", "{\"id\":3}"]
        );
        assert!(text(b"\x1f\x8b\x08".to_vec()).is_err_and(|why| why.contains("compressed")));
        assert!(text(b"a\0b".to_vec()).is_err());
    }
}
