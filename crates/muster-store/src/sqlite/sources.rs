//! Leases on sources, and how polls end.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::Cursor;
use sqlx::Row;

use super::tenants::{odd, parsed, read_tenant, select_tenant};
use super::{Durability, SqliteStore, bounded, count, lease_end, nanoseconds, timestamp};
use crate::{InstanceId, PollResult, SourceLease, SourceState, StoreError};

/// The sources that are due at `?1`, those due longest first.
macro_rules! due_sources {
    ($head:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM source_state s JOIN tenant t ON t.tenant_no = s.tenant_no WHERE s.enabled = 1 ",
            "AND s.next_at <= ?1 AND s.leased_until <= ?1 AND t.state = 'active' ",
            $tail
        )
    };
}

/// What a write with a lost lease is told.
pub(super) fn lost(lease: &SourceLease) -> StoreError {
    StoreError::LeaseLost { what: format!("{} of tenant {}", lease.source, lease.tenant.slug) }
}

impl SqliteStore {
    pub(super) async fn take_over(&self, instance: InstanceId) -> Result<(), StoreError> {
        self.write("end the leases of others", Durability::Synced, move |connection| {
            Box::pin(async move {
                for sql in [
                    "UPDATE source_state SET lease_owner = NULL, leased_until = 0, fence = fence + 1
                     WHERE lease_owner IS NOT NULL AND lease_owner <> ?",
                    "UPDATE lane SET lease_owner = NULL, leased_until = 0, fence = fence + 1
                     WHERE lease_owner IS NOT NULL AND lease_owner <> ?",
                ] {
                    sqlx::query(sql).bind(owner(instance)).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
    }

    pub(super) async fn lease_due_sources(
        &self,
        instance: InstanceId,
        limit: u32,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Vec<SourceLease>, StoreError> {
        let doing = "lease due sources";
        // Asked first, so that an idle store is not written to.
        let any = sqlx::query(due_sources!("SELECT 1", "LIMIT 1")).bind(nanoseconds(now));
        if any.fetch_optional(&self.readers).await.map_err(self.failed(doing))?.is_none() {
            return Ok(Vec::new());
        }
        self.write(doing, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let rows = sqlx::query(concat!(
                    "UPDATE source_state SET lease_owner = ?2, leased_until = ?3, fence = fence + 1
                     WHERE source_no IN (",
                    due_sources!("SELECT s.source_no", "ORDER BY s.next_at, s.source_no LIMIT ?4"),
                    ") RETURNING source_no, tenant_no, source, cursor, failures, fence, next_at"
                ))
                .bind(nanoseconds(now))
                .bind(owner(instance))
                .bind(lease_end(now, lease_for))
                .bind(limit)
                .fetch_all(&mut *connection)
                .await?;
                let mut leased = Vec::with_capacity(rows.len());
                for row in &rows {
                    let (source_no, next_at): (i64, i64) =
                        (row.try_get("source_no")?, row.try_get("next_at")?);
                    let cursor: Cursor = serde_json::from_str(row.try_get("cursor")?).map_err(odd)?;
                    let tenant_no: i64 = row.try_get("tenant_no")?;
                    let failures: u32 = row.try_get("failures")?;
                    leased.push((
                        (next_at, source_no),
                        tenant_no,
                        parsed(row, "source")?,
                        cursor,
                        failures,
                        count(row.try_get("fence")?),
                    ));
                }
                // RETURNING keeps no order.
                leased.sort_by_key(|(order, ..)| *order);
                let numbers = leased.iter().map(|(_, tenant_no, ..)| *tenant_no).collect::<Vec<_>>();
                let rows =
                    sqlx::query(select_tenant!("WHERE t.tenant_no IN (SELECT value FROM json_each(?))"))
                        .bind(serde_json::to_string(&numbers).map_err(odd)?)
                        .fetch_all(&mut *connection)
                        .await?;
                let mut tenants = HashMap::with_capacity(rows.len());
                for row in &rows {
                    let stored = read_tenant(row)?;
                    tenants.insert(stored.tenant_no, stored.tenant);
                }
                let lease = |(_, tenant_no, source, cursor, failures, fence): (_, i64, _, _, _, _)| {
                    let tenant = tenants.get(&tenant_no)?.clone();
                    Some(SourceLease { tenant, source, cursor, failures, fence })
                };
                Ok(leased.into_iter().filter_map(lease).collect())
            })
        })
        .await
    }

    pub(super) async fn next_source_due_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let failed = self.failed("find when the next source is due");
        let row = sqlx::query(
            "SELECT min(max(s.next_at, s.leased_until)) FROM source_state s
             JOIN tenant t ON t.tenant_no = s.tenant_no WHERE s.enabled = 1 AND t.state = 'active'",
        )
        .fetch_one(&self.readers)
        .await
        .map_err(&failed)?;
        Ok(row.try_get::<Option<i64>, _>(0).map_err(failed)?.map(timestamp))
    }

    pub(super) async fn finish_poll(
        &self,
        lease: &SourceLease,
        result: PollResult,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.write("end a poll", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let now = nanoseconds(now);
                // Whether it was read to the end, and whether that or progress ends a row of failures.
                let (next_at, cursor, caught_up, well, error) = match result {
                    PollResult::CaughtUp { next_at, cursor } => (next_at, cursor, true, true, None),
                    PollResult::Yielded { next_at, progressed } => (next_at, None, false, progressed, None),
                    PollResult::Failed { reason, next_at, cursor } => {
                        (next_at, cursor, false, false, Some(bounded(&reason)))
                    }
                };
                let cursor = cursor.map(|cursor| serde_json::to_string(&cursor)).transpose().map_err(odd)?;
                let done = sqlx::query(
                    "UPDATE source_state SET lease_owner = NULL, leased_until = 0, next_at = ?3,
                         cursor = coalesce(?4, cursor),
                         last_success_at = CASE WHEN ?5 THEN ?6 ELSE last_success_at END,
                         failures = CASE WHEN ?9 THEN 0 ELSE failures + (?7 IS NOT NULL) END,
                         last_error = CASE WHEN ?9 THEN NULL ELSE coalesce(?7, last_error) END,
                         last_error_at = CASE WHEN ?9 THEN NULL WHEN ?7 IS NULL THEN last_error_at ELSE ?6 END
                     WHERE tenant_no = (SELECT tenant_no FROM tenant WHERE id = ?1) AND source = ?2
                         AND fence = ?8 AND lease_owner IS NOT NULL",
                )
                .bind(lease.tenant.id.to_string())
                .bind(lease.source.as_str())
                .bind(nanoseconds(next_at))
                .bind(cursor)
                .bind(caught_up)
                .bind(now)
                .bind(error)
                .bind(lease.fence.cast_signed())
                .bind(well)
                .execute(&mut *connection)
                .await?;
                if done.rows_affected() == 0 { Err(lost(&lease).into()) } else { Ok(()) }
            })
        })
        .await
    }

