//! The events of one record.

use muster_model::json::{Reader, Tape, Value};
use muster_model::{Record, RecordHead, RecordKind, TenantLabel};

use super::base::Context;
use super::finding::Head;
use super::hunting;
use super::options::{IncidentAlerts, OcsfOptions};
use crate::formats::error::FormatError;
use crate::formats::events::Events;
use crate::formats::view::{Alert, View};
use crate::formats::writing::unit::{Shape, Unit};

/// Appends the events of one record.
pub(crate) fn write(
    options: &OcsfOptions,
    kind: RecordKind,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let tape = Tape::read(record.body)?;
    let context = Context { options, kind, record, tenant };
    let view = View::of(kind, &tape);
    first_event(&context, &view, tape.root(), events);
    if let View::Incident(incident) = &view
        && options.incident_alerts == IncidentAlerts::Findings
    {
        for alert in incident.alerts.iter().filter(|alert| alert.fields.is_object()) {
            events.push(true, |buffer| context.inner_detection(buffer, alert));
        }
    }
    Ok(())
}

/// The texts that become events of their own: the record, and each alert of an incident.
pub(crate) fn units<'a>(
    options: &OcsfOptions,
    kind: RecordKind,
    body: &'a str,
) -> Result<Vec<Unit<'a>>, FormatError> {
    let mut units = vec![Unit { body: body.into(), shape: Shape::Record(kind) }];
    let incident = matches!(kind, RecordKind::GraphIncident | RecordKind::XdrIncident);
    if incident && options.incident_alerts == IncidentAlerts::Findings {
        Reader::new(body).object(|key, reader| {
            if key != "alerts" {
                return reader.skip();
            }
            reader.items(|reader| {
                let is_alert = reader.peek()? == b'{';
                let body = reader.raw()?;
                if is_alert {
                    units.push(Unit { body: body.into(), shape: Shape::InnerAlert(kind) });
                }
                Ok(())
            })
        })?;
    }
    Ok(units)
}

/// Appends the one event of a unit.
pub(crate) fn write_unit(
    options: &OcsfOptions,
    shape: Shape,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let tape = Tape::read(record.body)?;
    match shape {
        Shape::Record(kind) | Shape::IncidentAlone(kind) => {
            let context = Context { options, kind, record, tenant };
            first_event(&context, &View::of(kind, &tape), tape.root(), events);
        }
        Shape::InnerAlert(kind) => {
            let context = Context { options, kind, record, tenant };
            let alert = match kind {
                RecordKind::XdrIncident => Alert::xdr(tape.root()),
                _ => Alert::graph(tape.root()),
            };
            events.push(true, |buffer| context.inner_detection(buffer, &alert));
        }
    }
    Ok(())
}

/// The event of the record itcontext.
fn first_event<'v>(context: &Context<'_>, view: &View<'v>, record: Value<'v>, events: &mut Events) {
    match view {
        View::Alert(alert) => {
            let RecordHead { id, severity, created_at, .. } = context.record.head;
            let head = Head { id, severity: *severity, created_at: *created_at, incident: None };
            events.push_with(|buffer| context.detection(buffer, alert, &head));
        }
        View::Incident(incident) => events.push_with(|buffer| context.incident(buffer, incident)),
        View::HuntingRow(row) => events.push_with(|buffer| hunting::write(context, row, record, buffer)),
    }
}
