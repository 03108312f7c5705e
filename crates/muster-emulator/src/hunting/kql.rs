//! The part of KQL that is understood: a table or `range`, and behind it `where` (also with `datetime(…)`), `project`,
//! `extend`, `take`, `limit` and `count`. Whatever else there is gets the error that Microsoft gives for what it does not know.

use serde_json::Value;

use super::rows::{Column, Kind, Row, Rows};
use crate::world::ticks::{TICKS_PER_MILLISECOND, TICKS_PER_SECOND, Ticks};

/// The most rows that an answer holds.
pub(super) const ROWS_MAX: usize = 100_000;

const SYNTAX: &str = "A recognition error occurred in the query. Fix syntax errors in your query.";

fn semantic(what: &str) -> String {
    format!("{what}. Fix semantic errors in your query.")
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Literal(Value),
    /// `datetime(…)`.
    Time(Ticks),
    Sign(&'static str),
}

const SIGNS: [&str; 16] =
    ["==", "!=", "=~", ">=", "<=", "=", ">", "<", "|", ",", "(", ")", ";", "-", "+", "*"];

/// Answers a query; `table` gives the tables by name.
///
/// # Errors
/// In Microsoft's words.
pub(super) fn answer(text: &str, table: impl Fn(&str) -> Option<Rows>) -> Result<Rows, String> {
    let mut tokens = tokens(text)?;
    while tokens.last() == Some(&Token::Sign(";")) {
        tokens.pop();
    }
    let mut stages = tokens.split(|token| *token == Token::Sign("|"));
    let mut rows = match stages.next() {
        Some([Token::Word(name)]) => table(name).ok_or_else(|| {
            semantic(&format!("Failed to resolve table or column expression named '{name}'"))
        })?,
        Some([Token::Word(word), rest @ ..]) if word == "range" => range(rest)?,
        _ => return Err(SYNTAX.to_owned()),
    };
    for stage in stages {
        let [Token::Word(operator), rest @ ..] = stage else { return Err(SYNTAX.to_owned()) };
        match (operator.as_str(), rest) {
            ("take" | "limit", [Token::Literal(Value::Number(most))]) => {
                let most = most.as_u64().ok_or(SYNTAX)?;
                rows.rows.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            }
            ("count", []) => {
                let columns = vec![Column { name: "Count".to_owned(), kind: Kind::Long }];
                rows = Rows { columns, rows: vec![vec![Value::from(rows.rows.len())]] };
            }
            ("project", rest) => project(&mut rows, rest)?,
            ("where", rest) => filter(&mut rows, rest)?,
            ("extend", rest) => extend(&mut rows, rest)?,
            _ => return Err(SYNTAX.to_owned()),
        }
    }
    rows.rows.truncate(ROWS_MAX);
    Ok(rows)
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if first == '"' || first == '\'' {
            let (literal, after) = string(&rest[1..], first)?;
            tokens.push(Token::Literal(Value::String(literal)));
            rest = after;
        } else if first.is_ascii_digit() {
            let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
            tokens.push(Token::Literal(rest[..end].parse::<i64>().map_err(|_| SYNTAX)?.into()));
            rest = &rest[end..];
        } else if first.is_ascii_alphabetic() || first == '_' {
            let inside = |character: char| character.is_ascii_alphanumeric() || character == '_';
            let end = rest.find(|character| !inside(character)).unwrap_or(rest.len());
            if let ("datetime", Some(inside)) = (&rest[..end], rest[end..].strip_prefix('(')) {
                let (time, after) = inside.split_once(')').ok_or(SYNTAX)?;
                tokens.push(Token::Time(Ticks::parse(time.trim()).ok_or(SYNTAX)?));
                rest = after.trim_start();
                continue;
            }
            tokens.push(match &rest[..end] {
                "true" => Token::Literal(true.into()),
                "false" => Token::Literal(false.into()),
                word => Token::Word(word.to_owned()),
            });
            rest = &rest[end..];
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign)).ok_or(SYNTAX)?;
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// A string after its opening quote, with what stands behind it.
fn string(text: &str, quote: char) -> Result<(String, &str), String> {
    let (mut literal, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => literal.push(match letters.next().ok_or(SYNTAX)?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            letter if letter == quote => return Ok((literal, &text[at + 1..])),
            '\n' => break,
            letter => literal.push(letter),
        }
    }
    Err(SYNTAX.to_owned())
}

/// `range x from 1 to 10 step 1`.
fn range(rest: &[Token]) -> Result<Rows, String> {
    use Token::{Literal, Word};
    let [Word(name), Word(from), Literal(first), Word(to), Literal(last), Word(step), Literal(by)] = rest
    else {
        return Err(SYNTAX.to_owned());
    };
    let number = |value: &Value| value.as_i64().ok_or_else(|| SYNTAX.to_owned());
    let (first, last, by) = (number(first)?, number(last)?, number(by)?);
    if (from.as_str(), to.as_str(), step.as_str()) != ("from", "to", "step") || by < 1 {
        return Err(SYNTAX.to_owned());
    }
    let by = usize::try_from(by).unwrap_or(usize::MAX);
    let rows = (first..=last).step_by(by).take(10 * ROWS_MAX).map(|number| vec![number.into()]).collect();
    Ok(Rows { columns: vec![Column { name: name.clone(), kind: Kind::Long }], rows })
}

fn project(rows: &mut Rows, rest: &[Token]) -> Result<(), String> {
    let mut places = Vec::new();
    for part in rest.split(|token| *token == Token::Sign(",")) {
        let (name, column) = match part {
            [Token::Word(column)] => (column, column),
            [Token::Word(name), Token::Sign("="), Token::Word(column)] => (name, column),
            _ => return Err(SYNTAX.to_owned()),
        };
        places.push((name.clone(), resolve(rows, "project", column)?));
    }
    let kind = |place: usize| rows.columns[place].kind;
    let columns =
        places.iter().map(|(name, place)| Column { name: name.clone(), kind: kind(*place) }).collect();
    for row in &mut rows.rows {
        *row = places.iter().map(|(_, place)| row[*place].clone()).collect();
    }
    rows.columns = columns;
    Ok(())
}

fn resolve(rows: &Rows, operator: &str, column: &str) -> Result<usize, String> {
    rows.place(column).ok_or_else(|| {
        semantic(&format!(
            "'{operator}' operator: Failed to resolve column or scalar expression named '{column}'"
        ))
    })
}

/// `where A == "x" and B != 7`.
fn filter(rows: &mut Rows, rest: &[Token]) -> Result<(), String> {
    for part in rest.split(|token| matches!(token, Token::Word(word) if word == "and")) {
        if let [Token::Word(column), Token::Sign(sign), Token::Time(bound)] = part {
            let place = resolve(rows, "where", column)?;
            let fits: fn(&Ticks, &Ticks) -> bool = match *sign {
                ">=" => |time, bound| time >= bound,
                ">" => |time, bound| time > bound,
                "<=" => |time, bound| time <= bound,
                "<" => |time, bound| time < bound,
                "==" => |time, bound| time == bound,
                _ => return Err(SYNTAX.to_owned()),
            };
            let time = |row: &Row| row[place].as_str().and_then(Ticks::parse);
            rows.rows.retain(|row| time(row).is_some_and(|time| fits(&time, bound)));
            continue;
        }
        let (column, operator, wanted) = match part {
            [Token::Word(column), Token::Sign(sign), Token::Literal(wanted)] => (column, *sign, wanted),
            [Token::Word(column), Token::Word(word), Token::Literal(wanted)] => {
                (column, word.as_str(), wanted)
            }
            _ => return Err(SYNTAX.to_owned()),
        };
        let place = resolve(rows, "where", column)?;
        let lower = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
        let fits: Box<dyn Fn(&Value) -> bool> = match (operator, wanted) {
            ("==", wanted) => Box::new(move |value| value == wanted),
            ("!=", wanted) => Box::new(move |value| value != wanted),
            ("=~", Value::String(_)) => Box::new(move |value| lower(value) == lower(wanted)),
            ("contains", Value::String(_)) => Box::new(move |value| lower(value).contains(&lower(wanted))),
            _ => return Err(SYNTAX.to_owned()),
        };
        rows.rows.retain(|row| fits(&row[place]));
    }
    Ok(())
}

/// `extend Name = "x"`, `extend Name = strrep("x", 100)` and `extend Name = datetime(2026-11-01) + Other * 1s`.
fn extend(rows: &mut Rows, rest: &[Token]) -> Result<(), String> {
    use Token::{Literal, Sign, Time, Word};
    if let [
        Word(name),
        Sign("="),
        Time(start),
        Sign("+"),
        Word(column),
        Sign("*"),
        Literal(Value::Number(count)),
        Word(unit),
    ] = rest
    {
        let place = resolve(rows, "extend", column)?;
        let ticks = match unit.as_str() {
            "s" => TICKS_PER_SECOND,
            "ms" => TICKS_PER_MILLISECOND,
            _ => return Err(SYNTAX.to_owned()),
        };
        let step = ticks.saturating_mul(count.as_i64().ok_or(SYNTAX)?);
        rows.columns.push(Column { name: name.clone(), kind: Kind::DateTime });
        for row in &mut rows.rows {
            let mut time = String::new();
            let after = row[place].as_i64().unwrap_or_default().saturating_mul(step);
            Ticks(start.0.saturating_add(after)).push_to(&mut time);
            row.push(time.into());
        }
        return Ok(());
    }
    let (name, value) = match rest {
        [Word(name), Sign("="), Literal(value)] => (name, value.clone()),
        [
            Word(name),
            Sign("="),
            Word(function),
            Sign("("),
            Literal(Value::String(text)),
            Sign(","),
            Literal(Value::Number(times)),
            Sign(")"),
        ] if function == "strrep" => {
            let times = usize::try_from(times.as_u64().ok_or(SYNTAX)?).unwrap_or(usize::MAX);
            // As in Kusto: at most 1,024 times.
            (name, Value::String(text.repeat(times.min(1_024))))
        }
        _ => return Err(SYNTAX.to_owned()),
    };
    let kind = match value {
        Value::String(_) => Kind::Text,
        Value::Bool(_) => Kind::Bool,
        _ => Kind::Long,
    };
    rows.columns.push(Column { name: name.clone(), kind });
    rows.rows.iter_mut().for_each(|row| row.push(value.clone()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(text: &str) -> Result<Vec<Vec<Value>>, String> {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let things = Rows {
            columns: vec![column("Name", Kind::Text), column("Size", Kind::Long), column("Is", Kind::Bool)],
            rows: vec![
                vec![json!("cmd.exe"), json!(1), json!(true)],
                vec![json!("a|b \"c\""), json!(2), json!(false)],
                vec![json!("CMD.EXE"), json!(2), Value::Null],
            ],
        };
        answer(text, |name| (name == "Things").then(|| things.clone())).map(|rows| rows.rows)
    }

    #[test]
    fn what_is_understood_is_answered() {
        let names = |text: &str| -> Vec<String> {
            ask(text).unwrap().iter().map(|row| row[0].as_str().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(names("Things").len(), 3);
        assert_eq!(names("Things | take 2"), ["cmd.exe", "a|b \"c\""]);
        assert_eq!(
            names("Things\n| where Name == \"a|b \\\"c\\\"\" // a comment\n| limit 9;"),
            ["a|b \"c\""]
        );
        assert_eq!(names("Things | where Name =~ 'cmd.exe' and Size != 1"), ["CMD.EXE"]);
        assert_eq!(names("Things | where Is == true"), ["cmd.exe"]);
        assert_eq!(names("Things | where Name contains 'MD'").len(), 2);
        assert_eq!(ask("Things | project Of = Size, Name | take 1").unwrap(), [[json!(1), json!("cmd.exe")]]);
        assert_eq!(ask("Things | count").unwrap(), [[json!(3)]]);
        let rows = ask("range x from 1 to 3 step 1 | extend T = strrep('ab', 2)").unwrap();
        assert_eq!(rows[2], [json!(3), json!("abab")]);
        let times = "range x from 1 to 9 step 1 | extend T = datetime(2026-11-01) + x * 1s";
        let some = format!(
            "{times} | where T >= datetime(2026-11-01T00:00:03Z) and T < datetime(2026-11-01T00:00:06.5Z)"
        );
        let rows = ask(&some).unwrap();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0], [json!(3), json!("2026-11-01T00:00:03.0000000Z")]);
        assert_eq!(ask("range x from 1 to 200000 step 1").unwrap().len(), ROWS_MAX);
    }

    #[test]
    fn what_is_not_gets_an_error_in_microsofts_words() {
        for (text, words) in [
            ("Nothing | take 1", "named 'Nothing'"),
            ("Things | where Colour == 'x'", "'where' operator: Failed to resolve column"),
            ("Things | project Colour", "'project' operator"),
            ("Things | summarize count() by Name", "Fix syntax errors"),
            ("Things | where Name == 'open", "Fix syntax errors"),
            ("Things | take", "Fix syntax errors"),
            ("", "Fix syntax errors"),
            ("Things | ", "Fix syntax errors"),
            ("Things ~ 7", "Fix syntax errors"),
        ] {
            let error = ask(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
