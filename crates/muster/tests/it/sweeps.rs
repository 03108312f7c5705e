//! What showed late, or was hidden, is found by sweeps: emulator and Muster on one clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_emulator::{Area, Config, Fault, FaultKind, ManualClock, WorldChange};
use muster_model::{Clock as _, Purpose, Source};
use muster_store::{HourState, LedgerFilter, LedgerHour, PollResult};

use crate::support::{Bench, Setup, config};

const ALERTS: Source = Source::GraphAlerts;
const MINUTES: u64 = 60;

/// Hours away from the nights, whose sweep would find what the hourly one is to find.
fn noon_after(now: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400;
    let since_noon = (now.as_second() - DAY / 2).rem_euclid(DAY);
    Timestamp::from_second(now.as_second() - since_noon + DAY).expect("a time")
}

/// An emulator and Muster's parts on clocks that go together. They begin at noon.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) bench: Bench,
    clock: Arc<ManualClock>,
}

impl World {
    pub(crate) async fn start(config: Config) -> Self {
        let noon = noon_after(muster_model::SystemClock.now());
        let clock = Arc::new(ManualClock::new(noon));
        let setup = Setup::start(
            Config { tenants: 1, clock: clock.clone(), ..config },
            "[collect]\nrequests_per_minute = 100000\n",
        )
        .await;
        let bench = Bench::at(&setup, noon).await;
        let world = Self { setup, bench, clock };
        world.bench.collect().await;
        world
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.bench.clock.now()
    }

