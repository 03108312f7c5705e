//! A person's delegated grant, kept in the store: what the way to Microsoft needs of it.
//!
//! The order is what makes a crash harmless: the refresh token that Microsoft hands out with each use is stored, synced,
//! before the access token that came with it is used. A process killed between the two has the earlier refresh token
//! still in the store, and Microsoft does not revoke that by use (reference: "Refresh tokens in the Microsoft identity
//! platform"), so the next one simply refreshes again. Two processes never refresh the same grant at a time: it is leased.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_microsoft::entra::grant::{GrantError, GrantKeeper, Leased};
use muster_model::{Clock, Secret, TenantId};
use muster_store::{GrantLease, InstanceId, Store, StoreError};

use crate::access::sign_in::GRANT_IDLE_MAX;

/// How long a refresh may take before another process may try. Short, since a process that dies in the middle holds the
/// others up for this long; should two refresh at once all the same, both refresh tokens are good, and the one kept is the
/// later lease's.
const LEASE: Duration = Duration::from_secs(30);

pub struct StoreGrants {
    store: Arc<dyn Store>,
    instance: InstanceId,
    clock: Arc<dyn Clock>,
}

impl StoreGrants {
    /// The grants of `store`, leased for `instance`.
    pub fn new(store: Arc<dyn Store>, instance: InstanceId, clock: Arc<dyn Clock>) -> Self {
        Self { store, instance, clock }
    }
}

#[async_trait]
impl GrantKeeper for StoreGrants {
    async fn lease(&self, tenant: TenantId, app: &str) -> Result<Leased, GrantError> {
        let now = self.clock.now();
        let lease = self.store.lease_grant(self.instance, tenant, app, LEASE, now).await;
        match lease.map_err(|error| GrantError::Store(error.to_string()))? {
            GrantLease::Leased { refresh_token, fence, .. } => {
                Ok(Leased { tenant, app: app.to_owned(), refresh_token, fence })
            }
            GrantLease::Busy { until } => Err(GrantError::Busy { until }),
            GrantLease::Dead { .. } | GrantLease::None => Err(GrantError::None),
        }
    }

    async fn renewed(&self, lease: &Leased, new: Option<&Secret<String>>) -> Result<(), GrantError> {
        let now = self.clock.now();
        // A refresh token that came anew lives anew; the old one lives on where none came.
        let until = now.checked_add(GRANT_IDLE_MAX).ok();
        let kept = self.store.renew_grant(lease.tenant, &lease.app, lease.fence, new, until, now).await;
        kept.map_err(|error| match error {
            StoreError::LeaseLost { .. } => GrantError::Lost,
            other => GrantError::Store(other.to_string()),
        })
    }

    async fn failed(&self, lease: &Leased, reason: &str, dead: bool) {
        let (now, reason) = (self.clock.now(), reason.to_owned());
        let written = self.store.fail_grant(lease.tenant, &lease.app, lease.fence, reason, dead, now).await;
        if let Err(error) = written {
            // The lease runs out by itself.
            tracing::warn!(tenant.id = %lease.tenant, app = lease.app, error = %error, "cannot write down that a grant could not be renewed");
        }
    }
}
