//! `muster format`: recorded records in one or several formats, side by side, and where each value comes from.

use std::io::Write;

use comfy_table::Table;
use muster_siem::formats::{Explained, Format};
use serde::Serialize;

use super::recorded::{self, Recorded};
use crate::cli::FormatArgs;
use crate::config::FormatOptions;
use crate::exit_code::{Exit, Failed};
use crate::output::{Output, OutputFormat, Tone};

/// How much of a value a table shows.
const SHOWN_CHARACTERS: usize = 72;

/// What is printed of one record.
#[derive(Serialize)]
struct Shown {
    record: String,
    id: String,
    kind: &'static str,
    formats: Vec<ShownFormat>,
}

#[derive(Serialize)]
struct ShownFormat {
    format: &'static str,
    events: Vec<String>,
    fields: Vec<Vec<ShownField>>,
}

#[derive(Serialize)]
struct ShownField {
    name: String,
    value: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    from: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule: &'static str,
}

/// Shows the records of the files in each of the formats.
pub(crate) fn format(args: &FormatArgs, output: Output) -> Result<Exit, Failed> {
    let formats: Vec<Format> = args.to.iter().map(|name| name.with(&FormatOptions::default())).collect();
    let mut shown = Vec::new();
    for file in &args.files {
        for record in recorded::read(file, args.kind)? {
            if args.events {
                print_events(&record, &formats)?;
            } else {
                shown.push(show(&record, &formats)?);
            }
        }
    }
    if args.events {
        return Ok(Exit::Success);
    }
    if shown.is_empty() {
        return Err(Failed::say(Exit::Failure, "there is no record in the files"));
    }
    output.print(&shown, |output| {
        debug_assert_eq!(output.format, OutputFormat::Table);
        let parts = shown.iter().map(|record| {
            let tables = if args.explain { explained(record, output) } else { side_by_side(record, output) };
            format!("{} · {} {}\n\n{tables}", record.record, record.kind, record.id)
        });
        parts.collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(Exit::Success)
}

fn print_events(record: &Recorded, formats: &[Format]) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    for format in formats {
        let events = record.write(format).map_err(|error| failed(record, &error))?;
        for event in events.iter() {
            out.write_all(event)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

fn failed(record: &Recorded, error: &dyn std::error::Error) -> Failed {
    Failed::say(Exit::Failure, format!("{}: {error}", record.name))
}

fn show(record: &Recorded, formats: &[Format]) -> Result<Shown, Failed> {
    let mut shown = Vec::with_capacity(formats.len());
    for format in formats {
        let events = record.write(format).map_err(|error| failed(record, &error))?;
        let explained = format
            .explain(record.kind, record.record(), &record.tenant())
            .map_err(|error| failed(record, &error))?;
        let field = |field: Explained| ShownField {
            name: field.name,
            value: field.value,
            from: field.field.map_or("", |row| row.source),
            rule: field.field.map_or("", |row| row.rule),
        };
        shown.push(ShownFormat {
            format: format.name(),
            events: events.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect(),
            fields: explained.into_iter().map(|event| event.into_iter().map(field).collect()).collect(),
        });
    }
    Ok(Shown {
        record: record.name.clone(),
        id: record.head.id.clone(),
        kind: record.kind.as_str(),
        formats: shown,
    })
}

/// Each value of the record's events, and under which names each format has it.
fn side_by_side(record: &Shown, output: &Output) -> String {
    let mut values: Vec<&str> = Vec::new();
    for format in &record.formats {
        for field in format.fields.iter().flatten() {
            values.push(&field.value);
        }
    }
    let mut seen = std::collections::HashSet::new();
    values.retain(|value| seen.insert(*value));
    let heads: Vec<&str> =
        std::iter::once("value").chain(record.formats.iter().map(|format| format.format)).collect();
    let mut table: Table = output.table(&heads);
    for value in values {
        let mut row = vec![output.cell(short(value), Tone::Plain)];
        for format in &record.formats {
            let mut names: Vec<&str> = Vec::new();
            for field in format.fields.iter().flatten().filter(|field| field.value == value) {
                if !names.contains(&field.name.as_str()) {
                    names.push(&field.name);
                }
            }
            row.push(output.cell(names.join(", "), if names.is_empty() { Tone::Fair } else { Tone::Plain }));
        }
        table.add_row(row);
    }
    let counts = record.formats.iter().map(|format| {
        let bytes: usize = format.events.iter().map(String::len).sum();
        format!("{}: {} event(s), {bytes} bytes", format.format, format.events.len())
    });
    format!("{table}\n\n{}", counts.collect::<Vec<_>>().join(" · "))
}

/// Field by field, where its value comes from.
fn explained(record: &Shown, output: &Output) -> String {
    let mut parts = Vec::new();
    for format in &record.formats {
        let several = format.fields.len() > 1;
        for (number, fields) in format.fields.iter().enumerate() {
            let mut table: Table = output.table(&["field", "value", "from", "rule"]);
            for field in fields {
                let from = if field.from.is_empty() { "Microsoft's own field" } else { field.from };
                table.add_row(vec![
                    output.cell(&field.name, Tone::Plain),
                    output.cell(short(&field.value), Tone::Plain),
                    output.cell(from, Tone::Plain),
                    output.cell(field.rule, Tone::Plain),
                ]);
            }
            let number = if several {
                format!(", event {} of {}", number + 1, format.fields.len())
            } else {
                String::new()
            };
            parts.push(format!("{}{number}\n{table}", format.format));
        }
    }
    parts.join("\n\n")
}

fn short(value: &str) -> String {
    let mut text: String = value.chars().take(SHOWN_CHARACTERS).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    text.replace(['\n', '\r', '\t'], " ")
}
