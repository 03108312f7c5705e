//! How a token is got, checked, cached and refreshed.
//!
//! One token per (tenant, app, resource). Whoever needs one takes the entry's lock, looks again, and only then asks
//! the identity platform, so that a tenant's token is never asked for twice at a time. A token is renewed while it
//! still has some minutes to live.
//!
//! An app that acts as itself proves itself for each token ([`super::assertion`]). An app that acts for a person borrows
//! that person's grant ([`super::delegated`]). A managed identity asks the machine ([`super::managed_identity`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Secret, TenantId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::credential::{Access, App, Credential};
use super::delegated::{self, GrantError};
use super::platform::{self, Form, Platform};
use super::{aadsts, assertion, jwt, keys, managed_identity};
use crate::api::client::{Answer, TransportError, shown};
use crate::{Cloud, Fault};

/// Stands for what may hold a token.
pub(crate) const NOT_SHOWN: &str = "(not shown, since a token may be in it)";
/// A token is renewed when it has less than this to live.
const REMAINING_LIFE_MIN: Duration = Duration::from_secs(300);
/// More tokens are not held: the oldest that nobody uses go.
const ENTRIES_MAX: usize = 50_000;

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

impl AccessToken {
    /// The permissions that count for `access`; `None` when the token cannot be read.
    #[must_use]
    pub fn permissions(&self, access: Access) -> Option<&[String]> {
        match access {
            Access::Application => self.roles.as_deref(),
            Access::Delegated => self.scopes.as_deref(),
        }
    }
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
        /// Microsoft's `suberror`; empty where there is none.
        suberror: String,
        /// The first line of Microsoft's description.
        description: String,
    },
    /// It asks to wait.
    #[error("the identity platform {} (status {status})", if *.status == 429 { "throttles token requests" } else { "is in trouble; nothing to do but wait" })]
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
    /// A token that the issuer's key did not sign. It was thrown away.
    #[error(
        "a token came whose signature is not the issuer's; it was not used. Check what stands between here and Microsoft (a proxy or gateway)"
    )]
    Forged,
    /// What proves the app cannot be used.
    #[error("{app} cannot prove itself: {why}")]
    Credential {
        /// The app's name.
        app: String,
        /// What kind of trouble it is.
        fault: Fault,
        /// What is wrong, and what to do.
        why: String,
    },
    /// No grant of a person.
    #[error("no token on behalf of a person: {0}")]
    Grant(#[from] GrantError),
    /// Another OpenID provider than Microsoft's does not say what is needed.
    #[error("the OpenID provider {issuer} cannot be used: {why}")]
    Provider {
        /// Its address.
        issuer: String,
        /// What is wrong.
        why: String,
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
            Self::Refused { error, code, .. } => match code.and_then(aadsts::explain) {
                Some(known) => known.fault,
                None => fault_of(error),
            },
            Self::Busy { status: 429, .. } => Fault::Throttled,
            Self::Busy { .. } => Fault::ApiDown,
            Self::Credential { fault, .. } => *fault,
            Self::Grant(GrantError::None) => Fault::GrantExpired,
            Self::Grant(_) | Self::Odd { .. } => Fault::Other,
            Self::WrongToken { .. } | Self::Forged | Self::Provider { .. } => Fault::Misconfigured,
            Self::Transport(error) => transport_fault(error),
        }
    }

    /// Whether asking again soon is of no use: a person has to act.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Refused { .. } => !matches!(self.fault(), Fault::Throttled | Fault::ApiDown),
            other => other.fault().needs_a_person(),
        }
    }

    /// Whether the code or refresh token that was sent will never work again, as far as the answer tells.
    #[must_use]
    pub fn ends_grant(&self) -> bool {
        let Self::Refused { error, code, suberror, .. } = self else { return false };
        if error == "invalid_grant" && matches!(suberror.as_str(), "bad_token" | "token_expired") {
            return true;
        }
        match code {
            // Microsoft says `invalid_grant` of a rule that blocks, too: a code that is not known here ends nothing.
            Some(code) => aadsts::explain(*code).is_some_and(|known| known.ends_grant),
            // RFC 6749 section 5.2: the grant is invalid, expired or revoked.
            None => error == "invalid_grant",
        }
    }
}

