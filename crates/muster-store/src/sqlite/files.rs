//! The files of a database, and whether this user may write them.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::StoreError;

/// A file beside the database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether this user may write the database, the files beside it, and new ones.
pub(crate) fn is_writable(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = ["", "-wal", "-shm", ".lock"]
        .map(|suffix| (beside(path, suffix), Access::READ_OK | Access::WRITE_OK));
    for (path, access) in beside.into_iter().chain([(folder.to_owned(), Access::WRITE_OK | Access::EXEC_OK)])
    {
        match rustix::fs::access(&path, access) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => {
                let detail = std::io::Error::from(error).to_string();
                return Err(StoreError::NotWritable { path: path.display().to_string(), detail });
            }
        }
    }
    Ok(())
}
