//! What is SQLite's own: group commit, files, locks, damage, a full disk.

mod identity;
mod keys;
mod marks;
mod notices;
mod pull_clients;
mod replays;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Cursor, Reason, RecordHead, Slug, Source, TenantId, TenantState};
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::engine::SqlStore;
use crate::sql::{Connection, Query, Readers, query};
use crate::tables::damage::VERSIONS_OF_BATCH;
use crate::tables::history::LATEST_OF_RECORDS;
use crate::tables::known::{KNOWN_BY_ID_AND_TIME, KNOWN_VERSIONS};
use crate::tables::searches::{LATER_VERSION, VERSIONS_BY_TIME};
use crate::tables::trace::TRACED_VERSIONS;
use crate::tables::witness::NAMED;
use crate::writer::{CUT_AFTER, Durability};
use crate::{
    AcceptedPage, AuditLog, Credentials, DeadLetters, Deliveries, DeliveryLimits, Destination,
    FinishedDelivery, Grants, InstanceId, Journal, KeptReceiver, Keys, Leases, Lifetime, MasterKey,
    NewRecord, NewTenant, Notices, OpenMode, PageReceipt, PollResult, SignIns, SourceLease, Sources,
    StoreError, Tenants,
};

const LEASE: Duration = Duration::from_secs(60);
const LIMITS: DeliveryLimits = DeliveryLimits { batches: 100, body_bytes: 1 << 30 };
const ME: InstanceId = InstanceId(Uuid::from_u128(1));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

struct Fixture {
    _folder: TempDir,
    path: PathBuf,
    key: MasterKey,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster.db");
        Self { _folder: folder, path, key: MasterKey::generate() }
    }

    async fn create(&self) -> SqlStore {
        SqlStore::create(&self.path, &self.key).await.unwrap()
    }

    async fn open(&self, mode: OpenMode) -> Result<SqlStore, StoreError> {
        SqlStore::open(&self.path, mode, &self.key.clone().into()).await
    }

    /// Opens what must not open, and says why it did not.
    async fn refused(&self) -> StoreError {
        self.open(OpenMode::Exclusive).await.err().expect("it must not open")
    }
}

async fn run(store: &SqlStore, sql: &'static str) {
    let done = store.write("test", Durability::Relaxed, move |connection| {
        Box::pin(async move { Ok(connection.run(sql).await?) })
    });
    done.await.unwrap();
}

async fn number(store: &SqlStore, sql: &'static str) -> i64 {
    query(sql).fetch_one(&store.readers).await.unwrap().try_get(0).unwrap()
}

fn tenant(number: u128) -> NewTenant {
    NewTenant {
        id: TenantId::from(Uuid::from_u128(number)),
        slug: Slug::from_name(&format!("c{number}")).unwrap(),
        name: "C".to_owned(),
        domain: None,
        app: "main".to_owned(),
        sources: BTreeSet::from([Source::GraphAlerts]),
        tags: BTreeSet::new(),
        since: at(0),
        state: TenantState::Active,
    }
}

async fn leased(store: &SqlStore, number: u128) -> SourceLease {
    store.add_tenant(tenant(number), "test", at(0)).await.unwrap();
    store.lease_due_sources(ME, 1, LEASE, at(0)).await.unwrap().remove(0)
}

