//! What is owed to sinks, in one queue for each tenant and sink.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Delivery, DeliveryNumber, Selection, SinkMemory, Tenant, TenantId};
use serde::Serialize;

use crate::{InstanceId, StoreError};

/// What each tenant owes each sink.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Leases what one tenant owes to `sink`: the first deliveries, in order, of the queue that has waited longest
    /// among those that are due and not leased. `None` when there is none.
    async fn lease_due_deliveries(
        &self,
        instance: InstanceId,
        sink: &str,
        limits: DeliveryLimits,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<DeliveryLease>, StoreError>;

    /// When the next queue of `sink` can be leased: when it is due, or, where it is leased, when the lease ends if
    /// nobody gives it back earlier. `None` when nothing is owed.
    async fn next_delivery_due_at(&self, sink: &str) -> Result<Option<Timestamp>, StoreError>;

    /// Keeps a lease on deliveries for `lease_for` longer while a slow sink is waited for.
    async fn extend_deliveries(
        &self,
        lease: &DeliveryLease,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes down what a sink answered and gives the lease back, in one transaction: finished deliveries are owed
    /// no more, refused records become dead letters, the rest stays owed. `retry` says when to try the rest and why
    /// it failed; without it, what is left in the queue is due at once.
    async fn finish_deliveries(
        &self,
        lease: &DeliveryLease,
        finished: Vec<FinishedDelivery>,
        retry: Option<(Timestamp, String)>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Holds what `sink` acknowledged against what its own files say is in them, before anything is delivered to it: what they
    /// should hold and do not, since they were put back from an older copy, is owed again as far as the journal has it.
    async fn recall(&self, sink: &str, memory: &SinkMemory, now: Timestamp) -> Result<Recalled, StoreError>;

    /// How every queue is doing, by tenant and sink.
    async fn queue_states(&self) -> Result<Vec<QueueState>, StoreError>;

    /// The totals of every sink that has a queue.
    async fn sink_totals(&self) -> Result<Vec<SinkTotals>, StoreError>;
}

/// The right to deliver what one tenant owes one sink, for a while.
#[derive(Debug, Clone)]
pub struct DeliveryLease {
    /// The tenant.
    pub tenant: Tenant,
    /// The sink's name.
    pub sink: String,
    /// What is owed first, in order.
    pub deliveries: Vec<Delivery>,
    /// How many attempts in a row have failed.
    pub failures: u32,
    /// The fencing token.
    pub fence: u64,
}

/// How much one delivery lease may hold. At least one delivery is given, however large.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryLimits {
    /// Journal batches.
    pub batches: u32,
    /// Bytes of record bodies, before compression.
    pub body_bytes: u64,
}

/// What became of one delivery of a lease.
#[derive(Debug, Clone)]
pub struct FinishedDelivery {
    /// Which.
    pub number: DeliveryNumber,
    /// The records still owed; `None` when the delivery is finished.
    pub remaining: Option<Selection>,
    /// How many records the sink acknowledged.
    pub delivered: u32,
    /// The records refused for good: index in the batch, and why.
    pub rejected: Vec<(u32, String)>,
}

/// How the deliveries of one tenant to one sink are doing.
#[derive(Debug, Clone, Serialize)]
pub struct QueueState {
    /// The tenant.
    pub tenant: TenantId,
    /// The sink's name.
    pub sink: String,
    /// Records delivered so far.
    pub delivered: u64,
    /// Records owed.
    pub owed: u64,
    /// Since when the oldest of them is owed.
    pub owed_since: Option<Timestamp>,
    /// Records refused for good.
    pub rejected: u64,
    /// The failures since the last success.
    pub failures: u32,
    /// What went wrong last, while it is still wrong.
    pub last_error: Option<String>,
    /// When the sink last acknowledged something.
    pub last_success_at: Option<Timestamp>,
    /// When it is tried next, while something is owed.
    pub next_at: Option<Timestamp>,
}

/// What a sink's files were found to lack or to know beyond the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Recalled {
    /// Whether they are the files that the sink had when it was opened before.
    pub is_known: bool,
    /// Whether it had other files then.
    pub had_others: bool,
    /// Records that are owed again.
    pub records: u64,
    /// Whether they hold deliveries that this store knows nothing of: it was put back, or they are another store's.
    pub knows_more: bool,
}

/// The queues of one sink together.
#[derive(Debug, Clone, Serialize)]
pub struct SinkTotals {
    /// The sink's name.
    pub sink: String,
    /// Records delivered so far.
    pub delivered: u64,
    /// Records owed.
    pub owed: u64,
    /// Since when the oldest of them is owed.
    pub owed_since: Option<Timestamp>,
    /// Records refused for good.
    pub rejected: u64,
    /// Records that were given up because the journal was full.
    pub given_up: u64,
    /// When one last was.
    pub given_up_at: Option<Timestamp>,
    /// Those of the refused that still lie there as dead letters.
    pub dead_letters: u64,
    /// When one was last refused.
    pub last_rejected_at: Option<Timestamp>,
    /// When the sink last acknowledged something.
    pub last_success_at: Option<Timestamp>,
    /// Queues in which something is owed.
    pub owing: u32,
    /// Those of them whose last attempt failed.
    pub failing: u32,
    /// What went wrong last in any queue that still fails.
    pub last_error: Option<String>,
}
