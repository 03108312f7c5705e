//! What is owed to sinks: leasing it, and writing down what a sink answered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Batch, ContentHash, Delivery, DeliveryNumber, Selection, Source, Tenant};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::batches::bits;
use super::dead_letters::insert_letter;
use super::engine::SqliteStore;
use super::failure::Failure;
use super::rows::{StoredTenant, odd, owner, parsed, read_tenant, select_tenant};
use super::writer::Durability;
use crate::dead_letters::{SealedLetter, seal_letter};
use crate::packing::{StoredBatch, Unreadable, unpack};
use crate::sealing::Sealed;
use crate::stored::{bounded, count, lease_end, nanoseconds, timestamp};
use crate::{
    DeadLetterOrigin, Deliveries, DeliveryLease, DeliveryLimits, FinishedDelivery, InstanceId, QueueState,
    SinkTotals, StoreError,
};

const DOING: &str = "lease due deliveries";

/// The queue of sink `?2` that is due at `?1` and has waited longest.
macro_rules! due_queue {
    () => {
        "SELECT queue_no FROM queue WHERE sink = ?2 AND owed > 0 AND next_at <= ?1 AND leased_until <= ?1 \
         ORDER BY next_at, queue_no LIMIT 1"
    };
}

/// A queue that has just been leased.
struct LeasedQueue {
    queue_no: i64,
    fence: i64,
    failures: u32,
    stored: StoredTenant,
}

/// A delivery as it is stored, before its batch is read back.
struct StoredDelivery {
    number: i64,
    records: i64,
    selection: Option<Vec<u8>>,
    /// `None` when the batch is missing.
    batch: Option<(Source, StoredBatch)>,
}

/// A delivery whose batch cannot be read.
struct BrokenDelivery {
    number: i64,
    records: i64,
    letter: SealedLetter,
}

