//! Columns of hunting rows that hold JSON, as an object or list or inside a string.

use muster_model::json::{Kind, Tape, Value};

use super::evident::{Evident, Joined, kind_of_item};
use super::hunting::HuntingRow;

/// The columns that hold JSON inside a string.
pub(crate) const JSON_COLUMNS: [&str; 10] = [
    "AdditionalFields",
    "AttackTechniques",
    "Categories",
    "ConnectedNetworks",
    "DnsAddresses",
    "Entities",
    "IPAddresses",
    "LoggedOnUsers",
    "RecipientDetails",
    "UrlChain",
];

/// The decoded text of the columns that hold JSON inside a string.
#[derive(Debug, Default)]
pub(crate) struct Inner(Vec<(&'static str, String)>);

/// The alert of another product that a row of the audit log holds, JSON inside a string: an automated investigation's.
const AUDITED: &str = "RawEventData.Data";

impl Inner {
    /// The text of those of `columns` that look like JSON.
    pub(crate) fn read(row: &HuntingRow<'_>, columns: &[&'static str]) -> Self {
        let decoded = |column: &&'static str| Some((*column, decoded(row.fields.get(column))?));
        let audited = audited(row).map(|text| (AUDITED, text));
        Self(columns.iter().filter_map(decoded).chain(audited).collect())
    }

    /// The values in them. What is no JSON after all is left a string.
    pub(crate) fn tapes(&self, row: &HuntingRow<'_>) -> InnerTapes<'_> {
        let tapes = self.0.iter().filter_map(|(column, text)| Some((*column, read_inner(text)?)));
        let mut inner = InnerTapes { tapes: tapes.collect(), ..InnerTapes::default() };
        inner.joined = Joined::of(row.entity_kind(), inner.get(row, "AdditionalFields"));
        let items = inner.items(row);
        inner.joined_of_items = items.map(|item| Joined::of(kind_of_item(item), item)).collect();
        inner
    }
}

/// The text of a string that looks like JSON.
fn decoded(value: Value<'_>) -> Option<String> {
    let looks = value.text().as_written().trim_start().starts_with(['{', '[']);
    (value.kind() == Some(Kind::String) && looks).then(|| value.text().decoded().into_owned())
}

/// The text of [`AUDITED`], if the row is about an investigation.
fn audited(row: &HuntingRow<'_>) -> Option<String> {
    if !row.text("ActionType").as_written().starts_with("AirInvestigation") {
        return None;
    }
    let event = row.fields.get("RawEventData");
    if event.is_object() {
        return decoded(event.get("Data"));
    }
    let text = decoded(event)?;
    decoded(read_inner(&text)?.root().get("Data"))
}

/// JSON that stood inside a string, taken apart. No parser has seen it yet, and a document copies its texts as they
/// are: so a real one looks first.
pub(crate) fn read_inner(text: &str) -> Option<Tape<'_>> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    Tape::read(text).ok()
}

/// The columns that hold JSON inside a string, taken apart.
#[derive(Debug, Default)]
pub(crate) struct InnerTapes<'a> {
    tapes: Vec<(&'static str, Tape<'a>)>,
    /// What the entity of a row of alert evidence says in two parts.
    joined: Joined,
    /// The same of each item of `Entities`.
    joined_of_items: Vec<Joined>,
}

impl<'a> InnerTapes<'a> {
    /// The value of a column.
    pub(crate) fn get<'s>(&'s self, row: &HuntingRow<'s>, column: &str) -> Value<'s>
    where
        'a: 's,
    {
        match self.tapes.iter().find(|(name, _)| *name == column) {
            Some((_, tape)) => tape.root(),
            None => row.fields.get(column),
        }
    }

    /// What the entity of a row of alert evidence tells; nothing of any other row.
    pub(crate) fn evident<'s>(&'s self, row: &HuntingRow<'s>) -> Evident<'s>
    where
        'a: 's,
    {
        Evident::of(row.entity_kind(), self.get(row, "AdditionalFields"), &self.joined)
    }

    /// The entities of an alert of Sentinel, or of one that was investigated.
    fn items<'s>(&'s self, row: &HuntingRow<'s>) -> impl Iterator<Item = Value<'s>>
    where
        'a: 's,
    {
        let audited = self.tapes.iter().find(|(name, _)| *name == AUDITED);
        let audited = audited.map(|(_, tape)| tape.root().get("Entities")).unwrap_or_default();
        self.get(row, "Entities").items().chain(audited.items())
    }

    /// What each entity of an alert of Sentinel, or of one that was investigated, tells.
    pub(crate) fn entities<'s>(&'s self, row: &HuntingRow<'s>) -> impl Iterator<Item = Evident<'s>>
    where
        'a: 's,
    {
        let items = self.items(row).zip(&self.joined_of_items);
        items.map(|(item, joined)| Evident::of(kind_of_item(item), item, joined))
    }
}
