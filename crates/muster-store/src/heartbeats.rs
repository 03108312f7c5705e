//! Whether a `muster run` is at work on the store, and what became of those that were.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{InstanceId, StoreError};

/// What every `muster run` writes down about itself.
#[async_trait]
pub trait Heartbeats: Send + Sync {
    /// Writes a heartbeat down, in place of the instance's last one. Costs no synced write, unless it is the last.
    async fn beat(&self, heartbeat: Heartbeat) -> Result<(), StoreError>;

    /// The last heartbeat of each instance, the one that was started last first. Only a few are kept.
    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, StoreError>;
}

/// A `muster run`, as it last said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heartbeat {
    /// Which one.
    #[serde(skip)]
    pub instance: InstanceId,
    /// The machine's name.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// The program's version.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last wrote this.
    pub beat_at: Timestamp,
    /// When it stopped because it was told to.
    pub stopped_at: Option<Timestamp>,
    /// The parts of it that do not work, while all else does.
    pub troubles: Vec<PartTrouble>,
}

/// A part of a `muster run` that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTrouble {
    /// Which: `sink splunk`, `app main`, …
    pub part: String,
    /// Why, and what to do, in words for the operator.
    pub reason: String,
}
