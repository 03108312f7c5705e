//! A local file: one event a line, each acknowledged record in it exactly once, whatever happens to the process or the
//! power.
//!
//! Beside `alerts.ndjson` lies a ledger, `alerts.ndjson.ledger`: lines with a checksum each, appended and synced after
//! the data was synced. A line tells how long the data is and up to which number each tenant's deliveries are in it.
//! On opening, the data is cut to the length that the ledger tells, and deliveries up to the numbers that it tells
//! are answered without being written. So what a crash left half-written is cut, and what was written and not yet
//! reported is not written twice. After an error the file is brought into order the same way: crash, restart and full
//! disk are one path, [`Writer::open`].
//!
//! Deliveries that arrive together share one write and one sync of data and ledger: each waits for its turn at the
//! writer, and who gets it writes what has gathered.
//!
//! Rotation: the intent and the new name go into the ledger; then the file is renamed and a new one begun. If it is
//! cut short, the ledger tells on opening what remains to be done.
//!
//! What is not guaranteed: a file that somebody else cuts, moves or deletes is theirs; this is logged and a new one
//! begun. Disks that lie about syncing are believed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Clock, DeliveryBatch, Outcome, Report, TenantId, Trouble};
use rustix::fs::FlockOperation;
use tokio::sync::oneshot;

use super::{Answers, SinkError};
use crate::formats::{Events, Spelling};

mod disk;
mod ledger;

use disk::Disk;
use ledger::{Ledger, Line};

/// What is written and synced together, at most, unless a single delivery batch is larger.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// The ledger is written anew when it has grown by this much.
const LEDGER_BYTES_MAX: u64 = 1 << 20;
/// Formatting this many bytes is about a millisecond of work; others get a turn then.
const TURN_BYTES: usize = 256 << 10;

/// The settings of a [`FileSink`].
#[derive(Clone)]
pub struct FileOptions {
    /// The file. Its folder must exist.
    pub path: PathBuf,
    /// How records are spelled.
    pub spelling: Spelling,
    /// A file that would grow beyond this is rotated first.
    pub rotate_bytes: Option<u64>,
    /// A file as old as this is rotated when the next record comes.
    pub rotate_every: Option<Duration>,
    /// How many rotated files are kept; all when not set.
    pub keep: Option<u32>,
    /// Which journal the delivery numbers are from. The numbers that a ledger remembers from another journal mean
    /// nothing, and are forgotten; without this, a new store beside an old file would be taken for a repetition.
    pub journal_id: Option<String>,
    /// Tells the time, for rotation.
    pub clock: Arc<dyn Clock>,
}

impl FileOptions {
    /// The defaults beside what must be said: never rotated.
    #[must_use]
    pub fn new(path: PathBuf, spelling: impl Into<Spelling>, clock: Arc<dyn Clock>) -> Self {
        Self {
            path,
            spelling: spelling.into(),
            rotate_bytes: None,
            rotate_every: None,
            keep: None,
            journal_id: None,
            clock,
        }
    }
}

/// A local file.
#[derive(Debug)]
pub struct FileSink {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    options: FileOptions,
    queue: Mutex<VecDeque<Job>>,
    writer: Arc<tokio::sync::Mutex<Slot>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.name)
            .field("path", &self.options.path)
            .finish_non_exhaustive()
    }
}

/// The place of the writer.
enum Slot {
    Open(Box<Writer>),
    /// It failed, and could not be brought into order at once.
    Broken(Disk),
    Closed,
}

/// A formatted delivery batch that waits to be written.
struct Job {
    tenant: TenantId,
    bytes: Vec<u8>,
    /// The deliveries by ascending number, each with its part of the bytes.
    parts: Vec<(u64, Range<usize>)>,
    done: oneshot::Sender<Result<(), String>>,
}

