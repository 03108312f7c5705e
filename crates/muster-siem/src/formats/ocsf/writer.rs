//! Writes JSON objects into a buffer, field by field. A blank value leaves no field, and an object or list that stays
//! empty leaves nothing at all.

use std::io::Write as _;

use jiff::Timestamp;
use memchr::memchr;
use muster_model::json::Text;
use muster_model::json::scan::string_end;
use muster_model::json::{Kind, Value};
use muster_model::time::moment;

use crate::formats::writing::quote::{is_right, push_number, push_string, push_text, push_written};

/// An object or list that is being written.
pub(super) struct Json<'b> {
    buffer: &'b mut Vec<u8>,
}

impl<'b> Json<'b> {
    /// Writes one object: all that `fields` writes.
    pub(super) fn write(buffer: &'b mut Vec<u8>, fields: impl FnOnce(&mut Json<'_>)) {
        buffer.push(b'{');
        fields(&mut Json { buffer });
        buffer.push(b'}');
    }

    /// The comma before all but the first entry. Only an opening bracket of this very object or list can be the
    /// last byte when nothing was written into it: values end otherwise.
    fn comma(&mut self) {
        if !matches!(self.buffer.last(), Some(b'{' | b'[') | None) {
            self.buffer.push(b',');
        }
    }

    fn key(&mut self, key: &str) {
        self.comma();
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }

    /// A text, unless it is blank.
    pub(super) fn text(&mut self, key: &str, text: Text<'_>) {
        if !text.is_blank() {
            self.key(key);
            push_text(self.buffer, text);
        }
    }

    /// A text of our own or of the settings, unless it is blank.
    pub(super) fn plain(&mut self, key: &str, text: &str) {
        if !text.trim_ascii().is_empty() {
            self.key(key);
            push_string(self.buffer, text);
        }
    }

    /// A constant, which needs no escapes.
    pub(super) fn word(&mut self, key: &str, word: &'static str) {
        self.key(key);
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(word.as_bytes());
        self.buffer.push(b'"');
    }

    /// A number.
    pub(super) fn number(&mut self, key: &str, number: i64) {
        self.key(key);
        push_number(self.buffer, number);
    }

    /// A text that is a whole number, unless it is none.
    pub(super) fn integer(&mut self, key: &str, text: Text<'_>) {
        if let Ok(number) = text.as_written().parse() {
            self.number(key, number);
        }
    }

    /// A text that is a number of a network port, unless it is none.
    pub(super) fn port(&mut self, key: &str, text: Text<'_>) {
        if let Ok(port) = text.as_written().parse::<u16>() {
            self.number(key, i64::from(port));
        }
    }

    /// A text that is a number, unless it is none.
    pub(super) fn float(&mut self, key: &str, text: Text<'_>) {
        if let Ok(number) = text.as_written().parse::<f64>()
            && number.is_finite()
        {
            self.key(key);
            write!(self.buffer, "{number}").expect("memory takes it");
        }
    }

    /// Yes or no.
    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        self.buffer.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A time in milliseconds since 1970, if there is one.
    pub(super) fn time(&mut self, key: &str, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.number(key, time.as_millisecond());
        }
    }

    /// An enum value, `<key>_id` and `<key>`: its number in OCSF, and the caption that goes with it.
    pub(super) fn choice(&mut self, key: &str, (id, caption): (i64, &str)) {
        self.comma();
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"_id\":");
        push_number(self.buffer, id);
        self.buffer.extend_from_slice(b",\"");
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"\":");
        push_string(self.buffer, caption);
    }

    /// Microsoft's own value, whatever it is, unless it tells nothing.
    pub(super) fn own(&mut self, key: &str, value: Value<'_>) {
        if value.is_present() {
            self.key(key);
            push_value(self.buffer, value);
        }
    }

    /// Microsoft's own value under Microsoft's own key, which is written as a text is.
    pub(super) fn own_under(&mut self, key: &str, value: Value<'_>) {
        if is_right(key) {
            self.own(key, value);
        } else if value.is_present() {
            self.comma();
            push_text(self.buffer, Text::as_in_json(key));
            self.buffer.push(b':');
            push_value(self.buffer, value);
        }
    }

    /// An object: all that `fields` writes; nothing when that is nothing.
    pub(super) fn object(&mut self, key: &str, fields: impl FnOnce(&mut Json<'_>)) {
        let start = self.buffer.len();
        self.key(key);
        self.enclosed(start, b'{', b'}', fields);
    }

    /// A list: all items that `items` writes; nothing when there are none.
    pub(super) fn list(&mut self, key: &str, items: impl FnOnce(&mut Json<'_>)) {
        let start = self.buffer.len();
        self.key(key);
        self.enclosed(start, b'[', b']', items);
    }

    /// An object in a list, unless nothing is in it.
    pub(super) fn item(&mut self, fields: impl FnOnce(&mut Json<'_>)) {
        let start = self.buffer.len();
        self.comma();
        self.enclosed(start, b'{', b'}', fields);
    }

    /// A text in a list, unless it is blank.
    pub(super) fn text_item(&mut self, text: Text<'_>) {
        if !text.is_blank() {
            self.comma();
            push_text(self.buffer, text);
        }
    }

    /// A text of our own in a list.
    pub(super) fn plain_item(&mut self, text: &str) {
        self.comma();
        push_string(self.buffer, text);
    }

    /// A number in a list.
    pub(super) fn number_item(&mut self, number: i64) {
        self.comma();
        push_number(self.buffer, number);
    }

    /// One text made of those that are not blank, with `separator` between them; nothing when all are.
    pub(super) fn joined(&mut self, key: &str, pieces: &[Text<'_>], separator: char) {
        let present = || pieces.iter().filter(|piece| !piece.is_blank());
        if present().next().is_none() {
            return;
        }
        self.key(key);
        if present().any(|piece| !is_right(piece.as_written())) {
            let decoded: Vec<_> = present().map(|piece| piece.decoded()).collect();
            return push_string(self.buffer, &decoded.join(separator.encode_utf8(&mut [0; 4])));
        }
        self.buffer.push(b'"');
        for (position, piece) in present().enumerate() {
            if position > 0 {
                if matches!(separator, '\\' | '"') {
                    self.buffer.push(b'\\');
                }
                self.buffer.extend_from_slice(separator.encode_utf8(&mut [0; 4]).as_bytes());
            }
            self.buffer.extend_from_slice(piece.as_written().as_bytes());
        }
        self.buffer.push(b'"');
    }

    /// A list of texts; nothing when all are blank.
    pub(super) fn texts(&mut self, key: &str, texts: &[Text<'_>]) {
        self.list(key, |json| texts.iter().for_each(|text| json.text_item(*text)));
    }

    /// What was written from `start`, a length of the buffer, on.
    pub(super) fn written_from(&self, start: usize) -> &[u8] {
        self.buffer.get(start..).unwrap_or_default()
    }

    /// Whether nothing was written since the bracket that opened this object or list.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.buffer.last(), Some(b'{' | b'['))
    }

    fn enclosed(&mut self, start: usize, open: u8, close: u8, inside: impl FnOnce(&mut Json<'_>)) {
        self.buffer.push(open);
        let empty = self.buffer.len();
        inside(&mut Json { buffer: self.buffer });
        if self.buffer.len() == empty {
            self.buffer.truncate(start);
        } else {
            self.buffer.push(close);
        }
    }
}

/// A time as Microsoft writes it; `None` for none.
pub(super) fn time(text: Text<'_>) -> Option<Timestamp> {
    moment(text.as_written())
}

/// Appends Microsoft's own JSON on one line. Strings that are not right are written anew, as [`push_text`] does.
fn push_value(buffer: &mut Vec<u8>, value: Value<'_>) {
    if value.kind() == Some(Kind::String) {
        return if value.is_clean() {
            push_written(buffer, value.raw())
        } else {
            push_text(buffer, value.text())
        };
    }
    let mut rest = value.raw();
    if value.is_clean() {
        buffer.extend_from_slice(rest.as_bytes());
        return;
    }
    while let Some(at) = memchr(b'"', rest.as_bytes()) {
        push_blank(buffer, &rest[..at]);
        let inside = &rest[at + 1..];
        let end = string_end(inside.as_bytes(), 0).map_or(inside.len(), |(end, _)| end);
        push_text(buffer, Text::as_in_json(&inside[..end]));
        rest = inside.get(end + 1..).unwrap_or_default();
    }
    push_blank(buffer, rest);
}

/// Appends what stands between strings, on one line.
fn push_blank(buffer: &mut Vec<u8>, between: &str) {
    buffer.extend(between.bytes().map(|byte| if byte < 0x20 { b' ' } else { byte }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Json, push_value, time};
    use muster_model::json::Tape;
    use muster_model::json::Text;

    fn written(fields: impl FnOnce(&mut Json<'_>)) -> String {
        let mut buffer = Vec::new();
        Json::write(&mut buffer, fields);
        String::from_utf8(buffer).expect("text")
    }

    #[test]
    fn what_is_not_told_leaves_nothing() {
        let text = written(|json| {
            json.text("a", Text::as_in_json(" "));
            json.object("b", |json| json.object("c", |json| json.plain("d", "")));
            json.list("e", |json| json.item(|_| {}));
            json.number("f", -1);
            json.list("g", |json| {
                json.item(|json| json.word("h", "i"));
                json.item(|json| json.integer("j", Text::as_in_json("x")));
                json.text_item(Text::as_in_json("k{"));
                json.number_item(7);
            });
            json.choice("l", (3, "m"));
            json.port("n", Text::as_in_json("65536"));
            json.boolean("o", true);
        });
        assert_eq!(text, r#"{"f":-1,"g":[{"h":"i"},"k{",7],"l_id":3,"l":"m","o":true}"#);
        assert_eq!(written(|_| {}), "{}");
    }

    #[test]
    fn a_value_that_ends_like_an_opening_bracket_gets_its_comma() {
        let text = written(|json| {
            json.plain("a", "{");
            json.text("b", Text::as_in_json("["));
            json.number("c", 1);
        });
        assert_eq!(text, r#"{"a":"{","b":"[","c":1}"#);
    }

    #[test]
    fn times_of_every_precision_and_none() {
        let milliseconds = |text| time(Text::as_in_json(text)).map(|time| time.as_millisecond());
        assert_eq!(milliseconds("2026-03-02T08:15:30.1234567Z"), Some(1_772_439_330_123));
        assert_eq!(milliseconds("2026-03-02T08:15:30"), Some(1_772_439_330_000));
        assert_eq!(milliseconds("2026-03-02 08:15:30.123456789"), Some(1_772_439_330_123));
        assert_eq!(milliseconds("2026-03-02T09:15:30+01:00"), Some(1_772_439_330_000));
        for none in ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "", "yesterday", "2026-13-02T08:15:30Z"] {
            assert_eq!(milliseconds(none), None, "{none}");
        }
    }

    #[test]
    fn odd_strings_are_written_anew() {
        let tape = Tape::read("{\"a\":\"x\\ud800y\",\n\t\"b\":[\"\\u0041\", \"p\nq\"] }").expect("JSON");
        let mut buffer = Vec::new();
        push_value(&mut buffer, tape.root());
        let text = String::from_utf8(buffer).expect("text");
        let value: serde_json::Value = serde_json::from_str(&text).expect("it became JSON");
        assert_eq!(value, serde_json::json!({ "a": "x\u{fffd}y", "b": ["A", "p\nq"] }));
        assert!(!text.contains('\n'));
    }

    #[test]
    fn parts_are_joined_without_the_blank_ones() {
        let parts = ["HKLM", "", "a\\\\b"].map(Text::as_in_json);
        let odd = ["\\ud800", "b"].map(Text::as_in_json);
        let text = written(|json| {
            json.joined("a", &parts, '\\');
            json.joined("b", &odd, '\\');
            json.joined("c", &parts[1..2], '/');
        });
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, serde_json::json!({ "a": "HKLM\\a\\b", "b": "\u{fffd}\\b" }));
    }

    proptest! {
        #[test]
        fn any_text_stays_what_it_is(text in any::<String>(), pretty in any::<bool>()) {
            let value = serde_json::json!({ "a": text, "b": [text, { "c": text }] });
            let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let body = body.expect("JSON");
            let tape = Tape::read(&body).expect("JSON");
            let mut buffer = Vec::new();
            push_value(&mut buffer, tape.root());
            let read: serde_json::Value = serde_json::from_slice(&buffer).expect("JSON");
            prop_assert_eq!(&read, &value);
            let out = written(|json| {
                json.text("a", tape.root().text_of("a"));
                json.plain("b", &text);
            });
            let read: serde_json::Value = serde_json::from_str(&out).expect("JSON");
            if !tape.root().text_of("a").is_blank() {
                prop_assert_eq!(read["a"].as_str(), Some(text.as_str()));
            }
        }

        #[test]
        fn no_text_between_quotes_breaks_out(text in "[\\\\\"ud8a0-9 \n\u{1}x]{0,24}") {
            // As the reader would have found it: quotes only behind a backslash, and no backslash at the end.
            let mut inside = String::new();
            let mut escaped = false;
            for character in text.chars() {
                if character != '"' || escaped {
                    inside.push(character);
                }
                escaped = character == '\\' && !escaped;
            }
            if escaped {
                inside.push('\\');
            }
            let out = written(|json| {
                json.text("a", Text::as_in_json(&inside));
                json.number("b", 1);
            });
            prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
        }
    }
}
