//! Detection Findings and Incident Findings.

use jiff::Timestamp;
use muster_model::json::Text;
use muster_model::{Change, ChangeKind, RecordKind, Severity};

use super::base::{
    Class, Context, DETECTION_FINDING, Metadata, classified, log_name, milliseconds, severity,
};
use super::evidence::{Observables, THREAT_ACTOR, Traits};
use super::objects::person;
use super::writer::{Json, time};
use super::{evidence, objects};
use crate::formats::view::tables::{self, same, says_nothing, tactic};
use crate::formats::view::{Alert, Comment, Evidence, Facts, Incident, all_evidence};
use crate::formats::writing::distinct::Distinct;

/// What is known of an alert besides its own fields.
pub(super) struct Head<'h> {
    pub(super) id: &'h str,
    pub(super) severity: Severity,
    pub(super) created_at: Option<Timestamp>,
    /// The id of the incident around it.
    pub(super) incident: Option<&'h str>,
}

const INCIDENT_FINDING: Class = Class { uid: 2005, name: "Incident Finding" };

impl Context<'_> {
    /// The Detection Finding of an alert inside an incident.
    pub(super) fn inner_detection(&self, buffer: &mut Vec<u8>, alert: &Alert<'_>) {
        let head = Head {
            id: &alert.id.decoded(),
            severity: Severity::from_wire(alert.severity.as_written()),
            created_at: time(alert.created_at),
            incident: Some(&self.record.head.id),
        };
        self.detection(buffer, alert, &head);
    }

    /// A Detection Finding.
    pub(super) fn detection(&self, buffer: &mut Vec<u8>, alert: &Alert<'_>, head: &Head<'_>) {
        let version = self.options.version;
        let all = all_evidence(std::slice::from_ref(alert));
        let facts = Facts::of_evidence(std::slice::from_ref(alert), &all);
        let started = time(alert.first_activity_at);
        let ended = time(alert.last_activity_at);
        let created = head.created_at.or(time(alert.created_at));
        let updated = time(alert.updated_at);
        let mut traits = Traits::default();
        let start = buffer.len();
        let mut observables = Observables::default();
        observables.add_facts(&facts);
        observables.add_evidence(std::slice::from_ref(alert), &all);
        observables.add("finding_info.tags[].value", THREAT_ACTOR, alert.actor);
        Json::write(buffer, |json| {
            // What is said of an incident is not said of the alerts inside it.
            let change = self.record.head.change.as_ref().filter(|_| head.incident.is_none());
            classified(json, DETECTION_FINDING, activity_of(alert.status, change));
            json.number("time", milliseconds(created.or(updated).or(ended).or(started)));
            json.time("start_time", started);
            json.time("end_time", ended);
            severity(json, head.severity, alert.severity);
            status(json, alert.status, &ALERT_STATUSES);
            json.text("status_detail", alert.investigation_state);
            json.text("message", alert.title);
            json.boolean("is_alert", true);
            json.object("finding_info", |json| {
                json.plain("uid", if head.id.is_empty() { &self.record.head.id } else { head.id });
                finding(json, self.kind, alert);
            });
            attacks(json, std::slice::from_ref(alert));
            evidence::malware(json, alert, &all);
            evidence::evidences(json, alert, version, &mut traits);
            evidence::resources(json, &all, version);
            objects::device(json, "device", &facts.device, &[]);
            json.object("remediation", |json| json.text("desc", alert.recommended_actions));
            if let Some((action, disposition)) = disposition(alert, &all, &facts) {
                json.choice("action", action);
                json.choice("disposition", disposition);
            }
            json.object("policy", |json| json.text("uid", alert.policy_id));
            if !alert.assigned_to.is_blank() {
                person(json, "assignee", alert.assigned_to);
            }
            if let Some(verdict) = verdict(alert.classification, alert.determination) {
                json.choice("verdict", verdict);
            }
            json.text("src_url", alert.alert_url);
            comment(json, &alert.comments);
            let metadata = Metadata {
                id: head.id,
                original_id: Text::default(),
                log_name: log_name(self.kind),
                original_time: alert.created_at,
                modified: updated,
                event_code: alert.detector_id,
                correlation: alert.incident_id,
                incident: head.incident,
                labels: &alert.tags,
                profiles: &["cloud", "incident", "security_control"],
                windows: traits.windows,
            };
            self.metadata(json, &metadata);
            self.cloud(json);
            self.rest(json, alert.fields, alert_fields(self.kind), change);
            // Lists in a text there.
            let elsewhere = (self.kind == RecordKind::SiemDetection).then_some("unmapped.LogOnUsers");
            observables.write(json, start, elsewhere);
            if head.incident.is_none() {
                self.raw_data(json);
            }
        });
    }

    /// An Incident Finding.
    pub(super) fn incident(&self, buffer: &mut Vec<u8>, incident: &Incident<'_>) {
        let alerts = &incident.alerts;
        let all = all_evidence(alerts);
        let facts = Facts::of_evidence(alerts, &all);
        let head = self.record.head;
        let created = head.created_at.or(time(incident.created_at));
        let updated = time(incident.updated_at);
        let start = buffer.len();
        let mut observables = Observables::default();
        observables.add_facts(&facts);
        observables.add_evidence(alerts, &all);
        for alert in alerts {
            observables.add("finding_info_list[].tags[].value", THREAT_ACTOR, alert.actor);
        }
        Json::write(buffer, |json| {
            let change = head.change.as_ref();
            classified(json, INCIDENT_FINDING, activity_of(incident.status, change));
            json.number("time", milliseconds(created.or(updated)));
            json.time("start_time", alerts.iter().filter_map(|alert| time(alert.first_activity_at)).min());
            json.time("end_time", alerts.iter().filter_map(|alert| time(alert.last_activity_at)).max());
            severity(json, head.severity, incident.severity);
            status(json, incident.status, &INCIDENT_STATUSES);
            json.text("status_detail", incident.resolving_comment);
            json.text("message", incident.display_name);
            json.text("desc", incident.description.or(incident.summary));
            json.list("finding_info_list", |json| {
                json.item(|json| {
                    json.plain("uid", &head.id);
                    json.text("title", incident.display_name);
                    json.text("desc", incident.summary.or(incident.description));
                    json.time("created_time", created);
                    json.time("modified_time", updated);
                    json.text("src_url", incident.incident_url);
                    if let Some(count) = incident.alert_count() {
                        json.number("related_events_count", i64::try_from(count).unwrap_or(i64::MAX));
                    }
                    types(json, &[], incident.determination);
                });
                for alert in alerts.iter().filter(|alert| !alert.id.is_blank()) {
                    json.item(|json| {
                        json.text("uid", alert.id);
                        finding(json, self.kind, alert);
                    });
                }
            });
            attacks(json, alerts);
            person(json, "assignee", incident.assigned_to);
            json.choice(
                "verdict",
                verdict(incident.classification, incident.determination).unwrap_or((0, "Unknown")),
            );
            json.choice("priority", priority(incident.priority_score, head.severity));
            if let Ok(score) = incident.priority_score.as_written().parse::<i32>() {
                json.number("risk_score", i64::from(score));
            }
            json.text("src_url", incident.incident_url);
            comment(json, &incident.comments);
            let metadata = Metadata {
                id: &head.id,
                original_id: Text::default(),
                log_name: log_name(self.kind),
                original_time: incident.created_at,
                modified: updated,
                event_code: Text::default(),
                correlation: incident.redirect_incident_id.or(incident.id),
                incident: None,
                labels: &incident.tags,
                profiles: &["cloud", "incident", "security_control"],
                windows: false,
            };
            self.metadata(json, &metadata);
            self.cloud(json);
            let mapped = match (self.kind, self.options.incident_alerts) {
                (RecordKind::XdrIncident, _) => XDR_INCIDENT_FIELDS,
                _ => GRAPH_INCIDENT_FIELDS,
            };
            self.rest(json, incident.fields, mapped, change);
            // Most stand in the events of its alerts.
            observables.write(json, start, Some("finding_info_list[]"));
            self.raw_data(json);
        });
    }
}

