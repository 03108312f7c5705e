//! The rules about the journal's size and about what is given up for it.

use jiff::Timestamp;

use super::kit::{
    Engine, LEASE, ME, PLENTY, accept, add, all_taken, at, ids, lease_queue, lease_source, names, nothing_due,
};
use crate::{
    DeliveryLimits, Destination, GiveUp, HourState, JournalBacklog, LedgerFilter, ReplayRequest, ReplayTo,
    Store, TracedState,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    the_oldest_is_given_up_and_counted(&*engine.fresh().await).await;
    what_is_worked_on_is_not_given_up(&*engine.fresh().await).await;
    what_comes_after_what_is_worked_on_is_given_up(&*engine.fresh().await).await;
    a_shadow_does_without_and_nothing_is_missing(&*engine.fresh().await).await;
    the_journal_shrinks_from_its_oldest_end(&*engine.fresh().await).await;
}

fn all_before(seconds: i64) -> GiveUp {
    GiveUp { sinks: Vec::new(), owed_before: at(seconds), bytes: u64::MAX, of_shadows: false }
}

/// Four batches, accepted one each second from 1 on.
async fn four(store: &dyn Store, sinks: &[&str]) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    for (second, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
        accept(store, &lease, &[id, &format!("{id}2")], &names(sinks), at(1 + second as i64)).await;
    }
}

async fn the_oldest_is_given_up_and_counted(store: &dyn Store) {
    four(store, &["splunk", "archive"]).await;
    let tenant = store.tenants().await.expect("listed").remove(0).id;
    let archived = lease_queue(store, "archive", at(10)).await;
    store.finish_deliveries(&archived, all_taken(&archived), None, at(10)).await.expect("finished");
    let whole = store.journal_backlog(&[]).await.expect("added up");
    assert_eq!((whole.since, whole.bytes), (Some(at(1)), store.journal_bytes().await.expect("known")));
    let without = store.journal_backlog(&names(&["splunk"])).await.expect("added up");
    assert_eq!(without, JournalBacklog::default());

    let gone = store.give_up(&all_before(3), at(20)).await.expect("given up");
    assert_eq!((gone.records.get("splunk"), gone.records.len(), gone.more), (Some(&4), 1, false));
    let totals = store.sink_totals().await.expect("added up");
    let splunk = totals.iter().find(|totals| totals.sink == "splunk").expect("a sink");
    assert_eq!((splunk.owed, splunk.given_up, splunk.given_up_at), (4, 4, Some(at(20))));
    assert!(totals.iter().all(|totals| totals.sink == "splunk" || totals.given_up == 0));
    let left = lease_queue(store, "splunk", at(21)).await;
    assert_eq!(ids(&left.deliveries), ["c", "c2", "d", "d2"]);
    store.finish_deliveries(&left, all_taken(&left), None, at(21)).await.expect("finished");

    let filter = LedgerFilter { tenant: None, source: None, from: at(0), to: at(3_600) };
    let hours = store.ledger(filter, at(30)).await.expect("read");
    let hour = hours.iter().find(|hour| hour.new > 0).expect("an hour");
    let splunk = hour.sinks.iter().find(|of| of.sink == "splunk").expect("a sink");
    assert_eq!((splunk.owed, splunk.delivered, splunk.given_up), (8, 4, 4));
    assert_eq!(hour.state, HourState::GivenUp { records: 4 });
    let journey = store.trace(Some(tenant), "a").await.expect("traced").remove(0);
    let of_splunk = journey.deliveries.iter().find(|of| of.sink == "splunk").expect("told");
    assert_eq!(of_splunk.state, TracedState::GivenUp { at: at(20) });

    // As long as the journal has it, it can be brought all the same.
    let to = Destination::of(&names(&["splunk"]));
    let request = ReplayRequest {
        tenant,
        source: muster_model::Source::GraphAlerts,
        since: Timestamp::MIN,
        up_to: u64::MAX,
        until: Timestamp::MAX,
        ids: &[],
        unrouted: false,
        again: false,
        to: ReplayTo::One(&to),
        id: None,
        dry_run: false,
    };
    let counts = store.replay(&request, 0, at(40)).await.expect("replayed").counts;
    assert_eq!((counts.owed(), counts.sinks["splunk"].had), (4, 4));
    let of_ledger = async || {
        let hours = store.ledger(filter, at(45)).await.expect("read");
        let hour = hours.into_iter().find(|hour| hour.new > 0).expect("an hour");
        let given_up = hour.sinks.iter().map(|of| of.given_up).sum::<u64>();
        (given_up, matches!(hour.state, HourState::GivenUp { .. }))
    };
    assert_eq!(of_ledger().await, (0, false), "the sink is to have them after all");
    let journey = store.trace(Some(tenant), "a").await.expect("traced").remove(0);
    let states = journey.deliveries.iter().filter(|of| of.sink == "splunk").map(|of| &of.state);
    assert_eq!(states.collect::<Vec<_>>(), [&TracedState::Owed { since: at(40) }]);
    // And given up once more, while it waits for its turn.
    let gone = store.give_up(&all_before(50), at(50)).await.expect("given up");
    assert_eq!(gone.records.get("splunk"), Some(&4));
    assert!(nothing_due(store, "splunk", at(60)).await);
    assert_eq!(of_ledger().await, (4, true), "each is counted once");
    // One of them is brought.
    let one = ReplayRequest { ids: &["a".to_owned()], ..request };
    assert_eq!(store.replay(&one, 0, at(70)).await.expect("replayed").counts.owed(), 1);
    assert_eq!(of_ledger().await, (3, true));
    let brought = lease_queue(store, "splunk", at(71)).await;
    store.finish_deliveries(&brought, all_taken(&brought), None, at(71)).await.expect("finished");
    assert_eq!(
        store.replay(&ReplayRequest { again: true, ..one }, 0, at(72)).await.expect("replayed").counts.owed(),
        1
    );
    assert_eq!(of_ledger().await, (3, true), "what it had is not what it does without");
}

