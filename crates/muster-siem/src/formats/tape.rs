//! A JSON text taken apart once: a flat list of its values, borrowed from it, in which fields are looked up by name.
//!
//! Why not `serde_json::Value` or a lazy reader: a format asks for about a hundred fields of a record, by several
//! names, and passes on what it does not know. The list costs one allocation and one pass; each look-up walks over
//! the keys of one object and compares lengths first. Nothing is decoded, and nothing is read twice.

use super::FormatError;
use super::json::{Reader, Text};

/// All values of one JSON text, in the order in which they begin.
#[derive(Debug)]
pub(super) struct Tape<'a> {
    nodes: Vec<Node<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct Node<'a> {
    /// The key in the object around it, as written; empty in an array and at the top.
    key: &'a str,
    /// The value as written; of a string what is between the quotes.
    raw: &'a str,
    /// How many nodes it takes: itself and all inside it.
    size: usize,
    kind: Kind,
}

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl<'a> Tape<'a> {
    /// Takes `body`, one JSON value, apart.
    pub(super) fn read(body: &'a str) -> Result<Self, FormatError> {
        let mut tape = Self { nodes: Vec::with_capacity(body.len() / 32 + 8) };
        tape.take("", &mut Reader::new(body))?;
        Ok(tape)
    }

    /// The value that is the whole text.
    pub(super) fn root(&self) -> Value<'_> {
        Value(&self.nodes)
    }

    fn take(&mut self, key: &'a str, reader: &mut Reader<'a>) -> Result<(), FormatError> {
        let at = self.nodes.len();
        let kind = match reader.peek()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Boolean,
            b'-' | b'0'..=b'9' => Kind::Number,
            _ => Kind::Null,
        };
        self.nodes.push(Node { key, raw: "", size: 1, kind });
        let raw = match kind {
            Kind::Object => reader.raw_with(|reader| reader.object(|key, reader| self.take(key, reader)))?,
            Kind::Array => reader.raw_with(|reader| reader.items(|reader| self.take("", reader)))?,
            Kind::String => reader.text()?.as_written(),
            Kind::Boolean | Kind::Number | Kind::Null => reader.raw()?,
        };
        let size = self.nodes.len() - at;
        let node = &mut self.nodes[at];
        node.raw = raw;
        node.size = size;
        Ok(())
    }
}

/// One value of a [`Tape`], or none: a missing field is a value too, of which everything is empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Value<'t>(&'t [Node<'t>]);

impl<'t> Value<'t> {
    /// What it is; `None` when there is no such field.
    pub(super) fn kind(self) -> Option<Kind> {
        self.0.first().map(|node| node.kind)
    }

    /// Whether there is something: not missing, null, a blank text, an empty list or object.
    pub(super) fn is_told(self) -> bool {
        match self.kind() {
            None | Some(Kind::Null) => false,
            Some(Kind::Array | Kind::Object) => self.0.len() > 1,
            Some(_) => !self.text().is_blank(),
        }
    }

    /// Whether it is an object.
    pub(super) fn is_object(self) -> bool {
        self.kind() == Some(Kind::Object)
    }

