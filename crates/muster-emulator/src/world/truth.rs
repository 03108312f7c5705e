//! The log of truth: every version of every record, written when the world changes and never taken from an answer.
//!
//! A version is made at one moment and visible from another on, until a newer version of its record is. One that a newer
//! version overtook before it was visible is never seen by anybody.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::receivers::RecordKind;
use crate::world::table::Row;
use crate::world::ticks::Ticks;

/// One version of an alert or incident, as a test may ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TruthVersion {
    /// The tenant's GUID.
    pub tenant: String,
    /// Alert or incident.
    pub kind: RecordKind,
    /// The record's id.
    pub id: String,
    /// Which version of the record it is, from 1 on.
    pub version: u32,
    /// What happened: `created`, `changed`, `rewritten` (other content at the same update time), `moved`, `merged`.
    pub what: &'static str,
    /// When it was last updated, as answers write it.
    pub updated: String,
    /// The same in milliseconds since 1970, rounded down.
    pub updated_ms: i64,
    /// When the world changed.
    pub made_at: Timestamp,
    /// From when on answers hold it.
    pub visible_from: Timestamp,
    /// From when on they hold a newer version; absent: it is the newest.
    pub visible_until: Option<Timestamp>,
    /// Whether it is the newest version of its record, visible or not.
    pub newest: bool,
}

impl TruthVersion {
    /// Whether answers hold it at an instant.
    pub fn is_visible_at(&self, at: Timestamp) -> bool {
        self.visible_from <= at && self.visible_until.is_none_or(|until| at < until)
    }

    /// Whether answers held it at any moment up to an instant.
    pub fn was_visible_by(&self, at: Timestamp) -> bool {
        self.visible_from <= at && self.visible_until.is_none_or(|until| self.visible_from < until)
    }

    /// Whether answers hold it during all of a span, both ends included.
    pub fn is_visible_throughout(&self, from: Timestamp, to: Timestamp) -> bool {
        self.visible_from <= from && self.visible_until.is_none_or(|until| to < until)
    }
}

/// A version as the world writes it down.
pub(crate) struct Entry {
    pub(crate) tenant: u32,
    pub(crate) kind: RecordKind,
    pub(crate) row: Arc<Row>,
    pub(crate) what: &'static str,
    pub(crate) version: u32,
    pub(crate) made: Ticks,
    pub(crate) visible_from: Ticks,
    pub(crate) visible_until: Option<Ticks>,
    /// The version before, by place in the log.
    before: Option<u32>,
    newest: bool,
}

impl Entry {
    pub(crate) fn was_visible_by(&self, at: Ticks) -> bool {
        self.visible_from <= at && self.visible_until.is_none_or(|until| self.visible_from < until)
    }

    /// The same for readers outside.
    pub(crate) fn public(&self, tenant: &str) -> TruthVersion {
        TruthVersion {
            tenant: tenant.to_owned(),
            kind: self.kind,
            id: self.row.id_as(self.kind).into_owned(),
            version: self.version,
            what: self.what,
            updated: self.row.updated.to_string(),
            updated_ms: self.row.updated.milliseconds(),
            made_at: self.made.timestamp(),
            visible_from: self.visible_from.timestamp(),
            visible_until: self.visible_until.map(Ticks::timestamp),
            newest: self.newest,
        }
    }
}

/// A version that is to be written down.
pub(crate) struct NewEntry {
    pub(crate) tenant: u32,
    pub(crate) kind: RecordKind,
    pub(crate) row: Arc<Row>,
    pub(crate) what: &'static str,
    pub(crate) made: Ticks,
    pub(crate) visible_from: Ticks,
    /// The place of the version before, as the same API shows it.
    pub(crate) before: Option<u32>,
}

/// All versions, in the order they were made.
#[derive(Default)]
pub(crate) struct TruthLog(Vec<Entry>);

impl TruthLog {
    /// Writes a version down; gives its place.
    pub(crate) fn write(&mut self, new: NewEntry) -> u32 {
        let mut earlier = new.before;
        let mut version = 1;
        if let Some(before) = earlier.and_then(|place| self.0.get_mut(place as usize)) {
            version = before.version + 1;
            before.newest = false;
        }
        // All that is visible later than the new version is overtaken by it.
        while let Some(entry) = earlier.and_then(|place| self.0.get_mut(place as usize)) {
            if entry.visible_until.is_some_and(|until| until <= new.visible_from) {
                break;
            }
            entry.visible_until = Some(new.visible_from);
            earlier = entry.before;
        }
        self.0.push(Entry {
            tenant: new.tenant,
            kind: new.kind,
            row: new.row,
            what: new.what,
            version,
            made: new.made,
            visible_from: new.visible_from,
            visible_until: None,
            before: new.before,
            newest: true,
        });
        u32::try_from(self.0.len() - 1).expect("there are fewer than 4 billion versions")
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::table::FixedFields;

    fn entry(updated: i64, visible_from: i64, before: Option<u32>) -> NewEntry {
        let (at, body) = (Ticks(updated), bytes::Bytes::from_static(b"{}"));
        let row = Row::fixed("a".to_owned(), at, at, FixedFields::default(), body);
        NewEntry {
            tenant: 0,
            kind: RecordKind::Alert,
            row: Arc::new(row),
            what: "changed",
            made: at,
            visible_from: Ticks(visible_from),
            before,
        }
    }

    #[test]
    fn a_version_that_is_overtaken_is_never_visible() {
        let mut log = TruthLog::default();
        let first = log.write(entry(1, 1, None));
        let slow = log.write(entry(2, 100, Some(first)));
        log.write(entry(3, 50, Some(slow)));
        let seen: Vec<_> = log
            .entries()
            .iter()
            .map(|entry| (entry.visible_until, entry.was_visible_by(Ticks(200))))
            .collect();
        assert_eq!(seen, [(Some(Ticks(50)), true), (Some(Ticks(50)), false), (None, true)]);
        assert_eq!(log.entries().iter().map(|entry| entry.version).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
