//! Sends batches and says of each what became of it: one request at a time in each partition, under numbers by which
//! the broker knows what comes twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use muster_model::{Clock, Trouble};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::connection::Failed;
use super::errors::{self, Verdict};
use super::lanes::{Acknowledged, Doubt, EventKey, Lane, Lanes, Place};
use super::record::{ProducerId, Records, next_sequence};
use super::settings::{BrokerAddress, Compression};
use super::wire::{self, PartitionProduced};
use crate::sinks::error::shown;

/// So often the connection may be closed over a large batch before its size is taken for the reason.
const CLOSES_MAX: u32 = 5;
/// No receiver is known that closes the connection over fewer bytes: there the network is the reason, and the batch
/// goes out again.
const CLOSED_BYTES_LEAST: usize = 1_000_000;
/// Events that are remembered as the reason for closed connections.
const POISONS_MAX: usize = 1024;
/// What the batches that are in doubt may take together, beside the latest.
const DOUBT_BYTES_MAX: usize = 64 << 20;
/// Brokers forget a producer that was silent for a day (`producer.id.expiration.ms`): what is in doubt for longer stays
/// so.
const DOUBT_LIFE: Duration = Duration::from_secs(86_400);
/// The same where brokers refuse a batch for a reason that nobody knows.
const UNCLEAR_LIFE: Duration = Duration::from_secs(3600);

pub(super) struct Producer {
    /// The sink's name, for the log.
    pub(super) name: String,
    pub(super) cluster: Cluster,
    pub(super) compression: Compression,
    pub(super) clock: Arc<dyn Clock>,
    lanes: Lanes,
    acknowledged: Acknowledged,
    /// The number that is in use. Held while one is fetched.
    current: tokio::sync::Mutex<Option<ProducerId>>,
    poisons: Mutex<HashMap<EventKey, String>>,
    /// The bytes of one request, as far as closed connections have taught it.
    request_bytes_max: AtomicUsize,
    pub(super) doubt_bytes_max: usize,
    /// Events that may have been written before they were given up, and come again.
    maybe_doubled: AtomicU64,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Events for one partition, in their order.
pub(super) struct Packed {
    pub(super) records: Records,
    pub(super) events: Arc<[EventKey]>,
}

/// What became of events that were sent.
#[derive(Debug)]
pub(super) enum Said {
    /// They are in the log.
    Acknowledged,
    /// Not now; without a reason when another has told it.
    Owed(Option<Trouble>),
    /// More than the broker takes at once.
    TooLarge(String),
    /// Some are invalid: their places, with a reason for each; none where the broker does not say which.
    Invalid(Vec<(usize, String)>, String),
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Sent {
    /// By partition.
    pub(super) said: Vec<(i32, Said)>,
    /// Whether the broker could not be asked, or gave no answer: others of its partitions need not be tried.
    pub(super) is_silent: bool,
}

type Free = (i32, OwnedMutexGuard<Lane>);

/// What became of a batch that had no answer.
#[derive(Debug)]
enum Settled {
    /// It is in the log.
    Acknowledged,
    /// Nobody knows yet, and the broker says why.
    Open(Trouble),
    /// The same, and the broker could not even be asked, or gave no answer.
    Silent(Trouble),
    /// Nobody will ever know.
    GivenUp,
}

impl Producer {
    pub(super) fn new(name: &str, cluster: Cluster, compression: Compression, clock: Arc<dyn Clock>) -> Self {
        Self {
            name: name.to_owned(),
            cluster,
            compression,
            clock,
            lanes: Lanes::default(),
            acknowledged: Acknowledged::default(),
            current: tokio::sync::Mutex::default(),
            poisons: Mutex::default(),
            request_bytes_max: AtomicUsize::new(usize::MAX),
            doubt_bytes_max: DOUBT_BYTES_MAX,
            maybe_doubled: AtomicU64::new(0),
        }
    }

    /// Whether the event was acknowledged already.
    pub(super) fn has(&self, key: &EventKey) -> bool {
        self.acknowledged.has(key)
    }

