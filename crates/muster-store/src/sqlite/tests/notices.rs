//! Notices beside rows and keys that are damaged.

use super::*;
use crate::{NewNotice, NotedAlerts};

#[tokio::test]
async fn one_row_or_key_that_is_damaged_stops_nobody_elses_notices() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let (one, other) = (leased(&store, 1).await, leased(&store, 2).await);
    accept(&store, &one, &["a".to_owned()], 10).await.unwrap();
    accept(&store, &other, &["b".to_owned()], 10).await.unwrap();
    let lease =
        store.take_lease("notices", InstanceId(Uuid::from_u128(9)), LEASE, at(0)).await.unwrap().unwrap();
    let receiver = KeptReceiver { name: "ops".to_owned(), fingerprint: "1".to_owned(), alerts: true };
    store.keep_notice_receivers(&lease, vec![receiver], at(0)).await.unwrap();
    let message = |key: &str, tenant: TenantId| NewNotice {
        receiver: "ops".to_owned(),
        target: String::new(),
        tenant: Some(tenant),
        event: "alert".to_owned(),
        key: key.to_owned(),
        due_at: at(0),
        content: key.to_owned(),
    };
    let noted = |from: u64, messages: Vec<NewNotice>| NotedAlerts {
        receiver: "ops".to_owned(),
        from,
        to: from + 1,
        messages,
        snoozed: 0,
        old: 0,
        unread: 0,
    };
    let from = store.notice_receivers().await.unwrap()[0].alerts_after.unwrap();
    let messages =
        vec![message("a", one.tenant.id), message("a2", one.tenant.id), message("b", other.tenant.id)];
    assert!(store.note_alerts(&lease, noted(from, messages), at(0)).await.unwrap());
    run(&store, "UPDATE notice_message SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE key = 'a'")
        .await;
    let contents = async || {
        let due = store.due_notices("ops", 9, at(1)).await.unwrap();
        due.into_iter().map(|message| message.content.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(contents().await, ["", "a2", "b"]);
    run(&store, "UPDATE tenant SET data_key = substr(data_key, 1, length(data_key) - 1) WHERE slug = 'c1'")
        .await;
    assert_eq!(contents().await, ["", "", "b"]);
    // Its batch is one that cannot be read, the next one can, and what is to be said of it counts as untold.
    let damaged = store.journal_slice(0, None, Timestamp::MIN).await.unwrap().unwrap();
    assert!(damaged.records.as_ref().is_err_and(|why| why.contains("the data key of tenant")));
    let next = store.journal_slice(damaged.batch, None, Timestamp::MIN).await.unwrap().unwrap();
    assert!(next.records.is_ok() && next.tenant == other.tenant.id);
    let messages = vec![message("a3", one.tenant.id), message("b2", other.tenant.id)];
    assert!(store.note_alerts(&lease, noted(from + 1, messages), at(1)).await.unwrap());
    assert_eq!(store.notice_receivers().await.unwrap()[0].untold, 1);
    assert_eq!(contents().await, ["", "", "b", "b2"]);
}
