//! The rules about states of tenants, invitations and sign-ins.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_model::{Secret, Tenant, TenantState};

use super::kit::{
    BY, Engine, LEASE, ME, accept, add, all_taken, at, body, caught_up, check, cursor, grant, ids,
    invitation, is_lost, lease_grant, lease_queue, lease_source, names, new_tenant, record, sign_in,
    tenant_id,
};
use crate::{
    AcceptedPage, CheckOutcome, InvitationChange, NewTenant, SignIn, SignInKind, Store, StoreError,
    TenantChange, TenantKey,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    only_active_tenants_are_polled(&*engine.fresh().await).await;
    offboarded_tenants_leave_their_name(&*engine.fresh().await).await;
    invitations_are_used_once(&*engine.fresh().await).await;
    sign_ins_are_answered_once(&*engine.fresh().await).await;
    sign_ins_are_bounded(&*engine.fresh().await).await;
    an_answer_is_taken_by_one(engine).await;
}

async fn set(store: &dyn Store, state: TenantState, now: Timestamp) -> Tenant {
    store.change_tenant(tenant_id(1), TenantChange::State(state), BY, now).await.expect("changed")
}

async fn only_active_tenants_are_polled(store: &dyn Store) {
    let invited = NewTenant { state: TenantState::Invited, ..new_tenant(1) };
    let tenant = store.add_tenant(invited, BY, at(0)).await.expect("added");
    assert_eq!(tenant.state, TenantState::Invited);
    let sinks = names(&["splunk"]);
    for (step, state) in TenantState::ALL.into_iter().enumerate() {
        if state == TenantState::Offboarded {
            continue;
        }
        let now = at(100 * (step as i64 + 1));
        // Something is owed before the state is entered.
        set(store, TenantState::Active, now).await;
        let lease = lease_source(store, now).await;
        accept(store, &lease, &[state.as_str()], &sinks, now).await;
        caught_up(store, &lease, 0, now).await;
        assert_eq!(set(store, state, now).await.state, state);
        assert_eq!(store.tenant(TenantKey::Id(tenant.id)).await.expect("there").state, state);
        let leases = store.lease_due_sources(ME, 9, LEASE, now).await.expect("asked");
        assert_eq!(!leases.is_empty(), state == TenantState::Active, "{state}");
        assert_eq!(store.next_source_due_at().await.expect("asked").is_some(), state == TenantState::Active);
        for lease in &leases {
            caught_up(store, lease, 0, now).await;
        }
        let queue = lease_queue(store, "splunk", now).await;
        assert_eq!(ids(&queue.deliveries), [state.as_str()], "what was accepted is delivered");
        store.finish_deliveries(&queue, all_taken(&queue), None, now).await.expect("finished");
    }
}

