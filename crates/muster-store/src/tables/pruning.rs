//! Pruning: what is old and needed by nobody goes, little by little, so that others need not wait long.

use std::collections::HashMap;

use muster_model::Cursor;

use super::history::forget;
use super::rows::odd;
use crate::counting::hour_of;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, query};
use crate::stored::{count, nanoseconds};
use crate::writer::Durability;
use crate::{Pruned, Retention, StoreError};

/// Batches that one statement deletes.
const BATCHES_AT_ONCE: usize = 50;
/// Rows of the index of versions, or of the ledger, that one statement deletes.
const ROWS_AT_ONCE: i64 = 2_000;
/// Marks are set as far apart as this at least.
const MARKS_APART: i64 = 86_400 * 1_000_000_000;
const DOING: &str = "prune the journal";

/// Which of the batches `?1` nobody is owed.
macro_rules! prunable {
    () => {
        "batch_no IN (SELECT CAST(value AS BIGINT) FROM json_each(?1))
         AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.batch_no = journal_batch.batch_no)
         AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.batch_no = journal_batch.batch_no)"
    };
}

impl SqlStore {
    pub(super) async fn prune(&self, keep: Retention) -> Result<Pruned, StoreError> {
        let worded = |failure: Failure| failure.worded(&self.path, DOING);
        // Before batches go, since those that are there tell how old the others are.
        self.mark(keep).await?;
        let (old_batches, old_unrouted) = match self.readers.is_postgres() {
            true => self.prune_partitions(keep).await?,
            false => (0, 0),
        };
        let (batches, unrouted) = self.prune_batches(keep).await?;
        let versions = self.prune_versions(keep).await.map_err(worded)?;
        let hours = self.prune_ledger(keep).await.map_err(worded)?;
        self.prune_notes_of_gone(keep).await?;
        Ok(Pruned { batches: batches + old_batches, unrouted: unrouted + old_unrouted, versions, hours })
    }

    /// Drops the partitions of the journal in which everything is old and nobody is owed anything: no row is deleted for it, and
    /// none is left to be cleared away. How many batches, and how many records of theirs no sink was ever to have.
    async fn prune_partitions(&self, keep: Retention) -> Result<(u64, u64), StoreError> {
        let failed = self.failed(DOING);
        let rows = query(
            "SELECT CAST(substr(c.relname, 15) AS BIGINT) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'journal_batch'::regclass ORDER BY 1",
        );
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        let spans = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>().map_err(failed)?;
        let (mut batches, mut unrouted) = (0, 0);
        // The last one is written to.
        for span in spans.iter().rev().skip(1).rev() {
            let (span, before) = (*span, nanoseconds(keep.journal));
            let (gone, records) = self
                .write(DOING, Durability::Relaxed, move |connection| {
                    Box::pin(async move { drop_partition(connection, span, before).await })
                })
                .await?;
            (batches, unrouted) = (batches + gone, unrouted + records);
        }
        Ok((batches, unrouted))
    }

