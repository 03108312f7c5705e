//! `[sinks.NAME]`: where records go, and how they are spelled there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_model::Clock;
use muster_siem::formats::{
    BigEvents, Bounds, CefOptions, EcsOptions, Format, IndexTemplate, LeefOptions, Mapping, MappingOptions,
    OcsfOptions, Sourcetypes, Spelling, SplunkOptions, Template,
};
use muster_siem::sinks::{
    Acknowledge, Confirm, FileOptions, FileSink, Framing, Rfc, Sink, SplunkHec, SplunkHecOptions, Syslog,
    SyslogOptions, TlsOptions, Transport,
};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeValue};
use url::Url;

use super::section::Document;
use super::{ByteSize, Mistake, NetworkSettings, SecretReference, Span};

#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// The kind of sink, with what only it has.
    pub kind: SinkKind,
}

/// What each `type` of sink has of its own.
#[derive(Debug, Clone)]
pub enum SinkKind {
    SplunkHec(SplunkHecSettings),
    Syslog(SyslogSettings),
    File(FileSettings),
}

/// `type = "splunk_hec"`: Splunk's HTTP Event Collector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplunkHecSettings {
    /// Where the collector is, such as `https://splunk.example:8088`.
    #[serde(deserialize_with = "http_url")]
    pub url: Url,
    pub token: SecretReference,
    /// The index; `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ tenant.name }}` may stand in it, as in `host` and
    /// `source`.
    #[serde(default)]
    pub index: Option<IndexTemplate>,
    /// The host of the events.
    #[serde(default)]
    pub host: Option<Template>,
    /// The source of the events.
    #[serde(default)]
    pub source: Option<Template>,
    /// `[sinks.NAME.sourcetypes]`
    #[serde(default)]
    pub sourcetypes: Sourcetypes,
    /// Write the fields of the data models Alerts and Malware into the index.
    #[serde(default)]
    pub cim_fields: bool,
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
    /// Compress bodies: for slow links.
    #[serde(default)]
    pub gzip: bool,
    /// Indexer acknowledgement: `auto`, `required` or `off`.
    #[serde(default, deserialize_with = "acknowledge")]
    pub acknowledge: Acknowledge,
    /// How long an acknowledgement is waited for.
    #[serde(default = "ack_timeout")]
    pub ack_timeout: Span,
    /// How long a request may take.
    #[serde(default = "minute")]
    pub timeout: Span,
    /// The largest body of a request.
    #[serde(default = "one_mebibyte")]
    pub batch_size: ByteSize,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Delivery batches under way at the same time.
    #[serde(default = "four")]
    pub concurrency: u32,
}

/// `type = "syslog"`: a syslog receiver, such as an ArcSight SmartConnector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogSettings {
    /// Host and port, such as `arcsight.example:6514`.
    pub address: String,
    /// `udp`, `tcp` or `tls`.
    #[serde(deserialize_with = "transport")]
    pub transport: Transport,
    /// `octet_counting` or `newline`; the default is octet counting over TLS (RFC 5425), newlines over TCP.
    #[serde(default, deserialize_with = "framing")]
    pub framing: Option<Framing>,
    /// `5424` or `3164`.
    #[serde(default = "rfc_5424", deserialize_with = "rfc")]
    pub rfc: Rfc,
    /// How it is known that the receiver has everything: `close` or `none`.
    #[serde(default, deserialize_with = "confirm")]
    pub confirm: Option<Confirm>,
    /// How records are spelled: `raw`, `splunk`, `cef`, `leef`, `ecs` or `ocsf`.
    #[serde(default)]
    pub format: FormatName,
    /// `[sinks.NAME.cef]`
    #[serde(default)]
    pub cef: CefOptions,
    /// `[sinks.NAME.splunk]`
    #[serde(default)]
    pub splunk: SplunkOptions,
    /// `[sinks.NAME.leef]`
    #[serde(default)]
    pub leef: LeefOptions,
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
    /// The longest message that the receiver takes.
    #[serde(default)]
    pub message_size_max: Option<ByteSize>,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The name in the receiver's certificate, where it is not the address's host.
    #[serde(default)]
    pub server_name: Option<String>,
    /// How long each step may take.
    #[serde(default = "half_minute")]
    pub timeout: Span,
    /// Delivery batches under way at the same time.
    #[serde(default = "two")]
    pub concurrency: u32,
}

