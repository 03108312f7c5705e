//! The rules about sources, their cursors and the leases on them.

use muster_model::{Purpose, Source, TenantState};

use super::kit::{
    BY, Engine, LEASE, ME, OTHER, PLENTY, accept, add, all_taken, at, body, caught_up, cursor, ids, is_lost,
    lease_queue, lease_source, names, new_tenant, nothing_due, over, record, sets, tenant_id,
};
use crate::{
    AcceptedPage, JournalTotals, NewDeadLetter, PageReceipt, PollResult, SourceLease, Store, StoreError,
    TenantChange,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    sources_are_leased_once_and_longest_due_first(&*engine.fresh().await).await;
    leases_end(&*engine.fresh().await).await;
    polls_end_as_told(&*engine.fresh().await).await;
    paused_tenants_are_not_polled_but_served(&*engine.fresh().await).await;
    purposes_have_cursors_of_their_own(&*engine.fresh().await).await;
    purposes_read_side_by_side_and_accept_each_version_once(&*engine.fresh().await).await;
    a_lost_lease_changes_nothing(&*engine.fresh().await).await;
    if engine.is_owned_by_one() {
        others_leases_are_taken_over(&*engine.fresh().await).await;
    }
    saved_queries_come_and_go_beside_the_other_sources(&*engine.fresh().await).await;
    what_is_due_is_seen_behind_all_leases(&*engine.fresh().await).await;
}

async fn sources_are_leased_once_and_longest_due_first(store: &dyn Store) {
    assert_eq!(store.next_source_due_at().await.expect("asked"), None);
    for number in 1..=3 {
        store.add_tenant(new_tenant(number), BY, at(10 - number as i64)).await.expect("added");
    }
    assert_eq!(store.next_source_due_at().await.expect("asked"), Some(at(7)));
    assert!(store.lease_due_sources(ME, 9, LEASE, at(6)).await.expect("asked").is_empty(), "not due yet");
    let leases = store.lease_due_sources(ME, 2, LEASE, at(20)).await.expect("leased");
    let whose = |leases: &[SourceLease]| leases.iter().map(|lease| lease.tenant.id).collect::<Vec<_>>();
    assert_eq!(whose(&leases), [tenant_id(3), tenant_id(2)]);
    assert_eq!(leases[0].cursor, cursor(-86_400));
    // Whoever was served goes behind those who were due before.
    store
        .finish_poll(
            &leases[0],
            PollResult::Yielded { next_at: at(20), progressed: false, missing: None, cursor: None },
            at(20),
        )
        .await
        .expect("finished");
    let leases = store.lease_due_sources(OTHER, 9, LEASE, at(20)).await.expect("leased");
    assert_eq!(whose(&leases), [tenant_id(1), tenant_id(3)]);
    assert!(store.lease_due_sources(ME, 9, LEASE, at(20)).await.expect("asked").is_empty(), "all leased");
}

async fn leases_end(store: &dyn Store) {
    add(store, 1).await;
    let first = lease_source(store, at(0)).await;
    assert!(store.lease_due_sources(OTHER, 9, LEASE, at(59)).await.expect("asked").is_empty());
    assert_eq!(store.next_source_due_at().await.expect("asked"), Some(at(60)), "when the lease ends");
    // Each page extends it.
    accept(store, &first, &["a"], &[], at(30)).await;
    assert!(store.lease_due_sources(OTHER, 9, LEASE, at(89)).await.expect("asked").is_empty());
    let second = store.lease_due_sources(OTHER, 9, LEASE, at(90)).await.expect("leased");
    assert!(second[0].fence > first.fence);
    assert_eq!(second[0].cursor, cursor(10), "the cursor of the page");
}

/// However many are leased, whoever is due behind them is not overlooked.
async fn what_is_due_is_seen_behind_all_leases(store: &dyn Store) {
    for number in 1..=300 {
        add(store, number).await;
    }
    let mut leases = store.lease_due_sources(ME, 299, LEASE, at(1)).await.expect("leased");
    assert_eq!(leases.len(), 299);
    assert_eq!(store.next_source_due_at().await.expect("asked"), Some(at(0)), "of the one that is left");
    leases.extend(store.lease_due_sources(ME, 9, LEASE, at(1)).await.expect("leased"));
    assert_eq!(leases.len(), 300);
    assert_eq!(store.next_source_due_at().await.expect("asked"), Some(at(61)), "when the leases end");
    caught_up(store, &leases[299], 30, at(2)).await;
    assert_eq!(store.next_source_due_at().await.expect("asked"), Some(at(30)));
}

