//! The delegated road: a person signs in once, the app acts for them afterwards.
//!
//! The authorization code flow with PKCE gives the first refresh token; each use of it gives the next. Where it is kept
//! is not known here: a [`GrantKeeper`] lends it out, to one borrower at a time, and takes the next one back before the
//! access token that came with it is used.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_http::shown;
use muster_model::{Secret, TenantId};
use serde_json::{Map, Value};
use url::Url;

use super::access_token::AccessToken;
use super::credential::App;
use super::error::TokenError;
use super::form::{ApiNaming, Form, PERSON_SCOPES, scope};
use super::grant::{GrantError, GrantKeeper, Leased};
use super::platform::Platform;
use super::token_endpoint::{self, Issued};
use super::{assertion, jwt};

/// How long a grant that somebody else renews is waited for.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(30);
/// Between two looks at it.
const BUSY_LOOK: Duration = Duration::from_millis(500);

/// A proof key of one sign-in (RFC 7636).
#[derive(Debug, Clone)]
pub struct Pkce {
    verifier: Secret<String>,
}

impl Pkce {
    /// The proof key that 32 random bytes make.
    #[must_use]
    pub fn generate(random: [u8; 32]) -> Self {
        Self { verifier: Secret::new(URL_SAFE_NO_PAD.encode(random)) }
    }

    /// The proof key of a verifier that was kept.
    #[must_use]
    pub fn from_verifier(verifier: Secret<String>) -> Self {
        Self { verifier }
    }

    /// What is sent ahead: the SHA-256 of the verifier.
    #[must_use]
    pub fn challenge(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.verifier.expose().as_bytes());
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// What is shown at the end, and kept secret until then.
    #[must_use]
    pub fn verifier(&self) -> &Secret<String> {
        &self.verifier
    }
}

/// How the identity platform gives the answer of a sign-in back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseMode {
    /// In the query of the redirect.
    #[default]
    Query,
    /// In a form that the browser posts.
    FormPost,
}

/// A wish of how the sign-in page behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Let the person choose an account.
    SelectAccount,
    /// Ask for the password, whoever is signed in.
    Login,
    /// Ask for consent again.
    Consent,
}

/// What a sign-in page is asked for.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizeRequest<'a> {
    /// The app.
    pub app: &'a App,
    /// The tenant; `None` for whichever organisation the person belongs to.
    pub tenant: Option<TenantId>,
    /// The API whose tokens are wanted, such as [`crate::Cloud::graph_resource`].
    pub resource: &'a str,
    /// Where the browser is sent back to: exactly as registered.
    pub redirect_uri: &'a str,
    /// Comes back unchanged. Opaque here.
    pub state: &'a str,
    /// Comes back in the id token.
    pub nonce: &'a str,
    /// [`Pkce::challenge`].
    pub challenge: &'a str,
    /// The account that is expected, if one is.
    pub login_hint: Option<&'a str>,
    /// How the page behaves.
    pub prompt: Option<Prompt>,
    /// How the answer comes back.
    pub response_mode: ResponseMode,
}

/// What a person's sign-in brought.
#[derive(Debug, Clone)]
pub struct Granted {
    /// A token to call the API with.
    pub access_token: AccessToken,
    /// The refresh token, to be kept sealed. `None` when the provider gave none.
    pub refresh_token: Option<Secret<String>>,
    /// The account's name as the id token tells it. For display, never for a decision.
    pub account: String,
    /// The tenant that issued the token.
    pub tenant: Option<TenantId>,
    /// The `nonce` of the id token, to be compared with the one that was sent.
    pub nonce: Option<String>,
    /// What was granted.
    pub scopes: Vec<String>,
}

/// The sign-in page that a request describes.
pub(crate) async fn authorize_url(
    platform: &Platform,
    request: &AuthorizeRequest<'_>,
) -> Result<Url, TokenError> {
    let addresses = platform.addresses(request.app, request.tenant).await?;
    let provider = |why: &str| TokenError::Provider { issuer: request.app.name.clone(), why: why.to_owned() };
    let page = addresses.authorize.ok_or_else(|| provider("it names no page for people to sign in"))?;
    let mut url =
        Url::parse(&page).map_err(|_| provider("its sign-in page has no address that can be read"))?;
    let mut query = url.query_pairs_mut();
    query
        .append_pair("client_id", &request.app.client_id)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", request.redirect_uri)
        .append_pair("state", request.state)
        .append_pair("nonce", request.nonce)
        .append_pair("code_challenge", request.challenge)
        .append_pair("code_challenge_method", "S256");
    match addresses.naming {
        ApiNaming::Resource => query.append_pair("resource", request.resource),
        ApiNaming::Scope => query.append_pair("scope", &scope(request.resource, true)),
        ApiNaming::Indicator => {
            query.append_pair("resource", request.resource).append_pair("scope", PERSON_SCOPES)
        }
    };
    let prompt = match (request.prompt, addresses.naming) {
        (Some(Prompt::SelectAccount), _) => Some("select_account"),
        (Some(Prompt::Login), _) => Some("login"),
        // OpenID Connect Core section 11: offline access is given after consent only.
        (Some(Prompt::Consent), _) | (None, ApiNaming::Indicator) => Some("consent"),
        (None, _) => None,
    };
    prompt.map(|prompt| query.append_pair("prompt", prompt));
    request.login_hint.map(|hint| query.append_pair("login_hint", hint));
    if request.response_mode == ResponseMode::FormPost {
        query.append_pair("response_mode", "form_post");
    }
    drop(query);
    Ok(url)
}

