//! Azure Monitor's Logs Ingestion API: one data collection rule with one stream, strict.
//!
//! Answers follow Microsoft's "Logs Ingestion API in Azure Monitor" and "Azure Monitor service limits". What is checked: path,
//! `api-version`, `Content-Type`, an Entra token of the provider's tenant for `https://monitor.azure.com`, gzip, one megabyte of
//! body both packed and unpacked, a JSON list of objects. Success is 204 without a body.
//!
//! As the service does, it leaves out columns that the rule does not declare and cuts what is longer than 64 KB, both in silence:
//! who sends such rows finds them damaged here, and [`IngestTally`] tells how often. What a row is is read off what is left of it.
//!
//! A record in several rows has arrived when all of them have, and is doubled when all of them have come again.
//!
//! What the faults mean here: [`ReceiverFault::Status`] answers every request so, with 403 in the words of a role that has not
//! spread yet; [`ReceiverFault::LosesAnswers`] takes the rows and closes the connection in place of an answer;
//! [`ReceiverFault::Firewall`] refuses requests with certain records, with that status and an error of the service's own;
//! [`ReceiverFault::Unreliable`] answers some requests with 503; the others are as for the collector of Splunk's.

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fault::{ReceiverFault, lock};
use super::http::{self, Body, Unanswered, is_refused, misbehave, read_body};
use super::identify::{SeenRecord, Sighting};
use super::produced::RecordKind;
use super::tally::Ledger;
use super::wire::{FaultSeen, Wire};

/// The immutable id of the only rule.
pub const INGEST_RULE: &str = "dcr-5a1e0000000000000000000000000001";
/// Its only stream.
pub const INGEST_STREAM: &str = "Custom-Muster_CL";
/// The largest body, packed and unpacked.
const BODY_BYTES_MAX: usize = 1_000_000;
/// Where a field is cut.
const FIELD_BYTES_MAX: usize = 64_000;

/// Says whether a request's token is good.
type CheckToken = Box<dyn Fn(&HeaderMap) -> Result<(), String> + Send + Sync>;

/// What the service never tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestTally {
    /// Rows that were taken.
    pub rows: u64,
    /// Rows that came again.
    pub doubled_rows: u64,
    /// The most rows of one request.
    pub rows_max: u64,
    /// Rows that were taken by a request whose answer was lost.
    pub unanswered_rows: u64,
    /// Fields left out since the rule does not declare their column.
    pub dropped_fields: u64,
    /// Fields cut since they were too long.
    pub truncated_fields: u64,
    /// Requests refused for more than a megabyte.
    pub too_large: u64,
    /// The names of columns left out.
    pub dropped_columns: BTreeSet<String>,
}

/// The rule behind all its connections.
pub(super) struct Ingest {
    fault: FaultSeen,
    ledger: Arc<Mutex<Ledger>>,
    check_token: OnceLock<CheckToken>,
    columns: Mutex<BTreeSet<String>>,
    requests: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tally: IngestTally,
    /// By version, how often each of its rows came.
    parts: HashMap<(String, String, String, u64), Vec<u32>>,
}

