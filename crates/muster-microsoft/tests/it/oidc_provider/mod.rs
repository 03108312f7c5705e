//! Muster's client against an OpenID provider that nobody here wrote: the npm package `oidc-provider`.
//!
//! Skipped, and says so, where `.ci/install-peers` has not been run; with `MUSTER_REQUIRE_PEERS=1` that is a failure.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_http::ClientOptions;
use muster_microsoft::entra::certificate::{AssertionAlgorithm, Certificate};
use muster_microsoft::entra::credential::{Access, App, Credential, Endpoint};
use muster_microsoft::entra::delegated::{AuthorizeRequest, Granted, Pkce, ResponseMode};
use muster_microsoft::entra::device_code::DevicePoll;
use muster_microsoft::entra::error::TokenError;
use muster_microsoft::entra::grant::{GrantError, GrantKeeper, Leased};
use muster_microsoft::entra::new_certificate::self_signed;
use muster_microsoft::entra::verify::Expected;
use muster_microsoft::{Cloud, Fault, Microsoft, MicrosoftOptions, NationalCloud};
use muster_model::{Clock, Secret, SystemClock, TenantId};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use url::Url;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

const RESOURCE: &str = "https://graph.microsoft.com";
const REDIRECT: &str = "https://muster.example/SiemMsspConnector";
const SECRET: &str = "a secret with + & = % and blanks";

#[tokio::test]
async fn a_person_signs_in_and_their_grant_is_renewed() {
    let Some(provider) = Provider::start() else { return };
    let keeper = Arc::new(Keeper::default());
    let microsoft = provider.microsoft(Some(keeper.clone()));
    let app = App { access: Access::Delegated, ..provider.app("web", Credential::Secret(SECRET.into())) };

    let granted = provider.sign_in(&microsoft, &app).await;
    assert_eq!(granted.account, "analyst@contoso.example");
    assert_eq!(granted.nonce.as_deref(), Some("a nonce"));
    let verified =
        microsoft.verify_token(granted.access_token.secret.expose(), &provider.expected("web")).await;
    assert!(verified.passed(), "{verified:?}");
    assert!(verified.checks.iter().any(|check| check.name == "signature" && check.passed == Some(true)));

    let first = granted.refresh_token.expect("offline access was asked for");
    keeper.put(&first);
    let token = microsoft.access_token(&app, tenant(), RESOURCE).await.expect("a token by the grant");
    let second = keeper.held().expect("the provider rotates");
    assert_ne!(second.expose(), first.expose());
    assert_ne!(token.secret.expose(), granted.access_token.secret.expose());
    let again = microsoft.access_token(&app, tenant(), RESOURCE).await.expect("the token in hand");
    assert_eq!(again.secret.expose(), token.secret.expose());
    assert_eq!(keeper.leases(), 1);
    microsoft.fresh_access_token(&app, tenant(), RESOURCE).await.expect("the rotated token works");
    let third = keeper.held().expect("it rotates each time");

    // A token that was used before betrays a thief: this provider ends the grant, and that is told as what it is.
    keeper.put(&first);
    let error =
        microsoft.fresh_access_token(&app, tenant(), RESOURCE).await.expect_err("a token used before");
    assert_eq!((error.fault(), error.needs_a_person()), (Fault::GrantRevoked, true), "{error}");
    assert_eq!(keeper.died(), 1);
    keeper.put(&third);
    microsoft.fresh_access_token(&app, tenant(), RESOURCE).await.expect_err("the grant is gone as a whole");
}

#[tokio::test]
async fn a_code_works_once_and_with_its_own_proof_key_only() {
    let Some(provider) = Provider::start() else { return };
    let microsoft = provider.microsoft(None);
    let app = provider.app("web", Credential::Secret(SECRET.into()));
    let pkce = Pkce::generate([7; 32]);
    let code = provider.code(&microsoft, &app, &pkce).await;
    let stolen = Pkce::generate([8; 32]);
    let error = microsoft
        .redeem_code(&app, None, &code, REDIRECT, stolen.verifier(), RESOURCE)
        .await
        .expect_err("another proof key");
    assert!(matches!(&error, TokenError::Refused { error, .. } if error == "invalid_grant"), "{error}");

    let code = provider.code(&microsoft, &app, &pkce).await;
    let redeem = || microsoft.redeem_code(&app, None, &code, REDIRECT, pkce.verifier(), RESOURCE);
    redeem().await.expect("the first time");
    let error = redeem().await.expect_err("the second time");
    assert!(error.ends_grant(), "{error}");
    let elsewhere = "https://muster.example/other";
    let code = provider.code(&microsoft, &app, &pkce).await;
    microsoft
        .redeem_code(&app, None, &code, elsewhere, pkce.verifier(), RESOURCE)
        .await
        .expect_err("another redirect URI");
}

