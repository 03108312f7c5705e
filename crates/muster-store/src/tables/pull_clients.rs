//! Clients of the old pull API, and the times at which records were processed.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Selection, Source, TenantId};
use serde_json::json;

use uuid::Uuid;

use super::audit::append;
use super::damage::{fetch_again, unprocess};
use super::rows::{living, odd, parsed};
use super::tenants::LivingTenant;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::unpack;
use crate::pull_clients::TICK_NANOSECONDS;
use crate::sql::{Connection, Row, query};
use crate::stored::{count, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{
    NewAuditEvent, NewPullClient, ProcessedBatch, ProcessedSpan, PullClient, PullClients, SecretHash,
    StoreError,
};

/// So many batches are looked at in one step.
const BATCHES_MAX: i64 = 64;
/// No batch spans more time than this, in nanoseconds: what lets the index find the first one of a span.
const BATCH_SPAN: i64 = 10_000_000_000;
const READING: &str = "read what was processed";

macro_rules! select_clients {
    ($tail:literal) => {
        concat!(
            "SELECT c.id, t.id AS tenant, c.name, c.sources, c.updates, c.secret_hash, c.refresh_hash, c.added_at, ",
            "c.expires_at, c.revoked_at, c.asked_at FROM pull_client c JOIN tenant t ON t.tenant_no = c.tenant_no ",
            $tail
        )
    };
}

macro_rules! select_processed {
    () => {
        "SELECT b.batch_no, s.source, b.processed_from, b.body_bytes FROM source s
         JOIN journal_batch b ON b.source_no = s.source_no AND b.processed_from > ?6 AND b.processed_from <= ?4
         WHERE s.tenant_no = ?1 AND s.source IN (SELECT value FROM json_each(?2))
             AND b.processed_from + (b.records - 1) * ?7 > ?3 "
    };
}

/// Gives so many records of a tenant, in the transaction that accepts them, times of processing; the first of them.
pub(super) async fn processed_from(
    connection: &mut Connection,
    tenant_no: i64,
    records: i64,
    now: Timestamp,
) -> Result<i64, Failure> {
    let ticks = nanoseconds(now) / TICK_NANOSECONDS * TICK_NANOSECONDS;
    let row = query(
        "INSERT INTO processed (tenant_no, processed_at) VALUES (?3, ?1 + ?2)
         ON CONFLICT (tenant_no) DO UPDATE SET processed_at = max(processed.processed_at, ?1) + ?2 RETURNING processed_at",
    )
    .bind(ticks)
    .bind(records * TICK_NANOSECONDS)
    .bind(tenant_no)
    .fetch_one(&mut *connection)
    .await?;
    Ok(row.try_get::<i64, _>(0)? - (records - 1) * TICK_NANOSECONDS)
}

#[async_trait]
impl PullClients for SqlStore {
    async fn add_pull_client(
        &self,
        new: NewPullClient,
        actor: &str,
        now: Timestamp,
    ) -> Result<PullClient, StoreError> {
        let (id, actor, key) = (new.id, actor.to_owned(), self.signing_key.clone());
        self.write("add the client", Durability::Synced, move |connection| {
            Box::pin(async move {
                add(connection, &new, now).await?;
                let details = json!({
                    "client": new.id, "name": new.name, "sources": new.sources, "updates": new.updates,
                    "expires_at": new.expires_at,
                });
                let subject = new.tenant.to_string();
                let event = NewAuditEvent { actor, action: "client.added".to_owned(), subject, details };
                append(connection, &key, event, now).await.map(drop)
            })
        })
        .await?;
        let added = self.pull_client(id).await?;
        added.ok_or_else(|| StoreError::NoTenant("a client that was just added".to_owned()))
    }

    async fn pull_clients(&self) -> Result<Vec<PullClient>, StoreError> {
        let failed = self.failed("list the clients");
        let rows = query(select_clients!("ORDER BY t.slug, c.name, c.client_no"));
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(failed)
    }

    async fn pull_client(&self, id: Uuid) -> Result<Option<PullClient>, StoreError> {
        let failed = self.failed("find the client");
        let row = query(select_clients!("WHERE c.id = ?")).bind(id.to_string());
        let row = row.fetch_optional(&self.readers).await.map_err(&failed)?;
        row.as_ref().map(read).transpose().map_err(failed)
    }

    async fn revoke_pull_client(
        &self,
        id: Uuid,
        actor: &str,
        now: Timestamp,
    ) -> Result<Option<PullClient>, StoreError> {
        let Some(client) = self.pull_client(id).await? else { return Ok(None) };
        let (actor, key) = (actor.to_owned(), self.signing_key.clone());
        self.write("revoke the client", Durability::Synced, move |connection| {
            Box::pin(async move {
                let sql = "UPDATE pull_client SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL";
                let done = query(sql).bind(nanoseconds(now)).bind(id.to_string());
                if done.execute(&mut *connection).await?.rows_affected() == 0 {
                    return Ok(());
                }
                let (action, subject) = ("client.revoked".to_owned(), client.tenant.to_string());
                let details = json!({ "client": id, "name": client.name });
                append(connection, &key, NewAuditEvent { actor, action, subject, details }, now)
                    .await
                    .map(drop)
            })
        })
        .await?;
        self.pull_client(id).await
    }

    async fn nothing_new_before(
        &self,
        (client, tenant): (Uuid, TenantId),
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Up to the next time that a client can name: a record that got a time within its tick would look no later.
        let at = nanoseconds(at);
        let at = at.saturating_add((TICK_NANOSECONDS - at.rem_euclid(TICK_NANOSECONDS)) % TICK_NANOSECONDS);
        self.write("note that a client asks", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                query(
                    "INSERT INTO processed (tenant_no, processed_at) SELECT tenant_no, ?1 FROM tenant WHERE id = ?2
                     ON CONFLICT (tenant_no) DO UPDATE SET processed_at = max(processed.processed_at, excluded.processed_at)",
                )
                .bind(at)
                .bind(tenant.to_string())
                    .execute(&mut *connection)
                    .await?;
                query("UPDATE pull_client SET asked_at = ? WHERE id = ?")
                    .bind(nanoseconds(now))
                    .bind(client.to_string())
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn processed(
        &self,
        tenant: TenantId,
        sources: &BTreeSet<Source>,
        span: ProcessedSpan,
        bytes_max: u64,
        now: Timestamp,
    ) -> Result<Vec<ProcessedBatch>, StoreError> {
        let LivingTenant { tenant_no, data_key } = self.living_tenant(tenant, READING).await?;
        let key = Arc::new(data_key);
        let read = async {
            loop {
                let (mut found, mut damaged) = (Vec::new(), Vec::new());
                let listed = self.batches_processed(tenant_no, sources, span, bytes_max).await?;
                let is_over = listed.is_empty();
                for (batch_no, source, first_at) in listed {
                    // Pruned since it was listed.
                    let Some(stored) = self.stored_batch(batch_no).await? else { continue };
                    let key = Arc::clone(&key);
                    match self.packer.run(move || unpack(stored, tenant, &key)).await {
                        Ok(batch) => {
                            let (first_at, fetched_again) =
                                (timestamp(first_at), self.fetched_again(batch_no).await?);
                            found.push(ProcessedBatch { source, batch, first_at, fetched_again });
                        }
                        Err(unreadable) => damaged.push((batch_no, unreadable.reason)),
                    }
                }
                for (batch_no, reason) in damaged {
                    self.set_aside((tenant, tenant_no), batch_no, &reason, now).await?;
                }
                // Where none could be read, others may be behind them.
                if is_over || !found.is_empty() {
                    return Ok(found);
                }
            }
        };
        read.await.map_err(|failure: Failure| failure.worded(&self.path, READING))
    }
}

impl SqlStore {
    /// Has a batch that cannot be read fetched again, so that nobody who asks waits for it.
    async fn set_aside(
        &self,
        (tenant, tenant_no): (TenantId, i64),
        batch_no: i64,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let lost = self.versions_of(tenant_no, batch_no).await?;
        let records = lost.iter().map(|lost| lost.count(|_| true)).sum::<u64>();
        tracing::error!(
            tenant.id = %tenant, batch = batch_no, records, reason,
            "a journal batch that a client of the pull API asks for cannot be read; what it held is fetched again, and the client gets it then"
        );
        let nobody = Selection::Some(Vec::new());
        let write = self.writes.run(Durability::Synced, move |connection| {
            Box::pin(async move {
                unprocess(connection, batch_no).await?;
                for source in lost {
                    fetch_again(connection, batch_no, "", &nobody, source, now).await?;
                }
                Ok(())
            })
        });
        write.await
    }

    async fn fetched_again(&self, batch_no: i64) -> Result<BTreeSet<usize>, Failure> {
        let rows = query("SELECT ordinal FROM fetched_again WHERE batch_no = ?").bind(batch_no);
        let rows = rows.fetch_all(&self.readers).await?;
        let place = |row: &Row| row.try_get(0).map(|place: i64| usize::try_from(place).unwrap_or(usize::MAX));
        Ok(rows.iter().map(place).collect::<Result<_, _>>()?)
    }

    async fn batches_processed(
        &self,
        tenant_no: i64,
        sources: &BTreeSet<Source>,
        span: ProcessedSpan,
        bytes_max: u64,
    ) -> Result<Vec<(i64, Source, i64)>, Failure> {
        let sql = match span.latest_first {
            false => concat!(select_processed!(), "ORDER BY b.processed_from LIMIT ?5"),
            true => concat!(select_processed!(), "ORDER BY b.processed_from DESC LIMIT ?5"),
        };
        let after = nanoseconds(span.after);
        let rows = query(sql)
            .bind(tenant_no)
            .bind(serde_json::to_string(sources).map_err(odd)?)
            .bind(after)
            .bind(span.up_to.map_or(i64::MAX, nanoseconds))
            .bind(BATCHES_MAX)
            .bind(after.saturating_sub(BATCH_SPAN))
            .bind(TICK_NANOSECONDS)
            .fetch_all(&self.readers)
            .await?;
        let (mut batches, mut bytes) = (Vec::new(), 0_u64);
        for row in &rows {
            bytes = bytes.saturating_add(count(row.try_get("body_bytes")?));
            if !batches.is_empty() && bytes > bytes_max {
                break;
            }
            batches.push((row.try_get("batch_no")?, parsed(row, "source")?, row.try_get("processed_from")?));
        }
        Ok(batches)
    }
}

async fn add(connection: &mut Connection, new: &NewPullClient, now: Timestamp) -> Result<(), Failure> {
    let tenant_no = living(connection, new.tenant).await?.tenant_no;
    query(
        "INSERT INTO pull_client (id, tenant_no, name, sources, updates, secret_hash, refresh_hash, added_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.id.to_string())
    .bind(tenant_no)
    .bind(&new.name)
    .bind(serde_json::to_string(&new.sources).map_err(odd)?)
    .bind(new.updates)
    .bind(new.secret.0.to_vec())
    .bind(new.refresh_token.0.to_vec())
    .bind(nanoseconds(now))
    .bind(nanoseconds(new.expires_at))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<PullClient, sqlx::Error> {
    let time = |name: &str| row.try_get::<Option<i64>, _>(name).map(|time| time.map(timestamp));
    let hash = |name: &str| {
        let stored: Vec<u8> = row.try_get(name)?;
        let hash = <[u8; 32]>::try_from(stored);
        hash.map(SecretHash).map_err(|_| odd(std::io::Error::other("a hash is not 32 bytes long")))
    };
    Ok(PullClient {
        id: parsed(row, "id")?,
        tenant: parsed(row, "tenant")?,
        name: row.try_get("name")?,
        sources: serde_json::from_str(&row.try_get::<String, _>("sources")?).map_err(odd)?,
        updates: row.try_get("updates")?,
        secret: hash("secret_hash")?,
        refresh_token: hash("refresh_hash")?,
        added_at: timestamp(row.try_get("added_at")?),
        expires_at: timestamp(row.try_get("expires_at")?),
        revoked_at: time("revoked_at")?,
        asked_at: time("asked_at")?,
    })
}
