//! Alerts, incidents and evidence of Microsoft Graph: objects in objects, evidence with `@odata.type`.

use muster_model::json::{Text, Value};

use super::alert::{Alert, Comment, Incident};
use super::evidence::Evidence;
use super::tables::EvidenceKind;
use super::things::{Device, File, Process, User};
use crate::formats::writing::distinct::Distinct;

impl<'a> Alert<'a> {
    /// A Graph alert.
    pub(crate) fn graph(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let mut categories = Distinct::default();
        for key in ["category", "categories"] {
            fields.get(key).items().for_each(|item| categories.add_text(item.text()));
        }
        let categories = categories.into_values();
        Self {
            id: text("id"),
            title: text("title"),
            description: text("description"),
            recommended_actions: text("recommendedActions"),
            category: categories.first().copied().unwrap_or_default(),
            categories,
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            investigation_id: Text::default(),
            investigation_state: text("investigationState"),
            service_source: text("serviceSource"),
            detection_source: text("detectionSource"),
            product_name: text("productName"),
            detector_id: text("detectorId"),
            policy_id: text("alertPolicyId"),
            provider_alert_id: text("providerAlertId"),
            incident_id: text("incidentId"),
            alert_url: text("alertWebUrl"),
            incident_url: text("incidentWebUrl"),
            actor: text("actorDisplayName"),
            threat_name: text("threatDisplayName"),
            threat_family: text("threatFamilyName"),
            created_at: text("createdDateTime"),
            updated_at: text("lastUpdateDateTime"),
            first_activity_at: text("firstActivityDateTime"),
            last_activity_at: text("lastActivityDateTime"),
            resolved_at: text("resolvedDateTime"),
            techniques: fields.texts_of("mitreTechniques"),
            tags: fields.texts_of("systemTags"),
            comments: Comment::list(fields.get("comments")),
            remediated: None,
            was_executing: None,
            remediation_action: Text::default(),
            evidence: fields.get("evidence").items().map(Evidence::graph).collect(),
            fields,
        }
    }
}

impl<'a> Incident<'a> {
    /// A Graph incident, with or without its alerts.
    pub(crate) fn graph(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let tags = ["customTags", "tags", "systemTags"].iter().flat_map(|key| fields.texts_of(key));
        Self {
            id: text("id"),
            display_name: text("displayName"),
            description: text("description"),
            summary: text("summary"),
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            incident_url: text("incidentWebUrl"),
            redirect_incident_id: text("redirectIncidentId"),
            priority_score: text("priorityScore"),
            resolving_comment: text("resolvingComment"),
            last_modified_by: text("lastModifiedBy"),
            created_at: text("createdDateTime"),
            updated_at: text("lastUpdateDateTime"),
            tags: tags.collect(),
            comments: Comment::list(fields.get("comments")),
            alerts: fields.get("alerts").items().map(Alert::graph).collect(),
            fields,
        }
    }
}

/// The computer that a piece of evidence is, or on which it was found (of which most often only the id is known).
pub(crate) fn device<'a>(kind: EvidenceKind, fields: Value<'a>) -> Device<'a> {
    let text = |key| fields.text_of(key);
    match kind {
        EvidenceKind::Device | EvidenceKind::Unknown => {
            let machine = fields.get("vmMetadata");
            Device {
                id: text("mdeDeviceId"),
                entra_id: text("azureAdDeviceId"),
                dns_name: text("deviceDnsName"),
                host_name: fields.first_text(&["hostName", "deviceName"]),
                dns_domain: text("dnsDomain"),
                nt_domain: text("ntDomain"),
                os_platform: text("osPlatform"),
                os_build: text("osBuild"),
                os_version: text("version"),
                group: text("rbacGroupName"),
                group_id: text("rbacGroupId"),
                risk_score: text("riskScore"),
                onboarding_status: text("onboardingStatus"),
                first_seen_at: text("firstSeenDateTime"),
                last_address: text("lastIpAddress"),
                last_external_address: text("lastExternalIpAddress"),
                vm_id: machine.text_of("vmId"),
                vm_resource_id: machine.text_of("resourceId"),
                vm_subscription_id: machine.text_of("subscriptionId"),
                ..Device::default()
            }
        }
        EvidenceKind::IotDevice => Device {
            host_name: text("deviceName"),
            os_platform: text("operatingSystem"),
            mac: text("macAddress"),
            ..Device::default()
        },
        EvidenceKind::CloudLogonSession => Device {
            host_name: text("deviceName"),
            os_platform: text("operatingSystem"),
            ..Device::default()
        },
        EvidenceKind::File | EvidenceKind::Process | EvidenceKind::RegistryValue => {
            Device { id: text("mdeDeviceId"), ..Device::default() }
        }
        _ => Device::default(),
    }
}

/// The process that a piece of evidence is.
pub(crate) fn process(fields: Value<'_>) -> Process<'_> {
    let text = |key| fields.text_of(key);
    Process {
        id: text("processId"),
        image: File::graph(fields.get("imageFile")),
        command_line: text("processCommandLine"),
        created_at: text("processCreationDateTime"),
        parent_id: text("parentProcessId"),
        parent_created_at: text("parentProcessCreationDateTime"),
        parent_image: File::graph(fields.get("parentProcessImageFile")),
        parent_command_line: Text::default(),
    }
}

impl<'a> User<'a> {
    /// The account in an object such as `userAccount`.
    pub(crate) fn graph(fields: Value<'a>) -> Self {
        if !fields.is_object() {
            return Self::default();
        }
        Self {
            account: fields.text_of("accountName"),
            domain: fields.text_of("domainName"),
            principal: fields.text_of("userPrincipalName"),
            sid: fields.text_of("userSid"),
            entra_id: fields.text_of("azureAdUserId"),
            display_name: fields.text_of("displayName"),
        }
    }
}

impl<'a> File<'a> {
    /// The file in an object such as `fileDetails`.
    pub(crate) fn graph(fields: Value<'a>) -> Self {
        if !fields.is_object() {
            return Self::default();
        }
        Self {
            name: fields.text_of("fileName"),
            path: fields.text_of("filePath"),
            size: fields.text_of("fileSize"),
            sha1: fields.text_of("sha1"),
            sha256: fields.text_of("sha256"),
            sha256_ac: fields.text_of("sha256Ac"),
            md5: fields.text_of("md5"),
            publisher: fields.text_of("filePublisher"),
            signer: fields.text_of("signer"),
        }
    }
}
