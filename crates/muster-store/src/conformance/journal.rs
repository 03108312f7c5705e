//! The rules about the journal.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_model::{RecordHead, Selection, Source};

use super::kit::{
    BY, Engine, LEASE, ME, OTHER, accept, add, all_taken, at, body, cursor, ids, keep, lease_queue,
    lease_source, names, new_tenant, page_of, record, sets, tenant_id,
};
use crate::{
    AcceptedPage, DeadLetterNumber, DeliveryLimits, FinishedDelivery, NewTenant, PageReceipt, Store,
    TenantChange,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    versions_are_accepted_once(&*engine.fresh().await).await;
    odd_records_are_kept_apart(&*engine.fresh().await).await;
    large_pages_keep_their_order(&*engine.fresh().await).await;
    the_journal_is_pruned_of_what_nobody_is_owed(&*engine.fresh().await).await;
    what_the_journal_holds_whole_is_known(&*engine.fresh().await).await;
    a_killed_process_loses_nothing(engine).await;
}

async fn versions_are_accepted_once(store: &dyn Store) {
    add(store, 1).await;
    let sinks = names(&["splunk"]);
    let sets = sets(&sinks);
    let lease = lease_source(store, at(0)).await;
    let (one, two, other) = (body("a", 1), body("a", 2), body("b", 1));
    let page = |records, seconds| AcceptedPage {
        records,
        text: None,
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(seconds),
        request_id: None,
        proved_up_to: None,
    };
    // Twice on one page.
    let records = vec![record("a", 10, &one, 1), record("a", 10, &one, 1), record("b", 10, &other, 1)];
    let receipt = store.accept_page(&lease, page(records, 10), LEASE, at(1)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 2, known: 1, kept: 0, late: None });
    // Known, another time, another content at the same time, another id with the same time.
    let records = vec![
        record("a", 10, &one, 1),
        record("a", 11, &one, 1),
        record("a", 10, &two, 1),
        record("c", 10, &one, 1),
        record("b", 10, &other, 1),
    ];
    let receipt = store.accept_page(&lease, page(records.clone(), 11), LEASE, at(2)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 3, known: 2, kept: 0, late: None });
    let receipt = store.accept_page(&lease, page(records, 12), LEASE, at(3)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 5, kept: 0, late: None });
    let state = store.source_states().await.expect("read").remove(0);
    assert_eq!((state.accepted, state.seen_up_to), (5, at(12)), "the cursor moves though nothing was new");
    assert_eq!(state.last_new_at, Some(at(2)), "when the last of them came");
    let delivered = lease_queue(store, "splunk", at(4)).await;
    assert_eq!(ids(&delivered.deliveries), ["a", "b", "a", "a", "c"]);
    let first = delivered.deliveries[0].batch.record(0).expect("there");
    assert_eq!(
        (first.body, &RecordHead { change: None, ..first.head.clone() }),
        (one.as_str(), &record("a", 10, &one, 1).head),
        "as it was accepted"
    );
    // Read back from the first on, and from a time on.
    let slice = async |after, since| store.journal_slice(after, None, since).await.expect("read");
    let first = slice(0, at(0)).await.expect("a batch");
    assert_eq!((first.tenant, first.accepted_at), (tenant_id(1), at(1)));
    let second = slice(first.batch, at(0)).await.expect("another");
    assert_eq!(second.records.expect("readable").len(), 3);
    assert!(slice(second.batch, at(0)).await.is_none());
    assert_eq!(slice(0, at(2)).await.map(|slice| slice.batch), Some(second.batch));
    let others = store.journal_slice(0, Some(tenant_id(2)), at(0)).await.expect("read");
    assert!(others.is_none(), "another tenant's");
    // Its end, without what is in it.
    let tail = store.journal_tail(0, 0, 10).await.expect("read");
    let records: Vec<u64> = tail.batches.iter().map(|note| note.records).collect();
    assert_eq!((tail.newest, records, tail.more), (second.batch, vec![3, 2], 0));
    let cut = store.journal_tail(0, 0, 1).await.expect("read");
    assert_eq!((cut.batches.len(), cut.more), (1, 2), "what is not listed is counted");
    let none = store.journal_tail(second.batch, 0, 10).await.expect("read");
    assert_eq!((none.newest, none.batches.len(), none.more), (second.batch, 0, 0));
    let again = store.journal_tail(second.batch, 100, 10).await.expect("read");
    assert_eq!((again.batches, again.more), (tail.batches, 0), "listed once more, not counted");
    let none = store.journal_tail(u64::MAX, u64::MAX, 0).await.expect("read");
    assert_eq!((none.batches.len(), none.more), (0, 0));
    let sinks = store.batch_sinks(first.batch).await.expect("read");
    assert_eq!(sinks, [("splunk".to_owned(), Selection::All)]);
    assert!(store.batch_sinks(u64::MAX).await.expect("read").is_empty());
    let totals = store.journal_totals().await.expect("added up");
    assert_eq!((totals.records, totals.batches), (5, 2));
    assert!(totals.stored_bytes > 0);
    // The same version of another source is another record.
    let both = TenantChange::Sources(BTreeSet::from(Source::DEFAULT));
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
    let page = AcceptedPage {
        records,
        text: None,
        dead_letters: Vec::new(),
        destinations: &sets,
        cursor: cursor(1),
        request_id: None,
        proved_up_to: None,
    };
    let receipt = store.accept_page(&lease, page.clone(), LEASE, at(1)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: count, known: 0, kept: 0, late: None });
    let receipt = store.accept_page(&lease, page, LEASE, at(1)).await.expect("accepted");
    assert_eq!(receipt, PageReceipt { accepted: 0, known: count, kept: 0, late: None });
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
    let page = page_of(records, &sets);
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

