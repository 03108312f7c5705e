//! Splunk's HTTP Event Collector (HEC).
//!
//! A delivery batch is formatted once into one buffer; request bodies are slices of it. Where the collector answers with
//! an `ackId` (indexer acknowledgement), a record is delivered when the indexer says so. Where it does not, a 200
//! with code 0 is all that Splunk offers: the event is in the collector's queue, and a crash of Splunk at that moment
//! loses it. `Acknowledge::Required` insists on the former.
//!
//! What is not guaranteed: HEC cannot tell a repetition. A request whose answer was lost is sent again, and Splunk
//! then has its events twice.
//!
//! When Splunk refuses one event of a request it has, by common report, indexed those before it; but it says so
//! nowhere, its `invalid-event-number` counts from 0 for some errors and from 1 for others, and no acknowledgement
//! comes with a refusal. So the number is only a hint: the suspect is sent alone and becomes a dead letter if it is
//! refused alone, the events around it are sent again. That may double the events of one request, and it can neither
//! lose an event nor bury a good one.
//!
//! Acknowledgements are asked for by whichever delivery finds nobody asking: one question for all that are
//! outstanding. An `ackId` counts within a channel and starts over when Splunk restarts, so after any failure of the
//! connection later requests use a new channel: an id of the old one can then not be confirmed by a stranger.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use muster_http::{Client, ClientError, ClientOptions, Proxy, Response, TransportError};
use muster_model::{DeliveryBatch, Outcome, Report, Secret, Trouble};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::{Answers, SinkError, TlsOptions, shown, tls};
use crate::formats::{Events, Format, Spelling};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Answers that are read at once where their length is not announced.
const ANSWERS_MAX: usize = 64;
/// Requests of one delivery batch that are on their way at once.
const REQUESTS_MAX: usize = 4;
/// Acknowledgements that are asked for in one request.
const ACKS_PER_QUESTION_MAX: usize = 1000;
/// How soon after a request its acknowledgement is asked for, at the earliest.
const ACK_WAIT_MIN: Duration = Duration::from_millis(10);
/// How long to wait between two questions, at most.
const ACK_WAIT_MAX: Duration = Duration::from_secs(1);
/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Formatting this many bytes is about a millisecond of work; others get a turn then.
const TURN_BYTES: usize = 256 << 10;

/// The settings of a [`SplunkHec`].
#[derive(Debug, Clone)]
pub struct SplunkHecOptions {
    /// Where the collector is: `https://splunk.example:8088`.
    pub url: Url,
    /// Its token.
    pub token: Secret<String>,
    /// How records are spelled; its format is `Format::Splunk`.
    pub spelling: Spelling,
    /// Whether bodies are compressed: for slow links, it costs more processor time than all else.
    pub gzip: bool,
    /// The largest request body; an event that is bigger goes alone.
    pub batch_bytes: usize,
    /// Whether indexer acknowledgement is asked for.
    pub acknowledge: Acknowledge,
    /// How long an acknowledgement is waited for.
    pub ack_timeout: Duration,
    /// How long each request may take.
    pub timeout: Duration,
    /// The proxy on the way, if there is one. The environment is not looked at here.
    pub proxy: Option<Proxy>,
    /// Whom to trust.
    pub tls: TlsOptions,
    /// The `User-Agent`.
    pub user_agent: String,
}

