//! What a token says, in words. Nothing is checked here: see [`super::verify`].

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// A token taken apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// What kind of token it is, in words.
    pub kind: String,
    /// The header's entries, in order.
    pub header: Vec<Entry>,
    /// The claims, in order.
    pub claims: Vec<Entry>,
    /// Its times: `issued`, `valid from`, `expires`, …
    pub times: Vec<TokenTime>,
    /// Permissions, each with what it allows.
    pub permissions: Vec<TokenPermission>,
    /// What is odd or dangerous about it.
    pub warnings: Vec<String>,
}

/// An entry of a header or of claims.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// What it means; empty where it is not known.
    pub meaning: String,
}

/// A time in a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenTime {
    /// Which.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// In words: `in 43 minutes`, `3 days ago`.
    pub relative: String,
}

/// A permission in a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenPermission {
    /// Microsoft's name of it.
    pub name: String,
    /// `role` (the app as itself) or `scope` (for a person).
    pub kind: &'static str,
    /// What it allows; empty where it is not known.
    pub allows: String,
}

/// Why a text is not a token that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Nothing there.
    #[error("there is no token: the text is empty")]
    Empty,
    /// More than any token is.
    #[error("this is no token: it has {bytes} bytes, and none is longer than {limit_bytes}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// The bound.
        limit_bytes: usize,
    },
    /// Opaque: it may be a refresh token, a code or a token for an API that keeps its form to itself.
    #[error("this is not a JWT: {0}")]
    Opaque(String),
    /// Encrypted for its API.
    #[error("this token is encrypted for its API (JWE, {0}): nobody else can read it")]
    Encrypted(String),
    /// Broken.
    #[error("this looks like a JWT, but its {part} cannot be read: {why}")]
    Broken {
        /// Which part.
        part: &'static str,
        /// Why.
        why: String,
    },
}

/// Takes a token apart and explains it.
///
/// # Errors
/// When it is no JWT, or a broken one.
#[expect(clippy::todo, reason = "signatures first")]
pub fn inspect(token: &str, now: Timestamp) -> Result<Inspection, InspectError> {
    let _ = (token, now);
    todo!()
}
