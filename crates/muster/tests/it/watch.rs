//! Nothing dies unnoticed: the daily look at every tenant's access and every credential's end, with a clock that the test
//! moves, and what `status` and the metrics make of it.

use std::sync::Arc;

use muster::access::watch::Watcher;
use muster::shown::status::{Expected, Snapshot};
use muster::wiring;
use muster_emulator::{AppRegistration, Area, Config, DirectoryChange, Fault, FaultKind};
use muster_model::{Clock, ManualClock, SystemClock};
use muster_store::{Check, CheckOutcome, InstanceId, NewGrant, Store, TenantChange};

use crate::cluster::Cluster;
use crate::support::{Setup, config};

struct Watch {
    watcher: Watcher,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    expected: Expected,
}

impl Watch {
    async fn new(setup: &Setup) -> Self {
        Self::of(setup, InstanceId(uuid::Uuid::from_u128(2))).await
    }

    async fn of(setup: &Setup, instance: InstanceId) -> Self {
        let settings = setup.settings();
        let store = setup.store().await;
        let clock = Arc::new(ManualClock::new(crate::identity::now()));
        let shared: Arc<dyn Clock> = clock.clone();
        let grants =
            muster::access::grants::StoreGrants::new(Arc::clone(&store), instance, Arc::clone(&shared));
        let microsoft = wiring::microsoft(&settings, Arc::clone(&shared), Some(Arc::new(grants)));
        let watcher = Watcher {
            store: Arc::clone(&store),
            microsoft: Arc::new(microsoft.expect("the way to Microsoft")),
            apps: wiring::apps(&settings, &store).await.map_err(|failed| failed.error).expect("the apps"),
            clock: shared,
            instance,
            told: Arc::default(),
        };
        Self { watcher, store, clock, expected: Expected::of(&settings) }
    }

    async fn round(&self) -> usize {
        self.watcher.round(100).await.expect("the store answers")
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
    }

    async fn picture(&self) -> Snapshot {
        Snapshot::take(self.store.as_ref(), &self.expected, self.clock.now()).await.expect("a picture")
    }

    async fn app_check(&self, app: &str) -> Check {
        let checks = self.store.app_checks().await.expect("the store answers");
        let of = checks.into_iter().find(|(name, check)| name == app && check.name == "credential");
        of.expect("it was looked at").1
    }
}

