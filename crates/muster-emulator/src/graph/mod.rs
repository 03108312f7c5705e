//! Microsoft Graph: the security API, applications and the directory.

pub(crate) mod api;
pub(crate) mod applications;
pub(crate) mod odata;
pub(crate) mod page;
pub(crate) mod service;
