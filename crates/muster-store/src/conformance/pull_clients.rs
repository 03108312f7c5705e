//! The rules about clients of the old pull API, and about times of processing.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_model::{Secret, Source, TenantId};
use uuid::Uuid;

use super::kit::{
    BY, Engine, LEASE, ME, accept, add, at, lease_source, new_tenant, page_of, record, tenant_id,
};
use crate::{Destination, NewPullClient, NewTenant, ProcessedSpan, SecretHash, Store, StoreError};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    clients_are_added_and_revoked(&*engine.fresh().await).await;
    times_of_processing_rise_whatever_the_clock_does(&*engine.fresh().await).await;
    what_was_promised_is_kept(&*engine.fresh().await).await;
    a_span_has_its_records_and_no_others(&*engine.fresh().await).await;
}

fn secret(text: &str) -> SecretHash {
    SecretHash::of(&Secret::new(text.to_owned()))
}

fn new_client(number: u128, tenant: TenantId) -> NewPullClient {
    NewPullClient {
        id: Uuid::from_u128(number),
        tenant,
        name: format!("connector {number}"),
        sources: BTreeSet::from([Source::GraphAlerts]),
        updates: number.is_multiple_of(2),
        secret: secret("a"),
        refresh_token: secret("b"),
        expires_at: at(1_000),
    }
}

async fn clients_are_added_and_revoked(store: &dyn Store) {
    let (one, two) = (add(store, 1).await, add(store, 2).await);
    let first = store.add_pull_client(new_client(1, one.id), BY, at(1)).await.expect("added");
    assert_eq!((first.id, first.tenant, first.updates), (Uuid::from_u128(1), one.id, false));
    assert_eq!((first.secret, first.refresh_token), (secret("a"), secret("b")));
    assert_ne!(first.secret, secret("A"));
    assert!(first.works(at(999)) && !first.works(at(1_000)));
    assert_eq!((first.added_at, first.asked_at, first.revoked_at), (at(1), None, None));
    let second = store.add_pull_client(new_client(2, two.id), BY, at(2)).await.expect("added");
    assert_eq!(store.pull_clients().await.expect("listed"), [first.clone(), second.clone()]);
    assert_eq!(store.pull_client(first.id).await.expect("found"), Some(first.clone()));
    assert_eq!(store.pull_client(Uuid::from_u128(9)).await.expect("looked"), None);
    let stranger = store.add_pull_client(new_client(3, tenant_id(9)), BY, at(2)).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));

    store.nothing_new_before((first.id, one.id), at(5), at(6)).await.expect("noted");
    assert_eq!(store.pull_client(first.id).await.expect("found").expect("there").asked_at, Some(at(6)));
    let revoked = store.revoke_pull_client(first.id, BY, at(7)).await.expect("revoked").expect("there");
    assert!(!revoked.works(at(7)) && revoked.revoked_at == Some(at(7)));
    let again = store.revoke_pull_client(first.id, BY, at(8)).await.expect("revoked").expect("there");
    assert_eq!(again.revoked_at, Some(at(7)), "it stays so");
    assert_eq!(store.revoke_pull_client(Uuid::from_u128(9), BY, at(8)).await.expect("looked"), None);
    assert_eq!(store.pull_client(second.id).await.expect("found"), Some(second.clone()), "another's");
    let events = store.audit(0, 100).await.expect("read");
    let of = |action: &str| events.iter().filter(|event| event.action == action).count();
    assert_eq!((of("client.added"), of("client.revoked")), (2, 1));
    let added = events.iter().find(|event| event.action == "client.added").expect("written down");
    let told: Vec<&str> = added.details.as_object().expect("details").keys().map(String::as_str).collect();
    assert_eq!(told, ["client", "expires_at", "name", "sources", "updates"], "and nothing of its secrets");

    store.offboard_tenant(two.id, BY, at(9)).await.expect("offboarded");
    assert_eq!(store.pull_clients().await.expect("listed"), [again], "gone with its tenant");
}

/// Every record that is there, with its time of processing, in order.
async fn all(store: &dyn Store, tenant: TenantId, after: Timestamp) -> Vec<(Timestamp, String)> {
    let span = ProcessedSpan { after, up_to: None, latest_first: false };
    within(store, tenant, span).await
}

async fn within(store: &dyn Store, tenant: TenantId, span: ProcessedSpan) -> Vec<(Timestamp, String)> {
    let sources = BTreeSet::from(Source::ALL);
    let batches = store.processed(tenant, &sources, span, u64::MAX, at(0)).await.expect("read");
    let mut found = Vec::new();
    for batch in &batches {
        let records = batch.batch.records().enumerate();
        let mut of_batch: Vec<_> =
            records.map(|(index, record)| (batch.at(index), record.head.id.clone())).collect();
        if span.latest_first {
            of_batch.reverse();
        }
        found.extend(of_batch);
    }
    found.retain(|(at, _)| *at > span.after && span.up_to.is_none_or(|up_to| *at <= up_to));
    found
}

