//! Random leases, renewals, sign-ins, rotations of the master key and crashes, by several workers in two processes,
//! against a model of a few lines: a lease gives the token that was kept last, and only the newest lease keeps one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Secret, TenantId, TenantState};
use muster_store::{
    AuditLog, GrantLease, Grants, InstanceId, KeyRing, Leases, Lifetime, MasterKey, NewGrant, NewTenant,
    OpenMode, SqlStore, StoreError, Tenants, rotate_key_file,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::location::Location;

const LEASE: Duration = Duration::from_secs(60);
const WORKERS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A person signs in.
    SignIn,
    /// A worker wants the grant.
    Lease(usize),
    /// A worker has been given a new token, or none.
    Renew(usize, bool),
    /// A worker failed, for good or not.
    Fail(usize, bool),
    /// The grant is forgotten.
    Remove,
    /// Time passes.
    Pass(i64),
    /// The master key is rotated from one of the two processes.
    Rotate(usize),
    /// Both processes are killed.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let worker = 0..WORKERS;
    let step = prop_oneof![
        2 => Just(Step::SignIn),
        6 => worker.clone().prop_map(Step::Lease),
        5 => (worker.clone(), any::<bool>()).prop_map(|(worker, new)| Step::Renew(worker, new)),
        2 => (worker, prop::bool::weighted(0.3)).prop_map(|(worker, dead)| Step::Fail(worker, dead)),
        1 => Just(Step::Remove),
        3 => (1_i64..80).prop_map(Step::Pass),
        1 => (0_usize..2).prop_map(Step::Rotate),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..40)
}

/// What must be true of the grant.
#[derive(Default)]
struct Model {
    /// The token that was kept last; none where there is no grant.
    token: Option<String>,
    dead: bool,
    /// Whose lease is the newest, and until when; none when it was given back.
    lease: Option<(usize, i64)>,
}

struct Run {
    folder: tempfile::TempDir,
    location: Location,
    stores: Vec<SqlStore>,
    model: Model,
    /// The fence that each worker got last.
    fences: [Option<u64>; WORKERS],
    now: i64,
    tokens: u32,
}

fn tenant() -> TenantId {
    Uuid::from_u128(7).into()
}

