//! Graph's records as the Defender APIs show them: the same alert or incident in other words.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::words::{capitalized, written};
use crate::world::query::Field;
use crate::world::view::View;

/// An alert as Defender for Endpoint shows it.
#[derive(Debug)]
pub(crate) struct EndpointAlert {
    /// The record, its list of evidence last.
    pub(crate) whole: Bytes,
    /// Where the items of that list begin.
    evidence_at: usize,
    /// How many there are.
    pub(crate) evidence: usize,
}

impl EndpointAlert {
    /// `None` where Graph's text is no JSON object.
    pub(crate) fn of(graph: &[u8]) -> Option<Self> {
        let graph: Value = serde_json::from_slice(graph).ok().filter(Value::is_object)?;
        let evidence: Vec<Value> =
            items(&graph, "evidence").iter().filter_map(|own| entity(View::Endpoint, own)).collect();
        let head = with_last(endpoint_head(&graph), "evidence");
        let list = Value::from(evidence.clone()).to_string();
        let whole = format!("{head}{list}}}");
        Some(Self { whole: whole.into(), evidence_at: head.len() + 1, evidence: evidence.len() })
    }

    /// As it comes where evidence was not asked for: the list is empty.
    pub(crate) fn push_bare(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.whole[..self.evidence_at]);
        text.extend_from_slice(b"]}");
    }
}

/// An incident as Defender XDR shows it, without the alerts that the world knows of it.
pub(crate) fn xdr_incident(graph: &[u8]) -> Option<Bytes> {
    let graph: Value = serde_json::from_slice(graph).ok().filter(Value::is_object)?;
    let text = |key: &str, field| word(View::Xdr, field, &graph[key]);
    let tenant = graph["tenantId"].as_str().unwrap_or_default();
    let id = number(&graph["id"]);
    let mut incident = json!({
        "incidentId": id,
        "incidentUri": format!("https://security.microsoft.com/incidents/{}?tid={tenant}", plain(&graph["id"])),
        "redirectIncidentId": number(&graph["redirectIncidentId"]),
        "incidentName": graph["displayName"],
        "createdTime": graph["createdDateTime"],
        "lastUpdateTime": graph["lastUpdateDateTime"],
        "assignedTo": graph["assignedTo"],
        "classification": text("classification", Field::Classification),
        "determination": text("determination", Field::Determination),
        "status": text("status", Field::Status),
        "severity": text("severity", Field::Severity),
        "tags": graph["customTags"],
        "comments": comments(&graph),
    });
    // Only a record that was written as it is holds alerts of its own.
    if let (Value::Object(incident), Value::Array(alerts)) = (&mut incident, &graph["alerts"]) {
        incident.insert("alerts".to_owned(), alerts.iter().map(xdr_alert_value).collect());
    }
    Some(incident.to_string().into())
}

/// An alert as it stands in an incident of Defender XDR.
pub(crate) fn xdr_alert(graph: &[u8]) -> Option<Bytes> {
    let graph: Value = serde_json::from_slice(graph).ok().filter(Value::is_object)?;
    Some(xdr_alert_value(&graph).to_string().into())
}

fn xdr_alert_value(graph: &Value) -> Value {
    let text = |key: &str, field| word(View::Xdr, field, &graph[key]);
    let evidence = items(graph, "evidence");
    let devices: Vec<Value> = evidence.iter().filter(|own| kind(own) == "device").map(device).collect();
    let entities: Vec<Value> = evidence.iter().filter_map(|own| entity(View::Xdr, own)).collect();
    json!({
        "alertId": graph["id"],
        "providerAlertId": graph["providerAlertId"],
        "incidentId": number(&graph["incidentId"]),
        "serviceSource": text("serviceSource", Field::ServiceSource),
        "creationTime": graph["createdDateTime"],
        "lastUpdatedTime": graph["lastUpdateDateTime"],
        "resolvedTime": graph["resolvedDateTime"],
        "firstActivity": graph["firstActivityDateTime"],
        "lastActivity": graph["lastActivityDateTime"],
        "title": graph["title"],
        "description": graph["description"],
        "category": graph["category"],
        "status": text("status", Field::Status),
        "severity": text("severity", Field::Severity),
        "investigationId": Value::Null,
        "investigationState": capital(&graph["investigationState"]),
        "classification": text("classification", Field::Classification),
        "determination": text("determination", Field::Determination),
        "detectionSource": text("detectionSource", Field::DetectionSource),
        "detectorId": graph["detectorId"],
        "assignedTo": graph["assignedTo"],
        "actorName": graph["actorDisplayName"],
        "threatFamilyName": graph["threatFamilyName"],
        "mitreTechniques": graph["mitreTechniques"],
        "devices": devices,
        "entities": entities,
    })
}

