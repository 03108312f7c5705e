//! Secrets in Azure Key Vault: read one, set a new version of one, and find out which tenant a vault trusts.
//!
//! A token for the vault goes only to a host that is a vault of this cloud (`Cloud::is_key_vault`), and what a vault's
//! challenge says is only believed when it names this cloud's identity platform and Key Vault itself.
//!
//! Source: Azure Key Vault REST API 7.4, "Get Secret", "Set Secret", and "Authentication, requests and responses".

use std::fmt;
use std::time::Duration;

use muster_http::{Client, Response, TransportError, shown};
use muster_model::{Secret, TenantId};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::Cloud;
use crate::Microsoft;
use crate::api::error;
use crate::entra::access_token::AccessToken;
use crate::entra::credential::App;
use crate::entra::error::TokenError;

const API_VERSION: &str = "7.4";
/// Key Vault's own bound on a secret's value.
const SECRET_BYTES_MAX: usize = 25_000;
/// An answer is a secret and some words about it.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The address of a secret: `https://NAME.vault.azure.net/secrets/SECRET`, with or without a version behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultAddress {
    /// Up to and with `/secrets/`.
    base: String,
    name: String,
    version: Option<String>,
}

impl VaultAddress {
    /// Takes an address apart and checks that it lies in a vault of this cloud.
    ///
    /// # Errors
    /// When it does not, or is not the address of a secret.
    pub fn parse(address: &str, cloud: &Cloud) -> Result<Self, KeyVaultError> {
        let wrong = |why: &'static str| KeyVaultError::Address {
            address: shown(address),
            why,
            form: cloud.key_vault_form(),
        };
        let url = Url::parse(address).map_err(|_| wrong("it is not a URL"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("nothing belongs behind the secret's name and version"));
        }
        if !cloud.is_key_vault(&url) {
            return Err(wrong("it is not a Key Vault of this cloud, and a token is not sent elsewhere"));
        }
        let (vault, rest) = url.path().split_once("/secrets/").ok_or_else(|| wrong("it names no secret"))?;
        let (name, version) = match rest.trim_end_matches('/').split_once('/') {
            Some((name, version)) => (name, Some(version)),
            None => (rest.trim_end_matches('/'), None),
        };
        let plain = |text: &str, most: usize| {
            (1..=most).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !plain(name, 127) || version.is_some_and(|version| !plain(version, 32)) {
            return Err(wrong("a secret's name consists of letters, digits and hyphens"));
        }
        // Elsewhere than in a custom cloud the vault is the host's name, and nothing stands before `/secrets/`.
        let in_path = vault.strip_prefix("/vault/").is_some_and(|vault| plain(vault, 24));
        if !vault.is_empty() && !in_path {
            return Err(wrong("nothing belongs between the vault's host and `/secrets/`"));
        }
        let base = format!("{}{vault}/secrets/", url.origin().ascii_serialization());
        Ok(Self { base, name: name.to_owned(), version: version.map(str::to_owned) })
    }

    /// Whether it names one version, which never changes.
    #[must_use]
    pub fn is_one_version(&self) -> bool {
        self.version.is_some()
    }

    fn url(&self) -> String {
        let version = self.version.iter().map(|version| format!("/{version}")).collect::<String>();
        format!("{}{}{version}?api-version={API_VERSION}", self.base, self.name)
    }
}

impl fmt::Display for VaultAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base, self.name)?;
        self.version.iter().try_for_each(|version| write!(f, "/{version}"))
    }
}

