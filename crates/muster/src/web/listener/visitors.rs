//! Who is connected: how many in all, how many of one address, and how much each has asked for.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Bounds;
use crate::config::AddressRange;

/// Addresses that are remembered at a time: more do not fit into a listener's connections within seconds.
const ADDRESSES_MAX: usize = 16_384;

/// A connection costs as much as so many requests: its handshake takes longer than any page.
const CONNECTION_COSTS: f64 = 5.0;

/// Why a connection or a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The address has as many connections as one may have.
    TooMany,
    /// The address asks too often.
    TooOften,
    /// There is no room, and no address with more connections to take one from.
    Full,
}

impl Refusal {
    /// The word in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TooOften => "too_often",
            Self::Full => "full",
        }
    }
}

/// The connections of one listener.
#[derive(Debug)]
pub struct Visitors {
    name: &'static str,
    bounds: Bounds,
    trusted: Vec<AddressRange>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    open: BTreeMap<u64, Open>,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug)]
struct Open {
    of: IpAddr,
    at_work: bool,
    end: CancellationToken,
}

#[derive(Debug)]
struct Address {
    open: usize,
    /// What is left of the burst, as of `seen`.
    left: f64,
    seen: Instant,
}

/// A connection that is let in; over when it is dropped.
#[derive(Debug)]
pub struct Visit {
    visitors: Arc<Visitors>,
    number: u64,
    peer: IpAddr,
    end: CancellationToken,
}

impl Visitors {
    /// Nobody yet. Connections of `trusted` proxies bring many people, so that no bound of one address is theirs.
    pub fn new(name: &'static str, bounds: Bounds, trusted: Vec<AddressRange>) -> Arc<Self> {
        Arc::new(Self { name, bounds, trusted, inner: Mutex::default() })
    }

