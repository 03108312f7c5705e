//! `muster ledger` and `muster trace`, as a person calls them.

use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_store::HourState;

use crate::support::config;
use crate::sweeps::World;

fn text(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The calendar shows a hole, in red and with its reason; when the service can give the record, it is gone.
#[tokio::test]
async fn a_hole_is_red_until_it_is_healed() {
    let world = World::start(Config { alerts: Some(60), ..config() }).await;
    let bad = world.add_alert(world.ago(1));
    let poison = FaultKind::Poisoned { id: Some(bad.clone()), one_record_in: 0 };
    world.setup.emulator.add_fault(Fault::new(Area::GraphAlerts, poison)).expect("a fault");
    world.polls(60).await;
    // What is behind the record is read all the same.
    let good = world.add_alert(world.ago(1));
    // How long the search takes depends on what else is there: an hour at most.
    for _ in 0..36 {
        world.polls(10).await;
        if world.is_known(&good).await
            && !world.bench.errors().await.iter().all(|error| error.contains("500"))
        {
            break;
        }
    }
    let known = (world.is_known(&good).await, world.is_known(&bad).await);
    assert_eq!(known, (true, false), "{:?}", world.bench.errors().await);
    let slug = world.bench.store.tenants().await.expect("tenants")[0].slug.to_string();
    let (since, until) = (world.ago(86_400).to_string(), world.now().to_string());
    let call =
        ["ledger", "--tenant", &slug, "--source", "graph_alerts", "--since", &since, "--until", &until];
    let shown = text(&world.setup.muster(&[&["--color", "always"][..], &call].concat()).await);
    assert!(shown.contains("\u{1b}[38;5;9m") && shown.contains('X'), "red: {shown:?}");
    assert!(shown.contains("the service gives no answer for these records"), "{shown}");
    let plain = text(&world.setup.muster(&call).await);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(
        // Why stands in words, at the end of its line.
        plain
            .lines()
            .take_while(|line| !line.contains("WHY"))
            .all(|line| line.trim_end().chars().count() <= 80),
        "{plain}"
    );
    let all = text(&world.setup.muster(&["ledger", "--since", &since, "--until", &until]).await);
    assert!(all.contains(&slug), "{all}");
    let long = world.setup.muster(&["ledger", "--since", "2020-01-01", "--until", &until]).await;
    let said = String::from_utf8_lossy(&long.stderr);
    assert!(said.contains("which is as many as fit; with --until 20"), "what is left out is told: {said}");

    world.setup.emulator.clear_faults();
    world.work(8 * 3_600).await;
    assert!(world.is_known(&bad).await);
    let healed = text(&world.setup.muster(&call).await);
    let cells = healed.lines().filter(|line| line.starts_with("20")).collect::<String>();
    assert!(!cells.contains('X') && cells.contains('□'), "{healed}");
    // The command looks at the machine's clock, by which no sweep can have been there yet.
    let states = world.hours().await.into_iter().map(|hour| hour.state);
    assert!(states.filter(|state| matches!(state, HourState::Complete { .. })).count() > 20, "{healed}");
    let json = text(&world.setup.muster(&[&["--output", "json"][..], &call].concat()).await);
    let hours: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    assert!(hours.iter().any(|hour| hour["state"]["state"] == "read"), "{json}");
}

/// One record from its creation to each sink's acknowledgement.
#[tokio::test]
async fn a_trace_tells_the_whole_journey() {
    let world = World::start(Config { alerts: Some(5), ..config() }).await;
    let id = world.add_alert(world.ago(30));
    world.work(300).await;
    let owed = text(&world.setup.muster(&["trace", &id]).await);
    assert!(owed.contains("owed since") && owed.contains("owed to"), "{owed}");
    world.bench.deliver().await;
    let told = text(&world.setup.muster(&["trace", &id]).await);
    for sink in ["splunk", "arcsight", "archive"] {
        let line =
            told.lines().find(|line| line.trim_start().starts_with(sink)).expect("a line for each sink");
        assert!(line.contains("acknowledged 20"), "{line}");
    }
    for said in ["created", "changed", "fetched", "request ", "journal", "batch ", "routes", "now  at "] {
        assert!(told.contains(said), "{said}: {told}");
    }
    world.setup.emulator.update_alert(&world.setup.emulator.tenants()[0].id, &id).expect("updated");
    world.work(300).await;
    let twice = text(&world.setup.muster(&["trace", &id, "--output", "json"]).await);
    let versions: Vec<serde_json::Value> = serde_json::from_str(&twice).expect("JSON");
    assert_eq!(versions.len(), 2, "{twice}");
    assert!(versions[0]["request_id"].is_string(), "{twice}");
    assert_eq!(versions[0]["change"]["kind"], "created", "{twice}");
    let kind = versions[1]["change"]["kind"].as_str().expect("a word");
    let told = text(&world.setup.muster(&["trace", &id]).await);
    let said = |head: &str| told.lines().find(|line| line.starts_with(head)).unwrap_or_default().to_owned();
    assert!(said("version 1").starts_with("version 1  created  severity "), "{told}");
    assert!(kind != "created" && said("version 2").starts_with(&format!("version 2  {kind} (")), "{told}");
    let unknown = world.setup.muster(&["trace", "no-such-record"]).await;
    assert_eq!(unknown.status.code(), Some(5));
}
