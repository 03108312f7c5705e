//! Builds the parts from the settings, in one way for `muster run` and for every other command.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use muster_http::{Client, ClientOptions};
use muster_microsoft::entra::grant::GrantKeeper;
use muster_microsoft::{Microsoft, MicrosoftOptions};
use muster_model::{Clock, SecretReference, SystemClock};
use muster_siem::sinks::{
    NoSecret, ObjectPlace, ObjectReader, Sink, SinkError, SinkSettings, SplunkHecSettings, SplunkSearch,
    Surroundings, WantedTokens,
};
use muster_store::{
    Address, InstanceId, KeyRing, MasterKeyError, OpenMode, ReadKeys, Store, StoreError, StoreLook,
};
use tokio::sync::Notify;

use crate::access::apps::{Apps, AppsError};
use crate::access::grants::StoreGrants;
use crate::access::onboard::Onboarding;
use crate::access::sink_tokens;
use crate::access::vault::{self, VaultError};
use crate::access::watch::Watcher;
use crate::collect::{Collector, News, Pace, Skews, Streams, Swept};
use crate::config::{AppSettings, ReadSecret, SearchSettings, Settings};
use crate::deliver::{Breaker, Deliverer};
use crate::exit_code::{Exit, Failed};
use crate::notices::notifier::Notifier;
use crate::notices::receiver::Receiver;
use crate::routing::Router;
use crate::sink_handle::SinkHandle;
use crate::told::Told;
use crate::troubles::Troubles;

/// Everything that collects and delivers, for one reading of the settings: built, and not started.
pub struct Parts {
    pub microsoft: Arc<Microsoft>,
    pub collector: Arc<Collector>,
    pub watcher: Watcher,
    /// What customers' pages lead to; `None` where the settings name none.
    pub onboarding: Option<Arc<Onboarding>>,
    /// One for each sink, with how many of its workers run at a time.
    pub deliverers: Vec<(Arc<Deliverer>, u32)>,
}

impl Parts {
    /// Builds them. `before` has tokens in hand that serve these settings, too.
    pub async fn build(
        settings: &Settings,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        instance: InstanceId,
        (told, troubles): (&Arc<Told>, &Troubles),
        before: Option<&Microsoft>,
    ) -> Result<Self, Failed> {
        let microsoft = microsoft_for(settings, store, clock, instance)?;
        let microsoft = Arc::new(match before {
            Some(before) => microsoft.with_tokens_of(before),
            None => microsoft,
        });
        let apps = Apps::load_what_can_be_had(settings, store, troubles).await?;
        let accepted = Arc::new(Notify::new());
        let settings_at_hand = Arc::new(settings.clone());
        let mut deliverers = Vec::new();
        for (name, sink) in &settings.sinks {
            let handle = sink_handle(&settings_at_hand, name, store, (clock, troubles));
            // At once, so that the log tells at the start what is down; files are of the node that delivers to them.
            match sink.keeps_files() && !store.holds_sink(instance, name).await? {
                true => handle.leave_to_another().await,
                false => drop(handle.get().await),
            }
            let (name, workers) = (name.clone(), sink.any().concurrency());
            let (store, clock, accepted) = (Arc::clone(store), Arc::clone(clock), Arc::clone(&accepted));
            let told = Arc::clone(told);
            let (kept, asked) = (Notify::new(), std::sync::Mutex::default());
            let (router, breaker) = (Router::new(settings.routes.clone()), Breaker::new(workers));
            let sink = handle;
            let deliverer = Deliverer {
                store,
                name,
                sink,
                router,
                clock,
                instance,
                accepted,
                told,
                kept,
                breaker,
                asked,
            };
            deliverers.push((Arc::new(deliverer), workers));
        }
        let onboarding = settings.onboarding.clone().map(|onboarding| {
            let (store, microsoft, clock) = (Arc::clone(store), Arc::clone(&microsoft), Arc::clone(clock));
            Arc::new(Onboarding::new(store, microsoft, apps.clone(), onboarding, clock))
        });
        let watcher = Watcher {
            store: Arc::clone(store),
            microsoft: Arc::clone(&microsoft),
            apps: apps.clone(),
            clock: Arc::clone(clock),
            instance,
            told: Arc::clone(told),
        };
        let collector = Collector {
            store: Arc::clone(store),
            microsoft: Arc::clone(&microsoft),
            apps,
            router: Router::new(settings.routes.clone()),
            settings: settings.collect.clone(),
            hunts: settings.hunts.clone(),
            streams: streams(settings, clock),
            clock: Arc::clone(clock),
            instance,
            accepted,
            news: News::default(),
            pace: Pace::default(),
            told: Arc::clone(told),
            swept: Swept::default(),
            skews: Skews::default(),
            bound: settings.store.bound(),
        };
        Ok(Self { microsoft, collector: Arc::new(collector), watcher, onboarding, deliverers })
    }
}

