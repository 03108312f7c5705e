//! What formats write: events in one buffer, each with what a sink may need to know about it without reading it.

use std::ops::Range;

use jiff::Timestamp;
use muster_model::{ContentHash, Record, RecordHead, RecordKind};

/// Events of some records, one after the other in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    /// The events without anything between them. Only to be read: appending is for [`Events::push_with`].
    pub bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The ids of the records, without anything between them.
    ids: String,
    record: usize,
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Event<'e> {
    /// Its bytes.
    pub bytes: &'e [u8],
    /// The id of its record.
    pub id: &'e str,
    /// What else is known about it.
    pub envelope: Envelope,
}

/// What is known about an event beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The number of its record, as given to [`Events::start_record`].
    pub record: usize,
    /// Which of the record's events it is, counted from 1.
    pub part: usize,
    /// How many events the record became.
    pub parts: usize,
    /// The kind of the record.
    pub kind: RecordKind,
    /// Whether it is an alert that stands inside an incident, as an event of its own.
    pub is_inner_alert: bool,
    /// When the record was created, or else last changed.
    pub time: Option<Timestamp>,
    /// The hash of the record: two versions of one record have the same id and part.
    pub hash: ContentHash,
    /// The hash of the event as it would be, if it did not come from a replay: what tells repetitions goes by it.
    pub first: Option<ContentHash>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Where the event ends in the bytes.
    end: usize,
    is_inner_alert: bool,
    /// As [`Envelope::first`] has it.
    first: Option<ContentHash>,
    /// With the place of its record's id. Only what a format has written has one.
    envelope: Option<(Envelope, Range<usize>)>,
}

/// A place between two events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    bytes: usize,
    entries: usize,
    ids: usize,
}

impl Event<'_> {
    /// Appends the event as a line: between the tokens of JSON a line end is a blank, and within a text it does not stand.
    pub(crate) fn push_line(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.extend_from_slice(self.bytes);
        for byte in buffer[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        buffer.push(b'\n');
    }
}

impl Events {
    /// No events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the events and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.ids.clear();
        self.record = 0;
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Each event's bytes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let event = self.bytes.get(start..entry.end).unwrap_or_default();
            start = entry.end;
            event
        })
    }

    /// Each event that a format has written, in order.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.events_in(0..self.len())
    }

    /// Of the events in `range`, each that a format has written.
    pub fn events_in(&self, range: Range<usize>) -> impl Iterator<Item = Event<'_>> {
        let mut start = self.start(range.start);
        self.entries.get(range).unwrap_or_default().iter().filter_map(move |entry| {
            let bytes =
                self.bytes.get(std::mem::replace(&mut start, entry.end)..entry.end).unwrap_or_default();
            let (envelope, id) = entry.envelope.as_ref()?;
            Some(Event { bytes, id: self.ids.get(id.clone()).unwrap_or_default(), envelope: *envelope })
        })
    }

    /// Where the events in `range` stand in the bytes.
    #[must_use]
    pub fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.start(range.start)..self.start(range.end)
    }

    fn start(&self, event: usize) -> usize {
        event.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |entry| entry.end)
    }

    /// The number of the record whose events are written next.
    pub fn start_record(&mut self, number: usize) {
        self.record = number;
    }

    /// Appends one event: all that `write` appends to the buffer.
    pub fn push_with<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.push(false, write)
    }

    /// Appends one event; with `is_inner_alert`, an alert that stands inside the record, which is an incident.
    pub(super) fn push<T>(&mut self, is_inner_alert: bool, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let result = write(&mut self.bytes);
        self.entries.push(Entry { end: self.bytes.len(), is_inner_alert, first: None, envelope: None });
        result
    }

    /// Appends an event that comes from a replay: as `replayed` writes it, where that fits, in place of `event`.
    pub(super) fn push_replayed(&mut self, event: &Event<'_>, replayed: &[u8]) {
        self.push(event.envelope.is_inner_alert, |buffer| buffer.extend_from_slice(replayed));
        if let Some(entry) = self.entries.last_mut() {
            entry.first = Some(ContentHash::of(event.bytes));
        }
    }

    /// Appends the only event of a record.
    pub(crate) fn push_record(&mut self, kind: RecordKind, record: Record<'_>, bytes: &[u8]) {
        let mark = self.mark();
        self.push(false, |buffer| buffer.extend_from_slice(bytes));
        self.close_record(mark, kind, record);
    }

    /// Appends an event of others as `write` writes it: what is known about it stays. Nothing is appended when it cannot be
    /// written.
    pub(crate) fn push_rewritten<E>(
        &mut self,
        event: &Event<'_>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mark = self.mark();
        if let Err(error) = self.push(event.envelope.is_inner_alert, write) {
            self.back_to(mark);
            return Err(error);
        }
        let id = self.ids.len();
        self.ids.push_str(event.id);
        if let Some(entry) = self.entries.last_mut() {
            entry.envelope = Some((event.envelope, id..self.ids.len()));
        }
        Ok(())
    }

    /// The events since `mark` are all of this record's.
    pub(super) fn close_record(&mut self, mark: Mark, kind: RecordKind, record: Record<'_>) {
        self.ids.truncate(mark.ids);
        self.ids.push_str(&record.head.id);
        let parts = self.entries.len() - mark.entries;
        let entries = self.entries.iter_mut().skip(mark.entries);
        for (number, entry) in entries.enumerate() {
            let envelope = Envelope {
                record: self.record,
                part: number + 1,
                parts,
                kind,
                is_inner_alert: entry.is_inner_alert,
                time: time_of(record.head),
                hash: record.head.hash,
                first: entry.first,
            };
            entry.envelope = Some((envelope, mark.ids..self.ids.len()));
        }
    }

    /// Where the next event will begin.
    pub(super) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), entries: self.entries.len(), ids: self.ids.len() }
    }

    /// Forgets the events since `mark`.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.entries.truncate(mark.entries);
        self.ids.truncate(mark.ids);
    }

    /// The length of the longest event since `mark`.
    pub(super) fn longest_from(&self, mark: Mark) -> usize {
        let mut start = mark.bytes;
        let ends = self.entries.iter().skip(mark.entries).map(|entry| entry.end);
        ends.map(|end| end - std::mem::replace(&mut start, end)).max().unwrap_or(0)
    }
}

