//! How it starts, reloads and stops.
//!
//! Start: settings, store (this process takes over every lease that an earlier one left), sinks, then workers.
//!
//! Stop, in two stages. At the first SIGTERM or SIGINT nothing new is begun: pages under way are accepted, delivery batches
//! under way are answered for. At the second signal, or after [`GRACE`], what still runs is dropped; that is as safe
//! as being killed, which is always safe.
//!
//! Reload, at SIGHUP: the settings are read again. When they are right, collecting and delivering stop as above and
//! start again with them; when they are not, the mistakes are logged and everything goes on as before.
//!
//! A task that ends by itself is a fault: the program stops, and says which.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use muster_http::ClientOptions;
use muster_microsoft::entra::grant::GrantKeeper;
use muster_microsoft::{Microsoft, MicrosoftOptions};
use muster_model::{Clock, SystemClock};
use muster_siem::sinks::Sink;
use muster_store::{InstanceId, KeyRing, NewAuditEvent, OpenMode, SqliteStore, Store, StoreError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::access::apps::{Apps, AppsError};
use crate::access::grants::StoreGrants;
use crate::access::onboard::Onboarding;
use crate::access::vault;
use crate::access::watch::{Told, Watcher};
use crate::collect::{Collector, Habits};
use crate::commands::Context;
use crate::config::{SecretReference, Settings};
use crate::deliver::Deliverer;
use crate::exit_code::{Exit, Failed};
use crate::routing::Router;
use crate::shown::telemetry;
use crate::web;
use crate::web::onboarding::Door;

/// How long the first stage of stopping may take.
const GRACE: Duration = Duration::from_secs(30);
/// How often delivered batches are looked through for ones to forget.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// The way to Microsoft that the settings describe. With `grants`, apps may read in a person's name.
///
/// # Errors
/// When the cloud, the proxy or the CA file cannot be used.
pub fn microsoft(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    grants: Option<Arc<dyn GrantKeeper>>,
) -> anyhow::Result<Microsoft> {
    let network = &settings.network;
    let extra_roots_pem = match &settings.cloud.ca_file {
        None => None,
        Some(file) => {
            let file = settings.path(file);
            Some(
                std::fs::read(&file)
                    .with_context(|| format!("[cloud] ca_file {} cannot be read", file.display()))?,
            )
        }
    };
    let client = ClientOptions {
        connect_timeout: network.connect_timeout.0,
        idle_timeout: network.idle_timeout.0,
        total_timeout: network.total_timeout.0,
        extra_roots_pem,
        proxy: network.proxy().map_err(anyhow::Error::msg)?,
        ..ClientOptions::default()
    };
    let options = MicrosoftOptions {
        cloud: settings.cloud.cloud()?,
        client,
        requests_per_minute: settings.collect.requests_per_minute,
        grants,
        continuous_access: settings.cloud.continuous_access,
    };
    Ok(Microsoft::new(options, clock)?)
}

/// The way to Microsoft of a command, with the grants of its store.
///
/// # Errors
/// When the cloud, the proxy or the CA file cannot be used.
pub(crate) fn microsoft_of(context: &Context) -> Result<Microsoft, Failed> {
    let (store, clock) = (Arc::clone(&context.store), Arc::clone(&context.clock));
    let grants = StoreGrants::new(store, InstanceId(Uuid::new_v4()), Arc::clone(&clock));
    microsoft(&context.settings, clock, Some(Arc::new(grants)))
        .map_err(|error| Failed { exit: Exit::Settings, error })
}

/// The apps of the settings, with their credentials.
///
/// # Errors
/// When a credential cannot be had.
pub async fn apps(settings: &Settings, store: &Arc<dyn Store>) -> Result<Apps, Failed> {
    Apps::load(settings, store).await.map_err(|error| match error {
        AppsError::Store(error) => error.into(),
        other => Failed::new(Exit::Settings, other),
    })
}

/// Opens the store that the settings name.
///
/// # Errors
/// When there is none yet, or the master key or the database cannot be used.
pub async fn open_store(settings: &Settings, mode: OpenMode) -> Result<Arc<dyn Store>, Failed> {
    let (reference, folder) = (settings.store.master_key.clone(), settings.folder.clone());
    let keys = key_ring(settings)?;
    let path = settings.path(&settings.store.path);
    if !path.exists() {
        let message = format!("there is no store at {}; `muster init` makes one", path.display());
        return Err(Failed::say(Exit::Store, message));
    }
    let store = match SqliteStore::open(&path, mode, &keys).await {
        // Another process may have rotated the master key since it was read.
        Err(StoreError::WrongMasterKey { .. }) => {
            SqliteStore::open(&path, mode, &key_ring(settings)?).await?
        }
        opened => opened?,
    };
    let read = move || read_keys(&reference, &folder).map_err(Into::into);
    Ok(Arc::new(store.rereading_keys(Arc::new(read))))
}

/// The master keys at hand: more than one only while a rotation is under way.
pub(crate) fn key_ring(settings: &Settings) -> Result<KeyRing, Failed> {
    read_keys(&settings.store.master_key, &settings.folder)
        .map_err(|error| Failed { exit: Exit::Settings, error })
}

fn read_keys(reference: &SecretReference, folder: &Path) -> anyhow::Result<KeyRing> {
    Ok(match reference {
        // The file's mode is checked too.
        SecretReference::File(file) => KeyRing::read_file(&folder.join(file))?,
        other => KeyRing::from_base64(&other.read(folder)?)?,
    })
}

/// Reads the settings, and the secrets of theirs that lie in a Key Vault.
///
/// # Errors
/// With every mistake, or with the secret that cannot be had.
pub async fn read_settings(config: &Path, clock: &Arc<dyn Clock>) -> Result<Settings, Failed> {
    let settings = Settings::read(config)?;
    vault::fetch(&settings, clock).await.map_err(|error| Failed::new(Exit::Settings, error))?;
    Ok(settings)
}

/// Everything that collects and delivers, for one reading of the settings.
pub struct Engine {
    tasks: JoinSet<&'static str>,
    turns: TaskTracker,
    stop: CancellationToken,
    deliverers: Vec<Arc<Deliverer>>,
    onboarding: Option<Arc<Onboarding>>,
}

impl Engine {
    /// Opens the sinks and starts the workers.
    ///
    /// # Errors
    /// When a sink cannot be opened, or an app's secret cannot be had.
    pub async fn start(
        settings: &Settings,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        instance: InstanceId,
    ) -> Result<Self, Failed> {
        let grants = StoreGrants::new(Arc::clone(store), instance, Arc::clone(clock));
        let microsoft = microsoft(settings, Arc::clone(clock), Some(Arc::new(grants)))
            .map_err(|error| Failed { exit: Exit::Settings, error })?;
        let microsoft = Arc::new(microsoft);
        let apps = apps(settings, store).await?;
        let sinks = open_sinks(settings, store.journal_id(), clock)?;
        let accepted = Arc::new(Notify::new());
        let told = Arc::new(Told::default());
        let collector = Arc::new(Collector {
            store: Arc::clone(store),
            microsoft: Arc::clone(&microsoft),
            apps: apps.clone(),
            router: Router::new(settings.routes.clone()),
            settings: settings.collect.clone(),
            clock: Arc::clone(clock),
            instance,
            accepted: Arc::clone(&accepted),
            habits: Habits::default(),
            told: Arc::clone(&told),
        });
        let watcher = Watcher {
            store: Arc::clone(store),
            microsoft: Arc::clone(&microsoft),
            apps: apps.clone(),
            clock: Arc::clone(clock),
            told,
        };
        let (mut tasks, turns, stop) = (JoinSet::new(), TaskTracker::new(), CancellationToken::new());
        let (tracker, token) = (turns.clone(), stop.clone());
        tasks.spawn(async move {
            collector.run(tracker, token).await;
            "collector"
        });
        let token = stop.clone();
        tasks.spawn(async move {
            watcher.run(token).await;
            "watcher of access"
        });
        let onboarding = settings.onboarding.clone().map(|onboarding| {
            let (store, microsoft, clock) = (Arc::clone(store), Arc::clone(&microsoft), Arc::clone(clock));
            Arc::new(Onboarding::new(store, microsoft, apps.clone(), onboarding, clock))
        });
        if let Some(onboarding) = &onboarding {
            let (onboarding, token) = (Arc::clone(onboarding), stop.clone());
            tasks.spawn(async move {
                onboarding.run(token).await;
                "checking of consents"
            });
        }
        let mut deliverers = Vec::new();
        for (name, sink) in sinks {
            let workers = settings.sinks.get(&name).map_or(1, crate::config::SinkSettings::concurrency);
            let deliverer = Arc::new(Deliverer {
                store: Arc::clone(store),
                name,
                sink,
                clock: Arc::clone(clock),
                instance,
                accepted: Arc::clone(&accepted),
            });
            for _ in 0..workers {
                let (deliverer, token) = (Arc::clone(&deliverer), stop.clone());
                tasks.spawn(async move {
                    deliverer.run(token).await;
                    "delivery worker"
                });
            }
            deliverers.push(deliverer);
        }
        let (store, clock, keep, token) =
            (Arc::clone(store), Arc::clone(clock), settings.store.keep_journal.0, stop.clone());
        tasks.spawn(async move {
            prune(store, clock, keep, token).await;
            "journal pruning"
        });
        Ok(Self { tasks, turns, stop, deliverers, onboarding })
    }

    /// What customers' pages lead to; `None` where the settings name none.
    #[must_use]
    pub fn onboarding(&self) -> Option<Arc<Onboarding>> {
        self.onboarding.clone()
    }

    /// Waits until a task ends, which none does before it is told to: the name of the one that did, or its panic.
    pub async fn failure(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(name)) => format!("the {name} ended by itself"),
            Some(Err(error)) => format!("a task failed: {error}"),
            None => "there is no task".to_owned(),
        }
    }

    /// The first stage of stopping; `hurry` ends it early.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) {
        self.stop.cancel();
        let ended = async {
            while self.tasks.join_next().await.is_some() {}
            self.turns.close();
            self.turns.wait().await;
            for deliverer in &self.deliverers {
                deliverer.sink.close().await;
            }
        };
        tokio::select! {
            () = ended => tracing::info!("all work under way is done"),
            () = tokio::time::sleep(GRACE) => tracing::warn!("some work took too long and was dropped; it will be done again"),
            () = hurry => tracing::warn!("stopped at once; work under way was dropped and will be done again"),
        }
    }
}

