//! Secrets in Azure Key Vault: read one, set a new version of one, and find out which tenant a vault trusts.
//!
//! A token for the vault goes only to a host that is a vault of this cloud (`Cloud::is_key_vault`), and what a vault's
//! challenge says is only believed when it names this cloud's identity platform and Key Vault itself.
//!
//! Source: Azure Key Vault REST API 7.4, "Get Secret", "Set Secret", and "Authentication, requests and responses".

mod address;
mod calls;
mod error;

pub use address::VaultAddress;
pub use calls::KeyVault;
pub use error::KeyVaultError;
