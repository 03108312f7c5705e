//! How apps prove themselves: secrets, certificates, other issuers' tokens, managed identities.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use muster_emulator::{AppRegistration, Clock, Config, DirectoryChange, ManualClock};
use serde_json::{Value, json};

use super::support::{Emulated, claims_of};

const GRAPH: &str = "https://graph.microsoft.com";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A key with its certificate, as an operator would have made it.
pub(crate) struct KeyAndCertificate {
    pub(crate) key_pem: String,
    pub(crate) certificate_pem: String,
    der: Vec<u8>,
}

impl KeyAndCertificate {
    fn make() -> Self {
        use rsa::pkcs8::EncodePrivateKey;
        let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let key_pem = private.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).unwrap().to_string();
        let pair = rcgen::KeyPair::from_pem_and_sign_algo(&key_pem, &rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap();
        Self { key_pem, certificate_pem: certificate.pem(), der: certificate.der().to_vec() }
    }

    /// Two of them, made once: it takes long.
    pub(crate) fn pair() -> &'static [Self; 2] {
        static PAIR: OnceLock<[KeyAndCertificate; 2]> = OnceLock::new();
        PAIR.get_or_init(|| [Self::make(), Self::make()])
    }

    pub(crate) fn sha1(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        URL_SAFE_NO_PAD.encode(digest.as_ref())
    }

    fn sha256(&self) -> String {
        URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &self.der).as_ref())
    }

    /// A token with this header and these claims.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let algorithm = if header["alg"] == "PS256" { Algorithm::PS256 } else { Algorithm::RS256 };
        let key = EncodingKey::from_rsa_pem(self.key_pem.as_bytes()).unwrap();
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

fn now() -> i64 {
    muster_emulator::SystemClock.now().as_second()
}

struct Assertions {
    world: Emulated,
    tenant: String,
    app: String,
}

impl Assertions {
    async fn start() -> Self {
        let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
        let tenant = world.tenant(0).id;
        let app = world.emulator.app_id().to_owned();
        let certificate = KeyAndCertificate::pair()[0].certificate_pem.clone();
        world.emulator.change(DirectoryChange::AddCertificate { app: None, certificate }).unwrap();
        Self { world, tenant, app }
    }

    fn claims(&self, audience: &str) -> Value {
        json!({
            "aud": audience, "iss": self.app, "sub": self.app, "jti": "6b2f1c0e-1f2a-4c4c-8a7e-1f0a1e2d3c4b",
            "nbf": now(), "iat": now(), "exp": now() + 600,
        })
    }

    fn endpoint(&self) -> String {
        self.world.url(&format!("{}/oauth2/v2.0/token", self.tenant), &[])
    }

