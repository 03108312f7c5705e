//! Records as Kafka keeps them: which partition a key belongs to, and a batch with its producer's number and sequence.
//!
//! Source: Apache Kafka, "Message format" (record batch, version 2); `Utils.murmur2` and `BuiltInPartitioner` of its
//! Java client.

use std::io::Write;

use super::settings::Compression;

/// Bytes of a batch before its records.
const HEAD_BYTES: usize = 61;
/// Where in a batch the check sum begins to count.
const CHECKED_FROM: usize = 21;
/// What a record adds to its key, value and headers at most: lengths, attributes, its place.
pub(super) const RECORD_BYTES: usize = 32;
const ZSTD_LEVEL: i32 = 3;

/// One producer, as brokers know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProducerId {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// The partition of a key among so many, as Java's clients choose it.
pub(super) fn partition(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions.max(1)
}

/// MurmurHash2 as Kafka's Java client has it.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut word = word.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        word = word.wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// The records of a batch, while they are put together.
#[derive(Debug, Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    count: i32,
}

impl Records {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), count: 0 }
    }

    /// Appends a record.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], headers: &[(&str, &[u8])]) {
        let mut body = varint_bytes(self.count) + 2;
        body += varint_bytes(length(key)) + key.len() + varint_bytes(length(value)) + value.len();
        body += varint_bytes(headers.len() as i32);
        for (name, value) in headers {
            body += varint_bytes(length(name.as_bytes())) + name.len();
            body += varint_bytes(length(value)) + value.len();
        }
        put_varint(&mut self.bytes, body as i32);
        // No attributes, and the time of the batch.
        self.bytes.extend_from_slice(&[0, 0]);
        put_varint(&mut self.bytes, self.count);
        put_bytes(&mut self.bytes, key);
        put_bytes(&mut self.bytes, value);
        put_varint(&mut self.bytes, headers.len() as i32);
        for (name, value) in headers {
            put_bytes(&mut self.bytes, name.as_bytes());
            put_bytes(&mut self.bytes, value);
        }
        self.count += 1;
    }

    /// How many there are.
    pub(super) fn count(&self) -> i32 {
        self.count
    }

    /// The batch of one producer from `sequence` on. Compressing takes milliseconds.
    pub(super) fn into_batch(
        self,
        compression: Compression,
        producer: ProducerId,
        sequence: i32,
        at_ms: i64,
    ) -> Vec<u8> {
        let (attributes, records) = compressed(compression, self.bytes);
        let mut batch = Vec::with_capacity(HEAD_BYTES + records.len());
        batch.extend_from_slice(&0_i64.to_be_bytes());
        batch.extend_from_slice(&((HEAD_BYTES - 12 + records.len()) as u32).to_be_bytes());
        // The leader's epoch is the broker's to say; then the version, and the check sum's place.
        batch.extend_from_slice(&(-1_i32).to_be_bytes());
        batch.extend_from_slice(&[2, 0, 0, 0, 0]);
        batch.extend_from_slice(&attributes.to_be_bytes());
        batch.extend_from_slice(&(self.count - 1).to_be_bytes());
        batch.extend_from_slice(&at_ms.to_be_bytes());
        batch.extend_from_slice(&at_ms.to_be_bytes());
        batch.extend_from_slice(&producer.id.to_be_bytes());
        batch.extend_from_slice(&producer.epoch.to_be_bytes());
        batch.extend_from_slice(&sequence.to_be_bytes());
        batch.extend_from_slice(&self.count.to_be_bytes());
        batch.extend_from_slice(&records);
        let sum = crc32c::crc32c(&batch[CHECKED_FROM..]);
        batch[CHECKED_FROM - 4..CHECKED_FROM].copy_from_slice(&sum.to_be_bytes());
        batch
    }
}

/// The sequence after `count` records from `sequence` on: it begins anew after the largest number there is.
pub(super) fn next_sequence(sequence: i32, count: i32) -> i32 {
    let next = i64::from(sequence) + i64::from(count);
    (next & i64::from(i32::MAX)) as i32
}

/// Whether the records of a batch are compressed by zstd.
pub(super) fn is_zstd(batch: &[u8]) -> bool {
    batch.get(CHECKED_FROM + 1).is_some_and(|attributes| attributes & 7 == 4)
}

