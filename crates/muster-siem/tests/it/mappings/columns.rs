//! Columns of rows that have a field of their own, and such as have none.

use muster_model::RecordKind::{GraphAlert, HuntingRow};
use serde_json::{Value, json};

use super::{ecs, ocsf};
use crate::fixtures::fixture;

fn row(table: &str, columns: &Value) -> String {
    json!({"time": "2026-03-02T08:16:00Z", "category": format!("AdvancedHunting-{table}"), "properties": columns}).to_string()
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn what_was_plugged_in_and_who_came_by_a_remote_session() {
    let document = ecs(HuntingRow, fixture("hunting/UsbDriveMounted"));
    assert_eq!(
        document["device"],
        json!({"id": "0401396c0881735a", "manufacturer": "Oddware", "model": {"name": "Odd Stick"}})
    );
    assert_eq!(document["source"]["ip"], "203.0.113.171");
    assert!(list(&document["related"]["ip"]).contains(&"203.0.113.171"));
    assert!(list(&document["related"]["hosts"]).contains(&"jump-7.fabrikam.example"));
    let document = ecs(
        HuntingRow,
        &row(
            "DeviceEvents",
            &json!({
                "ActionType": "PnpDeviceConnected", "DeviceId": "d1",
                "AdditionalFields": {"ClassName": "DiskDrive", "DeviceDescription": "Disk drive", "DeviceId": r"USBSTOR\X\1"},
            }),
        ),
    );
    assert_eq!(document["device"], json!({"id": r"USBSTOR\X\1", "model": {"name": "Disk drive"}}));
    assert_eq!(document["host"]["id"], "d1");
    // Of a connection the far side is the source or destination, and the session only related.
    let document = ecs(
        HuntingRow,
        &row(
            "DeviceNetworkEvents",
            &json!({
                "ActionType": "ConnectionSuccess", "LocalIP": "10.0.0.7", "RemoteIP": "198.51.100.9",
                "InitiatingProcessRemoteSessionIP": "203.0.113.171",
            }),
        ),
    );
    assert_eq!(document["source"]["ip"], "10.0.0.7");
    assert!(list(&document["related"]["ip"]).contains(&"203.0.113.171"));
}

#[test]
fn names_of_clouds_and_clusters() {
    let body = fixture("hunting/CloudProcessEvents");
    let document = ecs(HuntingRow, body);
    assert_eq!(document["cloud"]["provider"], "aws");
    let orchestrator = json!({"namespace": "odd-shop", "resource": {"name": "odd-pod-7", "type": "pod"}, "type": "kubernetes"});
    assert_eq!(document["orchestrator"], orchestrator);
    let entities = list(&document["labels"]["entity"]);
    for name in ["arn:aws:eks:eu-north-1:123456789012:cluster/odd", "deployment/odd-shop"] {
        assert!(entities.contains(&name), "{entities:?}");
    }
    assert_eq!(document["process"]["working_directory"], "/srv/odd");
    let event = ocsf(HuntingRow, body);
    let observed: Vec<_> =
        event["observables"].as_array().expect("a list").iter().map(|one| one["value"].clone()).collect();
    for name in ["odd-shop", "odd-pod-7", "deployment/odd-shop", "c0ffee0001"] {
        assert!(observed.contains(&json!(name)), "{observed:?}");
    }
}

#[test]
fn where_somebody_is_is_no_region_of_a_cloud_and_a_package_is_no_protocol() {
    let document = ecs(
        HuntingRow,
        &row(
            "IdentityLogonEvents",
            &json!({
                "ActionType": "LogonSuccess", "Location": "SE", "Protocol": "MICROSOFT_AUTHENTICATION_PACKAGE_V1_0",
            }),
        ),
    );
    assert_eq!((document["cloud"].get("region"), &document["source"]["geo"]["name"]), (None, &json!("SE")));
    assert_eq!(document.get("network"), None);
    let document = ecs(
        HuntingRow,
        &row("IdentityLogonEvents", &json!({"ActionType": "LogonSuccess", "Protocol": "Kerberos"})),
    );
    assert_eq!(document["network"]["protocol"], "kerberos");
    let document =
        ecs(HuntingRow, &row("CloudStorageAggregatedEvents", &json!({"Location": "swedencentral"})));
    assert_eq!(document["cloud"]["region"], "swedencentral");
}

#[test]
fn what_was_asked_for() {
    let query = |protocol: &str, target: &str| {
        row(
            "IdentityQueryEvents",
            &json!({"ActionType": "query", "Protocol": protocol, "QueryTarget": target}),
        )
    };
    let document = ecs(HuntingRow, &query("Dns", "odd.example"));
    assert_eq!(document["dns"]["question"]["name"], "odd.example");
    assert!(list(&document["related"]["hosts"]).contains(&"odd.example"));
    let document = ecs(HuntingRow, &query("Samr", "Server_Admin"));
    assert_eq!(document.get("dns"), None);
    assert_eq!(document["labels"]["entity"], json!(["Server_Admin"]));
    let command = ecs(HuntingRow, fixture("hunting/DeviceEvents"));
    assert_eq!(command["labels"]["entity"], json!(["Get-ADUser -Filter *"]));
}

#[test]
fn servers_of_names_and_people_of_a_device() {
    let body = row(
        "DeviceNetworkInfo",
        &json!({
            "DeviceId": "d1", "DnsAddresses": r#"["198.51.100.53"]"#, "DeviceType": "Workstation",
            "LoggedOnUsers": r#"[{"UserName":"ida.sund","DomainName":"fabrikam","Sid":"S-1-5-21-7"}]"#,
        }),
    );
    let document = ecs(HuntingRow, &body);
    assert!(list(&document["related"]["ip"]).contains(&"198.51.100.53"));
    assert!(list(&document["related"]["user"]).contains(&"ida.sund"));
    let event = ocsf(HuntingRow, &body);
    assert_eq!((&event["device"]["type_id"], &event["device"]["type"]), (&json!(2), &json!("Desktop")));
    let observed: Vec<_> = event["observables"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["type_id"].clone(), one["value"].clone()))
        .collect();
    for one in
        [(json!(2), json!("198.51.100.53")), (json!(4), json!("ida.sund")), (json!(99), json!("S-1-5-21-7"))]
    {
        assert!(observed.contains(&one), "{observed:?}");
    }
}

