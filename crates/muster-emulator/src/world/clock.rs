//! Time as an argument.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// Tells the world what time it is.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> jiff::Timestamp;
}

/// The computer's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate where the system clock is read"
    )]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(Mutex<jiff::Timestamp>);

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn new(at: jiff::Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Puts the clock to another instant, earlier or later.
    pub fn set(&self, at: jiff::Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(by).unwrap_or(jiff::Timestamp::MAX);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> jiff::Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
