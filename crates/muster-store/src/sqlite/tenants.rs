//! Tenants and their sources: adding, finding, changing, forgetting.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_model::{Cursor, Source, Tenant, TenantId, TenantState};
use sqlx::sqlite::SqliteRow;
use sqlx::{Executor, Row, SqliteConnection};

use super::{Durability, Failure, SqliteStore, nanoseconds, timestamp};
use crate::sealing::{DataKey, Sealed};
use crate::{NewTenant, StoreError, TenantChange, TenantKey};

/// How many rows of a removed tenant are deleted in one transaction, so that others need not wait long.
const SWEEP_ROWS: i64 = 2000;

/// A statement that reads tenants as [`read_tenant`] expects them.
macro_rules! select_tenant {
    ($tail:literal) => {
        concat!(
            "SELECT t.tenant_no, t.id, t.slug, t.name, t.domain, t.app, t.state, t.added_at, t.since, t.data_key, ",
            "(SELECT json_group_array(s.source) FROM source_state s ",
            "WHERE s.tenant_no = t.tenant_no AND s.enabled = 1) AS sources FROM tenant t ",
            $tail
        )
    };
}
pub(super) use select_tenant;

/// A tenant as it is stored.
pub(super) struct StoredTenant {
    pub(super) tenant_no: i64,
    pub(super) data_key: Sealed,
    pub(super) tenant: Tenant,
}

pub(super) fn read_tenant(row: &SqliteRow) -> Result<StoredTenant, sqlx::Error> {
    let sources: String = row.try_get("sources")?;
    let tenant = Tenant {
        id: parsed(row, "id")?,
        slug: parsed(row, "slug")?,
        name: row.try_get("name")?,
        domain: row
            .try_get::<Option<String>, _>("domain")?
            .map(|name| name.parse())
            .transpose()
            .map_err(odd)?,
        app: row.try_get("app")?,
        sources: serde_json::from_str(&sources).map_err(odd)?,
        state: parsed(row, "state")?,
        added_at: timestamp(row.try_get("added_at")?),
        since: timestamp(row.try_get("since")?),
    };
    let data_key = Sealed::from_stored(row.try_get("data_key")?);
    Ok(StoredTenant { tenant_no: row.try_get("tenant_no")?, data_key, tenant })
}

/// A column that holds the text of a value.
pub(super) fn parsed<T>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.try_get::<String, _>(column)?.parse().map_err(odd)
}

