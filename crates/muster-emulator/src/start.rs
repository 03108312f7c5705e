//! Starting an emulator.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client_config::Addresses;
use crate::config::Config;
use crate::errors::StartError;
use crate::graph::api::GraphApi;
use crate::handle::Handle;
use crate::http::call::Call;
use crate::http::tls;
use crate::identity::platform::{Identity, IdentityConfig};
use crate::identity::resources::MONITOR_APP_ID;
use crate::identity::traffic::TokenTraffic;
use crate::key_vault::KeyVaults;
use crate::receivers::{HecConfig, Receivers, ReceiversConfig, StartReceiverError, SyslogConfig};
use crate::routes;
use crate::shared::Shared;
use crate::streaming::StreamFolder;
use crate::world::records;
use crate::world::tenants::{UpdatePolicy, World, secret_from};

/// Starts an emulator; when it returns, everything listens.
///
/// # Errors
///
/// If an address cannot be listened on, the recordings cannot be read, or the configuration makes no sense.
pub async fn start(config: Config) -> Result<Handle, StartError> {
    check(&config)?;
    let listener = listen(config.listen).await?;
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
        ingest: receivers.ingest_address(),
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
    let identity = IdentityConfig {
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
    let identity = Identity::new(identity, &world).map_err(StartError::Keys)?;
    for app in config.apps.clone() {
        identity.register(&world, app)?;
    }
    let shared = Arc::new(Shared {
        api: GraphApi::of(world, config.quota_per_minute, config.seed, config.strict),
        identity,
        key_vaults: KeyVaults::new(config.seed),
        token_traffic: TokenTraffic::default(),
        token_delay_ms: AtomicU64::new(u64::try_from(config.token_delay.as_millis()).unwrap_or(u64::MAX)),
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
        noted: Default::default(),
        tasks: TaskTracker::new(),
        cancel: CancellationToken::new(),
    });
    check_ingest_tokens(&shared);
    shared.tasks.spawn(routes::serve(Arc::clone(&shared), listener));
    let rate = config.rate.filter(|_| config.records.is_none());
    shared.all_appeared.store(rate.is_none(), Ordering::Release);
    shared.tasks.spawn(Arc::clone(&shared).produce(config.alerts, rate));
    if let Some(folder) = &config.stream {
        shared.tasks.spawn(stream(Arc::clone(&shared), StreamFolder::new(folder)));
    }
    Ok(Handle { shared })
}

/// Streams what is made, every second.
async fn stream(shared: Arc<Shared>, mut folder: StreamFolder) {
    loop {
        let of = Arc::clone(&shared);
        let written = tokio::task::spawn_blocking(move || {
            let written = folder.write(&of.api);
            (folder, written)
        });
        let Ok((again, written)) = written.await else { return };
        folder = again;
        if let Err(error) = written {
            tracing::error!(%error, "the streamed tables cannot be written");
        }
        let pause = tokio::time::sleep(std::time::Duration::from_secs(1));
        if shared.cancel.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// The rule of Azure Monitor takes tokens of the provider's tenant for its own address.
fn check_ingest_tokens(shared: &Arc<Shared>) {
    let directory = Arc::downgrade(shared);
    shared.receivers.check_ingest_tokens(move |headers| {
        let Some(shared) = directory.upgrade() else { return Err("the emulator ends".to_owned()) };
        let world = &shared.api.world;
        let call = Call {
            method: &hyper::Method::POST,
            path: "",
            query: "",
            headers,
            body: bytes::Bytes::new(),
            base: "https://monitor.azure.com",
        };
        match shared.identity.check(world, &call, MONITOR_APP_ID) {
            Ok((_, tenant)) if tenant == world.provider() => Ok(()),
            Ok(_) => Err("The token is of another tenant than the subscription's.".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    });
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
    let world = World::new(config.seed, config.tenants, config.large_one_in, Arc::clone(&config.clock))
        .with_kinds(config.kinds.clone());
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
    Receivers::start(ReceiversConfig { hec, syslog: Some(syslog), ingest: config.ingest }).await
}

/// Listens, or says in words why not.
async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { address },
        _ => StartError::Listen { address, source },
    })
}
