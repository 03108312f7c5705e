//! Graph's calls about the directory: app registrations, service principals, consent, the organisation, the signed-in
//! person.

mod applications;
mod credentials;
pub(crate) mod endpoints;
mod grants;
mod principals;
mod request;
