//! The master key: wrong, missing, rotated while others work, and rotations that die half-way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_model::Secret;

use super::*;
use crate::sql::query;
use crate::{
    CredentialKind, CredentialSlot, GrantLease, KeyRing, MasterKeyError, NewGrant, RotateError,
    StoredCredential, rotate_key_file,
};

/// A store beside its key file.
struct Keyed {
    _folder: TempDir,
    path: PathBuf,
    file: PathBuf,
}

impl Keyed {
    async fn new() -> (Self, SqlStore) {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path().join("muster.db"), folder.path().join("muster.key"));
        let key = MasterKey::generate();
        key.write_new_file(&file).unwrap();
        SqlStore::create(&path, &key).await.unwrap().close().await;
        let keyed = Self { _folder: folder, path, file };
        let store = keyed.open(OpenMode::Exclusive).await.unwrap();
        (keyed, store)
    }

    fn ring(&self) -> KeyRing {
        KeyRing::read_file(&self.file).unwrap()
    }

    /// Opened as the program does it: with the ring of the file, which can be read again.
    async fn open(&self, mode: OpenMode) -> Result<SqlStore, StoreError> {
        let store = SqlStore::open(&self.path, mode, &self.ring()).await?;
        let file = self.file.clone();
        Ok(store.rereading_keys(Arc::new(move || Ok(KeyRing::read_file(&file)?))))
    }

    async fn rotate(&self, store: &SqlStore) -> Result<crate::Rotation, RotateError> {
        rotate_key_file(store, &self.file, &MasterKey::generate(), "test", at(5)).await
    }
}

async fn put_grant(store: &SqlStore, number: u128, refresh_token: &str) {
    let grant = NewGrant {
        tenant: Uuid::from_u128(number).into(),
        app: "main".to_owned(),
        account: "admin".to_owned(),
        resource: "graph".to_owned(),
        refresh_token: Secret::from(refresh_token),
        expires_at: None,
    };
    store.put_grant(grant, at(0)).await.unwrap();
}

async fn refresh_token(store: &SqlStore, number: u128, now: i64) -> String {
    let tenant = Uuid::from_u128(number).into();
    match store.lease_grant(ME, tenant, "main", LEASE, at(now)).await.unwrap() {
        GrantLease::Leased { refresh_token, .. } => refresh_token.expose().clone(),
        other => panic!("not leased: {other:?}"),
    }
}

async fn put_credential(store: &SqlStore, slot: CredentialSlot, value: &str) -> Result<(), StoreError> {
    let credential = StoredCredential {
        app: "main".to_owned(),
        slot,
        kind: CredentialKind::Secret,
        key_id: value.to_owned(),
        value: Secret::new(value.as_bytes().to_vec()),
        not_after: Some(at(900)),
        created_at: at(0),
    };
    store.put_app_credential(credential).await
}

async fn credentials(store: &SqlStore) -> Vec<Vec<u8>> {
    let stored = store.app_credentials("main").await.unwrap();
    stored.iter().map(|credential| credential.value.expose().clone()).collect()
}

/// Fills a store with one of everything that is sealed.
async fn fill(store: &SqlStore) -> SourceLease {
    let lease = leased(store, 1).await;
    accept(store, &lease, &["a".to_owned()], 10).await.unwrap();
    put_grant(store, 1, "token").await;
    put_credential(store, CredentialSlot::Current, "one").await.unwrap();
    put_credential(store, CredentialSlot::Next, "two").await.unwrap();
    lease
}

