//! How it starts, reloads and stops.
//!
//! Start: settings, store (this process takes over every lease that an earlier one left), sinks, then workers.
//!
//! Stop, in two stages. At the first SIGTERM or SIGINT nothing new is begun: pages under way are accepted, delivery batches
//! under way are answered for. At the second signal, or after [`GRACE`], what still runs is dropped; that is as safe
//! as being killed, which is always safe.
//!
//! Reload, at SIGHUP: the settings are read again. When they are right, and take down nothing that works, collecting and
//! delivering stop as above and start again with them; otherwise the reasons are logged and everything goes on as before.
//! What is only read at the start is logged key by key.
//!
//! Each of these is told to the service manager, where there is one ([`crate::service_manager`]).
//!
//! A task that ends by itself is a fault: the program stops, and says which.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_microsoft::Microsoft;
use muster_model::{Clock, TenantState};
use muster_store::{InstanceId, NewAuditEvent, OpenMode, Pruned, Restoration, Retention, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::access::apps::Apps;
use crate::access::onboard::Onboarding;
use crate::config::{Mistake, Mistakes, Settings};
use crate::deliver::Deliverer;
use crate::exit_code::{Exit, Failed};
use crate::heartbeat::Heart;
use crate::journal_bound::Keeper;
use crate::service_manager::{Due, Progress, ServiceManager};
use crate::shown::status::Expected;
use crate::shown::telemetry;
use crate::told::Told;
use crate::troubles::Troubles;
use crate::validation::{self, AtStart};
use crate::web::listener::descriptors;
use crate::web::onboarding::OnboardingHandle;
use crate::web::public::PublicListener;
use crate::web::pull_api::PullHandle;
use crate::web::server::{self, Served};
use crate::wiring::{Parts, fetch_secrets, notifier, open_store};
use crate::{outage, route_changes, route_gaps, unrouted};

/// So many changes of routes are told at a reload.
const ROUTE_CHANGES_MAX: usize = 20;

/// How long the first stage of stopping may take.
const GRACE: Duration = Duration::from_secs(30);
/// How often delivered batches are looked through for ones to forget.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How soon secrets of a vault that could not be had are fetched again.
const FETCH_AGAIN: Duration = Duration::from_secs(60);
/// What the service manager is told of a reload that changed nothing.
const OLD_SETTINGS: &str = "running with the old settings: the new ones are not right, see the log";
/// How often the store is marked as in use, while something is written.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// What a sweep reads again at most.
const SWEPT: Duration = Duration::from_secs(7 * 86_400);
/// How long the ledger is kept.
const KEEP_LEDGER: Duration = Duration::from_secs(90 * 86_400);

/// Runs until told to stop.
pub async fn run(config: &Path, mut settings: Settings, clock: Arc<dyn Clock>) -> Result<Exit, Failed> {
    let metrics = telemetry::metrics();
    // Signals first: one that comes during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let manager = ServiceManager::from_environment();
    manager.status("opening the store, and bringing it up to date where it is of an earlier version");
    let descriptors = descriptors::raise();
    let listener = match settings.server.listen {
        Some(address) => Some(server::bind(address, "server").await?),
        None => None,
    };
    let handle = OnboardingHandle::default();
    let mut pages = PublicListener::of_pages(handle.clone(), Arc::clone(&clock), descriptors.public);
    pages.update(&settings).await?;
    let pull = PullHandle::default();
    let mut pull_api = PublicListener::of_pull_api(pull.clone(), Arc::clone(&clock), descriptors.pull_api);
    pull_api.update(&settings).await?;
    let store = open_store(&settings, OpenMode::Exclusive).await?;
    // What is only read now stays in use, whatever a reload says.
    let at_start = AtStart::of(&settings);
    let instance = InstanceId(Uuid::new_v4());
    store.live(instance, clock.now()).await?;
    store.take_over(instance, clock.now()).await?;
    if let Some(restoration) = store.mark(&crate::audit::actor(), clock.now()).await? {
        tell(&restoration);
    }
    let heart = Heart::new(&store, &clock, instance);
    heart.beat().await?;
    let (expected, expects) = watch::channel(Expected::of(&settings));
    let web_stop = CancellationToken::new();
    let mut web = JoinSet::new();
    if let Some(listener) = listener {
        let address = listener.local_addr()?;
        let (pulse, expected) = (heart.pulse(), expects.clone());
        let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
        let served = Served { store, metrics, clock, pulse, expected };
        web.spawn(server::serve(listener, served, descriptors.health, web_stop.clone()));
        tracing::info!(%address, "serving health and metrics");
    }
    // Outlives a reload, which is no news of any trouble.
    let told = Arc::new(Told::default());
    let about = (&told, heart.troubles());
    let mut engine = Engine::start(&settings, &store, &clock, instance, about, None).await?;
    handle.set(engine.onboarding());
    pull.set(&settings, &store, &clock);
    settings_loaded(&store, &settings, &at_start, &clock).await?;
    // What was found to be down is told at once.
    heart.beat().await?;
    let (beats, beating) = (CancellationToken::new(), TaskTracker::new());
    let progress = Progress {
        store: Arc::clone(&store),
        clock: Arc::clone(&clock),
        pulse: heart.pulse(),
        expected: expects.clone(),
        due: Due::default(),
    };
    beating.spawn(heart.clone().run(expects, Arc::clone(&told), beats.clone()));
    let (living, tells, lives) = (heart.clone(), Arc::clone(&told), beats.clone());
    beating.spawn(async move { living.live(tells, lives).await });
    let status = tell_ready(&settings, &store).await?;
    route_gaps::warn(&settings, store.as_ref()).await?;
    manager.ready(&status);
    beating.spawn(manager.clone().watch(progress, beats.clone()));
    let ended = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(Exit::Success),
            _ = interrupt.recv() => break Ok(Exit::Success),
            failure = engine.failure() => break Err(Failed::say(Exit::Failure, failure)),
            () = store.ended() => break Err(Failed::say(Exit::Store, "the store's writer has failed; see the log")),
            Some(ended) = web.join_next() => {
                break Err(Failed::say(Exit::Failure, format!("the web server ended by itself: {ended:?}")));
            }
            () = pages.ended() => {
                break Err(Failed::say(Exit::Failure, "the listener of customers' pages ended by itself; see the log"));
            }
            () = pull_api.ended() => {
                break Err(Failed::say(Exit::Failure, "the listener of the pull API ended by itself; see the log"));
            }
            _ = hang_up.recv() => {
                manager.reloading();
                let told_of = match validation::settings_to_reload(config, &clock).await {
                    Err(failed) => {
                        pages.read_certificate_again();
                        pull_api.read_certificate_again();
                        tracing::error!(mistakes = %failed.error, "the settings are not right; going on with the old ones");
                        OLD_SETTINGS
                    }
                    Ok(new) => match reload(engine, settings, new, &at_start, (&store, &clock, instance), about).await {
                        Ok((running, in_use, told_of)) => {
                            (engine, settings) = (running, in_use);
                            handle.set(engine.onboarding());
                            expected.send_replace(Expected::of(&settings));
                            if let Err(error) = pages.update(&settings).await {
                                tracing::error!(%error, "customers' pages stay where they were");
                            }
                            pages.read_certificate_again();
                            pull.set(&settings, &store, &clock);
                            if let Err(error) = pull_api.update(&settings).await {
                                tracing::error!(%error, "the pull API stays where it was");
                            }
                            pull_api.read_certificate_again();
                            told_of
                        }
                        Err(failed) => {
                            store.close().await;
                            return Err(failed);
                        }
                    },
                };
                manager.ready(told_of);
            }
        }
    };
    manager.stopping("finishing the work under way");
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
    pages.stop().await;
    pull_api.stop().await;
    beats.cancel();
    beating.close();
    beating.wait().await;
    // Whatever ended by itself did not stop: `status` tells the two apart.
    if ended.is_ok() {
        heart.stopped().await;
    }
    store.close().await;
    ended
}

