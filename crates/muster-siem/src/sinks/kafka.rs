//! Kafka, and Azure Event Hubs by its Kafka endpoint.
//!
//! An event is delivered when the leader of its partition has answered for its batch by a place in the log, with
//! `acks=all`: all replicas in sync have it. Events go out under a producer's number and numbers of their own (Kafka's
//! idempotent producer), by which a broker knows what it has already: while the process lives, a lost answer doubles
//! nothing, since the same batch is sent again, byte for byte, before anything else. A process that is killed leaves
//! its number: what it sent and got no answer for is sent by the next one, and may be there twice. So may what went
//! out under numbers that the brokers have forgotten meanwhile. Consumers tell such events by their header `event_id`.
//!
//! Events of one record have the same key, so that they stay in one partition, in their order.
//!
//! Source: Apache Kafka, "Protocol guide" and KIP-98; Microsoft, "Azure Event Hubs: Apache Kafka configurations".

mod cluster;
mod connection;
mod errors;
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
use muster_http::{Client, ClientOptions};
use muster_model::{DeliveryBatch, Report, Trouble};
use tokio_rustls::TlsConnector;

pub use self::settings::{
    Compression as KafkaCompression, KafkaSettings, Mechanism, OauthSettings, SecurityProtocol,
};

use self::cluster::{Address, Cluster, Topic};
use self::connection::{Proof, Way};
use self::lanes::{EventKey, event_keys};
use self::oauth::Tokens;
use self::producer::{Packed, Producer, Said};
use self::record::{RECORD_BYTES, Records};
use super::batch::{self, Formatted, REFUSALS_MAX, Refusals};
use super::error::SinkError;
use super::outcomes::Outcomes;
use super::record_ids::RecordIds;
use super::settings::{Settings, Surroundings, bytes};
use super::tls;
use crate::formats::{Encoding, Event, Events};

/// Events of one partition that go out at once: what a batch holds is answered for as one.
const EVENTS_MAX: usize = 10_000;
/// The longest answer of a token endpoint.
const TOKEN_ANSWER_BYTES_MAX: usize = 1 << 20;

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
            let brokers: Result<Vec<_>, String> =
                settings.brokers.iter().map(|address| settings::host_and_port(address)).collect();
            let way = Way { tls: tls_connector(&settings, around)?, proof: proof(&settings, around)? };
            Ok((encoding, Cluster::new(name, brokers?, way, settings.timeout.0)))
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

/// What TLS needs, where it is used; or why the settings cannot work.
fn tls_connector(
    settings: &KafkaSettings,
    around: &Surroundings<'_>,
) -> Result<Option<TlsConnector>, String> {
    if !settings.security().is_encrypted() {
        return Ok(None);
    }
    let ca_file = around.path(settings.ca_file.as_ref());
    let certificate = around.path(settings.client_certificate.as_ref());
    let identity = match (&certificate, &settings.client_key) {
        (Some(certificate), Some(key)) => {
            let key = (around.secret)(key).map_err(|no_secret| no_secret.reason)?;
            Some((certificate.as_path(), key))
        }
        _ => None,
    };
    Ok(Some(TlsConnector::from(tls::client_config(ca_file.as_deref(), identity)?)))
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
    let timeout = settings.timeout.0;
    let client = Client::new(&ClientOptions {
        connect_timeout: timeout,
        idle_timeout: timeout,
        total_timeout: timeout,
        body_bytes_max: TOKEN_ANSWER_BYTES_MAX,
        memory_bytes: 2 * TOKEN_ANSWER_BYTES_MAX,
        extra_roots_pem: tls::extra_roots(ca_file.as_deref())?,
        proxy: around.proxy.clone()?,
        ..ClientOptions::default()
    });
    Ok(Proof::Token(Box::new(Tokens {
        client: client.map_err(|error| error.to_string())?,
        url: token_url.clone(),
        client_id: client_id.clone(),
        client_secret,
        scope: scope.clone(),
        clock: Arc::clone(&around.clock),
        kept: tokio::sync::Mutex::default(),
    })))
}

/// Key and headers of each record of a delivery batch.
struct Heads {
    ids: RecordIds,
    tenant: String,
    content_type: &'static str,
    records: Vec<Head>,
}

struct Head {
    key: String,
    source: String,
    id: String,
    version: String,
    digest: String,
}

impl Heads {
    fn of(batch: DeliveryBatch<'_>, content_type: &'static str) -> Self {
        let tenant = batch.tenant.id.to_string();
        let records = batch.records().map(|(source, record)| {
            let head = record.head;
            Head {
                key: format!("{tenant}/{source}/{}", head.id),
                source: source.to_string(),
                id: head.id.clone(),
                version: head.updated_at.map(|at| at.to_string()).unwrap_or_default(),
                digest: format!("{:032x}", u128::from_be_bytes(head.hash.0)),
            }
        });
        Self { ids: RecordIds::of(batch), records: records.collect(), tenant, content_type }
    }

