//! The audit log against those who can write to the file, sealed values moved about, bounds, and stores of the first
//! version.

use muster_model::Secret;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::*;
use crate::sql::query;
use crate::{
    AuditVerdict, CredentialKind, CredentialSlot, GrantLease, NewAuditEvent, NewGrant, SignIn, SignInKind,
    StoredCredential,
};

async fn log(store: &SqlStore, events: u32) {
    for number in 0..events {
        let event = NewAuditEvent {
            actor: "alice".to_owned(),
            action: "app.registered".to_owned(),
            subject: format!("app {number}"),
            details: json!({ "number": number }),
        };
        store.append_audit(event, at(i64::from(number))).await.unwrap();
    }
}

async fn verdict(store: &SqlStore) -> AuditVerdict {
    store.verify_audit().await.unwrap()
}

async fn refused_by_a_trigger(store: &SqlStore, sql: &'static str) {
    let done = store.write::<(), _>("test", Durability::Relaxed, move |connection| {
        Box::pin(async move { Ok(connection.run(sql).await?) })
    });
    let error = done.await.expect_err(sql);
    assert!(error.to_string().contains("only appended to"), "{sql}: {error}");
}

#[tokio::test]
async fn the_audit_log_refuses_to_be_changed() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    log(&store, 3).await;
    for sql in [
        "UPDATE audit_event SET actor = 'eve' WHERE number = 2",
        "DELETE FROM audit_event WHERE number = 3",
        "DELETE FROM audit_event",
        "INSERT OR REPLACE INTO audit_event SELECT 2, at, 'eve', action, subject, details, previous, hash
         FROM audit_event WHERE number = 2",
        "INSERT INTO audit_event SELECT 0, at, 'eve', action, subject, details, previous, hash
         FROM audit_event WHERE number = 2",
    ] {
        refused_by_a_trigger(&store, sql).await;
    }
    assert_eq!(verdict(&store).await.first_bad, None);
    store.close().await;
}

#[tokio::test]
async fn whoever_changes_the_audit_log_all_the_same_is_noticed() {
    const DROP: &str = "DROP TRIGGER audit_event_is_not_changed; DROP TRIGGER audit_event_is_not_deleted;
                        DROP TRIGGER audit_event_is_appended";
    for (sql, first_bad, words) in [
        ("UPDATE audit_event SET actor = 'eve' WHERE number = 4", 4, "changed"),
        ("UPDATE audit_event SET at = at - 1 WHERE number = 1", 1, "changed"),
        ("UPDATE audit_event SET details = '{}' WHERE number = 6", 6, "changed"),
        ("UPDATE audit_event SET hash = previous WHERE number = 3", 3, "changed"),
        ("DELETE FROM audit_event WHERE number = 4", 4, "missing"),
        ("DELETE FROM audit_event WHERE number = 1", 1, "missing"),
        ("DELETE FROM audit_event WHERE number > 4", 5, "missing"),
        ("DELETE FROM audit_event", 1, "missing"),
        // Exchanged: first as they are, then with the chain mended by hand.
        (
            "UPDATE audit_event SET number = 100 WHERE number = 3; UPDATE audit_event SET number = 3 WHERE number = 4;
             UPDATE audit_event SET number = 4 WHERE number = 100",
            3,
            "changed",
        ),
        (
            "UPDATE audit_event SET number = number + 100 WHERE number > 3;
             UPDATE audit_event SET number = number - 101 WHERE number > 100",
            3,
            "",
        ),
        (
            "INSERT INTO audit_event SELECT number + 1, at, actor, action, subject, details, hash, hash
             FROM audit_event WHERE number = 6",
            7,
            "changed",
        ),
        ("DELETE FROM meta WHERE key = 'audit_head'", 7, "signed end"),
        ("UPDATE meta SET value = '4' || substr(value, 2) WHERE key = 'audit_head'", 7, "signed end"),
        (
            "DELETE FROM audit_event WHERE number > 4;
             UPDATE meta SET value = (SELECT '4 ' || hash || ' ' || hash FROM audit_event WHERE number = 4)
             WHERE key = 'audit_head'",
            5,
            "signed end",
        ),
        ("DELETE FROM audit_event; DELETE FROM meta WHERE key = 'audit_head'", 1, "signed end"),
    ] {
        let fixture = Fixture::new();
        let store = fixture.create().await;
        log(&store, 6).await;
        let good = verdict(&store).await;
        assert_eq!((good.events, good.first_bad), (6, None));
        run(&store, DROP).await;
        // Two events cannot have one number, so a deletion makes room first.
        if sql.contains("- 101") {
            run(&store, "DELETE FROM audit_event WHERE number = 3").await;
        }
        run(&store, sql).await;
        let (number, why) = verdict(&store).await.first_bad.expect(sql);
        assert_eq!(number, first_bad, "{sql}: {why}");
        assert!(why.contains(words), "{sql}: {why}");
        // It stays noticed when the log goes on, and going on is never refused.
        log(&store, 2).await;
        let (number, why) = verdict(&store).await.first_bad.expect(sql);
        assert_eq!(number, first_bad, "{sql}, afterwards: {why}");
        store.close().await;
        let store = fixture.open(OpenMode::Exclusive).await.unwrap();
        assert_eq!(verdict(&store).await.first_bad.map(|(number, _)| number), Some(first_bad), "{sql}, reopened");
        store.close().await;
    }
}

