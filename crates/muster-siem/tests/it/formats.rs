//! Each format on evidence-rich records: snapshots, and an independent CEF reader against hostile text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_model::{Record, RecordHead, RecordKind, Source, TenantLabel};
use muster_siem::formats::{CefOptions, Events, Format, LeefOptions, SplunkOptions};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cef::{expected, read_cef};
use crate::corpus::corpus;
use crate::fixtures::{assert_snapshot, fixture};
use crate::leef::read_leef;

/// Records of the sources that are read.
const RECORDS: [(&str, Source); 5] = [
    ("endpoint_alert", Source::GraphAlerts),
    ("mail_alert", Source::GraphAlerts),
    ("cloud_alert", Source::GraphAlerts),
    ("incident", Source::GraphIncidents),
    ("incident_without_alerts", Source::GraphIncidents),
];

fn tenant(name: &str) -> TenantLabel {
    TenantLabel {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
        slug: "fabrikam".parse().expect("a slug"),
        name: name.to_owned(),
    }
}

fn formats() -> [Format; 3] {
    [Format::Raw, Format::Splunk(SplunkOptions::default()), Format::Cef(CefOptions::default())]
}

fn write(format: &Format, source: Source, body: &str, tenant: &TenantLabel) -> Vec<String> {
    let head = RecordHead::read(RecordKind::GraphAlert, body).expect("a record");
    let mut events = Events::new();
    format
        .write(source.kind(), Record { head: &head, body, replay: None }, tenant, &mut events)
        .expect("it can be written");
    let events: Vec<String> =
        events.iter().map(|event| String::from_utf8(event.to_vec()).expect("text")).collect();
    assert!(!events.is_empty());
    for event in &events {
        assert!(!event.is_empty());
        assert!(!event.contains(['\n', '\r']), "one line: {event}");
    }
    events
}

#[test]
fn raw_is_what_microsoft_wrote() {
    for (name, source) in RECORDS {
        let body = fixture(name);
        let events = write(&Format::Raw, source, body, &tenant("Fabrikam"));
        assert_eq!(events, [body.trim().replace('\n', " ")], "{name}");
    }
    let one_line = r#"{"id":"1","x": [ 1.0, 1e400, "\ud800" ],"x":2}"#;
    assert_eq!(write(&Format::Raw, Source::GraphAlerts, one_line, &tenant("")), [one_line]);
}

