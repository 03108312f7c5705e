//! The rules about single cursors.

use muster_model::{Cursor, Purpose, Source};

use super::kit::{Engine, LEASE, ME, OTHER, add, at, caught_up, cursor, is_lost, tenant_id};
use crate::{PollResult, Store};

const ALERTS: Source = Source::GraphAlerts;

pub(super) async fn run_all(engine: &mut dyn Engine) {
    a_cursor_begins_once(&*engine.fresh().await).await;
    one_cursor_is_leased_by_name(&*engine.fresh().await).await;
}

async fn a_cursor_begins_once(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    let begin = async |number, source, seconds| {
        let resting = Cursor::resting(at(seconds));
        store.begin_cursor(tenant_id(number), source, Purpose::Sweep, resting, at(seconds)).await
    };
    assert!(begin(1, ALERTS, 50).await.expect("begun"));
    assert!(!begin(1, ALERTS, 60).await.expect("asked"), "it is there already");
    assert!(!begin(1, Source::GraphIncidents, 50).await.expect("asked"), "the tenant has no such source");
    assert!(begin(9, ALERTS, 50).await.is_err(), "there is no such tenant");
    let found = store.cursor(tenant_id(1), ALERTS, Purpose::Sweep).await.expect("asked").expect("there");
    assert_eq!((found.cursor, found.state.next_at), (Cursor::resting(at(50)), at(50)));
    assert!(store.cursor(tenant_id(2), ALERTS, Purpose::Sweep).await.expect("asked").is_none());
    let sweeps = store.cursors(Purpose::Sweep).await.expect("asked");
    assert_eq!(sweeps.iter().map(|sweep| sweep.state.tenant).collect::<Vec<_>>(), [tenant_id(1)]);
    assert_eq!(store.cursors(Purpose::Live).await.expect("asked").len(), 2);
}

async fn one_cursor_is_leased_by_name(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    let backfill = (tenant_id(1), ALERTS, Purpose::Backfill);
    let lease = async |instance, seconds| {
        store.lease_cursor(instance, backfill, LEASE, at(seconds)).await.expect("asked")
    };
    assert!(lease(ME, 10).await.is_none(), "there is none");
    store.begin_cursor(tenant_id(1), ALERTS, Purpose::Backfill, cursor(3), at(20)).await.expect("begun");
    assert!(lease(ME, 10).await.is_none(), "not due");
    let mine = lease(ME, 20).await.expect("due");
    assert_eq!((mine.tenant.id, mine.source, mine.purpose), backfill);
    assert_eq!(mine.cursor, cursor(3));
    assert!(lease(OTHER, 30).await.is_none(), "leased");
    let other = lease(OTHER, 20 + 60).await.expect("the lease has ended");
    assert!(other.fence > mine.fence);
    let lost = PollResult::CaughtUp { next_at: at(90), missing: None, cursor: None };
    assert!(is_lost(store.finish_poll(&mine, lost, at(90)).await));
    caught_up(store, &other, 90, at(90)).await;
    assert!(lease(ME, 90).await.is_some());
    let found = store.cursor(tenant_id(1), ALERTS, Purpose::Backfill).await.expect("asked").expect("there");
    assert_eq!(found.state.last_success_at, Some(at(90)));
}
