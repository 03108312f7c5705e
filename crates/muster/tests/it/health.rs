//! `/readyz`: what it says of a store that is gone, and of work that nobody does.

use std::sync::Arc;
use std::time::Duration;

use muster::heartbeat::Heart;
use muster::shown::status::Expected;
use muster::shown::telemetry;
use muster::web::server::{self, Served};
use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_model::Clock;
use muster_store::InstanceId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, Setup, ask, config, eventually};

/// Lets a process write nothing into files, as a disk that fails; or whatever it likes.
pub(crate) fn let_write(child: &tokio::process::Child, may: bool) {
    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
    let limit = rustix::process::Rlimit { current: (!may).then_some(0), maximum: None };
    rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).expect("limited");
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
    bound.expect("a port").port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_not_ready_while_nobody_reads_or_delivers_what_is_due() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(12), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let heart = Heart::new(&bench.store, &clock, InstanceId(uuid::Uuid::from_u128(1)));
    let (_expects, expected) = watch::channel(Expected::of(&setup.settings()));
    let served = Served {
        store: Arc::clone(&bench.store),
        metrics: telemetry::metrics(),
        clock: Arc::clone(&clock),
        pulse: heart.pulse(),
        expected,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let address = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    let stop = CancellationToken::new();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(server::serve(listener, served, 16, stop.clone()));
    let ready = async || ask("GET", &address, &[], "").await;

    assert_eq!(ready().await, (200, "ready\n".to_owned()));
    bench.pass(301);
    let (status, why) = ready().await;
    assert!(status == 503 && why.starts_with("not ready: sources are due for 5m"), "{status} {why}");
    bench.collect().await;
    assert_eq!(ready().await, (200, "ready\n".to_owned()));
    bench.pass(302);
    bench.collect().await;
    let (status, why) = ready().await;
    assert!(
        status == 503 && why.starts_with("not ready: deliveries to sink `archive` are due for 5m"),
        "{status} {why}"
    );
    bench.deliver().await;
    assert_eq!(ready().await, (200, "ready\n".to_owned()));
    stop.cancel();
    serving.join_next().await.expect("it serves").expect("it stops");
}

/// The store's file is away and comes back, as a mount may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_not_ready_while_the_store_is_gone_and_goes_on_when_it_is_back() {
    let port = free_port();
    let server = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    let setup = Setup::start(Config { tenants: 2, alerts: Some(10), ..config() }, &server).await;
    let _running = setup.run();
    let address = format!("http://127.0.0.1:{port}/readyz");
    eventually("all has arrived", async || setup.lost() == 0).await;
    assert_eq!(ask("GET", &address, &[], "").await.0, 200);

    let (here, away) = (setup.path().join("muster.db"), setup.path().join("away.db"));
    std::fs::rename(&here, &away).expect("moved");
    let (status, why) = ask("GET", &address, &[], "").await;
    assert!(status == 503 && why.contains("the store is not there any more"), "{status} {why}");
    std::fs::rename(&away, &here).expect("moved back");
    eventually("it is ready again", async || ask("GET", &address, &[], "").await.0 == 200).await;
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 3, None).expect("new alerts");
    eventually("new alerts arrive", async || setup.lost() == 0).await;
    setup.assert_all_arrived_once();
}

/// Nothing can be written while sources are being read: when it can again, they are read on at once, and not when leases
/// have run out that could not be given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_at_once_when_the_disk_can_be_written_again() {
    let port = free_port();
    let server = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    let setup = Setup::start(Config { tenants: 2, alerts: Some(10), ..config() }, &server).await;
    // Who writes beyond the limit is killed unless it does not listen.
    let running = tokio::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --config \"$1\" run", env!("CARGO_BIN_EXE_muster")])
        .arg(setup.settings_path())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("muster starts");
    let address = format!("http://127.0.0.1:{port}/readyz");
    eventually("all has arrived", async || setup.lost() == 0).await;
    setup
        .emulator
        .add_fault(Fault::new(Area::Graph, FaultKind::Slow { milliseconds: 2_000 }))
        .expect("a fault");
    // Every source is asked for, and none has been answered.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let_write(&running, false);
    eventually("it is not ready", async || ask("GET", &address, &[], "").await.0 == 503).await;
    let (_, why) = ask("GET", &address, &[], "").await;
    assert!(why.contains("the disk that holds the store fails"), "{why}");
    tokio::time::sleep(Duration::from_secs(4)).await;

    setup.emulator.clear_faults();
    let_write(&running, true);
    let store = setup.store().await;
    let well_at = muster_model::SystemClock.now();
    for tenant in setup.emulator.tenants() {
        setup.emulator.add_alerts(&tenant.id, 3, None).expect("new alerts");
    }
    eventually("every source is read", async || {
        let states = store.source_states().await.expect("the store answers");
        states.len() == 4 && states.iter().all(|state| state.last_success_at.is_some_and(|at| at > well_at))
    })
    .await;
    eventually("new alerts arrive", async || setup.lost() == 0).await;
    assert_eq!(ask("GET", &address, &[], "").await.0, 200);
}
