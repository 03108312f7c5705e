//! `muster test`: a folder of recorded records against the events that are expected of them.
//!
//! `NAME.json` (or `.ndjson`) holds records; beside it `NAME.FORMAT` holds the expected events of all of them in that
//! format, one a line. Events are compared field by field, so that the order of fields does not count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use muster_siem::formats::{Format, RecordKind};
use serde::Serialize;

use super::recorded::{self, Recorded};
use crate::cli::TestArgs;
use crate::config::{FormatName, FormatOptions};
use crate::exit_code::{Exit, Failed};
use crate::output::{Output, Tone, plain};

/// How many differences of one file are shown.
const DIFFERENCES_MAX: usize = 50;

/// What became of one file of expected events.
#[derive(Serialize)]
struct Tested {
    expected: String,
    events: usize,
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    /// The number of the event in the file; 0 for the file as a whole.
    event: usize,
    field: String,
    expected: Vec<String>,
    written: Vec<String>,
}

/// Compares, or with `--write` writes the files of expected events.
pub(crate) fn test(args: &TestArgs, output: Output) -> Result<Exit, Failed> {
    let files = records_in(&args.folder)?;
    if files.is_empty() {
        let message = format!("{} holds no records: files named .json or .ndjson", args.folder.display());
        return Err(Failed::say(Exit::NotFound, message));
    }
    if args.write {
        return write(args, &files, output);
    }
    let mut tested = Vec::new();
    for file in &files {
        for name in FormatName::value_variants() {
            let format = name.with(&FormatOptions::default());
            let expected = file.with_extension(format.name());
            if expected.is_file() {
                let records = recorded::read(file, args.kind)?;
                tested.push(compare(&records, &format, &expected)?);
            }
        }
    }
    if tested.is_empty() {
        let message = format!(
            "{} holds no expected events: a file such as {} beside each file of records. `--write --to cef,ecs` makes \
             them of what is written today",
            args.folder.display(),
            files[0].with_extension("ecs").display()
        );
        return Err(Failed::say(Exit::NotFound, message));
    }
    let good = tested.iter().all(|file| file.differences.is_empty());
    output.print(&tested, |output| show(&tested, output))?;
    Ok(if good { Exit::Success } else { Exit::Failure })
}

/// The files of records in a folder, in order.
fn records_in(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let failed = |error: std::io::Error| {
        Failed::say(Exit::NotFound, format!("{} cannot be read: {error}", folder.display()))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json" || extension == "ndjson") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// An event's fields: the values of each, in order.
type Fields = BTreeMap<String, Vec<String>>;

fn compare(records: &[Recorded], format: &Format, path: &Path) -> Result<Tested, Failed> {
    let failed =
        |error: &dyn std::error::Error| Failed::say(Exit::Failure, format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let expected: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut written = Vec::new();
    for record in records {
        let events = record.write(format).map_err(|error| failed(&error))?;
        for event in events.iter() {
            written.push((record.kind, String::from_utf8_lossy(event).into_owned()));
        }
    }
    let mut differences = Vec::new();
    if expected.len() != written.len() {
        differences.push(Difference {
            event: 0,
            field: "events".to_owned(),
            expected: vec![expected.len().to_string()],
            written: vec![written.len().to_string()],
        });
    }
    for (number, (expected, (kind, written))) in expected.iter().zip(&written).enumerate() {
        if expected == written {
            continue;
        }
        let wanted = fields(format, *kind, expected).map_err(|error| {
            Failed::say(Exit::Failure, format!("{} line {}: {error}", path.display(), number + 1))
        })?;
        let got = fields(format, *kind, written).map_err(|error| failed(&error))?;
        for field in wanted.keys().chain(got.keys().filter(|field| !wanted.contains_key(*field))) {
            let (wanted, got) = (wanted.get(field), got.get(field));
            if wanted != got {
                differences.push(Difference {
                    event: number + 1,
                    field: field.clone(),
                    expected: wanted.cloned().unwrap_or_default(),
                    written: got.cloned().unwrap_or_default(),
                });
            }
        }
    }
    Ok(Tested { expected: path.display().to_string(), events: written.len(), differences })
}

fn fields(
    format: &Format,
    kind: RecordKind,
    event: &str,
) -> Result<Fields, muster_siem::formats::FormatError> {
    let mut fields = Fields::new();
    for field in format.read_event(kind, event.as_bytes())? {
        fields.entry(field.name).or_default().push(field.value);
    }
    Ok(fields)
}

fn show(tested: &[Tested], output: &Output) -> String {
    let mut table = output.table(&["expected events", "events", "result"]);
    for file in tested {
        let (result, tone) = match file.differences.len() {
            0 => ("as expected".to_owned(), Tone::Good),
            count => (format!("{count} difference(s)"), Tone::Bad),
        };
        table.add_row(vec![
            output.cell(&file.expected, Tone::Plain),
            output.cell(file.events.to_string(), Tone::Plain),
            output.cell(result, tone),
        ]);
    }
    let mut text = table.to_string();
    for file in tested.iter().filter(|file| !file.differences.is_empty()) {
        text.push_str(&format!("\n\n{}", file.expected));
        let mut event = None;
        for difference in file.differences.iter().take(DIFFERENCES_MAX) {
            if event != Some(difference.event) {
                event = Some(difference.event);
                if difference.event > 0 {
                    text.push_str(&format!("\n  event {}", difference.event));
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

fn write(args: &TestArgs, files: &[PathBuf], output: Output) -> Result<Exit, Failed> {
    let mut written = Vec::new();
    for file in files {
        let records = recorded::read(file, args.kind)?;
        for name in &args.to {
            let format = name.with(&FormatOptions::default());
            let path = file.with_extension(format.name());
            let mut text = Vec::new();
            for record in &records {
                let events = record
                    .write(&format)
                    .map_err(|error| Failed::say(Exit::Failure, format!("{}: {error}", record.name)))?;
                for event in events.iter() {
                    text.extend_from_slice(event);
                    text.push(b'\n');
                }
            }
            std::fs::write(&path, text)?;
            written.push(path.display().to_string());
        }
    }
    output.print(&written, |_| format!("wrote {}", written.join("\n      ")))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use crate::cli::TestArgs;
    use crate::config::FormatName;
    use crate::exit_code::Exit;
    use crate::output::{ColourChoice, Output, OutputFormat};

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
