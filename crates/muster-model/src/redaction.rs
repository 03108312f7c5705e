//! Fields of a record dropped or masked, before anything else looks at it: what a customer's contract keeps from a sink is
//! kept from it in whatever format the record is written.
//!
//! A path names fields by dots and passes through lists: `evidence.userAccount.accountName` is that of each evidence.
//! `**.accountName` is any field of that name, wherever it stands. `a\.b` is one name with a dot.
//!
//! A text that itself holds JSON, as `AdditionalFields` does, is looked through as if it stood there as JSON. One that names a
//! field that is to go, and cannot be read as JSON to its end, is masked whole.

use std::collections::HashMap;

use crate::RecordKind;
use crate::json::{Error, Reader, Text};

/// What stands for a text that is masked.
pub const MASK: &str = "[masked]";
/// The same as it stands in JSON.
const MASKED: &str = "\"[masked]\"";
/// The most parts of a path.
const PARTS_MAX: usize = 32;
/// Texts are looked through within texts so deeply. One that lies deeper and names a field that is to go is masked whole.
const TEXTS_MAX: u32 = 4;
/// Where a record says whose it is, whatever its kind.
const TENANT_NAMES: [&str; 3] = ["tenantId", "aadTenantId", "TenantId"];

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

    /// Masks all but what a record is known by: for whoever cannot tell what is to go.
    #[must_use]
    pub fn of_everything() -> Self {
        Self { root: Node { mask: true, ..Node::default() }, anywhere: Node::default() }
    }

    /// Whether nothing is dropped or masked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.root.mask && self.root.fields.is_empty() && self.anywhere.fields.is_empty()
    }

    /// Drops and masks what either does.
    pub fn add(&mut self, other: &Self) {
        self.root.add(&other.root);
        self.anywhere.add(&other.anywhere);
    }

    /// Appends the record with what is to go gone, and says how much that was. Everything else stays as it is written, and so
    /// does what a record of this kind is known by: its id, tenant, times and severity.
    ///
    /// # Errors
    /// When the record cannot be read. What was appended then is not to be used.
    pub fn apply(&self, kind: RecordKind, body: &str, out: &mut String) -> Result<Redacted, Error> {
        let mut writer = Writer { anywhere: &self.anywhere, kind, out, done: Redacted::default(), texts: 0 };
        let place = Place { nodes: &[&self.root], mask: self.root.mask, holds_head: true };
        writer.value(&mut Reader::new(body), &place)?;
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
    let is_needed = |name: &str| RecordKind::ALL.into_iter().any(|kind| needs(kind, name));
    if parts.len() == 1 && !anywhere && is_needed(&parts[0]) {
        return Err(PathError::Needed(parts.remove(0)));
    }
    Ok((anywhere, parts))
}

/// Whether a record of this kind is known by a field of its own with this name.
fn needs(kind: RecordKind, name: &str) -> bool {
    let names = kind.head_names();
    let one = [names.updated_at, names.severity, names.wrapper];
    let mut all = names.id.iter().chain(names.created_at).chain(&one).chain(&TENANT_NAMES);
    !name.is_empty() && all.any(|needed| *needed == name)
}

struct Writer<'w> {
    anywhere: &'w Node,
    kind: RecordKind,
    out: &'w mut String,
    done: Redacted,
    /// How many texts lie around what is written.
    texts: u32,
}

/// Where a value stands.
struct Place<'p> {
    /// The nodes that lead there.
    nodes: &'p [&'p Node],
    /// Whether all of it is masked.
    mask: bool,
    /// Whether its fields are those by which the record is known.
    holds_head: bool,
}

