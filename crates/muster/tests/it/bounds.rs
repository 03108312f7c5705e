//! The journal's bounds, and sinks on which nothing depends.

use muster::journal_bound::Held;
use muster_emulator::{Area, Config, Fault, FaultKind};
use serde_json::Value;

use crate::support::{Bench, Setup, config, eventually};

/// Puts keys into a section of the settings.
fn put(setup: &Setup, section: &str, keys: &str) {
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let head = format!("[{section}]\n");
    let with = format!("{head}{keys}\n");
    let text = match text.contains(&head) {
        true => text.replacen(&head, &with, 1),
        false => format!("{with}{text}"),
    };
    std::fs::write(setup.settings_path(), text).expect("written");
}

async fn json(setup: &Setup, arguments: &[&str]) -> Value {
    let mut all = vec!["--output", "json"];
    all.extend(arguments);
    let output = setup.muster(&all).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn causes(status: &Value) -> Vec<(&str, &str)> {
    let causes = status["causes"].as_array().expect("causes").iter();
    causes.filter_map(|cause| Some((cause["about"].as_str()?, cause["code"].as_str()?))).collect()
}

async fn accepted(bench: &Bench) -> u64 {
    bench.store.source_states().await.expect("read").iter().map(|state| state.accepted).sum()
}

async fn totals(bench: &Bench, sink: &str) -> muster_store::SinkTotals {
    let totals = bench.store.sink_totals().await.expect("read");
    totals.into_iter().find(|totals| totals.sink == sink).expect("a sink")
}

/// Much more than a journal of a mebibyte takes, and a Splunk that takes nothing of it.
async fn full(when_full: &str) -> (Setup, Bench) {
    let setup = Setup::start(Config { alerts: Some(3_000), ..config() }, "").await;
    put(&setup, "store", &format!("journal_max_size = \"1MiB\"\nwhen_full = \"{when_full}\""));
    let bench = Bench::new(&setup).await;
    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::Down)).expect("a fault");
    bench.collect().await;
    bench.deliver().await;
    bench.pass(7_200);
    assert!(bench.store.journal_bytes().await.expect("known") > 1 << 20, "it is full");
    (setup, bench)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_stops_collecting_and_loses_nothing() {
    let (setup, bench) = full("stop").await;
    let held = bench.hold().await;
    assert!(held.given_up.is_empty(), "{held:?}");
    let before = accepted(&bench).await;
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id.to_string(), 20, None).expect("added");
    assert_eq!(bench.collect().await, 0, "nothing is read");
    bench.pass(600);
    assert_eq!((bench.collect().await, accepted(&bench).await), (0, before));
    let status = json(&setup, &["status"]).await;
    assert!(causes(&status).contains(&("journal", "full")), "{status:#}");
    assert_eq!((&status["room"]["full"], &status["room"]["when_full"]), (&true.into(), &"stop".into()));
    let text = String::from_utf8_lossy(&setup.muster(&["status"]).await.stdout).into_owned();
    assert!(text.contains("nothing new is collected"), "{text}");

    // The sink is back: what it has makes room, and reading goes on where it stopped.
    setup.emulator.clear_faults();
    bench.deliver().await;
    let held = bench.hold().await;
    assert!(held.batches > 0 && held.given_up.is_empty(), "{held:?}");
    assert!(bench.store.journal_bytes().await.expect("known") <= 1 << 20);
    for _ in 0..6 {
        bench.rounds(1).await;
        bench.hold().await;
    }
    assert!(accepted(&bench).await >= before + 20);
    setup.assert_all_arrived_once();
    let status = json(&setup, &["status"]).await;
    assert!(!causes(&status).iter().any(|(about, _)| *about == "journal"), "{status:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_is_given_up_where_that_was_chosen_and_each_record_is_counted() {
    let (setup, bench) = full("drop_oldest").await;
    let owed = totals(&bench, "splunk").await.owed;
    let held = bench.hold().await;
    let gone = held.given_up.get("splunk").copied().unwrap_or_default();
    assert!(gone > 0 && gone < owed && held.given_up.len() == 1, "{held:?} of {owed}");
    assert!(bench.store.journal_bytes().await.expect("known") <= 1 << 20);
    let splunk = totals(&bench, "splunk").await;
    assert_eq!((splunk.owed, splunk.given_up), (owed - gone, gone));
    // Nothing more goes than has to.
    assert_eq!(bench.hold().await, Held::default());

    let status = json(&setup, &["status"]).await;
    assert!(causes(&status).contains(&("sink splunk", "given_up")), "{status:#}");
    let hours = json(&setup, &["ledger", "--since", "90d"]).await;
    let hours = hours.as_array().expect("hours");
    let counted: u64 = hours
        .iter()
        .flat_map(|hour| hour["sinks"].as_array().expect("sinks"))
        .filter_map(|sink| sink["given_up"].as_u64())
        .sum();
    assert_eq!(counted, gone);
    assert!(hours.iter().any(|hour| hour["state"]["state"] == "given_up"), "shown as a hole");

    setup.emulator.clear_faults();
    for _ in 0..4 {
        bench.rounds(1).await;
        assert!(bench.hold().await.given_up.is_empty());
    }
    let [splunk, arcsight, file] = setup.tallies();
    assert_eq!((splunk.lost, splunk.doubled), (gone, 0), "{splunk:?}");
    assert_eq!((arcsight.lost, file.lost), (0, 0));
}

