//! What a version is to the one before, in the events of every format but raw.

use muster_model::{Change, ChangeKind, Record, RecordHead, RecordKind};
use muster_siem::formats::{BigEvents, Bounds, Encoding, Events, Format};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{FIXTURES, changed_head, fixture, head, tenant};

const INCIDENT: RecordKind = RecordKind::GraphIncident;

fn formats() -> [Format; 6] {
    [
        Format::Raw,
        Format::Splunk(Default::default()),
        Format::Cef(Default::default()),
        Format::Leef(Default::default()),
        Format::Ecs(Default::default()),
        Format::Ocsf(Default::default()),
    ]
}

fn written(format: &Format, kind: RecordKind, head: &RecordHead, body: &str) -> Vec<String> {
    let mut events = Events::new();
    format
        .write(kind, Record { head, body, replay: None }, &tenant(), &mut events)
        .expect("it can be written");
    events.iter().map(|event| String::from_utf8(event.to_vec()).expect("text")).collect()
}

/// The fields of the first event that tell the change: name and value.
fn told(format: &Format, kind: RecordKind, head: &RecordHead, body: &str) -> Vec<(String, String)> {
    let events = format.explain(kind, Record { head, body, replay: None }, &tenant()).expect("explained");
    let of_change = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or_default().to_lowercase().replace('_', "");
        last.trim_start_matches("muster")
            .trim_start_matches("mu")
            .trim_start_matches("more")
            .starts_with("change")
    };
    let fields = events.into_iter().next().expect("an event").into_iter();
    fields.filter(|field| of_change(&field.name)).map(|field| (field.name, field.value)).collect()
}

#[test]
fn every_format_but_raw_tells_the_change() {
    let body = fixture("evidence/fileEvidence");
    let head = changed_head(RecordKind::GraphAlert, body);
    let names: [&[&str]; 6] = [
        &[],
        &[
            "fields.change",
            "fields.changed_fields",
            "fields.changed_fields",
            "fields.more_changed_fields",
            "fields.change_from",
            "fields.change_to",
        ],
        &["muChange", "muChangedFields", "muMoreChangedFields", "muChangeFrom", "muChangeTo"],
        &["change", "changedFields", "moreChangedFields", "changeFrom", "changeTo"],
        &[
            "labels.muster_change",
            "labels.muster_change_from",
            "labels.muster_change_to",
            "labels.muster_changed_fields",
            "labels.muster_changed_fields",
            "labels.muster_more_changed_fields",
        ],
        &[
            "unmapped.muster.change",
            "unmapped.muster.changed_fields",
            "unmapped.muster.changed_fields",
            "unmapped.muster.more_changed_fields",
            "unmapped.muster.change_from",
            "unmapped.muster.change_to",
        ],
    ];
    for (format, names) in formats().iter().zip(names) {
        let told = told(format, RecordKind::GraphAlert, &head, body);
        let found: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, names, "{format}");
        let mut values: Vec<String> =
            told.iter().flat_map(|(_, value)| value.split("; ").map(str::to_owned)).collect();
        values.sort();
        if !names.is_empty() {
            assert_eq!(values, ["3", "7", "9", "incidentId", "moved", "severity"], "{format}");
        }
    }
}

/// Of every fixture: without a change nothing is written of one, and with one nothing else is other than without.
#[test]
fn what_is_not_known_is_not_told() {
    for (name, kind, body) in FIXTURES.iter().copied() {
        for format in formats() {
            assert_eq!(told(&format, kind, &head(kind, body), body), [], "{name} {format}");
            let changed = told(&format, kind, &changed_head(kind, body), body);
            let is_told = kind != RecordKind::HuntingRow && !matches!(format, Format::Raw);
            assert_eq!(!changed.is_empty(), is_told, "{name} {format}");
            let plain = written(&format, kind, &head(kind, body), body);
            let with = written(&format, kind, &changed_head(kind, body), body);
            assert_eq!(plain.len(), with.len(), "{name} {format}");
            // The alerts inside an incident are not what changed; a document of ECS is the incident's.
            let inner = plain.iter().zip(&with).skip(1).filter(|(plain, with)| plain != with).count();
            let is_ecs = matches!(format, Format::Ecs(_));
            assert_eq!(inner, if is_ecs && is_told { plain.len() - 1 } else { 0 }, "{name} {format}");
        }
    }
}

