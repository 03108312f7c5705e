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
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use muster_http::Client;
use muster_model::{ByteSize, DeliveryBatch, Report, SecretReference, Span, TenantLabel, Ticket, Trouble};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Deserializer};
use url::Url;
use uuid::Uuid;

use self::collector::{Call, Collector, NoAnswer, Reply, Said, Whose};
use self::lines::{Channel, Lines, Turn};
use self::tokens::{Token, TokenTemplate, Tokens};
use super::batch::{self, Answered, Formatted, Keeping, Limits, Part, RequestPermit, Sent};
use super::error::SinkError;
use super::http;
use super::settings::{EncodingKeys, Settings, Surroundings, Urls, bytes, seconds, word};
use super::tickets::{self, AskedTicket, HearAnswers, KeepTickets};
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

/// `type = "splunk_hec"`: Splunk's HTTP Event Collector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplunkHecSettings {
    /// Where the collector is, such as `https://splunk.example:8088`; or a list of several.
    #[serde(deserialize_with = "urls")]
    pub url: Urls,
    /// Its token; with `{{ tenant.slug }}` or `{{ tenant.id }}` in its place, each tenant's own.
    pub token: SecretReference,
    /// The token for tenants that have none of their own.
    #[serde(default)]
    pub default_token: Option<SecretReference>,
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
    fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

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
        let token = (!self.has_token_for_each_tenant()).then_some(("token", &self.token));
        token.into_iter().chain(self.default_token.iter().map(|token| ("default_token", token))).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        match (TokenTemplate::of(&self.token), &self.default_token) {
            (Err(mistake), _) => vec![mistake],
            (Ok(None), Some(_)) => vec![
                "default_token is only used where token is each tenant's own, as with { file = \"tokens/{{ tenant.slug }}.token\" }"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

impl SplunkHecSettings {
    /// Whether each tenant has a token of its own.
    #[must_use]
    pub fn has_token_for_each_tenant(&self) -> bool {
        matches!(TokenTemplate::of(&self.token), Ok(Some(_)))
    }

    /// Where the tenant's token is kept, in the order in which it is looked for.
    #[must_use]
    pub fn tokens_of(&self, tenant: &TenantLabel) -> Vec<SecretReference> {
        let own = match TokenTemplate::of(&self.token) {
            Ok(Some(template)) => template.expand(tenant),
            _ => self.token.clone(),
        };
        [own].into_iter().chain(self.default_token.clone()).collect()
    }
}

/// A Splunk HTTP Event Collector.
#[derive(Debug)]
pub struct SplunkHec {
    settings: SplunkHecSettings,
    encoding: Encoding,
    lines: Lines,
    tokens: Tokens,
    /// How often requests have been halved.
    shrunk: AtomicU32,
}

impl SplunkHec {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        sink: &str,
        settings: SplunkHecSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().first() {
                return Err(mistake.clone());
            }
            let client = client(&settings, around)?;
            let collectors = settings.url.0.iter().map(|url| {
                let (sink, client, timeout) = (sink.to_owned(), client.clone(), settings.timeout.0);
                Ok(Collector { sink, client, base: base(url)?, timeout })
            });
            let collectors = collectors.collect::<Result<Vec<_>, String>>()?;
            let way = format!("sink `{sink}` ({})", collectors[0].base);
            let places = (&settings.token, settings.default_token.as_ref());
            let tokens = Tokens::of((sink, way), places, collectors.len(), around)?;
            Ok((encoding, collectors, tokens))
        });
        let (encoding, collectors, tokens) =
            made.map_err(|problem| SinkError::Settings { sink: sink.to_owned(), problem })?;
        let lines_max = (settings.concurrency() as usize * REQUESTS_MAX).min(LINES_MAX);
        Ok(Self {
            settings,
            encoding,
            lines: Lines::new(collectors, lines_max),
            tokens,
            shrunk: AtomicU32::new(0),
        })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn KeepTickets) -> Report {
        let formatted = Formatted::new(&self.encoding, batch).await;
        let whose = match self.whose(batch.tenant).await {
            Ok(whose) => whose,
            Err(trouble) => return formatted.keep_owed(trouble),
        };
        if self.settings.acknowledge == Acknowledge::Required
            && !formatted.is_empty()
            && !whose.token.acknowledges()
            && let Err(trouble) = self.insist_on_acknowledgement(&whose).await
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
        let forget = |ticket: &Ticket| self.lines.forget(ticket.channel);
        let keeping = Keeping { tickets, forget: &forget };
        batch::deliver(formatted, limits, (&whose.token.way, keeping), |part, permit| {
            self.send(&whose, part, permit, tickets)
        })
        .await
    }

    /// With which token something is sent for a tenant, and to which index.
    async fn whose(&self, tenant: &TenantLabel) -> Result<Whose, Trouble> {
        let token = self.tokens.for_tenant(tenant).await;
        let token = token.map_err(|reason| self.lines.collectors[0].trouble(reason, None))?;
        let index = self.settings.index.as_ref().map(|index| index.expand(tenant));
        let (tenant, is_own) = (Some((tenant.id, tenant.slug.clone())), self.tokens.are_each_tenants());
        Ok(Whose { tenant, token, is_own, index })
    }

    /// Asks what became of requests.
    pub(super) async fn ask(&self, asked: &[AskedTicket<'_>], hears: &dyn HearAnswers) {
        let mut answerable = Vec::with_capacity(asked.len());
        for (place, of) in asked.iter().enumerate() {
            match self.whose(of.tenant).await {
                Ok(whose) => answerable.push((place, of.ticket, whose)),
                // Without its token nobody can ask.
                Err(trouble) => hears.said(place, tickets::Said::Unclear(trouble)).await,
            }
        }
        acknowledgement::ask((&self.lines, &self.tokens), &answerable, hears).await;
    }

    /// Nothing is waited for on these channels any more.
    pub(super) fn forget(&self, tickets: &[Ticket]) {
        tickets.iter().for_each(|ticket| self.lines.forget(ticket.channel));
    }

    pub(super) fn unacknowledged(&self, ticket: &Ticket, last: Option<&Trouble>) -> String {
        let why =
            last.map(|last| format!(" (the last question failed: {})", last.reason)).unwrap_or_default();
        let reason = format!(
            "Splunk took events and did not acknowledge them within {:?}{why}: check the indexers, and that a load balancer \
             keeps a client on one of them. They are sent again",
            self.settings.ack_timeout.0
        );
        let its = |collector: &&Collector| collector.base == ticket.endpoint;
        let collector = self.lines.collectors.iter().find(its).unwrap_or(&self.lines.collectors[0]);
        collector.trouble(reason, None).reason
    }

    pub(super) fn patience(&self) -> Duration {
        self.settings.ack_timeout.0
    }

    /// Sends the events of `part` in one request, to another collector where one is down or busy or refuses it.
    async fn send(
        &self,
        whose: &Whose,
        part: Part,
        permit: RequestPermit,
        tickets: &dyn KeepTickets,
    ) -> Answered {
        let _permit = permit;
        let plain = part.bytes();
        let body = match self.settings.gzip {
            true => http::gzip(plain.clone()).await,
            false => Ok(plain),
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Answered::retry(Some(self.lines.collectors[0].trouble(error, None))),
        };
        // Those that were asked; of those, what they refused the events with.
        let (mut tried, mut refused) = (Vec::new(), Vec::<(usize, Sent)>::new());
        let (mut gone, mut has_failed, mut not_taken) = (LINES_MAX, false, None);
        loop {
            let mut turn = match self.lines.turn(&whose.token, &tried).await {
                Ok(Some(turn)) => turn,
                Ok(None) => break,
                Err(error) => return Answered::retry(Some(self.lines.collectors[0].trouble(error, None))),
            };
            let (place, is_proven) = (turn.line.place, turn.state.is_proven);
            let channel = turn.channel(&whose.token);
            match self.post(&mut turn, (whose, &channel), body.clone()).await {
                Ok(reply) => {
                    let has_crashed = reply.status.is_server_error();
                    match self.judge(turn, channel, (whose, &part), reply, tickets).await {
                        // A failure that is not the way's: the same bytes once more, and then it is theirs.
                        Judged::As(Sent::Refused(_))
                            if has_crashed && !std::mem::replace(&mut has_failed, true) => {}
                        // One that refuses what others take does not judge it.
                        Judged::As(sent @ Sent::Refused(_)) => {
                            tried.push(place);
                            refused.push((place, sent));
                        }
                        Judged::As(sent @ (Sent::TooLarge(_) | Sent::Invalid { .. })) if part.len() == 1 => {
                            tried.push(place);
                            refused.push((place, sent));
                        }
                        Judged::As(sent) => {
                            let is_taken = matches!(sent, Sent::Delivered | Sent::Awaited | Sent::Ticket(_));
                            for (place, refusal) in refused.iter().filter(|_| is_taken) {
                                self.lines.refused_alone(*place, refusal.reason());
                            }
                            return Answered { sent, by: vec![place] };
                        }
                        Judged::NotTaken(trouble) => {
                            tried.push(place);
                            not_taken = Some(trouble);
                        }
                    }
                }
                Err(NoAnswer { was_not_sent, trouble, .. }) => {
                    turn.line.leave();
                    // A connection that has been good is gone: that says nothing about the collector.
                    if was_not_sent && is_proven && gone > 0 {
                        gone -= 1;
                        continue;
                    }
                    self.lines.failed(place);
                    if !was_not_sent {
                        self.shrink();
                        return Answered::retry(Some(trouble));
                    }
                    // Nobody has it, for certain: another collector may take it.
                    tried.push(place);
                    not_taken = Some(trouble);
                }
            }
        }
        let by = refused.iter().map(|(place, _)| *place).collect();
        match refused.into_iter().next() {
            Some((_, sent)) => Answered { sent, by },
            None => Answered::retry(not_taken),
        }
    }

    async fn post(
        &self,
        turn: &mut Turn,
        (whose, channel): (&Whose, &Channel),
        body: Bytes,
    ) -> Result<Reply, NoAnswer> {
        let cookies = turn.state.cookies.header();
        let call = Call {
            token: Some(&whose.token),
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
        (whose, part): (&Whose, &Part),
        reply: Reply,
        tickets: &dyn KeepTickets,
    ) -> Judged {
        let collector = self.lines.collector(&turn.line);
        let place = turn.line.place;
        match (reply.status, reply.said.as_ref()) {
            (StatusCode::OK, Some(Said { code: Some(0), ack_id, .. })) => {
                self.lines.succeeded(place);
                whose.token.accepted_at(place);
                self.grow();
                Judged::As(match (self.settings.acknowledge, ack_id) {
                    (Acknowledge::Off, _) | (Acknowledge::Auto, None) => {
                        turn.give_back(channel);
                        Sent::Delivered
                    }
                    (_, Some(id)) => self.keep_ticket(turn, channel, *id, part, tickets).await,
                    (Acknowledge::Required, None) => {
                        whose.token.set_acknowledges(false);
                        Sent::Retry(Some(collector.trouble(no_acknowledgement(whose), None)))
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
                let trouble = collector.refusal(&reply, Some(whose));
                let may_be_the_events = may_be_the_events(&reply);
                if reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS {
                    turn.line.leave();
                }
                drop(turn);
                if may_be_the_events && self.token_is_good(place, &whose.token).await {
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
                if reply.refuses_the_token() {
                    whose.token.refused_at(place);
                    self.tokens.refused(whose.tenant_id());
                } else if reply.status != StatusCode::BAD_REQUEST {
                    // What HEC says of an index or a channel says nothing of the collector.
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
            cookies: turn.state.cookies.header(),
        };
        let id = channel.id;
        // Whoever finds the ticket in the store must find the line, too.
        self.lines.wait_on(&turn.line, channel);
        let Some(records) = part.whole_records() else { return Sent::Ticket(ticket) };
        // With the turn in hand: nobody may ask before it is kept, since an answer is given once.
        match tickets.keep(vec![(ticket, records)]).await {
            Ok(()) => Sent::Awaited,
            Err(reason) => {
                self.lines.forget(id);
                Sent::Retry(Some(collector.trouble(reason, None)))
            }
        }
    }

    /// Whether an empty request is refused for being empty, and so gets through to a collector that knows the token.
    async fn token_is_good(&self, place: usize, token: &Token) -> bool {
        if token.is_good_at(place) {
            return true;
        }
        let is_good = self.empty(place, token).await.is_ok_and(|reply| reply.code() == Some(5));
        if is_good {
            token.accepted_at(place);
        }
        is_good
    }

    /// A request without an event: refused for just that when the token is good, and leaves nothing behind.
    async fn empty(&self, place: usize, token: &Token) -> Result<Reply, NoAnswer> {
        let collector = &self.lines.collectors[place];
        let (channel, body) = (Uuid::new_v4(), Some(Bytes::new()));
        let call = Call { token: Some(token), endpoint: "event", channel, body, gzip: false, cookies: None };
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

    /// Asks, before anything is sent, whether the collectors acknowledge. One that cannot be asked stops no other: nothing goes
    /// to it while it is down, and what it takes later without an `ackId` does not count.
    async fn insist_on_acknowledgement(&self, whose: &Whose) -> Result<(), Trouble> {
        let (mut acknowledges, mut silent) = (false, None);
        for collector in &self.lines.collectors {
            match acknowledgement::offered_by(collector, whose).await {
                Ok(true) => acknowledges = true,
                Ok(false) => return Err(collector.trouble(no_acknowledgement(whose), None)),
                Err(trouble) => silent = Some(trouble),
            }
        }
        match silent {
            Some(trouble) if !acknowledges => Err(trouble),
            _ => {
                whose.token.set_acknowledges(true);
                Ok(())
            }
        }
    }

    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let token = self.tokens.for_trying().await;
        let token = token.map_err(|problem| SinkError::Unusable {
            sink: self.lines.collectors[0].sink.clone(),
            problem,
        })?;
        let mut found = Vec::new();
        for place in 0..self.lines.collectors.len() {
            found.push(self.test_one(place, token.clone()).await?);
        }
        Ok(found.join("; "))
    }

    async fn test_one(&self, place: usize, token: Option<Arc<Token>>) -> Result<String, SinkError> {
        let collector = &self.lines.collectors[place];
        let unusable = |trouble: Trouble| SinkError::unusable(&collector.sink, &trouble);
        let health = collector.health().await;
        let health = health.map_err(|no_answer| unusable(no_answer.trouble))?;
        if health.status != StatusCode::OK || health.code() != Some(17) {
            return Err(unusable(collector.refusal(&health, None)));
        }
        let Some(token) = token else {
            return Ok(format!(
                "Splunk HEC at {} is healthy; each tenant's own token is tried when something is delivered for it",
                collector.base
            ));
        };
        let whose = Whose { tenant: None, token, is_own: false, index: None };
        let empty = self.empty(place, &whose.token).await.map_err(|no_answer| unusable(no_answer.trouble))?;
        if empty.code() != Some(5) {
            return Err(unusable(collector.refusal(&empty, Some(&whose))));
        }
        let acknowledges = acknowledgement::offered_by(collector, &whose).await.map_err(unusable)?;
        let how = match (self.settings.acknowledge, acknowledges) {
            (Acknowledge::Off, _) => "acknowledgement is switched off in the settings",
            (_, true) => "it acknowledges what was indexed",
            (Acknowledge::Auto, false) => "it does not acknowledge: what it accepts counts as delivered",
            (Acknowledge::Required, false) => {
                return Err(unusable(collector.trouble(no_acknowledgement(&whose), None)));
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

fn no_acknowledgement(whose: &Whose) -> String {
    format!(
        "the token{} does not acknowledge what was indexed, and the settings require it: enable indexer acknowledgement for the \
         token in Splunk, or set acknowledge to auto",
        whose.of_tenant()
    )
}

fn client(settings: &SplunkHecSettings, around: &Surroundings<'_>) -> Result<Client, String> {
    let ca_file = around.path(settings.ca_file.as_ref());
    let proxy = around.proxy.clone()?;
    http::client(HeaderMap::new(), settings.timeout.0, ca_file.as_deref(), proxy, REQUESTS_MAX)
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
