//! The rules about what no route took, and about replays.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_model::{DeliveryNumber, ReplayId, Source};

use super::kit::{
    BY, Engine, LEASE, ME, OTHER, PLENTY, accept, add, all_taken, at, body, ids, keep, lease_queue,
    lease_source, names, new_tenant, nothing_due, page_of, record, tenant_id,
};
use crate::{
    DeliveryLimits, Destination, FinishedDelivery, LedgerFilter, ReplayCounts, ReplayRequest, ReplayTo,
    ReplayedToSink, SourceLease, Store, StoreError, UnroutedCause,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    what_no_route_took_is_counted_and_brought_once(&*engine.fresh().await).await;
    what_a_sink_has_had_is_brought_on_request_only(&*engine.fresh().await).await;
    a_request_is_about_what_it_says(&*engine.fresh().await).await;
    live_deliveries_wait_for_one_lease_of_replays(&*engine.fresh().await).await;
    numbers_rise_for_good(&*engine.fresh().await).await;
    what_is_to_be_replayed_is_not_pruned(&*engine.fresh().await).await;
    what_was_pruned_unrouted_is_new_to_a_backfill(&*engine.fresh().await).await;
    nothing_of_a_tenant_that_is_gone_is_replayed(&*engine.fresh().await).await;
    a_letter_that_can_be_read_now_counts_as_any_record(&*engine.fresh().await).await;
    what_is_replayed_carries_the_name_of_the_replay(&*engine.fresh().await).await;
    where_sinks_stand_is_told_of_each_record(&*engine.fresh().await).await;
    a_replay_goes_on_after_a_kill(engine).await;
}

/// Every record goes to these sinks.
fn everything_to(sinks: &[&str]) -> Destination {
    Destination::of(&names(sinks))
}

fn request(to: &Destination) -> ReplayRequest<'_> {
    ReplayRequest {
        tenant: tenant_id(1),
        source: Source::GraphAlerts,
        since: Timestamp::MIN,
        up_to: u64::MAX,
        until: Timestamp::MAX,
        ids: &[],
        unrouted: false,
        again: false,
        to: ReplayTo::One(to),
        id: None,
        dry_run: false,
    }
}

/// Replays to the end.
async fn replay(store: &dyn Store, request: &ReplayRequest<'_>, now: Timestamp) -> ReplayCounts {
    let (mut counts, mut after) = (ReplayCounts::default(), 0);
    loop {
        let step = store.replay(request, after, now).await.expect("replayed");
        counts.add(&step.counts);
        match step.next {
            Some(next) => after = next,
            None => return counts,
        }
    }
}

/// What the ledger says of all hours: new, unrouted, and for each sink owed and delivered.
async fn counted(store: &dyn Store) -> (u64, u64, Vec<(String, u64, u64)>) {
    let filter = LedgerFilter { tenant: None, source: None, from: at(-3600), to: at(7200) };
    let hours = store.ledger(filter, at(100)).await.expect("read");
    let mut sinks: std::collections::BTreeMap<String, (u64, u64)> = std::collections::BTreeMap::new();
    for sink in hours.iter().flat_map(|hour| &hour.sinks) {
        let sum = sinks.entry(sink.sink.clone()).or_default();
        *sum = (sum.0 + sink.owed, sum.1 + sink.delivered);
    }
    let sum = |of: fn(&crate::LedgerHour) -> u64| hours.iter().map(of).sum();
    let sinks = sinks.into_iter().map(|(sink, (owed, delivered))| (sink, owed, delivered)).collect();
    (sum(|hour| hour.new), sum(|hour| hour.unrouted), sinks)
}

/// Unrouted records by cause: in the journal, and pruned.
async fn unrouted(store: &dyn Store) -> Vec<(UnroutedCause, u64, u64)> {
    let all = store.unrouted().await.expect("read");
    all.iter().map(|found| (found.cause, found.records, found.pruned)).collect()
}

fn to_sink(owed: u64, owed_already: u64, had: u64, refused: u64) -> ReplayedToSink {
    ReplayedToSink { owed, again: 0, owed_already, had, refused }
}

