//! What is found elsewhere and must be learnt by the live cursor of a source.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Cursor;
use super::hole::{Hole, Reason};

/// What a sweep, a backfill or the journal found out about a source. It waits beside the live cursor, which takes it in when
/// it is leased the next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A span has to be read again.
    Hole {
        /// The first update time that may be missing.
        from: Timestamp,
        /// The end of the span, exclusive; none: it is open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Timestamp>,
        /// Why.
        reason: Reason,
        /// Since when that is known.
        since: Timestamp,
    },
    /// A record became visible so long after its update that no round had seen it.
    Late {
        /// How long after.
        seconds: u64,
    },
}

impl Cursor {
    /// Takes a note in: a hole is asked for again, a delay makes the overlap grow.
    pub fn note(&mut self, note: &Note) {
        match *note {
            Note::Hole { from, to, reason, since } => {
                if to.is_some_and(|to| to <= from) {
                    return;
                }
                self.holes.push(Hole { from, to, reason, since, tries: 0, next_at: since });
                self.bound_holes();
            }
            Note::Late { seconds } => self.came_late(Duration::from_secs(seconds)),
        }
    }
}
