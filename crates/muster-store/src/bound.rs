//! What bounds the journal. It keeps a batch for as long as a sink is owed something of it, so a sink that is down makes it grow;
//! how far is the operator's choice, and so is what is given up then.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use crate::StoreError;

/// How large the journal is, why, and what is done about it.
#[async_trait]
pub trait JournalBound: Send + Sync {
    /// How many bytes the batches of the journal take. Quick, so that it may be asked often.
    async fn journal_bytes(&self) -> Result<u64, StoreError>;

    /// What of the journal is kept because sinks are owed it, without that which only these are owed.
    async fn journal_backlog(&self, without: &[String]) -> Result<JournalBacklog, StoreError>;

    /// Gives up some of the oldest that sinks are owed, in one transaction: they are never to have it, unless it is replayed to
    /// them. What a worker is at work on, and what waits for an acknowledgement, stays. To be called until it says that there
    /// is no more.
    async fn give_up(&self, what: &GiveUp, now: Timestamp) -> Result<GivenUp, StoreError>;

    /// Deletes batches that no sink is owed, the oldest first, until the journal takes no more than so many bytes or no more can
    /// go: how many batches, and how many records of theirs no sink was ever to have.
    async fn shrink_journal(&self, bytes: u64) -> Result<(u64, u64), StoreError>;
}

/// What sinks are owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JournalBacklog {
    /// Bytes of the batches that are kept for it.
    pub bytes: u64,
    /// Since when the oldest of it is owed.
    pub since: Option<Timestamp>,
}

/// What is to be given up.
#[derive(Debug, Clone)]
pub struct GiveUp {
    /// What these sinks are owed; all where there are none.
    pub sinks: Vec<String>,
    /// Owed before this time.
    pub owed_before: Timestamp,
    /// The oldest batches that take so many bytes together, and no more; one at least.
    pub bytes: u64,
    /// Whether they are shadows: then they were not to have it, and nothing is missing. Otherwise it is counted, and its hours
    /// of the ledger say so.
    pub of_shadows: bool,
}

/// What was given up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GivenUp {
    /// Records, by sink.
    pub records: BTreeMap<String, u64>,
    /// Whether there may be more.
    pub more: bool,
}
