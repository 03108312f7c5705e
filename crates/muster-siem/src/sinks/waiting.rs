//! Delivering for those who keep no tickets, such as benchmarks and tests.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use muster_model::{DeliveryBatch, Outcome, Report, TenantLabel, Ticket, Trouble};
use tokio::time::Instant;

use super::Sink;
use super::tickets::{AskedTicket, HearAnswers, KeepTickets, Said};

/// Keeps tickets for as long as the process lives.
#[derive(Debug, Default)]
struct InMemory(Mutex<Vec<(Ticket, Vec<usize>)>>);

#[async_trait]
impl KeepTickets for InMemory {
    async fn keep(&self, tickets: Vec<(Ticket, Vec<usize>)>) -> Result<(), String> {
        self.0.lock().expect("no panic while the lock is held").extend(tickets);
        Ok(())
    }
}

/// What was said of each ticket.
#[derive(Debug)]
struct Answers(Mutex<Vec<Option<Said>>>);

#[async_trait]
impl HearAnswers for Answers {
    async fn said(&self, place: usize, said: Said) {
        self.0.lock().expect("no panic while the lock is held")[place] = Some(said);
    }

    fn goes_on(&self) -> bool {
        true
    }
}

impl Sink {
    /// Asks about tickets of one tenant, and answers for each; `None` where nothing was said.
    pub(super) async fn answers(&self, tenant: &TenantLabel, tickets: &[Ticket]) -> Vec<Option<Said>> {
        let asked: Vec<_> = tickets.iter().map(|ticket| AskedTicket { tenant, ticket }).collect();
        let answers = Answers(Mutex::new(vec![None; tickets.len()]));
        self.ask(&asked, &answers).await;
        answers.0.into_inner().expect("no panic while the lock is held")
    }

    /// Delivers, and waits here until the receiver has acknowledged everything or its time is over: for those who keep no
    /// tickets, such as benchmarks and tests.
    pub async fn deliver_and_wait(&self, batch: DeliveryBatch<'_>) -> Report {
        let kept = InMemory::default();
        let mut report = self.deliver(batch, &kept).await;
        let mut waiting = std::mem::take(&mut *kept.0.lock().expect("no panic while the lock is held"));
        let until = Instant::now() + self.patience();
        let mut last = None;
        let mut wait = Duration::from_millis(5);
        while !waiting.is_empty() && Instant::now() < until {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
            let asked: Vec<Ticket> = waiting.iter().map(|(ticket, _)| ticket.clone()).collect();
            let answers = self.answers(batch.tenant, &asked).await;
            let mut left = Vec::new();
            for (of, said) in waiting.into_iter().zip(answers) {
                match said {
                    Some(Said::Stored) => {}
                    Some(Said::NotYet) | None => left.push(of),
                    Some(Said::Refused(trouble) | Said::Unclear(trouble)) => {
                        last = Some(trouble);
                        left.push(of);
                    }
                    Some(Said::Gone(reason)) => {
                        last = Some(Trouble { reason, after: None });
                        left.push(of);
                    }
                }
            }
            waiting = left;
        }
        let lost: Vec<Ticket> = waiting.iter().map(|(ticket, _)| ticket.clone()).collect();
        self.forget(&lost);
        let records = waiting.iter().flat_map(|(_, records)| records);
        for record in records {
            report.outcomes[*record] = Outcome::Retry;
        }
        for outcome in report.outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Awaited) {
            *outcome = Outcome::Delivered;
        }
        if let Some((ticket, _)) = waiting.first()
            && report.trouble.is_none()
        {
            let reason = self.unacknowledged(ticket, last.as_ref());
            report.trouble = Some(Trouble { reason, after: None });
        }
        report
    }
}
