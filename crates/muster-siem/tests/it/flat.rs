//! CEF and LEEF of every kind of record and evidence: snapshots, an independent reader for every line, and the tables
//! of fields against what is written.

use std::collections::BTreeSet;

use muster_model::{Record, RecordKind, TenantLabel};
use muster_siem::formats::{CefOptions, Events, Format, LeefOptions, SplunkOptions};
use proptest::prelude::*;
use serde_json::json;

use crate::cef::read_cef;
use crate::fixtures::{FIXTURES, assert_snapshot, changed_head, head, tenant};
use crate::leef::{expected, read_leef};

fn cef() -> Format {
    Format::Cef(CefOptions::default())
}

fn leef(delimiter: &str) -> Format {
    let options = json!({ "delimiter": delimiter });
    Format::Leef(serde_json::from_value::<LeefOptions>(options).expect("options"))
}

fn line(format: &Format, kind: RecordKind, body: &str, tenant: &TenantLabel) -> String {
    let head = head(kind, body);
    let mut events = Events::new();
    format
        .write(kind, Record { head: &head, body, replay: None }, tenant, &mut events)
        .expect("it can be written");
    assert_eq!(events.len(), 1);
    let line = String::from_utf8(events.bytes).expect("text");
    let delimiter = if let Format::Leef(_) = format { '\t' } else { '\n' };
    assert!(line.chars().all(|character| !character.is_control() || character == delimiter), "{line}");
    line
}

fn shown(format: &Format, kind: RecordKind, body: &str) -> String {
    let line = line(format, kind, body, &tenant());
    let (mut shown, pairs) = match format {
        Format::Cef(_) => {
            let cef = read_cef(&line);
            (cef.header.join("|"), cef.extension)
        }
        _ => {
            let leef = read_leef(&line);
            (leef.header.join("|"), leef.attributes)
        }
    };
    for (key, value) in pairs {
        shown.push_str(&format!("\n  {key} = {value:?}"));
    }
    shown
}

#[test]
fn cef_of_every_fixture() {
    for (name, kind, body) in FIXTURES.iter().copied() {
        assert_snapshot("cef", name, &shown(&cef(), kind, body));
    }
}

#[test]
fn leef_of_every_fixture() {
    for (name, kind, body) in FIXTURES.iter().copied() {
        assert_snapshot("leef", name, &shown(&leef("tab"), kind, body));
    }
}

/// Every field that is written has a row in the table, and every row is written for some fixture, of each kind that it
/// says.
#[test]
fn the_tables_are_what_is_written() {
    let raw: CefOptions = serde_json::from_value(json!({ "raw_event": true })).expect("options");
    let raw_leef: LeefOptions = serde_json::from_value(json!({ "raw_event": true })).expect("options");
    let cim: SplunkOptions =
        serde_json::from_value(json!({ "cim_fields": true, "index": "x" })).expect("options");
    for format in [Format::Cef(raw), Format::Leef(raw_leef), Format::Splunk(cim)] {
        let (mut written, mut without_row) = (BTreeSet::new(), BTreeSet::<String>::new());
        for (name, kind, body) in FIXTURES.iter().copied() {
            let head = changed_head(kind, body);
            let record = Record { head: &head, body, replay: None };
            for event in format.explain(kind, record, &tenant()).expect("explained") {
                assert!(!event.is_empty());
                for field in event {
                    match field.field {
                        Some(row) => _ = written.insert(row.name),
                        None => _ = without_row.insert(format!("{kind}: {} ({name})", field.name)),
                    }
                }
            }
        }
        let missing: Vec<_> = format
            .fields()
            .iter()
            // The whole body is no single value.
            .filter(|row| !written.contains(row.name) && row.name != "event")
            .map(|row| row.name)
            .collect();
        assert!(
            missing.is_empty() && without_row.is_empty(),
            "{format}: no fixture has {missing:?}; no row of {without_row:#?}"
        );
    }
}

#[test]
fn an_explanation_gives_the_values_without_escapes() {
    let body =
        r#"{"id":"1","title":"a|b=c","description":"x=\\y\n","createdDateTime":"2026-01-01T00:00:00Z"}"#;
    let kind = RecordKind::GraphAlert;
    let head = head(kind, body);
    let value = |format: &Format, name: &str| {
        let events =
            format.explain(kind, Record { head: &head, body, replay: None }, &tenant()).expect("explained");
        events[0].iter().find(|field| field.name == name).map(|field| field.value.clone())
    };
    assert_eq!(value(&cef(), "head.name").as_deref(), Some("a|b=c"));
    assert_eq!(value(&cef(), "msg").as_deref(), Some("x=\\y\n"));
    assert_eq!(value(&leef("^"), "title").as_deref(), Some("a|b=c"));
    assert_eq!(value(&Format::Raw, "description").as_deref(), Some("x=\\y\n"));
}

/// A rule of the CEF guide: these keys are times, numbers or addresses, and receivers refuse other values.
#[test]
fn typed_keys_of_cef_hold_their_types() {
    for (name, kind, body) in FIXTURES.iter().copied() {
        let cef = read_cef(&line(&cef(), kind, body, &tenant()));
        for (key, value) in &cef.extension {
            let fits = match key.as_str() {
                "rt" | "start" | "end" | "deviceCustomDate1" | "deviceCustomDate2" => {
                    value.parse::<i64>().is_ok()
                }
                "cn1" | "cn2" | "cn3" | "fsize" => value.parse::<u64>().is_ok(),
                "spid" => value.parse::<u64>().is_ok(),
                "spt" | "dpt" => value.parse::<u16>().is_ok(),
                "src" | "dst" => value.parse::<std::net::Ipv4Addr>().is_ok(),
                "c6a2" | "c6a3" => value.parse::<std::net::Ipv6Addr>().is_ok(),
                _ => true,
            };
            assert!(fits, "{name}: {key}={value}");
            if let Some(base) = key.strip_suffix("Label") {
                assert!(cef.get(base).is_some(), "{name}: {key} without its field");
            }
        }
        for custom in ["cs1", "cs2", "cs3", "cs4", "cs5", "cs6", "cn1", "cn2", "cn3", "flexString1", "c6a2"] {
            assert_eq!(
                cef.get(custom).is_some(),
                cef.get(&format!("{custom}Label")).is_some(),
                "{name}: {custom}"
            );
        }
    }
}

