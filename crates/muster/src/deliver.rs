//! Rows get sent: leases what is owed to a sink, hands it over, and writes down what became of each record.
//!
//! The cast: the *store* says whose deliveries to a sink are due and leases them, in order; the *sink* formats, sends,
//! waits for its receiver's acknowledgement and answers for each record; `Store::finish_deliveries` writes that
//! down. A delivery is owed until then: a process killed in between sends it again. Where a receiver hands out a *ticket*
//! and acknowledges later, the ticket is kept in the store (`deliver/keeping.rs`), the worker goes on, and another task asks
//! for what became of it (`deliver/asking.rs`).
//!
//! Each sink has its own workers, and no worker serves two sinks, so a sink that is down or slow holds up no other.
//! A sink that cannot be opened is down like one that does not answer (see [`SinkHandle`]). While a sink is down, each queue (one tenant's deliveries to it) waits longer and longer between attempts, up to a
//! minute; what is owed stays in the journal, and goes out in order when the sink is back.

mod asked;
mod asking;
mod breaker;
mod keeping;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Clock, DeliveryBatch, Outcome, Report, Selection};
use muster_store::{DeliveryLease, DeliveryLimits, FinishedDelivery, InstanceId, Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backoff;
use crate::redactions::Shown;
use crate::routing::Router;
use crate::shown::cause::Subject;
use crate::sink_handle::SinkHandle;
use crate::told::{SINK, Told, Trouble};

pub use self::asked::Asked;
pub use self::asking::AskOutcome;
pub use self::breaker::Breaker;

use self::breaker::Took;
use self::keeping::Keeper;

/// How long deliveries are leased; extended while a sink is waited for.
const LEASE: Duration = Duration::from_secs(600);
/// How much one worker takes at once.
const LIMITS: DeliveryLimits = DeliveryLimits { batches: 16, body_bytes: 2 << 20 };
/// The longest wait between two attempts.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a sink's workers need.
pub struct Deliverer {
    pub store: Arc<dyn Store>,
    pub name: String,
    pub sink: SinkHandle,
    /// Says what the sink may not see.
    pub router: Router,
    pub clock: Arc<dyn Clock>,
    pub instance: InstanceId,
    /// Told when there is something new to deliver.
    pub accepted: Arc<Notify>,
    /// What the log was told of trouble.
    pub told: Arc<Told>,
    /// Told when there is a new ticket to ask about.
    pub kept: Notify,
    /// How many of the workers may be at work.
    pub breaker: Breaker,
    /// What is known of tickets.
    pub asked: std::sync::Mutex<Asked>,
}

/// What a worker's single step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    Idle,
    /// Everything leased is settled, or waits for its acknowledgement.
    Delivered,
    /// Some of it stays owed.
    Retry,
}

