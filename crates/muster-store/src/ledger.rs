//! The completeness ledger: per tenant, source and hour what was seen, what was delivered, and what may be said about it.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Reason, Source, TenantId};
use serde::Serialize;

use crate::{StoreError, TracedVersion};

/// Seconds of an hour of the ledger.
pub(crate) const HOUR_SECONDS: i64 = 3_600;
/// More hours of one source are not given at once.
pub(crate) const HOURS_MAX: i64 = 24 * 400;

/// What was seen and delivered, by the hour of the records' update time.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The hours that fit, by tenant, source and hour. Every hour of the span is there, also where nothing happened.
    async fn ledger(&self, filter: LedgerFilter, now: Timestamp) -> Result<Vec<LedgerHour>, StoreError>;

    /// For each hour from that of `from` until `to`, exclusive: how many records there are whose latest known version was
    /// updated in it. Hours without are left out. What has been pruned is not counted.
    async fn latest_counts(
        &self,
        tenant: TenantId,
        source: Source,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, u64)>, StoreError>;

    /// Writes down how many records the service itself counts in each hour; `false` when the tenant has no such source.
    async fn put_source_counts(
        &self,
        tenant: TenantId,
        source: Source,
        counts: Vec<(Timestamp, u64)>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// All that is known of a record, of one tenant or of any: its versions, in order of tenant, source, update time and
    /// acceptance.
    async fn trace(
        &self,
        tenant: Option<TenantId>,
        record_id: &str,
    ) -> Result<Vec<TracedVersion>, StoreError>;
}

/// Which hours.
#[derive(Debug, Clone, Copy)]
pub struct LedgerFilter {
    /// Of this tenant only.
    pub tenant: Option<TenantId>,
    /// Of this source only.
    pub source: Option<Source>,
    /// From the hour that holds this time.
    pub from: Timestamp,
    /// Up to this time, exclusive.
    pub to: Timestamp,
}

/// One hour of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerHour {
    /// The tenant.
    pub tenant: TenantId,
    /// The source.
    pub source: Source,
    /// When it begins. Records without a usable update time are counted in the first hour of 1970.
    pub hour: Timestamp,
    /// Record versions accepted.
    pub new: u64,
    /// How often versions were shown again that were known.
    pub seen_again: u64,
    /// Those of the new that were updated where a round had already read.
    pub late: u64,
    /// The greatest time between the update of one of them and its acceptance, in seconds.
    pub late_seconds_max: u64,
    /// Those of the new that a sweep found where live reading had already been.
    pub healed: u64,
    /// Those of the new that no route took, and that no sink was owed since: what is replayed to a sink is not among them
    /// any more.
    pub unrouted: u64,
    /// How many records the service itself counted, where it was asked.
    pub source_count: Option<u64>,
    /// When it was.
    pub counted_at: Option<Timestamp>,
    /// When a late record came last, so that whatever was said about the hour before counts no more.
    pub reopened_at: Option<Timestamp>,
    /// What streams say of its alerts, where the tenant has one: a witness beside Microsoft's APIs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// What may be said about it.
    pub state: HourState,
    /// What each sink had of it.
    pub sinks: Vec<LedgerSink>,
}

/// The alerts of an hour that streams name, by when each was made, against those that the source has brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// How many they name.
    pub named: u64,
    /// How many of these the source has never brought.
    pub missing: u64,
    /// The ids of the first of them.
    pub first_missing: Vec<String>,
    /// Whether one of them is missing for longer than an alert takes from one to the other.
    pub is_overdue: bool,
}

/// What one sink had of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerSink {
    /// The sink's name.
    pub sink: String,
    /// Records that it was to have, whether it had them since or not. What was replayed counts again.
    pub owed: u64,
    /// Records that it acknowledged.
    pub delivered: u64,
    /// Records that it refused for good, or that could not be read back from the journal.
    pub rejected: u64,
    /// Records that were given up because the journal was full, and that it is never to have.
    pub given_up: u64,
}

/// What may be said about an hour of a source, in the order in which one rules out the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum HourState {
    /// Part of it could not be read so far, or answers about it were partial.
    Hole {
        /// Why.
        reason: Reason,
    },
    /// All was read as far as that is known, and sinks do without some of it: it was given up because the journal was full.
    GivenUp {
        /// How many records, of all sinks together.
        records: u64,
    },
    /// A sweep that began at `as_of`, after the hour was over and after whatever came late before, read it whole. Of a stream:
    /// all that lay there when it was listed at `as_of` has been read.
    Complete {
        /// When it began.
        as_of: Timestamp,
    },
    /// A late record came after it had been read, and no sweep has confirmed it since.
    Late,
    /// The live cursor has read all of it; no sweep has confirmed that yet.
    Read,
    /// Nobody has read all of it yet.
    Open,
}