    /// The record of an event: key, value, headers.
    fn with<T>(&self, event: &Event<'_>, take: impl FnOnce(&[u8], &[u8], &[(&str, &[u8])]) -> T) -> T {
        let Some(head) = self.records.get(event.envelope.record) else { return take(&[], event.bytes, &[]) };
        let event_id = self.ids.of_event(event);
        let mut headers: Vec<(&str, &[u8])> = vec![
            ("event_id", event_id.as_bytes()),
            ("tenant_id", self.tenant.as_bytes()),
            ("source", head.source.as_bytes()),
            ("record_id", head.id.as_bytes()),
            ("record_digest", head.digest.as_bytes()),
            ("content_type", self.content_type.as_bytes()),
        ];
        if !head.version.is_empty() {
            headers.push(("record_version", head.version.as_bytes()));
        }
        let part = format!("{}/{}", event.envelope.part, event.envelope.parts);
        if event.envelope.parts > 1 {
            headers.push(("part", part.as_bytes()));
        }
        take(head.key.as_bytes(), event.bytes, &headers)
    }

    fn key(&self, event: &Event<'_>) -> &[u8] {
        self.records.get(event.envelope.record).map_or(&[], |head| head.key.as_bytes())
    }
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
    /// Refusals since something was taken last.
    refusals: usize,
}

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
            refusals: 0,
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
        for (events, trouble) in unknown {
            open.extend(events.iter().copied());
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

    /// What waits, by partition, in chunks that go out one after the other.
    fn queues(&self, partitions: usize) -> BTreeMap<i32, VecDeque<Chunk>> {
        let mut queues: BTreeMap<i32, VecDeque<Chunk>> = BTreeMap::new();
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
        let request_bytes_max = self.batch_bytes();
        loop {
            let mut requests: BTreeMap<Address, Vec<(i32, Chunk)>> = BTreeMap::new();
            let mut leaderless = Vec::new();
            for (partition, queue) in &mut queues {
                let Some(next) = queue.front() else { continue };
                let leader = usize::try_from(*partition).ok().and_then(|place| known.leaders.get(place));
                let Some(Some(leader)) = leader else {
                    leaderless.push(*partition);
                    continue;
                };
                let request = requests.entry(leader.clone()).or_default();
                let under_way: usize = request.iter().map(|(_, chunk)| chunk.bytes).sum();
                if request.is_empty() || under_way + next.bytes <= request_bytes_max {
                    request.extend(queue.pop_front().map(|chunk| (*partition, chunk)));
                }
            }
            for partition in leaderless {
                self.sink.producer.cluster.forget_topic(&self.topic);
                self.outcomes.trouble(self.sink.producer.leaderless(&self.topic, partition));
                self.owe(queues.remove(&partition).into_iter().flatten());
            }
            if requests.is_empty() {
                break;
            }
            let sent = join_all(requests.into_iter().map(async |(at, chunks)| self.send(&at, chunks).await));
            for (partition, chunk, said) in sent.await.into_iter().flatten() {
                self.hear(partition, chunk, said, &mut queues);
            }
            if self.refusals >= REFUSALS_MAX {
                // Nothing is taken any more: the way itself is closed.
                let left = queues.values_mut().flat_map(std::mem::take).collect::<Vec<_>>();
                if let Some(reason) = self.suspects.last().map(|(.., reason)| reason.clone())
                    && !left.is_empty()
                {
                    self.outcomes.trouble(self.way.closed(&reason));
                }
                self.owe(left);
            }
        }
    }

    async fn send(&self, at: &Address, chunks: Vec<(i32, Chunk)>) -> Vec<(i32, Chunk, Said)> {
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
        let said = self.sink.producer.send(at, &self.topic, &partitions, pack).await;
        let with_chunk = said
            .into_iter()
            .filter_map(|(partition, said)| Some((partition, chunks.remove(&partition)?, said)));
        with_chunk.collect()
    }

    /// Does what follows from what became of a chunk.
    fn hear(
        &mut self,
        partition: i32,
        chunk: Chunk,
        said: Said,
        queues: &mut BTreeMap<i32, VecDeque<Chunk>>,
    ) {
        let (reason, bad) = match said {
            Said::Acknowledged => {
                self.way.took(&PLACE);
                self.refusals = 0;
                chunk.events.iter().for_each(|event| self.states[*event] = State::Done);
                return;
            }
            Said::Owed(trouble) => {
                trouble.into_iter().for_each(|trouble| self.outcomes.trouble(trouble));
                // What follows in the partition waits for it.
                let left = queues.remove(&partition).into_iter().flatten();
                self.owe(std::iter::once(chunk).chain(left));
                return;
            }
            Said::TooLarge(reason) => (reason, Vec::new()),
            Said::Invalid(bad, reason) => (reason, bad),
        };
        let refused = self.way.refused(&PLACE);
        let first = chunk.events.first().map_or(&[][..], |event| self.events[*event].bytes);
        let is_searched = self.way.is_open((first, chunk.events.len() == 1), &chunk.refusals, &PLACE);
        self.refusals = if is_searched && chunk.is_refused { 0 } else { self.refusals + 1 };
        if let [event] = chunk.events[..] {
            let reason = bad.into_iter().next().map_or(reason, |(_, why)| why);
            self.suspect(event, chunk.refusals, reason);
            return;
        }
        let refusals = if chunk.is_refused { chunk.refusals } else { refused };
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
        let parts: Vec<Chunk> =
            parts.into_iter().map(|events| self.chunk(events, refusals.clone(), true)).collect();
        put_first(queues, partition, parts);
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

fn put_first(queues: &mut BTreeMap<i32, VecDeque<Chunk>>, partition: i32, parts: Vec<Chunk>) {
    let queue = queues.entry(partition).or_default();
    parts.into_iter().rev().for_each(|part| queue.push_front(part));
}

#[cfg(test)]
mod broker;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod tests;
