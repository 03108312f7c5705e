//! `muster status` tells what is so: a scenario for each word, and the trouble of many in a line.

use rustix::process::Signal;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;

use muster::shown::run::RunState;
use muster::shown::sinks::SinkWord;
use muster::shown::status::{Expected, Snapshot};
use muster_emulator::{Area, Config, DirectoryChange, Fault, FaultKind};
use muster_microsoft::SourceWord;
use muster_model::{Clock as _, TenantState};
use muster_store::{Heartbeat, InstanceId, TenantChange};
use rustix::fs::FlockOperation;

use crate::support::{Bench, Setup, config, eventually, signal};

/// Muster's parts, and the signs of life of a `muster run` where the test wants them.
pub(crate) struct Desk {
    pub(crate) setup: Setup,
    pub(crate) bench: Bench,
    pub(crate) expected: Expected,
}

impl Desk {
    pub(crate) async fn new(config: Config) -> Self {
        Self::at(Setup::start(config, "").await).await
    }

    pub(crate) async fn at(setup: Setup) -> Self {
        let bench = Bench::new(&setup).await;
        let expected = Expected::of(&setup.settings());
        Self { setup, bench, expected }
    }

    /// The picture while a `muster run` is at work.
    pub(crate) async fn running(&self) -> Snapshot {
        let lock = File::options().read(true).write(true).open(self.setup.path().join("muster.db.lock"));
        let lock = lock.expect("the lock's file");
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("locked");
        let beat = Heartbeat {
            instance: InstanceId(uuid::Uuid::from_u128(1)),
            host: "collector-1".to_owned(),
            pid: 4_711,
            version: "0.1.0".to_owned(),
            started_at: self.bench.clock.now(),
            beat_at: self.bench.clock.now(),
            stopped_at: None,
            troubles: self.bench.troubles.all(),
        };
        self.bench.store.beat(beat).await.expect("beaten");
        self.alone().await
    }

    /// The picture while nothing runs.
    async fn alone(&self) -> Snapshot {
        let picture = Snapshot::take(self.bench.store.as_ref(), &self.expected, self.bench.clock.now());
        picture.await.expect("a picture")
    }

    /// The states of alerts and incidents of the only tenant, after an hour and a poll.
    async fn polled(&self) -> Vec<SourceWord> {
        self.bench.pass(3_700);
        self.bench.collect().await;
        self.words().await
    }

    async fn words(&self) -> Vec<SourceWord> {
        self.running().await.tenants[0].sources.iter().map(|source| source.state).collect()
    }

    pub(crate) fn fault(&self, area: Area, kind: FaultKind) {
        self.setup.emulator.add_fault(Fault::new(area, kind)).expect("a fault");
    }

