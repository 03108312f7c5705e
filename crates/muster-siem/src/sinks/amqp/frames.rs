//! What goes over the wire: the frames and methods of AMQP 0.9.1, as far as a publisher with confirms needs them.
//!
//! Source: AMQP 0-9-1 specification, sections 2.3.5 and 4.2; RabbitMQ's `confirm.select`, `basic.nack` and
//! `connection.blocked`. Everything that is read has a bound.

use bytes::{Buf, Bytes, BytesMut};

/// The longest frame that is read, and what is asked for; RabbitMQ has the same.
pub(super) const FRAME_MAX: u32 = 128 << 10;
const FRAME_END: u8 = 0xCE;
/// What a frame has beside its payload.
const FRAME_BYTES: usize = 8;
pub(super) const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Method,
    Header,
    Body,
    Heartbeat,
}

/// One frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) channel: u16,
    pub(super) payload: Bytes,
}

/// Takes the next frame out of what was heard; none where it is not all there yet. An error says what is wrong, and
/// ends the conversation.
pub(super) fn read(heard: &mut BytesMut) -> Result<Option<Frame>, String> {
    if heard.first().is_some_and(|first| *first == b'A') {
        return match heard.len() {
            0..8 => Ok(None),
            _ => Err("it does not speak AMQP 0.9.1: check the sink's url".to_owned()),
        };
    }
    let Some(([kind, high, low, size @ ..], _)) = heard.split_first_chunk::<7>() else { return Ok(None) };
    let kind = match kind {
        1 => Kind::Method,
        2 => Kind::Header,
        3 => Kind::Body,
        8 => Kind::Heartbeat,
        _ => return Err(not_amqp("a kind of frame that there is not")),
    };
    let (channel, size) = (u16::from_be_bytes([*high, *low]), u32::from_be_bytes(*size));
    if size > FRAME_MAX {
        return Err(not_amqp("a frame that is longer than agreed"));
    }
    let whole = size as usize + FRAME_BYTES;
    if heard.len() < whole {
        return Ok(None);
    }
    if heard[whole - 1] != FRAME_END {
        return Err(not_amqp("a frame without an end"));
    }
    heard.advance(7);
    let payload = heard.split_to(size as usize).freeze();
    heard.advance(1);
    Ok(Some(Frame { kind, channel, payload }))
}

pub(super) fn not_amqp(what: &str) -> String {
    format!("it says {what}, so nothing it says counts: check that the sink's url is an AMQP 0.9.1 broker's")
}

/// What the broker asks or answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Method {
    Start {
        mechanisms: String,
    },
    Tune {
        frame_max: u32,
    },
    OpenOk,
    Close {
        code: u16,
        text: String,
    },
    CloseOk,
    Blocked {
        reason: String,
    },
    Unblocked,
    ChannelOpenOk,
    Flow {
        is_active: bool,
    },
    ChannelClose {
        code: u16,
        text: String,
    },
    ExchangeDeclareOk,
    QueueDeclareOk,
    SelectOk,
    RollbackOk,
    Return {
        code: u16,
        text: String,
        exchange: String,
        routing_key: String,
    },
    Ack {
        tag: u64,
        multiple: bool,
    },
    Nack {
        tag: u64,
        multiple: bool,
    },
    /// What nobody here asked for.
    Other,
}