/// The records as they go into a batch, with the batch's attributes.
fn compressed(compression: Compression, records: Vec<u8>) -> (i16, Vec<u8>) {
    match compression {
        Compression::None => (0, records),
        Compression::Gzip => {
            let memory = Vec::with_capacity(records.len() / 4);
            let mut encoder = flate2::write::GzEncoder::new(memory, flate2::Compression::fast());
            let written = encoder.write_all(&records).and_then(|()| encoder.finish());
            (1, written.expect("writing to memory does not fail"))
        }
        Compression::Zstd => {
            let written = zstd::encode_all(records.as_slice(), ZSTD_LEVEL);
            (4, written.expect("writing to memory does not fail"))
        }
    }
}

fn length(bytes: &[u8]) -> i32 {
    // Events are bounded far below that.
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(into, length(bytes));
    into.extend_from_slice(bytes);
}

/// Zigzag, seven bits a byte.
fn put_varint(into: &mut Vec<u8>, number: i32) {
    let mut rest = (number << 1 ^ number >> 31).cast_unsigned();
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

fn varint_bytes(number: i32) -> usize {
    let rest = (number << 1 ^ number >> 31).cast_unsigned();
    (38 - rest.leading_zeros() as usize) / 7 + usize::from(rest == 0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::records::{Compression as Theirs, RecordBatchDecoder, RecordSet};

    use super::*;

    /// The hashes that Kafka's own test of `Utils.murmur2` has.
    #[test]
    fn keys_are_hashed_as_java_does() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        assert_eq!(partition(b"foobar", 10), 1_357_151_166 % 10);
        assert_eq!(partition(b"", 1), 0);
    }

    #[test]
    fn sequences_begin_anew_after_the_largest() {
        assert_eq!(next_sequence(0, 3), 3);
        assert_eq!(next_sequence(i32::MAX, 1), 0);
        assert_eq!(next_sequence(i32::MAX - 2, 5), 2);
    }

    #[test]
    fn numbers_are_as_long_as_they_are_said_to_be() {
        for number in [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 1 << 20, i32::MAX, i32::MIN] {
            let mut written = Vec::new();
            put_varint(&mut written, number);
            assert_eq!(written.len(), varint_bytes(number), "{number}");
        }
    }

    fn theirs(compressed: &mut Bytes, compression: Theirs) -> anyhow::Result<Bytes> {
        Ok(match compression {
            Theirs::None => compressed.clone(),
            Theirs::Gzip => {
                let mut read = Vec::new();
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&compressed[..]), &mut read)?;
                read.into()
            }
            _ => zstd::decode_all(&compressed[..])?.into(),
        })
    }

    /// Read by the crate that is generated from Kafka's definitions.
    #[test]
    fn a_batch_is_read_by_others_as_it_was_meant() {
        for (compression, their) in [
            (Compression::None, Theirs::None),
            (Compression::Gzip, Theirs::Gzip),
            (Compression::Zstd, Theirs::Zstd),
        ] {
            let mut records = Records::default();
            let long = "v".repeat(70_000);
            for number in 0..200 {
                let key = format!("key-{number}");
                let headers: &[(&str, &[u8])] = &[("record_id", key.as_bytes()), ("empty", b"")];
                records.push(key.as_bytes(), if number == 7 { long.as_bytes() } else { b"{}" }, headers);
            }
            let producer = ProducerId { id: 4711, epoch: 3 };
            let mut batch = Bytes::from(records.into_batch(compression, producer, 17, 1_700_000_000_000));
            let read: RecordSet =
                RecordBatchDecoder::decode_with_custom_compression(&mut batch, Some(theirs)).expect("read");
            assert!(batch.is_empty());
            assert_eq!((read.version, read.compression, read.records.len()), (2, their, 200));
            for (number, record) in read.records.iter().enumerate() {
                assert_eq!(record.key.as_deref(), Some(format!("key-{number}").as_bytes()));
                assert_eq!(record.value.as_ref().map(Bytes::len), Some(if number == 7 { 70_000 } else { 2 }));
                assert_eq!((record.producer_id, record.producer_epoch), (4711, 3));
                assert_eq!((record.sequence, record.offset), (17 + number as i32, number as i64));
                assert_eq!(record.timestamp, 1_700_000_000_000);
                let names: Vec<&str> = record.headers.keys().map(|name| name.as_str()).collect();
                assert_eq!(names, ["record_id", "empty"]);
                assert!(!record.transactional && !record.control);
            }
        }
    }
}
