//! What happens on 429: one budget per API, tenant and app.
//!
//! Microsoft counts requests per (API, tenant, app). A budget starts at the documented rate and is taught by every 429: no
//! request of the same budget goes out before `Retry-After` has passed. Other tenants' budgets are not touched.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Purpose, TenantId};

use crate::sources::Api;

/// Waits when a 429 does not say how long.
const UNTOLD_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
struct Budget {
    /// When the bucket was full, or would have been: the theoretical arrival time of the generic cell rate algorithm.
    full_at: Timestamp,
    /// Nothing before this.
    blocked_until: Timestamp,
}

/// All budgets.
#[derive(Debug)]
pub struct Budgets {
    requests_per_minute: u32,
    budgets: Mutex<HashMap<(Api, TenantId, String), Budget>>,
}

impl Budgets {
    /// Budgets of `requests_per_minute` each, all of which may go out at once.
    #[must_use]
    pub fn new(requests_per_minute: u32) -> Self {
        Self { requests_per_minute: requests_per_minute.max(1), budgets: Mutex::default() }
    }

    /// Takes one request out of a budget.
    ///
    /// # Errors
    /// How long to wait when there is none left.
    pub fn take(
        &self,
        api: Api,
        tenant: TenantId,
        app: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let minute = Duration::from_secs(60);
        let each = minute / self.requests_per_minute;
        let most = share(purpose, minute);
        let mut budgets = self.budgets.lock().expect("no panic while the lock is held");
        let fresh = Budget { full_at: now, blocked_until: Timestamp::MIN };
        let budget = budgets.entry((api, tenant, app.to_owned())).or_insert(fresh);
        if budget.blocked_until > now {
            return Err(between(now, budget.blocked_until));
        }
        let full_at = budget.full_at.max(now).saturating_add(each).expect("a duration is never out of range");
        let debt = between(now, full_at);
        if debt > most {
            return Err(debt - most);
        }
        budget.full_at = full_at;
        Ok(())
    }

    /// Learns from a 429; returns how long to wait.
    pub fn throttled(
        &self,
        api: Api,
        tenant: TenantId,
        app: &str,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Duration {
        let wait = retry_after.unwrap_or(UNTOLD_WAIT).max(Duration::from_secs(1));
        let until = now.saturating_add(wait).expect("a duration is never out of range");
        let mut budgets = self.budgets.lock().expect("no panic while the lock is held");
        let fresh = Budget { full_at: now, blocked_until: until };
        let budget = budgets.entry((api, tenant, app.to_owned())).or_insert(fresh);
        budget.blocked_until = budget.blocked_until.max(until);
        wait
    }

    /// Forgets a tenant.
    pub fn forget(&self, tenant: TenantId) {
        self.budgets.lock().expect("no panic while the lock is held").retain(|(_, of, _), _| *of != tenant);
    }
}

/// What a purpose may have spent of a minute's requests by the time it asks: live polling all of them; what can wait leaves
/// the rest to it.
fn share(purpose: Purpose, minute: Duration) -> Duration {
    match purpose {
        Purpose::Live => minute,
        Purpose::Sweep | Purpose::NightlySweep => minute / 2,
        Purpose::Backfill => minute * 3 / 10,
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).expect("in range")
    }

    #[test]
    fn a_budget_is_spent_and_comes_back() {
        let budgets = Budgets::new(150);
        let tenant = TenantId::from(uuid::Uuid::from_u128(1));
        let other = TenantId::from(uuid::Uuid::from_u128(2));
        let take = |tenant, now| budgets.take(Api::Graph, tenant, "main", Purpose::Live, at(now));
        for _ in 0..150 {
            assert_eq!(take(tenant, 0), Ok(()));
        }
        assert_eq!(take(tenant, 0), Err(Duration::from_millis(400)));
        assert_eq!(take(tenant, 400), Ok(()));
        assert!(take(tenant, 400).is_err());
        assert_eq!(take(other, 400), Ok(()));
        assert_eq!(take(tenant, 61_000), Ok(()));
    }

    #[test]
    fn what_can_wait_leaves_the_rest_to_live_polling() {
        let budgets = Budgets::new(100);
        let tenant = TenantId::from(uuid::Uuid::from_u128(1));
        let take = |purpose| budgets.take(Api::Graph, tenant, "main", purpose, at(0));
        let spend = |purpose| (0..1_000).take_while(|_| take(purpose).is_ok()).count();
        assert_eq!(spend(Purpose::Backfill), 30);
        assert_eq!(spend(Purpose::Sweep), 20);
        assert_eq!(take(Purpose::Backfill), Err(Duration::from_millis(20 * 600 + 600)));
        assert_eq!(spend(Purpose::Live), 50);
    }

    #[test]
    fn a_429_blocks_its_own_budget_only() {
        let budgets = Budgets::new(150);
        let tenant = TenantId::from(uuid::Uuid::from_u128(1));
        let other = TenantId::from(uuid::Uuid::from_u128(2));
        let api = Api::Graph;
        assert_eq!(
            budgets.throttled(api, tenant, "main", Some(Duration::from_secs(10)), at(0)),
            Duration::from_secs(10)
        );
        assert_eq!(budgets.take(api, tenant, "main", Purpose::Live, at(4_000)), Err(Duration::from_secs(6)));
        assert_eq!(budgets.take(api, tenant, "other-app", Purpose::Live, at(4_000)), Ok(()));
        assert_eq!(budgets.take(api, other, "main", Purpose::Live, at(4_000)), Ok(()));
        assert_eq!(budgets.take(api, tenant, "main", Purpose::Live, at(10_000)), Ok(()));
    }
}
