//! The embedded store: SQLite in WAL mode, one connection that writes, a few that read.
//!
//! Reads never wait for the writer. What is sealed, compressed or read back is so on threads for such work, and only
//! as many at once as there are processors, so that the memory they take is bounded.

mod accept;
mod audit;
mod checks;
mod credentials;
mod dead_letters;
mod deliveries;
mod failure;
mod grants;
mod invitations;
mod journal;
mod keys;
mod open;
mod sign_ins;
mod sources;
mod tenants;
#[cfg(test)]
mod tests;
mod writer;

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Cursor, Purpose, Secret, Source, Tenant, TenantId};
use sqlx::{SqliteConnection, SqlitePool};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::failure::{Failure, worded};
use self::journal::Packer;
use self::keys::Keys;
pub use self::open::OpenMode;
use self::writer::{Doing, Durability, WriterHandle};
use crate::{
    AcceptedPage, AuditEvent, AuditVerdict, Check, CredentialSlot, DeadLetter, DeadLetterNumber,
    DeliveryLease, DeliveryLimits, FinishedDelivery, Grant, GrantLease, InstanceId, Invitation,
    InvitationChange, JournalTotals, KeyRing, MasterKey, NewAuditEvent, NewGrant, NewInvitation, NewTenant,
    PageReceipt, PollResult, QueueState, SignIn, SigningKey, SinkTotals, SourceLease, SourceState, Store,
    StoreError, StoredCredential, TenantChange, TenantKey,
};

/// Longer words of an error are cut before they are stored.
const REASON_CHARACTERS_MAX: usize = 1000;

/// Reads the master keys again, from where they were read first.
pub type ReadKeys = Arc<dyn Fn() -> Result<KeyRing, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// A store in one SQLite file.
///
/// [`Store::remove_tenant`] and [`Store::offboard_tenant`] overwrite the tenant's sealed data key and zero every
/// deleted cell (`PRAGMA secure_delete`), then empty the WAL; without the key the tenant's journal cannot be read by anyone, in
/// the file or in an older copy of it.
pub struct SqliteStore {
    path: String,
    journal_id: String,
    keys: Arc<Keys>,
    signing_key: SigningKey,
    readers: SqlitePool,
    writes: WriterHandle,
    tasks: TaskTracker,
    /// Cancelled when the writer has ended, for whatever reason.
    writer_ended: CancellationToken,
    packer: Packer,
    lock: Mutex<Option<File>>,
}

impl SqliteStore {
    /// Makes a new store at `path`, readable by its owner only, and opens it.
    ///
    /// # Errors
    /// When a file is there already, or cannot be made.
    pub async fn create(path: &Path, master_key: &MasterKey) -> Result<Self, StoreError> {
        open::create_file(path)?;
        Self::open(path, OpenMode::Exclusive, &KeyRing::from(master_key.clone())).await
    }

    /// Opens the store at `path`.
    ///
    /// # Errors
    /// When there is none, it is locked, damaged, of a later version, or sealed with another master key.
    pub async fn open(path: &Path, mode: OpenMode, keys: &KeyRing) -> Result<Self, StoreError> {
        let opened = open::open(path, mode, keys).await?;
        let shown = path.display().to_string();
        let (writes, writer) = writer::writer(opened.writer, shown.clone());
        let tasks = TaskTracker::new();
        let writer_ended = CancellationToken::new();
        let guard = writer_ended.clone().drop_guard();
        tasks.spawn(async move {
            // Dropped when the writer ends, also by a panic.
            let _guard = guard;
            writer.run().await;
        });
        tasks.close();
        let store = Self {
            path: shown,
            journal_id: opened.journal_id,
            keys: Arc::new(opened.keys),
            signing_key: opened.signing_key,
            readers: opened.readers,
            writes,
            tasks,
            writer_ended,
            packer: Packer::new(),
            lock: Mutex::new(opened.lock),
        };
        if mode == OpenMode::Exclusive && store.sweep_removed().await? {
            store.empty_wal().await;
        }
        Ok(store)
    }

    /// The same store, which reads its key ring again with `read` when it meets a key that it does not know: then
    /// another process has rotated the master key. Without it, a store that was opened before the rotation can neither
    /// read nor add anything after it.
    #[must_use]
    pub fn rereading_keys(mut self, read: ReadKeys) -> Self {
        self.keys = Arc::new(self.keys.with_reader(read));
        self
    }

