//! OCSF's observables are what they say they are, and stand where they say; a Base Event says who and where.

use muster_model::RecordKind::{self, EndpointAlert, GraphAlert, HuntingRow};
use serde_json::{Value, json};

use super::{ecs, events, line, ocsf};
use crate::corpus::corpus;
use crate::fixtures::FIXTURES;

/// The texts of an attribute such as `evidences[].file.name`.
fn at(event: &Value, path: &str) -> Vec<String> {
    let mut found = vec![event];
    for step in path.split('.') {
        let (name, depth) = (step.trim_end_matches("[]"), step.matches("[]").count());
        found = found.into_iter().filter_map(|value| value.get(name)).collect();
        for _ in 0..depth {
            found = found.into_iter().flat_map(|value| value.as_array().into_iter().flatten()).collect();
        }
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    found.into_iter().map(text).collect()
}

fn observables(event: &Value) -> Vec<(i64, String, String)> {
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let list = event["observables"].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|one| (one["type_id"].as_i64().unwrap_or(-1), text(one, "name"), text(one, "value")))
        .collect()
}

fn all_rows() -> Vec<String> {
    let own =
        FIXTURES.iter().filter(|(_, kind, _)| *kind == HuntingRow).map(|(_, _, body)| (*body).to_owned());
    let mut rows: Vec<String> = own.collect();
    let lines = |folder: &str| {
        let files = corpus(folder).into_iter().flat_map(|path| std::fs::read_dir(path).expect("a folder"));
        let texts =
            files.map(|file| std::fs::read_to_string(file.expect("a file").path()).unwrap_or_default());
        texts.collect::<Vec<_>>()
    };
    for text in lines("elastic-integrations/m365_defender/event") {
        rows.extend(text.lines().filter(|line| line.contains("AdvancedHunting-")).map(str::to_owned));
    }
    for text in lines("sekoia-intake-formats/microsoft-365-defender") {
        let read: Value = serde_json::from_str(&text).unwrap_or_default();
        rows.extend(read["input"]["message"].as_str().map(str::to_owned));
    }
    let is_row = |row: &String| RecordKind::detect(row.as_bytes()) == Some(HuntingRow);
    rows.retain(is_row);
    rows
}

