//! The rules about people's grants.

use muster_model::Secret;

use super::kit::{BY, Engine, LEASE, ME, OTHER, add, at, grant, is_lost, lease_grant, sign_in, tenant_id};
use crate::{Grant, GrantLease, Store, StoreError};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    grants_are_renewed_by_one_at_a_time(engine).await;
    dead_grants_wait_for_a_person(&*engine.fresh().await).await;
    a_stale_lease_changes_no_grant(&*engine.fresh().await).await;
    grants_belong_to_a_tenant_and_an_app(&*engine.fresh().await).await;
    a_killed_process_keeps_its_grants(engine).await;
    a_clock_that_steps_back_keeps_no_grant(&*engine.fresh().await).await;
}

async fn only_grant(store: &dyn Store) -> Grant {
    let mut grants = store.grants(None).await.expect("listed");
    assert_eq!(grants.len(), 1);
    grants.remove(0)
}

async fn grants_are_renewed_by_one_at_a_time(engine: &mut dyn Engine) {
    let one = engine.fresh().await;
    let other = engine.beside().await;
    add(&*one, 1).await;
    let missing = one.lease_grant(ME, tenant_id(1), "main", LEASE, at(1)).await.expect("asked");
    assert!(matches!(missing, GrantLease::None));
    one.put_grant(grant(1, "main", "token-0"), at(1)).await.expect("put");
    for round in 0..10 {
        let now = at(1000 * round);
        let (mine, theirs) = tokio::join!(
            one.lease_grant(ME, tenant_id(1), "main", LEASE, now),
            other.lease_grant(OTHER, tenant_id(1), "main", LEASE, now),
        );
        let leases = [(&*one, mine.expect("asked")), (&*other, theirs.expect("asked"))];
        let mut leased = 0;
        for (store, lease) in leases {
            match lease {
                GrantLease::Leased { refresh_token, fence, .. } => {
                    leased += 1;
                    assert_eq!(refresh_token.expose(), &format!("token-{round}"));
                    let next = Secret::new(format!("token-{}", round + 1));
                    let renewed = store.renew_grant(
                        tenant_id(1),
                        "main",
                        fence,
                        Some(&next),
                        Some(at(1000 * round + 9000)),
                        now,
                    );
                    renewed.await.expect("renewed");
                }
                GrantLease::Busy { until } => assert_eq!(until, at(1000 * round + 60)),
                other => panic!("neither leased nor busy: {other:?}"),
            }
        }
        assert_eq!(leased, 1);
    }
    let grant = only_grant(&*other).await;
    assert_eq!((grant.granted_at, grant.renewed_at), (at(1), at(9000)));
    assert_eq!((grant.expires_at, grant.last_error, grant.revoked_at), (Some(at(18_000)), None, None));
    other.close().await;
    one.close().await;
}

async fn dead_grants_wait_for_a_person(store: &dyn Store) {
    add(store, 1).await;
    store.put_grant(grant(1, "main", "token-1"), at(1)).await.expect("put");
    let (_, fence) = lease_grant(store, ME, 1, "main", at(2)).await.expect("leased");
    let fail = async |fence, reason: &str, dead, now| {
        store.fail_grant(tenant_id(1), "main", fence, reason.to_owned(), dead, at(now)).await
    };
    fail(fence, "the platform does not answer", false, 3).await.expect("failed");
    let now = only_grant(store).await;
    assert_eq!(now.last_error.as_deref(), Some("the platform does not answer"));
    assert_eq!((now.renewed_at, now.revoked_at), (at(1), None));
    let (token, fence) = lease_grant(store, ME, 1, "main", at(3)).await.expect("at once");
    assert_eq!(token, "token-1");
    store.renew_grant(tenant_id(1), "main", fence, None, None, at(4)).await.expect("renewed");
    let now = only_grant(store).await;
    assert_eq!((now.last_error, now.expires_at, now.renewed_at), (None, None, at(4)));
    let (token, fence) = lease_grant(store, ME, 1, "main", at(5)).await.expect("leased");
    assert_eq!(token, "token-1", "kept where no new one was given");
    fail(fence, "it was revoked", true, 6).await.expect("failed");
    assert!(is_lost(fail(fence, "it was revoked", true, 7).await), "the lease has ended");
    match store.lease_grant(ME, tenant_id(1), "main", LEASE, at(1000)).await.expect("asked") {
        GrantLease::Dead { grant } => {
            assert_eq!(grant.revoked_at, Some(at(6)));
            assert_eq!(grant.last_error.as_deref(), Some("it was revoked"));
        }
        other => panic!("a dead grant is leased to nobody: {other:?}"),
    }
    store.put_grant(grant(1, "main", "token-2"), at(1001)).await.expect("put");
    let now = only_grant(store).await;
    assert_eq!((now.granted_at, now.revoked_at, now.last_error), (at(1001), None, None));
    assert_eq!(lease_grant(store, ME, 1, "main", at(1001)).await.expect("leased").0, "token-2");
}

