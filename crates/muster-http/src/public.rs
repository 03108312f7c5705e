//! Which addresses are on the public internet: for addresses that somebody typed, and that must not lead to services of the
//! own network, of the machine, or of the cloud that it runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why an address is not on the public internet; `None` where it is. Source: IANA's registries of special-purpose addresses.
#[must_use]
fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

/// The address that a url names without a look-up, and why it is not on the public internet; `None` where it is, or where only
/// a look-up tells.
#[must_use]
pub fn not_public_host(url: &Url) -> Option<(IpAddr, &'static str)> {
    let address = match url.host()? {
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
        Host::Domain(_) => return None,
    };
    not_public(address).map(|why| (address, why))
}

fn v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = address.octets();
    Some(match (a, b, c, d) {
        (127, ..) => "of this machine",
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => "of a private network",
        (169, 254, ..) => "link-local, where clouds have their metadata service",
        (168, 63, 129, 16) => "of Azure's own service for virtual machines",
        (100, 64..=127, ..) => "of a carrier's or a cloud's own network",
        (0, ..) => "of no host",
        (224..=239, ..) => "of a multicast group",
        (240..=255, ..) => "reserved",
        (192, 0, 0 | 2, _) | (198, 18 | 19, ..) | (198, 51, 100, _) | (203, 0, 113, _) => "reserved",
        _ => return None,
    })
}

fn v6(address: Ipv6Addr) -> Option<&'static str> {
    // What stands for an IPv4 address is judged as that.
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("of no host"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("of this machine"),
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => embedded(high, low),
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, ..] | [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            Some("reserved")
        }
        [0x100, 0, 0, 0, ..] | [0x5f00, ..] => Some("reserved"),
        [first, ..] => match first {
            0xfc00..=0xfdff => Some("of a private network"),
            0xfe80..=0xfebf => Some("link-local, where clouds have their metadata service"),
            0xfec0..=0xfeff => Some("of a private network"),
            0xff00..=0xffff => Some("of a multicast group"),
            _ => None,
        },
    }
}

/// Asks the system for a host's addresses, and takes them only when all are public: these, and no others, are connected to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                if let Some(why) = not_public(address.ip()) {
                    return Err(refusal(name.as_str(), address.ip(), why).into());
                }
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Why nothing is sent to a host.
pub(crate) fn refusal(host: &str, address: IpAddr, why: &str) -> String {
    format!("{host} is at {address}, which is {why}; only public addresses are connected to")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        let is_public = |text: &str| not_public(text.parse().expect("an address")).is_none();
        for public in
            ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1111"]
        {
            assert!(is_public(public), "{public}");
        }
        for private in [
            "127.0.0.1",
            "127.255.0.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "198.18.0.1",
            "203.0.113.7",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private), "{private}");
        }
        assert!(is_public("::ffff:8.8.8.8") && is_public("64:ff9b::8.8.8.8"));
    }
}
