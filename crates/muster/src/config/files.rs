//! The files of the settings, whatever lies there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::read_file;

/// Settings larger than this were not written by a person.
const SETTINGS_BYTES_MAX: u64 = 4 << 20;

/// How a file begins that is no UTF-8 text, though an editor shows it as one.
pub(super) fn odd_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => Some("begins with a byte-order mark"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16"),
        // Text in UTF-16 without a mark: every second byte of plain letters is 0.
        [0, letter, 0, ..] | [letter, 0, _, 0, ..] if letter.is_ascii_graphic() => Some("is UTF-16"),
        _ => None,
    }
}

/// A file of settings as text; in words, with the line, what is wrong where it is none.
pub(super) fn read_settings(path: &Path) -> Result<String, (Option<usize>, String)> {
    let bytes =
        read_file::secret(path, SETTINGS_BYTES_MAX).map_err(|error| (None, unreadable(path, &error)))?;
    let bytes = bytes.expose().strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes.expose());
    if odd_encoding(bytes) == Some("is UTF-16") {
        return Err((None, "it is written in UTF-16: save it as UTF-8".to_owned()));
    }
    let line = |at: usize| Some(memchr::memchr_iter(b'\n', &bytes[..at]).count() + 1);
    if let Some(at) = memchr::memchr(0, bytes) {
        return Err((
            line(at),
            "a NUL byte stands here, which no text holds: is this the right file?".to_owned(),
        ));
    }
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
        let message = "a byte stands here that is no UTF-8: save the file as UTF-8".to_owned();
        (line(error.valid_up_to()), message)
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound if path.is_symlink() => "it is a link that leads nowhere".to_owned(),
        ErrorKind::NotFound => "there is no such file; `muster init` makes one".to_owned(),
        ErrorKind::PermissionDenied => format!(
            "it cannot be read ({error}): let the user that Muster runs as read it, and enter the folders on the way"
        ),
        ErrorKind::FileTooLarge => {
            format!("it is larger than {} MiB, which no settings are", SETTINGS_BYTES_MAX >> 20)
        }
        ErrorKind::InvalidInput => error.to_string(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "it is a link that leads back to itself".to_owned()
        }
        _ => format!("it cannot be read: {error}"),
    }
}

/// The files of the settings at `path`: itself, or the `*.toml` files of a folder. Hidden ones are left out: editors
/// keep their locks there.
pub(super) fn names(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: std::io::Error| unreadable(path, &error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.path();
        let hidden = name.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && name.extension().is_some_and(|extension| extension == "toml") {
            names.push(name);
        }
    }
    names.sort();
    match names.is_empty() {
        true => Err("the folder holds no *.toml file; `muster init` makes one".to_owned()),
        false => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(path: &Path) -> (Option<usize>, String) {
        read_settings(path).expect_err("it is wrong")
    }

    #[test]
    fn whatever_lies_there_is_told_and_nothing_hangs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("muster.toml");
        let write = |bytes: &[u8]| std::fs::write(&path, bytes).expect("written");
        assert!(wrong(&path).1.contains("there is no such file"));
        write(b"[store]\n# caf\xe9\n");
        assert_eq!(
            wrong(&path),
            (Some(2), "a byte stands here that is no UTF-8: save the file as UTF-8".to_owned())
        );
        write(b"[store]\n\n\0");
        assert_eq!(wrong(&path).0, Some(3));
        for utf16 in [&b"\xff\xfe[\0s\0"[..], b"\xfe\xff\0[\0s", b"[\0s\0t\0", b"\0[\0s\0t"] {
            write(utf16);
            assert!(wrong(&path).1.contains("UTF-16"), "{utf16:?}");
        }
        write(b"\xef\xbb\xbf[store]\n");
        assert_eq!(
            read_settings(&path).expect("settings"),
            "[store]\n",
            "a byte-order mark does no harm here"
        );
        write(&vec![b'#'; (SETTINGS_BYTES_MAX + 1) as usize]);
        assert!(wrong(&path).1.contains("larger than 4 MiB"));
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(&path, &path).expect("a link");
        assert!(wrong(&path).1.contains("leads back to itself"));
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).expect("a link");
        assert!(wrong(&path).1.contains("leads nowhere"));
        std::fs::remove_file(&path).expect("removed");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .expect("a pipe");
        assert!(wrong(&path).1.contains("it is a pipe"));
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("a folder");
        assert!(wrong(&path).1.contains("it is a folder"));
        assert!(wrong(Path::new("/dev/zero")).1.contains("it is a device"));
        assert!(names(&path).expect_err("nothing in it").contains("no *.toml file"));
        std::fs::write(path.join(".#muster.toml"), "").expect("written");
        std::fs::write(path.join("b.toml"), "").expect("written");
        std::fs::write(path.join("a.toml"), "").expect("written");
        assert_eq!(names(&path).expect("files"), [path.join("a.toml"), path.join("b.toml")]);
    }
}
