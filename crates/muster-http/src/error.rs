//! Why there is no client, and why a call brought no answer.

use std::time::Duration;

use crate::causes::with_causes;
use crate::obstacle::Obstacle;
use crate::roots::RootsError;

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The roots cannot be used.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The proxy's address cannot be used.
    #[error("the HTTP client cannot be set up: {0}")]
    Proxy(String),
    /// Something else.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
}

/// Why a call brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection.
    #[error("{host} cannot be reached: {}", unreached(detail, .obstacle.as_ref()))]
    Connect {
        /// The host that was called.
        host: String,
        /// What the system said.
        detail: String,
        /// What stands in the way, where that is known.
        obstacle: Option<Obstacle>,
    },
    /// It took too long.
    #[error("{host} did not answer in time ({after:?})")]
    Timeout {
        /// The host that was called.
        host: String,
        /// The bound that was passed.
        after: Duration,
    },
    /// The answer came, but too slowly.
    #[error(
        "{host} sent only {bytes} bytes of its answer in {} s, which is too slow to wait for", .after.as_secs()
    )]
    TooSlow {
        /// The host that was called.
        host: String,
        /// What came in that time.
        bytes: usize,
        /// How long it was waited.
        after: Duration,
    },
    /// Other answers hold all the memory that there is for them.
    #[error("the answer of {host} found no room in memory, which others fill; it is asked for again")]
    MemoryFull {
        /// The host that was called.
        host: String,
    },
    /// The connection broke while the answer came.
    #[error("{}", broken(host, detail, .obstacle.as_ref()))]
    Broken {
        /// The host that was called.
        host: String,
        /// What the system said.
        detail: String,
        /// What stands in the way, where that is known.
        obstacle: Option<Obstacle>,
    },
    /// More than is taken.
    #[error("{host} sent more than {limit_bytes} bytes in one answer")]
    TooLarge {
        /// The host that was called.
        host: String,
        /// The bound.
        limit_bytes: usize,
        /// What had come by then: at most the first mebibyte.
        beginning: Vec<u8>,
    },
    /// A redirect, which is not followed.
    #[error(
        "{host} wants to redirect to {to}; a token is not sent elsewhere, so this was refused. Check proxy and cloud settings"
    )]
    Redirect {
        /// The host that was called.
        host: String,
        /// HTTP status.
        status: u16,
        /// Where it points.
        to: String,
    },
}

fn unreached(detail: &str, obstacle: Option<&Obstacle>) -> String {
    match obstacle {
        Some(obstacle) => obstacle.told(detail),
        None => format!("{detail}; check DNS, firewall and proxy settings"),
    }
}

fn broken(host: &str, detail: &str, obstacle: Option<&Obstacle>) -> String {
    match obstacle {
        Some(obstacle) => format!("{host} gave no answer: {}", obstacle.told(detail)),
        None => format!("{host} broke off in the middle of its answer: {detail}"),
    }
}

/// An error of the client with its causes, in one line, and without the address that was called: whoever tells the
/// error names the host, and the rest of an address may say too much.
pub(crate) fn without_url(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}

/// A bit of what a server said, fit for a message.
#[must_use]
pub fn shown(text: &str) -> String {
    muster_model::text::shown(text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_shown_without_control_characters() {
        assert_eq!(shown("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(shown(&"x".repeat(301)).chars().count(), 301);
    }
}