#[test]
fn of_every_row_each_stands_where_its_name_says_and_is_what_it_is_called() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for row in all_rows() {
        let event = ocsf(HuntingRow, &row);
        for (kind, name, value) in observables(&event) {
            count += 1;
            let there = at(&event, &name);
            // Microsoft's text may have more around an address.
            let in_more = ["unmapped.LoggedOnUsers", "unmapped.Entities", "unmapped.RawEventData"];
            let stands = if matches!(kind, 2 | 5) || in_more.contains(&name.as_str()) {
                there.iter().any(|text| text.contains(&value))
            } else {
                there.contains(&value)
            };
            let is = match kind {
                2 => value.parse::<std::net::IpAddr>().is_ok(),
                5 => value.contains('@') && !value.contains(['<', ' ', '"']),
                _ => value != "-" && !value.trim().is_empty(),
            };
            if !stands || !is {
                wrong.push(format!("{} {kind} {name} {value:?}: {there:?}", event["class_name"]));
            }
        }
    }
    assert!(count > 300, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn addresses_come_without_what_stands_around_them() {
    let row = |remote: &str, local: &str| {
        json!({"category": "AdvancedHunting-DeviceNetworkEvents", "properties": {
            "Timestamp": "2026-03-02T08:15:30Z", "ActionType": "ConnectionSuccess", "RemoteIP": remote, "LocalIP": local,
        }})
        .to_string()
    };
    let event = ocsf(HuntingRow, &row("203.0.113.7:8080", "fe80::1%3"));
    assert_eq!(
        (&event["dst_endpoint"]["ip"], &event["src_endpoint"]["ip"]),
        (&json!("203.0.113.7"), &json!("fe80::1"))
    );
    // Microsoft's own text is not lost.
    assert_eq!(event["unmapped"]["RemoteIP"], "203.0.113.7:8080");
    let address = |name: &str, value: &str| (2, name.to_owned(), value.to_owned());
    assert_eq!(
        observables(&event),
        [address("dst_endpoint.ip", "203.0.113.7"), address("src_endpoint.ip", "fe80::1")]
    );
    let event = ocsf(HuntingRow, &row("-", " "));
    assert_eq!(event["class_uid"], 0, "no end of a connection is known: {event}");
    assert_eq!(observables(&event), []);
    let event = ocsf(HuntingRow, &row("198.51.100.1, 198.51.100.2", "10.0.0.7"));
    let found: Vec<String> = observables(&event).into_iter().map(|(_, _, value)| value).collect();
    assert_eq!(found, ["198.51.100.1", "198.51.100.2", "10.0.0.7"]);

    let alert = json!({
        "id": "1", "title": "x", "createdDateTime": "2026-03-02T08:15:30Z", "evidence": [
            {"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "203.0.113.7:443"},
            {"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "-"},
            {"@odata.type": "#microsoft.graph.security.mailClusterEvidence", "recipient": "All staff", "sender": "B <b@c.example>"},
        ],
    });
    let found: Vec<_> = observables(&ocsf(GraphAlert, &alert.to_string()))
        .into_iter()
        .map(|(kind, _, value)| (kind, value))
        .collect();
    assert!(found.contains(&(2, "203.0.113.7".to_owned())), "{found:?}");
    assert!(found.contains(&(5, "b@c.example".to_owned())), "{found:?}");
    assert!(found.contains(&(4, "All staff".to_owned())), "{found:?}");
    assert!(!found.iter().any(|(_, value)| value == "-"), "{found:?}");
}

#[test]
fn a_folder_is_no_path_of_a_file() {
    let row = json!({"category": "AdvancedHunting-AlertEvidence", "properties": {
        "Timestamp": "2026-03-02T08:15:30Z", "AlertId": "a", "EntityType": "File", "FileName": "odd.exe", "FolderPath": r"C:\odd",
    }});
    let event = ocsf(HuntingRow, &row.to_string());
    assert_eq!(event["evidences"][0]["file"]["path"], r"C:\odd\odd.exe");
    let names: Vec<_> = observables(&event).into_iter().filter(|(_, _, value)| value == r"C:\odd").collect();
    assert_eq!(names, [(99, "evidences[].file.parent_folder".to_owned(), r"C:\odd".to_owned())]);
}

#[test]
fn a_base_event_says_who_and_where() {
    let row = json!({
        "Timestamp": "2026-03-02T08:15:30Z", "ActionType": "NamedPipeEvent", "DeviceId": "d1", "DeviceName": "ws-1001.fabrikam.example",
        "InitiatingProcessId": 7, "InitiatingProcessFileName": "a.exe", "InitiatingProcessCreationTime": "2026-03-02T08:00:00Z",
        "InitiatingProcessCommandLine": "a.exe /x", "InitiatingProcessAccountName": "ida.sund", "InitiatingProcessAccountSid": "S-1-5-21-1",
        "ProcessId": 9, "Note": "x",
    });
    let body = json!({"category": "AdvancedHunting-DeviceEvents", "properties": row}).to_string();
    let event = ocsf(HuntingRow, &body);
    assert_eq!(event["class_uid"], 0);
    assert_eq!(event["device"]["hostname"], "ws-1001.fabrikam.example");
    assert_eq!(event["actor"]["process"]["pid"], 7);
    assert_eq!(event["actor"]["process"]["created_time"], 1_772_438_400_000_i64);
    assert_eq!(event["actor"]["process"]["cmd_line"], "a.exe /x");
    assert_eq!(event["actor"]["user"]["name"], "ida.sund");
    assert_eq!(event["metadata"]["profiles"], json!(["cloud", "host"]));
    assert_eq!((&event["unmapped"]["ProcessId"], &event["unmapped"]["Note"]), (&json!(9), &json!("x")));
    let found = observables(&event);
    assert!(found.contains(&(99, "actor.process.pid".to_owned(), "7".to_owned())), "{found:?}");
    assert!(found.contains(&(99, "unmapped.ProcessId".to_owned(), "9".to_owned())), "{found:?}");
}

#[test]
fn calls_and_connections_of_device_events_have_their_classes() {
    let host = json!({
        "Timestamp": "2026-03-02T08:15:30Z", "DeviceId": "d1", "DeviceName": "h", "InitiatingProcessId": 7,
        "InitiatingProcessFileName": "a.exe",
    });
    let event = |columns: Value| {
        let mut row = host.clone();
        for (key, value) in columns.as_object().expect("columns") {
            row[key] = value.clone();
        }
        ocsf(HuntingRow, &json!({"category": "AdvancedHunting-DeviceEvents", "properties": row}).to_string())
    };
    let open = event(
        json!({"ActionType": "OpenProcessApiCall", "ProcessId": 9, "FileName": "lsass.exe", "ProcessCreationTime": "2026-03-02T08:00:00Z"}),
    );
    assert_eq!((&open["class_uid"], &open["activity_id"]), (&json!(1007), &json!(3)));
    assert_eq!(
        (&open["process"]["pid"], &open["process"]["created_time"]),
        (&json!(9), &json!(1_772_438_400_000_i64))
    );
    let blocked = event(json!({
        "ActionType": "FirewallInboundConnectionBlocked", "RemoteIP": "203.0.113.7", "RemotePort": 50022, "LocalIP": "10.0.0.7", "LocalPort": 22,
    }));
    assert_eq!((&blocked["class_uid"], &blocked["activity_id"]), (&json!(4001), &json!(5)));
    assert_eq!(
        (&blocked["src_endpoint"]["port"], &blocked["dst_endpoint"]["port"]),
        (&json!(50022), &json!(22))
    );
}

#[test]
fn of_every_alert_each_stands_where_its_name_says() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (name, kind, body) in FIXTURES.iter().filter(|(_, kind, _)| *kind != HuntingRow) {
        for event in events("ocsf", *kind, body) {
            let event: Value = serde_json::from_str(&event).expect("JSON");
            for (_, place, value) in observables(&event) {
                count += 1;
                let there = at(&event, &place);
                // What an incident has of its alerts stands in their own events.
                let elsewhere = place == "finding_info_list[]" && event["class_uid"] == 2005;
                // Lists in a text, and what the record of an older API has in no evidence.
                let in_text = there.iter().any(|text| text.contains(&value));
                if there.is_empty() || !(in_text || elsewhere) {
                    wrong.push(format!("{name} {place} {value:?}: {there:?}"));
                }
            }
        }
    }
    assert!(count > 600, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_domain_of_an_account_is_no_entity_of_its_own() {
    let body = json!({
        "id": "1", "title": "x", "alertCreationTime": "2026-03-02T08:15:30Z", "detectionSource": "WindowsDefenderAv",
        "evidence": [
            {"entityType": "User", "accountName": "ida.sund", "domainName": "FABRIKAM", "userSid": "S-1-5-21-7"},
            {"entityType": "SecurityGroup", "domainName": "CONTOSO"},
        ],
    })
    .to_string();
    let event = ocsf(EndpointAlert, &body);
    let values: Vec<_> = observables(&event).into_iter().map(|(_, _, value)| value).collect();
    assert!(!values.contains(&"FABRIKAM".to_owned()) && values.contains(&"CONTOSO".to_owned()), "{values:?}");
    assert_eq!(event["evidences"][0]["user"]["domain"], "FABRIKAM");
    // Of a product that does not say its name.
    let product = &event["finding_info"]["product"];
    assert_eq!(
        (&product["name"], &product["feature"]["name"]),
        (&json!("Microsoft Defender for Endpoint"), &json!("WindowsDefenderAv"))
    );
    assert_eq!(line("cef", EndpointAlert, &body)["muEntities"], "CONTOSO");
    assert_eq!(ecs(EndpointAlert, &body)["labels"]["entity"], json!(["CONTOSO"]));
}
