//! Can this tenant's source be read? What an answer of Microsoft says about that, decided here and nowhere else.

use muster_http::TransportError;

use crate::Fault;
use crate::api::answers::{self, Case};
use crate::api::failure::FetchError;
use crate::entra::aadsts;
use crate::entra::credential::Access;
use crate::entra::error::TokenError;
use crate::entra::grant::GrantError;

/// What came of using the access to a tenant: asking for a token, or for a page of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantAccess {
    /// It works.
    Granted,
    /// Microsoft was not asked, or its answer not read, since our own budget or memory is used up: nothing is known of the
    /// access.
    NotAsked {
        /// That, in words.
        message: String,
    },
    /// It does not work, or not now.
    Failing {
        /// What kind of trouble it is.
        fault: Fault,
        /// The finding in words.
        message: String,
    },
}

impl TenantAccess {
    /// What an attempt to fetch a page says. `None` is success.
    #[must_use]
    pub fn by_page(error: Option<&FetchError>) -> Self {
        match error {
            None => Self::Granted,
            // A 429 that another request met holds back this one, too: that is known, and told.
            Some(error @ FetchError::OverBudget { throttled: true, .. }) => {
                Self::Failing { fault: Fault::Throttled, message: error.to_string() }
            }
            Some(error) if matches!(error.case(), Case::OverBudget | Case::MemoryFull) => {
                Self::NotAsked { message: error.to_string() }
            }
            Some(error) => Self::Failing { fault: error.fault(), message: error.to_string() },
        }
    }

    /// What an attempt to get a token says. `None` is success.
    #[must_use]
    pub fn by_token(error: Option<&TokenError>) -> Self {
        match error {
            None => Self::Granted,
            Some(error) => Self::Failing { fault: error.fault(), message: error.to_string() },
        }
    }
}

impl FetchError {
    /// What kind of trouble it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Token(error) => error.fault(),
            Self::MissingRole { granted, .. } if granted.is_empty() => Fault::LostConsent,
            // With its own JSON, the API says that a permission is missing.
            Self::Denied { status: 403, .. } => Fault::MissingRole,
            Self::Withheld { status: 403, access: Access::Delegated, .. } => Fault::PersonLacksRole,
            other => answers::rule(other.case()).fault.unwrap_or(Fault::Other),
        }
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
fn transport_fault(error: &TransportError) -> Fault {
    match error {
        TransportError::Redirect { .. } => Fault::Misconfigured,
        TransportError::TooLarge { .. } => Fault::Other,
        TransportError::Connect { .. }
        | TransportError::Timeout { .. }
        | TransportError::TooSlow { .. }
        | TransportError::MemoryFull { .. }
        | TransportError::Broken { .. } => Fault::Unreachable,
    }
}
