//! Sealing the store anew with another master key.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;
use serde_json::json;

use super::audit::append;
use super::credentials::reseal_credentials;
use super::meta::sealing_key;
use super::rows::parsed;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::known_keys::{KnownKeys, opened_signing_key, sealed_signing_key};
use crate::sealing::Sealed;
use crate::sql::{Connection, query};
use crate::writer::Durability;
use crate::{Keys, MasterKey, NewAuditEvent, SigningKey, StoreError};

#[async_trait]
impl Keys for SqlStore {
    fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    async fn master_key_id(&self) -> Result<String, StoreError> {
        let failed = self.failed("find the name of the master key");
        let row = query("SELECT value FROM meta WHERE key = 'master_key'").fetch_one(&self.readers);
        row.await.map_err(&failed)?.try_get(0).map_err(failed)
    }

    async fn rotate_master_key(
        &self,
        new: &MasterKey,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Learned first: once the transaction is done, nothing opens without it.
        self.keys.learn(new);
        self.keys
            .with_keys(|| {
                let (keys, signing_key) = (Arc::clone(&self.keys), self.signing_key.clone());
                let (new, actor) = (new.clone(), actor.to_owned());
                self.write_erasing("rotate the master key", Durability::Synced, move |connection| {
                    Box::pin(async move {
                        let from = sealing_key(connection, &keys).await?;
                        if from.id() == new.id() {
                            return Ok(());
                        }
                        reseal(connection, &keys, &new).await?;
                        let event = NewAuditEvent {
                            actor,
                            action: "master_key.rotated".to_owned(),
                            subject: "store".to_owned(),
                            details: json!({ "from": from.id(), "to": new.id() }),
                        };
                        append(connection, &signing_key, event, now).await.map(drop)
                    })
                })
            })
            .await?;
        self.forget_traces().await;
        Ok(())
    }
}
async fn reseal(connection: &mut Connection, keys: &KnownKeys, new: &MasterKey) -> Result<(), Failure> {
    let rows = query("SELECT tenant_no, id, data_key FROM tenant WHERE length(data_key) > 0");
    for row in rows.fetch_all(&mut *connection).await? {
        let tenant: TenantId = parsed(&row, "id")?;
        let what = || {
            format!("the data key of tenant {tenant}, which must be removed before the key can be rotated")
        };
        let sealed = Sealed::from_stored(row.try_get("data_key")?);
        let key = keys.that_sealed(&sealed, what)?.open_data_key(sealed, tenant);
        let key = key.map_err(|source| StoreError::Sealing { what: what(), source })?;
        query("UPDATE tenant SET data_key = ? WHERE tenant_no = ?")
            .bind(new.seal_data_key(&key, tenant).into_bytes())
            .bind(row.try_get::<i64, _>("tenant_no")?)
            .execute(&mut *connection)
            .await?;
    }
    reseal_credentials(connection, keys, new).await?;
    let row = query("SELECT value FROM meta WHERE key = 'signing_key'").fetch_one(&mut *connection).await?;
    let signing_key = opened_signing_key(&row.try_get::<String, _>(0)?, keys)?;
    for (key, value) in [("signing_key", sealed_signing_key(&signing_key, new)), ("master_key", new.id())] {
        let sql = "UPDATE meta SET value = ? WHERE key = ?";
        query(sql).bind(value).bind(key).execute(&mut *connection).await?;
    }
    Ok(())
}
