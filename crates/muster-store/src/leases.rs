//! Leases: whose they are, those by name, and how they end when their owner has gone.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::StoreError;

/// What one process at a time may do, by name; and the end of leases whose owner has gone.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Leases what `name` stands for until `now + lease_for`; `None` when another holds it. The lease of one that was
    /// killed is taken over when it runs out, or at once where the engine knows that its owner has died. One that was set
    /// more than a minute after `now` is over: the clock has stepped back since.
    async fn take_lease(
        &self,
        name: &'static str,
        instance: InstanceId,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<NamedLease>, StoreError>;

    /// Keeps a lease until `now + lease_for`.
    async fn extend_lease(
        &self,
        lease: &NamedLease,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Gives a lease back.
    async fn release_lease(&self, lease: NamedLease) -> Result<(), StoreError>;

    /// At start: ends the leases on sources and deliveries that other instances hold, where the engine knows that they
    /// have ended. Elsewhere they run out. People's grants always do: a command may hold one.
    async fn take_over(&self, instance: InstanceId, now: Timestamp) -> Result<(), StoreError>;

    /// Ends the leases on sources and deliveries that `instance` holds, for work that it has dropped.
    async fn drop_leases(&self, instance: InstanceId) -> Result<(), StoreError>;
}

/// A running Muster. Chosen at random when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceId(pub Uuid);

/// The right to do for a while what one process at a time may do.
#[derive(Debug)]
pub struct NamedLease {
    /// What it is.
    pub name: &'static str,
    /// The fencing token.
    pub fence: u64,
}
