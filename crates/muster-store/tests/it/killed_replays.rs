//! A process that accepts what no route takes, replays it, and delivers it to a sink that remembers the highest number it
//! has written, is killed again and again: in the end the sink has every record once.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Cursor, RecordHead, Source, TenantId, TenantState};
use muster_store::{
    AcceptedPage, Deliveries, DeliveryLimits, Destination, FinishedDelivery, InstanceId, Journal, KeyRing,
    Leases, Lifetime, MasterKey, NewRecord, NewTenant, OpenMode, ReplayRequest, ReplayTo, Replays, Sources,
    SqlStore, Tenants,
};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::location::Location;
use crate::worker::{self, say};

const STORE: &str = "killed.db";
const KEYS: &str = "killed.key";
/// What the sink has written: a delivery's number and a record's id on each line.
const WRITTEN: &str = "written";
const ROUNDS: u64 = 10;
const LEASE: Duration = Duration::from_secs(60);

fn tenant() -> TenantId {
    Uuid::from_u128(0x5f0d_2c3e_0000_4000_8000_0000_0000_0002).into()
}

/// Leases of the one that was killed are over by then, whatever it did.
fn at(round: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + round * 1000).expect("in range")
}

async fn open(folder: &Path, location: &Location) -> SqlStore {
    let keys = KeyRing::read_file(&folder.join(KEYS)).expect("the file is whole");
    location.open(OpenMode::Exclusive, &keys).await
}

/// Lines that are whole, as pairs of number and id.
fn written(folder: &Path) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(folder.join(WRITTEN)).unwrap_or_default();
    let pair = |line: &str| {
        let (number, id) = line.split_once(' ').expect("a pair");
        (number.parse().expect("a number"), id.to_owned())
    };
    text.lines().map(pair).collect()
}

/// Delivers some of what is owed, as a file sink does; whether anything was.
async fn deliver(store: &SqlStore, folder: &Path, now: Timestamp, batches: u32) -> bool {
    let limits = DeliveryLimits { batches, body_bytes: 1 << 20 };
    let me = InstanceId(Uuid::new_v4());
    let lease = store.lease_due_deliveries(me, "file", limits, LEASE, now).await.expect("leased");
    let Some(lease) = lease else { return false };
    let highest = written(folder).last().map_or(0, |(number, _)| *number);
    let (mut text, mut finished) = (String::new(), Vec::new());
    for delivery in &lease.deliveries {
        let records = delivery.records().map(|(_, record)| record.head.id.clone()).collect::<Vec<_>>();
        if delivery.number.0 > highest {
            records.iter().for_each(|id| text.push_str(&format!("{} {id}\n", delivery.number.0)));
        }
        let (number, delivered) = (delivery.number, records.len() as u32);
        finished.push(FinishedDelivery { number, remaining: None, delivered, rejected: Vec::new() });
    }
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(folder.join(WRITTEN)).expect("open");
    file.write_all(text.as_bytes()).expect("written");
    say("written");
    store.finish_deliveries(&lease, finished, None, now).await.expect("finished");
    true
}

async fn replay(store: &SqlStore, now: Timestamp) {
    let to = Destination::of(&["file".to_owned()]);
    let request = ReplayRequest {
        tenant: tenant(),
        source: Source::GraphAlerts,
        since: Timestamp::MIN,
        up_to: u64::MAX,
        until: Timestamp::MAX,
        ids: &[],
        unrouted: true,
        again: false,
        to: ReplayTo::One(&to),
        id: None,
        dry_run: false,
    };
    let mut after = 0;
    while let Some(next) = store.replay(&request, after, now).await.expect("replayed").next {
        after = next;
    }
}

#[tokio::test]
#[ignore = "started, and killed, by the tests below"]
async fn worker() {
    let folder = Path::new(".");
    let Some(location) = Location::of_worker(folder) else { return };
    let round: i64 = std::fs::read_to_string("round").expect("a round").parse().expect("a number");
    let store = open(folder, &location).await;
    let me = InstanceId(Uuid::new_v4());
    store.take_over(me, at(round)).await.expect("taken over");
    let lease = store.lease_due_sources(me, 1, LEASE, at(round)).await.expect("leased").remove(0);
    for step in 0.. {
        // Some go to the sink at once, most are missed.
        let bodies = (0..5).map(|index| format!(r#"{{"id":"{round}-{step}-{index}"}}"#)).collect::<Vec<_>>();
        let records = bodies.iter().map(|body| NewRecord {
            head: RecordHead::read(lease.source.kind(), body).expect("a record"),
            body,
            destination: usize::from(step % 4 == 0),
        });
        let page = AcceptedPage {
            records: records.collect(),
            text: None,
            dead_letters: Vec::new(),
            destinations: &[Destination::default(), Destination::of(&["file".to_owned()])],
            cursor: Cursor::starting(at(0)),
            request_id: None,
            proved_up_to: None,
        };
        store.accept_page(&lease, page, LEASE, at(round)).await.expect("accepted");
        if step % 3 == 2 {
            replay(&store, at(round)).await;
        }
        deliver(&store, folder, at(round), 2).await;
    }
}

#[tokio::test]
async fn a_killed_replay_loses_and_doubles_nothing() {
    check(None).await;
}

#[tokio::test]
async fn a_killed_replay_loses_and_doubles_nothing_on_postgres() {
    let Some(cluster) = Cluster::shared() else { return };
    check(Some(&cluster)).await;
}

async fn check(cluster: Option<&Cluster>) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = MasterKey::generate();
    key.write_new_file(&folder.path().join(KEYS)).expect("written");
    let location = Location::new(folder.path(), STORE, cluster);
    location.tell_worker(folder.path());
    let store = location.create(&key).await;
    let new = NewTenant {
        id: tenant(),
        slug: "contoso".parse().expect("a slug"),
        name: "Contoso".to_owned(),
        domain: None,
        app: "main".to_owned(),
        sources: BTreeSet::from([Source::GraphAlerts]),
        tags: BTreeSet::new(),
        since: at(0),
        state: TenantState::Active,
    };
    store.add_tenant(new, "test", at(0)).await.expect("added");
    store.close().await;
    for round in 0..ROUNDS {
        std::fs::write(folder.path().join("round"), (round + 1).to_string()).expect("written");
        kill_worker(folder.path(), 3 + round % 4, Duration::from_micros(700 * round));
    }
    let store = open(folder.path(), &location).await;
    let now = at(ROUNDS as i64 + 1);
    store.take_over(InstanceId(Uuid::new_v4()), now).await.expect("taken over");
    replay(&store, now).await;
    while deliver(&store, folder.path(), now, 16).await {}
    assert!(store.unrouted().await.expect("read").is_empty());
    let written = written(folder.path());
    let once: BTreeSet<&String> = written.iter().map(|(_, id)| id).collect();
    let records = store.journal_totals().await.expect("added up").records as usize;
    assert!(records > 100, "the worker was at work: {records}");
    assert_eq!((once.len(), written.len()), (records, records), "each once");
    assert!(written.windows(2).all(|pair| pair[0].0 <= pair[1].0), "numbers rise");
    let state = store.queue_states().await.expect("read").remove(0);
    assert_eq!(state.owed, 0);
    store.close().await;
}

/// Starts the worker, and kills it once it has written so often and `then` has passed.
fn kill_worker(folder: &Path, until: u64, then: Duration) {
    let mut count = 0;
    worker::kill_worker("killed_replays::worker", folder, then, |line| {
        count += u64::from(line.contains("written"));
        count >= until
    });
}
