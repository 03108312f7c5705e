//! How long to wait after failures: doubling, bounded, and spread so that many who failed together do not come back
//! together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// The wait after `failures` earlier failures in a row: `first`, doubled each time, at most `most`, less up to a
/// quarter that depends on `seed` and the number of failures only.
pub fn wait(failures: u32, first: Duration, most: Duration, seed: u64) -> Duration {
    let full = first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(most);
    let mut hasher = DefaultHasher::new();
    (seed, failures).hash(&mut hasher);
    spread(full, hasher.finish())
}

/// `full` less up to a quarter that depends on `seed` only.
pub fn spread(full: Duration, seed: u64) -> Duration {
    let share = (seed % 256) as u32;
    full - full / 4 * share / 256
}

/// A seed made of names.
pub fn seed(names: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    names.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let (first, most) = (Duration::from_secs(1), Duration::from_secs(60));
        for failures in 0..100 {
            let wait = wait(failures, first, most, 7);
            let full = first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(most);
            assert!(wait <= full && wait >= full * 3 / 4, "{failures}: {wait:?}");
        }
        assert_ne!(wait(5, first, most, seed(&["a"])), wait(5, first, most, seed(&["b"])));
    }
}