#[tokio::test]
async fn an_app_proves_itself_by_secret_and_by_certificate() {
    let Some(provider) = Provider::start() else { return };
    let microsoft = provider.microsoft(None);
    let mut apps = vec![provider.app("web", Credential::Secret(SECRET.into()))];
    for algorithm in [AssertionAlgorithm::Ps256, AssertionAlgorithm::Rs256] {
        let certificate = Arc::new(provider.certificate().signing_with(algorithm));
        apps.push(App {
            name: format!("{algorithm:?}"),
            ..provider.app("signed", Credential::Certificate(certificate))
        });
    }
    for app in &apps {
        let token = microsoft.access_token(app, tenant(), RESOURCE).await;
        let token = token.unwrap_or_else(|error| panic!("{}: {error}", app.name));
        let verified =
            microsoft.verify_token(token.secret.expose(), &provider.expected(&app.client_id)).await;
        assert!(verified.passed(), "{}: {verified:?}", app.name);
    }

    let wrong = provider.app("web", Credential::Secret("wrong".into()));
    let error = microsoft.fresh_access_token(&wrong, tenant(), RESOURCE).await.expect_err("a wrong secret");
    assert_eq!(error.fault(), Fault::WrongSecret);
    assert!(!error.to_string().contains("wrong\""), "{error}");
    let other = Arc::new(new_certificate());
    let stranger = provider.app("signed", Credential::Certificate(other));
    let error = microsoft.fresh_access_token(&stranger, tenant(), RESOURCE).await.expect_err("another key");
    assert_eq!(error.fault(), Fault::WrongSecret, "{error}");
}

#[tokio::test]
async fn a_forged_token_of_this_provider_is_found() {
    let Some(provider) = Provider::start() else { return };
    let microsoft = provider.microsoft(None);
    let app = provider.app("web", Credential::Secret(SECRET.into()));
    let token = microsoft.access_token(&app, tenant(), RESOURCE).await.expect("a token");
    let token = token.secret.expose().clone();
    let (head, signature) = token.rsplit_once('.').expect("a JWT");
    let (header, _) = head.split_once('.').expect("a JWT");
    let claims = URL_SAFE_NO_PAD.encode(r#"{"aud":"https://graph.microsoft.com","exp":9999999999}"#);
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    for forged in
        [format!("{header}.{claims}.{signature}"), format!("{none}.{claims}."), format!("{head}.AAAA")]
    {
        let verified = microsoft.verify_token(&forged, &provider.expected("web")).await;
        let signature = verified.checks.iter().find(|check| check.name == "signature").expect("the check");
        assert_eq!(signature.passed, Some(false), "{signature:?}");
        assert!(!verified.passed());
    }
}

#[tokio::test]
async fn a_sign_in_by_device_code_waits_for_the_person() {
    let Some(provider) = Provider::start() else { return };
    let microsoft = provider.microsoft(None);
    let app = provider.app("web", Credential::Secret(SECRET.into()));
    let code = microsoft.start_device_code(&app, None, RESOURCE).await.expect("a code to type");
    assert!(code.verification_uri.starts_with(provider.issuer.as_str()), "{}", code.verification_uri);
    assert!(!format!("{code:?}").contains(code.device_code.expose()));
    let poll = microsoft.poll_device_code(&app, None, &code).await.expect("an answer");
    assert!(matches!(poll, DevicePoll::Pending { .. }), "{poll:?}");
}

fn tenant() -> TenantId {
    "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID")
}

fn new_certificate() -> Certificate {
    Certificate::from_pem(&new_pem()).expect("it can be read")
}

fn new_pem() -> Secret<Vec<u8>> {
    let now = SystemClock.now();
    let day = std::time::Duration::from_secs(86_400);
    self_signed("muster", now, now.saturating_add(day).expect("in range")).expect("a certificate")
}

