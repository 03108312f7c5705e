//! The credentials that Muster made for its apps. They belong to no tenant: the master key seals them.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::Secret;
use serde::Serialize;

use crate::known_keys::KnownKeys;
use crate::sealing::{Sealed, framed};
use crate::stored::{nanoseconds, timestamp};
use crate::{MasterKey, StoreError};

/// The credentials that Muster made for its apps.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The credentials that Muster made for `app`, by slot.
    async fn app_credentials(&self, app: &str) -> Result<Vec<StoredCredential>, StoreError>;

    /// Keeps a credential, in place of what was in its slot. Synced to disk before it returns.
    async fn put_app_credential(&self, credential: StoredCredential) -> Result<(), StoreError>;

    /// Makes the next credential the current one and the current one the previous one, in one transaction. `false`
    /// when there is no next one.
    async fn promote_app_credential(&self, app: &str) -> Result<bool, StoreError>;

    /// Forgets a credential; `false` when there is none.
    async fn remove_app_credential(&self, app: &str, slot: CredentialSlot) -> Result<bool, StoreError>;
}

/// Which of an app's stored credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialSlot {
    /// The one in use.
    Current,
    /// Made, and not proven yet.
    Next,
    /// In use before, and not withdrawn yet.
    Previous,
}

impl CredentialSlot {
    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
            Self::Previous => "previous",
        }
    }
}

/// How a stored credential proves the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    /// A client secret.
    Secret,
    /// A certificate with its private key.
    Certificate,
}

impl CredentialKind {
    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
        }
    }
}

/// A credential that Muster made for one of its apps.
#[derive(Debug, Clone)]
pub struct StoredCredential {
    /// The app of the settings.
    pub app: String,
    /// Which of the app's.
    pub slot: CredentialSlot,
    /// What it is.
    pub kind: CredentialKind,
    /// The id by which the app registration knows it.
    pub key_id: String,
    /// The secret, or the certificate with its private key.
    pub value: Secret<Vec<u8>>,
    /// When it ends, where that is known.
    pub not_after: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The column that a sealed credential is bound to.
const COLUMN: &str = "app_credential.value";

/// Everything of a credential but its value.
pub(crate) struct CredentialFrame {
    pub(crate) app: String,
    pub(crate) slot: CredentialSlot,
    pub(crate) kind: CredentialKind,
    pub(crate) key_id: String,
    pub(crate) not_after: Option<i64>,
    pub(crate) created_at: i64,
}

impl CredentialFrame {
    pub(crate) fn of(credential: &StoredCredential) -> Self {
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

    /// The value of `credential`, sealed.
    pub(crate) fn seal(&self, key: &MasterKey, credential: &StoredCredential) -> Sealed {
        key.seal(COLUMN, &self.row(), credential.value.expose())
    }

    fn what(&self) -> String {
        format!("the {} credential of app {}", self.slot.as_str(), self.app)
    }

    pub(crate) fn open(self, sealed: Sealed, keys: &KnownKeys) -> Result<StoredCredential, StoreError> {
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
