//! How much memory the whole program takes for what is large. Not run with the others: the figure is for the documents.

use std::fmt::Write as _;
use std::time::Duration;

use muster_emulator::{Config, WorldChange};
use muster_model::Clock as _;

use crate::support::{Setup, config, eventually, peak_rss_mb};

/// 10,000 alerts of 20 kB at once, and 50 incidents with 400 alerts each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run it for the figure: cargo test --release -p muster --test it large_records -- --ignored --nocapture"]
async fn large_records_of_both_sources() {
    let records = tempfile::tempdir().expect("a folder");
    let now = muster_model::SystemClock.now();
    let mut text = String::new();
    for number in 0..10_000_u32 {
        let at = now - Duration::from_millis(u64::from(number) * 97);
        // Text that does not repeat within a record.
        let words: String = (0..2_400).fold(String::new(), |mut words, word: u32| {
            write!(words, "{:07x} ", word.wrapping_mul(2_654_435_761) ^ number).expect("a text");
            words
        });
        writeln!(
            text,
            r#"{{"id":"da{number}","createdDateTime":"{at}","lastUpdateDateTime":"{at}","severity":"high","status":"new","serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus","title":"Large","description":"{words}","evidence":[]}}"#
        )
        .expect("a text");
    }
    std::fs::write(records.path().join("alerts.ndjson"), &text).expect("written");
    let bytes = text.len();
    drop(text);
    let setup = Setup::start(
        Config { tenants: 2, records: Some(records.path().to_owned()), strict: true, ..config() },
        "",
    )
    .await;
    let tenant = setup.emulator.tenants()[1].id.clone();
    for _ in 0..50 {
        let incident = WorldChange::AddIncident { tenant: tenant.clone(), alerts: 400 };
        setup.emulator.change_world(&incident).expect("an incident");
    }
    let mut muster = setup.run();
    let store = setup.store().await;
    eventually("everything is read", async || {
        let states = store.source_states().await.expect("the store answers");
        states.iter().all(|state| state.last_success_at.is_some())
    })
    .await;
    // The file's lines do not say whose they are: that nothing is owed must do for it.
    eventually("everything is delivered", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        totals.iter().all(|sink| sink.owed == 0) && setup.emulator.tally().lost == 0
    })
    .await;
    let peak = peak_rss_mb(muster.id().expect("it runs"));
    let accepted: u64 =
        store.source_states().await.expect("the store answers").iter().map(|state| state.accepted).sum();
    println!("{accepted} records; {:.0} MB of large alerts; peak memory {peak:.0} MB", bytes as f64 / 1e6);
    muster.kill().await.expect("killed");
}