async fn drain(store: &dyn Store, sink: &str, now: Timestamp) -> Vec<String> {
    let mut drained = Vec::new();
    while let Some(lease) = store.lease_due_deliveries(ME, sink, PLENTY, LEASE, now).await.expect("leased") {
        drained.extend(ids(&lease.deliveries).into_iter().map(str::to_owned));
        store.finish_deliveries(&lease, all_taken(&lease), None, now).await.expect("finished");
    }
    drained
}

async fn what_no_route_took_is_counted_and_brought_once(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a", "b", "c"], &[], at(1)).await;
    // A route serves these, but not all of them.
    let bodies = ["d", "e", "f"].map(|id| body(id, 1));
    let records = ["d", "e", "f"].iter().zip(&bodies).enumerate();
    let records = records.map(|(index, (id, body))| record(id, 10, body, usize::from(index == 1))).collect();
    let left_out = Destination { filtered: true, ..Destination::default() };
    let destinations = [left_out, Destination::of(&names(&["splunk"]))];
    store.accept_page(&source, page_of(records, &destinations), LEASE, at(2)).await.expect("accepted");
    let both = [(UnroutedCause::NoRoute, 3, 0), (UnroutedCause::Filtered, 2, 0)];
    assert_eq!(unrouted(store).await, both);
    let all = store.unrouted().await.expect("read");
    assert_eq!((all[0].tenant, all[0].source, all[0].since), (tenant_id(1), source.source, Some(at(1))));
    assert_eq!(counted(store).await, (6, 5, vec![("splunk".to_owned(), 1, 0)]));

    // Without a route it stays as it is.
    let nowhere = everything_to(&[]);
    let missed = ReplayRequest { unrouted: true, ..request(&nowhere) };
    let counts = replay(store, &missed, at(3)).await;
    assert_eq!((counts.records, counts.no_route, counts.owed()), (5, 5, 0));
    assert_eq!(unrouted(store).await, both);

    let splunk = everything_to(&["splunk"]);
    let missed = ReplayRequest { unrouted: true, ..request(&splunk) };
    let preview = replay(store, &ReplayRequest { dry_run: true, ..missed.clone() }, at(3)).await;
    assert_eq!(preview.sinks["splunk"], to_sink(5, 0, 0, 0));
    assert_eq!(unrouted(store).await, both, "a preview changes nothing");
    assert_eq!(replay(store, &missed, at(3)).await, preview);
    assert_eq!(unrouted(store).await, []);
    assert_eq!(counted(store).await, (6, 0, vec![("splunk".to_owned(), 6, 0)]));
    assert_eq!(replay(store, &missed, at(4)).await, ReplayCounts::default(), "twice is once");
    let state = store.queue_states().await.expect("read").remove(0);
    assert_eq!((state.owed, state.owed_since), (6, Some(at(2))));
    let waits = store.trace(None, "a").await.expect("traced").remove(0).deliveries;
    assert_eq!((waits.len(), waits[0].number), (1, None), "it waits");
    assert_eq!(drain(store, "splunk", at(5)).await, ["e", "a", "b", "c", "d", "f"]);
    assert_eq!(counted(store).await, (6, 0, vec![("splunk".to_owned(), 6, 6)]));
    let state = store.queue_states().await.expect("read").remove(0);
    assert_eq!((state.owed, state.delivered, state.owed_since), (0, 6, None));
    let had = store.trace(None, "a").await.expect("traced").remove(0).deliveries;
    assert!(matches!(had[0].state, crate::TracedState::Delivered { .. }), "{had:?}");
}

