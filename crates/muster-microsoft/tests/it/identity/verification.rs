//! Whether a token is genuine, and the issuer's keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_microsoft::entra::credential::{Access, Endpoint};
use muster_microsoft::entra::error::TokenError;
use muster_microsoft::entra::verify::{Expected, Verification};
use muster_microsoft::{Fault, Microsoft};
use muster_model::{ManualClock, Source};
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::support::{CLIENT_ID, GRAPH, NOW, Signer, claims, clock, issued, options, tenant, with_secret};

/// An issuer whose key document a test may change.
struct Issuer {
    server: Server,
    signer: Signer,
    keys: Arc<Mutex<Value>>,
    away: Arc<AtomicBool>,
    token: Arc<Mutex<String>>,
    clock: Arc<ManualClock>,
    microsoft: Microsoft,
}

impl Issuer {
    async fn start() -> Self {
        let signer = Signer::new();
        let keys = Arc::new(Mutex::new(json!({"keys": [signer.public("first")]})));
        let away: Arc<AtomicBool> = Arc::default();
        let token: Arc<Mutex<String>> = Arc::default();
        let server = Server::start({
            let (keys, away, token) = (Arc::clone(&keys), Arc::clone(&away), Arc::clone(&token));
            move |asked, _| {
                if away.load(Ordering::SeqCst) {
                    return Reply::json(503, &json!({}));
                }
                let base = format!("http://{}", asked.headers["host"]);
                match asked.path.as_str() {
                    "/keys" => Reply::json(200, &keys.lock().expect("no panic"))
                        .header("cache-control", "max-age=86400, private"),
                    path if path.ends_with("/v2.0/.well-known/openid-configuration") => Reply::json(
                        200,
                        &json!({"issuer": "https://second.example/{tenantid}", "jwks_uri": format!("{base}/keys")}),
                    ),
                    path if path.ends_with("/.well-known/openid-configuration") => Reply::json(
                        200,
                        &json!({"issuer": "https://sts.example/", "jwks_uri": format!("{base}/keys")}),
                    ),
                    _ => issued(&token.lock().expect("no panic")),
                }
            }
        })
        .await;
        let clock = clock();
        let microsoft = Microsoft::new(options(&server), clock.clone()).expect("a client");
        Self { server, signer, keys, away, token, clock, microsoft }
    }

    fn sign(&self, alg: &str, kid: &str, claims: &Value) -> String {
        self.signer.sign(&json!({"alg": alg, "kid": kid, "typ": "JWT"}), claims)
    }

    async fn verify(&self, token: &str) -> Verification {
        self.microsoft.verify_token(token, &expected()).await
    }

    /// How one check of a token went.
    async fn check(&self, token: &str, name: &str) -> Option<bool> {
        let verification = self.verify(token).await;
        let check = verification.checks.iter().find(|check| check.name == name);
        check.unwrap_or_else(|| panic!("no check of {name} in {verification:?}")).passed
    }

    fn asked_for_keys(&self) -> usize {
        self.server.asked().iter().filter(|asked| asked.path == "/keys").count()
    }
}

fn expected() -> Expected {
    Expected {
        tenant: Some(tenant()),
        resource: Some(GRAPH.to_owned()),
        client_id: Some(CLIENT_ID.to_owned()),
        access: Access::Application,
        sources: vec![Source::GraphAlerts],
        issuer: Endpoint::V2,
    }
}

#[tokio::test]
async fn a_good_token_passes_every_check() {
    let issuer = Issuer::start().await;
    for alg in ["RS256", "PS256"] {
        let verification = issuer.verify(&issuer.sign(alg, "first", &claims())).await;
        assert!(verification.passed(), "{verification:?}");
        assert!(verification.checks.iter().all(|check| check.passed == Some(true)), "{verification:?}");
        assert_eq!(verification.checks.len(), 8);
        assert_eq!(verification.expires_at.expect("an end").as_second(), NOW + 3600);
    }
    let mut second = claims();
    second["ver"] = json!("2.0");
    second["iss"] = json!(format!("https://second.example/{}", tenant()));
    assert!(issuer.verify(&issuer.sign("RS256", "first", &second)).await.passed());
}