    /// Before when a batch is older than its partition can be, and from which number on batches are in the last partition.
    async fn partitions_kept(&self, keep: Retention) -> Result<(i64, i64), sqlx::Error> {
        let row = query(
            "SELECT ?1 - CAST(m.value AS BIGINT), (s.seq >> 24) << 24 FROM meta m, sqlite_sequence s
             WHERE m.key = 'partition_span' AND s.name = 'journal_batch'",
        );
        let row = row.bind(nanoseconds(keep.journal)).fetch_one(&self.readers).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// How many batches were pruned, and how many records of theirs no sink was ever to have.
    async fn prune_batches(&self, keep: Retention) -> Result<(u64, u64), StoreError> {
        let failed = self.failed(DOING);
        // Of a partition that will soon be old as a whole no row is deleted before; the one that is written to is none yet.
        let kept_whole = match self.readers.is_postgres() {
            true => self.partitions_kept(keep).await.map_err(&failed)?,
            false => (i64::MAX, i64::MAX),
        };
        let rows = query(
            "SELECT batch_no FROM journal_batch b WHERE accepted_at < ?1 AND (accepted_at < ?2 OR batch_no >= ?3)
             AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.batch_no = b.batch_no)
             AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.batch_no = b.batch_no) ORDER BY accepted_at",
        )
        .bind(nanoseconds(keep.journal))
        .bind(kept_whole.0)
        .bind(kept_whole.1)
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let numbers =
            rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>().map_err(failed)?;
        let (mut pruned, mut unrouted) = (0, 0);
        for some in numbers.chunks(BATCHES_AT_ONCE) {
            let some = serde_json::to_string(some).expect("numbers");
            let (batches, records) = self
                .write(DOING, Durability::Relaxed, move |connection| {
                    Box::pin(async move { prune_some(connection, &some).await })
                })
                .await?;
            (pruned, unrouted) = (pruned + batches, unrouted + records);
        }
        Ok((pruned, unrouted))
    }

    /// Of what no route took and is not in the journal any more, and of what was to be fetched again and never came, nothing is
    /// said for longer than its versions are known.
    async fn prune_notes_of_gone(&self, keep: Retention) -> Result<(), StoreError> {
        self.write(DOING, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                query("DELETE FROM unrouted WHERE gone = 1 AND accepted_at < ?")
                    .bind(nanoseconds(keep.versions))
                    .execute(&mut *connection)
                    .await?;
                query("DELETE FROM fetched_again WHERE batch_no IS NULL AND lost_at < ?")
                    .bind(nanoseconds(keep.versions))
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Writes down which batches had been accepted by now, once a day, and forgets marks that say no more than another.
    async fn mark(&self, keep: Retention) -> Result<(), StoreError> {
        self.write(DOING, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                // A mark of a clock that was ahead would say nothing for a long time.
                query("DELETE FROM journal_mark WHERE at > ?")
                    .bind(nanoseconds(keep.now))
                    .execute(&mut *connection)
                    .await?;
                query(
                    "INSERT INTO journal_mark (at, batch_no)
                     SELECT ?1, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'journal_batch'), 0)
                     WHERE coalesce((SELECT max(at) FROM journal_mark), ?2) <= ?2 ON CONFLICT DO NOTHING",
                )
                .bind(nanoseconds(keep.now))
                .bind(nanoseconds(keep.now).saturating_sub(MARKS_APART))
                .execute(&mut *connection)
                .await?;
                query("DELETE FROM journal_mark WHERE at < (SELECT max(at) FROM journal_mark WHERE at < ?)")
                    .bind(nanoseconds(keep.versions))
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Forgets versions that were updated and accepted long ago, whose batch is gone, and that no cursor of their source
    /// will read again.
    async fn prune_versions(&self, keep: Retention) -> Result<u64, Failure> {
        let row = query("SELECT coalesce(max(batch_no), 0) FROM journal_mark WHERE at < ?")
            .bind(nanoseconds(keep.versions))
            .fetch_one(&self.readers)
            .await?;
        let accepted_by: i64 = row.try_get(0)?;
        if accepted_by == 0 {
            return Ok(0);
        }
        let mut pruned = 0;
        for (source_no, before) in self.read_again_from(keep).await? {
            let mut from = i64::MIN;
            loop {
                // A stretch of the index at a time; the writer is asked only where something in it is to go.
                let stretch = query(
                    "SELECT max(updated_at), max(CASE WHEN batch_no <= ?5 AND NOT EXISTS
                         (SELECT 1 FROM journal_batch b WHERE b.batch_no = v.batch_no) THEN 1 ELSE 0 END)
                     FROM (SELECT updated_at, batch_no FROM record_version WHERE source_no = ?1
                         AND updated_at >= ?2 AND updated_at < ?3 ORDER BY updated_at LIMIT ?4) v",
                )
                .bind(source_no)
                .bind(from)
                .bind(before)
                .bind(ROWS_AT_ONCE)
                .bind(accepted_by)
                .fetch_one(&self.readers)
                .await?;
                let Some(last) = stretch.try_get::<Option<i64>, _>(0)? else { break };
                let Some(next) = last.checked_add(1) else { break };
                if stretch.try_get::<Option<i64>, _>(1)? != Some(1) {
                    from = next;
                    continue;
                }
                pruned += self
                    .writes
                    .run(Durability::Relaxed, move |connection| {
                        Box::pin(async move {
                            let done = query(
                                "DELETE FROM record_version WHERE source_no = ?1 AND updated_at BETWEEN ?2 AND ?3
                                 AND batch_no <= ?4 AND NOT EXISTS
                                     (SELECT 1 FROM journal_batch b WHERE b.batch_no = record_version.batch_no)
                                 RETURNING updated_at",
                            )
                            .bind(source_no)
                            .bind(from)
                            .bind(last)
                            .bind(accepted_by)
                            .fetch_all(&mut *connection)
                            .await?;
                            let times = done.iter().map(|row| row.try_get(0));
                            let times = times.collect::<Result<Vec<i64>, _>>()?;
                            forget(connection, source_no, &times).await?;
                            Ok(done.len() as u64)
                        })
                    })
                    .await?;
                from = next;
            }
        }
        Ok(pruned)
    }

    /// For each source, before which update time its versions may be forgotten: the limit, or where one of its cursors
    /// reads again if that is earlier.
    async fn read_again_from(&self, keep: Retention) -> Result<HashMap<i64, i64>, Failure> {
        let rows = query("SELECT source_no, cursor FROM cursor").fetch_all(&self.readers).await?;
        let mut sources = HashMap::new();
        for row in rows {
            let cursor: Cursor = serde_json::from_str(row.try_get("cursor")?).map_err(odd)?;
            let before = nanoseconds(cursor.complete_up_to().min(keep.versions));
            let bound = sources.entry(row.try_get("source_no")?).or_insert(before);
            *bound = before.min(*bound);
        }
        // Notes are holes that no cursor has yet.
        let rows = query("SELECT DISTINCT source_no FROM cursor_note").fetch_all(&self.readers).await?;
        for row in rows {
            sources.remove(&row.try_get::<i64, _>(0)?);
        }
        Ok(sources)
    }

    async fn prune_ledger(&self, keep: Retention) -> Result<u64, Failure> {
        let (hour, changed) = (hour_of(Some(keep.ledger)), nanoseconds(keep.ledger));
        let sources = query(
            "SELECT s.source_no FROM source s WHERE EXISTS (SELECT 1 FROM ledger l
                 WHERE l.source_no = s.source_no AND l.hour < ? AND l.changed_at < ?)",
        )
        .bind(hour)
        .bind(changed)
        .fetch_all(&self.readers)
        .await?;
        let mut pruned = 0;
        for row in sources {
            let source_no: i64 = row.try_get(0)?;
            pruned += self
                .writes
                .run(Durability::Relaxed, move |connection| {
                    Box::pin(async move {
                        let mut deleted = 0;
                        for (index, sql) in [
                            "DELETE FROM ledger WHERE source_no = ?1 AND hour < ?2 AND changed_at < ?3",
                            "DELETE FROM ledger_sink WHERE source_no = ?1 AND hour < ?2 AND NOT EXISTS
                                 (SELECT 1 FROM ledger l WHERE l.source_no = ?1 AND l.hour = ledger_sink.hour)",
                            "DELETE FROM coverage WHERE source_no = ?1 AND to_at <= ?3",
                        ]
                        .into_iter()
                        .enumerate()
                        {
                            let done = query(sql).bind(source_no).bind(hour).bind(changed);
                            let done = done.execute(&mut *connection).await?.rows_affected();
                            deleted += if index == 0 { done } else { 0 };
                        }
                        Ok(deleted)
                    })
                })
                .await?;
        }
        Ok(pruned)
    }
}

