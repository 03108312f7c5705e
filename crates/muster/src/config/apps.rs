//! `[apps.NAME]`: our app registrations, and how each proves itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_microsoft::entra::certificate::{AssertionAlgorithm, Certificate, CertificateError};
use muster_microsoft::entra::credential::{Access, App, Assertion, Credential, Endpoint, ManagedIdentity};
use muster_microsoft::entra::permissions::{self, Permission};
use muster_model::{Secret, SecretReference, TenantId};
use serde::Deserialize;

use super::{ReadSecret, SecretReferenceError};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSettings {
    #[serde(deserialize_with = "super::section::guid")]
    pub client_id: uuid::Uuid,
    pub secret: Option<SecretReference>,
    /// The certificate with its private key: PEM, or PKCS#12.
    pub certificate: Option<SecretReference>,
    /// The private key in PEM, where it is kept apart from the certificate.
    pub certificate_key: Option<SecretReference>,
    /// The password of a PKCS#12 file.
    pub certificate_password: Option<SecretReference>,
    /// How an assertion is signed with the certificate: `ps256`, or `rs256` where an old authority asks for it.
    #[serde(default, deserialize_with = "assertion")]
    pub assertion: Option<AssertionAlgorithm>,
    /// A token of another identity provider that the app trusts (workload identity).
    pub federated_token: Option<FederatedToken>,
    /// The identity of the machine in Azure: `true`, or the client id of a user-assigned one.
    pub managed_identity: Option<Which>,
    /// Where the machine's metadata service answers, where it is not Azure's usual address.
    #[serde(default, deserialize_with = "super::section::address")]
    pub managed_identity_endpoint: Option<url::Url>,
    /// The app has no credential of its own: a person signs in (`public` client).
    #[serde(default)]
    pub public: bool,
    /// Which endpoints it uses: `v2`, or `v1` (with `resource`).
    #[serde(default, deserialize_with = "endpoint")]
    pub endpoint: Endpoint,
    /// `application`: the app itself reads; `delegated`: in the name of a person who has signed in with `muster token acquire`.
    #[serde(default, deserialize_with = "access")]
    pub access: Access,
    /// The tenant in which the app is registered: the provider's own.
    #[serde(default, deserialize_with = "super::section::optional_tenant_id")]
    pub tenant: Option<TenantId>,
    /// The redirect URI registered for a person's sign-in, where it is not the one that `[onboarding]` gives.
    #[serde(default, deserialize_with = "super::section::redirect_uri")]
    pub redirect_uri: Option<String>,
    /// What it asks for besides what its tenants' sources need, each as `API/NAME`.
    #[serde(default, deserialize_with = "further")]
    pub permissions: Vec<&'static Permission>,
}

/// `federated_token = { file = "…" }` or `{ managed_identity = true }`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum FederatedToken {
    /// A file that somebody else keeps fresh, such as Kubernetes.
    File(PathBuf),
    /// The managed identity of the machine.
    ManagedIdentity(Which),
}

/// `true`, or a client id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Which {
    /// The only one there is, or none.
    Only(bool),
    /// The user-assigned one with this client id.
    Id(uuid::Uuid),
}

/// Where an app's credential comes from.
#[derive(Debug)]
pub enum CredentialOrigin {
    Settings(Credential),
    /// Muster made it and keeps it in its store (`muster app register`, `muster app rotate-secret`).
    Store,
}

/// Why an app cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Secret(#[from] SecretReferenceError),
    #[error("the certificate in {place} cannot be used: {error}")]
    Certificate { place: String, error: CertificateError },
}