async fn what_is_replayed_carries_the_name_of_the_replay(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a", "b"], &names(&["splunk"]), at(1)).await;
    let carried = async |now: i64| {
        let lease = lease_queue(store, "splunk", at(now)).await;
        let all = lease.deliveries.iter().flat_map(|delivery| delivery.records());
        let carried: Vec<_> = all.map(|(_, record)| (record.head.id.clone(), record.replay)).collect();
        (lease, carried)
    };
    let (lease, first) = carried(2).await;
    assert_eq!(first, [("a".to_owned(), None), ("b".to_owned(), None)]);
    store.finish_deliveries(&lease, all_taken(&lease), None, at(2)).await.expect("finished");
    let id = |number| Some(ReplayId(uuid::Uuid::from_u128(number)));
    let splunk = everything_to(&["splunk"]);
    let again = ReplayRequest { again: true, id: id(7), ..request(&splunk) };
    assert_eq!(replay(store, &again, at(3)).await.owed(), 2);
    let (lease, carried_then) = carried(4).await;
    assert_eq!(carried_then, [("a".to_owned(), id(7)), ("b".to_owned(), id(7))]);
    // What is not taken comes again by the same name.
    let part = FinishedDelivery {
        number: lease.deliveries[0].number,
        remaining: muster_model::Selection::of(2, |index| index == 1),
        delivered: 1,
        rejected: Vec::new(),
    };
    store
        .finish_deliveries(&lease, vec![part], Some((at(5), "busy".to_owned())), at(4))
        .await
        .expect("finished");
    let (lease, carried_then) = carried(6).await;
    assert_eq!(carried_then, [("b".to_owned(), id(7))]);
    store.finish_deliveries(&lease, all_taken(&lease), None, at(6)).await.expect("finished");
    // Of a batch that waits already, all comes by the later name.
    let only_a = ["a".to_owned()];
    replay(store, &ReplayRequest { ids: &only_a, id: id(8), ..again.clone() }, at(7)).await;
    replay(store, &ReplayRequest { id: id(9), ..again }, at(7)).await;
    let (_, carried_then) = carried(8).await;
    assert_eq!(carried_then, [("a".to_owned(), id(9)), ("b".to_owned(), id(9))]);
}

async fn where_sinks_stand_is_told_of_each_record(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a", "b", "c"], &names(&["archive", "splunk"]), at(1)).await;
    accept(store, &source, &["d"], &[], at(2)).await;
    let lease = lease_queue(store, "splunk", at(3)).await;
    let part = FinishedDelivery {
        number: lease.deliveries[0].number,
        remaining: muster_model::Selection::of(3, |index| index == 2),
        delivered: 1,
        rejected: vec![(1, "too large".to_owned())],
    };
    let later = Some((at(30), "busy".to_owned()));
    store.finish_deliveries(&lease, vec![part], later, at(4)).await.expect("finished");
    assert_eq!(drain(store, "archive", at(5)).await, ["a", "b", "c"]);
    let nowhere = Destination::default();
    let sinks = names(&["archive", "splunk", "none"]);
    let all = store.standings(&request(&nowhere), &sinks, 0).await.expect("read");
    assert_eq!((all.damaged, all.next), (0, None));
    let found: Vec<_> = all.records.iter().map(|of| (of.id.as_str(), of.standings.clone())).collect();
    use crate::Standing::{Had, Nothing, Owed, Refused};
    assert_eq!(
        found,
        [
            ("a", vec![Had, Had, Nothing]),
            ("b", vec![Had, Refused, Nothing]),
            ("c", vec![Had, Owed, Nothing]),
            ("d", vec![Nothing, Nothing, Nothing]),
        ]
    );
    let some = ReplayRequest { since: at(2), ..request(&nowhere) };
    let some = store.standings(&some, &sinks, 0).await.expect("read");
    assert_eq!(some.records.len(), 1, "by the time of acceptance");
    let stranger = ReplayRequest { tenant: tenant_id(9), ..request(&nowhere) };
    assert!(store.standings(&stranger, &sinks, 0).await.is_err());
}

