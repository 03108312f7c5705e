//! Incidents of the Defender XDR API, and the alerts in them.

use muster_model::json::Value;

use super::alert::{Alert, Comment, Incident};
use super::evidence::Evidence;
use super::things::Device;

impl<'a> Alert<'a> {
    /// An alert inside an incident of the Defender XDR API. Its devices go before its entities.
    pub(crate) fn xdr(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let devices = fields.get("devices").items().map(Evidence::xdr_device);
        let entities = fields.get("entities").items().map(Evidence::entity);
        Self {
            id: text("alertId"),
            title: text("title"),
            description: text("description"),
            category: text("category"),
            categories: fields.texts_of("category"),
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            investigation_id: text("investigationId"),
            investigation_state: text("investigationState"),
            service_source: text("serviceSource"),
            detection_source: text("detectionSource"),
            detector_id: text("detectorId"),
            provider_alert_id: text("providerAlertId"),
            incident_id: text("incidentId"),
            actor: text("actorName"),
            threat_family: text("threatFamilyName"),
            created_at: text("creationTime"),
            updated_at: text("lastUpdatedTime"),
            first_activity_at: text("firstActivity"),
            last_activity_at: text("lastActivity"),
            resolved_at: text("resolvedTime"),
            techniques: fields.texts_of("mitreTechniques"),
            evidence: devices.chain(entities).collect(),
            fields,
            ..Self::default()
        }
    }
}

impl<'a> Incident<'a> {
    /// An incident of the Defender XDR API.
    pub(crate) fn xdr(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        Self {
            id: text("incidentId"),
            display_name: text("incidentName"),
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            incident_url: text("incidentUri"),
            redirect_incident_id: text("redirectIncidentId"),
            created_at: text("createdTime"),
            updated_at: text("lastUpdateTime"),
            tags: fields.texts_of("tags"),
            comments: Comment::list(fields.get("comments")),
            alerts: fields.get("alerts").items().map(Alert::xdr).collect(),
            fields,
            ..Self::default()
        }
    }
}

/// A device of an alert.
pub(crate) fn device(fields: Value<'_>) -> Device<'_> {
    let text = |key| fields.text_of(key);
    let machine = fields.get("vmMetadata");
    Device {
        id: fields.first_text(&["mdatpDeviceId", "deviceId", "DeviceId"]),
        entra_id: text("aadDeviceId"),
        dns_name: text("deviceDnsName"),
        os_platform: text("osPlatform"),
        os_build: text("osBuild"),
        os_version: text("version"),
        os_architecture: text("osProcessor"),
        group: text("rbacGroupName"),
        group_id: text("rbacGroupId"),
        risk_score: text("riskScore"),
        onboarding_status: text("onboardingStatus"),
        first_seen_at: text("firstSeen"),
        vm_id: machine.text_of("vmId"),
        vm_resource_id: machine.text_of("resourceId"),
        vm_subscription_id: machine.text_of("subscriptionId"),
        ..Device::default()
    }
}