/// Why a secret of a Key Vault cannot be had or set. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyVaultError {
    /// No token for Key Vault.
    #[error("Key Vault: {0}")]
    Token(#[from] TokenError),
    /// Not the address of a secret in a vault of this cloud.
    #[error("`{address}` cannot be used: {why}; write it as {form}")]
    Address {
        /// What was written.
        address: String,
        /// What is wrong.
        why: &'static str,
        /// What would be right.
        form: String,
    },
    /// The vault is not there, or the way to it is closed.
    #[error("Key Vault {secret}: {error}; the rest goes on, and it is asked again")]
    Transport {
        /// Which secret.
        secret: String,
        /// Why.
        error: TransportError,
    },
    /// The vault does not accept the token.
    #[error(
        "Key Vault {secret} does not accept the token ({message}); the vault trusts tenant {trusted}: the identity that asks must be of that tenant"
    )]
    Unauthorised {
        /// Which secret.
        secret: String,
        /// Key Vault's words.
        message: String,
        /// The tenant that the vault's challenge names, in words.
        trusted: String,
    },
    /// The identity may not.
    #[error(
        "Key Vault {secret} refuses to {action} ({message}); give the identity the role {role}, or an access policy with the permission {permission}, and look at the vault's firewall"
    )]
    Denied {
        /// Which secret.
        secret: String,
        /// `read it` or `set it`.
        action: &'static str,
        /// The role that allows it.
        role: &'static str,
        /// The permission of an access policy.
        permission: &'static str,
        /// Key Vault's words.
        message: String,
    },
    /// There is no such secret.
    #[error(
        "Key Vault {secret}: there is no secret of this name ({message}); is it deleted, or in another vault?"
    )]
    NotFound {
        /// Which secret.
        secret: String,
        /// Key Vault's words.
        message: String,
    },
    /// It is there, but switched off, out of its time, or deleted and not yet purged.
    #[error("Key Vault {secret} cannot be used now (status {status}, {code}): {message}")]
    Refused {
        /// Which secret.
        secret: String,
        /// HTTP status.
        status: u16,
        /// Key Vault's code.
        code: String,
        /// Key Vault's words.
        message: String,
    },
    /// Key Vault is down or throttles.
    #[error("Key Vault {secret} is in trouble or throttles (status {status}): {message}; it is asked again")]
    Unavailable {
        /// Which secret.
        secret: String,
        /// HTTP status.
        status: u16,
        /// Key Vault's words.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// An answer that is none.
    #[error("Key Vault {secret}: the answer cannot be read (it is not shown, since a secret may be in it)")]
    Unreadable {
        /// Which secret.
        secret: String,
    },
    /// Too long to be kept in a vault.
    #[error("Key Vault {secret}: a secret of {bytes} bytes is too long; Key Vault takes {SECRET_BYTES_MAX}")]
    TooLong {
        /// Which secret.
        secret: String,
        /// How long it is.
        bytes: usize,
    },
    /// A challenge that names somebody else's identity platform.
    #[error("Key Vault {secret}: its challenge cannot be followed: {why}; no token was sent")]
    Challenge {
        /// Which secret.
        secret: String,
        /// What is wrong with it.
        why: String,
    },
}

impl KeyVaultError {
    /// Whether it may pass without a person doing something, so that asking again later is worth it.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Unavailable { .. } => true,
            Self::Token(error) => !error.needs_a_person(),
            _ => false,
        }
    }
}

/// The way to Key Vaults. [`crate::Microsoft`] has one.
#[derive(Debug, Clone, Copy)]
pub struct KeyVault<'a> {
    client: &'a Client,
    cloud: &'a Cloud,
}

impl<'a> KeyVault<'a> {
    /// The way with this client, in this cloud.
    #[must_use]
    pub fn new(client: &'a Client, cloud: &'a Cloud) -> Self {
        Self { client, cloud }
    }

    /// Reads a secret: the version that its address names, or the newest.
    ///
    /// # Errors
    /// See [`KeyVaultError`].
    pub async fn secret(
        &self,
        secret: &VaultAddress,
        token: &AccessToken,
    ) -> Result<Secret<String>, KeyVaultError> {
        let request = self.client.get(&secret.url(), Some(token.secret.expose()));
        let answer = self.send(secret, request, READ).await?;
        // Wiped when it has been read.
        let body = Secret::new(answer.body);
        let held: Held = serde_json::from_slice(body.expose())
            .map_err(|_| KeyVaultError::Unreadable { secret: secret.to_string() })?;
        Ok(Secret::new(held.value))
    }

