//! How everything is doing: one picture of the store, for `muster status`, the metrics and the demo.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::{Fault, SourceWord};
use muster_model::{Purpose, Slug, Source, Tenant, TenantId, TenantState};
use muster_store::{
    Check, CheckOutcome, CursorState, JournalTotals, PartTrouble, SinkTotals, SourceState, Store, StoreError,
    UnroutedCause,
};
use serde::Serialize;

use crate::access::checks;
use crate::collect;
use crate::config::Settings;
use crate::routing::Router;
use crate::shown::causes::{self, Cause};
use crate::shown::output::Tone;
use crate::shown::passes::PassStatus;
use crate::shown::run::Run;
use crate::shown::sinks::{SinkFacts, SinkWord, nothing_yet, sink_word};
use crate::shown::state::{self, SourceFacts, source_word};

/// What the settings let one expect.
#[derive(Debug, Clone)]
pub struct Expected {
    /// A source whose last complete round is older is late.
    pub late_after: Duration,
    pub sinks: BTreeSet<String>,
    pub routes: Router,
}

impl Expected {
    pub fn of(settings: &Settings) -> Self {
        Self {
            late_after: settings.collect.late_after(),
            sinks: settings.sinks.keys().cloned().collect(),
            routes: Router::new(settings.routes.clone()),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    pub at: Timestamp,
    /// Whether a `muster run` is at work.
    pub run: Run,
    /// Trouble, by its cause.
    pub causes: Vec<Cause>,
    /// Of all tenants and sinks, whichever are shown.
    pub totals: Totals,
    /// Every tenant, by slug.
    pub tenants: Vec<TenantStatus>,
    /// Every sink of the settings, and every other that has ever been owed something.
    pub sinks: Vec<SinkStatus>,
    pub journal: JournalTotals,
    /// Every app whose credential was looked at.
    pub apps: Vec<AppStatus>,
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
    /// Record versions that no route took.
    pub unrouted: Unrouted,
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
    /// Whether a route takes records of the source now, if they are severe enough.
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
    pub last_error: Option<String>,
}

impl SinkStatus {
    fn of(totals: SinkTotals, expected: &Expected, run: &Run, now: Timestamp) -> Self {
        let part = format!("sink {}", totals.sink);
        let troubles = run.last.iter().filter(|_| run.is_running()).flat_map(|run| &run.troubles);
        let broken: Option<&PartTrouble> = troubles.into_iter().find(|trouble| trouble.part == part);
        let facts = SinkFacts {
            in_settings: expected.sinks.contains(&totals.sink),
            broken: broken.is_some(),
            running: run.is_running(),
        };
        Self {
            state: sink_word(facts, &totals, now),
            delivered: totals.delivered,
            last_success_at: totals.last_success_at,
            owed: totals.owed,
            owed_since: totals.owed_since,
            oldest_owed_seconds: totals.owed_since.map(|since| seconds_since(since, now)),
            waiting_tenants: totals.owing.into(),
            failing_tenants: totals.failing.into(),
            rejected: totals.rejected,
            dead_letters: totals.dead_letters,
            last_error: broken.map(|broken| broken.reason.clone()).or(totals.last_error),
            sink: totals.sink,
        }
    }

    /// How long the oldest record has been owed.
    pub fn oldest_owed(&self) -> Duration {
        Duration::from_secs_f64(self.oldest_owed_seconds.unwrap_or(0.0))
    }
}

impl Snapshot {
    /// Takes the picture.
    pub async fn take(store: &dyn Store, expected: &Expected, now: Timestamp) -> Result<Self, StoreError> {
        let run = Run::of(&store.heartbeats().await?, store.is_owned()?, now);
        let mut found = Found::read(store, now).await?;
        let tenants: Vec<TenantStatus> =
            store.tenants().await?.into_iter().map(|tenant| found.tenant(tenant, expected, now)).collect();
        let mut sinks: BTreeMap<String, SinkTotals> =
            expected.sinks.iter().map(|sink| (sink.clone(), nothing_yet(sink))).collect();
        sinks.extend(store.sink_totals().await?.into_iter().map(|totals| (totals.sink.clone(), totals)));
        let sinks: Vec<SinkStatus> =
            sinks.into_values().map(|totals| SinkStatus::of(totals, expected, &run, now)).collect();
        let mut apps: Vec<AppStatus> = Vec::new();
        for (app, check) in store.app_checks().await? {
            match apps.iter_mut().find(|status| status.app == app) {
                Some(status) => status.checks.push(check),
                None => apps.push(AppStatus { app, checks: vec![check] }),
            }
        }
        let totals = totals(&tenants, &sinks);
        let journal = store.journal_totals().await?;
        let mut picture = Self { at: now, run, causes: Vec::new(), totals, tenants, sinks, journal, apps };
        picture.causes = causes::causes(&picture);
        Ok(picture)
    }

    /// Leaves out all tenants but those with trouble; what is told of all stays.
    pub fn only_trouble(&mut self) {
        self.tenants.retain(TenantStatus::is_in_trouble);
    }
}

fn totals(tenants: &[TenantStatus], sinks: &[SinkStatus]) -> Totals {
    let customers = || tenants.iter().filter(|tenant| tenant.standing != Standing::Offboarded);
    let mut totals = Totals {
        tenants: customers().count() as u64,
        failing: customers().filter(|tenant| tenant.is_in_trouble()).count() as u64,
        owed: sinks.iter().map(|sink| sink.owed).sum(),
        ..Totals::default()
    };
    for source in customers().flat_map(|tenant| &tenant.sources) {
        *totals.sources.entry(source.state).or_default() += 1;
    }
    totals.accepted = tenants.iter().flat_map(|tenant| &tenant.sources).map(|source| source.accepted).sum();
    for tenant in tenants {
        totals.unrouted.add(tenant.unrouted);
    }
    totals
}

/// What the store says, by tenant.
struct Found {
    checks: HashMap<TenantId, Vec<Check>>,
    passes: HashMap<(TenantId, Source), Vec<PassStatus>>,
    cursors: HashMap<TenantId, Vec<CursorState>>,
    owed: HashMap<TenantId, u64>,
    unrouted: HashMap<(TenantId, Source), Unrouted>,
}

/// Record versions that no sink was ever to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unrouted {
    /// Because no route served their tenant and source.
    pub no_route: u64,
    /// Because they were not severe enough for any that did.
    pub severity: u64,
    /// Since when there have been some of the first.
    pub since: Option<Timestamp>,
}

impl Unrouted {
    fn add(&mut self, other: Self) {
        self.no_route += other.no_route;
        self.severity += other.severity;
        self.since = self.since.into_iter().chain(other.since).min();
    }
}

impl Found {
    async fn read(store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let mut found = Self {
            checks: HashMap::new(),
            passes: HashMap::new(),
            cursors: HashMap::new(),
            owed: HashMap::new(),
            unrouted: HashMap::new(),
        };
        for (tenant, check) in store.checks(None).await? {
            found.checks.entry(tenant).or_default().push(check);
        }
        for purpose in [Purpose::Sweep, Purpose::NightlySweep, Purpose::Backfill] {
            for cursor in store.cursors(purpose).await? {
                let of = (cursor.state.tenant, cursor.state.source);
                found.passes.entry(of).or_default().push(PassStatus::of(&cursor, now));
            }
        }
        for cursor in store.cursors(Purpose::Live).await? {
            found.cursors.entry(cursor.state.tenant).or_default().push(cursor);
        }
        for queue in store.queue_states().await? {
            *found.owed.entry(queue.tenant).or_default() += queue.owed;
        }
        for unrouted in store.unrouted().await? {
            let of = found.unrouted.entry((unrouted.tenant, unrouted.source)).or_default();
            let records = unrouted.records + unrouted.pruned;
            of.add(match unrouted.cause {
                UnroutedCause::NoRoute => {
                    Unrouted { no_route: records, since: unrouted.since, ..Unrouted::default() }
                }
                UnroutedCause::Severity => Unrouted { severity: records, ..Unrouted::default() },
            });
        }
        Ok(found)
    }

