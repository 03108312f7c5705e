//! `[server]`: health and metrics over HTTP, and the log.

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
    pub listen: Option<SocketAddr>,
    pub log_format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a `tracing` filter.
    pub log_level: Option<String>,
}
