//! Secrets of the settings that lie in an Azure Key Vault: fetched once, after the settings are read and before anything
//! uses them.

use std::collections::BTreeMap;

use muster_microsoft::Microsoft;
use muster_microsoft::key_vault::KeyVaultError;
use muster_model::{Secret, SecretReference};

use crate::config::{AppError, CredentialOrigin, Settings};

/// Why a secret in a vault cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The settings do not say who opens it.
    #[error(
        "{0} lies in a Key Vault, but the settings do not say who opens it: add [key_vault] with `app` and `tenant`"
    )]
    NoOpener(String),
    /// The app that opens it does not exist.
    #[error("[key_vault] names app `{0}`, which is not in the settings")]
    NoApp(String),
    /// The app's own credential cannot be had.
    #[error("app `{name}`, which opens the Key Vault: {error}")]
    App { name: String, error: AppError },
    /// The app's own credential lies in the vault or in the store.
    #[error(
        "app `{0}` opens the Key Vault, so its own credential must lie elsewhere: give it a certificate file, a federated token or a managed identity"
    )]
    Circle(String),
    /// The vault said no, or nothing.
    #[error(transparent)]
    Vault(#[from] KeyVaultError),
    /// The way to Microsoft cannot be made.
    #[error("{0}")]
    Way(String),
}

/// Fetches every secret that the settings keep in a Key Vault, over the way to Microsoft that is made when there is one.
///
/// # Errors
/// When one cannot be had; the message says which.
pub async fn fetch(
    settings: &Settings,
    microsoft: impl FnOnce() -> anyhow::Result<Microsoft>,
) -> Result<(), VaultError> {
    let references = settings.secret_references();
    let wanted = references.iter().filter_map(|reference| match reference {
        SecretReference::KeyVault(secret) => Some(secret),
        _ => None,
    });
    let wanted: Vec<_> = wanted.collect();
    let Some(first) = wanted.first() else { return Ok(()) };
    let opener = settings.key_vault.as_ref().ok_or_else(|| VaultError::NoOpener(first.url().to_string()))?;
    let name = opener.app.clone();
    let app = settings.apps.get(&name).ok_or_else(|| VaultError::NoApp(name.clone()))?;
    let in_vault =
        |reference: &Option<SecretReference>| matches!(reference, Some(SecretReference::KeyVault(_)));
    if in_vault(&app.secret) || in_vault(&app.certificate) || app.keeps_credential_in_store() {
        return Err(VaultError::Circle(name));
    }
    if let Err(error) = app.credential(&settings.folder).map(|_: CredentialOrigin| ()) {
        return Err(VaultError::App { name, error });
    }
    let app = app
        .app(&name, &settings.folder, None)
        .map_err(|error| VaultError::App { name: name.clone(), error })?;
    let microsoft = microsoft().map_err(|error| VaultError::Way(format!("{error:#}")))?;
    // One place may be named several times.
    let mut fetched: BTreeMap<String, Secret<String>> = BTreeMap::new();
    for secret in wanted {
        let place = secret.url().to_string();
        if !fetched.contains_key(&place) {
            let value = microsoft.vault_secret(&app, opener.tenant, secret.url()).await?;
            fetched.insert(place.clone(), value);
        }
        if let Some(value) = fetched.get(&place) {
            secret.fetched(value.clone());
        }
    }
    Ok(())
}
