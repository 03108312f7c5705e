//! Brokers of one cluster, played strictly, for tests: they speak by `kafka-protocol`, which is generated from Kafka's
//! own definitions, hold every batch against the rules of idempotent producers, and misbehave on request.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, InitProducerIdRequest, InitProducerIdResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes, decode_request_header_from_buffer};
use kafka_protocol::records::{Compression, Record, RecordBatchDecoder};
use ring::{digest, hmac, pbkdf2};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a broker does wrong with one request to Produce.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It closes the connection before it has looked at the request.
    Closes,
    /// It writes, and the answer is lost.
    LosesAnswer,
    /// It writes, and never answers.
    Hangs,
    /// It answers with this error, and writes nothing.
    Error(i16),
    /// It writes, and answers with this error.
    ErrorAfter(i16),
    /// It writes, and wants to be left alone for so many milliseconds.
    Throttles(i32),
    /// It writes nothing, and sends these bytes.
    Says(Vec<u8>),
    /// It writes, and answers under another correlation id.
    AnswersAnother,
    /// It writes nothing, says that there was no error, and names no place in the log.
    NamesNoOffset,
    /// It writes nothing, and answers for another partition.
    NamesAnother,
}

/// A record in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) producer: i64,
}

/// What a user is known by.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) mechanism: &'static str,
    pub(super) name: &'static str,
    pub(super) secret: &'static str,
    /// Whether the broker proves that it knows the password.
    pub(super) is_impostor: bool,
}

pub(super) struct State {
    pub(super) logs: BTreeMap<(String, i32), Vec<Logged>>,
    /// Of each topic, so many partitions; a topic that is not there does not exist.
    pub(super) topics: HashMap<String, i32>,
    /// Which broker leads a partition, where it is not the first.
    pub(super) leaders: HashMap<i32, usize>,
    pub(super) faults: VecDeque<Fault>,
    /// A record with this in it is refused.
    pub(super) refuses: Option<String>,
    pub(super) batch_bytes_max: usize,
    pub(super) request_bytes_max: usize,
    pub(super) produce_versions: (i16, i16),
    pub(super) metadata_versions: (i16, i16),
    pub(super) init_versions: (i16, i16),
    pub(super) init_error: i16,
    pub(super) topic_error: i16,
    /// A topic that is not for this user.
    pub(super) forbidden: Option<String>,
    pub(super) may_write: bool,
    pub(super) user: Option<User>,
    pub(super) session_ms: i64,
    /// A connection on which nothing came for so long is closed.
    pub(super) idle_max: Duration,
    /// How many requests to Produce came, how many records were in them, and how large they were.
    pub(super) produced: Vec<(usize, usize)>,
    pub(super) compressions: Vec<Compression>,
    pub(super) connections: usize,
    pub(super) clients: Vec<String>,
    pub(super) next_producer: i64,
    /// What is known of each producer in each partition.
    sequences: HashMap<(String, i32, i64), Sequences>,
}

/// The next number, and the last batches: first number, count, and place in the log.
type Sequences = (i32, VecDeque<(i32, i32, i64)>);

impl State {
    fn new() -> Self {
        Self {
            logs: BTreeMap::new(),
            topics: HashMap::from([("alerts".to_owned(), 1)]),
            leaders: HashMap::new(),
            faults: VecDeque::new(),
            refuses: None,
            batch_bytes_max: usize::MAX,
            request_bytes_max: usize::MAX,
            produce_versions: (0, 11),
            metadata_versions: (0, 12),
            init_versions: (0, 5),
            init_error: 0,
            topic_error: 0,
            forbidden: None,
            may_write: true,
            user: None,
            session_ms: 0,
            idle_max: Duration::MAX,
            produced: Vec::new(),
            compressions: Vec::new(),
            connections: 0,
            clients: Vec::new(),
            next_producer: 1000,
            sequences: HashMap::new(),
        }
    }

    /// The brokers forget every producer, as after an unclean election.
    pub(super) fn forget_producers(&mut self) {
        self.sequences.clear();
    }
}

