//! The tables behind the documentation of formats and behind `muster format --explain`: what each field of a format
//! holds and where in Microsoft's record it comes from.
//!
//! Each format has one table, `pub(crate) const FIELDS: &[FieldDoc]`. Tests prove that every field that is emitted
//! stands in it, that every row of it is emitted for some fixture, and that `docs/formats/` says the same.

use muster_model::RecordKind;
use muster_model::json::{self, Reader, Text};

use super::edit::{CEF_HEAD, LEEF_HEAD, Syntax, flat_fields};
use crate::formats::error::FormatError;

/// All kinds, for fields that every record has.
pub const ALL_KINDS: &[RecordKind] = &RecordKind::ALL;

/// One field of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldDoc {
    /// The field's name as emitted: a CEF key, or a path with dots and without list positions.
    pub name: &'static str,
    /// The kinds of record that can have it.
    pub kinds: &'static [RecordKind],
    /// Where the value comes from: paths in Microsoft's record, or what else it is made from.
    pub source: &'static str,
    /// What is done to it on the way, and which one is taken where there are several; empty for a plain copy.
    pub rule: &'static str,
}

/// A field of one emitted event, and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The field's name as emitted.
    pub name: String,
    /// Its value, as text.
    pub value: String,
    /// Its row in the format's table; `None` for what is Microsoft's own and passed through under its own name, or
    /// set by a custom mapping.
    pub field: Option<&'static FieldDoc>,
}

/// A table of fields as Markdown, for the page of a format.
#[must_use]
pub fn markdown(fields: &[FieldDoc]) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut page = String::from("| field | kinds | from | rule |\n|---|---|---|---|\n");
    for field in fields {
        let kinds = if field.kinds == ALL_KINDS {
            "all".to_owned()
        } else {
            field.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
        };
        page.push_str(&format!(
            "| `{}` | {kinds} | {} | {} |\n",
            field.name,
            cell(field.source),
            cell(field.rule)
        ));
    }
    page
}

/// The row of a field of a record of this kind. A row whose name ends in `*` is that of the fields that have none of
/// their own.
pub(crate) fn row(fields: &'static [FieldDoc], kind: RecordKind, name: &str) -> Option<&'static FieldDoc> {
    let of_kind = || fields.iter().filter(|field| field.kinds.contains(&kind));
    of_kind().find(|field| field.name == name).or_else(|| {
        of_kind().find(|field| field.name.strip_suffix('*').is_some_and(|start| name.starts_with(start)))
    })
}

/// The fields of an event with their rows. A label is no field: its field tells it.
pub(crate) fn explain(
    syntax: Syntax,
    fields: &'static [FieldDoc],
    kind: RecordKind,
    event: &[u8],
) -> Result<Vec<Explained>, FormatError> {
    let event =
        std::str::from_utf8(event).map_err(|error| FormatError::Malformed { at: error.valid_up_to() })?;
    let mut explained = Vec::new();
    let mut add = |name: &str, value: String| {
        explained.push(Explained { name: name.to_owned(), value, field: row(fields, kind, name) });
    };
    if syntax == Syntax::Json {
        let mut path = String::new();
        leaves(&mut Reader::new(event), &mut path, &mut add)?;
        return Ok(explained);
    }
    let (head, pairs) = flat_fields(syntax, event);
    let names: &[&str] = if syntax == Syntax::Cef { &CEF_HEAD } else { &LEEF_HEAD };
    for (name, value) in names.iter().zip(bars(syntax, head).skip(1)) {
        add(name, unescaped(syntax, value));
    }
    for (key, value) in &pairs {
        let is_label = |base: &str| pairs.iter().any(|(other, _)| *other == base);
        match key.strip_suffix("Label") {
            Some(base) if syntax == Syntax::Cef && is_label(base) => {}
            _ => add(key, unescaped(syntax, value)),
        }
    }
    Ok(explained)
}

/// The fields of a head.
fn bars(syntax: Syntax, head: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    head.split(move |character| {
        let bar = character == '|' && !escaped;
        escaped = character == '\\' && !escaped && syntax == Syntax::Cef;
        bar
    })
}

/// CEF's escapes taken off. LEEF has none.
fn unescaped(syntax: Syntax, value: &str) -> String {
    if syntax != Syntax::Cef {
        return value.to_owned();
    }
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(escaped) => escaped,
                None => '\\',
            },
            plain => plain,
        });
    }
    text
}

/// Calls `add` with the path and text of each string, number and boolean. Lists add nothing to a path.
fn leaves(
    reader: &mut Reader<'_>,
    path: &mut String,
    add: &mut impl FnMut(&str, String),
) -> Result<(), json::Error> {
    match reader.peek()? {
        b'{' => reader.object(|key, reader| {
            let length = path.len();
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
            leaves(reader, path, add)?;
            path.truncate(length);
            Ok(())
        }),
        b'[' => reader.items(|reader| leaves(reader, path, add)),
        _ => {
            let text: Text<'_> = reader.text()?;
            if !text.is_blank() {
                add(path, text.decoded().into_owned());
            }
            Ok(())
        }
    }
}