impl SplunkHecOptions {
    /// The defaults beside what must be said.
    #[must_use]
    pub fn new(url: Url, token: Secret<String>, spelling: impl Into<Spelling>) -> Self {
        Self {
            url,
            token,
            spelling: spelling.into(),
            gzip: false,
            batch_bytes: 1 << 20,
            acknowledge: Acknowledge::Auto,
            ack_timeout: Duration::from_secs(300),
            timeout: Duration::from_secs(60),
            proxy: None,
            tls: TlsOptions::default(),
            user_agent: concat!("muster/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Whether indexer acknowledgement is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// Where the collector offers it.
    #[default]
    Auto,
    /// Nothing is sent to a collector that does not offer it.
    Required,
    /// Never: an accepted request counts.
    Off,
}

/// A Splunk HTTP Event Collector.
#[derive(Debug)]
pub struct SplunkHec {
    name: String,
    options: SplunkHecOptions,
    client: Client,
    /// The address without a path of the collector, for messages and for joining.
    base: String,
    board: AckBoard,
    /// Whether the collector has shown that it acknowledges, for `Acknowledge::Required`.
    acknowledges: AtomicBool,
}

impl SplunkHec {
    /// A sink with this name; nothing is connected yet.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn new(name: String, options: SplunkHecOptions) -> Result<Self, SinkError> {
        match build(&options) {
            Ok((client, base)) => Ok(Self {
                name,
                options,
                client,
                base,
                board: AckBoard::default(),
                acknowledges: AtomicBool::new(false),
            }),
            Err(problem) => Err(SinkError::Settings { sink: name, problem }),
        }
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let mut answers = Answers::new();
        let load = self.format(batch, &mut answers).await;
        if load.events.is_empty() {
            return answers.report();
        }
        if self.options.acknowledge == Acknowledge::Required
            && !self.acknowledges.load(Ordering::Relaxed)
            && let Err(trouble) = self.insist_on_acknowledgement().await
        {
            answers.retry_all();
            answers.trouble(trouble);
            return answers.report();
        }
        let permits = Semaphore::new(REQUESTS_MAX);
        let stopped = AtomicBool::new(false);
        let mut work = FuturesUnordered::new();
        let mut parts: VecDeque<Range<usize>> = load.parts(self.options.batch_bytes).into();
        loop {
            while let Some(part) = parts.pop_front() {
                work.push(self.send(&load, part, &permits, &stopped));
            }
            let Some((part, sent)) = work.next().await else { break };
            match sent {
                Sent::Delivered => {}
                Sent::Retry(trouble) => {
                    // One refused connection tells about the others: what has not started does not start.
                    stopped.store(true, Ordering::Relaxed);
                    load.records(part).for_each(|record| answers.retry(record));
                    if let Some(trouble) = trouble {
                        answers.trouble(trouble);
                    }
                }
                Sent::TooLarge(reason) if part.len() == 1 => {
                    load.records(part).for_each(|record| answers.reject(record, &reason));
                }
                Sent::TooLarge(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([part.start..middle, middle..part.end]);
                }
                Sent::Invalid { reason, .. } if part.len() == 1 => {
                    load.records(part).for_each(|record| answers.reject(record, &reason));
                }
                Sent::Invalid { number, .. } => {
                    // Without a number that can be right, halves find the event as surely.
                    let suspect =
                        number.filter(|number| *number < part.len()).unwrap_or(part.len() / 2) + part.start;
                    let around = [part.start..suspect, suspect..suspect + 1, suspect + 1..part.end];
                    parts.extend(around.into_iter().filter(|part| !part.is_empty()));
                }
            }
        }
        answers.report()
    }

    /// All events of the delivery batch in one buffer, and for each the record it belongs to.
    async fn format(&self, batch: DeliveryBatch<'_>, answers: &mut Answers) -> Load {
        let mut events = Events::new();
        let bodies: usize = batch.deliveries.iter().map(|delivery| delivery.batch.body_bytes()).sum();
        events.bytes.reserve(bodies + bodies / 16);
        let mut records = Vec::new();
        let mut turn_at = TURN_BYTES;
        for (record, (source, body)) in batch.records().enumerate() {
            answers.outcomes.push(Outcome::Delivered);
            match self.options.spelling.write(source.kind(), body, batch.tenant, &mut events) {
                Ok(()) => records.resize(events.len(), record),
                Err(error) => answers.reject(record, &error.to_string()),
            }
            if events.bytes.len() >= turn_at {
                turn_at = events.bytes.len() + TURN_BYTES;
                tokio::task::yield_now().await;
            }
        }
        let mut end = 0;
        let place = |(event, record): (&[u8], usize)| {
            end += event.len();
            Placed { end, record }
        };
        let placed = events.iter().zip(records).map(place).collect();
        Load { bytes: events.bytes.into(), events: placed }
    }

    /// Sends the events of `part` in one request and waits for what the collector has to say about it.
    async fn send(
        &self,
        load: &Load,
        part: Range<usize>,
        permits: &Semaphore,
        stopped: &AtomicBool,
    ) -> (Range<usize>, Sent) {
        let posted = {
            let _permit = permits.acquire().await;
            if stopped.load(Ordering::Relaxed) {
                return (part, Sent::Retry(None));
            }
            self.post(load.body(&part)).await
        };
        let sent = match posted {
            Posted::Accepted => Sent::Delivered,
            Posted::Acknowledging(ticket) => match self.acknowledged(ticket).await {
                Ok(()) => Sent::Delivered,
                Err(trouble) => Sent::Retry(Some(trouble)),
            },
            Posted::Refused(sent) => sent,
        };
        (part, sent)
    }

    async fn post(&self, body: Bytes) -> Posted<'_> {
        let channel = self.board.channel();
        let body = if self.options.gzip {
            // Compressing a body takes tens of milliseconds: too long for a thread that others wait for.
            match tokio::task::spawn_blocking(move || gzip(&body)).await {
                Ok(body) => body,
                Err(error) => {
                    return Posted::Refused(Sent::Retry(Some(self.trouble(error.to_string(), None))));
                }
            }
        } else {
            body
        };
        let answer = match self.call(Method::POST, "event", channel, Some(body), self.options.gzip).await {
            Ok(answer) => answer,
            Err(trouble) => {
                self.board.change_channel(channel);
                return Posted::Refused(Sent::Retry(Some(trouble)));
            }
        };
        if answer.status.is_server_error() {
            self.board.change_channel(channel);
        }
        match (answer.status, answer.said.as_ref()) {
            (StatusCode::OK, Some(Said { code: Some(0), ack_id, .. })) => {
                match (self.options.acknowledge, ack_id) {
                    (Acknowledge::Off, _) | (Acknowledge::Auto, None) => Posted::Accepted,
                    (_, Some(id)) => Posted::Acknowledging(self.board.register(channel, *id)),
                    (Acknowledge::Required, None) => {
                        self.acknowledges.store(false, Ordering::Relaxed);
                        Posted::Refused(Sent::Retry(Some(self.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None))))
                    }
                }
            }
            (StatusCode::PAYLOAD_TOO_LARGE, _) => Posted::Refused(Sent::TooLarge(format!(
                "Splunk takes no event of this size ({}); raise max_content_length in its limits.conf",
                answer.words()
            ))),
            // Data format, event field missing, event field blank, indexed fields.
            (StatusCode::BAD_REQUEST, Some(Said { code: Some(6 | 12 | 13 | 15), number, .. })) => {
                Posted::Refused(Sent::Invalid {
                    reason: format!("Splunk refuses the event: {}", answer.words()),
                    number: number.and_then(|number| usize::try_from(number).ok()),
                })
            }
            _ => Posted::Refused(Sent::Retry(Some(self.refusal(&answer)))),
        }
    }

