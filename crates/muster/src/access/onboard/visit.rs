//! The page of an invitation: what its link leads to, and the way on to Microsoft.

use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::delegated::{AuthorizeRequest, Pkce, Prompt, ResponseMode};
use muster_model::TenantState;
use muster_store::{InvitationChange, SignInKind, StoreError};
use serde_json::json;
use uuid::Uuid;

use super::link;
use super::onboarding::{Begun, Guest, Onboarding};
use super::progress::Progress;
use crate::access::sign_in::{self, SignInRequest};
use crate::web::language::Language;

/// Visits to Microsoft that one link may start within [`STARTS_WITHIN`].
const STARTS_MAX: usize = 20;
const STARTS_WITHIN: Duration = Duration::from_secs(3_600);
/// Sign-ins whose picked language is remembered.
const BEGUN_MAX: usize = 2_000;

#[derive(Debug, Clone)]
pub enum Visit {
    /// Not a link that was made here.
    Unknown,
    Expired,
    /// Called back, replaced by a newer one, or of a tenant that is no longer looked after.
    Revoked,
    /// The administrator is asked.
    Asked(Guest),
    /// Consent was given, as the browser says; this is how far its proof and the checks are.
    Answered(Guest, Progress),
}

/// What came of the wish to go on to Microsoft.
#[derive(Debug)]
pub enum Start {
    Go(String),
    /// The link does not lead there; show what it leads to.
    Show(Box<Visit>),
    /// The link was used too often.
    TooOften,
    /// Something is missing on our side; the log says what.
    Unready,
}

