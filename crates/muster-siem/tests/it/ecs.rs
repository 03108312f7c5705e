//! ECS documents: each evidence type and kind of record, names and values against the field lists of ECS.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Record, RecordHead, RecordKind};
use muster_siem::formats::{EcsOptions, EcsVersion, Events, Format};
use proptest::prelude::*;
use serde_json::Value;

use crate::corpus::corpus;
use crate::fixtures::{FIXTURES, assert_snapshot, changed_head, head, tenant};

/// Hunting rows with what the shared fixtures do not have.
const MORE: [(&str, &str); 9] = [
    (
        "DnsConnectionInspected",
        r#"{"category":"AdvancedHunting-DeviceNetworkEvents","properties":{"Timestamp":"2026-03-02T08:00:00Z",
            "ActionType":"DnsConnectionInspected","DeviceId":"d1","AdditionalFields":{"direction":"Out","query":"x.example",
            "qclass_name":"C_INTERNET","qtype_name":"A","rcode_name":"NOERROR","RD":"true",
            "answers":"[\"192.0.2.7\",\"y.example\"]"}}}"#,
    ),
    (
        "InboundConnectionAttempt",
        r#"{"category":"AdvancedHunting-DeviceNetworkEvents","properties":{"Timestamp":"2026-03-02T08:00:00Z",
            "ActionType":"InboundConnectionAttempt","RemoteIP":"203.0.113.9","LocalIP":"10.0.0.7","LocalPort":445,
            "AdditionalFields":"{\"Source Mac\":\"02:00:00:00:00:01\",\"Destination Mac\":\"02:00:00:00:00:02\"}"}}"#,
    ),
    (
        "SshConnectionInspected",
        r#"{"category":"AdvancedHunting-DeviceNetworkEvents","properties":{"Timestamp":"2026-03-02T08:00:00Z",
            "ActionType":"SshConnectionInspected","RemoteIP":"203.0.113.9","RemotePort":50022,"LocalIP":"10.0.0.7",
            "LocalPort":22,"Protocol":"TcpV4",
            "AdditionalFields":"{\"direction\":\"In\",\"auth_success\":\"true\",\"client\":\"SSH-2.0-x\"}"}}"#,
    ),
    (
        "OpenProcessApiCall",
        r#"{"category":"AdvancedHunting-DeviceEvents","properties":{"Timestamp":"2026-03-02T08:00:00Z",
            "ActionType":"OpenProcessApiCall","DeviceId":"d1","FileName":"lsass.exe","FolderPath":"C:\\Windows\\System32",
            "ProcessId":700,"ProcessCommandLine":"lsass.exe","ProcessCreationTime":"2026-03-02T07:00:00Z",
            "InitiatingProcessFileName":"dump.exe",
            "InitiatingProcessFolderPath":"C:\\odd\\dump.exe","InitiatingProcessId":4711,
            "InitiatingProcessCommandLine":"dump.exe /all","InitiatingProcessIntegrityLevel":"High",
            "AdditionalFields":"{\"DesiredAccess\":5136}"}}"#,
    ),
    (
        "NtAllocateVirtualMemoryApiCall",
        r#"{"category":"AdvancedHunting-DeviceEvents","properties":{"Timestamp":"2026-03-02T08:00:00Z",
            "ActionType":"NtAllocateVirtualMemoryApiCall","DeviceId":"d1","InitiatingProcessFileName":"inject.exe",
            "InitiatingProcessId":4712,"InitiatingProcessIntegrityLevel":"Unknown",
            "AdditionalFields":{"BaseAddress":1382605600768,"RegionSize":208,"ProtectionMask":64}}}"#,
    ),
    (
        "FileCreated",
        r#"{"category":"AdvancedHunting-DeviceFileEvents","properties":{"Timestamp":"2026-03-02T08:00:00Z",
            "ActionType":"FileCreated","DeviceId":"d1","FileName":"odd.zip","FolderPath":"D:\\share\\odd.zip",
            "FileOriginReferrerUrl":"https://www.odd.example/","RequestProtocol":"Smb","RequestSourceIP":"10.0.0.9",
            "RequestSourcePort":49822,"InitiatingProcessFileName":"System","InitiatingProcessId":4,
            "InitiatingProcessParentFileName":"\\Device\\HarddiskVolume3\\odd\\starter.exe"}}"#,
    ),
    (
        "DeviceFileCertificateInfo",
        r#"{"Timestamp":"2026-03-02T08:00:00Z","DeviceId":"d1","SHA1":"4444444444444444444444444444444444444444",
            "IsSigned":true,"IsTrusted":false,"SignatureType":"Embedded","Signer":"Fabrikam","Issuer":"Fabrikam CA",
            "CertificateSerialNumber":"3300","CertificateCreationTime":"2025-01-01T00:00:00Z",
            "CertificateExpirationTime":"2027-01-01T00:00:00Z"}"#,
    ),
    (
        "CloudProcessEvents",
        r#"{"category":"AdvancedHunting-CloudProcessEvents","properties":{"Timestamp":"2026-03-02T08:00:00Z",
            "ActionType":"ProcessCreated","ProcessId":7,"FolderPath":"/usr/bin/bash","FileName":"/usr/bin/bash",
            "ProcessName":"bash","ContainerName":"web","ProcessCurrentWorkingDirectory":"/srv"}}"#,
    ),
    (
        "UrlClickEvents",
        r#"{"Timestamp":"2026-03-02T08:00:00Z","IsClickedThrough":false,"Workload":"Email","ActionType":"ClickBlocked",
            "Url":"http://me:word@x.example:8080/a.gif?k=v#part"}"#,
    ),
];

