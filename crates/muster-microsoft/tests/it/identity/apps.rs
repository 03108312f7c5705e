//! Apps that act as themselves: each credential on each endpoint, and what goes wrong.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_microsoft::entra::aadsts;
use muster_microsoft::entra::credential::{App, Assertion, Credential, Endpoint, ManagedIdentity};
use muster_microsoft::entra::error::TokenError;
use muster_microsoft::{Fault, Microsoft, MicrosoftOptions};
use muster_model::{ManualClock, Secret, TenantId};
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::support::{
    CLIENT_ID, GRAPH, NOW, SECRET, app, certificate, claims, clock, issued, microsoft, options, refused,
    tenant, token, with_secret,
};

#[tokio::test]
async fn each_endpoint_is_asked_in_its_own_words() {
    let server = Server::start(|asked, _| {
        let life = if asked.path.contains("v2.0") { json!(3599) } else { json!("3599") };
        Reply::json(200, &json!({"access_token": token(&claims()), "expires_in": life}))
    })
    .await;
    let microsoft = microsoft(&server);
    let second = with_secret();
    let first = App { endpoint: Endpoint::V1, name: "old".to_owned(), ..second.clone() };
    for app in [&second, &first] {
        let token = microsoft.access_token(app, tenant(), GRAPH).await.expect("a token");
        assert_eq!(token.expires_at.as_second(), NOW + 3599);
        assert_eq!(token.roles.as_deref(), Some(&["SecurityAlert.Read.All".to_owned()][..]));
        assert!(!format!("{token:?} {app:?}").contains(SECRET));
    }
    let asked = server.asked();
    assert_eq!(asked[0].path, format!("/{}/oauth2/v2.0/token", tenant()));
    assert_eq!(asked[0].form["scope"], "https://graph.microsoft.com/.default");
    assert!(!asked[0].form.contains_key("resource"));
    assert_eq!(asked[1].path, format!("/{}/oauth2/token", tenant()));
    assert_eq!(asked[1].form["resource"], GRAPH);
    assert!(!asked[1].form.contains_key("scope"));
    for asked in asked {
        assert_eq!(asked.query, "");
        assert_eq!(asked.form["grant_type"], "client_credentials");
        assert_eq!(
            (asked.form["client_id"].as_str(), asked.form["client_secret"].as_str()),
            (CLIENT_ID, SECRET)
        );
        assert!(!asked.form.contains_key("claims"));
    }
}

fn part(jwt: &str, number: usize) -> Value {
    let part = jwt.split('.').nth(number).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn a_certificate_signs_each_request_anew() {
    let server = Server::start(|_, _| issued(&token(&claims()))).await;
    let microsoft = microsoft(&server);
    let second = app(Credential::Certificate(Arc::new(certificate())));
    let first = App { endpoint: Endpoint::V1, name: "old".to_owned(), ..second.clone() };
    for app in [&second, &second, &first] {
        microsoft.fresh_access_token(app, tenant(), GRAPH).await.expect("a token");
    }
    let mut ids = HashSet::new();
    for (asked, (algorithm, thumbprint)) in
        server.asked().iter().zip([("PS256", "x5t#S256"), ("PS256", "x5t#S256"), ("RS256", "x5t")])
    {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(asked.form["client_assertion_type"], kind);
        assert!(!asked.form.contains_key("client_secret"));
        let (header, claims) =
            (part(&asked.form["client_assertion"], 0), part(&asked.form["client_assertion"], 1));
        assert_eq!(header["alg"], algorithm);
        assert!(header[thumbprint].is_string());
        assert_eq!(claims["aud"], format!("{}{}", server.address, asked.path));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(CLIENT_ID), &json!(CLIENT_ID)));
        let life = claims["exp"].as_i64().expect("a number") - claims["nbf"].as_i64().expect("a number");
        assert!((300..=600).contains(&life), "{life}");
        assert!(ids.insert(claims["jti"].to_string()));
    }
}