    fn tenant(&mut self, tenant: Tenant, expected: &Expected, now: Timestamp) -> TenantStatus {
        let cursors = self.cursors.remove(&tenant.id).unwrap_or_default();
        let mut checks = self.checks.remove(&tenant.id).unwrap_or_default();
        for check in &mut checks {
            superseded(check, cursors.iter().map(|cursor| &cursor.state));
        }
        checks.sort_by_key(|check| std::cmp::Reverse(check.outcome));
        let mut sources: Vec<SourceStatus> = Vec::new();
        for cursor in cursors {
            let source = cursor.state.source;
            let routes = expected.routes.routes(&tenant.label(), source);
            sources.push(SourceStatus {
                passes: self.passes.remove(&(tenant.id, source)).unwrap_or_default(),
                unrouted: self.unrouted.get(&(tenant.id, source)).copied().unwrap_or_default(),
                has_route: routes.destinations().iter().any(|destination| !destination.sinks.is_empty()),
                ..source_status(&tenant, cursor, &checks, expected, now)
            });
        }
        let worst = checks.iter().find(|check| check.outcome == CheckOutcome::Failing);
        // What no route took of a source that is not read any more counts as well.
        let mut unrouted = Unrouted::default();
        for (_, of_source) in self.unrouted.iter().filter(|((of, _), _)| *of == tenant.id) {
            unrouted.add(*of_source);
        }
        TenantStatus {
            standing: Standing::of(tenant.state, &checks),
            reason: worst.map(|check| check.detail.clone()),
            remedy: worst.map(|check| check.remedy.clone()),
            checks,
            sources,
            owed: self.owed.get(&tenant.id).copied().unwrap_or_default(),
            unrouted,
            id: tenant.id,
            slug: tenant.slug,
            name: tenant.name,
            app: tenant.app,
            added_at: tenant.added_at,
            state: tenant.state,
        }
    }
}

/// A check of a source is out of date when the source has been read to its end since; so is that of the token, which
/// came then.
fn superseded<'a>(check: &mut Check, states: impl Iterator<Item = &'a SourceState>) {
    let fits =
        |state: &&SourceState| check.name == checks::TOKEN || check.name == checks::source_name(state.source);
    let read_at = states.filter(fits).filter_map(|state| state.last_success_at).max();
    if let Some(read_at) = read_at.filter(|at| check.outcome != CheckOutcome::Good && *at > check.checked_at)
    {
        *check = checks::good(&check.name, "it was read since".to_owned(), read_at);
    }
}

