//! A store is moved from a file to a database and back: it is the same afterwards, whenever the move was killed, and what was
//! owed is delivered once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{
    Clock as _, ContentHash, Cursor, RecordHead, Secret, Selection, Severity, Slug, Source, SystemClock,
    TenantId, TenantState,
};
use muster_store::{
    AcceptedPage, AuditLog, Deliveries, DeliveryLimits, Destination, FinishedDelivery, GrantLease, Grants,
    Heartbeat, Heartbeats, InstanceId, Journal, KeyRing, Leases, Lifetime, MoveStep, MovedStore, NewGrant,
    NewRecord, NewTenant, Nodes, OpenMode, PageReceipt, Retention, Sources, SqlStore, StoreError, Tenants,
    abandon_move, look, migrate,
};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::location::Location;
use crate::recorded::copy_to;
use crate::worker::{self, say};

const LEASE: Duration = Duration::from_secs(60);
const ME: InstanceId = InstanceId(Uuid::from_u128(1));
const SINK: &str = "file";

fn tenant() -> TenantId {
    Uuid::from_u128(0x5f0d_2c3e_0000_4000_8000_0000_0000_0009).into()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_100_000 + seconds).expect("in range")
}

fn keys(folder: &Path) -> KeyRing {
    KeyRing::read_file(&folder.join("master.key")).expect("read")
}

/// A store in a file, with something in most of its tables: that which an earlier version recorded, and more.
async fn filled(folder: &Path) -> Location {
    copy_to(folder);
    let location = Location::Sqlite(folder.join("store.db"));
    let store = location.open(OpenMode::Exclusive, &keys(folder)).await;
    let new = NewTenant {
        id: tenant(),
        slug: Slug::from_name("moved").expect("a slug"),
        // A character that PostgreSQL has no place for.
        name: "Mo\0ved “Ltd.”".to_owned(),
        domain: None,
        app: "main".to_owned(),
        sources: BTreeSet::from([Source::GraphAlerts]),
        tags: BTreeSet::from(["gold".parse().expect("a tag")]),
        since: at(0),
        state: TenantState::Active,
    };
    store.add_tenant(new, "test", at(0)).await.expect("added");
    let heartbeat = Heartbeat {
        instance: InstanceId(Uuid::from_u128(7)),
        host: "host".to_owned(),
        pid: 1,
        version: "test".to_owned(),
        started_at: at(0),
        beat_at: at(0),
        stopped_at: None,
        troubles: Vec::new(),
    };
    store.beat(heartbeat).await.expect("told");
    let grant = NewGrant {
        tenant: tenant(),
        app: "main".to_owned(),
        account: "admin".to_owned(),
        resource: "graph".to_owned(),
        refresh_token: Secret::from("a token"),
        expires_at: None,
    };
    store.put_grant(grant, at(0)).await.expect("put");
    for page in 0..40 {
        accept(&store, &numbered(page * 10..page * 10 + 10), at(page)).await;
    }
    accept(&store, &["with a \0 in it".to_owned(), "plain".to_owned()], at(40)).await;
    deliver(&store, 5, at(41), &mut Vec::new()).await;
    store.close().await;
    location
}

fn numbered(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|number| format!("r{number:04}")).collect()
}

/// Accepts a page of records with these ids: each third is wanted by nobody.
async fn accept(store: &SqlStore, ids: &[String], now: Timestamp) -> PageReceipt {
    let later = now.checked_add(Duration::from_secs(3600)).expect("in range");
    let leases = store.lease_due_sources(ME, 100, LEASE, later).await.expect("leased");
    let lease = leases.into_iter().find(|lease| lease.tenant.id == tenant()).expect("it is due");
    let bodies = ids.iter().map(|id| format!("{{\"id\":{}}}", quoted(id))).collect::<Vec<_>>();
    let records = ids.iter().zip(&bodies).enumerate().map(|(place, (id, body))| NewRecord {
        head: RecordHead {
            id: id.clone(),
            updated_at: Some(at(-5)),
            created_at: None,
            severity: Severity::High,
            hash: ContentHash::of(body.as_bytes()),
            change: None,
        },
        body,
        destination: usize::from(place % 3 != 2),
    });
    let page = AcceptedPage {
        records: records.collect(),
        text: None,
        dead_letters: Vec::new(),
        destinations: &[Destination::default(), Destination::of(&[SINK.to_owned()])],
        cursor: Cursor::starting(at(-10)),
        request_id: Some("a request".to_owned()),
        proved_up_to: None,
    };
    let receipt = store.accept_page(&lease, page, LEASE, later).await.expect("accepted");
    store.drop_leases(ME).await.expect("ended");
    receipt
}

