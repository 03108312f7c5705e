//! Is this token genuine, and does it do what we need?
//!
//! Each question is answered on its own, so that all that is wrong is seen at once.

use std::time::Duration;

use jiff::Timestamp;
use muster_http::shown;
use muster_model::{Source, TenantId};

use super::credential::{Access, Endpoint};
use super::discovery::Document;
use super::jwt::{self, Jwt};
use super::keys::Algorithm;
use super::platform::Platform;
use super::{keys, token_endpoint};
use crate::sources::Api;

/// How far the issuer's clock and ours may be apart.
const SKEW: Duration = Duration::from_secs(300);

/// What a token should be.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Whose tenant it should be for.
    pub tenant: Option<TenantId>,
    /// Which API it should be for: a resource address or an app id.
    pub resource: Option<String>,
    /// Which app it should have been issued to.
    pub client_id: Option<String>,
    /// Application permissions or a person's.
    pub access: Access,
    /// What it should be able to read. Sources that are read with another API's tokens are passed over.
    pub sources: Vec<Source>,
    /// The issuer. [`Endpoint::V1`] and [`Endpoint::V2`] are told apart by the token itself.
    pub issuer: Endpoint,
}

/// What came of the checks of a token.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Each check, in order.
    pub checks: Vec<TokenCheck>,
    /// When the token ends, if that can be read.
    pub expires_at: Option<Timestamp>,
}

impl Verification {
    /// Whether no check failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed != Some(false))
    }

    /// Whether it cannot be told if the signature is genuine.
    #[must_use]
    pub fn signature_unchecked(&self) -> bool {
        self.checks.iter().any(|check| check.name == "signature" && check.passed.is_none())
    }
}

/// One check of a token.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TokenCheck {
    /// What was looked at: `form`, `signature`, `issuer`, `tenant`, `audience`, `app`, `times`, `permissions graph_alerts`.
    pub name: String,
    /// Whether it is well; `None` where it cannot be told.
    pub passed: Option<bool>,
    /// What was found.
    pub detail: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

impl TokenCheck {
    fn of(name: &str, passed: Option<bool>, detail: impl Into<String>, remedy: &str) -> Self {
        Self { name: name.to_owned(), passed, detail: detail.into(), remedy: remedy.to_owned() }
    }

    fn good(name: &str, detail: impl Into<String>) -> Self {
        Self::of(name, Some(true), detail, "")
    }

    fn bad(name: &str, detail: impl Into<String>, remedy: &str) -> Self {
        Self::of(name, Some(false), detail, remedy)
    }

    fn untold(name: &str, detail: impl Into<String>, remedy: &str) -> Self {
        Self::of(name, None, detail, remedy)
    }
}

/// Checks a token. Asks the issuer for its document and its keys where they are not in hand.
pub(crate) async fn verify(platform: &Platform, token: &str, expected: &Expected) -> Verification {
    let jwt = match jwt::read(token.trim()) {
        Ok(jwt) => jwt,
        Err(error) => {
            let remedy = "copy the access token as a whole, without `Bearer` and quotation marks";
            return Verification {
                checks: vec![TokenCheck::bad("form", error.to_string(), remedy)],
                expires_at: None,
            };
        }
    };
    let document = document(platform, &jwt, expected).await;
    let mut checks = vec![TokenCheck::good("form", "a JSON Web Token")];
    checks.push(signature(platform, &jwt, document.as_ref(), expected).await);
    checks.push(issuer(&jwt, document.as_ref()));
    checks.extend(expected.tenant.map(|tenant| tenant_of(&jwt, tenant, expected)));
    checks.extend(expected.resource.as_deref().map(|resource| audience(platform, &jwt, resource)));
    checks.extend(expected.client_id.as_deref().map(|client_id| app(&jwt, client_id)));
    checks.push(times(&jwt, platform.now()));
    checks.extend(permissions(platform, &jwt, expected));
    let expires_at = jwt.claims.seconds("exp").and_then(|exp| Timestamp::from_second(exp).ok());
    Verification { checks, expires_at }
}

/// What the issuer tells of itself; in words why that is not known.
async fn document(platform: &Platform, jwt: &Jwt<'_>, expected: &Expected) -> Result<Document, String> {
    if let Endpoint::Discovered(issuer) = &expected.issuer {
        return platform.document(issuer).await.map_err(|error| error.to_string());
    }
    let tid = jwt.claims.text("tid").and_then(|tid| tid.parse().ok());
    let tenant = expected.tenant.or(tid).ok_or("the token names no tenant, so its issuer is not known")?;
    // The API decides which of the two its tokens are, whatever endpoint they came from.
    let second = jwt.claims.text("ver") == Some("2.0");
    platform
        .tenant_document(tenant, second)
        .await
        .map_err(|error| format!("the issuer's discovery document cannot be had: {error}"))
}

