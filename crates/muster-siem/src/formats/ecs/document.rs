//! An ECS document that is being collected: values by field, in any order; written as nested JSON at the end.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::fields::{Field, Holds};
use crate::formats::json::Text;

/// Up to how many values of a field are compared by walking, which beats hashing.
const WALK_MAX: usize = 16;

/// The field `$name`, found in the table when the program is compiled.
macro_rules! field {
    ($name:literal) => {
        const { $crate::formats::ecs::fields::Field::named($name) }
    };
}
pub(super) use field;

/// The values of one document.
#[derive(Debug, Default)]
pub(super) struct Document<'a> {
    values: Vec<(Field, Value<'a>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value<'a> {
    /// As it stands in JSON between quotes.
    Escaped(Text<'a>),
    Plain(Cow<'a, str>),
    Number(i64),
    Flag(bool),
}

impl<'a> Document<'a> {
    pub(super) fn new() -> Self {
        Self { values: Vec::with_capacity(128) }
    }

    /// Adds a value of Microsoft's, if it is fit for the field. A value that is there is not added again.
    pub(super) fn add(&mut self, field: Field, text: Text<'a>) {
        if text.is_blank() {
            return;
        }
        let value = match field.row().holds {
            Holds::Text => Value::Escaped(text),
            Holds::Number => match number(text.as_written()) {
                Some(number) => Value::Number(number),
                None => return,
            },
            Holds::Flag => match text.as_written() {
                "true" | "True" | "1" => Value::Flag(true),
                "false" | "False" | "0" => Value::Flag(false),
                _ => return,
            },
            Holds::Time => match time(text) {
                Some(time) => time,
                None => return,
            },
            Holds::Address => match address(text) {
                Some(address) => address,
                None => return,
            },
            Holds::Mac => match mac(text.as_written()) {
                Some(mac) => Value::Plain(Cow::Owned(mac)),
                None => return,
            },
        };
        self.values.push((field, value));
    }

    /// Adds each of `texts`.
    pub(super) fn add_all(&mut self, field: Field, texts: impl IntoIterator<Item = Text<'a>>) {
        for text in texts {
            self.add(field, text);
        }
    }

    /// Adds a text of our own making, or one that had to be decoded.
    pub(super) fn plain(&mut self, field: Field, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        let fits = match field.row().holds {
            Holds::Address => text.parse::<IpAddr>().is_ok(),
            _ => !text.trim().is_empty(),
        };
        if fits {
            self.values.push((field, Value::Plain(text)));
        }
    }

    pub(super) fn lower(&mut self, field: Field, text: Text<'a>) {
        if text
            .as_written()
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii() || byte == b'\\')
        {
            self.plain(field, text.decoded().to_lowercase());
        } else {
            self.add(field, text);
        }
    }

    pub(super) fn number(&mut self, field: Field, number: i64) {
        self.values.push((field, Value::Number(number)));
    }

    pub(super) fn flag(&mut self, field: Field, flag: bool) {
        self.values.push((field, Value::Flag(flag)));
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.values.iter().any(|(other, _)| *other == field)
    }

    /// Appends the document as one line of JSON without its closing brace, so that Microsoft's own body can follow.
    pub(super) fn write_open(mut self, buffer: &mut Vec<u8>) {
        self.values.sort_by_key(|(field, _)| *field);
        buffer.push(b'{');
        let mut open = Path::default();
        let mut distinct = Vec::with_capacity(WALK_MAX);
        let mut rest = self.values.as_slice();
        while let Some((field, _)) = rest.first() {
            let count = rest.iter().take_while(|(other, _)| other == field).count();
            let (values, after) = rest.split_at(count);
            open.step_to(field.row().name, buffer);
            write_values(values, field.row().list, &mut distinct, buffer);
            rest = after;
        }
        open.close(buffer);
    }
}

/// Which objects are open.
#[derive(Default)]
struct Path {
    name: &'static str,
}

impl Path {
    /// Closes what `name` is not in, opens what it is in, and writes its last key.
    fn step_to(&mut self, name: &'static str, buffer: &mut Vec<u8>) {
        let shared = self
            .name
            .bytes()
            .zip(name.bytes())
            .take_while(|(old, new)| old == new)
            .enumerate()
            .filter(|(_, (byte, _))| *byte == b'.')
            .last()
            .map_or(0, |(at, _)| at + 1);
        for _ in self.name[shared..].matches('.') {
            buffer.push(b'}');
        }
        if !self.name.is_empty() {
            buffer.push(b',');
        }
        for (number, key) in name[shared..].split('.').enumerate() {
            if number > 0 {
                buffer.push(b'{');
            }
            buffer.push(b'"');
            buffer.extend_from_slice(key.as_bytes());
            buffer.extend_from_slice(b"\":");
        }
        self.name = name;
    }

    fn close(&self, buffer: &mut Vec<u8>) {
        for _ in self.name.matches('.') {
            buffer.push(b'}');
        }
    }
}

/// Writes each value once: alone, or as a list.
fn write_values<'v>(
    values: &'v [(Field, Value<'v>)],
    list: bool,
    distinct: &mut Vec<&'v Value<'v>>,
    buffer: &mut Vec<u8>,
) {
    distinct.clear();
    let mut seen = HashSet::new();
    for (_, value) in values {
        let new = if values.len() <= WALK_MAX { !distinct.contains(&value) } else { seen.insert(value) };
        if new {
            distinct.push(value);
        }
    }
    let list = list || distinct.len() > 1;
    if list {
        buffer.push(b'[');
    }
    for (number, value) in distinct.iter().enumerate() {
        if number > 0 {
            buffer.push(b',');
        }
        match value {
            Value::Escaped(text) => push_text(*text, buffer),
            Value::Plain(text) => push_string(text, buffer),
            Value::Number(number) => {
                use std::io::Write as _;
                write!(buffer, "{number}").expect("memory takes it");
            }
            Value::Flag(flag) => buffer.extend_from_slice(if *flag { b"true" } else { b"false" }),
        }
    }
    if list {
        buffer.push(b']');
    }
}