    /// The text of a string, number or boolean; empty for anything else.
    pub(super) fn text(self) -> Text<'t> {
        match self.0.first() {
            Some(node) if matches!(node.kind, Kind::String | Kind::Number | Kind::Boolean) => {
                Text::as_in_json(node.raw)
            }
            _ => Text::default(),
        }
    }

    /// The value as written; of a string without its quotes. Empty when there is none.
    pub(super) fn raw(self) -> &'t str {
        self.0.first().map_or("", |node| node.raw)
    }

    /// The field `key` of an object. Of several with the same key the last, as most readers of JSON have it.
    pub(super) fn get(self, key: &str) -> Value<'t> {
        let mut found = Value::default();
        for (name, value) in self.fields() {
            if name == key {
                found = value;
            }
        }
        found
    }

    /// The text of the field `key`.
    pub(super) fn text_of(self, key: &str) -> Text<'t> {
        self.get(key).text()
    }

    /// The first of the fields `keys` whose text is not blank.
    pub(super) fn first_text(self, keys: &[&str]) -> Text<'t> {
        keys.iter().map(|key| self.text_of(key)).find(|text| !text.is_blank()).unwrap_or_default()
    }

    /// The texts of the list in the field `key`, or the one text that stands for it; blank ones are left out.
    pub(super) fn texts_of(self, key: &str) -> Vec<Text<'t>> {
        self.get(key).items().map(Value::text).filter(|text| !text.is_blank()).collect()
    }

    /// Each field of an object: its key as written, and its value.
    pub(super) fn fields(self) -> impl Iterator<Item = (&'t str, Value<'t>)> {
        let inside = if self.is_object() { &self.0[1..] } else { &[] };
        Children(inside).map(|nodes| (nodes[0].key, Value(nodes)))
    }

    /// Each item of an array. A value that is no array stands for a list of it alone, null and nothing for an empty
    /// one.
    pub(super) fn items(self) -> impl Iterator<Item = Value<'t>> {
        let items = match self.kind() {
            Some(Kind::Array) => &self.0[1..],
            None | Some(Kind::Null) => &[],
            Some(_) => self.0,
        };
        Children(items).map(Value)
    }
}

/// Steps from value to value over what is inside each.
struct Children<'t>(&'t [Node<'t>]);

impl<'t> Iterator for Children<'t> {
    type Item = &'t [Node<'t>];

    fn next(&mut self) -> Option<Self::Item> {
        let size = self.0.first()?.size;
        let (child, rest) = self.0.split_at(size);
        self.0 = rest;
        Some(child)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Kind, Tape, Value};

    #[test]
    fn fields_are_found_and_items_walked() {
        let tape =
            Tape::read(r#" {"a":{"b":[1,{"c":"x\ny"},null]},"d":false,"e":"", "f":null,"g":[],"d":true} "#)
                .expect("JSON");
        let root = tape.root();
        let list = root.get("a").get("b");
        assert_eq!(list.kind(), Some(Kind::Array));
        assert_eq!(list.items().count(), 3);
        assert_eq!(list.items().nth(1).expect("an item").text_of("c").as_written(), "x\\ny");
        assert_eq!(list.raw(), r#"[1,{"c":"x\ny"},null]"#);
        assert_eq!(root.text_of("d").as_written(), "true");
        assert_eq!(root.get("d").items().count(), 1);
        for nothing in ["e", "f", "g", "h"] {
            assert!(!root.get(nothing).is_told(), "{nothing}");
            assert!(!root.get(nothing).get("x").is_told());
        }
        assert_eq!(root.fields().map(|(key, _)| key).collect::<String>(), "adefgd");
        assert_eq!(root.first_text(&["e", "f", "d"]).as_written(), "true");
    }

    #[test]
    fn broken_and_deep_texts_are_errors() {
        for broken in ["", "{", r#"{"a":}"#, "[1,", r#"{"a":1"#, "[1 2]"] {
            assert!(Tape::read(broken).is_err(), "{broken}");
        }
        assert!(Tape::read(&"[".repeat(100_000)).is_err());
    }

    fn same(value: Value<'_>, expected: &serde_json::Value) -> bool {
        match expected {
            serde_json::Value::Object(map) => {
                value.fields().count() == map.len()
                    && map.iter().all(|(key, inner)| same(value.get(key), inner))
            }
            serde_json::Value::Array(list) => {
                value.items().count() == list.len()
                    && value.items().zip(list).all(|(value, inner)| same(value, inner))
            }
            serde_json::Value::Null => value.kind() == Some(Kind::Null),
            other => serde_json::from_str::<serde_json::Value>(&match value.kind() {
                Some(Kind::String) => format!("\"{}\"", value.raw()),
                _ => value.raw().to_owned(),
            })
            .is_ok_and(|read| read == *other),
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map("[a-z]{0,5}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn holds_what_a_real_parser_reads(value in json()) {
            let text = value.to_string();
            let tape = Tape::read(&text).expect("JSON");
            prop_assert!(same(tape.root(), &value));
        }
    }
}
