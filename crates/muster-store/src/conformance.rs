//! The rules of [`Store`] as tests that every engine runs: [`run_all`] with an [`Engine`].
//!
//! Nothing here knows how an engine keeps things. Time is an argument throughout; nothing sleeps.

mod identity;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{
    ContentHash, Cursor, Delivery, DeliveryNumber, Purpose, RecordHead, Selection, Severity, Slug, Source,
    Tenant, TenantId, TenantState,
};
use uuid::Uuid;

use crate::{
    AcceptedPage, DeadLetterNumber, DeadLetterOrigin, DeliveryLease, DeliveryLimits, FinishedDelivery,
    InstanceId, JournalTotals, NewDeadLetter, NewRecord, NewTenant, PageReceipt, PollResult, SourceLease,
    Store, StoreError, TenantChange, TenantKey,
};

/// How the suite gets at an engine.
#[async_trait]
pub trait Engine: Send {
    /// A new, empty store.
    async fn fresh(&mut self) -> Box<dyn Store>;

    /// The store that was made last, opened as after its process was killed. The caller has dropped its own without
    /// closing it.
    async fn reopened(&mut self) -> Box<dyn Store>;

    /// The store that was made last, opened by another process while the caller has its own open.
    async fn beside(&mut self) -> Box<dyn Store>;
}

/// Runs every test of the suite.
///
/// # Panics
/// When the engine breaks a rule.
pub async fn run_all(engine: &mut dyn Engine) {
    tenants_are_added_found_and_listed(&*engine.fresh().await).await;
    tenants_are_changed(&*engine.fresh().await).await;
    sources_are_leased_once_and_longest_due_first(&*engine.fresh().await).await;
    leases_end(&*engine.fresh().await).await;
    polls_end_as_told(&*engine.fresh().await).await;
    paused_tenants_are_not_polled_but_served(&*engine.fresh().await).await;
    purposes_have_cursors_of_their_own(&*engine.fresh().await).await;
    purposes_read_side_by_side_and_accept_each_version_once(&*engine.fresh().await).await;
    versions_are_accepted_once(&*engine.fresh().await).await;
    odd_records_are_kept_apart(&*engine.fresh().await).await;
    large_pages_keep_their_order(&*engine.fresh().await).await;
    a_lost_lease_changes_nothing(&*engine.fresh().await).await;
    others_leases_are_taken_over(&*engine.fresh().await).await;
    sinks_are_owed_what_they_want(&*engine.fresh().await).await;
    two_hundred_sinks_are_owed_what_they_want(&*engine.fresh().await).await;
    deliveries_go_in_order_and_one_lease_at_a_time(&*engine.fresh().await).await;
    queues_take_turns(&*engine.fresh().await).await;
    what_a_sink_did_not_take_stays_owed(&*engine.fresh().await).await;
    a_lost_lease_finishes_nothing(&*engine.fresh().await).await;
    slow_sinks_keep_their_lease(&*engine.fresh().await).await;
    what_cannot_be_read_is_kept_once_and_replayed(&*engine.fresh().await).await;
    what_a_sink_refuses_is_kept_and_replayed(&*engine.fresh().await).await;
    strangers_see_and_touch_nothing(&*engine.fresh().await).await;
    removed_tenants_are_forgotten(&*engine.fresh().await).await;
    the_journal_is_pruned_of_what_nobody_is_owed(&*engine.fresh().await).await;
    a_killed_process_loses_nothing(engine).await;
    identity::run_all(engine).await;
}

const LEASE: Duration = Duration::from_secs(60);
const PLENTY: DeliveryLimits = DeliveryLimits { batches: 100, body_bytes: 1 << 30 };
const ME: InstanceId = InstanceId(Uuid::from_u128(1));
const OTHER: InstanceId = InstanceId(Uuid::from_u128(2));
/// Who does it, for the audit log.
const BY: &str = "the suite";

/// The instant `seconds` after the suite's beginning of time.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).expect("in range")
}

fn tenant_id(number: u128) -> TenantId {
    Uuid::from_u128(0x5f0d_2c3e_0000_4000_8000_0000_0000_0000 + number).into()
}

fn new_tenant(number: u128) -> NewTenant {
    NewTenant {
        id: tenant_id(number),
        slug: Slug::from_name(&format!("customer {number}")).expect("usable"),
        name: format!("Customer {number} “Ltd.”"),
        domain: Some(format!("customer{number}.example").parse().expect("a domain")),
        app: "main".to_owned(),
        sources: BTreeSet::from([Source::GraphAlerts]),
        since: at(-86_400),
        state: TenantState::Active,
    }
}

