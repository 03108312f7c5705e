//! Every step that changes the disk, in one place, so that a test can stop between any two of them, or in the middle
//! of a write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The steps, and the lock that gives the right to take them.
pub(super) struct Disk {
    pub(super) lock: Option<File>,
    #[cfg(test)]
    pub(super) fault: Option<DiskFault>,
}

/// What goes wrong, and when: each step costs one, each written byte one more.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskFault {
    /// What may still be spent.
    pub(super) budget: u64,
    /// Whether everything fails afterwards, as when the process is gone, or only the one step.
    pub(super) for_good: bool,
}

impl Disk {
    pub(super) fn new(lock: File) -> Self {
        Self {
            lock: Some(lock),
            #[cfg(test)]
            fault: None,
        }
    }

    /// For what happens before the lock is there, or without one.
    pub(super) fn without_lock() -> Self {
        Self {
            lock: None,
            #[cfg(test)]
            fault: None,
        }
    }

    /// Whether the file's folder lies on another file system than when it was locked: a mount is gone, or there again.
    pub(super) fn is_elsewhere(&self, path: &Path) -> io::Result<bool> {
        let Some(lock) = &self.lock else { return Ok(false) };
        Ok(std::fs::metadata(folder(path))?.dev() != lock.metadata()?.dev())
    }

    /// Opens a file for reading and writing, made where there is none.
    pub(super) fn create(&mut self, path: &Path, mode: u32) -> io::Result<File> {
        self.step()?;
        open_regular(path, File::options().read(true).write(true).create(true).truncate(false).mode(mode))
    }

    pub(super) fn write_at(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let (taken, result) = match self.spend(bytes.len() as u64) {
            Ok(()) => (bytes.len(), Ok(())),
            Err((taken, error)) => (usize::try_from(taken).unwrap_or(usize::MAX), Err(error)),
        };
        file.write_all_at(bytes.get(..taken).unwrap_or(bytes), at)?;
        result
    }

    pub(super) fn sync(&mut self, file: &File) -> io::Result<()> {
        self.step()?;
        // What a test ends is the process and not the machine, and it does so thousands of times.
        if cfg!(test) { Ok(()) } else { file.sync_data() }
    }

    pub(super) fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        let folder = File::open(folder(path))?;
        if cfg!(test) { Ok(()) } else { folder.sync_all() }
    }

    pub(super) fn truncate(&mut self, file: &File, length: u64) -> io::Result<()> {
        self.step()?;
        file.set_len(length)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        std::fs::rename(from, to)
    }

    /// Whether a step may be taken, or how many of a write's bytes go before it fails.
    #[cfg(not(test))]
    fn spend(&mut self, _bytes: u64) -> Result<(), (u64, io::Error)> {
        Ok(())
    }

    #[cfg(test)]
    fn spend(&mut self, bytes: u64) -> Result<(), (u64, io::Error)> {
        let Some(fault) = &mut self.fault else { return Ok(()) };
        if let Some(left) = fault.budget.checked_sub(bytes + 1) {
            fault.budget = left;
            return Ok(());
        }
        let taken = fault.budget.min(bytes);
        if fault.for_good {
            fault.budget = 0;
        } else {
            self.fault = None;
        }
        Err((taken, io::ErrorKind::StorageFull.into()))
    }

    fn step(&mut self) -> io::Result<()> {
        self.spend(0).map_err(|(_, error)| error)
    }
}

/// Opens a file, and nothing else in its place: no link is followed, no pipe waited for, no folder or device written to.
pub(super) fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let shown = path.display();
    // Symbolic links are refused by the system, and the end of a pipe that nobody reads is not waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let file = match options.custom_flags(flags.cast_signed()).open(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(in_its_place(format!(
                "{shown} is a link: name the file itself, or move the link away"
            )));
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Err(in_its_place(format!("{shown} is a pipe or a socket, not a file: move it away")));
        }
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(in_its_place(format!("{shown} is not a file but something else: move it away")));
    }
    Ok(file)
}

pub(super) fn in_its_place(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// The folder that a file lies in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
