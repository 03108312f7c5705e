//! An ECS document that is being collected: values by field, in any order; written as nested JSON at the end.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use jiff::Timestamp;
use muster_model::json::Text;
use muster_model::time;

use super::fields::{Field, Holds, ROWS};
use crate::formats::view::tables;
use crate::formats::writing::quote::{push_number, push_string, push_text};

/// Up to how many values of a field are compared by walking, which beats hashing.
const WALK_MAX: u32 = 32;

/// The field `$name`, found in the table when the program is compiled.
macro_rules! field {
    ($name:literal) => {
        const { $crate::formats::ecs::fields::Field::named($name) }
    };
}
pub(super) use field;

/// The values of one document.
#[derive(Debug)]
pub(super) struct Document<'a> {
    values: Vec<Entry<'a>>,
    /// The values of each field of the table.
    of: [Chain; ROWS.len()],
    /// The values of fields that have many.
    many: HashSet<(Field, Value<'a>)>,
}

/// The values of a field: places in the list of all. Without values the places mean nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    first: u32,
    last: u32,
    count: u32,
}

#[derive(Debug)]
struct Entry<'a> {
    value: Value<'a>,
    /// The place of the next value of the same field; of the last its own.
    next: u32,
}

#[derive(Debug, Clone)]
enum Value<'a> {
    /// As it stands in JSON between quotes.
    Escaped(Text<'a>),
    Plain(Cow<'a, str>),
    Number(i64),
    Flag(bool),
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Escaped(one), Self::Escaped(other)) => one == other,
            (Self::Plain(one), Self::Plain(other)) => one == other,
            // Without escapes it is the same text.
            (Self::Escaped(escaped), Self::Plain(plain)) | (Self::Plain(plain), Self::Escaped(escaped)) => {
                escaped.as_written() == plain && !plain.contains('\\')
            }
            (Self::Number(one), Self::Number(other)) => one == other,
            (Self::Flag(one), Self::Flag(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Value<'_> {}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Escaped(text) => text.as_written().hash(state),
            Self::Plain(text) => text.hash(state),
            Self::Number(number) => number.hash(state),
            Self::Flag(flag) => flag.hash(state),
        }
    }
}

impl<'a> Document<'a> {
    pub(super) fn new() -> Self {
        Self { values: Vec::with_capacity(256), of: [Chain::default(); ROWS.len()], many: HashSet::new() }
    }

    /// Adds a value, unless the field has it.
    fn push(&mut self, field: Field, value: Value<'a>) {
        let chain = self.of[field.place()];
        if chain.count < WALK_MAX {
            if self.values_of(chain).any(|known| *known == value) {
                return;
            }
        } else if !self.many.insert((field, value.clone())) {
            return;
        }
        let new = u32::try_from(self.values.len()).expect("a document has fewer values");
        self.values.push(Entry { value, next: new });
        let chain = &mut self.of[field.place()];
        if chain.count == 0 {
            chain.first = new;
        } else if let Some(last) = self.values.get_mut(chain.last as usize) {
            last.next = new;
        }
        chain.last = new;
        chain.count += 1;
        if chain.count == WALK_MAX {
            let walked = *chain;
            let values: Vec<Value<'a>> = self.values_of(walked).cloned().collect();
            self.many.extend(values.into_iter().map(|value| (field, value)));
        }
    }

    /// The values of a field, in order.
    fn values_of(&self, chain: Chain) -> impl Iterator<Item = &Value<'a>> {
        let mut at = chain.first;
        (0..chain.count).filter_map(move |_| {
            let entry = self.values.get(at as usize)?;
            at = entry.next;
            Some(&entry.value)
        })
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
            Holds::Flag => match tables::flag(text.as_written()) {
                Some(flag) => Value::Flag(flag),
                None => return,
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
        self.push(field, value);
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
            self.push(field, Value::Plain(text));
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
        self.push(field, Value::Number(number));
    }

    pub(super) fn flag(&mut self, field: Field, flag: bool) {
        self.push(field, Value::Flag(flag));
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.of[field.place()].count > 0
    }

    /// Appends the document as one line of JSON without its closing brace, so that Microsoft's own body can follow.
    pub(super) fn write_open(&self, buffer: &mut Vec<u8>) {
        buffer.push(b'{');
        // How many objects the last field was in, and how many of them any field since then was in too.
        let (mut open, mut shared) = (0, 0);
        let mut first = true;
        for ((row, nested), chain) in ROWS.iter().zip(&NESTED).zip(self.of) {
            shared = shared.min(nested.shared);
            if chain.count == 0 {
                continue;
            }
            buffer.extend((shared..open).map(|_| b'}'));
            if !first {
                buffer.push(b',');
            }
            first = false;
            let mut start = nested.starts[shared];
            for next in &nested.starts[shared + 1..=nested.depth] {
                push_key(&row.name[start..next - 1], buffer);
                buffer.push(b'{');
                start = *next;
            }
            push_key(&row.name[start..], buffer);
            self.write_values(chain, row.list, buffer);
            (open, shared) = (nested.depth, nested.depth);
        }
        buffer.extend((0..open).map(|_| b'}'));
    }

    /// Writes the values of a field: alone, or as a list.
    fn write_values(&self, chain: Chain, list: bool, buffer: &mut Vec<u8>) {
        let list = list || chain.count > 1;
        if list {
            buffer.push(b'[');
        }
        for (number, value) in self.values_of(chain).enumerate() {
            if number > 0 {
                buffer.push(b',');
            }
            match value {
                Value::Escaped(text) => push_text(buffer, *text),
                Value::Plain(text) => push_string(buffer, text),
                Value::Number(number) => push_number(buffer, *number),
                Value::Flag(flag) => buffer.extend_from_slice(if *flag { b"true" } else { b"false" }),
            }
        }
        if list {
            buffer.push(b']');
        }
    }
}

