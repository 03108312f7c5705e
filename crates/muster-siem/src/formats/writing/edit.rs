//! Changes to the fields of an event that is already written: fields dropped, renamed, set, added.
//!
//! Only custom mappings and events that are too big come here. What a format writes reads back without doubt, so
//! editing its output is safe, and formats need not know of it. Values are escaped for the syntax they go into.

use muster_model::json::{Error, Reader};

use super::visible::{self, Place};
use crate::formats::error::FormatError;

/// How the fields of an event are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Seven fields with bars, then `key=value` with spaces between.
    Cef,
    /// Six or more fields with bars, then `key=value` with this delimiter between.
    Leef(u8),
    /// One JSON object. Names are paths with dots.
    Json,
}

/// The names of the head's fields in CEF, in order, as they are set.
pub(crate) const CEF_HEAD: [&str; 6] =
    ["head.vendor", "head.product", "head.version", "head.signature", "head.name", "head.severity"];
/// The same of LEEF.
pub(crate) const LEEF_HEAD: [&str; 4] = ["head.vendor", "head.product", "head.version", "head.event_id"];

/// The name of a field, taken apart at its dots where the syntax has paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(Vec<String>);

impl Path {
    /// `a.b` is `b` in `a`; `a\.b` is one name with a dot. `None` when a part is empty.
    pub(crate) fn parse(syntax: Syntax, text: &str) -> Option<Self> {
        if syntax != Syntax::Json {
            return (!text.is_empty()).then(|| Self(vec![text.to_owned()]));
        }
        let mut parts = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => parts.last_mut()?.push(characters.next()?),
                '.' => parts.push(String::new()),
                other => parts.last_mut()?.push(other),
            }
        }
        parts.iter().all(|part| !part.is_empty()).then_some(Self(parts))
    }

    fn flat(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

/// A new value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewValue {
    /// Text, to be escaped.
    Text(String),
    /// A JSON value, inserted into JSON as it is; its text elsewhere.
    Json(String),
}

/// The changes to one event, in this order: what is dropped, what gets another name, what is set, and what is added
/// where nothing stands yet. A name that is set or renamed to wins over the format's own field of that name.
#[derive(Debug, Default)]
pub(crate) struct Edit<'a> {
    pub(crate) drop: Vec<&'a Path>,
    pub(crate) rename: Vec<(&'a Path, &'a Path)>,
    /// `None` takes the field away.
    pub(crate) set: Vec<(&'a Path, Option<NewValue>)>,
    pub(crate) add: Vec<(&'a Path, NewValue)>,
}

/// Appends `event` with the changes made.
///
/// # Errors
/// When the event cannot be read. Nothing sensible was appended then.
pub(crate) fn apply(
    syntax: Syntax,
    edit: &Edit<'_>,
    event: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    let event =
        std::str::from_utf8(event).map_err(|error| FormatError::Malformed { at: error.valid_up_to() })?;
    match syntax {
        Syntax::Json => Ok(json(edit, event, out)?),
        Syntax::Cef | Syntax::Leef(_) => {
            flat(syntax, edit, event, out);
            Ok(())
        }
    }
}

/// The fields of a CEF or LEEF event: the head with its last bar, and keys with their values as written.
pub(crate) fn flat_fields(syntax: Syntax, event: &str) -> (&str, Vec<(&str, &str)>) {
    let bars = match syntax {
        Syntax::Leef(_) => 6,
        _ => 7,
    };
    let mut seen = 0;
    let mut escaped = false;
    let head = event
        .bytes()
        .position(|byte| {
            // LEEF has no escapes in its head.
            let bar = byte == b'|' && !escaped;
            escaped = byte == b'\\' && !escaped && syntax == Syntax::Cef;
            seen += usize::from(bar);
            bar && seen == bars
        })
        .map_or(event.len(), |at| at + 1);
    let (head, rest) = event.split_at(head);
    let fields = match syntax {
        Syntax::Leef(delimiter) => {
            rest.split(char::from(delimiter)).filter_map(|field| field.split_once('=')).collect()
        }
        _ => cef_fields(rest),
    };
    (head, fields)
}

/// An `=` without a backslash before it ends a key, which begins after the last space before it.
fn cef_fields(extension: &str) -> Vec<(&str, &str)> {
    let bytes = extension.as_bytes();
    let mut equals = Vec::new();
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'=', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found;
        if bytes[at] == b'=' {
            equals.push(at);
            at += 1;
        } else {
            at += 2;
        }
    }
    let key_start = |equal: usize| extension[..equal].rfind(' ').map_or(0, |space| space + 1);
    let mut fields = Vec::with_capacity(equals.len());
    for (number, &equal) in equals.iter().enumerate() {
        let end = equals.get(number + 1).map_or(extension.len(), |&next| key_start(next).saturating_sub(1));
        let value = extension.get(equal + 1..end).unwrap_or_default();
        fields.push((&extension[key_start(equal)..equal], value));
    }
    fields
}

