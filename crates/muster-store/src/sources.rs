//! Sources and their cursors, one for each purpose: beginning and ending them, leasing them, and how polls end.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Cursor, Note, Purpose, Source, Tenant, TenantId};
use serde::Serialize;

use crate::{InstanceId, StoreError};

/// How far each source has been read, for each purpose.
#[async_trait]
pub trait Sources: Send + Sync {
    /// Ends a sweep or a backfill; `false` when there is none. A live cursor goes with its source only.
    async fn remove_cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
    ) -> Result<bool, StoreError>;

    /// Makes `hunts` the saved queries and streams that a tenant has; its other sources stay as they are. One that is new begins
    /// where it says, and one that comes back goes on where it stopped. Returns whether anything changed.
    async fn set_hunts(
        &self,
        tenant: TenantId,
        hunts: BTreeMap<Source, Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Leaves a note for the live cursor of a source, which takes it in when it is leased the next time; `false` when the
    /// tenant has no such source.
    async fn add_note(&self, tenant: TenantId, source: Source, note: Note) -> Result<bool, StoreError>;

    /// Leases up to `limit` cursors that are due (of active tenants, due at `now`, not leased), the longest due
    /// first, until `now + lease_for`. This order is why one tenant cannot starve the others: whoever was served
    /// goes behind all who were due before. Cursors of one source for different purposes may be leased at once.
    ///
    /// Notes for a live cursor are taken in by it, and deleted, in the transaction that leases it. Where `now` is earlier
    /// than when a wait or a lease was set, by more than a minute, the clock has stepped back: whatever was set is over.
    async fn lease_due_sources(
        &self,
        instance: InstanceId,
        limit: u32,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Vec<SourceLease>, StoreError>;

    /// When the next cursor of an active tenant can be leased: when it is due, or, where it is leased, when the lease
    /// ends if nobody gives it back earlier. `None` when there is none.
    async fn next_source_due_at(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Ends a turn of polling and gives the lease back. Costs no synced write.
    async fn finish_poll(
        &self,
        lease: &SourceLease,
        result: PollResult,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// How every source is doing that is read live, by tenant.
    async fn source_states(&self) -> Result<Vec<SourceState>, StoreError>;

    /// How every source is doing for every purpose that it is read for, by tenant.
    async fn cursor_states(&self) -> Result<Vec<SourceState>, StoreError>;
}

/// The right to read one source of one tenant for one purpose for a while.
#[derive(Debug, Clone)]
pub struct SourceLease {
    /// The tenant.
    pub tenant: Tenant,
    /// The source.
    pub source: Source,
    /// What for.
    pub purpose: Purpose,
    /// How far it has been read.
    pub cursor: Cursor,
    /// How many polls in a row have failed.
    pub failures: u32,
    /// The fencing token.
    pub fence: u64,
}

/// How a turn of polling ended.
#[derive(Debug, Clone)]
pub enum PollResult {
    /// All there was has been read.
    CaughtUp {
        /// When to ask again.
        next_at: Timestamp,
        /// What is missing nevertheless, in words for the operator.
        missing: Option<String>,
        /// The cursor, where it moved after the last accepted page.
        cursor: Option<Cursor>,
    },
    /// There is more; the turn was given up so that other tenants have theirs, or because the tenant's request
    /// budget is used up. It is no failure, but does not count as read to the end either.
    Yielded {
        /// When to go on.
        next_at: Timestamp,
        /// Whether the cursor moved: then a row of failures is over.
        progressed: bool,
        /// What is missing nevertheless, in words for the operator: told in place of the failures that are over.
        missing: Option<String>,
        /// The cursor, where it moved after the last accepted page.
        cursor: Option<Cursor>,
    },
    /// All that the cursor was for has been read: a sweep or a backfill is over. A live cursor is never over. The spans
    /// become the ledger's coverage and the notes the live cursor's, in the transaction that ends it.
    Over {
        /// The spans that were read whole: from, and to, exclusive.
        read: Vec<(Timestamp, Timestamp)>,
        /// When the sweep began, by our clock: what showed later is not covered.
        as_of: Timestamp,
        /// What the live cursor has to learn: holes that are left, delays that were met.
        notes: Vec<Note>,
        /// When the next sweep begins, and its cursor; without one the cursor is forgotten.
        next: Option<(Timestamp, Cursor)>,
    },
    /// It failed.
    Failed {
        /// In words for the operator.
        reason: String,
        /// When to try again.
        next_at: Timestamp,
        /// The cursor to go on from, where the round cannot be continued.
        cursor: Option<Cursor>,
    },
}

/// How one source of one tenant is doing, read for one purpose.
#[derive(Debug, Clone, Serialize)]
pub struct SourceState {
    /// The tenant.
    pub tenant: TenantId,
    /// The source.
    pub source: Source,
    /// What it is read for.
    pub purpose: Purpose,
    /// When it was last read to its end.
    pub last_success_at: Option<Timestamp>,
    /// Everything updated up to here has been seen.
    pub seen_up_to: Timestamp,
    /// Record versions of the source accepted so far, for whatever purpose.
    pub accepted: u64,
    /// When the last of them was accepted, as far as that is known.
    pub last_new_at: Option<Timestamp>,
    /// The failures since the last success.
    pub failures: u32,
    /// What went wrong last, while it is still wrong.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Timestamp>,
    /// When it is asked next.
    pub next_at: Timestamp,
}
