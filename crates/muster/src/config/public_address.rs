//! An address that strangers come to: where it listens, how it speaks TLS, and which proxies stand before it.

use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use super::address_range::AddressRange;

/// What a section says of its address.
pub(super) struct PublicAddress<'s> {
    /// What is served there, in words.
    pub(super) what: &'static str,
    pub(super) listen: SocketAddr,
    pub(super) certificate_file: Option<&'s PathBuf>,
    pub(super) key_file: Option<&'s PathBuf>,
    pub(super) trusted_proxies: &'s [AddressRange],
    pub(super) public_url: &'s Url,
}

impl PublicAddress<'_> {
    /// Mistakes that no key shows alone.
    pub(super) fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        let tls = match (self.certificate_file, self.key_file) {
            (Some(_), Some(_)) => true,
            (None, None) => false,
            _ => {
                let key = if self.key_file.is_some() { "key_file" } else { "certificate_file" };
                let message = "certificate_file and key_file belong together: name both or none";
                mistakes.push((key, message.to_owned()));
                return mistakes;
            }
        };
        let what = self.what;
        if tls && self.public_url.scheme() != "https" {
            let message = format!("{what} served with TLS, so write it with https://");
            mistakes.push(("public_url", message));
        }
        if !tls && self.trusted_proxies.is_empty() && !self.listen.ip().is_loopback() {
            let message = format!(
                "{what} served to everybody at {} without TLS: name certificate_file and key_file, or in \
                 trusted_proxies the proxy that speaks TLS, or listen on 127.0.0.1",
                self.listen
            );
            mistakes.push(("listen", message));
        }
        mistakes
    }
}

/// Reads an address below which something is served; `in_the_clear` says why it may not be plain http.
pub(super) fn public_url(text: &str, in_the_clear: &str) -> Result<Url, String> {
    let wrong = |why: &str| Err(format!("this cannot be the public address: {why}"));
    let Ok(url) = Url::parse(text) else {
        return wrong("it is not a URL such as https://muster.mssp.example");
    };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("a user or password does not belong in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("it ends before any ? and #");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => wrong(&format!("{in_the_clear}; plain http is for tests on this machine")),
        _ => wrong("it must begin with https://"),
    }
}
