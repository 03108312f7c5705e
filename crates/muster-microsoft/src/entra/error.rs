//! Why there is no token.

use std::time::Duration;

use muster_http::TransportError;

use super::aadsts;
use super::grant::GrantError;
use crate::Fault;

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