/// All records.
fn records() -> impl Iterator<Item = (&'static str, RecordKind, &'static str)> {
    FIXTURES.iter().copied().chain(MORE.map(|(name, body)| (name, RecordKind::HuntingRow, body)))
}

fn format(ecs_version: EcsVersion) -> Format {
    Format::Ecs(EcsOptions { ecs_version, ..EcsOptions::default() })
}

fn documents(format: &Format, kind: RecordKind, body: &str) -> Vec<Value> {
    documents_of(format, kind, &head(kind, body), body)
}

fn documents_of(format: &Format, kind: RecordKind, head: &RecordHead, body: &str) -> Vec<Value> {
    let mut events = Events::new();
    format
        .write(kind, Record { head, body, replay: None }, &tenant(), &mut events)
        .expect("it can be written");
    let documents = events.iter().map(|event| {
        assert!(!event.contains(&b'\n'), "one line");
        serde_json::from_slice(event).expect("a document is JSON")
    });
    documents.collect()
}

/// The fields of a document: paths with dots, without Microsoft's own part.
fn fields(document: &Value) -> BTreeMap<String, Vec<Value>> {
    fn step(path: &str, value: &Value, fields: &mut BTreeMap<String, Vec<Value>>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                step(&path, value, fields);
            }),
            Value::Array(list) => {
                let values = fields.entry(path.to_owned()).or_default();
                assert!(!list.is_empty() && list.iter().all(|value| !value.is_object()), "{path}");
                values.extend(list.iter().cloned());
            }
            other => fields.entry(path.to_owned()).or_default().push(other.clone()),
        }
    }
    let mut own = document.clone();
    for vendor in ["m365_defender", "microsoft"] {
        own.as_object_mut().expect("an object").remove(vendor);
    }
    let mut fields = BTreeMap::new();
    step("", &own, &mut fields);
    fields
}

#[test]
fn snapshots() {
    let format = format(EcsVersion::V9_4);
    for (name, kind, body) in records() {
        let shown = documents(&format, kind, body);
        assert_snapshot("ecs", name, &serde_json::to_string_pretty(&shown).expect("JSON"));
    }
}

