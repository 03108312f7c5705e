//! The rules about what is owed to sinks.

use muster_model::{DeliveryNumber, Selection};

use super::kit::{
    BY, Engine, LEASE, ME, OTHER, PLENTY, accept, add, all_taken, at, body, cursor, ids, is_lost,
    lease_queue, lease_source, names, new_tenant, nothing_due, page_of, record, sets, tenant_id,
};
use crate::{AcceptedPage, DeliveryLimits, Destination, FinishedDelivery, Store};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    sinks_are_owed_what_they_want(&*engine.fresh().await).await;
    two_hundred_sinks_are_owed_what_they_want(&*engine.fresh().await).await;
    deliveries_go_in_order_and_one_lease_at_a_time(&*engine.fresh().await).await;
    queues_take_turns(&*engine.fresh().await).await;
    what_a_sink_did_not_take_stays_owed(&*engine.fresh().await).await;
    a_lost_lease_finishes_nothing(&*engine.fresh().await).await;
    slow_sinks_keep_their_lease(&*engine.fresh().await).await;
}

async fn sinks_are_owed_what_they_want(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["splunk", "arcsight", "file"]);
    let sets = sets(&sinks);
    let lease = lease_source(store, at(0)).await;
    let bodies = (0..10).map(|index| body("r", index)).collect::<Vec<_>>();
    let wants = |index: usize| 1 | if index.is_multiple_of(3) { 2 } else { 0 };
    let records = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| record(&format!("r{index}"), 10, body, wants(index)))
        .collect();
    let page = page_of(records, &sets);
    store.accept_page(&lease, page, LEASE, at(1)).await.expect("accepted");
    assert_eq!(store.next_delivery_due_at("file").await.expect("asked"), None);
    assert!(nothing_due(store, "file", at(2)).await, "it wants none");
    assert!(nothing_due(store, "nobody", at(2)).await);
    assert_eq!(store.next_delivery_due_at("arcsight").await.expect("asked"), Some(at(1)));
    let some = lease_queue(store, "arcsight", at(2)).await;
    assert_eq!(ids(&some.deliveries), ["r0", "r3", "r6", "r9"]);
    assert_eq!(some.deliveries[0].records().map(|(index, _)| index).collect::<Vec<_>>(), [0, 3, 6, 9]);
    let all = lease_queue(store, "splunk", at(2)).await;
    assert_eq!((all.deliveries[0].records().count(), &all.deliveries[0].selection), (10, &Selection::All));
    let owed = |totals: &[crate::SinkTotals]| {
        totals.iter().map(|totals| (totals.sink.clone(), totals.owed)).collect::<Vec<_>>()
    };
    let totals = store.sink_totals().await.expect("added up");
    assert_eq!(owed(&totals), [("arcsight".to_owned(), 4), ("splunk".to_owned(), 10)]);
    assert_eq!(totals[0].owed_since, Some(at(1)));
    assert_eq!((totals[0].owing, totals[0].failing), (1, 0));
    store.finish_deliveries(&some, all_taken(&some), None, at(3)).await.expect("finished");
    let totals = store.sink_totals().await.expect("added up").remove(0);
    assert_eq!((totals.owed, totals.delivered, totals.owed_since), (0, 4, None));
    assert_eq!((totals.owing, totals.last_success_at), (0, Some(at(3))));
    let refused = (0..10).map(|index| (index, "too odd".to_owned())).collect();
    let number = all.deliveries[0].number;
    let refused = FinishedDelivery { number, remaining: None, delivered: 0, rejected: refused };
    store.finish_deliveries(&all, vec![refused], None, at(4)).await.expect("finished");
    let totals = store.sink_totals().await.expect("added up").remove(1);
    assert_eq!((totals.rejected, totals.dead_letters, totals.last_rejected_at), (10, 10, Some(at(4))));
    assert_eq!((totals.last_success_at, totals.last_error), (None, None));
}

