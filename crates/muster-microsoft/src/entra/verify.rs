//! Is this token genuine, and does it do what we need?
//!
//! Each question is answered on its own, so that all that is wrong is seen at once.

use jiff::Timestamp;
use muster_model::{Source, TenantId};

use super::credential::{Access, Endpoint};

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
    /// What it should be able to read.
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
