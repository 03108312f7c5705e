//! How many records the service says it has. This is a hint where to look, and nothing that is believed.

use jiff::Timestamp;
use muster_model::{PageQuery, Source, json};

use super::declaration::Rung;
use super::plan::{Target, path_and_query};

/// More than this in one answer is no count but nonsense.
const COUNT_MAX: u64 = 100_000_000;

/// Where the service says how many records were updated from `from` until `to`; `None` where it does not count.
#[must_use]
pub fn count(source: Source, from: Timestamp, to: Timestamp) -> Option<Target> {
    let declaration = super::declaration(source);
    let query = PageQuery { from, to: Some(to), slice: Vec::new(), skip: 0, single: false, link: None };
    let path = path_and_query(declaration, &query, 1, false, Rung::Plain);
    declaration.counts.then(|| Target::Path(format!("{path}&$count=true")))
}

/// The count in an answer; `None` where there is none, or it cannot be one.
#[must_use]
pub fn read_count(body: &[u8]) -> Option<u64> {
    let body = std::str::from_utf8(body).ok()?;
    let body = body.trim_start_matches('\u{feff}');
    let mut counts = Vec::new();
    json::skim::fields(body, |key, value| {
        if key == "@odata.count" {
            counts.push(value.parse::<u64>().ok());
        }
    })
    .ok()?;
    match counts[..] {
        [count] => count.filter(|count| *count <= COUNT_MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_asked_for_with_one_record() {
        let at = |text: &str| text.parse().expect("a time");
        let target = count(Source::GraphIncidents, at("2026-11-01T10:00:00Z"), at("2026-11-01T11:00:00Z"));
        let expected = "/v1.0/security/incidents?$filter=lastUpdateDateTime%20ge%202026-11-01T10:00:00Z%20and%20\
                        lastUpdateDateTime%20lt%202026-11-01T11:00:00Z&$top=1&$count=true";
        assert_eq!(target, Some(Target::Path(expected.to_owned())));
    }

    #[test]
    fn only_a_count_is_taken_for_one() {
        assert_eq!(read_count(br#"{"@odata.count":12,"value":[{"id":"1"}]}"#), Some(12));
        assert_eq!(read_count(b"\xef\xbb\xbf{\"@odata.count\": 0 }"), Some(0));
        for nonsense in [
            r#"{"value":[]}"#,
            r#"{"@odata.count":-1}"#,
            r#"{"@odata.count":"12"}"#,
            r#"{"@odata.count":1.5}"#,
            r#"{"@odata.count":99999999999}"#,
            r#"{"@odata.count":99999999999999999999999}"#,
            r#"{"@odata.count":null}"#,
            r#"{"@odata.count":1,"@odata.count":2}"#,
            r#"{"@odata.count":1"#,
            "<html>",
            "",
        ] {
            assert_eq!(read_count(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