/// What reads sources, for a command that does so by itself.
pub(crate) async fn collector(
    settings: &Settings,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    instance: InstanceId,
) -> Result<Collector, Failed> {
    Ok(Collector {
        store: Arc::clone(store),
        microsoft: Arc::new(microsoft_for(settings, store, clock, instance)?),
        apps: apps(settings, store).await?,
        router: Router::new(settings.routes.clone()),
        settings: settings.collect.clone(),
        hunts: settings.hunts.clone(),
        streams: streams(settings, clock),
        clock: Arc::clone(clock),
        instance,
        accepted: Arc::default(),
        news: News::default(),
        pace: Pace::default(),
        told: Arc::default(),
        swept: Swept::default(),
        skews: Skews::default(),
        bound: settings.store.bound(),
    })
}

/// Reads the settings, and the secrets of theirs that lie in a Key Vault.
pub async fn read_settings(config: &Path, clock: &Arc<dyn Clock>) -> Result<Settings, Failed> {
    let settings = Settings::read(config)?;
    fetch_secrets(&settings, clock).await.map_err(|error| Failed::new(Exit::Settings, error))?;
    Ok(settings)
}

/// Fetches the secrets of the settings that lie in a Key Vault; how many could not be had.
pub async fn fetch_secrets(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<usize, VaultError> {
    vault::fetch(settings, || microsoft(settings, Arc::clone(clock), None)).await
}

/// Opens the store that the settings name.
pub async fn open_store(settings: &Settings, mode: OpenMode) -> Result<Arc<dyn Store>, Failed> {
    let (reference, folder) = (settings.store.master_key.clone(), settings.folder.clone());
    let keys = key_ring(settings)?;
    let address = store_address(settings)?;
    if let Address::Sqlite(path) = &address
        && !path.exists()
    {
        let message = format!("there is no store at {}; `muster init` makes one", path.display());
        return Err(Failed::say(Exit::Store, message));
    }
    let read: ReadKeys =
        Arc::new(move || read_keys(&reference, &folder).map_err(|failed| failed.error.into()));
    match muster_store::open(&address, mode, &keys, Arc::clone(&read)).await {
        // Another process may have rotated the master key since it was read.
        Err(StoreError::WrongMasterKey { .. }) => {
            Ok(muster_store::open(&address, mode, &key_ring(settings)?, read).await?)
        }
        opened => Ok(opened?),
    }
}

/// A look at the store that the settings name, which changes nothing.
pub(crate) async fn look_at_store(
    settings: &Settings,
    keys: Option<&KeyRing>,
) -> Result<StoreLook, StoreError> {
    let refused = |failed: Failed| {
        let store = settings.store.url.clone().unwrap_or_default();
        StoreError::Refused { store, detail: format!("{:#}", failed.error) }
    };
    muster_store::look(&store_address(settings).map_err(refused)?, keys).await
}

/// Where the store is that the settings name, with its password at hand.
pub(crate) fn store_address(settings: &Settings) -> Result<Address, Failed> {
    let wrong = |error: String| Failed::say(Exit::Settings, format!("[store] {error}"));
    let password = settings.store.password.as_ref().map(|reference| reference.read(&settings.folder));
    let password = password.transpose().map_err(|error| wrong(format!("password: {error}")))?;
    let address = settings.store.address(&settings.folder, password);
    address.map_err(|(key, error)| wrong(format!("{key}: {error}")))
}

/// The master keys at hand: more than one only while a rotation is under way.
pub(crate) fn key_ring(settings: &Settings) -> Result<KeyRing, Failed> {
    read_keys(&settings.store.master_key, &settings.folder)
}

/// The master keys that lie at `reference`.
pub(crate) fn read_keys(reference: &SecretReference, folder: &Path) -> Result<KeyRing, Failed> {
    let wrong = |error: anyhow::Error| Failed { exit: Exit::Settings, error };
    let read = match reference {
        // The file's mode is checked too.
        SecretReference::File(file) => KeyRing::read_file(&folder.join(file)),
        other => KeyRing::from_base64(&other.read(folder).map_err(|error| wrong(error.into()))?),
    };
    read.map_err(|error| match error {
        MasterKeyError::Malformed => wrong(anyhow::anyhow!("{reference}: {error}")),
        other => wrong(other.into()),
    })
}

/// The way to Microsoft that the settings describe. With `grants`, apps may read in a person's name.
pub fn microsoft(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    grants: Option<Arc<dyn GrantKeeper>>,
) -> anyhow::Result<Microsoft> {
    Ok(Microsoft::new(microsoft_options(settings, grants)?, clock)?)
}

/// A client that reaches a host as the sinks and the way to Microsoft do, for a look at it.
pub(crate) fn client_for(settings: &Settings, ca_file: Option<&Path>) -> Result<Client, String> {
    let roots = ca_file
        .map(|file| muster_http::read_roots(file).map_err(|error| format!("{}: {error}", file.display())));
    let options = ClientOptions {
        connect_timeout: settings.network.connect_timeout.0,
        idle_timeout: settings.network.idle_timeout.0,
        total_timeout: settings.network.idle_timeout.0,
        extra_roots_pem: roots.transpose()?,
        proxy: settings.network.proxy()?,
        ..ClientOptions::default()
    };
    Client::new(&options).map_err(|error| error.to_string())
}

fn microsoft_options(
    settings: &Settings,
    grants: Option<Arc<dyn GrantKeeper>>,
) -> anyhow::Result<MicrosoftOptions> {
    let network = &settings.network;
    let extra_roots_pem = settings.cloud.ca_file.as_ref().map(|file| {
        let file = settings.path(file);
        muster_http::read_roots(&file)
            .and_then(|pem| muster_http::check_roots(&pem).map(|()| pem))
            .with_context(|| format!("[cloud] ca_file {}", file.display()))
    });
    let extra_roots_pem = extra_roots_pem.transpose()?;
    let client = ClientOptions {
        connect_timeout: network.connect_timeout.0,
        idle_timeout: network.idle_timeout.0,
        total_timeout: network.total_timeout.0,
        // One for each turn at work: all tenants are behind one host.
        idle_connections_max: settings.collect.concurrency.clamp(16, 256) as usize,
        extra_roots_pem,
        proxy: network.proxy().map_err(anyhow::Error::msg)?,
        ..ClientOptions::default()
    };
    Ok(MicrosoftOptions {
        cloud: settings.cloud.cloud()?,
        client,
        requests_per_minute: settings.collect.requests_per_minute,
        grants,
        continuous_access: settings.cloud.continuous_access,
        siem_feed: settings.siem_feed.feed(),
    })
}

/// The way to Microsoft with the grants of the store, leased for `instance`.
pub(crate) fn microsoft_for(
    settings: &Settings,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    instance: InstanceId,
) -> Result<Microsoft, Failed> {
    microsoft_with(settings, store, clock, instance, |options| options)
}

/// The same, with time and room for hunting queries.
pub(crate) fn microsoft_for_hunting(
    settings: &Settings,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    instance: InstanceId,
) -> Result<Microsoft, Failed> {
    microsoft_with(settings, store, clock, instance, MicrosoftOptions::for_hunting)
}

fn microsoft_with(
    settings: &Settings,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    instance: InstanceId,
    change: impl FnOnce(MicrosoftOptions) -> MicrosoftOptions,
) -> Result<Microsoft, Failed> {
    let grants = StoreGrants::new(Arc::clone(store), instance, Arc::clone(clock));
    microsoft_options(settings, Some(Arc::new(grants)))
        .and_then(|options| Ok(Microsoft::new(change(options), Arc::clone(clock))?))
        .map_err(|error| Failed { exit: Exit::Settings, error })
}

/// The apps of the settings, with their credentials.
pub async fn apps(settings: &Settings, store: &Arc<dyn Store>) -> Result<Apps, Failed> {
    Apps::load(settings, store).await.map_err(|error| match error {
        AppsError::Store(error) => error.into(),
        other => Failed::new(Exit::Settings, other),
    })
}

/// A sink of the settings, which is opened when it is needed.
pub fn sink_handle(
    settings: &Arc<Settings>,
    name: &str,
    store: &Arc<dyn Store>,
    (clock, troubles): (&Arc<dyn Clock>, &Troubles),
) -> SinkHandle {
    let (settings, sink) = (Arc::clone(settings), name.to_owned());
    let (for_sink, its_store) = (Arc::clone(clock), Arc::clone(store));
    let is_shadow = settings.sink_keys.get(name).is_some_and(|keys| keys.shadow);
    let keeps_files = settings.sinks.get(name).is_some_and(SinkSettings::keeps_files);
    let open = move || match settings.sinks.get(&sink) {
        None => Err("it is not in the settings".to_owned()),
        Some(found) => {
            open_sink(&settings, &sink, found, Arc::clone(&for_sink), Some(Arc::clone(&its_store)))
        }
    };
    let (name, open) = (name.to_owned(), Arc::new(open));
    SinkHandle::new(name, open, Arc::clone(store), troubles.clone(), Arc::clone(clock))
        .as_shadow(is_shadow)
        .keeping_files(keeps_files)
}

/// Makes a sink. Connects to nothing yet; a file is opened. What is wrong is said in words for the operator. An app whose
/// credential lies in the store needs that for its tokens.
pub fn open_sink(
    settings: &Settings,
    name: &str,
    sink: &SinkSettings,
    clock: Arc<dyn Clock>,
    store: Option<Arc<dyn Store>>,
) -> Result<Sink, String> {
    sink.build(name, &surroundings(settings, clock, store)).map_err(without_name(name))
}

/// What would keep a sink from being opened, without opening it.
pub(crate) fn inspect_sink(
    settings: &Settings,
    name: &str,
    sink: &SinkSettings,
    clock: Arc<dyn Clock>,
) -> Result<(), String> {
    sink.inspect(name, &surroundings(settings, clock, None)).map_err(without_name(name))
}

/// Tries the way to a sink, without a record and without leaving anything behind.
pub(crate) async fn test_sink(
    settings: &Settings,
    name: &str,
    sink: &SinkSettings,
    clock: Arc<dyn Clock>,
) -> Result<String, String> {
    // A credential that Muster keeps is in the store, and only a sink that wants tokens needs it.
    let app = match sink {
        SinkSettings::Sentinel(sentinel) => settings.apps.get(&sentinel.app),
        _ => None,
    };
    let store =
        match app.is_some_and(AppSettings::keeps_credential_in_store) {
            true => {
                let opened = open_store(settings, OpenMode::Shared).await;
                Some(opened.map_err(|failed| {
                    format!("its app's credential lies in the store: {:#}", failed.error)
                })?)
            }
            false => None,
        };
    let tested = sink.test(name, &surroundings(settings, clock, store.clone())).await;
    if let Some(store) = store {
        store.close().await;
    }
    tested.map_err(without_name(name))
}

/// What tells people, by these settings.
pub fn notifier(
    settings: &Settings,
    (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
    instance: InstanceId,
    told: &Arc<Told>,
) -> Notifier {
    let (own, its_clock) = (Arc::new(settings.clone()), Arc::clone(clock));
    let build = Arc::new(move |name: &str| notice_receiver(&own, name, &its_clock));
    Notifier::new(settings, (store, clock), instance, told, build)
}

/// The way to a receiver of notices.
///
/// # Errors
/// Why there is none, in words for the operator.
pub(crate) fn notice_receiver(
    settings: &Settings,
    name: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Receiver, String> {
    let Some(receiver) = settings.notices.get(name) else {
        return Err("it is not in the settings".to_owned());
    };
    Receiver::build(receiver, &surroundings(settings, Arc::clone(clock), None))
}

/// The way to the search that a sink's settings name, for `muster sink verify`.
pub(crate) fn splunk_search(
    settings: &Settings,
    name: &str,
    hec: &SplunkHecSettings,
    search: &SearchSettings,
) -> Result<SplunkSearch, String> {
    let around = surroundings(settings, Arc::new(SystemClock), None);
    let token = (around.secret)(&search.token).map_err(|no_secret| no_secret.reason)?;
    SplunkSearch::new(name, hec, (&search.url, &token), &around).map_err(without_name(name))
}

/// The streams of the settings, to be read.
pub fn streams(settings: &Settings, clock: &Arc<dyn Clock>) -> Streams {
    Streams::new(settings.streams.clone(), Arc::new(open_place(settings, clock)))
}

/// Opens the place of a stream with a client, or makes the client for it.
pub fn open_place(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> impl Fn(&ObjectPlace, Option<Client>) -> Result<(ObjectReader, Client), String> + Send + Sync + use<> {
    let (own, clock) = (settings.clone(), Arc::clone(clock));
    move |place, client| {
        let around = surroundings(&own, Arc::clone(&clock), None);
        let client = match client {
            Some(client) => client,
            None => ObjectReader::client(place, &around)?,
        };
        Ok((ObjectReader::open(place, &around, client.clone())?, client))
    }
}

/// What a sink needs beside its section. Without the store, an app whose credential lies there has no tokens.
fn surroundings(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    store: Option<Arc<dyn Store>>,
) -> Surroundings<'_> {
    let folder = settings.folder.clone();
    let secret = Arc::new(move |place: &SecretReference| {
        place
            .read(&folder)
            .map_err(|error| NoSecret { is_missing: error.is_missing(), reason: error.to_string() })
    });
    let its_clock = Arc::clone(&clock);
    let tokens = Box::new(move |wanted: &WantedTokens<'_>| {
        let microsoft =
            || microsoft(settings, Arc::clone(&its_clock), None).map_err(|error| format!("{error:#}"));
        sink_tokens::open(wanted, settings, store.clone(), microsoft)
    });
    Surroundings { folder: &settings.folder, secret, proxy: settings.network.proxy(), clock, tokens }
}

/// The message without the sink's name, which stands beside it wherever it is shown.
fn without_name(name: &str) -> impl Fn(SinkError) -> String {
    let before = format!("sink `{name}`: ");
    move |error| {
        let said = error.to_string();
        said.strip_prefix(&before).map(str::to_owned).unwrap_or(said)
    }
}
