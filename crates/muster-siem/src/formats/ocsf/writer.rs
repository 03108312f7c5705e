//! Writes JSON objects into a buffer, field by field: what is not told leaves no field, and an object or list in
//! which nothing was told leaves nothing at all.

use std::io::Write as _;

use jiff::Timestamp;
use memchr::memchr;

use crate::formats::json::Text;
use crate::formats::tape::{Kind, Value};

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
            push_escaped(self.buffer, text);
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
        self.push_number(number);
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
        write!(self.buffer, "\"{key}_id\":{id},\"{key}\":").expect("memory takes it");
        push_escaped(self.buffer, caption);
    }

    /// Microsoft's own value, whatever it is, unless it tells nothing.
    pub(super) fn own(&mut self, key: &str, value: Value<'_>) {
        if value.is_told() {
            self.key(key);
            push_value(self.buffer, value);
        }
    }

    /// Microsoft's own value under Microsoft's own key, which is written as a text is.
    pub(super) fn own_under(&mut self, key: &str, value: Value<'_>) {
        if is_valid(key) {
            self.own(key, value);
        } else if value.is_told() {
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
        push_escaped(self.buffer, text);
    }

    /// A number in a list.
    pub(super) fn number_item(&mut self, number: i64) {
        self.comma();
        self.push_number(number);
    }

    /// One text made of those that are not blank, with `separator` between them; nothing when all are.
    pub(super) fn joined(&mut self, key: &str, pieces: &[Text<'_>], separator: char) {
        let told = || pieces.iter().filter(|piece| !piece.is_blank());
        if told().next().is_none() {
            return;
        }
        self.key(key);
        if told().any(|piece| !is_valid(piece.as_written())) {
            let decoded: Vec<_> = told().map(|piece| piece.decoded()).collect();
            return push_escaped(self.buffer, &decoded.join(separator.encode_utf8(&mut [0; 4])));
        }
        self.buffer.push(b'"');
        for (position, piece) in told().enumerate() {
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

    fn push_number(&mut self, number: i64) {
        write!(self.buffer, "{number}").expect("memory takes it");
    }
}

/// A time as Microsoft writes it; `None` for none, and for .NET's "no date" of year 1. A time without a zone is in
/// UTC, and a blank may stand between date and time.
pub(super) fn time(text: Text<'_>) -> Option<Timestamp> {
    let text = text.as_written();
    let parsed = text.parse::<Timestamp>().or_else(|error| match text.len() {
        10..40 => format!("{text}Z").parse(),
        _ => Err(error),
    });
    parsed.ok().filter(|time| time.as_millisecond() > 0)
}

/// Appends a JSON string. What Microsoft wrote is copied as it stands when that is right, and decoded and written
/// anew when it is not: half a surrogate pair, an escape that JSON does not have, a bare control character.
fn push_text(buffer: &mut Vec<u8>, text: Text<'_>) {
    let written = text.as_written();
    if is_valid(written) {
        buffer.push(b'"');
        buffer.extend_from_slice(written.as_bytes());
        buffer.push(b'"');
    } else {
        push_escaped(buffer, &text.decoded());
    }
}

/// Appends a JSON string with these characters.
fn push_escaped(buffer: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(buffer, text).expect("a string is JSON, and memory takes it");
}

/// Whether `written` may stand between quotes in JSON as it is.
fn is_valid(written: &str) -> bool {
    let bytes = written.as_bytes();
    if bytes.iter().any(|byte| *byte < 0x20) {
        return false;
    }
    let mut rest = bytes;
    while let Some(at) = memchr(b'\\', rest) {
        let length = match rest.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            // A surrogate is written anew, which also says whether its other half is there.
            Some(b'u') => match rest.get(at + 2..at + 6) {
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
        rest = &rest[at + length..];
    }
    true
}

/// Appends Microsoft's own JSON on one line. Strings that are not right are written anew, as [`push_text`] does.
fn push_value(buffer: &mut Vec<u8>, value: Value<'_>) {
    if value.kind() == Some(Kind::String) {
        return push_text(buffer, value.text());
    }
    let mut rest = value.raw();
    let suspicious = rest.bytes().any(|byte| byte < 0x20) || rest.contains("\\u");
    if !suspicious {
        buffer.extend_from_slice(rest.as_bytes());
        return;
    }
    while let Some(at) = memchr(b'"', rest.as_bytes()) {
        push_blank(buffer, &rest[..at]);
        let inside = &rest[at + 1..];
        let mut end = 0;
        while let Some(found) = memchr::memchr2(b'"', b'\\', inside.as_bytes().get(end..).unwrap_or_default())
        {
            end += found;
            if inside.as_bytes()[end] == b'"' {
                break;
            }
            end += 2;
        }
        let end = end.min(inside.len());
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

    use super::{Json, is_valid, push_value, time};
    use crate::formats::json::Text;
    use crate::formats::tape::Tape;

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
    fn odd_strings_are_written_anew_and_good_ones_copied() {
        for good in ["", "a\\n\\\"\\\\\\/\\u00e9", "😀", "C:\\\\x"] {
            assert!(is_valid(good), "{good}");
        }
        for odd in ["\n", "\\q", "\\", "\\u12", "\\ud800", "\\uDC00x", "\\ud83d\\ude00"] {
            assert!(!is_valid(odd), "{odd}");
        }
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
