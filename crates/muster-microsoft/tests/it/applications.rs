//! Graph's calls around app registrations, against the emulator's directory.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use muster_emulator::{AppRegistration, Config, DirectoryChange, Handle};
use muster_http::ClientOptions;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::applications::{
    AccessKind, DirectoryError, FederatedCredential, NewApplication, NewCertificate, RequiredResourceAccess,
    ResourceAccess, SignInAudience, key_proof_claims,
};
use muster_microsoft::entra::certificate::{AssertionAlgorithm, Certificate};
use muster_microsoft::entra::credential::{App, Credential};
use muster_microsoft::entra::new_certificate::self_signed;
use muster_microsoft::{Cloud, Microsoft, MicrosoftOptions};
use muster_model::{Clock, Secret, SystemClock, TenantId};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

const SECRET: &str = "manages-apps-0123456789";
const GRAPH: &str = "https://graph.microsoft.com";
const GRAPH_APP: Uuid = Uuid::from_u128(0x0000_0003_0000_0000_c000_0000_0000_0000);
const ALERTS: Uuid = Uuid::from_u128(0x472e_4a4d_bb4a_4026_98d1_0b0d_74cb_74a5);
const INCIDENTS: Uuid = Uuid::from_u128(0x45cc_0394_e837_488b_a098_1918_f48d_186c);

struct Directory {
    emulator: Handle,
    microsoft: Microsoft,
    tenant: TenantId,
}

impl Directory {
    async fn start() -> Self {
        let emulator =
            muster_emulator::start(Config { tenants: 1, alerts: Some(1), ..Config::default() }).await;
        let emulator = emulator.expect("the emulator starts");
        let base = emulator.base_url();
        let cloud = Cloud::custom(&base, &base, None).expect("a cloud");
        let options = MicrosoftOptions::new(cloud, ClientOptions::default());
        let microsoft = Microsoft::new(options, Arc::new(SystemClock)).expect("a client");
        let tenant = emulator.provider().id.parse().expect("a GUID");
        Self { emulator, microsoft, tenant }
    }

    /// A token of an app with these application permissions of Graph.
    async fn token(&self, roles: &[&str]) -> AccessToken {
        let registration = AppRegistration {
            name: "Manager of apps".to_owned(),
            secret: Some(SECRET.to_owned()),
            roles: roles.iter().map(|role| format!("{GRAPH}/{role}")).collect(),
            ..AppRegistration::default()
        };
        let client_id = self.emulator.register_app(registration).expect("registered");
        let tenant = self.tenant.to_string();
        let consent = DirectoryChange::Consent { tenant, app: Some(client_id.clone()) };
        self.emulator.change(consent).expect("consented");
        let app = App::new(client_id.clone(), client_id, Credential::Secret(Secret::from(SECRET)));
        self.microsoft.fresh_access_token(&app, self.tenant, GRAPH).await.expect("a token")
    }
}

fn new_application() -> NewApplication {
    NewApplication {
        display_name: "Muster of O'Neil & Söhne".to_owned(),
        audience: SignInAudience::AzureADMultipleOrgs,
        redirect_uris: vec!["https://muster.mssp.example/onboard/callback".to_owned()],
        required: required(&[ALERTS]),
        tags: vec!["muster-test".to_owned()],
    }
}

