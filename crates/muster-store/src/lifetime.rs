//! How a store is opened, and how it ends.

use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use crate::{KeyRing, StoreError};

/// How a store ends.
#[async_trait]
pub trait Lifetime: Send + Sync {
    /// Waits until nothing can be written any more, because the store was closed or a part of it has failed. Whoever
    /// works with the store ends then.
    async fn ended(&self);

    /// Whether a process is at work that has opened the store with [`OpenMode::Exclusive`].
    async fn is_owned(&self) -> Result<bool, StoreError>;

    /// Why nothing can be written at present, as on a full disk; `None` while all is well.
    fn trouble(&self) -> Option<String>;

    /// Marks the store as in use by the process that has opened it with [`OpenMode::Exclusive`]: called when it starts, and every
    /// few seconds. The first call finds out whether the store was put back from a copy, writes that down in the name of
    /// `actor`, and returns it. Costs nothing while nothing was written.
    async fn mark(&self, actor: &str, now: Timestamp) -> Result<Option<Restoration>, StoreError>;

    /// When the store was put back from a copy, the latest first.
    async fn restorations(&self) -> Result<Vec<Restoration>, StoreError>;

    /// Writes a copy to `to`, where nothing may be: as of one moment, also while others write, readable by its owner only,
    /// checked with the master keys at hand. It is noticed wherever it is put back.
    async fn copy_to(&self, to: &Path, keys: &KeyRing) -> Result<CopyContents, StoreError>;

    /// Waits for writes under way and closes the database.
    async fn close(&self);
}

/// The store was put back from a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restoration {
    /// When that was noticed.
    pub at: Timestamp,
    /// When the copy was last marked, before it was taken. What sinks were given in between may come again.
    pub as_of: Option<Timestamp>,
    /// What was noticed.
    pub reason: String,
    /// Records that were owed as of then, over all sinks; they may have been delivered meanwhile.
    pub owed: u64,
    /// Records accepted since that had been updated before `at`: each sink may have had them already.
    pub again: u64,
}

/// What a copy of a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CopyContents {
    /// When the process that delivers had last marked it.
    pub as_of: Option<Timestamp>,
    /// Tenants that are not offboarded.
    pub tenants: u64,
    /// Records in the journal.
    pub records: u64,
    /// Records owed, over all sinks.
    pub owed: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Events of the audit log.
    pub audit_events: u64,
    /// The name of the master key that opens it. The key itself is not in it.
    pub master_key: String,
    /// How large it is.
    pub bytes: u64,
}

/// How a store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// By the one process that collects and delivers.
    Exclusive,
    /// By a command, also while another process collects and delivers.
    Shared,
}
