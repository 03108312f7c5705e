//! The one connection that writes, and group commit.
//!
//! Requests come through a bounded queue. The writer takes the first and all others that wait by then (up to
//! [`GROUP_MAX`]), runs each in a savepoint of its own within one transaction, commits once and answers all. So many
//! tenants share one sync, and a request that fails takes back nothing but itself.
//!
//! What a receiver has said must be written down at once, since it says it only once: such requests have a queue of their own.
//! When one comes, the group that is at work takes it in after the request of the moment, and is committed within [`CUT_AFTER`] of
//! its beginning; its rest waits for the next.
//!
//! A request that needs no sync is committed with `synchronous=NORMAL`, which in WAL mode writes without waiting for
//! the disk. It survives the end of the process; only a failing machine can undo it, and then in order: never a
//! later commit without an earlier one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{Connection, Executor, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::failure::{Failure, worded};

/// How many requests share a commit at most.
const GROUP_MAX: usize = 64;
/// For so long a group with something urgent in it goes on: less than a sync often takes.
pub(super) const CUT_AFTER: Duration = Duration::from_millis(20);
/// How many requests may wait.
const QUEUE_MAX: usize = 256;

/// A future on a borrowed connection.
pub(super) type Doing<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;
type Job = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, ()> + Send>;

/// Whether a request must be on disk before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// It must.
    Synced,
    /// It must, and before whatever else waits: what a receiver has said, which it says only once.
    AtOnce,
    /// It may be lost when the machine fails, since it is found out again.
    Relaxed,
}

struct Request {
    durability: Durability,
    job: Job,
    answer: oneshot::Sender<Result<(), Failure>>,
}

/// The two queues of the writer, from the outside.
struct Queues {
    usual: mpsc::Sender<Request>,
    urgent: mpsc::Sender<Request>,
}

/// Hands requests to the writer; closed by [`WriterHandle::close`].
pub(super) struct WriterHandle {
    queues: Mutex<Option<Queues>>,
    /// How often something was written that had to be on disk.
    synced: AtomicU64,
    trouble: Arc<Trouble>,
}

/// Why nothing can be committed at present; `None` while all is well.
type Trouble = Mutex<Option<String>>;

/// The task that owns the writing connection.
pub(super) struct WriterTask {
    connection: SqliteConnection,
    usual: mpsc::Receiver<Request>,
    urgent: mpsc::Receiver<Request>,
    /// The rest of a group that was cut short.
    left: VecDeque<Request>,
    /// Whether the group before was urgent: the next one is not, where others wait.
    was_urgent: bool,
    path: String,
    trouble: Arc<Trouble>,
    /// What `PRAGMA synchronous` is set to.
    durability: Option<Durability>,
}

/// A writer on `connection` and the queue that leads to it.
pub(super) fn writer(connection: SqliteConnection, path: String) -> (WriterHandle, WriterTask) {
    let (to_usual, usual) = mpsc::channel(QUEUE_MAX);
    let (to_urgent, urgent) = mpsc::channel(QUEUE_MAX);
    let trouble = Arc::<Trouble>::default();
    let handle = WriterHandle {
        queues: Mutex::new(Some(Queues { usual: to_usual, urgent: to_urgent })),
        synced: AtomicU64::new(0),
        trouble: Arc::clone(&trouble),
    };
    let task = WriterTask {
        connection,
        usual,
        urgent,
        left: VecDeque::new(),
        was_urgent: false,
        path,
        trouble,
        durability: None,
    };
    (handle, task)
}

impl WriterHandle {
    /// Runs `work` in the next transaction, and returns its result once that is committed. A caller that goes away
    /// meanwhile does not undo it.
    pub(super) async fn run<T, F>(&self, durability: Durability, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, T> + Send + 'static,
    {
        let queue = match (self.queues.lock().expect("no panic while the lock is held").as_ref(), durability)
        {
            (None, _) => return Err(Failure::Closed),
            (Some(queues), Durability::AtOnce) => queues.urgent.clone(),
            (Some(queues), Durability::Synced | Durability::Relaxed) => queues.usual.clone(),
        };
        if durability != Durability::Relaxed {
            self.synced.fetch_add(1, Ordering::AcqRel);
        }
        let slot = Arc::new(Mutex::new(None));
        let result = Arc::clone(&slot);
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                let value = work(connection).await?;
                *slot.lock().expect("no panic while the lock is held") = Some(value);
                Ok(())
            })
        });
        let (answer, answered) = oneshot::channel();
        queue.send(Request { durability, job, answer }).await.map_err(|_| Failure::Closed)?;
        drop(queue);
        answered.await.map_err(|_| Failure::Closed)??;
        let value = result.lock().expect("no panic while the lock is held").take();
        Ok(value.expect("a job that succeeded left its result"))
    }

    /// Why the last commit failed; `None` when it did not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().expect("no panic while the lock is held").clone()
    }

    /// How often something was written that had to be on disk.
    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Takes no more requests; the writer ends when it has worked off those that wait.
    pub(super) fn close(&self) {
        self.queues.lock().expect("no panic while the lock is held").take();
    }
}

impl WriterTask {
    /// Works until the queues are closed and empty, then empties the WAL into the database.
    pub(super) async fn run(mut self) {
        while let Some(group) = self.next_group().await {
            self.left = self.commit(group).await;
        }
        let closed = async {
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
            self.connection.close().await
        };
        if let Err(error) = closed.await {
            tracing::warn!(store.path = self.path, %error, "the store was not closed cleanly; nothing is lost");
        }
    }

