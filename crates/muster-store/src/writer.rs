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
//! With SQLite the writer has a thread of its own (`engine.rs`), since SQLite answers within the call.
//!
//! With PostgreSQL, every process has such a writer, and whose turn it is has the lock of the whole store until it commits.
//! Where the connection breaks, the group is refused, and the next one begins on a new connection. Whether a commit that was
//! under way then has been done is not known: whoever asked finds its lease lost, or what it wrote known already.
//!
//! A request that needs no sync is committed with `synchronous=NORMAL`, which in WAL mode writes without waiting for
//! the disk. It survives the end of the process; only a failing machine can undo it, and then in order: never a
//! later commit without an earlier one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::failure::{Failure, worded};
use crate::postgres::database::Database;
use crate::sql::Connection;

/// How many requests share a commit at most.
const GROUP_MAX: usize = 64;
/// For so long a group with something urgent in it goes on: less than a sync often takes.
pub(crate) const CUT_AFTER: Duration = Duration::from_millis(20);
/// How many requests may wait.
const QUEUE_MAX: usize = 256;

/// A future on a borrowed connection.
pub(crate) type Doing<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;
type Job = Box<dyn for<'c> FnOnce(&'c mut Connection) -> Doing<'c, ()> + Send>;

/// Whether a request must be on disk before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
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
pub(crate) struct WriterHandle {
    queues: Mutex<Option<Queues>>,
    /// How often something was written that had to be on disk.
    synced: AtomicU64,
    trouble: Arc<Trouble>,
}

/// Why nothing can be written at present; `None` while all is well.
type Trouble = Mutex<Option<String>>;

/// What is done in the first transaction on another server than before.
pub(crate) type OnAnother = Box<dyn for<'c> Fn(&'c mut Connection) -> Doing<'c, ()> + Send + Sync>;

/// The connection that writes, and how each engine begins.
pub(crate) enum Link {
    /// It is there for as long as the store is open.
    Sqlite {
        /// The connection.
        connection: Connection,
        /// What `PRAGMA synchronous` is set to.
        durability: Option<Durability>,
    },
    /// It is made anew where it broke.
    Postgres {
        /// Where to.
        database: Arc<Database>,
        /// `None` until it is needed.
        connection: Option<Connection>,
        /// The server that was committed to last, and the one that the transaction of now is on.
        servers: (Option<String>, Option<String>),
        /// What is done first on a server that is not the one before: it may have lost what was written last.
        on_another: OnAnother,
    },
}

/// The task that owns the writing connection.
pub(crate) struct WriterTask {
    link: Link,
    usual: mpsc::Receiver<Request>,
    urgent: mpsc::Receiver<Request>,
    /// The rest of a group that was cut short.
    left: VecDeque<Request>,
    /// Whether the group before was urgent: the next one is not, where others wait.
    was_urgent: bool,
    path: String,
    trouble: Arc<Trouble>,
}

/// A writer on `link` and the queue that leads to it.
pub(crate) fn writer(link: Link, path: String) -> (WriterHandle, WriterTask) {
    let (to_usual, usual) = mpsc::channel(QUEUE_MAX);
    let (to_urgent, urgent) = mpsc::channel(QUEUE_MAX);
    let trouble = Arc::<Trouble>::default();
    let handle = WriterHandle {
        queues: Mutex::new(Some(Queues { usual: to_usual, urgent: to_urgent })),
        synced: AtomicU64::new(0),
        trouble: Arc::clone(&trouble),
    };
    let task = WriterTask { link, usual, urgent, left: VecDeque::new(), was_urgent: false, path, trouble };
    (handle, task)
}

impl WriterHandle {
    /// Runs `work` in the next transaction, and returns its result once that is committed. A caller that goes away
    /// meanwhile does not undo it.
    pub(crate) async fn run<T, F>(&self, durability: Durability, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Doing<'c, T> + Send + 'static,
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
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().expect("no panic while the lock is held").clone()
    }

    /// How often something was written that had to be on disk.
    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Takes no more requests; the writer ends when it has worked off those that wait.
    pub(crate) fn close(&self) {
        self.queues.lock().expect("no panic while the lock is held").take();
    }
}

