//! The settings of an Elasticsearch sink.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use muster_model::{ByteSize, Secret, SecretReference, Span};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::formats::{BigEvents, EcsOptions, Encoding, MappingOptions, OcsfOptions, Piece, Template};
use crate::sinks::settings::{
    EncodingKeys, FormatName, FormatOptions, Settings, Surroundings, Urls, seconds,
};

/// The longest name of an index, in bytes.
const INDEX_BYTES_MAX: usize = 255;
/// The longest text that a placeholder of a template becomes: a slug, or an id.
const PLACEHOLDER_BYTES_MAX: usize = 64;

/// `type = "elasticsearch"`: Elasticsearch or OpenSearch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticsearchSettings {
    /// Where it is, such as `https://elastic.example:9200`; or a list of nodes of one cluster.
    #[serde(deserialize_with = "urls")]
    pub url: Urls,
    /// An API key, encoded as Elasticsearch gives it out.
    #[serde(default)]
    pub api_key: Option<SecretReference>,
    /// A user, where there is no API key.
    #[serde(default)]
    pub user: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<SecretReference>,
    /// The index, data stream or alias; `{{ tenant.slug }}` and `{{ tenant.id }}` may stand in it. Without it, each ECS document
    /// goes into the data stream that it names.
    #[serde(default)]
    pub index: Option<Template>,
    /// The ingest pipeline, where it is not the index's own.
    #[serde(default)]
    pub pipeline: Option<String>,
    /// How records are written: `ecs`, `ocsf` or `raw`.
    #[serde(default = "ecs")]
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
    #[serde(default)]
    pub gzip: bool,
    /// How long each request may take.
    #[serde(default = "minute")]
    pub timeout: Span,
    /// The events of one request; one that is bigger goes alone.
    #[serde(default = "four_mebibytes")]
    pub batch_size: ByteSize,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Delivery batches under way at the same time.
    #[serde(default = "two")]
    pub concurrency: u32,
}

impl Settings for ElasticsearchSettings {
    fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    fn target(&self) -> String {
        self.url.0.iter().map(Url::as_str).collect::<Vec<_>>().join(", ")
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let options =
            FormatOptions { ecs: self.ecs.clone(), ocsf: self.ocsf.clone(), ..FormatOptions::default() };
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (format, event_size_max) = (self.format.with(&options), *event_size_max);
        EncodingKeys { format, mapping, event_size_max, big_events: *big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        let api_key = self.api_key.iter().map(|key| ("api_key", key));
        api_key.chain(self.password.iter().map(|password| ("password", password))).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.user.is_some() != self.password.is_some() {
            mistakes.push("user and password belong together".to_owned());
        }
        if self.user.is_some() && self.api_key.is_some() {
            mistakes.push("api_key, or user and password: not both".to_owned());
        }
        if !matches!(self.format, FormatName::Ecs | FormatName::Ocsf | FormatName::Raw) {
            mistakes.push(format!(
                "format = \"{}\" writes no documents: use ecs, ocsf or raw",
                self.format.as_str()
            ));
        }
        if self.url.0.iter().any(|url| !url.username().is_empty() || url.password().is_some()) {
            mistakes
                .push("its url must hold no user or password: these are settings of their own".to_owned());
        }
        if self.url.0.iter().any(|url| url.query().is_some() || url.fragment().is_some()) {
            mistakes.push("its url must end with the path, without `?` or `#`".to_owned());
        }
        match &self.index {
            Some(index) => mistakes.extend(wrong_index(index).map(|why| format!("index {why}"))),
            None if self.format == FormatName::Ecs => {}
            None => mistakes.push(format!(
                "format = \"{}\" needs index: only ECS documents name their data stream",
                self.format.as_str()
            )),
        }
        let for_logs = |index: &Template| matches!(index.0.first(), Some(Piece::Literal(text)) if text.starts_with("logs-"));
        if self.format == FormatName::Ecs && self.index.as_ref().is_some_and(for_logs) {
            mistakes.push(
                "index begins with `logs-`, and Elastic's template for such data streams refuses documents that name another \
                 one: leave index off, so that each goes into the one that it names, or give it another name"
                    .to_owned(),
            );
        }
        if let Some(pipeline) = &self.pipeline {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
            if pipeline.is_empty() || !pipeline.bytes().all(fits) {
                mistakes.push("pipeline has letters, digits and `.`, `_`, `-`, `@` only".to_owned());
            }
        }
        mistakes
    }
}

impl ElasticsearchSettings {
    /// What goes with every request.
    pub(super) fn headers(&self, around: &Surroundings<'_>) -> Result<HeaderMap, String> {
        let authorization = match (&self.api_key, &self.user, &self.password) {
            (Some(api_key), ..) => {
                let key = (around.secret)(api_key).map_err(|no_secret| no_secret.reason)?;
                Secret::new(format!("ApiKey {}", key.expose()))
            }
            (None, Some(user), Some(password)) => {
                let password = (around.secret)(password).map_err(|no_secret| no_secret.reason)?;
                let pair = Secret::new(format!("{user}:{}", password.expose()));
                let pair = base64::engine::general_purpose::STANDARD.encode(pair.expose());
                Secret::new(format!("Basic {pair}"))
            }
            _ => return Ok(HeaderMap::new()),
        };
        let mut value = HeaderValue::from_str(authorization.expose())
            .ok()
            .filter(|_| authorization.expose().split(' ').filter(|word| !word.is_empty()).count() == 2)
            .ok_or(
                "its api_key is empty or holds a character that no key has, such as a space or a line end",
            )?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }
}

/// Why a template cannot be the name of an index or a data stream.
fn wrong_index(index: &Template) -> Option<String> {
    if index.has_names() {
        return Some(
            "cannot hold tenant.name, which may be anything: use tenant.slug or tenant.id".to_owned(),
        );
    }
    let mut bytes = 0;
    for (position, piece) in index.0.iter().enumerate() {
        let Piece::Literal(literal) = piece else {
            bytes += PLACEHOLDER_BYTES_MAX;
            continue;
        };
        bytes += literal.len();
        let fits = |character: char| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || "_-.+@".contains(character)
        };
        if !literal.chars().all(fits) || position == 0 && literal.starts_with(['_', '-', '+', '.']) {
            return Some(format!(
                "`{literal}` cannot be in the name of an index: lower-case letters, digits and `.`, `_`, `-`, `+`, `@`, the \
                 first one a letter or digit"
            ));
        }
    }
    (bytes > INDEX_BYTES_MAX).then(|| format!("may become longer than {INDEX_BYTES_MAX} bytes"))
}

fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Urls, D::Error> {
    Urls::read(deserializer, "https://elastic.example:9200")
}

fn ecs() -> FormatName {
    FormatName::Ecs
}

fn minute() -> Span {
    seconds(60)
}

fn four_mebibytes() -> ByteSize {
    ByteSize(4 << 20)
}

fn two() -> u32 {
    2
}
