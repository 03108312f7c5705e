//! Why a message did not get through, and what that says of others.

use std::time::Duration;

/// Why a message did not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In words for the operator.
    pub reason: String,
    pub what: About,
}

/// What trouble is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The way there, which may be better later; or in so long, where somebody says so.
    Way(Option<Duration>),
    /// What was sent, which will be refused again.
    Message,
    /// The receiver wants nothing more.
    Gone,
}

impl Trouble {
    pub(super) fn of_the_way(reason: String) -> Self {
        Self { reason, what: About::Way(None) }
    }

    pub(super) fn of_the_message(reason: String) -> Self {
        Self { reason, what: About::Message }
    }
}
