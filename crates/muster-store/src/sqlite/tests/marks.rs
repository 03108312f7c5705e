//! Copies that were put back are noticed, whatever was copied when; lineages; what sinks' files lack is owed again.

use std::collections::HashMap;
use std::path::Path;

use muster_model::{Delivery, Lineage, SinkMemory};

use super::*;
use crate::sqlite::copies::CheckedCopy;
use crate::sqlite::files::beside;

async fn noticed(store: &SqlStore) -> Option<String> {
    let restoration = store.mark("command test", at(50)).await.unwrap();
    if let Some(restoration) = &restoration {
        let told = store.restorations().await.unwrap();
        assert_eq!(told.first(), Some(restoration), "it is written down");
        let last = store.audit(0, 1_000).await.unwrap().pop().unwrap();
        assert_eq!(last.action, "store.put_back");
    }
    restoration.map(|restoration| restoration.reason)
}

async fn write(store: &SqlStore) {
    let event = crate::NewAuditEvent {
        actor: "command test".to_owned(),
        action: "test".to_owned(),
        subject: "store".to_owned(),
        details: serde_json::Value::Null,
    };
    store.append_audit(event, at(10)).await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    // Another file, as programs that put copies back make one.
    drop(std::fs::remove_file(to));
    std::fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn a_copy_that_is_put_back_is_noticed() {
    let fixture = Fixture::new();
    let (path, lock) = (fixture.path.clone(), beside(&fixture.path, ".lock"));
    let saved = |name: &str| path.with_file_name(name);
    fixture.create().await.close().await;
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(noticed(&store).await, None, "new");
    store.close().await;
    copy(&path, &saved("stopped"));
    copy(&lock, &saved("stopped.lock"));
    for mode in [OpenMode::Exclusive, OpenMode::Shared, OpenMode::Exclusive] {
        let store = fixture.open(mode).await.unwrap();
        assert_eq!(noticed(&store).await, None, "an ordinary start");
        store.close().await;
    }
    // A crash is no restore.
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(noticed(&store).await, None);
    drop(store);
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(noticed(&store).await, None);
    // Taken while it runs: within the same opening.
    write(&store).await;
    assert_eq!(noticed(&store).await, None);
    store.forget_traces().await;
    copy(&path, &saved("running"));
    write(&store).await;
    assert_eq!(noticed(&store).await, None);
    store.close().await;
    let current = saved("current");
    copy(&path, &current);

    for (name, what) in [("stopped", "copy of the database"), ("running", "copy of the database")] {
        copy(&saved(name), &path);
        let store = fixture.open(OpenMode::Exclusive).await.unwrap();
        let reason = noticed(&store).await.expect(name);
        assert!(reason.contains(what), "{reason}");
        assert_eq!(noticed(&store).await, None, "told once");
        store.close().await;
        let store = fixture.open(OpenMode::Exclusive).await.unwrap();
        assert_eq!(noticed(&store).await, None, "told once");
        store.close().await;
    }
    // The database with its lock file.
    copy(&saved("stopped"), &path);
    copy(&saved("stopped.lock"), &lock);
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    let reason = noticed(&store).await.expect("both");
    assert!(reason.contains("whole folder"), "{reason}");
    store.close().await;
    // Moved to another machine without its lock file.
    std::fs::remove_file(&lock).unwrap();
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert!(noticed(&store).await.is_some());
    store.close().await;
}

/// What a killed process left in its WAL must not be mixed into a database that was put back: rows of a later day would
/// stand among those of an earlier, and what is between them would be missing.
#[tokio::test]
async fn a_wal_of_another_day_is_not_mixed_in() {
    let fixture = Fixture::new();
    let (path, wal) = (fixture.path.clone(), beside(&fixture.path, "-wal"));
    let store = fixture.create().await;
    noticed(&store).await;
    write(&store).await;
    store.close().await;
    let earlier = std::fs::read(&path).unwrap();
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    noticed(&store).await;
    write(&store).await;
    write(&store).await;
    let left = std::fs::read(&wal).unwrap();
    let database = std::fs::read(&path).unwrap();
    assert!(!left.is_empty());
    store.close().await;
    drop(store);

    // As it was left: all of it is there.
    std::fs::write(&path, &database).unwrap();
    std::fs::write(&wal, &left).unwrap();
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM audit_event").await, 3);
    store.close().await;
    // The earlier database beside that WAL, whoever opens it first.
    for mode in [OpenMode::Shared, OpenMode::Exclusive] {
        std::fs::write(&path, &earlier).unwrap();
        std::fs::write(&wal, &left).unwrap();
        let store = fixture.open(mode).await.unwrap();
        assert_eq!(number(&store, "SELECT count(*) FROM audit_event").await, 1);
        assert_eq!(store.verify_audit().await.unwrap().first_bad, None);
        store.close().await;
    }
    let aside = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let aside = aside
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("-wal.of-another-"));
    assert_eq!(aside.count(), 2, "nothing was thrown away");
}

