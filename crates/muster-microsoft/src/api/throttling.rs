//! What happens on 429: one budget per API, tenant and app, and one of its own for hunting queries.
//!
//! Microsoft counts requests per (API, tenant, app). A budget is what the API documents: in no minute do more go out, whatever
//! came before, and in no hour where the API counts hours, too. It is taught by every 429: no request of the same budget goes out before `Retry-After` has passed, and a
//! quarter less after it, until a while has gone by without another; for somebody else may use the same app. Other tenants'
//! budgets are not touched.
//!
//! Live polling comes first: sweeps may take up to half of a budget, backfills three tenths, and neither the last third,
//! which is kept for live polling alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Purpose, TenantId};

use super::answers::ASKED_WAIT_MAX;
use crate::api::family::{Api, Quota, Rates};

/// Waits when a 429 does not say how long.
const UNTOLD_WAIT: Duration = Duration::from_secs(30);
/// What the documented rates are for.
const MINUTE: Duration = Duration::from_secs(60);
/// The same of those APIs that count hours as well. What went out in an hour is kept by minutes: a budget has at most 61 of
/// them, and is exact to a minute, on the safe side.
const HOUR_MINUTES: i64 = 60;
/// How long without a 429 until a tenth of what was taken from a budget comes back.
const RECOVERY: Duration = Duration::from_secs(60);

/// What was spent in the last minute, and what was learnt.
#[derive(Debug, Clone, Default)]
struct Budget {
    /// When each request of the last minute went out, and whether it could have waited.
    spent: VecDeque<(Timestamp, Purpose)>,
    /// How many went out in each minute of the last hour, by what they may take of a budget.
    hour: VecDeque<(i64, [u32; SHARES.len()])>,
    /// The latest 429, and until when it blocks.
    blocked: Option<(Timestamp, Timestamp)>,
    /// How many hundredths of the documented rate are used, once there was a 429; since when.
    slowed: Option<(u32, Timestamp)>,
}

/// All budgets.
#[derive(Debug)]
pub struct Budgets {
    /// The most requests a minute, whatever an API documents; it may be more than Graph's.
    requests_per_minute: u32,
    budgets: Mutex<HashMap<(Quota, TenantId, String), Budget>>,
}

impl Budgets {
    /// Budgets of what each API documents and of at most `requests_per_minute`, all of which may go out at once. Graph's is
    /// `requests_per_minute`, which may be more than Graph documents.
    #[must_use]
    pub fn new(requests_per_minute: u32) -> Self {
        Self { requests_per_minute: requests_per_minute.max(1), budgets: Mutex::default() }
    }

    /// Takes one request out of a budget.
    ///
    /// # Errors
    /// How long to wait when there is none left for this purpose.
    pub fn take(
        &self,
        of: impl Into<Quota>,
        tenant: TenantId,
        app: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let of = of.into();
        let mut budgets = self.budgets.lock().expect("no panic while the lock is held");
        budgets.entry((of, tenant, app.to_owned())).or_default().take(self.rates(of), purpose, now)
    }

    fn rates(&self, of: Quota) -> Rates {
        let documented = of.rates();
        let per_minute = match of {
            Quota::Records(Api::Graph) => self.requests_per_minute,
            _ => documented.per_minute.min(self.requests_per_minute),
        };
        Rates { per_minute, ..documented }
    }

    /// Whether a 429 blocks the budget now.
    pub fn is_throttled(&self, of: impl Into<Quota>, tenant: TenantId, app: &str, now: Timestamp) -> bool {
        let budgets = self.budgets.lock().expect("no panic while the lock is held");
        let budget = budgets.get(&(of.into(), tenant, app.to_owned()));
        budget.is_some_and(|budget| budget.blocked_until(now).is_some())
    }

