//! What every event of OCSF has: class, severity, metadata, whose it is, and what has no place of its own.

use jiff::Timestamp;
use muster_model::json::{Text, Value};
use muster_model::{Change, Record, RecordKind, Severity, TenantLabel};

use super::options::{IncidentAlerts, OcsfOptions, OcsfVersion};
use super::writer::Json;
use crate::formats::view::tables::{same, says_nothing};
use crate::formats::writing::quote::tenant_id;

/// What is the same for all events of a record.
pub(super) struct Context<'c> {
    pub(super) options: &'c OcsfOptions,
    pub(super) kind: RecordKind,
    pub(super) record: Record<'c>,
    pub(super) tenant: &'c TenantLabel,
}

impl Context<'_> {
    /// `metadata`.
    pub(super) fn metadata(&self, json: &mut Json<'_>, metadata: &Metadata<'_>) {
        let version = self.options.version;
        json.object("metadata", |json| {
            json.plain("version", version.as_str());
            json.object("product", |json| {
                json.word("vendor_name", "Microsoft");
                json.word("name", "Microsoft Defender");
                json.object("feature", |json| json.word("name", interface(self.kind)));
            });
            json.plain("uid", metadata.id);
            let original = metadata.original_id;
            if version == OcsfVersion::V1_8 {
                if original.is_blank() {
                    json.plain("original_event_uid", metadata.id);
                } else {
                    json.text("original_event_uid", original);
                }
            }
            if original.as_written().parse::<i32>().is_ok() {
                json.integer("sequence", original);
            }
            json.word("log_name", metadata.log_name);
            json.word("log_provider", "Muster");
            json.plain("tenant_uid", tenant_id(self.tenant, &mut [0; 36]));
            json.text("original_time", metadata.original_time);
            json.time("modified_time", metadata.modified);
            json.text("event_code", metadata.event_code);
            match metadata.incident {
                Some(incident) if metadata.correlation.is_blank() => json.plain("correlation_uid", incident),
                _ => json.text("correlation_uid", metadata.correlation),
            }
            json.texts("labels", metadata.labels);
            json.list("profiles", |json| {
                metadata.profiles.iter().for_each(|profile| json.plain_item(profile))
            });
            if metadata.windows {
                json.list("extensions", |json| {
                    json.item(|json| {
                        json.word("name", "win");
                        json.word("uid", "2");
                        json.plain("version", version.as_str());
                    });
                });
            }
        });
    }

    /// `cloud`: whose event it is.
    pub(super) fn cloud(&self, json: &mut Json<'_>) {
        json.object("cloud", |json| {
            json.word("provider", "Azure");
            json.object("account", |json| {
                json.plain("uid", tenant_id(self.tenant, &mut [0; 36]));
                json.plain("name", &self.tenant.name);
                json.choice("type", (17, "M365 Tenant"));
                json.list("labels", |json| json.plain_item(self.tenant.slug.as_str()));
            });
        });
    }

    /// `unmapped`: all of Microsoft's fields but those of `mapped`, under their own names, and what changed.
    pub(super) fn rest(
        &self,
        json: &mut Json<'_>,
        fields: Value<'_>,
        mapped: &[&str],
        change: Option<&Change>,
    ) {
        json.object("unmapped", |json| {
            if let Some(change) = change {
                json.object(OWN, |json| own(json, change));
            }
            for (key, value) in fields.fields().filter(|(_, value)| value.is_present()) {
                let is_elsewhere = match key {
                    "alerts" => {
                        self.options.incident_alerts == IncidentAlerts::Findings
                            && value.items().all(|item| item.is_object())
                    }
                    "tenantId" | "aadTenantId" => {
                        same(value.text().as_written(), tenant_id(self.tenant, &mut [0; 36]))
                    }
                    "determination" if says_nothing(value.text().as_written()) => false,
                    // One object has one field of a name, and Microsoft none of this.
                    key if change.is_some() && Text::as_in_json(key).decoded() == OWN => true,
                    _ => mapped.contains(&key),
                };
                if !is_elsewhere {
                    json.own_under(key, value);
                }
            }
        });
    }

    /// `raw_data`, if it is wanted.
    pub(super) fn raw_data(&self, json: &mut Json<'_>) {
        if self.options.raw_data {
            json.plain("raw_data", self.record.body);
        }
    }
}