#[tokio::test]
async fn a_running_process_goes_on_when_another_rotates_the_key() {
    let (keyed, running) = Keyed::new().await;
    let lease = fill(&running).await;
    let tag = running.signing_key().sign("state", b"x");
    let first = keyed.ring().current.id();
    let command = keyed.open(OpenMode::Shared).await.unwrap();
    let rotation = keyed.rotate(&command).await.unwrap();
    assert_eq!((rotation.from, rotation.resumed), (first.clone(), false));
    assert_ne!(rotation.to, first);
    let ring = keyed.ring();
    assert_eq!((ring.current.id(), ring.older.len()), (rotation.to.clone(), 0), "the old key is gone");
    assert_eq!(running.master_key_id().await.unwrap(), rotation.to);
    // The one that rotated goes on too.
    assert_eq!(credentials(&command).await, [b"one", b"two"]);
    command.add_tenant(tenant(2), "test", at(6)).await.unwrap();
    command.close().await;
    // The running one reads, writes and seals as if nothing had been.
    accept(&running, &lease, &["b".to_owned()], 10).await.unwrap();
    assert_eq!(drain(&running).await, ["a", "b"]);
    assert_eq!(credentials(&running).await, [b"one", b"two"]);
    assert_eq!(refresh_token(&running, 1, 10).await, "token");
    put_grant(&running, 2, "theirs").await;
    running.add_tenant(tenant(3), "test", at(7)).await.unwrap();
    put_grant(&running, 3, "mine").await;
    assert!(running.promote_app_credential("main").await.unwrap());
    assert!(running.signing_key().verify("state", b"x", &tag));
    let verdict = running.verify_audit().await.unwrap();
    assert_eq!(verdict.first_bad, None);
    let events = running.audit(0, 99).await.unwrap();
    let rotated = events.iter().find(|event| event.action == "master_key.rotated").unwrap();
    assert_eq!(rotated.details, serde_json::json!({ "from": first, "to": rotation.to }));
    running.close().await;
    // With the new key alone everything opens, what was sealed meanwhile included.
    let store = keyed.open(OpenMode::Exclusive).await.unwrap();
    assert!(store.signing_key().verify("state", b"x", &tag), "links that were sent stay good");
    assert_eq!(credentials(&store).await, [b"two", b"one"]);
    for (number, token) in [(1, "token"), (2, "theirs"), (3, "mine")] {
        assert_eq!(refresh_token(&store, number, 1000).await, token);
    }
    store.close().await;
}

#[tokio::test]
async fn each_first_use_after_a_rotation_takes_the_new_key_up() {
    // Each of these is the first that the running process does after the rotation.
    for step in 0..8 {
        let (keyed, running) = Keyed::new().await;
        let lease = fill(&running).await;
        let command = keyed.open(OpenMode::Shared).await.unwrap();
        keyed.rotate(&command).await.unwrap();
        command.close().await;
        match step {
            0 => drop(accept(&running, &lease, &["b".to_owned()], 10).await.unwrap()),
            1 => assert_eq!(drain(&running).await, ["a"]),
            2 => drop(running.add_tenant(tenant(2), "test", at(6)).await.unwrap()),
            3 => put_grant(&running, 1, "token").await,
            4 => assert_eq!(refresh_token(&running, 1, 10).await, "token"),
            5 => assert_eq!(credentials(&running).await, [b"one", b"two"]),
            6 => assert!(running.promote_app_credential("main").await.unwrap()),
            _ => drop(keyed.rotate(&running).await.unwrap()),
        }
        running.close().await;
        let store = keyed.open(OpenMode::Exclusive).await.unwrap();
        assert_eq!(refresh_token(&store, 1, 1000).await, "token", "step {step}");
        assert_eq!(credentials(&store).await.len(), 2);
        store.close().await;
    }
}