/// A value in the database that no version of Muster wrote.
pub(super) fn odd(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

impl SqliteStore {
    pub(super) async fn add_tenant(
        &self,
        new: NewTenant,
        _actor: &str,
        now: Timestamp,
    ) -> Result<Tenant, StoreError> {
        let data_key = self.master_key.seal_data_key(&DataKey::generate(), new.id).into_bytes();
        self.write("add the tenant", Durability::Synced, move |connection| {
            Box::pin(async move {
                let id = new.id.to_string();
                for (field, value, sql) in [
                    ("id", id.as_str(), "SELECT 1 FROM tenant WHERE id = ?"),
                    ("slug", new.slug.as_str(), "SELECT 1 FROM tenant WHERE slug = ?"),
                ] {
                    if sqlx::query(sql).bind(value).fetch_optional(&mut *connection).await?.is_some() {
                        return Err(StoreError::TenantExists { field, value: value.to_owned() }.into());
                    }
                }
                let inserted = sqlx::query(
                    "INSERT INTO tenant (id, slug, name, domain, app, state, added_at, since, data_key)
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(&id)
                .bind(new.slug.as_str())
                .bind(&new.name)
                .bind(new.domain.as_ref().map(|domain| domain.as_str().to_owned()))
                .bind(&new.app)
                .bind(new.state.as_str())
                .bind(nanoseconds(now))
                .bind(nanoseconds(new.since))
                .bind(data_key)
                .execute(&mut *connection)
                .await?;
                let tenant_no = inserted.last_insert_rowid();
                set_sources(connection, tenant_no, &new.sources, new.since, now).await?;
                tenant_by_id(connection, new.id).await
            })
        })
        .await
    }

    pub(super) async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let failed = self.failed("list the tenants");
        let rows = sqlx::query(select_tenant!("ORDER BY t.slug")).fetch_all(&self.readers).await;
        let rows = rows.map_err(&failed)?;
        rows.iter().map(|row| Ok(read_tenant(row).map_err(&failed)?.tenant)).collect()
    }

    pub(super) async fn tenant(&self, key: TenantKey<'_>) -> Result<Tenant, StoreError> {
        let failed = self.failed("find the tenant");
        let (name, id) = match key {
            TenantKey::Id(id) => (id.to_string(), Some(id)),
            TenantKey::Name(name) => (name.to_owned(), name.parse::<TenantId>().ok()),
        };
        // A slug is unique, a domain need not be: who is named by a slug is meant, whatever others' domains are.
        let row = sqlx::query(select_tenant!(
            "WHERE t.id = ?1 OR t.slug = ?2 OR t.domain = lower(?2)
             ORDER BY t.id = ?1 DESC, t.slug = ?2 DESC, t.slug LIMIT 1"
        ))
        .bind(id.map(|id| id.to_string()).unwrap_or_default())
        .bind(if matches!(key, TenantKey::Id(_)) { "" } else { name.as_str() })
        .fetch_optional(&self.readers)
        .await
        .map_err(&failed)?;
        match row {
            Some(row) => Ok(read_tenant(&row).map_err(failed)?.tenant),
            None => Err(StoreError::NoTenant(name)),
        }
    }

    pub(super) async fn change_tenant(
        &self,
        id: TenantId,
        change: TenantChange,
        _actor: &str,
        now: Timestamp,
    ) -> Result<Tenant, StoreError> {
        self.write("change the tenant", Durability::Synced, move |connection| {
            Box::pin(async move {
                let row = sqlx::query("SELECT tenant_no, since FROM tenant WHERE id = ?")
                    .bind(id.to_string())
                    .fetch_optional(&mut *connection)
                    .await?
                    .ok_or_else(|| StoreError::NoTenant(id.to_string()))?;
                let (tenant_no, since): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                let (sql, value) = match change {
                    TenantChange::Sources(sources) => {
                        set_sources(connection, tenant_no, &sources, timestamp(since), now).await?;
                        return tenant_by_id(connection, id).await;
                    }
                    TenantChange::State(state) => {
                        if state == TenantState::Active {
                            make_sources_due(connection, tenant_no, now).await?;
                        }
                        ("UPDATE tenant SET state = ? WHERE tenant_no = ?", state.as_str().to_owned())
                    }
                    TenantChange::Name(name) => ("UPDATE tenant SET name = ? WHERE tenant_no = ?", name),
                    TenantChange::App(app) => ("UPDATE tenant SET app = ? WHERE tenant_no = ?", app),
                };
                sqlx::query(sql).bind(value).bind(tenant_no).execute(&mut *connection).await?;
                tenant_by_id(connection, id).await
            })
        })
        .await
    }

    /// The data key and all that names the tenant go in one synced transaction; after it nobody can read the rest,
    /// which is deleted in small steps.
    pub(super) async fn remove_tenant(
        &self,
        id: TenantId,
        _actor: &str,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write("remove the tenant", Durability::Synced, move |connection| {
            Box::pin(async move {
                // SQLite then overwrites what is deleted with zeros.
                connection.execute("PRAGMA secure_delete = ON").await?;
                let removed = remove_names(connection, id).await;
                connection.execute("PRAGMA secure_delete = OFF").await?;
                removed
            })
        })
        .await?;
        self.sweep_removed().await
    }

    /// Deletes what is left of removed tenants, also of those whose removal was interrupted.
    pub(super) async fn sweep_removed(&self) -> Result<(), StoreError> {
        let mut swept = false;
        while self.sweep_some().await? {
            swept = true;
        }
        if swept {
            // The WAL still holds older versions of the pages. What holds this up is another process at its end
            // only: the WAL is emptied then.
            let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.readers).await;
            if let Err(error) = emptied {
                tracing::debug!(%error, "the WAL will be emptied later");
            }
        }
        Ok(())
    }

    async fn sweep_some(&self) -> Result<bool, StoreError> {
        let next = sqlx::query("SELECT kind, no FROM removed LIMIT 1").fetch_optional(&self.readers);
        let failed = self.failed("delete what is left of a removed tenant");
        let Some(row) = next.await.map_err(&failed)? else { return Ok(false) };
        let kind: String = row.try_get(0).map_err(&failed)?;
        let no: i64 = row.try_get(1).map_err(&failed)?;
        self.write("delete what is left of a removed tenant", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                connection.execute("PRAGMA secure_delete = ON").await?;
                let swept = sweep_step(connection, &kind, no).await;
                connection.execute("PRAGMA secure_delete = OFF").await?;
                swept
            })
        })
        .await?;
        Ok(true)
    }
}

