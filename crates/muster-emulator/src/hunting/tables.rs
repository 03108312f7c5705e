//! The tables that can be asked, made from the alerts of a tenant.

use bytes::Bytes;
use serde_json::{Value, json};

use super::rows::{Column, Kind, Row, Rows};
use crate::world::tenants::World;
use crate::world::ticks::Ticks;

use Kind::{Bool, DateTime, Dynamic, Long, Text};

/// Adds the rows that an alert makes.
type OfAlert = fn(&Value, &mut Vec<Row>);

const ALERT_INFO: &[(&str, Kind)] = &[
    ("Timestamp", DateTime),
    ("AlertId", Text),
    ("Title", Text),
    ("Category", Text),
    ("Severity", Text),
    ("ServiceSource", Text),
    ("DetectionSource", Text),
    ("AttackTechniques", Text),
];

const ALERT_EVIDENCE: &[(&str, Kind)] = &[
    ("Timestamp", DateTime),
    ("AlertId", Text),
    ("Title", Text),
    ("EntityType", Text),
    ("EvidenceRole", Text),
    ("DeviceName", Text),
    ("FileName", Text),
    ("RemoteIP", Text),
    ("RemoteUrl", Text),
    ("AccountUpn", Text),
    ("AdditionalFields", Dynamic),
];

const DEVICE_PROCESS_EVENTS: &[(&str, Kind)] = &[
    ("Timestamp", DateTime),
    ("DeviceId", Text),
    ("ActionType", Text),
    ("FileName", Text),
    ("FolderPath", Text),
    ("SHA1", Text),
    ("SHA256", Text),
    ("ProcessId", Long),
    ("ProcessCommandLine", Text),
    ("ProcessCreationTime", DateTime),
    ("AccountName", Text),
    ("InitiatingProcessFileName", Text),
    ("InitiatingProcessId", Long),
    ("IsProcessRemoteSession", Bool),
    ("ReportId", Long),
    ("AdditionalFields", Dynamic),
];

/// A table of a tenant, with what happened from `from` on; `None` where there is none of this name.
pub(super) fn table(world: &World, tenant: u32, name: &str, from: Ticks) -> Option<Rows> {
    let (columns, of_alert): (_, OfAlert) = match name {
        "AlertInfo" => (ALERT_INFO, alert_info),
        "AlertEvidence" => (ALERT_EVIDENCE, alert_evidence),
        "DeviceProcessEvents" => (DEVICE_PROCESS_EVENTS, processes),
        _ => return None,
    };
    let alerts: Vec<_> = {
        let state = world.state(tenant);
        let places = 0..u32::try_from(state.alerts.len()).unwrap_or(u32::MAX);
        places.filter_map(|place| state.alerts.visible(place).cloned()).collect()
    };
    let columns =
        columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect();
    let mut rows = Vec::new();
    for alert in alerts.iter().filter(|alert| alert.created >= from) {
        // A hostile record need not be JSON.
        if let Ok(alert) = serde_json::from_slice(&alert.body(world.facts(tenant)).full) {
            of_alert(&alert, &mut rows);
        }
    }
    Some(Rows { columns, rows })
}

/// An alert as its row of `AlertInfo`, as an object; `None` where a query by time cannot meet it.
pub(crate) fn alert_info_row(alert: &[u8]) -> Option<Bytes> {
    let mut rows = Vec::new();
    alert_info(&serde_json::from_slice(alert).ok()?, &mut rows);
    let row = rows.pop()?;
    row[0].as_str().and_then(Ticks::parse)?;
    let names = ALERT_INFO.iter().map(|(name, _)| (*name).to_owned());
    let row: serde_json::Map<String, Value> = names.zip(row).collect();
    Some(Value::Object(row).to_string().into())
}

/// The rows of `AlertEvidence` that an alert makes, as objects.
pub(crate) fn alert_evidence_rows(alert: &[u8]) -> Vec<Value> {
    let mut rows = Vec::new();
    if let Ok(alert) = serde_json::from_slice(alert) {
        alert_evidence(&alert, &mut rows);
    }
    let named = |row: Row| {
        let names = ALERT_EVIDENCE.iter().map(|(name, _)| (*name).to_owned());
        Value::Object(names.zip(row).collect())
    };
    rows.into_iter().map(named).collect()
}

fn text(value: &Value) -> Value {
    match value {
        Value::String(_) => value.clone(),
        Value::Null => Value::Null,
        other => Value::String(other.to_string()),
    }
}

fn joined(value: &Value) -> Value {
    let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    Value::String(words.collect::<Vec<_>>().join(", "))
}

/// The beginning in upper case, as the tables write what Graph begins in lower case.
fn large(value: &Value) -> Value {
    let Some(word) = value.as_str() else { return Value::Null };
    let mut letters = word.chars();
    Value::String(letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect())
}

fn elements(alert: &Value) -> impl Iterator<Item = &Value> {
    alert["evidence"].as_array().into_iter().flatten().filter(|evidence| evidence.is_object())
}

fn alert_info(alert: &Value, rows: &mut Vec<Row>) {
    rows.push(vec![
        text(&alert["createdDateTime"]),
        text(&alert["id"]),
        text(&alert["title"]),
        text(&alert["category"]),
        large(&alert["severity"]),
        large(&alert["serviceSource"]),
        large(&alert["detectionSource"]),
        joined(&alert["mitreTechniques"]),
    ]);
}

fn alert_evidence(alert: &Value, rows: &mut Vec<Row>) {
    for evidence in elements(alert) {
        let kind = evidence["@odata.type"].as_str().unwrap_or_default();
        let kind = kind.rsplit('.').next().unwrap_or_default().trim_end_matches("Evidence");
        let file = match kind {
            "process" => &evidence["imageFile"]["fileName"],
            _ => &evidence["fileDetails"]["fileName"],
        };
        let tags = &evidence["tags"];
        rows.push(vec![
            text(&evidence["createdDateTime"]),
            text(&alert["id"]),
            text(&alert["title"]),
            large(&Value::from(kind)),
            joined(&evidence["roles"]),
            text(&evidence["deviceDnsName"]),
            text(file),
            text(&evidence["ipAddress"]),
            text(&evidence["url"]),
            text(&evidence["userAccount"]["userPrincipalName"]),
            match tags.as_array().is_some_and(|tags| !tags.is_empty()) {
                true => json!({ "Tags": tags }),
                false => Value::Null,
            },
        ]);
    }
}

fn processes(alert: &Value, rows: &mut Vec<Row>) {
    let is_process = |evidence: &&Value| {
        evidence["@odata.type"].as_str().is_some_and(|kind| kind.ends_with(".processEvidence"))
    };
    for process in elements(alert).filter(is_process) {
        let (file, parent) = (&process["imageFile"], &process["parentProcessImageFile"]);
        let id = process["processId"].as_i64();
        rows.push(vec![
            text(&process["createdDateTime"]),
            text(&process["mdeDeviceId"]),
            Value::from("ProcessCreated"),
            text(&file["fileName"]),
            text(&file["filePath"]),
            text(&file["sha1"]),
            text(&file["sha256"]),
            json!(id),
            text(&process["processCommandLine"]),
            text(&process["processCreationDateTime"]),
            text(&process["userAccount"]["accountName"]),
            text(&parent["fileName"]),
            json!(process["parentProcessId"].as_i64()),
            // Nothing in the world knows of sessions; some of them are remote.
            json!(id.is_some_and(|id| id % 3 == 0)),
            json!(rows.len() + 1),
            Value::Null,
        ]);
    }
}
