//! The end of the journal, for who looks on while records pass.

use muster_model::Selection;

use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::query;
use crate::stored::count;
use crate::{BatchNote, JournalTail};

impl SqlStore {
    /// See [`crate::Journal::journal_tail`]. Only the ends of a key are walked over, and nothing that is sealed is read.
    pub(super) async fn tail(&self, after: u64, again: u64, limit: u32) -> Result<JournalTail, Failure> {
        let newest = query("SELECT coalesce(max(batch_no), 0) FROM journal_batch").fetch_one(&self.readers);
        let newest: i64 = newest.await?.try_get(0)?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        // By count and not by number: with PostgreSQL each day begins at a number of its own.
        let from = match i64::try_from(again).unwrap_or(i64::MAX) {
            0 => after,
            again => {
                let first = query(
                    "SELECT coalesce(min(l.batch_no), ?1 + 1) FROM (SELECT batch_no FROM journal_batch WHERE batch_no <= ?1
                         ORDER BY batch_no DESC LIMIT ?2) l",
                );
                let first = first.bind(after.min(newest)).bind(again).fetch_one(&self.readers).await?;
                first.try_get::<i64, _>(0)? - 1
            }
        };
        let rows = query(
            "SELECT batch_no, records, body_bytes FROM journal_batch WHERE batch_no > ?1 AND batch_no <= ?2
             ORDER BY batch_no DESC LIMIT ?3",
        );
        let rows = rows.bind(from).bind(newest).bind(limit).fetch_all(&self.readers).await?;
        let mut batches = Vec::with_capacity(rows.len());
        for row in &rows {
            batches.push(BatchNote {
                batch: count(row.try_get(0)?),
                records: count(row.try_get(1)?),
                body_bytes: count(row.try_get(2)?),
            });
        }
        let lowest = batches.last().map_or(i64::MAX, |batch| batch.batch.cast_signed());
        let more = match rows.len() == limit as usize && lowest > after {
            false => 0,
            true => {
                let more = query(
                    "SELECT CAST(coalesce(sum(records), 0) AS BIGINT) FROM journal_batch WHERE batch_no > ?1 AND batch_no < ?2",
                );
                let row = more.bind(after).bind(lowest.min(newest + 1)).fetch_one(&self.readers).await?;
                count(row.try_get(0)?)
            }
        };
        Ok(JournalTail { newest: count(newest), batches, more })
    }

    /// See [`crate::Journal::batch_sinks`].
    pub(super) async fn sinks_of(&self, batch: u64) -> Result<Vec<(String, Selection)>, Failure> {
        let rows = query(
            "SELECT sink, selection FROM (
                 SELECT sink, selection FROM acknowledgement WHERE batch_no = ?1
             UNION ALL SELECT q.sink, d.selection FROM delivery d JOIN queue q ON q.queue_no = d.queue_no WHERE d.batch_no = ?1
             UNION ALL SELECT q.sink, r.selection FROM replay r JOIN queue q ON q.queue_no = r.queue_no WHERE r.batch_no = ?1) a
             ORDER BY sink",
        );
        let rows = rows.bind(i64::try_from(batch).unwrap_or(i64::MAX)).fetch_all(&self.readers).await?;
        let sink = |row: &crate::sql::Row| {
            let selection = row.try_get::<Option<Vec<u8>>, _>("selection")?;
            Ok((row.try_get("sink")?, selection.map_or(Selection::All, Selection::Some)))
        };
        rows.iter().map(sink).collect()
    }
}
