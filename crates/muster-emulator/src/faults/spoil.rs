//! What a fault makes of an answer, whatever was asked for.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::CONTENT_ENCODING;

use crate::faults::kind::FaultKind;
use crate::http::answer::{Answer, Transport};

/// The answer with what a fault makes of it.
pub(crate) fn spoil(answer: Answer, fault: Option<&FaultKind>) -> Answer {
    let Some(fault) = fault else { return answer };
    match fault {
        FaultKind::Stall { after_bytes: None } => answer.travelling(Transport::Silence),
        FaultKind::Stall { after_bytes: Some(bytes) } => {
            answer.travelling(Transport::Stall { after_bytes: *bytes })
        }
        FaultKind::Cut { after_bytes } => answer.travelling(Transport::Cut { after_bytes: *after_bytes }),
        FaultKind::Reset => answer.travelling(Transport::Reset),
        FaultKind::Slow { milliseconds } => {
            answer.travelling(Transport::Late { milliseconds: *milliseconds })
        }
        FaultKind::Trickle { bytes_per_second } => {
            answer.travelling(Transport::Trickle { bytes_per_second: *bytes_per_second })
        }
        FaultKind::Truncate => {
            let half = answer.body.slice(..answer.body.len() / 2);
            Answer { body: half, ..answer }
        }
        FaultKind::EmptyBody => Answer { body: Bytes::new(), ..answer },
        FaultKind::Html => page(StatusCode::OK),
        FaultKind::HtmlStatus { status } => {
            page(StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY))
        }
        FaultKind::Garbage => replaced(answer, &b"{\"value\":[{\"id\":\"a\",,}]\x00 garbage"[..]),
        FaultKind::InvalidUtf8 => Answer { body: invalid_utf8(&answer.body), ..answer },
        FaultKind::Oversized { megabytes } => replaced(answer, oversized(*megabytes)),
        FaultKind::Bomb { megabytes } => replaced(answer, bomb(*megabytes)).with(CONTENT_ENCODING, "gzip"),
        FaultKind::Redirect { location } => Answer::redirect(location.clone()),
        _ => answer,
    }
}

fn replaced(answer: Answer, body: impl Into<Bytes>) -> Answer {
    Answer { status: StatusCode::OK, body: body.into(), ..answer }
}

/// A web page in place of the answer, as captive portals and gateways send it.
fn page(status: StatusCode) -> Answer {
    let body: &[u8] = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head>\
                        <body><h1>Please accept the terms of use</h1></body></html>";
    Answer::of_type(status, "text/html; charset=utf-8", body)
}

/// The same text with a broken byte inside its first title.
fn invalid_utf8(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    let place = first_title(&bytes).unwrap_or(bytes.len() / 2);
    bytes.splice(place..place, [0xff, 0xfe, 0xc3, 0x28]);
    Bytes::from(bytes)
}

/// Where the text of the first title begins.
pub(crate) fn first_title(body: &[u8]) -> Option<usize> {
    let title = b"\"title\":";
    let place = body.windows(title.len()).position(|window| window == title)? + title.len();
    let quote = body[place..].iter().position(|byte| *byte == b'"')?;
    Some(place + quote + 1)
}

const OVERSIZED_START: &[u8] = b"{\"value\":[{\"id\":\"oversized\",\"title\":\"";

fn oversized(megabytes: u32) -> Bytes {
    let mut body = Vec::with_capacity((megabytes as usize) << 20);
    body.extend_from_slice(OVERSIZED_START);
    body.resize((megabytes as usize) << 20, b'x');
    body.extend_from_slice(b"\"}]}");
    Bytes::from(body)
}

/// The same, packed: a thousandth of it travels.
fn bomb(megabytes: u32) -> Bytes {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let piece = vec![b'x'; 1 << 20];
    let written = packed
        .write_all(OVERSIZED_START)
        .and_then(|()| (0..megabytes).try_for_each(|_| packed.write_all(&piece)))
        .and_then(|()| packed.write_all(b"\"}]}"))
        .and_then(|()| packed.finish());
    Bytes::from(written.unwrap_or_default())
}
