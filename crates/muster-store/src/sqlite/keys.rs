//! The master keys that this process knows, and sealing the store anew with another.
//!
//! Another process may rotate the master key at any moment. So whatever is sealed by it is sealed within the transaction
//! that writes it, by the key that the database names there; and where a key is not known, the key ring is read again,
//! since its file had the new key before the store was sealed with it.

use std::sync::{Arc, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use muster_model::TenantId;
use serde_json::json;
use sqlx::{Executor, Row, SqliteConnection};

use super::audit::append;
use super::credentials::reseal_credentials;
use super::tenants::{odd, parsed};
use super::writer::{Doing, Durability};
use super::{Failure, ReadKeys, SqliteStore};
use crate::sealing::{DataKey, Sealed};
use crate::{KeyRing, MasterKey, NewAuditEvent, SealingError, SigningKey, StoreError};

/// How often something is tried anew when another process rotates the master key meanwhile.
const ATTEMPTS: usize = 5;
/// The place of the signing key.
const SIGNING_KEY: &str = "meta.signing_key";

/// Every master key that this process has learned of, and the way to learn of more.
pub(super) struct Keys {
    path: String,
    known: RwLock<Vec<MasterKey>>,
    read: Option<ReadKeys>,
    /// Held while the ring is read again, so that it is read once and not by all who miss the same key.
    reading: tokio::sync::Mutex<()>,
}

impl Keys {
    pub(super) fn new(path: String, ring: &KeyRing) -> Self {
        let known = RwLock::new(ring.keys().cloned().collect());
        Self { path, known, read: None, reading: tokio::sync::Mutex::new(()) }
    }

    /// The same keys, which can be read again.
    pub(super) fn with_reader(&self, read: ReadKeys) -> Self {
        let known = self.known.read().expect("no panic while the lock is held").clone();
        let reading = tokio::sync::Mutex::new(());
        Self { path: self.path.clone(), known: RwLock::new(known), read: Some(read), reading }
    }

    /// The key with this name.
    pub(super) fn named(&self, id: &str) -> Result<MasterKey, StoreError> {
        let known = self.known.read().expect("no panic while the lock is held");
        match known.iter().find(|key| key.id() == id) {
            Some(key) => Ok(key.clone()),
            None => Err(self.missing(id.to_owned(), &known)),
        }
    }

    /// The key that sealed `sealed`, which is `what`.
    pub(super) fn that_sealed(
        &self,
        sealed: &Sealed,
        what: impl Fn() -> String,
    ) -> Result<MasterKey, StoreError> {
        let known = self.known.read().expect("no panic while the lock is held");
        if let Some(key) = known.iter().find(|key| key.sealed(sealed)) {
            return Ok(key.clone());
        }
        Err(match sealed.key_name() {
            Some(name) => self.missing(name, &known),
            None => StoreError::Sealing { what: what(), source: SealingError::Format },
        })
    }

    fn missing(&self, wanted: String, known: &[MasterKey]) -> StoreError {
        let at_hand = known.iter().map(MasterKey::id).collect::<Vec<_>>().join(", ");
        StoreError::WrongMasterKey { path: self.path.clone(), wanted, at_hand }
    }

    fn knows(&self, id: &str) -> bool {
        self.known.read().expect("no panic while the lock is held").iter().any(|key| key.id() == id)
    }

    /// Keeps another key in mind; whether it is a new one. Those known before are kept too: what a reader still sees
    /// may be sealed with them.
    fn learn(&self, key: &MasterKey) -> bool {
        let mut known = self.known.write().expect("no panic while the lock is held");
        let new = known.iter().all(|other| other.id() != key.id());
        if new {
            known.push(key.clone());
        }
        new
    }

    /// Reads the ring again for the key `wanted`; whether that or another key that was not known is known now.
    async fn reread(&self, wanted: &str) -> bool {
        let _turn = self.reading.lock().await;
        if self.knows(wanted) {
            return true;
        }
        let Some(read) = self.read.clone() else { return false };
        let mut learned = 0;
        // From a file or a program: either may take its time.
        match tokio::task::spawn_blocking(move || read()).await {
            Ok(Ok(ring)) => learned = ring.keys().filter(|key| self.learn(key)).count(),
            Ok(Err(error)) => {
                tracing::warn!(store.path = self.path, %error, "the master key cannot be read again");
            }
            Err(error) => {
                tracing::warn!(store.path = self.path, %error, "reading the master key again failed")
            }
        }
        if learned > 0 {
            tracing::info!(store.path = self.path, "the master key was rotated: the new one is used");
        }
        learned > 0
    }
}

impl SqliteStore {
    /// Runs `attempt`, and again when it lacked a master key that is there once the ring is read again. More than once,
    /// since by then another rotation may be done.
    pub(super) async fn with_keys<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match attempt().await {
                Err(StoreError::WrongMasterKey { wanted, .. })
                    if attempts > 0 && self.keys.reread(&wanted).await => {}
                result => return result,
            }
        }
    }

    /// Opens the data key of `tenant`.
    pub(super) async fn data_key(&self, sealed: Sealed, tenant: TenantId) -> Result<DataKey, StoreError> {
        let what = || format!("the data key of tenant {tenant}");
        let key = match self.keys.that_sealed(&sealed, what) {
            Err(StoreError::WrongMasterKey { wanted, .. }) if self.keys.reread(&wanted).await => {
                self.keys.that_sealed(&sealed, what)?
            }
            result => result?,
        };
        key.open_data_key(sealed, tenant).map_err(|source| StoreError::Sealing { what: what(), source })
    }

    pub(super) async fn master_key_id(&self) -> Result<String, StoreError> {
        let failed = self.failed("find the name of the master key");
        let row = sqlx::query("SELECT value FROM meta WHERE key = 'master_key'").fetch_one(&self.readers);
        row.await.map_err(&failed)?.try_get(0).map_err(failed)
    }

    pub(super) async fn rotate_master_key(
        &self,
        new: &MasterKey,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Learned first: once the transaction is done, nothing opens without it.
        self.keys.learn(new);
        self.with_keys(|| {
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
        self.empty_wal().await;
        Ok(())
    }

    /// Moves the WAL into the database and empties it, since it still holds older versions of the pages. What holds
    /// this up is another process at its end only: the WAL is emptied then.
    pub(super) async fn empty_wal(&self) {
        let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.readers).await;
        if let Err(error) = emptied {
            tracing::debug!(%error, "the WAL will be emptied later");
        }
    }
}

