//! What each new version of a record is to the one before, whatever the engine: told from what is known of the latest version
//! of its record.
//!
//! Versions come as they are read, and most often in order. One that is older than the latest known one says nothing but
//! that it is: what it followed is not known any more, and it must not take the latest one's place.

use std::borrow::Cow;
use std::collections::HashMap;

use muster_model::{Batch, Before, Change, ChangeKind, Outline, RecordHead, RecordKind, Stage, Told};

use crate::stored::nanoseconds;

/// What is known of the records of a page.
pub(crate) struct History {
    pub(crate) kind: RecordKind,
    /// Of each record with a version before this page, by its [`record_key`].
    pub(crate) known: HashMap<String, KnownLatest>,
    /// Between which update times versions of this source have been forgotten, in nanoseconds since 1970.
    pub(crate) forgotten: Option<(i64, i64)>,
}

/// The latest version of a record.
pub(crate) struct KnownLatest {
    /// In nanoseconds since 1970.
    pub(crate) updated_at: i64,
    pub(crate) said: Said,
}

/// What is known of a version.
pub(crate) enum Said {
    /// Nothing: it was written before anything was, and the journal does not have it any more.
    Unknown,
    /// Where it stood.
    Stage(Stage),
    /// All.
    Outline(Outline),
    /// It is on this page: the batch, and its place there.
    Here(usize, usize),
}

impl History {
    /// Tells the change of each record of `batches`, which are one page. Returns, for each batch, where each of its records
    /// stands, as it is stored.
    pub(crate) fn tell(self, batches: &mut [Batch]) -> Vec<Vec<String>> {
        let mut stages: Vec<Vec<String>> =
            batches.iter().map(|batch| vec![String::new(); batch.len()]).collect();
        let mut places: Vec<(i64, usize, usize)> = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let times = batch.records().map(|record| record.head.updated_at.map_or(i64::MIN, nanoseconds));
            places.extend(times.enumerate().map(|(ordinal, time)| (time, number, ordinal)));
        }
        // By update time, and of one update time as they came.
        places.sort_unstable();
        let Self { kind, known: mut latest, forgotten } = self;
        for (updated_at, number, ordinal) in places {
            let record = batches[number].record(ordinal).expect("the place is within the batch");
            let id = record_key(&record.head.id);
            let (stage, change) = match latest.get_mut(&*id) {
                None => {
                    let was_forgotten = forgotten.is_some_and(|span| may_be_forgotten(record.head, span));
                    let before = if was_forgotten { Before::Unknown } else { Before::Nothing };
                    let Told { change, stage, .. } = Told::of(before, kind, record.body);
                    let said = Said::Here(number, ordinal);
                    latest.insert(id.into_owned(), KnownLatest { updated_at, said });
                    (stage, change)
                }
                // A version without a time is taken for a later one.
                Some(known) if updated_at != i64::MIN && updated_at < known.updated_at => {
                    (Stage::read(kind, record.body).0, Change::new(ChangeKind::Earlier))
                }
                Some(known) => {
                    if let Said::Here(number, ordinal) = known.said {
                        let before = batches[number].record(ordinal).expect("it was there");
                        known.said = Outline::of(kind, before.body).map_or(Said::Unknown, Said::Outline);
                    }
                    let before = match &known.said {
                        Said::Outline(outline) => Before::Version(outline),
                        Said::Stage(stage) => Before::Stage(stage),
                        Said::Unknown | Said::Here(..) => Before::Unknown,
                    };
                    let Told { change, stage, outline } = Told::of(before, kind, record.body);
                    known.said = outline.map_or(Said::Here(number, ordinal), Said::Outline);
                    known.updated_at = updated_at.max(known.updated_at);
                    (stage, change)
                }
            };
            stages[number][ordinal] = stage.encode();
            batches[number].set_change(ordinal, change);
        }
        stages
    }
}

/// Whether a record that is not known can have had a version that was forgotten: one of those that were updated within
/// `span`. None of its versions is older than the record, and none younger than the one that came now.
fn may_be_forgotten(head: &RecordHead, (from, to): (i64, i64)) -> bool {
    let (created_at, updated_at) = (head.created_at.map(nanoseconds), head.updated_at.map(nanoseconds));
    let is_the_first =
        created_at.zip(updated_at).is_some_and(|(created_at, updated_at)| updated_at <= created_at);
    !is_the_first
        && created_at.is_none_or(|created_at| created_at <= to)
        && updated_at.is_none_or(|updated_at| updated_at >= from)
}

/// The id under which a record is known. SQLite's functions end a text at a NUL.
pub(crate) fn record_key(id: &str) -> Cow<'_, str> {
    if id.contains('\0') { id.replace('\0', "\u{2400}").into() } else { id.into() }
}
