//! Splunk's HTTP Event Collector (HEC), with and without indexer acknowledgement.
//!
//! Answers, codes and order of checks follow Splunk's "Troubleshoot HTTP Event Collector" and "About HTTP Event
//! Collector Indexer Acknowledgment". Where those pages are silent:
//!
//! - A request is read event by event. The events before the first invalid one are kept and only the rest of the
//!   request is refused, as a real Splunk was seen to do (moby/moby issue 35862); a client that sends the whole
//!   request again doubles them. Such an answer has no `ackId`.
//! - An acknowledgement is told once: the id is forgotten with the answer that says `true`, and an id that is not
//!   known is `false`. Ids count from 0 in each channel.
//!
//! Events count when the request is answered. What the faults mean here:
//!
//! - [`ReceiverFault::NeverAcknowledge`]: requests are answered as ever, but their events are lost before they are
//!   indexed. They are not counted and their ids stay `false` even when the fault is gone, so that the client must
//!   send them again. Requests answered before the fault are still acknowledged. Without indexer acknowledgement
//!   it has no effect, since no client could notice.
//! - [`ReceiverFault::Unreliable`]: by the number of the request, so that it does not depend on chance. A lost request is
//!   answered as ever, and lost as with [`ReceiverFault::NeverAcknowledge`].
//! - [`ReceiverFault::Firewall`]: requests without events reach the collector.
//! - [`ReceiverFault::Forgets`]: the events are lost, and their requests acknowledged as ever.
//! - [`ReceiverFault::Status`]: every request, health included, is answered so; no event is kept.
//! - [`ReceiverFault::Stall`]: requests are read and never answered; when the fault is gone, their connections are
//!   reset and none of their events is kept, since their clients will have given up.
//! - [`ReceiverFault::CutAfterBytes`]: counted over the bytes of the connection, TLS included.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use super::fault::{ReceiverFault, lock};
use super::http::{self, Body, Unanswered, is_refused, misbehave, read_body};
use super::identify::{EventField, JsonLine, Sighting};
use super::produced::Produced;
use super::search::Index;
use super::tally::Ledger;
use super::tokens::HecTokens;
use super::wire::{FaultSeen, Wire};

/// The default largest body, packed and unpacked.
const BODY_BYTES_MAX: usize = 100_000_000;
/// More ids than this that nobody asked for are no longer remembered, as in Splunk's own limit per channel.
const PENDING_PER_CHANNEL_MAX: usize = 1_000_000;
const CHANNELS_MAX: usize = 100_000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const CHANNEL_HEADER: &str = "x-splunk-request-channel";

/// The collector behind all its connections.
pub(super) struct Hec {
    tokens: Mutex<HecTokens>,
    acknowledge: bool,
    fault: FaultSeen,
    ledger: Arc<Mutex<Ledger>>,
    /// Each belongs to the token that it was begun with.
    channels: Mutex<HashMap<(String, Uuid), Channel>>,
    body_limit: AtomicUsize,
    acknowledge_delay: Mutex<Duration>,
    /// Requests with events so far.
    requests: AtomicU64,
    fates: Mutex<Fates>,
    /// What can be searched for.
    index: Index,
}

/// The requests of one client that wait to be acknowledged.
#[derive(Default)]
struct Channel {
    next_id: u64,
    /// When each becomes acknowledged. Those of lost requests never do; those already acknowledged are not here.
    pending: HashMap<u64, Pending>,
}

/// A request that waits to be acknowledged.
#[derive(Clone, Copy)]
struct Pending {
    ready_at: Instant,
    request: u32,
}

