//! The store itself, on either engine: its connections, its writer, its end.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::Lineage;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::failure::{Failure, worded};
use crate::known_keys::KnownKeys;
use crate::packing::Packer;
use crate::postgres::PostgresAddress;
use crate::postgres::database::Database;
use crate::recent::Recent;
use crate::sql::{Connection, Readers, query};
use crate::sqlite::{SqliteFile, copies, lock_file};
use crate::stored::nanoseconds;
use crate::tables::living::{end_leases_of, end_named_leases_of, has_living_node};
use crate::writer::{self, Doing, Durability, Link, OnAnother, WriterHandle, erasing};
use crate::{
    CopyContents, InstanceId, KeyRing, Lifetime, MasterKey, OpenMode, ReadKeys, Restoration, SigningKey,
    StoreError, postgres, sqlite,
};

/// A store in one SQLite file, or in one schema of a PostgreSQL database.
///
/// `Tenants::remove_tenant` and `Tenants::offboard_tenant` overwrite the tenant's sealed data key; without it the tenant's
/// journal cannot be read by anyone, in the store or in an older copy of it. With SQLite every deleted cell is zeroed (`PRAGMA
/// secure_delete`) and the WAL emptied; PostgreSQL is told to clear away what is left of deleted rows (`VACUUM`).
pub struct SqlStore {
    /// Its path or its URL, for messages.
    pub(crate) path: String,
    pub(crate) lineage: CurrentLineage,
    pub(crate) keys: Arc<KnownKeys>,
    pub(crate) signing_key: SigningKey,
    pub(crate) readers: Readers,
    pub(crate) writes: WriterHandle,
    tasks: TaskTracker,
    /// Cancelled when the writer has ended, for whatever reason.
    writer_ended: CancellationToken,
    pub(crate) packer: Packer,
    pub(crate) recent: Recent,
    /// When it was put back from a copy, while what comes again is counted; else 0.
    pub(crate) put_back_at: AtomicI64,
    pub(crate) engine: Engine,
}

/// What is one engine's own.
pub(crate) enum Engine {
    Sqlite(SqliteFile),
    Postgres(Arc<Database>, Holders),
}

/// Those that have leased something through this opening. What they hold ends with the server that gave it: one that was failed
/// over to may have lost what was accepted under a lease, and whoever went on with that would go past what is lost.
#[derive(Clone)]
pub(crate) struct Holders(Arc<Mutex<Held>>);

struct Held {
    by: HashSet<InstanceId>,
    /// The last fence that was thought of.
    last_fence: i64,
    /// Sets this opening's fences apart from another's at the same time: less than a millisecond.
    apart: i64,
}

impl Holders {
    fn new() -> Self {
        let apart = i64::from(Uuid::new_v4().as_fields().0 >> 12);
        Self(Arc::new(Mutex::new(Held { by: HashSet::new(), last_fence: 0, apart })))
    }

    /// A fence for `instance` that no lease had before, on whatever server: it tells the time.
    fn fence(&self, instance: InstanceId, now: Timestamp) -> i64 {
        let mut held = self.0.lock().expect("no panic while the lock is held");
        held.by.insert(instance);
        held.last_fence = nanoseconds(now).saturating_add(held.apart).max(held.last_fence + 1);
        held.last_fence
    }

    async fn end_leases(&self, connection: &mut Connection) -> Result<(), Failure> {
        let all = self.0.lock().expect("no panic while the lock is held").by.clone();
        for InstanceId(instance) in all {
            end_leases_of(connection, instance.as_bytes()).await?;
            end_named_leases_of(connection, instance.as_bytes()).await?;
        }
        Ok(())
    }
}

/// The lineage of the deliveries that are numbered now: of this opening, and with PostgreSQL of this server, since a
/// database that was failed over to may have lost the last numbers and would give them again.
#[derive(Clone)]
pub(crate) struct CurrentLineage(Arc<Mutex<Lineage>>);

impl CurrentLineage {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Lineage(Uuid::new_v4()))))
    }

    /// That of now, as seen from within a transaction.
    pub(crate) fn get(&self) -> Lineage {
        *self.0.lock().expect("no panic while the lock is held")
    }

    fn renew(&self) {
        *self.0.lock().expect("no panic while the lock is held") = Lineage(Uuid::new_v4());
    }
}

