//! A person's grant: a refresh token that is lent to one borrower at a time.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Secret, TenantId};

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
