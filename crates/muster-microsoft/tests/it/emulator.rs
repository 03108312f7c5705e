//! Every credential and every flow, on both endpoints, against the emulator of the identity platform.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use muster_emulator::{AppRegistration, Config, DirectoryChange, Handle};
use muster_http::ClientOptions;
use muster_microsoft::entra::certificate::{AssertionAlgorithm, Certificate};
use muster_microsoft::entra::credential::{Access, App, Assertion, Credential, Endpoint, ManagedIdentity};
use muster_microsoft::entra::delegated::{AuthorizeRequest, Pkce, ResponseMode};
use muster_microsoft::entra::device_code::DevicePoll;
use muster_microsoft::entra::error::TokenError;
use muster_microsoft::entra::grant::{GrantError, GrantKeeper, Leased};
use muster_microsoft::entra::new_certificate::self_signed;
use muster_microsoft::entra::verify::Expected;
use muster_microsoft::{Cloud, Fault, Microsoft, MicrosoftOptions};
use muster_model::{Clock, Secret, Source, SystemClock, TenantId};

const GRAPH: &str = "https://graph.microsoft.com";
const ENDPOINT: &str = "https://api.securitycenter.microsoft.com";
const XDR: &str = "https://api.security.microsoft.com";
const SECRET: &str = "a secret with + & = % and blanks";
const REDIRECT: &str = "https://mssp.example/SiemMsspConnector";

/// An emulator with an app that its first tenant has consented to.
struct World {
    emulator: Handle,
    client_id: String,
    tenant: TenantId,
    certificate: Secret<Vec<u8>>,
}

impl World {
    async fn start(config: Config) -> Self {
        let emulator = muster_emulator::start(config).await.expect("the emulator starts");
        let now = SystemClock.now();
        let end = now.saturating_add(Duration::from_secs(86_400)).expect("in range");
        let certificate = self_signed("Muster", now, end).expect("a certificate");
        let text = String::from_utf8(certificate.expose().clone()).expect("PEM");
        let begin = text.find("-----BEGIN CERTIFICATE").expect("a certificate");
        let of_defender = |ending: &str| {
            [
                format!("https://api.securitycenter.microsoft.com/Alert.Read{ending}"),
                format!("https://api.security.microsoft.com/Incident.Read{ending}"),
            ]
        };
        let permissions: Vec<String> = ["SecurityAlert.Read.All", "SecurityIncident.Read.All"]
            .into_iter()
            .map(|name| format!("{GRAPH}/{name}"))
            .collect();
        // What a person's tokens for the old SIEM feed hold.
        let of_feed = "https://graph.windows.net/User.Read".to_owned();
        let registration = AppRegistration {
            name: "Muster".to_owned(),
            multitenant: true,
            redirect_uris: vec![REDIRECT.to_owned()],
            public_redirect_uris: vec!["http://localhost".to_owned()],
            public_client: true,
            secret: Some(SECRET.to_owned()),
            certificate: Some(text[begin..].to_owned()),
            roles: permissions.iter().cloned().chain(of_defender(".All")).collect(),
            scopes: permissions.into_iter().chain(of_defender("")).chain([of_feed]).collect(),
            ..AppRegistration::default()
        };
        let client_id = emulator.register_app(registration).expect("an app");
        let first = emulator.tenants()[0].clone();
        let consent = DirectoryChange::Consent { tenant: first.id.clone(), app: Some(client_id.clone()) };
        emulator.change(consent).expect("consent");
        let tenant = first.id.parse().expect("a GUID");
        Self { emulator, client_id, tenant, certificate }
    }

    fn app(&self, name: &str, credential: Credential, endpoint: Endpoint, access: Access) -> App {
        App { endpoint, access, ..App::new(name, &self.client_id, credential) }
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(&self.certificate).expect("a certificate")
    }

    fn identity(&self) -> ManagedIdentity {
        let address = format!("{}/metadata/identity/oauth2/token", self.emulator.base_url());
        ManagedIdentity {
            endpoint: url::Url::parse(&address).expect("an address"),
            ..ManagedIdentity::default()
        }
    }