async fn two_hundred_sinks_are_owed_what_they_want(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    let sinks = (0..200).map(|sink| format!("sink-{sink}")).collect::<Vec<_>>();
    // Every record goes to the sinks whose number it divides.
    let divides = |record: usize, sink: usize| sink.is_multiple_of(record + 1);
    let destinations = (0..20).map(|record| {
        let wanted = (0..200).filter(|sink| divides(record, *sink));
        Destination::of(&wanted.map(|sink| sinks[sink].clone()).collect::<Vec<_>>())
    });
    let destinations = destinations.collect::<Vec<_>>();
    let bodies = (0..20).map(|index| body("r", index)).collect::<Vec<_>>();
    let records = bodies.iter().enumerate();
    let records =
        records.map(|(index, body)| record(&format!("r{index}"), 10, body, index)).collect::<Vec<_>>();
    let page = AcceptedPage {
        records,
        text: None,
        dead_letters: vec![],
        destinations: &destinations,
        cursor: cursor(10),
        request_id: None,
        proved_up_to: None,
    };
    assert_eq!(store.accept_page(&lease, page, LEASE, at(1)).await.expect("accepted").accepted, 20);
    for (sink, name) in sinks.iter().enumerate() {
        let wanted = (0..20).filter(|record| divides(*record, sink)).map(|record| format!("r{record}"));
        let lease = lease_queue(store, name, at(2)).await;
        assert_eq!(ids(&lease.deliveries), wanted.collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(store.sink_totals().await.expect("added up").len(), 200);
}

async fn deliveries_go_in_order_and_one_lease_at_a_time(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["splunk"]);
    let source = lease_source(store, at(0)).await;
    for id in ["a", "b", "c", "d"] {
        accept(store, &source, &[id], &sinks, at(1)).await;
    }
    let limits = DeliveryLimits { batches: 2, ..PLENTY };
    let first = store.lease_due_deliveries(ME, "splunk", limits, LEASE, at(2)).await.expect("leased");
    let first = first.expect("due");
    assert_eq!(ids(&first.deliveries), ["a", "b"]);
    assert!(first.deliveries[0].number < first.deliveries[1].number);
    assert!(nothing_due(store, "splunk", at(2)).await, "the queue is leased");
    assert_eq!(store.next_delivery_due_at("splunk").await.expect("asked"), Some(at(62)), "the lease's end");
    accept(store, &source, &["e"], &sinks, at(3)).await;
    assert!(nothing_due(store, "splunk", at(3)).await, "a new record does not open it");
    store.finish_deliveries(&first, all_taken(&first), None, at(4)).await.expect("finished");
    let state = store.queue_states().await.expect("read").remove(0);
    assert_eq!((state.delivered, state.owed, state.last_success_at), (2, 3, Some(at(4))));
    assert_eq!((state.owed_since, state.next_at), (Some(at(1)), Some(at(4))), "the rest is due at once");
    let second = lease_queue(store, "splunk", at(4)).await;
    assert_eq!(ids(&second.deliveries), ["c", "d", "e"]);
    assert!(second.deliveries[0].number > first.deliveries[1].number);
    let last = second.deliveries[2].number;
    store.finish_deliveries(&second, all_taken(&second), None, at(5)).await.expect("finished");
    assert!(nothing_due(store, "splunk", at(5)).await);
    assert_eq!(store.next_delivery_due_at("splunk").await.expect("asked"), None);
    accept(store, &source, &["f"], &sinks, at(6)).await;
    let third = lease_queue(store, "splunk", at(6)).await;
    assert!(third.deliveries[0].number > last, "a number is never used again");
}

async fn queues_take_turns(store: &dyn Store) {
    let sinks = names(&["splunk"]);
    for number in 1..=3_u128 {
        store.add_tenant(new_tenant(number), BY, at(number as i64)).await.expect("added");
    }
    for number in 1..=3 {
        let source = lease_source(store, at(10)).await;
        for id in ["a", "b"] {
            accept(store, &source, &[id], &sinks, at(10 + number)).await;
        }
    }
    let limits = DeliveryLimits { batches: 1, ..PLENTY };
    let mut served = Vec::new();
    for turn in 0..6 {
        let lease = store.lease_due_deliveries(ME, "splunk", limits, LEASE, at(20 + turn)).await;
        let lease = lease.expect("leased").expect("due");
        served.push(lease.tenant.id);
        store.finish_deliveries(&lease, all_taken(&lease), None, at(20 + turn)).await.expect("finished");
    }
    let round = [tenant_id(1), tenant_id(2), tenant_id(3)];
    assert_eq!(served, [round, round].concat());
}

async fn what_a_sink_did_not_take_stays_owed(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["splunk", "file"]);
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a", "b", "c"], &sinks, at(1)).await;
    accept(store, &source, &["d"], &sinks, at(1)).await;
    let lease = lease_queue(store, "splunk", at(2)).await;
    let remaining = Selection::of(3, |index| index == 1);
    let part = FinishedDelivery {
        number: lease.deliveries[0].number,
        remaining,
        delivered: 2,
        rejected: Vec::new(),
    };
    let retry = Some((at(30), "splunk is busy".to_owned()));
    store.finish_deliveries(&lease, vec![part], retry, at(3)).await.expect("finished");
    let state = async || {
        let states = store.queue_states().await.expect("read");
        states.into_iter().find(|state| state.sink == "splunk").expect("there")
    };
    let busy = state().await;
    assert_eq!((busy.delivered, busy.owed, busy.next_at), (2, 2, Some(at(30))));
    assert_eq!((busy.failures, busy.last_error.as_deref()), (1, Some("splunk is busy")));
    assert_eq!(busy.last_success_at, Some(at(3)), "something was acknowledged");
    let totals = store.sink_totals().await.expect("added up");
    let errors = totals.iter().map(|totals| totals.last_error.as_deref()).collect::<Vec<_>>();
    assert_eq!(errors, [None, Some("splunk is busy")]);
    // A new record does not shorten the wait; another sink does not wait along.
    accept(store, &source, &["e"], &sinks, at(4)).await;
    assert!(nothing_due(store, "splunk", at(29)).await);
    assert_eq!(store.next_delivery_due_at("splunk").await.expect("asked"), Some(at(30)));
    assert_eq!(ids(&lease_queue(store, "file", at(4)).await.deliveries), ["a", "b", "c", "d", "e"]);
    let lease = lease_queue(store, "splunk", at(30)).await;
    assert_eq!((ids(&lease.deliveries), lease.failures), (vec!["b", "d", "e"], 1));
    store
        .finish_deliveries(&lease, Vec::new(), Some((at(60), "down".to_owned())), at(31))
        .await
        .expect("finished");
    let down = state().await;
    assert_eq!((down.failures, down.owed, down.last_error.as_deref()), (2, 3, Some("down")));
    let lease = lease_queue(store, "splunk", at(60)).await;
    assert_eq!(ids(&lease.deliveries), ["b", "d", "e"]);
    // Given back untouched, as at a shutdown: due at once, and still failing.
    store.finish_deliveries(&lease, Vec::new(), None, at(61)).await.expect("finished");
    assert_eq!((state().await.failures, state().await.next_at), (2, Some(at(61))));
    let lease = lease_queue(store, "splunk", at(61)).await;
    store.finish_deliveries(&lease, all_taken(&lease), None, at(62)).await.expect("finished");
    let done = state().await;
    assert_eq!((done.failures, done.last_error, done.owed, done.delivered), (0, None, 0, 5));
    assert_eq!((done.next_at, done.owed_since), (None, None));
}