    /// Why an event is taken for the reason that connections are closed. Told once: it is tried again after that.
    pub(super) fn take_poison(&self, key: &EventKey) -> Option<String> {
        self.poisons.lock().expect("no panic while the lock is held").remove(key)
    }

    /// The bytes that may go out in one request, as far as closed connections have taught it.
    pub(super) fn request_bytes_max(&self) -> usize {
        self.request_bytes_max.load(Ordering::Relaxed)
    }

    /// How many events may have been written before they were given up.
    #[cfg(test)]
    pub(super) fn maybe_doubled(&self) -> u64 {
        self.maybe_doubled.load(Ordering::Relaxed)
    }

    /// Settles what became of those of these events, of a delivery to `topic`, that were sent before and have no
    /// answer. What nobody knows yet: where such batches went, their events, and why.
    pub(super) async fn settle(
        &self,
        topic: &str,
        events: &[EventKey],
    ) -> Vec<(Place, Arc<[EventKey]>, Trouble)> {
        let settling = self.lanes.with_any(events).into_iter().map(async |place| {
            let mut lane = self.lanes.lock(&place).await;
            let events = lane.doubt().map(|doubt| Arc::clone(&doubt.events))?;
            match self.settle_lane(&place, topic, &mut lane).await {
                Settled::Acknowledged | Settled::GivenUp => None,
                Settled::Open(trouble) | Settled::Silent(trouble) => Some((place, events, trouble)),
            }
        });
        join_all(settling).await.into_iter().flatten().collect()
    }

    /// Settles what became of the batch that has no answer, while something is delivered to the topic `now`; what nobody
    /// has told for too long, nobody ever will.
    async fn settle_lane(&self, place: &Place, now: &str, lane: &mut Lane) -> Settled {
        let settled = self.send_again(place, now, lane).await;
        match (&settled, lane.doubt()) {
            (Settled::Open(trouble) | Settled::Silent(trouble), Some(doubt))
                if doubt.since.elapsed() >= DOUBT_LIFE =>
            {
                self.give_up(lane, &format!("it has no answer for a day ({})", trouble.reason));
                Settled::GivenUp
            }
            _ => settled,
        }
    }

    /// Sends the batch that has no answer once more, as it is and alone.
    async fn send_again(&self, place: &Place, now: &str, lane: &mut Lane) -> Settled {
        let (topic, partition) = place;
        let known = match self.cluster.topic(topic).await {
            Ok(known) => known,
            // The tenant has another name by now, and its old topic is gone with all that was in it.
            Err(no_topic) if no_topic.is_missing && **topic != *now => {
                self.give_up(lane, &no_topic.trouble.reason);
                return Settled::GivenUp;
            }
            Err(no_topic) => return Settled::Silent(no_topic.trouble),
        };
        let at = match usize::try_from(*partition).ok().and_then(|place| known.leaders.get(place)) {
            Some(Some(at)) => at,
            Some(None) => {
                self.cluster.forget_topic(topic);
                return Settled::Open(self.leaderless(topic, *partition));
            }
            None => {
                self.give_up(lane, "the topic was made anew with fewer partitions");
                return Settled::GivenUp;
            }
        };
        let Some(doubt) = lane.doubt() else { return Settled::Acknowledged };
        let is_large = doubt.batch.len() > CLOSED_BYTES_LEAST;
        let produced = self.cluster.produce(at, topic, &[(*partition, &doubt.batch)]).await;
        match self.read(at, topic, produced) {
            Ok(mut answers) => match answers.remove(partition) {
                Some(answer) => self.judge_again(at, (topic, now), lane, &answer),
                None => Settled::Open(self.unnamed(at, *partition)),
            },
            Err(failed) => {
                self.cluster.forget_topic(topic);
                if matches!(failed, Failed::Closed(_)) && lane.closed() >= CLOSES_MAX && is_large {
                    return self.give_up_poison(lane, failed.why());
                }
                Settled::Silent(self.trouble(at, &failed))
            }
        }
    }

