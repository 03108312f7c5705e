//! How a record is spelled: one file per format, each a pure function from a record to the bytes of its events.
//!
//! To add a format: copy the file of the one that is most like it, add a variant to [`Format`], and follow the
//! compiler. Formats that spell Microsoft's fields in another way start from the typed view in `view`; formats that
//! carry Microsoft's JSON copy it. What is in a record was written partly by attackers: each format escapes for the
//! place where the text ends up, and says in its module how.

mod big;
mod cef;
mod custom;
mod distinct;
#[cfg(test)]
mod documents;
mod ecs;
mod edit;
mod events;
mod field;
mod flat;
mod leef;
mod ocsf;
mod quote;
mod raw;
mod spelling;
mod splunk;
mod tables;
mod view;
mod visible;

use std::fmt;

use muster_model::{Record, TenantLabel, json};

use big::{Shape, Unit};
use edit::{Path, Syntax};

pub use big::{BigEvents, Bounds};
pub use cef::CefOptions;
pub use custom::{FieldTemplate, JsonTemplate, Mapping, MappingError, MappingOptions};
pub use ecs::{EcsOptions, EcsVersion};
pub use events::{Envelope, Event, Events};
pub use field::{ALL_KINDS, Explained, FieldDoc, markdown};
pub use leef::{Delimiter, LeefOptions};
pub use muster_model::RecordKind;
pub use ocsf::{IncidentAlerts, OcsfOptions, OcsfVersion};
pub use spelling::Spelling;
pub use splunk::{IndexTemplate, Sourcetypes, SplunkOptions, Template, TemplateError};

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
    fn syntax(&self) -> Syntax {
        match self {
            Self::Raw | Self::Splunk(_) | Self::Ecs(_) | Self::Ocsf(_) => Syntax::Json,
            Self::Cef(_) => Syntax::Cef,
            Self::Leef(options) => leef::syntax(options),
        }
    }

    /// Where a field of Muster's own stands, such as the mark of an event that was split.
    fn own_field(&self, name: &str) -> Path {
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
    fn units<'a>(&self, kind: RecordKind, body: &'a str) -> Result<Vec<Unit<'a>>, FormatError> {
        match self {
            Self::Splunk(_) => splunk::units(kind, body),
            Self::Ecs(_) => ecs::units(kind, body),
            Self::Ocsf(options) => ocsf::units(options, kind, body),
            _ => Ok(vec![Unit { body: body.into(), shape: Shape::Record(kind) }]),
        }
    }

    /// Appends the one event of a unit.
    fn write_unit(
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

/// Why a record cannot be spelled in a format. Pages are checked when they are fetched, so neither is ordinary life.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not JSON.
    #[error("the record is not JSON from byte {at} on")]
    Malformed {
        /// The first byte that cannot be understood.
        at: usize,
    },
    /// Nested more deeply than any record that is accepted.
    #[error("the record nests too deeply")]
    TooDeep,
    /// Longer than the sink takes, whatever is done with it.
    #[error(
        "the event is {bytes} bytes long and the sink takes {max}: raise its event_size_max and the receiver's limit"
    )]
    TooBig {
        /// The length of its shortest form.
        bytes: usize,
        /// The longest that the sink takes.
        max: usize,
    },
}

impl From<json::Error> for FormatError {
    fn from(error: json::Error) -> Self {
        match error {
            json::Error::Malformed { at } => Self::Malformed { at },
            json::Error::TooDeep => Self::TooDeep,
        }
    }
}

/// The tenant's Entra id, in lower case.
fn tenant_id<'b>(tenant: &TenantLabel, buffer: &'b mut [u8; 36]) -> &'b str {
    tenant.id.as_uuid().as_hyphenated().encode_lower(buffer)
}

/// Appends a JSON text as one line. Newlines can only stand between its tokens, since strings hold none, and a space
/// means the same there.
fn push_line(buffer: &mut Vec<u8>, json: &str) {
    let start = buffer.len();
    buffer.extend_from_slice(json.trim_ascii().as_bytes());
    let mut rest = &mut buffer[start..];
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        rest[at] = b' ';
        rest = &mut rest[at + 1..];
    }
}
