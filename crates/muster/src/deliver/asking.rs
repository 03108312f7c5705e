//! Receivers get asked: what they handed out tickets for is delivered when they say that it is stored.
//!
//! One task for each sink, whatever its tenants and workers: no worker waits for an acknowledgement. It takes no input but the
//! store's, so what was waited for before a crash is asked for after it as well.
//!
//! Receivers tell a confirmation once, so each is written down before anything more is asked over the same connection.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use muster_siem::sinks::{AskedTicket, HearAnswers, Said, Sink};
use muster_store::{KeptTicket, StoreError, TenantKey, TicketFate, TicketNumber};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Deliverer;
use super::asked::{Asked, Judged};
use crate::shown::cause::Subject;
use crate::told;

/// Tickets that are read from the store at a time.
const TICKETS_MAX: u32 = 4096;
/// Confirmed ones that are settled together.
const SETTLED_AT_ONCE: usize = 64;
/// Between two rounds, at least and at most.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How much longer it is for each ticket that is waited for: receivers have other things to do.
const WAIT_PER_TICKET: Duration = Duration::from_millis(2);
/// The most that comes to.
const WAIT_FOR_TICKETS_MAX: Duration = Duration::from_secs(10);
/// While nothing is waited for.
const IDLE: Duration = Duration::from_secs(5);

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskOutcome {
    /// Nothing is waited for.
    Idle,
    /// Some of it is settled; so many are waited for still.
    Settled(usize),
    /// So many are waited for still, and none was settled.
    Waiting(usize),
}

impl Deliverer {
    /// Asks until told to stop.
    pub async fn run_asking(&self, stop: CancellationToken) {
        let mut pace = Pace::default();
        while !stop.is_cancelled() {
            let kept = self.kept.notified();
            let outcome = self.ask(&stop).await;
            if let Err(error) = &outcome {
                let doing = format!("look for what sink `{}` is asked about", self.name);
                self.told.store.failed(&doing, error, self.clock.now());
            }
            let Pause { at_least, in_all } = pace.after(outcome.ok());
            let asked = Instant::now();
            let paused = async {
                tokio::select! {
                    () = tokio::time::sleep(in_all) => {}
                    () = kept => {
                        pace.begin_anew();
                        tokio::time::sleep_until(asked + at_least).await;
                    }
                }
            };
            stop.run_until_cancelled(paused).await;
        }
    }

    /// Asks once about all that is waited for, and writes down what became of it. When told to stop it asks nothing more, and
    /// waits for the answers of what was asked already, which their receivers would not tell again.
    ///
    /// # Errors
    /// When the store fails. What was confirmed and could not be written down is asked for again; a receiver that tells each
    /// acknowledgement once has then forgotten it, and gets it a second time.
    pub async fn ask(&self, stop: &CancellationToken) -> Result<AskOutcome, StoreError> {
        let (mut after, mut there, mut settled) = (TicketNumber::default(), HashSet::new(), 0);
        // Receivers tell an acknowledgement once: the node whose sink it is asks.
        if !self.store.holds_sink(self.instance, &self.name).await? {
            self.sink.leave_to_another().await;
            return Ok(AskOutcome::Idle);
        }
        while !stop.is_cancelled() {
            let kept = self.store.tickets(&self.name, after, TICKETS_MAX).await?;
            let Some(last) = kept.last().map(|of| of.number) else { break };
            let is_last = kept.len() < TICKETS_MAX as usize;
            after = last;
            there.extend(kept.iter().map(|of| of.number));
            let Ok(sink) = self.sink.get().await else { return Ok(AskOutcome::Waiting(there.len())) };
            // What was confirmed to a process that was killed before it could settle it is not asked about.
            let (confirmed, mut kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|of| of.is_confirmed);
            self.asked.lock().expect("no panic while the lock is held").put_in_order(&mut kept);
            let asked: Vec<_> =
                kept.iter().map(|KeptTicket { tenant, ticket, .. }| AskedTicket { tenant, ticket }).collect();
            let round = Round {
                deliverer: self,
                sink: &sink,
                kept: &kept,
                stop,
                confirmed: Mutex::new(confirmed.iter().map(|of| of.number).collect()),
                settled: AtomicUsize::new(0),
                failed: Mutex::default(),
            };
            sink.ask(&asked, &round).await;
            round.settle_confirmed(1).await;
            let Round { settled: now_settled, failed, .. } = round;
            if let Some(error) = failed.into_inner().expect("no panic while the lock is held") {
                return Err(error);
            }
            settled += now_settled.into_inner();
            if is_last {
                self.asked.lock().expect("no panic while the lock is held").keep_only(&there);
                break;
            }
        }
        Ok(match there.len() {
            0 => {
                *self.asked.lock().expect("no panic while the lock is held") = Asked::default();
                AskOutcome::Idle
            }
            all if settled > 0 => AskOutcome::Settled(all.saturating_sub(settled)),
            all => AskOutcome::Waiting(all),
        })
    }

