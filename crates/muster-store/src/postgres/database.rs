//! A database that has been opened, and how its transactions begin.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::PgPool;

use super::address::PostgresAddress;
use super::connect::connect_to_primary;
use crate::sql::Connection;

/// So long a transaction may stand still; then the database ends it, and others go on.
const IDLE: Duration = Duration::from_secs(5);
/// So long a write waits for those of other processes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// A database that has been opened.
pub(crate) struct Database {
    pub(crate) address: PostgresAddress,
    begin_synced: Arc<str>,
    begin_relaxed: Arc<str>,
    /// What begins a transaction that writes beside whoever has the lock of the whole store.
    pub(crate) begin_beside: String,
    /// The connection for that, once it was needed: nothing else that is read or written keeps it from anything.
    pub(crate) beside: tokio::sync::Mutex<Option<Connection>>,
    /// The connections that read, which go where those go that write.
    pub(super) readers: OnceLock<PgPool>,
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
                 SET LOCAL idle_in_transaction_session_timeout TO {idle}; \
                 SELECT pg_advisory_xact_lock({lock}), pg_postmaster_start_time()::text"
            )
        };
        let (synced, relaxed) = (begin("on"), begin("off"));
        Self {
            begin_beside: address.begin_beside(),
            beside: tokio::sync::Mutex::default(),
            address,
            begin_synced: synced.into(),
            begin_relaxed: relaxed.into(),
            readers: OnceLock::new(),
        }
    }

    /// What begins a transaction that writes. It answers when the server was started, which tells it from every other: also
    /// where a pooler keeps the connection while the server behind it is replaced.
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
            let (mut connection, _) = connect_to_primary(&self.address).await?;
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
