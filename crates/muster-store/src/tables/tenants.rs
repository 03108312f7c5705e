//! Tenants: adding, finding, changing, forgetting.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{TAGS_MAX, Tag, Tenant, TenantId, TenantState};
use serde_json::json;

use super::audit::append;
use super::meta::sealing_key;
use super::rows::{living, read_tenant, select_tenant};
use super::sources::{make_sources_due, set_sources};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::notices::offboarded_facts;
use crate::sealing::DataKey;
use crate::sql::{Connection, query};
use crate::stored::nanoseconds;
use crate::writer::Durability;
use crate::{NewAuditEvent, NewTenant, SigningKey, StoreError, TenantChange, TenantKey, Tenants};

/// How many rows of a removed tenant are deleted in one transaction, so that others need not wait long.
const SWEEP_ROWS: i64 = 2000;

/// A tenant that is not offboarded, with its data key open.
pub(super) struct LivingTenant {
    pub(super) tenant_no: i64,
    pub(super) data_key: DataKey,
}

/// What is written down of a change of a tenant.
struct Deed {
    signing_key: SigningKey,
    actor: String,
    tenant: TenantId,
    now: Timestamp,
}

impl Deed {
    async fn write(
        &self,
        connection: &mut Connection,
        action: &str,
        details: serde_json::Value,
    ) -> Result<(), Failure> {
        let event = NewAuditEvent {
            actor: self.actor.clone(),
            action: action.to_owned(),
            subject: self.tenant.to_string(),
            details,
        };
        append(connection, &self.signing_key, event, self.now).await.map(drop)
    }
}

#[async_trait]
impl Tenants for SqlStore {
    async fn add_tenant(&self, new: NewTenant, actor: &str, now: Timestamp) -> Result<Tenant, StoreError> {
        if new.state == TenantState::Offboarded {
            return Err(StoreError::Offboarded(new.slug.to_string()));
        }
        self.keys
            .with_keys(|| {
                let (keys, new) = (Arc::clone(&self.keys), new.clone());
                let deed = self.deed(new.id, actor, now);
                self.write("add the tenant", Durability::Synced, move |connection| {
                    Box::pin(async move {
                        let key = sealing_key(connection, &keys).await?;
                        let data_key = key.seal_data_key(&DataKey::generate(), new.id).into_bytes();
                        add(connection, &new, data_key, &deed).await
                    })
                })
            })
            .await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let failed = self.failed("list the tenants");
        let rows = query(select_tenant!("ORDER BY t.slug")).fetch_all(&self.readers).await;
        let rows = rows.map_err(&failed)?;
        rows.iter().map(|row| Ok(read_tenant(row).map_err(&failed)?.tenant)).collect()
    }