    /// Runs `work` in a transaction of the writer.
    async fn write<T, F>(&self, doing: &'static str, durability: Durability, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, T> + Send + 'static,
    {
        self.writes.run(durability, work).await.map_err(|failure| failure.worded(&self.path, doing))
    }

    /// Puts an error of a reading statement into words.
    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError + use<'_> {
        move |error| worded(&error, &self.path, doing)
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn journal_id(&self) -> &str {
        &self.journal_id
    }

    fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    async fn master_key_id(&self) -> Result<String, StoreError> {
        self.master_key_id().await
    }

    async fn rotate_master_key(
        &self,
        new: &MasterKey,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.rotate_master_key(new, actor, now).await
    }

    async fn add_tenant(&self, tenant: NewTenant, actor: &str, now: Timestamp) -> Result<Tenant, StoreError> {
        self.add_tenant(tenant, actor, now).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.tenants().await
    }

    async fn tenant(&self, key: TenantKey<'_>) -> Result<Tenant, StoreError> {
        self.tenant(key).await
    }

    async fn change_tenant(
        &self,
        id: TenantId,
        change: TenantChange,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant, StoreError> {
        self.change_tenant(id, change, actor, now).await
    }

    async fn offboard_tenant(&self, id: TenantId, actor: &str, now: Timestamp) -> Result<Tenant, StoreError> {
        self.offboard_tenant(id, actor, now).await
    }

    async fn remove_tenant(&self, id: TenantId, actor: &str, now: Timestamp) -> Result<(), StoreError> {
        self.remove_tenant(id, actor, now).await
    }

    async fn add_invitation(&self, new: NewInvitation, now: Timestamp) -> Result<Invitation, StoreError> {
        self.add_invitation(new, now).await
    }

    async fn invitation(&self, id: Uuid) -> Result<Option<Invitation>, StoreError> {
        self.invitation(id).await
    }

    async fn invitations(&self, tenant: TenantId) -> Result<Vec<Invitation>, StoreError> {
        self.invitations(tenant).await
    }

    async fn change_invitation(
        &self,
        id: Uuid,
        change: InvitationChange,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.change_invitation(id, change, now).await
    }

    async fn begin_sign_in(&self, sign_in: SignIn) -> Result<(), StoreError> {
        self.begin_sign_in(sign_in).await
    }

    async fn take_sign_in(&self, id: Uuid, now: Timestamp) -> Result<Option<SignIn>, StoreError> {
        self.take_sign_in(id, now).await
    }

    async fn put_grant(&self, new: NewGrant, now: Timestamp) -> Result<(), StoreError> {
        self.put_grant(new, now).await
    }

    async fn grants(&self, tenant: Option<TenantId>) -> Result<Vec<Grant>, StoreError> {
        self.grants(tenant).await
    }

    async fn remove_grant(&self, tenant: TenantId, app: &str) -> Result<bool, StoreError> {
        self.remove_grant(tenant, app).await
    }

    async fn lease_grant(
        &self,
        instance: InstanceId,
        tenant: TenantId,
        app: &str,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<GrantLease, StoreError> {
        self.lease_grant(instance, tenant, app, lease_for, now).await
    }

    async fn renew_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        new_refresh_token: Option<&Secret<String>>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.renew_grant(tenant, app, fence, new_refresh_token, expires_at, now).await
    }

    async fn fail_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        reason: String,
        dead: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.fail_grant(tenant, app, fence, reason, dead, now).await
    }

    async fn app_credentials(&self, app: &str) -> Result<Vec<StoredCredential>, StoreError> {
        self.app_credentials(app).await
    }

    async fn put_app_credential(&self, credential: StoredCredential) -> Result<(), StoreError> {
        self.put_app_credential(credential).await
    }

    async fn promote_app_credential(&self, app: &str) -> Result<bool, StoreError> {
        self.promote_app_credential(app).await
    }

    async fn remove_app_credential(&self, app: &str, slot: CredentialSlot) -> Result<bool, StoreError> {
        self.remove_app_credential(app, slot).await
    }

    async fn put_checks(&self, tenant: TenantId, checks: Vec<Check>) -> Result<(), StoreError> {
        self.put_checks(tenant, checks).await
    }

    async fn remove_checks(&self, tenant: TenantId, names: &[String]) -> Result<(), StoreError> {
        self.remove_checks(tenant, names).await
    }

    async fn checks(&self, tenant: Option<TenantId>) -> Result<Vec<(TenantId, Check)>, StoreError> {
        self.checks(tenant).await
    }

    async fn put_app_checks(&self, app: &str, checks: Vec<Check>) -> Result<(), StoreError> {
        self.put_app_checks(app, checks).await
    }

    async fn app_checks(&self) -> Result<Vec<(String, Check)>, StoreError> {
        self.app_checks().await
    }

    async fn append_audit(&self, event: NewAuditEvent, now: Timestamp) -> Result<AuditEvent, StoreError> {
        self.append_audit(event, now).await
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.audit(after, limit).await
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        self.verify_audit().await
    }

    async fn take_over(&self, instance: InstanceId, _now: Timestamp) -> Result<(), StoreError> {
        self.take_over(instance).await
    }

    async fn put_cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
        cursor: Cursor,
        next_at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.put_cursor(tenant, source, purpose, cursor, next_at).await
    }

