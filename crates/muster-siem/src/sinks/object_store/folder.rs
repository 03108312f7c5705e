//! Objects in a folder of this machine.
//!
//! A file is written under another name, synced, and given its own by a hard link, which never replaces anything; then
//! the folder is synced. So under its own name a file is whole, whatever happens. `object_store`'s own store for
//! folders does not sync.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;

use super::found::{Found, Made};

/// Makes the file, unless there is one of this name.
pub(super) fn create(root: &Path, name: &str, bytes: &[u8]) -> Result<Made, String> {
    let path = root.join(name);
    let folder = path.parent().unwrap_or(root);
    make_folders(root, folder).map_err(|error| failed("make the folder", folder, &error))?;
    if path.symlink_metadata().is_ok() {
        return Ok(Made::Exists);
    }
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let other = folder.join(format!(".{file_name}.{}.part", Uuid::new_v4().simple()));
    let linked = write(&other, bytes).and_then(|()| fs::hard_link(&other, &path));
    // Whatever came of it, the other name is not needed.
    let removed = fs::remove_file(&other);
    match linked {
        Ok(()) => removed.map_err(|error| failed("remove", &other, &error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Made::Exists),
        Err(error) => return Err(failed("write", &path, &error)),
    }
    sync_folder(folder).map_err(|error| failed("sync the folder", folder, &error))?;
    Ok(Made::Created)
}

/// Whether the file of this name holds these bytes. They are on disk then, whoever wrote them.
pub(super) fn look(root: &Path, name: &str, bytes: &Bytes) -> Result<Found, String> {
    let path = root.join(name);
    match is_same(&path, bytes) {
        Ok(true) => {
            // The link may have been made by a process that was killed before it synced the folder.
            let folder = path.parent().unwrap_or(root);
            sync_folder(folder).map_err(|error| failed("sync the folder", folder, &error))?;
            Ok(Found::Same)
        }
        Ok(false) => Ok(Found::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.symlink_metadata() {
            // A link that leads nowhere has the name.
            Ok(_) => Ok(Found::Other),
            Err(_) => Ok(Found::Nothing),
        },
        Err(error) => Err(failed("read", &path, &error)),
    }
}

/// Removes a file, and its folder where nothing else is in it; whether it could.
pub(super) fn remove(root: &Path, name: &str) -> bool {
    let path = root.join(name);
    if fs::remove_file(&path).is_err() {
        return false;
    }
    if let Some(folder) = path.parent().filter(|folder| *folder != root) {
        // Where something is in it, it stays.
        fs::remove_dir(folder).ok();
    }
    true
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> String {
    let what = match error.kind() {
        io::ErrorKind::PermissionDenied => "; give the user that Muster runs as the right to write there",
        io::ErrorKind::StorageFull => "; make room there",
        io::ErrorKind::CrossesDevices | io::ErrorKind::Unsupported => {
            "; the file system must have hard links, by which a file is made without replacing another"
        }
        _ => "",
    };
    format!("cannot {doing} {}: {error}{what}", path.display())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn is_same(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).open(path)?;
    if !file.metadata()?.is_file() || file.metadata()?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let (mut piece, mut rest) = (vec![0; 1 << 16], bytes);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => match rest.strip_prefix(&piece[..read]) {
                Some(after) => rest = after,
                None => return Ok(false),
            },
        }
    }
    file.sync_all()?;
    Ok(rest.is_empty())
}

/// Makes the folders below `root` that are missing, each synced into the one above it. The root is not made: where it
/// is missing, a disk may not be mounted.
fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    let mut path = root.to_owned();
    if !root.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{} is not there: make it, or mount what belongs there", root.display()),
        ));
    }
    for segment in folder.strip_prefix(root).unwrap_or(Path::new("")) {
        let above = path.clone();
        path.push(segment);
        match DirBuilder::new().mode(0o750).create(&path) {
            // One that is there may have been made by a process that was killed before it synced this.
            Ok(()) => sync_folder(&above)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => sync_folder(&above)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_once_and_nothing_replaced() {
        let root = tempfile::tempdir().expect("a folder");
        let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
        assert_eq!(look(root.path(), "a/b/c", &one), Ok(Found::Nothing));
        assert_eq!(create(root.path(), "a/b/c", &one), Ok(Made::Created));
        assert_eq!(create(root.path(), "a/b/c", &two), Ok(Made::Exists));
        assert_eq!(look(root.path(), "a/b/c", &one), Ok(Found::Same));
        assert_eq!(look(root.path(), "a/b/c", &two), Ok(Found::Other));
        let mode = |path: &str| fs::metadata(root.path().join(path)).expect("there").permissions().mode();
        assert_eq!(
            (mode("a/b/c") & 0o137, mode("a/b") & 0o027),
            (0, 0),
            "records are for their owner and its group"
        );
        fs::write(root.path().join("a/b/longer"), vec![7; 200_000]).expect("written");
        assert_eq!(look(root.path(), "a/b/longer", &Bytes::from(vec![7; 200_000])), Ok(Found::Same));
        assert_eq!(look(root.path(), "a/b/longer", &Bytes::from(vec![8; 200_000])), Ok(Found::Other));
        // What a kill left under another name is in nobody's way.
        fs::write(root.path().join("a/b/.d.x.part"), b"hal").expect("written");
        assert_eq!(create(root.path(), "a/b/d", &two), Ok(Made::Created));
        // A link to elsewhere, or a folder, is no object of ours.
        std::os::unix::fs::symlink("/nonexistent", root.path().join("a/b/e")).expect("a link");
        assert_eq!(create(root.path(), "a/b/e", &two), Ok(Made::Exists));
        assert_eq!(look(root.path(), "a/b/e", &two), Ok(Found::Other));
        fs::create_dir(root.path().join("a/b/f")).expect("a folder");
        assert_eq!(
            (create(root.path(), "a/b/f", &two), look(root.path(), "a/b/f", &two)),
            (Ok(Made::Exists), Ok(Found::Other))
        );
        let names: Vec<_> = fs::read_dir(root.path().join("a/b"))
            .expect("read")
            .map(|entry| entry.expect("read").file_name())
            .collect();
        assert_eq!(
            names.iter().filter(|name| name.to_string_lossy().ends_with(".part")).count(),
            1,
            "{names:?}"
        );
        assert!(remove(root.path(), "a/b/d") && !remove(root.path(), "a/b/d"));
        let missing = root.path().join("missing");
        let why = create(&missing, "a", &one).expect_err("no root");
        assert!(why.contains("make it, or mount"), "{why}");
        assert!(!missing.exists());
    }
}
