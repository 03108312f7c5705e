//! Why a secret of a Key Vault cannot be had or set.

use std::time::Duration;

use muster_http::TransportError;

use crate::entra::error::TokenError;

/// Key Vault's own bound on a secret's value.
pub(super) const SECRET_BYTES_MAX: usize = 25_000;

/// Why a secret of a Key Vault cannot be had or set. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyVaultError {
    /// No token for Key Vault.
    #[error("Key Vault: {0}")]
    Token(#[from] TokenError),
    /// Not the address of a secret in a vault of this cloud.
    #[error("`{address}` cannot be used: {why}; write it as {form}")]
    Address {
        /// What was written.
        address: String,
        /// What is wrong.
        why: &'static str,
        /// What would be right.
        form: String,
    },
    /// The vault is not there, or the way to it is closed.
    #[error("Key Vault {secret}: {error}; the rest goes on, and it is asked again")]
    Transport {
        /// Which secret.
        secret: String,
        /// Why.
        error: TransportError,
    },
    /// The vault does not accept the token.
    #[error(
        "Key Vault {secret} does not accept the token ({message}); the vault trusts tenant {trusted}: the identity that asks must be of that tenant"
    )]
    Unauthorised {
        /// Which secret.
        secret: String,
        /// Key Vault's words.
        message: String,
        /// The tenant that the vault's challenge names, in words.
        trusted: String,
    },
    /// The identity may not.
    #[error(
        "Key Vault {secret} refuses to {action} ({message}); give the identity the role {role}, or an access policy with the permission {permission}, and look at the vault's firewall"
    )]
    Denied {
        /// Which secret.
        secret: String,
        /// `read it` or `set it`.
        action: &'static str,
        /// The role that allows it.
        role: &'static str,
        /// The permission of an access policy.
        permission: &'static str,
        /// Key Vault's words.
        message: String,
    },
    /// There is no such secret.
    #[error(
        "Key Vault {secret}: there is no secret of this name ({message}); is it deleted, or in another vault?"
    )]
    NotFound {
        /// Which secret.
        secret: String,
        /// Key Vault's words.
        message: String,
    },
    /// It is there, but switched off, out of its time, or deleted and not yet purged.
    #[error("Key Vault {secret} cannot be used now (status {status}, {code}): {message}")]
    Refused {
        /// Which secret.
        secret: String,
        /// HTTP status.
        status: u16,
        /// Key Vault's code.
        code: String,
        /// Key Vault's words.
        message: String,
    },
    /// Key Vault is down or throttles.
    #[error("Key Vault {secret} is in trouble or throttles (status {status}): {message}; it is asked again")]
    Unavailable {
        /// Which secret.
        secret: String,
        /// HTTP status.
        status: u16,
        /// Key Vault's words.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// An answer that is none.
    #[error("Key Vault {secret}: the answer cannot be read (it is not shown, since a secret may be in it)")]
    Unreadable {
        /// Which secret.
        secret: String,
    },
    /// Too long to be kept in a vault.
    #[error("Key Vault {secret}: a secret of {bytes} bytes is too long; Key Vault takes {SECRET_BYTES_MAX}")]
    TooLong {
        /// Which secret.
        secret: String,
        /// How long it is.
        bytes: usize,
    },
    /// A challenge that names somebody else's identity platform.
    #[error("Key Vault {secret}: its challenge cannot be followed: {why}; no token was sent")]
    Challenge {
        /// Which secret.
        secret: String,
        /// What is wrong with it.
        why: String,
    },
}

impl KeyVaultError {
    /// Whether it may pass without a person doing something, so that asking again later is worth it.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Unavailable { .. } => true,
            Self::Token(error) => !error.needs_a_person(),
            _ => false,
        }
    }
}
