//! What a JSON value means, as a number: the same for the same value, whoever wrote it. Blanks, escapes, the order of keys
//! and the spelling of numbers make no difference. One pass, no tree.
//!
//! The numbers tell a changed value from an unchanged one. They are no defence against somebody who makes two values
//! with the same number; keep them where nobody can read or choose them.

use super::scan::{string_end, word_end};
use super::skim::blank;
use super::{DEPTH_MAX, Error, Text};

/// What Graph writes for values of enumerations that a caller has not asked to see.
const UNKNOWN_MEMBER: &str = "unknownFutureValue";
const SECRETS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xff51_afd7_ed55_8ccd];

/// None of the numbers above, so that no factor is nothing by design.
const LEFT: u64 = 0xa076_1d64_78bd_642f;
const RIGHT: u64 = 0xe703_7ed1_a0b4_28db;

/// The meaning of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The same for the same value.
    pub hash: u64,
    /// Whether something in it is hidden: an enumeration's value that was not asked for. Then the hash says nothing.
    pub hidden: bool,
}

/// The meaning of a text.
#[must_use]
pub fn of_text(text: &str) -> u64 {
    bytes(1, text.as_bytes())
}

/// Calls `on_field` with the key (as written, without its quotes), the value (as written) and the meaning of each field of
/// the object that `body` is. The order of the items in the list `unordered` makes no difference.
///
/// # Errors
/// When `body` is no JSON object. Fields may have been shown before that was found out.
pub fn fields<'a>(
    body: &'a str,
    unordered: &str,
    mut on_field: impl FnMut(&'a str, &'a str, Meaning),
) -> Result<(), Error> {
    let mut reader = Reader { body, depth: 1, hidden: false };
    let start = blank(body.as_bytes(), 0);
    if body.as_bytes().get(start) != Some(&b'{') {
        return Err(Error::Malformed { at: start });
    }
    let end = reader.each_field(start, |reader, key, at| {
        reader.hidden = false;
        let (hash, end) = reader.value(at, key == unordered)?;
        let value = body.get(at..end).ok_or(Error::Malformed { at })?;
        on_field(key, value, Meaning { hash, hidden: reader.hidden });
        Ok(end)
    })?;
    match blank(body.as_bytes(), end) {
        end if end == body.len() => Ok(()),
        at => Err(Error::Malformed { at }),
    }
}

struct Reader<'a> {
    body: &'a str,
    /// How many objects and lists are open.
    depth: usize,
    hidden: bool,
}

