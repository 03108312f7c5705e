//! What a raw file holds, read back line by line.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use jiff::Timestamp;
use muster_model::{RecordHead, RecordKind};

use crate::read_file;

/// A line that is longer than this is none of ours.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// A version of a record: its id and the time of its last update.
pub(super) type Version = (String, Option<Timestamp>);

/// How often each of these versions stands in the files. Whatever else stands there is passed over.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn copies(
    files: &[PathBuf],
    wanted: &mut HashMap<Version, u64>,
) -> Result<(), (PathBuf, std::io::Error)> {
    for file in files {
        let failed = |error| (file.clone(), error);
        let mut reader = BufReader::with_capacity(1 << 20, read_file::open(file).map_err(failed)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = std::io::Read::take(&mut reader, LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if read.map_err(failed)? == 0 {
                break;
            }
            let Some(kind) = RecordKind::detect(&line) else { continue };
            let Ok(text) = std::str::from_utf8(&line) else { continue };
            let Ok(head) = RecordHead::read(kind, text.trim_end()) else { continue };
            if let Some(count) = wanted.get_mut(&(head.id, head.updated_at)) {
                *count += 1;
            }
        }
    }
    Ok(())
}
