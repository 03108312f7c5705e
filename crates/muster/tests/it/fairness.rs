//! One tenant's trouble delays no other. The whole program at work, in real time.

use std::time::Duration;

use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_model::Clock as _;

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
