//! Nodes: the processes that share one store, and who of them does what.

use std::collections::HashSet;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;

use crate::{InstanceId, StoreError};

/// The processes that share one store. Of a store that one process has to itself, all is done by that one.
///
/// With PostgreSQL, the tenants are shared out by number among the nodes that are alive, and each sink is one node's at a time:
/// so what is asked of a tenant's APIs and what is sent to a sink stays within bounds that one process keeps, and no token
/// is fetched twice. Leases and fences hold beside that, also while nodes come and go.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Says that `instance` lives, and ends what those hold that have been silent for ten seconds: each node says so every
    /// two. A node that was only paused finds its leases lost, and what it writes refused.
    ///
    /// # Errors
    /// [`StoreError::ClockApart`] where the node's clock and the database's differ by more than half a minute: leases
    /// would mean nothing. The node counts as dead until that is mended.
    async fn live(&self, instance: InstanceId, now: Timestamp) -> Result<(), StoreError>;

    /// Says that `instance` has stopped: others take its work at once.
    async fn leave(&self, instance: InstanceId) -> Result<(), StoreError>;

    /// Whether `sink` is delivered to by `instance`. It becomes its own where it is nobody's and this node's turn.
    async fn holds_sink(&self, instance: InstanceId, sink: &str) -> Result<bool, StoreError>;

    /// The tenants that `instance` works for at present; `None`: all of them, as in a store that is not shared.
    async fn own_tenants(&self, instance: InstanceId) -> Result<Option<HashSet<TenantId>>, StoreError>;

    /// The nodes that are alive; none where a store is not shared.
    async fn nodes(&self) -> Result<Vec<Node>, StoreError>;
}

/// One of the processes that share a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Which one it is; where its row names none that Muster could have written, what stands there.
    pub instance: Result<InstanceId, String>,
    /// How many seconds ago it was last heard of, by the database's clock.
    pub silent_for: u64,
    /// How many tenants are its share.
    pub tenants: u64,
    /// The sinks that it delivers to.
    pub sinks: Vec<String>,
}
