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
        assert_eq!(
            (&device["hostname"], &device["domain"]),
            (&json!("ws-1001.fabrikam.example"), &json!("fabrikam.example"))
        );
        assert_eq!(device["uid"], "e1e2e3e4c533c8a052ea231ec1b19adaf497b625");
        assert_eq!(device["os"]["type_id"], 100);

        let document = ecs(HuntingRow, &body);
        assert_eq!(document["process"]["pid"], 16108);
        assert_eq!(document["process"]["user"]["name"], "ida.sund");
        assert_eq!(document["process"]["parent"]["command_line"], "WScript.exe odd.vbs");
        assert_eq!(
            (&document["host"]["name"], &document["host"]["hostname"]),
            (&json!("ws-1001.fabrikam.example"), &json!("ws-1001"))
        );
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
                "ws-1001.fabrikam.example",
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
        assert_eq!(evidence["device"]["hostname"], "ws-1001.fabrikam.example");
        let document = ecs(HuntingRow, &body);
        assert_eq!(
            (&document["user"]["name"], &document["user"]["id"]),
            (&json!("ida.sund"), &json!("S-1-5-21-1-2-3-4001"))
        );
        assert_eq!(document["host"]["name"], "ws-1001.fabrikam.example");
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
        assert_eq!(document["host"]["name"], "ws-1001.fabrikam.example");
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
        let document = ecs(HuntingRow, &body);
        assert_eq!(document["user"]["name"], "per.alm");
        // Nothing of the other device is said to be this one's.
        assert_eq!(document["host"]["hostname"], "other");
        assert_eq!(evidence["device"].get("name"), None);
        for name in ["ws-1001", "e1e2", "other.fabrikam.example"] {
            assert!(
                document["related"]["hosts"].as_array().expect("hosts").contains(&json!(name)),
                "{document}"
            );
        }
    }
    // What is no entity, or no JSON, is nothing.
    for more in [json!(7), json!("{"), json!([1]), json!({"Host": 3, "Account": "x", "ParentProcess": []})] {
        let body = &rows("Process", &more, &json!({"DeviceId": "d9"}))[0];
        assert_eq!(ocsf(HuntingRow, body)["evidences"][0]["device"]["uid"], "d9");
        assert_eq!(ecs(HuntingRow, body)["host"]["id"], "d9");
    }
}

/// What each format has of the principal name, the account and its domain.
fn principal(body: &str) -> [[String; 3]; 4] {
    let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (document, event) = (ecs(HuntingRow, body), ocsf(HuntingRow, body));
    let user = &event["evidences"][0]["user"];
    let flat = |format, keys: [&str; 3]| {
        let line = line(format, HuntingRow, body);
        keys.map(|key| line.get(key).cloned().unwrap_or_default())
    };
    [
        ["email", "name", "domain"].map(|key| of(&document["user"][key])),
        ["email_addr", "name", "domain"].map(|key| of(&user[key])),
        flat("cef", ["muUserPrincipalName", "suser", "sntdom"]),
        flat("leef", ["userPrincipalName", "usrName", "domain"]),
    ]
}

