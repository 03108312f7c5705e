//! Detections of the retired SIEM API.

use muster_model::json::{Text, Value};

use super::alert::Alert;
use super::evidence::{Dialect, Evidence};
use super::tables::{self, EvidenceKind};
use super::things::{Device, File, User};

impl<'a> Alert<'a> {
    /// A detection of the retired SIEM API. What it says of a device, user, file, process, address and URL becomes
    /// evidence, a piece each.
    pub(crate) fn siem(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let flag = |key| tables::flag(text(key).as_written());
        let pieces: [(EvidenceKind, &[&str]); 6] = [
            (EvidenceKind::Device, &["DeviceID", "ComputerDnsName", "MachineName"]),
            (EvidenceKind::User, &["UserName"]),
            (EvidenceKind::File, &["FileName", "FilePath", "Sha1", "Sha256", "Md5", "FileHash"]),
            (EvidenceKind::Process, &["CommandLine"]),
            (EvidenceKind::Ip, &["IpAddress"]),
            (EvidenceKind::Url, &["Url"]),
        ];
        let evidence = pieces
            .into_iter()
            .filter(|(_, keys)| !fields.first_text(keys).is_blank())
            .map(|(kind, _)| Evidence { kind, dialect: Dialect::Siem, fields })
            .collect();
        Self {
            id: text("AlertId"),
            title: text("AlertTitle"),
            description: text("Description"),
            category: text("Category"),
            categories: fields.texts_of("Category"),
            severity: text("Severity"),
            detection_source: text("Source"),
            detector_id: text("IoaDefinitionId"),
            provider_alert_id: text("ExternalId"),
            alert_url: fields.first_text(&["LinkToMTP", "LinkToWDATP"]),
            incident_url: fields.first_text(&["IncidentLinkToMTP", "IncidentLinkToWDATP"]),
            actor: text("Actor"),
            threat_name: text("ThreatName"),
            threat_family: text("ThreatFamily"),
            created_at: text("AlertTime"),
            updated_at: text("LastProcessedTimeUtc"),
            remediated: flag("RemediationIsSuccess"),
            was_executing: flag("WasExecutingWhileDetected"),
            remediation_action: text("RemediationAction"),
            evidence,
            fields,
            ..Self::default()
        }
    }
}

/// The computer of a detection.
pub(crate) fn device(detection: Value<'_>) -> Device<'_> {
    let text = |key| detection.text_of(key);
    Device {
        id: text("DeviceID"),
        dns_name: text("ComputerDnsName"),
        host_name: text("MachineName"),
        dns_domain: text("MachineDomain"),
        group: text("MachineGroup"),
        ..Device::default()
    }
}

/// The account of a detection.
pub(crate) fn user(detection: Value<'_>) -> User<'_> {
    User {
        account: detection.text_of("UserName"),
        domain: detection.text_of("UserDomain"),
        ..User::default()
    }
}

/// The people who were logged on to the computer of a detection.
pub(crate) fn logged_on(detection: Value<'_>) -> Vec<User<'_>> {
    detection.text_of("LogOnUsers").split(&[';']).into_iter().map(logged_on_user).collect()
}

fn logged_on_user(text: Text<'_>) -> User<'_> {
    match text.as_written().split_once("\\\\") {
        Some((domain, account)) => {
            User { account: Text::as_in_json(account), domain: Text::as_in_json(domain), ..User::default() }
        }
        None => User { account: text, ..User::default() },
    }
}

/// The file of a detection.
pub(crate) fn file(detection: Value<'_>) -> File<'_> {
    let text = |key| detection.text_of(key);
    File {
        name: text("FileName"),
        path: text("FilePath"),
        sha1: text("Sha1"),
        sha256: text("Sha256"),
        md5: text("Md5"),
        ..File::default()
    }
}
