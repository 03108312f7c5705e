//! Journal batches that cannot be read back: what they held is fetched again.
//!
//! Its versions are forgotten, so that they count as new when they come, and the live cursor is told of their span. Whoever
//! had them already gets them once more: that is better than never.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Note, Reason, Selection};

use super::history::forget;
use super::ledger::{SinkRow, count_sinks};
use super::notes::leave_notes;
use super::unrouted::strike_off;
use crate::counting::hour_of_stored;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, query};
use crate::stored::{nanoseconds, timestamp};

/// A tick of Microsoft's times: the end of a span is exclusive.
const TICK: Duration = Duration::from_nanos(100);

/// The versions in a batch of a tenant. `CROSS JOIN` keeps SQLite from walking over those of all tenants.
pub(crate) const VERSIONS_OF_BATCH: &str = "SELECT s.source_no, v.ordinal, v.updated_at FROM source s
     CROSS JOIN record_version v ON v.source_no = s.source_no AND v.batch_no = ?2 WHERE s.tenant_no = ?1";

/// The versions of one source in a batch: place and update time.
pub(crate) struct LostVersions {
    source_no: i64,
    versions: Vec<(i64, i64)>,
}

impl LostVersions {
    /// How many of its records are such.
    pub(crate) fn count(&self, such: impl Fn(usize) -> bool) -> u64 {
        let places: BTreeSet<i64> = self.versions.iter().map(|(place, _)| *place).collect();
        let places = places.into_iter().map(|place| usize::try_from(place).unwrap_or(usize::MAX));
        places.filter(|place| such(*place)).count() as u64
    }
}

impl SqlStore {
    /// The versions that the index has of a batch. It is walked over for that, outside of any transaction.
    pub(crate) async fn versions_of(
        &self,
        tenant_no: i64,
        batch_no: i64,
    ) -> Result<Vec<LostVersions>, Failure> {
        let rows = query(VERSIONS_OF_BATCH).bind(tenant_no).bind(batch_no).fetch_all(&self.readers).await?;
        let mut sources: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        for row in rows {
            sources.entry(row.try_get(0)?).or_default().push((row.try_get(1)?, row.try_get(2)?));
        }
        let lost = |(source_no, versions)| LostVersions { source_no, versions };
        Ok(sources.into_iter().map(lost).collect())
    }
}

/// Forgets the versions of a damaged batch and has their span read again; counts those that `sink` was owed.
pub(crate) async fn fetch_again(
    connection: &mut Connection,
    batch_no: i64,
    sink: &str,
    owed: &Selection,
    LostVersions { source_no, versions }: LostVersions,
    now: Timestamp,
) -> Result<(), Failure> {
    // Another spelling of a known version shares its place.
    let places: BTreeMap<i64, i64> = versions.iter().copied().collect();
    let mut hours: BTreeMap<i64, i64> = BTreeMap::new();
    for (place, updated_at) in &places {
        if owed.contains(usize::try_from(*place).unwrap_or(usize::MAX)) {
            *hours.entry(hour_of_stored(*updated_at)).or_default() += 1;
        }
    }
    let counts = hours.iter().map(|(hour, records)| (*hour, sink, 0, 0, *records));
    let counts = serde_json::to_string(&counts.collect::<Vec<SinkRow<'_>>>()).expect("numbers");
    count_sinks(connection, source_no, counts).await?;
    unprocess(connection, batch_no).await?;
    let Some((first, last)) =
        versions.iter().map(|(_, updated_at)| *updated_at).fold(None, |span: Option<(i64, i64)>, at| {
            Some(span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))))
        })
    else {
        return Ok(());
    };
    note_first_versions(connection, (source_no, batch_no), (first, last), now).await?;
    let done = query(
        "DELETE FROM record_version WHERE source_no = ? AND updated_at BETWEEN ? AND ? AND batch_no = ?",
    )
    .bind(source_no)
    .bind(first)
    .bind(last)
    .bind(batch_no)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        // Another sink's delivery of the same batch was set aside meanwhile, and has said so.
        return Ok(());
    }
    // It comes again, and is routed then.
    let hour_of = |index: usize| places.get(&(index as i64)).map(|at| hour_of_stored(*at));
    strike_off(connection, batch_no, |index| places.contains_key(&(index as i64)), hour_of, now).await?;
    // When they come again, they are not the first of their records.
    let times = versions.iter().map(|(_, updated_at)| *updated_at).collect::<Vec<_>>();
    forget(connection, source_no, &times).await?;
    // What has no update time cannot be asked for by it.
    let timed = versions.iter().map(|(_, updated_at)| *updated_at).filter(|at| *at != i64::MIN);
    let Some(from) = timed.min() else { return Ok(()) };
    let to = timestamp(last).checked_add(TICK).ok();
    let note = Note::Hole { from: timestamp(from), to, reason: Reason::Damaged, since: now };
    leave_notes(connection, source_no, &[note]).await
}