/// Delivers up to so many batches; the numbers and ids. The first record of a lease is put off, the second refused.
async fn deliver(store: &SqlStore, batches: u32, now: Timestamp, out: &mut Vec<(u64, String)>) -> bool {
    let limits = DeliveryLimits { batches, body_bytes: 1 << 30 };
    let later = now.checked_add(Duration::from_secs(7200)).expect("in range");
    let lease = store.lease_due_deliveries(ME, SINK, limits, LEASE, later).await.expect("leased");
    let Some(lease) = lease else { return false };
    let mut finished = Vec::new();
    for delivery in &lease.deliveries {
        let records: Vec<_> =
            delivery.records().map(|(index, record)| (index, record.head.id.clone())).collect();
        let put_off = (batches < 100 && records.len() > 2).then(|| records[0].0);
        let remaining =
            put_off.and_then(|put_off| Selection::of(delivery.batch.len(), |index| index == put_off));
        let taken: Vec<_> = records.iter().filter(|(index, _)| Some(*index) != put_off).collect();
        out.extend(taken.iter().map(|(_, id)| (delivery.number.0, id.clone())));
        let delivered = taken.len() as u32;
        finished.push(FinishedDelivery {
            number: delivery.number,
            remaining,
            delivered,
            rejected: Vec::new(),
        });
    }
    store.finish_deliveries(&lease, finished, None, later).await.expect("finished");
    true
}

async fn moved(from: &Location, to: &Location, keys: &KeyRing) -> Result<MovedStore, StoreError> {
    migrate(&from.address(), &to.address(), keys, &mut |_| {}).await
}

fn hashes(moved: &MovedStore) -> Vec<(&str, u64, &str)> {
    moved.tables.iter().map(|table| (&*table.table, table.rows, &*table.hash)).collect()
}

#[tokio::test]
async fn there_and_back_is_the_same_store() {
    let Some(cluster) = Cluster::shared() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keys_of(folder.path()).await;
    let file = filled(folder.path()).await;
    let database = Location::Postgres(cluster.new_store());
    let there = moved(&file, &database, &keys).await.expect("moved");
    let filled = there.tables.iter().filter(|table| table.rows > 0).count();
    assert!(filled > 25, "most of the tables have something in them: {there:?}");
    // Each says where the store is.
    let refused = SqlStore::open(&folder.path().join("store.db"), OpenMode::Shared, &keys).await;
    let said = refused.err().expect("refused").to_string();
    assert!(said.contains("it is postgres://") && said.contains("[store]"), "{said}");
    let looked = look(&file.address(), Some(&keys)).await.expect_err("refused").to_string();
    assert!(looked.contains("it is postgres://"), "{looked}");
    let again = moved(&file, &database, &keys).await.expect_err("it has gone");
    assert!(matches!(again, StoreError::Moved { .. }), "{again}");
    let other = Location::Sqlite(folder.path().join("back.db"));
    let back = moved(&database, &other, &keys).await.expect("moved back");
    assert_eq!(hashes(&there), hashes(&back));
    let third = Location::Postgres(cluster.new_store());
    assert_eq!(hashes(&moved(&other, &third, &keys).await.expect("and there again")), hashes(&there));
}

async fn keys_of(folder: &Path) -> KeyRing {
    copy_to(folder);
    keys(folder)
}