/// The store with a tenant, and how many records were given to it.
async fn owing(fixture: &Fixture, ids: &[&str]) -> SqlStore {
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    accept_more(&store, ids).await;
    store
}

async fn accept_more(store: &SqlStore, ids: &[&str]) {
    store.take_over(ME, at(0)).await.unwrap();
    let lease = store.lease_due_sources(ME, 1, LEASE, at(900)).await.unwrap().pop().expect("a source");
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    accept(store, &lease, &ids, 0).await.unwrap();
    store.drop_leases(ME).await.unwrap();
}

async fn lease_all(store: &SqlStore) -> Option<crate::DeliveryLease> {
    store.lease_due_deliveries(ME, "splunk", LIMITS, LEASE, at(2_000)).await.unwrap()
}

async fn finish(store: &SqlStore, lease: &crate::DeliveryLease) -> Vec<(Lineage, u64)> {
    let done = |delivery: &Delivery| FinishedDelivery {
        number: delivery.number,
        remaining: None,
        delivered: delivery.records().count() as u32,
        rejected: Vec::new(),
    };
    let finished = lease.deliveries.iter().map(done).collect();
    store.finish_deliveries(lease, finished, None, at(1_001)).await.unwrap();
    lease.deliveries.iter().map(|delivery| (delivery.lineage, delivery.number.0)).collect()
}

#[tokio::test]
async fn no_number_is_given_twice_in_one_lineage() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    store.add_tenant(tenant(1), "command test", at(0)).await.unwrap();
    store.close().await;
    let copy = std::fs::read(&fixture.path).unwrap();
    let mut given = Vec::new();
    for ids in [["a"], ["b"], ["c"]] {
        // The same copy, put back again and again.
        std::fs::write(&fixture.path, &copy).unwrap();
        let store = owing(&fixture, &ids).await;
        given.extend(finish(&store, &lease_all(&store).await.expect("owed")).await);
        store.close().await;
    }
    assert!(given.iter().all(|(_, number)| *number == given[0].1), "the numbers are given again: {given:?}");
    let lineages: std::collections::HashSet<_> = given.iter().map(|(lineage, _)| *lineage).collect();
    assert_eq!(lineages.len(), 3, "and each time in a lineage of its own");
}