async fn accept(
    store: &SqlStore,
    lease: &SourceLease,
    ids: &[String],
    padding: usize,
) -> Result<PageReceipt, StoreError> {
    // Not to be compressed away.
    let padding = (0..padding / 16).map(|_| Uuid::new_v4().simple().to_string()[..16].to_owned());
    let padding = padding.collect::<String>();
    let bodies = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect::<Vec<_>>();
    let padded = bodies
        .iter()
        .map(|body| format!("{},\"p\":\"{padding}\"}}", &body[..body.len() - 1]))
        .collect::<Vec<_>>();
    let records = bodies.iter().zip(&padded).map(|(body, padded)| NewRecord {
        head: RecordHead {
            updated_at: Some(at(1)),
            ..RecordHead::read(Source::GraphAlerts.kind(), body).unwrap()
        },
        body: padded,
        destination: 0,
    });
    let destinations = [Destination::of(&["splunk".to_owned()])];
    let (records, dead_letters, cursor) = (records.collect(), Vec::new(), Cursor::starting(at(5)));
    let page = AcceptedPage {
        records,
        text: None,
        dead_letters,
        destinations: &destinations,
        cursor,
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(lease, page, LEASE, at(1)).await
}

/// Delivers all that is due; returns the ids in order.
async fn drain(store: &SqlStore) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(lease) = store.lease_due_deliveries(ME, "splunk", LIMITS, LEASE, at(9)).await.unwrap() {
        let mut finished = Vec::new();
        for delivery in &lease.deliveries {
            ids.extend(delivery.records().map(|(_, record)| record.head.id.clone()));
            let delivered = delivery.records().count() as u32;
            let number = delivery.number;
            finished.push(FinishedDelivery { number, remaining: None, delivered, rejected: Vec::new() });
        }
        store.finish_deliveries(&lease, finished, None, at(9)).await.unwrap();
    }
    ids
}

#[tokio::test]
async fn a_failing_request_takes_back_nothing_but_itself() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    run(&store, "CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").await;
    let (go, wait) = oneshot::channel::<()>();
    let (started, has_started) = oneshot::channel::<()>();
    // Keeps the writer busy until the others stand in line.
    let busy = store.write("test", Durability::Relaxed, move |_| {
        Box::pin(async move {
            started.send(()).unwrap();
            wait.await.unwrap();
            Ok(())
        })
    });
    let insert = |sql: &'static str| {
        store.write("test", Durability::Synced, move |connection| {
            Box::pin(async move {
                connection.run("INSERT INTO t VALUES (10 + (SELECT count(*) FROM t))").await?;
                connection.run(sql).await?;
                Ok(query("SELECT count(*) FROM t").fetch_one(&mut *connection).await?.try_get::<i64, _>(0)?)
            })
        })
    };
    let readers = store.readers.clone();
    let last = store.write("test", Durability::Relaxed, move |connection| {
        Box::pin(async move {
            let within: i64 =
                query("SELECT count(*) FROM t").fetch_one(&mut *connection).await?.try_get(0)?;
            let outside: i64 = query("SELECT count(*) FROM t").fetch_one(&readers).await?.try_get(0)?;
            Ok((within, outside))
        })
    });
    let release = async {
        has_started.await.unwrap();
        go.send(()).unwrap();
    };
    let (busy, one, two, three, last, ()) = tokio::join!(
        busy,
        insert("INSERT INTO t VALUES (1)"),
        insert("INSERT INTO t VALUES (1)"),
        insert("INSERT INTO t VALUES (3)"),
        last,
        release
    );
    busy.unwrap();
    assert_eq!(one.unwrap(), 2);
    assert!(matches!(two, Err(StoreError::Database { .. })), "the key is taken");
    assert_eq!(three.unwrap(), 4);
    assert_eq!(last.unwrap(), (4, 0), "one transaction of all, which readers did not wait for");
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, 4);
    store.close().await;
}

/// Inserts a row; how many were committed by then.
async fn insert_and_count(
    connection: &mut Connection,
    readers: Readers,
    what: &'static str,
) -> Result<i64, crate::failure::Failure> {
    query("INSERT INTO t VALUES (?)").bind(what).execute(&mut *connection).await?;
    Ok(query("SELECT count(*) FROM t").fetch_one(&readers).await?.try_get::<i64, _>(0)?)
}

