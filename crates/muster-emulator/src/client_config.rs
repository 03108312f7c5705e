//! What a client needs to know of a running emulator.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::world::cast::TenantFacts;

/// All that a client's settings need.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientConfig {
    /// Where the parts listen.
    pub addresses: Addresses,
    /// Address of the login host.
    pub login: String,
    /// Address of Graph.
    pub graph: String,
    /// The app's id.
    pub app_id: String,
    /// The app's secret.
    pub secret: String,
    /// The provider's own tenant.
    pub provider: Tenant,
    /// The password of the accounts `admin@`, `analyst@` and `user@` of every tenant.
    pub password: String,
    /// What App Service hands to its programs as `IDENTITY_HEADER`.
    pub identity_header: String,
    /// The token of the HTTP Event Collector.
    pub hec_token: String,
    /// The CA's certificate, when the emulator speaks TLS.
    pub ca_pem: Option<String>,
    /// The file it was written to.
    pub ca_file: Option<PathBuf>,
    /// How many tenants there are.
    pub tenant_count: usize,
    /// The first of them.
    pub tenants: Vec<Tenant>,
}

/// Where the parts of a running emulator listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The Microsoft side and the control API.
    pub microsoft: SocketAddr,
    /// Whether the Microsoft side speaks HTTPS.
    pub tls: bool,
    /// The HTTP Event Collector.
    pub hec: Option<SocketAddr>,
    /// Whether the HTTP Event Collector speaks HTTPS.
    pub hec_tls: bool,
    /// Syslog over UDP.
    pub syslog_udp: Option<SocketAddr>,
    /// Syslog over TCP.
    pub syslog_tcp: Option<SocketAddr>,
    /// Syslog over TLS.
    pub syslog_tls: Option<SocketAddr>,
    /// Azure Monitor's data collection rule.
    #[serde(default)]
    pub ingest: Option<SocketAddr>,
}

impl Addresses {
    /// The address of login and Graph, with the name the certificate is good for.
    pub fn base_url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.microsoft)
    }

    /// The address of the HTTP Event Collector.
    pub fn hec_url(&self) -> Option<String> {
        self.hec.map(|address| format!("{}://{address}", if self.hec_tls { "https" } else { "http" }))
    }
}

/// A tenant, as an MSSP would note it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its GUID.
    pub id: String,
    /// The company.
    pub name: String,
    /// Its domain.
    pub domain: String,
}

impl From<&TenantFacts> for Tenant {
    fn from(facts: &TenantFacts) -> Self {
        Self { id: facts.id.clone(), name: facts.name.clone(), domain: facts.domain.clone() }
    }
}