fn required(roles: &[Uuid]) -> Vec<RequiredResourceAccess> {
    let access = roles.iter().map(|id| ResourceAccess { id: *id, kind: AccessKind::Role });
    vec![RequiredResourceAccess { resource_app_id: GRAPH_APP, resource_access: access.collect() }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_made_found_and_changed() {
    let directory = Directory::start().await;
    let token = directory.token(&["Application.ReadWrite.All"]).await;
    let graph = directory.microsoft.applications(&token);
    let new = new_application();
    assert!(graph.named(&new.display_name).await.expect("an answer").is_empty());
    let made = graph.create(&new).await.expect("made");
    let found = graph.named(&new.display_name).await.expect("an answer");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, &found[0].tags), (made.id, &new.tags));
    assert!(graph.application(Uuid::from_u128(7)).await.expect("an answer").is_none());

    graph.set_required(made.id, &required(&[ALERTS, INCIDENTS])).await.expect("changed");
    let uris = [new.redirect_uris[0].clone(), "https://muster.mssp.example/SiemMsspConnector".to_owned()];
    graph.set_redirect_uris(made.id, &uris).await.expect("changed");
    let now = graph.application(made.app_id).await.expect("an answer").expect("there");
    assert_eq!(now.web.redirect_uris, uris);
    assert_eq!(now.required_resource_access[0].resource_access.len(), 2);
    assert_eq!(now.sign_in_audience, Some(SignInAudience::AzureADMultipleOrgs));

    let end = "2037-01-01T00:00:00Z".parse().expect("a time");
    let secret = graph.add_password(made.id, "Muster 2026", end).await.expect("made");
    assert!(!secret.secret.expose().is_empty());
    assert_eq!(secret.not_after, Some(end));
    let listed = graph.application(made.app_id).await.expect("an answer").expect("there");
    assert_eq!(listed.password_credentials[0].display_name.as_deref(), Some("Muster 2026"));
    for _ in 0..2 {
        graph.remove_password(made.id, secret.key_id).await.expect("gone, and gone already");
    }

    let federated = FederatedCredential {
        id: None,
        name: "cluster".to_owned(),
        issuer: "https://oidc.cluster.example/".to_owned(),
        subject: "system:serviceaccount:muster:muster".to_owned(),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    };
    for _ in 0..2 {
        graph.add_federated_credential(made.id, &federated).await.expect("there, and there already");
    }
    let there = graph.federated_credentials(made.id).await.expect("a list");
    assert_eq!(there.len(), 1);
    for _ in 0..2 {
        graph.remove_federated_credential(made.id, there[0].id.expect("an id")).await.expect("gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_stand_side_by_side() {
    let directory = Directory::start().await;
    let token = directory.token(&["Application.ReadWrite.All"]).await;
    let graph = directory.microsoft.applications(&token);
    let made = graph.create(&new_application()).await.expect("made");
    let now = SystemClock.now();
    let certificate = || {
        let end = "2037-01-01T00:00:00Z".parse().expect("a time");
        Certificate::from_pem(&self_signed("Muster test", now, end).expect("made")).expect("a certificate")
    };
    let (first, second) = (certificate(), certificate());
    let new = NewCertificate {
        key_id: Uuid::new_v4(),
        display_name: "Muster first".to_owned(),
        der: first.der().to_vec(),
        not_before: first.not_before(),
        not_after: first.not_after(),
    };
    for _ in 0..2 {
        graph.add_certificate(made.id, &new, &[]).await.expect("there, and there already");
    }
    // The second one by a proof that the first one signs.
    let claims = key_proof_claims(made.id, now);
    let forged = second.sign_jwt(&claims, AssertionAlgorithm::Rs256);
    let refused = graph.add_key(made.id, second.der(), &forged).await;
    assert!(matches!(refused, Err(DirectoryError::Refused { status: 400, .. })), "{refused:?}");
    let proof = first.sign_jwt(&claims, AssertionAlgorithm::Rs256);
    let added = graph.add_key(made.id, second.der(), &proof).await.expect("added");
    let there = graph.certificates(made.id).await.expect("a list");
    assert_eq!(there.len(), 2);
    assert!(
        there.iter().any(|key| key.key_id == new.key_id && key.is(first.der(), &first.thumbprints().sha1))
    );
    assert!(there.iter().any(|key| key.key_id == added.key_id && key.is(second.der(), "")));
    for _ in 0..2 {
        graph.remove_certificate(made.id, new.key_id, &[added.key_id]).await.expect("gone, and gone already");
    }
    let there = graph.certificates(made.id).await.expect("a list");
    assert_eq!(there.iter().map(|key| key.key_id).collect::<Vec<_>>(), [added.key_id]);
}

/// A registration's certificates behind servers that do not all know the newest one yet.
#[derive(Default)]
struct Lagging {
    certificates: Vec<Value>,
    /// So many of the next reads do not list the last certificate.
    stale_reads: usize,
    /// So many of the next changes lose the last certificate: somebody else writes at the same moment.
    lossy_changes: usize,
    changes: usize,
}

impl Lagging {
    async fn start(self) -> (Arc<Mutex<Self>>, Microsoft, JoinSet<()>) {
        let state = Arc::new(Mutex::new(self));
        let of_handler = Arc::clone(&state);
        let app = Router::new().fallback(move |request: Request| {
            let state = Arc::clone(&of_handler);
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
                state.lock().expect("no panic").answer(&parts.method, &body)
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        let cloud = Cloud::custom(&base, &base, None).expect("a cloud");
        let options = MicrosoftOptions::new(cloud, ClientOptions::default());
        (state, Microsoft::new(options, Arc::new(SystemClock)).expect("a client"), tasks)
    }

    fn answer(&mut self, method: &Method, body: &[u8]) -> Response {
        if method == Method::PATCH {
            let body: Value = serde_json::from_slice(body).expect("JSON");
            self.certificates = body["keyCredentials"].as_array().expect("a list").clone();
            self.changes += 1;
            if self.lossy_changes > 0 {
                self.lossy_changes -= 1;
                self.certificates.pop();
            }
            return StatusCode::NO_CONTENT.into_response();
        }
        let mut listed = self.certificates.clone();
        if self.stale_reads > 0 {
            self.stale_reads -= 1;
            listed.pop();
        }
        axum::Json(json!({ "keyCredentials": listed })).into_response()
    }

    fn ids(&self) -> Vec<String> {
        let id = |key: &Value| key["keyId"].as_str().expect("an id").to_owned();
        self.certificates.iter().map(id).collect()
    }
}

const OLD: Uuid = Uuid::from_u128(1);
const IN_USE: Uuid = Uuid::from_u128(2);

fn raw(key_id: Uuid) -> Value {
    json!({ "keyId": key_id, "type": "AsymmetricX509Cert", "usage": "Verify", "key": "AAAA" })
}

fn any_token() -> AccessToken {
    let expires_at = "2037-01-01T00:00:00Z".parse().expect("a time");
    AccessToken { secret: Secret::from("a-token"), expires_at, roles: None, scopes: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_listed_yet_is_waited_for() {
    let directory =
        Lagging { certificates: vec![raw(OLD), raw(IN_USE)], stale_reads: 1, ..Lagging::default() };
    let (state, microsoft, _tasks) = directory.start().await;
    let token = any_token();
    let graph = microsoft.applications(&token);
    graph.remove_certificate(Uuid::nil(), OLD, &[IN_USE]).await.expect("removed");
    assert_eq!(state.lock().expect("no panic").ids(), [IN_USE.to_string()]);

    state.lock().expect("no panic").stale_reads = 1;
    let now = SystemClock.now();
    let new = NewCertificate {
        key_id: OLD,
        display_name: "Muster".to_owned(),
        der: vec![1, 2, 3],
        not_before: now,
        not_after: now,
    };
    graph.add_certificate(Uuid::nil(), &new, &[IN_USE]).await.expect("added");
    assert_eq!(state.lock().expect("no panic").ids(), [IN_USE.to_string(), OLD.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_that_must_stay_nothing_is_changed() {
    let directory =
        Lagging { certificates: vec![raw(OLD), raw(IN_USE)], stale_reads: usize::MAX, ..Lagging::default() };
    let (state, microsoft, _tasks) = directory.start().await;
    let token = any_token();
    let refused = microsoft.applications(&token).remove_certificate(Uuid::nil(), OLD, &[IN_USE]).await;
    let error = refused.expect_err("not without it");
    assert!(matches!(error, DirectoryError::NotListed { missing: IN_USE, .. }), "{error}");
    assert!(!error.may_have_happened());
    assert_eq!(state.lock().expect("no panic").changes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_another_writer_lost_is_put_back() {
    let directory =
        Lagging { certificates: vec![raw(OLD), raw(IN_USE)], lossy_changes: 1, ..Lagging::default() };
    let (state, microsoft, _tasks) = directory.start().await;
    let token = any_token();
    microsoft.applications(&token).remove_certificate(Uuid::nil(), OLD, &[IN_USE]).await.expect("removed");
    let state = state.lock().expect("no panic");
    assert_eq!((state.ids(), state.changes), (vec![IN_USE.to_string()], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_are_granted_once() {
    let directory = Directory::start().await;
    let token = directory
        .token(&[
            "Application.ReadWrite.All",
            "AppRoleAssignment.ReadWrite.All",
            "DelegatedPermissionGrant.ReadWrite.All",
        ])
        .await;
    let graph = directory.microsoft.applications(&token);
    let made = graph.create(&new_application()).await.expect("made");
    let principal = graph.ensure_service_principal(made.app_id).await.expect("made");
    assert_eq!(graph.ensure_service_principal(made.app_id).await.expect("found"), principal);
    let api = graph.service_principal(GRAPH_APP).await.expect("an answer").expect("Graph is everywhere");
    for _ in 0..2 {
        graph.grant_role(principal.id, api.id, ALERTS).await.expect("granted, and granted already");
    }
    let roles = graph.role_assignments(principal.id).await.expect("a list");
    assert_eq!(roles.iter().map(|role| role.app_role_id).collect::<Vec<_>>(), [ALERTS]);
    graph.grant_delegated(principal.id, api.id, &["User.Read"]).await.expect("granted");
    for _ in 0..2 {
        graph.grant_delegated(principal.id, api.id, &["SecurityAlert.Read.All"]).await.expect("granted");
    }
    let grants = graph.delegated_grants(principal.id).await.expect("a list");
    assert_eq!(grants.len(), 1);
    let scopes: std::collections::BTreeSet<&str> = grants[0].scope.split_whitespace().collect();
    assert_eq!(scopes, ["SecurityAlert.Read.All", "User.Read"].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_what_it_takes() {
    let directory = Directory::start().await;
    let token = directory.token(&["SecurityAlert.Read.All"]).await;
    let error =
        directory.microsoft.applications(&token).create(&new_application()).await.expect_err("denied");
    assert!(matches!(error, DirectoryError::Denied { .. }));
    assert!(error.to_string().contains("Application Administrator"), "{error}");
    let token = directory.token(&["Application.ReadWrite.All"]).await;
    let graph = directory.microsoft.applications(&token);
    let made = graph.create(&new_application()).await.expect("made");
    let principal = graph.ensure_service_principal(made.app_id).await.expect("made");
    let api = graph.service_principal(GRAPH_APP).await.expect("an answer").expect("Graph is everywhere");
    let error = graph.grant_role(principal.id, api.id, ALERTS).await.expect_err("denied");
    assert!(error.to_string().contains("AppRoleAssignment.ReadWrite.All"), "{error}");
}
