//! `muster test`: a folder of recorded records against the events that are expected of them.
//!
//! `NAME.json` (or `.ndjson`) holds records; beside it `NAME.FORMAT` holds the expected events of all of them in that
//! format, one a line. Events are compared field by field, so that the order of fields does not count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use muster_siem::formats::{Format, RecordKind, Spelling};
use serde::Serialize;
use serde_json::Value;

use super::recorded::File;
use crate::cli::TestArgs;
use crate::config::{FormatName, FormatOptions};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, Tone, plain};

/// How many differences of one file are shown.
const DIFFERENCES_MAX: usize = 50;

/// How many troubles of one file of records are told.
const TROUBLES_MAX: usize = 10;

/// What became of one file of expected events.
#[derive(Serialize)]
struct Tested {
    expected: String,
    events: usize,
    /// Why nothing could be compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<String>,
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    /// The number of the event in the file; 0 for the file as a whole.
    event: usize,
    /// The record that the event was made of.
    #[serde(skip_serializing_if = "String::is_empty")]
    record: String,
    field: String,
    expected: Vec<String>,
    written: Vec<String>,
}

/// Compares, or with `--write` writes the files of expected events.
pub(crate) fn test(args: &TestArgs, output: Output) -> Result<Exit, Failed> {
    let folder = Folder::read(&args.folder)?;
    if folder.records.is_empty() {
        let message = format!("{} holds no records: files named .json or .ndjson", args.folder.display());
        return Err(Failed::say(Exit::NotFound, message));
    }
    if args.write {
        return write(args, &folder.records, output);
    }
    let mut tested = Vec::new();
    for path in &folder.records {
        let beside: Vec<Format> =
            formats().filter(|format| path.with_extension(format.name()).is_file()).collect();
        if beside.is_empty() {
            continue;
        }
        let records = written(path, args.kind, &beside);
        for (number, format) in beside.iter().enumerate() {
            let expected = path.with_extension(format.name());
            tested.push(match &records {
                Ok(events) => compare(&events[number], format, &expected),
                Err(troubles) => Tested::not(&expected, troubles.clone()),
            });
        }
    }
    if tested.is_empty() && folder.orphans.is_empty() {
        let message = format!(
            "{} holds no expected events: a file such as {} beside each file of records. `--write --to cef,ecs` makes \
             them of what is written today",
            args.folder.display(),
            folder.records[0].with_extension("ecs").display()
        );
        return Err(Failed::say(Exit::NotFound, message));
    }
    for orphan in &folder.orphans {
        let trouble =
            format!("there are no records for it: {} is missing", orphan.with_extension("json").display());
        tested.push(Tested::not(orphan, vec![trouble]));
    }
    let good = tested.iter().all(Tested::is_good);
    output.print(&tested, |output| show(&tested, output))?;
    Ok(if good { Exit::Success } else { Exit::Failure })
}

impl Tested {
    fn not(expected: &Path, troubles: Vec<String>) -> Self {
        Self { expected: expected.display().to_string(), events: 0, troubles, differences: Vec::new() }
    }

    fn is_good(&self) -> bool {
        self.troubles.is_empty() && self.differences.is_empty()
    }
}

fn formats() -> impl Iterator<Item = Format> {
    FormatName::value_variants().iter().map(|name| name.with(&FormatOptions::default()))
}

/// The files of a folder, in order.
struct Folder {
    /// Those of records.
    records: Vec<PathBuf>,
    /// Those of expected events that have no records beside them.
    orphans: Vec<PathBuf>,
}

impl Folder {
    fn read(folder: &Path) -> Result<Self, Failed> {
        let failed = |error: std::io::Error| {
            Failed::say(Exit::NotFound, format!("{} cannot be read as a folder: {error}", folder.display()))
        };
        let (mut records, mut orphans) = (Vec::<PathBuf>::new(), Vec::new());
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if extension == "json" || extension == "ndjson" {
                records.push(path);
            } else if formats().any(|format| format.name() == extension) {
                orphans.push(path);
            }
        }
        records.sort();
        orphans.sort();
        if let Some(pair) =
            records.windows(2).find(|pair| pair[0].with_extension("") == pair[1].with_extension(""))
        {
            let message = format!(
                "{} and {} would have the same expected events: give one of them another name",
                pair[0].display(),
                pair[1].display()
            );
            return Err(Failed::say(Exit::Failure, message));
        }
        orphans
            .retain(|orphan| records.iter().all(|path| path.with_extension("") != orphan.with_extension("")));
        Ok(Self { records, orphans })
    }
}

/// An event as it is written today.
struct Written {
    record: String,
    kind: RecordKind,
    event: Vec<u8>,
}