    /// Learns from a 429; returns how long to wait.
    pub fn throttled(
        &self,
        of: impl Into<Quota>,
        tenant: TenantId,
        app: &str,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Duration {
        let wait = retry_after.unwrap_or(UNTOLD_WAIT).clamp(Duration::from_secs(1), ASKED_WAIT_MAX);
        let until = later(now, wait);
        let mut budgets = self.budgets.lock().expect("no panic while the lock is held");
        let budget = budgets.entry((of.into(), tenant, app.to_owned())).or_default();
        let longer = budget.blocked_until(now).is_some_and(|before| before > until);
        if !longer {
            budget.blocked = Some((now, until));
        }
        // Requests that were under way together are refused together: one lesson.
        let learnt = budget.slowed.is_some_and(|(_, since)| since <= now && between(since, now) < wait);
        if !learnt {
            budget.slowed = Some(((budget.hundredths(now) * 3 / 4).max(10), now));
        }
        wait
    }

    /// Forgets tenants.
    pub fn forget(&self, tenants: &HashSet<TenantId>) {
        let mut budgets = self.budgets.lock().expect("no panic while the lock is held");
        budgets.retain(|(_, of, _), _| !tenants.contains(of));
    }
}

impl Budget {
    fn take(&mut self, documented: Rates, purpose: Purpose, now: Timestamp) -> Result<(), Duration> {
        if let Some(until) = self.blocked_until(now) {
            return Err(between(now, until));
        }
        // What lies in the future was spent before the clock was set back: it is let go.
        self.spent.retain(|(at, _)| *at <= now && between(*at, now) < MINUTE);
        let rate = (documented.per_minute.saturating_mul(self.hundredths(now)) / 100).max(1);
        let left = |at: Timestamp| MINUTE - between(at, now);
        // The request that has to be a minute old before there is room: of those that are counted, the one that leaves
        // one less than `most` behind it.
        let room = |counted: &dyn Fn(Purpose) -> bool, most: u32| {
            let newest_first = self.spent.iter().rev().filter(|(_, of)| counted(*of));
            newest_first.map(|(at, _)| *at).nth(most.max(1) as usize - 1).map(left)
        };
        let full = match share(purpose) {
            None => room(&|_| true, rate),
            // Those of the smaller share are counted in the larger one as well.
            Some(percent) => room(&|_| true, rate * 2 / 3)
                .max(room(&|of| share(of).is_some_and(|of| of <= percent), rate * percent / 100)),
        };
        let hour_full = documented.per_hour.and_then(|rate| self.hour_full(rate, purpose, now));
        match full.max(hour_full) {
            Some(wait) => Err(wait),
            None => {
                self.spent.push_back((now, purpose));
                if documented.per_hour.is_some() {
                    self.count_in_hour(purpose, now);
                }
                Ok(())
            }
        }
    }

    /// How long there is no room in the hour for this purpose; `None` where there is.
    fn hour_full(&mut self, rate: u32, purpose: Purpose, now: Timestamp) -> Option<Duration> {
        let minute = minute_of(now);
        self.hour.retain(|(at, _)| (minute - HOUR_MINUTES..=minute).contains(at));
        // The minute whose requests have to be an hour old before there is room.
        let room = |counted: &dyn Fn(usize) -> bool, most: u32| {
            let of = |counts: &[u32; SHARES.len()]| -> u32 {
                counts.iter().enumerate().filter(|(place, _)| counted(*place)).map(|(_, count)| count).sum()
            };
            let mut left: u32 = self.hour.iter().map(|(_, counts)| of(counts)).sum();
            let mut leaving = None;
            for (at, counts) in &self.hour {
                if left < most.max(1) {
                    break;
                }
                left -= of(counts);
                leaving = Some(*at);
            }
            let at = Timestamp::from_second((leaving? + HOUR_MINUTES + 1) * 60).ok()?;
            Some(between(now, at))
        };
        let own = place(purpose);
        match SHARES[own] {
            None => room(&|_| true, rate),
            Some(percent) => {
                room(&|_| true, rate * 2 / 3).max(room(&|other| other >= own, rate * percent / 100))
            }
        }
    }

    fn count_in_hour(&mut self, purpose: Purpose, now: Timestamp) {
        let minute = minute_of(now);
        if self.hour.back().is_none_or(|(at, _)| *at != minute) {
            self.hour.push_back((minute, [0; SHARES.len()]));
        }
        if let Some((_, counts)) = self.hour.back_mut() {
            counts[place(purpose)] += 1;
        }
    }

    /// Until when nothing goes out, if that is later than now. A clock that was set back to before the 429 ends the wait.
    fn blocked_until(&self, now: Timestamp) -> Option<Timestamp> {
        let (at, until) = self.blocked?;
        (at <= now && now < until).then_some(until)
    }

