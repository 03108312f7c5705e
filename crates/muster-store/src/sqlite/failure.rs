//! What SQLite and its disk say, put into the words of [`StoreError`].

use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;

use super::files::is_writable;
use crate::StoreError;

// Result codes of SQLite (https://www.sqlite.org/rescode.html).
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const NOT_A_DATABASE: i32 = 26;
const READ_ONLY: i32 = 8;
const IO_ERROR: i32 = 10;
const CAN_NOT_OPEN: i32 = 14;
const IO_ERROR_SHORT_READ: i32 = 522;
const READ_ONLY_MOVED: i32 = 1032;
const IO_ERROR_NO_MEMORY: i32 = 3082;

/// A disk with less than this is full: the smallest commit needs some of it.
const FULL_BYTES: u64 = 64 << 10;

/// `error` in words.
pub(crate) fn worded(error: &sqlx::Error, path: &str, doing: &'static str) -> StoreError {
    let (store, detail) = (path.to_owned(), error.to_string());
    let Some(code) = code(error) else { return StoreError::Database { doing, detail } };
    match (code, code & 0xff) {
        (_, BUSY | LOCKED) => StoreError::Locked { store },
        (IO_ERROR_SHORT_READ, _) | (_, CORRUPT | NOT_A_DATABASE) => StoreError::Damaged { store, detail },
        (IO_ERROR_NO_MEMORY, _) => StoreError::Database { doing, detail },
        // SQLite does not tell them apart: the disk does.
        (_, FULL) => examined(path, &detail).unwrap_or(StoreError::DiskFull { store }),
        (READ_ONLY_MOVED, _) => StoreError::Gone { store, detail },
        (_, READ_ONLY) => refused(path, &detail).unwrap_or(StoreError::ReadOnly { store, detail }),
        (_, IO_ERROR) => examined(path, &detail).unwrap_or(StoreError::DiskFails { store, detail }),
        (_, CAN_NOT_OPEN) => refused(path, &detail).unwrap_or(StoreError::Database { doing, detail }),
        _ => StoreError::Database { doing, detail },
    }
}

/// Why a file of the store is not opened or written, as far as it shows by looking: the disk, or somebody else's files.
fn refused(path: &str, detail: &str) -> Option<StoreError> {
    examined(path, detail).or_else(|| is_writable(Path::new(path)).err())
}

/// What is wrong with the disk under the store, as far as it shows by looking.
pub(crate) fn examined(path: &str, detail: &str) -> Option<StoreError> {
    let (store, detail) = (path.to_owned(), detail.to_owned());
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let found = match rustix::fs::statvfs(folder) {
        Ok(found) => found,
        Err(error @ (Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NOTCONN | Errno::NODEV)) => {
            return Some(StoreError::Gone { store, detail: format!("{}: {error}", folder.display()) });
        }
        Err(error) => return Some(StoreError::DiskFails { store, detail: error.to_string() }),
    };
    if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some(StoreError::ReadOnly { store, detail: "its disk is mounted read-only".to_owned() });
    }
    if found.f_bavail.saturating_mul(found.f_frsize) < FULL_BYTES {
        return Some(StoreError::DiskFull { store });
    }
    // Where inodes are not counted, there are none at all.
    if found.f_files > 0 && found.f_favail == 0 {
        return Some(StoreError::NoInodes { store });
    }
    (!Path::new(path).exists()).then_some(StoreError::Gone { store, detail })
}

fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// What a file of the store that cannot be read or written says.
pub(crate) fn file_error(error: &std::io::Error, path: &Path, doing: &'static str) -> StoreError {
    let store = path.display().to_string();
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            examined(&store, &error.to_string()).unwrap_or(StoreError::DiskFull { store })
        }
        std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { store, detail: error.to_string() },
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            StoreError::DiskFails { store, detail: error.to_string() }
        }
        std::io::ErrorKind::PermissionDenied => {
            StoreError::NotWritable { path: store, detail: error.to_string() }
        }
        _ => StoreError::Database { doing, detail: format!("{store}: {error}") },
    }
}
