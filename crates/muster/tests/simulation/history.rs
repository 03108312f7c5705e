//! One history, from its beginning until all is quiet.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_emulator::receivers::RecordKind;
use muster_emulator::{Fault, GraphConfig, WorldChange};
use muster_model::{Cursor, Purpose, Source, TenantId};
use muster_store::{CursorState, LedgerFilter, SourceState};

use crate::cloud::Cloud;
use crate::log::Log;
use crate::machine::{Machine, Workshop};
use crate::plan::{Change, Plan, Step};
use crate::possible;
use crate::time::Time;
use crate::witness::{Counts, End, Turn, Violation, Witness};

const HOUR: Duration = Duration::from_secs(3_600);
/// Where all histories begin.
const BEGINNING: &str = "2026-03-01T09:00:00Z";
/// More turns than this, with no time passing to speak of, are a program that runs in circles.
const TURNS_MAX: u32 = 5_000;
/// The steps, in seconds, in which it is waited until all is quiet: what shows late has shown, and every hole was asked
/// for again.
const QUIET_STEPS: [(u32, u64); 3] = [(3, 120), (4, 1_700), (9, 3 * 3_600)];
/// So many rounds more may be needed for what is still to be asked for again.
const QUIET_ROUNDS_MAX: u32 = 60;

/// What came of a history.
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) requests: u64,
    pub(crate) restarts: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) log: String,
}

/// Lives through a plan.
pub(crate) async fn run(workshop: &Workshop, plan: &Plan, verbose: bool) -> Outcome {
    let log = Log::new(verbose);
    let time = Time::starting(BEGINNING.parse().expect("a time"));
    let config = GraphConfig {
        tenants: plan.tenants,
        seed: plan.seed,
        alerts: plan.alerts,
        history: plan.past,
        strict: plan.strict,
        kinds: plan.sources.iter().filter_map(|source| RecordKind::of_source(source.as_str())).collect(),
        ..GraphConfig::default()
    };
    let is_streamed = plan.sources.iter().any(|source| source.stream().is_some());
    let rows = if is_streamed { plan.alerts } else { 0 };
    let since = time.local().checked_sub(plan.backfill).expect("in range");
    let cloud = Cloud::new(plan.seed, &time, config, (rows, plan.past, since), &log);
    let machine = Machine::new(workshop, plan, &cloud, &time).await;
    let began_at = time.world();
    let mut witness = Witness::default();
    witness.truth.hunt = plan.sources.iter().copied().find(|source| source.hunt().is_some());
    let stream = plan.sources.iter().copied().find(|source| source.stream().is_some());
    witness.truth.stream = stream.map(|source| (source, Arc::clone(&cloud.storage)));
    let mut history = History { plan, machine, cloud, time, log, witness, restarts: 0, began_at };
    let violation = history.live().await.err();
    let History { machine, cloud, log, witness, restarts, .. } = history;
    machine.end().await;
    Outcome { counts: witness.counts, requests: cloud.requests(), restarts, violation, log: log.text() }
}

struct History<'a> {
    plan: &'a Plan,
    machine: Machine,
    cloud: Arc<Cloud>,
    time: Arc<Time>,
    log: Log,
    witness: Witness,
    restarts: u64,
    began_at: Timestamp,
}