    /// Why a request was refused as a whole, and what to do about it.
    fn refusal(&self, answer: &Answer) -> Trouble {
        let words = answer.words();
        let code = answer.said.as_ref().and_then(|said| said.code);
        let reason = match (answer.status.as_u16(), code) {
            (_, Some(1)) => {
                format!("the token is disabled ({words}): enable it in Splunk, Settings > Data inputs")
            }
            (401 | 403, Some(2..=4)) | (401, _) | (403, _) => {
                format!("the token is not taken ({words}): check the sink's token against Splunk's")
            }
            (400, Some(7)) => format!(
                "the index is not one that the token may write to ({words}): create it, or allow it in the token"
            ),
            (400, Some(10 | 11)) => format!("the data channel is not taken ({words})"),
            (404 | 405, _) => {
                format!(
                    "there is no event collector at this address ({words}): check the sink's url and its port"
                )
            }
            (408 | 429 | 500..=599, _) => {
                format!("Splunk is busy or down ({words}); tried again later, by itself")
            }
            (200..=299, _) => format!(
                "it answers, but not like Splunk HEC ({words}): check that the sink's url is the collector's own, \
                 not a login page or another service"
            ),
            _ => format!("the request was refused ({words})"),
        };
        self.trouble(reason, answer.retry_after)
    }

