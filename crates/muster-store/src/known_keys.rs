//! The master keys that this process knows.
//!
//! Another process may rotate the master key at any moment. So whatever is sealed by it is sealed within the transaction
//! that writes it, by the key that the database names there; and where a key is not known, the key ring is read again,
//! since its file had the new key before the store was sealed with it.

use std::error::Error;
use std::sync::{Arc, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_model::TenantId;

use crate::sealing::{DataKey, Sealed};
use crate::{KeyRing, MasterKey, SealingError, SigningKey, StoreError};

/// What the sealed signing key is bound to.
const SIGNING_KEY: &str = "meta.signing_key";
/// How often something is tried anew when another process rotates the master key meanwhile.
const ATTEMPTS: usize = 5;

/// Reads the master keys again, from where they were read first.
pub type ReadKeys = Arc<dyn Fn() -> Result<KeyRing, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// Every master key that this process has learned of, and the way to learn of more.
pub(crate) struct KnownKeys {
    /// The store, for messages.
    store: String,
    known: RwLock<Vec<MasterKey>>,
    read: Option<ReadKeys>,
    /// Held while the ring is read again, so that it is read once and not by all who miss the same key.
    reading: tokio::sync::Mutex<()>,
}

impl KnownKeys {
    pub(crate) fn new(store: String, ring: &KeyRing) -> Self {
        let known = RwLock::new(ring.keys().cloned().collect());
        Self { store, known, read: None, reading: tokio::sync::Mutex::new(()) }
    }

    /// The same keys, which can be read again.
    pub(crate) fn with_reader(&self, read: ReadKeys) -> Self {
        let known = self.known.read().expect("no panic while the lock is held").clone();
        let reading = tokio::sync::Mutex::new(());
        Self { store: self.store.clone(), known: RwLock::new(known), read: Some(read), reading }
    }

    /// The key with this name.
    pub(crate) fn named(&self, id: &str) -> Result<MasterKey, StoreError> {
        let known = self.known.read().expect("no panic while the lock is held");
        match known.iter().find(|key| key.id() == id) {
            Some(key) => Ok(key.clone()),
            None => Err(self.missing(id.to_owned(), &known)),
        }
    }

    /// The key that sealed `sealed`, which is `what`.
    pub(crate) fn that_sealed(
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
        StoreError::WrongMasterKey { store: self.store.clone(), wanted, at_hand }
    }

    fn knows(&self, id: &str) -> bool {
        self.known.read().expect("no panic while the lock is held").iter().any(|key| key.id() == id)
    }

    /// Keeps another key in mind; whether it is a new one. Those known before are kept too: what a reader still sees
    /// may be sealed with them.
    pub(crate) fn learn(&self, key: &MasterKey) -> bool {
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
                tracing::warn!(store.path = self.store, %error, "the master key cannot be read again");
            }
            Err(error) => {
                tracing::warn!(store.path = self.store, %error, "reading the master key again failed")
            }
        }
        if learned > 0 {
            tracing::info!(store.path = self.store, "the master key was rotated: the new one is used");
        }
        learned > 0
    }

    /// Runs `attempt`, and again when it lacked a master key that is there once the ring is read again. More than once,
    /// since by then another rotation may be done.
    pub(crate) async fn with_keys<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match attempt().await {
                Err(StoreError::WrongMasterKey { wanted, .. })
                    if attempts > 0 && self.reread(&wanted).await => {}
                result => return result,
            }
        }
    }

    /// Opens the data key of `tenant`.
    pub(crate) async fn data_key(&self, sealed: Sealed, tenant: TenantId) -> Result<DataKey, StoreError> {
        let what = || format!("the data key of tenant {tenant}");
        let key = match self.that_sealed(&sealed, what) {
            Err(StoreError::WrongMasterKey { wanted, .. }) if self.reread(&wanted).await => {
                self.that_sealed(&sealed, what)?
            }
            result => result?,
        };
        key.open_data_key(sealed, tenant).map_err(|source| StoreError::Sealing { what: what(), source })
    }
}

/// The signing key as it is stored.
pub(crate) fn sealed_signing_key(key: &SigningKey, master_key: &MasterKey) -> String {
    STANDARD.encode(master_key.seal(SIGNING_KEY, &[], key.bytes()).into_bytes())
}

/// The signing key, read back.
pub(crate) fn opened_signing_key(stored: &str, keys: &KnownKeys) -> Result<SigningKey, StoreError> {
    let what = || "the signing key".to_owned();
    let failed = |source| StoreError::Sealing { what: what(), source };
    let sealed = STANDARD.decode(stored).map_err(|_| failed(SealingError::Format))?;
    let sealed = Sealed::from_stored(sealed);
    let opened = keys.that_sealed(&sealed, what)?.open(SIGNING_KEY, &[], sealed).map_err(failed)?;
    SigningKey::from_bytes(opened.expose()).ok_or_else(|| failed(SealingError::Format))
}