/// What is no field of ECS, with its type: fields of Elastic Defend, which Elastic's integration writes into these
/// documents and Elastic's detection rules ask for. ECS leaves names with capitals to others, so none of them will be
/// another field of a later version.
const ELASTIC_DEFEND: [(&str, &str); 15] = [
    ("Target.process.command_line", "wildcard"),
    ("Target.process.executable", "keyword"),
    ("Target.process.name", "keyword"),
    ("Target.process.pid", "long"),
    ("Target.process.start", "date"),
    ("dll.Ext.size", "long"),
    ("file.Ext.original.name", "keyword"),
    ("file.Ext.original.path", "keyword"),
    ("process.Ext.api.name", "keyword"),
    ("process.Ext.api.parameters.address", "long"),
    ("process.Ext.api.parameters.desired_access_numeric", "long"),
    ("process.Ext.api.parameters.protection", "keyword"),
    ("process.Ext.api.parameters.size", "long"),
    ("process.Ext.token.integrity_level_name", "keyword"),
    ("process.parent.Ext.token.integrity_level_name", "keyword"),
];

/// One field of a version of ECS.
struct Known {
    kind: String,
    list: bool,
    allowed: BTreeSet<String>,
}

/// The field list of a version of ECS, where it lies beside the checkout.
fn known(version: &str) -> Option<BTreeMap<String, Known>> {
    let path = corpus(&format!("ecs/ecs-fields-v{version}.csv"))?;
    let text = std::fs::read_to_string(path).expect("the list is text");
    let mut known = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut cells = line.split(',');
        let mut cell = || cells.next().unwrap_or_default().to_owned();
        let (name, kind, _, list, allowed) = (cell(), cell(), cell(), cell(), cell());
        let allowed = allowed.split(['|', ';', ' ']).filter(|word| !word.is_empty()).map(str::to_owned);
        known.insert(name, Known { kind, list: !list.is_empty(), allowed: allowed.collect() });
    }
    for (name, kind) in ELASTIC_DEFEND {
        let field = Known { kind: kind.to_owned(), list: false, allowed: BTreeSet::new() };
        assert!(known.insert(name.to_owned(), field).is_none(), "{name} is a field of ECS by now");
    }
    Some(known)
}

