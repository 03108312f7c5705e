//! Which tenants are checked after their consent, and when next.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::TenantId;
use tokio::sync::Notify;

/// How long a consent may take to be known everywhere.
pub(super) const SPREADS_WITHIN: Duration = Duration::from_secs(180);
/// Waits between attempts while it spreads, in seconds; the last one goes on.
const WHILE_SPREADING: [u64; 6] = [2, 3, 5, 8, 15, 20];
/// Waits after that: soon for an hour, then seldom.
const SOON: Duration = Duration::from_secs(60);
const SELDOM: Duration = Duration::from_secs(900);
/// Attempts are given up after this; a look at the page or a new invitation begins them anew.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(14 * 86_400);
/// Tenants that wait for their check at most; more are found again in the store.
const QUEUE_MAX: usize = 10_000;

/// Who is looked after, and when next.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<BTreeMap<TenantId, Attempt>>,
    poke: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    /// When the consent was told.
    since: Timestamp,
    count: u32,
    /// When it is tried next; `None` while it is being tried.
    next_at: Option<Timestamp>,
    /// Somebody asked for an attempt while one was under way.
    again: bool,
}

impl Queue {
    /// Looks after a tenant whose consent was just told: at once, and until everything works.
    pub(super) fn look_after(&self, tenant: TenantId, now: Timestamp) {
        let anew = Attempt { since: now, count: 0, next_at: Some(now), again: false };
        let mut waiting = self.waiting.lock().expect("no panic while the lock is held");
        let full = waiting.len() >= QUEUE_MAX;
        match waiting.get_mut(&tenant) {
            Some(attempt) if attempt.next_at.is_none() => attempt.again = true,
            Some(attempt) => *attempt = anew,
            None if full => {}
            None => {
                waiting.insert(tenant, anew);
            }
        }
        drop(waiting);
        self.poke.notify_one();
    }

    /// Goes on looking after a tenant whose page somebody looks at, where that was given up or forgotten at a restart.
    pub(super) fn keep_looking_after(&self, tenant: TenantId, now: Timestamp) {
        let known = self.waiting.lock().expect("no panic while the lock is held").contains_key(&tenant);
        if !known {
            self.look_after(tenant, now);
        }
    }

    /// The tenant whose turn it is, and since when its consent is told.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<(TenantId, Timestamp)> {
        let mut waiting = self.waiting.lock().expect("no panic while the lock is held");
        let (tenant, attempt) = waiting
            .iter_mut()
            .filter(|(_, attempt)| attempt.next_at.is_some_and(|next| next <= now))
            .min_by_key(|(_, attempt)| attempt.next_at)?;
        attempt.next_at = None;
        Some((*tenant, attempt.since))
    }

    /// An attempt has ended; where it was not `done` it is tried again.
    pub(super) fn ended(&self, tenant: TenantId, done: bool, now: Timestamp) {
        let mut waiting = self.waiting.lock().expect("no panic while the lock is held");
        let Some(attempt) = waiting.get_mut(&tenant) else { return };
        if attempt.again {
            *attempt = Attempt { since: now, count: 0, next_at: Some(now), again: false };
            return;
        }
        let age = Duration::try_from(now.duration_since(attempt.since)).unwrap_or_default();
        if done || age > GIVEN_UP_AFTER {
            waiting.remove(&tenant);
            return;
        }
        attempt.count += 1;
        attempt.next_at = now.checked_add(wait(age, attempt.count)).ok();
    }

    /// Returns when a tenant was added.
    pub(super) async fn poked(&self) {
        self.poke.notified().await;
    }
}

fn wait(age: Duration, count: u32) -> Duration {
    if age < SPREADS_WITHIN {
        let index = (count as usize).saturating_sub(1).min(WHILE_SPREADING.len() - 1);
        return Duration::from_secs(WHILE_SPREADING[index]);
    }
    if age < Duration::from_secs(3_600) { SOON } else { SELDOM }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_frequent_at_first_and_seldom_later() {
        let seconds = |age, count| wait(Duration::from_secs(age), count).as_secs();
        assert_eq!((seconds(0, 1), seconds(10, 3), seconds(179, 400)), (2, 5, 20));
        assert_eq!((seconds(180, 20), seconds(3_599, 50), seconds(3_600, 51)), (60, 60, 900));
    }
}
