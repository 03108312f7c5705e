//! From what is to be replayed to deliveries, a lease's worth at a time.
//!
//! A replay is any size, and a queue goes in order. So what is replayed stands beside the queue, and steps in behind what is
//! owed live only when nothing that was replayed is in it any more: what comes live waits for one lease's worth at most.

use jiff::Timestamp;

use super::batches::lineage_no;
use crate::engine::{CurrentLineage, SqlStore};
use crate::failure::Failure;
use crate::sql::{Connection, query};
use crate::writer::Durability;
use crate::{DeliveryLimits, StoreError};

/// Whether something waits to step in.
const WAITING: &str = "SELECT 1 FROM replay WHERE queue_no = ?1
     AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.queue_no = ?1 AND d.replayed = 1
         AND d.awaited < d.records) LIMIT 1";

impl SqlStore {
    /// Makes deliveries of what a leased queue owes once more. Synced: a number that a sink has seen must never be given
    /// again to other records, since sinks that remember numbers would take those for written. The last of them, where there
    /// are any: the lease is for all up to it.
    pub(super) async fn promote(
        &self,
        (queue_no, fence): (i64, i64),
        limits: DeliveryLimits,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let doing = "step in what is replayed";
        let waiting = query(WAITING).bind(queue_no).fetch_optional(&self.readers);
        if waiting.await.map_err(self.failed(doing))?.is_none() {
            return Ok(None);
        }
        let lineage = self.lineage.clone();
        self.write(doing, Durability::Synced, move |connection| {
            Box::pin(async move { step_in(connection, (queue_no, fence), limits, (&lineage, now)).await })
        })
        .await
    }
}

async fn step_in(
    connection: &mut Connection,
    (queue_no, fence): (i64, i64),
    limits: DeliveryLimits,
    (lineage, now): (&CurrentLineage, Timestamp),
) -> Result<Option<i64>, Failure> {
    let held = query("SELECT 1 FROM queue WHERE queue_no = ? AND fence = ? AND lease_owner IS NOT NULL");
    let held = held.bind(queue_no).bind(fence).fetch_optional(&mut *connection).await?.is_some();
    let waiting = query(WAITING).bind(queue_no).fetch_optional(&mut *connection).await?.is_some();
    if !held || !waiting {
        return Ok(None);
    }
    let rows = query("SELECT batch_no, body_bytes FROM replay WHERE queue_no = ? ORDER BY batch_no LIMIT ?")
        .bind(queue_no)
        .bind(limits.batches.max(1))
        .fetch_all(&mut *connection)
        .await?;
    let lineage_no = lineage_no(connection, lineage, now).await?;
    let (mut bytes, mut last) = (0_u64, None);
    for (place, row) in rows.iter().enumerate() {
        let batch_no: i64 = row.try_get(0)?;
        bytes = bytes.saturating_add(row.try_get::<i64, _>(1)?.unsigned_abs());
        if place > 0 && bytes > limits.body_bytes {
            break;
        }
        last = Some(step_one_in(connection, queue_no, batch_no, lineage_no).await?);
    }
    query("UPDATE queue SET leased_to = coalesce(?, leased_to) WHERE queue_no = ?")
        .bind(last)
        .bind(queue_no)
        .execute(&mut *connection)
        .await?;
    Ok(last)
}

async fn step_one_in(
    connection: &mut Connection,
    queue_no: i64,
    batch_no: i64,
    lineage_no: i64,
) -> Result<i64, Failure> {
    let number = next_number(connection, queue_no).await?;
    for sql in [
        "INSERT INTO delivery (queue_no, number, batch_no, records, body_bytes, owed_since, selection, replayed, lineage_no, replay_id)
         SELECT queue_no, ?3, batch_no, records, body_bytes, owed_since, selection, 1, ?4, replay_id FROM replay
         WHERE queue_no = ?1 AND batch_no = ?2",
        "DELETE FROM replay WHERE queue_no = ?1 AND batch_no = ?2",
    ] {
        let step = query(sql).bind(queue_no).bind(batch_no);
        // SQLite takes no more values than a statement names.
        let step = if sql.starts_with("INSERT") { step.bind(number).bind(lineage_no) } else { step };
        step.execute(&mut *connection).await?;
    }
    Ok(number)
}

/// The next number of a queue for what it was owed before.
pub(super) async fn next_number(connection: &mut Connection, queue_no: i64) -> Result<i64, Failure> {
    // Live deliveries have the number of their batch. One that is replayed takes the next number of a batch away, so that
    // numbers rise for good, also for a tenant that is removed and added again.
    let number: i64 = query(
        "UPDATE sqlite_sequence SET seq = 1 + max(seq, (SELECT next_number - 1 FROM queue WHERE queue_no = ?))
         WHERE name = 'journal_batch' RETURNING seq",
    )
    .bind(queue_no)
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    query("UPDATE queue SET next_number = ? + 1 WHERE queue_no = ?")
        .bind(number)
        .bind(queue_no)
        .execute(&mut *connection)
        .await?;
    Ok(number)
}