const DAY: u64 = 86_400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tenant_is_looked_at_daily_and_sooner_when_something_was_wrong() {
    let setup = Setup::start(Config { tenants: 3, alerts: Some(3), ..config() }, "").await;
    let watch = Watch::new(&setup).await;
    assert_eq!(watch.round().await, 3, "never looked at");
    assert_eq!(watch.round().await, 0, "just now");
    watch.pass(DAY / 2);
    assert_eq!(watch.round().await, 0, "half a day ago");
    watch.pass(DAY / 2 + 60);
    assert_eq!(watch.round().await, 3, "a day ago");

    let tenant = setup.emulator.tenants()[0].clone();
    let block = Fault::new(Area::Token, FaultKind::Refuse { code: 53_003, app: None }).for_tenant(&tenant.id);
    setup.emulator.add_fault(block).expect("a fault");
    watch.pass(DAY + 60);
    assert_eq!(watch.round().await, 3);
    let of = |picture: &Snapshot| {
        picture.tenants.iter().find(|one| one.id.to_string() == tenant.id).cloned().expect("the tenant")
    };
    let failing = of(&watch.picture().await);
    assert_eq!(failing.standing.as_str(), "failing");
    assert_eq!(failing.checks[0].code, "conditional_access", "the worst comes first");
    assert!(failing.remedy.as_deref().is_some_and(|remedy| remedy.contains("policy")), "{failing:?}");
    let others = watch.picture().await.tenants.into_iter().filter(|one| one.standing.as_str() == "active");
    assert_eq!(others.count(), 2);

    setup.emulator.clear_faults();
    watch.pass(60);
    assert_eq!(watch.round().await, 0);
    watch.pass(900);
    assert_eq!(watch.round().await, 1, "only the one that failed");
    assert_eq!(of(&watch.picture().await).standing.as_str(), "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_fail_do_not_keep_others_from_their_turn() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(3), ..config() }, "").await;
    let watch = Watch::new(&setup).await;
    let tenants = watch.store.tenants().await.expect("the store answers");
    let block = Fault::new(Area::Token, FaultKind::Refuse { code: 53_003, app: None });
    setup.emulator.add_fault(block.for_tenant(tenants[0].id.to_string())).expect("a fault");
    assert_eq!(watch.round().await, 2);
    watch.pass(DAY - 60);
    let one = async || watch.watcher.round(1).await.expect("the store answers");
    assert_eq!(one().await, 1);
    // By then the one that fails is due again, whichever had its turn.
    watch.pass(960);
    assert_eq!(one().await, 1);
    for (tenant, check) in watch.store.checks(None).await.expect("the store answers") {
        let age = watch.clock.now().duration_since(check.checked_at).as_secs();
        assert!(age <= 960, "{tenant} was looked at {age} s ago");
    }
}

/// Nodes that start together look at all tenants, and no tenant is asked for a token by two of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_looks_at_its_own_tenants() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let store = format!("[store]\nurl = \"postgres://muster@127.0.0.1:{}/muster\"\n", cluster.port);
    let setup = Setup::start_in_database(Config { tenants: 7, alerts: Some(7), ..config() }, &store).await;
    let mut nodes = Vec::new();
    for number in 1..=3 {
        let instance = InstanceId(uuid::Uuid::from_u128(number));
        let watch = Watch::of(&setup, instance).await;
        watch.store.live(instance, SystemClock.now()).await.expect("it lives");
        nodes.push(watch);
    }
    let looked = futures_util::future::join_all(nodes.iter().map(Watch::round)).await;
    assert_eq!(looked.iter().sum::<usize>(), 7, "{looked:?}");
    assert!(looked.iter().all(|of| (2..=3).contains(of)), "{looked:?}");
    let requests = setup.emulator.token_requests();
    assert_eq!(requests.len(), 7, "{requests:?}");
    assert!(requests.iter().all(|of| of.requests == 1), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_told_thirty_days_before_it_ends_and_stands_in_the_metrics() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(3), ..config() }, "").await;
    let pem = crate::identity::certificate(&setup, "mssp");
    let app = setup
        .emulator
        .register_app(AppRegistration {
            name: "mssp".to_owned(),
            multitenant: true,
            certificate: Some(pem),
            ..AppRegistration::default()
        })
        .expect("an app");
    setup.write_settings(&format!(
        "[apps.mssp]\nclient_id = \"{app}\"\ncertificate = {{ file = \"mssp.pem\" }}\n"
    ));
    let watch = Watch::new(&setup).await;
    watch.round().await;
    let good = watch.app_check("mssp").await;
    assert_eq!(good.outcome, CheckOutcome::Good);
    let until = good.expires_at.expect("a certificate tells its end");
    // 200 days were asked for.
    watch.pass(171 * DAY);
    watch.round().await;
    let soon = watch.app_check("mssp").await;
    assert_eq!((soon.outcome, soon.code.as_str()), (CheckOutcome::Warning, "certificate_ends_soon"));
    assert!(soon.remedy.contains("muster app rotate-certificate mssp"), "{soon:?}");
    watch.pass(30 * DAY);
    watch.round().await;
    assert_eq!(watch.app_check("mssp").await.outcome, CheckOutcome::Failing);

    let metrics = muster::shown::telemetry::metrics();
    let picture = watch.picture().await;
    muster::shown::gauges::set(&picture);
    let text = metrics.render() + &muster::shown::tenant_series::write(&picture, 10);
    let line = format!(
        "muster_credential_expiry_timestamp_seconds{{app=\"mssp\",credential=\"credential\"}} {}",
        until.as_second()
    );
    assert!(text.contains(&line), "{line} is missing in:\n{text}");
    assert!(text.contains("muster_tenants{state=\"active\"} 1"), "{text}");
}

/// A refresh token is used before it dies of idleness, also when the tenant is paused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_grant_is_used_in_time_and_a_revoked_one_is_told() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(3), ..config() }, "").await;
    let tenant = setup.emulator.tenants()[0].clone();
    let account = format!("admin@{}", tenant.domain);
    let app = setup
        .emulator
        .register_app(AppRegistration {
            name: "desk".to_owned(),
            multitenant: true,
            public_client: true,
            public_redirect_uris: vec!["http://localhost".to_owned()],
            scopes: vec!["https://graph.microsoft.com/SecurityAlert.Read.All".to_owned()],
            ..AppRegistration::default()
        })
        .expect("an app");
    setup.write_settings(&format!(
        "[apps.desk]\nclient_id = \"{app}\"\npublic = true\naccess = \"delegated\"\n"
    ));
    let watch = Watch::new(&setup).await;
    let refresh_token = refresh_token(&setup, &app, &tenant.id, &account).await;
    let (id, now) = (tenant.id.parse().expect("an id"), watch.clock.now());
    let grant = NewGrant {
        tenant: id,
        app: "desk".to_owned(),
        account: account.clone(),
        resource: "https://graph.microsoft.com".to_owned(),
        refresh_token: muster_model::Secret::new(refresh_token),
        expires_at: None,
    };
    watch.store.put_grant(grant, now).await.expect("kept");
    watch
        .store
        .change_tenant(id, TenantChange::State(muster_model::TenantState::Paused), "test", now)
        .await
        .expect("paused");
    watch.pass(10 * DAY);
    watch.round().await;
    let renewed = async || watch.store.grants(None).await.expect("the store answers")[0].renewed_at;
    assert_eq!(renewed().await, now, "not idle for long yet");
    watch.pass(5 * DAY);
    watch.round().await;
    assert_eq!(renewed().await, watch.clock.now(), "used");

    setup.emulator.change(DirectoryChange::RevokeSessions { account }).expect("revoked");
    for change in
        [TenantChange::State(muster_model::TenantState::Active), TenantChange::App("desk".to_owned())]
    {
        watch.store.change_tenant(id, change, "test", watch.clock.now()).await.expect("changed");
    }
    watch.round().await;
    let picture = watch.picture().await;
    assert_eq!(picture.tenants[0].standing.as_str(), "failing", "{picture:?}");
    let codes: Vec<&str> = picture.tenants[0].checks.iter().map(|check| check.code.as_str()).collect();
    assert!(codes.contains(&"grant_revoked"), "{codes:?}");
    assert!(
        picture.tenants[0].checks.iter().any(|check| check.remedy.contains("muster token acquire")),
        "{picture:?}"
    );
}

