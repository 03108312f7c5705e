//! What stands around an event in its record: the key by which its partition is chosen, and the headers by which those
//! who read it know it.

use muster_model::DeliveryBatch;

use crate::formats::Event;
use crate::sinks::record_ids::RecordIds;

/// Key and headers of each record of a delivery batch.
pub(super) struct Heads {
    ids: RecordIds,
    tenant: String,
    content_type: &'static str,
    records: Vec<Head>,
}

struct Head {
    key: String,
    source: String,
    id: String,
    version: String,
    digest: String,
}

impl Heads {
    pub(super) fn of(batch: DeliveryBatch<'_>, content_type: &'static str) -> Self {
        let tenant = batch.tenant.id.to_string();
        let records = batch.records().map(|(source, record)| {
            let head = record.head;
            Head {
                key: format!("{tenant}/{source}/{}", head.id),
                source: source.to_string(),
                id: head.id.clone(),
                version: head.updated_at.map(|at| at.to_string()).unwrap_or_default(),
                digest: format!("{:032x}", u128::from_be_bytes(head.hash.0)),
            }
        });
        Self { ids: RecordIds::of(batch), records: records.collect(), tenant, content_type }
    }

    /// The record of an event: key, value, headers.
    pub(super) fn with<T>(
        &self,
        event: &Event<'_>,
        take: impl FnOnce(&[u8], &[u8], &[(&str, &[u8])]) -> T,
    ) -> T {
        let Some(head) = self.records.get(event.envelope.record) else { return take(&[], event.bytes, &[]) };
        let event_id = self.ids.of_event(event);
        let mut headers: Vec<(&str, &[u8])> = vec![
            ("event_id", event_id.as_bytes()),
            ("tenant_id", self.tenant.as_bytes()),
            ("source", head.source.as_bytes()),
            ("record_id", head.id.as_bytes()),
            ("record_digest", head.digest.as_bytes()),
            ("content_type", self.content_type.as_bytes()),
        ];
        if !head.version.is_empty() {
            headers.push(("record_version", head.version.as_bytes()));
        }
        let part = format!("{}/{}", event.envelope.part, event.envelope.parts);
        if event.envelope.parts > 1 {
            headers.push(("part", part.as_bytes()));
        }
        take(head.key.as_bytes(), event.bytes, &headers)
    }

    pub(super) fn key(&self, event: &Event<'_>) -> &[u8] {
        self.records.get(event.envelope.record).map_or(&[], |head| head.key.as_bytes())
    }
}
