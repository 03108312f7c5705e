//! Making an invitation, and ending the work for a customer.

use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_model::{Tenant, TenantId};
use muster_store::{Invitation, NewAuditEvent, NewInvitation, Store, StoreError};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::link;
use super::progress::CONSENT;
use crate::config::OnboardingSettings;
use crate::web::language::Language;

/// An invitation that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Invited {
    pub tenant: Tenant,
    pub link: String,
    /// Until when it works.
    pub expires_at: Timestamp,
    /// The language of the page; `None` for that of the browser.
    pub language: Option<Language>,
}

/// Makes the link on which `tenant`'s administrator consents. Earlier links of the tenant work no more.
///
/// # Errors
/// When the store fails.
pub async fn invite(
    store: &dyn Store,
    settings: &OnboardingSettings,
    tenant: Tenant,
    language: Option<Language>,
    actor: &str,
    now: Timestamp,
) -> Result<Invited, StoreError> {
    let until = now.checked_add(settings.link_lifetime.0).unwrap_or(Timestamp::MAX);
    // The link holds whole seconds.
    let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
    let new = NewInvitation {
        id: Uuid::new_v4(),
        tenant: tenant.id,
        language: language.map(|language| language.tag().to_owned()).unwrap_or_default(),
        expires_at: until,
    };
    let invitation = store.add_invitation(new, now).await?;
    store.remove_checks(tenant.id, &[CONSENT.to_owned()]).await?;
    let event = NewAuditEvent {
        actor: actor.to_owned(),
        action: "tenant.invited".to_owned(),
        subject: tenant.id.to_string(),
        details: json!({
            "invitation": invitation.id, "expires_at": until, "language": language.map(Language::tag), "app": tenant.app,
        }),
    };
    store.append_audit(event, now).await?;
    let link = link_of(store, settings, &invitation);
    Ok(Invited { tenant, link, expires_at: until, language })
}

/// The link of an invitation: the same each time.
#[must_use]
pub fn link_of(store: &dyn Store, settings: &OnboardingSettings, invitation: &Invitation) -> String {
    let sealed = link::seal(store.signing_key(), invitation.id, invitation.expires_at);
    settings.address(&format!("/onboard/{sealed}"))
}

/// Ends the work for a customer: everything kept of it goes, but its name.
///
/// # Errors
/// When the store fails.
pub async fn offboard(
    store: &dyn Store,
    microsoft: &Microsoft,
    tenant: TenantId,
    actor: &str,
    now: Timestamp,
) -> Result<Tenant, StoreError> {
    let left = store.offboard_tenant(tenant, actor, now).await?;
    microsoft.forget(tenant);
    Ok(left)
}