    /// What an answer says of a batch of `topic` that was sent before, while something is delivered to `now`.
    fn judge_again(
        &self,
        at: &BrokerAddress,
        (topic, now): (&str, &str),
        lane: &mut Lane,
        answer: &PartitionProduced,
    ) -> Settled {
        let verdict = errors::of(answer.error).verdict;
        let is_hopeless = match verdict {
            Verdict::Taken if !is_proof(answer) => return Settled::Open(self.unnamed(at, answer.index)),
            Verdict::Taken | Verdict::Repeated => {
                self.taken(lane);
                return Settled::Acknowledged;
            }
            Verdict::TooLarge | Verdict::Invalid | Verdict::Forgotten | Verdict::Unfit => true,
            Verdict::Unclear => lane.doubt().is_some_and(|doubt| doubt.since.elapsed() >= UNCLEAR_LIFE),
            Verdict::Unknown | Verdict::NotTaken => false,
        };
        let is_gone = topic != now && errors::is_without_topic(answer.error);
        // What is refused now may have been written before.
        if is_hopeless || is_gone {
            self.give_up(lane, &said(topic, answer));
            return Settled::GivenUp;
        }
        self.cluster.forget_topic(topic);
        Settled::Open(self.cluster.trouble_at(at, &said(topic, answer), None))
    }

    /// Sends events for partitions of one topic that one broker leads, and says what became of each partition's.
    /// `pack` is asked for them once their partition is free.
    pub(super) async fn send(
        &self,
        at: &BrokerAddress,
        topic: &Arc<str>,
        partitions: &[i32],
        pack: impl Fn(i32) -> Packed,
    ) -> Sent {
        let (mut lanes, mut sent) = self.free_lanes(topic, partitions).await;
        if lanes.is_empty() {
            return sent;
        }
        for (partition, lane) in &mut lanes {
            self.begin(lane, pack(*partition)).await;
        }
        let batches: Vec<(i32, &[u8])> = lanes
            .iter()
            .filter_map(|(partition, lane)| Some((*partition, lane.doubt()?.batch.as_slice())))
            .collect();
        // From here on nobody knows, until it is answered: also where this is given up in the middle.
        let produced = self.cluster.produce(at, topic, &batches).await;
        drop(batches);
        let answers = self.read(at, topic, produced);
        sent.is_silent = answers.is_err();
        match answers {
            Ok(mut answers) => sent.said.extend(lanes.into_iter().map(|(partition, mut lane)| {
                let said = match answers.remove(&partition) {
                    Some(answer) => self.judge(at, topic, &mut lane, answer),
                    None => Said::Owed(Some(self.unnamed(at, partition))),
                };
                (partition, said)
            })),
            Err(failed) => {
                self.cluster.forget_topic(topic);
                let mut trouble = Some(self.trouble(at, &failed));
                sent.said.extend(lanes.into_iter().map(|(partition, mut lane)| {
                    match failed {
                        Failed::Closed(_) => drop(lane.closed()),
                        Failed::Unanswered(_) => {}
                        Failed::NotSent { .. } | Failed::NotReached(_) | Failed::Refused { .. } => {
                            drop(lane.end());
                        }
                    }
                    (partition, Said::Owed(trouble.take()))
                }));
            }
        }
        self.bound();
        sent
    }

    /// Those of the partitions that a new batch may go to, each with a producer's number; and what is to be said of the
    /// others.
    async fn free_lanes(&self, topic: &Arc<str>, partitions: &[i32]) -> (Vec<Free>, Sent) {
        let (mut free, mut said): (Vec<Free>, _) = (Vec::with_capacity(partitions.len()), Vec::new());
        let mut is_silent = false;
        for partition in partitions {
            let place = (Arc::clone(topic), *partition);
            // In ascending order, so that no two wait for each other.
            let mut lane = self.lanes.lock(&place).await;
            if lane.doubt().is_some() {
                if is_silent {
                    said.push((*partition, Said::Owed(None)));
                    continue;
                }
                let settled = self.settle_lane(&place, topic, &mut lane).await;
                is_silent = matches!(settled, Settled::Silent(_));
                if let Settled::Open(trouble) | Settled::Silent(trouble) = settled {
                    said.push((*partition, Said::Owed(Some(trouble))));
                    continue;
                }
            }
            free.push((*partition, lane));
        }
        for place in 0..free.len() {
            let lane = &mut free[place].1;
            if lane.producer.is_some() {
                continue;
            }
            match self.producer(lane.left).await {
                Ok(producer) => lane.producer = Some(producer),
                Err(trouble) => {
                    // No new producer, no new batch.
                    let mut trouble = Some(trouble);
                    said.extend(free.drain(..).map(|(partition, _)| (partition, Said::Owed(trouble.take()))));
                    return (free, Sent { said, is_silent: true });
                }
            }
        }
        (free, Sent { said, is_silent })
    }

