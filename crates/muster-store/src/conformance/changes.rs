//! The rules about what a version changes.

use muster_model::{ChangeKind, Purpose, RecordHead, RecordKind, Source};

use super::kit::{
    Engine, LEASE, ME, add, all_taken, at, cursor, lease_queue, lease_source, names, sets, tenant_id,
};
use crate::{AcceptedPage, NewRecord, SourceLease, Store};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    each_version_says_what_changed(engine).await;
    versions_on_one_page_are_told_in_order(&*engine.fresh().await).await;
    an_earlier_version_takes_no_place(&*engine.fresh().await).await;
    purposes_share_what_is_known(&*engine.fresh().await).await;
}

fn alert(id: &str, second: i64, rest: &str) -> String {
    format!(r#"{{"id":"{id}","lastUpdateDateTime":"{}",{rest}}}"#, at(second))
}

/// Accepts a page of these alerts; how many were new.
async fn accept(store: &dyn Store, lease: &SourceLease, bodies: &[String]) -> usize {
    let sets = sets(&names(&["splunk"]));
    let records = bodies.iter().map(|body| NewRecord {
        head: RecordHead::read(RecordKind::GraphAlert, body).expect("a record"),
        body,
        destination: 1,
    });
    let page = AcceptedPage {
        records: records.collect(),
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(10),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(lease, page, LEASE, at(100)).await.expect("accepted").accepted as usize
}

/// Delivers what is owed; the change of each record, in order.
async fn delivered(store: &dyn Store) -> Vec<String> {
    let queue = lease_queue(store, "splunk", at(100)).await;
    let records = queue.deliveries.iter().flat_map(|delivery| delivery.records());
    let told = records.map(|(_, record)| record.head.change.as_ref().expect("a change").to_string());
    let told = told.collect();
    store.finish_deliveries(&queue, all_taken(&queue), None, at(100)).await.expect("finished");
    told
}

/// Accepts a page of these alerts, all of them new, and says the change of each.
async fn told(store: &dyn Store, lease: &SourceLease, bodies: &[String]) -> Vec<String> {
    assert_eq!(accept(store, lease, bodies).await, bodies.len());
    delivered(store).await
}

async fn each_version_says_what_changed(engine: &mut dyn Engine) {
    let store = engine.fresh().await;
    add(&*store, 1).await;
    let lease = lease_source(&*store, at(0)).await;
    let bodies = [
        alert("a", 1, r#""status":"new","incidentId":"7""#),
        alert("a", 2, r#""status":"new","incidentId":"7","severity":"high""#),
        alert("a", 3, r#""status":"resolved","incidentId":"7","severity":"high""#),
    ];
    let mut changes = Vec::new();
    for body in bodies {
        changes.extend(told(&*store, &lease, &[body]).await);
    }
    assert_eq!(changes, ["created", "changed (severity)", "resolved (status)"]);
    store.close().await;
    drop(store);

    // What is known outlives the process.
    let store = engine.reopened().await;
    store.take_over(ME, at(50)).await.expect("taken over");
    let lease = lease_source(&*store, at(1000)).await;
    let bodies = [
        alert("a", 5, r#""status":"new","incidentId":"9","severity":"high""#),
        alert("b", 5, r#""status":"resolved""#),
    ];
    let told = told(&*store, &lease, &bodies).await;
    assert_eq!(told, ["reopened, moved from 7 to 9 (status, incidentId)", "created"]);
    store.close().await;
}

async fn versions_on_one_page_are_told_in_order(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    // Beyond a batch, so that two batches have versions of one alert.
    let large = format!(r#""status":"new","title":"{}""#, "x".repeat(3 << 20));
    let page = [
        alert("a", 3, r#""status":"resolved""#),
        alert("a", 1, r#""status":"new""#),
        alert("a", 2, &large),
        alert("b", 1, r#""status":"new""#),
    ];
    let first = told(store, &lease, &page).await;
    assert_eq!(first, ["resolved (status and 1 more)", "created", "changed (title)", "created"]);
    let next = [alert("a", 4, r#""status":"active""#), alert("b", 4, r#""status":"resolved""#)];
    assert_eq!(told(store, &lease, &next).await, ["reopened (status)", "resolved (status)"]);
}

async fn an_earlier_version_takes_no_place(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    let latest = [alert("a", 9, r#""status":"resolved""#)];
    assert_eq!(told(store, &lease, &latest).await, ["created"]);
    let earlier = [alert("a", 5, r#""status":"new""#)];
    assert_eq!(told(store, &lease, &earlier).await, [ChangeKind::Earlier.as_str()]);
    // Of the same moment, and without any time.
    let others = [alert("a", 9, r#""status":"resolved","n":1"#)];
    assert_eq!(told(store, &lease, &others).await, ["changed (n)"]);
    let without = [r#"{"id":"a","status":"resolved","n":2}"#.to_owned()];
    assert_eq!(told(store, &lease, &without).await, ["changed (n)"]);
    assert_eq!(told(store, &lease, &[alert("a", 8, r#""n":3"#)]).await, ["earlier"]);
}

async fn purposes_share_what_is_known(store: &dyn Store) {
    add(store, 1).await;
    let live = lease_source(store, at(0)).await;
    assert_eq!(told(store, &live, &[alert("a", 1, r#""status":"new""#)]).await, ["created"]);
    let put = store.put_cursor(tenant_id(1), Source::GraphAlerts, Purpose::Sweep, cursor(0), at(0));
    assert!(put.await.expect("put"));
    let sweep = lease_source(store, at(101)).await;
    assert_eq!(sweep.purpose, Purpose::Sweep);
    assert_eq!(told(store, &sweep, &[alert("a", 2, r#""status":"resolved""#)]).await, ["resolved (status)"]);
    assert_eq!(told(store, &live, &[alert("a", 3, r#""status":"new""#)]).await, ["reopened (status)"]);
    // At once, of new records: one of the two versions is the first, whoever is faster.
    for number in 0..10 {
        let bodies =
            [1, 2].map(|second| alert(&format!("c{number}"), second, r#""status":"new","severity":"low""#));
        let (one, other) =
            tokio::join!(accept(store, &live, &bodies[..1]), accept(store, &sweep, &bodies[1..]));
        assert_eq!((one, other), (1, 1));
        let mut told = delivered(store).await;
        told.sort();
        assert!(told == ["changed", "created"] || told == ["created", "earlier"], "{told:?}");
    }
}