impl Run {
    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + self.now).expect("in range")
    }

    async fn new(cluster: Option<&Cluster>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = MasterKey::generate();
        key.write_new_file(&folder.path().join("keys")).expect("written");
        let location = Location::new(folder.path(), "db", cluster);
        let store = location.create(&key).await;
        let (model, fences) = (Model::default(), [None; WORKERS]);
        let mut run = Self { folder, location, stores: Vec::new(), model, fences, now: 0, tokens: 0 };
        let new = NewTenant {
            id: tenant(),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: [].into(),
            tags: Default::default(),
            since: run.at(),
            state: TenantState::Active,
        };
        store.add_tenant(new, "test", run.at()).await.expect("added");
        store.close().await;
        run.open().await;
        run
    }

    async fn open(&mut self) {
        for mode in [OpenMode::Exclusive, OpenMode::Shared] {
            let keys = KeyRing::read_file(&self.keys()).expect("whole");
            let store = self.location.open(mode, &keys).await;
            let file = self.keys();
            self.stores.push(store.rereading_keys(Arc::new(move || Ok(KeyRing::read_file(&file)?))));
        }
    }

    /// The process that a worker works in.
    fn store(&self, worker: usize) -> &SqlStore {
        &self.stores[worker % self.stores.len()]
    }

    fn next_token(&mut self) -> Secret<String> {
        self.tokens += 1;
        Secret::new(format!("token {}", self.tokens))
    }

    /// Whether a write of `worker` must be taken.
    fn holds(&self, worker: usize) -> bool {
        self.model.lease.is_some_and(|(holder, _)| holder == worker)
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::SignIn => {
                let refresh_token = self.next_token();
                self.model = Model { token: Some(refresh_token.expose().clone()), ..Model::default() };
                let grant = NewGrant {
                    tenant: tenant(),
                    app: "main".to_owned(),
                    account: "admin".to_owned(),
                    resource: "graph".to_owned(),
                    refresh_token,
                    expires_at: None,
                };
                self.store(0).put_grant(grant, self.at()).await.expect("put");
            }
            Step::Lease(worker) => self.lease(worker).await,
            Step::Renew(worker, new) => {
                let token = new.then(|| self.next_token());
                let fence = self.fences[worker].unwrap_or(0);
                let (store, now) = (self.store(worker), self.at());
                let done = store.renew_grant(tenant(), "main", fence, token.as_ref(), None, now).await;
                if self.written(worker, done)
                    && let Some(token) = token
                {
                    self.model.token = Some(token.expose().clone());
                }
            }
            Step::Fail(worker, dead) => {
                let fence = self.fences[worker].unwrap_or(0);
                let (store, now) = (self.store(worker), self.at());
                let done = store.fail_grant(tenant(), "main", fence, "x".to_owned(), dead, now).await;
                if self.written(worker, done) {
                    self.model.dead |= dead;
                }
            }
            Step::Remove => {
                let removed = self.store(1).remove_grant(tenant(), "main").await.expect("asked");
                assert_eq!(removed, self.model.token.is_some());
                self.model = Model::default();
            }
            Step::Pass(seconds) => self.now += seconds,
            Step::Rotate(process) => {
                let (keys, now) = (self.keys(), self.at());
                let new = MasterKey::generate();
                let done = rotate_key_file(&self.stores[process], &keys, &new, "test", now).await;
                assert_eq!(done.expect("rotated").to, new.id());
            }
            Step::Crash => {
                self.stores.clear();
                self.open().await;
                self.stores[0]
                    .take_over(InstanceId(Uuid::from_u128(99)), self.at())
                    .await
                    .expect("taken over");
            }
        }
    }

    async fn lease(&mut self, worker: usize) {
        let (now, at) = (self.now, self.at());
        let instance = InstanceId(Uuid::from_u128(worker as u128 + 1));
        let lease = self.store(worker).lease_grant(instance, tenant(), "main", LEASE, at).await;
        let held = self.model.lease.filter(|(_, until)| *until > now);
        match lease.expect("asked") {
            GrantLease::None => assert_eq!(self.model.token, None),
            GrantLease::Dead { .. } => assert!(self.model.dead),
            GrantLease::Busy { until } => {
                let (_, ends) = held.expect("nobody holds it");
                assert_eq!(until.as_second() - 1_790_000_000, ends);
            }
            GrantLease::Leased { refresh_token, fence, .. } => {
                assert!(!self.model.dead && held.is_none());
                assert_eq!(Some(refresh_token.expose()), self.model.token.as_ref());
                assert!(!self.fences.contains(&Some(fence)), "never given before");
                self.fences[worker] = Some(fence);
                self.model.lease = Some((worker, now + 60));
            }
        }
    }

    /// Whether a write was taken, which it must be exactly when the worker has the newest lease.
    fn written(&mut self, worker: usize, done: Result<(), StoreError>) -> bool {
        match done {
            Ok(()) => {
                assert!(self.holds(worker), "it was another's");
                self.model.lease = None;
                true
            }
            Err(StoreError::LeaseLost { .. }) => {
                assert!(!self.holds(worker), "it was its own");
                false
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Grants are kept by whoever leased them last.
fn check(cluster: Option<&Cluster>) {
    // Named, as the file of what failed once is found by it.
    let config = ProptestConfig {
        cases: 32,
        max_shrink_iters: 200,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in steps())| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::new(cluster).await;
            for step in steps {
                run.step(step).await;
            }
            // A last look, once every lease has ended.
            run.now += 1000;
            run.lease(0).await;
            assert_eq!(run.stores[1].verify_audit().await.expect("checked").first_bad, None);
        });
    });
}

#[test]
fn grants_are_kept_by_whoever_leased_them_last() {
    check(None);
}

#[test]
fn grants_are_kept_by_whoever_leased_them_last_on_postgres() {
    let Some(cluster) = Cluster::shared() else { return };
    check(Some(&cluster));
}
