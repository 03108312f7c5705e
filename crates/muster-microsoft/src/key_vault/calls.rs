//! Reading a secret, setting a new version of one, and asking which tenant a vault trusts.

use muster_http::{Client, Response, shown};
use muster_model::{Secret, TenantId};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::address::VaultAddress;
use super::error::{KeyVaultError, SECRET_BYTES_MAX};
use crate::Cloud;
use crate::api::{challenge, error};
use crate::entra::access_token::AccessToken;

/// An answer is a secret and some words about it.
const ANSWER_BYTES_MAX: usize = 64 << 10;

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
        let held: Held = muster_model::json::from_answer(body.expose())
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
fn challenged_tenant(text: &str, cloud: &Cloud) -> Result<TenantId, String> {
    let challenges = challenge::challenges(text);
    let challenge = challenges
        .first()
        .filter(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))
        .ok_or("it asks for something else than a bearer token")?;
    let authorization = challenge
        .parameter("authorization")
        .or_else(|| challenge.parameter("authorization_uri"))
        .ok_or("it names no identity platform")?;
    let url = Url::parse(authorization).map_err(|_| "it names no identity platform".to_owned())?;
    if !cloud.is_login(&url) {
        return Err(format!(
            "it names {}, which is not this cloud's identity platform",
            shown(authorization)
        ));
    }
    if let Some(resource) = challenge.parameter("resource")
        && resource.trim_end_matches('/') != cloud.key_vault_resource()
    {
        return Err(format!("it wants a token for {}, which is not Key Vault", shown(resource)));
    }
    let tenant = url.path_segments().and_then(|mut segments| segments.next()).unwrap_or_default();
    tenant.parse().map_err(|_| format!("`{}` in it is no tenant id", shown(tenant)))
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
            held: muster_http::Held::default(),
        }
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
        fn a_parameter_is_found_wherever_it_stands(before in "[a-z]{1,8}") {
            prop_assume!(before != "resource");
            let tenant = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";
            let page = format!("https://login.microsoftonline.com/{tenant}");
            let text = format!(r#"Bearer {before}="x=y, z", authorization="{page}", more=1"#);
            prop_assert_eq!(challenged_tenant(&text, &global()).map(|found| found.to_string()), Ok(tenant.to_owned()));
        }
    }
}
