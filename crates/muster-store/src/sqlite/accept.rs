//! Accepting a page: the one transaction that takes new records in and moves the cursor.
//!
//! What is known already is found out and the batches are made before the transaction. Whoever reads the same source for
//! another purpose may write the same versions meanwhile: the key of `record_version` refuses the second row then, and
//! the page is looked at anew.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Batch, ContentHash, Purpose, RecordHead, Selection, Source, TenantId};
use sqlx::{Row, SqliteConnection};

use super::dead_letters::{insert_letter, seal_letter};
use super::journal::{PackedBatch, insert_batch};
use super::sources::lost;
use super::tenants::odd;
use super::{Durability, Failure, SqliteStore, lease_end, nanoseconds};
use crate::sealing::{DataKey, Sealed};
use crate::{AcceptedPage, DeadLetterOrigin, NewDeadLetter, PageReceipt, SourceLease, StoreError};

/// A batch is closed when its bodies pass this, so that reading one back takes little memory.
const BATCH_BODY_BYTES_MAX: usize = 2 << 20;
/// How often a page is looked at anew when another writer was faster. Each time at least one other page has got in, and
/// a source is read for a few purposes only.
const ATTEMPTS: usize = 16;
const DOING: &str = "accept a page";

/// How a version is spelled within the JSON that carries many to one statement: the hash in hexadecimal, the time in
/// twenty characters, the id.
macro_rules! version_columns {
    () => {
        "CAST(substr(j.value, 33, 20) AS INTEGER), substr(j.value, 53), unhex(substr(j.value, 1, 32))"
    };
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

/// What a batch of a page brings.
struct Draft {
    batch: Batch,
    versions: Vec<String>,
    /// Where each record goes.
    destinations: Vec<usize>,
}

/// What is written for a batch.
pub(super) struct NewBatch {
    packed: PackedBatch,
    /// The versions as JSON, for the index; none when they are in it already.
    versions: Option<String>,
    /// The sinks that are owed some of it.
    owed: Vec<(String, Selection, i64)>,
}

impl SqliteStore {
    pub(super) async fn accept_page(
        &self,
        lease: &SourceLease,
        page: &AcceptedPage<'_>,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<PageReceipt, StoreError> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match self.try_accept(lease, page, lease_for, now).await {
                Err(failure) if failure.is_conflict() && attempts > 0 => {}
                result => return result.map_err(|failure| failure.worded(&self.path, DOING)),
            }
        }
    }

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
        let letters = self.fresh_letters(source.tenant_no, lease, &page.dead_letters).await?;
        let accepted = u32::try_from(fresh.len()).expect("a page is bounded");
        let kept = u32::try_from(letters.len()).expect("a page is bounded");
        let receipt = PageReceipt { accepted, known: page.records.len() as u32 - accepted, kept };
        let cursor = serde_json::to_string(&page.cursor).map_err(odd)?;
        let lease_until = lease_end(now, lease_for);
        let nothing_new = fresh.is_empty() && letters.is_empty();
        let half_left = source.leased_until > lease_end(now, lease_for / 2);
        if nothing_new && cursor == source.cursor && half_left {
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
            let drafts = drafts(page, versions, &fresh);
            self.new_batches(lease.tenant.id, source.data_key, drafts, page.destinations).await?
        };
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
                for batch in batches {
                    write_batch(connection, tenant_no, source_no, batch, now).await?;
                }
                for letter in letters {
                    insert_letter(connection, tenant_no, letter, now).await?;
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
            data_key: self.data_key(Sealed::from_stored(row.try_get("data_key")?), tenant).await?,
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

    async fn new_batches(
        &self,
        tenant: TenantId,
        key: DataKey,
        drafts: Vec<Draft>,
        destinations: &[Vec<String>],
    ) -> Result<Vec<NewBatch>, StoreError> {
        let mut batches = Vec::with_capacity(drafts.len());
        let mut rest = Vec::with_capacity(drafts.len());
        for draft in drafts {
            batches.push(draft.batch);
            rest.push((draft.versions, owed(&draft.destinations, destinations)));
        }
        let packed = self.packer.pack(batches, tenant, key).await?;
        let made = packed.into_iter().zip(rest).map(|(packed, (versions, owed))| {
            let versions = serde_json::to_string(&versions).expect("strings");
            NewBatch { owed, packed, versions: Some(versions) }
        });
        Ok(made.collect())
    }

    /// A batch of one record, owed to `sinks`; `indexed` when its version is to be remembered.
    pub(super) async fn single_batch(
        &self,
        tenant: TenantId,
        key: DataKey,
        head: RecordHead,
        body: &str,
        sinks: &[String],
        indexed: bool,
    ) -> Result<NewBatch, StoreError> {
        let versions = indexed.then(|| serde_json::to_string(&[version(&head)]).expect("strings"));
        let mut batch = Batch::new();
        batch.push(head, body);
        let packed = self.packer.pack(vec![batch], tenant, key).await?.pop().expect("one for one");
        let owed = sinks.iter().map(|sink| (sink.clone(), Selection::All, 1)).collect();
        Ok(NewBatch { packed, versions, owed })
    }
}

