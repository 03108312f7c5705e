//! A file with a credential, replaced in one step.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_model::Secret;

/// A file larger than this holds no credential.
const FILE_BYTES_MAX: u64 = 1 << 20;
const NEW_SUFFIX: &str = ".muster-new";
pub(super) const PREVIOUS_SUFFIX: &str = ".previous";

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What a file holds.
pub(super) fn read_file(path: &Path) -> io::Result<Secret<Vec<u8>>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Secret::new(bytes))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file that a path leads to, through links.
fn real(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        found => found,
    }
}

/// Replaces a file in one step, with its owner and mode, and keeps what was in it as `….previous`. After a crash it holds
/// the old or the new bytes, never a part. A link is followed: what it points to is replaced.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = real(path)?;
    let new = beside(&path, NEW_SUFFIX);
    let before = fs::metadata(&path).ok();
    write_new(&new, &[bytes, b"\n"], before.as_ref())?;
    if before.is_some() {
        // A file of its own, closed to everybody else even where the old one was not.
        let held = read_file(&path)?;
        write_new(&beside(&path, PREVIOUS_SUFFIX), &[held.expose()], before.as_ref())?;
    }
    fs::rename(&new, &path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn write_new(new: &Path, parts: &[&[u8]], like: Option<&fs::Metadata>) -> io::Result<()> {
    // Left by an earlier rotation; nothing refers to it.
    remove_if_there(new)?;
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(new)?;
    let written = (|| {
        if let Some(like) = like {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
                // Whoever reads the file now must be able to read the new one.
                std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
            }
            // Never readable by everybody, even where the old one was.
            file.set_permissions(fs::Permissions::from_mode(like.permissions().mode() & 0o660))?;
        }
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_all()
    })();
    if written.is_err() {
        remove_if_there(new).ok();
    }
    written
}

/// Removes what was kept beside a file that was replaced.
pub(super) fn remove_previous(path: &Path) -> io::Result<()> {
    remove_if_there(&beside(&real(path)?, PREVIOUS_SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_and_the_old_one_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("main.secret");
        fs::write(&path, "old\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        fs::write(beside(&path, NEW_SUFFIX), "half of a").expect("left by a kill");
        replace_file(&path, b"new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new\n");
        assert_eq!(fs::read_to_string(beside(&path, PREVIOUS_SUFFIX)).expect("a file"), "old\n");
        assert_eq!(mode(&path), 0o640);
        assert!(!beside(&path, NEW_SUFFIX).exists());
        replace_file(&path, b"newer").expect("replaced");
        assert_eq!(fs::read_to_string(beside(&path, PREVIOUS_SUFFIX)).expect("a file"), "new\n");
    }

    #[test]
    fn a_file_that_everybody_could_read_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("main.secret");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        replace_file(&path, b"new").expect("replaced");
        assert_eq!(mode(&path), 0o640);
        let previous = beside(&path, PREVIOUS_SUFFIX);
        assert_eq!(
            (mode(&previous), fs::read_to_string(&previous).expect("kept")),
            (0o640, "old".to_owned())
        );
    }

    #[test]
    fn what_a_link_points_to_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&path, "old").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        replace_file(&link, b"new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new\n");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    }
}
