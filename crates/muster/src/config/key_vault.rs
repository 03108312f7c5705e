//! `[key_vault]`: who opens the Azure Key Vaults that secrets of the settings are kept in.

use muster_model::TenantId;
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyVaultSettings {
    /// The app whose credential opens the vaults. Its own credential lies elsewhere: a certificate, a federated token
    /// or a managed identity, most often.
    pub app: String,
    /// The tenant that the vaults belong to: the provider's own.
    #[serde(deserialize_with = "super::section::tenant_id")]
    pub tenant: TenantId,
}