#[test]
fn name_and_suffix_of_an_account_are_its_principal_name() {
    for (account, expected) in [
        (
            json!({"Name": "ida.sund", "UPNSuffix": "fabrikam.example", "NTDomain": "FABRIKAM"}),
            ["ida.sund@fabrikam.example", "ida.sund", "FABRIKAM"],
        ),
        (
            json!({"Name": "ida.sund", "UPNSuffix": "fabrikam.example"}),
            ["ida.sund@fabrikam.example", "ida.sund", ""],
        ),
        // A domain of Windows is no suffix, whatever it looks like.
        (json!({"Name": "ida.sund", "NTDomain": "fabrikam.example"}), ["", "ida.sund", "fabrikam.example"]),
        (
            json!({"Name": "ida.sund", "DnsDomain": "ad.fabrikam.example"}),
            ["", "ida.sund", "ad.fabrikam.example"],
        ),
        // What is said whole is not joined.
        (
            json!({"Name": "ida", "UPNSuffix": "fabrikam.example", "UserPrincipalName": "ida.sund@fabrikam.example"}),
            ["ida.sund@fabrikam.example", "ida", ""],
        ),
        (
            json!({"Name": "ida.sund@fabrikam.example", "UPNSuffix": "fabrikam.example"}),
            ["ida.sund@fabrikam.example", "ida.sund@fabrikam.example", ""],
        ),
        (json!({"Name": "FABRIKAM\\ida.sund", "UPNSuffix": "x.example"}), ["", "FABRIKAM\\ida.sund", ""]),
        (json!({"UPNSuffix": "fabrikam.example", "Sid": "S-1-5-21-7"}), ["", "", ""]),
    ] {
        for body in rows("User", &account, &json!({})) {
            let [document, mut event, mut cef, mut leef] = principal(&body);
            if expected[1].is_empty() {
                // Without a name the SID stands for it in the flat formats.
                for name in [&mut event[1], &mut cef[1], &mut leef[1]] {
                    assert!(["", "S-1-5-21-7"].contains(&name.as_str()), "{name}");
                    name.clear();
                }
            }
            for found in [document, event, cef, leef] {
                assert_eq!(found, expected, "{body}");
            }
        }
    }
    // Of the owner of a process, too, and where the account stands in its parent.
    for process in [
        json!({"ProcessId": 7, "Account": {"Name": "ida.sund", "UPNSuffix": "fabrikam.example"}}),
        json!({"ProcessId": 7, "Account": {"$ref": "3"}, "ParentProcess": {
            "ProcessId": 6, "Account": {"$id": "3", "Name": "ida.sund", "UPNSuffix": "fabrikam.example"},
        }}),
    ] {
        for body in rows("Process", &process, &json!({})) {
            let user = ocsf(HuntingRow, &body)["evidences"][0]["process"]["user"].take();
            assert_eq!(user["email_addr"], "ida.sund@fabrikam.example");
            let users = ecs(HuntingRow, &body)["related"]["user"].take();
            assert!(
                users.as_array().expect("users").contains(&json!("ida.sund@fabrikam.example")),
                "{users}"
            );
        }
    }
}

#[test]
fn name_and_domain_of_a_device_are_its_full_name() {
    for (host, name) in [
        (json!({"HostName": "ws-1001", "DnsDomain": "fabrikam.example"}), "ws-1001.fabrikam.example"),
        (
            json!({"HostName": "ws-1001.fabrikam.example", "DnsDomain": "fabrikam.example"}),
            "ws-1001.fabrikam.example",
        ),
        (json!({"NetBiosName": "WS-1001"}), "ws-1001"),
        (json!({"DnsDomain": "fabrikam.example", "MachineId": "e1e2"}), ""),
    ] {
        for body in rows("File", &json!({"Name": "a.exe", "Host": host}), &json!({})) {
            let found = ocsf(HuntingRow, &body)["evidences"][0]["device"]["hostname"].take();
            assert!(found.as_str().unwrap_or_default().eq_ignore_ascii_case(name), "{found} {body}");
            assert_eq!(ecs(HuntingRow, &body)["host"]["name"].as_str().unwrap_or_default(), name, "{body}");
            let shown = line("cef", HuntingRow, &body).remove("shost").unwrap_or_default();
            assert!(shown.eq_ignore_ascii_case(name), "{shown} {body}");
        }
    }
}

