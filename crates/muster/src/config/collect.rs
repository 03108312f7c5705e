//! `[collect]`: how often and how far back tenants are read.

use std::time::Duration;

use muster_model::CursorPolicy;
use muster_model::Span;
use serde::Deserialize;

/// So many of the longest intervals may pass until a source is late.
const LATE_INTERVALS: u32 = 3;
/// However short the intervals are.
const LATE_AFTER_MIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectSettings {
    /// How often each source of each tenant is asked for news.
    pub poll_interval: Span,
    /// The same for a source that has news: half of `poll_interval` unless told.
    pub poll_interval_busy: Option<Span>,
    /// The same for a source that has had none for long: twice `poll_interval` unless told.
    pub poll_interval_quiet: Option<Span>,
    /// How far back a new tenant is read.
    pub backfill: Span,
    /// How much before the last round began is asked for again, for records that become visible late.
    pub overlap: Span,
    /// What the overlap may grow to in a tenant whose records come later than that.
    pub horizon: Span,
    /// Turns of polling that are worked on at the same time, for all tenants together. Those that wait long for an answer
    /// are not counted.
    pub concurrency: u32,
    /// Requests a minute for one tenant, app and API family. Microsoft allows 150 for Graph security.
    pub requests_per_minute: u32,
}

impl Default for CollectSettings {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            poll_interval: seconds(60),
            poll_interval_busy: None,
            poll_interval_quiet: None,
            backfill: seconds(7 * 86_400),
            overlap: seconds(600),
            horizon: seconds(7_200),
            concurrency: 64,
            requests_per_minute: 150,
        }
    }
}

impl CollectSettings {
    /// The shortest and the longest interval of polling. The usual one lies between them, whatever was told.
    pub fn poll_intervals(&self) -> (Duration, Duration) {
        let usual = self.poll_interval.0;
        let busy = self.poll_interval_busy.map_or(usual / 2, |told| told.0.min(usual));
        let quiet = self.poll_interval_quiet.map_or(usual * 2, |told| told.0.max(usual));
        (busy, quiet)
    }

    /// A source that was not read to its end for so long is late.
    pub fn late_after(&self) -> Duration {
        (self.poll_intervals().1 * LATE_INTERVALS).max(LATE_AFTER_MIN)
    }

    /// The part that cursors need.
    pub fn cursor_policy(&self) -> CursorPolicy {
        CursorPolicy { overlap: self.overlap.0, overlap_max: self.horizon.0.max(self.overlap.0) }
    }
}