/// The fields of an alert that stand elsewhere in the event, word for word.
fn alert_fields(kind: RecordKind) -> &'static [&'static str] {
    match kind {
        RecordKind::GraphAlert | RecordKind::GraphIncident => GRAPH_ALERT_FIELDS,
        RecordKind::EndpointAlert => ENDPOINT_ALERT_FIELDS,
        RecordKind::XdrIncident => XDR_ALERT_FIELDS,
        RecordKind::SiemDetection => SIEM_FIELDS,
        RecordKind::HuntingRow => &[],
    }
}

const GRAPH_ALERT_FIELDS: &[&str] = &[
    "id",
    "title",
    "description",
    "recommendedActions",
    "category",
    "categories",
    "severity",
    "status",
    "determination",
    "assignedTo",
    "investigationState",
    "serviceSource",
    "detectionSource",
    "productName",
    "detectorId",
    "alertPolicyId",
    "providerAlertId",
    "incidentId",
    "alertWebUrl",
    "incidentWebUrl",
    "actorDisplayName",
    "threatDisplayName",
    "threatFamilyName",
    "createdDateTime",
    "mitreTechniques",
    "systemTags",
    "evidence",
];

const ENDPOINT_ALERT_FIELDS: &[&str] = &[
    "id",
    "title",
    "description",
    "recommendedAction",
    "category",
    "severity",
    "status",
    "determination",
    "assignedTo",
    "investigationState",
    "detectionSource",
    "detectorId",
    "incidentId",
    "threatName",
    "threatFamilyName",
    "alertCreationTime",
    "mitreTechniques",
    "machineId",
    "computerDnsName",
    "relatedUser",
    "evidence",
];

