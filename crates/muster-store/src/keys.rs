//! The key ring and its file: one Base64 key per line, the first of them current.
//!
//! The master key is rotated in three steps, each safe to die after: the new key is written to the file before the old
//! one; the store is sealed anew in one transaction; the file is left with the new key only. At every point the file
//! holds the key that the store is sealed with, and [`rotate_key_file`] run again goes on from there.

use std::path::Path;

use jiff::Timestamp;
use muster_model::Secret;

use crate::{MasterKey, MasterKeyError, Store, StoreError};

/// The master keys at hand. The store says which of them seals it.
#[derive(Debug, Clone)]
pub struct KeyRing {
    /// The key that is to seal the store.
    pub current: MasterKey,
    /// Keys that may seal it still, or an older copy of it.
    pub older: Vec<MasterKey>,
}

impl From<MasterKey> for KeyRing {
    fn from(current: MasterKey) -> Self {
        Self { current, older: Vec::new() }
    }
}

impl KeyRing {
    /// Reads keys in Base64, one per line, the current one first.
    ///
    /// # Errors
    /// When there is none, or a line is not 32 bytes in Base64.
    pub fn from_base64(text: &Secret<String>) -> Result<Self, MasterKeyError> {
        MasterKey::from_base64(text).map(Self::from)
    }

    /// Reads the ring from a file that only its owner can read.
    ///
    /// # Errors
    /// When there is none, when others may read it, or when it holds something else.
    pub fn read_file(path: &Path) -> Result<Self, MasterKeyError> {
        MasterKey::read_file(path).map(Self::from)
    }

    /// Replaces the file by one with this ring, in one step: after a crash it holds the old ring or the new one.
    ///
    /// # Errors
    /// When it cannot be written; the file is as it was.
    pub fn write_file(&self, path: &Path) -> Result<(), MasterKeyError> {
        let _ = path;
        unimplemented!()
    }
}

/// What [`rotate_key_file`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The name of the key that sealed the store before.
    pub from: String,
    /// The name of the key that seals it now.
    pub to: String,
    /// Whether a rotation that had been interrupted was completed instead of a new one begun.
    pub resumed: bool,
}

/// Why the master key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The key file.
    #[error(transparent)]
    Key(#[from] MasterKeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Rotates the master key of `store`, whose key ring is the file `path`, to `new`. An interrupted rotation is
/// completed instead, with the key it had chosen. Other processes may have the store open meanwhile.
///
/// # Errors
/// When the file or the store cannot be read or written; both go together then as they did before.
pub async fn rotate_key_file(
    store: &dyn Store,
    path: &Path,
    new: &MasterKey,
    actor: &str,
    now: Timestamp,
) -> Result<Rotation, RotateError> {
    let _ = (store, path, new, actor, now);
    unimplemented!()
}
