//! The settings of a syslog sink.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use muster_model::{ByteSize, SecretReference, Span};
use serde::{Deserialize, Deserializer};

use super::message::{FACILITIES, Framing, Rfc, Transport};
use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, SplunkOptions,
    Template,
};
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, seconds, word};

/// What most syslog receivers take without being told: syslog-ng's `log-msg-size`.
const MESSAGE_SIZE_USUAL: ByteSize = ByteSize(64 * 1024);
/// What rsyslog takes without being told (`maxMessageSize`): over RELP it cuts what is longer, and says nothing.
const RELP_SIZE_USUAL: ByteSize = ByteSize(8 * 1024);
/// The longest header of a message without structured data, and what each parameter of that adds.
const HEADER_BYTES: u64 = 512;
const PARAMETER_BYTES: u64 = 300;

/// `type = "syslog"`: a syslog receiver, such as an ArcSight SmartConnector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogSettings {
    /// Host and port, such as `arcsight.example:6514`; or a list of receivers, of which the first that is there is used.
    #[serde(deserialize_with = "addresses")]
    pub address: Vec<String>,
    /// `udp`, `tcp`, `tls`, `relp` or `relp_tls`.
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
    /// The longest message, header included, that the receiver takes. Longer ones are rejected.
    #[serde(default)]
    pub message_size_max: Option<ByteSize>,
    /// How many events a second the receiver gets at most, over all connections.
    #[serde(default)]
    pub events_per_second_max: Option<NonZeroU32>,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The name in the receiver's certificate, where it is not the address's host.
    #[serde(default)]
    pub server_name: Option<String>,
    /// A PEM certificate, and those between it and its root, by which Muster proves itself to the receiver.
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(default)]
    pub client_key: Option<SecretReference>,
    /// The facility, such as `local0` or `audit`.
    #[serde(default = "local0", deserialize_with = "facility")]
    pub facility: u8,
    /// What stands in headers for the sending host; `{{ tenant.slug }}` and `{{ tenant.id }}` may be in it.
    #[serde(default = "muster")]
    pub host_name: Template,
    /// What stands in headers for the application.
    #[serde(default = "muster")]
    pub app_name: Template,
    /// `[sinks.NAME.structured_data."ID"]`: parameters of elements in RFC 5424's header.
    #[serde(default)]
    pub structured_data: BTreeMap<String, BTreeMap<String, Template>>,
    /// How long each step may take: to connect, to shake hands, to take the next bytes, to close.
    #[serde(default = "half_minute")]
    pub timeout: Span,
    /// Delivery batches under way at the same time.
    #[serde(default = "two")]
    pub concurrency: u32,
}

/// What counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// The receiver has read everything and closed the connection after us.
    Close,
    /// The operating system has taken it.
    None,
}

impl Confirm {
    /// The most that a transport can do.
    #[must_use]
    pub fn usual_for(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::None,
            // RELP has answers of its own.
            Transport::Tcp | Transport::Tls | Transport::Relp | Transport::RelpTls => Self::Close,
        }
    }
}

impl Settings for SyslogSettings {
    fn target(&self) -> String {
        self.address.join(", ")
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let format = self.format.with(&FormatOptions {
            cef: self.cef.clone(),
            splunk: self.splunk.clone(),
            leef: self.leef.clone(),
            ecs: self.ecs.clone(),
            ocsf: self.ocsf.clone(),
        });
        let usual = self.message_bytes();
        let parameters: usize = self.structured_data.values().map(|of| 1 + of.len()).sum();
        let header = HEADER_BYTES + PARAMETER_BYTES * parameters as u64;
        let fits = ByteSize(usual.0.saturating_sub(header));
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (event_size_max, big_events) = (Some(event_size_max.unwrap_or(fits)), *big_events);
        EncodingKeys { format, mapping, event_size_max, big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes: Vec<String> =
            self.address.iter().filter_map(|address| host_and_port(address).err()).collect();
        if self.transport.is_relp() && self.confirm.is_some() {
            mistakes.push("confirm is not for relp, whose receiver answers for each message".to_owned());
        }
        if self.transport.is_relp() && self.framing.is_some() {
            mistakes.push("framing is not for relp, which counts octets by itself".to_owned());
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            mistakes.push("client_certificate and client_key belong together".to_owned());
        }
        if self.client_certificate.is_some() && !self.transport.is_encrypted() {
            mistakes.push("client_certificate is for tls and relp_tls".to_owned());
        }
        if !self.structured_data.is_empty() && self.rfc == Rfc::Rfc3164 {
            mistakes.push("structured_data needs rfc = \"5424\"".to_owned());
        }
        let names = self.structured_data.iter().flat_map(|(id, of)| std::iter::once(id).chain(of.keys()));
        for name in names.filter(|name| !is_sd_name(name)) {
            mistakes.push(format!(
                "`{name}` cannot be a name in structured_data: up to 32 printable ASCII characters without `=`, `]`, `\"` and \
                 spaces"
            ));
        }
        mistakes
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        self.client_key.iter().map(|key| ("client_key", key)).collect()
    }
}

impl SyslogSettings {
    /// The longest message that is sent where events can be split.
    #[must_use]
    pub fn message_bytes(&self) -> ByteSize {
        let usual = if self.transport.is_relp() { RELP_SIZE_USUAL } else { MESSAGE_SIZE_USUAL };
        self.message_size_max.unwrap_or(usual)
    }
}

/// SD-NAME of RFC 5424 section 6.3.
fn is_sd_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}

pub(super) fn host_and_port(address: &str) -> Result<(String, u16), String> {
    let wrong =
        || format!("`{address}` is not an address such as arcsight.example:6514 or [2001:db8::1]:6514");
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    if host.is_empty() || host.contains(['/', '@', ' ']) { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

fn transport<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Transport, D::Error> {
    let words = [
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
        ("relp", Transport::Relp),
        ("relp_tls", Transport::RelpTls),
    ];
    word(deserializer, "a transport", &words)
}

fn framing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Framing>, D::Error> {
    let words = [("octet_counting", Framing::OctetCounting), ("newline", Framing::Newline)];
    word(deserializer, "a framing", &words).map(Some)
}

fn rfc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rfc, D::Error> {
    word(deserializer, "a syslog RFC", &[("5424", Rfc::Rfc5424), ("3164", Rfc::Rfc3164)])
}

fn confirm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Confirm>, D::Error> {
    word(deserializer, "a confirmation", &[("close", Confirm::Close), ("none", Confirm::None)]).map(Some)
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(String),
        Several(Vec<String>),
    }
    match Given::deserialize(deserializer) {
        Ok(Given::One(one)) => Ok(vec![one]),
        Ok(Given::Several(several)) if !several.is_empty() => Ok(several),
        _ => Err(serde::de::Error::custom(
            "it must be an address such as arcsight.example:6514, or a list of them",
        )),
    }
}

fn facility<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let words: Vec<(&str, u8)> = FACILITIES.into_iter().zip(0..).collect();
    word(deserializer, "a facility", &words)
}

fn local0() -> u8 {
    16
}

fn muster() -> Template {
    "muster".to_owned().try_into().expect("a text is a template")
}

fn rfc_5424() -> Rfc {
    Rfc::Rfc5424
}

fn half_minute() -> Span {
    seconds(30)
}

fn two() -> u32 {
    2
}