async fn add(store: &dyn Store, number: u128) -> Tenant {
    store.add_tenant(new_tenant(number), BY, at(0)).await.expect("added")
}

async fn lease_source(store: &dyn Store, now: Timestamp) -> SourceLease {
    let leases = store.lease_due_sources(ME, 1, LEASE, now).await.expect("leased");
    leases.into_iter().next().expect("a source is due")
}

fn body(id: &str, version: i64) -> String {
    format!(r#"{{"id":"{id}","version":{version},"title":"“Suspicious” activity"}}"#)
}

fn record<'a>(id: &str, updated_at: i64, body: &'a str, destination: usize) -> NewRecord<'a> {
    let head = RecordHead {
        id: id.to_owned(),
        updated_at: Some(at(updated_at)),
        created_at: Some(at(updated_at - 5)),
        severity: Severity::High,
        hash: ContentHash::of(body.as_bytes()),
    };
    NewRecord { head, body, destination }
}

fn cursor(seconds: i64) -> Cursor {
    Cursor::starting(at(seconds))
}

/// Accepts a page of one record per id, owed to `sinks`, without reporting anything else.
async fn accept(
    store: &dyn Store,
    lease: &SourceLease,
    ids: &[&str],
    sinks: &[String],
    now: Timestamp,
) -> PageReceipt {
    let bodies = ids.iter().map(|id| body(id, 1)).collect::<Vec<_>>();
    let records = ids.iter().zip(&bodies).map(|(id, body)| record(id, 10, body, 0)).collect();
    let destinations = &[sinks.to_vec()];
    let page = AcceptedPage { records, dead_letters: Vec::new(), destinations, cursor: cursor(10) };
    store.accept_page(lease, page, LEASE, now).await.expect("accepted")
}

/// Every set of these sinks: that with the number `n` has those whose bits are set in it.
fn sets(sinks: &[String]) -> Vec<Vec<String>> {
    let has = |set: usize, sink: usize| set & (1 << sink) != 0;
    let set = |set| (0..sinks.len()).filter(|sink| has(set, *sink)).map(|sink| sinks[sink].clone()).collect();
    (0..1 << sinks.len()).map(set).collect()
}

fn names(sinks: &[&str]) -> Vec<String> {
    sinks.iter().map(|sink| (*sink).to_owned()).collect()
}

async fn lease_queue(store: &dyn Store, sink: &str, now: Timestamp) -> DeliveryLease {
    let lease = store.lease_due_deliveries(ME, sink, PLENTY, LEASE, now).await.expect("leased");
    lease.expect("something is due")
}

async fn nothing_due(store: &dyn Store, sink: &str, now: Timestamp) -> bool {
    store.lease_due_deliveries(OTHER, sink, PLENTY, LEASE, now).await.expect("asked").is_none()
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries
        .iter()
        .flat_map(|delivery| delivery.records().map(|(_, record)| record.head.id.as_str()))
        .collect()
}

/// The sink took everything.
fn all_taken(lease: &DeliveryLease) -> Vec<FinishedDelivery> {
    let taken = |delivery: &Delivery| FinishedDelivery {
        number: delivery.number,
        remaining: None,
        delivered: delivery.records().count() as u32,
        rejected: Vec::new(),
    };
    lease.deliveries.iter().map(taken).collect()
}

async fn caught_up(store: &dyn Store, lease: &SourceLease, next: i64, now: Timestamp) {
    let result = PollResult::CaughtUp { next_at: at(next), cursor: None };
    store.finish_poll(lease, result, now).await.expect("finished");
}

fn is_lost<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::LeaseLost { .. }))
}