/// A refresh token, as a person who signs in gets it.
async fn refresh_token(setup: &Setup, app: &str, tenant: &str, account: &str) -> String {
    let base = setup.emulator.base_url();
    let address = format!(
        "{base}/{tenant}/oauth2/v2.0/authorize?client_id={app}&response_type=code&redirect_uri=http%3A%2F%2Flocalhost&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default%20offline_access"
    );
    let ended_at = setup.emulator.sign_in(&address, account, true).expect("signed in");
    let url = url::Url::parse(&ended_at).expect("an address");
    let code = url.query_pairs().find(|pair| pair.0 == "code").expect("a code").1.into_owned();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "authorization_code")
        .append_pair("client_id", app)
        .append_pair("code", &code)
        .append_pair("redirect_uri", "http://localhost")
        .append_pair("scope", "https://graph.microsoft.com/.default offline_access")
        .finish();
    let answer = crate::support::post(&format!("{base}/{tenant}/oauth2/v2.0/token"), &form).await;
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    answer["refresh_token"].as_str().expect("a refresh token").to_owned()
}

/// An app whose secret is not there takes down its tenants, with the reason, and nobody else's; they are read as soon as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_whose_secret_cannot_be_read_fails_its_tenants_only() {
    use muster::shown::status::Standing;

    let setup = Setup::start(Config { tenants: 2, alerts: Some(20), ..config() }, "").await;
    let id = setup.settings().apps["main"].client_id;
    setup.write_settings(&format!(
        "[apps.second]\nclient_id = \"{id}\"\nsecret = {{ file = \"second.secret\" }}\n"
    ));
    let bench = crate::support::Bench::new(&setup).await;
    let tenants = bench.store.tenants().await.expect("the store answers");
    let change = TenantChange::App("second".to_owned());
    bench.store.change_tenant(tenants[0].id, change, "test", bench.clock.now()).await.expect("changed");
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let watcher = Watcher {
        store: Arc::clone(&bench.store),
        microsoft: Arc::clone(&bench.collector.microsoft),
        apps: bench.collector.apps.clone(),
        clock,
        instance: InstanceId(uuid::Uuid::from_u128(2)),
        told: Arc::default(),
    };
    let expected = muster::shown::status::Expected::of(&setup.settings());
    let standings = async || {
        watcher.round(100).await.expect("the store answers");
        bench.rounds(1).await;
        let picture =
            Snapshot::take(bench.store.as_ref(), &expected, bench.clock.now()).await.expect("a picture");
        picture
            .tenants
            .into_iter()
            .map(|tenant| (tenant.standing, tenant.reason.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let found = standings().await;
    assert_eq!(found[0].0, Standing::Failing);
    assert!(found[0].1.contains("second.secret cannot be read"), "{found:?}");
    assert_eq!(found[1].0, Standing::Active, "{found:?}");
    assert_eq!(bench.troubles.all()[0].part, "app second");
    let errors = bench.errors().await;
    assert!(!errors.is_empty() && errors.iter().all(|error| error.contains("second.secret")), "{errors:?}");

    std::fs::copy(setup.path().join("main.secret"), setup.path().join("second.secret")).expect("copied");
    let found = standings().await;
    assert!(found.iter().all(|(standing, _)| *standing == Standing::Active), "{found:?}");
    bench.rounds(2).await;
    assert_eq!(bench.errors().await, [""; 0]);
    setup.assert_all_arrived_once();
}
