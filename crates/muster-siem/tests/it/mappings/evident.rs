//! Rows of `AlertEvidence`, whose entity is in `AdditionalFields`: an object, or JSON in a string.

use muster_model::RecordKind::HuntingRow;
use serde_json::{Value, json};

use super::{ecs, line, ocsf};

/// The row with an entity, written either way.
fn rows(entity_type: &str, entity: &Value, columns: &Value) -> [String; 2] {
    [entity.clone(), json!(entity.to_string())].map(|more| {
        let mut row = json!({
            "Timestamp": "2026-03-02T08:15:30Z", "AlertId": "da1_1", "Title": "Odd process", "Severity": "High",
            "EntityType": entity_type, "AdditionalFields": more,
        });
        for (key, value) in columns.as_object().expect("columns") {
            row[key] = value.clone();
        }
        json!({"time": "2026-03-02T08:16:00Z", "category": "AdvancedHunting-AlertEvidence", "properties": row}).to_string()
    })
}

/// As Microsoft's serializer writes it: what stands there already is only named.
fn process() -> Value {
    json!({
        "ProcessId": "16108", "CommandLine": "\"powershell.exe\" -enc AAAA", "CreationTimeUtc": "2026-03-02T08:15:15.5061072Z",
        "ImageFile": {
            "$id": "2", "Directory": r"C:\Windows\System32\WindowsPowerShell\v1.0", "Name": "powershell.exe",
            "Host": {
                "$id": "3", "DnsDomain": "fabrikam.example", "HostName": "ws-1001", "OSFamily": "Windows", "OSVersion": "10.0",
                "MachineId": "e1e2e3e4c533c8a052ea231ec1b19adaf497b625",
            },
            "FileHashes": [{"$id": "4", "Algorithm": "SHA1", "Value": "8508b6c0ae4c581ac0e1a50ab5ae62d8ecda422f"}],
        },
        "Account": {
            "$id": "7", "Name": "ida.sund", "NTDomain": "fabrikam", "Sid": "S-1-5-21-1000-2000-3000-4001",
            "AadUserId": "7798be81-8890-451b-83fe-ba66127b6eff", "DisplayName": "Ida Sund",
            "UserPrincipalName": "ida.sund@fabrikam.example",
        },
        "ParentProcess": {
            "$id": "8", "ProcessId": "20804", "CommandLine": "WScript.exe odd.vbs", "CreationTimeUtc": "2026-03-02T08:15:14Z",
            "ImageFile": {"$id": "9", "Directory": r"C:\Windows\System32", "Name": "wscript.exe", "Host": {"$ref": "3"}},
            "Account": {"$ref": "7"}, "Host": {"$ref": "3"},
        },
        "Host": {"$ref": "3"},
    })
}