impl Onboarding {
    /// What a link leads to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn visit(&self, link: &str) -> Result<Visit, StoreError> {
        let now = self.clock.now();
        let Some((id, until)) = link::open(self.store.signing_key(), link) else { return Ok(Visit::Unknown) };
        if until <= now {
            return Ok(Visit::Expired);
        }
        let Some(guest) = self.guest(id).await? else { return Ok(Visit::Revoked) };
        if guest.invitation.revoked_at.is_some() || guest.invitation.expires_at != until {
            return Ok(Visit::Revoked);
        }
        match self.progress(&guest).await? {
            Some(progress) => {
                // After a restart, or after days: whoever looks wants to know how it is now.
                if !progress.is_good() && guest.tenant.state != TenantState::Active {
                    self.queue.keep_looking_after(guest.tenant.id, now);
                }
                Ok(Visit::Answered(guest, progress))
            }
            None => Ok(Visit::Asked(guest)),
        }
    }

    /// Writes down that the page was opened, the first time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn opened(&self, guest: &Guest) -> Result<(), StoreError> {
        if guest.invitation.opened_at.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        if self.store.change_invitation(guest.invitation.id, InvitationChange::Opened, now).await? {
            self.write_down(&guest.invitation, "invitation.opened", json!({})).await?;
        }
        Ok(())
    }

    /// Goes on to Microsoft's consent page: begins a sign-in and tells its address.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start(&self, link: &str, language: Option<Language>) -> Result<Start, StoreError> {
        let guest = match self.visit(link).await? {
            Visit::Asked(guest) => guest,
            // Somebody may want to consent again; not when there is nothing to win.
            Visit::Answered(guest, progress) if !progress.is_good() => guest,
            other => return Ok(Start::Show(Box::new(other))),
        };
        let now = self.clock.now();
        if !self.may_start(guest.invitation.id, now) {
            tracing::warn!(tenant.id = %guest.tenant.id, "an invitation's link is used too often; it has to wait");
            return Ok(Start::TooOften);
        }
        let Some(app) = self.apps.get(&guest.tenant.app) else {
            tracing::error!(
                tenant.id = %guest.tenant.id, app = guest.tenant.app,
                "a customer wants to consent, but the tenant's app is not in the settings"
            );
            return Ok(Start::Unready);
        };
        // An app can be asked about none but the APIs that its registration names (AADSTS650057).
        let resource = self.microsoft.first_resource(guest.tenant.sources.iter().copied()).to_owned();
        let wanted = SignInRequest {
            tenant: guest.tenant.id,
            app: app.name.clone(),
            kind: SignInKind::Consent,
            invitation: Some(guest.invitation.id),
            redirect_uri: self.settings.consent_redirect_uri(),
            resource: resource.clone(),
        };
        let (begun, state) = sign_in::begin(self.store.as_ref(), wanted, now).await?;
        let url = self.microsoft.consent_url(
            self.settings.consent,
            &app,
            guest.tenant.id,
            &begun.redirect_uri,
            &state,
            &resource,
        );
        self.write_down(
            &guest.invitation,
            "consent.asked",
            json!({ "form": self.settings.consent.as_str() }),
        )
        .await?;
        self.remember(begun.id, language);
        Ok(Start::Go(url.into()))
    }

    /// Goes on to Microsoft's page on which a person signs in, in whose name the tenant is read from then on: begins a
    /// sign-in and tells its address.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start_sign_in(&self, link: &str, language: Option<Language>) -> Result<Start, StoreError> {
        let guest = match self.visit(link).await? {
            Visit::Answered(guest, progress) if guest.delegated && progress.wants_sign_in() => guest,
            other => return Ok(Start::Show(Box::new(other))),
        };
        let now = self.clock.now();
        if !self.may_start(guest.invitation.id, now) {
            tracing::warn!(tenant.id = %guest.tenant.id, "an invitation's link is used too often; it has to wait");
            return Ok(Start::TooOften);
        }
        let Some(app) = self.apps.get(&guest.tenant.app) else { return Ok(Start::Unready) };
        let resource = self.microsoft.first_resource(guest.tenant.sources.iter().copied()).to_owned();
        let wanted = SignInRequest {
            tenant: guest.tenant.id,
            app: app.name.clone(),
            kind: SignInKind::Delegated,
            invitation: Some(guest.invitation.id),
            redirect_uri: self.settings.connector_redirect_uri(),
            resource: resource.clone(),
        };
        let (begun, state) = sign_in::begin(self.store.as_ref(), wanted, now).await?;
        let request = AuthorizeRequest {
            app: &app,
            tenant: Some(guest.tenant.id),
            resource: &resource,
            redirect_uri: &begun.redirect_uri,
            state: &state,
            nonce: &begun.nonce,
            challenge: &Pkce::from_verifier(begun.verifier.clone()).challenge(),
            login_hint: None,
            prompt: Some(Prompt::SelectAccount),
            response_mode: ResponseMode::Query,
        };
        let url = match self.microsoft.authorize_url(&request).await {
            Ok(url) => url,
            Err(error) => {
                tracing::error!(tenant.id = %guest.tenant.id, app = app.name, error = %error, "nobody can be sent to the sign-in");
                return Ok(Start::Unready);
            }
        };
        self.write_down(&guest.invitation, "sign_in.asked", json!({})).await?;
        self.remember(begun.id, language);
        Ok(Start::Go(url.into()))
    }

    fn remember(&self, sign_in: Uuid, language: Option<Language>) {
        let mut remembered = self.begun.lock().expect("no panic while the lock is held");
        remembered.push_back(Begun { sign_in, language });
        if remembered.len() > BEGUN_MAX {
            remembered.pop_front();
        }
    }

    fn may_start(&self, invitation: Uuid, now: Timestamp) -> bool {
        let since = now.checked_sub(STARTS_WITHIN).unwrap_or(Timestamp::MIN);
        let mut starts = self.starts.lock().expect("no panic while the lock is held");
        starts.retain(|_, times| times.back().is_some_and(|last| *last > since));
        let times = starts.entry(invitation).or_default();
        while times.front().is_some_and(|first| *first <= since) {
            times.pop_front();
        }
        if times.len() >= STARTS_MAX {
            return false;
        }
        times.push_back(now);
        true
    }
}
