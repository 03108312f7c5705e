//! Copies of the database: made while others work with it, looked at, and put back.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{CWD, OFlags, RenameFlags};
use uuid::Uuid;

use super::failure::{file_error, worded};
use super::files::beside;
use super::lock_file::{BACKUP, try_lock};
use super::open::{APPLICATION_ID, options, versions};
use crate::known_keys::{KnownKeys, opened_signing_key};
use crate::sql::{Connection, SqliteOptions, query};
use crate::stored::{count, timestamp};
use crate::tables::meta::{set_meta, stored_keys};
use crate::{CopyContents, KeyRing, StoreError};

/// Writes a copy of the database at `from` to `to`, where nothing may be: as of one moment, also while others write, readable
/// by its owner only, and checked.
pub(crate) async fn copy_out(from: &Path, to: &Path, keys: &KeyRing) -> Result<CopyContents, StoreError> {
    let doing = "write the copy";
    if to.symlink_metadata().is_ok() {
        return Err(exists(to));
    }
    let made = temporary(to);
    new_file(&made).map_err(|error| file_error(&error, &made, doing))?;
    let copied = async {
        let shown = to.display().to_string();
        let failed = |error: sqlx::Error| worded(&error, &shown, doing);
        let mut source = Connection::from(options(from).connect().await.map_err(failed)?);
        let into = made.to_str().ok_or_else(|| StoreError::Database {
            doing,
            detail: format!("{shown}: the path is not UTF-8"),
        })?;
        let vacuumed = query("VACUUM INTO ?").bind(into).execute(&mut source).await;
        drop(source.close().await);
        vacuumed.map_err(failed)?;
        mark_as_copy(&made).await?;
        let contents = look_at(&made, keys).await?;
        settle(&made, to).map_err(|error| file_error(&error, to, doing))?;
        Ok(contents)
    };
    let copied = copied.await;
    if copied.is_err() {
        remove_set(&made);
    }
    copied
}

/// A copy that has been checked and lies beside the store, in whose place it is to go. The store is locked meanwhile.
pub struct CheckedCopy {
    store: PathBuf,
    made: PathBuf,
    /// What the copy holds.
    pub contents: CopyContents,
    lock: Option<File>,
}

impl CheckedCopy {
    /// Copies the database at `from` (with its WAL, where one lies beside it) next to the store at `store`, and checks it.
    ///
    /// # Errors
    /// When a process runs on the store, or the copy is damaged, of another program or version, or sealed with another key.
    pub async fn of(from: &Path, store: &Path, keys: &KeyRing) -> Result<Self, StoreError> {
        let doing = "put the copy back";
        let locked = try_lock(store, "lock", doing)?;
        let lock = locked.ok_or_else(|| StoreError::Locked { store: store.display().to_string() })?;
        let made = temporary(store);
        let mut copy =
            Self { store: store.to_owned(), made, contents: CopyContents::default(), lock: Some(lock) };
        copy_file(from, &copy.made).map_err(|error| file_error(&error, from, doing))?;
        let wal = beside(from, "-wal");
        if wal.symlink_metadata().is_ok_and(|found| found.len() > 0) {
            copy_file(&wal, &beside(&copy.made, "-wal")).map_err(|error| file_error(&error, &wal, doing))?;
        }
        // Looked at before it is changed, so that what is said is said of the copy.
        check_kind(&copy.made, from).await?;
        mark_as_copy(&copy.made).await?;
        copy.contents = look_at(&copy.made, keys).await.map_err(|error| renamed(error, from))?;
        Ok(copy)
    }

    /// Puts the copy in the store's place. What was there is kept aside: its new path, where there was something.
    ///
    /// # Errors
    /// When files cannot be renamed.
    pub fn put(mut self, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
        let failed = |error: std::io::Error| file_error(&error, &self.store, "put the copy back");
        let mut aside = None;
        if self.store.symlink_metadata().is_ok() {
            let time = now.strftime("%Y%m%dT%H%M%SZ");
            let name = (1..1000).map(|number| match number {
                1 => beside(&self.store, &format!(".before-{time}")),
                _ => beside(&self.store, &format!(".before-{time}-{number}")),
            });
            let name = name.into_iter().find(|name| name.symlink_metadata().is_err());
            let name = name.ok_or_else(|| exists(&self.store))?;
            // The WAL first: the database must not be met with a WAL that is not its own.
            for suffix in ["-wal", "-shm", ""] {
                let from = beside(&self.store, suffix);
                if from.symlink_metadata().is_ok() {
                    std::fs::rename(&from, beside(&name, suffix)).map_err(failed)?;
                }
            }
            aside = Some(name);
        }
        settle(&self.made, &self.store).map_err(failed)?;
        self.lock.take();
        Ok(aside)
    }
}

impl Drop for CheckedCopy {
    fn drop(&mut self) {
        remove_set(&self.made);
    }
}

