//! The rules about what a version changes.

use muster_model::{ChangeKind, Purpose, RecordHead, Source};

use super::kit::{
    BY, Engine, LEASE, ME, add, all_taken, at, cursor, keep, lease_queue, lease_source, names, new_tenant,
    sets, tenant_id,
};
use crate::{AcceptedPage, NewRecord, NewTenant, PollResult, Retention, SourceLease, Store};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    each_version_says_what_changed(engine).await;
    versions_on_one_page_are_told_in_order(&*engine.fresh().await).await;
    an_earlier_version_takes_no_place(&*engine.fresh().await).await;
    purposes_share_what_is_known(&*engine.fresh().await).await;
    what_was_left_out_is_taken_from_versions_before(&*engine.fresh().await).await;
    what_became_of_a_record_outlives_the_journal(&*engine.fresh().await).await;
    what_was_forgotten_is_not_created_anew(&*engine.fresh().await).await;
}

fn alert(id: &str, second: i64, rest: &str) -> String {
    format!(r#"{{"id":"{id}","lastUpdateDateTime":"{}",{rest}}}"#, at(second))
}

/// Accepts a page of these alerts or incidents; how many were new.
async fn accept(store: &dyn Store, lease: &SourceLease, bodies: &[String]) -> usize {
    let sets = sets(&names(&["splunk"]));
    let records = bodies.iter().map(|body| NewRecord {
        head: RecordHead::read(lease.source.kind(), body).expect("a record"),
        body,
        destination: 1,
    });
    let page = AcceptedPage {
        records: records.collect(),
        text: None,
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

/// An incident that comes without its alerts, and one with a hidden value, has what it leaves out from the versions before.
async fn what_was_left_out_is_taken_from_versions_before(store: &dyn Store) {
    let sources = [Source::GraphIncidents].into();
    store.add_tenant(NewTenant { sources, ..new_tenant(1) }, BY, at(0)).await.expect("added");
    let lease = lease_source(store, at(0)).await;
    let alerts = r#""alerts":[{"id":"a"},{"id":"b"}]"#;
    let mut changes = Vec::new();
    for (second, rest) in [
        (1, format!(r#""status":"active","owner":"ann",{alerts}"#)),
        (2, r#""status":"active","owner":"unknownFutureValue","n":1"#.to_owned()),
        (3, r#""status":"active","owner":"ann","n":2"#.to_owned()),
        (4, format!(r#""status":"active","owner":"ann","n":2,"more":true,{alerts}"#)),
        (5, r#""status":"active","owner":"bob","n":2,"more":true,"alerts":[{"id":"b"}]"#.to_owned()),
    ] {
        changes.extend(told(store, &lease, &[alert("7", second, &rest)]).await);
    }
    let expected = ["created", "changed (n)", "changed (n)", "changed (more)", "changed (owner, alerts)"];
    assert_eq!(changes, expected);
}

/// Once the journal has forgotten the version before, its fields are not known, but what became of the record is.
async fn what_became_of_a_record_outlives_the_journal(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    let first = [
        alert("a", 1, r#""status":"new","incidentId":"7","severity":"low""#),
        alert("b", 1, r#""status":"new","incidentId":"7""#),
        alert("c", 1, r#""status":"resolved","incidentId":"7""#),
        alert("d", 1, r#""status":"new","incidentId":"7""#),
    ];
    assert_eq!(told(store, &lease, &first).await, ["created"; 4]);
    assert_eq!(store.prune_journal(keep(1000)).await.expect("pruned").batches, 1);
    let next = [
        alert("a", 2, r#""status":"resolved","incidentId":"7","severity":"high""#),
        alert("b", 2, r#""status":"new","incidentId":"9""#),
        alert("c", 2, r#""status":"inProgress""#),
        alert("d", 2, r#""status":"unknownFutureValue""#),
    ];
    assert_eq!(told(store, &lease, &next).await, ["resolved", "moved from 7 to 9", "reopened", "changed"]);
    // From the next one on all of it is known again; what it left out is where it stood before.
    let last = [
        alert("a", 3, r#""status":"resolved","incidentId":"7","severity":"low""#),
        alert("d", 3, r#""status":"resolved","incidentId":"8""#),
    ];
    let told = told(store, &lease, &last).await;
    assert_eq!(told, ["changed (severity)", "resolved, moved from 7 to 8 (incidentId)"]);
}

/// Versions are forgotten in the end. What then comes of a record that may have been known is no beginning; what cannot have
/// been is one.
async fn what_was_forgotten_is_not_created_anew(store: &dyn Store) {
    const DAY: i64 = 86_400;
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    let of = |id: &str, created: i64, updated: i64| {
        let created = format!(r#""createdDateTime":"{}","status":"new""#, at(created));
        alert(id, updated, &created)
    };
    assert_eq!(told(store, &lease, &[of("a", 5, 10), of("b", 15, 20)]).await, ["created", "created"]);
    let all = |now: i64, versions: i64| Retention {
        journal: at(now),
        versions: at(versions),
        ledger: at(-DAY),
        now: at(now),
    };
    // Nothing is forgotten before its time; while it is there, it is known.
    store.prune_journal(all(200, -DAY)).await.expect("pruned");
    let result =
        PollResult::CaughtUp { next_at: at(50 * DAY), missing: None, cursor: Some(cursor(50 * DAY)) };
    store.finish_poll(&lease, result, at(50 * DAY)).await.expect("finished");
    let pruned = store.prune_journal(all(60 * DAY, 30 * DAY)).await.expect("pruned");
    assert_eq!(pruned.versions, 2);
    let lease = lease_source(store, at(60 * DAY)).await;
    let later = [
        // Known once.
        of("a", 5, 60 * DAY),
        // Not known, but it may have been.
        of("x", 3, 60 * DAY),
        // Made after all that was forgotten, and all of it older than that.
        of("y", 40, 60 * DAY),
        of("z", 2, 9),
        // Its first version, whatever was forgotten.
        of("b", 15, 15),
        r#"{"id":"t","status":"new"}"#.to_owned(),
    ];
    let told = told(store, &lease, &later).await;
    assert_eq!(told, ["changed", "changed", "created", "created", "created", "changed"]);
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
    let put = store.begin_cursor(tenant_id(1), Source::GraphAlerts, Purpose::Sweep, cursor(0), at(0));
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
