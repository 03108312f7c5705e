//! Recorded alerts and incidents that nobody here wrote. They are not part of this repository; where they are not
//! beside it, the test says so, or fails with `MUSTER_REQUIRE_CORPUS=1`.

use std::path::{Path, PathBuf};

use muster_emulator::Config;

use crate::brokers::environment;
use crate::support::{Bench, Setup, config};

/// A folder of the recordings; none where it is not there, which the test says, or which fails it.
pub(crate) fn recorded(folder: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus").join(folder);
    if found.is_dir() {
        return Some(found);
    }
    let missing = format!("there are no recordings at {}", found.display());
    assert!(environment("MUSTER_REQUIRE_CORPUS").is_none_or(|value| value != "1"), "{missing}");
    println!("skipped: {missing}");
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_alert_and_incident_reaches_every_sink() {
    let Some(corpus) = recorded("") else { return };
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