async fn polls_end_as_told(store: &dyn Store) {
    let tenant = add(store, 1).await;
    let state = async || store.source_states().await.expect("read").remove(0);
    let fresh = state().await;
    assert_eq!((fresh.tenant, fresh.source, fresh.accepted), (tenant.id, Source::GraphAlerts, 0));
    assert_eq!((fresh.last_success_at, fresh.seen_up_to, fresh.next_at), (None, at(-86_400), at(0)));
    for failures in 1..=2 {
        let lease = lease_source(store, at(10 * failures)).await;
        assert_eq!(i64::from(lease.failures), failures - 1);
        let (reason, next_at) = (format!("trouble {failures}"), at(10 * failures + 10));
        let result = PollResult::Failed { reason, next_at, cursor: Some(cursor(failures)) };
        store.finish_poll(&lease, result, at(10 * failures + 1)).await.expect("finished");
    }
    let failed = state().await;
    assert_eq!((failed.failures, failed.last_error.as_deref()), (2, Some("trouble 2")));
    assert_eq!((failed.last_error_at, failed.next_at, failed.seen_up_to), (Some(at(21)), at(30), at(2)));
    let lease = lease_source(store, at(30)).await;
    store
        .finish_poll(
            &lease,
            PollResult::Yielded { next_at: at(40), progressed: false, missing: None, cursor: None },
            at(31),
        )
        .await
        .expect("finished");
    let yielded = state().await;
    assert_eq!((yielded.failures, yielded.next_at), (2, at(40)), "neither success nor failure");
    assert_eq!(yielded.last_error.as_deref(), Some("trouble 2"));
    let lease = lease_source(store, at(40)).await;
    let missing = Some("a span is missing".to_owned());
    let result = PollResult::Yielded { next_at: at(40), progressed: true, missing, cursor: None };
    store.finish_poll(&lease, result, at(40)).await.expect("finished");
    let progressed = state().await;
    assert_eq!(progressed.failures, 0);
    assert_eq!(progressed.last_error.as_deref(), Some("a span is missing"), "going on is not being whole");
    let lease = lease_source(store, at(40)).await;
    assert_eq!(lease.cursor, cursor(2));
    let result = PollResult::CaughtUp { next_at: at(100), missing: None, cursor: Some(cursor(7)) };
    store.finish_poll(&lease, result, at(41)).await.expect("finished");
    let done = state().await;
    assert_eq!((done.failures, done.last_error, done.last_error_at), (0, None, None));
    assert_eq!((done.last_success_at, done.next_at, done.seen_up_to), (Some(at(41)), at(100), at(7)));
}

async fn paused_tenants_are_not_polled_but_served(store: &dyn Store) {
    let (tenant, sinks) = (add(store, 1).await, names(&["splunk"]));
    let lease = lease_source(store, at(0)).await;
    let paused = store.change_tenant(tenant.id, TenantChange::State(TenantState::Paused), BY, at(1)).await;
    assert_eq!(paused.expect("changed").state, TenantState::Paused);
    assert_eq!(accept(store, &lease, &["a"], &sinks, at(2)).await.accepted, 1, "the turn goes on to its end");
    caught_up(store, &lease, 50, at(3)).await;
    assert!(store.lease_due_sources(ME, 9, LEASE, at(500)).await.expect("asked").is_empty());
    assert_eq!(store.next_source_due_at().await.expect("asked"), None);
    assert_eq!(ids(&lease_queue(store, "splunk", at(500)).await.deliveries), ["a"]);
    let resumed = store.change_tenant(tenant.id, TenantChange::State(TenantState::Active), BY, at(20)).await;
    assert_eq!(resumed.expect("changed").state, TenantState::Active);
    assert_eq!(lease_source(store, at(20)).await.tenant.id, tenant.id, "due at once");
}