#[tokio::test]
async fn a_certificate_past_its_time_is_told_without_asking() {
    let server = Server::start(|_, _| issued("never")).await;
    let app = app(Credential::Certificate(Arc::new(certificate())));
    for time in ["2126-10-28T07:44:36Z", "2026-11-21T07:00:00Z"] {
        let time: Timestamp = time.parse().expect("a time");
        let clock = Arc::new(ManualClock::new(time));
        let microsoft = Microsoft::new(options(&server), clock).expect("a client");
        let error = microsoft.access_token(&app, tenant(), GRAPH).await.expect_err("no token");
        assert_eq!(error.fault(), Fault::CertificateRejected, "{error}");
        assert!(error.to_string().starts_with("main cannot prove itself: the certificate "), "{error}");
    }
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_federated_token_file_is_read_each_time() {
    let server = Server::start(|_, _| issued(&token(&claims()))).await;
    let microsoft = microsoft(&server);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let app = app(Credential::Federated(Assertion::File(file.clone())));
    let fetch = || microsoft.fresh_access_token(&app, tenant(), GRAPH);
    for id in ["one", "two"] {
        let assertion = token(&json!({"jti": id, "exp": NOW + 60}));
        std::fs::write(&file, format!("{assertion}\n")).expect("a file");
        fetch().await.expect("a token");
        assert_eq!(server.asked().last().expect("a request").form["client_assertion"], assertion);
    }
    let stale = token(&json!({"exp": NOW - 60}));
    for (content, words) in [
        ("", "is empty"),
        ("not a token", "holds no JWT"),
        (stale.as_str(), "expired at"),
        (&"x".repeat(70_000), "longer than any token"),
    ] {
        std::fs::write(&file, content).expect("a file");
        let error = fetch().await.expect_err("no token");
        assert_eq!(error.fault(), Fault::CertificateRejected);
        assert!(error.to_string().contains(words), "{error}");
    }
    std::fs::remove_file(&file).expect("it is there");
    assert!(fetch().await.expect_err("no file").to_string().contains("cannot be read"));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_managed_identity_is_asked_directly_again_and_kept() {
    let server = Server::start(|asked, count| match (asked.path.as_str(), count) {
        ("/metadata/identity/oauth2/token", 0) => Reply::json(410, &json!({"error": "gone"})),
        ("/metadata/identity/oauth2/token", _) => Reply::json(
            200,
            &json!({"access_token": token(&json!({"aud": "x"})), "expires_in": "86399", "expires_on": "1800086399"}),
        ),
        _ => issued(&token(&json!({"aud": GRAPH}))),
    })
    .await;
    let mut with_proxy = options(&server);
    // Nobody listens there: whoever went through the proxy would get nowhere. The login server is reached past it.
    let url = url::Url::parse("http://127.0.0.1:9").expect("an address");
    with_proxy.client.proxy = Some(muster_http::Proxy { url, no_proxy: None });
    let microsoft = Microsoft::new(with_proxy, clock()).expect("a client");
    let endpoint = format!("{}/metadata/identity/oauth2/token", server.address);
    let identity = ManagedIdentity {
        endpoint: url::Url::parse(&endpoint).expect("an address"),
        client_id: Some("which one".to_owned()),
        ..ManagedIdentity::default()
    };
    let machine = app(Credential::ManagedIdentity(identity.clone()));
    let error = microsoft.access_token(&machine, tenant(), GRAPH).await.expect_err("for another API");
    assert!(matches!(error, TokenError::WrongToken { claim: "audience", .. }), "{error}");
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].headers["metadata"], "true");
    let query: Vec<_> = url::form_urlencoded::parse(asked[1].query.as_bytes()).into_owned().collect();
    assert!(query.contains(&("api-version".to_owned(), "2018-02-01".to_owned())));
    assert!(query.contains(&("resource".to_owned(), GRAPH.to_owned())));
    assert!(query.contains(&("client_id".to_owned(), "which one".to_owned())));

    // As the proof of an app in many tenants it is asked for once.
    let microsoft = Microsoft::new(options(&server), clock()).expect("a client");
    let app = app(Credential::Federated(Assertion::ManagedIdentity(identity)));
    for number in 1..4_u128 {
        let tenant = TenantId::from(uuid::Uuid::from_u128(number));
        microsoft.access_token(&app, tenant, GRAPH).await.expect("a token");
    }
    let asked = server.asked();
    let machine: Vec<_> = asked[2..].iter().filter(|asked| asked.path.starts_with("/metadata")).collect();
    assert_eq!(machine.len(), 1);
    assert!(machine[0].query.contains("AzureADTokenExchange"));
    assert_eq!(asked.last().expect("a request").form["client_assertion"], token(&json!({"aud": "x"})));
}