    /// Sets a new version of a secret, which becomes its newest. The versions before stay.
    ///
    /// # Errors
    /// See [`KeyVaultError`]. An address with a version cannot be set.
    pub async fn set_secret(
        &self,
        secret: &VaultAddress,
        value: &Secret<String>,
        token: &AccessToken,
    ) -> Result<(), KeyVaultError> {
        if secret.is_one_version() {
            return Err(KeyVaultError::Address {
                address: secret.to_string(),
                why: "it names one version, and versions never change",
                form: format!("{}{}", secret.base, secret.name),
            });
        }
        let bytes = value.expose().len();
        if bytes > SECRET_BYTES_MAX {
            return Err(KeyVaultError::TooLong { secret: secret.to_string(), bytes });
        }
        let body = json!({ "value": value.expose() });
        let request = self.client.json(Method::PUT, &secret.url(), token.secret.expose(), &body);
        let answer = self.send(secret, request, WRITE).await?;
        drop(Secret::new(answer.body));
        Ok(())
    }

    /// The tenant that the secret's vault trusts, as its challenge to a caller without a token says. The challenge
    /// must name this cloud's identity platform and Key Vault, or it is refused.
    ///
    /// # Errors
    /// See [`KeyVaultError`].
    pub async fn trusted_tenant(&self, secret: &VaultAddress) -> Result<TenantId, KeyVaultError> {
        let sent = self.client.send(self.client.get(&secret.url(), None)).await;
        let answer = sent.map_err(|error| KeyVaultError::Transport { secret: secret.to_string(), error })?;
        let refused = |why: String| KeyVaultError::Challenge { secret: secret.to_string(), why };
        match (answer.status, answer.www_authenticate()) {
            (401, Some(challenge)) => challenged_tenant(&challenge, self.cloud).map_err(refused),
            (200, _) => {
                drop(Secret::new(answer.body));
                Err(refused("the vault gives its secrets to callers without a token".to_owned()))
            }
            _ => Err(failure(secret, &answer, READ, self.cloud)),
        }
    }

    async fn send(
        &self,
        secret: &VaultAddress,
        request: reqwest::RequestBuilder,
        action: Action,
    ) -> Result<Response, KeyVaultError> {
        let sent = self.client.send(request).await;
        let answer = sent.map_err(|error| KeyVaultError::Transport { secret: secret.to_string(), error })?;
        if answer.status != 200 {
            return Err(failure(secret, &answer, action, self.cloud));
        }
        if answer.body.len() > ANSWER_BYTES_MAX {
            return Err(KeyVaultError::Unreadable { secret: secret.to_string() });
        }
        Ok(answer)
    }
}

impl Microsoft {
    /// Reads the secret at `address` in a Key Vault that trusts `tenant`, as `app`: the version that the address
    /// names, or the newest.
    ///
    /// # Errors
    /// See [`KeyVaultError`].
    pub async fn vault_secret(
        &self,
        app: &App,
        tenant: TenantId,
        address: &Url,
    ) -> Result<Secret<String>, KeyVaultError> {
        let address = VaultAddress::parse(address.as_str(), self.cloud())?;
        let token = self.access_token(app, tenant, self.cloud().key_vault_resource()).await?;
        self.key_vault().secret(&address, &token).await
    }

    /// Sets a new version of the secret at `address` in a Key Vault that trusts `tenant`, as `app`.
    ///
    /// # Errors
    /// See [`KeyVaultError`].
    pub async fn set_vault_secret(
        &self,
        app: &App,
        tenant: TenantId,
        address: &Url,
        value: &Secret<String>,
    ) -> Result<(), KeyVaultError> {
        let address = VaultAddress::parse(address.as_str(), self.cloud())?;
        let token = self.access_token(app, tenant, self.cloud().key_vault_resource()).await?;
        self.key_vault().set_secret(&address, value, &token).await
    }
}

