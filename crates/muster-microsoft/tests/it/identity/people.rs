//! Apps that act for a person: sign-ins, and the grant that is left of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::credential::{Access, App, Credential, Endpoint};
use muster_microsoft::entra::delegated::{AuthorizeRequest, Pkce, Prompt, ResponseMode};
use muster_microsoft::entra::device_code::DevicePoll;
use muster_microsoft::entra::error::TokenError;
use muster_microsoft::entra::grant::GrantError;
use muster_microsoft::{Fault, Microsoft, MicrosoftOptions};
use muster_model::Secret;
use serde_json::{Value, json};

use super::server::{Asked, Reply, Server};
use super::support::{
    CLIENT_ID, GRAPH, Keeper, NOW, SECRET, app, claims, clock, microsoft, options, refused, tenant, token,
    with_secret,
};

const REDIRECT: &str = "https://muster.example/SiemMsspConnector?a=b&c";

fn person() -> App {
    App { access: Access::Delegated, ..with_secret() }
}

fn with_keeper(server: &Server, keeper: &Arc<Keeper>) -> Microsoft {
    let grants: Arc<dyn muster_microsoft::entra::grant::GrantKeeper> = keeper.clone();
    Microsoft::new(MicrosoftOptions { grants: Some(grants), ..options(server) }, clock()).expect("a client")
}

fn renewed(refresh_token: &str) -> Reply {
    Reply::json(
        200,
        &json!({"access_token": token(&claims()), "expires_in": 3599, "refresh_token": refresh_token}),
    )
}

#[tokio::test]
async fn the_next_refresh_token_is_kept_before_the_token_is_used() {
    let server = Server::start(|_, _| renewed("the-next")).await;
    let keeper = Keeper::with("the-refresh-token");
    let microsoft = with_keeper(&server, &keeper);
    let token = microsoft.access_token(&person(), tenant(), GRAPH).await.expect("a token");
    assert_eq!(
        token.scopes.as_deref(),
        Some(&["SecurityAlert.Read.All".to_owned(), "openid".to_owned()][..])
    );
    assert_eq!(keeper.events(), ["lent", "renewed the-next"]);
    let form = &server.asked()[0].form;
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["refresh_token"], "the-refresh-token");
    assert_eq!(form["client_secret"], SECRET);
    assert_eq!(form["scope"], "https://graph.microsoft.com/.default openid profile offline_access");

    // What could not be kept is not used.
    for error in [GrantError::Lost, GrantError::Store("the disk is full".to_owned())] {
        *keeper.keeps.lock().expect("no panic") = Some(error.clone());
        let told = microsoft.fresh_access_token(&person(), tenant(), GRAPH).await.expect_err("not kept");
        assert_eq!(told, TokenError::Grant(error));
    }
}

#[tokio::test]
async fn the_older_endpoint_and_public_clients_renew_too() {
    let server = Server::start(|_, _| renewed("the-next")).await;
    let keeper = Keeper::with("the-refresh-token");
    let microsoft = with_keeper(&server, &keeper);
    let public = App { endpoint: Endpoint::V1, access: Access::Delegated, ..app(Credential::None) };
    microsoft.access_token(&public, tenant(), GRAPH).await.expect("a token");
    let asked = &server.asked()[0];
    assert_eq!(asked.path, format!("/{}/oauth2/token", tenant()));
    assert_eq!(asked.form["resource"], GRAPH);
    assert!(!asked.form.contains_key("scope") && !asked.form.contains_key("client_secret"));
}

