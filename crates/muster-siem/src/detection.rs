//! A record as a *detection* of the retired SIEM API (`GET /api/alerts` of `wdatp-alertexporter-…`), for connectors that were
//! written for it.
//!
//! The shape is Microsoft's: "Pull detections using the SIEM REST API" (microsoft-365-docs, `pull-alerts-using-rest-api.md`),
//! and which field of today's alerts stands for which is told by "Migrate from the MDE SIEM API" (defender-docs,
//! `configure-siem.md`). What Microsoft says is not offered any more is empty: the indicators (`IocName` …), `ReportID`,
//! `ExternalId`. The old API gave one detection for each thing that was detected, and so several for an alert; this gives one for
//! each alert, with the first device, file, user and address of its evidence.

use jiff::Timestamp;
use muster_model::{Record, RecordKind};
use serde::Serialize;
use serde_json::Value;

/// A detection. All fields are texts, empty where nothing is known, but for four.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the names are those of Microsoft's documents, and say no more there")]
pub struct Detection {
    pub alert_time: String,
    pub computer_dns_name: String,
    pub alert_title: String,
    pub category: String,
    pub severity: String,
    pub alert_id: String,
    pub actor: String,
    #[serde(rename = "LinkToWDATP")]
    pub link_to_wdatp: String,
    pub ioc_name: String,
    pub ioc_value: String,
    pub creator_ioc_name: String,
    pub creator_ioc_value: String,
    pub sha1: String,
    pub file_name: String,
    pub file_path: String,
    pub ip_address: String,
    pub url: String,
    pub ioa_definition_id: String,
    pub user_name: String,
    pub alert_part: u32,
    pub full_id: String,
    pub last_processed_time_utc: String,
    pub threat_category: String,
    pub threat_family: String,
    pub threat_name: String,
    pub remediation_action: String,
    pub remediation_is_success: Option<bool>,
    pub source: String,
    pub md5: String,
    pub sha256: String,
    pub was_executing_while_detected: Option<bool>,
    pub user_domain: String,
    pub log_on_users: String,
    pub machine_domain: String,
    pub machine_name: String,
    #[serde(rename = "InternalIPv4List")]
    pub internal_ipv4_list: String,
    #[serde(rename = "InternalIPv6List")]
    pub internal_ipv6_list: String,
    pub file_hash: String,
    #[serde(rename = "DeviceID")]
    pub device_id: String,
    pub machine_group: String,
    pub description: String,
    pub device_created_machine_tags: String,
    pub cloud_created_machine_tags: String,
    pub command_line: String,
    #[serde(rename = "IncidentLinkToWDATP")]
    pub incident_link_to_wdatp: String,
    #[serde(rename = "ReportID")]
    pub report_id: i64,
    #[serde(rename = "LinkToMTP")]
    pub link_to_mtp: String,
    #[serde(rename = "IncidentLinkToMTP")]
    pub incident_link_to_mtp: String,
    pub external_id: String,
    pub ioc_unique_id: String,
    /// The tags of its devices, one by one, which requests ask for.
    #[serde(skip)]
    pub tags: Vec<String>,
    /// The groups of its devices, one by one.
    #[serde(skip)]
    pub groups: Vec<String>,
}

impl Detection {
    /// The kinds of records that are detections: alerts.
    pub const KINDS: [RecordKind; 3] =
        [RecordKind::GraphAlert, RecordKind::EndpointAlert, RecordKind::SiemDetection];

    /// A record of one of [`Detection::KINDS`] as a detection that was processed at this time. `None` for a record of another
    /// kind, and for what cannot be read.
    #[must_use]
    pub fn of(kind: RecordKind, record: Record<'_>, processed_at: Timestamp) -> Option<Self> {
        let alert: Value = serde_json::from_str(record.body).ok()?;
        let mut detection = match kind {
            RecordKind::GraphAlert => graph(&alert),
            RecordKind::EndpointAlert => endpoint(&alert),
            RecordKind::SiemDetection => as_it_was(&alert),
            RecordKind::GraphIncident | RecordKind::XdrIncident | RecordKind::HuntingRow => return None,
        };
        if detection.alert_id.is_empty() {
            detection.alert_id.clone_from(&record.head.id);
        }
        if detection.full_id.is_empty() {
            detection.full_id.clone_from(&detection.alert_id);
        }
        detection.last_processed_time_utc = seven_digits(processed_at);
        Some(detection)
    }
}