async fn a_lost_lease_finishes_nothing(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["splunk"]);
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a"], &sinks, at(1)).await;
    let old = lease_queue(store, "splunk", at(1)).await;
    let new = store.lease_due_deliveries(OTHER, "splunk", PLENTY, LEASE, at(61)).await.expect("leased");
    let new = new.expect("the lease has ended");
    assert!(new.fence > old.fence);
    let rejected = FinishedDelivery {
        number: old.deliveries[0].number,
        remaining: None,
        delivered: 0,
        rejected: vec![(0, "too large".to_owned())],
    };
    for finished in [all_taken(&old), vec![rejected], Vec::new()] {
        assert!(is_lost(store.finish_deliveries(&old, finished, None, at(62)).await));
    }
    assert!(is_lost(store.extend_deliveries(&old, LEASE, at(62)).await));
    let state = store.queue_states().await.expect("read").remove(0);
    assert_eq!((state.owed, state.delivered, state.rejected), (1, 0, 0));
    assert!(store.dead_letters(None, 9).await.expect("listed").is_empty());
    store.finish_deliveries(&new, all_taken(&new), None, at(63)).await.expect("finished");
    assert!(is_lost(store.finish_deliveries(&new, Vec::new(), None, at(63)).await), "given back");
    let unknown =
        FinishedDelivery { number: DeliveryNumber(999), remaining: None, delivered: 1, rejected: Vec::new() };
    accept(store, &source, &["b"], &sinks, at(64)).await;
    let lease = lease_queue(store, "splunk", at(64)).await;
    assert!(store.finish_deliveries(&lease, vec![unknown], None, at(64)).await.is_err(), "not of this lease");
    assert_eq!(store.queue_states().await.expect("read")[0].owed, 1);
}

async fn slow_sinks_keep_their_lease(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a"], &names(&["splunk"]), at(1)).await;
    let lease = lease_queue(store, "splunk", at(1)).await;
    store.extend_deliveries(&lease, LEASE, at(50)).await.expect("extended");
    assert!(nothing_due(store, "splunk", at(109)).await);
    assert!(!nothing_due(store, "splunk", at(110)).await);
}