async fn offboarded_tenants_leave_their_name(store: &dyn Store) {
    let sinks = names(&["splunk"]);
    let tenant = add(store, 1).await;
    add(store, 2).await;
    let lease = lease_source(store, at(0)).await;
    assert_eq!(lease.tenant.id, tenant.id);
    accept(store, &lease, &["a"], &sinks, at(1)).await;
    let queue = lease_queue(store, "splunk", at(1)).await;
    store.put_grant(grant(1, "main", "token-1"), at(1)).await.expect("put");
    let held = lease_grant(store, ME, 1, "main", at(1)).await;
    store.add_invitation(invitation(1, 1), at(1)).await.expect("added");
    store.begin_sign_in(sign_in(1, 1)).await.expect("begun");
    store.put_checks(tenant.id, vec![check("token", CheckOutcome::Good)]).await.expect("put");

    let left = store.offboard_tenant(tenant.id, BY, at(2)).await.expect("offboarded");
    let expected = Tenant { state: TenantState::Offboarded, sources: BTreeSet::new(), ..tenant.clone() };
    assert_eq!(left, expected);
    assert_eq!(store.offboard_tenant(tenant.id, BY, at(3)).await.expect("again"), expected);
    assert_eq!(store.tenants().await.expect("listed").len(), 2);
    // Nothing of it is left to work on, and who was at work learns so.
    let text = body("b", 1);
    let page = AcceptedPage {
        records: vec![record("b", 10, &text, 1)],
        text: None,
        dead_letters: Vec::new(),
        destinations: &[],
        cursor: cursor(5),
        request_id: None,
        proved_up_to: None,
    };
    assert!(is_lost(store.accept_page(&lease, page, LEASE, at(2)).await));
    let mut refused = all_taken(&queue);
    refused[0].rejected = vec![(0, "too large".to_owned())];
    assert!(is_lost(store.finish_deliveries(&queue, refused, None, at(2)).await));
    let (_, fence) = held.expect("leased");
    let token = Secret::from("token-2");
    assert!(is_lost(store.renew_grant(tenant.id, "main", fence, Some(&token), None, at(2)).await));
    assert_eq!(store.journal_totals().await.expect("added up").batches, 0);
    assert!(store.queue_states().await.expect("read").is_empty());
    assert!(store.grants(None).await.expect("listed").is_empty());
    assert!(store.invitation(invitation(1, 1).id).await.expect("asked").is_none());
    assert!(store.take_sign_in(sign_in(1, 1).id, at(2)).await.expect("asked").is_none());
    assert!(store.checks(None).await.expect("listed").is_empty());
    assert!(store.lease_due_sources(ME, 9, LEASE, at(100)).await.expect("asked").len() == 1, "the other's");
    // Nor can anything be added to it.
    let gone = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Offboarded(_)));
    let renamed = store.change_tenant(tenant.id, TenantChange::Name("x".to_owned()), BY, at(3)).await;
    assert!(gone(renamed.map(drop)));
    let resumed = store.change_tenant(tenant.id, TenantChange::State(TenantState::Active), BY, at(3)).await;
    assert!(gone(resumed.map(drop)));
    assert!(gone(store.put_grant(grant(1, "main", "t"), at(3)).await));
    assert!(gone(store.begin_sign_in(sign_in(1, 2)).await));
    assert!(gone(store.add_invitation(invitation(1, 2), at(3)).await.map(drop)));
    assert!(gone(store.put_checks(tenant.id, vec![check("token", CheckOutcome::Good)]).await));
    let over = NewTenant { state: TenantState::Offboarded, ..new_tenant(3) };
    assert!(gone(store.add_tenant(over, BY, at(3)).await.map(drop)), "nobody begins at the end");
    // Its slug stays taken, except for itself: who comes back begins anew.
    let same_slug = NewTenant { id: tenant_id(9), ..new_tenant(1) };
    let refused = store.add_tenant(same_slug, BY, at(3)).await;
    assert!(matches!(refused, Err(StoreError::TenantExists { field: "slug", .. })));
    let again = store.add_tenant(new_tenant(1), BY, at(4)).await.expect("added");
    assert_eq!((again.state, again.added_at), (TenantState::Active, at(4)));
    // The clock has stepped back since the other's was leased, so that it is given out as well.
    let leases = store.lease_due_sources(ME, 9, LEASE, at(4)).await.expect("leased");
    let lease = leases.into_iter().find(|lease| lease.tenant.id == tenant.id).expect("due");
    assert_eq!(lease.cursor, cursor(-86_400));
    assert_eq!(accept(store, &lease, &["a"], &sinks, at(4)).await.accepted, 1);
    store.put_grant(grant(1, "main", "token-3"), at(4)).await.expect("put");
    assert_eq!(lease_grant(store, ME, 1, "main", at(4)).await.expect("leased").0, "token-3");
    // Both ways to say it are one, and what is left can be removed too.
    let left = store.change_tenant(tenant.id, TenantChange::State(TenantState::Offboarded), BY, at(5)).await;
    assert!(left.expect("offboarded").sources.is_empty());
    store.remove_tenant(tenant.id, BY, at(6)).await.expect("removed");
    assert_eq!(store.tenants().await.expect("listed").len(), 1);
    assert!(matches!(store.offboard_tenant(tenant.id, BY, at(6)).await, Err(StoreError::NoTenant(_))));
}

async fn invitations_are_used_once(store: &dyn Store) {
    use InvitationChange::{Opened, Revoked, Used};

    add(store, 1).await;
    add(store, 2).await;
    let change = async |number: u128, change: InvitationChange, now: i64| {
        let id = invitation(1, number).id;
        store.change_invitation(id, change, at(now)).await.expect("changed")
    };
    let find =
        async |number: u128| store.invitation(invitation(1, number).id).await.expect("asked").expect("there");
    let first = store.add_invitation(invitation(1, 1), at(1)).await.expect("added");
    assert_eq!(first, find(1).await);
    assert_eq!((first.created_at, first.expires_at, first.language.as_str()), (at(1), at(1000), "de"));
    assert!(first.is_open(at(999)) && !first.is_open(at(1000)));
    assert!(change(1, Opened, 5).await);
    assert!(!change(1, Opened, 6).await, "once");
    assert_eq!(find(1).await.opened_at, Some(at(5)));
    assert!(change(1, Used, 7).await);
    for (word, again) in [("used", Used), ("opened", Opened)] {
        assert!(!change(1, again, 8).await, "{word} after it was used");
    }
    let used = find(1).await;
    assert_eq!((used.used_at, used.revoked_at), (Some(at(7)), None));
    assert!(!used.is_open(at(8)));

    // A newer one revokes all before it, used or not, of the same tenant only.
    store.add_invitation(invitation(1, 2), at(10)).await.expect("added");
    let other = store.add_invitation(invitation(2, 1), at(10)).await.expect("added");
    store.add_invitation(invitation(1, 3), at(11)).await.expect("added");
    assert_eq!(find(2).await.revoked_at, Some(at(11)));
    assert!(!change(2, Used, 12).await && !change(2, Opened, 12).await);
    let revoked = find(1).await;
    assert_eq!(
        (revoked.used_at, revoked.revoked_at),
        (Some(at(7)), Some(at(10))),
        "used, and no longer good"
    );
    assert_eq!(store.invitations(tenant_id(2)).await.expect("listed"), [other]);
    let numbers = store.invitations(tenant_id(1)).await.expect("listed");
    let expected = [3, 2, 1].map(|number| invitation(1, number).id);
    assert_eq!(numbers.iter().map(|invitation| invitation.id).collect::<Vec<_>>(), expected, "newest first");

    assert!(!change(3, Opened, 1000).await && !change(3, Used, 1000).await, "not after its end");
    assert!(change(3, Used, 999).await);
    assert_eq!(find(3).await.opened_at, Some(at(999)), "who uses it has opened it");
    store.add_invitation(invitation(1, 4), at(20)).await.expect("added");
    assert!(change(4, Used, 21).await);
    assert!(change(4, Revoked, 2000).await, "at any time, used or not");
    assert!(!change(4, Revoked, 2001).await);
    assert!(!change(77, Used, 20).await, "there is none");
    assert!(store.invitation(invitation(1, 77).id).await.expect("asked").is_none());
    let stranger = store.add_invitation(invitation(7, 1), at(20)).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));
}

