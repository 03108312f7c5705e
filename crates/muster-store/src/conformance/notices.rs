//! The rules about notices.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::kit::{BY, Engine, LEASE, ME, OTHER, accept, add, at, lease_source, tenant_id};
use crate::{
    KeptReceiver, NamedLease, NewNotice, NotedAlerts, NotedConditions, NoticeCondition, NoticeFate,
    NoticeSnooze, NoticeState, NoticeTold, Store, StoreError, WAITING_MAX,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    what_is_noted_is_there_after_a_kill(engine).await;
    only_the_holder_of_the_lease_writes(&*engine.fresh().await).await;
    a_message_is_settled_once(&*engine.fresh().await).await;
    no_end_overtakes_its_beginning(&*engine.fresh().await).await;
    one_that_refuses_everything_works_no_better(&*engine.fresh().await).await;
    alerts_begin_where_a_receiver_was_added(&*engine.fresh().await).await;
    what_is_too_much_is_counted(&*engine.fresh().await).await;
    a_receiver_that_is_gone_gets_nothing(&*engine.fresh().await).await;
    one_that_wants_no_more_is_tried_with_other_settings(&*engine.fresh().await).await;
    nothing_of_a_tenant_that_was_removed_is_left(&*engine.fresh().await).await;
    a_look_from_before_brings_no_tenant_back(&*engine.fresh().await).await;
    snoozes_end(&*engine.fresh().await).await;
    habits_are_those_of_the_ledger(&*engine.fresh().await).await;
}

async fn lease(store: &dyn Store, now: Timestamp) -> NamedLease {
    store.take_lease("notices", ME, LEASE, now).await.expect("taken").expect("nobody has it")
}

fn kept(alerts: bool, fingerprint: &str) -> Vec<KeptReceiver> {
    vec![KeptReceiver { name: "ops".to_owned(), fingerprint: fingerprint.to_owned(), alerts }]
}

fn message(key: &str, tenant: Option<u128>, due: i64) -> NewNotice {
    NewNotice {
        receiver: "ops".to_owned(),
        target: "soc@northwind.example".to_owned(),
        tenant: tenant.map(tenant_id),
        event: "alert".to_owned(),
        key: key.to_owned(),
        due_at: at(due),
        content: format!("{{\"title\":\"“{key}”\"}}"),
    }
}

fn condition(key: &str, tenant: Option<u128>) -> NoticeCondition {
    NoticeCondition {
        key: key.to_owned(),
        kind: "sink_down".to_owned(),
        tenant: tenant.map(tenant_id),
        facts: "{}".to_owned(),
        first_seen_at: at(1),
        last_seen_at: at(2),
        ended_at: None,
        returns: 3,
        told: BTreeMap::from([("ops".to_owned(), NoticeTold { at: at(1), last_at: at(2) })]),
    }
}

async fn what_is_noted_is_there_after_a_kill(engine: &mut dyn Engine) {
    let store = engine.fresh().await;
    let held = lease(&*store, at(0)).await;
    let messages = vec![message("sink_down/splunk", None, 5), message("later", None, 100)];
    let put = vec![condition("sink_down/splunk", None)];
    let noted = NotedConditions { put: put.clone(), forget: Vec::new(), messages };
    store.note_conditions(&held, noted, at(2)).await.expect("noted");
    drop(store);
    let store = engine.reopened().await;
    assert_eq!(store.notice_conditions().await.expect("listed"), put);
    let due = store.due_notices("ops", 10, at(5)).await.expect("listed");
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].content.as_deref(), Some("{\"title\":\"“sink_down/splunk”\"}"));
    assert_eq!((due[0].state, due[0].attempts, due[0].made_at), (NoticeState::Waiting, 0, at(2)));
    assert!(store.due_notices("other", 10, at(500)).await.expect("listed").is_empty());
    let again = store.due_notices("ops", 10, at(5)).await.expect("listed");
    assert_eq!(again, due, "it keeps its id");
}

async fn only_the_holder_of_the_lease_writes(store: &dyn Store) {
    let mine = lease(store, at(0)).await;
    assert!(store.take_lease("notices", OTHER, LEASE, at(1)).await.expect("asked").is_none());
    let (name, fence) = (mine.name, mine.fence);
    store.release_lease(mine).await.expect("released");
    let lost = NamedLease { name, fence };
    let noted = NotedConditions { put: vec![condition("a/b", None)], ..NotedConditions::default() };
    let refused = store.note_conditions(&lost, noted, at(2)).await.expect_err("it is lost");
    assert!(matches!(refused, StoreError::LeaseLost { .. }), "{refused}");
    assert!(store.notice_conditions().await.expect("listed").is_empty());
}

