//! An alert as a detection of the retired SIEM API: every field is there, empty where it says nothing.
//!
//! Source: Microsoft "Pull detections …" (fields and types), and its table that maps them to Graph's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::words::capitalized;
use crate::world::dice::derive;

/// What an alert is as a detection; `None` where Graph's text is no JSON object.
pub(crate) fn of(graph: &[u8]) -> Option<Bytes> {
    let graph: Value = serde_json::from_slice(graph).ok().filter(Value::is_object)?;
    let empty = Vec::new();
    let evidence = graph["evidence"].as_array().unwrap_or(&empty);
    let first = |kind: &str| {
        let name = format!("#microsoft.graph.security.{kind}Evidence");
        evidence.iter().find(|own| own["@odata.type"] == name.as_str()).unwrap_or(&Value::Null)
    };
    let (device, process, file) = (first("device"), first("process"), first("file"));
    let details = if file.is_null() { &process["imageFile"] } else { &file["fileDetails"] };
    let user = &first("user")["userAccount"];
    let dns_name = text(&device["deviceDnsName"]);
    let (machine, domain) = dns_name.split_once('.').unwrap_or((&dns_name, ""));
    let id = text(&graph["id"]);
    let tags = list(&device["tags"]);
    let addresses: Vec<String> =
        device["ipInterfaces"].as_array().unwrap_or(&empty).iter().map(text).collect();
    let of_kind = |v6: bool| {
        let own = addresses.iter().filter(|address| address.contains(':') == v6);
        own.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let logged_on = device["loggedOnUsers"].as_array().unwrap_or(&empty).iter();
    let logged_on: Vec<String> =
        logged_on.map(|own| format!("{}\\{}", text(&own["domainName"]), text(&own["accountName"]))).collect();
    let remediated = match text(&device["remediationStatus"]).as_str() {
        "remediated" | "prevented" | "blocked" => json!(true),
        "active" => json!(false),
        _ => Value::Null,
    };
    let executing = match text(&process["detectionStatus"]).as_str() {
        "detected" => json!(true),
        "blocked" | "prevented" => json!(false),
        _ => Value::Null,
    };
    let old_portal = format!("https://securitycenter.windows.com/alert/{id}");
    let by_alert = |portal: &str| format!("https://{portal}/incidents/byalert?alertId={id}&source=SIEM");
    let source = if graph["detectionSource"] == "antivirus" { "Antivirus" } else { "EDR" };
    let fields: [(&str, Value); 50] = [
        ("AlertTime", text(&graph["createdDateTime"]).into()),
        ("ComputerDnsName", dns_name.as_str().into()),
        ("AlertTitle", text(&graph["title"]).into()),
        ("Category", text(&graph["category"]).into()),
        ("Severity", capitalized(&text(&graph["severity"])).into()),
        ("AlertId", id.as_str().into()),
        ("Actor", text(&graph["actorDisplayName"]).into()),
        ("LinkToWDATP", old_portal.into()),
        ("IocName", "".into()),
        ("IocValue", "".into()),
        ("CreatorIocName", "".into()),
        ("CreatorIocValue", "".into()),
        ("Sha1", text(&details["sha1"]).into()),
        ("FileName", text(&details["fileName"]).into()),
        ("FilePath", text(&details["filePath"]).into()),
        ("IpAddress", text(&first("ip")["ipAddress"]).into()),
        ("Url", text(&first("url")["url"]).into()),
        ("IoaDefinitionId", text(&graph["detectorId"]).into()),
        ("UserName", text(&user["accountName"]).into()),
        ("AlertPart", 0.into()),
        ("FullId", full_id(&id).into()),
        ("LastProcessedTimeUtc", text(&graph["lastUpdateDateTime"]).into()),
        ("ThreatCategory", list(&graph["mitreTechniques"]).into()),
        ("ThreatFamily", text(&graph["threatFamilyName"]).into()),
        ("ThreatName", text(&graph["threatDisplayName"]).into()),
        ("RemediationAction", text(&device["remediationStatus"]).into()),
        ("RemediationIsSuccess", remediated),
        ("Source", source.into()),
        ("Md5", text(&details["md5"]).into()),
        ("Sha256", text(&details["sha256"]).into()),
        ("WasExecutingWhileDetected", executing),
        ("UserDomain", text(&user["domainName"]).into()),
        ("LogOnUsers", logged_on.join("; ").into()),
        ("MachineDomain", domain.into()),
        ("MachineName", machine.into()),
        ("InternalIPv4List", of_kind(false).into()),
        ("InternalIPv6List", of_kind(true).into()),
        ("FileHash", text(&details["sha1"]).into()),
        ("DeviceID", text(&device["mdeDeviceId"]).into()),
        ("MachineGroup", text(&device["rbacGroupName"]).into()),
        ("Description", text(&graph["description"]).into()),
        ("DeviceCreatedMachineTags", tags.as_str().into()),
        ("CloudCreatedMachineTags", tags.as_str().into()),
        ("CommandLine", text(&process["processCommandLine"]).into()),
        ("IncidentLinkToWDATP", by_alert("securitycenter.windows.com").into()),
        ("ReportID", (number(&id, 3) % 2_000_000_000).into()),
        ("LinkToMTP", format!("https://security.microsoft.com/alert/{id}").into()),
        ("IncidentLinkToMTP", by_alert("security.microsoft.com").into()),
        ("ExternalId", format!("{:016X}{:016X}", number(&id, 1), number(&id, 2)).into()),
        ("IocUniqueId", unique(&id).into()),
    ];
    let detection: Map<String, Value> =
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Some(Value::Object(detection).to_string().into())
}

/// The id of a detection of an alert: several detections of one alert differ behind the colon.
pub(crate) fn full_id(alert: &str) -> String {
    format!("{alert}:{}", unique(alert))
}

fn unique(alert: &str) -> String {
    let numbers = [4, 5, 6, 7].map(|salt| number(alert, salt).to_be_bytes());
    STANDARD.encode(numbers.as_flattened())
}

/// A number that belongs to an alert.
fn number(alert: &str, salt: u64) -> u64 {
    let letters: Vec<u64> = alert.bytes().map(u64::from).chain([salt]).collect();
    derive(&letters)
}

/// A text; what is of another type as it is written, and nothing for nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> String {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_a_detection_with_every_documented_field() {
        let alert = r##"{"id":"da1_-2","title":"t","severity":"high","createdDateTime":"2026-01-01T00:00:00.1234567Z",
            "lastUpdateDateTime":"2026-01-02T00:00:00Z","detectionSource":"antivirus","mitreTechniques":["T1","T2"],
            "evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"pc1.contoso.com",
              "tags":["vip"],"rbacGroupName":"UK","ipInterfaces":["10.0.0.1","fe80::1"],"remediationStatus":"active"},
            {"@odata.type":"#microsoft.graph.security.processEvidence","detectionStatus":"detected","processCommandLine":"x",
              "imageFile":{"sha1":"s","fileName":"f"}}]}"##;
        let found: Value = serde_json::from_slice(&of(alert.as_bytes()).unwrap()).unwrap();
        for (field, value) in [
            ("AlertId", json!("da1_-2")),
            ("FullId", json!(full_id("da1_-2"))),
            ("Severity", json!("High")),
            ("Source", json!("Antivirus")),
            ("MachineName", json!("pc1")),
            ("MachineDomain", json!("contoso.com")),
            ("MachineGroup", json!("UK")),
            ("CloudCreatedMachineTags", json!("vip")),
            ("InternalIPv4List", json!("10.0.0.1")),
            ("InternalIPv6List", json!("fe80::1")),
            ("FileName", json!("f")),
            ("ThreatCategory", json!("T1, T2")),
            ("RemediationIsSuccess", json!(false)),
            ("WasExecutingWhileDetected", json!(true)),
            ("LastProcessedTimeUtc", json!("2026-01-02T00:00:00Z")),
            ("Actor", json!("")),
        ] {
            assert_eq!(found[field], value, "{field}");
        }
        assert_eq!(found.as_object().unwrap().len(), 50);
        assert_ne!(full_id("a"), full_id("b"));
        assert!(of(b"7").is_none() && of(b"{").is_none());
    }
}
