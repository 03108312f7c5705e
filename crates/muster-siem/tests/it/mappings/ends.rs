//! Both ends of a connection: what comes in begins at the far side, in every format.

use muster_model::RecordKind::{EndpointAlert, GraphAlert, HuntingRow};
use serde_json::{Value, json};

use super::{ecs, line, ocsf};

fn row(table: &str, columns: &Value) -> String {
    json!({"time": "2026-03-02T08:16:00Z", "category": format!("AdvancedHunting-{table}"), "properties": columns}).to_string()
}

/// Source and destination, address and port, in CEF, LEEF, ECS and, where `ocsf_too`, OCSF.
fn ends(body: &str, ocsf_too: bool) -> Vec<[String; 4]> {
    let flat = |format, keys: [&str; 4]| {
        let line = line(format, HuntingRow, body);
        keys.map(|key| line.get(key).cloned().unwrap_or_default())
    };
    let of = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (document, event) = (ecs(HuntingRow, body), ocsf(HuntingRow, body));
    let (source, destination) = (&document["source"], &document["destination"]);
    let mut all = vec![
        flat("cef", ["src", "spt", "dst", "dpt"]),
        flat("leef", ["src", "srcPort", "dst", "dstPort"]),
        [&source["ip"], &source["port"], &destination["ip"], &destination["port"]].map(of),
    ];
    if ocsf_too {
        let (source, destination) = (&event["src_endpoint"], &event["dst_endpoint"]);
        all.push([&source["ip"], &source["port"], &destination["ip"], &destination["port"]].map(of));
    }
    all
}

