//! The whole product against a data collection rule of the emulator's, which leaves out, cuts and counts in silence, through every
//! trouble: what was lost, what came twice and how much of that the lost answers explain, and that no field was ever cut.

use std::collections::BTreeMap;

use muster_emulator::receivers::{IngestTally, ReceiverTally};
use muster_emulator::{Area, Config, Fault, FaultKind, loopback};
use muster_siem::sinks::SENTINEL_COLUMNS;
use serde_json::Value;

use crate::python_receiver::be_impatient;
use crate::support::{Bench, Setup, config, eventually};

/// A rule that declares what `muster siem-config sentinel` prints, and nothing else. Some alerts are half a megabyte large.
async fn start(alerts: u64) -> Setup {
    let wanted = Config { ingest: Some(loopback()), alerts: Some(alerts), large_one_in: 20, ..config() };
    let setup = Setup::start(wanted, "").await;
    let folder = setup.path().join("azure");
    let printed =
        setup.muster(&["siem-config", "sentinel", "--folder", folder.to_str().expect("UTF-8")]).await;
    assert!(printed.status.success(), "{printed:?}");
    let template = std::fs::read(folder.join("sentinel-sentinel.json")).expect("a template");
    let template: Value = serde_json::from_slice(&template).expect("JSON");
    let columns = |list: &Value| -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let list = list.as_array().expect("columns");
        list.iter().map(|column| (text(&column["name"]), text(&column["type"]))).collect()
    };
    let resources = &template["resources"];
    let declared = columns(&resources[1]["properties"]["streamDeclarations"]["Custom-Muster_CL"]["columns"]);
    assert_eq!(columns(&resources[0]["properties"]["schema"]["columns"]), declared);
    let written: BTreeMap<String, String> = SENTINEL_COLUMNS
        .iter()
        .map(|column| (column.name.to_owned(), column.holds.as_str().to_owned()))
        .collect();
    assert_eq!(declared, written);
    let function = std::fs::read_to_string(folder.join("sentinel-sentinel.kql")).expect("a function");
    for name in
        function.split("by ").skip(1).filter_map(|rest| rest.lines().next()).flat_map(|by| by.split(", "))
    {
        assert!(declared.contains_key(name), "the function groups by `{name}`, which is no column");
    }
    setup.emulator.receivers().declare_columns(declared.into_keys());
    setup
}

fn tally(setup: &Setup) -> ReceiverTally {
    let receivers = setup.emulator.tally().receivers;
    receivers.into_iter().find(|receiver| receiver.receiver == "ingest").expect("a receiver")
}

fn silent(setup: &Setup) -> IngestTally {
    setup.emulator.receivers().ingest_tally().expect("a rule")
}

fn fault(setup: &Setup, kind: FaultKind) {
    setup.emulator.add_fault(Fault::new(Area::Ingest, kind)).expect("a fault");
}

/// The records that the store calls delivered, and the dead letters, of this sink.
async fn settled(setup: &Setup) -> (u64, u64) {
    let store = setup.store().await;
    let totals = store.sink_totals().await.expect("the store answers");
    let delivered = totals.iter().find(|sink| sink.sink == "sentinel").map_or(0, |sink| sink.delivered);
    let letters = store.dead_letters(None, 10_000).await.expect("the store answers");
    let letters = letters.iter().filter(|letter| format!("{:?}", letter.origin).contains("\"sentinel\""));
    let counted = (delivered, letters.count() as u64);
    store.close().await;
    counted
}

/// Prints a row of the matrix, and checks what must be so whatever happened.
async fn told(setup: &Setup, trouble: &str) -> (ReceiverTally, u64) {
    let (tally, silent, (delivered, letters)) = (tally(setup), silent(setup), settled(setup).await);
    let lost = tally.lost.saturating_sub(letters);
    println!("matrix: sentinel × {trouble}: lost {lost}, doubled {}, dead letters {letters}", tally.doubled);
    println!(
        "        {} rows, {} of them again, {} taken by requests whose answer was lost",
        silent.rows, silent.doubled_rows, silent.unanswered_rows
    );
    assert_eq!((lost, tally.unknown, tally.unreadable), (0, 0, 0), "{tally:?}");
    assert_eq!((silent.dropped_fields, silent.truncated_fields, silent.too_large), (0, 0, 0), "{silent:?}");
    assert_eq!(tally.received - tally.doubled, delivered, "what is delivered is there, and nothing else");
    (tally, letters)
}

