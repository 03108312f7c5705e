//! `[collect]`: how often and how far back tenants are read.

use std::time::Duration;

use muster_model::CursorPolicy;
use muster_model::Span;
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectSettings {
    /// How often each source of each tenant is asked for news.
    pub poll_interval: Span,
    /// How far back a new tenant is read.
    pub backfill: Span,
    /// How much before the last round began is asked for again, for records that become visible late.
    pub overlap: Span,
    /// What the overlap may grow to in a tenant whose records come later than that.
    pub horizon: Span,
    /// Calls to Microsoft at the same time, for all tenants together.
    pub concurrency: u32,
    /// Requests a minute for one tenant, app and API family. Microsoft allows 150 for Graph security.
    pub requests_per_minute: u32,
}

impl Default for CollectSettings {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            poll_interval: seconds(60),
            backfill: seconds(7 * 86_400),
            overlap: seconds(600),
            horizon: seconds(7_200),
            concurrency: 64,
            requests_per_minute: 150,
        }
    }
}

impl CollectSettings {
    /// The part that cursors need.
    pub fn cursor_policy(&self) -> CursorPolicy {
        CursorPolicy { overlap: self.overlap.0, overlap_max: self.horizon.0.max(self.overlap.0) }
    }
}
