//! A sign-in at Microsoft's pages, from the `state` that goes out to the answer that comes back through a browser.
//!
//! The `state` names a row of the store and carries a tag that only this store can make; the row is taken out when the
//! answer comes, so that it counts once. What the browser brings back is hostile until then: anybody can open a redirect
//! URI with any parameters.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::aadsts;
use muster_microsoft::entra::credential::App;
use muster_microsoft::entra::delegated::{Granted, Pkce};
use muster_microsoft::entra::error::TokenError;
use muster_model::{Secret, TenantId};
use muster_store::{NewAuditEvent, NewGrant, SignIn, SignInKind, Store, StoreError};
use serde_json::json;
use uuid::Uuid;

/// How long a person may take to sign in.
pub const LIFETIME: Duration = Duration::from_secs(900);
/// How long an administrator may take to consent: roles may have to be activated first, and colleagues asked.
pub const CONSENT_LIFETIME: Duration = Duration::from_secs(3_600);
/// How long a refresh token may lie unused. Source: Microsoft "Refresh tokens in the Microsoft identity platform".
pub const GRANT_IDLE_MAX: Duration = Duration::from_secs(90 * 86_400);
/// What the tag is for.
const PURPOSE: &str = "state";
/// A parameter longer than this is nobody's.
const PARAMETER_BYTES_MAX: usize = 16 * 1024;

/// What a redirect brought back.
#[derive(Debug, Default, Clone)]
pub struct Returned {
    pub state: Option<String>,
    pub code: Option<Secret<String>>,
    pub error: Option<String>,
    /// What Microsoft says about it.
    pub error_description: Option<String>,
    /// `admin_consent=True`. Microsoft's error redirect carries it too.
    pub admin_consent: bool,
    /// The tenant that the browser names. It proves nothing.
    pub tenant: Option<String>,
}

/// Why an answer is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No state, a forged one, one that was used, or too late.
    #[error("this sign-in is not known, was used already, or took too long: start it again")]
    Unknown,
    /// The state belongs to another kind of sign-in, or the answer to another question.
    #[error("this answer belongs to another sign-in: start it again")]
    OtherKind,
    #[error("{}", declined(.error, .description))]
    Declined {
        error: String,
        /// The first line of the description.
        description: String,
    },
    /// Neither a code nor an error.
    #[error("the address holds neither a code nor an error: copy all of it, from https:// to its end")]
    Incomplete,
    /// No such app any more.
    #[error("app `{0}` is not in the settings")]
    NoApp(String),
    /// The code could not be redeemed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Microsoft gave no refresh token.
    #[error(
        "Microsoft gave no refresh token: the app must be allowed `offline_access`, and consent given to it"
    )]
    NoRefreshToken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn declined(error: &str, description: &str) -> String {
    match aadsts::code_in(description).and_then(|code| aadsts::explain(code).map(|known| (code, known))) {
        Some((code, known)) => {
            format!("Microsoft refused: {} (AADSTS{code}); {}", known.meaning, known.remedy)
        }
        None if description.is_empty() => format!("Microsoft refused: `{error}`"),
        None => format!("Microsoft refused: `{error}`: {description}"),
    }
}

impl Returned {
    /// Reads the parameters of a redirect: its query, its form body, or its fragment. The first of each name counts.
    pub fn from_query(query: &str) -> Self {
        let mut returned = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if value.len() > PARAMETER_BYTES_MAX {
                continue;
            }
            let once = |place: &mut Option<String>| {
                place.get_or_insert_with(|| value.clone().into_owned());
            };
            match name.as_ref() {
                "state" => once(&mut returned.state),
                "error" => once(&mut returned.error),
                "error_description" => once(&mut returned.error_description),
                "tenant" => once(&mut returned.tenant),
                "admin_consent" => returned.admin_consent = value.eq_ignore_ascii_case("true"),
                "code" if returned.code.is_none() => returned.code = Some(Secret::from(value.as_ref())),
                _ => {}
            }
        }
        returned
    }

    /// Reads an address that a person has copied out of the browser.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_address(address: &str) -> Result<Self, SignInError> {
        let url = url::Url::parse(address.trim()).map_err(|_| SignInError::Incomplete)?;
        let part = url.query().filter(|query| !query.is_empty()).or_else(|| url.fragment());
        part.map(Self::from_query).ok_or(SignInError::Incomplete)
    }

    /// The error, where there is one. It is looked at before anything that speaks of success: Microsoft's error redirect
    /// may carry both.
    ///
    /// # Errors
    /// With what Microsoft said.
    pub fn refused(&self) -> Result<(), SignInError> {
        match &self.error {
            None => Ok(()),
            Some(error) => {
                let description = self.error_description.as_deref().unwrap_or_default();
                let line = description.lines().next().unwrap_or_default();
                Err(SignInError::Declined { error: shown(error), description: shown(line) })
            }
        }
    }
}

/// Begins a sign-in: remembers it and gives it back with the `state` that names it.
///
/// # Errors
/// When the store fails.
pub async fn begin(
    store: &dyn Store,
    wanted: SignInRequest,
    now: Timestamp,
) -> Result<(SignIn, String), StoreError> {
    let mut verifier = [0; 32];
    getrandom::fill(&mut verifier).expect("the operating system gives random bytes");
    let lifetime = match wanted.kind {
        SignInKind::Consent => CONSENT_LIFETIME,
        SignInKind::Delegated => LIFETIME,
    };
    let sign_in = SignIn {
        id: Uuid::new_v4(),
        tenant: wanted.tenant,
        app: wanted.app,
        kind: wanted.kind,
        invitation: wanted.invitation,
        redirect_uri: wanted.redirect_uri,
        resource: wanted.resource,
        nonce: Uuid::new_v4().simple().to_string(),
        verifier: Pkce::generate(verifier).verifier().clone(),
        created_at: now,
        expires_at: now.checked_add(lifetime).unwrap_or(Timestamp::MAX),
    };
    store.begin_sign_in(sign_in.clone()).await?;
    let state = state(store, sign_in.id);
    Ok((sign_in, state))
}

