//! The rows of an answer, put right by the schema that comes with them.
//!
//! Microsoft's hunting APIs write a boolean as 0 or 1, and Graph's a null as `{}`. What a cell is, the schema tells. All else
//! stays as it is written, byte for byte.

use std::ops::Range;

use muster_http::{Held, shown};
use muster_model::json::{self, Reader, skim};

use super::api::{HuntingApi, ROWS_MAX};

/// A column of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in Microsoft's words, such as `DateTime` or `SByte`.
    pub kind: String,
}

/// A cell of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    /// Its column's name as it stands in JSON, between the quotes.
    pub name: &'a str,
    /// Its value as JSON, put right.
    pub value: &'a str,
}

/// An answer that was read whole.
#[derive(Debug)]
pub struct HuntingAnswer {
    by: HuntingApi,
    body: String,
    results: Range<usize>,
    columns: Vec<Column>,
    rows: u64,
    /// Part of the answer is missing, says the service, in these words.
    pub partial: Option<String>,
    /// The id under which Microsoft's support finds the request.
    pub request_id: Option<String>,
    /// What it holds of the pool of memory.
    held: Held,
}

/// An answer that is no table of rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no table of rows ({why}); it begins with: {beginning}")]
pub struct Unreadable {
    why: String,
    beginning: String,
}

impl Unreadable {
    pub(super) fn into_parts(self) -> (String, String) {
        (self.why, self.beginning)
    }
}

impl HuntingAnswer {
    /// Reads an answer. Nothing of it is shown unless all of it can be read.
    ///
    /// # Errors
    /// When it is not JSON of the documented shape.
    pub fn read(by: HuntingApi, body: Vec<u8>, held: Held) -> Result<Self, Unreadable> {
        let beginning = shown(&String::from_utf8_lossy(&body[..body.len().min(120)]));
        let unreadable = |why: String| Unreadable { why, beginning: beginning.clone() };
        let body = String::from_utf8(body).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
        let text = body.trim_start_matches('\u{feff}');
        let start = body.len() - text.len();
        let (mut schema, mut results) = (None, None);
        let place = |value: &str| {
            let at = value.as_ptr() as usize - text.as_ptr() as usize;
            at..at + value.len()
        };
        skim::fields(text, |key, value| match key {
            "schema" | "Schema" => schema = Some(value),
            "results" | "Results" => results = Some(place(value)),
            _ => {}
        })
        .map_err(|error| unreadable(error.to_string()))?;
        let results = results.ok_or_else(|| unreadable("it has no results".to_owned()))?;
        let columns = schema.map(columns).transpose().map_err(|error| unreadable(error.to_string()))?;
        let mut rows = 0;
        let counted = Reader::new(&text[results.clone()]).items(|row| {
            rows += 1;
            match row.peek()? {
                b'{' => row.skip(),
                _ => Err(json::Error::Malformed { at: results.start }),
            }
        });
        counted.map_err(|_| unreadable(format!("row {rows} is no object")))?;
        let results = start + results.start..start + results.end;
        Ok(Self {
            by,
            results,
            columns: columns.unwrap_or_default(),
            rows,
            body,
            partial: None,
            request_id: None,
            held,
        })
    }

    pub(super) fn with(self, partial: Option<String>, request_id: Option<String>) -> Self {
        Self { partial, request_id, ..self }
    }

    /// The columns that the schema names.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there may be more rows than these: an answer that holds as many as can be had says nothing of the rest.
    #[must_use]
    pub fn may_be_cut(&self) -> bool {
        self.rows >= u64::from(ROWS_MAX)
    }

    /// What it holds of the pool of memory.
    pub(super) fn into_held(self) -> Held {
        self.held
    }

