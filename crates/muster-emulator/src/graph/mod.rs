//! Microsoft Graph: the security API, applications and the directory.

pub(crate) mod api;
pub(crate) mod directory;
pub(crate) mod filter;
pub(crate) mod odata;
pub(crate) mod page;
pub(crate) mod service;
