//! One pass over a JSON value that checks it and shows the fields of the outermost object, as written. It takes what
//! `serde_json` takes, down to [`DEPTH_MAX`] levels. Strings are passed at memory speed, nothing is copied, nothing
//! recurses.

use std::ops::Range;

use super::scan::string_end;
use super::{DEPTH_MAX, Error};

/// Calls `on_field` with the key (as written, without its quotes) and the value (as written) of each field of the
/// outermost object, in order, and returns the greatest depth of nesting (1 for a flat object, 0 for a scalar).
///
/// # Errors
/// When `body` is not one JSON value. Fields may have been shown before that was found out.
pub fn fields<'a>(body: &'a str, mut on_field: impl FnMut(&'a str, &'a str)) -> Result<usize, Error> {
    let part = |range: Range<usize>| body.get(range).unwrap_or_default();
    let bytes = body.as_bytes();
    let skimmed = value(bytes, blank(bytes, 0), |key, value| on_field(part(key), part(value)))?;
    match blank(bytes, skimmed.end) {
        end if end == bytes.len() => Ok(skimmed.depth),
        at => Err(Error::Malformed { at }),
    }
}

/// What one pass over a value tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skimmed {
    /// Where it ends.
    pub end: usize,
    /// The greatest depth of nesting.
    pub depth: usize,
}

/// Checks the value that begins at `start`, and calls `on_field` with where each key of the outermost object stands,
/// without its quotes, and where its value does.
///
/// # Errors
/// When no whole JSON value begins there. The bytes need not be UTF-8.
pub fn value(
    bytes: &[u8],
    start: usize,
    mut on_field: impl FnMut(Range<usize>, Range<usize>),
) -> Result<Skimmed, Error> {
    let (mut open, mut depth, mut at) = (Open::default(), 0, start);
    let (mut field, mut field_value) = (0..0, 0);
    'value: loop {
        match bytes.get(at) {
            Some(b'"') => at = string(bytes, at)? + 1,
            Some(opening @ (b'{' | b'[')) => {
                let is_object = *opening == b'{';
                open.push(is_object)?;
                depth = depth.max(open.depth);
                at = blank(bytes, at + 1);
                if bytes.get(at) == Some(&if is_object { b'}' } else { b']' }) {
                    open.depth -= 1;
                    at += 1;
                } else {
                    if is_object {
                        let (key, value) = key(bytes, at)?;
                        if open.depth == 1 {
                            (field, field_value) = (key, value);
                        }
                        at = value;
                    }
                    continue 'value;
                }
            }
            _ => at = word(bytes, at)?,
        }
        // A value has ended: what is around it goes on, or ends with it.
        loop {
            if open.depth == 0 {
                return Ok(Skimmed { end: at, depth });
            }
            let is_object = open.is_object();
            if open.depth == 1 && is_object {
                on_field(field.clone(), field_value..at);
            }
            at = blank(bytes, at);
            match bytes.get(at) {
                Some(b',') => {
                    at = blank(bytes, at + 1);
                    if is_object {
                        let (key, value) = key(bytes, at)?;
                        if open.depth == 1 {
                            (field, field_value) = (key, value);
                        }
                        at = value;
                    }
                    continue 'value;
                }
                Some(b'}') if is_object => {}
                Some(b']') if !is_object => {}
                _ => return Err(Error::Malformed { at }),
            }
            open.depth -= 1;
            at += 1;
        }
    }
}

/// Where the value that begins at `at` ends for a reader that knows strings and brackets only: at the comma or bracket
/// that follows it. `None` when nothing follows.
#[must_use]
pub fn loose_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut open = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at + 1)?.0,
            b'{' | b'[' => open += 1,
            b'}' | b']' | b',' if open == 0 => return Some(at),
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// How deep a text nests, for a reader that knows strings and brackets only.
#[must_use]
pub fn depth(bytes: &[u8]) -> usize {
    let (mut at, mut open, mut depth) = (0, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at + 1).map_or(bytes.len(), |(end, _)| end),
            b'{' | b'[' => {
                open += 1;
                depth = depth.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    depth
}

/// The first byte from `at` on that is no blank.
#[inline]
#[must_use]
pub fn blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// What is open around a place: for each level whether it is an object, the outermost in the lowest bit.
#[derive(Default)]
struct Open {
    objects: u128,
    depth: usize,
}

impl Open {
    #[inline]
    fn push(&mut self, is_object: bool) -> Result<(), Error> {
        if self.depth == DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let bit = 1 << self.depth;
        self.objects = if is_object { self.objects | bit } else { self.objects & !bit };
        self.depth += 1;
        Ok(())
    }

    #[inline]
    fn is_object(&self) -> bool {
        self.objects >> (self.depth - 1) & 1 == 1
    }
}

/// The key whose quote stands at `at`, without its quotes, and where its value begins.
#[inline]
fn key(bytes: &[u8], at: usize) -> Result<(Range<usize>, usize), Error> {
    if bytes.get(at) != Some(&b'"') {
        return Err(Error::Malformed { at });
    }
    let end = string(bytes, at)?;
    let colon = blank(bytes, end + 1);
    if bytes.get(colon) != Some(&b':') {
        return Err(Error::Malformed { at: colon });
    }
    Ok((at + 1..end, blank(bytes, colon + 1)))
}

/// Where the closing quote is of the string whose first one stands at `at`.
#[inline]
fn string(bytes: &[u8], at: usize) -> Result<usize, Error> {
    match string_end(bytes, at + 1) {
        Some((end, true)) => Ok(end),
        Some((end, false)) => check(bytes, at + 1, end).map(|()| end),
        None => Err(Error::Malformed { at }),
    }
}

/// Whether what stands between quotes has escapes only that JSON has, and no bare control character.
fn check(bytes: &[u8], mut at: usize, end: usize) -> Result<(), Error> {
    while at < end {
        at += match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => 2,
            (b'\\', Some(b'u'))
                if bytes
                    .get(at + 2..at + 6)
                    .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
            {
                6
            }
            (b'\\' | 0..0x20, _) => return Err(Error::Malformed { at }),
            _ => 1,
        };
    }
    Ok(())
}