fn endpoint_head(graph: &Value) -> Value {
    let text = |key: &str, field| word(View::Endpoint, field, &graph[key]);
    let evidence = items(graph, "evidence");
    let device = evidence.iter().find(|own| kind(own) == "device").unwrap_or(&Value::Null);
    let user = evidence.iter().find(|own| kind(own) == "user").map(|own| &own["userAccount"]);
    json!({
        "id": graph["id"],
        "incidentId": number(&graph["incidentId"]),
        "investigationId": Value::Null,
        "assignedTo": graph["assignedTo"],
        "severity": text("severity", Field::Severity),
        "status": text("status", Field::Status),
        "classification": text("classification", Field::Classification),
        "determination": text("determination", Field::Determination),
        "investigationState": capital(&graph["investigationState"]),
        "detectionSource": text("detectionSource", Field::DetectionSource),
        "detectorId": graph["detectorId"],
        "category": graph["category"],
        "threatFamilyName": graph["threatFamilyName"],
        "threatName": graph["threatDisplayName"],
        "title": graph["title"],
        "description": graph["description"],
        "alertCreationTime": graph["createdDateTime"],
        "firstEventTime": graph["firstActivityDateTime"],
        "lastEventTime": graph["lastActivityDateTime"],
        "lastUpdateTime": graph["lastUpdateDateTime"],
        "resolvedTime": graph["resolvedDateTime"],
        "machineId": device["mdeDeviceId"],
        "computerDnsName": device["deviceDnsName"],
        "rbacGroupName": device["rbacGroupName"],
        "aadTenantId": graph["tenantId"],
        "mitreTechniques": graph["mitreTechniques"],
        "relatedUser": user.map(|user| json!({"userName": user["accountName"], "domainName": user["domainName"]})),
        "comments": comments(graph),
    })
}

/// The text of an object up to a last field's value, which is written behind it.
fn with_last(object: Value, key: &str) -> String {
    let mut text = object.to_string();
    text.pop();
    text.push_str(&format!(",\"{key}\":"));
    text
}

fn items<'a>(graph: &'a Value, key: &str) -> &'a [Value] {
    graph[key].as_array().map_or(&[], Vec::as_slice)
}

/// What a piece of evidence is, as Graph names it without the word `Evidence`.
fn kind(evidence: &Value) -> &str {
    let name = evidence["@odata.type"].as_str().unwrap_or_default();
    name.trim_start_matches("#microsoft.graph.security.").trim_end_matches("Evidence")
}

fn word(view: View, field: Field, value: &Value) -> Value {
    match value.as_str() {
        Some("unknown") if matches!(field, Field::Classification) && view == View::Endpoint => Value::Null,
        Some(text) => written(view, field, text).into(),
        None if view == View::Xdr && field == Field::Determination => "NotAvailable".into(),
        None => value.clone(),
    }
}

fn capital(value: &Value) -> Value {
    value.as_str().map_or(Value::from("Unknown"), |text| capitalized(text).into())
}

/// Ids that are text in Graph and numbers here.
fn number(id: &Value) -> Value {
    match id.as_str().and_then(|text| text.parse::<i64>().ok()) {
        Some(number) => number.into(),
        None => id.clone(),
    }
}

fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn comments(graph: &Value) -> Value {
    let comment = |own: &Value| {
        json!({
            "comment": own["comment"],
            "createdBy": own["createdByDisplayName"],
            "createdTime": own["createdDateTime"],
        })
    };
    items(graph, "comments").iter().map(comment).collect()
}

fn device(own: &Value) -> Value {
    json!({
        "mdatpDeviceId": own["mdeDeviceId"],
        "aadDeviceId": own["azureAdDeviceId"],
        "deviceDnsName": own["deviceDnsName"],
        "osPlatform": own["osPlatform"],
        "version": own["version"],
        "osBuild": own["osBuild"],
        "healthStatus": capital(&own["healthStatus"]),
        "riskScore": capital(&own["riskScore"]),
        "rbacGroupName": own["rbacGroupName"],
        "rbacGroupId": own["rbacGroupId"],
        "firstSeen": own["firstSeenDateTime"],
        "tags": own["tags"],
        "defenderAvStatus": capital(&own["defenderAvStatus"]),
        "onboardingStatus": capital(&own["onboardingStatus"]),
        "vmMetadata": Value::Null,
        "loggedOnUsers": own["loggedOnUsers"],
    })
}

