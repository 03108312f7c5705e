//! A journal batch: some records of one tenant and source in the order in which they were accepted, in one piece of
//! memory, with their heads beside them so that nothing has to be parsed again on the way out.

use jiff::Timestamp;

use crate::{ContentHash, Record, RecordHead, Severity};

/// Leads every encoded batch; the digit is the version of the layout.
const MAGIC: &[u8; 4] = b"MJB1";
/// What a head takes, beside its id, in an encoded batch.
const HEAD_BYTES: usize = 39;
/// Stands for a time that is not known.
const NO_TIME: i64 = i64::MIN;

/// Records of one tenant and source, in order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    heads: Vec<RecordHead>,
    /// Where each record's body ends in `text`.
    ends: Vec<u32>,
    text: String,
}

/// An encoded batch that cannot be read back: it was damaged, or written by a later version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Not a batch, or of a layout this version does not know.
    #[error("it does not start like a journal batch of this version")]
    Layout,
    /// Shorter or longer than it says, or with text that is not UTF-8.
    #[error("it is damaged at byte {0}")]
    Damaged(usize),
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for so many records and so many bytes of bodies.
    #[must_use]
    pub fn with_capacity(records: usize, body_bytes: usize) -> Self {
        Self {
            heads: Vec::with_capacity(records),
            ends: Vec::with_capacity(records),
            text: String::with_capacity(body_bytes),
        }
    }

    /// Adds a record at the end. Keep a batch to a few megabytes; the store splits pages accordingly.
    ///
    /// # Panics
    /// When the batch's text would pass 4 GiB.
    pub fn push(&mut self, head: RecordHead, body: &str) {
        self.heads.push(head);
        self.text.push_str(body);
        self.ends.push(u32::try_from(self.text.len()).expect("pages are bounded far below 4 GiB"));
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes of all bodies together.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.text.len()
    }

    /// The record at `index`.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Record<'_>> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? as usize };
        let body = self.text.get(start..*self.ends.get(index)? as usize)?;
        Some(Record { head: self.heads.get(index)?, body })
    }

    /// The records in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index).expect("the index is within the batch"))
    }

    /// The batch as bytes, not compressed: heads first, bodies after them.
    ///
    /// # Panics
    /// Never: ids are bounded when a head is read.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let ids: usize = self.heads.iter().map(|head| head.id.len()).sum();
        let mut out = Vec::with_capacity(self.text.len() + self.len() * HEAD_BYTES + ids + 8);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u32::try_from(self.len()).expect("bounded by the text").to_le_bytes());
        for (head, end) in self.heads.iter().zip(&self.ends) {
            out.extend_from_slice(&end.to_le_bytes());
            out.extend_from_slice(&nanoseconds(head.updated_at).to_le_bytes());
            out.extend_from_slice(&nanoseconds(head.created_at).to_le_bytes());
            out.push(head.severity.number());
            out.extend_from_slice(&head.hash.0);
            out.extend_from_slice(&u16::try_from(head.id.len()).expect("ids are bounded").to_le_bytes());
            out.extend_from_slice(head.id.as_bytes());
        }
        out.extend_from_slice(self.text.as_bytes());
        out
    }

    /// Reads an encoded batch back.
    ///
    /// # Errors
    /// When the bytes are not what [`Batch::encode`] wrote.
    pub fn decode(mut bytes: Vec<u8>) -> Result<Self, BatchError> {
        let mut reader = Reader { bytes: &bytes, at: 0 };
        if reader.take(4).ok() != Some(MAGIC.as_slice()) {
            return Err(BatchError::Layout);
        }
        let count = u32::from_le_bytes(reader.array()?) as usize;
        let most = bytes.len() / HEAD_BYTES;
        let mut heads = Vec::with_capacity(count.min(most));
        let mut ends = Vec::with_capacity(count.min(most));
        for _ in 0..count {
            ends.push(u32::from_le_bytes(reader.array()?));
            let updated_at = timestamp(i64::from_le_bytes(reader.array()?));
            let created_at = timestamp(i64::from_le_bytes(reader.array()?));
            let severity = Severity::from_number(u8::from_le_bytes(reader.array()?));
            let hash = ContentHash(reader.array()?);
            let id_bytes = u16::from_le_bytes(reader.array()?) as usize;
            let id = reader.take(id_bytes)?.to_vec();
            let id = String::from_utf8(id).map_err(|_| BatchError::Damaged(reader.at))?;
            heads.push(RecordHead { id, updated_at, created_at, severity, hash });
        }
        let start = reader.at;
        bytes.drain(..start);
        let text = String::from_utf8(bytes)
            .map_err(|error| BatchError::Damaged(start + error.utf8_error().valid_up_to()))?;
        let ordered = ends.is_sorted() && ends.iter().all(|end| text.is_char_boundary(*end as usize));
        if !ordered || ends.last().map_or(0, |end| *end as usize) != text.len() {
            return Err(BatchError::Damaged(start));
        }
        Ok(Self { heads, ends, text })
    }
}

fn nanoseconds(time: Option<Timestamp>) -> i64 {
    time.and_then(|time| i64::try_from(time.as_nanosecond()).ok()).unwrap_or(NO_TIME)
}

fn timestamp(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds != NO_TIME).then(|| Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()).flatten()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BatchError> {
        let taken = self.bytes.get(self.at..self.at + count).ok_or(BatchError::Damaged(self.at))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BatchError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| BatchError::Damaged(at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Batch, BatchError};
    use crate::{ContentHash, RecordHead, Severity};

    fn head(id: String, seconds: Option<i64>) -> RecordHead {
        let at = seconds.map(|seconds| jiff::Timestamp::from_second(seconds).expect("in range"));
        RecordHead {
            hash: ContentHash::of(id.as_bytes()),
            id,
            updated_at: at,
            created_at: at,
            severity: Severity::Low,
        }
    }

    proptest! {
        #[test]
        fn round_trips(records in proptest::collection::vec((".{1,40}", proptest::option::of(0_i64..4_000_000_000), ".*"), 0..20)) {
            let mut batch = Batch::new();
            for (id, seconds, body) in &records {
                batch.push(head(id.clone(), *seconds), body);
            }
            let back = Batch::decode(batch.encode()).expect("what was encoded");
            prop_assert_eq!(back.len(), records.len());
            for (record, (id, seconds, body)) in back.records().zip(&records) {
                prop_assert_eq!(record.head, &head(id.clone(), *seconds));
                prop_assert_eq!(record.body, body);
            }
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), batch in any::<bool>()) {
            if batch {
                bytes.splice(0..0, *b"MJB1");
            }
            if let Ok(batch) = Batch::decode(bytes) {
                prop_assert_eq!(batch.records().count(), batch.len());
            }
        }
    }

    #[test]
    fn a_torn_batch_is_told() {
        let mut batch = Batch::new();
        batch.push(head("a".to_owned(), Some(1)), "{\"id\":\"a\"}");
        let mut bytes = batch.encode();
        bytes.pop();
        assert!(matches!(Batch::decode(bytes), Err(BatchError::Damaged(_))));
        assert!(matches!(Batch::decode(b"nonsense".to_vec()), Err(BatchError::Layout)));
    }
}