    pub(super) async fn source_states(&self) -> Result<Vec<SourceState>, StoreError> {
        let failed = self.failed("read how the sources are doing");
        let rows = sqlx::query(
            "SELECT t.id, s.source, s.last_success_at, s.cursor, s.accepted, s.failures, s.last_error,
                 s.last_error_at, s.next_at
             FROM source_state s JOIN tenant t ON t.tenant_no = s.tenant_no WHERE s.enabled = 1
             ORDER BY t.slug, s.source",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let state = |row: &sqlx::sqlite::SqliteRow| -> Result<SourceState, sqlx::Error> {
            let cursor: Cursor = serde_json::from_str(row.try_get("cursor")?).map_err(odd)?;
            Ok(SourceState {
                tenant: parsed(row, "id")?,
                source: parsed(row, "source")?,
                last_success_at: row.try_get::<Option<i64>, _>("last_success_at")?.map(timestamp),
                seen_up_to: cursor.seen_up_to(),
                accepted: count(row.try_get("accepted")?),
                failures: row.try_get("failures")?,
                last_error: row.try_get("last_error")?,
                last_error_at: row.try_get::<Option<i64>, _>("last_error_at")?.map(timestamp),
                next_at: timestamp(row.try_get("next_at")?),
            })
        };
        rows.iter().map(state).collect::<Result<_, _>>().map_err(failed)
    }
}

/// An instance as it is stored.
pub(super) fn owner(instance: InstanceId) -> Vec<u8> {
    instance.0.as_bytes().to_vec()
}
