//! The brokers of a cluster: where they are, who leads which partition, and the connections to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_model::Trouble;
use tokio::time::Instant;

use super::connection::{Connection, Failed, Way};
use super::errors;
use super::record::ProducerId;
use super::settings::{BrokerAddress, HOST_BYTES_MAX};
use super::wire::{self, Api, Metadata, PartitionMetadata, TopicMetadata};

/// How long it is believed who leads which partition, where nothing speaks against it.
const METADATA_AGE_MAX: Duration = Duration::from_secs(300);
/// Topics that are remembered.
const TOPICS_MAX: usize = 4096;
/// Brokers, and partitions of a topic, that are believed.
const BROKERS_MAX: usize = 4096;
const PARTITIONS_MAX: usize = 100_000;
/// Connections to one broker that are kept while nobody uses them.
const KEPT_MAX: usize = 8;
/// The longest that a broker may make its producers wait.
const THROTTLE_MAX: Duration = Duration::from_secs(300);
/// So long nobody is shown credentials that were refused: many refusals lock an account.
const REFUSED_WAIT: Duration = Duration::from_secs(60);
/// One that is far away or silent takes the whole of its time: so many of them are enough for one question.
const SILENT_MAX: usize = 2;

/// What is known of a topic.
#[derive(Debug)]
pub(super) struct Topic {
    /// The leader of each partition, where it has one.
    pub(super) leaders: Vec<Option<BrokerAddress>>,
    /// Whether records may be written to it, where the brokers say so.
    pub(super) may_write: Option<bool>,
    read_at: Instant,
}

/// Why nothing is known of a topic.
#[derive(Debug)]
pub(super) struct NoTopic {
    pub(super) trouble: Trouble,
    /// The brokers say that there is none, or none for this user.
    pub(super) is_missing: bool,
}

impl From<Trouble> for NoTopic {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, is_missing: false }
    }
}

pub(super) struct Cluster {
    /// The sink's, for messages.
    name: String,
    bootstrap: Vec<BrokerAddress>,
    way: Way,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    topics: HashMap<String, Arc<Topic>>,
    /// The brokers that the cluster named last.
    brokers: Vec<BrokerAddress>,
    /// Who answered last.
    current: Option<BrokerAddress>,
    kept: HashMap<BrokerAddress, Vec<Connection>>,
    /// Until when each broker wants to be left alone.
    throttled: HashMap<BrokerAddress, Instant>,
    /// Until when nobody is shown the credentials, and why.
    refused: Option<(Instant, String)>,
}

impl std::fmt::Debug for Cluster {
    /// Without what it proves itself by.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(super) fn new(name: &str, bootstrap: Vec<BrokerAddress>, way: Way, timeout: Duration) -> Self {
        Self { name: name.to_owned(), bootstrap, way, timeout, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }

    pub(super) fn trouble_at(&self, at: &BrokerAddress, reason: &str, after: Option<Duration>) -> Trouble {
        Trouble { reason: format!("sink `{}` ({at}): {reason}", self.name), after }
    }

    /// What is known of a topic, asked for where that is too little or too old.
    pub(super) async fn topic(&self, name: &str) -> Result<Arc<Topic>, NoTopic> {
        if let Some(known) = self.state().topics.get(name)
            && known.read_at.elapsed() < METADATA_AGE_MAX
        {
            return Ok(Arc::clone(known));
        }
        let (at, version, answer) =
            self.ask_anyone(wire::METADATA, |version| wire::metadata(version, name)).await?;
        let wrong = |reason: &str| self.trouble_at(&at, reason, None);
        let Ok(Metadata { throttle_ms, brokers, topics }) = wire::read_metadata(version, &answer) else {
            return Err(
                wrong("its answer about the topic cannot be read: check that it is a Kafka broker").into()
            );
        };
        self.throttle(&at, throttle_ms);
        let brokers = believable(brokers)
            .ok_or_else(|| wrong("its answer names brokers that cannot be, such as one without a host"))?;
        let mut topics = topics.into_iter();
        let (Some(TopicMetadata { error, name: named, partitions, may_write }), None) =
            (topics.next(), topics.next())
        else {
            return Err(wrong("its answer is not about the topic that was asked for").into());
        };
        if named != name {
            return Err(wrong("its answer is not about the topic that was asked for").into());
        }
        if error != errors::NONE {
            return Err(NoTopic {
                trouble: wrong(&format!("topic `{name}`: {}", errors::words(error))),
                is_missing: errors::is_without_topic(error),
            });
        }
        let leaders = leaders(partitions, &brokers)
            .ok_or_else(|| wrong("its answer does not name the topic's partitions one after the other"))?;
        let topic = Arc::new(Topic { leaders, may_write, read_at: Instant::now() });
        let mut state = self.state();
        if state.topics.len() >= TOPICS_MAX {
            state.topics.clear();
        }
        state.brokers = brokers.into_values().collect();
        state.topics.insert(name.to_owned(), Arc::clone(&topic));
        Ok(topic)
    }