/// What kind of trouble an OAuth `error` is, where no code tells more. RFC 6749 section 5.2, RFC 8628 section 3.5.
fn fault_of(error: &str) -> Fault {
    match error {
        "invalid_client" => Fault::WrongSecret,
        "unauthorized_client" => Fault::AppUnknown,
        "invalid_grant" => Fault::GrantRevoked,
        "access_denied" | "consent_required" => Fault::LostConsent,
        "interaction_required" | "login_required" => Fault::MultifactorNeeded,
        "invalid_tenant" => Fault::TenantUnknown,
        "temporarily_unavailable" | "server_error" => Fault::ApiDown,
        "slow_down" => Fault::Throttled,
        "invalid_request"
        | "invalid_scope"
        | "invalid_resource"
        | "invalid_target"
        | "unsupported_grant_type"
        | "unsupported_response_type"
        | "invalid_instance" => Fault::Misconfigured,
        _ => Fault::Other,
    }
}

/// A redirect means that something stands in between; all else, that nobody was reached.
pub(crate) fn transport_fault(error: &TransportError) -> Fault {
    match error {
        TransportError::Redirect { .. } => Fault::Misconfigured,
        TransportError::TooLarge { .. } => Fault::Other,
        TransportError::Connect { .. } | TransportError::Timeout { .. } | TransportError::Broken { .. } => {
            Fault::Unreachable
        }
    }
}

/// The tokens in hand.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    entries: Mutex<HashMap<CacheKey, CacheEntry>>,
}

type CacheKey = (TenantId, String, String);
type CacheEntry = Arc<tokio::sync::Mutex<Option<AccessToken>>>;

impl TokenCache {
    /// A token of `app` for `resource` in `tenant`: the one in hand, or a new one.
    pub(crate) async fn token(
        &self,
        platform: &Platform,
        app: &App,
        tenant: TenantId,
        resource: &str,
    ) -> Result<AccessToken, TokenError> {
        let entry = self.entry(app, tenant, resource, platform.now());
        let mut held = entry.lock().await;
        if let Some(token) = held.as_ref().filter(|token| lives_on(token.expires_at, platform.now())) {
            return Ok(token.clone());
        }
        *held = None;
        let token = request(platform, app, tenant, resource, None).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// A new token, whatever is in hand. It takes the place of that when it came: while the identity platform is away, the
    /// one in hand serves on.
    pub(crate) async fn fresh(
        &self,
        platform: &Platform,
        app: &App,
        tenant: TenantId,
        resource: &str,
    ) -> Result<AccessToken, TokenError> {
        let entry = self.entry(app, tenant, resource, platform.now());
        let mut held = entry.lock().await;
        if matches!(app.credential, Credential::ManagedIdentity(_)) {
            managed_identity::forget(platform);
        }
        let token = request(platform, app, tenant, resource, None).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// A token that holds what an API wants to see, in place of the one it refused; unless that one was replaced
    /// meanwhile, then what replaced it.
    pub(crate) async fn challenged(
        &self,
        platform: &Platform,
        app: &App,
        tenant: TenantId,
        resource: &str,
        refused: &AccessToken,
        claims: &Map<String, Value>,
    ) -> Result<AccessToken, TokenError> {
        let entry = self.entry(app, tenant, resource, platform.now());
        let mut held = entry.lock().await;
        if let Some(token) = held.as_ref()
            && token.secret.expose() != refused.secret.expose()
            && lives_on(token.expires_at, platform.now())
        {
            return Ok(token.clone());
        }
        *held = None;
        let token = request(platform, app, tenant, resource, Some(claims)).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// Throws a token away that an API refused, unless it was renewed meanwhile.
    pub(crate) async fn discard(&self, app: &App, tenant: TenantId, resource: &str, refused: &AccessToken) {
        let key = (tenant, app.name.clone(), resource.to_owned());
        let entry = self.entries.lock().expect("no panic while the lock is held").get(&key).cloned();
        let Some(entry) = entry else { return };
        let mut held = entry.lock().await;
        if held.as_ref().is_some_and(|token| token.secret.expose() == refused.secret.expose()) {
            *held = None;
        }
    }

    /// Throws all tokens of a tenant away.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.entries.lock().expect("no panic while the lock is held").retain(|(of, _, _), _| *of != tenant);
    }

    /// Throws all tokens of an app in a tenant away: another person has signed in.
    pub(crate) fn forget_app(&self, tenant: TenantId, app: &str) {
        self.entries
            .lock()
            .expect("no panic while the lock is held")
            .retain(|(of, name, _), _| *of != tenant || name != app);
    }

    fn entry(&self, app: &App, tenant: TenantId, resource: &str, now: Timestamp) -> CacheEntry {
        let key = (tenant, app.name.clone(), resource.to_owned());
        let mut entries = self.entries.lock().expect("no panic while the lock is held");
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            make_room(&mut entries, now);
        }
        Arc::clone(entries.entry(key).or_default())
    }
}

/// Drops what is empty or past its time; where that is not enough, whatever nobody uses just now.
fn make_room(entries: &mut HashMap<CacheKey, CacheEntry>, now: Timestamp) {
    entries.retain(|_, entry| {
        Arc::strong_count(entry) > 1
            || entry.try_lock().is_ok_and(|held| held.as_ref().is_some_and(|token| token.expires_at > now))
    });
    if entries.len() >= ENTRIES_MAX {
        entries.retain(|_, entry| Arc::strong_count(entry) > 1);
    }
}

/// Whether a token that ends then is good for some minutes more.
pub(crate) fn lives_on(expires_at: Timestamp, now: Timestamp) -> bool {
    now.checked_add(REMAINING_LIFE_MIN).is_ok_and(|soon| expires_at > soon)
}

/// What a token endpoint gave.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) access_token: Secret<String>,
    pub(crate) expires_at: Timestamp,
    pub(crate) refresh_token: Option<Secret<String>>,
    pub(crate) id_token: Option<Secret<String>>,
    pub(crate) scope: Vec<String>,
}