impl Method {
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let (class, method) = (fields.short()?, fields.short()?);
        Some(match (class, method) {
            (10, 10) => {
                fields.short()?;
                fields.long_text()?;
                Self::Start { mechanisms: lossy(fields.long_text()?) }
            }
            (10, 30) => {
                fields.short()?;
                Self::Tune { frame_max: fields.long()? }
            }
            (10, 41) => Self::OpenOk,
            (10, 50) => Self::Close { code: fields.short()?, text: fields.short_text()? },
            (10, 51) => Self::CloseOk,
            (10, 60) => Self::Blocked { reason: fields.short_text()? },
            (10, 61) => Self::Unblocked,
            (20, 11) => Self::ChannelOpenOk,
            (20, 20) => Self::Flow { is_active: fields.octet()? & 1 == 1 },
            (20, 40) => Self::ChannelClose { code: fields.short()?, text: fields.short_text()? },
            (40, 11) => Self::ExchangeDeclareOk,
            (50, 11) => Self::QueueDeclareOk,
            (85, 11) | (90, 11) => Self::SelectOk,
            (90, 31) => Self::RollbackOk,
            (60, 50) => Self::Return {
                code: fields.short()?,
                text: fields.short_text()?,
                exchange: fields.short_text()?,
                routing_key: fields.short_text()?,
            },
            (60, 80) => Self::Ack { tag: fields.long_long()?, multiple: fields.octet()? & 1 == 1 },
            (60, 120) => Self::Nack { tag: fields.long_long()?, multiple: fields.octet()? & 1 == 1 },
            _ => Self::Other,
        })
    }
}

/// The length of the body and the `message_id` that a content header names.
pub(super) fn read_header(payload: &[u8]) -> Option<(u64, Option<String>)> {
    let mut fields = Fields(payload);
    fields.short()?;
    fields.short()?;
    let (bytes, flags) = (fields.long_long()?, fields.short()?);
    let has = |bit: u16| flags >> bit & 1 == 1;
    // Properties stand in the order of their flags; what stands before the message's id is passed over.
    for bit in [15, 14] {
        if has(bit) {
            fields.short_text()?;
        }
    }
    if has(13) {
        fields.long_text()?;
    }
    for bit in [12, 11] {
        if has(bit) {
            fields.octet()?;
        }
    }
    for bit in [10, 9, 8] {
        if has(bit) {
            fields.short_text()?;
        }
    }
    let id = if has(7) { Some(fields.short_text()?) } else { None };
    Some((bytes, id))
}

/// Fields one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn octet(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn long_long(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn short_text(&mut self) -> Option<String> {
        let bytes = self.octet()?;
        self.take(bytes.into()).map(lossy)
    }

    fn long_text(&mut self) -> Option<&'a [u8]> {
        let bytes = self.long()?;
        self.take(bytes as usize)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Appends a frame with what `write` appends.
fn frame(out: &mut Vec<u8>, kind: u8, channel: u16, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let size = u32::try_from(out.len() - start - 4).expect("frames are short");
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    out.push(FRAME_END);
}

/// Appends a method with its arguments.
pub(super) fn method(
    out: &mut Vec<u8>,
    channel: u16,
    (class, method): (u16, u16),
    write: impl FnOnce(&mut Vec<u8>),
) {
    frame(out, 1, channel, |out| {
        out.extend_from_slice(&class.to_be_bytes());
        out.extend_from_slice(&method.to_be_bytes());
        write(out);
    });
}

pub(super) fn heartbeat(out: &mut Vec<u8>) {
    frame(out, 8, 0, |_| {});
}

/// A text of up to 255 bytes; what is longer is a mistake of whoever calls.
pub(super) fn short_text(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

pub(super) fn long_text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).expect("texts are short").to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A table, of what `write` appends.
pub(super) fn table(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let size = u32::try_from(out.len() - start - 4).expect("tables are short");
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

pub(super) fn text_field(out: &mut Vec<u8>, name: &str, value: &str) {
    short_text(out, name);
    out.push(b'S');
    long_text(out, value.as_bytes());
}

pub(super) fn true_field(out: &mut Vec<u8>, name: &str) {
    short_text(out, name);
    out.extend_from_slice(b"t\x01");
}

/// A message to be published: mandatory and persistent.
#[derive(Debug, Clone)]
pub(super) struct Message<'a> {
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    pub(super) id: &'a str,
    pub(super) content_type: &'static str,
    /// What kind of record it is, by its source.
    pub(super) source: &'a str,
    /// Seconds since 1970.
    pub(super) timestamp: Option<u64>,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: &'a [u8],
}