    fn microsoft(&self, grants: Option<Arc<dyn GrantKeeper>>) -> Microsoft {
        let base = self.emulator.base_url();
        let cloud = Cloud::custom(&base, &base, None).expect("an address");
        let options = MicrosoftOptions { grants, ..MicrosoftOptions::new(cloud, ClientOptions::default()) };
        Microsoft::new(options, Arc::new(SystemClock)).expect("a client")
    }

    fn analyst(&self) -> String {
        format!("analyst@{}", self.emulator.tenants()[0].domain)
    }

    async fn passes(&self, microsoft: &Microsoft, app: &App) {
        for source in Source::ALL {
            let read = microsoft.check_source(app, self.tenant, source).await;
            read.unwrap_or_else(|error| panic!("{} {source}: {error}", app.name));
        }
        // Each API's token is checked for what is read with it, and for nothing else.
        for (resource, sources) in [(GRAPH, 2), (ENDPOINT, 1), (XDR, 1), ("https://graph.windows.net", 1)] {
            let token = microsoft.access_token(app, self.tenant, resource).await.expect("the one in hand");
            let expected = Expected {
                tenant: Some(self.tenant),
                resource: Some(resource.to_owned()),
                client_id: Some(self.client_id.clone()),
                access: app.access,
                sources: Source::ALL.to_vec(),
                issuer: app.endpoint.clone(),
            };
            let verified = microsoft.verify_token(token.secret.expose(), &expected).await;
            assert!(verified.passed(), "{} {resource}: {verified:?}", app.name);
            let permissions = verified.checks.iter().filter(|check| check.name.starts_with("permissions"));
            assert_eq!(permissions.count(), sources, "{verified:?}");
        }
    }
}

#[tokio::test]
async fn each_credential_on_each_endpoint_fetches_alerts() {
    let world = World::start(Config { tenants: 2, ..Config::default() }).await;
    let provider = world.emulator.provider().id;
    let object = world.emulator.managed_identities()[0].1.clone();
    let trust = DirectoryChange::AddFederatedCredential {
        app: Some(world.client_id.clone()),
        issuer: format!("https://sts.windows.net/{provider}/"),
        subject: object,
        audience: None,
    };
    world.emulator.change(trust).expect("a federated credential");
    let microsoft = world.microsoft(None);
    for endpoint in [Endpoint::V1, Endpoint::V2] {
        let signed =
            |algorithm| Credential::Certificate(Arc::new(world.certificate().signing_with(algorithm)));
        for (name, credential) in [
            ("secret", Credential::Secret(SECRET.into())),
            ("certificate", Credential::Certificate(Arc::new(world.certificate()))),
            ("certificate PS256", signed(AssertionAlgorithm::Ps256)),
            ("certificate RS256", signed(AssertionAlgorithm::Rs256)),
            ("federated", Credential::Federated(Assertion::ManagedIdentity(world.identity()))),
        ] {
            let name = format!("{name} {endpoint:?}");
            let app = world.app(&name, credential, endpoint.clone(), Access::Application);
            world.passes(&microsoft, &app).await;
        }
    }
}

#[tokio::test]
async fn a_managed_identity_reaches_its_own_tenant_only() {
    let world = World::start(Config { tenants: 1, ..Config::default() }).await;
    let microsoft = world.microsoft(None);
    let identity = Credential::ManagedIdentity(world.identity());
    let app = world.app("machine", identity, Endpoint::V2, Access::Application);
    let own: TenantId = world.emulator.provider().id.parse().expect("a GUID");
    microsoft.access_token(&app, own, GRAPH).await.expect("a token of its own tenant");
    let error = microsoft.access_token(&app, world.tenant, GRAPH).await.expect_err("another tenant");
    assert!(matches!(error, TokenError::WrongToken { claim: "tenant", .. }), "{error}");
}

