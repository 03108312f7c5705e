//! The documents of one record.

use std::borrow::Cow;

use muster_model::json::Tape;
use muster_model::{Record, RecordKind, TenantLabel};

use super::document::{Document, field};
use super::options::EcsOptions;
use super::{alert, hunting, vendor};
use crate::formats::error::FormatError;
use crate::formats::events::Events;
use crate::formats::view::{Inner, JSON_COLUMNS, View};
use crate::formats::writing::quote::tenant_id;
use crate::formats::writing::unit::{Shape, Unit};

/// Appends the documents of one record: one, of an incident one for each of its alerts.
pub(crate) fn write(
    options: &EcsOptions,
    kind: RecordKind,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let tape = Tape::read(record.body)?;
    let frame = Frame { options, kind, record, tenant };
    match View::of(kind, &tape) {
        View::Alert(alert) => {
            let mut document = frame.open();
            alert::add_alert(&mut document, kind, options.ecs_version, &alert);
            frame.close(document, events, |buffer| vendor::push_alert(kind, &alert, buffer));
        }
        View::Incident(incident) if incident.alerts.is_empty() => {
            let mut document = frame.open();
            alert::add_incident(&mut document, kind, options.ecs_version, &incident, None);
            frame.close(document, events, |buffer| vendor::push_incident(kind, &incident, None, buffer));
        }
        View::Incident(incident) => {
            for alert in &incident.alerts {
                let mut document = frame.open();
                alert::add_incident(&mut document, kind, options.ecs_version, &incident, Some(alert));
                frame.close(document, events, |buffer| {
                    vendor::push_incident(kind, &incident, Some(alert), buffer);
                });
            }
        }
        View::HuntingRow(row) => {
            // What is JSON inside a string is taken apart once more, and lives as long as the document.
            let inner = Inner::read(&row, &JSON_COLUMNS);
            let inner = inner.tapes(&row);
            let mut document = frame.open();
            hunting::add_row(&mut document, options.ecs_version, &row, &inner);
            frame.close(document, events, |buffer| vendor::push_row(&row, &tape, buffer));
        }
    }
    Ok(())
}

/// The texts that become one document each: of an incident, itself with one of its alerts.
pub(crate) fn units(kind: RecordKind, body: &str) -> Result<Vec<Unit<'_>>, FormatError> {
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
pub(crate) fn dataset(kind: RecordKind) -> (&'static str, &'static str) {
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
struct Frame<'e> {
    options: &'e EcsOptions,
    kind: RecordKind,
    record: Record<'e>,
    tenant: &'e TenantLabel,
}

impl<'e> Frame<'e> {
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
        document.plain(field!("data_stream.namespace"), self.options.namespace_of(self.tenant));
        document.plain(field!("observer.vendor"), "Microsoft");
        document.plain(field!("cloud.account.id"), tenant_id.clone());
        document.plain(field!("organization.id"), tenant_id);
        document.plain(field!("cloud.account.name"), self.tenant.name.as_str());
        document.plain(field!("organization.name"), self.tenant.name.as_str());
        // Each row is a record of its own, and never a version of another.
        if let Some(change) = &self.record.head.change
            && self.kind != RecordKind::HuntingRow
        {
            document.plain(field!("labels.muster_change"), change.kind.as_str());
            for name in &change.fields {
                document.plain(field!("labels.muster_changed_fields"), name.as_str());
            }
            if change.more_fields > 0 {
                let more = i64::from(change.more_fields);
                document.number(field!("labels.muster_more_changed_fields"), more);
            }
            if let Some(from) = &change.from {
                document.plain(field!("labels.muster_change_from"), from.as_str());
            }
            if let Some(to) = &change.to {
                document.plain(field!("labels.muster_change_to"), to.as_str());
            }
        }
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
}
