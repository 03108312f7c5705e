//! A look at a store from outside.

use std::collections::BTreeMap;

use muster_model::Tenant;

use crate::StoreError;
use crate::failure::worded;
use crate::sql::{Connection, query};
use crate::tables::rows::{read_tenant, select_tenant};

/// What can be seen of a store without changing anything, also while `muster run` is at work on it.
#[derive(Debug, Clone)]
pub struct StoreLook {
    /// Whether `muster run` is at work on it.
    pub is_owned: bool,
    /// Whether it is laid out as this version wants it; otherwise `muster run` and every command bring it up to date.
    pub is_current: bool,
    /// Its tenants, by slug; none where it is not current.
    pub tenants: Vec<Tenant>,
    /// How many records each sink is owed; none where it is not current.
    pub owed: BTreeMap<String, u64>,
    /// What the audit log says of the settings that were loaded last.
    pub settings_loaded: Option<serde_json::Value>,
}

impl StoreLook {
    /// One whose tables are of an earlier version.
    pub(crate) fn outdated() -> Self {
        Self {
            is_owned: false,
            is_current: false,
            tenants: Vec::new(),
            owed: BTreeMap::new(),
            settings_loaded: None,
        }
    }

    /// What is seen in tables of this version; not who is at work.
    pub(crate) async fn at_tables(connection: &mut Connection, shown: &str) -> Result<Self, StoreError> {
        let failed = |error: sqlx::Error| worded(&error, shown, "look at it");
        let mut look = Self { is_current: true, ..Self::outdated() };
        let rows = query(select_tenant!("ORDER BY t.slug")).fetch_all(&mut *connection).await;
        for row in &rows.map_err(failed)? {
            look.tenants.push(read_tenant(row).map_err(failed)?.tenant);
        }
        let owed = "SELECT sink, sum(owed) FROM queue WHERE owed > 0 GROUP BY sink";
        for row in query(owed).fetch_all(&mut *connection).await.map_err(failed)? {
            let owed: i64 = row.try_get(1).map_err(failed)?;
            look.owed.insert(row.try_get(0).map_err(failed)?, owed.unsigned_abs());
        }
        let loaded =
            "SELECT details FROM audit_event WHERE action = 'settings.loaded' ORDER BY number DESC LIMIT 1";
        let row = query(loaded).fetch_optional(&mut *connection).await.map_err(failed)?;
        let details: Option<String> = row.map(|row| row.try_get(0)).transpose().map_err(failed)?;
        look.settings_loaded = details.and_then(|details| serde_json::from_str(&details).ok());
        Ok(look)
    }
}
