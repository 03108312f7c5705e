//! How a token is got, checked, cached and refreshed.
//!
//! One token per (tenant, app, resource). Whoever needs one takes the entry's lock, looks again, and only then asks
//! the identity platform, so that a tenant's token is never asked for twice at a time. A token is renewed while it
//! still has some minutes to live.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_model::{Secret, TenantId};
use serde::Deserialize;

use crate::api::client::{Answer, Client, TransportError, shown};
use crate::entra::aadsts;
use crate::entra::credential::{App, Credential};
use crate::{Cloud, Fault};

/// Stands for what may hold a token.
const NOT_SHOWN: &str = "(not shown, since a token may be in it)";
/// A token is renewed when it has less than this to live.
const REMAINING_LIFE_MIN: Duration = Duration::from_secs(300);

/// An access token, checked.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token itself.
    pub secret: Secret<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The application permissions in it; `None` when the token cannot be read, which Microsoft is free to do.
    pub roles: Option<Vec<String>>,
    /// The delegated permissions in it; `None` as above, and empty for an app that acts as itself.
    pub scopes: Option<Vec<String>>,
}

/// Why there is no token. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The identity platform said no.
    #[error("{}", refused(.error, *.code, .description))]
    Refused {
        /// The OAuth `error`.
        error: String,
        /// The AADSTS code.
        code: Option<u32>,
        /// The first line of Microsoft's description.
        description: String,
    },
    /// It asks to wait.
    #[error("the identity platform throttles token requests (status {status})")]
    Busy {
        /// HTTP status.
        status: u16,
        /// For how long, if it says so.
        retry_after: Option<Duration>,
    },
    /// Not an answer of an identity platform.
    #[error("the token endpoint's answer (status {status}) cannot be read; it begins with: {beginning}")]
    Odd {
        /// HTTP status.
        status: u16,
        /// Its first characters.
        beginning: String,
    },
    /// A token for another tenant or API than was asked for. It was thrown away.
    #[error(
        "the identity platform issued a token whose {claim} is {found} and not {wanted}; it was not used"
    )]
    WrongToken {
        /// `tenant` or `audience`.
        claim: &'static str,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

fn refused(error: &str, code: Option<u32>, description: &str) -> String {
    match code.and_then(|code| aadsts::explain(code).map(|known| (code, known))) {
        Some((code, known)) => format!("no token: {} (AADSTS{code}); {}", known.meaning, known.remedy),
        None => format!("no token: the identity platform says `{error}`: {description}"),
    }
}

impl TokenError {
    /// What kind of trouble it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Busy { status: 429, .. } => Fault::Throttled,
            Self::Busy { .. } => Fault::ApiDown,
            Self::Transport(_) => Fault::Unreachable,
            _ => Fault::Other,
        }
    }

    /// Whether asking again soon is of no use: a person has to act.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error != "temporarily_unavailable" && error != "server_error")
    }
}

/// The tokens in hand.
#[derive(Debug, Default)]
pub struct TokenCache {
    entries: Mutex<HashMap<CacheKey, CacheEntry>>,
}

type CacheKey = (TenantId, String, String);
type CacheEntry = Arc<tokio::sync::Mutex<Option<AccessToken>>>;

impl TokenCache {
    /// A token of `app` for `resource` in `tenant`: the one in hand, or a new one.
    ///
    /// # Errors
    /// When none can be had, or the one that was issued is for somebody else.
    pub async fn token(
        &self,
        client: &Client,
        cloud: &Cloud,
        app: &App,
        tenant: TenantId,
        resource: &str,
        now: Timestamp,
    ) -> Result<AccessToken, TokenError> {
        let entry = self.entry(app, tenant, resource);
        let mut held = entry.lock().await;
        if let Some(token) = held.as_ref().filter(|token| lives(token, now)) {
            return Ok(token.clone());
        }
        *held = None;
        let token = request(client, cloud, app, tenant, resource, now).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// Throws a token away that an API refused, unless it was renewed meanwhile.
    pub async fn discard(&self, app: &App, tenant: TenantId, resource: &str, refused: &AccessToken) {
        let entry = self.entry(app, tenant, resource);
        let mut held = entry.lock().await;
        if held.as_ref().is_some_and(|token| token.secret.expose() == refused.secret.expose()) {
            *held = None;
        }
    }

    /// Throws all tokens of a tenant away.
    pub fn forget(&self, tenant: TenantId) {
        self.entries.lock().expect("no panic while the lock is held").retain(|(of, _, _), _| *of != tenant);
    }

    fn entry(&self, app: &App, tenant: TenantId, resource: &str) -> CacheEntry {
        let key = (tenant, app.name.clone(), resource.to_owned());
        Arc::clone(self.entries.lock().expect("no panic while the lock is held").entry(key).or_default())
    }
}

fn lives(token: &AccessToken, now: Timestamp) -> bool {
    now.checked_add(REMAINING_LIFE_MIN).is_ok_and(|soon| token.expires_at > soon)
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    /// A number from v2, a string from v1.
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u32>,
}

/// Client credentials, v2 endpoint. Source: Microsoft "OAuth 2.0 client credentials flow".
async fn request(
    client: &Client,
    cloud: &Cloud,
    app: &App,
    tenant: TenantId,
    resource: &str,
    now: Timestamp,
) -> Result<AccessToken, TokenError> {
    let Credential::Secret(secret) = &app.credential else {
        return Err(TokenError::Odd { status: 0, beginning: String::new() });
    };
    let scope = format!("{}/.default", resource.trim_end_matches('/'));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", app.client_id.as_str()),
        ("client_secret", secret.expose().as_str()),
        ("scope", scope.as_str()),
    ];
    let url = cloud.login(&format!("/{tenant}/oauth2/v2.0/token"));
    let answer = client.send(client.post_form(&url, &form)).await?;
    if answer.status != 200 {
        return Err(refusal(&answer));
    }
    // An answer to a good request may hold a token, so it is never quoted.
    let odd = || TokenError::Odd { status: answer.status, beginning: NOT_SHOWN.to_owned() };
    let issued: Issued = serde_json::from_slice(&answer.body).map_err(|_| odd())?;
    let secret = Secret::new(issued.access_token);
    // Only what may stand in a header: anything else is not a token.
    if secret.expose().is_empty() || !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Odd {
            status: answer.status,
            beginning: "an access token that is none".to_owned(),
        });
    }
    let seconds = issued.expires_in.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    // Without a life time, or with an odd one, the documented least: an hour.
    let life = Duration::from_secs(seconds.unwrap_or(3_600).min(48 * 3_600));
    let expires_at = now.saturating_add(life).expect("a duration is never out of range");
    let roles = check(secret.expose(), tenant, resource)?;
    Ok(AccessToken { secret, expires_at, roles, scopes: None })
}