fn open_sinks(
    settings: &Settings,
    journal_id: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<(String, Sink)>, Failed> {
    let mut sinks = Vec::new();
    for (name, sink) in &settings.sinks {
        let opened =
            sink.open(name, &settings.folder, &settings.network, Some(journal_id), Arc::clone(clock));
        sinks.push((name.clone(), opened.map_err(|error| Failed::say(Exit::Settings, error))?));
    }
    Ok(sinks)
}

/// Writes into the audit log which settings are used from now on: their hash and names, never a secret.
async fn settings_loaded(
    store: &Arc<dyn Store>,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<(), Failed> {
    let event = NewAuditEvent {
        actor: crate::audit::actor(),
        action: "settings.loaded".to_owned(),
        subject: settings.folder.display().to_string(),
        details: serde_json::json!({
            "fingerprint": settings.fingerprint,
            "apps": settings.apps.keys().collect::<Vec<_>>(),
            "sinks": settings.sinks.keys().collect::<Vec<_>>(),
            "routes": settings.routes.len(),
            "version": env!("CARGO_PKG_VERSION"),
        }),
    };
    store.append_audit(event, clock.now()).await?;
    Ok(())
}

async fn prune(store: Arc<dyn Store>, clock: Arc<dyn Clock>, keep: Duration, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PRUNE_EVERY)).await.is_some() {
        let before = clock.now().checked_sub(keep).unwrap_or(jiff::Timestamp::MIN);
        match store.prune_journal(before).await {
            Ok(0) => {}
            Ok(batches) => tracing::info!(batches, "forgot delivered batches of the journal"),
            Err(error) => tracing::warn!(error = %error, "cannot prune the journal"),
        }
    }
}

