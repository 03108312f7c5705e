//! Looks through text for the few bytes that matter, sixteen at a time.

use wide::u8x16;

/// The bytes that matter in some place. Control characters always do.
#[derive(Debug, Clone, Copy)]
pub struct ByteSet {
    /// Single bytes. One may stand here twice.
    pub bytes: [u8; 3],
    /// Whether DEL and everything that is not ASCII belong to it too.
    pub beyond_ascii: bool,
}

impl ByteSet {
    /// What ends a JSON string or has to be decoded in it, and what may not stand in it at all.
    pub const IN_JSON: Self = Self { bytes: [b'"', b'\\', b'\\'], beyond_ascii: false };

    /// Whether each byte of sixteen is one of them, a bit each, the first in the lowest.
    #[inline(always)]
    fn among(self, chunk: [u8; 16]) -> u32 {
        let chunk = u8x16::new(chunk);
        let is = |byte: u8| chunk.simd_eq(u8x16::splat(byte));
        let [a, b, c] = self.bytes;
        let mut found = chunk.min(u8x16::splat(0x1f)).simd_eq(chunk) | is(a) | is(b);
        if c != a && c != b {
            found |= is(c);
        }
        if self.beyond_ascii {
            found |= chunk.max(u8x16::splat(0x7f)).simd_eq(chunk);
        }
        found.to_bitmask()
    }
}

/// Where in `bytes`, from `at` on, the first byte of the set or control character stands.
#[inline(always)]
pub fn find(bytes: &[u8], mut at: usize, set: ByteSet) -> Option<usize> {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = set.among(*chunk);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += 16;
    }
    find_in_rest(bytes, at, set)
}

/// As [`find`], where fewer than sixteen bytes are left.
#[inline(always)]
fn find_in_rest(bytes: &[u8], at: usize, set: ByteSet) -> Option<usize> {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return None;
    }
    let found = set.among(few(rest)) & ((1 << rest.len()) - 1);
    (found != 0).then(|| at + found.trailing_zeros() as usize)
}

/// Fewer than sixteen bytes as sixteen; what follows them is of no meaning.
#[inline(always)]
fn few(bytes: &[u8]) -> [u8; 16] {
    // The first and the last eight, which overlap in the middle; of fewer the first and the last four, and so on.
    let both = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u64::from_le_bytes(*first))
            | u128::from(u64::from_le_bytes(*last)) << (8 * (bytes.len() - 8))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u32::from_le_bytes(*first))
            | u128::from(u32::from_le_bytes(*last)) << (8 * (bytes.len() - 4))
    } else {
        let (middle, end) = (bytes.len() / 2, bytes.len() - 1);
        u128::from(bytes[0]) | u128::from(bytes[middle]) << (8 * middle) | u128::from(bytes[end]) << (8 * end)
    };
    both.to_le_bytes()
}

/// Where the JSON string ends whose first byte after the quote stands at `at`: where its closing quote is, and whether
/// it may be copied as it stands. `None` when it does not end.
#[inline(always)]
pub fn string_end(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut clean = true;
    while let Some((low, high)) =
        bytes.get(at..).and_then(<[u8]>::first_chunk::<32>).map(|chunk| chunk.split_at(16))
    {
        let (Some(low), Some(high)) = (low.first_chunk(), high.first_chunk()) else { break };
        let both = u64::from(ByteSet::IN_JSON.among(*low)) | u64::from(ByteSet::IN_JSON.among(*high)) << 16;
        let mut found = both;
        // What stands behind the last backslash belongs to it.
        let mut length = 32;
        while found != 0 {
            let place = found.trailing_zeros() as usize;
            found &= found - 1;
            match bytes[at + place] {
                b'"' => return Some((at + place, clean)),
                b'\\' => {
                    clean &= is_plain_escape(bytes.get(at + place + 1));
                    found &= !(2 << place);
                    if place == 31 {
                        length = 33;
                    }
                }
                _ => clean = false,
            }
        }
        at += length;
    }
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Some((at, clean)),
            b'\\' => {
                clean &= is_plain_escape(bytes.get(at + 1));
                at += 1;
            }
            0..0x20 => clean = false,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the number, boolean or null ends whose first byte stands at `at`. `None` when there is none.
#[inline(always)]
pub fn word_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..).unwrap_or_default();
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':') || byte.is_ascii_whitespace();
    match rest.iter().position(ends).unwrap_or(rest.len()) {
        0 => None,
        length => Some(at + length),
    }
}

/// Whether a backslash before `byte` is an escape that JSON has and that means one whole character: what `\u` means has
/// to be looked at where it is copied.
#[inline(always)]
pub fn is_plain_escape(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ByteSet, find, is_plain_escape, string_end};

    fn has(set: ByteSet, byte: u8) -> bool {
        byte < 0x20 || set.bytes.contains(&byte) || set.beyond_ascii && byte >= 0x7f
    }

    /// What [`string_end`] says, byte by byte.
    fn walked_end(bytes: &[u8]) -> Option<(usize, bool)> {
        let (mut at, mut clean) = (0, true);
        loop {
            match bytes.get(at)? {
                b'"' => return Some((at, clean)),
                b'\\' => {
                    clean &= is_plain_escape(bytes.get(at + 1));
                    at += 2;
                }
                byte => {
                    clean &= *byte >= 0x20;
                    at += 1;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn strings_end_where_a_walk_says(
            bytes in prop::collection::vec(
                prop_oneof![
                    40 => Just(b'a'), 6 => Just(b'\\'), 1 => Just(b'"'), 2 => Just(b'n'), 1 => Just(b'u'), 1 => any::<u8>(),
                ],
                0..150,
            ),
        ) {
            prop_assert_eq!(string_end(&bytes, 0), walked_end(&bytes));
        }

        #[test]
        fn finds_what_a_walk_finds(
            bytes in prop::collection::vec(prop_oneof![8 => Just(b'a'), 1 => any::<u8>()], 0..80),
            at in 0..90_usize,
        ) {
            let sets = [
                ByteSet::IN_JSON,
                ByteSet { bytes: [b'=', b'\\', b';'], beyond_ascii: true },
                ByteSet { bytes: [b'|', b'|', b'|'], beyond_ascii: false },
            ];
            for set in sets {
                let walked = bytes.iter().skip(at).position(|byte| has(set, *byte)).map(|found| at + found);
                prop_assert_eq!(find(&bytes, at, set), walked);
            }
        }
    }
}