/// Thousands of values stay: an incident's lists have no end.
#[test]
fn lists_are_whole() {
    let alerts: Vec<_> = (0..3000)
        .map(|number| json!({ "id": format!("alert-{number}"), "evidence": [{ "ipAddress": format!("10.1.{}.{}", number / 250, number % 250) }] }))
        .collect();
    let body = json!({ "id": "1", "displayName": "wide", "alerts": alerts }).to_string();
    let line = line(&cef(), RecordKind::GraphIncident, &body, &tenant());
    let cef = read_cef(&line);
    assert_eq!(cef.get("cn3"), Some("3000"));
    assert_eq!(cef.get("muAlertIds").expect("ids").split("; ").count(), 3000);
    assert_eq!(cef.get("muAddresses").expect("addresses").split("; ").count(), 3000);
}

/// Text as an attacker would write it.
fn hostile() -> impl Strategy<Value = String> {
    let bit = prop_oneof![
        prop::sample::select(vec![
            "|",
            "=",
            "\\",
            "\n",
            "\r\n",
            "\t",
            "\0",
            " ",
            "; ",
            "^",
            "~",
            "\\n",
            "\\t",
            "LEEF:2.0|",
            "CEF:0|",
            "\tsev=10",
            "^usrName=root",
            " externalId=",
            "\u{202e}",
            "\u{2028}",
            "\u{85}",
            "\u{1b}[31m",
            "😀",
            "é",
            "\u{feff}",
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
    fn hostile_texts_come_back_from_leef(
        title in hostile(), user in hostile(), other in hostile(), name in hostile(), command in hostile(),
        delimiter in prop::sample::select(vec!["tab", "^", "~"]),
    ) {
        prop_assume!(!name.trim().is_empty() && user != other);
        let body = json!({
            "id": "1", "title": title, "detectorId": title,
            "evidence": [
                { "@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": { "accountName": user } },
                { "@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": { "accountName": other } },
                { "processCommandLine": command },
            ],
        })
        .to_string();
        let label = TenantLabel { name: name.clone(), ..tenant() };
        let read = read_leef(&line(&leef(delimiter), RecordKind::GraphAlert, &body, &label));
        let delimiter = if delimiter == "tab" { '\t' } else { delimiter.chars().next().expect("one") };
        prop_assert_eq!(read.event_id(), expected(&title, delimiter, false, true));
        prop_assert_eq!(read.get("recordId"), Some("1"));
        let wanted = |text: &str| Some(expected(text, delimiter, false, false));
        let value = |key| read.get(key).map(str::to_owned);
        prop_assert_eq!(value("title"), wanted(&title));
        prop_assert_eq!(value("tenantName"), wanted(&name));
        prop_assert_eq!(value("usrName"), wanted(&user));
        prop_assert_eq!(value("commandLine"), wanted(&command));
        let item = |text| expected(text, delimiter, true, false);
        prop_assert_eq!(value("users"), Some(format!("{}; {}", item(&user), item(&other))));
    }

    /// The columns of a hunting row are chosen by whoever writes the query, and so are their names.
    #[test]
    fn rows_with_any_columns_are_written(
        columns in prop::collection::vec(
            (
                prop_oneof![
                    hostile(),
                    "[A-Za-z][A-Za-z0-9]{0,12}",
                    prop::sample::select(vec!["Title", "Status", "cat", "sev", "src", "cs1Label", "msg", "devTime"])
                        .prop_map(str::to_owned),
                ],
                hostile(),
            ),
            0..8,
        ),
    ) {
        let mut row = serde_json::Map::new();
        row.insert("Timestamp".to_owned(), json!("2026-01-01T00:00:00Z"));
        row.insert("DeviceName".to_owned(), json!("ws1"));
        for (name, value) in &columns {
            row.insert(name.clone(), json!(value));
        }
        let body = serde_json::Value::Object(row.clone()).to_string();
        let cef = read_cef(&line(&cef(), RecordKind::HuntingRow, &body, &tenant()));
        let leef = read_leef(&line(&leef("tab"), RecordKind::HuntingRow, &body, &tenant()));
        let everything: String = cef.extension.iter().map(|(_, value)| format!("{value}\n")).collect();
        for (name, value) in row.iter().filter(|(name, _)| *name != "Timestamp" && *name != "FileSize") {
            let value = value.as_str().expect("text");
            let whole = crate::cef::expected(value, false, false);
            let item = crate::cef::expected(value, true, false);
            let found = everything.contains(&whole) || everything.contains(&item) || name == "Protocol";
            prop_assert!(found, "{name} = {value:?} is not in {everything:?}");
            prop_assert!(
                leef.attributes.iter().any(|(_, found)| {
                    found.contains(&expected(value, '\t', false, false))
                        || found.contains(&expected(value, '\t', true, false))
                }),
                "{name}"
            );
        }
    }
}