/// What a receiver has said once does not wait behind others: a group at work takes it in, and is cut short for it when it has
/// taken its time.
#[tokio::test]
async fn what_is_urgent_goes_before_what_waits() {
    let quick = urgent_beside_others(Duration::ZERO).await;
    assert_eq!(quick, ([0, 0], [0, 0]), "a group that is quick is not cut");
    let slow = urgent_beside_others(CUT_AFTER).await;
    assert_eq!(slow, ([0, 0], [3, 3]), "urgent ones go with what was at work, and then whoever waited");
}

/// How much was committed when urgent requests were written, and when others were that came before them, while one was at work for
/// so long.
async fn urgent_beside_others(at_work: Duration) -> ([i64; 2], [i64; 2]) {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    run(&store, "CREATE TABLE t (what TEXT) STRICT").await;
    // The writer is at something else until all that is to be one group waits for it.
    let (form, formed) = oneshot::channel::<()>();
    let before = store.write("test", Durability::Relaxed, move |_| {
        Box::pin(async move {
            formed.await.unwrap();
            Ok(())
        })
    });
    // However slow the machine is, nothing takes longer than is said here.
    tokio::time::pause();
    let (go, wait) = oneshot::channel::<()>();
    let (started, has_started) = oneshot::channel::<()>();
    let busy = store.write("test", Durability::Relaxed, move |connection| {
        Box::pin(async move {
            started.send(()).unwrap();
            wait.await.unwrap();
            tokio::time::advance(at_work).await;
            connection.run("INSERT INTO t VALUES ('busy')").await?;
            Ok(())
        })
    });
    let usual = |what: &'static str| {
        let readers = store.readers.clone();
        store.write("test", Durability::Synced, move |connection| {
            Box::pin(async move { insert_and_count(connection, readers, what).await })
        })
    };
    let urgent = |what: &'static str| {
        let readers = store.readers.clone();
        store.write("test", Durability::AtOnce, move |connection| {
            Box::pin(async move { insert_and_count(connection, readers, what).await })
        })
    };
    let hurry = async {
        has_started.await.unwrap();
        let release = async { go.send(()).unwrap() };
        tokio::join!(biased; urgent("said"), urgent("told"), release)
    };
    let form = async { form.send(()).unwrap() };
    let (before, busy, first, second, (said, told, ()), ()) =
        tokio::join!(biased; before, busy, usual("first"), usual("second"), hurry, form);
    tokio::time::resume();
    before.and(busy).unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, 5);
    store.close().await;
    ([said.unwrap(), told.unwrap()], [first.unwrap(), second.unwrap()])
}

#[tokio::test]
async fn what_finds_nothing_writes_nothing() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    accept(&store, &lease, &["a".to_owned()], 10).await.unwrap();
    let wal = PathBuf::from(format!("{}-wal", fixture.path.display()));
    let size = || std::fs::metadata(&wal).unwrap().len();
    let before = size();
    for _ in 0..20 {
        assert!(store.lease_due_sources(ME, 9, LEASE, at(1)).await.unwrap().is_empty());
        let none = store.lease_due_deliveries(ME, "file", LIMITS, LEASE, at(1)).await.unwrap();
        assert!(none.is_none());
        assert_eq!(accept(&store, &lease, &["a".to_owned()], 10).await.unwrap().known, 1);
    }
    assert_eq!(size(), before);
    store.close().await;
}

