//! OpenTelemetry logs, by OTLP over HTTP in binary protobuf: a log record for each event.
//!
//! Delivered is what a 200 has answered for whose `partial_success` says that nothing was rejected. A collector that says
//! that it rejected some of a request's records does not say which, and may not be asked again: the whole request is *uncertain* then.
//! Its records become dead letters that say so, and are sent again by command only, since those that were taken would be there
//! twice. Requests are small, so that few are; and from then on each holds one record, so that no more are. Where all were rejected, none was taken, and the search for the one that is
//! meant doubles nothing.
//!
//! OTLP knows no repetition: what had no answer is sent again and may be there twice. Each log record has as attributes what its
//! record is known by.
//!
//! Source: OpenTelemetry "OTLP Specification 1.10", OTLP/HTTP; `opentelemetry/proto/logs/v1/logs.proto`.

mod message;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use muster_http::{Client, Response};
use muster_model::{Clock, DeliveryBatch, Report, Trouble};
use prost::Message as _;
use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};

pub use self::settings::OtlpSettings;

use self::message::{ExportLogsServiceResponse, LogRecords, Status};
use super::batch::{self, Formatted, Limits, Part, Sent, Way};
use super::error::{SinkError, shown};
use super::headers;
use super::http::{self, ReceiverWords};
use super::settings::{Settings, Surroundings, bytes};
use crate::formats::Encoding;

/// Requests of one delivery batch that are on their way at once.
const REQUESTS_MAX: usize = 4;
/// Log records of one request: so many are uncertain at once, at most.
const RECORDS_MAX: usize = 100;
const PROTOBUF: &str = "application/x-protobuf";
const WORDS: ReceiverWords =
    ReceiverWords { product: "the collector", service: "a collector", place: "the collector" };

/// An OpenTelemetry collector, or whoever speaks its protocol.
pub struct Otlp {
    name: String,
    settings: OtlpSettings,
    encoding: Encoding,
    client: Client,
    /// Where logs are sent.
    url: String,
    clock: Arc<dyn Clock>,
    way: Way,
    /// Whether the collector has refused some records of a request without saying which: then each goes alone.
    is_careful: AtomicBool,
}

/// What an answer is worth.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    All,
    /// So many were rejected, in these words.
    Partly(i64, String),
    /// It is not a collector's.
    Nothing,
}

