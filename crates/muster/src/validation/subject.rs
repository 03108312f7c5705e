//! What the checks look at: found once, before they begin.

use std::sync::Arc;

use muster_model::{Clock, SecretReference, Tenant};
use muster_store::{KeyRing, StoreError, StoreLook};

use crate::access::vault::VaultError;
use crate::config::{Consequence, Mistake, Settings};
use crate::exit_code::Failed;
use crate::wiring;

pub(super) struct Subject<'a> {
    pub(super) settings: &'a Settings,
    pub(super) clock: Arc<dyn Clock>,
    /// What is wrong with the settings themselves.
    mistakes: &'a [Mistake],
    pub(super) vault: Result<usize, VaultError>,
    pub(super) keys: Result<KeyRing, Failed>,
    pub(super) store: Result<StoreLook, StoreError>,
}

impl<'a> Subject<'a> {
    pub(super) async fn new(settings: &'a Settings, mistakes: &'a [Mistake], clock: &Arc<dyn Clock>) -> Self {
        let vault = wiring::fetch_secrets(settings, clock).await;
        let (reference, folder) = (settings.store.master_key.clone(), settings.folder.clone());
        // A program that gives it may be slow.
        let keys = tokio::task::spawn_blocking(move || wiring::read_keys(&reference, &folder)).await;
        let keys = keys.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let store = wiring::look_at_store(settings, keys.as_ref().ok()).await;
        Self { settings, clock: Arc::clone(clock), mistakes, vault, keys, store }
    }

    /// Whether a section is right as far as it can be seen alone. What a wrong one names is not looked for.
    pub(super) fn is_right(&self, section: &str) -> bool {
        self.mistakes.iter().all(|mistake| mistake.section != section)
    }

    /// Whether every section of a kind is: `apps`, `sinks` or `routes`.
    pub(super) fn are_right(&self, kind: &str) -> bool {
        let of = |mistake: &Mistake| mistake.section.starts_with(kind);
        !self.mistakes.iter().any(of)
    }

    /// The tenants of the store; `None` where it cannot be looked at.
    pub(super) fn tenants(&self) -> Option<&[Tenant]> {
        self.store.as_ref().ok().filter(|store| store.is_current).map(|store| store.tenants.as_slice())
    }

    /// Whether `muster run` is at work on the store.
    pub(super) fn is_running(&self) -> bool {
        self.store.as_ref().is_ok_and(|store| store.is_owned)
    }

    /// A mistake that takes down what it is about, and nothing else.
    pub(super) fn down(&self, section: &str, key: &str, message: &str) -> Mistake {
        self.settings.mistake(section, key, message).with(Consequence::Down)
    }

    /// Something worth a look.
    pub(super) fn advice(&self, section: &str, key: &str, message: &str) -> Mistake {
        self.settings.mistake(section, key, message).with(Consequence::Advice)
    }

    /// Whether a secret could be read, as text or as it is.
    pub(super) fn secret(&self, place: &SecretReference, as_text: bool) -> Result<(), String> {
        use crate::config::ReadSecret;
        let folder = &self.settings.folder;
        let read = match as_text {
            true => place.read(folder).map(drop),
            false => place.read_bytes(folder).map(drop),
        };
        read.map_err(|error| error.to_string())
    }
}