#[tokio::test]
async fn a_process_that_cannot_learn_the_new_key_writes_nothing_with_the_old() {
    let (keyed, running) = Keyed::new().await;
    let lease = fill(&running).await;
    running.close().await;
    // Opened with the ring alone, as with a key out of the environment.
    let old = keyed.ring();
    let running = SqlStore::open(&keyed.path, OpenMode::Exclusive, &old).await.unwrap();
    let command = keyed.open(OpenMode::Shared).await.unwrap();
    let rotation = keyed.rotate(&command).await.unwrap();
    let told = |error: StoreError| {
        let StoreError::WrongMasterKey { wanted, at_hand, .. } = &error else { panic!("{error}") };
        assert_eq!(wanted, &rotation.to);
        assert!(at_hand.contains(&rotation.from) && !at_hand.contains(&rotation.to), "{at_hand}");
        assert!(error.to_string().contains("put the key"), "{error}");
    };
    told(running.add_tenant(tenant(2), "test", at(6)).await.unwrap_err());
    told(put_credential(&running, CredentialSlot::Next, "three").await.unwrap_err());
    told(running.promote_app_credential("main").await.unwrap_err());
    told(running.app_credentials("main").await.unwrap_err());
    told(accept(&running, &lease, &["b".to_owned()], 10).await.unwrap_err());
    told(running.rotate_master_key(&MasterKey::generate(), "test", at(6)).await.unwrap_err());
    // What needs no key goes on.
    assert!(running.remove_app_credential("main", CredentialSlot::Next).await.unwrap());
    running
        .change_tenant(lease.tenant.id, crate::TenantChange::Name("N".to_owned()), "test", at(6))
        .await
        .unwrap();
    assert_eq!(command.tenants().await.unwrap().len(), 1, "nothing was added");
    assert_eq!(credentials(&command).await, [b"one"]);
    assert_eq!(drain(&command).await, ["a"]);
    running.close().await;
    let refused = SqlStore::open(&keyed.path, OpenMode::Exclusive, &old).await.err().unwrap();
    told(refused);
    command.close().await;
}

#[tokio::test]
async fn a_rotation_that_dies_after_any_step_is_taken_up_again() {
    // After the file has both keys, and before the store is sealed anew.
    let (keyed, store) = Keyed::new().await;
    fill(&store).await;
    let (old, new) = (keyed.ring().current, MasterKey::generate());
    let both = KeyRing { current: new.clone(), older: vec![old.clone()] };
    both.write_file(&keyed.file).unwrap();
    drop(store);
    let store = keyed.open(OpenMode::Exclusive).await.unwrap();
    store.add_tenant(tenant(2), "test", at(6)).await.unwrap();
    put_grant(&store, 2, "theirs").await;
    let alone = SqlStore::open(&keyed.path, OpenMode::Shared, &old.clone().into()).await;
    alone.expect("the old key is the one that seals until the store says otherwise").close().await;
    let rotation = keyed.rotate(&store).await.unwrap();
    assert_eq!((rotation.from, rotation.to, rotation.resumed), (old.id(), new.id(), true));
    assert_eq!((keyed.ring().current.id(), keyed.ring().older.len()), (new.id(), 0));
    assert_eq!(refresh_token(&store, 2, 10).await, "theirs");

    // After the store is sealed anew, and before the old key is taken out of the file.
    let (old, new) = (new, MasterKey::generate());
    let both = KeyRing { current: new.clone(), older: vec![old.clone()] };
    both.write_file(&keyed.file).unwrap();
    store.rotate_master_key(&new, "test", at(7)).await.unwrap();
    drop(store);
    let store = keyed.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(refresh_token(&store, 2, 1000).await, "theirs");
    let rotation = keyed.rotate(&store).await.unwrap();
    assert_eq!((rotation.from.clone(), rotation.resumed), (new.id(), false), "a new one: that one was done");
    assert_eq!((keyed.ring().current.id(), keyed.ring().older.len()), (rotation.to, 0));

    // Within the transaction: it is as if it had not begun. A damaged key stands for the crash.
    let before = keyed.ring().current.id();
    run(&store, "UPDATE tenant SET data_key = substr(data_key, 1, length(data_key) - 1) WHERE slug = 'c2'")
        .await;
    let error = keyed.rotate(&store).await.unwrap_err();
    assert!(error.to_string().contains(&Uuid::from_u128(2).to_string()), "{error}");
    assert_eq!(store.master_key_id().await.unwrap(), before);
    let events = store.audit(0, 99).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.action == "master_key.rotated").count(), 3);
    drop(store);
    let store = keyed.open(OpenMode::Exclusive).await.unwrap();
    assert_eq!(refresh_token(&store, 1, 2000).await, "token");
    store.remove_tenant(Uuid::from_u128(2).into(), "test", at(8)).await.unwrap();
    let rotation = keyed.rotate(&store).await.unwrap();
    assert!(rotation.resumed, "with the key that was chosen then");
    assert_eq!(credentials(&store).await, [b"one", b"two"]);
    store.close().await;
}

