//! The way to the identity platform: clients, addresses of its endpoints, and what is remembered of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use muster_http::Client;
use muster_model::{Clock, TenantId};
use serde_json::{Map, Value};

use super::credential::{App, Endpoint};
use super::discovery::{self, Document, DocumentError};
use super::error::TokenError;
use super::form::ApiNaming;
use super::grant::GrantKeeper;
use super::keys::KeyCache;
use super::managed_identity::MachineTokens;
use crate::Cloud;

/// Issuers whose documents are remembered: tenants whose tokens were verified, or another OpenID provider.
const DOCUMENTS_MAX: usize = 256;

/// What every flow needs.
pub(crate) struct Platform {
    pub(crate) client: Client,
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
    pub(crate) naming: ApiNaming,
}

impl Platform {
    pub(crate) fn new(
        client: Client,
        machine: MachineTokens,
        cloud: Cloud,
        clock: Arc<dyn Clock>,
        grants: Option<Arc<dyn GrantKeeper>>,
        continuous_access: bool,
    ) -> Self {
        Self {
            client,
            cloud,
            clock,
            grants,
            continuous_access,
            keys: KeyCache::default(),
            machine,
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
                naming: ApiNaming::Resource,
            }),
            Endpoint::V2 => Ok(Addresses {
                authorize: Some(under("oauth2/v2.0/authorize")),
                token: under("oauth2/v2.0/token"),
                device: Some(under("oauth2/v2.0/devicecode")),
                naming: ApiNaming::Scope,
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
                    naming: ApiNaming::Indicator,
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
