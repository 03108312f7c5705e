//! Rows as they are printed: each answer when it comes, or the first thousand rows as a table at the end.

use std::io::{self, BufWriter, Write};

use muster_microsoft::hunting::{Cell, HuntingAnswer};
use muster_model::{Tenant, json};

use super::cells::{push_csv, push_csv_text, push_json, shown};
use crate::shown::output::{Output, OutputFormat, number, plain, width};

/// So many rows a table holds.
const TABLE_ROWS_MAX: usize = 1_000;
/// A table gives each of its columns as many places, or shows each row as a list.
const COLUMN_PLACES: usize = 12;

/// Prints the rows of one tenant after the other.
pub(super) enum Printer {
    Table(Table),
    Json { rows: u64 },
    Ndjson,
    Csv { columns: Option<Vec<String>> },
}

/// The rows of a table.
#[derive(Default)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    left_out: u64,
}

/// Writes to standard output, all at once.
pub(super) fn flushed(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    write(&mut out)?;
    out.flush()
}

impl Printer {
    pub(super) fn new(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Table => Self::Table(Table::default()),
            OutputFormat::Json => Self::Json { rows: 0 },
            OutputFormat::Ndjson => Self::Ndjson,
            OutputFormat::Csv => Self::Csv { columns: None },
        }
    }

    /// The rows of a tenant.
    pub(super) fn answer(
        &mut self,
        tenant: &Tenant,
        answer: &HuntingAnswer,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut line = String::new();
        match self {
            Self::Table(table) => answer.each(|cells| {
                table.add(tenant, cells);
                Ok(())
            }),
            Self::Ndjson => answer.each(|cells| {
                line.clear();
                push_row(&mut line, tenant, cells);
                line.push('\n');
                out.write_all(line.as_bytes())
            }),
            Self::Json { rows } => answer.each(|cells| {
                line.clear();
                line.push_str(if *rows == 0 { "[\n" } else { ",\n" });
                push_row(&mut line, tenant, cells);
                *rows += 1;
                out.write_all(line.as_bytes())
            }),
            Self::Csv { columns } => {
                let mut columns = Columns { known: columns, answer };
                answer.each(|cells| {
                    line.clear();
                    columns.push_row(&mut line, tenant, cells);
                    out.write_all(line.as_bytes())
                })
            }
        }
    }

    /// What comes behind the last row.
    pub(super) fn end(&mut self, out: &mut dyn Write, output: Output) -> io::Result<()> {
        match self {
            Self::Table(table) => table.write(out, output),
            Self::Json { rows: 0 } => out.write_all(b"[]\n"),
            Self::Json { .. } => out.write_all(b"\n]\n"),
            Self::Ndjson | Self::Csv { .. } => Ok(()),
        }
    }
}

/// A row with its tenant, as JSON in one line.
fn push_row(line: &mut String, tenant: &Tenant, cells: &[Cell<'_>]) {
    let name = serde_json::to_string(&tenant.name).expect("a text is JSON");
    line.push_str(&format!("{{\"tenant\":\"{}\",\"tenant_name\":", tenant.slug));
    push_json(line, &name);
    line.push_str(",\"row\":{");
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        push_json(line, &format!("\"{}\"", cell.name));
        line.push(':');
        push_json(line, cell.value);
    }
    line.push_str("}}");
}

fn name_of(cell: &Cell<'_>) -> String {
    json::Text::as_in_json(cell.name).decoded().into_owned()
}

/// The columns of a CSV file: those of the first answer. What another answer has beside them stands in the last column.
struct Columns<'a> {
    known: &'a mut Option<Vec<String>>,
    answer: &'a HuntingAnswer,
}

impl Columns<'_> {
    fn push_row(&mut self, line: &mut String, tenant: &Tenant, cells: &[Cell<'_>]) {
        let answer = self.answer;
        let columns = self.known.get_or_insert_with(|| {
            let columns: Vec<String> = match answer.columns() {
                [] => cells.iter().map(name_of).collect(),
                columns => columns.iter().map(|column| column.name.clone()).collect(),
            };
            for head in ["tenant", "tenant_name"] {
                push_csv_text(line, head);
                line.push(',');
            }
            for column in &columns {
                push_csv_text(line, column);
                line.push(',');
            }
            line.push_str("\"other_columns\"\r\n");
            columns
        });
        push_csv_text(line, tenant.slug.as_str());
        line.push(',');
        push_csv_text(line, &tenant.name);
        line.push(',');
        let names: Vec<String> = cells.iter().map(name_of).collect();
        for column in columns.iter() {
            if let Some(place) = names.iter().position(|name| name == column) {
                push_csv(line, cells[place].value);
            }
            line.push(',');
        }
        let others: Vec<String> = cells
            .iter()
            .zip(&names)
            .filter(|(_, name)| !columns.contains(name))
            .map(|(cell, _)| format!("\"{}\":{}", cell.name, cell.value))
            .collect();
        if !others.is_empty() {
            push_csv(line, &format!("{{{}}}", others.join(",")));
        }
        line.push_str("\r\n");
    }
}