impl History<'_> {
    async fn live(&mut self) -> Result<(), Violation> {
        let plan = self.plan;
        for step in &plan.steps {
            self.log.line_with(|| format!("{} {step:?}", self.time.world()));
            self.step(step).await?;
        }
        self.log.line_with(|| format!("{} all goes right again", self.time.world()));
        self.cloud.kill(None);
        self.cloud.api.clear_faults();
        self.cloud.storage.clear();
        self.cloud.no_tokens_for(Duration::ZERO);
        self.time.skew(SignedDuration::ZERO);
        for (times, seconds) in QUIET_STEPS {
            for _ in 0..times {
                self.work().await?;
                self.time.advance(Duration::from_secs(seconds));
            }
        }
        self.work().await?;
        let mut states = self.states().await;
        for _ in 0..QUIET_ROUNDS_MAX {
            if states.iter().all(|(_, cursor)| cursor.holes().is_empty()) {
                break;
            }
            self.time.advance(self.plan.poll_interval);
            self.work().await?;
            states = self.states().await;
        }
        let end = End {
            swept: self.machine.is_swept(),
            clocks_lied: self.plan.all_clocks_lie(),
            now: self.time.world(),
        };
        self.witness.quiet(&self.cloud.api, &states, end)?;
        self.letters().await
    }

    /// Whatever lies in a stream and is no row of its tenant is a dead letter of that tenant.
    async fn letters(&self) -> Result<(), Violation> {
        let Some((stream, storage)) = &self.witness.truth.stream else { return Ok(()) };
        let letters = self.machine.letters(*stream).await;
        for (tenant, junk) in storage.junk() {
            let is_told = letters.iter().any(|(whose, body)| *whose == tenant && body.contains(&junk));
            if !is_told {
                return Err(Violation(format!("{junk} of {tenant} is no row, and no dead letter holds it")));
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), Violation> {
        match step {
            Step::Pass(lasting) => self.pass(*lasting).await?,
            Step::Sleep(lasting) => self.time.advance(*lasting),
            Step::Change(tenant, change) => self.change(*tenant, *change),
            Step::Blobs(tenant, change) => self.cloud.storage.change(*tenant, *change),
            Step::Storage(trouble) => self.cloud.storage.trouble(*trouble),
            Step::Faults(faults) => faults.iter().for_each(|fault| self.fault(fault)),
            Step::Clear => {
                self.cloud.api.clear_faults();
                self.cloud.storage.clear();
            }
            Step::NoTokens(lasting) => self.cloud.no_tokens_for(*lasting),
            Step::Skew(skew) => self.time.skew(*skew),
            Step::Kill(kill) => self.cloud.kill(Some(*kill)),
            Step::Backfill(ago, long) => self.backfill(*ago, *long).await,
            Step::Restart => {
                self.restarts += 1;
                self.machine.restart().await;
            }
        }
        Ok(())
    }

    /// Begins to read a span once more, of all sources, as `muster backfill` does.
    async fn backfill(&mut self, ago: Duration, long: Duration) {
        let (world, local) = (self.time.world(), self.time.local());
        let (from, to) = (world - ago, world - ago + long.min(ago));
        for (state, live) in self.states().await {
            let key = (state.tenant, state.source);
            let Some(pass) = Cursor::passing(&[(from, to)], local, Some(&live)) else { continue };
            let store = self.machine.store();
            let begun = store.begin_cursor(key.0, key.1, Purpose::Backfill, pass, local).await;
            if begun.expect("the store answers") {
                self.witness.claims.pass_begins(key, local, world, false);
                self.witness.backfill(key, (from, to), world);
            }
        }
    }

    fn fault(&self, fault: &Fault) {
        let Some(fault) = possible::possible(fault, &self.cloud.api.faults()) else { return };
        if let Err(error) = self.cloud.api.add_fault(fault.clone()) {
            panic!("a fault that means nothing: {fault:?}: {error}");
        }
    }

    /// Lets Muster work while time passes.
    async fn pass(&mut self, lasting: Duration) -> Result<(), Violation> {
        let until = self.time.world().checked_add(lasting).expect("in range");
        loop {
            let left = until.duration_since(self.time.world());
            if left.is_negative() || left.is_zero() {
                return Ok(());
            }
            let local_until = self.time.local().checked_add(left).expect("in range");
            self.work_until(local_until).await?;
            let left = until.duration_since(self.time.world());
            let due = self.machine.due_at().await.unwrap_or(Timestamp::MAX);
            let wait = due.duration_since(self.time.local()).max(SignedDuration::from_millis(5));
            let wait = Duration::try_from(wait.min(left)).unwrap_or_default();
            self.time.advance(wait);
        }
    }

    /// All turns that are due, to the end of every round.
    async fn work(&mut self) -> Result<(), Violation> {
        let soon = self.time.local().checked_add(Duration::from_secs(1_000)).expect("in range");
        self.work_until(soon).await
    }

    /// All turns that are due, until Muster's clock shows `until`.
    async fn work_until(&mut self, until: Timestamp) -> Result<(), Violation> {
        for _ in 0..TURNS_MAX {
            let Some(lease) = self.machine.lease().await else { return Ok(()) };
            let (key, purpose, before) =
                ((lease.tenant.id, lease.source), lease.purpose, lease.cursor.clone());
            self.log.line_with(|| format!("{} turn of {} {purpose}", self.time.world(), key.1));
            self.cloud.asked();
            let began = self.time.local();
            let (accepted, killed) = self.machine.turn(lease).await;
            self.restarts += u64::from(killed);
            let asked = self.cloud.asked();
            self.log.line_with(|| {
                let ids: Vec<&str> = accepted.iter().map(|record| record.id.as_str()).collect();
                format!("  accepted {ids:?}")
            });
            let now = self.time.world();
            self.witness.accepted(&self.cloud.api, accepted, now)?;
            if purpose == Purpose::Live {
                let after = self.machine.cursor(key.0, key.1, purpose).await;
                let CursorState { state, cursor: after } = after;
                self.log.line_with(|| {
                    let (holes, error) = (after.holes(), &state.last_error);
                    format!("  complete up to {}, holes {holes:?}, status {error:?}", after.complete_up_to())
                });
                let turn =
                    Turn { key, before: &before, after: &after, state: &state, asked, killed, began, now };
                self.witness.turn(&self.cloud.api, turn)?;
            } else if before.pass().is_none() {
                let asked_at = asked.first().map_or(now, |asked| asked.at);
                self.witness.claims.pass_begins(key, began, asked_at, purpose.is_sweep());
            }
            self.ledger(key).await?;
            if self.time.local() > until {
                return Ok(());
            }
        }
        Err(Violation(format!("after {TURNS_MAX} turns there is still something due")))
    }

    /// Holds what the ledger says of a source against the log of truth.
    async fn ledger(&mut self, (tenant, source): (TenantId, Source)) -> Result<(), Violation> {
        let now = self.time.world();
        let (from, to) = (self.began_at - HOUR - self.plan.past.max(self.plan.backfill), now + HOUR);
        let filter = LedgerFilter { tenant: Some(tenant), source: Some(source), from, to };
        let hours = self.machine.store().ledger(filter, self.time.local()).await.expect("the store answers");
        self.witness.ledger(&self.cloud.api, (tenant, source), &hours, now)
    }

    async fn states(&mut self) -> Vec<(SourceState, Cursor)> {
        let states = self.machine.store().source_states().await.expect("the store answers");
        let mut all = Vec::new();
        for state in states {
            let live = self.machine.cursor(state.tenant, state.source, Purpose::Live).await;
            all.push((state, live.cursor));
        }
        all
    }

    /// Changes the world. Where there is nothing to be changed, nothing is.
    fn change(&mut self, tenant: usize, change: Change) {
        let tenants = self.cloud.api.tenants();
        let tenant = tenants[tenant % tenants.len()].id.clone();
        self.witness.update(&self.cloud.api);
        let ids = |kind: RecordKind| -> Vec<String> {
            let versions = self.witness.truth.versions.iter().map(|version| &version.told);
            let own = versions.filter(|told| told.tenant == tenant && told.kind == kind && told.newest);
            own.map(|told| told.id.clone()).collect()
        };
        let pick = |ids: Vec<String>, number: u64| {
            let place = usize::try_from(number % (ids.len().max(1) as u64)).expect("few records");
            ids.get(place).cloned()
        };
        let alert = |number| pick(ids(RecordKind::Alert), number);
        let incident = |number| pick(ids(RecordKind::Incident), number);
        let own = tenant.clone();
        let change = match change {
            Change::Alerts(count) => {
                Some(WorldChange::AddAlerts { tenant: own, count, title: None, at: None })
            }
            Change::AtOnce(count, ago) => {
                let at = self.time.world().checked_sub(SignedDuration::from_secs(ago)).expect("in range");
                Some(WorldChange::AddAlerts { tenant: own, count, title: None, at: Some(at.to_string()) })
            }
            Change::Incident(alerts) => Some(WorldChange::AddIncident { tenant: own, alerts }),
            Change::Update(count) => Some(WorldChange::UpdateSome { tenant: own, count }),
            Change::Rewrite(number) => {
                alert(number).map(|id| WorldChange::UpdateAlert { tenant: own, id, same_time: true })
            }
            Change::Merge(from, into) => incident(from).zip(incident(into)).and_then(|(from, into)| {
                (from != into).then_some(WorldChange::MergeIncidents { tenant: own, from, into })
            }),
            Change::Move(number, into) => alert(number)
                .zip(incident(into))
                .map(|(alert, into)| WorldChange::MoveAlert { tenant: own, alert, into }),
            Change::OddTimes => Some(WorldChange::AddOddTimes { tenant: own }),
        };
        if let Some(change) = change {
            let done = self.cloud.api.change(&change);
            self.log.line_with(|| format!("  {change:?}: {done:?}"));
        }
    }
}
