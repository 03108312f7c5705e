//! IP addresses, which come with a port, with a zone, and several in one text.

use std::net::{IpAddr, Ipv4Addr};

use muster_model::json::Text;

/// The IP addresses in a text, without ports and zones; none in a text such as `-`.
pub(crate) fn addresses(text: Text<'_>) -> impl Iterator<Item = Text<'_>> {
    text.as_written().split([',', ';', ' ']).filter_map(bare).map(Text::as_in_json)
}

/// The address alone of `203.0.113.7:8080`, `[2001:db8::1]:443` and `fe80::1%3`.
fn bare(text: &str) -> Option<&str> {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    if is_address(text) {
        return Some(text);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => match text.split_once(':') {
            Some((host, _)) if host.parse::<Ipv4Addr>().is_ok() => (host, &text[host.len()..]),
            _ => (text, ""),
        },
    };
    let host = host.split('%').next().unwrap_or_default();
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (is_address(host) && is_port).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::addresses;
    use muster_model::json::Text;

    #[test]
    fn ports_zones_and_what_is_none_are_left_out() {
        for (text, expected) in [
            ("203.0.113.7", &["203.0.113.7"][..]),
            ("203.0.113.7:8080", &["203.0.113.7"]),
            (" 203.0.113.7 ", &["203.0.113.7"]),
            ("fe80::1%3", &["fe80::1"]),
            ("[2001:db8::1]:443", &["2001:db8::1"]),
            ("[2001:db8::1]", &["2001:db8::1"]),
            ("203.0.113.7,198.51.100.1; 2001:db8::2", &["203.0.113.7", "198.51.100.1", "2001:db8::2"]),
            ("-", &[]),
            ("", &[]),
            ("1.1.1.1.5", &[]),
            ("203.0.113.7:x", &[]),
            ("203.0.113.0/24", &[]),
            ("host.example", &[]),
        ] {
            let found: Vec<_> =
                addresses(Text::as_in_json(text)).map(|text| text.as_written().to_owned()).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