    /// What the listener is called in log and metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether what this address says about whom it asks for is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(address))
    }

    /// Counts what was turned away or ended, and why.
    pub fn refused(&self, reason: &'static str) {
        metrics::counter!("muster_listener_refused_total", "listener" => self.name, "reason" => reason)
            .increment(1);
    }

    /// Tells the metrics how many are connected.
    pub fn count(&self) {
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
        metrics::gauge!("muster_listener_connections", "listener" => self.name).set(self.connected() as f64);
    }

    /// How many are connected.
    pub fn connected(&self) -> usize {
        self.inner().open.len()
    }

    /// Lets a connection in, where need be in place of another one.
    ///
    /// # Errors
    /// Why it is turned away.
    pub fn enter(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Visit, Refusal> {
        let of = one_customer(peer);
        let trusted = self.trusts(peer);
        let mut inner = self.inner();
        if !trusted {
            if inner.addresses.get(&of).map_or(0, |address| address.open) >= self.bounds.per_address_max {
                return Err(Refusal::TooMany);
            }
            self.take(&mut inner, of, CONNECTION_COSTS, now)?;
        }
        if inner.open.len() >= self.bounds.connections_max {
            let own = inner.addresses.get(&of).map_or(0, |address| address.open);
            if !Self::end_one(&mut inner, own + 1) {
                return Err(Refusal::Full);
            }
        }
        let number = inner.next;
        inner.next += 1;
        let end = CancellationToken::new();
        inner.open.insert(number, Open { of, at_work: false, end: end.clone() });
        if let Some(address) = inner.addresses.get_mut(&of) {
            address.open += 1;
        } else {
            inner.addresses.insert(of, Address { open: 1, left: self.bounds.burst, seen: now });
        }
        Ok(Visit { visitors: Arc::clone(self), number, peer, end })
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// When it asks too often.
    pub fn ask(&self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        self.take(&mut self.inner(), one_customer(address), 1.0, now)
    }

    /// Ends the connection that can best be done without; `false` where all are at work.
    pub fn make_room(&self) -> bool {
        Self::end_one(&mut self.inner(), 0)
    }

    /// The busiest address loses the connection that it has had longest: whoever has one only keeps it longest. It loses
    /// none to an address that would be as busy then, so that a flood does not turn its own connections over and over;
    /// where all have one, the oldest goes.
    fn end_one(inner: &mut Inner, newcomer: usize) -> bool {
        let open_of = |of: &IpAddr| inner.addresses.get(of).map_or(0, |address| address.open);
        let idle = inner.open.iter().filter(|(_, open)| !open.at_work);
        let found = idle.max_by_key(|(number, open)| (open_of(&open.of), std::cmp::Reverse(**number)));
        let Some((number, busiest)) = found.map(|(number, open)| (*number, open_of(&open.of))) else {
            return false;
        };
        if newcomer >= busiest && busiest > 1 {
            return false;
        }
        Self::forget(inner, number);
        true
    }

    fn forget(inner: &mut Inner, number: u64) {
        let Some(open) = inner.open.remove(&number) else { return };
        open.end.cancel();
        if let Some(address) = inner.addresses.get_mut(&open.of) {
            address.open = address.open.saturating_sub(1);
        }
    }

    fn take(&self, inner: &mut Inner, of: IpAddr, cost: f64, now: Instant) -> Result<(), Refusal> {
        let Bounds { burst, per_second, .. } = self.bounds;
        let left = |address: &Address| {
            let since = now.saturating_duration_since(address.seen).as_secs_f64();
            since.mul_add(per_second, address.left).min(burst)
        };
        if inner.addresses.len() >= ADDRESSES_MAX && !inner.addresses.contains_key(&of) {
            inner.addresses.retain(|_, address| address.open > 0 || left(address) < burst);
            if inner.addresses.len() >= ADDRESSES_MAX {
                // So many that each has asked for little. Those that are connected are at most so many as connections.
                inner.addresses.retain(|_, address| address.open > 0);
            }
        }
        let address =
            inner.addresses.entry(of).or_insert_with(|| Address { open: 0, left: burst, seen: now });
        address.left = left(address);
        address.seen = now;
        if address.left < cost {
            return Err(Refusal::TooOften);
        }
        address.left -= cost;
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while the lock is held")
    }
}

impl Visit {
    /// Who is connected: a person's machine, or a proxy.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    pub fn visitors(&self) -> &Visitors {
        &self.visitors
    }

    /// While what this gives lives, the connection is at work and gives its place to nobody.
    pub fn at_work(&self) -> AtWork<'_> {
        self.set_at_work(true);
        AtWork(self)
    }

    /// Returns when the connection has to give its place to another one.
    pub async fn ended(&self) {
        self.end.cancelled().await;
    }

    fn set_at_work(&self, at_work: bool) {
        if let Some(open) = self.visitors.inner().open.get_mut(&self.number) {
            open.at_work = at_work;
        }
    }
}

/// See [`Visit::at_work`].
#[derive(Debug)]
pub struct AtWork<'a>(&'a Visit);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.set_at_work(false);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        Visitors::forget(&mut self.visitors.inner(), self.number);
    }
}