impl AppSettings {
    /// What is contradictory, in words, each with a key that it is about.
    pub fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let ways = [
            ("secret", self.secret.is_some()),
            ("certificate", self.certificate.is_some()),
            ("federated_token", self.federated_token.is_some()),
            ("managed_identity", self.managed_identity.is_some()),
            ("public", self.public),
        ];
        let named: Vec<&'static str> =
            ways.iter().filter(|(_, named)| *named).map(|(name, _)| *name).collect();
        if let [first, _, ..] = named[..] {
            let ways = named.join(" and ");
            found.push((first, format!("an app proves itself in one way, but this names {ways}: keep one")));
        }
        let beside = [
            ("certificate_key", self.certificate_key.is_some()),
            ("certificate_password", self.certificate_password.is_some()),
            ("assertion", self.assertion.is_some()),
        ];
        for (key, _) in beside.iter().filter(|(_, named)| *named && self.certificate.is_none()) {
            found.push((*key, format!("`{key}` goes with `certificate`, which is not there")));
        }
        if self.public && self.access == Access::Application {
            let message = "a public client cannot read by itself: add access = \"delegated\"";
            found.push(("public", message.to_owned()));
        }
        let off = |which: &Which| *which == Which::Only(false);
        let says_nothing = "`managed_identity = false` says nothing: leave it out";
        if self.managed_identity.as_ref().is_some_and(off) {
            found.push(("managed_identity", says_nothing.to_owned()));
        }
        if let Some(FederatedToken::ManagedIdentity(Which::Only(false))) = self.federated_token {
            found.push(("federated_token", says_nothing.to_owned()));
        }
        for permission in self.permissions.iter().filter(|known| known.name(self.access).is_none()) {
            let kind = match self.access {
                Access::Application => "an application permission",
                Access::Delegated => "a delegated permission",
            };
            let message =
                format!("`{}` does not exist as {kind}, so this app cannot have it", permission.full_name());
            found.push(("permissions", message));
        }
        if self.managed_identity.is_some() && self.access == Access::Delegated {
            found.push(("access", "a managed identity signs no person in".to_owned()));
        }
        found
    }

    /// The app with its credential, read from where the settings say; `stored` is the one of the store, for an app
    /// whose settings name none.
    pub fn app(&self, name: &str, folder: &Path, stored: Option<Credential>) -> Result<App, AppError> {
        let credential = match self.credential(folder)? {
            CredentialOrigin::Settings(credential) => credential,
            CredentialOrigin::Store => stored.unwrap_or(Credential::None),
        };
        Ok(App {
            name: name.to_owned(),
            client_id: self.client_id.to_string(),
            credential,
            endpoint: self.endpoint.clone(),
            access: self.access,
        })
    }

    /// Every place that a secret of this app is kept in, with the key that names it.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretReference)> {
        let places = [
            ("secret", &self.secret),
            ("certificate", &self.certificate),
            ("certificate_key", &self.certificate_key),
            ("certificate_password", &self.certificate_password),
        ];
        places.into_iter().filter_map(|(key, place)| Some((key, place.as_ref()?)))
    }

    /// Whether a program is run to get at its credential.
    pub fn asks_a_command(&self) -> bool {
        self.secrets().any(|(_, reference)| matches!(reference, SecretReference::Command(_)))
    }

    /// Whether the credential is one that Muster made and keeps in its store.
    pub fn keeps_credential_in_store(&self) -> bool {
        self.secret.is_none()
            && self.certificate.is_none()
            && self.federated_token.is_none()
            && self.managed_identity.is_none()
            && !self.public
    }

    /// The credential that the settings name.
    pub fn credential(&self, folder: &Path) -> Result<CredentialOrigin, AppError> {
        if let Some(secret) = &self.secret {
            return Ok(CredentialOrigin::Settings(Credential::Secret(secret.read(folder)?)));
        }
        if let Some(certificate) = &self.certificate {
            return Ok(CredentialOrigin::Settings(self.certificate(certificate, folder)?));
        }
        if let Some(token) = &self.federated_token {
            let assertion = match token {
                FederatedToken::File(file) => Assertion::File(folder.join(file)),
                FederatedToken::ManagedIdentity(which) => Assertion::ManagedIdentity(self.identity(which)),
            };
            return Ok(CredentialOrigin::Settings(Credential::Federated(assertion)));
        }
        if let Some(which) = &self.managed_identity {
            return Ok(CredentialOrigin::Settings(Credential::ManagedIdentity(self.identity(which))));
        }
        if self.public {
            return Ok(CredentialOrigin::Settings(Credential::None));
        }
        Ok(CredentialOrigin::Store)
    }

    fn identity(&self, which: &Which) -> ManagedIdentity {
        let client_id = match which {
            Which::Only(_) => None,
            Which::Id(id) => Some(id.to_string()),
        };
        let here = match &self.managed_identity_endpoint {
            Some(endpoint) => ManagedIdentity { endpoint: endpoint.clone(), ..ManagedIdentity::default() },
            None => beside_the_program().unwrap_or_default(),
        };
        ManagedIdentity { client_id, ..here }
    }

    fn certificate(&self, reference: &SecretReference, folder: &Path) -> Result<Credential, AppError> {
        let bytes = reference.read_bytes(folder)?;
        let key = self.certificate_key.as_ref().map(|key| key.read_bytes(folder)).transpose()?;
        let password =
            self.certificate_password.as_ref().map(|password| password.read(folder)).transpose()?;
        let read = certificate(&bytes, key.as_ref(), password.as_ref());
        let mut certificate =
            read.map_err(|error| AppError::Certificate { place: reference.to_string(), error })?;
        if let Some(algorithm) = self.assertion {
            certificate = certificate.signing_with(algorithm);
        }
        Ok(Credential::Certificate(Arc::new(certificate)))
    }
}

