//! Nothing dies unnoticed: looks after every tenant's consent, roles and licence, every grant and every app's credential.
//!
//! Each tenant is looked at once a day, and a while after something was found wrong, each time with a token asked for
//! anew: what was consented to is only known by using it. What a poll finds is written down by the collector in the same
//! words (see [`probe`]), so that lost consent is told within one poll interval. The log tells of a cause once;
//! `muster status`, `muster tenant show`, the customer's page and the metrics tell of the state.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::credential::{Access, App};
use muster_model::{Clock, Tenant, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, CredentialSlot, Grant, InstanceId, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::access::apps::{AppMissing, Apps};
use crate::access::checks::{self, TOKEN};
use crate::access::probe;
use crate::config::AppSettings;
use crate::told::{SINK, Told};

/// How often every tenant is looked at.
const EVERY: Duration = Duration::from_secs(86_400);
/// How soon again after something was found wrong.
const AGAIN: Duration = Duration::from_secs(900);
/// How often it is looked for tenants whose turn it is.
const ROUND: Duration = Duration::from_secs(60);
/// Tenants looked at side by side.
const SIDE_BY_SIDE: usize = 4;
/// Tenants looked at in one round, so that a thousand of them spread over the day.
const PER_ROUND: usize = 50;

/// Looks after tenants and apps.
pub struct Watcher {
    pub store: Arc<dyn Store>,
    pub microsoft: Arc<Microsoft>,
    pub apps: Apps,
    pub clock: Arc<dyn Clock>,
    /// Of several nodes each looks at its own tenants, so that nobody is asked twice.
    pub instance: InstanceId,
    /// What was last told in the log, by tenant or app and check.
    pub told: Arc<Told>,
}

impl Watcher {
    /// Looks after everything until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(ROUND);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let round = stop.run_until_cancelled(self.round(PER_ROUND)).await;
            if let Some(Err(error)) = round {
                self.told.store.failed("look after the tenants' access", &error, self.clock.now());
            }
        }
    }

    /// Looks at the apps, and at up to `most` tenants whose turn it is. Returns how many tenants that were.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn round(&self, most: usize) -> Result<usize, StoreError> {
        let now = self.clock.now();
        for name in self.apps.names() {
            self.look_at_app(name, now).await?;
        }
        let mut checked: HashMap<TenantId, Vec<Check>> = HashMap::new();
        for (tenant, check) in self.store.checks(None).await? {
            checked.entry(tenant).or_default().push(check);
        }
        let mut grants: HashMap<TenantId, Vec<Grant>> = HashMap::new();
        for grant in self.store.grants(None).await? {
            grants.entry(grant.tenant).or_default().push(grant);
        }
        self.renew_idle(&grants, now).await;
        let tenants = self.store.tenants().await?;
        // Another process may have offboarded them: what is in memory of them goes too.
        let offboarded = tenants.iter().filter(|tenant| tenant.state == TenantState::Offboarded);
        self.microsoft.forget_all(&offboarded.map(|tenant| tenant.id).collect());
        let standing: HashMap<TenantId, TenantState> =
            tenants.iter().map(|tenant| (tenant.id, tenant.state)).collect();
        let gone = |tenant: TenantId, what: &str| match standing.get(&tenant) {
            None | Some(TenantState::Offboarded) => true,
            // What a paused tenant owes is still delivered.
            Some(TenantState::Paused) => !what.starts_with(SINK),
            Some(_) => false,
        };
        self.told.tell_more(gone, now);
        let own = self.store.own_tenants(self.instance).await?;
        let checks_of = |tenant: &Tenant| checked.get(&tenant.id).map_or(&[][..], Vec::as_slice);
        let mut due: Vec<Tenant> = tenants
            .into_iter()
            .filter(|tenant| tenant.state == TenantState::Active)
            .filter(|tenant| own.as_ref().is_none_or(|own| own.contains(&tenant.id)))
            .filter(|tenant| is_due(tenant, checks_of(tenant), now))
            .collect();
        // Those that fail are due again soon, and must not keep the others from their turn.
        due.sort_by_key(|tenant| last_look(checks_of(tenant)));
        due.truncate(most);
        let count = due.len();
        let looked = stream::iter(due).map(|tenant| {
            let grants = grants.remove(&tenant.id).unwrap_or_default();
            async move { self.look_at(&tenant, &grants).await }
        });
        let results: Vec<_> = looked.buffer_unordered(SIDE_BY_SIDE).collect().await;
        results.into_iter().collect::<Result<(), _>>()?;
        Ok(count)
    }

    /// Uses every refresh token that lay unused for a while, whatever its tenant's state and whichever app it is for, so
    /// that none dies of idleness.
    /// One that cannot be renewed is tried again after a while.
    async fn renew_idle(&self, grants: &HashMap<TenantId, Vec<Grant>>, now: Timestamp) {
        let alive = grants.values().flatten().filter(|grant| grant.revoked_at.is_none());
        let due = alive.filter_map(|grant| {
            let idle = Duration::try_from(now.duration_since(grant.renewed_at)).unwrap_or_default();
            let app = self.apps.get(&grant.app).filter(|app| app.access == Access::Delegated)?;
            (idle > checks::RENEW_IDLE && self.told.may_try(grant, now)).then(|| (grant.clone(), app))
        });
        let due: Vec<(Grant, App)> = due.take(PER_ROUND).collect();
        let renewed = stream::iter(due).map(|(grant, app)| async move {
            let token = self.microsoft.fresh_access_token(&app, grant.tenant, &grant.resource).await;
            if let Err(error) = token {
                tracing::warn!(tenant.id = %grant.tenant, app = grant.app, error = %error, "a refresh token that lay unused cannot be renewed");
            }
        });
        renewed.buffer_unordered(SIDE_BY_SIDE).collect::<()>().await;
    }

    /// Looks at one tenant and writes down what was found.
    ///
    /// # Errors
    /// When the store fails. Trouble with the tenant is no error but a result.
    pub async fn look_at(&self, tenant: &Tenant, grants: &[Grant]) -> Result<(), StoreError> {
        let app = match self.apps.find(&tenant.app) {
            Ok(app) => app,
            Err(missing) => {
                let check = checks::no_app(TOKEN, &missing, self.clock.now());
                // What is wrong with the app was told for the app.
                return match missing {
                    AppMissing::NoApp(_) => self.write_down(tenant, vec![check]).await,
                    AppMissing::OutOfReach(_) => self.store.put_checks(tenant.id, vec![check]).await,
                };
            }
        };
        let found = probe::tenant(&self.microsoft, &app, tenant, grants, self.clock.as_ref()).await;
        self.write_down(tenant, found).await
    }

    async fn write_down(&self, tenant: &Tenant, checks: Vec<Check>) -> Result<(), StoreError> {
        for check in &checks {
            self.told.check(tenant, check);
        }
        self.store.put_checks(tenant.id, checks).await
    }

    /// Looks when an app's credential ends, and takes up a new one that was stored meanwhile.
    async fn look_at_app(&self, name: &str, now: Timestamp) -> Result<(), StoreError> {
        // A program that gives the secret is only asked again when Microsoft refuses the one in hand.
        let had = self.apps.get(name).is_some();
        let by_command = had && self.apps.settings(name).is_some_and(AppSettings::asks_a_command);
        let read = if by_command { Ok(false) } else { self.apps.read_again(name).await };
        match read {
            Ok(true) if !had => {
                tracing::info!(app = name, "the app's credential can be had; its tenants are read again");
                self.look_at_its_tenants_soon(name).await?;
            }
            Ok(true) => tracing::info!(app = name, "a new credential is used from now on"),
            Ok(false) => {}
            Err(error) if !had => {
                tracing::debug!(app = name, error = %error, "the credential cannot be had yet")
            }
            Err(error) => {
                tracing::warn!(app = name, error = %error, "the credential cannot be read again; the one in hand is used on")
            }
        }
        let app = match self.apps.find(name) {
            Ok(app) => app,
            Err(AppMissing::NoApp(_)) => return Ok(()),
            Err(AppMissing::OutOfReach(reason)) => {
                let check = checks::out_of_reach(&reason, now);
                return self.store.put_app_checks(name, vec![check]).await;
            }
        };
        let stored = self.store.app_credentials(name).await?;
        let current = stored.iter().find(|credential| credential.slot == CredentialSlot::Current);
        let check = checks::credential(&app, current.and_then(|credential| credential.not_after), now);
        if self.told.is_news(name, &check) {
            match check.outcome {
                CheckOutcome::Good => tracing::info!(app = name, "{}", check.detail),
                _ => {
                    tracing::error!(app = name, code = check.code, remedy = check.remedy, "{}", check.detail)
                }
            }
        }
        let unfinished = crate::access::rotation::check(name, &stored, now);
        if self.told.is_news(name, &unfinished) && unfinished.outcome != CheckOutcome::Good {
            tracing::warn!(
                app = name,
                code = unfinished.code,
                remedy = unfinished.remedy,
                "{}",
                unfinished.detail
            );
        }
        self.store.put_app_checks(name, vec![check, unfinished]).await
    }
}

impl Watcher {
    /// Forgets that the tenants of an app could not be read, so that they are looked at in this round.
    async fn look_at_its_tenants_soon(&self, app: &str) -> Result<(), StoreError> {
        for tenant in self.store.tenants().await?.iter().filter(|tenant| tenant.app == app) {
            self.store.remove_checks(tenant.id, &[TOKEN.to_owned()]).await?;
        }
        Ok(())
    }
}

/// Whether a tenant is to be looked at: never was, a day ago, or some time after something was found wrong. The day is
/// shifted for each tenant, so that they spread.
fn is_due(tenant: &Tenant, checks: &[Check], now: Timestamp) -> bool {
    let Some(last) = last_look(checks) else { return true };
    let wrong = checks.iter().any(|check| check.outcome == CheckOutcome::Failing);
    let shift = Duration::from_secs(tenant.id.as_uuid().as_u128() as u64 % 7_200);
    let wait = if wrong { AGAIN } else { EVERY.saturating_sub(shift) };
    last.checked_add(wait).is_ok_and(|due| due <= now)
}

fn last_look(checks: &[Check]) -> Option<Timestamp> {
    checks.iter().filter(|check| check.name == TOKEN).map(|check| check.checked_at).max()
}
