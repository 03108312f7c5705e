//! Random pages, polls, replays, crashes and answers of sinks against a model of a few lines: each version is delivered to
//! each sink that wants it exactly once, in the order of acceptance, whatever happens between; and once more, when that is
//! asked for.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{ContentHash, Cursor, RecordHead, Selection, Severity, Slug, Source, TenantState};
use muster_store::{
    AcceptedPage, Deliveries, DeliveryLimits, Destination, FinishedDelivery, InstanceId, Journal, Ledger,
    LedgerFilter, Lifetime, MasterKey, NewRecord, NewTenant, OpenMode, PollResult, ReplayRequest, ReplayTo,
    Replays, SourceLease, Sources, SqlStore, StoreError, Tenants,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::location::{Location, succeed};

const SINKS: [&str; 2] = ["splunk", "file"];
const LEASE: Duration = Duration::from_secs(60);

/// Id, version, and bits of the sinks that want it.
type Item = (u8, u8, usize);

#[derive(Debug, Clone)]
enum Step {
    /// A page of one of the tenants.
    Page(usize, Vec<Item>),
    /// A sink answers for what it is owed first: it takes, refuses or puts off each record by these numbers in turn.
    Deliver(usize, u32, Vec<u8>),
    /// What a tenant has in the journal is brought to a sink: only what is unrouted, and also what the sink has had.
    Replay(usize, usize, bool, bool),
    /// The lease that a worker holds ends, and another worker takes it; the first tries to write.
    Overtake(usize, Vec<Item>),
    /// The process is killed.
    Crash,
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    proptest::collection::vec((0_u8..8, 0_u8..3, 0_usize..4), 0..12)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..2, items()).prop_map(|(tenant, items)| Step::Page(tenant, items)),
        4 => (0_usize..2, 1_u32..4, proptest::collection::vec(0_u8..6, 1..8))
            .prop_map(|(sink, batches, answers)| Step::Deliver(sink, batches, answers)),
        2 => (0_usize..2, 0_usize..2, any::<bool>(), any::<bool>())
            .prop_map(|(tenant, sink, unrouted, again)| Step::Replay(tenant, sink, unrouted, again)),
        1 => (0_usize..2, items()).prop_map(|(tenant, items)| Step::Overtake(tenant, items)),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..25)
}

/// A record's place: batch, and index in it.
type Place = (usize, usize);

/// What a tenant owes a sink.
#[derive(Default)]
struct Queue {
    /// In order; each with whether it was replayed.
    owed: VecDeque<(Place, bool)>,
    /// What waits to step in.
    waiting: BTreeSet<Place>,
    /// What was acknowledged or refused.
    answered: HashSet<Place>,
}

impl Queue {
    fn len(&self) -> usize {
        self.owed.len() + self.waiting.len()
    }

    /// What waits steps in where nothing that was replayed is in the queue, so many batches of it.
    fn step_in(&mut self, batches: usize) {
        if self.owed.iter().any(|(_, replayed)| *replayed) {
            return;
        }
        let first: BTreeSet<usize> = self.waiting.iter().map(|(batch, _)| *batch).collect();
        let first: BTreeSet<usize> = first.into_iter().take(batches).collect();
        let stepping: Vec<Place> =
            self.waiting.iter().filter(|(batch, _)| first.contains(batch)).copied().collect();
        for place in stepping {
            self.waiting.remove(&place);
            self.owed.push_back((place, true));
        }
    }
}

/// What must be true.
#[derive(Default)]
struct Model {
    known: HashSet<(usize, u8, u8)>,
    /// Every batch: whose, and its records.
    batches: Vec<(usize, Vec<String>)>,
    queues: [[Queue; 2]; 2],
    unrouted: BTreeSet<Place>,
    refused: usize,
}

impl Model {
    /// How many of the page's records are new.
    fn accept(&mut self, tenant: usize, items: &[Item]) -> u32 {
        let mut batch = Vec::new();
        for (id, version, sinks) in items {
            if self.known.insert((tenant, *id, *version)) {
                let place = (self.batches.len(), batch.len());
                batch.push(text(*id, *version));
                if *sinks == 0 {
                    self.unrouted.insert(place);
                }
                for sink in (0..SINKS.len()).filter(|sink| sinks & (1 << sink) != 0) {
                    self.queues[tenant][sink].owed.push_back((place, false));
                }
            }
        }
        let fresh = batch.len() as u32;
        if fresh > 0 {
            self.batches.push((tenant, batch));
        }
        fresh
    }

    /// How many records the sink is owed from now on.
    fn replay(&mut self, tenant: usize, sink: usize, unrouted: bool, again: bool) -> u64 {
        let mut owed = 0;
        for (number, (_, records)) in self.batches.iter().enumerate().filter(|(_, (of, _))| *of == tenant) {
            for place in (0..records.len()).map(|index| (number, index)) {
                let queue = &mut self.queues[tenant][sink];
                let is_owed = queue.waiting.contains(&place) || queue.owed.iter().any(|(of, _)| *of == place);
                let about = !unrouted || self.unrouted.contains(&place);
                if about && !is_owed && (again || !queue.answered.contains(&place)) {
                    queue.waiting.insert(place);
                    self.unrouted.remove(&place);
                    owed += 1;
                }
            }
        }
        owed
    }
}

