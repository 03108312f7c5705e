//! Microsoft Graph's calls around an app registration: making it, its secrets and certificates, its service principal
//! and what is granted to that.
//!
//! Each call is told by name in its errors, with the permission or directory role that it needs. What exists is found
//! before it is made, and what is gone already counts as removed, so that whatever was cut off can be done again.
//! Which credential is kept where, and when an old one goes, is decided elsewhere.
//!
//! Source: Microsoft Graph v1.0 "application", "servicePrincipal", "appRoleAssignment", "oAuth2PermissionGrant" and
//! "federatedIdentityCredential".

mod calls;
mod certificates;
mod error;
mod federated;
mod grants;
mod objects;
mod registration;
mod secrets;

pub use calls::Applications;
pub use certificates::{NewCertificate, key_proof_claims};
pub use error::DirectoryError;
pub use federated::FederatedCredential;
pub use grants::{DelegatedGrant, RoleAssignment, ServicePrincipal};
pub use objects::{
    AccessKind, Application, KeyCredential, PasswordCredential, RedirectUris, RequiredResourceAccess,
    ResourceAccess, SignInAudience,
};
pub use registration::{NewApplication, OPERATOR_SCOPES, OWN_REGISTRATION_ROLES};
pub use secrets::AddedPassword;