const XDR_ALERT_FIELDS: &[&str] = &[
    "alertId",
    "title",
    "description",
    "category",
    "severity",
    "status",
    "determination",
    "assignedTo",
    "investigationState",
    "serviceSource",
    "detectionSource",
    "detectorId",
    "providerAlertId",
    "incidentId",
    "actorName",
    "threatFamilyName",
    "creationTime",
    "mitreTechniques",
    "devices",
    "entities",
];

/// Without those that its evidence is made of: that has no `data` of its own. Without `AlertId`, too: the record is
/// identified by `FullId`.
const SIEM_FIELDS: &[&str] = &[
    "AlertTitle",
    "Description",
    "Category",
    "Severity",
    "Source",
    "IoaDefinitionId",
    "ExternalId",
    "LinkToMTP",
    "Actor",
    "ThreatName",
    "ThreatFamily",
    "AlertTime",
];

const GRAPH_INCIDENT_FIELDS: &[&str] = &[
    "id",
    "displayName",
    "description",
    "summary",
    "severity",
    "status",
    "determination",
    "assignedTo",
    "incidentWebUrl",
    "redirectIncidentId",
    "priorityScore",
    "resolvingComment",
    "createdDateTime",
    "customTags",
    "tags",
    "systemTags",
];

const XDR_INCIDENT_FIELDS: &[&str] = &[
    "incidentId",
    "incidentName",
    "severity",
    "status",
    "determination",
    "assignedTo",
    "incidentUri",
    "redirectIncidentId",
    "createdTime",
    "tags",
];

/// What was done to an alert or incident: as its status says, and whether this is its first version.
fn activity_of(status: Text<'_>, change: Option<&Change>) -> (i64, &'static str) {
    match status.as_written() {
        word if same(word, "resolved") || same(word, "redirected") => (3, "Close"),
        _ if change.is_some_and(|change| change.kind == ChangeKind::Created) => (1, "Create"),
        _ if change.is_some() => (2, "Update"),
        word if same(word, "new") || same(word, "active") || says_nothing(word) => (1, "Create"),
        _ => (2, "Update"),
    }
}

type Statuses = [(&'static str, (i64, &'static str))];

const ALERT_STATUSES: [(&str, (i64, &str)); 3] =
    [("new", (1, "New")), ("inProgress", (2, "In Progress")), ("resolved", (4, "Resolved"))];

const INCIDENT_STATUSES: [(&str, (i64, &str)); 5] = [
    ("active", (1, "New")),
    ("inProgress", (2, "In Progress")),
    ("awaitingAction", (3, "On Hold")),
    ("resolved", (4, "Resolved")),
    ("redirected", (5, "Closed")),
];