#[tokio::test]
async fn a_person_signs_in_on_each_endpoint_and_alerts_are_fetched_for_them() {
    let world = World::start(Config { tenants: 2, ..Config::default() }).await;
    for endpoint in [Endpoint::V1, Endpoint::V2] {
        for (credential, redirect) in [
            (Credential::Secret(SECRET.into()), REDIRECT),
            (Credential::Certificate(Arc::new(world.certificate())), REDIRECT),
            (Credential::None, "http://localhost:7777"),
        ] {
            let keeper = Arc::new(Keeper::default());
            let microsoft = world.microsoft(Some(keeper.clone()));
            let app = world.app(
                &format!("{credential:?} {endpoint:?}"),
                credential,
                endpoint.clone(),
                Access::Delegated,
            );
            let pkce = Pkce::generate([3; 32]);
            let request = AuthorizeRequest {
                app: &app,
                tenant: Some(world.tenant),
                resource: GRAPH,
                redirect_uri: redirect,
                state: "a state",
                nonce: "a nonce",
                challenge: &pkce.challenge(),
                login_hint: None,
                prompt: None,
                response_mode: ResponseMode::Query,
            };
            let page = microsoft.authorize_url(&request).await.expect("a page");
            let back = world.emulator.sign_in(page.as_str(), &world.analyst(), true).expect("a sign-in");
            let back = url::Url::parse(&back).expect("an address");
            let answer: HashMap<_, _> = back.query_pairs().into_owned().collect();
            assert_eq!(answer["state"], "a state");
            let code = Secret::from(answer["code"].as_str());
            let stolen = Pkce::generate([4; 32]);
            let redeem = async |verifier| {
                microsoft.redeem_code(&app, world.tenant, &code, redirect, verifier, GRAPH).await
            };
            redeem(stolen.verifier()).await.expect_err("another proof key");
            let granted = match redeem(pkce.verifier()).await {
                Ok(granted) => granted,
                // A code that was tried with a wrong key is spent.
                Err(_) => {
                    let back =
                        world.emulator.sign_in(page.as_str(), &world.analyst(), true).expect("a sign-in");
                    let back = url::Url::parse(&back).expect("an address");
                    let answer: HashMap<_, _> = back.query_pairs().into_owned().collect();
                    let code = Secret::from(answer["code"].as_str());
                    microsoft
                        .redeem_code(&app, world.tenant, &code, redirect, pkce.verifier(), GRAPH)
                        .await
                        .expect("a grant")
                }
            };
            assert_eq!((granted.account, granted.tenant), (world.analyst(), Some(world.tenant)));
            assert_eq!(granted.nonce.as_deref(), Some("a nonce"));
            let first = granted.refresh_token.expect("offline access");
            keeper.put(first.clone());
            world.passes(&microsoft, &app).await;
            assert_ne!(keeper.held().expect("one").expose(), first.expose());

            world
                .emulator
                .change(DirectoryChange::RevokeSessions { account: world.analyst() })
                .expect("revoked");
            let error = microsoft.fresh_access_token(&app, world.tenant, GRAPH).await.expect_err("revoked");
            assert_eq!((error.fault(), error.ends_grant()), (Fault::GrantRevoked, true), "{error}");
            // What was issued before serves until it ends.
            microsoft.access_token(&app, world.tenant, GRAPH).await.expect("the one in hand");
        }
    }
}

#[tokio::test]
async fn a_person_types_a_code_on_each_endpoint() {
    let world = World::start(Config { tenants: 1, ..Config::default() }).await;
    let microsoft = world.microsoft(None);
    for endpoint in [Endpoint::V1, Endpoint::V2] {
        let app = world.app("device", Credential::None, endpoint, Access::Delegated);
        let code = microsoft.start_device_code(&app, world.tenant, GRAPH).await.expect("a code");
        let poll = async || microsoft.poll_device_code(&app, world.tenant, &code).await.expect("an answer");
        assert!(matches!(poll().await, DevicePoll::Pending { .. }));
        let page = format!("{}?otc={}", code.verification_uri, code.user_code);
        // The walk ends on a page that says so: there is no application in this browser.
        let done =
            world.emulator.sign_in(&page, &world.analyst(), true).expect_err("no redirect").to_string();
        assert!(done.contains("signed in"), "{done}");
        let DevicePoll::Granted(granted) = poll().await else { panic!("the person is done") };
        assert_eq!((granted.account, granted.tenant), (world.analyst(), Some(world.tenant)));
        assert!(granted.refresh_token.is_some());
    }
}

