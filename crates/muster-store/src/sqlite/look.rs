//! Looking at a database file without changing it: no table, no file beside it, no lock.
//!
//! Where there is no write-ahead log, the file is taken for one that nobody changes, since SQLite would make files beside
//! it otherwise. Where there is one, somebody has the database open, or had when they died: it is read with it.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::failure::{examined, file_error, worded};
use super::files::{beside, is_writable};
use super::lock_file::{Beside, Wal, is_locked, wal_beside};
use super::open::{APPLICATION_ID, IDENTITY, MIGRATIONS, number};
use crate::known_keys::KnownKeys;
use crate::sql::{Connection, SqliteOptions};
use crate::tables::meta::{check_not_moved, signing_key};
use crate::{KeyRing, StoreError, StoreLook};

/// How long it is waited for a process that has locked the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at the database at `path`. Without keys it is not known whether they are the right ones.
pub(crate) async fn look(path: &Path, keys: Option<&KeyRing>) -> Result<StoreLook, StoreError> {
    let shown = path.display().to_string();
    is_a_file(path)?;
    is_writable(path)?;
    // Whoever is at work with it has its files already.
    if !is_owned(path)
        && let Some(error) = examined(&shown, "look at it")
    {
        return Err(error);
    }
    let failed = |error: sqlx::Error| worded(&error, &shown, "look at it");
    let has_log = wal(path).await? == Wal::Own;
    if !has_log && std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        let detail = "its file is empty".to_owned();
        return Err(StoreError::Damaged { store: shown, detail });
    }
    let options = SqliteOptions::reading(path).immutable(!has_log).busy_timeout(BUSY_TIMEOUT);
    let mut connection = Connection::from(options.connect().await.map_err(failed)?);
    let seen = see(&mut connection, &shown, keys).await;
    // What was read is read; how it ends changes nothing.
    drop(connection.close().await);
    Ok(StoreLook { is_owned: is_owned(path), ..seen? })
}

async fn see(
    connection: &mut Connection,
    shown: &str,
    keys: Option<&KeyRing>,
) -> Result<StoreLook, StoreError> {
    let failed = |error: sqlx::Error| worded(&error, shown, "look at it");
    let application = number(connection, "PRAGMA application_id").await.map_err(failed)?;
    let version = number(connection, "PRAGMA user_version").await.map_err(failed)?;
    if application != APPLICATION_ID {
        let detail = "another program made this database".to_owned();
        return Err(StoreError::Damaged { store: shown.to_owned(), detail });
    }
    let known = i64::try_from(MIGRATIONS.len()).expect("a handful");
    if version > known {
        return Err(StoreError::TooNew { store: shown.to_owned() });
    }
    check_not_moved(connection, shown).await?;
    if let Some(ring) = keys.filter(|_| version >= IDENTITY) {
        signing_key(connection, shown, &KnownKeys::new(shown.to_owned(), ring)).await?;
    }
    match version == known {
        true => StoreLook::at_tables(connection, shown).await,
        false => Ok(StoreLook::outdated()),
    }
}

fn is_a_file(path: &Path) -> Result<(), StoreError> {
    let wrong = |detail: String| Err(StoreError::Database { doing: "open", detail });
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() => Ok(()),
        Ok(other) if other.is_dir() => wrong(format!("{} is a folder: name a file in it", path.display())),
        Ok(_) => wrong(format!("{} is no ordinary file", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            wrong(format!("there is no store at {}; `muster init` makes one", path.display()))
        }
        Err(error) => wrong(format!("{}: {error}", path.display())),
    }
}

/// The WAL that the database is read with. One that is another's is left alone: whoever opens the store moves it aside.
async fn wal(path: &Path) -> Result<Wal, StoreError> {
    let failed = |error: std::io::Error| file_error(&error, path, "look at it");
    let left = match File::open(beside(path, ".lock")) {
        // Whoever is at work with it has seen to that.
        Ok(_) if is_owned(path) => Beside::default(),
        Ok(lock) => Beside::read(&lock).map_err(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Beside::default(),
        Err(error) => return Err(failed(error)),
    };
    wal_beside(path, &left).await
}

/// Whether another process has the lock of the one that runs. Nothing is made for that, and nobody is kept from it who
/// comes meanwhile but for an instant.
fn is_owned(path: &Path) -> bool {
    is_locked(path, "lock", "look for its owner").unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::{Lifetime, MasterKey, OpenMode, SqlStore};

    fn listing(folder: &Path) -> Vec<(OsString, u64, Vec<u8>)> {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a file");
            (path.file_name().expect("a name").to_owned(), bytes.len() as u64, bytes)
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        entries
    }

    #[tokio::test]
    async fn a_look_changes_nothing_and_sees_who_is_at_work() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("muster.db");
        let ring = KeyRing::from(MasterKey::generate());
        SqlStore::create(&path, &ring.current).await.expect("a store").close().await;
        let before = listing(folder.path());
        let seen = look(&path, Some(&ring)).await.expect("a store");
        assert!(seen.is_current && !seen.is_owned && seen.tenants.is_empty());
        assert_eq!(listing(folder.path()), before, "no byte and no file");

        let wrong = look(&path, Some(&MasterKey::generate().into())).await.expect_err("another key");
        assert!(matches!(wrong, StoreError::WrongMasterKey { .. }), "{wrong}");
        look(&path, None).await.expect("without a key there is nothing to compare");

        let running = SqlStore::open(&path, OpenMode::Exclusive, &ring).await.expect("at work");
        let seen = look(&path, Some(&ring)).await.expect("a store");
        assert!(seen.is_owned);
        running.close().await;
        assert!(!look(&path, Some(&ring)).await.expect("a store").is_owned);
    }

    #[tokio::test]
    async fn what_is_no_store_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("muster.db");
        let said = async || look(&path, None).await.expect_err("no store").to_string();
        assert!(said().await.contains("`muster init` makes one"));
        std::fs::write(&path, "").expect("written");
        assert!(said().await.contains("its file is empty"));
        std::fs::write(&path, "this is no database".repeat(500)).expect("written");
        assert!(said().await.contains("not a Muster database"));
        std::fs::remove_file(&path).expect("removed");
        let other = rusqlite::Connection::open(&path).expect("another program");
        other.execute_batch("CREATE TABLE a (b)").expect("a table");
        drop(other);
        assert!(said().await.contains("another program made this database"));
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("a folder");
        assert!(said().await.contains("is a folder"));
    }
}