#[tokio::test]
async fn each_thing_that_is_wrong_fails_its_own_check() {
    let issuer = Issuer::start().await;
    for (name, value, check) in [
        ("iss", json!("https://evil.example/"), "issuer"),
        ("iss", json!(null), "issuer"),
        ("tid", json!("99999999-8a41-4b52-9c1e-0d6f7a8b9c0d"), "tenant"),
        ("tid", json!(null), "tenant"),
        ("aud", json!("https://vault.azure.net"), "audience"),
        ("aud", json!("8ee8fdad-f234-4243-8f3b-15c294843740"), "audience"),
        ("aud", json!(null), "audience"),
        ("appid", json!("99999999-2222-3333-4444-555555555555"), "app"),
        ("exp", json!(NOW - 301), "times"),
        ("exp", json!(null), "times"),
        ("exp", json!("soon"), "times"),
        ("nbf", json!(NOW + 301), "times"),
        ("iat", json!(NOW + 301), "times"),
        ("roles", json!(["SecurityIncident.Read.All"]), "permissions graph_alerts"),
        ("roles", json!([]), "permissions graph_alerts"),
    ] {
        let mut claims = claims();
        claims[name] = value;
        let verification = issuer.verify(&issuer.sign("RS256", "first", &claims)).await;
        let failed: Vec<_> = verification.checks.iter().filter(|check| check.passed == Some(false)).collect();
        assert_eq!(failed.len(), 1, "{name}: {verification:?}");
        assert_eq!(failed[0].name, check);
        assert!(!failed[0].remedy.is_empty() && !failed[0].detail.is_empty());
        assert!(!verification.passed());
    }
    // Five minutes of difference between the clocks are ordinary life; so is a token for the API by its app id.
    for (name, value) in [
        ("exp", json!(NOW - 299)),
        ("nbf", json!(NOW + 299)),
        ("aud", json!("00000003-0000-0000-c000-000000000000")),
        ("exp", json!((NOW + 60).to_string())),
    ] {
        let mut claims = claims();
        claims[name] = value;
        assert!(issuer.verify(&issuer.sign("RS256", "first", &claims)).await.passed(), "{name}");
    }
}

#[tokio::test]
async fn forged_signatures_are_found() {
    let issuer = Issuer::start().await;
    let good = issuer.sign("RS256", "first", &claims());
    let mut other = claims();
    other["roles"] = json!(["Directory.ReadWrite.All", "SecurityAlert.Read.All"]);
    let (header, rest) = good.split_once('.').expect("a JWT");
    let signature = rest.split_once('.').expect("a JWT").1;
    let with = |header: Value, signature: &str| {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{signature}", encode(&header), encode(&other))
    };
    let public = issuer.signer.public("first")["n"].as_str().expect("a number").to_owned();
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
    let unsigned = with(json!({"alg": "HS256", "kid": "first"}), "");
    let tag = ring::hmac::sign(&hmac, unsigned.trim_end_matches('.').as_bytes());
    let repeated = format!(
        "{}.{}.{signature}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","alg":"RS256","kid":"first"}"#),
        URL_SAFE_NO_PAD.encode(other.to_string())
    );
    for forged in [
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(other.to_string())),
        with(json!({"alg": "none", "kid": "first"}), ""),
        with(json!({"alg": "None", "kid": "first"}), signature),
        with(json!({"kid": "first"}), signature),
        format!("{unsigned}{}", URL_SAFE_NO_PAD.encode(tag)),
        with(json!({"alg": "ES256", "kid": "first"}), signature),
        with(json!({"alg": "RS256"}), signature),
        issuer.signer.sign(&json!({"alg": "RS256"}), &other),
        issuer.signer.sign(&json!({"alg": "RS256", "kid": "first", "crit": ["x"]}), &other),
        issuer.sign("RS256", "unknown", &other),
        // Signed one way, said to be signed the other way.
        issuer.signer.sign(&json!({"alg": "PS256", "kid": "first"}), &other).replacen(
            &URL_SAFE_NO_PAD.encode(json!({"alg": "PS256", "kid": "first"}).to_string()),
            &URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "kid": "first"}).to_string()),
            1,
        ),
        repeated,
    ] {
        assert_eq!(issuer.check(&forged, "signature").await, Some(false), "{forged}");
    }
    assert_eq!(issuer.check(&good, "signature").await, Some(true));
}

#[tokio::test]
async fn tokens_of_graph_cannot_be_checked_and_that_is_said() {
    let issuer = Issuer::start().await;
    let token = issuer.signer.sign(&json!({"alg": "RS256", "kid": "first", "nonce": "n"}), &claims());
    let verification = issuer.verify(&token).await;
    let signature = &verification.checks[1];
    assert_eq!((signature.name.as_str(), signature.passed), ("signature", None));
    assert!(signature.detail.contains("only Graph can check"));
    assert!(verification.passed() && verification.signature_unchecked());
    let by_id = {
        let mut claims = claims();
        claims["aud"] = json!("00000003-0000-0000-c000-000000000000");
        issuer.signer.sign(&json!({"alg": "RS256", "kid": "first", "nonce": "n"}), &claims)
    };
    assert_eq!(issuer.check(&by_id, "signature").await, None);
}

