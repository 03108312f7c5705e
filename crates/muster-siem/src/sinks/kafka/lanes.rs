//! What is known of each partition from one delivery to the next: the producer and its next number, the batch of which
//! nobody knows whether it was written, and which events were acknowledged lately.
//!
//! A batch whose answer was lost is kept as it went out, byte for byte, and goes out again before anything else does
//! in its partition: the broker knows it by its numbers, and writes it once. It is a copy by which a doubt is settled,
//! not what is owed: that stays in the store. Another batch must never go out under the same numbers, since the broker
//! would take it for the first one and acknowledge what it has never seen.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use muster_model::{ContentHash, DeliveryBatch};
use tokio::sync::OwnedMutexGuard;

use super::record::ProducerId;
use crate::formats::Events;

/// Events that are remembered as acknowledged.
const ACKNOWLEDGED_MAX: usize = 64 << 10;
/// What the batches that are in doubt may take together.
const DOUBT_BYTES_MAX: usize = 64 << 20;

/// What one event that is owed is known by, to the delivery: the store never gives the same to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct EventKey(ContentHash);

/// What each event of a delivery batch is known by.
pub(super) fn event_keys(batch: DeliveryBatch<'_>, events: &Events) -> Vec<EventKey> {
    let tenant = batch.tenant.id.to_string();
    let records: Vec<(u128, u64, u64)> = batch
        .deliveries
        .iter()
        .flat_map(|delivery| {
            let of = (delivery.lineage.0.as_u128(), delivery.number.0);
            delivery.records().map(move |(index, _)| (of.0, of.1, index as u64))
        })
        .collect();
    let mut known_by = Vec::with_capacity(128);
    let keys = events.events().map(|event| {
        let (lineage, number, index) = records.get(event.envelope.record).copied().unwrap_or_default();
        known_by.clear();
        known_by.extend_from_slice(tenant.as_bytes());
        known_by.extend_from_slice(&lineage.to_le_bytes());
        for number in [number, index, event.envelope.part as u64, event.envelope.parts as u64] {
            known_by.extend_from_slice(&number.to_le_bytes());
        }
        known_by.extend_from_slice(&event.envelope.hash.0);
        EventKey(ContentHash::of(&known_by))
    });
    keys.collect()
}

/// The events that were acknowledged last.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Mutex<(HashSet<EventKey>, VecDeque<EventKey>)>);

impl Acknowledged {
    pub(super) fn add(&self, keys: impl IntoIterator<Item = EventKey>) {
        let mut guard = self.0.lock().expect("no panic while the lock is held");
        let (known, order) = &mut *guard;
        for key in keys {
            if known.insert(key) {
                order.push_back(key);
            }
            if order.len() > ACKNOWLEDGED_MAX
                && let Some(oldest) = order.pop_front()
            {
                known.remove(&oldest);
            }
        }
    }

    pub(super) fn has(&self, key: &EventKey) -> bool {
        self.0.lock().expect("no panic while the lock is held").0.contains(key)
    }
}

/// A batch that went out and has no answer.
#[derive(Debug)]
pub(super) struct Doubt {
    /// As it went out.
    pub(super) batch: Vec<u8>,
    pub(super) count: i32,
    pub(super) events: Arc<[EventKey]>,
    /// How often the connection was closed over it.
    pub(super) closes: u32,
}

/// What is known of a partition.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) producer: Option<ProducerId>,
    /// The one before, whose numbers are used up.
    pub(super) left: Option<ProducerId>,
    /// The number of the next record.
    pub(super) next: i32,
    doubt: Option<Doubt>,
    sign: Arc<Sign>,
}

impl Lane {
    /// A batch goes out: nobody knows what becomes of it until it is answered for.
    pub(super) fn begin(&mut self, doubt: Doubt) {
        self.sign.set(Some((Arc::clone(&doubt.events), doubt.batch.len())));
        self.doubt = Some(doubt);
    }

    /// It is known what became of the batch, or it will never be.
    pub(super) fn end(&mut self) -> Option<Doubt> {
        self.sign.set(None);
        self.doubt.take()
    }

    /// The batch that has no answer.
    pub(super) fn doubt(&self) -> Option<&Doubt> {
        self.doubt.as_ref()
    }

    /// The connection was closed over the batch; how often that was.
    pub(super) fn closed(&mut self) -> u32 {
        self.doubt.as_mut().map_or(0, |doubt| {
            doubt.closes += 1;
            doubt.closes
        })
    }

    /// The producer's numbers mean nothing any more: the next batch is another producer's.
    pub(super) fn leave_producer(&mut self) {
        self.left = self.producer.take().or(self.left);
        self.next = 0;
    }
}

/// What can be seen of a partition while somebody sends to it: the events that have no answer, and their bytes.
#[derive(Debug, Default)]
struct Sign(Mutex<Option<(Arc<[EventKey]>, usize)>>);

impl Sign {
    fn set(&self, to: Option<(Arc<[EventKey]>, usize)>) {
        *self.0.lock().expect("no panic while the lock is held") = to;
    }

    fn read<T>(&self, read: impl FnOnce(&[EventKey], usize) -> T) -> Option<T> {
        let guard = self.0.lock().expect("no panic while the lock is held");
        guard.as_ref().map(|(events, bytes)| read(events, *bytes))
    }
}

/// Where a partition's records go.
pub(super) type Place = (Arc<str>, i32);

#[derive(Debug, Default)]
struct Entry {
    lane: Arc<tokio::sync::Mutex<Lane>>,
    sign: Arc<Sign>,
}

/// All partitions that were written to.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<Place, Entry>>);

impl Lanes {
    /// The partition, for one request at a time.
    pub(super) async fn lock(&self, place: &Place) -> OwnedMutexGuard<Lane> {
        let lane = {
            let mut lanes = self.0.lock().expect("no panic while the lock is held");
            let entry = lanes.entry(place.clone()).or_insert_with(|| {
                let sign = Arc::new(Sign::default());
                let lane = Lane { sign: Arc::clone(&sign), ..Lane::default() };
                Entry { lane: Arc::new(tokio::sync::Mutex::new(lane)), sign }
            });
            Arc::clone(&entry.lane)
        };
        lane.lock_owned().await
    }

    /// The partitions in which some of these events have no answer: they may be others than those that the events
    /// belong to by now, when a topic has got more of them.
    pub(super) fn with_any(&self, events: &[EventKey]) -> Vec<Place> {
        let mut wanted = None;
        let lanes = self.0.lock().expect("no panic while the lock is held");
        let has_any = |entry: &Entry, wanted: &mut Option<HashSet<EventKey>>| {
            let wanted_of = |unanswered: &[EventKey], _| {
                let wanted = wanted.get_or_insert_with(|| events.iter().copied().collect());
                unanswered.iter().any(|key| wanted.contains(key))
            };
            entry.sign.read(wanted_of).unwrap_or(false)
        };
        let mut found: Vec<Place> = Vec::new();
        for (place, entry) in lanes.iter() {
            if has_any(entry, &mut wanted) {
                found.push(place.clone());
            }
        }
        found.sort_unstable();
        found
    }

    /// Whether more has no answer than may be kept.
    pub(super) fn are_full(&self) -> bool {
        let lanes = self.0.lock().expect("no panic while the lock is held");
        let bytes = lanes.values().filter_map(|entry| entry.sign.read(|_, bytes| bytes));
        bytes.sum::<usize>() > DOUBT_BYTES_MAX
    }
}