#[test]
fn an_address_a_url_and_a_mail_are_what_they_are() {
    for body in rows("Ip", &json!({"Address": "203.0.113.7"}), &json!({})) {
        assert_eq!(ocsf(HuntingRow, &body)["evidences"][0]["dst_endpoint"]["ip"], "203.0.113.7");
        assert_eq!(ecs(HuntingRow, &body)["related"]["ip"], json!(["203.0.113.7"]));
        assert_eq!(line("cef", HuntingRow, &body)["dst"], "203.0.113.7");
    }
    for body in rows("Url", &json!({"Url": "uri=https://odd.example/a"}), &json!({})) {
        let url = ocsf(HuntingRow, &body)["evidences"][0]["url"].take();
        assert_eq!(
            (&url["url_string"], &url["hostname"]),
            (&json!("https://odd.example/a"), &json!("odd.example"))
        );
        assert_eq!(ecs(HuntingRow, &body)["url"]["domain"], "odd.example");
        assert_eq!(line("leef", HuntingRow, &body)["url"], "https://odd.example/a");
    }
    let mail = json!({
        "Recipient": "Ida Sund <ida.sund@fabrikam.example>", "Sender": "bounce@mail.example",
        "P2Sender": "boss@mail.example", "SenderIP": "203.0.113.25", "Subject": "Pay",
        "NetworkMessageId": "n1", "InternetMessageId": "<i1@mail.example>", "Urls": ["https://odd.example/a"],
    });
    for body in rows("MailMessage", &mail, &json!({"NetworkMessageId": "n1", "EmailSubject": "Pay"})) {
        let email = ocsf(HuntingRow, &body)["evidences"][0]["email"].take();
        assert_eq!(
            (&email["from"], &email["to"], &email["subject"]),
            (&json!("boss@mail.example"), &json!(["ida.sund@fabrikam.example"]), &json!("Pay"))
        );
        assert_eq!((&email["uid"], &email["message_uid"]), (&json!("n1"), &json!("<i1@mail.example>")));
        assert_eq!(email["x_originating_ip"], json!(["203.0.113.25"]));
        assert_eq!(email["urls"], json!([{"url_string": "https://odd.example/a"}]));
        let document = ecs(HuntingRow, &body);
        assert_eq!(document["email"]["from"]["address"], json!(["boss@mail.example"]));
        assert_eq!(document["email"]["to"]["address"], json!(["ida.sund@fabrikam.example"]));
        let line = line("cef", HuntingRow, &body);
        assert_eq!(
            [&line["duser"], &line["muSenders"], &line["src"]],
            ["ida.sund@fabrikam.example", "boss@mail.example", "203.0.113.25"]
        );
    }
}

#[test]
fn what_was_found_in_the_entity_is_told() {
    let process = json!({"ProcessId": 7, "ThreatFamilyName": "SuspClickFix", "LastVerdict": "Malicious"});
    for body in rows("Process", &process, &json!({})) {
        let event = ocsf(HuntingRow, &body);
        assert_eq!(event["malware"][0]["name"], "SuspClickFix");
        assert_eq!(event["evidences"][0]["verdict_id"], 2);
        assert_eq!(ecs(HuntingRow, &body)["threat"]["software"]["name"], "SuspClickFix");
    }
    for body in rows("Process", &json!({"ProcessId": 7, "LastVerdict": "Unknown"}), &json!({})) {
        let event = ocsf(HuntingRow, &body);
        assert_eq!((event.get("malware"), event["evidences"][0].get("verdict_id")), (None, None));
    }
}

#[test]
fn entities_of_behaviors_are_told_as_those_of_alerts() {
    let body = json!({"category": "AdvancedHunting-BehaviorEntities", "properties": {
        "Timestamp": "2026-03-02T08:15:30Z", "BehaviorId": "b1", "ActionType": "ImpossibleTravelActivity",
        "EntityType": "User", "EntityRole": "Impacted",
        "AdditionalFields": {"Name": "ida.sund", "UPNSuffix": "fabrikam.example"},
    }});
    let event = ocsf(HuntingRow, &body.to_string());
    assert_eq!((&event["class_uid"], &event["is_alert"]), (&json!(2004), &json!(false)));
    assert_eq!(event["finding_info"]["uid"], "b1");
    assert_eq!(event["evidences"][0]["user"]["email_addr"], "ida.sund@fabrikam.example");
}