/// Status, code and message of a refusal.
type Refusal = (u16, &'static str, String);

/// Serves one connection until either side closes it.
pub(super) async fn serve(wire: Wire, ingest: Arc<Ingest>) {
    http::serve(wire, move |request| {
        let ingest = Arc::clone(&ingest);
        async move { ingest.answer(request).await }
    })
    .await;
}

impl Ingest {
    pub(super) fn new(fault: FaultSeen, ledger: Arc<Mutex<Ledger>>) -> Self {
        Self {
            fault,
            ledger,
            check_token: OnceLock::new(),
            columns: Mutex::default(),
            requests: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub(super) fn check_tokens_by(&self, check: CheckToken) {
        // Only the first counts: there is one directory.
        drop(self.check_token.set(check));
    }

    pub(super) fn declare(&self, columns: impl IntoIterator<Item = String>) {
        *lock(&self.columns) = columns.into_iter().collect();
    }

    pub(super) fn tally(&self) -> IngestTally {
        lock(&self.state).tally.clone()
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Unanswered> {
        let (head, body) = request.into_parts();
        let body = read_body(body, BODY_BYTES_MAX).await?;
        if let Some((status, retry_after_seconds)) = misbehave(&self.fault).await? {
            return Ok(of_fault(status, retry_after_seconds));
        }
        let now = *self.fault.borrow();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(ReceiverFault::Unreliable { busy_one_in, .. }) = now
            && busy_one_in > 0
            && number.is_multiple_of(u64::from(busy_one_in))
        {
            return Ok(of_fault(503, None));
        }
        let loses_answer = matches!(
            now,
            Some(ReceiverFault::LosesAnswers { one_in }) if one_in > 0 && number.is_multiple_of(u64::from(one_in))
        );
        match self.take(&head, body, now, loses_answer) {
            Ok(()) if loses_answer => Err(Unanswered::Cut),
            Ok(()) => {
                let mut response = Response::new(Full::new(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            Err((status, code, message)) => Ok(refused(status, code, &message, None)),
        }
    }

    fn take(
        &self,
        head: &hyper::http::request::Parts,
        body: Body,
        fault: Option<ReceiverFault>,
        loses_answer: bool,
    ) -> Result<(), Refusal> {
        let check = self.check_token.get();
        let checked =
            check.map_or_else(|| Err("there is no directory".to_owned()), |check| check(&head.headers));
        checked.map_err(|why| (401, "InvalidAuthenticationToken", why))?;
        let mut segments = head.uri.path().trim_start_matches('/').split('/');
        let (Some("dataCollectionRules"), Some(rule), Some("streams"), Some(stream), None) =
            (segments.next(), segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err((404, "NotFound", "Nothing is found at this address.".to_owned()));
        };
        if head.method != Method::POST {
            return Err((405, "MethodNotAllowed", "The method is not allowed.".to_owned()));
        }
        let version = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .find(|(name, _)| name == "api-version")
            .map(|(_, version)| version.into_owned());
        if version.as_deref() != Some("2023-01-01") {
            return Err((400, "InvalidApiVersion", format!("{version:?} is not supported.")));
        }
        if rule != INGEST_RULE {
            return Err((
                404,
                "NotFound",
                format!("Data collection rule with immutable Id '{rule}' not found."),
            ));
        }
        if stream != INGEST_STREAM {
            let said = format!("Stream '{stream}' was not found in the data collection rule.");
            return Err((400, "InvalidStream", said));
        }
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if kind.split(|byte| *byte == b';').next() != Some(b"application/json") {
            return Err((415, "UnsupportedMediaType", "The body must be application/json.".to_owned()));
        }
        let rows = self.rows(&head.headers, body)?;
        self.keep(rows, fault, loses_answer)
    }

    fn rows(&self, headers: &HeaderMap, body: Body) -> Result<Vec<Map<String, Value>>, Refusal> {
        let too_large = || {
            lock(&self.state).tally.too_large += 1;
            (413, "ContentLengthLimitExceeded", "Maximum allowed content length: 1 MB.".to_owned())
        };
        let Body::Whole(body) = body else { return Err(too_large()) };
        let unpacked = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => body.to_vec(),
            Some(b"gzip") => {
                let mut unpacked = Vec::new();
                flate2::read::GzDecoder::new(&body[..])
                    .take(BODY_BYTES_MAX as u64 + 1)
                    .read_to_end(&mut unpacked)
                    .map_err(|_| (400, "InvalidBody", "The body is no gzip.".to_owned()))?;
                unpacked
            }
            Some(_) => return Err((415, "UnsupportedContentEncoding", "Use gzip.".to_owned())),
        };
        if unpacked.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        serde_json::from_slice(&unpacked)
            .map_err(|_| (400, "InvalidBody", "The body must be a JSON array of objects.".to_owned()))
    }

    /// Keeps rows as the service does: without what the rule does not declare, and cut where they are too long.
    fn keep(
        &self,
        rows: Vec<Map<String, Value>>,
        fault: Option<ReceiverFault>,
        loses_answer: bool,
    ) -> Result<(), Refusal> {
        let columns = lock(&self.columns).clone();
        let (mut dropped, mut truncated) = (Vec::new(), 0);
        let kept: Vec<Map<String, Value>> = rows
            .into_iter()
            .map(|row| {
                let (known, unknown): (Vec<_>, Vec<_>) =
                    row.into_iter().partition(|(name, _)| columns.contains(name));
                dropped.extend(unknown.into_iter().map(|(name, _)| name));
                let cut = known.into_iter().map(|(name, value)| match cut(&value) {
                    Some(rest) => {
                        truncated += 1;
                        (name, rest)
                    }
                    None => (name, value),
                });
                cut.collect()
            })
            .collect();
        if let Some(ReceiverFault::Firewall { status, one_event_in }) = fault
            && kept.iter().any(|row| is_refused(&sighting(row), one_event_in))
        {
            return Err((status, "InvalidBody", "A row cannot be converted.".to_owned()));
        }
        let mut state = lock(&self.state);
        let mut ledger = lock(&self.ledger);
        let count = kept.len() as u64;
        state.tally.rows += count;
        state.tally.rows_max = state.tally.rows_max.max(count);
        state.tally.unanswered_rows += if loses_answer { count } else { 0 };
        state.tally.dropped_fields += dropped.len() as u64;
        state.tally.dropped_columns.extend(dropped);
        state.tally.truncated_fields += truncated;
        for row in &kept {
            let seen = sighting(row);
            let Some((version, part)) = version_of(row) else {
                ledger.record(&seen);
                continue;
            };
            let parts = usize::try_from(version.3).unwrap_or_default();
            let counts = state.parts.entry(version).or_insert_with(|| vec![0; parts]);
            let whole = counts.iter().min().copied();
            let Some(came) = counts.get_mut(part) else {
                ledger.record_unreadable();
                continue;
            };
            *came += 1;
            let is_copy = *came > 1;
            if counts.iter().min().copied() > whole {
                ledger.record(&seen);
            }
            state.tally.doubled_rows += u64::from(is_copy);
        }
        Ok(())
    }
}

/// What is left of a value that is too long: text, and no JSON any more.
fn cut(value: &Value) -> Option<Value> {
    let written = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if written.len() <= FIELD_BYTES_MAX {
        return None;
    }
    let end = (0..=FIELD_BYTES_MAX).rev().find(|end| written.is_char_boundary(*end)).unwrap_or_default();
    Some(Value::from(&written[..end]))
}

/// Which version a row is of, of how many rows, and which of them, counted from 0.
fn version_of(row: &Map<String, Value>) -> Option<((String, String, String, u64), usize)> {
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let (part, parts) = (row.get("Part")?.as_u64()?, row.get("Parts")?.as_u64()?);
    let customer = text("CustomerId")? + " " + &text("RecordSource")?;
    let version = (customer, text("RecordId")?, text("RecordVersion")?, parts.min(100_000));
    Some((version, usize::try_from(part.checked_sub(1)?).ok()?))
}

/// The record of a row. Its event must be whole.
fn sighting(row: &Map<String, Value>) -> Sighting<'_> {
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let updated = text("RecordUpdated").and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let updated = updated.and_then(|at| i64::try_from(at.as_nanosecond().div_euclid(1_000_000)).ok());
    let kind = text("RecordSource").and_then(RecordKind::of_source);
    let is_whole = row.get("Event").is_some_and(Value::is_object);
    match (text("CustomerId"), text("RecordId"), kind, updated) {
        (Some(tenant), Some(id), Some(kind), Some(updated_ms)) if is_whole => {
            Sighting::Record(SeenRecord { tenant: tenant.into(), kind, id: id.into(), updated_ms })
        }
        _ => Sighting::Unreadable,
    }
}

fn of_fault(status: u16, retry_after_seconds: Option<u32>) -> Response<Full<Bytes>> {
    let (code, message) = match status {
        403 => (
            "OperationFailed",
            "The authentication token provided does not have access to ingest data for the data collection rule.",
        ),
        413 => ("ContentLengthLimitExceeded", "Maximum allowed content length: 1 MB."),
        429 => ("TooManyRequests", "The rate of requests is too high."),
        _ => ("ServiceUnavailable", "The service had trouble with the request."),
    };
    refused(status, code, message, retry_after_seconds)
}

fn refused(
    status: u16,
    code: &str,
    message: &str,
    retry_after_seconds: Option<u32>,
) -> Response<Full<Bytes>> {
    let body = json!({ "error": { "code": code, "message": message } }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after_seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
