//! The open file and its ledger: bringing both into order, committing, rotating. Crash, restart and full disk are one
//! path, [`OpenFile::open`].

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Clock, TenantId};
use rustix::fs::FlockOperation;

use super::disk::{Disk, beside, explain, folder};
use super::inspect::inspect;
use super::ledger::{Ledger, Line};
use super::settings::FileSettings;

/// The ledger is written anew when it has grown by this much.
pub(super) const LEDGER_BYTES_MAX: u64 = 1 << 20;

/// The file's settings, and what they leave to where it runs.
pub(super) struct FileSite {
    pub(super) path: PathBuf,
    pub(super) settings: FileSettings,
    /// Which journal the delivery numbers are from. The numbers that a ledger remembers from another journal mean
    /// nothing, and are forgotten; without this, a new store beside an old file would be taken for a repetition.
    pub(super) journal_id: Option<String>,
    /// Tells the time, for rotation.
    pub(super) clock: Arc<dyn Clock>,
}

/// What is committed at once: the lines of one tenant's deliveries.
pub(super) struct Lines {
    pub(super) tenant: TenantId,
    pub(super) bytes: Vec<u8>,
    /// The deliveries by ascending number, each with its part of the bytes.
    pub(super) parts: Vec<(u64, Range<usize>)>,
}

/// The open file and its ledger.
pub(super) struct OpenFile {
    pub(super) disk: Disk,
    data: File,
    ledger: File,
    ledger_length: u64,
    /// Of the ledger when it was last written anew.
    ledger_base: u64,
    /// Of the data that is synced and in the ledger.
    pub(super) length: u64,
    since: Timestamp,
    highest: HashMap<TenantId, u64>,
}

impl OpenFile {
    /// Brings data and ledger into order and opens them. Repeatable at any point at which it was cut short. The lock
    /// comes back when it fails.
    pub(super) fn open(site: &FileSite, mut disk: Disk) -> Result<Self, (io::Error, Disk)> {
        match Self::recover(site, &mut disk) {
            Ok((data, ledger, ledger_length, state)) => Ok(Self {
                disk,
                data,
                ledger,
                ledger_length,
                ledger_base: ledger_length,
                length: state.length,
                since: state.since,
                highest: state.highest,
            }),
            Err(error) => Err((error, disk)),
        }
    }

    fn recover(site: &FileSite, disk: &mut Disk) -> io::Result<(File, File, u64, Ledger)> {
        let path = &site.path;
        let mut state = match Ledger::read(&ledger_path(path))? {
            Some(state) => state,
            None => adopt(path, site.clock.now())?,
        };
        if state.journal != site.journal_id {
            if !state.highest.is_empty() && state.journal.is_some() {
                tracing::warn!(path = %path.display(), "the file is from another journal; its delivery numbers are forgotten");
                state.highest.clear();
            }
            state.journal.clone_from(&site.journal_id);
        }
        if let Some(name) = state.rotating.take() {
            let rotated = path.with_file_name(name);
            if !rotated.try_exists()? && path.try_exists()? {
                cut(disk, path, state.length)?;
                disk.rename(path, &rotated)?;
                disk.sync_folder(path)?;
            }
            state.length = 0;
            state.since = site.clock.now();
        }
        let missing = state.length > 0 && !path.try_exists()?;
        let data = disk.create(path, 0o640)?;
        let length = data.metadata()?.len();
        if length < state.length {
            tracing::warn!(
                path = %path.display(),
                expected_bytes = state.length,
                found_bytes = length,
                "{} since it was last written; records that were in it are gone from here, new ones follow",
                if missing { "the file was deleted or moved" } else { "the file was cut by somebody" }
            );
            state.length = end_line(disk, &data, length)?;
        } else if length > state.length {
            tracing::info!(path = %path.display(), bytes = length - state.length, "cut what a crash had left half-written");
            disk.truncate(&data, state.length)?;
        }
        disk.sync(&data)?;
        disk.sync_folder(path)?;
        let (ledger, ledger_length) = write_ledger(disk, path, &state)?;
        Ok((data, ledger, ledger_length, state))
    }

