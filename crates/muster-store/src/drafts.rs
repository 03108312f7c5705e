//! From an accepted page to the batches that are written, whatever the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use muster_model::{Batch, RecordHead, Selection, TenantId};

use crate::changes::{History, record_key};
use crate::counting::{hour_of, hour_of_stored};
use crate::packing::{PackedBatch, Packer};
use crate::sealing::DataKey;
use crate::stored::{bounded, nanoseconds};
use crate::{AcceptedPage, Destination, StoreError};

/// A batch is closed when its bodies pass this, so that reading one back takes little memory.
const BATCH_BODY_BYTES_MAX: usize = 2 << 20;
/// Batches hold a page of this size at most, for as long as they are in memory; of a larger one they have copies.
const HELD_PAGE_BYTES_MAX: usize = 4 << 20;

/// What a batch of a page brings.
pub(crate) struct Draft {
    batch: Batch,
    versions: Vec<String>,
    /// Where each record goes.
    destinations: Vec<usize>,
}

/// What is written for a batch.
pub(crate) struct NewBatch {
    pub(crate) packed: PackedBatch,
    /// Its versions and where they stand, for the index: see [`rows`].
    pub(crate) versions: String,
    /// The sinks that are owed some of it.
    pub(crate) owed: Vec<Owed>,
    /// What no sink is owed of it.
    pub(crate) unrouted: Option<NewUnrouted>,
    /// Which routes took which of its records, as it is stored.
    pub(crate) routes: Option<String>,
    /// The service's name for the request that brought it.
    pub(crate) request_id: Option<String>,
}

/// What one sink is owed of a batch.
pub(crate) struct Owed {
    pub(crate) sink: String,
    pub(crate) selection: Selection,
    pub(crate) records: i64,
    /// How many of them were updated in which hour of the ledger.
    pub(crate) hours: BTreeMap<i64, i64>,
}

/// Records of a batch that no sink is owed.
pub(crate) struct NewUnrouted {
    pub(crate) selection: Selection,
    pub(crate) records: i64,
    pub(crate) batch_records: i64,
    /// Whether routes serve their tenant and source, for records that say something else.
    pub(crate) filtered: bool,
    /// The least and the greatest of their update times, as they are stored.
    pub(crate) between: (i64, i64),
}

impl Packer {
    /// Packs the drafts of a page, after what changed with each record has been told.
    pub(crate) async fn new_batches(
        &self,
        tenant: TenantId,
        key: DataKey,
        drafts: Vec<Draft>,
        page: &AcceptedPage<'_>,
        history: History,
    ) -> Result<Vec<NewBatch>, StoreError> {
        let mut batches = Vec::with_capacity(drafts.len());
        let mut rest = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let times = draft.batch.records().map(|record| stored_time(record.head.updated_at));
            let times = times.collect::<Vec<_>>();
            let hours = times.iter().map(|time| hour_of_stored(*time)).collect::<Vec<_>>();
            let owed = owed(&draft.destinations, &hours, page.destinations);
            let unrouted = unrouted(&draft.destinations, &times, page.destinations);
            let routes = routes_as_json(&draft.destinations, page.destinations);
            batches.push(draft.batch);
            rest.push((draft.versions, owed, unrouted, routes));
        }
        let packed = self.pack(batches, tenant, key, Some(history)).await?;
        let request_id = page.request_id.as_deref().map(bounded);
        let made = packed.into_iter().zip(rest);
        let made = made.map(|((packed, stages), (versions, owed, unrouted, routes))| NewBatch {
            packed,
            versions: rows(&versions, &stages),
            owed,
            unrouted,
            routes,
            request_id: request_id.clone(),
        });
        Ok(made.collect())
    }

    /// A batch of one record, owed to `sinks`.
    pub(crate) async fn single_batch(
        &self,
        tenant: TenantId,
        key: DataKey,
        head: RecordHead,
        body: &str,
        sinks: &[String],
    ) -> Result<NewBatch, StoreError> {
        let versions = rows(&[version(&head)], &[]);
        let hours = BTreeMap::from([(hour_of(head.updated_at), 1)]);
        let unrouted = unrouted(&[0], &[stored_time(head.updated_at)], &[Destination::of(sinks)]);
        let mut batch = Batch::new();
        batch.push(head, body);
        let (packed, _) = self.pack(vec![batch], tenant, key, None).await?.pop().expect("one for one");
        let owed = sinks.iter().map(|sink| Owed {
            sink: sink.clone(),
            selection: Selection::All,
            records: 1,
            hours: hours.clone(),
        });
        Ok(NewBatch { packed, versions, owed: owed.collect(), unrouted, routes: None, request_id: None })
    }
}

/// What each sink is owed of a batch, given where each of its records goes and in which hour it was updated.
fn owed(records: &[usize], hours: &[i64], destinations: &[Destination]) -> Vec<Owed> {
    let leads = leading(records, destinations, |destination| &destination.sinks);
    let owed = leads.into_iter().filter_map(|(sink, leads)| {
        let selection = Selection::of(records.len(), |index| leads[records[index]])?;
        let mut counts = BTreeMap::new();
        for (_, hour) in records.iter().zip(hours).filter(|(destination, _)| leads[**destination]) {
            *counts.entry(*hour).or_default() += 1;
        }
        Some(Owed { sink: sink.clone(), selection, records: counts.values().sum(), hours: counts })
    });
    owed.collect()
}

