//! The audit log: appended to in the transaction of what it tells of, read, checked.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Executor, Row, SqliteConnection};

use super::tenants::odd;
use super::{Durability, Failure, SqliteStore, count, nanoseconds, timestamp};
use crate::audit::{Head, StoredEvent, Verifier, chain};
use crate::{AuditEvent, AuditVerdict, NewAuditEvent, SigningKey, StoreError};

/// How many events are read at once when all are checked.
const CHECKED_AT_ONCE: u32 = 1000;

macro_rules! select_events {
    () => {
        "SELECT number, at, actor, action, subject, details, previous, hash FROM audit_event
         WHERE number > ? ORDER BY number LIMIT ?"
    };
}

impl SqliteStore {
    pub(super) async fn append_audit(
        &self,
        event: NewAuditEvent,
        now: Timestamp,
    ) -> Result<AuditEvent, StoreError> {
        let doing = "write to the audit log";
        let key = self.signing_key.clone();
        let stored = self.write(doing, Durability::Synced, move |connection| {
            Box::pin(async move { append(connection, &key, event, now).await })
        });
        shown(stored.await?).map_err(self.failed(doing))
    }

    pub(super) async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        let failed = self.failed("read the audit log");
        let rows = sqlx::query(select_events!())
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        rows.iter().map(|row| shown(stored_event(row)?)).collect::<Result<_, _>>().map_err(failed)
    }

    pub(super) async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        let failed = self.failed("check the audit log");
        let mut reader = self.readers.acquire().await.map_err(&failed)?;
        // One transaction, so that events and end are of the same moment.
        let mut snapshot = reader.begin().await.map_err(&failed)?;
        let mut verifier = Verifier::new(&self.signing_key);
        let mut after = i64::MIN;
        loop {
            let rows = sqlx::query(select_events!()).bind(after).bind(CHECKED_AT_ONCE);
            let rows = rows.fetch_all(&mut *snapshot).await.map_err(&failed)?;
            let Some(last) = rows.last() else { break };
            after = last.try_get("number").map_err(&failed)?;
            for row in &rows {
                verifier.take(&stored_event(row).map_err(&failed)?);
            }
        }
        let head = head(&mut snapshot, &self.signing_key).await.map_err(&failed)?;
        snapshot.rollback().await.map_err(failed)?;
        Ok(verifier.verdict(head))
    }
}

/// Appends to the log within the transaction of what the event tells of.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    key: &SigningKey,
    event: NewAuditEvent,
    now: Timestamp,
) -> Result<StoredEvent, Failure> {
    let head = head(connection, key).await?;
    let row = connection.fetch_one("SELECT coalesce(max(number), 0) FROM audit_event").await?;
    let event = chain(key, head, count(row.try_get(0)?), event, nanoseconds(now));
    sqlx::query(
        "INSERT INTO audit_event (number, at, actor, action, subject, details, previous, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(event.number.cast_signed())
    .bind(event.at)
    .bind(&event.actor)
    .bind(&event.action)
    .bind(&event.subject)
    .bind(&event.details)
    .bind(&event.previous)
    .bind(&event.hash)
    .execute(&mut *connection)
    .await?;
    let head = Head { events: event.number, hash: event.hash.clone() };
    set_head(connection, &head, key).await?;
    Ok(event)
}

/// Writes the signed end of the log.
pub(super) async fn set_head(
    connection: &mut SqliteConnection,
    head: &Head,
    key: &SigningKey,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES ('audit_head', ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(head.signed(key))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The signed end of the log; `None` when it is not as it was written.
async fn head(connection: &mut SqliteConnection, key: &SigningKey) -> Result<Option<Head>, sqlx::Error> {
    let row = connection.fetch_optional("SELECT value FROM meta WHERE key = 'audit_head'").await?;
    let stored: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(stored.and_then(|stored| Head::verified(&stored, key)))
}

fn stored_event(row: &SqliteRow) -> Result<StoredEvent, sqlx::Error> {
    Ok(StoredEvent {
        number: count(row.try_get("number")?),
        at: row.try_get("at")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        details: row.try_get("details")?,
        previous: row.try_get("previous")?,
        hash: row.try_get("hash")?,
    })
}

fn shown(event: StoredEvent) -> Result<AuditEvent, sqlx::Error> {
    Ok(AuditEvent {
        number: event.number,
        at: timestamp(event.at),
        actor: event.actor,
        action: event.action,
        subject: event.subject,
        details: serde_json::from_str(&event.details).map_err(odd)?,
        hash: event.hash,
        previous: event.previous,
    })
}
