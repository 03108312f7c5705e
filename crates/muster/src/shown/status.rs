//! How everything is doing: what `muster status`, the metrics and the demo show. `picture.rs` takes it from the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::{Fault, SourceWord};
use muster_model::{Slug, Source, TenantId, TenantState};
use muster_store::{
    Check, CheckOutcome, JournalTotals, NoticeReceiver, NoticeSnooze, PartTrouble, Restoration,
};
use serde::Serialize;

use crate::config::{JournalBound, Settings};
use crate::routing::Router;
use crate::shown::cause::Cause;
use crate::shown::nodes::NodeStatus;
use crate::shown::output::Tone;
use crate::shown::passes::PassStatus;
use crate::shown::room::Room;
use crate::shown::run::Run;
use crate::shown::sinks::SinkWord;
use crate::shown::state;

/// What the settings let one expect.
#[derive(Debug, Clone)]
pub struct Expected {
    /// A source whose last complete round is older is late.
    pub late_after: Duration,
    /// The same of saved queries and streams, which have intervals of their own.
    pub hunts_late_after: BTreeMap<Source, Duration>,
    pub sinks: BTreeSet<String>,
    /// Those of them on which nothing depends.
    pub shadows: BTreeSet<String>,
    pub routes: Router,
    /// How large the journal may become.
    pub bound: Option<JournalBound>,
    /// How many tenants have series of their own.
    pub metrics_tenants: usize,
}

impl Expected {
    pub fn of(settings: &Settings) -> Self {
        Self {
            late_after: settings.collect.late_after(),
            hunts_late_after: {
                let hunts = settings.hunts.iter().map(|(source, hunt)| (*source, hunt.late_after()));
                let streams = settings.streams.iter();
                hunts.chain(streams.map(|(source, stream)| (*source, stream.late_after()))).collect()
            },
            sinks: settings.sinks.keys().cloned().collect(),
            shadows: settings.shadows().into_keys().collect(),
            bound: settings.store.bound(),
            routes: Router::new(settings.routes.clone()),
            metrics_tenants: settings.server.metrics_tenants(),
        }
    }
}

impl Expected {
    /// When the last complete round of `source` is older, it is late.
    pub fn late_after(&self, source: Source) -> Duration {
        self.hunts_late_after.get(&source).copied().unwrap_or(self.late_after)
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    pub at: Timestamp,
    /// Whether a `muster run` is at work.
    pub run: Run,
    /// The processes that share the store; none where one has it to itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
    /// Trouble, by its cause.
    pub causes: Vec<Cause>,
    /// Of all tenants and sinks, whichever are shown.
    pub totals: Totals,
    /// Every tenant, by slug.
    pub tenants: Vec<TenantStatus>,
    /// Every sink of the settings, and every other that has ever been owed something.
    pub sinks: Vec<SinkStatus>,
    pub journal: JournalTotals,
    /// How full the journal is, where it is bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Room>,
    /// Every app whose credential was looked at.
    pub apps: Vec<AppStatus>,
    /// When the store was put back from a copy in the last days, the latest first: what may have come twice.
    pub put_back: Vec<Restoration>,
    /// Sources that are read although Microsoft has said the end of their API.
    pub ends: Vec<Ending>,
    /// Who is told of trouble, where anybody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notices: Option<NoticesStatus>,
}

/// How it is with telling people.
#[derive(Debug, Clone, Serialize)]
pub struct NoticesStatus {
    /// The receivers of the settings.
    pub receivers: Vec<NoticeReceiver>,
    /// What nobody is told of for a while.
    pub snoozes: Vec<NoticeSnooze>,
    /// Conditions that hold, by kind.
    pub open: BTreeMap<String, u64>,
}

/// A source that Microsoft has said the end of.
#[derive(Debug, Clone, Serialize)]
pub struct Ending {
    pub source: Source,
    /// The day, as Microsoft's notice names it.
    pub date: &'static str,
    /// Whether the API may be gone any time since that day, rather than goes on it.
    pub any_time_since: bool,
    /// What to read in its place.
    pub replacement: &'static str,
    /// The notice.
    pub announcement: &'static str,
    /// How many tenants are read from it.
    pub tenants: u64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Those that are customers still.
    pub tenants: u64,
    /// Those of them with trouble.
    pub failing: u64,
    /// Their sources, by state.
    pub sources: BTreeMap<SourceWord, u64>,
    /// Record versions accepted so far.
    pub accepted: u64,
    /// Records owed to sinks.
    pub owed: u64,
    /// Record versions that no route took.
    pub unrouted: Unrouted,
}

#[derive(Debug, Clone, Serialize)]
pub struct TenantStatus {
    pub id: TenantId,
    pub slug: Slug,
    pub name: String,
    pub app: String,
    pub added_at: Timestamp,
    /// Whether it is worked on.
    pub state: TenantState,
    /// What the state comes to, with trouble that a person must end.
    pub standing: Standing,
    pub reason: Option<String>,
    pub remedy: Option<String>,
    /// What was found out about its access, the worst first.
    pub checks: Vec<Check>,
    pub sources: Vec<SourceStatus>,
    /// Records owed to sinks, all together.
    pub owed: u64,
    /// The sinks that are owed some, or of which the last attempt failed.
    pub owed_to: Vec<Owed>,
    /// Record versions that no route took.
    pub unrouted: Unrouted,
}

/// What a tenant owes a sink.
#[derive(Debug, Clone, Serialize)]
pub struct Owed {
    pub sink: String,
    pub records: u64,
    pub since: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    pub next_at: Option<Timestamp>,
}

impl TenantStatus {
    /// Whether it is a customer still, and is to be read.
    pub fn is_worked_on(&self) -> bool {
        !matches!(self.standing, Standing::Offboarded | Standing::Paused)
    }

