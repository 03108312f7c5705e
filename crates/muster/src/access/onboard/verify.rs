//! Proving a consent and checking the sources, again and again until everything works.
//!
//! A consent takes seconds to minutes until every part of Microsoft's cloud knows it, so a refusal just after it means
//! nothing: for [`SPREADS_WITHIN`] it is shown as being checked. After that it is told, and tried more and more seldom;
//! what is put right meanwhile is found by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::{Fault, TenantAccess};
use muster_model::{Tenant, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, InvitationChange, StoreError, TenantChange, TenantKey};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{CONSENT, Onboarding, SPREADING, spreading};
use crate::access::checks;

/// How long a consent may take to be known everywhere.
pub(super) const SPREADS_WITHIN: Duration = Duration::from_secs(180);
/// Waits between attempts while it spreads, in seconds; the last one goes on.
const WHILE_SPREADING: [u64; 6] = [2, 3, 5, 8, 15, 20];
/// Waits after that: soon for an hour, then seldom.
const SOON: Duration = Duration::from_secs(60);
const SELDOM: Duration = Duration::from_secs(900);
/// Attempts are given up after this; a look at the page or a new invitation begins them anew.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(14 * 86_400);
/// Tenants checked side by side.
const SIDE_BY_SIDE: usize = 8;
/// Tenants that wait for their check at most; more are found again in the store.
const QUEUE_MAX: usize = 10_000;

/// Who is looked after, and when next.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<TenantId, Attempt>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    /// When the consent was told.
    since: Timestamp,
    count: u32,
    /// When it is tried next; `None` while it is being tried.
    next_at: Option<Timestamp>,
    /// Somebody asked for an attempt while one was under way.
    again: bool,
}

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
                && let Some((tenant, attempt)) = self.next_due()
            {
                let this = std::sync::Arc::clone(&self);
                attempts.spawn(async move { (tenant, this.attempt(tenant, attempt.since).await) });
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.poke.notified() => {}
                _ = ticks.tick() => {}
                Some(ended) = attempts.join_next() => match ended {
                    Ok((tenant, result)) => self.ended(tenant, result),
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

    /// Looks after a tenant whose consent was just told: at once, and until everything works.
    pub(super) fn look_after(&self, tenant: TenantId) {
        let now = self.clock.now();
        let anew = Attempt { since: now, count: 0, next_at: Some(now), again: false };
        let mut queue = self.queue.lock().expect("no panic while the lock is held");
        let full = queue.waiting.len() >= QUEUE_MAX;
        match queue.waiting.get_mut(&tenant) {
            Some(attempt) if attempt.next_at.is_none() => attempt.again = true,
            Some(attempt) => *attempt = anew,
            None if full => {}
            None => {
                queue.waiting.insert(tenant, anew);
            }
        }
        drop(queue);
        self.poke.notify_one();
    }

    /// Goes on looking after a tenant whose page somebody looks at, where that was given up or forgotten at a restart.
    pub(super) fn keep_looking_after(&self, tenant: TenantId) {
        let known = self.queue.lock().expect("no panic while the lock is held").waiting.contains_key(&tenant);
        if !known {
            self.look_after(tenant);
        }
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
                self.look_after(tenant.id);
            }
        }
        Ok(())
    }

    fn next_due(&self) -> Option<(TenantId, Attempt)> {
        let now = self.clock.now();
        let mut queue = self.queue.lock().expect("no panic while the lock is held");
        let (tenant, attempt) = queue
            .waiting
            .iter_mut()
            .filter(|(_, attempt)| attempt.next_at.is_some_and(|next| next <= now))
            .min_by_key(|(_, attempt)| attempt.next_at)?;
        attempt.next_at = None;
        Some((*tenant, *attempt))
    }

    fn ended(&self, tenant: TenantId, result: Result<Verified, StoreError>) {
        let now = self.clock.now();
        if let Err(error) = &result {
            tracing::warn!(tenant.id = %tenant, error = %error, "cannot write down what the check of a consent found");
        }
        let mut queue = self.queue.lock().expect("no panic while the lock is held");
        let Some(attempt) = queue.waiting.get_mut(&tenant) else { return };
        if attempt.again {
            *attempt = Attempt { since: now, count: 0, next_at: Some(now), again: false };
            return;
        }
        let age = Duration::try_from(now.duration_since(attempt.since)).unwrap_or_default();
        if matches!(result, Ok(Verified::All | Verified::Nothing)) || age > GIVEN_UP_AFTER {
            queue.waiting.remove(&tenant);
            return;
        }
        attempt.count += 1;
        attempt.next_at = now.checked_add(wait(age, attempt.count)).ok();
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
        let Some(app) = self.apps.get(&tenant.app) else {
            let check = checks::no_app(CONSENT, &tenant.app, self.clock.now());
            self.store.put_checks(tenant.id, vec![check]).await?;
            return Ok(Verified::NotYet);
        };
        let token = self.microsoft.probe_token(&app, tenant.id).await;
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
        for source in &tenant.sources {
            let read = self.microsoft.probe_source(&app, tenant.id, *source).await;
            let now = self.clock.now();
            let mut check = checks::source(*source, &read, now);
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
    matches!(fault, Fault::LostConsent | Fault::AppUnknown | Fault::MissingRole | Fault::Other)
}

fn wait(age: Duration, count: u32) -> Duration {
    if age < SPREADS_WITHIN {
        let index = (count as usize).saturating_sub(1).min(WHILE_SPREADING.len() - 1);
        return Duration::from_secs(WHILE_SPREADING[index]);
    }
    if age < Duration::from_secs(3_600) { SOON } else { SELDOM }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_frequent_at_first_and_seldom_later() {
        let seconds = |age, count| wait(Duration::from_secs(age), count).as_secs();
        assert_eq!((seconds(0, 1), seconds(10, 3), seconds(179, 400)), (2, 5, 20));
        assert_eq!((seconds(180, 20), seconds(3_599, 50), seconds(3_600, 51)), (60, 60, 900));
    }

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
