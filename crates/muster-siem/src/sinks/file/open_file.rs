//! The open file and its ledger: bringing both into order, committing, rotating. Crash, restart and full disk are one
//! path, [`OpenFile::open`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Clock, Lineage, SinkMemory, TenantId};
use rustix::fs::FlockOperation;
use uuid::Uuid;

use super::disk::{Disk, beside, explain, folder, open_regular};
use super::inspect::inspect;
use super::ledger::{Claim, Entry, Ledger, Line, State, checksum};
use super::settings::FileSettings;

/// The ledger is written anew when it has grown by this much.
pub(super) const LEDGER_BYTES_MAX: u64 = 1 << 20;
/// One that is not longer than this is left as it is when it is opened.
const SHORT_LEDGER: u64 = 256 << 10;

/// The file's settings, and what they leave to where it runs.
pub(super) struct FileSite {
    pub(super) path: PathBuf,
    pub(super) settings: FileSettings,
    /// The sink's name: another sink's deliveries have numbers of their own.
    pub(super) sink: String,
    /// Tells the time, for rotation.
    pub(super) clock: Arc<dyn Clock>,
}

/// What is committed at once: the lines of one tenant's deliveries.
pub(super) struct Lines {
    pub(super) tenant: TenantId,
    pub(super) bytes: Vec<u8>,
    /// The deliveries in order, each with its part of the bytes.
    pub(super) parts: Vec<(Lineage, u64, Range<usize>)>,
}

/// The open file and its ledger.
pub(super) struct OpenFile {
    pub(super) disk: Disk,
    data: File,
    file: File,
    ledger: Ledger,
    /// The length of the ledger when it was last written anew.
    ledger_base: u64,
    /// What the ledger adds up to. Its length is of the data that is synced.
    pub(super) state: State,
}

impl OpenFile {
    /// Brings data and ledger into order and opens them. Repeatable at any point at which it was cut short. The lock
    /// comes back when it fails.
    pub(super) fn open(site: &FileSite, mut disk: Disk) -> Result<Self, (io::Error, Disk)> {
        match recover(site, &mut disk) {
            Ok((data, file, ledger)) => {
                let (ledger_base, state) = (ledger.length(), ledger.state());
                Ok(Self { disk, data, file, ledger, ledger_base, state })
            }
            Err(error) => Err((error, disk)),
        }
    }

    /// The ledger's id, and up to which number each tenant's deliveries of each lineage are in the data.
    pub(super) fn memory(&self, site: &FileSite) -> SinkMemory {
        let id = self.state.id.unwrap_or_default();
        SinkMemory { id, lineages: self.state.memory(&site.sink).into_iter().collect() }
    }

    /// Writes the new deliveries of the group: enters them in the ledger, syncs it, writes the data, syncs it.
    pub(super) fn commit(&mut self, site: &FileSite, group: &[&Lines]) -> io::Result<()> {
        self.look_after(site)?;
        let mut bytes = Vec::new();
        let mut claims: BTreeMap<(u32, TenantId), u64> = BTreeMap::new();
        let mut lines = Vec::new();
        for Lines { tenant, bytes: theirs, parts } in group {
            for (lineage, number, part) in parts {
                let lineage = self.lineage(site, *lineage, &mut lines);
                let key = (lineage, *tenant);
                let known = claims.get(&key).or(self.state.claims.get(&key));
                if known.is_some_and(|known| number <= known) {
                    continue;
                }
                claims.insert(key, *number);
                bytes.extend_from_slice(theirs.get(part.clone()).unwrap_or_default());
            }
        }
        if claims.is_empty() {
            return Ok(());
        }
        let now = site.clock.now();
        let grown = self.state.length + bytes.len() as u64;
        let too_large = site.settings.rotate_size.is_some_and(|most| grown > most.0);
        let age = Duration::try_from(now.duration_since(self.state.since)).unwrap_or_default();
        let too_old = site.settings.rotate_every.is_some_and(|most| age >= most.0);
        if self.state.length > 0 && !bytes.is_empty() && (too_large || too_old) {
            self.rotate(site, now)?;
        }
        let from = self.state.length;
        let claim = |((lineage, tenant), number)| Claim { lineage, tenant, number };
        let claims = claims.into_iter().map(claim).collect();
        lines.push(Line::Write { from, bytes: bytes.len() as u64, crc: checksum(&bytes), claims });
        self.enter(lines)?;
        if !bytes.is_empty() {
            self.disk.write_at(&self.data, &bytes, from)?;
            self.disk.sync(&self.data)?;
        }
        self.append(Line::Done)?;
        if self.ledger.length() > self.ledger_base + LEDGER_BYTES_MAX {
            self.shorten(site)?;
        }
        Ok(())
    }

