//! How one sink wants its events: a format, its own changes to the fields, and the longest event it takes.

pub(super) mod big;
pub(super) mod body;
pub(super) mod mapping;

use std::sync::Arc;

use muster_model::{Record, RecordKind, ReplayId, TenantLabel};

use super::error::FormatError;
use super::events::{Events, Mark};
use super::format::Format;
use super::writing::edit::{Edit, NewValue, apply};
use big::Bounds;
use mapping::Mapping;

/// How records are written for one sink.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// The format.
    pub format: Format,
    /// The sink's own changes to the fields.
    pub mapping: Option<Arc<Mapping>>,
    /// The longest event, and what is done with longer ones.
    pub bounds: Option<Bounds>,
}

impl From<Format> for Encoding {
    fn from(format: Format) -> Self {
        Self { format, mapping: None, bounds: None }
    }
}

impl Encoding {
    /// Appends the events of one record, as [`Format::write`] does, with the sink's changes, none longer than the
    /// sink takes.
    ///
    /// # Errors
    /// Those of [`Format::write`], and [`FormatError::TooBig`] for what no strategy makes fit. Nothing was appended
    /// then.
    pub fn write(
        &self,
        kind: RecordKind,
        record: Record<'_>,
        tenant: &TenantLabel,
        events: &mut Events,
    ) -> Result<(), FormatError> {
        let mark = events.mark();
        let written = match record.replay {
            None => self.write_from(mark, kind, record, tenant, events),
            Some(replay) => self.write_replayed(mark, kind, (record, replay), tenant, events),
        };
        if written.is_err() {
            events.back_to(mark);
        }
        written
    }

    /// The same events as at first, each with the name of the replay. Where an event would become longer than the sink takes, and
    /// where it is Microsoft's own bytes, it stays as it was.
    fn write_replayed(
        &self,
        mark: Mark,
        kind: RecordKind,
        (record, replay): (Record<'_>, ReplayId),
        tenant: &TenantLabel,
        events: &mut Events,
    ) -> Result<(), FormatError> {
        let mut plain = Events::new();
        self.write_from(plain.mark(), kind, record, tenant, &mut plain)?;
        let path = self.format.own_field("replay_id");
        let set = vec![(&path, Some(NewValue::Text(replay.to_string())))];
        let edit = Edit { set, ..Edit::default() };
        let is_as_sent = matches!(self.format, Format::Raw) && self.mapping.is_none();
        let longest = self.bounds.as_ref().map_or(usize::MAX, |bounds| bounds.event_bytes_max);
        let mut marked = Vec::new();
        for event in plain.events() {
            marked.clear();
            let fits = !is_as_sent
                && apply(self.format.syntax(), &edit, event.bytes, &mut marked).is_ok()
                && marked.len() <= longest;
            events.push_replayed(&event, if fits { &marked } else { event.bytes });
        }
        events.close_record(mark, kind, record);
        Ok(())
    }

    fn write_from(
        &self,
        mark: Mark,
        kind: RecordKind,
        record: Record<'_>,
        tenant: &TenantLabel,
        events: &mut Events,
    ) -> Result<(), FormatError> {
        match &self.mapping {
            None => self.format.write(kind, record, tenant, events)?,
            Some(mapping) => {
                let mut plain = Events::new();
                self.format.write(kind, record, tenant, &mut plain)?;
                let context = Mapping::context(kind, record, tenant);
                for event in plain.events() {
                    let inner = event.envelope.is_inner_alert;
                    events.push(inner, |buffer| mapping.apply(&context, event.bytes, buffer))?;
                }
                events.close_record(mark, kind, record);
            }
        }
        match &self.bounds {
            Some(bounds) if events.longest_from(mark) > bounds.event_bytes_max => {
                events.back_to(mark);
                big::write(&self.format, self.mapping.as_deref(), bounds, kind, record, tenant, events)?;
                events.close_record(mark, kind, record);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