impl Message<'_> {
    /// Appends it, in frames of this length at most.
    pub(super) fn write(&self, channel: u16, frame_max: usize, out: &mut Vec<u8>) {
        method(out, channel, (60, 40), |out| {
            out.extend_from_slice(&[0; 2]);
            short_text(out, self.exchange);
            short_text(out, self.routing_key);
            // Mandatory: what no queue takes comes back.
            out.push(1);
        });
        frame(out, 2, channel, |out| {
            out.extend_from_slice(&[0, 60, 0, 0]);
            out.extend_from_slice(&(self.body.len() as u64).to_be_bytes());
            let time = u16::from(self.timestamp.is_some()) << 6;
            // Content type, headers, delivery mode, message id, timestamp, type, application.
            let flags = 1_u16 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | time | 1 << 5 | 1 << 3;
            out.extend_from_slice(&flags.to_be_bytes());
            short_text(out, self.content_type);
            table(out, |out| self.headers.iter().for_each(|(name, value)| text_field(out, name, value)));
            // Persistent.
            out.push(2);
            short_text(out, self.id);
            if let Some(timestamp) = self.timestamp {
                out.extend_from_slice(&timestamp.to_be_bytes());
            }
            short_text(out, self.source);
            short_text(out, "muster");
        });
        for piece in self.body.chunks(frame_max.saturating_sub(FRAME_BYTES).max(1)) {
            frame(out, 3, channel, |out| out.extend_from_slice(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let message = Message {
            exchange: "muster",
            routing_key: "a.b",
            id: "the-id",
            content_type: "application/json",
            source: "graph_alerts",
            timestamp: Some(7),
            headers: &[("tenant", "contoso")],
            body,
        };
        message.write(1, 32, &mut out);
        out
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let body = [b'x'; 60];
        let mut heard = BytesMut::from(message(&body).as_slice());
        let mut frames = Vec::new();
        while let Some(frame) = read(&mut heard).expect("AMQP") {
            frames.push(frame);
        }
        let kinds: Vec<Kind> = frames.iter().map(|frame| frame.kind).collect();
        assert_eq!(kinds, [Kind::Method, Kind::Header, Kind::Body, Kind::Body, Kind::Body]);
        assert_eq!(read_header(&frames[1].payload), Some((60, Some("the-id".to_owned()))));
        let sent: Vec<u8> = frames[2..].iter().flat_map(|frame| frame.payload.to_vec()).collect();
        assert_eq!(sent, body);
        assert!(frames[2..].iter().all(|frame| frame.payload.len() + FRAME_BYTES <= 32));
    }

    /// Whatever is cut off anywhere is waited for, and reading what is not whole never panics.
    #[test]
    fn what_is_cut_off_is_waited_for() {
        let whole = message(b"{}");
        for end in 0..whole.len() {
            let mut heard = BytesMut::from(&whole[..end]);
            while let Some(frame) = read(&mut heard).expect("AMQP") {
                for end in 0..frame.payload.len() {
                    assert!(
                        frame.kind != Kind::Header || read_header(&frame.payload[..end.min(40)]).is_none()
                    );
                    Method::read(&frame.payload[..end]);
                }
            }
        }
        for class in [10_u16, 20, 40, 50, 60, 85, 90] {
            for number in 0..=120_u16 {
                let payload = [class.to_be_bytes(), number.to_be_bytes(), [255, 255]].concat();
                Method::read(&payload);
            }
        }
    }

    #[test]
    fn what_a_broker_would_not_say_ends_the_conversation() {
        for said in [
            &b"HTTP/1.1 400 Bad"[..],
            b"\x01\x00\x00\xff\xff\xff\xff",
            b"\x01\x00\x00\x00\x00\x00\x00\x00",
            b"\x07\x00\x00\x00\x00\x00\x00\xce",
        ] {
            let why = read(&mut BytesMut::from(said)).expect_err("no AMQP");
            assert!(why.contains("check that the sink's url"), "{why}");
        }
        let why = read(&mut BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..])).expect_err("another version");
        assert!(why.contains("does not speak AMQP 0.9.1"), "{why}");
    }
}
