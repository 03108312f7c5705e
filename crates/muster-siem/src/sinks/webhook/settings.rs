//! The settings of a webhook.

use std::path::{Path, PathBuf};

use muster_model::{ByteSize, SecretReference, Span};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Deserializer};

use super::address::HookUrl;
use super::hook::HookSettings;
use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, SplunkOptions,
};
use crate::sinks::headers::{self, Headers};
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, seconds, word};

/// `type = "webhook"`: records posted to an address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where records are posted.
    pub url: HookUrl,
    /// Whether addresses of private networks, of this machine and of metadata services may be connected to.
    #[serde(default)]
    pub allow_private: bool,
    /// Secrets that messages are signed with, each `whsec_…`: several while one takes the place of another.
    #[serde(default)]
    pub signing_secrets: Vec<SecretReference>,
    /// Further headers: text, or a secret by reference.
    #[serde(default)]
    pub headers: Headers,
    /// The body of each record, a template whose values are written as JSON; without it, the format's event.
    #[serde(default)]
    pub body: Option<String>,
    /// `off`: a request for each event; `array` or `ndjson`: several in one.
    #[serde(default, deserialize_with = "batch")]
    pub batch: BatchAs,
    /// The events of one request, where `batch` is on; one that is bigger goes alone.
    #[serde(default = "mebibyte")]
    pub batch_size: ByteSize,
    /// `Content-Type`, where it is not that of the format.
    #[serde(default)]
    pub content_type: Option<String>,
    /// How records are written.
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
    /// How long each request may take.
    #[serde(default = "half_minute")]
    pub timeout: Span,
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

/// Whether a request holds one event or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatchAs {
    /// A request for each.
    #[default]
    Off,
    /// A JSON list.
    Array,
    /// A line for each.
    Ndjson,
}

impl Settings for WebhookSettings {
    fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    fn target(&self) -> String {
        self.url.origin()
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
        let signing = self.signing_secrets.iter().map(|place| ("signing_secrets", place));
        signing
            .chain(headers::secrets(&self.headers))
            .chain(self.client_key.iter().map(|place| ("client_key", place)))
            .collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = self.hook().mistakes();
        if self.content_type.as_ref().is_some_and(|kind| HeaderValue::from_str(kind).is_err()) {
            mistakes.push("content_type holds a character that no header has".to_owned());
        }
        let is_lines = matches!(self.format, FormatName::Cef | FormatName::Leef);
        if self.batch == BatchAs::Array && is_lines {
            mistakes.push(format!(
                "format = \"{}\" writes lines, of which no JSON list can be made: use batch = \"ndjson\", or none",
                self.format.as_str()
            ));
        }
        let has_own =
            self.format != FormatName::Raw || !self.mapping.is_empty() || self.event_size_max.is_some();
        if self.body.is_some() && has_own {
            mistakes.push(
                "body takes the place of the format's event: format, mapping and event_size_max say nothing beside it"
                    .to_owned(),
            );
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            mistakes.push("client_certificate and client_key belong together".to_owned());
        }
        mistakes
    }
}

impl WebhookSettings {
    pub(super) fn content_type(&self) -> &str {
        match (&self.content_type, self.batch, self.format) {
            (Some(kind), ..) => kind,
            (None, _, FormatName::Cef | FormatName::Leef) => "text/plain; charset=utf-8",
            (None, BatchAs::Ndjson, _) => "application/x-ndjson",
            (None, ..) => "application/json",
        }
    }

    /// Whatever is posted to.
    pub(super) fn hook(&self) -> HookSettings {
        HookSettings {
            url: self.url.clone(),
            allow_private: self.allow_private,
            signing_secrets: self.signing_secrets.clone(),
            headers: self.headers.clone(),
            timeout: self.timeout.0,
            ca_file: self.ca_file.clone(),
            identity: (self.client_certificate.clone(), self.client_key.clone()),
        }
    }
}

fn batch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BatchAs, D::Error> {
    let words = [("off", BatchAs::Off), ("array", BatchAs::Array), ("ndjson", BatchAs::Ndjson)];
    word(deserializer, "a way to batch", &words)
}

fn mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

fn half_minute() -> Span {
    seconds(30)
}

fn two() -> u32 {
    2
}
