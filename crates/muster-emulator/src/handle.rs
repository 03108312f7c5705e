//! Starting an emulator, and the handle of one that runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::{self, ClientConfig};
use crate::faults::{Fault, Faults};
use crate::graph::service::Graph;
use crate::http::tls;
use crate::identity::change::{AppRegistration, DirectoryChange};
use crate::identity::traffic::{TokenRequests, TokenTraffic};
use crate::identity::{self, Identity};
use crate::key_vault::KeyVaults;
use crate::receivers::{
    HecConfig, Produced, ReceiverTally, Receivers, ReceiversConfig, StartReceiverError, SyslogConfig,
    tally_file,
};
use crate::server;
use crate::shared::{RequestCount, RequestError, Shared, Tally};
use crate::world::cast::TenantFacts;
use crate::world::clock::{Clock, SystemClock};
use crate::world::records;
use crate::world::tenants::{ProducedCounts, UpdatePolicy, World, secret_from};

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
    /// Requests a minute for each app and tenant before Graph answers 429; absent: no limit.
    pub quota_per_minute: Option<u32>,
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
            quota_per_minute: None,
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
            clock: Arc::new(SystemClock),
        }
    }
}

/// A free port of the loopback.
pub fn loopback() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
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

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program listens there.
    #[error("start the emulator: port in use: {address}")]
    PortInUse {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("start the emulator: listen on {address}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A receiver did not start.
    #[error(transparent)]
    Receiver(#[from] StartReceiverError),
    /// The folder of recordings cannot be read.
    #[error("start the emulator: read recordings in {folder}")]
    Records {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The CA's certificate cannot be written.
    #[error("start the emulator: write the CA's certificate to {file}")]
    CaOut {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Keys or certificates could not be made.
    #[error("start the emulator: make keys")]
    Keys(#[source] anyhow::Error),
    /// An app of the configuration cannot be registered.
    #[error("start the emulator: register an app")]
    App(#[from] RequestError),
    /// A number of the configuration makes no sense.
    #[error("start the emulator: {0}")]
    Config(&'static str),
}

/// A running emulator. It ends with [`Handle::stop`], or when this is dropped.
pub struct Handle {
    shared: Arc<Shared>,
}

/// Starts an emulator; when it returns, everything listens.
///
/// # Errors
///
/// If an address cannot be listened on, the recordings cannot be read, or the configuration makes no sense.
pub async fn start(config: Config) -> Result<Handle, StartError> {
    check(&config)?;
    let listener = server::listen(config.listen).await?;
    let microsoft =
        listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
    let needs_tls = config.tls || config.hec_tls || config.syslog_tls.is_some();
    let certificates = needs_tls.then(tls::make).transpose().map_err(StartError::Keys)?;
    if let (Some(file), Some(certificates)) = (&config.ca_out, &certificates) {
        std::fs::write(file, &certificates.ca_pem)
            .map_err(|source| StartError::CaOut { file: file.clone(), source })?;
    }
    let server_tls = certificates.as_ref().map(|certificates| Arc::clone(&certificates.server));
    let guid = |what| secret_from(config.seed, what).guid();
    let hec_token = config.hec_token.clone().unwrap_or_else(|| guid(3));
    let receivers = start_receivers(&config, &hec_token, server_tls.clone()).await?;
    let addresses = Addresses {
        microsoft,
        tls: config.tls,
        hec: receivers.hec_address(),
        hec_tls: config.hec_tls,
        syslog_udp: receivers.syslog_udp_address(),
        syslog_tcp: receivers.syslog_tcp_address(),
        syslog_tls: receivers.syslog_tls_address(),
    };
    let secret = config.secret.clone().unwrap_or_else(|| {
        let letters = secret_from(config.seed, 2).base64(27).replace(['+', '/'], "_");
        format!("emu8Q~{letters}")
    });
    let updates = UpdatePolicy {
        share: config.update_share.unwrap_or(if config.rate.is_some() { 0.1 } else { 0.0 }),
        after: config.update_after,
    };
    let making = config.clone();
    // A large world takes seconds: other tasks of the runtime go on meanwhile.
    let (world, skipped) = tokio::task::spawn_blocking(move || make_world(&making, updates))
        .await
        .map_err(|error| StartError::Keys(error.into()))??;
    let plan = identity::Plan {
        app_id: config.app_id.clone().unwrap_or_else(|| guid(1)),
        secret,
        password: config.password.clone().unwrap_or_else(|| {
            format!("Pw-{}", secret_from(config.seed, 4).base64(12).replace(['+', '/'], "x"))
        }),
        lifetime_seconds: i64::try_from(config.token_lifetime.as_secs()).unwrap_or(i64::MAX / 2),
        graph_roles: config.roles.clone(),
        redirect_uris: config.redirect_uris.clone(),
        consented: config.consented,
        graph_nonce: config.graph_nonce,
        credential_delay: config.credential_delay,
        seed: config.seed,
    };
    let identity = Identity::new(plan, &world).map_err(StartError::Keys)?;
    for app in config.apps.clone() {
        identity.register(&world, app)?;
    }
    let shared = Arc::new(Shared {
        world,
        identity,
        graph: Graph::new(config.quota_per_minute, config.seed),
        key_vaults: KeyVaults::new(config.seed),
        token_traffic: TokenTraffic::default(),
        token_delay_ms: AtomicU64::new(u64::try_from(config.token_delay.as_millis()).unwrap_or(u64::MAX)),
        faults: Faults::default(),
        receivers,
        tls: server_tls.filter(|_| config.tls),
        ca_file: config
            .ca_out
            .clone()
            .filter(|_| needs_tls)
            .map(|file| std::path::absolute(&file).unwrap_or(file)),
        ca_pem: certificates.map(|certificates| certificates.ca_pem),
        addresses,
        hec_token,
        updates,
        skipped,
        producing: AtomicBool::new(true),
        all_appeared: AtomicBool::new(false),
        requests: Default::default(),
        tasks: TaskTracker::new(),
        cancel: CancellationToken::new(),
    });
    shared.tasks.spawn(server::accept(Arc::clone(&shared), listener));
    let rate = config.rate.filter(|_| config.records.is_none());
    shared.all_appeared.store(rate.is_none(), Ordering::Release);
    shared.tasks.spawn(Arc::clone(&shared).produce(config.alerts, rate));
    Ok(Handle { shared })
}

fn check(config: &Config) -> Result<(), StartError> {
    if config.tenants == 0 || config.tenants > 1_000_000 {
        return Err(StartError::Config("the number of tenants must be from 1 to 1,000,000"));
    }
    if config.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0 && rate <= 1e6)) {
        return Err(StartError::Config("the rate must be above 0 and at most 1,000,000 a second"));
    }
    if config.update_share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return Err(StartError::Config("the share of updates must be from 0 to 1"));
    }
    Ok(())
}

fn make_world(config: &Config, updates: UpdatePolicy) -> Result<(World, Vec<records::Skipped>), StartError> {
    let world = World::new(config.seed, config.tenants, config.large_one_in, Arc::clone(&config.clock));
    let mut skipped = Vec::new();
    if let Some(folder) = &config.records {
        let mut recordings =
            records::read(folder).map_err(|source| StartError::Records { folder: folder.clone(), source })?;
        skipped = std::mem::take(&mut recordings.skipped);
        for skipped in &skipped {
            tracing::warn!(file = %skipped.file.display(), values = skipped.values, reason = skipped.reason, "not served");
        }
        let (alerts, incidents) = world.serve_records(recordings);
        tracing::info!(
            alerts,
            incidents,
            skipped = skipped.len(),
            "recordings are served to the first tenant"
        );
    } else if config.rate.is_none() {
        world.populate(config.alerts.unwrap_or(0), config.history, updates);
    }
    if config.write_bodies_at_start {
        world.write_bodies();
    }
    Ok((world, skipped))
}

async fn start_receivers(
    config: &Config,
    hec_token: &str,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<Receivers, StartReceiverError> {
    let hec = config.hec.map(|listen| HecConfig {
        listen,
        token: hec_token.to_owned(),
        acknowledge: config.hec_acknowledge,
        tls: tls.clone().filter(|_| config.hec_tls),
    });
    let syslog =
        SyslogConfig { udp: config.syslog_udp, tcp: config.syslog_tcp, tls: config.syslog_tls.zip(tls) };
    Receivers::start(ReceiversConfig { hec, syslog: Some(syslog) }).await
}

impl Handle {
    /// Where everything listens.
    pub fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }

    /// Scheme, host and port of login and Graph.
    pub fn base_url(&self) -> String {
        self.shared.addresses.base_url()
    }

    /// The app's id.
    pub fn app_id(&self) -> &str {
        &self.shared.identity.app_id
    }

    /// The app's secret.
    pub fn secret(&self) -> &str {
        &self.shared.identity.secret
    }

    /// The provider's own tenant, where its apps are registered. It is none of [`Handle::tenants`].
    pub fn provider(&self) -> Tenant {
        Tenant::from(self.shared.world.facts(self.shared.world.provider()))
    }

    /// The password of an account. Every tenant has `admin@`, a Global Administrator, `analyst@`, a Security Reader,
    /// and `user@`, who has no role.
    ///
    /// # Errors
    ///
    /// If there is no such account.
    pub fn password(&self, account: &str) -> Result<String, RequestError> {
        self.shared.identity.password_of(&self.shared.world, account)
    }

    /// Registers an app; gives its id.
    ///
    /// # Errors
    ///
    /// If its home is no tenant, a permission or a time cannot be read, or the certificate is none.
    pub fn register_app(&self, registration: AppRegistration) -> Result<String, RequestError> {
        self.shared.identity.register(&self.shared.world, registration)
    }

    /// Changes the directory: accounts, apps, consent, credentials, keys.
    ///
    /// # Errors
    ///
    /// If the change names something that is not there.
    pub fn change(&self, change: DirectoryChange) -> Result<(), RequestError> {
        self.shared.identity.change(&self.shared.world, change)
    }

    /// Goes through the pages of an address as a person in a browser does: signs in, consents if asked (or declines),
    /// and gives the address that the application is called back at.
    ///
    /// # Errors
    ///
    /// If the walk ends on a page; the error has what it says.
    pub fn sign_in(&self, address: &str, account: &str, consent: bool) -> Result<String, RequestError> {
        let password = self.password(account)?;
        crate::identity::walk::walk(&self.shared, address, account, &password, consent)
    }

    /// Sets a secret of a key vault: a new version of it.
    pub fn set_vault_secret(&self, vault: &str, name: &str, value: &str) {
        let now = self.shared.world.now();
        self.shared.key_vaults.set(vault, name, value.to_owned(), None, now);
    }

    /// The newest value of a key vault's secret.
    pub fn vault_secret(&self, vault: &str, name: &str) -> Option<String> {
        self.shared.key_vaults.newest(vault, name)
    }

    /// Lets a client (by its id) use a key vault, or not; at first all of the provider's tenant may.
    pub fn allow_vault(&self, vault: &str, client: &str, allowed: bool) {
        self.shared.key_vaults.allow(vault, client, allowed);
    }

    /// Requests of the token endpoint until now, by tenant, client and resource, with the most that were in flight at
    /// a time.
    pub fn token_requests(&self) -> Vec<TokenRequests> {
        self.shared.token_traffic.list()
    }

    /// Every secret that was handed out until now, the newest last: codes, access, refresh and identity tokens, device
    /// codes, secrets of apps. A test looks for them where they must not be.
    pub fn issued_secrets(&self) -> Vec<String> {
        self.shared.identity.issued()
    }

    /// How long every answer of the token endpoint takes from now on.
    pub fn set_token_delay(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.token_delay_ms.store(milliseconds, Ordering::Release);
    }

    /// The machine's own identities (client id, object id, resource id); the first is the one it has by itself.
    pub fn managed_identities(&self) -> Vec<(String, String, String)> {
        let own = |(client, object, resource): (&str, &str, &str)| {
            (client.to_owned(), object.to_owned(), resource.to_owned())
        };
        self.shared.identity.managed_identities().map(own).collect()
    }

    /// What App Service hands to its programs as `IDENTITY_HEADER`; its `IDENTITY_ENDPOINT` is `/msi/token` here.
    pub fn identity_header(&self) -> &str {
        &self.shared.identity.identity_header
    }

    /// The token of the HTTP Event Collector.
    pub fn hec_token(&self) -> &str {
        &self.shared.hec_token
    }

    /// All tenants, the first first.
    pub fn tenants(&self) -> Vec<Tenant> {
        self.shared.world.all_facts().map(Tenant::from).collect()
    }

    /// The CA's certificate, if anything here speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.shared.ca_pem.as_deref()
    }

    /// All that settings of a client need, as the control API tells it.
    pub fn client_config(&self) -> ClientConfig {
        control::client_config(&self.shared)
    }

    /// What of a folder of recordings is not served, and why.
    pub fn skipped_records(&self) -> &[records::Skipped] {
        &self.shared.skipped
    }

    /// The receivers, for what has no method here.
    pub fn receivers(&self) -> &Receivers {
        &self.shared.receivers
    }

    /// Lets something go wrong from now on.
    ///
    /// # Errors
    ///
    /// If there is no such tenant, or the fault means nothing in its area.
    pub fn add_fault(&self, fault: Fault) -> Result<(), RequestError> {
        self.shared.add_fault(fault)
    }

    /// Lets all go right again, receivers included.
    pub fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// Faults in force on the Microsoft side, with what is left of their counts.
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.faults.list()
    }

    /// Every version of every alert and incident that was ever visible, in order.
    pub fn produced(&self) -> Vec<Produced> {
        self.shared.world.produced()
    }

    /// How much was produced until now.
    pub fn produced_counts(&self) -> ProducedCounts {
        self.shared.world.produced_counts()
    }

    /// Whether all alerts that were to appear did, and no update is to come.
    pub fn production_finished(&self) -> bool {
        self.shared.finished()
    }

    /// Compares what the receivers saw with what was produced.
    pub fn tally(&self) -> Tally {
        self.shared.tally()
    }

    /// Compares a file (and its rotated siblings) with what was produced.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn tally_file(&self, path: &Path) -> std::io::Result<ReceiverTally> {
        tally_file(path, &self.shared.world.produced())
    }

    /// Lets new alerts of a tenant appear now; gives their ids. The title, if given, replaces the made-up one.
    ///
    /// # Errors
    ///
    /// If there is no such tenant.
    pub fn add_alerts(
        &self,
        tenant: &str,
        count: usize,
        title: Option<&str>,
    ) -> Result<Vec<String>, RequestError> {
        Ok(self.shared.world.add_alerts(self.shared.tenant(tenant)?, count, title))
    }

    /// Adds records written as attackers and accidents write them; gives the ids of those that have one.
    ///
    /// # Errors
    ///
    /// If there is no such tenant.
    pub fn add_hostile_records(&self, tenant: &str) -> Result<Vec<String>, RequestError> {
        Ok(self.shared.world.add_hostile(self.shared.tenant(tenant)?))
    }

    /// Makes a new version of an alert now.
    ///
    /// # Errors
    ///
    /// If there is no such tenant or alert, or the alert comes from a file.
    pub fn update_alert(&self, tenant: &str, id: &str) -> Result<(), RequestError> {
        let found = self.shared.tenant(tenant)?;
        if self.shared.world.update_alert(found, id) {
            return Ok(());
        }
        Err(RequestError::UnknownAlert { tenant: tenant.to_owned(), id: id.to_owned() })
    }

    /// Holds production over time, and updates.
    pub fn pause(&self) {
        self.shared.producing.store(false, Ordering::Release);
    }

    /// Goes on with production.
    pub fn resume(&self) {
        self.shared.producing.store(true, Ordering::Release);
    }

    /// Requests until now, by area, tenant and status.
    pub fn requests(&self) -> Vec<RequestCount> {
        self.shared.request_counts()
    }

    /// Waits until the emulator is told to stop, over the control API or otherwise.
    pub async fn stopped(&self) {
        self.shared.cancel.cancelled().await;
    }

    /// Ends all connections and listeners, and waits until that is done.
    pub async fn stop(self) {
        self.shared.cancel.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let shared = Arc::clone(&self.shared);
        drop(self);
        if let Some(shared) = Arc::into_inner(shared) {
            shared.receivers.stop().await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}
