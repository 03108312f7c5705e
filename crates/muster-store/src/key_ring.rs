//! The key ring and its file: one Base64 key per line, the first of them current.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_model::Secret;
use rustix::fs::FlockOperation;

use crate::{MasterKey, MasterKeyError};

/// A file longer than this is no key ring.
const FILE_BYTES_MAX: u64 = 4096;
/// A ring with more keys than this was not made on purpose.
const KEYS_MAX: usize = 16;

/// The master keys at hand. The store says which of them seals it.
#[derive(Debug, Clone)]
pub struct KeyRing {
    /// The key that is to seal the store.
    pub current: MasterKey,
    /// Keys that may seal it still, or an older copy of it.
    pub older: Vec<MasterKey>,
}

impl From<MasterKey> for KeyRing {
    fn from(current: MasterKey) -> Self {
        Self { current, older: Vec::new() }
    }
}

impl KeyRing {
    /// Reads keys in Base64, one per line, the current one first.
    ///
    /// # Errors
    /// When there is none, or a line is not 32 bytes in Base64.
    pub fn from_base64(text: &Secret<String>) -> Result<Self, MasterKeyError> {
        let lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty());
        let mut keys: Vec<MasterKey> = Vec::new();
        for line in lines {
            let key = MasterKey::from_base64(&Secret::from(line))?;
            if keys.iter().all(|known| known.id() != key.id()) {
                keys.push(key);
            }
        }
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(MasterKeyError::Malformed);
        }
        let current = keys.remove(0);
        Ok(Self { current, older: keys })
    }

    /// The ring in Base64, one key per line.
    #[must_use]
    pub fn to_base64(&self) -> Secret<String> {
        // Large enough from the start: a string that grows leaves its earlier self behind.
        let mut text = String::with_capacity(FILE_BYTES_MAX as usize);
        for key in self.keys() {
            text.push_str(key.to_base64().expose());
            text.push('\n');
        }
        Secret::new(text)
    }

    /// Every key, the current one first.
    pub fn keys(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.older)
    }

    /// The key with this name.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&MasterKey> {
        self.keys().find(|key| key.id() == id)
    }

    /// The names of the keys, for messages.
    pub(crate) fn names(&self) -> String {
        self.keys().map(MasterKey::id).collect::<Vec<_>>().join(", ")
    }

    /// Reads the ring from a file that only its owner can read.
    ///
    /// # Errors
    /// When there is none, when others may read it, or when it holds something else.
    pub fn read_file(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
        // Opening a pipe would wait for whoever writes into it.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(std::io::Error::new(ErrorKind::InvalidInput, "it is no ordinary file")));
        }
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = Secret::new(vec![0; FILE_BYTES_MAX as usize]);
        let mut length = 0;
        // By hand, so that the buffer never grows and leaves a copy behind.
        loop {
            let rest = text.expose_mut().get_mut(length..).filter(|rest| !rest.is_empty());
            let Some(rest) = rest else { return Err(MasterKeyError::Malformed) };
            match (&file).read(rest) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if matches!(&text.expose()[..length], [0xef, 0xbb, 0xbf, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
            return Err(MasterKeyError::Marked { path: path.to_owned() });
        }
        let text = std::str::from_utf8(&text.expose()[..length]).map_err(|_| MasterKeyError::Malformed)?;
        Self::from_base64(&Secret::from(text))
    }

    /// Replaces the file by one with this ring, in one step: after a crash it holds the old ring or the new one. It
    /// keeps its owner and its mode. Where `path` is a link, what it leads to is replaced.
    ///
    /// # Errors
    /// When it cannot be written; the file is as it was.
    pub fn write_file(&self, path: &Path) -> Result<(), MasterKeyError> {
        self.replace(path).map_err(|source| MasterKeyError::File { path: path.to_owned(), source })
    }

    fn replace(&self, path: &Path) -> std::io::Result<()> {
        let path = match std::fs::canonicalize(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            resolved => resolved?,
        };
        let beside = beside(&path, ".new");
        match std::fs::remove_file(&beside) {
            // Left by one that died.
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let written = self.write_beside(&path, &beside);
        if written.is_err() {
            // What failed is told; that a part of a new key stays behind is worth less than that.
            drop(std::fs::remove_file(&beside));
        }
        written?;
        File::open(folder_of(&path))?.sync_all()
    }

    fn write_beside(&self, path: &Path, beside: &Path) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        if let Ok(replaced) = std::fs::metadata(path) {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (replaced.uid(), replaced.gid()) {
                std::os::unix::fs::fchown(&file, Some(replaced.uid()), Some(replaced.gid()))?;
            }
            file.set_permissions(PermissionsExt::from_mode(replaced.mode() & 0o600))?;
        }
        file.write_all(self.to_base64().expose().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(beside, path)
    }
}

/// Keeps other rotations away from the file for as long as it is held. Its folder is what is locked: the file itself is
/// replaced, and another file beside it would belong to whoever rotated first.
pub(crate) fn lock(path: &Path) -> Result<File, MasterKeyError> {
    let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
    let resolved = std::fs::canonicalize(path).map_err(failed)?;
    let folder = File::open(folder_of(&resolved)).map_err(failed)?;
    match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(folder),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(MasterKeyError::Busy { path: path.to_owned() }),
        Err(error) => Err(failed(error.into())),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use muster_model::Secret;

    use super::{KeyRing, beside, lock};
    use crate::{MasterKey, MasterKeyError};

    fn ring(older: usize) -> KeyRing {
        KeyRing { current: MasterKey::generate(), older: (0..older).map(|_| MasterKey::generate()).collect() }
    }

    #[test]
    fn a_ring_is_read_back_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster.key");
        for older in [0, 1, 5] {
            let ring = ring(older);
            ring.write_file(&path).unwrap();
            let again = KeyRing::read_file(&path).unwrap();
            assert_eq!(again.names(), ring.names());
            assert_eq!(again.older.len(), older);
            let last = ring.keys().last().unwrap().id();
            assert_eq!(again.find(&last).unwrap().id(), last);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
            assert!(!beside(&path, ".new").exists());
        }
        assert_eq!(format!("{:?}", ring(1)), "KeyRing { current: [secret], older: [[secret]] }");
    }

    #[test]
    fn what_is_no_ring_is_refused() {
        let (one, other) = (MasterKey::generate().to_base64(), MasterKey::generate().to_base64());
        let (one, other) = (one.expose(), other.expose());
        let read = |text: String| KeyRing::from_base64(&Secret::new(text)).map(|ring| ring.older.len());
        assert_eq!(read(format!("\n {one} \r\n\n{other}\n{one}\n")).unwrap(), 1, "each once");
        for wrong in [String::new(), "\n\n".to_owned(), format!("{one}\nc2hvcnQ="), format!("{one} {other}")]
        {
            assert!(matches!(read(wrong), Err(MasterKeyError::Malformed)));
        }
        let many = ring(20).to_base64();
        assert!(matches!(KeyRing::from_base64(&many), Err(MasterKeyError::Malformed)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster.key");
        assert!(matches!(KeyRing::read_file(&path), Err(MasterKeyError::File { .. })));
        let key = MasterKey::generate();
        key.write_new_file(&path).unwrap();
        assert_eq!(KeyRing::read_file(&path).unwrap().current.id(), key.id());
        assert!(matches!(key.write_new_file(&path), Err(MasterKeyError::File { .. })), "never overwritten");
        for wrong in [vec![0xff; 60], vec![b'\n'; 1 << 20]] {
            std::fs::write(&path, wrong).unwrap();
            assert!(matches!(KeyRing::read_file(&path), Err(MasterKeyError::Malformed)));
        }
    }

    #[test]
    fn a_key_file_is_for_its_owner_only_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster.key");
        ring(0).write_file(&path).unwrap();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o644);
        let error = KeyRing::read_file(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        set(0o400);
        let next = ring(1);
        next.write_file(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(KeyRing::read_file(&path).unwrap().names(), next.names());
    }

    #[test]
    fn a_link_to_the_file_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real.key"), folder.path().join("muster.key"));
        ring(0).write_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let next = ring(1);
        next.write_file(&link).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(KeyRing::read_file(&path).unwrap().names(), next.names());
    }

    #[test]
    fn what_cannot_be_written_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster.key");
        let first = ring(0);
        first.write_file(&path).unwrap();
        // In the way of the new file, and not to be removed like one.
        std::fs::create_dir(beside(&path, ".new")).unwrap();
        assert!(matches!(ring(1).write_file(&path), Err(MasterKeyError::File { .. })));
        assert_eq!(KeyRing::read_file(&path).unwrap().names(), first.names());
        std::fs::remove_dir(beside(&path, ".new")).unwrap();
        std::fs::write(beside(&path, ".new"), "left by one that died").unwrap();
        let next = ring(1);
        next.write_file(&path).unwrap();
        assert_eq!(KeyRing::read_file(&path).unwrap().names(), next.names());
    }

    #[test]
    fn one_rotation_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster.key");
        ring(0).write_file(&path).unwrap();
        let held = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(MasterKeyError::Busy { .. })));
        drop(held);
        lock(&path).unwrap();
    }
}
