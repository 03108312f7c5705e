//! What the Microsoft side has produced, as receivers are measured against it.

use serde::{Deserialize, Serialize};

/// What kind of thing a version is a version of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// A Graph alert.
    Alert,
    /// A Graph incident.
    Incident,
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
    /// Its `lastUpdateDateTime`, cut to milliseconds since 1970.
    pub updated_ms: i64,
}
