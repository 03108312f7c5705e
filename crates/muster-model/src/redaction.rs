//! Fields of a record dropped or masked, before anything else looks at it: what a customer's contract keeps from a sink is
//! kept from it in whatever format the record is written.
//!
//! A path names fields by dots and passes through lists: `evidence.userAccount.accountName` is that of each evidence.
//! `**.accountName` is any field of that name, wherever it stands. `a\.b` is one name with a dot.

use std::collections::HashMap;

use crate::RecordKind;
use crate::json::{Error, Reader, Text};

/// What stands for a text that is masked.
pub const MASK: &str = "[masked]";
/// The most parts of a path.
const PARTS_MAX: usize = 32;

/// Fields to drop and to mask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redaction {
    root: Node,
    /// Whatever these begin with, wherever it stands.
    anywhere: Node,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    drop: bool,
    mask: bool,
    fields: HashMap<String, Node>,
}

/// What became of the fields of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redacted {
    /// Fields that were left out.
    pub dropped: u64,
    /// Values that were masked.
    pub masked: u64,
}

/// A path that names no field that may go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not a path.
    #[error(
        "`{0}` is not a path of fields: write evidence.userAccount.accountName, or **.accountName for wherever it stands"
    )]
    Malformed(String),
    /// A field by which Muster, and whoever reads the sink, knows the record.
    #[error("`{0}` cannot go: by it the record is known, ordered and routed")]
    Needed(String),
}

impl Redaction {
    /// Drops the fields that `drop` names, and masks those that `mask` names.
    ///
    /// # Errors
    /// Every path that cannot be used.
    pub fn new(drop: &[String], mask: &[String]) -> Result<Self, Vec<PathError>> {
        let (mut made, mut errors) = (Self::default(), Vec::new());
        for (path, is_drop) in
            drop.iter().map(|path| (path, true)).chain(mask.iter().map(|path| (path, false)))
        {
            match parts(path) {
                Ok((anywhere, parts)) => {
                    let start = if anywhere { &mut made.anywhere } else { &mut made.root };
                    let node =
                        parts.into_iter().fold(start, |node, part| node.fields.entry(part).or_default());
                    node.drop |= is_drop;
                    node.mask |= !is_drop;
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(made) } else { Err(errors) }
    }

    /// Whether nothing is dropped or masked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.fields.is_empty() && self.anywhere.fields.is_empty()
    }

    /// Drops and masks what either does.
    pub fn add(&mut self, other: &Self) {
        self.root.add(&other.root);
        self.anywhere.add(&other.anywhere);
    }

    /// Appends the record with what is to go gone, and says how much that was. Everything else stays as it is written.
    ///
    /// # Errors
    /// When the record cannot be read. What was appended then is not to be used.
    pub fn apply(&self, body: &str, out: &mut String) -> Result<Redacted, Error> {
        let mut reader = Reader::new(body);
        let mut writer = Writer { anywhere: &self.anywhere, out, done: Redacted::default() };
        writer.value(&mut reader, &[&self.root], false)?;
        Ok(writer.done)
    }
}

impl Node {
    fn add(&mut self, other: &Self) {
        self.drop |= other.drop;
        self.mask |= other.mask;
        for (name, node) in &other.fields {
            self.fields.entry(name.clone()).or_default().add(node);
        }
    }
}

/// A path taken apart, and whether it begins anywhere.
fn parts(path: &str) -> Result<(bool, Vec<String>), PathError> {
    let malformed = || PathError::Malformed(crate::text::shown(path, 120));
    let (anywhere, rest) = match path.strip_prefix("**.") {
        Some(rest) => (true, rest),
        None => (false, path),
    };
    let mut parts = vec![String::new()];
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        let part = parts.last_mut().expect("there is one from the start");
        match character {
            '\\' => part.push(characters.next().ok_or_else(malformed)?),
            '.' => parts.push(String::new()),
            other => part.push(other),
        }
    }
    if parts.len() > PARTS_MAX || parts.iter().any(|part| part.is_empty() || part.contains('*')) {
        return Err(malformed());
    }
    // What every record is known by. In an inner object, such a name says something else.
    if parts.len() == 1 && !anywhere && RecordKind::ALL.into_iter().any(|kind| needs(kind, &parts[0])) {
        return Err(PathError::Needed(parts.remove(0)));
    }
    Ok((anywhere, parts))
}

fn needs(kind: RecordKind, name: &str) -> bool {
    let names = kind.head_names();
    let one = [names.updated_at, names.severity, names.wrapper];
    names.id.iter().chain(names.created_at).chain(&one).any(|needed| *needed == name)
}

struct Writer<'w> {
    anywhere: &'w Node,
    out: &'w mut String,
    done: Redacted,
}

