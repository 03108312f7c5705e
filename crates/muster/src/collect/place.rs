//! Places at work: how many turns are worked on at once, and how many may be open.
//!
//! A place is for working: asking, taking apart, writing down. Whoever waits for an answer longer than [`PATIENCE`] gives
//! its place back, and takes one again before it works on what came; so servers that are silent or trickle hold up nobody.
//! Sources that failed last time share a few places of their own: however many they are, a healthy source never waits
//! behind them. Turns that are open, waiting or at work, are bounded too.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long an answer is waited for at one's place.
const PATIENCE: Duration = Duration::from_secs(2);
/// Turns that may be open at once.
const OPEN_MAX: usize = 1_024;
/// Turns that are begun together.
const BEGUN_MAX: usize = 64;
/// One place in so many is for sources that failed last time, beside the others.
const TROUBLED_SHARE: usize = 4;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    open: Arc<Semaphore>,
    healthy: Arc<Semaphore>,
    troubled: Arc<Semaphore>,
    freed: Arc<Notify>,
}

impl Places {
    /// So many for healthy sources, and a quarter more for those in trouble.
    pub(super) fn new(concurrency: u32) -> Self {
        let concurrency = concurrency.max(1) as usize;
        Self {
            open: Arc::new(Semaphore::new(OPEN_MAX.max(2 * concurrency))),
            healthy: Arc::new(Semaphore::new(concurrency)),
            troubled: Arc::new(Semaphore::new((concurrency / TROUBLED_SHARE).max(1))),
            freed: Arc::default(),
        }
    }

    /// How many turns may be begun now.
    pub(super) fn free(&self) -> u32 {
        let free = self.healthy.available_permits().min(self.open.available_permits()).min(BEGUN_MAX);
        u32::try_from(free).expect("no more than are begun together")
    }

    /// Resolves when places were freed since it was last asked.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Opens a turn; the place itself is taken by [`Place::take`]. `in_trouble`: the source failed last time.
    pub(super) async fn open(&self, in_trouble: bool) -> Place {
        let open = Arc::clone(&self.open).acquire_owned().await.expect("the semaphore is never closed");
        let share = Arc::clone(if in_trouble { &self.troubled } else { &self.healthy });
        let freed = Arc::clone(&self.freed);
        Place { share: Some(share), held: Mutex::default(), open: Some(open), freed }
    }
}

/// A turn's place, or its right to one.
#[derive(Debug)]
pub(crate) struct Place {
    /// Where places are taken from; `None` where they are not counted.
    share: Option<Arc<Semaphore>>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
    open: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Place {
    /// For turns that are had one after the other.
    pub(crate) fn uncounted() -> Self {
        Self { share: None, held: Mutex::default(), open: None, freed: Arc::default() }
    }

    /// Takes a place, in order of arrival.
    pub(super) async fn take(&self) {
        if let Some(share) = &self.share {
            let place = Arc::clone(share).acquire_owned().await.expect("the semaphore is never closed");
            *self.held.lock().expect("no panic while the lock is held") = Some(place);
        }
    }

    fn give_back(&self) {
        drop(self.held.lock().expect("no panic while the lock is held").take());
        self.freed.notify_one();
    }

    /// Waits for an answer: at this place for a while, then without one. There is a place again when it has come.
    pub(super) async fn waiting<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        if self.share.is_none() {
            return answer.await;
        }
        if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut answer).await {
            return answer;
        }
        self.give_back();
        let answer = answer.await;
        self.take().await;
        answer
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.open.take());
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    /// A turn that has a place, if there is one now.
    fn at_work(places: &Places, in_trouble: bool) -> Option<Place> {
        let place = places.open(in_trouble).now_or_never()?;
        place.take().now_or_never()?;
        Some(place)
    }

    #[test]
    fn those_in_trouble_take_no_place_of_others() {
        let places = Places::new(8);
        let troubled: Vec<Place> = std::iter::from_fn(|| at_work(&places, true)).collect();
        assert_eq!((troubled.len(), places.free()), (2, 8));
        let healthy: Vec<Place> = std::iter::from_fn(|| at_work(&places, false)).collect();
        assert_eq!((healthy.len(), places.free()), (8, 0));
        // The turns that found no place have been closed again, which is told too.
        places.freed().now_or_never().expect("turns were closed");
        assert!(places.freed().now_or_never().is_none());
        drop(healthy);
        assert_eq!(places.free(), 8);
        assert!(places.freed().now_or_never().is_some());
    }

    #[test]
    fn open_turns_are_bounded() {
        let places = Places::new(8);
        let open: Vec<Place> = (0..OPEN_MAX).filter_map(|_| places.open(true).now_or_never()).collect();
        assert_eq!((open.len(), places.free()), (OPEN_MAX, 0));
        assert!(places.open(false).now_or_never().is_none());
        drop(open);
        assert_eq!(places.free(), 8);
    }

    #[tokio::test]
    async fn who_waits_long_gives_its_place_to_others() {
        let places = Places::new(1);
        let silent = at_work(&places, false).expect("a place");
        let (answer, answered) = oneshot::channel();
        let waits = silent.waiting(answered);
        let other = async {
            while places.free() == 0 {
                places.freed().await;
            }
            let other = at_work(&places, false).expect("the place of the one that waits");
            answer.send("an answer").expect("it is still waited for");
            tokio::task::yield_now().await;
            assert_eq!(places.free(), 0);
            drop(other);
        };
        let (answer, ()) = tokio::join!(waits, other);
        assert_eq!(answer, Ok("an answer"));
        assert_eq!(places.free(), 0, "it works on its answer at a place");
        drop(silent);
        assert_eq!(places.free(), 1);
    }
}