fn refusal(answer: &Answer) -> TokenError {
    if answer.status == 429 || answer.status >= 500 {
        return TokenError::Busy { status: answer.status, retry_after: answer.retry_after };
    }
    match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(refusal) => TokenError::Refused {
            error: shown(&refusal.error),
            code: refusal
                .error_codes
                .iter()
                .copied()
                .find(|code| aadsts::explain(*code).is_some())
                .or(refusal.error_codes.first().copied()),
            description: shown(refusal.error_description.lines().next().unwrap_or_default()),
        },
        Err(_) if answer.status < 300 => {
            TokenError::Odd { status: answer.status, beginning: NOT_SHOWN.to_owned() }
        }
        Err(_) => TokenError::Odd { status: answer.status, beginning: beginning(&answer.body) },
    }
}

fn beginning(body: &[u8]) -> String {
    shown(&String::from_utf8_lossy(&body[..body.len().min(120)]))
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    tid: Option<String>,
    #[serde(default)]
    aud: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
}

/// Microsoft Graph's application id, which is its audience in some tokens.
const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

/// Reads a token's claims, as far as it can be read, and refuses one that is meant for another tenant or API.
fn check(token: &str, tenant: TenantId, resource: &str) -> Result<Option<Vec<String>>, TokenError> {
    let mut parts = token.split('.');
    let payload = parts.nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok());
    let Some(claims) = payload.and_then(|json| serde_json::from_slice::<Claims>(&json).ok()) else {
        return Ok(None);
    };
    let wrong = |claim, wanted: String, found: &str| {
        Err(TokenError::WrongToken { claim, wanted, found: shown(found) })
    };
    if let Some(tid) = &claims.tid
        && tid.parse::<TenantId>().ok() != Some(tenant)
    {
        return wrong("tenant", tenant.to_string(), tid);
    }
    let plain = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
    if let Some(aud) = &claims.aud
        && plain(aud) != plain(resource)
        && plain(aud) != GRAPH_APP_ID
    {
        return wrong("audience", resource.to_owned(), aud);
    }
    Ok(Some(claims.roles))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn checked(claims: &str) -> Result<Option<Vec<String>>, TokenError> {
        check(&token(claims), TENANT.parse().expect("a GUID"), "https://graph.microsoft.com")
    }

    #[test]
    fn a_token_for_somebody_else_is_refused() {
        let good = format!(
            r#"{{"tid":"{TENANT}","aud":"https://graph.microsoft.com/","roles":["SecurityAlert.Read.All"]}}"#
        );
        assert_eq!(checked(&good), Ok(Some(vec!["SecurityAlert.Read.All".to_owned()])));
        let other = r#"{"tid":"11111111-1111-1111-1111-111111111111"}"#;
        assert!(matches!(checked(other), Err(TokenError::WrongToken { claim: "tenant", .. })));
        let vault = format!(r#"{{"tid":"{TENANT}","aud":"https://vault.azure.net"}}"#);
        assert!(matches!(checked(&vault), Err(TokenError::WrongToken { claim: "audience", .. })));
    }

    #[test]
    fn a_token_that_cannot_be_read_is_taken_as_it_is() {
        let tenant = TENANT.parse().expect("a GUID");
        assert_eq!(check("opaque", tenant, "https://graph.microsoft.com"), Ok(None));
        assert_eq!(check("a.b.c", tenant, "https://graph.microsoft.com"), Ok(None));
    }

    #[test]
    fn refusals_are_explained() {
        let answer = |status, body: &str| Answer {
            status,
            body: body.as_bytes().to_vec(),
            retry_after: None,
            date: None,
            request_id: None,
            www_authenticate: None,
            warning: None,
            place: None,
        };
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret\r\nTrace ID: x","error_codes":[7000215]}"#;
        let error = refusal(&answer(401, body));
        assert_eq!(
            error.to_string(),
            "no token: the client secret is wrong (AADSTS7000215); store the secret's value (not its id) and check the client id"
        );
        assert!(error.needs_a_person());
        assert!(matches!(refusal(&answer(503, "")), TokenError::Busy { status: 503, .. }));
        assert!(matches!(refusal(&answer(400, "<html>")), TokenError::Odd { .. }));
    }
}
