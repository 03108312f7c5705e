//! How the token endpoint is used: how often for each tenant, client and resource, and how many requests at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::faults::kind::Area;
use crate::http::call::Call;
use crate::identity::platform::Identity;

/// How the token endpoint was used for one tenant, client and resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequests {
    /// The tenant as the requests named it.
    pub tenant: String,
    /// The client's id.
    pub client: String,
    /// The resource, without `/.default`; of refresh tokens what the request names, if anything.
    pub resource: String,
    /// How many came.
    pub requests: u64,
    /// The most that were in flight at a time.
    pub most_at_a_time: u64,
}

type Key = (String, String, String);

/// A client that makes up tenants and resources makes no more entries than this.
const ENTRIES_MAX: usize = 100_000;

#[derive(Default)]
struct Use {
    requests: u64,
    now: u64,
    most: u64,
}

/// All uses until now.
#[derive(Default)]
pub(crate) struct TokenTraffic(Mutex<BTreeMap<Key, Use>>);

/// A request that is being answered; it ends when this is dropped.
pub(crate) struct InFlight<'a> {
    traffic: &'a TokenTraffic,
    key: Key,
}

impl TokenTraffic {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Use>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is one for a token.
    pub(crate) fn is_token_request(call: &Call<'_>) -> bool {
        Identity::area_of(call.path) == Some(Area::Token)
    }

    pub(crate) fn begin(&self, call: &Call<'_>) -> InFlight<'_> {
        let form: HashMap<String, String> = form_urlencoded::parse(&call.body).into_owned().collect();
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let tenant = call.path.trim_start_matches('/').split('/').next().unwrap_or("").to_owned();
        let resource = match field("resource") {
            "" => field("scope")
                .split_ascii_whitespace()
                .find_map(|word| word.strip_suffix("/.default"))
                .unwrap_or(field("scope")),
            resource => resource,
        };
        let key = (tenant, field("client_id").to_owned(), resource.to_owned());
        let mut uses = self.lock();
        if uses.len() < ENTRIES_MAX || uses.contains_key(&key) {
            let own = uses.entry(key.clone()).or_default();
            own.requests += 1;
            own.now += 1;
            own.most = own.most.max(own.now);
        }
        InFlight { traffic: self, key }
    }

    pub(crate) fn list(&self) -> Vec<TokenRequests> {
        self.lock()
            .iter()
            .map(|((tenant, client, resource), own)| TokenRequests {
                tenant: tenant.clone(),
                client: client.clone(),
                resource: resource.clone(),
                requests: own.requests,
                most_at_a_time: own.most,
            })
            .collect()
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(own) = self.traffic.lock().get_mut(&self.key) {
            own.now = own.now.saturating_sub(1);
        }
    }
}