/// A shadow that is down is nobody's trouble, holds nothing up, and gets what it lacks when somebody wants it to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_depends_on_a_shadow() {
    let setup = Setup::start(Config { alerts: Some(120), ..config() }, "").await;
    put(&setup, "sinks.splunk", "shadow = true\nshadow_backlog = \"1h\"");
    let bench = Bench::new(&setup).await;
    bench.rounds(1).await;
    let taken = totals(&bench, "splunk").await.delivered;
    assert!(taken > 0, "it gets what its routes give it");
    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::Down)).expect("a fault");
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id.to_string(), 9, None).expect("added");
    bench.rounds(3).await;
    let status = json(&setup, &["status"]).await;
    let sinks = status["sinks"].as_array().expect("sinks");
    let splunk = sinks.iter().find(|sink| sink["sink"] == "splunk").expect("a sink");
    assert_eq!((&splunk["state"], &splunk["shadow"]), (&"down".into(), &true.into()));
    assert!(!causes(&status).iter().any(|(about, _)| about.contains("splunk")), "{status:#}");
    let text = String::from_utf8_lossy(&setup.muster(&["status"]).await.stdout).into_owned();
    assert!(text.contains("down, shadow"), "{text}");
    let check = setup.muster(&["status", "--check", "--owed-age", "1s,2s"]).await;
    let check = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!check.contains("splunk"), "{check}");

    // What it is owed for longer than an hour it does without: then nothing keeps the journal.
    assert!(totals(&bench, "splunk").await.owed >= 9);
    assert_eq!(bench.hold().await.of_shadows.len(), 0, "not yet");
    bench.pass(3_600);
    let held = bench.hold().await;
    let gone = held.of_shadows.get("splunk").copied().unwrap_or_default();
    assert!(gone >= 9 && held.given_up.is_empty(), "{held:?}");
    let splunk = totals(&bench, "splunk").await;
    assert_eq!((splunk.owed, splunk.given_up), (0, 0));
    assert_eq!(bench.store.journal_backlog(&[]).await.expect("read").bytes, 0);

    setup.emulator.clear_faults();
    let differ = setup.muster(&["sink", "diff", "archive", "splunk", "--since", "2d"]).await;
    assert_eq!(differ.status.code(), Some(6), "{differ:?}");
    let brought = setup.muster(&["replay", "--tenant", "all", "--sink", "splunk", "--yes"]).await;
    assert!(brought.status.success(), "{brought:?}");
    bench.rounds(1).await;
    setup.assert_all_arrived_once();
    let same = setup.muster(&["sink", "diff", "archive", "splunk", "--since", "2d"]).await;
    assert_eq!(same.status.code(), Some(0), "{same:?}");
}

#[tokio::test]
async fn settings_of_bounds_are_looked_at() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(1), ..config() }, "").await;
    for (section, keys, words) in [
        ("store", "journal_max_size = \"100kB\"", "give it 1MiB at least"),
        ("store", "when_full = \"drop\"", "drop_oldest"),
        ("sinks.splunk", "shadow_backlog = \"1h\"", "only used with shadow = true"),
        ("sinks.splunk", "shadow = 1", "true or false"),
        (
            "sinks.arcsight",
            "search = { url = \"https://x\", token = { env = \"X\" } }",
            "unknown key `search`",
        ),
        ("sinks.splunk", "search = { url = \"x\", token = { env = \"X\" } }", "it must be an address"),
    ] {
        setup.write_settings("");
        put(&setup, section, keys);
        let verdict = setup.muster(&["validate"]).await;
        let said = String::from_utf8_lossy(&[verdict.stdout, verdict.stderr].concat()).into_owned();
        assert!(said.contains(words), "{keys}: {said}");
    }
    // Who gets something by a shadow only is told.
    setup.write_settings("");
    for sink in ["splunk", "arcsight", "archive"] {
        put(&setup, &format!("sinks.{sink}"), "shadow = true");
    }
    let verdict = setup.muster(&["validate"]).await;
    let said = String::from_utf8_lossy(&[verdict.stdout, verdict.stderr].concat()).into_owned();
    assert!(said.contains("goes to sinks with `shadow = true` only"), "{said}");
}

/// What is wrong with shadows stands in the log as theirs, and as nothing to be alarmed by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_of_a_shadow_is_no_warning() {
    let gone = "[sinks.gone]\ntype = \"file\"\npath = \"later/gone.ndjson\"\nshadow = true\n\n[[routes]]\nsinks = [\"gone\"]\n";
    let setup = Setup::start(Config { alerts: Some(40), ..config() }, gone).await;
    put(&setup, "sinks.splunk", "shadow = true");
    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::Down)).expect("a fault");
    let _running = setup.run();
    let log = || std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default();
    let told = |name: &str| {
        log().lines().any(|line| line.contains(name) && line.contains("on which nothing depends"))
    };
    eventually("both are told of", async || told("splunk") && told("gone")).await;
    let alarms: Vec<String> = log()
        .lines()
        .filter(|line| line.contains(" WARN ") || line.contains("ERROR"))
        .filter(|line| line.contains("splunk") || line.contains("gone"))
        .map(str::to_owned)
        .collect();
    assert!(alarms.is_empty(), "{alarms:#?}");
}
