//! What checks of tenants and apps found last.

use async_trait::async_trait;
use muster_model::TenantId;

use super::rows::{living, parsed, word};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, Query, Row, query};
use crate::stored::{bounded, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{Check, CheckOutcome, Checks, StoreError};

/// Puts a check into a table whose first column is bound first.
macro_rules! put_check {
    ($table:literal, $key:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (",
            $key,
            ", name, outcome, code, detail, remedy, checked_at, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (",
            $key,
            ", name) DO UPDATE SET outcome = excluded.outcome, code = excluded.code, detail = excluded.detail,
                 remedy = excluded.remedy, checked_at = excluded.checked_at, expires_at = excluded.expires_at"
        )
    };
}

type Put = Query<'static>;

#[async_trait]
impl Checks for SqlStore {
    async fn put_checks(&self, tenant: TenantId, checks: Vec<Check>) -> Result<(), StoreError> {
        self.write("keep what the checks found", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let tenant_no = living(connection, tenant).await?.tenant_no;
                for check in checks {
                    let put = query(put_check!("tenant_check", "tenant_no")).bind(tenant_no);
                    put_one(connection, put, check).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn remove_checks(&self, tenant: TenantId, names: &[String]) -> Result<(), StoreError> {
        let names = serde_json::to_string(names).expect("strings");
        self.write("forget what the checks found", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                query(
                    "DELETE FROM tenant_check WHERE tenant_no = (SELECT tenant_no FROM tenant WHERE id = ?)
                     AND name IN (SELECT value FROM json_each(?))",
                )
                .bind(tenant.to_string())
                .bind(names)
                .execute(&mut *connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn checks(&self, tenant: Option<TenantId>) -> Result<Vec<(TenantId, Check)>, StoreError> {
        let failed = self.failed("read what the checks found");
        let rows = query(
            "SELECT c.*, t.id AS tenant FROM tenant_check c JOIN tenant t ON t.tenant_no = c.tenant_no
             WHERE ?1 IS NULL OR t.id = ?1 ORDER BY t.slug, c.name",
        )
        .bind(tenant.map(|tenant| tenant.to_string()))
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let read = |row: &Row| Ok((parsed(row, "tenant")?, read_check(row)?));
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }

    async fn put_app_checks(&self, app: &str, checks: Vec<Check>) -> Result<(), StoreError> {
        let app = app.to_owned();
        self.write("keep what the checks found", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                for check in checks {
                    let put = query(put_check!("app_check", "app")).bind(app.clone());
                    put_one(connection, put, check).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn app_checks(&self) -> Result<Vec<(String, Check)>, StoreError> {
        let failed = self.failed("read what the checks found");
        let rows = query("SELECT * FROM app_check ORDER BY app, name").fetch_all(&self.readers).await;
        let read = |row: &Row| Ok((row.try_get("app")?, read_check(row)?));
        rows.map_err(&failed)?.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }
}

async fn put_one(connection: &mut Connection, put: Put, check: Check) -> Result<(), Failure> {
    put.bind(bounded(&check.name))
        .bind(check.outcome.as_str())
        .bind(bounded(&check.code))
        .bind(bounded(&check.detail))
        .bind(bounded(&check.remedy))
        .bind(nanoseconds(check.checked_at))
        .bind(check.expires_at.map(nanoseconds))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

fn read_check(row: &Row) -> Result<Check, sqlx::Error> {
    let outcomes = [CheckOutcome::Good, CheckOutcome::Warning, CheckOutcome::Failing];
    Ok(Check {
        name: row.try_get("name")?,
        outcome: word(row, "outcome", outcomes, CheckOutcome::as_str)?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        remedy: row.try_get("remedy")?,
        checked_at: timestamp(row.try_get("checked_at")?),
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(timestamp),
    })
}
