//! Every sink through every trouble: one matrix, printed by the test run.
//!
//! For each cell: how many records were lost, came twice, and became dead letters. Lost is what no sink has and no dead letter
//! holds.

use std::time::Duration;

use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_store::DeadLetterOrigin;

use crate::support::{Bench, Setup, config, eventually};

const SINKS: [&str; 3] = ["splunk", "arcsight", "archive"];

/// What one sink has in the end.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    lost: u64,
    doubled: u64,
    dead_letters: u64,
}

struct Row {
    trouble: &'static str,
    /// `None` where a sink of that kind cannot have the trouble.
    cells: [Option<Cell>; 3],
}

async fn setup(alerts: u64) -> Setup {
    let setup = Setup::start(Config { tenants: 3, alerts: Some(alerts), ..config() }, "").await;
    let path = setup.settings_path();
    let settings = std::fs::read_to_string(&path).expect("the settings");
    // A receiver that never closes is waited for in real time.
    let settings =
        settings.replacen("[sinks.arcsight]\ntimeout = \"10s\"", "[sinks.arcsight]\ntimeout = \"1s\"", 1);
    std::fs::write(&path, settings).expect("written");
    setup
}

fn fault(setup: &Setup, area: Area, kind: FaultKind) {
    setup.emulator.add_fault(Fault::new(area, kind)).expect("a fault");
}

/// What the sinks have, once nothing is owed any more.
async fn cells(setup: &Setup, bench: &Bench) -> [Option<Cell>; 3] {
    for _ in 0..40 {
        bench.rounds(1).await;
        let totals = bench.store.sink_totals().await.expect("the store answers");
        if totals.iter().all(|sink| sink.owed == 0) {
            break;
        }
        bench.pass(120);
    }
    let totals = bench.store.sink_totals().await.expect("the store answers");
    assert!(totals.iter().all(|sink| sink.owed == 0), "something is owed for ever: {totals:?}");
    let letters = bench.store.dead_letters(None, 10_000).await.expect("the store answers");
    let of = |name: &str| {
        let is_of =
            |origin: &DeadLetterOrigin| matches!(origin, DeadLetterOrigin::Sink { sink, .. } if sink == name);
        letters.iter().filter(|letter| is_of(&letter.origin)).count() as u64
    };
    let mut tallies = setup.tallies().into_iter();
    SINKS.map(|name| {
        let (tally, dead_letters) = (tallies.next()?, of(name));
        Some(Cell { lost: tally.lost.saturating_sub(dead_letters), doubled: tally.doubled, dead_letters })
    })
}

/// Troubles of the receivers until they are over.
async fn troubled(
    trouble: &'static str,
    hec: Option<FaultKind>,
    syslog: Option<FaultKind>,
    rounds: u32,
) -> Row {
    let setup = setup(60).await;
    let bench = Bench::new(&setup).await;
    let (has_hec, has_syslog) = (hec.is_some(), syslog.is_some());
    hec.into_iter().for_each(|kind| fault(&setup, Area::Hec, kind));
    syslog.into_iter().for_each(|kind| fault(&setup, Area::Syslog, kind));
    for _ in 0..rounds {
        bench.rounds(1).await;
        setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 1, None).expect("a new alert");
    }
    setup.emulator.clear_faults();
    let [splunk, arcsight, _] = cells(&setup, &bench).await;
    Row { trouble, cells: [splunk.filter(|_| has_hec), arcsight.filter(|_| has_syslog), None] }
}

async fn poisoned() -> Row {
    let setup = setup(100).await;
    let bench = Bench::new(&setup).await;
    fault(&setup, Area::Hec, FaultKind::Firewall { status: 403, one_event_in: 25 });
    let [splunk, _, _] = cells(&setup, &bench).await;
    Row { trouble: "one poisonous event in 25", cells: [splunk, None, None] }
}

async fn flapping() -> Row {
    let setup = setup(60).await;
    let bench = Bench::new(&setup).await;
    let folder = setup.path().to_owned();
    for flap in 0..8 {
        if flap % 2 == 0 {
            fault(&setup, Area::Hec, FaultKind::Down);
            fault(&setup, Area::Syslog, FaultKind::Down);
        } else {
            setup.emulator.clear_faults();
        }
        // Somebody moves the file away, now and then.
        if flap % 3 == 1 && folder.join("archive.ndjson").exists() {
            let aside = folder.join(format!("archive-moved-{flap}.ndjson"));
            std::fs::rename(folder.join("archive.ndjson"), aside).expect("moved");
        }
        setup.emulator.add_alerts(&setup.emulator.tenants()[1].id, 3, None).expect("new alerts");
        bench.rounds(1).await;
    }
    setup.emulator.clear_faults();
    Row { trouble: "flapping; the file is moved away", cells: cells(&setup, &bench).await }
}

async fn killed() -> Row {
    let setup = setup(400).await;
    for _ in 0..6 {
        let mut muster = setup.run();
        let before = setup.tallies()[0].received;
        eventually("it has sent something, or has done all", async || {
            setup.tallies()[0].received > before || setup.lost() == 0
        })
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        muster.kill().await.expect("killed");
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 10, None).expect("new alerts");
        }
    }
    let bench = Bench::new(&setup).await;
    // The leases of the last one that was killed.
    bench.pass(700);
    let cells = cells(&setup, &bench).await;
    // What came twice at Splunk was in requests that were not in the store yet when it was killed, and in no others.
    assert_eq!(setup.emulator.receivers().hec_doubled().not_yet, 0);
    Row { trouble: "kill -9 under load, six times", cells }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sink_goes_through_every_trouble_without_loss() {
    let down = || Some(FaultKind::Down);
    let rows = [
        killed().await,
        troubled("down for a long time", down(), down(), 12).await,
        flapping().await,
        troubled(
            "partial failure",
            Some(FaultKind::Unreliable { busy_one_in: 3, lost_one_in: 4 }),
            Some(FaultKind::Cut { after_bytes: 40_000 }),
            4,
        )
        .await,
        troubled(
            "never acknowledging",
            Some(FaultKind::NeverAcknowledge),
            Some(FaultKind::NeverAcknowledge),
            2,
        )
        .await,
        troubled("wrong credentials", Some(FaultKind::Status { status: 403 }), None, 4).await,
        poisoned().await,
        troubled("everything refused", Some(FaultKind::Firewall { status: 403, one_event_in: 0 }), None, 4)
            .await,
    ];
    println!(
        "{:34} {:>24} {:>24} {:>24}",
        "lost / doubled / dead letters", "splunk_hec", "syslog (tls)", "file"
    );
    for Row { trouble, cells } in &rows {
        let [splunk, arcsight, file] = cells.map(|cell| match cell {
            None => "cannot be".to_owned(),
            Some(Cell { lost, doubled, dead_letters }) => format!("{lost} / {doubled} / {dead_letters}"),
        });
        println!("{trouble:34} {splunk:>24} {arcsight:>24} {file:>24}");
    }
    for Row { trouble, cells } in &rows {
        for (sink, cell) in SINKS.iter().zip(cells) {
            let Some(Cell { lost, doubled, dead_letters }) = cell else { continue };
            assert_eq!(*lost, 0, "{sink}, {trouble}");
            let may_double = ["kill -9 under load, six times", "partial failure", "never acknowledging"];
            assert!(
                *doubled == 0 || *sink != "archive" && may_double.contains(trouble),
                "{sink}, {trouble}: {doubled}"
            );
            assert!(*dead_letters == 0 || trouble.contains("poisonous"), "{sink}, {trouble}: {dead_letters}");
        }
    }
}
