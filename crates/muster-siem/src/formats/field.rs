//! The tables behind the documentation of formats and behind `muster format --explain`: what each field of a format
//! holds and where in Microsoft's record it comes from.
//!
//! Each format has one table, `pub(super) const FIELDS: &[FieldDoc]`. Tests prove that every field that is emitted
//! stands in it, that every row of it is emitted for some fixture, and that `docs/formats/` says the same.

use super::RecordKind;

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