    /// Writes down what became of tickets.
    async fn settle_tickets(&self, fates: Vec<(TicketNumber, TicketFate)>) -> Result<(), StoreError> {
        let done = self.patiently(|| self.store.settle_tickets(fates.clone(), self.clock.now())).await?;
        metrics::counter!("muster_records_delivered_total", "sink" => self.name.clone())
            .increment(done.delivered);
        Ok(())
    }

    /// A write that is tried again for a while: what is forgotten may not be told twice.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        write: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        loop {
            match write().await {
                Err(error) if began.elapsed() < super::LEASE / 2 => {
                    let doing = format!("write down what sink `{}` has confirmed", self.name);
                    self.told.store.failed(&doing, &error, self.clock.now());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                result => return result,
            }
        }
    }

    /// Tells of a tenant's requests of which a receiver does not say that they are stored.
    async fn tell_unstored(&self, of: &KeptTicket, code: &'static str, reason: &str) {
        let Ok(tenant) = self.store.tenant(TenantKey::Id(of.tenant.id)).await else { return };
        let (meaning, remedy) = match code {
            "unanswered" => (
                "does not answer when it is asked whether it has stored records; they wait, and are not sent again",
                "see whether the receiver still answers questions (Splunk: services/collector/ack), and `muster sink test`",
            ),
            _ => (
                "takes records and does not say that it has stored them; they are sent again",
                "check the indexers behind it, and `muster sink test`",
            ),
        };
        let subject = Subject::Sink(self.name.clone());
        let trouble = told::Trouble { subject, code, meaning, detail: reason, remedy, severe: false };
        self.told.trouble(&tenant, &self.member(code), trouble, self.clock.now());
    }
}

/// How often receivers are asked.
#[derive(Debug)]
struct Pace {
    wait: Duration,
}

/// How long they are left alone after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    /// Whatever comes meanwhile: what is new is asked for soon, and the others no more often for it.
    at_least: Duration,
    in_all: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { wait: WAIT.0 }
    }
}

impl Pace {
    /// After a round that came to this; `None` when the store failed.
    fn after(&mut self, outcome: Option<AskOutcome>) -> Pause {
        let (least, most) = WAIT;
        let for_tickets = |tickets: usize| {
            let tickets = u32::try_from(tickets).unwrap_or(u32::MAX);
            WAIT_PER_TICKET.saturating_mul(tickets).min(WAIT_FOR_TICKETS_MAX)
        };
        let (tickets, wait) = match outcome {
            Some(AskOutcome::Settled(tickets)) => (tickets, least),
            Some(AskOutcome::Waiting(tickets)) => (tickets, (self.wait * 2).min(most)),
            Some(AskOutcome::Idle) => {
                self.wait = least;
                return Pause { at_least: least, in_all: IDLE };
            }
            None => return Pause { at_least: most, in_all: most },
        };
        self.wait = wait;
        let for_tickets = for_tickets(tickets);
        Pause { at_least: for_tickets + least, in_all: for_tickets + wait }
    }

    /// Something new is waited for.
    fn begin_anew(&mut self) {
        self.wait = WAIT.0;
    }
}

/// The asking about some tickets, once.
struct Round<'a> {
    deliverer: &'a Deliverer,
    sink: &'a Sink,
    kept: &'a [KeptTicket],
    stop: &'a CancellationToken,
    /// What is confirmed, and written down so, and not settled yet.
    confirmed: Mutex<Vec<TicketNumber>>,
    settled: AtomicUsize,
    /// Why what was said could not be written down.
    failed: Mutex<Option<StoreError>>,
}

