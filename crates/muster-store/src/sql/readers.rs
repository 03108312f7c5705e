//! The connections that read.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgPool};

use super::{Connection, Inner, SqliteReaders};

/// Connections that read, of either engine.
#[derive(Clone)]
pub(crate) enum Readers {
    Sqlite(Arc<SqliteReaders>),
    Postgres(PostgresReaders),
}

/// Those to PostgreSQL.
#[derive(Clone)]
pub(crate) struct PostgresReaders {
    /// The connections.
    pub(crate) pool: PgPool,
    /// What begins a transaction that reads.
    pub(crate) begin: Arc<str>,
}

impl Readers {
    /// One of the connections, for several statements.
    pub(crate) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        Ok(Connection(match self {
            Self::Sqlite(readers) => Inner::Sqlite(readers.acquire().await?),
            Self::Postgres(readers) => readers.begin().await?,
        }))
    }

    /// One of the connections, which sees the store as of one moment.
    pub(crate) async fn begin(&self) -> Result<Connection, sqlx::Error> {
        Ok(Connection(match self {
            Self::Sqlite(readers) => {
                let mut reader = readers.acquire().await?;
                reader.run("BEGIN").await?;
                Inner::Sqlite(reader)
            }
            Self::Postgres(readers) => readers.begin().await?,
        }))
    }

    /// Whether they are to PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Ends all of them.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(readers) => readers.close().await,
            Self::Postgres(readers) => readers.pool.close().await,
        }
    }

    /// How often a read is tried again: what was asked changes nothing, and a connection may have been cut while it rested.
    pub(super) fn attempts(&self) -> Attempts {
        match self {
            Self::Sqlite(_) => Attempts(0),
            // All of the pool's connections are cut by a failover; each is met once.
            Self::Postgres(readers) => Attempts(readers.pool.size()),
        }
    }
}

impl PostgresReaders {
    async fn begin(&self) -> Result<Inner, sqlx::Error> {
        let begin = AssertSqlSafe(Arc::clone(&self.begin));
        Ok(Inner::PostgresTransaction(self.pool.begin_with(begin).await?))
    }
}

/// How often a read is still tried again.
pub(super) struct Attempts(u32);

impl Attempts {
    /// Whether what failed like this is tried again.
    pub(super) fn again(&mut self, error: &sqlx::Error) -> bool {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or(0);
        left.is_some() && is_cut(error)
    }
}

/// Whether the connection is gone, and not what was asked at fault.
pub(crate) fn is_cut(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => true,
        // Class 08: connection exceptions. Class 57P: the server ends, or has just begun. 25P03: the session stood idle
        // within a transaction (https://www.postgresql.org/docs/current/errcodes-appendix.html).
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P") || code == "25P03"),
        _ => false,
    }
}