async fn what_a_sink_has_had_is_brought_on_request_only(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a", "b", "c"], &names(&["splunk"]), at(1)).await;
    let lease = lease_queue(store, "splunk", at(2)).await;
    let part = FinishedDelivery {
        number: lease.deliveries[0].number,
        remaining: muster_model::Selection::of(3, |index| index == 2),
        delivered: 1,
        rejected: vec![(1, "too large".to_owned())],
    };
    let later = Some((at(30), "busy".to_owned()));
    store.finish_deliveries(&lease, vec![part], later, at(3)).await.expect("finished");
    let destinations = everything_to(&["splunk", "archive"]);
    let missed = request(&destinations);
    let counts = replay(store, &missed, at(4)).await;
    assert_eq!(counts.sinks["splunk"], to_sink(0, 1, 1, 1), "owed still, had, refused");
    assert_eq!(counts.sinks["archive"], to_sink(3, 0, 0, 0));
    assert_eq!(replay(store, &missed, at(4)).await.sinks["archive"], to_sink(0, 3, 0, 0));
    assert_eq!(drain(store, "archive", at(5)).await, ["a", "b", "c"]);
    assert_eq!(replay(store, &missed, at(6)).await.sinks["archive"], to_sink(0, 0, 3, 0));
    assert!(nothing_due(store, "archive", at(6)).await);

    let again = ReplayRequest { again: true, ..missed };
    let counts = replay(store, &again, at(7)).await;
    let had_before = |again, counts| ReplayedToSink { again, ..counts };
    assert_eq!(counts.sinks["splunk"], had_before(1, to_sink(2, 1, 0, 0)));
    assert_eq!(counts.sinks["archive"], had_before(3, to_sink(3, 0, 0, 0)));
    let counts = replay(store, &again, at(7)).await;
    assert_eq!(counts.owed(), 0, "what is owed is not owed twice: {counts:?}");
    assert!(nothing_due(store, "splunk", at(29)).await, "a replay does not shorten a wait");
    assert_eq!(drain(store, "splunk", at(30)).await, ["c", "a", "b"]);
    assert_eq!(drain(store, "archive", at(30)).await, ["a", "b", "c"]);
    let (.., sinks) = counted(store).await;
    assert_eq!(sinks, [("archive".to_owned(), 6, 6), ("splunk".to_owned(), 5, 4)]);
    // What was refused and tried again by itself has one place only.
    let letter = store.dead_letters(None, 9).await.expect("listed").remove(0);
    assert!(store.replay_dead_letter(letter.number, &[], at(31)).await.expect("replayed"));
    assert_eq!(drain(store, "splunk", at(31)).await, ["b"]);
    let other = everything_to(&["other"]);
    assert_eq!(replay(store, &request(&other), at(32)).await.sinks["other"], to_sink(3, 0, 0, 0));
    assert_eq!(drain(store, "other", at(33)).await, ["a", "b", "c"]);
}

async fn a_request_is_about_what_it_says(store: &dyn Store) {
    for number in [1, 2] {
        let new = crate::NewTenant { sources: BTreeSet::from(Source::ALL), ..new_tenant(number) };
        store.add_tenant(new, BY, at(0)).await.expect("added");
    }
    let leases = store.lease_due_sources(ME, 99, LEASE, at(0)).await.expect("leased");
    assert_eq!(leases.len(), 2 * Source::ALL.len());
    for (second, lease) in leases.iter().enumerate() {
        accept(store, lease, &["a", "b"], &[], at(second as i64)).await;
    }
    let of = |source: Source| {
        leases.iter().position(|lease| lease.tenant.id == tenant_id(1) && lease.source == source)
    };
    let second = of(Source::GraphAlerts).expect("leased") as i64;
    let destinations = everything_to(&["splunk"]);
    let preview = ReplayRequest { dry_run: true, unrouted: true, ..request(&destinations) };
    assert_eq!(replay(store, &preview, at(9)).await.records, 2, "one source of one tenant");
    let span =
        |since: i64, until: i64| ReplayRequest { since: at(since), until: at(until), ..preview.clone() };
    for (since, until, records) in
        [(second, second + 1, 2), (second + 1, second + 9, 0), (second - 9, second, 0)]
    {
        let all = ReplayRequest { unrouted: false, ..span(since, until) };
        assert_eq!(replay(store, &span(since, until), at(9)).await.records, records);
        assert_eq!(replay(store, &all, at(9)).await.records, records);
    }
    // Of no later batch than was there when it was asked about.
    let newest = store.journal_tail(u64::MAX, 0, 0).await.expect("looked").newest;
    for (up_to, records) in [(newest, 2), (0, 0)] {
        for unrouted in [true, false] {
            let bound = ReplayRequest { up_to, unrouted, ..preview.clone() };
            assert_eq!(replay(store, &bound, at(9)).await.records, records, "{up_to}");
        }
    }
    let wanted = ["b".to_owned(), "x".to_owned()];
    let one = ReplayRequest { ids: &wanted, dry_run: false, ..preview.clone() };
    assert_eq!(replay(store, &one, at(9)).await.sinks["splunk"], to_sink(1, 0, 0, 0));
    assert_eq!(replay(store, &preview, at(9)).await.sinks["splunk"], to_sink(1, 0, 0, 0), "the other one");
    // The rest of the same batch joins what waits.
    let rest = ReplayRequest { dry_run: false, ..preview };
    assert_eq!(replay(store, &rest, at(9)).await.sinks["splunk"], to_sink(1, 0, 0, 0));
    assert_eq!(drain(store, "splunk", at(10)).await, ["a", "b"]);
    let left: u64 = unrouted(store).await.iter().map(|(_, records, _)| records).sum();
    assert_eq!(left as usize, 2 * leases.len() - 2, "nobody else's was touched");
}

