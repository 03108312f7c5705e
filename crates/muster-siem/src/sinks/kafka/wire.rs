//! Kafka's requests and answers as bytes: those of them that a producer needs, by hand.
//!
//! An answer comes from a stranger. Nothing is allocated for a length before as many bytes are there, which is why the
//! answers are not read by `kafka-protocol`, whose arrays are: the tests hold what is written and read here against
//! that crate, which is generated from Kafka's own definitions.
//!
//! Versions before the "flexible" ones are spoken, which every broker since Kafka 1.0 takes, and Event Hubs; of
//! InitProducerId also later ones, since some brokers take no others (tansu 0.6 is one).
//!
//! Source: Apache Kafka, "Kafka protocol guide"; `clients/src/main/resources/common/message`.

use std::collections::HashMap;

/// A request, and the versions of it that are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Api {
    pub(super) key: i16,
    pub(super) name: &'static str,
    pub(super) least: i16,
    pub(super) most: i16,
    /// From this version on, it is "flexible": lengths are short, and tagged fields may follow.
    pub(super) flexible: i16,
}

pub(super) const PRODUCE: Api = Api { key: 0, name: "Produce", least: 3, most: 8, flexible: 9 };
/// From this version on, records may be compressed by zstd.
pub(super) const PRODUCE_ZSTD: i16 = 7;
pub(super) const METADATA: Api = Api { key: 3, name: "Metadata", least: 4, most: 8, flexible: 9 };
pub(super) const SASL_HANDSHAKE: Api =
    Api { key: 17, name: "SaslHandshake", least: 1, most: 1, flexible: i16::MAX };
pub(super) const API_VERSIONS: Api = Api { key: 18, name: "ApiVersions", least: 0, most: 0, flexible: 3 };
pub(super) const INIT_PRODUCER_ID: Api =
    Api { key: 22, name: "InitProducerId", least: 0, most: 4, flexible: 2 };
pub(super) const SASL_AUTHENTICATE: Api =
    Api { key: 36, name: "SaslAuthenticate", least: 0, most: 1, flexible: 2 };

/// `WRITE` among the operations that an answer to Metadata says are allowed.
const OPERATION_WRITE: u32 = 4;

/// What cannot be read as what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an answer that cannot be read")]
pub(super) struct Malformed;

