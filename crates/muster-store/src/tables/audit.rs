//! The audit log: appended to in the transaction of what it tells of, read, checked.

use async_trait::async_trait;
use jiff::Timestamp;

use super::meta::{log_end, set_log_end};
use super::rows::odd;
use crate::audit::{LogEnd, StoredEvent, Verifier, chain};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, Row, Value, query};
use crate::stored::{count, nanoseconds};
use crate::writer::Durability;
use crate::{AuditEvent, AuditLog, AuditVerdict, NewAuditEvent, SigningKey, StoreError};

/// How many events are read at once when all are checked.
const CHECKED_AT_ONCE: u32 = 1000;

macro_rules! select_events {
    () => {
        "SELECT number, at, actor, action, subject, details, previous, hash FROM audit_event
         WHERE number > ? ORDER BY number LIMIT ?"
    };
}

#[async_trait]
impl AuditLog for SqlStore {
    async fn append_audit(&self, event: NewAuditEvent, now: Timestamp) -> Result<AuditEvent, StoreError> {
        let doing = "write to the audit log";
        let key = self.signing_key.clone();
        let stored = self.write(doing, Durability::Synced, move |connection| {
            Box::pin(async move { append(connection, &key, event, now).await })
        });
        stored.await?.shown().map_err(odd).map_err(self.failed(doing))
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        let failed = self.failed("read the audit log");
        let rows = query(select_events!())
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        rows.iter()
            .map(|row| stored_event(row)?.shown().map_err(odd))
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        let failed = self.failed("check the audit log");
        // One transaction, so that events and end are of the same moment.
        let mut snapshot = self.readers.begin().await.map_err(&failed)?;
        let mut verifier = Verifier::new(&self.signing_key);
        let mut after = i64::MIN;
        loop {
            let rows = query(select_events!()).bind(after).bind(CHECKED_AT_ONCE);
            let rows = rows.fetch_all(&mut snapshot).await.map_err(&failed)?;
            let Some(last) = rows.last() else { break };
            after = last.try_get("number").map_err(&failed)?;
            for row in &rows {
                verifier.take(&stored_event(row).map_err(&failed)?);
            }
        }
        let head = log_end(&mut snapshot, &self.signing_key).await.map_err(&failed)?;
        Ok(verifier.verdict(head))
    }
}

/// Appends to the log within the transaction of what the event tells of.
pub(crate) async fn append(
    connection: &mut Connection,
    key: &SigningKey,
    event: NewAuditEvent,
    now: Timestamp,
) -> Result<StoredEvent, Failure> {
    let head = log_end(connection, key).await?;
    let row = query("SELECT coalesce(max(number), 0) FROM audit_event").fetch_one(&mut *connection).await?;
    let event = chain(key, head, count(row.try_get(0)?), event, nanoseconds(now));
    query(
        "INSERT INTO audit_event (number, at, actor, action, subject, details, previous, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(event.number.cast_signed())
    .bind(event.at)
    .bind(&event.actor)
    .bind(&event.action)
    .bind(&event.subject)
    .bind(Value::Exact(Some(event.details.as_str().into())))
    .bind(&event.previous)
    .bind(&event.hash)
    .execute(&mut *connection)
    .await?;
    let head = LogEnd { events: event.number, hash: event.hash.clone() };
    set_log_end(connection, &head, key).await?;
    Ok(event)
}

fn stored_event(row: &Row) -> Result<StoredEvent, sqlx::Error> {
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