/// Batches of one record each, that no route took.
async fn batches(store: &dyn Store, source: &SourceLease, count: usize) -> Vec<String> {
    let ids = (0..count).map(|number| format!("old-{number}")).collect::<Vec<_>>();
    for id in &ids {
        accept(store, source, &[id], &[], at(1)).await;
    }
    ids
}

async fn live_deliveries_wait_for_one_lease_of_replays(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    let old = batches(store, &source, 80).await;
    let destinations = everything_to(&["splunk"]);
    let missed = ReplayRequest { unrouted: true, ..request(&destinations) };
    assert_eq!(replay(store, &missed, at(2)).await.owed(), 80);
    let limits = DeliveryLimits { batches: 4, ..PLENTY };
    let (mut seen, mut last, mut live) = (Vec::new(), DeliveryNumber(0), 0);
    for turn in 0.. {
        let lease = store.lease_due_deliveries(ME, "splunk", limits, LEASE, at(3 + turn)).await;
        let Some(lease) = lease.expect("leased") else { break };
        assert!(lease.deliveries.len() <= 4);
        // The sink is down now and then; more is not let in for that.
        let down = turn % 3 == 0;
        let finished = if down { Vec::new() } else { all_taken(&lease) };
        for delivery in lease.deliveries.iter().filter(|_| !down) {
            assert!(delivery.number > last, "numbers rise");
            last = delivery.number;
            seen.extend(delivery.records().map(|(_, record)| record.head.id.clone()));
        }
        store.finish_deliveries(&lease, finished, None, at(3 + turn)).await.expect("finished");
        if live < 10 {
            accept(store, &source, &[&format!("live-{live}")], &names(&["splunk"]), at(3 + turn)).await;
            live += 1;
        }
    }
    let replayed: Vec<&String> = seen.iter().filter(|id| id.starts_with("old")).collect();
    assert_eq!(replayed, old.iter().collect::<Vec<_>>(), "in order, each once");
    let place = |id: &str| seen.iter().position(|seen| seen == id).expect("delivered");
    for number in 0..10 {
        // Four that had stepped in before each of the live ones, and those that stepped in before the ones before it.
        assert!(place(&format!("live-{number}")) <= 5 * (number + 2), "{seen:?}");
    }
    assert_eq!(seen.len(), 90);
}

/// A sink that remembers the highest number of a tenant must never see a lower one for other records.
async fn numbers_rise_for_good(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    batches(store, &source, 3).await;
    let destinations = everything_to(&["file"]);
    let everything = ReplayRequest { again: true, ..request(&destinations) };
    let mut last = DeliveryNumber(0);
    let mut rises = |lease: &crate::DeliveryLease| {
        for delivery in &lease.deliveries {
            assert!(delivery.number > last, "{:?} after {last:?}", delivery.number);
            last = delivery.number;
        }
    };
    for turn in 0..4 {
        replay(store, &everything, at(turn)).await;
        let lease = lease_queue(store, "file", at(turn)).await;
        rises(&lease);
        store.finish_deliveries(&lease, all_taken(&lease), None, at(turn)).await.expect("finished");
    }
    store.remove_tenant(tenant_id(1), BY, at(5)).await.expect("removed");
    add(store, 1).await;
    let source = lease_source(store, at(6)).await;
    accept(store, &source, &["a"], &names(&["file"]), at(6)).await;
    let lease = lease_queue(store, "file", at(6)).await;
    rises(&lease);
    store.finish_deliveries(&lease, all_taken(&lease), None, at(6)).await.expect("finished");
    replay(store, &everything, at(7)).await;
    rises(&lease_queue(store, "file", at(7)).await);
}