#[tokio::test]
async fn a_dead_grant_is_told_from_one_that_may_come_back() {
    let with_suberror = |error: &str, suberror: &str| {
        Reply::json(
            400,
            &json!({"error": error, "suberror": suberror, "error_codes": [50_999], "error_description": "AADSTS50999: x"}),
        )
    };
    for (reply, dead, fault) in [
        (refused(400, "invalid_grant", 50_173), true, Fault::GrantRevoked),
        (refused(400, "invalid_grant", 700_082), true, Fault::GrantExpired),
        (refused(400, "invalid_grant", 70_008), true, Fault::GrantExpired),
        (refused(400, "invalid_grant", 70_043), true, Fault::GrantExpired),
        (refused(400, "invalid_grant", 0), true, Fault::GrantRevoked),
        // A code that nobody explained yet may be a rule's.
        (refused(400, "invalid_grant", 50_999), false, Fault::GrantRevoked),
        (with_suberror("invalid_grant", "bad_token"), true, Fault::GrantRevoked),
        (with_suberror("invalid_grant", "token_expired"), true, Fault::GrantRevoked),
        (with_suberror("invalid_grant", "basic_action"), false, Fault::GrantRevoked),
        (with_suberror("interaction_required", "bad_token"), false, Fault::MultifactorNeeded),
        (refused(400, "invalid_grant", 65_001), false, Fault::LostConsent),
        (refused(400, "invalid_grant", 53_002), false, Fault::ConditionalAccess),
        (refused(400, "invalid_grant", 53_003), false, Fault::ConditionalAccess),
        (refused(400, "invalid_grant", 530_032), false, Fault::ConditionalAccess),
        (refused(400, "invalid_grant", 50_074), false, Fault::MultifactorNeeded),
        (refused(400, "interaction_required", 50_076), false, Fault::MultifactorNeeded),
        (refused(400, "invalid_grant", 50_196), false, Fault::Throttled),
        (refused(401, "invalid_client", 7_000_222), false, Fault::SecretExpired),
        (refused(503, "x", 0), false, Fault::ApiDown),
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let keeper = Keeper::with("the-refresh-token");
        let error = with_keeper(&server, &keeper).access_token(&person(), tenant(), GRAPH).await;
        let error = error.expect_err("refused");
        assert_eq!((error.fault(), error.ends_grant()), (fault, dead), "{error}");
        let last = if dead { "failed, dead" } else { "failed, alive" };
        assert_eq!(keeper.events(), ["lent", last], "{error}");
        assert!(!error.to_string().contains("the-refresh-token"));
    }
}

#[tokio::test]
async fn a_grant_that_somebody_else_renews_is_waited_for() {
    let server = Server::start(|_, _| renewed("the-next")).await;
    let keeper = Keeper::with("the-refresh-token");
    let until = Timestamp::from_second(NOW).expect("a time") + Duration::from_millis(60);
    keeper.busy.lock().expect("no panic").extend([GrantError::Busy { until }, GrantError::Busy { until }]);
    let microsoft = with_keeper(&server, &keeper);
    microsoft.access_token(&person(), tenant(), GRAPH).await.expect("a token");
    assert_eq!(keeper.events(), ["busy", "busy", "lent", "renewed the-next"]);

    keeper.busy.lock().expect("no panic").push_back(GrantError::None);
    let error = microsoft.fresh_access_token(&person(), tenant(), GRAPH).await.expect_err("none");
    assert!(error.to_string().contains("muster token acquire"), "{error}");
    assert_eq!(error.fault(), Fault::GrantExpired);
}

#[tokio::test]
async fn a_token_of_another_tenant_is_not_used_but_its_grant_is_kept() {
    let server = Server::start(|_, _| {
        let mut claims = claims();
        claims["tid"] = json!("99999999-8a41-4b52-9c1e-0d6f7a8b9c0d");
        Reply::json(200, &json!({"access_token": token(&claims), "refresh_token": "the-next"}))
    })
    .await;
    let keeper = Keeper::with("the-refresh-token");
    let error =
        with_keeper(&server, &keeper).access_token(&person(), tenant(), GRAPH).await.expect_err("not ours");
    assert!(matches!(error, TokenError::WrongToken { claim: "tenant", .. }));
    assert_eq!(keeper.events(), ["lent", "renewed the-next"]);
}