/// Tells that it runs, and with what: in the log, and in a line for the service manager.
async fn tell_ready(settings: &Settings, store: &Arc<dyn Store>) -> Result<String, Failed> {
    let tenants = store.tenants().await?;
    let active = tenants.iter().filter(|tenant| tenant.state == TenantState::Active);
    let (active, sources) =
        active.fold((0, 0), |(count, sources), tenant| (count + 1, sources + tenant.sources.len()));
    let sinks: Vec<&str> = settings.sinks.keys().map(String::as_str).collect();
    let pages =
        settings.onboarding.as_ref().map(|onboarding| format!("customers' pages at {}", onboarding.listen));
    let health = settings.server.listen.map(|address| format!("health and metrics at {address}"));
    let pull_api = settings.pull_api.as_ref().map(|pull_api| format!("the pull API at {}", pull_api.listen));
    let listens = health.into_iter().chain(pages).chain(pull_api).collect::<Vec<_>>().join(", ");
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        tenants = active,
        sources,
        sinks = if sinks.is_empty() { "none".to_owned() } else { sinks.join(", ") },
        listens = if listens.is_empty() { "nowhere".to_owned() } else { listens },
        "ready: Muster is running"
    );
    Ok(format!("running: {active} active tenants, {sources} sources, {} sinks", settings.sinks.len()))
}

