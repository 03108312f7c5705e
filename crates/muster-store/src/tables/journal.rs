//! The journal. Accepting a page is the one transaction that takes new records in and moves the cursor.
//!
//! What is known already is found out and the batches are made before the transaction. Whoever reads the same source for
//! another purpose may write the same versions meanwhile: the key of `record_version` refuses the second row then, and
//! the page is looked at anew. The same where others wrote other versions of its records: what changed is told from the
//! latest one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Cursor, Note, Purpose, RecordHead, Selection, Source, TenantId};

use super::batches::write_batch;
use super::dead_letters::insert_letter;
use super::history::{Whose, check_history};
use super::known::write_alias;
use super::ledger::{count_page, count_sinks, forget_later_sweeps, owed_as_json};
use super::notes::leave_notes;
use super::rows::odd;
use super::sources::lost;
use crate::counting::{AlreadyRead, PageCounts};
use crate::dead_letters::seal_letter;
use crate::drafts::{drafts, version};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::query;
use crate::sqlite::marks::count_again;
use crate::stored::{count, lease_end, nanoseconds};
use crate::writer::Durability;
use crate::{
    AcceptedPage, DeadLetterOrigin, Journal, JournalSlice, JournalTail, JournalTotals, PageReceipt, Pruned,
    Retention, SourceLease, StoreError,
};

