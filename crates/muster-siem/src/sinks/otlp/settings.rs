//! The settings of an OTLP sink.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_http::Client;
use muster_model::{ByteSize, SecretReference, Span};
use reqwest::header::HeaderMap;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, SplunkOptions,
    Template,
};
use crate::sinks::headers::{self, Headers};
use crate::sinks::http;
use crate::sinks::settings::{
    EncodingKeys, FormatName, FormatOptions, Settings, Surroundings, one_url, seconds,
};
use crate::sinks::tls;

/// Where logs are sent, below the collector's address.
const PATH: &str = "/v1/logs";
/// Attributes of the resource that the sink writes by itself.
const OWN_ATTRIBUTES: [&str; 4] =
    ["service.name", "muster.tenant.id", "muster.tenant.slug", "muster.tenant.name"];

/// `type = "otlp"`: OpenTelemetry logs over HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpSettings {
    /// The collector, such as `https://otel.example:4318`; `/v1/logs` is added where it is missing.
    #[serde(deserialize_with = "url")]
    pub url: Url,
    /// Further headers: text, or a secret by reference.
    #[serde(default)]
    pub headers: Headers,
    /// The resource's `service.name`.
    #[serde(default = "muster")]
    pub service_name: String,
    /// Further attributes of the resource; `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ tenant.name }}` may stand in them.
    #[serde(default)]
    pub resource: BTreeMap<String, Template>,
    /// How a log record's body is written.
    #[serde(default)]
    pub format: FormatName,
    /// `[sinks.NAME.cef]`
    #[serde(default)]
    pub cef: CefOptions,
    /// `[sinks.NAME.leef]`
    #[serde(default)]
    pub leef: LeefOptions,
    /// `[sinks.NAME.splunk]`
    #[serde(default)]
    pub splunk: SplunkOptions,
    /// `[sinks.NAME.ecs]`
    #[serde(default)]
    pub ecs: EcsOptions,
    /// `[sinks.NAME.ocsf]`
    #[serde(default)]
    pub ocsf: OcsfOptions,
    /// `[sinks.NAME.mapping]`: fields dropped, renamed, set and added.
    #[serde(default)]
    pub mapping: MappingOptions,
    /// The longest event.
    #[serde(default)]
    pub event_size_max: Option<ByteSize>,
    /// What is done with longer ones: `split`, `drop` or `refer`.
    #[serde(default)]
    pub big_events: BigEvents,
    /// The fields that `big_events = "drop"` leaves out, in this order.
    #[serde(default)]
    pub big_drop: Vec<String>,
    /// Whether bodies are compressed.
    #[serde(default = "yes")]
    pub gzip: bool,
    /// How long each request may take.
    #[serde(default = "half_minute")]
    pub timeout: Span,
    /// The log records of one request; one that is bigger goes alone.
    #[serde(default = "quarter_mebibyte")]
    pub batch_size: ByteSize,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A certificate by which Muster proves who it is, in PEM.
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// Its key.
    #[serde(default)]
    pub client_key: Option<SecretReference>,
    /// Delivery batches under way at the same time.
    #[serde(default = "two")]
    pub concurrency: u32,
}

impl Settings for OtlpSettings {
    fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    fn target(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let options = FormatOptions {
            cef: self.cef.clone(),
            splunk: self.splunk.clone(),
            leef: self.leef.clone(),
            ecs: self.ecs.clone(),
            ocsf: self.ocsf.clone(),
        };
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (format, event_size_max) = (self.format.with(&options), *event_size_max);
        EncodingKeys { format, mapping, event_size_max, big_events: *big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        let key = self.client_key.iter().map(|place| ("client_key", place));
        headers::secrets(&self.headers).chain(key).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = headers::mistakes(&self.headers, &[]);
        if self.service_name.trim().is_empty() {
            mistakes.push("service_name is empty".to_owned());
        }
        for key in self.resource.keys() {
            if OWN_ATTRIBUTES.contains(&key.as_str()) || key.trim().is_empty() {
                mistakes.push(format!("resource: `{key}` is written by the sink itself, or is no name"));
            }
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            mistakes.push("client_certificate and client_key belong together".to_owned());
        }
        mistakes
    }
}

impl OtlpSettings {
    /// Where logs are sent.
    pub(super) fn logs_url(&self) -> String {
        let base = self.url.as_str().trim_end_matches('/');
        if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
    }

    pub(super) fn client(
        &self,
        around: &Surroundings<'_>,
        requests_max: usize,
        headers: HeaderMap,
    ) -> Result<Client, String> {
        let ca_file = around.path(self.ca_file.as_ref());
        let identity = (around.path(self.client_certificate.as_ref()), self.client_key.as_ref());
        let tls = tls::with_identity(ca_file.as_deref(), identity, around)?;
        let options = http::Connection { tls, ..http::Connection::default() };
        let proxy = around.proxy.clone()?;
        http::client_with(headers, self.timeout.0, ca_file.as_deref(), proxy, requests_max, options)
    }
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    one_url(deserializer, "https://otel.example:4318")
}

fn muster() -> String {
    "muster".to_owned()
}

fn yes() -> bool {
    true
}

fn half_minute() -> Span {
    seconds(30)
}

fn quarter_mebibyte() -> ByteSize {
    ByteSize(256 << 10)
}

fn two() -> u32 {
    2
}