async fn purposes_have_cursors_of_their_own(store: &dyn Store) {
    let (tenant, sinks) = (add(store, 1).await, names(&["splunk"]));
    let put = async |purpose, source, from| {
        store.begin_cursor(tenant.id, source, purpose, cursor(from), at(5)).await.expect("put")
    };
    assert!(!put(Purpose::Sweep, Source::GraphIncidents, 1).await, "it has no such source");
    assert!(put(Purpose::Sweep, Source::GraphAlerts, -900).await);
    assert!(put(Purpose::Backfill, Source::GraphAlerts, -9000).await);
    let stranger =
        store.begin_cursor(tenant_id(7), Source::GraphAlerts, Purpose::Sweep, cursor(1), at(5)).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));
    assert_eq!(store.next_source_due_at().await.expect("asked"), Some(at(0)));
    let leases = store.lease_due_sources(ME, 9, LEASE, at(9)).await.expect("leased");
    let what = leases.iter().map(|lease| (lease.purpose, lease.cursor.clone())).collect::<Vec<_>>();
    let [live, sweep, backfill] = leases.try_into().expect("one for each purpose");
    assert_eq!(
        what,
        [
            (Purpose::Live, cursor(-86_400)),
            (Purpose::Sweep, cursor(-900)),
            (Purpose::Backfill, cursor(-9000))
        ]
    );
    // Each moves its own cursor, and all know what any of them has accepted.
    assert_eq!(accept(store, &sweep, &["a", "b"], &sinks, at(10)).await.accepted, 2);
    let receipt = accept(store, &live, &["b", "c"], &sinks, at(10)).await;
    assert_eq!(receipt, PageReceipt { accepted: 1, known: 1, kept: 0, late: None });
    caught_up(store, &live, 30, at(10)).await;
    let failed = PollResult::Failed { reason: "busy".to_owned(), next_at: at(20), cursor: None };
    store.finish_poll(&sweep, failed, at(11)).await.expect("finished");
    let states = store.source_states().await.expect("read");
    assert_eq!((states.len(), states[0].purpose, states[0].failures), (1, Purpose::Live, 0));
    let states = store.cursor_states().await.expect("read");
    let what =
        states.iter().map(|state| (state.purpose, state.seen_up_to, state.failures)).collect::<Vec<_>>();
    let expected =
        [(Purpose::Live, at(10), 0), (Purpose::Sweep, at(10), 1), (Purpose::Backfill, at(-9000), 0)];
    assert_eq!(what, expected);
    assert!(states.iter().all(|state| state.accepted == 3), "what is accepted is the source's");
    // One begun anew is nobody's any more; one that is over is forgotten, but by its worker only.
    assert!(!put(Purpose::Backfill, Source::GraphAlerts, -5000).await, "it is read for that already");
    let remove = |purpose| store.remove_cursor(tenant.id, Source::GraphAlerts, purpose);
    assert!(remove(Purpose::Backfill).await.expect("removed"));
    assert!(put(Purpose::Backfill, Source::GraphAlerts, -5000).await);
    assert!(is_lost(store.finish_poll(&backfill, over(), at(12)).await));
    let again = store.lease_due_sources(ME, 9, LEASE, at(19)).await.expect("leased").remove(0);
    assert_eq!((again.purpose, &again.cursor), (Purpose::Backfill, &cursor(-5000)));
    assert!(again.fence > backfill.fence);
    store.finish_poll(&again, over(), at(19)).await.expect("finished");
    assert!(is_lost(store.finish_poll(&again, over(), at(19)).await));
    assert!(put(Purpose::Backfill, Source::GraphAlerts, -4000).await);
    let third = store.lease_due_sources(ME, 9, LEASE, at(19)).await.expect("leased").remove(0);
    assert!(third.fence > again.fence, "no lease on an earlier cursor is one on a later");
    // What is read live is never over.
    let live = store.lease_due_sources(ME, 9, LEASE, at(30)).await.expect("leased");
    let live = live.iter().find(|lease| lease.purpose == Purpose::Live).expect("due");
    assert!(store.finish_poll(live, over(), at(30)).await.is_err());
    caught_up(store, live, 40, at(30)).await;
    assert!(remove(Purpose::Sweep).await.expect("removed"));
    assert!(!remove(Purpose::Sweep).await.expect("asked"));
    assert!(!remove(Purpose::Live).await.expect("asked"));
    assert!(remove(Purpose::Backfill).await.expect("removed"));
    assert!(is_lost(store.finish_poll(&third, over(), at(31)).await));
    assert_eq!(store.cursor_states().await.expect("read").len(), 1);
    // They go with the tenant.
    assert!(put(Purpose::Sweep, Source::GraphAlerts, 1).await);
    store.offboard_tenant(tenant.id, BY, at(50)).await.expect("offboarded");
    assert!(store.cursor_states().await.expect("read").is_empty());
    let offboarded =
        store.begin_cursor(tenant.id, Source::GraphAlerts, Purpose::Sweep, cursor(1), at(5)).await;
    assert!(matches!(offboarded, Err(StoreError::Offboarded(_))));
}

