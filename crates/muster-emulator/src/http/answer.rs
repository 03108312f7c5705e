//! Answers over HTTP, right ones and the ones that go wrong on purpose.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, LOCATION, PRAGMA,
    RETRY_AFTER,
};
use hyper::{Response, StatusCode};

use crate::faults::FaultKind;

pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// An answer whose body is known.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
}

/// What becomes of an answer.
pub(crate) enum Outcome {
    Send(Response<AnswerBody>),
    /// Nothing is ever sent.
    Silence,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, "application/json; charset=utf-8".to_owned())],
            body: body.into(),
        }
    }

    pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned())],
            body: body.into(),
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same, not to be kept by anybody on the way.
    #[must_use]
    pub(crate) fn uncached(self) -> Self {
        self.with(CACHE_CONTROL, "no-store, no-cache").with(PRAGMA, "no-cache").with(EXPIRES, "-1")
    }

    fn replaced(mut self, body: impl Into<Bytes>) -> Self {
        self.status = StatusCode::OK;
        self.body = body.into();
        self
    }

    /// Sends the answer, with what a fault makes of it.
    pub(crate) fn send(self, fault: Option<&FaultKind>) -> Outcome {
        let answer = match fault {
            Some(FaultKind::Stall { after_bytes: None }) => return Outcome::Silence,
            Some(FaultKind::Stall { after_bytes: Some(bytes) }) => {
                let (start, headers) = self.split(*bytes);
                let never = stream::pending::<Result<Frame<Bytes>, io::Error>>();
                return Outcome::Send(headers.respond(boxed_stream(start, never)));
            }
            Some(FaultKind::Cut { after_bytes }) => {
                let (start, headers) = self.split(*after_bytes);
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, "cut on request");
                let end = stream::once(async { Err(error) });
                return Outcome::Send(headers.respond(boxed_stream(start, end)));
            }
            Some(FaultKind::Truncate) => {
                let half = self.body.slice(..self.body.len() / 2);
                Answer { body: half, ..self }
            }
            Some(FaultKind::Html) => Answer {
                status: StatusCode::OK,
                headers: vec![(CONTENT_TYPE, "text/html; charset=utf-8".to_owned())],
                body: Bytes::from_static(
                    b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head>\
                      <body><h1>Please accept the terms of use</h1></body></html>",
                ),
            },
            Some(FaultKind::Garbage) => self.replaced(&b"{\"value\":[{\"id\":\"a\",,}]\x00 garbage"[..]),
            Some(FaultKind::InvalidUtf8) => {
                let bytes = invalid_utf8(&self.body);
                Answer { body: bytes, ..self }
            }
            Some(FaultKind::Oversized { megabytes }) => self.replaced(oversized(*megabytes)),
            Some(FaultKind::Redirect { location }) => Answer {
                status: StatusCode::FOUND,
                headers: vec![(LOCATION, location.clone())],
                body: Bytes::new(),
            },
            _ => self,
        };
        let body = answer.body.clone();
        Outcome::Send(
            answer.respond(Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()),
        )
    }

    /// The start of the body; the headers still promise the whole.
    fn split(mut self, bytes: u64) -> (Bytes, Self) {
        let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.body.len().saturating_sub(1));
        self.headers.push((CONTENT_LENGTH, self.body.len().to_string()));
        (self.body.slice(..length), self)
    }

    fn respond(self, body: AnswerBody) -> Response<AnswerBody> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

fn boxed_stream<S>(start: Bytes, end: S) -> AnswerBody
where
    S: futures_util::Stream<Item = Result<Frame<Bytes>, io::Error>> + Send + 'static,
{
    let start = stream::once(async { Ok(Frame::data(start)) });
    BodyExt::boxed_unsync(StreamBody::new(start.chain(end)))
}

/// The same text with a broken byte inside its first string.
fn invalid_utf8(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    let title = b"\"title\":\"";
    let place = bytes.windows(title.len()).position(|window| window == title);
    let place = place.map_or(bytes.len() / 2, |place| place + title.len());
    bytes.splice(place..place, [0xff, 0xfe, 0xc3, 0x28]);
    Bytes::from(bytes)
}

fn oversized(megabytes: u32) -> Bytes {
    let mut body = Vec::with_capacity((megabytes as usize) << 20);
    body.extend_from_slice(b"{\"value\":[{\"id\":\"oversized\",\"title\":\"");
    body.resize((megabytes as usize) << 20, b'x');
    body.extend_from_slice(b"\"}]}");
    Bytes::from(body)
}

/// 429 of either side, with the body that the caller gives.
pub(crate) fn throttled(body: impl Into<Bytes>, retry_after_seconds: u32) -> Answer {
    Answer::json(StatusCode::TOO_MANY_REQUESTS, body).with(RETRY_AFTER, retry_after_seconds.to_string())
}
