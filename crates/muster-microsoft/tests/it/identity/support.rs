//! What the tests of this folder share: a clock, tokens, keys, a keeper of grants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_http::ClientOptions;
use muster_microsoft::entra::certificate::Certificate;
use muster_microsoft::entra::credential::{App, Credential};
use muster_microsoft::entra::grant::{GrantError, GrantKeeper, Leased};
use muster_microsoft::{Cloud, Microsoft, MicrosoftOptions};
use muster_model::{ManualClock, Secret, TenantId};
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaPublicKeyComponents};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::server::{Reply, Server};

pub(crate) const GRAPH: &str = "https://graph.microsoft.com";
pub(crate) const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const SECRET: &str = "hunter2~&=+%";
pub(crate) const PEM: &[u8] = include_bytes!("../../certificates/pkcs8-and-chain.pem");
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn tenant() -> TenantId {
    "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID")
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_second(NOW).expect("a time")))
}

pub(crate) fn certificate() -> Certificate {
    Certificate::from_pem(&Secret::new(PEM.to_vec())).expect("a certificate")
}

pub(crate) fn app(credential: Credential) -> App {
    App::new("main", CLIENT_ID, credential)
}

pub(crate) fn with_secret() -> App {
    app(Credential::Secret(SECRET.into()))
}

pub(crate) fn options(server: &Server) -> MicrosoftOptions {
    let cloud = Cloud::custom(&server.address, &server.address, None).expect("an address");
    MicrosoftOptions::new(cloud, ClientOptions::default())
}

pub(crate) fn microsoft(server: &Server) -> Microsoft {
    Microsoft::new(options(server), clock()).expect("a client")
}

/// The claims of a good token for the tenant.
pub(crate) fn claims() -> Value {
    json!({
        "aud": GRAPH, "tid": tenant(), "iss": "https://sts.example/", "ver": "1.0", "appid": CLIENT_ID,
        "iat": NOW, "nbf": NOW, "exp": NOW + 3600,
        "roles": ["SecurityAlert.Read.All"], "scp": "SecurityAlert.Read.All openid",
    })
}

/// A token that nobody can check.
pub(crate) fn token(claims: &Value) -> String {
    format!(
        "{}.{}.c2ln",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    )
}

/// What a token endpoint answers.
pub(crate) fn issued(token: &str) -> Reply {
    Reply::json(200, &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}))
}

pub(crate) fn refused(status: u16, error: &str, code: u32) -> Reply {
    let (codes, prefix) = match code {
        0 => (json!([]), String::new()),
        code => (json!([code]), format!("AADSTS{code}: ")),
    };
    let description = format!("{prefix}words of Microsoft.\r\nTrace ID: x");
    Reply::json(status, &json!({"error": error, "error_description": description, "error_codes": codes}))
}

/// An issuer's key.
pub(crate) struct Signer(KeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        let key = PrivatePkcs8KeyDer::from_pem_slice(PEM).expect("a key");
        Self(KeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("an RSA key"))
    }

    /// The key document's entry, which the test may change.
    pub(crate) fn public(&self, kid: &str) -> Value {
        let key = RsaPublicKeyComponents::<Vec<u8>>::from(self.0.public());
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "RSA", "use": "sig", "kid": kid, "n": number(&key.n), "e": number(&key.e)})
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let padding: &'static dyn RsaEncoding =
            if header["alg"] == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.0.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        self.0.sign(padding, &random, signed.as_bytes(), &mut signature).expect("it signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A keeper of one grant that does as a test says, and remembers what was done with it.
#[derive(Default)]
pub(crate) struct Keeper {
    pub(crate) token: Mutex<Option<String>>,
    /// What comes before the grant is lent.
    pub(crate) busy: Mutex<VecDeque<GrantError>>,
    pub(crate) keeps: Mutex<Option<GrantError>>,
    pub(crate) events: Mutex<Vec<String>>,
}

impl Keeper {
    pub(crate) fn with(token: &str) -> Arc<Self> {
        Arc::new(Self { token: Mutex::new(Some(token.to_owned())), ..Self::default() })
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().expect("no panic").clone()
    }

    fn tell(&self, event: String) {
        self.events.lock().expect("no panic").push(event);
    }
}

#[async_trait]
impl GrantKeeper for Keeper {
    async fn lease(&self, tenant: TenantId, app: &str) -> Result<Leased, GrantError> {
        if let Some(error) = self.busy.lock().expect("no panic").pop_front() {
            self.tell("busy".to_owned());
            return Err(error);
        }
        self.tell("lent".to_owned());
        let refresh_token = self.token.lock().expect("no panic").clone().ok_or(GrantError::None)?;
        Ok(Leased { tenant, app: app.to_owned(), refresh_token: Secret::new(refresh_token), fence: 7 })
    }

    async fn renewed(&self, lease: &Leased, new: Option<&Secret<String>>) -> Result<(), GrantError> {
        assert_eq!(lease.fence, 7);
        self.tell(format!("renewed {}", new.map_or("nothing", |new| new.expose())));
        match self.keeps.lock().expect("no panic").clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn failed(&self, _lease: &Leased, reason: &str, dead: bool) {
        assert!(!reason.contains("the-refresh-token"));
        self.tell(format!("failed, {}", if dead { "dead" } else { "alive" }));
    }
}
