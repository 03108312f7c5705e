//! What a version of a record is to the one before it: each change of an alert or incident is a record of its own, and
//! this says which change.

use std::fmt;

use serde::Serialize;

use crate::json::Text;
use crate::text;

/// The most names of fields that a change tells; of more it tells how many.
const NAMES_MAX: usize = 24;
/// The longest name that is told, in bytes.
const NAME_BYTES_MAX: usize = 60;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The first version that was seen.
    Created,
    /// Something else changed than what has a word of its own.
    Changed,
    /// Its status is "resolved" now.
    Resolved,
    /// It was resolved or merged, and is worked on again.
    Reopened,
    /// An incident became part of another.
    MergedInto,
    /// An alert belongs to another incident now.
    Moved,
    /// A version that is older than one seen before; what changed with it is not known.
    Earlier,
}

impl ChangeKind {
    /// Every kind; its place is its number in stored form.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Changed,
        Self::Resolved,
        Self::Reopened,
        Self::MergedInto,
        Self::Moved,
        Self::Earlier,
    ];

    /// The word in events and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
            Self::MergedInto => "merged_into",
            Self::Moved => "moved",
            Self::Earlier => "earlier",
        }
    }
}

/// The change that a version of a record is.
///
/// Where several things happened at once, the kind is the first that applies of merged, resolved, reopened, moved,
/// changed. The others can be told all the same: an alert that was moved and resolved has both ids, and the names of all
/// fields that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What became of the record.
    pub kind: ChangeKind,
    /// The outermost fields that are other than before, as far as they are known and told; fit to be shown. The time of
    /// the last update is not among them.
    pub fields: Vec<String>,
    /// How many more fields are other than before.
    pub more_fields: u32,
    /// The incident that an alert belonged to before.
    pub from: Option<String>,
    /// The incident that an alert belongs to now, or that an incident is part of.
    pub to: Option<String>,
}

impl Change {
    /// The longest id of an incident that is told, in bytes.
    pub const ID_BYTES_MAX: usize = 64;

    /// A change of which nothing but its kind is told.
    #[must_use]
    pub fn new(kind: ChangeKind) -> Self {
        Self { kind, fields: Vec::new(), more_fields: 0, from: None, to: None }
    }

    /// Adds the name of a field, as it is written in JSON; one too many is counted.
    pub(crate) fn add_field(&mut self, written: &str) {
        if self.fields.len() >= NAMES_MAX {
            self.more_fields = self.more_fields.saturating_add(1);
            return;
        }
        // No more of it than can be told is decoded: names can be megabytes.
        let beginning = &written[..written.floor_char_boundary(6 * NAME_BYTES_MAX)];
        let mut name = text::plain(&Text::as_in_json(beginning).decoded());
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        if name.trim().is_empty() {
            self.more_fields = self.more_fields.saturating_add(1);
        } else {
            self.fields.push(name);
        }
    }

    /// The same without names: how many fields changed is still told.
    #[must_use]
    pub fn brief(&self) -> Self {
        let names = u32::try_from(self.fields.len()).unwrap_or(u32::MAX);
        Self { fields: Vec::new(), more_fields: self.more_fields.saturating_add(names), ..self.clone() }
    }

    /// Appends the stored form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let kind = ChangeKind::ALL.iter().position(|kind| *kind == self.kind).unwrap_or_default();
        out.push(u8::try_from(kind).unwrap_or_default());
        out.extend_from_slice(&self.more_fields.to_le_bytes());
        for id in [&self.from, &self.to] {
            push_text(out, id.as_deref().unwrap_or_default(), Self::ID_BYTES_MAX);
        }
        for name in self.fields.iter().take(NAMES_MAX) {
            push_text(out, name, NAME_BYTES_MAX);
        }
    }

    /// Reads the stored form; `None` when it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, bytes) = bytes.split_first()?;
        let kind = *ChangeKind::ALL.get(usize::from(*kind))?;
        let (more_fields, mut bytes) = bytes.split_first_chunk()?;
        let more_fields = u32::from_le_bytes(*more_fields);
        let mut texts = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first()?;
            let (text, rest) = rest.split_at_checked(usize::from(*length))?;
            let bytes_max = if texts.len() < 2 { Self::ID_BYTES_MAX } else { NAME_BYTES_MAX };
            if text.len() > bytes_max || texts.len() == 2 + NAMES_MAX {
                return None;
            }
            texts.push(std::str::from_utf8(text).ok()?.to_owned());
            bytes = rest;
        }
        let mut texts = texts.into_iter();
        let mut id = || texts.next().map(|id| (!id.is_empty()).then_some(id));
        let (from, to) = (id()?, id()?);
        Some(Self { kind, fields: texts.collect(), more_fields, from, to })
    }
}