fn flat(syntax: Syntax, edit: &Edit<'_>, event: &str, out: &mut Vec<u8>) {
    let (head, fields) = flat_fields(syntax, event);
    let present = |name: &str| fields.iter().any(|(key, _)| *key == name);
    let renamed: Vec<_> = edit
        .rename
        .iter()
        .filter(|(from, _)| present(from.flat()) && !edit.drop.contains(from))
        .map(|(from, to)| (from.flat(), to.flat()))
        .collect();
    let is_set = |name: &str| edit.set.iter().any(|(path, _)| path.flat() == name);
    let is_dropped = |name: &str| edit.drop.iter().any(|path| path.flat() == name);

    write_head(syntax, edit, head, out);
    let mut line = FlatLine { syntax, out, first: true };
    let mut names = Vec::with_capacity(fields.len());
    for (key, value) in &fields {
        // A label goes with its field.
        let (base, label) = match key.strip_suffix("Label") {
            Some(base) if present(base) => (base, "Label"),
            _ => (*key, ""),
        };
        if is_dropped(base) || is_dropped(key) || is_set(key) {
            continue;
        }
        let target = renamed.iter().find(|(from, _)| *from == base).map(|(_, to)| *to);
        let name = format!("{}{label}", target.unwrap_or(base));
        let taken = target.is_none() && renamed.iter().any(|(_, to)| *to == base) || is_set(&name);
        if !taken {
            line.field(&name, value);
            names.push(name);
        }
    }
    let set = edit.set.iter().filter_map(|(path, value)| Some((path, value.as_ref()?)));
    for (path, value) in set.chain(edit.add.iter().map(|(path, value)| (path, value))) {
        let name = path.flat();
        if !name.starts_with("head.") && !names.iter().any(|known| known == name) {
            line.new_field(name, value);
            names.push(name.to_owned());
        }
    }
}

/// Copies the head, with its fields that are set.
fn write_head(syntax: Syntax, edit: &Edit<'_>, head: &str, out: &mut Vec<u8>) {
    let names: &[&str] = if syntax == Syntax::Cef { &CEF_HEAD } else { &LEEF_HEAD };
    let find = |name: &str| {
        edit.set.iter().find(|(path, _)| path.flat() == name).and_then(|(_, value)| value.as_ref())
    };
    if names.iter().all(|name| find(name).is_none()) {
        out.extend_from_slice(head.as_bytes());
        return;
    }
    let mut escaped = false;
    let fields = head.strip_suffix('|').unwrap_or(head).split(|character| {
        let bar = character == '|' && !escaped;
        escaped = character == '\\' && !escaped && syntax == Syntax::Cef;
        bar
    });
    for (position, field) in fields.enumerate() {
        let set =
            position.checked_sub(1).and_then(|position| names.get(position)).and_then(|name| find(name));
        match set {
            Some(NewValue::Text(text) | NewValue::Json(text)) => match syntax {
                Syntax::Cef => visible::push(out, text, Place::CefHeader),
                _ => visible::push(out, text, Place::LeefHeader),
            },
            None => out.extend_from_slice(field.as_bytes()),
        }
        out.push(b'|');
    }
}