    /// The ledger's number of a lineage. A new one gets a line.
    fn lineage(&self, site: &FileSite, lineage: Lineage, lines: &mut Vec<Line>) -> u32 {
        let name = format!("{}/{}", lineage.0, site.sink);
        let entered = lines.iter().find_map(|line| match line {
            Line::Lineage { lineage, name: entered } if *entered == name => Some(*lineage),
            _ => None,
        });
        if let Some(entered) = entered {
            return entered;
        }
        let (number, is_known) = self.state.lineage(&name);
        if is_known {
            return number;
        }
        let lineage = number + lines.len() as u32;
        lines.push(Line::Lineage { lineage, name });
        lineage
    }

    /// Whether the file and its ledger are still those that are open, and as long as they were left. Log rotation by
    /// others moves, deletes or cuts them; other programs write into them.
    fn look_after(&mut self, site: &FileSite) -> io::Result<()> {
        let ledger = ledger_path(&site.path);
        if !is_same(&self.file, &ledger)? || self.file.metadata()?.len() != self.ledger.length() {
            tracing::warn!(path = %ledger.display(), "the ledger was moved, deleted or changed by somebody; it is written anew");
            self.shorten(site)?;
        }
        let is_same = is_same(&self.data, &site.path)?;
        let found = self.data.metadata()?.len();
        if is_same && found == self.state.length {
            return Ok(());
        }
        if is_same && found > self.state.length {
            tracing::warn!(
                path = %site.path.display(),
                bytes = found - self.state.length,
                "another program has written into the file; what it wrote stays there"
            );
        } else {
            tracing::warn!(
                path = %site.path.display(),
                "the file was moved, deleted or cut by somebody; it is begun anew. Let Muster rotate it instead"
            );
        }
        let mut since = self.state.since;
        if !is_same {
            self.data = self.disk.create(&site.path, 0o640)?;
            self.disk.sync_folder(&site.path)?;
            since = site.clock.now();
        }
        let found = self.data.metadata()?.len();
        let length = end_line(&mut self.disk, &self.data, found)?;
        self.enter([Line::Begin { length, since }])
    }

    fn rotate(&mut self, site: &FileSite, now: Timestamp) -> io::Result<()> {
        let path = &site.path;
        let rotated = rotated_path(path, now)?;
        let name = rotated
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidFilename, "the file's name is not UTF-8"))?;
        self.enter([Line::Rotate { name: name.to_owned() }])?;
        self.disk.rename(path, &rotated)?;
        self.disk.sync_folder(path)?;
        self.data = self.disk.create(path, 0o640)?;
        self.disk.sync_folder(path)?;
        self.enter([Line::Begin { length: 0, since: now }])?;
        if let Some(keep) = site.settings.keep {
            delete_oldest(path, keep as usize);
        }
        Ok(())
    }

    /// Appends lines to the ledger, and syncs it.
    fn enter(&mut self, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
        lines.into_iter().try_for_each(|line| self.append(line))?;
        self.disk.sync(&self.file)
    }

    fn append(&mut self, line: Line) -> io::Result<()> {
        self.disk.write_at(&self.file, line.spell().as_bytes(), self.ledger.length())?;
        self.state.apply(&line);
        self.ledger.push(line);
        Ok(())
    }

    fn shorten(&mut self, site: &FileSite) -> io::Result<()> {
        let shortened = self.ledger.shortened(self.state.id.unwrap_or_else(Uuid::new_v4));
        self.file = write_ledger(&mut self.disk, &site.path, &shortened)?;
        self.state = shortened.state();
        self.ledger_base = shortened.length();
        self.ledger = shortened;
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

/// Brings data and ledger into order.
fn recover(site: &FileSite, disk: &mut Disk) -> io::Result<(File, File, Ledger)> {
    let (path, place) = (&site.path, ledger_path(&site.path));
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

/// Whether the open file is the one at `path`.
fn is_same(open: &File, path: &Path) -> io::Result<bool> {
    let open = open.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
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

/// Writes a ledger in place of the old one.
fn write_ledger(disk: &mut Disk, path: &Path, ledger: &Ledger) -> io::Result<File> {
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
