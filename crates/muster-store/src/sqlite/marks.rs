//! Notices that the database is not what was left here: put back from a copy, moved, cloned.
//!
//! The one process that delivers leaves a random mark in the database and beside it, in the lock file, when it starts and every
//! few seconds in which something was written. A copy of the database alone has an older mark than the lock file. A copy
//! of both is told by the lock file itself, which says which file it was: a copy is another one. What cannot be noticed from
//! within is a machine that is put back as a whole; nothing is lost then either, since numbers go on in a new lineage.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, Row, SqliteConnection};
use uuid::Uuid;

use super::audit::append;
use super::engine::SqliteStore;
use super::failure::Failure;
use super::open::{file_error, try_lock};
use super::writer::Durability;
use crate::stored::{count, nanoseconds, timestamp};
use crate::{NewAuditEvent, Restoration, StoreError};

/// What the mark of a copy made by `muster backup` begins with: such a mark is in no lock file.
pub(super) const BACKUP: &str = "backup:";
/// The lock file was written at about the time that it says.
const WRITTEN_WITHIN_SECONDS: i64 = 120;
/// A database that was changed so long after its WAL was not changed by SQLite.
const CHANGED_WITHIN_SECONDS: i64 = 120;
/// How long records count that sinks may have had before the store was put back.
const COUNTED_FOR_SECONDS: i64 = 7 * 86_400;
const DOING: &str = "mark the store";

/// What the lock file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Beside {
    /// One, or two while the mark is being renewed.
    marks: Vec<String>,
    /// Which file it is: inode and time of birth.
    itself: Option<String>,
    /// When it was written, in seconds.
    written: Option<i64>,
    /// The opening whose mark the database itself has, without its WAL.
    opening: Option<String>,
    /// Which files database and WAL were.
    database: Option<String>,
    wal: Option<String>,
}

