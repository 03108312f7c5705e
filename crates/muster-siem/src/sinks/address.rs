//! Addresses of brokers: one, or several of one cluster, of which the first that is there is used.

use std::fmt;

use serde::{Deserialize, Deserializer};
use url::{Host, Url};

/// What an address may begin with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scheme {
    pub(super) name: &'static str,
    pub(super) is_encrypted: bool,
    /// Where no port is named.
    pub(super) port: u16,
}

/// Where one server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is spoken there.
    pub is_encrypted: bool,
    /// What stands behind the port, without the slash and decoded.
    pub path: Option<String>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The addresses of one receiver; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(pub Vec<Address>);

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&shown.join(", "))
    }
}

impl Addresses {
    /// Reads an address or a list of them, or says what is wrong and shows `example`.
    pub(super) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        schemes: &[Scheme],
        example: &str,
    ) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            One(String),
            Several(Vec<String>),
        }
        let given = match Given::deserialize(deserializer) {
            Ok(Given::One(one)) => vec![one],
            Ok(Given::Several(several)) => several,
            Err(_) => Vec::new(),
        };
        if given.is_empty() {
            let expected = format!("it must be an address such as {example}, or a list of them");
            return Err(serde::de::Error::custom(expected));
        }
        let addresses = given.iter().map(|text| address(text, schemes, example));
        let addresses = addresses.collect::<Result<_, _>>().map(Self).map_err(serde::de::Error::custom)?;
        if addresses.0.iter().any(|address| address.is_encrypted != addresses.is_encrypted()) {
            // Whoever can keep the encrypted ones from answering would be given the password in the clear.
            let mixed = "its addresses are one cluster: let all of them be encrypted, or none";
            return Err(serde::de::Error::custom(format!("{mixed}, such as {example}")));
        }
        Ok(addresses)
    }

    /// Whether TLS is spoken there: at all of them, or at none.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.iter().any(|address| address.is_encrypted)
    }
}

fn address(text: &str, schemes: &[Scheme], example: &str) -> Result<Address, String> {
    // What is wrong may be a password in it: it is not shown.
    let wrong = || format!("it is not an address such as {example}");
    let url = Url::parse(text.trim()).map_err(|_| wrong())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must hold no user or password: these are settings of their own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must hold no `?` or `#`".to_owned());
    }
    let scheme = schemes.iter().find(|scheme| scheme.name == url.scheme()).ok_or_else(wrong)?;
    let host = match url.host().ok_or_else(wrong)? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let port = url.port().unwrap_or(scheme.port);
    if host.is_empty() || port == 0 {
        return Err(wrong());
    }
    let path = url.path().strip_prefix('/').filter(|path| !path.is_empty());
    let path = path.map(|path| decoded(path).ok_or_else(wrong)).transpose()?;
    Ok(Address { host, port, is_encrypted: scheme.is_encrypted, path })
}

/// A path without its percent signs.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok().filter(|path| !path.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: [Scheme; 2] = [
        Scheme { name: "nats", is_encrypted: false, port: 4222 },
        Scheme { name: "tls", is_encrypted: true, port: 4222 },
    ];

    fn read(value: serde_json::Value) -> Result<Addresses, String> {
        Addresses::read(value, &SCHEMES, "tls://nats.example:4222").map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_read_or_it_is_said_what_is_wrong() {
        let several = serde_json::json!(["tls://a.example", "tls://[2001:db8::1]:99/%2fa%20b"]);
        let several = read(several).expect("two");
        assert_eq!(several.to_string(), "a.example:4222, [2001:db8::1]:99");
        assert_eq!(several.0[1].path.as_deref(), Some("/a b"));
        assert!(several.0.iter().all(|address| address.is_encrypted));
        let mixed = read(serde_json::json!(["tls://a.example", "nats://b.example"])).expect_err("mixed");
        assert!(mixed.contains("all of them be encrypted, or none"), "{mixed}");
        for (text, why) in [
            ("nats://user:geheim@a.example", "settings of their own"),
            ("http://a.example", "not an address such as tls://nats.example:4222"),
            ("nats://", "not an address"),
            ("nats://a.example:0", "not an address"),
            ("nats://a.example/%zz", "not an address"),
            ("nats://a.example?x=1", "no `?`"),
        ] {
            let said = read(serde_json::json!(text)).expect_err(text);
            assert!(said.contains(why) && !said.contains("geheim"), "{said}");
        }
        assert!(read(serde_json::json!([])).is_err());
    }
}
