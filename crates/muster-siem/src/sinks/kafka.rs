//! Kafka, and Azure Event Hubs by its Kafka endpoint.
//!
//! An event is delivered when the leader of its partition has answered for its batch by a place in the log, with
//! `acks=all`: all replicas in sync have it. Events go out under a producer's number and numbers of their own (Kafka's
//! idempotent producer), by which a broker knows what it has already: while the process lives, a lost answer doubles
//! nothing, since the same batch is sent again, byte for byte, before anything else. A process that is killed leaves
//! its number: what it sent and the store does not know to be delivered is sent by the next one, and may be there twice.
//! So may what was given up since no broker said for too long what became of it, or since brokers have forgotten its
//! numbers. Consumers tell such events by their header `event_id`.
//!
//! Events of one record have the same key, so that they stay in one partition, in their order.
//!
//! Source: Apache Kafka, "Protocol guide" and KIP-98; Microsoft, "Azure Event Hubs: Apache Kafka configurations".

mod cluster;
mod connection;
mod errors;
mod heads;
mod lanes;
mod oauth;
mod producer;
mod record;
mod sasl;
mod settings;
mod wire;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use muster_model::{DeliveryBatch, Report, Trouble};
use reqwest::header::HeaderMap;

pub use self::settings::{
    BrokerAddress, Compression as KafkaCompression, KafkaSettings, Mechanism, OauthSettings, SecurityProtocol,
};

use self::cluster::{Cluster, Topic};
use self::connection::{Proof, Way};
use self::heads::Heads;
use self::lanes::{EventKey, event_keys};
use self::oauth::Tokens;
use self::producer::{Packed, Producer, Said, Sent};
use self::record::{RECORD_BYTES, Records};
use super::batch::{self, Formatted, REFUSALS_MAX, Refusals};
use super::error::SinkError;
use super::http;
use super::outcomes::Outcomes;
use super::settings::{Settings, Surroundings, bytes};
use super::wire::Tls;
use crate::formats::{Encoding, Event, Events};

/// Events of one partition that go out at once: what a batch holds is answered for as one.
const EVENTS_MAX: usize = 10_000;

/// A Kafka cluster.
#[derive(Debug)]
pub struct Kafka {
    name: String,
    settings: KafkaSettings,
    encoding: Encoding,
    producer: Producer,
    /// By topic: one that refuses everything of one tenant is no judge of others', nor they of it.
    ways: Mutex<HashMap<Arc<str>, Arc<batch::Way>>>,
}

impl Kafka {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        name: &str,
        settings: KafkaSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().into_iter().next() {
                return Err(mistake);
            }
            let KafkaSettings { ca_file, client_certificate: certificate, client_key: key, .. } = &settings;
            let tls = match settings.security().is_encrypted() {
                true => Some(Tls::new(ca_file.as_ref(), certificate.as_ref(), key.as_ref(), around)?),
                false => None,
            };
            let way = Way { tls, proof: proof(&settings, around)? };
            Ok((encoding, Cluster::new(name, settings.brokers.clone(), way, settings.timeout.0)))
        });
        let (encoding, cluster) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        let producer = Producer::new(name, cluster, settings.compression, Arc::clone(&around.clock));
        Ok(Self { name: name.to_owned(), settings, encoding, producer, ways: Mutex::default() })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let formatted = Formatted::new(&self.encoding, batch).await;
        let (events, outcomes) = formatted.into_parts();
        if events.is_empty() {
            return outcomes.report();
        }
        let topic: Arc<str> = self.settings.topic.expand(batch.tenant).into();
        let way = self.way(&topic);
        let heads = Heads::of(batch, self.settings.content_type());
        let keys = event_keys(batch, &events);
        let mut sending = Sending::new(self, &events, (&heads, &keys), topic, &way, outcomes);
        sending.leave_out_what_is_known().await;
        if sending.has_work() {
            match self.producer.cluster.topic(&sending.topic).await {
                Ok(known) => sending.run(&known).await,
                Err(no_topic) => sending.owe_all(no_topic.trouble),
            }
        }
        sending.report()
    }

    fn way(&self, topic: &Arc<str>) -> Arc<batch::Way> {
        let mut ways = self.ways.lock().expect("no panic while the lock is held");
        let way = ways.entry(Arc::clone(topic)).or_insert_with(|| {
            let target = format!("sink `{}` ({}, topic `{topic}`)", self.name, self.settings.target());
            Arc::new(batch::Way::of(target))
        });
        Arc::clone(way)
    }

    /// Finds the brokers and the topic, and takes a producer's number, which is what the right to write idempotently
    /// shows by.
    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        let cluster = &self.producer.cluster;
        let found = cluster.who().await.map_err(unusable)?;
        cluster.new_producer().await.map_err(unusable)?;
        let topic = self.settings.topic.pattern();
        if topic.contains('*') {
            return Ok(format!(
                "{found}, and lets Muster write idempotently; whether there is a topic `{topic}` for each tenant shows when \
                 something is delivered: `muster siem-config kafka` prints the commands that make them"
            ));
        }
        let known = cluster.topic(&topic).await.map_err(|no_topic| unusable(no_topic.trouble))?;
        let leaderless = known.leaders.iter().filter(|leader| leader.is_none()).count();
        if leaderless > 0 {
            let problem =
                format!("{leaderless} partitions of topic `{topic}` have no leader: brokers are down");
            return Err(SinkError::Unusable { sink: self.name.clone(), problem });
        }
        let may_write = match known.may_write {
            Some(true) => "and lets Muster write to it",
            None => "and does not say whether Muster may write to it",
            Some(false) => {
                let advice = errors::words(errors::TOPIC_AUTHORIZATION_FAILED);
                let problem = format!("topic `{topic}`: {advice}");
                return Err(SinkError::Unusable { sink: self.name.clone(), problem });
            }
        };
        Ok(format!("{found}, has topic `{topic}` with {} partitions, {may_write}", known.leaders.len()))
    }

    pub(super) async fn close(&self) {
        self.producer.cluster.close().await;
    }
}

