//! Writing journal batches with what is owed of them.

use jiff::Timestamp;

use super::damage::note_fetched_again;
use super::pull_clients::processed_from;
use super::unrouted::write_unrouted;
use crate::drafts::{NewBatch, Owed};
use crate::engine::CurrentLineage;
use crate::failure::Failure;
use crate::packing::PackedBatch;
use crate::sql::{Connection, query};
use crate::stored::{bits, nanoseconds};

/// A version is one text within the JSON that carries many to one statement: the hash in hexadecimal, the time in
/// twenty characters, the id.
macro_rules! version_columns {
    () => {
        "CAST(substr(j.value, 33, 20) AS BIGINT), substr(j.value, 53), unhex(substr(j.value, 1, 32))"
    };
}
pub(super) use version_columns;

/// Writes a batch, the index of its versions (unless they are in it already), and what is owed of it to each sink, numbered in
/// `lineage`.
pub(super) async fn write_batch(
    connection: &mut Connection,
    tenant_no: i64,
    source_no: i64,
    batch: NewBatch,
    is_indexed: bool,
    lineage: &CurrentLineage,
    now: Timestamp,
) -> Result<(), Failure> {
    let body_bytes = batch.packed.body_bytes.cast_signed();
    let (packed, told) = (batch.packed, (batch.request_id, batch.routes));
    // A copy of records that the journal holds already is nothing new to whoever asks for what was processed.
    let processed_from = match is_indexed {
        true => None,
        false => Some(processed_from(connection, tenant_no, packed.records.into(), now).await?),
    };
    let batch_no = insert_batch(connection, source_no, packed, told, processed_from, now).await?;
    if !is_indexed {
        // As `version_columns!` takes a version apart, four characters further on.
        query(
            "INSERT INTO record_version (source_no, updated_at, id, hash, batch_no, ordinal, stage)
             SELECT ?1, CAST(substr(j.value, 37, 20) AS BIGINT),
                 substr(j.value, 57, CAST(substr(j.value, 1, 4) AS BIGINT) - 52), unhex(substr(j.value, 5, 32)),
                 ?2, j.key, nullif(substr(j.value, 5 + CAST(substr(j.value, 1, 4) AS BIGINT)), '')
             FROM json_each(?3) j",
        )
        .bind(source_no)
        .bind(batch_no)
        .bind(batch.versions)
        .execute(&mut *connection)
        .await?;
        note_fetched_again(connection, source_no, batch_no).await?;
    }
    if let Some(unrouted) = batch.unrouted {
        write_unrouted(connection, (source_no, batch_no), unrouted, now).await?;
    }
    let lineage_no = match batch.owed.is_empty() {
        true => 0,
        false => lineage_no(connection, lineage, now).await?,
    };
    for Owed { sink, selection, records, .. } in batch.owed {
        let row = query(
            // Numbers start from the batch's, so that those of a tenant that was removed and added again go on
            // rising: sinks that remember the highest one take a lower one for a repetition.
            "INSERT INTO queue (tenant_no, sink, next_number, next_at, set_at, owed) VALUES (?1, ?2, ?5 + 1, ?3, ?3, ?4)
             ON CONFLICT (tenant_no, sink) DO UPDATE SET
                 next_number = max(queue.next_number, ?5) + 1,
                 next_at = CASE WHEN queue.owed = 0 THEN excluded.next_at ELSE queue.next_at END,
                 set_at = CASE WHEN queue.owed = 0 AND queue.lease_owner IS NULL THEN excluded.set_at ELSE queue.set_at END,
                 owed = queue.owed + excluded.owed
             RETURNING queue_no, next_number - 1",
        )
        .bind(tenant_no)
        .bind(sink)
        .bind(nanoseconds(now))
        .bind(records)
        .bind(batch_no)
        .fetch_one(&mut *connection)
        .await?;
        let (queue_no, number): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        query(
            "INSERT INTO delivery (queue_no, number, batch_no, records, body_bytes, owed_since, selection, lineage_no)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(queue_no)
        .bind(number)
        .bind(batch_no)
        .bind(records)
        .bind(body_bytes)
        .bind(nanoseconds(now))
        .bind(bits(selection))
        .bind(lineage_no)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The number of a lineage in this store. It is written with the first delivery that it numbers.
pub(super) async fn lineage_no(
    connection: &mut Connection,
    lineage: &CurrentLineage,
    now: Timestamp,
) -> Result<i64, Failure> {
    let id = lineage.get().0.to_string();
    let known = query("SELECT lineage_no FROM lineage WHERE id = ?").bind(&id);
    if let Some(row) = known.fetch_optional(&mut *connection).await? {
        return Ok(row.try_get(0)?);
    }
    let made = query("INSERT INTO lineage (id, since) VALUES (?, ?) RETURNING lineage_no");
    Ok(made.bind(id).bind(nanoseconds(now)).fetch_one(&mut *connection).await?.try_get(0)?)
}

/// Writes a packed batch; returns its number.
async fn insert_batch(
    connection: &mut Connection,
    source_no: i64,
    packed: PackedBatch,
    (request_id, routes): (Option<String>, Option<String>),
    processed_from: Option<i64>,
    now: Timestamp,
) -> Result<i64, Failure> {
    let stored_bytes = i64::try_from(packed.sealed.len()).unwrap_or(i64::MAX);
    // SQLite numbers by itself.
    let number: Option<i64> = match connection.is_postgres() {
        true => {
            let next = query("SELECT next_batch(?)").bind(nanoseconds(now));
            Some(next.fetch_one(&mut *connection).await?.try_get(0)?)
        }
        false => None,
    };
    let inserted = query(
        "INSERT INTO journal_batch (batch_no, batch_id, source_no, records, body_bytes, accepted_at, stored_bytes, sealed,
             request_id, routes, processed_from)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING batch_no",
    )
    .bind(number)
    .bind(packed.batch_id)
    .bind(source_no)
    .bind(packed.records)
    .bind(packed.body_bytes.cast_signed())
    .bind(nanoseconds(now))
    .bind(stored_bytes)
    .bind(packed.sealed)
    .bind(request_id)
    .bind(routes)
    .bind(processed_from)
    .fetch_one(&mut *connection)
    .await?;
    Ok(inserted.try_get(0)?)
}
