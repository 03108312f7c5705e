//! What happens when a sink is down: it holds up no other, nothing is lost, and it catches up by itself.

use muster_emulator::{Area, Config, Fault, FaultKind};

use crate::support::{Bench, Setup, config, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_down_for_a_day_holds_up_no_other_and_catches_up() {
    let setup = Setup::start(Config { alerts: Some(60), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::Down)).expect("a fault");
    let day_seconds = 24 * 3_600;
    let steps = 96;
    for _ in 0..steps {
        bench.collect().await;
        bench.deliver().await;
        let [splunk, arcsight, file] = setup.tallies();
        assert_eq!((arcsight.lost, file.lost), (0, 0), "the other sinks have everything at once");
        assert_eq!(splunk.received, 0);
        setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 1, None).expect("new alerts");
        bench.pass(day_seconds / steps);
    }
    let totals = bench.store.sink_totals().await.expect("the store answers");
    let splunk = totals.iter().find(|sink| sink.sink == "splunk").expect("a sink");
    assert!(splunk.owed > 60, "{splunk:?}");
    assert!(splunk.last_error.as_deref().is_some_and(|error| error.contains("splunk")), "{splunk:?}");

    setup.emulator.clear_faults();
    bench.rounds(2).await;
    setup.assert_all_arrived_once();
    let totals = bench.store.sink_totals().await.expect("the store answers");
    assert!(totals.iter().all(|sink| sink.owed == 0 && sink.last_error.is_none()), "{totals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_splunk_is_waited_for() {
    let setup = Setup::start(Config { alerts: Some(30), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::Status { status: 503 })).expect("a fault");
    bench.rounds(3).await;
    assert_eq!(setup.tallies()[0].received, 0);
    setup.emulator.clear_faults();
    bench.rounds(2).await;
    setup.assert_all_arrived_once();
}

/// A receiver that dies in the middle of a delivery batch has not confirmed it: all of it is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_syslog_receiver_that_dies_in_the_middle_gets_all_again() {
    let setup = Setup::start(Config { alerts: Some(80), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    setup
        .emulator
        .add_fault(Fault::new(Area::Syslog, FaultKind::Cut { after_bytes: 20_000 }))
        .expect("a fault");
    bench.rounds(2).await;
    setup.emulator.clear_faults();
    bench.rounds(2).await;
    let [_, arcsight, _] = setup.tallies();
    assert_eq!((arcsight.lost, arcsight.unknown, arcsight.unreadable), (0, 0, 0), "{arcsight:?}");
}

/// A CA file that is none and a folder that is gone take down their sinks and nothing else. What is owed to them waits, and
/// goes out when they are mended, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_cannot_be_opened_is_down_alone_until_it_is_mended() {
    let second = "[sinks.second]\ntype = \"file\"\npath = \"later/second.ndjson\"\n\n\
                  [[routes]]\nsinks = [\"second\"]\n";
    let setup = Setup::start(Config { alerts: Some(30), ..config() }, second).await;
    let ca = std::fs::read(setup.path().join("ca.pem")).expect("a CA file");
    std::fs::write(setup.path().join("ca.pem"), "").expect("written");
    let bench = Bench::new(&setup).await;
    bench.rounds(2).await;
    let [splunk, arcsight, file] = setup.tallies();
    assert_eq!((splunk.lost, file.lost), (0, 0), "the others have everything");
    assert_eq!(arcsight.received, 0);
    let down = bench.troubles.all();
    let down: Vec<_> = down.iter().map(|down| (down.part.as_str(), down.reason.as_str())).collect();
    assert!(
        matches!(down[..], [("sink arcsight", ca), ("sink second", folder)]
        if ca.contains("ca.pem holds no certificate") && folder.contains("later does not exist")),
        "{down:?}"
    );
    let totals = bench.store.sink_totals().await.expect("the store answers");
    for name in ["arcsight", "second"] {
        let sink = totals.iter().find(|sink| sink.sink == name).expect("a sink");
        assert!(sink.owed > 0 && sink.last_error.is_some(), "{sink:?}");
    }

    std::fs::write(setup.path().join("ca.pem"), ca).expect("written");
    std::fs::create_dir(setup.path().join("later")).expect("a folder");
    bench.rounds(2).await;
    setup.assert_all_arrived_once();
    let lines =
        |name: &str| std::fs::read_to_string(setup.path().join(name)).expect("a file").lines().count();
    assert_eq!(lines("later/second.ndjson"), lines("archive.ndjson"));
    assert!(bench.troubles.all().is_empty());
    let totals = bench.store.sink_totals().await.expect("the store answers");
    assert!(totals.iter().all(|sink| sink.owed == 0 && sink.last_error.is_none()), "{totals:?}");
}

/// One that cannot be opened and one that takes nothing: each is one line in the log, however many tenants wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_down_is_one_line_in_the_log() {
    let second = "[sinks.second]\ntype = \"file\"\npath = \"later/second.ndjson\"\n\n\
                  [[routes]]\nsinks = [\"second\"]\n";
    let setup = Setup::start(Config { tenants: 5, alerts: Some(40), ..config() }, second).await;
    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::Down)).expect("a fault");
    let _running = setup.run();
    let store = setup.store().await;
    eventually("all tenants wait for both", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        let waits = |name: &str| totals.iter().any(|sink| sink.sink == name && sink.failing == 5);
        waits("splunk") && waits("second")
    })
    .await;
    let log = std::fs::read_to_string(setup.path().join("muster.log")).expect("the log");
    for (name, says) in [("splunk", "takes no records now"), ("second", "the sink is down")] {
        let bad = log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR"));
        let lines: Vec<&str> = bad.filter(|line| line.contains(name)).collect();
        assert!(lines.len() == 1 && lines[0].contains(says), "{name}: {lines:#?}");
    }
}
