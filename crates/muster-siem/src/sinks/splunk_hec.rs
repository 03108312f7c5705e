//! Splunk's HTTP Event Collector (HEC).
//!
//! A delivery batch is formatted once into one buffer; request bodies are slices of it. Where the collector answers with
//! an `ackId` (indexer acknowledgement), that is kept as a ticket before anything else is done, and a record is delivered when
//! the indexer says so. Where it does not, a 200 with code 0 is all that Splunk offers: the event is in the collector's
//! queue, and a crash of Splunk at that moment loses it. `Acknowledge::Required` insists on the former. Why no ticket is
//! ever confirmed by a stranger stands at the head of `lines.rs`.
//!
//! What is not guaranteed: HEC cannot tell a repetition. A request whose answer was lost is sent again, and Splunk
//! then has its events twice; so is one that Splunk took and whose ticket it has forgotten.
//!
//! A refusal that is not in HEC's own words (a firewall's page, a proxy's 400, a 5xx that comes back for the same bytes) is
//! about the events once an empty request shows that the way and the token are good.
//!
//! When Splunk refuses one event of a request it has, by common report, indexed those before it; but it says so
//! nowhere, its `invalid-event-number` counts from 0 for some errors and from 1 for others, and no acknowledgement
//! comes with a refusal. So the number is only a hint: the suspect is sent alone and becomes a dead letter if it is
//! refused alone, the events around it are sent again. That may double the events of one request, and it can neither
//! lose an event nor bury a good one.

mod acknowledgement;
mod collector;
mod lines;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use muster_http::Client;
use muster_model::{
    ByteSize, ContentHash, DeliveryBatch, Report, Secret, SecretReference, Span, Ticket, Trouble,
};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use self::collector::{Call, Collector, NoAnswer, Reply, Said};
use self::lines::{Channel, Lines, Turn};
use super::batch::{self, Formatted, Limits, Part, RequestPermit, Sent, Way};
use super::error::SinkError;
use super::http;
use super::settings::{EncodingKeys, Settings, Surroundings, Urls, bytes, seconds, word};
use super::tickets::{self, KeepTickets};
use crate::formats::{
    BigEvents, Encoding, Format, IndexTemplate, MappingOptions, Sourcetypes, SplunkOptions, Template,
};

/// Requests of one delivery batch that are on their way at once.
const REQUESTS_MAX: usize = 4;
/// Connections of a sink, at most.
const LINES_MAX: usize = 64;
/// How often requests are halved while their receiver fails at them.
const SHRUNK_MAX: u32 = 10;
/// Requests that may fail while they are small, before what has not started does not start.
const FAILURES_WHILE_SMALL: usize = 8;
/// How long it is believed that the token is good.
const TOKEN_GOOD: Duration = Duration::from_secs(5);

/// `type = "splunk_hec"`: Splunk's HTTP Event Collector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplunkHecSettings {
    /// Where the collector is, such as `https://splunk.example:8088`; or a list of several.
    #[serde(deserialize_with = "urls")]
    pub url: Urls,
    /// Its token.
    pub token: SecretReference,
    /// The index; `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ tenant.name }}` may stand in it, as in `host` and
    /// `source`.
    #[serde(default)]
    pub index: Option<IndexTemplate>,
    /// The host of the events.
    #[serde(default)]
    pub host: Option<Template>,
    /// The source of the events.
    #[serde(default)]
    pub source: Option<Template>,
    /// `[sinks.NAME.sourcetypes]`
    #[serde(default)]
    pub sourcetypes: Sourcetypes,
    /// Write the fields of the data models Alerts and Malware into the index.
    #[serde(default)]
    pub cim_fields: bool,
    /// `[sinks.NAME.mapping]`: fields dropped, renamed, set and added.
    #[serde(default)]
    pub mapping: MappingOptions,
    /// The longest event.
    #[serde(default)]
    pub event_size_max: Option<ByteSize>,
    /// What is done with longer ones: `split`, `drop` or `refer`.
    #[serde(default)]
    pub big_events: BigEvents,
    /// The fields that `big_events = "drop"` leaves out, in this order.
    #[serde(default)]
    pub big_drop: Vec<String>,
    /// Whether bodies are compressed: for slow links, it costs more processor time than all else.
    #[serde(default)]
    pub gzip: bool,
    /// Indexer acknowledgement: `auto`, `required` or `off`.
    #[serde(default, deserialize_with = "acknowledge")]
    pub acknowledge: Acknowledge,
    /// How long an acknowledgement is waited for.
    #[serde(default = "five_minutes")]
    pub ack_timeout: Span,
    /// How long each request may take.
    #[serde(default = "minute")]
    pub timeout: Span,
    /// The largest request body; an event that is bigger goes alone.
    #[serde(default = "one_mebibyte")]
    pub batch_size: ByteSize,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Delivery batches under way at the same time.
    #[serde(default = "four")]
    pub concurrency: u32,
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