#[tokio::test]
async fn a_nonce_excuses_no_token_of_another_api() {
    let issuer = Issuer::start().await;
    let other = "https://api.securitycenter.microsoft.com";
    let with_nonce = |kid: &str, aud: Value| {
        let mut claims = claims();
        claims["aud"] = aud;
        issuer.signer.sign(&json!({"alg": "RS256", "kid": kid, "nonce": "n"}), &claims)
    };
    let broken = |token: &str| format!("{}.AAAA", token.rsplit_once('.').expect("a JWT").0);
    let signature = async |token: &str, resource: Option<&str>| {
        let expected = Expected { resource: resource.map(str::to_owned), ..expected() };
        let verification = issuer.microsoft.verify_token(token, &expected).await;
        assert_eq!(verification.signature_unchecked(), verification.checks[1].passed.is_none());
        verification.checks[1].passed
    };
    let ours = with_nonce("first", json!(other));
    assert_eq!(signature(&ours, Some(other)).await, Some(true), "it was signed as it is");
    for bad in [
        broken(&ours),
        with_nonce("invented", json!(other)),
        broken(&with_nonce("first", json!([GRAPH, other]))),
        broken(&with_nonce("first", json!([]))),
        broken(&with_nonce("first", Value::Null)),
    ] {
        for resource in [Some(other), Some(GRAPH), None] {
            assert_eq!(signature(&bad, resource).await, Some(false), "{bad} {resource:?}");
        }
    }
    let graph = broken(&with_nonce("first", json!(GRAPH)));
    for (resource, told) in [(Some(other), Some(false)), (Some(GRAPH), None), (None, None)] {
        assert_eq!(signature(&graph, resource).await, told, "{resource:?}");
    }
    // What the identity platform issues is judged the same way, now that the key is known.
    let fetch = async |token: &str, resource: &str| {
        *issuer.token.lock().expect("no panic") = token.to_owned();
        issuer.microsoft.fresh_access_token(&with_secret(), tenant(), resource).await
    };
    assert_eq!(fetch(&broken(&ours), other).await.expect_err("forged"), TokenError::Forged);
    fetch(&ours, other).await.expect("genuine");
    fetch(&graph, GRAPH).await.expect("only Graph can tell");
}

#[tokio::test]
async fn a_key_that_is_not_known_is_looked_for_seldom_until_it_is_there() {
    let issuer = Issuer::start().await;
    let rolled = issuer.sign("RS256", "second", &claims());
    assert_eq!(issuer.check(&issuer.sign("RS256", "first", &claims()), "signature").await, Some(true));
    for _ in 0..20 {
        assert_eq!(issuer.check(&rolled, "signature").await, Some(false));
    }
    assert_eq!(issuer.asked_for_keys(), 1);
    *issuer.keys.lock().expect("no panic") =
        json!({"keys": [issuer.signer.public("first"), issuer.signer.public("second")]});
    issuer.clock.advance(Duration::from_secs(299));
    assert_eq!(issuer.check(&rolled, "signature").await, Some(false));
    issuer.clock.advance(Duration::from_secs(2));
    assert_eq!(issuer.check(&rolled, "signature").await, Some(true));
    assert_eq!(issuer.asked_for_keys(), 2);
}

#[tokio::test]
async fn without_the_issuer_the_signature_is_not_judged_and_known_keys_serve_on() {
    let issuer = Issuer::start().await;
    let token = issuer.sign("RS256", "first", &claims());
    issuer.away.store(true, Ordering::SeqCst);
    let verification = issuer.verify(&token).await;
    assert_eq!((verification.checks[1].passed, verification.checks[2].passed), (None, None));
    assert!(verification.passed());
    issuer.away.store(false, Ordering::SeqCst);
    assert_eq!(issuer.check(&token, "signature").await, Some(true));
    issuer.away.store(true, Ordering::SeqCst);
    issuer.clock.advance(Duration::from_secs(600));
    assert_eq!(issuer.check(&token, "signature").await, Some(true));
}

