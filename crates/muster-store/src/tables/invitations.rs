//! Invitations.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;

use uuid::Uuid;

use super::rows::{living, odd, parsed};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, Row, query};
use crate::stored::{nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{Invitation, InvitationChange, Invitations, NewInvitation, StoreError};

/// How many invitations of a tenant are remembered.
const PER_TENANT_MAX: u32 = 100;

macro_rules! select_invitations {
    ($tail:literal) => {
        concat!(
            "SELECT i.id, t.id AS tenant, i.language, i.created_at, i.expires_at, i.opened_at, i.used_at, ",
            "i.revoked_at FROM invitation i JOIN tenant t ON t.tenant_no = i.tenant_no ",
            $tail
        )
    };
}

#[async_trait]
impl Invitations for SqlStore {
    async fn add_invitation(&self, new: NewInvitation, now: Timestamp) -> Result<Invitation, StoreError> {
        let invitation = Invitation {
            id: new.id,
            tenant: new.tenant,
            language: new.language,
            created_at: timestamp(nanoseconds(now)),
            expires_at: timestamp(nanoseconds(new.expires_at)),
            opened_at: None,
            used_at: None,
            revoked_at: None,
        };
        let made = invitation.clone();
        self.write("keep the invitation", Durability::Synced, move |connection| {
            Box::pin(async move { add(connection, &invitation, now).await })
        })
        .await?;
        Ok(made)
    }

    async fn invitation(&self, id: Uuid) -> Result<Option<Invitation>, StoreError> {
        let failed = self.failed("find the invitation");
        let row = query(select_invitations!("WHERE i.id = ?")).bind(id.to_string());
        let row = row.fetch_optional(&self.readers).await.map_err(&failed)?;
        row.as_ref().map(read).transpose().map_err(failed)
    }

    async fn invitations(&self, tenant: TenantId) -> Result<Vec<Invitation>, StoreError> {
        let failed = self.failed("list the invitations");
        let rows = query(select_invitations!("WHERE t.id = ? ORDER BY i.invitation_no DESC"))
            .bind(tenant.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(failed)
    }

    async fn change_invitation(
        &self,
        id: Uuid,
        change: InvitationChange,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = match change {
            InvitationChange::Opened => {
                "UPDATE invitation SET opened_at = ?1 WHERE id = ?2 AND opened_at IS NULL AND used_at IS NULL
                 AND revoked_at IS NULL AND expires_at > ?1"
            }
            InvitationChange::Used => {
                "UPDATE invitation SET used_at = ?1, opened_at = coalesce(opened_at, ?1)
                 WHERE id = ?2 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > ?1"
            }
            InvitationChange::Revoked => {
                "UPDATE invitation SET revoked_at = ?1 WHERE id = ?2 AND revoked_at IS NULL"
            }
        };
        self.write("change the invitation", Durability::Synced, move |connection| {
            Box::pin(async move {
                let done = query(sql).bind(nanoseconds(now)).bind(id.to_string());
                Ok(done.execute(&mut *connection).await?.rows_affected() > 0)
            })
        })
        .await
    }
}

async fn add(connection: &mut Connection, new: &Invitation, now: Timestamp) -> Result<(), Failure> {
    let tenant_no = living(connection, new.tenant).await?.tenant_no;
    query("UPDATE invitation SET revoked_at = ? WHERE tenant_no = ? AND revoked_at IS NULL")
        .bind(nanoseconds(now))
        .bind(tenant_no)
        .execute(&mut *connection)
        .await?;
    query(
        "DELETE FROM invitation WHERE tenant_no = ?1 AND invitation_no NOT IN
         (SELECT invitation_no FROM invitation WHERE tenant_no = ?1 ORDER BY invitation_no DESC LIMIT ?2)",
    )
    .bind(tenant_no)
    .bind(PER_TENANT_MAX - 1)
    .execute(&mut *connection)
    .await?;
    query("INSERT INTO invitation (id, tenant_no, language, created_at, expires_at) VALUES (?, ?, ?, ?, ?)")
        .bind(new.id.to_string())
        .bind(tenant_no)
        .bind(&new.language)
        .bind(nanoseconds(new.created_at))
        .bind(nanoseconds(new.expires_at))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

fn read(row: &Row) -> Result<Invitation, sqlx::Error> {
    let time = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(timestamp));
    Ok(Invitation {
        id: Uuid::try_parse(row.try_get("id")?).map_err(odd)?,
        tenant: parsed(row, "tenant")?,
        language: row.try_get("language")?,
        created_at: timestamp(row.try_get("created_at")?),
        expires_at: timestamp(row.try_get("expires_at")?),
        opened_at: time("opened_at")?,
        used_at: time("used_at")?,
        revoked_at: time("revoked_at")?,
    })
}