#[test]
fn what_comes_in_begins_at_the_far_side() {
    let columns = |action: &str, more: Value| {
        json!({
            "Timestamp": "2026-03-02T08:15:30Z", "ActionType": action, "DeviceId": "d1", "DeviceName": "h",
            "InitiatingProcessId": 7, "InitiatingProcessFileName": "a.exe", "AdditionalFields": more,
            "LocalIP": "10.0.0.7", "LocalPort": 22, "RemoteIP": "203.0.113.7", "RemotePort": 50022,
        })
    };
    let (inbound, outbound) =
        (["203.0.113.7", "50022", "10.0.0.7", "22"], ["10.0.0.7", "22", "203.0.113.7", "50022"]);
    for (table, action, more, expected) in [
        ("DeviceNetworkEvents", "InboundConnectionAccepted", json!(null), inbound),
        ("DeviceNetworkEvents", "InboundConnectionAttempt", json!(null), inbound),
        ("DeviceNetworkEvents", "ConnectionSuccess", json!(null), outbound),
        ("DeviceNetworkEvents", "SshConnectionInspected", json!({"direction": "In"}), inbound),
        ("DeviceNetworkEvents", "SshConnectionInspected", json!(r#"{"direction":"In"}"#), inbound),
        ("DeviceNetworkEvents", "SshConnectionInspected", json!({"direction": "Out"}), outbound),
        ("DeviceEvents", "FirewallInboundConnectionBlocked", json!(null), inbound),
        ("DeviceEvents", "FirewallOutboundConnectionBlocked", json!(null), outbound),
    ] {
        for found in ends(&row(table, &columns(action, more.clone())), true) {
            assert_eq!(found, expected, "{table} {action} {more}");
        }
    }
}

#[test]
fn a_logon_comes_from_the_far_side() {
    let body = row(
        "DeviceLogonEvents",
        &json!({
            "Timestamp": "2026-03-02T08:15:30Z", "ActionType": "LogonFailed", "DeviceId": "d1", "DeviceName": "h",
            "AccountName": "ida.sund", "RemoteIP": "203.0.113.7", "RemotePort": 50022, "LogonType": "Network",
        }),
    );
    for found in ends(&body, true) {
        assert_eq!(found, ["203.0.113.7", "50022", "", ""]);
    }
    let body = row(
        "IdentityLogonEvents",
        &json!({
            "Timestamp": "2026-03-02T08:15:30Z", "ActionType": "LogonSuccess", "AccountName": "ida.sund",
            "IPAddress": "10.0.0.7", "Port": 50022, "DestinationIPAddress": "10.0.0.1", "DestinationPort": 389,
            "DestinationDeviceName": "dc", "Application": "Active Directory",
        }),
    );
    for found in ends(&body, true) {
        assert_eq!(found, ["10.0.0.7", "50022", "10.0.0.1", "389"]);
    }
}

#[test]
fn addresses_of_flat_lines_are_bare_and_the_text_around_them_is_not_lost() {
    let body = row(
        "DeviceNetworkEvents",
        &json!({"ActionType": "ConnectionSuccess", "RemoteIP": "203.0.113.7:8080", "LocalIP": "fe80::1%3"}),
    );
    let cef = line("cef", HuntingRow, &body);
    assert_eq!((cef["dst"].as_str(), cef["c6a2"].as_str()), ("203.0.113.7", "fe80::1"));
    assert_eq!((cef["muRemoteIP"].as_str(), cef["muLocalIP"].as_str()), ("203.0.113.7:8080", "fe80::1%3"));
    let mail = row(
        "EmailEvents",
        &json!({"EmailDirection": "Inbound", "SenderIPv4": "203.0.113.25", "Subject": "x"}),
    );
    assert_eq!(line("cef", HuntingRow, &mail)["src"], "203.0.113.25");
    assert_eq!(line("leef", HuntingRow, &mail)["src"], "203.0.113.25");
}

#[test]
fn the_url_of_a_row_is_in_the_field_of_urls() {
    for (column, url) in [("Url", "https://odd.example/a"), ("RemoteUrl", "uri=https://odd.example/a")] {
        let body = row("UrlClickEvents", &json!({"ActionType": "ClickAllowed", column: url}));
        assert_eq!(line("cef", HuntingRow, &body)["request"], "https://odd.example/a");
        assert_eq!(line("leef", HuntingRow, &body)["url"], "https://odd.example/a");
        let document = ecs(HuntingRow, &body);
        assert_eq!(document["url"]["full"], "https://odd.example/a");
        assert_eq!(document["url"]["domain"], "odd.example");
    }
    // What stood before it is not lost.
    let body = row(
        "UrlClickEvents",
        &json!({"ActionType": "ClickAllowed", "RemoteUrl": "uri=https://odd.example/a"}),
    );
    assert_eq!(line("cef", HuntingRow, &body)["muRemoteUrl"], "uri=https://odd.example/a");
}

#[test]
fn the_family_of_addresses_is_told_by_the_protocol() {
    for (protocol, transport, family) in
        [("TcpV4", "tcp", Some("ipv4")), ("TcpV6", "tcp", Some("ipv6")), ("Udp", "udp", None)]
    {
        let body =
            row("DeviceNetworkEvents", &json!({"ActionType": "ConnectionSuccess", "Protocol": protocol}));
        let network = ecs(HuntingRow, &body)["network"].take();
        assert_eq!((network["transport"].as_str(), network["type"].as_str()), (Some(transport), family));
        assert_eq!(network.get("protocol"), None);
    }
}

#[test]
fn an_address_of_evidence_is_the_source_without_its_port() {
    for (kind, body) in [
        (
            GraphAlert,
            json!({"id": "1", "title": "x", "createdDateTime": "2026-03-02T08:15:30Z", "evidence": [
                {"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "203.0.113.7:443"},
            ]}),
        ),
        (
            EndpointAlert,
            json!({"id": "1", "title": "x", "alertCreationTime": "2026-03-02T08:15:30Z", "evidence": [
                {"entityType": "Ip", "ipAddress": "203.0.113.7:443"},
            ]}),
        ),
    ] {
        let (cef, leef) = (line("cef", kind, &body.to_string()), line("leef", kind, &body.to_string()));
        assert_eq!((cef["src"].as_str(), leef["src"].as_str()), ("203.0.113.7", "203.0.113.7"));
        assert_eq!(
            (cef["muAddresses"].as_str(), leef["addresses"].as_str()),
            ("203.0.113.7:443", "203.0.113.7:443")
        );
        assert_eq!(ecs(kind, &body.to_string())["related"]["ip"], json!(["203.0.113.7"]));
    }
}