/// Says that the store was put back from a copy.
fn tell(restoration: &Restoration) {
    tracing::warn!(
        reason = restoration.reason,
        as_of = restoration.as_of.map(tracing::field::display),
        owed = restoration.owed,
        "the store was put back from a copy: nothing is lost, and what sinks had since the copy was taken may come twice; \
         `muster status` counts it"
    );
}

/// Stops, and goes on with the new settings; with the old ones where the new ones cannot be used.
async fn reload(
    engine: Engine,
    old: Settings,
    new: Settings,
    at_start: &AtStart,
    (store, clock, instance): (&Arc<dyn Store>, &Arc<dyn Clock>, InstanceId),
    about: (&Arc<Told>, &Troubles),
) -> Result<(Engine, Settings, &'static str), Failed> {
    // What would take down what works is found before the old ones are let go.
    let worse = engine.would_be_worse(&new, clock).await;
    if !worse.is_empty() {
        let mistakes = Mistakes(worse);
        tracing::error!(%mistakes, "the new settings would take down what works; going on with the old ones");
        return Ok((engine, old, OLD_SETTINGS));
    }
    for needed in at_start.differing(&AtStart::of(&new)) {
        tracing::warn!(key = format!("{}.{}", needed.section, needed.key), "{needed}");
    }
    tell_route_changes(&old, &new, store).await;
    let microsoft = Arc::clone(&engine.microsoft);
    // What was issued to other apps, or by another cloud, is of no use.
    let same = old.apps == new.apps && old.cloud == new.cloud;
    let before = Some(microsoft.as_ref());
    engine.stop(std::future::pending()).await;
    // What was dropped is leased again at once.
    store.drop_leases(instance).await?;
    about.1.clear();
    match Engine::start(&new, store, clock, instance, about, before.filter(|_| same)).await {
        Ok(engine) => {
            if let Err(failed) = settings_loaded(store, &new, at_start, clock).await {
                tracing::error!(error = %failed.error, "cannot write the new settings into the audit log");
            }
            if let Err(error) = route_gaps::warn(&new, store.as_ref()).await {
                tracing::error!(error = %error, "cannot look for what the routes leave out");
            }
            tracing::info!("running with the new settings");
            Ok((engine, new, "running with the new settings"))
        }
        Err(failed) => {
            tracing::error!(error = %failed.error, "the new settings cannot be used; going on with the old ones");
            about.1.clear();
            Ok((Engine::start(&old, store, clock, instance, about, before).await?, old, OLD_SETTINGS))
        }
    }
}

/// Tells what other routes change, before they are used.
async fn tell_route_changes(old: &Settings, new: &Settings, store: &Arc<dyn Store>) {
    match store.tenants().await {
        Ok(tenants) => {
            let changes = route_changes::changes(&old.routes, &new.routes, &tenants);
            for change in changes.iter().take(ROUTE_CHANGES_MAX) {
                tracing::info!("routes change: {}", change.in_words());
            }
            if let more @ 1.. = changes.len().saturating_sub(ROUTE_CHANGES_MAX) {
                tracing::info!(
                    "routes change: and {more} more changes; `muster route diff` shows all before a reload"
                );
            }
        }
        Err(error) => tracing::error!(%error, "cannot tell what the new routes change"),
    }
}

