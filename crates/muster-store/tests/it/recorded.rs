//! A store that the version before wrote (`tests/recorded`) is opened, and everything goes on.
//!
//! It was left by a process that was killed: two tenants are read from both sources, one cursor at rest, one in a round by
//! the watermark, one in a round by the offset, one failing; a third tenant is offboarded. Deliveries are owed, whole and
//! in part, and some are leased still. The master key was rotated in the end.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{
    Clocks, ContentHash, Cursor, Purpose, RecordHead, Secret, Severity, Source, TenantId, TenantState,
};
use muster_store::{
    AcceptedPage, CheckOutcome, CredentialSlot, DeadLetterOrigin, DeliveryLimits, Destination,
    FinishedDelivery, GrantLease, InstanceId, KeyRing, MasterKey, NewAuditEvent, NewRecord, OpenMode,
    PageReceipt, SourceLease, SqlStore, Store, TenantKey, rotate_key_file,
};
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);
/// Not the one that wrote it.
const ME: InstanceId = InstanceId(Uuid::from_u128(9));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).expect("in range")
}

fn tenant(number: u128) -> TenantId {
    Uuid::from_u128(0x5f0d_2c3e_0000_4000_8000_0000_0000_0000 + number).into()
}

/// A copy of the recorded store in `folder`.
pub(crate) fn copy_to(folder: &Path) {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    for name in ["store.db", "store.db.lock", "master.key"] {
        let copy = folder.join(name);
        std::fs::copy(recorded.join(name), &copy).expect("copied");
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o600)).expect("changed");
    }
}

async fn open(folder: &Path) -> Box<dyn Store> {
    let keys = KeyRing::read_file(&folder.join("master.key")).expect("read");
    let opened = SqlStore::open(&folder.join("store.db"), OpenMode::Exclusive, &keys).await;
    Box::new(opened.expect("opened"))
}

fn body(id: &str, source: Source) -> String {
    format!(
        r#"{{"id":"{id}","lastUpdateDateTime":"2026-09-21T14:13:30.1234567Z","severity":"high","source":"{source}","title":"“Suspicious” activity of {id}"}}"#
    )
}

