//! `[store]`: where Muster keeps what it remembers.

use std::path::PathBuf;

use muster_model::{SecretReference, Span};
use serde::Deserialize;

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
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("muster.db"),
            master_key: SecretReference::File(PathBuf::from("muster.key")),
            keep_journal: Span(std::time::Duration::from_secs(7 * 86_400)),
            keep_versions: Span(std::time::Duration::from_secs(30 * 86_400)),
        }
    }
}
