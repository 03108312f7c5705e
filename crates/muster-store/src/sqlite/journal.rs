//! The journal. Accepting a page is the one transaction that takes new records in and moves the cursor.
//!
//! What is known already is found out and the batches are made before the transaction. Whoever reads the same source for
//! another purpose may write the same versions meanwhile: the key of `record_version` refuses the second row then, and
//! the page is looked at anew. The same where others wrote other versions of its records: what changed is told from the
//! latest one.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Batch, ContentHash, Purpose, RecordHead, Source, TenantId, is_same_version};
use sqlx::{Row, SqliteConnection};

use super::batches::{json_of, version_columns, write_batch};
use super::dead_letters::insert_letter;
use super::engine::SqliteStore;
use super::failure::Failure;
use super::rows::odd;
use super::sources::lost;
use super::writer::Durability;
use crate::dead_letters::seal_letter;
use crate::drafts::{drafts, version};
use crate::packing::{StoredBatch, unpack};
use crate::sealing::{DataKey, Sealed};
use crate::stored::{count, lease_end, nanoseconds};
use crate::{
    AcceptedPage, DeadLetterOrigin, Journal, JournalTotals, NewDeadLetter, PageReceipt, SourceLease,
    StoreError,
};

/// How often a page is looked at anew when another writer was faster. Each time at least one other page has got in, and
/// a source is read for a few purposes only.
const ATTEMPTS: usize = 16;
/// Batches that one statement of pruning deletes.
const PRUNE_AT_ONCE: usize = 50;
const DOING: &str = "accept a page";
/// Versions with the id and the update time of one that is asked for, whatever their bytes. `CROSS JOIN` keeps SQLite from
/// reading all of a source's versions first.
pub(super) const KNOWN_BY_ID_AND_TIME: &str =
    "SELECT j.key AS place, v.batch_no, v.ordinal FROM json_each(?2) j
     CROSS JOIN record_version v ON v.source_no = ?1
         AND v.updated_at = CAST(substr(j.value, 33, 20) AS INTEGER) AND v.id = substr(j.value, 53)
     ORDER BY v.batch_no";

#[async_trait]
impl Journal for SqliteStore {
    fn journal_id(&self) -> &str {
        &self.journal_id
    }

    async fn accept_page(
        &self,
        lease: &SourceLease,
        page: AcceptedPage<'_>,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<PageReceipt, StoreError> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match self.try_accept(lease, &page, lease_for, now).await {
                Err(failure) if failure.is_conflict() && attempts > 0 => {}
                result => return result.map_err(|failure| failure.worded(&self.path, DOING)),
            }
        }
    }

    async fn known_whole(
        &self,
        (tenant, source): (TenantId, Source),
        key: &str,
        records: &[(RecordHead, &str)],
    ) -> Result<Vec<bool>, StoreError> {
        let known = self.whole_in_journal((tenant, source), key, records).await;
        known.map_err(|failure| failure.worded(&self.path, "look for known records"))
    }

    async fn journal_totals(&self) -> Result<JournalTotals, StoreError> {
        let failed = self.failed("add the journal up");
        let row = sqlx::query(
            "SELECT count(*), coalesce(sum(records), 0), coalesce(sum(stored_bytes), 0),
                 (SELECT count(*) FROM dead_letter) FROM journal_batch",
        )
        .fetch_one(&self.readers)
        .await
        .map_err(&failed)?;
        let column = |index: usize| -> Result<u64, StoreError> {
            Ok(count(row.try_get::<i64, _>(index).map_err(&failed)?))
        };
        Ok(JournalTotals {
            batches: column(0)?,
            records: column(1)?,
            stored_bytes: column(2)?,
            dead_letters: column(3)?,
        })
    }

    async fn prune_journal(&self, before: Timestamp) -> Result<u64, StoreError> {
        let doing = "prune the journal";
        let failed = self.failed(doing);
        let rows = sqlx::query(
            "SELECT batch_no FROM journal_batch b WHERE accepted_at < ?
             AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.batch_no = b.batch_no) ORDER BY accepted_at",
        )
        .bind(nanoseconds(before))
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let numbers =
            rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>().map_err(failed)?;
        let mut pruned = 0;
        for some in numbers.chunks(PRUNE_AT_ONCE) {
            let some = serde_json::to_string(some).expect("numbers");
            pruned += self
                .write(doing, Durability::Relaxed, move |connection| {
                    Box::pin(async move {
                        let done = sqlx::query(
                            "DELETE FROM journal_batch WHERE batch_no IN (SELECT value FROM json_each(?))
                             AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.batch_no = journal_batch.batch_no)",
                        );
                        Ok(done.bind(some).execute(&mut *connection).await?.rows_affected())
                    })
                })
                .await?;
        }
        Ok(pruned)
    }
}

/// A record that is known, written in another way than it was.
struct Rewritten {
    version: String,
    batch_no: i64,
    ordinal: i64,
}