fn status(json: &mut Json<'_>, status: Text<'_>, statuses: &Statuses) {
    match statuses.iter().find(|(word, _)| same(status.as_written(), word)) {
        Some((_, known)) => json.choice("status", *known),
        None if says_nothing(status.as_written()) => json.choice("status", (0, "Unknown")),
        None => {
            json.number("status_id", 99);
            json.text("status", status);
        }
    }
    json.text("status_code", status);
}

/// What an analyst decided.
fn verdict(classification: Text<'_>, determination: Text<'_>) -> Option<(i64, &'static str)> {
    let is = |text: Text<'_>, word| same(text.as_written(), word);
    Some(match classification.as_written() {
        // The second is what the older APIs write.
        _ if is(determination, "notEnoughDataToValidate") || is(determination, "insufficientData") => {
            (7, "Insufficient Data")
        }
        _ if is(determination, "securityTesting") => (6, "Test"),
        _ if is(classification, "truePositive") => (2, "True Positive"),
        _ if is(classification, "falsePositive") => (1, "False Positive"),
        _ if is(classification, "informationalExpectedActivity") => (5, "Benign"),
        "" => return None,
        _ => (0, "Unknown"),
    })
}

/// The priority that Microsoft gives an incident: its score has the bands below 15, to 85, and above; without a
/// score the severity says it.
fn priority(score: Text<'_>, severity: Severity) -> (i64, &'static str) {
    match (score.as_written().parse::<u32>(), severity) {
        (Ok(0..15), _) | (Err(_), Severity::Low | Severity::Informational) => (1, "Low"),
        (Ok(15..=85), _) | (Err(_), Severity::Medium) => (2, "Medium"),
        (Ok(86..), _) | (Err(_), Severity::High) => (3, "High"),
        (Err(_), Severity::Unknown) => (0, "Unknown"),
    }
}

/// What protection did: the worst that any evidence says.
#[expect(clippy::type_complexity, reason = "two enum values of OCSF, each a number and its caption")]
fn disposition(
    alert: &Alert<'_>,
    all: &[Evidence<'_>],
    facts: &Facts<'_>,
) -> Option<((i64, &'static str), (i64, &'static str))> {
    const WORST_FIRST: [(&str, (i64, &str), (i64, &str)); 10] = [
        ("active", (3, "Observed"), (13, "Uncorrected")),
        ("unremediated", (3, "Observed"), (13, "Uncorrected")),
        ("declined", (3, "Observed"), (13, "Uncorrected")),
        ("partiallyRemediated", (4, "Modified"), (12, "Partially Corrected")),
        ("pendingApproval", (3, "Observed"), (14, "Delayed")),
        ("running", (3, "Observed"), (14, "Delayed")),
        ("remediated", (4, "Modified"), (11, "Corrected")),
        ("prevented", (2, "Denied"), (2, "Blocked")),
        ("blocked", (2, "Denied"), (2, "Blocked")),
        ("notFound", (3, "Observed"), (16, "No Action")),
    ];
    let rank = |evidence: &Evidence<'_>| {
        let status = evidence.remediation_status();
        WORST_FIRST.iter().position(|(word, ..)| same(status.as_written(), word))
    };
    let worst = all.iter().filter_map(rank).min();
    match worst {
        Some(worst) => WORST_FIRST.get(worst).map(|(_, action, disposition)| (*action, *disposition)),
        None => match facts.remediated {
            Some(true) => Some(((4, "Modified"), (11, "Corrected"))),
            Some(false) if alert.remediated.is_some() => Some(((3, "Observed"), (13, "Uncorrected"))),
            _ => None,
        },
    }
}