#[derive(Deserialize)]
struct Held {
    value: String,
}

#[derive(Clone, Copy)]
struct Action {
    words: &'static str,
    role: &'static str,
    permission: &'static str,
}

const READ: Action = Action { words: "read it", role: "Key Vault Secrets User", permission: "secrets/get" };
const WRITE: Action =
    Action { words: "set it", role: "Key Vault Secrets Officer", permission: "secrets/set" };

fn failure(secret: &VaultAddress, answer: &Response, action: Action, cloud: &Cloud) -> KeyVaultError {
    let status = answer.status;
    let (code, message) =
        error::read(&answer.body).unwrap_or_else(|| ("no code".to_owned(), format!("status {status}")));
    let secret = secret.to_string();
    match status {
        401 => {
            let challenged = answer.www_authenticate().map(|text| challenged_tenant(&text, cloud));
            let trusted = match challenged {
                Some(Ok(tenant)) => tenant.to_string(),
                Some(Err(why)) => format!("unknown, since {why}"),
                None => "unknown, since its answer does not say".to_owned(),
            };
            KeyVaultError::Unauthorised { secret, message, trusted }
        }
        403 => KeyVaultError::Denied {
            secret,
            action: action.words,
            role: action.role,
            permission: action.permission,
            message,
        },
        404 => KeyVaultError::NotFound { secret, message },
        408 | 429 | 500.. => {
            KeyVaultError::Unavailable { secret, status, message, retry_after: answer.retry_after() }
        }
        _ => KeyVaultError::Refused { secret, status, code, message },
    }
}

/// The tenant in `Bearer authorization="https://login…/TENANT", resource="https://vault.azure.net"`, provided that the
/// identity platform and the resource are those of `cloud`.
fn challenged_tenant(challenge: &str, cloud: &Cloud) -> Result<TenantId, String> {
    let scheme_ends = challenge.find(char::is_whitespace).unwrap_or(challenge.len());
    let (scheme, parameters) = challenge.split_at(scheme_ends);
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("it asks for something else than a bearer token".to_owned());
    }
    let authorization = parameter(parameters, "authorization")
        .or_else(|| parameter(parameters, "authorization_uri"))
        .ok_or("it names no identity platform")?;
    let url = Url::parse(authorization).map_err(|_| "it names no identity platform".to_owned())?;
    if !cloud.is_login(&url) {
        return Err(format!(
            "it names {}, which is not this cloud's identity platform",
            shown(authorization)
        ));
    }
    if let Some(resource) = parameter(parameters, "resource")
        && resource.trim_end_matches('/') != cloud.key_vault_resource()
    {
        return Err(format!("it wants a token for {}, which is not Key Vault", shown(resource)));
    }
    let tenant = url.path_segments().and_then(|mut segments| segments.next()).unwrap_or_default();
    tenant.parse().map_err(|_| format!("`{}` in it is no tenant id", shown(tenant)))
}

