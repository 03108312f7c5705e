//! Proving a consent and checking the sources.
//!
//! A consent takes seconds to minutes until every part of Microsoft's cloud knows it, so a refusal just after it means
//! nothing: for [`SPREADS_WITHIN`] it is shown as being checked. After that it is told, and tried more and more seldom;
//! what is put right meanwhile is found by itself.

use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::credential::Access;
use muster_microsoft::{Fault, TenantAccess};
use muster_model::{Tenant, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, InvitationChange, StoreError, TenantChange, TenantKey};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::onboarding::Onboarding;
use super::progress::{CONSENT, SPREADING, sign_in_missing, spreading};
use super::queue::SPREADS_WITHIN;
use crate::access::checks;

/// Tenants checked side by side.
const SIDE_BY_SIDE: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    All,
    /// Not everything, or not yet.
    NotYet,
    /// There is nothing to check: no consent was told, or the tenant is gone.
    Nothing,
}

impl Onboarding {
    /// Checks tenants after their consent until told to stop.
    pub async fn run(self: std::sync::Arc<Self>, stop: CancellationToken) {
        if let Err(error) = self.find_unfinished().await {
            tracing::warn!(error = %error, "cannot look for customers whose checks are not finished");
        }
        let mut attempts: JoinSet<(TenantId, Result<Verified, StoreError>)> = JoinSet::new();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while attempts.len() < SIDE_BY_SIDE
                && let Some((tenant, since)) = self.queue.next_due(self.clock.now())
            {
                let this = std::sync::Arc::clone(&self);
                attempts.spawn(async move { (tenant, this.attempt(tenant, since).await) });
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.queue.poked() => {}
                _ = ticks.tick() => {}
                Some(ended) = attempts.join_next() => match ended {
                    Ok((tenant, result)) => {
                        if let Err(error) = &result {
                            tracing::warn!(tenant.id = %tenant, error = %error, "cannot write down what the check of a consent found");
                        }
                        let done = matches!(result, Ok(Verified::All | Verified::Nothing));
                        self.queue.ended(tenant, done, self.clock.now());
                    }
                    Err(error) => tracing::error!(error = %error, "a check of a customer's consent failed"),
                },
            }
        }
        // What is under way changes nothing that is not found again.
        attempts.shutdown().await;
        // What a browser brought is used up when it is taken, so that is done to its end.
        self.answers.close();
        self.answers.wait().await;
    }

    /// Tenants that were being checked when the program ended.
    async fn find_unfinished(&self) -> Result<(), StoreError> {
        let told: std::collections::BTreeSet<TenantId> = self
            .store
            .checks(None)
            .await?
            .into_iter()
            .filter(|(_, check)| check.name == CONSENT && check.outcome != CheckOutcome::Good)
            .map(|(tenant, _)| tenant)
            .collect();
        for tenant in self.store.tenants().await? {
            let unfinished = matches!(tenant.state, TenantState::Consented | TenantState::Verifying);
            if unfinished || (tenant.state != TenantState::Offboarded && told.contains(&tenant.id)) {
                self.queue.look_after(tenant.id, self.clock.now());
            }
        }
        Ok(())
    }

    /// One attempt: proves the consent by a token, tries each source, writes down what was found.
    ///
    /// # Errors
    /// When the store fails. What Microsoft refuses is no error but a result.
    pub async fn attempt(&self, tenant: TenantId, since: Timestamp) -> Result<Verified, StoreError> {
        let tenant = match self.store.tenant(TenantKey::Id(tenant)).await {
            Ok(tenant) if tenant.state != TenantState::Offboarded => tenant,
            Ok(_) | Err(StoreError::NoTenant(_)) => return Ok(Verified::Nothing),
            Err(error) => return Err(error),
        };
        let checks = self.store.checks(Some(tenant.id)).await?;
        let told = checks.into_iter().map(|(_, check)| check).find(|check| check.name == CONSENT);
        let Some(consent) = told else {
            // Invited again meanwhile: what was told before counts no more.
            return Ok(Verified::Nothing);
        };
        let since = if consent.code == SPREADING { consent.checked_at.min(since) } else { since };
        let app = match self.apps.find(&tenant.app) {
            Ok(app) => app,
            Err(missing) => {
                let check = checks::no_app(CONSENT, &missing, self.clock.now());
                self.store.put_checks(tenant.id, vec![check]).await?;
                return Ok(Verified::NotYet);
            }
        };
        if app.access == Access::Delegated && !self.has_grant(&tenant).await? {
            self.store.put_checks(tenant.id, vec![sign_in_missing(&tenant, self.clock.now())]).await?;
            return Ok(Verified::NotYet);
        }
        let resource = self.microsoft.first_resource(tenant.sources.iter().copied());
        let token = self.microsoft.probe_token(&app, tenant.id, resource).await;
        let now = self.clock.now();
        let spreads =
            now.duration_since(since) < jiff::SignedDuration::from_secs(SPREADS_WITHIN.as_secs() as i64);
        if let TenantAccess::Failing { fault, message } = &token {
            let check = match spreads && may_spread(*fault) {
                true => Check { checked_at: since, ..spreading(now) },
                false => checks::failing(CONSENT, *fault, message.clone(), now),
            };
            if check.code != consent.code {
                tracing::info!(tenant.id = %tenant.id, tenant.slug = %tenant.slug, code = check.code, "the consent is not proven yet: {}", message);
            }
            self.store.put_checks(tenant.id, vec![check]).await?;
            return Ok(Verified::NotYet);
        }
        let tenant = self.proven(tenant, &consent, now).await?;
        let mut found = vec![checks::token(&token, now)];
        for source in tenant.asked() {
            let read = self.microsoft.probe_source(&app, tenant.id, source).await;
            let now = self.clock.now();
            let mut check = checks::source(source, &read, now);
            if let TenantAccess::Failing { fault, .. } = read
                && spreads
                && may_spread(fault)
            {
                check = Check { name: check.name, ..spreading(now) };
            }
            found.push(check);
        }
        let all = found.iter().all(|check| check.outcome == CheckOutcome::Good);
        self.store.put_checks(tenant.id, found).await?;
        if !all {
            return Ok(Verified::NotYet);
        }
        if tenant.state == TenantState::Verifying {
            let change = TenantChange::State(TenantState::Active);
            self.store.change_tenant(tenant.id, change, ACTOR, self.clock.now()).await?;
            tracing::info!(tenant.id = %tenant.id, tenant.slug = %tenant.slug, "the customer is onboarded: every source can be read");
        }
        Ok(Verified::All)
    }

    /// Writes down that a token proves the consent, and moves the tenant on.
    async fn proven(&self, tenant: Tenant, told: &Check, now: Timestamp) -> Result<Tenant, StoreError> {
        if told.outcome != CheckOutcome::Good {
            let check = checks::good(CONSENT, "proven by a token of the tenant".to_owned(), now);
            self.store.put_checks(tenant.id, vec![check]).await?;
            // Newest first, and each revokes those before it: the consent was told on the last one made until then.
            let mut invitations = self.store.invitations(tenant.id).await?.into_iter();
            if let Some(invitation) = invitations.find(|made| made.created_at <= told.checked_at) {
                self.store.change_invitation(invitation.id, InvitationChange::Used, now).await?;
                self.write_down(&invitation, "consent.given", json!({ "proof": "token" })).await?;
            }
            tracing::info!(tenant.id = %tenant.id, tenant.slug = %tenant.slug, "the customer has consented, proven by a token");
        }
        let mut tenant = tenant;
        if tenant.state == TenantState::Invited {
            let change = TenantChange::State(TenantState::Consented);
            tenant = self.store.change_tenant(tenant.id, change, ACTOR, now).await?;
        }
        if tenant.state == TenantState::Consented {
            let change = TenantChange::State(TenantState::Verifying);
            tenant = self.store.change_tenant(tenant.id, change, ACTOR, now).await?;
        }
        Ok(tenant)
    }
}

/// Who moves tenants on here, for the audit log.
const ACTOR: &str = "onboarding";

/// What may be said of a consent that has not spread yet.
fn may_spread(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::LostConsent | Fault::AppUnknown | Fault::MissingRole | Fault::AccessRefused | Fault::Other
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_fresh_consent_can_explain_is_waited_for() {
        assert!(may_spread(Fault::AppUnknown) && may_spread(Fault::MissingRole));
        assert!(
            !may_spread(Fault::NoLicence)
                && !may_spread(Fault::WrongSecret)
                && !may_spread(Fault::AppDisabled)
        );
    }
}
