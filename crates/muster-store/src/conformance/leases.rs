//! The rules about leases by name, and about those of processes that have ended.

use super::kit::{Engine, LEASE, ME, OTHER, add, at, is_lost, lease_source};
use crate::{Leases, Store};

const NAME: &str = "what-one-may-do";

pub(super) async fn run_all(engine: &mut dyn Engine) {
    run_named(engine).await;
    dropped_work_is_leased_again_at_once(&*engine.fresh().await).await;
}

/// What holds for leases by name. They need no other noun, so that a new engine can begin with them.
///
/// # Panics
/// When the engine breaks a rule.
pub async fn run_named<S: Leases + ?Sized + 'static>(engine: &mut dyn Engine<S>) {
    one_at_a_time(engine).await;
    what_runs_out_is_taken_over(engine).await;
    a_killed_process_holds_nobody_up_for_longer_than_its_lease(engine).await;
    a_clock_that_steps_back_keeps_no_lease(engine).await;
}

async fn one_at_a_time<S: Leases + ?Sized + 'static>(engine: &mut dyn Engine<S>) {
    let (store, other) = (engine.fresh().await, engine.beside().await);
    let lease = store.take_lease(NAME, ME, LEASE, at(0)).await.expect("asked").expect("free");
    for second in [&store, &other] {
        assert!(second.take_lease(NAME, OTHER, LEASE, at(59)).await.expect("asked").is_none());
    }
    let another = other.take_lease("something-else", OTHER, LEASE, at(1)).await.expect("asked");
    other.release_lease(another.expect("of another name")).await.expect("released");
    store.extend_lease(&lease, LEASE, at(50)).await.expect("extended");
    assert!(other.take_lease(NAME, OTHER, LEASE, at(109)).await.expect("asked").is_none());
    let fence = lease.fence;
    store.release_lease(lease).await.expect("released");
    let next = other.take_lease(NAME, OTHER, LEASE, at(51)).await.expect("asked").expect("given back");
    assert!(next.fence > fence);
    other.release_lease(next).await.expect("released");
}

async fn what_runs_out_is_taken_over<S: Leases + ?Sized + 'static>(engine: &mut dyn Engine<S>) {
    let (store, other) = (engine.fresh().await, engine.beside().await);
    let slow = store.take_lease(NAME, ME, LEASE, at(0)).await.expect("asked").expect("free");
    let next = other.take_lease(NAME, OTHER, LEASE, at(60)).await.expect("asked").expect("run out");
    assert!(next.fence > slow.fence);
    assert!(is_lost(store.extend_lease(&slow, LEASE, at(61)).await));
    assert!(is_lost(store.release_lease(slow).await));
    assert!(store.take_lease(NAME, ME, LEASE, at(62)).await.expect("asked").is_none(), "it is another's");
    other.extend_lease(&next, LEASE, at(63)).await.expect("extended");
    other.release_lease(next).await.expect("released");
    let again = store.take_lease(NAME, ME, LEASE, at(64)).await.expect("asked").expect("given back");
    store.release_lease(again).await.expect("released");
}

async fn a_killed_process_holds_nobody_up_for_longer_than_its_lease<S: Leases + ?Sized + 'static>(
    engine: &mut dyn Engine<S>,
) {
    let store = engine.fresh().await;
    let killed = store.take_lease(NAME, ME, LEASE, at(0)).await.expect("asked").expect("free");
    drop(store);
    let store = engine.reopened().await;
    let next = match store.take_lease(NAME, OTHER, LEASE, at(1)).await.expect("asked") {
        Some(next) => next,
        None => store.take_lease(NAME, OTHER, LEASE, at(60)).await.expect("asked").expect("run out"),
    };
    assert!(next.fence > killed.fence);
    store.release_lease(next).await.expect("released");
}

/// A lease that a clock set which was years ahead is over once the clock is right, also where its holder lives: it learns that
/// it has lost it. One that was set a moment ahead, as clocks of two machines are apart, is not.
async fn a_clock_that_steps_back_keeps_no_lease<S: Leases + ?Sized + 'static>(engine: &mut dyn Engine<S>) {
    const AHEAD: i64 = 73 * 365 * 86_400;
    let (store, other) = (engine.fresh().await, engine.beside().await);
    let early = store.take_lease(NAME, ME, LEASE, at(30)).await.expect("asked").expect("free");
    assert!(other.take_lease(NAME, OTHER, LEASE, at(1)).await.expect("asked").is_none(), "half a minute");
    store.release_lease(early).await.expect("released");
    let ahead = store.take_lease(NAME, ME, LEASE, at(AHEAD)).await.expect("asked").expect("free");
    assert!(other.take_lease(NAME, OTHER, LEASE, at(AHEAD + 1)).await.expect("asked").is_none());
    let next = other.take_lease(NAME, OTHER, LEASE, at(2)).await.expect("asked").expect("it is over");
    assert!(next.fence > ahead.fence);
    assert!(is_lost(store.extend_lease(&ahead, LEASE, at(3)).await));
    assert!(store.take_lease(NAME, ME, LEASE, at(3)).await.expect("asked").is_none(), "and waits as ever");
    // Also where it was kept by such a clock.
    other.extend_lease(&next, LEASE, at(AHEAD)).await.expect("extended");
    let again = store.take_lease(NAME, ME, LEASE, at(4)).await.expect("asked").expect("it is over");
    store.extend_lease(&again, LEASE, at(5)).await.expect("extended");
    assert!(other.take_lease(NAME, OTHER, LEASE, at(6)).await.expect("asked").is_none());
    store.release_lease(again).await.expect("released");
}

async fn dropped_work_is_leased_again_at_once(store: &dyn Store) {
    add(store, 1).await;
    let mine = lease_source(store, at(0)).await;
    store.drop_leases(OTHER).await.expect("dropped");
    assert!(
        store.lease_due_sources(OTHER, 9, LEASE, at(1)).await.expect("asked").is_empty(),
        "not another's"
    );
    store.drop_leases(ME).await.expect("dropped");
    let again = lease_source(store, at(1)).await;
    assert!(again.fence > mine.fence);
}
