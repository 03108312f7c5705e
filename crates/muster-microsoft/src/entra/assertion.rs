//! How a request proves which app sends it: by a secret, a signed assertion, or a token that the app's registration trusts.
//!
//! Source: RFC 7523; Microsoft "Application certificate credentials" and "Workload identity federation".

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_model::Secret;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::certificate::{AssertionAlgorithm, CertificateError};
use super::credential::{App, Assertion, Credential, Endpoint};
use super::error::TokenError;
use super::form::Form;
use super::platform::Platform;
use crate::Fault;

/// RFC 7523.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long an assertion is good. Microsoft wants five to ten minutes.
const ASSERTION_LIFE: Duration = Duration::from_secs(300);
/// How much our clock may be ahead.
const SKEW: Duration = Duration::from_secs(60);
/// No federated token is longer.
const TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;
/// What a managed identity's token is for when it proves an app.
const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Adds what proves `app` to a request that goes to `token_url`.
pub(crate) async fn prove(
    platform: &Platform,
    app: &App,
    token_url: &str,
    form: &mut Form,
) -> Result<(), TokenError> {
    let assertion = match &app.credential {
        Credential::None => return Ok(()),
        Credential::Secret(secret) => {
            form.set("client_secret", secret.expose());
            return Ok(());
        }
        Credential::ManagedIdentity(_) => {
            return Err(unusable(
                app,
                Fault::Misconfigured,
                "a managed identity cannot act for a person, nor in other tenants; \
                 use it as a federated credential of an app registration",
            ));
        }
        Credential::Certificate(certificate) => {
            let now = platform.now();
            certificate.check_validity(now).map_err(|error| rejected(app, &error))?;
            let claims = serde_json::json!({
                "aud": token_url,
                "iss": app.client_id,
                "sub": app.client_id,
                "jti": uuid::Uuid::new_v4(),
                "iat": now.as_second(),
                "nbf": now.saturating_sub(SKEW).expect("a duration is never out of range").as_second(),
                "exp": now.saturating_add(ASSERTION_LIFE).expect("a duration is never out of range").as_second(),
            });
            let usual = match app.endpoint {
                Endpoint::V1 => AssertionAlgorithm::Rs256,
                Endpoint::V2 | Endpoint::Discovered(_) => AssertionAlgorithm::Ps256,
            };
            certificate.sign_jwt(&claims, usual)
        }
        Credential::Federated(Assertion::File(path)) => {
            let token = read_token(path).await;
            let token = token.map_err(|why| unusable(app, Fault::CertificateRejected, why))?;
            check_times(&token, platform.now())
                .map_err(|why| unusable(app, Fault::CertificateRejected, why))?;
            token
        }
        Credential::Federated(Assertion::ManagedIdentity(identity)) => {
            platform.machine.token(identity, EXCHANGE_AUDIENCE).await?.0
        }
    };
    form.set("client_assertion_type", ASSERTION_TYPE);
    form.set("client_assertion", assertion.expose());
    Ok(())
}

fn unusable(app: &App, fault: Fault, why: impl Into<String>) -> TokenError {
    TokenError::Credential { app: app.name.clone(), fault, why: why.into() }
}

fn rejected(app: &App, error: &CertificateError) -> TokenError {
    unusable(app, Fault::CertificateRejected, error.to_string())
}

/// The token in a file that something else keeps fresh.
async fn read_token(path: &Path) -> Result<Secret<String>, String> {
    let told = |why: std::io::Error| {
        format!(
            "the federated token file {} cannot be read: {why}; check its path and permissions",
            path.display()
        )
    };
    let file = tokio::fs::File::open(path).await.map_err(told)?;
    let mut text = String::new();
    let read = file.take(TOKEN_FILE_BYTES_MAX + 1).read_to_string(&mut text).await;
    let text = Secret::new(text);
    let read = read.map_err(told)?;
    let odd = |why| format!("the federated token file {} {why}", path.display());
    if read as u64 > TOKEN_FILE_BYTES_MAX {
        return Err(odd("is longer than any token"));
    }
    let token = text.expose().trim();
    if token.is_empty() {
        return Err(odd("is empty; see what should keep it fresh"));
    }
    if token.split('.').count() != 3 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(odd("holds no JWT"));
    }
    Ok(Secret::from(token))
}

#[derive(Deserialize)]
struct Times {
    exp: Option<f64>,
}

/// A stale file is told before the identity platform has to.
fn check_times(token: &Secret<String>, now: Timestamp) -> Result<(), String> {
    let payload = token.expose().split('.').nth(1).unwrap_or_default();
    let times =
        URL_SAFE_NO_PAD.decode(payload).ok().and_then(|json| serde_json::from_slice::<Times>(&json).ok());
    #[expect(clippy::cast_possible_truncation, reason = "seconds; a float is cut at the ends of the range")]
    let end = times.and_then(|times| Timestamp::from_second(times.exp? as i64).ok());
    match end {
        Some(end) if end <= now => Err(format!(
            "the federated token in the file expired at {end}; see what should keep the file fresh"
        )),
        _ => Ok(()),
    }
}
