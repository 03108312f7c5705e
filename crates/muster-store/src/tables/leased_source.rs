//! The source of a lease, with what a write under that lease needs.

use muster_model::{Purpose, Source, TenantId};

use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sealing::{DataKey, Sealed};
use crate::sql::query;

/// The source of a lease, as it is stored.
pub(crate) struct StoredSource {
    pub(crate) source_no: i64,
    pub(crate) tenant_no: i64,
    pub(crate) data_key: DataKey,
    pub(crate) cursor_no: i64,
    pub(crate) cursor: String,
    pub(crate) leased_until: i64,
    pub(crate) fence: i64,
    pub(crate) leased: bool,
}

impl SqlStore {
    /// A source of a tenant as it is read for a purpose; `None` when it is not, or the tenant is gone.
    pub(crate) async fn stored_source(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
    ) -> Result<Option<StoredSource>, Failure> {
        let row = query(
            "SELECT s.source_no, s.tenant_no, t.data_key, c.cursor_no, c.cursor, c.leased_until, c.fence,
                 c.lease_owner IS NOT NULL AS leased
             FROM tenant t JOIN source s ON s.tenant_no = t.tenant_no
                 JOIN cursor c ON c.source_no = s.source_no
             WHERE t.id = ? AND s.source = ? AND c.purpose = ?",
        )
        .bind(tenant.to_string())
        .bind(source.as_str())
        .bind(purpose.as_str())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredSource {
            source_no: row.try_get("source_no")?,
            tenant_no: row.try_get("tenant_no")?,
            data_key: self.keys.data_key(Sealed::from_stored(row.try_get("data_key")?), tenant).await?,
            cursor_no: row.try_get("cursor_no")?,
            cursor: row.try_get("cursor")?,
            leased_until: row.try_get("leased_until")?,
            fence: row.try_get("fence")?,
            leased: row.try_get("leased")?,
        }))
    }
}