/// A batch that cannot be read is not among what was processed any more: what comes in its place is.
pub(crate) async fn unprocess(connection: &mut Connection, batch_no: i64) -> Result<(), Failure> {
    query("UPDATE journal_batch SET processed_from = NULL WHERE batch_no = ?")
        .bind(batch_no)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Notes the records whose first known version is lost with a batch: the next that is known counts as their first to whoever asks
/// for what was processed, or the one that comes where there is none.
async fn note_first_versions(
    connection: &mut Connection,
    (source_no, batch_no): (i64, i64),
    (first, last): (i64, i64),
    now: Timestamp,
) -> Result<(), Failure> {
    query(
        "INSERT INTO fetched_again (source_no, id, lost_at, batch_no, ordinal)
         SELECT ?1, l.id, ?5, l.place / 1048576, l.place % 1048576 FROM (
             SELECT v.id, (SELECT min(o.batch_no * 1048576 + o.ordinal)
                 FROM record_version o INDEXED BY record_version_of_record
                 WHERE o.source_no = ?1 AND o.id = v.id AND o.ordinal >= 0 AND o.batch_no > ?2
                     -- A version is known for longer than its batch is kept.
                     AND EXISTS (SELECT 1 FROM journal_batch b WHERE b.batch_no = o.batch_no)) AS place
             FROM record_version v
             WHERE v.source_no = ?1 AND v.updated_at BETWEEN ?3 AND ?4 AND v.batch_no = ?2 AND v.ordinal >= 0
                 AND NOT EXISTS (SELECT 1 FROM record_version o INDEXED BY record_version_of_record
                     WHERE o.source_no = ?1 AND o.id = v.id AND o.ordinal >= 0 AND o.batch_no < ?2)
             GROUP BY v.id) l WHERE true
         ON CONFLICT (source_no, id) DO UPDATE SET lost_at = excluded.lost_at, batch_no = excluded.batch_no,
             ordinal = excluded.ordinal",
    )
    .bind(source_no)
    .bind(batch_no)
    .bind(first)
    .bind(last)
    .bind(nanoseconds(now))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Notes which of a batch's versions, which have just been written, come in the place of first ones that were lost.
pub(crate) async fn note_fetched_again(
    connection: &mut Connection,
    source_no: i64,
    batch_no: i64,
) -> Result<(), Failure> {
    // As good as always there is none that is waited for.
    query(
        "UPDATE fetched_again SET batch_no = ?2, ordinal = (
             SELECT min(v.ordinal) FROM record_version v INDEXED BY record_version_of_record
             WHERE v.source_no = ?1 AND v.id = fetched_again.id AND v.ordinal >= 0 AND v.batch_no = ?2)
         WHERE source_no = ?1 AND batch_no IS NULL AND EXISTS (
             SELECT 1 FROM record_version v INDEXED BY record_version_of_record
             WHERE v.source_no = ?1 AND v.id = fetched_again.id AND v.ordinal >= 0 AND v.batch_no = ?2)",
    )
    .bind(source_no)
    .bind(batch_no)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
