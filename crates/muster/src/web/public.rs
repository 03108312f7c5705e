//! The public listener: customers' pages on an address, a thread and descriptors of their own, so that whatever strangers
//! do there, collecting and delivering go on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use muster_model::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::listener::{self, Bounds, CertificateFiles, Certificates, Visitors};
use super::onboarding::{self, OnboardingHandle};
use super::server;
use crate::config::{AddressRange, Settings};

/// How long the end of connections is waited for when the program ends.
const GRACE: Duration = Duration::from_secs(2);

/// Serves customers' pages as the settings want it.
pub struct PublicListener {
    handle: OnboardingHandle,
    clock: Arc<dyn Clock>,
    connections_max: usize,
    running: Option<Running>,
}

struct Running {
    wanted: Wanted,
    /// Kept, so that another thread can go on with it.
    listener: std::net::TcpListener,
    certificates: Option<Arc<Certificates>>,
    stop: CancellationToken,
    ended: CancellationToken,
}

/// What the settings say of it.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    listen: SocketAddr,
    files: Option<CertificateFiles>,
    trusted: Vec<AddressRange>,
}

/// Where the certificate of the pages lies, if they have one.
pub fn certificate_files(settings: &Settings) -> Option<CertificateFiles> {
    let onboarding = settings.onboarding.as_ref()?;
    Some(CertificateFiles {
        certificate: settings.path(onboarding.certificate_file.as_ref()?),
        key: settings.path(onboarding.key_file.as_ref()?),
        host: onboarding.public_url.host_str().unwrap_or_default().to_owned(),
    })
}

impl PublicListener {
    /// Serves nothing yet.
    pub fn new(handle: OnboardingHandle, clock: Arc<dyn Clock>, connections_max: usize) -> Self {
        Self { handle, clock, connections_max, running: None }
    }

    /// Serves as these settings want it from now on. Connections that are open end by themselves.
    ///
    /// # Errors
    /// When the address cannot be bound; then all stays as it was.
    pub async fn update(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let wanted = settings.onboarding.as_ref().map(|onboarding| Wanted {
            listen: onboarding.listen,
            files: certificate_files(settings),
            trusted: onboarding.trusted_proxies.clone(),
        });
        if self.running.as_ref().map(|running| &running.wanted) == wanted.as_ref() {
            return Ok(());
        }
        let started = match wanted {
            Some(wanted) => Some(self.start(wanted).await?),
            None => None,
        };
        if let Some(old) = std::mem::replace(&mut self.running, started) {
            old.stop.cancel();
        }
        Ok(())
    }

    /// Reads the certificate's files, as at SIGHUP.
    pub fn read_certificate_again(&self) {
        if let Some(certificates) = self.running.as_ref().and_then(|running| running.certificates.as_ref()) {
            certificates.read_again();
        }
    }

    /// Returns when it ended by itself, which it does not.
    pub async fn ended(&self) {
        match &self.running {
            Some(running) => running.ended.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Stops, and waits a moment for what is under way.
    pub async fn stop(self) {
        if let Some(running) = self.running {
            running.stop.cancel();
            tokio::time::timeout(GRACE, running.ended.cancelled()).await.ok();
        }
    }

    async fn start(&self, wanted: Wanted) -> anyhow::Result<Running> {
        let same = self.running.as_ref().filter(|running| running.wanted.listen == wanted.listen);
        let listener = match same {
            Some(running) => running.listener.try_clone().context("share the listener")?,
            None => server::bind(wanted.listen, "onboarding").await?.into_std()?,
        };
        let address = listener.local_addr()?;
        let certificates =
            wanted.files.clone().map(|files| Certificates::open(files, Arc::clone(&self.clock)));
        let visitors = Visitors::new("public", Bounds::public(self.connections_max), wanted.trusted.clone());
        let stop = CancellationToken::new();
        let router = onboarding::routes(self.handle.clone());
        let serving = Serving {
            listener: listener.try_clone().context("share the listener")?,
            certificates: certificates.clone(),
            router,
            visitors,
            stop: stop.clone(),
        };
        let ended = CancellationToken::new();
        let at_end = ended.clone().drop_guard();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("public-pages".to_owned()).spawn(move || {
            // Told even when it panics.
            let _at_end = at_end;
            after_the_main_job();
            if let Err(error) = runtime.block_on(serving.run()) {
                tracing::error!(%error, "customers' pages cannot be served");
            }
        })?;
        tracing::info!(
            %address, tls = certificates.is_some(), connections = self.connections_max,
            "serving customers' pages"
        );
        Ok(Running { wanted, listener, certificates, stop, ended })
    }
}

struct Serving {
    listener: std::net::TcpListener,
    certificates: Option<Arc<Certificates>>,
    router: axum::Router,
    visitors: Arc<Visitors>,
    stop: CancellationToken,
}

impl Serving {
    async fn run(self) -> std::io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let (certificates, stop) = (self.certificates.clone(), self.stop.clone());
        let look_after = async {
            if let Some(certificates) = &certificates {
                certificates.run(stop).await;
            }
        };
        let serve =
            listener::serve(listener, self.certificates, self.router, self.visitors, self.stop.clone());
        tokio::join!(look_after, serve);
        Ok(())
    }
}

/// On Linux this is of the calling thread alone. Where it is refused, the thread is one among equals.
#[cfg(target_os = "linux")]
fn after_the_main_job() {
    rustix::process::setpriority_process(None, 5).ok();
}

#[cfg(not(target_os = "linux"))]
fn after_the_main_job() {}
