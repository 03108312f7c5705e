//! The lock file beside the database: who is at work, and what the process that delivers has left there of which files were its.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use uuid::Uuid;

use super::failure::file_error;
use super::files::beside;
use crate::StoreError;
use crate::sql::{Connection, SqliteOptions, query};

/// What the mark of a copy made by `muster backup` begins with: such a mark is in no lock file.
pub(crate) const BACKUP: &str = "backup:";
/// The lock file was written at about the time that it says.
const WRITTEN_WITHIN_SECONDS: i64 = 120;
/// A database that was changed so long after its WAL was not changed by SQLite.
const CHANGED_WITHIN_SECONDS: i64 = 120;

/// What the lock file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// One, or two while the mark is being renewed.
    pub(crate) marks: Vec<String>,
    /// Which file it is: inode and time of birth.
    pub(crate) itself: Option<String>,
    /// When it was written, in seconds.
    pub(crate) written: Option<i64>,
    /// The opening whose mark the database itself has, without its WAL.
    pub(crate) opening: Option<String>,
    /// Which files database and WAL were.
    pub(crate) database: Option<String>,
    pub(crate) wal: Option<String>,
}

impl Beside {
    pub(crate) fn read(lock: &File) -> std::io::Result<Self> {
        let mut bytes = vec![0; 1024];
        let length = lock.read_at(&mut bytes, 0)?;
        let mut beside = Self::default();
        for word in String::from_utf8_lossy(&bytes[..length]).split_whitespace() {
            match word.split_once('=') {
                Some(("file", value)) => beside.itself = Some(value.to_owned()),
                Some(("written", value)) => beside.written = value.parse().ok(),
                Some(("opening", value)) => beside.opening = Some(value.to_owned()),
                Some(("database", value)) => beside.database = Some(value.to_owned()),
                Some(("wal", value)) => beside.wal = Some(value.to_owned()),
                _ => beside.marks.push(word.to_owned()),
            }
        }
        Ok(beside)
    }

    pub(crate) fn write(&mut self, lock: &File) -> std::io::Result<()> {
        self.itself = Some(identity(lock)?);
        self.written = Some(lock.metadata()?.mtime());
        let mut text = self.marks.join(" ");
        for (key, value) in [
            ("file", self.itself.clone()),
            ("written", self.written.map(|at| at.to_string())),
            ("opening", self.opening.clone()),
            ("database", self.database.clone()),
            ("wal", self.wal.clone()),
        ] {
            if let Some(value) = value {
                text.push_str(&format!(" {key}={value}"));
            }
        }
        text.push('\n');
        lock.write_all_at(text.as_bytes(), 0)?;
        lock.set_len(text.len() as u64)?;
        lock.sync_data()
    }

    /// Why the database with this mark is not the one that was left here; `None` when it is.
    pub(crate) fn stranger(&self, mark: &str, lock: &File) -> std::io::Result<Option<&'static str>> {
        if mark.is_empty() && self.marks.is_empty() {
            return Ok(None);
        }
        if mark.starts_with(BACKUP) {
            return Ok(Some("a backup was put back"));
        }
        if !self.marks.iter().any(|known| known == mark) {
            return Ok(Some(
                "a copy of the database was put back, or the database was moved without its lock file",
            ));
        }
        let another = match &self.itself {
            Some(itself) => *itself != identity(lock)?,
            None => false,
        };
        let rewritten = self.written.is_some_and(|written| match lock.metadata() {
            Ok(found) => (found.mtime() - written).abs() > WRITTEN_WITHIN_SECONDS,
            Err(_) => false,
        });
        Ok((another || rewritten).then_some("a copy of the whole folder was put back or moved"))
    }
}

/// Which file it is: its inode, and its time of birth where the file system knows one.
pub(crate) fn identity(file: &File) -> std::io::Result<String> {
    let found = file.metadata()?;
    let born = found.created().ok().and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
    Ok(format!("{}.{}", found.ino(), born.map_or(0, |born| born.as_nanos())))
}

/// Whether somebody holds the lock of the file `name` beside the database. Who looks shares the lock with others who look.
pub(crate) fn is_locked(path: &Path, name: &str, doing: &'static str) -> Result<bool, StoreError> {
    let beside = beside(path, &format!(".{name}"));
    let failed = |error: std::io::Error| file_error(&error, &beside, doing);
    let file = match File::open(&beside) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(failed(error.into())),
    }
}