async fn a_stale_lease_changes_no_grant(store: &dyn Store) {
    add(store, 1).await;
    let token = Secret::from("stale");
    let stale = async |fence| {
        let before = store.grants(None).await.expect("listed");
        let renewed = store.renew_grant(tenant_id(1), "main", fence, Some(&token), None, at(500)).await;
        assert!(is_lost(renewed));
        let failed = store.fail_grant(tenant_id(1), "main", fence, "x".to_owned(), true, at(500)).await;
        assert!(is_lost(failed));
        assert_eq!(store.grants(None).await.expect("listed"), before);
    };
    stale(0).await;
    store.put_grant(grant(1, "main", "token-1"), at(1)).await.expect("put");
    stale(0).await;
    let (_, first) = lease_grant(store, ME, 1, "main", at(1)).await.expect("leased");
    assert!(lease_grant(store, OTHER, 1, "main", at(60)).await.is_none());
    stale(first + 1).await;
    // A lease that has ended still counts until another has one, so that a slow answer is not lost.
    let (_, second) = lease_grant(store, OTHER, 1, "main", at(61)).await.expect("its time is over");
    stale(first).await;
    let token_2 = Secret::from("token-2");
    store.renew_grant(tenant_id(1), "main", second, Some(&token_2), None, at(500)).await.expect("late");
    stale(second).await;
    // Neither a new sign-in nor one after the grant was forgotten can be mistaken for the one that was leased.
    let (token, third) = lease_grant(store, ME, 1, "main", at(501)).await.expect("leased");
    assert_eq!(token, "token-2");
    store.put_grant(grant(1, "main", "token-3"), at(502)).await.expect("put");
    stale(third).await;
    let (token, fourth) = lease_grant(store, ME, 1, "main", at(502)).await.expect("not leased any more");
    assert_eq!(token, "token-3");
    assert!(store.remove_grant(tenant_id(1), "main").await.expect("removed"));
    stale(fourth).await;
    store.put_grant(grant(1, "main", "token-4"), at(503)).await.expect("put");
    let mut fences = Vec::new();
    for round in 0..8 {
        let (token, fence) = lease_grant(store, ME, 1, "main", at(600 + 100 * round)).await.expect("leased");
        assert_eq!(token, "token-4");
        fences.push(fence);
    }
    for fence in [first, second, third, fourth] {
        assert!(!fences.contains(&fence));
        stale(fence).await;
    }
}

/// A grant whose lease was set by a clock that was years ahead is renewed once the clock is right.
async fn a_clock_that_steps_back_keeps_no_grant(store: &dyn Store) {
    const AHEAD: i64 = 73 * 365 * 86_400;
    add(store, 1).await;
    store.put_grant(grant(1, "main", "token-1"), at(1)).await.expect("put");
    let (_, early) = lease_grant(store, ME, 1, "main", at(31)).await.expect("leased");
    assert!(lease_grant(store, OTHER, 1, "main", at(2)).await.is_none(), "half a minute is no step");
    store.renew_grant(tenant_id(1), "main", early, None, None, at(32)).await.expect("renewed");
    let (_, ahead) = lease_grant(store, ME, 1, "main", at(AHEAD)).await.expect("leased");
    assert!(lease_grant(store, OTHER, 1, "main", at(AHEAD + 1)).await.is_none());
    let (token, fence) = lease_grant(store, OTHER, 1, "main", at(2)).await.expect("it is over");
    assert_eq!(token, "token-1");
    assert!(is_lost(store.renew_grant(tenant_id(1), "main", ahead, None, None, at(3)).await));
    assert!(lease_grant(store, ME, 1, "main", at(3)).await.is_none(), "and waits as ever");
    store.renew_grant(tenant_id(1), "main", fence, None, None, at(4)).await.expect("renewed");
}

