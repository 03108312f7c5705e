//! The Microsoft identity platform: credentials, consent, sign-ins, tokens, and what its error codes mean.

pub mod aadsts;
pub mod access_token;
pub mod applications;
mod assertion;
pub mod certificate;
pub mod consent;
pub mod credential;
pub mod delegated;
pub mod device_code;
pub mod discovery;
pub mod error;
mod form;
pub mod grant;
pub mod inspect;
mod jwt;
mod keys;
pub(crate) mod managed_identity;
pub mod new_certificate;
pub mod permissions;
pub(crate) mod platform;
pub(crate) mod token;
mod token_endpoint;
pub mod verify;
