//! Connecting to the host that can be written.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::address::PostgresAddress;
use crate::sql::{Connection, query};

/// How long it is waited for a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to the first host that can be written; where none can, says so of the last.
pub(crate) async fn connect_to_primary(
    address: &PostgresAddress,
) -> Result<(Connection, &PgConnectOptions), sqlx::Error> {
    let mut last = sqlx::Error::PoolTimedOut;
    for options in address.options() {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, options.connect());
        let connection = match connecting.await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                last = error;
                continue;
            }
            Err(_) => {
                last = sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
                continue;
            }
        };
        let mut connection = Connection::from(connection);
        if address.options().len() == 1 || !is_standby(&mut connection).await? {
            return Ok((connection, options));
        }
        last = sqlx::Error::Protocol(
            "every host that can be reached is a standby, which cannot be written".to_owned(),
        );
    }
    Err(last)
}

async fn is_standby(connection: &mut Connection) -> Result<bool, sqlx::Error> {
    connection.run("BEGIN").await?;
    let row = query("SELECT pg_is_in_recovery()").fetch_one(&mut *connection).await?;
    let is_standby = row.try_get(0)?;
    connection.run("ROLLBACK").await?;
    Ok(is_standby)
}