async fn grants_belong_to_a_tenant_and_an_app(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    for (tenant, app) in [(1, "main"), (1, "other"), (2, "main")] {
        let token = format!("token of {app} in {tenant}");
        store.put_grant(grant(tenant, app, &token), at(1)).await.expect("put");
    }
    for (tenant, app) in [(1, "main"), (1, "other"), (2, "main")] {
        let (token, _) = lease_grant(store, ME, tenant, app, at(1)).await.expect("leased");
        assert_eq!(token, format!("token of {app} in {tenant}"));
    }
    assert!(lease_grant(store, ME, 2, "other", at(1)).await.is_none());
    assert!(lease_grant(store, ME, 7, "main", at(1)).await.is_none());
    assert_eq!(store.grants(None).await.expect("listed").len(), 3);
    let ones = store.grants(Some(tenant_id(1))).await.expect("listed");
    assert_eq!(ones.iter().map(|grant| grant.app.as_str()).collect::<Vec<_>>(), ["main", "other"]);
    assert!(store.grants(Some(tenant_id(7))).await.expect("listed").is_empty());
    assert!(!store.remove_grant(tenant_id(2), "other").await.expect("asked"));
    assert!(!store.remove_grant(tenant_id(7), "main").await.expect("asked"));
    store.remove_tenant(tenant_id(1), BY, at(2)).await.expect("removed");
    let left = only_grant(store).await;
    assert_eq!((left.tenant, left.app.as_str()), (tenant_id(2), "main"));
    let stranger = store.put_grant(grant(7, "main", "x"), at(2)).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));
}

async fn a_killed_process_keeps_its_grants(engine: &mut dyn Engine) {
    let store = engine.fresh().await;
    add(&*store, 1).await;
    store.put_grant(grant(1, "main", "token-1"), at(1)).await.expect("put");
    let (_, fence) = lease_grant(&*store, ME, 1, "main", at(1)).await.expect("leased");
    let token = Secret::from("token-2");
    store.renew_grant(tenant_id(1), "main", fence, Some(&token), None, at(2)).await.expect("renewed");
    let (_, stale) = lease_grant(&*store, ME, 1, "main", at(3)).await.expect("leased");
    store.begin_sign_in(sign_in(1, 1)).await.expect("begun");
    store.begin_sign_in(sign_in(1, 2)).await.expect("begun");
    store.take_sign_in(sign_in(1, 1).id, at(20)).await.expect("asked").expect("there");
    // Killed between the platform's answer and its being kept.
    drop(store);

    let store = engine.reopened().await;
    store.take_over(OTHER, at(4)).await.expect("taken over");
    let busy = store.lease_grant(OTHER, tenant_id(1), "main", LEASE, at(4)).await.expect("asked");
    assert!(matches!(busy, GrantLease::Busy { .. }), "a command may be at it: its time is waited for");
    let (token, _) = lease_grant(&*store, OTHER, 1, "main", at(63)).await.expect("its time is over");
    assert_eq!(token, "token-2", "what was kept last");
    let lost = store.renew_grant(tenant_id(1), "main", stale, None, None, at(64)).await;
    assert!(is_lost(lost));
    assert!(store.take_sign_in(sign_in(1, 1).id, at(20)).await.expect("asked").is_none());
    let taken = store.take_sign_in(sign_in(1, 2).id, at(20)).await.expect("asked").expect("there");
    assert_eq!(taken.verifier.expose(), "verifier 2");
    store.close().await;
}