async fn request(
    platform: &Platform,
    app: &App,
    tenant: TenantId,
    resource: &str,
    claims: Option<&Map<String, Value>>,
) -> Result<AccessToken, TokenError> {
    let issued = match (&app.credential, app.access) {
        (Credential::ManagedIdentity(identity), Access::Application) => {
            let (access_token, expires_at) = managed_identity::token(platform, identity, resource).await?;
            Issued { access_token, expires_at, refresh_token: None, id_token: None, scope: Vec::new() }
        }
        (Credential::None, Access::Application) => {
            return Err(TokenError::Credential {
                app: app.name.clone(),
                fault: Fault::Misconfigured,
                why: "it has no credential; give it a secret, a certificate or a federated credential, or let it act for a person"
                    .to_owned(),
            });
        }
        (_, Access::Application) => client_credentials(platform, app, tenant, resource, claims).await?,
        (_, Access::Delegated) => delegated::renew(platform, app, tenant, resource, claims).await?,
    };
    accept(platform, issued, Some(tenant), resource)
}

/// Source: RFC 6749 section 4.4; Microsoft "OAuth 2.0 client credentials flow".
async fn client_credentials(
    platform: &Platform,
    app: &App,
    tenant: TenantId,
    resource: &str,
    claims: Option<&Map<String, Value>>,
) -> Result<Issued, TokenError> {
    let addresses = platform.addresses(app, Some(tenant)).await?;
    let mut form = Form::new("client_credentials", app);
    form.name_api(addresses.asking, resource, false);
    if let Some(claims) = platform.claims(claims) {
        form.set("claims", &claims);
    }
    assertion::prove(platform, app, &addresses.token, &mut form).await?;
    post(platform, &addresses.token, &form).await
}

/// Sends a request to a token endpoint and reads what it gave.
pub(crate) async fn post(platform: &Platform, url: &str, form: &Form) -> Result<Issued, TokenError> {
    let answer = platform.client.send(platform.client.post_form(url, &form.pairs())).await?;
    match answer.status {
        200 => read(answer, platform.now()),
        _ => Err(refusal(&answer)),
    }
}

#[derive(Deserialize)]
struct Body {
    access_token: String,
    /// A number from v2, a string from v1.
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    scope: Option<String>,
}

fn read(answer: Answer, now: Timestamp) -> Result<Issued, TokenError> {
    let status = answer.status;
    let bytes = Secret::new(answer.body);
    // An answer to a good request may hold a token, so it is never quoted.
    let body: Body = serde_json::from_slice(bytes.expose())
        .map_err(|_| TokenError::Odd { status, beginning: NOT_SHOWN.to_owned() })?;
    Ok(Issued {
        refresh_token: body.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
        id_token: body.id_token.map(Secret::new),
        scope: body.scope.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect(),
        access_token: usable(body.access_token, status)?,
        expires_at: end(body.expires_in.as_ref(), now),
    })
}

