//! What checks of tenants and apps found last.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;
use serde::Serialize;

use crate::StoreError;

/// What checks of tenants and apps found last.
#[async_trait]
pub trait Checks: Send + Sync {
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
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// All is well.
    Good,
    /// It works, and will not for long.
    Warning,
    /// It does not work.
    Failing,
}

impl CheckOutcome {
    /// The word in commands, tables and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Failing => "failing",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked, such as `token`, `source graph_alerts` or `secret expiry`.
    pub name: String,
    /// How it ended.
    pub outcome: CheckOutcome,
    /// A stable word for the finding, such as `lost_consent`.
    pub code: String,
    /// The finding in words.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
    /// When it was checked.
    pub checked_at: Timestamp,
    /// When what was checked ends, where it does.
    pub expires_at: Option<Timestamp>,
}