async fn write_alias(
    connection: &mut SqliteConnection,
    source_no: i64,
    known: Rewritten,
) -> Result<(), Failure> {
    sqlx::query(concat!(
        "INSERT OR IGNORE INTO record_version (source_no, updated_at, id, hash, batch_no, ordinal) SELECT ?1, ",
        version_columns!(),
        ", ?3, ?4 FROM (SELECT ?2 AS value) j"
    ))
    .bind(source_no)
    .bind(known.version)
    .bind(known.batch_no)
    .bind(known.ordinal)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The source of a lease, as it is stored.
pub(super) struct StoredSource {
    pub(super) source_no: i64,
    pub(super) tenant_no: i64,
    pub(super) data_key: DataKey,
    cursor_no: i64,
    cursor: String,
    leased_until: i64,
    fence: i64,
    leased: bool,
}

impl SqliteStore {
    async fn try_accept(
        &self,
        lease: &SourceLease,
        page: &AcceptedPage<'_>,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<PageReceipt, Failure> {
        let source = self.stored_source(lease.tenant.id, lease.source, lease.purpose).await?;
        let source = source.filter(|source| source.leased && source.fence == lease.fence.cast_signed());
        let source = source.ok_or_else(|| lost(lease))?;
        let versions = page.records.iter().map(|record| version(&record.head)).collect::<Vec<_>>();
        let fresh = self.fresh_records(source.source_no, &versions).await?;
        let (fresh, rewritten) = self.without_rewritten(lease, &source, page, &versions, fresh).await?;
        let letters = self.fresh_letters(source.tenant_no, lease, &page.dead_letters).await?;
        let accepted = u32::try_from(fresh.len()).expect("a page is bounded");
        let kept = u32::try_from(letters.len()).expect("a page is bounded");
        let receipt = PageReceipt { accepted, known: page.records.len() as u32 - accepted, kept };
        let cursor = serde_json::to_string(&page.cursor).map_err(odd)?;
        let lease_until = lease_end(now, lease_for);
        let nothing_new = fresh.is_empty() && letters.is_empty();
        let half_left = source.leased_until > lease_end(now, lease_for / 2);
        if nothing_new && rewritten.is_empty() && cursor == source.cursor && half_left {
            return Ok(receipt);
        }
        let origin = DeadLetterOrigin::Source(lease.source);
        let letters = letters
            .into_iter()
            .map(|(letter, hash)| {
                let id = letter.record_id.clone();
                let reason = letter.reason.clone();
                seal_letter(&source.data_key, lease.tenant.id, &origin, id, reason, letter.body, hash)
            })
            .collect::<Vec<_>>();
        let batches = if fresh.is_empty() {
            Vec::new()
        } else {
            let ids: Vec<&str> = fresh.iter().map(|index| page.records[*index].head.id.as_str()).collect();
            let history = self.history(source.source_no, lease.source, &ids).await?;
            let drafts = drafts(page, versions, &fresh);
            let (tenant, key) = (lease.tenant.id, source.data_key);
            self.packer.new_batches(tenant, key, drafts, page.destinations, history).await?
        };
        let batches = batches.into_iter().map(|batch| (json_of(&batch.versions), batch)).collect::<Vec<_>>();
        let durability = if nothing_new { Durability::Relaxed } else { Durability::Synced };
        let (source_no, tenant_no, lease) = (source.source_no, source.tenant_no, lease.clone());
        let cursor_no = source.cursor_no;
        let write = self.writes.run(durability, move |connection| {
            Box::pin(async move {
                let moved = sqlx::query(
                    "UPDATE cursor SET cursor = ?, leased_until = ?
                     WHERE cursor_no = ? AND fence = ? AND lease_owner IS NOT NULL",
                )
                .bind(cursor)
                .bind(lease_until)
                .bind(cursor_no)
                .bind(lease.fence.cast_signed())
                .execute(&mut *connection)
                .await?;
                if moved.rows_affected() == 0 {
                    return Err(lost(&lease).into());
                }
                if accepted > 0 {
                    sqlx::query("UPDATE source SET accepted = accepted + ? WHERE source_no = ?")
                        .bind(accepted)
                        .bind(source_no)
                        .execute(&mut *connection)
                        .await?;
                }
                for (versions, batch) in batches {
                    write_batch(connection, tenant_no, source_no, batch, Some(versions), now).await?;
                }
                for letter in letters {
                    insert_letter(connection, tenant_no, letter, now).await?;
                }
                for known in rewritten {
                    write_alias(connection, source_no, known).await?;
                }
                Ok(())
            })
        });
        write.await?;
        Ok(receipt)
    }

    /// A source of a tenant as it is read for a purpose; `None` when it is not, or the tenant is gone.
    pub(super) async fn stored_source(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
    ) -> Result<Option<StoredSource>, Failure> {
        let row = sqlx::query(
            "SELECT s.source_no, s.tenant_no, t.data_key, c.cursor_no, c.cursor, c.leased_until, c.fence,
                 c.lease_owner IS NOT NULL AS leased
             FROM tenant t JOIN source s ON s.tenant_no = t.tenant_no
                 JOIN cursor c ON c.source_no = s.source_no
             WHERE t.id = ? AND s.source = ? AND c.purpose = ?",
        )
        .bind(tenant.to_string())
        .bind(source.as_str())
        .bind(purpose.as_str())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredSource {
            source_no: row.try_get("source_no")?,
            tenant_no: row.try_get("tenant_no")?,
            data_key: self.keys.data_key(Sealed::from_stored(row.try_get("data_key")?), tenant).await?,
            cursor_no: row.try_get("cursor_no")?,
            cursor: row.try_get("cursor")?,
            leased_until: row.try_get("leased_until")?,
            fence: row.try_get("fence")?,
            leased: row.try_get("leased")?,
        }))
    }

    /// The indices of the records whose version is not known yet; of those twice on the page, the first.
    async fn fresh_records(&self, source_no: i64, versions: &[String]) -> Result<Vec<usize>, Failure> {
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        // One row for all, since each row is a message from the connection's thread.
        let row = sqlx::query(concat!(
            "SELECT json_group_array(j.key) FROM json_each(?2) j WHERE EXISTS (SELECT 1 FROM record_version v
             WHERE v.source_no = ?1 AND (v.updated_at, v.id, v.hash) = (",
            version_columns!(),
            "))"
        ))
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
    /// so that they are known by their bytes from now on. It is looked at what is in the journal, and only where the id and
    /// the update time are known: ordinary records cost one question.
    async fn without_rewritten(
        &self,
        lease: &SourceLease,
        source: &StoredSource,
        page: &AcceptedPage<'_>,
        versions: &[String],
        fresh: Vec<usize>,
    ) -> Result<(Vec<usize>, Vec<Rewritten>), Failure> {
        if fresh.is_empty() {
            return Ok((fresh, Vec::new()));
        }
        let asked: Vec<&String> = fresh.iter().map(|index| &versions[*index]).collect();
        let rows = sqlx::query(KNOWN_BY_ID_AND_TIME)
            .bind(source.source_no)
            .bind(serde_json::to_string(&asked).map_err(odd)?)
            .fetch_all(&self.readers)
            .await?;
        let mut rewritten: BTreeMap<usize, Rewritten> = BTreeMap::new();
        let mut opened: Option<(i64, Option<Batch>)> = None;
        for row in rows {
            let index = fresh[usize::try_from(row.try_get::<i64, _>("place")?).map_err(odd)?];
            let (batch_no, ordinal): (i64, i64) = (row.try_get("batch_no")?, row.try_get("ordinal")?);
            if opened.as_ref().is_none_or(|(number, _)| *number != batch_no) {
                opened = Some((batch_no, self.batch(batch_no, lease.tenant.id, &source.data_key).await?));
            }
            let known = opened.as_ref().and_then(|(_, batch)| batch.as_ref());
            let old = known.and_then(|batch| batch.record(usize::try_from(ordinal).ok()?));
            // What is not in the journal any more cannot be compared: twice is better than never.
            if old.is_some_and(|old| is_same_version(old.body, page.records[index].body)) {
                rewritten.insert(index, Rewritten { version: versions[index].clone(), batch_no, ordinal });
            }
        }
        let left = fresh.into_iter().filter(|index| !rewritten.contains_key(index)).collect();
        Ok((left, rewritten.into_values().collect()))
    }

    /// A batch of the journal; `None` where it was pruned, or cannot be opened.
    pub(super) async fn batch(
        &self,
        batch_no: i64,
        tenant: TenantId,
        key: &DataKey,
    ) -> Result<Option<Batch>, Failure> {
        let row =
            sqlx::query("SELECT batch_id, records, body_bytes, sealed FROM journal_batch WHERE batch_no = ?")
                .bind(batch_no)
                .fetch_optional(&self.readers)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let stored = StoredBatch {
            batch_id: row.try_get("batch_id")?,
            records: count(row.try_get("records")?),
            body_bytes: count(row.try_get("body_bytes")?),
            sealed: row.try_get("sealed")?,
        };
        Ok(unpack(stored, tenant, key).ok())
    }

    /// The dead letters that are not kept already, each with the hash of its bytes.
    async fn fresh_letters<'a, 'p>(
        &self,
        tenant_no: i64,
        lease: &SourceLease,
        letters: &'p [NewDeadLetter<'a>],
    ) -> Result<Vec<(&'p NewDeadLetter<'a>, ContentHash)>, Failure> {
        let mut fresh = Vec::new();
        let mut seen = HashSet::new();
        for letter in letters {
            let hash = ContentHash::of(letter.body);
            let known = sqlx::query(
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
