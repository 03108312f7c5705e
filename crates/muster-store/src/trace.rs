//! The journey of a record, as it is told.

use jiff::Timestamp;
use muster_model::{Change, DeliveryNumber, Severity, Source, TenantId};
use serde::Serialize;

/// One version of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TracedVersion {
    /// The tenant.
    pub tenant: TenantId,
    /// The source that it came from.
    pub source: Source,
    /// When Microsoft last changed it.
    pub updated_at: Option<Timestamp>,
    /// When Microsoft created it; unknown once the journal batch is gone.
    pub created_at: Option<Timestamp>,
    /// What it is to the version before; unknown once the journal batch is gone.
    pub change: Option<Change>,
    /// Its severity; unknown once the journal batch is gone.
    pub severity: Option<Severity>,
    /// When it was accepted into the journal; unknown once the batch is gone.
    pub accepted_at: Option<Timestamp>,
    /// Microsoft's name for the request that brought it.
    pub request_id: Option<String>,
    /// The number of its journal batch.
    pub batch: u64,
    /// Its place in the batch, from 0.
    pub place: u32,
    /// Why its batch cannot be read, where it is there but damaged.
    pub damaged: Option<String>,
    /// The routes that took it.
    pub routes: Vec<String>,
    /// What became of it at each sink, by sink.
    pub deliveries: Vec<TracedDelivery>,
}

/// One delivery of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TracedDelivery {
    /// The sink's name.
    pub sink: String,
    /// The number of the delivery, as the sink saw it; none yet where it waits to be replayed.
    pub number: Option<DeliveryNumber>,
    /// What became of it.
    #[serde(flatten)]
    pub state: TracedState,
}

/// What became of a version at a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TracedState {
    /// The sink is still owed it.
    Owed {
        /// Since when.
        since: Timestamp,
    },
    /// The sink acknowledged it.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// The sink refused it for good; it is kept as a dead letter.
    Rejected {
        /// When.
        at: Timestamp,
    },
    /// It was given up because the journal was full, or as a shadow's that was behind for too long.
    GivenUp {
        /// When.
        at: Timestamp,
    },
    /// It could not be read back from the journal; it is fetched again.
    Damaged {
        /// When that was found.
        at: Timestamp,
    },
}