fn text(id: u8, version: u8) -> String {
    format!(r#"{{"id":"{id}","version":{version}}}"#)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).expect("in range")
}

struct Run<'c> {
    location: Location,
    cluster: Option<&'c Cluster>,
    key: MasterKey,
    store: SqlStore,
    sources: [SourceLease; 2],
    model: Model,
    now: i64,
    instance: u128,
}

impl<'c> Run<'c> {
    async fn new(folder: &Path, cluster: Option<&'c Cluster>) -> Self {
        let location = Location::new(folder, "db", cluster);
        let key = MasterKey::generate();
        let store = location.create(&key).await;
        for number in 0..2_u128 {
            let tenant = NewTenant {
                id: Uuid::from_u128(number + 1).into(),
                slug: Slug::from_name(&format!("t{number}")).expect("a slug"),
                name: String::new(),
                domain: None,
                app: "main".to_owned(),
                sources: BTreeSet::from([Source::GraphAlerts]),
                tags: BTreeSet::new(),
                since: at(0),
                state: TenantState::Active,
            };
            store.add_tenant(tenant, "test", at(number as i64)).await.expect("added");
        }
        let sources = lease(&store, 1, 10).await;
        Self { location, cluster, key, store, sources, model: Model::default(), now: 10, instance: 1 }
    }

    async fn accept(&self, lease: &SourceLease, items: &[Item]) -> Result<u32, StoreError> {
        let [one, other] = SINKS.map(str::to_owned);
        let destinations = [vec![], vec![one.clone()], vec![other.clone()], vec![one, other]]
            .map(|sinks| Destination::of(&sinks));
        let bodies = items.iter().map(|(id, version, _)| text(*id, *version)).collect::<Vec<_>>();
        let records = items.iter().zip(&bodies).map(|((id, version, sinks), body)| NewRecord {
            head: RecordHead {
                id: id.to_string(),
                // Some versions differ in their content only.
                updated_at: Some(at(i64::from(version / 2))),
                created_at: None,
                severity: Severity::Low,
                hash: ContentHash::of(body.as_bytes()),
                change: None,
            },
            body,
            destination: *sinks,
        });
        let cursor = Cursor::starting(at(self.now));
        let records = records.collect();
        let page = AcceptedPage {
            records,
            text: None,
            dead_letters: Vec::new(),
            destinations: &destinations,
            cursor,
            request_id: None,
            proved_up_to: None,
        };
        let receipt = self.store.accept_page(lease, page, LEASE, at(self.now)).await?;
        assert_eq!((receipt.accepted + receipt.known) as usize, items.len());
        Ok(receipt.accepted)
    }

    async fn deliver(&mut self, sink: usize, batches: u32, answers: &[u8]) {
        let limits = DeliveryLimits { batches, body_bytes: 1 << 20 };
        let me = InstanceId(Uuid::from_u128(self.instance));
        let lease = self.store.lease_due_deliveries(me, SINKS[sink], limits, LEASE, at(self.now)).await;
        let owed_any = self.model.queues.iter().any(|tenant| tenant[sink].len() > 0);
        let Some(lease) = lease.expect("leased") else {
            assert!(!owed_any, "something is owed and not given");
            return;
        };
        let tenant = (lease.tenant.id.as_uuid().as_u128() - 1) as usize;
        let queue = &mut self.model.queues[tenant][sink];
        queue.step_in(batches as usize);
        let mut answers = answers.iter().cycle();
        let (mut finished, mut put_off) = (Vec::new(), VecDeque::new());
        for delivery in &lease.deliveries {
            let (mut delivered, mut rejected, mut kept) = (0, Vec::new(), HashSet::new());
            for (index, record) in delivery.records() {
                let (place, replayed) = queue.owed.pop_front().expect("only what is owed");
                assert_eq!(self.model.batches[place.0].1[place.1], record.body, "in order");
                match answers.next() {
                    Some(0) => {
                        kept.insert(index);
                        put_off.push_back((place, replayed));
                        continue;
                    }
                    Some(1) => {
                        rejected.push((index as u32, "refused".to_owned()));
                        self.model.refused += 1;
                    }
                    _ => delivered += 1,
                }
                queue.answered.insert(place);
            }
            let remaining = Selection::of(delivery.batch.len(), |index| kept.contains(&index));
            finished.push(FinishedDelivery { number: delivery.number, remaining, delivered, rejected });
        }
        while let Some(item) = put_off.pop_back() {
            queue.owed.push_front(item);
        }
        self.store.finish_deliveries(&lease, finished, None, at(self.now)).await.expect("finished");
    }

