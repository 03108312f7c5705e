//! `muster test`: a folder of recorded records against the events that are expected of them.
//!
//! `NAME.json` (or `.ndjson`) holds records; beside it `NAME.FORMAT` holds the expected events of all of them in that
//! format, one a line. Events are compared field by field, so that the order of fields does not count.

mod compare;
mod folder;

use std::path::PathBuf;

use muster_model::RecordKind;
use muster_siem::formats::Format;
use muster_siem::sinks::{FormatName, FormatOptions};

use self::compare::{Tested, compare};
use self::folder::{Folder, Written, formats, written};
use super::format_name::format_name;
use super::recorded::record_kind;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::{Output, Tone, plain};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder with files of records (`NAME.json`) and of the expected events (`NAME.cef`, `NAME.ecs`, …).
    folder: PathBuf,
    /// What the records are, where their fields do not tell.
    #[arg(long, value_parser = record_kind)]
    kind: Option<RecordKind>,
    /// Write the files of expected events instead, over those that are there: what is written today.
    #[arg(long, requires = "to")]
    write: bool,
    /// The formats to write, apart by commas.
    #[arg(long, short, value_name = "FORMAT", value_delimiter = ',', requires = "write", value_parser = format_name())]
    to: Vec<FormatName>,
}

/// How many differences of one file are shown.
const DIFFERENCES_MAX: usize = 50;

/// How many troubles of one file of records are told.
const TROUBLES_MAX: usize = 10;

/// Compares, or with `--write` writes the files of expected events.
pub(crate) fn run(args: &Args, output: Output) -> Result<Exit, Failed> {
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

fn show(tested: &[Tested], output: &Output) -> String {
    let mut table = output.table(&["expected events", "events", "result"]);
    for file in tested {
        let (result, tone) = match (file.troubles.len(), file.differences.len()) {
            (0, 0) => ("as expected".to_owned(), Tone::Good),
            (0, count) => (format!("{count} difference(s)"), Tone::Bad),
            (count, 0) => (format!("{count} trouble(s)"), Tone::Bad),
            (troubles, count) => (format!("{count} difference(s), {troubles} trouble(s)"), Tone::Bad),
        };
        table.add_row([
            output.text(&file.expected),
            output.text(file.events.to_string()),
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
fn write(args: &Args, files: &[PathBuf], output: Output) -> Result<Exit, Failed> {
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
                    note!("muster: {}", plain(trouble));
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
            std::fs::write(&path, text).map_err(|error| Failed::unwritable(&path, &error))?;
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
    use super::Args;
    use crate::exit_code::Exit;
    use crate::shown::output::{ColourChoice, Output, OutputFormat};
    use muster_siem::sinks::FormatName;

    const RECORD: &str = r#"{"id":"da1","title":"Mimikatz","severity":"high","createdDateTime":"2026-01-01T00:00:00Z",
        "serviceSource":"microsoftDefenderForEndpoint","alertWebUrl":"https://x.example","evidence":[]}"#;

    #[test]
    fn what_was_written_is_expected_until_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("alert.json"), RECORD).expect("written");
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let args = |write: bool| Args {
            folder: folder.path().to_owned(),
            kind: None,
            write,
            to: if write { vec![FormatName::Cef, FormatName::Ecs] } else { Vec::new() },
        };
        assert_eq!(super::run(&args(false), output).expect_err("nothing is expected").exit, Exit::NotFound);
        assert_eq!(super::run(&args(true), output).expect("written"), Exit::Success);
        assert_eq!(super::run(&args(false), output).expect("compared"), Exit::Success);
        let path = folder.path().join("alert.cef");
        let line = std::fs::read_to_string(&path).expect("a line");
        std::fs::write(&path, line.replace("externalId=da1", "externalId=da2")).expect("written");
        assert_eq!(super::run(&args(false), output).expect("compared"), Exit::Failure);
    }

    #[test]
    fn the_order_of_fields_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("alert.json"), RECORD).expect("written");
        // A tree of JSON is written in the order of its keys.
        let record: serde_json::Value = serde_json::from_str(RECORD).expect("JSON");
        std::fs::write(folder.path().join("alert.raw"), record.to_string()).expect("written");
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let args = Args { folder: folder.path().to_owned(), kind: None, write: false, to: Vec::new() };
        assert_eq!(super::run(&args, output).expect("compared"), Exit::Success);
    }
}