    /// What was known of a topic is not so any more.
    pub(super) fn forget_topic(&self, name: &str) {
        self.state().topics.remove(name);
    }

    /// A producer's number that nobody else has.
    pub(super) async fn new_producer(&self) -> Result<ProducerId, Trouble> {
        let asked = self.ask_anyone(wire::INIT_PRODUCER_ID, wire::init_producer_id).await;
        let (at, version, answer) = asked?;
        let Ok(new) = wire::read_init_producer_id(version, &answer) else {
            return Err(self.trouble_at(&at, "its answer to a new producer cannot be read", None));
        };
        self.throttle(&at, new.throttle_ms);
        if new.error != errors::NONE {
            let reason = format!("it lets nobody write idempotently: {}", errors::words(new.error));
            return Err(self.trouble_at(&at, &reason, None));
        }
        if new.id < 0 || new.epoch < 0 {
            return Err(self.trouble_at(&at, "it gives out a producer's number that is none", None));
        }
        Ok(ProducerId { id: new.id, epoch: new.epoch })
    }

    /// Asks something that any broker can answer, of the one that answered last, or else of the next that is there.
    /// Nothing is written by it, so it may be asked of several.
    async fn ask_anyone(
        &self,
        api: Api,
        body: impl Fn(i16) -> Vec<u8>,
    ) -> Result<(BrokerAddress, i16, Vec<u8>), Trouble> {
        let mut addresses: Vec<BrokerAddress> = Vec::new();
        {
            let state = self.state();
            for address in state.current.iter().chain(&self.bootstrap).chain(&state.brokers) {
                if !addresses.contains(address) {
                    addresses.push(address.clone());
                }
            }
        }
        let (mut silent, mut trouble) = (0, None);
        for at in addresses {
            let asked = self.with_connection(&at, async |connection| connection.ask(api, &body).await);
            let failed = match asked.await {
                Ok((version, answer)) => {
                    self.state().current = Some(at.clone());
                    return Ok((at, version, answer));
                }
                Err(failed) => failed,
            };
            let told = self.trouble_at(&at, failed.why(), failed.after());
            if matches!(failed, Failed::Refused { .. }) {
                return Err(told);
            }
            trouble.get_or_insert(told);
            silent += usize::from(matches!(failed, Failed::Unanswered(_) | Failed::NotReached(_)));
            if silent >= SILENT_MAX {
                break;
            }
        }
        self.state().current = None;
        Err(trouble.expect("there is one broker at least"))
    }

    /// Asks one broker to write batches for partitions of a topic that it leads. The version, and the answer.
    pub(super) async fn produce(
        &self,
        at: &BrokerAddress,
        topic: &str,
        batches: &[(i32, &[u8])],
    ) -> Result<(i16, Vec<u8>), Failed> {
        // The broker gives up before we do, and says so.
        let timeout_ms = i32::try_from(self.timeout.as_millis() * 2 / 3).unwrap_or(i32::MAX);
        let body = wire::produce(topic, timeout_ms, batches);
        let is_zstd = batches.iter().any(|(_, batch)| super::record::is_zstd(batch));
        self.with_connection(at, async |connection| {
            let version = connection.version(wire::PRODUCE)?;
            if is_zstd && version < wire::PRODUCE_ZSTD {
                let why = "it takes no zstd: set the sink's compression to \"gzip\" or \"none\"";
                return Err(Failed::NotSent { why: why.to_owned(), after: None });
            }
            let answer = connection.exchange(wire::PRODUCE, version, &body).await?;
            Ok((version, answer))
        })
        .await
    }

    /// Does something with a connection to a broker, which is kept afterwards where nothing went wrong. What fails
    /// while connecting has sent nothing.
    async fn with_connection<T>(
        &self,
        at: &BrokerAddress,
        with: impl AsyncFnOnce(&mut Connection) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        self.wait_for(at).await?;
        let mut connection = match self.kept(at).await {
            Some(connection) => connection,
            None => self.open(at).await?,
        };
        match tokio::time::timeout(self.timeout, with(&mut connection)).await {
            Ok(Ok(done)) => {
                let mut state = self.state();
                let kept = state.kept.entry(at.clone()).or_default();
                if kept.len() < KEPT_MAX {
                    kept.push(connection);
                }
                Ok(done)
            }
            Ok(Err(failed)) => Err(failed),
            Err(_) => Err(Failed::Unanswered(format!(
                "no answer within {:?}: it is stalled or overloaded",
                self.timeout
            ))),
        }
    }

