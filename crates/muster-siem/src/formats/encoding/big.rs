//! Events that are longer than a sink takes, and what is done with them. Nothing is ever cut in the middle: a JSON
//! event stays JSON, a line stays a line with whole values, and each event says what was done to it.
//!
//! - [`BigEvents::Split`]: several events, each with a part of the evidence (of an incident: of its alerts, then of
//!   their evidence). All of them have the record's own id and hash in common, and say which part of how many they
//!   are. Everything else of the record stands in each part.
//! - [`BigEvents::Drop`]: named fields go, one after the other, until it fits.
//! - [`BigEvents::Refer`]: only the record's own short fields stay, and the hash by which Muster finds the rest.
//!
//! What the first two cannot make fit is referred to. What even then does not fit is an error, and becomes a dead
//! letter.

use muster_model::json::{Error, Reader};
use muster_model::{Change, Record, RecordHead, RecordKind, TenantLabel};
use serde::Deserialize;

use super::mapping::Mapping;
use crate::formats::error::FormatError;
use crate::formats::events::Events;
use crate::formats::format::Format;
use crate::formats::writing::edit::{Edit, NewValue, Path, apply};
use crate::formats::writing::unit::{Shape, Unit};

/// How many bytes the fields that say what was done may take, beside the names of dropped fields.
const MARK_BYTES: usize = 512;
/// The longest field that stays in an event that refers to its record, and how much of them altogether: what is
/// tried, one after the other.
const SHORT_FIELDS: [(usize, usize); 6] =
    [(512, usize::MAX), (512, 2048), (256, 1024), (128, 512), (64, 256), (64, 64)];
/// Fields that stay before all others.
const FIRST_FIELDS: [&str; 14] = [
    "id",
    "incidentId",
    "alertId",
    "AlertId",
    "title",
    "displayName",
    "incidentName",
    "AlertTitle",
    "severity",
    "Severity",
    "createdDateTime",
    "lastUpdateDateTime",
    "alertWebUrl",
    "incidentWebUrl",
];
/// How many parts one record may be split into. More would not help anybody; such a record is referred to.
const PARTS_MAX: usize = 1000;

/// What is done with an event that is longer than the sink takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BigEvents {
    /// It becomes several, each with a part of the evidence.
    #[default]
    Split,
    /// Named fields are left out.
    Drop,
    /// It refers to the whole record by its hash.
    Refer,
}

/// The longest event that a sink takes, and what is done with longer ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// In bytes.
    pub event_bytes_max: usize,
    /// What is done.
    pub big_events: BigEvents,
    /// What [`BigEvents::Drop`] leaves out, in this order.
    pub drop: Vec<String>,
}

impl Bounds {
    /// Splits what is longer than this.
    #[must_use]
    pub fn split_at(event_bytes_max: usize) -> Self {
        Self { event_bytes_max, big_events: BigEvents::default(), drop: Vec::new() }
    }
}

/// Appends the events of a record some of whose events are too long.
pub(super) fn write(
    format: &Format,
    mapping: Option<&Mapping>,
    bounds: &Bounds,
    kind: RecordKind,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let fitter = Fitter { format, mapping, bounds, record, tenant, kind };
    for unit in format.units(kind, record.body)? {
        fitter.write_unit(&unit, events)?;
    }
    Ok(())
}

struct Fitter<'a> {
    format: &'a Format,
    mapping: Option<&'a Mapping>,
    bounds: &'a Bounds,
    record: Record<'a>,
    tenant: &'a TenantLabel,
    kind: RecordKind,
}

/// What was done to an event, for its reader.
struct Mark {
    strategy: &'static str,
    part: Option<(usize, usize)>,
    dropped: Vec<String>,
}