async fn signature(
    platform: &Platform,
    jwt: &Jwt<'_>,
    document: Result<&Document, &String>,
    expected: &Expected,
) -> TokenCheck {
    let bad = |detail: String| {
        TokenCheck::bad("signature", detail, "do not use this token, and find out where it came from")
    };
    let Some(name) = jwt.header.text("alg") else {
        return bad("its header names no algorithm".to_owned());
    };
    let Some(algorithm) = Algorithm::named(name) else {
        return bad(match name.to_ascii_lowercase().as_str() {
            "none" => "it is not signed (`alg: none`): anybody can have written it".to_owned(),
            hmac if hmac.starts_with("hs") => {
                format!("it is signed with a shared secret ({}), which Microsoft never does", shown(name))
            }
            _ => format!("it is signed with {}; RS256 or PS256 is expected", shown(name)),
        });
    };
    if jwt.header.get("crit").is_some() {
        return bad("its header demands extensions (`crit`) that no such token has".to_owned());
    }
    let Some(kid) = jwt.header.text("kid") else {
        return bad("its header names no key (`kid`)".to_owned());
    };
    if keys::only_graph_can_check(&platform.cloud, jwt, expected.resource.as_deref()) {
        return TokenCheck::untold(
            "signature",
            "it is a token of Microsoft Graph, with a nonce in its header that is hashed before signing: only Graph can check the signature",
            "",
        );
    }
    let address = match document.map(|document| document.jwks_uri.as_deref()) {
        Err(why) => return TokenCheck::untold("signature", why, "try again when the issuer can be reached"),
        Ok(None) => {
            return TokenCheck::untold("signature", "the issuer names no keys", "check the issuer's address");
        }
        Ok(Some(keys)) => keys,
    };
    match platform.keys.key(&platform.client, address, kid, platform.now()).await {
        Err(why) => TokenCheck::untold("signature", why, "try again when the issuer can be reached"),
        Ok(None) => bad(format!("the issuer has no key `{}`", shown(kid))),
        Ok(Some(key)) if key.signed(algorithm, jwt) => {
            TokenCheck::good("signature", format!("by the issuer's key `{}`", shown(kid)))
        }
        Ok(Some(_)) => bad(format!("it was not made by the issuer's key `{}`", shown(kid))),
    }
}

fn issuer(jwt: &Jwt<'_>, document: Result<&Document, &String>) -> TokenCheck {
    let remedy = "get the token from the right cloud and tenant";
    let Some(found) = jwt.claims.text("iss") else {
        return TokenCheck::bad("issuer", "the token names no issuer", remedy);
    };
    match document {
        Err(why) => TokenCheck::untold("issuer", why, "try again when the issuer can be reached"),
        Ok(document) => {
            let tid = jwt.claims.text("tid").unwrap_or_default();
            let wanted = document.issuer.replace("{tenantid}", tid);
            match found == wanted {
                true => TokenCheck::good("issuer", shown(found)),
                false => {
                    let detail = format!("it is {} and not {}", shown(found), shown(&wanted));
                    TokenCheck::bad("issuer", detail, remedy)
                }
            }
        }
    }
}

fn tenant_of(jwt: &Jwt<'_>, wanted: TenantId, expected: &Expected) -> TokenCheck {
    match jwt.claims.text("tid") {
        Some(tid) if tid.parse().ok() == Some(wanted) => TokenCheck::good("tenant", wanted.to_string()),
        Some(tid) => TokenCheck::bad(
            "tenant",
            format!("it is for {} and not {wanted}", shown(tid)),
            "get a token at the customer's tenant, not at your own",
        ),
        None if matches!(expected.issuer, Endpoint::Discovered(_)) => {
            TokenCheck::untold("tenant", "this issuer has no tenants", "")
        }
        None => TokenCheck::bad("tenant", "it names no tenant", "get a token at the customer's tenant"),
    }
}

fn audience(platform: &Platform, jwt: &Jwt<'_>, resource: &str) -> TokenCheck {
    let found = jwt.claims.list("aud");
    match found.iter().find(|audience| token_endpoint::is_for(&platform.cloud, audience, resource)) {
        Some(audience) => TokenCheck::good("audience", shown(audience)),
        None if found.is_empty() => {
            TokenCheck::bad("audience", "it names no API", "ask for a token with `scope` or `resource`")
        }
        None => TokenCheck::bad(
            "audience",
            format!("it is for {} and not {}", shown(&found.join(", ")), shown(resource)),
            "ask for a token for that API: each API wants its own",
        ),
    }
}

