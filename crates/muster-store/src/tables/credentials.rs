//! The credentials that Muster made for its apps.

use std::sync::Arc;

use async_trait::async_trait;

use super::meta::sealing_key;
use super::rows::word;
use crate::credentials::CredentialFrame;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::known_keys::KnownKeys;
use crate::sealing::Sealed;
use crate::sql::{Connection, Row, query};
use crate::writer::{Durability, erasing};
use crate::{CredentialKind, CredentialSlot, Credentials, MasterKey, StoreError, StoredCredential};

#[async_trait]
impl Credentials for SqlStore {
    async fn app_credentials(&self, app: &str) -> Result<Vec<StoredCredential>, StoreError> {
        let failed = self.failed("read the credentials of the app");
        self.keys
            .with_keys(async || {
                let rows = query(
                    "SELECT app, slot, kind, key_id, not_after, created_at, value FROM app_credential
                 WHERE app = ? ORDER BY slot",
                )
                .bind(app)
                .fetch_all(&self.readers)
                .await
                .map_err(&failed)?;
                rows.iter()
                    .map(|row| {
                        let (frame, sealed) = stored(row).map_err(&failed)?;
                        frame.open(sealed, &self.keys)
                    })
                    .collect()
            })
            .await
    }

    async fn put_app_credential(&self, credential: StoredCredential) -> Result<(), StoreError> {
        self.keys
            .with_keys(|| {
                let (keys, credential) = (Arc::clone(&self.keys), credential.clone());
                self.write("keep the credential", Durability::Synced, move |connection| {
                    Box::pin(erasing_put(connection, keys, credential))
                })
            })
            .await
    }

    async fn promote_app_credential(&self, app: &str) -> Result<bool, StoreError> {
        self.keys
            .with_keys(|| {
                let (keys, app) = (Arc::clone(&self.keys), app.to_owned());
                self.write("promote the credential", Durability::Synced, move |connection| {
                    Box::pin(async move {
                        let current = find(connection, &keys, &app, CredentialSlot::Current).await?;
                        let Some(next) = find(connection, &keys, &app, CredentialSlot::Next).await? else {
                            return Ok(false);
                        };
                        let moves = current
                            .into_iter()
                            .map(|current| StoredCredential { slot: CredentialSlot::Previous, ..current })
                            .chain([StoredCredential { slot: CredentialSlot::Current, ..next }]);
                        for moved in moves {
                            erasing_put(connection, Arc::clone(&keys), moved).await?;
                        }
                        erasing_remove(connection, app, CredentialSlot::Next).await
                    })
                })
            })
            .await
    }

    async fn remove_app_credential(&self, app: &str, slot: CredentialSlot) -> Result<bool, StoreError> {
        let app = app.to_owned();
        self.write("forget the credential", Durability::Synced, move |connection| {
            Box::pin(erasing_remove(connection, app, slot))
        })
        .await
    }
}

async fn find(
    connection: &mut Connection,
    keys: &KnownKeys,
    app: &str,
    slot: CredentialSlot,
) -> Result<Option<StoredCredential>, Failure> {
    let row = query(
        "SELECT app, slot, kind, key_id, not_after, created_at, value FROM app_credential
         WHERE app = ? AND slot = ?",
    )
    .bind(app)
    .bind(slot.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (frame, sealed) = stored(&row)?;
    Ok(Some(frame.open(sealed, keys)?))
}

async fn erasing_put(
    connection: &mut Connection,
    keys: Arc<KnownKeys>,
    credential: StoredCredential,
) -> Result<(), Failure> {
    let key = sealing_key(connection, &keys).await?;
    erasing(connection, move |connection| Box::pin(async move { put(connection, &key, &credential).await }))
        .await
}

async fn put(
    connection: &mut Connection,
    key: &MasterKey,
    credential: &StoredCredential,
) -> Result<(), Failure> {
    let frame = CredentialFrame::of(credential);
    let sealed = frame.seal(key, credential).into_bytes();
    query(
        "INSERT INTO app_credential (app, slot, kind, key_id, not_after, created_at, value)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (app, slot) DO UPDATE SET kind = excluded.kind, key_id = excluded.key_id,
             not_after = excluded.not_after, created_at = excluded.created_at, value = excluded.value",
    )
    .bind(frame.app)
    .bind(frame.slot.as_str())
    .bind(frame.kind.as_str())
    .bind(frame.key_id)
    .bind(frame.not_after)
    .bind(frame.created_at)
    .bind(sealed)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn erasing_remove(
    connection: &mut Connection,
    app: String,
    slot: CredentialSlot,
) -> Result<bool, Failure> {
    erasing(connection, move |connection| {
        Box::pin(async move {
            let done = query("DELETE FROM app_credential WHERE app = ? AND slot = ?").bind(app);
            Ok(done.bind(slot.as_str()).execute(&mut *connection).await?.rows_affected() > 0)
        })
    })
    .await
}

/// Seals every credential with `new`.
pub(super) async fn reseal_credentials(
    connection: &mut Connection,
    keys: &KnownKeys,
    new: &MasterKey,
) -> Result<(), Failure> {
    let rows = query("SELECT app, slot, kind, key_id, not_after, created_at, value FROM app_credential");
    for row in rows.fetch_all(&mut *connection).await? {
        let (frame, sealed) = stored(&row)?;
        put(connection, new, &frame.open(sealed, keys)?).await?;
    }
    Ok(())
}

fn stored(row: &Row) -> Result<(CredentialFrame, Sealed), sqlx::Error> {
    let frame = CredentialFrame {
        app: row.try_get("app")?,
        slot: word(
            row,
            "slot",
            [CredentialSlot::Current, CredentialSlot::Next, CredentialSlot::Previous],
            |slot| slot.as_str(),
        )?,
        kind: word(row, "kind", [CredentialKind::Secret, CredentialKind::Certificate], |kind| kind.as_str())?,
        key_id: row.try_get("key_id")?,
        not_after: row.try_get("not_after")?,
        created_at: row.try_get("created_at")?,
    };
    Ok((frame, Sealed::from_stored(row.try_get("value")?)))
}