async fn the_journal_is_pruned_of_what_nobody_is_owed(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    accept(store, &source, &["a"], &names(&["splunk"]), at(1)).await;
    accept(store, &source, &["b"], &[], at(2)).await;
    accept(store, &source, &["c"], &[], at(3)).await;
    assert_eq!(store.prune_journal(keep(2)).await.expect("pruned").batches, 0, "the first is still owed");
    assert_eq!(store.prune_journal(keep(3)).await.expect("pruned").batches, 1);
    let queue = lease_queue(store, "splunk", at(4)).await;
    assert_eq!(ids(&queue.deliveries), ["a"]);
    store.finish_deliveries(&queue, all_taken(&queue), None, at(4)).await.expect("finished");
    assert_eq!(store.prune_journal(keep(1000)).await.expect("pruned").batches, 2);
    let totals = store.journal_totals().await.expect("added up");
    assert_eq!((totals.batches, totals.records, totals.stored_bytes), (0, 0, 0));
    let receipt = accept(store, &source, &["a", "b", "c"], &[], at(5)).await;
    assert_eq!(
        receipt,
        PageReceipt { accepted: 0, known: 3, kept: 0, late: None },
        "versions are remembered longer"
    );
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

    // Where it is not known that the owner has died, its leases run out.
    let back = at(engine.back_after(3));
    let store = engine.reopened().await;
    store.take_over(OTHER, back).await.expect("taken over");
    let source = lease_source(&*store, back).await;
    assert_eq!(source.cursor, cursor(10));
    let receipt = accept(&*store, &source, &["a", "b", "c"], &sinks, back).await;
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 3, kept: 0, late: None });
    let queue = lease_queue(&*store, "splunk", back).await;
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

async fn what_the_journal_holds_whole_is_known(store: &dyn Store) {
    let sources = BTreeSet::from([Source::GraphIncidents]);
    let tenant = NewTenant { sources, ..new_tenant(1) };
    let tenant = store.add_tenant(tenant, BY, at(0)).await.expect("added").id;
    let lease = lease_source(store, at(0)).await;
    let bodies = [
        r#"{"id":"whole","n":1,"alerts":[{"id":"x"}]}"#,
        r#"{"id":"none","n":1,"alerts":[]}"#,
        r#"{"id":"bare","n":1}"#,
    ];
    let ids = ["whole", "none", "bare"];
    let records = ids.iter().zip(bodies).map(|(id, body)| record(id, 10, body, 0)).collect();
    let sets = sets(&[]);
    let page = page_of(records, &sets);
    store.accept_page(&lease, page, LEASE, at(1)).await.expect("accepted");
    let asked = [
        ("whole", 10, r#"{ "n": 1, "id": "whole" }"#, true),
        ("none", 10, r#"{"id":"none","n":1}"#, true),
        ("bare", 10, r#"{"id":"bare","n":1}"#, false),
        ("whole", 10, r#"{"id":"whole","n":2}"#, false),
        ("whole", 11, r#"{"id":"whole","n":1}"#, false),
        ("new", 10, r#"{"id":"new","n":1}"#, false),
    ];
    let records: Vec<_> =
        asked.iter().map(|(id, time, body, _)| (record(id, *time, body, 0).head, *body)).collect();
    let known = async |number, records: &[_]| {
        store
            .known_whole((tenant_id(number), Source::GraphIncidents), "alerts", records)
            .await
            .expect("asked")
    };
    assert_eq!(tenant, tenant_id(1));
    assert_eq!(known(1, &records).await, asked.map(|(.., known)| known));
    assert_eq!(known(2, &records).await, [false; 6], "another tenant's");
    assert_eq!(known(1, &[]).await, [false; 0]);

    // An empty list of evidence stands where it was not asked for, too.
    let sources = BTreeSet::from([Source::EndpointAlerts]);
    store.change_tenant(tenant, TenantChange::Sources(sources), BY, at(2)).await.expect("changed");
    let lease = lease_source(store, at(2)).await;
    let bodies = [r#"{"id":"whole","evidence":[{"sha1":"x"}]}"#, r#"{"id":"bare","evidence":[ ]}"#];
    let records = ["whole", "bare"].iter().zip(bodies).map(|(id, body)| record(id, 10, body, 0)).collect();
    store.accept_page(&lease, page_of(records, &sets), LEASE, at(3)).await.expect("accepted");
    let asked = [("whole", r#"{"id":"whole","evidence":[]}"#), ("bare", r#"{"id":"bare","evidence":[]}"#)];
    let records: Vec<_> = asked.iter().map(|(id, body)| (record(id, 10, body, 0).head, *body)).collect();
    let known = store.known_whole((tenant, Source::EndpointAlerts), "evidence", &records).await;
    assert_eq!(known.expect("asked"), [true, false]);
}