/// Appends a text as a JSON string. Its escapes are good as they are, save for half a surrogate pair, which some
/// readers refuse.
pub(super) fn push_text(text: Text<'_>, buffer: &mut Vec<u8>) {
    let written = text.as_written();
    if memchr::memmem::find(written.as_bytes(), b"\\u").is_some() {
        push_string(&text.decoded(), buffer);
    } else {
        buffer.push(b'"');
        buffer.extend_from_slice(written.as_bytes());
        buffer.push(b'"');
    }
}

/// Appends `text` as a JSON string.
pub(super) fn push_string(text: &str, buffer: &mut Vec<u8>) {
    serde_json::to_writer(buffer, text).expect("a string is JSON, and memory takes it");
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// A time that Elasticsearch takes: as written where that is one, else put into that form. The year 1 is .NET's "no
/// date".
fn time(text: Text<'_>) -> Option<Value<'_>> {
    let written = text.as_written();
    if let Ok(time) = written.parse::<Timestamp>() {
        let as_wanted = written.ends_with('Z') && written.as_bytes().get(10) == Some(&b'T');
        return (time.as_second() > -62_000_000_000).then(|| {
            if as_wanted { Value::Escaped(text) } else { Value::Plain(Cow::Owned(time.to_string())) }
        });
    }
    let time = written.parse::<DateTime>().ok()?;
    (time.year() > 1).then(|| Value::Plain(Cow::Owned(format!("{time}Z"))))
}

/// A time that Elasticsearch takes, as [`Document::add`] writes it; `None` for a text that is none.
pub(super) fn time_text(text: Text<'_>) -> Option<Cow<'_, str>> {
    match time(text)? {
        Value::Plain(text) => Some(text),
        _ => Some(Cow::Borrowed(text.as_written())),
    }
}

/// The moment of a text that says one.
pub(super) fn moment(text: Text<'_>) -> Option<Timestamp> {
    let written = text.as_written();
    let time = written.parse::<Timestamp>().ok().or_else(|| {
        written
            .parse::<DateTime>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    })?;
    (time.as_second() > -62_000_000_000).then_some(time)
}

fn address(text: Text<'_>) -> Option<Value<'_>> {
    let written = text.as_written().trim();
    if written.parse::<IpAddr>().is_ok() {
        return Some(Value::Escaped(Text::as_in_json(written)));
    }
    // A zone (`fe80::1%3`) or a port (`203.0.113.9:443`) is no part of an address.
    let bare = written.split('%').next().unwrap_or_default();
    if bare.parse::<IpAddr>().is_ok() {
        return Some(Value::Escaped(Text::as_in_json(bare)));
    }
    written
        .parse::<std::net::SocketAddr>()
        .ok()
        .map(|socket| Value::Plain(Cow::Owned(socket.ip().to_string())))
}

/// A hardware address in the notation of ECS (RFC 7042): capital hexadecimal octets, hyphens between.
fn mac(text: &str) -> Option<String> {
    let digits: String = text
        .chars()
        .filter(|letter| !matches!(letter, ':' | '-' | '.' | ' '))
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    if !matches!(digits.len(), 12 | 16) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let octets: Vec<&str> = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]).collect();
    Some(octets.join("-"))
}

#[cfg(test)]
mod tests {
    use super::{Document, mac, moment};
    use crate::formats::ecs::fields::ROWS;
    use crate::formats::json::Text;

    #[test]
    fn rows_are_sorted_and_no_field_is_inside_another() {
        for pair in ROWS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} {}", pair[0].name, pair[1].name);
            assert!(!pair[1].name.starts_with(&format!("{}.", pair[0].name)), "{}", pair[1].name);
        }
    }

    #[test]
    fn a_document_is_nested_and_says_nothing_twice() {
        let mut document = Document::new();
        let text = Text::as_in_json;
        for ip in ["10.0.0.1", "nonsense", "10.0.0.1", "fe80::1%3", "203.0.113.9:443"] {
            document.add(field!("host.ip"), text(ip));
        }
        document.add(field!("process.pid"), text("7"));
        document.add(field!("process.pid"), text("7x"));
        document.add(field!("process.parent.pid"), text("6"));
        document.add(field!("host.os.name"), text("Windows\\n\\ud800"));
        document.plain(field!("event.kind"), "alert");
        document.lower(field!("host.name"), text("WS1"));
        document.add(field!("event.start"), text("0001-01-01T00:00:00"));
        document.add(field!("event.end"), text("2026-01-01 01:02:03.5"));
        document.add(field!("event.created"), text("2026-01-01T00:00:00.1234567Z"));
        let mut buffer = Vec::new();
        document.write_open(&mut buffer);
        buffer.push(b'}');
        assert_eq!(
            String::from_utf8(buffer).expect("text"),
            "{\"event\":{\"created\":\"2026-01-01T00:00:00.1234567Z\",\"end\":\"2026-01-01T01:02:03.5Z\",\"kind\":\"alert\"},\
             \"host\":{\"ip\":[\"10.0.0.1\",\"fe80::1\",\"203.0.113.9\"],\"name\":\"ws1\",\"os\":{\"name\":\"Windows\\n\u{fffd}\"}},\
             \"process\":{\"parent\":{\"pid\":6},\"pid\":7}}"
        );
    }

    #[test]
    fn hardware_addresses_and_moments() {
        assert_eq!(mac("00:0d:3a:9e:c7:81").as_deref(), Some("00-0D-3A-9E-C7-81"));
        assert_eq!(mac("000D3A9EC781").as_deref(), Some("00-0D-3A-9E-C7-81"));
        assert_eq!(mac("nothing"), None);
        assert!(moment(Text::as_in_json("0001-01-01T00:00:00Z")).is_none());
        assert!(moment(Text::as_in_json("2026-01-01T00:00:00")).is_some());
    }
}
