//! An address that messages are posted to: signed, and never into a private network unless that is meant. The sink and notices
//! post by it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use muster_http::{Client, Response};
use muster_model::SecretReference;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::address::HookUrl;
use super::signature::Signer;
use crate::sinks::headers::{self, Headers};
use crate::sinks::http::{self, ReceiverWords};
use crate::sinks::settings::Surroundings;
use crate::sinks::tls;

/// Headers that are written by whoever posts.
const OWN_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const WORDS: ReceiverWords =
    ReceiverWords { product: "the webhook", service: "a webhook", place: "the receiver" };

/// The settings of an address that messages are posted to.
#[derive(Debug, Clone)]
pub struct HookSettings {
    /// Where they are posted.
    pub url: HookUrl,
    /// Whether addresses of private networks, of this machine and of metadata services may be connected to.
    pub allow_private: bool,
    /// Secrets that messages are signed with, each `whsec_…`.
    pub signing_secrets: Vec<SecretReference>,
    /// Further headers: text, or a secret by reference.
    pub headers: Headers,
    /// How long each request may take.
    pub timeout: Duration,
    /// PEM certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A certificate by which Muster proves who it is, in PEM, and its key.
    pub identity: (Option<PathBuf>, Option<SecretReference>),
}

impl HookSettings {
    /// Mistakes that no single key shows.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = headers::mistakes(&self.headers, &OWN_HEADERS);
        let at = muster_http::not_public_host(self.url.expose());
        if let Some((address, why)) = at.filter(|_| !self.allow_private) {
            mistakes.push(format!(
                "its url leads to {address}, which is {why}: set allow_private = true if that is meant"
            ));
        }
        mistakes
    }

    /// Every place that a secret is kept in, with the key that names it.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretReference)> {
        let signing = self.signing_secrets.iter().map(|place| ("signing_secrets", place));
        signing
            .chain(headers::secrets(&self.headers))
            .chain(self.identity.1.iter().map(|place| ("client_key", place)))
    }
}

/// Whoever posts there.
#[derive(Debug)]
pub struct Hook {
    client: Client,
    signer: Signer,
    url: HookUrl,
    timeout: Duration,
}

impl Hook {
    /// Makes it; nothing is connected yet.
    ///
    /// # Errors
    /// What of the settings cannot work, in words for the operator.
    pub fn build(
        settings: &HookSettings,
        around: &Surroundings<'_>,
        requests_max: usize,
    ) -> Result<Self, String> {
        let signer = Signer::new(&settings.signing_secrets, around)?;
        let headers = headers::read(&settings.headers, around)?;
        let proxy = around.proxy.clone()?;
        if proxy.is_some() && !settings.allow_private {
            return Err(
                "the proxy of [network] connects in its place, and where it leads then cannot be seen from here: set \
                 allow_private = true when the proxy itself keeps private networks closed"
                    .to_owned(),
            );
        }
        let ca_file = around.path(settings.ca_file.as_ref());
        let (certificate, key) = (&settings.identity.0, &settings.identity.1);
        let identity = (around.path(certificate.as_ref()), key.as_ref());
        let tls = tls::with_identity(ca_file.as_deref(), identity, around)?;
        let options =
            http::Connection { tls, public_only: !settings.allow_private, ..http::Connection::default() };
        let client =
            http::client_with(headers, settings.timeout, ca_file.as_deref(), proxy, requests_max, options)?;
        Ok(Self { client, signer, url: settings.url.clone(), timeout: settings.timeout })
    }

    /// Posts a message, to the address or to one below its origin.
    ///
    /// # Errors
    /// Why there was no answer, in words for the operator.
    pub async fn post(
        &self,
        to: Option<&Url>,
        id: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Response, String> {
        let url = to.unwrap_or(self.url.expose());
        let mut request = self.client.request(Method::POST, url.as_str()).header(CONTENT_TYPE, content_type);
        for (name, value) in self.signer.headers(id, &body) {
            request = request.header(name, value);
        }
        // Whatever becomes of the rest of an answer, a 2xx is one.
        self.client.send_for_status(request.body(body)).await.map_err(|error| self.no_answer(&error))
    }

    /// Connects and asks with `HEAD`, which posts nothing.
    ///
    /// # Errors
    /// Why there was no answer, in words for the operator.
    pub async fn look(&self) -> Result<Response, String> {
        let request = self.client.request(Method::HEAD, self.url.expose().as_str());
        self.client.send_for_status(request).await.map_err(|error| self.no_answer(&error))
    }

    fn no_answer(&self, error: &muster_http::TransportError) -> String {
        http::no_answer(error, self.timeout, WORDS)
    }

    /// What it said, short and safe to print. Many say back the address that was asked for.
    #[must_use]
    pub fn words(&self, response: &Response) -> String {
        let said = self.url.hidden_in(&String::from_utf8_lossy(&response.body));
        http::words(response.status, said.as_bytes())
    }

    /// How long the receiver asks to wait, within reason.
    #[must_use]
    pub fn asked_wait(response: &Response) -> Option<Duration> {
        http::asked_wait(response)
    }
}
