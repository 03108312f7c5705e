//! What clients of the pull API get of batches that are damaged.

use std::collections::BTreeSet;

use muster_model::{ChangeKind, Source};

use super::*;
use crate::sql::query;
use crate::{ProcessedSpan, PullClients};

/// Accepts versions of alerts as Microsoft gives them: ids with the minute of their update.
async fn accept_alerts(store: &SqlStore, lease: &SourceLease, alerts: &[(&str, u32)], now: i64) {
    let body = |(id, minute): &(&str, u32)| {
        format!(
            r#"{{"id":"{id}","createdDateTime":"2026-09-21T14:00:00Z","lastUpdateDateTime":"2026-09-21T14:{minute:02}:00Z","status":"{minute}"}}"#
        )
    };
    let bodies: Vec<String> = alerts.iter().map(body).collect();
    let record = |body: &'_ String| {
        let head = RecordHead::read(lease.source.kind(), body).unwrap();
        (head, body.clone())
    };
    let read: Vec<_> = bodies.iter().map(record).collect();
    let records = read.iter().map(|(head, body)| NewRecord { head: head.clone(), body, destination: 0 });
    let page = AcceptedPage {
        records: records.collect(),
        text: None,
        dead_letters: Vec::new(),
        destinations: &[Destination::default()],
        cursor: Cursor::starting(at(5)),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(lease, page, LEASE, at(now)).await.unwrap();
}

/// What a client without updates gets: ids with times of processing.
async fn got(store: &SqlStore, tenant: TenantId) -> Vec<(String, Timestamp)> {
    let span = ProcessedSpan { after: Timestamp::MIN, up_to: None, latest_first: false };
    let sources = BTreeSet::from([Source::GraphAlerts]);
    let batches = store.processed(tenant, &sources, span, u64::MAX, at(100)).await.unwrap();
    let mut found = Vec::new();
    for batch in &batches {
        for (index, record) in batch.batch.records().enumerate() {
            let is_first =
                record.head.change.as_ref().is_none_or(|change| change.kind == ChangeKind::Created);
            if is_first || batch.fetched_again.contains(&index) {
                found.push((record.head.id.clone(), batch.at(index)));
            }
        }
    }
    found
}

async fn damage(store: &SqlStore, batch_no: i64) {
    let done = store.write("test", Durability::Relaxed, move |connection| {
        Box::pin(async move {
            let sql =
                "UPDATE journal_batch SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE batch_no = ?";
            Ok(query(sql).bind(batch_no).execute(&mut *connection).await.map(drop)?)
        })
    });
    done.await.unwrap();
}

#[tokio::test]
async fn what_a_damaged_batch_held_comes_again_to_clients_without_updates() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    let tenant = lease.tenant.id;
    accept_alerts(&store, &lease, &[("a", 1)], 1).await;
    accept_alerts(&store, &lease, &[("b", 2), ("c", 2)], 2).await;
    accept_alerts(&store, &lease, &[("d", 3)], 3).await;
    // An update of the first, in a batch of its own.
    accept_alerts(&store, &lease, &[("a", 4)], 4).await;
    let ids = |got: &[(String, Timestamp)]| got.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let before = got(&store, tenant).await;
    assert_eq!(ids(&before), ["a", "b", "c", "d"]);
    damage(&store, 2).await;
    damage(&store, 4).await;
    assert_eq!(ids(&got(&store, tenant).await), ["a", "d"], "the others are not waited for");
    assert_eq!(got(&store, tenant).await.len(), 2);
    // They come again: one as it was, one that has changed since; and the update, which is one still.
    accept_alerts(&store, &lease, &[("b", 2), ("c", 6), ("a", 4)], 9).await;
    let after = got(&store, tenant).await;
    assert_eq!(ids(&after), ["a", "d", "b", "c"]);
    let last = before.last().expect("four").1;
    assert!(after[2].1 > last && after[3].1 > last, "whoever has stepped on gets them, too");
    // Later versions of them are updates.
    accept_alerts(&store, &lease, &[("b", 8), ("c", 8)], 10).await;
    assert_eq!(got(&store, tenant).await, after);
    // Damaged once more before it was asked for: a delivery, or a replay, met it first.
    let lost = store.versions_of(1, 5).await.unwrap();
    damage(&store, 5).await;
    let write = store.writes.run(Durability::Synced, move |connection| {
        Box::pin(async move {
            for source in lost {
                let nobody = muster_model::Selection::Some(Vec::new());
                crate::tables::damage::fetch_again(connection, 5, "", &nobody, source, at(11)).await?;
            }
            Ok(())
        })
    });
    write.await.unwrap_or_else(|_| panic!("set aside"));
    // Of these a later version is known, which is the first that there is now.
    assert_eq!(ids(&got(&store, tenant).await), ["a", "d", "b", "c"]);
    store.close().await;
}

/// A later version is known for longer than its batch is kept: what is gone stands in for nothing.
#[tokio::test]
async fn a_version_whose_batch_has_left_the_journal_is_not_the_first_in_place_of_a_damaged_one() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    accept_alerts(&store, &lease, &[("a", 1)], 1).await;
    accept_alerts(&store, &lease, &[("a", 2)], 2).await;
    run(&store, "DELETE FROM journal_batch WHERE batch_no = 2").await;
    damage(&store, 1).await;
    assert!(got(&store, lease.tenant.id).await.is_empty());
    accept_alerts(&store, &lease, &[("a", 1)], 9).await;
    let again = got(&store, lease.tenant.id).await;
    assert_eq!(again.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a"]);
    store.close().await;
}

/// Where all that is asked for is damaged, the answer is what lies behind it.
#[tokio::test]
async fn a_step_full_of_damaged_batches_is_not_the_end() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    for number in 0..70 {
        accept_alerts(&store, &lease, &[(&format!("r{number}"), 1)], number).await;
    }
    for batch_no in 1..=66 {
        damage(&store, batch_no).await;
    }
    assert_eq!(got(&store, lease.tenant.id).await.len(), 4);
    store.close().await;
}
