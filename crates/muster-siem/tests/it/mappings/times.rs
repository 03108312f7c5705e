//! One time for all formats.

use muster_model::RecordKind::{self, EndpointAlert, GraphAlert, GraphIncident, HuntingRow, XdrIncident};
use serde_json::{Value, json};

use super::{ecs, event, json, line, ocsf};
use crate::cef::read_cef;

/// The time of an event in each format: CEF, LEEF, Splunk, OCSF; ECS is Elastic's, whose time is the last update.
fn times(kind: RecordKind, body: &str) -> [String; 4] {
    let of = |value: &Value| value.to_string().trim_matches('"').to_owned();
    let text = |fields: std::collections::BTreeMap<String, String>, key: &str| {
        fields.get(key).cloned().unwrap_or_default()
    };
    [
        text(line("cef", kind, body), "rt"),
        text(line("leef", kind, body), "devTime"),
        of(&json("splunk", kind, body)["time"]),
        of(&ocsf(kind, body)["time"]),
    ]
}

fn all(milliseconds: i64, leef: &str) -> [String; 4] {
    let splunk = json!(milliseconds as f64 / 1000.0).to_string();
    [milliseconds.to_string(), leef.to_owned(), splunk, milliseconds.to_string()]
}

#[test]
fn a_time_without_a_zone_is_in_utc_in_every_format() {
    for (kind, body) in [
        (GraphAlert, r#"{"id":"1","title":"x","createdDateTime":"2026-03-02T08:15:30.5"}"#),
        (EndpointAlert, r#"{"id":"1","title":"x","alertCreationTime":"2026-03-02 08:15:30.500"}"#),
        (XdrIncident, r#"{"incidentId":1,"incidentName":"x","createdTime":"2026-03-02T08:15:30.5000000"}"#),
        (HuntingRow, r#"{"Timestamp":"2026-03-02T08:15:30.5","ActionType":"x"}"#),
    ] {
        assert_eq!(times(kind, body), all(1_772_439_330_500, "2026-03-02T08:15:30.500+0000"), "{body}");
        assert_eq!(ecs(kind, body)["@timestamp"], "2026-03-02T08:15:30.5Z", "{body}");
    }
}

#[test]
fn where_the_year_is_1_the_update_time_stands_in() {
    for (kind, body) in [
        (
            GraphAlert,
            r#"{"id":"1","title":"x","createdDateTime":"0001-01-01T00:00:00Z","lastUpdateDateTime":"2026-03-02T08:15:30Z"}"#,
        ),
        (
            GraphIncident,
            r#"{"id":"1","createdDateTime":"0001-01-01T00:00:00","lastUpdateDateTime":"2026-03-02T08:15:30Z"}"#,
        ),
        (
            EndpointAlert,
            r#"{"id":"1","title":"x","alertCreationTime":"0001-01-01T00:00:00","lastUpdateTime":"2026-03-02T08:15:30"}"#,
        ),
        (
            HuntingRow,
            r#"{"time":"2026-03-02T08:15:30Z","properties":{"Timestamp":"0001-01-01T00:00:00Z","ActionType":"x"}}"#,
        ),
    ] {
        assert_eq!(times(kind, body), all(1_772_439_330_000, "2026-03-02T08:15:30.000+0000"), "{body}");
        let time = ecs(kind, body)["@timestamp"].take();
        assert!(time == "2026-03-02T08:15:30Z", "{time} {body}");
    }
    // The other way round, ECS has the time of creation.
    let body = r#"{"id":"1","title":"x","createdDateTime":"2026-03-02T08:15:30Z","lastUpdateDateTime":"0001-01-01T00:00:00Z"}"#;
    assert_eq!(ecs(GraphAlert, body)["@timestamp"], "2026-03-02T08:15:30Z");
    assert_eq!(line("cef", GraphAlert, body).get("deviceCustomDate1"), None);
}

#[test]
fn times_of_processes_are_in_utc_and_never_of_the_year_1() {
    let row = |own: &str, parent: &str| {
        json!({
            "Timestamp": "2026-03-02T08:15:30Z", "InitiatingProcessId": 7, "InitiatingProcessFileName": "a.exe",
            "InitiatingProcessCreationTime": own, "InitiatingProcessParentId": 6,
            "InitiatingProcessParentCreationTime": parent,
        })
        .to_string()
    };
    let fields = line("cef", HuntingRow, &row("2026-03-02T08:00:00.25", "0001-01-01T00:00:00"));
    assert_eq!(fields["muProcessStartTime"], "2026-03-02T08:00:00.25Z");
    assert_eq!(fields.get("muParentProcessStartTime"), None);
    let fields = line("leef", HuntingRow, &row("2026-03-02T09:00:00+01:00", "2026-03-02T08:00:00.0000001Z"));
    assert_eq!(fields["processStartTime"], "2026-03-02T09:00:00+01:00");
    assert_eq!(fields["parentProcessStartTime"], "2026-03-02T08:00:00.0000001Z");
}

#[test]
fn a_streamed_row_has_its_own_severity_and_time() {
    let body = r#"{"time":"2026-03-02T08:20:00Z","tenantId":"5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d",
        "operationName":"Publish","category":"AdvancedHunting-AlertInfo","properties":{
        "Timestamp":"2026-03-02T08:15:30.5Z","AlertId":"a1","Title":"Odd","Severity":"High","Category":"Malware"}}"#;
    assert_eq!(times(HuntingRow, body), all(1_772_439_330_500, "2026-03-02T08:15:30.500+0000"));
    assert_eq!(read_cef(&event("cef", HuntingRow, body)).header[6], "8");
    assert_eq!(line("cef", HuntingRow, body)["deviceSeverity"], "High");
    let fields = line("leef", HuntingRow, body);
    assert_eq!((fields["sev"].as_str(), fields["severityName"].as_str()), ("8", "High"));
    assert_eq!(ocsf(HuntingRow, body)["severity_id"], 4);
}