impl Round<'_> {
    /// Settles what is confirmed, if it is so many.
    async fn settle_confirmed(&self, least: usize) {
        let confirmed = {
            let mut confirmed = self.confirmed.lock().expect("no panic while the lock is held");
            if confirmed.len() < least { Vec::new() } else { std::mem::take(&mut *confirmed) }
        };
        for some in confirmed.chunks(SETTLED_AT_ONCE) {
            self.settle(some.iter().map(|number| (*number, TicketFate::Confirmed)).collect()).await;
        }
    }

    async fn settle(&self, fates: Vec<(TicketNumber, TicketFate)>) {
        let count = fates.len();
        match self.deliverer.settle_tickets(fates).await {
            Ok(()) => drop(self.settled.fetch_add(count, Ordering::Relaxed)),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&self, error: StoreError) {
        self.failed.lock().expect("no panic while the lock is held").get_or_insert(error);
    }
}

#[async_trait]
impl HearAnswers for Round<'_> {
    async fn said(&self, place: usize, said: Said) {
        let Self { deliverer, sink, kept, .. } = self;
        let (of, now) = (&kept[place], deliverer.clock.now());
        let is_answer = !matches!(said, Said::Unclear(_));
        let judged =
            deliverer.asked.lock().expect("no panic while the lock is held").judge(sink, of, said, now);
        if is_answer {
            deliverer.told.well(of.tenant.id, &deliverer.member("unanswered"), now);
        }
        match judged {
            Judged::Waits => {}
            Judged::Unanswered(reason) => deliverer.tell_unstored(of, "unanswered", &reason).await,
            Judged::Settled(TicketFate::Confirmed) => {
                // At once, and before anything else is done about it: it is told once.
                let confirm = || deliverer.store.confirm_ticket(of.number, deliverer.clock.now());
                if let Err(error) = deliverer.patiently(confirm).await {
                    return self.fail(error);
                }
                self.confirmed.lock().expect("no panic while the lock is held").push(of.number);
                deliverer.told.well(of.tenant.id, &deliverer.member("unacknowledged"), now);
                self.settle_confirmed(SETTLED_AT_ONCE).await;
            }
            Judged::Settled(TicketFate::Void { reason, retry_at }) => {
                self.settle(vec![(of.number, TicketFate::Void { reason: reason.clone(), retry_at })]).await;
                sink.forget(std::slice::from_ref(&of.ticket));
                metrics::counter!("muster_delivery_failures_total", "sink" => deliverer.name.clone())
                    .increment(1);
                deliverer.tell_unstored(of, "unacknowledged", &reason).await;
            }
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.is_cancelled() && self.failed.lock().expect("no panic while the lock is held").is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is settled, or newly kept, makes nobody be asked more often about all the others.
    #[test]
    fn receivers_are_left_alone_for_the_sake_of_all_that_is_waited_for() {
        let mut pace = Pace::default();
        let ms = Duration::from_millis;
        for outcome in [AskOutcome::Settled(1_000), AskOutcome::Waiting(1_000)] {
            let Pause { at_least, in_all } = pace.after(Some(outcome));
            assert!(at_least >= ms(2_000) && in_all >= at_least, "{outcome:?}: {at_least:?}, {in_all:?}");
        }
        let first = pace.after(Some(AskOutcome::Settled(0)));
        assert_eq!(first, Pause { at_least: ms(20), in_all: ms(20) });
        let waits: Vec<_> = (0..8).map(|_| pace.after(Some(AskOutcome::Waiting(1))).in_all).collect();
        assert!(waits.is_sorted() && waits[0] == ms(42) && waits[7] == ms(1_002), "{waits:?}");
        pace.begin_anew();
        assert_eq!(pace.after(Some(AskOutcome::Waiting(1))).in_all, ms(42));
        assert_eq!(pace.after(Some(AskOutcome::Waiting(usize::MAX))).at_least, ms(10_020));
        assert_eq!(pace.after(Some(AskOutcome::Idle)).at_least, ms(20));
        assert_eq!(pace.after(None).at_least, ms(1_000));
    }
}
