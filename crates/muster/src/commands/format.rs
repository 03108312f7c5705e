//! `muster format`: recorded records in one or several formats, side by side, and where each value comes from.
//!
//! Each record is printed as soon as it is read. What cannot be read or spelled is told on standard error and costs
//! nothing else.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use muster_model::RecordKind;
use muster_siem::formats::{Encoding, Explained, FormatError};
use muster_siem::sinks::{FormatName, FormatOptions};
use serde::Serialize;

use super::format_name::format_name;
use super::recorded::{File, Recorded, Unread, record_kind};
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, OutputFormat, plain};

/// How much of a value a table shows.
const SHOWN_CHARACTERS: usize = 72;

/// How many troubles are told one by one.
const TROUBLES_MAX: usize = 20;

/// One way of encoding records: a format, or that of a sink.
struct Column {
    name: String,
    sink: Option<String>,
    encoding: Encoding,
}

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
    #[serde(skip)]
    column: usize,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sink: Option<String>,
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

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files of records: one, a list, a page as an API answers it, or a record a line; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The formats, apart by commas, with their default options.
    #[arg(long, short, value_name = "FORMAT", value_delimiter = ',', required_unless_present = "sink", value_parser = format_name())]
    to: Vec<FormatName>,
    /// As this sink of the settings spells records: with its format, options, mapping and bounds. Apart by commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    sink: Vec<String>,
    /// What the records are, where their fields do not tell: graph_alert, graph_incident, endpoint_alert,
    /// xdr_incident, siem_detection or hunting_row.
    #[arg(long, value_parser = record_kind)]
    kind: Option<RecordKind>,
    /// Say of each field where its value comes from. Tables show the start of long values, `--output json` all.
    #[arg(long, conflicts_with = "events")]
    explain: bool,
    /// Print the events alone, one a line.
    #[arg(long)]
    events: bool,
}

/// Shows the records of the files in each of the formats.
pub(crate) fn run(args: &Args, config: &Path, output: Output) -> Result<Exit, Failed> {
    let columns = columns(args, config)?;
    let mut troubles = Troubles { output, count: 0, missing: 0, told: Vec::new() };
    let mut printer = Printer { args, columns: &columns, output, printed: 0 };
    for path in &args.files {
        let file = match File::read(path) {
            Ok(file) => file,
            Err(unread) => {
                troubles.tell(&unread, unread.is_missing);
                continue;
            }
        };
        let mut is_empty = true;
        for record in file.records(args.kind) {
            is_empty = false;
            match record {
                Ok(record) => printer.print(&record, &mut troubles)?,
                Err(unread) => troubles.tell(&unread, false),
            }
        }
        if is_empty {
            let place = path.display().to_string();
            troubles.tell(&Unread { place, why: "holds no record".to_owned(), is_missing: false }, false);
        }
    }
    printer.end()?;
    troubles.end(printer.printed)
}

/// The formats and sinks that are asked for, each once.
fn columns(args: &Args, config: &Path) -> Result<Vec<Column>, Failed> {
    let mut columns: Vec<Column> = Vec::new();
    for name in &args.to {
        let format = name.with(&FormatOptions::default());
        if columns.iter().all(|column| column.name != format.name()) {
            columns.push(Column { name: format.name().to_owned(), sink: None, encoding: format.into() });
        }
    }
    if args.sink.is_empty() {
        return Ok(columns);
    }
    let settings = Settings::read(config)?;
    let mut seen = HashSet::new();
    for name in args.sink.iter().filter(|name| seen.insert(*name)) {
        let Some(sink) = settings.sinks.get(name) else {
            let known = settings.sinks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("there is no sink `{name}`; the sinks are: {known}");
            return Err(Failed::say(Exit::NotFound, message));
        };
        let encoding = sink.any().encoding().map_err(|mistakes| {
            Failed::say(Exit::Settings, format!("sink `{name}`: {}", mistakes.join("; ")))
        })?;
        let shown = format!("{name} ({})", encoding.format);
        columns.push(Column { name: shown, sink: Some(name.clone()), encoding });
    }
    Ok(columns)
}

