//! `muster backfill`: the real program, killed on the way.

use std::time::Duration;

use muster_emulator::Config;

use crate::support::{Setup, config, eventually};

async fn old_records() -> Setup {
    let month = Duration::from_secs(30 * 86_400);
    let config =
        Config { tenants: 1, alerts: Some(4_000), history: month, update_share: Some(0.0), ..config() };
    Setup::start(config, "[collect]\nbackfill = \"1h\"\nrequests_per_minute = 100000\n").await
}

async fn slug(setup: &Setup) -> String {
    setup.store().await.tenants().await.expect("tenants")[0].slug.to_string()
}

async fn is_listed(setup: &Setup) -> bool {
    let listed = setup.muster(&["--output", "json", "backfill", "list"]).await;
    assert!(listed.status.success(), "{listed:?}");
    serde_json::from_slice::<Vec<serde_json::Value>>(&listed.stdout).is_ok_and(|rows| !rows.is_empty())
}

/// Begun while `run` runs, which is killed again and again: in the end everything has arrived, and the file has it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_survives_kills_and_doubles_nothing() {
    let setup = old_records().await;
    let mut muster = setup.run();
    let store = setup.store().await;
    eventually("the source is read", async || {
        let states = store.source_states().await.expect("the store answers");
        states.iter().all(|state| state.last_success_at.is_some())
    })
    .await;
    assert!(setup.lost() > 3_000, "only the last hour was read: {}", setup.lost());
    let slug = slug(&setup).await;
    let begun = setup.muster(&["backfill", "--tenant", &slug, "--since", "31d"]).await;
    assert!(begun.status.success(), "{begun:?}");
    let again = setup.muster(&["backfill", "--tenant", &slug, "--since", "31d"]).await;
    assert!(!again.status.success() || !is_listed(&setup).await, "one at a time: {again:?}");
    for wait in [20, 60, 120, 200] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        muster.kill().await.expect("killed");
        muster = setup.run();
    }
    eventually("all of it arrives", async || setup.lost() == 0).await;
    eventually("it is over", async || !is_listed(&setup).await).await;
    muster.kill().await.expect("killed");
    let [_, _, file] = setup.tallies();
    assert_eq!((file.lost, file.doubled, file.unknown), (0, 0, 0), "{file:?}");
}

/// Where nothing runs, the command reads by itself; what is asked for from before Microsoft's retention is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_reads_by_itself_where_nothing_runs() {
    let setup = old_records().await;
    let slug = slug(&setup).await;
    let done =
        setup.muster(&["backfill", "--tenant", &slug, "--source", "graph_alerts", "--since", "400d"]).await;
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("keeps records of graph_alerts for 180 days"), "{said}");
    assert!(said.contains("no `muster run` is at work"), "{said}");
    assert!(!is_listed(&setup).await);
    let states = setup.store().await.source_states().await.expect("the store answers");
    let accepted =
        states.iter().find(|state| state.source.as_str() == "graph_alerts").map(|state| state.accepted);
    assert!(accepted >= Some(4_000), "{accepted:?}");
    let listed = setup.muster(&["backfill", "list"]).await;
    assert!(String::from_utf8_lossy(&listed.stdout).contains("no backfill is under way"));
    let cancelled = setup.muster(&["backfill", "cancel", "--tenant", &slug]).await;
    assert_eq!(cancelled.status.code(), Some(5), "{cancelled:?}");
    let wrong = setup.muster(&["backfill", "--tenant", &slug, "--since", "1h", "--until", "2h"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
