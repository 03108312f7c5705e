//! Looking at a store without changing it.

use super::address::PostgresAddress;
use super::connect::connect_to_primary;
use super::failure::worded;
use super::open::{layout, usable, versions};
use crate::known_keys::KnownKeys;
use crate::sql::Connection;
use crate::tables::living::has_living_node;
use crate::tables::meta::{check_not_moved, signing_key};
use crate::{KeyRing, StoreError, StoreLook};

/// Looks at the store at `address`. Without keys it is not known whether they are the right ones.
pub(crate) async fn look(address: &PostgresAddress, keys: Option<&KeyRing>) -> Result<StoreLook, StoreError> {
    let failed = |error: sqlx::Error| worded(&error, &address.shown, "look at it");
    let (mut connection, _) = connect_to_primary(address).await.map_err(failed)?;
    let seen = see(&mut connection, address, keys).await;
    // What was read is read; how it ends changes nothing.
    drop(connection.close().await);
    seen
}

async fn see(
    connection: &mut Connection,
    address: &PostgresAddress,
    keys: Option<&KeyRing>,
) -> Result<StoreLook, StoreError> {
    let shown = &address.shown;
    let failed = |error: sqlx::Error| worded(&error, shown, "look at it");
    connection.run(&address.begin_reading()).await.map_err(failed)?;
    let version = usable(layout(connection, address).await?, address)?;
    check_not_moved(connection, shown).await?;
    if let Some(ring) = keys {
        signing_key(connection, shown, &KnownKeys::new(shown.clone(), ring)).await?;
    }
    if version < versions() {
        return Ok(StoreLook::outdated());
    }
    let is_owned = has_living_node(connection).await.map_err(failed)?;
    Ok(StoreLook { is_owned, ..StoreLook::at_tables(connection, shown).await? })
}
