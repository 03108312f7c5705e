//! The collector: leases what is due and gives each source its turn.
//!
//! The cast: the *store* says which source of which tenant is due and leases it; *Microsoft* gives a page; the
//! *cursor* says what the page means for what is asked next; the *router* says who is owed each record; and
//! `Store::accept_page` makes it durable in one transaction. Nothing is held between two pages but the lease: killed
//! at any moment, the same page is asked for again, and what was accepted already is recognised.
//!
//! A turn is a few pages. Then the source goes behind all others that are due, so that a tenant with a million alerts
//! to fetch delays no other. Sweeps and backfills have half of the places at most, so that live reading always finds
//! one. A source that fails waits, longer each time, and delays nobody: places at work are for working,
//! not for waiting for an answer, and those that failed last time have a few of their own (`place.rs`).

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use muster_model::Purpose;
use muster_store::{PollResult, SourceLease, StoreError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::collector::{Collector, LEASE, STORE_PAUSE};
use super::hunts::LOOK_EVERY;
use super::place::{Place, Places};
use super::turn::later;

/// How soon it is looked again whether a journal that was full has room.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// How long a sweep or a backfill waits for which there is no place.
const PUT_OFF: Duration = Duration::from_secs(10);

impl Collector {
    /// Polls until told to stop. Turns under way are finished by `tracker`'s owner waiting for it.
    pub async fn run(self: Arc<Self>, tracker: TaskTracker, stop: CancellationToken) {
        let places = Places::new(self.settings.concurrency);
        // Sweeps and backfills take no more than these of them.
        let behind = Arc::new(Semaphore::new((self.settings.concurrency as usize / 2).max(1)));
        let mut look_at = None;
        while !stop.is_cancelled() {
            let now = self.clock.now();
            if look_at.is_none_or(|at| at <= tokio::time::Instant::now()) {
                if let Err(error) = self.set_hunts().await {
                    self.told.store.failed("set the tenants' saved queries", &error, now);
                }
                look_at = Some(tokio::time::Instant::now() + LOOK_EVERY);
            }
            let free = places.free();
            if free == 0 {
                tokio::select! {
                    () = places.freed() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            let leased = async {
                match self.is_stopped().await? {
                    true => Ok(None),
                    false => self.store.lease_due_sources(self.instance, free, LEASE, now).await.map(Some),
                }
            };
            let leases = match leased.await {
                Ok(Some(leases)) => leases,
                Ok(None) => {
                    stop.run_until_cancelled(tokio::time::sleep(FULL_PAUSE)).await;
                    continue;
                }
                Err(error) => {
                    self.told.store.failed("look for due sources", &error, now);
                    stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE)).await;
                    continue;
                }
            };
            let none = leases.is_empty();
            for lease in leases {
                let behind = match lease.purpose {
                    Purpose::Live => None,
                    _ => match Arc::clone(&behind).try_acquire_owned() {
                        Ok(behind) => Some(behind),
                        Err(_) => {
                            self.put_off(&lease).await;
                            continue;
                        }
                    },
                };
                let place = places.open(lease.failures > 0).await;
                // At once where there is one, so that what is free is counted right.
                let has_place = place.take().now_or_never().is_some();
                let (collector, stop) = (Arc::clone(&self), stop.clone());
                tracker.spawn(async move {
                    if !has_place {
                        place.take().await;
                    }
                    collector.turn_at(lease, &place, &stop).await;
                    drop(behind);
                });
            }
            if none {
                let wait = self.idle_wait().await;
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = places.freed() => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// Polls everything that is due now, and what falls due by it, until nothing is; returns how many turns that took. For
    /// one-off use and tests: the same turns as [`Collector::run`], one after the other.
    ///
    /// # Errors
    /// When the store cannot say what is due.
    pub async fn collect_due(&self) -> Result<u32, StoreError> {
        let stop = CancellationToken::new();
        let mut turns = 0;
        self.set_hunts().await?;
        loop {
            if self.is_stopped().await? {
                return Ok(turns);
            }
            let leases = self.store.lease_due_sources(self.instance, 64, LEASE, self.clock.now()).await?;
            if leases.is_empty() {
                return Ok(turns);
            }
            for lease in leases {
                self.turn(lease, &stop).await;
                turns += 1;
            }
        }
    }

    /// One turn, whatever else goes on.
    pub async fn turn(&self, lease: SourceLease, stop: &CancellationToken) {
        self.turn_at(lease, &Place::uncounted(), stop).await;
    }

    /// Gives a sweep or a backfill back for which there is no place now.
    async fn put_off(&self, lease: &SourceLease) {
        let now = self.clock.now();
        let result = PollResult::Yielded {
            next_at: later(now, PUT_OFF),
            progressed: false,
            missing: None,
            cursor: None,
        };
        if let Err(error) = self.store.finish_poll(lease, result, now).await {
            self.told.store.failed("give a lease back", &error, now);
        }
    }

    async fn idle_wait(&self) -> Duration {
        // Tenants may be added by another process, so the store is looked at every now and then in any case.
        let most = Duration::from_secs(1);
        match self.store.next_source_due_at().await {
            Ok(Some(due)) => Duration::try_from(due.duration_since(self.clock.now()))
                .unwrap_or_default()
                .clamp(Duration::from_millis(5), most),
            _ => most,
        }
    }
}