pub(super) struct Brokers {
    pub(super) addresses: Vec<String>,
    pub(super) state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Brokers {
    pub(super) async fn start(count: usize) -> Self {
        Self::start_with(count, None, "127.0.0.1").await
    }

    pub(super) async fn start_with(count: usize, tls: Option<TlsAcceptor>, host: &'static str) -> Self {
        let (mut listeners, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            ports.push(listener.local_addr().expect("an address").port());
            listeners.push(listener);
        }
        let state = Arc::new(Mutex::new(State::new()));
        let mut tasks = JoinSet::new();
        for (number, listener) in listeners.into_iter().enumerate() {
            let (state, tls, ports) = (Arc::clone(&state), tls.clone(), ports.clone());
            tasks.spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let tls = tls.clone();
                    state.lock().expect("a lock").connections += 1;
                    let broker = Broker {
                        number,
                        host,
                        ports: ports.clone(),
                        state: Arc::clone(&state),
                        proven: None,
                    };
                    connections.spawn(async move {
                        match tls {
                            None => broker.serve(&mut { stream }).await,
                            Some(tls) => match tls.accept(stream).await {
                                Ok(mut stream) => broker.serve(&mut stream).await,
                                Err(_) => None,
                            },
                        };
                    });
                }
            });
        }
        let addresses = ports.iter().map(|port| format!("{host}:{port}")).collect();
        Self { addresses, state, _tasks: tasks }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("a lock"));
    }

    pub(super) fn get<T>(&self, of: impl FnOnce(&State) -> T) -> T {
        of(&self.state.lock().expect("a lock"))
    }

    /// The values of a topic's records, partition by partition.
    pub(super) fn values(&self, topic: &str) -> Vec<String> {
        self.get(|state| {
            let logs = state.logs.iter().filter(|((name, _), _)| name == topic);
            logs.flat_map(|(_, log)| log.iter().map(|record| record.value.clone())).collect()
        })
    }
}

struct Broker {
    number: usize,
    host: &'static str,
    ports: Vec<u16>,
    state: Arc<Mutex<State>>,
    proven: Option<Proving>,
}

enum Proving {
    Mechanism,
    Scram { said: String, key: Vec<u8>, server_key: Vec<u8>, hash: &'static str },
    Done,
}

impl Broker {
    async fn serve(mut self, stream: &mut dyn Wire) -> Option<()> {
        loop {
            let idle_max = self.state.lock().expect("a lock").idle_max;
            let length = tokio::time::timeout(idle_max, stream.read_i32()).await.ok()?.ok()?;
            if length as usize + 4 > self.state.lock().expect("a lock").request_bytes_max {
                return None;
            }
            let mut request = vec![0; usize::try_from(length).ok()?];
            stream.read_exact(&mut request).await.ok()?;
            let mut request = Bytes::from(request);
            let header = decode_request_header_from_buffer(&mut request).expect("a head");
            let key = ApiKey::try_from(header.request_api_key).expect("a request that there is");
            let head_version = key.response_header_version(header.request_api_version);
            let answer = self.answer(&header, request).await?;
            let mut whole = BytesMut::new();
            let (correlation, body) = match answer {
                Answer::Raw(bytes) => {
                    stream.write_all(&bytes).await.ok()?;
                    continue;
                }
                Answer::Other(body) => (header.correlation_id + 1, body),
                Answer::Body(body) => (header.correlation_id, body),
            };
            let head = ResponseHeader::default().with_correlation_id(correlation);
            let mut head_bytes = BytesMut::new();
            head.encode(&mut head_bytes, head_version).expect("encoded");
            whole.put_i32(i32::try_from(body.len() + head_bytes.len()).expect("small"));
            whole.extend_from_slice(&head_bytes);
            whole.extend_from_slice(&body);
            stream.write_all(&whole).await.ok()?;
        }
    }

    async fn answer(&mut self, header: &RequestHeader, mut body: Bytes) -> Option<Answer> {
        let version = header.request_api_version;
        let client = header.client_id.as_ref().map(|id| id.to_string()).unwrap_or_default();
        let key = ApiKey::try_from(header.request_api_key).expect("a request that there is");
        {
            let mut state = self.state.lock().expect("a lock");
            state.clients.push(client);
            let is_open =
                matches!(key, ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate);
            assert!(
                is_open || state.user.is_none() || matches!(self.proven, Some(Proving::Done)),
                "nothing is asked before it is known who asks"
            );
        }
        let answer = match key {
            ApiKey::ApiVersions => self.api_versions(),
            ApiKey::SaslHandshake => {
                let asked = SaslHandshakeRequest::decode(&mut body, version).expect("a request");
                self.handshake(&asked)
            }
            ApiKey::SaslAuthenticate => {
                let asked = SaslAuthenticateRequest::decode(&mut body, version).expect("a request");
                self.authenticate(version, &asked.auth_bytes)
            }
            ApiKey::Metadata => {
                let asked = MetadataRequest::decode(&mut body, version).expect("a request");
                self.metadata(version, &asked)
            }
            ApiKey::InitProducerId => {
                let asked = InitProducerIdRequest::decode(&mut body, version).expect("a request");
                assert_eq!(asked.transactional_id, None);
                let mut state = self.state.lock().expect("a lock");
                state.next_producer += 1;
                let answer = InitProducerIdResponse::default()
                    .with_error_code(state.init_error)
                    .with_producer_id(state.next_producer.into())
                    .with_producer_epoch(0);
                encoded(&answer, version)
            }
            ApiKey::Produce => {
                let bytes = body.len();
                let asked = ProduceRequest::decode(&mut body, version).expect("a request");
                return self.produce(version, asked, bytes).await;
            }
            other => panic!("{other:?} is not for producers"),
        };
        assert!(body.is_empty(), "{key:?} has {} bytes too many", body.len());
        Some(Answer::Body(answer))
    }

