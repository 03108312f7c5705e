//! OCSF events against the schema, and the fixtures that all formats share.

mod schema;

use std::collections::{BTreeMap, HashSet};

use muster_model::{Record, RecordHead, RecordKind};
use muster_siem::formats::{
    BigEvents, Bounds, Encoding, Events, Format, FormatError, IncidentAlerts, OcsfOptions, OcsfVersion,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::corpus::corpus;
use crate::fixtures::{FIXTURES, assert_snapshot, changed_head, head, tenant};
use schema::Schema;

#[test]
fn fixtures_are_told_and_written() {
    let mut names = HashSet::new();
    for (name, kind, body) in FIXTURES.iter().copied() {
        assert!(names.insert(name), "{name} stands there twice");
        assert_eq!(RecordKind::detect(body.as_bytes()), Some(kind), "{name}");
        assert_eq!(written(&Format::Raw, kind, body).len(), 1, "{name}");
    }
    assert_eq!(names.iter().filter(|name| name.starts_with("evidence/")).count(), 48);
}

fn written(format: &Format, kind: RecordKind, body: &str) -> Vec<String> {
    let head = head(kind, body);
    let mut events = Events::new();
    format
        .write(kind, Record { head: &head, body, replay: None }, &tenant(), &mut events)
        .expect("it can be written");
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
        let Some(schema) = Schema::read(v.as_str()) else { return };
        let (mut events, mut classes, mut wrong) = (0, BTreeMap::new(), Vec::new());
        for (name, kind, body) in FIXTURES.iter().copied() {
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
    for (name, kind, body) in FIXTURES.iter().copied() {
        let mut events = ocsf(OcsfOptions::default(), kind, body);
        for event in &mut events {
            let evidences = event.get_mut("evidences").and_then(Value::as_array_mut);
            for data in evidences.into_iter().flatten().filter_map(|evidence| evidence.get_mut("data")) {
                *data = "Microsoft's own".into();
            }
        }
        assert_snapshot("ocsf", name, &serde_json::to_string_pretty(&events).expect("JSON"));
    }
}

/// An inspected connection says which way it went; its ends and their observables go with it.
#[test]
fn the_far_side_of_what_comes_in_is_the_source() {
    let schema = Schema::read("1.8.0");
    for (action, told, direction) in [
        ("HttpConnectionInspected", "In", (1, "Inbound")),
        ("HttpConnectionInspected", "Out", (2, "Outbound")),
        ("HttpConnectionInspected", "", (0, "Unknown")),
        ("InboundConnectionAccepted", "", (1, "Inbound")),
        ("ConnectionSuccess", "", (2, "Outbound")),
        ("ListeningConnectionCreated", "", (0, "Unknown")),
        ("ConnectionFound", "", (0, "Unknown")),
    ] {
        let more = json!({ "direction": told });
        for more in [json!(more.to_string()), more] {
            let body = json!({ "category": "AdvancedHunting-DeviceNetworkEvents", "properties": {
                "Timestamp": "2026-03-02T08:00:00Z", "ActionType": action, "RemoteIP": "203.0.113.9",
                "RemotePort": 50022, "LocalIP": "10.0.0.7", "LocalPort": 22, "AdditionalFields": more,
            } });
            let event = &ocsf(version(OcsfVersion::V1_8), RecordKind::HuntingRow, &body.to_string())[0];
            if let Some(schema) = &schema {
                assert_eq!(schema.problems(event), [""; 0]);
            }
            assert_eq!(event["connection_info"]["direction_id"], direction.0, "{action} {told}");
            assert_eq!(event["connection_info"]["direction"], direction.1, "{action} {told}");
            let (far, near) = if direction.0 == 1 {
                ("src_endpoint", "dst_endpoint")
            } else {
                ("dst_endpoint", "src_endpoint")
            };
            assert_eq!(event[far]["ip"], "203.0.113.9", "{action} {told}");
            assert_eq!(event[near]["ip"], "10.0.0.7", "{action} {told}");
            for observable in event["observables"].as_array().expect("a list") {
                let end = if observable["value"] == "10.0.0.7" { near } else { far };
                assert_eq!(observable["name"], format!("{end}.ip"), "{action} {told}");
            }
        }
    }
}

/// Every field of every event has a row in the table, and every row some field.
#[test]
fn a_column_that_has_the_name_of_its_envelopes_field_stands_beside_it() {
    let body = r#"{"time":"2026-03-02T08:15:30Z","tenantId":"of the envelope","category":"AdvancedHunting-DeviceEvents",
        "properties":{"Timestamp":"2026-03-02T08:15:30Z","DeviceId":"d1","tenantId":"of the row","Note":"x"}}"#;
    for event in written(&Format::Ocsf(OcsfOptions::default()), RecordKind::HuntingRow, body) {
        assert_eq!(event.matches("\"tenantId\":").count(), 2, "{event}");
        let event: Value = serde_json::from_str(&event).expect("JSON");
        assert_eq!(event["unmapped"]["tenantId"], "of the row");
        assert_eq!(event["unmapped"]["envelope"]["tenantId"], "of the envelope");
        assert_eq!(event["unmapped"]["Note"], "x");
    }
}

#[test]
fn the_table_of_fields_is_whole() {
    let mut used = HashSet::new();
    let mut without = std::collections::BTreeSet::new();
    for (_, kind, body) in FIXTURES.iter().copied() {
        let head = changed_head(kind, body);
        for options in
            [version(OcsfVersion::V1_8), OcsfOptions { raw_data: true, ..version(OcsfVersion::V1_5) }]
        {
            let format = Format::Ocsf(options);
            let record = Record { head: &head, body, replay: None };
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

/// Values that no schema has in these places.
fn odd_value() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec![
        "",
        " ",
        "x",
        "a@b.example",
        "203.0.113.1",
        "::1",
        "http://h.example:1/p?q#f",
        "https://",
        "T1059.",
        ".001",
        "0001-01-01T00:00:00Z",
        "2026-01-01T00:00:00",
        "C:\\\\",
        "a\nb",
        "\u{0}",
        "\u{202e}",
        "Unassigned",
        "unknown",
        "quantum",
        "true",
        "-1",
        "99999999999999999999",
        "1e3",
        "00-11-22-33-44-55",
        "@",
        "://",
        "{",
        "[",
    ]);
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, "a", 1, ["b"], { "ipAddress": "::1", "url": 1 }])),
        Just(json!({ "@odata.type": "#microsoft.graph.security.unheardOfEvidence", "id": 1, "name": ["x"] })),
        Just((0..12).fold(json!("core"), |inner, _| json!({ "host": inner }))),
    ]
}