async fn what_is_to_be_replayed_is_not_pruned(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a"], &[], at(1)).await;
    accept(store, &source, &["b"], &[], at(20)).await;
    let destinations = everything_to(&["splunk"]);
    let wanted = ["a".to_owned()];
    let one = ReplayRequest { ids: &wanted, ..request(&destinations) };
    assert_eq!(replay(store, &one, at(30)).await.owed(), 1);
    let pruned = store.prune_journal(keep(50)).await.expect("pruned");
    assert_eq!((pruned.batches, pruned.unrouted), (1, 1), "the other one");
    assert_eq!(store.pruned_up_to(tenant_id(1)).await.expect("read"), [(source.source, at(20))]);
    assert_eq!(drain(store, "splunk", at(51)).await, ["a"]);
    let pruned = store.prune_journal(keep(60)).await.expect("pruned");
    assert_eq!((pruned.batches, pruned.unrouted), (1, 0), "that one had arrived");
    assert_eq!(replay(store, &request(&destinations), at(61)).await, ReplayCounts::default());
}

async fn what_was_pruned_unrouted_is_new_to_a_backfill(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    let bodies = ["a", "b", "c"].map(|id| body(id, 1));
    let page = |destinations| {
        let times = [10, 20, 30];
        let records = ["a", "b", "c"].iter().zip(&bodies).zip(times);
        page_of(records.map(|((id, body), time)| record(id, time, body, 0)).collect(), destinations)
    };
    let nowhere = [Destination::default()];
    store.accept_page(&source, page(&nowhere), LEASE, at(31)).await.expect("accepted");
    accept(store, &source, &["routed"], &names(&["splunk"]), at(32)).await;
    drain(store, "splunk", at(33)).await;
    store.prune_journal(keep(50)).await.expect("pruned");
    assert_eq!(unrouted(store).await, [(UnroutedCause::NoRoute, 0, 3)], "still told");
    let told = store.unrouted().await.expect("read").remove(0);
    assert_eq!((told.since, told.pruned_span), (None, Some((at(10), at(30)))));
    assert_eq!(counted(store).await.1, 3);
    let splunk = [Destination::of(&names(&["splunk"]))];
    let receipt = store.accept_page(&source, page(&splunk), LEASE, at(51)).await.expect("accepted");
    assert_eq!(receipt.accepted, 0, "known as long as nobody asks for it");
    let (tenant, alerts) = (tenant_id(1), source.source);
    let forget = async |from, to| {
        store.forget_unrouted(tenant, alerts, (at(from), at(to)), at(52)).await.expect("forgotten")
    };
    assert_eq!(forget(10, 20).await, 1, "the end is exclusive");
    assert_eq!(unrouted(store).await, [(UnroutedCause::NoRoute, 0, 2)]);
    assert_eq!(forget(0, 100).await, 2);
    assert_eq!(forget(0, 100).await, 0);
    assert_eq!(unrouted(store).await, []);
    assert_eq!(counted(store).await.0, 1, "they count when they come again");
    let receipt = store.accept_page(&source, page(&splunk), LEASE, at(53)).await.expect("accepted");
    assert_eq!(receipt.accepted, 3);
    accept(store, &source, &["routed"], &names(&["splunk"]), at(54)).await;
    assert_eq!(drain(store, "splunk", at(55)).await, ["a", "b", "c"], "what had arrived does not again");
    assert_eq!(counted(store).await, (4, 0, vec![("splunk".to_owned(), 4, 4)]));
    // What nobody fetched again is told for as long as its versions are known.
    accept(store, &source, &["lost"], &[], at(56)).await;
    store.prune_journal(keep(60)).await.expect("pruned");
    let forgetting = crate::Retention { versions: at(100), ..keep(100) };
    assert_eq!(unrouted(store).await, [(UnroutedCause::NoRoute, 0, 1)]);
    store.prune_journal(forgetting).await.expect("pruned");
    assert_eq!(unrouted(store).await, []);
}

