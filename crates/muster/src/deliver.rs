//! Rows get sent: leases what is owed to a sink, hands it over, and writes down what became of each record.
//!
//! The cast: the *store* says whose deliveries to a sink are due and leases them, in order; the *sink* formats, sends,
//! waits for its receiver's acknowledgement and answers for each record; [`Store::finish_deliveries`] writes that
//! down. A delivery is owed until then: a process killed in between sends it again.
//!
//! Each sink has its own workers, and no worker serves two sinks, so a sink that is down or slow holds up no other.
//! While a sink is down, each queue (one tenant's deliveries to it) waits longer and longer between attempts, up to a
//! minute; what is owed stays in the journal, and goes out in order when the sink is back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Clock, DeliveryBatch, Outcome, Report, Selection};
use muster_siem::sinks::Sink;
use muster_store::{DeliveryLease, DeliveryLimits, FinishedDelivery, InstanceId, Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backoff;

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
    pub sink: Sink,
    pub clock: Arc<dyn Clock>,
    pub instance: InstanceId,
    /// Told when there is something new to deliver.
    pub accepted: Arc<Notify>,
}

/// What a worker's single step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    Idle,
    /// Everything leased is settled.
    Delivered,
    /// Some of it stays owed.
    Retry,
}

impl Deliverer {
    /// One worker: delivers until told to stop. What is under way then is finished first.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Listening begins before looking, so that nothing accepted in between is slept through.
            let accepted = self.accepted.notified();
            match self.step().await {
                Ok(StepOutcome::Delivered | StepOutcome::Retry) => {}
                Ok(StepOutcome::Idle) => {
                    let wait = self.idle_wait().await;
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = accepted => {}
                        () = stop.cancelled() => {}
                    }
                }
                Err(error) => {
                    tracing::error!(sink.name = self.name, error = %error, "cannot look for deliveries");
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
        let now = self.clock.now();
        let Some(lease) =
            self.store.lease_due_deliveries(self.instance, &self.name, LIMITS, LEASE, now).await?
        else {
            return Ok(StepOutcome::Idle);
        };
        let label = lease.tenant.label();
        let batch = DeliveryBatch { tenant: &label, deliveries: &lease.deliveries };
        let began = tokio::time::Instant::now();
        let report = self.deliver_leased(&lease, batch).await;
        let seconds = began.elapsed().as_secs_f64();
        metrics::histogram!("muster_delivery_seconds", "sink" => self.name.clone()).record(seconds);
        self.settle(&lease, &report).await
    }

    /// Delivers, and keeps the lease alive meanwhile.
    async fn deliver_leased(&self, lease: &DeliveryLease, batch: DeliveryBatch<'_>) -> Report {
        let mut delivering = std::pin::pin!(self.sink.deliver(batch));
        loop {
            tokio::select! {
                report = &mut delivering => return report,
                () = tokio::time::sleep(LEASE / 3) => {
                    if let Err(error) = self.store.extend_deliveries(lease, LEASE, self.clock.now()).await {
                        tracing::warn!(sink.name = self.name, tenant.id = %lease.tenant.id, error = %error, "cannot keep the lease");
                    }
                }
            }
        }
    }

    /// Writes down what the sink answered.
    async fn settle(&self, lease: &DeliveryLease, report: &Report) -> Result<StepOutcome, StoreError> {
        let now = self.clock.now();
        let finished = finished(lease, &report.outcomes);
        let delivered: u64 = finished.iter().map(|delivery| u64::from(delivery.delivered)).sum();
        let rejected: usize = finished.iter().map(|delivery| delivery.rejected.len()).sum();
        let retry = finished.iter().any(|delivery| delivery.remaining.is_some());
        metrics::counter!("muster_records_delivered_total", "sink" => self.name.clone()).increment(delivered);
        if rejected > 0 {
            metrics::counter!("muster_records_rejected_total", "sink" => self.name.clone())
                .increment(rejected as u64);
            tracing::warn!(
                sink.name = self.name, tenant.id = %lease.tenant.id, count = rejected,
                "the sink refused records for good; they are kept: see `muster dead-letter list`"
            );
        }
        let again = retry.then(|| {
            let trouble = report.trouble.as_ref();
            let reason = trouble.map_or_else(|| "the sink took only a part".to_owned(), |trouble| trouble.reason.clone());
            // Where something went through, the way is open: the rest follows soon.
            let failures = if delivered > 0 { 0 } else { lease.failures };
            let own = backoff::wait(failures, Duration::from_secs(1), WAIT_MAX, backoff::seed(&[&self.name, lease.tenant.slug.as_str()]));
            let wait = trouble.and_then(|trouble| trouble.after).map_or(own, |asked| asked.max(own));
            metrics::counter!("muster_delivery_failures_total", "sink" => self.name.clone()).increment(1);
            if lease.failures == 0 {
                tracing::warn!(sink.name = self.name, tenant.id = %lease.tenant.id, reason, retry_in_seconds = wait.as_secs(), "cannot deliver now; the records stay owed");
            }
            (now.checked_add(wait).unwrap_or(now), reason)
        });
        if !retry && lease.failures > 0 {
            tracing::info!(sink.name = self.name, tenant.id = %lease.tenant.id, "delivering again");
        }
        self.write_down(lease, finished, again).await?;
        Ok(if retry { StepOutcome::Retry } else { StepOutcome::Delivered })
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
                    tracing::warn!(sink.name = self.name, error = %error, "cannot write down what was delivered; trying again");
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

/// Sorts a sink's answers by delivery.
fn finished(lease: &DeliveryLease, outcomes: &[Outcome]) -> Vec<FinishedDelivery> {
    let mut outcomes = outcomes.iter();
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
                    owed.insert(index);
                }
                Outcome::Rejected(reason) => {
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
    all
}
