//! To be filled in.
use super::SqliteStore;
use crate::*;
use jiff::Timestamp;
use muster_model::{Secret, Tenant, TenantId};
use std::time::Duration;
use uuid::Uuid;

#[expect(clippy::unused_async, unused_variables, reason = "signatures first")]
impl SqliteStore {
    pub(super) async fn master_key_id(&self) -> Result<String, StoreError> {
        unimplemented!()
    }

    pub(super) async fn rotate_master_key(
        &self,
        new: &MasterKey,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn offboard_tenant(
        &self,
        id: TenantId,
        actor: &str,
        now: Timestamp,
    ) -> Result<Tenant, StoreError> {
        unimplemented!()
    }

    pub(super) async fn add_invitation(
        &self,
        new: NewInvitation,
        now: Timestamp,
    ) -> Result<Invitation, StoreError> {
        unimplemented!()
    }

    pub(super) async fn invitation(&self, id: Uuid) -> Result<Option<Invitation>, StoreError> {
        unimplemented!()
    }

    pub(super) async fn invitations(&self, tenant: TenantId) -> Result<Vec<Invitation>, StoreError> {
        unimplemented!()
    }

    pub(super) async fn change_invitation(
        &self,
        id: Uuid,
        change: InvitationChange,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }

    pub(super) async fn begin_sign_in(&self, sign_in: SignIn) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn take_sign_in(&self, id: Uuid, now: Timestamp) -> Result<Option<SignIn>, StoreError> {
        unimplemented!()
    }

    pub(super) async fn put_grant(&self, new: NewGrant, now: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn grants(&self, tenant: Option<TenantId>) -> Result<Vec<Grant>, StoreError> {
        unimplemented!()
    }

    pub(super) async fn remove_grant(&self, tenant: TenantId, app: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }

    pub(super) async fn lease_grant(
        &self,
        instance: InstanceId,
        tenant: TenantId,
        app: &str,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<GrantLease, StoreError> {
        unimplemented!()
    }

    pub(super) async fn renew_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        new_refresh_token: Option<&Secret<String>>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn fail_grant(
        &self,
        tenant: TenantId,
        app: &str,
        fence: u64,
        reason: String,
        dead: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn app_credentials(&self, app: &str) -> Result<Vec<StoredCredential>, StoreError> {
        unimplemented!()
    }

    pub(super) async fn put_app_credential(&self, credential: StoredCredential) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn promote_app_credential(&self, app: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }

    pub(super) async fn remove_app_credential(
        &self,
        app: &str,
        slot: CredentialSlot,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }

    pub(super) async fn put_checks(&self, tenant: TenantId, checks: Vec<Check>) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn remove_checks(&self, tenant: TenantId, names: &[String]) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn checks(
        &self,
        tenant: Option<TenantId>,
    ) -> Result<Vec<(TenantId, Check)>, StoreError> {
        unimplemented!()
    }

    pub(super) async fn put_app_checks(&self, app: &str, checks: Vec<Check>) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub(super) async fn app_checks(&self) -> Result<Vec<(String, Check)>, StoreError> {
        unimplemented!()
    }

    pub(super) async fn append_audit(
        &self,
        event: NewAuditEvent,
        now: Timestamp,
    ) -> Result<AuditEvent, StoreError> {
        unimplemented!()
    }

    pub(super) async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        unimplemented!()
    }

    pub(super) async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        unimplemented!()
    }
}