impl Settings for SplunkHecSettings {
    fn target(&self) -> String {
        self.url.0.iter().map(Url::as_str).collect::<Vec<_>>().join(", ")
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let format = Format::Splunk(SplunkOptions {
            index: self.index.clone(),
            host: self.host.clone(),
            source: self.source.clone(),
            sourcetypes: self.sourcetypes.clone(),
            cim_fields: self.cim_fields,
        });
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (event_size_max, big_events) = (*event_size_max, *big_events);
        EncodingKeys { format, mapping, event_size_max, big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        vec![("token", &self.token)]
    }
}

/// A Splunk HTTP Event Collector.
#[derive(Debug)]
pub struct SplunkHec {
    settings: SplunkHecSettings,
    encoding: Encoding,
    lines: Lines,
    way: Way,
    /// How often requests have been halved.
    shrunk: AtomicU32,
    /// When an empty request showed last that the token is good.
    token_good_at: Mutex<Option<Instant>>,
    /// Whether the collector has shown that it acknowledges, for `Acknowledge::Required`.
    acknowledges: AtomicBool,
}

impl SplunkHec {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        sink: &str,
        settings: SplunkHecSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            let token = (around.secret)(&settings.token)?;
            let client = client(&settings, &token, around)?;
            let collectors = settings.url.0.iter().map(|url| {
                let (sink, client, timeout) = (sink.to_owned(), client.clone(), settings.timeout.0);
                Ok(Collector { sink, client, base: base(url)?, timeout })
            });
            Ok((encoding, collectors.collect::<Result<Vec<_>, String>>()?))
        });
        let (encoding, collectors) =
            made.map_err(|problem| SinkError::Settings { sink: sink.to_owned(), problem })?;
        let way = Way::of(format!("sink `{sink}` ({})", collectors[0].base));
        let lines_max = (settings.concurrency() as usize * REQUESTS_MAX).min(LINES_MAX);
        Ok(Self {
            settings,
            encoding,
            way,
            lines: Lines::new(collectors, lines_max),
            shrunk: AtomicU32::new(0),
            token_good_at: Mutex::default(),
            acknowledges: AtomicBool::new(false),
        })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn KeepTickets) -> Report {
        let formatted = Formatted::new(&self.encoding, batch).await;
        if self.settings.acknowledge == Acknowledge::Required
            && !formatted.is_empty()
            && !self.acknowledges.load(Ordering::Relaxed)
            && let Err(trouble) = self.insist_on_acknowledgement().await
        {
            return formatted.keep_owed(trouble);
        }
        let shrunk = self.shrunk.load(Ordering::Relaxed);
        let limits = Limits {
            part_bytes_max: bytes(self.settings.batch_size) >> shrunk,
            part_events_max: usize::MAX,
            requests_max: REQUESTS_MAX,
            failures_max: if shrunk == 0 { 1 } else { FAILURES_WHILE_SMALL },
        };
        batch::deliver(formatted, limits, (&self.way, tickets), |part, permit| {
            self.send(part, permit, tickets)
        })
        .await
    }

    /// Asks what became of requests.
    pub(super) async fn ask(&self, tickets: &[Ticket]) -> Vec<tickets::Said> {
        acknowledgement::ask(&self.lines, tickets).await
    }

    /// Nothing is waited for on these channels any more.
    pub(super) fn forget(&self, tickets: &[Ticket]) {
        tickets.iter().for_each(|ticket| self.lines.forget(ticket.channel));
    }

    pub(super) fn unacknowledged(&self, last: Option<&Trouble>) -> String {
        let why =
            last.map(|last| format!(" (the last question failed: {})", last.reason)).unwrap_or_default();
        let reason = format!(
            "Splunk took events and did not acknowledge them within {:?}{why}: check the indexers, and that a load balancer \
             keeps a client on one of them. They are sent again",
            self.settings.ack_timeout.0
        );
        self.lines.collectors[0].trouble(reason, None).reason
    }

    pub(super) fn patience(&self) -> Duration {
        self.settings.ack_timeout.0
    }

    /// Sends the events of `part` in one request, to another collector where one is down or busy.
    async fn send(&self, part: Part, permit: RequestPermit, tickets: &dyn KeepTickets) -> Sent {
        let _permit = permit;
        let plain = part.bytes();
        let body = match self.settings.gzip {
            true => http::gzip(plain.clone()).await,
            false => Ok(plain),
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Sent::Retry(Some(self.lines.collectors[0].trouble(error, None))),
        };
        let (mut others, mut gone, mut has_failed) = (self.lines.collectors.len() - 1, LINES_MAX, false);
        loop {
            let mut turn = match self.lines.turn().await {
                Ok(turn) => turn,
                Err(error) => return Sent::Retry(Some(self.lines.collectors[0].trouble(error, None))),
            };
            let (place, is_proven) = (turn.line.place, turn.state.is_proven);
            let channel = turn.channel();
            let trouble = match self.post(&mut turn, &channel, body.clone()).await {
                Ok(reply) => {
                    let has_crashed = reply.status.is_server_error();
                    match self.judge(turn, channel, &part, reply, tickets).await {
                        // A failure that is not the way's: the same bytes once more, and then it is theirs.
                        Judged::As(Sent::Refused(_))
                            if has_crashed && !std::mem::replace(&mut has_failed, true) =>
                        {
                            continue;
                        }
                        Judged::As(sent) => return sent,
                        Judged::NotTaken(trouble) => trouble,
                    }
                }
                Err(NoAnswer { was_not_sent, trouble }) => {
                    turn.line.leave();
                    // A connection that has been good is gone: that says nothing about the collector.
                    if was_not_sent && is_proven && gone > 0 {
                        gone -= 1;
                        continue;
                    }
                    self.lines.failed(place);
                    if !was_not_sent {
                        self.shrink();
                        return Sent::Retry(Some(trouble));
                    }
                    trouble
                }
            };
            // Nobody has it, for certain: another collector may take it.
            if others == 0 || !self.lines.has_other(place) {
                return Sent::Retry(Some(trouble));
            }
            others -= 1;
        }
    }

    async fn post(&self, turn: &mut Turn, channel: &Channel, body: Bytes) -> Result<Reply, NoAnswer> {
        let cookies = turn.state.cookies.header();
        let call = Call {
            endpoint: "event",
            channel: channel.id,
            body: Some(body),
            gzip: self.settings.gzip,
            cookies: cookies.as_ref(),
        };
        let reply = self.lines.collector(&turn.line).call(&turn.line.client, call).await?;
        turn.state.is_proven = true;
        turn.state.cookies.take(&reply.headers);
        if reply.closes() {
            turn.line.leave();
        }
        Ok(reply)
    }

    /// What a collector's answer means for the events of a request.
    async fn judge(
        &self,
        mut turn: Turn,
        channel: Channel,
        part: &Part,
        reply: Reply,
        tickets: &dyn KeepTickets,
    ) -> Judged {
        let collector = self.lines.collector(&turn.line);
        let place = turn.line.place;
        match (reply.status, reply.said.as_ref()) {
            (StatusCode::OK, Some(Said { code: Some(0), ack_id, .. })) => {
                self.lines.succeeded(place);
                self.grow();
                Judged::As(match (self.settings.acknowledge, ack_id) {
                    (Acknowledge::Off, _) | (Acknowledge::Auto, None) => {
                        turn.give_back(channel);
                        Sent::Delivered
                    }
                    (_, Some(id)) => self.keep_ticket(turn, channel, *id, part, tickets).await,
                    (Acknowledge::Required, None) => {
                        self.acknowledges.store(false, Ordering::Relaxed);
                        Sent::Retry(Some(collector.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None)))
                    }
                })
            }
            (StatusCode::PAYLOAD_TOO_LARGE, _) => {
                turn.give_back(channel);
                Judged::As(Sent::TooLarge(format!(
                    "Splunk takes no event of this size ({}); raise max_content_length in its limits.conf",
                    reply.words()
                )))
            }
            // Data format, event field missing, event field blank, indexed fields.
            (StatusCode::BAD_REQUEST, Some(Said { code: Some(6 | 12 | 13 | 15), number, .. })) => {
                turn.give_back(channel);
                Judged::As(Sent::Invalid {
                    reason: format!("Splunk refuses the event: {}", reply.words()),
                    suspect: number.and_then(|number| usize::try_from(number).ok()),
                })
            }
            _ => {
                let trouble = collector.refusal(&reply);
                let may_be_the_events = may_be_the_events(&reply);
                if reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS {
                    turn.line.leave();
                }
                drop(turn);
                if may_be_the_events && self.token_is_good(place).await {
                    return Judged::As(Sent::Refused(Trouble {
                        reason: format!(
                            "{} refuses the event though it knows the token: something on the way to Splunk, such as a firewall \
                             or a proxy, says no, or Splunk fails at it ({})",
                            self.lines.collectors[place].base,
                            reply.words()
                        ),
                        after: None,
                    }));
                }
                // What HEC says of an index or a channel says nothing of the collector.
                if reply.status != StatusCode::BAD_REQUEST {
                    self.lines.failed(place);
                }
                Judged::NotTaken(trouble)
            }
        }
    }

    /// Keeps what the collector handed out for a request, before anything else happens on its channel.
    async fn keep_ticket(
        &self,
        turn: Turn,
        mut channel: Channel,
        ack_id: u64,
        part: &Part,
        tickets: &dyn KeepTickets,
    ) -> Sent {
        let collector = self.lines.collector(&turn.line);
        if !channel.hand_out(ack_id) {
            // Behind a balancer two indexers count alike; one that restarted counts from the beginning.
            turn.line.leave();
            return Sent::Retry(Some(collector.trouble(
                format!(
                    "Splunk has handed out acknowledgement id {ack_id} twice, so it has restarted, or a load balancer leads one \
                     connection to several indexers; its events are sent again"
                ),
                None,
            )));
        }
        let ticket = Ticket {
            endpoint: collector.base.clone(),
            channel: channel.id,
            ack_id,
            digest: ContentHash::of(&part.bytes()),
            cookies: turn.state.cookies.header(),
        };
        let Some(records) = part.whole_records() else {
            self.lines.wait_on(&turn.line, channel);
            return Sent::Ticket(ticket);
        };
        // With the turn in hand: nobody may ask before it is kept, since an answer is given once.
        match tickets.keep(vec![(ticket, records)]).await {
            Ok(()) => {
                self.lines.wait_on(&turn.line, channel);
                Sent::Awaited
            }
            Err(reason) => Sent::Retry(Some(collector.trouble(reason, None))),
        }
    }

    /// Whether an empty request is refused for being empty, and so gets through to a collector that knows the token.
    async fn token_is_good(&self, place: usize) -> bool {
        let known = *self.token_good_at.lock().expect("no panic while the lock is held");
        if known.is_some_and(|at| at.elapsed() < TOKEN_GOOD) {
            return true;
        }
        let is_good = self.empty(place).await.is_ok_and(|reply| reply.code() == Some(5));
        if is_good {
            *self.token_good_at.lock().expect("no panic while the lock is held") = Some(Instant::now());
        }
        is_good
    }

    /// A request without an event: refused for just that when the token is good, and leaves nothing behind.
    async fn empty(&self, place: usize) -> Result<Reply, NoAnswer> {
        let collector = &self.lines.collectors[place];
        let (channel, body) = (Uuid::new_v4(), Some(Bytes::new()));
        let call = Call { endpoint: "event", channel, body, gzip: false, cookies: None };
        collector.call(&collector.client, call).await
    }

    /// Smaller requests from now on: whatever fails at large ones may take small ones, and fails at fewer events.
    fn shrink(&self) {
        let shrunk = self.shrunk.load(Ordering::Relaxed);
        self.shrunk.store((shrunk + 1).min(SHRUNK_MAX), Ordering::Relaxed);
    }

    fn grow(&self) {
        let shrunk = self.shrunk.load(Ordering::Relaxed);
        self.shrunk.store(shrunk.saturating_sub(1), Ordering::Relaxed);
    }

    /// Asks, before anything is sent, whether the collectors acknowledge.
    async fn insist_on_acknowledgement(&self) -> Result<(), Trouble> {
        for collector in &self.lines.collectors {
            if !acknowledgement::offered_by(collector).await? {
                return Err(collector.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None));
            }
        }
        self.acknowledges.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let mut found = Vec::new();
        for place in 0..self.lines.collectors.len() {
            found.push(self.test_one(place).await?);
        }
        Ok(found.join("; "))
    }

    async fn test_one(&self, place: usize) -> Result<String, SinkError> {
        let collector = &self.lines.collectors[place];
        let unusable = |trouble: Trouble| SinkError::unusable(&collector.sink, &trouble);
        let health =
            Call { endpoint: "health", channel: Uuid::new_v4(), body: None, gzip: false, cookies: None };
        let health = collector.call(&collector.client, health).await;
        let health = health.map_err(|no_answer| unusable(no_answer.trouble))?;
        if health.status != StatusCode::OK || health.code() != Some(17) {
            return Err(unusable(collector.refusal(&health)));
        }
        let empty = self.empty(place).await.map_err(|no_answer| unusable(no_answer.trouble))?;
        if empty.code() != Some(5) {
            return Err(unusable(collector.refusal(&empty)));
        }
        let acknowledges = acknowledgement::offered_by(collector).await.map_err(unusable)?;
        let how = match (self.settings.acknowledge, acknowledges) {
            (Acknowledge::Off, _) => "acknowledgement is switched off in the settings",
            (_, true) => "it acknowledges what was indexed",
            (Acknowledge::Auto, false) => "it does not acknowledge: what it accepts counts as delivered",
            (Acknowledge::Required, false) => {
                return Err(unusable(collector.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None)));
            }
        };
        Ok(format!("Splunk HEC at {} is healthy and takes the token; {how}", collector.base))
    }
}