impl FileSink {
    /// Opens the file and brings it into order.
    ///
    /// # Errors
    /// When the file cannot be written, or another process writes it.
    pub fn open(name: String, options: FileOptions) -> Result<Self, SinkError> {
        let lock = match lock(&options.path) {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                return Err(SinkError::InUse { sink: name, path: options.path.display().to_string() });
            }
            Err(problem) => return Err(SinkError::Settings { sink: name, problem }),
        };
        Self::open_on(name, options, Disk::new(lock))
    }

    fn open_on(name: String, options: FileOptions, disk: Disk) -> Result<Self, SinkError> {
        let writer = match Writer::open(&options, disk) {
            Ok(writer) => writer,
            Err((error, _)) => {
                let problem = explain(&options.path, &error);
                return Err(SinkError::Unusable { sink: name, problem });
            }
        };
        let writer = Arc::new(tokio::sync::Mutex::new(Slot::Open(Box::new(writer))));
        Ok(Self { shared: Arc::new(Shared { name, options, queue: Mutex::default(), writer }) })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let (answers, bytes, parts) = self.format(batch).await;
        let (done, mut told) = oneshot::channel();
        let job = Job { tenant: batch.tenant.id, bytes, parts, done };
        self.shared.queue.lock().expect("no panic while the lock is held").push_back(job);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut told => break result,
                turn = self.shared.writer.clone().lock_owned() => {
                    let shared = self.shared.clone();
                    // Goes on to its end if this delivery is dropped: others wait for it, and it syncs.
                    let written = tokio::task::spawn_blocking(move || shared.write_queue(turn)).await;
                    if let Err(error) = written {
                        tracing::error!(sink.name = self.shared.name, %error, "writing the file panicked");
                    }
                }
            }
        };
        let mut answers = answers;
        match result {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => self.shared.owe(&mut answers, &problem),
            Err(_) => self.shared.owe(&mut answers, "the writer has stopped"),
        }
        answers.report()
    }

    /// The delivery batch's lines in one buffer, and which part of it each delivery is.
    async fn format(&self, batch: DeliveryBatch<'_>) -> (Answers, Vec<u8>, Vec<(u64, Range<usize>)>) {
        let mut answers = Answers::new();
        let mut events = Events::new();
        let bodies: usize = batch.deliveries.iter().map(|delivery| delivery.batch.body_bytes()).sum();
        let mut bytes = Vec::with_capacity(bodies + bodies / 16);
        let mut parts = Vec::with_capacity(batch.deliveries.len());
        let mut turn_at = TURN_BYTES;
        for delivery in batch.deliveries {
            let start = bytes.len();
            for (_, record) in delivery.records() {
                events.clear();
                let spelled = self.shared.options.spelling.write(
                    delivery.source.kind(),
                    record,
                    batch.tenant,
                    &mut events,
                );
                answers.outcomes.push(match spelled {
                    Err(error) => Outcome::Rejected(error.to_string()),
                    Ok(()) if memchr::memchr(b'\n', &events.bytes).is_some() => {
                        Outcome::Rejected("the event holds a newline, and a line can carry none".to_owned())
                    }
                    Ok(()) => {
                        for event in events.iter() {
                            bytes.extend_from_slice(event);
                            bytes.push(b'\n');
                        }
                        Outcome::Delivered
                    }
                });
                if bytes.len() >= turn_at {
                    turn_at = bytes.len() + TURN_BYTES;
                    tokio::task::yield_now().await;
                }
            }
            parts.push((delivery.number.0, start..bytes.len()));
        }
        (answers, bytes, parts)
    }

    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let shared = self.shared.clone();
        let turn = self.shared.writer.clone().lock_owned().await;
        let checked = tokio::task::spawn_blocking(move || {
            let mut turn = turn;
            let writer = shared.ready(&mut turn)?;
            writer.probe(&shared.options).map_err(|error| explain(&shared.options.path, &error))?;
            Ok(format!("{} is open, {} bytes long", shared.options.path.display(), writer.length))
        })
        .await;
        checked
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|problem: String| SinkError::Unusable { sink: self.shared.name.clone(), problem })
    }

    pub(super) async fn close(&self) {
        let turn = self.shared.writer.clone().lock_owned().await;
        let shared = self.shared.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let mut turn = turn;
            // Everything acknowledged is synced already; what is queued is told so.
            *turn = Slot::Closed;
            shared.write_queue(turn);
        });
        if let Err(error) = closed.await {
            tracing::error!(sink.name = self.shared.name, %error, "closing the file panicked");
        }
    }
}