#[tokio::test]
async fn more_events_than_are_read_at_once_are_checked() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    // In one transaction, since each append is synced.
    let key = store.signing_key.clone();
    let many = store.write("test", Durability::Relaxed, move |connection| {
        Box::pin(async move {
            for number in 0..2500 {
                let event = NewAuditEvent {
                    actor: String::new(),
                    action: String::new(),
                    subject: number.to_string(),
                    details: serde_json::Value::Null,
                };
                crate::tables::audit::append(connection, &key, event, at(0)).await?;
            }
            Ok(())
        })
    });
    many.await.unwrap();
    let good = verdict(&store).await;
    assert_eq!((good.events, good.first_bad), (2500, None));
    run(&store, "DROP TRIGGER audit_event_is_not_changed; UPDATE audit_event SET at = 7 WHERE number = 2001")
        .await;
    let bad = verdict(&store).await;
    assert_eq!((bad.events, bad.first_bad.map(|(number, _)| number)), (2500, Some(2001)));
    store.close().await;
}

#[tokio::test]
async fn without_the_signing_key_nothing_begins_anew() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    log(&store, 1).await;
    run(&store, "DELETE FROM meta WHERE key = 'signing_key'").await;
    store.close().await;
    let error = fixture.refused().await;
    assert!(
        matches!(&error, StoreError::Damaged { detail, .. } if detail.contains("signing key")),
        "{error}"
    );
    // Another store's does not open here.
    let other = Fixture::new();
    let stranger = other.create().await;
    let row =
        query("SELECT value FROM meta WHERE key = 'signing_key'").fetch_one(&stranger.readers).await.unwrap();
    let theirs: String = row.try_get(0).unwrap();
    stranger.close().await;
    let file = rusqlite::Connection::open(&fixture.path).unwrap();
    file.execute("INSERT INTO meta VALUES ('signing_key', ?)", [theirs]).unwrap();
    drop(file);
    let error = fixture.refused().await;
    assert!(matches!(error, StoreError::WrongMasterKey { .. }), "{error}");
}

fn grant(tenant: u128, app: &str, refresh_token: &str) -> NewGrant {
    NewGrant {
        tenant: Uuid::from_u128(tenant).into(),
        app: app.to_owned(),
        account: "admin".to_owned(),
        resource: "graph".to_owned(),
        refresh_token: Secret::from(refresh_token),
        expires_at: None,
    }
}

fn credential(app: &str, slot: CredentialSlot, value: &str) -> StoredCredential {
    StoredCredential {
        app: app.to_owned(),
        slot,
        kind: CredentialKind::Secret,
        key_id: "id".to_owned(),
        value: Secret::new(value.as_bytes().to_vec()),
        not_after: None,
        created_at: at(0),
    }
}

