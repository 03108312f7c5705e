//! A JSON text taken apart once: a flat list of its values, borrowed from it, in which fields are looked up by name.
//!
//! Why not `serde_json::Value` or a lazy reader: a format asks for about a hundred fields of a record, by several
//! names, and passes on what it does not know. The list costs one allocation and one pass. A look-up compares hashes of
//! keys, which were made in that pass, and most fields that are missing are known to be missing without a look. Nothing
//! is decoded, and nothing is read twice: what is later asked of each string (is there something to see in it? may it
//! be copied as it stands?) is found out on the way.
//!
//! Why so lenient: a record was already accepted by a real parser, and from there on nothing that Microsoft (or an
//! attacker, through Microsoft) writes may keep it from being delivered.

use super::names::{hash, hash_of};
use super::scan::{string_end, word_end};
use super::{DEPTH_MAX, Error, Text};

/// All values of one JSON text, in the order in which they begin.
#[derive(Debug)]
pub struct Tape<'a> {
    nodes: Vec<Node<'a>>,
    /// The hashes of the keys of each object, together.
    hashes: Vec<u32>,
    /// Where the values are that belong to these keys.
    places: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node<'a> {
    /// The hash of the key.
    hash: u32,
    /// How many nodes it takes: itself and all inside it.
    size: u32,
    /// Of an object: where its keys are in the list of all.
    keys_at: u32,
    /// Of an object: how many keys it has.
    keys_count: u32,
    /// A bit for each of the hashes of its keys.
    keys: u64,
    kind: Kind,
    /// Whether there is something to see in it: see [`Value::is_present`].
    present: bool,
    /// Whether there is a value in it, at any depth, that is present.
    content: bool,
    /// Whether it may be copied into JSON as it stands: see [`Value::is_clean`].
    clean: bool,
    /// The key in the object around it, as written; empty in an array and at the top.
    key: &'a str,
    /// The value as written; of a string what is between the quotes.
    raw: &'a str,
}

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`, or what stands in its place.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// A list.
    Array,
    /// Names and values.
    Object,
}

/// The bit of a hash in [`Node::keys`].
#[inline(always)]
const fn bit(hash: u32) -> u64 {
    1 << (hash >> 26)
}

impl<'a> Tape<'a> {
    /// Takes `body`, one JSON value, apart.
    pub fn read(body: &'a str) -> Result<Self, Error> {
        let mut builder = Builder {
            body,
            nodes: Vec::with_capacity(body.len() / 24 + 8),
            hashes: Vec::with_capacity(body.len() / 32 + 8),
            places: Vec::with_capacity(body.len() / 32 + 8),
            open: Vec::with_capacity(64),
            depth: 0,
        };
        let at = builder.blank(0);
        builder.value(at, "", 0)?;
        Ok(Self { nodes: builder.nodes, hashes: builder.hashes, places: builder.places })
    }

    /// The value that is the whole text.
    #[inline]
    pub fn root(&self) -> Value<'_> {
        Value { tape: Some(self), at: 0 }
    }
}

impl<'t> Tape<'t> {
    /// The field `key` of an object, the last of several.
    #[inline]
    fn field(&'t self, object: &Node<'t>, key: &str, hash: u32) -> Value<'t> {
        let start = object.keys_at as usize;
        let mut hashes = self.hashes.get(start..start + object.keys_count as usize).unwrap_or_default();
        while let Some(found) = hashes.iter().rposition(|known| *known == hash) {
            let Some(&at) = self.places.get(start + found) else { break };
            if self.nodes.get(at as usize).is_some_and(|node| node.key == key) {
                return Value { tape: Some(self), at };
            }
            hashes = &hashes[..found];
        }
        Value::default()
    }
}

struct Builder<'a> {
    body: &'a str,
    nodes: Vec<Node<'a>>,
    hashes: Vec<u32>,
    places: Vec<u32>,
    /// The hashes and places of objects that have not ended yet.
    open: Vec<(u32, u32)>,
    depth: usize,
}

/// Where a value ends, and what the one around it has to know of it.
struct Taken {
    end: usize,
    content: bool,
    clean: bool,
}

impl<'a> Builder<'a> {
    /// Takes the value that begins at `at`.
    #[inline(always)]
    fn value(&mut self, at: usize, key: &'a str, hash: u32) -> Result<Taken, Error> {
        let first = self.byte(at).ok_or(Error::Malformed { at })?;
        match first {
            b'"' => {
                let (end, clean) = self.string(at)?;
                let raw = &self.body[at + 1..end - 1];
                let present = !Text::as_in_json(raw).is_blank();
                self.push(key, hash, Kind::String, present, clean, raw);
                Ok(Taken { end, content: present, clean })
            }
            b'{' => self.container(at, key, hash, Kind::Object),
            b'[' => self.container(at, key, hash, Kind::Array),
            _ => {
                let end = word_end(self.body.as_bytes(), at).ok_or(Error::Malformed { at })?;
                let kind = match first {
                    b't' | b'f' => Kind::Boolean,
                    b'-' | b'0'..=b'9' => Kind::Number,
                    _ => Kind::Null,
                };
                let present = kind != Kind::Null;
                let raw = &self.body[at..end];
                self.push(key, hash, kind, present, true, raw);
                Ok(Taken { end, content: present, clean: true })
            }
        }
    }

    #[inline(always)]
    fn push(&mut self, key: &'a str, hash: u32, kind: Kind, present: bool, clean: bool, raw: &'a str) {
        let (size, keys_at, keys_count, keys, content) = (1, 0, 0, 0, present);
        self.nodes.push(Node {
            hash,
            size,
            keys_at,
            keys_count,
            keys,
            kind,
            present,
            content,
            clean,
            key,
            raw,
        });
    }

    /// Takes the object or array whose bracket stands at `start`.
    fn container(&mut self, start: usize, key: &'a str, hash: u32, kind: Kind) -> Result<Taken, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let (own, open) = (self.nodes.len(), self.open.len());
        let is_object = kind == Kind::Object;
        let closing = if is_object { b'}' } else { b']' };
        self.push(key, hash, kind, false, true, "");
        let mut at = self.blank(start + 1);
        let (mut keys, mut content) = (0, false);
        // Between tokens only a newline or the like keeps it from being copied as one line.
        let mut clean = at == start + 1;
        if self.byte(at) == Some(closing) {
            at += 1;
        } else {
            loop {
                let (mut key, mut hash) = ("", 0);
                if is_object {
                    if self.byte(at) != Some(b'"') {
                        return Err(Error::Malformed { at });
                    }
                    let (end, key_clean) = self.string(at)?;
                    key = &self.body[at + 1..end - 1];
                    hash = hash_of(self.body.as_bytes(), at + 1, end - 1);
                    keys |= bit(hash);
                    self.open.push((hash, small(self.nodes.len())));
                    let colon = self.blank(end);
                    if self.byte(colon) != Some(b':') {
                        return Err(Error::Malformed { at: colon });
                    }
                    at = self.blank(colon + 1);
                    clean &= key_clean & (colon == end) & (at == colon + 1);
                }
                let taken = self.value(at, key, hash)?;
                content |= taken.content;
                at = self.blank(taken.end);
                clean &= taken.clean & (at == taken.end);
                match self.byte(at) {
                    Some(b',') => {
                        let next = self.blank(at + 1);
                        clean &= next == at + 1;
                        at = next;
                    }
                    Some(byte) if byte == closing => {
                        at += 1;
                        break;
                    }
                    _ => return Err(Error::Malformed { at }),
                }
            }
        }
        let size = small(self.nodes.len() - own);
        let raw = &self.body[start..at];
        let node = &mut self.nodes[own];
        node.size = size;
        node.keys_at = small(self.hashes.len());
        node.keys_count = small(self.open.len() - open);
        node.keys = keys;
        node.present = size > 1;
        node.content = content;
        node.clean = clean;
        node.raw = raw;
        for (hash, place) in &self.open[open..] {
            self.hashes.push(*hash);
            self.places.push(*place);
        }
        self.open.truncate(open);
        self.depth -= 1;
        Ok(Taken { end: at, content, clean })
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> Option<u8> {
        self.body.as_bytes().get(at).copied()
    }

    /// Steps over blanks.
    #[inline(always)]
    fn blank(&self, mut at: usize) -> usize {
        while self.byte(at).is_some_and(|byte| byte.is_ascii_whitespace()) {
            at += 1;
        }
        at
    }

    /// Steps over the string whose quote stands at `start`: where it ends, and whether it may be copied as it stands.
    #[inline(always)]
    fn string(&self, start: usize) -> Result<(usize, bool), Error> {
        match string_end(self.body.as_bytes(), start + 1) {
            Some((end, clean)) => Ok((end + 1, clean)),
            None => Err(Error::Malformed { at: start }),
        }
    }
}

/// A place or number of nodes. A record that is accepted has far fewer than fit.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// One value of a [`Tape`], or none: a missing field is a value too, of which everything is empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Value<'t> {
    tape: Option<&'t Tape<'t>>,
    at: u32,
}

impl<'t> Value<'t> {
    #[inline(always)]
    fn node(self) -> Option<&'t Node<'t>> {
        self.tape?.nodes.get(self.at as usize)
    }

    /// What it is; `None` when there is no such field.
    #[inline]
    pub fn kind(self) -> Option<Kind> {
        self.node().map(|node| node.kind)
    }

    /// Whether there is something: not missing, null, a blank text, an empty list or object.
    #[inline]
    pub fn is_present(self) -> bool {
        self.node().is_some_and(|node| node.present)
    }

    /// Whether there is something in it, at any depth: an object of nulls has nothing.
    #[inline]
    pub fn has_content(self) -> bool {
        self.node().is_some_and(|node| node.content)
    }

    /// Whether it may be copied into JSON as it stands: it is written on one line, and no string in it has a bare
    /// control character, an escape that JSON does not have or one that may be half a character.
    #[inline]
    pub fn is_clean(self) -> bool {
        self.node().is_some_and(|node| node.clean)
    }

    /// Whether it is an object.
    #[inline]
    pub fn is_object(self) -> bool {
        self.kind() == Some(Kind::Object)
    }

    /// The text of a string, number or boolean; empty for anything else.
    #[inline]
    pub fn text(self) -> Text<'t> {
        match self.node() {
            Some(node) if matches!(node.kind, Kind::String | Kind::Number | Kind::Boolean) => {
                Text::as_in_json(node.raw)
            }
            _ => Text::default(),
        }
    }

    /// The value as written; of a string without its quotes. Empty when there is none.
    #[inline]
    pub fn raw(self) -> &'t str {
        self.node().map_or("", |node| node.raw)
    }

    /// The key in the object around it, as written; empty in an array.
    #[inline]
    pub fn key(self) -> &'t str {
        self.node().map_or("", |node| node.key)
    }

    /// The hash of [`Value::key`].
    #[inline]
    pub fn key_hash(self) -> u32 {
        self.node().map_or(0, |node| node.hash)
    }

    /// The field `key` of an object. Of several with the same key the last, as most readers of JSON have it.
    ///
    /// Anyone can make names with equal hashes, and with many of them in one object this is a walk over all: it is for
    /// names of ours, not for as many names as are in a record.
    #[inline(always)]
    pub fn get(self, key: &str) -> Value<'t> {
        let hash = hash(key);
        match (self.tape, self.node()) {
            (Some(tape), Some(object)) if object.keys & bit(hash) != 0 => tape.field(object, key, hash),
            _ => Value::default(),
        }
    }

    /// The text of the field `key`.
    #[inline(always)]
    pub fn text_of(self, key: &str) -> Text<'t> {
        self.get(key).text()
    }

    /// The first of the fields `keys` whose text is not blank.
    #[inline(always)]
    pub fn first_text(self, keys: &[&str]) -> Text<'t> {
        keys.iter().map(|key| self.text_of(key)).find(|text| !text.is_blank()).unwrap_or_default()
    }

    /// The texts of the list in the field `key`, or the one text that stands for it; blank ones are left out.
    #[inline(always)]
    pub fn texts_of(self, key: &str) -> Vec<Text<'t>> {
        self.get(key).texts()
    }

    /// The texts of a list, or the one text that stands for it; blank ones are left out.
    #[inline]
    pub fn texts(self) -> Vec<Text<'t>> {
        if !self.has_content() {
            return Vec::new();
        }
        self.items().map(Value::text).filter(|text| !text.is_blank()).collect()
    }

    /// Each field of an object: its key as written, and its value.
    #[inline]
    pub fn fields(self) -> impl Iterator<Item = (&'t str, Value<'t>)> {
        let inside = if self.is_object() { self.inside() } else { Children::default() };
        inside.map(|value| (value.key(), value))
    }

    /// Each item of an array. A value that is no array stands for a list of it alone, null and nothing for an empty
    /// one.
    #[inline]
    pub fn items(self) -> impl Iterator<Item = Value<'t>> {
        match self.kind() {
            Some(Kind::Array) => self.inside(),
            None | Some(Kind::Null) => Children::default(),
            Some(_) => Children { tape: self.tape, at: self.at, end: self.at + 1 },
        }
    }

    /// What is in an object or array.
    #[inline]
    fn inside(self) -> Children<'t> {
        let size = self.node().map_or(1, |node| node.size);
        Children { tape: self.tape, at: self.at + 1, end: self.at + size }
    }
}

/// Steps from value to value over what is inside each.
#[derive(Default)]
struct Children<'t> {
    tape: Option<&'t Tape<'t>>,
    at: u32,
    end: u32,
}

impl<'t> Iterator for Children<'t> {
    type Item = Value<'t>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { tape: self.tape, at: self.at };
        self.at += value.node()?.size;
        Some(value)
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
            assert!(!root.get(nothing).is_present(), "{nothing}");
            assert!(!root.get(nothing).get("x").is_present());
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
