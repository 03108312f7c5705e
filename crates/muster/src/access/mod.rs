//! The way into tenants: apps and their credentials, people's grants, consents, and the watch over all of them.

pub mod apps;
pub mod checks;
pub mod grants;
pub mod onboard;
pub mod operator;
pub mod person;
pub mod preflight;
pub mod probe;
pub mod registration;
pub mod rotation;
pub mod sign_in;
pub(crate) mod sink_tokens;
pub mod vault;
pub mod watch;