fn push_key(key: &str, buffer: &mut Vec<u8>) {
    buffer.push(b'"');
    buffer.extend_from_slice(key.as_bytes());
    buffer.extend_from_slice(b"\":");
}

/// The objects that a field is in.
#[derive(Clone, Copy)]
struct Nested {
    /// How many there are.
    depth: usize,
    /// Where in the field's name each part begins: those of the objects, and the last.
    starts: [usize; DEPTH_MAX + 1],
    /// In how many of them the field before it in the table is too.
    shared: usize,
}

/// In how many objects a field can be.
const DEPTH_MAX: usize = 5;

/// Of each row of the table.
static NESTED: [Nested; ROWS.len()] = {
    let mut all = [Nested { depth: 0, starts: [0; DEPTH_MAX + 1], shared: 0 }; ROWS.len()];
    let mut at = 0;
    while at < ROWS.len() {
        let name = ROWS[at].name.as_bytes();
        let mut place = 0;
        while place < name.len() {
            if name[place] == b'.' {
                all[at].depth += 1;
                all[at].starts[all[at].depth] = place + 1;
            }
            place += 1;
        }
        if at > 0 {
            let before = ROWS[at - 1].name.as_bytes();
            let mut place = 0;
            while place < name.len() && place < before.len() && name[place] == before[place] {
                if name[place] == b'.' {
                    all[at].shared += 1;
                }
                place += 1;
            }
        }
        at += 1;
    }
    all
};

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// A time that Elasticsearch takes: as written where that is one, else put into that form. The year 1 is .NET's "no
/// date".
fn time(text: Text<'_>) -> Option<Value<'_>> {
    let written = text.as_written();
    let time = moment(text)?;
    let as_wanted = written.ends_with('Z') && written.as_bytes().get(10) == Some(&b'T');
    Some(if as_wanted { Value::Escaped(text) } else { Value::Plain(Cow::Owned(time.to_string())) })
}

/// A time that Elasticsearch takes, as [`Document::add`] writes it; `None` for a text that is none.
pub(super) fn time_text(text: Text<'_>) -> Option<Cow<'_, str>> {
    match time(text)? {
        Value::Plain(text) => Some(text),
        _ => Some(Cow::Borrowed(text.as_written())),
    }
}

/// The moment of a text that says one, and not .NET's "no date".
pub(super) fn moment(text: Text<'_>) -> Option<Timestamp> {
    time::moment(text.as_written())
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
    use crate::formats::ecs::fields::{Field, ROWS};
    use muster_model::json::Text;

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
    fn any_two_fields_are_where_their_names_say() {
        fn leaves(value: &serde_json::Value) -> usize {
            value.as_object().map_or(1, |object| object.values().map(leaves).sum())
        }
        let fields: Vec<Field> = ROWS.iter().map(|row| Field::named(row.name)).collect();
        for (place, one) in fields.iter().enumerate() {
            for other in &fields[place..] {
                let mut document = Document::new();
                document.flag(*other, true);
                document.flag(*one, true);
                let mut buffer = Vec::new();
                document.write_open(&mut buffer);
                buffer.push(b'}');
                let value: serde_json::Value = serde_json::from_slice(&buffer).expect("JSON");
                for field in [one, other] {
                    let path = format!("/{}", field.row().name.replace('.', "/"));
                    let found = value.pointer(&path).map(|found| found.get(0).unwrap_or(found));
                    assert_eq!(found, Some(&true.into()), "{path} {value}");
                }
                assert_eq!(leaves(&value), if one == other { 1 } else { 2 }, "{value}");
            }
        }
    }

    #[test]
    fn a_text_is_the_same_whether_it_had_to_be_decoded_or_not() {
        let text = Text::as_in_json;
        let mut document = Document::new();
        for name in ["WS1", "ws1", "Ws1", "a\\\\b", "A\\\\b", "ws1"] {
            document.lower(field!("host.name"), text(name));
        }
        // A backslash is one or the beginning of an escape.
        document.plain(field!("process.name"), "a\\nb");
        document.add(field!("process.name"), text("a\\nb"));
        let mut buffer = Vec::new();
        document.write_open(&mut buffer);
        assert_eq!(
            String::from_utf8(buffer).expect("text"),
            r#"{"host":{"name":["ws1","a\\b"]},"process":{"name":["a\\nb","a\nb"]}"#
        );
    }

    #[test]
    fn many_values_of_a_field_are_kept_once_in_order() {
        for count in [1, 2, 31, 32, 33, 34, 100] {
            let mut document = Document::new();
            for round in 0..3 {
                for number in 0..count {
                    document.number(field!("process.pid"), number);
                    document.number(field!("process.parent.pid"), number + round);
                    document.number(field!("process.pid"), number / 2);
                }
            }
            let mut buffer = Vec::new();
            document.write_open(&mut buffer);
            buffer.push(b'}');
            let value: serde_json::Value = serde_json::from_slice(&buffer).expect("JSON");
            let expected = |count: i64| match count {
                1 => 0.into(),
                _ => serde_json::Value::from((0..count).collect::<Vec<_>>()),
            };
            assert_eq!(value["process"]["pid"], expected(count));
            assert_eq!(value["process"]["parent"]["pid"], expected(count + 2));
        }
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
