//! What is sent to a token endpoint, and what its answer is worth.

use jiff::Timestamp;
use muster_http::{Response, shown};
use muster_model::{Secret, TenantId};
use serde::Deserialize;
use serde_json::Value;

use super::access_token::{self, AccessToken, NOT_SHOWN};
use super::error::TokenError;
use super::form::{self, Form};
use super::platform::Platform;
use super::{aadsts, jwt, keys};
use crate::Cloud;

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

fn read(answer: Response, now: Timestamp) -> Result<Issued, TokenError> {
    let status = answer.status;
    let bytes = Secret::new(answer.body);
    // An answer to a good request may hold a token, so it is never quoted.
    let body: Body = muster_model::json::from_answer(bytes.expose())
        .map_err(|_| TokenError::Odd { status, beginning: NOT_SHOWN.to_owned() })?;
    Ok(Issued {
        refresh_token: body.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
        id_token: body.id_token.map(Secret::new),
        scope: body.scope.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect(),
        access_token: access_token::usable(body.access_token, status)?,
        expires_at: access_token::end(body.expires_in.as_ref(), now),
    })
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

pub(crate) fn refusal(answer: &Response) -> TokenError {
    if answer.status == 429 || answer.status >= 500 {
        return TokenError::Busy { status: answer.status, retry_after: answer.retry_after() };
    }
    match muster_model::json::from_answer::<Refusal>(&answer.body) {
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
    let only_graph = keys::only_graph_can_check(&platform.cloud, &jwt, Some(form::api_of(resource)));
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
        && !audiences.iter().any(|audience| is_for(&platform.cloud, audience, form::api_of(resource)))
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
