//! Where an app's credential is kept, and reading and writing it there.

use std::io;
use std::path::{Path, PathBuf};

use muster_microsoft::Microsoft;
use muster_microsoft::entra::credential::App;
use muster_microsoft::key_vault::KeyVaultError;
use muster_model::{Secret, SecretReference, TenantId};
use muster_store::CredentialKind;
use url::Url;

use super::error::RotationError;
use super::file;
use crate::config::AppSettings;

/// Where an app's credential is kept.
#[derive(Debug, Clone)]
pub enum CredentialPlace {
    Store,
    /// In a file, whose path is absolute or starts from the working folder.
    File(PathBuf),
    KeyVault {
        /// The app that opens it.
        opener: Box<App>,
        /// The tenant that the vault trusts.
        tenant: TenantId,
        url: Url,
    },
}

impl CredentialPlace {
    /// Where the credential of an app is to be written, or why Muster cannot write there.
    ///
    /// # Errors
    /// With what the operator can do instead.
    pub fn of(
        app: &AppSettings,
        kind: CredentialKind,
        folder: &Path,
        opener: impl FnOnce() -> Result<(App, TenantId), String>,
    ) -> Result<Self, String> {
        if app.keeps_credential_in_store() {
            return Ok(Self::Store);
        }
        let (reference, other) = match kind {
            CredentialKind::Secret => (&app.secret, "a certificate: use rotate-certificate"),
            CredentialKind::Certificate => (&app.certificate, "a secret: use rotate-secret"),
        };
        let Some(reference) = reference else {
            return Err(match (&app.secret, &app.certificate) {
                (None, None) => {
                    "its settings name no secret and no certificate, so there is nothing to rotate".to_owned()
                }
                _ => format!("it proves itself with {other}"),
            });
        };
        if kind == CredentialKind::Certificate
            && (app.certificate_key.is_some() || app.certificate_password.is_some())
        {
            return Err(
                "its certificate lies in several files or in PKCS#12, and Muster writes PEM with the key in it: name one PEM file as `certificate`, or none at all to keep it in the store"
                    .to_owned(),
            );
        }
        match reference {
            SecretReference::File(path) => Ok(Self::File(folder.join(path))),
            SecretReference::KeyVault(secret) => {
                let (opener, tenant) = opener()?;
                Ok(Self::KeyVault { opener: Box::new(opener), tenant, url: secret.url().clone() })
            }
            other => Err(format!(
                "its {} comes from {other}, where Muster cannot write: make a new one in the portal and put it there, or leave it out of the settings to have Muster keep it in its store",
                kind.as_str()
            )),
        }
    }

    /// What the place that the settings name holds; `None` where that is nothing, or the store.
    pub(super) async fn held(&self, microsoft: &Microsoft) -> Result<Option<Secret<Vec<u8>>>, RotationError> {
        match self {
            Self::Store => Ok(None),
            Self::File(path) => match file::read_file(path) {
                Ok(held) => Ok(Some(held)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(RotationError::File { path: path.clone(), error }),
            },
            Self::KeyVault { opener, tenant, url } => {
                match microsoft.vault_secret(opener, *tenant, url).await {
                    Ok(held) => Ok(Some(Secret::new(held.expose().as_bytes().to_vec()))),
                    Err(KeyVaultError::NotFound { .. }) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Whether the place that the settings name holds this credential already.
    pub(super) async fn holds(
        &self,
        microsoft: &Microsoft,
        value: &Secret<Vec<u8>>,
    ) -> Result<bool, RotationError> {
        let held = self.held(microsoft).await?;
        Ok(held.is_some_and(|held| trimmed(held.expose()) == trimmed(value.expose())))
    }

    /// Writes a credential where the settings say.
    pub(super) async fn put(
        &self,
        microsoft: &Microsoft,
        value: &Secret<Vec<u8>>,
    ) -> Result<(), RotationError> {
        match self {
            Self::Store => {}
            Self::File(path) => file::replace_file(path, value.expose())
                .map_err(|error| RotationError::File { path: path.clone(), error })?,
            Self::KeyVault { opener, tenant, url } => {
                let value = String::from_utf8(value.expose().clone()).unwrap_or_default();
                microsoft.set_vault_secret(opener, *tenant, url, &Secret::new(value)).await?;
            }
        }
        Ok(())
    }

    /// Removes what was kept beside a file that was replaced.
    pub(super) fn remove_previous(&self) -> Result<(), RotationError> {
        let Self::File(path) = self else { return Ok(()) };
        file::remove_previous(path)
            .map_err(|error| RotationError::File { path: file::beside(path, file::PREVIOUS_SUFFIX), error })
    }
}

pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_end()
}
