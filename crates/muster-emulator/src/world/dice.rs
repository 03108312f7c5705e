//! Seeded randomness: the same seed gives the same world on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of choices made from a seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A stream of its own for one thing of the world, named by numbers.
    pub(crate) fn derived(parts: &[u64]) -> Self {
        Self::new(derive(parts))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("smaller than a usize")
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        let span = to.saturating_sub(from).unsigned_abs().saturating_add(1);
        from.saturating_add_unsigned(self.below(span))
    }

    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// The same for things that are cheap to copy.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// Lower-case hexadecimal digits, as hashes are written.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            let mut bits = self.next_u64();
            for _ in 0..16 {
                text.push(char::from(DIGITS[(bits & 15) as usize]));
                bits >>= 4;
            }
        }
        text.truncate(digits);
        text
    }

    /// A random GUID (version 4), as Entra ids are.
    pub(crate) fn guid(&mut self) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    pub(crate) fn base64(&mut self, bytes: usize) -> String {
        use base64::Engine;
        let raw: Vec<u8> = std::iter::repeat_with(|| self.next_u64().to_le_bytes())
            .take(bytes.div_ceil(8))
            .flatten()
            .take(bytes)
            .collect();
        base64::engine::general_purpose::STANDARD.encode(raw)
    }
}

/// One seed out of several numbers (SplitMix64's finaliser over each).
pub(crate) fn derive(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream() {
        let (mut one, mut other) = (Dice::new(7), Dice::new(7));
        assert_eq!(one.guid(), other.guid());
        assert_eq!(one.hex(40).len(), 40);
        assert_ne!(derive(&[1, 2]), derive(&[2, 1]));
        assert!((0..1000).all(|_| (3..=5).contains(&one.between(3, 5))));
    }
}