/// The events of all records of a file in each format; or all that is wrong with the file.
fn written(
    path: &Path,
    kind: Option<RecordKind>,
    formats: &[Format],
) -> Result<Vec<Vec<Written>>, Vec<String>> {
    let file = File::read(path).map_err(|unread| vec![unread.to_string()])?;
    let spellings: Vec<Spelling> = formats.iter().cloned().map(Spelling::from).collect();
    let mut written: Vec<Vec<Written>> = formats.iter().map(|_| Vec::new()).collect();
    let mut troubles = Vec::new();
    for record in file.records(kind) {
        let record = match record {
            Ok(record) => record,
            Err(unread) => {
                troubles.push(unread.to_string());
                continue;
            }
        };
        for (spelling, written) in spellings.iter().zip(&mut written) {
            match record.write(spelling) {
                Ok(events) => written.extend(events.iter().map(|event| Written {
                    record: record.name.clone(),
                    kind: record.kind,
                    event: event.to_vec(),
                })),
                Err(error) => troubles
                    .push(format!("{}: cannot be spelled in {}: {error}", record.name, spelling.format)),
            }
        }
    }
    if troubles.is_empty() { Ok(written) } else { Err(troubles) }
}

/// An event's fields: the values of each, in order.
type Fields = BTreeMap<String, Vec<String>>;

fn compare(written: &[Written], format: &Format, path: &Path) -> Tested {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Tested::not(path, vec![format!("{} cannot be read: {error}", path.display())]),
    };
    let expected: Vec<(usize, &str)> =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    let (mut differences, mut troubles) = (Vec::new(), Vec::new());
    if expected.len() != written.len() {
        differences.push(Difference {
            event: 0,
            record: String::new(),
            field: "number of events".to_owned(),
            expected: vec![expected.len().to_string()],
            written: vec![written.len().to_string()],
        });
    }
    for (number, ((line, expected), written)) in expected.iter().zip(written).enumerate() {
        if expected.as_bytes() == written.event {
            continue;
        }
        let read = |event: &[u8]| fields(format, written.kind, event);
        let (wanted, got) = match (read(expected.as_bytes()), read(&written.event)) {
            (Ok(wanted), Ok(got)) => (wanted, got),
            (Err(error), _) | (_, Err(error)) => {
                troubles.push(format!("{}:{}: is no {format} event: {error}", path.display(), line + 1));
                continue;
            }
        };
        let before = differences.len();
        let mut differ = |wanted: &Fields, got: &Fields| {
            for field in wanted.keys().chain(got.keys().filter(|field| !wanted.contains_key(*field))) {
                let (wanted, got) = (wanted.get(field), got.get(field));
                if wanted != got {
                    differences.push(Difference {
                        event: number + 1,
                        record: written.record.clone(),
                        field: field.clone(),
                        expected: wanted.cloned().unwrap_or_default(),
                        written: got.cloned().unwrap_or_default(),
                    });
                }
            }
            differences.len() > before
        };
        if !differ(&wanted, &got)
            && let (Ok(wanted), Ok(got)) = (tree(expected.as_bytes()), tree(&written.event))
            && wanted != got
        {
            // The same texts: as other types, or in other lists and objects.
            let whole = |tree: &Value| Fields::from([("event".to_owned(), vec![tree.to_string()])]);
            let _ = differ(&leaves(&wanted), &leaves(&got)) || differ(&whole(&wanted), &whole(&got));
        }
    }
    Tested { expected: path.display().to_string(), events: written.len(), troubles, differences }
}

fn fields(format: &Format, kind: RecordKind, event: &[u8]) -> Result<Fields, String> {
    match format {
        Format::Cef(_) if !event.starts_with(b"CEF:") => return Err("it does not begin with CEF:".to_owned()),
        Format::Leef(_) if !event.starts_with(b"LEEF:") => {
            return Err("it does not begin with LEEF:".to_owned());
        }
        Format::Cef(_) | Format::Leef(_) => {}
        Format::Raw | Format::Splunk(_) | Format::Ecs(_) | Format::Ocsf(_) => {
            tree(event).map_err(|error| error.to_string())?;
        }
    }
    let mut fields = Fields::new();
    for field in format.read_event(kind, event).map_err(|error| error.to_string())? {
        fields.entry(field.name).or_default().push(field.value);
    }
    Ok(fields)
}

fn tree(event: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(event)
}

/// The fields of an event of JSON, their values as JSON.
fn leaves(event: &Value) -> Fields {
    fn collect(value: &Value, path: &str, fields: &mut Fields) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    collect(
                        value,
                        &if path.is_empty() { key.clone() } else { format!("{path}.{key}") },
                        fields,
                    );
                }
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, path, fields)),
            leaf => fields.entry(path.to_owned()).or_default().push(leaf.to_string()),
        }
    }
    let mut fields = Fields::new();
    collect(event, "", &mut fields);
    fields
}