    /// Writes the new deliveries of the group, syncs them, enters them in the ledger, syncs it.
    pub(super) fn commit(&mut self, site: &FileSite, group: &[&Lines]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut highest = BTreeMap::new();
        for lines in group {
            let mut known = *highest.get(&lines.tenant).or(self.highest.get(&lines.tenant)).unwrap_or(&0);
            for (number, part) in &lines.parts {
                if *number <= known && self.is_known(lines.tenant, &highest) {
                    continue;
                }
                known = *number;
                highest.insert(lines.tenant, known);
                bytes.extend_from_slice(lines.bytes.get(part.clone()).unwrap_or_default());
            }
        }
        if highest.is_empty() {
            return Ok(());
        }
        self.look_after(site)?;
        let now = site.clock.now();
        let grown = self.length + bytes.len() as u64;
        let too_large = site.settings.rotate_size.is_some_and(|most| grown > most.0);
        let age = Duration::try_from(now.duration_since(self.since)).unwrap_or_default();
        let too_old = site.settings.rotate_every.is_some_and(|most| age >= most.0);
        if self.length > 0 && !bytes.is_empty() && (too_large || too_old) {
            self.rotate(site, now)?;
        }
        let length = self.length + bytes.len() as u64;
        if !bytes.is_empty() {
            self.disk.write_at(&self.data, &bytes, self.length)?;
            self.disk.sync(&self.data)?;
        }
        self.enter(&Line::Commit { length, highest: &highest })?;
        self.length = length;
        self.highest.extend(highest);
        if self.ledger_length > self.ledger_base + LEDGER_BYTES_MAX {
            self.compact(site)?;
        }
        Ok(())
    }

    fn is_known(&self, tenant: TenantId, highest: &BTreeMap<TenantId, u64>) -> bool {
        highest.contains_key(&tenant) || self.highest.contains_key(&tenant)
    }

    /// Whether the file is still the one that is open, and as long as it was left. Log rotation by others moves,
    /// deletes or cuts it.
    fn look_after(&mut self, site: &FileSite) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let open = self.data.metadata()?;
        let there = match std::fs::metadata(&site.path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let same = there.is_some_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino()));
        if same && open.len() >= self.length {
            return Ok(());
        }
        tracing::warn!(
            path = %site.path.display(),
            "the file was moved, deleted or cut by somebody; it is begun anew. Let Muster rotate it instead"
        );
        if !same {
            self.data = self.disk.create(&site.path, 0o640)?;
            self.disk.sync_folder(&site.path)?;
            self.since = site.clock.now();
        }
        let found = self.data.metadata()?.len();
        self.length = end_line(&mut self.disk, &self.data, found)?;
        self.enter(&Line::Begin { length: self.length, since: self.since })
    }

    fn rotate(&mut self, site: &FileSite, now: Timestamp) -> io::Result<()> {
        let path = &site.path;
        let rotated = rotated_path(path, now)?;
        let name = rotated
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidFilename, "the file's name is not UTF-8"))?;
        self.enter(&Line::Rotate { name })?;
        self.disk.rename(path, &rotated)?;
        self.disk.sync_folder(path)?;
        self.data = self.disk.create(path, 0o640)?;
        self.disk.sync_folder(path)?;
        self.enter(&Line::Begin { length: 0, since: now })?;
        self.length = 0;
        self.since = now;
        if let Some(keep) = site.settings.keep {
            delete_oldest(path, keep as usize);
        }
        Ok(())
    }

    /// Appends a line to the ledger, and syncs it.
    fn enter(&mut self, line: &Line<'_>) -> io::Result<()> {
        let line = line.spell();
        self.disk.write_at(&self.ledger, line.as_bytes(), self.ledger_length)?;
        self.disk.sync(&self.ledger)?;
        self.ledger_length += line.len() as u64;
        Ok(())
    }

    fn compact(&mut self, site: &FileSite) -> io::Result<()> {
        let state = Ledger {
            journal: site.journal_id.clone(),
            length: self.length,
            since: self.since,
            highest: std::mem::take(&mut self.highest),
            rotating: None,
        };
        let written = write_ledger(&mut self.disk, &site.path, &state);
        self.highest = state.highest;
        (self.ledger, self.ledger_length) = written?;
        self.ledger_base = self.ledger_length;
        Ok(())
    }

    /// Whether a record could be written now.
    pub(super) fn probe(&mut self, site: &FileSite) -> io::Result<()> {
        self.look_after(site)?;
        let probe = beside(&site.path, ".probe");
        let file = self.disk.create(&probe, 0o600)?;
        let written = self.disk.write_at(&file, b"muster\n", 0).and_then(|()| self.disk.sync(&file));
        std::fs::remove_file(&probe)?;
        written
    }
}

