//! The `Store` trait: every durable step of the product, each one transaction.
//!
//! Rules that hold for every implementation:
//! - No method holds a transaction while something outside the store is awaited.
//! - What is worked on is *leased*: a lease names its owner, ends at a time, and carries a fencing token that every
//!   later write with the lease presents. A write with a token that is not the newest is refused with
//!   [`StoreError::LeaseLost`] and changes nothing.
//! - Methods that take a `TenantId` touch that tenant's data only.
//! - `now` is an argument; the store has no clock.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{
    Cursor, Delivery, DeliveryNumber, DomainName, Purpose, RecordHead, Secret, Selection, Slug, Source,
    Tenant, TenantId, TenantState,
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    AuditEvent, AuditVerdict, Check, CredentialSlot, Grant, GrantLease, Invitation, InvitationChange,
    MasterKey, NewAuditEvent, NewGrant, NewInvitation, SignIn, SigningKey, StoredCredential,
};

/// A running Muster. Chosen at random when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceId(pub Uuid);

/// What can go wrong in the store, as far as a caller can act on it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The lease ended or was taken over; the write changed nothing.
    #[error("the lease on {what} was lost to another worker")]
    LeaseLost {
        /// What had been leased.
        what: String,
    },
    /// No such tenant.
    #[error("there is no tenant `{0}`; `muster tenant list` shows all")]
    NoTenant(String),
    /// A tenant with this id or slug exists already.
    #[error("a tenant with the {field} `{value}` exists already")]
    TenantExists {
        /// `id` or `slug`.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The tenant was offboarded: nothing of it can be changed any more.
    #[error(
        "the tenant `{0}` was offboarded; `muster tenant add` or `muster tenant invite` begins anew with it"
    )]
    Offboarded(String),
    /// The store is sealed with a master key that is not at hand.
    #[error(
        "the store {path} is sealed with the master key named {wanted}, but at hand is only {at_hand}: put the key \
         {wanted} back from the copy that is kept apart from the store, as a line of the master key file"
    )]
    WrongMasterKey {
        /// The database file.
        path: String,
        /// The name of the key that is wanted.
        wanted: String,
        /// The names of those at hand.
        at_hand: String,
    },
    /// The disk is full.
    #[error(
        "the disk that holds the store is full ({path}): free space; nothing accepted is lost, fetching goes on then"
    )]
    DiskFull {
        /// The database file.
        path: String,
    },
    /// Another process holds the database.
    #[error("the store is locked by another process ({path}): stop it, or wait until it is done")]
    Locked {
        /// The database file.
        path: String,
    },
    /// The database is damaged, or is none.
    #[error("the store is damaged or is not a Muster database ({path}): {detail}; restore it from a backup")]
    Damaged {
        /// The database file.
        path: String,
        /// What the database said.
        detail: String,
    },
    /// It was written by a later version of Muster.
    #[error(
        "the store was written by a later version of Muster ({path}): install that version or a newer one"
    )]
    TooNew {
        /// The database file.
        path: String,
    },
    /// A sealed value cannot be opened.
    #[error("cannot open sealed data of {what}: {source}")]
    Sealing {
        /// What it was about.
        what: String,
        /// Why.
        source: crate::SealingError,
    },
    /// Anything else the database said.
    #[error("the store failed to {doing}: {detail}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        detail: String,
    },
}

/// A tenant to be added.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// The Entra tenant id.
    pub id: TenantId,
    /// The short, unique name.
    pub slug: Slug,
    /// The name shown to people.
    pub name: String,
    /// The domain by which it was added.
    pub domain: Option<DomainName>,
    /// The app of the settings that reads it.
    pub app: String,
    /// What is read.
    pub sources: BTreeSet<Source>,
    /// From when on records are fetched the first time.
    pub since: Timestamp,
    /// How far it has come already: [`TenantState::Active`] for one whose consent is had, [`TenantState::Invited`]
    /// for one that is to be asked.
    pub state: TenantState,
}