/// Three workers read the same source for three purposes at once, over the same records in another order each.
async fn purposes_read_side_by_side_and_accept_each_version_once(store: &dyn Store) {
    let (tenant, sinks) = (add(store, 1).await, names(&["splunk"]));
    for purpose in [Purpose::Sweep, Purpose::Backfill] {
        let put = store.begin_cursor(tenant.id, Source::GraphAlerts, purpose, cursor(0), at(0)).await;
        assert!(put.expect("put"));
    }
    let leases = store.lease_due_sources(ME, 9, LEASE, at(1)).await.expect("leased");
    let versions = (0..60).map(|number| format!("r{number}")).collect::<Vec<_>>();
    let read = async |lease: &SourceLease, step: usize| {
        let mut accepted = 0;
        // A step that has no divisor in common with 60 goes over all of them.
        let order = (0..60).map(|index| versions[index * step % 60].as_str()).collect::<Vec<_>>();
        for page in order.chunks(5) {
            let receipt = accept(store, lease, page, &sinks, at(2)).await;
            assert_eq!(receipt.accepted + receipt.known, 5);
            accepted += receipt.accepted;
        }
        accepted
    };
    let accepted = tokio::join!(read(&leases[0], 1), read(&leases[1], 7), read(&leases[2], 59));
    assert_eq!(accepted.0 + accepted.1 + accepted.2, 60);
    assert_eq!(store.journal_totals().await.expect("added up").records, 60);
    let lease = lease_queue(store, "splunk", at(3)).await;
    let mut delivered = ids(&lease.deliveries);
    delivered.sort_unstable();
    let mut all = versions.iter().map(String::as_str).collect::<Vec<_>>();
    all.sort_unstable();
    assert_eq!(delivered, all, "each once");
    assert_eq!(store.source_states().await.expect("read")[0].accepted, 60);
}

async fn a_lost_lease_changes_nothing(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["splunk"]);
    let sets = sets(&sinks);
    let old = lease_source(store, at(0)).await;
    let new = store.lease_due_sources(OTHER, 1, LEASE, at(60)).await.expect("leased").remove(0);
    let text = body("a", 1);
    let page = || AcceptedPage {
        records: vec![record("a", 10, &text, 1)],
        text: None,
        dead_letters: vec![NewDeadLetter { record_id: None, reason: "odd".to_owned(), body: b"[" }],
        destinations: &sets,
        cursor: cursor(99),
        request_id: None,
        proved_up_to: None,
    };
    assert!(is_lost(store.accept_page(&old, page(), LEASE, at(61)).await));
    let result = PollResult::CaughtUp { next_at: at(1000), missing: None, cursor: Some(cursor(98)) };
    assert!(is_lost(store.finish_poll(&old, result.clone(), at(61)).await));
    assert_eq!(store.journal_totals().await.expect("added up"), JournalTotals::default());
    assert!(nothing_due(store, "splunk", at(61)).await);
    assert!(store.queue_states().await.expect("read").is_empty());
    let receipt = store.accept_page(&new, page(), LEASE, at(62)).await.expect("accepted");
    assert_eq!(receipt.accepted, 1, "the one who holds the lease is not disturbed");
    store.finish_poll(&new, result.clone(), at(62)).await.expect("finished");
    // Given back is given back.
    assert!(is_lost(store.accept_page(&new, page(), LEASE, at(63)).await));
    assert!(is_lost(store.finish_poll(&new, result, at(63)).await));
    assert_eq!(store.source_states().await.expect("read")[0].next_at, at(1000));
}