    pub(crate) fn ago(&self, seconds: i64) -> Timestamp {
        self.now() - SignedDuration::from_secs(seconds)
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.bench.pass(seconds);
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Time passes, and what falls due meanwhile is done.
    pub(crate) async fn work(&self, seconds: u64) {
        for _ in 0..seconds.div_ceil(5 * MINUTES) {
            self.pass(5 * MINUTES);
            self.bench.collect().await;
        }
    }

    /// So many polls, ten seconds apart: where a search goes on soon after each failure.
    pub(crate) async fn polls(&self, polls: u32) {
        for _ in 0..polls {
            self.pass(10);
            self.bench.collect().await;
        }
    }

    fn tenant(&self) -> String {
        self.setup.emulator.tenants()[0].id.clone()
    }

    /// An alert that shows now, and was last updated then.
    pub(crate) fn add_alert(&self, at: Timestamp) -> String {
        let add =
            WorldChange::AddAlerts { tenant: self.tenant(), count: 1, title: None, at: Some(at.to_string()) };
        self.setup.emulator.change_world(&add).expect("an alert").remove(0)
    }

    pub(crate) async fn is_known(&self, id: &str) -> bool {
        !self.bench.store.trace(None, id).await.expect("the store answers").is_empty()
    }

    pub(crate) async fn hours(&self) -> Vec<LedgerHour> {
        let filter =
            LedgerFilter { tenant: None, source: Some(ALERTS), from: self.ago(8 * 86_400), to: self.now() };
        self.bench.store.ledger(filter, self.now()).await.expect("the store answers")
    }

    pub(crate) async fn hour_of(&self, at: Timestamp) -> LedgerHour {
        let hours = self.hours().await;
        let last = hours.iter().rfind(|hour| hour.hour <= at).cloned();
        last.expect("an hour of the ledger")
    }

    async fn sweep_is_over_at(&self, purpose: Purpose) -> Option<Timestamp> {
        let tenant = self.tenant().parse().expect("a GUID");
        let found = self.bench.store.cursor(tenant, ALERTS, purpose).await.expect("the store answers");
        found.expect("it is swept").state.last_success_at
    }

    /// Until the sweep has been over once more.
    async fn until_swept(&self, purpose: Purpose) {
        let before = self.sweep_is_over_at(purpose).await;
        for _ in 0..300 {
            self.work(5 * MINUTES).await;
            if self.sweep_is_over_at(purpose).await > before {
                return;
            }
        }
        panic!("no {purpose} came to its end");
    }

    fn fault(&self, kind: FaultKind) {
        self.setup.emulator.add_fault(Fault::new(Area::GraphAlerts, kind)).expect("a fault");
    }
}

/// A record that shows three hours after its update, where no round looks any more: the sweep finds it within the hour, it is
/// counted as late and healed, and its hour is not called complete before another sweep has been there.
#[tokio::test]
async fn late_records_are_healed_by_the_hourly_sweep() {
    let world = World::start(Config { alerts: Some(100), ..config() }).await;
    world.until_swept(Purpose::Sweep).await;
    let at = world.ago(3 * 3_600);
    assert!(
        matches!(world.hour_of(at).await.state, HourState::Complete { .. }),
        "{:?}",
        world.hour_of(at).await
    );
    let id = world.add_alert(at);
    world.work(5 * MINUTES).await;
    assert!(!world.is_known(&id).await, "no round looks there any more");
    world.until_swept(Purpose::Sweep).await;
    assert!(world.is_known(&id).await);
    let hour = world.hour_of(at).await;
    assert_eq!((hour.late, hour.healed), (1, 1), "{hour:?}");
    assert!(hour.late_seconds_max >= 3 * 3_600, "{hour:?}");
    assert_eq!(hour.state, HourState::Late, "the sweep that found it had begun before");
    world.until_swept(Purpose::Sweep).await;
    assert!(
        matches!(world.hour_of(at).await.state, HourState::Complete { .. }),
        "{:?}",
        world.hour_of(at).await
    );
    assert_eq!(world.bench.errors().await, [""; 0]);
}

/// In a busy tenant each hour is counted, and read only where the count is not ours.
#[tokio::test]
async fn the_hours_that_count_differently_are_read_and_no_other() {
    let busy = Config { alerts: Some(3_000), update_share: Some(0.0), ..config() };
    let world = World::start(busy).await;
    let at = world.ago(3 * 3_600);
    let id = world.add_alert(at);
    world.until_swept(Purpose::Sweep).await;
    assert!(world.is_known(&id).await);
    let hours = world.hours().await;
    let read: Vec<_> = hours
        .iter()
        .filter(|hour| matches!(hour.state, HourState::Late | HourState::Complete { .. }))
        .collect();
    assert_eq!(read.len(), 1, "{read:?}");
    assert!(read[0].hour <= at && at < read[0].hour + SignedDuration::from_hours(1), "{read:?}");
    let counted = hours.iter().filter(|hour| hour.source_count.is_some()).count();
    assert!(counted >= 23, "all hours of the day were counted, not {counted}");
    assert_eq!(read[0].healed, 1);
}

/// A count that says what we have, though there is more, hides a record from the hourly sweep; the nightly one reads.
#[tokio::test]
async fn the_nightly_sweep_finds_what_a_lying_count_hides() {
    let busy = Config { alerts: Some(3_000), update_share: Some(0.0), ..config() };
    let world = World::start(busy).await;
    let at = world.ago(2 * 86_400);
    let hidden = world.add_alert(at);
    world.fault(FaultKind::LyingCount { by: -1, json: None });
    world.until_swept(Purpose::Sweep).await;
    assert!(!world.is_known(&hidden).await);
    world.until_swept(Purpose::NightlySweep).await;
    assert!(world.is_known(&hidden).await);
    assert_eq!(world.hour_of(at).await.healed, 1);
}

/// Nonsense in place of a count, and a service that refuses to count: everything is read.
#[tokio::test]
async fn where_nothing_can_be_counted_everything_is_read() {
    let refused = FaultKind::RefuseFilter { word: "count".to_owned() };
    let lie = |json: &str| FaultKind::LyingCount { by: 0, json: Some(json.to_owned()) };
    for kind in [refused, lie("-1"), lie("\"many\""), lie("99999999999999999999999999")] {
        let busy = Config { alerts: Some(3_000), update_share: Some(0.0), ..config() };
        let world = World::start(busy).await;
        world.fault(kind.clone());
        let at = world.ago(3 * 3_600);
        let id = world.add_alert(at);
        world.until_swept(Purpose::Sweep).await;
        assert!(world.is_known(&id).await, "{kind:?}");
        let before = world.hour_of(world.ago(6 * 3_600)).await;
        assert!(matches!(before.state, HourState::Complete { .. }), "{kind:?}: {before:?}");
        assert!(world.hours().await.iter().all(|hour| hour.source_count.is_none()), "{kind:?}");
    }
}

/// Half-way through a sweep the process dies: the next one goes on where it was.
#[tokio::test]
async fn an_interrupted_sweep_goes_on() {
    // Ten pages and more: more than one turn.
    let many = Config { alerts: Some(1_500), update_share: Some(0.0), ..config() };
    let world = World::start(many).await;
    world.fault(FaultKind::SmallPages { most: 60, ragged: false });
    let tenant = world.tenant().parse().expect("a GUID");
    let found = world.bench.store.cursor(tenant, ALERTS, Purpose::NightlySweep).await.expect("asked");
    let due = found.expect("it is swept").state.next_at;
    let wait = u64::try_from(due.duration_since(world.now()).as_secs()).expect("it lies ahead") + 1;
    world.pass(wait);
    let (store, instance) = (&world.bench.store, world.bench.collector.instance);
    let lease = async || {
        let key = (tenant, ALERTS, Purpose::NightlySweep);
        store.lease_cursor(instance, key, Duration::from_secs(60), world.now()).await.expect("asked")
    };
    world.bench.collector.turn(lease().await.expect("due"), &Default::default()).await;
    let half = store.cursor(tenant, ALERTS, Purpose::NightlySweep).await.expect("asked").expect("there");
    let (done, all) = half.cursor.pass_progress().expect("it is under way");
    assert!(done > SignedDuration::ZERO && done < all, "{done:?} of {all:?}");

    // Killed with the lease in hand.
    let killed = lease().await.expect("due");
    world.pass(600);
    let taken = store.cursor(tenant, ALERTS, Purpose::NightlySweep).await.expect("asked").expect("there");
    assert_eq!(taken.cursor, half.cursor, "nothing is forgotten");
    world.bench.collect().await;
    assert!(world.sweep_is_over_at(Purpose::NightlySweep).await.is_some());
    let late = PollResult::Yielded { next_at: world.now(), progressed: false, missing: None, cursor: None };
    assert!(store.finish_poll(&killed, late, world.now()).await.is_err(), "its lease is lost");
    let ended = store.cursor(tenant, ALERTS, Purpose::NightlySweep).await.expect("asked").expect("there");
    assert!(ended.cursor.pass().is_none(), "the next one begins anew");
}

/// A source that cannot be read is not swept, and a sweep that fails is no failure of its source.
#[tokio::test]
async fn a_sweep_waits_while_its_source_fails() {
    let world = World::start(Config { alerts: Some(100), ..config() }).await;
    world.until_swept(Purpose::Sweep).await;
    let before = world.sweep_is_over_at(Purpose::Sweep).await;
    world.fault(FaultKind::Status { status: 503 });
    world.work(3 * 3_600).await;
    assert_eq!(world.sweep_is_over_at(Purpose::Sweep).await, before);
    let tenant = world.tenant().parse().expect("a GUID");
    let sweep =
        world.bench.store.cursor(tenant, ALERTS, Purpose::Sweep).await.expect("asked").expect("there");
    assert_eq!(sweep.state.failures, 0, "it was not tried");
    world.setup.emulator.clear_faults();
    world.until_swept(Purpose::Sweep).await;
    assert_eq!(world.bench.errors().await, [""; 0]);
}

/// What a sweep reads again is delivered to nobody twice, whatever a gateway makes of its bytes.
#[tokio::test]
async fn sweeps_deliver_nothing_twice() {
    let world = World::start(Config { alerts: Some(300), ..config() }).await;
    world.bench.deliver().await;
    world.fault(FaultKind::Rewritten);
    world.until_swept(Purpose::NightlySweep).await;
    world.bench.deliver().await;
    world.setup.assert_all_arrived_once();
    assert!(world.hours().await.iter().all(|hour| hour.healed == 0));
}

/// Nobody could read for longer than Microsoft keeps records: the gap is told with its span, and stands in the ledger.
#[tokio::test]
async fn a_gap_that_cannot_be_healed_is_told() {
    let world = World::start(Config { alerts: Some(20), ..config() }).await;
    let left = world.now();
    world.pass(200 * 86_400);
    world.bench.collect().await;
    let errors = world.bench.errors().await;
    let told = errors.iter().find(|error| error.contains("keeps records")).expect("it is told");
    assert!(told.contains(&format!("{}", left.strftime("%Y-%m-%d"))), "{told}");
    let hour = {
        let gap = left + SignedDuration::from_hours(48);
        let filter = LedgerFilter {
            tenant: None,
            source: Some(ALERTS),
            from: gap,
            to: gap + SignedDuration::from_hours(1),
        };
        world.bench.store.ledger(filter, world.now()).await.expect("the store answers").remove(0)
    };
    assert!(matches!(hour.state, HourState::Hole { .. }), "{hour:?}");
    // It is not asked for again and again, and what is new is read.
    let id = world.add_alert(world.ago(5));
    world.work(5 * MINUTES).await;
    assert!(world.is_known(&id).await);
}

/// A clock that is wrong is told once, and moves nothing.
#[tokio::test]
async fn clocks_that_differ_are_told() {
    let world = World::start(Config { alerts: Some(20), ..config() }).await;
    let checks = async || {
        let checks = world.bench.store.checks(None).await.expect("the store answers");
        checks.into_iter().map(|(_, check)| check).find(|check| check.name == "clock graph_alerts")
    };
    assert!(checks().await.is_none(), "nothing to tell");
    world.fault(FaultKind::DateHeader { seconds: -600, text: None });
    world.work(5 * MINUTES).await;
    let told = checks().await.expect("it is told");
    assert_eq!(told.code, "clocks_differ");
    assert!(told.detail.contains("10m 00s behind"), "{}", told.detail);
    let id = world.add_alert(world.now());
    world.work(5 * MINUTES).await;
    assert!(world.is_known(&id).await);
    assert_eq!(checks().await.map(|check| check.checked_at), Some(told.checked_at), "once");
    world.setup.emulator.clear_faults();
    world.work(5 * MINUTES).await;
    assert_eq!(checks().await.map(|check| check.code), Some("ok".to_owned()));
}