fn app(jwt: &Jwt<'_>, wanted: &str) -> TokenCheck {
    let found = ["appid", "azp", "client_id"].into_iter().find_map(|name| jwt.claims.text(name));
    match found {
        Some(found) if found.eq_ignore_ascii_case(wanted) => TokenCheck::good("app", shown(found)),
        Some(found) => TokenCheck::bad(
            "app",
            format!("it was issued to {} and not to {}", shown(found), shown(wanted)),
            "get the token with this app's client id and credential",
        ),
        None => TokenCheck::untold("app", "it does not tell which app it was issued to", ""),
    }
}

fn times(jwt: &Jwt<'_>, now: Timestamp) -> TokenCheck {
    let time = |name| jwt.claims.seconds(name).and_then(|seconds| Timestamp::from_second(seconds).ok());
    let early = now.saturating_sub(SKEW).expect("a duration is never out of range");
    let late = now.saturating_add(SKEW).expect("a duration is never out of range");
    let Some(end) = time("exp") else {
        return TokenCheck::bad(
            "times",
            "it has no end (`exp`), or one that cannot be read",
            "do not use this token",
        );
    };
    if end <= early {
        return TokenCheck::bad("times", format!("it expired at {end}"), "get a new token");
    }
    match ["nbf", "iat"].into_iter().find_map(|name| time(name).filter(|at| *at > late)) {
        Some(begin) => TokenCheck::bad(
            "times",
            format!(
                "it is good from {begin} on, which is more than five minutes ahead of this machine's clock"
            ),
            "set this machine's clock right",
        ),
        None => TokenCheck::good("times", format!("good until {end}")),
    }
}

/// What it can read of what is expected; where nothing is that its API gives, what it allows at all.
fn permissions(platform: &Platform, jwt: &Jwt<'_>, expected: &Expected) -> Vec<TokenCheck> {
    let api = expected.resource.as_deref().and_then(|resource| platform.cloud.resource_app(resource));
    let of_api = |source: &&Source| {
        let read_by = crate::sources::declaration(**source).api.map(Api::app);
        read_by.is_some_and(|read_by| api.is_none_or(|api| read_by == api))
    };
    let sources: Vec<Source> = expected.sources.iter().filter(of_api).copied().collect();
    if !sources.is_empty() || expected.sources.is_empty() {
        return sources.into_iter().map(|source| permission(jwt, source, expected.access)).collect();
    }
    let claim = match expected.access {
        Access::Application => "roles",
        Access::Delegated => "scp",
    };
    let granted = jwt.claims.list(claim);
    vec![match granted.is_empty() {
        true => TokenCheck::bad(
            "permissions",
            "it allows nothing: this API's permissions are not consented to",
            "ask for them with `muster app register --source …`, then have the customer's administrator consent again",
        ),
        false => {
            let detail =
                format!("it allows {}; no source of the tenant is read with it", shown(&granted.join(", ")));
            TokenCheck::good("permissions", detail)
        }
    }]
}

fn permission(jwt: &Jwt<'_>, source: Source, access: Access) -> TokenCheck {
    let name = format!("permissions {source}");
    let (claim, kind) = match access {
        Access::Application => ("roles", "application permission"),
        Access::Delegated => ("scp", "delegated permission"),
    };
    let granted = jwt.claims.list(claim);
    if crate::sources::in_tokens(source).is_empty() {
        let detail = "its tokens say nothing of it: the app is allowed in the customer's portal";
        return TokenCheck::good(&name, detail);
    }
    let wanted: Vec<&str> =
        crate::sources::permissions(source).iter().filter_map(|known| known.name(access)).collect();
    if let Some(fitting) = granted.iter().find(|granted| wanted.contains(&granted.as_str())) {
        return TokenCheck::good(&name, fitting);
    }
    let least = wanted.first().copied().unwrap_or_default();
    let other = match access {
        Access::Application => "scp",
        Access::Delegated => "roles",
    };
    let other_way = jwt.claims.list(other).iter().any(|granted| wanted.contains(&granted.as_str()));
    let detail = match (other_way, granted.is_empty()) {
        (true, _) => format!("it has {least}, but not as {kind}"),
        (false, true) => format!("it has no {kind} at all, and {least} is needed"),
        (false, false) => format!("it has {}, and {least} is needed", shown(&granted.join(", "))),
    };
    let remedy = format!(
        "add the {kind} {least} to the app registration, then have the customer's administrator consent again"
    );
    TokenCheck::bad(&name, detail, &remedy)
}