async fn others_leases_are_taken_over(store: &dyn Store) {
    for number in 1..=2 {
        add(store, number).await;
    }
    let sinks = names(&["splunk"]);
    let sets = sets(&sinks);
    let mine = lease_source(store, at(0)).await;
    let theirs = store.lease_due_sources(OTHER, 1, LEASE, at(0)).await.expect("leased").remove(0);
    accept(store, &theirs, &["a"], &sinks, at(1)).await;
    let queue = store.lease_due_deliveries(OTHER, "splunk", PLENTY, LEASE, at(1)).await.expect("leased");
    let queue = queue.expect("due");
    store.take_over(ME, at(2)).await.expect("taken over");
    assert!(is_lost(store.finish_deliveries(&queue, all_taken(&queue), None, at(2)).await));
    let text = body("b", 1);
    let page = AcceptedPage {
        records: vec![record("b", 10, &text, 1)],
        text: None,
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(9),
        request_id: None,
        proved_up_to: None,
    };
    assert!(is_lost(store.accept_page(&theirs, page, LEASE, at(2)).await));
    let again = lease_source(store, at(2)).await;
    assert_eq!(again.tenant.id, theirs.tenant.id, "due at once");
    assert_eq!(accept(store, &mine, &["c"], &sinks, at(2)).await.accepted, 1, "my own lease still holds");
    assert_eq!(ids(&lease_queue(store, "splunk", at(2)).await.deliveries), ["a"]);
}

async fn saved_queries_come_and_go_beside_the_other_sources(store: &dyn Store) {
    let tenant = add(store, 1).await.id;
    let other = add(store, 2).await.id;
    let hunt = |name: &str| -> Source { format!("graph_hunting/{name}").parse().expect("a source") };
    let read = async |of| {
        let tenants = store.tenants().await.expect("read");
        tenants.into_iter().find(|tenant| tenant.id == of).expect("a tenant").sources
    };
    let set = async |hunts: &[Source], second: i64| {
        let hunts = hunts.iter().map(|hunt| (*hunt, at(second - 100))).collect();
        store.set_hunts(tenant, hunts, at(second)).await.expect("set")
    };
    assert!(set(&[hunt("one"), hunt("two")], 0).await);
    assert!(!set(&[hunt("two"), hunt("one")], 1).await, "nothing new");
    assert_eq!(read(tenant).await, [Source::GraphAlerts, hunt("one"), hunt("two")].into());
    assert_eq!(read(other).await, [Source::GraphAlerts].into());
    let leases = store.lease_due_sources(ME, 9, LEASE, at(2)).await.expect("leased");
    let first = leases.iter().find(|lease| lease.source == hunt("one")).expect("due at once");
    assert_eq!(first.cursor, cursor(-100), "it begins where it was told to");
    accept(store, first, &["row"], &[], at(3)).await;
    for lease in &leases {
        caught_up(store, lease, 10, at(4)).await;
    }
    // One that is gone is not read, and one that comes back goes on where it was.
    assert!(set(&[hunt("two")], 20).await);
    let due = store.lease_due_sources(ME, 9, LEASE, at(20)).await.expect("leased");
    assert!(due.iter().all(|lease| lease.source != hunt("one")) && due.len() == 3, "{due:?}");
    assert!(set(&[hunt("one"), hunt("two")], 21).await);
    let again = store.lease_due_sources(ME, 9, LEASE, at(22)).await.expect("leased");
    assert_eq!((again.len(), again[0].source, &again[0].cursor), (1, hunt("one"), &cursor(10)));
    // What is said of the other sources says nothing of them, and the other way round.
    let alone = TenantChange::Sources([Source::GraphIncidents].into());
    let changed = store.change_tenant(tenant, alone, BY, at(23)).await.expect("changed");
    assert_eq!(changed.sources, [Source::GraphIncidents, hunt("one"), hunt("two")].into());
    assert!(set(&[], 24).await);
    assert_eq!(read(tenant).await, [Source::GraphIncidents].into());
    let nobody = store.set_hunts(tenant_id(9), [(hunt("one"), at(0))].into(), at(25)).await;
    assert!(matches!(nobody, Err(StoreError::NoTenant(_))), "{nobody:?}");
}
