//! The journal's size, and giving up what sinks are owed of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Selection, TenantId};

use super::deliveries::delete_delivery;
use super::ledger::{SinkRow, count_sinks};
use super::pruning::prune_some;
use super::rows::{odd, parsed};
use crate::counting::{hour_of, hour_of_stored};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::unpack;
use crate::sealing::Sealed;
use crate::settling::selected;
use crate::sql::{Connection, Query, Row, query};
use crate::stored::{bits, count, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{GiveUp, GivenUp, JournalBacklog, JournalBound, StoreError};

/// So many deliveries are given up in one step.
const AT_ONCE: i64 = 256;
/// So many batches are deleted before the size is looked at again.
const BATCHES_AT_ONCE: i64 = 50;
const GIVING_UP: &str = "give up what sinks are owed";
const SHRINKING: &str = "make the journal smaller";
/// What `acknowledgement.outcome` says of what a sink is to do without, and of what a shadow is.
pub(super) const GIVEN_UP: &str = "given_up";
pub(super) const OF_SHADOW: &str = "given_up_of_shadow";

/// The batches of which a sink that is not in `?1` is owed something, with when it was owed.
const OWED: &str = "SELECT d.batch_no, d.owed_since FROM delivery d JOIN queue q ON q.queue_no = d.queue_no
         WHERE q.sink NOT IN (SELECT value FROM json_each(?1))
     UNION ALL SELECT r.batch_no, r.owed_since FROM replay r JOIN queue q ON q.queue_no = r.queue_no
         WHERE q.sink NOT IN (SELECT value FROM json_each(?1))";

/// The oldest that the sinks `?1` (`[]` for all) are owed since before `?2`, and that nobody is at work on at `?3`. By batch, so
/// that a long backlog is walked over no further than it has to be.
const OLDEST: &str = "SELECT d.batch_no AS batch_no, q.queue_no AS queue_no, q.sink, d.number, d.selection
         FROM delivery d INDEXED BY delivery_of_batch CROSS JOIN queue q ON q.queue_no = d.queue_no
         WHERE (?1 = '[]' OR q.sink IN (SELECT value FROM json_each(?1))) AND d.owed_since < ?2 AND d.awaited = 0
             AND (q.leased_until <= ?3 OR d.number > q.leased_to)
     UNION ALL SELECT r.batch_no, q.queue_no, q.sink, 0, r.selection FROM replay r
         JOIN queue q ON q.queue_no = r.queue_no
         WHERE (?1 = '[]' OR q.sink IN (SELECT value FROM json_each(?1))) AND r.owed_since < ?2
     ORDER BY batch_no, queue_no LIMIT ?4";

/// Something that a queue is owed. Deliveries are numbered from 1; 0 stands for what waits to be replayed.
struct Owed {
    queue_no: i64,
    sink: String,
    number: i64,
    batch_no: i64,
    selection: Option<Vec<u8>>,
}

/// What is known of a batch.
#[derive(Clone)]
struct OfBatch {
    source_no: i64,
    /// What it takes in the journal.
    bytes: u64,
    /// In which hour the ledger counts each record.
    hours: Arc<[i64]>,
}

#[async_trait]
impl JournalBound for SqlStore {
    async fn journal_bytes(&self) -> Result<u64, StoreError> {
        let failed = self.failed("look how large the journal is");
        let row = query("SELECT bytes FROM journal_size").fetch_one(&self.readers).await;
        Ok(count(row.map_err(&failed)?.try_get(0).map_err(failed)?))
    }

    async fn journal_backlog(&self, without: &[String]) -> Result<JournalBacklog, StoreError> {
        let failed = self.failed("add up what keeps the journal");
        let sinks = serde_json::to_string(without).expect("names");
        let sql = Query::of(format!(
            "WITH owed AS ({OWED}) SELECT
                 (SELECT coalesce(sum(b.stored_bytes), 0) FROM journal_batch b
                     WHERE b.batch_no IN (SELECT batch_no FROM owed)),
                 (SELECT min(owed_since) FROM owed)"
        ));
        let row = sql.bind(sinks).fetch_one(&self.readers).await.map_err(&failed)?;
        let read = || -> Result<JournalBacklog, sqlx::Error> {
            let since: Option<i64> = row.try_get(1)?;
            Ok(JournalBacklog { bytes: count(row.try_get(0)?), since: since.map(timestamp) })
        };
        read().map_err(failed)
    }

    async fn give_up(&self, what: &GiveUp, now: Timestamp) -> Result<GivenUp, StoreError> {
        self.give_up_some(what, now).await.map_err(|failure| failure.worded(&self.path, GIVING_UP))
    }

    async fn shrink_journal(&self, bytes: u64) -> Result<(u64, u64), StoreError> {
        self.shrink(bytes).await.map_err(|failure| failure.worded(&self.path, SHRINKING))
    }
}

impl SqlStore {
    async fn give_up_some(&self, what: &GiveUp, now: Timestamp) -> Result<GivenUp, Failure> {
        let rows = query(OLDEST)
            .bind(serde_json::to_string(&what.sinks).map_err(odd)?)
            .bind(nanoseconds(what.owed_before))
            .bind(nanoseconds(now))
            .bind(AT_ONCE)
            .fetch_all(&self.readers)
            .await?;
        let owed = |row: &Row| -> Result<Owed, sqlx::Error> {
            Ok(Owed {
                batch_no: row.try_get(0)?,
                queue_no: row.try_get(1)?,
                sink: row.try_get(2)?,
                number: row.try_get(3)?,
                selection: row.try_get(4)?,
            })
        };
        let all = rows.iter().map(owed).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() {
            return Ok(GivenUp::default());
        }
        let more = all.len() as i64 == AT_ONCE;
        let mut batches: HashMap<i64, OfBatch> = HashMap::new();
        let mut bytes = 0;
        for owed in &all {
            if batches.contains_key(&owed.batch_no) {
                continue;
            }
            if bytes >= what.bytes && !batches.is_empty() {
                break;
            }
            if let Some(of_batch) = self.of_batch(owed.batch_no).await? {
                bytes += of_batch.bytes;
                batches.insert(owed.batch_no, of_batch);
            }
        }
        let of_shadows = what.of_shadows;
        let write = self.writes.run(Durability::Synced, move |connection| {
            Box::pin(async move {
                let mut records: BTreeMap<String, u64> = BTreeMap::new();
                for owed in all {
                    let Some(of_batch) = batches.get(&owed.batch_no).cloned() else { continue };
                    let sink = owed.sink.clone();
                    let gone = give_one_up(connection, owed, of_batch, of_shadows, now).await?;
                    if gone > 0 {
                        *records.entry(sink).or_default() += gone;
                    }
                }
                Ok(records)
            })
        });
        let records = write.await?;
        // Where nothing could go, others were at work on it meanwhile.
        Ok(GivenUp { more: more && !records.is_empty(), records })
    }

    /// What is to be known of a batch; `None` where it is gone.
    async fn of_batch(&self, batch_no: i64) -> Result<Option<OfBatch>, Failure> {
        let row = query(
            "SELECT b.source_no, b.accepted_at, b.records, b.stored_bytes, t.id, t.data_key FROM journal_batch b
             JOIN source s ON s.source_no = b.source_no JOIN tenant t ON t.tenant_no = s.tenant_no
             WHERE b.batch_no = ? AND length(t.data_key) > 0",
        );
        let row = row.bind(batch_no).fetch_optional(&self.readers).await?;
        let Some((row, stored)) = row.zip(self.stored_batch(batch_no).await?) else { return Ok(None) };
        let tenant: TenantId = parsed(&row, "id")?;
        let key = self.keys.data_key(Sealed::from_stored(row.try_get("data_key")?), tenant).await?;
        let hours: Arc<[i64]> = match self.packer.run(move || unpack(stored, tenant, &key)).await {
            Ok(batch) => batch.records().map(|record| hour_of(record.head.updated_at)).collect(),
            // One that cannot be read has no other time than that of its acceptance.
            Err(_) => {
                let records = usize::try_from(row.try_get::<i64, _>("records")?).unwrap_or_default();
                vec![hour_of_stored(row.try_get("accepted_at")?); records].into()
            }
        };
        let bytes = count(row.try_get("stored_bytes")?);
        Ok(Some(OfBatch { source_no: row.try_get("source_no")?, bytes, hours }))
    }

    async fn shrink(&self, bytes: u64) -> Result<(u64, u64), Failure> {
        let (mut pruned, mut unrouted) = (0, 0);
        while self.journal_bytes().await.map_err(Failure::Store)? > bytes {
            let rows = query(
                "SELECT batch_no FROM journal_batch b
                 WHERE NOT EXISTS (SELECT 1 FROM delivery d WHERE d.batch_no = b.batch_no)
                     AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.batch_no = b.batch_no)
                 ORDER BY accepted_at LIMIT ?",
            );
            let rows = rows.bind(BATCHES_AT_ONCE).fetch_all(&self.readers).await?;
            let some = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
            let some = serde_json::to_string(&some).map_err(odd)?;
            let (batches, records) = self
                .writes
                .run(Durability::Relaxed, move |connection| {
                    Box::pin(async move { prune_some(connection, &some).await })
                })
                .await?;
            if batches == 0 {
                break;
            }
            (pruned, unrouted) = (pruned + batches, unrouted + records);
        }
        Ok((pruned, unrouted))
    }
}