fn sign_in(tenant: u128, number: u128, verifier: &str) -> SignIn {
    SignIn {
        id: Uuid::from_u128(number),
        tenant: Uuid::from_u128(tenant).into(),
        app: "main".to_owned(),
        kind: SignInKind::Consent,
        invitation: None,
        redirect_uri: "https://muster.example".to_owned(),
        resource: "graph".to_owned(),
        nonce: "nonce".to_owned(),
        verifier: Secret::from(verifier),
        created_at: at(0),
        expires_at: at(100),
    }
}

#[tokio::test]
async fn what_is_sealed_opens_in_its_own_row_only() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    for number in 1..=2 {
        store.add_tenant(tenant(number), "test", at(0)).await.unwrap();
        store.put_grant(grant(number, "main", "token"), at(0)).await.unwrap();
        store.begin_sign_in(sign_in(1, number, "verifier")).await.unwrap();
    }
    store.put_grant(grant(1, "other", "token"), at(0)).await.unwrap();
    for sql in [
        // Another tenant's, another app's of the same tenant, another sign-in's.
        "UPDATE delegated_grant SET refresh_token =
             (SELECT refresh_token FROM delegated_grant WHERE grant_no = 1) WHERE grant_no <> 1",
        "UPDATE sign_in SET verifier = (SELECT verifier FROM sign_in WHERE sign_in_no = 1) WHERE sign_in_no = 2",
    ] {
        run(&store, sql).await;
    }
    let lease = async |number: u128, app| {
        store.lease_grant(ME, Uuid::from_u128(number).into(), app, LEASE, at(1)).await
    };
    assert!(matches!(lease(1, "main").await, Ok(GrantLease::Leased { .. })));
    for (number, app) in [(2, "main"), (1, "other")] {
        let error = lease(number, app).await.expect_err("moved");
        assert!(matches!(error, StoreError::Sealing { .. }), "{error}");
        assert!(error.to_string().contains(app), "{error}");
    }
    assert!(store.take_sign_in(Uuid::from_u128(1), at(1)).await.unwrap().is_some());
    assert!(matches!(store.take_sign_in(Uuid::from_u128(2), at(1)).await, Err(StoreError::Sealing { .. })));

    for sql in [
        "UPDATE app_credential SET slot = 'next' WHERE app = 'main'",
        "UPDATE app_credential SET app = 'other' WHERE app = 'main'",
        "UPDATE app_credential SET kind = 'certificate' WHERE app = 'main'",
        "UPDATE app_credential SET key_id = 'another' WHERE app = 'main'",
        "UPDATE app_credential SET not_after = 5 WHERE app = 'main'",
    ] {
        run(&store, "DELETE FROM app_credential").await;
        store.put_app_credential(credential("main", CredentialSlot::Current, "s")).await.unwrap();
        assert_eq!(store.app_credentials("main").await.unwrap().len(), 1);
        run(&store, sql).await;
        let app = if sql.contains("'other'") { "other" } else { "main" };
        let error = store.app_credentials(app).await.expect_err(sql);
        assert!(matches!(error, StoreError::Sealing { .. }), "{sql}: {error}");
    }
    store.close().await;
}

#[tokio::test]
async fn sign_ins_of_many_tenants_are_bounded_together() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    store.add_tenant(tenant(1), "test", at(0)).await.unwrap();
    store.add_tenant(tenant(2), "test", at(0)).await.unwrap();
    // As many as there may be. That they are all of one other tenant stands for their being of many.
    store.add_tenant(tenant(3), "test", at(0)).await.unwrap();
    run(
        &store,
        "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10000)
         INSERT INTO sign_in SELECT NULL, 'id ' || value, 3, 'main', 'consent', NULL, '', '', '', x'',
             0, 9223372036854775807 FROM n",
    )
    .await;
    store.begin_sign_in(sign_in(1, 1, "verifier")).await.unwrap();
    store.begin_sign_in(sign_in(2, 2, "verifier")).await.unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM sign_in").await, 10_000);
    assert_eq!(number(&store, "SELECT count(*) FROM sign_in WHERE id IN ('id 1', 'id 2')").await, 0);
    assert!(store.take_sign_in(Uuid::from_u128(1), at(1)).await.unwrap().is_some());
    store.close().await;
}

