//! What no route took, and what of the journal is brought to sinks once more.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{ContentHash, Record, ReplayId, Source, TenantId};
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

    /// Where these sinks stand with what `request` is about (its span, tenant and source), of some batches behind the one that
    /// `after` names (0: from the first). Changes nothing.
    async fn standings(
        &self,
        request: &ReplayRequest<'_>,
        sinks: &[String],
        after: u64,
    ) -> Result<StandingsStep, StoreError>;

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
    /// Routes did, and left them out for what they say: their severity, status, service or category.
    Filtered,
}

impl UnroutedCause {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::NoRoute, Self::Filtered];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::Filtered => "filtered",
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
    /// Of no later batch of the journal than this.
    pub up_to: u64,
    /// Only records with these ids; any where there are none.
    pub ids: &'a [String],
    /// Only what no sink was ever to have.
    pub unrouted: bool,
    /// Also what a sink has had, or refused.
    pub again: bool,
    /// Where records go.
    pub to: ReplayTo<'a>,
    /// What it brings carries this name.
    pub id: Option<ReplayId>,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// Where replayed records go.
#[derive(Clone, Copy)]
pub enum ReplayTo<'a> {
    /// All to one destination.
    One(&'a Destination),
    /// Each to its own.
    Each(&'a (dyn Fn(Record<'_>) -> Destination + Send + Sync)),
}

impl ReplayTo<'_> {
    /// Where this record goes.
    pub(crate) fn of(self, record: Record<'_>) -> Destination {
        match self {
            Self::One(destination) => destination.clone(),
            Self::Each(destination) => destination(record),
        }
    }
}

impl std::fmt::Debug for ReplayTo<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(destination) => f.debug_tuple("One").field(destination).finish(),
            Self::Each(_) => f.write_str("Each"),
        }
    }
}

/// What came of some batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayStep {
    /// What became of their records.
    pub counts: ReplayCounts,
    /// The last of them; `None` when there are no more.
    pub next: Option<u64>,
}

/// Where a sink stands with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It was never to have it.
    Nothing,
    /// It has refused it for good.
    Refused,
    /// It is owed it.
    Owed,
    /// It has acknowledged it.
    Had,
}

/// A record of the journal, and where sinks stand with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordStandings {
    /// Its id.
    pub id: String,
    /// When Microsoft last changed it.
    pub updated_at: Option<Timestamp>,
    /// When Microsoft created it.
    pub created_at: Option<Timestamp>,
    /// Hash of its bytes: with the id it names the version.
    pub hash: ContentHash,
    /// For each sink that was asked for.
    pub standings: Vec<Standing>,
}

/// Where sinks stand with the records of some batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandingsStep {
    /// The records.
    pub records: Vec<RecordStandings>,
    /// Records of batches that cannot be read.
    pub damaged: u64,
    /// The last of the batches; `None` when there are no more.
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
    /// Records for which there is none because of what they say.
    pub filtered: u64,
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
    /// Those of them that it has acknowledged before.
    pub again: u64,
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
        self.filtered += other.filtered;
        self.damaged += other.damaged;
        self.unknown += other.unknown;
        for (sink, counts) in &other.sinks {
            let sum = self.sinks.entry(sink.clone()).or_default();
            sum.owed += counts.owed;
            sum.again += counts.again;
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