    /// Asks, before anything is sent, whether the collector acknowledges.
    async fn insist_on_acknowledgement(&self) -> Result<(), Trouble> {
        if self.offers_acknowledgement().await? {
            self.acknowledges.store(true, Ordering::Relaxed);
            Ok(())
        } else {
            Err(self.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None))
        }
    }

    async fn offers_acknowledgement(&self) -> Result<bool, Trouble> {
        let question = Bytes::from_static(b"{\"acks\":[0]}");
        // On a channel of its own: an acknowledgement is told once, and this must not take one that is waited for.
        let answer = self.call(Method::POST, "ack", Uuid::new_v4(), Some(question), false).await?;
        match (answer.status, &answer.said) {
            (StatusCode::OK, Some(Said { acks: Some(_), .. })) => Ok(true),
            (_, Some(Said { code: Some(14), .. })) | (StatusCode::NOT_FOUND, _) => Ok(false),
            _ => Err(self.refusal(&answer)),
        }
    }

    /// Waits until the collector confirms the ticket, asking for everyone while nobody else does.
    async fn acknowledged(&self, mut ticket: Ticket<'_>) -> Result<(), Trouble> {
        let deadline = Instant::now() + self.options.ack_timeout;
        let told = tokio::select! {
            biased;
            told = &mut ticket.told => Some(told),
            () = tokio::time::sleep_until(deadline) => None,
            _asking = self.board.asking.lock() => self.ask_until(&mut ticket, deadline).await,
        };
        match told {
            Some(Ok(told)) => told,
            Some(Err(_)) => Err(self.trouble(
                "Splunk has given an acknowledgement id out twice, so it has restarted and forgotten the first; \
                 its events are sent again"
                    .to_owned(),
                None,
            )),
            None => {
                let last = self.board.last_problem();
                let why = last.map(|last| format!(" (the last question failed: {last})")).unwrap_or_default();
                Err(self.trouble(
                    format!(
                        "Splunk took events and did not acknowledge them within {:?}{why}: check the indexers, and \
                         that a load balancer keeps a client on one of them. They are sent again",
                        self.options.ack_timeout
                    ),
                    None,
                ))
            }
        }
    }

    /// Asks for all that is outstanding until the ticket is told or the deadline has passed.
    ///
    /// A question is never left unanswered for the ticket's sake: Splunk forgets what it has confirmed, and the answer
    /// may confirm the tickets of others.
    async fn ask_until(
        &self,
        ticket: &mut Ticket<'_>,
        deadline: Instant,
    ) -> Option<Result<Result<(), Trouble>, oneshot::error::RecvError>> {
        let mut wait = self.board.first_wait();
        loop {
            let mut due = Instant::now() + wait;
            loop {
                tokio::select! {
                    biased;
                    told = &mut ticket.told => return Some(told),
                    () = tokio::time::sleep_until(deadline) => return None,
                    () = tokio::time::sleep_until(due) => break,
                    () = self.board.registered.notified() => {
                        wait = self.board.first_wait();
                        due = due.min(Instant::now() + wait);
                    }
                }
            }
            wait = (wait * 2).min(ACK_WAIT_MAX);
            for (channel, ids) in self.board.outstanding() {
                for ids in ids.chunks(ACKS_PER_QUESTION_MAX) {
                    self.ask_once(channel, ids).await;
                }
            }
        }
    }

    async fn ask_once(&self, channel: Uuid, ids: &[u64]) {
        let question = serde_json::json!({ "acks": ids }).to_string();
        let answer = match self.call(Method::POST, "ack", channel, Some(question.into()), false).await {
            Ok(answer) => answer,
            Err(trouble) => {
                self.board.change_channel(channel);
                self.board.problem(Some(trouble.reason));
                return;
            }
        };
        if let (StatusCode::OK, Some(Said { acks: Some(acks), .. })) = (answer.status, &answer.said) {
            self.board.problem(None);
            for id in ids.iter().filter(|id| acks.get(&id.to_string()) == Some(&true)) {
                self.board.tell(channel, *id, Ok(()));
            }
            return;
        }
        let trouble = self.refusal(&answer);
        if answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS {
            // The token was withdrawn, or acknowledgement switched off: waiting will not help.
            for id in ids {
                self.board.tell(channel, *id, Err(trouble.clone()));
            }
        } else {
            self.board.change_channel(channel);
        }
        self.board.problem(Some(trouble.reason));
    }

    /// One request to the collector and its whole answer. An error is one of the way there.
    async fn call(
        &self,
        method: Method,
        endpoint: &str,
        channel: Uuid,
        body: Option<Bytes>,
        gzip: bool,
    ) -> Result<Answer, Trouble> {
        let query = if endpoint == "ack" { format!("?channel={channel}") } else { String::new() };
        let mut request = self
            .client
            .request(method, &format!("{}/services/collector/{endpoint}{query}", self.base))
            .header("X-Splunk-Request-Channel", channel.to_string());
        if gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let why = match self.client.send(request).await {
            Ok(response) => return Ok(Answer::read(response)),
            Err(TransportError::Redirect { status, to, .. }) => {
                return Err(self.trouble(
                    format!(
                        "it redirects elsewhere (HTTP {status} to {}), which is not followed since the token is for \
                         this host only: set the sink's url to where the collector is",
                        shown(&to)
                    ),
                    None,
                ));
            }
            Err(TransportError::TooLarge { limit_bytes, .. }) => {
                return Err(self.trouble(
                    format!(
                        "it answers with more than {limit_bytes} bytes, which Splunk HEC never does: check the \
                         sink's url"
                    ),
                    None,
                ));
            }
            Err(TransportError::Timeout { .. }) => format!("no answer within {:?}", self.options.timeout),
            Err(TransportError::Connect { detail, .. } | TransportError::Broken { detail, .. }) => {
                shown(&detail)
            }
        };
        let reason = format!("no way to Splunk ({why}): check the url, the network and, for https, the CA");
        Err(self.trouble(reason, None))
    }

    fn trouble(&self, reason: String, after: Option<Duration>) -> Trouble {
        Trouble { reason: format!("sink `{}` ({}): {reason}", self.name, self.base), after }
    }

    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::Unusable {
            sink: self.name.clone(),
            // The name stands in front already.
            problem: trouble
                .reason
                .strip_prefix(&format!("sink `{}` ", self.name))
                .unwrap_or(&trouble.reason)
                .to_owned(),
        };
        let channel = self.board.channel();
        let health = self.call(Method::GET, "health", channel, None, false).await.map_err(unusable)?;
        if health.status != StatusCode::OK || health.said.as_ref().and_then(|said| said.code) != Some(17) {
            return Err(unusable(self.refusal(&health)));
        }
        // A request without an event is refused for just that when the token is good, and leaves nothing behind.
        let empty = self.call(Method::POST, "event", channel, Some(Bytes::new()), false).await;
        let empty = empty.map_err(unusable)?;
        if empty.said.as_ref().and_then(|said| said.code) != Some(5) {
            return Err(unusable(self.refusal(&empty)));
        }
        let acknowledges = self.offers_acknowledgement().await.map_err(unusable)?;
        let how = match (self.options.acknowledge, acknowledges) {
            (Acknowledge::Off, _) => "acknowledgement is switched off in the settings",
            (_, true) => "it acknowledges what was indexed",
            (Acknowledge::Auto, false) => "it does not acknowledge: what it accepts counts as delivered",
            (Acknowledge::Required, false) => {
                return Err(unusable(self.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None)));
            }
        };
        Ok(format!("Splunk HEC at {} is healthy and takes the token; {how}", self.base))
    }
}

