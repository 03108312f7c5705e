//! Why a request to the store failed, put into the words of [`StoreError`].

use crate::{StoreError, postgres, sqlite};

/// Why a statement or a request to the writer failed.
#[derive(Debug)]
pub(crate) enum Failure {
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
    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => error.is_unique_violation(),
            other => matches!(other, Self::Overtaken),
        }
    }

    /// In words, where it is the store's own state, for which all work fails and not this alone.
    pub(crate) fn of_all_work(&self, path: &str) -> Option<String> {
        let Self::Sql(error) = self else { return None };
        let error = worded(error, path, "write");
        error.is_of_all_work().then(|| error.to_string())
    }

    /// The database's own error, of what does nothing but ask it.
    pub(crate) fn into_sql(self) -> sqlx::Error {
        match self {
            Self::Sql(error) => error,
            other => sqlx::Error::Protocol(format!("{other:?}")),
        }
    }

    /// In words, for the store at `path`.
    pub(crate) fn worded(self, path: &str, doing: &'static str) -> StoreError {
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

/// What a database said, in words, for the store at `store`.
pub(crate) fn worded(error: &sqlx::Error, store: &str, doing: &'static str) -> StoreError {
    match store.starts_with(postgres::address::SCHEME) {
        true => postgres::failure::worded(error, store, doing),
        false => sqlite::failure::worded(error, store, doing),
    }
}
