//! A process that renews a grant, rotates the master key and appends to the audit log is killed again and again, at
//! whatever moment: its successor finds everything readable, and what was acknowledged kept.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use muster_model::{Secret, TenantId, TenantState};
use muster_store::{
    AuditLog, CredentialKind, CredentialSlot, Credentials, GrantLease, Grants, InstanceId, KeyRing, Keys,
    Lifetime, MasterKey, NewGrant, NewTenant, OpenMode, SqlStore, StoredCredential, Tenants, rotate_key_file,
};
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::location::Location;
use crate::worker::{self, say};

const STORE: &str = "killed.db";
const KEYS: &str = "killed.key";
/// Leads every secret of this test, so that it can be looked for.
const SECRET: &str = "a-secret-of-the-test-";
const ROUNDS: u64 = 12;
const ME: InstanceId = InstanceId(Uuid::from_u128(1));

fn tenant() -> TenantId {
    Uuid::from_u128(0x5f0d_2c3e_0000_4000_8000_0000_0000_0001).into()
}

fn start() -> Timestamp {
    Timestamp::from_second(1_790_000_000).expect("in range")
}

async fn open(folder: &Path, location: &Location) -> SqlStore {
    let keys = KeyRing::read_file(&folder.join(KEYS)).expect("the file is whole");
    location.open(OpenMode::Exclusive, &keys).await
}

/// An hour after the last renewal.
async fn next_hour(store: &SqlStore) -> Timestamp {
    let grants = store.grants(None).await.expect("listed");
    grants[0].renewed_at.checked_add(1.hour()).expect("in range")
}

/// The number of the refresh token that is kept, and the fence of a lease on it, had once the lease of the one that
/// was killed has ended.
async fn leased(store: &SqlStore, mut now: Timestamp) -> (u64, u64) {
    loop {
        let lease = store.lease_grant(ME, tenant(), "main", Duration::from_secs(60), now).await;
        match lease.expect("readable") {
            GrantLease::Leased { refresh_token, fence, .. } => {
                let number = refresh_token.expose().strip_prefix(SECRET).expect("one of ours");
                return (number.parse().expect("a number"), fence);
            }
            GrantLease::Busy { until } => now = until,
            other => panic!("not leased: {other:?}"),
        }
    }
}

fn token(number: u64) -> Secret<String> {
    Secret::new(format!("{SECRET}{number}"))
}

#[tokio::test]
#[ignore = "started, and killed, by the tests below"]
async fn worker() {
    let folder = Path::new(".");
    let Some(location) = Location::of_worker(folder) else { return };
    let store = open(folder, &location).await;
    loop {
        let now = next_hour(&store).await;
        let (number, fence) = leased(&store, now).await;
        let next = token(number + 1);
        let renewed = store.renew_grant(tenant(), "main", fence, Some(&next), None, now).await;
        renewed.expect("renewed");
        say(&format!("kept {}", number + 1));
        let credential = StoredCredential {
            app: "main".to_owned(),
            slot: CredentialSlot::Next,
            kind: CredentialKind::Secret,
            key_id: number.to_string(),
            value: Secret::new(token(number).expose().clone().into_bytes()),
            not_after: None,
            created_at: now,
        };
        store.put_app_credential(credential).await.expect("put");
        store.promote_app_credential("main").await.expect("promoted");
        let new = MasterKey::generate();
        rotate_key_file(&store, &folder.join(KEYS), &new, "worker", now).await.expect("rotated");
    }
}

#[tokio::test]
async fn a_killed_process_leaves_everything_readable() {
    check(None).await;
}

#[tokio::test]
async fn a_killed_process_leaves_everything_readable_on_postgres() {
    let Some(cluster) = Cluster::shared() else { return };
    check(Some(&cluster)).await;
}

async fn check(cluster: Option<&Cluster>) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = MasterKey::generate();
    key.write_new_file(&folder.path().join(KEYS)).expect("written");
    let location = Location::new(folder.path(), STORE, cluster);
    location.tell_worker(folder.path());
    let store = location.create(&key).await;
    let new = NewTenant {
        id: tenant(),
        slug: "contoso".parse().expect("a slug"),
        name: "Contoso".to_owned(),
        domain: None,
        app: "main".to_owned(),
        sources: [].into(),
        tags: Default::default(),
        since: start(),
        state: TenantState::Active,
    };
    store.add_tenant(new, "test", start()).await.expect("added");
    let grant = NewGrant {
        tenant: tenant(),
        app: "main".to_owned(),
        account: "admin".to_owned(),
        resource: "graph".to_owned(),
        refresh_token: token(0),
        expires_at: None,
    };
    store.put_grant(grant, start()).await.expect("put");
    let tag = store.signing_key().sign("test", b"x");
    store.close().await;
    let mut kept = 0;
    for round in 0..ROUNDS {
        // Killed after a few steps, each time at another moment of the next.
        kept = kill_worker(folder.path(), kept + 1 + round % 3, Duration::from_micros(1500 * round));
        no_secret_in_the_clear(cluster.map_or(folder.path(), Cluster::folder));
        let store = open(folder.path(), &location).await;
        let (number, _) = leased(&store, next_hour(&store).await).await;
        assert!((kept..=kept + 1).contains(&number), "{number} is kept, {kept} was acknowledged");
        kept = number;
        let credentials = store.app_credentials("main").await.expect("readable");
        assert!(credentials.iter().all(|stored| stored.value.expose().starts_with(SECRET.as_bytes())));
        assert!(store.signing_key().verify("test", b"x", &tag));
        let verdict = store.verify_audit().await.expect("checked");
        assert_eq!(verdict.first_bad, None);
        let sealing = store.master_key_id().await.expect("named");
        let keys = KeyRing::read_file(&folder.path().join(KEYS)).expect("whole");
        // An interrupted rotation leaves its keys in the file until one is completed: the one that seals is among them.
        assert!(keys.find(&sealing).is_some(), "the file does not open the store");
        store.close().await;
    }
    let store = open(folder.path(), &location).await;
    let now = next_hour(&store).await;
    let done = rotate_key_file(&store, &folder.path().join(KEYS), &MasterKey::generate(), "test", now).await;
    done.expect("rotated");
    let keys = KeyRing::read_file(&folder.path().join(KEYS)).expect("whole");
    assert_eq!(keys.keys().count(), 1, "nothing of the interrupted rotations is left");
    store.close().await;
}

/// Starts the worker, kills it once it has acknowledged `until` and `then` has passed; the last it acknowledged.
fn kill_worker(folder: &Path, until: u64, then: Duration) -> u64 {
    let mut last = 0;
    worker::kill_worker("killed::worker", folder, then, |line| {
        let Some(number) = line.split("kept ").nth(1) else { return false };
        last = number.parse().expect("a number");
        last >= until
    });
    last
}

/// Looks through all that the store has written, where it keeps that.
fn no_secret_in_the_clear(folder: &Path) {
    let contains = |text: &str| {
        let mut search = Command::new("grep");
        // Files may go meanwhile.
        search.args(["--recursive", "--text", "--quiet", "--no-messages", "--fixed-strings", text]);
        search.arg(folder).status().expect("searched").success()
    };
    assert!(contains("contoso"), "what is not sealed is found");
    assert!(!contains(SECRET), "a secret in the clear in {}", folder.display());
}