/// The master key that seals the store, as seen from within a transaction. What is sealed with it is good until the
/// transaction ends.
pub(super) async fn sealing_key(
    connection: &mut SqliteConnection,
    keys: &Keys,
) -> Result<MasterKey, Failure> {
    let row = connection.fetch_one("SELECT value FROM meta WHERE key = 'master_key'").await?;
    Ok(keys.named(&row.try_get::<String, _>(0)?)?)
}

/// Runs `work` so that what it deletes or replaces is overwritten with zeros.
pub(super) async fn erasing<T>(
    connection: &mut SqliteConnection,
    work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, T>,
) -> Result<T, Failure> {
    connection.execute("PRAGMA secure_delete = ON").await?;
    let done = work(connection).await;
    connection.execute("PRAGMA secure_delete = OFF").await?;
    done
}

async fn reseal(connection: &mut SqliteConnection, keys: &Keys, new: &MasterKey) -> Result<(), Failure> {
    let rows = sqlx::query("SELECT tenant_no, id, data_key FROM tenant WHERE length(data_key) > 0");
    for row in rows.fetch_all(&mut *connection).await? {
        let tenant: TenantId = parsed(&row, "id")?;
        let what = || {
            format!("the data key of tenant {tenant}, which must be removed before the key can be rotated")
        };
        let sealed = Sealed::from_stored(row.try_get("data_key")?);
        let key = keys.that_sealed(&sealed, what)?.open_data_key(sealed, tenant);
        let key = key.map_err(|source| StoreError::Sealing { what: what(), source })?;
        sqlx::query("UPDATE tenant SET data_key = ? WHERE tenant_no = ?")
            .bind(new.seal_data_key(&key, tenant).into_bytes())
            .bind(row.try_get::<i64, _>("tenant_no")?)
            .execute(&mut *connection)
            .await?;
    }
    reseal_credentials(connection, keys, new).await?;
    let row = connection.fetch_one("SELECT value FROM meta WHERE key = 'signing_key'").await?;
    let signing_key = opened_signing_key(&row.try_get::<String, _>(0)?, keys)?;
    for (key, value) in [("signing_key", sealed_signing_key(&signing_key, new)), ("master_key", new.id())] {
        let sql = "UPDATE meta SET value = ? WHERE key = ?";
        sqlx::query(sql).bind(value).bind(key).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The signing key as it is stored.
pub(super) fn sealed_signing_key(key: &SigningKey, master_key: &MasterKey) -> String {
    STANDARD.encode(master_key.seal(SIGNING_KEY, &[], key.bytes()).into_bytes())
}

/// The signing key, read back.
pub(super) fn opened_signing_key(stored: &str, keys: &Keys) -> Result<SigningKey, StoreError> {
    let what = || "the signing key".to_owned();
    let failed = |source| StoreError::Sealing { what: what(), source };
    let sealed = STANDARD.decode(stored).map_err(|_| failed(SealingError::Format))?;
    let sealed = Sealed::from_stored(sealed);
    let opened = keys.that_sealed(&sealed, what)?.open(SIGNING_KEY, &[], sealed).map_err(failed)?;
    SigningKey::from_bytes(opened.expose()).ok_or_else(|| failed(SealingError::Format))
}

/// The signing key of the store and the name of its master key, which belong together.
pub(super) async fn stored_keys(
    connection: &mut SqliteConnection,
) -> Result<(String, Option<String>), sqlx::Error> {
    // One statement, so that no rotation comes between.
    let row = connection
        .fetch_one(
            "SELECT (SELECT value FROM meta WHERE key = 'master_key'),
                 (SELECT value FROM meta WHERE key = 'signing_key')",
        )
        .await?;
    let master_key: Option<String> = row.try_get(0)?;
    let missing = || odd(std::io::Error::other("the name of the master key is missing"));
    Ok((master_key.ok_or_else(missing)?, row.try_get(1)?))
}