#[tokio::test]
async fn versions_are_looked_up_by_their_keys() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let by_record = "SEARCH v USING INDEX record_version_of_record (source_no=? AND id=?";
    for (sql, first, search) in [
        (
            KNOWN_VERSIONS,
            "SCAN j",
            "SEARCH v EXISTS USING PRIMARY KEY (source_no=? AND updated_at=? AND id=? AND hash=?)",
        ),
        (
            KNOWN_BY_ID_AND_TIME,
            "SCAN j",
            "SEARCH v USING PRIMARY KEY (source_no=? AND updated_at=? AND id=?)",
        ),
        (LATEST_OF_RECORDS, "SCAN j", by_record),
        (VERSIONS_OF_BATCH, "SEARCH s", "SEARCH v USING PRIMARY KEY (source_no=?)"),
        (TRACED_VERSIONS, "SCAN s", by_record),
        (LATER_VERSION, "SEARCH v", by_record),
        (
            VERSIONS_BY_TIME,
            "SEARCH record_version USING PRIMARY KEY (source_no=? AND updated_at>? AND (updated_at,id,hash)<(?,?,?))",
            "SEARCH s",
        ),
        (NAMED, "SEARCH g", "SEARCH v USING PRIMARY KEY (source_no=? AND updated_at>? AND updated_at<?)"),
    ] {
        let sql = Query::of(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sql.bind(1).bind("[]").fetch_all(&store.readers).await.unwrap();
        let plan = rows.iter().map(|row| row.try_get::<String, _>("detail").unwrap()).collect::<Vec<_>>();
        assert!(plan[0].starts_with(first), "{plan:?}");
        assert!(plan.iter().any(|step| step.starts_with(search)), "{plan:?}");
        assert!(!plan.iter().any(|step| step.starts_with("SCAN v")), "{plan:?}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    let ids = |page: usize| (0..5).map(|index| format!("{page}-{index}")).collect::<Vec<_>>();
    accept(&store, &lease, &ids(0), 20_000).await.unwrap();
    run(&store, "PRAGMA max_page_count = 64").await;
    let mut accepted = 1;
    let error = loop {
        match accept(&store, &lease, &ids(accepted), 20_000).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 100, "the disk never fills");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(matches!(accept(&store, &lease, &ids(accepted), 20_000).await, Err(StoreError::DiskFull { .. })));
    let state = store.source_states().await.unwrap().remove(0);
    assert_eq!(state.accepted, accepted as u64 * 5);
    run(&store, "PRAGMA max_page_count = 1000000").await;
    assert_eq!(accept(&store, &lease, &ids(accepted), 20_000).await.unwrap().accepted, 5, "it goes on");
    let expected = (0..=accepted).flat_map(ids).collect::<Vec<_>>();
    assert_eq!(drain(&store).await, expected);
    store.close().await;
}

#[tokio::test]
async fn a_damaged_or_moved_batch_holds_nothing_up() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    let stranger = leased(&store, 2).await;
    for id in ["a", "b", "c", "d"] {
        accept(&store, &lease, &[id.to_owned()], 10).await.unwrap();
    }
    accept(&store, &stranger, &["x".to_owned()], 10).await.unwrap();
    // They are read back, as after a while.
    store.recent.clear();
    // The first is damaged, the second another tenant's, the third missing.
    run(&store, "UPDATE journal_batch SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE batch_no = 1")
        .await;
    run(
        &store,
        "UPDATE journal_batch SET (sealed, batch_id) =
             (SELECT sealed, batch_id FROM journal_batch WHERE batch_no = 5) WHERE batch_no = 2",
    )
    .await;
    run(&store, "DELETE FROM journal_batch WHERE batch_no = 3").await;
    assert_eq!(drain(&store).await, ["d", "x"]);
    let letters = store.dead_letters(Some(lease.tenant.id), 9).await.unwrap();
    let reasons = letters.iter().rev().map(|letter| letter.reason.as_str()).collect::<Vec<_>>();
    assert!(reasons[0].contains("damaged"), "{reasons:?}");
    assert!(reasons[1].contains("sealed with key"), "{reasons:?}");
    assert!(reasons[2].contains("missing"), "{reasons:?}");
    assert!(!store.dead_letter_body(letters[2].number).await.unwrap().is_empty(), "as it was stored");
    assert!(!store.replay_dead_letter(letters[2].number, &[], at(9)).await.unwrap());
    let queue = store.queue_states().await.unwrap().remove(0);
    assert_eq!((queue.owed, queue.delivered, queue.rejected), (0, 1, 3));
    // What they held is asked for again, and counts as new when it comes.
    let live = store.lease_due_sources(ME, 9, LEASE, at(500)).await.unwrap();
    let live = live.into_iter().find(|live| live.tenant.id == lease.tenant.id).unwrap();
    let holes = live.cursor.holes();
    assert!(!holes.is_empty() && holes.iter().all(|hole| hole.reason == Reason::Damaged), "{holes:?}");
    for id in ["a", "b", "c", "d"] {
        let receipt = accept(&store, &live, &[id.to_owned()], 10).await.unwrap();
        assert_eq!(receipt.accepted, u32::from(id != "d"), "{id}");
    }
    assert_eq!(drain(&store).await, ["a", "b", "c"]);
    store.close().await;
}

#[tokio::test]
async fn one_process_runs_and_commands_work_beside_it() {
    let fixture = Fixture::new();
    let running = fixture.create().await;
    let lease = leased(&running, 1).await;
    let error = fixture.refused().await;
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    let command = fixture.open(OpenMode::Shared).await.unwrap();
    command.add_tenant(tenant(2), "test", at(0)).await.unwrap();
    assert_eq!(running.lease_due_sources(ME, 9, LEASE, at(1)).await.unwrap().len(), 1);
    accept(&running, &lease, &["a".to_owned()], 10).await.unwrap();
    assert_eq!(command.source_states().await.unwrap().len(), 2);
    command.close().await;
    accept(&running, &lease, &["b".to_owned()], 10).await.unwrap();
    running.close().await;
    let error = running.tenants().await.err();
    assert!(error.is_some(), "closed is closed");
    let error = running
        .finish_poll(
            &lease,
            PollResult::Yielded { next_at: at(1), progressed: false, missing: None, cursor: None },
            at(1),
        )
        .await;
    assert!(matches!(error, Err(StoreError::Database { .. })));
    let again = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(drain(&again).await, ["a", "b"]);
    again.close().await;
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    leased(&store, 1).await;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let path = format!("{}{suffix}", fixture.path.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path}");
    }
    let error = SqlStore::create(&fixture.path, &fixture.key).await.err().unwrap();
    assert!(error.to_string().contains("create its file"), "{error}");
    store.close().await;
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_refused_with_words() {
    let fixture = Fixture::new();
    let missing = fixture.refused().await;
    assert!(missing.to_string().contains("muster init"), "{missing}");

    std::fs::write(&fixture.path, "this is a text, and long enough to be taken for a header of something")
        .unwrap();
    assert!(matches!(fixture.refused().await, StoreError::Damaged { .. }));
    std::fs::remove_file(&fixture.path).unwrap();

    let store = fixture.create().await;
    run(&store, "PRAGMA user_version = 1000").await;
    store.close().await;
    assert!(matches!(fixture.refused().await, StoreError::TooNew { .. }));
    std::fs::remove_file(&fixture.path).unwrap();

    let store = fixture.create().await;
    run(&store, "PRAGMA application_id = 7").await;
    store.close().await;
    assert!(matches!(fixture.refused().await, StoreError::Damaged { .. }), "another program's");
    std::fs::remove_file(&fixture.path).unwrap();

    fixture.create().await.close().await;
    let wrong = SqlStore::open(&fixture.path, OpenMode::Exclusive, &MasterKey::generate().into()).await;
    let Err(StoreError::WrongMasterKey { .. }) = wrong else {
        panic!("a wrong master key must be told");
    };
}

#[tokio::test]
async fn damage_in_the_file_is_told() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    for index in 0..20 {
        accept(&store, &lease, &[index.to_string()], 5000).await.unwrap();
    }
    store.close().await;
    let mut bytes = std::fs::read(&fixture.path).unwrap();
    for byte in &mut bytes[8192..] {
        *byte = 0x5a;
    }
    std::fs::write(&fixture.path, bytes).unwrap();
    assert!(matches!(fixture.refused().await, StoreError::Damaged { .. }));
}

