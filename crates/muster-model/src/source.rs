//! The APIs that are read, one source per tenant each. A closed list: adding one is adding a variant and following
//! the compiler.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One API read for one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Microsoft Graph `GET /security/alerts_v2`.
    GraphAlerts,
    /// Microsoft Graph `GET /security/incidents?$expand=alerts`.
    GraphIncidents,
}

impl Source {
    /// Every source, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::GraphAlerts, Self::GraphIncidents];

    /// The name in settings, commands, tables and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GraphAlerts => "graph_alerts",
            Self::GraphIncidents => "graph_incidents",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a source: use graph_alerts or graph_incidents")]
pub struct ParseSourceError(String);

impl FromStr for Source {
    type Err = ParseSourceError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|source| source.as_str() == value)
            .ok_or_else(|| ParseSourceError(value.to_owned()))
    }
}