/// Reads an answer from its beginning.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn i16(&mut self) -> Result<i16, Malformed> {
        self.fixed().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.fixed().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        self.fixed().map(i64::from_be_bytes)
    }

    fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.take(count).map(drop)
    }

    /// A text; `None` where it is null.
    fn nullable(&mut self) -> Result<Option<&'a str>, Malformed> {
        let length = self.i16()?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| Malformed)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        self.nullable()?.ok_or(Malformed)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.i32()?;
        self.take(usize::try_from(length).map_err(|_| Malformed)?)
    }

    /// How many elements follow, each of at least `least` bytes; none where the array is null.
    fn elements(&mut self, least: usize) -> Result<usize, Malformed> {
        let Ok(count) = usize::try_from(self.i32()?) else { return Ok(0) };
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.0.len() => Ok(count),
            _ => Err(Malformed),
        }
    }

    fn array<T>(
        &mut self,
        least: usize,
        element: impl Fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        (0..self.elements(least)?).map(|_| element(self)).collect()
    }

    /// An array of numbers of four bytes that nobody asks about.
    fn skip_numbers(&mut self) -> Result<(), Malformed> {
        let count = self.elements(4)?;
        self.skip(4 * count)
    }

    /// A length in flexible versions.
    fn short(&mut self) -> Result<usize, Malformed> {
        let mut number = 0_usize;
        for place in 0..4 {
            let [byte] = self.fixed()?;
            number |= usize::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// Fields that nobody here asks about.
    fn tags(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.short()? {
            self.short()?;
            let bytes = self.short()?;
            self.skip(bytes)?;
        }
        Ok(())
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    // Names, addresses and the like, bounded where they come from.
    let text = text.get(..i16::MAX as usize).unwrap_or(text);
    into.extend_from_slice(&(text.len() as u16).to_be_bytes());
    into.extend_from_slice(text.as_bytes());
}

fn put_i32(into: &mut Vec<u8>, number: i32) {
    into.extend_from_slice(&number.to_be_bytes());
}

/// A length as Kafka writes it. Requests are bounded far below what it can say.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// What stands before the body of a request: its length and its head.
pub(super) fn head(api: Api, version: i16, correlation: i32, client: &str, body: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(client.len() + 16);
    let tags: &[u8] = if version >= api.flexible { &[0] } else { &[] };
    put_i32(&mut head, length(10 + client.len() + tags.len() + body.len()));
    head.extend_from_slice(&api.key.to_be_bytes());
    head.extend_from_slice(&version.to_be_bytes());
    put_i32(&mut head, correlation);
    put_text(&mut head, client);
    head.extend_from_slice(tags);
    head
}

/// The body of an answer, behind its head and the correlation id.
pub(super) fn body(api: Api, version: i16, answer: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader(answer);
    if version >= api.flexible {
        reader.tags()?;
    }
    Ok(reader.0)
}

/// Which versions a broker speaks, by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Versions(HashMap<i16, (i16, i16)>);

impl Versions {
    /// What a broker says of itself; its error where it has one.
    pub(super) fn read(answer: &[u8]) -> Result<(i16, Self), Malformed> {
        let mut reader = Reader(answer);
        let error = reader.i16()?;
        let spoken = reader.array(6, |reader| Ok((reader.i16()?, (reader.i16()?, reader.i16()?))))?;
        Ok((error, Self(spoken.into_iter().collect())))
    }

    /// The newest version that both speak.
    pub(super) fn newest(&self, api: Api) -> Option<i16> {
        let (least, most) = *self.0.get(&api.key)?;
        let newest = most.min(api.most);
        (newest >= least.max(api.least)).then_some(newest)
    }
}

pub(super) fn sasl_handshake(mechanism: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, mechanism);
    body
}

/// The error, and the mechanisms that the broker takes.
pub(super) fn read_sasl_handshake(answer: &[u8]) -> Result<(i16, Vec<String>), Malformed> {
    let mut reader = Reader(answer);
    let error = reader.i16()?;
    let mechanisms = reader.array(2, |reader| reader.text().map(str::to_owned))?;
    reader.end()?;
    Ok((error, mechanisms))
}

pub(super) fn sasl_authenticate(token: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(token.len() + 4);
    put_i32(&mut body, length(token.len()));
    body.extend_from_slice(token);
    body
}

/// What a broker says to a step of SASL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SaslAnswer {
    pub(super) error: i16,
    pub(super) message: Option<String>,
    pub(super) token: Vec<u8>,
    /// How long the session lives, in milliseconds; 0 where it does not end.
    pub(super) lifetime_ms: i64,
}

pub(super) fn read_sasl_authenticate(version: i16, answer: &[u8]) -> Result<SaslAnswer, Malformed> {
    let mut reader = Reader(answer);
    let error = reader.i16()?;
    let message = reader.nullable()?.map(str::to_owned);
    let token = reader.bytes()?.to_vec();
    let lifetime_ms = if version >= 1 { reader.i64()? } else { 0 };
    reader.end()?;
    Ok(SaslAnswer { error, message, token, lifetime_ms })
}

/// Asks about one topic, which is not to be made by asking.
pub(super) fn metadata(version: i16, topic: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_i32(&mut body, 1);
    put_text(&mut body, topic);
    // allow_auto_topic_creation, include_cluster_authorized_operations, include_topic_authorized_operations
    body.push(0);
    if version >= 8 {
        body.extend_from_slice(&[0, 1]);
    }
    body
}

