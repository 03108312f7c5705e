//! People's grants: each is renewed by one worker in one process at a time.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Secret, TenantId};

use super::rows::{living, owner, parsed};
use super::waits::latest_set;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::grants::{open_refresh_token, seal_refresh_token};
use crate::sealing::Sealed;
use crate::sql::{Connection, Row, query};
use crate::stored::{bounded, count, lease_end, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{Grant, GrantLease, Grants, InstanceId, NewGrant, StoreError};

/// Fences of a row are numbered from its own number times this, so that no lease of an earlier row for the same tenant
/// and app can be taken for one of a later row.
const FENCES_PER_GRANT: i64 = 1 << 24;

/// What came of the wish to lease a grant, its refresh token still sealed.
enum Found {
    Leased { refresh_token: Sealed, data_key: Sealed, fence: i64, grant: Grant },
    Busy { until: i64 },
    Dead { grant: Grant },
    None,
}

#[async_trait]
impl Grants for SqlStore {
    async fn put_grant(&self, new: NewGrant, now: Timestamp) -> Result<(), StoreError> {
        let doing = "keep the grant";
        let tenant = self.living_tenant(new.tenant, doing).await?;
        let sealed =
            seal_refresh_token(&tenant.data_key, new.tenant, &new.app, &new.refresh_token).into_bytes();
        let tenant_no = tenant.tenant_no;
        self.write_erasing(doing, Durability::Synced, move |connection| {
            Box::pin(async move {
                if living(connection, new.tenant).await?.tenant_no != tenant_no {
                    return Err(StoreError::NoTenant(new.tenant.to_string()).into());
                }
                query(
                    "INSERT INTO delegated_grant (tenant_no, app, account, resource, granted_at, renewed_at,
                         expires_at, fence, refresh_token) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, 0, ?7)
                     ON CONFLICT (tenant_no, app) DO UPDATE SET account = excluded.account,
                         resource = excluded.resource, granted_at = excluded.granted_at,
                         renewed_at = excluded.renewed_at, expires_at = excluded.expires_at,
                         refresh_token = excluded.refresh_token, last_error = NULL, revoked_at = NULL,
                         leased_until = 0, lease_owner = NULL, fence = delegated_grant.fence + 1",
                )
                .bind(tenant_no)
                .bind(&new.app)
                .bind(&new.account)
                .bind(&new.resource)
                .bind(nanoseconds(now))
                .bind(new.expires_at.map(nanoseconds))
                .bind(sealed)
                .execute(&mut *connection)
                .await?;
                query(
                    "UPDATE delegated_grant SET fence = grant_no * ? WHERE tenant_no = ? AND app = ? AND fence = 0",
                )
                .bind(FENCES_PER_GRANT)
                .bind(tenant_no)
                .bind(&new.app)
                .execute(&mut *connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn grants(&self, tenant: Option<TenantId>) -> Result<Vec<Grant>, StoreError> {
        let failed = self.failed("list the grants");
        let rows = query(
            "SELECT g.*, t.id AS tenant FROM delegated_grant g JOIN tenant t ON t.tenant_no = g.tenant_no
             WHERE ?1 IS NULL OR t.id = ?1 ORDER BY t.slug, g.app",
        )
        .bind(tenant.map(|tenant| tenant.to_string()))
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        rows.iter().map(read_grant).collect::<Result<_, _>>().map_err(failed)
    }

    async fn remove_grant(&self, tenant: TenantId, app: &str) -> Result<bool, StoreError> {
        let app = app.to_owned();
        self.write_erasing("forget the grant", Durability::Synced, move |connection| {
            Box::pin(async move {
                let done = query(
                    "DELETE FROM delegated_grant
                     WHERE tenant_no = (SELECT tenant_no FROM tenant WHERE id = ?) AND app = ?",
                );
                let done = done.bind(tenant.to_string()).bind(app).execute(&mut *connection).await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    async fn lease_grant(
        &self,
        instance: InstanceId,
        tenant: TenantId,
        app: &str,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<GrantLease, StoreError> {
        let named = app.to_owned();
        let lessee = (instance, self.least_fence(instance, now));
        let leased = self.write("lease the grant", Durability::Relaxed, move |connection| {
            Box::pin(async move { lease(connection, lessee, tenant, &named, lease_for, now).await })
        });
        let (refresh_token, data_key, fence, grant) = match leased.await? {
            Found::Leased { refresh_token, data_key, fence, grant } => {
                (refresh_token, data_key, fence, grant)
            }
            Found::Busy { until } => return Ok(GrantLease::Busy { until: timestamp(until) }),
            Found::Dead { grant } => return Ok(GrantLease::Dead { grant }),
            Found::None => return Ok(GrantLease::None),
        };
        let key = self.keys.data_key(data_key, tenant).await?;
        let refresh_token = open_refresh_token(&key, tenant, app, refresh_token)?;
        Ok(GrantLease::Leased { refresh_token, fence: count(fence), grant })
    }

    async fn renew_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        new_refresh_token: Option<&Secret<String>>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let doing = "keep the renewed grant";
        let sealed = match new_refresh_token {
            None => None,
            Some(token) => {
                // A tenant that is gone took its grants with it: the lease is lost.
                let found = match self.living_tenant(tenant, doing).await {
                    Err(StoreError::NoTenant(_) | StoreError::Offboarded(_)) => {
                        return Err(lost(tenant, app));
                    }
                    found => found?,
                };
                Some((found.tenant_no, seal_refresh_token(&found.data_key, tenant, app, token).into_bytes()))
            }
        };
        let app = app.to_owned();
        self.write_erasing(doing, Durability::Synced, move |connection| {
            Box::pin(async move {
                let (tenant_no, sealed) = sealed.unzip();
                let done = query(
                    "UPDATE delegated_grant SET renewed_at = ?1, expires_at = ?2, last_error = NULL,
                         refresh_token = coalesce(?3, refresh_token), leased_until = 0, lease_owner = NULL
                     WHERE tenant_no = (SELECT tenant_no FROM tenant WHERE id = ?4) AND app = ?5 AND fence = ?6
                         AND lease_owner IS NOT NULL AND tenant_no = coalesce(?7, tenant_no)",
                )
                .bind(nanoseconds(now))
                .bind(expires_at.map(nanoseconds))
                .bind(sealed)
                .bind(tenant.to_string())
                .bind(&app)
                .bind(fence.cast_signed())
                .bind(tenant_no)
                .execute(&mut *connection)
                .await?;
                if done.rows_affected() == 0 { Err(lost(tenant, &app).into()) } else { Ok(()) }
            })
        })
        .await
    }

    async fn fail_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        reason: String,
        dead: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let app = app.to_owned();
        self.write_erasing("keep why the grant was not renewed", Durability::Synced, move |connection| {
            Box::pin(async move {
                let done = query(
                    "UPDATE delegated_grant SET last_error = ?1, leased_until = 0, lease_owner = NULL,
                         revoked_at = CASE WHEN ?2 = 1 THEN ?3 ELSE revoked_at END,
                         refresh_token = CASE WHEN ?2 = 1 THEN zeroblob(0) ELSE refresh_token END
                     WHERE tenant_no = (SELECT tenant_no FROM tenant WHERE id = ?4) AND app = ?5 AND fence = ?6
                         AND lease_owner IS NOT NULL",
                )
                .bind(bounded(&reason))
                .bind(dead)
                .bind(nanoseconds(now))
                .bind(tenant.to_string())
                .bind(&app)
                .bind(fence.cast_signed())
                .execute(&mut *connection)
                .await?;
                if done.rows_affected() == 0 { Err(lost(tenant, &app).into()) } else { Ok(()) }
            })
        })
        .await
    }
}

async fn lease(
    connection: &mut Connection,
    (instance, least_fence): (InstanceId, i64),
    tenant: TenantId,
    app: &str,
    lease_for: Duration,
    now: Timestamp,
) -> Result<Found, Failure> {
    let row = query(
        "SELECT g.*, t.id AS tenant, t.data_key FROM delegated_grant g
         JOIN tenant t ON t.tenant_no = g.tenant_no WHERE t.id = ? AND g.app = ?",
    )
    .bind(tenant.to_string())
    .bind(app)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(Found::None) };
    let grant = read_grant(&row)?;
    if grant.revoked_at.is_some() {
        return Ok(Found::Dead { grant });
    }
    let (until, set_at): (i64, i64) = (row.try_get("leased_until")?, row.try_get("set_at")?);
    // A version before did not say when it was set: no lease of its was longer than such a step.
    let set_at = if set_at == 0 { until } else { set_at };
    if until > nanoseconds(now) && set_at <= latest_set(now) {
        return Ok(Found::Busy { until });
    }
    let fence = least_fence.max(row.try_get::<i64, _>("fence")? + 1);
    let sql = "UPDATE delegated_grant SET leased_until = ?, set_at = ?, lease_owner = ?, fence = ? WHERE grant_no = ?";
    query(sql)
        .bind(lease_end(now, lease_for))
        .bind(nanoseconds(now))
        .bind(owner(instance))
        .bind(fence)
        .bind(row.try_get::<i64, _>("grant_no")?)
        .execute(&mut *connection)
        .await?;
    let refresh_token = Sealed::from_stored(row.try_get("refresh_token")?);
    let data_key = Sealed::from_stored(row.try_get("data_key")?);
    Ok(Found::Leased { refresh_token, data_key, fence, grant })
}

fn lost(tenant: TenantId, app: &str) -> StoreError {
    StoreError::LeaseLost { what: format!("the grant for app {app} in tenant {tenant}") }
}

fn read_grant(row: &Row) -> Result<Grant, sqlx::Error> {
    let time = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(timestamp));
    Ok(Grant {
        tenant: parsed(row, "tenant")?,
        app: row.try_get("app")?,
        account: row.try_get("account")?,
        resource: row.try_get("resource")?,
        granted_at: timestamp(row.try_get("granted_at")?),
        renewed_at: timestamp(row.try_get("renewed_at")?),
        expires_at: time("expires_at")?,
        last_error: row.try_get("last_error")?,
        revoked_at: time("revoked_at")?,
    })
}
