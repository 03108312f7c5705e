//! Deliveries read back, and what a sink's answers change, whatever the engine.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use muster_model::{
    Batch, ContentHash, Delivery, DeliveryNumber, Lineage, ReplayId, Selection, Source, Tenant, TenantId,
};

use crate::counting::hour_of;
use crate::dead_letters::{SealedLetter, seal_letter};
use crate::packing::{StoredBatch, Unreadable, unpack};
use crate::sealing::DataKey;
use crate::stored::count;
use crate::{DeadLetterOrigin, DeliveryLease, FinishedDelivery, StoreError};

/// A delivery as it is stored, before its batch is read back.
pub(crate) struct StoredDelivery {
    pub(crate) lineage: Lineage,
    pub(crate) number: i64,
    pub(crate) records: i64,
    pub(crate) selection: Option<Vec<u8>>,
    pub(crate) batch_no: i64,
    pub(crate) replay: Option<ReplayId>,
    /// `None` when the batch is missing.
    pub(crate) batch: Option<(Source, Found)>,
}

/// Where a batch was found.
pub(crate) enum Found {
    /// In the journal.
    Stored(StoredBatch),
    /// It has just been journalled.
    Recent(Arc<Batch>),
}

/// A delivery whose batch cannot be read.
pub(crate) struct BrokenDelivery {
    pub(crate) number: i64,
    pub(crate) records: i64,
    pub(crate) letter: SealedLetter,
    pub(crate) batch_no: i64,
    pub(crate) selection: Selection,
}

/// Reads deliveries back. Those that cannot be read become dead letters, so that they hold nothing up.
pub(crate) fn read_back(
    stored: Vec<StoredDelivery>,
    tenant: TenantId,
    sink: &str,
    key: &DataKey,
) -> (Vec<Delivery>, Vec<BrokenDelivery>) {
    let (mut deliveries, mut broken) = (Vec::with_capacity(stored.len()), Vec::new());
    for StoredDelivery { lineage, number, records, selection, batch_no, replay, batch } in stored {
        let selection = selection.map_or(Selection::All, Selection::Some);
        let missing = Unreadable { reason: "the journal batch is missing".to_owned(), sealed: Vec::new() };
        let (source, read) = match batch {
            Some((source, Found::Recent(batch))) => (source, Ok(batch)),
            Some((source, Found::Stored(batch))) => (source, unpack(batch, tenant, key).map(Arc::new)),
            None => (Source::GraphAlerts, Err(missing)),
        };
        match read {
            Ok(batch) => deliveries.push(Delivery {
                lineage,
                number: DeliveryNumber(count(number)),
                source,
                batch,
                selection,
                replay,
            }),
            Err(Unreadable { reason, sealed }) => {
                let origin = DeadLetterOrigin::Sink { sink: sink.to_owned(), source };
                let hash = ContentHash::of(&sealed);
                let letter = seal_letter(key, tenant, &origin, None, reason, &sealed, hash);
                broken.push(BrokenDelivery { number, records, letter, batch_no, selection });
            }
        }
    }
    (deliveries, broken)
}

/// What a sink's answers change of a queue.
pub(crate) struct Settlement {
    /// Records that the sink acknowledged.
    pub(crate) delivered: i64,
    /// Records that it refused for good.
    pub(crate) rejected: i64,
    /// Records that are owed no more.
    pub(crate) settled: i64,
    /// What is owed no more, by the number of its delivery, with how many records the batch has.
    pub(crate) changes: Vec<(i64, Selection, usize)>,
    /// What the sink said of which records, by the number of their delivery.
    pub(crate) answers: Vec<Answer>,
    /// How many records the sink acknowledged and refused, by their source and the hour of their update.
    pub(crate) hours: BTreeMap<(Source, i64), (i64, i64)>,
}

/// What a sink said of some records of a batch.
pub(crate) struct Answer {
    pub(crate) number: i64,
    pub(crate) outcome: &'static str,
    pub(crate) records: i64,
    pub(crate) selection: Selection,
    /// How many the batch has.
    pub(crate) batch_records: usize,
}

