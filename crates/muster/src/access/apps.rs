//! The apps of the settings with their credentials in hand.
//!
//! A credential that Muster keeps in its store may be rotated by a command while `muster run` is at work, so it is looked
//! up again every now and then, and at once when Microsoft refuses the one in hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use muster_microsoft::entra::certificate::Certificate;
use muster_microsoft::entra::credential::{App, Credential};
use muster_model::Secret;
use muster_store::{CredentialKind, CredentialSlot, Store, StoreError, StoredCredential};

use crate::config::{AppError, AppSettings, Settings};
use crate::troubles::Troubles;

/// The apps by name. Cheap to copy; copies share what is in hand.
#[derive(Clone)]
pub struct Apps {
    store: Arc<dyn Store>,
    settings: Arc<BTreeMap<String, AppSettings>>,
    folder: Arc<PathBuf>,
    in_hand: Arc<RwLock<BTreeMap<String, App>>>,
    /// Why the others are not.
    out_of_reach: Arc<RwLock<BTreeMap<String, String>>>,
    /// Where that is told.
    troubles: Troubles,
    /// When a program was last run for an app's credential; held while one runs, so that it is one at a time.
    ran_at: Arc<tokio::sync::Mutex<BTreeMap<String, tokio::time::Instant>>>,
}

/// A program that gives a credential is run again at most this often.
const RUN_EVERY: Duration = Duration::from_secs(30);

/// Why an app cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AppsError {
    #[error("app `{name}`: {error}")]
    App { name: String, error: AppError },
    /// What the store holds for it cannot be used.
    #[error(
        "app `{name}`: the credential in the store cannot be used: {reason}; `muster app rotate-secret {name}` makes a new one"
    )]
    Stored { name: String, reason: String },
    /// What the store holds for it cannot be seen.
    #[error("app `{name}`: its credential lies in Muster's store, which is not open here")]
    NoStore { name: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no app to read a tenant with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppMissing {
    #[error("app `{0}` is not in the settings: add [apps.{0}], or give the tenant another app")]
    NoApp(String),
    /// Its credential cannot be had.
    #[error("{0}; it is read again every minute")]
    OutOfReach(String),
}

impl Apps {
    /// Reads every app's credential.
    ///
    /// # Errors
    /// When one cannot be had.
    pub async fn load(settings: &Settings, store: &Arc<dyn Store>) -> Result<Self, AppsError> {
        let apps = Self::unread(settings, store);
        for name in apps.settings.keys() {
            apps.read(name).await?;
        }
        Ok(apps)
    }

    /// The same, without those whose credential cannot be had: their tenants are failing, and others are not.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn load_what_can_be_had(
        settings: &Settings,
        store: &Arc<dyn Store>,
        troubles: &Troubles,
    ) -> Result<Self, StoreError> {
        let apps = Self { troubles: troubles.clone(), ..Self::unread(settings, store) };
        for name in apps.settings.keys() {
            match apps.read(name).await {
                Ok(_) => {}
                Err(AppsError::Store(error)) => return Err(error),
                Err(error) => tracing::error!(
                    app = name,
                    reason = %error,
                    "the app's credential cannot be had; its tenants are not read until it can"
                ),
            }
        }
        Ok(apps)
    }

    fn unread(settings: &Settings, store: &Arc<dyn Store>) -> Self {
        Self {
            store: Arc::clone(store),
            settings: Arc::new(settings.apps.clone()),
            folder: Arc::new(settings.folder.clone()),
            in_hand: Arc::default(),
            out_of_reach: Arc::default(),
            troubles: Troubles::default(),
            ran_at: Arc::default(),
        }
    }

    /// The app of this name; `None` when the settings name none.
    pub fn get(&self, name: &str) -> Option<App> {
        self.in_hand.read().expect("no panic while the lock is held").get(name).cloned()
    }

    /// The same, or why there is none.
    pub fn find(&self, name: &str) -> Result<App, AppMissing> {
        self.get(name).ok_or_else(|| {
            let out_of_reach = self.out_of_reach.read().expect("no panic while the lock is held");
            match out_of_reach.get(name) {
                Some(reason) => AppMissing::OutOfReach(reason.clone()),
                None => AppMissing::NoApp(name.to_owned()),
            }
        })
    }

    pub fn settings(&self, name: &str) -> Option<&AppSettings> {
        self.settings.get(name)
    }

    /// The names of all apps, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().map(String::as_str)
    }

    /// Reads an app's credential again, from wherever it is kept; whether it is another one than before.
    ///
    /// # Errors
    /// When it cannot be had; the one in hand stays then.
    pub async fn read_again(&self, name: &str) -> Result<bool, AppsError> {
        if !self.settings.get(name).is_some_and(AppSettings::asks_a_command) {
            return self.read(name).await;
        }
        let mut ran_at = self.ran_at.lock().await;
        if ran_at.get(name).is_some_and(|at| at.elapsed() < RUN_EVERY) {
            return Ok(false);
        }
        let read = self.read(name).await;
        ran_at.insert(name.to_owned(), tokio::time::Instant::now());
        read
    }

    async fn read(&self, name: &str) -> Result<bool, AppsError> {
        let read = self.read_credential(name).await;
        let mut out_of_reach = self.out_of_reach.write().expect("no panic while the lock is held");
        match &read {
            Ok(_) => {
                out_of_reach.remove(name);
                self.troubles.set(&format!("app {name}"), None);
            }
            // What is in hand is used on.
            Err(_) if self.get(name).is_some() => {}
            Err(error) => {
                self.troubles.set(&format!("app {name}"), Some(&error.to_string()));
                out_of_reach.insert(name.to_owned(), error.to_string());
            }
        }
        drop(out_of_reach);
        read
    }

    async fn read_credential(&self, name: &str) -> Result<bool, AppsError> {
        let Some(settings) = self.settings.get(name) else { return Ok(false) };
        let app = read_app(name, settings, &self.folder, Some(&self.store)).await?;
        let mut in_hand = self.in_hand.write().expect("no panic while the lock is held");
        let changed = in_hand.get(name).is_none_or(|before| !is_same(&before.credential, &app.credential));
        in_hand.insert(name.to_owned(), app);
        Ok(changed)
    }
}

