//! What no route took, and what of the journal is brought to sinks once more.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Source, TenantId};
use serde::Serialize;

use crate::{Destination, StoreError};

/// What no sink was ever to have, and bringing it, or anything else in the journal, to sinks.
#[async_trait]
pub trait Replays: Send + Sync {
    /// What no sink was ever to have, by tenant, source and cause. What was replayed to a sink is not among it any more.
    async fn unrouted(&self) -> Result<Vec<Unrouted>, StoreError>;

    /// Owes sinks what `request` asks for, of some batches behind the one that `after` names (0: from the first), in one
    /// synced transaction; counts it only, where that is asked. What a sink is owed already it is not owed twice, so a
    /// replay that was cut short is simply done again. Its records become deliveries little by little, behind what the
    /// queue holds by then: what comes live waits for one lease's worth of them at most.
    async fn replay(
        &self,
        request: &ReplayRequest<'_>,
        after: u64,
        now: Timestamp,
    ) -> Result<ReplayStep, StoreError>;

    /// Up to when batches of the tenant's sources had been accepted that were pruned. Sources of which none was are left
    /// out.
    async fn pruned_up_to(&self, tenant: TenantId) -> Result<Vec<(Source, Timestamp)>, StoreError>;

    /// Forgets the versions updated in a span whose batch was pruned before any sink was owed them, and takes them out of
    /// the ledger, so that they are new to whoever reads the span again. Says how many there were.
    async fn forget_unrouted(
        &self,
        tenant: TenantId,
        source: Source,
        span: (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}

/// Why no sink was to have a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnroutedCause {
    /// No route served its tenant and source.
    NoRoute,
    /// A route did, for records that are more severe.
    Severity,
}

impl UnroutedCause {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::NoRoute, Self::Severity];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::Severity => "severity",
        }
    }
}

/// Records of one source of one tenant that no sink was ever to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unrouted {
    /// The tenant.
    pub tenant: TenantId,
    /// The source.
    pub source: Source,
    /// Why.
    pub cause: UnroutedCause,
    /// Those that are in the journal, and can be replayed.
    pub records: u64,
    /// When the oldest of these was accepted.
    pub since: Option<Timestamp>,
    /// Those that were pruned from the journal. A backfill fetches them again, where Microsoft still has them.
    pub pruned: u64,
    /// Between which update times these lie, where they have any.
    pub pruned_span: Option<(Timestamp, Timestamp)>,
}

/// What is to be brought to sinks once more: records of one source of one tenant.
#[derive(Debug, Clone)]
pub struct ReplayRequest<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The source.
    pub source: Source,
    /// Accepted from then on.
    pub since: Timestamp,
    /// Accepted before.
    pub until: Timestamp,
    /// Only records with these ids; any where there are none.
    pub ids: &'a [String],
    /// Only what no sink was ever to have.
    pub unrouted: bool,
    /// Also what a sink has had, or refused.
    pub again: bool,
    /// Where records go: for each severity, by its number.
    pub destinations: &'a [Destination],
    /// Nothing is changed.
    pub dry_run: bool,
}

/// What came of some batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayStep {
    /// What became of their records.
    pub counts: ReplayCounts,
    /// The last of them; `None` when there are no more.
    pub next: Option<u64>,
}

/// What a replay comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReplayCounts {
    /// Records that the request is about.
    pub records: u64,
    /// By sink.
    pub sinks: BTreeMap<String, ReplayedToSink>,
    /// Records for which there is no sink because no route serves their tenant and source.
    pub no_route: u64,
    /// Records for which there is none because of their severity.
    pub severity: u64,
    /// Records of batches that cannot be read: they are fetched again.
    pub damaged: u64,
    /// Records of batches so old that it was not kept what sinks had of them. They are only brought again on request.
    pub unknown: u64,
}

/// What a replay comes to at one sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ReplayedToSink {
    /// Records that it is owed from now on.
    pub owed: u64,
    /// Records that it was owed anyway.
    pub owed_already: u64,
    /// Records that it has acknowledged before, and is not owed.
    pub had: u64,
    /// Records that it has refused for good, and is not owed: they are dead letters.
    pub refused: u64,
}

impl ReplayCounts {
    /// Adds what came of other batches.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.no_route += other.no_route;
        self.severity += other.severity;
        self.damaged += other.damaged;
        self.unknown += other.unknown;
        for (sink, counts) in &other.sinks {
            let sum = self.sinks.entry(sink.clone()).or_default();
            sum.owed += counts.owed;
            sum.owed_already += counts.owed_already;
            sum.had += counts.had;
            sum.refused += counts.refused;
        }
    }

    /// Deliveries of records that are owed from now on, to all sinks.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.sinks.values().map(|sink| sink.owed).sum()
    }
}
