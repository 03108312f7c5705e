//! Replays of batches that are damaged, and of those from before it was kept what sinks had.

use muster_model::{Reason, Source};

use super::*;
use crate::{ReplayRequest, ReplayTo, Replays};

fn request(to: &Destination, tenant: TenantId) -> ReplayRequest<'_> {
    ReplayRequest {
        tenant,
        source: Source::GraphAlerts,
        since: Timestamp::MIN,
        up_to: u64::MAX,
        until: Timestamp::MAX,
        ids: &[],
        unrouted: true,
        again: false,
        to: ReplayTo::One(to),
        id: None,
        dry_run: false,
    }
}

fn to_splunk() -> Destination {
    Destination::of(&["splunk".to_owned()])
}

/// Accepts one record that no route takes.
async fn accept_unrouted(store: &SqlStore, lease: &SourceLease, id: &str) -> PageReceipt {
    let body = format!(r#"{{"id":"{id}","lastUpdateDateTime":"2026-09-21T14:13:30Z"}}"#);
    let head = RecordHead::read(lease.source.kind(), &body).unwrap();
    let page = AcceptedPage {
        records: vec![NewRecord { head, body: &body, destination: 0 }],
        text: None,
        dead_letters: Vec::new(),
        destinations: &[Destination::default()],
        cursor: Cursor::starting(at(5)),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(lease, page, LEASE, at(1)).await.unwrap()
}

#[tokio::test]
async fn a_damaged_batch_is_fetched_again_and_holds_no_replay_up() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    for id in ["a", "b", "c"] {
        accept_unrouted(&store, &lease, id).await;
    }
    run(&store, "UPDATE journal_batch SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE batch_no = 2")
        .await;
    let destinations = to_splunk();
    let missed = request(&destinations, lease.tenant.id);
    let preview =
        store.replay(&ReplayRequest { dry_run: true, ..missed.clone() }, 0, at(2)).await.unwrap().counts;
    assert_eq!((preview.owed(), preview.damaged), (2, 1));
    assert!(store.unrouted().await.unwrap()[0].records == 3, "a preview changes nothing");
    let counts = store.replay(&missed, 0, at(2)).await.unwrap().counts;
    assert_eq!((counts.owed(), counts.damaged), (2, 1));
    assert_eq!(store.unrouted().await.unwrap(), []);
    assert_eq!(number(&store, "SELECT sum(unrouted) FROM ledger").await, 0);
    let again = ReplayRequest { unrouted: false, ..missed };
    let counts = store.replay(&again, 0, at(3)).await.unwrap().counts;
    assert_eq!((counts.owed(), counts.damaged), (0, 0), "it is being fetched already");
    assert_eq!(drain(&store).await, ["a", "c"]);
    let live = store.lease_due_sources(ME, 9, LEASE, at(500)).await.unwrap().remove(0);
    assert!(live.cursor.holes().iter().any(|hole| hole.reason == Reason::Damaged));
    for (id, accepted) in [("a", 0), ("b", 1), ("c", 0)] {
        assert_eq!(accept_unrouted(&store, &live, id).await.accepted, accepted, "{id}");
    }
    store.close().await;
}

/// One that is damaged between the replay and the delivery becomes a dead letter, and is fetched again.
#[tokio::test]
async fn a_batch_that_is_damaged_while_it_waits_holds_nothing_up() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    for id in ["a", "b"] {
        accept_unrouted(&store, &lease, id).await;
    }
    let destinations = to_splunk();
    let missed = request(&destinations, lease.tenant.id);
    assert_eq!(store.replay(&missed, 0, at(2)).await.unwrap().counts.owed(), 2);
    run(&store, "UPDATE journal_batch SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE batch_no = 1")
        .await;
    assert_eq!(drain(&store).await, ["b"]);
    let queue = store.queue_states().await.unwrap().remove(0);
    assert_eq!((queue.owed, queue.delivered, queue.rejected), (0, 1, 1));
    let live = store.lease_due_sources(ME, 9, LEASE, at(500)).await.unwrap().remove(0);
    assert_eq!(accept_unrouted(&store, &live, "a").await.accepted, 1);
    store.close().await;
}

#[tokio::test]
async fn what_is_not_known_to_have_been_had_comes_on_request_only() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    accept(&store, &lease, &["old".to_owned()], 10).await.unwrap();
    assert_eq!(drain(&store).await, ["old"]);
    // As an earlier version left it.
    run(&store, "DELETE FROM acknowledgement; UPDATE meta SET value = 1 WHERE key = 'answers_known_after'")
        .await;
    accept(&store, &lease, &["new".to_owned()], 10).await.unwrap();
    assert_eq!(drain(&store).await, ["new"]);
    let destinations = to_splunk();
    let all = ReplayRequest { unrouted: false, ..request(&destinations, lease.tenant.id) };
    let counts = store.replay(&all, 0, at(2)).await.unwrap().counts;
    assert_eq!((counts.owed(), counts.unknown, counts.sinks["splunk"].had), (0, 1, 1));
    let counts = store.replay(&ReplayRequest { again: true, ..all }, 0, at(2)).await.unwrap().counts;
    assert_eq!((counts.owed(), counts.unknown), (2, 0));
    assert_eq!(drain(&store).await, ["old", "new"]);
    store.close().await;
}

/// A queue's counter of what is owed is mended with what waits.
#[tokio::test]
async fn a_wrong_counter_is_mended_with_what_waits() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    accept_unrouted(&store, &lease, "a").await;
    let destinations = to_splunk();
    store.replay(&request(&destinations, lease.tenant.id), 0, at(2)).await.unwrap();
    run(&store, "UPDATE queue SET owed = 7").await;
    assert_eq!(drain(&store).await, ["a"]);
    assert_eq!(number(&store, "SELECT owed FROM queue").await, 0);
    store.close().await;
}