async fn tenants_are_added_found_and_listed(store: &dyn Store) {
    assert!(store.tenants().await.expect("listed").is_empty());
    let second = add(store, 2).await;
    let first = add(store, 1).await;
    assert_eq!(first.sources, BTreeSet::from([Source::GraphAlerts]));
    assert_eq!((first.state, first.added_at, first.since), (TenantState::Active, at(0), at(-86_400)));
    assert_eq!(store.tenants().await.expect("listed"), [first.clone(), second], "by slug");
    let id = first.id.to_string();
    for name in [id.as_str(), "customer-1", "customer1.example", "Customer1.Example"] {
        let found = store.tenant(TenantKey::Name(name)).await.expect(name);
        assert_eq!(found, first, "{name}");
    }
    assert_eq!(store.tenant(TenantKey::Id(first.id)).await.expect("by id"), first);
    for name in ["", "customer-3", "%", "main"] {
        let missing = store.tenant(TenantKey::Name(name)).await;
        assert!(matches!(missing, Err(StoreError::NoTenant(_))), "`{name}`");
    }
    let same_id = NewTenant { slug: Slug::from_name("else").expect("usable"), ..new_tenant(1) };
    let refused = store.add_tenant(same_id, BY, at(1)).await;
    assert!(matches!(refused, Err(StoreError::TenantExists { field: "id", .. })));
    let same_slug = NewTenant { id: tenant_id(9), ..new_tenant(1) };
    let refused = store.add_tenant(same_slug, BY, at(1)).await;
    assert!(matches!(refused, Err(StoreError::TenantExists { field: "slug", .. })));
    assert_eq!(store.tenants().await.expect("listed").len(), 2);
}

async fn tenants_are_changed(store: &dyn Store) {
    let tenant = add(store, 1).await;
    let change = |change| store.change_tenant(tenant.id, change, BY, at(5));
    assert_eq!(change(TenantChange::Name("New".to_owned())).await.expect("changed").name, "New");
    assert_eq!(change(TenantChange::App("gcc".to_owned())).await.expect("changed").app, "gcc");
    let lease = lease_source(store, at(5)).await;
    accept(store, &lease, &["a"], &[], at(5)).await;
    caught_up(store, &lease, 1000, at(5)).await;
    let other = BTreeSet::from([Source::GraphIncidents]);
    let changed = change(TenantChange::Sources(other.clone())).await.expect("changed");
    assert_eq!(changed.sources, other);
    let lease = lease_source(store, at(5)).await;
    assert_eq!((lease.source, &lease.cursor), (Source::GraphIncidents, &cursor(-86_400)));
    caught_up(store, &lease, 1000, at(5)).await;
    let both = BTreeSet::from(Source::ALL);
    change(TenantChange::Sources(both)).await.expect("changed");
    let lease = lease_source(store, at(5)).await;
    assert_eq!(lease.source, Source::GraphAlerts, "due at once, and the other not before its time");
    assert_eq!(lease.cursor, cursor(10), "it goes on where it stopped");
    assert!(store.lease_due_sources(ME, 9, LEASE, at(5)).await.expect("asked").is_empty());
    let stranger = store.change_tenant(tenant_id(7), TenantChange::Name("x".to_owned()), BY, at(5)).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));
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
        .finish_poll(&leases[0], PollResult::Yielded { next_at: at(20), progressed: false }, at(20))
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
        .finish_poll(&lease, PollResult::Yielded { next_at: at(40), progressed: false }, at(31))
        .await
        .expect("finished");
    let yielded = state().await;
    assert_eq!((yielded.failures, yielded.next_at), (2, at(40)), "neither success nor failure");
    assert_eq!(yielded.last_error.as_deref(), Some("trouble 2"));
    let lease = lease_source(store, at(40)).await;
    assert_eq!(lease.cursor, cursor(2));
    let result = PollResult::CaughtUp { next_at: at(100), cursor: Some(cursor(7)) };
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
        store.put_cursor(tenant.id, source, purpose, cursor(from), at(5)).await.expect("put")
    };
    assert!(!put(Purpose::Sweep, Source::GraphIncidents, 1).await, "it has no such source");
    assert!(put(Purpose::Sweep, Source::GraphAlerts, -900).await);
    assert!(put(Purpose::Backfill, Source::GraphAlerts, -9000).await);
    let stranger =
        store.put_cursor(tenant_id(7), Source::GraphAlerts, Purpose::Sweep, cursor(1), at(5)).await;
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
    assert_eq!(receipt, PageReceipt { accepted: 1, known: 1, kept: 0 });
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
    assert!(put(Purpose::Backfill, Source::GraphAlerts, -5000).await);
    assert!(is_lost(store.finish_poll(&backfill, PollResult::Over, at(12)).await));
    let again = store.lease_due_sources(ME, 9, LEASE, at(19)).await.expect("leased").remove(0);
    assert_eq!((again.purpose, &again.cursor), (Purpose::Backfill, &cursor(-5000)));
    assert!(again.fence > backfill.fence);
    store.finish_poll(&again, PollResult::Over, at(19)).await.expect("finished");
    assert!(is_lost(store.finish_poll(&again, PollResult::Over, at(19)).await));
    assert!(put(Purpose::Backfill, Source::GraphAlerts, -4000).await);
    let third = store.lease_due_sources(ME, 9, LEASE, at(19)).await.expect("leased").remove(0);
    assert!(third.fence > again.fence, "no lease on an earlier cursor is one on a later");
    // What is read live is never over.
    let live = store.lease_due_sources(ME, 9, LEASE, at(30)).await.expect("leased");
    let live = live.iter().find(|lease| lease.purpose == Purpose::Live).expect("due");
    assert!(store.finish_poll(live, PollResult::Over, at(30)).await.is_err());
    caught_up(store, live, 40, at(30)).await;
    let remove = |purpose| store.remove_cursor(tenant.id, Source::GraphAlerts, purpose);
    assert!(remove(Purpose::Sweep).await.expect("removed"));
    assert!(!remove(Purpose::Sweep).await.expect("asked"));
    assert!(!remove(Purpose::Live).await.expect("asked"));
    assert!(remove(Purpose::Backfill).await.expect("removed"));
    assert!(is_lost(store.finish_poll(&third, PollResult::Over, at(31)).await));
    assert_eq!(store.cursor_states().await.expect("read").len(), 1);
    // They go with the tenant.
    assert!(put(Purpose::Sweep, Source::GraphAlerts, 1).await);
    store.offboard_tenant(tenant.id, BY, at(50)).await.expect("offboarded");
    assert!(store.cursor_states().await.expect("read").is_empty());
    let offboarded = store.put_cursor(tenant.id, Source::GraphAlerts, Purpose::Sweep, cursor(1), at(5)).await;
    assert!(matches!(offboarded, Err(StoreError::Offboarded(_))));
}

