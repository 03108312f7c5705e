//! Bringing a file and its ledger into order, whatever a crash, a full disk or somebody else has left.

use std::fs::File;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use uuid::Uuid;

use super::disk::{Disk, in_its_place, open_regular};
use super::inspect::inspect;
use super::ledger::{Entry, Ledger};
use super::line::Line;
use super::site::{FileSite, beside, explain, ledger_path};

/// A ledger that is not longer than this is left as it is when it is opened.
const SHORT_LEDGER: u64 = 256 << 10;

/// Brings data and ledger into order.
pub(super) fn recover(site: &FileSite, disk: &mut Disk) -> io::Result<(File, File, Ledger)> {
    let (path, place) = (&site.path, ledger_path(&site.path));
    if disk.is_elsewhere(path)? {
        if !place.try_exists()? {
            return Err(not_mounted(path));
        }
        // It is mounted again.
        let again = lock(path).map_err(in_its_place)?;
        let taken = || in_its_place(format!("{} is being written by another process", path.display()));
        disk.lock = Some(again.ok_or_else(taken)?);
    }
    let mut ledger = match Ledger::read(&place)? {
        Some(ledger) => ledger,
        None => adopt(path, site.clock.now())?,
    };
    let mut state = ledger.state();
    let is_old = state.id.is_none();
    let id = state.id.unwrap_or_else(Uuid::new_v4);
    let is_rotated = state.rotating.is_some();
    if let Some(name) = state.rotating.take() {
        let rotated = path.with_file_name(name);
        if !rotated.try_exists()? && path.try_exists()? {
            disk.rename(path, &rotated)?;
            disk.sync_folder(path)?;
        }
        ledger.push(Line::Begin { length: 0, since: site.clock.now() });
        state = ledger.state();
    }
    let data = disk.create(path, 0o640)?;
    let length = data.metadata()?.len();
    let borne_out = ledger.borne_out(&data, length)?;
    let all = ledger.entries.len();
    // Without the line that says that it was synced, the last write may have been cut short by a crash.
    let torn = match ledger.entries.last() {
        Some(Entry { line: Line::Write { from, bytes, .. }, .. }) => Some((*from, from + bytes)),
        _ => None,
    };
    let begin = match (borne_out, torn) {
        (Some(count), _) if count == all => (length > state.length).then(|| {
            tracing::warn!(
                path = %path.display(),
                bytes = length - state.length,
                "the file holds more than its ledger knows of; it stays there, and some of it may be written again"
            );
        }),
        (Some(count), Some((from, until))) if count + 1 == all && (from..=until).contains(&length) => {
            if length > from {
                tracing::info!(path = %path.display(), bytes = length - from, "cut what a crash had left half-written");
                disk.truncate(&data, from)?;
            }
            ledger.entries.truncate(count);
            None
        }
        _ if length == 0 => {
            if torn.is_some() {
                ledger.entries.truncate(all - 1);
            }
            tracing::warn!(
                path = %path.display(),
                expected_bytes = state.length,
                "the file was moved, deleted or emptied since it was last written; records that were in it are gone from here, new ones follow"
            );
            Some(())
        }
        (known, _) => {
            tracing::warn!(
                path = %path.display(),
                expected_bytes = state.length,
                found_bytes = length,
                "the file is older than its ledger, or was cut: it was put back or changed by somebody. What the journal still \
                 holds of what is missing is written again, and some of it may be there twice"
            );
            match known {
                Some(count) => ledger.entries.truncate(count),
                None => ledger = Ledger::new([Line::Ledger { id }]),
            }
            Some(())
        }
    };
    if begin.is_some() {
        let length = end_line(disk, &data, length)?;
        let since = if length == 0 { site.clock.now() } else { state.since };
        ledger.push(Line::Begin { length, since });
    }
    disk.sync(&data)?;
    disk.sync_folder(path)?;
    // Lines that are left out are cut off, which needs no space on a disk that may be full.
    let is_as_written = !is_rotated && begin.is_none() && !is_old;
    if is_as_written && ledger.length() <= SHORT_LEDGER {
        return Ok((data, trim(disk, &place, ledger.length())?, ledger));
    }
    let ledger = ledger.shortened(id);
    let file = write_ledger(disk, path, &ledger)?;
    Ok((data, file, ledger))
}

/// Opens a ledger whose last line may have been torn, and cuts that off.
fn trim(disk: &mut Disk, place: &Path, length: u64) -> io::Result<File> {
    let file = disk.create(place, 0o600)?;
    if file.metadata()?.len() > length {
        disk.truncate(&file, length)?;
    }
    // Also what an earlier process wrote and did not get to sync.
    disk.sync(&file)?;
    Ok(file)
}

/// The ledger of a file that has none: all that is in it stays.
fn adopt(path: &Path, now: Timestamp) -> io::Result<Ledger> {
    let mut length = 0;
    match open_regular(path, File::options().read(true).write(true)) {
        Ok(file) => {
            length = file.metadata()?.len();
            if length > 0 {
                tracing::warn!(
                    path = %path.display(),
                    "the file has no ledger beside it; it is appended to, and nothing is known about what is in it"
                );
                length = end_line(&mut Disk::without_lock(), &file, length)?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // A name of its own is given to it when it is written.
    Ok(Ledger::new([Line::Begin { length, since: now }]))
}

/// Ends a line that somebody else has left unended, and returns the file's length.
pub(super) fn end_line(disk: &mut Disk, file: &File, length: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt;
    let mut last = [0];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
        if last != *b"\n" {
            disk.write_at(file, b"\n", length)?;
            disk.sync(file)?;
            return Ok(length + 1);
        }
    }
    Ok(length)
}

/// Writes a ledger in place of the old one.
pub(super) fn write_ledger(disk: &mut Disk, path: &Path, ledger: &Ledger) -> io::Result<File> {
    let (place, fresh) = (ledger_path(path), beside(path, ".ledger.new"));
    let text = ledger.spell();
    let file = disk.create(&fresh, 0o600)?;
    disk.truncate(&file, 0)?;
    disk.write_at(&file, text.as_bytes(), 0)?;
    disk.sync(&file)?;
    disk.rename(&fresh, &place)?;
    disk.sync_folder(path)?;
    Ok(file)
}

/// What lies under a mount point is not the file.
pub(super) fn not_mounted(path: &Path) -> io::Error {
    in_its_place(format!(
        "the file system that held {} is not mounted any more: mount it again; nothing is lost meanwhile",
        path.display()
    ))
}

/// Takes the lock that keeps a second process away; `None` when that one has it. A file of its own, since the ledger
/// is replaced now and then and a lock goes with the file.
pub(super) fn lock(path: &Path) -> Result<Option<File>, String> {
    inspect(path)?;
    let place = beside(path, ".lock");
    let refused = |error: io::Error| explain(&place, &error);
    let file = Disk::without_lock().create(&place, 0o600).map_err(refused)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(refused(error.into())),
    }
}
