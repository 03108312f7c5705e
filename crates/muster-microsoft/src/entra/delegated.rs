//! The delegated road: a person signs in once, the app acts for them afterwards.
//!
//! The authorization code flow with PKCE gives the first refresh token; each use of it gives the next. Where it is kept
//! is not known here: a [`GrantKeeper`] lends it out, to one borrower at a time, and takes the next one back before the
//! access token that came with it is used.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Secret, TenantId};

use super::credential::App;
use super::token::AccessToken;

/// Keeps people's refresh tokens. The product implements it on its store.
#[async_trait]
pub trait GrantKeeper: Send + Sync {
    /// Lends the grant of `app` in `tenant` to the caller, and to nobody else until it is brought back or its time is
    /// up.
    async fn lease(&self, tenant: TenantId, app: &str) -> Result<Leased, GrantError>;

    /// Brings the grant back after it worked, with the refresh token that takes its place where one came. When this
    /// returns, that token is safe on disk.
    async fn renewed(&self, lease: &Leased, new: Option<&Secret<String>>) -> Result<(), GrantError>;

    /// Brings the grant back after it did not work. A dead one will never work again.
    async fn failed(&self, lease: &Leased, reason: &str, dead: bool);
}

/// A grant that was lent.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Whose tenant.
    pub tenant: TenantId,
    /// Which app of ours, by its name.
    pub app: String,
    /// The refresh token.
    pub refresh_token: Secret<String>,
    /// Tells this loan from later ones.
    pub fence: u64,
}

/// Why a grant could not be lent or brought back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Nobody has signed in, or the grant is dead.
    #[error("nobody has signed in for this app and tenant; run `muster token acquire`")]
    None,
    /// Somebody else renews it just now.
    #[error("the grant is being renewed by somebody else until {until}")]
    Busy {
        /// When their time is up.
        until: Timestamp,
    },
    /// Our own time was up, and somebody else has it.
    #[error("the grant was lent to somebody else meanwhile")]
    Lost,
    /// The store has trouble.
    #[error("the grant cannot be read or kept: {0}")]
    Store(String),
}

/// A proof key of one sign-in (RFC 7636).
#[derive(Debug, Clone)]
pub struct Pkce {
    verifier: Secret<String>,
}

impl Pkce {
    /// The proof key that 32 random bytes make.
    #[must_use]
    pub fn generate(random: [u8; 32]) -> Self {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
