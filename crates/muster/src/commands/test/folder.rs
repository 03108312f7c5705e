//! A folder of recorded records, and what is written of them today.

use std::path::{Path, PathBuf};

use muster_model::RecordKind;
use muster_siem::formats::{Encoding, Format};
use muster_siem::sinks::{FormatName, FormatOptions};

use crate::commands::recorded::File;
use crate::exit_code::{Exit, Failed};

/// The files of a folder, in order.
pub(super) struct Folder {
    /// Those of records.
    pub(super) records: Vec<PathBuf>,
    /// Those of expected events that have no records beside them.
    pub(super) orphans: Vec<PathBuf>,
}

impl Folder {
    pub(super) fn read(folder: &Path) -> Result<Self, Failed> {
        let failed = |error: std::io::Error| {
            let said = format!(
                "{} cannot be read as a folder: {error}: name the folder that holds the records",
                folder.display()
            );
            Failed::say(Exit::NotFound, said)
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
pub(super) struct Written {
    pub(super) record: String,
    pub(super) kind: RecordKind,
    pub(super) event: Vec<u8>,
}

/// The events of all records of a file in each format; or all that is wrong with the file.
pub(super) fn written(
    path: &Path,
    kind: Option<RecordKind>,
    formats: &[Format],
) -> Result<Vec<Vec<Written>>, Vec<String>> {
    let file = File::read(path).map_err(|unread| vec![unread.to_string()])?;
    let encodings: Vec<Encoding> = formats.iter().cloned().map(Encoding::from).collect();
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
        for (encoding, written) in encodings.iter().zip(&mut written) {
            match record.write(encoding) {
                Ok(events) => written.extend(events.iter().map(|event| Written {
                    record: record.name.clone(),
                    kind: record.kind,
                    event: event.to_vec(),
                })),
                Err(error) => troubles
                    .push(format!("{}: cannot be spelled in {}: {error}", record.name, encoding.format)),
            }
        }
    }
    if troubles.is_empty() { Ok(written) } else { Err(troubles) }
}

pub(super) fn formats() -> impl Iterator<Item = Format> {
    FormatName::ALL.iter().map(|name| name.with(&FormatOptions::default()))
}
