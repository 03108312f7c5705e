//! What Microsoft sends browsers back with.

use std::sync::Arc;

use muster_microsoft::entra::error::TokenError;
use muster_model::{Tenant, TenantId};
use muster_store::{SignInKind, StoreError, TenantKey};
use serde_json::json;
use uuid::Uuid;

use super::notice::Notice;
use super::onboarding::{Guest, Onboarding};
use super::progress::spreading;
use crate::access::checks;
use crate::access::sign_in::{self, Returned, SignInError};
use crate::web::language::Language;

/// Where the browser goes after an answer.
#[derive(Debug)]
pub enum Answered {
    /// Back to the page of its invitation.
    Page {
        /// The path of the page, `/onboard/…`.
        path: String,
        /// What is said there first.
        notice: Option<Notice>,
        /// The language that was picked before.
        language: Option<Language>,
    },
    /// The consent came from somebody else's tenant.
    OtherTenant {
        /// Who was invited.
        guest: Box<Guest>,
        /// Who answered.
        found: TenantId,
        /// The path of the invitation's page.
        path: String,
        /// The language that was picked before.
        language: Option<Language>,
    },
    /// Nothing is known of it: forged, used, or too late. Where it came from is not told: whoever found a used `state` in
    /// a log or a history would have the link of the invitation otherwise.
    Unknown,
    /// The program is stopping. Nothing was taken: the same address works after the restart.
    Stopping,
}

/// What came of a person's sign-in for the connector.
#[derive(Debug)]
pub enum Connected {
    /// It was begun at the command line, and its grant is kept.
    Done {
        /// Who signed in.
        account: String,
        /// For which tenant.
        tenant: Box<Tenant>,
    },
    /// It was begun on the page of an invitation, and goes on there.
    Page {
        /// The path of the page, `/onboard/…`.
        path: String,
        /// What is said there first: why it did not work.
        notice: Option<Notice>,
        /// The language that was picked before.
        language: Option<Language>,
    },
}