/// A change to a tenant.
#[derive(Debug, Clone)]
pub enum TenantChange {
    /// Another state. [`TenantState::Offboarded`] does what [`Store::offboard_tenant`] does.
    State(TenantState),
    /// Read these sources from now on. A source that comes back goes on where it stopped.
    Sources(BTreeSet<Source>),
    /// A new display name.
    Name(String),
    /// Another app.
    App(String),
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

/// A record as it is handed to [`Store::accept_page`].
#[derive(Debug, Clone)]
pub struct NewRecord<'a> {
    /// What identifies its version.
    pub head: RecordHead,
    /// Microsoft's JSON object.
    pub body: &'a str,
    /// The sinks that are owed it: an index into [`AcceptedPage::destinations`].
    pub destination: usize,
}

/// What could not be read or was refused, to be kept with its original bytes.
#[derive(Debug, Clone)]
pub struct NewDeadLetter<'a> {
    /// The record's id, where it is known.
    pub record_id: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// The original bytes, or as many of them as were read.
    pub body: &'a [u8],
}

/// A page that is to be accepted.
#[derive(Debug, Clone)]
pub struct AcceptedPage<'a> {
    /// The readable records in order.
    pub records: Vec<NewRecord<'a>>,
    /// What was on the page and could not be read.
    pub dead_letters: Vec<NewDeadLetter<'a>>,
    /// The sets of sinks, by name, that the records are owed to. Many records share one.
    pub destinations: &'a [Vec<String>],
    /// The cursor after this page.
    pub cursor: Cursor,
}

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageReceipt {
    /// Record versions that were not known before, now in the journal.
    pub accepted: u32,
    /// Record versions that were known already.
    pub known: u32,
    /// Dead letters that were not kept before.
    pub kept: u32,
}

/// How a turn of polling ended.
#[derive(Debug, Clone)]
pub enum PollResult {
    /// All there was has been read.
    CaughtUp {
        /// When to ask again.
        next_at: Timestamp,
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
    },
    /// All that the cursor was for has been read: a sweep or a backfill is over, and its cursor is forgotten. A live
    /// cursor is never over.
    Over,
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

/// The right to deliver what one tenant owes one sink, for a while.
#[derive(Debug, Clone)]
pub struct DeliveryLease {
    /// The tenant.
    pub tenant: Tenant,
    /// The sink's name.
    pub sink: String,
    /// What is owed first, in order.
    pub deliveries: Vec<Delivery>,
    /// How many attempts in a row have failed.
    pub failures: u32,
    /// The fencing token.
    pub fence: u64,
}

/// How much one delivery lease may hold. At least one delivery is given, however large.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryLimits {
    /// Journal batches.
    pub batches: u32,
    /// Bytes of record bodies, before compression.
    pub body_bytes: u64,
}

/// What became of one delivery of a lease.
#[derive(Debug, Clone)]
pub struct FinishedDelivery {
    /// Which.
    pub number: DeliveryNumber,
    /// The records still owed; `None` when the delivery is finished.
    pub remaining: Option<Selection>,
    /// How many records the sink acknowledged.
    pub delivered: u32,
    /// The records refused for good: index in the batch, and why.
    pub rejected: Vec<(u32, String)>,
}

/// Number of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DeadLetterNumber(pub u64);

/// Where a dead letter comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterOrigin {
    /// It could not be read from this source.
    Source(Source),
    /// This sink refused a record of this source.
    Sink {
        /// The sink's name.
        sink: String,
        /// The source that the record came from.
        source: Source,
    },
}

/// A record that could not be read, or that a sink refused for good.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetter {
    /// Its number.
    pub number: DeadLetterNumber,
    /// Whose.
    pub tenant: TenantId,
    /// Where from.
    pub origin: DeadLetterOrigin,
    /// The record's id, where it is known.
    pub record_id: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// How large the original is, in bytes.
    pub body_bytes: u64,
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
    /// The failures since the last success.
    pub failures: u32,
    /// What went wrong last, while it is still wrong.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Timestamp>,
    /// When it is asked next.
    pub next_at: Timestamp,
}