#[tokio::test]
async fn rotations_from_all_sides_leave_everything_readable() {
    let (keyed, running) = Keyed::new().await;
    fill(&running).await;
    let commands = [keyed.open(OpenMode::Shared).await.unwrap(), keyed.open(OpenMode::Shared).await.unwrap()];
    let done = AtomicBool::new(false);
    let rotate = async |store: &SqlStore| {
        let mut rotated = 0;
        while rotated < 5 {
            match keyed.rotate(store).await {
                Ok(_) => rotated += 1,
                Err(RotateError::Key(MasterKeyError::Busy { .. })) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let add = async {
        let mut number = 100;
        while !done.load(Ordering::Relaxed) || number < 110 {
            running.add_tenant(tenant(number), "test", at(9)).await.unwrap();
            put_grant(&running, number, &format!("token {number}")).await;
            put_credential(&running, CredentialSlot::Previous, &format!("value {number}")).await.unwrap();
            number += 1;
        }
        number
    };
    let rotations = async {
        tokio::join!(rotate(&commands[0]), rotate(&commands[1]));
        done.store(true, Ordering::Relaxed);
    };
    let (added, ()) = tokio::join!(add, rotations);
    for store in commands {
        store.close().await;
    }
    running.close().await;
    assert_eq!(keyed.ring().older.len(), 0);
    let store = keyed.open(OpenMode::Exclusive).await.unwrap();
    for number in 100..added {
        assert_eq!(refresh_token(&store, number, 100).await, format!("token {number}"));
    }
    assert_eq!(credentials(&store).await[2], format!("value {}", added - 1).into_bytes());
    assert_eq!(store.verify_audit().await.unwrap().first_bad, None);
    store.close().await;
}

#[tokio::test]
async fn a_key_file_of_another_store_is_not_rotated() {
    let (keyed, store) = Keyed::new().await;
    let (other, stranger) = Keyed::new().await;
    stranger.close().await;
    let new = MasterKey::generate();
    let error = rotate_key_file(&store, &other.file, &new, "test", at(5)).await.unwrap_err();
    assert!(matches!(error, RotateError::OtherFile { .. }), "{error}");
    assert!(error.to_string().contains(&keyed.ring().current.id()), "{error}");
    assert!(error.to_string().contains(&other.ring().current.id()), "{error}");
    assert_eq!(other.ring().older.len(), 0);
    let missing = keyed.path.with_extension("nothing");
    let error = rotate_key_file(&store, &missing, &new, "test", at(5)).await.unwrap_err();
    assert!(matches!(error, RotateError::Key(MasterKeyError::File { .. })), "{error}");
    assert_eq!(store.master_key_id().await.unwrap(), keyed.ring().current.id());
    store.close().await;
}

#[tokio::test]
async fn nothing_stays_sealed_with_the_old_key() {
    let (keyed, store) = Keyed::new().await;
    fill(&store).await;
    let mut old = Vec::new();
    for sql in [
        "SELECT data_key FROM tenant",
        "SELECT value FROM app_credential",
        "SELECT value FROM app_credential WHERE slot = 'next'",
    ] {
        old.push(query(sql).fetch_one(&store.readers).await.unwrap().try_get::<Vec<u8>, _>(0).unwrap());
    }
    let row =
        query("SELECT value FROM meta WHERE key = 'signing_key'").fetch_one(&store.readers).await.unwrap();
    old.push(row.try_get::<String, _>(0).unwrap().into_bytes());
    let held = |needle: &[u8]| holds(&keyed.path, needle) || holds(&with_wal(&keyed.path), needle);
    assert!(old.iter().all(|sealed| held(sealed)));
    keyed.rotate(&store).await.unwrap();
    for (index, sealed) in old.iter().enumerate() {
        assert!(!held(sealed), "{index}");
    }
    store.close().await;
}