/// Three workers read the same source for three purposes at once, over the same records in another order each.
async fn purposes_read_side_by_side_and_accept_each_version_once(store: &dyn Store) {
    let (tenant, sinks) = (add(store, 1).await, names(&["splunk"]));
    for purpose in [Purpose::Sweep, Purpose::Backfill] {
        let put = store.put_cursor(tenant.id, Source::GraphAlerts, purpose, cursor(0), at(0)).await;
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

async fn versions_are_accepted_once(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["splunk"]);
    let sets = sets(&sinks);
    let lease = lease_source(store, at(0)).await;
    let (one, two, other) = (body("a", 1), body("a", 2), body("b", 1));
    let page = |records, seconds| AcceptedPage {
        records,
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(seconds),
    };
    // Twice on one page.
    let records = vec![record("a", 10, &one, 1), record("a", 10, &one, 1), record("b", 10, &other, 1)];
    let receipt = store.accept_page(&lease, page(records, 10), LEASE, at(1)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 2, known: 1, kept: 0 });
    // Known, another time, another content at the same time, another id with the same time.
    let records = vec![
        record("a", 10, &one, 1),
        record("a", 11, &one, 1),
        record("a", 10, &two, 1),
        record("c", 10, &one, 1),
        record("b", 10, &other, 1),
    ];
    let receipt = store.accept_page(&lease, page(records.clone(), 11), LEASE, at(2)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 3, known: 2, kept: 0 });
    let receipt = store.accept_page(&lease, page(records, 12), LEASE, at(3)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 5, kept: 0 });
    let state = store.source_states().await.expect("read").remove(0);
    assert_eq!((state.accepted, state.seen_up_to), (5, at(12)), "the cursor moves though nothing was new");
    let delivered = lease_queue(store, "splunk", at(4)).await;
    assert_eq!(ids(&delivered.deliveries), ["a", "b", "a", "a", "c"]);
    let first = delivered.deliveries[0].batch.record(0).expect("there");
    assert_eq!(
        (first.body, first.head),
        (one.as_str(), &record("a", 10, &one, 1).head),
        "as it was accepted"
    );
    let totals = store.journal_totals().await.expect("added up");
    assert_eq!((totals.records, totals.batches), (5, 2));
    assert!(totals.stored_bytes > 0);
    // The same version of another source is another record.
    let both = TenantChange::Sources(BTreeSet::from(Source::ALL));
    store.change_tenant(tenant_id(1), both, BY, at(5)).await.expect("changed");
    let incidents = lease_source(store, at(5)).await;
    let records = vec![record("a", 10, &one, 1)];
    let receipt = store.accept_page(&incidents, page(records, 10), LEASE, at(6)).await.expect("accepted");
    assert_eq!(receipt.accepted, 1);
    let empty = store.accept_page(&incidents, page(Vec::new(), 10), LEASE, at(6)).await.expect("accepted");
    assert_eq!(empty, PageReceipt::default());
}

