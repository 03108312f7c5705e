//! The formats, and what each of them does.

use std::fmt;

use muster_model::{Record, RecordKind, TenantLabel};

use super::error::FormatError;
use super::events::{Envelope, Events};
use super::writing::edit::{Path, Syntax};
use super::writing::field::{self, Explained, FieldDoc};
use super::writing::unit::{Shape, Unit};
use super::{CefOptions, EcsOptions, LeefOptions, OcsfOptions, SplunkOptions};
use super::{cef, ecs, flat, leef, ocsf, raw, splunk};

/// A format with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Microsoft's own JSON, one record a line.
    Raw,
    /// Event objects of Splunk's HTTP Event Collector, in the sourcetypes that Splunk content for Defender expects.
    Splunk(SplunkOptions),
    /// ArcSight Common Event Format, with Microsoft's own field map.
    Cef(CefOptions),
    /// Log Event Extended Format 2.0, for QRadar.
    Leef(LeefOptions),
    /// Elastic Common Schema, in the documents of Elastic's integrations for Defender.
    Ecs(EcsOptions),
    /// The Open Cybersecurity Schema Framework: Detection Findings, Incident Findings, and events of hunting rows.
    Ocsf(OcsfOptions),
}

impl Format {
    /// The name in settings, commands and output.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Splunk(_) => "splunk",
            Self::Cef(_) => "cef",
            Self::Leef(_) => "leef",
            Self::Ecs(_) => "ecs",
            Self::Ocsf(_) => "ocsf",
        }
    }

    /// Appends the events of one record: most often one, in `splunk` and `ocsf` one more for each alert of an
    /// incident. No event holds a newline, and none is empty.
    ///
    /// # Errors
    /// When the record is not JSON or nests too deeply. Nothing was appended then. Odd types, missing fields and
    /// unknown values are no errors.
    pub fn write(
        &self,
        kind: RecordKind,
        record: Record<'_>,
        tenant: &TenantLabel,
        events: &mut Events,
    ) -> Result<(), FormatError> {
        let mark = events.mark();
        let written = match self {
            Self::Raw => {
                raw::write(record, events);
                Ok(())
            }
            Self::Splunk(options) => splunk::write(options, kind, record, tenant, events),
            Self::Cef(options) => cef::write(options, kind, record, tenant, events),
            Self::Leef(options) => leef::write(options, kind, record, tenant, events),
            Self::Ecs(options) => ecs::write(options, kind, record, tenant, events),
            Self::Ocsf(options) => ocsf::write(options, kind, record, tenant, events),
        };
        match written {
            Ok(()) => events.close_record(mark, kind, record),
            Err(_) => events.back_to(mark),
        }
        written
    }

    /// The stream that an event belongs to, where the format names one: Splunk's sourcetype, Elastic's data set.
    #[must_use]
    pub fn stream(&self, envelope: &Envelope) -> Option<&str> {
        match self {
            Self::Splunk(options) if envelope.is_inner_alert => Some(&options.sourcetypes.incident_alert),
            Self::Splunk(options) => Some(splunk::sourcetype(options, envelope.kind)),
            Self::Ecs(_) => Some(ecs::dataset(envelope.kind).1),
            Self::Raw | Self::Cef(_) | Self::Leef(_) | Self::Ocsf(_) => None,
        }
    }

    /// The table of this format's fields; empty for formats that carry Microsoft's own fields.
    #[must_use]
    pub fn fields(&self) -> &'static [FieldDoc] {
        match self {
            Self::Raw => &[],
            Self::Splunk(_) => splunk::FIELDS,
            Self::Cef(_) => flat::CEF_FIELDS,
            Self::Leef(_) => flat::LEEF_FIELDS,
            Self::Ecs(_) => ecs::FIELDS,
            Self::Ocsf(_) => ocsf::FIELDS,
        }
    }

    /// The fields of each event of a record, in order, with their values and their rows in the table.
    ///
    /// # Errors
    /// As [`Format::write`].
    pub fn explain(
        &self,
        kind: RecordKind,
        record: Record<'_>,
        tenant: &TenantLabel,
    ) -> Result<Vec<Vec<Explained>>, FormatError> {
        let mut events = Events::new();
        self.write(kind, record, tenant, &mut events)?;
        events.iter().map(|event| field::explain(self.syntax(), self.fields(), kind, event)).collect()
    }

    /// The fields of one event in this format, whoever wrote it, with their rows in the table.
    ///
    /// # Errors
    /// When it is no event of this format.
    pub fn read_event(&self, kind: RecordKind, event: &[u8]) -> Result<Vec<Explained>, FormatError> {
        field::explain(self.syntax(), self.fields(), kind, event)
    }

    /// How the fields of its events are written.
    pub(super) fn syntax(&self) -> Syntax {
        match self {
            Self::Raw | Self::Splunk(_) | Self::Ecs(_) | Self::Ocsf(_) => Syntax::Json,
            Self::Cef(_) => Syntax::Cef,
            Self::Leef(options) => leef::syntax(options),
        }
    }

    /// Where a field of Muster's own stands, such as the mark of an event that was split.
    pub(super) fn own_field(&self, name: &str) -> Path {
        let camel = || {
            let mut parts = name.split('_');
            let mut camel = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (first, rest) = part.split_at(1.min(part.len()));
                camel.push_str(&first.to_ascii_uppercase());
                camel.push_str(rest);
            }
            camel
        };
        let text = match self {
            Self::Raw => format!("muster.{name}"),
            Self::Splunk(_) => format!("fields.{name}"),
            Self::Cef(_) => format!("mu{}", {
                let camel = camel();
                camel[..1].to_ascii_uppercase() + &camel[1..]
            }),
            Self::Leef(_) => camel(),
            Self::Ecs(_) => format!("labels.muster_{name}"),
            Self::Ocsf(_) => format!("unmapped.muster.{name}"),
        };
        Path::parse(self.syntax(), &text).expect("a name of our own has no empty part")
    }

    /// The texts that become events of their own.
    pub(super) fn units<'a>(&self, kind: RecordKind, body: &'a str) -> Result<Vec<Unit<'a>>, FormatError> {
        match self {
            Self::Splunk(_) => splunk::units(kind, body),
            Self::Ecs(_) => ecs::units(kind, body),
            Self::Ocsf(options) => ocsf::units(options, kind, body),
            _ => Ok(vec![Unit { body: body.into(), shape: Shape::Record(kind) }]),
        }
    }

    /// Appends the one event of a unit.
    pub(super) fn write_unit(
        &self,
        shape: Shape,
        record: Record<'_>,
        tenant: &TenantLabel,
        events: &mut Events,
    ) -> Result<(), FormatError> {
        match (self, shape) {
            (Self::Splunk(options), shape) => splunk::write_unit(options, shape, record, tenant, events),
            (Self::Ocsf(options), shape) => ocsf::write_unit(options, shape, record, tenant, events),
            (_, Shape::Record(kind) | Shape::IncidentAlone(kind) | Shape::InnerAlert(kind)) => {
                self.write(kind, record, tenant, events)
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