/// What a client was told of each request, and what it sent again.
#[derive(Default)]
struct Fates {
    /// By the request's number.
    told: Vec<Told>,
    doubled: DoubledEvents,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Told {
    #[default]
    NeverAsked,
    NotYet,
    Acknowledged {
        at: Instant,
    },
}

/// Events that came more than once, by what the client had been told of the request in which they came first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DoubledEvents {
    /// It never asked about that request: the answer did not reach it, or was forgotten.
    pub never_asked: u64,
    /// It was told that the request is stored, and has forgotten that.
    pub acknowledged: u64,
    /// It asked, was told "not yet", and gave up.
    pub not_yet: u64,
}

/// Serves one connection until either side closes it.
pub(super) async fn serve(wire: Wire, acceptor: Option<TlsAcceptor>, hec: Arc<Hec>) {
    let Some(acceptor) = acceptor else { return serve_http(wire, hec).await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(wire)).await {
        Ok(Ok(stream)) => serve_http(stream, hec).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin>(stream: S, hec: Arc<Hec>) {
    http::serve(stream, move |request| {
        let hec = Arc::clone(&hec);
        async move { hec.answer(request).await }
    })
    .await;
}

impl Hec {
    pub(super) fn new(
        token: String,
        acknowledge: bool,
        fault: FaultSeen,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Self {
        Hec {
            tokens: Mutex::new(HecTokens::new(token)),
            acknowledge,
            fault,
            ledger,
            channels: Mutex::default(),
            body_limit: AtomicUsize::new(BODY_BYTES_MAX),
            acknowledge_delay: Mutex::default(),
            requests: AtomicU64::new(0),
            fates: Mutex::default(),
            index: Index::default(),
        }
    }

    pub(super) fn keep_index(&self) {
        self.index.keep();
    }

    pub(super) fn set_body_limit(&self, bytes: usize) {
        self.body_limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_acknowledge_delay(&self, delay: Duration) {
        *lock(&self.acknowledge_delay) = delay;
    }

    /// The tokens that it takes.
    pub(super) fn tokens(&self) -> MutexGuard<'_, HecTokens> {
        lock(&self.tokens)
    }

    /// What came more than once, and what its sender had been told.
    pub(super) fn doubled(&self) -> DoubledEvents {
        lock(&self.fates).doubled
    }

    /// When the client was told of each version that the request in which it first came is stored; `None`: not yet.
    pub(super) fn acknowledged_at(&self, versions: &[Produced]) -> Vec<Option<Instant>> {
        let (ledger, fates) = (lock(&self.ledger), lock(&self.fates));
        let of = |version: &Produced| match fates.told.get(ledger.first_request(version)? as usize)? {
            Told::Acknowledged { at } => Some(*at),
            Told::NeverAsked | Told::NotYet => None,
        };
        versions.iter().map(of).collect()
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Unanswered> {
        let (head, body) = request.into_parts();
        // The body is read even for a refusal: to a client that is still sending, an early answer is lost.
        let body = read_body(body, self.body_limit.load(Ordering::Relaxed)).await?;
        if let Some((status, retry_after_seconds)) = misbehave(&self.fault).await? {
            return Ok(Reply::of_fault(status).response(retry_after_seconds));
        }
        let reply = match head.uri.path() {
            "/services/collector"
            | "/services/collector/"
            | "/services/collector/event"
            | "/services/collector/event/1.0" => match head.method {
                Method::POST => self.collect(&head.headers, &head.uri, body),
                _ => Err(Reply::METHOD_NOT_ALLOWED),
            },
            "/services/collector/ack" | "/services/collector/ack/1.0" => match head.method {
                Method::POST | Method::GET => self.acknowledged(&head.headers, &head.uri, body),
                _ => Err(Reply::METHOD_NOT_ALLOWED),
            },
            "/services/collector/health" | "/services/collector/health/1.0" => match head.method {
                Method::GET => Ok(HecAnswer::Reply(Reply::HEALTHY)),
                _ => Err(Reply::METHOD_NOT_ALLOWED),
            },
            "/services/search/jobs/export" | "/services/search/v2/jobs/export" => match head.method {
                Method::POST => return Ok(self.search(&head.headers, body)),
                _ => Err(Reply::METHOD_NOT_ALLOWED),
            },
            _ => Err(Reply::NOT_FOUND),
        };
        Ok(match reply {
            Ok(HecAnswer::Reply(reply)) | Err(reply) => reply.response(None),
            Ok(HecAnswer::Page(status)) => page(status),
            Ok(HecAnswer::Acknowledged(acks)) => json_response(StatusCode::OK, &acks, None),
        })
    }

    fn collect(&self, headers: &HeaderMap, uri: &Uri, body: Body) -> Result<HecAnswer, Reply> {
        let token = self.authorize(headers)?;
        let channel = self.channel(headers, uri)?.map(|channel| (token.clone(), channel));
        let body = self.unpack(headers, body)?;
        let is_allowed = |index: Option<&str>| self.tokens().allows(&token, index);
        let (sightings, invalid) = read_events(&body, is_allowed);
        if invalid.is_some_and(|reply| reply.code == Reply::INCORRECT_INDEX.code) {
            self.tokens().refused(&token);
        }
        let fault = *self.fault.borrow();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let is_one_in =
            |many: u32, phase: u64| many > 0 && number % u64::from(many) == phase % u64::from(many);
        let lost = match fault {
            Some(ReceiverFault::NeverAcknowledge) => self.acknowledge,
            Some(ReceiverFault::Unreliable { busy_one_in, .. }) if is_one_in(busy_one_in, 1) => {
                return Err(Reply::BUSY);
            }
            Some(ReceiverFault::Unreliable { lost_one_in, .. }) => {
                self.acknowledge && is_one_in(lost_one_in, 2)
            }
            Some(ReceiverFault::Firewall { status, one_event_in })
                if !sightings.is_empty() && sightings.iter().any(|event| is_refused(event, one_event_in)) =>
            {
                return Ok(HecAnswer::Page(status));
            }
            _ => false,
        };
        let request = u32::try_from(number).unwrap_or(u32::MAX);
        let forgotten = |event: &Sighting<'_>| match fault {
            Some(ReceiverFault::Forgets { one_event_in }) => is_refused(event, one_event_in),
            _ => false,
        };
        if !lost {
            if self.index.is_kept() {
                let lost: Vec<bool> = sightings.iter().map(forgotten).collect();
                self.index.add(std::str::from_utf8(&body).unwrap_or_default(), &lost);
            }
            let mut ledger = lock(&self.ledger);
            let kept = sightings.iter().filter(|event| !forgotten(event));
            let copies = kept.filter_map(|sighting| ledger.record_in(sighting, request));
            let copies: Vec<u32> = copies.collect();
            drop(ledger);
            let mut tokens = self.tokens();
            for sighting in sightings.iter().filter(|event| !forgotten(event)) {
                if let Sighting::Record(record) = sighting {
                    tokens.took(&token, &record.tenant);
                }
            }
            drop(tokens);
            lock(&self.fates).came_again(copies);
        }
        if let Some(invalid) = invalid {
            return Err(invalid);
        }
        let ack_id = match channel {
            Some(channel) if self.acknowledge => Some(self.next_ack_id(channel, request, lost)?),
            _ => None,
        };
        Ok(HecAnswer::Reply(Reply { ack_id, ..Reply::SUCCESS }))
    }

    /// A search over what was indexed. The collector's token serves for that as well, as a bearer's.
    fn search(&self, headers: &HeaderMap, body: Body) -> Response<Full<Bytes>> {
        let fatal = |status: StatusCode, text: &str| {
            json_response(
                status,
                &serde_json::json!({ "messages": [{ "type": "FATAL", "text": text }] }),
                None,
            )
        };
        let given = headers.get(AUTHORIZATION).and_then(|given| given.to_str().ok());
        let token = given.and_then(|given| given.strip_prefix("Bearer ").or(given.strip_prefix("Splunk ")));
        if !token.is_some_and(|token| self.tokens().takes(token)) {
            return fatal(StatusCode::UNAUTHORIZED, "call not properly authenticated");
        }
        let Body::Whole(body) = body else { return fatal(StatusCode::PAYLOAD_TOO_LARGE, "too large") };
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
        match self.index.search(&form) {
            Ok(lines) => {
                let mut response = Response::new(Full::new(Bytes::from(lines)));
                let content_type = hyper::header::HeaderValue::from_static("application/json; charset=UTF-8");
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
            Err(why) => fatal(StatusCode::BAD_REQUEST, &why),
        }
    }

    /// The token of a request.
    fn authorize(&self, headers: &HeaderMap) -> Result<String, Reply> {
        let given = headers.get(AUTHORIZATION).ok_or(Reply::TOKEN_REQUIRED)?;
        let (scheme, credentials) = given
            .to_str()
            .ok()
            .and_then(|given| given.trim().split_once(' '))
            .ok_or(Reply::INVALID_AUTHORIZATION)?;
        let token = if scheme.eq_ignore_ascii_case("splunk") {
            credentials.trim().to_owned()
        } else if scheme.eq_ignore_ascii_case("basic") {
            // Any user name will do; the password is the token.
            BASE64
                .decode(credentials.trim())
                .ok()
                .and_then(|pair| String::from_utf8(pair).ok())
                .and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned()))
                .ok_or(Reply::INVALID_AUTHORIZATION)?
        } else {
            return Err(Reply::INVALID_AUTHORIZATION);
        };
        if self.tokens().takes(&token) { Ok(token) } else { Err(Reply::INVALID_TOKEN) }
    }

    /// The channel that the request names, which must be there where acknowledgements are on.
    fn channel(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<Uuid>, Reply> {
        let from_header =
            headers.get(CHANNEL_HEADER).map(|value| value.to_str().unwrap_or_default().to_owned());
        let from_query = || {
            let query = uri.query().unwrap_or_default().as_bytes();
            url::form_urlencoded::parse(query)
                .find(|(name, _)| name == "channel")
                .map(|(_, value)| value.into_owned())
        };
        match from_header.or_else(from_query) {
            Some(text) if text.len() == 36 => {
                Uuid::parse_str(&text).map(Some).map_err(|_| Reply::INVALID_CHANNEL)
            }
            Some(_) => Err(Reply::INVALID_CHANNEL),
            None if self.acknowledge => Err(Reply::CHANNEL_MISSING),
            None => Ok(None),
        }
    }

    fn unpack(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Reply> {
        let Body::Whole(body) = body else { return Err(Reply::TOO_LARGE) };
        match headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
            None | Some(b"identity" | b"") => Ok(body),
            Some(b"gzip" | b"x-gzip") => {
                let limit = self.body_limit.load(Ordering::Relaxed);
                // The packed body is a fifth to a tenth of the events in it.
                let mut unpacked = Vec::with_capacity(body.len().saturating_mul(6).min(limit));
                flate2::read::MultiGzDecoder::new(&body[..])
                    .take(limit as u64 + 1)
                    .read_to_end(&mut unpacked)
                    .map_err(|_| Reply::INVALID_FORMAT)?;
                if unpacked.len() > limit { Err(Reply::TOO_LARGE) } else { Ok(unpacked.into()) }
            }
            Some(_) => Err(Reply::UNKNOWN_ENCODING),
        }
    }

    fn next_ack_id(&self, channel: (String, Uuid), request: u32, lost: bool) -> Result<u64, Reply> {
        let delay = *lock(&self.acknowledge_delay);
        let mut channels = lock(&self.channels);
        if channels.len() >= CHANNELS_MAX && !channels.contains_key(&channel) {
            return Err(Reply::BUSY);
        }
        let channel = channels.entry(channel).or_default();
        let id = channel.next_id;
        channel.next_id += 1;
        if !lost && channel.pending.len() < PENDING_PER_CHANNEL_MAX {
            channel.pending.insert(id, Pending { ready_at: Instant::now() + delay, request });
        }
        Ok(id)
    }

    /// Which of the ids asked for have become acknowledged.
    fn acknowledged(&self, headers: &HeaderMap, uri: &Uri, body: Body) -> Result<HecAnswer, Reply> {
        let token = self.authorize(headers)?;
        if !self.acknowledge {
            return Err(Reply::ACK_DISABLED);
        }
        let Some(channel) = self.channel(headers, uri)? else { return Err(Reply::CHANNEL_MISSING) };
        let body = self.unpack(headers, body)?;
        if body.trim_ascii().is_empty() {
            return Err(Reply::NO_DATA);
        }
        let wanted: AckQuery = serde_json::from_slice(&body).map_err(|_| Reply::INVALID_FORMAT)?;
        let now = Instant::now();
        let mut channels = lock(&self.channels);
        let mut pending = channels.get_mut(&(token, channel)).map(|channel| &mut channel.pending);
        let wanted: HashSet<u64> = wanted.acks.into_iter().collect();
        let acks = wanted.into_iter().map(|id| {
            let waiting = pending.as_mut().and_then(|pending| Some((pending.get(&id).copied()?, pending)));
            let Some((waiting, pending)) = waiting else { return (id, false) };
            let acknowledged = waiting.ready_at <= now;
            if acknowledged {
                pending.remove(&id);
            }
            let told = if acknowledged { Told::Acknowledged { at: now } } else { Told::NotYet };
            lock(&self.fates).told(waiting.request, told);
            (id, acknowledged)
        });
        Ok(HecAnswer::Acknowledged(AckAnswer { acks: acks.collect() }))
    }
}

impl Fates {
    fn told(&mut self, request: u32, told: Told) {
        let place = request as usize;
        if place >= self.told.len() {
            self.told.resize(place + 1, Told::default());
        }
        self.told[place] = told;
    }

    /// Events came that had come first in these requests.
    fn came_again(&mut self, first_requests: Vec<u32>) {
        for request in first_requests {
            match self.told.get(request as usize).copied().unwrap_or_default() {
                Told::NeverAsked => self.doubled.never_asked += 1,
                Told::NotYet => self.doubled.not_yet += 1,
                Told::Acknowledged { .. } => self.doubled.acknowledged += 1,
            }
        }
    }
}

/// Reads the events of a request up to the first invalid one, and says what is wrong with that.
fn read_events(body: &[u8], is_allowed: impl Fn(Option<&str>) -> bool) -> (Vec<Sighting<'_>>, Option<Reply>) {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        // The events before the bad byte are whole, and the reader below stops where they end.
        Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
    };
    if body.trim_ascii().is_empty() {
        return (Vec::new(), Some(Reply::NO_DATA));
    }
    let mut sightings = Vec::new();
    let invalid = |reply: Reply, number: usize| Some(Reply { invalid_event_number: Some(number), ..reply });
    for event in serde_json::Deserializer::from_str(text).into_iter::<JsonLine<'_>>() {
        match event {
            Ok(JsonLine { event: EventField::Missing, .. }) => {
                let number = sightings.len();
                return (sightings, invalid(Reply::EVENT_REQUIRED, number));
            }
            Ok(JsonLine { event: EventField::Blank, .. }) => {
                let number = sightings.len();
                return (sightings, invalid(Reply::EVENT_BLANK, number));
            }
            Ok(event) if !is_allowed(event.index()) => {
                // Nothing of such a request is kept.
                return (Vec::new(), invalid(Reply::INCORRECT_INDEX, sightings.len()));
            }
            Ok(event) => sightings.push(event.identify()),
            Err(_) => {
                let number = sightings.len();
                return (sightings, invalid(Reply::INVALID_FORMAT, number));
            }
        }
    }
    let number = sightings.len();
    let damaged = text.len() < body.len();
    (sightings, if damaged { invalid(Reply::INVALID_FORMAT, number) } else { None })
}

/// What a firewall says.
fn page(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(
        b"<html><head><title>Request Rejected</title></head><body>The requested URL was rejected.</body></html>",
    )));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    response
}

