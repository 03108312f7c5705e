//! The credentials that Muster made for its apps. They belong to no tenant: the master key seals them.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::keys::{Keys, erasing, sealing_key};
use super::tenants::odd;
use super::{Durability, Failure, SqliteStore, nanoseconds, timestamp};
use crate::sealing::{Sealed, framed};
use crate::{CredentialKind, CredentialSlot, MasterKey, StoreError, StoredCredential};

/// The column that a sealed credential is bound to.
const COLUMN: &str = "app_credential.value";

/// Everything of a credential but its value.
struct Frame {
    app: String,
    slot: CredentialSlot,
    kind: CredentialKind,
    key_id: String,
    not_after: Option<i64>,
    created_at: i64,
}

impl Frame {
    fn of(credential: &StoredCredential) -> Self {
        Self {
            app: credential.app.clone(),
            slot: credential.slot,
            kind: credential.kind,
            key_id: credential.key_id.clone(),
            not_after: credential.not_after.map(nanoseconds),
            created_at: nanoseconds(credential.created_at),
        }
    }

    /// What the value is bound to: all else in the row.
    fn row(&self) -> Vec<u8> {
        let not_after = self.not_after.map(i64::to_be_bytes);
        framed(&[
            self.app.as_bytes(),
            self.slot.as_str().as_bytes(),
            self.kind.as_str().as_bytes(),
            self.key_id.as_bytes(),
            not_after.as_ref().map_or(&[], |bytes| bytes.as_slice()),
            &self.created_at.to_be_bytes(),
        ])
    }

    fn what(&self) -> String {
        format!("the {} credential of app {}", self.slot.as_str(), self.app)
    }

    fn open(self, sealed: Sealed, keys: &Keys) -> Result<StoredCredential, StoreError> {
        let opened = keys.that_sealed(&sealed, || self.what())?.open(COLUMN, &self.row(), sealed);
        let value = opened.map_err(|source| StoreError::Sealing { what: self.what(), source })?;
        Ok(StoredCredential {
            app: self.app,
            slot: self.slot,
            kind: self.kind,
            key_id: self.key_id,
            value,
            not_after: self.not_after.map(timestamp),
            created_at: timestamp(self.created_at),
        })
    }
}

impl SqliteStore {
    pub(super) async fn app_credentials(&self, app: &str) -> Result<Vec<StoredCredential>, StoreError> {
        let failed = self.failed("read the credentials of the app");
        self.with_keys(async || {
            let rows = sqlx::query(
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

    pub(super) async fn put_app_credential(&self, credential: StoredCredential) -> Result<(), StoreError> {
        self.with_keys(|| {
            let (keys, credential) = (Arc::clone(&self.keys), credential.clone());
            self.write("keep the credential", Durability::Synced, move |connection| {
                Box::pin(erasing_put(connection, keys, credential))
            })
        })
        .await
    }

    pub(super) async fn promote_app_credential(&self, app: &str) -> Result<bool, StoreError> {
        self.with_keys(|| {
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

    pub(super) async fn remove_app_credential(
        &self,
        app: &str,
        slot: CredentialSlot,
    ) -> Result<bool, StoreError> {
        let app = app.to_owned();
        self.write("forget the credential", Durability::Synced, move |connection| {
            Box::pin(erasing_remove(connection, app, slot))
        })
        .await
    }
}

async fn find(
    connection: &mut SqliteConnection,
    keys: &Keys,
    app: &str,
    slot: CredentialSlot,
) -> Result<Option<StoredCredential>, Failure> {
    let row = sqlx::query(
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
    connection: &mut SqliteConnection,
    keys: Arc<Keys>,
    credential: StoredCredential,
) -> Result<(), Failure> {
    let key = sealing_key(connection, &keys).await?;
    erasing(connection, move |connection| Box::pin(async move { put(connection, &key, &credential).await }))
        .await
}

async fn put(
    connection: &mut SqliteConnection,
    key: &MasterKey,
    credential: &StoredCredential,
) -> Result<(), Failure> {
    let frame = Frame::of(credential);
    let sealed = key.seal(COLUMN, &frame.row(), credential.value.expose()).into_bytes();
    sqlx::query(
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
    connection: &mut SqliteConnection,
    app: String,
    slot: CredentialSlot,
) -> Result<bool, Failure> {
    erasing(connection, move |connection| {
        Box::pin(async move {
            let done = sqlx::query("DELETE FROM app_credential WHERE app = ? AND slot = ?").bind(app);
            Ok(done.bind(slot.as_str()).execute(&mut *connection).await?.rows_affected() > 0)
        })
    })
    .await
}

/// Seals every credential with `new`.
pub(super) async fn reseal_credentials(
    connection: &mut SqliteConnection,
    keys: &Keys,
    new: &MasterKey,
) -> Result<(), Failure> {
    let rows =
        sqlx::query("SELECT app, slot, kind, key_id, not_after, created_at, value FROM app_credential");
    for row in rows.fetch_all(&mut *connection).await? {
        let (frame, sealed) = stored(&row)?;
        put(connection, new, &frame.open(sealed, keys)?).await?;
    }
    Ok(())
}

fn stored(row: &SqliteRow) -> Result<(Frame, Sealed), sqlx::Error> {
    let frame = Frame {
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

/// The one of `all` that is spelled in `column`.
pub(super) fn word<T: Copy, const N: usize>(
    row: &SqliteRow,
    column: &str,
    all: [T; N],
    spelling: impl Fn(T) -> &'static str,
) -> Result<T, sqlx::Error> {
    let stored: String = row.try_get(column)?;
    let found = all.into_iter().find(|value| spelling(*value) == stored);
    found.ok_or_else(|| odd(std::io::Error::other(format!("`{stored}` is not known in the column {column}"))))
}