/// How often a page is looked at anew when another writer was faster. Each time at least one other page has got in, and
/// a source is read for a few purposes only.
const ATTEMPTS: usize = 16;
const DOING: &str = "accept a page";
#[async_trait]
impl Journal for SqlStore {
    async fn accept_page(
        &self,
        lease: &SourceLease,
        page: AcceptedPage<'_>,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<PageReceipt, StoreError> {
        let _room = self.packer.room(page.records.iter().map(|record| record.body.len()).sum()).await;
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

    async fn journal_slice(
        &self,
        after: u64,
        tenant: Option<TenantId>,
        since: Timestamp,
    ) -> Result<Option<JournalSlice>, StoreError> {
        let read = self.slice(after, tenant, since).await;
        read.map_err(|failure| failure.worded(&self.path, "read the journal"))
    }

    async fn journal_tail(&self, after: u64, again: u64, limit: u32) -> Result<JournalTail, StoreError> {
        let read = self.tail(after, again, limit).await;
        read.map_err(|failure| failure.worded(&self.path, "look at the end of the journal"))
    }

    async fn batch_sinks(&self, batch: u64) -> Result<Vec<(String, Selection)>, StoreError> {
        let read = self.sinks_of(batch).await;
        read.map_err(|failure| failure.worded(&self.path, "look where a batch goes"))
    }

    async fn journal_totals(&self) -> Result<JournalTotals, StoreError> {
        let failed = self.failed("add the journal up");
        let row = query(
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

    async fn prune_journal(&self, keep: Retention) -> Result<Pruned, StoreError> {
        self.prune(keep).await
    }
}

impl SqlStore {
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
        let ids = fresh.iter().map(|index| page.records[*index].head.id.as_str());
        let latest = self.latest_versions(source.source_no, ids).await?;
        let (fresh, rewritten) =
            self.without_rewritten(lease, &source, page, &versions, fresh, &latest).await?;
        let letters = self.fresh_letters(source.tenant_no, lease, &page.dead_letters).await?;
        let accepted = u32::try_from(fresh.len()).expect("a page is bounded");
        let kept = u32::try_from(letters.len()).expect("a page is bounded");
        let read = self.already_read(lease, source.source_no, page).await?;
        let counts = PageCounts::of(page, &fresh, read.as_ref(), now);
        let known = page.records.len() as u32 - accepted;
        let receipt = PageReceipt { accepted, known, kept, late: counts.late };
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
        let (batches, looked_up) = if fresh.is_empty() {
            (Vec::new(), None)
        } else {
            let records: Vec<_> = fresh.iter().map(|index| &page.records[*index]).collect();
            let (tenant, key) = (lease.tenant.id, &source.data_key);
            let whose = Whose { source_no: source.source_no, source: lease.source, tenant, key };
            let looked_up = (latest.up_to, latest.ids.clone());
            let history = self.history(&whose, latest, &records).await?;
            let drafts = drafts(page, versions, &fresh);
            let batches = self.packer.new_batches(tenant, source.data_key, drafts, page, history).await?;
            (batches, Some(looked_up))
        };
        let as_they_are = batches.iter().filter(|batch| !batch.owed.is_empty());
        let as_they_are: Vec<_> = as_they_are
            .map(|batch| (batch.packed.batch_id.clone(), Arc::clone(&batch.packed.batch)))
            .collect();
        let owed = owed_as_json(&batches);
        let durability = if nothing_new { Durability::Relaxed } else { Durability::Synced };
        let lineage = self.lineage.clone();
        let put_back_at = self.put_back_at.load(Ordering::Acquire);
        let before = |index: &usize| {
            let at = page.records[*index].head.updated_at;
            at.is_some_and(|at| nanoseconds(at) < put_back_at)
        };
        let again = fresh.iter().filter(|index| before(index)).count() as i64;
        let (source_no, tenant_no, lease) = (source.source_no, source.tenant_no, lease.clone());
        let cursor_no = source.cursor_no;
        let late = counts.late.filter(|_| lease.purpose != Purpose::Live);
        let late = late.map(|late| Note::Late { seconds: late.delay.as_secs() });
        let counts = counts.as_json();
        let write = self.writes.run(durability, move |connection| {
            Box::pin(async move {
                let moved = query(
                    "UPDATE cursor SET cursor = ?, leased_until = ?, set_at = ?
                     WHERE cursor_no = ? AND fence = ? AND lease_owner IS NOT NULL",
                )
                .bind(cursor)
                .bind(lease_until)
                .bind(nanoseconds(now))
                .bind(cursor_no)
                .bind(lease.fence.cast_signed())
                .execute(&mut *connection)
                .await?;
                if moved.rows_affected() == 0 {
                    return Err(lost(&lease).into());
                }
                if accepted > 0 {
                    query("UPDATE source SET accepted = accepted + ?, last_new_at = ? WHERE source_no = ?")
                        .bind(accepted)
                        .bind(nanoseconds(now))
                        .bind(source_no)
                        .execute(&mut *connection)
                        .await?;
                }
                if let Some((up_to, ids)) = looked_up {
                    check_history(connection, source_no, up_to, &ids).await?;
                }
                for batch in batches {
                    write_batch(connection, tenant_no, source_no, batch, false, &lineage, now).await?;
                }
                for letter in letters {
                    insert_letter(connection, tenant_no, letter, now).await?;
                }
                for known in rewritten {
                    write_alias(connection, source_no, known).await?;
                }
                if again > 0 {
                    count_again(connection, again).await?;
                }
                count_page(connection, source_no, counts, now).await?;
                if accepted > 0 {
                    forget_later_sweeps(connection, source_no, now).await?;
                }
                count_sinks(connection, source_no, owed).await?;
                leave_notes(connection, source_no, late.as_slice()).await
            })
        });
        write.await?;
        as_they_are.into_iter().for_each(|(batch_id, batch)| self.recent.put(batch_id, batch));
        Ok(receipt)
    }

    /// What had been read before a page of this lease came.
    async fn already_read(
        &self,
        lease: &SourceLease,
        source_no: i64,
        page: &AcceptedPage<'_>,
    ) -> Result<Option<AlreadyRead>, Failure> {
        if lease.purpose == Purpose::Live {
            return Ok(AlreadyRead::by_live(page));
        }
        if page.records.is_empty() {
            return Ok(None);
        }
        let live = query("SELECT cursor FROM cursor WHERE source_no = ? AND purpose = 'live'");
        let Some(row) = live.bind(source_no).fetch_optional(&self.readers).await? else { return Ok(None) };
        let live: Cursor = serde_json::from_str(row.try_get(0)?).map_err(odd)?;
        Ok(AlreadyRead::by_others(lease.purpose, &live))
    }
}
