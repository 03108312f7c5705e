//! One message: the header that stands before an event, how messages are told apart, and how long they may be.

use jiff::Timestamp;
use muster_model::{Severity, Source};

/// What a UDP datagram over IPv4 can carry.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// `local0`.
const FACILITY: u8 = 16;
/// What stands in headers for the sending host, and for the application.
const SENDER: &str = "muster";

/// How a receiver is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram for each message.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream under TLS.
    Tls,
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
            Transport::Udp | Transport::Tcp => Self::Newline,
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
}

impl MessageLayout {
    /// Writes the header that stands before each of a record's events.
    pub(super) fn write_header(
        &self,
        source: Source,
        severity: Severity,
        time: Option<Timestamp>,
        header: &mut Vec<u8>,
    ) {
        header.clear();
        let priority = FACILITY * 8 + severity_number(severity);
        let text = match self.rfc {
            Rfc::Rfc5424 => {
                let time = time.and_then(time_5424);
                let time = time.as_deref().unwrap_or("-");
                format!("<{priority}>1 {time} {SENDER} {SENDER} - {source} - ")
            }
            Rfc::Rfc3164 => {
                let time = time.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%b %e %H:%M:%S");
                match self.has_own_tag {
                    true => format!("<{priority}>{time} {SENDER} "),
                    false => format!("<{priority}>{time} {SENDER} {SENDER}: "),
                }
            }
        };
        header.extend_from_slice(text.as_bytes());
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
            Transport::Tcp | Transport::Tls => self.message_bytes_max.unwrap_or(usize::MAX),
        };
        if bytes <= most {
            return Ok(());
        }
        let advice = match self.transport {
            Transport::Udp => "use tcp or tls for large records",
            Transport::Tcp | Transport::Tls => "raise message_bytes_max if the receiver takes more",
        };
        Err(format!("the message has {bytes} bytes and at most {most} are taken; it is not cut: {advice}"))
    }
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