fn is_same(one: &Credential, other: &Credential) -> bool {
    match (one, other) {
        (Credential::Secret(one), Credential::Secret(other)) => one.expose() == other.expose(),
        (Credential::Certificate(one), Credential::Certificate(other)) => one.der() == other.der(),
        (Credential::Federated(one), Credential::Federated(other)) => one == other,
        (Credential::ManagedIdentity(one), Credential::ManagedIdentity(other)) => one == other,
        (Credential::None, Credential::None) => true,
        _ => false,
    }
}

/// An app with its credential, read from wherever that is kept.
///
/// # Errors
/// When it cannot be had; without a store, also when it lies there.
pub(super) async fn read_app(
    name: &str,
    settings: &AppSettings,
    folder: &Path,
    store: Option<&Arc<dyn Store>>,
) -> Result<App, AppsError> {
    let stored = match (settings.keeps_credential_in_store(), store) {
        (false, _) => None,
        (true, Some(store)) => current(store, name).await?,
        (true, None) => return Err(AppsError::NoStore { name: name.to_owned() }),
    };
    // Files may be slow and programs slower: nothing else waits for them.
    let (settings, folder, named) = (settings.clone(), folder.to_owned(), name.to_owned());
    let app = tokio::task::spawn_blocking(move || settings.app(&named, &folder, stored));
    let app = app.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    app.map_err(|error| AppsError::App { name: name.to_owned(), error })
}

/// The credential that the store keeps for an app, as it is used now.
async fn current(store: &Arc<dyn Store>, name: &str) -> Result<Option<Credential>, AppsError> {
    let stored = store.app_credentials(name).await?;
    // An empty one only remembers which credential lies where the settings said.
    let current = stored.into_iter().find(|credential| {
        credential.slot == CredentialSlot::Current && !credential.value.expose().is_empty()
    });
    current.as_ref().map(|stored| credential(name, stored)).transpose()
}

/// A stored credential, ready for use.
///
/// # Errors
/// When it is damaged.
pub fn credential(name: &str, stored: &StoredCredential) -> Result<Credential, AppsError> {
    let wrong = |reason: String| AppsError::Stored { name: name.to_owned(), reason };
    match stored.kind {
        CredentialKind::Secret => {
            let text = std::str::from_utf8(stored.value.expose());
            let text = text.map_err(|_| wrong("it is no text".to_owned()))?;
            Ok(Credential::Secret(Secret::from(text)))
        }
        CredentialKind::Certificate => {
            let certificate =
                Certificate::from_pem(&stored.value).map_err(|error| wrong(error.to_string()))?;
            Ok(Credential::Certificate(Arc::new(certificate)))
        }
    }
}
