//! Recorded alerts and incidents that nobody here wrote. They are not part of this repository; where they are not
//! beside it, the test says so.

use std::path::Path;

use muster_emulator::Config;

use crate::support::{Bench, Setup, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_alert_and_incident_reaches_every_sink() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if !corpus.is_dir() {
        println!("skipped: there are no recordings at {}", corpus.display());
        return;
    }
    let setup = Setup::start(
        Config { tenants: 1, records: Some(corpus), ..config() },
        "[collect]\nbackfill = \"5000d\"\n\n[sinks.events]\ntype = \"file\"\npath = \"events.ndjson\"\nformat = \"splunk\"\n\n[[routes]]\nsinks = [\"events\"]\n",
    )
    .await;
    let bench = Bench::new(&setup).await;
    bench.rounds(3).await;
    let produced = setup.emulator.produced_counts();
    println!(
        "recorded: {} alerts, {} incidents; not of Graph's shape: {} files",
        produced.alerts,
        produced.incidents,
        setup.emulator.skipped_records().len()
    );
    assert!(produced.alerts >= 5 && produced.incidents >= 5, "{produced:?}");
    assert_eq!(bench.errors().await, Vec::<String>::new());
    assert_eq!(bench.dead_letters().await, Vec::<String>::new());
    let totals = bench.store.sink_totals().await.expect("the store answers");
    assert_eq!(totals.len(), 4);
    // The same alert was recorded more than once; each recording that differs is a version of its own.
    for sink in totals {
        assert!(sink.delivered >= produced.alerts + produced.incidents, "{sink:?}");
        assert_eq!((sink.owed, sink.rejected), (0, 0), "{}", sink.sink);
    }
}