    /// How good the worst of it is.
    pub fn tone(&self, running: bool) -> Tone {
        let mut tones: Vec<Tone> =
            self.sources.iter().map(|source| state::tone(source.state, running)).collect();
        tones.push(self.standing.tone());
        let worst = [Tone::Bad, Tone::Fair, Tone::Plain].into_iter().find(|tone| tones.contains(tone));
        worst.unwrap_or(Tone::Good)
    }

    /// Whether somebody should look at it. Silence is no trouble, nor is a first reading that is under way.
    pub fn is_in_trouble(&self) -> bool {
        let well = |source: &SourceStatus| {
            matches!(source.state, SourceWord::Reading | SourceWord::Quiet | SourceWord::NeverRead)
                && source.last_error.is_none()
        };
        self.is_worked_on() && (self.standing == Standing::Failing || !self.sources.iter().all(well))
    }
}

/// Where a tenant stands, in one word; the same in commands, on the customer's page and in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The customer has been asked to consent.
    Invited,
    /// The customer has consented; nothing was tried yet.
    Consented,
    /// The first checks are under way.
    Verifying,
    Active,
    /// It should be read, but a person must do something first.
    Failing,
    /// It is not read, because somebody said so.
    Paused,
    /// It is a customer no more.
    Offboarded,
}

