//! How much of everything a listener takes. These are no settings: they fit whoever comes for a page, and what a flood
//! leaves of them depends on the machine's descriptors alone ([`super::descriptors`]).

use std::time::Duration;

/// The bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at a time. Where there are more, the busiest address loses the one that it has had longest.
    pub connections_max: usize,
    /// Connections at a time of one address (of a /64 in IPv6, which is what one customer of a provider has).
    pub per_address_max: usize,
    /// Requests of one address, of which a connection counts as five: so many at once …
    pub burst: f64,
    /// … and so many each second from then on.
    pub per_second: f64,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a connection may wait for a whole head, from its beginning or from the answer before.
    pub head: Duration,
    /// Bytes of a head: a browser's own headers, and an answer of Microsoft in the address.
    pub head_bytes_max: usize,
    /// How long the other side may read nothing of an answer.
    pub unread: Duration,
    /// How long a connection lives. A request that is under way then is still answered, within [`Self::last`].
    pub life: Duration,
    /// How long the last request of a connection may take.
    pub last: Duration,
}

impl Bounds {
    /// For customers' pages.
    pub fn public(connections_max: usize) -> Self {
        Self {
            connections_max,
            per_address_max: 32.min(connections_max),
            burst: 300.0,
            per_second: 50.0,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            head_bytes_max: 32 * 1024,
            unread: Duration::from_secs(15),
            life: Duration::from_secs(120),
            last: Duration::from_secs(75),
        }
    }

    /// For health and metrics, which a few programs ask for.
    pub fn health(connections_max: usize) -> Self {
        Self {
            per_address_max: connections_max,
            burst: 1_000.0,
            per_second: 500.0,
            head_bytes_max: 16 * 1024,
            life: Duration::from_secs(600),
            // Scrapers ask again over the same connection.
            head: Duration::from_secs(90),
            ..Self::public(connections_max)
        }
    }
}
