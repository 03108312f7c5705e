//! The keys of the store itself, and the rotation of the master key.
//!
//! It goes in three steps, each safe to die after: the new key is written to the file before the old one; the store is
//! sealed anew in one transaction; the file is left with the new key only. At every point the file holds the key that the
//! store is sealed with, and [`rotate_key_file`] run again goes on from there.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::key_ring::lock;
use crate::{KeyRing, MasterKey, MasterKeyError, SigningKey, StoreError};

/// The keys of the store itself.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Proves what was made here: links, `state`s. The same for as long as the store lives.
    fn signing_key(&self) -> &SigningKey;

    /// The name of the master key that seals the store now.
    async fn master_key_id(&self) -> Result<String, StoreError>;

    /// Seals with `new` all that the master key seals, in **one** transaction, and writes that down in the audit log.
    /// Whoever has the store open needs the new key from then on. [`rotate_key_file`](crate::rotate_key_file) is the
    /// whole procedure.
    async fn rotate_master_key(&self, new: &MasterKey, actor: &str, now: Timestamp)
    -> Result<(), StoreError>;
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
    /// The store and the file do not belong together.
    #[error(
        "the store is sealed with the master key named {wanted}, but the file {path} holds only {at_hand}: put the key \
         {wanted} into it as a line of its own, or name the right file in the settings"
    )]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// The name of the key that is wanted.
        wanted: String,
        /// The names of those in the file.
        at_hand: String,
    },
}

/// Rotates the master key of `store`, whose key ring is the file `path`, to `new`, and leaves the file with that key
/// alone. A rotation that was interrupted before the store was sealed anew is completed instead, with the key it had
/// chosen. Other processes may have the store open meanwhile; two rotations at once exclude each other.
///
/// # Errors
/// When the file or the store cannot be read or written; both go together then as they did before.
pub async fn rotate_key_file(
    store: &dyn Keys,
    path: &Path,
    new: &MasterKey,
    actor: &str,
    now: Timestamp,
) -> Result<Rotation, RotateError> {
    let _lock = lock(path)?;
    let ring = KeyRing::read_file(path)?;
    let from = store.master_key_id().await?;
    let Some(sealing) = ring.find(&from) else {
        let (path, at_hand) = (path.to_owned(), ring.names());
        return Err(RotateError::OtherFile { path, wanted: from, at_hand });
    };
    let resumed = ring.current.id() != from;
    let to = if resumed { &ring.current } else { new };
    let mut older = vec![sealing.clone()];
    older.extend(ring.keys().filter(|key| key.id() != from && key.id() != to.id()).cloned());
    KeyRing { current: to.clone(), older }.write_file(path)?;
    store.rotate_master_key(to, actor, now).await?;
    KeyRing::from(to.clone()).write_file(path)?;
    Ok(Rotation { from, to: to.id(), resumed })
}
