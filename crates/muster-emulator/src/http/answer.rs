//! Answers over HTTP, and how their bodies travel.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

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

pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// An answer whose body is known.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
    pub(crate) transport: Transport,
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// As it should.
    #[default]
    Whole,
    /// Whole, without a `Content-Length`.
    WithoutLength,
    /// Whole, but late.
    Late {
        /// How late.
        milliseconds: u64,
    },
    /// Drop by drop, without a `Content-Length`.
    Trickle {
        /// How fast.
        bytes_per_second: u32,
    },
    /// The connection is closed in the middle of the promised body.
    Cut {
        /// How much of the body is sent before.
        after_bytes: u64,
    },
    /// A part of the promised body, then nothing, for ever.
    Stall {
        /// How much of the body is sent before.
        after_bytes: u64,
    },
    /// Nothing is ever sent.
    Silence,
    /// The connection is closed before anything is sent.
    Reset,
}

/// Why a request gets no answer.
#[derive(Debug, thiserror::Error)]
#[error("reset on request")]
pub(crate) struct ResetOnRequest;

impl Answer {
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::of_type(status, "application/json; charset=utf-8", body)
    }

    pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::of_type(status, "text/plain; charset=utf-8", body)
    }

    pub(crate) fn of_type(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, content_type.to_owned())],
            body: body.into(),
            transport: Transport::Whole,
        }
    }

    /// An answer without a body or a word about it.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), transport: Transport::Whole }
    }

    pub(crate) fn redirect(location: impl Into<String>) -> Self {
        Self::empty(StatusCode::FOUND).with(LOCATION, location)
    }

    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same, sent in another way.
    #[must_use]
    pub(crate) fn travelling(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// The same, not to be kept by anybody on the way.
    #[must_use]
    pub(crate) fn uncached(self) -> Self {
        self.with(CACHE_CONTROL, "no-store, no-cache").with(PRAGMA, "no-cache").with(EXPIRES, "-1")
    }

    /// Sends the answer in its way.
    pub(crate) async fn send(self) -> Result<Response<AnswerBody>, ResetOnRequest> {
        match self.transport {
            Transport::Silence => return std::future::pending().await,
            Transport::Reset => return Err(ResetOnRequest),
            Transport::Late { milliseconds } => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            _ => {}
        }
        let body = match self.transport {
            Transport::Stall { after_bytes } => {
                let never = stream::pending::<Result<Frame<Bytes>, io::Error>>();
                return Ok(self.promised().respond(|body| boxed_stream(start(&body, after_bytes), never)));
            }
            Transport::Cut { after_bytes } => {
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, "cut on request");
                let end = stream::once(async {
                    // What is sent before leaves the buffer only while nothing else is to do.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Err(error)
                });
                return Ok(self.promised().respond(|body| boxed_stream(start(&body, after_bytes), end)));
            }
            Transport::WithoutLength => |body: Bytes| boxed_stream(body, stream::empty()),
            Transport::Trickle { bytes_per_second } => {
                return Ok(self.respond(|body| trickle(body, bytes_per_second)));
            }
            _ => |body: Bytes| Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync(),
        };
        Ok(self.respond(body))
    }

    /// The same with the header that promises the whole body.
    fn promised(self) -> Self {
        let length = self.body.len().to_string();
        self.with(CONTENT_LENGTH, length)
    }

    fn respond(self, body: impl FnOnce(Bytes) -> AnswerBody) -> Response<AnswerBody> {
        let mut response = Response::new(body(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// The start of a body, never all of it.
fn start(body: &Bytes, bytes: u64) -> Bytes {
    body.slice(..usize::try_from(bytes).unwrap_or(usize::MAX).min(body.len().saturating_sub(1)))
}

fn boxed_stream<S>(start: Bytes, end: S) -> AnswerBody
where
    S: futures_util::Stream<Item = Result<Frame<Bytes>, io::Error>> + Send + 'static,
{
    let start = stream::once(async { Ok(Frame::data(start)) });
    BodyExt::boxed_unsync(StreamBody::new(start.chain(end)))
}

fn trickle(body: Bytes, bytes_per_second: u32) -> AnswerBody {
    let pause = Duration::from_secs(1) / bytes_per_second.max(1);
    let drops = stream::unfold(body, move |mut left| async move {
        if left.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let drop = left.split_to(1);
        Some((Ok(Frame::data(drop)), left))
    });
    BodyExt::boxed_unsync(StreamBody::new(drops))
}

/// 429 with any text as `Retry-After`, or without it; the body is the caller's.
pub(crate) fn throttled_with(body: impl Into<Bytes>, retry_after: Option<String>) -> Answer {
    let answer = Answer::json(StatusCode::TOO_MANY_REQUESTS, body);
    match retry_after {
        Some(text) => answer.with(RETRY_AFTER, text),
        None => answer,
    }
}

/// 429 of either side, with the body that the caller gives.
pub(crate) fn throttled(body: impl Into<Bytes>, retry_after_seconds: u32) -> Answer {
    throttled_with(body, Some(retry_after_seconds.to_string()))
}