    async fn send(&self, assertion: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.app.as_str()),
            ("scope", "https://graph.microsoft.com/.default"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ];
        self.world.post(&format!("{}/oauth2/v2.0/token", self.tenant), &form).await
    }

    async fn refused(&self, assertion: &str, code: u64) {
        let (status, body) = self.send(assertion).await;
        assert!(status == 401 || status == 400, "{body}");
        assert_eq!(body["error_codes"][0].as_u64(), Some(code), "{body}");
        assert_eq!(body["error"], "invalid_client");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_proves_an_app_in_each_form() {
    let own = Assertions::start().await;
    let key = &KeyAndCertificate::pair()[0];
    let forms = [
        json!({"typ": "JWT", "alg": "PS256", "x5t#S256": key.sha256()}),
        json!({"typ": "JWT", "alg": "RS256", "x5t#S256": key.sha256()}),
        json!({"typ": "JWT", "alg": "RS256", "x5t": key.sha1(), "x5c": "a text, not a list"}),
    ];
    let audiences = [
        own.endpoint(),
        own.world.url(&format!("{}/oauth2/token", own.tenant), &[]),
        format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", own.tenant),
        format!("https://sts.windows.net/{}/", own.tenant),
        format!("https://login.microsoftonline.com/{}/v2.0", own.world.tenant(0).domain),
    ];
    for header in &forms {
        let (status, body) = own.send(&key.sign(header, &own.claims(&audiences[0]))).await;
        assert_eq!(status, 200, "{header} {body}");
        assert_eq!(claims_of(body["access_token"].as_str().unwrap())["appidacr"], "2");
    }
    for audience in &audiences {
        assert_eq!(own.send(&key.sign(&forms[0], &own.claims(audience))).await.0, 200, "{audience}");
    }
    let mut texts = own.claims(&audiences[0]);
    texts["nbf"] = Value::from(now().to_string());
    texts["exp"] = Value::from((now() + 60).to_string());
    assert_eq!(own.send(&key.sign(&forms[0], &texts)).await.0, 200, "times may be text");
    own.world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assertions_that_are_not_right_are_refused() {
    let own = Assertions::start().await;
    let [key, other] = KeyAndCertificate::pair();
    let header = json!({"typ": "JWT", "alg": "PS256", "x5t#S256": key.sha256()});
    let good = own.claims(&own.endpoint());
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    own.refused(&other.sign(&header, &good), 700_027).await;
    let strange = json!({"typ": "JWT", "alg": "PS256", "x5t#S256": other.sha256()});
    own.refused(&other.sign(&strange, &good), 700_027).await;
    own.refused(&key.sign(&json!({"typ": "JWT", "alg": "PS256"}), &good), 700_027).await;
    for algorithm in ["none", "HS256", "RS512", "rs256"] {
        let header = json!({"typ": "JWT", "alg": algorithm, "x5t#S256": key.sha256()});
        own.refused(&key.sign(&header, &good), 700_027).await;
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = json!({"typ": "JWT", "alg": "none", "x5t#S256": key.sha256()});
    own.refused(&format!("{}.{}.", part(&none), part(&good)), 700_027).await;
    // A MAC keyed with what everybody knows, the certificate itself.
    let mac = json!({"typ": "JWT", "alg": "HS256", "x5t#S256": key.sha256()});
    let text = format!("{}.{}", part(&mac), part(&good));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.der);
    let tag = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, text.as_bytes()).as_ref());
    own.refused(&format!("{text}.{tag}"), 700_027).await;
    own.refused(&key.sign(&header, &with("exp", json!(now() - 400))), 700_024).await;
    own.refused(&key.sign(&header, &with("nbf", json!(now() + 400))), 700_024).await;
    assert_eq!(
        own.send(&key.sign(&header, &with("exp", json!(now() - 200)))).await.0,
        200,
        "within the skew"
    );
    own.refused(&key.sign(&header, &with("sub", json!("somebody"))), 700_021).await;
    for audience in [
        "https://evil.example/",
        "",
        &own.world.url(&format!("{}/oauth2/v2.0/token", own.world.tenant(1).id), &[]),
    ] {
        own.refused(&key.sign(&header, &with("aud", json!(audience))), 700_023).await;
    }
    own.refused("no.token.at-all", 50_027).await;
    own.refused(&format!("{}.{}.{}", part(&header), "x".repeat(100_000), "y"), 50_027).await;
    own.world.emulator.change(DirectoryChange::RemoveCertificates { app: None }).unwrap();
    own.refused(&key.sign(&header, &good), 700_027).await;
    own.world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_expire_and_new_ones_take_their_time() {
    let clock = Arc::new(ManualClock::new("2026-05-01T00:00:00Z".parse().unwrap()));
    let config = Config {
        tenants: 1,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        credential_delay: std::time::Duration::from_secs(30),
        ..Config::default()
    };
    let world = Emulated::start(config).await;
    let tenant = world.tenant(0).id;
    let ask = async |secret: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", world.emulator.app_id()),
            ("client_secret", secret),
            ("resource", GRAPH),
        ];
        let (status, body) = world.post(&format!("{tenant}/oauth2/token"), &form).await;
        (status, body["error_codes"][0].as_u64())
    };
    let old = world.emulator.secret();
    let add = DirectoryChange::AddSecret { app: None, secret: "second".to_owned(), expires: None };
    world.emulator.change(add).unwrap();
    assert_eq!(ask("second").await, (401, Some(7_000_215)));
    clock.advance(std::time::Duration::from_secs(31));
    assert_eq!(ask("second").await.0, 200);
    assert_eq!(ask(old).await.0, 200);
    world.emulator.change(DirectoryChange::ExpireSecrets { app: None }).unwrap();
    assert_eq!(ask(old).await, (401, Some(7_000_222)));
    world.emulator.change(DirectoryChange::RemoveSecrets { app: None }).unwrap();
    assert_eq!(ask(old).await.1, Some(700_025), "without any credential it is a public client");
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_and_another_issuer_stand_in_for_a_secret() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    let (client, object, _) = world.emulator.managed_identities()[0].clone();
    let imds = async |headers: &[(&'static str, &str)], query: &[(&str, &str)]| {
        let mut request = world.http.get(world.url("metadata/identity/oauth2/token", query));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap())
    };
    let exchange = [("api-version", "2018-02-01"), ("resource", "api://AzureADTokenExchange")];
    let (status, body) = imds(&[], &exchange).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("bad_request_102")));
    let (status, body) = imds(&[("Metadata", "true")], &exchange).await;
    assert_eq!(status, 200, "{body}");
    assert!(
        body["expires_in"].is_string() && body["expires_on"].is_string() && body["not_before"].is_string()
    );
    let token = body["access_token"].as_str().unwrap().to_owned();
    let claims = claims_of(&token);
    assert_eq!(
        (claims["oid"].as_str(), claims["appid"].as_str()),
        (Some(object.as_str()), Some(client.as_str()))
    );
    let metadata = [("Metadata", "true")];
    let unknown = [exchange[0], exchange[1], ("client_id", "nobody")];
    assert_eq!(imds(&metadata, &unknown).await.1["error"], "invalid_request");
    assert_eq!(
        imds(&metadata, &[exchange[0], ("resource", "https://nothing.example")]).await.1["error"],
        "invalid_resource"
    );
    assert_eq!(imds(&[("Metadata", "true"), ("X-Forwarded-For", "10.0.0.1")], &exchange).await.0, 403);

    let ask = async |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", world.emulator.app_id()),
            ("scope", "https://graph.microsoft.com/.default"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ];
        let (status, body) = world.post(&format!("{tenant}/oauth2/v2.0/token"), &form).await;
        (status, body["error_codes"][0].as_u64())
    };
    assert_eq!(ask(&token).await, (400, Some(700_211)));
    let trust =
        |issuer: &str, subject: &str, audience: Option<&str>| DirectoryChange::AddFederatedCredential {
            app: None,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: audience.map(str::to_owned),
        };
    let issuer = format!("https://sts.windows.net/{}/", world.emulator.provider().id);
    world.emulator.change(trust(&issuer, "somebody else", None)).unwrap();
    assert_eq!(ask(&token).await, (400, Some(700_213)));
    world.emulator.change(trust(&issuer, &object, Some("api://other"))).unwrap();
    assert_eq!(ask(&token).await, (400, Some(700_212)));
    world.emulator.change(trust(&issuer, &object, None)).unwrap();
    assert_eq!(ask(&token).await.0, 200);

    let [key, stranger] = KeyAndCertificate::pair();
    let issuer = "https://token.actions.example";
    let claims = json!({"iss": issuer, "sub": "repo:a/b", "aud": ["api://AzureADTokenExchange"], "exp": now() + 60, "iat": now()});
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "k1"});
    let assertion = key.sign(&header, &claims);
    world.emulator.change(trust(issuer, "repo:a/b", None)).unwrap();
    assert_eq!(ask(&assertion).await, (401, Some(700_027)), "its keys are not known");
    let (_, parsed) = x509_parser::parse_x509_certificate(&key.der).unwrap();
    let Ok(x509_parser::public_key::PublicKey::RSA(public)) = parsed.public_key().parsed() else {
        panic!("no RSA")
    };
    let modulus: Vec<u8> = public.modulus.iter().copied().skip_while(|byte| *byte == 0).collect();
    let keys = json!({"keys": [{"kty": "RSA", "kid": "k1", "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(public.exponent)}]});
    world.emulator.change(DirectoryChange::TrustIssuer { issuer: issuer.to_owned(), keys }).unwrap();
    assert_eq!(ask(&assertion).await.0, 200);
    assert_eq!(ask(&stranger.sign(&header, &claims)).await.1, Some(700_027));
    let mut late = claims.clone();
    late["exp"] = json!(now() - 3600);
    assert_eq!(ask(&key.sign(&header, &late)).await.1, Some(700_024));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_clients_and_single_tenant_apps_keep_to_their_rules() {
    let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
    let tenant = world.tenant(0);
    let connector = world
        .emulator
        .register_app(AppRegistration {
            name: format!("{} SIEM MSSP Connector", tenant.name),
            secret: Some("one-year".to_owned()),
            redirect_uris: vec!["https://mssp.example/SiemMsspConnector".to_owned()],
            ..AppRegistration::default()
        })
        .unwrap();
    let ask = async |tenant: &str, more: &[(&str, &str)]| {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", connector.as_str()),
            ("resource", GRAPH),
        ];
        form.extend_from_slice(more);
        let (status, body) = world.post(&format!("{tenant}/oauth2/token"), &form).await;
        (status, body["error_codes"][0].as_u64())
    };
    let secret = [("client_secret", "one-year")];
    assert_eq!(ask(&tenant.id, &secret).await, (400, Some(700_016)), "it belongs to the provider alone");
    assert_eq!(ask(&world.emulator.provider().id, &secret).await.0, 200);
    assert_eq!(ask("common", &secret).await, (400, Some(50_194)));
    assert_eq!(ask(&world.emulator.provider().id, &[]).await, (401, Some(7_000_218)));
    let basic = format!("Basic {}", STANDARD.encode(format!("{connector}:one%2Dyear")));
    let url = world.url(&format!("{}/oauth2/token", world.emulator.provider().domain), &[]);
    let form = [("grant_type", "client_credentials"), ("resource", GRAPH)];
    let answer = world.http.post(url).header("authorization", basic).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    world.emulator.stop().await;
}
