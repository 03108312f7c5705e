//! The settings of a Kafka sink.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use muster_model::{ByteSize, SecretReference, Span};
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

use super::oauth::shown_url;
use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, Piece,
    SplunkOptions, Template,
};
use crate::sinks::error::shown;
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, seconds, word};

/// The longest name of a host (RFC 1035).
pub(super) const HOST_BYTES_MAX: usize = 253;
/// The longest name of a topic.
const TOPIC_BYTES_MAX: usize = 249;
/// The longest text that a placeholder of a template becomes: a slug, or an id.
const PLACEHOLDER_BYTES_MAX: usize = 64;
/// What key and headers add to an event, where Microsoft's ids are of their usual length.
const HEADER_BYTES: u64 = 2048;
/// Below Kafka's own `message.max.bytes` (1,048,588), and below what Event Hubs takes.
const SIZE_USUAL: ByteSize = ByteSize(1_000_000);
/// What has no answer is kept in memory until it has one.
const SIZE_MAX: ByteSize = ByteSize(64 << 20);
/// Azure Event Hubs closes the connection over requests of more bytes than this.
const EVENT_HUBS_REQUEST_BYTES_MAX: u64 = 1_046_528;
/// How the names of Event Hubs' hosts end, in each of Azure's clouds.
const EVENT_HUBS: [&str; 3] =
    [".servicebus.windows.net", ".servicebus.usgovcloudapi.net", ".servicebus.chinacloudapi.cn"];
/// What goes around the records of a request: names, lengths, and the head of each partition's batch.
const REQUEST_HEAD_BYTES: u64 = 16 << 10;

/// `type = "kafka"`: Kafka, or Azure Event Hubs by its Kafka endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Hosts and ports of some brokers, such as `kafka-1.example:9093`; the others are learnt from them.
    #[serde(deserialize_with = "addresses")]
    pub brokers: Vec<BrokerAddress>,
    /// The topic; `{{ tenant.slug }}` and `{{ tenant.id }}` may stand in it.
    pub topic: Template,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`; without it, `ssl`, or `sasl_ssl` with a mechanism.
    #[serde(default, deserialize_with = "security_protocol")]
    pub security_protocol: Option<SecurityProtocol>,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.
    #[serde(default, deserialize_with = "mechanism")]
    pub sasl_mechanism: Option<Mechanism>,
    /// The user of PLAIN and SCRAM; Event Hubs' is `$ConnectionString`.
    #[serde(default)]
    pub user: Option<String>,
    /// Its password; Event Hubs' is the connection string.
    #[serde(default)]
    pub password: Option<SecretReference>,
    /// `[sinks.NAME.oauth]`: where the token of OAUTHBEARER comes from.
    #[serde(default)]
    pub oauth: Option<OauthSettings>,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A PEM certificate, and those between it and its root, by which Muster proves itself to the brokers.
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(default)]
    pub client_key: Option<SecretReference>,
    /// `none`, `gzip` or `zstd`.
    #[serde(default, deserialize_with = "compression")]
    pub compression: Compression,
    /// How records are written: `raw`, `splunk`, `cef`, `leef`, `ecs` or `ocsf`.
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
    /// The longest record of the topic, with key and headers. Longer ones are not sent.
    #[serde(default = "usual_size")]
    pub record_size_max: ByteSize,
    /// The records of one request, before compression; one that is bigger goes alone.
    #[serde(default = "usual_size")]
    pub batch_size: ByteSize,
    /// How long each step may take: to connect, to prove who one is, to be answered.
    #[serde(default = "half_minute")]
    pub timeout: Span,
    /// Delivery batches under way at the same time.
    #[serde(default = "two")]
    pub concurrency: u32,
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerAddress {
    /// A name or an address, without brackets.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
}

/// `[sinks.NAME.oauth]`: a token by the client credentials flow (RFC 6749 section 4.4).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthSettings {
    /// The token endpoint, such as `https://login.microsoftonline.com/TENANT/oauth2/v2.0/token`. In the clear only on this
    /// machine.
    #[serde(deserialize_with = "token_url")]
    pub token_url: Url,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretReference,
    /// What the token is for, such as `https://NAMESPACE.servicebus.windows.net/.default`.
    #[serde(default)]
    pub scope: Option<String>,
}

/// Kafka's `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// In the clear, by nobody in particular.
    Plaintext,
    /// TLS.
    Ssl,
    /// In the clear, by a user.
    SaslPlaintext,
    /// TLS, by a user.
    SaslSsl,
}

/// Kafka's `sasl.mechanism`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// RFC 5802 and 7677.
    ScramSha256,
    /// The same with SHA-512.
    ScramSha512,
    /// RFC 7628.
    OauthBearer,
}

