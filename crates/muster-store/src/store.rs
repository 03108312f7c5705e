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

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::{
    AuditLog, Checks, Credentials, DeadLetters, Deliveries, Grants, Heartbeats, Invitations, Journal,
    JournalBound, KeyRing, Keys, Leases, Ledger, Lifetime, OpenMode, Passes, PullClients, ReadKeys, Replays,
    SignIns, Sources, SqliteStore, StoreError, StoreLook, Tenants, Tickets,
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
        + 'static
{
}

/// Opens the store at `url`, with the engine that it names: `sqlite:` and a path. The key ring is read again with
/// `read` when a key is met that is not in it: then another process has rotated the master key.
///
/// # Errors
/// When there is none, it is locked, damaged, of a later version, sealed with another master key, or of an engine that
/// is not built in.
pub async fn open(
    url: &OsStr,
    mode: OpenMode,
    keys: &KeyRing,
    read: ReadKeys,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(SqliteStore::open(sqlite_path(url)?, mode, keys).await?.rereading_keys(read)))
}

/// Looks at the store at `url` without changing anything, also while another process is at work on it. Without keys it
/// is not known whether they are the right ones.
///
/// # Errors
/// When no process could work on it: the same as of [`open`].
pub async fn look(url: &OsStr, keys: Option<&KeyRing>) -> Result<StoreLook, StoreError> {
    crate::sqlite::look(sqlite_path(url)?, keys).await
}

fn sqlite_path(url: &OsStr) -> Result<&Path, StoreError> {
    let Some(path) = url.as_bytes().strip_prefix(b"sqlite:") else {
        let url = url.to_string_lossy();
        let engine = url.split(':').next().unwrap_or_default().to_owned();
        return Err(StoreError::NoEngine { engine });
    };
    Ok(Path::new(OsStr::from_bytes(path)))
}
