//! Connections to SQLite.
//!
//! SQLite answers within the call. The writer has a thread of its own, on which its statements run one after the other; those of
//! all others run aside, where they hold nothing up.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::row::{Cell, SqliteRow};
use super::value::Value;

/// How long is waited for a reader: longer than any of them has to do, unless the disk hangs.
const READER_WITHIN: Duration = Duration::from_secs(30);
/// How many statements a connection keeps prepared: more than the product has that are run again and again.
const PREPARED_MAX: usize = 256;

/// How a database file is opened.
#[derive(Debug, Clone)]
pub(crate) struct SqliteOptions {
    path: PathBuf,
    flags: OpenFlags,
    is_immutable: bool,
    busy_timeout: Duration,
    /// What is set first, in this order.
    pragmas: String,
}

impl SqliteOptions {
    /// The file at `path`, to be read and written, if it is there.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            flags: OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            is_immutable: false,
            busy_timeout: Duration::from_secs(5),
            pragmas: "PRAGMA foreign_keys = ON;".to_owned(),
        }
    }

    /// The file at `path`, to be read.
    pub(crate) fn reading(path: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self { flags, ..Self::new(path) }
    }

    /// Whether it is taken for one that nobody changes: then no file is made beside it, and what lies beside it is not read.
    pub(crate) fn immutable(self, is_immutable: bool) -> Self {
        Self { is_immutable, ..self }
    }

    /// How long is waited for a lock of another process.
    pub(crate) fn busy_timeout(self, busy_timeout: Duration) -> Self {
        Self { busy_timeout, ..self }
    }

    /// Sets something else, too.
    pub(crate) fn pragma(mut self, name: &str, value: &str) -> Self {
        self.pragmas.push_str(&format!("PRAGMA {name} = {value};"));
        self
    }

    /// A connection whose statements run aside.
    pub(crate) async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let options = self.clone();
        let opened = tokio::task::spawn_blocking(move || options.open()).await;
        let opened = opened.map_err(|_| sqlx::Error::WorkerCrashed)?.map_err(refused)?;
        Ok(SqliteConnection::aside_on(opened))
    }

    fn open(&self) -> rusqlite::Result<rusqlite::Connection> {
        let opened = match self.is_immutable {
            false => rusqlite::Connection::open_with_flags(&self.path, self.flags)?,
            true => {
                let flags = self.flags | OpenFlags::SQLITE_OPEN_URI;
                rusqlite::Connection::open_with_flags(immutable(&self.path), flags)?
            }
        };
        opened.busy_timeout(self.busy_timeout)?;
        opened.set_prepared_statement_cache_capacity(PREPARED_MAX);
        // Else a statement is planned anew for other values.
        opened.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        opened.execute_batch(&self.pragmas)?;
        Ok(opened)
    }
}

/// The URI of a file that nobody changes (<https://www.sqlite.org/uri.html>).
fn immutable(path: &Path) -> PathBuf {
    // An empty authority: what follows two slashes would be taken for one.
    let mut uri = if path.is_absolute() { b"file://".to_vec() } else { b"file:".to_vec() };
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02x}").bytes()),
            byte => uri.push(byte),
        }
    }
    uri.extend(b"?immutable=1");
    OsString::from_vec(uri).into()
}

/// A connection to a database file.
pub(crate) struct SqliteConnection {
    /// It goes along to where a statement runs. One whose caller went away meanwhile is gone.
    opened: Option<rusqlite::Connection>,
    runs: Runs,
    /// Ends the statement that runs aside, where nobody waits for it any more.
    interrupt: rusqlite::InterruptHandle,
    /// The readers that it belongs to. It goes along, too: what still runs still takes a place.
    home: Option<Home>,
}

type Home = (Arc<SqliteReaders>, OwnedSemaphorePermit);

/// Where statements run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// On the thread that asks: it has nothing else to do.
    Here,
    /// On a thread for what blocks.
    Aside,
}

