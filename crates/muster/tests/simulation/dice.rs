//! Seeded choices: the same seed gives the same history on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A stream of choices.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of `seed` for one `use_`, so that a change of one stream leaves the others as they are.
    pub(crate) fn new(seed: u64, use_: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(use_);
        Self(dice)
    }

    /// A number in `0..bound`; 0 where `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.next_u64() % bound }
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// The same for small numbers.
    pub(crate) fn small(&mut self, from: u32, to: u32) -> u32 {
        u32::try_from(self.between(u64::from(from), u64::from(to))).expect("between two small numbers")
    }

    /// Whether something happens that happens `percent` of a hundred times.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).expect("within the choices")]
    }
}
