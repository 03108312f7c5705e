//! Sign-ins under way.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Secret, TenantId};
use serde::Serialize;
use uuid::Uuid;

use crate::StoreError;
use crate::sealing::{Binding, DataKey, Sealed};

/// Sign-ins that were begun and whose answer is awaited.
#[async_trait]
pub trait SignIns: Send + Sync {
    /// Remembers a sign-in until it is answered. At most 10 000 are kept, and at most 100 of a tenant: the oldest go
    /// first.
    async fn begin_sign_in(&self, sign_in: SignIn) -> Result<(), StoreError>;

    /// Takes a sign-in out, for its one answer. `None` when it is unknown, was taken before or has expired.
    async fn take_sign_in(&self, id: Uuid, now: Timestamp) -> Result<Option<SignIn>, StoreError>;
}

/// What a sign-in is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SignInKind {
    /// An administrator consents for the tenant.
    Consent,
    /// A person lets Muster act for them.
    Delegated,
}

impl SignInKind {
    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Delegated => "delegated",
        }
    }
}

/// A sign-in that was begun and whose answer is awaited. Its id is the OAuth `state`, good for one answer.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Random.
    pub id: Uuid,
    /// Whose directory is expected to answer.
    pub tenant: TenantId,
    /// The app of the settings that asks.
    pub app: String,
    /// What for.
    pub kind: SignInKind,
    /// The invitation that led here.
    pub invitation: Option<Uuid>,
    /// Where the answer goes, exactly as it was asked for.
    pub redirect_uri: String,
    /// The resource that a token is wanted for.
    pub resource: String,
    /// The OpenID Connect `nonce`.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: Secret<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// No answer is taken from then on.
    pub expires_at: Timestamp,
}

/// The column that a sealed verifier is bound to.
const COLUMN: &str = "sign_in.verifier";

/// Seals the verifier of `sign_in`.
pub(crate) fn seal_verifier(key: &DataKey, sign_in: &SignIn) -> Sealed {
    let id = sign_in.id.to_string();
    let binding = Binding { column: COLUMN, tenant: sign_in.tenant, row: id.as_bytes() };
    key.seal(binding, sign_in.verifier.expose().as_bytes())
}

/// Opens the verifier of the sign-in `id`.
pub(crate) fn open_verifier(
    key: &DataKey,
    tenant: TenantId,
    id: Uuid,
    sealed: Sealed,
) -> Result<Secret<String>, StoreError> {
    let id = id.to_string();
    let binding = Binding { column: COLUMN, tenant, row: id.as_bytes() };
    let what = || format!("a sign-in of tenant {tenant}");
    key.open_text(binding, sealed).map_err(|source| StoreError::Sealing { what: what(), source })
}
