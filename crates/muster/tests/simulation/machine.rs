//! Muster in a history: the real collector on a real store, without a network, killed and started again at will.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use muster::access::apps::Apps;
use muster::collect::{Collector, News, Pace, Skews, Streams, Swept};
use muster::config::Settings;
use muster::routing::Router;
use muster::wiring::open_place;
use muster_http::{Client, ClientOptions};
use muster_microsoft::{Cloud as MicrosoftCloud, Microsoft, MicrosoftOptions, NationalCloud};
use muster_model::{Clock, Purpose, Source, TenantId, TenantState};
use muster_store::{
    CursorState, DeadLetterOrigin, DeliveryLimits, FinishedDelivery, InstanceId, KeyRing, MasterKey,
    NewTenant, OpenMode, PollResult, SourceLease, SqlStore, Store,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cloud::{Cloud, TOTAL_TIMEOUT};
use crate::plan::Plan;
use crate::time::{LocalClock, Time};

/// How long a source is leased. As `Collector` does.
const LEASE: Duration = Duration::from_secs(600);
/// How long a sweep is put off that is not to be.
const NO_SWEEP: Duration = Duration::from_secs(86_400);
const PLENTY: DeliveryLimits = DeliveryLimits { batches: 100, body_bytes: 1 << 30 };
/// No answer may be larger than this.
const BODY_BYTES_MAX: usize = 2 << 20;

/// The saved queries that histories have.
pub(crate) const GRAPH_HUNT: &str = "graph_hunting/alerts";
pub(crate) const XDR_HUNT: &str = "xdr_hunting/xdr-alerts";
/// The stream that they have.
pub(crate) const STREAM: &str = "streaming/blobs";

/// What all histories share: an empty store, its key and the settings.
pub(crate) struct Workshop {
    folder: tempfile::TempDir,
    key: MasterKey,
    settings: Settings,
}

impl Workshop {
    pub(crate) async fn open() -> Self {
        // Nothing here need survive the machine, so memory will do.
        let memory = PathBuf::from("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.expect("a folder");
        let key = MasterKey::generate();
        std::fs::write(folder.path().join("app.secret"), "secret").expect("written");
        let store = SqlStore::create(&folder.path().join("empty.db"), &key).await.expect("a new store");
        muster_store::Lifetime::close(&store).await;
        let text = r#"
            [apps.main]
            client_id = "11111111-2222-3333-4444-555555555555"
            secret = { file = "app.secret" }
            [hunts.alerts]
            query = "AlertInfo"
            key_columns = ["AlertId"]
            every = "5m"
            [hunts.xdr-alerts]
            query = "AlertInfo"
            key_columns = ["AlertId"]
            every = "5m"
            api = "xdr"
            [streams.blobs]
            url = "s3://streamed/tenantId={{ tenant.id }}"
            endpoint = "https://storage.example"
            region = "eu-west-1"
            access_key_id = { file = "app.secret" }
            secret_access_key = { file = "app.secret" }
            every = "5m"
            [sinks.archive]
            type = "file"
            path = "archive.ndjson"
            [[routes]]
            sinks = ["archive"]
        "#;
        let file = (folder.path().join("muster.toml"), text.to_owned());
        let settings = Settings::parse(folder.path(), &[file]).expect("the settings are right");
        Self { folder, key, settings }
    }
}

/// A Muster.
pub(crate) struct Machine {
    store_path: PathBuf,
    key: MasterKey,
    settings: Settings,
    cloud: Arc<Cloud>,
    time: Arc<Time>,
    starts: u128,
    is_swept: bool,
    running: Option<Running>,
}

struct Running {
    store: Arc<dyn Store>,
    collector: Collector,
    instance: InstanceId,
}

/// A record of the journal.
pub(crate) struct Accepted {
    pub(crate) tenant: TenantId,
    pub(crate) source: Source,
    pub(crate) id: String,
    pub(crate) updated_at: Option<jiff::Timestamp>,
    pub(crate) body: String,
}

impl Machine {
    /// A new Muster that reads all tenants of the plan.
    pub(crate) async fn new(workshop: &Workshop, plan: &Plan, cloud: &Arc<Cloud>, time: &Arc<Time>) -> Self {
        let store_path = workshop.folder.path().join(format!("{}.db", plan.seed));
        std::fs::copy(workshop.folder.path().join("empty.db"), &store_path).expect("copied");
        let mut settings = workshop.settings.clone();
        settings.collect.poll_interval = muster_model::Span(plan.poll_interval);
        let mut machine = Self {
            store_path,
            key: workshop.key.clone(),
            settings,
            cloud: Arc::clone(cloud),
            time: Arc::clone(time),
            starts: 0,
            is_swept: plan.seed % 3 == 1,
            running: None,
        };
        machine.start().await;
        for (number, tenant) in cloud.api.tenants().iter().enumerate() {
            let new = NewTenant {
                id: tenant.id.parse().expect("a GUID"),
                slug: format!("tenant-{number}").parse().expect("a slug"),
                name: tenant.name.clone(),
                domain: None,
                app: "main".to_owned(),
                sources: plan.sources.iter().copied().collect(),
                tags: Default::default(),
                since: time.local().checked_sub(plan.backfill).expect("in range"),
                state: TenantState::Active,
            };
            let (id, since) = (new.id, new.since);
            let hunts = plan.sources.iter().filter(|source| source.is_named());
            let hunts = hunts.map(|source| (*source, since)).collect();
            let store = &machine.running().store;
            store.add_tenant(new, "the simulation", time.local()).await.expect("added");
            store.set_hunts(id, hunts, time.local()).await.expect("set");
        }
        machine
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    async fn start(&mut self) {
        self.starts += 1;
        let instance = InstanceId(uuid::Uuid::from_u128(self.starts));
        let keys = KeyRing::from(self.key.clone());
        let store = SqlStore::open(&self.store_path, OpenMode::Exclusive, &keys).await.expect("it opens");
        let store: Arc<dyn Store> = Arc::new(store);
        store.take_over(instance, self.time.local()).await.expect("taken over");
        let clock: Arc<dyn Clock> = Arc::new(LocalClock(Arc::clone(&self.time)));
        let client = ClientOptions {
            local: Some(self.cloud.local()),
            total_timeout: TOTAL_TIMEOUT,
            body_bytes_max: BODY_BYTES_MAX,
            ..ClientOptions::default()
        };
        let storage = Client::new(&client).expect("a client");
        let open = open_place(&self.settings, &clock);
        let open = move |place: &_, _| open(place, Some(storage.clone()));
        let options = MicrosoftOptions::new(MicrosoftCloud::national(NationalCloud::Global), client);
        let collector = Collector {
            store: Arc::clone(&store),
            microsoft: Arc::new(Microsoft::new(options, Arc::clone(&clock)).expect("a client")),
            apps: Apps::load(&self.settings, &store).await.expect("the apps"),
            router: Router::new(self.settings.routes.clone()),
            settings: self.settings.collect.clone(),
            hunts: self.settings.hunts.clone(),
            streams: Streams::new(self.settings.streams.clone(), Arc::new(open)),
            clock,
            instance,
            accepted: Arc::new(Notify::new()),
            news: News::default(),
            pace: Pace::default(),
            told: Arc::default(),
            swept: Swept::default(),
            skews: Skews::default(),
            bound: None,
        };
        self.running = Some(Running { store, collector, instance });
    }

    /// Ends it as a kill does, without a word to the store, and starts it again.
    async fn restart_killed(&mut self) {
        drop(self.running.take());
        self.start().await;
    }

    /// Ends it as it should be ended, and starts it again.
    pub(crate) async fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.store.drop_leases(running.instance).await.expect("the store answers");
            running.store.close().await;
        }
        self.start().await;
    }

    /// Leases a source that is due, as the collector does.
    pub(crate) async fn lease(&self) -> Option<SourceLease> {
        let Running { store, instance, .. } = self.running();
        let leases = store.lease_due_sources(*instance, 1, LEASE, self.time.local()).await;
        leases.expect("the store answers").pop()
    }

    /// One turn, and what it brought into the journal; whether it was ended by a kill.
    pub(crate) async fn turn(&mut self, lease: SourceLease) -> (Vec<Accepted>, bool) {
        let accepted = Arc::clone(&self.running().collector.accepted);
        let told = accepted.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        let killed = self.work(lease).await;
        if killed {
            self.restart_killed().await;
        }
        // A kill may come between the journal and the word of it.
        match killed || told.now_or_never().is_some() {
            true => (self.accepted().await, killed),
            false => (Vec::new(), killed),
        }
    }

    async fn work(&self, lease: SourceLease) -> bool {
        if lease.purpose.is_sweep() && !self.is_swept {
            let now = self.time.local();
            let next_at = now.checked_add(NO_SWEEP).expect("in range");
            let put_off = PollResult::Yielded { next_at, progressed: false, missing: None, cursor: None };
            self.store().finish_poll(&lease, put_off, now).await.expect("the store answers");
            return false;
        }
        let stop = CancellationToken::new();
        tokio::select! {
            biased;
            () = self.cloud.killed() => true,
            () = self.running().collector.turn(lease, &stop) => false,
        }
    }

    /// When something is due next.
    pub(crate) async fn due_at(&self) -> Option<jiff::Timestamp> {
        self.running().store.next_source_due_at().await.expect("the store answers")
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.running().store
    }

    /// How far a source has been read, as it stands in the store.
    pub(crate) async fn cursor(&self, tenant: TenantId, source: Source, purpose: Purpose) -> CursorState {
        let cursor = self.store().cursor(tenant, source, purpose).await;
        cursor.expect("the store answers").expect("a cursor")
    }

    /// Whether sweeps may heal. In every third history they do; in the others live reading has to do without, since a sweep
    /// would hide what it left out.
    pub(crate) fn is_swept(&self) -> bool {
        self.is_swept
    }

    /// What is new in the journal, by way of what it owes to its sink.
    async fn accepted(&self) -> Vec<Accepted> {
        let Running { store, instance, .. } = self.running();
        let now = self.time.local();
        let mut all = Vec::new();
        while let Some(lease) = store
            .lease_due_deliveries(*instance, "archive", PLENTY, LEASE, now)
            .await
            .expect("the store answers")
        {
            let mut finished = Vec::new();
            for delivery in &lease.deliveries {
                let mut delivered = 0;
                for (_, record) in delivery.records() {
                    delivered += 1;
                    all.push(Accepted {
                        tenant: lease.tenant.id,
                        source: delivery.source,
                        id: record.head.id.clone(),
                        updated_at: record.head.updated_at,
                        body: record.body.to_owned(),
                    });
                }
                let (number, rejected) = (delivery.number, Vec::new());
                finished.push(FinishedDelivery { number, remaining: None, delivered, rejected });
            }
            store.finish_deliveries(&lease, finished, None, now).await.expect("the store answers");
        }
        all
    }

    /// The dead letters of a source: whose, and what.
    pub(crate) async fn letters(&self, source: Source) -> Vec<(String, String)> {
        let letters = self.store().dead_letters(None, 10_000).await.expect("the store answers");
        let mut found = Vec::new();
        for letter in letters.into_iter().filter(|letter| letter.origin == DeadLetterOrigin::Source(source)) {
            let body = self.store().dead_letter_body(letter.number).await.expect("a body");
            found.push((letter.tenant.to_string(), String::from_utf8_lossy(&body).into_owned()));
        }
        found
    }

    /// Ends it and removes what it leaves.
    pub(crate) async fn end(mut self) {
        if let Some(running) = self.running.take() {
            running.store.close().await;
        }
        for end in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.store_path.clone().into_os_string();
            path.push(end);
            drop(std::fs::remove_file(path));
        }
    }
}