/// A time as the old API writes it: to a tick of 100 ns, so that a client that reads its clock's ticks loses nothing of it.
#[must_use]
pub fn seven_digits(at: Timestamp) -> String {
    format!("{at:.7}")
}

fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value[field].as_array().into_iter().flatten()
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    list(value, field).filter_map(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// The first of some texts that says anything.
fn first(texts: impl IntoIterator<Item = String>) -> String {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// Graph writes `high`, the old API wrote `High`.
fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// The old API told of two services.
fn old_source(word: String) -> String {
    match word.to_ascii_lowercase().as_str() {
        "microsoftdefenderforendpoint" | "windowsdefenderatp" => "EDR".to_owned(),
        "antivirus" | "windowsdefenderav" => "Antivirus".to_owned(),
        _ => word,
    }
}

/// Whether what was found is dealt with, as far as the status of its remediation tells.
fn remediated(status: &str) -> Option<bool> {
    match status {
        "remediated" | "prevented" | "blocked" => Some(true),
        "active" | "pendingApproval" | "declined" | "unremediated" | "running" | "partiallyRemediated" => {
            Some(false)
        }
        _ => None,
    }
}

/// `host.contoso.com` is `host` in `contoso.com`.
fn host_and_domain(dns_name: &str) -> (String, String) {
    let (host, domain) = dns_name.split_once('.').unwrap_or((dns_name, ""));
    (host.to_owned(), domain.to_owned())
}

fn logged_on(users: &Value, field: &str) -> String {
    let user = |user: &Value| match (text(user, "domainName"), text(user, "accountName")) {
        (domain, name) if domain.is_empty() => name,
        (domain, name) => format!("{domain}\\{name}"),
    };
    list(users, field).map(user).filter(|user| !user.is_empty()).collect::<Vec<_>>().join("; ")
}

fn graph(alert: &Value) -> Detection {
    let of = |kind: &'static str| {
        let ends = move |evidence: &&Value| {
            evidence["@odata.type"].as_str().is_some_and(|name| name.rsplit('.').next() == Some(kind))
        };
        list(alert, "evidence").filter(ends)
    };
    let device = of("deviceEvidence").next().unwrap_or(&Value::Null);
    let processes = || of("processEvidence");
    let files = || {
        of("fileEvidence")
            .map(|file| &file["fileDetails"])
            .chain(processes().map(|process| &process["imageFile"]))
    };
    let file = files().find(|file| file.is_object()).unwrap_or(&Value::Null);
    let accounts = || {
        of("userEvidence")
            .chain(processes())
            .map(|evidence| &evidence["userAccount"])
            .filter(|user| user.is_object())
    };
    let user = accounts().next().unwrap_or(&Value::Null);
    let dns_name = text(device, "deviceDnsName");
    let (machine_name, machine_domain) = host_and_domain(&dns_name);
    let addresses: Vec<String> =
        std::iter::once(text(device, "lastIpAddress")).chain(texts(device, "ipInterfaces")).collect();
    let mut family = [Vec::new(), Vec::new()];
    for address in addresses.into_iter().filter(|address| !address.is_empty()) {
        let of = &mut family[usize::from(address.contains(':'))];
        if !of.contains(&address) {
            of.push(address);
        }
    }
    // What was found, before the device that it was found on.
    let statuses = list(alert, "evidence")
        .filter(|evidence| !evidence["@odata.type"].as_str().unwrap_or_default().ends_with(".deviceEvidence"))
        .map(|evidence| text(evidence, "remediationStatus"))
        .filter(|status| !["", "none", "unknownFutureValue"].contains(&status.as_str()));
    let remediation = first(statuses);
    let executing = processes().find_map(|process| match process["detectionStatus"].as_str() {
        Some("detected") => Some(true),
        Some("blocked" | "prevented") => Some(false),
        _ => None,
    });
    let tags: Vec<String> = of("deviceEvidence").flat_map(|device| texts(device, "tags")).collect();
    let groups = of("deviceEvidence").map(|device| text(device, "rbacGroupName"));
    let (link, incident) = (text(alert, "alertWebUrl"), text(alert, "incidentWebUrl"));
    Detection {
        alert_time: text(alert, "createdDateTime"),
        computer_dns_name: dns_name,
        alert_title: text(alert, "title"),
        category: text(alert, "category"),
        severity: capitalised(&text(alert, "severity")),
        alert_id: text(alert, "id"),
        actor: text(alert, "actorDisplayName"),
        link_to_wdatp: link.clone(),
        link_to_mtp: link,
        incident_link_to_wdatp: incident.clone(),
        incident_link_to_mtp: incident,
        sha1: text(file, "sha1"),
        sha256: text(file, "sha256"),
        md5: text(file, "md5"),
        file_hash: first([text(file, "sha1"), text(file, "sha256")]),
        file_name: text(file, "fileName"),
        file_path: text(file, "filePath"),
        ip_address: first(of("ipEvidence").map(|ip| text(ip, "ipAddress"))),
        url: first(of("urlEvidence").map(|url| text(url, "url"))),
        ioa_definition_id: text(alert, "detectorId"),
        user_name: text(user, "accountName"),
        user_domain: text(user, "domainName"),
        threat_category: texts(alert, "mitreTechniques").join(", "),
        threat_family: text(alert, "threatFamilyName"),
        threat_name: text(alert, "threatDisplayName"),
        remediation_is_success: remediated(&remediation),
        remediation_action: remediation,
        source: old_source(text(alert, "detectionSource")),
        was_executing_while_detected: executing,
        log_on_users: logged_on(device, "loggedOnUsers"),
        machine_domain,
        machine_name,
        internal_ipv4_list: family[0].join(", "),
        internal_ipv6_list: family[1].join(", "),
        device_id: text(device, "mdeDeviceId"),
        machine_group: text(device, "rbacGroupName"),
        description: text(alert, "description"),
        device_created_machine_tags: tags.join(", "),
        cloud_created_machine_tags: tags.join(", "),
        command_line: first(processes().map(|process| text(process, "processCommandLine"))),
        groups: groups.filter(|group| !group.is_empty()).collect(),
        tags,
        ..Detection::default()
    }
}

fn endpoint(alert: &Value) -> Detection {
    let of = |kind: &'static str| {
        list(alert, "evidence").filter(move |evidence| {
            evidence["entityType"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(kind))
        })
    };
    let file = of("File").chain(of("Process")).next().unwrap_or(&Value::Null);
    let with_account = || of("User").chain(of("Process"));
    let user = with_account().find(|user| !text(user, "accountName").is_empty()).unwrap_or(&Value::Null);
    let dns_name = text(alert, "computerDnsName");
    let (machine_name, machine_domain) = host_and_domain(&dns_name);
    let status = |evidence: &Value| text(evidence, "detectionStatus").to_lowercase();
    let executing = of("Process").find_map(|process| match status(process).as_str() {
        "detected" => Some(true),
        "blocked" | "prevented" => Some(false),
        _ => None,
    });
    let group = text(alert, "rbacGroupName");
    Detection {
        alert_time: text(alert, "alertCreationTime"),
        computer_dns_name: dns_name,
        alert_title: text(alert, "title"),
        category: text(alert, "category"),
        severity: capitalised(&text(alert, "severity")),
        alert_id: text(alert, "id"),
        sha1: text(file, "sha1"),
        sha256: text(file, "sha256"),
        file_hash: first([text(file, "sha1"), text(file, "sha256")]),
        file_name: text(file, "fileName"),
        file_path: text(file, "filePath"),
        ip_address: first(of("Ip").map(|ip| text(ip, "ipAddress"))),
        url: first(of("Url").map(|url| text(url, "url"))),
        ioa_definition_id: text(alert, "detectorId"),
        user_name: text(user, "accountName"),
        user_domain: text(user, "domainName"),
        threat_category: texts(alert, "mitreTechniques").join(", "),
        threat_family: text(alert, "threatFamilyName"),
        threat_name: text(alert, "threatName"),
        source: old_source(text(alert, "detectionSource")),
        was_executing_while_detected: executing,
        log_on_users: logged_on(alert, "loggedOnUsers"),
        machine_domain,
        machine_name,
        device_id: text(alert, "machineId"),
        groups: Some(group.clone()).filter(|group| !group.is_empty()).into_iter().collect(),
        machine_group: group,
        description: text(alert, "description"),
        command_line: first(of("Process").map(|process| text(process, "processCommandLine"))),
        ..Detection::default()
    }
}