/// `type = "file"`: a file on this machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    pub path: PathBuf,
    /// How records are spelled: `raw`, `splunk`, `cef`, `leef`, `ecs` or `ocsf`.
    #[serde(default)]
    pub format: FormatName,
    /// `[sinks.NAME.cef]`
    #[serde(default)]
    pub cef: CefOptions,
    /// `[sinks.NAME.splunk]`
    #[serde(default)]
    pub splunk: SplunkOptions,
    /// `[sinks.NAME.leef]`
    #[serde(default)]
    pub leef: LeefOptions,
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
    /// Begin a new file at this size.
    #[serde(default)]
    pub rotate_size: Option<ByteSize>,
    /// Begin a new file after this time.
    #[serde(default)]
    pub rotate_every: Option<Span>,
    /// Keep so many rotated files; all when it is missing.
    #[serde(default)]
    pub keep: Option<u32>,
}

/// The name of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
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

impl SplunkHecSettings {
    pub fn splunk(&self) -> SplunkOptions {
        SplunkOptions {
            index: self.index.clone(),
            host: self.host.clone(),
            source: self.source.clone(),
            sourcetypes: self.sourcetypes.clone(),
            cim_fields: self.cim_fields,
        }
    }
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
    /// The format with its options.
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

/// What most syslog receivers take without being told: syslog-ng's `log-msg-size`.
const SYSLOG_MESSAGE_MAX: ByteSize = ByteSize(64 * 1024);
/// The longest header of a syslog message.
const SYSLOG_HEADER_BYTES: u64 = 512;
/// Below that not even a reference to a record fits.
const EVENT_SIZE_LEAST: u64 = 1024;

fn ack_timeout() -> Span {
    Span(Duration::from_secs(300))
}

fn minute() -> Span {
    Span(Duration::from_secs(60))
}

fn half_minute() -> Span {
    Span(Duration::from_secs(30))
}

fn one_mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

fn two() -> u32 {
    2
}

fn four() -> u32 {
    4
}

fn rfc_5424() -> Rfc {
    Rfc::Rfc5424
}

/// A word out of a few, or a mistake that names them all.
fn word<'de, D: serde::Deserializer<'de>, T: Copy>(
    deserializer: D,
    what: &str,
    words: &[(&str, T)],
) -> Result<T, D::Error> {
    let given = String::deserialize(deserializer)?;
    let found = words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        serde::de::Error::custom(format!("`{given}` is not {what}: use one of {words}"))
    })
}

fn acknowledge<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Acknowledge, D::Error> {
    let words = [("auto", Acknowledge::Auto), ("required", Acknowledge::Required), ("off", Acknowledge::Off)];
    word(deserializer, "a way to acknowledge", &words)
}