async fn a_message_is_settled_once(store: &dyn Store) {
    let held = lease(store, at(0)).await;
    store.keep_notice_receivers(&held, kept(false, "1"), at(0)).await.expect("kept");
    let messages = vec![message("a", None, 0), message("b", None, 0)];
    let noted = NotedConditions { messages, ..NotedConditions::default() };
    store.note_conditions(&held, noted, at(0)).await.expect("noted");
    let due = store.due_notices("ops", 10, at(1)).await.expect("listed");
    let retry = NoticeFate::Retry { due_at: at(60), reason: "451 later".to_owned() };
    store.settle_notices(&held, "ops", vec![(due[0].number, retry)], at(1)).await.expect("settled");
    let receiver = &store.notice_receivers().await.expect("listed")[0];
    assert_eq!((receiver.failing_since, receiver.waiting), (Some(at(1)), 2));
    assert_eq!(receiver.last_error.as_deref(), Some("451 later"));
    assert_eq!(store.due_notices("ops", 10, at(59)).await.expect("listed").len(), 1);
    let sent = vec![(due[0].number, NoticeFate::Sent), (due[1].number, NoticeFate::Sent)];
    store.settle_notices(&held, "ops", sent, at(61)).await.expect("settled");
    let late = vec![(due[0].number, NoticeFate::Refused { reason: "no".to_owned() })];
    store.settle_notices(&held, "ops", late, at(62)).await.expect("nothing happens");
    let receiver = &store.notice_receivers().await.expect("listed")[0];
    assert_eq!((receiver.sent, receiver.refused, receiver.waiting, receiver.failing_since), (2, 0, 0, None));
    let last = store.last_notices(10).await.expect("listed");
    assert!(last.iter().all(|message| message.state == NoticeState::Sent && message.content.is_none()));
    store.prune_notices(&held, at(61)).await.expect("pruned");
    assert_eq!(store.last_notices(10).await.expect("listed").len(), 2);
    store.prune_notices(&held, at(62)).await.expect("pruned");
    assert!(store.last_notices(10).await.expect("listed").is_empty());
}

async fn no_end_overtakes_its_beginning(store: &dyn Store) {
    let held = lease(store, at(0)).await;
    store.keep_notice_receivers(&held, kept(false, "1"), at(0)).await.expect("kept");
    let began = NewNotice { event: "began".to_owned(), ..message("sink_down/a", None, 0) };
    let noted = NotedConditions { messages: vec![began], ..NotedConditions::default() };
    store.note_conditions(&held, noted, at(0)).await.expect("noted");
    let number = store.due_notices("ops", 9, at(1)).await.expect("listed")[0].number;
    let retry = NoticeFate::Retry { due_at: at(900), reason: "451 later".to_owned() };
    store.settle_notices(&held, "ops", vec![(number, retry)], at(1)).await.expect("settled");
    let ended = NewNotice { event: "ended".to_owned(), ..message("sink_down/a", None, 2) };
    let elsewhere = NewNotice { target: "ops@northwind.example".to_owned(), ..ended.clone() };
    let messages = vec![ended, elsewhere, message("sink_down/b", None, 3)];
    let noted = NotedConditions { messages, ..NotedConditions::default() };
    store.note_conditions(&held, noted, at(2)).await.expect("noted");
    let due = async |second: i64| {
        let due = store.due_notices("ops", 9, at(second)).await.expect("listed");
        due.into_iter().map(|of| (of.number, of.event, of.key)).collect::<Vec<_>>()
    };
    let others = due(5).await;
    assert_eq!(others.len(), 2, "{others:?}");
    assert!(others.iter().any(|(_, event, _)| event == "ended"), "who waits for nothing is told: {others:?}");
    assert!(others.iter().any(|(.., key)| key == "sink_down/b"), "what is about something else is told");
    let all = due(900).await;
    assert!(all.iter().any(|(of, ..)| *of == number) && all.len() == 3, "{all:?}");
    store.settle_notices(&held, "ops", vec![(number, NoticeFate::Sent)], at(900)).await.expect("settled");
    assert_eq!(due(900).await.len(), 3, "then its end");
}

