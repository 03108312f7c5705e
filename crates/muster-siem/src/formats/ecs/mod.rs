//! Elastic Common Schema, in the documents that Elastic's own integrations for Defender make, so that their
//! dashboards and detection rules work: `logs-m365_defender.alert-*` for Graph alerts, `….incident-*` for Graph
//! incidents (a document for each alert of the incident, as Elastic's agent splits them), `….log-*` for incidents of
//! the Defender XDR API, `logs-microsoft_defender_endpoint.log-*` for Defender for Endpoint, `….event-*` for hunting
//! rows. Microsoft's own record follows under `m365_defender` (or `microsoft`), in the names of those integrations.
//!
//! Escaping: everything is JSON, and a text stands in it with the escapes that Microsoft's JSON had. A value that
//! does not fit its field (an address that is none, a number with letters) is left out of that field, since
//! Elasticsearch would refuse the whole document for it; it is in Microsoft's own part all the same.
//!
//! Where evidence is many, a field is a list of the distinct values of all of it.

mod alert;
mod document;
mod fields;
mod hunting;
mod url;
mod vendor;

use std::borrow::Cow;

use muster_model::{Record, RecordKind, TenantLabel};
use serde::Deserialize;

pub(super) use fields::FIELDS;

use super::big::{Shape, Unit};
use super::splunk::Template;
use super::view::View;
use super::{Events, FormatError, tenant_id};
use document::{Document, field};
use muster_model::json::Tape;

/// How ECS documents are made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EcsOptions {
    /// The version of ECS, stated in each document.
    pub ecs_version: EcsVersion,
    /// `data_stream.namespace`, with places for `{{ tenant.slug }}` and the like; `default` when missing. What Elastic
    /// does not take in a namespace becomes `_`.
    pub namespace: Option<Template>,
    /// Whether `event.original` holds Microsoft's record once more, as one string.
    pub event_original: bool,
}

/// A version of ECS that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum EcsVersion {
    /// That of Elastic's integrations up to their versions of 2024. `event.severity` counts from 1 to 4.
    #[serde(rename = "8.11")]
    V8_11,
    /// The newest. `event.severity` is 21, 47, 73 or 99, as in Elastic's detection engine.
    #[default]
    #[serde(rename = "9.4")]
    V9_4,
}

impl EcsVersion {
    /// As it is written in `ecs.version`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V8_11 => "8.11.0",
            Self::V9_4 => "9.4.0",
        }
    }

    /// `event.severity` of Microsoft's severity; `None` for one that says nothing.
    fn severity(self, severity: muster_model::Severity) -> Option<i64> {
        use muster_model::Severity::{High, Informational, Low, Medium, Unknown};
        let (old, new) = match severity {
            Unknown => return None,
            Informational => (1, 21),
            Low => (2, 47),
            Medium => (3, 73),
            High => (4, 99),
        };
        Some(match self {
            Self::V8_11 => old,
            Self::V9_4 => new,
        })
    }
}

/// Appends the documents of one record: one, of an incident one for each of its alerts.
pub(super) fn write(
    options: &EcsOptions,
    kind: RecordKind,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let tape = Tape::read(record.body)?;
    let envelope = Envelope { options, kind, record, tenant };
    match View::of(kind, &tape) {
        View::Alert(alert) => {
            let mut document = envelope.open();
            alert::add_alert(&mut document, kind, options.ecs_version, &alert);
            envelope.close(document, events, |buffer| vendor::push_alert(kind, &alert, buffer));
        }
        View::Incident(incident) if incident.alerts.is_empty() => {
            let mut document = envelope.open();
            alert::add_incident(&mut document, kind, options.ecs_version, &incident, None);
            envelope.close(document, events, |buffer| vendor::push_incident(kind, &incident, None, buffer));
        }
        View::Incident(incident) => {
            for alert in &incident.alerts {
                let mut document = envelope.open();
                alert::add_incident(&mut document, kind, options.ecs_version, &incident, Some(alert));
                envelope.close(document, events, |buffer| {
                    vendor::push_incident(kind, &incident, Some(alert), buffer);
                });
            }
        }
        View::HuntingRow(row) => {
            // What is JSON inside a string is taken apart once more, and lives as long as the document.
            let inner = hunting::Inner::read(&row);
            let inner = inner.tapes();
            let mut document = envelope.open();
            hunting::add_row(&mut document, options.ecs_version, &row, &inner);
            envelope.close(document, events, |buffer| vendor::push_row(&row, &tape, buffer));
        }
    }
    Ok(())
}