struct FlatLine<'o> {
    syntax: Syntax,
    out: &'o mut Vec<u8>,
    first: bool,
}

impl FlatLine<'_> {
    fn key(&mut self, name: &str) {
        if !self.first {
            match self.syntax {
                Syntax::Leef(delimiter) => self.out.push(delimiter),
                _ => self.out.push(b' '),
            }
        }
        self.first = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'=');
    }

    fn field(&mut self, name: &str, written: &str) {
        self.key(name);
        self.out.extend_from_slice(written.as_bytes());
    }

    fn new_field(&mut self, name: &str, value: &NewValue) {
        self.key(name);
        let (NewValue::Text(text) | NewValue::Json(text)) = value;
        match self.syntax {
            Syntax::Leef(delimiter) => visible::push(self.out, text, Place::LeefValue(delimiter)),
            _ => visible::push(self.out, text, Place::CefValue),
        }
    }
}

/// What becomes of the value at a path.
#[derive(Clone, Copy)]
enum Action<'a> {
    Drop,
    /// A JSON value.
    Put(&'a str),
}

type Change<'a> = (&'a [String], Action<'a>);

fn json(edit: &Edit<'_>, event: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut put: Vec<(&[String], String)> = Vec::new();
    let mut steps: Vec<Change<'_>> = edit.drop.iter().map(|path| (path.0.as_slice(), Action::Drop)).collect();
    for (from, to) in &edit.rename {
        if edit.drop.contains(from) {
            continue;
        }
        if let Some(value) = find(event, &from.0)? {
            steps.push((&from.0, Action::Drop));
            put.push((&to.0, value.to_owned()));
        }
    }
    for (path, value) in &edit.set {
        put.retain(|(taken, _)| *taken != path.0.as_slice());
        match value {
            Some(value) => put.push((&path.0, as_json(value))),
            None => steps.push((&path.0, Action::Drop)),
        }
    }
    for (path, value) in &edit.add {
        let taken = put.iter().any(|(taken, _)| *taken == path.0.as_slice());
        if !taken && find(event, &path.0)?.is_none() {
            put.push((&path.0, as_json(value)));
        }
    }
    // What is put wins over what is dropped: it comes first.
    let mut all: Vec<Change<'_>> = put.iter().map(|(path, value)| (*path, Action::Put(value))).collect();
    all.append(&mut steps);
    rewrite(&mut Reader::new(event), &all, out)
}

fn as_json(value: &NewValue) -> String {
    match value {
        NewValue::Text(text) => serde_json::to_string(text).expect("a string is JSON"),
        NewValue::Json(json) => json.clone(),
    }
}

/// The value at a path through objects, as written.
pub(crate) fn find<'e>(event: &'e str, path: &[String]) -> Result<Option<&'e str>, Error> {
    let Some((first, rest)) = path.split_first() else { return Ok(Some(event)) };
    let mut found = None;
    Reader::new(event).object(|key, reader| {
        if key == first {
            found = Some(reader.raw()?)
        } else {
            reader.skip()?
        }
        Ok(())
    })?;
    match found {
        Some(value) if value.starts_with('{') || rest.is_empty() => find(value, rest),
        _ => Ok(None),
    }
}

