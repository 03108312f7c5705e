//! What is known of each partition from one delivery to the next: the producer and its next number, the batch of which
//! nobody knows whether it was written, and which events were acknowledged lately.
//!
//! A batch whose answer was lost is kept as it went out, byte for byte, and goes out again before anything else does
//! in its partition: the broker knows it by its numbers, and writes it once. It is a copy by which a doubt is settled,
//! not what is owed: that stays in the store. Another batch must never go out under the same numbers, since the broker
//! would take it for the first one and acknowledge what it has never seen.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use muster_model::{ContentHash, DeliveryBatch};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::record::ProducerId;
use crate::formats::Events;

/// Events that are remembered as acknowledged.
const ACKNOWLEDGED_MAX: usize = 64 << 10;

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
    pub(super) since: Instant,
}

/// What is known of a partition.
#[derive(Debug)]
pub(super) struct Lane {
    place: Place,
    pub(super) producer: Option<ProducerId>,
    /// The one before, whose numbers are used up.
    pub(super) left: Option<ProducerId>,
    /// The number of the next record.
    pub(super) next: i32,
    /// With its place among all of them.
    doubt: Option<(u64, Doubt)>,
    doubts: Arc<Doubts>,
}

impl Lane {
    /// A batch goes out: nobody knows what becomes of it until it is answered for.
    pub(super) fn begin(&mut self, doubt: Doubt) {
        self.end();
        let number = self.doubts.add(&self.place, &doubt);
        self.doubt = Some((number, doubt));
    }

    /// It is known what became of the batch, or it will never be.
    pub(super) fn end(&mut self) -> Option<Doubt> {
        let (number, doubt) = self.doubt.take()?;
        self.doubts.remove(number);
        Some(doubt)
    }

    /// The batch that has no answer.
    pub(super) fn doubt(&self) -> Option<&Doubt> {
        self.doubt.as_ref().map(|(_, doubt)| doubt)
    }

    /// The connection was closed over the batch; how often that was.
    pub(super) fn closed(&mut self) -> u32 {
        self.doubt.as_mut().map_or(0, |(_, doubt)| {
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

/// Where a partition's records go.
pub(super) type Place = (Arc<str>, i32);

/// The batches that have no answer, in the order in which they went out: what can be seen of a partition while somebody
/// sends to it.
#[derive(Debug, Default)]
struct Doubts(Mutex<BTreeMap<u64, Sign>>);

#[derive(Debug)]
struct Sign {
    place: Place,
    events: Arc<[EventKey]>,
    bytes: usize,
}

impl Doubts {
    fn add(&self, place: &Place, doubt: &Doubt) -> u64 {
        let mut signs = self.signs();
        let number = signs.last_key_value().map_or(0, |(last, _)| last + 1);
        let (events, bytes) = (Arc::clone(&doubt.events), doubt.batch.len());
        signs.insert(number, Sign { place: place.clone(), events, bytes });
        number
    }

    fn remove(&self, number: u64) {
        self.signs().remove(&number);
    }

    fn signs(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Sign>> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

/// All partitions that were written to.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Mutex<HashMap<Place, Arc<tokio::sync::Mutex<Lane>>>>,
    doubts: Arc<Doubts>,
}

impl Lanes {
    /// The partition, for one request at a time.
    pub(super) async fn lock(&self, place: &Place) -> OwnedMutexGuard<Lane> {
        self.lane(place).lock_owned().await
    }

    fn lane(&self, place: &Place) -> Arc<tokio::sync::Mutex<Lane>> {
        let mut lanes = self.lanes.lock().expect("no panic while the lock is held");
        let lane = lanes.entry(place.clone()).or_insert_with(|| {
            let (place, doubts) = (place.clone(), Arc::clone(&self.doubts));
            let lane = Lane { place, producer: None, left: None, next: 0, doubt: None, doubts };
            Arc::new(tokio::sync::Mutex::new(lane))
        });
        Arc::clone(lane)
    }

    /// The partitions in which some of these events have no answer: they may be others than those that the events
    /// belong to by now, when a topic has got more of them.
    pub(super) fn with_any(&self, events: &[EventKey]) -> Vec<Place> {
        let signs = self.doubts.signs();
        if signs.is_empty() {
            return Vec::new();
        }
        let wanted: HashSet<&EventKey> = events.iter().collect();
        let with_any = signs.values().filter(|sign| sign.events.iter().any(|event| wanted.contains(event)));
        let mut places: Vec<Place> = with_any.map(|sign| sign.place.clone()).collect();
        places.sort_unstable();
        places
    }

    /// The partitions whose batches have no answer and are more than `bytes` together with the later ones, while nobody
    /// sends to them: the oldest last. The latest is never among them.
    pub(super) fn beyond(&self, bytes: usize) -> Vec<OwnedMutexGuard<Lane>> {
        let places: Vec<Place> = {
            let signs = self.doubts.signs();
            if signs.values().map(|sign| sign.bytes).sum::<usize>() <= bytes {
                return Vec::new();
            }
            signs.values().rev().map(|sign| sign.place.clone()).collect()
        };
        let (mut kept, mut beyond) = (0, Vec::new());
        for place in places {
            // What somebody sends to is about to be answered.
            let Ok(lane) = self.lane(&place).try_lock_owned() else { continue };
            let of_lane = lane.doubt().map_or(0, |doubt| doubt.batch.len());
            kept += of_lane;
            if kept > bytes && kept > of_lane {
                beyond.push(lane);
            }
        }
        beyond
    }
}
