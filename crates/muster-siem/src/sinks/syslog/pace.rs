//! `events_per_second_max`: a receiver that is licensed, or dimensioned, for so many events a second gets no more.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// What may go at once after a pause: timers are no finer than a millisecond, and rates are.
const BURST: Duration = Duration::from_millis(100);

/// When the next event may go, over all connections of a sink.
#[derive(Debug)]
pub(super) struct Pace {
    between: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { between: Duration::from_secs(1) / per_second.get(), next: Mutex::new(Instant::now()) }
    }

    /// Takes the place of so many events; until when they have to wait, if they have to.
    pub(super) fn take(&self, events: usize) -> Option<Instant> {
        let now = Instant::now();
        let mut next = self.next.lock().expect("no panic while the lock is held");
        let from = now.checked_sub(BURST).map_or(*next, |earliest| earliest.max(*next));
        *next = from + self.between * u32::try_from(events).unwrap_or(u32::MAX);
        Some(from).filter(|from| *from > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_holds_more_than_it_may_and_a_pause_saves_nothing_up() {
        let pace = Pace::new(NonZeroU32::new(250).expect("more than none"));
        let mut sent = Vec::new();
        let began = Instant::now();
        for round in 0..2 {
            for events in [1, 7, 2].repeat(100) {
                if let Some(until) = pace.take(events) {
                    tokio::time::sleep_until(until).await;
                }
                sent.extend(std::iter::repeat_n(Instant::now() - began, events));
            }
            if round == 0 {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
        assert_eq!(sent.len(), 2_000);
        let total = *sent.last().expect("some") - Duration::from_secs(60);
        assert!((7.7..8.1).contains(&total.as_secs_f64()), "{total:?}");
        for (index, at) in sent.iter().enumerate() {
            let within =
                sent[index..].iter().take_while(|other| **other - *at < Duration::from_secs(1)).count();
            // A second, what may go at once, and a record of seven.
            assert!(within <= 250 + 25 + 7, "{within} events within a second of {at:?}");
        }
    }
}