/// Gives one thing up, if it is there still and nobody is at work on it: how many records.
async fn give_one_up(
    connection: &mut Connection,
    owed: Owed,
    of_batch: OfBatch,
    of_shadows: bool,
    now: Timestamp,
) -> Result<u64, Failure> {
    let Owed { queue_no, sink, number, batch_no, selection } = owed;
    let row = match number {
        0 => query("SELECT selection, 0 FROM replay WHERE queue_no = ? AND batch_no = ?")
            .bind(queue_no)
            .bind(batch_no),
        number => query(
            "SELECT d.selection, d.lineage_no FROM delivery d JOIN queue q ON q.queue_no = d.queue_no
             WHERE d.queue_no = ? AND d.batch_no = ? AND d.number = ? AND d.awaited = 0
                 AND (q.leased_until <= ? OR d.number > q.leased_to)",
        )
        .bind(queue_no)
        .bind(batch_no)
        .bind(number)
        .bind(nanoseconds(now)),
    };
    let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(0) };
    if row.try_get::<Option<Vec<u8>>, _>(0)? != selection {
        return Ok(0);
    }
    let OfBatch { source_no, hours, .. } = of_batch;
    let selection = selection.map_or(Selection::All, Selection::Some);
    let records = selected(hours.len(), &selection);
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    for (_, hour) in hours.iter().enumerate().filter(|(index, _)| selection.contains(*index)) {
        *counts.entry(*hour).or_default() += 1;
    }
    // So that the record's journey tells it. The ledger counts what no shadow does without.
    query(
        "INSERT INTO acknowledgement (batch_no, sink, number, at, outcome, records, selection, lineage_no)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (batch_no, sink, number, at, outcome) DO UPDATE SET records = excluded.records,
                 selection = excluded.selection, lineage_no = excluded.lineage_no",
    )
    .bind(batch_no)
    .bind(&sink)
    .bind(number)
    .bind(nanoseconds(now))
    .bind(if of_shadows { OF_SHADOW } else { GIVEN_UP })
    .bind(records)
    .bind(bits(selection))
    .bind(row.try_get::<i64, _>(1)?)
    .execute(&mut *connection)
    .await?;
    match number {
        0 => {
            query("DELETE FROM replay WHERE queue_no = ? AND batch_no = ?")
                .bind(queue_no)
                .bind(batch_no)
                .execute(&mut *connection)
                .await?;
        }
        number => delete_delivery(connection, queue_no, number).await?,
    }
    if of_shadows {
        // It was not to have them.
        let rows = counts.iter().map(|(hour, records)| (*hour, sink.as_str(), -records, 0, 0));
        let rows = serde_json::to_string(&rows.collect::<Vec<SinkRow<'_>>>()).map_err(odd)?;
        count_sinks(connection, source_no, rows).await?;
    } else {
        count_given_up(connection, source_no, &sink, counts).await?;
    }
    query(
        "UPDATE queue SET owed = max(owed - ?2, 0), failures = CASE WHEN owed <= ?2 THEN 0 ELSE failures END,
             last_error = CASE WHEN owed <= ?2 THEN NULL ELSE last_error END,
             given_up = given_up + CASE WHEN ?3 = 1 THEN 0 ELSE ?2 END,
             given_up_at = CASE WHEN ?3 = 1 THEN given_up_at ELSE ?4 END
         WHERE queue_no = ?1",
    )
    .bind(queue_no)
    .bind(records)
    .bind(of_shadows)
    .bind(nanoseconds(now))
    .execute(&mut *connection)
    .await?;
    Ok(count(records))
}