/// What a sign-in is to be for.
#[derive(Debug, Clone)]
pub struct SignInRequest {
    /// The tenant to sign in to.
    pub tenant: TenantId,
    pub app: String,
    /// Consent, or a person's grant.
    pub kind: SignInKind,
    /// The invitation that led here.
    pub invitation: Option<Uuid>,
    /// Where Microsoft sends the browser afterwards.
    pub redirect_uri: String,
    pub resource: String,
}

fn state(store: &dyn Store, id: Uuid) -> String {
    let tag = store.signing_key().sign(PURPOSE, id.as_bytes());
    format!("{}.{}", id.simple(), URL_SAFE_NO_PAD.encode(tag))
}

/// Takes the sign-in that a `state` names: once, in time, and only when this store made the state.
///
/// # Errors
/// When there is none, or the store fails.
pub async fn take(store: &dyn Store, state: Option<&str>, now: Timestamp) -> Result<SignIn, SignInError> {
    let id = id_of(store, state).ok_or(SignInError::Unknown)?;
    store.take_sign_in(id, now).await?.ok_or(SignInError::Unknown)
}

/// The sign-in that a `state` names, answered or not; `None` when this store did not make the state.
fn id_of(store: &dyn Store, state: Option<&str>) -> Option<Uuid> {
    let (id, tag) = state.filter(|state| state.len() <= 128)?.split_once('.')?;
    let id = Uuid::try_parse(id).ok()?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    store.signing_key().verify(PURPOSE, id.as_bytes(), &tag).then_some(id)
}

/// Ends a person's sign-in: redeems the code in the tenant that the sign-in was begun for and keeps the refresh token,
/// sealed. Returns what was granted.
///
/// # Errors
/// See [`SignInError`]. Nothing is kept then.
pub async fn keep_grant(
    store: &Arc<dyn Store>,
    microsoft: &Microsoft,
    app: Option<App>,
    sign_in: &SignIn,
    returned: &Returned,
    now: Timestamp,
) -> Result<Granted, SignInError> {
    if sign_in.kind != SignInKind::Delegated {
        return Err(SignInError::OtherKind);
    }
    returned.refused()?;
    let code = returned.code.as_ref().ok_or(SignInError::Incomplete)?;
    let app = app.ok_or_else(|| SignInError::NoApp(sign_in.app.clone()))?;
    let granted = microsoft
        .redeem_code(&app, sign_in.tenant, code, &sign_in.redirect_uri, &sign_in.verifier, &sign_in.resource)
        .await?;
    if granted.nonce.as_ref().is_some_and(|nonce| *nonce != sign_in.nonce) {
        return Err(SignInError::OtherKind);
    }
    keep(store, sign_in.tenant, &sign_in.app, &sign_in.resource, &granted, now).await?;
    Ok(granted)
}

/// Keeps the refresh token of a grant, sealed, and writes it into the audit log.
///
/// # Errors
/// When there is none, or the store fails.
pub async fn keep(
    store: &Arc<dyn Store>,
    tenant: TenantId,
    app: &str,
    resource: &str,
    granted: &Granted,
    now: Timestamp,
) -> Result<(), SignInError> {
    let token = granted.refresh_token.as_ref().ok_or(SignInError::NoRefreshToken)?;
    let grant = NewGrant {
        tenant,
        app: app.to_owned(),
        account: granted.account.clone(),
        resource: resource.to_owned(),
        refresh_token: token.clone(),
        expires_at: now.checked_add(GRANT_IDLE_MAX).ok(),
    };
    store.put_grant(grant, now).await?;
    let details = json!({ "app": app, "account": granted.account, "resource": resource });
    let event = NewAuditEvent {
        actor: crate::audit::actor(),
        action: "grant.kept".to_owned(),
        subject: tenant.to_string(),
        details,
    };
    store.append_audit(event, now).await?;
    Ok(())
}

/// A bit of hostile input, fit for a message.
fn shown(text: &str) -> String {
    muster_model::text::shown(text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_counts_before_success() {
        let returned = Returned::from_query(
            "admin_consent=True&tenant=x&error=consent_required&error_description=AADSTS65004%3A+no",
        );
        assert!(returned.admin_consent);
        let error = returned.refused().expect_err("declined").to_string();
        assert!(error.contains("65004") && error.contains("declined"), "{error}");
    }

    #[test]
    fn a_pasted_address_gives_its_parameters() {
        let returned =
            Returned::from_address(" https://a.example/SiemMsspConnector?code=abc&state=s.t&code=second \n");
        let returned = returned.expect("an address");
        assert_eq!(returned.code.expect("a code").expose(), "abc");
        assert_eq!(returned.state.as_deref(), Some("s.t"));
        let fragment = Returned::from_address("https://a.example/#code=abc").expect("an address");
        assert!(fragment.code.is_some());
        assert!(Returned::from_address("abc").is_err());
        assert!(Returned::from_address("https://a.example/").is_err());
    }

    #[test]
    fn endless_parameters_are_left_out() {
        let query = format!("code={}&state=s", "x".repeat(20_000));
        let returned = Returned::from_query(&query);
        assert!(returned.code.is_none());
        assert_eq!(returned.state.as_deref(), Some("s"));
    }
}
