//! OCSF events against the schema, and the fixtures that all formats share.

mod fixtures;
#[path = "ocsf/schema.rs"]
mod schema;

use std::collections::{BTreeMap, HashSet};

use muster_model::Record;
use muster_siem::formats::{Events, Format, IncidentAlerts, OcsfOptions, OcsfVersion, RecordKind};
use serde_json::Value;

use fixtures::{FIXTURES, head, tenant};
use schema::Schema;

#[test]
fn fixtures_are_told_and_written() {
    let mut names = HashSet::new();
    for (name, kind, body) in FIXTURES {
        assert!(names.insert(name), "{name} stands there twice");
        assert_eq!(RecordKind::detect(body.as_bytes()), Some(kind), "{name}");
        assert_eq!(written(&Format::Raw, kind, body).len(), 1, "{name}");
    }
    assert_eq!(names.iter().filter(|name| name.starts_with("evidence/")).count(), 48);
}

fn written(format: &Format, kind: RecordKind, body: &str) -> Vec<String> {
    let head = head(kind, body);
    let mut events = Events::new();
    format.write(kind, Record { head: &head, body }, &tenant(), &mut events).expect("it can be written");
    events.iter().map(|event| String::from_utf8(event.to_vec()).expect("text")).collect()
}

fn ocsf(options: OcsfOptions, kind: RecordKind, body: &str) -> Vec<Value> {
    let read = |event: &String| {
        assert!(!event.contains(['\n', '\r']), "one line: {event}");
        serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"))
    };
    written(&Format::Ocsf(options), kind, body).iter().map(read).collect()
}

fn version(version: OcsfVersion) -> OcsfOptions {
    OcsfOptions { version, ..OcsfOptions::default() }
}

#[test]
fn every_event_of_every_fixture_is_valid() {
    for v in OcsfVersion::ALL {
        let Some(schema) = Schema::read(v.as_str()) else {
            println!("schema extract not found: skipped");
            return;
        };
        let (mut events, mut classes, mut wrong) = (0, BTreeMap::new(), Vec::new());
        for (name, kind, body) in FIXTURES {
            for options in [
                version(v),
                OcsfOptions { raw_data: true, incident_alerts: IncidentAlerts::Unmapped, version: v },
            ] {
                for event in ocsf(options, kind, body) {
                    events += 1;
                    *classes.entry(event["class_name"].as_str().expect("a class").to_owned()).or_insert(0) +=
                        1;
                    wrong.extend(
                        schema.problems(&event).into_iter().map(|problem| format!("{name}: {problem}")),
                    );
                }
            }
        }
        println!("OCSF {}: {events} events of {} classes {classes:?}", v.as_str(), classes.len());
        assert!(wrong.is_empty(), "OCSF {}:\n{}", v.as_str(), wrong.join("\n"));
        assert_eq!(classes.len(), 15, "{classes:?}");
    }
}

#[test]
fn snapshots() {
    for (name, kind, body) in FIXTURES {
        let mut events = ocsf(OcsfOptions::default(), kind, body);
        for event in &mut events {
            let evidences = event.get_mut("evidences").and_then(Value::as_array_mut);
            for data in evidences.into_iter().flatten().filter_map(|evidence| evidence.get_mut("data")) {
                *data = "Microsoft's own".into();
            }
        }
        insta::assert_json_snapshot!(format!("ocsf_{}", name.replace('/', "_")), events);
    }
}

/// Every field of every event has a row in the table, and every row some field.
#[test]
fn the_table_of_fields_is_whole() {
    let mut used = HashSet::new();
    let mut without = std::collections::BTreeSet::new();
    for (_, kind, body) in FIXTURES {
        let head = head(kind, body);
        for options in
            [version(OcsfVersion::V1_8), OcsfOptions { raw_data: true, ..version(OcsfVersion::V1_5) }]
        {
            let format = Format::Ocsf(options);
            let record = Record { head: &head, body };
            for field in
                format.explain(kind, record, &tenant()).expect("an explanation").into_iter().flatten()
            {
                match field.field {
                    Some(row) => drop(used.insert((row.name, row.kinds))),
                    None => drop(without.insert(format!("{kind}: {}", field.name))),
                }
            }
        }
    }
    assert!(without.is_empty(), "{without:#?}");
    let table = Format::Ocsf(OcsfOptions::default()).fields();
    let unused: Vec<_> = table.iter().filter(|row| !used.contains(&(row.name, row.kinds))).collect();
    assert!(unused.is_empty(), "{unused:#?}");
}