/// What the sink proves itself by; or why the settings cannot work.
fn proof(settings: &KafkaSettings, around: &Surroundings<'_>) -> Result<Proof, String> {
    if let (Some(mechanism), Some(user), Some(password)) =
        (settings.sasl_mechanism, &settings.user, &settings.password)
    {
        let password = (around.secret)(password).map_err(|no_secret| no_secret.reason)?;
        return Ok(Proof::Password { mechanism, user: user.clone(), password });
    }
    let Some(OauthSettings { token_url, client_id, client_secret, scope }) = &settings.oauth else {
        return Ok(Proof::None);
    };
    let client_secret = (around.secret)(client_secret).map_err(|no_secret| no_secret.reason)?;
    let ca_file = around.path(settings.ca_file.as_ref());
    let (timeout, proxy) = (settings.timeout.0, around.proxy.clone()?);
    Ok(Proof::Token(Box::new(Tokens {
        client: http::client(HeaderMap::new(), timeout, ca_file.as_deref(), proxy, 1)?,
        url: token_url.clone(),
        client_id: client_id.clone(),
        client_secret,
        scope: scope.clone(),
        clock: Arc::clone(&around.clock),
        kept: tokio::sync::Mutex::default(),
    })))
}

/// How an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is to be sent.
    Waiting,
    /// It is in the log, or is not to be sent.
    Done,
    /// It stays owed.
    Owed,
}

/// Events of one partition that go out together.
#[derive(Debug)]
struct Chunk {
    events: Vec<usize>,
    bytes: usize,
    /// What had been taken when they were refused first, among others.
    refusals: Refusals,
    is_refused: bool,
}

/// One delivery batch on its way.
struct Sending<'s> {
    sink: &'s Kafka,
    events: Vec<Event<'s>>,
    heads: &'s Heads,
    keys: &'s [EventKey],
    /// The bytes of each event's record.
    sizes: Vec<usize>,
    topic: Arc<str>,
    way: &'s batch::Way,
    outcomes: Outcomes,
    states: Vec<State>,
    /// Events that were refused alone, and why.
    suspects: Vec<(usize, Refusals, String)>,
    /// Partitions of which nobody knows what was written last: they were asked in vain.
    in_doubt: HashSet<i32>,
    /// Rounds since something was taken last, in which something was refused.
    refused_rounds: usize,
}

/// What became of a chunk.
struct Heard {
    partition: i32,
    chunk: Chunk,
    said: Said,
}

/// A chunk that was refused.
struct Refused {
    partition: i32,
    chunk: Chunk,
    reason: String,
    /// Which of its events are meant, where that was said, and what is wrong with each.
    bad: Vec<(usize, String)>,
}