impl Deliverer {
    /// One worker, counted from 0: delivers until told to stop. What is under way then is finished first.
    pub async fn run(self: Arc<Self>, worker: u32, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(wait) = self.breaker.wait(worker) {
                stop.run_until_cancelled(tokio::time::sleep(wait)).await;
                continue;
            }
            // Listening begins before looking, so that nothing accepted in between is slept through.
            let accepted = self.accepted.notified();
            match self.step().await {
                Ok(StepOutcome::Delivered | StepOutcome::Retry) => {}
                Ok(StepOutcome::Idle) => {
                    // One that is down is tried again also while nothing is owed to it.
                    if self.sink.is_wanted().await {
                        self.sink.get().await.ok();
                    }
                    let wait = self.idle_wait().await;
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = accepted => {}
                        () = stop.cancelled() => {}
                    }
                }
                Err(error) => {
                    let doing = format!("look for deliveries to sink `{}`", self.name);
                    self.told.store.failed(&doing, &error, self.clock.now());
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_secs(1)) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Delivers what one tenant owes, if anything is due.
    ///
    /// # Errors
    /// When the store fails. What was delivered but could not be written down stays owed.
    pub async fn step(&self) -> Result<StepOutcome, StoreError> {
        // Where several nodes share the store, a sink is one's at a time.
        if !self.store.holds_sink(self.instance, &self.name).await? {
            self.sink.leave_to_another().await;
            return Ok(StepOutcome::Idle);
        }
        self.sink.take_from_another().await;
        let now = self.clock.now();
        let Some(lease) =
            self.store.lease_due_deliveries(self.instance, &self.name, LIMITS, LEASE, now).await?
        else {
            return Ok(StepOutcome::Idle);
        };
        let label = lease.tenant.label();
        let shown = Shown::of(&self.router, &lease);
        let seen = shown.as_ref().map_or(&lease, |shown| &shown.lease);
        let batch = DeliveryBatch { tenant: &label, deliveries: &seen.deliveries };
        let began = tokio::time::Instant::now();
        let report = match shown.as_ref().is_some_and(Shown::is_empty) {
            true => Report { outcomes: Vec::new(), trouble: None },
            false => self.deliver_leased(seen, batch).await,
        };
        let seconds = began.elapsed().as_secs_f64();
        metrics::histogram!("muster_delivery_seconds", "sink" => self.name.clone()).record(seconds);
        if let Some(took) = took(&report) {
            self.breaker.learn(lease.tenant.id, took);
        }
        let report = match &shown {
            Some(shown) => shown.answer(report),
            None => report,
        };
        self.settle(&lease, &report).await
    }

    /// Delivers, and keeps the lease alive meanwhile.
    async fn deliver_leased(&self, lease: &DeliveryLease, batch: DeliveryBatch<'_>) -> Report {
        let sink = match self.sink.get().await {
            Ok(sink) => sink,
            Err(reason) => {
                let reason = format!("sink `{}`: {reason}", self.name);
                let trouble = muster_model::Trouble { reason, after: None };
                return Report { outcomes: Vec::new(), trouble: Some(trouble) };
            }
        };
        let keeper = Keeper {
            store: self.store.as_ref(),
            clock: self.clock.as_ref(),
            told: &self.told,
            kept: &self.kept,
            sink: &self.name,
            lease,
            patience: LEASE / 4,
        };
        let mut delivering = std::pin::pin!(sink.deliver(batch, &keeper));
        loop {
            tokio::select! {
                report = &mut delivering => return report,
                () = tokio::time::sleep(LEASE / 3) => {
                    if let Err(error) = self.store.extend_deliveries(lease, LEASE, self.clock.now()).await {
                        let doing = format!("keep a lease of sink `{}`", self.name);
                        self.told.store.failed(&doing, &error, self.clock.now());
                    }
                }
            }
        }
    }

    /// Writes down what the sink answered.
    async fn settle(&self, lease: &DeliveryLease, report: &Report) -> Result<StepOutcome, StoreError> {
        let Settlement { finished, delivered, rejected, uncertain, again } =
            settlement(lease, report, self.clock.now());
        metrics::counter!("muster_records_delivered_total", "sink" => self.name.clone()).increment(delivered);
        if rejected > 0 {
            metrics::counter!("muster_records_rejected_total", "sink" => self.name.clone())
                .increment(rejected as u64);
            self.trouble(lease, "refused", &format!("{rejected} records, now dead letters"));
        } else if delivered > 0 {
            self.told.well(lease.tenant.id, &self.member("refused"), self.clock.now());
        }
        if uncertain > 0 {
            metrics::counter!("muster_records_uncertain_total", "sink" => self.name.clone())
                .increment(uncertain as u64);
            self.trouble(lease, "uncertain", &format!("{uncertain} records, now dead letters"));
        } else if delivered > 0 {
            self.told.well(lease.tenant.id, &self.member("uncertain"), self.clock.now());
        }
        if let Some(Again { wait, reason, .. }) = &again {
            metrics::counter!("muster_delivery_failures_total", "sink" => self.name.clone()).increment(1);
            tracing::debug!(sink.name = self.name, tenant.id = %lease.tenant.id, reason, retry_in_seconds = wait.as_secs(), "cannot deliver now; the records stay owed");
            // Of one that cannot be opened its handle tells.
            if self.sink.is_open().await {
                self.trouble(lease, "down", reason);
            }
        } else {
            self.told.well(lease.tenant.id, &self.member("down"), self.clock.now());
        }
        let outcome = if again.is_some() { StepOutcome::Retry } else { StepOutcome::Delivered };
        self.write_down(lease, finished, again.map(|again| (again.at, again.reason))).await?;
        Ok(outcome)
    }

    /// Tells of a sink that does not take a tenant's records: of each once, however many tenants wait.
    fn trouble(&self, lease: &DeliveryLease, code: &'static str, detail: &str) {
        let (meaning, remedy) = match code {
            "refused" => ("refuses records for good", "see `muster dead-letter list`"),
            "uncertain" => (
                "took some records of a request and does not say which",
                "look there for those that `muster dead-letter list` calls uncertain; `muster dead-letter retry` sends them again",
            ),
            _ => ("takes no records now; they stay owed", "try the way to it with `muster sink test`"),
        };
        let subject = Subject::Sink(self.name.clone());
        let trouble = Trouble { subject, code, meaning, detail, remedy, severe: false };
        self.told.trouble(&lease.tenant, &self.member(code), trouble, self.clock.now());
    }

    fn member(&self, code: &str) -> String {
        format!("{SINK}{} {code}", self.name)
    }

    /// What a sink has acknowledged must not be forgotten for a passing trouble of the store, or it is sent twice: it
    /// is tried again for as long as the lease is ours.
    async fn write_down(
        &self,
        lease: &DeliveryLease,
        finished: Vec<FinishedDelivery>,
        again: Option<(Timestamp, String)>,
    ) -> Result<(), StoreError> {
        let began = tokio::time::Instant::now();
        loop {
            let now = self.clock.now();
            match self.store.finish_deliveries(lease, finished.clone(), again.clone(), now).await {
                Err(error @ StoreError::LeaseLost { .. }) => return Err(error),
                Err(error) if began.elapsed() < LEASE / 2 => {
                    let doing = format!("write down what sink `{}` has taken", self.name);
                    self.told.store.failed(&doing, &error, now);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                result => return result,
            }
        }
    }

    async fn idle_wait(&self) -> Duration {
        let most = Duration::from_secs(1);
        match self.store.next_delivery_due_at(&self.name).await {
            Ok(Some(due)) => {
                let wait = Duration::try_from(due.duration_since(self.clock.now())).unwrap_or_default();
                wait.clamp(Duration::from_millis(5), most)
            }
            _ => most,
        }
    }
}

/// What a sink did, as its report says; `None` where it had nothing to do.
fn took(report: &Report) -> Option<Took> {
    let is_left = report.outcomes.contains(&Outcome::Retry);
    let is_taken = report.outcomes.iter().any(|outcome| *outcome != Outcome::Retry);
    match (is_taken, is_left) {
        (true, true) => Some(Took::Some),
        (true, false) => Some(Took::All),
        (false, true) => Some(Took::Nothing),
        (false, false) => report.trouble.as_ref().map(|_| Took::Nothing),
    }
}

/// What a sink's report changes in its queue.
struct Settlement {
    finished: Vec<FinishedDelivery>,
    delivered: u64,
    rejected: usize,
    /// Those of the rejected of which nobody knows whether the sink has them.
    uncertain: usize,
    /// When what stays owed is tried again; `None` when nothing does.
    again: Option<Again>,
}

#[derive(Debug, PartialEq, Eq)]
struct Again {
    at: Timestamp,
    wait: Duration,
    reason: String,
}

fn settlement(lease: &DeliveryLease, report: &Report, now: Timestamp) -> Settlement {
    let (finished, stays_owed) = finished(lease, &report.outcomes);
    let delivered: u64 = finished.iter().map(|delivery| u64::from(delivery.delivered)).sum();
    let uncertain = report.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Uncertain(_))).count();
    let rejected = finished.iter().map(|delivery| delivery.rejected.len()).sum();
    let again = stays_owed.then(|| {
        let trouble = report.trouble.as_ref();
        let reason =
            trouble.map_or_else(|| "the sink took only a part".to_owned(), |trouble| trouble.reason.clone());
        // Where something went through, the way is open: the rest follows soon.
        let went_through = delivered > 0 || report.outcomes.contains(&Outcome::Awaited);
        let failures = if went_through { 0 } else { lease.failures };
        let seed = backoff::seed(&[&lease.sink, lease.tenant.slug.as_str()]);
        let own = backoff::wait(failures, Duration::from_secs(1), WAIT_MAX, seed);
        let wait = trouble.and_then(|trouble| trouble.after).map_or(own, |asked| asked.max(own));
        Again { at: now.checked_add(wait).unwrap_or(now), wait, reason }
    });
    Settlement { finished, delivered, rejected, uncertain, again }
}