/// Adds to what sinks do without, by hour.
async fn count_given_up(
    connection: &mut Connection,
    source_no: i64,
    sink: &str,
    counts: BTreeMap<i64, i64>,
) -> Result<(), Failure> {
    let rows = serde_json::to_string(&counts.into_iter().collect::<Vec<_>>()).map_err(odd)?;
    query(
        "INSERT INTO ledger_sink (source_no, hour, sink, given_up)
         SELECT ?1, CAST(j.value ->> 0 AS BIGINT), ?2, CAST(j.value ->> 1 AS BIGINT) FROM json_each(?3) j WHERE true
         ON CONFLICT (source_no, hour, sink) DO UPDATE SET given_up = max(ledger_sink.given_up + excluded.given_up, 0)",
    )
    .bind(source_no)
    .bind(sink)
    .bind(rows)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// What of `selection` had been given up is owed once more: the sink does not do without it any longer. `hours` says in
/// which hour the ledger counts each record of the batch.
pub(super) async fn take_back(
    connection: &mut Connection,
    (source_no, batch_no): (i64, i64),
    sink: &str,
    selection: &Selection,
    hours: &[i64],
) -> Result<(), Failure> {
    let rows = query(
        "SELECT number, at, outcome, selection FROM acknowledgement WHERE batch_no = ? AND sink = ? AND outcome IN (?, ?)",
    );
    let rows =
        rows.bind(batch_no).bind(sink).bind(GIVEN_UP).bind(OF_SHADOW).fetch_all(&mut *connection).await?;
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    for row in rows {
        let gone = row.try_get::<Option<Vec<u8>>, _>("selection")?.map_or(Selection::All, Selection::Some);
        let is_back = |index: usize| gone.contains(index) && selection.contains(index);
        let outcome: &str = row.try_get("outcome")?;
        if outcome == GIVEN_UP {
            for (_, hour) in hours.iter().enumerate().filter(|(index, _)| is_back(*index)) {
                *counts.entry(*hour).or_default() -= 1;
            }
        }
        let left = Selection::of(hours.len(), |index| gone.contains(index) && !selection.contains(index));
        let query = match left {
            None => query(
                "DELETE FROM acknowledgement WHERE batch_no = ? AND sink = ? AND number = ? AND at = ? AND outcome = ?",
            ),
            Some(left) => query(
                "UPDATE acknowledgement SET records = ?, selection = ?
                 WHERE batch_no = ? AND sink = ? AND number = ? AND at = ? AND outcome = ?",
            )
            .bind(selected(hours.len(), &left))
            .bind(bits(left)),
        };
        let (number, at): (i64, i64) = (row.try_get("number")?, row.try_get("at")?);
        let query = query.bind(batch_no).bind(sink).bind(number).bind(at).bind(outcome);
        query.execute(&mut *connection).await?;
    }
    match counts.is_empty() {
        true => Ok(()),
        false => count_given_up(connection, source_no, sink, counts).await,
    }
}
