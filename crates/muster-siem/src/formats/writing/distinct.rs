//! Values, each once, in the order in which they came.

use std::collections::HashSet;
use std::hash::Hash;

use muster_model::json::Text;
use muster_model::json::names::hash;

/// Up to how many values are compared one by one.
const COMPARED_MAX: usize = 8;
/// Up to how many fingerprints are walked over, which beats hashing. Longer lists, which an attacker can cause, are not
/// walked.
const WALKED_MAX: usize = 256;

/// A number that is the same for equal values, and most often another for others.
pub(crate) trait Fingerprint {
    fn fingerprint(&self) -> u32;
}

impl Fingerprint for Text<'_> {
    fn fingerprint(&self) -> u32 {
        hash(self.as_written())
    }
}

impl Fingerprint for &str {
    fn fingerprint(&self) -> u32 {
        hash(self)
    }
}

impl<A: Fingerprint, B: Fingerprint> Fingerprint for (A, B) {
    fn fingerprint(&self) -> u32 {
        self.0.fingerprint().rotate_left(5) ^ self.1.fingerprint()
    }
}

/// Values, each once, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Distinct<T> {
    values: Vec<T>,
    /// Of all values, from the [`COMPARED_MAX`]th on.
    fingerprints: Vec<u32>,
    /// All values, from the [`WALKED_MAX`]th on.
    seen: Option<HashSet<T>>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { values: Vec::new(), fingerprints: Vec::new(), seen: None }
    }
}

impl<T: Copy + Eq + Hash + Fingerprint> Distinct<T> {
    /// The values.
    pub(crate) fn as_slice(&self) -> &[T] {
        &self.values
    }

    /// The values, for good.
    pub(crate) fn into_values(self) -> Vec<T> {
        self.values
    }

    /// Adds `value` unless it is there, and says whether it was not.
    pub(crate) fn add(&mut self, value: T) -> bool {
        if self.values.len() >= COMPARED_MAX {
            return self.add_to_many(value);
        }
        let new = !self.values.contains(&value);
        if new {
            self.values.push(value);
        }
        new
    }

    fn add_to_many(&mut self, value: T) -> bool {
        if let Some(seen) = &mut self.seen {
            let new = seen.insert(value);
            if new {
                self.values.push(value);
            }
            return new;
        }
        if self.fingerprints.is_empty() {
            self.fingerprints.extend(self.values.iter().map(Fingerprint::fingerprint));
        }
        let wanted = value.fingerprint();
        for (known, values) in self.fingerprints.chunks(16).zip(self.values.chunks(16)) {
            // Without a way out in the middle the compiler looks at several at once.
            let any = known.iter().fold(false, |any, known| any | (*known == wanted));
            if any && values.contains(&value) {
                return false;
            }
        }
        self.fingerprints.push(wanted);
        self.values.push(value);
        if self.values.len() == WALKED_MAX {
            self.seen = Some(self.values.iter().copied().collect());
        }
        true
    }
}

impl<'a> Distinct<Text<'a>> {
    /// Adds `value` unless it is there or blank.
    pub(crate) fn add_text(&mut self, value: Text<'a>) {
        if !value.is_blank() {
            self.add(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Distinct, Fingerprint};

    impl Fingerprint for i32 {
        fn fingerprint(&self) -> u32 {
            // Poor on purpose.
            self.unsigned_abs() % 7
        }
    }

    #[test]
    fn values_are_kept_once_in_short_and_long_lists() {
        let mut distinct = Distinct::default();
        for round in 0..3 {
            for value in 0..600 {
                distinct.add(value);
                distinct.add(value / 2);
            }
            assert_eq!(distinct.as_slice(), (0..600).collect::<Vec<_>>(), "round {round}");
        }
    }
}
