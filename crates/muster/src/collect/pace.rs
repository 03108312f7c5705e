//! How often a source is asked for news: quicker while it has some, slower while it has none, within bounds; and never all
//! sources in the same second.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Source, TenantId};

use crate::backoff;
use crate::config::CollectSettings;

/// The interval is the time for which nothing new has come, divided by this.
const QUIET_PART: u32 = 20;

/// When something new last came of each source.
#[derive(Debug, Default)]
pub struct Pace(Mutex<HashMap<(TenantId, Source), Timestamp>>);

impl Pace {
    /// Something new came.
    pub(super) fn news(&self, of: (TenantId, Source), now: Timestamp) {
        self.0.lock().expect("no panic while the lock is held").insert(of, now);
    }

    /// When to ask again a source that has been read to its end. Of one that nothing is known of yet, as after a start,
    /// after the usual interval.
    pub(super) fn next(
        &self,
        of: (TenantId, Source),
        settings: &CollectSettings,
        now: Timestamp,
    ) -> Timestamp {
        let usual = settings.poll_interval.0;
        let mut last = self.0.lock().expect("no panic while the lock is held");
        let last = last
            .entry(of)
            .or_insert_with(|| now.checked_sub(usual.saturating_mul(QUIET_PART)).unwrap_or(Timestamp::MIN));
        // A clock that was set back makes it busy.
        let quiet = Duration::try_from(now.duration_since(*last)).unwrap_or_default();
        let (busy, slow) = settings.poll_intervals();
        let interval = (quiet / QUIET_PART).clamp(busy, slow);
        let (tenant, source) = of;
        let seed = backoff::seed(&[&tenant.to_string(), source.as_str()]);
        now.checked_add(backoff::spread(interval, seed)).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use muster_model::Span;

    use super::*;

    #[test]
    fn the_busy_are_asked_more_often_than_the_quiet() {
        let settings = CollectSettings::default();
        let pace = Pace::default();
        let of = (TenantId::from(uuid::Uuid::from_u128(1)), Source::GraphAlerts);
        let begun: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let after = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        let wait = |now| pace.next(of, &settings, now).duration_since(now).as_secs_f64();
        let about =
            |wait: f64, wanted: f64| assert!(wait <= wanted && wait >= wanted * 0.74, "{wait} {wanted}");
        about(wait(begun), 60.0);
        pace.news(of, begun);
        about(wait(begun), 30.0);
        about(wait(after(5)), 30.0);
        about(wait(after(15)), 45.0);
        about(wait(after(40)), 120.0);
        about(wait(after(6_000)), 120.0);
        pace.news(of, after(6_000));
        about(wait(after(6_001)), 30.0);
        about(wait(begun), 30.0);
    }

    #[test]
    fn thousands_do_not_fall_on_one_second() {
        let settings = CollectSettings { poll_interval: Span(Duration::from_secs(60)), ..Default::default() };
        let pace = Pace::default();
        let now = Timestamp::UNIX_EPOCH;
        let next = |number| {
            let tenant = TenantId::from(uuid::Uuid::from_u128(number));
            pace.next((tenant, Source::GraphAlerts), &settings, now)
        };
        let seconds: BTreeSet<i64> = (0..2_000).map(|number| next(number).as_second()).collect();
        assert!(seconds.len() >= 15, "{seconds:?}");
        assert_eq!(next(7), next(7), "the same for the same source");
    }
}