const NO_ACKNOWLEDGEMENT: &str = "the token does not acknowledge what was indexed, and the settings require it: enable \
     indexer acknowledgement for the token in Splunk, or set acknowledge to auto";

fn build(options: &SplunkHecOptions) -> Result<(Client, String), String> {
    let url = &options.url;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("its url must be like https://splunk.example:8088".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its url must hold no user or password: the token is a setting of its own".to_owned());
    }
    if !matches!(options.spelling.format, Format::Splunk(_)) {
        return Err(format!("its format must be splunk; {} is for other sinks", options.spelling.format));
    }
    if options.tls.server_name.is_some() {
        return Err("server_name is for syslog; the host of the url is what is checked here".to_owned());
    }
    let authorization = format!("Splunk {}", options.token.expose());
    let mut authorization = HeaderValue::from_str(&authorization)
        .ok()
        .filter(|_| {
            !options.token.expose().is_empty() && !options.token.expose().contains(char::is_whitespace)
        })
        .ok_or("its token is empty or holds a character that no token has, such as a space or a line end")?;
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization);
    let client = Client::new(&ClientOptions {
        headers,
        user_agent: options.user_agent.clone(),
        connect_timeout: options.timeout.min(Duration::from_secs(10)),
        idle_timeout: options.timeout,
        total_timeout: options.timeout,
        body_bytes_max: ANSWER_BYTES_MAX,
        bodies_max: ANSWERS_MAX,
        gzip: false,
        idle_connections_max: 2 * REQUESTS_MAX,
        idle_connection_life: Duration::from_secs(30),
        extra_roots_pem: tls::extra_roots(&options.tls)?,
        proxy: options.proxy.clone(),
        ..ClientOptions::default()
    });
    let client = client.map_err(|error| match error {
        ClientError::Roots(error) => tls::wrong_roots(&options.tls, error),
        ClientError::Proxy(_) => "its proxy must be like http://proxy.example:3128".to_owned(),
        ClientError::Setup(why) => shown(&why),
    })?;
    // The collector's own path may be typed or not.
    let mut base = url.clone();
    base.set_query(None);
    base.set_fragment(None);
    let base = base.as_str().trim_end_matches('/');
    let base = base.split_once("/services/collector").map_or(base, |(base, _)| base);
    Ok((client, base.to_owned()))
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail").into()
}

