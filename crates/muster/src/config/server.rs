//! `[server]`: health and metrics over HTTP, and the log.

use std::io::ErrorKind;
use std::net::SocketAddr;

use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Where `/livez`, `/readyz` and `/metrics` are served; not at all when it is missing.
    #[serde(deserialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    pub log_format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a `tracing` filter.
    pub log_level: Option<String>,
    /// So many tenants have series of their own in `/metrics`.
    metrics_tenants: Option<u32>,
}

impl ServerSettings {
    /// How many tenants have series of their own in `/metrics`: some 700 bytes for each, at every look.
    pub fn metrics_tenants(&self) -> usize {
        self.metrics_tenants.map_or(1_000, |tenants| tenants as usize)
    }
}

/// Why an address cannot be listened at, and what to do.
pub fn listen_trouble(section: &str, address: SocketAddr, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("{address} is in use by another program: stop it, or change `listen` in [{section}]")
        }
        ErrorKind::AddrNotAvailable => format!(
            "{address} is no address of this machine: use one that is, or 0.0.0.0 for all, in `listen` of [{section}]"
        ),
        ErrorKind::PermissionDenied => format!(
            "this user may not listen on {address}: ports below 1024 need a right of their own (CAP_NET_BIND_SERVICE); change `listen` in [{section}]"
        ),
        _ => format!("cannot listen on {address}: {error}; change `listen` in [{section}]"),
    }
}

fn listen<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let wrong = "it must be an IP address and a port, such as 127.0.0.1:9810, 0.0.0.0:9810 or [::1]:9810";
    String::deserialize(from)?.trim().parse().map(Some).map_err(|_| serde::de::Error::custom(wrong))
}
