//! The rules about tenants.

use std::collections::BTreeSet;

use muster_model::{Slug, Source, TAGS_MAX, Tag, Tenant, TenantState};

use super::kit::{
    BY, Engine, LEASE, ME, accept, add, all_taken, at, body, caught_up, cursor, is_lost, lease_queue,
    lease_source, names, new_tenant, nothing_due, record, sets, tenant_id,
};
use crate::{
    AcceptedPage, DeliveryLease, NewDeadLetter, NewTenant, PollResult, SourceLease, Store, StoreError,
    TenantChange, TenantKey,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    tenants_are_added_found_and_listed(&*engine.fresh().await).await;
    tenants_are_changed(&*engine.fresh().await).await;
    tenants_have_tags(&*engine.fresh().await).await;
    strangers_see_and_touch_nothing(&*engine.fresh().await).await;
    removed_tenants_are_forgotten(&*engine.fresh().await).await;
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
    add(store, 2).await;
    let slug = |slug: &str| TenantChange::Slug(slug.parse().expect("a slug"));
    assert_eq!(change(slug("moved")).await.expect("changed").slug.as_str(), "moved");
    assert_eq!(change(slug("moved")).await.expect("the same again").slug.as_str(), "moved");
    assert_eq!(store.tenant(TenantKey::Name("moved")).await.expect("there").id, tenant.id);
    let taken = store.tenant(TenantKey::Id(tenant_id(2))).await.expect("there").slug;
    let refused = change(TenantChange::Slug(taken)).await;
    assert!(matches!(refused, Err(StoreError::TenantExists { field: "slug", .. })), "{refused:?}");
    store.remove_tenant(tenant_id(2), BY, at(5)).await.expect("removed");
    let lease = lease_source(store, at(5)).await;
    accept(store, &lease, &["a"], &[], at(5)).await;
    caught_up(store, &lease, 1000, at(5)).await;
    let other = BTreeSet::from([Source::GraphIncidents]);
    let changed = change(TenantChange::Sources(other.clone())).await.expect("changed");
    assert_eq!(changed.sources, other);
    let lease = lease_source(store, at(5)).await;
    assert_eq!((lease.source, &lease.cursor), (Source::GraphIncidents, &cursor(-86_400)));
    caught_up(store, &lease, 1000, at(5)).await;
    let both = BTreeSet::from(Source::DEFAULT);
    change(TenantChange::Sources(both)).await.expect("changed");
    let lease = lease_source(store, at(5)).await;
    assert_eq!(lease.source, Source::GraphAlerts, "due at once, and the other not before its time");
    assert_eq!(lease.cursor, cursor(10), "it goes on where it stopped");
    assert!(store.lease_due_sources(ME, 9, LEASE, at(5)).await.expect("asked").is_empty());
    let stranger = store.change_tenant(tenant_id(7), TenantChange::Name("x".to_owned()), BY, at(5)).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));
}

async fn tenants_have_tags(store: &dyn Store) {
    let tags = |tags: &[&str]| tags.iter().map(|tag| tag.parse().expect("a tag")).collect::<BTreeSet<Tag>>();
    let new = NewTenant { tags: tags(&["gold", "emea"]), ..new_tenant(1) };
    let tenant = store.add_tenant(new, BY, at(0)).await.expect("added");
    assert_eq!(tenant.tags, tags(&["emea", "gold"]));
    let other = add(store, 2).await;
    let change = |add: &[&str], remove: &[&str]| {
        store.change_tenant(tenant.id, TenantChange::Tags { add: tags(add), remove: tags(remove) }, BY, at(1))
    };
    let changed = change(&["soc:2", "gold"], &["emea", "never"]).await.expect("changed");
    assert_eq!(changed.tags, tags(&["gold", "soc:2"]));
    assert_eq!(store.tenant(TenantKey::Id(tenant.id)).await.expect("there"), changed);
    assert_eq!(store.tenant(TenantKey::Id(other.id)).await.expect("there").tags, tags(&[]));
    let lease = store.lease_due_sources(ME, 9, LEASE, at(2)).await.expect("leased");
    let leased = lease.iter().find(|lease| lease.tenant.id == tenant.id).expect("leased");
    assert_eq!(leased.tenant.tags, changed.tags, "whoever routes its records knows them");

    let many = (0..TAGS_MAX).map(|number| format!("t{number}")).collect::<Vec<_>>();
    let many = many.iter().map(String::as_str).collect::<Vec<_>>();
    let refused = change(&many, &[]).await;
    assert!(matches!(refused, Err(StoreError::ManyTags { tags: 66, .. })), "{refused:?}");
    assert_eq!(store.tenant(TenantKey::Id(tenant.id)).await.expect("there").tags, changed.tags);
    let events = store.audit(0, 100).await.expect("read");
    let last = events.iter().max_by_key(|event| event.number).expect("written down");
    assert_eq!(last.details["tags"]["to"], serde_json::json!(["gold", "soc:2"]), "{last:?}");

    let left = store.offboard_tenant(tenant.id, BY, at(3)).await.expect("offboarded");
    assert_eq!(left.tags, tags(&[]));
    let again = store.add_tenant(new_tenant(1), BY, at(4)).await.expect("added again");
    assert_eq!(again.tags, tags(&[]));
    store.remove_tenant(other.id, BY, at(5)).await.expect("removed");
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
        text: None,
        dead_letters: vec![NewDeadLetter { record_id: None, reason: "odd".to_owned(), body: b"[" }],
        destinations: &sets,
        cursor: cursor(10),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(mine, page(), LEASE, at(1)).await.expect("accepted");
    assert!(store.dead_letters(Some(two.id), 9).await.expect("listed").is_empty());
    assert!(store.dead_letters(Some(tenant_id(7)), 9).await.expect("listed").is_empty());
    let stranger = Tenant { id: tenant_id(7), ..one.clone() };
    let forged = SourceLease { tenant: stranger.clone(), ..mine.clone() };
    assert!(is_lost(store.accept_page(&forged, page(), LEASE, at(1)).await));
    assert!(is_lost(
        store
            .finish_poll(
                &forged,
                PollResult::Yielded { next_at: at(1), progressed: false, missing: None, cursor: None },
                at(1)
            )
            .await
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
        let page = AcceptedPage {
            records: Vec::new(),
            text: None,
            dead_letters,
            destinations: &sets,
            cursor: cursor(3),
            request_id: None,
            proved_up_to: None,
        };
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
        text: None,
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(5),
        request_id: None,
        proved_up_to: None,
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