impl Beside {
    fn read(lock: &File) -> std::io::Result<Self> {
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

    fn write(&mut self, lock: &File) -> std::io::Result<()> {
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
    fn stranger(&self, mark: &str, lock: &File) -> std::io::Result<Option<&'static str>> {
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
fn identity(file: &File) -> std::io::Result<String> {
    let found = file.metadata()?;
    let born = found.created().ok().and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
    Ok(format!("{}.{}", found.ino(), born.map_or(0, |born| born.as_nanos())))
}

impl SqliteStore {
    /// See [`crate::Lifetime::mark`].
    pub(super) async fn renew_mark(
        &self,
        actor: &str,
        now: Timestamp,
    ) -> Result<Option<Restoration>, StoreError> {
        let lock = self.lock.lock().expect("no panic while the lock is held").as_ref().map(File::try_clone);
        let Some(lock) = lock.transpose().map_err(|error| self.beside_failed(&error))? else {
            return Ok(None);
        };
        let (marked, synced) = (self.marked.load(Ordering::Acquire), self.writes.synced());
        let first = marked == 0;
        if !first && marked == synced {
            return Ok(None);
        }
        let last = self.meta("opening").await?.unwrap_or_default();
        let mut beside = Beside::read(&lock).map_err(|error| self.beside_failed(&error))?;
        let reason = match first {
            true => beside.stranger(&last, &lock).map_err(|error| self.beside_failed(&error))?,
            false => None,
        };
        let next = Uuid::new_v4().to_string();
        // Both marks are good until the database has the new one, so that a crash in between is no restore.
        beside.marks = vec![last, next.clone()];
        if first {
            (beside.opening, beside.database, beside.wal) = (None, None, None);
        }
        beside.write(&lock).map_err(|error| self.beside_failed(&error))?;
        let noticed = reason.map(|reason| (reason, actor.to_owned()));
        let restoration = self.write_mark(next.clone(), first, noticed, now).await?;
        beside.marks = vec![next.clone()];
        if first && self.checkpointed().await {
            beside.opening = Some(next);
            let path = Path::new(&self.path);
            let of = |path: &Path| File::open(path).and_then(|file| identity(&file)).ok();
            (beside.database, beside.wal) = (of(path), of(&wal_of(path)));
        }
        beside.write(&lock).map_err(|error| self.beside_failed(&error))?;
        if first {
            self.count_again_since(now).await?;
        }
        // The mark itself is one.
        self.marked.store(synced + 1, Ordering::Release);
        Ok(restoration)
    }

    async fn write_mark(
        &self,
        mark: String,
        first: bool,
        noticed: Option<(&'static str, String)>,
        now: Timestamp,
    ) -> Result<Option<Restoration>, StoreError> {
        let key = self.signing_key.clone();
        self.write(DOING, Durability::Synced, move |connection| {
            Box::pin(async move {
                let restoration = match noticed {
                    None => None,
                    Some((reason, actor)) => Some(write_restoration(connection, reason, now).await?)
                        .map(|restoration| (restoration, actor)),
                };
                let restoration = match restoration {
                    None => None,
                    Some((restoration, actor)) => {
                        let event = NewAuditEvent {
                            actor,
                            action: "store.put_back".to_owned(),
                            subject: "store".to_owned(),
                            details: serde_json::to_value(&restoration).unwrap_or_default(),
                        };
                        append(connection, &key, event, now).await?;
                        Some(restoration)
                    }
                };
                set_meta(connection, "opening", &mark).await?;
                if first {
                    set_meta(connection, "opened", &mark).await?;
                }
                set_meta(connection, "marked_at", &nanoseconds(now).to_string()).await?;
                Ok(restoration)
            })
        })
        .await
    }

    /// Moves the whole WAL into the database, so that the database itself carries the mark; whether that was possible.
    async fn checkpointed(&self) -> bool {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.readers).await;
        row.and_then(|row| row.try_get::<i64, _>(0)).is_ok_and(|busy| busy == 0)
    }

    async fn meta(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        let failed = self.failed(DOING);
        let row = sqlx::query("SELECT value FROM meta WHERE key = ?").bind(key);
        let row = row.fetch_optional(&self.readers).await.map_err(&failed)?;
        row.map(|row| row.try_get(0)).transpose().map_err(failed)
    }

    /// From now on, records are counted that sinks may have had before the store was put back.
    async fn count_again_since(&self, now: Timestamp) -> Result<(), StoreError> {
        let latest = self.put_back().await?.into_iter().next();
        let counted = latest.filter(|latest| now.duration_since(latest.at).as_secs() < COUNTED_FOR_SECONDS);
        self.put_back_at.store(counted.map_or(0, |latest| nanoseconds(latest.at)), Ordering::Release);
        Ok(())
    }

    /// When the store was put back, the latest first.
    pub(super) async fn put_back(&self) -> Result<Vec<Restoration>, StoreError> {
        let failed = self.failed("tell when the store was put back");
        let rows = sqlx::query(
            "SELECT at, as_of, reason, owed, again FROM restoration ORDER BY restoration_no DESC LIMIT 20",
        );
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        let read = |row: &sqlx::sqlite::SqliteRow| -> Result<Restoration, sqlx::Error> {
            Ok(Restoration {
                at: timestamp(row.try_get("at")?),
                as_of: row.try_get::<Option<i64>, _>("as_of")?.map(timestamp),
                reason: row.try_get("reason")?,
                owed: count(row.try_get("owed")?),
                again: count(row.try_get("again")?),
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(failed)
    }

    fn beside_failed(&self, error: &std::io::Error) -> StoreError {
        file_error(error, &beside(Path::new(&self.path), ".lock"), "write its lock file")
    }
}

async fn write_restoration(
    connection: &mut SqliteConnection,
    reason: &str,
    now: Timestamp,
) -> Result<Restoration, Failure> {
    let row = connection.fetch_optional("SELECT value FROM meta WHERE key = 'marked_at'").await?;
    let as_of = row.map(|row| row.try_get::<String, _>(0)).transpose()?.and_then(|at| at.parse::<i64>().ok());
    let row = connection.fetch_one("SELECT coalesce(sum(owed), 0) FROM queue").await?;
    let owed: i64 = row.try_get(0)?;
    sqlx::query("INSERT INTO restoration (at, as_of, reason, owed) VALUES (?, ?, ?, ?)")
        .bind(nanoseconds(now))
        .bind(as_of)
        .bind(reason)
        .bind(owed)
        .execute(&mut *connection)
        .await?;
    let (as_of, owed) = (as_of.map(timestamp), count(owed));
    Ok(Restoration { at: now, as_of, reason: reason.to_owned(), owed, again: 0 })
}

/// Counts records of a page that were updated before the store was put back.
pub(super) async fn count_again(connection: &mut SqliteConnection, records: i64) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE restoration SET again = again + ?
         WHERE restoration_no = (SELECT max(restoration_no) FROM restoration)",
    )
    .bind(records)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

pub(super) async fn set_meta(
    connection: &mut SqliteConnection,
    key: &str,
    value: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// A file beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn wal_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// Looks whether the WAL that lies beside the database belongs to it, before SQLite mixes the two. A process that was killed
/// leaves its WAL; where the database was put back meanwhile, that WAL would write pages of a later day into it.
pub(super) async fn part_from_foreign_wal(path: &Path, lock: Option<&File>) -> Result<(), StoreError> {
    let wal = wal_of(path);
    let Ok(found) = std::fs::metadata(&wal) else { return Ok(()) };
    if found.len() == 0 {
        return Ok(());
    }
    let taken;
    let lock = match lock {
        Some(lock) => lock,
        // A process is at work with both: they belong together.
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
    let known = left.opening;
    let database = std::fs::metadata(path).map_err(failed)?;
    let is_same = |path: &Path, left: &Option<String>| -> Result<Option<bool>, StoreError> {
        let Some(left) = left else { return Ok(None) };
        Ok(Some(File::open(path).and_then(|file| identity(&file)).map_err(failed)? == *left))
    };
    let is_another = match (is_same(path, &left.database)?, is_same(&wal, &left.wal)?) {
        // Another database beside the WAL that a process has left.
        (Some(false), Some(true)) => true,
        // They were put back together.
        (Some(false), Some(false)) => return Ok(()),
        _ => match (&known, opened_alone(path).await) {
            (Some(known), Some(found)) => *known != found,
            _ => false,
        },
    };
    if is_another {
        let aside = beside(path, &format!("-wal.of-another-{}", Uuid::new_v4().simple()));
        std::fs::rename(&wal, &aside).map_err(failed)?;
        drop(std::fs::remove_file(beside(path, "-shm")));
        tracing::warn!(
            store = %path.display(),
            aside = %aside.display(),
            "the database was put back and an older WAL lay beside it; it was moved aside, since it belongs to another state"
        );
        return Ok(());
    }
    if known.is_some() && database.ctime() > found.ctime() + CHANGED_WITHIN_SECONDS {
        let detail = format!(
            "it was changed after its WAL, by something other than Muster. Was it put back from a copy? Then move {} away \
             (it belongs to the database before) and start again; else `touch` that file and start again",
            wal.display()
        );
        return Err(StoreError::Damaged { store: path.display().to_string(), detail });
    }
    Ok(())
}

/// The opening that the database itself is marked with, without its WAL.
async fn opened_alone(path: &Path) -> Option<String> {
    let options = SqliteConnectOptions::new().filename(path).immutable(true).read_only(true);
    let mut connection = options.disable_statement_logging().connect().await.ok()?;
    let row = connection.fetch_optional("SELECT value FROM meta WHERE key = 'opened'").await;
    drop(connection.close().await);
    Some(row.ok()?.map(|row| row.try_get(0)).transpose().ok()?.unwrap_or_default())
}
