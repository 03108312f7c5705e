//! Paths, hosts of URLs, counts.

use muster_model::RecordKind::{GraphAlert, GraphIncident, HuntingRow, XdrIncident};
use serde_json::{Value, json};

use super::{ecs, line, ocsf};

#[test]
fn a_path_that_ends_in_a_program_gets_no_other_program_behind_it() {
    let body = json!({
        "Timestamp": "2026-03-02T08:15:30Z", "ActionType": "ConnectionSuccess", "DeviceId": "d", "DeviceName": "h",
        "RemoteIP": "203.0.113.7", "RemotePort": 443, "InitiatingProcessId": 7,
        "InitiatingProcessFileName": "worker.exe", "InitiatingProcessFolderPath": r"c:\app\launcher.exe",
    })
    .to_string();
    let document = ecs(HuntingRow, &body);
    assert_eq!(document["process"]["executable"], r"c:\app\launcher.exe");
    assert_eq!(document["process"]["name"], "worker.exe");
    let file = ocsf(HuntingRow, &body)["actor"]["process"]["file"].take();
    assert_eq!((&file["path"], &file["name"]), (&json!(r"c:\app\launcher.exe"), &json!("worker.exe")));
    assert_eq!(file["parent_folder"], r"c:\app");

    // A folder stays one, whatever its name looks like.
    for (folder, name, whole) in [
        (
            r"C:\Windows\System32\WindowsPowerShell\v1.0",
            "powershell.exe",
            r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
        ),
        ("/srv/node.js", "index.js", "/srv/node.js/index.js"),
        (r"C:\app\worker.exe", "worker.exe", r"C:\app\worker.exe"),
    ] {
        let body = json!({
            "id": "1", "title": "x", "createdDateTime": "2026-03-02T08:15:30Z",
            "evidence": [{
                "@odata.type": "#microsoft.graph.security.processEvidence", "processId": 7,
                "imageFile": {"fileName": name, "filePath": folder},
            }],
        });
        assert_eq!(ecs(GraphAlert, &body.to_string())["process"]["executable"], whole);
        let event = ocsf(GraphAlert, &body.to_string());
        assert_eq!(event["evidences"][0]["process"]["file"]["path"], whole);
    }
}

#[test]
fn the_domain_of_a_url_keeps_the_brackets_of_an_address() {
    for (url, domain, related) in [
        ("http://[2001:db8::1]:8080/a", "[2001:db8::1]", "2001:db8::1"),
        ("https://[2001:DB8::2]/", "[2001:db8::2]", "2001:db8::2"),
        ("https://203.0.113.7/x", "203.0.113.7", "203.0.113.7"),
    ] {
        let body = json!({"Timestamp": "2026-03-02T08:15:30Z", "Url": url, "ActionType": "ClickAllowed"});
        let document = ecs(HuntingRow, &body.to_string());
        assert_eq!(document["url"]["domain"], domain);
        assert_eq!(document["related"]["ip"], json!([related]));
        assert_eq!(document["related"].get("hosts"), None);
    }
}

#[test]
fn alerts_that_did_not_come_are_not_counted() {
    let graph = |alerts: &str| {
        format!(r#"{{"id":"1","displayName":"x","createdDateTime":"2026-03-02T08:15:30Z"{alerts}}}"#)
    };
    let xdr = |alerts: &str| {
        format!(r#"{{"incidentId":1,"incidentName":"x","createdTime":"2026-03-02T08:15:30Z"{alerts}}}"#)
    };
    for (kind, body, count) in [
        (GraphIncident, graph(""), None),
        (GraphIncident, graph(r#","alerts":null"#), None),
        (GraphIncident, graph(r#","alerts":[]"#), Some(0)),
        (GraphIncident, graph(r#","alerts":[{"id":"a"},{"id":"b"}]"#), Some(2)),
        (XdrIncident, xdr(""), None),
        (XdrIncident, xdr(r#","alerts":[{"alertId":"a"}]"#), Some(1)),
    ] {
        let event = ocsf(kind, &body);
        let told = event["finding_info_list"][0].get("related_events_count").and_then(Value::as_u64);
        assert_eq!(told, count, "{body}");
        let told = count.map(|count| count.to_string());
        assert_eq!(line("cef", kind, &body).get("cn3"), told.as_ref(), "{body}");
        assert_eq!(line("leef", kind, &body).get("alertCount"), told.as_ref(), "{body}");
    }
}

#[test]
fn an_incident_that_says_nothing_of_itself_is_told_by_its_alerts() {
    let alerts = r#""alerts":[{"alertId":"a","title":"x"},
        {"alertId":"b","title":"y","description":"Odd tool","threatFamilyName":"Oddkatz"},
        {"alertId":"c","title":"z","description":"Other","threatFamilyName":"Oddloader"}]"#;
    let body =
        format!(r#"{{"incidentId":1,"incidentName":"x","createdTime":"2026-03-02T08:15:30Z",{alerts}}}"#);
    let (cef, leef) = (line("cef", XdrIncident, &body), line("leef", XdrIncident, &body));
    assert_eq!((cef["msg"].as_str(), leef["msg"].as_str()), ("Odd tool", "Odd tool"));
    assert_eq!(
        (cef["muThreatFamily"].as_str(), leef["threatFamily"].as_str()),
        ("Oddkatz; Oddloader", "Oddkatz; Oddloader")
    );
    let body = r#"{"id":"1","displayName":"x","summary":"Short","alerts":[{"id":"a","description":"Long"}]}"#;
    assert_eq!(line("cef", GraphIncident, body)["msg"], "Short");
}
