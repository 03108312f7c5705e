//! What is owed to sinks: leasing it, and writing down what a sink answered.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Lineage, ReplayId, Selection, SinkMemory};

use uuid::Uuid;

use super::answers::{count_answers, write_answers};
use super::damage::fetch_again;
use super::dead_letters::insert_letter;
use super::rows::{StoredTenant, awaited_of, odd, owner, parsed, read_tenant, select_tenant};
use super::waits::{QUEUES_AHEAD, end_queue_waits, latest_set};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::StoredBatch;
use crate::sealing::{DataKey, Sealed};
use crate::settling::{
    Answer, BrokenDelivery, Found, Settlement, StoredDelivery, queue_name, read_back, refused_letters,
    selected,
};
use crate::sql::{Connection, Row, query};
use crate::stored::{bits, bounded, count, lease_end, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{
    Deliveries, DeliveryLease, DeliveryLimits, FinishedDelivery, InstanceId, QueueState, Recalled,
    SinkTotals, StoreError,
};

const DOING: &str = "lease due deliveries";

/// The queue of sink `?2` that is due at `?1` and has waited longest. One that waits for so many tickets has had its share of
/// what a receiver takes before it has shown that it stores anything.
macro_rules! due_queue {
    () => {
        "SELECT queue_no FROM queue WHERE sink = ?2 AND owed > awaited AND tickets < 64 AND next_at <= ?1 \
         AND leased_until <= ?1 ORDER BY next_at, queue_no LIMIT 1"
    };
}

/// A queue that has just been leased.
struct LeasedQueue {
    queue_no: i64,
    fence: i64,
    failures: u32,
    /// The last delivery that may be worked on under the lease.
    leased_to: i64,
    stored: StoredTenant,
}

#[async_trait]
impl Deliveries for SqlStore {
    async fn lease_due_deliveries(
        &self,
        instance: InstanceId,
        sink: &str,
        limits: DeliveryLimits,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<DeliveryLease>, StoreError> {
        while let Some(mut queue) = self.lease_queue(instance, sink, limits, lease_for, now).await? {
            let promoted = self.promote((queue.queue_no, queue.fence), limits, now).await?;
            queue.leased_to = promoted.unwrap_or(queue.leased_to);
            loop {
                let stored = self.first_deliveries(&queue, limits).await?;
                if stored.is_empty() {
                    // The counter of what is owed was wrong, as after a repair by hand.
                    self.settle_queue(&queue).await?;
                    break;
                }
                let tenant = queue.stored.tenant.id;
                let key = self.keys.data_key(queue.stored.data_key.clone(), tenant).await?;
                let name = sink.to_owned();
                let read = self.packer.run(move || read_back(stored, tenant, &name, &key));
                let (deliveries, broken) = read.await;
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
        let sql = "SELECT min(max(next_at, leased_until)) FROM queue WHERE sink = ? AND owed > awaited AND tickets < 64";
        let row = query(sql).bind(sink).fetch_one(&self.readers).await.map_err(&failed)?;
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
                query("UPDATE queue SET leased_until = ?, set_at = ? WHERE queue_no = ?")
                    .bind(lease_end(now, lease_for))
                    .bind(nanoseconds(now))
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
        let letters = if finished.iter().all(|done| done.rejected.is_empty()) {
            Vec::new()
        } else {
            refused_letters(lease, &finished, &self.key_of(lease).await?)?
        };
        let settlement = Settlement::of(lease, finished)?;
        let lease = QueueLease::of(lease);
        // What changes nothing but the time of the next attempt may be lost with the machine.
        let durability = if settlement.is_nothing() { Durability::Relaxed } else { Durability::Synced };
        self.write(doing, durability, move |connection| {
            Box::pin(async move {
                let (queue_no, tenant_no) = lease.held(connection).await?;
                // Before the deliveries go, which say of which batch they are.
                write_answers(connection, queue_no, &lease.sink, settlement.answers, now).await?;
                count_answers(connection, tenant_no, &lease.sink, settlement.hours).await?;
                for (number, settled, records) in settlement.changes {
                    settle_records(connection, queue_no, number, &settled, records).await?;
                }
                for letter in letters {
                    insert_letter(connection, tenant_no, letter, now).await?;
                }
                let (retry_at, reason) = match retry {
                    Some((retry_at, reason)) => (Some(nanoseconds(retry_at)), Some(bounded(&reason))),
                    None => (None, None),
                };
                query(
                    "UPDATE queue SET lease_owner = NULL, leased_until = 0, next_at = coalesce(?2, ?3), set_at = ?3,
                         owed = owed - ?4, delivered = delivered + ?5, rejected = rejected + ?6,
                         last_success_at = CASE WHEN ?5 > 0 THEN ?3 ELSE last_success_at END,
                         last_rejected_at = CASE WHEN ?6 > 0 THEN ?3 ELSE last_rejected_at END,
                         failures = CASE WHEN ?4 > 0 THEN 0 ELSE failures END
                             + CASE WHEN ?2 IS NULL THEN 0 ELSE 1 END,
                         last_error = CASE WHEN ?2 IS NOT NULL THEN ?7 WHEN ?4 > 0 THEN NULL
                             ELSE last_error END
                     WHERE queue_no = ?1",
                )
                .bind(queue_no)
                .bind(retry_at)
                .bind(nanoseconds(now))
                .bind(settlement.settled)
                .bind(settlement.delivered)
                .bind(settlement.rejected)
                .bind(reason)
                .execute(&mut *connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn recall(&self, sink: &str, memory: &SinkMemory, now: Timestamp) -> Result<Recalled, StoreError> {
        self.recall_from(sink, memory, now).await
    }

    async fn queue_states(&self) -> Result<Vec<QueueState>, StoreError> {
        let failed = self.failed("read how the deliveries are doing");
        let rows = query(
            "SELECT t.id, l.sink, l.delivered, l.owed, l.rejected, l.failures, l.last_error,
                 l.last_success_at, l.next_at,
                 (SELECT min(owed_since) FROM (
                     SELECT * FROM (SELECT owed_since FROM delivery WHERE queue_no = l.queue_no ORDER BY number LIMIT 1) f
                     UNION ALL SELECT owed_since FROM replay WHERE queue_no = l.queue_no) o) AS owed_since
             FROM queue l JOIN tenant t ON t.tenant_no = l.tenant_no ORDER BY t.slug, l.sink",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let state = |row: &Row| -> Result<QueueState, sqlx::Error> {
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
        let rows = query(
            "SELECT l.sink, sum(l.delivered) AS delivered, sum(l.owed) AS owed, sum(l.rejected) AS rejected,
                 (SELECT count(*) FROM dead_letter d WHERE d.sink = l.sink) AS dead_letters,
                 max(l.last_rejected_at) AS last_rejected_at, max(l.last_success_at) AS last_success_at,
                 sum(l.given_up) AS given_up, max(l.given_up_at) AS given_up_at, count(*) FILTER (WHERE l.owed > 0) AS owing, count(*) FILTER (WHERE l.owed > 0 AND l.failures > 0) AS failing,
                 min((SELECT min(owed_since) FROM (
                     SELECT * FROM (SELECT owed_since FROM delivery WHERE queue_no = l.queue_no ORDER BY number LIMIT 1) f
                     UNION ALL SELECT owed_since FROM replay WHERE queue_no = l.queue_no) o)) AS owed_since,
                 (SELECT f.last_error FROM queue f WHERE f.sink = l.sink AND f.owed > 0 AND f.failures > 0
                     ORDER BY f.next_at DESC LIMIT 1) AS last_error
             FROM queue l GROUP BY l.sink ORDER BY l.sink",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let totals = |row: &Row| -> Result<SinkTotals, sqlx::Error> {
            Ok(SinkTotals {
                sink: row.try_get("sink")?,
                delivered: count(row.try_get("delivered")?),
                owed: count(row.try_get("owed")?),
                owed_since: row.try_get::<Option<i64>, _>("owed_since")?.map(timestamp),
                rejected: count(row.try_get("rejected")?),
                given_up: count(row.try_get("given_up")?),
                given_up_at: row.try_get::<Option<i64>, _>("given_up_at")?.map(timestamp),
                dead_letters: count(row.try_get("dead_letters")?),
                last_rejected_at: row.try_get::<Option<i64>, _>("last_rejected_at")?.map(timestamp),
                last_success_at: row.try_get::<Option<i64>, _>("last_success_at")?.map(timestamp),
                owing: row.try_get("owing")?,
                failing: row.try_get("failing")?,
                last_error: row.try_get("last_error")?,
            })
        };
        rows.iter().map(totals).collect::<Result<_, _>>().map_err(failed)
    }
}

impl SqlStore {
    async fn lease_queue(
        &self,
        instance: InstanceId,
        sink: &str,
        limits: DeliveryLimits,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<LeasedQueue>, StoreError> {
        // Whoever delivers comes by every second, whether anything is owed or not.
        self.recent.forget_old();
        // Asked first, so that an idle store is not written to.
        let ahead = query(QUEUES_AHEAD).bind(sink).bind(latest_set(now));
        if ahead.fetch_optional(&self.readers).await.map_err(self.failed(DOING))?.is_some() {
            let sink = sink.to_owned();
            self.write(DOING, Durability::Relaxed, move |connection| {
                Box::pin(async move { end_queue_waits(connection, &sink, now).await })
            })
            .await?;
        }
        let any = query(due_queue!()).bind(nanoseconds(now)).bind(sink);
        if any.fetch_optional(&self.readers).await.map_err(self.failed(DOING))?.is_none() {
            return Ok(None);
        }
        let (sink, batches) = (sink.to_owned(), limits.batches.max(1));
        let least_fence = self.least_fence(instance, now);
        self.write(DOING, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let row = query(concat!(
                    "UPDATE queue SET lease_owner = ?3, leased_until = ?4, set_at = ?1, fence = max(fence + 1, ?6), leased_to = coalesce(
                         (SELECT max(number) FROM (SELECT d.number FROM delivery d
                             WHERE d.queue_no = queue.queue_no AND d.awaited < d.records ORDER BY d.number LIMIT ?5) l), 0)
                     WHERE queue_no = (",
                    due_queue!(),
                    ") RETURNING queue_no, tenant_no, fence, failures, leased_to"
                ))
                .bind(nanoseconds(now))
                .bind(sink)
                .bind(owner(instance))
                .bind(lease_end(now, lease_for))
                .bind(batches)
                .bind(least_fence)
                .fetch_optional(&mut *connection)
                .await?;
                let Some(row) = row else { return Ok(None) };
                let tenant_no: i64 = row.try_get("tenant_no")?;
                let tenant = query(select_tenant!("WHERE t.tenant_no = ?")).bind(tenant_no);
                Ok(Some(LeasedQueue {
                    queue_no: row.try_get("queue_no")?,
                    fence: row.try_get("fence")?,
                    failures: row.try_get("failures")?,
                    leased_to: row.try_get("leased_to")?,
                    stored: read_tenant(&tenant.fetch_one(&mut *connection).await?)?,
                }))
            })
        })
        .await
    }

    /// The first deliveries of a queue within the limits, one at least, of those that its lease is for.
    async fn first_deliveries(
        &self,
        queue: &LeasedQueue,
        limits: DeliveryLimits,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let failed = self.failed(DOING);
        let rows = query(
            "WITH first AS (SELECT * FROM delivery WHERE queue_no = ?1 AND number <= ?4 AND awaited < records
                 ORDER BY number LIMIT ?2),
                 summed AS (SELECT *, sum(body_bytes) OVER (ORDER BY number) AS bytes_up_to,
                     row_number() OVER (ORDER BY number) AS place FROM first)
             SELECT (SELECT group_concat(coalesce(hex(k.selection), 'all')) FROM ticket_record k
                     WHERE k.queue_no = ?1 AND k.number = d.number) AS awaited_bits, d.number, n.id AS lineage, d.records, d.selection, d.batch_no, d.replay_id, s.source, b.batch_id, b.records AS batch_records,
                 b.body_bytes
             FROM summed d LEFT JOIN journal_batch b ON b.batch_no = d.batch_no
                 LEFT JOIN source s ON s.source_no = b.source_no
                 LEFT JOIN lineage n ON n.lineage_no = d.lineage_no
             WHERE d.place = 1 OR d.bytes_up_to <= ?3",
        )
        .bind(queue.queue_no)
        .bind(limits.batches.max(1))
        .bind(i64::try_from(limits.body_bytes).unwrap_or(i64::MAX))
        .bind(queue.leased_to)
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let found = rows.iter().map(|row| self.found_delivery(row)).collect::<Result<Vec<_>, _>>();
        let mut deliveries = found.map_err(&failed)?;
        deliveries.sort_by_key(|delivery| delivery.number);
        self.read_sealed(&mut deliveries).await.map_err(failed)?;
        Ok(deliveries)
    }

    /// A delivery with its batch, where that has just been journalled; else what was sealed of it is to be read.
    fn found_delivery(&self, row: &Row) -> Result<StoredDelivery, sqlx::Error> {
        let batch = match row.try_get::<Option<Vec<u8>>, _>("batch_id")? {
            None => None,
            Some(batch_id) => {
                let source = row.try_get::<String, _>("source")?.parse().map_err(odd)?;
                let found = match self.recent.get(&batch_id) {
                    Some(batch) => Found::Recent(batch),
                    None => Found::Stored(StoredBatch {
                        batch_id,
                        records: count(row.try_get("batch_records")?),
                        body_bytes: count(row.try_get("body_bytes")?),
                        sealed: Vec::new(),
                    }),
                };
                Some((source, found))
            }
        };
        // One whose row is gone has a lineage that no sink remembers.
        let lineage = row.try_get::<Option<String>, _>("lineage")?.unwrap_or_default();
        Ok(StoredDelivery {
            lineage: Lineage(lineage.parse().unwrap_or_else(|_| Uuid::new_v4())),
            number: row.try_get("number")?,
            records: row.try_get("records")?,
            selection: leasable(row)?,
            batch_no: row.try_get("batch_no")?,
            replay: replay_of(row)?,
            batch,
        })
    }

    /// Reads what is sealed of the batches that have to be read back.
    async fn read_sealed(&self, deliveries: &mut [StoredDelivery]) -> Result<(), sqlx::Error> {
        let is_stored =
            |delivery: &&mut StoredDelivery| matches!(delivery.batch, Some((_, Found::Stored(_))));
        let mut wanted: Vec<&mut StoredDelivery> = deliveries.iter_mut().filter(is_stored).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let batches: Vec<i64> = wanted.iter().map(|delivery| delivery.batch_no).collect();
        let rows = query(
            "SELECT j.key AS place, b.sealed FROM json_each(?) j
             LEFT JOIN journal_batch b ON b.batch_no = CAST(j.value AS BIGINT)",
        )
        .bind(serde_json::to_string(&batches).map_err(odd)?)
        .fetch_all(&self.readers)
        .await?;
        for row in rows {
            let place = usize::try_from(row.try_get::<i64, _>("place")?).map_err(odd)?;
            let delivery = &mut wanted[place];
            match (row.try_get("sealed")?, &mut delivery.batch) {
                (Some(sealed), Some((_, Found::Stored(stored)))) => stored.sealed = sealed,
                // It was taken away meanwhile.
                _ => delivery.batch = None,
            }
        }
        Ok(())
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
        let doing = "set damaged deliveries aside";
        let mut lost = Vec::with_capacity(broken.len());
        for delivery in &broken {
            let found = self.versions_of(tenant_no, delivery.batch_no).await;
            lost.push(found.map_err(|failure| failure.worded(&self.path, doing))?);
        }
        let sink = sink.to_owned();
        self.write(doing, Durability::Synced, move |connection| {
            Box::pin(async move {
                for (broken, lost) in broken.into_iter().zip(lost) {
                    let BrokenDelivery { number, records, letter, batch_no, selection } = broken;
                    let done = query(
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
                    let batch_records = usize::try_from(records).unwrap_or(0);
                    let answer = Answer {
                        number,
                        outcome: "damaged",
                        records,
                        selection: selection.clone(),
                        batch_records,
                    };
                    write_answers(connection, queue_no, &sink, vec![answer], now).await?;
                    for source in lost {
                        fetch_again(connection, batch_no, &sink, &selection, source, now).await?;
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
                query(
                    "UPDATE queue SET lease_owner = NULL, leased_until = 0, owed = coalesce(
                         (SELECT sum(records) FROM delivery d WHERE d.queue_no = queue.queue_no), 0)
                         + coalesce((SELECT sum(records) FROM replay r WHERE r.queue_no = queue.queue_no), 0),
                         awaited = coalesce((SELECT sum(awaited) FROM delivery d WHERE d.queue_no = queue.queue_no), 0),
                         tickets = (SELECT count(*) FROM ticket k WHERE k.queue_no = queue.queue_no)
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

    /// The data key of the tenant whose deliveries are leased.
    pub(super) async fn key_of(&self, lease: &DeliveryLease) -> Result<DataKey, StoreError> {
        let failed = self.failed("keep what a sink refused");
        let row = query("SELECT data_key FROM tenant WHERE id = ? AND length(data_key) > 0")
            .bind(lease.tenant.id.to_string());
        let row = row.fetch_optional(&self.readers).await.map_err(&failed)?;
        let row =
            row.ok_or_else(|| StoreError::LeaseLost { what: queue_name(&lease.tenant, &lease.sink) })?;
        self.keys.data_key(Sealed::from_stored(row.try_get(0).map_err(failed)?), lease.tenant.id).await
    }
}

/// What a write under a lease on deliveries presents.
pub(super) struct QueueLease {
    tenant: String,
    sink: String,
    fence: i64,
    what: String,
}

impl QueueLease {
    pub(super) fn of(lease: &DeliveryLease) -> Self {
        Self {
            tenant: lease.tenant.id.to_string(),
            sink: lease.sink.clone(),
            fence: lease.fence.cast_signed(),
            what: queue_name(&lease.tenant, &lease.sink),
        }
    }

    /// The numbers of the queue and its tenant, if the lease still holds.
    pub(super) async fn held(&self, connection: &mut Connection) -> Result<(i64, i64), Failure> {
        let row = query(
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

/// The replay that a delivery came from. A name that is none is not worth stopping for.
fn replay_of(row: &Row) -> Result<Option<ReplayId>, sqlx::Error> {
    let name: Option<String> = row.try_get("replay_id")?;
    Ok(name.and_then(|name| name.parse().ok()).map(ReplayId))
}

/// Which records of a delivery can be given out: those that are owed and not waited for.
fn leasable(row: &Row) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let selection: Option<Vec<u8>> = row.try_get("selection")?;
    let awaited = awaited_of(row.try_get("awaited_bits")?);
    // Where the batch is gone, nothing is read back of it.
    let records = row.try_get::<Option<i64>, _>("batch_records")?.map_or(0, count);
    if awaited.is_empty() || records == 0 {
        return Ok(selection);
    }
    let owed = selection.map_or(Selection::All, Selection::Some);
    let left = Selection::of(usize::try_from(records).unwrap_or(0), |index| {
        owed.contains(index) && !awaited.iter().any(|awaited| awaited.contains(index))
    });
    Ok(left.map_or_else(|| Some(Vec::new()), bits))
}

/// Takes records that are settled off what a delivery owes. One that owes nothing more is gone, and the highest of those is
/// remembered.
pub(super) async fn settle_records(
    connection: &mut Connection,
    queue_no: i64,
    number: i64,
    settled: &Selection,
    batch_records: usize,
) -> Result<(), Failure> {
    let row = query("SELECT selection FROM delivery WHERE queue_no = ? AND number = ?");
    let row = row.bind(queue_no).bind(number).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(()) };
    // What is there now, and not what was leased: what is waited for is settled by others meanwhile.
    let owed = row.try_get::<Option<Vec<u8>>, _>(0)?.map_or(Selection::All, Selection::Some);
    if let Some(left) = owed.without(settled, batch_records) {
        let records = selected(batch_records, &left);
        return narrow_delivery(connection, queue_no, number, records, left).await;
    }
    // No longer waited for, and done: of the highest number that is, with its lineage.
    query(
        "UPDATE queue SET awaited = queue.awaited - coalesce(d.awaited, 0),
             done_lineage_no = CASE WHEN queue.done_number < ?2 THEN coalesce(d.lineage_no, 0) ELSE queue.done_lineage_no END,
             done_number = max(queue.done_number, ?2)
         FROM (SELECT max(awaited) AS awaited, max(lineage_no) AS lineage_no FROM delivery
             WHERE queue_no = ?1 AND number = ?2) d
         WHERE queue.queue_no = ?1",
    )
    .bind(queue_no)
    .bind(number)
    .execute(&mut *connection)
    .await?;
    remove_delivery(connection, queue_no, number).await
}

pub(super) async fn delete_delivery(
    connection: &mut Connection,
    queue_no: i64,
    number: i64,
) -> Result<(), Failure> {
    query(
        "UPDATE queue SET awaited = awaited - coalesce(
             (SELECT awaited FROM delivery WHERE queue_no = ?1 AND number = ?2), 0) WHERE queue_no = ?1",
    )
    .bind(queue_no)
    .bind(number)
    .execute(&mut *connection)
    .await?;
    remove_delivery(connection, queue_no, number).await
}

/// The same of one that its queue does not count any more.
async fn remove_delivery(connection: &mut Connection, queue_no: i64, number: i64) -> Result<(), Failure> {
    for sql in [
        "DELETE FROM ticket_record WHERE queue_no = ?1 AND number = ?2",
        "DELETE FROM delivery WHERE queue_no = ?1 AND number = ?2",
    ] {
        query(sql).bind(queue_no).bind(number).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn narrow_delivery(
    connection: &mut Connection,
    queue_no: i64,
    number: i64,
    records: i64,
    selection: Selection,
) -> Result<(), Failure> {
    query("UPDATE delivery SET records = ?, selection = ? WHERE queue_no = ? AND number = ?")
        .bind(records)
        .bind(bits(selection))
        .bind(queue_no)
        .bind(number)
        .execute(&mut *connection)
        .await?;
    Ok(())
}
