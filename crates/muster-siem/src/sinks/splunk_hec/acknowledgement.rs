//! Indexer acknowledgement: asking what became of requests, by their tickets.
//!
//! A channel whose line is alive is asked on it, so that the same indexer answers behind any balancer. Others are asked over
//! a new connection each time: a balancer that knows no cookies leads to another indexer each time, and one that has never
//! heard of a channel says no.
//!
//! Collectors are asked side by side, a few connections of each at a time. One that is silent is not asked any further in this
//! round, nor in the next ones for a while, and holds up no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use muster_http::Client;
use muster_model::{Secret, Ticket, Trouble};
use reqwest::StatusCode;
use tokio::time::timeout;
use uuid::Uuid;

use super::collector::{self, Call, Collector, NoAnswer, Reply, Whose};
use super::lines::{Line, Lines};
use super::tokens::Tokens;
use crate::sinks::tickets::{HearAnswers, Said};

/// Connections to a collector that are asked over at the same time, where many requests are waited for. What was told and is not
/// on disk yet comes twice if Muster is killed, so they are few, and only one where one is enough.
const AT_ONCE_MAX: usize = 4;
/// So many requests that are waited for are many.
const MANY: usize = 256;
/// A collector that gives no answer for so long is silent: the question is small.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// Those that are asked over one connection.
enum Group<'a> {
    OnLine(Arc<Line>, Vec<&'a Answerable<'a>>),
    Anew(Option<&'a Secret<String>>, Vec<&'a Answerable<'a>>),
}

/// A ticket, its place among all that are asked about, and with which token it is asked about.
pub(super) type Answerable<'a> = (usize, &'a Ticket, Whose);

/// A collector that is asked.
struct Questioning<'a> {
    lines: &'a Lines,
    tokens: &'a Tokens,
    place: usize,
    hears: &'a dyn HearAnswers,
    is_silent: AtomicBool,
}