/// How the records of a request are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878; brokers from Kafka 2.1 on.
    Zstd,
}

impl fmt::Debug for OauthSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthSettings")
            .field("token_url", &shown_url(&self.token_url))
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A broker may have told it.
        let host = shown(&self.host);
        match host.contains(':') {
            true => write!(f, "[{host}]:{}", self.port),
            false => write!(f, "{host}:{}", self.port),
        }
    }
}

impl FromStr for BrokerAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What is wrong may be a password in it: it is not shown.
        const WRONG: &str =
            "is not an address such as kafka-1.example:9093 or [2001:db8::1]:9093, without anything else";
        let (host, port) = text.trim().rsplit_once(':').ok_or(WRONG)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(WRONG)?;
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|host| host.parse::<Ipv6Addr>().is_ok()),
            None => Some(host).filter(|host| !host.is_empty() && host.bytes().all(is_of_name)),
        };
        let host = host.filter(|host| host.len() <= HOST_BYTES_MAX).ok_or(WRONG)?;
        Ok(Self { host: host.into(), port })
    }
}

impl SecurityProtocol {
    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl Mechanism {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

impl Settings for KafkaSettings {
    fn target(&self) -> String {
        let brokers: Vec<String> = self.brokers.iter().map(ToString::to_string).collect();
        brokers.join(", ")
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let format = self.format.with(&FormatOptions {
            cef: self.cef.clone(),
            splunk: self.splunk.clone(),
            leef: self.leef.clone(),
            ecs: self.ecs.clone(),
            ocsf: self.ocsf.clone(),
        });
        let fits = ByteSize(self.record_size_max.0.saturating_sub(HEADER_BYTES));
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (event_size_max, big_events) = (Some(event_size_max.unwrap_or(fits)), *big_events);
        EncodingKeys { format, mapping, event_size_max, big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        let password = self.password.iter().map(|password| ("password", password));
        let key = self.client_key.iter().map(|key| ("client_key", key));
        let secret = self.oauth.iter().map(|oauth| ("oauth.client_secret", &oauth.client_secret));
        password.chain(key).chain(secret).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        mistakes.extend(wrong_topic(&self.topic).map(|why| format!("topic {why}")));
        mistakes.extend(self.wrong_credentials());
        if self.client_certificate.is_some() != self.client_key.is_some() {
            mistakes.push("client_certificate and client_key belong together".to_owned());
        }
        if self.client_certificate.is_some() && !self.security().is_encrypted() {
            mistakes
                .push("client_certificate is for security_protocol = \"ssl\" and \"sasl_ssl\"".to_owned());
        }
        if self.record_size_max.0 < 2 * HEADER_BYTES {
            mistakes.push(format!("record_size_max must be at least {} B", 2 * HEADER_BYTES));
        }
        if self.batch_size.0.max(self.record_size_max.0) > SIZE_MAX.0 {
            mistakes.push("batch_size and record_size_max must be at most 64MiB".to_owned());
        }
        if self.is_event_hubs() {
            let most = EVENT_HUBS_REQUEST_BYTES_MAX - REQUEST_HEAD_BYTES;
            for (key, size) in [("batch_size", self.batch_size), ("record_size_max", self.record_size_max)] {
                if size.0 > most {
                    mistakes.push(format!(
                        "{key} must be at most {most} B: Event Hubs closes the connection over requests of more than \
                         {EVENT_HUBS_REQUEST_BYTES_MAX} B"
                    ));
                }
            }
            if self.compression == Compression::Zstd {
                mistakes.push("Event Hubs takes no zstd: set compression to \"gzip\" or \"none\"".to_owned());
            }
        }
        mistakes
    }
}

impl KafkaSettings {
    /// The protocol, also where nothing is said: then it is encrypted.
    #[must_use]
    pub fn security(&self) -> SecurityProtocol {
        let usual = match self.sasl_mechanism {
            Some(_) => SecurityProtocol::SaslSsl,
            None => SecurityProtocol::Ssl,
        };
        self.security_protocol.unwrap_or(usual)
    }

    /// Whether the brokers are Azure Event Hubs.
    #[must_use]
    pub fn is_event_hubs(&self) -> bool {
        self.brokers.iter().any(|broker| {
            let host = broker.host.to_ascii_lowercase();
            EVENT_HUBS.iter().any(|end| host.ends_with(end))
        })
    }

    /// What a consumer is told that a record holds.
    pub(super) fn content_type(&self) -> &'static str {
        match self.format {
            FormatName::Cef | FormatName::Leef => "text/plain; charset=utf-8",
            FormatName::Raw | FormatName::Splunk | FormatName::Ecs | FormatName::Ocsf => "application/json",
        }
    }

    fn wrong_credentials(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let protocol = self.security();
        if protocol.has_sasl() != self.sasl_mechanism.is_some() {
            mistakes.push(match self.sasl_mechanism {
                None => {
                    "sasl_mechanism is missing: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER".to_owned()
                }
                Some(_) => {
                    "sasl_mechanism is for security_protocol = \"sasl_ssl\" and \"sasl_plaintext\"".to_owned()
                }
            });
        }
        let (has_user, has_oauth) = (self.user.is_some() || self.password.is_some(), self.oauth.is_some());
        match self.sasl_mechanism {
            Some(Mechanism::OauthBearer) => {
                if !has_oauth {
                    mistakes.push(
                        "OAUTHBEARER needs [sinks.NAME.oauth]: token_url, client_id, client_secret, and scope where the issuer \
                         wants one"
                            .to_owned(),
                    );
                }
                if has_user {
                    mistakes.push("user and password are not for OAUTHBEARER".to_owned());
                }
            }
            Some(mechanism) => {
                if self.user.is_none() || self.password.is_none() {
                    mistakes.push(format!("{} needs user and password", mechanism.name()));
                }
                if has_oauth {
                    mistakes.push("oauth is for sasl_mechanism = \"OAUTHBEARER\"".to_owned());
                }
            }
            None if has_user || has_oauth => {
                mistakes.push("credentials need sasl_mechanism, which says how they are given".to_owned());
            }
            None => {}
        }
        if self.user.as_ref().is_some_and(|user| user.is_empty() || user.contains('\0')) {
            mistakes.push("user is empty, or holds a NUL".to_owned());
        }
        mistakes
    }
}

/// Why a template cannot be the name of a topic.
fn wrong_topic(topic: &Template) -> Option<String> {
    if topic.has_names() {
        return Some(
            "cannot hold tenant.name, which may be anything: use tenant.slug or tenant.id".to_owned(),
        );
    }
    let mut bytes = 0;
    for piece in &topic.0 {
        let Piece::Literal(literal) = piece else {
            bytes += PLACEHOLDER_BYTES_MAX;
            continue;
        };
        bytes += literal.len();
        if !literal.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Some(format!(
                "`{literal}` cannot be in the name of a topic: letters, digits and `.`, `_`, `-` only"
            ));
        }
    }
    if matches!(&topic.0[..], [Piece::Literal(whole)] if whole == "." || whole == "..") {
        return Some("cannot be `.` or `..`".to_owned());
    }
    (bytes > TOPIC_BYTES_MAX).then(|| format!("may become longer than {TOPIC_BYTES_MAX} bytes"))
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BrokerAddress>, D::Error> {
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
        return Err(serde::de::Error::custom(
            "it must be a list of addresses such as [\"kafka-1.example:9093\", \"kafka-2.example:9093\"]",
        ));
    }
    let addresses = given.iter().enumerate().map(|(place, text)| {
        text.parse().map_err(|why| serde::de::Error::custom(format!("its entry {} {why}", place + 1)))
    });
    addresses.collect()
}

fn token_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    // What is wrong may be a secret in it: it is not shown.
    let url = Url::parse(String::deserialize(deserializer)?.trim()).ok();
    let url = url.filter(|url| {
        let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_on_this_machine(url);
        is_safe && url.has_host() && url.username().is_empty() && url.password().is_none()
    });
    url.ok_or_else(|| {
        serde::de::Error::custom(
            "it must be an address such as https://login.microsoftonline.com/TENANT/oauth2/v2.0/token; http:// is for this \
             machine only, since client_secret goes there",
        )
    })
}

fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn security_protocol<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecurityProtocol>, D::Error> {
    let words = [
        ("plaintext", SecurityProtocol::Plaintext),
        ("ssl", SecurityProtocol::Ssl),
        ("sasl_plaintext", SecurityProtocol::SaslPlaintext),
        ("sasl_ssl", SecurityProtocol::SaslSsl),
    ];
    word(deserializer, "a security protocol", &words).map(Some)
}

fn mechanism<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mechanism>, D::Error> {
    let all = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512, Mechanism::OauthBearer];
    let words = all.map(|mechanism| (mechanism.name(), mechanism));
    word(deserializer, "a SASL mechanism", &words).map(Some)
}

fn compression<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Compression, D::Error> {
    let words = [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
    word(deserializer, "a compression", &words)
}

fn usual_size() -> ByteSize {
    SIZE_USUAL
}

fn half_minute() -> Span {
    seconds(30)
}

fn two() -> u32 {
    2
}
