//! Single cursors by name.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Cursor, Purpose, Source, TenantId};

use super::notes::take_notes_in;
use super::rows::{odd, owner, read_tenant, select_tenant};
use super::sources::read_state;
use super::waits::latest_set;
use crate::engine::SqlStore;
use crate::sql::{Row, query};
use crate::stored::{count, lease_end, nanoseconds};
use crate::writer::Durability;
use crate::{CursorState, InstanceId, Passes, SourceLease, StoreError};

/// What [`read_state`] reads, of living tenants and sources.
macro_rules! select_cursors {
    ($tail:literal) => {
        concat!(
            "SELECT t.id, s.source, c.purpose, c.last_success_at, c.cursor, s.accepted, s.last_new_at, c.failures, ",
            "c.last_error, c.last_error_at, c.next_at FROM tenant t ",
            "JOIN source s ON s.tenant_no = t.tenant_no JOIN cursor c ON c.source_no = s.source_no ",
            "WHERE s.enabled = 1 AND ",
            $tail
        )
    };
}

#[async_trait]
impl Passes for SqlStore {
    async fn begin_cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
        cursor: Cursor,
        next_at: Timestamp,
    ) -> Result<bool, StoreError> {
        // Asked first, so that a store that has them all is not written to.
        if self.cursor(tenant, source, purpose).await?.is_some() {
            return Ok(false);
        }
        self.insert_cursor((tenant, source, purpose), cursor, next_at).await
    }

    async fn cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
    ) -> Result<Option<CursorState>, StoreError> {
        let failed = self.failed("look at a cursor");
        let row = query(select_cursors!("t.id = ? AND s.source = ? AND c.purpose = ?"))
            .bind(tenant.to_string())
            .bind(source.as_str())
            .bind(purpose.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(&failed)?;
        row.as_ref().map(cursor_state).transpose().map_err(failed)
    }

    async fn cursors(&self, purpose: Purpose) -> Result<Vec<CursorState>, StoreError> {
        let failed = self.failed("look at cursors");
        let rows = query(select_cursors!("c.purpose = ? ORDER BY t.slug, s.source"))
            .bind(purpose.as_str())
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        rows.iter().map(cursor_state).collect::<Result<_, _>>().map_err(failed)
    }

    async fn lease_cursor(
        &self,
        instance: InstanceId,
        (tenant, source, purpose): (TenantId, Source, Purpose),
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<SourceLease>, StoreError> {
        let least_fence = self.least_fence(instance, now);
        self.write("lease a cursor", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let row = query(
                    "UPDATE cursor SET lease_owner = ?1, leased_until = ?2, set_at = ?3, fence = max(fence + 1, ?8)
                     WHERE (next_at <= ?3 AND leased_until <= ?3 OR set_at > ?7) AND purpose = ?6 AND source_no IN (
                         SELECT s.source_no FROM source s JOIN tenant t ON t.tenant_no = s.tenant_no
                         WHERE t.id = ?4 AND s.source = ?5 AND s.enabled = 1 AND t.state = 'active')
                     RETURNING cursor_no, source_no, cursor, failures, fence",
                )
                .bind(owner(instance))
                .bind(lease_end(now, lease_for))
                .bind(nanoseconds(now))
                .bind(tenant.to_string())
                .bind(source.as_str())
                .bind(purpose.as_str())
                .bind(latest_set(now))
                .bind(least_fence)
                .fetch_optional(&mut *connection)
                .await?;
                let Some(row) = row else { return Ok(None) };
                let mut cursor: Cursor = serde_json::from_str(row.try_get("cursor")?).map_err(odd)?;
                if purpose == Purpose::Live {
                    let live = (row.try_get("cursor_no")?, &mut cursor);
                    take_notes_in(connection, [(row.try_get("source_no")?, live)].into()).await?;
                }
                let tenant = query(select_tenant!("WHERE t.id = ?"))
                    .bind(tenant.to_string())
                    .fetch_one(&mut *connection)
                    .await?;
                Ok(Some(SourceLease {
                    tenant: read_tenant(&tenant)?.tenant,
                    source,
                    purpose,
                    cursor,
                    failures: row.try_get("failures")?,
                    fence: count(row.try_get("fence")?),
                }))
            })
        })
        .await
    }
}

fn cursor_state(row: &Row) -> Result<CursorState, sqlx::Error> {
    let cursor: Cursor = serde_json::from_str(row.try_get("cursor")?).map_err(odd)?;
    Ok(CursorState { state: read_state(row)?, cursor })
}
