//! A cell's JSON as each output wants it. Attackers write file names and command lines: whatever a cell holds, it is data
//! for a terminal, for a spreadsheet and for a program.

use muster_model::json;
use muster_model::text::{is_harmful, plain};

/// The longest cell of a table.
const SHOWN_MAX: usize = 200;

/// Adds a JSON value in one line: equal as JSON, without blanks between its parts, and with characters that could harm a terminal
/// as `\u` escapes.
pub(super) fn push_json(text: &mut String, value: &str) {
    let (mut inside, mut escaped) = (false, false);
    for character in value.chars() {
        if !inside {
            inside = character == '"';
            if !character.is_ascii_whitespace() {
                text.push(character);
            }
            continue;
        }
        match character {
            '"' if !escaped => inside = false,
            harmful if is_harmful(harmful) => {
                push_escaped(text, harmful);
                escaped = false;
                continue;
            }
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        text.push(character);
    }
}

fn push_escaped(text: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        text.push_str(&format!("\\u{unit:04x}"));
    }
}

/// The text of a value: a string decoded, nothing for null, anything else as JSON.
pub(super) fn decoded(value: &str) -> String {
    match value.as_bytes().first() {
        Some(b'"') => {
            let inside = value.get(1..value.len().saturating_sub(1)).unwrap_or_default();
            json::Text::as_in_json(inside).decoded().into_owned()
        }
        Some(b'n') => String::new(),
        _ => {
            let mut text = String::with_capacity(value.len());
            push_json(&mut text, value);
            text
        }
    }
}

/// Adds a CSV cell of a JSON value. Numbers, booleans and nothing stand as they are, all else in quotes.
pub(super) fn push_csv(text: &mut String, value: &str) {
    match value.as_bytes().first() {
        Some(b'"' | b'{' | b'[') => push_csv_text(text, &decoded(value)),
        _ => text.push_str(&decoded(value)),
    }
}

/// Adds a CSV cell in quotes. What a spreadsheet would take for a formula begins with an apostrophe, and of what moves a
/// terminal's cursor only line feeds and tabs are left.
pub(super) fn push_csv_text(text: &mut String, cell: &str) {
    text.push('"');
    // Some programs drop blanks before they look; some take the wide forms, too.
    let first = cell.trim_start().chars().next().or_else(|| cell.chars().next());
    let formula = matches!(first, Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'));
    if formula || cell.starts_with(['\t', '\r', '\n']) {
        text.push('\'');
    }
    for character in cell.replace("\r\n", "\n").chars() {
        match character {
            '"' => text.push_str("\"\""),
            '\n' | '\t' => text.push(character),
            harmful if is_harmful(harmful) => text.push(char::REPLACEMENT_CHARACTER),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// A cell as a table shows it: in one line, and not too long.
pub(super) fn shown(value: &str) -> String {
    let text = decoded(value);
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(SHOWN_MAX).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    plain(&shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn csv(value: &str) -> String {
        let mut text = String::new();
        push_csv(&mut text, value);
        text
    }

    #[test]
    fn formulas_are_text() {
        for (value, cell) in [
            (r#""=HYPERLINK(\"http://evil.example\")""#, r#""'=HYPERLINK(""http://evil.example"")""#),
            (r#""+1""#, r#""'+1""#),
            (r#""-2+3""#, r#""'-2+3""#),
            (r#""@SUM(A1)""#, r#""'@SUM(A1)""#),
            (r#""  =1""#, r#""'  =1""#),
            (r#""\t=1""#, "\"'\t=1\""),
            (r#""\r=1""#, "\"'\u{fffd}=1\""),
            (r#""＝1""#, r#""'＝1""#),
            (r#""a=1""#, r#""a=1""#),
            (r#""a,b\nc""#, "\"a,b\nc\""),
            ("-7", "-7"),
            ("true", "true"),
            ("null", ""),
            (r#"{"a": [1, "=x"]}"#, r#""{""a"":[1,""=x""]}""#),
            (r#""""#, r#""""#),
        ] {
            assert_eq!(csv(value), cell, "{value}");
        }
    }

    #[test]
    fn json_is_in_one_line_and_harms_no_terminal() {
        let mut text = String::new();
        push_json(&mut text, "{ \"a b\" :\n[ 1 , \"x\\\" y\\\\\" , \"\u{9b}2J\u{202e}\u{e0041} \\u001b\" ]}");
        assert_eq!(text, r#"{"a b":[1,"x\" y\\","\u009b2J\u202e\udb40\udc41 \u001b"]}"#);
        assert_eq!(shown(r#""\u001b[2Jgone\nnext""#), "\u{fffd}[2Jgone\u{fffd}next");
        assert_eq!(shown(&format!("\"{}\"", "x".repeat(500))).chars().count(), SHOWN_MAX + 1);
    }

    proptest! {
        #[test]
        fn whatever_a_cell_holds_it_is_data(cell in "(?s).{0,60}", pretty in any::<bool>()) {
            let value = serde_json::json!({ &cell: [&cell, 1, null], "x": &cell });
            let written = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let mut text = String::new();
            push_json(&mut text, &written.expect("JSON"));
            prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
            prop_assert!(!text.chars().any(is_harmful));

            let text = csv(&serde_json::to_string(&cell).expect("JSON"));
            prop_assert!(text.chars().all(|character| !is_harmful(character) || "\n\t".contains(character)));
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("CSV");
            prop_assert!(records.len() == 1 && records[0].len() == 1, "one cell: {:?}", records);
            prop_assert!(!records[0][0].trim_start().starts_with(['=', '+', '-', '@']));
            prop_assert!(!shown(&serde_json::to_string(&cell).expect("JSON")).chars().any(is_harmful));
        }
    }
}
