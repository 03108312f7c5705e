//! `[store]`: where Muster keeps what it remembers.

use std::path::PathBuf;

use muster_model::{ByteSize, SecretReference, Span};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    pub path: PathBuf,
    /// The master key that seals what is secret in it.
    pub master_key: SecretReference,
    /// How long delivered batches are kept in the journal.
    pub keep_journal: Span,
    /// How long it is remembered which versions of records were accepted.
    pub keep_versions: Span,
    /// How large the journal may become; as large as the disk where it is missing.
    pub journal_max_size: Option<ByteSize>,
    /// What happens when sinks are owed so much that it is.
    pub when_full: WhenFull,
}

/// What happens when the journal is full of what sinks are owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Nothing new is collected until there is room. Nothing is lost while Microsoft keeps it.
    #[default]
    Stop,
    /// The oldest that sinks are owed is given up.
    DropOldest,
}

/// How large the journal may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalBound {
    pub bytes: u64,
    pub when_full: WhenFull,
}

impl JournalBound {
    /// So much of it.
    pub fn share(self, percent: u64) -> u64 {
        u64::try_from(u128::from(self.bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
    }

    /// Whether nothing is collected while the journal takes so many bytes.
    pub fn stops_at(self, bytes: u64) -> bool {
        self.when_full == WhenFull::Stop && bytes >= self.bytes
    }
}

impl StoreSettings {
    /// How large the journal may become, where that is bounded.
    pub fn bound(&self) -> Option<JournalBound> {
        self.journal_max_size.map(|size| JournalBound { bytes: size.0, when_full: self.when_full })
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("muster.db"),
            master_key: SecretReference::File(PathBuf::from("muster.key")),
            keep_journal: Span(std::time::Duration::from_secs(7 * 86_400)),
            keep_versions: Span(std::time::Duration::from_secs(30 * 86_400)),
            journal_max_size: None,
            when_full: WhenFull::default(),
        }
    }
}
