//! Names and their hashes: a field or type is found by its name without comparing it with one name after the other.

/// The hash of a name: of its first and its last eight bytes and its length. Names that have the same are
/// distinguished by themselves.
#[inline(always)]
pub const fn hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return mixed(u64::from_le_bytes(*first), u64::from_le_bytes(*last), bytes.len());
    }
    let (mut few, mut at) = (0, bytes.len());
    while at > 0 {
        at -= 1;
        few = few << 8 | bytes[at] as u64;
    }
    mixed(few, few, bytes.len())
}

/// The [`hash`] of the name that stands in `bytes` from `start` to `end`. What stands around it is read along, so that
/// nothing depends on its length.
#[inline(always)]
pub fn hash_of(bytes: &[u8], start: usize, end: usize) -> u32 {
    let around = (
        bytes.get(start..).and_then(<[u8]>::first_chunk::<8>),
        bytes.get(..end).and_then(<[u8]>::last_chunk::<8>),
    );
    let (Some(first), Some(last)) = around else {
        // At the very beginning or end of a text.
        let name = bytes.get(start..end).and_then(|name| std::str::from_utf8(name).ok());
        return hash(name.unwrap_or_default());
    };
    if start >= end {
        return hash("");
    }
    // How much of the eight bytes is not the name.
    let beyond = 64 - 8 * (end - start).min(8);
    let first = u64::from_le_bytes(*first) << beyond >> beyond;
    let last = u64::from_le_bytes(*last) >> beyond;
    mixed(first, last, end - start)
}

const fn mixed(first: u64, last: u64, length: usize) -> u32 {
    let mixed = (first.rotate_left(29) ^ last).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ length as u64).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) as u32
}

/// Where each of up to 255 names stands in its list. `SLOTS` is a power of two, and more than the names.
#[derive(Debug)]
pub struct Names<const SLOTS: usize> {
    /// Positions from 1 on; a name stands in the first free slot from that of its hash on.
    slots: [u8; SLOTS],
}

impl<const SLOTS: usize> Names<SLOTS> {
    /// The places of `names`, each of which stands there once.
    pub const fn of(names: &[&str]) -> Self {
        assert!(SLOTS.is_power_of_two() && names.len() < SLOTS && names.len() < 256, "too many names");
        let mut slots = [0; SLOTS];
        let mut position = 0;
        while position < names.len() {
            let mut slot = hash(names[position]) as usize % SLOTS;
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            position += 1;
            slots[slot] = position as u8;
        }
        Self { slots }
    }

    /// The position of `name`, whose hash is given, in the same list.
    pub fn find(&self, names: &[&str], name: &str, hash: u32) -> Option<usize> {
        let mut slot = hash as usize % SLOTS;
        loop {
            let position = usize::from(self.slots[slot]).checked_sub(1)?;
            if names.get(position).is_some_and(|known| *known == name) {
                return Some(position);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Names, hash, hash_of};

    proptest! {
        #[test]
        fn a_name_has_the_same_hash_wherever_it_stands(name in "[a-zé]{0,20}", around in "[a-z]{0,12}") {
            let text = format!("{around}{name}{around}");
            let start = around.len();
            prop_assert_eq!(hash_of(text.as_bytes(), start, start + name.len()), hash(&name));
        }
    }

    #[test]
    fn each_name_is_found_and_no_other() {
        const LIST: [&str; 6] = ["", "a", "id", "title", "createdDateTime", "processCreationDateTime"];
        static NAMES: Names<8> = Names::of(&LIST);
        for (position, name) in LIST.iter().enumerate() {
            assert_eq!(NAMES.find(&LIST, name, hash(name)), Some(position));
        }
        // Another name with the same hash, were there one.
        assert_eq!(NAMES.find(&LIST, "titles", hash("title")), None);
        assert_eq!(NAMES.find(&LIST, "b", hash("b")), None);
    }
}
