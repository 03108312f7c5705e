//! Invitations of customers.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;
use serde::Serialize;
use uuid::Uuid;

use crate::StoreError;

/// The links that were sent to customers.
#[async_trait]
pub trait Invitations: Send + Sync {
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
}

/// An invitation that is to be sent to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvitation {
    /// Random; part of the link.
    pub id: Uuid,
    /// Who is invited.
    pub tenant: TenantId,
    /// The language of the page, as a tag such as `de`.
    pub language: String,
    /// The link works until then.
    pub expires_at: Timestamp,
}

/// An invitation of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invitation {
    /// Random; part of the link.
    pub id: Uuid,
    /// Who is invited.
    pub tenant: TenantId,
    /// The language of the page.
    pub language: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The link works until then.
    pub expires_at: Timestamp,
    /// When its page was opened the first time.
    pub opened_at: Option<Timestamp>,
    /// When it led to a consent.
    pub used_at: Option<Timestamp>,
    /// When it was called back, also by a newer invitation of the tenant.
    pub revoked_at: Option<Timestamp>,
}

impl Invitation {
    /// Whether its link still leads anywhere at `now`.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What happens to an invitation. Each happens at most once, nothing after it was revoked, and nothing but that after it
/// was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitationChange {
    /// Its page was opened. Refused after its end.
    Opened,
    /// It led to a consent. Refused after its end.
    Used,
    /// It was called back, used or not.
    Revoked,
}