async fn accept(store: &dyn Store, lease: &SourceLease, ids: &[&str], cursor: Cursor) -> PageReceipt {
    let bodies = ids.iter().map(|id| body(id, lease.source)).collect::<Vec<_>>();
    let records = ids.iter().zip(&bodies).map(|(id, body)| NewRecord {
        head: RecordHead {
            id: (*id).to_owned(),
            updated_at: Some(at(5)),
            created_at: Some(at(1)),
            severity: Severity::High,
            hash: ContentHash::of(body.as_bytes()),
            change: None,
        },
        body,
        destination: 0,
    });
    let destinations = &[Destination::of(&["archive".to_owned(), "splunk".to_owned()])];
    let page = AcceptedPage {
        records: records.collect(),
        text: None,
        dead_letters: Vec::new(),
        destinations,
        cursor,
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(lease, page, LEASE, at(101)).await.expect("accepted")
}

/// Delivers all that is due; the ids by tenant, in order.
async fn drain(store: &dyn Store, sink: &str) -> Vec<String> {
    let limits = DeliveryLimits { batches: 100, body_bytes: 1 << 30 };
    let mut ids = Vec::new();
    while let Some(lease) =
        store.lease_due_deliveries(ME, sink, limits, LEASE, at(110)).await.expect("leased")
    {
        let mut finished = Vec::new();
        for delivery in &lease.deliveries {
            for (_, record) in delivery.records() {
                assert_eq!(record.body, body(&record.head.id, delivery.source));
                ids.push(record.head.id.clone());
            }
            let delivered = delivery.records().count() as u32;
            let number = delivery.number;
            finished.push(FinishedDelivery { number, remaining: None, delivered, rejected: Vec::new() });
        }
        store.finish_deliveries(&lease, finished, None, at(111)).await.expect("finished");
    }
    ids.sort();
    ids
}

#[tokio::test]
async fn what_was_read_and_owed_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_to(folder.path());
    let store = open(folder.path()).await;
    let tenants = store.tenants().await.expect("listed");
    let states = tenants.iter().map(|tenant| (tenant.slug.as_str(), tenant.state)).collect::<Vec<_>>();
    let active = TenantState::Active;
    assert_eq!(states, [("contoso", active), ("fabrikam", active), ("northwind", TenantState::Offboarded)]);
    assert_eq!(tenants[0].sources, Source::DEFAULT.into());
    let failing = store.source_states().await.expect("read").pop().expect("there");
    assert_eq!((failing.tenant, failing.source), (tenant(2), Source::GraphIncidents));
    assert_eq!(failing.last_error.as_deref(), Some("Microsoft answered 403"));
    assert_eq!((failing.failures, failing.last_error_at), (1, Some(at(16))));

    store.take_over(ME, at(100)).await.expect("taken over");
    let leases = store.lease_due_sources(ME, 9, LEASE, at(100)).await.expect("leased");
    let of = |number, source| {
        let mut found =
            leases.iter().filter(|lease| lease.tenant.id == tenant(number) && lease.source == source);
        found.next().expect("leased")
    };
    assert_eq!(leases.len(), 4);
    assert!(leases.iter().all(|lease| lease.purpose == Purpose::Live));
    let by_watermark = of(1, Source::GraphAlerts);
    // A round of the version before is begun anew, where it began.
    let next_from = |lease: &SourceLease| {
        assert!(!lease.cursor.in_round());
        lease.cursor.query(Clocks { local: at(100), server: None }).from
    };
    assert!(next_from(by_watermark) <= at(4));
    let at_rest = of(1, Source::GraphIncidents);
    assert_eq!((at_rest.cursor.seen_up_to(), next_from(at_rest)), (at(5), at(5 - 120)));
    let by_offset = of(2, Source::GraphAlerts);
    assert_eq!(next_from(by_offset), at(-86_400));
    assert_eq!(of(2, Source::GraphIncidents).failures, 1);

    // Versions are known still, and new ones are taken in behind them.
    let receipt = accept(&*store, by_watermark, &["a1", "a2", "a3"], Cursor::starting(at(5))).await;
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 3, kept: 0, late: None });
    let receipt = accept(&*store, by_watermark, &["a3", "a4"], Cursor::starting(at(6))).await;
    assert_eq!(receipt, PageReceipt { accepted: 1, known: 1, kept: 0, late: None });
    let put =
        store.begin_cursor(tenant(1), Source::GraphAlerts, Purpose::Sweep, Cursor::starting(at(0)), at(100));
    assert!(put.await.expect("put"));
    let sweep = store.lease_due_sources(ME, 9, LEASE, at(101)).await.expect("leased").remove(0);
    let receipt = accept(&*store, &sweep, &["a1", "a4"], Cursor::starting(at(6))).await;
    assert_eq!(receipt, PageReceipt { accepted: 0, known: 2, kept: 0, late: None });

    let letters = store.dead_letters(None, 9).await.expect("listed");
    let origins = letters.iter().map(|letter| letter.origin.clone()).collect::<Vec<_>>();
    let refused = DeadLetterOrigin::Sink { sink: "splunk".to_owned(), source: Source::GraphAlerts };
    assert_eq!(origins, [refused, DeadLetterOrigin::Source(Source::GraphAlerts)]);
    assert_eq!(store.dead_letter_body(letters[1].number).await.expect("read"), br#"{"title":"no id"}"#);
    assert!(store.replay_dead_letter(letters[0].number, &[], at(102)).await.expect("replayed"));
    assert_eq!(drain(&*store, "splunk").await, ["a2", "a3", "a4", "i1", "i2"]);
    assert_eq!(drain(&*store, "archive").await, ["a1", "a2", "a3", "a4", "f1", "f2", "f3", "f4", "i1", "i2"]);
    let totals = store.sink_totals().await.expect("added up");
    let totals = totals.iter().map(|sink| (sink.sink.as_str(), sink.delivered, sink.owed, sink.rejected));
    assert_eq!(totals.collect::<Vec<_>>(), [("archive", 10, 0, 0), ("splunk", 10, 0, 1)]);
    store.close().await;
}