#[derive(Deserialize)]
struct AckQuery {
    acks: Vec<u64>,
}

#[derive(Serialize)]
struct AckAnswer {
    acks: HashMap<u64, bool>,
}

enum HecAnswer {
    Reply(Reply),
    Acknowledged(AckAnswer),
    /// Not the collector's own.
    Page(u16),
}

/// One of Splunk's answers.
#[derive(Debug, Clone, Copy, Serialize)]
struct Reply {
    #[serde(skip)]
    status: u16,
    text: &'static str,
    code: u16,
    #[serde(rename = "invalid-event-number", skip_serializing_if = "Option::is_none")]
    invalid_event_number: Option<usize>,
    #[serde(rename = "ackId", skip_serializing_if = "Option::is_none")]
    ack_id: Option<u64>,
}

impl Reply {
    const SUCCESS: Reply = Reply::new(200, 0, "Success");
    const TOKEN_REQUIRED: Reply = Reply::new(401, 2, "Token is required");
    const INVALID_AUTHORIZATION: Reply = Reply::new(401, 3, "Invalid authorization");
    const INVALID_TOKEN: Reply = Reply::new(403, 4, "Invalid token");
    const NO_DATA: Reply = Reply::new(400, 5, "No data");
    const INVALID_FORMAT: Reply = Reply::new(400, 6, "Invalid data format");
    const INCORRECT_INDEX: Reply = Reply::new(400, 7, "Incorrect index");
    const INTERNAL_ERROR: Reply = Reply::new(500, 8, "Internal server error");
    const BUSY: Reply = Reply::new(503, 9, "Server is busy");
    const CHANNEL_MISSING: Reply = Reply::new(400, 10, "Data channel is missing");
    const INVALID_CHANNEL: Reply = Reply::new(400, 11, "Invalid data channel");
    const EVENT_REQUIRED: Reply = Reply::new(400, 12, "Event field is required");
    const EVENT_BLANK: Reply = Reply::new(400, 13, "Event field cannot be blank");
    const ACK_DISABLED: Reply = Reply::new(400, 14, "ACK is disabled");
    const HEALTHY: Reply = Reply::new(200, 17, "HEC is healthy");
    const TOO_LARGE: Reply = Reply::new(413, 27, "Request entity too large");
    const UNKNOWN_ENCODING: Reply = Reply::new(415, 6, "Unsupported content encoding");
    const NOT_FOUND: Reply = Reply::new(404, 404, "The requested URL was not found on this server.");
    const METHOD_NOT_ALLOWED: Reply = Reply::new(405, 405, "The requested method is not allowed.");

    const fn new(status: u16, code: u16, text: &'static str) -> Self {
        Reply { status, text, code, invalid_event_number: None, ack_id: None }
    }

    /// What Splunk would say with this status.
    fn of_fault(status: u16) -> Self {
        let said = match status {
            200 => Reply::SUCCESS,
            401 => Reply::INVALID_AUTHORIZATION,
            403 => Reply::INVALID_TOKEN,
            400 => Reply::INVALID_FORMAT,
            413 => Reply::TOO_LARGE,
            404 => Reply::NOT_FOUND,
            429 | 503 => Reply::BUSY,
            _ => Reply::INTERNAL_ERROR,
        };
        Reply { status, ..said }
    }

    fn response(self, retry_after_seconds: Option<u32>) -> Response<Full<Bytes>> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json_response(status, &self, retry_after_seconds)
    }
}

fn json_response(
    status: StatusCode,
    body: &impl Serialize,
    retry_after_seconds: Option<u32>,
) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("numbers, booleans and texts always become JSON");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if let Some(seconds) = retry_after_seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