/// The value of `name` in `name="value", other="value"`.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = parameters;
    loop {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_matches(|character: char| character.is_whitespace() || character == ',');
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value.trim());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::WWW_AUTHENTICATE;

    use super::*;
    use crate::NationalCloud;

    fn global() -> Cloud {
        Cloud::national(NationalCloud::Global)
    }

    fn answer(status: u16, body: &str, challenge: Option<&str>) -> Response {
        let headers = challenge.map(|text| (WWW_AUTHENTICATE, text.parse().expect("a header")));
        Response {
            status,
            headers: headers.into_iter().collect(),
            body: body.as_bytes().to_vec(),
            place: None,
        }
    }

    #[test]
    fn only_a_secret_in_a_vault_is_one() {
        let secret = VaultAddress::parse("https://mssp.vault.azure.net/secrets/main-app/", &global());
        let secret = secret.expect("a secret");
        assert_eq!(secret.url(), "https://mssp.vault.azure.net/secrets/main-app?api-version=7.4");
        let one =
            VaultAddress::parse("https://mssp.vault.azure.net/secrets/main/0123456789abcdef", &global());
        assert!(one.expect("a version").is_one_version());
        for wrong in [
            "mssp",
            "https://mssp.vault.azure.net/keys/main",
            "https://mssp.vault.azure.net/secrets/",
            "https://mssp.vault.azure.net/secrets/a b",
            "https://mssp.vault.azure.net/secrets/a%2f..%2fb",
            "https://mssp.vault.azure.net/secrets/a/b/c",
            "https://mssp.vault.azure.net/secrets/a?x=1",
            "https://mssp.vault.azure.net.evil.example/secrets/a",
            "http://169.254.169.254/secrets/a",
        ] {
            assert!(VaultAddress::parse(wrong, &global()).is_err(), "{wrong}");
        }
        let custom = Cloud::custom("http://127.0.0.1:9800", "http://127.0.0.1:9800", None).expect("a cloud");
        let secret = VaultAddress::parse("http://127.0.0.1:9800/vault/mssp/secrets/main", &custom);
        let secret = secret.expect("a secret");
        assert_eq!(secret.url(), "http://127.0.0.1:9800/vault/mssp/secrets/main?api-version=7.4");
        assert!(VaultAddress::parse("http://127.0.0.1:9800/vault/../x/secrets/main", &custom).is_err());
    }

    #[test]
    fn a_challenge_is_not_followed_blindly() {
        let tenant = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";
        let of = |text: String| challenged_tenant(&text, &global());
        let good = of(format!(
            r#"Bearer authorization="https://login.microsoftonline.com/{tenant}", resource="https://vault.azure.net""#
        ));
        assert_eq!(good.expect("a tenant").to_string(), tenant);
        for wrong in [
            format!(r#"Bearer authorization="https://login.evil.example/{tenant}""#),
            format!(r#"Bearer authorization="http://login.microsoftonline.com/{tenant}""#),
            format!(
                r#"Bearer authorization="https://login.microsoftonline.com/{tenant}", resource="https://graph.microsoft.com""#
            ),
            r#"Bearer authorization="https://login.microsoftonline.com/common""#.to_owned(),
            format!(r#"Basic authorization="https://login.microsoftonline.com/{tenant}""#),
            "Bearer".to_owned(),
            String::new(),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn failures_say_what_to_do() {
        let secret =
            VaultAddress::parse("https://mssp.vault.azure.net/secrets/main", &global()).expect("a secret");
        let of = |status, body: &str, challenge, action| {
            failure(&secret, &answer(status, body, challenge), action, &global())
        };
        let forbidden = r#"{"error":{"code":"Forbidden","message":"Caller is not authorized"}}"#;
        assert!(of(403, forbidden, None, WRITE).to_string().contains("Key Vault Secrets Officer"));
        assert!(of(403, forbidden, None, READ).to_string().contains("secrets/get"));
        assert!(of(503, "", None, READ).passes());
        assert!(!of(404, "", None, READ).passes());
        let challenge = r#"Bearer authorization="https://login.microsoftonline.com/5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d", resource="https://vault.azure.net""#;
        let error = of(401, "", Some(challenge), READ).to_string();
        assert!(error.contains("trusts tenant 5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d"), "{error}");
    }

    proptest! {
        #[test]
        fn no_challenge_breaks_the_reader(text in ".{0,200}") {
            let read = challenged_tenant(&text, &global());
            prop_assert!(read.is_err());
        }

        #[test]
        fn a_parameter_is_found_wherever_it_stands(before in "[a-z]{1,8}", value in "[a-z:/.-]{1,30}") {
            prop_assume!(before != "resource");
            let text = format!(r#" {before}="x=y, z", resource="{value}", more=1"#);
            prop_assert_eq!(parameter(&text, "resource"), Some(value.as_str()));
        }
    }
}