    /// How much of the documented rate is used now, in hundredths.
    fn hundredths(&self, now: Timestamp) -> u32 {
        match self.slowed {
            Some((hundredths, since)) if since <= now => {
                let minutes = between(since, now).as_secs() / RECOVERY.as_secs();
                hundredths.saturating_add(10 * u32::try_from(minutes).unwrap_or(10).min(10)).min(100)
            }
            _ => 100,
        }
    }
}

/// How many hundredths of a budget may be taken; `None` for all. What can wait leaves the rest to live polling. The larger
/// shares first.
const SHARES: [Option<u32>; 3] = [None, Some(50), Some(30)];

/// Where in [`SHARES`] a purpose stands.
fn place(purpose: Purpose) -> usize {
    match purpose {
        Purpose::Live => 0,
        Purpose::Sweep | Purpose::NightlySweep => 1,
        Purpose::Backfill => 2,
    }
}

fn share(purpose: Purpose) -> Option<u32> {
    SHARES[place(purpose)]
}

fn minute_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(60)
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).expect("a duration is never out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).expect("in range")
    }

    fn tenant(number: u128) -> TenantId {
        TenantId::from(uuid::Uuid::from_u128(number))
    }

    /// Takes as many as there are; how many that were.
    fn spend(budgets: &Budgets, purpose: Purpose, now: i64) -> usize {
        let take = || budgets.take(Api::Graph, tenant(1), "main", purpose, at(now));
        std::iter::repeat_with(take).take(10_000).take_while(Result::is_ok).count()
    }

    #[test]
    fn in_no_minute_more_go_out_than_is_documented() {
        let budgets = Budgets::new(150);
        let take = |of, now| budgets.take(Api::Graph, tenant(of), "main", Purpose::Live, at(now));
        for millisecond in 0..150 {
            assert_eq!(take(1, millisecond), Ok(()));
        }
        assert_eq!(take(1, 1_000), Err(59 * SECOND));
        assert_eq!(take(2, 1_000), Ok(()), "another tenant's budget");
        assert_eq!(take(1, 60_000), Ok(()), "the first is a minute old");
        assert!(take(1, 60_000).is_err());
        assert_eq!(spend(&budgets, Purpose::Live, 60_149), 149);
        let mut sent: Vec<i64> = Vec::new();
        for now in (0..600_000).step_by(37) {
            if take(3, now).is_ok() {
                sent.push(now);
            }
        }
        assert!(sent.windows(151).all(|window| window[150] - window[0] >= 60_000));
        assert!(sent.len() >= 1_500, "nothing is given away: {}", sent.len());
    }

    #[test]
    fn what_can_wait_leaves_the_rest_to_live_polling() {
        let budgets = Budgets::new(90);
        assert_eq!(spend(&budgets, Purpose::Backfill, 0), 27, "three tenths");
        assert_eq!(spend(&budgets, Purpose::Sweep, 1_000), 18, "half, with the backfill's");
        assert_eq!(spend(&budgets, Purpose::Backfill, 1_000), 0);
        assert_eq!(spend(&budgets, Purpose::Live, 1_000), 45, "all that is left");
        assert_eq!(spend(&budgets, Purpose::Live, 1_000), 0);

        // Live polling alone may take all; what can wait never has the last third.
        let budgets = Budgets::new(90);
        for now in 0..50 {
            assert_eq!(budgets.take(Api::Graph, tenant(1), "main", Purpose::Live, at(now)), Ok(()));
        }
        assert_eq!(spend(&budgets, Purpose::Sweep, 1_000), 10);
        assert_eq!(spend(&budgets, Purpose::Live, 1_000), 30);
        let wait = budgets.take(Api::Graph, tenant(1), "main", Purpose::Sweep, at(2_000));
        assert!(wait.is_err_and(|wait| wait > 57 * SECOND && wait < MINUTE), "{wait:?}");

        // In the smallest budget everybody has a turn now and then.
        let budgets = Budgets::new(1);
        assert_eq!(spend(&budgets, Purpose::Backfill, 0), 1);
        assert_eq!(spend(&budgets, Purpose::Live, 1_000), 0);
        assert_eq!(spend(&budgets, Purpose::Live, 60_000), 1);
    }

    #[test]
    fn a_429_blocks_its_own_budget_only() {
        let budgets = Budgets::new(150);
        let take = |of, app, now| budgets.take(Api::Graph, tenant(of), app, Purpose::Live, at(now));
        let throttled = |told, now| budgets.throttled(Api::Graph, tenant(1), "main", told, at(now));
        assert_eq!(throttled(Some(10 * SECOND), 0), 10 * SECOND);
        assert_eq!(take(1, "main", 4_000), Err(6 * SECOND));
        let is_throttled = |of, now| budgets.is_throttled(Api::Graph, tenant(of), "main", at(now));
        assert!(is_throttled(1, 4_000) && !is_throttled(2, 4_000) && !is_throttled(1, 20_000));
        assert_eq!(take(1, "other-app", 4_000), Ok(()));
        assert_eq!(take(2, "main", 4_000), Ok(()));
        assert_eq!(throttled(Some(SECOND), 5_000), SECOND, "a shorter one does not lift a longer one");
        assert_eq!(take(1, "main", 9_000), Err(SECOND));
        assert_eq!(take(1, "main", 10_000), Ok(()));
        // What is not told, at once, and for ever.
        assert_eq!(throttled(None, 20_000), UNTOLD_WAIT);
        assert_eq!(throttled(Some(Duration::ZERO), 60_000), SECOND);
        assert_eq!(throttled(Some(Duration::MAX), 70_000), ASKED_WAIT_MAX);
        assert_eq!(take(1, "main", 70_001 + 3_599_000), Err(Duration::from_millis(999)));
    }

    #[test]
    fn a_budget_learns_from_429_and_forgets_again() {
        let budgets = Budgets::new(100);
        let throttled = |now| budgets.throttled(Api::Graph, tenant(1), "main", Some(10 * SECOND), at(now));
        assert_eq!(spend(&budgets, Purpose::Live, 0), 100);
        // Three that were under way together teach once.
        throttled(1_000);
        throttled(1_001);
        throttled(1_002);
        assert_eq!(spend(&budgets, Purpose::Live, 60_500), 75);
        throttled(60_501);
        assert_eq!(spend(&budgets, Purpose::Live, 120_499), 0);
        assert_eq!(spend(&budgets, Purpose::Live, 120_500), 56, "three quarters of three quarters");
        assert_eq!(spend(&budgets, Purpose::Live, 3_600_000), 100, "long ago");
        for minute in 100..200 {
            throttled(minute * 60_000);
        }
        assert_eq!(spend(&budgets, Purpose::Live, 200 * 60_000), 40, "never nothing");
    }

    #[test]
    fn each_api_has_the_rates_that_it_documents() {
        let budgets = Budgets::new(1_000);
        let spend = |budgets: &Budgets, api, now| {
            let take = || budgets.take(api, tenant(1), "main", Purpose::Live, at(now));
            std::iter::repeat_with(take).take(2_000).take_while(Result::is_ok).count()
        };
        assert_eq!(spend(&budgets, Api::Graph, 0), 1_000, "Graph's is as the operator says");
        assert_eq!(spend(&budgets, Api::DefenderXdr, 0), 50);
        assert_eq!(spend(&budgets, Api::DefenderForEndpoint, 0), 100);
        let few = Budgets::new(20);
        assert_eq!(spend(&few, Api::DefenderXdr, 0), 20, "less than documented, where the operator says so");
    }

    #[test]
    fn hunting_queries_are_counted_by_themselves() {
        let budgets = Budgets::new(150);
        let spend = |of: Quota| {
            let take = || budgets.take(of, tenant(1), "main", Purpose::Live, at(0));
            std::iter::repeat_with(take).take(2_000).take_while(Result::is_ok).count()
        };
        for api in Api::ALL {
            assert_eq!(spend(Quota::Hunting(api)), 45, "{api:?}");
        }
        budgets.throttled(Quota::Hunting(Api::Graph), tenant(1), "main", Some(10 * SECOND), at(0));
        assert_eq!(spend(Api::Graph.into()), 150, "alerts are read on while hunting waits");
    }

    #[test]
    fn in_no_hour_more_go_out_than_is_documented() {
        let budgets = Budgets::new(150);
        let take = |purpose, second: i64| {
            budgets.take(Api::DefenderXdr, tenant(1), "main", purpose, at(second * 1_000))
        };
        let mut sent: Vec<i64> = Vec::new();
        for second in 0..4 * 3_600 {
            while take(Purpose::Live, second).is_ok() {
                sent.push(second);
            }
        }
        assert!(sent.windows(1_501).all(|window| window[1_500] - window[0] >= 3_600));
        assert!(sent.windows(51).all(|window| window[50] - window[0] >= 60));
        assert!(sent.len() > 4 * 1_400, "little is given away: {}", sent.len());
        let wait = take(Purpose::Live, 4 * 3_600).expect_err("the hour is used up");
        assert!(wait <= Duration::from_secs(3_661), "{wait:?}");

        // What can wait leaves its part of the hour as of the minute.
        let budgets = Budgets::new(150);
        let take = |purpose, second: i64| {
            budgets.take(Api::DefenderXdr, tenant(1), "main", purpose, at(second * 1_000))
        };
        let taken = |purpose| (0..3_600).filter(|second| take(purpose, *second).is_ok()).count();
        assert_eq!(taken(Purpose::Backfill), 450, "three tenths");
        let wait = take(Purpose::Sweep, 3_599);
        assert_eq!(wait, Ok(()), "a sweep may take more than a backfill");
        assert_eq!(take(Purpose::Live, 3_599), Ok(()));
        // A clock that is set back blocks nothing.
        assert_eq!(take(Purpose::Backfill, 0), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_blocks_nothing() {
        let budgets = Budgets::new(100);
        assert_eq!(spend(&budgets, Purpose::Live, 86_400_000), 100);
        budgets.throttled(Api::Graph, tenant(1), "main", Some(10 * SECOND), at(86_400_000));
        assert_eq!(spend(&budgets, Purpose::Live, 0), 100);
    }
}
