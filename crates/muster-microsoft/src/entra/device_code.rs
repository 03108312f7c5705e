//! The device code flow: a person types a short code on any device.
//!
//! Source: Microsoft "OAuth 2.0 device authorization grant flow"; RFC 8628.

use std::time::Duration;

use jiff::Timestamp;
use muster_model::Secret;

use super::delegated::Granted;

/// A sign-in that waits for a person.
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// What the person types.
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// The address with the code in it, where the provider gives one.
    pub verification_uri_complete: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How long to wait between two questions.
    pub interval: Duration,
    /// The API whose tokens are wanted.
    pub resource: String,
    /// What we ask with.
    pub device_code: Secret<String>,
}

/// How a sign-in stands.
#[derive(Debug, Clone)]
pub enum DevicePoll {
    /// The person is not done. Ask again after this long.
    Pending {
        /// How long to wait.
        wait: Duration,
    },
    /// Done.
    Granted(Box<Granted>),
    /// The person said no.
    Declined,
    /// It took too long; start again.
    Expired,
}