/// What could not be shown.
struct Troubles {
    output: Output,
    count: usize,
    missing: usize,
    /// Those that the error says which programs read: nothing else stands on standard error then.
    told: Vec<String>,
}

impl Troubles {
    fn tell(&mut self, what: &dyn std::fmt::Display, is_missing: bool) {
        self.count += 1;
        self.missing += usize::from(is_missing);
        if self.count > TROUBLES_MAX {
            return;
        }
        if self.output.format == OutputFormat::Json {
            self.told.push(what.to_string());
        } else {
            // With standard error closed there is nobody to tell; the exit code still says it.
            writeln!(std::io::stderr(), "muster: {}", plain(&what.to_string())).ok();
        }
    }

    fn end(&self, printed: usize) -> Result<Exit, Failed> {
        let is_told = if self.told.is_empty() { "above" } else { "here" };
        let mut more = match self.count.saturating_sub(TROUBLES_MAX) {
            0 => String::new(),
            more => format!("; {more} of the troubles are not told {is_told}"),
        };
        for told in &self.told {
            more.push_str("; ");
            more.push_str(told);
        }
        match (self.count, printed) {
            (0, _) => Ok(Exit::Success),
            (count, 0) => {
                let exit = if self.missing == count { Exit::NotFound } else { Exit::Failure };
                Err(Failed::say(exit, format!("no record can be shown{more}")))
            }
            (count, printed) => {
                let message = format!("{printed} record(s) are shown, {count} trouble(s) told{more}");
                Err(Failed::say(Exit::Partly, message))
            }
        }
    }
}

/// Prints records as they come.
struct Printer<'a> {
    args: &'a Args,
    columns: &'a [Column],
    output: Output,
    printed: usize,
}

impl Printer<'_> {
    fn print(&mut self, record: &Recorded<'_>, troubles: &mut Troubles) -> std::io::Result<()> {
        let text = if self.args.events {
            self.events(record, troubles)
        } else {
            let shown = self.show(record, troubles);
            if shown.formats.is_empty() { None } else { Some(self.text(&shown)?.into_bytes()) }
        };
        let Some(text) = text else { return Ok(()) };
        self.printed += 1;
        std::io::stdout().lock().write_all(&text)
    }

    /// What closes a list of JSON.
    fn end(&self) -> std::io::Result<()> {
        if self.args.events || self.output.format == OutputFormat::Table {
            return Ok(());
        }
        std::io::stdout().lock().write_all(if self.printed == 0 { b"[]\n" } else { b"\n]\n" })
    }

    /// The events alone, one a line. `None` where no format can spell the record.
    fn events(&self, record: &Recorded<'_>, troubles: &mut Troubles) -> Option<Vec<u8>> {
        let mut lines = None;
        for column in self.columns {
            match record.write(&column.encoding) {
                Ok(events) => {
                    let lines = lines.get_or_insert_with(Vec::new);
                    for event in events.iter() {
                        lines.extend_from_slice(event);
                        lines.push(b'\n');
                    }
                }
                Err(error) => troubles.tell(&failed(record, column, &error), false),
            }
        }
        lines
    }

    fn show(&self, record: &Recorded<'_>, troubles: &mut Troubles) -> Shown {
        let mut formats = Vec::with_capacity(self.columns.len());
        for (number, column) in self.columns.iter().enumerate() {
            match show(record, number, column) {
                Ok(shown) => formats.push(shown),
                Err(error) => troubles.tell(&failed(record, column, &error), false),
            }
        }
        Shown { record: record.name.clone(), id: record.head.id.clone(), kind: record.kind.as_str(), formats }
    }

    /// What one record adds to the output.
    fn text(&self, shown: &Shown) -> std::io::Result<String> {
        if self.output.format == OutputFormat::Json {
            let json = serde_json::to_string_pretty(shown)?.replace('\n', "\n  ");
            return Ok(format!("{}\n  {json}", if self.printed == 0 { "[" } else { "," }));
        }
        let tables = match self.args.explain {
            true => explained(shown, self.columns, &self.output),
            false => side_by_side(shown, self.columns, &self.output),
        };
        let head = plain(&format!("{} · {} {}", shown.record, shown.kind, shown.id));
        let before = if self.printed == 0 { "" } else { "\n" };
        Ok(format!("{before}{head}\n\n{tables}\n"))
    }
}

