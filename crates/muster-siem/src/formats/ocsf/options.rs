//! Which OCSF, and what beside the mapping is in each event.

use serde::Deserialize;

/// Which OCSF, and what beside the mapping is in each event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OcsfOptions {
    /// The version of the schema that events follow, and state in `metadata.version`.
    pub version: OcsfVersion,
    /// Whether `raw_data` holds Microsoft's record as a text too. It doubles the event and adds no fact.
    pub raw_data: bool,
    /// What becomes of the alerts inside an incident.
    pub incident_alerts: IncidentAlerts,
}

/// A version of OCSF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum OcsfVersion {
    /// 1.5.0
    #[serde(rename = "1.5.0", alias = "1.5")]
    V1_5,
    /// 1.8.0
    #[default]
    #[serde(rename = "1.8.0", alias = "1.8")]
    V1_8,
}

impl OcsfVersion {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V1_5, Self::V1_8];

    /// The version as `metadata.version` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_5 => "1.5.0",
            Self::V1_8 => "1.8.0",
        }
    }
}

/// What becomes of the alerts inside an incident.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentAlerts {
    /// Each becomes a Detection Finding behind its Incident Finding.
    #[default]
    Findings,
    /// They stay in the Incident Finding, in `unmapped.alerts`: for sinks that are sent all alerts anyway.
    Unmapped,
}