#[test]
fn macos_is_told_by_its_folders() {
    for (path, kind) in [
        ("/Applications/Odd.app/Contents/MacOS", Some("macos")),
        ("/Users/ida/odd", Some("macos")),
        ("/System/Library/odd", Some("macos")),
        ("/usr/bin/odd", None),
        (r"C:\odd", Some("windows")),
    ] {
        let document = ecs(
            HuntingRow,
            &row("DeviceFileEvents", &json!({"DeviceId": "d1", "FolderPath": path, "FileName": "x"})),
        );
        assert_eq!(document["host"]["os"]["type"].as_str(), kind, "{path}");
    }
}

#[test]
fn the_place_of_an_address_is_that_of_the_source() {
    let alert = |roles: Value| {
        json!({"id": "1", "title": "x", "createdDateTime": "2026-03-02T08:15:30Z", "evidence": [{
            "@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "203.0.113.7", "countryLetterCode": "NL", "roles": roles,
            "location": {"city": "Utrecht", "state": "Utrecht province", "countryName": "Netherlands", "latitude": 52.09, "longitude": 5.12},
        }]})
        .to_string()
    };
    let geo = json!({
        "city_name": "Utrecht", "country_iso_code": "NL", "country_name": "Netherlands", "location": "52.09,5.12",
        "region_name": "Utrecht province",
    });
    for roles in [json!([]), json!(["source"]), json!(["attacker"])] {
        assert_eq!(ecs(GraphAlert, &alert(roles))["source"]["geo"], geo);
    }
    assert_eq!(ecs(GraphAlert, &alert(json!(["destination"]))).get("source"), None);
}