/// Copies one value with the steps taken in it.
fn rewrite<'e>(reader: &mut Reader<'e>, steps: &[Change<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    match reader.peek()? {
        b'[' => {
            // Dropping goes into each item of a list; a value is put into none.
            let drops: Vec<_> =
                steps.iter().filter(|(_, action)| matches!(action, Action::Drop)).copied().collect();
            out.push(b'[');
            let mut apart = false;
            reader.items(|reader| {
                if std::mem::replace(&mut apart, true) {
                    out.push(b',');
                }
                rewrite(reader, &drops, out)
            })?;
            out.push(b']');
        }
        b'{' => {
            out.push(b'{');
            let mut separator = "";
            let mut seen: Vec<&str> = Vec::new();
            reader.object(|key, reader| {
                let inner: Vec<Change<'_>> = steps
                    .iter()
                    .filter_map(|(path, action)| match path.split_first() {
                        Some((first, rest)) if first == key => Some((rest, *action)),
                        _ => None,
                    })
                    .collect();
                let whole = inner.iter().find(|(rest, _)| rest.is_empty());
                if whole.is_some() && seen.contains(&key) {
                    return reader.skip();
                }
                if let Some((_, Action::Drop)) = whole {
                    return reader.skip();
                }
                out.extend_from_slice(separator.as_bytes());
                separator = ",";
                out.push(b'"');
                out.extend_from_slice(key.as_bytes());
                out.extend_from_slice(b"\":");
                match whole {
                    Some((_, Action::Put(value))) => {
                        seen.push(key);
                        out.extend_from_slice(value.as_bytes());
                        reader.skip()
                    }
                    _ if inner.is_empty() => {
                        out.extend_from_slice(reader.raw()?.as_bytes());
                        Ok(())
                    }
                    _ => {
                        seen.push(key);
                        rewrite(reader, &inner, out)
                    }
                }
            })?;
            let missing: Vec<Change<'_>> = steps
                .iter()
                .filter(|(path, action)| {
                    matches!(action, Action::Put(_))
                        && path.first().is_some_and(|first| !seen.contains(&first.as_str()))
                })
                .copied()
                .collect();
            push_missing(&missing, separator, out);
            out.push(b'}');
        }
        _ => out.extend_from_slice(reader.raw()?.as_bytes()),
    }
    Ok(())
}