#[tokio::test]
async fn what_is_owed_is_delivered_once_wherever_the_store_goes() {
    let Some(cluster) = Cluster::shared() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keys_of(folder.path()).await;
    let mut at_home = filled(folder.path()).await;
    let mut had = Vec::new();
    let day = 86_400;
    let places = [
        Location::Postgres(cluster.new_store()),
        Location::Sqlite(folder.path().join("1.db")),
        Location::Postgres(cluster.new_store()),
        Location::Sqlite(folder.path().join("2.db")),
    ];
    for (turn, next) in (1..).zip(places) {
        moved(&at_home, &next, &keys).await.expect("moved");
        at_home = next;
        let store = at_home.open(OpenMode::Exclusive, &keys).await;
        // Of the same day as those before, and of another, which is another partition.
        for (page, now) in (0..).zip([turn * 2 * day, turn * 2 * day + 5, (turn * 2 + 1) * day]) {
            let ids = numbered(1000 * turn + 10 * page..1000 * turn + 10 * page + 6);
            assert_eq!(accept(&store, &ids, at(now)).await.accepted, 6);
            assert_eq!(accept(&store, &ids, at(now)).await.accepted, 0, "they are known");
        }
        assert_eq!(
            accept(&store, &numbered(0..400), at(turn * 2 * day)).await.accepted,
            0,
            "as are all others"
        );
        deliver(&store, 7, at(turn * 2 * day), &mut had).await;
        let lease = store.lease_grant(ME, tenant(), "main", LEASE, at(turn * 2 * day)).await;
        let Ok(GrantLease::Leased { refresh_token, fence, .. }) = lease else { panic!("not leased") };
        assert_eq!(refresh_token.expose(), "a token");
        store.fail_grant(tenant(), "main", fence, "x".to_owned(), false, at(turn)).await.expect("given back");
        assert_eq!(store.verify_audit().await.expect("checked").first_bad, None);
        store.close().await;
    }
    let store = at_home.open(OpenMode::Exclusive, &keys).await;
    while deliver(&store, 100, at(20 * day), &mut had).await {}
    let ids: BTreeSet<&String> = had.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), had.len(), "none twice");
    let first: BTreeSet<String> = {
        // What the sink had before the first move.
        let fresh = tempfile::tempdir().expect("a folder");
        let before = filled(fresh.path()).await;
        let store = before.open(OpenMode::Exclusive, &keys).await;
        let mut rest = Vec::new();
        while deliver(&store, 100, at(20 * day), &mut rest).await {}
        rest.into_iter().map(|(_, id)| id).collect()
    };
    let later = (1..5).flat_map(|turn| {
        (0..3).flat_map(move |page| {
            numbered(1000 * turn + 10 * page..1000 * turn + 10 * page + 6)
                .into_iter()
                .enumerate()
                .filter(|(place, _)| place % 3 != 2)
                .map(|(_, id)| id)
        })
    });
    let wanted: BTreeSet<String> = first.into_iter().chain(later).collect();
    assert_eq!(had.iter().map(|(_, id)| id.clone()).collect::<BTreeSet<_>>(), wanted, "and each");
    // What is old goes, and numbers go on.
    let keep = Retention { journal: at(21 * day), versions: at(-day), ledger: at(-day), now: at(21 * day) };
    let kept = store.journal_totals().await.expect("added up").records;
    assert!(kept > 400 && store.prune_journal(keep).await.expect("pruned").batches > 40);
    let highest = had.iter().map(|(number, _)| *number).max().expect("some");
    accept(&store, &["new".to_owned()], at(22 * day)).await;
    let mut last = Vec::new();
    deliver(&store, 100, at(23 * day), &mut last).await;
    assert!(last[0].1 == "new" && last[0].0 > highest, "{last:?} after {highest}");
    store.close().await;
}

#[tokio::test]
#[ignore = "started, and killed, by the test below"]
async fn worker() {
    let folder = Path::new(".");
    let Some(database) = Location::of_worker(folder) else { return };
    let file = Location::Sqlite(std::fs::canonicalize(folder.join("store.db")).expect("there"));
    let said = &mut |_: MoveStep<'_>| say("a step");
    migrate(&file.address(), &database.address(), &keys(folder), said).await.expect("moved");
    say("moved");
}

#[tokio::test]
async fn a_move_that_is_killed_goes_on_where_it_stopped() {
    let Some(cluster) = Cluster::shared() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keys_of(folder.path()).await;
    let file = filled(folder.path()).await;
    let database = Location::Postgres(cluster.new_store());
    database.tell_worker(folder.path());
    for (round, until) in (0..).zip([3, 12, 20, 30, 40, 50]) {
        let mut steps = 0;
        worker::kill_worker("moved::worker", folder.path(), Duration::from_millis(round * 3), |line| {
            assert!(!line.contains("moved"), "it was killed before");
            steps += u32::from(line.contains("a step"));
            steps >= until
        });
        // Neither can be worked with.
        let from = SqlStore::open(&folder.path().join("store.db"), OpenMode::Exclusive, &keys).await;
        let said = from.err().expect("refused").to_string();
        assert!(said.contains("the same `muster store migrate` again"), "{said}");
        let to = look(&database.address(), Some(&keys)).await;
        assert!(matches!(to, Err(StoreError::Moving { .. })), "{to:?}");
    }
    let other = moved(&file, &Location::Postgres(cluster.new_store()), &keys).await;
    let said = other.expect_err("it goes elsewhere").to_string();
    assert!(said.contains("is not done"), "{said}");
    let done = moved(&file, &database, &keys).await.expect("moved");
    let before: u64 = done.tables.iter().map(|table| table.there_before).sum();
    assert!(before > 400, "it went on: {before}");
    // As if nothing had been.
    let fresh = tempfile::tempdir().expect("a folder");
    std::fs::copy(folder.path().join("store.db"), fresh.path().join("store.db")).expect("copied");
    let back =
        moved(&database, &Location::Sqlite(fresh.path().join("back.db")), &keys).await.expect("moved back");
    assert_eq!(hashes(&done), hashes(&back));
}

