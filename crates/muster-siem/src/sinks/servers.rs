//! The servers of one cluster, of which a broker's sink talks to the first that is there, and the connections to them
//! that stay open.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_model::Trouble;
use tokio::time::Instant;

use super::address::{Address, Addresses};
use super::error::shown;
use super::kept::{Close, Kept};
use super::wire::Ended;

/// A connection to one of the servers.
pub(super) trait Converse: Close + Sized {
    /// What a connection is made with.
    type Way: Sync;

    /// What is at its other end, in messages to operators.
    const PRODUCT: &'static str;

    /// Connects, and proves who it is.
    fn open(
        address: &Address,
        way: &Self::Way,
        until: Instant,
    ) -> impl Future<Output = Result<Self, Ended>> + Send;

    /// Which server it leads to, as the settings name it.
    fn server(&self) -> &str;

    /// Whether it can be used for more.
    fn is_usable(&mut self) -> impl Future<Output = bool> + Send;
}

/// The servers that a sink's settings name.
#[derive(Debug)]
pub(super) struct Servers<C: Converse> {
    sink: String,
    addresses: Vec<Address>,
    way: C::Way,
    timeout: Duration,
    /// Which of them was there last.
    current: AtomicUsize,
    kept: Kept<C>,
}

impl<C: Converse> Servers<C> {
    /// Nothing is connected yet; at most `kept_max` connections stay open unused.
    pub(super) fn new(
        sink: &str,
        addresses: &Addresses,
        way: C::Way,
        timeout: Duration,
        kept_max: usize,
    ) -> Self {
        Self {
            sink: sink.to_owned(),
            addresses: addresses.0.clone(),
            way,
            timeout,
            current: AtomicUsize::new(0),
            kept: Kept::new(kept_max),
        }
    }

    /// A connection that has stayed open.
    pub(super) async fn kept(&self) -> Option<C> {
        while let Some(mut connection) = self.kept.take() {
            if connection.is_usable().await {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection open, on which nothing is under way.
    pub(super) fn keep(&self, connection: C) {
        self.kept.put(connection);
    }

    /// Connects to the server that was there last, or to the next one that is.
    pub(super) async fn connect(&self, until: Instant) -> Result<C, Trouble> {
        let first = self.current.load(Ordering::Relaxed);
        let (mut trouble, mut has_said) = (None, false);
        for step in 0..self.addresses.len() {
            let place = (first + step) % self.addresses.len();
            let (now, address) = (Instant::now(), &self.addresses[place]);
            // One that does not answer leaves time for the others.
            let others = u32::try_from(self.addresses.len() - step).unwrap_or(u32::MAX);
            let until = now + until.saturating_duration_since(now) / others;
            match C::open(address, &self.way, until).await {
                Ok(connection) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(ended) => {
                    // What one of them says tells more than that others are not there.
                    let says = matches!(ended, Ended::Said(_));
                    if trouble.is_none() || says && !has_said {
                        trouble = Some(self.ended(&address.to_string(), &ended));
                    }
                    has_said |= says;
                }
            }
        }
        Err(trouble.expect("there is never no address"))
    }

    /// Why there is nothing more to be had of a server, and what to do.
    pub(super) fn ended(&self, server: &str, ended: &Ended) -> Trouble {
        self.trouble(server, &ended.words(C::PRODUCT, self.timeout))
    }

    /// What is wrong at a server.
    pub(super) fn trouble(&self, server: &str, reason: &str) -> Trouble {
        Trouble { reason: format!("sink `{}` ({}): {reason}", self.sink, shown(server)), after: None }
    }

    /// Closes the connections that are open and unused.
    pub(super) async fn close(&self) {
        self.kept.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection to a server of which the host says what it does.
    #[derive(Debug)]
    struct Told(String);

    impl Close for Told {
        async fn close(self) {}
    }

    impl Converse for Told {
        type Way = ();

        const PRODUCT: &'static str = "the test";

        async fn open(address: &Address, (): &(), _: Instant) -> Result<Self, Ended> {
            match address.host.as_str() {
                "gone" => Err(Ended::Failed(std::io::ErrorKind::ConnectionRefused.into())),
                "rude" => Err(Ended::Said("go away".to_owned())),
                _ => Ok(Self(address.to_string())),
            }
        }

        fn server(&self) -> &str {
            &self.0
        }

        async fn is_usable(&mut self) -> bool {
            true
        }
    }

    fn servers(hosts: &[&str]) -> Servers<Told> {
        let address =
            |host: &&str| Address { host: (*host).to_owned(), port: 1, is_encrypted: false, path: None };
        let addresses = Addresses(hosts.iter().map(address).collect());
        Servers::new("x", &addresses, (), Duration::from_secs(1), 1)
    }

    #[tokio::test]
    async fn the_first_that_is_there_is_used_and_stayed_with() {
        let servers = servers(&["gone", "there", "other"]);
        for _ in 0..2 {
            let connection = servers.connect(Instant::now()).await.expect("one is there");
            assert_eq!(connection.server(), "there:1");
            servers.keep(connection);
        }
        assert!(servers.kept().await.is_some() && servers.kept().await.is_none(), "one is kept");
    }

    #[tokio::test]
    async fn the_trouble_is_that_of_the_server_which_says_something() {
        let trouble =
            servers(&["gone", "rude", "gone"]).connect(Instant::now()).await.expect_err("none is there");
        assert_eq!(trouble.reason, "sink `x` (rude:1): go away");
        let trouble = servers(&["gone"]).connect(Instant::now()).await.expect_err("none is there");
        assert!(trouble.reason.starts_with("sink `x` (gone:1): no way to the test"), "{}", trouble.reason);
    }
}
