//! What SQLite says, put into the words of [`StoreError`].

use crate::StoreError;

// Result codes of SQLite (https://www.sqlite.org/rescode.html).
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const NOT_A_DATABASE: i32 = 26;
const IO_ERROR_WRITE: i32 = 778;
const IO_ERROR_SHARED_MEMORY_SIZE: i32 = 4874;

/// Why a statement or a request to the writer failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database's own error.
    Sql(sqlx::Error),
    /// One that is worded already.
    Store(StoreError),
    /// Another writer was faster.
    Overtaken,
    /// The writer has ended.
    Closed,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    /// Whether another writer was faster: a row with the same key exists already, or is not what it was.
    pub(super) fn is_conflict(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => error.is_unique_violation(),
            other => matches!(other, Self::Overtaken),
        }
    }

    /// In words, for the store at `path`.
    pub(super) fn worded(self, path: &str, doing: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(error) => worded(&error, path, doing),
            Self::Overtaken => {
                let detail = "others write the same records again and again".to_owned();
                StoreError::Database { doing, detail }
            }
            Self::Closed => StoreError::Database { doing, detail: "the store has been closed".to_owned() },
        }
    }
}

/// `error` in words.
pub(super) fn worded(error: &sqlx::Error, path: &str, doing: &'static str) -> StoreError {
    let store = path.to_owned();
    match code(error) {
        Some(FULL | IO_ERROR_WRITE | IO_ERROR_SHARED_MEMORY_SIZE) => StoreError::DiskFull { store },
        Some(code) if matches!(code & 0xff, BUSY | LOCKED) => StoreError::Locked { store },
        Some(code) if matches!(code & 0xff, CORRUPT | NOT_A_DATABASE) => {
            StoreError::Damaged { store, detail: error.to_string() }
        }
        _ => StoreError::Database { doing, detail: error.to_string() },
    }
}

fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}
