//! How often something is told that stays true: now and then, and more often the nearer it comes.

use jiff::{SignedDuration, Timestamp};

/// It is told that something will be full within this time, so often; and within the second, so often.
const SOON: [(SignedDuration, SignedDuration); 2] = [
    (SignedDuration::from_hours(24 * 14), SignedDuration::from_hours(12)),
    (SignedDuration::from_hours(24), SignedDuration::from_hours(1)),
];

/// When something was told, that is to be told now and then.
#[derive(Debug, Default)]
pub(crate) struct Often(Option<Timestamp>);

impl Often {
    /// How often it is told that something is full in so many seconds; nothing where that is far off.
    pub(crate) fn soon(seconds_left: u64) -> Option<SignedDuration> {
        let left = SignedDuration::from_secs(i64::try_from(seconds_left).unwrap_or(i64::MAX));
        SOON.into_iter().rev().find(|(within, _)| left <= *within).map(|(_, every)| every)
    }

    /// Whether it is to be told again.
    pub(crate) fn is_due(&mut self, every: SignedDuration, now: Timestamp) -> bool {
        let is_silent = self.0.is_some_and(|told| told <= now && now.duration_since(told) < every);
        if !is_silent {
            self.0 = Some(now);
        }
        !is_silent
    }

    /// Whether it had been told, and is over now.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}