/// The state of a file without a ledger: all that is in it stays.
fn adopt(path: &Path, now: Timestamp) -> io::Result<Ledger> {
    let mut state = Ledger::new(now);
    if let Some(length) =
        path.try_exists()?.then(|| std::fs::metadata(path)).transpose()?.map(|found| found.len())
        && length > 0
    {
        tracing::warn!(
            path = %path.display(),
            "the file has no ledger beside it; it is appended to, and nothing is known about what is in it"
        );
        let file = File::options().read(true).write(true).open(path)?;
        state.length = end_line(&mut Disk::without_lock(), &file, length)?;
    }
    Ok(state)
}

/// Ends a line that somebody else has left unended, and returns the file's length.
fn end_line(disk: &mut Disk, file: &File, length: u64) -> io::Result<u64> {
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

fn cut(disk: &mut Disk, path: &Path, length: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    if file.metadata()?.len() > length {
        disk.truncate(&file, length)?;
        disk.sync(&file)?;
    }
    Ok(())
}

/// Writes a new ledger with only the state, in place of the old one.
fn write_ledger(disk: &mut Disk, path: &Path, state: &Ledger) -> io::Result<(File, u64)> {
    let (place, fresh) = (ledger_path(path), beside(path, ".ledger.new"));
    let text = state.spell();
    let file = disk.create(&fresh, 0o600)?;
    disk.truncate(&file, 0)?;
    disk.write_at(&file, text.as_bytes(), 0)?;
    disk.sync(&file)?;
    disk.rename(&fresh, &place)?;
    disk.sync_folder(path)?;
    Ok((file, text.len() as u64))
}

pub(super) fn ledger_path(path: &Path) -> PathBuf {
    beside(path, ".ledger")
}

/// The stem and the dot with the extension of the file's name: `alerts` and `.ndjson`.
fn name_parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|_| format!(".{}", text(path.extension()))).unwrap_or_default();
    (text(path.file_stem()), extension)
}

/// A name that sorts by time and is not taken: `alerts-20260102T030405Z-001.ndjson`.
fn rotated_path(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let (stem, extension) = name_parts(path);
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    for number in 1..1_000_000 {
        let candidate = path.with_file_name(format!("{stem}-{time}-{number:03}{extension}"));
        if !candidate.try_exists()? {
            return Ok(candidate);
        }
    }
    Err(io::Error::other("there are too many rotated files of this second"))
}

/// Deletes the oldest rotated files beyond `keep`. What cannot be deleted is logged and tried again next time.
fn delete_oldest(path: &Path, keep: usize) {
    let (stem, extension) = name_parts(path);
    let is_rotated = |name: &str| {
        let middle = name.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(&extension));
        let parts =
            middle.and_then(|middle| middle.strip_prefix('-')).and_then(|middle| middle.split_once('-'));
        parts.is_some_and(|(time, number)| {
            time.len() == 16
                && time.ends_with('Z')
                && time.bytes().filter(u8::is_ascii_digit).count() == 14
                && number.len() >= 3
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let deleted = std::fs::read_dir(folder(path)).and_then(|entries| {
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_rotated(name))
            .collect();
        names.sort_unstable_by_key(|name| (name.len(), name.clone()));
        let surplus = names.len().saturating_sub(keep);
        names.iter().take(surplus).try_for_each(|name| std::fs::remove_file(path.with_file_name(name)))
    });
    if let Err(error) = deleted {
        tracing::warn!(path = %path.display(), %error, "an old rotated file cannot be deleted");
    }
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