/// Redeems an authorization code. Source: RFC 6749 section 4.1.3, RFC 7636 section 4.5.
pub(crate) async fn redeem_code(
    platform: &Platform,
    app: &App,
    tenant: Option<TenantId>,
    code: &Secret<String>,
    redirect_uri: &str,
    verifier: &Secret<String>,
    resource: &str,
) -> Result<Granted, TokenError> {
    let addresses = platform.addresses(app, tenant).await?;
    let mut form = Form::new("authorization_code", app);
    form.set("code", code.expose());
    form.set("redirect_uri", redirect_uri);
    form.set("code_verifier", verifier.expose());
    form.name_api(addresses.naming, resource, true);
    if let Some(claims) = platform.claims(None) {
        form.set("claims", &claims);
    }
    assertion::prove(platform, app, &addresses.token, &mut form).await?;
    let issued = token_endpoint::post(platform, &addresses.token, &form).await?;
    granted(platform, issued, tenant, resource)
}

/// What a person's sign-in brought, checked.
pub(crate) fn granted(
    platform: &Platform,
    mut issued: Issued,
    tenant: Option<TenantId>,
    resource: &str,
) -> Result<Granted, TokenError> {
    let refresh_token = issued.refresh_token.take();
    let id_token = issued.id_token.take();
    let scope = std::mem::take(&mut issued.scope);
    let access_token = token_endpoint::accept(platform, issued, tenant, resource)?;
    let id = id_token.as_ref().and_then(|id_token| jwt::read(id_token.expose()).ok());
    let claim = |name: &str| Some(id.as_ref()?.claims.text(name)?.to_owned());
    let names = ["preferred_username", "upn", "unique_name", "email", "name", "sub"];
    // The access token is for the API to read; where it can be read, its tenant is the issuer's word for it.
    let of_access = jwt::read(access_token.secret.expose()).ok();
    let tid =
        of_access.as_ref().and_then(|jwt| jwt.claims.text("tid")).map(str::to_owned).or_else(|| claim("tid"));
    let found = tid.as_deref().and_then(|tid| tid.parse().ok());
    if let (Some(wanted), Some(tid)) = (tenant, &tid)
        && found != Some(wanted)
    {
        return Err(TokenError::WrongToken {
            claim: "tenant",
            wanted: wanted.to_string(),
            found: shown(tid),
        });
    }
    let scopes = if scope.is_empty() { access_token.scopes.clone().unwrap_or_default() } else { scope };
    Ok(Granted {
        account: names
            .into_iter()
            .find_map(claim)
            .map_or_else(|| "unknown account".to_owned(), |name| shown(&name)),
        nonce: claim("nonce"),
        tenant: found,
        access_token,
        refresh_token,
        scopes,
    })
}

/// A token for a person who is not there: borrows their grant, uses it, and brings back what took its place before
/// anybody uses the token that came with it.
pub(crate) async fn renew(
    platform: &Platform,
    app: &App,
    tenant: TenantId,
    resource: &str,
    claims: Option<&Map<String, Value>>,
) -> Result<Issued, TokenError> {
    let keeper = platform.grants.as_deref().ok_or(GrantError::None)?;
    let addresses = platform.addresses(app, Some(tenant)).await?;
    let lease = lease(platform, keeper, tenant, &app.name).await?;
    let answered = async {
        let mut form = Form::new("refresh_token", app);
        form.set("refresh_token", lease.refresh_token.expose());
        form.name_api(addresses.naming, resource, true);
        if let Some(claims) = platform.claims(claims) {
            form.set("claims", &claims);
        }
        assertion::prove(platform, app, &addresses.token, &mut form).await?;
        token_endpoint::post(platform, &addresses.token, &form).await
    };
    match answered.await {
        Ok(issued) => {
            keeper.renewed(&lease, issued.refresh_token.as_ref()).await?;
            Ok(issued)
        }
        Err(error) => {
            keeper.failed(&lease, &error.to_string(), error.ends_grant()).await;
            Err(error)
        }
    }
}

/// Borrows a grant; waits a while where somebody else has it.
async fn lease(
    platform: &Platform,
    keeper: &dyn GrantKeeper,
    tenant: TenantId,
    app: &str,
) -> Result<Leased, GrantError> {
    let mut waited = Duration::ZERO;
    loop {
        match keeper.lease(tenant, app).await {
            Err(GrantError::Busy { until }) if waited < BUSY_WAIT_MAX => {
                let left = Duration::try_from(until.duration_since(platform.now())).unwrap_or_default();
                let wait = left.clamp(Duration::from_millis(50), BUSY_LOOK);
                tokio::time::sleep(wait).await;
                waited += wait;
            }
            answer => return answer,
        }
    }
}
