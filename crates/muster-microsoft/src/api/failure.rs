//! Why a page could not be fetched, and what Graph's refusals mean.

use std::time::Duration;

use muster_http::{Response, TransportError};

use super::error;
use crate::entra::credential::Access;
use crate::entra::error::TokenError;

/// Why a page could not be fetched. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token lacks the permission.
    #[error("the app has no consent for {role} in this tenant; have its administrator open {consent_url}")]
    MissingRole {
        /// The least permission that would do.
        role: &'static str,
        /// Those that the token has. None at all means that the consent as a whole is gone.
        granted: Vec<String>,
        /// Where to consent.
        consent_url: String,
    },
    /// Microsoft asks to wait; other tenants are not affected.
    #[error("throttled by Microsoft for {} s", .wait.as_secs())]
    Throttled {
        /// For how long.
        wait: Duration,
        /// Whether it said so.
        told: bool,
    },
    /// Our own budget for this tenant is used up, or blocked by a 429 that another request met.
    #[error(
        "{} {} ms",
        if *.throttled { "throttled by Microsoft: all requests for this tenant wait for" }
        else { "the request budget of this tenant is used up for" },
        .wait.as_millis()
    )]
    OverBudget {
        /// For how long.
        wait: Duration,
        /// Whether a 429 blocks it.
        throttled: bool,
    },
    /// The API refuses the caller.
    #[error(
        "Microsoft refuses access (status {status}, {code}): {message}; check consent, roles and licences of this tenant"
    )]
    Denied {
        /// HTTP status: 401 or 403.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The retired SIEM feed refuses the caller.
    #[error(
        "the SIEM feed refuses access (status {status}, {code}): {message}; have the app allowed in the customer's portal (Settings > Endpoints > APIs > SIEM), and see that [siem_feed] names the region that the tenant is in"
    )]
    NotAllowed {
        /// HTTP status: 401 or 403.
        status: u16,
        /// Microsoft's code, if any.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The API refuses the caller, although the token has what the source needs: consent is not what is missing.
    #[error("Microsoft refuses access (status {status}, {code}): {message}; {}", withheld(*status, *access))]
    Withheld {
        /// HTTP status: 401 or 403.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
        /// Whether the app acts for itself or for a person.
        access: Access,
    },
    /// Somebody else refuses, or Microsoft's front does so in passing: nothing is known of the access.
    #[error(
        "a refusal (status {status}, {code}) that is not the API's: {message}; if it stays, look at what stands between here and Microsoft (a proxy or firewall)"
    )]
    Blocked {
        /// HTTP status: 401 or 403.
        status: u16,
        /// The code, if any.
        code: String,
        /// How it begins.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The tenant has not bought what is asked for.
    #[error(
        "the tenant has no licence for this API (status {status}, {code}): {message}; have the customer check its Defender licences, or leave this source out"
    )]
    NoLicence {
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The API refuses the request.
    #[error("Microsoft does not take the request (status {status}, {code}): {message}")]
    BadRequest {
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The API has trouble of its own.
    #[error("Microsoft's API is in trouble (status {status}, {code}): {message}; nothing to do but wait")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// A link to somewhere else.
    #[error("the page names a next page at {0}, which is not this API; a token is not sent there")]
    ForeignLink(String),
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl FetchError {
    /// How long Microsoft asks to wait, where it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { wait, .. } | Self::OverBudget { wait, .. } => Some(*wait),
            Self::Unavailable { retry_after, .. }
            | Self::Blocked { retry_after, .. }
            | Self::Token(TokenError::Busy { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::MissingRole { .. } => "missing_role",
            Self::Throttled { .. } => "throttled",
            Self::OverBudget { .. } => "budget",
            Self::Denied { .. } | Self::NotAllowed { .. } => "denied",
            Self::Withheld { .. } => "withheld",
            Self::Blocked { .. } => "blocked",
            Self::NoLicence { .. } => "no_licence",
            Self::BadRequest { .. } => "bad_request",
            Self::Unavailable { .. } => "unavailable",
            Self::ForeignLink(_) => "foreign_link",
            Self::Transport(TransportError::MemoryFull { .. }) => "memory",
            Self::Transport(_) => "transport",
        }
    }
}

/// What it means that access is refused although the token has the permission.
fn withheld(status: u16, access: Access) -> &'static str {
    match (status, access) {
        (401, _) => {
            "the token has the permission, so consent is not missing: the service does not know the app in this tenant yet; nothing to do but wait, at most some hours"
        }
        (_, Access::Application) => {
            "the token has the permission, so consent is not missing: the tenant is not set up for this product, or has no licence for it"
        }
        (_, Access::Delegated) => {
            "the token has the permission, so consent is not missing: the person who signed in has no role that lets them see this, or the tenant has no licence for it"
        }
    }
}

/// Whether a refusal is about a permission that the token does not have.
fn speaks_of_permission(code: &str, message: &str) -> bool {
    const WORDS: [&str; 6] = [
        "missing application roles",
        "missing scopes",
        "required roles",
        "required scopes",
        "required permissions",
        "insufficient privileges",
    ];
    let message = message.to_ascii_lowercase();
    code.eq_ignore_ascii_case("InsufficientGraphPermissions")
        || WORDS.iter().any(|word| message.contains(word))
}

impl FetchError {
    /// The same where the token that was refused is known to have what the source needs.
    pub(crate) fn for_permitted(self, access: Access) -> Self {
        match self {
            Self::Denied { status, code, message } if !speaks_of_permission(&code, &message) => {
                Self::Withheld { status, code, message, access }
            }
            other => other,
        }
    }
}

/// Whether a refusal is about a licence that the tenant lacks. Microsoft has no code for it that all its APIs share.
fn speaks_of_licence(code: &str, message: &str) -> bool {
    const CODES: [&str; 5] = [
        "servicenotenabled",
        "tenantnotlicensed",
        "licenserequired",
        // Seen where the service is not set up for the tenant: the first with 404, the second with 500.
        "tenantdeploymentnotfound",
        "hostnotfound",
    ];
    const WORDS: [&str; 7] = [
        "not licensed",
        "license",
        "licence",
        "no subscription",
        "valid subscription",
        "subscription is required",
        "service is not enabled",
    ];
    let (code, message) = (code.to_ascii_lowercase(), message.to_ascii_lowercase());
    CODES.contains(&code.as_str()) || WORDS.iter().any(|word| message.contains(word))
}

/// Whether a refusal is not the API's own: a web page, as a proxy's or a firewall's, or one that Microsoft's front has
/// wrapped.
fn is_of_somebody_else(answer: &Response, code: &str) -> bool {
    error::read(&answer.body).is_none() || code.eq_ignore_ascii_case("UnknownError")
}

/// Whether it is Microsoft that refuses access: a new token may have what the old one had not.
pub(crate) fn is_denied(answer: &Response) -> bool {
    answer.status == 403 && matches!(of(answer), FetchError::Denied { .. })
}

/// What a refusal of Graph means.
pub(crate) fn of(answer: &Response) -> FetchError {
    let status = answer.status;
    let (code, message) = error::of_graph(answer);
    match status {
        401 | 403 if is_of_somebody_else(answer, &code) => {
            FetchError::Blocked { status, code, message, retry_after: answer.retry_after() }
        }
        400..=599 if speaks_of_licence(&code, &message) => FetchError::NoLicence { status, code, message },
        401 | 403 => FetchError::Denied { status, code, message },
        400..=499 if status != 408 => FetchError::BadRequest { status, code, message },
        _ => FetchError::Unavailable { status, code, message, retry_after: answer.retry_after() },
    }
}

/// What a refusal of the retired SIEM feed means. The shape of its errors is not documented: what is no web page is its own.
pub(crate) fn of_feed(answer: &Response) -> FetchError {
    let status = answer.status;
    let is_web_page = answer.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    match of(answer) {
        FetchError::Denied { code, message, .. } => FetchError::NotAllowed { status, code, message },
        FetchError::Blocked { code, message, .. } if !is_web_page => {
            FetchError::NotAllowed { status, code, message }
        }
        other => other,
    }
}

/// What the service says is left out of its answer: status 206, or a `Warning` of code 199 that names a provider, as
/// `199 - "Microsoft/PROVIDER/STATUS/MILLISECONDS"`. Other warnings, such as a proxy's 110, say nothing of it.
///
/// Source: Microsoft Graph security "error codes" (partial success).
pub(crate) fn left_out(answer: &Response) -> Option<String> {
    let warnings = answer.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok());
    let mut providers: Vec<String> = warnings
        .flat_map(|value| value.split("199 ").skip(1))
        .filter_map(|warning| {
            let text = warning.split('"').nth(1)?;
            let mut parts = text.split('/');
            let (vendor, provider) = (parts.next()?, parts.next()?);
            (vendor.contains("Microsoft") || warning.starts_with('-')).then(|| muster_http::shown(provider))
        })
        .collect();
    providers.sort_unstable();
    providers.dedup();
    match (providers.is_empty(), answer.status) {
        (false, _) => Some(providers.join(", ")),
        (true, 206) => Some("a provider that it does not name (status 206)".to_owned()),
        (true, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_siem_feed_refuses_in_whatever_shape() {
        let kind = |status: u16, body: &str| {
            of_feed(&Response { status, body: body.as_bytes().to_vec(), ..Response::default() }).kind()
        };
        let json = r#"{"error":{"code":"Forbidden","message":"no"}}"#;
        assert_eq!((kind(403, json), kind(403, ""), kind(401, "no")), ("denied", "denied", "denied"));
        assert_eq!(kind(403, " <html>"), "blocked", "a proxy's page is none of it");
        assert_eq!((kind(400, json), kind(503, "")), ("bad_request", "unavailable"));
        let said = of_feed(&Response { status: 403, ..Response::default() }).to_string();
        assert!(said.contains("allowed in the customer's portal") && said.contains("[siem_feed]"), "{said}");
    }
}
