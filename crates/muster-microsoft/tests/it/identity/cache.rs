//! The tokens in hand: when one is asked for anew, and that several callers ask for one only.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_microsoft::entra::credential::{Access, App};
use muster_microsoft::entra::error::TokenError;
use muster_microsoft::{Fault, Microsoft, MicrosoftOptions};
use muster_model::{Source, TenantId};
use serde_json::json;
use tokio::task::JoinSet;

use super::server::{Asked, Reply, Server};
use super::support::{
    GRAPH, Keeper, SECRET, claims, clock, issued, microsoft, options, tenant, token, with_secret,
};

fn is_login(asked: &Asked) -> bool {
    asked.path.ends_with("/token")
}

/// A server that issues `token-0`, `token-1`, … by the number of tokens issued, and whose API refuses the first of
/// them with `refusal`.
async fn refuses_the_first_token(refusal: Reply) -> Server {
    let issued_so_far = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |asked, _| match is_login(asked) {
        true => {
            let number = issued_so_far.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            issued(&format!("token-{number}"))
        }
        false if asked.headers["authorization"] == "Bearer token-0" => refusal.clone(),
        false => Reply::json(200, &json!({"value": []})),
    })
    .await
}

fn tokens_issued(server: &Server) -> usize {
    server.asked().iter().filter(|asked| is_login(asked)).count()
}

fn unauthorised() -> Reply {
    Reply::json(401, &json!({"error": {"code": "InvalidAuthenticationToken", "message": "no"}}))
}

fn challenged() -> Reply {
    let claims = STANDARD.encode(r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#);
    unauthorised()
        .header("www-authenticate", format!(r#"Bearer error="insufficient_claims", claims="{claims}""#))
}

#[tokio::test]
async fn one_request_at_a_time_for_each_tenant_and_api() {
    let server = Server::start(|_, _| issued("opaque").after(Duration::from_millis(30))).await;
    let microsoft = Arc::new(microsoft(&server));
    let mut tasks = JoinSet::new();
    for round in 0..100_u128 {
        let microsoft = Arc::clone(&microsoft);
        tasks.spawn(async move {
            let tenant = TenantId::from(uuid::Uuid::from_u128(round % 5 + 1));
            microsoft.access_token(&with_secret(), tenant, GRAPH).await.expect("a token");
        });
    }
    tasks.join_all().await;
    assert_eq!(server.asked().len(), 5);
    assert!(server.most_at_once() <= 5);
    let tenants: HashSet<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(tenants.len(), 5);
}

#[tokio::test]
async fn a_token_is_renewed_early_and_forgotten_on_request() {
    let server = Server::start(|_, count| issued(&format!("opaque-{count}"))).await;
    let clock = clock();
    let microsoft = Microsoft::new(options(&server), clock.clone()).expect("a client");
    let app = with_secret();
    let fetch = async || {
        let token = microsoft.access_token(&app, tenant(), GRAPH).await.expect("a token");
        token.secret.expose().clone()
    };
    assert_eq!(fetch().await, "opaque-0");
    clock.advance(Duration::from_secs(3598 - 300));
    assert_eq!(fetch().await, "opaque-0");
    clock.advance(Duration::from_secs(2));
    assert_eq!(fetch().await, "opaque-1");
    microsoft.forget(tenant());
    assert_eq!(fetch().await, "opaque-2");
}

#[tokio::test]
async fn a_token_that_an_api_refuses_is_replaced_once_and_the_new_one_stays() {
    for refusal in [unauthorised(), challenged()] {
        let server = refuses_the_first_token(refusal).await;
        let microsoft = microsoft(&server);
        for source in [Source::GraphAlerts, Source::GraphIncidents] {
            microsoft.check_source(&with_secret(), tenant(), source).await.expect("a page");
        }
        assert_eq!(tokens_issued(&server), 2);
    }
}

#[tokio::test]
async fn many_callers_whose_token_is_refused_get_one_new_one_between_them() {
    for refusal in [unauthorised(), challenged()] {
        let server = refuses_the_first_token(refusal).await;
        let options = MicrosoftOptions { requests_per_minute: 6_000, ..options(&server) };
        let microsoft = Arc::new(Microsoft::new(options, clock()).expect("a client"));
        let mut callers = JoinSet::new();
        for _ in 0..20 {
            let microsoft = Arc::clone(&microsoft);
            callers.spawn(async move {
                let read = microsoft.check_source(&with_secret(), tenant(), Source::GraphAlerts).await;
                read.expect("a page");
            });
        }
        callers.join_all().await;
        assert_eq!(tokens_issued(&server), 2);
    }
}

#[tokio::test]
async fn a_token_that_may_not_read_is_asked_for_anew_at_the_next_call() {
    let server =
        refuses_the_first_token(Reply::json(403, &json!({"error": {"code": "Forbidden", "message": "no"}})))
            .await;
    let microsoft = microsoft(&server);
    let refused = microsoft.check_source(&with_secret(), tenant(), Source::GraphAlerts).await;
    assert_eq!(refused.expect_err("a role is missing").fault(), Fault::MissingRole);
    assert_eq!(tokens_issued(&server), 1);
    microsoft.check_source(&with_secret(), tenant(), Source::GraphAlerts).await.expect("a page");
    assert_eq!(tokens_issued(&server), 2);
}

#[tokio::test]
async fn while_the_identity_platform_is_away_the_token_in_hand_serves_on() {
    let server = Server::start(|_, count| match count {
        0 => issued("in-hand"),
        _ => Reply::json(503, &json!({})).header("retry-after", "7"),
    })
    .await;
    let clock = clock();
    let microsoft = Microsoft::new(options(&server), clock.clone()).expect("a client");
    let app = with_secret();
    microsoft.access_token(&app, tenant(), GRAPH).await.expect("a token");
    let fresh = microsoft.fresh_access_token(&app, tenant(), GRAPH).await;
    let away = TokenError::Busy { status: 503, retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(fresh.expect_err("it is away"), away);
    let held = microsoft.access_token(&app, tenant(), GRAPH).await.expect("the one in hand");
    assert_eq!(held.secret.expose(), "in-hand");
    // Once it is past its time there is none.
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(microsoft.access_token(&app, tenant(), GRAPH).await.expect_err("none left"), away);
}

#[tokio::test]
async fn a_sign_in_of_somebody_else_ends_the_tokens_of_the_person_before() {
    let server = Server::start(|asked, _| {
        let access_token = token(&claims());
        let refresh_token = asked.form.get("refresh_token").map_or("the-first", |_| "the-next");
        let answer =
            json!({"access_token": access_token, "expires_in": 3599, "refresh_token": refresh_token});
        Reply::json(200, &answer)
    })
    .await;
    let keeper = Keeper::with("the-refresh-token");
    let options = MicrosoftOptions { grants: Some(keeper.clone()), ..options(&server) };
    let microsoft = Microsoft::new(options, clock()).expect("a client");
    let app = App { access: Access::Delegated, ..with_secret() };
    for _ in 0..2 {
        microsoft.access_token(&app, tenant(), GRAPH).await.expect("a token");
    }
    assert_eq!(keeper.events(), ["lent", "renewed the-next"]);
    let redirect = "https://muster.example/callback";
    let redeemed =
        microsoft.redeem_code(&app, tenant(), &"code".into(), redirect, &SECRET.into(), GRAPH).await;
    redeemed.expect("a sign-in");
    microsoft.access_token(&app, tenant(), GRAPH).await.expect("a token");
    assert_eq!(keeper.events().len(), 4, "the grant was used again: {:?}", keeper.events());
}