/// The texts that become one document each: of an incident, itself with one of its alerts.
pub(super) fn units(kind: RecordKind, body: &str) -> Result<Vec<Unit<'_>>, FormatError> {
    let shape = Shape::Record(kind);
    let whole = || vec![Unit { body: Cow::Borrowed(body), shape }];
    if !matches!(kind, RecordKind::GraphIncident | RecordKind::XdrIncident) {
        return Ok(whole());
    }
    let tape = Tape::read(body)?;
    let alerts = tape.root().get("alerts");
    if alerts.items().count() < 2 {
        return Ok(whole());
    }
    let start = alerts.raw().as_ptr().addr() - body.as_ptr().addr();
    let (before, after) = (&body[..start], &body[start + alerts.raw().len()..]);
    let unit = |raw: &str| Unit { body: Cow::Owned(format!("{before}[{raw}]{after}")), shape };
    Ok(alerts.items().filter(|alert| alert.is_object()).map(|alert| unit(alert.raw())).collect())
}

/// The module and the data set of Elastic's integration for a kind of record.
pub(super) fn dataset(kind: RecordKind) -> (&'static str, &'static str) {
    match kind {
        RecordKind::GraphAlert => ("m365_defender", "m365_defender.alert"),
        RecordKind::GraphIncident => ("m365_defender", "m365_defender.incident"),
        RecordKind::XdrIncident => ("m365_defender", "m365_defender.log"),
        RecordKind::HuntingRow => ("m365_defender", "m365_defender.event"),
        RecordKind::EndpointAlert | RecordKind::SiemDetection => {
            ("microsoft_defender_endpoint", "microsoft_defender_endpoint.log")
        }
    }
}

/// What all documents of one record share.
struct Envelope<'e> {
    options: &'e EcsOptions,
    kind: RecordKind,
    record: Record<'e>,
    tenant: &'e TenantLabel,
}

impl<'e> Envelope<'e> {
    /// A document with the fields that every document has.
    fn open<'a>(&self) -> Document<'a>
    where
        'e: 'a,
    {
        let mut document = Document::new();
        let (module, dataset) = dataset(self.kind);
        let tenant_id = tenant_id(self.tenant, &mut [0; 36]).to_owned();
        document.plain(field!("ecs.version"), self.options.ecs_version.as_str());
        document.plain(field!("event.module"), module);
        document.plain(field!("event.dataset"), dataset);
        document.plain(field!("data_stream.type"), "logs");
        document.plain(field!("data_stream.dataset"), dataset);
        document.plain(field!("data_stream.namespace"), self.namespace());
        document.plain(field!("observer.vendor"), "Microsoft");
        document.plain(field!("cloud.account.id"), tenant_id.clone());
        document.plain(field!("organization.id"), tenant_id);
        document.plain(field!("cloud.account.name"), self.tenant.name.as_str());
        document.plain(field!("organization.name"), self.tenant.name.as_str());
        if self.options.event_original {
            document.plain(field!("event.original"), self.record.body);
        }
        document
    }

    /// Writes the document, and after it what `push_vendor` appends: further fields of the same object.
    fn close(&self, document: Document<'_>, events: &mut Events, push_vendor: impl FnOnce(&mut Vec<u8>)) {
        events.push_with(|buffer| {
            document.write_open(buffer);
            push_vendor(buffer);
            buffer.push(b'}');
        });
    }

    fn namespace(&self) -> String {
        let Some(template) = &self.options.namespace else {
            return "default".to_owned();
        };
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        template
            .expand(self.tenant)
            .to_lowercase()
            .chars()
            .map(|letter| if fits(letter) { letter } else { '_' })
            .take(100)
            .collect()
    }
}