    fn api_versions(&self) -> Vec<u8> {
        let state = self.state.lock().expect("a lock");
        let of = |key: ApiKey, (least, most)| {
            ApiVersion::default().with_api_key(key as i16).with_min_version(least).with_max_version(most)
        };
        let keys = vec![
            of(ApiKey::Produce, state.produce_versions),
            of(ApiKey::Metadata, state.metadata_versions),
            of(ApiKey::SaslHandshake, (0, 1)),
            of(ApiKey::ApiVersions, (0, 4)),
            of(ApiKey::InitProducerId, state.init_versions),
            of(ApiKey::SaslAuthenticate, (0, 2)),
        ];
        encoded(&ApiVersionsResponse::default().with_api_keys(keys), 0)
    }

    fn metadata(&self, version: i16, asked: &MetadataRequest) -> Vec<u8> {
        let state = self.state.lock().expect("a lock");
        assert!(!asked.allow_auto_topic_creation, "nobody makes topics by asking for them");
        let brokers = self.ports.iter().enumerate().map(|(number, port)| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(number as i32))
                .with_host(StrBytes::from_static_str(self.host))
                .with_port(i32::from(*port))
        });
        let topics = asked.topics.as_ref().expect("topics are named").iter().map(|topic| {
            let name = topic.name.clone().expect("a name");
            let of = MetadataResponseTopic::default().with_name(Some(name.clone()));
            if state.forbidden.as_deref() == Some(name.0.as_str()) {
                return of.with_error_code(29);
            }
            let Some(count) = state.topics.get(name.0.as_str()).filter(|_| state.topic_error == 0) else {
                let error = if state.topic_error == 0 { 3 } else { state.topic_error };
                return of.with_error_code(error);
            };
            let partitions = (0..*count).map(|index| {
                let leader = state.leaders.get(&index).copied().unwrap_or_default();
                let leader = if leader == usize::MAX { -1 } else { leader as i32 };
                MetadataResponsePartition::default()
                    .with_partition_index(index)
                    .with_leader_id(BrokerId(leader))
                    .with_replica_nodes(vec![BrokerId(0), BrokerId(1), BrokerId(2)])
                    .with_isr_nodes(vec![BrokerId(0), BrokerId(1)])
            });
            // As a broker may give them in any order.
            let of = of.with_partitions(partitions.rev().collect());
            if version >= 8 {
                return of.with_topic_authorized_operations(if state.may_write {
                    1 << 4 | 1 << 8
                } else {
                    1 << 8
                });
            }
            of
        });
        let answer =
            MetadataResponse::default().with_brokers(brokers.collect()).with_topics(topics.collect());
        encoded(&answer, version)
    }

    async fn produce(&self, version: i16, asked: ProduceRequest, bytes: usize) -> Option<Answer> {
        assert_eq!((asked.acks, asked.transactional_id.as_ref()), (-1, None));
        assert!(asked.timeout_ms > 0);
        let fault = {
            let mut state = self.state.lock().expect("a lock");
            state.produced.push((0, bytes));
            state.faults.pop_front().unwrap_or(Fault::None)
        };
        let writes = match fault {
            Fault::Closes => return None,
            Fault::Says(bytes) => return Some(Answer::Raw(bytes)),
            Fault::Error(_) | Fault::NamesNoOffset | Fault::NamesAnother => false,
            _ => true,
        };
        let mut topics = Vec::new();
        for topic in asked.topic_data {
            let mut partitions = Vec::new();
            for data in topic.partition_data {
                let mut answered =
                    PartitionProduceResponse::default().with_index(data.index).with_base_offset(-1);
                let mut batch = data.records.expect("records");
                if writes {
                    answered = self.append(version, topic.name.0.as_str(), answered, &mut batch);
                }
                match fault {
                    Fault::Error(error) => answered = answered.with_error_code(error),
                    Fault::ErrorAfter(error) => {
                        answered = answered.with_error_code(error).with_base_offset(-1)
                    }
                    Fault::NamesAnother => answered = answered.with_index(data.index + 1).with_base_offset(5),
                    _ => {}
                }
                partitions.push(answered);
            }
            let answered =
                TopicProduceResponse::default().with_name(topic.name).with_partition_responses(partitions);
            topics.push(answered);
        }
        let mut answer = ProduceResponse::default().with_responses(topics);
        if let Fault::Throttles(ms) = fault {
            answer = answer.with_throttle_time_ms(ms);
        }
        let body = encoded(&answer, version);
        match fault {
            Fault::LosesAnswer => None,
            Fault::Hangs => std::future::pending().await,
            Fault::AnswersAnother => Some(Answer::Other(body)),
            _ => Some(Answer::Body(body)),
        }
    }

    /// Appends a batch, by the rules.
    fn append(
        &self,
        version: i16,
        topic: &str,
        answered: PartitionProduceResponse,
        batch: &mut Bytes,
    ) -> PartitionProduceResponse {
        let mut state = self.state.lock().expect("a lock");
        let index = answered.index;
        let leads = state.leaders.get(&index).copied().unwrap_or_default() == self.number;
        let is_there = state.topics.get(topic).is_some_and(|count| index < *count);
        if !is_there {
            return answered.with_error_code(3);
        }
        if !leads {
            return answered.with_error_code(6);
        }
        if batch.len() > state.batch_bytes_max {
            return answered.with_error_code(10);
        }
        let read = RecordBatchDecoder::decode_with_custom_compression(batch, Some(decompressed));
        let read = read.expect("a batch with the right check sum");
        assert!(batch.is_empty(), "one batch for each partition");
        state.compressions.push(read.compression);
        if let Some(last) = state.produced.last_mut() {
            last.0 += read.records.len();
        }
        let first = read.records.first().expect("no empty batch");
        let (producer, sequence, count) = (first.producer_id, first.sequence, read.records.len() as i32);
        if let Some(refuses) = &state.refuses {
            let bad =
                read.records.iter().enumerate().filter(|(_, record)| text(&record.value).contains(refuses));
            let bad: Vec<i32> = bad.map(|(place, _)| place as i32).collect();
            if !bad.is_empty() {
                let answered = answered.with_error_code(87);
                if version < 8 {
                    return answered;
                }
                let errors = bad.into_iter().map(|place| {
                    BatchIndexAndErrorMessage::default()
                        .with_batch_index(place)
                        .with_batch_index_error_message(Some(StrBytes::from_static_str("no \u{1b} schema")))
                });
                return answered.with_record_errors(errors.collect());
            }
        }
        assert!((1000..=state.next_producer).contains(&producer), "a number that was given out");
        let offset = state.logs.get(&(topic.to_owned(), index)).map_or(0, Vec::len) as i64;
        let known = state.sequences.contains_key(&(topic.to_owned(), index, producer));
        if !known && sequence != 0 {
            return answered.with_error_code(59);
        }
        let (next, batches) = state.sequences.entry((topic.to_owned(), index, producer)).or_default();
        if let Some((_, _, offset)) = batches.iter().find(|(from, of, _)| (*from, *of) == (sequence, count)) {
            return answered.with_base_offset(*offset);
        }
        if sequence < *next {
            return answered.with_error_code(46);
        }
        if sequence > *next {
            return answered.with_error_code(45);
        }
        *next = sequence + count;
        batches.push_back((sequence, count, offset));
        if batches.len() > 5 {
            batches.pop_front();
        }
        let log = state.logs.entry((topic.to_owned(), index)).or_default();
        log.extend(read.records.iter().map(logged));
        answered.with_base_offset(offset)
    }

    fn handshake(&mut self, asked: &SaslHandshakeRequest) -> Vec<u8> {
        let state = self.state.lock().expect("a lock");
        let user = state.user.as_ref().expect("nobody wants to be proven");
        let takes = vec![StrBytes::from_static_str(user.mechanism)];
        let is_taken = asked.mechanism.as_str() == user.mechanism;
        self.proven = is_taken.then_some(Proving::Mechanism);
        let error = if is_taken { 0 } else { 33 };
        encoded(&SaslHandshakeResponse::default().with_error_code(error).with_mechanisms(takes), 1)
    }

    fn authenticate(&mut self, version: i16, said: &[u8]) -> Vec<u8> {
        let (user, session) = {
            let state = self.state.lock().expect("a lock");
            (state.user.clone().expect("a user"), state.session_ms)
        };
        let answer = SaslAuthenticateResponse::default().with_session_lifetime_ms(session);
        let (is_right, says) = match (self.proven.take(), user.mechanism) {
            (Some(Proving::Mechanism), "PLAIN") => {
                let is_right = said == format!("\0{}\0{}", user.name, user.secret).as_bytes();
                self.proven = is_right.then_some(Proving::Done);
                (is_right, Vec::new())
            }
            (Some(Proving::Mechanism), "OAUTHBEARER") => {
                let is_right = said == format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", user.secret).as_bytes();
                self.proven = is_right.then_some(Proving::Done);
                (is_right, Vec::new())
            }
            (Some(Proving::Mechanism), hash) => {
                let (proving, says) = scram_first(hash, &user, said);
                self.proven = Some(proving);
                (true, says)
            }
            (Some(Proving::Scram { said: before, key, server_key, hash }), _) => {
                let (is_right, says) = scram_last(hash, &before, (&key, &server_key), said);
                self.proven = is_right.then_some(Proving::Done);
                (is_right, if user.is_impostor { b"v=AAAA".to_vec() } else { says })
            }
            _ => (false, Vec::new()),
        };
        let answer = match is_right {
            true => answer.with_auth_bytes(says.into()),
            false => {
                let message = StrBytes::from_static_str("Authentication failed");
                answer.with_error_code(58).with_error_message(Some(message))
            }
        };
        encoded(&answer, version)
    }
}