/// What a broker says of the cluster and of one topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) throttle_ms: i32,
    /// Number, host and port of each broker.
    pub(super) brokers: Vec<(i32, String, i32)>,
    pub(super) topics: Vec<TopicMetadata>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct TopicMetadata {
    pub(super) error: i16,
    pub(super) name: String,
    pub(super) partitions: Vec<PartitionMetadata>,
    /// Whether records may be written to it, where the broker says so.
    pub(super) may_write: Option<bool>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartitionMetadata {
    pub(super) error: i16,
    pub(super) index: i32,
    /// The number of the broker that leads it; -1 where none does.
    pub(super) leader: i32,
}

pub(super) fn read_metadata(version: i16, answer: &[u8]) -> Result<Metadata, Malformed> {
    let mut reader = Reader(answer);
    let throttle_ms = reader.i32()?;
    let brokers = reader.array(12, |reader| {
        let broker = (reader.i32()?, reader.text()?.to_owned(), reader.i32()?);
        reader.nullable()?;
        Ok(broker)
    })?;
    reader.nullable()?;
    reader.i32()?;
    let topics = reader.array(9, |reader| {
        let (error, name) = (reader.i16()?, reader.text()?.to_owned());
        reader.skip(1)?;
        let partitions = reader.array(18, |reader| {
            let partition =
                PartitionMetadata { error: reader.i16()?, index: reader.i32()?, leader: reader.i32()? };
            if version >= 7 {
                reader.i32()?;
            }
            // Replicas, those in sync, those offline.
            for _ in 0..if version >= 5 { 3 } else { 2 } {
                reader.skip_numbers()?;
            }
            Ok(partition)
        })?;
        let operations = if version >= 8 { reader.i32()? } else { i32::MIN };
        let may_write =
            (operations != i32::MIN).then_some(operations.cast_unsigned() & (1 << OPERATION_WRITE) != 0);
        Ok(TopicMetadata { error, name, partitions, may_write })
    })?;
    if version >= 8 {
        reader.i32()?;
    }
    reader.end()?;
    Ok(Metadata { throttle_ms, brokers, topics })
}

/// Asks for a producer's number: one that is in no transaction.
pub(super) fn init_producer_id(version: i16) -> Vec<u8> {
    // transactional_id: none; transaction_timeout_ms, which means nothing then
    let mut body = if version >= 2 { vec![0] } else { (-1_i16).to_be_bytes().to_vec() };
    put_i32(&mut body, i32::MAX);
    if version >= 3 {
        // producer_id and producer_epoch: there is none yet.
        body.extend_from_slice(&(-1_i64).to_be_bytes());
        body.extend_from_slice(&(-1_i16).to_be_bytes());
    }
    if version >= 2 {
        body.push(0);
    }
    body
}

/// What a broker says to who wants to be a producer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewProducer {
    pub(super) throttle_ms: i32,
    pub(super) error: i16,
    pub(super) id: i64,
    pub(super) epoch: i16,
}

pub(super) fn read_init_producer_id(version: i16, answer: &[u8]) -> Result<NewProducer, Malformed> {
    let mut reader = Reader(answer);
    let (throttle_ms, error) = (reader.i32()?, reader.i16()?);
    let (id, epoch) = (reader.i64()?, reader.i16()?);
    if version >= 2 {
        reader.tags()?;
    }
    reader.end()?;
    Ok(NewProducer { throttle_ms, error, id, epoch })
}

/// Batches of records for partitions of one topic, to be on all replicas in sync before they are answered for.
pub(super) fn produce(topic: &str, timeout_ms: i32, batches: &[(i32, &[u8])]) -> Vec<u8> {
    let bytes: usize = batches.iter().map(|(_, batch)| batch.len() + 8).sum();
    let mut body = Vec::with_capacity(bytes + topic.len() + 32);
    // transactional_id, and acks = all
    body.extend_from_slice(&(-1_i16).to_be_bytes());
    body.extend_from_slice(&(-1_i16).to_be_bytes());
    put_i32(&mut body, timeout_ms);
    put_i32(&mut body, 1);
    put_text(&mut body, topic);
    put_i32(&mut body, length(batches.len()));
    for (partition, batch) in batches {
        put_i32(&mut body, *partition);
        put_i32(&mut body, length(batch.len()));
        body.extend_from_slice(batch);
    }
    body
}

/// What a broker says to a request to Produce.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Produced {
    pub(super) topics: Vec<(String, Vec<PartitionProduced>)>,
    pub(super) throttle_ms: i32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartitionProduced {
    pub(super) index: i32,
    pub(super) error: i16,
    pub(super) base_offset: i64,
    /// Which records of the batch were the reason, and what is wrong with each.
    pub(super) records: Vec<(i32, Option<String>)>,
    pub(super) message: Option<String>,
}

pub(super) fn read_produced(version: i16, answer: &[u8]) -> Result<Produced, Malformed> {
    let mut reader = Reader(answer);
    let topics = reader.array(6, |reader| {
        let name = reader.text()?.to_owned();
        let partitions = reader.array(22, |reader| {
            let (index, error, base_offset) = (reader.i32()?, reader.i16()?, reader.i64()?);
            // When it was appended, and where the log starts.
            reader.skip(if version >= 5 { 16 } else { 8 })?;
            let (mut records, mut message) = (Vec::new(), None);
            if version >= 8 {
                records =
                    reader.array(6, |reader| Ok((reader.i32()?, reader.nullable()?.map(str::to_owned))))?;
                message = reader.nullable()?.map(str::to_owned);
            }
            Ok(PartitionProduced { index, error, base_offset, records, message })
        })?;
        Ok((name, partitions))
    })?;
    let throttle_ms = reader.i32()?;
    reader.end()?;
    Ok(Produced { topics, throttle_ms })
}