/// What one customer of a provider has: an IPv4 address, or a /64 of IPv6.
fn one_customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn visitors(connections_max: usize, per_address_max: usize) -> Arc<Visitors> {
        let bounds = Bounds { per_address_max, ..Bounds::public(connections_max) };
        Visitors::new("test", bounds, vec!["10.0.0.0/8".parse().expect("a range")])
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn one_address_has_so_many_connections_and_gives_them_back() {
        let (visitors, now) = (visitors(10, 3), Instant::now());
        let mut open: Vec<_> = (0..3).map(|_| visitors.enter(address(1), now).expect("let in")).collect();
        assert_eq!(visitors.enter(address(1), now).expect_err("too many"), Refusal::TooMany);
        assert!(visitors.enter("2001:db8::1".parse().expect("an address"), now).is_ok());
        drop(open.pop());
        assert!(visitors.enter(address(1), now).is_ok());
        drop(open);
        assert_eq!(visitors.connected(), 0);
    }

    #[tokio::test]
    async fn a_network_of_ipv6_counts_as_one_address_and_a_mapped_address_as_what_it_is() {
        let (visitors, now) = (visitors(10, 1), Instant::now());
        let _one = visitors.enter("2001:db8::1".parse().expect("an address"), now).expect("let in");
        assert!(visitors.enter("2001:db8::2".parse().expect("an address"), now).is_err());
        assert!(visitors.enter("2001:db8:0:1::2".parse().expect("an address"), now).is_ok());
        let _two = visitors.enter(address(1), now).expect("let in");
        assert!(visitors.enter("::ffff:192.0.2.1".parse().expect("an address"), now).is_err());
    }

    #[tokio::test]
    async fn the_busiest_address_gives_its_oldest_idle_connection_away() {
        let (visitors, now) = (visitors(4, 3), Instant::now());
        let alone = visitors.enter(address(9), now).expect("let in");
        let busy: Vec<_> = (0..3).map(|_| visitors.enter(address(1), now).expect("let in")).collect();
        let at_work = busy[0].at_work();
        let new = visitors.enter(address(2), now).expect("let in");
        assert!(busy[1].end.is_cancelled() && !busy[0].end.is_cancelled() && !busy[2].end.is_cancelled());
        assert!(!alone.end.is_cancelled() && !new.end.is_cancelled());
        // What is over already counts once.
        drop(at_work);
        drop(busy);
        assert_eq!(visitors.connected(), 2);
    }

    #[tokio::test]
    async fn a_flood_takes_places_from_nobody_as_busy_as_itself() {
        let (visitors, now) = (visitors(4, 4), Instant::now());
        let mut open = Vec::new();
        for last in [1, 2, 1, 2] {
            open.push(visitors.enter(address(last), now).expect("let in"));
        }
        assert_eq!(visitors.enter(address(1), now).expect_err("as busy as all"), Refusal::Full);
        assert!(open.iter().all(|visit| !visit.end.is_cancelled()));
        let alone = visitors.enter(address(3), now).expect("let in");
        assert!(open[0].end.is_cancelled() && !alone.end.is_cancelled());
        // Where nobody has more than one, the oldest goes.
        let (visitors, now) = (self::visitors(2, 2), Instant::now());
        let ones: Vec<_> = (1..3).map(|last| visitors.enter(address(last), now).expect("let in")).collect();
        assert!(visitors.enter(address(3), now).is_ok() && ones[0].end.is_cancelled());
    }

    #[tokio::test]
    async fn where_all_are_at_work_nobody_is_let_in() {
        let (visitors, now) = (visitors(2, 2), Instant::now());
        let open: Vec<_> = (1..3).map(|last| visitors.enter(address(last), now).expect("let in")).collect();
        let _work: Vec<_> = open.iter().map(Visit::at_work).collect();
        assert_eq!(visitors.enter(address(3), now).expect_err("full"), Refusal::Full);
        assert!(!visitors.make_room());
    }

    #[tokio::test]
    async fn who_asks_too_often_waits_and_a_proxy_does_not() {
        let (visitors, now) = (visitors(10, 3), Instant::now());
        let (mut asked, later) = (0, now + Duration::from_secs(2));
        while visitors.ask(address(1), now).is_ok() {
            asked += 1;
        }
        assert_eq!(asked, 300);
        assert_eq!(visitors.enter(address(1), now).expect_err("too often"), Refusal::TooOften);
        let connections = (0..100).take_while(|_| visitors.enter(address(5), now).is_ok()).count();
        assert_eq!(connections, 60, "a connection costs more");
        assert!(visitors.ask(address(2), now).is_ok(), "others do not wait");
        assert!(visitors.ask(address(1), later).is_ok());
        let proxy: IpAddr = "10.1.1.1".parse().expect("an address");
        let open: Vec<_> = (0..9).map(|_| visitors.enter(proxy, now).expect("let in")).collect();
        assert_eq!(open.len(), 9);
    }

    #[tokio::test]
    async fn addresses_are_forgotten() {
        let (visitors, now) = (visitors(10, 3), Instant::now());
        for number in 0..200_000_u32 {
            visitors.ask(IpAddr::from(number.to_be_bytes()), now).expect("once each");
        }
        assert!(visitors.inner().addresses.len() <= ADDRESSES_MAX);
    }
}
