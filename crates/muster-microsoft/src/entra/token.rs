//! How a token is got, checked, cached and refreshed.
//!
//! One token per (tenant, app, resource). Whoever needs one takes the entry's lock, looks again, and only then asks
//! the identity platform, so that a tenant's token is never asked for twice at a time. A token is renewed while it
//! still has some minutes to live.
//!
//! An app that acts as itself proves itself for each token ([`super::assertion`]). An app that acts for a person borrows
//! that person's grant ([`super::delegated`]). A managed identity asks the machine ([`super::managed_identity`]).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use muster_model::{Secret, TenantId};
use serde_json::{Map, Value};

use super::access_token::{AccessToken, lives_on};
use super::credential::{Access, App, Credential};
use super::error::TokenError;
use super::form::Form;
use super::platform::Platform;
use super::token_endpoint::{self, Issued};
use super::{assertion, delegated};
use crate::Fault;

/// More tokens are not held: those that end first go. That is one for each tenant, app and API of the largest providers; with fewer,
/// every poll would need a token of its own.
const ENTRIES_MAX: usize = 200_000;

/// The tokens in hand.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    entries: Mutex<HashMap<CacheKey, CacheEntry>>,
}

type CacheKey = (TenantId, String, String);
type CacheEntry = Arc<tokio::sync::Mutex<Option<AccessToken>>>;