impl Writer<'_> {
    /// Copies a value at which these nodes stand. Nothing nests deeper than the reader goes.
    fn value(&mut self, reader: &mut Reader<'_>, nodes: &[&Node], mask: bool) -> Result<(), Error> {
        match reader.peek()? {
            b'{' => self.object(reader, nodes, mask),
            b'[' => {
                self.out.push('[');
                let mut first = true;
                reader.items(|reader| {
                    if !std::mem::take(&mut first) {
                        self.out.push(',');
                    }
                    self.value(reader, nodes, mask)
                })?;
                self.out.push(']');
                Ok(())
            }
            begins if mask => {
                self.done.masked += u64::from(begins != b'n');
                reader.skip()?;
                // A number or a truth that is masked is none: a text in its place is what receivers refuse.
                match begins {
                    b'"' => {
                        self.out.push('"');
                        self.out.push_str(MASK);
                        self.out.push('"');
                    }
                    _ => self.out.push_str("null"),
                }
                Ok(())
            }
            _ => {
                self.out.push_str(reader.raw()?);
                Ok(())
            }
        }
    }

    fn object(&mut self, reader: &mut Reader<'_>, nodes: &[&Node], mask: bool) -> Result<(), Error> {
        self.out.push('{');
        let anywhere = self.anywhere;
        let mut first = true;
        reader.object(|key, reader| {
            let decoded;
            let name = match key.contains('\\') {
                true => {
                    decoded = Text::as_in_json(key).decoded().into_owned();
                    decoded.as_str()
                }
                false => key,
            };
            let inner = nodes.iter().chain([&anywhere]).filter_map(|node| node.fields.get(name));
            let inner: Vec<&Node> = inner.collect();
            if inner.iter().any(|node| node.drop) {
                self.done.dropped += 1;
                return reader.skip();
            }
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.out.push('"');
            self.out.push_str(key);
            self.out.push_str("\":");
            // What kind of thing it is stays, or nobody could read the rest.
            let mask = (mask || inner.iter().any(|node| node.mask)) && !name.starts_with("@odata.");
            self.value(reader, &inner, mask)
        })?;
        self.out.push('}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{PathError, Redacted, Redaction};

    fn redaction(drop: &[&str], mask: &[&str]) -> Redaction {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        Redaction::new(&owned(drop), &owned(mask)).expect("paths")
    }

    fn applied(redaction: &Redaction, body: &str) -> (Value, Redacted) {
        let mut out = String::new();
        let done = redaction.apply(body, &mut out).expect("JSON");
        (serde_json::from_str(&out).expect("still JSON"), done)
    }

    #[test]
    fn fields_go_by_their_paths_and_nothing_else_does() {
        let body = r##"{"id":"1","title":"x","n":7,"evidence":[{"@odata.type":"#t","userAccount":{"accountName":"ann","sid":"s","n":1,
            "on":true,"no":null}},{"userAccount":{"accountName":"bob"},"other":{"accountName":"c"}},7],"a.b":"dot","t\u0069":"escaped"}"##;
        let (left, done) = applied(
            &redaction(
                &["title", "evidence.userAccount.sid", r"a\.b", "ti"],
                &["evidence.userAccount.accountName"],
            ),
            body,
        );
        assert_eq!(
            left,
            json!({"id":"1","n":7,"evidence":[
                {"@odata.type":"#t","userAccount":{"accountName":"[masked]","n":1,"on":true,"no":null}},
                {"userAccount":{"accountName":"[masked]"},"other":{"accountName":"c"}},7]})
        );
        assert_eq!(done, Redacted { dropped: 4, masked: 2 });
        let (left, done) =
            applied(&redaction(&["**.sid"], &["**.accountName", "evidence.userAccount"]), body);
        assert_eq!(
            left["evidence"],
            json!([
                {"@odata.type":"#t","userAccount":{"accountName":"[masked]","n":null,"on":null,"no":null}},
                {"userAccount":{"accountName":"[masked]"},"other":{"accountName":"[masked]"}},7])
        );
        assert_eq!(done, Redacted { dropped: 1, masked: 5 });
        let (left, _) = applied(&redaction(&[], &["evidence"]), body);
        assert_eq!(left["evidence"][0]["@odata.type"], "#t");
        assert_eq!(left["evidence"][2], Value::Null);
        // What is dropped by one route and masked by another is dropped.
        let mut both = redaction(&[], &["evidence.userAccount"]);
        both.add(&redaction(&["evidence.userAccount"], &["n"]));
        let (left, done) = applied(&both, body);
        assert_eq!(
            (left["evidence"][0].clone(), left["n"].clone()),
            (json!({"@odata.type":"#t"}), Value::Null)
        );
        assert_eq!(done, Redacted { dropped: 2, masked: 1 });
    }

    #[test]
    fn what_a_record_is_known_by_stays() {
        for needed in
            ["id", "incidentId", "AlertId", "severity", "lastUpdateDateTime", "createdTime", "Timestamp"]
        {
            let error = Redaction::new(&[needed.to_owned()], &[]).expect_err(needed);
            assert_eq!(error, [PathError::Needed(needed.to_owned())]);
        }
        for wrong in ["", ".", "a..b", "a.", "**", "**.", "a.*", "a\\", "*.b", &"a.".repeat(40)] {
            let error = Redaction::new(&[], &[wrong.to_owned()]).expect_err(wrong);
            assert!(matches!(error[..], [PathError::Malformed(_)]), "{wrong}");
        }
        assert!(redaction(&[], &[]).is_empty() && !redaction(&["evidence.id"], &["**.id"]).is_empty());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            "secret.{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a-c\"\\\\é]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn has_field(value: &Value, name: &str) -> bool {
        match value {
            Value::Object(fields) => {
                fields.iter().any(|(field, value)| field == name || has_field(value, name))
            }
            Value::Array(items) => items.iter().any(|item| has_field(item, name)),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn nothing_stays_that_was_to_go_and_the_rest_is_as_it_was(value in value()) {
            let body = json!({"a": value, "x": value}).to_string();
            let (left, _) = applied(&redaction(&[], &[]), &body);
            prop_assert_eq!(left, serde_json::from_str::<Value>(&body).expect("JSON"));
            let (left, _) = applied(&redaction(&["a"], &["x"]), &body);
            prop_assert!(!left.to_string().contains("secret"), "{}", left);
            let (left, _) = applied(&redaction(&["**.b"], &["**.a"]), &body);
            prop_assert!(!has_field(&left, "b"), "{}", left);
        }

        #[test]
        fn any_text_is_survived(body in ".{0,60}|[\\[\\]{}:,\"ab]{0,40}") {
            redaction(&["a"], &["b"]).apply(&body, &mut String::new()).ok();
        }
    }
}