/// What waits, by partition, in chunks that go out one after the other.
type Queues = BTreeMap<i32, VecDeque<Chunk>>;

/// The one place of a topic's way.
const PLACE: [usize; 1] = [0];

impl<'s> Sending<'s> {
    fn new(
        sink: &'s Kafka,
        events: &'s Events,
        (heads, keys): (&'s Heads, &'s [EventKey]),
        topic: Arc<str>,
        way: &'s batch::Way,
        outcomes: Outcomes,
    ) -> Self {
        let events: Vec<Event<'s>> = events.events().collect();
        let sizes = events.iter().map(|event| {
            heads.with(event, |key, value, headers| {
                let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
                key.len() + value.len() + headers + RECORD_BYTES
            })
        });
        let (sizes, states) = (sizes.collect(), vec![State::Waiting; events.len()]);
        let mut sending = Self {
            sink,
            events,
            heads,
            keys,
            sizes,
            topic,
            way,
            outcomes,
            states,
            suspects: Vec::new(),
            in_doubt: HashSet::new(),
            refused_rounds: 0,
        };
        sending.leave_out_what_is_too_large();
        sending
    }

    /// A record of which one event is too large is not sent at all.
    fn leave_out_what_is_too_large(&mut self) {
        let most = bytes(self.sink.settings.record_size_max);
        let mut too_large = HashSet::new();
        for (event, size) in self.events.iter().zip(&self.sizes) {
            if *size > most {
                let reason = format!("it is a record of {size} bytes, and record_size_max is {most}");
                self.outcomes.reject(event.envelope.record, &reason);
                too_large.insert(event.envelope.record);
            }
        }
        for (event, state) in self.events.iter().zip(&mut self.states) {
            if too_large.contains(&event.envelope.record) {
                *state = State::Done;
            }
        }
    }

    /// Leaves out what the brokers have already, and what cannot be sent since nobody knows whether they have it.
    async fn leave_out_what_is_known(&mut self) {
        let producer = &self.sink.producer;
        let unknown = producer.settle(&self.topic, self.keys).await;
        let mut open: HashSet<EventKey> = HashSet::new();
        for ((topic, partition), events, trouble) in unknown {
            open.extend(events.iter().copied());
            self.in_doubt.extend((topic == self.topic).then_some(partition));
            self.outcomes.trouble(trouble);
        }
        for event in 0..self.events.len() {
            if self.states[event] != State::Waiting {
                continue;
            }
            let key = &self.keys[event];
            if producer.has(key) {
                self.states[event] = State::Done;
            } else if open.contains(key) {
                self.states[event] = State::Owed;
            } else if let Some(reason) = producer.take_poison(key) {
                let refusals = self.way.refused(&PLACE);
                self.suspect(event, refusals, reason);
            }
        }
    }

    fn has_work(&self) -> bool {
        self.states.contains(&State::Waiting)
    }

    fn owe_all(&mut self, trouble: Trouble) {
        self.outcomes.trouble(trouble);
        self.states
            .iter_mut()
            .filter(|state| **state == State::Waiting)
            .for_each(|state| *state = State::Owed);
    }

    fn owe(&mut self, chunks: impl IntoIterator<Item = Chunk>) {
        for event in chunks.into_iter().flat_map(|chunk| chunk.events) {
            self.states[event] = State::Owed;
        }
    }

    fn queues(&self, partitions: usize) -> Queues {
        let mut queues = Queues::new();
        for event in (0..self.events.len()).filter(|event| self.states[*event] == State::Waiting) {
            let partition = record::partition(self.heads.key(&self.events[event]), partitions);
            let queue = queues.entry(partition as i32).or_default();
            match queue.back_mut() {
                Some(chunk)
                    if chunk.events.len() < EVENTS_MAX
                        && chunk.bytes + self.sizes[event] <= self.batch_bytes() =>
                {
                    chunk.events.push(event);
                    chunk.bytes += self.sizes[event];
                }
                _ => queue.push_back(self.chunk(vec![event], Refusals::new(), false)),
            }
        }
        queues
    }

    fn chunk(&self, events: Vec<usize>, refusals: Refusals, is_refused: bool) -> Chunk {
        let bytes = events.iter().map(|event| self.sizes[*event]).sum();
        Chunk { events, bytes, refusals, is_refused }
    }