/// What a statement is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What it changes.
    Changes,
    /// Its first row.
    First,
    /// All its rows.
    All,
}

/// What a statement gave.
pub(super) struct Given {
    pub(super) rows: Vec<SqliteRow>,
    pub(super) changes: u64,
}

impl SqliteConnection {
    fn aside_on(opened: rusqlite::Connection) -> Self {
        let interrupt = opened.get_interrupt_handle();
        Self { opened: Some(opened), runs: Runs::Aside, interrupt, home: None }
    }

    /// The same one, whose statements run on the thread that asks.
    pub(crate) fn here(mut self) -> Self {
        self.runs = Runs::Here;
        self
    }

    pub(super) async fn ask(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        wanted: Wanted,
    ) -> Result<Given, sqlx::Error> {
        if let (Runs::Here, Some(opened)) = (self.runs, &self.opened) {
            return given(opened, sql, values, wanted).map_err(refused);
        }
        let sql = sql.to_owned();
        let values: Vec<Value<'static>> = values.iter().map(Value::to_owned).collect();
        self.aside(move |opened| given(opened, &sql, &values, wanted)).await
    }

    /// Runs statements that take no values and answer nothing.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        match (self.runs, &self.opened) {
            // The bounds of a transaction are set again and again.
            (Runs::Here, Some(opened)) if !sql.contains(';') => {
                given(opened, sql, &[], Wanted::Changes).map(drop).map_err(refused)
            }
            (Runs::Here, Some(opened)) => opened.execute_batch(sql).map_err(refused),
            _ => {
                let sql = sql.to_owned();
                self.aside(move |opened| opened.execute_batch(&sql)).await
            }
        }
    }

    /// Ends it in good order.
    pub(super) async fn close(mut self) -> Result<(), sqlx::Error> {
        if self.home.is_some() {
            return Ok(());
        }
        let opened = self.opened.take().ok_or(sqlx::Error::WorkerCrashed)?;
        let close = move || opened.close().map_err(|(_, error)| error);
        match self.runs {
            Runs::Here => close().map_err(refused),
            Runs::Aside => {
                let closed = tokio::task::spawn_blocking(close).await;
                closed.map_err(|_| sqlx::Error::WorkerCrashed)?.map_err(refused)
            }
        }
    }

    async fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, sqlx::Error> {
        let opened = self.opened.take().ok_or(sqlx::Error::WorkerCrashed)?;
        let home = self.home.take();
        let worked = tokio::task::spawn_blocking(move || (work(&opened), opened, home)).await;
        let (done, opened, home) = worked.map_err(|_| sqlx::Error::WorkerCrashed)?;
        (self.opened, self.home) = (Some(opened), home);
        done.map_err(refused)
    }
}

impl Drop for SqliteConnection {
    fn drop(&mut self) {
        if self.opened.is_none() {
            self.interrupt.interrupt();
        }
        let (Some((readers, _permit)), Some(opened)) = (self.home.take(), self.opened.take()) else { return };
        // One that cannot end its transaction is let go.
        if opened.is_autocommit() || opened.execute_batch("ROLLBACK").is_ok() {
            readers.idle.lock().expect("no panic while the lock is held").push(opened);
        }
    }
}

/// A few connections that read.
pub(crate) struct SqliteReaders {
    options: SqliteOptions,
    max: u32,
    idle: Mutex<Vec<rusqlite::Connection>>,
    /// Closed when no more are handed out.
    places: Arc<Semaphore>,
}

impl SqliteReaders {
    /// So many connections at most; the first is made now, so that it is known whether there can be any.
    pub(crate) async fn new(options: SqliteOptions, max: u32) -> Result<Arc<Self>, sqlx::Error> {
        let places = Arc::new(Semaphore::new(max as usize));
        let readers = Arc::new(Self { options, max, idle: Mutex::new(Vec::new()), places });
        drop(readers.acquire().await?);
        Ok(readers)
    }