impl Shared {
    fn owe(&self, answers: &mut Answers, problem: &str) {
        answers.retry_all();
        answers.trouble(Trouble { reason: format!("sink `{}`: {problem}", self.name), after: None });
    }

    /// Writes what has gathered, and tells each who waits for it.
    fn write_queue(&self, mut turn: tokio::sync::OwnedMutexGuard<Slot>) {
        loop {
            let group = self.gather();
            if group.is_empty() {
                return;
            }
            let result = self.ready(&mut turn).and_then(|writer| {
                writer.commit(&self.options, &group).map_err(|error| explain(&self.options.path, &error))
            });
            if result.is_err() {
                self.mend(&mut turn);
            }
            for job in group {
                // The delivery may have been given up meanwhile; then there is nobody to tell.
                drop(job.done.send(result.clone()));
            }
        }
    }

    fn gather(&self) -> Vec<Job> {
        let mut queue = self.queue.lock().expect("no panic while the lock is held");
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(job) = queue.front() {
            bytes += job.bytes.len();
            if bytes > GROUP_BYTES_MAX && !group.is_empty() {
                break;
            }
            group.extend(queue.pop_front());
        }
        group
    }

    /// The writer, opened again if it had failed.
    fn ready<'a>(&self, slot: &'a mut Slot) -> Result<&'a mut Writer, String> {
        if let Slot::Broken(_) = slot {
            self.mend(slot);
        }
        match slot {
            Slot::Open(writer) => Ok(writer),
            Slot::Broken(_) => Err(format!(
                "{} cannot be brought into order: see the log, and check the disk",
                self.options.path.display()
            )),
            Slot::Closed => Err("it is closed".to_owned()),
        }
    }

    /// Opens the file again, which cuts what a failed write has left.
    fn mend(&self, slot: &mut Slot) {
        let disk = match std::mem::replace(slot, Slot::Closed) {
            Slot::Open(writer) => writer.disk,
            Slot::Broken(disk) => disk,
            Slot::Closed => return,
        };
        *slot = match Writer::open(&self.options, disk) {
            Ok(writer) => Slot::Open(Box::new(writer)),
            Err((error, disk)) => {
                let reason = explain(&self.options.path, &error);
                tracing::warn!(sink.name = self.name, reason, "the file cannot be brought into order");
                Slot::Broken(disk)
            }
        };
    }
}

/// The open file and its ledger.
struct Writer {
    disk: Disk,
    data: File,
    ledger: File,
    ledger_length: u64,
    /// Of the ledger when it was last written anew.
    ledger_base: u64,
    /// Of the data that is synced and in the ledger.
    length: u64,
    since: Timestamp,
    highest: HashMap<TenantId, u64>,
}

