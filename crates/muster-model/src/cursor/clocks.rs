//! What time it is, as far as two clocks say.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The two clocks at hand when an answer came. Neither is believed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// Ours.
    pub local: Timestamp,
    /// The server's `Date` header, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Timestamp>,
}

impl Clocks {
    /// How far apart the clocks may be and still count as one.
    const APART_MAX: std::time::Duration = std::time::Duration::from_secs(120);

    /// A time that has surely come, as far as the clocks say.
    #[must_use]
    pub fn earlier(self) -> Timestamp {
        self.server.map_or(self.local, |server| server.min(self.local))
    }

    /// The later of the two.
    #[must_use]
    pub fn later(self) -> Timestamp {
        self.server.map_or(self.local, |server| server.max(self.local))
    }

    /// The time, where both clocks agree on it.
    #[must_use]
    pub fn agreed(self) -> Option<Timestamp> {
        let apart = self.server?.duration_since(self.local).unsigned_abs();
        (apart <= Self::APART_MAX).then(|| self.earlier())
    }
}