    pub(super) async fn acquire(self: &Arc<Self>) -> Result<SqliteConnection, sqlx::Error> {
        let place = tokio::time::timeout(READER_WITHIN, Arc::clone(&self.places).acquire_owned()).await;
        let permit = place.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle.lock().expect("no panic while the lock is held").pop();
        let mut connection = match idle {
            Some(opened) => SqliteConnection::aside_on(opened),
            None => self.options.connect().await?,
        };
        connection.home = Some((Arc::clone(self), permit));
        Ok(connection)
    }

    /// Ends all of them, once they are back.
    pub(super) async fn close(&self) {
        if let Ok(Ok(all)) = tokio::time::timeout(READER_WITHIN, self.places.acquire_many(self.max)).await {
            all.forget();
        }
        self.places.close();
        self.idle.lock().expect("no panic while the lock is held").clear();
    }
}

fn given(
    opened: &rusqlite::Connection,
    sql: &str,
    values: &[Value<'_>],
    wanted: Wanted,
) -> rusqlite::Result<Given> {
    let mut statement = opened.prepare_cached(sql)?;
    // What a statement has no place for is left out, as with PostgreSQL.
    let places = statement.parameter_count();
    for (place, value) in values.iter().enumerate().take(places) {
        statement.raw_bind_parameter(place + 1, bound(value))?;
    }
    let names: Arc<[Box<str>]> = match wanted {
        Wanted::Changes => Arc::default(),
        Wanted::First | Wanted::All => statement.column_names().map(Box::from).collect(),
    };
    let mut answers = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = answers.next()? {
        if wanted == Wanted::Changes {
            continue;
        }
        let cells = (0..names.len()).map(|place| cell(row.get_ref(place)?, place));
        rows.push(SqliteRow { names: Arc::clone(&names), cells: cells.collect::<rusqlite::Result<_>>()? });
        if wanted == Wanted::First {
            break;
        }
    }
    drop(answers);
    Ok(Given { rows, changes: opened.changes() })
}

fn bound<'v>(value: &'v Value<'_>) -> ToSqlOutput<'v> {
    ToSqlOutput::Borrowed(match value {
        Value::Integer(Some(number)) => ValueRef::Integer(*number),
        Value::Text(Some(text)) | Value::Exact(Some(text)) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
        Value::Integer(None) | Value::Text(None) | Value::Exact(None) | Value::Bytes(None) => ValueRef::Null,
    })
}

fn cell(value: ValueRef<'_>, place: usize) -> rusqlite::Result<Cell> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => match String::from_utf8(text.to_vec()) {
            Ok(text) => Cell::Text(text),
            Err(error) => return Err(rusqlite::Error::Utf8Error(place, error.utf8_error())),
        },
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    })
}

/// What SQLite said, as sqlx tells what a database says.
#[derive(Debug, thiserror::Error)]
#[error("(code: {code}) {message}")]
struct Refused {
    /// <https://www.sqlite.org/rescode.html>
    code: i32,
    message: String,
}

fn refused(error: rusqlite::Error) -> sqlx::Error {
    let (code, message) = match error {
        rusqlite::Error::SqliteFailure(error, message) => {
            (error.extended_code, message.unwrap_or_else(|| error.to_string()))
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => (error.extended_code, msg),
        other => return sqlx::Error::Decode(Box::new(other)),
    };
    sqlx::Error::Database(Box::new(Refused { code, message }))
}

impl sqlx::error::DatabaseError for Refused {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        match self.code {
            rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                sqlx::error::ErrorKind::UniqueViolation
            }
            rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY => sqlx::error::ErrorKind::ForeignKeyViolation,
            rusqlite::ffi::SQLITE_CONSTRAINT_NOTNULL => sqlx::error::ErrorKind::NotNullViolation,
            rusqlite::ffi::SQLITE_CONSTRAINT_CHECK => sqlx::error::ErrorKind::CheckViolation,
            _ => sqlx::error::ErrorKind::Other,
        }
    }
}