#[test]
fn names_types_and_values_are_those_of_ecs() {
    for (version, name) in [(EcsVersion::V8_11, "8.11.0"), (EcsVersion::V9_4, "9.4.0")] {
        let Some(known) = known(name) else { return };
        assert!(known.len() > 1000);
        assert!(known["event.category"].allowed.contains("malware"), "{:?}", known["event.category"].allowed);
        for (fixture, kind, body) in records() {
            for document in documents(&format(version), kind, body) {
                assert_eq!(document["ecs"]["version"], name);
                for (field, values) in fields(&document) {
                    if field.starts_with("labels.") {
                        continue;
                    }
                    let Some(definition) = known.get(&field) else {
                        panic!("{fixture}: {field} is no field of ECS {name}");
                    };
                    if definition.list {
                        let at = field.split('.').fold(&document, |value, key| &value[key]);
                        assert!(at.is_array(), "{fixture}: {field} is a list in ECS");
                    }
                    for value in values {
                        let text = value.as_str().unwrap_or_default();
                        let fits = match definition.kind.as_str() {
                            "long" => value.is_i64(),
                            "boolean" => value.is_boolean(),
                            "ip" => text.parse::<std::net::IpAddr>().is_ok(),
                            "date" => text.parse::<jiff::Timestamp>().is_ok(),
                            _ => value.is_string() && !text.trim().is_empty(),
                        };
                        assert!(fits, "{fixture}: {field} is {}, not {value}", definition.kind);
                        assert!(
                            definition.allowed.is_empty() || definition.allowed.contains(text),
                            "{fixture}: {field} may not be {value}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_table_of_fields_is_what_is_written() {
    let format = Format::Ecs(EcsOptions { event_original: true, ..EcsOptions::default() });
    let mut written: BTreeMap<String, BTreeSet<RecordKind>> = BTreeMap::new();
    for (_, kind, body) in records() {
        for document in documents_of(&format, kind, &changed_head(kind, body), body) {
            for field in fields(&document).into_keys() {
                written.entry(field).or_default().insert(kind);
            }
        }
    }
    let mut wrong = Vec::new();
    for (field, kinds) in &written {
        let row = format.fields().iter().find(|row| row.name == field);
        let documented: BTreeSet<_> = row.map(|row| row.kinds.iter().copied().collect()).unwrap_or_default();
        if *kinds != documented {
            wrong.push(format!("{field}: {kinds:?}"));
        }
    }
    for row in format.fields() {
        if !row.name.ends_with('*') && !written.contains_key(row.name) {
            wrong.push(format!("{}: never", row.name));
        }
    }
    assert!(wrong.is_empty(), "the table says otherwise of {} fields:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_string_of_the_record_is_in_the_document() {
    fn strings(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => match serde_json::from_str(text) {
                // Hunting columns hold JSON inside a string, which the document has as objects.
                Ok(inner @ (Value::Object(_) | Value::Array(_))) => strings(&inner, found),
                _ if text.trim().is_empty() => {}
                _ => found.push(text.clone()),
            },
            Value::Array(list) => list.iter().for_each(|value| strings(value, found)),
            Value::Object(map) => map.values().for_each(|value| strings(value, found)),
            _ => {}
        }
    }
    let format = format(EcsVersion::V9_4);
    for (name, kind, body) in records() {
        let (mut there, mut wanted) = (Vec::new(), Vec::new());
        documents(&format, kind, body).iter().for_each(|document| strings(document, &mut there));
        strings(&serde_json::from_str(body).expect("JSON"), &mut wanted);
        for text in wanted {
            assert!(there.contains(&text), "{name}: {text} is lost");
        }
    }
}

fn row(table: &str, columns: &Value) -> Value {
    let body = serde_json::json!({ "category": format!("AdvancedHunting-{table}"), "properties": columns });
    documents(&format(EcsVersion::V9_4), RecordKind::HuntingRow, &body.to_string()).swap_remove(0)
}

/// Where ECS has one value, a row has one, and what else there is stays findable.
#[test]
fn a_row_has_one_value_where_ecs_has_one() {
    use serde_json::json;
    let both = row(
        "DeviceNetworkEvents",
        &json!({ "InitiatingProcessAccountName": "ida", "InitiatingProcessAccountSid": "S-1-5-21-7",
            "InitiatingProcessAccountObjectId": "7798be81-8890-451b-83fe-ba66127b6eff" }),
    );
    assert_eq!(both["user"]["id"], "S-1-5-21-7");
    assert_eq!(both["related"]["user"], json!(["ida", "S-1-5-21-7", "7798be81-8890-451b-83fe-ba66127b6eff"]));
    let entra =
        row("CloudAppEvents", &json!({ "AccountObjectId": "7798be81", "AccountUpn": "ida@x.example" }));
    assert_eq!(entra["user"]["id"], "7798be81");
    let shown =
        row("CloudAppEvents", &json!({ "AccountObjectId": "7798be81", "AccountDisplayName": "Ida Sund" }));
    assert_eq!(shown["user"]["id"], "7798be81");

    let zap = row(
        "EmailPostDeliveryEvents",
        &json!({ "ActionType": "Malware ZAP", "Action": "Moved to quarantine", "Timestamp": "2026-03-02T08:00:00Z" }),
    );
    assert_eq!(zap["event"]["action"], "malware-zap");
    assert_eq!(zap["m365_defender"]["event"]["action"]["value"], "Moved to quarantine");
    let delivered = row("EmailEvents", &json!({ "DeliveryAction": "Delivered" }));
    assert_eq!(delivered["event"]["action"], "Delivered");

    let click = row(
        "UrlClickEvents",
        &json!({ "Url": "https://x.example/a?b=c", "UrlDomain": "Z.example",
            "UrlChain": r#"["https://x.example/a?b=c","https://y.example/d?e=f","http://192.0.2.3/"]"# }),
    );
    assert_eq!(click["url"]["original"], "https://x.example/a?b=c");
    assert_eq!(click["url"]["query"], "b=c");
    assert_eq!(click["url"]["domain"], "x.example");
    assert_eq!(click["related"]["hosts"], json!(["x.example", "y.example", "z.example"]));
    assert_eq!(click["related"]["ip"], json!(["192.0.2.3"]));
    let only = row("EmailUrlInfo", &json!({ "UrlDomain": "Z.example" }));
    assert_eq!(only["url"], json!({ "domain": "z.example" }));
}

/// Who asked for a file from elsewhere.
#[test]
fn a_file_that_was_asked_for_names_who_asked() {
    let asked = row(
        "DeviceFileEvents",
        &serde_json::json!({
            "RequestProtocol": "Smb", "RequestSourceIP": "10.0.0.9", "RequestSourcePort": 49822, "FileName": "a",
        }),
    );
    assert_eq!(asked["source"]["ip"], "10.0.0.9");
    assert_eq!(asked["source"]["port"], 49822);
    assert_eq!(asked["network"]["protocol"], "smb");
    let local = row("DeviceFileEvents", &serde_json::json!({ "RequestProtocol": "Local", "FileName": "a" }));
    assert!(local.get("network").is_none());
    let logon =
        row("DeviceLogonEvents", &serde_json::json!({ "RemoteDeviceName": "ws-9", "RemoteIP": "10.0.0.9" }));
    assert_eq!(logon["source"]["domain"], "ws-9");
}

/// Elastic reads the status of the incident, and knows no change of it.
#[test]
fn an_incident_of_defender_xdr_ends_when_it_is_resolved() {
    for (incident, alert, kind) in [
        ("InProgress", "New", "info"),
        ("Active", "InProgress", "info"),
        ("Active", "Resolved", "info"),
        ("Resolved", "Resolved", "end"),
    ] {
        let body = serde_json::json!({ "incidentId": 9, "incidentName": "I", "status": incident,
            "lastUpdateTime": "2026-03-06T03:20:57Z", "alerts": [{ "alertId": "a", "status": alert, "entities": [
                { "entityType": "MailBox", "userPrincipalName": "nora@x.example", "mailboxAddress": "n@x.example" },
            ] }] });
        let document = &documents(&format(EcsVersion::V9_4), RecordKind::XdrIncident, &body.to_string())[0];
        assert_eq!(document["event"]["type"], serde_json::json!([kind]), "{incident} {alert}");
        assert_eq!(document["user"]["name"], "nora@x.example");
    }
}

/// What Elastic's rule for access to LSASS asks for.
#[test]
fn a_call_names_itself_and_the_process_it_acts_on() {
    let of = |name| MORE.iter().find(|(other, _)| *other == name).map(|(_, body)| *body).expect("a row");
    let written =
        |name| documents(&format(EcsVersion::V9_4), RecordKind::HuntingRow, of(name)).swap_remove(0);
    let opened = written("OpenProcessApiCall");
    assert_eq!(opened["event"]["category"], serde_json::json!(["api"]));
    assert_eq!(opened["event"]["type"], serde_json::json!(["access"]));
    assert_eq!(opened["host"]["os"]["type"], "windows");
    assert_eq!(opened["process"]["name"], "dump.exe");
    assert_eq!(opened["process"]["Ext"]["api"]["name"], "OpenProcess");
    assert_eq!(opened["process"]["Ext"]["api"]["parameters"]["desired_access_numeric"], 5136);
    assert_eq!(opened["process"]["Ext"]["token"]["integrity_level_name"], "High");
    assert_eq!(
        opened["Target"]["process"],
        serde_json::json!({
            "name": "lsass.exe", "executable": "C:\\Windows\\System32\\lsass.exe", "command_line": "lsass.exe", "pid": 700,
            "start": "2026-03-02T07:00:00Z",
        })
    );
    let allocated = written("NtAllocateVirtualMemoryApiCall");
    assert_eq!(
        allocated["process"]["Ext"],
        serde_json::json!({ "api": {
            "name": "NtAllocateVirtualMemory",
            "parameters": { "address": 1_382_605_600_768_i64, "size": 208, "protection": "64" },
        } })
    );
    assert!(allocated.get("Target").is_none());
}

/// An inspected connection says which way it went.
#[test]
fn the_far_side_of_what_comes_in_is_the_source() {
    for (action, told, direction) in [
        ("HttpConnectionInspected", "In", "inbound"),
        ("HttpConnectionInspected", "Out", "outbound"),
        ("HttpConnectionInspected", "", "unknown"),
        ("InboundConnectionAccepted", "", "inbound"),
        ("ConnectionSuccess", "", "outbound"),
        ("ListeningConnectionCreated", "", "unknown"),
        ("ConnectionFound", "", "unknown"),
    ] {
        let body = serde_json::json!({ "category": "AdvancedHunting-DeviceNetworkEvents", "properties": {
            "Timestamp": "2026-03-02T08:00:00Z", "ActionType": action, "RemoteIP": "203.0.113.9", "RemotePort": 50022,
            "LocalIP": "10.0.0.7", "LocalPort": 22, "AdditionalFields": { "direction": told },
        } });
        let document = &documents(&format(EcsVersion::V9_4), RecordKind::HuntingRow, &body.to_string())[0];
        assert_eq!(document["network"]["direction"], direction, "{action} {told}");
        let (far, near) =
            if direction == "inbound" { ("source", "destination") } else { ("destination", "source") };
        assert_eq!(document[far]["ip"], "203.0.113.9", "{action} {told}");
        assert_eq!(document[far]["port"], 50022);
        assert_eq!(document[near]["ip"], "10.0.0.7");
        assert_eq!(document[near]["port"], 22);
    }
}

#[test]
fn severities_of_the_two_versions() {
    for (severity, old, new) in [("informational", 1, 21), ("low", 2, 47), ("medium", 3, 73), ("high", 4, 99)]
    {
        let body = format!(r#"{{"id":"1","severity":"{severity}"}}"#);
        for (version, number) in [(EcsVersion::V8_11, old), (EcsVersion::V9_4, new)] {
            let documents = documents(&format(version), RecordKind::GraphAlert, &body);
            assert_eq!(documents[0]["event"]["severity"], number);
        }
    }
    let documents =
        documents(&format(EcsVersion::V9_4), RecordKind::GraphAlert, r#"{"id":"1","severity":"odd"}"#);
    assert!(documents[0]["event"].get("severity").is_none());
}

#[test]
fn the_namespace_is_one_that_elastic_takes() {
    let format = Format::Ecs(EcsOptions {
        namespace: Some("{{ tenant.name }}-Å*".parse().expect("a template")),
        ..EcsOptions::default()
    });
    let documents = documents(&format, RecordKind::GraphAlert, r#"{"id":"1"}"#);
    assert_eq!(documents[0]["data_stream"]["namespace"], "fabrikam_ab___");
}

#[test]
fn an_incident_is_a_document_for_each_alert() {
    let body = r#"{"id":"9","displayName":"I","alerts":[{"id":"a","title":"A"},{"id":"b","title":"B"}]}"#;
    let documents = documents(&format(EcsVersion::V9_4), RecordKind::GraphIncident, body);
    assert_eq!(documents.len(), 2);
    for (document, id) in documents.iter().zip(["a", "b"]) {
        assert_eq!(document["event"]["id"], "9");
        assert_eq!(document["m365_defender"]["incident"]["alert"]["id"], id);
        assert!(document["m365_defender"]["incident"].get("alerts").is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in a record, the document is JSON, and the text is there as it was.
    #[test]
    fn hostile_texts_stay_what_they_are(
        title in any::<String>(),
        name in "[\\PC\u{0}-\u{1f}\u{202e}\"\\\\]{1,40}",
        key in "[a-zA-Z@._ \u{0}\"\\\\]{1,20}",
    ) {
        let record = serde_json::json!({
            "id": "1",
            "title": title,
            "description": title,
            key.as_str(): name,
            "evidence": [
                { "@odata.type": "#microsoft.graph.security.deviceEvidence", "deviceDnsName": name, "mdeDeviceId": name,
                  "ipInterfaces": [name], "loggedOnUsers": [{ "accountName": name }] },
                { "@odata.type": "#microsoft.graph.security.urlEvidence", "url": name },
                { "@odata.type": "#microsoft.graph.security.fileEvidence",
                  "fileDetails": { "fileName": name, "filePath": title, "fileSize": title } },
                { "@odata.type": "#microsoft.graph.security.registryValueEvidence", "registryKey": name, "registryHive": title },
            ],
        });
        let body = record.to_string();
        let documents = documents(&format(EcsVersion::V9_4), RecordKind::GraphAlert, &body);
        prop_assert_eq!(documents.len(), 1);
        let message = &documents[0]["m365_defender"]["alert"]["title"];
        if !title.bytes().all(|byte| byte.is_ascii_whitespace()) {
            prop_assert_eq!(message, &Value::String(title));
        }
    }

    #[test]
    fn hostile_rows_stay_json(
        table in "[A-Za-z]{0,12}",
        value in any::<String>(),
        inner in "[\\[\\]{}:,\"\\\\a-z0-9 \n\u{0}]{0,60}",
    ) {
        let row = serde_json::json!({
            "Timestamp": value, "ReportId": 1, "ActionType": value, "AdditionalFields": inner, "IPAddresses": inner,
            "ProcessCommandLine": value, "ProcessId": 7, "Url": value, "FileName": value, "FolderPath": value,
            "RemoteIP": value, "AttackTechniques": inner, "RegistryKey": value, "InternetMessageId": value,
        });
        let body = serde_json::json!({ "category": format!("AdvancedHunting-{table}"), "properties": row }).to_string();
        let documents = documents(&format(EcsVersion::V9_4), RecordKind::HuntingRow, &body);
        prop_assert_eq!(documents.len(), 1);
    }
}

/// JSON inside a string was seen by no parser: what is none must not reach the document as it is.
#[test]
fn broken_json_inside_a_string_stays_a_string() {
    let inner = "{\"Urls\":[\"http://x.example/\\n\n\"],\"query\":\"a\nb\"}";
    let row = serde_json::json!({ "Timestamp": "2026-01-01T00:00:00Z", "ReportId": 1, "AdditionalFields": inner,
        "IsAdminOperation": "1", "PublicIP": "-", "IPAddress": "192.0.2.1,192.0.2.2", "ProcessCreationTime": "then" });
    let documents = documents(&format(EcsVersion::V9_4), RecordKind::HuntingRow, &row.to_string());
    let event = &documents[0]["m365_defender"]["event"];
    assert_eq!(event["additional_fields"]["value"], inner);
    assert_eq!(event["is_admin_operation"], true);
    assert_eq!(event["public_ip"]["value_text"], "-");
    assert_eq!(event["ip_address_text"], "192.0.2.1,192.0.2.2");
    assert_eq!(event["process"]["creation_time_text"], "then");
    assert!(documents[0].get("url").is_none());
}

/// Types of evidence share names that are a text in one and an object in another.
#[test]
fn a_name_in_the_evidence_is_of_one_type() {
    fn step(path: &str, value: &Value, types: &mut BTreeMap<String, BTreeSet<&'static str>>) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| step(path, value, types)),
            Value::Object(map) => {
                types.entry(path.to_owned()).or_default().insert("object");
                for (key, value) in map {
                    step(&format!("{path}.{key}"), value, types);
                }
            }
            _ => {
                types.entry(path.to_owned()).or_default().insert("text");
            }
        }
    }
    let format = format(EcsVersion::V9_4);
    let mut types: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (_, kind, body) in records().filter(|(_, kind, _)| *kind == RecordKind::GraphAlert) {
        for document in documents(&format, kind, body) {
            step("", &document["m365_defender"]["alert"], &mut types);
        }
    }
    let mixed: Vec<_> = types.iter().filter(|(_, types)| types.len() > 1).collect();
    assert!(mixed.is_empty(), "{mixed:?}");
    assert!(types.len() > 200);
}

#[test]
fn half_surrogates_do_not_reach_the_receiver() {
    let body = r##"{"id":"1","title":"a\ud800b","odd":"\udc00","evidence":[{"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"accountName":"x\ud83d"}}]}"##;
    let head = muster_model::RecordHead::read(muster_model::RecordKind::GraphAlert, body).expect("a record");
    let mut events = Events::new();
    format(EcsVersion::V9_4)
        .write(RecordKind::GraphAlert, Record { head: &head, body, replay: None }, &tenant(), &mut events)
        .expect("it can be written");
    let document: Value = serde_json::from_slice(&events.bytes).expect("a strict reader takes it");
    assert_eq!(document["m365_defender"]["alert"]["title"], "a\u{fffd}b");
    assert_eq!(document["user"]["name"], "x\u{fffd}");
}