/// What an answer means for the events of a request.
enum Judged {
    /// This became of them.
    As(Sent),
    /// The collector does not have them, for certain, and it is not their fault.
    NotTaken(Trouble),
}

/// Whether a refusal may be about the events: it is not in HEC's own words, or HEC fails without saying that it is busy.
fn may_be_the_events(reply: &Reply) -> bool {
    match reply.code() {
        Some(8) => true,
        Some(_) => false,
        // Who it is, where it is and when to come again is about no event.
        None => !matches!(reply.status.as_u16(), 200..=399 | 401 | 404 | 405 | 407 | 408 | 425 | 429),
    }
}

const NO_ACKNOWLEDGEMENT: &str = "the token does not acknowledge what was indexed, and the settings require it: enable \
     indexer acknowledgement for the token in Splunk, or set acknowledge to auto";

fn client(
    settings: &SplunkHecSettings,
    token: &Secret<String>,
    around: &Surroundings<'_>,
) -> Result<Client, String> {
    let mut authorization = HeaderValue::from_str(&format!("Splunk {}", token.expose()))
        .ok()
        .filter(|_| !token.expose().is_empty() && !token.expose().contains(char::is_whitespace))
        .ok_or("its token is empty or holds a character that no token has, such as a space or a line end")?;
    authorization.set_sensitive(true);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization)]);
    let ca_file = around.path(settings.ca_file.as_ref());
    http::client(headers, settings.timeout.0, ca_file.as_deref(), around.proxy.clone()?, REQUESTS_MAX)
}

/// The address without the collector's own path, which may be typed or not.
fn base(url: &Url) -> Result<String, String> {
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("its url must be like https://splunk.example:8088".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its url must hold no user or password: the token is a setting of its own".to_owned());
    }
    let mut base = url.clone();
    base.set_query(None);
    base.set_fragment(None);
    let base = base.as_str().trim_end_matches('/');
    Ok(base.split_once("/services/collector").map_or(base, |(base, _)| base).to_owned())
}

fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Urls, D::Error> {
    Urls::read(deserializer, "https://splunk.example:8088")
}

fn acknowledge<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Acknowledge, D::Error> {
    let words = [("auto", Acknowledge::Auto), ("required", Acknowledge::Required), ("off", Acknowledge::Off)];
    word(deserializer, "a way to acknowledge", &words)
}

fn five_minutes() -> Span {
    seconds(300)
}

fn minute() -> Span {
    seconds(60)
}

fn one_mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

fn four() -> u32 {
    4
}

#[cfg(test)]
mod tests;