async fn one_that_refuses_everything_works_no_better(store: &dyn Store) {
    let held = lease(store, at(0)).await;
    store.keep_notice_receivers(&held, kept(false, "1"), at(0)).await.expect("kept");
    let messages = vec![message("a", None, 0), message("b", None, 0)];
    let noted = NotedConditions { messages, ..NotedConditions::default() };
    store.note_conditions(&held, noted, at(0)).await.expect("noted");
    let due = store.due_notices("ops", 10, at(0)).await.expect("listed");
    let retry = NoticeFate::Retry { due_at: at(60), reason: "451 later".to_owned() };
    let refused = NoticeFate::Refused { reason: "554 no".to_owned() };
    let fates = vec![(due[0].number, retry), (due[1].number, refused)];
    store.settle_notices(&held, "ops", fates, at(1)).await.expect("settled");
    let receiver = async || store.notice_receivers().await.expect("listed").remove(0);
    let now = receiver().await;
    assert_eq!((now.failing_since, now.last_refused_at), (Some(at(1)), Some(at(1))), "nothing gets through");
    store.keep_notice_receivers(&held, kept(false, "2"), at(2)).await.expect("kept");
    let now = receiver().await;
    assert_eq!(
        (now.refused, now.last_refused_at),
        (1, None),
        "what is said of other settings is not held against these"
    );
}

async fn alerts_begin_where_a_receiver_was_added(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["old"], &[], at(0)).await;
    let held = lease(store, at(1)).await;
    store.keep_notice_receivers(&held, kept(true, "1"), at(1)).await.expect("kept");
    let place = store.notice_receivers().await.expect("listed")[0].alerts_after.expect("a place");
    assert!(store.journal_slice(place, None, at(-9)).await.expect("read").is_none(), "nothing of the past");
    accept(store, &source, &["new"], &[], at(1)).await;
    let slice = store.journal_slice(place, None, at(-9)).await.expect("read").expect("a batch");
    let noted = NotedAlerts {
        receiver: "ops".to_owned(),
        from: place,
        to: slice.batch,
        messages: vec![message("new", Some(1), 2)],
        snoozed: 1,
        old: 2,
        unread: 0,
    };
    assert!(store.note_alerts(&held, noted.clone(), at(2)).await.expect("noted"));
    assert!(!store.note_alerts(&held, noted.clone(), at(2)).await.expect("noted"), "it is further on");
    // The same alert in another batch is told once.
    let again = NotedAlerts { from: slice.batch, to: slice.batch + 1, ..noted };
    assert!(store.note_alerts(&held, again, at(3)).await.expect("noted"));
    let due = store.due_notices("ops", 10, at(9)).await.expect("listed");
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].content.as_deref(), Some("{\"title\":\"“new”\"}"), "what was sealed is read");
    let receiver = &store.notice_receivers().await.expect("listed")[0];
    assert_eq!((receiver.snoozed, receiver.old, receiver.alerts_since), (2, 4, Some(at(1))));
    // It goes on where it was, also with other settings; without alerts in between it begins anew.
    store.keep_notice_receivers(&held, kept(true, "2"), at(4)).await.expect("kept");
    let kept_place = store.notice_receivers().await.expect("listed")[0].alerts_after;
    assert_eq!(kept_place, Some(slice.batch + 1));
    store.keep_notice_receivers(&held, kept(false, "3"), at(5)).await.expect("kept");
    assert_eq!(store.notice_receivers().await.expect("listed")[0].alerts_after, None);
}

async fn what_is_too_much_is_counted(store: &dyn Store) {
    add(store, 1).await;
    let held = lease(store, at(0)).await;
    store.keep_notice_receivers(&held, kept(true, "1"), at(0)).await.expect("kept");
    let flood = (0..WAITING_MAX + 5).map(|number| message(&format!("alert {number}"), Some(1), 0));
    let noted = NotedAlerts {
        receiver: "ops".to_owned(),
        from: 0,
        to: 1,
        messages: flood.collect(),
        snoozed: 0,
        old: 0,
        unread: 0,
    };
    assert!(store.note_alerts(&held, noted, at(0)).await.expect("noted"));
    let receiver = &store.notice_receivers().await.expect("listed")[0];
    assert_eq!((receiver.waiting, receiver.skipped, receiver.untold), (WAITING_MAX, 5, 5));
    // While five are told of, two more come that cannot be read, and one for two targets.
    let other = NewNotice { target: "ops@northwind.example".to_owned(), ..message("one more", Some(1), 0) };
    let noted = NotedAlerts {
        receiver: "ops".to_owned(),
        from: 1,
        to: 2,
        messages: vec![message("one more", Some(1), 0), other],
        snoozed: 0,
        old: 0,
        unread: 2,
    };
    assert!(store.note_alerts(&held, noted, at(0)).await.expect("noted"));
    store.tell_of_untold(&held, "ops", (5, vec![message("untold", None, 0)]), at(1)).await.expect("told");
    store.tell_of_untold(&held, "ops", (5, vec![message("untold", None, 0)]), at(1)).await.expect("fewer");
    let receiver = &store.notice_receivers().await.expect("listed")[0];
    assert_eq!((receiver.waiting, receiver.skipped, receiver.untold), (WAITING_MAX + 1, 8, 3));
}

