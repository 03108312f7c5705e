//! How many of a sink's workers may be at work: all while it takes what they bring, fewer while it is in trouble, and one that
//! tries now and then while it takes nothing from anybody.
//!
//! Each tenant's queue waits longer and longer by itself, but a thousand tenants that each try once a minute are a thousand
//! requests a minute to a receiver that is down, or that has said it is busy.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use muster_model::TenantId;
use tokio::time::Instant;

use crate::backoff;

/// So many tenants in a row of which a sink takes nothing: it is the sink's trouble, not theirs.
const TENANTS: usize = 3;
/// How long nobody tries then, at first and at most.
const CLOSED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How soon a worker that is one too many looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the workers of one sink share.
#[derive(Debug)]
pub struct Breaker {
    workers: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    allowed: u32,
    /// Tenants of which nothing was taken since something was taken last.
    failed: BTreeSet<TenantId>,
    /// How often in a row it was closed.
    closed: u32,
    closed_until: Option<Instant>,
}

impl State {
    /// Of a sink that takes something.
    fn open(allowed: u32) -> Self {
        Self { allowed, failed: BTreeSet::new(), closed: 0, closed_until: None }
    }
}

/// What a sink did with one tenant's delivery batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    /// All of it, or it refused some for good.
    All,
    /// Some of it; the rest not now.
    Some,
    /// Nothing of it.
    Nothing,
}

impl Breaker {
    /// Of a sink with so many workers.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        let workers = workers.max(1);
        Self { workers, state: Mutex::new(State::open(workers)) }
    }

    /// Whether this worker, counted from 0, may take something up; if not, how long it waits before it asks again.
    pub(super) fn wait(&self, worker: u32) -> Option<Duration> {
        let state = self.state.lock().expect("no panic while the lock is held");
        let closed = state.closed_until.map(|until| until.saturating_duration_since(Instant::now()));
        match closed.filter(|wait| !wait.is_zero()) {
            Some(wait) => Some(wait.min(LOOK_AGAIN)),
            None => (worker >= state.allowed).then_some(LOOK_AGAIN),
        }
    }

    /// Learns what became of a tenant's delivery batch.
    pub(super) fn learn(&self, tenant: TenantId, took: Took) {
        let mut state = self.state.lock().expect("no panic while the lock is held");
        match took {
            Took::All => *state = State::open((state.allowed + 1).min(self.workers)),
            Took::Some => *state = State::open((state.allowed / 2).max(1)),
            Took::Nothing => {
                state.allowed = (state.allowed / 2).max(1);
                if state.failed.len() < TENANTS {
                    state.failed.insert(tenant);
                }
                if state.failed.len() == TENANTS {
                    let (first, most) = CLOSED;
                    let wait = backoff::wait(state.closed, first, most, 0);
                    state.allowed = 1;
                    state.closed = state.closed.saturating_add(1);
                    state.closed_until = Some(Instant::now() + wait);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from(uuid::Uuid::from_u128(number))
    }

    fn at_work(breaker: &Breaker) -> usize {
        (0..breaker.workers).filter(|worker| breaker.wait(*worker).is_none()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_in_trouble_has_fewer_at_work_and_one_that_recovers_more_again() {
        let breaker = Breaker::new(8);
        assert_eq!(at_work(&breaker), 8);
        breaker.learn(tenant(1), Took::Some);
        breaker.learn(tenant(1), Took::Some);
        assert_eq!(at_work(&breaker), 2);
        for _ in 0..20 {
            breaker.learn(tenant(1), Took::All);
        }
        assert_eq!(at_work(&breaker), 8);
    }

    /// One tenant's trouble, such as a token that is not taken, closes the sink to nobody else.
    #[tokio::test(start_paused = true)]
    async fn what_fails_for_one_tenant_again_and_again_stops_no_other() {
        let breaker = Breaker::new(4);
        for _ in 0..50 {
            breaker.learn(tenant(1), Took::Nothing);
            breaker.learn(tenant(2), Took::Nothing);
        }
        assert_eq!(at_work(&breaker), 1);
        breaker.learn(tenant(3), Took::All);
        assert_eq!(at_work(&breaker), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_takes_nothing_from_anybody_is_tried_by_one_now_and_then() {
        let breaker = Breaker::new(4);
        let mut tries = 0;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(600) {
            for worker in 0..4 {
                if breaker.wait(worker).is_none() {
                    tries += 1;
                    breaker.learn(tenant(tries), Took::Nothing);
                }
            }
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!((60..100).contains(&tries), "{tries} tries in ten minutes");
        tokio::time::advance(CLOSED.1).await;
        assert_eq!((at_work(&breaker), breaker.wait(0)), (1, None));
        breaker.learn(tenant(1), Took::All);
        assert_eq!(at_work(&breaker), 2);
    }
}