impl Writer {
    /// Brings data and ledger into order and opens them. Repeatable at any point at which it was cut short. The lock
    /// comes back when it fails.
    fn open(options: &FileOptions, mut disk: Disk) -> Result<Self, (io::Error, Disk)> {
        match Self::recover(options, &mut disk) {
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

    fn recover(options: &FileOptions, disk: &mut Disk) -> io::Result<(File, File, u64, Ledger)> {
        let path = &options.path;
        let mut state = match Ledger::read(&ledger_path(path))? {
            Some(state) => state,
            None => adopt(path, options.clock.now())?,
        };
        if state.journal != options.journal_id {
            if !state.highest.is_empty() && state.journal.is_some() {
                tracing::warn!(path = %path.display(), "the file is from another journal; its delivery numbers are forgotten");
                state.highest.clear();
            }
            state.journal.clone_from(&options.journal_id);
        }
        if let Some(name) = state.rotating.take() {
            let rotated = path.with_file_name(name);
            if !rotated.try_exists()? && path.try_exists()? {
                cut(disk, path, state.length)?;
                disk.rename(path, &rotated)?;
                disk.sync_folder(path)?;
            }
            state.length = 0;
            state.since = options.clock.now();
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
    fn commit(&mut self, options: &FileOptions, group: &[Job]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut highest = BTreeMap::new();
        for job in group {
            let mut known = *highest.get(&job.tenant).or(self.highest.get(&job.tenant)).unwrap_or(&0);
            for (number, part) in &job.parts {
                if *number <= known && self.is_known(job.tenant, &highest) {
                    continue;
                }
                known = *number;
                highest.insert(job.tenant, known);
                bytes.extend_from_slice(job.bytes.get(part.clone()).unwrap_or_default());
            }
        }
        if highest.is_empty() {
            return Ok(());
        }
        self.look_after(options)?;
        let now = options.clock.now();
        let grown = self.length + bytes.len() as u64;
        let too_large = options.rotate_bytes.is_some_and(|most| grown > most);
        let age = Duration::try_from(now.duration_since(self.since)).unwrap_or_default();
        let too_old = options.rotate_every.is_some_and(|most| age >= most);
        if self.length > 0 && !bytes.is_empty() && (too_large || too_old) {
            self.rotate(options, now)?;
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
            self.compact(options)?;
        }
        Ok(())
    }

    fn is_known(&self, tenant: TenantId, highest: &BTreeMap<TenantId, u64>) -> bool {
        highest.contains_key(&tenant) || self.highest.contains_key(&tenant)
    }

    /// Whether the file is still the one that is open, and as long as it was left. Log rotation by others moves,
    /// deletes or cuts it.
    fn look_after(&mut self, options: &FileOptions) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let open = self.data.metadata()?;
        let there = match std::fs::metadata(&options.path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let same = there.is_some_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino()));
        if same && open.len() >= self.length {
            return Ok(());
        }
        tracing::warn!(
            path = %options.path.display(),
            "the file was moved, deleted or cut by somebody; it is begun anew. Let Muster rotate it instead"
        );
        if !same {
            self.data = self.disk.create(&options.path, 0o640)?;
            self.disk.sync_folder(&options.path)?;
            self.since = options.clock.now();
        }
        let found = self.data.metadata()?.len();
        self.length = end_line(&mut self.disk, &self.data, found)?;
        self.enter(&Line::Begin { length: self.length, since: self.since })
    }

    fn rotate(&mut self, options: &FileOptions, now: Timestamp) -> io::Result<()> {
        let path = &options.path;
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
        if let Some(keep) = options.keep {
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

    fn compact(&mut self, options: &FileOptions) -> io::Result<()> {
        let state = Ledger {
            journal: options.journal_id.clone(),
            length: self.length,
            since: self.since,
            highest: std::mem::take(&mut self.highest),
            rotating: None,
        };
        let written = write_ledger(&mut self.disk, &options.path, &state);
        self.highest = state.highest;
        (self.ledger, self.ledger_length) = written?;
        self.ledger_base = self.ledger_length;
        Ok(())
    }

    /// Whether a record could be written now.
    fn probe(&mut self, options: &FileOptions) -> io::Result<()> {
        self.look_after(options)?;
        let probe = beside(&options.path, ".probe");
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

fn ledger_path(path: &Path) -> PathBuf {
    beside(path, ".ledger")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
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

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Takes the lock that keeps a second process away; `None` when that one has it. A file of its own, since the ledger
/// is replaced now and then and a lock goes with the file.
fn lock(path: &Path) -> Result<Option<File>, String> {
    let folder = folder(path);
    if path.file_name().is_none() || path.is_dir() {
        return Err(format!("{} is a folder; name a file in it", path.display()));
    }
    if !folder.is_dir() {
        return Err(format!("the folder {} does not exist; create it", folder.display()));
    }
    let place = beside(path, ".lock");
    let refused = |error: io::Error| explain(&place, &error);
    let file = Disk::without_lock().create(&place, 0o600).map_err(refused)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(refused(error.into())),
    }
}

/// What failed, and what to do.
fn explain(path: &Path, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space; nothing is lost meanwhile"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let the user that Muster runs as write there"
        }
        io::ErrorKind::NotFound => "create the folder",
        _ => "check the disk",
    };
    let mut text = String::new();
    write!(text, "cannot write {} ({error}): {advice}", path.display())
        .expect("writing to a string does not fail");
    text
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
