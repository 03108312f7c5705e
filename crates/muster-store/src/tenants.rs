//! Tenants: adding, finding, changing, forgetting.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{DomainName, Slug, Source, Tag, Tenant, TenantId, TenantState};

use crate::StoreError;

/// Who is read.
#[async_trait]
pub trait Tenants: Send + Sync {
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
    /// What it is grouped by.
    pub tags: BTreeSet<Tag>,
    /// From when on records are fetched the first time.
    pub since: Timestamp,
    /// How far it has come already: [`TenantState::Active`] for one whose consent is had, [`TenantState::Invited`]
    /// for one that is to be asked.
    pub state: TenantState,
}

/// A change to a tenant.
#[derive(Debug, Clone)]
pub enum TenantChange {
    /// Another state. [`TenantState::Offboarded`] does what [`Tenants::offboard_tenant`] does.
    State(TenantState),
    /// Read these sources from now on. A source that comes back goes on where it stopped.
    Sources(BTreeSet<Source>),
    /// A new display name.
    Name(String),
    /// Another slug, which no other tenant has.
    Slug(Slug),
    /// Another app.
    App(String),
    /// Tags that it gets, and then tags that it loses: two who change them at once lose nothing of each other's.
    Tags {
        /// Those that it gets.
        add: BTreeSet<Tag>,
        /// Those that it loses.
        remove: BTreeSet<Tag>,
    },
}

/// Names a tenant that is known: by id, slug or domain.
#[derive(Debug, Clone, Copy)]
pub enum TenantKey<'a> {
    /// By id.
    Id(TenantId),
    /// By what a person typed: the id, slug or domain.
    Name(&'a str),
}
