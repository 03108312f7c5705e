//! `status` never says something good wrongly, whatever the store, the heartbeat, the clock, the checks and the sinks went
//! through. The rule stands here anew, as an operator would say it, and shares no code with the program:
//!
//! - "running" needs a process that holds the store and wrote its heartbeat within the last half minute or so, by this clock.
//! - A source is green only while something runs, its tenant is active, it was read to its end within the last minutes by this
//!   clock, and nothing that went wrong with it came after that.
//! - A sink is green only while something runs, it is in the settings, it has acknowledged something within the last minutes,
//!   and nothing that it is owed failed, waits for long, or was refused within the hour.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster::shown::output::Tone;
use muster::shown::state;
use muster::shown::status::{Expected, Snapshot};
use muster_microsoft::{Fault, SourceWord};
use muster_model::{ContentHash, Purpose, RecordHead, Severity, Source, TenantId, TenantState};
use muster_store::{
    AcceptedPage, Check, CheckOutcome, DeliveryLimits, Destination, FinishedDelivery, Heartbeat, InstanceId,
    KeyRing, Lifetime as _, NewRecord, NewTenant, OpenMode, PollResult, SqlStore, Store, TenantChange,
    Tenants as _,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rustix::fs::FlockOperation;
use uuid::Uuid;

const ME: InstanceId = InstanceId(Uuid::from_u128(1));
const LEASE: Duration = Duration::from_secs(600);
const SINK: &str = "splunk";
const SOURCES: [Source; 2] = [Source::GraphAlerts, Source::GraphIncidents];

/// What happened to a source.
#[derive(Debug, Clone, Default)]
struct Truth {
    read_at: Option<Timestamp>,
    /// Its last poll failed.
    failed: bool,
    /// When the last check of it found trouble.
    bad_at: Option<Timestamp>,
}

struct World {
    dice: ChaCha8Rng,
    store: Arc<dyn Store>,
    folder: tempfile::TempDir,
    now: Timestamp,
    lock: Option<File>,
    /// The last heartbeat, unless that told of a stop.
    beat_at: Option<Timestamp>,
    tenant: TenantId,
    active: bool,
    sources: [Truth; 2],
    /// The same of the token.
    bad_token_at: Option<Timestamp>,
    records: u64,
    acknowledged_at: Option<Timestamp>,
    refused_at: Option<Timestamp>,
    owed_since: Option<Timestamp>,
    failing: bool,
    in_settings: bool,
    history: Vec<String>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, path) = (muster_store::MasterKey::generate(), folder.path().join("muster.db"));
        SqlStore::create(&path, &key).await.expect("a store").close().await;
        // Held by nobody: the lock is the test's.
        let store = SqlStore::open(&path, OpenMode::Shared, &KeyRing::from(key)).await.expect("opened");
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().expect("a time");
        let tenant = TenantId::from(Uuid::from_u128(7));
        let new = NewTenant {
            id: tenant,
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: BTreeSet::from(SOURCES),
            tags: BTreeSet::new(),
            since: now,
            state: TenantState::Active,
        };
        store.add_tenant(new, "test", now).await.expect("added");
        Self {
            dice: ChaCha8Rng::seed_from_u64(seed),
            store: Arc::new(store),
            folder,
            now,
            lock: None,
            beat_at: None,
            tenant,
            active: true,
            sources: [Truth::default(), Truth::default()],
            bad_token_at: None,
            records: 0,
            acknowledged_at: None,
            refused_at: None,
            owed_since: None,
            failing: false,
            in_settings: true,
            history: Vec::new(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice.next_u64() % bound
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Time passes; now and then the clock is set.
    fn pass(&mut self) {
        let seconds = match self.below(20) {
            0 => 90_000,
            1 => -90_000,
            2 => -70,
            3..8 => self.below(600) as i64,
            _ => self.below(25) as i64,
        };
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(seconds)).expect("in range");
        self.history.push(format!("{seconds} s pass"));
    }

    async fn step(&mut self) {
        match self.below(16) {
            0..4 => self.beat().await,
            4 => self.take_or_let_go(),
            5..9 => self.poll().await,
            9 | 10 => self.check().await,
            11 if self.percent(30) => self.pause_or_resume().await,
            11 | 12 => self.accept().await,
            13 | 14 => self.deliver().await,
            _ => self.in_settings = !self.in_settings || self.percent(60),
        }
    }

    async fn beat(&mut self) {
        // Mostly by whoever holds the store.
        if self.lock.is_none() && self.percent(90) {
            self.take_or_let_go();
        }
        let stopped = self.percent(10);
        let beat = Heartbeat {
            instance: ME,
            host: "collector-1".to_owned(),
            pid: 1,
            version: "0.1.0".to_owned(),
            started_at: self.now,
            beat_at: self.now,
            stopped_at: stopped.then_some(self.now),
            troubles: Vec::new(),
        };
        self.store.beat(beat).await.expect("beaten");
        self.beat_at = (!stopped).then_some(self.now);
        self.history.push(format!("a heartbeat, stopped: {stopped}"));
    }

    fn take_or_let_go(&mut self) {
        self.history.push(format!("the store is held: {}", self.lock.is_none()));
        if self.lock.take().is_some() {
            return;
        }
        let lock = self.folder.path().join("muster.db.lock");
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(lock);
        let lock = lock.expect("the lock's file");
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("locked");
        self.lock = Some(lock);
    }

    async fn poll(&mut self) {
        let index = self.below(2) as usize;
        let source = SOURCES[index];
        let of = (self.tenant, source, Purpose::Live);
        let Ok(Some(lease)) = self.store.lease_cursor(ME, of, LEASE, self.now).await else { return };
        let next_at = self.now;
        let (result, said) = match self.below(4) {
            0 => (PollResult::Failed { reason: "no answer".to_owned(), next_at, cursor: None }, "failed"),
            1 => (
                PollResult::Yielded { next_at, progressed: false, missing: None, cursor: None },
                "gave up its turn",
            ),
            _ => (PollResult::CaughtUp { next_at, missing: None, cursor: None }, "read to the end"),
        };
        let truth = &mut self.sources[index];
        match &result {
            PollResult::Failed { .. } => truth.failed = true,
            PollResult::CaughtUp { .. } => (truth.read_at, truth.failed) = (Some(self.now), false),
            _ => {}
        }
        self.store.finish_poll(&lease, result, self.now).await.expect("written down");
        self.history.push(format!("{source} {said}"));
    }

    async fn check(&mut self) {
        let index = self.below(3) as usize;
        let fault = Fault::ALL[self.below(Fault::ALL.len() as u64) as usize];
        let name = match index {
            2 => "token".to_owned(),
            index => format!("source {}", SOURCES[index]),
        };
        self.history.push(format!("a check of {name} finds {fault}"));
        match self.sources.get_mut(index) {
            Some(truth) => truth.bad_at = Some(self.now),
            None => self.bad_token_at = Some(self.now),
        }
        let check = Check {
            name,
            outcome: if fault.needs_a_person() { CheckOutcome::Failing } else { CheckOutcome::Warning },
            code: fault.to_string(),
            detail: "it does not work".to_owned(),
            remedy: String::new(),
            checked_at: self.now,
            expires_at: None,
        };
        self.store.put_checks(self.tenant, vec![check]).await.expect("kept");
    }

    async fn pause_or_resume(&mut self) {
        self.active = !self.active;
        let state = if self.active { TenantState::Active } else { TenantState::Paused };
        let change = TenantChange::State(state);
        self.store.change_tenant(self.tenant, change, "test", self.now).await.expect("changed");
        self.history.push(format!("the tenant is {state}"));
    }

    async fn accept(&mut self) {
        let of = (self.tenant, SOURCES[0], Purpose::Live);
        let Ok(Some(lease)) = self.store.lease_cursor(ME, of, LEASE, self.now).await else { return };
        self.records += 1;
        let body = format!(r#"{{"id":"{}"}}"#, self.records);
        let head = RecordHead {
            id: self.records.to_string(),
            updated_at: Some(self.now),
            created_at: None,
            severity: Severity::High,
            hash: ContentHash::of(body.as_bytes()),
            change: None,
        };
        let page = AcceptedPage {
            records: vec![NewRecord { head, body: &body, destination: 0 }],
            text: None,
            dead_letters: Vec::new(),
            destinations: &[Destination::of(&[SINK.to_owned()])],
            cursor: lease.cursor.clone(),
            request_id: None,
            proved_up_to: None,
        };
        self.store.accept_page(&lease, page, LEASE, self.now).await.expect("accepted");
        let yielded =
            PollResult::Yielded { next_at: self.now, progressed: false, missing: None, cursor: None };
        self.store.finish_poll(&lease, yielded, self.now).await.expect("written down");
        self.owed_since.get_or_insert(self.now);
        self.history.push("a record is owed".to_owned());
    }

    async fn deliver(&mut self) {
        let limits = DeliveryLimits { batches: 100, body_bytes: 1 << 20 };
        let lease = self.store.lease_due_deliveries(ME, SINK, limits, LEASE, self.now).await.expect("leased");
        let Some(lease) = lease else { return };
        let outcome = self.below(4);
        let finished = |delivered: u32, rejected: bool| {
            let all = lease.deliveries.iter().map(|delivery| FinishedDelivery {
                number: delivery.number,
                remaining: None,
                delivered,
                rejected: if rejected { vec![(0, "too odd".to_owned())] } else { Vec::new() },
            });
            all.collect::<Vec<_>>()
        };
        let (finished, again) = match outcome {
            0 => (Vec::new(), Some((self.now, "no way".to_owned()))),
            1 => (finished(0, true), None),
            _ => (finished(1, false), None),
        };
        self.failing = outcome == 0;
        match outcome {
            0 => {}
            1 => (self.refused_at, self.owed_since) = (Some(self.now), None),
            _ => (self.acknowledged_at, self.owed_since) = (Some(self.now), None),
        }
        self.store.finish_deliveries(&lease, finished, again, self.now).await.expect("written down");
        self.history.push(format!("the sink answers: {outcome}"));
    }

    /// Whether a time is so long ago at most, by this clock, and not ahead by more than is leeway.
    fn within(&self, at: Option<Timestamp>, seconds: i64, leeway: i64) -> bool {
        at.is_some_and(|at| {
            let ago = self.now.duration_since(at).as_secs();
            ago <= seconds && ago >= -leeway
        })
    }

    fn may_run(&self) -> bool {
        self.lock.is_some() && self.within(self.beat_at, 35, 2)
    }

    fn may_be_read(&self, index: usize) -> bool {
        let truth = &self.sources[index];
        // What went wrong later than it was read; of the token, later than anything was read with one.
        let later = |at: Option<Timestamp>, read_at: Option<Timestamp>| {
            at.is_some_and(|at| read_at.is_none_or(|read_at| at > read_at))
        };
        let any_read_at = self.sources.iter().filter_map(|source| source.read_at).max();
        let wrong =
            truth.failed || later(truth.bad_at, truth.read_at) || later(self.bad_token_at, any_read_at);
        self.active && !wrong && self.within(truth.read_at, 360, 60)
    }

    fn may_deliver(&self) -> bool {
        self.may_run()
            && self.in_settings
            && !(self.failing && self.owed_since.is_some())
            && self.within(self.acknowledged_at, 300, 60)
            && !self.within(self.refused_at, 3_599, 59)
            && self.owed_since.is_none_or(|_| self.within(self.owed_since, 300, 60))
    }

    /// Says what is good wrongly.
    async fn look(&self) -> (u32, u32) {
        let mut expected = Expected {
            late_after: Duration::from_secs(360),
            hunts_late_after: Default::default(),
            sinks: BTreeSet::new(),
            routes: muster::routing::Router::new(Vec::new()),
            shadows: BTreeSet::new(),
            metrics_tenants: 0,
            bound: None,
        };
        if self.in_settings {
            expected.sinks.insert(SINK.to_owned());
        }
        let picture = Snapshot::take(self.store.as_ref(), &expected, self.now).await.expect("a picture");
        let story = || self.history.join("\n");
        let running = picture.run.is_running();
        assert!(!running || self.may_run(), "it does not run\n{}", story());
        let (mut good, mut quiet) = (0, 0);
        for tenant in &picture.tenants {
            for (index, source) in tenant.sources.iter().enumerate() {
                assert_eq!(source.source, SOURCES[index]);
                assert!(source.lag_seconds.is_none_or(|lag| lag >= 0.0), "{source:?}\n{}", story());
                let well = matches!(source.state, SourceWord::Reading | SourceWord::Quiet);
                assert!(!well || self.may_be_read(index), "{source:?}\n{}", story());
                let green = state::tone(source.state, running) == Tone::Good;
                assert!(!green || self.may_run(), "{source:?}\n{}", story());
                good += u32::from(green);
                quiet += u32::from(well);
            }
        }
        for sink in picture.sinks.iter().filter(|sink| sink.state.tone(sink.owed) == Tone::Good) {
            assert!(self.may_deliver(), "{sink:?}\n{}", story());
            good += 1;
        }
        // Where nothing may be said to be well, there is trouble to be told.
        assert!(running || picture.causes.iter().any(|cause| cause.about == "run"), "{}", story());
        (good, quiet)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_good_is_said_wrongly() {
    let (mut good, mut quiet) = (0, 0);
    for seed in 0..40 {
        let mut world = World::new(seed).await;
        world.history.push(format!("seed {seed}"));
        for _ in 0..60 {
            world.step().await;
            if world.percent(60) {
                world.pass();
            }
            let seen = world.look().await;
            (good, quiet) = (good + seen.0, quiet + seen.1);
        }
    }
    // The worlds are not so bad that nothing good could be said.
    assert!(good > 60 && quiet > 200, "{good} {quiet}");
}