#[test]
fn entities_of_an_alert_of_sentinel_are_told() {
    let entities = json!([
        {"$id": "1", "Type": "account", "Name": "ida.sund", "UPNSuffix": "fabrikam.example", "NTDomain": "FABRIKAM"},
        {"$id": "2", "Type": "host", "HostName": "ws-1001", "DnsDomain": "fabrikam.example"},
        {"$id": "3", "Type": "ip", "Address": "203.0.113.7"},
        {"$id": "4", "Type": "process", "ProcessId": "7", "CommandLine": "odd.exe /x", "ImageFile": {
            "$id": "5", "Type": "file", "Name": "odd.exe", "FileHashes": [{"Algorithm": "Sha256", "Value": "aa11"}],
        }, "Account": {"$ref": "1"}, "Host": {"$ref": "2"}},
        {"$id": "6", "Type": "url", "Url": "https://odd.example/a"},
        {"$id": "7", "Type": "account", "Name": "per.alm", "UPNSuffix": "fabrikam.example"},
        {"$id": "8", "Type": "quantum"}, 7, null,
    ]);
    for entities in [entities.clone(), json!(entities.to_string())] {
        let body = json!({
            "TimeGenerated": "2026-03-02T08:15:30Z", "AlertName": "Odd", "SystemAlertId": "a1", "Entities": entities,
        })
        .to_string();
        let document = ecs(HuntingRow, &body);
        assert_eq!(
            (&document["user"]["name"], &document["user"]["email"], &document["user"]["domain"]),
            (&json!("ida.sund"), &json!("ida.sund@fabrikam.example"), &json!("FABRIKAM"))
        );
        assert_eq!(document["host"]["name"], "ws-1001.fabrikam.example");
        let related = |kind: &str| document["related"][kind].as_array().cloned().unwrap_or_default();
        for (kind, value) in [
            ("user", "per.alm@fabrikam.example"),
            ("user", "ida.sund"),
            ("hosts", "ws-1001.fabrikam.example"),
            ("hosts", "odd.example"),
            ("ip", "203.0.113.7"),
            ("hash", "aa11"),
        ] {
            assert!(related(kind).contains(&json!(value)), "{kind} {value}: {document}");
        }
        let observables = ocsf(HuntingRow, &body)["observables"].take();
        let found: Vec<_> = observables
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| (one["type_id"].as_i64().expect("a number"), one["value"].as_str().expect("text")))
            .collect();
        for one in [
            (1, "ws-1001.fabrikam.example"),
            (2, "203.0.113.7"),
            (5, "per.alm@fabrikam.example"),
            (6, "https://odd.example/a"),
            (8, "aa11"),
            (13, "odd.exe /x"),
        ] {
            assert!(found.contains(&one), "{one:?}: {found:?}");
        }
        for (format, keys) in [
            ("cef", ["suser", "muUserPrincipalName", "shost"]),
            ("leef", ["usrName", "userPrincipalName", "identHostName"]),
        ] {
            let line = line(format, HuntingRow, &body);
            let shown = keys.map(|key| line.get(key).map_or("", String::as_str));
            assert_eq!(
                shown,
                ["ida.sund", "ida.sund@fabrikam.example", "ws-1001.fabrikam.example"],
                "{line:?}"
            );
        }
    }
}

#[test]
fn the_alert_that_was_investigated_is_told() {
    let data = json!({"AlertDisplayName": "Odd", "Entities": [
        {"$id": "3", "Type": "mailMessage", "Recipient": "ida.sund@fabrikam.example", "P2Sender": "boss@mail.example",
            "SenderIP": "203.0.113.25", "Files": [
            {"Name": "odd.iso", "FileHashes": [{"Algorithm": "SHA256", "Value": "aa11"}]},
        ]},
        {"$id": "4", "Type": "mailbox", "MailboxPrimaryAddress": "ida.sund@fabrikam.example"},
    ]})
    .to_string();
    let event = json!({"Operation": "AirInvestigationData", "Data": data});
    for event in [event.clone(), json!(event.to_string())] {
        let row = |action: &str| {
            json!({"category": "AdvancedHunting-CloudAppEvents", "properties": {
                "Timestamp": "2026-03-02T08:15:30Z", "ActionType": action, "AccountId": "airinvestigation",
                "RawEventData": event,
            }})
            .to_string()
        };
        let document = ecs(HuntingRow, &row("AirInvestigationData"));
        let file = document["email"]["attachments"]["file"].clone();
        assert_eq!(file, json!({"name": "odd.iso", "hash": {"sha256": "aa11"}}));
        assert_eq!(document["related"]["hash"], json!(["aa11"]));
        assert!(document["related"]["user"].as_array().expect("users").contains(&json!("boss@mail.example")));
        assert_eq!(document["user"]["id"], "airinvestigation");
        let observables = ocsf(HuntingRow, &row("AirInvestigationData"))["observables"].take();
        let values: Vec<_> =
            observables.as_array().expect("a list").iter().map(|one| &one["value"]).collect();
        for value in ["aa11", "odd.iso", "203.0.113.25", "boss@mail.example"] {
            assert!(values.contains(&&json!(value)), "{value}: {values:?}");
        }
        assert_eq!(ecs(HuntingRow, &row("FileAccessed"))["email"].get("attachments"), None);
    }
}
