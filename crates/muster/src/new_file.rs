//! Files that are new, private, and whole or not there at all.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::exit_code::Failed;

/// A file that is being written under another name beside its own, which it gets when it is whole. Nothing that is there is
/// written over; nobody but its owner reads it.
pub(crate) struct NewFile {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
}

impl NewFile {
    /// Begins a file.
    ///
    /// # Errors
    /// When there is one of that name, or none can be made there.
    pub(crate) fn begin(path: &Path) -> Result<Self, Failed> {
        let failed = |error: io::Error| Failed::unwritable(path, &error);
        if path.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut part_name = std::ffi::OsString::from(".");
        part_name.push(name);
        part_name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(part_name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(failed)?;
        Ok(Self { path: path.to_owned(), part, file: BufWriter::new(file) })
    }

    /// Gives the file its name, when all of it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written to its end, or another took the name meanwhile.
    pub(crate) fn finish(mut self) -> Result<(), Failed> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        // Unlike a rename, a link replaces nothing.
        let named = written.and_then(|()| std::fs::hard_link(&self.part, &self.path));
        named.map_err(|error| Failed::unwritable(&self.path, &error))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Its other name stays, where it got one. What cannot be removed is in nobody's way.
        std::fs::remove_file(&self.part).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_whole_and_private_or_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("export.ndjson");
        let names = || std::fs::read_dir(folder.path()).expect("a folder").count();
        let mut file = NewFile::begin(&path).expect("begun");
        file.write_all(b"half").expect("written");
        drop(file);
        assert_eq!(names(), 0, "nothing is left of half a file");
        let mut file = NewFile::begin(&path).expect("begun");
        file.write_all(b"whole").expect("written");
        assert!(!path.exists());
        file.finish().expect("finished");
        assert_eq!(std::fs::read(&path).expect("read"), b"whole");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(names(), 1);
        let there = NewFile::begin(&path).err().expect("there is one").told();
        assert!(there.contains("export.ndjson") && there.contains("name another"), "{there}");
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).expect("a link");
        assert!(NewFile::begin(&folder.path().join("link")).is_err(), "no link is followed");
    }
}