/// What a version changes is told from what the version before kept in its journal, though it kept nothing for that.
#[tokio::test]
async fn a_known_record_is_not_created_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_to(folder.path());
    let store = open(folder.path()).await;
    store.take_over(ME, at(100)).await.expect("taken over");
    drain(&*store, "splunk").await;
    let leases = store.lease_due_sources(ME, 9, LEASE, at(100)).await.expect("leased");
    let lease =
        leases.iter().find(|lease| lease.tenant.id == tenant(1) && lease.source == Source::GraphAlerts);
    let lease = lease.expect("leased");
    let mut told = Vec::new();
    for (id, second, status) in
        [("a1", 60, "new"), ("a1", 61, "resolved"), ("a1", 6, "new"), ("a9", 60, "new"), ("a2", 1, "new")]
    {
        let body = format!(r#"{{"id":"{id}","lastUpdateDateTime":"{}","status":"{status}"}}"#, at(second));
        let head = RecordHead::read(lease.source.kind(), &body).expect("a record");
        let records = vec![NewRecord { head, body: &body, destination: 0 }];
        let destinations = &[Destination::of(&["splunk".to_owned()])];
        let cursor = Cursor::starting(at(5));
        let page = AcceptedPage {
            records,
            text: None,
            dead_letters: Vec::new(),
            destinations,
            cursor,
            request_id: None,
            proved_up_to: None,
        };
        store.accept_page(lease, page, LEASE, at(101)).await.expect("accepted");
        let limits = DeliveryLimits { batches: 100, body_bytes: 1 << 30 };
        let queue = store.lease_due_deliveries(ME, "splunk", limits, LEASE, at(110)).await.expect("leased");
        let queue = queue.expect("owed");
        let delivery = &queue.deliveries[0];
        told.push(delivery.batch.record(0).expect("there").head.change.clone().expect("told").to_string());
        let number = delivery.number;
        let finished = vec![FinishedDelivery { number, remaining: None, delivered: 1, rejected: Vec::new() }];
        store.finish_deliveries(&queue, finished, None, at(111)).await.expect("finished");
    }
    assert_eq!(told, ["changed (status and 3 more)", "resolved (status)", "earlier", "created", "earlier"]);
    store.close().await;
}

#[tokio::test]
async fn identity_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_to(folder.path());
    let store = open(folder.path()).await;
    store.take_over(ME, at(50)).await.expect("taken over");
    let credentials = store.app_credentials("main").await.expect("read");
    let values = credentials.iter().map(|stored| (stored.slot, stored.value.expose().as_slice()));
    let expected: [(_, &[u8]); 2] =
        [(CredentialSlot::Current, b"a recorded secret"), (CredentialSlot::Next, b"a recorded certificate")];
    assert_eq!(values.collect::<Vec<_>>(), expected);
    let lease = async |number, now| {
        store.lease_grant(ME, tenant(number), "desk", LEASE, at(now)).await.expect("asked")
    };
    let token = |lease| match lease {
        GrantLease::Leased { refresh_token, .. } => refresh_token.expose().clone(),
        other => panic!("not leased: {other:?}"),
    };
    assert_eq!(token(lease(1, 50).await), "refresh one");
    assert!(matches!(lease(2, 50).await, GrantLease::Busy { .. }), "whoever renews it may live still");
    assert_eq!(token(lease(2, 92).await), "refresh two");
    let checks = store.checks(Some(tenant(1))).await.expect("read");
    let checks = checks.iter().map(|(_, check)| (check.name.as_str(), check.outcome)).collect::<Vec<_>>();
    assert_eq!(checks, [("source graph_alerts", CheckOutcome::Failing), ("token", CheckOutcome::Good)]);
    assert_eq!(store.app_checks().await.expect("read")[0].1.name, "secret expiry");
    let invitation = store.invitation(Uuid::from_u128(77)).await.expect("read").expect("there");
    assert_eq!((invitation.opened_at, invitation.is_open(at(50))), (Some(at(35)), true));
    let sign_in = store.take_sign_in(Uuid::from_u128(78), at(50)).await.expect("taken").expect("there");
    assert_eq!(sign_in.verifier.expose(), Secret::from("a verifier").expose());

    let verdict = store.verify_audit().await.expect("checked");
    assert_eq!((verdict.events, verdict.first_bad), (6, None));
    let event = NewAuditEvent {
        actor: "the test".to_owned(),
        action: "tested".to_owned(),
        subject: "store".to_owned(),
        details: serde_json::Value::Null,
    };
    assert_eq!(store.append_audit(event, at(51)).await.expect("appended").number, 7);
    let key_file = folder.path().join("master.key");
    let rotated = rotate_key_file(&*store, &key_file, &MasterKey::generate(), "the test", at(52)).await;
    assert!(!rotated.expect("rotated").resumed);
    store.close().await;
    let store = open(folder.path()).await;
    assert_eq!(store.verify_audit().await.expect("checked").first_bad, None);
    assert_eq!(store.tenant(TenantKey::Name("contoso.example")).await.expect("found").id, tenant(1));
    assert_eq!(store.app_credentials("main").await.expect("read").len(), 2);
    store.close().await;
}