/// What a finding tells of an alert, besides its id.
fn finding(json: &mut Json<'_>, kind: RecordKind, alert: &Alert<'_>) {
    json.text("title", alert.title);
    json.text("desc", alert.description);
    json.text("uid_alt", alert.provider_alert_id);
    json.time("created_time", time(alert.created_at));
    json.time("modified_time", time(alert.updated_at));
    json.time("first_seen_time", time(alert.first_activity_at));
    json.time("last_seen_time", time(alert.last_activity_at));
    json.text("src_url", alert.alert_url);
    types(json, &alert.categories, alert.determination);
    if !alert.detector_id.is_blank() {
        json.object("analytic", |json| {
            json.text("uid", alert.detector_id);
            json.choice("type", analytic(alert.detection_source));
        });
    }
    let source = alert.service_source;
    json.object("product", |json| {
        // The older APIs of one product do not name it: what they name detected it.
        let of_endpoint = matches!(kind, RecordKind::EndpointAlert | RecordKind::SiemDetection);
        match tables::product(source.as_written()) {
            Some(name) => json.plain("name", name),
            None if of_endpoint => json.word("name", "Microsoft Defender for Endpoint"),
            None => json.text("name", alert.product_name.or(source).or(alert.detection_source)),
        }
        json.text("uid", source);
        if !json.is_empty() {
            json.word("vendor_name", "Microsoft");
        }
        json.object("feature", |json| json.text("name", alert.detection_source));
    });
    json.list("data_sources", |json| json.text_item(alert.product_name));
    json.list("related_events", |json| {
        if !alert.incident_id.is_blank() {
            json.item(|json| {
                json.text("uid", alert.incident_id);
                json.word("type", "Incident");
                json.list("tags", |json| tag(json, "url", alert.incident_url));
            });
        }
    });
    json.list("tags", |json| {
        tag(json, "actor", alert.actor);
        tag(json, "threat_family", alert.threat_family);
        tag(json, "investigation_id", alert.investigation_id);
        for (key, name) in [
            ("LinkToWDATP", "alert_url"),
            ("IncidentLinkToMTP", "incident_url"),
            ("IncidentLinkToWDATP", "incident_url"),
            ("ReportID", "report_id"),
        ] {
            tag(json, name, alert.fields.text_of(key));
        }
    });
}

fn tag(json: &mut Json<'_>, name: &'static str, value: Text<'_>) {
    if !value.is_blank() {
        json.item(|json| {
            json.word("name", name);
            json.text("value", value);
        });
    }
}

fn types(json: &mut Json<'_>, categories: &[Text<'_>], determination: Text<'_>) {
    json.list("types", |json| {
        categories.iter().for_each(|category| json.text_item(*category));
        if !says_nothing(determination.as_written()) {
            json.text_item(determination);
        }
    });
}

/// How the detector works, where its name says so.
fn analytic(detection_source: Text<'_>) -> (i64, &'static str) {
    match detection_source.as_written() {
        word if ["customDetection", "scheduledAlerts", "nrtAlerts", "customTi"]
            .iter()
            .any(|rule| same(word, rule)) =>
        {
            (1, "Rule")
        }
        word if same(word, "builtInMl") => (4, "Learning (ML/DL)"),
        _ => (0, "Unknown"),
    }
}

/// `attacks`: the techniques of MITRE ATT&CK, and the tactics that categories name. No record says which
/// tactic a technique served, so they stand apart.
fn attacks(json: &mut Json<'_>, alerts: &[Alert<'_>]) {
    let (mut techniques, mut tactics) = (Distinct::default(), Distinct::default());
    for alert in alerts {
        alert.techniques.iter().for_each(|technique| techniques.add_text(*technique));
        for category in &alert.categories {
            if let Some(tactic) = tactic(category.as_written()) {
                tactics.add((tactic.id, tactic.name));
            }
        }
    }
    json.list("attacks", |json| {
        for technique in techniques.as_slice() {
            attack(json, *technique);
        }
        for (id, name) in tactics.as_slice() {
            json.item(|json| {
                json.object("tactic", |json| {
                    json.word("uid", id);
                    json.word("name", name);
                });
            });
        }
    });
}

/// A technique such as `T1059`, or a sub-technique such as `T1059.001`.
fn attack(json: &mut Json<'_>, technique: Text<'_>) {
    json.item(|json| match technique.as_written().split_once('.') {
        Some((parent, _)) if !parent.is_empty() => {
            json.object("technique", |json| json.text("uid", Text::as_in_json(parent)));
            json.object("sub_technique", |json| json.text("uid", technique));
        }
        _ => json.object("technique", |json| json.text("uid", technique)),
    });
}

/// `comment`: the last one; all are in `unmapped`.
fn comment(json: &mut Json<'_>, comments: &[Comment<'_>]) {
    json.text("comment", comments.last().map_or_else(Text::default, |comment| comment.text));
}