    fn batch_bytes(&self) -> usize {
        bytes(self.sink.settings.batch_size).min(self.sink.producer.request_bytes_max())
    }

    /// Sends what waits, round by round: one request to each broker, with the next chunk of as many partitions as fit.
    async fn run(&mut self, known: &Topic) {
        let mut queues = self.queues(known.leaders.len());
        let in_doubt = std::mem::take(&mut self.in_doubt);
        self.leave_out(&mut queues, |partition| in_doubt.contains(&partition));
        let leaderless = queues.keys().copied().filter(|partition| leader(known, *partition).is_none());
        for partition in leaderless.collect::<Vec<_>>() {
            self.sink.producer.cluster.forget_topic(&self.topic);
            self.outcomes.trouble(self.sink.producer.leaderless(&self.topic, partition));
        }
        self.leave_out(&mut queues, |partition| leader(known, partition).is_none());
        loop {
            let requests = self.requests(known, &mut queues);
            if requests.is_empty() {
                break;
            }
            let sent = join_all(requests.into_iter().map(async |(at, chunks)| self.send(at, chunks).await));
            let (mut heard, mut silent) = (Vec::new(), HashSet::new());
            for (at, of_broker, is_silent) in sent.await {
                heard.extend(of_broker);
                silent.extend(is_silent.then_some(at));
            }
            self.hear_round(heard, &mut queues);
            // Who does not answer is left alone for the rest of this delivery.
            let is_silent = |leader: &BrokerAddress| silent.contains(leader);
            self.leave_out(&mut queues, |partition| leader(known, partition).is_some_and(is_silent));
        }
    }

    /// What waits for these partitions stays owed.
    fn leave_out(&mut self, queues: &mut Queues, is_left_out: impl Fn(i32) -> bool) {
        let left = queues.extract_if(.., |partition, _| is_left_out(*partition));
        self.owe(left.flat_map(|(_, chunks)| chunks));
    }

    /// Takes the next round out of what waits.
    fn requests(&self, known: &Topic, queues: &mut Queues) -> BTreeMap<BrokerAddress, Vec<(i32, Chunk)>> {
        let request_bytes_max = self.batch_bytes();
        let mut requests: BTreeMap<BrokerAddress, Vec<(i32, Chunk)>> = BTreeMap::new();
        for (partition, queue) in queues {
            let (Some(next), Some(leader)) = (queue.front(), leader(known, *partition)) else { continue };
            let request = requests.entry(leader.clone()).or_default();
            let under_way: usize = request.iter().map(|(_, chunk)| chunk.bytes).sum();
            if request.is_empty() || under_way + next.bytes <= request_bytes_max {
                request.extend(queue.pop_front().map(|chunk| (*partition, chunk)));
            }
        }
        requests
    }

    /// Sends one request. What became of its chunks, and whether the broker was silent.
    async fn send(&self, at: BrokerAddress, chunks: Vec<(i32, Chunk)>) -> (BrokerAddress, Vec<Heard>, bool) {
        let partitions: Vec<i32> = chunks.iter().map(|(partition, _)| *partition).collect();
        let mut chunks: HashMap<i32, Chunk> = chunks.into_iter().collect();
        let pack = |partition: i32| {
            let events = chunks.get(&partition).map_or(&[][..], |chunk| &chunk.events);
            let mut records = Records::with_capacity(chunks.get(&partition).map_or(0, |chunk| chunk.bytes));
            for event in events {
                self.heads
                    .with(&self.events[*event], |key, value, headers| records.push(key, value, headers));
            }
            let events = events.iter().map(|event| self.keys[*event]).collect();
            Packed { records, events }
        };
        let Sent { said, is_silent } = self.sink.producer.send(&at, &self.topic, &partitions, pack).await;
        let heard = said.into_iter().filter_map(|(partition, said)| {
            Some(Heard { partition, chunk: chunks.remove(&partition)?, said })
        });
        let heard = heard.collect();
        (at, heard, is_silent)
    }

