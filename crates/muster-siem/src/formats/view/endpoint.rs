//! Alerts of the Defender for Endpoint API.

use muster_model::json::Value;

use super::alert::{Alert, Comment};
use super::evidence::{Dialect, Evidence};
use super::tables::EvidenceKind;
use super::things::{Device, User};

impl<'a> Alert<'a> {
    /// An alert of the Defender for Endpoint API. Its device and user become evidence, before the evidence it lists.
    pub(crate) fn endpoint(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let mut evidence = Vec::new();
        if !fields.first_text(&["machineId", "computerDnsName"]).is_blank() {
            evidence.push(Evidence { kind: EvidenceKind::Device, dialect: Dialect::EndpointAlert, fields });
        }
        let user = fields.get("relatedUser");
        if user.is_present() {
            evidence.push(Evidence {
                kind: EvidenceKind::User,
                dialect: Dialect::EndpointAlert,
                fields: user,
            });
        }
        evidence.extend(fields.get("evidence").items().map(Evidence::entity));
        Self {
            id: text("id"),
            title: text("title"),
            description: text("description"),
            recommended_actions: text("recommendedAction"),
            category: text("category"),
            categories: fields.texts_of("category"),
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            investigation_id: text("investigationId"),
            investigation_state: text("investigationState"),
            detection_source: text("detectionSource"),
            detector_id: text("detectorId"),
            incident_id: text("incidentId"),
            threat_name: text("threatName"),
            threat_family: text("threatFamilyName"),
            created_at: text("alertCreationTime"),
            updated_at: text("lastUpdateTime"),
            first_activity_at: text("firstEventTime"),
            last_activity_at: text("lastEventTime"),
            resolved_at: text("resolvedTime"),
            techniques: fields.texts_of("mitreTechniques"),
            comments: Comment::list(fields.get("comments")),
            evidence,
            fields,
            ..Self::default()
        }
    }
}

/// The computer of an alert.
pub(crate) fn device(alert: Value<'_>) -> Device<'_> {
    let text = |key| alert.text_of(key);
    Device {
        id: text("machineId"),
        dns_name: text("computerDnsName"),
        group: text("rbacGroupName"),
        ..Device::default()
    }
}

/// The `relatedUser` of an alert.
pub(crate) fn user(related: Value<'_>) -> User<'_> {
    User { account: related.text_of("userName"), domain: related.text_of("domainName"), ..User::default() }
}