fn transport<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Transport, D::Error> {
    word(
        deserializer,
        "a transport",
        &[("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)],
    )
}

fn framing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Framing>, D::Error> {
    let words = [("octet_counting", Framing::OctetCounting), ("newline", Framing::Newline)];
    word(deserializer, "a framing", &words).map(Some)
}

fn rfc<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Rfc, D::Error> {
    word(deserializer, "a syslog RFC", &[("5424", Rfc::Rfc5424), ("3164", Rfc::Rfc3164)])
}

fn confirm<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Confirm>, D::Error> {
    word(deserializer, "a confirmation", &[("close", Confirm::Close), ("none", Confirm::None)]).map(Some)
}

fn http_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || {
        serde::de::Error::custom(format!("`{text}` is not an address such as https://splunk.example:8088"))
    };
    Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(wrong)
}

/// Reads a sink's section. The type is read first, so that each type's mistakes keep their lines.
pub(super) fn read(
    document: &Document<'_>,
    name: &str,
    value: Spanned<DeValue<'_>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<SinkSettings> {
    let span = value.span();
    let DeValue::Table(mut table) = value.into_inner() else {
        mistakes.push(document.mistake_at(&span, name, format!("write it as a section: [{name}]")));
        return None;
    };
    let Some(kind) = table.remove("type" as &str) else {
        let message = "the type is missing: type = \"splunk_hec\", \"syslog\" or \"file\"".to_owned();
        mistakes.push(document.mistake_at(&span, name, message));
        return None;
    };
    let at = kind.span();
    let kind = match kind.into_inner() {
        DeValue::String(DeString::Borrowed(kind)) => kind.to_owned(),
        DeValue::String(DeString::Owned(kind)) => kind,
        _ => String::new(),
    };
    let rest = Spanned::new(span, DeValue::Table(table));
    let kind = match kind.as_str() {
        "splunk_hec" => SinkKind::SplunkHec(document.section(name, rest, mistakes)?),
        "syslog" => SinkKind::Syslog(document.section(name, rest, mistakes)?),
        "file" => SinkKind::File(document.section(name, rest, mistakes)?),
        _ => {
            let message = format!("`{kind}` is not a type of sink: use splunk_hec, syslog or file");
            mistakes.push(document.mistake_at(&at, name, message));
            return None;
        }
    };
    Some(SinkSettings { kind })
}

impl SinkSettings {
    /// Every place that a secret of this sink is kept in.
    pub(super) fn secret_references(&self) -> Option<&SecretReference> {
        match &self.kind {
            SinkKind::SplunkHec(splunk) => Some(&splunk.token),
            SinkKind::Syslog(_) | SinkKind::File(_) => None,
        }
    }

    /// How many delivery batches may be under way at the same time.
    pub fn concurrency(&self) -> u32 {
        match &self.kind {
            SinkKind::SplunkHec(settings) => settings.concurrency.clamp(1, 64),
            SinkKind::Syslog(settings) => settings.concurrency.clamp(1, 64),
            // One after the other: a file has one end.
            SinkKind::File(_) => 1,
        }
    }

    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            SinkKind::SplunkHec(_) => "splunk_hec",
            SinkKind::Syslog(_) => "syslog",
            SinkKind::File(_) => "file",
        }
    }

    /// Where it is, in a word.
    pub fn target(&self) -> String {
        match &self.kind {
            SinkKind::SplunkHec(settings) => settings.url.to_string(),
            SinkKind::Syslog(settings) => settings.address.clone(),
            SinkKind::File(settings) => settings.path.display().to_string(),
        }
    }

    /// Mistakes that no single key shows.
    pub(super) fn check(&self) -> Result<(), Vec<String>> {
        let mut mistakes = self.spelling().err().unwrap_or_default();
        if let SinkKind::Syslog(settings) = &self.kind {
            mistakes.extend(host_and_port(&settings.address).err());
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// How records are spelled: the format, the sink's own fields, the longest event.
    ///
    /// # Errors
    /// All mistakes in the mapping and in the bounds, in words for the operator.
    pub fn spelling(&self) -> Result<Spelling, Vec<String>> {
        let (format, mapping, event_size_max, big_events, big_drop) = match &self.kind {
            SinkKind::SplunkHec(settings) => {
                let SplunkHecSettings { mapping, event_size_max, big_events, big_drop, .. } = settings;
                (Format::Splunk(settings.splunk()), mapping, *event_size_max, *big_events, big_drop)
            }
            SinkKind::Syslog(settings) => {
                let SyslogSettings { mapping, event_size_max, big_events, big_drop, .. } = settings;
                let format = settings.format.with(&FormatOptions {
                    cef: settings.cef.clone(),
                    splunk: settings.splunk.clone(),
                    leef: settings.leef.clone(),
                    ecs: settings.ecs.clone(),
                    ocsf: settings.ocsf.clone(),
                });
                let usual = settings.message_size_max.unwrap_or(SYSLOG_MESSAGE_MAX);
                let fits = ByteSize(usual.0.saturating_sub(SYSLOG_HEADER_BYTES));
                (format, mapping, Some(event_size_max.unwrap_or(fits)), *big_events, big_drop)
            }
            SinkKind::File(settings) => {
                let FileSettings { mapping, event_size_max, big_events, big_drop, .. } = settings;
                let format = settings.format.with(&FormatOptions {
                    cef: settings.cef.clone(),
                    splunk: settings.splunk.clone(),
                    leef: settings.leef.clone(),
                    ecs: settings.ecs.clone(),
                    ocsf: settings.ocsf.clone(),
                });
                (format, mapping, *event_size_max, *big_events, big_drop)
            }
        };
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
            event_bytes_max: usize::try_from(size.0).unwrap_or(usize::MAX),
            big_events,
            drop: big_drop.clone(),
        });
        Ok(Spelling { format, mapping, bounds })
    }

    /// Makes the sink. Relative paths start from `folder`. Connects to nothing yet; a file is opened. `journal_id`
    /// names the journal that deliveries will come from, where any will.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn open(
        &self,
        name: &str,
        folder: &Path,
        network: &NetworkSettings,
        journal_id: Option<&str>,
        clock: Arc<dyn Clock>,
    ) -> Result<Sink, String> {
        let ca = |file: &Option<PathBuf>| file.as_ref().map(|file| folder.join(file));
        match &self.kind {
            SinkKind::SplunkHec(settings) => {
                let token = settings.token.read(folder).map_err(|error| format!("sink `{name}`: {error}"))?;
                let options = SplunkHecOptions {
                    url: settings.url.clone(),
                    token,
                    spelling: self.spelling().map_err(|mistakes| mistakes.join("; "))?,
                    gzip: settings.gzip,
                    batch_bytes: usize::try_from(settings.batch_size.0).unwrap_or(usize::MAX).max(1),
                    acknowledge: settings.acknowledge,
                    ack_timeout: settings.ack_timeout.0,
                    timeout: settings.timeout.0,
                    proxy: network.proxy()?,
                    tls: TlsOptions { ca_file: ca(&settings.ca_file), server_name: None },
                    user_agent: concat!("Muster/", env!("CARGO_PKG_VERSION")).to_owned(),
                };
                SplunkHec::new(name.to_owned(), options)
                    .map(Sink::SplunkHec)
                    .map_err(|error| error.to_string())
            }
            SinkKind::Syslog(settings) => {
                let (host, port) = host_and_port(&settings.address)?;
                let options = SyslogOptions {
                    tls: TlsOptions {
                        ca_file: ca(&settings.ca_file),
                        server_name: settings.server_name.clone(),
                    },
                    timeout: settings.timeout.0,
                    rfc: settings.rfc,
                    framing: settings.framing.unwrap_or_else(|| Framing::usual_for(settings.transport)),
                    confirm: settings.confirm.unwrap_or_else(|| Confirm::usual_for(settings.transport)),
                    message_bytes_max: settings
                        .message_size_max
                        .and_then(|size| usize::try_from(size.0).ok()),
                    ..SyslogOptions::new(
                        host,
                        port,
                        settings.transport,
                        self.spelling().map_err(|mistakes| mistakes.join("; "))?,
                    )
                };
                Syslog::new(name.to_owned(), options).map(Sink::Syslog).map_err(|error| error.to_string())
            }
            SinkKind::File(settings) => {
                let options = FileOptions {
                    path: folder.join(&settings.path),
                    spelling: self.spelling().map_err(|mistakes| mistakes.join("; "))?,
                    rotate_bytes: settings.rotate_size.map(|size| size.0),
                    rotate_every: settings.rotate_every.map(|span| span.0),
                    keep: settings.keep,
                    // Numbers rise within one sink: another one that wrote this file counted its own.
                    journal_id: journal_id.map(|journal| format!("{journal}/{name}")),
                    clock,
                };
                FileSink::open(name.to_owned(), options).map(Sink::File).map_err(|error| error.to_string())
            }
        }
    }
}

fn host_and_port(address: &str) -> Result<(String, u16), String> {
    let wrong =
        || format!("`{address}` is not an address such as arcsight.example:6514 or [2001:db8::1]:6514");
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    if host.is_empty() || host.contains(['/', '@', ' ']) { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}