/// An incident that became part of another says which, and is never one that says nothing.
#[test]
fn a_merged_incident_never_becomes_an_empty_one() {
    let graph = json!({
        "id": "4711", "displayName": "Credential theft on one endpoint", "severity": "high", "status": "redirected",
        "redirectIncidentId": "4242", "createdDateTime": "2026-03-02T08:00:00Z",
        "lastUpdateDateTime": "2026-03-02T09:00:00Z", "incidentWebUrl": "https://security.example/4711",
    });
    let xdr = json!({
        "incidentId": 4711, "incidentName": "Credential theft on one endpoint", "severity": "High",
        "status": "Redirected", "redirectIncidentId": 4242, "createdTime": "2026-03-02T08:00:00Z",
        "lastUpdateTime": "2026-03-02T09:00:00Z",
    });
    for (kind, record) in [(INCIDENT, graph), (RecordKind::XdrIncident, xdr)] {
        for alerts in
            [None, Some(json!([])), Some(Value::Null), Some(json!([{ "id": "a", "title": "an alert" }]))]
        {
            let mut record = record.clone();
            if let Some(alerts) = alerts {
                record["alerts"] = alerts;
            }
            let body = record.to_string();
            let change = muster_model::Told::of(muster_model::Before::Unknown, kind, &body).change;
            assert_eq!(change.to_string(), "merged into 4242");
            let changed = RecordHead { change: Some(change), ..head(kind, &body) };
            for format in formats() {
                for head in [&changed, &head(kind, &body)] {
                    let event = &written(&format, kind, head, &body)[0];
                    for text in ["4711", "4242", "Credential theft on one endpoint"] {
                        assert!(event.contains(text), "{format} has no {text}: {event}");
                    }
                    assert!(event.to_lowercase().contains("redirected"), "{format}: {event}");
                }
                let told = told(&format, kind, &changed, &body);
                let values: Vec<&str> = told.iter().map(|(_, value)| value.as_str()).collect();
                let wanted: &[&str] = if format == Format::Raw { &[] } else { &["merged_into", "4242"] };
                assert_eq!(values, wanted, "{format}");
            }
        }
    }
}

#[test]
fn ocsf_says_create_of_the_first_version_only() {
    let activity = |status: &str, kind: Option<ChangeKind>| {
        let body = format!(r#"{{"id":"1","status":"{status}","muster":{{"x":1}},"mu\\u0073ter":2}}"#);
        let body = body.replace("\\\\", "\\");
        let head = RecordHead { change: kind.map(Change::new), ..head(RecordKind::GraphAlert, &body) };
        let event = &written(&Format::Ocsf(Default::default()), RecordKind::GraphAlert, &head, &body)[0];
        if kind.is_some() {
            assert_eq!(event.matches("\"muster\"").count(), 1, "{event}");
        }
        let event: Value = serde_json::from_str(event).expect("JSON");
        (
            event["activity_name"].as_str().expect("a name").to_owned(),
            event["type_uid"].as_i64().expect("a number"),
        )
    };
    let (create, update, close) = ("Create".to_owned(), "Update".to_owned(), "Close".to_owned());
    assert_eq!(activity("new", None), (create.clone(), 200_401));
    assert_eq!(activity("new", Some(ChangeKind::Changed)), (update.clone(), 200_402));
    assert_eq!(activity("new", Some(ChangeKind::Reopened)), (update, 200_402));
    assert_eq!(activity("inProgress", Some(ChangeKind::Created)), (create, 200_401));
    assert_eq!(activity("resolved", Some(ChangeKind::Resolved)), (close, 200_403));
}

/// Names as long as are told, in events as short as a sink may want them.
#[test]
fn a_change_keeps_no_event_from_fitting() {
    let body = r#"{"id":"1","title":"x","createdDateTime":"2026-03-02T08:00:00Z"}"#;
    let change = Change {
        fields: (0..24).map(|number| format!("{number:060}")).collect(),
        ..Change::new(ChangeKind::Changed)
    };
    let head = RecordHead { change: Some(change), ..head(RecordKind::GraphAlert, body) };
    for format in formats() {
        for big_events in [BigEvents::Split, BigEvents::Refer, BigEvents::Drop] {
            let bounds = Some(Bounds { big_events, ..Bounds::split_at(1500) });
            let encoding = Encoding { bounds, ..format.clone().into() };
            let mut events = Events::new();
            let record = Record { head: &head, body, replay: None };
            encoding.write(RecordKind::GraphAlert, record, &tenant(), &mut events).expect("it fits");
            assert!(events.iter().all(|event| event.len() <= 1500), "{format}");
        }
    }
}

proptest! {
    /// Names and ids are written by whoever writes the record.
    #[test]
    fn no_name_breaks_out(name in ".{1,60}|[\"\\\\|=;\n\t ,{}\\[\\]]{1,9}", id in "[^\u{0}]{1,20}") {
        let body = r#"{"id":"1","title":"x"}"#;
        let change = Change { fields: vec![name.clone()], to: Some(id), ..Change::new(ChangeKind::Changed) };
        let head = RecordHead { change: Some(change), ..head(RecordKind::GraphAlert, body) };
        for format in formats() {
            for event in written(&format, RecordKind::GraphAlert, &head, body) {
                prop_assert!(!event.contains(['\n', '\r']), "{}", event);
                if !matches!(format, Format::Cef(_) | Format::Leef(_)) {
                    prop_assert!(serde_json::from_str::<Value>(&event).is_ok(), "{}", event);
                }
            }
            let told = told(&format, RecordKind::GraphAlert, &head, body);
            prop_assert!(told.len() <= 3, "{:?}", told);
            if matches!(format, Format::Splunk(_)) && !name.trim().is_empty() {
                prop_assert_eq!(&told[1].1, &name);
            }
        }
    }
}