#[tokio::test]
async fn nothing_of_a_removed_tenants_key_stays_in_the_file() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let (lease, other) = (leased(&store, 1).await, leased(&store, 2).await);
    accept(&store, &lease, &["the-id-of-an-alert".to_owned()], 10).await.unwrap();
    let row = query("SELECT data_key FROM tenant WHERE slug = 'c1'").fetch_one(&store.readers).await.unwrap();
    let sealed_key: Vec<u8> = row.try_get(0).unwrap();
    assert!(holds(&fixture.path, &sealed_key) || holds(&with_wal(&fixture.path), &sealed_key));
    store.remove_tenant(lease.tenant.id, "test", at(9)).await.unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM removed").await, 0);
    assert_eq!(number(&store, "SELECT count(*) FROM record_version").await, 0);
    for path in [fixture.path.clone(), with_wal(&fixture.path)] {
        assert!(!holds(&path, &sealed_key), "{}", path.display());
        assert!(!holds(&path, b"the-id-of-an-alert"), "{}", path.display());
    }
    accept(&store, &other, &["x".to_owned()], 10).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn an_interrupted_removal_is_completed_at_the_next_start() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    accept(&store, &lease, &["a".to_owned()], 10).await.unwrap();
    run(
        &store,
        "INSERT INTO removed VALUES ('source', 1), ('queue', 1); DELETE FROM queue; DELETE FROM cursor; DELETE FROM source;
         DELETE FROM processed; DELETE FROM tenant",
    )
    .await;
    store.close().await;
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    for sql in [
        "SELECT count(*) FROM removed",
        "SELECT count(*) FROM journal_batch",
        "SELECT count(*) FROM record_version",
        "SELECT count(*) FROM delivery",
    ] {
        assert_eq!(number(&store, sql).await, 0, "{sql}");
    }
    store.close().await;
}

