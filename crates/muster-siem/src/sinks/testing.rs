//! Delivery batches to deliver in tests.

use muster_model::{
    Batch, ContentHash, Delivery, DeliveryNumber, RecordHead, Selection, Severity, Source, TenantId,
    TenantLabel,
};

use super::DeliveryBatch;

/// A tenant's label, a different one for each number.
pub(super) fn tenant(number: u128) -> TenantLabel {
    TenantLabel {
        id: TenantId::from(uuid::Uuid::from_u128(number + 1)),
        slug: format!("tenant-{number}").parse().expect("a slug"),
        name: format!("Tenant {number}"),
    }
}

/// A delivery of these bodies as they are.
pub(super) fn delivery(number: u64, bodies: &[&str]) -> Delivery {
    let mut batch = Batch::new();
    for (index, body) in bodies.iter().enumerate() {
        let at = Some("2026-01-02T03:04:05.1234567Z".parse().expect("a time"));
        let head = RecordHead {
            id: format!("{number}-{index}"),
            updated_at: at,
            created_at: at,
            severity: Severity::High,
            hash: ContentHash::of(body.as_bytes()),
        };
        batch.push(head, body);
    }
    Delivery {
        number: DeliveryNumber(number),
        source: Source::GraphAlerts,
        batch: batch.into(),
        selection: Selection::All,
    }
}

/// A body with this id.
pub(super) fn body(id: &str) -> String {
    format!(r#"{{"id":"{id}","createdDateTime":"2026-01-02T03:04:05.1234567Z","severity":"high"}}"#)
}

/// Deliveries together.
pub(super) fn delivery_batch<'a>(tenant: &'a TenantLabel, deliveries: &'a [Delivery]) -> DeliveryBatch<'a> {
    DeliveryBatch { tenant, deliveries }
}
