//! Asking Microsoft whether a tenant's access works, and turning the answer into checks.

use jiff::Timestamp;
use muster_microsoft::entra::credential::{Access, App};
use muster_microsoft::{Microsoft, TenantAccess};
use muster_model::{Clock, Tenant};
use muster_store::{Check, Grant};

use crate::access::checks;
use crate::access::sign_in::GRANT_IDLE_MAX;

/// Everything that can be found out about a tenant's access: a token, each source, and the person's grant.
pub async fn tenant(
    microsoft: &Microsoft,
    app: &App,
    tenant: &Tenant,
    grants: &[Grant],
    clock: &dyn Clock,
) -> Vec<Check> {
    let mut all = Vec::new();
    let resource = microsoft.first_resource(tenant.asked());
    let found = microsoft.probe_token(app, tenant.id, resource).await;
    let now = clock.now();
    let token_came = found == TenantAccess::Granted;
    all.push(checks::token(&found, now));
    all.extend(grant(app, tenant, grants, token_came, now));
    if token_came {
        for source in tenant.asked() {
            let found = microsoft.probe_source(app, tenant.id, source).await;
            all.push(checks::source(source, &found, clock.now()));
        }
    }
    all
}

/// What is to be said of the grant of an app that reads in a person's name; nothing of another app. `token_came`: whether one
/// was had just now.
pub(super) fn grant(
    app: &App,
    tenant: &Tenant,
    grants: &[Grant],
    token_came: bool,
    now: Timestamp,
) -> Option<Check> {
    if app.access != Access::Delegated {
        return None;
    }
    let mut grant = grants.iter().find(|grant| grant.app == app.name).cloned();
    // A token that came, came from the grant, which lives anew from now on.
    if let Some(grant) = grant.as_mut().filter(|_| token_came) {
        grant.renewed_at = now;
        grant.expires_at = now.checked_add(GRANT_IDLE_MAX).ok();
    }
    Some(checks::grant(grant.as_ref(), tenant.slug.as_str(), &app.name, now))
}
