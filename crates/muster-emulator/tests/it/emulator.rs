//! The emulator seen from outside, through an HTTP client that shares nothing with it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use muster_emulator::{Area, Clock as _, Config, Fault, FaultKind, Handle, ManualClock, SystemClock, start};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

fn client() -> reqwest::Client {
    // The provider of the process: a second test that installs it finds it there.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

struct World {
    emulator: Handle,
    http: reqwest::Client,
}

impl World {
    async fn start(config: Config) -> Self {
        Self { emulator: start(config).await.unwrap(), http: client() }
    }

    async fn post_token(&self, tenant: &str, path: &str, form: &[(&str, &str)]) -> (u16, HeaderMap, Value) {
        let url = format!("{}/{tenant}/{path}", self.emulator.base_url());
        let answer = self.http.post(url).form(form).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    async fn token(&self, tenant: &str) -> String {
        let (id, secret) = (self.emulator.app_id(), self.emulator.secret());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let (status, _, body) = self.post_token(tenant, "oauth2/v2.0/token", &form).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn get(&self, token: &str, path: &str) -> (u16, HeaderMap, Value) {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.emulator.base_url())
        };
        let answer = self.http.get(url).bearer_auth(token).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    fn tenant(&self) -> String {
        self.emulator.tenants()[0].id.clone()
    }

    /// The tenant with most alerts: the sizes of tenants differ by design.
    fn largest(&self) -> (String, usize) {
        let produced = self.emulator.produced();
        let mut counts = std::collections::HashMap::<String, usize>::new();
        for version in
            produced.iter().filter(|version| version.kind == muster_emulator::receivers::RecordKind::Alert)
        {
            *counts.entry(version.tenant.clone()).or_default() += 1;
        }
        counts.into_iter().max_by_key(|pair| pair.1).unwrap()
    }
}

fn many_alerts() -> Config {
    Config { tenants: 3, alerts: Some(900), ..Config::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_in_both_versions_and_say_what_is_documented() {
    let world = World::start(Config::default()).await;
    let tenant = &world.emulator.tenants()[1];
    let token = world.token(&tenant.domain).await;
    let payload = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(
        &base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap(),
    )
    .unwrap();
    assert_eq!(claims["tid"], tenant.id);
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{}/", tenant.id));
    assert_eq!(claims["aud"], "https://graph.microsoft.com");
    assert_eq!(claims["appid"], world.emulator.app_id());
    assert_eq!(claims["roles"][0], "SecurityAlert.Read.All");
    assert_eq!((claims["ver"].as_str(), claims["idtyp"].as_str()), (Some("1.0"), Some("app")));
    for claim in ["iat", "nbf", "exp", "oid", "sub", "uti", "rh", "aio", "appidacr"] {
        assert!(!claims[claim].is_null(), "{claim}");
    }
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", world.emulator.app_id()),
        ("client_secret", world.emulator.secret()),
        ("resource", "https://graph.microsoft.com"),
    ];
    let (status, headers, body) = world.post_token(&tenant.id, "oauth2/token", &form).await;
    assert_eq!(status, 200);
    assert_eq!(body["expires_in"], "3599");
    assert!(body["not_before"].is_string() && body["resource"] == "https://graph.microsoft.com");
    assert_eq!(headers["cache-control"], "no-store, no-cache");
    assert!(headers.contains_key("x-ms-request-id") && headers.contains_key("date"));
    let basic = world
        .http
        .post(format!("{}/{}/oauth2/v2.0/token", world.emulator.base_url(), tenant.id))
        .basic_auth(world.emulator.app_id(), Some(world.emulator.secret()))
        .form(&[("grant_type", "client_credentials"), ("scope", "https://graph.microsoft.com/.default")])
        .send()
        .await
        .unwrap();
    assert_eq!(basic.status(), 200);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_errors_are_the_documented_ones() {
    let world = World::start(Config::default()).await;
    let tenant = world.tenant();
    let (id, secret) = (world.emulator.app_id().to_owned(), world.emulator.secret().to_owned());
    let scope = "https://graph.microsoft.com/.default";
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", &secret),
        ("scope", scope),
    ];
    let with = |key: &'static str, value: &'static str| {
        let mut form: Vec<(&str, &str)> = good.iter().map(|pair| (pair.0, pair.1 as &str)).collect();
        form.retain(|pair| pair.0 != key);
        if !value.is_empty() {
            form.push((key, value));
        }
        form
    };
    let cases = [
        (tenant.as_str(), with("client_secret", "wrong"), 401, "invalid_client", 7_000_215),
        (tenant.as_str(), with("client_secret", ""), 401, "invalid_client", 7_000_218),
        ("11111111-2222-3333-4444-555555555555", with("x", "y"), 400, "invalid_request", 90_002),
        ("common", with("x", "y"), 400, "invalid_request", 50_059),
        (
            tenant.as_str(),
            with("client_id", "11111111-2222-3333-4444-555555555555"),
            400,
            "unauthorized_client",
            700_016,
        ),
        (tenant.as_str(), with("client_id", ""), 400, "invalid_request", 900_144),
        (tenant.as_str(), with("scope", ""), 400, "invalid_request", 900_144),
        (
            tenant.as_str(),
            with("scope", "https://graph.microsoft.com/User.Read"),
            400,
            "invalid_scope",
            70_011,
        ),
        (
            tenant.as_str(),
            with("scope", "https://nothing.example/.default"),
            400,
            "invalid_resource",
            500_011,
        ),
        (tenant.as_str(), with("grant_type", "implicit"), 400, "unsupported_grant_type", 70_003),
        (tenant.as_str(), with("resource", "https://graph.microsoft.com"), 400, "invalid_request", 901_002),
    ];
    for (tenant, form, status, error, code) in cases {
        let (got, _, body) = world.post_token(tenant, "oauth2/v2.0/token", &form).await;
        assert_eq!(
            (got, body["error"].as_str(), body["error_codes"][0].as_u64()),
            (status, Some(error), Some(code)),
            "{body}"
        );
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")) && text.contains("\r\nTrace ID: "), "{text}");
        for key in ["timestamp", "trace_id", "correlation_id", "error_uri"] {
            assert!(body[key].is_string(), "{key}");
        }
    }
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_points_back_to_the_emulator_and_its_keys_fit() {
    let world = World::start(Config::default()).await;
    let tenant = &world.emulator.tenants()[0];
    let base = world.emulator.base_url();
    let (_, headers, v2) =
        world.get("", &format!("/{}/v2.0/.well-known/openid-configuration", tenant.domain)).await;
    assert_eq!(headers["cache-control"], "max-age=86400, private");
    assert_eq!(v2["issuer"], format!("https://login.microsoftonline.com/{}/v2.0", tenant.id));
    assert_eq!(v2["token_endpoint"], format!("{base}/{}/oauth2/v2.0/token", tenant.id));
    let (_, _, v1) = world.get("", &format!("/{}/.well-known/openid-configuration", tenant.id)).await;
    assert_eq!(v1["issuer"], format!("https://sts.windows.net/{}/", tenant.id));
    let (_, _, common) = world.get("", "/common/v2.0/.well-known/openid-configuration").await;
    assert_eq!(common["issuer"], "https://login.microsoftonline.com/{tenantid}/v2.0");
    let (status, _, unknown) = world.get("", "/nobody.example/v2.0/.well-known/openid-configuration").await;
    assert_eq!((status, unknown["error"].as_str()), (400, Some("invalid_tenant")));
    let (_, _, keys) = world.get("", v2["jwks_uri"].as_str().unwrap()).await;
    let token = world.token(&tenant.id).await;
    let header = jsonwebtoken::decode_header(&token).unwrap();
    let key = &keys["keys"][0];
    let (modulus, exponent) = (key["n"].as_str().unwrap(), key["e"].as_str().unwrap());
    let key = jsonwebtoken::DecodingKey::from_rsa_components(modulus, exponent).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&["https://graph.microsoft.com"]);
    validation.set_issuer(&[v1["issuer"].as_str().unwrap()]);
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims;
    assert_eq!(claims["tid"], tenant.id);
    assert_eq!(keys["keys"][0]["kid"].as_str(), header.kid.as_deref());
    let asked = "/common/discovery/instance?api-version=1.1&authorization_endpoint=";
    let known = format!("{asked}https://login.windows.net/{}/oauth2/v2.0/authorize", tenant.id);
    let (_, _, instance) = world.get("", &known).await;
    assert_eq!(
        instance["tenant_discovery_endpoint"],
        format!("{base}/{}/v2.0/.well-known/openid-configuration", tenant.id)
    );
    let (status, _, instance) = world.get("", &format!("{asked}https://x/y/oauth2/v2.0/authorize")).await;
    assert_eq!((status, instance["error"].as_str()), (400, Some("invalid_instance")));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bearers_are_refused() {
    let clock = Arc::new(ManualClock::new("2026-11-21T00:00:00Z".parse().unwrap()));
    let config = Config {
        clock: clock.clone(),
        roles: vec!["SecurityAlert.Read.All".to_owned()],
        ..Config::default()
    };
    let world = World::start(config).await;
    let tenant = world.tenant();
    let token = world.token(&tenant).await;
    let path = "/v1.0/security/alerts_v2";
    let (status, headers, body) = world.get(&token, path).await;
    assert_eq!((status, body["value"].as_array().map(Vec::len)), (200, Some(0)));
    assert!(headers.contains_key("request-id") && headers.contains_key("x-ms-ags-diagnostic"));
    assert_eq!(headers["date"], "Sat, 21 Nov 2026 00:00:00 GMT");
    let mut forged = token.clone();
    forged.replace_range(token.len() - 6.., "AAAAAA");
    for bad in ["", "x.y.z", forged.as_str()] {
        let (status, headers, body) = world.get(bad, path).await;
        assert_eq!((status, body["error"]["code"].as_str()), (401, Some("InvalidAuthenticationToken")));
        assert!(headers.contains_key("www-authenticate"));
        assert!(body["error"]["innerError"]["request-id"].is_string());
    }
    let (status, _, body) = world.get(&token, "/v1.0/security/incidents").await;
    assert_eq!((status, body["error"]["code"].as_str()), (403, Some("Forbidden")));
    clock.advance(Duration::from_secs(3600));
    let (status, _, body) = world.get(&token, path).await;
    assert_eq!(status, 401);
    assert!(body["error"]["message"].as_str().unwrap().contains("expired"));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_paging_gives_every_alert_once() {
    let world = World::start(many_alerts()).await;
    let (tenant, expected) = world.largest();
    let token = world.token(&tenant).await;
    for query in [
        "",
        "?$top=7",
        "?$orderby=lastUpdateDateTime%20asc&$top=31",
        "?$filter=lastUpdateDateTime ge 2020-01-01T00:00:00Z&$orderby=lastUpdateDateTime desc&$top=100",
        "?$filter=lastUpdateDateTime ge 2020-01-01T00:00:00Z&$top=2000&$count=true",
    ] {
        let mut next = Some(format!("/v1.0/security/alerts_v2{query}"));
        let (mut seen, mut times) = (HashSet::new(), Vec::new());
        while let Some(path) = next {
            let (status, _, body) = world.get(&token, &path).await;
            assert_eq!(status, 200, "{body}");
            assert_eq!(
                body["@odata.context"],
                "https://graph.microsoft.com/v1.0/$metadata#security/alerts_v2"
            );
            if query.contains("$count") {
                assert_eq!(body["@odata.count"], expected);
            }
            for alert in body["value"].as_array().unwrap() {
                assert!(seen.insert(alert["id"].as_str().unwrap().to_owned()));
                assert_eq!(alert["tenantId"], tenant);
                let key = if query.contains("orderby") { "lastUpdateDateTime" } else { "createdDateTime" };
                let time = alert[key].as_str().unwrap().to_owned();
                assert_eq!(time.len(), "2026-01-01T00:00:00.1234567Z".len());
                times.push(time);
            }
            next = body["@odata.nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!(seen.len(), expected, "{query}");
        if query.contains(" asc") || query.contains("%20asc") {
            assert!(times.is_sorted(), "{query}");
        } else {
            assert!(times.iter().rev().is_sorted(), "{query}");
        }
    }
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyset_walk_is_a_range_of_update_times() {
    let world = World::start(many_alerts()).await;
    let (tenant, expected) = world.largest();
    let token = world.token(&tenant).await;
    let (mut since, mut seen) = ("2020-01-01T00:00:00Z".to_owned(), HashSet::new());
    loop {
        let path = format!(
            "/v1.0/security/alerts_v2?$filter=lastUpdateDateTime ge {since} and severity in ('informational','low','medium','high')&$orderby=lastUpdateDateTime asc&$top=50"
        );
        let (_, _, body) = world.get(&token, &path).await;
        let page = body["value"].as_array().unwrap();
        let before = seen.len();
        seen.extend(page.iter().map(|alert| alert["id"].as_str().unwrap().to_owned()));
        if seen.len() == before {
            break;
        }
        since = page.last().unwrap()["lastUpdateDateTime"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen.len(), expected);
    let (_, _, body) =
        world.get(&token, "/v1.0/security/alerts_v2?$filter=severity eq 'high'&$top=2000").await;
    let high = body["value"].as_array().unwrap();
    assert!(!high.is_empty() && high.iter().all(|alert| alert["severity"] == "high"));
    let one = high[0]["id"].as_str().unwrap();
    let (status, _, body) = world.get(&token, &format!("/v1.0/security/alerts_v2/{one}")).await;
    assert_eq!((status, body["id"].as_str()), (200, Some(one)));
    let (status, _, body) = world.get(&token, "/v1.0/security/alerts_v2/none").await;
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("ResourceNotFound")));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_hold_their_alerts() {
    let world = World::start(many_alerts()).await;
    let (tenant, alerts) = world.largest();
    let token = world.token(&tenant).await;
    let (mut next, mut count, mut plain) =
        (Some("/v1.0/security/incidents?$expand=alerts&$top=50".to_owned()), 0, None);
    while let Some(path) = next {
        let (status, _, body) = world.get(&token, &path).await;
        assert_eq!(status, 200);
        for incident in body["value"].as_array().unwrap() {
            let members = incident["alerts"].as_array().unwrap();
            assert!((1..=8).contains(&members.len()));
            count += members.len();
            for alert in members {
                assert_eq!(alert["incidentId"], incident["id"]);
                assert!(alert["lastUpdateDateTime"].as_str() <= incident["lastUpdateDateTime"].as_str());
            }
            plain = incident["id"].as_str().map(str::to_owned);
        }
        next = body["@odata.nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(count, alerts);
    let (_, _, one) = world.get(&token, &format!("/v1.0/security/incidents/{}", plain.unwrap())).await;
    assert!(one["alerts"].is_null() && one["displayName"].is_string());
    let (status, _, body) = world.get(&token, "/v1.0/security/incidents?$top=51").await;
    assert_eq!(status, 400);
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("The limit of '50' for Top query has been exceeded")
    );
    let (status, _, _) =
        world.get(&token, "/v1.0/security/alerts_v2?$filter=evidence/any(e:e/verdict eq 'x')").await;
    assert_eq!(status, 400);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_appear_over_time_and_are_updated() {
    let config = Config {
        alerts: Some(200),
        rate: Some(400.0),
        update_share: Some(0.5),
        update_after: (Duration::from_millis(5), Duration::from_millis(80)),
        ..Config::default()
    };
    let world = World::start(config).await;
    for _ in 0..200 {
        if world.emulator.production_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(world.emulator.production_finished());
    let counts = world.emulator.produced_counts();
    assert_eq!(counts.alerts, 200);
    assert!(counts.alert_versions > 240, "{counts:?}");
    assert!(counts.incident_versions >= counts.alert_versions, "{counts:?}");
    let produced = world.emulator.produced();
    let versions: HashSet<_> = produced.iter().map(|v| (&v.tenant, v.kind, &v.id, v.updated_ms)).collect();
    assert_eq!(versions.len(), produced.len(), "two versions of one record share a millisecond");
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_alerts_and_updates_are_visible_at_once() {
    let world = World::start(Config::default()).await;
    let tenant = world.tenant();
    let token = world.token(&tenant).await;
    let ids = world.emulator.add_alerts(&tenant, 3, Some("made by a test")).unwrap();
    let (_, _, body) = world.get(&token, "/v1.0/security/alerts_v2").await;
    assert_eq!(body["value"].as_array().unwrap().len(), 3);
    assert_eq!(body["value"][0]["title"], "made by a test");
    let path = format!("/v1.0/security/alerts_v2/{}", ids[0]);
    let (_, _, before) = world.get(&token, &path).await;
    world.emulator.update_alert(&tenant, &ids[0]).unwrap();
    let (_, _, after) = world.get(&token, &path).await;
    assert_ne!(before["lastUpdateDateTime"], after["lastUpdateDateTime"]);
    assert_ne!(before["status"], after["status"]);
    assert!(world.emulator.update_alert(&tenant, "none").is_err());
    assert!(world.emulator.add_alerts("nobody", 1, None).is_err());
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_strike_where_they_are_told_to() {
    let world = World::start(many_alerts()).await;
    let (tenant, _) = world.largest();
    let other = world.emulator.tenants().into_iter().find(|one| one.id != tenant).unwrap().id;
    let (token, stranger) = (world.token(&tenant).await, world.token(&other).await);
    let path = "/v1.0/security/alerts_v2?$top=5";
    let strike = |kind: FaultKind| {
        world.emulator.add_fault(Fault::new(Area::Graph, kind).for_tenant(tenant.as_str()).times(1)).unwrap();
    };

    strike(FaultKind::Throttle { retry_after_seconds: 7 });
    assert_eq!(world.get(&stranger, path).await.0, 200);
    let (status, headers, body) = world.get(&token, path).await;
    assert_eq!((status, headers[RETRY_AFTER].to_str().unwrap()), (429, "7"));
    assert_eq!(body["error"]["code"], "TooManyRequests");
    assert_eq!(world.get(&token, path).await.0, 200);

    strike(FaultKind::Status { status: 503 });
    assert_eq!(world.get(&token, path).await.2["error"]["code"], "ServiceUnavailable");

    let raw = async |kind: FaultKind| {
        strike(kind);
        let url = format!("{}{path}", world.emulator.base_url());
        let answer = world.http.get(url).bearer_auth(&token).timeout(Duration::from_secs(1)).send().await?;
        let (status, length) = (answer.status().as_u16(), answer.content_length());
        Ok::<_, reqwest::Error>((status, length, answer.bytes().await?))
    };
    assert!(raw(FaultKind::Stall { after_bytes: None }).await.unwrap_err().is_timeout());
    assert!(raw(FaultKind::Stall { after_bytes: Some(100) }).await.unwrap_err().is_timeout());
    assert!(raw(FaultKind::Cut { after_bytes: 1000 }).await.is_err());
    let (status, length, body) = raw(FaultKind::Truncate).await.unwrap();
    assert_eq!((status, length), (200, Some(body.len() as u64)));
    assert!(serde_json::from_slice::<Value>(&body).is_err());
    assert!(raw(FaultKind::Html).await.unwrap().2.starts_with(b"<!DOCTYPE"));
    assert!(serde_json::from_slice::<Value>(&raw(FaultKind::Garbage).await.unwrap().2).is_err());
    assert!(std::str::from_utf8(&raw(FaultKind::InvalidUtf8).await.unwrap().2).is_err());
    assert!(raw(FaultKind::Oversized { megabytes: 3 }).await.unwrap().2.len() > 3 << 20);
    assert_eq!(
        raw(FaultKind::Redirect { location: "http://elsewhere.example/".to_owned() }).await.unwrap().0,
        302
    );
    let (_, _, deep) = raw(FaultKind::DeepNesting { depth: 5000 }).await.unwrap();
    assert!(deep.windows(5000).any(|window| window.iter().all(|byte| *byte == b'[')));

    strike(FaultKind::NextLinkElsewhere { origin: "https://evil.example".to_owned() });
    let (_, _, body) = world.get(&token, path).await;
    assert!(body["@odata.nextLink"].as_str().unwrap().starts_with("https://evil.example/v1.0/"));
    strike(FaultKind::MissingNextLink);
    assert!(world.get(&token, path).await.2["@odata.nextLink"].is_null());
    strike(FaultKind::NextLinkLoop);
    assert!(world.get(&token, path).await.2["@odata.nextLink"].as_str().unwrap().ends_with("skip=0"));
    strike(FaultKind::IgnoreOrderby);
    let (_, _, body) = world.get(&token, &format!("{path}&$orderby=lastUpdateDateTime asc")).await;
    assert!(body["value"][0]["createdDateTime"].as_str() > body["value"][4]["createdDateTime"].as_str());

    assert!(world.emulator.faults().is_empty());
    assert!(world.emulator.add_fault(Fault::new(Area::Graph, FaultKind::Down)).is_err());
    let throttled = world.emulator.requests().into_iter().find(|count| count.status == 429).unwrap();
    assert_eq!((throttled.count, throttled.tenant), (1, Some(tenant)));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_and_roles_can_be_withdrawn() {
    let world = World::start(Config::default()).await;
    let tenant = world.tenant();
    let token = world.token(&tenant).await;
    let path = "/v1.0/security/alerts_v2";
    let fault = |kind| Fault::new(Area::Token, kind).for_tenant(tenant.as_str());
    world
        .emulator
        .add_fault(fault(FaultKind::RemoveRole { role: "SecurityAlert.Read.All".to_owned() }))
        .unwrap();
    assert_eq!(world.get(&token, path).await.0, 403);
    world.emulator.clear_faults();
    assert_eq!(world.get(&token, path).await.0, 200);
    world.emulator.add_fault(fault(FaultKind::RevokeTenant { code: None })).unwrap();
    assert_eq!(world.get(&token, path).await.0, 401);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", world.emulator.app_id()),
        ("client_secret", world.emulator.secret()),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let (status, _, body) = world.post_token(&tenant, "oauth2/v2.0/token", &form).await;
    assert_eq!((status, body["error_codes"][0].as_u64()), (400, Some(700_016)));
    world.emulator.clear_faults();
    world.emulator.add_fault(fault(FaultKind::WrongTenantToken).times(1)).unwrap();
    world.emulator.add_alerts(&tenant, 1, None).unwrap();
    let foreign = world.token(&tenant).await;
    assert_eq!(world.get(&foreign, path).await.2["value"].as_array().unwrap().len(), 0);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_is_per_tenant_and_minute() {
    let clock = Arc::new(ManualClock::new("2026-11-21T00:00:00Z".parse().unwrap()));
    let world =
        World::start(Config { quota_per_minute: Some(2), clock: clock.clone(), ..Config::default() }).await;
    let tenants = world.emulator.tenants();
    let (one, other) = (world.token(&tenants[0].id).await, world.token(&tenants[1].id).await);
    let path = "/v1.0/security/alerts_v2";
    assert_eq!([world.get(&one, path).await.0, world.get(&one, path).await.0], [200, 200]);
    clock.advance(Duration::from_secs(20));
    let (status, headers, _) = world.get(&one, path).await;
    assert_eq!((status, headers[RETRY_AFTER].to_str().unwrap()), (429, "40"));
    assert_eq!(world.get(&other, path).await.0, 200);
    clock.advance(Duration::from_secs(41));
    assert_eq!(world.get(&one, path).await.0, 200);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn https_and_the_control_api_share_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let ca_out = folder.path().join("ca.pem");
    let emulator =
        start(Config { tls: true, ca_out: Some(ca_out.clone()), ..Config::default() }).await.unwrap();
    let plain = client();
    let ca = reqwest::Certificate::from_pem(&std::fs::read(&ca_out).unwrap()).unwrap();
    let trusting = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    let tenant = emulator.tenants()[0].id.clone();
    let url = format!("{}/{tenant}/v2.0/.well-known/openid-configuration", emulator.base_url());
    assert!(url.starts_with("https://"));
    let document = trusting.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(document.contains(&format!("{}/{tenant}/oauth2/v2.0/token", emulator.base_url())));
    assert!(plain.get(&url).send().await.is_err());
    let control = format!("http://{}/control/config", emulator.addresses().microsoft);
    let config: Value =
        serde_json::from_slice(&plain.get(&control).send().await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(config["secret"], emulator.secret());
    assert!(config["ca_pem"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    let refused =
        plain.get(format!("http://{}/x/oauth2/token", emulator.addresses().microsoft)).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_api_does_what_the_handle_does() {
    let world = World::start(Config { hec: Some(muster_emulator::loopback()), ..Config::default() }).await;
    let url = |path: &str| format!("{}/control/{path}", world.emulator.base_url());
    let post = async |path: &str, body: &str| {
        let answer = world.http.post(url(path)).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap())
    };
    let tenant = world.tenant();
    let (_, added) = post("alerts", &format!(r#"{{"tenant":"{tenant}","count":2}}"#)).await;
    let id = added["ids"][1].as_str().unwrap().to_owned();
    assert_eq!(post("update", &format!(r#"{{"tenant":"{tenant}","id":"{id}"}}"#)).await.0, 200);
    assert_eq!(post("update", r#"{"id":"none"}"#).await.0, 400);
    assert_eq!(
        post("faults", r#"{"area":"graph","kind":"throttle","retry_after_seconds":1,"tenant":"nobody"}"#)
            .await
            .0,
        400
    );
    assert_eq!(
        post("faults", r#"[{"area":"graph","kind":"html"},{"area":"hec","kind":"down"}]"#).await.0,
        200
    );
    assert_eq!(world.emulator.faults().len(), 1);
    assert_eq!(world.http.delete(url("faults")).send().await.unwrap().status(), 200);
    assert!(world.emulator.faults().is_empty());
    let tally: Value =
        serde_json::from_slice(&world.http.get(url("tally")).send().await.unwrap().bytes().await.unwrap())
            .unwrap();
    assert_eq!(
        (tally["produced"]["alerts"].as_u64(), tally["produced"]["alert_versions"].as_u64()),
        (Some(2), Some(3))
    );
    assert_eq!(tally["receivers"][0]["receiver"], "hec");
    assert_eq!(
        tally["receivers"][0]["lost"].as_u64(),
        Some(2 + tally["produced"]["incidents"].as_u64().unwrap())
    );
    let settings = muster_emulator::SettingsText::new(&world.emulator.client_config()).text();
    assert!(settings.contains("[sinks.splunk]") && !settings.contains("[sinks.arcsight]"), "{settings}");
    assert_eq!(post("stop", "").await.0, 200);
    world.emulator.stopped().await;
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_records_are_in_the_ledger_when_they_can_be_identified() {
    let world = World::start(Config::default()).await;
    let tenant = world.tenant();
    let ids = world.emulator.add_hostile_records(&tenant).unwrap();
    assert_eq!(world.emulator.produced().len(), ids.len());
    let token = world.token(&tenant).await;
    let url = format!("{}/v1.0/security/alerts_v2", world.emulator.base_url());
    let page = world.http.get(url).bearer_auth(token).send().await.unwrap().text().await.unwrap();
    assert!(ids.iter().all(|id| page.contains(id.as_str())));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_served_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let alert =
        r#"{"id" : "a1","createdDateTime":"2026-01-01T00:00:00Z","serviceSource":"x", "evidence":[ ]}"#;
    let incident = r#"{"id":"7","displayName":"x","status":"active","createdDateTime":"2026-01-01T00:00:00Z","alerts":{"id":"a"}}"#;
    std::fs::write(folder.path().join("all.ndjson"), format!("{alert}\n{incident}\n[1]\n")).unwrap();
    let world = World::start(Config { records: Some(folder.path().to_owned()), ..Config::default() }).await;
    assert_eq!(world.emulator.skipped_records().len(), 1);
    let token = world.token(&world.tenant()).await;
    let url = |path: &str| format!("{}/v1.0/security/{path}", world.emulator.base_url());
    let get = async |path: &str| {
        world.http.get(url(path)).bearer_auth(&token).send().await.unwrap().text().await.unwrap()
    };
    assert!(get("alerts_v2").await.contains(alert));
    assert!(get("incidents?$expand=alerts").await.contains(incident));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let first = start(Config::default()).await.unwrap();
    let listen = first.addresses().microsoft;
    let error = start(Config { listen, ..Config::default() }).await.err().unwrap();
    assert!(error.to_string().contains(&format!("port in use: {listen}")), "{error}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tenants_start_at_once() {
    let emulator = start(Config { tenants: 1000, alerts: Some(2000), ..Config::default() }).await.unwrap();
    assert_eq!(emulator.tenants().len(), 1000);
    assert_eq!(emulator.produced_counts().alerts, 2000);
    emulator.stop().await;
}

/// The emulator's own program, ended when this is dropped.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn run(arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_muster-emulator")).args(arguments).output().unwrap()
}

#[test]
fn the_command_line_runs_describes_itself_and_tallies() {
    use std::io::BufRead;
    let mut program = Program(
        std::process::Command::new(env!("CARGO_BIN_EXE_muster-emulator"))
            .args(["run", "--listen", "127.0.0.1:0", "--tenants", "3", "--alerts", "5", "--tls"])
            .args(["--hec", "127.0.0.1:0", "--syslog", "off", "--syslog-tls", "127.0.0.1:0"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    std::io::BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let microsoft = ready["addresses"]["microsoft"].as_str().unwrap();
    let url = format!("https://{microsoft}");

    let config = run(&["config", "--url", &url]);
    let text = String::from_utf8(config.stdout).unwrap();
    let settings: toml::Table = text.parse().unwrap();
    assert_eq!(settings["cloud"]["login"].as_str(), Some(url.as_str()));
    assert_eq!(settings["apps"]["main"]["client_id"].as_str(), ready["app_id"].as_str());
    assert_eq!(settings["sinks"]["arcsight"]["transport"].as_str(), Some("tls"));
    assert_eq!(settings["routes"][0]["sinks"].as_array().unwrap().len(), 3);
    assert!(text.contains(&format!("export MUSTER_EMULATOR_SECRET='{}'", ready["secret"].as_str().unwrap())));

    let tenants = String::from_utf8(run(&["tenants", "--url", &url]).stdout).unwrap();
    assert_eq!(tenants.lines().count(), 4);
    assert!(tenants.starts_with("tenant_id,name,domain\n"));

    let tally = run(&["tally", "--url", &url]);
    assert_eq!(tally.status.code(), Some(1), "nothing was delivered, so all is lost");
    let tally: Value = serde_json::from_slice(&tally.stdout).unwrap();
    assert_eq!(tally["produced"]["alerts"], 5);

    let second = run(&["run", "--listen", microsoft, "--hec", "off", "--syslog", "off"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8(second.stderr).unwrap().contains(&format!("port in use: {microsoft}")));
    drop(program);
    let gone = run(&["tally", "--url", &url]);
    assert!(String::from_utf8(gone.stderr).unwrap().contains("no emulator answers at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_noted_once_somebody_wants_to_know() {
    let world = World::start(Config::default()).await;
    let tenant = world.tenant();
    let token = world.token(&tenant).await;
    world.get(&token, "/v1.0/security/alerts_v2").await;
    assert!(world.emulator.noted_requests().is_empty());
    world.emulator.note_requests();
    let before = SystemClock.now();
    world.get(&token, "/v1.0/security/alerts_v2").await;
    world.get("no token", "/v1.0/security/alerts_v2").await;
    let noted = world.emulator.noted_requests();
    let [noted] = noted[&tenant][..] else { panic!("{noted:?}") };
    assert!(noted.at >= before && noted.from > 0, "{noted:?}");
    world.emulator.stop().await;
}