/// What no sink is owed of a batch, given where each of its records goes and when it was updated.
fn unrouted(records: &[usize], times: &[i64], destinations: &[Destination]) -> Option<NewUnrouted> {
    let nowhere = |index: usize| destinations[records[index]].sinks.is_empty();
    let selection = Selection::of(records.len(), nowhere)?;
    let without = || (0..records.len()).filter(|index| nowhere(*index));
    // The least of all stands for a time that is not known: it takes no part in the span unless there is no other.
    let known = || without().map(|index| times[index]).filter(|time| *time != i64::MIN);
    Some(NewUnrouted {
        selection,
        records: without().count() as i64,
        batch_records: records.len() as i64,
        // One that is missing a route makes all of the batch count so: it is told rather than not.
        filtered: without().all(|index| destinations[records[index]].filtered),
        between: (known().min().unwrap_or(i64::MIN), known().max().unwrap_or(i64::MIN)),
    })
}

/// An update time as it is stored.
pub(crate) fn stored_time(updated_at: Option<Timestamp>) -> i64 {
    updated_at.map_or(i64::MIN, nanoseconds)
}

/// Which routes took which records of a batch, as JSON: for each route the records' bits in hexadecimal, null for all.
fn routes_as_json(records: &[usize], destinations: &[Destination]) -> Option<String> {
    let leads = leading(records, destinations, |destination| &destination.routes);
    let taken: BTreeMap<&String, Option<String>> = leads
        .into_iter()
        .filter_map(|(route, leads)| match Selection::of(records.len(), |index| leads[records[index]])? {
            Selection::All => Some((route, None)),
            Selection::Some(bits) => Some((route, Some(hexadecimal(&bits)))),
        })
        .collect();
    (!taken.is_empty()).then(|| serde_json::to_string(&taken).expect("strings"))
}

/// The routes that took the record at `place` of a batch, as [`NewBatch::routes`] was stored.
pub(crate) fn routes_of(stored: &str, place: usize) -> Vec<String> {
    let all: BTreeMap<String, Option<String>> = serde_json::from_str(stored).unwrap_or_default();
    let took = |bits: &Option<String>| {
        let Some(bits) = bits else { return true };
        let byte =
            bits.get(place / 8 * 2..place / 8 * 2 + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok());
        byte.is_some_and(|byte| byte & (1 << (place % 8)) != 0)
    };
    all.into_iter().filter(|(_, bits)| took(bits)).map(|(route, _)| route).collect()
}

/// For each name that `names` gives of the destinations in use, which of the destinations have it.
fn leading<'a>(
    records: &[usize],
    destinations: &'a [Destination],
    names: impl Fn(&'a Destination) -> &'a [String],
) -> BTreeMap<&'a String, Vec<bool>> {
    // A few destinations, however many records: each name's are found once.
    let mut leads: BTreeMap<&String, Vec<bool>> = BTreeMap::new();
    for destination in records.iter().copied().collect::<BTreeSet<_>>() {
        for name in names(&destinations[destination]) {
            leads.entry(name).or_insert_with(|| vec![false; destinations.len()])[destination] = true;
        }
    }
    leads
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

/// A version, as text: the hash in hexadecimal, the time in twenty characters, the id. Two versions are the same when
/// their texts are.
pub(crate) fn version(head: &RecordHead) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(52 + head.id.len());
    let updated_at = stored_time(head.updated_at);
    let hash = u128::from_be_bytes(head.hash.0);
    write!(text, "{hash:032x}{updated_at:020}{}", record_key(&head.id)).expect("writing to a string");
    text
}

/// Versions with where they stand, as JSON: each is one text, the characters of the version in four digits, the version, and
/// the stage.
fn rows(versions: &[String], stages: &[String]) -> String {
    let stages = stages.iter().map(String::as_str).chain(std::iter::repeat(""));
    let rows = versions.iter().zip(stages).map(|(version, stage)| {
        let characters = version.chars().count();
        format!("{characters:04}{version}{stage}")
    });
    serde_json::to_string(&rows.collect::<Vec<_>>()).expect("strings")
}

/// Whether a page is held for the sake of what is new on it: that is most of it, and no record was put together.
fn is_worth_holding(page: &str, fresh: &[&str]) -> bool {
    let bytes: usize = fresh.iter().map(|body| body.len()).sum();
    page.len() <= HELD_PAGE_BYTES_MAX
        && page.len() / 2 <= bytes
        && fresh.iter().all(|body| Batch::holds(page, body))
}

/// The records of a page at the indices `fresh`, in batches.
pub(crate) fn drafts(page: &AcceptedPage<'_>, mut versions: Vec<String>, fresh: &[usize]) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut rest = fresh;
    let bodies: Vec<&str> = fresh.iter().map(|index| page.records[*index].body).collect();
    let held = page.text.filter(|text| is_worth_holding(text, &bodies));
    while !rest.is_empty() {
        let (mut count, mut body_bytes) = (0, 0_usize);
        for index in rest {
            let bytes = body_bytes.saturating_add(page.records[*index].body.len());
            if count > 0 && bytes > BATCH_BODY_BYTES_MAX {
                break;
            }
            (count, body_bytes) = (count + 1, bytes);
        }
        let (these, others) = rest.split_at(count);
        rest = others;
        // Exactly as large as needed: a few of them are most of the memory that a backfill takes.
        let mut batch = match held {
            Some(text) => Batch::within(Arc::clone(text), count),
            None => Batch::with_capacity(count, body_bytes),
        };
        for index in these {
            let record = &page.records[*index];
            batch.push(record.head.clone(), record.body);
        }
        drafts.push(Draft {
            batch,
            versions: these.iter().map(|index| std::mem::take(&mut versions[*index])).collect(),
            destinations: these.iter().map(|index| page.records[*index].destination).collect(),
        });
    }
    drafts
}
