//! The rules about the ledger, notes, lateness, traces, and clocks that step back.

use std::time::Duration;

use jiff::Timestamp;
use muster_model::{
    Change, ChangeKind, Clocks, Cursor, CursorPolicy, Note, PageLimits, PageSummary, Purpose, Reason,
    Selection, Source,
};

use super::kit::{
    Engine, LEASE, ME, OTHER, accept, add, all_taken, at, body, caught_up, cursor, lease_queue, lease_source,
    names, nothing_due, record, sets, tenant_id,
};
use crate::{
    AcceptedPage, FinishedDelivery, HourState, Late, LedgerFilter, LedgerHour, PollResult, Retention,
    SourceLease, Store, TracedState,
};

const ALERTS: Source = Source::GraphAlerts;
/// The suite's beginning of time lies 13 minutes and 20 seconds into an hour.
const HOUR: i64 = -800;
const DAY: i64 = 86_400;

pub(super) async fn run_all(engine: &mut dyn Engine) {
    what_is_accepted_and_delivered_is_counted(&*engine.fresh().await).await;
    an_hour_is_complete_only_when_a_sweep_has_confirmed_it(&*engine.fresh().await).await;
    what_a_clock_ahead_confirmed_is_not_believed_later(&*engine.fresh().await).await;
    what_a_sweep_finds_is_late_and_told_to_the_live_cursor(&*engine.fresh().await).await;
    notes_are_taken_in_by_the_lease(&*engine.fresh().await).await;
    a_journey_is_told(&*engine.fresh().await).await;
    versions_are_pruned_when_nobody_needs_them(&*engine.fresh().await).await;
    for ahead in [DAY, 73 * 365 * DAY] {
        a_clock_that_steps_back_stops_nothing(engine, ahead).await;
    }
}

/// A cursor whose last round began, and proved everything, at `seconds`.
fn proved(seconds: i64) -> Cursor {
    let clocks = Clocks { local: at(seconds), server: Some(at(seconds)) };
    let policy = CursorPolicy { overlap: Duration::from_secs(600), overlap_max: Duration::from_secs(600) };
    let limits = PageLimits { skip_max: 500, field_values: &[], cuts_silently: true };
    let empty = PageSummary {
        items: 0,
        top: 100,
        times: Vec::new(),
        unreadable: Vec::new(),
        torn: false,
        link: None,
        cut: false,
        fingerprint: 0,
        clocks,
        partial: None,
    };
    let mut cursor = cursor(HOUR - DAY);
    for _ in 0..100 {
        let (next, step) = cursor.after(&empty, &policy, &limits);
        cursor = next;
        if step == muster_model::Step::RoundDone {
            return cursor;
        }
    }
    panic!("a round of empty pages ends")
}

async fn hours(store: &dyn Store, from: i64, to: i64, now: i64) -> Vec<LedgerHour> {
    let filter = LedgerFilter { tenant: None, source: None, from: at(from), to: at(to) };
    store.ledger(filter, at(now)).await.expect("read")
}

async fn state(store: &dyn Store, now: i64) -> HourState {
    hours(store, HOUR, HOUR + 3_600, now).await.remove(0).state
}

async fn put(
    store: &dyn Store,
    lease: &SourceLease,
    ids: &[(&str, i64)],
    cursor: Cursor,
    up_to: Option<Timestamp>,
    now: i64,
) -> Option<Late> {
    let bodies = ids.iter().map(|(id, time)| body(id, *time)).collect::<Vec<_>>();
    let records = ids.iter().zip(&bodies).map(|((id, time), body)| record(id, *time, body, 1)).collect();
    let sets = sets(&names(&["splunk"]));
    let page = AcceptedPage {
        records,
        text: None,
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor,
        request_id: Some("the request".to_owned()),
        proved_up_to: up_to,
    };
    store.accept_page(lease, page, LEASE, at(now)).await.expect("accepted").late
}