async fn odd_records_are_kept_apart(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["file"]);
    let sets = sets(&sinks);
    let lease = lease_source(store, at(0)).await;
    let odd = ["", "a'b", "a\"b", "a\\b", "a\u{0}b", "a\u{0}c", "ä\u{1f600}", "%", "\n", " a", "\u{202e}x"];
    let bodies = odd.iter().map(|id| body(&id.escape_default().to_string(), 1)).collect::<Vec<_>>();
    let times = [None, Some(Timestamp::UNIX_EPOCH), Some(at(-8_000_000_000)), Some(Timestamp::MAX)];
    let mut records = Vec::new();
    for (id, body) in odd.iter().zip(&bodies) {
        for time in times {
            let mut record = record(id, 0, body, 1);
            record.head.updated_at = time;
            records.push(record);
        }
    }
    let count = records.len() as u32;
    let page = AcceptedPage { records, dead_letters: Vec::new(), destinations: &sets, cursor: cursor(1) };
    let receipt = store.accept_page(&lease, page.clone(), LEASE, at(1)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: count, known: 0, kept: 0 });
    let receipt = store.accept_page(&lease, page, LEASE, at(1)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 0, known: count, kept: 0 });
    let expected = odd.iter().flat_map(|id| [*id; 4]).collect::<Vec<_>>();
    assert_eq!(ids(&lease_queue(store, "file", at(2)).await.deliveries), expected);
}

async fn large_pages_keep_their_order(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["file"]);
    let sets = sets(&sinks);
    let lease = lease_source(store, at(0)).await;
    let sizes = [900_000, 900_000, 900_000, 10, 5_000_000, 10, 900_000];
    let bodies = sizes.iter().map(|size| format!(r#"{{"x":"{}"}}"#, "y".repeat(*size))).collect::<Vec<_>>();
    let wanted = (0..sizes.len()).map(|index| index.to_string()).collect::<Vec<_>>();
    let records = wanted.iter().zip(&bodies).map(|(id, body)| record(id, 10, body, 1)).collect();
    let page = AcceptedPage { records, dead_letters: Vec::new(), destinations: &sets, cursor: cursor(10) };
    assert_eq!(store.accept_page(&lease, page, LEASE, at(1)).await.expect("accepted").accepted, 7);
    // One at a time, since each is beyond the limit, and so are all but the first of the queue.
    let limits = DeliveryLimits { batches: 10, body_bytes: 1 };
    let mut seen = Vec::new();
    while let Some(lease) =
        store.lease_due_deliveries(ME, "file", limits, LEASE, at(2)).await.expect("leased")
    {
        assert_eq!(lease.deliveries.len(), 1, "at least one, and no more than fit");
        seen.extend(ids(&lease.deliveries).into_iter().map(str::to_owned));
        store.finish_deliveries(&lease, all_taken(&lease), None, at(2)).await.expect("finished");
    }
    assert_eq!(seen, wanted);
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
        dead_letters: vec![NewDeadLetter { record_id: None, reason: "odd".to_owned(), body: b"[" }],
        destinations: &sets,
        cursor: cursor(99),
    };
    assert!(is_lost(store.accept_page(&old, page(), LEASE, at(61)).await));
    let result = PollResult::CaughtUp { next_at: at(1000), cursor: Some(cursor(98)) };
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
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(9),
    };
    assert!(is_lost(store.accept_page(&theirs, page, LEASE, at(2)).await));
    let again = lease_source(store, at(2)).await;
    assert_eq!(again.tenant.id, theirs.tenant.id, "due at once");
    assert_eq!(accept(store, &mine, &["c"], &sinks, at(2)).await.accepted, 1, "my own lease still holds");
    assert_eq!(ids(&lease_queue(store, "splunk", at(2)).await.deliveries), ["a"]);
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
    let page = AcceptedPage { records, dead_letters: Vec::new(), destinations: &sets, cursor: cursor(10) };
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
    store.finish_deliveries(&some, all_taken(&some), None, at(3)).await.expect("finished");
    let totals = store.sink_totals().await.expect("added up").remove(0);
    assert_eq!((totals.owed, totals.delivered, totals.owed_since), (0, 4, None));
}

