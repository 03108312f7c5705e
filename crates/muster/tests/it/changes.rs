//! What becomes of alerts and incidents at Microsoft is told at the sinks: the way from a changed world to an event.

use std::collections::BTreeSet;

use muster_emulator::{Config, WorldChange};
use serde_json::Value;

use crate::support::{Bench, Setup, config};

const FORMATS: [&str; 5] = ["splunk", "cef", "leef", "ecs", "ocsf"];

/// A file of events in each format but raw.
fn sinks() -> String {
    let mut extra = String::new();
    for format in FORMATS {
        extra.push_str(&format!(
            "[sinks.{format}_file]\ntype = \"file\"\npath = \"{format}.events\"\nformat = \"{format}\"\n"
        ));
    }
    let names = FORMATS.map(|format| format!("{format}_file"));
    format!("{extra}[[routes]]\ntenants = [\"*\"]\nsinks = {names:?}\n")
}

fn lines(setup: &Setup, format: &str) -> Vec<String> {
    let text = std::fs::read_to_string(setup.path().join(format!("{format}.events"))).expect("events");
    text.lines().map(str::to_owned).collect()
}

/// The versions of one record, in order: what changed, and Microsoft's record.
fn versions(setup: &Setup, id: &str) -> Vec<(Value, Value)> {
    let events = lines(setup, "splunk").into_iter().map(|line| {
        let mut event: Value = serde_json::from_str(&line).expect("JSON");
        (event["fields"].take(), event["event"].take(), event["sourcetype"].take())
    });
    // Alerts inside incidents are other events.
    let own =
        events.filter(|(_, record, stream)| record["id"] == id && stream != "ms365:defender:incident:alerts");
    own.map(|(fields, record, _)| (fields, record)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_followed_from_its_creation_to_its_move() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(3), ..config() }, &sinks()).await;
    let bench = Bench::new(&setup).await;
    let tenant = setup.emulator.tenants()[0].id.clone();
    let change = |change: WorldChange| setup.emulator.change_world(&change).expect("changed");
    let alert = setup.emulator.add_alerts(&tenant, 1, None).expect("added").remove(0);
    let into = change(WorldChange::AddIncident { tenant: tenant.clone(), alerts: 1 }).remove(0);
    bench.rounds(2).await;
    for _ in 0..4 {
        change(WorldChange::UpdateAlert { tenant: tenant.clone(), id: alert.clone(), same_time: false });
        bench.rounds(2).await;
    }
    change(WorldChange::MoveAlert { tenant: tenant.clone(), alert: alert.clone(), into: into.clone() });
    bench.rounds(2).await;

    let versions = versions(&setup, &alert);
    assert_eq!(versions.len(), 6, "{versions:#?}");
    let mut words = BTreeSet::new();
    for (at, (fields, record)) in versions.iter().enumerate() {
        let word = fields["change"].as_str().expect("a word");
        words.insert(word.to_owned());
        let Some((_, before)) = at.checked_sub(1).map(|before| &versions[before]) else {
            assert_eq!(word, "created");
            continue;
        };
        // What is told of each version is what a look at both says.
        let is_resolved = |record: &Value| record["status"] == "resolved";
        let expected = match (is_resolved(before), is_resolved(record)) {
            (false, true) => "resolved",
            (true, false) => "reopened",
            _ if before["incidentId"] != record["incidentId"] => "moved",
            _ => "changed",
        };
        assert_eq!(word, expected, "{before} {record}");
        let names = record.as_object().expect("an object").keys();
        let changed = names.filter(|name| before[name] != record[name] && *name != "lastUpdateDateTime");
        let told: Vec<&str> =
            fields["changed_fields"].as_array().into_iter().flatten().flat_map(Value::as_str).collect();
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), changed.map(String::as_str).collect());
    }
    let all = ["changed", "created", "moved", "reopened", "resolved"].map(str::to_owned);
    assert_eq!(words, BTreeSet::from(all));
    let (fields, record) = versions.last().expect("the move");
    assert_eq!(
        (&fields["change_to"], &record["incidentId"]),
        (&Value::from(into.clone()), &Value::from(into))
    );
    assert_eq!(fields["change_from"], versions[0].1["incidentId"]);
    // An incident whose alert changed, and which keeps its own update time, is another version of it all the same.
    for tally in setup.tallies() {
        assert_eq!((tally.lost, tally.unknown, tally.unreadable), (0, 0, 0), "{tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merged_incident_says_where_it_went() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(3), ..config() }, &sinks()).await;
    let bench = Bench::new(&setup).await;
    let tenant = setup.emulator.tenants()[0].id.clone();
    let add = || {
        let change = WorldChange::AddIncident { tenant: tenant.clone(), alerts: 2 };
        setup.emulator.change_world(&change).expect("changed").remove(0)
    };
    let (from, into) = (add(), add());
    bench.rounds(2).await;
    let merge =
        WorldChange::MergeIncidents { tenant: tenant.clone(), from: from.clone(), into: into.clone() };
    setup.emulator.change_world(&merge).expect("merged");
    bench.rounds(3).await;

    let versions = versions(&setup, &from);
    let (fields, record) = versions.last().expect("versions");
    assert_eq!((&fields["change"], &fields["change_to"]), (&"merged_into".into(), &into.as_str().into()));
    assert_eq!(
        (&record["status"], &record["redirectIncidentId"]),
        (&"redirected".into(), &into.as_str().into())
    );
    let name = versions[0].1["displayName"].as_str().expect("a name").to_owned();
    assert_eq!(record["displayName"], *name, "it keeps what it was");
    // The alerts that went with it say so themselves.
    let moved = lines(&setup, "cef").iter().filter(|line| line.contains("muChange=moved")).count();
    assert_eq!(moved, 2);
    for format in FORMATS {
        let merged: Vec<String> =
            lines(&setup, format).into_iter().filter(|line| line.contains("merged_into")).collect();
        assert!(!merged.is_empty(), "{format}");
        for line in merged {
            for text in [&from, &into, &name] {
                assert!(line.contains(text.as_str()), "{format} has no {text}: {line}");
            }
        }
    }
    setup.assert_all_arrived_once();
}