impl Onboarding {
    /// Takes what Microsoft sent the browser back with. Nothing in it is believed: an error is looked at first, then
    /// whether the tenant it names is another one, and what speaks of success only starts the proof.
    ///
    /// It is done to its end even when nobody waits for this any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn answer(self: &Arc<Self>, returned: Returned) -> Result<Answered, StoreError> {
        let this = Arc::clone(self);
        let taken = self.to_the_end(async move { this.take_answer(&returned).await });
        taken.await.unwrap_or(Ok(Answered::Stopping))
    }

    async fn take_answer(&self, returned: &Returned) -> Result<Answered, StoreError> {
        let now = self.clock.now();
        let sign_in = match sign_in::take(self.store.as_ref(), returned.state.as_deref(), now).await {
            Ok(sign_in) if sign_in.kind == SignInKind::Consent => sign_in,
            Err(SignInError::Store(error)) => return Err(error),
            Ok(_) | Err(_) => return Ok(Answered::Unknown),
        };
        let Some(guest) = self.guest(sign_in.invitation.unwrap_or_default()).await? else {
            return Ok(Answered::Unknown);
        };
        let (path, language) = (self.path(&guest.invitation), self.language_of(sign_in.id));
        let page = |notice: Option<Notice>| Answered::Page { path: path.clone(), notice, language };
        if guest.invitation.revoked_at.is_some() {
            return Ok(page(None));
        }
        if let Err(refused) = returned.refused() {
            let notice = Notice::of(
                returned.error.as_deref().unwrap_or_default(),
                returned.error_description.as_deref().unwrap_or_default(),
            );
            tracing::info!(tenant.id = %guest.tenant.id, tenant.slug = %guest.tenant.slug, reason = %refused, "a customer's administrator did not consent");
            self.write_down(
                &guest.invitation,
                "consent.refused",
                json!({ "outcome": notice.word(), "detail": refused.to_string() }),
            )
            .await?;
            return Ok(page(Some(notice)));
        }
        if !returned.admin_consent && returned.code.is_none() {
            return Ok(page(Some(Notice::Failed("incomplete".to_owned()))));
        }
        match returned.tenant.as_deref().map(str::parse::<TenantId>) {
            // What is no tenant id did not come from Microsoft.
            Some(Err(_)) => return Ok(page(Some(Notice::Failed("incomplete".to_owned())))),
            Some(Ok(found)) if found != guest.tenant.id => {
                tracing::warn!(
                    tenant.id = %guest.tenant.id, tenant.slug = %guest.tenant.slug, found = %found,
                    "the consent came from another tenant than the one invited; it is not used"
                );
                self.write_down(&guest.invitation, "consent.other_tenant", json!({ "found": found })).await?;
                return Ok(Answered::OtherTenant { guest: Box::new(guest), found, path, language });
            }
            // The v1 forms with `code` name no tenant. The code is not redeemed: it would bring a person's token, which
            // nobody needs, and it runs out by itself. The proof is the same for all forms.
            Some(Ok(_)) | None => {}
        }
        self.store.put_checks(guest.tenant.id, vec![spreading(now)]).await?;
        self.write_down(&guest.invitation, "consent.told", json!({ "form": self.settings.consent.as_str() }))
            .await?;
        self.queue.look_after(guest.tenant.id, now);
        Ok(page(None))
    }

    /// Takes the answer to a sign-in for the connector and keeps its grant. `None` when the program is stopping: nothing was
    /// taken then, and the same address works after the restart.
    ///
    /// It is done to its end even when nobody waits for this any more: a code works once.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub async fn connect(self: &Arc<Self>, returned: Returned) -> Option<Result<Connected, SignInError>> {
        let this = Arc::clone(self);
        self.to_the_end(async move { this.take_connection(&returned).await }).await
    }

    /// Does `work` to its end, whether or not somebody waits for it; `None`, and nothing of it, when the program is stopping.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        // Held before looking: who closes waits for it, so that nothing begins after the wait.
        let place = self.answers.token();
        if self.answers.is_closed() {
            return None;
        }
        let task = self.answers.spawn_on(work, &self.runtime);
        drop(place);
        match task.await {
            Ok(done) => Some(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is ending.
            Err(_) => None,
        }
    }

    async fn take_connection(&self, returned: &Returned) -> Result<Connected, SignInError> {
        let now = self.clock.now();
        let sign_in = sign_in::take(self.store.as_ref(), returned.state.as_deref(), now).await?;
        let tenant = self.store.tenant(TenantKey::Id(sign_in.tenant)).await?;
        // Begun on the page of an invitation, it ends there.
        let guest = match sign_in.invitation {
            Some(invitation) => self.guest(invitation).await?,
            None => None,
        };
        let language = self.language_of(sign_in.id);
        let app = self.apps.get(&sign_in.app);
        let kept = sign_in::keep_grant(&self.store, &self.microsoft, app, &sign_in, returned, now).await;
        match kept {
            Ok(granted) => {
                tracing::info!(tenant.id = %tenant.id, tenant.slug = %tenant.slug, app = sign_in.app, "a person has signed in for the connector");
                // What was found of a sign-in before is over.
                let grants = self.store.grants(Some(tenant.id)).await?;
                let grant = grants.iter().find(|grant| grant.app == sign_in.app);
                let check = checks::grant(grant, tenant.slug.as_str(), &sign_in.app, now);
                self.store.put_checks(tenant.id, vec![check]).await?;
                self.queue.look_after(tenant.id, now);
                let Some(guest) = guest else {
                    return Ok(Connected::Done { account: granted.account, tenant: Box::new(tenant) });
                };
                self.write_down(&guest.invitation, "sign_in.done", json!({ "account": granted.account }))
                    .await?;
                self.store.put_checks(tenant.id, vec![spreading(now)]).await?;
                Ok(Connected::Page { path: self.path(&guest.invitation), notice: None, language })
            }
            Err(error) => {
                tracing::warn!(tenant.id = %tenant.id, tenant.slug = %tenant.slug, app = sign_in.app, error = %error, "a person's sign-in for the connector did not work");
                // Whoever waits for it at the command line is told why it is in vain.
                let check = checks::sign_in_refused(&error.to_string(), now);
                self.store.put_checks(tenant.id, vec![check]).await?;
                let (Some(guest), false) = (guest, matches!(error, SignInError::Store(_))) else {
                    return Err(error);
                };
                let notice = match (&returned.error, &error) {
                    (Some(error), _) => {
                        Notice::of(error, returned.error_description.as_deref().unwrap_or_default())
                    }
                    (None, SignInError::Token(TokenError::Refused { code: Some(code), .. })) => {
                        Notice::Failed(format!("AADSTS{code}"))
                    }
                    (None, _) => Notice::Failed("unknown".to_owned()),
                };
                self.write_down(
                    &guest.invitation,
                    "sign_in.refused",
                    json!({ "outcome": notice.word(), "detail": error.to_string() }),
                )
                .await?;
                Ok(Connected::Page { path: self.path(&guest.invitation), notice: Some(notice), language })
            }
        }
    }

    fn language_of(&self, sign_in: Uuid) -> Option<Language> {
        let begun = self.begun.lock().expect("no panic while the lock is held");
        begun.iter().rev().find(|begun| begun.sign_in == sign_in).and_then(|begun| begun.language)
    }
}
