//! A local file: one event a line, each acknowledged record in it exactly once, whatever happens to the process or the
//! power.
//!
//! Beside `alerts.ndjson` lies a ledger, `alerts.ndjson.ledger`: lines with a checksum each, appended and synced before
//! the data is written. A line tells what is about to be written where, its checksum, and up to which number of which
//! lineage each tenant's deliveries are in the data then. On opening, the lines are held against the data: what a crash left
//! half-written is cut, and deliveries up to the numbers that the data bears out are answered without being written. So
//! what was written and not yet reported is not written twice. After an error the file is brought into order the same
//! way: crash, restart and full disk are one path, `OpenFile::open`.
//!
//! Files that were put back from a copy are found out the same way. Data that is older than its ledger takes the
//! ledger's lines back with it. Data that is newer is kept as it is. And where the files remember less than the store knows
//! to be delivered, the store owes the difference again: it asks with [`FileSink::memory`].
//!
//! Deliveries that arrive together share one write and one sync of data and ledger: each waits for its turn at the
//! file, and who gets it writes what has gathered.
//!
//! Rotation: the intent and the new name go into the ledger; then the file is renamed and a new one begun. If it is
//! cut short, the ledger tells on opening what remains to be done.
//!
//! What is not guaranteed: a file that somebody else cuts, moves or deletes is theirs; this is logged and a new one
//! begun. Disks that lie about syncing are believed.

mod disk;
mod inspect;
mod ledger;
mod line;
mod open_file;
mod per_tenant;
mod recovery;
mod settings;
mod site;
mod template;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use muster_model::{DeliveryBatch, Outcome, Report, SinkMemory, Trouble};
use tokio::sync::oneshot;

pub use self::per_tenant::TenantFiles;
pub use self::settings::FileSettings;
pub(super) use self::template::template;

use self::disk::Disk;
use self::open_file::{Lines, OpenFile};
use self::recovery::lock;
use self::site::{FileSite, explain};
use super::error::SinkError;
use super::outcomes::Outcomes;
use super::settings::{Settings, Surroundings};
use crate::formats::{Encoding, Events};

/// What is written and synced together, at most, unless a single delivery batch is larger.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Formatting this many bytes is about a millisecond of work; others get a turn then.
const TURN_BYTES: usize = 256 << 10;

/// A local file.
#[derive(Debug)]
pub struct FileSink {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    site: FileSite,
    encoding: Encoding,
    queue: Mutex<VecDeque<Job>>,
    file: Arc<tokio::sync::Mutex<FileState>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.name)
            .field("path", &self.site.path)
            .finish_non_exhaustive()
    }
}

enum FileState {
    Open(Box<OpenFile>),
    /// It failed, and could not be brought into order at once.
    Broken(Disk),
    Closed,
}

/// A formatted delivery batch that waits to be written.
struct Job {
    lines: Lines,
    done: oneshot::Sender<Result<(), String>>,
}

