//! The journal of accepted records.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Batch, Cursor, RecordHead, Selection, Source, TenantId};
use serde::Serialize;

use crate::{SourceLease, StoreError};

/// All accepted records, in order.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Accepts a page: in **one** transaction the records that are new go into the journal and into the index of
    /// versions, a delivery of them is owed to each sink that wants them, unreadable parts become dead letters, and
    /// the cursor moves. Extends the lease by `lease_for`. Records known already (same tenant, source, id, update
    /// time and hash) are dropped. Synced to disk before it returns, unless nothing was new.
    ///
    /// A process killed at any moment has either all of this or none of it; then the page is simply asked for again.
    async fn accept_page(
        &self,
        lease: &SourceLease,
        page: AcceptedPage<'_>,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<PageReceipt, StoreError>;

    /// For each record, whether the journal holds this very version together with what belongs to it under `key`, so that
    /// it need not be asked for. A version that came without, or whose batch is gone, is not held whole.
    async fn known_whole(
        &self,
        (tenant, source): (TenantId, Source),
        key: &str,
        records: &[(RecordHead, &str)],
    ) -> Result<Vec<bool>, StoreError>;

    /// What the journal holds behind the batch of number `after` (0: from the first), accepted at `since` or later, of one tenant
    /// or of all; `None` behind the last.
    async fn journal_slice(
        &self,
        after: u64,
        tenant: Option<TenantId>,
        since: Timestamp,
    ) -> Result<Option<JournalSlice>, StoreError>;

    /// What has come behind the batch of number `after`, without opening any of it: the newest `limit` batches, and how much
    /// came beside them. Several nodes' batches may show later than their numbers; so the `again` numbers before `after` are
    /// listed once more.
    async fn journal_tail(&self, after: u64, again: u64, limit: u32) -> Result<JournalTail, StoreError>;

    /// Which of a batch's records each sink was owed, or is: by sink.
    async fn batch_sinks(&self, batch: u64) -> Result<Vec<(String, Selection)>, StoreError>;

    /// The journal's totals.
    async fn journal_totals(&self) -> Result<JournalTotals, StoreError>;

    /// Deletes, little by little, what is older than `keep` says and needed by nobody: journal batches that no sink is
    /// owed any more with their acknowledgements, versions of records whose batch is gone and that no round can show
    /// again, and rows of the ledger.
    async fn prune_journal(&self, keep: Retention) -> Result<Pruned, StoreError>;
}

/// One batch of the journal, read back.
#[derive(Debug, Clone)]
pub struct JournalSlice {
    /// Its number, to ask for what is behind it.
    pub batch: u64,
    /// Whose.
    pub tenant: TenantId,
    /// Of which source.
    pub source: Source,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Its records; in words why it cannot be read.
    pub records: Result<Batch, String>,
}

/// The end of the journal.
#[derive(Debug, Clone, Default)]
pub struct JournalTail {
    /// The number of the newest batch; 0 where there is none.
    pub newest: u64,
    /// The batches, the newest first.
    pub batches: Vec<BatchNote>,
    /// Records in batches behind `after` that are not among them.
    pub more: u64,
}

/// What is known of a batch without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNote {
    /// Its number.
    pub batch: u64,
    /// How many records it has.
    pub records: u64,
    /// How long they are together.
    pub body_bytes: u64,
}

/// A record as it is handed to [`Journal::accept_page`].
#[derive(Debug, Clone)]
pub struct NewRecord<'a> {
    /// What identifies its version.
    pub head: RecordHead,
    /// Microsoft's JSON object.
    pub body: &'a str,
    /// The sinks that are owed it: an index into [`AcceptedPage::destinations`].
    pub destination: usize,
}

/// What could not be read or was refused, to be kept with its original bytes.
#[derive(Debug, Clone)]
pub struct NewDeadLetter<'a> {
    /// The record's id, where it is known.
    pub record_id: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// The original bytes, or as many of them as were read.
    pub body: &'a [u8],
}

/// Where records go: the sinks that are owed them, and the names of the routes that took them there. Without sinks they are
/// journalled, and counted as unrouted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destination {
    /// The sinks, by name.
    pub sinks: Vec<String>,
    /// The routes, by name.
    pub routes: Vec<String>,
    /// Whether there is no sink only because of what such records say: routes serve their tenant and source, and each leaves
    /// out what is less severe, or of another status, service or category. Otherwise something is missing.
    pub filtered: bool,
}

impl Destination {
    /// A destination that no route leads to, as for what is replayed.
    #[must_use]
    pub fn of(sinks: &[String]) -> Self {
        Self { sinks: sinks.to_vec(), routes: Vec::new(), filtered: false }
    }
}

/// Up to when things were accepted that [`Journal::prune_journal`] may delete.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Journal batches accepted before.
    pub journal: Timestamp,
    /// Versions updated **and** accepted before, whose batch is gone. A source that shows such a version again is believed
    /// to show a new one.
    pub versions: Timestamp,
    /// Hours of the ledger before, where nothing has changed in them since either.
    pub ledger: Timestamp,
    /// When it is.
    pub now: Timestamp,
}

/// What [`Journal::prune_journal`] deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Journal batches.
    pub batches: u64,
    /// Records in them that no sink was ever to have.
    pub unrouted: u64,
    /// Rows of the index of versions.
    pub versions: u64,
    /// Hours of the ledger.
    pub hours: u64,
}

/// A page that is to be accepted.
#[derive(Debug, Clone)]
pub struct AcceptedPage<'a> {
    /// The readable records in order.
    pub records: Vec<NewRecord<'a>>,
    /// The text that most of their bodies are parts of, where there is one: those need not be copied.
    pub text: Option<&'a Arc<String>>,
    /// What was on the page and could not be read.
    pub dead_letters: Vec<NewDeadLetter<'a>>,
    /// Where records go. Many share one.
    pub destinations: &'a [Destination],
    /// The cursor after this page.
    pub cursor: Cursor,
    /// The service's own name for the request that brought it (the header `request-id`).
    pub request_id: Option<String>,
    /// Everything updated before had been read by an earlier complete round: what is older and new came late. Only asked
    /// of pages that are read live; for a sweep the store looks at the live cursor, and a backfill is never late.
    pub proved_up_to: Option<Timestamp>,
}

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageReceipt {
    /// Record versions that were not known before, now in the journal.
    pub accepted: u32,
    /// Record versions that were known already.
    pub known: u32,
    /// Dead letters that were not kept before.
    pub kept: u32,
    /// Those of the accepted that came late.
    pub late: Option<Late>,
}

impl PageReceipt {
    /// That of a page that was accepted in two parts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let late = match (self.late, other.late) {
            (Some(one), Some(two)) => {
                Some(Late { records: one.records + two.records, delay: one.delay.max(two.delay) })
            }
            (one, two) => one.or(two),
        };
        Self {
            accepted: self.accepted + other.accepted,
            known: self.known + other.known,
            kept: self.kept + other.kept,
            late,
        }
    }
}

/// Records of a page that were updated where a round had already read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// How many.
    pub records: u32,
    /// The greatest time between the update of one and its acceptance.
    pub delay: Duration,
}

/// The journal as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JournalTotals {
    /// Batches kept.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes on disk: compressed and sealed.
    pub stored_bytes: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
}