#[async_trait]
impl Deliveries for SqliteStore {
    async fn lease_due_deliveries(
        &self,
        instance: InstanceId,
        sink: &str,
        limits: DeliveryLimits,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<DeliveryLease>, StoreError> {
        while let Some(queue) = self.lease_queue(instance, sink, lease_for, now).await? {
            loop {
                let stored = self.first_deliveries(queue.queue_no, limits).await?;
                if stored.is_empty() {
                    // The counter of what is owed was wrong, as after a repair by hand.
                    self.settle_queue(&queue).await?;
                    break;
                }
                let (deliveries, broken) = self.read_deliveries(&queue.stored, sink, stored).await?;
                if !broken.is_empty() {
                    self.bury(&queue, sink, broken, now).await?;
                }
                if !deliveries.is_empty() {
                    let (tenant, sink) = (queue.stored.tenant, sink.to_owned());
                    let (failures, fence) = (queue.failures, count(queue.fence));
                    return Ok(Some(DeliveryLease { tenant, sink, deliveries, failures, fence }));
                }
            }
        }
        Ok(None)
    }

    async fn next_delivery_due_at(&self, sink: &str) -> Result<Option<Timestamp>, StoreError> {
        let failed = self.failed("find when the next delivery is due");
        let sql = "SELECT min(max(next_at, leased_until)) FROM queue WHERE sink = ? AND owed > 0";
        let row = sqlx::query(sql).bind(sink).fetch_one(&self.readers).await.map_err(&failed)?;
        Ok(row.try_get::<Option<i64>, _>(0).map_err(failed)?.map(timestamp))
    }

    async fn extend_deliveries(
        &self,
        lease: &DeliveryLease,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let lease = QueueLease::of(lease);
        self.write("extend a lease on deliveries", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let (queue_no, _) = lease.held(connection).await?;
                sqlx::query("UPDATE queue SET leased_until = ? WHERE queue_no = ?")
                    .bind(lease_end(now, lease_for))
                    .bind(queue_no)
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn finish_deliveries(
        &self,
        lease: &DeliveryLease,
        finished: Vec<FinishedDelivery>,
        retry: Option<(Timestamp, String)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let doing = "finish deliveries";
        let letters = self.refused(lease, &finished).await?;
        let mut changes = Vec::with_capacity(finished.len());
        let (mut delivered, mut rejected) = (0_i64, 0_i64);
        for done in finished {
            let Some(owed) = lease.deliveries.iter().find(|delivery| delivery.number == done.number) else {
                let detail = format!("delivery {} is not part of the lease", done.number.0);
                return Err(StoreError::Database { doing, detail });
            };
            delivered += i64::from(done.delivered);
            rejected += done.rejected.len() as i64;
            let before = selected(&owed.batch, &owed.selection);
            let remaining = done.remaining.map(|selection| (selected(&owed.batch, &selection), selection));
            // An empty selection owes nothing.
            let remaining = remaining.filter(|(records, _)| *records > 0);
            changes.push((done.number.0.cast_signed(), before, remaining));
        }
        let lease = QueueLease::of(lease);
        // What changes nothing but the time of the next attempt may be lost with the machine.
        let nothing_done = delivered == 0 && rejected == 0 && changes.iter().all(unchanged);
        let durability = if nothing_done { Durability::Relaxed } else { Durability::Synced };
        self.write(doing, durability, move |connection| {
            Box::pin(async move {
                let (queue_no, tenant_no) = lease.held(connection).await?;
                let mut settled = 0;
                for (number, before, remaining) in changes {
                    settled += before - remaining.as_ref().map_or(0, |(records, _)| *records);
                    match remaining {
                        None => delete_delivery(connection, queue_no, number).await?,
                        Some((records, _)) if records == before => {}
                        Some((records, selection)) => {
                            narrow_delivery(connection, queue_no, number, records, selection).await?;
                        }
                    }
                }
                for letter in letters {
                    insert_letter(connection, tenant_no, letter, now).await?;
                }
                let (retry_at, reason) = match retry {
                    Some((retry_at, reason)) => (Some(nanoseconds(retry_at)), Some(bounded(&reason))),
                    None => (None, None),
                };
                sqlx::query(
                    "UPDATE queue SET lease_owner = NULL, leased_until = 0, next_at = coalesce(?2, ?3),
                         owed = owed - ?4, delivered = delivered + ?5, rejected = rejected + ?6,
                         last_success_at = CASE WHEN ?5 > 0 THEN ?3 ELSE last_success_at END,
                         failures = CASE WHEN ?4 > 0 THEN 0 ELSE failures END
                             + CASE WHEN ?2 IS NULL THEN 0 ELSE 1 END,
                         last_error = CASE WHEN ?2 IS NOT NULL THEN ?7 WHEN ?4 > 0 THEN NULL
                             ELSE last_error END
                     WHERE queue_no = ?1",
                )
                .bind(queue_no)
                .bind(retry_at)
                .bind(nanoseconds(now))
                .bind(settled)
                .bind(delivered)
                .bind(rejected)
                .bind(reason)
                .execute(&mut *connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn queue_states(&self) -> Result<Vec<QueueState>, StoreError> {
        let failed = self.failed("read how the deliveries are doing");
        let rows = sqlx::query(
            "SELECT t.id, l.sink, l.delivered, l.owed, l.rejected, l.failures, l.last_error,
                 l.last_success_at, l.next_at,
                 (SELECT d.owed_since FROM delivery d WHERE d.queue_no = l.queue_no ORDER BY d.number LIMIT 1)
                     AS owed_since
             FROM queue l JOIN tenant t ON t.tenant_no = l.tenant_no ORDER BY t.slug, l.sink",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let state = |row: &SqliteRow| -> Result<QueueState, sqlx::Error> {
            let owed = count(row.try_get("owed")?);
            Ok(QueueState {
                tenant: parsed(row, "id")?,
                sink: row.try_get("sink")?,
                delivered: count(row.try_get("delivered")?),
                owed,
                owed_since: row.try_get::<Option<i64>, _>("owed_since")?.map(timestamp),
                rejected: count(row.try_get("rejected")?),
                failures: row.try_get("failures")?,
                last_error: row.try_get("last_error")?,
                last_success_at: row.try_get::<Option<i64>, _>("last_success_at")?.map(timestamp),
                next_at: (owed > 0).then_some(timestamp(row.try_get("next_at")?)),
            })
        };
        rows.iter().map(state).collect::<Result<_, _>>().map_err(failed)
    }

    async fn sink_totals(&self) -> Result<Vec<SinkTotals>, StoreError> {
        let failed = self.failed("add up what the sinks are owed");
        let rows = sqlx::query(
            "SELECT l.sink, sum(l.delivered) AS delivered, sum(l.owed) AS owed, sum(l.rejected) AS rejected,
                 min((SELECT d.owed_since FROM delivery d WHERE d.queue_no = l.queue_no
                     ORDER BY d.number LIMIT 1)) AS owed_since,
                 (SELECT f.last_error FROM queue f WHERE f.sink = l.sink AND f.failures > 0
                     ORDER BY f.next_at DESC LIMIT 1) AS last_error
             FROM queue l GROUP BY l.sink ORDER BY l.sink",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let totals = |row: &SqliteRow| -> Result<SinkTotals, sqlx::Error> {
            Ok(SinkTotals {
                sink: row.try_get("sink")?,
                delivered: count(row.try_get("delivered")?),
                owed: count(row.try_get("owed")?),
                owed_since: row.try_get::<Option<i64>, _>("owed_since")?.map(timestamp),
                rejected: count(row.try_get("rejected")?),
                last_error: row.try_get("last_error")?,
            })
        };
        rows.iter().map(totals).collect::<Result<_, _>>().map_err(failed)
    }
}

impl SqliteStore {
    async fn lease_queue(
        &self,
        instance: InstanceId,
        sink: &str,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<LeasedQueue>, StoreError> {
        // Asked first, so that an idle store is not written to.
        let any = sqlx::query(due_queue!()).bind(nanoseconds(now)).bind(sink);
        if any.fetch_optional(&self.readers).await.map_err(self.failed(DOING))?.is_none() {
            return Ok(None);
        }
        let sink = sink.to_owned();
        self.write(DOING, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let row = sqlx::query(concat!(
                    "UPDATE queue SET lease_owner = ?3, leased_until = ?4, fence = fence + 1 WHERE queue_no = (",
                    due_queue!(),
                    ") RETURNING queue_no, tenant_no, fence, failures"
                ))
                .bind(nanoseconds(now))
                .bind(sink)
                .bind(owner(instance))
                .bind(lease_end(now, lease_for))
                .fetch_optional(&mut *connection)
                .await?;
                let Some(row) = row else { return Ok(None) };
                let tenant_no: i64 = row.try_get("tenant_no")?;
                let tenant = sqlx::query(select_tenant!("WHERE t.tenant_no = ?")).bind(tenant_no);
                Ok(Some(LeasedQueue {
                    queue_no: row.try_get("queue_no")?,
                    fence: row.try_get("fence")?,
                    failures: row.try_get("failures")?,
                    stored: read_tenant(&tenant.fetch_one(&mut *connection).await?)?,
                }))
            })
        })
        .await
    }

    /// The first deliveries of a queue within the limits; one at least.
    async fn first_deliveries(
        &self,
        queue_no: i64,
        limits: DeliveryLimits,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let failed = self.failed(DOING);
        let rows = sqlx::query(
            "WITH first AS (SELECT * FROM delivery WHERE queue_no = ?1 ORDER BY number LIMIT ?2),
                 summed AS (SELECT *, sum(body_bytes) OVER (ORDER BY number) AS bytes_up_to,
                     row_number() OVER (ORDER BY number) AS place FROM first)
             SELECT d.number, d.records, d.selection, s.source, b.batch_id, b.records AS batch_records,
                 b.body_bytes, b.sealed
             FROM summed d LEFT JOIN journal_batch b ON b.batch_no = d.batch_no
                 LEFT JOIN source s ON s.source_no = b.source_no
             WHERE d.place = 1 OR d.bytes_up_to <= ?3",
        )
        .bind(queue_no)
        .bind(limits.batches.max(1))
        .bind(i64::try_from(limits.body_bytes).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let mut deliveries =
            rows.iter().map(stored_delivery).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        // Here and not in SQL, where the sealed batches would be copied through a sorter.
        deliveries.sort_by_key(|delivery| delivery.number);
        Ok(deliveries)
    }

    async fn read_deliveries(
        &self,
        stored_tenant: &StoredTenant,
        sink: &str,
        stored: Vec<StoredDelivery>,
    ) -> Result<(Vec<Delivery>, Vec<BrokenDelivery>), StoreError> {
        let tenant = stored_tenant.tenant.id;
        let key = self.keys.data_key(stored_tenant.data_key.clone(), tenant).await?;
        let sink = sink.to_owned();
        let read = self.packer.run(move || {
            let (mut deliveries, mut broken) = (Vec::with_capacity(stored.len()), Vec::new());
            for StoredDelivery { number, records, selection, batch } in stored {
                let (source, read) = match batch {
                    Some((source, batch)) => (source, unpack(batch, tenant, &key)),
                    None => (Source::GraphAlerts, Err(missing())),
                };
                match read {
                    Ok(batch) => deliveries.push(Delivery {
                        number: DeliveryNumber(count(number)),
                        source,
                        batch: Arc::new(batch),
                        selection: selection.map_or(Selection::All, Selection::Some),
                    }),
                    Err(Unreadable { reason, sealed }) => {
                        let origin = DeadLetterOrigin::Sink { sink: sink.clone(), source };
                        let hash = ContentHash::of(&sealed);
                        let letter = seal_letter(&key, tenant, &origin, None, reason, &sealed, hash);
                        broken.push(BrokenDelivery { number, records, letter });
                    }
                }
            }
            (deliveries, broken)
        });
        Ok(read.await)
    }

    /// Makes dead letters of deliveries whose batch cannot be read, so that they hold nothing up.
    async fn bury(
        &self,
        queue: &LeasedQueue,
        sink: &str,
        broken: Vec<BrokenDelivery>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let tenant = &queue.stored.tenant;
        tracing::error!(
            tenant.id = %tenant.id,
            sink.name = sink,
            deliveries = broken.len(),
            "journal batches cannot be read; they are kept as dead letters"
        );
        let (queue_no, fence, tenant_no) = (queue.queue_no, queue.fence, queue.stored.tenant_no);
        let what = queue_name(tenant, sink);
        self.write("set damaged deliveries aside", Durability::Synced, move |connection| {
            Box::pin(async move {
                for BrokenDelivery { number, records, letter } in broken {
                    let done = sqlx::query(
                        "UPDATE queue SET owed = owed - ?1, rejected = rejected + ?1
                         WHERE queue_no = ?2 AND fence = ?3 AND lease_owner IS NOT NULL",
                    )
                    .bind(records)
                    .bind(queue_no)
                    .bind(fence)
                    .execute(&mut *connection)
                    .await?;
                    if done.rows_affected() == 0 {
                        return Err(StoreError::LeaseLost { what }.into());
                    }
                    delete_delivery(connection, queue_no, number).await?;
                    insert_letter(connection, tenant_no, letter, now).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn settle_queue(&self, queue: &LeasedQueue) -> Result<(), StoreError> {
        let (queue_no, fence) = (queue.queue_no, queue.fence);
        self.write(DOING, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE queue SET lease_owner = NULL, leased_until = 0, owed = coalesce(
                         (SELECT sum(records) FROM delivery d WHERE d.queue_no = queue.queue_no), 0)
                     WHERE queue_no = ? AND fence = ?",
                )
                .bind(queue_no)
                .bind(fence)
                .execute(&mut *connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The dead letters of the records that a sink refused.
    async fn refused(
        &self,
        lease: &DeliveryLease,
        finished: &[FinishedDelivery],
    ) -> Result<Vec<SealedLetter>, StoreError> {
        if finished.iter().all(|done| done.rejected.is_empty()) {
            return Ok(Vec::new());
        }
        let tenant = lease.tenant.id;
        let failed = self.failed("keep what a sink refused");
        let row = sqlx::query("SELECT data_key FROM tenant WHERE id = ? AND length(data_key) > 0")
            .bind(tenant.to_string());
        let row = row.fetch_optional(&self.readers).await.map_err(&failed)?;
        let row =
            row.ok_or_else(|| StoreError::LeaseLost { what: queue_name(&lease.tenant, &lease.sink) })?;
        let key = self.keys.data_key(Sealed::from_stored(row.try_get(0).map_err(failed)?), tenant).await?;
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
                letters.push(seal_letter(&key, tenant, &origin, id, reason.clone(), body, hash));
            }
        }
        Ok(letters)
    }
}

/// What a write under a lease on deliveries presents.
struct QueueLease {
    tenant: String,
    sink: String,
    fence: i64,
    what: String,
}

impl QueueLease {
    fn of(lease: &DeliveryLease) -> Self {
        Self {
            tenant: lease.tenant.id.to_string(),
            sink: lease.sink.clone(),
            fence: lease.fence.cast_signed(),
            what: queue_name(&lease.tenant, &lease.sink),
        }
    }

    /// The numbers of the queue and its tenant, if the lease still holds.
    async fn held(&self, connection: &mut SqliteConnection) -> Result<(i64, i64), Failure> {
        let row = sqlx::query(
            "SELECT l.queue_no, l.tenant_no FROM queue l JOIN tenant t ON t.tenant_no = l.tenant_no
             WHERE t.id = ? AND l.sink = ? AND l.fence = ? AND l.lease_owner IS NOT NULL",
        )
        .bind(&self.tenant)
        .bind(&self.sink)
        .bind(self.fence)
        .fetch_optional(&mut *connection)
        .await?;
        let row = row.ok_or_else(|| StoreError::LeaseLost { what: self.what.clone() })?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

fn queue_name(tenant: &Tenant, sink: &str) -> String {
    format!("deliveries of tenant {} to {sink}", tenant.slug)
}

fn missing() -> Unreadable {
    Unreadable { reason: "the journal batch is missing".to_owned(), sealed: Vec::new() }
}

fn stored_delivery(row: &SqliteRow) -> Result<StoredDelivery, sqlx::Error> {
    let batch = match row.try_get::<Option<Vec<u8>>, _>("sealed")? {
        None => None,
        Some(sealed) => Some((
            row.try_get::<String, _>("source")?.parse().map_err(odd)?,
            StoredBatch {
                batch_id: row.try_get("batch_id")?,
                records: count(row.try_get("batch_records")?),
                body_bytes: count(row.try_get("body_bytes")?),
                sealed,
            },
        )),
    };
    Ok(StoredDelivery {
        number: row.try_get("number")?,
        records: row.try_get("records")?,
        selection: row.try_get("selection")?,
        batch,
    })
}

/// How many records of a batch are selected.
fn selected(batch: &Batch, selection: &Selection) -> i64 {
    (0..batch.len()).filter(|index| selection.contains(*index)).count() as i64
}

fn unchanged((_, before, remaining): &(i64, i64, Option<(i64, Selection)>)) -> bool {
    remaining.as_ref().is_some_and(|(records, _)| records == before)
}

async fn delete_delivery(
    connection: &mut SqliteConnection,
    queue_no: i64,
    number: i64,
) -> Result<(), Failure> {
    let delete = sqlx::query("DELETE FROM delivery WHERE queue_no = ? AND number = ?");
    delete.bind(queue_no).bind(number).execute(&mut *connection).await?;
    Ok(())
}

async fn narrow_delivery(
    connection: &mut SqliteConnection,
    queue_no: i64,
    number: i64,
    records: i64,
    selection: Selection,
) -> Result<(), Failure> {
    sqlx::query("UPDATE delivery SET records = ?, selection = ? WHERE queue_no = ? AND number = ?")
        .bind(records)
        .bind(bits(selection))
        .bind(queue_no)
        .bind(number)
        .execute(&mut *connection)
        .await?;
    Ok(())
}
