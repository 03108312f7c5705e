//! What is made of what receivers say when they are asked about tickets.
//!
//! A receiver's time is over when it has said "not yet" for as long as the sink allows, counted from its first such answer to
//! this process: while it gives no answer it has not said anything, and what it may have stored is not sent again. That it gives
//! none for so long is told.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::Trouble;
use muster_siem::sinks::{Said, Sink};
use muster_store::{KeptTicket, TicketFate, TicketNumber};

use crate::backoff;

/// What is known of tickets from one round to the next.
#[derive(Debug, Default)]
pub struct Asked {
    /// Since when a receiver has said "not yet" of each.
    since: HashMap<TicketNumber, Timestamp>,
    /// Since when it has given no answer that means anything.
    unclear: HashMap<TicketNumber, Timestamp>,
    /// By the address of each receiver.
    receivers: HashMap<String, OfReceiver>,
}

#[derive(Debug, Default)]
struct OfReceiver {
    /// Why it was not asked, or gave no answer, last.
    last: Option<Trouble>,
    /// Since when it has given no answer that means anything.
    unclear: Option<Timestamp>,
}

/// What an answer means for a ticket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is waited for.
    Waits,
    /// It is waited for, and for so long there was no answer that this is told: why.
    Unanswered(String),
    Settled(TicketFate),
}

impl Asked {
    /// Forgets whatever is not waited for any more.
    pub(super) fn keep_only(&mut self, there: &HashSet<TicketNumber>) {
        self.since.retain(|number, _| there.contains(number));
        self.unclear.retain(|number, _| there.contains(number));
    }

    /// Those that gave no answer last go to the end: what a receiver always stumbles over holds up nothing else.
    pub(super) fn put_in_order(&self, kept: &mut [KeptTicket]) {
        kept.sort_by_key(|of| (self.unclear.contains_key(&of.number), of.number));
    }

    /// What becomes of a ticket, given what its receiver says.
    pub(super) fn judge(&mut self, sink: &Sink, of: &KeptTicket, said: Said, now: Timestamp) -> Judged {
        let receiver = self.receivers.entry(of.ticket.endpoint.clone()).or_default();
        let trouble = match said {
            Said::Stored => return self.settled(of, TicketFate::Confirmed),
            Said::Gone(reason) => return self.settled(of, void(of, reason, now)),
            Said::Unclear(trouble) => {
                let began = *since(receiver.unclear.get_or_insert(now), now);
                let began = began.min(*since(self.unclear.entry(of.number).or_insert(now), now));
                receiver.last = Some(trouble.clone());
                return match waited(began, now) >= sink.patience() {
                    true => Judged::Unanswered(trouble.reason),
                    false => Judged::Waits,
                };
            }
            Said::NotYet => None,
            Said::Refused(trouble) => Some(trouble),
        };
        receiver.unclear = None;
        if trouble.is_some() {
            receiver.last = trouble;
        }
        self.unclear.remove(&of.number);
        let began = *since(self.since.entry(of.number).or_insert(now), now);
        if waited(began, now) < sink.patience() {
            return Judged::Waits;
        }
        let reason = sink.unacknowledged(&of.ticket, receiver.last.as_ref());
        self.settled(of, void(of, reason, now))
    }

    fn settled(&mut self, of: &KeptTicket, fate: TicketFate) -> Judged {
        self.since.remove(&of.number);
        self.unclear.remove(&of.number);
        if fate == TicketFate::Confirmed
            && let Some(receiver) = self.receivers.get_mut(&of.ticket.endpoint)
        {
            *receiver = OfReceiver::default();
        }
        Judged::Settled(fate)
    }
}

/// The time, put right where the clock has stepped back since.
fn since(began: &mut Timestamp, now: Timestamp) -> &Timestamp {
    *began = (*began).min(now);
    began
}