#[test]
fn splunk_snapshots() {
    let format = Format::Splunk(SplunkOptions {
        index: Some("mssp_{{ tenant.slug }}".parse().expect("an index")),
        host: Some("{{ tenant.name }}".parse().expect("a host")),
        ..SplunkOptions::default()
    });
    for (name, source) in RECORDS {
        let body = fixture(name);
        let mut shown = Vec::new();
        for event in write(&format, source, body, &tenant(r#"Fabrikam "Nord" \ AB"#)) {
            let mut event: Value = serde_json::from_str(&event).expect("an event is JSON");
            let original: Value = serde_json::from_str(body).expect("JSON");
            if event["sourcetype"] == "ms365:defender:incident" {
                let mut incident = original.clone();
                incident.as_object_mut().expect("an object").remove("alerts");
                assert_eq!(event["event"], incident);
            } else if event["sourcetype"] == "ms365:defender:incident:alerts" {
                let alerts = original["alerts"].as_array().expect("a list");
                assert!(alerts.contains(&event["event"]));
            } else {
                assert_eq!(event["event"], original);
            }
            let body = event["event"].take();
            event["event"] = json!({ "id": body["id"], "keys": body.as_object().expect("an object").len() });
            shown.push(event);
        }
        let shown = serde_json::to_string_pretty(&shown).expect("JSON");
        assert_snapshot("splunk", name, &shown);
    }
}

#[test]
fn cef_snapshots() {
    let format = Format::Cef(CefOptions::default());
    for (name, source) in RECORDS {
        let body = fixture(name);
        let line = write(&format, source, body, &tenant("Fabrikam = Nord | AB")).remove(0);
        let cef = read_cef(&line);
        let mut shown = cef.header.join("\n");
        for (key, value) in &cef.extension {
            shown.push_str(&format!("\n{key} = {value:?}"));
        }
        assert_snapshot("cef/head", name, &shown);
    }
}

#[test]
fn options_change_the_head_and_the_place() {
    let options: CefOptions = serde_json::from_str(r#"{"device_product":"Windows | ATP"}"#).expect("options");
    let line = &write(&Format::Cef(options), Source::GraphAlerts, fixture(RECORDS[0].0), &tenant("x"))[0];
    assert!(line.starts_with(r"CEF:0|Microsoft|Windows \| ATP|2.0|7c2f0a54-"), "{line}");
    assert!(serde_json::from_str::<CefOptions>(r#"{"product":"x"}"#).is_err());
}

#[test]
fn what_is_not_json_is_an_error_and_appends_nothing() {
    let head = RecordHead::read(RecordKind::GraphAlert, r#"{"id":"1"}"#).expect("a record");
    let mut events = Events::new();
    events.push_with(|buffer| buffer.extend_from_slice(b"before"));
    let before = events.clone();
    for body in [r#"{"id":"1""#, r#"{"title":}"#, r#"{"alerts":[{]}"#, ""] {
        let record = Record { head: &head, body, replay: None };
        for source in Source::ALL {
            let cef = Format::Cef(CefOptions::default());
            assert!(cef.write(source.kind(), record, &tenant("x"), &mut events).is_err(), "{body}");
            assert_eq!(events, before);
        }
    }
    let record = Record { head: &head, body: r#"{"id":"1","alerts":[{"id":"2"},]"#, replay: None };
    let splunk = Format::Splunk(SplunkOptions::default());
    if splunk.write(RecordKind::GraphIncident, record, &tenant("x"), &mut events).is_err() {
        assert_eq!(events, before);
    }
}

/// Text as an attacker would write it.
fn hostile() -> impl Strategy<Value = String> {
    let bit = prop_oneof![
        prop::sample::select(vec![
            "|",
            "=",
            "\\",
            "\n",
            "\r",
            "\r\n",
            "\t",
            "\0",
            " ",
            "; ",
            "\\n",
            "\\=",
            "CEF:0|",
            " externalId=",
            " cs2=x cs2Label=tenantId",
            "\u{202e}",
            "\u{2028}",
            "\u{2066}",
            "\u{85}",
            "\u{1b}[31m",
            "😀",
            "é",
            "\u{61c}",
            "\u{feff}",
            "<14>1 ",
            "\"",
            "a",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    prop::collection::vec(bit, 1..12)
        .prop_map(|bits| bits.concat())
        .prop_filter("blank texts are left out", |text| !text.bytes().all(|byte| byte == b' '))
}

proptest! {
    #[test]
    fn hostile_texts_come_back_from_cef(
        title in hostile(), file in hostile(), user in hostile(), other in hostile(), name in hostile(),
        command in hostile(), escape_all in any::<bool>(),
    ) {
        prop_assume!(!name.trim().is_empty());
        prop_assume!(user != other);
        let alert = json!({
            "id": "1", "title": title, "detectorId": title, "description": title,
            "evidence": [
                { "@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": { "accountName": user } },
                { "@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": { "accountName": other } },
                { "fileDetails": { "fileName": file } },
                { "processCommandLine": command },
            ],
        });
        let mut body = alert.to_string();
        if escape_all {
            body = in_escapes(&alert);
        }
        let line = write(&Format::Cef(CefOptions::default()), Source::GraphAlerts, &body, &tenant(&name)).remove(0);
        let cef = read_cef(&line);
        prop_assert_eq!(&cef.header[..4], ["CEF:0", "Microsoft", "Microsoft Defender ATP", "2.0"]);
        prop_assert_eq!(&cef.header[4], &expected(&title, false, true));
        prop_assert_eq!(&cef.header[5], &expected(&title, false, true));
        prop_assert_eq!(cef.get("externalId"), Some("1"));
        prop_assert_eq!(cef.get("cs2"), Some("5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d"));
        let value = |key| cef.get(key).map(str::to_owned);
        let wanted = |text: &str| Some(expected(text, false, false));
        prop_assert_eq!(value("cs3"), wanted(&name));
        prop_assert_eq!(value("msg"), wanted(&title));
        prop_assert_eq!(value("suser"), wanted(&user));
        prop_assert_eq!(value("fname"), wanted(&file));
        prop_assert_eq!(value("muCommandLine"), wanted(&command));
        let users = format!("{}; {}", expected(&user, true, false), expected(&other, true, false));
        prop_assert_eq!(cef.get("muUsers"), Some(users.as_str()));
        prop_assert!(line.chars().all(|character| !character.is_control()));
    }

    #[test]
    fn hostile_names_of_tenants_stay_in_their_place_in_splunk(name in hostile()) {
        let host: SplunkOptions =
            serde_json::from_str(r#"{"host":"a {{ tenant.name }}"}"#).expect("options");
        let event = write(&Format::Splunk(host), Source::GraphAlerts, r#"{"id":"1"}"#, &tenant(&name)).remove(0);
        let event: Value = serde_json::from_str(&event).expect("JSON");
        prop_assert_eq!(&event["fields"]["tenant_name"], &Value::from(name.as_str()));
        prop_assert_eq!(&event["host"], &Value::from(format!("a {name}")));
        prop_assert_eq!(&event["event"], &json!({ "id": "1" }));
    }

    #[test]
    fn wrong_types_are_written_all_the_same(
        record in 0..RECORDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), odd_value()), 1..12),
    ) {
        let (name, source) = RECORDS[record];
        let body = fixture(name);
        let mut value: Value = serde_json::from_str(body).expect("JSON");
        for (place, odd) in changes {
            let mut places = Vec::new();
            paths(&value, String::new(), &mut places);
            if let Some(found) = value.pointer_mut(place.get(&places).as_str()) {
                *found = odd;
            }
        }
        if !value.is_object() {
            value = json!({ "it": value });
        }
        value["id"] = json!("1");
        let body = value.to_string();
        for format in formats() {
            for event in write(&format, source, &body, &tenant("Fabrikam")) {
                if matches!(format, Format::Cef(_)) {
                    let cef = read_cef(&event);
                    prop_assert_eq!(cef.get("externalId"), Some("1"));
                } else {
                    prop_assert!(serde_json::from_str::<Value>(&event).is_ok());
                }
            }
        }
    }
}

/// JSON with every character of every string as `\uXXXX`.
fn in_escapes(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!("\"{units}\"")
        }
        Value::Array(items) => format!("[{}]", items.iter().map(in_escapes).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let fields: Vec<_> = map
                .iter()
                .map(|(key, value)| {
                    let plain = key == "@odata.type" || key == "id";
                    format!("\"{key}\":{}", if plain { value.to_string() } else { in_escapes(value) })
                })
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        hostile().prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["a", 1, null, ["b"], { "ipAddress": "::1" }])),
        Just(json!({ "id": 1, "evidence": { "userAccount": [] }, "alerts": [[]] })),
        Just((0..40).fold(json!("core"), |inner, _| json!({ "host": inner }))),
    ]
}

/// JSON pointers to everything in `value`, except to the whole.
fn paths(value: &Value, here: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                paths(inner, format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (position, inner) in items.iter().enumerate() {
                paths(inner, format!("{here}/{position}"), found);
            }
        }
        _ => {}
    }
    found.push(here);
}

#[test]
fn a_title_of_100_kilobytes_is_not_cut() {
    let title = "|=\\\n".repeat(25_000);
    let body = json!({ "id": "1", "description": title }).to_string();
    let line = write(&Format::Cef(CefOptions::default()), Source::GraphAlerts, &body, &tenant("x")).remove(0);
    assert_eq!(read_cef(&line).get("msg"), Some(title.as_str()));
}

#[test]
fn half_surrogates_and_repeated_keys_are_written() {
    let body = r#"{"id":"1","title":"a\ud800b","title":"c\udc00","\ud800":1,"evidence":null,"evidence":[]}"#;
    for format in formats() {
        write(&format, Source::GraphAlerts, body, &tenant("x"));
    }
    let line = write(&Format::Cef(CefOptions::default()), Source::GraphAlerts, body, &tenant("x")).remove(0);
    assert_eq!(read_cef(&line).header[5], "c\u{fffd}");
}

/// Public payloads, where a developer has them: every record of every kind among them can be written, every CEF and
/// LEEF line reads back, and every JSON event is JSON.
#[test]
fn the_corpus_is_written_in_every_format() {
    let Some(corpus) = corpus("") else { return };
    let mut files = Vec::new();
    list(&corpus, &mut files);
    let mut counts = BTreeMap::new();
    let mut events_written = 0;
    let formats = [
        Format::Raw,
        Format::Splunk(SplunkOptions::default()),
        Format::Cef(CefOptions::default()),
        Format::Leef(LeefOptions::default()),
    ];
    for file in &files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let whole: Vec<Value> = serde_json::from_str(&text).map_or_else(
            |_| text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            |value| vec![value],
        );
        let mut records = Vec::new();
        whole.iter().for_each(|value| find_records(value, &mut records));
        for (kind, record) in &records {
            let kind = *kind;
            *counts.entry(kind).or_insert(0) += 1;
            for body in [record.to_string(), serde_json::to_string_pretty(record).expect("JSON")] {
                let head = RecordHead::read(kind, &body).expect("a record");
                for format in &formats {
                    let mut events = Events::new();
                    format
                        .write(
                            kind,
                            Record { head: &head, body: &body, replay: None },
                            &tenant("Corpus"),
                            &mut events,
                        )
                        .expect("it can be written");
                    for event in events.iter() {
                        let event = std::str::from_utf8(event).expect("text");
                        match format {
                            Format::Cef(_) => drop(read_cef(event)),
                            Format::Leef(_) => drop(read_leef(event)),
                            _ => assert!(serde_json::from_str::<Value>(event).is_ok(), "{event}"),
                        }
                        assert!(!event.contains(['\n', '\r']));
                        events_written += 1;
                    }
                }
            }
        }
    }
    println!("{} files, {events_written} events of {counts:?}", files.len());
    assert_eq!(counts.len(), RecordKind::ALL.len(), "a kind is missing: {counts:?}");
}

/// Records of every kind anywhere in `value`, also inside others and in texts that hold JSON; those that are found by
/// their keys and have an id.
fn find_records(value: &Value, found: &mut Vec<(RecordKind, Value)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| find_records(item, found)),
        Value::Object(map) => {
            let body = value.to_string();
            if let Some(kind) = RecordKind::detect(body.as_bytes())
                && RecordHead::read(kind, &body).is_ok()
            {
                found.push((kind, value.clone()));
            }
            map.values().for_each(|inner| find_records(inner, found));
        }
        Value::String(text) if text.starts_with('{') => {
            if let Ok(inner) = serde_json::from_str::<Value>(text) {
                find_records(&inner, found);
            }
        }
        _ => {}
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else if path
            .extension()
            .is_some_and(|end| ["json", "ndjson", "log"].iter().any(|known| end == *known))
        {
            files.push(path);
        }
    }
    files.sort();
}
