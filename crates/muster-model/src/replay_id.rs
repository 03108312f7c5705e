//! The name of a replay.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names one replay: what it brings carries it, so that a SIEM can tell it from what it was brought first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplayId(pub Uuid);

impl std::fmt::Display for ReplayId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