/// Runs until told to stop.
///
/// # Errors
/// When something needed to start cannot be had, or a task fails.
pub async fn run(config: &Path, mut settings: Settings) -> Result<Exit, Failed> {
    let metrics = telemetry::metrics();
    // Signals first: one that comes during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let listener = match settings.server.listen {
        Some(address) => Some(web::bind(address).await?),
        None => None,
    };
    let store = open_store(&settings, OpenMode::Exclusive).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut instance = InstanceId(Uuid::new_v4());
    store.take_over(instance, clock.now()).await?;
    let door = Door::default();
    let web_stop = CancellationToken::new();
    let mut web = JoinSet::new();
    if let Some(listener) = listener {
        let address = listener.local_addr()?;
        let (store, clock, door) = (Arc::clone(&store), Arc::clone(&clock), door.clone());
        let pages = web::Pages { store, metrics, clock, door };
        web.spawn(web::serve(listener, pages, web_stop.clone()));
        tracing::info!(%address, "serving health and metrics");
    }
    let mut engine = Engine::start(&settings, &store, &clock, instance).await?;
    door.lead_to(engine.onboarding());
    if settings.onboarding.is_some() && settings.server.listen.is_none() {
        tracing::warn!("[onboarding] is set, but [server] listen is not: no page is served");
    }
    settings_loaded(&store, &settings, &clock).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        sinks = settings.sinks.len(),
        tenants = store.tenants().await?.len(),
        "running"
    );
    let ended = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(Exit::Success),
            _ = interrupt.recv() => break Ok(Exit::Success),
            failure = engine.failure() => break Err(Failed::say(Exit::Failure, failure)),
            () = store.ended() => break Err(Failed::say(Exit::Store, "the store's writer has failed; see the log")),
            Some(ended) = web.join_next() => {
                break Err(Failed::say(Exit::Failure, format!("the web server ended by itself: {ended:?}")));
            }
            _ = hang_up.recv() => match read_settings(config, &clock).await {
                Err(failed) => tracing::error!(mistakes = %failed.error, "the settings are not right; going on with the old ones"),
                Ok(new) => {
                    if new.store != settings.store || new.server.listen != settings.server.listen {
                        tracing::warn!("[store] and `listen` are only read at start; the rest is used now");
                    }
                    // What would keep the new settings from working is found before the old ones are let go.
                    if let Err(failed) = apps(&new, &store).await {
                        tracing::error!(error = %failed.error, "the new settings cannot be used; going on with the old ones");
                        continue;
                    }
                    engine.stop(std::future::pending()).await;
                    // Leases of work that was dropped are taken over at once.
                    instance = InstanceId(Uuid::new_v4());
                    if let Err(error) = store.take_over(instance, clock.now()).await {
                        store.close().await;
                        return Err(error.into());
                    }
                    engine = match Engine::start(&new, &store, &clock, instance).await {
                        Ok(engine) => {
                            settings = new;
                            if let Err(failed) = settings_loaded(&store, &settings, &clock).await {
                                tracing::error!(error = %failed.error, "cannot write the new settings into the audit log");
                            }
                            tracing::info!("running with the new settings");
                            engine
                        }
                        Err(failed) => {
                            tracing::error!(error = %failed.error, "the new settings cannot be used; going on with the old ones");
                            match Engine::start(&settings, &store, &clock, instance).await {
                                Ok(engine) => engine,
                                Err(failed) => {
                                    store.close().await;
                                    return Err(failed);
                                }
                            }
                        }
                    };
                    door.lead_to(engine.onboarding());
                }
            },
        }
    };
    tracing::info!("stopping; once more to stop at once");
    engine
        .stop(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    web_stop.cancel();
    store.close().await;
    ended
}