impl Standing {
    pub const ALL: [Self; 7] = [
        Self::Invited,
        Self::Consented,
        Self::Verifying,
        Self::Active,
        Self::Failing,
        Self::Paused,
        Self::Offboarded,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Consented => "consented",
            Self::Verifying => "verifying",
            Self::Active => "active",
            Self::Failing => "failing",
            Self::Paused => "paused",
            Self::Offboarded => "offboarded",
        }
    }

    /// That a tenant is active says that it is to be read, not that it is: its sources tell that.
    pub fn tone(self) -> Tone {
        match self {
            Self::Failing => Tone::Bad,
            Self::Active | Self::Offboarded => Tone::Plain,
            Self::Invited | Self::Consented | Self::Verifying | Self::Paused => Tone::Fair,
        }
    }

    /// What a tenant's stored state and the checks of its access come to.
    pub fn of(state: TenantState, checks: &[Check]) -> Self {
        let failing = checks.iter().any(|check| check.outcome == CheckOutcome::Failing);
        match state {
            TenantState::Invited => Self::Invited,
            TenantState::Consented => Self::Consented,
            TenantState::Verifying | TenantState::Active if failing => Self::Failing,
            TenantState::Verifying => Self::Verifying,
            TenantState::Active => Self::Active,
            TenantState::Paused => Self::Paused,
            TenantState::Offboarded => Self::Offboarded,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct AppStatus {
    pub app: String,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    pub source: Source,
    /// In a word, by the rules of `state.rs`.
    pub state: SourceWord,
    /// The kind of trouble, where there is some.
    #[serde(serialize_with = "fault_as_word")]
    pub fault: Option<Fault>,
    pub last_success_at: Option<Timestamp>,
    /// Seconds since then, never less than none; nothing when it never was, or lies ahead.
    pub lag_seconds: Option<f64>,
    /// When something new last came.
    pub last_new_at: Option<Timestamp>,
    /// Everything updated up to here has been seen.
    pub seen_up_to: Timestamp,
    /// What is missing of that, in words.
    pub missing: Option<String>,
    /// Record versions accepted so far.
    pub accepted: u64,
    pub failures: u32,
    /// What is wrong, or missing, in words.
    pub last_error: Option<String>,
    /// Since when.
    pub trouble_since: Option<Timestamp>,
    pub next_at: Timestamp,
    /// Record versions that no route took.
    pub unrouted: Unrouted,
    /// Whether a route takes records of the source now, if they say what it asks for.
    pub has_route: bool,
    /// Its sweeps and backfills.
    pub passes: Vec<PassStatus>,
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn fault_as_word<S: serde::Serializer>(fault: &Option<Fault>, serializer: S) -> Result<S::Ok, S::Error> {
    fault.map(Fault::as_str).serialize(serializer)
}

#[derive(Debug, Clone, Serialize)]
pub struct SinkStatus {
    pub sink: String,
    /// In a word, by the rules of `sinks.rs`.
    pub state: SinkWord,
    /// Whether nothing depends on it.
    pub shadow: bool,
    pub delivered: u64,
    pub last_success_at: Option<Timestamp>,
    pub owed: u64,
    pub owed_since: Option<Timestamp>,
    /// How long the oldest of them has been owed.
    pub oldest_owed_seconds: Option<f64>,
    /// Tenants whose records are owed.
    pub waiting_tenants: u64,
    /// Those of them whose last attempt failed.
    pub failing_tenants: u64,
    /// Records refused for good so far.
    pub rejected: u64,
    /// Those of them that still lie there.
    pub dead_letters: u64,
    /// Records that were given up because the journal was full.
    pub given_up: u64,
    /// When one last was.
    pub given_up_at: Option<Timestamp>,
    pub last_error: Option<String>,
}

impl SinkStatus {
    /// How good its state is. A shadow's is nobody's trouble.
    pub fn tone(&self) -> Tone {
        match self.state.tone(self.owed) {
            Tone::Bad | Tone::Fair if self.shadow => Tone::Plain,
            tone => tone,
        }
    }

    /// How long the oldest record has been owed.
    pub fn oldest_owed(&self) -> Duration {
        Duration::from_secs_f64(self.oldest_owed_seconds.unwrap_or(0.0))
    }
}

impl Snapshot {
    /// The parts of what is at work that do not work, whichever node says so; nothing where nothing runs.
    pub fn parts(&self) -> impl Iterator<Item = &PartTrouble> {
        part_troubles(&self.run, &self.nodes)
    }

    /// Leaves out all tenants but those with trouble; what is told of all stays.
    pub fn only_trouble(&mut self) {
        self.tenants.retain(TenantStatus::is_in_trouble);
    }
}

/// See [`Snapshot::parts`]. What several nodes say in the same words is told once.
pub(super) fn part_troubles<'a>(
    run: &'a Run,
    nodes: &'a [NodeStatus],
) -> impl Iterator<Item = &'a PartTrouble> {
    let of_run = run.last.iter().flat_map(|last| &last.troubles);
    let all = of_run.chain(nodes.iter().flat_map(|node| &node.troubles));
    let mut told: Vec<&PartTrouble> = Vec::new();
    for trouble in all.filter(|_| run.is_running()) {
        if !told.contains(&trouble) {
            told.push(trouble);
        }
    }
    told.into_iter()
}

/// Record versions that no sink was ever to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unrouted {
    /// Because no route served their tenant and source.
    pub no_route: u64,
    /// Because every route that did left them out for what they say: their severity, status, service or category.
    pub filtered: u64,
    /// Since when there have been some of the first.
    pub since: Option<Timestamp>,
}

impl Unrouted {
    pub(super) fn add(&mut self, other: Self) {
        self.no_route += other.no_route;
        self.filtered += other.filtered;
        self.since = self.since.into_iter().chain(other.since).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::checks;

    fn check(outcome: CheckOutcome) -> Check {
        Check { outcome, ..checks::good("token", String::new(), Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn only_a_tenant_that_is_read_can_fail() {
        let failing = [check(CheckOutcome::Good), check(CheckOutcome::Failing)];
        assert_eq!(Standing::of(TenantState::Active, &failing), Standing::Failing);
        assert_eq!(Standing::of(TenantState::Verifying, &failing), Standing::Failing);
        assert_eq!(Standing::of(TenantState::Paused, &failing), Standing::Paused);
        assert_eq!(Standing::of(TenantState::Invited, &failing), Standing::Invited);
        assert_eq!(Standing::of(TenantState::Active, &[check(CheckOutcome::Warning)]), Standing::Active);
    }
}
