//! How far one reading of spans that lie behind has come.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A span of update times: from, and up to but not including.
pub(super) type Span = (Timestamp, Timestamp);

/// How far a pass has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// When it began. Whatever was visible then is read.
    pub as_of: Timestamp,
    /// Where the span under way begins.
    pub(super) from: Timestamp,
    /// What is read after the span under way, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) left: Vec<Span>,
    /// What was gone through, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) behind: Vec<Span>,
    /// What is counted first, and read only where the count speaks against it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) uncounted: Vec<Span>,
    /// What is not read, whatever the count says: the live cursor asks for it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) apart: Vec<Span>,
    /// Records that it met and nobody had seen before.
    #[serde(default)]
    pub found: u64,
}