enum Answer {
    Body(Vec<u8>),
    /// Under another correlation id.
    Other(Vec<u8>),
    Raw(Vec<u8>),
}

fn encoded<T: Encodable>(message: &T, version: i16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).expect("encoded");
    bytes.to_vec()
}

fn text(bytes: &Option<Bytes>) -> String {
    String::from_utf8(bytes.as_ref().expect("bytes").to_vec()).expect("UTF-8")
}

fn logged(record: &Record) -> Logged {
    let headers = record.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    Logged {
        key: text(&record.key),
        value: text(&record.value),
        headers: headers.collect(),
        producer: record.producer_id,
    }
}

pub(super) fn decompressed(compressed: &mut Bytes, compression: Compression) -> anyhow::Result<Bytes> {
    Ok(match compression {
        Compression::None => compressed.clone(),
        Compression::Gzip => {
            let mut read = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&compressed[..]), &mut read)?;
            read.into()
        }
        _ => zstd::decode_all(&compressed[..])?.into(),
    })
}

fn algorithms(hash: &str) -> (hmac::Algorithm, pbkdf2::Algorithm, &'static digest::Algorithm, usize) {
    match hash {
        "SCRAM-SHA-256" => (hmac::HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA256, &digest::SHA256, 32),
        _ => (hmac::HMAC_SHA512, pbkdf2::PBKDF2_HMAC_SHA512, &digest::SHA512, 64),
    }
}

