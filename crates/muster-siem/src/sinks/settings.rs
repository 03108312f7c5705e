//! What the settings of all sinks have in common.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_http::Proxy;
use muster_model::{ByteSize, Clock, Secret, SecretReference, Span};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::bearer::OpenTokens;
use crate::formats::{
    BigEvents, Bounds, CefOptions, EcsOptions, Encoding, Format, LeefOptions, Mapping, MappingOptions,
    OcsfOptions, SplunkOptions,
};

/// Below that not even a reference to a record fits.
const EVENT_SIZE_LEAST: u64 = 1024;

/// What every sink's section can be asked.
pub trait Settings: fmt::Debug {
    /// Where the sink is, in a word.
    fn target(&self) -> String;

    /// How records are written: the format, the sink's own fields, the longest event.
    ///
    /// # Errors
    /// All mistakes in the mapping and in the bounds, in words for the operator.
    fn encoding(&self) -> Result<Encoding, Vec<String>>;

    /// How many delivery batches may be under way at the same time.
    fn concurrency(&self) -> u32;

    /// The CA file of a sink that speaks HTTP.
    fn ca_file(&self) -> Option<&Path> {
        None
    }

    /// Every place that a secret of this sink is kept in, with the key that names it.
    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        Vec::new()
    }

    /// Mistakes that no single key shows, beside those of the encoding.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a sink needs beside its own section.
pub struct Surroundings<'a> {
    /// Where relative paths start from.
    pub folder: &'a Path,
    /// Reads a secret, or says why it cannot be had. It may take its time.
    pub secret: ReadSecret,
    /// The proxy on the way, or what is wrong with it.
    pub proxy: Result<Option<Proxy>, String>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Opens the way to bearer tokens.
    pub tokens: OpenTokens<'a>,
}

/// Reads a secret, or says why it cannot be had.
pub type ReadSecret = Arc<dyn Fn(&SecretReference) -> Result<Secret<String>, NoSecret> + Send + Sync>;

/// Why a secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSecret {
    /// In words for the operator, with what to do.
    pub reason: String,
    /// Whether there is none at its place, which is no mistake where another would do.
    pub is_missing: bool,
}

impl Surroundings<'_> {
    /// A path of the settings.
    pub(super) fn path(&self, path: Option<&PathBuf>) -> Option<PathBuf> {
        path.map(|path| self.folder.join(path))
    }
}

/// The keys that say how records are written, in whichever sink.
pub(super) struct EncodingKeys<'s> {
    pub(super) format: Format,
    pub(super) mapping: &'s MappingOptions,
    pub(super) event_size_max: Option<ByteSize>,
    pub(super) big_events: BigEvents,
    pub(super) big_drop: &'s [String],
}

impl EncodingKeys<'_> {
    /// See [`Settings::encoding`].
    pub(super) fn encoding(self) -> Result<Encoding, Vec<String>> {
        let Self { format, mapping, event_size_max, big_events, big_drop } = self;
        let mut mistakes = Vec::new();
        if big_events == BigEvents::Drop && big_drop.is_empty() {
            mistakes.push(
                "big_events = \"drop\" needs big_drop, the names of the fields to leave out".to_owned(),
            );
        }
        if big_events != BigEvents::Drop && !big_drop.is_empty() {
            mistakes.push("big_drop is only used with big_events = \"drop\"".to_owned());
        }
        if event_size_max.is_some_and(|size| size.0 < EVENT_SIZE_LEAST) {
            mistakes.push(format!("event_size_max must be at least {EVENT_SIZE_LEAST} B"));
        }
        let mapping = match mapping.is_empty() {
            true => None,
            false => match Mapping::compile(mapping, &format) {
                Ok(mapping) => Some(Arc::new(mapping)),
                Err(errors) => {
                    mistakes.extend(errors.iter().map(ToString::to_string));
                    None
                }
            },
        };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let bounds = event_size_max.map(|size| Bounds {
            event_bytes_max: bytes(size),
            big_events,
            drop: big_drop.to_vec(),
        });
        Ok(Encoding { format, mapping, bounds })
    }
}

