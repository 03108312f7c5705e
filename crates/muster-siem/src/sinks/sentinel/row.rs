//! The row of an event: what its record is known by, a few facts to search by, and the event itself.

use std::io::Write as _;

use muster_model::json::Reader;
use muster_model::{ContentHash, DeliveryBatch, Record, TenantLabel};

use crate::formats::Event;
use crate::sinks::record_ids;
use crate::sinks::settings::FormatName;

/// The longest value of a field, in bytes of UTF-8. The service cuts at 64 KB in silence, and does not say of what: this many
/// bytes are less than 64,000 in UTF-8 and in UTF-16, escaped or not.
pub const FIELD_BYTES_MAX: usize = 32_000;
/// How much of a title stands in its column; all of it stands in the event.
const TITLE_CHARS_MAX: usize = 1_000;
/// How much of a tenant's name.
const NAME_CHARS_MAX: usize = 500;
/// Where titles stand, in whichever kind of record.
const TITLES: [&str; 4] = ["title", "displayName", "incidentName", "AlertTitle"];

/// A column of the table, and of the rule's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name. `TenantId`, `Type`, `Title`, `id` and others are Log Analytics' own.
    pub name: &'static str,
    /// What it holds.
    pub holds: ColumnType,
    /// What it is, in a few words.
    pub about: &'static str,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// An instant.
    DateTime,
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// Any JSON.
    Dynamic,
}

impl ColumnType {
    /// The word in the templates of rules and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DateTime => "datetime",
            Self::Text => "string",
            Self::Int => "int",
            Self::Dynamic => "dynamic",
        }
    }
}

const fn column(name: &'static str, holds: ColumnType, about: &'static str) -> Column {
    Column { name, holds, about }
}

/// Every column of a row, and no other: the service leaves out what a rule does not declare, and says nothing.
pub const COLUMNS: [Column; 16] = [
    column(
        "TimeGenerated",
        ColumnType::DateTime,
        "when the record was created, or else last changed; Azure puts the time of arrival in place of one more than two days old",
    ),
    column("CustomerId", ColumnType::Text, "the customer's Entra tenant"),
    column("CustomerSlug", ColumnType::Text, "the customer's short name in Muster"),
    column("CustomerName", ColumnType::Text, "the customer's name"),
    column("RecordSource", ColumnType::Text, "the API it was read from"),
    column("RecordId", ColumnType::Text, "Microsoft's id of the alert or incident"),
    column("RecordVersion", ColumnType::Text, "time of update and digest: names one version of the record"),
    column("RecordCreated", ColumnType::DateTime, "when it was created"),
    column("RecordUpdated", ColumnType::DateTime, "when Microsoft last changed it"),
    column("RecordSeverity", ColumnType::Text, "how bad it is"),
    column("RecordTitle", ColumnType::Text, "what it is called"),
    column("Part", ColumnType::Int, "which of the record's rows this is, counted from 1"),
    column("Parts", ColumnType::Int, "how many rows the record became"),
    column("Format", ColumnType::Text, "how the event is written: raw, ecs or ocsf"),
    column("EventBytes", ColumnType::Int, "how long the event was when it was sent, in bytes"),
    column("Event", ColumnType::Dynamic, "the event"),
];

/// The columns that a record's rows have in common, by the record's number, as JSON without an end.
pub(super) struct RecordColumns {
    records: Vec<Vec<u8>>,
    format: FormatName,
}

impl RecordColumns {
    pub(super) fn of(batch: DeliveryBatch<'_>, format: FormatName) -> Self {
        let records =
            batch.records().map(|(source, record)| of_record(batch.tenant, source.as_str(), record));
        Self { records: records.collect(), format }
    }

    /// Appends the row of an event, and a comma.
    pub(super) fn write_row(&self, event: &Event<'_>, row: &mut Vec<u8>) -> Result<(), String> {
        let length = event.bytes.len();
        if length > FIELD_BYTES_MAX {
            return Err(format!(
                "the event has {length} bytes, and a field of more than {FIELD_BYTES_MAX} may be cut by Azure in silence"
            ));
        }
        let envelope = &event.envelope;
        row.extend_from_slice(self.records.get(envelope.record).map(Vec::as_slice).unwrap_or_default());
        let (part, parts, format) = (envelope.part, envelope.parts, self.format.as_str());
        write!(row, r#""Part":{part},"Parts":{parts},"Format":"{format}","EventBytes":{length},"Event":"#)
            .expect("writing to memory does not fail");
        row.extend_from_slice(event.bytes);
        row.extend_from_slice(b"},");
        Ok(())
    }
}

fn of_record(tenant: &TenantLabel, source: &str, record: Record<'_>) -> Vec<u8> {
    let head = record.head;
    let version = record_ids::version(head);
    let mut row = vec![b'{'];
    let mut text = |name: &str, value: &str| {
        row.push(b'"');
        row.extend_from_slice(name.as_bytes());
        row.extend_from_slice(b"\":");
        serde_json::to_writer(&mut row, value).expect("writing to memory does not fail");
        row.push(b',');
    };
    let (created, updated) = (head.created_at, head.updated_at);
    let times =
        [("TimeGenerated", created.or(updated)), ("RecordCreated", created), ("RecordUpdated", updated)];
    for (name, at) in times {
        // Without one, the rule takes the time of arrival.
        at.iter().for_each(|at| text(name, &at.to_string()));
    }
    text("CustomerId", &tenant.id.to_string());
    text("CustomerSlug", tenant.slug.as_str());
    text("CustomerName", &shortened(&tenant.name, NAME_CHARS_MAX));
    text("RecordSource", source);
    text("RecordId", &head.id);
    text("RecordVersion", &version);
    text("RecordSeverity", head.severity.as_str());
    if let Some(title) = title(record.body) {
        text("RecordTitle", &shortened(&title, TITLE_CHARS_MAX));
    }
    row
}

/// The record's title, where it has one.
fn title(body: &str) -> Option<String> {
    let mut found: Option<(usize, &str)> = None;
    let read = Reader::new(body).object(|key, reader| {
        let rank = TITLES.iter().position(|name| *name == key);
        let value = reader.raw()?;
        if let Some(rank) = rank.filter(|_| value.starts_with('"'))
            && found.is_none_or(|(before, _)| rank < before)
        {
            found = Some((rank, value));
        }
        Ok(())
    });
    read.ok().and(found).and_then(|(_, value)| serde_json::from_str(value).ok())
}

/// A text that says of itself that it was shortened, and of which no two that differ read alike.
fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => {
            let digest = u128::from_be_bytes(ContentHash::of(text.as_bytes()).0);
            format!("{}… (shortened, digest {digest:032x})", &text[..end])
        }
    }
}