/// Where the number, boolean or null ends that begins at `at`.
fn word(bytes: &[u8], at: usize) -> Result<usize, Error> {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = match rest.first() {
        Some(b't') if rest.starts_with(b"true") => 4,
        Some(b'f') if rest.starts_with(b"false") => 5,
        Some(b'n') if rest.starts_with(b"null") => 4,
        Some(b'-' | b'0'..=b'9') => return number(bytes, at),
        _ => return Err(Error::Malformed { at }),
    };
    Ok(at + length)
}

fn number(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let digits = |at: usize| {
        at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let some_digits = |at: usize| match digits(at) {
        end if end > at => Ok(end),
        _ => Err(Error::Malformed { at }),
    };
    let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { some_digits(at)? };
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = some_digits(at + 1 + sign)?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::{Error, fields, loose_end};

    type Fields<'a> = Vec<(&'a str, &'a str)>;

    fn found(body: &str) -> Result<(Fields<'_>, usize), Error> {
        let mut found = Vec::new();
        let depth = fields(body, |key, value| found.push((key, value)))?;
        Ok((found, depth))
    }

    #[test]
    fn finds_the_outermost_fields_only() {
        let (fields, depth) =
            found(r#" { "a" : 1 , "b":{"id":"inner","c":[{"d":"}"}]},"id":"o\"uter" } "#).expect("JSON");
        assert_eq!(fields, [("a", "1"), ("b", r#"{"id":"inner","c":[{"d":"}"}]}"#), ("id", r#""o\"uter""#)]);
        assert_eq!(depth, 4);
        assert_eq!(found("{}"), Ok((vec![], 1)));
        assert_eq!(found("[1,2]"), Ok((vec![], 1)));
        assert_eq!(found("7"), Ok((vec![], 0)));
    }

    #[test]
    fn deep_texts_are_refused_without_recursion() {
        for deep in ["[".repeat(200_000), "{\"a\":".repeat(200_000), "[{\"a\":".repeat(100_000)] {
            assert_eq!(found(&deep), Err(Error::TooDeep));
        }
        let most = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert_eq!(found(&most), Ok((vec![], 128)));
        assert_eq!(loose_end("[".repeat(200_000).as_bytes(), 0), None);
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                proptest::collection::hash_map("[a-z\"\\\\\u{0}:,]*", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn depth_of(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
            serde_json::Value::Object(map) => 1 + map.values().map(depth_of).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_real_parser(value in value(), pretty in any::<bool>()) {
            let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let body = body.expect("a value can be written");
            let (fields, depth) = found(&body).expect("JSON");
            prop_assert_eq!(depth, depth_of(&value));
            if let serde_json::Value::Object(map) = &value {
                prop_assert_eq!(fields.len(), map.len());
                for (key, raw) in fields {
                    let key: String = serde_json::from_str(&format!("\"{key}\"")).expect("a key");
                    let parsed: serde_json::Value = serde_json::from_str(raw).expect("a value");
                    prop_assert_eq!(&parsed, &map[&key]);
                }
            }
        }

        /// One character is changed, taken out or put in: both take it, or both refuse it.
        #[test]
        fn refuses_what_a_real_parser_refuses(
            value in value(), at in any::<prop::sample::Index>(), new in "[\\[\\]{}:,\"\\\\0-9.eE+u\u{1}\n a-]?", cut in 0..2_usize,
        ) {
            let mut body: Vec<char> = value.to_string().chars().collect();
            let at = at.index(body.len());
            body.splice(at..at + cut, new.chars());
            let body: String = body.into_iter().collect();
            prop_assert_eq!(found(&body).is_ok(), serde_json::from_str::<&RawValue>(&body).is_ok(), "{}", body);
        }

        #[test]
        fn takes_what_a_real_parser_takes(body in "[\\[\\]{}:,\"\\\\0-9.eE+ntu\u{1} -]{0,12}|-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?") {
            prop_assert_eq!(found(&body).is_ok(), serde_json::from_str::<&RawValue>(&body).is_ok(), "{}", body);
        }
    }
}