/// JSON pointers to everything in `value`, except to the whole.
fn pointers(value: &Value, here: &str, found: &mut Vec<String>) {
    let mut add = |key: &str, inner: &Value| {
        let there = format!("{here}/{}", key.replace('~', "~0").replace('/', "~1"));
        pointers(inner, &there, found);
        found.push(there);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| add(key, inner)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, inner)| add(&at.to_string(), inner)),
        _ => {}
    }
}

proptest! {
    /// Whatever stands in a record, its events are valid.
    #[test]
    fn odd_records_become_valid_events(
        fixture in 0..FIXTURES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), odd_value()), 1..16),
        newest in any::<bool>(),
    ) {
        let (name, kind, body) = FIXTURES[fixture];
        let mut record: Value = serde_json::from_str(body).expect("JSON");
        for (place, odd) in changes {
            let mut places = Vec::new();
            pointers(&record, "", &mut places);
            if places.is_empty() {
                break;
            }
            if let Some(found) = record.pointer_mut(place.get(&places).as_str()) {
                *found = odd;
            }
        }
        for key in ["id", "incidentId", "AlertId", "FullId"] {
            record[key] = json!("1");
        }
        // What nests too deeply is not accepted in the first place.
        prop_assume!(RecordHead::read(kind, &record.to_string()).is_ok());
        let v = if newest { OcsfVersion::V1_8 } else { OcsfVersion::V1_5 };
        let events = ocsf(version(v), kind, &record.to_string());
        prop_assert!(!events.is_empty());
        if let Some(schema) = Schema::read(v.as_str()) {
            for event in events {
                let problems = schema.problems(&event);
                prop_assert!(problems.is_empty(), "{name} {v:?}: {problems:?}\n{record}");
            }
        }
    }
}