impl SqlStore {
    /// Makes a new store in a file at `path`, readable by its owner only, and opens it.
    ///
    /// # Errors
    /// When a file is there already, or cannot be made.
    pub async fn create(path: &Path, master_key: &MasterKey) -> Result<Self, StoreError> {
        sqlite::open::create_file(path)?;
        Self::open(path, OpenMode::Exclusive, &KeyRing::from(master_key.clone())).await
    }

    /// Opens the store in the file at `path`.
    ///
    /// # Errors
    /// When there is none, it is locked, damaged, of a later version, or sealed with another master key.
    pub async fn open(path: &Path, mode: OpenMode, keys: &KeyRing) -> Result<Self, StoreError> {
        let opened = sqlite::open::open(path, mode, keys).await?;
        let file = SqliteFile {
            path: path.to_owned(),
            lock: Mutex::new(opened.lock),
            marked: AtomicU64::new(0),
            guards: Mutex::new(HashMap::new()),
        };
        let link = Link::Sqlite { connection: opened.writer.here(), durability: None };
        let store = Self::on(
            path.display().to_string(),
            Engine::Sqlite(file),
            (opened.keys, opened.signing_key),
            Readers::Sqlite(opened.readers),
            (link, CurrentLineage::new()),
        )?;
        if mode == OpenMode::Exclusive && store.sweep_removed().await? {
            store.forget_traces().await;
        }
        Ok(store)
    }

    /// Makes a new store in the schema at `address`, unless there is one, and opens it.
    ///
    /// # Errors
    /// When the database cannot be reached or may not be written, or what is there is not ours.
    pub async fn create_in(address: PostgresAddress, master_key: &MasterKey) -> Result<Self, StoreError> {
        Self::connected(address, &KeyRing::from(master_key.clone()), true).await
    }

    /// Opens the store in the schema at `address`.
    ///
    /// # Errors
    /// When there is none, the database cannot be reached or may not be written, or it is of a later version or sealed with
    /// another master key.
    pub async fn open_in(address: PostgresAddress, keys: &KeyRing) -> Result<Self, StoreError> {
        Self::connected(address, keys, false).await
    }

    async fn connected(address: PostgresAddress, keys: &KeyRing, make: bool) -> Result<Self, StoreError> {
        let opened = postgres::open::open(address, keys, make).await?;
        let (lineage, holders) = (CurrentLineage::new(), Holders::new());
        let on_another: OnAnother = {
            let (lineage, holders) = (lineage.clone(), holders.clone());
            Box::new(move |connection| {
                let (lineage, holders) = (lineage.clone(), holders.clone());
                Box::pin(async move {
                    lineage.renew();
                    holders.end_leases(connection).await
                })
            })
        };
        let database = Arc::clone(&opened.database);
        let link = Link::Postgres { database, connection: None, servers: (None, None), on_another };
        Self::on(
            opened.database.address.shown.clone(),
            Engine::Postgres(opened.database, holders),
            (opened.keys, opened.signing_key),
            Readers::Postgres(opened.readers),
            (link, lineage),
        )
    }