#[tokio::test]
async fn no_secret_is_in_the_file_in_the_clear_nor_stays_when_it_is_forgotten() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    store.add_tenant(tenant(1), "test", at(0)).await.unwrap();
    let secrets =
        ["a-refresh-token-of-somebody", "another-refresh-token", "a-pkce-verifier", "a-client-secret"];
    store.put_grant(grant(1, "main", secrets[0]), at(0)).await.unwrap();
    store.begin_sign_in(sign_in(1, 1, secrets[2])).await.unwrap();
    store.put_app_credential(credential("main", CredentialSlot::Next, secrets[3])).await.unwrap();
    let sealed = async |sql: &'static str| -> Vec<u8> {
        query(sql).fetch_one(&store.readers).await.unwrap().try_get(0).unwrap()
    };
    let token = sealed("SELECT refresh_token FROM delegated_grant").await;
    let verifier = sealed("SELECT verifier FROM sign_in").await;
    let value = sealed("SELECT value FROM app_credential").await;
    assert!(store.promote_app_credential("main").await.unwrap());
    let lease = store.lease_grant(ME, Uuid::from_u128(1).into(), "main", LEASE, at(1)).await;
    let GrantLease::Leased { fence, .. } = lease.unwrap() else { panic!("it must be leased") };
    let next = Secret::from(secrets[1]);
    store.renew_grant(Uuid::from_u128(1).into(), "main", fence, Some(&next), None, at(2)).await.unwrap();
    store.take_sign_in(Uuid::from_u128(1), at(2)).await.unwrap().unwrap();
    let files = [fixture.path.clone(), with_wal(&fixture.path)];
    for secret in secrets {
        assert!(files.iter().all(|file| !holds(file, secret.as_bytes())), "{secret}");
    }
    assert!(files.iter().all(|file| !holds(file, fixture.key.to_base64().expose().as_bytes())));
    store.close().await;
    // The WAL is gone; of what was replaced or deleted nothing is left in the pages.
    for (what, forgotten) in [("token", token), ("verifier", verifier), ("credential", value)] {
        assert!(!holds(&fixture.path, &forgotten), "{what}");
    }
}

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_up_to_date() {
    let fixture = Fixture::new();
    let store = fixture.create().await;
    let lease = leased(&store, 1).await;
    accept(&store, &lease, &["a".to_owned()], 10).await.unwrap();
    // What the first version had not yet.
    run(
        &store,
        "DROP TABLE tenant_tag; DROP TABLE pull_client; DROP TABLE processed; DROP INDEX journal_batch_processed;
         ALTER TABLE journal_batch DROP COLUMN processed_from;
         DROP TRIGGER fetched_again_goes_with_its_batch; DROP TABLE fetched_again;
         DROP TRIGGER journal_size_grows; DROP TRIGGER journal_size_shrinks; DROP TABLE journal_size;
         ALTER TABLE queue DROP COLUMN given_up; ALTER TABLE queue DROP COLUMN given_up_at;
         ALTER TABLE queue DROP COLUMN leased_to;
         DROP TABLE invitation; DROP TABLE sign_in; DROP TABLE delegated_grant; DROP TABLE app_credential;
         DROP TABLE tenant_check; DROP TABLE app_check; DROP TABLE audit_event;
         DROP TABLE heartbeat; ALTER TABLE queue DROP COLUMN last_rejected_at; DROP INDEX dead_letter_of_sink;
         DROP INDEX record_version_of_record; ALTER TABLE record_version DROP COLUMN stage;
         ALTER TABLE source DROP COLUMN forgotten_from; ALTER TABLE source DROP COLUMN forgotten_to;
         DROP TRIGGER acknowledgement_goes_with_its_batch; DROP TABLE acknowledgement; DROP TABLE cursor_note;
         DROP TABLE ledger; DROP TABLE ledger_sink; DROP TABLE coverage; DROP TABLE journal_mark;
         ALTER TABLE journal_batch DROP COLUMN request_id; ALTER TABLE journal_batch DROP COLUMN routes;
         DROP INDEX queue_by_set_at; ALTER TABLE queue DROP COLUMN set_at;
         DROP TRIGGER unrouted_outlives_its_batch; DROP TABLE unrouted; DROP TABLE replay;
         DROP TABLE ticket; DROP TABLE ticket_record; ALTER TABLE delivery DROP COLUMN awaited;
         DROP INDEX queue_due; ALTER TABLE queue DROP COLUMN awaited; ALTER TABLE queue DROP COLUMN tickets;
         DROP TABLE notice_message; DROP TABLE notice_receiver; DROP TABLE notice_condition; DROP TABLE notice_snooze;
         ALTER TABLE delivery DROP COLUMN replay_id;
         DROP INDEX delivery_replayed; ALTER TABLE delivery DROP COLUMN replayed;
         DROP TABLE lineage; DROP TABLE restoration; ALTER TABLE delivery DROP COLUMN lineage_no;
         ALTER TABLE queue DROP COLUMN done_number; ALTER TABLE queue DROP COLUMN done_lineage_no;
         DELETE FROM meta WHERE key IN ('signing_key', 'audit_head', 'answers_known_after'); PRAGMA user_version = 1;

         CREATE TABLE source_state (
             source_no INTEGER PRIMARY KEY AUTOINCREMENT, tenant_no INTEGER NOT NULL REFERENCES tenant,
             source TEXT NOT NULL, enabled INTEGER NOT NULL, cursor TEXT NOT NULL, next_at INTEGER NOT NULL,
             leased_until INTEGER NOT NULL DEFAULT 0, lease_owner BLOB, fence INTEGER NOT NULL DEFAULT 0,
             failures INTEGER NOT NULL DEFAULT 0, last_error TEXT, last_error_at INTEGER,
             last_success_at INTEGER, accepted INTEGER NOT NULL DEFAULT 0, UNIQUE (tenant_no, source)) STRICT;
         CREATE INDEX source_state_due ON source_state (next_at) WHERE enabled = 1;
         INSERT INTO source_state SELECT source_no, tenant_no, source, enabled, cursor, next_at, leased_until,
             lease_owner, fence, failures, last_error, last_error_at, last_success_at, accepted
             FROM source JOIN cursor USING (source_no);
         DROP TABLE cursor; DROP TABLE source; DROP TABLE lease;
         ALTER TABLE queue RENAME TO lane; ALTER TABLE lane RENAME COLUMN queue_no TO lane_no;
         ALTER TABLE delivery RENAME COLUMN queue_no TO lane_no;
         CREATE INDEX lane_due ON lane (sink, next_at) WHERE owed > 0",
    )
    .await;
    store.close().await;
    // A wrong key changes nothing.
    let wrong = SqlStore::open(&fixture.path, OpenMode::Exclusive, &MasterKey::generate().into()).await;
    assert!(matches!(wrong, Err(StoreError::WrongMasterKey { .. })));
    let file = rusqlite::Connection::open(&fixture.path).unwrap();
    let version: i64 = file.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    drop(file);
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(drain(&store).await, ["a"]);
    store.put_grant(grant(1, "main", "token"), at(0)).await.unwrap();
    log(&store, 2).await;
    let tag = store.signing_key().sign("state", b"x");
    store.close().await;
    let store = fixture.open(OpenMode::Exclusive).await.unwrap();
    assert!(store.signing_key().verify("state", b"x", &tag));
    assert_eq!(verdict(&store).await.events, 2);
    assert_eq!(verdict(&store).await.first_bad, None);
    store.close().await;
}

#[test]
fn migrations_that_were_published_are_not_edited() {
    let hash = |text: &str| {
        digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert_eq!(
        hash(include_str!("../../../migrations/sqlite/0001_start.sql")),
        "3d796520b9726a62fc5fb593b04a2142529c8063fe78b2ccd405458e44d7146f"
    );
    assert_eq!(
        hash(include_str!("../../../migrations/sqlite/0002_identity.sql")),
        "41f78e291e74192796eb772fb59f6ec2e0ccaa9711b0e875b16d888bb601991d"
    );
}