/// The name of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// Microsoft's JSON, untouched.
    #[default]
    Raw,
    /// Splunk event objects.
    Splunk,
    /// ArcSight Common Event Format.
    Cef,
    /// Log Event Extended Format, for QRadar.
    Leef,
    /// Elastic Common Schema.
    Ecs,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
}

/// The options of each format in a sink's section.
#[derive(Debug, Clone, Default)]
pub struct FormatOptions {
    /// `[sinks.NAME.cef]`
    pub cef: CefOptions,
    /// `[sinks.NAME.splunk]`
    pub splunk: SplunkOptions,
    /// `[sinks.NAME.leef]`
    pub leef: LeefOptions,
    /// `[sinks.NAME.ecs]`
    pub ecs: EcsOptions,
    /// `[sinks.NAME.ocsf]`
    pub ocsf: OcsfOptions,
}

impl FormatName {
    /// Every format, in the order in which they are shown.
    pub const ALL: [Self; 6] = [Self::Raw, Self::Splunk, Self::Cef, Self::Leef, Self::Ecs, Self::Ocsf];

    /// The word in settings and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Splunk => "splunk",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Raw => "Microsoft's JSON, untouched",
            Self::Splunk => "Splunk event objects",
            Self::Cef => "ArcSight Common Event Format",
            Self::Leef => "Log Event Extended Format, for QRadar",
            Self::Ecs => "Elastic Common Schema",
            Self::Ocsf => "Open Cybersecurity Schema Framework",
        }
    }

    /// The format with its options.
    #[must_use]
    pub fn with(self, options: &FormatOptions) -> Format {
        match self {
            Self::Raw => Format::Raw,
            Self::Splunk => Format::Splunk(options.splunk.clone()),
            Self::Cef => Format::Cef(options.cef.clone()),
            Self::Leef => Format::Leef(options.leef.clone()),
            Self::Ecs => Format::Ecs(options.ecs.clone()),
            Self::Ocsf => Format::Ocsf(options.ocsf.clone()),
        }
    }
}

/// A word out of a few, or a mistake that names them all.
pub(super) fn word<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    what: &str,
    words: &[(&str, T)],
) -> Result<T, D::Error> {
    let given = String::deserialize(deserializer)?;
    let found = words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words = words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let meant = muster_model::text::did_you_mean(&given, words.iter().copied());
        serde::de::Error::custom(format!("`{given}` is not {what}{meant}: use one of {}", words.join(", ")))
    })
}

/// One address of HTTP, or several that lead to receivers of equal rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls(pub Vec<Url>);

impl Urls {
    /// Reads an address or a list of them, or says what is wrong and shows `example`.
    pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D, example: &str) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            One(String),
            Several(Vec<String>),
        }
        let given = match Given::deserialize(deserializer) {
            Ok(Given::One(one)) => vec![one],
            Ok(Given::Several(several)) => several,
            Err(_) => Vec::new(),
        };
        if given.is_empty() {
            let expected = format!("it must be an address such as {example}, or a list of them");
            return Err(serde::de::Error::custom(expected));
        }
        let mut urls = Vec::with_capacity(given.len());
        for text in given {
            let url = Url::parse(&text).ok();
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            let url = url.ok_or_else(|| {
                serde::de::Error::custom(format!("`{text}` is not an address such as {example}"))
            })?;
            if urls.contains(&url) {
                return Err(serde::de::Error::custom(format!("{url} is named twice")));
            }
            urls.push(url);
        }
        Ok(Self(urls))
    }
}

/// One address of HTTP without user, password, `?` or `#`; or what is wrong, with `example` shown. What was given is not, since
/// a secret may stand in it.
pub(super) fn one_url<'de, D: Deserializer<'de>>(deserializer: D, example: &str) -> Result<Url, D::Error> {
    let wrong = |why: &str| serde::de::Error::custom(format!("it must be an address such as {example}{why}"));
    let url = Url::parse(String::deserialize(deserializer)?.trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| wrong(""))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(", without user and password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(", without `?` or `#`"));
    }
    Ok(url)
}

pub(super) fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

pub(super) const fn seconds(seconds: u64) -> Span {
    Span(Duration::from_secs(seconds))
}