async fn times_of_processing_rise_whatever_the_clock_does(store: &dyn Store) {
    let both = NewTenant { sources: BTreeSet::from(Source::DEFAULT), ..new_tenant(1) };
    let tenant = store.add_tenant(both, BY, at(0)).await.expect("added");
    let other = add(store, 2).await;
    let leases = store.lease_due_sources(ME, 9, LEASE, at(0)).await.expect("leased");
    let of = |source| {
        leases.iter().find(|lease| (lease.tenant.id, lease.source) == (tenant.id, source)).expect("leased")
    };
    let (alerts, incidents) = (of(Source::GraphAlerts), of(Source::GraphIncidents));
    accept(store, alerts, &["a", "b", "c"], &[], at(10)).await;
    // The clock steps back; another source commits within the same instant.
    accept(store, incidents, &["i", "j"], &[], at(4)).await;
    accept(store, alerts, &["d"], &[], at(10)).await;
    accept(store, incidents, &["k"], &[], at(11)).await;
    let strangers = leases.iter().find(|lease| lease.tenant.id == other.id).expect("leased");
    accept(store, strangers, &["x"], &[], at(3)).await;
    let found = all(store, tenant.id, Timestamp::MIN).await;
    let ids: Vec<&str> = found.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c", "i", "j", "d", "k"], "as they were committed");
    assert!(found.windows(2).all(|two| two[0].0 < two[1].0), "{found:?}");
    assert!(found[0].0 > at(10) && found[5].0 < at(11) && found[6].0 > at(11), "{found:?}");
    assert!(found.iter().all(|(at, _)| at.as_nanosecond() % 100 == 0), "seven digits");
    let strangers = all(store, other.id, Timestamp::MIN).await;
    assert!(strangers.len() == 1 && strangers[0].0 < at(4), "each tenant has its own: {strangers:?}");
}

async fn what_was_promised_is_kept(store: &dyn Store) {
    let tenant = add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    accept(store, &lease, &["a"], &[], at(10)).await;
    let client = store.add_pull_client(new_client(1, tenant.id), BY, at(1)).await.expect("added");
    store.nothing_new_before((client.id, tenant.id), at(30), at(12)).await.expect("noted");
    // Its page was fetched, and `now` read, before the client asked.
    accept(store, &lease, &["b"], &[], at(11)).await;
    let found = all(store, tenant.id, at(30)).await;
    assert_eq!(found.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), ["b"]);
    // A promise for a time that has passed changes nothing.
    store.nothing_new_before((client.id, tenant.id), at(2), at(13)).await.expect("noted");
    accept(store, &lease, &["c"], &[], at(14)).await;
    let later = all(store, tenant.id, found[0].0).await;
    assert_eq!(later.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), ["c"]);
    // Whatever time is promised, clients have seven digits to name what comes then.
    let within_a_tick = at(60) + jiff::SignedDuration::from_nanos(50);
    store.nothing_new_before((client.id, tenant.id), within_a_tick, at(15)).await.expect("noted");
    accept(store, &lease, &["d"], &[], at(16)).await;
    let last = all(store, tenant.id, within_a_tick).await;
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].0.as_nanosecond() % 100, 0, "{}", last[0].0);
}

async fn a_span_has_its_records_and_no_others(store: &dyn Store) {
    let tenant = add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    for (step, ids) in [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]].iter().enumerate() {
        accept(store, &lease, ids, &[], at(10 + step as i64)).await;
    }
    let found = all(store, tenant.id, Timestamp::MIN).await;
    assert_eq!(found.len(), 9);
    for from in 0..9 {
        for to in from..9 {
            for latest_first in [false, true] {
                let span = ProcessedSpan { after: found[from].0, up_to: Some(found[to].0), latest_first };
                let mut expected = found[from + 1..=to].to_vec();
                if latest_first {
                    expected.reverse();
                }
                assert_eq!(within(store, tenant.id, span).await, expected, "{from} {to} {latest_first}");
            }
        }
    }
    let alerts = BTreeSet::from([Source::GraphIncidents]);
    let span = ProcessedSpan { after: Timestamp::MIN, up_to: None, latest_first: false };
    assert!(store.processed(tenant.id, &alerts, span, u64::MAX, at(0)).await.expect("read").is_empty());
    let some = store.processed(tenant.id, &BTreeSet::from(Source::ALL), span, 1, at(0)).await.expect("read");
    assert_eq!(some.len(), 1, "at least one");
    // One page of several batches goes on where the batch before it ended.
    let bodies = ["p", "q"].map(|id| format!(r#"{{"id":"{id}","x":"{}"}}"#, "x".repeat(2 << 20)));
    let records = ["p", "q"].iter().zip(&bodies).map(|(id, body)| record(id, 10, body, 0)).collect();
    store
        .accept_page(&lease, page_of(records, &[Destination::default()]), LEASE, at(20))
        .await
        .expect("accepted");
    let large = all(store, tenant.id, found[8].0).await;
    assert_eq!(large.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), ["p", "q"]);
}
