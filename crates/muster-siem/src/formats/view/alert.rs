//! What alerts and incidents of all APIs have in common.

use muster_model::json::{Kind, Text, Value};

use super::evidence::Evidence;

/// An alert of any API: Graph, Defender for Endpoint, Defender XDR (inside an incident), the retired SIEM API.
#[derive(Debug, Default)]
pub(crate) struct Alert<'a> {
    pub(crate) id: Text<'a>,
    pub(crate) title: Text<'a>,
    pub(crate) description: Text<'a>,
    pub(crate) recommended_actions: Text<'a>,
    pub(crate) category: Text<'a>,
    /// All categories, [`Alert::category`] first.
    pub(crate) categories: Vec<Text<'a>>,
    pub(crate) severity: Text<'a>,
    pub(crate) status: Text<'a>,
    pub(crate) classification: Text<'a>,
    pub(crate) determination: Text<'a>,
    pub(crate) assigned_to: Text<'a>,
    pub(crate) investigation_id: Text<'a>,
    pub(crate) investigation_state: Text<'a>,
    pub(crate) service_source: Text<'a>,
    pub(crate) detection_source: Text<'a>,
    pub(crate) product_name: Text<'a>,
    pub(crate) detector_id: Text<'a>,
    pub(crate) policy_id: Text<'a>,
    pub(crate) provider_alert_id: Text<'a>,
    pub(crate) incident_id: Text<'a>,
    pub(crate) alert_url: Text<'a>,
    pub(crate) incident_url: Text<'a>,
    pub(crate) actor: Text<'a>,
    pub(crate) threat_name: Text<'a>,
    pub(crate) threat_family: Text<'a>,
    pub(crate) created_at: Text<'a>,
    pub(crate) updated_at: Text<'a>,
    pub(crate) first_activity_at: Text<'a>,
    pub(crate) last_activity_at: Text<'a>,
    pub(crate) resolved_at: Text<'a>,
    pub(crate) techniques: Vec<Text<'a>>,
    pub(crate) tags: Vec<Text<'a>>,
    pub(crate) comments: Vec<Comment<'a>>,
    /// What the retired SIEM API says of the remediation as a whole.
    pub(crate) remediated: Option<bool>,
    /// What the retired SIEM API says of the process as a whole.
    pub(crate) was_executing: Option<bool>,
    pub(crate) remediation_action: Text<'a>,
    pub(crate) evidence: Vec<Evidence<'a>>,
    /// Microsoft's object.
    pub(crate) fields: Value<'a>,
}

/// An incident of Graph or of the Defender XDR API.
#[derive(Debug, Default)]
pub(crate) struct Incident<'a> {
    pub(crate) id: Text<'a>,
    pub(crate) display_name: Text<'a>,
    pub(crate) description: Text<'a>,
    pub(crate) summary: Text<'a>,
    pub(crate) severity: Text<'a>,
    pub(crate) status: Text<'a>,
    pub(crate) classification: Text<'a>,
    pub(crate) determination: Text<'a>,
    pub(crate) assigned_to: Text<'a>,
    pub(crate) incident_url: Text<'a>,
    pub(crate) redirect_incident_id: Text<'a>,
    pub(crate) priority_score: Text<'a>,
    pub(crate) resolving_comment: Text<'a>,
    pub(crate) last_modified_by: Text<'a>,
    pub(crate) created_at: Text<'a>,
    pub(crate) updated_at: Text<'a>,
    /// Custom tags, then those of the system.
    pub(crate) tags: Vec<Text<'a>>,
    pub(crate) comments: Vec<Comment<'a>>,
    pub(crate) alerts: Vec<Alert<'a>>,
    /// Microsoft's object.
    pub(crate) fields: Value<'a>,
}

impl Incident<'_> {
    /// How many alerts it has; `None` when it came without them.
    pub(crate) fn alert_count(&self) -> Option<usize> {
        let came = self.fields.get("alerts").kind() == Some(Kind::Array) || !self.alerts.is_empty();
        came.then_some(self.alerts.len())
    }
}

/// A comment on an alert or incident.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Comment<'a> {
    pub(crate) text: Text<'a>,
    pub(crate) author: Text<'a>,
    pub(crate) created_at: Text<'a>,
}

impl<'a> Comment<'a> {
    pub(crate) fn list(comments: Value<'a>) -> Vec<Self> {
        let comment = |fields: Value<'a>| Self {
            text: fields.text_of("comment").or(fields.text()),
            author: fields.first_text(&["createdByDisplayName", "createdBy"]),
            created_at: fields.first_text(&["createdDateTime", "createdTime"]),
        };
        comments.items().filter(|item| item.is_present()).map(comment).collect()
    }
}