    /// What waits to be written; `None` when nothing ever will.
    async fn next_group(&mut self) -> Option<VecDeque<Request>> {
        let mut group = std::mem::take(&mut self.left);
        let nobody_else_waits = group.is_empty() && self.usual.is_empty();
        let is_urgent = !self.urgent.is_empty() && (nobody_else_waits || !self.was_urgent);
        if is_urgent {
            self.left = std::mem::take(&mut group);
        } else if group.is_empty() {
            group.push_back(tokio::select! {
                biased;
                Some(request) = self.usual.recv() => request,
                Some(request) = self.urgent.recv() => request,
                else => return None,
            });
        }
        let queue = if is_urgent { &mut self.urgent } else { &mut self.usual };
        while group.len() < GROUP_MAX {
            let Ok(next) = queue.try_recv() else { break };
            group.push_back(next);
        }
        self.was_urgent = is_urgent;
        Some(group)
    }

    /// Commits a group; what is to be done after it.
    async fn commit(&mut self, mut group: VecDeque<Request>) -> VecDeque<Request> {
        // What an urgent group goes before, or what is left of one that something urgent goes before.
        let mut rest = std::mem::take(&mut self.left);
        let synced = group.iter().any(|request| request.durability != Durability::Relaxed);
        let durability = if synced { Durability::Synced } else { Durability::Relaxed };
        if let Err(error) = self.begin(durability).await {
            self.refuse(group.into_iter().map(|request| request.answer).collect(), &error);
            return rest;
        }
        let (begun, mut has_urgent) = (Instant::now(), false);
        let mut done = Vec::with_capacity(group.len());
        while let Some(request) = group.pop_front() {
            match self.run_within_savepoint(request.job).await {
                Ok(Ok(())) => done.push(request.answer),
                // A caller that has gone away needs no answer.
                Ok(Err(failure)) => drop(request.answer.send(Err(failure))),
                Err(error) => {
                    // The database has given the whole transaction up, as it does when the disk is full.
                    done.push(request.answer);
                    done.extend(group.into_iter().map(|request| request.answer));
                    self.roll_back().await;
                    self.refuse(done, &error);
                    return rest;
                }
            }
            if self.was_urgent {
                continue;
            }
            // What need not be synced cannot take in what must be.
            if durability == Durability::Synced {
                let urgent: Vec<Request> = std::iter::from_fn(|| self.urgent.try_recv().ok()).collect();
                has_urgent |= !urgent.is_empty();
                urgent.into_iter().rev().for_each(|request| group.push_front(request));
            }
            if (has_urgent || !self.urgent.is_empty()) && begun.elapsed() >= CUT_AFTER {
                let is_urgent = |request: &Request| request.durability == Durability::AtOnce;
                let (urgent, usual): (VecDeque<_>, VecDeque<_>) = group.into_iter().partition(is_urgent);
                group = urgent;
                rest.extend(usual);
            }
        }
        if let Err(error) = self.connection.execute("COMMIT").await {
            self.roll_back().await;
            self.refuse(done, &error);
            return rest;
        }
        *self.trouble.lock().expect("no panic while the lock is held") = None;
        for answer in done {
            drop(answer.send(Ok(())));
        }
        rest
    }

    async fn begin(&mut self, durability: Durability) -> Result<(), sqlx::Error> {
        // It cannot be changed within a transaction.
        if self.durability != Some(durability) {
            self.connection
                .execute(match durability {
                    Durability::Synced | Durability::AtOnce => "PRAGMA synchronous = FULL",
                    Durability::Relaxed => "PRAGMA synchronous = NORMAL",
                })
                .await?;
            self.durability = Some(durability);
        }
        self.connection.execute("BEGIN IMMEDIATE").await?;
        Ok(())
    }

    /// The inner result is the request's own. The outer error means that the transaction is gone.
    async fn run_within_savepoint(&mut self, job: Job) -> Result<Result<(), Failure>, sqlx::Error> {
        self.connection.execute("SAVEPOINT request").await?;
        match job(&mut self.connection).await {
            Ok(()) => {
                self.connection.execute("RELEASE request").await?;
                Ok(Ok(()))
            }
            Err(failure) => {
                let undone = async {
                    self.connection.execute("ROLLBACK TO request").await?;
                    self.connection.execute("RELEASE request").await
                };
                match (undone.await, failure) {
                    (Ok(_), failure) => Ok(Err(failure)),
                    // The request's own error says what happened; that nothing is left to be undone follows from it.
                    (Err(_), Failure::Sql(cause)) => Err(cause),
                    (Err(error), _) => Err(error),
                }
            }
        }
    }

    async fn roll_back(&mut self) {
        if let Err(error) = self.connection.execute("ROLLBACK").await {
            tracing::debug!(store.path = self.path, %error, "nothing was left to be rolled back");
        }
    }

    fn refuse(&self, answers: Vec<oneshot::Sender<Result<(), Failure>>>, error: &sqlx::Error) {
        let why = worded(error, &self.path, "write").to_string();
        *self.trouble.lock().expect("no panic while the lock is held") = Some(why);
        for answer in answers {
            drop(answer.send(Err(Failure::Store(worded(error, &self.path, "write")))));
        }
    }
}

/// Runs `work` so that what it deletes or replaces is overwritten with zeros.
pub(super) async fn erasing<T>(
    connection: &mut SqliteConnection,
    work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, T>,
) -> Result<T, Failure> {
    connection.execute("PRAGMA secure_delete = ON").await?;
    let done = work(connection).await;
    connection.execute("PRAGMA secure_delete = OFF").await?;
    done
}