    /// Shows each row, in order, until `on_row` fails.
    ///
    /// # Errors
    /// That of `on_row`.
    pub fn each<E>(&self, mut on_row: impl FnMut(&[Cell<'_>]) -> Result<(), E>) -> Result<(), E> {
        let mut failed = Ok(());
        let mut cells: Vec<Cell<'_>> = Vec::with_capacity(self.columns.len());
        let read = Reader::new(&self.body[self.results.clone()]).items(|row| {
            cells.clear();
            row.object(|name, value| {
                let kind = self.kind_of(cells.len(), name);
                cells.push(Cell { name, value: put_right(self.by, kind, value.raw()?) });
                Ok(())
            })?;
            failed = on_row(&cells);
            match failed {
                Ok(()) => Ok(()),
                Err(_) => Err(json::Error::Malformed { at: 0 }),
            }
        });
        debug_assert!(read.is_ok() || failed.is_err(), "the answer was checked when it was read");
        failed
    }

    /// The type of a column. Most rows have theirs in the order of the schema.
    fn kind_of(&self, place: usize, name: &str) -> Option<&str> {
        let fits = |column: &&Column| match name.contains('\\') {
            false => column.name == name,
            true => column.name == json::Text::as_in_json(name).decoded(),
        };
        let here = self.columns.get(place).filter(fits);
        here.or_else(|| self.columns.iter().find(fits)).map(|column| column.kind.as_str())
    }
}

/// The columns of a schema: `name` and `type`, or `Name` and `Type`.
fn columns(schema: &str) -> Result<Vec<Column>, json::Error> {
    let mut columns = Vec::new();
    Reader::new(schema).items(|item| {
        let mut column = Column { name: String::new(), kind: String::new() };
        item.object(|key, value| {
            let text = value.text()?.decoded().into_owned();
            match key {
                "name" | "Name" => column.name = text,
                "type" | "Type" => column.kind = text,
                _ => {}
            }
            Ok(())
        })?;
        columns.push(column);
        Ok(())
    })?;
    Ok(columns)
}

/// A cell's value as it should have been written, by the type that the schema gives its column: 0 and 1 of a boolean are false
/// and true, and `{}` is null. Where no type is known, nothing is changed. An empty object in a dynamic column is null at
/// Graph, which cannot be told apart from one that is empty.
#[must_use]
pub fn put_right<'a>(by: HuntingApi, kind: Option<&str>, value: &'a str) -> &'a str {
    let Some(kind) = kind.filter(|kind| !kind.is_empty()) else { return value };
    let is = |names: &[&str]| names.iter().any(|name| kind.eq_ignore_ascii_case(name));
    let dynamic = is(&["Object", "dynamic", "System.Object"]);
    // KQL has no integer of one byte: this is how a boolean's column is called.
    let boolean = is(&["SByte", "Boolean", "bool", "System.SByte", "System.Boolean"]);
    match value {
        "0" if boolean => "false",
        "1" if boolean => "true",
        _ if is_empty_object(value) && (!dynamic || by == HuntingApi::Graph) => "null",
        _ => value,
    }
}