fn waited(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn void(of: &KeptTicket, reason: String, now: Timestamp) -> TicketFate {
    let seed = backoff::seed(&[of.tenant.slug.as_str()]);
    let wait = backoff::wait(0, Duration::from_secs(1), Duration::from_secs(1), seed);
    TicketFate::Void { reason, retry_at: now.checked_add(wait).unwrap_or(now) }
}

#[cfg(test)]
mod tests {
    use muster_model::{TenantId, TenantLabel, Ticket};
    use muster_siem::sinks::{SinkSettings, Surroundings};
    use uuid::Uuid;

    use super::*;

    /// A sink that waits for ten seconds.
    fn sink() -> Sink {
        let settings = r#"{"url":"http://splunk.example:8088","token":{"env":"T"},"ack_timeout":"10s"}"#;
        let settings = SinkSettings::SplunkHec(serde_json::from_str(settings).expect("settings"));
        let around = Surroundings {
            folder: std::path::Path::new("/nonexistent"),
            secret: std::sync::Arc::new(|_| Ok("a-token".into())),
            proxy: Ok(None),
            clock: std::sync::Arc::new(muster_model::SystemClock),
            tokens: Box::new(|_| Err("there are no tokens here".to_owned())),
        };
        settings.build("splunk", &around).expect("a sink")
    }

    fn kept(number: u64, endpoint: &str) -> KeptTicket {
        let tenant = TenantLabel {
            id: TenantId::from(Uuid::from_u128(1)),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
        };
        let ticket = Ticket {
            endpoint: endpoint.to_owned(),
            channel: Uuid::from_u128(u128::from(number)),
            ack_id: 0,
            cookies: None,
        };
        KeptTicket { number: TicketNumber(number), tenant, ticket, kept_at: at(0), is_confirmed: false }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(1_800_000_000 + seconds, 0).expect("a time")
    }

    fn unclear(reason: &str) -> Said {
        Said::Unclear(Trouble { reason: reason.to_owned(), after: None })
    }

    fn is_void(judged: &Judged, words: &str) -> bool {
        matches!(judged, Judged::Settled(TicketFate::Void { reason, .. }) if reason.contains(words))
    }

    /// Only what a receiver says counts against it: while it says nothing, nothing is sent again, and that it says nothing is told.
    #[test]
    fn no_answer_is_not_the_answer_not_yet() {
        let (sink, mut asked) = (sink(), Asked::default());
        let one = kept(1, "http://a");
        let mut judge = |said, seconds| asked.judge(&sink, &one, said, at(seconds));
        assert_eq!(judge(unclear("silent"), 0), Judged::Waits);
        assert_eq!(judge(unclear("silent"), 9), Judged::Waits);
        assert_eq!(judge(unclear("silent"), 10), Judged::Unanswered("silent".to_owned()));
        // Its time begins with its first answer.
        assert_eq!(judge(Said::NotYet, 1_000), Judged::Waits);
        assert_eq!(judge(unclear("silent"), 1_005), Judged::Waits, "it has answered meanwhile");
        assert!(is_void(&judge(Said::NotYet, 1_010), "did not acknowledge"));
        assert_eq!(judge(Said::Stored, 1_010), Judged::Settled(TicketFate::Confirmed));
        // A clock that has stepped back.
        assert_eq!(judge(Said::NotYet, 2_000), Judged::Waits);
        assert_eq!(judge(Said::NotYet, 5), Judged::Waits);
        assert!(is_void(&judge(Said::NotYet, 15), "did not acknowledge"));
    }

    /// A receiver that answers nothing is told of after its time, whichever tickets were asked about; another's trouble is not its.
    #[test]
    fn what_receivers_say_is_kept_apart() {
        let (sink, mut asked) = (sink(), Asked::default());
        asked.judge(&sink, &kept(1, "http://a"), unclear("a is silent"), at(0));
        asked.judge(&sink, &kept(2, "http://b"), Said::NotYet, at(0));
        let judged = asked.judge(&sink, &kept(3, "http://a"), unclear("a is silent"), at(10));
        assert_eq!(judged, Judged::Unanswered("a is silent".to_owned()));
        let judged = asked.judge(&sink, &kept(2, "http://b"), Said::NotYet, at(10));
        assert!(is_void(&judged, "did not acknowledge") && !is_void(&judged, "a is silent"), "{judged:?}");
        let refused = Said::Refused(Trouble { reason: "the token is disabled".to_owned(), after: None });
        assert_eq!(asked.judge(&sink, &kept(1, "http://a"), refused, at(20)), Judged::Waits);
        let judged = asked.judge(&sink, &kept(1, "http://a"), Said::NotYet, at(30));
        assert!(is_void(&judged, "the token is disabled"), "{judged:?}");
    }

    /// What a receiver always stumbles over is asked about last.
    #[test]
    fn those_without_an_answer_hold_up_no_others() {
        let (sink, mut asked) = (sink(), Asked::default());
        let mut all: Vec<KeptTicket> = (1..=4).map(|number| kept(number, "http://a")).collect();
        asked.judge(&sink, &all[0], unclear("it stumbles"), at(0));
        asked.judge(&sink, &all[2], unclear("it stumbles"), at(0));
        let mut order = |asked: &Asked| {
            asked.put_in_order(&mut all);
            all.iter().map(|of| of.number.0).collect::<Vec<_>>()
        };
        assert_eq!(order(&asked), [2, 4, 1, 3]);
        asked.judge(&sink, &kept(1, "http://a"), Said::NotYet, at(1));
        assert_eq!(order(&asked), [1, 2, 4, 3]);
        asked.keep_only(&HashSet::from([TicketNumber(1), TicketNumber(2)]));
        assert_eq!(order(&asked), [1, 2, 3, 4]);
    }
}
