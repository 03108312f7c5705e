//! What ends and when: codes, refresh tokens, device codes, keys, consent; and what is counted.

use std::sync::Arc;
use std::time::Duration;

use muster_emulator::{Area, Clock, Config, DirectoryChange, Fault, FaultKind, ManualClock};
use serde_json::Value;

use super::support::{Emulated, claims_of, fields_of};

const GRAPH: &str = "https://graph.microsoft.com";
const REDIRECT: &str = "https://portal.azure.com";
const DAY: u64 = 86_400;

/// A world whose time stands still, and a person in it.
struct Life {
    world: Emulated,
    clock: Arc<ManualClock>,
    tenant: String,
    account: String,
}

impl Life {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new("2026-05-01T00:00:00Z".parse().unwrap()));
        let world = Emulated::start(Config {
            tenants: 2,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..Config::default()
        })
        .await;
        let tenant = world.tenant(0);
        Self { world, clock, tenant: tenant.id, account: format!("analyst@{}", tenant.domain) }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn code(&self) -> String {
        let query = [
            ("client_id", self.world.emulator.app_id()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("resource", GRAPH),
        ];
        let address = self.world.url(&format!("{}/oauth2/authorize", self.tenant), &query);
        fields_of(&self.world.emulator.sign_in(&address, &self.account, true).unwrap())["code"].clone()
    }

    async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let mut all = vec![
            ("client_id", self.world.emulator.app_id()),
            ("client_secret", self.world.emulator.secret()),
        ];
        all.extend_from_slice(form);
        self.world.post(&format!("{}/oauth2/token", self.tenant), &all).await
    }

    async fn redeem(&self, code: &str) -> (u16, Value) {
        let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT)];
        self.token(&form).await
    }

    /// A refresh token of a fresh sign-in.
    async fn grant(&self) -> String {
        let (status, body) = self.redeem(&self.code()).await;
        assert_eq!(status, 200, "{body}");
        body["refresh_token"].as_str().unwrap().to_owned()
    }

    async fn refresh(&self, token: &str) -> (u16, Option<u64>, Value) {
        let (status, body) = self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await;
        (status, body["error_codes"][0].as_u64(), body)
    }

    fn change(&self, change: DirectoryChange) {
        self.world.emulator.change(change).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_work_once_and_for_ten_minutes() {
    let life = Life::start().await;
    let code = life.code();
    assert_eq!(life.redeem(&code).await.0, 200);
    let (_, body) = life.redeem(&code).await;
    assert_eq!(
        (body["error"].as_str(), body["error_codes"][0].as_u64()),
        (Some("invalid_grant"), Some(54_005))
    );
    let code = life.code();
    life.pass(601);
    let (_, body) = life.redeem(&code).await;
    assert_eq!(body["error_codes"], serde_json::json!([70_002, 70_008]), "v1 tells it with two codes");
    life.world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_end_as_documented() {
    let life = Life::start().await;
    let token = life.grant().await;
    life.pass(89 * DAY);
    let (status, _, body) = life.refresh(&token).await;
    assert_eq!(status, 200, "{body}");
    let next = body["refresh_token"].as_str().unwrap().to_owned();
    life.pass(2 * DAY);
    assert_eq!(life.refresh(&token).await.1, Some(700_082), "ninety days after it was issued");
    assert_eq!(life.refresh(&next).await.0, 200);

    // A person who changes the password keeps the grants of a client that has a secret.
    let change = |by_administrator| DirectoryChange::ChangePassword {
        account: life.account.clone(),
        password: "n3w".to_owned(),
        by_administrator,
    };
    life.pass(1);
    life.change(change(false));
    assert_eq!(life.refresh(&next).await.0, 200);
    life.change(change(true));
    let (_, code, body) = life.refresh(&next).await;
    assert_eq!((code, body["suberror"].as_str()), (Some(50_173), Some("bad_token")));
    let token = life.grant().await;
    life.pass(1);
    life.change(DirectoryChange::RevokeSessions { account: life.account.clone() });
    assert_eq!(life.refresh(&token).await.1, Some(50_173));
    let token = life.grant().await;
    life.change(DirectoryChange::EndGrants {
        app: None,
        tenant: Some(life.tenant.clone()),
        code: Some(70_043),
    });
    assert_eq!(life.refresh(&token).await.1, Some(70_043));
    let token = life.grant().await;
    life.change(DirectoryChange::EnableUser { account: life.account.clone(), enabled: false });
    assert_eq!(life.refresh(&token).await.1, Some(50_057));
    life.change(DirectoryChange::EnableUser { account: life.account.clone(), enabled: true });
    life.change(DirectoryChange::EnableApp { app: None, tenant: Some(life.tenant.clone()), enabled: false });
    assert_eq!(life.refresh(&token).await.1, Some(7_000_112));
    life.change(DirectoryChange::RemoveConsent { tenant: life.tenant.clone(), app: None });
    assert_eq!(life.refresh(&token).await.1, Some(700_016));
    life.world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_clients_lose_their_grants_with_the_password() {
    let life = Life::start().await;
    let poll = [("client_id", life.world.emulator.app_id()), ("resource", GRAPH)];
    let (_, device) = life.world.post(&format!("{}/oauth2/devicecode", life.tenant), &poll).await;
    let page = format!(
        "{}?otc={}",
        device["verification_url"].as_str().unwrap(),
        device["user_code"].as_str().unwrap()
    );
    life.world.emulator.sign_in(&page, &life.account, true).unwrap_err();
    let form = [
        ("grant_type", "device_code"),
        ("client_id", life.world.emulator.app_id()),
        ("code", device["device_code"].as_str().unwrap()),
    ];
    let (status, body) = life.world.post(&format!("{}/oauth2/token", life.tenant), &form).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(claims_of(body["access_token"].as_str().unwrap())["appidacr"], "0");
    let refresh = async || {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", life.world.emulator.app_id()),
            ("refresh_token", body["refresh_token"].as_str().unwrap()),
        ];
        life.world.post(&format!("{}/oauth2/token", life.tenant), &form).await
    };
    assert_eq!(refresh().await.0, 200);
    life.pass(1);
    life.change(DirectoryChange::ChangePassword {
        account: life.account.clone(),
        password: "n3w".to_owned(),
        by_administrator: false,
    });
    assert_eq!(refresh().await.1["error_codes"][0], 50_173);
    life.world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_codes_end() {
    let life = Life::start().await;
    let form = [("client_id", life.world.emulator.app_id()), ("resource", GRAPH)];
    let (_, device) = life.world.post(&format!("{}/oauth2/devicecode", life.tenant), &form).await;
    assert_eq!((device["expires_in"].as_str(), device["interval"].as_str()), (Some("900"), Some("5")));
    life.pass(901);
    let (_, body) =
        life.token(&[("grant_type", "device_code"), ("code", device["device_code"].as_str().unwrap())]).await;
    assert_eq!(
        (body["error"].as_str(), body["error_codes"][0].as_u64()),
        (Some("expired_token"), Some(70_019))
    );
    life.world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_roll_over() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    let token = async || {
        let (_, body) = world.client_credentials(&tenant, GRAPH).await;
        body["access_token"].as_str().unwrap().to_owned()
    };
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let published = async || {
        let (_, keys) = world.get("common/discovery/keys", "").await;
        let keys = keys["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let old = token().await;
    world.emulator.change(DirectoryChange::RollKeys).unwrap();
    let new = token().await;
    assert_ne!(kid(&old), kid(&new));
    assert_eq!(published().await, [kid(&old), kid(&new)]);
    assert_eq!(world.get("v1.0/security/alerts_v2", &old).await.0, 200);
    world.emulator.change(DirectoryChange::DropOldKeys).unwrap();
    assert_eq!(published().await, [kid(&new)]);
    assert_eq!(world.get("v1.0/security/alerts_v2", &old).await.0, 401);
    assert_eq!(world.get("v1.0/security/alerts_v2", &new).await.0, 200);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_comes_on_demand_for_an_app_or_a_tenant() {
    let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
    let (struck, spared) = (world.tenant(0).id, world.tenant(1).id);
    let codes = [
        700_016, 7_000_215, 7_000_222, 7_000_218, 700_027, 700_025, 7_000_112, 70_001, 65_001, 65_004,
        65_002, 90_094, 90_095, 90_099, 70_008, 700_082, 70_043, 50_173, 700_084, 54_005, 9_002_313, 700_005,
        501_481, 50_011, 500_113, 90_002, 50_194, 500_011, 650_057, 70_011, 700_022, 90_014, 900_144,
        901_002, 900_561, 50_034, 50_020, 50_076, 50_079, 53_003, 50_196, 50_049, 70_016, 70_018, 70_019,
    ];
    for code in codes {
        let refuse = FaultKind::Refuse { code, app: Some(world.emulator.app_id().to_owned()) };
        world.emulator.add_fault(Fault::new(Area::Token, refuse).for_tenant(&struck).times(1)).unwrap();
        let (status, body) = world.client_credentials(&struck, GRAPH).await;
        assert!(status == 400 || status == 401, "{body}");
        assert_eq!(body["error_codes"][0].as_u64(), Some(u64::from(code)), "{body}");
        assert!(body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{code}: ")));
    }
    let interaction = FaultKind::Refuse { code: 50_076, app: None };
    world.emulator.add_fault(Fault::new(Area::Token, interaction).for_tenant(&struck)).unwrap();
    let (_, body) = world.client_credentials(&struck, GRAPH).await;
    assert_eq!(
        (body["error"].as_str(), body["suberror"].as_str()),
        (Some("interaction_required"), Some("basic_action"))
    );
    assert!(body["claims"].as_str().unwrap().contains("capolids"), "{body}");
    assert_eq!(world.client_credentials(&spared, GRAPH).await.0, 200);
    assert!(
        world.emulator.add_fault(Fault::new(Area::Token, FaultKind::Refuse { code: 1, app: None })).is_err()
    );
    let elsewhere = Fault::new(Area::Graph, FaultKind::Refuse { code: 53_003, app: None });
    assert!(world.emulator.add_fault(elsewhere).is_err());
    world.emulator.clear_faults();
    world
        .emulator
        .add_fault(Fault::new(Area::Authorize, FaultKind::Refuse { code: 53_003, app: None }))
        .unwrap();
    let query =
        [("client_id", world.emulator.app_id()), ("response_type", "code"), ("redirect_uri", REDIRECT)];
    let address = world.url(&format!("{struck}/oauth2/authorize"), &query);
    let said =
        world.emulator.sign_in(&address, &format!("admin@{}", world.tenant(0).domain), true).unwrap_err();
    assert!(said.to_string().contains("AADSTS53003"), "{said}");
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claims_challenge_is_met_by_a_token_that_was_asked_for_with_it() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    let ask = async |claims: &str| {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", world.emulator.app_id()),
            ("client_secret", world.emulator.secret()),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        if !claims.is_empty() {
            form.push(("claims", claims));
        }
        let (status, body) = world.post(&format!("{tenant}/oauth2/v2.0/token"), &form).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    let plain = ask("").await["access_token"].as_str().unwrap().to_owned();
    world.emulator.add_fault(Fault::new(Area::Graph, FaultKind::ClaimsChallenge { claims: None })).unwrap();
    let url = world.url("v1.0/security/alerts_v2", &[]);
    let refused = world.http.get(&url).bearer_auth(&plain).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("error=\"insufficient_claims\""), "{challenge}");
    let claims = challenge.split("claims=\"").nth(1).unwrap().split('"').next().unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, claims).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["access_token"]["xms_cc"] = serde_json::json!({"values": ["cp1"]});
    let answered = ask(&claims.to_string()).await;
    assert!(
        answered["expires_in"].as_i64().unwrap() > 80_000,
        "who answers challenges keeps a token for long"
    );
    let token = answered["access_token"].as_str().unwrap();
    assert_eq!(claims_of(token)["xms_cc"][0], "cp1");
    assert_eq!(world.get("v1.0/security/alerts_v2", token).await.0, 200);
    let form =
        [("grant_type", "client_credentials"), ("client_id", world.emulator.app_id()), ("claims", "no json")];
    assert_eq!(world.post(&format!("{tenant}/oauth2/v2.0/token"), &form).await.1["error_codes"][0], 90_013);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_endpoint_counts_what_is_in_flight() {
    let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
    world.emulator.set_token_delay(Duration::from_millis(300));
    let (one, two) = (world.tenant(0).id, world.tenant(1).id);
    let answers = tokio::join!(
        world.client_credentials(&one, GRAPH),
        world.client_credentials(&one, GRAPH),
        world.client_credentials(&two, GRAPH),
    );
    assert_eq!((answers.0.0, answers.1.0, answers.2.0), (200, 200, 200));
    let of = |tenant: &str| {
        let list = world.emulator.token_requests();
        let own = list.into_iter().find(|own| own.tenant == tenant).unwrap();
        (own.resource, own.requests, own.most_at_a_time)
    };
    assert_eq!(of(&one), (GRAPH.to_owned(), 2, 2));
    assert_eq!(of(&two), (GRAPH.to_owned(), 1, 1));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_without_a_licence_is_not_there() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    for audience in [
        "https://api.securitycenter.microsoft.com",
        "https://api.securitycenter.windows.com",
        "https://securitycenter.onmicrosoft.com/windowsatpservice",
        "https://api.security.microsoft.com/",
        "https://graph.windows.net",
        "00000003-0000-0000-c000-000000000000",
    ] {
        let (status, body) = world.client_credentials(&tenant, audience).await;
        assert_eq!(status, 200, "{audience} {body}");
        assert_eq!(claims_of(body["access_token"].as_str().unwrap())["aud"], audience);
    }
    world
        .emulator
        .change(DirectoryChange::EnableResource {
            tenant: tenant.clone(),
            resource: "https://api.security.microsoft.com".to_owned(),
            enabled: false,
        })
        .unwrap();
    let (_, body) = world.client_credentials(&tenant, "https://api.security.microsoft.com").await;
    assert_eq!(
        (body["error"].as_str(), body["error_codes"][0].as_u64()),
        (Some("invalid_resource"), Some(500_011))
    );
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_alone_can_check_a_token_with_a_nonce() {
    let world = Emulated::start(Config { tenants: 1, graph_nonce: true, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    let (_, keys) = world.get("common/discovery/keys", "").await;
    let key = &keys["keys"][0];
    let (n, e) = (key["n"].as_str().unwrap(), key["e"].as_str().unwrap());
    let key = jsonwebtoken::DecodingKey::from_rsa_components(n, e).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.validate_aud = false;
    for (resource, checkable) in [(GRAPH, false), ("https://api.security.microsoft.com", true)] {
        let (_, body) = world.client_credentials(&tenant, resource).await;
        let token = body["access_token"].as_str().unwrap();
        assert_eq!(jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok(), checkable, "{resource}");
        if resource == GRAPH {
            assert_eq!(world.get("v1.0/security/alerts_v2", token).await.0, 200);
        }
    }
    world.emulator.stop().await;
}
