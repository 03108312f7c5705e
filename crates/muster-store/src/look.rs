//! A look at a store from outside.

use std::collections::BTreeMap;

use muster_model::Tenant;

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