/// Only what may stand in a header: anything else is not a token.
pub(crate) fn usable(token: String, status: u16) -> Result<Secret<String>, TokenError> {
    let token = Secret::new(token);
    let fits = !token.expose().is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(token),
        false => Err(TokenError::Odd { status, beginning: "an access token that is none".to_owned() }),
    }
}

/// When a token ends. Without a life time, or with an odd one, after the documented least: an hour.
pub(crate) fn end(expires_in: Option<&Value>, now: Timestamp) -> Timestamp {
    let seconds = expires_in.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    let life = Duration::from_secs(seconds.unwrap_or(3_600).min(48 * 3_600));
    now.saturating_add(life).expect("a duration is never out of range")
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u32>,
    #[serde(default)]
    suberror: String,
}

pub(crate) fn refusal(answer: &Answer) -> TokenError {
    if answer.status == 429 || answer.status >= 500 {
        return TokenError::Busy { status: answer.status, retry_after: answer.retry_after };
    }
    match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(refusal) => {
            let known = |code: &u32| aadsts::explain(*code).is_some();
            let told = aadsts::code_in(&refusal.error_description);
            // Two codes come with some refusals, the second of which says more: 70002 says "no proof", 70008 "expired".
            let codes = refusal.error_codes.iter().rev().copied();
            let code = codes.clone().find(known).or(told.filter(known)).or(codes.last()).or(told);
            TokenError::Refused {
                error: shown(&refusal.error),
                code,
                suberror: shown(&refusal.suberror),
                description: shown(refusal.error_description.lines().next().unwrap_or_default()),
            }
        }
        Err(_) if answer.status < 300 => {
            TokenError::Odd { status: answer.status, beginning: NOT_SHOWN.to_owned() }
        }
        Err(_) => TokenError::Odd { status: answer.status, beginning: beginning(&answer.body) },
    }
}

fn beginning(body: &[u8]) -> String {
    shown(&String::from_utf8_lossy(&body[..body.len().min(120)]))
}

/// Reads a token's claims, as far as it can be read, and refuses one that is forged, or meant for another tenant or API.
pub(crate) fn accept(
    platform: &Platform,
    issued: Issued,
    tenant: Option<TenantId>,
    resource: &str,
) -> Result<AccessToken, TokenError> {
    let mut token =
        AccessToken { secret: issued.access_token, expires_at: issued.expires_at, roles: None, scopes: None };
    // Microsoft is free to make it unreadable. It is taken as it is then; the API judges it.
    let Ok(jwt) = jwt::read(token.secret.expose()) else { return Ok(token) };
    let only_graph = keys::only_graph_can_check(&platform.cloud, &jwt, Some(platform::api_of(resource)));
    if !only_graph && platform.keys.knows_to_be_forged(&jwt) {
        return Err(TokenError::Forged);
    }
    let wrong = |claim, wanted: String, found: &str| {
        Err(TokenError::WrongToken { claim, wanted, found: shown(found) })
    };
    if let (Some(tenant), Some(tid)) = (tenant, jwt.claims.text("tid"))
        && tid.parse::<TenantId>().ok() != Some(tenant)
    {
        return wrong("tenant", tenant.to_string(), tid);
    }
    let audiences = jwt.claims.list("aud");
    if let Some(first) = audiences.first()
        && !audiences.iter().any(|audience| is_for(&platform.cloud, audience, platform::api_of(resource)))
    {
        return wrong("audience", resource.to_owned(), first);
    }
    let scopes = if jwt.claims.get("scp").is_some() { "scp" } else { "scope" };
    (token.roles, token.scopes) = (Some(jwt.claims.list("roles")), Some(jwt.claims.list(scopes)));
    Ok(token)
}

/// Whether a token's audience is the API that `resource` names: the same address, or another name of the same API.
pub(crate) fn is_for(cloud: &Cloud, audience: &str, resource: &str) -> bool {
    let plain = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
    if plain(audience) == plain(resource) {
        return true;
    }
    let api = cloud.resource_app(resource);
    api.is_some() && cloud.resource_app(audience) == api
}