/// Asks about all tickets; the answers are told as they come.
pub(super) async fn ask(
    (lines, tokens): (&Lines, &Tokens),
    asked: &[Answerable<'_>],
    hears: &dyn HearAnswers,
) {
    let mut of_each: BTreeMap<usize, Vec<&Answerable<'_>>> = BTreeMap::new();
    for of in asked {
        let (place, ticket, _) = of;
        let is_its = |collector: &Collector| collector.base == ticket.endpoint;
        match lines.collectors.iter().position(is_its) {
            Some(collector) => of_each.entry(collector).or_default().push(of),
            // The token is for the addresses of the settings only.
            None => hears.said(*place, gone()).await,
        }
    }
    let questionings = of_each.into_iter().map(|(place, asked)| async move {
        let is_silent = AtomicBool::new(false);
        Questioning { lines, tokens, place, hears, is_silent }.ask(&asked).await;
    });
    join_all(questionings).await;
}

fn gone() -> Said {
    Said::Gone("its address is not in the sink's settings any more, and nobody else can be asked".to_owned())
}

impl Questioning<'_> {
    async fn ask(&self, asked: &[&Answerable<'_>]) {
        if self.lines.is_silent(self.place) {
            return;
        }
        let at_once = if asked.len() < MANY { 1 } else { AT_ONCE_MAX };
        let groups = self.groups(asked).into_iter().map(|group| self.ask_group(group));
        let groups: Vec<_> = groups.collect();
        stream::iter(groups).buffer_unordered(at_once).collect::<()>().await;
    }

    fn collector(&self) -> &Collector {
        &self.lines.collectors[self.place]
    }

    fn goes_on(&self) -> bool {
        self.hears.goes_on() && !self.is_silent.load(Ordering::Relaxed)
    }

    fn groups<'a>(&self, asked: &[&'a Answerable<'a>]) -> Vec<Group<'a>> {
        let mut on_lines: HashMap<*const Line, (Arc<Line>, Vec<_>)> = HashMap::new();
        let mut anew: BTreeMap<Option<&str>, Vec<_>> = BTreeMap::new();
        for of in asked.iter().copied() {
            let (_, ticket, _) = of;
            match self.lines.line_of(ticket.channel) {
                Some(line) => {
                    on_lines.entry(Arc::as_ptr(&line)).or_insert_with(|| (line, Vec::new())).1.push(of);
                }
                None => {
                    let cookies = ticket.cookies.as_ref().map(|cookies| cookies.expose().as_str());
                    anew.entry(cookies).or_default().push(of);
                }
            }
        }
        // Those first that nothing is sent on: a request that takes its time holds up no question but its own line's.
        let mut on_lines: Vec<_> = on_lines.into_values().collect();
        on_lines.sort_by_key(|(line, _)| line.load());
        let on_lines = on_lines.into_iter().map(|(line, asked)| Group::OnLine(line, asked));
        let anew = anew.into_values().flat_map(|asked| {
            let cookies = asked.first().and_then(|(_, ticket, _)| ticket.cookies.as_ref());
            // Those of before a restart may be many.
            let share = asked.len().div_ceil(AT_ONCE_MAX);
            let shares: Vec<_> = asked.chunks(share).map(<[_]>::to_vec).collect();
            shares.into_iter().map(move |share| Group::Anew(cookies, share))
        });
        on_lines.chain(anew).collect()
    }

    async fn ask_group(&self, group: Group<'_>) {
        match group {
            Group::OnLine(line, asked) => self.ask_on(&line, asked).await,
            Group::Anew(cookies, asked) => self.ask_anew(cookies, asked).await,
        }
    }

    /// Asks over the line on which the requests went. When that is lost, what is left is asked over another in the next round.
    async fn ask_on(&self, line: &Arc<Line>, asked: Vec<&Answerable<'_>>) {
        for (place, ticket, whose) in asked {
            if !self.goes_on() || !line.is_alive() {
                return;
            }
            // A request that takes its time holds up the questions of its line only.
            let Ok(mut turn) = timeout(SILENT_AFTER, self.lines.turn_on(Arc::clone(line))).await else {
                return;
            };
            let cookies = turn.state.cookies.header();
            let said = match self.question(&line.client, cookies.as_ref(), (ticket, whose)).await {
                Ok(reply) => {
                    if reply.closes() {
                        line.leave();
                    }
                    self.heard(&reply, (ticket, whose))
                }
                Err(trouble) => {
                    line.leave();
                    Said::Unclear(trouble)
                }
            };
            if said == Said::Stored {
                self.lines.is_free(ticket.channel, Some(&mut turn));
            }
            drop(turn);
            self.hears.said(*place, said).await;
        }
    }

    /// Asks over any connection; a collector that closes each is asked over one after the other.
    async fn ask_anew(&self, cookies: Option<&Secret<String>>, asked: Vec<&Answerable<'_>>) {
        let mut client: Option<Client> = None;
        for (place, ticket, whose) in asked {
            if !self.goes_on() {
                return;
            }
            let over = match client.take().map_or_else(|| self.collector().client.of_one_connection(), Ok) {
                Ok(over) => over,
                Err(error) => {
                    let trouble = self.collector().trouble(error.to_string(), None);
                    return self.hears.said(*place, Said::Unclear(trouble)).await;
                }
            };
            let said = match self.question(&over, cookies, (ticket, whose)).await {
                Ok(reply) => {
                    client = Some(over).filter(|_| !reply.closes());
                    self.heard(&reply, (ticket, whose))
                }
                Err(trouble) => return self.hears.said(*place, Said::Unclear(trouble)).await,
            };
            if said == Said::Stored {
                self.lines.is_free(ticket.channel, None);
            }
            self.hears.said(*place, said).await;
        }
    }

    async fn question(
        &self,
        client: &Client,
        cookies: Option<&Secret<String>>,
        (ticket, whose): (&Ticket, &Whose),
    ) -> Result<Reply, Trouble> {
        let question = serde_json::json!({ "acks": [ticket.ack_id] }).to_string();
        let (channel, body) = (ticket.channel, Some(Bytes::from(question)));
        let token = Some(whose.token.as_ref());
        let call = Call { token, endpoint: "ack", channel, body, gzip: false, cookies };
        // No longer than any other request may take.
        let patience = SILENT_AFTER.min(self.collector().timeout);
        match timeout(patience, self.collector().call(client, call)).await {
            Ok(Err(NoAnswer { is_silence: false, trouble, .. })) => Err(trouble),
            Ok(Ok(reply)) => {
                self.lines.answers(self.place);
                Ok(reply)
            }
            Ok(Err(NoAnswer { is_silence: true, .. })) | Err(_) => {
                self.is_silent.store(true, Ordering::Relaxed);
                self.lines.is_not_answering(self.place);
                let why = format!("no answer within {patience:?} when it was asked what it has stored");
                Err(self.collector().trouble(why, None))
            }
        }
    }

    /// What an answer means for a ticket.
    fn heard(&self, reply: &Reply, (ticket, whose): (&Ticket, &Whose)) -> Said {
        if reply.refuses_the_token() {
            self.tokens.refused(whose.tenant_id());
        }
        said(self.collector(), reply, (ticket, whose))
    }
}

/// What an answer means for the request with this number.
fn said(collector: &Collector, reply: &Reply, (ticket, whose): (&Ticket, &Whose)) -> Said {
    if let (StatusCode::OK, Some(collector::Said { acks: Some(acks), .. })) = (reply.status, &reply.said) {
        // Only of what was asked for: what is said of other numbers belongs to others.
        return if acks.get(&ticket.ack_id.to_string()) == Some(&true) { Said::Stored } else { Said::NotYet };
    }
    let trouble = collector.refusal(reply, Some(whose));
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Said::Unclear(trouble),
        status if status.is_client_error() => Said::Refused(trouble),
        _ => Said::Unclear(trouble),
    }
}

/// Whether the collector acknowledges, for this token.
pub(super) async fn offered_by(collector: &Collector, whose: &Whose) -> Result<bool, Trouble> {
    let body = Some(Bytes::from_static(b"{\"acks\":[0]}"));
    // On a channel of its own: an acknowledgement is told once, and this must not take one that is waited for.
    let (token, channel) = (Some(whose.token.as_ref()), Uuid::new_v4());
    let call = Call { token, endpoint: "ack", channel, body, gzip: false, cookies: None };
    let reply = collector.call(&collector.client, call).await.map_err(|no_answer| no_answer.trouble)?;
    match (reply.status, &reply.said) {
        (StatusCode::OK, Some(collector::Said { acks: Some(_), .. })) => Ok(true),
        (_, Some(collector::Said { code: Some(14), .. })) | (StatusCode::NOT_FOUND, _) => Ok(false),
        _ => Err(collector.refusal(&reply, Some(whose))),
    }
}
