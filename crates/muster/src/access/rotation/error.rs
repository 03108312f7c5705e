//! Why a rotation stopped.

use std::io;
use std::path::PathBuf;

use muster_microsoft::entra::applications::DirectoryError;
use muster_microsoft::entra::certificate::CertificateError;
use muster_microsoft::entra::error::TokenError;
use muster_microsoft::entra::new_certificate::NewCertificateError;
use muster_microsoft::key_vault::KeyVaultError;
use muster_model::TenantId;
use muster_store::StoreError;
use uuid::Uuid;

use crate::access::apps::AppsError;

/// Why a rotation stopped. The credential in use before it is in use still; the message says what is left.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error("{0}; the credential in use was not touched, and the same command goes on from here")]
    Directory(#[from] DirectoryError),
    #[error("{0}; the same command goes on from here")]
    Store(#[from] StoreError),
    /// The new credential could not be stored.
    #[error(
        "the new {kind} could not be stored ({error}), so it was removed at Microsoft again; the old one is in use still"
    )]
    RolledBack { kind: &'static str, error: StoreError },
    /// The new credential could not be stored, and not be removed again.
    #[error(
        "the new {kind} could not be stored ({error}) and not be removed at Microsoft again ({removal}); the old one is in use still. Remove {kind} {key_id} in the portal, or run the command again, which does"
    )]
    NotRolledBack {
        kind: &'static str,
        /// Why it was not stored.
        error: StoreError,
        /// Why it was not removed.
        removal: Box<DirectoryError>,
        key_id: Uuid,
    },
    /// The new credential does not work.
    #[error(
        "the new credential gives no token yet: {0}; the old one is in use still. Run the same command again: it goes on with the new one"
    )]
    NotProven(TokenError),
    /// The app is not registered there.
    #[error(
        "tenant {home} has no app registration with the client id {client_id}; is it the tenant that the app is registered in? Set `tenant` in [apps.{app}]"
    )]
    NotRegistered {
        app: String,
        client_id: Uuid,
        /// The tenant that was asked.
        home: TenantId,
    },
    #[error("the client id `{0}` is not a GUID")]
    ClientId(String),
    /// No certificate could be made.
    #[error(transparent)]
    NewCertificate(#[from] NewCertificateError),
    /// The certificate that was made or found cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// What the store holds is damaged.
    #[error(transparent)]
    Stored(#[from] AppsError),
    /// The file cannot be replaced.
    #[error(
        "{} cannot be replaced: {error}; it holds the old credential, which is in use still. Run the same command again when that is mended",
        .path.display()
    )]
    File { path: PathBuf, error: io::Error },
    /// The Key Vault said no, or nothing.
    #[error("{0}; the old credential is in use still, and the same command goes on from here")]
    KeyVault(#[from] KeyVaultError),
    /// The one before may be what the running process uses.
    #[error(
        "no new {kind} is made while {kind} {key_id} of the rotation before is valid: a `muster run` that has not read the Key Vault since then still uses it. Send SIGHUP to `muster run`, then run `muster app rotate-{kind} {app} --finish`, which removes {key_id}, and then this command again"
    )]
    PreviousInUse {
        app: String,
        kind: &'static str,
        /// The id of the one before.
        key_id: String,
    },
    /// Another rotation of this store is under way.
    #[error("another command changes the credentials of this store's apps just now; wait for it to end")]
    Busy,
}
