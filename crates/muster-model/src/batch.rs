//! A journal batch: some records of one tenant and source in the order in which they were accepted, in one piece of
//! memory, with their heads beside them so that nothing has to be parsed again on the way out. That piece may be the page they
//! came on: then they are copied nowhere.

use std::ops::Range;
use std::sync::Arc;

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
    /// Where each record's body stands in `text`.
    bodies: Vec<Range<u32>>,
    body_bytes: usize,
    text: Arc<String>,
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
        Self { text: Arc::new(String::with_capacity(body_bytes)), ..Self::within(Arc::default(), records) }
    }

    /// An empty batch with room for so many records, whose bodies are parts of `text`: it is held for as long as the batch is.
    #[must_use]
    pub fn within(text: Arc<String>, records: usize) -> Self {
        Self { heads: Vec::with_capacity(records), bodies: Vec::with_capacity(records), body_bytes: 0, text }
    }

    /// Whether a batch within `text` would not copy `body`: not whether the same stands there, but whether it is a part of it.
    #[must_use]
    pub fn holds(text: &str, body: &str) -> bool {
        place(text, body).is_some()
    }

    /// Adds a record at the end. Its body is copied, unless it is a part of the batch's text. Keep a batch to a few megabytes;
    /// the store splits pages accordingly.
    ///
    /// # Panics
    /// When the batch's text would pass 4 GiB.
    pub fn push(&mut self, mut head: RecordHead, body: &str) {
        // As they come back when it is read again: a time beyond what is kept is none.
        head.updated_at = timestamp(nanoseconds(head.updated_at));
        head.created_at = timestamp(nanoseconds(head.created_at));
        let start = place(&self.text, body).unwrap_or_else(|| {
            let text = Arc::make_mut(&mut self.text);
            text.push_str(body);
            text.len() - body.len()
        });
        let number = |at| u32::try_from(at).expect("pages are bounded far below 4 GiB");
        self.heads.push(head);
        self.bodies.push(number(start)..number(start + body.len()));
        self.body_bytes += body.len();
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
        self.body_bytes
    }

    /// The text that its bodies are parts of. Batches of one page have the same.
    #[must_use]
    pub fn text(&self) -> &Arc<String> {
        &self.text
    }

    /// The record at `index`.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Record<'_>> {
        let body = self.bodies.get(index)?;
        let body = self.text.get(body.start as usize..body.end as usize)?;
        Some(Record { head: self.heads.get(index)?, body, replay: None })
    }

    /// The records in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index).expect("the index is within the batch"))
    }

    /// The batch as bytes, not compressed: heads first, bodies after them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.encode_heads();
        self.records().for_each(|record| out.extend_from_slice(record.body.as_bytes()));
        out
    }

    /// What stands before the bodies in the batch as bytes.
    ///
    /// # Panics
    /// Never: ids are bounded when a head is read.
    #[must_use]
    pub fn encode_heads(&self) -> Vec<u8> {
        let ids: usize = self.heads.iter().map(|head| head.id.len()).sum();
        // Most changes take less than sixteen bytes.
        let mut out = Vec::with_capacity(self.len() * (HEAD_BYTES + 16) + ids + 8);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u32::try_from(self.len()).expect("bounded by the text").to_le_bytes());
        let mut end = 0_u32;
        for (head, body) in self.heads.iter().zip(&self.bodies) {
            end += body.end - body.start;
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
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let bodies = starts.zip(&ends).map(|(start, end)| start..*end).collect();
        Ok(Self { heads, bodies, body_bytes: text.len(), text: Arc::new(text) })
    }
}

/// Where `part` begins in `text`, if it lies within it.
fn place(text: &str, part: &str) -> Option<usize> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    (start + part.len() <= text.len()).then_some(start)
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
    use std::sync::Arc;

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

    /// Records of a page are not copied, and come out as those that were.
    #[test]
    fn records_within_a_page_are_those_of_the_page() {
        let page = Arc::new(r#"{"value":[{"id":"é"}, {"id":"b"},{"id":"c"}]}"#.to_owned());
        let parts = [&page[10..21], &page[33..43]];
        let (mut within, mut copied) = (Batch::within(Arc::clone(&page), 2), Batch::new());
        for (number, part) in parts.iter().enumerate() {
            within.push(head(number.to_string(), Some(1)), part);
            copied.push(head(number.to_string(), Some(1)), part);
        }
        assert!(Arc::ptr_eq(within.text(), &page));
        assert_eq!((within.body_bytes(), within.encode()), (21, copied.encode()));
        let back = Batch::decode(within.encode()).expect("what was encoded");
        assert_eq!(back.records().map(|record| record.body).collect::<Vec<_>>(), parts);
        // What is not of the page stands beside it; the page itself is as it was.
        within.push(head("3".to_owned(), Some(1)), r#"{"id":"d"}"#);
        assert_eq!(within.record(2).expect("there").body, r#"{"id":"d"}"#);
        assert_eq!(within.record(0).expect("there").body, parts[0]);
        assert!(page.ends_with("]}"));
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