/// Goes on until nothing is owed.
async fn settle(bench: &Bench) {
    for _ in 0..40 {
        bench.rounds(1).await;
        let totals = bench.store.sink_totals().await.expect("the store answers");
        if totals.iter().all(|sink| sink.owed == 0) {
            return;
        }
        bench.pass(120);
    }
    panic!("something is owed for ever: {:?}", bench.store.sink_totals().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_nothing_is_lost_and_doubles_are_what_had_no_answer() {
    let setup = start(400).await;
    let tested = setup.muster(&["sink", "test", "sentinel"]).await;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success() && said.contains("takes the token of app `main`"), "{said}");
    assert_eq!(silent(&setup).rows, 0, "a test sends no row");
    be_impatient(&setup);
    // Answers are late, so that kills meet requests on their way.
    fault(&setup, FaultKind::Slow { milliseconds: 20 });
    let mut unsettled = 0;
    for _ in 0..6 {
        let mut muster = setup.run();
        let before = silent(&setup).rows;
        eventually("it has sent something, or has done all", async || {
            silent(&setup).rows > before || setup.lost() == 0
        })
        .await;
        muster.kill().await.expect("killed");
        let there = tally(&setup);
        unsettled += (there.received - there.doubled).saturating_sub(settled(&setup).await.0);
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 10, None).expect("new alerts");
        }
    }
    let mut muster = setup.run();
    let store = setup.store().await;
    eventually("all that was produced arrives", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        setup.lost() == 0 && totals.iter().all(|sink| sink.owed == 0)
    })
    .await;
    muster.kill().await.expect("killed");
    let (tally, letters) = told(&setup, "kill -9 under load, six times").await;
    assert!(letters == 0 && tally.doubled <= unsettled, "{} doubled, {unsettled} unsettled", tally.doubled);
    assert!(silent(&setup).rows > tally.received, "some records are several rows");
}

/// Answers are lost, the rule is gone for a while, one record in 25 is refused, the role has not spread, everything is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_every_trouble_nothing_is_lost() {
    let during = async |trouble: &str, kind: FaultKind, rounds: u32| {
        let setup = start(60).await;
        let bench = Bench::new(&setup).await;
        let is_for_good = matches!(kind, FaultKind::Firewall { .. });
        fault(&setup, kind);
        for _ in 0..rounds {
            bench.rounds(1).await;
            setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 3, None).expect("new alerts");
        }
        let totals = bench.store.sink_totals().await.expect("the store answers");
        let said = totals.into_iter().find(|sink| sink.sink == "sentinel").and_then(|sink| sink.last_error);
        if !is_for_good {
            setup.emulator.clear_faults();
        }
        settle(&bench).await;
        let (tally, letters) = told(&setup, trouble).await;
        (tally, silent(&setup), letters, said.unwrap_or_default())
    };
    let (tally, rows, letters, said) =
        during("one answer in three lost", FaultKind::LosesAnswers { one_in: 3 }, 6).await;
    assert!(rows.unanswered_rows > 0 && rows.doubled_rows <= rows.unanswered_rows, "{rows:?}");
    assert!(letters == 0 && tally.doubled > 0, "{said}");

    let (tally, _, letters, said) = during("gone for a while", FaultKind::Down, 8).await;
    assert_eq!((tally.doubled, letters), (0, 0));
    assert!(said.contains("no way to Azure Monitor"), "{said}");

    let poison = FaultKind::Firewall { status: 400, one_event_in: 25 };
    let (tally, _, letters, _) = during("one record in 25 refused", poison, 2).await;
    assert!(tally.doubled == 0 && letters > 0, "{letters}");

    let (tally, _, letters, said) =
        during("the role has not spread", FaultKind::Status { status: 403 }, 8).await;
    assert_eq!((tally.doubled, letters), (0, 0));
    assert!(said.contains("Monitoring Metrics Publisher"), "{said}");

    let (tally, _, letters, _) = during("everything refused", FaultKind::Status { status: 400 }, 8).await;
    assert_eq!((tally.doubled, letters), (0, 0));

    let (tally, _, letters, _) =
        during("throttled", FaultKind::Throttle { retry_after_seconds: 30 }, 4).await;
    assert_eq!((tally.doubled, letters), (0, 0));

    let (tally, _, letters, _) =
        during("every request too large", FaultKind::Status { status: 413 }, 4).await;
    assert_eq!((tally.doubled, letters), (0, 0));
}

/// What the app's identity has to do with it: another tenant's token is refused, and the way is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_tenant_is_refused_and_nothing_is_sent_elsewhere() {
    let setup = start(5).await;
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let provider = setup.emulator.provider().id;
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        std::fs::write(setup.settings_path(), text.replace(from, to)).expect("written");
    };
    let test = async || {
        let tested = setup.muster(&["sink", "test", "sentinel"]).await;
        assert!(!tested.status.success(), "{tested:?}");
        String::from_utf8_lossy(&tested.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    with(&format!("tenant = \"{provider}\""), &format!("tenant = \"{}\"", setup.emulator.tenants()[0].id));
    let said = test().await;
    assert!(said.contains("does not take the token"), "{said}");
    with("endpoint = \"http://127.0.0.1:", "endpoint = \"http://127.0.0.2:");
    let told = setup.muster(&["validate"]).await;
    let told = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    assert!(told.contains("a token is not sent elsewhere"), "{told}");
    with("rule = \"dcr-", "rule = \"dcr-0");
    let said = test().await;
    assert!(said.contains("there is no rule"), "{said}");
}