    pub(crate) async fn sink(&self) -> SinkWord {
        let picture = self.running().await;
        picture.sinks.iter().find(|sink| sink.sink == "splunk").expect("the sink").state
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_word_of_a_source_has_its_scenario() {
    use SourceWord::{
        ApiDown, ConsentLost, Late, NeverRead, NoLicence, NoToken, Partial, Paused, Quiet, Reading, Throttled,
    };
    let desk = Desk::new(Config { tenants: 1, alerts: Some(12), ..config() }).await;
    assert_eq!(desk.words().await, [NeverRead; 2]);
    desk.bench.collect().await;
    assert_eq!(desk.words().await, [Reading; 2]);
    desk.bench.pass(90_000);
    assert_eq!(desk.words().await, [Late; 2]);
    desk.bench.collect().await;
    assert_eq!(desk.words().await, [Quiet; 2]);
    // The settings poll each second: a minute is the least.
    desk.bench.pass(60);
    assert_eq!(desk.words().await, [Quiet; 2]);
    desk.bench.pass(1);
    let picture = desk.alone().await;
    assert_eq!(picture.tenants[0].sources[0].state, Late, "also when nothing runs");
    assert_eq!(picture.tenants[0].sources[0].lag_seconds, Some(61.0));

    let error = |status, code: &str, message: &str| FaultKind::Error {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
    };
    for (kind, word) in [
        (FaultKind::Throttle { retry_after_seconds: 3_600 }, Throttled),
        (FaultKind::Status { status: 503 }, ApiDown),
        (FaultKind::Html, ApiDown),
        // Its token has the permission, so it is not consent that is missing.
        (FaultKind::Unauthorized { challenge: false }, ApiDown),
        (
            error(403, "Forbidden", "Missing application roles. API required roles: SecurityAlert.Read.All"),
            ConsentLost,
        ),
        (error(403, "Forbidden", "The tenant is not licensed"), NoLicence),
        (FaultKind::Partial { provider: "microsoftDefenderForEndpoint".to_owned() }, Partial),
    ] {
        desk.fault(Area::Graph, kind.clone());
        assert_eq!(desk.polled().await, [word; 2], "{kind:?}");
        let source = desk.running().await.tenants[0].sources[0].clone();
        assert!(source.last_success_at.is_some() && source.last_error.is_some(), "{source:?}");
        if word == Throttled {
            // It should have been tried again long ago.
            desk.bench.pass(3_600 + 61);
            assert_eq!(desk.words().await, [Late; 2], "{kind:?}");
        }
        desk.setup.emulator.clear_faults();
        // What was left out is read once more.
        for _ in 0..4 {
            desk.polled().await;
        }
        let words = desk.polled().await;
        assert!(words.iter().all(|word| matches!(word, Reading | Quiet)), "after {kind:?}: {words:?}");
    }

    // Of what two readers share, one meets the 429: a sweep is as good as a poll.
    desk.setup.emulator.change(DirectoryChange::ExpireSecrets { app: None }).expect("changed");
    assert_eq!(desk.polled().await, [NoToken; 2]);
    let picture = desk.running().await;
    // What the sinks are owed is another story.
    let causes: Vec<_> = picture.causes.iter().filter(|cause| !cause.about.starts_with("sink ")).collect();
    let told: Vec<_> = causes.iter().map(|cause| (cause.about.as_str(), cause.code.as_str())).collect();
    assert_eq!(told, [("app main", "secret_expired")]);
    assert_eq!((causes[0].sources, causes[0].tenants), (2, 1));
    let id = picture.tenants[0].id;
    let pause = TenantChange::State(TenantState::Paused);
    desk.bench.store.change_tenant(id, pause, "test", desk.bench.clock.now()).await.expect("paused");
    assert_eq!(desk.words().await, [Paused; 2]);
    assert!(desk.running().await.causes.iter().all(|cause| cause.about.starts_with("sink ")));
}

/// A sweep that meets a 429 holds back the live source beside it, which says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_source_that_a_sweeps_429_holds_back_says_so() {
    use muster_model::Purpose;
    let desk = Desk::new(Config { tenants: 1, alerts: Some(12), ..config() }).await;
    desk.bench.collect().await;
    desk.bench.pass(3_700);
    let lease = async |purpose: Purpose| {
        let (id, now) = (desk.running().await.tenants[0].id, desk.bench.clock.now());
        let store = desk.bench.store.as_ref();
        let of = (id, muster_model::Source::GraphAlerts, purpose);
        let lease = store.lease_cursor(
            InstanceId(uuid::Uuid::from_u128(1)),
            of,
            std::time::Duration::from_secs(60),
            now,
        );
        lease.await.expect("leased").expect("it is due")
    };
    desk.fault(Area::Graph, FaultKind::Throttle { retry_after_seconds: 300 });
    let stop = tokio_util::sync::CancellationToken::new();
    desk.bench.collector.turn(lease(Purpose::Sweep).await, &stop).await;
    desk.setup.emulator.clear_faults();
    desk.bench.collector.turn(lease(Purpose::Live).await, &stop).await;
    let source = desk.running().await.tenants[0].sources[0].clone();
    assert_eq!((source.state, source.failures), (SourceWord::Throttled, 0), "{source:?}");
    assert!(source.last_error.as_deref().is_some_and(|error| error.contains("throttled")), "{source:?}");
    desk.bench.pass(301);
    desk.bench.collect().await;
    assert!(matches!(desk.words().await[0], SourceWord::Reading | SourceWord::Quiet));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_word_of_a_sink_has_its_scenario() {
    let desk = Desk::new(Config { tenants: 2, alerts: Some(12), ..config() }).await;
    let new_alerts = || {
        for tenant in desk.setup.emulator.tenants() {
            desk.setup.emulator.add_alerts(&tenant.id, 3, None).expect("new alerts");
        }
    };
    assert_eq!(desk.sink().await, SinkWord::NeverUsed);
    desk.bench.collect().await;
    assert_eq!(desk.sink().await, SinkWord::Waiting, "it has never delivered");
    desk.bench.deliver().await;
    assert_eq!(desk.sink().await, SinkWord::Delivering);
    desk.bench.pass(301);
    assert_eq!(desk.sink().await, SinkWord::Idle);

    desk.fault(Area::Hec, FaultKind::Down);
    new_alerts();
    desk.bench.collect().await;
    desk.bench.deliver().await;
    assert_eq!(desk.sink().await, SinkWord::Down);
    let picture = desk.running().await;
    let causes: Vec<_> = picture
        .causes
        .iter()
        .filter(|cause| cause.about.starts_with("sink "))
        .map(|cause| (cause.about.as_str(), cause.code.as_str(), cause.tenants))
        .collect();
    assert_eq!(causes, [("sink splunk", "down", 2)], "{picture:?}");
    desk.setup.emulator.clear_faults();
    desk.bench.pass(90);
    desk.bench.deliver().await;
    assert_eq!(desk.sink().await, SinkWord::Delivering);
    assert!(desk.running().await.causes.iter().all(|cause| cause.about != "sink splunk"));

    new_alerts();
    desk.bench.pass(60);
    desk.bench.collect().await;
    desk.bench.pass(301);
    assert_eq!(desk.sink().await, SinkWord::Behind);
    let alone = desk.alone().await;
    assert_eq!(alone.run.state, RunState::Died);
    assert!(alone.sinks.iter().all(|sink| sink.state == SinkWord::Stopped), "{alone:?}");
    desk.bench.deliver().await;
    let mut fewer = desk.expected.clone();
    fewer.sinks.remove("splunk");
    let picture =
        Snapshot::take(desk.bench.store.as_ref(), &fewer, desk.bench.clock.now()).await.expect("a picture");
    assert_eq!(
        picture.sinks.iter().find(|sink| sink.sink == "splunk").expect("still shown").state,
        SinkWord::Removed
    );
}

/// What the program says from outside of a `muster run` that never was, runs, is killed, and stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_begins_with_whether_anything_runs() {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port();
    let server = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    let setup = Setup::start(Config { tenants: 2, alerts: Some(10), ..config() }, &server).await;
    let state = async || {
        let output = setup.muster(&["--output", "json", "status"]).await;
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        json["run"]["state"].as_str().expect("a word").to_owned()
    };
    let check = async || {
        let output = setup.muster(&["status", "--check"]).await;
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(line.lines().count(), 1, "{line}");
        (output.status.code().expect("a code"), line)
    };
    assert_eq!(state().await, "never_ran");
    let (code, line) = check().await;
    assert!(code == 2 && line.starts_with("MUSTER CRITICAL - NOTHING RUNS: it never ran"), "{code} {line}");

    let mut running = setup.run();
    eventually("it runs", async || state().await == "running").await;
    eventually("all has arrived", async || setup.lost() == 0 && check().await.0 == 0).await;
    let (_, line) = check().await;
    assert!(line.starts_with("MUSTER OK - 2 tenants") && line.contains(" running=1 "), "{line}");
    let strict = setup.muster(&["status", "--check", "--lag", "0s,0s"]).await;
    assert_eq!(strict.status.code(), Some(2), "{strict:?}");
    let wrong = setup.muster(&["status", "--check", "--lag", "soon"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let base = format!("http://127.0.0.1:{port}");
    assert_eq!(crate::support::get(&format!("{base}/readyz"), &[]).await, "ready\n");
    let metrics = crate::support::get(&format!("{base}/metrics"), &[]).await;
    for line in [
        "muster_run_state{state=\"running\"} 1",
        "muster_run_state{state=\"died\"} 0",
        "muster_sink_state{sink=\"archive\",state=\"down\"} 0",
        "muster_sources{state=\"consent_lost\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is missing in:\n{metrics}");
    }
    let text = setup.muster(&["status"]).await;
    assert!(String::from_utf8_lossy(&text.stdout).starts_with("● running for "), "{text:?}");
    let log = std::fs::read_to_string(setup.path().join("muster.log")).expect("the log");
    assert!(
        log.contains("ready: Muster is running") && log.contains("sinks=\"archive, arcsight, splunk\""),
        "{log}"
    );
    assert_eq!(log.matches("the tenant has been read for the first time").count(), 2, "{log}");

    running.start_kill().expect("killed");
    assert_eq!(running.wait().await.expect("ended").signal(), Some(9));
    assert_eq!(state().await, "died", "at once");
    let text = setup.muster(&["status"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("✗ NOTHING RUNS: it died, last sign of life "), "{text}");
    let (code, line) = check().await;
    assert!(code == 2 && line.contains("NOTHING RUNS: it died"), "{code} {line}");

    let mut running = setup.run();
    eventually("it runs again", async || state().await == "running").await;
    signal(&running, Signal::TERM);
    assert!(running.wait().await.expect("ended").success());
    assert_eq!(state().await, "stopped");

    std::fs::write(setup.path().join("muster.db"), "no database").expect("written");
    let (code, line) = check().await;
    assert!(code == 3 && line.starts_with("MUSTER UNKNOWN - "), "{code} {line}");
}

/// An app's secret ends, and a thousand tenants cannot be read any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trouble_of_a_thousand_tenants_with_one_cause_is_one_line() {
    let desk = Desk::new(Config { tenants: 1_000, alerts: Some(0), ..config() }).await;
    desk.setup.emulator.change(DirectoryChange::ExpireSecrets { app: None }).expect("changed");
    desk.bench.collect().await;
    let picture = desk.running().await;
    assert_eq!(picture.causes.len(), 1, "{:?}", picture.causes);
    let cause = &picture.causes[0];
    assert_eq!((cause.tenants, cause.sources), (1_000, 2_000));
    let line = muster::shown::cause::line(cause, picture.at);
    assert!(
        line.starts_with(
            "app `main`: the secret has expired; 2\u{2009}000 sources of 1\u{2009}000 tenants ("
        ),
        "{line}"
    );
    let metrics = muster::shown::telemetry::metrics();
    muster::shown::gauges::set(&picture);
    let text = metrics.render();
    let series: Vec<&str> =
        text.lines().filter(|line| line.starts_with("muster_trouble{about=\"app main\"")).collect();
    assert_eq!(series, ["muster_trouble{about=\"app main\",code=\"secret_expired\"} 1000"]);
    // However many tenants there are, so many have series of their own; those in trouble first.
    let mut mixed = picture.clone();
    for tenant in &mut mixed.tenants[..995] {
        tenant.standing = muster::shown::status::Standing::Active;
        tenant.checks.clear();
        tenant.sources.clear();
    }
    let text = muster::shown::tenant_series::write(&mixed, 10);
    assert!(text.contains("\nmuster_tenants_left_out 990\n"), "{text}");
    for tenant in &mixed.tenants[995..] {
        assert!(text.contains(&format!("muster_tenant_state{{tenant=\"{}\",", tenant.slug)), "{text}");
    }
    let shown = text.lines().filter(|line| line.starts_with("muster_tenant_state{")).count();
    assert!(shown == 10 && text.len() < 20_000, "{shown} of {} bytes", text.len());
    let all = muster::shown::tenant_series::write(&picture, 1_000);
    assert!(all.len() < 1_400_000 && all.contains("muster_tenants_left_out 0\n"), "{}", all.len());
    // That the log has one line, too, is tried in `told.rs`.
    let mut failing = picture.clone();
    failing.only_trouble();
    assert_eq!((failing.tenants.len(), failing.totals.tenants), (1_000, 1_000));
}