#[tokio::test]
async fn what_the_files_of_a_sink_lack_is_owed_again_once() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    store.add_tenant(tenant(1), "command test", at(0)).await.unwrap();
    store.close().await;
    let of = TenantId::from(Uuid::from_u128(1));
    let id = Uuid::from_u128(7);
    let memory = |lineages: &[(Lineage, u64)]| SinkMemory {
        id,
        lineages: lineages
            .iter()
            .map(|(lineage, number)| (*lineage, HashMap::from([(of, *number)])))
            .collect(),
    };
    let store = owing(&fixture, &["a", "b"]).await;
    // Looked at for the first time: nothing can be said of what was before.
    let recalled = store.recall("splunk", &memory(&[]), at(900)).await.unwrap();
    assert_eq!((recalled.is_known, recalled.records, recalled.knows_more), (false, 0, false));
    let (lineage, first) = finish(&store, &lease_all(&store).await.expect("owed")).await[0];
    accept_more(&store, &["c"]).await;
    let (_, second) = finish(&store, &lease_all(&store).await.expect("owed")).await[0];
    // The files hold all of it.
    let recalled = store.recall("splunk", &memory(&[(lineage, second)]), at(1_010)).await.unwrap();
    assert_eq!((recalled.is_known, recalled.records, recalled.knows_more), (true, 0, false));
    assert!(lease_all(&store).await.is_none());
    // They are older.
    let older = memory(&[(lineage, first)]);
    let recalled = store.recall("splunk", &older, at(1_010)).await.unwrap();
    assert_eq!((recalled.is_known, recalled.records), (true, 1));
    assert_eq!(store.recall("splunk", &older, at(1_010)).await.unwrap().records, 0, "once");
    let lease = lease_all(&store).await.expect("owed again");
    let ids: Vec<_> = lease.deliveries[0].records().map(|(_, record)| record.head.id.clone()).collect();
    assert_eq!(ids, ["c"]);
    let (_, third) = finish(&store, &lease).await[0];
    assert!(third > second, "with a number of its own");
    let totals = store.sink_totals().await.unwrap();
    let totals = totals.iter().find(|totals| totals.sink == "splunk").unwrap();
    assert_eq!((totals.delivered, totals.owed), (3, 0));
    // They are newer than the store.
    let newer = memory(&[(lineage, third + 5)]);
    assert!(store.recall("splunk", &newer, at(1_010)).await.unwrap().knows_more);
    let other = memory(&[(lineage, third), (Lineage(Uuid::from_u128(99)), 3)]);
    assert!(store.recall("splunk", &other, at(1_010)).await.unwrap().knows_more);
    // Other files, as under another path: what was delivered lies elsewhere.
    let others = SinkMemory { id: Uuid::from_u128(8), lineages: HashMap::new() };
    assert_eq!(store.recall("splunk", &others, at(1_020)).await.unwrap().records, 0);
    store.close().await;
}

#[tokio::test]
async fn a_copy_is_whole_private_and_written_over_nothing() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    store.add_tenant(tenant(1), "command test", at(0)).await.unwrap();
    noticed(&store).await;
    let keys: crate::KeyRing = fixture.key.clone().into();
    let to = fixture.path.with_file_name("copy.db");
    let contents = store.copy_to(&to, &keys).await.unwrap();
    assert_eq!((contents.tenants, contents.as_of), (1, Some(at(50))));
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = store.copy_to(&to, &keys).await.unwrap_err().to_string();
    assert!(refused.contains("exists already"), "{refused}");
    let link = fixture.path.with_file_name("link.db");
    std::os::unix::fs::symlink(fixture.path.with_file_name("elsewhere"), &link).unwrap();
    assert!(store.copy_to(&link, &keys).await.is_err());
    // It cannot be put back while the store is in use; then it can, and is noticed.
    assert!(matches!(CheckedCopy::of(&to, &fixture.path, &keys).await, Err(StoreError::Locked { .. })));
    store.close().await;
    let other: crate::KeyRing = MasterKey::generate().into();
    assert!(matches!(
        CheckedCopy::of(&to, &fixture.path, &other).await,
        Err(StoreError::WrongMasterKey { .. })
    ));
    let mut torn = std::fs::read(&to).unwrap();
    let middle = torn.len() / 2;
    torn[middle..].fill(0);
    let broken = fixture.path.with_file_name("torn.db");
    std::fs::write(&broken, torn).unwrap();
    assert!(matches!(CheckedCopy::of(&broken, &fixture.path, &keys).await, Err(StoreError::Damaged { .. })));
    let copy = CheckedCopy::of(&to, &fixture.path, &keys).await.unwrap();
    let aside = copy.put(at(60)).unwrap().expect("the store that was there");
    assert!(aside.is_file());
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(noticed(&store).await.as_deref(), Some("a backup was put back"));
    store.close().await;
    let left = std::fs::read_dir(fixture.path.parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.contains("making")), "{left:?}");
}
