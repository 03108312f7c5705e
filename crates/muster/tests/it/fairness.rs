//! One tenant's trouble delays no other. The whole program at work, in real time.

use std::time::Duration;

use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_model::Clock as _;
use muster_store::Store;

use crate::support::{Setup, config, eventually};

/// Throttled, revoked, stalled in the middle of a body, and with a backlog of thousands: the other tenants are read as
/// if nothing were. Their greatest lag is measured and printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_in_trouble_delay_no_other() {
    let setup = Setup::start(
        Config { tenants: 12, alerts: Some(300), ..config() },
        "[collect]\npoll_interval = \"500ms\"\nrequests_per_minute = 100000\n",
    )
    .await;
    let tenants = setup.emulator.tenants();
    let fault = |kind, tenant: usize| {
        let fault = Fault::new(
            if matches!(kind, FaultKind::RevokeTenant { .. }) { Area::Token } else { Area::Graph },
            kind,
        );
        setup.emulator.add_fault(fault.for_tenant(tenants[tenant].id.clone())).expect("a fault");
    };
    fault(FaultKind::Throttle { retry_after_seconds: 3_600 }, 0);
    fault(FaultKind::RevokeTenant { code: None }, 1);
    fault(FaultKind::Stall { after_bytes: None }, 2);
    fault(FaultKind::Stall { after_bytes: Some(100) }, 3);
    fault(FaultKind::Status { status: 500 }, 4);
    setup.emulator.add_alerts(&tenants[5].id, 3_000, None).expect("a backlog");
    let troubled: Vec<String> = tenants[..6].iter().map(|tenant| tenant.id.clone()).collect();

    let mut muster = setup.run();
    let store = setup.store().await;
    // The store's word for it: when each healthy source was last read to its end.
    let lag = async || {
        let states = store.source_states().await.expect("the store answers");
        let now = muster_model::SystemClock.now();
        states
            .iter()
            .filter(|state| !troubled.contains(&state.tenant.to_string()))
            .map(|state| state.last_success_at.map(|at| now.duration_since(at).as_secs_f64()))
            .collect::<Option<Vec<f64>>>()
    };
    eventually("the healthy tenants are read", async || lag().await.is_some()).await;
    let mut greatest: f64 = 0.0;
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..80 {
        looks.tick().await;
        greatest = lag().await.expect("all have been read").into_iter().fold(greatest, f64::max);
    }
    println!("greatest lag of healthy tenants, polled every 0.5 s, beside six in trouble: {greatest:.2} s");
    assert!(greatest < 5.0, "a healthy tenant waited {greatest:.1} s");

    let states = store.source_states().await.expect("the store answers");
    let error = |tenant: usize| {
        let of = |state: &&muster_store::SourceState| state.tenant.to_string() == tenants[tenant].id;
        states.iter().filter(of).find_map(|state| state.last_error.clone()).unwrap_or_default()
    };
    assert!(error(0).contains("throttled by Microsoft"), "{}", error(0));
    assert!(error(1).contains("AADSTS700016"), "{}", error(1));
    assert!(error(4).contains("status 500"), "{}", error(4));

    // Trouble over, they catch up by themselves.
    setup.emulator.clear_faults();
    let healed: Vec<String> = tenants[1..].iter().map(|tenant| tenant.id.clone()).collect();
    eventually("the tenants that were in trouble are read again", async || {
        setup.tallies().iter().all(|tally| {
            healed.iter().all(|tenant| tally.tenants.get(tenant).is_some_and(|tenant| tenant.lost == 0))
        })
    })
    .await;
    muster.kill().await.expect("killed");
}

