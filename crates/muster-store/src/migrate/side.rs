//! One end of a move: a connection to a store of either engine, which nobody else works with.

use std::fs::File;

use crate::failure::worded;
use crate::known_keys::KnownKeys;
use crate::postgres::connect::connect_to_primary;
use crate::postgres::database::Database;
use crate::postgres::open::{Layout, layout};
use crate::sql::{Connection, query};
use crate::sqlite::lock_file::{part_from_foreign_wal, try_lock};
use crate::sqlite::open::{number, options, versions};
use crate::tables::living::has_living_node;
use crate::tables::meta::signing_key;
use crate::{Address, KeyRing, Lifetime, PostgresAddress, SqlStore, StoreError};

const DOING: &str = "move the store";

/// One end.
pub(super) struct Side {
    /// Its path or its URL, for messages.
    pub(super) shown: String,
    /// The lock of the one process that works with a file.
    pub(super) file: Option<File>,
    connection: Connection,
    begin_read: String,
    begin_write: String,
}

impl Side {
    /// Opens the store at `address`, if it is current, nobody works with it, and its key is at hand.
    pub(super) async fn open(address: &Address, keys: &KeyRing) -> Result<Self, StoreError> {
        let shown = shown(address);
        let mut side = match address {
            Address::Sqlite(path) => {
                if !path.is_file() {
                    return Err(StoreError::NotMoved(format!("there is no store at {shown}")));
                }
                let lock = try_lock(path, "lock", DOING)?;
                let lock = lock.ok_or_else(|| StoreError::Locked { store: shown.clone() })?;
                part_from_foreign_wal(path, Some(&lock)).await?;
                let connection = options(path).connect().await;
                let connection = connection.map_err(|error| worded(&error, &shown, DOING))?;
                Self {
                    shown,
                    file: Some(lock),
                    connection: connection.into(),
                    begin_read: "BEGIN".to_owned(),
                    begin_write: "BEGIN IMMEDIATE".to_owned(),
                }
            }
            Address::Postgres(address) => {
                let database = Database::new((**address).clone());
                let connected = connect_to_primary(address).await;
                let (connection, _) = connected.map_err(|error| worded(&error, &shown, DOING))?;
                // Counting a large table takes its time, and so does looking for a place in it.
                let patient =
                    "SET LOCAL statement_timeout TO 0; SET LOCAL idle_in_transaction_session_timeout TO 0";
                Self {
                    shown,
                    file: None,
                    connection,
                    begin_read: format!("{}; {patient}", address.begin_reading()),
                    begin_write: format!("{}; {patient}", database.begin(true)),
                }
            }
        };
        side.check_layout(address).await?;
        let (shown, known) = (side.shown.clone(), KnownKeys::new(side.shown.clone(), keys));
        let failed = |error: sqlx::Error| worded(&error, &shown, DOING);
        side.begin_reading().await?;
        signing_key(&mut side.connection, &shown, &known).await?;
        let owned = side.file.is_none() && has_living_node(&mut side.connection).await.map_err(failed)?;
        side.end().await?;
        if owned {
            return Err(StoreError::Locked { store: shown.clone() });
        }
        Ok(side)
    }

    /// The same; where there is nothing, a store is made first.
    pub(super) async fn open_or_make(address: &Address, keys: &KeyRing) -> Result<Self, StoreError> {
        let made = match address {
            Address::Sqlite(path) if !path.exists() => Some(SqlStore::create(path, &keys.current).await?),
            Address::Postgres(address) if is_nothing_there(address).await? => {
                Some(SqlStore::create_in((**address).clone(), &keys.current).await?)
            }
            _ => None,
        };
        if let Some(made) = made {
            made.close().await;
        }
        Self::open(address, keys).await
    }