#[tokio::test]
async fn what_has_not_arrived_is_told() {
    let Some(cluster) = Cluster::shared() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keys_of(folder.path()).await;
    let file = filled(folder.path()).await;
    let settings = cluster.new_store();
    let schema = settings.schema.clone();
    let database = Location::Postgres(settings);
    let mut spoiled = false;
    let spoil = &mut |step: MoveStep<'_>| {
        if matches!(step, MoveStep::Comparing(_)) && !std::mem::replace(&mut spoiled, true) {
            cluster.sql("muster", &format!("UPDATE {schema}.ledger SET new = new + 1 WHERE hour = (SELECT max(hour) FROM {schema}.ledger)"));
            cluster.sql(
                "muster",
                &format!(
                    "DELETE FROM {schema}.delivery WHERE number = (SELECT max(number) FROM {schema}.delivery)"
                ),
            );
        }
    };
    let said =
        migrate(&file.address(), &database.address(), &keys, spoil).await.expect_err("told").to_string();
    assert!(said.contains("`ledger` has other contents in one of its"), "{said}");
    assert!(said.contains("`delivery` has") && said.contains("rows instead of"), "{said}");
    assert!(said.contains("--abandon"), "{said}");
    // It is of no use, and the source is as it was.
    assert!(matches!(look(&database.address(), None).await, Err(StoreError::Moving { .. })));
    let given_up = abandon_move(&file.address(), &keys).await.expect("given up");
    assert!(given_up.contains(&schema), "{given_up}");
    file.open(OpenMode::Exclusive, &keys).await.close().await;
    let refused = moved(&file, &database, &keys).await.expect_err("something is there").to_string();
    assert!(refused.contains("holds something else already"), "{refused}");
    assert!(look(&file.address(), Some(&keys)).await.is_ok(), "a refused move leaves no mark");
    moved(&file, &Location::Postgres(cluster.new_store()), &keys).await.expect("moved elsewhere");
}

#[tokio::test]
async fn a_damaged_store_is_not_moved() {
    let Some(cluster) = Cluster::shared() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keys_of(folder.path()).await;
    let file = filled(folder.path()).await;
    let path = folder.path().join("store.db");
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2 / 8192 * 8192;
    bytes[middle..middle + 8192].fill(0x5a);
    std::fs::write(&path, bytes).expect("written");
    let database = Location::Postgres(cluster.new_store());
    let said = moved(&file, &database, &keys).await.expect_err("told");
    assert!(matches!(said, StoreError::Damaged { .. }), "{said}");
    assert!(said.to_string().contains("restore it from a backup"), "{said}");
    let nothing = look(&database.address(), None).await.expect_err("nothing was made").to_string();
    assert!(nothing.contains("there is no store"), "{nothing}");
}

#[tokio::test]
async fn a_store_that_is_worked_with_is_not_moved() {
    let Some(cluster) = Cluster::shared() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let keys = keys_of(folder.path()).await;
    let recorded = Location::Sqlite(folder.path().join("store.db"));
    let said = moved(&recorded, &Location::Postgres(cluster.new_store()), &keys).await;
    let said = said.expect_err("an earlier version recorded it").to_string();
    assert!(said.contains("is of an earlier version of Muster"), "{said}");
    let file = filled(folder.path()).await;
    let database = Location::Postgres(cluster.new_store());
    let running = file.open(OpenMode::Exclusive, &keys).await;
    let said = moved(&file, &database, &keys).await.expect_err("somebody works with it");
    assert!(matches!(said, StoreError::Locked { .. }), "{said}");
    running.close().await;
    let running = database.create(&keys.current).await;
    running.live(ME, SystemClock.now()).await.expect("told");
    let said = moved(&file, &database, &keys).await.expect_err("somebody works with it");
    assert!(
        said.to_string().contains("holds something else") || matches!(said, StoreError::Locked { .. }),
        "{said}"
    );
    let back = Location::Sqlite(folder.path().join("back.db"));
    let said = moved(&database, &back, &keys).await.expect_err("somebody works with it");
    assert!(matches!(said, StoreError::Locked { .. }), "{said}");
    running.close().await;
    let same = moved(&file, &back, &keys).await.expect_err("both are files").to_string();
    assert!(same.contains("`muster backup`"), "{same}");
    let wrong = KeyRing::from(muster_store::MasterKey::generate());
    let said = moved(&file, &Location::Postgres(cluster.new_store()), &wrong).await.expect_err("another key");
    assert!(matches!(said, StoreError::WrongMasterKey { .. }), "{said}");
    file.open(OpenMode::Exclusive, &keys).await.close().await;
}

/// As JSON spells it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\0', "\\u0000"))
}
