//! Time as an argument. Everything that asks "what time is it" takes a [`Clock`], so that tests decide.

use std::sync::Mutex;

use jiff::Timestamp;

/// Tells the time. The product uses [`SystemClock`], tests [`ManualClock`].
pub trait Clock: Send + Sync + 'static {
    /// The current instant, in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until told to move.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Puts the clock to another instant, earlier or later.
    ///
    /// # Panics
    /// Never: nothing panics while the lock is held.
    pub fn set(&self, to: Timestamp) {
        *self.0.lock().expect("no panic while the lock is held") = to;
    }

    /// Moves the clock forward.
    ///
    /// # Panics
    /// When the sum is beyond what a timestamp can hold.
    pub fn advance(&self, by: std::time::Duration) {
        let mut now = self.0.lock().expect("no panic while the lock is held");
        *now = now.checked_add(by).expect("tests stay within the range of timestamps");
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no panic while the lock is held")
    }
}
