//! What could not be read or was refused for good: kept, listed, replayed.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Purpose, TenantId};
use serde_json::json;

use super::audit::append;
use super::batches::write_batch;
use super::ledger::{count_page, count_sinks, owed_as_json};
use super::rows::parsed;
use crate::counting::PageCounts;
use crate::dead_letters::{SealedLetter, open_letter, readable};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sealing::{DataKey, Sealed};
use crate::sql::{Connection, Row, query};
use crate::stored::{count, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{DeadLetter, DeadLetterNumber, DeadLetterOrigin, DeadLetters, NewAuditEvent, StoreError};

/// Writes a dead letter; one that a source has shown before is kept already.
pub(super) async fn insert_letter(
    connection: &mut Connection,
    tenant_no: i64,
    letter: SealedLetter,
    now: Timestamp,
) -> Result<(), Failure> {
    query(
        "INSERT INTO dead_letter
             (letter_id, tenant_no, source, sink, record_id, reason, at, body_bytes, content_hash, sealed)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(letter.letter_id)
    .bind(tenant_no)
    .bind(letter.source.as_str())
    .bind(letter.sink)
    .bind(letter.record_id)
    .bind(letter.reason)
    .bind(nanoseconds(now))
    .bind(letter.body_bytes)
    .bind(letter.content_hash)
    .bind(letter.sealed)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// A dead letter with what belongs to it.
struct OpenedLetter {
    tenant: TenantId,
    tenant_no: i64,
    key: DataKey,
    origin: DeadLetterOrigin,
    body: Vec<u8>,
}

/// Letters as [`letter`] reads them.
macro_rules! select_letters {
    ($which:literal) => {
        concat!(
            "SELECT d.number, t.id, d.source, d.sink, d.record_id, d.reason, d.at, d.body_bytes
             FROM dead_letter d JOIN tenant t ON t.tenant_no = d.tenant_no ",
            $which
        )
    };
}

#[async_trait]
impl DeadLetters for SqlStore {
    async fn dead_letters(
        &self,
        tenant: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let failed = self.failed("list the dead letters");
        let rows = query(select_letters!("WHERE ?1 IS NULL OR t.id = ?1 ORDER BY d.number DESC LIMIT ?2"))
            .bind(tenant.map(|id| id.to_string()))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        rows.iter().map(letter).collect::<Result<_, _>>().map_err(failed)
    }

    async fn dead_letters_after(
        &self,
        after: DeadLetterNumber,
        tenant: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let failed = self.failed("list the dead letters");
        let rows = query(select_letters!(
            "WHERE d.number > ?1 AND (?2 IS NULL OR t.id = ?2) ORDER BY d.number LIMIT ?3"
        ))
        .bind(after.0.cast_signed())
        .bind(tenant.map(|id| id.to_string()))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        rows.iter().map(letter).collect::<Result<_, _>>().map_err(failed)
    }

    async fn remove_dead_letters(
        &self,
        numbers: &[DeadLetterNumber],
        actor: &str,
        why: serde_json::Value,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let numbers: Vec<u64> = numbers.iter().map(|number| number.0).collect();
        let (actor, key) = (actor.to_owned(), self.signing_key.clone());
        self.write("remove dead letters", Durability::Synced, move |connection| {
            Box::pin(async move {
                let listed = serde_json::to_string(&numbers).expect("numbers");
                let done = query(
                    "DELETE FROM dead_letter WHERE number IN (SELECT CAST(j.value AS BIGINT) FROM json_each(?) j)",
                );
                let removed = done.bind(listed).execute(&mut *connection).await?.rows_affected();
                if removed > 0 {
                    let (action, subject) = ("dead_letters.removed".to_owned(), "dead letters".to_owned());
                    let details = json!({
                        "removed": removed, "first": numbers.first(), "last": numbers.last(), "chosen": why,
                    });
                    append(connection, &key, NewAuditEvent { actor, action, subject, details }, now).await?;
                }
                Ok(removed)
            })
        })
        .await
    }

    async fn dead_letter_body(&self, number: DeadLetterNumber) -> Result<Vec<u8>, StoreError> {
        Ok(self.opened_letter(number, "read the dead letter").await?.body)
    }

    async fn replay_dead_letter(
        &self,
        number: DeadLetterNumber,
        sinks: &[String],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let doing = "replay the dead letter";
        let letter = self.opened_letter(number, doing).await?;
        let (source, refused_by) = match letter.origin {
            DeadLetterOrigin::Source(source) => (source, None),
            DeadLetterOrigin::Sink { sink, source } => (source, Some(sink)),
        };
        let Some((body, head)) = readable(source.kind(), letter.body) else { return Ok(false) };
        let stored = self.stored_source(letter.tenant, source, Purpose::Live).await;
        let stored = stored.map_err(|failure| failure.worded(&self.path, doing))?;
        let stored = stored.ok_or_else(|| StoreError::NoTenant(letter.tenant.to_string()))?;
        // What a sink refused was accepted before; what could not be read is new, unless the source has shown it
        // again in a form that could.
        let is_indexed = refused_by.is_some();
        let sinks = refused_by.map_or_else(|| sinks.to_vec(), |sink| vec![sink]);
        let counts = PageCounts::of_letter(head.updated_at, sinks.is_empty()).as_json();
        let batch = self.packer.single_batch(letter.tenant, letter.key, head, &body, &sinks).await?;
        let owed = owed_as_json([&batch]);
        let (tenant_no, source_no, lineage) = (letter.tenant_no, stored.source_no, self.lineage.clone());
        let replayed = self.writes.run(Durability::Synced, move |connection| {
            Box::pin(async move {
                if delete_letter(connection, number).await? {
                    write_batch(connection, tenant_no, source_no, batch, is_indexed, &lineage, now).await?;
                    count_sinks(connection, source_no, owed).await?;
                    if !is_indexed {
                        count_page(connection, source_no, counts, now).await?;
                    }
                }
                Ok(())
            })
        });
        match replayed.await {
            // Accepted in the meantime: nothing is owed any more.
            Err(failure) if failure.is_conflict() => {
                self.write(doing, Durability::Synced, move |connection| {
                    Box::pin(async move { delete_letter(connection, number).await })
                })
                .await?;
            }
            result => result.map_err(|failure| failure.worded(&self.path, doing))?,
        }
        Ok(true)
    }
}

impl SqlStore {
    async fn opened_letter(
        &self,
        number: DeadLetterNumber,
        doing: &'static str,
    ) -> Result<OpenedLetter, StoreError> {
        let failed = self.failed(doing);
        let row = query(
            "SELECT t.id, t.tenant_no, t.data_key, d.letter_id, d.source, d.sink, d.sealed
             FROM dead_letter d JOIN tenant t ON t.tenant_no = d.tenant_no WHERE d.number = ?",
        )
        .bind(number.0.cast_signed())
        .fetch_optional(&self.readers)
        .await
        .map_err(&failed)?;
        let detail = || format!("there is no dead letter {}", number.0);
        let row = row.ok_or_else(|| StoreError::Database { doing, detail: detail() })?;
        let read = || -> Result<_, sqlx::Error> {
            let letter_id: Vec<u8> = row.try_get("letter_id")?;
            let data_key: Vec<u8> = row.try_get("data_key")?;
            let sealed: Vec<u8> = row.try_get("sealed")?;
            let tenant_no: i64 = row.try_get("tenant_no")?;
            Ok((parsed::<TenantId>(&row, "id")?, tenant_no, data_key, letter_id, origin(&row)?, sealed))
        };
        let (tenant, tenant_no, data_key, letter_id, origin, sealed) = read().map_err(failed)?;
        let key = self.keys.data_key(Sealed::from_stored(data_key), tenant).await?;
        let body = open_letter(&key, tenant, number, &letter_id, Sealed::from_stored(sealed))?;
        Ok(OpenedLetter { tenant, tenant_no, key, origin, body })
    }
}

fn letter(row: &Row) -> Result<DeadLetter, sqlx::Error> {
    Ok(DeadLetter {
        number: DeadLetterNumber(count(row.try_get("number")?)),
        tenant: parsed(row, "id")?,
        origin: origin(row)?,
        record_id: row.try_get("record_id")?,
        reason: row.try_get("reason")?,
        at: timestamp(row.try_get("at")?),
        body_bytes: count(row.try_get("body_bytes")?),
    })
}

async fn delete_letter(connection: &mut Connection, number: DeadLetterNumber) -> Result<bool, Failure> {
    let done = query("DELETE FROM dead_letter WHERE number = ?").bind(number.0.cast_signed());
    Ok(done.execute(&mut *connection).await?.rows_affected() > 0)
}

fn origin(row: &Row) -> Result<DeadLetterOrigin, sqlx::Error> {
    let source = parsed(row, "source")?;
    Ok(match row.try_get::<Option<String>, _>("sink")? {
        None => DeadLetterOrigin::Source(source),
        Some(sink) => DeadLetterOrigin::Sink { sink, source },
    })
}
