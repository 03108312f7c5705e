//! What all of onboarding works with.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::credential::Access;
use muster_microsoft::entra::permissions::Permission;
use muster_model::{Clock, Tenant, TenantState};
use muster_store::{Check, Invitation, NewAuditEvent, Store, StoreError, TenantKey};
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::link;
use super::progress::{self, CONSENT, Progress};
use super::queue::Queue;
use crate::access::apps::Apps;
use crate::config::OnboardingSettings;
use crate::web::language::Language;

/// Leads customers from an invitation to a tenant that is read.
pub struct Onboarding {
    pub(super) store: Arc<dyn Store>,
    pub(super) microsoft: Arc<Microsoft>,
    pub(super) apps: Apps,
    pub(super) settings: OnboardingSettings,
    pub(super) clock: Arc<dyn Clock>,
    /// Sign-ins that were begun here, newest last.
    pub(super) begun: Mutex<VecDeque<Begun>>,
    /// When each link was last used to go to Microsoft.
    pub(super) starts: Mutex<HashMap<Uuid, VecDeque<Timestamp>>>,
    pub(super) queue: Queue,
    /// Answers that are being taken, each to its end whether or not the browser waits for it; closed at the end.
    pub(super) answers: TaskTracker,
    /// Where they are taken: not on the thread of the pages.
    pub(super) runtime: Handle,
}

/// A sign-in that was begun here.
pub(super) struct Begun {
    pub(super) sign_in: Uuid,
    pub(super) language: Option<Language>,
}

#[derive(Debug, Clone)]
pub struct Guest {
    pub invitation: Invitation,
    pub tenant: Tenant,
    /// The app's client id; `None` when the app is no longer in the settings.
    pub client_id: Option<String>,
    /// Whether the app reads in the name of a person, with that person's permissions.
    pub delegated: bool,
    /// What the app asks for besides what the sources need.
    pub further: Vec<&'static Permission>,
}

impl Guest {
    /// The language that the invitation was made in, where one was said.
    pub fn language(&self) -> Option<Language> {
        self.invitation.language.parse().ok()
    }
}

impl Onboarding {
    /// Onboarding for these settings. Answers are taken on the runtime that this is called on.
    pub fn new(
        store: Arc<dyn Store>,
        microsoft: Arc<Microsoft>,
        apps: Apps,
        settings: OnboardingSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            microsoft,
            apps,
            settings,
            clock,
            begun: Mutex::default(),
            starts: Mutex::default(),
            queue: Queue::default(),
            answers: TaskTracker::new(),
            runtime: Handle::current(),
        }
    }

    pub fn settings(&self) -> &OnboardingSettings {
        &self.settings
    }

    pub fn microsoft(&self) -> &Microsoft {
        &self.microsoft
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The path of an invitation's page.
    pub(super) fn path(&self, invitation: &Invitation) -> String {
        format!("/onboard/{}", link::seal(self.store.signing_key(), invitation.id, invitation.expires_at))
    }

    pub(super) async fn guest(&self, invitation: Uuid) -> Result<Option<Guest>, StoreError> {
        let Some(invitation) = self.store.invitation(invitation).await? else { return Ok(None) };
        let tenant = match self.store.tenant(TenantKey::Id(invitation.tenant)).await {
            Ok(tenant) if tenant.state != TenantState::Offboarded => tenant,
            Ok(_) | Err(StoreError::NoTenant(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let app = self.apps.get(&tenant.app);
        let delegated = app.as_ref().is_some_and(|app| app.access == Access::Delegated);
        let settings = self.apps.settings(&tenant.app);
        let further = settings.map_or_else(Vec::new, |settings| settings.permissions.clone());
        Ok(Some(Guest { invitation, tenant, client_id: app.map(|app| app.client_id), delegated, further }))
    }

    /// How far it is since this invitation; `None` when nobody has answered it.
    pub(super) async fn progress(&self, guest: &Guest) -> Result<Option<Progress>, StoreError> {
        let checks: BTreeMap<String, Check> = self
            .store
            .checks(Some(guest.tenant.id))
            .await?
            .into_iter()
            .map(|(_, check)| check)
            .filter(|check| check.checked_at >= guest.invitation.created_at)
            .map(|check| (check.name.clone(), check))
            .collect();
        let Some(consent) = checks.get(CONSENT) else { return Ok(None) };
        let signed_in = match guest.delegated {
            true => Some(self.has_grant(&guest.tenant).await?),
            false => None,
        };
        Ok(Some(progress::progress(&guest.tenant, consent, &checks, signed_in)))
    }

    /// Whether a person has signed in for the tenant's app, and their grant lives.
    pub(super) async fn has_grant(&self, tenant: &Tenant) -> Result<bool, StoreError> {
        let grants = self.store.grants(Some(tenant.id)).await?;
        Ok(grants.iter().any(|grant| grant.app == tenant.app && grant.revoked_at.is_none()))
    }

    pub(super) async fn write_down(
        &self,
        invitation: &Invitation,
        action: &str,
        mut details: serde_json::Value,
    ) -> Result<(), StoreError> {
        details["invitation"] = json!(invitation.id);
        let event = NewAuditEvent {
            actor: format!("invitation {}", invitation.id),
            action: action.to_owned(),
            subject: invitation.tenant.to_string(),
            details,
        };
        self.store.append_audit(event, self.clock.now()).await.map(drop)
    }
}