/// Writes into the audit log which settings are used from now on: their hash and names, never a secret.
async fn settings_loaded(
    store: &Arc<dyn Store>,
    settings: &Settings,
    at_start: &AtStart,
    clock: &Arc<dyn Clock>,
) -> Result<(), Failed> {
    let event = NewAuditEvent {
        actor: crate::audit::actor(),
        action: "settings.loaded".to_owned(),
        subject: settings.folder.display().to_string(),
        details: serde_json::json!({
            "fingerprint": settings.fingerprint,
            "hunts": settings.hunts.keys().collect::<Vec<_>>(),
            "streams": settings.streams.keys().collect::<Vec<_>>(),
            "apps": settings.apps.keys().collect::<Vec<_>>(),
            "sinks": settings.sinks.keys().collect::<Vec<_>>(),
            "notices": settings.notices.keys().collect::<Vec<_>>(),
            "routes": settings.routes.len(),
            // What `muster settings diff` holds others against: hashes by section and key.
            "sections": settings.sections,
            // What `muster route diff` holds other routes against.
            "route_settings": settings.routes,
            // Of what is only read at the start, this is in use.
            "at_start": at_start,
            "pages_listen": settings.onboarding.as_ref().map(|onboarding| onboarding.listen),
            "pull_api_listen": settings.pull_api.as_ref().map(|pull_api| pull_api.listen),
            "version": env!("CARGO_PKG_VERSION"),
        }),
    };
    store.append_audit(event, clock.now()).await?;
    Ok(())
}

/// Everything that collects and delivers, for one reading of the settings.
pub struct Engine {
    tasks: JoinSet<&'static str>,
    turns: TaskTracker,
    stop: CancellationToken,
    deliverers: Vec<Arc<Deliverer>>,
    microsoft: Arc<Microsoft>,
    apps: Apps,
    onboarding: Option<Arc<Onboarding>>,
}

impl Engine {
    /// Opens the sinks and starts the workers. `before` has tokens in hand that serve these settings, too.
    pub async fn start(
        settings: &Settings,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        instance: InstanceId,
        about: (&Arc<Told>, &Troubles),
        before: Option<&Microsoft>,
    ) -> Result<Self, Failed> {
        about.0.set_shadows(settings.shadows().into_keys().collect());
        let Parts { microsoft, collector, watcher, onboarding, deliverers: sinks } =
            Parts::build(settings, store, clock, instance, about, before).await?;
        let apps = watcher.apps.clone();
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
        if let Some(onboarding) = &onboarding {
            let (onboarding, token) = (Arc::clone(onboarding), stop.clone());
            tasks.spawn(async move {
                onboarding.run(token).await;
                "checking of consents"
            });
        }
        let mut deliverers = Vec::new();
        for (deliverer, workers) in sinks {
            for worker in 0..workers {
                let (deliverer, token) = (Arc::clone(&deliverer), stop.clone());
                tasks.spawn(async move {
                    deliverer.run(worker, token).await;
                    "delivery worker"
                });
            }
            let (asking, token) = (Arc::clone(&deliverer), stop.clone());
            tasks.spawn(async move {
                asking.run_asking(token).await;
                "asking for acknowledgements"
            });
            deliverers.push(deliverer);
        }
        let (watched, watch_clock, token) = (Arc::clone(store), Arc::clone(clock), stop.clone());
        let told = Arc::clone(about.0);
        let keep_journal = settings.store.keep_journal.0;
        tasks.spawn(async move {
            unrouted::watch(watched, watch_clock, keep_journal, told, token).await;
            "watch over what no route takes"
        });
        let file = settings.store.url.is_none().then(|| settings.path(&settings.store.path));
        let disk = (Arc::clone(store), Arc::clone(clock), file);
        let (told, troubles, token) = (Arc::clone(about.0), about.1.clone(), stop.clone());
        let shadows = settings.shadows().into_keys().collect();
        tasks.spawn(async move {
            outage::watch(disk.0, disk.1, (disk.2, shadows), troubles, told, token).await;
            "watch over sinks that are down"
        });
        let (notifier, token) = (notifier(settings, (store, clock), instance, about.0), stop.clone());
        tasks.spawn(async move {
            notifier.run(token).await;
            "telling of people"
        });
        let keeper = Keeper::of(settings, store, clock);
        let (told, token) = (Arc::clone(about.0), stop.clone());
        tasks.spawn(async move {
            keeper.run(told, token).await;
            "keeping of the journal's bounds"
        });
        let (again, of_secrets, token) = (settings.clone(), Arc::clone(clock), stop.clone());
        tasks.spawn(async move {
            fetch_secrets_again(again, of_secrets, token).await;
            "fetching of secrets"
        });
        let marked = (Arc::clone(store), Arc::clone(clock), Arc::clone(about.0), stop.clone());
        tasks.spawn(async move {
            mark(marked.0, marked.1, marked.2, marked.3).await;
            "marking of the store"
        });
        let (store, clock, keep, token) =
            (Arc::clone(store), Arc::clone(clock), keeping(settings), stop.clone());
        let told = Arc::clone(about.0);
        tasks.spawn(async move {
            prune(store, clock, keep, told, token).await;
            "journal pruning"
        });
        Ok(Self { tasks, turns, stop, deliverers, microsoft, apps, onboarding })
    }