    async fn check_layout(&mut self, address: &Address) -> Result<(), StoreError> {
        let (version, current) = match address {
            Address::Sqlite(_) => {
                let shown = self.shown.clone();
                let failed = |error: sqlx::Error| worded(&error, &shown, DOING);
                let application =
                    number(&mut self.connection, "PRAGMA application_id").await.map_err(failed)?;
                if application != crate::sqlite::open::APPLICATION_ID {
                    let detail = "another program made this database".to_owned();
                    return Err(StoreError::Damaged { store: shown, detail });
                }
                (number(&mut self.connection, "PRAGMA user_version").await.map_err(failed)?, versions())
            }
            Address::Postgres(address) => {
                self.begin_reading().await?;
                let layout = layout(&mut self.connection, address).await?;
                self.end().await?;
                let Layout::Known { version, .. } = layout else {
                    return Err(StoreError::NotMoved(format!("there is no store at {}", self.shown)));
                };
                (version, crate::postgres::open::versions())
            }
        };
        match version {
            version if version == current => Ok(()),
            version if version > current => Err(StoreError::TooNew { store: self.shown.clone() }),
            _ => Err(StoreError::NotMoved(format!(
                "{} is of an earlier version of Muster: any command of this one, such as `muster tenant list`, brings it up to \
                 date",
                self.shown
            ))),
        }
    }

    /// Looks through all of it for damage. A database does so by itself.
    pub(super) async fn check_whole(&mut self) -> Result<(), StoreError> {
        if self.file.is_none() {
            return Ok(());
        }
        let shown = self.shown.clone();
        let failed = |error: sqlx::Error| worded(&error, &shown, DOING);
        let row = query("PRAGMA integrity_check(3)").fetch_one(&mut self.connection).await.map_err(failed)?;
        let found: String = row.try_get(0).map_err(failed)?;
        match found.as_str() {
            "ok" => Ok(()),
            _ => Err(StoreError::Damaged { store: shown, detail: found }),
        }
    }

    /// The columns that a table has here, sorted.
    pub(super) async fn columns_of(&mut self, table: &str) -> Result<Vec<String>, StoreError> {
        let (name, is_postgres) = (table.to_owned(), self.file.is_none());
        let mut found: Vec<String> = self
            .read(async |connection| {
                let columns = match is_postgres {
                    true => query(
                        "SELECT column_name::text FROM information_schema.columns
                         WHERE table_schema = current_schema() AND table_name = ?",
                    ),
                    false => query("SELECT name FROM pragma_table_info(?)"),
                };
                let rows = columns.bind(&name).fetch_all(&mut *connection).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            })
            .await?;
        found.sort();
        Ok(found)
    }

    async fn begin_reading(&mut self) -> Result<(), StoreError> {
        let begun = self.connection.run(&self.begin_read).await;
        begun.map_err(|error| worded(&error, &self.shown, DOING))
    }

    async fn end(&mut self) -> Result<(), StoreError> {
        let ended = self.connection.run("COMMIT").await;
        ended.map_err(|error| worded(&error, &self.shown, DOING))
    }

    /// Reads within a transaction.
    pub(super) async fn read<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let begin = self.begin_read.clone();
        self.within(&begin, work).await
    }

    /// Writes within a transaction that is on disk when this returns.
    pub(super) async fn write<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let begin = self.begin_write.clone();
        self.within(&begin, work).await
    }

    async fn within<T>(
        &mut self,
        begin: &str,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let Self { connection, shown, .. } = self;
        let done = async {
            connection.run(begin).await?;
            let done = work(connection).await?;
            connection.run("COMMIT").await?;
            Ok(done)
        };
        done.await.map_err(|error: sqlx::Error| worded(&error, shown, DOING))
    }

    pub(super) async fn close(mut self) {
        if self.file.is_some() {
            // Then the file is whole without others beside it.
            drop(self.connection.run("PRAGMA wal_checkpoint(TRUNCATE)").await);
        }
        // What was done is on disk; how it ends changes nothing.
        drop(self.connection.close().await);
    }
}

/// How a store is called in messages, and in the marks of a move.
pub(super) fn shown(address: &Address) -> String {
    match address {
        Address::Sqlite(path) => {
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
        }
        Address::Postgres(address) => format!("{} (schema {})", address.shown, address.schema),
    }
}

async fn is_nothing_there(address: &PostgresAddress) -> Result<bool, StoreError> {
    let failed = |error: sqlx::Error| worded(&error, &address.shown, DOING);
    let (mut connection, _) = connect_to_primary(address).await.map_err(failed)?;
    let begin = format!("BEGIN; SET LOCAL search_path TO {}", address.schema);
    connection.run(&begin).await.map_err(failed)?;
    let layout = layout(&mut connection, address).await;
    // What was read is read; how it ends changes nothing.
    drop(connection.close().await);
    Ok(layout? == Layout::None)
}
