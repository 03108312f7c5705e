//! People's grants: each is renewed by one worker in one process at a time.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Secret, TenantId};
use serde::Serialize;

use crate::sealing::{Binding, DataKey, Sealed};
use crate::{InstanceId, StoreError};

/// What people let Muster do for them.
#[async_trait]
pub trait Grants: Send + Sync {
    /// Keeps a person's grant, in place of an earlier one for the tenant and app; whoever had leased that loses it.
    async fn put_grant(&self, new: NewGrant, now: Timestamp) -> Result<(), StoreError>;

    /// The grants, of one tenant or of all, by tenant and app.
    async fn grants(&self, tenant: Option<TenantId>) -> Result<Vec<Grant>, StoreError>;

    /// Forgets a grant; `false` when there is none.
    async fn remove_grant(&self, tenant: TenantId, app: &str) -> Result<bool, StoreError>;

    /// Leases a grant until `now + lease_for`, so that only one worker in one process renews it at a time. A lease that was set
    /// more than a minute after `now` is over: the clock has stepped back since.
    async fn lease_grant(
        &self,
        instance: InstanceId,
        tenant: TenantId,
        app: &str,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<GrantLease, StoreError>;

    /// Writes down that a leased grant was renewed, with its new refresh token where one was given, and ends the
    /// lease. Synced to disk before it returns. `expires_at` is when the grant dies unless it is renewed again.
    async fn renew_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        new_refresh_token: Option<&Secret<String>>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes down why a leased grant was not renewed, and ends the lease. A `dead` one is leased no more.
    async fn fail_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        reason: String,
        dead: bool,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

/// A person's grant that is to be kept.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// The tenant that the person acts in.
    pub tenant: TenantId,
    /// The app of the settings that they let act for them.
    pub app: String,
    /// Who they are, as their directory names them.
    pub account: String,
    /// The resource that was asked for.
    pub resource: String,
    /// What the grant is kept by.
    pub refresh_token: Secret<String>,
    /// When it dies unless it is renewed before, where that is known.
    pub expires_at: Option<Timestamp>,
}

/// A person's grant: what is known of it besides its refresh token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The tenant that the person acts in.
    pub tenant: TenantId,
    /// The app of the settings that they let act for them.
    pub app: String,
    /// Who they are, as their directory names them.
    pub account: String,
    /// The resource that was asked for.
    pub resource: String,
    /// When they signed in.
    pub granted_at: Timestamp,
    /// When it was last renewed.
    pub renewed_at: Timestamp,
    /// When it dies unless it is renewed before, where that is known.
    pub expires_at: Option<Timestamp>,
    /// What went wrong at the last attempt to renew it.
    pub last_error: Option<String>,
    /// When it was found to be dead. Only a new sign-in helps then.
    pub revoked_at: Option<Timestamp>,
}

/// What came of the wish to use a grant.
#[derive(Debug)]
pub enum GrantLease {
    /// Nobody else uses it until the lease ends.
    Leased {
        /// What it is renewed with.
        refresh_token: Secret<String>,
        /// The fencing token.
        fence: u64,
        /// The grant.
        grant: Grant,
    },
    /// Another worker renews it, until then at most.
    Busy {
        /// When the other's lease ends.
        until: Timestamp,
    },
    /// It is dead: somebody must sign in again. `last_error` says why.
    Dead {
        /// The grant.
        grant: Grant,
    },
    /// Nobody has signed in.
    None,
}

/// The column that a sealed refresh token is bound to.
const COLUMN: &str = "delegated_grant.refresh_token";

/// Seals a refresh token.
pub(crate) fn seal_refresh_token(
    key: &DataKey,
    tenant: TenantId,
    app: &str,
    refresh_token: &Secret<String>,
) -> Sealed {
    let binding = Binding { column: COLUMN, tenant, row: app.as_bytes() };
    key.seal(binding, refresh_token.expose().as_bytes())
}

/// Opens a refresh token.
pub(crate) fn open_refresh_token(
    key: &DataKey,
    tenant: TenantId,
    app: &str,
    sealed: Sealed,
) -> Result<Secret<String>, StoreError> {
    let binding = Binding { column: COLUMN, tenant, row: app.as_bytes() };
    key.open_text(binding, sealed).map_err(|source| {
        let what = format!("the refresh token of app {app} in tenant {tenant}");
        StoreError::Sealing { what, source }
    })
}