/// How many sign-ins of a tenant are remembered at least.
const SIGN_INS_KEPT: u128 = 100;

async fn sign_ins_are_answered_once(store: &dyn Store) {
    add(store, 1).await;
    let consent = SignIn { kind: SignInKind::Consent, invitation: None, ..sign_in(1, 2) };
    store.begin_sign_in(sign_in(1, 1)).await.expect("begun");
    store.begin_sign_in(consent).await.expect("begun");
    let take = async |number, now| store.take_sign_in(sign_in(1, number).id, at(now)).await.expect("asked");
    let (begun, taken) = (sign_in(1, 1), take(1, 99).await.expect("there"));
    assert_eq!(
        (taken.id, taken.tenant, &taken.app, taken.kind, taken.invitation),
        (begun.id, begun.tenant, &begun.app, begun.kind, begun.invitation)
    );
    assert_eq!(
        (&taken.redirect_uri, &taken.resource, &taken.nonce, taken.verifier.expose()),
        (&begun.redirect_uri, &begun.resource, &begun.nonce, begun.verifier.expose())
    );
    assert_eq!((taken.created_at, taken.expires_at), (at(10), at(100)));
    assert!(take(1, 99).await.is_none(), "a replay");
    let taken = take(2, 50).await.expect("there");
    assert_eq!((taken.kind, taken.invitation), (SignInKind::Consent, None));
    assert!(take(3, 50).await.is_none(), "nobody asked for it");
    store.begin_sign_in(sign_in(1, 4)).await.expect("begun");
    assert!(take(4, 100).await.is_none(), "too late");
    assert!(take(4, 50).await.is_none(), "and gone, whatever the clock says then");
    // What has expired is swept when others begin.
    store.begin_sign_in(sign_in(1, 5)).await.expect("begun");
    let later = SignIn { created_at: at(100), expires_at: at(200), ..sign_in(1, 6) };
    store.begin_sign_in(later).await.expect("begun");
    assert!(take(5, 50).await.is_none());
    assert!(take(6, 150).await.is_some());
    let stranger = store.begin_sign_in(sign_in(7, 1)).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));
}

async fn sign_ins_are_bounded(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    store.begin_sign_in(sign_in(2, 1)).await.expect("begun");
    for number in 0..SIGN_INS_KEPT + 2 {
        store.begin_sign_in(sign_in(1, number)).await.expect("begun");
    }
    for number in 0..SIGN_INS_KEPT + 2 {
        let taken = store.take_sign_in(sign_in(1, number).id, at(50)).await.expect("asked");
        assert_eq!(taken.is_some(), number >= 2, "the oldest go first: {number}");
    }
    assert!(store.take_sign_in(sign_in(2, 1).id, at(50)).await.expect("asked").is_some(), "another's stays");
}

async fn an_answer_is_taken_by_one(engine: &mut dyn Engine) {
    let one = engine.fresh().await;
    let other = engine.beside().await;
    add(&*one, 1).await;
    for number in 0..20 {
        one.begin_sign_in(sign_in(1, number)).await.expect("begun");
        let id = sign_in(1, number).id;
        let (a, b, c, d) = tokio::join!(
            one.take_sign_in(id, at(50)),
            other.take_sign_in(id, at(50)),
            one.take_sign_in(id, at(50)),
            other.take_sign_in(id, at(50)),
        );
        let taken = [a, b, c, d].into_iter().filter(|taken| taken.as_ref().expect("asked").is_some());
        assert_eq!(taken.count(), 1);
    }
    other.close().await;
    one.close().await;
}
