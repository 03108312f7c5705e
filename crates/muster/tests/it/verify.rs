//! What receivers have of what they acknowledged, by what they say when they are asked.

use muster_emulator::{Area, Config, Fault, FaultKind};
use serde_json::Value;

use crate::support::{Bench, Setup, config};

const ALWAYS: &str = "2099-01-01";

async fn verify(setup: &Setup, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut all = vec!["--output", "json", "sink", "verify"];
    all.extend(arguments);
    // The test's clock is ahead of the machine's.
    all.extend(["--until", ALWAYS]);
    let output = setup.muster(&all).await;
    let verdict =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), verdict)
}

fn sum(verdict: &Value, column: &str) -> u64 {
    verdict["rows"].as_array().expect("rows").iter().filter_map(|row| row[column].as_u64()).sum()
}

async fn searchable(alerts: u64) -> (Setup, Bench) {
    let setup = Setup::start(Config { alerts: Some(alerts), ..config() }, "").await;
    setup.emulator.receivers().keep_index();
    let url = setup.emulator.client_config().addresses.hec_url().expect("a collector");
    setup.write_settings(&format!(
        "[sinks.splunk.search]\nurl = \"{url}\"\ntoken = {{ file = \"splunk.token\" }}\n"
    ));
    let bench = Bench::new(&setup).await;
    (setup, bench)
}

/// Splunk acknowledges and loses: a search finds it out, and what is missing is sent again, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_splunk_lost_after_acknowledging_is_found_and_sent_again() {
    let (setup, bench) = searchable(500).await;
    bench.rounds(2).await;
    let (code, all) = verify(&setup, &["splunk"]).await;
    let delivered = sum(&all, "delivered");
    assert_eq!((code, &all["all_there"], sum(&all, "there")), (Some(0), &true.into(), delivered), "{all:#}");
    assert!(delivered > 500, "{delivered}");

    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::Forgets { one_event_in: 4 })).expect("a fault");
    let tenant = setup.emulator.tenants()[0].id.to_string();
    setup.emulator.add_alerts(&tenant, 60, None).expect("added");
    bench.rounds(2).await;
    setup.emulator.clear_faults();
    let lost = setup.tallies()[0].lost;
    assert!(lost > 5, "{lost}");
    let (code, some) = verify(&setup, &["splunk"]).await;
    assert_eq!((code, sum(&some, "missing"), sum(&some, "doubled")), (Some(6), lost, 0), "{some:#}");
    let named = some["some"].as_array().expect("some");
    assert!(!named.is_empty() && named.iter().all(|odd| odd["copies"] == 0));
    let (_, other) =
        verify(&setup, &["splunk", "--tenant", &setup.emulator.tenants()[1].id.to_string()]).await;
    assert_eq!(sum(&other, "missing"), 0, "another tenant's are there");

    let (code, again) = verify(&setup, &["splunk", "--send-again"]).await;
    assert_eq!((code, sum(&again, "sent_again")), (Some(6), lost));
    bench.rounds(1).await;
    let (code, all) = verify(&setup, &["splunk"]).await;
    assert_eq!((code, sum(&all, "missing"), sum(&all, "doubled")), (Some(0), 0, 0), "{all:#}");
    setup.assert_all_arrived_once();

    // What is there twice is told, too.
    let id = named[0]["id"].as_str().expect("an id");
    let replay = ["replay", "--tenant", &tenant, "--sink", "splunk", "--again", "--yes", "--id", id];
    assert!(setup.muster(&replay).await.status.success());
    bench.rounds(1).await;
    let (code, twice) = verify(&setup, &["splunk"]).await;
    assert!(code == Some(6) && sum(&twice, "doubled") >= 1 && sum(&twice, "missing") == 0, "{twice:#}");
}

/// A raw file is read back; who cannot be asked says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_back_and_others_say_that_they_cannot_be_asked() {
    let (setup, bench) = searchable(80).await;
    bench.rounds(2).await;
    let (code, all) = verify(&setup, &["archive"]).await;
    assert_eq!((code, sum(&all, "there")), (Some(0), sum(&all, "delivered")), "{all:#}");
    let path = setup.path().join("archive.ndjson");
    let text = std::fs::read_to_string(&path).expect("a file");
    let lines: Vec<&str> = text.lines().collect();
    let changed = [&lines[1..], &lines[3..4]].concat().join("\n");
    std::fs::write(&path, changed).expect("written");
    let (code, some) = verify(&setup, &["archive"]).await;
    assert_eq!((code, sum(&some, "missing"), sum(&some, "doubled")), (Some(6), 1, 1), "{some:#}");

    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::Down)).expect("a fault");
    for (sink, code, words) in
        [("arcsight", 2, "only takes"), ("no_such", 5, "the sinks are"), ("splunk", 8, "no way to Splunk")]
    {
        let output = setup.muster(&["sink", "verify", sink, "--until", ALWAYS]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(words), "{sink}: {output:?}");
    }
    setup.emulator.clear_faults();
    std::fs::write(setup.path().join("wrong.token"), "wrong").expect("written");
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let (before, search) = text.split_once("[sinks.splunk.search]").expect("a search");
    let search = search.replace("splunk.token", "wrong.token");
    std::fs::write(setup.settings_path(), format!("{before}[sinks.splunk.search]{search}")).expect("written");
    let output = setup.muster(&["sink", "verify", "splunk", "--until", ALWAYS]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(8) && said.contains("does not let the token search"), "{output:?}");
}