/// Public payloads, where a developer has them: whatever in them is a record becomes valid events.
#[test]
fn the_corpus_becomes_valid_events() {
    let Some(corpus) = corpus("") else { return };
    let (mut files, mut counts) = (Vec::new(), BTreeMap::new());
    list(&corpus, &mut files);
    let Some(schema) = Schema::read("1.8.0") else { return };
    let mut wrong = Vec::new();
    for file in &files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let whole: Vec<Value> = serde_json::from_str(&text).map_or_else(
            |_| text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            |value| vec![value],
        );
        let mut records = Vec::new();
        whole.iter().for_each(|value| find_records(value, &mut records));
        for (kind, record) in records {
            let body = record.to_string();
            let Ok(head) = RecordHead::read(kind, &body) else { continue };
            let mut events = Events::new();
            let record = Record { head: &head, body: &body, replay: None };
            Format::Ocsf(OcsfOptions::default())
                .write(kind, record, &tenant(), &mut events)
                .expect("written");
            *counts.entry(kind).or_insert(0) += 1;
            for event in events.iter() {
                let event: Value = serde_json::from_slice(event).expect("JSON");
                let problems = schema.problems(&event);
                wrong.extend(problems.into_iter().map(|problem| format!("{}: {problem}", file.display())));
            }
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(counts.len(), RecordKind::ALL.len(), "{counts:?}");
}

/// Whatever is told to be a record, anywhere in `value`.
fn find_records<'a>(value: &'a Value, found: &mut Vec<(RecordKind, &'a Value)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| find_records(item, found)),
        Value::Object(map) => match RecordKind::detect(value.to_string().as_bytes()) {
            Some(kind) => found.push((kind, value)),
            None => map.values().for_each(|inner| find_records(inner, found)),
        },
        _ => {}
    }
}

