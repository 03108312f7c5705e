//! Reading files that an operator names, whatever lies there: nothing hangs, and nothing is read without end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use muster_model::Secret;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Opens an ordinary file.
///
/// # Errors
/// When it cannot be opened, or is a folder, a pipe, a socket or a device. A pipe is not waited for.
pub fn open(path: &Path) -> Result<File> {
    match opened(path)? {
        (file, Kind::File) => Ok(file),
        (_, Kind::Pipe) => Err(no_file("a pipe")),
    }
}

/// Opens an ordinary file, or a pipe into which somebody writes, as a shell makes one for `<(command)`.
///
/// # Errors
/// As [`open()`], and when nobody writes into the pipe.
pub fn open_or_pipe(path: &Path) -> Result<Box<dyn Read>> {
    let (mut file, kind) = opened(path)?;
    if kind == Kind::File {
        return Ok(Box::new(file));
    }
    // A first look that does not wait tells whether somebody writes.
    let mut first = [0; 512];
    let taken = match file.read(&mut first) {
        Ok(0) => return Err(Error::new(ErrorKind::InvalidInput, "it is a pipe into which nobody writes")),
        Ok(taken) => taken,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(Box::new(std::io::Cursor::new(first[..taken].to_vec()).chain(file)))
}

/// What a file holds, up to `bytes_max`; wiped when it is dropped.
///
/// # Errors
/// As [`open()`], and [`ErrorKind::FileTooLarge`].
pub fn secret(path: &Path, bytes_max: u64) -> Result<Secret<Vec<u8>>> {
    let mut bytes = Secret::new(Vec::new());
    let read = open(path)?.take(bytes_max + 1).read_to_end(bytes.expose_mut())?;
    if read as u64 > bytes_max {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// The text of a file or of a pipe, in UTF-8, up to `bytes_max`.
///
/// # Errors
/// As [`open_or_pipe`], [`ErrorKind::FileTooLarge`], and [`ErrorKind::InvalidData`] where it is no UTF-8.
pub fn text(path: &Path, bytes_max: u64) -> Result<String> {
    let mut bytes = Vec::new();
    let read = open_or_pipe(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        let message = format!("it is larger than {} KiB", bytes_max >> 10);
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Pipe,
}

fn opened(path: &Path) -> Result<(File, Kind)> {
    // Opening a pipe waits for whoever writes into it, unless told not to.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    let kind = file.metadata()?.file_type();
    match () {
        () if kind.is_file() => Ok((file, Kind::File)),
        () if kind.is_fifo() => Ok((file, Kind::Pipe)),
        () if kind.is_dir() => Err(Error::new(ErrorKind::IsADirectory, "it is a folder, not a file")),
        () if kind.is_socket() => Err(no_file("a socket")),
        () => Err(no_file("a device")),
    }
}

fn no_file(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("it is {what}, not a file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_read_where_somebody_writes_and_never_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("a pipe");
        assert!(text(&path, 10).expect_err("nobody").to_string().contains("nobody writes"));
        assert!(open(&path).expect_err("a pipe").to_string().contains("it is a pipe"));
        let keeps = File::options().read(true).write(true).open(&path).expect("both ends");
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "hello")
        });
        writer.join().expect("no panic").expect("written");
        let reader = std::thread::spawn(move || text(&path, 10));
        drop(keeps);
        // The bytes lie in the pipe for whoever has it open; where both ends were closed first, nobody writes.
        match reader.join().expect("no panic") {
            Ok(text) => assert_eq!(text, "hello"),
            Err(error) => assert!(error.to_string().contains("nobody writes"), "{error}"),
        }
        assert!(text(Path::new("/dev/zero"), 10).expect_err("a device").to_string().contains("a device"));
        assert!(text(folder.path(), 10).expect_err("a folder").to_string().contains("a folder"));
    }
}
