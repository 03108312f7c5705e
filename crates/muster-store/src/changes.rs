//! What each new version of a record is to the one before, whatever the engine: told from what is remembered of the latest
//! version of its record, and remembered anew.
//!
//! Versions come as they are read, and most often in order. One that is older than the latest known one says nothing but
//! that it is: what it followed is not known any more, and it must not take the latest one's place.

use std::borrow::Cow;
use std::collections::HashMap;

use muster_model::{Batch, Before, Change, ChangeKind, Outline, RecordKind, TenantId};

use crate::sealing::{Binding, DataKey, Sealed};
use crate::stored::nanoseconds;

/// The column that an outline is bound to.
const COLUMN: &str = "record_latest.outline";

/// What is known of the records of a page.
pub(crate) struct History {
    pub(crate) source_no: i64,
    pub(crate) kind: RecordKind,
    /// Of each record with a version before this page, by its [`record_key`].
    pub(crate) known: HashMap<String, KnownLatest>,
}

/// The latest version of a record, as it is stored.
pub(crate) struct KnownLatest {
    /// In nanoseconds since 1970.
    pub(crate) updated_at: i64,
    pub(crate) batch_no: i64,
    pub(crate) ordinal: i64,
    pub(crate) outline: Option<Vec<u8>>,
}

/// What is written about the latest versions that are in one batch.
#[derive(Default)]
pub(crate) struct NewLatest {
    /// Of records that were not known.
    pub(crate) first: Vec<LatestRow>,
    /// Of records that were.
    pub(crate) next: Vec<LatestRow>,
    /// The outlines of all rows, one behind the other.
    pub(crate) outlines: Vec<u8>,
}

/// A latest version.
pub(crate) struct LatestRow {
    pub(crate) id: String,
    /// In nanoseconds since 1970.
    pub(crate) updated_at: i64,
    pub(crate) ordinal: usize,
    /// Where the one stood that it takes the place of; the row is written only while that is so.
    pub(crate) replaces: (i64, i64),
    /// Where its outline stands among all of the batch, and its length; none where nothing is remembered.
    pub(crate) outline: (usize, usize),
}

/// The latest version of a record while a page is gone through.
struct Latest {
    updated_at: i64,
    /// Where it is known from.
    stored: Option<(i64, i64)>,
    /// Where on this page it is; `None` while it is the stored one.
    place: Option<(usize, usize)>,
    outline: Option<Outline>,
}

impl History {
    /// Tells the change of each record of `batches`, which are one page, and returns what is to be remembered of each
    /// batch.
    pub(crate) fn tell(self, batches: &mut [Batch], tenant: TenantId, key: &DataKey) -> Vec<NewLatest> {
        let mut latest: HashMap<String, Latest> = HashMap::with_capacity(self.known.len());
        for (id, known) in self.known {
            let outline = known.outline.and_then(|sealed| {
                let row = row(self.source_no, &id);
                let plain =
                    key.open(Binding { column: COLUMN, tenant, row: &row }, Sealed::from_stored(sealed));
                // What does not open is as good as not known: the record itself is not in it.
                Outline::decode(&plain.ok()?)
            });
            let stored = Some((known.batch_no, known.ordinal));
            latest.insert(id, Latest { updated_at: known.updated_at, stored, place: None, outline });
        }
        let mut places: Vec<(i64, usize, usize)> = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let times = batch.records().map(|record| record.head.updated_at.map_or(i64::MIN, nanoseconds));
            places.extend(times.enumerate().map(|(ordinal, time)| (time, number, ordinal)));
        }
        // By update time, and of one update time as they came.
        places.sort_unstable();
        for (updated_at, number, ordinal) in places {
            let batch = &mut batches[number];
            let record = batch.record(ordinal).expect("the place is within the batch");
            let id = record_key(&record.head.id);
            let known = latest.get_mut(&*id);
            let before = match &known {
                None => Before::Nothing,
                // A version without a time is taken for a later one.
                Some(known) if updated_at != i64::MIN && updated_at < known.updated_at => {
                    batch.set_change(ordinal, Change::new(ChangeKind::Earlier));
                    continue;
                }
                Some(Latest { outline: Some(outline), .. }) => Before::Version(outline),
                Some(_) => Before::Unknown,
            };
            let (outline, change) = Outline::follow(before, self.kind, record.body);
            let place = Some((number, ordinal));
            match known {
                Some(known) => {
                    let updated_at = updated_at.max(known.updated_at);
                    *known = Latest { updated_at, place, outline, stored: known.stored };
                }
                None => {
                    let new = Latest { updated_at, stored: None, place, outline };
                    latest.insert(id.into_owned(), new);
                }
            }
            batch.set_change(ordinal, change);
        }
        let mut told: Vec<NewLatest> = batches.iter().map(|_| NewLatest::default()).collect();
        for (id, version) in latest {
            if let Some((number, ordinal)) = version.place {
                told[number].add(self.source_no, id, ordinal, &version, |row, plain| {
                    key.seal(Binding { column: COLUMN, tenant, row }, plain).into_bytes()
                });
            }
        }
        told
    }
}

impl NewLatest {
    fn add(
        &mut self,
        source_no: i64,
        id: String,
        ordinal: usize,
        version: &Latest,
        seal: impl Fn(&[u8], &[u8]) -> Vec<u8>,
    ) {
        let start = self.outlines.len();
        if let Some(outline) = &version.outline {
            self.outlines.extend_from_slice(&seal(&row(source_no, &id), &outline.encode()));
        }
        let row = LatestRow {
            id,
            updated_at: version.updated_at,
            ordinal,
            replaces: version.stored.unwrap_or_default(),
            outline: (start, self.outlines.len() - start),
        };
        if version.stored.is_some() {
            self.next.push(row);
        } else {
            self.first.push(row);
        }
    }
}

/// The id under which a record is remembered. SQLite's functions end a text at a NUL.
pub(crate) fn record_key(id: &str) -> Cow<'_, str> {
    if id.contains('\0') { id.replace('\0', "\u{2400}").into() } else { id.into() }
}

/// What identifies the row of a record.
fn row(source_no: i64, id: &str) -> Vec<u8> {
    [&source_no.to_be_bytes(), id.as_bytes()].concat()
}
