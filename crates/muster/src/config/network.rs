//! `[network]`: proxy and time limits of calls to Microsoft and to SIEMs over HTTP.

use std::time::Duration;

use muster_http::Proxy;
use muster_model::Span;
use serde::Deserialize;
use url::Url;

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// The proxy; without it the environment's `HTTPS_PROXY` is used, and `""` means none.
    pub proxy: Option<String>,
    /// Hosts reached without the proxy, in the syntax of `NO_PROXY`, which is used when this is not set.
    pub no_proxy: Option<String>,
    /// For the TCP and TLS handshake.
    pub connect_timeout: Span,
    /// Between two pieces of an answer.
    pub idle_timeout: Span,
    /// For the whole of one call.
    pub total_timeout: Span,
}

impl std::fmt::Debug for NetworkSettings {
    /// Without the proxy's address, in which a password may stand.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkSettings").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

impl Default for NetworkSettings {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            proxy: None,
            no_proxy: None,
            connect_timeout: seconds(10),
            idle_timeout: seconds(30),
            total_timeout: seconds(120),
        }
    }
}

impl NetworkSettings {
    /// The proxy and the hosts reached without it; `None` for no proxy.
    pub fn proxy(&self) -> Result<Option<Proxy>, String> {
        let from_environment = || {
            ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"].into_iter().find_map(super::environment)
        };
        let Some(address) =
            self.proxy.clone().or_else(from_environment).filter(|address| !address.is_empty())
        else {
            return Ok(None);
        };
        let address = if address.contains("://") { address } else { format!("http://{address}") };
        // The address may hold a password: it is not repeated.
        let url =
            Url::parse(&address).map_err(|error| format!("the proxy's address is not a URL: {error}"))?;
        let from_environment = || ["no_proxy", "NO_PROXY"].into_iter().find_map(super::environment);
        Ok(Some(Proxy { url, no_proxy: self.no_proxy.clone().or_else(from_environment) }))
    }
}
