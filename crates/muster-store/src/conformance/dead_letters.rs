//! The rules about dead letters.

use muster_model::{RecordHead, Source};
use serde_json::json;

use super::kit::{
    Engine, LEASE, accept, add, at, body, cursor, ids, lease_queue, lease_source, names, nothing_due, sets,
};
use crate::{
    AcceptedPage, DeadLetterNumber, DeadLetterOrigin, FinishedDelivery, NewDeadLetter, NewRecord,
    PageReceipt, Store,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    what_cannot_be_read_is_kept_once_and_replayed(&*engine.fresh().await).await;
    what_a_sink_refuses_is_kept_and_replayed(&*engine.fresh().await).await;
    what_is_removed_is_gone_and_in_the_audit_log(&*engine.fresh().await).await;
}

async fn what_is_removed_is_gone_and_in_the_audit_log(store: &dyn Store) {
    let tenant = add(store, 1).await;
    let lease = lease_source(store, at(0)).await;
    let bodies = ["a", "b", "c", "d"].map(|text| format!("<{text}>"));
    let dead_letters = bodies.iter().map(|body| NewDeadLetter {
        record_id: None,
        reason: format!("no JSON: {body}"),
        body: body.as_bytes(),
    });
    let page = AcceptedPage {
        records: Vec::new(),
        text: None,
        dead_letters: dead_letters.collect(),
        destinations: &[],
        cursor: cursor(1),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(&lease, page, LEASE, at(1)).await.expect("accepted");
    let numbers = async |after: DeadLetterNumber, limit| {
        let letters = store.dead_letters_after(after, Some(tenant.id), limit).await.expect("listed");
        letters.into_iter().map(|letter| letter.number).collect::<Vec<_>>()
    };
    let first = numbers(DeadLetterNumber(0), 3).await;
    assert_eq!(first.len(), 3, "the oldest first, in pages");
    let rest = numbers(first[2], 3).await;
    assert_eq!(rest.len(), 1);
    let other = store.dead_letters_after(DeadLetterNumber(0), Some(super::kit::tenant_id(2)), 9).await;
    assert!(other.expect("listed").is_empty());
    let none = [DeadLetterNumber(4_711)];
    assert_eq!(store.remove_dead_letters(&none, "ann", json!({}), at(2)).await.expect("removed"), 0);
    let events = async || {
        store
            .audit(0, 99)
            .await
            .expect("read")
            .into_iter()
            .filter(|event| event.action == "dead_letters.removed")
            .collect::<Vec<_>>()
    };
    assert!(events().await.is_empty(), "nothing was done");
    let chosen = [first[0], first[2], none[0]];
    let why = json!({ "reason": "no JSON*" });
    assert_eq!(store.remove_dead_letters(&chosen, "ann", why, at(3)).await.expect("removed"), 2);
    assert_eq!(numbers(DeadLetterNumber(0), 9).await, [first[1], rest[0]]);
    assert!(store.dead_letter_body(first[0]).await.is_err());
    let event = events().await.remove(0);
    assert_eq!((event.actor.as_str(), &event.details["removed"]), ("ann", &json!(2)));
    assert_eq!(event.details["chosen"]["reason"], "no JSON*");
}

async fn what_cannot_be_read_is_kept_once_and_replayed(store: &dyn Store) {
    let (tenant, sinks) = (add(store, 1).await, names(&["splunk"]));
    let sets = sets(&sinks);
    let lease = lease_source(store, at(0)).await;
    let html = b"<html>\xff\x00 busy</html>".as_slice();
    let mended = r#"{"id":"late","lastUpdateDateTime":"2026-01-01T00:00:00Z"}"#;
    let page = |seconds| AcceptedPage {
        records: Vec::new(),
        text: None,
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
        request_id: None,
        proved_up_to: None,
    };
    for turn in 1..=3 {
        let receipt = store.accept_page(&lease, page(turn), LEASE, at(turn)).await.expect("accepted");
        let kept = if turn == 1 { 2 } else { 0 };
        assert_eq!(
            receipt,
            PageReceipt { accepted: 0, known: 0, kept, late: None },
            "told once that they are new"
        );
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
    let page = AcceptedPage {
        records,
        text: None,
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(9),
        request_id: None,
        proved_up_to: None,
    };
    let receipt = store.accept_page(&lease, page, LEASE, at(7)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 1, kept: 0, late: None });
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
