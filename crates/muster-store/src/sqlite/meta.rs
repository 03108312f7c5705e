//! What the store keeps of itself: the name and the keys that seal it, and the signed end of the audit log.

use sqlx::{Executor, Row, SqliteConnection};

use super::failure::Failure;
use super::rows::odd;
use crate::audit::LogEnd;
use crate::known_keys::KnownKeys;
use crate::{MasterKey, SigningKey};

/// The master key that seals the store, as seen from within a transaction. What is sealed with it is good until the
/// transaction ends.
pub(super) async fn sealing_key(
    connection: &mut SqliteConnection,
    keys: &KnownKeys,
) -> Result<MasterKey, Failure> {
    let row = connection.fetch_one("SELECT value FROM meta WHERE key = 'master_key'").await?;
    Ok(keys.named(&row.try_get::<String, _>(0)?)?)
}

/// The signing key of the store and the name of its master key, which belong together.
pub(super) async fn stored_keys(
    connection: &mut SqliteConnection,
) -> Result<(String, Option<String>), sqlx::Error> {
    // One statement, so that no rotation comes between.
    let row = connection
        .fetch_one(
            "SELECT (SELECT value FROM meta WHERE key = 'master_key'),
                 (SELECT value FROM meta WHERE key = 'signing_key')",
        )
        .await?;
    let master_key: Option<String> = row.try_get(0)?;
    let missing = || odd(std::io::Error::other("the name of the master key is missing"));
    Ok((master_key.ok_or_else(missing)?, row.try_get(1)?))
}

/// Writes the signed end of the log.
pub(super) async fn set_log_end(
    connection: &mut SqliteConnection,
    end: &LogEnd,
    key: &SigningKey,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES ('audit_head', ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(end.signed(key))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The signed end of the log; `None` when it is not as it was written.
pub(super) async fn log_end(
    connection: &mut SqliteConnection,
    key: &SigningKey,
) -> Result<Option<LogEnd>, sqlx::Error> {
    let row = connection.fetch_optional("SELECT value FROM meta WHERE key = 'audit_head'").await?;
    let stored: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(stored.and_then(|stored| LogEnd::verified(&stored, key)))
}

/// Writes one of the values.
pub(super) async fn set_meta(
    connection: &mut SqliteConnection,
    key: &str,
    value: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
