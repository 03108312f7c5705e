//! The rules about looking through the journal.

use jiff::Timestamp;
use muster_model::{Source, TenantId};

use super::kit::{
    BY, Engine, LEASE, accept, add, at, body, keep, lease_source, names, page_of, record, tenant_id,
};
use crate::{BatchRead, ChangedIn, Destination, SearchedSource, Store, VersionKey, VersionPlace};

const OF: (fn(u128) -> TenantId, Source) = (tenant_id, Source::GraphAlerts);
const ALWAYS: ChangedIn = ChangedIn { since: None, until: Timestamp::MAX };

pub(super) async fn run_all(engine: &mut dyn Engine) {
    versions_come_by_the_time_of_their_change(&*engine.fresh().await).await;
    the_later_version_is_told_from_the_earlier(&*engine.fresh().await).await;
    what_is_gone_and_whose_it_is_is_told(&*engine.fresh().await).await;
}

/// Ids of the versions in a span, asked for in pages of so many.
async fn found(store: &dyn Store, tenant: u128, span: ChangedIn, limit: u32) -> Vec<String> {
    let (mut ids, mut after): (_, Option<VersionKey>) = (Vec::new(), None);
    loop {
        let of = (OF.0(tenant), OF.1);
        let page = store.versions_by_time(of, span, after.as_ref(), limit).await.expect("read");
        assert!(page.places.len() <= limit as usize);
        for place in page.places {
            let read = store.journal_batch(of.0, place.batch).await.expect("read");
            let BatchRead::Records { batch, .. } = read else { panic!("{read:?}") };
            let head = batch.record(place.ordinal as usize).expect("a record").head;
            assert_eq!(head.updated_at, place.updated_at);
            ids.push(head.id.clone());
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

async fn versions_come_by_the_time_of_their_change(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    let destinations = [Destination::of(&names(&["splunk"]))];
    // Accepted in another order than changed; one has no time.
    for (ids, now) in [([("c", 30), ("a", 10)], 1), ([("d", 30), ("b", 20)], 2)] {
        let bodies = ids.map(|(id, _)| body(id, 1));
        let records = ids.iter().zip(&bodies).map(|((id, at), body)| record(id, *at, body, 0)).collect();
        store.accept_page(&source, page_of(records, &destinations), LEASE, at(now)).await.expect("accepted");
    }
    let timeless_body = body("t", 1);
    let mut timeless = record("t", 0, &timeless_body, 0);
    timeless.head.updated_at = None;
    store.accept_page(&source, page_of(vec![timeless], &destinations), LEASE, at(3)).await.expect("accepted");
    for limit in [1, 2, 3, 100] {
        assert_eq!(found(store, 1, ALWAYS, limit).await, ["d", "c", "b", "a", "t"], "pages of {limit}");
        let span = ChangedIn { since: Some(at(20)), until: at(30) };
        assert_eq!(found(store, 1, span, limit).await, ["b"], "from the first second, up to the last");
        assert_eq!(found(store, 1, ChangedIn { since: None, ..span }, limit).await, ["b", "a", "t"]);
    }
    add(store, 2).await;
    assert_eq!(found(store, 2, ALWAYS, 10).await, Vec::<String>::new(), "another's are another's");
    let sources = store.searched_sources().await.expect("read");
    let of = |tenant| SearchedSource { tenant: tenant_id(tenant), source: OF.1, pruned_up_to: None };
    assert_eq!(sources, [of(1), of(2)]);
}

async fn the_later_version_is_told_from_the_earlier(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    let destinations = [Destination::default()];
    for (version, changed, now) in [(1, 10, 1), (2, 20, 2), (3, 15, 3)] {
        let body = body("a", version);
        let page = page_of(vec![record("a", changed, &body, 0)], &destinations);
        store.accept_page(&source, page, LEASE, at(now)).await.expect("accepted");
    }
    let of = (tenant_id(1), Source::GraphAlerts);
    let places = store.versions_by_time(of, ALWAYS, None, 10).await.expect("read").places;
    let [latest, middle, first] = places[..] else { panic!("{places:?}") };
    assert_eq!((latest.updated_at, middle.updated_at), (Some(at(20)), Some(at(15))));
    let later = async |id: &str, place: &VersionPlace, before| {
        store.has_later_version(of, id, place, before).await.expect("read")
    };
    assert!(!later("a", &latest, Timestamp::MAX).await);
    assert!(later("a", &middle, Timestamp::MAX).await, "accepted later, and changed earlier");
    assert!(!later("a", &middle, at(20)).await, "as it was then");
    assert!(later("a", &first, at(20)).await);
    assert!(!later("b", &first, at(20)).await);
    let other = (tenant_id(2), Source::GraphAlerts);
    assert!(!store.has_later_version(other, "a", &first, Timestamp::MAX).await.expect("read"));
}

async fn what_is_gone_and_whose_it_is_is_told(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    let source = lease_source(store, at(0)).await;
    let tenant = source.tenant.id;
    accept(store, &source, &["a"], &[], at(1)).await;
    accept(store, &source, &["b"], &[], at(100)).await;
    let of = (tenant, Source::GraphAlerts);
    let places = store.versions_by_time(of, ALWAYS, None, 10).await.expect("read").places;
    let batches: Vec<u64> = places.iter().map(|place| place.batch).collect();
    let other = [tenant_id(1), tenant_id(2)].into_iter().find(|other| *other != tenant).expect("another");
    for batch in &batches {
        let read = store.journal_batch(other, *batch).await.expect("read");
        assert!(matches!(read, BatchRead::Gone), "a stranger has no such batch: {read:?}");
    }
    let pruned = store.prune_journal(keep(50)).await.expect("pruned");
    assert_eq!(pruned.batches, 1);
    let places = store.versions_by_time(of, ALWAYS, None, 10).await.expect("read").places;
    assert_eq!(places.len(), 2, "what is gone is still known");
    let mut gone = 0;
    for batch in batches {
        let read = store.journal_batch(tenant, batch).await.expect("read");
        gone += usize::from(matches!(read, BatchRead::Gone));
    }
    assert_eq!(gone, 1);
    let sources = store.searched_sources().await.expect("read");
    let pruned = sources.iter().find(|found| found.tenant == tenant).and_then(|found| found.pruned_up_to);
    assert_eq!(pruned, Some(at(1)));
    store.offboard_tenant(tenant, BY, at(200)).await.expect("offboarded");
    let places = store.versions_by_time(of, ALWAYS, None, 10).await.expect("read").places;
    assert_eq!(places, [], "nothing is left of one that was offboarded");
    assert!(store.searched_sources().await.expect("read").iter().all(|found| found.tenant != tenant));
}
