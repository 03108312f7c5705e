//! The rules about the audit log.

use muster_model::TenantState;
use serde_json::json;

use super::kit::{BY, Engine, add, at, new_tenant, tenant_id};
use crate::{AuditEvent, NewAuditEvent, Store, TenantChange};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    the_audit_log_tells_what_was_done(&*engine.fresh().await).await;
    processes_share_one_audit_log(engine).await;
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