fn with_wal(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

fn holds(path: &Path, needle: &[u8]) -> bool {
    std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn a_writer_that_fails_is_noticed() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let fault =
        store.write::<(), _>("test", Durability::Relaxed, |_| Box::pin(async { panic!("a fault of ours") }));
    assert!(fault.await.is_err());
    store.ended().await;
}

#[tokio::test]
async fn a_killed_commands_lease_is_taken_over_at_once_and_a_living_ones_is_not() {
    let fixture = Fixture::new();
    let running = fixture.create().await;
    let (other, later) = (InstanceId(Uuid::from_u128(2)), InstanceId(Uuid::from_u128(3)));
    let command = fixture.open(OpenMode::Shared).await.unwrap();
    let killed = command.take_lease("rotation", ME, LEASE, at(0)).await.unwrap().expect("free");
    let second = fixture.open(OpenMode::Shared).await.unwrap();
    assert!(second.take_lease("rotation", other, LEASE, at(1)).await.unwrap().is_none());
    drop(command);
    let taken =
        second.take_lease("rotation", other, LEASE, at(2)).await.unwrap().expect("its owner has died");
    assert!(taken.fence > killed.fence);
    // A start of `muster run` takes over what an earlier one left, and leaves a command's lease alone.
    running.take_over(later, at(3)).await.unwrap();
    second.extend_lease(&taken, LEASE, at(3)).await.unwrap();
    assert!(running.take_lease("rotation", later, LEASE, at(4)).await.unwrap().is_none());
    // Whoever closes the store without giving the lease back holds it no longer.
    second.close().await;
    assert!(running.take_lease("rotation", later, LEASE, at(5)).await.unwrap().is_some());
    running.close().await;
}

#[tokio::test]
async fn only_the_one_that_runs_takes_over() {
    let fixture = Fixture::new();
    let running = fixture.create().await;
    let lease = leased(&running, 1).await;
    let command = fixture.open(OpenMode::Shared).await.unwrap();
    command.take_over(InstanceId(Uuid::from_u128(2)), at(1)).await.unwrap();
    assert_eq!(accept(&running, &lease, &["a".to_owned()], 10).await.unwrap().accepted, 1);
    command.close().await;
    running.close().await;
}