#[test]
fn a_process_has_its_account_parent_and_device() {
    let columns = json!({"FileName": "powershell.exe", "DeviceName": null, "AccountName": ""});
    for body in rows("Process", &process(), &columns) {
        let event = ocsf(HuntingRow, &body);
        let evidence = &event["evidences"][0];
        let process = &evidence["process"];
        assert_eq!(
            (&process["pid"], &process["created_time"]),
            (&json!(16108), &json!(1_772_439_315_506_i64))
        );
        assert_eq!(process["cmd_line"], "\"powershell.exe\" -enc AAAA");
        assert_eq!(process["file"]["path"], r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe");
        assert_eq!(process["user"]["name"], "ida.sund");
        assert_eq!(process["user"]["uid"], "S-1-5-21-1000-2000-3000-4001");
        assert_eq!(process["user"]["email_addr"], "ida.sund@fabrikam.example");
        let parent = &process["parent_process"];
        assert_eq!((&parent["pid"], &parent["cmd_line"]), (&json!(20804), &json!("WScript.exe odd.vbs")));
        let device = &evidence["device"];
        assert_eq!((&device["hostname"], &device["domain"]), (&json!("ws-1001"), &json!("fabrikam.example")));
        assert_eq!(device["uid"], "e1e2e3e4c533c8a052ea231ec1b19adaf497b625");
        assert_eq!(device["os"]["type_id"], 100);

        let document = ecs(HuntingRow, &body);
        assert_eq!(document["process"]["pid"], 16108);
        assert_eq!(document["process"]["user"]["name"], "ida.sund");
        assert_eq!(document["process"]["parent"]["command_line"], "WScript.exe odd.vbs");
        assert_eq!(document["host"]["name"], "ws-1001");
        assert_eq!(document["host"]["id"], "e1e2e3e4c533c8a052ea231ec1b19adaf497b625");
        assert_eq!(document["host"]["os"]["name"], "Windows");
        let users = document["related"]["user"].as_array().expect("users");
        assert!(users.contains(&json!("ida.sund@fabrikam.example")), "{users:?}");
        assert!(document["related"]["hosts"].as_array().expect("hosts").contains(&json!("ws-1001")));
    }
}

#[test]
fn the_flat_formats_show_the_entity_in_the_fields_of_its_kind() {
    let columns = json!({"FileName": "powershell.exe", "DeviceName": null, "AccountName": ""});
    for body in rows("Process", &process(), &columns) {
        for (format, fields) in [
            ("cef", ["shost", "deviceExternalId", "suser", "sproc", "spid", "fname", "filePath"]),
            (
                "leef",
                ["identHostName", "deviceId", "usrName", "processName", "processId", "fileName", "filePath"],
            ),
        ] {
            let line = line(format, HuntingRow, &body);
            let shown = fields.map(|field| line.get(field).map_or("", String::as_str));
            let expected = [
                "ws-1001",
                "e1e2e3e4c533c8a052ea231ec1b19adaf497b625",
                "ida.sund",
                "powershell.exe",
                "16108",
                "powershell.exe",
                r"C:\Windows\System32\WindowsPowerShell\v1.0",
            ];
            assert_eq!(shown, expected, "{format}: {line:#?}");
            assert!(line.values().any(|value| value == "\"powershell.exe\" -enc AAAA"), "{line:#?}");
            assert!(line.values().any(|value| value == "S-1-5-21-1000-2000-3000-4001"), "{line:#?}");
            // The entity whole stands there as well.
            assert!(line.values().any(|value| value.contains("WScript.exe odd.vbs")), "{line:#?}");
        }
    }
}

#[test]
fn an_account_a_machine_and_a_file_are_what_they_are() {
    let host = json!({"HostName": "ws-1001", "DnsDomain": "fabrikam.example", "MachineId": "e1e2"});
    let account = json!({
        "Name": "ida.sund", "NTDomain": "fabrikam", "Sid": "S-1-5-21-1-2-3-4001", "DisplayName": "Ida Sund", "Host": host,
    });
    for body in rows("User", &account, &json!({})) {
        let evidence = ocsf(HuntingRow, &body)["evidences"][0].take();
        assert_eq!(
            (&evidence["user"]["name"], &evidence["user"]["uid"]),
            (&json!("ida.sund"), &json!("S-1-5-21-1-2-3-4001"))
        );
        assert_eq!(evidence["device"]["hostname"], "ws-1001");
        let document = ecs(HuntingRow, &body);
        assert_eq!(
            (&document["user"]["name"], &document["user"]["id"]),
            (&json!("ida.sund"), &json!("S-1-5-21-1-2-3-4001"))
        );
        assert_eq!(document["host"]["name"], "ws-1001");
    }
    for body in rows("Machine", &host, &json!({})) {
        assert_eq!(ocsf(HuntingRow, &body)["evidences"][0]["device"]["uid"], "e1e2");
        assert_eq!(ecs(HuntingRow, &body)["host"]["id"], "e1e2");
    }
    let file = json!({
        "Directory": r"C:\odd", "Name": "odd.exe", "SizeInBytes": 70, "Host": host,
        "FileHashes": [{"Algorithm": "SHA256", "Value": "aa11"}, {"Algorithm": "MD5", "Value": "bb22"}],
    });
    for body in rows("File", &file, &json!({"FileName": "odd.exe"})) {
        let evidence = ocsf(HuntingRow, &body)["evidences"][0].take();
        assert_eq!(
            (&evidence["file"]["path"], &evidence["file"]["size"]),
            (&json!(r"C:\odd\odd.exe"), &json!(70))
        );
        let hashes: Vec<_> = evidence["file"]["hashes"]
            .as_array()
            .expect("hashes")
            .iter()
            .map(|hash| &hash["value"])
            .collect();
        assert_eq!(hashes, ["aa11", "bb22"]);
        let document = ecs(HuntingRow, &body);
        assert_eq!(
            (&document["file"]["path"], &document["file"]["hash"]["sha256"]),
            (&json!(r"C:\odd\odd.exe"), &json!("aa11"))
        );
        assert_eq!(document["host"]["name"], "ws-1001");
    }
}

#[test]
fn what_the_columns_say_goes_before_the_entity() {
    let columns = json!({"DeviceName": "other.fabrikam.example", "DeviceId": "d9", "AccountName": "per.alm"});
    for body in rows(
        "User",
        &json!({"Name": "ida.sund", "Host": {"HostName": "ws-1001", "MachineId": "e1e2"}}),
        &columns,
    ) {
        let evidence = ocsf(HuntingRow, &body)["evidences"][0].take();
        assert_eq!(
            (&evidence["device"]["hostname"], &evidence["device"]["uid"]),
            (&json!("other.fabrikam.example"), &json!("d9"))
        );
        assert_eq!(evidence["user"]["name"], "per.alm");
        assert_eq!(ecs(HuntingRow, &body)["user"]["name"], "per.alm");
    }
    // What is no entity, or no JSON, is nothing.
    for more in [json!(7), json!("{"), json!([1]), json!({"Host": 3, "Account": "x", "ParentProcess": []})] {
        let body = &rows("Process", &more, &json!({"DeviceId": "d9"}))[0];
        assert_eq!(ocsf(HuntingRow, body)["evidences"][0]["device"]["uid"], "d9");
        assert_eq!(ecs(HuntingRow, body)["host"]["id"], "d9");
    }
}
