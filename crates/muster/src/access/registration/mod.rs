//! An app's registration at Microsoft: made or mended to what Muster needs, and checked against it.
//!
//! Nothing that is there is taken away: permissions and redirect URIs that somebody else added stay. Whatever was done
//! half is found again, by the client id of the settings, or by the name and the mark of the registration.

mod check;
mod ensure;
mod required;

pub use check::{
    AUDIENCE, CREDENTIALS, Expected, PERMISSIONS, REDIRECT_URIS, REGISTRATION, SERVICE_PRINCIPAL, checks,
};
pub use ensure::{Ensured, RegistrationError, WantedRegistration, consent_here, ensure};
pub use required::{permission_name, required, required_with};
