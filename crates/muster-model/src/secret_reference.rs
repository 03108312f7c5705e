//! Where a secret is kept. The settings name the place, never the secret.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::Secret;

/// `{ file = "…" }`, `{ env = "…" }`, `{ command = ["…", …] }`, `{ systemd = "…" }` or `{ key_vault = "https://…" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// A file that holds the secret and nothing else. Blanks and newlines at its end do not count.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A program that prints the secret.
    Command(Vec<String>),
    /// A credential that systemd hands to the service (`LoadCredential=`, `LoadCredentialEncrypted=`), by its name.
    Systemd(String),
    /// A secret in an Azure Key Vault.
    KeyVault(VaultSecret),
}

/// A secret in an Azure Key Vault. It is fetched once after the settings are read (see `crate::access::vault`) and kept for as
/// long as they are; copies share it.
#[derive(Debug, Clone)]
pub struct VaultSecret {
    url: Url,
    fetched: Arc<OnceLock<Secret<String>>>,
    /// Why it could not be fetched when that was tried last.
    trouble: Arc<Mutex<Option<String>>>,
}

impl VaultSecret {
    /// Where it is: `https://NAME.vault.azure.net/secrets/SECRET`, with `/VERSION` behind it for one version.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Takes in what the vault answered. The first answer stays.
    pub fn fetched(&self, secret: Secret<String>) {
        self.fetched.set(secret).ok();
    }

    /// Takes in why it cannot be had at present.
    pub fn failed(&self, why: String) {
        *self.trouble.lock().expect("no panic while the lock is held") = Some(why);
    }

    /// Why it could not be fetched when that was tried last.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().expect("no panic while the lock is held").clone()
    }

    /// What the vault answered, once it has.
    #[must_use]
    pub fn value(&self) -> Option<&Secret<String>> {
        self.fetched.get()
    }
}

impl PartialEq for VaultSecret {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for VaultSecret {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    file: Option<PathBuf>,
    env: Option<String>,
    command: Option<Vec<String>>,
    systemd: Option<String>,
    key_vault: Option<String>,
}

/// How a place of a secret is written.
const FORMS: &str = "{ file = \"…\" }, { env = \"…\" }, { command = [\"…\"] }, { systemd = \"…\" } or { key_vault = \"https://…\" }";

impl<'de> Deserialize<'de> for SecretReference {
    /// No message repeats what was written: it may be the secret itself.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Place;

        impl<'de> Visitor<'de> for Place {
            type Value = SecretReference;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "the place of a secret: {FORMS}")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom(format!(
                    "a secret is never written here (and one that was, is known to others now): write where it is kept, {FORMS}"
                )))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let raw = Raw::deserialize(MapAccessDeserializer::new(map))?;
                raw.try_into().map_err(serde::de::Error::custom)
            }
        }

        from.deserialize_any(Place)
    }
}

impl TryFrom<Raw> for SecretReference {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        let places = [
            raw.file.map(Self::File),
            raw.env.map(Self::Env),
            raw.command.map(Self::Command),
            raw.systemd.map(Self::Systemd),
            raw.key_vault.map(|address| vault_secret(&address)).transpose().map_err(str::to_owned)?,
        ];
        let mut places = places.into_iter().flatten();
        match (places.next(), places.next()) {
            (Some(Self::Command(command)), None) if command.is_empty() => {
                Err("the command names no program".to_owned())
            }
            (Some(Self::Systemd(name)), None) if name.is_empty() || name.contains('/') => {
                Err("a systemd credential has a plain name, as in LoadCredential=NAME:…".to_owned())
            }
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(format!("it names several places of the secret: keep one of {FORMS}")),
            (None, _) => Err(format!("it names no place of the secret: write {FORMS}")),
        }
    }
}

fn vault_secret(address: &str) -> Result<SecretReference, &'static str> {
    const WRONG: &str = "a Key Vault secret is written as https://VAULT.vault.azure.net/secrets/NAME, with /VERSION if you like";
    let url = Url::parse(address).map_err(|_| WRONG)?;
    let fits = url.path().contains("/secrets/") && url.query().is_none() && url.fragment().is_none();
    if !fits || !url.username().is_empty() || url.password().is_some() {
        return Err(WRONG);
    }
    Ok(SecretReference::KeyVault(VaultSecret { url, fetched: Arc::default(), trouble: Arc::default() }))
}

impl fmt::Display for SecretReference {
    /// The place, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            // Its arguments may be nobody's business.
            Self::Command(command) => {
                write!(f, "the output of `{}`", command.first().map_or("", String::as_str))
            }
            Self::Systemd(name) => write!(f, "the systemd credential {name}"),
            Self::KeyVault(secret) => write!(f, "the Key Vault secret {}", secret.url),
        }
    }
}