fn failed(record: &Recorded<'_>, column: &Column, error: &FormatError) -> String {
    format!("{}: cannot be spelled in {}: {error}", record.name, column.name)
}

fn show(record: &Recorded<'_>, number: usize, column: &Column) -> Result<ShownFormat, FormatError> {
    let format = &column.encoding.format;
    let events = record.write(&column.encoding)?;
    let read = |event: &[u8]| format.read_event(record.kind, event);
    // What the format itself does not write so is the sink's doing, whatever the field's row in the table says.
    let own = match column.sink {
        None => None,
        Some(_) => {
            let mut own = HashSet::new();
            for event in record.write(&format.clone().into())?.iter() {
                own.extend(read(event)?.into_iter().map(|field| (field.name, field.value)));
            }
            Some(own)
        }
    };
    let field = |field: Explained| {
        let key = (field.name, field.value);
        let (from, rule) = match own.as_ref().is_none_or(|own| own.contains(&key)) {
            true => field.field.map_or(("", ""), |row| (row.source, row.rule)),
            false => ("the sink's settings", "its `mapping`, or what is done with big events"),
        };
        let (name, value) = key;
        ShownField { name, value, from, rule }
    };
    let mut fields = Vec::with_capacity(events.len());
    for event in events.iter() {
        fields.push(read(event)?.into_iter().map(field).collect());
    }
    Ok(ShownFormat {
        column: number,
        format: format.name(),
        sink: column.sink.clone(),
        events: events.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect(),
        fields,
    })
}

/// Each value of the record's events, and under which names each format has it.
fn side_by_side(record: &Shown, columns: &[Column], output: &Output) -> String {
    let mut values: Vec<&str> = Vec::new();
    let mut names: HashMap<&str, Vec<Vec<&str>>> = HashMap::new();
    for (number, format) in record.formats.iter().enumerate() {
        for field in format.fields.iter().flatten() {
            let of_value = names.entry(&field.value).or_insert_with(|| {
                values.push(&field.value);
                vec![Vec::new(); record.formats.len()]
            });
            if !of_value[number].contains(&field.name.as_str()) {
                of_value[number].push(&field.name);
            }
        }
    }
    let heads = record.formats.iter().map(|format| columns[format.column].name.as_str());
    let heads: Vec<&str> = std::iter::once("value").chain(heads).collect();
    let mut table: Table = output.table(&heads);
    for value in values {
        let mut row = vec![output.text(short(value))];
        row.extend(names[value].iter().map(|names| output.text(names.join(", "))));
        table.add_row(row);
    }
    let counts = record.formats.iter().map(|format| {
        let bytes: usize = format.events.iter().map(String::len).sum();
        format!("{}: {} event(s), {bytes} bytes", columns[format.column].name, format.events.len())
    });
    format!("{table}\n\n{}", counts.collect::<Vec<_>>().join(" · "))
}

/// Field by field, where its value comes from.
fn explained(record: &Shown, columns: &[Column], output: &Output) -> String {
    let mut parts = Vec::new();
    for format in &record.formats {
        let several = format.fields.len() > 1;
        for (number, fields) in format.fields.iter().enumerate() {
            let mut table: Table = output.table(&["field", "value", "from", "rule"]);
            for field in fields {
                let from = if field.from.is_empty() { "Microsoft's own field" } else { field.from };
                table.add_row([
                    output.text(&field.name),
                    output.text(short(&field.value)),
                    output.text(from),
                    output.text(field.rule),
                ]);
            }
            let number = if several {
                format!(", event {} of {}", number + 1, format.fields.len())
            } else {
                String::new()
            };
            parts.push(format!("{}{number}\n{table}", columns[format.column].name));
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