async fn two_hundred_sinks_are_owed_what_they_want(store: &dyn Store) {
    add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    let sinks = (0..200).map(|sink| format!("sink-{sink}")).collect::<Vec<_>>();
    // Every record goes to the sinks whose number it divides.
    let divides = |record: usize, sink: usize| sink.is_multiple_of(record + 1);
    let destinations = (0..20).map(|record| {
        let wanted = (0..200).filter(|sink| divides(record, *sink));
        wanted.map(|sink| sinks[sink].clone()).collect()
    });
    let destinations = destinations.collect::<Vec<_>>();
    let bodies = (0..20).map(|index| body("r", index)).collect::<Vec<_>>();
    let records = bodies.iter().enumerate();
    let records =
        records.map(|(index, body)| record(&format!("r{index}"), 10, body, index)).collect::<Vec<_>>();
    let page =
        AcceptedPage { records, dead_letters: vec![], destinations: &destinations, cursor: cursor(10) };
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

async fn what_cannot_be_read_is_kept_once_and_replayed(store: &dyn Store) {
    let (tenant, sinks) = (add(store, 1).await, names(&["splunk"]));
    let sets = sets(&sinks);
    let lease = lease_source(store, at(0)).await;
    let html = b"<html>\xff\x00 busy</html>".as_slice();
    let mended = r#"{"id":"late","lastUpdateDateTime":"2026-01-01T00:00:00Z"}"#;
    let page = |seconds| AcceptedPage {
        records: Vec::new(),
        dead_letters: vec![
            NewDeadLetter { record_id: None, reason: "not JSON".to_owned(), body: html },
            NewDeadLetter {
                record_id: Some("late".to_owned()),
                reason: "odd".to_owned(),
                body: mended.as_bytes(),
            },
            NewDeadLetter { record_id: None, reason: "not JSON, again".to_owned(), body: html },
        ],
        destinations: &sets,
        cursor: cursor(seconds),
    };
    for turn in 1..=3 {
        let receipt = store.accept_page(&lease, page(turn), LEASE, at(turn)).await.expect("accepted");
        let kept = if turn == 1 { 2 } else { 0 };
        assert_eq!(receipt, PageReceipt { accepted: 0, known: 0, kept }, "told once that they are new");
    }
    let letters = store.dead_letters(None, 9).await.expect("listed");
    assert_eq!(letters.len(), 2, "a page that stays broken is kept once");
    let (newest, oldest) = (&letters[0], &letters[1]);
    assert_eq!((oldest.tenant, &oldest.origin), (tenant.id, &DeadLetterOrigin::Source(Source::GraphAlerts)));
    assert_eq!(
        (oldest.reason.as_str(), oldest.at, oldest.body_bytes),
        ("not JSON", at(1), html.len() as u64)
    );
    assert_eq!(newest.record_id.as_deref(), Some("late"));
    assert_eq!(store.dead_letter_body(oldest.number).await.expect("read"), html);
    assert_eq!(store.dead_letters(None, 1).await.expect("listed").len(), 1);
    assert!(!store.replay_dead_letter(oldest.number, &sinks, at(5)).await.expect("tried"), "still not JSON");
    assert!(store.replay_dead_letter(newest.number, &sinks, at(5)).await.expect("replayed"));
    let queue = lease_queue(store, "splunk", at(5)).await;
    assert_eq!(ids(&queue.deliveries), ["late"]);
    assert_eq!(queue.deliveries[0].batch.record(0).expect("there").body, mended);
    assert_eq!(store.dead_letters(None, 9).await.expect("listed").len(), 1);
    assert!(store.replay_dead_letter(newest.number, &sinks, at(6)).await.is_err(), "it is no more");
    // The version is known from then on.
    let head = RecordHead::read(Source::GraphAlerts.kind(), mended).expect("a record");
    let records = vec![NewRecord { head, body: mended, destination: 1 }];
    let page = AcceptedPage { records, dead_letters: Vec::new(), destinations: &sets, cursor: cursor(9) };
    let receipt = store.accept_page(&lease, page, LEASE, at(7)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 1, kept: 0 });
}

