//! The settings of a Sentinel sink.

use std::path::{Path, PathBuf};

use muster_model::{ByteSize, Span, TenantId};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::row::FIELD_BYTES_MAX;
use crate::formats::{BigEvents, EcsOptions, Encoding, MappingOptions, OcsfOptions};
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, one_url, seconds};

/// The longest request that the service takes, packed and unpacked: 1 MB, by the smaller reading of that word.
const REQUEST_BYTES_MAX: u64 = 1_000_000;

/// `type = "sentinel"`: Microsoft Sentinel, by a data collection rule of Azure Monitor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentinelSettings {
    /// The rule's own endpoint, or a data collection endpoint: `https://NAME.REGION.ingest.monitor.azure.com`.
    #[serde(deserialize_with = "endpoint")]
    pub endpoint: Url,
    /// The rule's immutable id, `dcr-…`.
    pub rule: String,
    /// The stream that the rule declares, `Custom-…`.
    pub stream: String,
    /// The app of `[apps]` whose token is used.
    pub app: String,
    /// The Entra tenant that the rule's subscription trusts, where it is not the app's own.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// How the column `Event` is written: `raw`, `ecs` or `ocsf`.
    #[serde(default)]
    pub format: FormatName,
    /// `[sinks.NAME.ecs]`
    #[serde(default)]
    pub ecs: EcsOptions,
    /// `[sinks.NAME.ocsf]`
    #[serde(default)]
    pub ocsf: OcsfOptions,
    /// `[sinks.NAME.mapping]`: fields dropped, renamed, set and added.
    #[serde(default)]
    pub mapping: MappingOptions,
    /// The longest event; a longer one is handled as `big_events` says, and becomes several rows as a rule.
    #[serde(default = "longest_field")]
    pub event_size_max: ByteSize,
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
    #[serde(default = "minute")]
    pub timeout: Span,
    /// The rows of one request.
    #[serde(default = "longest_request")]
    pub batch_size: ByteSize,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Delivery batches under way at the same time.
    #[serde(default = "four")]
    pub concurrency: u32,
}

impl Settings for SentinelSettings {
    fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    fn target(&self) -> String {
        self.endpoint.as_str().trim_end_matches('/').to_owned()
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let options =
            FormatOptions { ecs: self.ecs.clone(), ocsf: self.ocsf.clone(), ..FormatOptions::default() };
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (format, event_size_max) = (self.format.with(&options), Some(*event_size_max));
        EncodingKeys { format, mapping, event_size_max, big_events: *big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let fits = |text: &str, more: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if !self.rule.strip_prefix("dcr-").is_some_and(|rest| !rest.is_empty() && fits(rest, b"-")) {
            mistakes.push(
                "rule must be the rule's immutable id, `dcr-` and 32 hexadecimal digits, not its name: the portal shows it in the \
                 rule's JSON view as `immutableId`"
                    .to_owned(),
            );
        }
        if !self.stream.strip_prefix("Custom-").is_some_and(|rest| !rest.is_empty() && fits(rest, b"_-")) {
            mistakes.push(
                "stream must be one that the rule declares, `Custom-` and letters, digits and `_`, such as Custom-Muster_CL"
                    .to_owned(),
            );
        }
        if !matches!(self.format, FormatName::Raw | FormatName::Ecs | FormatName::Ocsf) {
            mistakes.push(format!(
                "format = \"{}\" writes no JSON object for a column: use raw, ecs or ocsf",
                self.format.as_str()
            ));
        }
        if self.event_size_max.0 > FIELD_BYTES_MAX as u64 {
            mistakes.push(format!(
                "event_size_max may be {FIELD_BYTES_MAX} B at most: Azure cuts a field at 64 KB and says nothing"
            ));
        }
        let least = 2 * FIELD_BYTES_MAX as u64;
        if !(least..=REQUEST_BYTES_MAX).contains(&self.batch_size.0) {
            mistakes.push(format!("batch_size must be from {least} B to {REQUEST_BYTES_MAX} B"));
        }
        mistakes
    }
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    one_url(deserializer, "https://mssp-dce.westeurope-1.ingest.monitor.azure.com")
}

fn longest_field() -> ByteSize {
    ByteSize(FIELD_BYTES_MAX as u64)
}

fn longest_request() -> ByteSize {
    ByteSize(REQUEST_BYTES_MAX)
}

fn yes() -> bool {
    true
}

fn minute() -> Span {
    seconds(60)
}

fn four() -> u32 {
    4
}
