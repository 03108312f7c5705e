//! The store itself: its connections, its writer, its end.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::Lineage;
use sqlx::{SqliteConnection, SqlitePool};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::failure::{examined, worded};
use super::writer::{self, Doing, Durability, WriterHandle, erasing};
use super::{copies, lock_file, open};
use crate::known_keys::KnownKeys;
use crate::packing::Packer;
use crate::{
    CopyContents, KeyRing, Lifetime, MasterKey, OpenMode, ReadKeys, Restoration, SigningKey, StoreError,
};

/// A store in one SQLite file.
///
/// `Tenants::remove_tenant` and `Tenants::offboard_tenant` overwrite the tenant's sealed data key and zero every
/// deleted cell (`PRAGMA secure_delete`), then empty the WAL; without the key the tenant's journal cannot be read by anyone, in
/// the file or in an older copy of it.
pub struct SqliteStore {
    pub(super) path: String,
    /// Of the deliveries that this opening numbers.
    pub(super) lineage: Lineage,
    pub(super) keys: Arc<KnownKeys>,
    pub(super) signing_key: SigningKey,
    pub(super) readers: SqlitePool,
    pub(super) writes: WriterHandle,
    tasks: TaskTracker,
    /// Cancelled when the writer has ended, for whatever reason.
    writer_ended: CancellationToken,
    pub(super) packer: Packer,
    /// The lock of the one process that runs, in whose hands the whole store is.
    pub(super) lock: Mutex<Option<File>>,
    /// How often something had been written when it was last marked as in use; 0 when it was not yet.
    pub(super) marked: AtomicU64,
    /// When it was put back from a copy, while what comes again is counted; else 0.
    pub(super) put_back_at: AtomicI64,
    /// The locks of the named leases that are held.
    pub(super) guards: Mutex<HashMap<(String, u64), File>>,
}

impl SqliteStore {
    /// Makes a new store at `path`, readable by its owner only, and opens it.
    ///
    /// # Errors
    /// When a file is there already, or cannot be made.
    pub async fn create(path: &Path, master_key: &MasterKey) -> Result<Self, StoreError> {
        open::create_file(path)?;
        Self::open(path, OpenMode::Exclusive, &KeyRing::from(master_key.clone())).await
    }

    /// Opens the store at `path`.
    ///
    /// # Errors
    /// When there is none, it is locked, damaged, of a later version, or sealed with another master key.
    pub async fn open(path: &Path, mode: OpenMode, keys: &KeyRing) -> Result<Self, StoreError> {
        let opened = open::open(path, mode, keys).await?;
        let shown = path.display().to_string();
        let (writes, writer) = writer::writer(opened.writer, shown.clone());
        let tasks = TaskTracker::new();
        let writer_ended = CancellationToken::new();
        let guard = writer_ended.clone().drop_guard();
        tasks.spawn(async move {
            // Dropped when the writer ends, also by a panic.
            let _guard = guard;
            writer.run().await;
        });
        tasks.close();
        let store = Self {
            path: shown,
            lineage: Lineage(Uuid::new_v4()),
            keys: Arc::new(opened.keys),
            signing_key: opened.signing_key,
            readers: opened.readers,
            writes,
            tasks,
            writer_ended,
            packer: Packer::new(),
            lock: Mutex::new(opened.lock),
            marked: AtomicU64::new(0),
            put_back_at: AtomicI64::new(0),
            guards: Mutex::default(),
        };
        if mode == OpenMode::Exclusive && store.sweep_removed().await? {
            store.empty_wal().await;
        }
        Ok(store)
    }

    /// The same store, which reads its key ring again with `read` when it meets a key that it does not know: then
    /// another process has rotated the master key. Without it, a store that was opened before the rotation can neither
    /// read nor add anything after it.
    #[must_use]
    pub fn rereading_keys(mut self, read: ReadKeys) -> Self {
        self.keys = Arc::new(self.keys.with_reader(read));
        self
    }

    /// Runs `work` in a transaction of the writer.
    pub(super) async fn write<T, F>(
        &self,
        doing: &'static str,
        durability: Durability,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, T> + Send + 'static,
    {
        self.writes.run(durability, work).await.map_err(|failure| failure.worded(&self.path, doing))
    }

    /// Runs `work` in a transaction of the writer, and overwrites with zeros what it deletes or replaces.
    pub(super) async fn write_erasing<T, F>(
        &self,
        doing: &'static str,
        durability: Durability,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, T> + Send + 'static,
    {
        self.write(doing, durability, move |connection| {
            Box::pin(async move { erasing(connection, work).await })
        })
        .await
    }

    /// Moves the WAL into the database and empties it, since it still holds older versions of the pages. What holds
    /// this up is another process at its end only: the WAL is emptied then.
    pub(super) async fn empty_wal(&self) {
        let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.readers).await;
        if let Err(error) = emptied {
            tracing::debug!(%error, "the WAL will be emptied later");
        }
    }

    /// Puts an error of a reading statement into words.
    pub(super) fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError + use<'_> {
        move |error| worded(&error, &self.path, doing)
    }
}

#[async_trait]
impl Lifetime for SqliteStore {
    async fn ended(&self) {
        self.writer_ended.cancelled().await;
    }

    fn is_owned(&self) -> Result<bool, StoreError> {
        let mine = self.lock.lock().expect("no panic while the lock is held").is_some();
        Ok(mine || lock_file::is_locked(Path::new(&self.path), "lock", "look for its owner")?)
    }

    fn trouble(&self) -> Option<String> {
        self.writes
            .trouble()
            .or_else(|| examined(&self.path, "the file is missing").map(|error| error.to_string()))
    }

    async fn mark(&self, actor: &str, now: Timestamp) -> Result<Option<Restoration>, StoreError> {
        self.renew_mark(actor, now).await
    }

    async fn restorations(&self) -> Result<Vec<Restoration>, StoreError> {
        self.put_back().await
    }

    async fn copy_to(&self, to: &Path, keys: &KeyRing) -> Result<CopyContents, StoreError> {
        copies::copy_out(Path::new(&self.path), to, keys).await
    }

    async fn close(&self) {
        self.writes.close();
        self.readers.close().await;
        self.tasks.wait().await;
        self.guards.lock().expect("no panic while the lock is held").clear();
        self.lock.lock().expect("no panic while the lock is held").take();
    }
}