/// In App Service and Container Apps a header proves the request, and the answer names the end of the token only.
#[tokio::test]
async fn app_service_is_asked_with_its_header_and_its_end_of_a_token_is_kept() {
    let ends = NOW + 7_200;
    let server = Server::start(move |asked, _| match asked.headers.get("x-identity-header") {
        Some(header) if header == "of-this-program" => Reply::json(
            200,
            &json!({"access_token": token(&claims()), "expires_on": ends.to_string(), "token_type": "Bearer"}),
        ),
        _ => Reply::json(401, &json!({"statusCode": 401, "message": "Header is missing or wrong."})),
    })
    .await;
    let machine = |header: &str| {
        app(Credential::ManagedIdentity(ManagedIdentity {
            endpoint: url::Url::parse(&format!("{}/msi/token", server.address)).expect("an address"),
            header: Some(Secret::from(header)),
            client_id: Some("which one".to_owned()),
        }))
    };
    let got = microsoft(&server).access_token(&machine("of-this-program"), tenant(), GRAPH).await;
    assert_eq!(got.expect("a token").expires_at.as_second(), ends);
    let asked = server.asked();
    assert_eq!(asked[0].headers.get("metadata"), None);
    for part in ["api-version=2019-08-01", "client_id=which+one"] {
        assert!(asked[0].query.contains(part), "{}", asked[0].query);
    }
    let error = microsoft(&server).access_token(&machine("of-another"), tenant(), GRAPH).await;
    let error = error.expect_err("refused");
    assert_eq!(error.fault(), Fault::Misconfigured);
    assert!(error.to_string().contains("Header is missing") && !error.to_string().contains("of-another"));
}

