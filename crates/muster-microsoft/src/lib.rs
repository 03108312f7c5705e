//! Speaks to Microsoft: the hosts of each national cloud, tokens, and the paged reading of each source.
//!
//! What it does not do: it keeps no cursor and no records; it never decides what is asked next.

mod access;
pub mod api;
mod cloud;
pub mod drift;
pub mod entra;
mod fault;
pub mod hunting;
mod identity;
pub mod key_vault;
mod meaning;
mod microsoft;
pub mod sources;

pub use access::TenantAccess;
pub use api::failure::FetchError;
pub use cloud::{Cloud, CloudError, NationalCloud, Portals};
pub use fault::Fault;
pub use meaning::{About, MEANINGS, Meaning, SourceWord};
pub use microsoft::{FetchedPage, Microsoft, MicrosoftOptions};
