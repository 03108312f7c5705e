//! Receivers get asked: what they handed out tickets for is delivered when they say that it is stored.
//!
//! One task for each sink, whatever its tenants and workers: no worker waits for an acknowledgement. It takes no input but the
//! store's, so what was waited for before a crash is asked for after it as well.

use std::time::Duration;

use muster_model::Ticket;
use muster_store::{KeptTicket, StoreError, TenantKey, TicketFate, TicketNumber};
use tokio_util::sync::CancellationToken;

use super::Deliverer;
use super::asked::Asked;
use crate::shown::cause::Subject;
use crate::told;

/// Tickets that are asked for in one round.
const TICKETS_MAX: u32 = 4096;
/// Of these so many before what became of them is written down: a process that is killed forgets no more.
const TICKETS_AT_ONCE: usize = 4;
/// Between two rounds, at least and at most.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How much longer a round waits for each ticket that is asked for: receivers have other things to do.
const WAIT_PER_TICKET: Duration = Duration::from_millis(2);
/// While nothing is waited for.
const IDLE: Duration = Duration::from_secs(5);

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskOutcome {
    /// Nothing is waited for.
    Idle,
    /// Some of it is settled.
    Settled,
    /// So many are waited for still, and none was settled.
    Waiting(usize),
}

impl Deliverer {
    /// Asks until told to stop.
    pub async fn run_asking(&self, stop: CancellationToken) {
        let (least, most) = WAIT;
        let mut wait = least;
        while !stop.is_cancelled() {
            let kept = self.kept.notified();
            let pause = match self.ask().await {
                Ok(AskOutcome::Idle) => {
                    wait = least;
                    IDLE
                }
                Ok(AskOutcome::Settled) => {
                    wait = least;
                    wait
                }
                Ok(AskOutcome::Waiting(tickets)) => {
                    wait = (wait * 2).min(most);
                    wait + WAIT_PER_TICKET * u32::try_from(tickets).unwrap_or(u32::MAX)
                }
                Err(error) => {
                    let doing = format!("look for what sink `{}` is asked about", self.name);
                    self.told.store.failed(&doing, &error, self.clock.now());
                    most
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = kept => {
                    wait = least;
                    tokio::time::sleep(least).await;
                }
                () = stop.cancelled() => {}
            }
        }
    }

    /// Asks once about all that is waited for, and writes down what became of it.
    ///
    /// # Errors
    /// When the store fails. What was confirmed and could not be written down is asked for again; a receiver that tells each
    /// acknowledgement once has then forgotten it, and gets it a second time.
    pub async fn ask(&self) -> Result<AskOutcome, StoreError> {
        let kept = self.store.tickets(&self.name, TICKETS_MAX).await?;
        if kept.is_empty() {
            *self.asked.lock().await = Asked::default();
            return Ok(AskOutcome::Idle);
        }
        let Ok(sink) = self.sink.get().await else { return Ok(AskOutcome::Waiting(kept.len())) };
        self.asked.lock().await.keep_only(&kept);
        let mut outcome = AskOutcome::Waiting(kept.len());
        // Receivers tell a confirmation once: it is written down before many more are asked for.
        for some in kept.chunks(TICKETS_AT_ONCE) {
            let tickets: Vec<Ticket> = some.iter().map(|kept| kept.ticket.clone()).collect();
            let answers = sink.ask(&tickets).await;
            let (settled, void) = self.asked.lock().await.judge(&sink, some, answers, self.clock.now());
            if settled.is_empty() {
                continue;
            }
            let done = self.write_down_fates(&settled).await?;
            let lost: Vec<Ticket> = void.iter().map(|(kept, _)| kept.ticket.clone()).collect();
            sink.forget(&lost);
            metrics::counter!("muster_records_delivered_total", "sink" => self.name.clone())
                .increment(done.delivered);
            self.tell(some, &settled, &void).await;
            outcome = AskOutcome::Settled;
        }
        Ok(outcome)
    }

    /// It is tried again for a while: a confirmation that is forgotten may not be told twice.
    async fn write_down_fates(
        &self,
        settled: &[(TicketNumber, TicketFate)],
    ) -> Result<muster_store::SettledTickets, StoreError> {
        let began = tokio::time::Instant::now();
        loop {
            match self.store.settle_tickets(settled.to_vec(), self.clock.now()).await {
                Err(error) if began.elapsed() < super::LEASE / 2 => {
                    let doing = format!("write down what sink `{}` has confirmed", self.name);
                    self.told.store.failed(&doing, &error, self.clock.now());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                result => return result,
            }
        }
    }

    /// Tells of those whose requests were never acknowledged, and of those whose trouble is over.
    async fn tell(
        &self,
        kept: &[KeptTicket],
        settled: &[(TicketNumber, TicketFate)],
        void: &[(&KeptTicket, String)],
    ) {
        for (ticket, reason) in void {
            metrics::counter!("muster_delivery_failures_total", "sink" => self.name.clone()).increment(1);
            let Ok(tenant) = self.store.tenant(TenantKey::Id(ticket.tenant)).await else { continue };
            let trouble = told::Trouble {
                subject: Subject::Sink(self.name.clone()),
                code: "unacknowledged",
                meaning: "takes records and does not say that it has stored them; they are sent again",
                detail: reason,
                remedy: "check the indexers behind it, and `muster sink test`",
                severe: false,
            };
            self.told.trouble(&tenant, &self.member("unacknowledged"), trouble, self.clock.now());
        }
        let confirmed = |of: &KeptTicket| settled.contains(&(of.number, TicketFate::Confirmed));
        for ticket in kept.iter().filter(|ticket| confirmed(ticket)) {
            self.told.well(ticket.tenant, &self.member("unacknowledged"), self.clock.now());
        }
    }
}