#[tokio::test]
async fn odd_key_documents_give_no_key() {
    let issuer = Issuer::start().await;
    let token = issuer.sign("RS256", "first", &claims());
    let changed = |name: &str, value: Value| {
        let mut key = issuer.signer.public("first");
        key[name] = value;
        json!({"keys": [key]})
    };
    let many: Vec<Value> = (0..5_000).map(|number| issuer.signer.public(&format!("k{number}"))).collect();
    let mut few = many[..50].to_vec();
    few.push(issuer.signer.public("first"));
    let mut late = many.clone();
    late.truncate(200);
    late.push(issuer.signer.public("first"));
    let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
    for (document, passed) in [
        (changed("use", json!("enc")), None),
        (changed("use", json!(null)), None),
        (changed("kty", json!("EC")), None),
        (changed("kid", json!("")), None),
        (changed("n", json!(short)), None),
        (changed("n", json!("!")), None),
        (json!({"keys": []}), None),
        (json!([]), None),
        // More than a mebibyte, and more than a hundred keys.
        (json!({"keys": many}), None),
        (json!({"keys": late}), Some(false)),
        (json!({"keys": few}), Some(true)),
    ] {
        let of = format!("{document}").chars().take(90).collect::<String>();
        *issuer.keys.lock().expect("no panic") = document;
        // Another client has no keys in hand.
        let microsoft = Microsoft::new(options(&issuer.server), clock()).expect("a client");
        let verification = microsoft.verify_token(&token, &expected()).await;
        assert_eq!(verification.checks[1].passed, passed, "{of}: {:?}", verification.checks[1]);
    }
}

#[tokio::test]
async fn keys_are_not_fetched_from_elsewhere() {
    let trap = Server::start(|_, _| Reply::json(200, &json!({}))).await;
    let address = trap.address.clone();
    let server = Server::start(move |_, _| {
        Reply::json(200, &json!({"issuer": "https://sts.example/", "jwks_uri": format!("{address}/keys")}))
    })
    .await;
    let microsoft = Microsoft::new(options(&server), clock()).expect("a client");
    let token = Signer::new().sign(&json!({"alg": "RS256", "kid": "first"}), &claims());
    let verification = microsoft.verify_token(&token, &expected()).await;
    assert_eq!(verification.checks[1].passed, None);
    assert!(verification.checks[1].detail.contains("another host"), "{:?}", verification.checks[1]);
    assert_eq!(trap.asked().len(), 0);
}

#[tokio::test]
async fn another_provider_must_be_who_it_says_and_stay_on_its_host() {
    for (issuer, elsewhere, words) in [
        (true, "token_endpoint", "on another host"),
        (true, "jwks_uri", "on another host"),
        (true, "authorization_endpoint", "on another host"),
        (false, "x", "for the issuer"),
    ] {
        let server = Server::start(move |asked, _| {
            let base = format!("http://{}", asked.headers["host"]);
            let issuer = if issuer { base.clone() } else { "https://evil.example".to_owned() };
            let mut document = json!({"issuer": issuer, "token_endpoint": format!("{base}/token")});
            document[elsewhere] = json!("https://evil.example/");
            Reply::json(200, &document)
        })
        .await;
        let address = url::Url::parse(&server.address).expect("an address");
        let app = muster_microsoft::entra::credential::App {
            endpoint: Endpoint::Discovered(address),
            ..with_secret()
        };
        let microsoft = Microsoft::new(options(&server), clock()).expect("a client");
        let error = microsoft.access_token(&app, tenant(), GRAPH).await.expect_err("not usable");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_forged_token_is_not_used_once_the_keys_are_known() {
    let issuer = Issuer::start().await;
    let good = issuer.sign("RS256", "first", &claims());
    let (head, _) = good.rsplit_once('.').expect("a JWT");
    *issuer.token.lock().expect("no panic") = format!("{head}.AAAA");
    // Getting a token never waits for the keys.
    let fetch = async || issuer.microsoft.fresh_access_token(&with_secret(), tenant(), GRAPH).await;
    fetch().await.expect("nothing is known of the keys yet");
    assert_eq!(issuer.asked_for_keys(), 0);
    assert!(issuer.verify(&good).await.passed());
    let error = fetch().await.expect_err("the signature is wrong");
    assert_eq!((&error, error.fault()), (&TokenError::Forged, Fault::Misconfigured));
    *issuer.token.lock().expect("no panic") = good;
    fetch().await.expect("a good one");
}

#[tokio::test]
async fn what_is_no_token_is_told_and_asks_nobody() {
    let issuer = Issuer::start().await;
    for text in ["", "opaque", "a.b.c.d.e", &"x".repeat(1 << 20)] {
        let verification = issuer.verify(text).await;
        assert_eq!(verification.checks.len(), 1);
        assert!(!verification.passed());
    }
    assert_eq!(issuer.server.asked().len(), 0);
}
