//! Takes the picture of the store that commands, the metrics and the demo show.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use muster_microsoft::Fault;
use muster_microsoft::sources::{self, AnnouncedEnd};
use muster_model::{Purpose, Source, Tenant, TenantId};
use muster_store::{
    Check, CheckOutcome, CursorState, SinkTotals, SourceState, Store, StoreError, UnroutedCause,
};

use crate::access::checks;
use crate::collect;
use crate::shown::causes;
use crate::shown::nodes::NodeStatus;
use crate::shown::passes::PassStatus;
use crate::shown::room::Room;
use crate::shown::run::Run;
use crate::shown::sinks::{SinkFacts, nothing_yet, sink_word};
use crate::shown::state::{self, SourceFacts, source_word};
use crate::shown::status::{
    AppStatus, Ending, Expected, NoticesStatus, Owed, SinkStatus, Snapshot, SourceStatus, Standing,
    TenantStatus, Totals, Unrouted, part_troubles,
};

/// How long it is shown that the store was put back from a copy.
const PUT_BACK_SHOWN_SECONDS: i64 = 7 * 86_400;

impl Snapshot {
    /// Takes the picture.
    pub async fn take(store: &dyn Store, expected: &Expected, now: Timestamp) -> Result<Self, StoreError> {
        let beats = store.heartbeats().await?;
        let run = Run::of(&beats, store.is_owned().await?, now);
        let nodes = NodeStatus::all(store.nodes().await?, &beats);
        let mut found = Found::read(store, now).await?;
        let tenants: Vec<TenantStatus> =
            store.tenants().await?.into_iter().map(|tenant| found.tenant(tenant, expected, now)).collect();
        let mut sinks: BTreeMap<String, SinkTotals> =
            expected.sinks.iter().map(|sink| (sink.clone(), nothing_yet(sink))).collect();
        sinks.extend(store.sink_totals().await?.into_iter().map(|totals| (totals.sink.clone(), totals)));
        let sinks: Vec<SinkStatus> =
            sinks.into_values().map(|totals| sink_status(totals, expected, (&run, &nodes), now)).collect();
        let mut apps: Vec<AppStatus> = Vec::new();
        for (app, check) in store.app_checks().await? {
            match apps.iter_mut().find(|status| status.app == app) {
                Some(status) => status.checks.push(check),
                None => apps.push(AppStatus { app, checks: vec![check] }),
            }
        }
        let totals = totals(&tenants, &sinks);
        let journal = store.journal_totals().await?;
        let shadows: Vec<String> = expected.shadows.iter().cloned().collect();
        let room = match expected.bound {
            Some(bound) => Some(Room::look(store, bound, &shadows, now).await?),
            None => None,
        };
        let mut put_back = store.restorations().await?;
        put_back.retain(|restoration| now.duration_since(restoration.at).as_secs() < PUT_BACK_SHOWN_SECONDS);
        let notices = notices(store, now).await?;
        let causes = Vec::new();
        let ends = ends(&tenants);
        let mut picture = Self {
            at: now,
            run,
            nodes,
            causes,
            totals,
            tenants,
            sinks,
            journal,
            room,
            apps,
            put_back,
            ends,
            notices,
        };
        picture.causes = causes::causes(&picture);
        picture.causes.splice(0..0, store.trouble().map(causes::of_store));
        Ok(picture)
    }
}

/// Who is told of trouble; nothing where nobody is, and nobody is to be left alone.
async fn notices(store: &dyn Store, now: Timestamp) -> Result<Option<NoticesStatus>, StoreError> {
    let (receivers, snoozes) = (store.notice_receivers().await?, store.notice_snoozes(now).await?);
    if receivers.is_empty() && snoozes.is_empty() {
        return Ok(None);
    }
    let mut open: BTreeMap<String, u64> = BTreeMap::new();
    for condition in store.notice_conditions().await? {
        if condition.ended_at.is_none() && !condition.told.is_empty() {
            *open.entry(condition.kind).or_default() += 1;
        }
    }
    Ok(Some(NoticesStatus { receivers, snoozes, open }))
}