/// Drops a partition if all of it is from before then and nobody is owed any of it: how many batches, and how many records of
/// theirs no sink was ever to have.
async fn drop_partition(connection: &mut Connection, span: i64, before: i64) -> Result<(u64, u64), Failure> {
    let (first, end) = (span << 24, (span + 1) << 24);
    let row = query(
        "SELECT count(*), coalesce(sum(stored_bytes), 0),
             (SELECT count(*) FROM delivery WHERE batch_no >= ?1 AND batch_no < ?2)
                 + (SELECT count(*) FROM replay WHERE batch_no >= ?1 AND batch_no < ?2)
                 + count(*) FILTER (WHERE accepted_at >= ?3)
         FROM journal_batch WHERE batch_no >= ?1 AND batch_no < ?2",
    );
    let row = row.bind(first).bind(end).bind(before).fetch_one(&mut *connection).await?;
    let (batches, bytes, needed): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if needed > 0 {
        return Ok((0, 0));
    }
    let pruned = "UPDATE source SET pruned_up_to = max(coalesce(pruned_up_to, p.at), p.at)
         FROM (SELECT source_no, max(accepted_at) AS at FROM journal_batch WHERE batch_no >= ?1 AND batch_no < ?2
             GROUP BY source_no) p WHERE p.source_no = source.source_no";
    query(pruned).bind(first).bind(end).execute(&mut *connection).await?;
    // What goes with a batch that is deleted, all at once.
    for sql in [
        "DELETE FROM acknowledgement WHERE batch_no >= ?1 AND batch_no < ?2",
        "DELETE FROM fetched_again WHERE batch_no >= ?1 AND batch_no < ?2",
    ] {
        query(sql).bind(first).bind(end).execute(&mut *connection).await?;
    }
    let gone = query(
        "WITH gone AS (UPDATE unrouted SET gone = 1 WHERE batch_no >= ?1 AND batch_no < ?2 AND gone = 0 RETURNING records)
         SELECT coalesce(sum(records), 0) FROM gone",
    );
    let unrouted: i64 = gone.bind(first).bind(end).fetch_one(&mut *connection).await?.try_get(0)?;
    query("UPDATE journal_size SET bytes = bytes - ? WHERE only_row = 1")
        .bind(bytes)
        .execute(&mut *connection)
        .await?;
    connection.run(&format!("DROP TABLE journal_batch_{span}")).await?;
    Ok((count(batches), count(unrouted)))
}

/// Deletes those of some batches that nobody is owed: how many, and how many records of theirs no sink was ever to have.
pub(super) async fn prune_some(connection: &mut Connection, some: &str) -> Result<(u64, u64), Failure> {
    query(concat!(
        "UPDATE source SET pruned_up_to = max(coalesce(pruned_up_to, p.at), p.at)
         FROM (SELECT source_no, max(accepted_at) AS at FROM journal_batch WHERE ",
        prunable!(),
        " GROUP BY source_no) p WHERE p.source_no = source.source_no"
    ))
    .bind(some)
    .execute(&mut *connection)
    .await?;
    let batches = query(concat!("DELETE FROM journal_batch WHERE ", prunable!()))
        .bind(some)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    let row = query(
        "SELECT coalesce(sum(records), 0) FROM unrouted WHERE gone = 1
         AND batch_no IN (SELECT CAST(value AS BIGINT) FROM json_each(?))",
    );
    let row = row.bind(some).fetch_one(&mut *connection).await?;
    Ok((batches, count(row.try_get(0)?)))
}