impl Writer<'_> {
    /// Copies a value. Nothing nests deeper than the reader goes.
    fn value(&mut self, reader: &mut Reader<'_>, place: &Place<'_>) -> Result<(), Error> {
        match reader.peek()? {
            b'{' => self.object(reader, place),
            b'[' => {
                let place = Place { holds_head: false, ..*place };
                self.out.push('[');
                let mut first = true;
                reader.items(|reader| {
                    if !std::mem::take(&mut first) {
                        self.out.push(',');
                    }
                    self.value(reader, &place)
                })?;
                self.out.push(']');
                Ok(())
            }
            begins if place.mask => {
                self.done.masked += u64::from(begins != b'n');
                reader.skip()?;
                // A number or a truth that is masked is none: a text in its place is what receivers refuse.
                self.out.push_str(if begins == b'"' { MASKED } else { "null" });
                Ok(())
            }
            b'"' => {
                let raw = reader.raw()?;
                self.text(raw, place.nodes);
                Ok(())
            }
            _ => {
                self.out.push_str(reader.raw()?);
                Ok(())
            }
        }
    }

    /// Copies a text, as written, with its quotes.
    fn text(&mut self, raw: &str, nodes: &[&Node]) {
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        // As good as always: no quote stands in it, so no field does.
        if !inner.contains(['\\', '\'']) {
            self.out.push_str(raw);
            return;
        }
        match self.inside_text(&Text::as_in_json(inner).decoded(), nodes) {
            Inside::Untouched => self.out.push_str(raw),
            Inside::Written(text, done) => {
                self.done.dropped += done.dropped;
                self.done.masked += done.masked;
                self.out.push_str(&serde_json::Value::from(text).to_string());
            }
            Inside::Unreadable => {
                self.done.masked += 1;
                self.out.push_str(MASKED);
            }
        }
    }

    /// What becomes of a text that may hold JSON values, one behind the other.
    fn inside_text(&self, text: &str, nodes: &[&Node]) -> Inside {
        let trimmed = text.trim_start_matches('\u{feff}').trim();
        if trimmed.starts_with(['{', '[', '"']) && self.texts < TEXTS_MAX {
            let mut out = String::with_capacity(trimmed.len());
            let mut writer = Writer {
                anywhere: self.anywhere,
                kind: self.kind,
                out: &mut out,
                done: Redacted::default(),
                texts: self.texts + 1,
            };
            match writer.values(trimmed, nodes) {
                Ok(()) if writer.done == Redacted::default() => return Inside::Untouched,
                Ok(()) => {
                    let done = writer.done;
                    return Inside::Written(out, done);
                }
                Err(_) => {}
            }
        }
        let names = nodes.iter().chain([&self.anywhere]).flat_map(|node| node.fields.keys());
        match names.into_iter().any(|name| names_field(text, name)) {
            true => Inside::Unreadable,
            false => Inside::Untouched,
        }
    }

    fn values(&mut self, text: &str, nodes: &[&Node]) -> Result<(), Error> {
        let place = Place { nodes, mask: false, holds_head: false };
        let mut reader = Reader::new(text);
        self.value(&mut reader, &place)?;
        while !reader.is_at_end() {
            self.out.push('\n');
            self.value(&mut reader, &place)?;
        }
        Ok(())
    }

    fn object(&mut self, reader: &mut Reader<'_>, place: &Place<'_>) -> Result<(), Error> {
        self.out.push('{');
        let (anywhere, kind) = (self.anywhere, self.kind);
        let mut first = true;
        reader.object(|key, reader| {
            let name = Text::as_in_json(key).decoded();
            let name = name.as_ref();
            let inner = place.nodes.iter().chain([&anywhere]).filter_map(|node| node.fields.get(name));
            let inner: Vec<&Node> = inner.collect();
            let is_head = place.holds_head && needs(kind, name);
            if !is_head && inner.iter().any(|node| node.drop) {
                self.done.dropped += 1;
                return reader.skip();
            }
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.out.push('"');
            self.out.push_str(key);
            self.out.push_str("\":");
            if is_head && reader.peek()? == b'"' {
                self.out.push_str(reader.raw()?);
                return Ok(());
            }
            // What kind of thing it is stays, or nobody could read the rest.
            let mask = (place.mask || inner.iter().any(|node| node.mask)) && !name.starts_with("@odata.");
            let is_wrapper = is_head && name == kind.head_names().wrapper;
            // A number by which a record is known, such as an incident's.
            let mask = mask && (!is_head || is_wrapper && place.mask);
            self.value(reader, &Place { nodes: &inner, mask, holds_head: is_wrapper })
        })?;
        self.out.push('}');
        Ok(())
    }
}

