//! What an issuer tells of itself: its endpoints, its keys, and which tenant a domain belongs to.
//!
//! Source: OpenID Connect Discovery 1.0; Microsoft "OpenID Connect on the Microsoft identity platform".

use std::time::Duration;

use jiff::Timestamp;
use muster_http::{Client, TransportError, shown};
use muster_model::{DomainName, TenantId, TenantReference};
use serde::Deserialize;
use url::Url;

use crate::{Cloud, NationalCloud, cloud};

/// No discovery document is longer.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;
const KEEP_MIN: Duration = Duration::from_secs(300);
const KEEP_MAX: Duration = Duration::from_secs(24 * 3600);
const KEEP_UNTOLD: Duration = Duration::from_secs(3600);

/// Why a domain could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No tenant has verified it.
    #[error("no tenant in this cloud has verified the domain {0}: check its spelling, or use the tenant id")]
    UnknownDomain(DomainName),
    /// There is no tenant of this id.
    #[error("there is no tenant {0} in this cloud: check the id, and the cloud in the settings")]
    UnknownTenant(TenantId),
    /// An answer that makes no sense.
    #[error("the identity platform's answer about {domain} (status {status}) cannot be read: {beginning}")]
    Odd {
        /// The domain or the tenant's id.
        domain: String,
        /// HTTP status.
        status: u16,
        /// Its first characters.
        beginning: String,
    },
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Why an issuer's document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("its address is plain http to another machine; https is wanted")]
    Plain,
    #[error("there is no discovery document at {address} (status {status})")]
    Status { address: String, status: u16 },
    #[error("its discovery document cannot be read: {0}")]
    Unreadable(String),
    #[error("its discovery document is for the issuer {0}")]
    OtherIssuer(String),
    #[error("its discovery document names {0}, which is on another host; nothing is sent there")]
    Elsewhere(String),
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// What an issuer tells of itself.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Document {
    pub(crate) issuer: String,
    #[serde(default)]
    pub(crate) authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) token_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) device_authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) jwks_uri: Option<String>,
    /// Microsoft's own: the national cloud of the tenant.
    #[serde(default)]
    pub(crate) cloud_instance_name: Option<String>,
    /// Microsoft's own: tells clouds apart that share an identity platform.
    #[serde(default)]
    pub(crate) tenant_region_sub_scope: Option<String>,
    /// Until when it may be kept.
    #[serde(skip, default = "never")]
    pub(crate) fresh_until: Timestamp,
}

fn never() -> Timestamp {
    Timestamp::MIN
}

/// A tenant, as the identity platform knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundTenant {
    /// Its id.
    pub id: TenantId,
    /// The national cloud that it belongs to; none where the platform does not say, or names one that is not known.
    pub cloud: Option<NationalCloud>,
}

pub(crate) async fn find_tenant(
    client: &Client,
    cloud: &Cloud,
    reference: &TenantReference,
) -> Result<FoundTenant, DiscoveryError> {
    let name = match reference {
        TenantReference::Id(id) => id.to_string(),
        TenantReference::Domain(domain) => domain.to_string(),
    };
    let url = cloud.login(&format!("/{name}/v2.0/.well-known/openid-configuration"));
    let answer = client.send(client.get(&url, None)).await?;
    if answer.status == 400 || answer.status == 404 {
        return Err(match reference {
            TenantReference::Id(id) => DiscoveryError::UnknownTenant(*id),
            TenantReference::Domain(domain) => DiscoveryError::UnknownDomain(domain.clone()),
        });
    }
    // `https://login.microsoftonline.com/{tenant}/v2.0`: the id is the one path segment that is a GUID.
    let document = read(&answer.body).ok();
    let id = document
        .as_ref()
        .and_then(|document| document.issuer.split('/').find_map(|part| part.parse::<TenantId>().ok()));
    let odd = || {
        let beginning = shown(&String::from_utf8_lossy(&answer.body[..answer.body.len().min(120)]));
        DiscoveryError::Odd { domain: name.clone(), status: answer.status, beginning }
    };
    let (Some(document), Some(id)) = (document, id) else { return Err(odd()) };
    if matches!(reference, TenantReference::Id(asked) if *asked != id) {
        return Err(odd());
    }
    let instance = document.cloud_instance_name.as_deref();
    let sub_scope = document.tenant_region_sub_scope.as_deref();
    let cloud = instance.and_then(|instance| NationalCloud::of_instance(instance, sub_scope));
    Ok(FoundTenant { id, cloud })
}

/// The document of the identity platform for a tenant: of its first generation, or of its second.
pub(crate) async fn platform_document(
    client: &Client,
    cloud: &Cloud,
    tenant: TenantId,
    second: bool,
    now: Timestamp,
) -> Result<Document, DocumentError> {
    let generation = if second { "/v2.0" } else { "" };
    let address = cloud.login(&format!("/{tenant}{generation}/.well-known/openid-configuration"));
    let document = fetch(client, &address, now).await?;
    match document.jwks_uri.as_deref() {
        Some(keys) if !Url::parse(keys).is_ok_and(|keys| cloud.is_login(&keys)) => {
            Err(DocumentError::Elsewhere(shown(keys)))
        }
        _ => Ok(document),
    }
}

/// The document of any OpenID provider. All that it names must be on the provider's own host.
pub(crate) async fn document_of(
    client: &Client,
    issuer: &Url,
    now: Timestamp,
) -> Result<Document, DocumentError> {
    if issuer.scheme() != "https" && !cloud::is_loopback(issuer) {
        return Err(DocumentError::Plain);
    }
    let base = issuer.as_str().trim_end_matches('/');
    let document = fetch(client, &format!("{base}/.well-known/openid-configuration"), now).await?;
    if document.issuer.trim_end_matches('/') != base {
        return Err(DocumentError::OtherIssuer(shown(&document.issuer)));
    }
    let named = [
        &document.authorization_endpoint,
        &document.token_endpoint,
        &document.device_authorization_endpoint,
        &document.jwks_uri,
    ];
    for address in named.into_iter().flatten() {
        if !Url::parse(address).is_ok_and(|url| url.origin() == issuer.origin()) {
            return Err(DocumentError::Elsewhere(shown(address)));
        }
    }
    Ok(document)
}

async fn fetch(client: &Client, address: &str, now: Timestamp) -> Result<Document, DocumentError> {
    let answer = client.send(client.get(address, None)).await?;
    if answer.status != 200 {
        return Err(DocumentError::Status { address: address.to_owned(), status: answer.status });
    }
    let keep = answer.max_age().unwrap_or(KEEP_UNTOLD).clamp(KEEP_MIN, KEEP_MAX);
    let mut document = read(&answer.body)?;
    document.fresh_until = now.saturating_add(keep).expect("a duration is never out of range");
    Ok(document)
}

/// Reads a document, within the bounds.
pub(crate) fn read(body: &[u8]) -> Result<Document, DocumentError> {
    if body.len() > DOCUMENT_BYTES_MAX {
        let why = format!("it has {} bytes, and {DOCUMENT_BYTES_MAX} are taken", body.len());
        return Err(DocumentError::Unreadable(why));
    }
    muster_model::json::from_answer(body)
        .map_err(|error| DocumentError::Unreadable(shown(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_document_is_survived(bytes in any::<Vec<u8>>(), issuer in "\\PC{0,40}") {
            prop_assert!(read(&bytes).is_err());
            let document = serde_json::json!({"issuer": issuer.clone(), "unheard": [1]}).to_string();
            prop_assert_eq!(read(document.as_bytes()).expect("a document").issuer, issuer);
        }
    }
}
