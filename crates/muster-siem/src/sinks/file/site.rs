//! Where a file sink's files are, how they are called, and what keeps them from being written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use muster_model::Clock;
use rustix::io::Errno;

use super::disk::folder;
use super::settings::FileSettings;

/// The file's settings, and what they leave to where it runs.
pub(super) struct FileSite {
    pub(super) path: PathBuf,
    pub(super) settings: FileSettings,
    /// The sink's name: another sink's deliveries have numbers of their own.
    pub(super) sink: String,
    /// Tells the time, for rotation.
    pub(super) clock: Arc<dyn Clock>,
}

pub(super) fn ledger_path(path: &Path) -> PathBuf {
    beside(path, ".ledger")
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// The stem and the dot with the extension of the file's name: `alerts` and `.ndjson`.
fn name_parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|_| format!(".{}", text(path.extension()))).unwrap_or_default();
    (text(path.file_stem()), extension)
}

impl FileSettings {
    /// The files that hold what was written, the oldest first: those that were rotated away, and the one that is written.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub fn files(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let path = folder.join(&self.path);
        let mut files: Vec<PathBuf> =
            rotated_names(&path)?.iter().map(|name| path.with_file_name(name)).collect();
        if path.try_exists()? {
            files.push(path);
        }
        Ok(files)
    }
}

/// A name that sorts by time and is not taken: `alerts-20260102T030405Z-001.ndjson`.
pub(super) fn rotated_path(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let (stem, extension) = name_parts(path);
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    for number in 1..1_000_000 {
        let candidate = path.with_file_name(format!("{stem}-{time}-{number:03}{extension}"));
        if !candidate.try_exists()? {
            return Ok(candidate);
        }
    }
    Err(io::Error::other("there are too many rotated files of this second"))
}

/// Deletes the oldest rotated files beyond `keep`. What cannot be deleted is logged and tried again next time.
pub(super) fn delete_oldest(path: &Path, keep: usize) {
    let deleted = rotated_names(path).and_then(|names| {
        let surplus = names.len().saturating_sub(keep);
        names.iter().take(surplus).try_for_each(|name| std::fs::remove_file(path.with_file_name(name)))
    });
    if let Err(error) = deleted {
        tracing::warn!(path = %path.display(), %error, "an old rotated file cannot be deleted");
    }
}

/// The names of rotated files, the oldest first.
pub(super) fn rotated_names(path: &Path) -> io::Result<Vec<String>> {
    let (stem, extension) = name_parts(path);
    let is_rotated = |name: &str| {
        let middle = name.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(&extension));
        let parts =
            middle.and_then(|middle| middle.strip_prefix('-')).and_then(|middle| middle.split_once('-'));
        parts.is_some_and(|(time, number)| {
            time.len() == 16
                && time.ends_with('Z')
                && time.bytes().filter(u8::is_ascii_digit).count() == 14
                && number.len() >= 3
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let entries = std::fs::read_dir(folder(path))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_rotated(name))
        .collect();
    names.sort_unstable_by_key(|name| (name.len(), name.clone()));
    Ok(names)
}

/// What failed, and what to do. The disk is looked at, since a full one and one without inodes answer alike.
pub(super) fn explain(path: &Path, error: &io::Error) -> String {
    let (what, advice) = match (error.kind(), error.raw_os_error().map(Errno::from_raw_os_error)) {
        // It says all there is to say.
        (io::ErrorKind::InvalidInput, None) => return error.to_string(),
        (io::ErrorKind::StorageFull, _) if has_no_inodes(path) => {
            ("the disk has no inodes left", "delete files there, however small; nothing is lost meanwhile")
        }
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
            ("the disk is full", "free some space; nothing is lost meanwhile")
        }
        (_, Some(Errno::IO)) => (
            "the disk fails",
            "look at the disk, its cable or its network (`dmesg`); nothing is lost meanwhile",
        ),
        (io::ErrorKind::ReadOnlyFilesystem, _) => {
            ("its disk is mounted read-only", "mount it for writing; nothing is lost meanwhile")
        }
        (io::ErrorKind::PermissionDenied, _) => {
            ("not allowed", "let the user that Muster runs as write there")
        }
        (io::ErrorKind::NotFound, _) => ("its folder is not there", "create it, or mount its file system"),
        (_, Some(Errno::STALE | Errno::NOTCONN | Errno::NODEV)) => {
            ("its file system is gone", "mount it again; nothing is lost meanwhile")
        }
        _ => ("it fails", "check the disk"),
    };
    format!("cannot write {}: {what} ({error}); {advice}", path.display())
}

fn has_no_inodes(path: &Path) -> bool {
    // Where inodes are not counted, there are none at all.
    rustix::fs::statvfs(folder(path)).is_ok_and(|found| found.f_files > 0 && found.f_favail == 0)
}