/// What becomes of a text.
enum Inside {
    /// Nothing that is to go stands in it.
    Untouched,
    /// It holds JSON, of which this is left.
    Written(String, Redacted),
    /// It names a field that is to go, and cannot be read.
    Unreadable,
}

/// Whether a text names a field as JSON does, or as languages like it: in quotes, with a colon behind them.
fn names_field(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let behind = text[at + name.len()..].trim_start_matches('\\');
        let behind = behind.strip_prefix(['"', '\'']).map(str::trim_start);
        text[..at].ends_with(['"', '\'']) && behind.is_some_and(|behind| behind.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{PathError, Redacted, Redaction};
    use crate::RecordKind;

    fn redaction(drop: &[&str], mask: &[&str]) -> Redaction {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        Redaction::new(&owned(drop), &owned(mask)).expect("paths")
    }

    fn applied(redaction: &Redaction, body: &str) -> (Value, Redacted) {
        let mut out = String::new();
        let done = redaction.apply(RecordKind::GraphAlert, body, &mut out).expect("JSON");
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
        for needed in [
            "id",
            "incidentId",
            "AlertId",
            "severity",
            "lastUpdateDateTime",
            "createdTime",
            "Timestamp",
            "tenantId",
        ] {
            let error = Redaction::new(&[needed.to_owned()], &[]).expect_err(needed);
            assert_eq!(error, [PathError::Needed(needed.to_owned())]);
        }
        for wrong in ["", ".", "a..b", "a.", "**", "**.", "a.*", "a\\", "*.b", &"a.".repeat(40)] {
            let error = Redaction::new(&[], &[wrong.to_owned()]).expect_err(wrong);
            assert!(matches!(error[..], [PathError::Malformed(_)]), "{wrong}");
        }
        assert!(redaction(&[], &[]).is_empty() && !redaction(&["evidence.id"], &["**.id"]).is_empty());
    }

    #[test]
    fn what_a_record_is_known_by_is_hit_by_no_pattern() {
        let body = r#"{"id":"1","tenantId":"t","lastUpdateDateTime":"u","createdDateTime":"c","severity":"high",
            "evidence":[{"id":"2","tenantId":"t","severity":"low"}],"title":"x"}"#;
        let everywhere =
            ["**.id", "**.tenantId", "**.lastUpdateDateTime", "**.createdDateTime", "**.severity"];
        let head = json!({"id":"1","tenantId":"t","lastUpdateDateTime":"u","createdDateTime":"c","severity":"high",
            "evidence":[{}],"title":"x"});
        assert_eq!(
            applied(&redaction(&everywhere, &[]), body),
            (head.clone(), Redacted { dropped: 3, masked: 0 })
        );
        let (left, _) = applied(&redaction(&[], &everywhere), body);
        assert_eq!((&left["id"], &left["tenantId"]), (&head["id"], &head["tenantId"]));
        assert_eq!(left["evidence"][0]["id"], "[masked]");
        // An incident's is a number, and a row may be wrapped; of another kind, such a field is one as any.
        let of = |kind, body: &str| {
            let mut out = String::new();
            let asked = redaction(&["**.Severity"], &["**.incidentId", "**.Timestamp", "**.properties"]);
            asked.apply(kind, body, &mut out).expect("JSON");
            out
        };
        let incident = r#"{"incidentId":7,"alerts":[{"incidentId":7}],"Severity":1}"#;
        assert_eq!(
            of(RecordKind::XdrIncident, incident),
            r#"{"incidentId":7,"alerts":[{"incidentId":null}]}"#
        );
        let row =
            r#"{"tenantId":"t","properties":{"Timestamp":"u","Severity":"high","a":{"Timestamp":"v"}}}"#;
        let left = r#"{"tenantId":"t","properties":{"Timestamp":"u","Severity":"high","a":{"Timestamp":"[masked]"}}}"#;
        assert_eq!(of(RecordKind::HuntingRow, row), left);
        assert_eq!(of(RecordKind::GraphAlert, r#"{"incidentId":7}"#), r#"{"incidentId":null}"#);
        let (left, _) = applied(&Redaction::of_everything(), body);
        assert_eq!((&left["id"], &left["title"]), (&"1".into(), &"[masked]".into()));
        assert!(!Redaction::of_everything().is_empty());
    }

    #[test]
    fn json_inside_a_text_is_looked_through() {
        let asked = redaction(&["**.Sid", "AdditionalFields.Host.Name"], &["**.AccountName"]);
        let inner = json!({"AccountName":"ann","Sid":"S-1","Host":{"Name":"h","Os":"w"},"n":1});
        let left_inner = json!({"AccountName":"[masked]","Host":{"Os":"w"},"n":1});
        let (left, done) = applied(&asked, &json!({ "AdditionalFields": inner.to_string() }).to_string());
        let text = left["AdditionalFields"].as_str().expect("still a text");
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), left_inner);
        assert_eq!(done, Redacted { dropped: 2, masked: 1 });
        // A list, a text in a text, several values, and one that is cut.
        let name = r#"{"AccountName":"ann"}"#;
        for (held, kept) in [
            (format!("[{name}]"), r#"[{"AccountName":"[masked]"}]"#.to_owned()),
            (json!(name).to_string(), json!(r#"{"AccountName":"[masked]"}"#).to_string()),
            (json!({"a": name}).to_string(), json!({"a": r#"{"AccountName":"[masked]"}"#}).to_string()),
            (
                format!("\u{feff} {name}\r\n{name} "),
                "{\"AccountName\":\"[masked]\"}\n{\"AccountName\":\"[masked]\"}".to_owned(),
            ),
            (r#"{"AccountName":"ann","Path":"C:\us"#.to_owned(), "[masked]".to_owned()),
            (r#"{"a":"{\"AccountName\" : \"an"#.to_owned(), "[masked]".to_owned()),
            ("seen: {'AccountName': 'ann'}".to_owned(), "[masked]".to_owned()),
        ] {
            let (left, done) = applied(&asked, &json!({ "x": held }).to_string());
            assert_eq!(left["x"], kept, "{held}");
            assert!(done.masked > 0, "{held}");
        }
        // As deep as one likes.
        let deep = (0..9).fold(name.to_owned(), |text, _| json!({ "a": text }).to_string());
        let (left, _) = applied(&asked, &json!({ "x": deep }).to_string());
        assert!(!left.to_string().contains("ann"), "{left}");
        // Whatever names none of them stays as it is written, also where it is odd.
        for kept in [
            r#""{ \"a\" : \"\\u0041\" }""#,
            r#""{0} of {1}""#,
            r#""it's AccountName: ann""#,
            r#""[not \"JSON\"""#,
            r#""\"""#,
            r#""""#,
        ] {
            let body = format!("{{\"x\":{kept}}}");
            let mut out = String::new();
            let done = asked.apply(RecordKind::GraphAlert, &body, &mut out).expect("JSON");
            assert_eq!((out, done), (body, Redacted::default()));
        }
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
            // The same where it stands in a text, or in a text within one.
            let mut text = json!({"a": value}).to_string();
            for _ in 0..2 {
                let (left, done) = applied(&redaction(&["y"], &["**.a"]), &json!({ "x": text, "y": 1 }).to_string());
                prop_assert!(!left.to_string().contains("secret"), "{}", left);
                prop_assert!(done.dropped == 1);
                text = json!({ "t": text }).to_string();
            }
        }

        #[test]
        fn any_text_is_survived(body in ".{0,60}|[\\[\\]{}:,\"ab]{0,40}") {
            redaction(&["a"], &["b"]).apply(RecordKind::HuntingRow, &body, &mut String::new()).ok();
        }
    }
}
