//! A journal batch: some records of one tenant and source in the order in which they were accepted, in one piece of
//! memory, with their heads beside them so that nothing has to be parsed again on the way out.

use jiff::Timestamp;

use crate::{Change, ContentHash, Record, RecordHead, Severity};

/// Leads every encoded batch; the digit is the version of the layout.
const MAGIC: &[u8; 4] = b"MJB2";
/// Led batches before heads had changes.
const MAGIC_WITHOUT_CHANGES: &[u8; 4] = b"MJB1";
/// What a head takes, beside its id and its change, in an encoded batch.
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
    pub fn push(&mut self, mut head: RecordHead, body: &str) {
        // As they come back when it is read again: a time beyond what is kept is none.
        head.updated_at = timestamp(nanoseconds(head.updated_at));
        head.created_at = timestamp(nanoseconds(head.created_at));
        self.heads.push(head);
        self.text.push_str(body);
        self.ends.push(u32::try_from(self.text.len()).expect("pages are bounded far below 4 GiB"));
    }

    /// Says what the record at `index` is to the version before.
    ///
    /// # Panics
    /// When there is no such record.
    pub fn set_change(&mut self, index: usize, change: Change) {
        self.heads[index].change = Some(change);
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
        Some(Record { head: self.heads.get(index)?, body, replay: None })
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
        // Most changes take less than sixteen bytes.
        let mut out = Vec::with_capacity(self.text.len() + self.len() * (HEAD_BYTES + 16) + ids + 8);
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
            let length_at = out.len();
            out.extend_from_slice(&[0; 2]);
            if let Some(change) = &head.change {
                change.encode(&mut out);
                let length = u16::try_from(out.len() - length_at - 2).expect("changes are bounded");
                out[length_at..length_at + 2].copy_from_slice(&length.to_le_bytes());
            }
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
        let magic = reader.take(4).unwrap_or_default();
        if magic != MAGIC && magic != MAGIC_WITHOUT_CHANGES {
            return Err(BatchError::Layout);
        }
        let with_changes = magic == MAGIC;
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
            let change = if with_changes { reader.change()? } else { None };
            heads.push(RecordHead { id, updated_at, created_at, severity, hash, change });
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

    fn change(&mut self) -> Result<Option<Change>, BatchError> {
        let length = u16::from_le_bytes(self.array()?);
        if length == 0 {
            return Ok(None);
        }
        let at = self.at;
        Change::decode(self.take(usize::from(length))?).map(Some).ok_or(BatchError::Damaged(at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Batch, BatchError};
    use crate::{Change, ChangeKind, ContentHash, RecordHead, Severity};

    fn head(id: String, seconds: Option<i64>) -> RecordHead {
        let at = seconds.map(|seconds| jiff::Timestamp::from_second(seconds).expect("in range"));
        RecordHead {
            hash: ContentHash::of(id.as_bytes()),
            id,
            updated_at: at,
            created_at: at,
            severity: Severity::Low,
            change: None,
        }
    }

    fn change(number: usize) -> Change {
        let mut change = Change::new(ChangeKind::ALL[number % ChangeKind::ALL.len()]);
        change.to = number.is_multiple_of(2).then(|| number.to_string());
        (0..number).for_each(|field| change.add_field(&format!("field{field}")));
        change
    }

    proptest! {
        #[test]
        fn round_trips(records in proptest::collection::vec((".{1,40}", proptest::option::of(0_i64..4_000_000_000), ".*", proptest::option::of(0_usize..40)), 0..20)) {
            let mut batch = Batch::new();
            for (index, (id, seconds, body, changed)) in records.iter().enumerate() {
                batch.push(head(id.clone(), *seconds), body);
                if let Some(number) = changed {
                    batch.set_change(index, change(*number));
                }
            }
            let back = Batch::decode(batch.encode()).expect("what was encoded");
            prop_assert_eq!(back.len(), records.len());
            for (record, (id, seconds, body, changed)) in back.records().zip(&records) {
                let head = RecordHead { change: changed.map(change), ..head(id.clone(), *seconds) };
                prop_assert_eq!(record.head, &head);
                prop_assert_eq!(record.body, body);
            }
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), version in 0_u8..3) {
            if version > 0 {
                bytes.splice(0..0, [b'M', b'J', b'B', b'0' + version]);
            }
            if let Ok(batch) = Batch::decode(bytes) {
                prop_assert_eq!(batch.records().count(), batch.len());
            }
        }
    }

    /// As the version before wrote it.
    #[test]
    fn a_batch_without_changes_is_read() {
        let mut bytes = b"MJB1\x01\0\0\0".to_vec();
        bytes.extend_from_slice(&2_u32.to_le_bytes());
        bytes.extend_from_slice(&1_000_000_000_i64.to_le_bytes());
        bytes.extend_from_slice(&i64::MIN.to_le_bytes());
        bytes.push(Severity::Low.number());
        bytes.extend_from_slice(&[7; 16]);
        bytes.extend_from_slice(b"\x03\0a_1{}");
        let batch = Batch::decode(bytes).expect("read");
        let record = batch.record(0).expect("there");
        let head =
            RecordHead { created_at: None, hash: ContentHash([7; 16]), ..head("a_1".to_owned(), Some(1)) };
        assert_eq!((record.head, record.body), (&head, "{}"));
    }

    /// What is handed on before it was packed is what is handed on after.
    #[test]
    fn times_beyond_what_is_kept_are_none_from_the_start() {
        let mut batch = Batch::new();
        for seconds in [253_000_000_000, -62_000_000_000, 1] {
            batch.push(head("a".to_owned(), Some(seconds)), "{}");
        }
        let read = Batch::decode(batch.encode()).expect("read");
        let heads = |batch: &Batch| batch.records().map(|record| record.head.clone()).collect::<Vec<_>>();
        assert_eq!(heads(&batch), heads(&read));
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