/// Appends a short text behind its length.
fn push_text(out: &mut Vec<u8>, text: &str, bytes_max: usize) {
    let text = &text[..text.floor_char_boundary(bytes_max)];
    out.push(u8::try_from(text.len()).expect("short texts only"));
    out.extend_from_slice(text.as_bytes());
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.from, &self.to) {
            (ChangeKind::MergedInto, _, Some(to)) => write!(f, "merged into {to}")?,
            (ChangeKind::MergedInto, ..) => f.write_str("merged into another")?,
            (ChangeKind::Moved, Some(from), Some(to)) => write!(f, "moved from {from} to {to}")?,
            (kind, Some(from), Some(to)) => write!(f, "{}, moved from {from} to {to}", kind.as_str())?,
            (kind, ..) => f.write_str(kind.as_str())?,
        }
        match (self.fields.as_slice(), self.more_fields) {
            ([], 0) => Ok(()),
            ([], 1) => f.write_str(" (one field)"),
            ([], more) => write!(f, " ({more} fields)"),
            (names, 0) => write!(f, " ({})", names.join(", ")),
            (names, more) => write!(f, " ({} and {more} more)", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Change, ChangeKind, NAME_BYTES_MAX, NAMES_MAX};

    #[test]
    fn a_change_is_told_in_words() {
        let change = Change {
            fields: vec!["status".to_owned(), "incidentId".to_owned()],
            more_fields: 3,
            from: Some("7".to_owned()),
            to: Some("9".to_owned()),
            ..Change::new(ChangeKind::Moved)
        };
        assert_eq!(change.to_string(), "moved from 7 to 9 (status, incidentId and 3 more)");
        let resolved = Change { kind: ChangeKind::Resolved, ..change.clone() }.brief();
        assert_eq!(resolved.to_string(), "resolved, moved from 7 to 9 (5 fields)");
        let merged = Change { from: None, ..Change { kind: ChangeKind::MergedInto, ..resolved } };
        assert_eq!(merged.to_string(), "merged into 9 (5 fields)");
        assert_eq!(Change::new(ChangeKind::Created).to_string(), "created");
    }

    #[test]
    fn names_are_bounded_and_fit_to_be_shown() {
        let mut change = Change::new(ChangeKind::Changed);
        change.add_field(&"\\u001b[2J\u{202e}".repeat(100_000));
        change.add_field("  ");
        for number in 0..5000 {
            change.add_field(&format!("field{number}"));
        }
        assert_eq!((change.fields.len(), change.more_fields), (NAMES_MAX, 5000 - 23 + 1));
        assert!(change.fields.iter().all(|name| name.len() <= NAME_BYTES_MAX));
        assert!(change.fields[0].starts_with("\u{fffd}[2J\u{fffd}"), "{:?}", change.fields[0]);
        let mut out = Vec::new();
        change.encode(&mut out);
        assert!(out.len() < 1700);
    }

    proptest! {
        #[test]
        fn round_trips(
            kind in 0..ChangeKind::ALL.len(), fields in proptest::collection::vec("[^\"\\\\\u{0}-\u{1f}]{0,90}", 0..40),
            more_fields in any::<u32>(), from in proptest::option::of("[a-z0-9]{1,64}"), to in proptest::option::of("é{1,32}"),
        ) {
            let mut change = Change { more_fields, from, to, ..Change::new(ChangeKind::ALL[kind]) };
            fields.iter().for_each(|name| change.add_field(name));
            let mut out = Vec::new();
            change.encode(&mut out);
            prop_assert_eq!(Change::decode(&out), Some(change));
        }

        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(change) = Change::decode(&bytes) {
                let mut out = Vec::new();
                change.encode(&mut out);
                prop_assert_eq!(Change::decode(&out), Some(change));
            }
        }
    }
}