fn source_status(
    tenant: &Tenant,
    CursorState { state, cursor }: CursorState,
    checks: &[Check],
    expected: &Expected,
    now: Timestamp,
) -> SourceStatus {
    let name = checks::source_name(state.source);
    let not_good = |check: &&Check| check.outcome != CheckOutcome::Good;
    let of_source = checks.iter().filter(not_good).find(|check| check.name == name);
    let of_token = || checks.iter().filter(not_good).find(|check| check.name == checks::TOKEN);
    let check = of_source.or_else(of_token);
    let fault = check.and_then(|check| Fault::named(&check.code));
    let missing = collect::missing(&cursor);
    let facts = SourceFacts {
        tenant: tenant.state,
        fault,
        fails: state.failures > 0,
        next_at: state.next_at,
        last_success_at: state.last_success_at,
        last_new_at: state.last_new_at,
        missing: missing.is_some(),
    };
    let known = state.last_success_at.filter(|at| state::since(now, *at) <= state::AHEAD_MAX);
    let failure = state.last_error.filter(|_| state.failures > 0);
    let last_error = failure.or_else(|| check.map(|check| check.detail.clone())).or(missing);
    SourceStatus {
        source: state.source,
        state: source_word(&facts, expected.late_after, now),
        fault,
        last_success_at: state.last_success_at,
        lag_seconds: known.map(|at| seconds_since(at, now)),
        last_new_at: state.last_new_at,
        accepted: state.accepted,
        failures: state.failures,
        trouble_since: check
            .map(|check| check.checked_at)
            .or(state.last_error_at.filter(|_| last_error.is_some())),
        last_error,
        next_at: state.next_at,
        unrouted: Unrouted::default(),
        has_route: false,
        passes: Vec::new(),
    }
}

/// Never less than none: a clock that was set back makes nothing come from the future.
fn seconds_since(at: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(at).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
