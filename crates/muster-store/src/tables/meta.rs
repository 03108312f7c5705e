//! What the store keeps of itself: the name and the keys that seal it, and the signed end of the audit log.

use super::rows::odd;
use crate::audit::LogEnd;
use crate::failure::{Failure, worded};
use crate::known_keys::{KnownKeys, opened_signing_key, sealed_signing_key};
use crate::sql::{Connection, query};
use crate::{KeyRing, MasterKey, SigningKey, StoreError};

/// The master key that seals the store, as seen from within a transaction. What is sealed with it is good until the
/// transaction ends.
pub(crate) async fn sealing_key(connection: &mut Connection, keys: &KnownKeys) -> Result<MasterKey, Failure> {
    let row = query("SELECT value FROM meta WHERE key = 'master_key'").fetch_one(&mut *connection).await?;
    Ok(keys.named(&row.try_get::<String, _>(0)?)?)
}

/// The signing key of the store and the name of its master key, which belong together.
pub(crate) async fn stored_keys(
    connection: &mut Connection,
) -> Result<(String, Option<String>), sqlx::Error> {
    // One statement, so that no rotation comes between.
    let row = query(
        "SELECT (SELECT value FROM meta WHERE key = 'master_key'),
                 (SELECT value FROM meta WHERE key = 'signing_key')",
    )
    .fetch_one(&mut *connection)
    .await?;
    let master_key: Option<String> = row.try_get(0)?;
    let missing = || odd(std::io::Error::other("the name of the master key is missing"));
    Ok((master_key.ok_or_else(missing)?, row.try_get(1)?))
}

/// Writes the signed end of the log.
pub(crate) async fn set_log_end(
    connection: &mut Connection,
    end: &LogEnd,
    key: &SigningKey,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO meta (key, value) VALUES ('audit_head', ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(end.signed(key))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The signed end of the log; `None` when it is not as it was written.
pub(crate) async fn log_end(
    connection: &mut Connection,
    key: &SigningKey,
) -> Result<Option<LogEnd>, sqlx::Error> {
    let row =
        query("SELECT value FROM meta WHERE key = 'audit_head'").fetch_optional(&mut *connection).await?;
    let stored: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(stored.and_then(|stored| LogEnd::verified(&stored, key)))
}

/// Writes one of the values.
pub(crate) async fn set_meta(connection: &mut Connection, key: &str, value: &str) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Where a store is being moved to, and where it has gone: the number of the move, and the other's name.
pub(crate) const MOVING_TO: &str = "moving_to";
pub(crate) const MOVED_TO: &str = "moved_to";
/// Where a store that is not whole yet comes from.
pub(crate) const MOVING_FROM: &str = "moving_from";

/// What is written of a move.
pub(crate) async fn move_mark(
    connection: &mut Connection,
    key: &'static str,
) -> Result<Option<(String, String)>, sqlx::Error> {
    let row =
        query("SELECT value FROM meta WHERE key = ?").bind(key).fetch_optional(&mut *connection).await?;
    let value: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(value.and_then(|value| value.split_once(' ').map(|(id, other)| (id.to_owned(), other.to_owned()))))
}

/// Refuses a store that was moved, or is not whole yet: else two could run on the same records, and double them.
pub(crate) async fn check_not_moved(connection: &mut Connection, shown: &str) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| worded(&error, shown, "open");
    let store = shown.to_owned();
    if let Some((_, to)) = move_mark(connection, MOVED_TO).await.map_err(failed)? {
        return Err(StoreError::Moved { store, to });
    }
    if let Some((_, to)) = move_mark(connection, MOVING_TO).await.map_err(failed)? {
        return Err(StoreError::Moving { from: store, to });
    }
    match move_mark(connection, MOVING_FROM).await.map_err(failed)? {
        Some((_, from)) => Err(StoreError::Moving { from, to: store }),
        None => Ok(()),
    }
}

/// Makes the signing key and the end of the audit log, in the transaction that makes their places and at no other time:
/// were they made wherever they are missing, whoever deletes them could begin a log of their own.
///
/// Also remembers which master key seals a new store, so that a wrong one is told at once and not by the first record.
pub(crate) async fn make_keys(
    connection: &mut Connection,
    store: &str,
    ring: &KeyRing,
    keys: &KnownKeys,
) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| worded(&error, store, "open");
    query("INSERT INTO meta (key, value) VALUES ('master_key', ?) ON CONFLICT DO NOTHING")
        .bind(ring.current.id())
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let (sealing, _) = stored_keys(connection).await.map_err(failed)?;
    let master_key = keys.named(&sealing)?;
    let signing_key = SigningKey::generate();
    query("INSERT INTO meta (key, value) VALUES ('signing_key', ?)")
        .bind(sealed_signing_key(&signing_key, &master_key))
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    set_log_end(connection, &LogEnd::empty(), &signing_key).await.map_err(failed)
}

/// Opens the signing key, and so finds out whether the master key is at hand.
pub(crate) async fn signing_key(
    connection: &mut Connection,
    store: &str,
    keys: &KnownKeys,
) -> Result<SigningKey, StoreError> {
    let (sealing, stored) = stored_keys(connection).await.map_err(|error| worded(&error, store, "open"))?;
    keys.named(&sealing)?;
    let missing =
        || StoreError::Damaged { store: store.to_owned(), detail: "the signing key is missing".to_owned() };
    opened_signing_key(&stored.ok_or_else(missing)?, keys)
}
