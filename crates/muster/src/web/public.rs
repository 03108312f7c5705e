//! The public listeners: customers' pages, and the pull API, each on an address, a thread and descriptors of its own, so that
//! whatever strangers do there, collecting and delivering go on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use muster_model::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::listener::{self, Bounds, CertificateFiles, Certificates, Visitors};
use super::onboarding::{self, OnboardingHandle};
use super::pull_api::{self, PullHandle};
use super::server;
use crate::config::{AddressRange, Settings};

/// How long the end of connections is waited for when the program ends.
const GRACE: Duration = Duration::from_secs(2);

/// Serves something for strangers as the settings want it: customers' pages, or the pull API.
pub struct PublicListener {
    what: What,
    clock: Arc<dyn Clock>,
    connections_max: usize,
    running: Option<Running>,
}

/// What is served.
#[derive(Clone)]
enum What {
    Pages(OnboardingHandle),
    PullApi(PullHandle),
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
    wanted_pages(settings)?.files
}

/// Where that of the pull API lies, if it has one.
pub fn pull_certificate_files(settings: &Settings) -> Option<CertificateFiles> {
    wanted_pull_api(settings)?.files
}

fn wanted_pages(settings: &Settings) -> Option<Wanted> {
    let onboarding = settings.onboarding.as_ref()?;
    let (certificate, key) = (onboarding.certificate_file.as_ref(), onboarding.key_file.as_ref());
    let files = files(settings, certificate, key, &onboarding.public_url);
    Some(Wanted { listen: onboarding.listen, files, trusted: onboarding.trusted_proxies.clone() })
}

fn wanted_pull_api(settings: &Settings) -> Option<Wanted> {
    let pull_api = settings.pull_api.as_ref()?;
    let (certificate, key) = (pull_api.certificate_file.as_ref(), pull_api.key_file.as_ref());
    let files = files(settings, certificate, key, &pull_api.public_url);
    Some(Wanted { listen: pull_api.listen, files, trusted: pull_api.trusted_proxies.clone() })
}

fn files(
    settings: &Settings,
    certificate: Option<&PathBuf>,
    key: Option<&PathBuf>,
    public_url: &Url,
) -> Option<CertificateFiles> {
    Some(CertificateFiles {
        certificate: settings.path(certificate?),
        key: settings.path(key?),
        host: public_url.host_str().unwrap_or_default().to_owned(),
    })
}

impl What {
    fn wanted(&self, settings: &Settings) -> Option<Wanted> {
        match self {
            Self::Pages(_) => wanted_pages(settings),
            Self::PullApi(_) => wanted_pull_api(settings),
        }
    }

    fn router(&self) -> axum::Router {
        match self {
            Self::Pages(handle) => onboarding::routes(handle.clone()),
            Self::PullApi(handle) => pull_api::routes(handle.clone()),
        }
    }

    /// The section that names its address, what it is called in metrics and log, and its thread.
    fn names(&self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Pages(_) => ("onboarding", "public", "customers' pages", "public-pages"),
            Self::PullApi(_) => ("pull_api", "pull_api", "the pull API", "pull-api"),
        }
    }
}

impl PublicListener {
    /// Serves no pages yet.
    pub fn of_pages(handle: OnboardingHandle, clock: Arc<dyn Clock>, connections_max: usize) -> Self {
        Self { what: What::Pages(handle), clock, connections_max, running: None }
    }

    /// Serves no API yet.
    pub fn of_pull_api(handle: PullHandle, clock: Arc<dyn Clock>, connections_max: usize) -> Self {
        Self { what: What::PullApi(handle), clock, connections_max, running: None }
    }

    /// Serves as these settings want it from now on. Connections that are open end by themselves.
    ///
    /// # Errors
    /// When the address cannot be bound; then all stays as it was.
    pub async fn update(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let wanted = self.what.wanted(settings);
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
        let (section, name, said, thread) = self.what.names();
        let same = self.running.as_ref().filter(|running| running.wanted.listen == wanted.listen);
        let listener = match same {
            Some(running) => running.listener.try_clone().context("share the listener")?,
            None => server::bind(wanted.listen, section).await?.into_std()?,
        };
        let address = listener.local_addr()?;
        let certificates =
            wanted.files.clone().map(|files| Certificates::open(files, Arc::clone(&self.clock)));
        let visitors = Visitors::new(name, Bounds::public(self.connections_max), wanted.trusted.clone());
        let stop = CancellationToken::new();
        let router = self.what.router();
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
        std::thread::Builder::new().name(thread.to_owned()).spawn(move || {
            // Told even when it panics.
            let _at_end = at_end;
            after_the_main_job();
            if let Err(error) = runtime.block_on(serving.run()) {
                tracing::error!(%error, "{said} cannot be served");
            }
        })?;
        tracing::info!(
            %address, tls = certificates.is_some(), connections = self.connections_max, "serving {said}"
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