    fn on(
        path: String,
        engine: Engine,
        (keys, signing_key): (KnownKeys, SigningKey),
        readers: Readers,
        (link, lineage): (Link, CurrentLineage),
    ) -> Result<Self, StoreError> {
        let (writes, writer) = writer::writer(link, path.clone());
        let tasks = TaskTracker::new();
        let writer_ended = CancellationToken::new();
        let guard = writer_ended.clone().drop_guard();
        let work = async move {
            // Dropped when the writer ends, also by a panic.
            let _guard = guard;
            writer.run().await;
        };
        match engine {
            // SQLite answers within the call, and a sync takes its time.
            Engine::Sqlite(_) => {
                let (work, runtime) = (tasks.track_future(work), Handle::current());
                let thread = std::thread::Builder::new().name("store writer".to_owned());
                let spawned = thread.spawn(move || runtime.block_on(work));
                spawned.map_err(|error| StoreError::Database {
                    doing: "open",
                    detail: format!("no thread: {error}"),
                })?;
            }
            Engine::Postgres(..) => drop(tasks.spawn(work)),
        }
        tasks.close();
        Ok(Self {
            path,
            lineage,
            keys: Arc::new(keys),
            signing_key,
            readers,
            writes,
            tasks,
            writer_ended,
            packer: Packer::new(),
            recent: Recent::default(),
            put_back_at: AtomicI64::new(0),
            engine,
        })
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
    pub(crate) async fn write<T, F>(
        &self,
        doing: &'static str,
        durability: Durability,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Doing<'c, T> + Send + 'static,
    {
        self.writes.run(durability, work).await.map_err(|failure| failure.worded(&self.path, doing))
    }

    /// Runs `work` in a transaction of the writer, and overwrites with zeros what it deletes or replaces.
    pub(crate) async fn write_erasing<T, F>(
        &self,
        doing: &'static str,
        durability: Durability,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Doing<'c, T> + Send + 'static,
    {
        self.write(doing, durability, move |connection| {
            Box::pin(async move { erasing(connection, work).await })
        })
        .await
    }

    /// Has nothing be left of what was deleted: older versions of the pages are in the WAL still, or rows that are dead lie in
    /// their tables. What holds this up ends with whoever reads them: then they go.
    pub(crate) async fn forget_traces(&self) {
        self.recent.clear();
        match &self.engine {
            Engine::Sqlite(_) => {
                let emptied = query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.readers).await;
                if let Err(error) = emptied {
                    tracing::debug!(%error, "the WAL will be emptied later");
                }
            }
            Engine::Postgres(database, _) => database.forget_traces().await,
        }
    }

    /// The least fence of a lease that `instance` is given now. With PostgreSQL it is the time: a lease that a server has lost
    /// when another took its place would else be given again, by the same number.
    pub(crate) fn least_fence(&self, instance: InstanceId, now: Timestamp) -> i64 {
        match &self.engine {
            Engine::Sqlite(_) => 0,
            Engine::Postgres(_, holders) => holders.fence(instance, now),
        }
    }

    /// Puts an error of a reading statement into words.
    pub(crate) fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError + use<'_> {
        move |error| worded(&error, &self.path, doing)
    }
}

#[async_trait]
impl Lifetime for SqlStore {
    async fn ended(&self) {
        self.writer_ended.cancelled().await;
    }

    async fn is_owned(&self) -> Result<bool, StoreError> {
        match &self.engine {
            Engine::Sqlite(file) => {
                let mine = file.lock.lock().expect("no panic while the lock is held").is_some();
                Ok(mine || lock_file::is_locked(&file.path, "lock", "look for its owner")?)
            }
            Engine::Postgres(..) => {
                let failed = self.failed("look who is at work");
                let mut reader = self.readers.acquire().await.map_err(&failed)?;
                has_living_node(&mut reader).await.map_err(failed)
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        let trouble = self.writes.trouble();
        let Engine::Sqlite(_) = self.engine else { return trouble };
        let examined = || sqlite::failure::examined(&self.path, "the file is missing");
        trouble.or_else(|| examined().map(|error| error.to_string()))
    }

    async fn mark(&self, actor: &str, now: Timestamp) -> Result<Option<Restoration>, StoreError> {
        match &self.engine {
            Engine::Sqlite(file) => self.renew_mark(file, actor, now).await,
            // Each server numbers in a lineage of its own: what was put back gives no number again.
            Engine::Postgres(..) => Ok(None),
        }
    }

    async fn restorations(&self) -> Result<Vec<Restoration>, StoreError> {
        self.put_back().await
    }

    async fn copy_to(&self, to: &Path, keys: &KeyRing) -> Result<CopyContents, StoreError> {
        match &self.engine {
            Engine::Sqlite(file) => copies::copy_out(&file.path, to, keys).await,
            Engine::Postgres(database, _) => Err(StoreError::NotByThisEngine {
                what: "written to a file",
                instead: format!(
                    "use the database's own backups, or `pg_dump --schema={}`; keep the master key apart",
                    database.address.schema
                ),
            }),
        }
    }

    async fn close(&self) {
        self.writes.close();
        self.readers.close().await;
        self.tasks.wait().await;
        if let Engine::Postgres(database, _) = &self.engine
            && let Some(beside) = database.beside.lock().await.take()
        {
            drop(beside.close().await);
        }
        if let Engine::Sqlite(file) = &self.engine {
            file.guards.lock().expect("no panic while the lock is held").clear();
            file.lock.lock().expect("no panic while the lock is held").take();
        }
    }
}
