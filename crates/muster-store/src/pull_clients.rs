//! Programs that ask for a tenant's detections as of the retired SIEM API, and what they are answered from.
//!
//! Each record that is accepted gets a *time of processing*: when it was accepted, and later than that of every record of its
//! tenant before it, to a tick of 100 ns. It is given in the transaction that accepts the record, so that in whichever order
//! the sources of a tenant commit, and whatever the clock does meanwhile, nothing is ever seen that is older than what was
//! seen before. Who asks by the clock and not by what was answered is kept from losing anything by
//! [`PullClients::nothing_new_before`].

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Batch, Secret, Source, TenantId};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use uuid::Uuid;

use crate::StoreError;

/// The step of times of processing, in nanoseconds: what the seven digits of the old API tell apart.
pub(crate) const TICK_NANOSECONDS: i64 = 100;

/// Who may ask for a tenant's detections.
#[async_trait]
pub trait PullClients: Send + Sync {
    /// Adds a client, and writes that into the audit log.
    async fn add_pull_client(
        &self,
        new: NewPullClient,
        actor: &str,
        now: Timestamp,
    ) -> Result<PullClient, StoreError>;

    /// All clients, by tenant and name, those that were revoked included.
    async fn pull_clients(&self) -> Result<Vec<PullClient>, StoreError>;

    /// One client, in whatever condition.
    async fn pull_client(&self, id: Uuid) -> Result<Option<PullClient>, StoreError>;

    /// Ends what a client may do, and writes that into the audit log. One that is revoked stays so. `None` when there is
    /// no such client.
    async fn revoke_pull_client(
        &self,
        id: Uuid,
        actor: &str,
        now: Timestamp,
    ) -> Result<Option<PullClient>, StoreError>;

    /// From now on, no record of the tenant gets a time of processing that is not later than `at`; and notes that the
    /// client has asked. So a client that asks again from that time on misses nothing, whatever was under way.
    async fn nothing_new_before(
        &self,
        (client, tenant): (Uuid, TenantId),
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Some of a tenant's journal batches that hold records of these sources with times of processing in a span, in the
    /// order of these times: at least one, and no more than `bytes_max` of bodies where several are given. Batches that cannot be
    /// read are set aside: what they held is fetched again, and processed then.
    async fn processed(
        &self,
        tenant: TenantId,
        sources: &BTreeSet<Source>,
        span: ProcessedSpan,
        bytes_max: u64,
        now: Timestamp,
    ) -> Result<Vec<ProcessedBatch>, StoreError>;
}

/// A client that is to be added. What it proves itself by is known to it alone.
#[derive(Debug, Clone)]
pub struct NewPullClient {
    /// Random; its `client_id`.
    pub id: Uuid,
    /// Whose detections it may ask for.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// The sources whose records it gets.
    pub sources: BTreeSet<Source>,
    /// Whether it gets later versions of a record as well.
    pub updates: bool,
    /// Of its secret.
    pub secret: SecretHash,
    /// Of its refresh token.
    pub refresh_token: SecretHash,
    /// It works until then.
    pub expires_at: Timestamp,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PullClient {
    /// Its `client_id`.
    pub id: Uuid,
    /// Whose detections it may ask for.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// The sources whose records it gets.
    pub sources: BTreeSet<Source>,
    /// Whether it gets later versions of a record as well.
    pub updates: bool,
    /// Of its secret.
    #[serde(skip)]
    pub secret: SecretHash,
    /// Of its refresh token.
    #[serde(skip)]
    pub refresh_token: SecretHash,
    /// When it was added.
    pub added_at: Timestamp,
    /// It works until then.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it last asked for detections.
    pub asked_at: Option<Timestamp>,
}

impl PullClient {
    /// Whether it works at this time.
    #[must_use]
    pub fn works(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// SHA-256 of a secret of 256 random bits. No salt and no slow hash: there is nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub(crate) [u8; 32]);

impl SecretHash {
    /// The hash of a secret.
    #[must_use]
    pub fn of(secret: &Secret<String>) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret.expose().as_bytes()).as_ref());
        Self(hash)
    }
}

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hash of a secret]")
    }
}

/// Which times of processing are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessedSpan {
    /// Later than this.
    pub after: Timestamp,
    /// Up to this, itself included; all where there is none.
    pub up_to: Option<Timestamp>,
    /// The latest first.
    pub latest_first: bool,
}

/// A journal batch with the times of processing of its records.
#[derive(Debug, Clone)]
pub struct ProcessedBatch {
    /// Where its records came from.
    pub source: Source,
    /// The records.
    pub batch: Batch,
    /// The first record's time; each other's is a tick after the one's before it.
    pub first_at: Timestamp,
    /// The records that came in the place of the first versions of theirs, which were lost with a damaged batch.
    pub fetched_again: BTreeSet<usize>,
}

impl ProcessedBatch {
    /// The time of processing of the record at `index`.
    #[must_use]
    pub fn at(&self, index: usize) -> Timestamp {
        let ticks = i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(TICK_NANOSECONDS);
        self.first_at.checked_add(jiff::SignedDuration::from_nanos(ticks)).unwrap_or(Timestamp::MAX)
    }
}