fn is_empty_object(value: &str) -> bool {
    let inside = value.strip_prefix('{').and_then(|value| value.strip_suffix('}'));
    inside.is_some_and(|inside| inside.bytes().all(|byte| byte.is_ascii_whitespace()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(by: HuntingApi, body: &str) -> Result<HuntingAnswer, Unreadable> {
        HuntingAnswer::read(by, body.as_bytes().to_vec(), Held::default())
    }

    fn rows(answer: &HuntingAnswer) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let each = answer.each(|cells| {
            rows.push(cells.iter().map(|cell| format!("{}={}", cell.name, cell.value)).collect());
            Ok::<_, std::convert::Infallible>(())
        });
        each.expect("nothing fails");
        rows
    }

    #[test]
    fn rows_are_put_right_by_the_schema() {
        let answer = read(
            HuntingApi::Graph,
            r#"{"@odata.context":"x","schema":[{"name":"Timestamp","type":"DateTime"},{"name":"IsRemote","type":"SByte"},
            {"name":"Fields","type":"Object"},{"name":"Count","type":"Int64"},{"name":"a\"b","type":"SByte"}],
            "results":[{"Timestamp":{},"IsRemote":1,"Fields":{ },"Count":1,"a\"b":0},
            {"IsRemote":0,"Count":0,"Fields":{"x":{}},"Timestamp":"2026-11-01T00:00:00Z","New":{},"a\u0022b":1}]}"#,
        )
        .expect("an answer");
        assert_eq!(answer.rows(), 2);
        assert_eq!(
            rows(&answer),
            [
                vec!["Timestamp=null", "IsRemote=true", "Fields=null", "Count=1", "a\\\"b=false"],
                vec![
                    "IsRemote=false",
                    "Count=0",
                    "Fields={\"x\":{}}",
                    "Timestamp=\"2026-11-01T00:00:00Z\"",
                    "New={}",
                    "a\\u0022b=true"
                ],
            ]
        );
    }

    #[test]
    fn defender_writes_its_keys_large_and_its_nulls_as_nulls() {
        let body = r#"{"Stats":{"ExecutionTime":0.1},"Schema":[{"Name":"IsRemote","Type":"SByte"},{"Name":"Fields","Type":"Object"}],
            "Results":[{"IsRemote":1,"Fields":{}},{"IsRemote":null,"Fields":null}]}"#;
        for by in [HuntingApi::Xdr, HuntingApi::Endpoint] {
            let answer = read(by, body).expect("an answer");
            assert_eq!(rows(&answer), [["IsRemote=true", "Fields={}"], ["IsRemote=null", "Fields=null"]]);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_whole() {
        for (body, why) in [
            ("<html>", "not JSON"),
            ("", "not JSON"),
            (r#"{"schema":[]}"#, "no results"),
            (r#"{"results":[{"a":1},7]}"#, "row 2"),
            (r#"{"results":[{"a":1},{"a":"#, "not JSON"),
            (r#"{"results":[[]]}"#, "row 1"),
        ] {
            let error = read(HuntingApi::Graph, body).expect_err(body).to_string();
            assert!(error.contains(why), "{body}: {error}");
        }
        assert!(HuntingAnswer::read(HuntingApi::Graph, vec![0xff], Held::default()).is_err());
        let empty = read(HuntingApi::Graph, "\u{feff}{\"schema\":[],\"results\":[]}").expect("an answer");
        assert_eq!((empty.rows(), empty.columns().len()), (0, 0));
    }

    #[test]
    fn rows_stop_where_nobody_takes_them() {
        let answer = read(HuntingApi::Graph, r#"{"results":[{"a":1},{"a":2}]}"#).expect("an answer");
        let mut seen = 0;
        let stopped = answer.each(|_| {
            seen += 1;
            Err("closed")
        });
        assert_eq!((stopped, seen), (Err("closed"), 1));
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("0".to_owned()),
            Just("1".to_owned()),
            Just("{}".to_owned()),
            Just("{ \n}".to_owned()),
            Just("[]".to_owned()),
            Just("{\"a\":{}}".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            ".*".prop_map(|text| serde_json::to_string(&text).expect("JSON")),
        ]
    }

    proptest! {
        #[test]
        fn nothing_else_is_changed(
            kind in prop_oneof![Just("SByte"), Just("DateTime"), Just("Object"), Just("String"), Just("Int64"), Just("")],
            by in prop_oneof![Just(HuntingApi::Graph), Just(HuntingApi::Xdr), Just(HuntingApi::Endpoint)],
            value in value(),
        ) {
            let right = put_right(by, Some(kind), &value);
            prop_assert!(serde_json::from_str::<serde_json::Value>(right).is_ok());
            prop_assert_eq!(put_right(by, Some(kind), right), right, "once is enough");
            if right != value {
                let boolean = kind == "SByte" && ["0", "1"].contains(&value.as_str());
                prop_assert!(boolean || (right == "null" && is_empty_object(&value)));
            }
            prop_assert_eq!(put_right(by, None, &value), value.as_str());
        }

        #[test]
        fn whatever_comes_is_read_or_refused(body in ".{0,200}") {
            let wrapped = format!("{{\"results\":[{body}],\"schema\":[{body}]}}");
            for text in [body, wrapped] {
                if let Ok(answer) = read(HuntingApi::Graph, &text) {
                    prop_assert_eq!(rows(&answer).len() as u64, answer.rows());
                }
            }
        }
    }
}
