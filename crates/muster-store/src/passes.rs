//! Single cursors by name: beginning sweeps and backfills, looking at them, leasing just one.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Cursor, Purpose, Source, TenantId};

use crate::{InstanceId, SourceLease, SourceState, StoreError};

/// Cursors by name. What is due, whoever it belongs to, is leased with [`crate::Sources`].
#[async_trait]
pub trait Passes: Send + Sync {
    /// Begins to read a source for `purpose` from `cursor` on, first at `next_at` and within a day, unless it is read for that
    /// already; `false` where it is, or the tenant has no such source.
    async fn begin_cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
        cursor: Cursor,
        next_at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// How a source of a tenant is doing that is read for `purpose`; `None` where it is not.
    async fn cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
    ) -> Result<Option<CursorState>, StoreError>;

    /// All that are read for `purpose`, by tenant.
    async fn cursors(&self, purpose: Purpose) -> Result<Vec<CursorState>, StoreError>;

    /// Leases this cursor until `now + lease_for`, where it is due and nobody has it.
    async fn lease_cursor(
        &self,
        instance: InstanceId,
        (tenant, source, purpose): (TenantId, Source, Purpose),
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<SourceLease>, StoreError>;
}

/// A cursor, and how reading with it goes.
#[derive(Debug, Clone)]
pub struct CursorState {
    /// How it goes.
    pub state: SourceState,
    /// How far it has come.
    pub cursor: Cursor,
}
