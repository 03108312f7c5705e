//! Notices that the database is not what was left here: put back from a copy, moved, cloned.
//!
//! The one process that delivers leaves a random mark in the database and beside it, in the lock file, when it starts and every
//! few seconds in which something was written. A copy of the database alone has an older mark than the lock file. A copy
//! of both is told by the lock file itself, which says which file it was: a copy is another one. What cannot be noticed from
//! within is a machine that is put back as a whole; nothing is lost then either, since numbers go on in a new lineage.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use uuid::Uuid;

use super::SqliteFile;
use super::failure::file_error;
use super::files::beside;
use super::lock_file::{Beside, identity, wal_of};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, Row, query};
use crate::stored::{count, nanoseconds, timestamp};
use crate::tables::audit::append;
use crate::tables::meta::set_meta;
use crate::writer::Durability;
use crate::{NewAuditEvent, Restoration, StoreError};

/// How long records count that sinks may have had before the store was put back.
const COUNTED_FOR_SECONDS: i64 = 7 * 86_400;
const DOING: &str = "mark the store";

impl SqlStore {
    /// See [`crate::Lifetime::mark`].
    pub(crate) async fn renew_mark(
        &self,
        file: &SqliteFile,
        actor: &str,
        now: Timestamp,
    ) -> Result<Option<Restoration>, StoreError> {
        let lock = file.lock.lock().expect("no panic while the lock is held").as_ref().map(File::try_clone);
        let Some(lock) = lock.transpose().map_err(|error| self.beside_failed(&error))? else {
            return Ok(None);
        };
        let (marked, synced) = (file.marked.load(Ordering::Acquire), self.writes.synced());
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
        file.marked.store(synced + 1, Ordering::Release);
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
        let row = query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.readers).await;
        row.and_then(|row| row.try_get::<i64, _>(0)).is_ok_and(|busy| busy == 0)
    }

    async fn meta(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        let failed = self.failed(DOING);
        let row = query("SELECT value FROM meta WHERE key = ?").bind(key);
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
    pub(crate) async fn put_back(&self) -> Result<Vec<Restoration>, StoreError> {
        let failed = self.failed("tell when the store was put back");
        let rows = query(
            "SELECT at, as_of, reason, owed, again FROM restoration ORDER BY restoration_no DESC LIMIT 20",
        );
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        let read = |row: &Row| -> Result<Restoration, sqlx::Error> {
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
    connection: &mut Connection,
    reason: &str,
    now: Timestamp,
) -> Result<Restoration, Failure> {
    let row =
        query("SELECT value FROM meta WHERE key = 'marked_at'").fetch_optional(&mut *connection).await?;
    let as_of = row.map(|row| row.try_get::<String, _>(0)).transpose()?.and_then(|at| at.parse::<i64>().ok());
    let row = query("SELECT coalesce(sum(owed), 0) FROM queue").fetch_one(&mut *connection).await?;
    let owed: i64 = row.try_get(0)?;
    query("INSERT INTO restoration (at, as_of, reason, owed) VALUES (?, ?, ?, ?)")
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
pub(crate) async fn count_again(connection: &mut Connection, records: i64) -> Result<(), Failure> {
    query(
        "UPDATE restoration SET again = again + ?
         WHERE restoration_no = (SELECT max(restoration_no) FROM restoration)",
    )
    .bind(records)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
