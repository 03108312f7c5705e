//! The [`Store`]: everything that Muster remembers, one trait for each noun.
//!
//! Rules that hold for every engine, each method being one durable step and one transaction:
//! - No method holds a transaction while something outside the store is awaited.
//! - What is worked on is *leased*: a lease names its owner, ends at a time, and carries a fencing token that every
//!   later write with the lease presents. A write with a token that is not the newest is refused with
//!   [`StoreError::LeaseLost`] and changes nothing.
//! - Methods that take a `TenantId` touch that tenant's data only.
//! - `now` is an argument; the store has no clock.
//!
//! [`StoreError::LeaseLost`]: crate::StoreError::LeaseLost

use std::path::PathBuf;
use std::sync::Arc;

use crate::{
    AuditLog, Checks, Credentials, DeadLetters, Deliveries, Grants, Heartbeats, Invitations, Journal,
    JournalBound, KeyRing, Keys, Leases, Ledger, Lifetime, MasterKey, Nodes, Notices, OpenMode, Passes,
    PostgresAddress, PullClients, ReadKeys, Replays, Searches, SignIns, Sources, SqlStore, StoreError,
    StoreLook, Tenants, Tickets,
};

/// Everything that Muster remembers. See the module's head for the rules.
pub trait Store:
    Tenants
    + Sources
    + Passes
    + Journal
    + JournalBound
    + Deliveries
    + Tickets
    + Replays
    + Searches
    + PullClients
    + DeadLetters
    + Invitations
    + SignIns
    + Grants
    + Credentials
    + Checks
    + AuditLog
    + Keys
    + Leases
    + Ledger
    + Lifetime
    + Heartbeats
    + Nodes
    + Notices
    + 'static
{
}

impl<T> Store for T where
    T: Tenants
        + Sources
        + Passes
        + Journal
        + JournalBound
        + Deliveries
        + Tickets
        + Replays
        + Searches
        + PullClients
        + DeadLetters
        + Invitations
        + SignIns
        + Grants
        + Credentials
        + Checks
        + AuditLog
        + Keys
        + Leases
        + Ledger
        + Lifetime
        + Heartbeats
        + Nodes
        + Notices
        + 'static
{
}

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Address {
    /// In a file.
    Sqlite(PathBuf),
    /// In a database.
    Postgres(Box<PostgresAddress>),
}

/// Opens the store at `address`. The key ring is read again with `read` when a key is met that is not in it: then another
/// process has rotated the master key.
///
/// # Errors
/// When there is none, it is locked or cannot be reached, damaged, of a later version, or sealed with another master key.
pub async fn open(
    address: &Address,
    mode: OpenMode,
    keys: &KeyRing,
    read: ReadKeys,
) -> Result<Arc<dyn Store>, StoreError> {
    let store = match address {
        Address::Sqlite(path) => SqlStore::open(path, mode, keys).await?,
        Address::Postgres(address) => SqlStore::open_in((**address).clone(), keys).await?,
    };
    Ok(Arc::new(store.rereading_keys(read)))
}

/// Makes a new store at `address`, sealed with `master_key`.
///
/// # Errors
/// When there is one already, or it cannot be made.
pub async fn make(address: &Address, master_key: &MasterKey) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(match address {
        Address::Sqlite(path) => SqlStore::create(path, master_key).await?,
        Address::Postgres(address) => SqlStore::create_in((**address).clone(), master_key).await?,
    }))
}

/// Looks at the store at `address` without changing anything, also while other processes are at work on it. Without keys it
/// is not known whether they are the right ones.
///
/// # Errors
/// When no process could work on it: the same as of [`open`].
pub async fn look(address: &Address, keys: Option<&KeyRing>) -> Result<StoreLook, StoreError> {
    match address {
        Address::Sqlite(path) => crate::sqlite::look::look(path, keys).await,
        Address::Postgres(address) => crate::postgres::look::look(address, keys).await,
    }
}
