//! `[pull_api]`: the retired SIEM API of Defender for Endpoint, served for connectors that were written for it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::address_range::AddressRange;
use super::public_address::{self, PublicAddress};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullApiSettings {
    /// Where it is served.
    pub listen: SocketAddr,
    /// Its certificate with its chain, PEM. Without it, it is served in the clear, for a proxy.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The proxies whose `X-Forwarded-For` and `X-Forwarded-Host` are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<AddressRange>,
    /// Where connectors reach it, such as `https://detections.mssp.example`.
    #[serde(deserialize_with = "public_url")]
    pub public_url: Url,
}

impl PullApiSettings {
    /// Mistakes that no key shows alone.
    pub(super) fn contradictions(&self) -> Vec<(&'static str, String)> {
        let address = PublicAddress {
            what: "the API is",
            listen: self.listen,
            certificate_file: self.certificate_file.as_ref(),
            key_file: self.key_file.as_ref(),
            trusted_proxies: &self.trusted_proxies,
            public_url: &self.public_url,
        };
        address.contradictions()
    }

    /// An address below [`public_url`](Self::public_url), which `path` is written behind as it is.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

fn public_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = public_address::public_url(&text, "secrets and alerts would go in the clear");
    let url = url.map_err(serde::de::Error::custom)?;
    // Connectors know its paths, and put nothing before them.
    match url.path() {
        "/" => Ok(url),
        _ => Err(serde::de::Error::custom(
            "this cannot be the public address: connectors ask at the top of a host, so it has no path",
        )),
    }
}
