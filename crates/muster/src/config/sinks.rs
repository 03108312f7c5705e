//! `[sinks.NAME]`: each type of sink has its own section, which is written and read in `muster_siem::sinks`.

use std::time::Duration;

use muster_model::text::did_you_mean;
use muster_model::{SecretReference, Span};
use muster_siem::sinks::SinkSettings;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Mistake;
use super::document::Document;
use super::wording::without_values;

/// How far the backlog of a shadow reaches back where nothing is said.
const SHADOW_BACKLOG: Duration = Duration::from_secs(86_400);

/// A sink's section.
pub(super) struct SinkSection {
    pub(super) settings: SinkSettings,
    pub(super) keys: SinkKeys,
}

/// What a section says of a sink beside what the sink itself is told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkKeys {
    /// It gets what its routes give it, and nothing depends on it.
    pub shadow: bool,
    /// What a shadow is owed for longer it does without.
    pub shadow_backlog: Option<Span>,
    /// Where `muster sink verify` asks what is there.
    pub search: Option<SearchSettings>,
}

/// `[sinks.NAME.search]`: Splunk's REST API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// Its address, such as `https://splunk.example:8089`.
    #[serde(deserialize_with = "search_url")]
    pub url: url::Url,
    /// A token that may search.
    pub token: SecretReference,
}

impl SinkKeys {
    /// The keys that a section of this type may have beside the sink's own.
    pub(super) fn names(kind: &str) -> &'static [&'static str] {
        match kind {
            "splunk_hec" => &["shadow", "shadow_backlog", "search"],
            _ => &["shadow", "shadow_backlog"],
        }
    }

    /// How far a shadow's backlog may reach back.
    pub fn backlog(&self) -> Duration {
        self.shadow_backlog.map_or(SHADOW_BACKLOG, |span| span.0)
    }
}

fn search_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<url::Url, D::Error> {
    let url = url::Url::parse(String::deserialize(deserializer)?.trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| serde::de::Error::custom("it must be an address such as https://splunk.example:8089"))
}

/// Reads a sink's section. The type is read first, so that each type's mistakes keep their lines.
pub(super) fn read(
    document: &Document<'_>,
    name: &str,
    value: Spanned<DeValue<'_>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<SinkSection> {
    let span = value.span();
    let DeValue::Table(mut table) = value.into_inner() else {
        mistakes.push(document.mistake_at(&span, name, None, &format!("write it as a section: [{name}]")));
        return None;
    };
    let Some(kind) = table.remove("type" as &str) else {
        let types = one_of(&SinkSettings::TYPES.map(|kind| format!("\"{kind}\"")));
        let message = format!("the type is missing: type = {types}");
        mistakes.push(document.mistake_at(&span, name, Some("type"), &message));
        return None;
    };
    let at = kind.span();
    let kind = match kind.into_inner() {
        DeValue::String(DeString::Borrowed(kind)) => kind.to_owned(),
        DeValue::String(DeString::Owned(kind)) => kind,
        _ => String::new(),
    };
    let taken = SinkKeys::names(&kind);
    let mut beside = DeTable::new();
    for key in taken {
        if let Some((key, value)) = table.remove_entry(*key) {
            beside.insert(key, value);
        }
    }
    let section = Spanned::new(span.clone(), DeValue::Table(table));
    let settings = match kind.as_str() {
        "splunk_hec" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::SplunkHec),
        "elasticsearch" => {
            document.section_beside(name, section, taken, mistakes).map(SinkSettings::Elasticsearch)
        }
        "kafka" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::Kafka),
        "nats" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::Nats),
        "sentinel" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::Sentinel),
        "webhook" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::Webhook),
        "otlp" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::Otlp),
        "amqp" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::Amqp),
        "syslog" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::Syslog),
        "file" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::File),
        "stdout" => document.section_beside(name, section, taken, mistakes).map(SinkSettings::Stdout),
        "object_store" => {
            document.section_beside(name, section, taken, mistakes).map(SinkSettings::ObjectStore)
        }
        _ => {
            let types = one_of(&SinkSettings::TYPES.map(str::to_owned));
            let meant = did_you_mean(&kind, SinkSettings::TYPES);
            let message = format!("`{kind}` is not a type of sink{meant}: use {types}");
            let message = without_values(&message, "type", &[&kind]);
            mistakes.push(document.mistake_at(&at, name, Some("type"), &message));
            None
        }
    };
    let keys = document.section(name, Spanned::new(span, DeValue::Table(beside)), mistakes);
    Some(SinkSection { settings: settings?, keys: keys? })
}

fn one_of(words: &[String]) -> String {
    let (last, others) = words.split_last().expect("there are sinks");
    format!("{} or {last}", others.join(", "))
}