fn show(tested: &[Tested], output: &Output) -> String {
    let mut table = output.table(&["expected events", "events", "result"]);
    for file in tested {
        let (result, tone) = match (file.troubles.len(), file.differences.len()) {
            (0, 0) => ("as expected".to_owned(), Tone::Good),
            (0, count) => (format!("{count} difference(s)"), Tone::Bad),
            (count, 0) => (format!("{count} trouble(s)"), Tone::Bad),
            (troubles, count) => (format!("{count} difference(s), {troubles} trouble(s)"), Tone::Bad),
        };
        table.add_row(vec![
            output.cell(&file.expected, Tone::Plain),
            output.cell(file.events.to_string(), Tone::Plain),
            output.cell(result, tone),
        ]);
    }
    let mut text = table.to_string();
    if tested.iter().any(|file| !file.differences.is_empty()) {
        text.push_str("\n\n- expected, + written");
    }
    for file in tested.iter().filter(|file| !file.is_good()) {
        text.push_str(&format!("\n\n{}", plain(&file.expected)));
        for trouble in file.troubles.iter().take(TROUBLES_MAX) {
            text.push_str(&format!("\n  {}", plain(trouble)));
        }
        if file.troubles.len() > TROUBLES_MAX {
            text.push_str(&format!("\n  … and {} more", file.troubles.len() - TROUBLES_MAX));
        }
        let mut event = None;
        for difference in file.differences.iter().take(DIFFERENCES_MAX) {
            if event != Some(difference.event) {
                event = Some(difference.event);
                if difference.event > 0 {
                    text.push_str(&format!(
                        "\n  event {}, of {}",
                        difference.event,
                        plain(&difference.record)
                    ));
                }
            }
            for (sign, values) in [('-', &difference.expected), ('+', &difference.written)] {
                if !values.is_empty() {
                    text.push_str(&format!(
                        "\n    {sign} {}: {}",
                        plain(&difference.field),
                        plain(&values.join(" | "))
                    ));
                }
            }
        }
        if file.differences.len() > DIFFERENCES_MAX {
            text.push_str(&format!("\n    … and {} more", file.differences.len() - DIFFERENCES_MAX));
        }
    }
    text
}

/// Writes the expected events of every file whose records can all be read; nothing for the others.
fn write(args: &TestArgs, files: &[PathBuf], output: Output) -> Result<Exit, Failed> {
    let formats: Vec<Format> = formats()
        .filter(|format| args.to.iter().any(|name| name.with(&FormatOptions::default()) == *format))
        .collect();
    let (mut done, mut failed) = (Vec::new(), 0);
    for file in files {
        let written = match written(file, args.kind, &formats) {
            Ok(written) => written,
            Err(troubles) => {
                failed += 1;
                for trouble in troubles.iter().take(TROUBLES_MAX) {
                    eprintln!("muster: {}", plain(trouble));
                }
                continue;
            }
        };
        for (format, written) in formats.iter().zip(written) {
            let path = file.with_extension(format.name());
            let mut text = Vec::new();
            for Written { event, .. } in written {
                text.extend_from_slice(&event);
                text.push(b'\n');
            }
            std::fs::write(&path, text).map_err(|error| {
                Failed::say(Exit::Failure, format!("{} cannot be written: {error}", path.display()))
            })?;
            done.push(path.display().to_string());
        }
    }
    if !done.is_empty() {
        output.print(&done, |_| format!("wrote {}", done.join("\n      ")))?;
    }
    match (failed, done.len()) {
        (0, _) => Ok(Exit::Success),
        (failed, 0) => {
            Err(Failed::say(Exit::Failure, format!("nothing was written: {failed} file(s) cannot be read")))
        }
        (failed, _) => Err(Failed::say(
            Exit::Partly,
            format!("nothing was written for {failed} file(s) whose records cannot all be read"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::TestArgs;
    use crate::config::FormatName;
    use crate::exit_code::Exit;
    use crate::shown::output::{ColourChoice, Output, OutputFormat};

    const RECORD: &str = r#"{"id":"da1","title":"Mimikatz","severity":"high","createdDateTime":"2026-01-01T00:00:00Z",
        "serviceSource":"microsoftDefenderForEndpoint","alertWebUrl":"https://x.example","evidence":[]}"#;

    #[test]
    fn what_was_written_is_expected_until_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("alert.json"), RECORD).expect("written");
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let args = |write: bool| TestArgs {
            folder: folder.path().to_owned(),
            kind: None,
            write,
            to: if write { vec![FormatName::Cef, FormatName::Ecs] } else { Vec::new() },
        };
        assert_eq!(super::test(&args(false), output).expect_err("nothing is expected").exit, Exit::NotFound);
        assert_eq!(super::test(&args(true), output).expect("written"), Exit::Success);
        assert_eq!(super::test(&args(false), output).expect("compared"), Exit::Success);
        let path = folder.path().join("alert.cef");
        let line = std::fs::read_to_string(&path).expect("a line");
        std::fs::write(&path, line.replace("externalId=da1", "externalId=da2")).expect("written");
        assert_eq!(super::test(&args(false), output).expect("compared"), Exit::Failure);
    }

    #[test]
    fn the_order_of_fields_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("alert.json"), RECORD).expect("written");
        // A tree of JSON is written in the order of its keys.
        let record: serde_json::Value = serde_json::from_str(RECORD).expect("JSON");
        std::fs::write(folder.path().join("alert.raw"), record.to_string()).expect("written");
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let args = TestArgs { folder: folder.path().to_owned(), kind: None, write: false, to: Vec::new() };
        assert_eq!(super::test(&args, output).expect("compared"), Exit::Success);
    }
}
