//! The way to the identity platform: clients, addresses of its endpoints, and what is remembered of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use muster_model::{Clock, Secret, TenantId};
use serde_json::{Map, Value};

use super::credential::{App, Endpoint};
use super::delegated::GrantKeeper;
use super::discovery::{self, Document, DocumentError};
use super::keys::KeyCache;
use super::managed_identity::MachineTokens;
use super::token::TokenError;
use crate::Cloud;
use crate::api::client::Client;

/// Issuers whose documents are remembered: tenants whose tokens were verified, or another OpenID provider.
const DOCUMENTS_MAX: usize = 256;

/// What every flow needs.
pub(crate) struct Platform {
    pub(crate) client: Client,
    /// Never through a proxy: for the machine's own metadata service.
    pub(crate) direct: Client,
    pub(crate) cloud: Cloud,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) grants: Option<Arc<dyn GrantKeeper>>,
    pub(crate) continuous_access: bool,
    pub(crate) keys: KeyCache,
    pub(crate) machine: MachineTokens,
    documents: Mutex<HashMap<String, Document>>,
}

/// Where an issuer's endpoints are, and how they are told which API is meant.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) authorize: Option<String>,
    pub(crate) token: String,
    pub(crate) device: Option<String>,
    pub(crate) asking: Asking,
}

/// How an API is named in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// v1: `resource`.
    Resource,
    /// v2: `scope=<resource>/.default`.
    Scope,
    /// Elsewhere: `resource` beside OpenID's scopes (RFC 8707).
    Indicator,
}

impl Platform {
    pub(crate) fn new(
        client: Client,
        direct: Client,
        cloud: Cloud,
        clock: Arc<dyn Clock>,
        grants: Option<Arc<dyn GrantKeeper>>,
        continuous_access: bool,
    ) -> Self {
        Self {
            client,
            direct,
            cloud,
            clock,
            grants,
            continuous_access,
            keys: KeyCache::default(),
            machine: MachineTokens::default(),
            documents: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The endpoints that `app` uses in `tenant`; without one, for whichever organisation a person belongs to.
    pub(crate) async fn addresses(
        &self,
        app: &App,
        tenant: Option<TenantId>,
    ) -> Result<Addresses, TokenError> {
        let authority = tenant.map_or_else(|| "organizations".to_owned(), |tenant| tenant.to_string());
        let under = |path: &str| self.cloud.login(&format!("/{authority}/{path}"));
        match &app.endpoint {
            Endpoint::V1 => Ok(Addresses {
                authorize: Some(under("oauth2/authorize")),
                token: under("oauth2/token"),
                device: Some(under("oauth2/devicecode")),
                asking: Asking::Resource,
            }),
            Endpoint::V2 => Ok(Addresses {
                authorize: Some(under("oauth2/v2.0/authorize")),
                token: under("oauth2/v2.0/token"),
                device: Some(under("oauth2/v2.0/devicecode")),
                asking: Asking::Scope,
            }),
            Endpoint::Discovered(issuer) => {
                let document = self.document(issuer).await?;
                let token = document.token_endpoint.ok_or_else(|| TokenError::Provider {
                    issuer: issuer.to_string(),
                    why: "its discovery document names no token endpoint".to_owned(),
                })?;
                Ok(Addresses {
                    authorize: document.authorization_endpoint,
                    token,
                    device: document.device_authorization_endpoint,
                    asking: Asking::Indicator,
                })
            }
        }
    }

    /// The discovery document of another OpenID provider, remembered for a while.
    pub(crate) async fn document(&self, issuer: &url::Url) -> Result<Document, TokenError> {
        let key = issuer.to_string();
        if let Some(document) = self.remembered(&key) {
            return Ok(document);
        }
        let document = discovery::document_of(&self.client, issuer, self.now())
            .await
            .map_err(|why| TokenError::Provider { issuer: key.clone(), why: why.to_string() })?;
        self.remember(key, &document);
        Ok(document)
    }

    /// The discovery document of the identity platform for a tenant, remembered for a while.
    pub(crate) async fn tenant_document(
        &self,
        tenant: TenantId,
        second: bool,
    ) -> Result<Document, DocumentError> {
        let key = format!("{tenant} {second}");
        if let Some(document) = self.remembered(&key) {
            return Ok(document);
        }
        let document =
            discovery::platform_document(&self.client, &self.cloud, tenant, second, self.now()).await?;
        self.remember(key, &document);
        Ok(document)
    }

    fn remembered(&self, key: &str) -> Option<Document> {
        let documents = self.documents.lock().expect("no panic while the lock is held");
        documents.get(key).filter(|document| document.fresh_until > self.now()).cloned()
    }

    fn remember(&self, key: String, document: &Document) {
        let mut documents = self.documents.lock().expect("no panic while the lock is held");
        if documents.len() >= DOCUMENTS_MAX {
            documents.clear();
        }
        documents.insert(key, document.clone());
    }

    /// The `claims` parameter of a token request: what an API wants to see, and that we understand such wishes.
    pub(crate) fn claims(&self, wanted: Option<&Map<String, Value>>) -> Option<String> {
        let mut claims = wanted.cloned().unwrap_or_default();
        if self.continuous_access {
            let access = claims.entry("access_token").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(access) = access {
                access.insert("xms_cc".to_owned(), serde_json::json!({"values": ["cp1"]}));
            }
        }
        (!claims.is_empty()).then(|| Value::Object(claims).to_string())
    }
}

/// The fields of a request. All are kept like secrets, since several are.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(&'static str, Secret<String>)>);

impl Form {
    /// A request of this grant type by `app`.
    pub(crate) fn new(grant_type: &str, app: &App) -> Self {
        let mut form = Self::default();
        form.set("grant_type", grant_type);
        form.set("client_id", &app.client_id);
        form
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.0.push((name, Secret::from(value)));
    }

    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.expose().as_str())).collect()
    }

    /// Names the API; with `person`, also asks to know who it is and to go on without them.
    pub(crate) fn name_api(&mut self, asking: Asking, resource: &str, person: bool) {
        match asking {
            Asking::Resource => self.set("resource", resource),
            Asking::Scope => self.set("scope", &scope(resource, person)),
            // What the person consented to holds; asking for more than that would be refused (RFC 6749 section 6).
            Asking::Indicator => self.set("resource", resource),
        }
    }
}