/// A formatted delivery batch.
struct Load {
    bytes: Bytes,
    events: Vec<Placed>,
}

/// Where an event ends in the bytes, and the record it belongs to.
struct Placed {
    end: usize,
    record: usize,
}

impl Load {
    fn start(&self, event: usize) -> usize {
        event.checked_sub(1).and_then(|before| self.events.get(before)).map_or(0, |placed| placed.end)
    }

    fn body(&self, part: &Range<usize>) -> Bytes {
        self.bytes.slice(self.start(part.start)..self.start(part.end))
    }

    fn records(&self, part: Range<usize>) -> impl Iterator<Item = usize> {
        self.events.get(part).unwrap_or_default().iter().map(|placed| placed.record)
    }

    /// Runs of events of at most `bytes_max` together, or of one event.
    fn parts(&self, bytes_max: usize) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut first = 0;
        for (event, placed) in self.events.iter().enumerate() {
            if event > first && placed.end - self.start(first) > bytes_max {
                parts.push(first..event);
                first = event;
            }
        }
        parts.push(first..self.events.len());
        parts
    }
}

/// What became of the events of one request.
enum Sent {
    Delivered,
    /// Not now; without a reason when another request has told it.
    Retry(Option<Trouble>),
    TooLarge(String),
    Invalid {
        reason: String,
        number: Option<usize>,
    },
}

enum Posted<'a> {
    Accepted,
    Acknowledging(Ticket<'a>),
    Refused(Sent),
}

/// A collector's answer.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    said: Option<Said>,
    text: Vec<u8>,
}

impl Answer {
    fn read(response: Response) -> Self {
        Self {
            status: StatusCode::from_u16(response.status).expect("what came as a status is one"),
            retry_after: response.retry_after().map(|wait| wait.min(RETRY_AFTER_MAX)),
            said: serde_json::from_slice(&response.body).ok(),
            text: response.body,
        }
    }