/// What a copy holds, after all of it was read and found whole.
async fn look_at(path: &Path, keys: &KeyRing) -> Result<CopyContents, StoreError> {
    let shown = path.display().to_string();
    let failed = |error: sqlx::Error| worded(&error, &shown, "look at the copy");
    let mut copy = Connection::from(alone(path).connect().await.map_err(failed)?);
    let checked: String = query("PRAGMA integrity_check(3)")
        .fetch_one(&mut copy)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    if checked != "ok" {
        return Err(StoreError::Damaged { store: shown, detail: checked });
    }
    let known = KnownKeys::new(shown.clone(), keys);
    let (master_key, signing_key) = stored_keys(&mut copy).await.map_err(failed)?;
    known.named(&master_key)?;
    if let Some(signing_key) = signing_key {
        opened_signing_key(&signing_key, &known)?;
    }
    let mut contents = CopyContents { master_key, ..CopyContents::default() };
    for (sql, into) in [
        ("SELECT count(*) FROM tenant WHERE state <> 'offboarded'", &mut contents.tenants),
        ("SELECT coalesce(sum(records), 0) FROM journal_batch", &mut contents.records),
        ("SELECT coalesce(sum(owed), 0) FROM queue", &mut contents.owed),
        ("SELECT count(*) FROM dead_letter", &mut contents.dead_letters),
        ("SELECT coalesce(max(number), 0) FROM audit_event", &mut contents.audit_events),
    ] {
        *into = count(query(sql).fetch_one(&mut copy).await.and_then(|row| row.try_get(0)).map_err(failed)?);
    }
    let row = query("SELECT value FROM meta WHERE key = 'marked_at'")
        .fetch_optional(&mut copy)
        .await
        .map_err(failed)?;
    let marked: Option<String> = row.map(|row| row.try_get(0)).transpose().map_err(failed)?;
    contents.as_of = marked.and_then(|at| at.parse().ok()).map(timestamp);
    contents.bytes =
        std::fs::metadata(path).map_err(|error| file_error(&error, path, "look at the copy"))?.len();
    drop(copy.close().await);
    Ok(contents)
}

/// Refuses what is no database of Muster, or of a later version, before anything is done with it.
async fn check_kind(path: &Path, from: &Path) -> Result<(), StoreError> {
    let shown = from.display().to_string();
    let failed = |error: sqlx::Error| worded(&error, &shown, "look at the copy");
    let mut copy = Connection::from(SqliteOptions::new(path).connect().await.map_err(failed)?);
    let application: i64 = query("PRAGMA application_id")
        .fetch_one(&mut copy)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    let version: i64 = query("PRAGMA user_version")
        .fetch_one(&mut copy)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    drop(copy.close().await);
    if application != APPLICATION_ID {
        return Err(StoreError::Damaged {
            store: shown,
            detail: "another program made this database".to_owned(),
        });
    }
    if version > versions() {
        return Err(StoreError::TooNew { store: shown });
    }
    Ok(())
}

/// Gives the database a mark that is in no lock file, so that it is noticed wherever it is put back; folds its WAL in.
async fn mark_as_copy(path: &Path) -> Result<(), StoreError> {
    let shown = path.display().to_string();
    let failed = |error: sqlx::Error| worded(&error, &shown, "mark the copy");
    let mut copy = Connection::from(SqliteOptions::new(path).connect().await.map_err(failed)?);
    let mark = format!("{BACKUP}{}", Uuid::new_v4());
    for key in ["opening", "opened"] {
        set_meta(&mut copy, key, &mark).await.map_err(failed)?;
    }
    // Afterwards it is one file, which can be looked at without changing anything.
    query("PRAGMA journal_mode = DELETE").fetch_one(&mut copy).await.map_err(failed)?;
    copy.close().await.map_err(failed)
}

fn alone(path: &Path) -> SqliteOptions {
    SqliteOptions::reading(path).immutable(true)
}

/// A name beside `path` that nobody has.
fn temporary(path: &Path) -> PathBuf {
    beside(path, &format!(".making-{}", Uuid::new_v4().simple()))
}

/// Makes an empty file for its owner only. Where something is there already, a link included, it fails.
fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Copies a file to where nothing is. No link is followed, no pipe waited for.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
    let mut source = OpenOptions::new().read(true).custom_flags(flags).open(from)?;
    if !source.metadata()?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut target = new_file(to)?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// Syncs a finished file and gives it its name, where nothing may be.
fn settle(made: &Path, to: &Path) -> std::io::Result<()> {
    File::open(made)?.sync_all()?;
    match rustix::fs::renameat_with(CWD, made, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Not every file system can do that.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            std::fs::hard_link(made, to)?;
            std::fs::remove_file(made)?;
        }
        Err(error) => return Err(error.into()),
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn remove_set(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        // What is not there needs no removing.
        drop(std::fs::remove_file(beside(path, suffix)));
    }
}

fn exists(path: &Path) -> StoreError {
    let detail = format!("{} exists already; nothing was changed: choose another name", path.display());
    StoreError::Database { doing: "write the copy", detail }
}

/// The same error, said of the file that the operator named.
fn renamed(error: StoreError, from: &Path) -> StoreError {
    let store = from.display().to_string();
    match error {
        StoreError::Damaged { detail, .. } => StoreError::Damaged { store, detail },
        StoreError::WrongMasterKey { wanted, at_hand, .. } => {
            StoreError::WrongMasterKey { store, wanted, at_hand }
        }
        other => other,
    }
}
