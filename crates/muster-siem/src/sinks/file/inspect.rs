//! Looking at the place of a file sink without leaving anything there.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Access, FlockOperation};

use super::disk::folder;
use super::site::{beside, explain};

/// What would keep the file from being written: nothing is made, and nothing is opened.
pub(super) fn inspect(path: &Path) -> Result<(), String> {
    let folder = folder(path);
    if path.file_name().is_none() || path.is_dir() {
        return Err(format!("{} is a folder; name a file in it", path.display()));
    }
    if !folder.is_dir() {
        return Err(format!("the folder {} does not exist; create it", folder.display()));
    }
    let may = |path: &Path, access: Access| match rustix::fs::access(path, access) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(explain(path, &error.into())),
    };
    may(folder, Access::WRITE_OK | Access::EXEC_OK)?;
    for suffix in ["", ".ledger", ".lock"] {
        let path = beside(path, suffix);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                return Err(format!(
                    "{} is a link, which is not followed; name the file itself",
                    path.display()
                ));
            }
            Ok(found) if !found.is_file() => {
                return Err(format!("{} is not a file; name one", path.display()));
            }
            _ => may(&path, Access::READ_OK | Access::WRITE_OK)?,
        }
    }
    Ok(())
}

/// Tries the place with a file that is gone afterwards, and says what was found.
pub(super) fn try_place(path: &Path) -> Result<String, String> {
    inspect(path)?;
    let probe = beside(path, &format!(".probe-{}", std::process::id()));
    let tried = write_and_remove(&probe);
    tried.map_err(|error| explain(&probe, &error))?;
    let is_written = is_being_written(path);
    let length = std::fs::metadata(path).map(|file| file.len());
    Ok(match (length, is_written) {
        (Ok(length), true) => {
            format!("{} is {length} bytes long, and is being written by `muster run`", path.display())
        }
        (Ok(length), false) => format!("{} can be written, and is {length} bytes long", path.display()),
        (Err(_), _) => format!("{} can be made when the first record comes", path.display()),
    })
}

fn write_and_remove(probe: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(probe)?;
    let written = file.write_all(b"muster\n").and_then(|()| file.sync_all());
    std::fs::remove_file(probe)?;
    written
}

/// Whether a process has the file's lock.
fn is_being_written(path: &Path) -> bool {
    let Ok(lock) = File::open(beside(path, ".lock")) else { return false };
    let locked = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared);
    locked == Err(rustix::io::Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_tried_and_left_as_it_was() {
        let home = tempfile::tempdir().expect("a folder");
        let names = || std::fs::read_dir(home.path()).expect("a folder").count();
        let path = home.path().join("alerts.ndjson");
        assert!(try_place(&path).expect("a good place").contains("can be made"));
        assert_eq!(names(), 0, "nothing is left behind");
        std::fs::write(&path, "{}\n").expect("written");
        assert!(try_place(&path).expect("a good place").contains("3 bytes long"));
        assert_eq!(names(), 1);
        for (wrong, words) in [
            (home.path().to_owned(), "is a folder"),
            (home.path().join("missing/alerts.ndjson"), "does not exist"),
            ("/dev/full".into(), "is not a file"),
        ] {
            assert!(try_place(&wrong).expect_err("a bad place").contains(words), "{}", wrong.display());
        }
    }
}
