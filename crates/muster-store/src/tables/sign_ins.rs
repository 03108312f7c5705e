//! Sign-ins under way: each is taken out once, by whoever brings its answer.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;

use uuid::Uuid;

use super::rows::{living, odd, parsed, word};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sealing::Sealed;
use crate::sign_ins::{open_verifier, seal_verifier};
use crate::sql::{Connection, Row, query};
use crate::stored::{nanoseconds, timestamp};
use crate::writer::{Durability, erasing};
use crate::{SignIn, SignInKind, SignIns, StoreError};

/// How many are remembered: whoever can ask for more pushes the oldest out, and not the store to its limits.
const ALL_MAX: u32 = 10_000;
/// How many of a tenant, so that one cannot push out another's before its own.
const PER_TENANT_MAX: u32 = 100;

/// A sign-in as it was stored, with what opens its verifier.
struct Taken {
    row: Row,
    tenant: TenantId,
    data_key: Sealed,
}

#[async_trait]
impl SignIns for SqlStore {
    async fn begin_sign_in(&self, sign_in: SignIn) -> Result<(), StoreError> {
        let doing = "keep the sign-in";
        let tenant = self.living_tenant(sign_in.tenant, doing).await?;
        let verifier = seal_verifier(&tenant.data_key, &sign_in).into_bytes();
        let tenant_no = tenant.tenant_no;
        self.write(doing, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                // The key is the tenant's only as long as its row is the same.
                if living(connection, sign_in.tenant).await?.tenant_no != tenant_no {
                    return Err(StoreError::NoTenant(sign_in.tenant.to_string()).into());
                }
                sweep(connection, tenant_no, sign_in.created_at).await?;
                query(
                    "INSERT INTO sign_in (id, tenant_no, app, kind, invitation, redirect_uri, resource, nonce,
                         verifier, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(sign_in.id.to_string())
                .bind(tenant_no)
                .bind(&sign_in.app)
                .bind(sign_in.kind.as_str())
                .bind(sign_in.invitation.map(|id| id.to_string()))
                .bind(&sign_in.redirect_uri)
                .bind(&sign_in.resource)
                .bind(&sign_in.nonce)
                .bind(verifier)
                .bind(nanoseconds(sign_in.created_at))
                .bind(nanoseconds(sign_in.expires_at))
                .execute(&mut *connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn take_sign_in(&self, id: Uuid, now: Timestamp) -> Result<Option<SignIn>, StoreError> {
        let doing = "take the sign-in";
        let failed = self.failed(doing);
        // Asked first, so that answers that nobody asked for cost no write.
        let known = query("SELECT 1 FROM sign_in WHERE id = ?").bind(id.to_string());
        if known.fetch_optional(&self.readers).await.map_err(&failed)?.is_none() {
            return Ok(None);
        }
        let taken = self.write(doing, Durability::Synced, move |connection| {
            Box::pin(async move {
                erasing(connection, move |connection| Box::pin(async move { take(connection, id).await }))
                    .await
            })
        });
        let Some(Taken { row, tenant, data_key }) = taken.await? else { return Ok(None) };
        if row.try_get::<i64, _>("expires_at").map_err(&failed)? <= nanoseconds(now) {
            return Ok(None);
        }
        let key = self.keys.data_key(data_key, tenant).await?;
        let sealed = Sealed::from_stored(row.try_get("verifier").map_err(&failed)?);
        let verifier = open_verifier(&key, tenant, id, sealed)?;
        let read = || -> Result<SignIn, sqlx::Error> {
            let invitation: Option<String> = row.try_get("invitation")?;
            let kinds = [SignInKind::Consent, SignInKind::Delegated];
            Ok(SignIn {
                id,
                tenant,
                app: row.try_get("app")?,
                kind: word(&row, "kind", kinds, SignInKind::as_str)?,
                invitation: invitation.map(|id| Uuid::try_parse(&id)).transpose().map_err(odd)?,
                redirect_uri: row.try_get("redirect_uri")?,
                resource: row.try_get("resource")?,
                nonce: row.try_get("nonce")?,
                verifier,
                created_at: timestamp(row.try_get("created_at")?),
                expires_at: timestamp(row.try_get("expires_at")?),
            })
        };
        read().map(Some).map_err(failed)
    }
}

async fn take(connection: &mut Connection, id: Uuid) -> Result<Option<Taken>, Failure> {
    let row = query(
        "SELECT s.*, t.id AS tenant, t.data_key FROM sign_in s JOIN tenant t ON t.tenant_no = s.tenant_no
         WHERE s.id = ?",
    )
    .bind(id.to_string())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    query("DELETE FROM sign_in WHERE id = ?").bind(id.to_string()).execute(&mut *connection).await?;
    let data_key = Sealed::from_stored(row.try_get("data_key")?);
    Ok(Some(Taken { tenant: parsed(&row, "tenant")?, data_key, row }))
}

/// Forgets the sign-ins that have expired, and the oldest where there are too many for one more.
async fn sweep(connection: &mut Connection, tenant_no: i64, now: Timestamp) -> Result<(), Failure> {
    query("DELETE FROM sign_in WHERE expires_at <= ?")
        .bind(nanoseconds(now))
        .execute(&mut *connection)
        .await?;
    query(
        "DELETE FROM sign_in WHERE tenant_no = ?1 AND sign_in_no <=
         (SELECT sign_in_no FROM sign_in WHERE tenant_no = ?1 ORDER BY sign_in_no DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(tenant_no)
    .bind(PER_TENANT_MAX - 1)
    .execute(&mut *connection)
    .await?;
    query(
        "DELETE FROM sign_in WHERE sign_in_no <=
         (SELECT sign_in_no FROM sign_in ORDER BY sign_in_no DESC LIMIT 1 OFFSET ?)",
    )
    .bind(ALL_MAX - 1)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