fn list(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            list(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

/// The checker of the schema finds what is wrong: a test that cannot fail would prove nothing.
#[test]
fn the_checker_finds_mistakes() {
    let Some(schema) = Schema::read("1.8.0") else {
        println!("schema extract not found: skipped");
        return;
    };
    let (_, kind, body) =
        FIXTURES.iter().copied().find(|(name, ..)| name.ends_with("deviceEvidence")).expect("it");
    let event = ocsf(OcsfOptions::default(), kind, body).remove(0);
    assert_eq!(schema.problems(&event), Vec::<String>::new());
    for (pointer, odd, problem) in [
        ("/severity_id", json!(42), "not in the enum"),
        ("/severity_id", json!("4"), "not a whole number"),
        ("/severity", json!("Hoch"), "says"),
        ("/time", json!("2026-01-01T00:00:00Z"), "not a whole number"),
        ("/type_uid", json!(200_499), "type_uid is not class and activity"),
        ("/class_uid", json!(4711), "no class"),
        ("/metadata/version", json!("1.5.0"), "metadata.version"),
        ("/metadata/profiles", json!(["cloud"]), "needs the profile"),
        ("/metadata/product", json!({}), "is empty"),
        ("/evidences/0", json!({ "name": "x" }), "has none of"),
        ("/evidences/0/device/ip", json!("10.0.0.0/8"), "not an address"),
        ("/evidences/0/device/hostname", json!(7), "not a text"),
        ("/finding_info", json!({ "title": "x" }), "lacks uid"),
        ("/finding_info/related_events", json!([]), "empty list"),
        ("/observables", json!({}), "no list"),
        ("/message", json!({}), "not a text"),
    ] {
        let mut wrong = event.clone();
        *wrong.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = odd;
        let problems = schema.problems(&wrong);
        assert!(problems.iter().any(|found| found.contains(problem)), "{pointer}: {problems:?}");
    }
    let mut wrong = event;
    wrong["surprise"] = json!(1);
    assert_eq!(schema.problems(&wrong), ["surprise is not in the schema"]);
}

/// Where our events differ from Tenzir's on purpose.
const NOT_AS_TENZIR: [(&str, &str); 2] = [
    ("end_time", "the last activity, which the record tells or not; Tenzir takes the last update"),
    (
        "finding_info.product.name",
        "the product's name; Microsoft's word for it is in `finding_info.product.uid`",
    ),
];

/// Events that another product makes of the same records, where a developer has them: each standard field that it
/// fills has the same value in ours, or stands in the table above with the reason.
#[test]
fn another_product_fills_the_same_fields_alike() {
    let Some(folder) = corpus("tenzir-library/graph") else { return };
    let (mut equal, mut on_purpose, mut wrong) = (0, 0, Vec::new());
    for (name, kind) in
        [("defender-alerts", RecordKind::GraphAlert), ("defender-incidents", RecordKind::GraphIncident)]
    {
        let read = |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}")));
        let (records, expected) =
            (read("ndjson").expect("records"), read("ocsf-expected.json").expect("their events"));
        let expected: Vec<Value> = serde_json::from_str(&expected).expect("JSON");
        let records: Vec<&str> = records.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(records.len(), expected.len());
        for (record, expected) in records.into_iter().zip(&expected) {
            let ours = ocsf(OcsfOptions::default(), kind, record).remove(0);
            compare("", expected, &ours, &mut |path, theirs, ours| {
                // The tenant is Muster's, and their times are texts.
                let same = theirs == ours
                    || path == "metadata.tenant_uid"
                    || theirs
                        .as_str()
                        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
                        .map(|time| time.as_millisecond())
                        == ours.as_i64()
                        && ours.is_i64();
                if same {
                    equal += 1;
                } else if NOT_AS_TENZIR.iter().any(|(known, _)| *known == path) {
                    on_purpose += 1;
                } else {
                    wrong.push(format!("{name}: {path}: {theirs} but ours {ours}"));
                }
            });
        }
    }
    println!("{equal} fields equal, {on_purpose} different on purpose");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Calls `differ` with each leaf of `theirs` and what is there in `ours`; in lists any item that fits will do.
fn compare(path: &str, theirs: &Value, ours: &Value, differ: &mut dyn FnMut(&str, &Value, &Value)) {
    match (theirs, ours) {
        (Value::Object(map), _) => {
            for (key, value) in map {
                let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&place, value, ours.get(key).unwrap_or(&Value::Null), differ);
            }
        }
        (Value::Array(items), Value::Array(found)) => {
            for item in items {
                let fits = |other: &&Value| {
                    let mut all = true;
                    compare(path, item, other, &mut |_, theirs, ours| all &= theirs == ours);
                    all
                };
                let found = found.iter().find(fits).or(found.first()).unwrap_or(&Value::Null);
                compare(path, item, found, differ);
            }
        }
        _ => differ(path, theirs, ours),
    }
}

/// Whatever is done with an event that is too long, what remains is valid and says so.
#[test]
fn events_that_are_too_long_become_valid_ones() {
    let schema = Schema::read("1.8.0");
    for (name, kind, body) in FIXTURES.iter().copied() {
        let whole = ocsf(OcsfOptions::default(), kind, body);
        let longest = whole.iter().map(|event| event.to_string().len()).max().expect("an event");
        for big_events in [BigEvents::Split, BigEvents::Drop, BigEvents::Refer] {
            let drop = ["observables", "evidences"].map(str::to_owned).to_vec();
            let bounds = Bounds { event_bytes_max: longest * 2 / 3, big_events, drop };
            let encoding =
                Encoding { bounds: Some(bounds), ..Encoding::from(Format::Ocsf(OcsfOptions::default())) };
            let (head, mut events) = (head(kind, body), Events::new());
            let written =
                encoding.write(kind, Record { head: &head, body, replay: None }, &tenant(), &mut events);
            if matches!(written, Err(FormatError::TooBig { .. })) {
                assert!(longest < 8000, "{name} of {longest} bytes: {big_events:?}");
                continue;
            }
            written.expect("it can be written");
            let mut marked = 0;
            for event in events.iter() {
                assert!(event.len() <= longest * 2 / 3, "{name}");
                let event: Value = serde_json::from_slice(event).expect("JSON");
                marked += usize::from(event["unmapped"]["muster"].is_object());
                if let Some(schema) = &schema {
                    assert_eq!(schema.problems(&event), Vec::<String>::new(), "{name} {big_events:?}");
                }
            }
            assert!(marked > 0, "{name} {big_events:?}");
        }
    }
}