impl Settlement {
    /// What `finished` changes of the deliveries of `lease`.
    pub(crate) fn of(lease: &DeliveryLease, finished: Vec<FinishedDelivery>) -> Result<Self, StoreError> {
        let mut all = Self {
            delivered: 0,
            rejected: 0,
            settled: 0,
            changes: Vec::with_capacity(finished.len()),
            answers: Vec::new(),
            hours: BTreeMap::new(),
        };
        for done in finished {
            let Some(owed) = lease.deliveries.iter().find(|delivery| delivery.number == done.number) else {
                let detail = format!("delivery {} is not part of the lease", done.number.0);
                return Err(StoreError::Database { doing: "finish deliveries", detail });
            };
            all.delivered += i64::from(done.delivered);
            all.rejected += done.rejected.len() as i64;
            all.answer(owed, &done);
            let records = owed.batch.len();
            let settled = Selection::of(records, |index| {
                let remains = done.remaining.as_ref().is_some_and(|remaining| remaining.contains(index));
                owed.selection.contains(index) && !remains
            });
            if let Some(settled) = settled {
                all.settled += selected(records, &settled);
                all.changes.push((done.number.0.cast_signed(), settled, records));
            }
        }
        Ok(all)
    }

    /// Takes down which records of a delivery the sink acknowledged, and which it refused.
    fn answer(&mut self, owed: &Delivery, done: &FinishedDelivery) {
        let refused: HashSet<usize> = done.rejected.iter().map(|(index, _)| *index as usize).collect();
        let remains = |index| done.remaining.as_ref().is_some_and(|selection| selection.contains(index));
        let settled = |index| owed.selection.contains(index) && !remains(index);
        let taken = |index: usize| done.delivered > 0 && settled(index) && !refused.contains(&index);
        for (index, record) in owed.batch.records().enumerate() {
            let (delivered, rejected) = (i64::from(taken(index)), i64::from(refused.contains(&index)));
            if delivered + rejected > 0 {
                let hour = self.hours.entry((owed.source, hour_of(record.head.updated_at))).or_default();
                *hour = (hour.0 + delivered, hour.1 + rejected);
            }
        }
        let outcomes: [(&'static str, &dyn Fn(usize) -> bool); 2] =
            [("delivered", &taken), ("rejected", &|index| refused.contains(&index))];
        for (outcome, answered) in outcomes {
            if let Some(selection) = Selection::of(owed.batch.len(), answered) {
                let batch_records = owed.batch.len();
                let records = selected(batch_records, &selection);
                let number = owed.number.0.cast_signed();
                self.answers.push(Answer { number, outcome, records, selection, batch_records });
            }
        }
    }

    /// Whether there is nothing to be kept but the time of the next attempt.
    pub(crate) fn is_nothing(&self) -> bool {
        self.delivered == 0 && self.rejected == 0 && self.changes.is_empty()
    }
}

/// The dead letters of the records that a sink refused.
pub(crate) fn refused_letters(
    lease: &DeliveryLease,
    finished: &[FinishedDelivery],
    key: &DataKey,
) -> Result<Vec<SealedLetter>, StoreError> {
    let mut letters = Vec::new();
    for done in finished {
        let delivery = lease.deliveries.iter().find(|delivery| delivery.number == done.number);
        for (index, reason) in &done.rejected {
            let record = delivery.and_then(|delivery| delivery.batch.record(*index as usize));
            let Some((record, delivery)) = record.zip(delivery) else {
                let detail = format!("delivery {} has no record {index}", done.number.0);
                return Err(StoreError::Database { doing: "keep what a sink refused", detail });
            };
            let origin = DeadLetterOrigin::Sink { sink: lease.sink.clone(), source: delivery.source };
            let (id, hash) = (Some(record.head.id.clone()), record.head.hash);
            let body = record.body.as_bytes();
            letters.push(seal_letter(key, lease.tenant.id, &origin, id, reason.clone(), body, hash));
        }
    }
    Ok(letters)
}

/// How a queue is called in messages.
pub(crate) fn queue_name(tenant: &Tenant, sink: &str) -> String {
    format!("deliveries of tenant {} to {sink}", tenant.slug)
}

/// How many records of a batch of so many are selected.
pub(crate) fn selected(batch_records: usize, selection: &Selection) -> i64 {
    selection.count(batch_records) as i64
}