    async fn replay(&mut self, tenant: usize, sink: usize, unrouted: bool, again: bool) {
        let to = Destination::of(&[SINKS[sink].to_owned()]);
        let request = ReplayRequest {
            tenant: Uuid::from_u128(tenant as u128 + 1).into(),
            source: Source::GraphAlerts,
            since: Timestamp::MIN,
            up_to: u64::MAX,
            until: Timestamp::MAX,
            ids: &[],
            unrouted,
            again,
            to: ReplayTo::One(&to),
            id: None,
            dry_run: true,
        };
        let preview = self.store.replay(&request, 0, at(self.now)).await.expect("counted");
        let request = ReplayRequest { dry_run: false, ..request };
        let step = self.store.replay(&request, 0, at(self.now)).await.expect("replayed");
        assert_eq!(step, preview, "a preview tells what comes of it");
        assert_eq!(step.counts.owed(), self.model.replay(tenant, sink, unrouted, again));
    }

    async fn overtake(&mut self, tenant: usize, items: &[Item]) {
        let old = self.sources.clone();
        self.now += 120;
        self.instance += 1;
        self.sources = lease(&self.store, self.instance, self.now).await;
        let refused = self.accept(&old[tenant], items).await;
        assert!(matches!(refused, Err(StoreError::LeaseLost { .. })));
        let result =
            PollResult::Yielded { next_at: at(self.now), progressed: false, missing: None, cursor: None };
        let refused = self.store.finish_poll(&old[tenant], result, at(self.now)).await;
        assert!(matches!(refused, Err(StoreError::LeaseLost { .. })));
    }

    async fn crash(mut self) -> Self {
        drop(self.store);
        self.instance += 1;
        self.store = self.location.open(OpenMode::Exclusive, &self.key.clone().into()).await;
        let nodes = [self.instance - 1, self.instance].map(|number| InstanceId(Uuid::from_u128(number)));
        succeed(&self.store, self.cluster, &self.location, nodes, at(self.now)).await;
        self.sources = lease(&self.store, self.instance, self.now).await;
        self
    }

    async fn step(mut self, step: &Step) -> Self {
        self.now += 1;
        match step {
            Step::Page(tenant, items) => {
                let accepted = self.accept(&self.sources[*tenant], items).await.expect("accepted");
                assert_eq!(accepted, self.model.accept(*tenant, items));
            }
            Step::Deliver(sink, batches, answers) => self.deliver(*sink, *batches, answers).await,
            Step::Replay(tenant, sink, unrouted, again) => {
                self.replay(*tenant, *sink, *unrouted, *again).await;
            }
            Step::Overtake(tenant, items) => self.overtake(*tenant, items).await,
            Step::Crash => self = self.crash().await,
        }
        for state in self.store.queue_states().await.expect("read") {
            let tenant = (state.tenant.as_uuid().as_u128() - 1) as usize;
            let sink = SINKS.iter().position(|sink| *sink == state.sink).expect("one of them");
            assert_eq!(state.owed as usize, self.model.queues[tenant][sink].len());
        }
        let unrouted = self.store.unrouted().await.expect("read");
        assert_eq!(
            unrouted.iter().map(|found| found.records).sum::<u64>() as usize,
            self.model.unrouted.len()
        );
        let filter = LedgerFilter { tenant: None, source: None, from: at(-7200), to: at(7200) };
        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        let hours = self.store.ledger(filter, at(self.now)).await.expect("read");
        for hour in &hours {
            *counted.entry("new").or_default() += hour.new;
            *counted.entry("unrouted").or_default() += hour.unrouted;
        }
        assert_eq!(counted["unrouted"] as usize, self.model.unrouted.len(), "the ledger is exact");
        assert_eq!(counted["new"] as usize, self.model.known.len());
        let totals = self.store.journal_totals().await.expect("added up");
        assert_eq!(totals.records as usize, self.model.known.len());
        assert_eq!(totals.dead_letters as usize, self.model.refused);
        self
    }
}

async fn lease(store: &SqlStore, instance: u128, now: i64) -> [SourceLease; 2] {
    let me = InstanceId(Uuid::from_u128(instance));
    // A long lease, so that only a test that means it overtakes it.
    let mut leases = store.lease_due_sources(me, 2, Duration::from_secs(100), at(now)).await.expect("leased");
    leases.sort_by_key(|lease| lease.tenant.id);
    leases.try_into().expect("both are due")
}

/// Each version reaches each sink once and in order.
fn check(cluster: Option<&Cluster>) {
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in steps())| {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::new(folder.path(), cluster).await;
            for step in &steps {
                run = run.step(step).await;
            }
            for sink in 0..SINKS.len() {
                while run.model.queues.iter().any(|tenant| tenant[sink].len() > 0) {
                    run.deliver(sink, 4, &[2]).await;
                }
                run.deliver(sink, 4, &[2]).await;
            }
            run.store.close().await;
        });
    });
}

#[test]
fn each_version_reaches_each_sink_once_and_in_order() {
    check(None);
}

#[test]
fn each_version_reaches_each_sink_once_and_in_order_on_postgres() {
    let Some(cluster) = Cluster::shared() else { return };
    check(Some(&cluster));
}