    /// What it said, short and safe to print.
    fn words(&self) -> String {
        let status = self.status.as_u16();
        match &self.said {
            Some(Said { code: Some(code), text, .. }) => {
                format!("{}, code {code}, HTTP {status}", shown(text.as_deref().unwrap_or("no text")))
            }
            _ if self.text.trim_ascii().is_empty() => format!("HTTP {status}"),
            _ => {
                // The start is enough to recognise a login page by.
                let start = self.text.get(..80).unwrap_or(&self.text);
                format!("HTTP {status}: {}", shown(&String::from_utf8_lossy(start)))
            }
        }
    }
}

#[derive(Deserialize)]
struct Said {
    text: Option<String>,
    code: Option<i64>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    number: Option<i64>,
    acks: Option<BTreeMap<String, bool>>,
}

/// Which acknowledgements are outstanding.
#[derive(Debug)]
struct AckBoard {
    state: Mutex<AckState>,
    /// Held by whoever asks for all.
    asking: tokio::sync::Mutex<()>,
    registered: Notify,
}

#[derive(Debug)]
struct AckState {
    channel: Uuid,
    waiting: BTreeMap<(Uuid, u64), Waiting>,
    /// Of the latest one confirmed, from request to confirmation.
    last_took: Duration,
    last_problem: Option<String>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    teller: oneshot::Sender<Result<(), Trouble>>,
}

/// The wait for one acknowledgement; dropping it ends the asking.
struct Ticket<'a> {
    board: &'a AckBoard,
    channel: Uuid,
    id: u64,
    told: oneshot::Receiver<Result<(), Trouble>>,
}

impl Default for AckBoard {
    fn default() -> Self {
        Self {
            state: Mutex::new(AckState {
                channel: Uuid::new_v4(),
                waiting: BTreeMap::new(),
                last_took: Duration::ZERO,
                last_problem: None,
            }),
            asking: tokio::sync::Mutex::new(()),
            registered: Notify::new(),
        }
    }
}

impl AckBoard {
    fn state(&self) -> std::sync::MutexGuard<'_, AckState> {
        self.state.lock().expect("no panic while the lock is held")
    }

    fn channel(&self) -> Uuid {
        self.state().channel
    }

    /// Leaves a channel that may belong to a collector that has restarted.
    fn change_channel(&self, left: Uuid) {
        let mut state = self.state();
        if state.channel == left {
            state.channel = Uuid::new_v4();
        }
    }

    fn register(&self, channel: Uuid, id: u64) -> Ticket<'_> {
        let (teller, told) = oneshot::channel();
        // An id given out twice is one of before and one of after a restart: the older waits in vain, and is told so
        // by its channel closing here.
        self.state().waiting.insert((channel, id), Waiting { since: Instant::now(), teller });
        self.registered.notify_one();
        Ticket { board: self, channel, id, told }
    }

    fn outstanding(&self) -> BTreeMap<Uuid, Vec<u64>> {
        let mut channels = BTreeMap::<Uuid, Vec<u64>>::new();
        for (channel, id) in self.state().waiting.keys() {
            channels.entry(*channel).or_default().push(*id);
        }
        channels
    }

    fn tell(&self, channel: Uuid, id: u64, what: Result<(), Trouble>) {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.remove(&(channel, id)) {
            if what.is_ok() {
                state.last_took = waiting.since.elapsed();
            }
            // The delivery may have given up at this moment; then there is nobody to tell.
            drop(waiting.teller.send(what));
        }
    }

    /// Half of what the latest took: soon enough, and no storm of questions to a collector that takes its time.
    fn first_wait(&self) -> Duration {
        (self.state().last_took / 2).clamp(ACK_WAIT_MIN, ACK_WAIT_MAX)
    }

    fn problem(&self, problem: Option<String>) {
        self.state().last_problem = problem;
    }

    fn last_problem(&self) -> Option<String> {
        self.state().last_problem.clone()
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.told.close();
        let mut state = self.board.state();
        // Not a later one with the same id.
        if state.waiting.get(&(self.channel, self.id)).is_some_and(|waiting| waiting.teller.is_closed()) {
            state.waiting.remove(&(self.channel, self.id));
        }
    }
}

#[cfg(test)]
#[path = "splunk_hec_tests.rs"]
mod tests;