async fn nothing_of_a_tenant_that_is_gone_is_replayed(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    batches(store, &source, 3).await;
    let destinations = everything_to(&["splunk"]);
    replay(store, &ReplayRequest { ids: &["old-1".to_owned()], ..request(&destinations) }, at(2)).await;
    store.offboard_tenant(tenant_id(1), BY, at(3)).await.expect("offboarded");
    assert_eq!(unrouted(store).await, []);
    assert!(nothing_due(store, "splunk", at(4)).await);
    let refused = store.replay(&request(&destinations), 0, at(4)).await;
    assert!(matches!(refused, Err(StoreError::Offboarded(_))), "{refused:?}");
    store.remove_tenant(tenant_id(1), BY, at(5)).await.expect("removed");
    let refused = store.replay(&request(&destinations), 0, at(6)).await;
    assert!(matches!(refused, Err(StoreError::NoTenant(_))), "{refused:?}");
}

async fn a_letter_that_can_be_read_now_counts_as_any_record(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    let body = format!(r#"{{"id":"late","lastUpdateDateTime":"{}"}}"#, at(10));
    let letter = crate::NewDeadLetter { record_id: None, reason: "odd".to_owned(), body: body.as_bytes() };
    let page = crate::AcceptedPage { dead_letters: vec![letter], ..page_of(Vec::new(), &[]) };
    store.accept_page(&source, page, LEASE, at(11)).await.expect("accepted");
    let letter = store.dead_letters(None, 9).await.expect("listed").remove(0);
    assert_eq!(counted(store).await, (0, 0, Vec::new()));
    assert!(store.replay_dead_letter(letter.number, &[], at(12)).await.expect("replayed"));
    assert_eq!(counted(store).await, (1, 1, Vec::new()));
    assert_eq!(unrouted(store).await, [(UnroutedCause::NoRoute, 1, 0)], "there was no sink");
    let splunk = everything_to(&["splunk"]);
    replay(store, &ReplayRequest { unrouted: true, ..request(&splunk) }, at(13)).await;
    assert_eq!(drain(store, "splunk", at(14)).await, ["late"]);
    assert_eq!(counted(store).await, (1, 0, vec![("splunk".to_owned(), 1, 1)]));
}

async fn a_replay_goes_on_after_a_kill(engine: &mut dyn Engine) {
    let store = engine.fresh().await;
    add(&*store, 1).await;
    let source = lease_source(&*store, at(0)).await;
    let old = batches(&*store, &source, 100).await;
    let destinations = everything_to(&["splunk"]);
    let missed = ReplayRequest { unrouted: true, ..request(&destinations) };
    let step = store.replay(&missed, 0, at(2)).await.expect("replayed");
    assert!(step.next.is_some(), "there is more");
    let first = step.counts.owed();
    let lease = store
        .lease_due_deliveries(ME, "splunk", DeliveryLimits { batches: 5, ..PLENTY }, LEASE, at(2))
        .await
        .expect("leased")
        .expect("due");
    let numbers = |lease: &crate::DeliveryLease| {
        lease.deliveries.iter().map(|delivery| delivery.number).collect::<Vec<_>>()
    };
    let seen = numbers(&lease);
    drop(store);
    let store = engine.reopened().await;
    let back = engine.back_after(3);
    store.take_over(OTHER, at(back)).await.expect("taken over");
    let counts = replay(&*store, &missed, at(back)).await;
    assert_eq!(counts.owed(), 100 - first, "the rest, and nothing twice");
    let lease = lease_queue(&*store, "splunk", at(back)).await;
    assert_eq!(numbers(&lease)[..5], seen[..5], "what a sink may have seen keeps its number");
    store.finish_deliveries(&lease, all_taken(&lease), None, at(back)).await.expect("finished");
    let mut delivered: Vec<String> = ids(&lease.deliveries).into_iter().map(str::to_owned).collect();
    delivered.extend(drain(&*store, "splunk", at(back + 1)).await);
    assert_eq!(delivered, old);
    store.close().await;
}