    /// Does what follows from what became of the chunks of one round: however many partitions refuse something in it, it is
    /// one refusal.
    fn hear_round(&mut self, heard: Vec<Heard>, queues: &mut Queues) {
        let (mut is_taken, mut refused) = (false, Vec::new());
        for Heard { partition, chunk, said } in heard {
            match said {
                Said::Acknowledged => {
                    is_taken = true;
                    chunk.events.iter().for_each(|event| self.states[*event] = State::Done);
                }
                Said::Owed(trouble) => {
                    trouble.into_iter().for_each(|trouble| self.outcomes.trouble(trouble));
                    // What follows in the partition waits for it.
                    let left = queues.remove(&partition).into_iter().flatten();
                    self.owe(std::iter::once(chunk).chain(left));
                }
                Said::TooLarge(reason) => refused.push(Refused { partition, chunk, reason, bad: Vec::new() }),
                Said::Invalid(bad, reason) => refused.push(Refused { partition, chunk, reason, bad }),
            }
        }
        // What was taken in the same round was taken after what was refused in it came.
        let before = if refused.is_empty() { Refusals::new() } else { self.way.refused(&PLACE) };
        if is_taken {
            self.way.took(&PLACE);
        }
        let Some(last_reason) = refused.last().map(|refused| refused.reason.clone()) else {
            self.refused_rounds = if is_taken { 0 } else { self.refused_rounds };
            return;
        };
        let mut is_searched = is_taken;
        for refused in refused {
            is_searched |= self.search(refused, &before, queues);
        }
        self.refused_rounds = if is_searched { 0 } else { self.refused_rounds + 1 };
        if self.refused_rounds >= REFUSALS_MAX {
            // Nothing is taken any more: the way itself is closed.
            self.outcomes.trouble(self.way.closed(&last_reason));
            self.owe(std::mem::take(queues).into_values().flatten());
        }
    }

    /// Looks among refused events for those that are meant, when so much had been taken `before`. Whether that is worth it:
    /// something was taken since they were refused first.
    fn search(&mut self, refused: Refused, before: &Refusals, queues: &mut Queues) -> bool {
        let Refused { partition, chunk, reason, bad } = refused;
        let first = chunk.events.first().map_or(&[][..], |event| self.events[*event].bytes);
        let is_open = self.way.is_open((first, chunk.events.len() == 1), &chunk.refusals, &PLACE);
        let is_searched = is_open && chunk.is_refused;
        let refusals = if chunk.is_refused { chunk.refusals } else { before.clone() };
        if let [event] = chunk.events[..] {
            let reason = bad.into_iter().next().map_or(reason, |(_, why)| why);
            self.suspect(event, refusals, reason);
            return is_searched;
        }
        let mut named: BTreeMap<usize, String> = bad.into_iter().collect();
        named.retain(|place, _| *place < chunk.events.len());
        let parts: Vec<Vec<usize>> = if named.is_empty() {
            let (one, other) = chunk.events.split_at(chunk.events.len() / 2);
            vec![one.to_vec(), other.to_vec()]
        } else {
            let good = chunk.events.iter().enumerate().filter(|(place, _)| !named.contains_key(place));
            let good: Vec<usize> = good.map(|(_, event)| *event).collect();
            for (place, why) in named {
                self.suspect(chunk.events[place], refusals.clone(), why);
            }
            if good.is_empty() { Vec::new() } else { vec![good] }
        };
        let queue = queues.entry(partition).or_default();
        for events in parts.into_iter().rev() {
            queue.push_front(self.chunk(events, refusals.clone(), true));
        }
        is_searched
    }

    /// An event was refused alone: whether for good shows at the end.
    fn suspect(&mut self, event: usize, refusals: Refusals, reason: String) {
        self.states[event] = State::Done;
        self.suspects.push((event, refusals, reason));
    }

    fn report(mut self) -> Report {
        for (event, refusals, reason) in std::mem::take(&mut self.suspects) {
            let Event { bytes, envelope, .. } = self.events[event];
            if self.way.is_open((bytes, true), &refusals, &PLACE) {
                self.outcomes.reject(envelope.record, &reason);
            } else {
                self.outcomes.retry(envelope.record);
                self.outcomes.trouble(self.way.closed(&reason));
            }
        }
        let owed = self.events.iter().zip(&self.states).filter(|(_, state)| **state != State::Done);
        owed.for_each(|(event, _)| self.outcomes.retry(event.envelope.record));
        self.outcomes.report()
    }
}

/// Who leads a partition.
fn leader(known: &Topic, partition: i32) -> Option<&BrokerAddress> {
    known.leaders.get(usize::try_from(partition).ok()?)?.as_ref()
}

#[cfg(test)]
mod broker;
#[cfg(test)]
mod doubts;
#[cfg(test)]
mod event_hubs;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod tests;