/// Sorts a sink's answers by delivery; whether some of it is to be sent again.
fn finished(lease: &DeliveryLease, outcomes: &[Outcome]) -> (Vec<FinishedDelivery>, bool) {
    let mut outcomes = outcomes.iter();
    let mut again = false;
    let mut all = Vec::with_capacity(lease.deliveries.len());
    for delivery in &lease.deliveries {
        let mut delivered = 0;
        let mut rejected = Vec::new();
        let mut owed = HashSet::new();
        for (index, _) in delivery.records() {
            // A sink that answers for too few has not acknowledged the rest.
            match outcomes.next().unwrap_or(&Outcome::Retry) {
                Outcome::Delivered => delivered += 1,
                Outcome::Retry => {
                    again = true;
                    owed.insert(index);
                }
                // Owed until its ticket is confirmed; the store gives it out to nobody meanwhile.
                Outcome::Awaited => {
                    owed.insert(index);
                }
                Outcome::Rejected(reason) | Outcome::Uncertain(reason) => {
                    rejected.push((u32::try_from(index).unwrap_or(u32::MAX), reason.clone()))
                }
            }
        }
        let remaining = match owed.is_empty() {
            true => None,
            false => Selection::of(delivery.batch.len(), |index| owed.contains(&index)),
        };
        all.push(FinishedDelivery { number: delivery.number, remaining, delivered, rejected });
    }
    (all, again)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use muster_model::{
        Batch, Delivery, DeliveryNumber, Lineage, RecordHead, RecordKind, Source, Tenant, TenantId,
        TenantState, Trouble,
    };

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn delivery(number: u64, count: usize, selection: Selection) -> Delivery {
        let mut batch = Batch::new();
        for index in 0..count {
            let body = format!(r#"{{"id":"{number}-{index}"}}"#);
            batch.push(RecordHead::read(RecordKind::GraphAlert, &body).expect("a record"), &body);
        }
        let source = Source::GraphAlerts;
        let lineage = Lineage(uuid::Uuid::from_u128(1));
        let number = DeliveryNumber(number);
        Delivery { lineage, number, source, batch: batch.into(), selection, replay: None }
    }

    /// Delivery 1 owes two records, delivery 2 the first and the last of three.
    pub(crate) fn lease(failures: u32) -> DeliveryLease {
        let tenant = Tenant {
            id: TenantId::from(uuid::Uuid::from_u128(1)),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: BTreeSet::from([Source::GraphAlerts]),
            tags: BTreeSet::new(),
            state: TenantState::Active,
            added_at: NOW,
            since: NOW,
        };
        let some = Selection::of(3, |index| index != 1).expect("some");
        let deliveries = vec![delivery(1, 2, Selection::All), delivery(2, 3, some)];
        DeliveryLease { tenant, sink: "splunk".to_owned(), deliveries, failures, fence: 1 }
    }

    fn settled(failures: u32, outcomes: Vec<Outcome>, trouble: Option<Trouble>) -> Settlement {
        settlement(&lease(failures), &Report { outcomes, trouble }, NOW)
    }

    fn trouble(after: Option<u64>) -> Option<Trouble> {
        Some(Trouble { reason: "it is down".to_owned(), after: after.map(Duration::from_secs) })
    }

    fn rejected() -> Outcome {
        Outcome::Rejected("too odd".to_owned())
    }

    #[test]
    fn what_is_delivered_and_refused_is_owed_no_more() {
        let all = vec![Outcome::Delivered, rejected(), Outcome::Delivered, rejected()];
        let Settlement { finished, delivered, rejected, again, .. } = settled(3, all, None);
        assert_eq!((delivered, rejected, again), (2, 2, None));
        assert!(finished.iter().all(|delivery| delivery.remaining.is_none()));
        let numbers: Vec<_> = finished.iter().map(|delivery| delivery.number).collect();
        assert_eq!(numbers, [DeliveryNumber(1), DeliveryNumber(2)]);
        // By their place in the journal's batch, not among those that were owed.
        assert_eq!(finished[0].rejected, [(1, "too odd".to_owned())]);
        assert_eq!(finished[1].rejected, [(2, "too odd".to_owned())]);
    }

    /// It is owed no more, and counted beside what was refused.
    #[test]
    fn what_is_uncertain_becomes_a_dead_letter_and_is_counted() {
        let uncertain = Outcome::Uncertain("uncertain: 1 of 2".to_owned());
        let some = vec![uncertain.clone(), uncertain, rejected(), Outcome::Retry];
        let Settlement { finished, rejected, uncertain, again, .. } = settled(0, some, trouble(None));
        assert_eq!((rejected, uncertain), (3, 2));
        assert_eq!(finished[0].rejected[0], (0, "uncertain: 1 of 2".to_owned()));
        assert!(finished[0].remaining.is_none() && again.is_some());
    }

    #[test]
    fn what_is_to_be_retried_stays_owed_and_nothing_else() {
        let some = vec![Outcome::Delivered, Outcome::Retry, Outcome::Retry, rejected()];
        let Settlement { finished, delivered, rejected, again, .. } = settled(0, some, trouble(None));
        assert_eq!((delivered, rejected), (1, 1));
        assert_eq!(finished[0].remaining, Selection::of(2, |index| index == 1));
        assert_eq!(finished[1].remaining, Selection::of(3, |index| index == 0));
        assert_eq!(again.expect("more to do").reason, "it is down");
    }

    #[test]
    fn what_is_waited_for_stays_owed_and_is_not_sent_again() {
        let some = vec![Outcome::Awaited, Outcome::Awaited, Outcome::Delivered, Outcome::Awaited];
        let Settlement { finished, delivered, again, .. } = settled(3, some, None);
        assert_eq!((delivered, again), (1, None));
        assert_eq!(finished[0].remaining, Some(Selection::All));
        assert_eq!(finished[1].remaining, Selection::of(3, |index| index == 2));
        let some = vec![Outcome::Awaited, Outcome::Retry, Outcome::Awaited, Outcome::Awaited];
        let Settlement { finished, again, .. } = settled(9, some, trouble(None));
        assert_eq!(finished[0].remaining, Some(Selection::All));
        assert!(again.expect("one is sent again").wait <= Duration::from_secs(1), "the way is open");
    }

    #[test]
    fn a_record_without_an_answer_stays_owed() {
        let Settlement { finished, delivered, again, .. } = settled(0, vec![Outcome::Delivered], None);
        assert_eq!(delivered, 1);
        assert_eq!(finished[0].remaining, Selection::of(2, |index| index == 1));
        assert_eq!(finished[1].remaining, Selection::of(3, |index| index != 1));
        assert_eq!(again.expect("more to do").reason, "the sink took only a part");
    }

    #[test]
    fn waits_grow_with_failures_and_are_at_least_what_the_sink_asks() {
        let wait = |failures, after| {
            let again = settled(failures, vec![Outcome::Retry; 4], trouble(after)).again.expect("more to do");
            assert_eq!(again.at, NOW.checked_add(again.wait).expect("a time"));
            again.wait
        };
        let own: Vec<Duration> = [0, 2, 4, 6, 60].into_iter().map(|failures| wait(failures, None)).collect();
        assert!(own[..4].is_sorted() && own[0] < own[3] && own[4] <= WAIT_MAX, "{own:?}");
        assert_eq!(wait(0, Some(300)), Duration::from_secs(300));
        assert_eq!(wait(6, Some(1)), own[3]);
    }

    #[test]
    fn where_something_went_through_the_rest_follows_soon() {
        let part = vec![Outcome::Delivered, Outcome::Retry, Outcome::Retry, Outcome::Retry];
        let soon = settled(9, part, trouble(None)).again.expect("more to do").wait;
        assert_eq!(soon, settled(0, vec![Outcome::Retry; 4], trouble(None)).again.expect("more to do").wait);
    }
}