    /// Puts a batch together, which has no answer from then on.
    async fn begin(&self, lane: &mut Lane, packed: Packed) {
        let Packed { records, events } = packed;
        let (compression, sequence) = (self.compression, lane.next);
        let count = records.count();
        let producer = lane.producer.expect("it was asked for before");
        let at_ms = self.clock.now().as_millisecond();
        let batch = match compression {
            Compression::None => records.into_batch(compression, producer, sequence, at_ms),
            // Too long for a thread that others wait for.
            _ => {
                let packing = move || records.into_batch(compression, producer, sequence, at_ms);
                tokio::task::spawn_blocking(packing).await.expect("compressing does not panic")
            }
        };
        lane.begin(Doubt { batch, count, events, closes: 0, since: Instant::now() });
    }

    /// What an answer says of a batch that was sent for the first time.
    fn judge(&self, at: &BrokerAddress, topic: &str, lane: &mut Lane, answer: PartitionProduced) -> Said {
        let said = said(topic, &answer);
        let trouble = |reason: &str| Some(self.cluster.trouble_at(at, reason, None));
        match errors::of(answer.error).verdict {
            Verdict::Taken if is_proof(&answer) => {
                self.taken(lane);
                Said::Acknowledged
            }
            Verdict::Taken => Said::Owed(Some(self.unnamed(at, answer.index))),
            Verdict::Unknown | Verdict::Unclear => {
                self.cluster.forget_topic(topic);
                Said::Owed(trouble(&said))
            }
            Verdict::NotTaken | Verdict::Unfit => {
                lane.end();
                Said::Owed(trouble(&said))
            }
            Verdict::TooLarge => {
                lane.end();
                Said::TooLarge(said)
            }
            Verdict::Invalid => {
                lane.end();
                let records = answer.records.into_iter().filter_map(|(place, why)| {
                    let why =
                        why.map_or_else(|| said.clone(), |why| format!("INVALID_RECORD: {}", shown(&why)));
                    Some((usize::try_from(place).ok()?, why))
                });
                Said::Invalid(records.collect(), said)
            }
            // Numbers that are used up stand for other records than these.
            Verdict::Forgotten | Verdict::Repeated => {
                lane.end();
                lane.leave_producer();
                tracing::warn!(sink.name = self.name, reason = said, "the producer takes another number");
                Said::Owed(trouble(&said))
            }
        }
    }

    /// The batch that went out is in the log.
    fn taken(&self, lane: &mut Lane) {
        if let Some(doubt) = lane.end() {
            lane.next = next_sequence(lane.next, doubt.count);
            self.acknowledged.add(doubt.events.iter().copied());
        }
    }

    /// Nobody will ever know what became of the batch: its events come again as another producer's, and may then be
    /// there twice.
    fn give_up(&self, lane: &mut Lane, why: &str) {
        lane.leave_producer();
        let Some(doubt) = lane.end() else { return };
        let all = self.maybe_doubled.fetch_add(doubt.count.unsigned_abs().into(), Ordering::Relaxed);
        tracing::warn!(
            sink.name = self.name,
            events = doubt.count,
            events_so_far = all + u64::from(doubt.count.unsigned_abs()),
            reason = why,
            "it cannot be known whether events were written: they are sent again, and may be there twice"
        );
    }