#[tokio::test]
async fn a_metadata_service_elsewhere_or_without_the_identity_is_told() {
    let server = Server::start(|_, _| {
        Reply::json(400, &json!({"error": "invalid_request", "error_description": "Identity not found"}))
    })
    .await;
    let microsoft = microsoft(&server);
    for (endpoint, words) in [
        (server.address.clone(), "Identity not found"),
        ("http://metadata.example/token".to_owned(), "neither link-local nor on this machine"),
    ] {
        let endpoint = url::Url::parse(&endpoint).expect("an address");
        let app =
            app(Credential::ManagedIdentity(ManagedIdentity { endpoint, ..ManagedIdentity::default() }));
        let error = microsoft.access_token(&app, tenant(), GRAPH).await.expect_err("no token");
        assert_eq!(error.fault(), Fault::Misconfigured);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_public_client_cannot_act_as_itself() {
    let server = Server::start(|_, _| issued("never")).await;
    let error = microsoft(&server).access_token(&app(Credential::None), tenant(), GRAPH).await;
    assert_eq!(error.expect_err("no token").fault(), Fault::Misconfigured);
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn tokens_for_somebody_else_and_no_tokens_are_not_used() {
    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        token(&claims)
    };
    let stranger = changed("tid", json!("99999999-8a41-4b52-9c1e-0d6f7a8b9c0d"));
    let vault = changed("aud", json!("https://vault.azure.net"));
    let mde = changed("aud", json!("fc780465-2017-40d4-a0c5-307022471b92"));
    let odd_tenant = changed("tid", json!("{5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d}"));
    for (token, words) in [
        (stranger.as_str(), "whose tenant is"),
        (&odd_tenant, "whose tenant is"),
        (&vault, "whose audience is"),
        (&mde, "whose audience is"),
        ("with\r\nX-Header: more", "an access token that is none"),
        ("", "an access token that is none"),
    ] {
        let reply = issued(token);
        let server = Server::start(move |_, _| reply.clone()).await;
        let error =
            microsoft(&server).access_token(&with_secret(), tenant(), GRAPH).await.expect_err("no token");
        assert!(error.to_string().contains(words), "{error}");
        assert!(token.is_empty() || !error.to_string().contains(token), "{error}");
    }
    let other_names = [
        changed("aud", json!("00000003-0000-0000-c000-000000000000")),
        changed("aud", json!("HTTPS://graph.microsoft.com/")),
        changed("aud", json!(["x", GRAPH])),
        "opaque".to_owned(),
        "a.b.c".to_owned(),
    ];
    for token in other_names {
        let reply = issued(&token);
        let server = Server::start(move |_, _| reply.clone()).await;
        microsoft(&server)
            .access_token(&with_secret(), tenant(), GRAPH)
            .await
            .expect("the same API, or unreadable");
    }
}

#[tokio::test]
async fn every_code_is_told_with_its_kind_and_remedy() {
    for known in aadsts::all() {
        let code = known.code;
        let server = Server::start(move |_, _| refused(400, "invalid_grant", code)).await;
        let error =
            microsoft(&server).access_token(&with_secret(), tenant(), GRAPH).await.expect_err("refused");
        assert_eq!(error.fault(), known.fault, "{code}");
        assert_eq!(error.ends_grant(), known.ends_grant, "{code}");
        let told = error.to_string();
        assert!(told.contains(known.meaning) && told.contains(known.remedy), "{told}");
        assert!(told.contains(&format!("AADSTS{code}")), "{told}");
    }
}

#[tokio::test]
async fn refusals_without_a_known_code_are_told_by_their_word() {
    for (reply, fault, person) in [
        (refused(401, "invalid_client", 0), Fault::WrongSecret, true),
        (refused(400, "unauthorized_client", 99_999_999), Fault::AppUnknown, true),
        (refused(400, "interaction_required", 0), Fault::MultifactorNeeded, true),
        (refused(400, "temporarily_unavailable", 0), Fault::ApiDown, false),
        (refused(400, "a new word", 0), Fault::Other, true),
        (refused(429, "x", 0), Fault::Throttled, false),
        (refused(503, "x", 0), Fault::ApiDown, false),
        (Reply::json(400, &json!("<html>")), Fault::Other, false),
        (
            Reply::json(302, &json!({})).header("location", "https://evil.example/"),
            Fault::Misconfigured,
            true,
        ),
        (
            Reply::json(
                400,
                &json!({"error": "invalid_grant", "error_codes": [70_002, 70_008], "error_description": "AADSTS70002: x"}),
            ),
            Fault::GrantExpired,
            true,
        ),
    ] {
        let told = format!("{reply:?}");
        let server = Server::start(move |_, _| reply.clone()).await;
        let error =
            microsoft(&server).access_token(&with_secret(), tenant(), GRAPH).await.expect_err("refused");
        assert_eq!((error.fault(), error.needs_a_person()), (fault, person), "{told}: {error}");
    }
}

#[tokio::test]
async fn continuous_access_is_offered_where_the_settings_say_so() {
    let server = Server::start(|_, _| issued("opaque")).await;
    let options = MicrosoftOptions { continuous_access: true, ..options(&server) };
    let microsoft = Microsoft::new(options, clock()).expect("a client");
    microsoft.access_token(&with_secret(), tenant(), GRAPH).await.expect("a token");
    assert_eq!(server.asked()[0].form["claims"], r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#);
}
