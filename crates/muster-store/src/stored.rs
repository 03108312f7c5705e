//! How times, counters, selections and words are stored, whatever the engine.

use std::time::Duration;

use jiff::Timestamp;
use muster_model::Selection;

/// Longer words of an error are cut before they are stored.
const REASON_CHARACTERS_MAX: usize = 1000;

/// Nanoseconds since 1970; the range of 64 bits ends in the years 1677 and 2262.
pub(crate) fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(if time < Timestamp::UNIX_EPOCH {
        i64::MIN + 1
    } else {
        i64::MAX
    })
}

/// The time that was stored as `nanoseconds`.
pub(crate) fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).expect("64 bits of nanoseconds are within the range")
}

/// When a lease that is taken at `now` ends.
pub(crate) fn lease_end(now: Timestamp, lease_for: Duration) -> i64 {
    nanoseconds(now.saturating_add(lease_for).unwrap_or(Timestamp::MAX))
}

/// A selection as it is stored.
pub(crate) fn bits(selection: Selection) -> Option<Vec<u8>> {
    match selection {
        Selection::All => None,
        Selection::Some(bits) => Some(bits),
    }
}

/// A counter as it was stored. Never negative, unless the file was changed by hand.
pub(crate) fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// The words of an error, bounded.
pub(crate) fn bounded(reason: &str) -> String {
    reason.chars().take(REASON_CHARACTERS_MAX).collect()
}