    /// What works now and would not with the new settings.
    async fn would_be_worse(&self, new: &Settings, clock: &Arc<dyn Clock>) -> Vec<Mistake> {
        let mut open = BTreeSet::new();
        for deliverer in &self.deliverers {
            if deliverer.sink.is_open().await {
                open.insert(format!("sinks.{}", deliverer.name));
            }
        }
        let at_hand = self.apps.names().filter(|name| self.apps.get(name).is_some());
        open.extend(at_hand.map(|name| format!("apps.{name}")));
        let mut down = validation::parts_down(new, clock).await;
        down.retain(|mistake| open.contains(&mistake.section));
        down
    }

    /// What customers' pages lead to; `None` where the settings name none.
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

/// Fetches secrets that lie in a vault and could not be had, until all are there. Whoever needs one tries it again.
async fn fetch_secrets_again(settings: Settings, clock: Arc<dyn Clock>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(FETCH_AGAIN)).await.is_some() {
        // Nothing is asked for where nothing is missing.
        if let Some(Err(error)) = stop.run_until_cancelled(fetch_secrets(&settings, &clock)).await {
            tracing::warn!(error = %error, "cannot fetch secrets");
        }
    }
}

/// Marks the store as in use, so that it is noticed when a copy of it is put back.
async fn mark(store: Arc<dyn Store>, clock: Arc<dyn Clock>, told: Arc<Told>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(MARK_EVERY)).await.is_some() {
        if let Err(error) = store.mark(&crate::audit::actor(), clock.now()).await {
            told.store.failed("mark the store as in use", &error, clock.now());
        }
    }
}

/// How long what is delivered is kept.
#[derive(Debug, Clone, Copy)]
struct Keeping {
    journal: Duration,
    versions: Duration,
}

fn keeping(settings: &Settings) -> Keeping {
    // A version that a sweep can meet again must be known still.
    let versions = settings.store.keep_versions.0.max(SWEPT + settings.collect.cursor_policy().overlap_max);
    Keeping { journal: settings.store.keep_journal.0, versions }
}

async fn prune(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keep: Keeping,
    told: Arc<Told>,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(PRUNE_EVERY)).await.is_some() {
        let now = clock.now();
        let ago = |span: Duration| now.checked_sub(span).unwrap_or(jiff::Timestamp::MIN);
        let (journal, versions, ledger) = (ago(keep.journal), ago(keep.versions), ago(KEEP_LEDGER));
        match store.prune_journal(Retention { journal, versions, ledger, now }).await {
            Ok(pruned) if pruned == Pruned::default() => {}
            Ok(Pruned { batches, unrouted, versions, hours }) => {
                tracing::info!(batches, versions, hours, "forgot old parts of the journal and the ledger");
                if unrouted > 0 {
                    tracing::warn!(
                        records = unrouted,
                        "records that no route took have left the journal, and never arrived anywhere; `muster replay --tenant all --unrouted --dry-run` tells how to fetch them again"
                    );
                }
            }
            Err(error) => told.store.failed("prune the journal", &error, now),
        }
    }
}