impl Table {
    fn add(&mut self, tenant: &Tenant, cells: &[Cell<'_>]) {
        if self.rows.len() >= TABLE_ROWS_MAX {
            self.left_out += 1;
            return;
        }
        let mut row = vec![tenant.slug.to_string()];
        for cell in cells {
            let name = name_of(cell);
            let place = match self.columns.iter().position(|known| *known == name) {
                Some(place) => place,
                None => {
                    self.columns.push(name);
                    self.columns.len() - 1
                }
            };
            row.resize(row.len().max(place + 2), String::new());
            row[place + 1] = shown(cell.value);
        }
        self.rows.push(row);
    }

    fn write(&self, out: &mut dyn Write, output: Output) -> io::Result<()> {
        let heads: Vec<String> = self.columns.iter().map(|column| plain(column)).collect();
        let room = width().map(|width| usize::from(width) / COLUMN_PLACES);
        if room.is_some_and(|room| heads.len() + 1 > room.max(4)) {
            for row in &self.rows {
                writeln!(out, "── {}", row[0])?;
                for (head, cell) in heads.iter().zip(&row[1..]).filter(|(_, cell)| !cell.is_empty()) {
                    writeln!(out, "{head}: {cell}")?;
                }
            }
        } else if !self.rows.is_empty() {
            let mut all = vec!["tenant"];
            all.extend(heads.iter().map(String::as_str));
            let mut table = output.table(&all);
            for row in &self.rows {
                let cells =
                    (0..all.len()).map(|place| output.text(row.get(place).map_or("", String::as_str)));
                table.add_row(cells.collect::<Vec<_>>());
            }
            writeln!(out, "{table}")?;
        }
        if self.left_out > 0 {
            writeln!(
                out,
                "… and {} more rows; `--output ndjson` and `csv` have all of them",
                number(self.left_out)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use muster_microsoft::hunting::HuntingApi;
    use muster_model::{Clock as _, SystemClock, TenantState};

    use super::*;

    fn tenant(slug: &str) -> Tenant {
        Tenant {
            id: uuid::Uuid::from_u128(1).into(),
            slug: slug.parse().expect("a slug"),
            name: "=Evil \u{202e}Ltd".to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: std::collections::BTreeSet::new(),
            tags: Default::default(),
            state: TenantState::Active,
            added_at: SystemClock.now(),
            since: SystemClock.now(),
        }
    }

    fn printed(format: OutputFormat, answers: &[(&str, &str)]) -> String {
        let mut printer = Printer::new(format);
        let mut out = Vec::new();
        for (slug, body) in answers {
            let body = body.as_bytes().to_vec();
            let answer = HuntingAnswer::read(HuntingApi::Graph, body, muster_http::Held::default());
            printer.answer(&tenant(slug), &answer.expect("an answer"), &mut out).expect("written");
        }
        let output = Output { format, colour: false };
        printer.end(&mut out, output).expect("written");
        String::from_utf8(out).expect("UTF-8")
    }

    const FIRST: &str = r#"{"schema":[{"name":"A","type":"String"},{"name":"B","type":"SByte"}],"results":[{"A":"=1","B":1},{"B":0}]}"#;
    const OTHER: &str = r#"{"schema":[{"name":"C","type":"Object"},{"name":"A","type":"String"}],"results":[{"C":{"x": 1},"A":"y"}]}"#;

    #[test]
    fn columns_that_differ_between_tenants_are_all_there() {
        let csv = printed(OutputFormat::Csv, &[("one", FIRST), ("two", OTHER)]);
        let name = "\"'=Evil \u{fffd}Ltd\"";
        let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
        assert_eq!(
            lines,
            [
                r#""tenant","tenant_name","A","B","other_columns""#.to_owned(),
                format!(r#""one",{name},"'=1",true,"#),
                format!(r#""one",{name},,false,"#),
                format!(r#""two",{name},"y",,"{{""C"":{{""x"":1}}}}""#),
            ]
        );
        let table = printed(OutputFormat::Table, &[("one", FIRST), ("two", OTHER)]);
        assert!(table.contains("TENANT") && table.contains(r#"{"x":1}"#), "{table}");
    }

    #[test]
    fn json_says_whose_a_row_is_whatever_its_columns_are_called() {
        let body = r#"{"results":[{"tenant":"mine","row":{ }}]}"#;
        let line = printed(OutputFormat::Ndjson, &[("one", body)]);
        assert_eq!(
            line,
            "{\"tenant\":\"one\",\"tenant_name\":\"=Evil \\u202eLtd\",\"row\":{\"tenant\":\"mine\",\"row\":{}}}\n"
        );
        let rows: serde_json::Value =
            serde_json::from_str(&printed(OutputFormat::Json, &[("one", FIRST), ("two", OTHER)]))
                .expect("JSON");
        assert_eq!(rows[1]["row"]["B"], false);
        assert_eq!((rows.as_array().map(Vec::len), &rows[2]["tenant"]), (Some(3), &"two".into()));
        assert_eq!(printed(OutputFormat::Json, &[("one", r#"{"results":[]}"#)]), "[]\n");
    }

    #[test]
    fn a_table_holds_a_thousand_rows_and_tells_of_the_others() {
        let rows = vec![r#"{"A":"x"}"#; 1_500].join(",");
        let table = printed(OutputFormat::Table, &[("one", &format!("{{\"results\":[{rows}]}}"))]);
        assert!(table.contains("… and 500 more rows"), "{}", &table[table.len() - 100..]);
    }
}