/// A hundred tenants whose servers accept and say nothing, and four whose bodies come a byte at a time: the others' lag
/// stays what the interval makes it. Their greatest lag is measured and printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_trickling_tenants_delay_no_other() {
    const INTERVAL: f64 = 5.0;
    let setup = Setup::start(
        Config { tenants: 112, alerts: Some(400), ..config() },
        "[collect]\npoll_interval = \"5s\"\npoll_interval_quiet = \"5s\"\n\
         [network]\nidle_timeout = \"60s\"\ntotal_timeout = \"60s\"\n",
    )
    .await;
    let tenants = setup.emulator.tenants();
    let mut muster = setup.run();
    let store = setup.store().await;
    all_are_read(&*store).await;
    for (place, tenant) in tenants[..104].iter().enumerate() {
        let kind = match place {
            0..4 => FaultKind::Trickle { bytes_per_second: 1 },
            _ => FaultKind::Stall { after_bytes: None },
        };
        let fault = Fault::new(Area::Graph, kind).for_tenant(tenant.id.clone());
        setup.emulator.add_fault(fault).expect("a fault");
    }
    let troubled: Vec<&str> = tenants[..104].iter().map(|tenant| tenant.id.as_str()).collect();
    let greatest = greatest_lag(&*store, &troubled, Duration::from_secs(35)).await;
    println!(
        "greatest lag of healthy tenants, polled every 5 s, beside 104 hung or trickling: {greatest:.2} s"
    );
    assert!(greatest < 2.0 * INTERVAL, "a healthy tenant waited {greatest:.1} s");
    let states = store.source_states().await.expect("the store answers");
    let slow = states.iter().filter(|state| {
        state.last_error.as_deref().is_some_and(|error| error.contains("too slow to wait for"))
    });
    assert!(slow.count() >= 4, "those that trickle are told");
    muster.kill().await.expect("killed");
}

/// Waits until every source of every tenant has been read to its end once.
async fn all_are_read(store: &dyn Store) {
    let all = store.source_states().await.expect("the store answers").len();
    eventually("all tenants are read", async || {
        let states = store.source_states().await.expect("the store answers");
        states.iter().filter(|state| state.last_success_at.is_some()).count() == all
    })
    .await;
}

/// The greatest lag of tenants that are not in trouble, looked at four times a second for a while, in seconds.
async fn greatest_lag(store: &dyn Store, troubled: &[&str], during: Duration) -> f64 {
    let until = tokio::time::Instant::now() + during;
    let mut looks = tokio::time::interval(Duration::from_millis(250));
    let mut greatest: f64 = 0.0;
    while looks.tick().await < until {
        let states = store.source_states().await.expect("the store answers");
        let now = muster_model::SystemClock.now();
        let healthy = states.iter().filter(|state| !troubled.contains(&state.tenant.to_string().as_str()));
        let lags = healthy
            .map(|state| now.duration_since(state.last_success_at.expect("it has been read")).as_secs_f64());
        greatest = lags.fold(greatest, f64::max);
    }
    greatest
}

/// The figure for the documents: 2,000 tenants, of which one has 50,000 alerts at once and 50 are broken in ten ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run it for the figure: cargo test --release -p muster --test it two_thousand -- --ignored --nocapture"]
async fn two_thousand_tenants_beside_one_with_fifty_thousand_alerts_and_fifty_broken() {
    const INTERVAL: f64 = 60.0;
    let setup = Setup::start(
        Config { tenants: 2_000, alerts: Some(4_000), ..config() },
        "[collect]\npoll_interval = \"60s\"\npoll_interval_quiet = \"60s\"\n\
         [network]\nidle_timeout = \"30s\"\ntotal_timeout = \"120s\"\n",
    )
    .await;
    let tenants = setup.emulator.tenants();
    let mut muster = setup.run();
    let store = setup.store().await;
    all_are_read(&*store).await;
    let ways = [
        FaultKind::Stall { after_bytes: None },
        FaultKind::Stall { after_bytes: Some(100) },
        FaultKind::Trickle { bytes_per_second: 1 },
        FaultKind::Reset,
        FaultKind::Status { status: 500 },
        FaultKind::ThrottleWith { retry_after: Some("0".to_owned()) },
        FaultKind::HtmlStatus { status: 403 },
        FaultKind::Bomb { megabytes: 100 },
        FaultKind::Oversized { megabytes: 40 },
        FaultKind::EmptyPages { pages: 300 },
    ];
    for (tenant, kind) in tenants[..50].iter().zip(ways.iter().cycle()) {
        let fault = Fault::new(Area::Graph, kind.clone()).for_tenant(tenant.id.clone());
        setup.emulator.add_fault(fault).expect("a fault");
    }
    setup.emulator.add_alerts(&tenants[50].id, 50_000, None).expect("a backlog");
    let troubled: Vec<&str> = tenants[..51].iter().map(|tenant| tenant.id.as_str()).collect();
    let greatest = greatest_lag(&*store, &troubled, Duration::from_secs(240)).await;
    println!("greatest lag of 1,949 healthy tenants, polled every 60 s: {greatest:.2} s");
    assert!(greatest < 2.0 * INTERVAL, "a healthy tenant waited {greatest:.1} s");
    muster.kill().await.expect("killed");
}
