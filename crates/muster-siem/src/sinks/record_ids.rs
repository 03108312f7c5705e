//! What a record version is known by at receivers that tell repetitions: tenant, source, id, time of update and
//! content.

use muster_model::{ContentHash, DeliveryBatch, RecordHead};

use super::batch::Part;
use crate::formats::Event;

/// Which version of its record it is, in words: the time of update, and the content's digest.
pub(super) fn version(head: &RecordHead) -> String {
    let digest = u128::from_be_bytes(head.hash.0);
    match head.updated_at {
        Some(at) => format!("{at}#{digest:032x}"),
        None => format!("{digest:032x}"),
    }
}

/// What each record of a delivery batch is known by.
pub(super) struct RecordIds(Vec<String>);

impl RecordIds {
    pub(super) fn of(batch: DeliveryBatch<'_>) -> Self {
        Self::within(&[], batch)
    }

    /// The same where several sinks send to one receiver, each of them things of its own: what one has sent there must
    /// not pass for what another is about to send.
    pub(super) fn of_sink(sink: &str, batch: DeliveryBatch<'_>) -> Self {
        Self::within(&[sink], batch)
    }

    fn within(scope: &[&str], batch: DeliveryBatch<'_>) -> Self {
        let tenant = batch.tenant.id.to_string();
        let records = batch.records().map(|(source, record)| {
            let updated_at = record.head.updated_at.map(|at| at.to_string()).unwrap_or_default();
            let source = source.to_string();
            let mut known_by = Vec::new();
            for part in scope.iter().copied().chain([&*tenant, &*source, &*record.head.id, &*updated_at]) {
                // With the length before it, no two rows of texts read alike.
                known_by.extend_from_slice(&(part.len() as u64).to_le_bytes());
                known_by.extend_from_slice(part.as_bytes());
            }
            known_by.extend_from_slice(&record.head.hash.0);
            format!("{:032x}", u128::from_be_bytes(ContentHash::of(&known_by).0))
        });
        Self(records.collect())
    }

    /// What each event of `part` is known by: one of several that a record became has its number and a digest of its own
    /// content behind it.
    pub(super) fn of_part(&self, part: &Part) -> Vec<String> {
        part.events().map(|event| self.of_event(&event)).collect()
    }

    /// The same of one event.
    pub(super) fn of_event(&self, event: &Event<'_>) -> String {
        let record = self.0.get(event.envelope.record).map(String::as_str).unwrap_or_default();
        match event.envelope.parts {
            1 => record.to_owned(),
            // A record that is split anew, since another length is allowed by now, becomes other events of the same
            // numbers: the old ones must not pass for them.
            _ => {
                let content = event.envelope.first.unwrap_or_else(|| ContentHash::of(event.bytes));
                let content = u128::from_be_bytes(content.0);
                format!("{record}-{}-{content:032x}", event.envelope.part)
            }
        }
    }
}