/// The endpoint that App Service and Container Apps put beside each program, and what it wants to see. Azure Arc names an
/// endpoint without a header, which is asked in another way.
fn beside_the_program() -> Option<ManagedIdentity> {
    let header = super::environment("IDENTITY_HEADER").filter(|header| !header.is_empty())?;
    let endpoint = super::environment("IDENTITY_ENDPOINT")?.parse().ok()?;
    Some(ManagedIdentity { endpoint, header: Some(Secret::new(header)), client_id: None })
}

/// A certificate in whatever form it comes: PEM, PKCS#12, or PKCS#12 in Base64 as Key Vault gives it.
fn certificate(
    bytes: &Secret<Vec<u8>>,
    key: Option<&Secret<Vec<u8>>>,
    password: Option<&Secret<String>>,
) -> Result<Certificate, CertificateError> {
    const PEM: &[u8] = b"-----BEGIN";
    if memchr::memmem::find(bytes.expose(), PEM).is_some() {
        let both = key.map(|key| Secret::new([key.expose(), b"\n".as_slice(), bytes.expose()].concat()));
        return Certificate::from_pem(both.as_ref().unwrap_or(bytes));
    }
    let empty = Secret::new(String::new());
    let password = password.unwrap_or(&empty);
    // PKCS#12 begins with an ASN.1 sequence, which is no character of Base64 that a PKCS#12 could begin with.
    if bytes.expose().first() == Some(&0x30) && bytes.expose().get(1).is_some_and(|byte| *byte >= 0x80) {
        return Certificate::from_pkcs12(bytes, password);
    }
    use base64::Engine;
    let text: Vec<u8> = bytes.expose().iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match base64::engine::general_purpose::STANDARD.decode(Secret::new(text).expose()) {
        Ok(decoded) => Certificate::from_pkcs12(&Secret::new(decoded), password),
        Err(_) => Certificate::from_pkcs12(bytes, password),
    }
}

/// What stands for `given` in a message: itself where it can be one of `words`, and what was meant.
fn one_of(given: &str, what: &str, words: &[&str]) -> String {
    let meant = muster_model::text::did_you_mean(given, words.iter().copied());
    format!("`{given}` is not {what}{meant}: use {}", words.join(" or "))
}

fn endpoint<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Endpoint, D::Error> {
    match String::deserialize(from)?.as_str() {
        "v1" => Ok(Endpoint::V1),
        "v2" => Ok(Endpoint::V2),
        other => Err(serde::de::Error::custom(one_of(other, "an endpoint", &["v2", "v1"]))),
    }
}

fn access<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Access, D::Error> {
    match String::deserialize(from)?.as_str() {
        "application" => Ok(Access::Application),
        "delegated" => Ok(Access::Delegated),
        other => {
            Err(serde::de::Error::custom(one_of(other, "a kind of access", &["application", "delegated"])))
        }
    }
}

fn further<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<&'static Permission>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    names.iter().map(|name| permissions::parse(name).map_err(serde::de::Error::custom)).collect()
}

fn assertion<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<AssertionAlgorithm>, D::Error> {
    match String::deserialize(from)?.as_str() {
        "ps256" => Ok(Some(AssertionAlgorithm::Ps256)),
        "rs256" => Ok(Some(AssertionAlgorithm::Rs256)),
        other => Err(serde::de::Error::custom(one_of(other, "a signature", &["ps256", "rs256"]))),
    }
}
