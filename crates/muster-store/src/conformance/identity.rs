//! The rules about identity: states of tenants, invitations, sign-ins, grants, credentials, checks, the audit log.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_model::{Secret, Tenant, TenantState};
use serde_json::json;
use uuid::Uuid;

use super::kit::{
    BY, Engine, LEASE, ME, OTHER, accept, add, all_taken, at, body, caught_up, cursor, ids, is_lost,
    lease_queue, lease_source, names, new_tenant, record, tenant_id,
};
use crate::{
    AcceptedPage, AuditEvent, Check, CheckOutcome, CredentialKind, CredentialSlot, Grant, GrantLease,
    InstanceId, InvitationChange, NewAuditEvent, NewGrant, NewInvitation, NewTenant, SignIn, SignInKind,
    Store, StoreError, StoredCredential, TenantChange, TenantKey,
};

/// How many sign-ins of a tenant are remembered at least.
const SIGN_INS_KEPT: u128 = 100;

pub(super) async fn run_all(engine: &mut dyn Engine) {
    only_active_tenants_are_polled(&*engine.fresh().await).await;
    offboarded_tenants_leave_their_name(&*engine.fresh().await).await;
    invitations_are_used_once(&*engine.fresh().await).await;
    sign_ins_are_answered_once(&*engine.fresh().await).await;
    sign_ins_are_bounded(&*engine.fresh().await).await;
    an_answer_is_taken_by_one(engine).await;
    grants_are_renewed_by_one_at_a_time(engine).await;
    dead_grants_wait_for_a_person(&*engine.fresh().await).await;
    a_stale_lease_changes_no_grant(&*engine.fresh().await).await;
    grants_belong_to_a_tenant_and_an_app(&*engine.fresh().await).await;
    a_killed_process_keeps_its_grants(engine).await;
    credentials_are_promoted(engine).await;
    checks_are_replaced_by_name(&*engine.fresh().await).await;
    the_audit_log_tells_what_was_done(&*engine.fresh().await).await;
    processes_share_one_audit_log(engine).await;
    the_signing_key_stays(engine).await;
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
        dead_letters: Vec::new(),
        destinations: &[],
        cursor: cursor(5),
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
    let lease = store.lease_due_sources(ME, 9, LEASE, at(4)).await.expect("leased").remove(0);
    assert_eq!((lease.tenant.id, &lease.cursor), (tenant.id, &cursor(-86_400)));
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

fn invitation(tenant: u128, number: u128) -> NewInvitation {
    NewInvitation {
        id: Uuid::from_u128(0x1000 * tenant + number),
        tenant: tenant_id(tenant),
        language: "de".to_owned(),
        expires_at: at(1000),
    }
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

fn sign_in(tenant: u128, number: u128) -> SignIn {
    SignIn {
        id: Uuid::from_u128(0x1_0000 * tenant + number),
        tenant: tenant_id(tenant),
        app: "main".to_owned(),
        kind: SignInKind::Delegated,
        invitation: Some(Uuid::from_u128(number)),
        redirect_uri: "https://muster.example/callback".to_owned(),
        resource: "https://graph.example".to_owned(),
        nonce: format!("nonce {number}"),
        verifier: Secret::new(format!("verifier {number}")),
        created_at: at(10),
        expires_at: at(100),
    }
}

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

fn grant(tenant: u128, app: &str, refresh_token: &str) -> NewGrant {
    NewGrant {
        tenant: tenant_id(tenant),
        app: app.to_owned(),
        account: "admin@contoso.example".to_owned(),
        resource: "https://graph.example".to_owned(),
        refresh_token: Secret::from(refresh_token),
        expires_at: Some(at(9000)),
    }
}

/// The refresh token and the fence of a lease that must be had.
async fn lease_grant(
    store: &dyn Store,
    instance: InstanceId,
    tenant: u128,
    app: &str,
    now: Timestamp,
) -> Option<(String, u64)> {
    match store.lease_grant(instance, tenant_id(tenant), app, LEASE, now).await.expect("asked") {
        GrantLease::Leased { refresh_token, fence, grant } => {
            assert_eq!((grant.tenant, grant.app.as_str()), (tenant_id(tenant), app));
            Some((refresh_token.expose().clone(), fence))
        }
        _ => None,
    }
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

fn credential(app: &str, slot: CredentialSlot, value: &str) -> StoredCredential {
    StoredCredential {
        app: app.to_owned(),
        slot,
        kind: CredentialKind::Secret,
        key_id: format!("id of {value}"),
        value: Secret::new(value.as_bytes().to_vec()),
        not_after: Some(at(500)),
        created_at: at(0),
    }
}

/// The values of an app's credentials: current, next, previous.
async fn slots(store: &dyn Store, app: &str) -> [Option<String>; 3] {
    let stored = store.app_credentials(app).await.expect("read");
    let all = [CredentialSlot::Current, CredentialSlot::Next, CredentialSlot::Previous];
    let order = stored.iter().map(|credential| credential.slot).collect::<Vec<_>>();
    let expected = all.into_iter().filter(|slot| order.contains(slot)).collect::<Vec<_>>();
    assert_eq!(order, expected, "by slot, each once");
    all.map(|slot| {
        let found = stored.iter().find(|credential| credential.slot == slot)?;
        let value = String::from_utf8(found.value.expose().clone()).expect("text");
        assert_eq!((found.app.as_str(), found.key_id.clone()), (app, format!("id of {value}")));
        assert_eq!((found.not_after, found.created_at), (Some(at(500)), at(0)));
        Some(value)
    })
}

async fn credentials_are_promoted(engine: &mut dyn Engine) {
    use CredentialSlot::{Current, Next, Previous};

    let text = |value: &str| Some(value.to_owned());
    let store = engine.fresh().await;
    assert_eq!(slots(&*store, "main").await, [None, None, None]);
    assert!(!store.promote_app_credential("main").await.expect("asked"));
    store.put_app_credential(credential("main", Current, "one")).await.expect("put");
    store.put_app_credential(credential("other", Current, "theirs")).await.expect("put");
    assert!(!store.promote_app_credential("main").await.expect("asked"), "there is no next one");
    store.put_app_credential(credential("main", Next, "two")).await.expect("put");
    assert_eq!(slots(&*store, "main").await, [text("one"), text("two"), None]);
    assert!(store.promote_app_credential("main").await.expect("promoted"));
    assert_eq!(slots(&*store, "main").await, [text("two"), None, text("one")]);
    drop(store);

    let store = engine.reopened().await;
    assert_eq!(slots(&*store, "main").await, [text("two"), None, text("one")], "after a crash too");
    store.put_app_credential(credential("main", Next, "three")).await.expect("put");
    store.put_app_credential(credential("main", Next, "four")).await.expect("put");
    assert_eq!(slots(&*store, "main").await, [text("two"), text("four"), text("one")]);
    assert!(store.promote_app_credential("main").await.expect("promoted"));
    assert_eq!(slots(&*store, "main").await, [text("four"), None, text("two")]);
    assert!(store.remove_app_credential("main", Previous).await.expect("removed"));
    assert!(!store.remove_app_credential("main", Previous).await.expect("asked"));
    assert_eq!(slots(&*store, "main").await, [text("four"), None, None]);
    assert_eq!(slots(&*store, "other").await, [text("theirs"), None, None]);
    // The first one of an app need not have a predecessor.
    let certificate = StoredCredential {
        kind: CredentialKind::Certificate,
        not_after: None,
        ..credential("new", Next, "pem")
    };
    store.put_app_credential(certificate).await.expect("put");
    assert!(store.promote_app_credential("new").await.expect("promoted"));
    let stored = store.app_credentials("new").await.expect("read").remove(0);
    assert_eq!((stored.slot, stored.kind), (Current, CredentialKind::Certificate));
    assert_eq!((stored.not_after, stored.value.expose().as_slice()), (None, b"pem".as_slice()));
    store.close().await;
}

fn check(name: &str, outcome: CheckOutcome) -> Check {
    Check {
        name: name.to_owned(),
        outcome,
        code: "lost_consent".to_owned(),
        detail: "the consent is gone".to_owned(),
        remedy: "send the link again".to_owned(),
        checked_at: at(10),
        expires_at: (outcome == CheckOutcome::Warning).then(|| at(900)),
    }
}

async fn checks_are_replaced_by_name(store: &dyn Store) {
    use CheckOutcome::{Failing, Good, Warning};

    add(store, 2).await;
    add(store, 1).await;
    let (one, two) = (tenant_id(1), tenant_id(2));
    let token = check("token", Failing);
    let source = check("source graph_alerts", Good);
    store.put_checks(two, vec![token.clone()]).await.expect("put");
    store.put_checks(one, vec![token.clone(), source.clone()]).await.expect("put");
    let all = store.checks(None).await.expect("listed");
    assert_eq!(all, [(one, source.clone()), (one, token.clone()), (two, token.clone())], "by slug and name");
    let better = Check { checked_at: at(20), ..check("token", Warning) };
    store.put_checks(one, vec![better.clone()]).await.expect("put");
    assert_eq!(store.checks(Some(one)).await.expect("listed"), [(one, source), (one, better.clone())]);
    assert_eq!(store.checks(Some(two)).await.expect("listed"), [(two, token)]);
    let gone = ["source graph_alerts".to_owned(), "never was".to_owned()];
    store.remove_checks(one, &gone).await.expect("removed");
    assert_eq!(store.checks(Some(one)).await.expect("listed"), [(one, better)]);
    store.put_checks(one, Vec::new()).await.expect("nothing to do");
    let stranger = store.put_checks(tenant_id(7), vec![check("token", Good)]).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));
    store.remove_tenant(one, BY, at(30)).await.expect("removed");
    assert_eq!(store.checks(None).await.expect("listed").len(), 1);

    let expiry = check("secret expiry", Warning);
    store.put_app_checks("main", vec![check("secret expiry", Good)]).await.expect("put");
    store.put_app_checks("edge", vec![check("app", Failing)]).await.expect("put");
    store.put_app_checks("main", vec![expiry.clone()]).await.expect("put");
    let apps = store.app_checks().await.expect("listed");
    assert_eq!(apps, [("edge".to_owned(), check("app", Failing)), ("main".to_owned(), expiry)]);
}

fn event(action: &str) -> NewAuditEvent {
    NewAuditEvent {
        actor: "alice “the admin”\u{1b}[2J".to_owned(),
        action: action.to_owned(),
        subject: "main".to_owned(),
        details: json!({ "why": "it was to expire", "days": 3, "list": [null, true] }),
    }
}

async fn the_audit_log_tells_what_was_done(store: &dyn Store) {
    let verdict = store.verify_audit().await.expect("checked");
    assert_eq!((verdict.events, verdict.first_bad), (0, None));
    assert!(store.audit(0, 9).await.expect("read").is_empty());
    let first = store.append_audit(event("secret.rotated"), at(5)).await.expect("appended");
    assert_eq!((first.number, first.at), (1, at(5)));
    assert_eq!((first.actor, first.details), (event("").actor, event("").details));
    let tenant = add(store, 1).await;
    let change = async |change| store.change_tenant(tenant.id, change, "bob", at(7)).await;
    change(TenantChange::State(TenantState::Paused)).await.expect("changed");
    change(TenantChange::State(TenantState::Paused)).await.expect("the same again");
    change(TenantChange::App("gcc".to_owned())).await.expect("changed");
    assert!(store.add_tenant(new_tenant(1), "eve", at(8)).await.is_err());
    assert!(store.remove_tenant(tenant_id(7), "eve", at(8)).await.is_err());
    store.offboard_tenant(tenant.id, "bob", at(8)).await.expect("offboarded");
    store.offboard_tenant(tenant.id, "bob", at(8)).await.expect("the same again");
    store.remove_tenant(tenant.id, "carol", at(9)).await.expect("removed");
    let events = store.audit(0, 99).await.expect("read");
    let told = |event: &AuditEvent| (event.number, event.actor.clone(), event.action.clone());
    let alice = event("").actor;
    let expected = [
        (1, alice.as_str(), "secret.rotated"),
        (2, BY, "tenant.added"),
        (3, "bob", "tenant.changed"),
        (4, "bob", "tenant.changed"),
        (5, "bob", "tenant.offboarded"),
        (6, "carol", "tenant.removed"),
    ];
    let expected = expected.map(|(number, actor, action)| (number, actor.to_owned(), action.to_owned()));
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(events[1..].iter().all(|event| event.subject == tenant.id.to_string()));
    assert_eq!(events[1].details["slug"], "customer-1");
    assert_eq!(events[2].details, json!({ "state": { "from": "active", "to": "paused" } }));
    assert_eq!(events[3].details, json!({ "app": { "from": "main", "to": "gcc" } }));
    for pair in events.windows(2) {
        assert_eq!(pair[1].previous, pair[0].hash);
        assert_ne!(pair[1].hash, pair[0].hash);
    }
    assert_eq!(store.audit(2, 2).await.expect("read"), events[2..4]);
    assert!(store.audit(6, 9).await.expect("read").is_empty());
    assert!(store.audit(u64::MAX, 9).await.expect("read").is_empty());
    let verdict = store.verify_audit().await.expect("checked");
    assert_eq!((verdict.events, verdict.first_bad), (6, None));
    assert_eq!(verdict.head, events[5].hash);
}

async fn processes_share_one_audit_log(engine: &mut dyn Engine) {
    let one = engine.fresh().await;
    let other = engine.beside().await;
    for _ in 0..10 {
        let (a, b, c, d) = tokio::join!(
            one.append_audit(event("a"), at(1)),
            other.append_audit(event("b"), at(1)),
            one.append_audit(event("c"), at(1)),
            other.append_audit(event("d"), at(1)),
        );
        for appended in [a, b, c, d] {
            appended.expect("appended");
        }
    }
    // Killed: neither is closed.
    drop(one);
    drop(other);
    let store = engine.reopened().await;
    let verdict = store.verify_audit().await.expect("checked");
    assert_eq!((verdict.events, verdict.first_bad), (40, None));
    store.close().await;
}

async fn the_signing_key_stays(engine: &mut dyn Engine) {
    let store = engine.fresh().await;
    let tag = store.signing_key().sign("invitation", b"contoso");
    let other = engine.beside().await;
    assert!(other.signing_key().verify("invitation", b"contoso", &tag));
    assert!(!other.signing_key().verify("state", b"contoso", &tag));
    other.close().await;
    store.close().await;
    let store = engine.reopened().await;
    assert!(store.signing_key().verify("invitation", b"contoso", &tag));
    store.close().await;
    let another = engine.fresh().await;
    assert!(!another.signing_key().verify("invitation", b"contoso", &tag), "each store has its own");
    another.close().await;
}