/// One that the old API gave itself, of which only the time of processing is ours.
fn as_it_was(was: &Value) -> Detection {
    let of = |field: &str| text(was, field);
    let split = |field: &str| -> Vec<String> {
        let words = of(field);
        let words = words.split([',', ';']).map(str::trim).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let mut tags = split("DeviceCreatedMachineTags");
    tags.extend(split("CloudCreatedMachineTags"));
    let group = of("MachineGroup");
    Detection {
        alert_time: of("AlertTime"),
        computer_dns_name: of("ComputerDnsName"),
        alert_title: of("AlertTitle"),
        category: of("Category"),
        severity: of("Severity"),
        alert_id: of("AlertId"),
        actor: of("Actor"),
        link_to_wdatp: of("LinkToWDATP"),
        ioc_name: of("IocName"),
        ioc_value: of("IocValue"),
        creator_ioc_name: of("CreatorIocName"),
        creator_ioc_value: of("CreatorIocValue"),
        sha1: of("Sha1"),
        file_name: of("FileName"),
        file_path: of("FilePath"),
        ip_address: of("IpAddress"),
        url: of("Url"),
        ioa_definition_id: of("IoaDefinitionId"),
        user_name: of("UserName"),
        alert_part: was["AlertPart"].as_u64().and_then(|part| part.try_into().ok()).unwrap_or_default(),
        full_id: of("FullId"),
        last_processed_time_utc: String::new(),
        threat_category: of("ThreatCategory"),
        threat_family: of("ThreatFamily"),
        threat_name: of("ThreatName"),
        remediation_action: of("RemediationAction"),
        remediation_is_success: was["RemediationIsSuccess"].as_bool(),
        source: of("Source"),
        md5: of("Md5"),
        sha256: of("Sha256"),
        was_executing_while_detected: was["WasExecutingWhileDetected"].as_bool(),
        user_domain: of("UserDomain"),
        log_on_users: of("LogOnUsers"),
        machine_domain: of("MachineDomain"),
        machine_name: of("MachineName"),
        internal_ipv4_list: of("InternalIPv4List"),
        internal_ipv6_list: of("InternalIPv6List"),
        file_hash: of("FileHash"),
        device_id: of("DeviceID"),
        groups: Some(group.clone()).filter(|group| !group.is_empty()).into_iter().collect(),
        machine_group: group,
        description: of("Description"),
        device_created_machine_tags: of("DeviceCreatedMachineTags"),
        cloud_created_machine_tags: of("CloudCreatedMachineTags"),
        command_line: of("CommandLine"),
        incident_link_to_wdatp: of("IncidentLinkToWDATP"),
        report_id: was["ReportID"].as_i64().unwrap_or_default(),
        link_to_mtp: of("LinkToMTP"),
        incident_link_to_mtp: of("IncidentLinkToMTP"),
        external_id: of("ExternalId"),
        ioc_unique_id: of("IocUniqueId"),
        tags,
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Record, RecordHead, RecordKind};
    use serde_json::{Value, json};

    use super::{Detection, seven_digits};

    fn detection(kind: RecordKind, body: &Value) -> Value {
        let body = body.to_string();
        let head = RecordHead::read(kind, &body).expect("a record");
        let at = "2026-03-02T08:15:30.1234567Z".parse().expect("a time");
        let detection =
            Detection::of(kind, Record { head: &head, body: &body, replay: None }, at).expect("a detection");
        serde_json::to_value(detection).expect("JSON")
    }

    /// As the documents show it, with its fields in their order.
    fn documented() -> Value {
        let text = r#"{
            "AlertTime": "2020-09-30T14:09:20.35743Z", "ComputerDnsName": "mymachine1.domain.com",
            "AlertTitle": "Suspicious File Activity", "Category": "Malware", "Severity": "High",
            "AlertId": "da637370718981685665_16349121", "Actor": "",
            "LinkToWDATP": "https://securitycenter.windows.com/alert/da637370718981685665_16349121",
            "IocName": "", "IocValue": "", "CreatorIocName": "", "CreatorIocValue": "",
            "Sha1": "aabbccddee1122334455aabbccddee1122334455", "FileName": "cmdParent.exe",
            "FilePath": "C:\\WINDOWS\\SysWOW64\\boo3\\qwerty", "IpAddress": "", "Url": "",
            "IoaDefinitionId": "b20af1d2-5990-4672-87f1-acc2a8ff7725", "UserName": "", "AlertPart": 0,
            "FullId": "da637370718981685665_16349121:R4xEdgAvDb2LQl3BgHoA3NYqKmRSiIAG7dpxAJCYZhY=",
            "LastProcessedTimeUtc": "2020-09-30T14:11:44.0779765Z", "ThreatCategory": "", "ThreatFamily": "",
            "ThreatName": "", "RemediationAction": "", "RemediationIsSuccess": null, "Source": "EDR",
            "Md5": "854b85cbff2752fcb88606bca76f83c6", "Sha256": "", "WasExecutingWhileDetected": null,
            "UserDomain": "", "LogOnUsers": "", "MachineDomain": "domain.com", "MachineName": "mymachine1",
            "InternalIPv4List": "", "InternalIPv6List": "",
            "FileHash": "aabbccddee1122334455aabbccddee1122334455",
            "DeviceID": "deadbeef000040830ee54503926f556dcaf82bb0", "MachineGroup": "",
            "Description": "Test Alert", "DeviceCreatedMachineTags": "", "CloudCreatedMachineTags": "",
            "CommandLine": "",
            "IncidentLinkToWDATP": "https://securitycenter.windows.com/incidents/byalert?alertId=da637370718981685665_16349121&source=SIEM",
            "ReportID": 1053729833,
            "LinkToMTP": "https://security.microsoft.com/alert/da637370718981685665_16349121",
            "IncidentLinkToMTP": "https://security.microsoft.com/incidents/byalert?alertId=da637370718981685665_16349121&source=SIEM",
            "ExternalId": "31DD0A845DDA4059FDEDE031014645350AECABD3",
            "IocUniqueId": "R4xEdgAvDb2LQl3BgHoA3NYqKmRSiIAG7dpxAJCYZhY="
        }"#;
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn one_of_the_old_api_stays_as_it_was_but_for_its_time() {
        let mut expected = documented();
        expected["LastProcessedTimeUtc"] = "2026-03-02T08:15:30.1234567Z".into();
        assert_eq!(detection(RecordKind::SiemDetection, &documented()), expected);
    }

    #[test]
    fn an_alert_of_graph_has_what_microsoft_s_table_says() {
        let alert = json!({
            "id": "da1_2", "title": "Mimikatz", "severity": "high", "category": "CredentialAccess",
            "createdDateTime": "2026-03-02T08:00:00.12Z", "description": "d", "actorDisplayName": "BORON",
            "alertWebUrl": "https://security.microsoft.com/alerts/da1_2?tid=t", "incidentWebUrl": "https://i",
            "detectorId": "ioa", "detectionSource": "microsoftDefenderForEndpoint", "threatFamilyName": "Mikatz",
            "threatDisplayName": "HackTool:Win32/Mikatz!dha", "mitreTechniques": ["T1003", "T1059"],
            "evidence": [
                {"@odata.type": "#microsoft.graph.security.deviceEvidence", "deviceDnsName": "pc1.contoso.com",
                 "mdeDeviceId": "dev", "rbacGroupName": "UKMachines", "tags": ["vip", "lab"], "remediationStatus": "remediated",
                 "lastIpAddress": "10.0.0.1", "ipInterfaces": ["10.0.0.1", "fe80::1", "10.0.0.2"],
                 "loggedOnUsers": [{"accountName": "liz", "domainName": "CONTOSO"}, {"accountName": "local"}]},
                {"@odata.type": "#microsoft.graph.security.processEvidence", "processCommandLine": "mimikatz.exe",
                 "detectionStatus": "detected", "remediationStatus": "active",
                 "imageFile": {"sha1": "s1", "sha256": "s256", "md5": "m", "fileName": "m.exe", "filePath": "C:\\x"},
                 "userAccount": {"accountName": "proc", "domainName": "NT"}},
                {"@odata.type": "#microsoft.graph.security.userEvidence",
                 "userAccount": {"accountName": "ann", "domainName": "CONTOSO"}},
                {"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "203.0.113.5"},
                {"@odata.type": "#microsoft.graph.security.urlEvidence", "url": "https://evil.example"},
                null, 7, {"@odata.type": 7}
            ]
        });
        let found = detection(RecordKind::GraphAlert, &alert);
        for (field, value) in [
            ("AlertTime", "2026-03-02T08:00:00.12Z"),
            ("AlertTitle", "Mimikatz"),
            ("Severity", "High"),
            ("Category", "CredentialAccess"),
            ("AlertId", "da1_2"),
            ("FullId", "da1_2"),
            ("Actor", "BORON"),
            ("LinkToWDATP", "https://security.microsoft.com/alerts/da1_2?tid=t"),
            ("IncidentLinkToMTP", "https://i"),
            ("ComputerDnsName", "pc1.contoso.com"),
            ("MachineName", "pc1"),
            ("MachineDomain", "contoso.com"),
            ("Sha1", "s1"),
            ("Sha256", "s256"),
            ("Md5", "m"),
            ("FileHash", "s1"),
            ("FileName", "m.exe"),
            ("FilePath", "C:\\x"),
            ("IpAddress", "203.0.113.5"),
            ("Url", "https://evil.example"),
            ("IoaDefinitionId", "ioa"),
            ("UserName", "ann"),
            ("UserDomain", "CONTOSO"),
            ("Source", "EDR"),
            ("ThreatCategory", "T1003, T1059"),
            ("ThreatFamily", "Mikatz"),
            ("ThreatName", "HackTool:Win32/Mikatz!dha"),
            ("RemediationAction", "active"),
            ("LogOnUsers", "CONTOSO\\liz; local"),
            ("DeviceID", "dev"),
            ("InternalIPv4List", "10.0.0.1, 10.0.0.2"),
            ("InternalIPv6List", "fe80::1"),
            ("MachineGroup", "UKMachines"),
            ("CloudCreatedMachineTags", "vip, lab"),
            ("DeviceCreatedMachineTags", "vip, lab"),
            ("CommandLine", "mimikatz.exe"),
            ("LastProcessedTimeUtc", "2026-03-02T08:15:30.1234567Z"),
            ("IocName", ""),
            ("ExternalId", ""),
        ] {
            assert_eq!(found[field], value, "{field}");
        }
        assert_eq!(
            (&found["RemediationIsSuccess"], &found["WasExecutingWhileDetected"]),
            (&json!(false), &json!(true))
        );
        // Every field of the documents is there, of the type that it has there, and no other.
        let (names, documented) = (found.as_object().expect("an object"), documented());
        assert!(names.keys().eq(documented.as_object().expect("an object").keys()));
        for (name, value) in names {
            let same = std::mem::discriminant(value) == std::mem::discriminant(&documented[name]);
            assert!(same || documented[name].is_null() && value.is_boolean(), "{name}");
        }
    }

    #[test]
    fn an_alert_without_evidence_is_a_detection_of_little() {
        let found =
            detection(RecordKind::GraphAlert, &json!({"id": "a", "severity": "low", "evidence": null}));
        assert_eq!(
            (&found["Severity"], &found["MachineName"], &found["AlertPart"]),
            (&json!("Low"), &json!(""), &json!(0))
        );
        let incident = RecordHead::read(RecordKind::GraphIncident, r#"{"id":"1"}"#).expect("a record");
        let record = Record { head: &incident, body: r#"{"id":"1"}"#, replay: None };
        assert_eq!(Detection::of(RecordKind::GraphIncident, record, jiff::Timestamp::UNIX_EPOCH), None);
        assert_eq!(seven_digits(jiff::Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.0000000Z");
    }

    #[test]
    fn an_alert_of_defender_for_endpoint_is_one_too() {
        let alert = json!({
            "id": "da1_3", "title": "t", "severity": "Medium", "category": "Malware", "alertCreationTime": "2026-03-02T08:00:00Z",
            "computerDnsName": "pc2.fabrikam.com", "machineId": "m1", "rbacGroupName": "A", "detectionSource": "WindowsDefenderAv",
            "threatFamilyName": "f", "threatName": "n", "loggedOnUsers": [{"accountName": "u", "domainName": "D"}],
            "evidence": [
                {"entityType": "User", "accountName": "ann", "domainName": "D"},
                {"entityType": "Process", "sha1": "p1", "fileName": "p.exe", "processCommandLine": "p -x", "detectionStatus": "Blocked"},
                {"entityType": "File", "sha1": "f1", "sha256": "f2", "fileName": "f.exe", "filePath": "C:\\f"},
                {"entityType": "Ip", "ipAddress": "203.0.113.6"}
            ]
        });
        let found = detection(RecordKind::EndpointAlert, &alert);
        for (field, value) in [
            ("Severity", "Medium"),
            ("MachineName", "pc2"),
            ("DeviceID", "m1"),
            ("MachineGroup", "A"),
            ("Source", "Antivirus"),
            ("Sha1", "f1"),
            ("FileName", "f.exe"),
            ("UserName", "ann"),
            ("CommandLine", "p -x"),
            ("IpAddress", "203.0.113.6"),
            ("LogOnUsers", "D\\u"),
            ("ThreatName", "n"),
        ] {
            assert_eq!(found[field], value, "{field}");
        }
        assert_eq!(found["WasExecutingWhileDetected"], false);
    }
}
