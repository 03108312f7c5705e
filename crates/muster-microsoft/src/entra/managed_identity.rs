//! Tokens of the machine's own identity in Azure, by the instance metadata service of virtual machines, or by the endpoint of App
//! Service and Container Apps.
//!
//! Source: Microsoft "How to use managed identities on an Azure VM to acquire an access token"; "How to use managed identities
//! for App Service and Azure Functions" (REST endpoint reference, 2019-08-01), which Container Apps share. The service is asked
//! directly, never through a proxy: whoever stands between could ask in this machine's name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use muster_http::{Client, Response, TransportError, shown};
use muster_model::{Clock, Secret};
use serde::Deserialize;
use url::Url;

use super::access_token;
use super::credential::ManagedIdentity;
use super::error::TokenError;
use crate::{Fault, cloud};

/// What is waited before each attempt. Microsoft's own numbers; an identity that is being updated is back in 70 s.
const WAITS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(2),
    Duration::from_secs(6),
    Duration::from_secs(14),
    Duration::from_secs(30),
];
/// A machine has a few identities, and each is used for a few APIs.
const TOKENS_MAX: usize = 64;

type Key = (String, Option<String>, String);
type Held = Arc<tokio::sync::Mutex<Option<(Secret<String>, Timestamp)>>>;

/// The machine's tokens in hand, so that thousands of tenants do not ask for the same one.
pub(crate) struct MachineTokens {
    /// Never through a proxy.
    direct: Client,
    clock: Arc<dyn Clock>,
    held: Mutex<HashMap<Key, Held>>,
}

impl MachineTokens {
    pub(crate) fn new(direct: Client, clock: Arc<dyn Clock>) -> Self {
        Self { direct, clock, held: Mutex::default() }
    }

    /// A token of the machine for `resource`, and when it ends.
    pub(crate) async fn token(
        &self,
        identity: &ManagedIdentity,
        resource: &str,
    ) -> Result<(Secret<String>, Timestamp), TokenError> {
        let held = {
            let key = (identity.endpoint.to_string(), identity.client_id.clone(), resource.to_owned());
            let mut tokens = self.held.lock().expect("no panic while the lock is held");
            if tokens.len() >= TOKENS_MAX && !tokens.contains_key(&key) {
                tokens.clear();
            }
            Arc::clone(tokens.entry(key).or_default())
        };
        let mut held = held.lock().await;
        let now = self.clock.now();
        if let Some((token, end)) = held.as_ref().filter(|(_, end)| access_token::lives_on(*end, now)) {
            return Ok((token.clone(), *end));
        }
        *held = None;
        let issued = self.ask(identity, resource).await?;
        *held = Some(issued.clone());
        Ok(issued)
    }

    /// Throws the machine's tokens away, so that the next are new.
    pub(crate) fn forget(&self) {
        self.held.lock().expect("no panic while the lock is held").clear();
    }

    async fn ask(
        &self,
        identity: &ManagedIdentity,
        resource: &str,
    ) -> Result<(Secret<String>, Timestamp), TokenError> {
        check_address(&identity.endpoint)?;
        let mut url = identity.endpoint.clone();
        let version = if identity.header.is_some() { "2019-08-01" } else { "2018-02-01" };
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
        if let Some(client_id) = &identity.client_id {
            url.query_pairs_mut().append_pair("client_id", client_id);
        }
        let mut last = None;
        for wait in WAITS {
            tokio::time::sleep(wait).await;
            let request = self.direct.get(url.as_str(), None);
            let request = match &identity.header {
                Some(header) => request.header("X-IDENTITY-HEADER", header.expose()),
                None => request.header("Metadata", "true"),
            };
            let answer = match self.direct.send(request).await {
                Ok(answer) => answer,
                Err(error @ (TransportError::Connect { .. } | TransportError::Timeout { .. })) => {
                    return Err(unusable(
                        Fault::Unreachable,
                        format!("{error}; a managed identity exists on Azure machines only"),
                    ));
                }
                Err(error) => return Err(error.into()),
            };
            match answer.status {
                200 => return read(answer, self.clock.now()),
                404 | 410 | 429 | 500..=599 => last = Some(answer),
                _ => return Err(refusal(&answer)),
            }
        }
        Err(refusal(&last.expect("there was an attempt")))
    }
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    /// When it ends, in seconds since 1970; App Service says only this.
    #[serde(default)]
    expires_on: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
    /// App Service's own word.
    #[serde(default)]
    message: String,
}

/// Plain HTTP is for the link-local address, which no router passes on, and for this machine.
fn check_address(endpoint: &Url) -> Result<(), TokenError> {
    let link_local = matches!(endpoint.host(), Some(url::Host::Ipv4(ip)) if ip.is_link_local());
    if endpoint.scheme() == "https" || link_local || cloud::is_loopback(endpoint) {
        return Ok(());
    }
    Err(unusable(
        Fault::Misconfigured,
        format!(
            "{} is no metadata service: its address is neither link-local nor on this machine",
            shown(endpoint.as_str())
        ),
    ))
}

fn read(answer: Response, now: Timestamp) -> Result<(Secret<String>, Timestamp), TokenError> {
    let status = answer.status;
    let body = Secret::new(answer.body);
    let issued: Issued = muster_model::json::from_answer(body.expose())
        .map_err(|_| TokenError::Odd { status, beginning: access_token::NOT_SHOWN.to_owned() })?;
    let secret = access_token::usable(issued.access_token, status)?;
    let end = match (&issued.expires_in, &issued.expires_on) {
        (None, Some(at)) => access_token::end_at(at, now),
        (life, _) => access_token::end(life.as_ref(), now),
    };
    Ok((secret, end))
}

fn refusal(answer: &Response) -> TokenError {
    if answer.status == 429 || answer.status >= 500 {
        return TokenError::Busy { status: answer.status, retry_after: answer.retry_after() };
    }
    let told = match muster_model::json::from_answer::<Refusal>(&answer.body) {
        Ok(refusal) if refusal.error.is_empty() => shown(&refusal.message),
        Ok(refusal) => format!("{}: {}", shown(&refusal.error), shown(&refusal.error_description)),
        Err(_) => "no reason given".to_owned(),
    };
    unusable(
        Fault::Misconfigured,
        format!(
            "the metadata service refuses (status {}): {told}; check that the identity is assigned to this machine, and its client id",
            answer.status
        ),
    )
}

fn unusable(fault: Fault, why: String) -> TokenError {
    TokenError::Credential { app: "managed identity".to_owned(), fault, why }
}
