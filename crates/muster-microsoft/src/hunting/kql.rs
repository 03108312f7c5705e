//! As much of KQL's grammar as it takes to put a stage behind a query and to see what the last of its stages do. What a
//! query means, Microsoft says.
//!
//! Source: Microsoft "Kusto Query Language": string literals, comments, query statements.

/// What is seen of a query without understanding it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline<'q> {
    /// The query without blanks, comments and semicolons at its end.
    pub(super) text: &'q str,
    /// The first word of each stage of its last statement: the table, and then the operators.
    pub(super) stages: Vec<&'q str>,
    /// The first function in it that goes by the time at which it is asked: `ago` or `now`.
    pub(super) clock: Option<&'q str>,
}

impl<'q> Outline<'q> {
    pub(super) fn of(query: &'q str) -> Self {
        let bytes = query.as_bytes();
        let (mut at, mut depth, mut end) = (0, 0_i32, 0);
        let mut stages = Vec::new();
        let (mut clock, mut word) = (None, "");
        // Whether a stage has begun whose first word has not been seen yet.
        let (mut awaited, mut after_semicolon) = (true, false);
        while let Some(&byte) = bytes.get(at) {
            let next = token_end(query, at);
            let token = &query[at..next];
            at = next;
            if byte.is_ascii_whitespace() || token.starts_with("//") {
                continue;
            }
            if token == ";" && depth == 0 {
                after_semicolon = true;
                continue;
            }
            if std::mem::take(&mut after_semicolon) {
                stages.clear();
                awaited = true;
            }
            end = next;
            if token == "(" && ["ago", "now"].contains(&word) {
                clock = clock.or(Some(word));
            }
            word = token;
            match token {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                "|" if depth == 0 => {
                    awaited = true;
                    continue;
                }
                _ => {}
            }
            if std::mem::take(&mut awaited) {
                stages.push(token);
            }
        }
        Self { text: &query[..end], stages, clock }
    }
}

/// Where the token ends that begins at `at`: a run of blanks, a comment, a string, a word, or one sign.
fn token_end(query: &str, at: usize) -> usize {
    let rest = &query[at..];
    let bytes = rest.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$');
    let length = match bytes[0] {
        byte if byte.is_ascii_whitespace() => {
            bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
        }
        b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        b'`' if rest.starts_with("```") => rest[3..].find("```").map_or(rest.len(), |end| end + 6),
        b'~' if rest.starts_with("~~~") => rest[3..].find("~~~").map_or(rest.len(), |end| end + 6),
        b'@' if matches!(bytes.get(1), Some(b'"' | b'\'')) => 1 + verbatim_end(&bytes[1..]),
        b'"' | b'\'' => string_end(bytes),
        // `h"…"` and `H'…'` hide a string in logs.
        b'h' | b'H' if matches!(bytes.get(1), Some(b'"' | b'\'')) => 1 + string_end(&bytes[1..]),
        byte if byte.is_ascii_alphabetic() || byte == b'_' => {
            bytes.iter().take_while(|byte| is_word(byte)).count()
        }
        _ => rest.chars().next().map_or(1, char::len_utf8),
    };
    at + length
}

/// The length of a string with escapes; one that is not closed ends with its line.
fn string_end(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\n' => return at,
            byte if byte == bytes[0] => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a string in which a doubled quote stands for one.
fn verbatim_end(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match (byte == bytes[0], bytes.get(at + 1) == Some(&bytes[0])) {
            (true, true) => at += 2,
            (true, false) => return at + 1,
            (false, _) => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Outline;

    #[test]
    fn the_stages_of_the_last_statement_are_seen() {
        for (query, stages) in [
            ("DeviceEvents", vec!["DeviceEvents"]),
            ("DeviceEvents | where A == '|take 5' | take 5", vec!["DeviceEvents", "where", "take"]),
            ("let x = T | take 1; DeviceEvents\n| project A;", vec!["DeviceEvents", "project"]),
            ("T | join kind=inner (U | top 1 by A) on B // | take 3", vec!["T", "join"]),
            ("T | where A == @'it''s | x' and B == \"a\\\"|b\"", vec!["T", "where"]),
            ("T | where A == ```\n| take 1\n``` | extend B = 1", vec!["T", "where", "extend"]),
            ("union T, (U | limit 3)\n| order by Timestamp", vec!["union", "order"]),
            ("T | sample-distinct 3 of A", vec!["T", "sample-distinct"]),
            ("", vec![]),
            (" // nothing", vec![]),
        ] {
            assert_eq!(Outline::of(query).stages, stages, "{query}");
        }
    }

    #[test]
    fn what_goes_by_the_clock_is_seen() {
        for (query, clock) in [
            ("T | where Timestamp > ago(1h)", Some("ago")),
            ("let since = now ( -1d );\nT | where Timestamp > since", Some("now")),
            ("T | where Note == 'ago(1h)' // now()", None),
            ("T | extend ago = 1 | where ago > 2 and sago(3)", None),
        ] {
            assert_eq!(Outline::of(query).clock, clock, "{query}");
        }
    }

    #[test]
    fn what_stands_behind_the_end_is_left_off() {
        for (query, text) in [
            ("T | take 5 ; // done\n;\n", "T | take 5"),
            ("T // 'x\n| where A // end", "T // 'x\n| where A"),
            ("T | where Url == 'http://x'", "T | where Url == 'http://x'"),
            ("let a = 1;\nT;", "let a = 1;\nT"),
        ] {
            assert_eq!(Outline::of(query).text, text, "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(query in "[a-z|;'\"@`~/\\\\(){}\\[\\]\n ä-]{0,60}") {
            let outline = Outline::of(&query);
            prop_assert!(query.starts_with(outline.text));
            prop_assert_eq!(Outline::of(outline.text).stages.len(), outline.stages.len());
        }
    }
}