async fn a_receiver_that_is_gone_gets_nothing(store: &dyn Store) {
    let held = lease(store, at(0)).await;
    store.keep_notice_receivers(&held, kept(false, "1"), at(0)).await.expect("kept");
    let noted = NotedConditions { messages: vec![message("a", None, 0)], ..NotedConditions::default() };
    store.note_conditions(&held, noted, at(0)).await.expect("noted");
    store.keep_notice_receivers(&held, Vec::new(), at(1)).await.expect("kept");
    assert!(store.notice_receivers().await.expect("listed").is_empty());
    assert!(store.due_notices("ops", 10, at(9)).await.expect("listed").is_empty());
    let last = store.last_notices(10).await.expect("listed");
    assert_eq!(last[0].state, NoticeState::Refused);
    assert!(last[0].last_error.as_ref().is_some_and(|why| why.contains("not in the settings any more")));
}

async fn one_that_wants_no_more_is_tried_with_other_settings(store: &dyn Store) {
    let held = lease(store, at(0)).await;
    store.keep_notice_receivers(&held, kept(false, "1"), at(0)).await.expect("kept");
    let noted = NotedConditions { messages: vec![message("a", None, 0)], ..NotedConditions::default() };
    store.note_conditions(&held, noted, at(0)).await.expect("noted");
    let number = store.due_notices("ops", 1, at(0)).await.expect("listed")[0].number;
    let stopped = NoticeFate::Stopped { reason: "410".to_owned() };
    store.settle_notices(&held, "ops", vec![(number, stopped)], at(1)).await.expect("settled");
    let stopped_at = async || store.notice_receivers().await.expect("listed")[0].stopped_at;
    assert_eq!(stopped_at().await, Some(at(1)));
    store.keep_notice_receivers(&held, kept(false, "1"), at(2)).await.expect("kept");
    assert_eq!(stopped_at().await, Some(at(1)), "a restart changes nothing");
    store.keep_notice_receivers(&held, kept(false, "2"), at(3)).await.expect("kept");
    assert_eq!(stopped_at().await, None);
    assert_eq!(store.due_notices("ops", 10, at(3)).await.expect("listed").len(), 1, "it waits still");
}

async fn nothing_of_a_tenant_that_was_removed_is_left(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    let held = lease(store, at(0)).await;
    store.keep_notice_receivers(&held, kept(true, "1"), at(0)).await.expect("kept");
    let facts = "{\"named\":\"Contoso Ltd.\"}".to_owned();
    let untold = NoticeCondition { told: BTreeMap::new(), ..condition("sink_down/1", Some(1)) };
    let one = NoticeCondition { facts, ..condition("consent_lost/1", Some(1)) };
    let put = vec![one, untold, condition("consent_lost/2", Some(2))];
    store
        .note_conditions(&held, NotedConditions { put, ..NotedConditions::default() }, at(0))
        .await
        .expect("noted");
    let messages = vec![message("one", Some(1), 0), message("two", Some(2), 0)];
    let noted =
        NotedAlerts { receiver: "ops".to_owned(), from: 0, to: 1, messages, snoozed: 0, old: 0, unread: 0 };
    assert!(store.note_alerts(&held, noted, at(0)).await.expect("noted"));
    store.snooze_notices(snooze("consent_lost/1", Some(1), 99)).await.expect("snoozed");
    store.offboard_tenant(tenant_id(1), BY, at(1)).await.expect("offboarded");
    // Whoever was told of a condition is told of its end, without a word of the customer.
    let left = store.notice_conditions().await.expect("listed");
    let keys: Vec<&str> = left.iter().map(|known| known.key.as_str()).collect();
    assert_eq!(keys, ["consent_lost/1", "consent_lost/2"], "but not what nobody was told of");
    assert_eq!((left[0].tenant, left[0].told.len(), left[0].ended_at), (None, 1, None));
    assert!(
        left[0].facts.contains("the tenant was offboarded") && !left[0].facts.contains("Contoso"),
        "{left:?}"
    );
    let due = store.due_notices("ops", 10, at(9)).await.expect("listed");
    assert_eq!(due.iter().map(|message| message.key.as_str()).collect::<Vec<_>>(), ["two"]);
    assert!(store.notice_snoozes(at(2)).await.expect("listed").is_empty());
    // What is noted of it by somebody who has not heard of that goes nowhere.
    let late = NotedAlerts {
        receiver: "ops".to_owned(),
        from: 1,
        to: 2,
        messages: vec![message("late", Some(1), 0)],
        snoozed: 0,
        old: 0,
        unread: 0,
    };
    assert!(store.note_alerts(&held, late, at(2)).await.expect("noted"));
    assert_eq!(store.due_notices("ops", 10, at(9)).await.expect("listed").len(), 1);
}

