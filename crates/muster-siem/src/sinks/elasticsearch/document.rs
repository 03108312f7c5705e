//! What a document is known by, and the body of a bulk request.

use bytes::Bytes;
use muster_model::{ContentHash, DeliveryBatch};

use crate::formats::{Event, Format};
use crate::sinks::batch::Part;

/// What each record of a delivery batch is known by.
pub(super) struct RecordIds(Vec<String>);

impl RecordIds {
    pub(super) fn of(batch: DeliveryBatch<'_>) -> Self {
        let tenant = batch.tenant.id.to_string();
        let records = batch.records().map(|(source, record)| {
            let updated_at = record.head.updated_at.map(|at| at.to_string()).unwrap_or_default();
            let source = source.to_string();
            let mut known_by = Vec::new();
            for part in [&tenant, &source, &record.head.id, &updated_at] {
                // With the length before it, no two rows of texts read alike.
                known_by.extend_from_slice(&(part.len() as u64).to_le_bytes());
                known_by.extend_from_slice(part.as_bytes());
            }
            known_by.extend_from_slice(&record.head.hash.0);
            format!("{:032x}", u128::from_be_bytes(ContentHash::of(&known_by).0))
        });
        Self(records.collect())
    }

    /// The `_id` of each event of `part`.
    pub(super) fn of_part(&self, part: &Part) -> Vec<String> {
        part.events().map(|event| self.of_event(&event)).collect()
    }

    fn of_event(&self, event: &Event<'_>) -> String {
        let record = self.0.get(event.envelope.record).map(String::as_str).unwrap_or_default();
        match event.envelope.parts {
            1 => record.to_owned(),
            _ => format!("{record}-{}", event.envelope.part),
        }
    }
}

/// Where events go.
pub(super) enum Place {
    /// All of them into this index.
    Index(String),
    /// Each into the data stream that it names, of this namespace.
    OwnDataStream(String),
}

/// The body of a bulk request: for each event a line that says what is done, and the event on one line. Nothing in the names
/// needs escaping in JSON.
pub(super) fn bulk_body(part: &Part, ids: &[String], place: &Place, format: &Format) -> Bytes {
    let mut body = Vec::with_capacity(part.bytes().len() + ids.len() * 128);
    for (event, id) in part.events().zip(ids) {
        body.extend_from_slice(br#"{"create":{"_index":""#);
        match place {
            Place::Index(index) => body.extend_from_slice(index.as_bytes()),
            Place::OwnDataStream(namespace) => {
                let dataset = format.stream(&event.envelope).unwrap_or_default();
                for part in ["logs-", dataset, "-", namespace] {
                    body.extend_from_slice(part.as_bytes());
                }
            }
        }
        body.extend_from_slice(br#"","_id":""#);
        body.extend_from_slice(id.as_bytes());
        body.extend_from_slice(b"\"}}\n");
        let start = body.len();
        body.extend_from_slice(event.bytes);
        // Between the tokens of JSON a line end is a blank, and within a text it does not stand.
        for byte in body[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        body.push(b'\n');
    }
    body.into()
}
