//! What could not be read, and why.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The first wait before a hole is asked for again; it doubles up to [`HOLE_WAIT_MAX`].
const HOLE_WAIT: Duration = Duration::from_secs(60);
/// The longest.
pub(super) const HOLE_WAIT_MAX: Duration = Duration::from_secs(6 * 3_600);

/// A span that could not be read whole. It is asked for again until it can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The first update time that may be missing.
    pub from: Timestamp,
    /// The end of the span, exclusive; none: it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Why.
    pub reason: Reason,
    /// Since when that is known.
    pub since: Timestamp,
    /// How often it was asked for again.
    pub tries: u32,
    /// When it is asked for next.
    pub next_at: Timestamp,
}

impl Hole {
    pub(super) fn next_try(tries: u32, now: Timestamp) -> Timestamp {
        let wait = HOLE_WAIT.saturating_mul(1 << tries.min(16)).min(HOLE_WAIT_MAX);
        now.checked_add(wait).unwrap_or(now)
    }
}

/// Why a span could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The service answers for what is before and behind, but not for this.
    NoAnswer,
    /// The answers are torn or garbled, a different way each time.
    NotWhole,
    /// A record in it cannot be read; its bytes are kept as a dead letter.
    Unreadable,
    /// More records share one update time than the service hands out in any way.
    TooMany,
    /// The service gives the same page over and over.
    Repeats,
    /// The service names ever more next pages.
    EndlessLinks,
    /// The service names a next page that cannot be had.
    NoNextPage,
    /// The service keeps to no upper bound, so that only its order or its links say that nothing was left out.
    Unproved,
    /// A provider's records were missing from the answers at that time.
    Partial,
    /// It was not read for longer than the service keeps its records. This cannot be healed.
    Gone,
    /// It was read, but the journal batch that held it is damaged.
    Damaged,
    /// A stream names alerts that were never brought.
    Named,
}

impl Reason {
    /// In words for the operator.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAnswer => "the service gives no answer for these records, though it does for others",
            Self::NotWhole => "the answers are torn or garbled",
            Self::Unreadable => "a record in it cannot be read (see `muster dead-letter list`)",
            Self::TooMany => "more records share one update time than the service hands out",
            Self::Repeats => "the service gives the same page over and over",
            Self::EndlessLinks => "the service names ever more next pages",
            Self::NoNextPage => {
                "the service names a next page that it refuses, or that is at another host, where no token is sent"
            }
            Self::Unproved => {
                "the service keeps to no upper bound: whether all came over several pages cannot be proved"
            }
            Self::Gone => "nothing could be read for longer than Microsoft keeps records",
            Self::Partial => "the service left a provider's records out of its answers",
            Self::Named => "a stream names alerts that this source has not brought",
            Self::Damaged => "the journal batch that held these records is damaged",
        }
    }
}