/// When a record was created, or else last changed.
fn time_of(head: &RecordHead) -> Option<Timestamp> {
    head.created_at.or(head.updated_at)
}

#[cfg(test)]
mod tests {
    use muster_model::{TenantId, TenantLabel};

    use super::*;
    use crate::formats::{Bounds, EcsOptions, Encoding, Format, SplunkOptions};

    #[test]
    fn events_are_kept_apart() {
        let mut events = Events::new();
        assert!(events.is_empty());
        events.push_with(|buffer| buffer.extend_from_slice(b"one"));
        let found = events.push_with(|buffer| {
            buffer.extend_from_slice(b"three");
            7
        });
        assert_eq!((events.len(), found), (2, 7));
        assert_eq!(events.iter().collect::<Vec<_>>(), [b"one".as_slice(), b"three"]);
        assert_eq!(events.events().count(), 0);
        events.clear();
        assert_eq!((events.len(), events.iter().count()), (0, 0));
    }

    #[test]
    fn a_time_of_year_1_is_no_time() {
        let of = |body: &str| {
            let head = RecordHead::read(RecordKind::GraphAlert, body).expect("a record");
            time_of(&head).map(|time| time.to_string())
        };
        let both = r#"{"id":"1","createdDateTime":"0001-01-01T00:00:00Z","lastUpdateDateTime":"2026-01-02T03:04:05Z"}"#;
        assert_eq!(of(both).as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(of(r#"{"id":"1","createdDateTime":"0001-01-01T00:00:00Z"}"#), None);
    }

    /// Number, part, parts, whether an inner alert, and stream of each event of two incidents of two alerts.
    fn envelopes(encoding: &Encoding) -> Vec<(usize, usize, usize, bool, Option<String>)> {
        let evidence = format!(r#"{{"x":"{}"}}"#, "x".repeat(800));
        let alert = |id| format!(r#"{{"id":"{id}","evidence":[{evidence},{evidence}]}}"#);
        let body = format!(
            r#"{{"id":"i","createdDateTime":"2026-01-02T03:04:05Z","alerts":[{},{}]}}"#,
            alert("a"),
            alert("b")
        );
        let head = RecordHead::read(RecordKind::GraphIncident, &body).expect("a record");
        let tenant = TenantLabel {
            id: TenantId::from(uuid::Uuid::from_u128(1)),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
        };
        let mut events = Events::new();
        for number in [3, 4] {
            events.start_record(number);
            let record = Record { head: &head, body: &body, replay: None };
            encoding.write(RecordKind::GraphIncident, record, &tenant, &mut events).expect("events");
        }
        assert_eq!(events.events().count(), events.len());
        let found = events.events().map(|event| {
            let Envelope { record, part, parts, kind, is_inner_alert, time, hash, first } = event.envelope;
            assert_eq!(first, None);
            assert_eq!((event.id, kind, time), ("i", RecordKind::GraphIncident, head.created_at));
            assert_eq!(hash, head.hash);
            let stream = encoding.format.stream(&event.envelope).map(str::to_owned);
            (record, part, parts, is_inner_alert, stream)
        });
        found.collect()
    }

    #[test]
    fn an_event_knows_its_record_and_its_place_in_it() {
        let splunk = Format::Splunk(SplunkOptions::default());
        let streams =
            [Some("ms365:defender:incident".to_owned()), Some("ms365:defender:incident:alerts".to_owned())];
        let found = envelopes(&splunk.clone().into());
        let wanted = |record| {
            [(1, false), (2, true), (3, true)]
                .map(|(part, inner)| (record, part, 3, inner, streams[usize::from(inner)].clone()))
        };
        assert_eq!(found, [wanted(3), wanted(4)].concat());

        // Each alert is split once; the mark and the mapping change nothing about the order.
        let found = envelopes(&Encoding { bounds: Some(Bounds::split_at(1800)), ..splunk.into() });
        let inner: Vec<bool> = found.iter().map(|(.., inner, _)| *inner).collect();
        assert_eq!(inner, [false, true, true, true, true].repeat(2), "{found:?}");
        assert_eq!(found.last().map(|(record, part, parts, ..)| (*record, *part, *parts)), Some((4, 5, 5)));

        let found = envelopes(&Format::Ecs(EcsOptions::default()).into());
        assert_eq!(found[0], (3, 1, 2, false, Some("m365_defender.incident".to_owned())), "{found:?}");
    }
}
