//! Columns of hunting rows that hold JSON, as an object or list or inside a string.

use muster_model::json::{Kind, Tape, Value};

use super::hunting::HuntingRow;

/// The columns that hold JSON inside a string.
const JSON_COLUMNS: [&str; 9] = [
    "AdditionalFields",
    "AttackTechniques",
    "Categories",
    "ConnectedNetworks",
    "DnsAddresses",
    "IPAddresses",
    "LoggedOnUsers",
    "RecipientDetails",
    "UrlChain",
];

/// The decoded text of the columns that hold JSON inside a string.
#[derive(Debug, Default)]
pub(crate) struct Inner(Vec<(&'static str, String)>);

impl Inner {
    pub(crate) fn read(row: &HuntingRow<'_>) -> Self {
        let decoded = JSON_COLUMNS.iter().filter_map(|column| {
            let value = row.fields.get(column);
            let looks = value.text().as_written().trim_start().starts_with(['{', '[']);
            (value.kind() == Some(Kind::String) && looks)
                .then(|| (*column, value.text().decoded().into_owned()))
        });
        Self(decoded.collect())
    }

    /// The values in them. What is no JSON after all is left a string.
    pub(crate) fn tapes(&self) -> InnerTapes<'_> {
        let tapes = self.0.iter().filter_map(|(column, text)| Some((*column, read_inner(text)?)));
        InnerTapes(tapes.collect())
    }
}

/// JSON that stood inside a string, taken apart. No parser has seen it yet, and a document copies its texts as they
/// are: so a real one looks first.
pub(crate) fn read_inner(text: &str) -> Option<Tape<'_>> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    Tape::read(text).ok()
}

/// The columns that hold JSON inside a string, taken apart.
#[derive(Debug, Default)]
pub(crate) struct InnerTapes<'a>(Vec<(&'static str, Tape<'a>)>);

impl<'a> InnerTapes<'a> {
    /// The value of a column.
    pub(crate) fn get<'s>(&'s self, row: &HuntingRow<'s>, column: &str) -> Value<'s>
    where
        'a: 's,
    {
        match self.0.iter().find(|(name, _)| *name == column) {
            Some((_, tape)) => tape.root(),
            None => row.fields.get(column),
        }
    }
}