/// Appends fields that are not there yet, with the objects around them.
fn push_missing(steps: &[Change<'_>], mut separator: &str, out: &mut Vec<u8>) {
    let mut done: Vec<&str> = Vec::new();
    for (path, action) in steps {
        let (Some((first, rest)), Action::Put(value)) = (path.split_first(), action) else { continue };
        if done.contains(&first.as_str()) {
            continue;
        }
        done.push(first);
        out.extend_from_slice(separator.as_bytes());
        separator = ",";
        serde_json::to_writer(&mut *out, first).expect("a string is JSON, and memory takes it");
        out.push(b':');
        if rest.is_empty() {
            out.extend_from_slice(value.as_bytes());
            continue;
        }
        let inner: Vec<Change<'_>> = steps
            .iter()
            .filter_map(|(path, action)| match path.split_first() {
                Some((head, rest)) if head == first && !rest.is_empty() => Some((rest, *action)),
                _ => None,
            })
            .collect();
        out.push(b'{');
        push_missing(&inner, "", out);
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::{Edit, NewValue, Path, Syntax, apply, flat_fields};

    fn path(syntax: Syntax, text: &str) -> Path {
        Path::parse(syntax, text).expect("a path")
    }

    fn edited(
        syntax: Syntax,
        event: &str,
        drop: &[&str],
        rename: &[(&str, &str)],
        set: &[(&str, &str)],
        add: &[(&str, &str)],
    ) -> String {
        let path = |text: &str| path(syntax, text);
        let drop: Vec<_> = drop.iter().map(|text| path(text)).collect();
        let rename: Vec<_> = rename.iter().map(|(from, to)| (path(from), path(to))).collect();
        let set: Vec<_> = set.iter().map(|(name, value)| (path(name), *value)).collect();
        let add: Vec<_> = add.iter().map(|(name, value)| (path(name), *value)).collect();
        let edit = Edit {
            drop: drop.iter().collect(),
            rename: rename.iter().map(|(from, to)| (from, to)).collect(),
            set: set
                .iter()
                .map(|(path, value)| (path, (!value.is_empty()).then(|| NewValue::Text((*value).to_owned()))))
                .collect(),
            add: add.iter().map(|(path, value)| (path, NewValue::Text((*value).to_owned()))).collect(),
        };
        let mut out = Vec::new();
        apply(syntax, &edit, event.as_bytes(), &mut out).expect("an event");
        String::from_utf8(out).expect("text")
    }

    const CEF: &str =
        r"CEF:0|a\|b|c|1|s|n|5|externalId=1 msg=a \= b\\ cs1=x cs1Label=threat suser=eve fname=x y.exe";

    #[test]
    fn fields_of_cef_are_found() {
        let (head, fields) = flat_fields(Syntax::Cef, CEF);
        assert_eq!(head, r"CEF:0|a\|b|c|1|s|n|5|");
        assert_eq!(fields[1], ("msg", r"a \= b\\"));
        assert_eq!(fields.last(), Some(&("fname", "x y.exe")));
    }

    #[test]
    fn cef_is_edited() {
        let done = edited(
            Syntax::Cef,
            CEF,
            &["suser"],
            &[("cs1", "cs9"), ("nothing", "msg")],
            &[("fname", "z=|\n"), ("new", "v"), ("head.name", "N|"), ("msg", "")],
            &[("externalId", "no"), ("more", "m")],
        );
        assert_eq!(
            done,
            r"CEF:0|a\|b|c|1|s|N\||5|externalId=1 cs9=x cs9Label=threat fname=z\=|\n new=v more=m"
        );
        // The renamed field wins over the format's own.
        assert_eq!(
            edited(Syntax::Cef, "CEF:0|a|b|c|s|n|5|x=1 y=2", &[], &[("x", "y")], &[], &[]),
            "CEF:0|a|b|c|s|n|5|y=1"
        );
    }

    #[test]
    fn leef_is_edited() {
        let done = edited(
            Syntax::Leef(b'^'),
            "LEEF:2.0|a|b|c|id|^|cat=x=y^sev=5^usrName=eve",
            &["sev"],
            &[("usrName", "who")],
            &[("head.event_id", "a|b"), ("t", "1^2\t3")],
            &[],
        );
        assert_eq!(done, "LEEF:2.0|a|b|c|a<U+007C>b|^|cat=x=y^who=eve^t=1<U+005E>2\\t3");
    }

    #[test]
    fn json_is_edited() {
        let event = r#"{"a":{"b":1,"c":[{"d":1,"e":2},3]},"f":"x","g":null}"#;
        let done = edited(
            Syntax::Json,
            event,
            &["a.c.d", "g"],
            &[("f", "h.i")],
            &[("a.b", "B\""), ("h.j", "J"), ("k.l.m", "M"), ("k.n", "N")],
            &[("a.b", "no"), ("a.z", "Z")],
        );
        let value: serde_json::Value = serde_json::from_str(&done).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "a": { "b": "B\"", "c": [{ "e": 2 }, 3], "z": "Z" },
                "h": { "i": "x", "j": "J" },
                "k": { "l": { "m": "M" }, "n": "N" },
            })
        );
        assert_eq!(edited(Syntax::Json, "{}", &["a"], &[("b", "c")], &[("d", "")], &[]), "{}");
        assert_eq!(edited(Syntax::Json, r#"{"a.b":1}"#, &[r"a\.b"], &[], &[], &[]), "{}");
        // A value cannot be put into what is no object.
        assert_eq!(edited(Syntax::Json, r#"{"f":"x"}"#, &[], &[], &[("f.y", "1")], &[]), r#"{"f":"x"}"#);
    }

    #[test]
    fn paths_have_no_empty_parts() {
        for wrong in ["", ".", "a.", ".a", "a..b", "a\\"] {
            assert_eq!(Path::parse(Syntax::Json, wrong), None, "{wrong}");
        }
        assert_eq!(Path::parse(Syntax::Cef, ""), None);
        assert!(Path::parse(Syntax::Cef, "a.b").is_some());
    }
}
