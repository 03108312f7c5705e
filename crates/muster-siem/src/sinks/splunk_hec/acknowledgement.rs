//! Indexer acknowledgement: asking what became of requests, by their tickets.
//!
//! A channel whose line is alive is asked on it, so that the same indexer answers behind any balancer. Others are asked over
//! a new connection each time: a balancer that knows no cookies leads to another indexer each time, and one that has never
//! heard of a channel says no.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use muster_http::Client;
use muster_model::{Secret, Ticket, Trouble};
use reqwest::StatusCode;
use uuid::Uuid;

use super::collector::{self, Call, Collector, Reply};
use super::lines::{Line, Lines};
use crate::sinks::tickets::Said;

/// Connections that are asked over at the same time.
const AT_ONCE_MAX: usize = 16;

/// Those that are asked over one connection, as places among the tickets.
enum Group<'a> {
    OnLine(Arc<Line>, Vec<usize>),
    Anew(&'a Collector, Option<&'a Secret<String>>, Vec<usize>),
}

/// Asks about all tickets, and answers for each.
pub(super) async fn ask(lines: &Lines, tickets: &[Ticket]) -> Vec<Said> {
    let mut said: Vec<Said> = tickets.iter().map(|_| gone()).collect();
    let asked: Vec<_> =
        groups(lines, tickets).into_iter().map(|group| ask_group(lines, tickets, group)).collect();
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE_MAX);
    while let Some(answered) = answers.next().await {
        for (place, answer) in answered {
            said[place] = answer;
        }
    }
    said
}

fn gone() -> Said {
    Said::Gone("its address is not in the sink's settings any more, and nobody else can be asked".to_owned())
}

fn groups<'a>(lines: &'a Lines, tickets: &'a [Ticket]) -> Vec<Group<'a>> {
    let mut on_lines: HashMap<*const Line, (Arc<Line>, Vec<usize>)> = HashMap::new();
    let mut anew: BTreeMap<(usize, Option<&str>), Vec<usize>> = BTreeMap::new();
    for (place, ticket) in tickets.iter().enumerate() {
        let collector = lines.collectors.iter().position(|collector| collector.base == ticket.endpoint);
        match (lines.line_of(ticket.channel), collector) {
            (Some(line), _) => {
                on_lines.entry(Arc::as_ptr(&line)).or_insert_with(|| (line, Vec::new())).1.push(place);
            }
            (None, Some(collector)) => {
                let cookies = ticket.cookies.as_ref().map(|cookies| cookies.expose().as_str());
                anew.entry((collector, cookies)).or_default().push(place);
            }
            // The token is for the addresses of the settings only.
            (None, None) => {}
        }
    }
    let on_lines = on_lines.into_values().map(|(line, places)| Group::OnLine(line, places));
    let anew = anew.into_iter().map(|((collector, _), places)| {
        let cookies = places.first().and_then(|place| tickets[*place].cookies.as_ref());
        Group::Anew(&lines.collectors[collector], cookies, places)
    });
    on_lines.chain(anew).collect()
}

async fn ask_group(lines: &Lines, tickets: &[Ticket], group: Group<'_>) -> Vec<(usize, Said)> {
    match group {
        Group::OnLine(line, places) => {
            let mut turn = lines.turn_on(line).await;
            let cookies = turn.state.cookies.header();
            let (collector, client) = (lines.collector(&turn.line), turn.line.client.clone());
            let asked = places.iter().map(|place| &tickets[*place]);
            let (answers, is_lost) = ask_over(collector, Some(client), cookies.as_ref(), asked).await;
            if is_lost {
                turn.line.leave();
            }
            for (place, _) in places.iter().zip(&answers).filter(|(_, said)| **said == Said::Stored) {
                lines.is_free(tickets[*place].channel, Some(&mut turn));
            }
            places.into_iter().zip(answers).collect()
        }
        Group::Anew(collector, cookies, places) => {
            let asked = places.iter().map(|place| &tickets[*place]);
            let (answers, _) = ask_over(collector, None, cookies, asked).await;
            for (place, _) in places.iter().zip(&answers).filter(|(_, said)| **said == Said::Stored) {
                lines.is_free(tickets[*place].channel, None);
            }
            places.into_iter().zip(answers).collect()
        }
    }
}

/// Asks about tickets one after the other over one connection; whether that was lost. What was not asked for then is as
/// unclear as what was. Without a `client` they may be asked over any connection, and a collector that closes each is asked
/// over one after the other.
async fn ask_over<'a>(
    collector: &Collector,
    client: Option<Client>,
    cookies: Option<&Secret<String>>,
    tickets: impl Iterator<Item = &'a Ticket>,
) -> (Vec<Said>, bool) {
    let (mut answers, mut lost): (Vec<Said>, Option<Said>) = (Vec::new(), None);
    let (is_on_a_line, mut client) = (client.is_some(), client);
    for ticket in tickets {
        if let Some(lost) = &lost {
            answers.push(lost.clone());
            continue;
        }
        let question = serde_json::json!({ "acks": [ticket.ack_id] }).to_string();
        let (channel, body) = (ticket.channel, Some(Bytes::from(question)));
        let over = match client.take().map_or_else(|| collector.client.of_one_connection(), Ok) {
            Ok(over) => over,
            Err(error) => {
                let unclear = Said::Unclear(collector.trouble(error.to_string(), None));
                lost = Some(unclear.clone());
                answers.push(unclear);
                continue;
            }
        };
        match collector.call(&over, Call { endpoint: "ack", channel, body, gzip: false, cookies }).await {
            Ok(reply) => {
                let said = said(collector, &reply, ticket.ack_id);
                if !reply.closes() {
                    client = Some(over);
                } else if is_on_a_line {
                    let why = "the collector closes connections; asked again over another".to_owned();
                    lost = Some(Said::Unclear(collector.trouble(why, None)));
                }
                answers.push(said);
            }
            Err(no_answer) => {
                let unclear = Said::Unclear(no_answer.trouble);
                lost = Some(unclear.clone());
                answers.push(unclear);
            }
        }
    }
    (answers, lost.is_some())
}

/// What an answer means for the request with this number.
fn said(collector: &Collector, reply: &Reply, ack_id: u64) -> Said {
    if let (StatusCode::OK, Some(collector::Said { acks: Some(acks), .. })) = (reply.status, &reply.said) {
        // Only of what was asked for: what is said of other numbers belongs to others.
        return if acks.get(&ack_id.to_string()) == Some(&true) { Said::Stored } else { Said::NotYet };
    }
    let trouble = collector.refusal(reply);
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Said::Unclear(trouble),
        status if status.is_client_error() => Said::Refused(trouble),
        _ => Said::Unclear(trouble),
    }
}

/// Whether the collector acknowledges, for this token.
pub(super) async fn offered_by(collector: &Collector) -> Result<bool, Trouble> {
    let body = Some(Bytes::from_static(b"{\"acks\":[0]}"));
    // On a channel of its own: an acknowledgement is told once, and this must not take one that is waited for.
    let call = Call { endpoint: "ack", channel: Uuid::new_v4(), body, gzip: false, cookies: None };
    let reply = collector.call(&collector.client, call).await.map_err(|no_answer| no_answer.trouble)?;
    match (reply.status, &reply.said) {
        (StatusCode::OK, Some(collector::Said { acks: Some(_), .. })) => Ok(true),
        (_, Some(collector::Said { code: Some(14), .. })) | (StatusCode::NOT_FOUND, _) => Ok(false),
        _ => Err(collector.refusal(&reply)),
    }
}
