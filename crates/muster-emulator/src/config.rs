//! What to emulate.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::change::AppRegistration;
use crate::receivers::RecordKind;
use crate::world::clock::{Clock, SystemClock};

/// What to emulate. `Config::default()` is a small world over plain HTTP on free ports of the loopback.
#[derive(Clone)]
pub struct Config {
    /// Where the Microsoft side and the control API listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether it speaks HTTPS (the control API then takes plain HTTP too).
    pub tls: bool,
    /// Where the CA's certificate is written, if anything here speaks TLS.
    pub ca_out: Option<PathBuf>,
    /// How many tenants.
    pub tenants: usize,
    /// Everything made up is made up from this.
    pub seed: u64,
    /// How many alerts there will be over all tenants; absent: none at start, endless with a rate.
    pub alerts: Option<u64>,
    /// Alerts a second that appear; absent: all are there at start, spread over `history`.
    pub rate: Option<f64>,
    /// The share of alerts that are updated later, from 0 to 1; absent: 0.1 with a rate, else 0.
    pub update_share: Option<f64>,
    /// How long after its appearance, or its last update, an alert is updated: from, to.
    pub update_after: (Duration, Duration),
    /// One alert in so many is half a megabyte large; 0: none.
    pub large_one_in: u32,
    /// Over how long a past the alerts that are there at start are spread.
    pub history: Duration,
    /// Writes all bodies before `start` returns, rather than when each is first read.
    pub write_bodies_at_start: bool,
    /// A folder of recorded alerts and incidents, served to the first tenant instead of made-up ones.
    pub records: Option<PathBuf>,
    /// A folder into which the world's alerts are streamed, as Defender streams its tables into a storage account.
    pub stream: Option<PathBuf>,
    /// Requests a minute for each app and tenant before Graph answers 429; absent: no limit.
    pub quota_per_minute: Option<u32>,
    /// The kinds of records that receivers are measured by: those of the sources that a client reads.
    pub kinds: Vec<RecordKind>,
    /// Whether Graph keeps to the caps of `$skip` and `$top` that Microsoft has (see `strict_faults`), and the Defender APIs
    /// to the quotas that they document.
    pub strict: bool,
    /// How long tokens are good for.
    pub token_lifetime: Duration,
    /// The application roles on Graph that every tenant has consented to.
    pub roles: Vec<String>,
    /// Whether all tenants have consented to the default app.
    pub consented: bool,
    /// Whether tokens for Graph have a nonce in their header, as Microsoft's own have: their signature can then be
    /// checked by Graph alone.
    pub graph_nonce: bool,
    /// The password of the accounts `admin@`, `analyst@` and `user@` of every tenant; absent: made from the seed.
    pub password: Option<String>,
    /// The redirect addresses of the default app, as a server.
    pub redirect_uris: Vec<String>,
    /// Further apps.
    pub apps: Vec<AppRegistration>,
    /// How long new secrets and certificates are not known yet.
    pub credential_delay: Duration,
    /// How long every answer of the token endpoint takes.
    pub token_delay: Duration,
    /// The app's id; absent: made from the seed.
    pub app_id: Option<String>,
    /// The app's secret; absent: made from the seed.
    pub secret: Option<String>,
    /// The token of the HTTP Event Collector; absent: made from the seed.
    pub hec_token: Option<String>,
    /// Where the HTTP Event Collector listens; absent: not at all.
    pub hec: Option<SocketAddr>,
    /// Whether its token has indexer acknowledgement on.
    pub hec_acknowledge: bool,
    /// Whether it speaks HTTPS.
    pub hec_tls: bool,
    /// Where syslog over UDP is received.
    pub syslog_udp: Option<SocketAddr>,
    /// Where syslog over TCP is received.
    pub syslog_tcp: Option<SocketAddr>,
    /// Where syslog over TLS is received.
    pub syslog_tls: Option<SocketAddr>,
    /// Where Azure Monitor's data collection rule listens; absent: not at all.
    pub ingest: Option<SocketAddr>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: loopback(),
            tls: false,
            ca_out: None,
            tenants: 25,
            seed: 7,
            alerts: None,
            rate: None,
            update_share: None,
            update_after: (Duration::from_secs(2), Duration::from_secs(30)),
            large_one_in: 5000,
            history: Duration::from_secs(6 * 3600),
            write_bodies_at_start: false,
            records: None,
            stream: None,
            quota_per_minute: None,
            kinds: vec![RecordKind::Alert, RecordKind::Incident],
            strict: false,
            token_lifetime: Duration::from_secs(3599),
            roles: vec!["SecurityAlert.Read.All".to_owned(), "SecurityIncident.Read.All".to_owned()],
            consented: true,
            graph_nonce: false,
            password: None,
            redirect_uris: [
                "https://portal.azure.com",
                "https://SiemMsspConnector",
                "http://localhost",
                "http://127.0.0.1",
                "http://localhost/onboard/callback",
                "http://127.0.0.1/onboard/callback",
                "http://localhost/SiemMsspConnector",
                "http://127.0.0.1/SiemMsspConnector",
                "https://muster.mssp.example/onboard/callback",
                "https://muster.mssp.example/SiemMsspConnector",
            ]
            .map(str::to_owned)
            .to_vec(),
            apps: Vec::new(),
            credential_delay: Duration::ZERO,
            token_delay: Duration::ZERO,
            app_id: None,
            secret: None,
            hec_token: None,
            hec: None,
            hec_acknowledge: true,
            hec_tls: false,
            syslog_udp: None,
            syslog_tcp: None,
            syslog_tls: None,
            ingest: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A free port of the loopback.
pub fn loopback() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}