/// A look takes seconds, and a tenant may be offboarded meanwhile.
async fn a_look_from_before_brings_no_tenant_back(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    let held = lease(store, at(0)).await;
    store.keep_notice_receivers(&held, kept(false, "1"), at(0)).await.expect("kept");
    let facts = "{\"named\":\"Contoso Ltd.\"}".to_owned();
    let told = NoticeCondition { facts: facts.clone(), ..condition("consent_lost/1", Some(1)) };
    let noted = NotedConditions { put: vec![told.clone()], ..NotedConditions::default() };
    store.note_conditions(&held, noted, at(0)).await.expect("noted");
    store.offboard_tenant(tenant_id(1), BY, at(1)).await.expect("offboarded");
    let known = store.notice_conditions().await.expect("listed");
    let new = NoticeCondition { facts, ..condition("no_licence/1", Some(1)) };
    let ended = NoticeCondition { ended_at: Some(at(1)), ..told };
    let (other, stranger) = (condition("consent_lost/2", Some(2)), condition("consent_lost/9", Some(9)));
    let messages = vec![
        message("consent_lost/1", Some(1), 0),
        message("no_licence/1", Some(1), 0),
        message("consent_lost/2", Some(2), 0),
        message("consent_lost/9", Some(9), 0),
        message("sink_down/splunk", None, 0),
    ];
    let put = vec![ended, new, other.clone(), stranger];
    let noted = NotedConditions { put, forget: Vec::new(), messages };
    store.note_conditions(&held, noted, at(2)).await.expect("noted");
    let left = store.notice_conditions().await.expect("listed");
    assert_eq!(left, [known[0].clone(), other], "its end is told by the next look, without its name");
    let due = store.due_notices("ops", 10, at(9)).await.expect("listed");
    let keys: Vec<&str> = due.iter().map(|message| message.key.as_str()).collect();
    assert_eq!(keys, ["consent_lost/2", "sink_down/splunk"]);
}

fn snooze(key: &str, tenant: Option<u128>, until: i64) -> NoticeSnooze {
    NoticeSnooze {
        key: key.to_owned(),
        tenant: tenant.map(tenant_id),
        until: at(until),
        reason: "maintenance".to_owned(),
        actor: BY.to_owned(),
        set_at: at(0),
    }
}

async fn snoozes_end(store: &dyn Store) {
    store.snooze_notices(snooze("sink_down/splunk", None, 10)).await.expect("snoozed");
    store.snooze_notices(snooze("sink_down/splunk", None, 20)).await.expect("snoozed for longer");
    let there = store.notice_snoozes(at(19)).await.expect("listed");
    assert_eq!(there, [snooze("sink_down/splunk", None, 20)]);
    assert!(store.notice_snoozes(at(20)).await.expect("listed").is_empty());
    assert!(store.unsnooze_notices("sink_down/splunk", BY, at(5)).await.expect("ended"));
    assert!(!store.unsnooze_notices("sink_down/splunk", BY, at(5)).await.expect("nothing to end"));
    let events = store.audit(0, 100).await.expect("read");
    let actions: Vec<&str> = events.iter().map(|event| event.action.as_str()).collect();
    let actions: Vec<&str> = actions.into_iter().filter(|action| action.starts_with("notice.")).collect();
    assert_eq!(actions, ["notice.snoozed", "notice.snoozed", "notice.unsnoozed"]);
}

async fn habits_are_those_of_the_ledger(store: &dyn Store) {
    add(store, 1).await;
    add(store, 2).await;
    assert!(store.tenant_habits(at(-999_999)).await.expect("read").is_empty());
    let leases = store.lease_due_sources(ME, 10, LEASE, at(0)).await.expect("leased");
    let source = leases.iter().find(|lease| lease.tenant.id == tenant_id(1)).expect("a source");
    accept(store, source, &["a", "b"], &[], at(0)).await;
    let habits = store.tenant_habits(at(-999_999)).await.expect("read");
    assert_eq!(habits.len(), 1);
    assert_eq!((habits[0].tenant, habits[0].hours, habits[0].longest_gap_hours), (tenant_id(1), 1, 0));
    assert!(habits[0].first <= at(60) && habits[0].first == habits[0].last);
    assert!(store.tenant_habits(at(86_400)).await.expect("read").is_empty());
}