impl WriterTask {
    /// Works until the queues are closed and empty, then empties the WAL into the database.
    pub(crate) async fn run(mut self) {
        while let Some(group) = self.next_group().await {
            self.left = self.commit(group).await;
        }
        if let Err(error) = self.link.close().await {
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
        if let Err(error) = self.link.begin(durability).await {
            self.refuse(group.into_iter().map(|request| request.answer).collect(), &error);
            return rest;
        }
        let (begun, mut has_urgent) = (Instant::now(), false);
        let mut done = Vec::with_capacity(group.len());
        let mut is_well = true;
        let is_alone = group.len() == 1;
        while let Some(request) = group.pop_front() {
            // Whoever is alone in a transaction can undo all of it.
            let ran = match is_alone && done.is_empty() {
                true => self.run_alone(request.job).await,
                false => self.run_within_savepoint(request.job).await,
            };
            match ran {
                Ok(Ok(())) => done.push(request.answer),
                // A caller that has gone away needs no answer.
                Ok(Err(failure)) => {
                    // Where nothing can be written, PostgreSQL refuses each statement, and commits what is left: nothing.
                    if let Some(trouble) = failure.of_all_work(&self.path) {
                        *self.trouble.lock().expect("no panic while the lock is held") = Some(trouble);
                        is_well = false;
                    }
                    drop(request.answer.send(Err(failure)));
                    if is_alone && done.is_empty() {
                        return rest;
                    }
                }
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
        if let Err(error) = self.link.commit().await {
            self.roll_back().await;
            self.refuse(done, &error);
            return rest;
        }
        if is_well {
            *self.trouble.lock().expect("no panic while the lock is held") = None;
        }
        for answer in done {
            drop(answer.send(Ok(())));
        }
        rest
    }

    /// The first of a transaction, which has undone all of it where it fails. The results are those of
    /// [`Self::run_within_savepoint`].
    async fn run_alone(&mut self, job: Job) -> Result<Result<(), Failure>, sqlx::Error> {
        let Err(failure) = job(self.link.connection()?).await else { return Ok(Ok(())) };
        match (self.link.roll_back().await, failure) {
            (Ok(()), failure) => Ok(Err(failure)),
            (Err(_), Failure::Sql(cause)) => Err(cause),
            (Err(error), _) => Err(error),
        }
    }

    /// The inner result is the request's own. The outer error means that the transaction is gone.
    async fn run_within_savepoint(&mut self, job: Job) -> Result<Result<(), Failure>, sqlx::Error> {
        let connection = self.link.connection()?;
        connection.run("SAVEPOINT request").await?;
        match job(connection).await {
            Ok(()) => {
                connection.run("RELEASE request").await?;
                Ok(Ok(()))
            }
            Err(failure) => {
                let undone = connection.run("ROLLBACK TO request; RELEASE request");
                match (undone.await, failure) {
                    (Ok(()), failure) => Ok(Err(failure)),
                    // The request's own error says what happened; that nothing is left to be undone follows from it.
                    (Err(_), Failure::Sql(cause)) => Err(cause),
                    (Err(error), _) => Err(error),
                }
            }
        }
    }

    async fn roll_back(&mut self) {
        if let Err(error) = self.link.roll_back().await {
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

impl Link {
    fn connection(&mut self) -> Result<&mut Connection, sqlx::Error> {
        match self {
            Self::Sqlite { connection, .. } => Ok(connection),
            Self::Postgres { connection, .. } => connection.as_mut().ok_or(sqlx::Error::WorkerCrashed),
        }
    }

    async fn begin(&mut self, wanted: Durability) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite { connection, durability } => {
                // It cannot be changed within a transaction.
                if *durability != Some(wanted) {
                    let level = match wanted {
                        Durability::Synced | Durability::AtOnce => "PRAGMA synchronous = FULL",
                        Durability::Relaxed => "PRAGMA synchronous = NORMAL",
                    };
                    connection.run(level).await?;
                    *durability = Some(wanted);
                }
                connection.run("BEGIN IMMEDIATE").await
            }
            Self::Postgres { database, connection, servers, on_another } => {
                let begin = database.begin(wanted != Durability::Relaxed);
                // One that rested may have been cut meanwhile: nothing is lost by beginning again.
                let begun = match connection.take() {
                    Some(mut rested) => rested.run_asking(begin).await.ok().map(|server| (rested, server)),
                    None => None,
                };
                let (mut begun, server) = match begun {
                    Some(begun) => begun,
                    None => {
                        let mut made = database.connect().await?;
                        let server = made.run_asking(begin).await?;
                        (made, server)
                    }
                };
                if servers.0.as_ref() != Some(&server) {
                    on_another(&mut begun).await.map_err(Failure::into_sql)?;
                }
                servers.1 = Some(server);
                *connection = Some(begun);
                Ok(())
            }
        }
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.connection()?.run("COMMIT").await?;
        if let Self::Postgres { servers, .. } = self {
            servers.0 = servers.1.take();
        }
        Ok(())
    }

    async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        let rolled_back = self.connection()?.run("ROLLBACK").await;
        // Whatever state it is in, the next one has none.
        if let (Self::Postgres { connection, .. }, Err(_)) = (self, &rolled_back) {
            *connection = None;
        }
        rolled_back
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite { mut connection, .. } => {
                connection.run("PRAGMA wal_checkpoint(TRUNCATE)").await?;
                connection.close().await
            }
            Self::Postgres { connection, .. } => match connection {
                Some(connection) => connection.close().await,
                None => Ok(()),
            },
        }
    }
}

/// Runs `work` so that what it deletes or replaces is overwritten with zeros.
pub(crate) async fn erasing<T>(
    connection: &mut Connection,
    work: impl for<'c> FnOnce(&'c mut Connection) -> Doing<'c, T>,
) -> Result<T, Failure> {
    // PostgreSQL writes beside what it replaces, and clears that away later: see `Database::forget_traces`.
    if connection.is_postgres() {
        return work(connection).await;
    }
    connection.run("PRAGMA secure_delete = ON").await?;
    let done = work(connection).await;
    connection.run("PRAGMA secure_delete = OFF").await?;
    done
}
