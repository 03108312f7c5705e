//! A single pass over JSON that is already known to be valid: the fields of the outermost object, and how deep it
//! nests. Strings are skipped at memory speed, nothing is copied, nothing recurses.
//!
//! This is not a validator. Hand it only what a JSON parser has accepted, such as a `serde_json` raw value; on other
//! input the answer is useless, but nothing worse happens.

use std::borrow::Cow;

/// Calls `on_field` with the key (as written, without its quotes) and the value (as written) of each field of the
/// outermost object, in order, and returns the greatest depth of nesting (1 for a flat object, 0 for a scalar).
pub fn scan_fields<'a>(body: &'a str, mut on_field: impl FnMut(&'a str, &'a str)) -> usize {
    let bytes = body.as_bytes();
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut field: Option<(&str, usize)> = None;
    let is_object = body.trim_ascii_start().starts_with('{');
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at + 1);
                if is_object && depth == 1 && field.is_none() {
                    let key = body.get(at + 1..end).unwrap_or_default();
                    let Some(colon) = memchr::memchr(b':', bytes.get(end..).unwrap_or_default()) else {
                        break;
                    };
                    at = end + colon + 1;
                    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
                        at += 1;
                    }
                    field = Some((key, at));
                    continue;
                }
                at = end;
            }
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            closing @ (b'}' | b']' | b',') => {
                if depth == 1
                    && let Some((key, start)) = field.take()
                {
                    on_field(key, body.get(start..at).unwrap_or_default().trim_ascii_end());
                }
                if closing != b',' {
                    depth = depth.saturating_sub(1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// The index of the quote that ends the string whose first character is at `start`, or the end of the text.
fn string_end(bytes: &[u8], mut start: usize) -> usize {
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(start..).unwrap_or_default()) {
        let at = start + found;
        if bytes[at] == b'"' {
            return at;
        }
        start = at + 2;
    }
    bytes.len()
}

/// The text of a JSON value that is a string or a number; `None` for anything else, `null` included.
#[must_use]
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => {
            let inner = value.get(1..value.len().checked_sub(1)?)?;
            if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
                return Some(Cow::Borrowed(inner));
            }
            serde_json::from_str(value).ok().map(Cow::Owned)
        }
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{scan_fields, text};

    fn fields(body: &str) -> (Vec<(&str, &str)>, usize) {
        let mut found = Vec::new();
        let depth = scan_fields(body, |key, value| found.push((key, value)));
        (found, depth)
    }

    #[test]
    fn finds_the_outermost_fields_only() {
        let (found, depth) = fields(r#" { "a" : 1 , "b":{"id":"inner","c":[{"d":"}"}]},"id":"o\"uter" } "#);
        assert_eq!(found, [("a", "1"), ("b", r#"{"id":"inner","c":[{"d":"}"}]}"#), ("id", r#""o\"uter""#)]);
        assert_eq!(depth, 4);
        assert_eq!(fields("{}"), (vec![], 1));
        assert_eq!(fields("[1,2]"), (vec![], 1));
        assert_eq!(fields("7"), (vec![], 0));
    }

    #[test]
    fn text_of_strings_and_numbers() {
        assert_eq!(text(r#""a\nb""#).as_deref(), Some("a\nb"));
        assert_eq!(text("12").as_deref(), Some("12"));
        assert_eq!(text("null"), None);
        assert_eq!(text(r#""\ud800""#), None);
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
            let (found, depth) = fields(&body);
            prop_assert_eq!(depth, depth_of(&value));
            if let serde_json::Value::Object(map) = &value {
                prop_assert_eq!(found.len(), map.len());
                for (key, raw) in found {
                    let key: String = serde_json::from_str(&format!("\"{key}\"")).expect("a key");
                    let parsed: serde_json::Value = serde_json::from_str(raw).expect("a value");
                    prop_assert_eq!(&parsed, &map[&key]);
                }
            }
        }

        #[test]
        fn never_panics(body in ".*") {
            fields(&body);
        }
    }
}
