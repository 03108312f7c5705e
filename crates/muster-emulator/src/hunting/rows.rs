//! Rows with typed columns, and how the APIs write them.

use serde_json::Value;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    DateTime,
    Text,
    Long,
    Bool,
    Dynamic,
}

impl Kind {
    /// Its name in a schema. A boolean has an odd one.
    fn name(self) -> &'static str {
        match self {
            Self::DateTime => "DateTime",
            Self::Text => "String",
            Self::Long => "Int64",
            Self::Bool => "SByte",
            Self::Dynamic => "Object",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

pub(super) type Row = Vec<Value>;

#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

/// In whose words an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Graph,
    Defender,
}

impl Rows {
    pub(super) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// The schema and the rows, as members of an object; `None` where the rows are more than so many bytes.
    pub(super) fn written(&self, words: Words, bytes_max: usize) -> Option<String> {
        let (schema, name, kind, results) = match words {
            Words::Graph => ("schema", "name", "type", "results"),
            Words::Defender => ("Schema", "Name", "Type", "Results"),
        };
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let named = Value::from(column.name.as_str());
                format!("{{\"{name}\":{named},\"{kind}\":\"{}\"}}", column.kind.name())
            })
            .collect();
        let keys: Vec<String> =
            self.columns.iter().map(|column| format!("{}:", Value::from(column.name.as_str()))).collect();
        let mut text = format!("\"{schema}\":[{}],\"{results}\":[", columns.join(","));
        let begun = text.len();
        for (number, row) in self.rows.iter().enumerate() {
            text.push_str(if number > 0 { ",{" } else { "{" });
            for (place, value) in row.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&keys[place]);
                push(&mut text, words, self.columns[place].kind, value);
            }
            text.push('}');
            if text.len() - begun > bytes_max {
                return None;
            }
        }
        text.push(']');
        Some(text)
    }
}

/// A cell as the APIs write it: booleans as numbers, and in Graph's answers null times and objects as `{}`.
fn push(text: &mut String, words: Words, kind: Kind, value: &Value) {
    match (kind, value) {
        (Kind::Bool, Value::Bool(is)) => text.push(if *is { '1' } else { '0' }),
        (Kind::DateTime | Kind::Dynamic, Value::Null) if words == Words::Graph => text.push_str("{}"),
        (Kind::Text, Value::Null) => text.push_str("\"\""),
        (_, value) => text.push_str(&value.to_string()),
    }
}
