//! What of a page is known already.

use std::collections::{BTreeMap, HashSet};

use muster_model::{Batch, ContentHash, Record, TenantId, is_same_version};

use super::batches::version_columns;
use super::history::LatestVersions;
use super::leased_source::StoredSource;
use super::rows::odd;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::unpack;
use crate::sealing::DataKey;
use crate::sql::{Connection, query};
use crate::{AcceptedPage, NewDeadLetter, SourceLease};

/// Which of some versions are known. One row for all, since each row is a message from the connection's thread.
pub(crate) const KNOWN_VERSIONS: &str = concat!(
    "SELECT json_group_array(j.key) FROM json_each(?2) j WHERE EXISTS (SELECT 1 FROM record_version v
     WHERE v.source_no = ?1 AND (v.updated_at, v.id, v.hash) = (",
    version_columns!(),
    "))"
);

/// Versions with the id and the update time of one that is asked for, whatever their bytes. `CROSS JOIN` keeps SQLite from
/// reading all of a source's versions first.
pub(crate) const KNOWN_BY_ID_AND_TIME: &str =
    "SELECT j.key AS place, v.batch_no, v.ordinal FROM json_each(?2) j
     CROSS JOIN record_version v ON v.source_no = ?1
         AND v.updated_at = CAST(substr(j.value, 33, 20) AS BIGINT) AND v.id = substr(j.value, 53)
     ORDER BY v.batch_no";

/// A record that is known, written in another way than it was.
pub(crate) struct Rewritten {
    version: String,
    batch_no: i64,
    ordinal: i64,
}

pub(crate) async fn write_alias(
    connection: &mut Connection,
    source_no: i64,
    known: Rewritten,
) -> Result<(), Failure> {
    query(concat!(
        "INSERT INTO record_version (source_no, updated_at, id, hash, batch_no, ordinal, stage) SELECT ?1, ",
        version_columns!(),
        ", ?3, ?4, (SELECT v.stage FROM record_version v WHERE v.source_no = ?1
             AND v.updated_at = CAST(substr(j.value, 33, 20) AS BIGINT) AND v.id = substr(j.value, 53)
             AND v.batch_no = ?3 AND v.ordinal = ?4) FROM (SELECT ?2 AS value) j WHERE true ON CONFLICT DO NOTHING"
    ))
    .bind(source_no)
    .bind(known.version)
    .bind(known.batch_no)
    .bind(known.ordinal)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

impl SqlStore {
    /// The indices of the records whose version is not known yet; of those twice on the page, the first.
    pub(crate) async fn fresh_records(
        &self,
        source_no: i64,
        versions: &[String],
    ) -> Result<Vec<usize>, Failure> {
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let row = query(KNOWN_VERSIONS)
            .bind(source_no)
            .bind(serde_json::to_string(versions).map_err(odd)?)
            .fetch_one(&self.readers)
            .await?;
        let known: HashSet<usize> = serde_json::from_str(row.try_get(0)?).map_err(odd)?;
        let mut seen = HashSet::with_capacity(versions.len());
        let fresh = |index: &usize| !known.contains(index) && seen.insert(&versions[*index]);
        Ok((0..versions.len()).filter(fresh).collect())
    }

    /// Of the records that are not known by their bytes, those that are not known by what they say either; and the others,
    /// so that they are known by their bytes from now on. It is looked at what is in the journal, and only where a version of
    /// the record with this update time is known: of new records nothing is asked.
    pub(crate) async fn without_rewritten(
        &self,
        lease: &SourceLease,
        source: &StoredSource,
        page: &AcceptedPage<'_>,
        versions: &[String],
        fresh: Vec<usize>,
        known: &LatestVersions,
    ) -> Result<(Vec<usize>, Vec<Rewritten>), Failure> {
        let of_known = fresh.iter().copied().filter(|index| known.has(&page.records[*index].head.id));
        let of_known: Vec<usize> = of_known.collect();
        if of_known.is_empty() {
            return Ok((fresh, Vec::new()));
        }
        let asked: Vec<&String> = of_known.iter().map(|index| &versions[*index]).collect();
        let mut rewritten: BTreeMap<usize, Rewritten> = BTreeMap::new();
        self.each_known(source, lease.tenant.id, &asked, |place, (batch_no, ordinal), old| {
            let index = of_known[place];
            // What is not in the journal any more cannot be compared: twice is better than never.
            if old.is_some_and(|old| is_same_version(lease.source.kind(), old.body, page.records[index].body))
            {
                rewritten.insert(index, Rewritten { version: versions[index].clone(), batch_no, ordinal });
            }
        })
        .await?;
        let left = fresh.into_iter().filter(|index| !rewritten.contains_key(index)).collect();
        Ok((left, rewritten.into_values().collect()))
    }

    /// Calls `on_known` for each version in the index with the id and the update time of one of `versions`: with the place
    /// in that list, where the journal has it (batch and ordinal), and what it has there.
    pub(crate) async fn each_known(
        &self,
        source: &StoredSource,
        tenant: TenantId,
        versions: &[&String],
        mut on_known: impl FnMut(usize, (i64, i64), Option<Record<'_>>) + Send,
    ) -> Result<(), Failure> {
        let rows = query(KNOWN_BY_ID_AND_TIME)
            .bind(source.source_no)
            .bind(serde_json::to_string(versions).map_err(odd)?)
            .fetch_all(&self.readers)
            .await?;
        let mut opened: Option<(i64, Option<Batch>)> = None;
        for row in rows {
            let place = usize::try_from(row.try_get::<i64, _>("place")?).map_err(odd)?;
            let (batch_no, ordinal): (i64, i64) = (row.try_get("batch_no")?, row.try_get("ordinal")?);
            if opened.as_ref().is_none_or(|(number, _)| *number != batch_no) {
                opened = Some((batch_no, self.batch(batch_no, tenant, &source.data_key).await?));
            }
            let batch = opened.as_ref().and_then(|(_, batch)| batch.as_ref());
            let old = batch.and_then(|batch| batch.record(usize::try_from(ordinal).ok()?));
            on_known(place, (batch_no, ordinal), old);
        }
        Ok(())
    }

    /// A batch of the journal; `None` where it was pruned, or cannot be opened.
    pub(crate) async fn batch(
        &self,
        batch_no: i64,
        tenant: TenantId,
        key: &DataKey,
    ) -> Result<Option<Batch>, Failure> {
        let stored = self.stored_batch(batch_no).await?;
        Ok(stored.and_then(|stored| unpack(stored, tenant, key).ok()))
    }

    /// The dead letters that are not kept already, each with the hash of its bytes.
    pub(crate) async fn fresh_letters<'a, 'p>(
        &self,
        tenant_no: i64,
        lease: &SourceLease,
        letters: &'p [NewDeadLetter<'a>],
    ) -> Result<Vec<(&'p NewDeadLetter<'a>, ContentHash)>, Failure> {
        let mut fresh = Vec::new();
        let mut seen = HashSet::new();
        for letter in letters {
            let hash = ContentHash::of(letter.body);
            let known = query(
                "SELECT 1 FROM dead_letter
                 WHERE tenant_no = ? AND source = ? AND content_hash = ? AND sink IS NULL",
            )
            .bind(tenant_no)
            .bind(lease.source.as_str())
            .bind(hash.0.to_vec())
            .fetch_optional(&self.readers)
            .await?;
            if known.is_none() && seen.insert(hash) {
                fresh.push((letter, hash));
            }
        }
        Ok(fresh)
    }
}