/// What each sink is owed of a batch, given where each of its records goes.
fn owed(records: &[usize], destinations: &[Vec<String>]) -> Vec<(String, Selection, i64)> {
    // A few sets of sinks, however many records: each sink's are found once.
    let mut sinks: BTreeMap<&String, Vec<bool>> = BTreeMap::new();
    for destination in records.iter().copied().collect::<BTreeSet<_>>() {
        for sink in &destinations[destination] {
            sinks.entry(sink).or_insert_with(|| vec![false; destinations.len()])[destination] = true;
        }
    }
    let owed = sinks.into_iter().filter_map(|(sink, leads)| {
        let selection = Selection::of(records.len(), |index| leads[records[index]])?;
        let count = records.iter().filter(|destination| leads[**destination]).count();
        Some((sink.clone(), selection, count as i64))
    });
    owed.collect()
}

/// A version, as [`version_columns`] takes it apart. Two versions are the same when their spellings are.
fn version(head: &RecordHead) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(52 + head.id.len());
    let updated_at = head.updated_at.map_or(i64::MIN, nanoseconds);
    let hash = u128::from_be_bytes(head.hash.0);
    write!(text, "{hash:032x}{updated_at:020}{}", head.id).expect("writing to a string");
    text
}

/// The records of a page at the indices `fresh`, in batches.
fn drafts(page: &AcceptedPage<'_>, mut versions: Vec<String>, fresh: &[usize]) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut rest = fresh;
    while !rest.is_empty() {
        let (mut count, mut body_bytes) = (0, 0_usize);
        for index in rest {
            let bytes = body_bytes.saturating_add(page.records[*index].body.len());
            if count > 0 && bytes > BATCH_BODY_BYTES_MAX {
                break;
            }
            (count, body_bytes) = (count + 1, bytes);
        }
        let (these, others) = rest.split_at(count);
        rest = others;
        // Exactly as large as needed: a few of them are most of the memory that a backfill takes.
        let mut batch = Batch::with_capacity(count, body_bytes);
        for index in these {
            let record = &page.records[*index];
            batch.push(record.head.clone(), record.body);
        }
        drafts.push(Draft {
            batch,
            versions: these.iter().map(|index| std::mem::take(&mut versions[*index])).collect(),
            destinations: these.iter().map(|index| page.records[*index].destination).collect(),
        });
    }
    drafts
}

/// Writes a batch, the index of its versions, and what is owed of it to each sink.
pub(super) async fn write_batch(
    connection: &mut SqliteConnection,
    tenant_no: i64,
    source_no: i64,
    batch: NewBatch,
    now: Timestamp,
) -> Result<(), Failure> {
    let body_bytes = batch.packed.body_bytes.cast_signed();
    let batch_no = insert_batch(connection, source_no, batch.packed, now).await?;
    if let Some(versions) = batch.versions {
        sqlx::query(concat!(
            "INSERT INTO record_version (source_no, updated_at, id, hash, batch_no, ordinal) SELECT ?1, ",
            version_columns!(),
            ", ?2, j.key FROM json_each(?3) j"
        ))
        .bind(source_no)
        .bind(batch_no)
        .bind(versions)
        .execute(&mut *connection)
        .await?;
    }
    for (sink, selection, records) in batch.owed {
        let row = sqlx::query(
            // Numbers start from the batch's, so that those of a tenant that was removed and added again go on
            // rising: sinks that remember the highest one take a lower one for a repetition.
            "INSERT INTO queue (tenant_no, sink, next_number, next_at, owed) VALUES (?1, ?2, ?5 + 1, ?3, ?4)
             ON CONFLICT (tenant_no, sink) DO UPDATE SET
                 next_number = max(next_number, ?5) + 1,
                 next_at = CASE WHEN owed = 0 THEN excluded.next_at ELSE next_at END,
                 owed = owed + excluded.owed
             RETURNING queue_no, next_number - 1",
        )
        .bind(tenant_no)
        .bind(sink)
        .bind(nanoseconds(now))
        .bind(records)
        .bind(batch_no)
        .fetch_one(&mut *connection)
        .await?;
        let (queue_no, number): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        sqlx::query(
            "INSERT INTO delivery (queue_no, number, batch_no, records, body_bytes, owed_since, selection)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(queue_no)
        .bind(number)
        .bind(batch_no)
        .bind(records)
        .bind(body_bytes)
        .bind(nanoseconds(now))
        .bind(bits(selection))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// A selection as it is stored.
pub(super) fn bits(selection: Selection) -> Option<Vec<u8>> {
    match selection {
        Selection::All => None,
        Selection::Some(bits) => Some(bits),
    }
}
