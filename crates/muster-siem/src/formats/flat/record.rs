//! Which fields the line of a record has.

use muster_model::json::Text;
use muster_model::{Change, Record, Severity, TenantLabel};

use super::fields::*;
use super::line::{Line, TIME_FORMAT, is_no_date, parsed, severity_number};
use super::row::write_row;
use crate::formats::view::{Alert, Comment, Facts, Incident, View};
use crate::formats::writing::edit::Syntax;
use crate::formats::writing::quote::tenant_id;
use crate::formats::writing::visible;

/// The constants at the head of each line, and what more is wanted.
pub(crate) struct FlatOptions<'o> {
    pub(crate) syntax: Syntax,
    pub(crate) raw_event: bool,
    /// Writes the head: signature, name, severity.
    pub(crate) head: &'o dyn Fn(&mut Vec<u8>, Head<'_>),
}

/// What the head of a line says of the record.
pub(crate) struct Head<'a> {
    /// What raised it, if anything says so.
    pub(crate) signature: Text<'a>,
    /// What stands there otherwise.
    pub(crate) default_signature: &'static str,
    pub(crate) name: Text<'a>,
    pub(crate) severity: Severity,
}

/// Appends the line of one record.
pub(crate) fn write(
    options: &FlatOptions<'_>,
    view: &View<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
    buffer: &mut Vec<u8>,
) {
    let head = match view {
        View::Alert(alert) => Head {
            signature: alert.detector_id.or(alert.category),
            default_signature: "alert",
            name: alert.title,
            severity: record.head.severity,
        },
        View::Incident(incident) => Head {
            signature: Text::default(),
            default_signature: "incident",
            name: incident.display_name,
            severity: record.head.severity,
        },
        View::HuntingRow(row) => Head {
            signature: row.text("ActionType").or(row.table),
            default_signature: "hunting",
            name: row.text("Title").or(row.text("ActionType")).or(row.table),
            severity: record.head.severity,
        },
    };
    let name = head.name;
    (options.head)(buffer, head);
    let mut line = Line { buffer, syntax: options.syntax, first: true };
    if matches!(options.syntax, Syntax::Leef(_)) {
        line.severity_and_time_format(record);
    }
    match view {
        View::Alert(alert) => write_alert(&mut line, alert, name, record, tenant),
        View::Incident(incident) => write_incident(&mut line, incident, name, record, tenant),
        View::HuntingRow(row) => write_row(&mut line, *row, name, record, tenant),
    }
    if options.raw_event {
        line.plain(RAW, record.body.trim_ascii());
    }
}

fn write_alert(
    line: &mut Line<'_>,
    alert: &Alert<'_>,
    name: Text<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
) {
    let facts = Facts::of(std::slice::from_ref(alert));
    line.common(alert.id, alert.severity, name, record, tenant);
    line.change(record.head.change.as_ref());
    line.text(DESCRIPTION, alert.description);
    line.time(START, parsed(alert.first_activity_at));
    line.time(END, parsed(alert.last_activity_at));
    line.text(CATEGORY, alert.category);
    line.text(DETECTION_SOURCE, alert.detection_source);
    line.text(SERVICE_SOURCE, alert.service_source);
    line.text(THREAT, alert.threat_name);
    line.text(ACTOR, alert.actor);
    line.text(ALERT_URL, alert.alert_url);
    line.text(INCIDENT_ID, alert.incident_id);
    line.time(RESOLVED, parsed(alert.resolved_at));
    line.facts(&facts, std::slice::from_ref(alert));
    line.text(STATUS, alert.status);
    line.text(CLASSIFICATION, alert.classification);
    line.text(DETERMINATION, alert.determination);
    line.text(ASSIGNED_TO, alert.assigned_to);
    line.text(INVESTIGATION_ID, alert.investigation_id);
    line.text(INVESTIGATION_STATE, alert.investigation_state);
    line.text(PRODUCT, alert.product_name);
    line.text(POLICY_ID, alert.policy_id);
    line.text(PROVIDER_ALERT_ID, alert.provider_alert_id);
    line.text(INCIDENT_URL, alert.incident_url);
    line.text(THREAT_FAMILY, alert.threat_family);
    line.more(CATEGORIES, &alert.categories, 1);
    line.list(TECHNIQUES, &alert.techniques);
    line.list(TAGS, &alert.tags);
    line.comments(&alert.comments);
}

