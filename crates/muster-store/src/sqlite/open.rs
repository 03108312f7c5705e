//! Creating and opening the database file: permissions, the lock of the one `muster run`, versions, the master key.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::failure::{file_error, worded};
use super::lock_file::{part_from_foreign_wal, try_lock};
use crate::known_keys::KnownKeys;
use crate::sql::{Connection, SqliteOptions, SqliteReaders, query};
use crate::tables::meta::{check_not_moved, make_keys, signing_key};
use crate::{KeyRing, OpenMode, SigningKey, StoreError};

/// Leads every database of Muster, so that another program's is not taken for one: "MSTR".
pub(crate) const APPLICATION_ID: i64 = 0x4d53_5452;
/// The steps from one layout of the tables to the next. `PRAGMA user_version` counts those that were taken.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_start.sql"),
    include_str!("../../migrations/sqlite/0002_identity.sql"),
    include_str!("../../migrations/sqlite/0003_cursors.sql"),
    include_str!("../../migrations/sqlite/0004_ledger.sql"),
    include_str!("../../migrations/sqlite/0005_changes.sql"),
    include_str!("../../migrations/sqlite/0006_history.sql"),
    include_str!("../../migrations/sqlite/0007_status.sql"),
    include_str!("../../migrations/sqlite/0008_lineage.sql"),
    include_str!("../../migrations/sqlite/0009_replays.sql"),
    include_str!("../../migrations/sqlite/0010_tickets.sql"),
    include_str!("../../migrations/sqlite/0011_tags.sql"),
    include_str!("../../migrations/sqlite/0012_pull_clients.sql"),
    include_str!("../../migrations/sqlite/0013_fetched_again.sql"),
    include_str!("../../migrations/sqlite/0014_bound.sql"),
    include_str!("../../migrations/sqlite/0015_confirmed.sql"),
    include_str!("../../migrations/sqlite/0016_leased_to.sql"),
    include_str!("../../migrations/sqlite/0017_replay_id.sql"),
    include_str!("../../migrations/sqlite/0018_notices.sql"),
];
/// The step that makes the place of the signing key and of the audit log.
pub(crate) const IDENTITY: i64 = 2;
/// How long a write waits for another process before the store is called locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const READERS_MAX: u32 = 4;
/// How often, and how far apart, the lock of the one `muster run` is tried.
const LOCK_ATTEMPTS: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The connections to an opened database.
pub(crate) struct Opened {
    pub(crate) writer: Connection,
    pub(crate) readers: Arc<SqliteReaders>,
    pub(crate) keys: KnownKeys,
    pub(crate) signing_key: SigningKey,
    /// Held for as long as the store is open.
    pub(crate) lock: Option<File>,
}

/// Makes the file of a new store, empty, for its owner only.
pub(crate) fn create_file(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| file_error(&error, path, "create its file"))
}

/// Opens the database at `path`; a new file is filled with the tables first.
pub(crate) async fn open(path: &Path, mode: OpenMode, ring: &KeyRing) -> Result<Opened, StoreError> {
    if !path.is_file() {
        let detail = format!("there is no file {}; `muster init` makes one", path.display());
        return Err(StoreError::Database { doing: "open", detail });
    }
    let lock = match mode {
        OpenMode::Exclusive => Some(lock(path).await?),
        OpenMode::Shared => None,
    };
    part_from_foreign_wal(path, lock.as_ref()).await?;
    let shown = path.display().to_string();
    let failed = |error: sqlx::Error| worded(&error, &shown, "open");
    let options = options(path);
    // The writer's cache holds the inner pages of the indexes; bounded, since a backfill would fill any size.
    let writing = options.clone().pragma("cache_size", "-16384").pragma("wal_autocheckpoint", "2000");
    let mut writer = Connection::from(writing.connect().await.map_err(failed)?);
    let keys = KnownKeys::new(shown.clone(), ring);
    migrate(&mut writer, &shown, ring, &keys).await?;
    check_not_moved(&mut writer, &shown).await?;
    let signing_key = signing_key(&mut writer, &shown, &keys).await?;
    // What a savepoint takes back is little, and need not be in a file; what a new index sorts is not.
    writer.run("PRAGMA temp_store = MEMORY").await.map_err(failed)?;
    let reading = options.pragma("cache_size", "-2048").pragma("query_only", "ON");
    let readers = SqliteReaders::new(reading, READERS_MAX).await.map_err(failed)?;
    Ok(Opened { writer, readers, keys, signing_key, lock })
}

pub(crate) fn options(path: &Path) -> SqliteOptions {
    SqliteOptions::new(path)
        .busy_timeout(BUSY_TIMEOUT)
        // Before the journal mode, so that it takes effect on an empty file.
        .pragma("page_size", "8192")
        .pragma("journal_mode", "WAL")
}

/// Takes the lock that only one process can hold. Who only looks whether it is held ([`is_locked`]) has it for an instant,
/// so it is tried a few times.
async fn lock(path: &Path) -> Result<File, StoreError> {
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(locked) = try_lock(path, "lock", "open")? {
            return Ok(locked);
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Err(StoreError::Locked { store: path.display().to_string() })
}

async fn migrate(
    writer: &mut Connection,
    path: &str,
    ring: &KeyRing,
    keys: &KnownKeys,
) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| worded(&error, path, "open");
    // Within a transaction, so that two processes that open a new store at once do not both fill it.
    writer.run("BEGIN IMMEDIATE").await.map_err(failed)?;
    let application = number(writer, "PRAGMA application_id").await.map_err(failed)?;
    let version = number(writer, "PRAGMA user_version").await.map_err(failed)?;
    let tables = number(writer, "SELECT count(*) FROM sqlite_schema").await.map_err(failed)?;
    if application != APPLICATION_ID && tables > 0 {
        let detail = "another program made this database".to_owned();
        return Err(StoreError::Damaged { store: path.to_owned(), detail });
    }
    let known = versions();
    if version > known {
        return Err(StoreError::TooNew { store: path.to_owned() });
    }
    if version < known {
        for step in &MIGRATIONS[usize::try_from(version.max(0)).expect("a small number")..] {
            writer.run(step).await.map_err(failed)?;
        }
        if version < IDENTITY {
            make_keys(writer, path, ring, keys).await?;
        }
        let stamp = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known}");
        writer.run(&stamp).await.map_err(failed)?;
    }
    writer.run("COMMIT").await.map_err(failed)
}

/// The layout of the tables that this version knows.
pub(crate) fn versions() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful")
}

pub(crate) async fn number(connection: &mut Connection, sql: &'static str) -> Result<i64, sqlx::Error> {
    query(sql).fetch_one(&mut *connection).await?.try_get(0)
}