    /// What has no answer is remembered within a bound, the latest first.
    fn bound(&self) {
        for mut lane in self.lanes.beyond(self.doubt_bytes_max) {
            self.give_up(&mut lane, "too much has no answer to remember all of it");
        }
    }

    /// Gives up a batch over which connections are closed; its half is tried next, and one that stands alone is the
    /// reason.
    fn give_up_poison(&self, lane: &mut Lane, why: &str) -> Settled {
        let (events, bytes) = lane
            .doubt()
            .map(|doubt| (Arc::clone(&doubt.events), doubt.batch.len()))
            .unwrap_or_else(|| (Arc::from([]), 0));
        let reason = format!(
            "the broker closes the connection each time that it is sent ({bytes} bytes): lower record_size_max and batch_size to \
             what the broker takes"
        );
        self.give_up(lane, why);
        match &events[..] {
            [event] => {
                let mut poisons = self.poisons.lock().expect("no panic while the lock is held");
                if poisons.len() >= POISONS_MAX {
                    poisons.clear();
                }
                poisons.insert(*event, reason);
            }
            _ => {
                self.request_bytes_max.fetch_min(bytes / 2, Ordering::Relaxed);
            }
        }
        Settled::GivenUp
    }

    /// A producer's number that a partition has not used up.
    async fn producer(&self, left: Option<ProducerId>) -> Result<ProducerId, Trouble> {
        let mut current = self.current.lock().await;
        // Numbers only follow each other: one that is not the partition's last is a later one.
        if let Some(producer) = *current
            && Some(producer) != left
        {
            return Ok(producer);
        }
        let producer = self.cluster.new_producer().await?;
        *current = Some(producer);
        Ok(producer)
    }

    /// What a broker says of each partition, where that is an answer to what was asked.
    fn read(
        &self,
        at: &BrokerAddress,
        topic: &str,
        produced: Result<(i16, Vec<u8>), Failed>,
    ) -> Result<HashMap<i32, PartitionProduced>, Failed> {
        let (version, answer) = produced?;
        let unreadable = |why: &str| Failed::Unanswered(format!("its answer to Produce {why}"));
        let read = wire::read_produced(version, &answer).map_err(|_| unreadable("cannot be read"))?;
        self.cluster.throttle(at, read.throttle_ms);
        let mut answers = HashMap::new();
        for (named, partitions) in read.topics {
            if named != topic {
                return Err(unreadable("is about another topic"));
            }
            for answer in partitions {
                if answers.insert(answer.index, answer).is_some() {
                    return Err(unreadable("names a partition twice"));
                }
            }
        }
        Ok(answers)
    }

    /// What is told of a partition that nobody leads.
    pub(super) fn leaderless(&self, topic: &str, partition: i32) -> Trouble {
        let words = errors::words(errors::LEADER_NOT_AVAILABLE);
        let reason = format!("sink `{}` (topic `{topic}`, partition {partition}): {words}", self.name);
        Trouble { reason, after: None }
    }

    fn trouble(&self, at: &BrokerAddress, failed: &Failed) -> Trouble {
        self.cluster.trouble_at(at, failed.why(), failed.after())
    }

    fn unnamed(&self, at: &BrokerAddress, partition: i32) -> Trouble {
        let reason = format!(
            "its answer says no place in the log for partition {partition}, and counts for nothing: look into the broker's log"
        );
        self.cluster.trouble_at(at, &reason, None)
    }
}

/// Whether an answer without an error names a place in the log: one that says "no error" and nothing else proves nothing.
fn is_proof(answer: &PartitionProduced) -> bool {
    answer.base_offset >= 0
}

/// What a broker says of a partition, in words.
fn said(topic: &str, answer: &PartitionProduced) -> String {
    let message = answer.message.as_deref().filter(|message| !message.is_empty());
    let message = message.map(|message| format!(" (it says: {})", shown(message))).unwrap_or_default();
    format!("topic `{topic}`, partition {}: {}{message}", answer.index, errors::words(answer.error))
}
