//! Secrets of the settings that lie in an Azure Key Vault: fetched after the settings are read and before anything uses
//! them. One that cannot be had is felt by whoever needs it and by nobody else.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_microsoft::Microsoft;
use muster_model::{Secret, SecretReference, VaultSecret};

use crate::config::Settings;

/// How long all secrets together are waited for.
const FETCH_MAX: Duration = Duration::from_secs(60);

/// Why no secret in a vault can be had: the settings do not say how.
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
    /// The app's own credential lies in the vault or in the store.
    #[error(
        "app `{0}` opens the Key Vault, so its own credential must lie elsewhere: give it a certificate file, a federated token or a managed identity"
    )]
    Circle(String),
}

/// Fetches every secret that the settings keep in a Key Vault and that was not fetched yet, over the way to Microsoft
/// that is made when there is one. What cannot be had is noted with the secret, and told by whoever needs it; the
/// number of those is returned.
///
/// # Errors
/// When the settings do not say how the vault is opened.
pub async fn fetch(
    settings: &Settings,
    microsoft: impl FnOnce() -> anyhow::Result<Microsoft>,
) -> Result<usize, VaultError> {
    let references = settings.secret_references();
    let wanted = references.iter().filter_map(|reference| match reference {
        SecretReference::KeyVault(secret) if secret.value().is_none() => Some(secret),
        _ => None,
    });
    let wanted: Vec<&VaultSecret> = wanted.collect();
    let Some(first) = wanted.first() else { return Ok(0) };
    let opener = settings.key_vault.as_ref().ok_or_else(|| VaultError::NoOpener(first.url().to_string()))?;
    let name = opener.app.clone();
    let app = settings.apps.get(&name).ok_or_else(|| VaultError::NoApp(name.clone()))?;
    let in_vault =
        |reference: &Option<SecretReference>| matches!(reference, Some(SecretReference::KeyVault(_)));
    if in_vault(&app.secret) || in_vault(&app.certificate) || app.keeps_credential_in_store() {
        return Err(VaultError::Circle(name));
    }
    let opened = app
        .app(&name, &settings.folder, None)
        .map_err(|error| format!("app `{name}`, which opens the Key Vault: {error}"))
        .and_then(|app| Ok((app, microsoft().map_err(|error| format!("{error:#}"))?)));
    let (app, microsoft) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            wanted.iter().for_each(|secret| secret.failed(why.clone()));
            return Ok(wanted.len());
        }
    };
    let until = tokio::time::Instant::now() + FETCH_MAX;
    // One place may be named several times.
    let mut fetched: BTreeMap<String, Result<Secret<String>, String>> = BTreeMap::new();
    for secret in &wanted {
        let place = secret.url().to_string();
        if !fetched.contains_key(&place) {
            let asked = microsoft.vault_secret(&app, opener.tenant, secret.url());
            let answer = match tokio::time::timeout_at(until, asked).await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err(format!("the vaults did not answer within {} s", FETCH_MAX.as_secs())),
            };
            fetched.insert(place.clone(), answer);
        }
        match fetched.get(&place) {
            Some(Ok(value)) => secret.fetched(value.clone()),
            Some(Err(why)) => secret.failed(why.clone()),
            None => {}
        }
    }
    Ok(wanted.iter().filter(|secret| secret.value().is_none()).count())
}
