//! What could not be read or was refused for good.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{ContentHash, RecordHead, RecordKind, Source, TenantId};
use serde::Serialize;

use crate::StoreError;
use crate::sealing::{Binding, DataKey, Sealed, random};
use crate::stored::bounded;

/// What could not be read or was refused for good, kept with its original bytes.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Dead letters, newest first, at most `limit`; of one tenant where one is named.
    async fn dead_letters(&self, tenant: Option<TenantId>, limit: u32)
    -> Result<Vec<DeadLetter>, StoreError>;

    /// Dead letters, oldest first, those behind the one of number `after` (0: from the first), at most `limit`; of one tenant
    /// where one is named.
    async fn dead_letters_after(
        &self,
        after: DeadLetterNumber,
        tenant: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    /// Removes dead letters for good, and writes into the audit log that `actor` did, how many they were and `why` they were
    /// chosen, in one transaction. How many were there.
    async fn remove_dead_letters(
        &self,
        numbers: &[DeadLetterNumber],
        actor: &str,
        why: serde_json::Value,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// The original bytes of a dead letter.
    async fn dead_letter_body(&self, number: DeadLetterNumber) -> Result<Vec<u8>, StoreError>;

    /// Owes a dead letter again, and forgets it as such, in one transaction: what a sink refused goes back to that
    /// sink; what could not be read before is read again with [`RecordHead::read`] and owed to `sinks`. `Ok(false)`
    /// when it still cannot be read.
    async fn replay_dead_letter(
        &self,
        number: DeadLetterNumber,
        sinks: &[String],
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// Number of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DeadLetterNumber(pub u64);

/// Where a dead letter comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterOrigin {
    /// It could not be read from this source.
    Source(Source),
    /// This sink refused a record of this source.
    Sink {
        /// The sink's name.
        sink: String,
        /// The source that the record came from.
        source: Source,
    },
}

/// A record that could not be read, or that a sink refused for good.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetter {
    /// Its number.
    pub number: DeadLetterNumber,
    /// Whose.
    pub tenant: TenantId,
    /// Where from.
    pub origin: DeadLetterOrigin,
    /// The record's id, where it is known.
    pub record_id: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// How large the original is, in bytes.
    pub body_bytes: u64,
}

/// The column that the sealed form of a dead letter is bound to.
const COLUMN: &str = "dead_letter.sealed";

/// A dead letter that is ready to be written.
pub(crate) struct SealedLetter {
    pub(crate) letter_id: Vec<u8>,
    pub(crate) source: Source,
    pub(crate) sink: Option<String>,
    pub(crate) record_id: Option<String>,
    pub(crate) reason: String,
    pub(crate) body_bytes: i64,
    pub(crate) content_hash: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
}

/// Seals the original bytes of a dead letter.
pub(crate) fn seal_letter(
    key: &DataKey,
    tenant: TenantId,
    origin: &DeadLetterOrigin,
    record_id: Option<String>,
    reason: String,
    body: &[u8],
    hash: ContentHash,
) -> SealedLetter {
    let letter_id = random::<16>();
    let (source, sink) = match origin {
        DeadLetterOrigin::Source(source) => (*source, None),
        DeadLetterOrigin::Sink { sink, source } => (*source, Some(sink.clone())),
    };
    SealedLetter {
        source,
        sink,
        record_id,
        reason: bounded(&reason),
        body_bytes: i64::try_from(body.len()).unwrap_or(i64::MAX),
        content_hash: hash.0.to_vec(),
        sealed: key.seal(Binding { column: COLUMN, tenant, row: &letter_id }, body).into_bytes(),
        letter_id: letter_id.to_vec(),
    }
}

/// Opens the original bytes of the dead letter that was sealed as `letter_id`.
pub(crate) fn open_letter(
    key: &DataKey,
    tenant: TenantId,
    number: DeadLetterNumber,
    letter_id: &[u8],
    sealed: Sealed,
) -> Result<Vec<u8>, StoreError> {
    let body = key.open(Binding { column: COLUMN, tenant, row: letter_id }, sealed);
    body.map_err(|source| StoreError::Sealing { what: format!("dead letter {}", number.0), source })
}

/// The record in `body`, where it is one.
pub(crate) fn readable(kind: RecordKind, body: Vec<u8>) -> Option<(String, RecordHead)> {
    let body = String::from_utf8(body).ok()?;
    let head = RecordHead::read(kind, &body).ok()?;
    Some((body, head))
}