    async fn tenant(&self, key: TenantKey<'_>) -> Result<Tenant, StoreError> {
        let failed = self.failed("find the tenant");
        let (name, id) = match key {
            TenantKey::Id(id) => (id.to_string(), Some(id)),
            TenantKey::Name(name) => (name.to_owned(), name.parse::<TenantId>().ok()),
        };
        // A slug is unique, a domain need not be: who is named by a slug is meant, whatever others' domains are.
        let row = query(select_tenant!(
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

    async fn change_tenant(
        &self,
        id: TenantId,
        change: TenantChange,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant, StoreError> {
        if let TenantChange::State(TenantState::Offboarded) = change {
            return self.offboard_tenant(id, actor, now).await;
        }
        let deed = self.deed(id, actor, now);
        self.write("change the tenant", Durability::Synced, move |connection| {
            Box::pin(async move { change_one(connection, change, &deed).await })
        })
        .await
    }

    async fn offboard_tenant(&self, id: TenantId, actor: &str, now: Timestamp) -> Result<Tenant, StoreError> {
        let deed = self.deed(id, actor, now);
        let tenant = self.write_erasing("offboard the tenant", Durability::Synced, move |connection| {
            Box::pin(async move {
                let before = find(connection, id).await?;
                if before.state != TenantState::Offboarded {
                    remove_belongings(connection, id).await?;
                    query("UPDATE tenant SET data_key = zeroblob(0), state = ? WHERE id = ?")
                        .bind(TenantState::Offboarded.as_str())
                        .bind(id.to_string())
                        .execute(&mut *connection)
                        .await?;
                    let details = json!({ "slug": before.slug, "state": before.state });
                    deed.write(connection, "tenant.offboarded", details).await?;
                }
                find(connection, id).await
            })
        });
        let tenant = tenant.await?;
        self.sweep_removed().await?;
        self.forget_traces().await;
        Ok(tenant)
    }

    /// The data key and all that names the tenant go in one synced transaction; after it nobody can read the rest,
    /// which is deleted in small steps.
    async fn remove_tenant(&self, id: TenantId, actor: &str, now: Timestamp) -> Result<(), StoreError> {
        let deed = self.deed(id, actor, now);
        self.write_erasing("remove the tenant", Durability::Synced, move |connection| {
            Box::pin(async move {
                let before = find(connection, id).await?;
                remove_belongings(connection, id).await?;
                let gone = query("DELETE FROM tenant WHERE id = ?").bind(id.to_string());
                gone.execute(&mut *connection).await?;
                let details = json!({ "slug": before.slug, "name": before.name, "state": before.state });
                deed.write(connection, "tenant.removed", details).await
            })
        })
        .await?;
        self.sweep_removed().await?;
        self.forget_traces().await;
        Ok(())
    }
}

impl SqlStore {
    /// Finds a tenant that is not offboarded, and opens its data key.
    pub(super) async fn living_tenant(
        &self,
        id: TenantId,
        doing: &'static str,
    ) -> Result<LivingTenant, StoreError> {
        self.keys
            .with_keys(async || {
                let mut reader = self.readers.acquire().await.map_err(self.failed(doing))?;
                let found =
                    living(&mut reader, id).await.map_err(|failure| failure.worded(&self.path, doing))?;
                drop(reader);
                let data_key = self.keys.data_key(found.data_key, id).await?;
                Ok(LivingTenant { tenant_no: found.tenant_no, data_key })
            })
            .await
    }

    fn deed(&self, tenant: TenantId, actor: &str, now: Timestamp) -> Deed {
        Deed { signing_key: self.signing_key.clone(), actor: actor.to_owned(), tenant, now }
    }

    /// Deletes what is left of removed tenants, also of those whose removal was interrupted; whether anything was.
    pub(crate) async fn sweep_removed(&self) -> Result<bool, StoreError> {
        let mut swept = false;
        while self.sweep_some().await? {
            swept = true;
        }
        Ok(swept)
    }

    async fn sweep_some(&self) -> Result<bool, StoreError> {
        let next = query("SELECT kind, no FROM removed LIMIT 1").fetch_optional(&self.readers);
        let failed = self.failed("delete what is left of a removed tenant");
        let Some(row) = next.await.map_err(&failed)? else { return Ok(false) };
        let kind: String = row.try_get(0).map_err(&failed)?;
        let no: i64 = row.try_get(1).map_err(&failed)?;
        self.write_erasing(
            "delete what is left of a removed tenant",
            Durability::Relaxed,
            move |connection| Box::pin(async move { sweep_step(connection, &kind, no).await }),
        )
        .await?;
        Ok(true)
    }
}

async fn add(
    connection: &mut Connection,
    new: &NewTenant,
    data_key: Vec<u8>,
    deed: &Deed,
) -> Result<Tenant, Failure> {
    let id = new.id.to_string();
    // Of one that was offboarded nothing but the name is left. A new row, so that nothing that still points to the
    // old one can be taken for the new one's.
    let again = query("DELETE FROM tenant WHERE id = ? AND state = ?")
        .bind(&id)
        .bind(TenantState::Offboarded.as_str())
        .execute(&mut *connection)
        .await?
        .rows_affected()
        > 0;
    for (field, value, sql) in [
        ("id", id.as_str(), "SELECT 1 FROM tenant WHERE id = ?"),
        ("slug", new.slug.as_str(), "SELECT 1 FROM tenant WHERE slug = ?"),
    ] {
        if query(sql).bind(value).fetch_optional(&mut *connection).await?.is_some() {
            return Err(StoreError::TenantExists { field, value: value.to_owned() }.into());
        }
    }
    let inserted = query(
        "INSERT INTO tenant (id, slug, name, domain, app, state, added_at, since, data_key)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING tenant_no",
    )
    .bind(&id)
    .bind(new.slug.as_str())
    .bind(&new.name)
    .bind(new.domain.as_ref().map(|domain| domain.as_str().to_owned()))
    .bind(&new.app)
    .bind(new.state.as_str())
    .bind(nanoseconds(deed.now))
    .bind(nanoseconds(new.since))
    .bind(data_key)
    .fetch_one(&mut *connection)
    .await?;
    let tenant_no: i64 = inserted.try_get(0)?;
    set_sources(connection, tenant_no, &new.sources, new.since, deed.now).await?;
    set_tags(connection, tenant_no, &new.tags, &BTreeSet::new()).await?;
    let tenant = find(connection, new.id).await?;
    few_tags(&tenant)?;
    let details = json!({
        "slug": tenant.slug, "name": tenant.name, "domain": tenant.domain, "app": tenant.app,
        "sources": tenant.sources, "tags": tenant.tags, "state": tenant.state, "again": again,
    });
    deed.write(connection, "tenant.added", details).await?;
    Ok(tenant)
}

async fn change_one(
    connection: &mut Connection,
    change: TenantChange,
    deed: &Deed,
) -> Result<Tenant, Failure> {
    let tenant_no = living(connection, deed.tenant).await?.tenant_no;
    let before = find(connection, deed.tenant).await?;
    let (sql, value) = match change {
        TenantChange::Sources(sources) => {
            set_sources(connection, tenant_no, &sources, before.since, deed.now).await?;
            ("", String::new())
        }
        TenantChange::Tags { add, remove } => {
            set_tags(connection, tenant_no, &add, &remove).await?;
            ("", String::new())
        }
        TenantChange::State(state) => {
            if state == TenantState::Active {
                make_sources_due(connection, tenant_no, deed.now).await?;
            }
            ("UPDATE tenant SET state = ? WHERE tenant_no = ?", state.as_str().to_owned())
        }
        TenantChange::Slug(slug) => {
            let other = query("SELECT 1 FROM tenant WHERE slug = ? AND tenant_no <> ?");
            let other = other.bind(slug.as_str()).bind(tenant_no).fetch_optional(&mut *connection).await?;
            if other.is_some() {
                return Err(StoreError::TenantExists { field: "slug", value: slug.to_string() }.into());
            }
            ("UPDATE tenant SET slug = ? WHERE tenant_no = ?", slug.to_string())
        }
        TenantChange::Name(name) => ("UPDATE tenant SET name = ? WHERE tenant_no = ?", name),
        TenantChange::App(app) => ("UPDATE tenant SET app = ? WHERE tenant_no = ?", app),
    };
    if !sql.is_empty() {
        query(sql).bind(value).bind(tenant_no).execute(&mut *connection).await?;
    }
    let tenant = find(connection, deed.tenant).await?;
    few_tags(&tenant)?;
    let details = differences(&before, &tenant);
    if !details.is_empty() {
        deed.write(connection, "tenant.changed", details.into()).await?;
    }
    Ok(tenant)
}

async fn set_tags(
    connection: &mut Connection,
    tenant_no: i64,
    add: &BTreeSet<Tag>,
    remove: &BTreeSet<Tag>,
) -> Result<(), Failure> {
    for (sql, tags) in [
        ("INSERT INTO tenant_tag (tenant_no, tag) VALUES (?, ?) ON CONFLICT DO NOTHING", add),
        ("DELETE FROM tenant_tag WHERE tenant_no = ? AND tag = ?", remove),
    ] {
        for tag in tags {
            query(sql).bind(tenant_no).bind(tag.as_str()).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn few_tags(tenant: &Tenant) -> Result<(), Failure> {
    match tenant.tags.len() {
        0..=TAGS_MAX => Ok(()),
        tags => Err(StoreError::ManyTags { tenant: tenant.slug.to_string(), tags }.into()),
    }
}

/// What has changed of a tenant, as it was and as it is.
fn differences(before: &Tenant, after: &Tenant) -> serde_json::Map<String, serde_json::Value> {
    let fields = |tenant: &Tenant| {
        [
            ("name", json!(tenant.name)),
            ("slug", json!(tenant.slug)),
            ("app", json!(tenant.app)),
            ("sources", json!(tenant.sources)),
            ("tags", json!(tenant.tags)),
            ("state", json!(tenant.state)),
        ]
    };
    let pairs = fields(before).into_iter().zip(fields(after));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((field, from), (_, to))| (field.to_owned(), json!({ "from": from, "to": to })))
        .collect()
}

/// Removes all of a tenant but its row, whose data key it destroys.
async fn remove_belongings(connection: &mut Connection, id: TenantId) -> Result<(), Failure> {
    let row = query("SELECT tenant_no, slug FROM tenant WHERE id = ?").bind(id.to_string());
    let row = row.fetch_one(&mut *connection).await?;
    let tenant_no: i64 = row.try_get("tenant_no")?;
    let facts = offboarded_facts(row.try_get("slug")?);
    for sql in [
        "UPDATE tenant SET data_key = zeroblob(length(data_key)) WHERE tenant_no = ?",
        "INSERT INTO removed (kind, no) SELECT 'source', source_no FROM source WHERE tenant_no = ?",
        "INSERT INTO removed (kind, no) SELECT 'queue', queue_no FROM queue WHERE tenant_no = ?",
        "DELETE FROM cursor WHERE source_no IN (SELECT source_no FROM source WHERE tenant_no = ?)",
        "DELETE FROM source WHERE tenant_no = ?",
        "DELETE FROM queue WHERE tenant_no = ?",
        "DELETE FROM dead_letter WHERE tenant_no = ?",
        "DELETE FROM invitation WHERE tenant_no = ?",
        "DELETE FROM sign_in WHERE tenant_no = ?",
        "DELETE FROM delegated_grant WHERE tenant_no = ?",
        "DELETE FROM tenant_check WHERE tenant_no = ?",
        "DELETE FROM tenant_tag WHERE tenant_no = ?",
        "DELETE FROM pull_client WHERE tenant_no = ?",
        "DELETE FROM processed WHERE tenant_no = ?",
        "DELETE FROM notice_condition WHERE tenant_no = ? AND (told = '{}' OR ended_at IS NOT NULL)",
        "DELETE FROM notice_message WHERE tenant_no = ?",
        "DELETE FROM notice_snooze WHERE tenant_no = ?",
    ] {
        query(sql).bind(tenant_no).execute(&mut *connection).await?;
    }
    // Whoever was told of a condition is told that it is over, or an alerting service has it open for ever.
    let told = "UPDATE notice_condition SET tenant_no = NULL, facts = ? WHERE tenant_no = ?";
    query(told).bind(facts).bind(tenant_no).execute(&mut *connection).await?;
    Ok(())
}

async fn sweep_step(connection: &mut Connection, kind: &str, no: i64) -> Result<(), Failure> {
    let steps: &[&'static str] = match kind {
        "queue" => &[
            "DELETE FROM delivery WHERE queue_no = ?1 AND number IN
             (SELECT number FROM delivery WHERE queue_no = ?1 LIMIT ?2)",
            "DELETE FROM replay WHERE queue_no = ?1 AND batch_no IN
             (SELECT batch_no FROM replay WHERE queue_no = ?1 LIMIT ?2)",
            "DELETE FROM ticket_record WHERE queue_no = ?1 AND (number, ticket_no) IN
             (SELECT number, ticket_no FROM ticket_record WHERE queue_no = ?1 LIMIT ?2)",
            "DELETE FROM ticket WHERE ticket_no IN (SELECT ticket_no FROM ticket WHERE queue_no = ?1 LIMIT ?2)",
        ],
        _ => &[
            "DELETE FROM journal_batch WHERE batch_no IN
             (SELECT batch_no FROM journal_batch WHERE source_no = ?1 LIMIT ?2 / 20)",
            "DELETE FROM record_version WHERE source_no = ?1 AND (updated_at, id, hash) IN
             (SELECT updated_at, id, hash FROM record_version WHERE source_no = ?1 LIMIT ?2)",
            "DELETE FROM unrouted WHERE batch_no IN
             (SELECT batch_no FROM unrouted WHERE source_no = ?1 LIMIT ?2)",
            "DELETE FROM fetched_again WHERE source_no = ?1 AND id IN
             (SELECT id FROM fetched_again WHERE source_no = ?1 LIMIT ?2)",
            "DELETE FROM ledger WHERE source_no = ?1 AND hour IN
             (SELECT hour FROM ledger WHERE source_no = ?1 LIMIT ?2)",
            "DELETE FROM ledger_sink WHERE source_no = ?1 AND (hour, sink) IN
             (SELECT hour, sink FROM ledger_sink WHERE source_no = ?1 LIMIT ?2)",
            "DELETE FROM coverage WHERE source_no = ?1 AND from_at IN
             (SELECT from_at FROM coverage WHERE source_no = ?1 LIMIT ?2)",
            "DELETE FROM cursor_note WHERE note_no IN
             (SELECT note_no FROM cursor_note WHERE source_no = ?1 LIMIT ?2)",
        ],
    };
    let mut deleted = 0;
    for sql in steps {
        let done = query(sql).bind(no).bind(SWEEP_ROWS).execute(&mut *connection).await?;
        deleted += done.rows_affected();
    }
    if deleted == 0 {
        let sql = "DELETE FROM removed WHERE kind = ? AND no = ?";
        query(sql).bind(kind).bind(no).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn find(connection: &mut Connection, id: TenantId) -> Result<Tenant, Failure> {
    let row = query(select_tenant!("WHERE t.id = ?")).bind(id.to_string());
    let row = row.fetch_optional(&mut *connection).await?;
    let row = row.ok_or_else(|| StoreError::NoTenant(id.to_string()))?;
    Ok(read_tenant(&row)?.tenant)
}