impl FileSink {
    /// Opens the file and brings it into order.
    pub(super) fn build(
        name: &str,
        settings: FileSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let encoding = settings.encoding().map_err(|mistakes| SinkError::Settings {
            sink: name.to_owned(),
            problem: mistakes.join("; "),
        })?;
        let site = FileSite {
            path: around.folder.join(&settings.path),
            settings,
            sink: name.to_owned(),
            clock: Arc::clone(&around.clock),
        };
        let sink = name.to_owned();
        let lock = match lock(&site.path) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(SinkError::InUse { sink, path: site.path.display().to_string() }),
            Err(problem) => return Err(SinkError::Settings { sink, problem }),
        };
        Self::open_on(sink, site, encoding, Disk::new(lock))
    }

    /// What would keep [`build`](Self::build) from opening the file, as far as can be seen without making anything.
    pub(super) fn inspect(
        name: &str,
        settings: &FileSettings,
        around: &Surroundings<'_>,
    ) -> Result<(), SinkError> {
        let mistakes = settings.encoding().err().map(|mistakes| mistakes.join("; "));
        let found = mistakes.map_or_else(|| inspect::inspect(&around.folder.join(&settings.path)), Err);
        found.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })
    }

    /// Tries the file's place, and leaves nothing there.
    pub(super) async fn try_place(
        name: &str,
        settings: &FileSettings,
        around: &Surroundings<'_>,
    ) -> Result<String, SinkError> {
        Self::inspect(name, settings, around)?;
        let path = around.folder.join(&settings.path);
        let tried = tokio::task::spawn_blocking(move || inspect::try_place(&path)).await;
        tried
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|problem| SinkError::Unusable { sink: name.to_owned(), problem })
    }

    fn open_on(name: String, site: FileSite, encoding: Encoding, disk: Disk) -> Result<Self, SinkError> {
        let file = match OpenFile::open(&site, disk) {
            Ok(file) => file,
            Err((error, _)) => {
                let problem = explain(&site.path, &error);
                return Err(SinkError::Unusable { sink: name, problem });
            }
        };
        let file = Arc::new(tokio::sync::Mutex::new(FileState::Open(Box::new(file))));
        Ok(Self { shared: Arc::new(Shared { name, site, encoding, queue: Mutex::default(), file }) })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let (mut outcomes, lines) = self.format(batch).await;
        let (done, mut told) = oneshot::channel();
        let job = Job { lines, done };
        self.shared.queue.lock().expect("no panic while the lock is held").push_back(job);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut told => break result,
                turn = self.shared.file.clone().lock_owned() => {
                    let shared = self.shared.clone();
                    // Goes on to its end if this delivery is dropped: others wait for it, and it syncs.
                    let written = tokio::task::spawn_blocking(move || {
                        let mut turn = turn;
                        shared.write_group(&mut turn)
                    })
                    .await;
                    if let Err(error) = written {
                        tracing::error!(sink.name = self.shared.name, %error, "writing the file panicked");
                    }
                }
            }
        };
        match result {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => self.shared.owe(&mut outcomes, &problem),
            Err(_) => self.shared.owe(&mut outcomes, "the writer has stopped"),
        }
        outcomes.report()
    }

    /// The delivery batch's lines in one buffer, and which part of it each delivery is.
    async fn format(&self, batch: DeliveryBatch<'_>) -> (Outcomes, Lines) {
        let mut outcomes = Outcomes::default();
        let mut events = Events::new();
        let bodies: usize = batch.deliveries.iter().map(|delivery| delivery.batch.body_bytes()).sum();
        let mut bytes = Vec::with_capacity(bodies + bodies / 16);
        let mut parts = Vec::with_capacity(batch.deliveries.len());
        let mut turn_at = TURN_BYTES;
        for delivery in batch.deliveries {
            let start = bytes.len();
            for (_, record) in delivery.records() {
                events.clear();
                let spelled =
                    self.shared.encoding.write(delivery.source.kind(), record, batch.tenant, &mut events);
                outcomes.push(match spelled {
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
            parts.push((delivery.lineage, delivery.number.0, start..bytes.len()));
        }
        (outcomes, Lines { tenant: batch.tenant.id, bytes, parts })
    }

    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let shared = self.shared.clone();
        let turn = self.shared.file.clone().lock_owned().await;
        let checked = tokio::task::spawn_blocking(move || {
            let mut turn = turn;
            let file = shared.ready(&mut turn)?;
            file.probe(&shared.site).map_err(|error| explain(&shared.site.path, &error))?;
            Ok(format!("{} is open, {} bytes long", shared.site.path.display(), file.state.length))
        })
        .await;
        checked
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|problem: String| SinkError::Unusable { sink: self.shared.name.clone(), problem })
    }

    /// What the files remember. `None` where they cannot be read now.
    pub(super) async fn memory(&self) -> Option<SinkMemory> {
        match &*self.shared.file.lock().await {
            FileState::Open(file) => Some(file.memory(&self.shared.site)),
            FileState::Broken(_) | FileState::Closed => None,
        }
    }

    pub(super) async fn close(&self) {
        let turn = self.shared.file.clone().lock_owned().await;
        let shared = self.shared.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let mut turn = turn;
            // Everything acknowledged is synced already; what is queued is told so.
            *turn = FileState::Closed;
            while shared.write_group(&mut turn) {}
        });
        if let Err(error) = closed.await {
            tracing::error!(sink.name = self.shared.name, %error, "closing the file panicked");
        }
    }
}

impl Shared {
    fn owe(&self, outcomes: &mut Outcomes, problem: &str) {
        outcomes.retry_all();
        outcomes.trouble(Trouble { reason: format!("sink `{}`: {problem}", self.name), after: None });
    }

    /// Writes what has gathered, and tells each who waits for it; says whether there was anything. Once, so that nobody writes
    /// for others for as long as they bring more.
    fn write_group(&self, slot: &mut FileState) -> bool {
        let group = self.gather();
        if group.is_empty() {
            return false;
        }
        let result = self.ready(slot).and_then(|file| {
            let lines: Vec<&Lines> = group.iter().map(|job| &job.lines).collect();
            file.commit(&self.site, &lines).map_err(|error| explain(&self.site.path, &error))
        });
        if result.is_err() {
            self.mend(slot);
        }
        for job in group {
            // The delivery may have been given up meanwhile; then there is nobody to tell.
            drop(job.done.send(result.clone()));
        }
        true
    }

    fn gather(&self) -> Vec<Job> {
        let mut queue = self.queue.lock().expect("no panic while the lock is held");
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(job) = queue.front() {
            bytes += job.lines.bytes.len();
            if bytes > GROUP_BYTES_MAX && !group.is_empty() {
                break;
            }
            group.extend(queue.pop_front());
        }
        group
    }

    /// The file, opened again if it had failed.
    fn ready<'a>(&self, slot: &'a mut FileState) -> Result<&'a mut OpenFile, String> {
        if let FileState::Broken(_) = slot {
            self.mend(slot);
        }
        match slot {
            FileState::Open(file) => Ok(file),
            FileState::Broken(_) => Err(format!(
                "{} cannot be brought into order: see the log, and check the disk",
                self.site.path.display()
            )),
            FileState::Closed => Err("it is closed".to_owned()),
        }
    }

    /// Opens the file again, which cuts what a failed write has left.
    fn mend(&self, slot: &mut FileState) {
        let disk = match std::mem::replace(slot, FileState::Closed) {
            FileState::Open(file) => file.disk,
            FileState::Broken(disk) => disk,
            FileState::Closed => return,
        };
        *slot = match OpenFile::open(&self.site, disk) {
            Ok(file) => FileState::Open(Box::new(file)),
            Err((error, disk)) => {
                let reason = explain(&self.site.path, &error);
                tracing::warn!(sink.name = self.name, reason, "the file cannot be brought into order");
                FileState::Broken(disk)
            }
        };
    }
}

#[cfg(test)]
mod tests;
