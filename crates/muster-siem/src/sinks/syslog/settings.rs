//! The settings of a syslog sink.

use std::path::PathBuf;

use muster_model::{ByteSize, Span};
use serde::{Deserialize, Deserializer};

use super::message::{Framing, Rfc, Transport};
use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, SplunkOptions,
};
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, seconds, word};

/// What most syslog receivers take without being told: syslog-ng's `log-msg-size`.
const MESSAGE_SIZE_USUAL: ByteSize = ByteSize(64 * 1024);
/// The longest header of a message.
const HEADER_BYTES: u64 = 512;

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
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The name in the receiver's certificate, where it is not the address's host.
    #[serde(default)]
    pub server_name: Option<String>,
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
            Transport::Tcp | Transport::Tls => Self::Close,
        }
    }
}

impl Settings for SyslogSettings {
    fn target(&self) -> String {
        self.address.clone()
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let format = self.format.with(&FormatOptions {
            cef: self.cef.clone(),
            splunk: self.splunk.clone(),
            leef: self.leef.clone(),
            ecs: self.ecs.clone(),
            ocsf: self.ocsf.clone(),
        });
        let usual = self.message_size_max.unwrap_or(MESSAGE_SIZE_USUAL);
        let fits = ByteSize(usual.0.saturating_sub(HEADER_BYTES));
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (event_size_max, big_events) = (Some(event_size_max.unwrap_or(fits)), *big_events);
        EncodingKeys { format, mapping, event_size_max, big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn mistakes(&self) -> Vec<String> {
        host_and_port(&self.address).err().into_iter().collect()
    }
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
    let words = [("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)];
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

fn rfc_5424() -> Rfc {
    Rfc::Rfc5424
}

fn half_minute() -> Span {
    seconds(30)
}

fn two() -> u32 {
    2
}