    async fn remove_cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
    ) -> Result<bool, StoreError> {
        self.remove_cursor(tenant, source, purpose).await
    }

    async fn lease_due_sources(
        &self,
        instance: InstanceId,
        limit: u32,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Vec<SourceLease>, StoreError> {
        self.lease_due_sources(instance, limit, lease_for, now).await
    }

    async fn next_source_due_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.next_source_due_at().await
    }

    async fn accept_page(
        &self,
        lease: &SourceLease,
        page: AcceptedPage<'_>,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<PageReceipt, StoreError> {
        self.accept_page(lease, &page, lease_for, now).await
    }

    async fn finish_poll(
        &self,
        lease: &SourceLease,
        result: PollResult,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.finish_poll(lease, result, now).await
    }

    async fn lease_due_deliveries(
        &self,
        instance: InstanceId,
        sink: &str,
        limits: DeliveryLimits,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<DeliveryLease>, StoreError> {
        self.lease_due_deliveries(instance, sink, limits, lease_for, now).await
    }

    async fn next_delivery_due_at(&self, sink: &str) -> Result<Option<Timestamp>, StoreError> {
        self.next_delivery_due_at(sink).await
    }

    async fn extend_deliveries(
        &self,
        lease: &DeliveryLease,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.extend_deliveries(lease, lease_for, now).await
    }

    async fn finish_deliveries(
        &self,
        lease: &DeliveryLease,
        finished: Vec<FinishedDelivery>,
        retry: Option<(Timestamp, String)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.finish_deliveries(lease, finished, retry, now).await
    }

    async fn dead_letters(
        &self,
        tenant: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.dead_letters(tenant, limit).await
    }

    async fn dead_letter_body(&self, number: DeadLetterNumber) -> Result<Vec<u8>, StoreError> {
        self.dead_letter_body(number).await
    }

    async fn replay_dead_letter(
        &self,
        number: DeadLetterNumber,
        sinks: &[String],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.replay_dead_letter(number, sinks, now).await
    }

    async fn source_states(&self) -> Result<Vec<SourceState>, StoreError> {
        self.source_states().await
    }

    async fn cursor_states(&self) -> Result<Vec<SourceState>, StoreError> {
        self.cursor_states().await
    }

    async fn queue_states(&self) -> Result<Vec<QueueState>, StoreError> {
        self.queue_states().await
    }

    async fn sink_totals(&self) -> Result<Vec<SinkTotals>, StoreError> {
        self.sink_totals().await
    }

    async fn journal_totals(&self) -> Result<JournalTotals, StoreError> {
        self.journal_totals().await
    }

    async fn prune_journal(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.prune_journal(before).await
    }

    async fn ended(&self) {
        self.writer_ended.cancelled().await;
    }

    async fn close(&self) {
        self.writes.close();
        self.readers.close().await;
        self.tasks.wait().await;
        self.lock.lock().expect("no panic while the lock is held").take();
    }
}

/// Nanoseconds since 1970; the range of 64 bits ends in the years 1677 and 2262.
fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(if time < Timestamp::UNIX_EPOCH {
        i64::MIN + 1
    } else {
        i64::MAX
    })
}

/// The time that was stored as `nanoseconds`.
fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).expect("64 bits of nanoseconds are within the range")
}

/// When a lease that is taken at `now` ends.
fn lease_end(now: Timestamp, lease_for: Duration) -> i64 {
    nanoseconds(now.saturating_add(lease_for).unwrap_or(Timestamp::MAX))
}

/// A counter as it was stored. Never negative, unless the file was changed by hand.
fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// The words of an error, bounded.
fn bounded(reason: &str) -> String {
    reason.chars().take(REASON_CHARACTERS_MAX).collect()
}