/// Locks the file `name` beside the database; `None` when another holds it. The lock goes with the file handle, however
/// the process ends.
pub(crate) fn try_lock(path: &Path, name: &str, doing: &'static str) -> Result<Option<File>, StoreError> {
    let beside = beside(path, &format!(".{name}"));
    let failed = |error: std::io::Error| file_error(&error, &beside, doing);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&beside).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed(error.into())),
    }
}

pub(crate) fn wal_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// What the WAL beside a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wal {
    /// There is none, or nothing in it.
    Missing,
    /// It belongs to the database.
    Own,
    /// A process that was killed left it, and another database was put in the place of its own since.
    AnotherDatabases,
}

/// Tells whether the WAL beside the database belongs to it, by what the lock file says that was left. Changes nothing.
pub(crate) async fn wal_beside(path: &Path, left: &Beside) -> Result<Wal, StoreError> {
    let wal = wal_of(path);
    let Ok(found) = std::fs::metadata(&wal) else { return Ok(Wal::Missing) };
    if found.len() == 0 {
        return Ok(Wal::Missing);
    }
    let failed = |error: std::io::Error| file_error(&error, path, "open");
    let database = std::fs::metadata(path).map_err(failed)?;
    let is_same = |path: &Path, left: &Option<String>| -> Result<Option<bool>, StoreError> {
        let Some(left) = left else { return Ok(None) };
        Ok(Some(File::open(path).and_then(|file| identity(&file)).map_err(failed)? == *left))
    };
    let is_another = match (is_same(path, &left.database)?, is_same(&wal, &left.wal)?) {
        // Another database beside the WAL that a process has left.
        (Some(false), Some(true)) => true,
        // They were put back together.
        (Some(false), Some(false)) => return Ok(Wal::Own),
        _ => match (&left.opening, opened_alone(path).await) {
            (Some(known), Some(found)) => *known != found,
            _ => false,
        },
    };
    if is_another {
        return Ok(Wal::AnotherDatabases);
    }
    if left.opening.is_some() && database.ctime() > found.ctime() + CHANGED_WITHIN_SECONDS {
        let detail = format!(
            "it was changed after its WAL, by something other than Muster. Was it put back from a copy? Then move {} away \
             (it belongs to the database before) and start again; else `touch` that file and start again",
            wal.display()
        );
        return Err(StoreError::Damaged { store: path.display().to_string(), detail });
    }
    Ok(Wal::Own)
}

/// Moves a WAL aside that does not belong to the database, before SQLite mixes the two: it would write pages of a later day
/// into it.
pub(crate) async fn part_from_foreign_wal(path: &Path, lock: Option<&File>) -> Result<(), StoreError> {
    let taken;
    let lock = match lock {
        Some(lock) => lock,
        None if !wal_of(path).exists() => return Ok(()),
        // Where it is held, a process is at work with both: they belong together.
        None => match try_lock(path, "lock", "open")? {
            None => return Ok(()),
            Some(lock) => {
                taken = lock;
                &taken
            }
        },
    };
    let failed = |error: std::io::Error| file_error(&error, path, "open");
    let left = Beside::read(lock).map_err(failed)?;
    if wal_beside(path, &left).await? != Wal::AnotherDatabases {
        return Ok(());
    }
    let aside = beside(path, &format!("-wal.of-another-{}", Uuid::new_v4().simple()));
    std::fs::rename(wal_of(path), &aside).map_err(failed)?;
    drop(std::fs::remove_file(beside(path, "-shm")));
    tracing::warn!(
        store = %path.display(),
        aside = %aside.display(),
        "the database was put back and an older WAL lay beside it; it was moved aside, since it belongs to another state"
    );
    Ok(())
}

/// The opening that the database itself is marked with, without its WAL.
async fn opened_alone(path: &Path) -> Option<String> {
    let options = SqliteOptions::reading(path).immutable(true);
    let mut connection = Connection::from(options.connect().await.ok()?);
    let row = query("SELECT value FROM meta WHERE key = 'opened'").fetch_optional(&mut connection).await;
    drop(connection.close().await);
    Some(row.ok()?.map(|row| row.try_get(0)).transpose().ok()?.unwrap_or_default())
}