/// A flat entity; `None` for kinds that the API does not have. Defender for Endpoint has every key, null where not apt;
/// Defender XDR leaves those out.
fn entity(view: View, own: &Value) -> Option<Value> {
    let mut keys = Map::new();
    let mut put = |key: &str, value: &Value| {
        if !value.is_null() {
            keys.insert(key.to_owned(), value.clone());
        }
    };
    let file = |put: &mut dyn FnMut(&str, &Value), details: &Value| {
        for key in ["sha1", "sha256", "fileName", "filePath"] {
            put(key, &details[key]);
        }
    };
    let account = |put: &mut dyn FnMut(&str, &Value), user: &Value| {
        for (key, of) in [
            ("accountName", "accountName"),
            ("domainName", "domainName"),
            ("userSid", "userSid"),
            ("aadUserId", "azureAdUserId"),
            ("userPrincipalName", "userPrincipalName"),
        ] {
            put(key, &user[of]);
        }
    };
    let name = match (kind(own), view) {
        ("user", _) => {
            account(&mut put, &own["userAccount"]);
            "User"
        }
        ("process", _) => {
            file(&mut put, &own["imageFile"]);
            for key in ["processId", "processCommandLine", "parentProcessId"] {
                put(key, &own[key]);
            }
            put("processCreationTime", &own["processCreationDateTime"]);
            put("parentProcessCreationTime", &own["parentProcessCreationDateTime"]);
            if view == View::Endpoint {
                put("parentProcessFileName", &own["parentProcessImageFile"]["fileName"]);
                put("parentProcessFilePath", &own["parentProcessImageFile"]["filePath"]);
            }
            account(&mut put, &own["userAccount"]);
            put("detectionStatus", &capital(&own["detectionStatus"]));
            "Process"
        }
        ("file", _) => {
            file(&mut put, &own["fileDetails"]);
            put("detectionStatus", &capital(&own["detectionStatus"]));
            "File"
        }
        ("ip", _) => {
            put("ipAddress", &own["ipAddress"]);
            "Ip"
        }
        ("url", _) => {
            put("url", &own["url"]);
            "Url"
        }
        ("registryKey" | "registryValue", _) => {
            for key in ["registryKey", "registryHive", "registryValueType", "registryValue"] {
                put(key, &own[key]);
            }
            "Registry"
        }
        ("mailbox", View::Xdr) => {
            put("mailboxDisplayName", &own["displayName"]);
            put("mailboxAddress", &own["primaryAddress"]);
            account(&mut put, &own["userAccount"]);
            "Mailbox"
        }
        ("analyzedMessage", View::Xdr) => {
            put("sender", &own["p1Sender"]["emailAddress"]);
            put("recipient", &own["recipientEmailAddress"]);
            for key in ["subject", "deliveryAction", "internetMessageId"] {
                put(key, &own[key]);
            }
            "MailMessage"
        }
        ("mailCluster", View::Xdr) => {
            for key in ["clusterBy", "clusterByValue", "emailCount"] {
                put(key, &own[key]);
            }
            "MailCluster"
        }
        ("securityGroup", View::Xdr) => {
            put("securityGroupId", &own["securityGroupId"]);
            put("securityGroupName", &own["displayName"]);
            "SecurityGroup"
        }
        _ => return None,
    };
    put("entityType", &name.into());
    put("evidenceCreationTime", &own["createdDateTime"]);
    if view == View::Xdr {
        put("verdict", &capital(&own["verdict"]));
        put("remediationStatus", &capital(&own["remediationStatus"]));
        if kind(own) != "user" {
            put("deviceId", &own["mdeDeviceId"]);
        }
        keys.remove("detectionStatus");
    } else {
        for key in ENDPOINT_KEYS {
            keys.entry(*key).or_insert(Value::Null);
        }
    }
    Some(Value::Object(keys))
}