async fn what_is_accepted_and_delivered_is_counted(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    put(store, &lease, &[("a", 0), ("b", 1), ("c", 4_000)], cursor(1), None, 4_001).await;
    put(store, &lease, &[("a", 0), ("d", 2)], cursor(2), None, 4_002).await;
    let unrouted = body("e", 1);
    let page = AcceptedPage {
        records: vec![record("e", 5, &unrouted, 0)],
        text: None,
        dead_letters: Vec::new(),
        destinations: &sets(&[]),
        cursor: cursor(3),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(&lease, page, LEASE, at(4_003)).await.expect("accepted");
    let queue = lease_queue(store, "splunk", at(4_004)).await;
    // Of the first batch "a" is refused and "b" stays owed; all of the second is taken.
    let first = FinishedDelivery {
        number: queue.deliveries[0].number,
        remaining: Selection::of(3, |index| index == 1),
        delivered: 1,
        rejected: vec![(0, "too odd".to_owned())],
    };
    let mut finished = all_taken(&queue);
    finished[0] = first;
    store.finish_deliveries(&queue, finished, None, at(4_005)).await.expect("finished");
    let told = hours(store, HOUR, HOUR + 7_200, 4_006).await;
    let counted =
        |hour: &LedgerHour| (hour.hour, hour.new, hour.seen_again, hour.unrouted, hour.late, hour.healed);
    assert_eq!(
        told.iter().map(counted).collect::<Vec<_>>(),
        [(at(HOUR), 4, 1, 1, 0, 0), (at(HOUR + 3_600), 1, 0, 0, 0, 0)]
    );
    let sinks = |hour: &LedgerHour| {
        hour.sinks.iter().map(|sink| (sink.owed, sink.delivered, sink.rejected)).collect::<Vec<_>>()
    };
    assert_eq!((sinks(&told[0]), sinks(&told[1])), (vec![(3, 1, 1)], vec![(1, 1, 0)]));
    // What is added up is what the journal and the queue say.
    let queue = store.queue_states().await.expect("read").remove(0);
    let sums = told.iter().flat_map(|hour| &hour.sinks).fold((0, 0, 0), |sums, sink| {
        (sums.0 + sink.owed - sink.delivered - sink.rejected, sums.1 + sink.delivered, sums.2 + sink.rejected)
    });
    assert_eq!(sums, (queue.owed, queue.delivered, queue.rejected));
    let new: u64 = told.iter().map(|hour| hour.new).sum();
    assert_eq!(new, store.journal_totals().await.expect("added up").records);
    let latest = store.latest_counts(tenant_id(1), ALERTS, at(0), at(9_000)).await.expect("counted");
    assert_eq!(latest, [(at(HOUR), 4), (at(HOUR + 3_600), 1)]);
    put(store, &lease, &[("a", 4_010)], cursor(4), None, 4_011).await;
    let latest = store.latest_counts(tenant_id(1), ALERTS, at(0), at(9_000)).await.expect("counted");
    assert_eq!(latest, [(at(HOUR), 3), (at(HOUR + 3_600), 2)], "a record counts where it was changed last");
    assert!(store.put_source_counts(tenant_id(1), ALERTS, vec![(at(0), 7)], at(4_012)).await.expect("put"));
    assert!(!store.put_source_counts(tenant_id(2), ALERTS, vec![], at(4_012)).await.expect("put"));
    let told = hours(store, 0, 1, 4_013).await.remove(0);
    assert_eq!((told.source_count, told.counted_at, told.new), (Some(7), Some(at(4_012)), 4));
}

/// A sweep of the day that begins and ends at `as_of`.
async fn sweep(store: &dyn Store, as_of: i64, notes: Vec<Note>) {
    let put = store.begin_cursor(tenant_id(1), ALERTS, Purpose::Sweep, cursor(HOUR), at(as_of)).await;
    assert!(put.expect("put"));
    let leases = store.lease_due_sources(OTHER, 9, LEASE, at(as_of)).await.expect("leased");
    let lease = leases.into_iter().find(|lease| lease.purpose == Purpose::Sweep).expect("due");
    let read = vec![(at(HOUR - DAY), at(as_of))];
    let over = PollResult::Over { read, as_of: at(as_of), notes, next: None };
    store.finish_poll(&lease, over, at(as_of + 1)).await.expect("over");
}

async fn an_hour_is_complete_only_when_a_sweep_has_confirmed_it(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    put(store, &lease, &[("a", 0)], cursor(HOUR - DAY), None, 10).await;
    assert_eq!(state(store, 10).await, HourState::Open, "nobody has read it whole");
    caught_up(store, &lease, 5_001, at(11)).await;
    sweep(store, 100, Vec::new()).await;
    assert_eq!(
        state(store, 110).await,
        HourState::Open,
        "a sweep within the hour proves nothing of its rest"
    );
    let live = proved(5_000);
    let lease = lease_source(store, at(5_001)).await;
    let result = PollResult::CaughtUp { next_at: at(6_100), missing: None, cursor: Some(live.clone()) };
    store.finish_poll(&lease, result, at(5_001)).await.expect("finished");
    assert_eq!(state(store, 5_002).await, HourState::Read);
    sweep(store, 6_000, Vec::new()).await;
    assert_eq!(state(store, 6_002).await, HourState::Complete { as_of: at(6_000) });
    assert_eq!(
        state(store, 5_999).await,
        HourState::Read,
        "what was written by a clock ahead proves nothing"
    );
    // A late record opens it again, until a sweep that began afterwards.
    let lease = lease_source(store, at(6_100)).await;
    let late = put(store, &lease, &[("b", 5)], live.clone(), live.proved_up_to(), 6_105).await;
    assert_eq!(late, Some(Late { records: 1, delay: Duration::from_secs(6_100) }));
    caught_up(store, &lease, 6_211, at(6_106)).await;
    let told = hours(store, 0, 1, 6_107).await.remove(0);
    assert_eq!((told.state, told.late, told.late_seconds_max), (HourState::Late, 1, 6_100));
    assert_eq!(told.reopened_at, Some(at(6_105)));
    sweep(store, 6_105, Vec::new()).await;
    assert_eq!(state(store, 6_110).await, HourState::Late, "it began no later than the record came");
    let hole = Note::Hole { from: at(100), to: Some(at(200)), reason: Reason::NoAnswer, since: at(6_200) };
    sweep(store, 6_200, vec![hole]).await;
    assert_eq!(
        state(store, 6_210).await,
        HourState::Hole { reason: Reason::NoAnswer },
        "before the cursor has learnt it"
    );
    let lease = lease_source(store, at(6_211)).await;
    assert_eq!(lease.cursor.holes().len(), 1);
    assert_eq!(state(store, 6_212).await, HourState::Hole { reason: Reason::NoAnswer });
    let result = PollResult::CaughtUp { next_at: at(9_000_000), missing: None, cursor: Some(proved(6_211)) };
    store.finish_poll(&lease, result, at(6_213)).await.expect("healed");
    assert_eq!(state(store, 6_214).await, HourState::Complete { as_of: at(6_200) });
}

async fn what_a_clock_ahead_confirmed_is_not_believed_later(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    put(store, &lease, &[("a", 0)], proved(5_000), None, 10).await;
    caught_up(store, &lease, 5_010, at(11)).await;
    // The clock is two hours ahead while a sweep reads, and then steps back.
    sweep(store, 5_000 + 7_200, Vec::new()).await;
    let lease = lease_source(store, at(5_010)).await;
    put(store, &lease, &[("b", 5_005)], proved(5_010), proved(5_000).proved_up_to(), 5_010).await;
    caught_up(store, &lease, 9_000_000, at(5_011)).await;
    assert_eq!(state(store, 5_012).await, HourState::Read);
    assert_eq!(state(store, 5_000 + 7_300).await, HourState::Read, "it began long before that time came");
    // An honest sweep counts at once.
    sweep(store, 6_000, Vec::new()).await;
    assert_eq!(state(store, 6_002).await, HourState::Complete { as_of: at(6_000) });
}

async fn what_a_sweep_finds_is_late_and_told_to_the_live_cursor(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    // On the first read nothing is late.
    assert_eq!(put(store, &lease, &[("a", -9_000)], proved(5_000), cursor(0).proved_up_to(), 10).await, None);
    caught_up(store, &lease, 7_000, at(11)).await;
    assert!(
        store.begin_cursor(tenant_id(1), ALERTS, Purpose::Sweep, cursor(HOUR), at(5_500)).await.expect("put")
    );
    let sweep = lease_source(store, at(5_500)).await;
    assert_eq!(sweep.purpose, Purpose::Sweep);
    // Older than where live reading began, late, and newer than what has been read.
    let ids = [("old", HOUR - 2 * DAY), ("late", 0), ("new", 5_400)];
    let late = put(store, &sweep, &ids, cursor(HOUR), None, 5_600).await;
    assert_eq!(late, Some(Late { records: 1, delay: Duration::from_secs(5_600) }));
    let told = hours(store, 0, 1, 5_601).await.remove(0);
    assert_eq!((told.new, told.late, told.healed, told.state), (1, 1, 1, HourState::Late));
    assert!(
        store
            .begin_cursor(tenant_id(1), ALERTS, Purpose::Backfill, cursor(HOUR), at(5_500))
            .await
            .expect("put")
    );
    let backfill = lease_source(store, at(5_601)).await;
    assert_eq!(
        put(store, &backfill, &[("x", 3)], cursor(HOUR), None, 5_602).await,
        None,
        "a backfill is never late"
    );
    let due = store.lease_due_sources(ME, 9, LEASE, at(7_000)).await.expect("leased");
    let live = due.into_iter().find(|lease| lease.purpose == Purpose::Live).expect("due");
    let mut learnt = proved(5_000);
    learnt.note(&Note::Late { seconds: 5_600 });
    assert_eq!(live.cursor, learnt);
}

async fn notes_are_taken_in_by_the_lease(store: &dyn Store) {
    add(store, 1).await;
    let note = Note::Hole { from: at(1), to: Some(at(2)), reason: Reason::Damaged, since: at(0) };
    assert!(!store.add_note(tenant_id(1), Source::GraphIncidents, note).await.expect("asked"));
    assert!(!store.add_note(tenant_id(2), ALERTS, note).await.expect("asked"));
    assert!(store.add_note(tenant_id(1), ALERTS, note).await.expect("left"));
    let lease = lease_source(store, at(0)).await;
    assert_eq!(lease.cursor.holes().len(), 1);
    caught_up(store, &lease, 10, at(1)).await;
    let lease = lease_source(store, at(10)).await;
    assert_eq!(lease.cursor.holes().len(), 1, "kept with the cursor, and learnt once");
}

async fn a_journey_is_told(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    let lease = lease_source(store, at(0)).await;
    put(store, &lease, &[("z", 1), ("a", 2)], cursor(1), None, 10).await;
    let other = lease_source(store, at(0)).await;
    put(store, &other, &[("a", 2)], cursor(1), None, 11).await;
    assert!(store.trace(None, "nobody").await.expect("traced").is_empty());
    assert_eq!(store.trace(None, "a").await.expect("traced").len(), 2);
    let traced = async || store.trace(Some(lease.tenant.id), "a").await.expect("traced").remove(0);
    let version = traced().await;
    assert_eq!((version.tenant, version.source, version.place), (lease.tenant.id, ALERTS, 1));
    assert_eq!((version.updated_at, version.created_at), (Some(at(2)), Some(at(-3))));
    assert_eq!((version.accepted_at, version.request_id.as_deref()), (Some(at(10)), Some("the request")));
    assert_eq!(version.change, Some(Change::new(ChangeKind::Created)));
    assert_eq!(version.deliveries[0].state, TracedState::Owed { since: at(10) });
    let mut queue = lease_queue(store, "splunk", at(12)).await;
    if queue.tenant.id != lease.tenant.id {
        store.finish_deliveries(&queue, all_taken(&queue), None, at(12)).await.expect("finished");
        queue = lease_queue(store, "splunk", at(12)).await;
    }
    let finished = vec![FinishedDelivery {
        number: queue.deliveries[0].number,
        remaining: Selection::of(2, |index| index == 0),
        delivered: 1,
        rejected: vec![],
    }];
    store.finish_deliveries(&queue, finished, None, at(13)).await.expect("finished");
    let version = traced().await;
    assert_eq!(version.deliveries.len(), 1);
    assert_eq!(
        (version.deliveries[0].sink.as_str(), version.deliveries[0].state),
        ("splunk", TracedState::Delivered { at: at(13) })
    );
    let first = store.trace(Some(lease.tenant.id), "z").await.expect("traced").remove(0);
    assert_eq!(
        first.deliveries[0].state,
        TracedState::Owed { since: at(10) },
        "the other half is owed still"
    );
    // Versions in order, each with what it changed.
    let again = lease_source(store, at(200)).await;
    let id = if again.tenant.id == lease.tenant.id { &again } else { &lease };
    let id = id.tenant.id;
    let renewed = store.lease_due_sources(ME, 9, LEASE, at(200)).await.expect("leased");
    let renewed = renewed.into_iter().chain([again]).find(|lease| lease.tenant.id == id).expect("due");
    put(store, &renewed, &[("a", 7)], cursor(7), None, 201).await;
    let versions = store.trace(Some(id), "a").await.expect("traced");
    let told =
        versions.iter().map(|version| (version.updated_at, version.change.clone().map(|told| told.kind)));
    let expected = [(Some(at(2)), Some(ChangeKind::Created)), (Some(at(7)), Some(ChangeKind::Changed))];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

async fn versions_are_pruned_when_nobody_needs_them(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    let sinks = names(&[]);
    accept(store, &lease, &["a"], &sinks, at(1)).await;
    let all = |now: i64, versions: i64| Retention {
        journal: at(now),
        versions: at(versions),
        ledger: at(-DAY),
        now: at(now),
    };
    let pruned = store.prune_journal(all(2, 0)).await.expect("pruned");
    assert_eq!((pruned.batches, pruned.versions), (1, 0), "accepted too lately");
    // Known without its batch: shown again it is dropped.
    assert_eq!(accept(store, &lease, &["a"], &sinks, at(3)).await.known, 1);
    let pruned = store.prune_journal(all(40 * DAY, 30 * DAY)).await.expect("pruned");
    assert_eq!(pruned.versions, 0, "the cursor reads from there on");
    caught_up(store, &lease, 50 * DAY, at(4)).await;
    let lease = lease_source(store, at(50 * DAY)).await;
    let result =
        PollResult::CaughtUp { next_at: at(90 * DAY), missing: None, cursor: Some(cursor(50 * DAY)) };
    store.finish_poll(&lease, result, at(50 * DAY)).await.expect("finished");
    let hole = Note::Hole { from: at(5), to: Some(at(20)), reason: Reason::NoAnswer, since: at(5) };
    store.add_note(tenant_id(1), ALERTS, hole).await.expect("left");
    assert_eq!(
        store.prune_journal(all(60 * DAY, 30 * DAY)).await.expect("pruned").versions,
        0,
        "a hole reads there"
    );
    let lease = lease_source(store, at(90 * DAY)).await;
    assert_eq!(
        store.prune_journal(all(90 * DAY, 60 * DAY)).await.expect("pruned").versions,
        0,
        "also when the cursor has it"
    );
    let result =
        PollResult::CaughtUp { next_at: at(90 * DAY), missing: None, cursor: Some(cursor(90 * DAY)) };
    store.finish_poll(&lease, result, at(90 * DAY)).await.expect("finished");
    assert_eq!(store.prune_journal(all(91 * DAY, 61 * DAY)).await.expect("pruned").versions, 1);
    let lease = lease_source(store, at(91 * DAY)).await;
    assert_eq!(
        accept(store, &lease, &["a"], &sinks, at(91 * DAY)).await.accepted,
        1,
        "delivered, never dropped"
    );
}

async fn a_clock_that_steps_back_stops_nothing(engine: &mut dyn Engine, ahead: i64) {
    let store = engine.fresh().await;
    add(&*store, 1).await;
    add(&*store, 2).await;
    let sinks = names(&["splunk"]);
    // By a clock that is ahead: one source waits, the other is leased; so are the queues.
    let waiting = lease_source(&*store, at(ahead)).await;
    accept(&*store, &waiting, &["a"], &sinks, at(ahead)).await;
    caught_up(&*store, &waiting, ahead + 300, at(ahead)).await;
    let leased = lease_source(&*store, at(ahead)).await;
    accept(&*store, &leased, &["b"], &sinks, at(ahead)).await;
    let queue = lease_queue(&*store, "splunk", at(ahead)).await;
    store
        .finish_deliveries(&queue, Vec::new(), Some((at(ahead + 300), "down".to_owned())), at(ahead))
        .await
        .expect("finished");
    lease_queue(&*store, "splunk", at(ahead)).await;
    assert!(nothing_due(&*store, "splunk", at(ahead + 1)).await);
    assert!(store.lease_due_sources(ME, 9, LEASE, at(ahead + 1)).await.expect("asked").is_empty());
    drop(store);
    // Back, and after a restart.
    let store = engine.reopened().await;
    assert_eq!(
        store.lease_due_sources(ME, 9, LEASE, at(100)).await.expect("leased").len(),
        2,
        "all are due at once"
    );
    assert!(
        store.lease_due_sources(ME, 9, LEASE, at(101)).await.expect("asked").is_empty(),
        "and wait as ever"
    );
    lease_queue(&*store, "splunk", at(100)).await;
    lease_queue(&*store, "splunk", at(100)).await;
    assert!(nothing_due(&*store, "splunk", at(101)).await);
    store.close().await;
}