/// How the deliveries of one tenant to one sink are doing.
#[derive(Debug, Clone, Serialize)]
pub struct QueueState {
    /// The tenant.
    pub tenant: TenantId,
    /// The sink's name.
    pub sink: String,
    /// Records delivered so far.
    pub delivered: u64,
    /// Records owed.
    pub owed: u64,
    /// Since when the oldest of them is owed.
    pub owed_since: Option<Timestamp>,
    /// Records refused for good.
    pub rejected: u64,
    /// The failures since the last success.
    pub failures: u32,
    /// What went wrong last, while it is still wrong.
    pub last_error: Option<String>,
    /// When the sink last acknowledged something.
    pub last_success_at: Option<Timestamp>,
    /// When it is tried next, while something is owed.
    pub next_at: Option<Timestamp>,
}

/// The queues of one sink together.
#[derive(Debug, Clone, Serialize)]
pub struct SinkTotals {
    /// The sink's name.
    pub sink: String,
    /// Records delivered so far.
    pub delivered: u64,
    /// Records owed.
    pub owed: u64,
    /// Since when the oldest of them is owed.
    pub owed_since: Option<Timestamp>,
    /// Records refused for good.
    pub rejected: u64,
    /// What went wrong last in any queue that still fails.
    pub last_error: Option<String>,
}

/// The journal as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JournalTotals {
    /// Batches kept.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes on disk: compressed and sealed.
    pub stored_bytes: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
}

/// Names a tenant that is known: by id, slug or domain.
#[derive(Debug, Clone, Copy)]
pub enum TenantKey<'a> {
    /// By id.
    Id(TenantId),
    /// By what a person typed: the id, slug or domain.
    Name(&'a str),
}

