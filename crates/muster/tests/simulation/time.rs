//! Time in a history: the world's, and what Muster's own clock makes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The world's time, and how far Muster's clock is wrong. Both stand still until they are moved.
pub(crate) struct Time(Mutex<(Timestamp, SignedDuration)>);

impl Time {
    pub(crate) fn starting(at: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new((at, SignedDuration::ZERO))))
    }

    /// The world's time.
    pub(crate) fn world(&self) -> Timestamp {
        self.0.lock().expect("no panic while the lock is held").0
    }

    /// What Muster's clock shows.
    pub(crate) fn local(&self) -> Timestamp {
        let (world, skew) = *self.0.lock().expect("no panic while the lock is held");
        world.checked_add(skew).expect("histories stay within the range of timestamps")
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut time = self.0.lock().expect("no panic while the lock is held");
        time.0 = time.0.checked_add(by).expect("histories stay within the range of timestamps");
    }

    /// From now on Muster's clock is wrong by this.
    pub(crate) fn skew(&self, skew: SignedDuration) {
        self.0.lock().expect("no panic while the lock is held").1 = skew;
    }
}

/// The world's clock.
pub(crate) struct WorldClock(pub(crate) Arc<Time>);

impl muster_emulator::Clock for WorldClock {
    fn now(&self) -> Timestamp {
        self.0.world()
    }
}

/// Muster's clock.
pub(crate) struct LocalClock(pub(crate) Arc<Time>);

impl muster_model::Clock for LocalClock {
    fn now(&self) -> Timestamp {
        self.0.local()
    }
}
