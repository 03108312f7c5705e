//! The Microsoft identity platform: credentials, tokens, and what its error codes mean.

pub mod aadsts;
pub mod credential;
pub mod discovery;
pub mod token;