#[tokio::test]
async fn what_ends_an_apps_access_is_told_as_what_it_is() {
    let world = World::start(Config { tenants: 1, ..Config::default() }).await;
    let microsoft = world.microsoft(None);
    let secret = || Credential::Secret(SECRET.into());
    let app = world.app("main", secret(), Endpoint::V2, Access::Application);
    let fault = async |app: &App| match microsoft.fresh_access_token(app, world.tenant, GRAPH).await {
        Ok(_) => match microsoft.check_source(app, world.tenant, Source::GraphAlerts).await {
            Ok(()) => panic!("{} still reads", app.name),
            Err(error) => error.fault(),
        },
        Err(error) => error.fault(),
    };
    let wrong = world.app("wrong", Credential::Secret("wrong".into()), Endpoint::V2, Access::Application);
    assert_eq!(fault(&wrong).await, Fault::WrongSecret);
    let other = Arc::new({
        let now = SystemClock.now();
        let end = now.saturating_add(Duration::from_secs(60)).expect("in range");
        Certificate::from_pem(&self_signed("x", now, end).expect("one")).expect("a certificate")
    });
    let stranger = world.app("stranger", Credential::Certificate(other), Endpoint::V2, Access::Application);
    assert_eq!(fault(&stranger).await, Fault::CertificateRejected);
    let id = Some(world.client_id.clone());
    let tenant = world.tenant.to_string();
    let change = |change| world.emulator.change(change).expect("a change");
    let alert = format!("{GRAPH}/SecurityAlert.Read.All");
    change(DirectoryChange::RemoveRole { tenant: tenant.clone(), app: id.clone(), role: alert });
    assert_eq!(fault(&app).await, Fault::MissingRole);
    change(DirectoryChange::EnableApp { app: id.clone(), tenant: Some(tenant.clone()), enabled: false });
    assert_eq!(fault(&app).await, Fault::AppDisabled);
    change(DirectoryChange::EnableApp { app: id.clone(), tenant: Some(tenant.clone()), enabled: true });
    change(DirectoryChange::RemoveConsent { tenant: tenant.clone(), app: id.clone() });
    let lost = fault(&app).await;
    assert!(matches!(lost, Fault::AppUnknown | Fault::LostConsent), "{lost}");
    change(DirectoryChange::Consent { tenant, app: id.clone() });
    microsoft.check_source(&app, world.tenant, Source::GraphAlerts).await.expect("consent heals it");
    change(DirectoryChange::ExpireSecrets { app: id });
    assert_eq!(fault(&app).await, Fault::SecretExpired);
}

#[tokio::test]
async fn a_thousand_tenants_cost_one_request_each() {
    let emulator = muster_emulator::start(Config { tenants: 1_000, ..Config::default() }).await;
    let emulator = emulator.expect("the emulator starts");
    emulator.set_token_delay(Duration::from_millis(20));
    let base = emulator.base_url();
    let cloud = Cloud::custom(&base, &base, None).expect("an address");
    let options = MicrosoftOptions::new(cloud, ClientOptions::default());
    let microsoft = Arc::new(Microsoft::new(options, Arc::new(SystemClock)).expect("a client"));
    let app = Arc::new(App::new("main", emulator.app_id(), Credential::Secret(emulator.secret().into())));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        for tenant in emulator.tenants() {
            let (microsoft, app) = (Arc::clone(&microsoft), Arc::clone(&app));
            tasks.spawn(async move {
                let tenant = tenant.id.parse().expect("a GUID");
                microsoft.access_token(&app, tenant, GRAPH).await.expect("a token");
            });
        }
    }
    tasks.join_all().await;
    let requests = emulator.token_requests();
    assert_eq!(requests.len(), 1_000);
    assert!(requests.iter().all(|counted| counted.requests == 1 && counted.most_at_a_time == 1));
}

/// Keeps one grant in memory.
#[derive(Default)]
struct Keeper(Mutex<Option<Secret<String>>>);

impl Keeper {
    fn put(&self, token: Secret<String>) {
        *self.0.lock().expect("no panic") = Some(token);
    }

    fn held(&self) -> Option<Secret<String>> {
        self.0.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl GrantKeeper for Keeper {
    async fn lease(&self, tenant: TenantId, app: &str) -> Result<Leased, GrantError> {
        let refresh_token = self.held().ok_or(GrantError::None)?;
        Ok(Leased { tenant, app: app.to_owned(), refresh_token, fence: 1 })
    }

    async fn renewed(&self, _lease: &Leased, new: Option<&Secret<String>>) -> Result<(), GrantError> {
        if let Some(new) = new {
            self.put(new.clone());
        }
        Ok(())
    }

    async fn failed(&self, _lease: &Leased, _reason: &str, _dead: bool) {}
}
