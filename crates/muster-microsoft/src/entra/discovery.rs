//! Which tenant a domain belongs to, by its OpenID discovery document.
//!
//! Source: Microsoft "OpenID Connect on the Microsoft identity platform".

use muster_model::{DomainName, TenantId};
use serde::Deserialize;

use crate::Cloud;
use crate::api::client::{Client, TransportError, shown};

/// Why a domain could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No tenant has verified it.
    #[error("no tenant in this cloud has verified the domain {0}: check its spelling, or use the tenant id")]
    UnknownDomain(DomainName),
    /// An answer that makes no sense.
    #[error("the identity platform's answer about {domain} (status {status}) cannot be read: {beginning}")]
    Odd {
        /// The domain.
        domain: DomainName,
        /// HTTP status.
        status: u16,
        /// Its first characters.
        beginning: String,
    },
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
}

pub(crate) async fn tenant_of(
    client: &Client,
    cloud: &Cloud,
    domain: &DomainName,
) -> Result<TenantId, DiscoveryError> {
    let url = cloud.login(&format!("/{domain}/v2.0/.well-known/openid-configuration"));
    let answer = client.send(client.get(&url, None)).await?;
    if answer.status == 400 || answer.status == 404 {
        return Err(DiscoveryError::UnknownDomain(domain.clone()));
    }
    // `https://login.microsoftonline.com/{tenant}/v2.0`: the id is the one path segment that is a GUID.
    let issuer = serde_json::from_slice::<Document>(&answer.body).ok().map(|document| document.issuer);
    issuer.as_deref().and_then(|issuer| issuer.split('/').find_map(|part| part.parse().ok())).ok_or_else(
        || {
            let beginning = shown(&String::from_utf8_lossy(&answer.body[..answer.body.len().min(120)]));
            DiscoveryError::Odd { domain: domain.clone(), status: answer.status, beginning }
        },
    )
}