/// What every piece of evidence of Defender for Endpoint has.
const ENDPOINT_KEYS: &[&str] = &[
    "sha1",
    "sha256",
    "fileName",
    "filePath",
    "processId",
    "processCommandLine",
    "processCreationTime",
    "parentProcessId",
    "parentProcessCreationTime",
    "parentProcessFileName",
    "parentProcessFilePath",
    "ipAddress",
    "url",
    "registryKey",
    "registryHive",
    "registryValueType",
    "registryValue",
    "accountName",
    "domainName",
    "userSid",
    "aadUserId",
    "userPrincipalName",
    "detectionStatus",
];

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: &str = r##"{"id":"da1_-2","providerAlertId":"1_-2","incidentId":"7","severity":"unknown","status":"inProgress",
        "classification":"falsePositive","determination":"notMalicious","serviceSource":"microsoftDefenderForEndpoint",
        "detectionSource":"antivirus","title":"t","tenantId":"x","createdDateTime":"2026-01-01T00:00:00.1234567Z",
        "lastUpdateDateTime":"2026-01-02T00:00:00Z","comments":[{"comment":"c","createdByDisplayName":"a","createdDateTime":"2026-01-01T00:00:00Z"}],
        "evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence","mdeDeviceId":"d","deviceDnsName":"h"},
          {"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"accountName":"u","azureAdUserId":"g"}},
          {"@odata.type":"#microsoft.graph.security.mailClusterEvidence","clusterBy":"s"}]}"##;

    fn read(text: &[u8]) -> Value {
        serde_json::from_slice(text).unwrap()
    }

    #[test]
    fn an_alert_of_defender_for_endpoint() {
        let alert = EndpointAlert::of(ALERT.as_bytes()).unwrap();
        let whole = read(&alert.whole);
        assert_eq!(whole["id"], "da1_-2");
        assert_eq!((&whole["incidentId"], &whole["severity"]), (&7.into(), &"UnSpecified".into()));
        assert_eq!((&whole["status"], &whole["determination"]), (&"InProgress".into(), &"Clean".into()));
        assert_eq!(whole["detectionSource"], "WindowsDefenderAv");
        assert_eq!((&whole["machineId"], &whole["relatedUser"]["userName"]), (&"d".into(), &"u".into()));
        assert_eq!(whole["comments"][0]["createdBy"], "a");
        assert_eq!(alert.evidence, 1);
        assert_eq!(whole["evidence"][0].as_object().unwrap().len(), ENDPOINT_KEYS.len() + 1);
        assert_eq!(whole["evidence"][0]["aadUserId"], "g");
        let mut bare = Vec::new();
        alert.push_bare(&mut bare);
        let mut expected = whole;
        expected["evidence"] = json!([]);
        assert_eq!(read(&bare), expected);
        assert!(EndpointAlert::of(b"7").is_none() && EndpointAlert::of(b"{").is_none());
    }

    #[test]
    fn an_incident_of_defender_xdr_and_its_alert() {
        let incident = r#"{"id":"7","tenantId":"x","displayName":"n","status":"redirected","redirectIncidentId":"9","severity":"high","classification":"unknown","determination":"unknown","createdDateTime":"2026-01-01T00:00:00Z","lastUpdateDateTime":"2026-01-02T00:00:00Z"}"#;
        let incident = read(&xdr_incident(incident.as_bytes()).unwrap());
        assert_eq!((&incident["incidentId"], &incident["redirectIncidentId"]), (&7.into(), &9.into()));
        assert_eq!(
            (&incident["status"], &incident["determination"]),
            (&"Redirected".into(), &"NotAvailable".into())
        );
        assert_eq!(incident["incidentUri"], "https://security.microsoft.com/incidents/7?tid=x");
        assert!(incident.get("alerts").is_none());
        let alert = read(&xdr_alert(ALERT.as_bytes()).unwrap());
        assert_eq!((&alert["alertId"], &alert["incidentId"]), (&"da1_-2".into(), &7.into()));
        assert_eq!(alert["serviceSource"], "MicrosoftDefenderForEndpoint");
        assert_eq!(alert["lastUpdatedTime"], "2026-01-02T00:00:00Z");
        assert_eq!(alert["devices"][0]["mdatpDeviceId"], "d");
        assert_eq!(alert["entities"].as_array().unwrap().len(), 2);
        assert_eq!(
            alert["entities"][1],
            json!({"entityType": "MailCluster", "clusterBy": "s", "verdict": "Unknown", "remediationStatus": "Unknown"})
        );
    }
}
