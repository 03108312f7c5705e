//! Why a call around an app registration failed.

use muster_http::TransportError;
use uuid::Uuid;

/// Why a call failed. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The caller may not.
    #[error("{action}: Microsoft Graph refuses it ({code}: {message}); it needs {needs}")]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The permission or role.
        needs: &'static str,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The token is not accepted.
    #[error("{action}: Microsoft Graph does not accept the token ({code}: {message}); sign in again")]
    Unauthorised {
        /// What was tried.
        action: &'static str,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// It is not there.
    #[error(
        "{action}: Microsoft Graph does not find it ({message}); was it removed in the portal, or is it in another tenant?"
    )]
    NotFound {
        /// What was tried.
        action: &'static str,
        /// Microsoft's message.
        message: String,
    },
    /// The request is not taken.
    #[error("{action}: Microsoft Graph does not take it (status {status}, {code}): {message}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// A policy of the tenant forbids it.
    #[error("{action}: an app-management policy of the tenant forbids it ({code}: {message}); {remedy}")]
    Policy {
        /// What was tried.
        action: &'static str,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A certificate that must stay is not in the list, which Graph replaces as a whole; nothing was changed.
    #[error(
        "{action}: Microsoft Graph does not list certificate {missing}, which is in use, and a change would remove it; nothing was changed. Try again in some minutes; if {missing} is really gone from the portal, remove in the portal what is to go"
    )]
    NotListed {
        /// What was tried.
        action: &'static str,
        /// The certificate's id.
        missing: Uuid,
    },
    /// A certificate that must stay is not listed after a change, though it was sent twice.
    #[error(
        "{action}: certificate {missing}, which is in use, is not listed after the change, though it was put back; does something else change the app registration just now? Look for it in the portal, and rotate the certificate if it is not there"
    )]
    Lost {
        /// What was tried.
        action: &'static str,
        /// The certificate's id.
        missing: Uuid,
    },
    /// Graph is in trouble, or asks to wait.
    #[error(
        "{action}: Microsoft Graph is in trouble or throttles (status {status}, {code}): {message}; try again later"
    )]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// An answer that is none.
    #[error("{action}: Microsoft Graph's answer cannot be read: {detail}")]
    Unreadable {
        /// What was tried.
        action: &'static str,
        /// How.
        detail: String,
    },
    /// No answer.
    #[error("{action}: {error}")]
    Transport {
        /// What was tried.
        action: &'static str,
        /// Why.
        error: TransportError,
    },
}

impl DirectoryError {
    /// Whether the call may have been carried out all the same: no answer came, or none that says.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Transport { error, .. } => !matches!(error, TransportError::Connect { .. }),
            Self::Unavailable { status, .. } => *status != 429,
            Self::Unreadable { .. } | Self::Lost { .. } => true,
            _ => false,
        }
    }
}