pub(super) struct Metadata<'m> {
    pub(super) id: &'m str,
    /// Microsoft's id of an event, which is none of the record: a hunting row's `ReportId`.
    pub(super) original_id: Text<'m>,
    pub(super) log_name: &'static str,
    pub(super) original_time: Text<'m>,
    pub(super) modified: Option<Timestamp>,
    pub(super) event_code: Text<'m>,
    pub(super) correlation: Text<'m>,
    /// What an alert is correlated by that does not say its incident.
    pub(super) incident: Option<&'m str>,
    pub(super) labels: &'m [Text<'m>],
    pub(super) profiles: &'m [&'m str],
    pub(super) windows: bool,
}

/// Where Muster's own fields stand in `unmapped`.
const OWN: &str = "muster";

/// What a version is to the one before.
fn own(json: &mut Json<'_>, change: &Change) {
    json.word("change", change.kind.as_str());
    json.list("changed_fields", |json| change.fields.iter().for_each(|name| json.plain_item(name)));
    if change.more_fields > 0 {
        json.number("more_changed_fields", i64::from(change.more_fields));
    }
    json.plain("change_from", change.from.as_deref().unwrap_or_default());
    json.plain("change_to", change.to.as_deref().unwrap_or_default());
}

/// A class of OCSF.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    pub(super) uid: i64,
    pub(super) name: &'static str,
}

/// An alert, or a row that is one.
pub(super) const DETECTION_FINDING: Class = Class { uid: 2004, name: "Detection Finding" };

/// Class, activity and their type.
pub(super) fn classified(json: &mut Json<'_>, class: Class, activity: (i64, &str)) {
    const CATEGORIES: [&str; 7] = [
        "Uncategorized",
        "System Activity",
        "Findings",
        "Identity & Access Management",
        "Network Activity",
        "Discovery",
        "Application Activity",
    ];
    // Classes of an extension have its number before their own: 201001 is of category 1.
    let category = class.uid % 100_000 / 1000;
    json.number("category_uid", category);
    json.plain(
        "category_name",
        usize::try_from(category).ok().and_then(|at| CATEGORIES.get(at)).unwrap_or(&""),
    );
    json.number("class_uid", class.uid);
    json.word("class_name", class.name);
    let (id, name) = activity;
    json.number("activity_id", id);
    json.plain("activity_name", name);
    json.number("type_uid", class.uid * 100 + id);
    json.plain("type_name", &[class.name, ": ", if id == 99 { "Other" } else { name }].concat());
}

pub(super) fn severity(json: &mut Json<'_>, severity: Severity, written: Text<'_>) {
    let known = match severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Unknown => (0, "Unknown"),
    };
    if known.0 == 0 && !says_nothing(written.as_written()) {
        json.number("severity_id", 99);
        json.text("severity", written);
    } else {
        json.choice("severity", known);
    }
    json.object("vendor_attributes", |json| json.text("severity", written));
}

pub(super) fn milliseconds(time: Option<Timestamp>) -> i64 {
    time.map_or(0, Timestamp::as_millisecond)
}

/// The interface that gave the record.
pub(super) fn interface(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::GraphAlert | RecordKind::GraphIncident => "Microsoft Graph",
        RecordKind::EndpointAlert => "Microsoft Defender for Endpoint API",
        RecordKind::XdrIncident => "Microsoft Defender XDR API",
        RecordKind::SiemDetection => "Microsoft Defender for Endpoint SIEM API",
        RecordKind::HuntingRow => "Advanced hunting",
    }
}

pub(super) fn log_name(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::GraphAlert => "security/alerts_v2",
        RecordKind::GraphIncident => "security/incidents",
        RecordKind::EndpointAlert => "api/alerts",
        RecordKind::XdrIncident => "api/incidents",
        RecordKind::SiemDetection => "siem/alerts",
        RecordKind::HuntingRow => "security/runHuntingQuery",
    }
}