async fn what_a_sink_refuses_is_kept_and_replayed(store: &dyn Store) {
    let (tenant, sinks) = (add(store, 1).await, names(&["splunk", "file"]));
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a", "b"], &sinks, at(1)).await;
    let lease = lease_queue(store, "splunk", at(1)).await;
    let finished = FinishedDelivery {
        number: lease.deliveries[0].number,
        remaining: None,
        delivered: 1,
        rejected: vec![(1, "event too large".to_owned())],
    };
    store.finish_deliveries(&lease, vec![finished], None, at(2)).await.expect("finished");
    let states = store.queue_states().await.expect("read");
    let state = states.iter().find(|state| state.sink == "splunk").expect("there");
    assert_eq!((state.owed, state.delivered, state.rejected, state.failures), (0, 1, 1, 0));
    let letters = store.dead_letters(Some(tenant.id), 9).await.expect("listed");
    let refused_by = DeadLetterOrigin::Sink { sink: "splunk".to_owned(), source: Source::GraphAlerts };
    assert_eq!((letters.len(), &letters[0].origin), (1, &refused_by));
    assert_eq!((letters[0].record_id.as_deref(), letters[0].reason.as_str()), (Some("b"), "event too large"));
    assert_eq!(store.dead_letter_body(letters[0].number).await.expect("read"), body("b", 1).as_bytes());
    assert_eq!(store.journal_totals().await.expect("added up").dead_letters, 1);
    assert!(store.replay_dead_letter(letters[0].number, &names(&["else"]), at(3)).await.expect("replayed"));
    assert!(nothing_due(store, "else", at(3)).await, "it goes back to the sink that refused it");
    assert_eq!(ids(&lease_queue(store, "splunk", at(3)).await.deliveries), ["b"]);
    assert!(store.dead_letters(None, 9).await.expect("listed").is_empty());
}

async fn strangers_see_and_touch_nothing(store: &dyn Store) {
    let (one, two) = (add(store, 1).await, add(store, 2).await);
    let sinks = names(&["splunk"]);
    let sets = sets(&sinks);
    let leases = store.lease_due_sources(ME, 9, LEASE, at(0)).await.expect("leased");
    let mine = leases.iter().find(|lease| lease.tenant.id == one.id).expect("leased");
    let text = body("a", 1);
    let page = || AcceptedPage {
        records: vec![record("a", 10, &text, 1)],
        dead_letters: vec![NewDeadLetter { record_id: None, reason: "odd".to_owned(), body: b"[" }],
        destinations: &sets,
        cursor: cursor(10),
    };
    store.accept_page(mine, page(), LEASE, at(1)).await.expect("accepted");
    assert!(store.dead_letters(Some(two.id), 9).await.expect("listed").is_empty());
    assert!(store.dead_letters(Some(tenant_id(7)), 9).await.expect("listed").is_empty());
    let stranger = Tenant { id: tenant_id(7), ..one.clone() };
    let forged = SourceLease { tenant: stranger.clone(), ..mine.clone() };
    assert!(is_lost(store.accept_page(&forged, page(), LEASE, at(1)).await));
    assert!(is_lost(
        store.finish_poll(&forged, PollResult::Yielded { next_at: at(1), progressed: false }, at(1)).await
    ));
    let queue = lease_queue(store, "splunk", at(1)).await;
    let forged = DeliveryLease { tenant: stranger, ..queue.clone() };
    assert!(is_lost(store.finish_deliveries(&forged, all_taken(&queue), None, at(1)).await));
    assert!(is_lost(store.extend_deliveries(&forged, LEASE, at(1)).await));
    assert!(matches!(store.remove_tenant(tenant_id(7), BY, at(9)).await, Err(StoreError::NoTenant(_))));
    assert!(matches!(store.tenant(TenantKey::Id(tenant_id(7))).await, Err(StoreError::NoTenant(_))));
    // The same record of another tenant is another record.
    let theirs = leases.iter().find(|lease| lease.tenant.id == two.id).expect("leased");
    assert_eq!(store.accept_page(theirs, page(), LEASE, at(2)).await.expect("accepted").accepted, 1);
    assert_eq!(store.dead_letters(None, 9).await.expect("listed").len(), 2);
}