/// The provider's process. It ends when its standard input is closed, which dropping this does.
struct Provider {
    child: Child,
    /// Kept open: the process may write more, and would end if nobody could read it.
    _stdout: BufReader<ChildStdout>,
    issuer: Url,
    pem: Secret<Vec<u8>>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("it was started here");
    }
}

impl Provider {
    /// Starts it with its two clients; `None`, and a word about it, where it is not installed.
    fn start() -> Option<Self> {
        let folder = peers().join("oidc-provider");
        if !folder.join("node_modules/oidc-provider").is_dir() {
            let required = environment("MUSTER_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "oidc-provider is not installed: run .ci/install-peers");
            eprintln!("skipped: oidc-provider is not installed; .ci/install-peers does it");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oidc_provider/server.mjs");
        // Node looks for packages beside the script.
        let copy = folder.join(format!("server-{}-{}.mjs", std::process::id(), uuid::Uuid::new_v4()));
        std::fs::copy(script, &copy).expect("the script can be copied");
        let mut child = Command::new("node")
            .arg(&copy)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed where the package is");
        let pem = new_pem();
        let certificate = Certificate::from_pem(&pem).expect("it can be read");
        let clients = serde_json::json!({"clients": [
            {
                "client_id": "web",
                "client_secret": SECRET,
                "token_endpoint_auth_method": "client_secret_post",
                "grant_types": [
                    "authorization_code", "refresh_token", "client_credentials",
                    "urn:ietf:params:oauth:grant-type:device_code",
                ],
                "redirect_uris": [REDIRECT],
            },
            {
                "client_id": "signed",
                "token_endpoint_auth_method": "private_key_jwt",
                "jwks": {"keys": [public_key(&certificate)]},
                "grant_types": ["client_credentials"],
                "response_types": [],
                "redirect_uris": [],
            },
        ]});
        let mut stdin = child.stdin.take().expect("it is piped");
        writeln!(stdin, "{clients}").expect("it reads its clients");
        child.stdin = Some(stdin);
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut line).expect("it tells its address");
        std::fs::remove_file(&copy).expect("it was copied here");
        let issuer = Url::parse(line.trim()).expect("an address");
        Some(Self { child, _stdout: stdout, issuer, pem })
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(&self.pem).expect("it can be read")
    }

    fn microsoft(&self, grants: Option<Arc<dyn GrantKeeper>>) -> Microsoft {
        let options = MicrosoftOptions {
            grants,
            ..MicrosoftOptions::new(Cloud::national(NationalCloud::Global), ClientOptions::default())
        };
        Microsoft::new(options, Arc::new(SystemClock)).expect("a client")
    }

    fn app(&self, client_id: &str, credential: Credential) -> App {
        let endpoint = Endpoint::Discovered(self.issuer.clone());
        App { endpoint, ..App::new(client_id, client_id, credential) }
    }

    fn expected(&self, client_id: &str) -> Expected {
        Expected {
            tenant: None,
            resource: Some(RESOURCE.to_owned()),
            client_id: Some(client_id.to_owned()),
            access: Access::Application,
            sources: Vec::new(),
            issuer: Endpoint::Discovered(self.issuer.clone()),
        }
    }

    async fn sign_in(&self, microsoft: &Microsoft, app: &App) -> Granted {
        let pkce = Pkce::generate([1; 32]);
        let code = self.code(microsoft, app, &pkce).await;
        microsoft
            .redeem_code(app, None, &code, REDIRECT, pkce.verifier(), RESOURCE)
            .await
            .expect("the code is good")
    }

    /// Walks through the provider's own pages as a browser does, up to the redirect with the code.
    async fn code(&self, microsoft: &Microsoft, app: &App, pkce: &Pkce) -> Secret<String> {
        let request = AuthorizeRequest {
            app,
            tenant: None,
            resource: RESOURCE,
            redirect_uri: REDIRECT,
            state: "a state & more",
            nonce: "a nonce",
            challenge: &pkce.challenge(),
            login_hint: None,
            prompt: None,
            response_mode: ResponseMode::Query,
        };
        let page = microsoft.authorize_url(&request).await.expect("a page");
        let mut browser = Browser::new();
        let mut next = browser.go(page, None).await;
        let mut steps = 0;
        while !next.as_str().starts_with(REDIRECT) {
            steps += 1;
            assert!(steps < 12, "the provider leads in circles: {next}");
            next = match next.path().starts_with("/interaction/") {
                false => browser.go(next, None).await,
                true => {
                    let html = browser.page(next.clone()).await;
                    let form: &[(&str, &str)] = match html.contains("name=\"login\"") {
                        true => {
                            &[("prompt", "login"), ("login", "analyst@contoso.example"), ("password", "x")]
                        }
                        false => &[("prompt", "consent")],
                    };
                    browser.go(next, Some(form)).await
                }
            };
        }
        let answer: HashMap<_, _> = next.query_pairs().into_owned().collect();
        assert_eq!(answer["state"], "a state & more");
        Secret::from(answer["code"].as_str())
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what must be there")]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

fn peers() -> PathBuf {
    // The test's program is at <target>/<profile>/deps/.
    let program = std::env::current_exe().expect("the test runs");
    program.ancestors().nth(3).expect("the target folder").join("peers")
}

/// The public key of a certificate, as a client registers it.
fn public_key(certificate: &Certificate) -> serde_json::Value {
    let (_, parsed) =
        x509_parser::certificate::X509Certificate::from_der(certificate.der()).expect("a certificate");
    let PublicKey::RSA(key) = parsed.public_key().parsed().expect("a key") else { panic!("an RSA key") };
    let number = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(&bytes[start..])
    };
    serde_json::json!({"kty": "RSA", "use": "sig", "n": number(key.modulus), "e": number(key.exponent)})
}

/// As much of a browser as the provider's pages need: it keeps cookies, and follows nothing by itself.
struct Browser {
    client: reqwest::Client,
    cookies: HashMap<String, String>,
}

impl Browser {
    fn new() -> Self {
        let provider = rustls::crypto::ring::default_provider();
        // Another test may have been first.
        provider.install_default().ok();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        Self { client: client.expect("a client"), cookies: HashMap::new() }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await.expect("an answer");
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a pair");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }

    async fn page(&mut self, url: Url) -> String {
        let request = self.client.get(url);
        self.send(request).await.text().await.expect("a page")
    }

    /// Opens a page or posts a form, and tells where it leads.
    async fn go(&mut self, url: Url, form: Option<&[(&str, &str)]>) -> Url {
        let request = match form {
            None => self.client.get(url.clone()),
            Some(form) => self.client.post(url.clone()).form(form),
        };
        let response = self.send(request).await;
        let status = response.status();
        let location = response.headers().get(LOCATION).map(|value| value.to_str().expect("text").to_owned());
        match location {
            Some(location) => url.join(&location).expect("an address"),
            None => panic!("{url} answers {status}: {}", response.text().await.unwrap_or_default()),
        }
    }
}

/// Keeps one grant in memory.
#[derive(Default)]
struct Keeper(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    token: Option<Secret<String>>,
    leases: u64,
    died: u32,
}

impl Keeper {
    fn put(&self, token: &Secret<String>) {
        self.0.lock().expect("no panic").token = Some(token.clone());
    }

    fn held(&self) -> Option<Secret<String>> {
        self.0.lock().expect("no panic").token.clone()
    }

    fn leases(&self) -> u64 {
        self.0.lock().expect("no panic").leases
    }

    fn died(&self) -> u32 {
        self.0.lock().expect("no panic").died
    }
}

#[async_trait]
impl GrantKeeper for Keeper {
    async fn lease(&self, tenant: TenantId, app: &str) -> Result<Leased, GrantError> {
        let mut kept = self.0.lock().expect("no panic");
        kept.leases += 1;
        let refresh_token = kept.token.clone().ok_or(GrantError::None)?;
        Ok(Leased { tenant, app: app.to_owned(), refresh_token, fence: kept.leases })
    }

    async fn renewed(&self, _lease: &Leased, new: Option<&Secret<String>>) -> Result<(), GrantError> {
        let mut kept = self.0.lock().expect("no panic");
        if let Some(new) = new {
            kept.token = Some(new.clone());
        }
        Ok(())
    }

    async fn failed(&self, _lease: &Leased, _reason: &str, dead: bool) {
        self.0.lock().expect("no panic").died += u32::from(dead);
    }
}