impl std::fmt::Debug for Otlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Otlp")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Otlp {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        name: &str,
        settings: OtlpSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().into_iter().next() {
                return Err(mistake);
            }
            Ok((encoding, settings.client(around, REQUESTS_MAX, headers::read(&settings.headers, around)?)?))
        });
        let (encoding, client) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        let way = Way::of(format!("sink `{name}` ({})", settings.target()));
        let (url, clock) = (settings.logs_url(), Arc::clone(&around.clock));
        let is_careful = AtomicBool::new(false);
        Ok(Self { name: name.to_owned(), settings, encoding, client, url, clock, way, is_careful })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn super::KeepTickets) -> Report {
        let records = LogRecords::of(batch, &self.settings, self.clock.now());
        let formatted = Formatted::new(&self.encoding, batch).await;
        let formatted = formatted.rewritten(|event, buffer| records.write(event, buffer)).await;
        let limits = Limits {
            part_bytes_max: bytes(self.settings.batch_size),
            part_events_max: if self.is_careful.load(Ordering::Relaxed) { 1 } else { RECORDS_MAX },
            requests_max: REQUESTS_MAX,
            failures_max: 1,
        };
        let records = &records;
        batch::deliver_to_one(formatted, limits, (&self.way, tickets), async |part| {
            self.send(&part, records).await
        })
        .await
    }

    /// Sends the log records of `part` in one request.
    async fn send(&self, part: &Part, records: &LogRecords) -> Sent {
        let response = match self.post(records.request(&part.bytes())).await {
            Ok(response) => response,
            Err(trouble) => return Sent::Retry(Some(trouble)),
        };
        let (count, said) = (part.len(), words(&response));
        match (response.status, taken(&response)) {
            (200..=299, Taken::All) => Sent::Delivered,
            (200..=299, Taken::Partly(rejected, why)) if i64::try_from(count) == Ok(rejected) => {
                Sent::Invalid { reason: format!("the collector rejects it: {why}"), suspect: None }
            }
            (200..=299, Taken::Partly(rejected, why)) => {
                self.is_careful.store(true, Ordering::Relaxed);
                Sent::Uncertain(format!(
                    "uncertain: of a request of {count} log records the collector rejected {rejected} and does not say which ({why}); \
                     `dead-letter retry` sends such a one again, and it is there twice then if it was among those that were taken"
                ))
            }
            (400, _) => Sent::Invalid { reason: format!("the collector refuses it ({said})"), suspect: None },
            (413, _) => Sent::TooLarge(format!("the collector takes no request of this size ({said})")),
            _ if http::is_doubtful(&response) => Sent::Doubtful(self.refusal(&response)),
            _ => Sent::Retry(Some(self.refusal(&response))),
        }
    }

    async fn post(&self, body: Bytes) -> Result<Response, Trouble> {
        let body = match self.settings.gzip {
            true => http::gzip(body).await.map_err(|error| self.trouble(&error, None))?,
            false => body,
        };
        let mut request = self.client.request(Method::POST, &self.url).header(CONTENT_TYPE, PROTOBUF);
        if self.settings.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        self.client
            .send(request.body(body))
            .await
            .map_err(|error| self.trouble(&http::no_answer(&error, self.settings.timeout.0, WORDS), None))
    }

    /// Why a request was refused as a whole, and what to do about it.
    fn refusal(&self, response: &Response) -> Trouble {
        let said = words(response);
        let reason = match response.status {
            401 | 403 => format!(
                "the collector does not let it in ({said}): check the sink's headers, in which a token stands, and its client \
                 certificate; where it takes other records, a firewall before it may refuse this one"
            ),
            404 | 405 => format!(
                "no logs are taken at this address ({said}): check the sink's url, and that the collector has a pipeline for logs \
                 over OTLP/HTTP (port 4318 as a rule, not 4317, which is gRPC's)"
            ),
            415 => format!(
                "the collector does not take protobuf or gzip ({said}): check the sink's url, and try gzip = false"
            ),
            500 => format!("the collector fails at it ({said}); tried again later, by itself"),
            408 | 425 | 429 | 501..=599 => {
                format!("the collector is busy or down ({said}); tried again later, by itself")
            }
            200..=299 => format!(
                "it answers, but not like a collector ({said}), so nothing counts as delivered: check that the sink's url is the \
                 collector's OTLP/HTTP address, not a web page"
            ),
            _ => format!("the request was refused ({said})"),
        };
        self.trouble(&reason, http::asked_wait(response))
    }

    fn trouble(&self, reason: &str, after: Option<Duration>) -> Trouble {
        Trouble { reason: format!("sink `{}` ({}): {reason}", self.name, self.settings.target()), after }
    }

    /// Sends a request without a log record.
    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        let response = self.post(Bytes::new()).await.map_err(unusable)?;
        match (response.status, taken(&response)) {
            (200..=299, Taken::All | Taken::Partly(..)) => {
                Ok(format!("{} takes logs; a request without any was sent", self.url))
            }
            _ => Err(unusable(self.refusal(&response))),
        }
    }
}

/// What a 2xx is worth. An answer without a body is one of all defaults; a web page is none.
fn taken(response: &Response) -> Taken {
    let kind = response.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    let is_protobuf = kind.is_some_and(|kind| kind.starts_with(PROTOBUF.as_bytes()));
    let says_nothing = kind.is_none() && response.body.is_empty();
    if !is_protobuf && !says_nothing {
        return Taken::Nothing;
    }
    match ExportLogsServiceResponse::decode(&response.body[..]) {
        Ok(ExportLogsServiceResponse { partial_success: Some(partial) })
            if partial.rejected_log_records != 0 =>
        {
            Taken::Partly(partial.rejected_log_records, shown(&partial.error_message))
        }
        Ok(_) => Taken::All,
        Err(_) => Taken::Nothing,
    }
}

/// What it said, short and safe to print.
fn words(response: &Response) -> String {
    let status = response.status;
    let is_protobuf = response
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(PROTOBUF.as_bytes()));
    match Status::decode(&response.body[..]) {
        Ok(said) if is_protobuf && !said.message.is_empty() => {
            format!("HTTP {status}: {}", shown(&said.message))
        }
        _ => http::words(status, &response.body),
    }
}

#[cfg(test)]
mod tests;