async fn removed_tenants_are_forgotten(store: &dyn Store) {
    let sinks = names(&["splunk"]);
    let sets = sets(&sinks);
    for number in 1..=2 {
        add(store, number).await;
    }
    let leases = store.lease_due_sources(ME, 9, LEASE, at(0)).await.expect("leased");
    for lease in &leases {
        accept(store, lease, &["a"], &sinks, at(1)).await;
        let dead_letters = vec![NewDeadLetter { record_id: None, reason: "odd".to_owned(), body: b"[" }];
        let page = AcceptedPage { records: Vec::new(), dead_letters, destinations: &sets, cursor: cursor(3) };
        store.accept_page(lease, page, LEASE, at(1)).await.expect("accepted");
    }
    let queue = lease_queue(store, "splunk", at(1)).await;
    assert_eq!(queue.tenant.id, tenant_id(1));
    store.remove_tenant(tenant_id(1), BY, at(9)).await.expect("removed");
    assert!(matches!(store.remove_tenant(tenant_id(1), BY, at(9)).await, Err(StoreError::NoTenant(_))));
    // Those who were at work on it learn so, and change nothing.
    let lease = leases.iter().find(|lease| lease.tenant.id == tenant_id(1)).expect("leased");
    let text = body("b", 1);
    let page = AcceptedPage {
        records: vec![record("b", 10, &text, 1)],
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(5),
    };
    assert!(is_lost(store.accept_page(lease, page, LEASE, at(2)).await));
    assert!(is_lost(store.finish_deliveries(&queue, all_taken(&queue), None, at(2)).await));
    let left = store.journal_totals().await.expect("added up");
    assert_eq!((left.batches, left.records, left.dead_letters), (1, 1, 1), "the other's");
    assert_eq!(store.tenants().await.expect("listed").len(), 1);
    assert_eq!(store.queue_states().await.expect("read").len(), 1);
    assert_eq!(lease_queue(store, "splunk", at(3)).await.tenant.id, tenant_id(2));
    assert!(nothing_due(store, "splunk", at(3)).await);
    // Who comes back begins anew.
    store.add_tenant(new_tenant(1), BY, at(4)).await.expect("added");
    let again = lease_source(store, at(4)).await;
    assert_eq!((again.tenant.id, again.cursor.clone()), (tenant_id(1), cursor(-86_400)));
    assert_eq!(accept(store, &again, &["a"], &sinks, at(4)).await.accepted, 1);
}

async fn the_journal_is_pruned_of_what_nobody_is_owed(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a"], &names(&["splunk"]), at(1)).await;
    accept(store, &source, &["b"], &[], at(2)).await;
    accept(store, &source, &["c"], &[], at(3)).await;
    assert_eq!(store.prune_journal(at(2)).await.expect("pruned"), 0, "the first is still owed");
    assert_eq!(store.prune_journal(at(3)).await.expect("pruned"), 1);
    let queue = lease_queue(store, "splunk", at(4)).await;
    assert_eq!(ids(&queue.deliveries), ["a"]);
    store.finish_deliveries(&queue, all_taken(&queue), None, at(4)).await.expect("finished");
    assert_eq!(store.prune_journal(at(1000)).await.expect("pruned"), 2);
    let totals = store.journal_totals().await.expect("added up");
    assert_eq!((totals.batches, totals.records, totals.stored_bytes), (0, 0, 0));
    let receipt = accept(store, &source, &["a", "b", "c"], &[], at(5)).await;
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 3, kept: 0 }, "versions are remembered longer");
}

async fn a_killed_process_loses_nothing(engine: &mut dyn Engine) {
    let store = engine.fresh().await;
    add(&*store, 1).await;
    let sinks = names(&["splunk"]);
    let source = lease_source(&*store, at(0)).await;
    accept(&*store, &source, &["a", "b"], &sinks, at(1)).await;
    let queue = lease_queue(&*store, "splunk", at(1)).await;
    let number = queue.deliveries[0].number;
    let rejected = vec![(0, "too large".to_owned())];
    let remaining = Selection::of(2, |index| index == 1);
    let finished = vec![FinishedDelivery { number, remaining, delivered: 0, rejected }];
    store.finish_deliveries(&queue, finished, None, at(2)).await.expect("finished");
    accept(&*store, &source, &["a", "c"], &sinks, at(2)).await;
    drop(store);

    let store = engine.reopened().await;
    store.take_over(OTHER, at(3)).await.expect("taken over");
    let source = lease_source(&*store, at(3)).await;
    assert_eq!(source.cursor, cursor(10));
    let receipt = accept(&*store, &source, &["a", "b", "c"], &sinks, at(3)).await;
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 3, kept: 0 });
    let queue = lease_queue(&*store, "splunk", at(3)).await;
    assert_eq!(ids(&queue.deliveries), ["b", "c"]);
    assert_eq!(queue.deliveries[0].number, number, "what is repeated keeps its number");
    let letter = store.dead_letters(None, 9).await.expect("listed").remove(0);
    assert_eq!((letter.number, letter.record_id.as_deref()), (DeadLetterNumber(1), Some("a")));
    store.close().await;
    drop(store);

    let store = engine.reopened().await;
    assert_eq!(store.source_states().await.expect("read")[0].accepted, 3);
    store.close().await;
}
