//! What the Microsoft side has produced, as receivers are measured against it.

use serde::{Deserialize, Serialize};

/// What kind of thing a version is a version of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A Graph alert.
    Alert,
    /// A Graph incident.
    Incident,
    /// An alert of Defender for Endpoint.
    EndpointAlert,
    /// An incident of Defender XDR.
    XdrIncident,
    /// A detection of the retired SIEM API.
    SiemDetection,
}

impl RecordKind {
    /// What the records of a source are, by its name in Muster's settings.
    #[must_use]
    pub fn of_source(name: &str) -> Option<Self> {
        match name {
            "graph_alerts" => Some(Self::Alert),
            "graph_incidents" => Some(Self::Incident),
            "endpoint_alerts" => Some(Self::EndpointAlert),
            "xdr_incidents" => Some(Self::XdrIncident),
            "siem_feed" => Some(Self::SiemDetection),
            _ => None,
        }
    }
}

/// One version of an alert or incident that the emulator has shown to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produced {
    /// The tenant's id.
    pub tenant: String,
    /// Alert or incident.
    pub kind: RecordKind,
    /// The alert's or incident's id.
    pub id: String,
    /// When it was last updated, cut to milliseconds since 1970.
    pub updated_ms: i64,
}
