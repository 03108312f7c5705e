//! What is PostgreSQL's own: how it is reached, its tables, what it says, and what happens when a connection breaks.
//!
//! Everything is in one schema. Each statement is part of a transaction that sets what it needs (`SET LOCAL`), and none has a
//! name, so that a pooler may stand between. Who writes has the lock of the whole store until the transaction ends
//! (`pg_advisory_xact_lock`): what the tables do within a transaction they do alone, as with SQLite. A process that is paused
//! within one loses it after [`IDLE`], by the database's clock.

mod address;
pub(crate) mod failure;
pub(crate) mod look;
pub(crate) mod open;

pub use self::address::{PostgresAddress, PostgresSettings, SslMode};

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::{ConnectOptions, PgPool};

use self::open::connect_to_primary;
use crate::sql::Connection;

/// What the name of such a store begins with.
pub(crate) const SCHEME: &str = "postgres://";
/// So long a transaction may stand still; then the database ends it, and others go on.
const IDLE: Duration = Duration::from_secs(5);
/// So long a write waits for those of other processes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// A database that has been opened.
pub(crate) struct Database {
    pub(crate) address: PostgresAddress,
    begin_synced: Arc<str>,
    begin_relaxed: Arc<str>,
    /// The connections that read, which go where those go that write.
    readers: OnceLock<PgPool>,
}

impl Database {
    pub(crate) fn new(address: PostgresAddress) -> Self {
        let begin = |synchronous: &str| {
            let (schema, lock) = (&address.schema, address.lock_key());
            let statement = address.statement_timeout.as_millis();
            let (idle, wait) = (IDLE.as_millis(), LOCK_TIMEOUT.as_millis());
            format!(
                "BEGIN; SET LOCAL search_path TO {schema}; SET LOCAL synchronous_commit TO {synchronous}; \
                 SET LOCAL statement_timeout TO {statement}; SET LOCAL lock_timeout TO {wait}; \
                 SET LOCAL idle_in_transaction_session_timeout TO {idle}; SELECT pg_advisory_xact_lock({lock})"
            )
        };
        let (synced, relaxed) = (begin("on"), begin("off"));
        Self { address, begin_synced: synced.into(), begin_relaxed: relaxed.into(), readers: OnceLock::new() }
    }

    /// What begins a transaction that writes.
    pub(crate) fn begin(&self, synced: bool) -> &str {
        if synced { &self.begin_synced } else { &self.begin_relaxed }
    }

    /// A new connection for writing.
    pub(crate) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        let (connection, host) = connect_to_primary(&self.address).await?;
        if let Some(readers) = self.readers.get() {
            readers.set_connect_options(host.clone());
        }
        Ok(connection)
    }

    /// Has the database clear away what deleted rows have left, where they can be read no more but are there still.
    pub(crate) async fn forget_traces(&self) {
        let cleared = async {
            let mut connection = self.address.options()[0].connect().await.map(Connection::from)?;
            let schema = &self.address.schema;
            for table in ["tenant", "app_credential", "meta", "delegated_grant"] {
                connection.run(&format!("VACUUM {schema}.{table}")).await?;
            }
            connection.close().await
        };
        if let Err(error) = cleared.await {
            tracing::debug!(%error, "what is left of deleted rows will be cleared away later");
        }
    }
}
