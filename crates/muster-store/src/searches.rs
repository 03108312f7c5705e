//! Looking through the journal, the records that were changed last first.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Batch, Source, TenantId};

use crate::StoreError;

/// The index of versions by the time of their last change, and the batches that they are in. Each question is short, and holds
/// nothing open: whoever looks through the whole journal keeps nobody from writing, and no log of the database from being
/// taken in.
#[async_trait]
pub trait Searches: Send + Sync {
    /// The sources of all tenants of which the store knows records, and up to when what they had accepted was pruned.
    async fn searched_sources(&self) -> Result<Vec<SearchedSource>, StoreError>;

    /// Where versions of a source are that were last changed in a span, the latest first: those that come behind `after`
    /// (`None`: from the latest), at most `limit`. Versions without a time come last, and only where the span has no beginning.
    async fn versions_by_time(
        &self,
        source: (TenantId, Source),
        span: ChangedIn,
        after: Option<&VersionKey>,
        limit: u32,
    ) -> Result<VersionsPage, StoreError>;

    /// Whether the journal holds a version of this record that is later than the one at `place`, and was changed before `before`.
    async fn has_later_version(
        &self,
        source: (TenantId, Source),
        record_id: &str,
        place: &VersionPlace,
        before: Timestamp,
    ) -> Result<bool, StoreError>;

    /// A batch of this tenant's.
    async fn journal_batch(&self, tenant: TenantId, batch: u64) -> Result<BatchRead, StoreError>;
}

/// A source of a tenant that is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchedSource {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub source: Source,
    /// Up to when batches of it had been accepted that were pruned; `None` where none was.
    pub pruned_up_to: Option<Timestamp>,
}

/// Between which times versions were last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedIn {
    /// From then on; `None` for all, also those without a time.
    pub since: Option<Timestamp>,
    /// Before then.
    pub until: Timestamp,
}

/// Where a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionPlace {
    /// When it was last changed, if that is known.
    pub updated_at: Option<Timestamp>,
    /// The number of its batch.
    pub batch: u64,
    /// Its place in the batch.
    pub ordinal: u32,
}

/// A row of the index of versions, behind which the next ones are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionKey {
    pub(crate) updated_at: i64,
    pub(crate) id: String,
    pub(crate) hash: Vec<u8>,
}

/// Some versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionsPage {
    /// Where they are.
    pub places: Vec<VersionPlace>,
    /// The last of them; `None` where there are no more.
    pub next: Option<VersionKey>,
}

/// What became of a batch that was asked for.
#[derive(Debug, Clone)]
pub enum BatchRead {
    /// It is not in the journal any more.
    Gone,
    /// It is, and cannot be read: why.
    Unreadable(String),
    /// Its records, and when they were accepted.
    Records {
        /// The records.
        batch: Batch,
        /// When they were accepted.
        accepted_at: Timestamp,
    },
}
