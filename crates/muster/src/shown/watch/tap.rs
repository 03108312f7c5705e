//! Records as they pass: read off the end of the journal, so many at a time; the others are counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use muster_model::{Batch, Record, RecordKind, Selection, Severity, Source, TenantId};
use muster_siem::summary::Summary;
use muster_store::{Store, StoreError};

/// So many records are kept to look at.
const KEPT: usize = 1_000;
/// So many are taken off the journal at a time,
const AT_A_TIME: usize = 200;
/// out of so many batches,
const BATCHES_AT_A_TIME: usize = 20;
/// which are so long together, unless the first alone is longer.
const BYTES_AT_A_TIME: u64 = 4_000_000;
/// So many batches are listed at a time.
const LISTED: u32 = 500;
/// Of several nodes' batches, those with lower numbers may show after those with higher ones: so many numbers are listed again.
const AGAIN: u64 = 64;
/// So many batches that were there before are shown at first.
const AT_FIRST: u64 = 8;
/// A title is cut behind so many letters.
const TITLE_LETTERS: usize = 200;

/// A record that has passed.
#[derive(Debug, Clone)]
pub struct Passed {
    pub accepted_at: Timestamp,
    pub tenant: TenantId,
    pub source: Source,
    pub severity: Severity,
    pub title: String,
    /// The sinks that had it, or are owed it.
    pub sinks: Vec<String>,
    /// What it is to the version before: `created`, `resolved`, …
    pub change: &'static str,
}

/// Where the tap stands, and what has passed.
#[derive(Debug, Clone, Default)]
pub struct Tap {
    /// The number of the newest batch when the tap was opened, and of the newest that was seen; none before the first look.
    at: Option<(u64, u64)>,
    /// Batches that were seen among those that are listed again.
    seen: BTreeSet<u64>,
    /// The newest first.
    pub passed: VecDeque<Passed>,
    /// Records that passed since the tap was opened, shown or not.
    pub count: u64,
    /// Those of them that passed too fast to be shown.
    pub skipped: u64,
    /// Batches that could not be opened, and why the last one could not.
    pub unreadable: u64,
    pub why_unreadable: Option<String>,
}

impl Tap {
    /// Looks at what has passed since it last did. Each question to the store is a short one.
    pub async fn look(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let Some((start, after)) = self.at else {
            let end = store.journal_tail(u64::MAX, 0, 0).await?.newest;
            self.at = Some((end, end));
            // What was there before is shown, and counts as nothing that passed.
            let before = store.journal_tail(end, AT_FIRST, LISTED).await?;
            let mut first = Self::default();
            first
                .open(store, before.batches.iter().map(|note| (note.batch, note.records, note.body_bytes)))
                .await?;
            self.passed = first.passed;
            return Ok(());
        };
        let tail = store.journal_tail(after, AGAIN, LISTED).await?;
        if tail.newest + AGAIN < after {
            // The store was put back from a copy: its numbers begin anew.
            (self.at, self.seen) = (Some((tail.newest, tail.newest)), BTreeSet::new());
            return Ok(());
        }
        let fresh: Vec<(u64, u64, u64)> = tail
            .batches
            .iter()
            .filter(|note| note.batch > start && !self.seen.contains(&note.batch))
            .map(|note| (note.batch, note.records, note.body_bytes))
            .collect();
        self.count += tail.more + fresh.iter().map(|(_, records, _)| records).sum::<u64>();
        self.skipped += tail.more;
        let newest = tail.newest.max(after);
        self.seen.extend(fresh.iter().map(|(batch, ..)| *batch));
        self.seen.retain(|batch| *batch + AGAIN >= newest);
        self.at = Some((start, newest));
        self.open(store, fresh.into_iter()).await
    }

    /// Opens the newest of these batches, as far as bounds allow.
    async fn open(
        &mut self,
        store: &dyn Store,
        notes: impl Iterator<Item = (u64, u64, u64)>,
    ) -> Result<(), StoreError> {
        let (mut opened, mut bytes) = (Vec::new(), 0);
        let mut taken = 0;
        for (index, (batch, records, body_bytes)) in notes.enumerate() {
            bytes += body_bytes;
            let is_too_much = index >= BATCHES_AT_A_TIME || (index > 0 && bytes > BYTES_AT_A_TIME);
            if taken >= AT_A_TIME || is_too_much {
                self.skipped += records;
                continue;
            }
            let slice = store.journal_slice(batch.saturating_sub(1), None, Timestamp::MIN).await?;
            // It may have been pruned since.
            let Some(slice) = slice.filter(|slice| slice.batch == batch) else {
                self.skipped += records;
                continue;
            };
            match slice.records {
                Err(why) => {
                    (self.unreadable, self.why_unreadable) = (self.unreadable + 1, Some(why));
                    self.skipped += records;
                }
                Ok(content) => {
                    let sinks = store.batch_sinks(batch).await?;
                    let room = AT_A_TIME - taken;
                    let of = (slice.tenant, slice.source, slice.accepted_at);
                    let passed = passed(&content, of, &sinks, room);
                    taken += passed.len();
                    self.skipped += (content.len() - passed.len()) as u64;
                    opened.extend(passed);
                }
            }
        }
        for record in opened.into_iter().rev() {
            self.passed.push_front(record);
        }
        self.passed.truncate(KEPT);
        Ok(())
    }
}

/// The last records of a batch, the newest first.
fn passed(
    batch: &Batch,
    (tenant, source, accepted_at): (TenantId, Source, Timestamp),
    sinks: &[(String, Selection)],
    most: usize,
) -> Vec<Passed> {
    let mut passed = Vec::new();
    for index in (0..batch.len()).rev().take(most) {
        let Some(record) = batch.record(index) else { continue };
        let mut to: BTreeMap<&str, ()> = BTreeMap::new();
        to.extend(sinks.iter().filter(|(_, of)| of.contains(index)).map(|(sink, _)| (sink.as_str(), ())));
        passed.push(Passed {
            accepted_at,
            tenant,
            source,
            severity: record.head.severity,
            title: title(source.kind(), &record),
            sinks: to.into_keys().map(str::to_owned).collect(),
            change: record.head.change.as_ref().map_or("", |change| change.kind.as_str()),
        });
    }
    passed
}

/// What it is called; its id where it has no title, or cannot be read.
fn title(kind: RecordKind, record: &Record<'_>) -> String {
    let title = Summary::of(kind, record.body).map(|summary| summary.title).unwrap_or_default();
    match title.is_empty() {
        true => record.head.id.clone(),
        false => title.chars().take(TITLE_LETTERS).collect(),
    }
}