    async fn open(&self, at: &BrokerAddress) -> Result<Connection, Failed> {
        self.may_show_credentials()?;
        let opening = tokio::time::timeout(self.timeout, Connection::open(&self.way, at));
        let failed = match opening.await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(failed)) => failed,
            Err(_) => {
                return Err(Failed::NotReached(format!(
                    "it takes longer than {:?} to connect: check the network and security_protocol",
                    self.timeout
                )));
            }
        };
        Err(match failed {
            Failed::Refused { why, after } => {
                let wait = after.unwrap_or_default().max(REFUSED_WAIT);
                self.state().refused = Some((Instant::now() + wait, format!("{at}: {why}")));
                Failed::Refused { why, after: Some(wait) }
            }
            // What matters has not been sent yet.
            Failed::Closed(why) | Failed::Unanswered(why) => Failed::NotSent { why, after: None },
            unsent @ (Failed::NotSent { .. } | Failed::NotReached(_)) => unsent,
        })
    }

    /// Credentials that were refused are shown to nobody for a while.
    fn may_show_credentials(&self) -> Result<(), Failed> {
        let state = self.state();
        let Some((until, why)) = &state.refused else { return Ok(()) };
        let Some(wait) = until.checked_duration_since(Instant::now()) else { return Ok(()) };
        let why = format!("{why}; nobody is asked again for {} s", wait.as_secs());
        Err(Failed::Refused { why, after: Some(wait) })
    }

    async fn kept(&self, at: &BrokerAddress) -> Option<Connection> {
        loop {
            let mut connection = self.state().kept.get_mut(at)?.pop()?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Waits while a broker wants to be left alone, or says how long that will be where it is too long.
    async fn wait_for(&self, at: &BrokerAddress) -> Result<(), Failed> {
        let until = self.state().throttled.get(at).copied();
        let Some(wait) = until.and_then(|until| until.checked_duration_since(Instant::now())) else {
            return Ok(());
        };
        if wait > self.timeout {
            let why = format!("it throttles this producer for {} s more, by its quota", wait.as_secs());
            return Err(Failed::NotSent { why, after: Some(wait) });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// A broker asks to be left alone for so long.
    pub(super) fn throttle(&self, at: &BrokerAddress, milliseconds: i32) {
        let Ok(milliseconds @ 1..) = u64::try_from(milliseconds) else { return };
        let wait = Duration::from_millis(milliseconds).min(THROTTLE_MAX);
        self.state().throttled.insert(at.clone(), Instant::now() + wait);
    }

    /// A connection to whoever is there, for a test of the way.
    pub(super) async fn who(&self) -> Result<String, Trouble> {
        let mut first = None;
        for at in &self.bootstrap {
            let failed = match self.open(at).await {
                Ok(connection) => {
                    let how = connection.tls.map_or("in the clear".to_owned(), |tls| format!("under {tls}"));
                    connection.close().await;
                    return Ok(format!("{at} answers like a Kafka broker {how}"));
                }
                Err(failed) => failed,
            };
            let told = self.trouble_at(at, failed.why(), None);
            if matches!(failed, Failed::Refused { .. }) {
                return Err(told);
            }
            first.get_or_insert(told);
        }
        Err(first.expect("there is one broker at least"))
    }

    pub(super) async fn close(&self) {
        let kept = std::mem::take(&mut self.state().kept);
        for connection in kept.into_values().flatten() {
            drop(tokio::time::timeout(self.timeout, connection.close()).await);
        }
    }
}

/// The brokers by their numbers; none where one cannot be.
fn believable(brokers: Vec<(i32, String, i32)>) -> Option<HashMap<i32, BrokerAddress>> {
    if brokers.len() > BROKERS_MAX {
        return None;
    }
    let read = brokers.into_iter().map(|(number, host, port)| {
        let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
        let fits = !host.is_empty() && host.len() <= HOST_BYTES_MAX;
        fits.then(|| (number, BrokerAddress { host: host.into(), port }))
    });
    read.collect()
}

/// The leader of each partition; none where they are not numbered from 0 on.
fn leaders(
    mut partitions: Vec<PartitionMetadata>,
    brokers: &HashMap<i32, BrokerAddress>,
) -> Option<Vec<Option<BrokerAddress>>> {
    partitions.sort_unstable_by_key(|partition| partition.index);
    if partitions.is_empty() || partitions.len() > PARTITIONS_MAX {
        return None;
    }
    let read = partitions.into_iter().enumerate().map(|(place, partition)| {
        (usize::try_from(partition.index) == Ok(place)).then(|| brokers.get(&partition.leader).cloned())
    });
    read.collect()
}
