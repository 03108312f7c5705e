//! What is SQLite's own: the file, its lock, its copies, and the marks by which a copy is noticed that was put back.

pub(crate) mod copies;
pub(crate) mod failure;
pub(crate) mod files;
pub(crate) mod lock_file;
pub(crate) mod look;
pub(crate) mod marks;
pub(crate) mod open;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

/// The file of an opened store.
pub(crate) struct SqliteFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The lock of the one process that runs, in whose hands the whole store is.
    pub(crate) lock: Mutex<Option<File>>,
    /// How often something had been written when it was last marked as in use; 0 when it was not yet.
    pub(crate) marked: AtomicU64,
    /// The locks of the named leases that are held.
    pub(crate) guards: Mutex<HashMap<(String, u64), File>>,
}
