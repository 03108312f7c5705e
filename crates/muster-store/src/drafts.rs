//! From an accepted page to the batches that are written, whatever the engine.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Batch, RecordHead, Selection, TenantId};

use crate::changes::{History, NewLatest};
use crate::packing::{PackedBatch, Packer};
use crate::sealing::DataKey;
use crate::stored::nanoseconds;
use crate::{AcceptedPage, StoreError};

/// A batch is closed when its bodies pass this, so that reading one back takes little memory.
const BATCH_BODY_BYTES_MAX: usize = 2 << 20;

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
    /// Its versions, for the index.
    pub(crate) versions: Vec<String>,
    /// What is remembered of its records.
    pub(crate) latest: NewLatest,
    /// The sinks that are owed some of it.
    pub(crate) owed: Vec<(String, Selection, i64)>,
}

impl Packer {
    /// Packs the drafts of a page, after what changed with each record has been told.
    pub(crate) async fn new_batches(
        &self,
        tenant: TenantId,
        key: DataKey,
        drafts: Vec<Draft>,
        destinations: &[Vec<String>],
        history: History,
    ) -> Result<Vec<NewBatch>, StoreError> {
        let mut batches = Vec::with_capacity(drafts.len());
        let mut rest = Vec::with_capacity(drafts.len());
        for draft in drafts {
            batches.push(draft.batch);
            rest.push((draft.versions, owed(&draft.destinations, destinations)));
        }
        let packed = self.pack(batches, tenant, key, Some(history)).await?;
        let made = packed.into_iter().zip(rest).map(|((packed, latest), (versions, owed))| NewBatch {
            packed,
            versions,
            latest,
            owed,
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
        let versions = vec![version(&head)];
        let mut batch = Batch::new();
        batch.push(head, body);
        let (packed, latest) = self.pack(vec![batch], tenant, key, None).await?.pop().expect("one for one");
        let owed = sinks.iter().map(|sink| (sink.clone(), Selection::All, 1)).collect();
        Ok(NewBatch { packed, versions, latest, owed })
    }
}

/// What each sink is owed of a batch, given where each of its records goes.
fn owed(records: &[usize], destinations: &[Vec<String>]) -> Vec<(String, Selection, i64)> {
    // A few sets of sinks, however many records: each sink's are found once.
    let mut sinks: BTreeMap<&String, Vec<bool>> = BTreeMap::new();
    for destination in records.iter().copied().collect::<BTreeSet<_>>() {
        for sink in &destinations[destination] {
            sinks.entry(sink).or_insert_with(|| vec![false; destinations.len()])[destination] = true;
        }
    }
    let owed = sinks.into_iter().filter_map(|(sink, leads)| {
        let selection = Selection::of(records.len(), |index| leads[records[index]])?;
        let count = records.iter().filter(|destination| leads[**destination]).count();
        Some((sink.clone(), selection, count as i64))
    });
    owed.collect()
}

/// A version, as text: the hash in hexadecimal, the time in twenty characters, the id. Two versions are the same when
/// their texts are.
pub(crate) fn version(head: &RecordHead) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(52 + head.id.len());
    let updated_at = head.updated_at.map_or(i64::MIN, nanoseconds);
    let hash = u128::from_be_bytes(head.hash.0);
    write!(text, "{hash:032x}{updated_at:020}{}", head.id).expect("writing to a string");
    text
}

/// The records of a page at the indices `fresh`, in batches.
pub(crate) fn drafts(page: &AcceptedPage<'_>, mut versions: Vec<String>, fresh: &[usize]) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut rest = fresh;
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
        let mut batch = Batch::with_capacity(count, body_bytes);
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