impl<'a> Reader<'a> {
    /// The hash of the value that begins at `at`, and where it ends. Goes as deep as [`DEPTH_MAX`], and no deeper.
    fn value(&mut self, at: usize, unordered: bool) -> Result<(u64, usize), Error> {
        let bytes = self.body.as_bytes();
        match bytes.get(at) {
            Some(b'"') => {
                let text = self.string(at)?;
                self.hidden |= text.as_written() == UNKNOWN_MEMBER;
                Ok((of_text(&text.decoded()), at + text.as_written().len() + 2))
            }
            Some(b'{') => self.nested(|reader| {
                let mut sum = SECRETS[3];
                let end = reader.each_field(at, |reader, key, at| {
                    let (value, end) = reader.value(at, false)?;
                    let name = of_text(&Text::as_in_json(key).decoded());
                    sum = sum.wrapping_add(mixed(name, value));
                    Ok(end)
                })?;
                Ok((mixed(sum, SECRETS[2]), end))
            }),
            Some(b'[') => self.nested(|reader| reader.list(at, unordered)),
            _ => {
                let end = word_end(bytes, at).ok_or(Error::Malformed { at })?;
                Ok((word(self.body.get(at..end).unwrap_or_default()), end))
            }
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Calls `on_field` with the key of each field of the object at `at`, and where its value begins; it says where that
    /// ends. Returns where the object does.
    fn each_field(
        &mut self,
        at: usize,
        mut on_field: impl FnMut(&mut Self, &'a str, usize) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let bytes = self.body.as_bytes();
        let mut at = blank(bytes, at + 1);
        if bytes.get(at) == Some(&b'}') {
            return Ok(at + 1);
        }
        loop {
            let key = self.string(at)?.as_written();
            let colon = blank(bytes, at + key.len() + 2);
            if bytes.get(colon) != Some(&b':') {
                return Err(Error::Malformed { at: colon });
            }
            let end = on_field(self, key, blank(bytes, colon + 1))?;
            at = blank(bytes, end);
            match bytes.get(at) {
                Some(b',') => at = blank(bytes, at + 1),
                Some(b'}') => return Ok(at + 1),
                _ => return Err(Error::Malformed { at }),
            }
        }
    }

    fn list(&mut self, at: usize, unordered: bool) -> Result<(u64, usize), Error> {
        let bytes = self.body.as_bytes();
        let mut hash = SECRETS[0];
        let mut at = blank(bytes, at + 1);
        if bytes.get(at) == Some(&b']') {
            return Ok((mixed(hash, SECRETS[1]), at + 1));
        }
        loop {
            let (item, end) = self.value(at, false)?;
            hash = if unordered {
                hash.wrapping_add(mixed(item, SECRETS[0]))
            } else {
                mixed(hash ^ item, SECRETS[0])
            };
            at = blank(bytes, end);
            match bytes.get(at) {
                Some(b',') => at = blank(bytes, at + 1),
                Some(b']') => return Ok((mixed(hash, SECRETS[1]), at + 1)),
                _ => return Err(Error::Malformed { at }),
            }
        }
    }

    /// What stands between the quotes, the first of which stands at `at`.
    fn string(&self, at: usize) -> Result<Text<'a>, Error> {
        let bytes = self.body.as_bytes();
        let malformed = Error::Malformed { at };
        if bytes.get(at) != Some(&b'"') {
            return Err(malformed);
        }
        let (end, _) = string_end(bytes, at + 1).ok_or(malformed)?;
        self.body.get(at + 1..end).map(Text::as_in_json).ok_or(malformed)
    }
}

/// The hash of a number, boolean or null. `1.0`, `1e0` and `1` are one number.
fn word(written: &str) -> u64 {
    let is_number = written.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if is_number
        && written.contains(['.', 'e', 'E'])
        && let Ok(number) = written.parse::<f64>()
    {
        // Whole numbers of this size are exact.
        return if number.fract() == 0.0 && number.abs() < 9e15 {
            bytes(0, format!("{number:.0}").as_bytes())
        } else {
            mixed(number.to_bits(), SECRETS[1])
        };
    }
    bytes(0, written.as_bytes())
}

fn bytes(seed: usize, bytes: &[u8]) -> u64 {
    let mut hash = SECRETS[seed] ^ bytes.len() as u64;
    let (pairs, rest) = bytes.as_chunks::<16>();
    for pair in pairs {
        let both = u128::from_le_bytes(*pair);
        hash = mixed(hash ^ both as u64, SECRETS[0] ^ (both >> 64) as u64);
    }
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    let both = u128::from_le_bytes(last);
    mixed(mixed(hash ^ both as u64, SECRETS[1] ^ (both >> 64) as u64), SECRETS[3])
}

#[inline]
fn mixed(one: u64, other: u64) -> u64 {
    let product = u128::from(one ^ LEFT) * u128::from(other ^ RIGHT);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{Meaning, fields};

    fn meaning(value: &str) -> Meaning {
        let mut found = None;
        let body = format!("{{\"a\":{value}}}");
        fields(&body, "alerts", |_, _, meaning| found = Some(meaning)).expect("JSON");
        found.expect("one field")
    }

    #[test]
    fn spelling_makes_no_difference_and_meaning_does() {
        for (one, other) in [
            (r#"{"a":1,"b":[1,"x"]}"#, r#" { "b" : [ 1 , "\u0078" ], "a" : 1 } "#),
            ("1", "1.0"),
            ("1200", "1.2e3"),
            ("\"/\"", "\"\\/\""),
            ("-0.5", "-5e-1"),
        ] {
            assert_eq!(meaning(one), meaning(other), "{one} {other}");
        }
        let all = [
            "null",
            "true",
            "\"true\"",
            "\"null\"",
            "1",
            "\"1\"",
            "[]",
            "{}",
            "\"\"",
            "[[]]",
            "[1,2]",
            "[2,1]",
            "[{}]",
            r#"{"a":null}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            "[null]",
            "1.5",
            "-1",
            "0",
            "\"\\u0000\"",
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(meaning(one).hash, meaning(other).hash, "{one} {other}");
            }
        }
        assert!(meaning(r#"[{"a":"unknownFutureValue"}]"#).hidden && !meaning("\"known\"").hidden);
        let of = |body: &str| {
            let mut found = Vec::new();
            fields(body, "alerts", |_, _, meaning| found.push(meaning.hash)).map(|()| found)
        };
        assert_eq!(of(r#"{"alerts":[1,2]}"#), of(r#"{"alerts":[2,1]}"#));
        assert_ne!(of(r#"{"evidence":[1,2]}"#), of(r#"{"evidence":[2,1]}"#));
        for torn in ["", "[]", "{", "{\"a\"", "{\"a\":1", "{\"a\":[1}", "{\"a\":1}x", "{\"a\":\"", "{1:2}"] {
            assert!(of(torn).is_err(), "{torn}");
        }
        assert!(of(&format!("{{\"a\":{}", "[".repeat(100_000))).is_err());
    }

    /// These numbers are stored. Whoever changes them changes the version of what they are stored in.
    #[test]
    fn the_numbers_stay_what_they_are() {
        let text = meaning(r#"{"a":[1.5,"long enough for two steps of the hash",null]}"#);
        assert_eq!(text.hash, 4_355_077_826_608_502_240);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::hash_map("[a-z\"\\\\]*", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn is_the_same_for_equal_values_only(one in value(), other in value()) {
            let pretty = serde_json::to_string_pretty(&one).expect("JSON");
            prop_assert_eq!(meaning(&one.to_string()), meaning(&pretty));
            let same = meaning(&one.to_string()).hash == meaning(&other.to_string()).hash;
            prop_assert_eq!(same, one == other);
        }

        #[test]
        fn takes_what_a_real_parser_takes(body in ".{0,60}|[\\[\\]{}:,\"\\\\0-9.eE+u a-]{0,30}") {
            for body in [format!("{{\"a\":{body}}}"), body] {
                let taken = fields(&body, "a", |_, _, _| ()).is_ok();
                let is_object = matches!(serde_json::from_str(&body), Ok(Value::Object(_)));
                prop_assert!(taken || !is_object, "{}", body);
            }
        }
    }
}