async fn what_is_worked_on_is_not_given_up(store: &dyn Store) {
    four(store, &["splunk"]).await;
    let lease = lease_queue(store, "splunk", at(10)).await;
    let gone = store.give_up(&all_before(100), at(11)).await.expect("looked");
    assert!(gone.records.is_empty() && !gone.more, "{gone:?}");
    store.finish_deliveries(&lease, all_taken(&lease), None, at(12)).await.expect("finished");
    let queue = store.queue_states().await.expect("read").remove(0);
    assert_eq!((queue.owed, queue.delivered), (0, 8));
}

/// A sink that is slow, and always at work, is no exception.
async fn what_comes_after_what_is_worked_on_is_given_up(store: &dyn Store) {
    four(store, &["splunk"]).await;
    let limits = DeliveryLimits { batches: 1, ..PLENTY };
    let lease = store.lease_due_deliveries(ME, "splunk", limits, LEASE, at(10)).await;
    let lease = lease.expect("leased").expect("something is due");
    assert_eq!(lease.deliveries.len(), 1);
    let gone = store.give_up(&all_before(100), at(11)).await.expect("given up");
    assert_eq!(gone.records.get("splunk"), Some(&6));
    store.finish_deliveries(&lease, all_taken(&lease), None, at(12)).await.expect("finished");
    let queue = store.queue_states().await.expect("read").remove(0);
    assert_eq!((queue.owed, queue.delivered), (0, 2));
    let totals = store.sink_totals().await.expect("added up").remove(0);
    assert_eq!((totals.owed, totals.given_up), (0, 6));
}

async fn a_shadow_does_without_and_nothing_is_missing(store: &dyn Store) {
    four(store, &["splunk", "new"]).await;
    let of_shadow = GiveUp { sinks: names(&["new"]), of_shadows: true, ..all_before(4) };
    let gone = store.give_up(&of_shadow, at(20)).await.expect("given up");
    assert_eq!((gone.records.get("new"), gone.records.len()), (Some(&6), 1));
    let totals = store.sink_totals().await.expect("added up");
    let of = |sink: &str| totals.iter().find(|totals| totals.sink == sink).expect("a sink");
    assert_eq!((of("new").owed, of("new").given_up), (2, 0));
    assert_eq!((of("splunk").owed, of("splunk").given_up), (8, 0));
    let filter = LedgerFilter { tenant: None, source: None, from: at(0), to: at(3_600) };
    let hours = store.ledger(filter, at(30)).await.expect("read");
    let hour = hours.iter().find(|hour| hour.new > 0).expect("an hour");
    let shadow = hour.sinks.iter().find(|of| of.sink == "new").expect("a sink");
    assert_eq!((shadow.owed, shadow.given_up), (2, 0));
    assert!(!matches!(hour.state, HourState::GivenUp { .. }), "{:?}", hour.state);
}

async fn the_journal_shrinks_from_its_oldest_end(store: &dyn Store) {
    four(store, &["splunk"]).await;
    let full = store.journal_bytes().await.expect("known");
    assert_eq!(full, store.journal_totals().await.expect("added up").stored_bytes);
    assert_eq!(store.shrink_journal(0).await.expect("tried"), (0, 0), "all of it is owed");
    let first = GiveUp { bytes: 1, ..all_before(3) };
    let gone = store.give_up(&first, at(20)).await.expect("given up");
    assert_eq!(gone.records.get("splunk"), Some(&2), "one batch at least, and no more than was asked for");
    store.give_up(&all_before(4), at(20)).await.expect("given up");
    assert_eq!(store.shrink_journal(full).await.expect("nothing to do"), (0, 0));
    assert_eq!(store.shrink_journal(0).await.expect("smaller"), (3, 0));
    let left = store.journal_totals().await.expect("added up");
    assert_eq!((left.batches, left.stored_bytes), (1, store.journal_bytes().await.expect("known")));
    assert_eq!(ids(&lease_queue(store, "splunk", at(21)).await.deliveries), ["d", "d2"]);
}
