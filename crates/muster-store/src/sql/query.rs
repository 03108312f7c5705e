//! A statement with its values.

use std::borrow::Cow;

use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, Executor};

use super::readers::Readers;
use super::sqlite::Wanted;
use super::value::Value;
use super::{Connection, On, Row, dialect};

/// A statement written in the SQL of both engines: `?` or `?1` stand for values.
pub(crate) fn query(sql: &'static str) -> Query<'static> {
    Query { sql: Cow::Borrowed(sql), values: Vec::new() }
}

/// A statement and the values that it has so far.
pub(crate) struct Query<'q> {
    sql: Cow<'static, str>,
    values: Vec<Value<'q>>,
}

/// What a statement has changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    rows: u64,
}

impl Done {
    /// How many rows it has written or deleted.
    pub(crate) fn rows_affected(self) -> u64 {
        self.rows
    }
}

/// Where a statement is run: on a connection, or on any that reads.
pub(crate) enum At<'c> {
    Connection(&'c mut Connection),
    Readers(&'c Readers),
}

impl<'c> From<&'c mut Connection> for At<'c> {
    fn from(connection: &'c mut Connection) -> Self {
        Self::Connection(connection)
    }
}

impl<'c> From<&'c Readers> for At<'c> {
    fn from(readers: &'c Readers) -> Self {
        Self::Readers(readers)
    }
}

impl<'q> Query<'q> {
    /// One that was put together; nothing in it comes from outside.
    pub(crate) fn of(sql: String) -> Self {
        Self { sql: Cow::Owned(sql), values: Vec::new() }
    }

    /// Adds the next value.
    pub(crate) fn bind<'v>(self, value: impl Into<Value<'v>>) -> Query<'v>
    where
        'q: 'v,
    {
        let mut values: Vec<Value<'v>> = self.values;
        values.push(value.into());
        Query { sql: self.sql, values }
    }

    /// Runs it for what it changes.
    pub(crate) async fn execute(self, at: impl Into<At<'_>>) -> Result<Done, sqlx::Error> {
        match at.into() {
            At::Connection(connection) => self.execute_on(connection).await,
            At::Readers(readers) => self.execute_on(&mut readers.acquire().await?).await,
        }
    }

    /// The one row that it gives.
    pub(crate) async fn fetch_one(self, at: impl Into<At<'_>>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(at).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// The first row that it gives, if it gives any.
    pub(crate) async fn fetch_optional(self, at: impl Into<At<'_>>) -> Result<Option<Row>, sqlx::Error> {
        match at.into() {
            At::Connection(connection) => self.optional_on(connection).await,
            At::Readers(readers) => {
                let mut attempts = readers.attempts();
                loop {
                    let read = async { self.optional_on(&mut readers.acquire().await?).await };
                    match read.await {
                        Err(error) if attempts.again(&error) => {}
                        read => return read,
                    }
                }
            }
        }
    }

    /// All rows that it gives.
    pub(crate) async fn fetch_all(self, at: impl Into<At<'_>>) -> Result<Vec<Row>, sqlx::Error> {
        match at.into() {
            At::Connection(connection) => self.all_on(connection).await,
            At::Readers(readers) => {
                let mut attempts = readers.attempts();
                loop {
                    let read = async { self.all_on(&mut readers.acquire().await?).await };
                    match read.await {
                        Err(error) if attempts.again(&error) => {}
                        read => return read,
                    }
                }
            }
        }
    }

    async fn execute_on(&self, connection: &mut Connection) -> Result<Done, sqlx::Error> {
        let rows = match connection.on() {
            On::Sqlite(connection) => connection.ask(&self.sql, &self.values, Wanted::Changes).await?.changes,
            On::Postgres(connection) => connection.execute(self.for_postgres()?).await?.rows_affected(),
        };
        Ok(Done { rows })
    }

    async fn optional_on(&self, connection: &mut Connection) -> Result<Option<Row>, sqlx::Error> {
        Ok(match connection.on() {
            On::Sqlite(connection) => {
                let given = connection.ask(&self.sql, &self.values, Wanted::First).await?;
                given.rows.into_iter().next().map(Row::Sqlite)
            }
            On::Postgres(connection) => {
                connection.fetch_optional(self.for_postgres()?).await?.map(Row::Postgres)
            }
        })
    }

    async fn all_on(&self, connection: &mut Connection) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match connection.on() {
            On::Sqlite(connection) => {
                let given = connection.ask(&self.sql, &self.values, Wanted::All).await?;
                given.rows.into_iter().map(Row::Sqlite).collect()
            }
            On::Postgres(connection) => {
                connection.fetch_all(self.for_postgres()?).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    fn for_postgres(&self) -> Result<sqlx::query::Query<'static, sqlx::Postgres, PgArguments>, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for value in &self.values {
            let added = match value {
                Value::Integer(value) => arguments.add(*value),
                Value::Text(value) => arguments.add(value.as_deref().map(dialect::text)),
                Value::Exact(value) => arguments.add(value.as_deref().map(dialect::without_zero)),
                Value::Bytes(value) => arguments.add(value.as_deref()),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        let sql = AssertSqlSafe(dialect::postgres(&self.sql));
        // Unnamed: a pooler between two transactions hands out another session, which knows no names of ours.
        Ok(sqlx::query_with(sql, arguments).persistent(false))
    }
}
