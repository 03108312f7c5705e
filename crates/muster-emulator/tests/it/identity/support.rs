//! An emulator and a client that shares nothing with it.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_emulator::{Config, Handle, Tenant, start};
use serde_json::Value;

/// A running emulator.
pub(crate) struct Emulated {
    pub(crate) emulator: Handle,
    pub(crate) http: reqwest::Client,
}

impl Emulated {
    pub(crate) async fn start(config: Config) -> Self {
        let emulator = start(config).await.unwrap();
        // The provider of the process: a second test that installs it finds it there.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { emulator, http }
    }

    pub(crate) fn tenant(&self, place: usize) -> Tenant {
        self.emulator.tenants()[place].clone()
    }

    pub(crate) fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut url = url::Url::parse(&format!("{}/{path}", self.emulator.base_url())).unwrap();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url.into()
    }

    /// Posts a form.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.http.post(self.url(path, &[])).form(form).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        let answer = self.http.get(self.url(path, &[])).bearer_auth(token).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// The text of a page.
    pub(crate) async fn page(&self, path: &str, query: &[(&str, &str)]) -> (u16, String) {
        let answer = self.http.get(self.url(path, query)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// A token of the default app with its secret.
    pub(crate) async fn client_credentials(&self, tenant: &str, resource: &str) -> (u16, Value) {
        let scope = format!("{resource}/.default");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.emulator.app_id()),
            ("client_secret", self.emulator.secret()),
            ("scope", &scope),
        ];
        self.post(&format!("{tenant}/oauth2/v2.0/token"), &form).await
    }
}

/// The fields of an address that an application is called back at, in query or fragment.
pub(crate) fn fields_of(address: &str) -> HashMap<String, String> {
    let url = url::Url::parse(address).unwrap();
    let text = url.fragment().or(url.query()).unwrap_or("").to_owned();
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// What a token says.
pub(crate) fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