fn scram_first(hash: &'static str, user: &User, said: &[u8]) -> (Proving, Vec<u8>) {
    let said = std::str::from_utf8(said).expect("a text").strip_prefix("n,,").expect("no channel binding");
    let nonce = said.split_once(",r=").expect("a nonce").1;
    let (of_hmac, of_pbkdf2, of_digest, bytes) = algorithms(hash);
    let first = format!("r={nonce}-and-ours,s={},i=4096", STANDARD.encode(b"salt"));
    let mut salted = vec![0; bytes];
    let rounds = std::num::NonZeroU32::new(4096).expect("not none");
    pbkdf2::derive(of_pbkdf2, rounds, b"salt", user.secret.as_bytes(), &mut salted);
    let keyed = |name: &[u8]| hmac::sign(&hmac::Key::new(of_hmac, &salted), name).as_ref().to_vec();
    let key = digest::digest(of_digest, &keyed(b"Client Key")).as_ref().to_vec();
    let proving =
        Proving::Scram { said: format!("{said},{first}"), key, server_key: keyed(b"Server Key"), hash };
    (proving, first.into_bytes())
}

fn scram_last(hash: &str, before: &str, (stored, server): (&[u8], &[u8]), said: &[u8]) -> (bool, Vec<u8>) {
    let said = std::str::from_utf8(said).expect("a text");
    let (bare, proof) = said.rsplit_once(",p=").expect("a proof");
    let whole = format!("{before},{bare}");
    let (of_hmac, _, of_digest, _) = algorithms(hash);
    let signature = hmac::sign(&hmac::Key::new(of_hmac, stored), whole.as_bytes());
    let proof = STANDARD.decode(proof).expect("base64");
    let key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    let is_right = digest::digest(of_digest, &key).as_ref() == stored;
    let says = hmac::sign(&hmac::Key::new(of_hmac, server), whole.as_bytes());
    (is_right, format!("v={}", STANDARD.encode(says.as_ref())).into_bytes())
}