/// What OpenID calls knowing who it is, and going on without them.
pub(crate) const PERSON_SCOPES: &str = "openid profile offline_access";

/// The API of what [`scope`] takes.
pub(crate) fn api_of(resource: &str) -> &str {
    let Some((first, _)) = resource.split_once(' ') else { return resource };
    first.rsplit_once('/').map_or(first, |(api, _)| api)
}

/// The scope that asks for all that was consented to for an API. A client that everybody shares has nothing consented
/// to beforehand: for it, `resource` names the permissions of one API one by one, with blanks between
/// (`https://api.example/One https://api.example/Two`), and those are asked for.
pub(crate) fn scope(resource: &str, person: bool) -> String {
    if resource.contains(' ') {
        return if person { format!("{resource} {PERSON_SCOPES}") } else { resource.to_owned() };
    }
    // Microsoft: the slash of `https://api.example/` belongs to the resource, so that `//.default` would be right; the
    // APIs read here are all registered without one.
    let default = format!("{}/.default", resource.trim_end_matches('/'));
    if person { format!("{default} {PERSON_SCOPES}") } else { default }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_may_be_asked_for_one_by_one() {
        let one_by_one = "https://api.example/One https://api.example/Two";
        assert_eq!(scope(one_by_one, true), format!("{one_by_one} {PERSON_SCOPES}"));
        assert_eq!(api_of(one_by_one), "https://api.example");
        assert_eq!(scope("https://api.example/", false), "https://api.example/.default");
        assert_eq!(api_of("https://api.example/"), "https://api.example/");
    }
}