impl Fitter<'_> {
    fn write_unit(&self, unit: &Unit<'_>, events: &mut Events) -> Result<(), FormatError> {
        let plain = self.spell(self.record.head, &unit.body, unit.shape)?;
        if plain.len() <= self.bounds.event_bytes_max {
            events.push(unit.shape.is_inner_alert(), |buffer| buffer.extend_from_slice(&plain));
            return Ok(());
        }
        match self.bounds.big_events {
            BigEvents::Split => self.split(unit, events),
            BigEvents::Drop => self.drop_fields(unit, &plain, events),
            BigEvents::Refer => self.refer(&unit.body, unit.shape, None, events),
        }
    }

    /// The one event of a text, with the sink's own changes.
    fn spell(&self, head: &RecordHead, body: &str, shape: Shape) -> Result<Vec<u8>, FormatError> {
        let record = Record { head, body, replay: None };
        let mut events = Events::new();
        self.format.write_unit(shape, record, self.tenant, &mut events)?;
        match self.mapping {
            Some(mapping) => {
                let context = Mapping::context(self.kind, record, self.tenant);
                let mut changed = Vec::with_capacity(events.bytes.len());
                mapping.apply(&context, &events.bytes, &mut changed)?;
                Ok(changed)
            }
            None => Ok(events.bytes),
        }
    }

    fn split(&self, unit: &Unit<'_>, events: &mut Events) -> Result<(), FormatError> {
        let limit = self.bounds.event_bytes_max.saturating_sub(MARK_BYTES);
        let mut open = vec![unit.body.clone().into_owned()];
        let mut done: Vec<(String, Option<Vec<u8>>)> = Vec::new();
        while let Some(body) = open.pop() {
            if done.len() + open.len() >= PARTS_MAX {
                return self.refer(&unit.body, unit.shape, None, events);
            }
            let event = self.spell(self.record.head, &body, unit.shape)?;
            if event.len() <= limit {
                done.push((body, Some(event)));
                continue;
            }
            let halves =
                unit.shape.lists().iter().find_map(|list| halves(&body, list).transpose()).transpose()?;
            match halves {
                Some((first, second)) => open.extend([second, first]),
                None => done.push((body, None)),
            }
        }
        let parts = done.len();
        for (number, (body, event)) in done.iter().enumerate() {
            let part = (number + 1, parts);
            match event {
                Some(event) => {
                    let mark = Mark { strategy: "split", part: Some(part), dropped: Vec::new() };
                    self.push(unit.shape, event, &mark, events)?;
                }
                None => self.refer(body, unit.shape, Some(part), events)?,
            }
        }
        Ok(())
    }

    fn drop_fields(&self, unit: &Unit<'_>, plain: &[u8], events: &mut Events) -> Result<(), FormatError> {
        let syntax = self.format.syntax();
        let paths: Vec<_> = self.bounds.drop.iter().filter_map(|name| Path::parse(syntax, name)).collect();
        for count in 1..=paths.len() {
            let edit = Edit { drop: paths[..count].iter().collect(), ..Edit::default() };
            let mut smaller = Vec::with_capacity(plain.len());
            apply(syntax, &edit, plain, &mut smaller)?;
            let mark = Mark { strategy: "drop", part: None, dropped: self.bounds.drop[..count].to_vec() };
            match self.push(unit.shape, &smaller, &mark, events) {
                Err(FormatError::TooBig { .. }) => {}
                other => return other,
            }
        }
        self.refer(&unit.body, unit.shape, None, events)
    }

    fn refer(
        &self,
        body: &str,
        shape: Shape,
        part: Option<(usize, usize)>,
        events: &mut Events,
    ) -> Result<(), FormatError> {
        let mark = Mark { strategy: "refer", part, dropped: Vec::new() };
        let mut result = Ok(());
        let head = self.record.head;
        let head = RecordHead { change: head.change.as_ref().map(Change::brief), ..head.clone() };
        // The less stays, the likelier it fits.
        for (longest, altogether) in SHORT_FIELDS {
            let short = short_fields(body, longest, altogether)?;
            let event = self.spell(&head, &short, shape)?;
            result = self.push(shape, &event, &mark, events);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Appends `event` with its mark, if it fits.
    fn push(&self, shape: Shape, event: &[u8], mark: &Mark, events: &mut Events) -> Result<(), FormatError> {
        let format = &self.format;
        let head = self.record.head;
        let hash = head.hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut fields = vec![
            ("big_event", NewValue::Text(mark.strategy.to_owned())),
            ("record_id", NewValue::Text(head.id.clone())),
            ("record_hash", NewValue::Text(hash)),
            ("record_bytes", NewValue::Json(self.record.body.len().to_string())),
        ];
        if let Some((part, parts)) = mark.part {
            fields.push(("part", NewValue::Json(part.to_string())));
            fields.push(("parts", NewValue::Json(parts.to_string())));
        }
        if !mark.dropped.is_empty() {
            fields.push(("dropped", NewValue::Text(mark.dropped.join(", "))));
        }
        let fields: Vec<_> =
            fields.into_iter().map(|(name, value)| (format.own_field(name), value)).collect();
        let set = fields.iter().map(|(path, value)| (path, Some(value.clone()))).collect();
        let mut marked = Vec::with_capacity(event.len() + MARK_BYTES);
        apply(format.syntax(), &Edit { set, ..Edit::default() }, event, &mut marked)?;
        if marked.len() > self.bounds.event_bytes_max {
            return Err(FormatError::TooBig { bytes: marked.len(), max: self.bounds.event_bytes_max });
        }
        events.push(shape.is_inner_alert(), |buffer| buffer.extend_from_slice(&marked));
        Ok(())
    }
}

/// The body in two, each with half of the items of a list: of the first list on the way that has two or more.
/// `None` when there is nothing to take apart.
fn halves(body: &str, list: &[&str]) -> Result<Option<(String, String)>, Error> {
    let Some((name, inner_list)) = list.split_first() else { return Ok(None) };
    let (mut items, mut place) = (Vec::new(), None);
    Reader::new(body).object(|key, reader| {
        if key != *name || reader.peek()? != b'[' {
            return reader.skip();
        }
        items.clear();
        let written = reader.raw_with(|reader| {
            reader.items(|reader| {
                items.push(reader.raw()?);
                Ok(())
            })
        })?;
        let start = written.as_ptr().addr() - body.as_ptr().addr();
        place = Some(start..start + written.len());
        Ok(())
    })?;
    let Some(place) = place else { return Ok(None) };
    let with =
        |items: &[&str]| format!("{}[{}]{}", &body[..place.start], items.join(","), &body[place.end..]);
    match items.as_slice() {
        [] => Ok(None),
        [only] => {
            let halves = halves(only, inner_list)?;
            Ok(halves.map(|(first, second)| (with(&[&first]), with(&[&second]))))
        }
        several => {
            let (first, second) = several.split_at(several.len() / 2);
            Ok(Some((with(first), with(second))))
        }
    }
}

/// The fields of a record that are no longer than this, and neither objects nor lists: as many as fit, the most
/// important first.
fn short_fields(body: &str, longest: usize, altogether: usize) -> Result<String, Error> {
    let mut fields = Vec::new();
    Reader::new(body).object(|key, reader| {
        let is_plain = !matches!(reader.peek()?, b'{' | b'[');
        let value = reader.raw()?;
        if is_plain && key.len() + value.len() <= longest {
            fields.push((key, value));
        }
        Ok(())
    })?;
    let rank = |key: &str| FIRST_FIELDS.iter().position(|first| *first == key).unwrap_or(FIRST_FIELDS.len());
    fields.sort_by_key(|(key, _)| rank(key));
    let mut short = String::from("{");
    for (key, value) in fields {
        let comma = if short.len() > 1 { "," } else { "" };
        if short.len() + key.len() + value.len() + 4 <= altogether {
            short.push_str(&format!("{comma}\"{key}\":{value}"));
        }
    }
    short.push('}');
    Ok(short)
}

#[cfg(test)]
mod tests {
    use super::{halves, short_fields};

    #[test]
    fn a_list_is_halved_where_it_first_can_be() {
        let split = |body: &str, list: &[&str]| halves(body, list).expect("JSON");
        let (first, second) = split(r#"{"a":1,"e":[1,{"x":[2]},3],"z":"]"}"#, &["e"]).expect("two");
        assert_eq!(first, r#"{"a":1,"e":[1],"z":"]"}"#);
        assert_eq!(second, r#"{"a":1,"e":[{"x":[2]},3],"z":"]"}"#);
        let (first, second) = split(r#"{"a":[{"e":[1,2],"i":7}]}"#, &["a", "e"]).expect("two");
        assert_eq!(first, r#"{"a":[{"e":[1],"i":7}]}"#);
        assert_eq!(second, r#"{"a":[{"e":[2],"i":7}]}"#);
        for body in [r#"{"a":[]}"#, r#"{"a":[{"e":[1]}]}"#, r#"{"a":{"e":[1,2]}}"#, "{}", r#"{"a":[7]}"#] {
            assert_eq!(split(body, &["a", "e"]), None, "{body}");
        }
    }

    #[test]
    fn short_fields_stay() {
        let body = r#"{"id":"1","long":"aaaaaaaaaaaaaaaaaaaaaaaaaaa","list":[1],"n":null,"b":true}"#;
        assert_eq!(short_fields(body, 12, 999).expect("JSON"), r#"{"id":"1","n":null,"b":true}"#);
        assert_eq!(short_fields(body, 12, 20).expect("JSON"), r#"{"id":"1","n":null}"#);
        let late = r#"{"x":1,"y":2,"title":"t"}"#;
        assert_eq!(short_fields(late, 12, 16).expect("JSON"), r#"{"title":"t"}"#);
    }
}