/// The sources that are read although Microsoft has said the end of their API.
fn ends(tenants: &[TenantStatus]) -> Vec<Ending> {
    let mut read: BTreeMap<Source, u64> = BTreeMap::new();
    for tenant in tenants.iter().filter(|tenant| tenant.is_worked_on()) {
        for source in &tenant.sources {
            *read.entry(source.source).or_default() += 1;
        }
    }
    let ending = |(source, tenants)| {
        let AnnouncedEnd { date, any_time_since, replacement, announcement } =
            sources::declaration(source).end?;
        Some(Ending { source, date, any_time_since, replacement, announcement, tenants })
    };
    read.into_iter().filter_map(ending).collect()
}

fn sink_status(
    totals: SinkTotals,
    expected: &Expected,
    (run, nodes): (&Run, &[NodeStatus]),
    now: Timestamp,
) -> SinkStatus {
    let part = format!("sink {}", totals.sink);
    let broken = part_troubles(run, nodes).find(|trouble| trouble.part == part);
    let facts = SinkFacts {
        in_settings: expected.sinks.contains(&totals.sink),
        broken: broken.is_some(),
        running: run.is_running(),
    };
    SinkStatus {
        state: sink_word(facts, &totals, now),
        shadow: expected.shadows.contains(&totals.sink),
        delivered: totals.delivered,
        last_success_at: totals.last_success_at,
        owed: totals.owed,
        owed_since: totals.owed_since,
        oldest_owed_seconds: totals.owed_since.map(|since| seconds_since(since, now)),
        waiting_tenants: totals.owing.into(),
        failing_tenants: totals.failing.into(),
        rejected: totals.rejected,
        dead_letters: totals.dead_letters,
        given_up: totals.given_up,
        given_up_at: totals.given_up_at,
        last_error: broken.map(|broken| broken.reason.clone()).or(totals.last_error),
        sink: totals.sink,
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
    owed: HashMap<TenantId, Vec<Owed>>,
    unrouted: HashMap<TenantId, HashMap<Source, Unrouted>>,
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
            if queue.owed > 0 || queue.last_error.is_some() {
                found.owed.entry(queue.tenant).or_default().push(Owed {
                    sink: queue.sink,
                    records: queue.owed,
                    since: queue.owed_since,
                    last_error: queue.last_error,
                    next_at: queue.next_at,
                });
            }
        }
        for unrouted in store.unrouted().await? {
            let of_tenant = found.unrouted.entry(unrouted.tenant).or_default();
            let of = of_tenant.entry(unrouted.source).or_default();
            let records = unrouted.records + unrouted.pruned;
            of.add(match unrouted.cause {
                UnroutedCause::NoRoute => {
                    Unrouted { no_route: records, since: unrouted.since, ..Unrouted::default() }
                }
                UnroutedCause::Filtered => Unrouted { filtered: records, ..Unrouted::default() },
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
        let unrouted_of = self.unrouted.remove(&tenant.id).unwrap_or_default();
        for cursor in cursors {
            let source = cursor.state.source;
            let routes = expected.routes.routes(&tenant, source);
            sources.push(SourceStatus {
                passes: self.passes.remove(&(tenant.id, source)).unwrap_or_default(),
                unrouted: unrouted_of.get(&source).copied().unwrap_or_default(),
                has_route: routes.lead_somewhere(),
                ..source_status(&tenant, cursor, &checks, expected, now)
            });
        }
        let worst = checks.iter().find(|check| check.outcome == CheckOutcome::Failing);
        // What no route took of a source that is not read any more counts as well.
        let mut unrouted = Unrouted::default();
        for of_source in unrouted_of.values() {
            unrouted.add(*of_source);
        }
        let owed_to = self.owed.remove(&tenant.id).unwrap_or_default();
        TenantStatus {
            standing: Standing::of(tenant.state, &checks),
            reason: worst.map(|check| check.detail.clone()),
            remedy: worst.map(|check| check.remedy.clone()),
            checks,
            sources,
            owed: owed_to.iter().map(|owed| owed.records).sum(),
            owed_to,
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
    let last_error = failure.or_else(|| check.map(|check| check.detail.clone())).or(missing.clone());
    SourceStatus {
        source: state.source,
        state: source_word(&facts, expected.late_after(state.source), now),
        fault,
        last_success_at: state.last_success_at,
        lag_seconds: known.map(|at| seconds_since(at, now)),
        last_new_at: state.last_new_at,
        seen_up_to: state.seen_up_to,
        missing,
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