/// Everything that Muster remembers. See the module's head for the rules.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Names this store's journal: random, made with the store. Delivery numbers of different journals have nothing
    /// to do with each other.
    fn journal_id(&self) -> &str;

    /// Proves what was made here: links, `state`s. The same for as long as the store lives.
    fn signing_key(&self) -> &SigningKey;

    /// The name of the master key that seals the store now.
    async fn master_key_id(&self) -> Result<String, StoreError>;

    /// Seals with `new` all that the master key seals, in **one** transaction, and writes that down in the audit log.
    /// Whoever has the store open needs the new key from then on. [`rotate_key_file`](crate::rotate_key_file) is the
    /// whole procedure.
    async fn rotate_master_key(&self, new: &MasterKey, actor: &str, now: Timestamp)
    -> Result<(), StoreError>;

    /// Adds a tenant, with a data key of its own, and makes its sources due at once. One that was offboarded begins
    /// anew. Like every change of a tenant it is written down in the audit log, as done by `actor`, in the same
    /// transaction.
    async fn add_tenant(&self, tenant: NewTenant, actor: &str, now: Timestamp) -> Result<Tenant, StoreError>;

    /// All tenants by slug, those that were offboarded included.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// One tenant.
    async fn tenant(&self, key: TenantKey<'_>) -> Result<Tenant, StoreError>;

    /// Changes a tenant; returns it as it is now. Becoming active makes its sources due at once.
    async fn change_tenant(
        &self,
        id: TenantId,
        change: TenantChange,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant, StoreError>;

    /// Forgets all that is kept of a tenant, its data key first, and leaves its name, slug and state for those who
    /// ask later. Returns what is left.
    async fn offboard_tenant(&self, id: TenantId, actor: &str, now: Timestamp) -> Result<Tenant, StoreError>;

    /// Forgets a tenant altogether: its data key, cursors, journal, deliveries, dead letters, invitations, sign-ins,
    /// grants and checks, and its name.
    async fn remove_tenant(&self, id: TenantId, actor: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Remembers an invitation. Earlier ones of the tenant are revoked, used or not.
    async fn add_invitation(&self, new: NewInvitation, now: Timestamp) -> Result<Invitation, StoreError>;

    /// An invitation, in whatever condition.
    async fn invitation(&self, id: Uuid) -> Result<Option<Invitation>, StoreError>;

    /// A tenant's invitations, newest first.
    async fn invitations(&self, tenant: TenantId) -> Result<Vec<Invitation>, StoreError>;

    /// Writes down what happened to an invitation. `false` when it was not to happen (see [`InvitationChange`]), or
    /// there is no such invitation; nothing was changed then.
    async fn change_invitation(
        &self,
        id: Uuid,
        change: InvitationChange,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Remembers a sign-in until it is answered. At most 10 000 are kept, and at most 100 of a tenant: the oldest go
    /// first.
    async fn begin_sign_in(&self, sign_in: SignIn) -> Result<(), StoreError>;

    /// Takes a sign-in out, for its one answer. `None` when it is unknown, was taken before or has expired.
    async fn take_sign_in(&self, id: Uuid, now: Timestamp) -> Result<Option<SignIn>, StoreError>;

    /// Keeps a person's grant, in place of an earlier one for the tenant and app; whoever had leased that loses it.
    async fn put_grant(&self, new: NewGrant, now: Timestamp) -> Result<(), StoreError>;

    /// The grants, of one tenant or of all, by tenant and app.
    async fn grants(&self, tenant: Option<TenantId>) -> Result<Vec<Grant>, StoreError>;

    /// Forgets a grant; `false` when there is none.
    async fn remove_grant(&self, tenant: TenantId, app: &str) -> Result<bool, StoreError>;

    /// Leases a grant until `now + lease_for`, so that only one worker in one process renews it at a time.
    async fn lease_grant(
        &self,
        instance: InstanceId,
        tenant: TenantId,
        app: &str,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<GrantLease, StoreError>;

    /// Writes down that a leased grant was renewed, with its new refresh token where one was given, and ends the
    /// lease. Synced to disk before it returns. `expires_at` is when the grant dies unless it is renewed again.
    async fn renew_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        new_refresh_token: Option<&Secret<String>>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes down why a leased grant was not renewed, and ends the lease. A `dead` one is leased no more.
    async fn fail_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        reason: String,
        dead: bool,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The credentials that Muster made for `app`, by slot.
    async fn app_credentials(&self, app: &str) -> Result<Vec<StoredCredential>, StoreError>;

    /// Keeps a credential, in place of what was in its slot. Synced to disk before it returns.
    async fn put_app_credential(&self, credential: StoredCredential) -> Result<(), StoreError>;

    /// Makes the next credential the current one and the current one the previous one, in one transaction. `false`
    /// when there is no next one.
    async fn promote_app_credential(&self, app: &str) -> Result<bool, StoreError>;

    /// Forgets a credential; `false` when there is none.
    async fn remove_app_credential(&self, app: &str, slot: CredentialSlot) -> Result<bool, StoreError>;

    /// Keeps what checks of a tenant found, in place of what checks of the same names found before.
    async fn put_checks(&self, tenant: TenantId, checks: Vec<Check>) -> Result<(), StoreError>;

    /// Forgets what checks of these names found.
    async fn remove_checks(&self, tenant: TenantId, names: &[String]) -> Result<(), StoreError>;

    /// What checks found, of one tenant or of all, by slug and name.
    async fn checks(&self, tenant: Option<TenantId>) -> Result<Vec<(TenantId, Check)>, StoreError>;

    /// Keeps what checks of an app found, in place of what checks of the same names found before.
    async fn put_app_checks(&self, app: &str, checks: Vec<Check>) -> Result<(), StoreError>;

    /// What checks of apps found, by app and name.
    async fn app_checks(&self) -> Result<Vec<(String, Check)>, StoreError>;

    /// Appends to the audit log. Synced to disk before it returns.
    async fn append_audit(&self, event: NewAuditEvent, now: Timestamp) -> Result<AuditEvent, StoreError>;

    /// The events of the audit log after number `after`, in order, at most `limit`.
    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;

    /// Checks the whole audit log: every event's hash, their order, and the end.
    async fn verify_audit(&self) -> Result<AuditVerdict, StoreError>;

    /// Ends all leases that other instances hold. For an engine that only one process can use at a time, at start.
    async fn take_over(&self, instance: InstanceId, now: Timestamp) -> Result<(), StoreError>;

    /// Begins to read a source for `purpose` from `cursor` on, first at `next_at`, in place of a cursor for the same
    /// purpose; whoever had leased that loses it. `false` when the tenant has no such source.
    async fn put_cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
        cursor: Cursor,
        next_at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Ends a sweep or a backfill; `false` when there is none. A live cursor goes with its source only.
    async fn remove_cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
    ) -> Result<bool, StoreError>;

    /// Leases up to `limit` cursors that are due (of active tenants, due at `now`, not leased), the longest due
    /// first, until `now + lease_for`. This order is why one tenant cannot starve the others: whoever was served
    /// goes behind all who were due before. Cursors of one source for different purposes may be leased at once.
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

    /// Accepts a page: in **one** transaction the records that are new go into the journal and into the index of
    /// versions, a delivery of them is owed to each sink that wants them, unreadable parts become dead letters, and
    /// the cursor moves. Extends the lease by `lease_for`. Records known already (same tenant, source, id, update
    /// time and hash) are dropped. Synced to disk before it returns, unless nothing was new.
    ///
    /// A process killed at any moment has either all of this or none of it; then the page is simply asked for again.
    async fn accept_page(
        &self,
        lease: &SourceLease,
        page: AcceptedPage<'_>,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<PageReceipt, StoreError>;

    /// Ends a turn of polling and gives the lease back. Costs no synced write.
    async fn finish_poll(
        &self,
        lease: &SourceLease,
        result: PollResult,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Leases what one tenant owes to `sink`: the first deliveries, in order, of the queue that has waited longest
    /// among those that are due and not leased. `None` when there is none.
    async fn lease_due_deliveries(
        &self,
        instance: InstanceId,
        sink: &str,
        limits: DeliveryLimits,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<DeliveryLease>, StoreError>;

    /// When the next queue of `sink` can be leased: when it is due, or, where it is leased, when the lease ends if
    /// nobody gives it back earlier. `None` when nothing is owed.
    async fn next_delivery_due_at(&self, sink: &str) -> Result<Option<Timestamp>, StoreError>;

    /// Keeps a lease on deliveries for `lease_for` longer while a slow sink is waited for.
    async fn extend_deliveries(
        &self,
        lease: &DeliveryLease,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes down what a sink answered and gives the lease back, in one transaction: finished deliveries are owed
    /// no more, refused records become dead letters, the rest stays owed. `retry` says when to try the rest and why
    /// it failed; without it, what is left in the queue is due at once.
    async fn finish_deliveries(
        &self,
        lease: &DeliveryLease,
        finished: Vec<FinishedDelivery>,
        retry: Option<(Timestamp, String)>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Dead letters, newest first, at most `limit`; of one tenant where one is named.
    async fn dead_letters(&self, tenant: Option<TenantId>, limit: u32)
    -> Result<Vec<DeadLetter>, StoreError>;

    /// The original bytes of a dead letter.
    async fn dead_letter_body(&self, number: DeadLetterNumber) -> Result<Vec<u8>, StoreError>;

    /// Owes a dead letter again, and forgets it as such, in one transaction: what a sink refused goes back to that
    /// sink; what could not be read before is read again with [`RecordHead::read`] and owed to `sinks`. `Ok(false)`
    /// when it still cannot be read.
    async fn replay_dead_letter(
        &self,
        number: DeadLetterNumber,
        sinks: &[String],
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// How every source is doing that is read live, by tenant.
    async fn source_states(&self) -> Result<Vec<SourceState>, StoreError>;

    /// How every source is doing for every purpose that it is read for, by tenant.
    async fn cursor_states(&self) -> Result<Vec<SourceState>, StoreError>;

    /// How every queue is doing, by tenant and sink.
    async fn queue_states(&self) -> Result<Vec<QueueState>, StoreError>;

    /// The totals of every sink that has a queue.
    async fn sink_totals(&self) -> Result<Vec<SinkTotals>, StoreError>;

    /// The journal's totals.
    async fn journal_totals(&self) -> Result<JournalTotals, StoreError>;

    /// Deletes journal batches accepted before `before` that no sink is owed any more; returns how many. The index
    /// of versions is kept for as long as a source may show the records again.
    async fn prune_journal(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Waits until nothing can be written any more, because the store was closed or a part of it has failed. Whoever
    /// works with the store ends then.
    async fn ended(&self);

    /// Waits for writes under way and closes the database.
    async fn close(&self);
}