#[test]
fn a_process_that_another_one_acts_on_is_told_apart() {
    let columns = |action: &str| {
        json!({
            "Timestamp": "2026-03-02T08:15:30Z", "ActionType": action, "DeviceId": "d1", "DeviceName": "h",
            "InitiatingProcessId": 7, "InitiatingProcessFileName": "odd.exe", "InitiatingProcessCommandLine": "odd.exe /x",
            "ProcessId": 9, "FileName": "lsass.exe", "FolderPath": r"C:\Windows\System32\lsass.exe",
            "ProcessCommandLine": "lsass.exe", "ProcessCreationTime": "2026-03-02T08:00:00Z",
        })
    };
    for action in ["OpenProcessApiCall", "ProcessPrimaryTokenModified"] {
        let document = ecs(HuntingRow, &row("DeviceEvents", &columns(action)));
        assert_eq!(
            (&document["process"]["pid"], &document["process"]["name"]),
            (&json!(7), &json!("odd.exe"))
        );
        let target = json!({
            "pid": 9, "name": "lsass.exe", "executable": r"C:\Windows\System32\lsass.exe", "command_line": "lsass.exe",
            "start": "2026-03-02T08:00:00Z",
        });
        assert_eq!(document["Target"]["process"], target, "{action}");
    }
    assert_eq!(ecs(HuntingRow, &row("DeviceProcessEvents", &columns("ProcessCreated"))).get("Target"), None);
}

#[test]
fn the_parent_of_a_parent_and_what_was_before_a_change() {
    let document = ecs(
        HuntingRow,
        &row(
            "DeviceProcessEvents",
            &json!({
                "ActionType": "ProcessCreated", "DeviceId": "d1", "ProcessId": 9, "FileName": "powershell.exe",
                "InitiatingProcessId": 7, "InitiatingProcessFileName": "winword.exe", "InitiatingProcessParentId": 5,
                "InitiatingProcessParentFileName": "outlook.exe",
                "InitiatingProcessParentCreationTime": "2026-03-02T08:00:00Z", "FileSize": 4711,
                "ProcessIntegrityLevel": "High", "InitiatingProcessIntegrityLevel": "Medium",
            }),
        ),
    );
    assert_eq!(
        (&document["process"]["name"], &document["process"]["parent"]["name"]),
        (&json!("powershell.exe"), &json!("winword.exe"))
    );
    let labels = &document["labels"];
    assert_eq!(
        (&labels["grandparent_name"], &labels["grandparent_pid"], &labels["grandparent_start"]),
        (&json!("outlook.exe"), &json!("5"), &json!("2026-03-02T08:00:00Z"))
    );
    assert_eq!(labels["process_size"], 4711);
    assert_eq!(document["process"]["Ext"]["token"]["integrity_level_name"], "High");
    assert_eq!(document["process"]["parent"]["Ext"]["token"]["integrity_level_name"], "Medium");
    let document = ecs(
        HuntingRow,
        &row(
            "DeviceRegistryEvents",
            &json!({
                "ActionType": "RegistryValueSet", "RegistryKey": r"HKEY_LOCAL_MACHINE\SOFTWARE\Odd", "RegistryValueName": "Run",
                "RegistryValueData": "odd.exe", "PreviousRegistryValueData": "good.exe",
            }),
        ),
    );
    assert_eq!(document["registry"]["data"]["strings"], json!(["odd.exe"]));
    assert_eq!(document["labels"]["previous_registry_data"], "good.exe");
    let document = ecs(
        HuntingRow,
        &row(
            "DeviceFileEvents",
            &json!({
                "ActionType": "FileRenamed", "FileName": "a.locked", "FolderPath": r"C:\a\a.locked",
                "PreviousFileName": "a.docx", "PreviousFolderPath": r"C:\a",
            }),
        ),
    );
    assert_eq!(document["file"]["name"], "a.locked");
    assert_eq!(document["file"]["Ext"]["original"], json!({"name": "a.docx", "path": r"C:\a\a.docx"}));
}

#[test]
fn addresses_of_a_device_are_read_from_a_list_and_from_a_text() {
    let list = json!([{"IPAddress": "10.0.0.7", "SubnetPrefix": 24}, {"IPAddress": "fe80::1"}]);
    for addresses in [list.clone(), json!(list.to_string())] {
        let body =
            row("DeviceNetworkInfo", &json!({"DeviceId": "d1", "MacAddress": "x", "IPAddresses": addresses}));
        let device = ocsf(HuntingRow, &body)["device"].take();
        let found: Vec<_> = device["network_interfaces"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["ip"].clone())
            .collect();
        assert_eq!(found, ["10.0.0.7", "fe80::1"], "{device}");
        assert_eq!(ecs(HuntingRow, &body)["host"]["ip"], json!(["10.0.0.7", "fe80::1"]));
    }
}