fn write_incident(
    line: &mut Line<'_>,
    incident: &Incident<'_>,
    name: Text<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
) {
    let alerts = &incident.alerts;
    let facts = Facts::of(alerts);
    line.common(incident.id, incident.severity, name, record, tenant);
    line.change(record.head.change.as_ref());
    let description = incident.description.or(incident.summary);
    line.text(DESCRIPTION, description.or(first(alerts, |alert| alert.description)));
    if !incident.description.is_blank() {
        line.text(SUMMARY, incident.summary);
    }
    line.time(START, alerts.iter().filter_map(|alert| parsed(alert.first_activity_at)).min());
    line.time(END, alerts.iter().filter_map(|alert| parsed(alert.last_activity_at)).max());
    line.text(CATEGORY, first(alerts, |alert| alert.category));
    line.text(DETECTION_SOURCE, first(alerts, |alert| alert.detection_source));
    line.text(SERVICE_SOURCE, first(alerts, |alert| alert.service_source));
    line.text(THREAT, first(alerts, |alert| alert.threat_name));
    line.text(ACTOR, first(alerts, |alert| alert.actor));
    if let Some(count) = incident.alert_count() {
        line.number(ALERT_COUNT, count);
    }
    match line.syntax {
        Syntax::Cef => {
            line.text(Slot { label: " flexString1Label=incidentWebUrl", ..ALERT_URL }, incident.incident_url)
        }
        _ => line.text(INCIDENT_URL, incident.incident_url),
    }
    line.text(INCIDENT_ID, incident.id);
    line.facts(&facts, alerts);
    line.text(STATUS, incident.status);
    line.text(CLASSIFICATION, incident.classification);
    line.text(DETERMINATION, incident.determination);
    line.text(ASSIGNED_TO, incident.assigned_to);
    line.text(PRIORITY, incident.priority_score);
    line.text(REDIRECT, incident.redirect_incident_id);
    line.text(RESOLVING_COMMENT, incident.resolving_comment);
    line.text(MODIFIED_BY, incident.last_modified_by);
    line.each(ALERT_IDS, alerts, |alert, add| add(alert.id));
    line.each(ALERT_TITLES, alerts, |alert, add| add(alert.title));
    line.each(DETECTOR_ID, alerts, |alert, add| add(alert.detector_id));
    line.each(THREAT_FAMILY, alerts, |alert, add| add(alert.threat_family));
    line.each(CATEGORIES, alerts, |alert, add| alert.categories.iter().for_each(|text| add(*text)));
    line.each(TECHNIQUES, alerts, |alert, add| alert.techniques.iter().for_each(|text| add(*text)));
    line.list(TAGS, &incident.tags);
    line.comments(&incident.comments);
}

/// The first text that is not blank among those of the alerts.
fn first<'a>(alerts: &[Alert<'a>], field: impl Fn(&Alert<'a>) -> Text<'a>) -> Text<'a> {
    alerts.iter().map(field).find(|text| !text.is_blank()).unwrap_or_default()
}

/// The words of Microsoft's field map.
fn severity_word(severity: Severity) -> Option<&'static str> {
    match severity {
        Severity::Unknown => None,
        Severity::Informational => Some("Informational"),
        Severity::Low => Some("Low"),
        Severity::Medium => Some("Medium"),
        Severity::High => Some("High"),
    }
}

impl Line<'_> {
    /// What all records share.
    pub(super) fn common(
        &mut self,
        id: Text<'_>,
        severity: Text<'_>,
        name: Text<'_>,
        record: Record<'_>,
        tenant: &TenantLabel,
    ) {
        // Never blank: a record without an id was not accepted. A number too is an id.
        if id.is_blank() {
            self.plain(ID, &record.head.id);
        } else {
            self.text(ID, id);
        }
        match severity_word(record.head.severity) {
            Some(word) => self.plain(SEVERITY, word),
            None => self.text(SEVERITY, severity),
        }
        self.time(CREATED, record.head.created_at.or(record.head.updated_at));
        self.time(UPDATED, record.head.updated_at);
        self.plain(TENANT_ID, tenant_id(tenant, &mut [0; 36]));
        if !tenant.name.trim().is_empty() {
            self.plain(TENANT_NAME, &tenant.name);
        }
        // CEF's head holds it; there a newline becomes a space.
        if self.syntax != Syntax::Cef
            || name.as_written().contains("\\n")
            || name.as_written().contains("\\r")
        {
            self.text(TITLE, name);
        }
    }

    /// What a version is to the one before.
    fn change(&mut self, change: Option<&Change>) {
        let Some(change) = change else { return };
        self.plain(CHANGE, change.kind.as_str());
        self.items(CHANGED_FIELDS, &change.fields, |line, name| {
            visible::push(line.buffer, name, line.item_place());
        });
        if change.more_fields > 0 {
            self.plain(MORE_CHANGED_FIELDS, &change.more_fields.to_string());
        }
        for (slot, id) in [(CHANGE_FROM, &change.from), (CHANGE_TO, &change.to)] {
            if let Some(id) = id {
                self.plain(slot, id);
            }
        }
    }

    /// LEEF's own: the severity, and how its time is written.
    pub(super) fn severity_and_time_format(&mut self, record: Record<'_>) {
        let Syntax::Leef(delimiter) = self.syntax else { return };
        self.buffer.extend_from_slice(b"sev=");
        self.buffer.extend_from_slice(severity_number(record.head.severity).as_bytes());
        if record.head.created_at.or(record.head.updated_at).is_some() {
            self.buffer.push(delimiter);
            self.buffer.extend_from_slice(b"devTimeFormat=");
            self.buffer.extend_from_slice(TIME_FORMAT.as_bytes());
        }
        self.first = false;
    }

    pub(super) fn comments(&mut self, comments: &[Comment<'_>]) {
        self.items(COMMENTS, comments, |line, comment| {
            let at = if is_no_date(comment.created_at) { Text::default() } else { comment.created_at };
            line.joined(&[at, comment.author, comment.text], " ");
        });
    }
}
