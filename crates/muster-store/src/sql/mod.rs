//! Statements, whichever engine runs them.
//!
//! The tables' SQL is written once, in what both engines understand; [`dialect`] says what little is spelled otherwise in
//! PostgreSQL. A value is one of three kinds (a 64-bit integer, a text, bytes), as the columns are; a boolean is 0 or 1.

mod dialect;
mod query;
mod readers;
mod row;
mod sqlite;
mod value;

pub(crate) use self::dialect::text as keepable;
pub(crate) use self::query::{Query, query};
pub(crate) use self::readers::{PostgresReaders, Readers, is_cut};
pub(crate) use self::row::Row;
pub(crate) use self::sqlite::{SqliteConnection, SqliteOptions, SqliteReaders};
pub(crate) use self::value::Value;

use sqlx::{PgConnection, Postgres, Transaction};

/// A connection to either engine, or a transaction on one.
pub(crate) struct Connection(Inner);

enum Inner {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    // Behind a pooler, statements outside of a transaction may meet different sessions.
    PostgresTransaction(Transaction<'static, Postgres>),
}

/// What a statement is run on.
enum On<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Connection {
    fn on(&mut self) -> On<'_> {
        match &mut self.0 {
            Inner::Sqlite(connection) => On::Sqlite(connection),
            Inner::Postgres(connection) => On::Postgres(connection),
            Inner::PostgresTransaction(connection) => On::Postgres(connection),
        }
    }

    /// The same one; what is asked of SQLite is asked on the thread that asks.
    pub(crate) fn here(self) -> Self {
        Self(match self.0 {
            Inner::Sqlite(connection) => Inner::Sqlite(connection.here()),
            other => other,
        })
    }

    /// Whether it is one to PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.0, Inner::Postgres(_) | Inner::PostgresTransaction(_))
    }

    /// Runs statements that take no values and answer nothing, as they are written.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        match self.on() {
            On::Sqlite(connection) => connection.run(sql).await,
            On::Postgres(connection) => {
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.map(drop)
            }
        }
    }

    /// Runs statements of PostgreSQL of which the last answers with a text in its second column.
    pub(crate) async fn run_asking(&mut self, sql: &str) -> Result<String, sqlx::Error> {
        use sqlx::Row as _;
        match self.on() {
            On::Sqlite(_) => Err(sqlx::Error::RowNotFound),
            On::Postgres(connection) => {
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(1)
            }
        }
    }

    /// Ends it in good order.
    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        use sqlx::Connection as _;
        match self.0 {
            Inner::Sqlite(connection) => connection.close().await,
            Inner::Postgres(connection) => connection.close().await,
            Inner::PostgresTransaction(_) => Ok(()),
        }
    }
}

impl From<SqliteConnection> for Connection {
    fn from(connection: SqliteConnection) -> Self {
        Self(Inner::Sqlite(connection))
    }
}

impl From<PgConnection> for Connection {
    fn from(connection: PgConnection) -> Self {
        Self(Inner::Postgres(connection))
    }
}