impl TokenCache {
    /// A token of `app` for `resource` in `tenant`: the one in hand, or a new one.
    pub(crate) async fn token(
        &self,
        platform: &Platform,
        app: &App,
        tenant: TenantId,
        resource: &str,
    ) -> Result<AccessToken, TokenError> {
        let entry = self.entry(app, tenant, resource, platform.now());
        let mut held = entry.lock().await;
        if let Some(token) = held.as_ref().filter(|token| lives_on(token.expires_at, platform.now())) {
            return Ok(token.clone());
        }
        *held = None;
        let token = request(platform, app, tenant, resource, None).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// A new token, whatever is in hand. It takes the place of that when it came: while the identity platform is away, the
    /// one in hand serves on.
    pub(crate) async fn fresh(
        &self,
        platform: &Platform,
        app: &App,
        tenant: TenantId,
        resource: &str,
    ) -> Result<AccessToken, TokenError> {
        let entry = self.entry(app, tenant, resource, platform.now());
        let mut held = entry.lock().await;
        if matches!(app.credential, Credential::ManagedIdentity(_)) {
            platform.machine.forget();
        }
        let token = request(platform, app, tenant, resource, None).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// A token that holds what an API wants to see, in place of the one it refused; unless that one was replaced
    /// meanwhile, then what replaced it.
    pub(crate) async fn challenged(
        &self,
        platform: &Platform,
        app: &App,
        tenant: TenantId,
        resource: &str,
        refused: &AccessToken,
        claims: &Map<String, Value>,
    ) -> Result<AccessToken, TokenError> {
        let entry = self.entry(app, tenant, resource, platform.now());
        let mut held = entry.lock().await;
        if let Some(token) = held.as_ref()
            && token.secret.expose() != refused.secret.expose()
            && lives_on(token.expires_at, platform.now())
        {
            return Ok(token.clone());
        }
        *held = None;
        let token = request(platform, app, tenant, resource, Some(claims)).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// Throws a token away that an API refused, unless it was renewed meanwhile.
    pub(crate) async fn discard(&self, app: &App, tenant: TenantId, resource: &str, refused: &AccessToken) {
        self.discard_secret(app, tenant, resource, &refused.secret).await;
    }

    /// The same, where only the token itself is at hand.
    pub(crate) async fn discard_secret(
        &self,
        app: &App,
        tenant: TenantId,
        resource: &str,
        refused: &Secret<String>,
    ) {
        let key = (tenant, app.name.clone(), resource.to_owned());
        let entry = self.entries.lock().expect("no panic while the lock is held").get(&key).cloned();
        let Some(entry) = entry else { return };
        let mut held = entry.lock().await;
        if held.as_ref().is_some_and(|token| token.secret.expose() == refused.expose()) {
            *held = None;
        }
    }

    /// Throws all tokens of these tenants away.
    pub(crate) fn forget(&self, tenants: &HashSet<TenantId>) {
        let mut entries = self.entries.lock().expect("no panic while the lock is held");
        entries.retain(|(of, _, _), _| !tenants.contains(of));
    }

    /// Throws all tokens of an app in a tenant away: another person has signed in.
    pub(crate) fn forget_app(&self, tenant: TenantId, app: &str) {
        self.entries
            .lock()
            .expect("no panic while the lock is held")
            .retain(|(of, name, _), _| *of != tenant || name != app);
    }

    fn entry(&self, app: &App, tenant: TenantId, resource: &str, now: Timestamp) -> CacheEntry {
        let key = (tenant, app.name.clone(), resource.to_owned());
        let mut entries = self.entries.lock().expect("no panic while the lock is held");
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            make_room(&mut entries, ENTRIES_MAX, now);
        }
        Arc::clone(entries.entry(key).or_default())
    }
}

/// Drops what is empty or past its time, and then what ends first of what nobody uses just now, until a quarter is free: so many
/// tokens are got before all are looked through again.
fn make_room(entries: &mut HashMap<CacheKey, CacheEntry>, most: usize, now: Timestamp) {
    let end = |entry: &CacheEntry| {
        let unused = (Arc::strong_count(entry) == 1).then(|| entry.try_lock().ok()).flatten()?;
        Some(unused.as_ref().map_or(Timestamp::MIN, |token| token.expires_at))
    };
    let mut ends: Vec<Timestamp> = entries.values().filter_map(end).collect();
    let surplus = entries.len().saturating_sub(most - most / 4).min(ends.len());
    let last = match surplus {
        0 => now,
        _ => (*ends.select_nth_unstable(surplus - 1).1).max(now),
    };
    entries.retain(|_, entry| end(entry).is_none_or(|end| end > last));
}

async fn request(
    platform: &Platform,
    app: &App,
    tenant: TenantId,
    resource: &str,
    claims: Option<&Map<String, Value>>,
) -> Result<AccessToken, TokenError> {
    let issued = match (&app.credential, app.access) {
        (Credential::ManagedIdentity(identity), Access::Application) => {
            let (access_token, expires_at) = platform.machine.token(identity, resource).await?;
            Issued { access_token, expires_at, refresh_token: None, id_token: None, scope: Vec::new() }
        }
        (Credential::None, Access::Application) => {
            return Err(TokenError::Credential {
                app: app.name.clone(),
                fault: Fault::Misconfigured,
                why: "it has no credential; give it a secret, a certificate or a federated credential, or let it act for a person"
                    .to_owned(),
            });
        }
        (_, Access::Application) => client_credentials(platform, app, tenant, resource, claims).await?,
        (_, Access::Delegated) => delegated::renew(platform, app, tenant, resource, claims).await?,
    };
    token_endpoint::accept(platform, issued, Some(tenant), resource)
}

/// Source: RFC 6749 section 4.4; Microsoft "OAuth 2.0 client credentials flow".
async fn client_credentials(
    platform: &Platform,
    app: &App,
    tenant: TenantId,
    resource: &str,
    claims: Option<&Map<String, Value>>,
) -> Result<Issued, TokenError> {
    let addresses = platform.addresses(app, Some(tenant)).await?;
    let mut form = Form::new("client_credentials", app);
    form.name_api(addresses.naming, resource, false);
    if let Some(claims) = platform.claims(claims) {
        form.set("claims", &claims);
    }
    assertion::prove(platform, app, &addresses.token, &mut form).await?;
    token_endpoint::post(platform, &addresses.token, &form).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn key(number: u128) -> CacheKey {
        (TenantId::from(uuid::Uuid::from_u128(number)), "main".to_owned(), "graph".to_owned())
    }

    fn ends_at(second: i64) -> CacheEntry {
        let secret = Secret::new("token".to_owned());
        let token = AccessToken { secret, expires_at: at(second), roles: None, scopes: None };
        Arc::new(tokio::sync::Mutex::new(Some(token)))
    }

    /// With more tenants than there is room for, most tokens are still there when their tenant is asked for again, and all are
    /// looked through once in many times.
    #[test]
    fn a_full_cache_lets_go_of_those_that_end_first() {
        let mut entries: HashMap<CacheKey, CacheEntry> =
            (0..100).map(|number| (key(number), ends_at(1_000 + number as i64))).collect();
        entries.insert(key(100), CacheEntry::default());
        let in_use = Arc::clone(&entries[&key(3)]);
        make_room(&mut entries, 100, at(500));
        assert_eq!(entries.len(), 75);
        assert!(
            entries.contains_key(&key(3)) && entries.contains_key(&key(99)),
            "in use, and the last to end"
        );
        assert!(
            !entries.contains_key(&key(0)) && !entries.contains_key(&key(100)),
            "the first, and an empty one"
        );
        drop(in_use);
        make_room(&mut entries, 100, at(1_050));
        assert!(entries.len() <= 49 && entries.contains_key(&key(51)), "what is past its time goes, too");
    }
}