async fn remove_names(connection: &mut SqliteConnection, id: TenantId) -> Result<(), Failure> {
    let row = sqlx::query("SELECT tenant_no FROM tenant WHERE id = ?").bind(id.to_string());
    let row = row.fetch_optional(&mut *connection).await?;
    let row = row.ok_or_else(|| StoreError::NoTenant(id.to_string()))?;
    let tenant_no: i64 = row.try_get(0)?;
    for sql in [
        "UPDATE tenant SET data_key = zeroblob(length(data_key)) WHERE tenant_no = ?",
        "INSERT INTO removed (kind, no) SELECT 'source', source_no FROM source_state WHERE tenant_no = ?",
        "INSERT INTO removed (kind, no) SELECT 'lane', lane_no FROM lane WHERE tenant_no = ?",
        "DELETE FROM source_state WHERE tenant_no = ?",
        "DELETE FROM lane WHERE tenant_no = ?",
        "DELETE FROM dead_letter WHERE tenant_no = ?",
        "DELETE FROM tenant WHERE tenant_no = ?",
    ] {
        sqlx::query(sql).bind(tenant_no).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn sweep_step(connection: &mut SqliteConnection, kind: &str, no: i64) -> Result<(), Failure> {
    let steps: &[&'static str] = match kind {
        "lane" => &["DELETE FROM delivery WHERE lane_no = ?1 AND number IN
                     (SELECT number FROM delivery WHERE lane_no = ?1 LIMIT ?2)"],
        _ => &[
            "DELETE FROM journal_batch WHERE batch_no IN
             (SELECT batch_no FROM journal_batch WHERE source_no = ?1 LIMIT ?2 / 20)",
            "DELETE FROM record_version WHERE source_no = ?1 AND (updated_at, id, hash) IN
             (SELECT updated_at, id, hash FROM record_version WHERE source_no = ?1 LIMIT ?2)",
        ],
    };
    let mut deleted = 0;
    for sql in steps {
        let done = sqlx::query(*sql).bind(no).bind(SWEEP_ROWS).execute(&mut *connection).await?;
        deleted += done.rows_affected();
    }
    if deleted == 0 {
        let sql = "DELETE FROM removed WHERE kind = ? AND no = ?";
        sqlx::query(sql).bind(kind).bind(no).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn tenant_by_id(connection: &mut SqliteConnection, id: TenantId) -> Result<Tenant, Failure> {
    let row = sqlx::query(select_tenant!("WHERE t.id = ?")).bind(id.to_string());
    Ok(read_tenant(&row.fetch_one(&mut *connection).await?)?.tenant)
}

async fn make_sources_due(
    connection: &mut SqliteConnection,
    tenant_no: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    sqlx::query("UPDATE source_state SET next_at = ? WHERE tenant_no = ? AND enabled = 1")
        .bind(nanoseconds(now))
        .bind(tenant_no)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Makes `sources` the ones that are read. One that was read before goes on where it stopped.
async fn set_sources(
    connection: &mut SqliteConnection,
    tenant_no: i64,
    sources: &BTreeSet<Source>,
    since: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    let names = serde_json::to_string(sources).map_err(odd)?;
    let cursor = serde_json::to_string(&Cursor::starting(since)).map_err(odd)?;
    sqlx::query(
        "UPDATE source_state SET enabled = 0
         WHERE tenant_no = ? AND source NOT IN (SELECT value FROM json_each(?))",
    )
    .bind(tenant_no)
    .bind(&names)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO source_state (tenant_no, source, enabled, cursor, next_at)
         SELECT ?1, value, 1, ?2, ?3 FROM json_each(?4) WHERE true
         ON CONFLICT (tenant_no, source) DO UPDATE SET
             next_at = CASE WHEN enabled = 0 THEN excluded.next_at ELSE next_at END, enabled = 1",
    )
    .bind(tenant_no)
    .bind(cursor)
    .bind(nanoseconds(now))
    .bind(names)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
