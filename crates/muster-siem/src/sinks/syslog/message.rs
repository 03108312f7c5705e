//! One message: the header that stands before an event, how messages are told apart, and how long they may be.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Severity, Source, TenantLabel};

use crate::formats::Template;

/// What a UDP datagram over IPv4 can carry.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// The facilities by their number (RFC 5424 section 6.2.1).
pub(super) const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// How a receiver is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram for each message.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// RELP, in the clear.
    Relp,
    /// RELP under TLS.
    RelpTls,
}

impl Transport {
    /// Whether it goes under TLS.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::RelpTls)
    }

    /// Whether the receiver answers for each message.
    #[must_use]
    pub fn is_relp(self) -> bool {
        matches!(self, Self::Relp | Self::RelpTls)
    }
}

/// How messages are told apart on a stream (RFC 6587).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The length in front of each message.
    OctetCounting,
    /// A newline after each message.
    Newline,
}

impl Framing {
    /// What RFC 5425 asks of TLS, and what receivers expect over TCP.
    #[must_use]
    pub fn usual_for(transport: Transport) -> Self {
        match transport {
            Transport::Tls => Self::OctetCounting,
            // RELP counts octets by itself.
            Transport::Udp | Transport::Tcp | Transport::Relp | Transport::RelpTls => Self::Newline,
        }
    }
}

/// How the header is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rfc {
    /// `<PRI>1 2026-01-02T03:04:05.123456Z host app - graph_alerts - message`
    Rfc5424,
    /// `<PRI>Jan  2 03:04:05 host message`, the time in UTC.
    Rfc3164,
}

/// How the messages of one receiver are made.
#[derive(Debug)]
pub(super) struct MessageLayout {
    pub(super) transport: Transport,
    pub(super) framing: Framing,
    pub(super) rfc: Rfc,
    /// Whether the format takes the place of the tag in a header of RFC 3164: receivers look for `CEF:` right after the
    /// host.
    pub(super) has_own_tag: bool,
    /// The longest message, header included, that the receiver takes. Longer ones are rejected.
    pub(super) message_bytes_max: Option<usize>,
    /// By its place in [`FACILITIES`].
    pub(super) facility: u8,
    /// What stands for the sending host; its tenant's slug and id may be in it.
    pub(super) host: Template,
    pub(super) app_name: Template,
    /// Elements of structured data, each with its parameters (RFC 5424 section 6.3).
    pub(super) structured_data: BTreeMap<String, BTreeMap<String, Template>>,
}

impl MessageLayout {
    /// Writes the header that stands before each of a record's events.
    pub(super) fn write_header(
        &self,
        source: Source,
        (severity, time): (Severity, Option<Timestamp>),
        tenant: &TenantLabel,
        header: &mut Vec<u8>,
    ) {
        header.clear();
        let priority = u16::from(self.facility) * 8 + u16::from(severity_number(severity));
        let (host, app) = (name(&self.host, tenant, 255), name(&self.app_name, tenant, 48));
        let text = match self.rfc {
            Rfc::Rfc5424 => {
                let time = time.and_then(time_5424);
                let time = time.as_deref().unwrap_or("-");
                format!("<{priority}>1 {time} {host} {app} - {source} {} ", self.structured(tenant))
            }
            Rfc::Rfc3164 => {
                let time = time.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%b %e %H:%M:%S");
                match self.has_own_tag {
                    true => format!("<{priority}>{time} {host} "),
                    false => format!("<{priority}>{time} {host} {app}: "),
                }
            }
        };
        header.extend_from_slice(text.as_bytes());
    }

    /// The structured data of a tenant's messages.
    fn structured(&self, tenant: &TenantLabel) -> String {
        let mut text = String::new();
        for (id, parameters) in &self.structured_data {
            text.push('[');
            text.push_str(id);
            for (parameter, value) in parameters {
                text.push_str(&format!(" {parameter}=\""));
                for character in value.expand(tenant).chars().filter(|character| !character.is_control()) {
                    // RFC 5424 section 6.3.3.
                    if matches!(character, '"' | '\\' | ']') {
                        text.push('\\');
                    }
                    text.push(character);
                }
                text.push('"');
            }
            text.push(']');
        }
        if text.is_empty() { "-".to_owned() } else { text }
    }

    /// Appends one message, framed.
    pub(super) fn frame(&self, header: &[u8], event: &[u8], frames: &mut Vec<u8>) -> Result<(), String> {
        let bytes = header.len() + event.len();
        self.fits(bytes)?;
        match self.framing {
            Framing::OctetCounting => frames.extend_from_slice(format!("{bytes} ").as_bytes()),
            // Formats write none; if one ever does, it must not become a message of its own.
            Framing::Newline if memchr::memchr2(b'\n', b'\0', event).is_some() => {
                return Err("the message holds a newline, which newline framing cannot carry".to_owned());
            }
            Framing::Newline => {}
        }
        frames.extend_from_slice(header);
        frames.extend_from_slice(event);
        if self.framing == Framing::Newline {
            frames.push(b'\n');
        }
        Ok(())
    }

    pub(super) fn fits(&self, bytes: usize) -> Result<(), String> {
        let most = match self.transport {
            Transport::Udp => self.message_bytes_max.unwrap_or(usize::MAX).min(DATAGRAM_BYTES_MAX),
            _ => self.message_bytes_max.unwrap_or(usize::MAX),
        };
        if bytes <= most {
            return Ok(());
        }
        let advice = match self.transport {
            Transport::Udp => "use tcp or tls for large records",
            _ => "raise message_size_max if the receiver takes more",
        };
        Err(format!("the message has {bytes} bytes and at most {most} are taken; it is not cut: {advice}"))
    }
}

/// A name in a header: printable ASCII without spaces, at most so long (RFC 5424 section 6).
fn name(template: &Template, tenant: &TenantLabel, characters_max: usize) -> String {
    let rendered = template.expand(tenant);
    let name: String = rendered.chars().filter(char::is_ascii_graphic).take(characters_max).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// RFC 5424 takes six fractional digits at most, and years of four digits.
fn time_5424(time: Timestamp) -> Option<String> {
    let text = time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    (text.len() == 27).then_some(text)
}

fn severity_number(severity: Severity) -> u8 {
    match severity {
        Severity::High => 2,
        Severity::Medium => 4,
        Severity::Low | Severity::Unknown => 5,
        Severity::Informational => 6,
    }
}