#[tokio::test]
async fn the_sign_in_page_is_asked_in_the_words_of_its_endpoint() {
    let server = Server::start(|_, _| refused(500, "x", 0)).await;
    let microsoft = microsoft(&server);
    let pkce = Pkce::generate([9; 32]);
    let challenge = pkce.challenge();
    let second = person();
    let first = App { endpoint: Endpoint::V1, ..person() };
    let request = |app| AuthorizeRequest {
        app,
        tenant: None,
        resource: GRAPH,
        redirect_uri: REDIRECT,
        state: "s&t=a#te",
        nonce: "n",
        challenge: &challenge,
        login_hint: Some("a+b@contoso.example"),
        prompt: Some(Prompt::SelectAccount),
        response_mode: ResponseMode::FormPost,
    };
    let url = microsoft.authorize_url(&request(&second)).await.expect("a page");
    assert_eq!(url.path(), "/organizations/oauth2/v2.0/authorize");
    let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("state", "s&t=a#te"),
        ("nonce", "n"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("scope", "https://graph.microsoft.com/.default openid profile offline_access"),
        ("login_hint", "a+b@contoso.example"),
        ("prompt", "select_account"),
        ("response_mode", "form_post"),
    ] {
        assert_eq!(query[name], value, "{name}");
    }
    assert!(!url.as_str().contains(pkce.verifier().expose()));
    let request = AuthorizeRequest { tenant: Some(tenant()), prompt: None, ..request(&first) };
    let url = microsoft.authorize_url(&request).await.expect("a page");
    assert_eq!(url.path(), format!("/{}/oauth2/authorize", tenant()));
    let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["resource"], GRAPH);
    assert!(!query.contains_key("scope") && !query.contains_key("prompt"));
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn a_proof_key_is_made_as_the_standard_says() {
    // The random bytes of RFC 7636 appendix B.
    let random = [
        116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105,
        214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
    ];
    let pkce = Pkce::generate(random);
    assert_eq!(pkce.verifier().expose(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(pkce.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert!(!format!("{pkce:?}").contains("dBjft"));
}

fn signed_in(asked: &Asked, tid: &Value) -> Reply {
    let mut claims = claims();
    claims["tid"] = tid.clone();
    let id = token(&json!({"tid": tid, "nonce": "n", "preferred_username": "a\u{1b}@contoso.example"}));
    let code = asked.form.get("code").or(asked.form.get("device_code")).expect("a code");
    assert_eq!(code, "the-code");
    Reply::json(
        200,
        &json!({
            "access_token": token(&claims), "expires_in": "3599", "refresh_token": "the-first", "id_token": id,
            "scope": "SecurityAlert.Read.All openid",
        }),
    )
}

#[tokio::test]
async fn a_code_is_redeemed_for_the_tenant_that_was_meant() {
    let server = Server::start(|asked, _| signed_in(asked, &json!(tenant()))).await;
    let (code, verifier) = (Secret::from("the-code"), Secret::from("the-verifier"));
    let microsoft = microsoft(&server);
    let app = with_secret();
    let granted =
        microsoft.redeem_code(&app, tenant(), &code, REDIRECT, &verifier, GRAPH).await.expect("a grant");
    assert_eq!((granted.account.as_str(), granted.tenant), ("a @contoso.example", Some(tenant())));
    assert_eq!(granted.nonce.as_deref(), Some("n"));
    assert_eq!(granted.scopes, ["SecurityAlert.Read.All", "openid"]);
    assert_eq!(granted.refresh_token.as_ref().expect("one").expose(), "the-first");
    assert!(!format!("{granted:?}").contains("the-first"));
    let form = &server.asked()[0].form;
    assert_eq!((form["redirect_uri"].as_str(), form["code_verifier"].as_str()), (REDIRECT, "the-verifier"));

    let stranger = "99999999-8a41-4b52-9c1e-0d6f7a8b9c0d".parse::<muster_model::TenantId>().expect("a GUID");
    let error = microsoft.redeem_code(&app, stranger, &code, REDIRECT, &verifier, GRAPH).await;
    let error = error.expect_err("the code is of another tenant");
    assert!(matches!(error, TokenError::WrongToken { claim: "tenant", .. }), "{error}");
}

#[tokio::test]
async fn a_device_code_is_polled_until_the_person_is_done() {
    for endpoint in [Endpoint::V1, Endpoint::V2] {
        let first = endpoint == Endpoint::V1;
        let server = Server::start(move |asked, count| match count {
            0 => {
                let uri = if first { "verification_url" } else { "verification_uri" };
                let life = if first { json!("900") } else { json!(900) };
                Reply::json(
                    200,
                    &json!({"device_code": "the-code", "user_code": "ABCD", uri: "https://microsoft.com/devicelogin",
                        "expires_in": life, "interval": life.as_str().map_or(json!(5), |_| json!("5"))}),
                )
            }
            1 => refused(400, "authorization_pending", 70_016),
            2 => refused(400, "slow_down", 0),
            3 => refused(503, "x", 0),
            _ => signed_in(asked, &json!(tenant())),
        })
        .await;
        let microsoft = microsoft(&server);
        let app = App { endpoint, ..app(Credential::None) };
        let code = microsoft.start_device_code(&app, tenant(), GRAPH).await.expect("a code");
        assert_eq!((code.user_code.as_str(), code.interval), ("ABCD", Duration::from_secs(5)));
        assert_eq!(code.expires_at.as_second(), NOW + 900);
        assert!(!format!("{code:?}").contains("the-code"));
        let poll = async || microsoft.poll_device_code(&app, tenant(), &code).await;
        let waits = |poll: Result<DevicePoll, TokenError>| match poll {
            Ok(DevicePoll::Pending { wait }) => wait.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(poll().await), 5);
        assert_eq!(waits(poll().await), 10);
        assert_eq!(poll().await.expect_err("trouble").fault(), Fault::ApiDown);
        assert!(matches!(poll().await, Ok(DevicePoll::Granted(granted)) if granted.tenant == Some(tenant())));
        let last = server.asked().pop().expect("a request");
        assert_eq!(last.form["client_id"], CLIENT_ID);
        assert_eq!(last.form.contains_key("device_code"), !first);
    }
}

#[tokio::test]
async fn a_device_code_that_was_declined_or_is_late_is_told() {
    let server = Server::start(|_, count| match count {
        0 => Reply::json(
            200,
            &json!({"device_code": "x", "user_code": "A", "verification_uri": "https://microsoft.com/devicelogin"}),
        ),
        1 => refused(400, "authorization_declined", 0),
        2 => refused(400, "expired_token", 70_019),
        3 => refused(400, "bad_verification_code", 70_018),
        _ => Reply::json(200, &json!({"device_code": "x", "user_code": "A", "verification_uri": "javascript:x"})),
    })
    .await;
    let clock = clock();
    let microsoft = Microsoft::new(options(&server), clock.clone()).expect("a client");
    let app = app(Credential::None);
    let code = microsoft.start_device_code(&app, None, GRAPH).await.expect("a code");
    let poll = async || microsoft.poll_device_code(&app, None, &code).await;
    assert!(matches!(poll().await, Ok(DevicePoll::Declined)));
    assert!(matches!(poll().await, Ok(DevicePoll::Expired)));
    poll().await.expect_err("a wrong code");
    let error = microsoft.start_device_code(&app, None, GRAPH).await.expect_err("no web address");
    assert!(matches!(error, TokenError::Odd { .. }));
    clock.advance(Duration::from_secs(900));
    assert!(matches!(poll().await, Ok(DevicePoll::Expired)));
    assert_eq!(server.asked().len(), 5);
}
