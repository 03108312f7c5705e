//! Wrong, forged, swapped and replayed requests, and text that wants to be markup.

use muster_emulator::{AppRegistration, Config, DirectoryChange};
use serde_json::Value;

use super::support::{Emulated, fields_of};

const GRAPH: &str = "https://graph.microsoft.com";
const REDIRECT: &str = "https://portal.azure.com";
const MARKUP: &str = "\"'><script>alert(1)</script>";

/// Where a request goes, what is said of it, and what it changes in a right one.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

fn authorize<'a>(world: &'a Emulated, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut query =
        vec![("client_id", world.emulator.app_id()), ("response_type", "code"), ("redirect_uri", REDIRECT)];
    for (name, value) in more {
        query.retain(|own| own.0 != *name);
        if !value.is_empty() {
            query.push((name, value));
        }
    }
    query
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_client_stays_on_a_page() {
    let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    let single = world
        .emulator
        .register_app(AppRegistration { name: "no address".to_owned(), ..AppRegistration::default() })
        .unwrap();
    let provider = world.emulator.provider().id;
    let cases: [Case<'_>; 9] = [
        (&tenant, "AADSTS50011", &[("redirect_uri", "https://evil.example/")]),
        (&tenant, "AADSTS50011", &[("redirect_uri", "https://portal.azure.com.evil.example/")]),
        (&tenant, "AADSTS50011", &[("redirect_uri", "https://portal.azure.com/callback")]),
        (&tenant, "AADSTS50011", &[("redirect_uri", "javascript:alert(1)")]),
        (&tenant, "AADSTS700016", &[("client_id", "11111111-1111-1111-1111-111111111111")]),
        (&tenant, "AADSTS900144", &[("client_id", "")]),
        ("nobody.example", "AADSTS90002", &[]),
        ("common", "AADSTS50194", &[("client_id", &single)]),
        (&provider, "AADSTS500113", &[("client_id", &single), ("redirect_uri", "")]),
    ];
    for (tenant, code, more) in cases {
        let (status, page) =
            world.page(&format!("{tenant}/oauth2/authorize"), &authorize(&world, more)).await;
        assert_eq!(status, 400, "{code}");
        assert!(page.contains(code), "{code}: {page}");
    }
    for path in ["adminconsent", "v2.0/adminconsent"] {
        let query = authorize(&world, &[("redirect_uri", "https://evil.example/")]);
        let (status, page) = world.page(&format!("{tenant}/{path}"), &query).await;
        assert!(status == 400 && page.contains("AADSTS50011"), "{page}");
    }
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_request_goes_back_to_the_application() {
    let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    let back = async |path: &str, more: &[(&str, &str)]| {
        let answer = world
            .http
            .get(world.url(&format!("{tenant}/{path}"), &authorize(&world, more)))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 302, "{path} {more:?}");
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    let v2: &[Case<'_>] = &[
        ("unsupported_response_type", "AADSTS70005", &[("response_type", "token"), ("scope", "openid")]),
        ("invalid_request", "AADSTS900144", &[]),
        ("invalid_request", "AADSTS901002", &[("resource", GRAPH), ("scope", "openid")]),
        ("invalid_scope", "AADSTS70011", &[("scope", "https://graph.microsoft.com/")]),
        (
            "invalid_scope",
            "AADSTS700022",
            &[(
                "scope",
                "https://graph.microsoft.com/User.Read https://api.security.microsoft.com/Incident.Read",
            )],
        ),
        ("invalid_resource", "AADSTS500011", &[("scope", "https://nothing.example/.default")]),
        ("invalid_client", "AADSTS650053", &[("scope", "Not.A.Permission")]),
        ("login_required", "AADSTS50058", &[("scope", "openid"), ("prompt", "none")]),
        ("invalid_request", "AADSTS90023", &[("scope", "openid"), ("prompt", "admin_consent")]),
        ("invalid_request", "AADSTS90023", &[("scope", "openid"), ("code_challenge", "short")]),
        (
            "invalid_request",
            "AADSTS90023",
            &[
                ("scope", "openid"),
                ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
                ("code_challenge_method", "MD5"),
            ],
        ),
    ];
    for (error, code, more) in v2 {
        let mut more = more.to_vec();
        more.push(("state", MARKUP));
        let fields = fields_of(&back("oauth2/v2.0/authorize", &more).await);
        assert_eq!(fields["error"], *error, "{fields:?}");
        assert!(fields["error_description"].starts_with(code), "{fields:?}");
        assert_eq!(fields["state"], MARKUP);
    }
    let other =
        back("oauth2/authorize", &[("resource", "https://vault.azure.net"), ("response_mode", "fragment")])
            .await;
    assert!(other.starts_with("https://portal.azure.com#error=invalid_resource"), "{other}");
    assert!(other.contains("AADSTS650057"));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_bound_to_their_client_redirect_tenant_and_verifier() {
    let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
    let tenant = world.tenant(0);
    let other = world
        .emulator
        .register_app(AppRegistration {
            name: "other".to_owned(),
            multitenant: true,
            secret: Some("other".to_owned()),
            redirect_uris: vec![REDIRECT.to_owned()],
            ..AppRegistration::default()
        })
        .unwrap();
    for own in [&tenant, &world.tenant(1)] {
        world
            .emulator
            .change(DirectoryChange::Consent { tenant: own.id.clone(), app: Some(other.clone()) })
            .unwrap();
    }
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let more = [
        ("scope", "https://graph.microsoft.com/.default offline_access"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ];
    let address = world.url(&format!("{}/oauth2/v2.0/authorize", tenant.id), &authorize(&world, &more));
    let account = format!("analyst@{}", tenant.domain);
    let code = fields_of(&world.emulator.sign_in(&address, &account, true).unwrap())["code"].clone();
    let (app, secret) = (world.emulator.app_id().to_owned(), world.emulator.secret().to_owned());
    let redeem = async |tenant: &str, changes: &[(&str, &str)]| {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("client_id", app.as_str()),
            ("client_secret", secret.as_str()),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        for (name, value) in changes {
            form.retain(|own| own.0 != *name);
            if !value.is_empty() {
                form.push((name, value));
            }
        }
        let (status, body) = world.post(&format!("{tenant}/oauth2/v2.0/token"), &form).await;
        (status, body["error_codes"][0].as_u64(), body)
    };
    let cases: [(&[(&str, &str)], u64); 9] = [
        (&[("code", "garbled")], 9_002_313),
        (&[("code", "")], 900_144),
        (&[("client_id", &other), ("client_secret", "other")], 70_000),
        (&[("redirect_uri", "https://SiemMsspConnector")], 500_112),
        (&[("redirect_uri", "")], 500_112),
        (&[("code_verifier", "")], 501_481),
        (&[("code_verifier", "wrong-verifier-wrong-verifier-wrong-verifier-0")], 501_481),
        (&[("client_secret", "wrong")], 7_000_215),
        (&[("client_secret", "")], 7_000_218),
    ];
    for (changes, code) in cases {
        let (status, got, body) = redeem(&tenant.id, changes).await;
        assert_ne!(status, 200);
        assert_eq!(got, Some(code), "{changes:?} {body}");
    }
    assert_eq!(redeem(&world.tenant(1).id, &[]).await.1, Some(700_005));
    let (status, _, body) = redeem(&tenant.id, &[]).await;
    assert_eq!(status, 200, "none of the wrong attempts used it up: {body}");
    let token = body["refresh_token"].as_str().unwrap();
    let refresh = async |tenant: &str, client: &str, secret: &str, token: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("client_secret", secret),
            ("refresh_token", token),
        ];
        world.post(&format!("{tenant}/oauth2/v2.0/token"), &form).await.1["error_codes"][0].as_u64()
    };
    assert_eq!(refresh(&tenant.id, &app, &secret, "garbled").await, Some(9_002_313));
    assert_eq!(refresh(&tenant.id, &other, "other", token).await, Some(70_000));
    assert_eq!(refresh(&world.tenant(1).id, &app, &secret, token).await, Some(50_020));
    assert_eq!(refresh(&tenant.id, &app, "wrong", token).await, Some(7_000_215));
    assert_eq!(refresh(&tenant.id, &app, &secret, token).await, None);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_sent_once_and_hold_no_markup_of_others() {
    let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
    let tenant = world.tenant(0);
    let hostile = world
        .emulator
        .register_app(AppRegistration {
            name: MARKUP.to_owned(),
            multitenant: true,
            redirect_uris: vec!["https://app.example/cb".to_owned()],
            scopes: vec!["https://graph.microsoft.com/User.Read".to_owned()],
            ..AppRegistration::default()
        })
        .unwrap();
    let query = [
        ("client_id", hostile.as_str()),
        ("response_type", "code"),
        ("response_mode", "form_post"),
        ("scope", "https://graph.microsoft.com/User.Read"),
        ("login_hint", MARKUP),
        ("state", MARKUP),
    ];
    let path = format!("{}/oauth2/v2.0/authorize", tenant.id);
    let (_, page) = world.page(&path, &query).await;
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    let flow = |page: &str| {
        page.split("name=\"flowToken\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let send = async |path: &str, form: &[(&str, &str)]| {
        let answer = world.http.post(world.url(path, &[])).form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let account = format!("user@{}", tenant.domain);
    let password = world.emulator.password(&account).unwrap();
    let first = flow(&page);
    for (wrong_account, wrong_password, code) in [
        (account.as_str(), "wrong", "AADSTS50126"),
        (MARKUP, "x", "AADSTS50034"),
        ("a@nobody.example", "x", "AADSTS50034"),
    ] {
        let (_, page) = world.page(&path, &query).await;
        let form = [
            ("flowToken", flow(&page)),
            ("loginfmt", wrong_account.to_owned()),
            ("passwd", wrong_password.to_owned()),
        ];
        let form: Vec<(&str, &str)> = form.iter().map(|own| (own.0, own.1.as_str())).collect();
        let (_, page) = send("common/login", &form).await;
        assert!(page.contains(code) && !page.contains("<script>alert"), "{page}");
    }
    let stranger = format!("admin@{}", world.tenant(1).domain);
    let (_, other) = world.page(&path, &query).await;
    let form = [
        ("flowToken", flow(&other)),
        ("loginfmt", stranger.clone()),
        ("passwd", world.emulator.password(&stranger).unwrap()),
    ];
    let form: Vec<(&str, &str)> = form.iter().map(|own| (own.0, own.1.as_str())).collect();
    let (status, page) = send("common/login", &form).await;
    assert!(status == 400 && page.contains("AADSTS50020"), "{page}");

    let form = [("flowToken", first.as_str()), ("loginfmt", account.as_str()), ("passwd", password.as_str())];
    let (status, consent) = send("common/login", &form).await;
    assert!(
        status == 200 && consent.contains("Permissions requested") && consent.contains("User.Read"),
        "{consent}"
    );
    assert!(!consent.contains("<script>alert"));
    assert_eq!(send("common/login", &form).await.0, 400, "the same page a second time");
    for forged in ["", "AQforged", MARKUP] {
        assert_eq!(send("common/consent", &[("flowToken", forged), ("decision", "accept")]).await.0, 400);
    }
    let flow = flow(&consent);
    let (status, done) =
        send("common/consent", &[("flowToken", flow.as_str()), ("decision", "accept")]).await;
    assert!(status == 200 && done.contains("action=\"https://app.example/cb\""), "{done}");
    assert!(done.contains("name=\"code\"") && !done.contains("<script>alert"), "{done}");
    assert_eq!(send("common/consent", &[("flowToken", flow.as_str()), ("decision", "accept")]).await.0, 400);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_saves_the_password_the_second_time() {
    let world = Emulated::start(Config { tenants: 2, ..Config::default() }).await;
    let tenant = world.tenant(0);
    let path = format!("{}/oauth2/authorize", tenant.id);
    let (_, page) = world.page(&path, &authorize(&world, &[])).await;
    let flow = page.split("name=\"flowToken\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let account = format!("analyst@{}", tenant.domain);
    let password = world.emulator.password(&account).unwrap();
    let form = [("flowToken", flow), ("loginfmt", &account), ("passwd", &password)];
    let answer = world.http.post(world.url("common/login", &[])).form(&form).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let again = async |cookie: &str, more: &[(&str, &str)]| {
        let url = world.url(&path, &authorize(&world, more));
        let answer = world.http.get(url).header("cookie", cookie).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(again(&cookie, &[]).await.0, 302);
    assert_eq!(again(&cookie, &[("prompt", "none")]).await.0, 302);
    assert!(again(&cookie, &[("prompt", "login")]).await.1.contains("name=\"passwd\""));
    assert!(again(&cookie, &[("prompt", "select_account")]).await.1.contains("Pick an account"));
    assert!(again(&cookie, &[("login_hint", "admin@x")]).await.1.contains("name=\"passwd\""));
    assert!(again("ESTSAUTH=forged", &[]).await.1.contains("name=\"passwd\""));
    world.emulator.change(DirectoryChange::RevokeSessions { account: account.clone() }).unwrap();
    assert!(again(&cookie, &[]).await.1.contains("name=\"passwd\""));
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_answered_in_the_documented_form() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    let path = format!("{tenant}/oauth2/v2.0/token");
    let (status, body) =
        world.post(&path, &[("grant_type", "password"), ("client_id", world.emulator.app_id())]).await;
    assert_eq!((status, body["error_codes"][0].as_u64()), (400, Some(900_144)));
    for (kind, text) in [
        ("application/json", r#"{"grant_type":"client_credentials"}"#),
        ("text/plain", "\u{0}\u{1}\u{2}"),
        ("application/x-www-form-urlencoded", "%%%=%zz&client_id"),
    ] {
        let request = world.http.post(world.url(&path, &[])).header("content-type", kind).body(text);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{kind}");
        assert!(
            serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap()["error_codes"][0]
                .is_u64()
        );
    }
    let huge = "x".repeat(5 << 20);
    // What is refused is not read to its end, so the connection is good for nothing else.
    let request = world.http.post(world.url(&path, &[])).header("connection", "close").body(huge);
    assert_eq!(request.send().await.unwrap().status(), 413);
    let (status, body) = world.get(&path, "").await;
    assert_eq!((status, body["error_codes"][0].as_u64()), (400, Some(900_561)));
    let behalf = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", world.emulator.app_id()),
        ("client_secret", world.emulator.secret()),
    ];
    assert_eq!(world.post(&path, &behalf).await.1["error_codes"][0], 7_000_114);
    let account = format!("analyst@{}", world.tenant(0).domain);
    let ropc = async |password: &str| {
        let form = [
            ("grant_type", "password"),
            ("client_id", world.emulator.app_id()),
            ("username", &account),
            ("password", password),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        world.post(&path, &form).await
    };
    assert_eq!(ropc("wrong").await.1["error_codes"][0], 50_126);
    assert_eq!(ropc(&world.emulator.password(&account).unwrap()).await.0, 200);
    // A person without a role reads nothing, whatever the app may.
    let account = format!("user@{}", world.tenant(0).domain);
    let form = [
        ("grant_type", "password"),
        ("client_id", world.emulator.app_id()),
        ("username", &account),
        ("password", &world.emulator.password(&account).unwrap()),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let (_, body) = world.post(&path, &form).await;
    assert_eq!(world.get("v1.0/security/alerts_v2", body["access_token"].as_str().unwrap()).await.0, 403);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sent_makes_it_fall_over() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let tenant = world.tenant(0).id;
    let (_, body) = world.client_credentials(&tenant, GRAPH).await;
    let token = body["access_token"].as_str().unwrap();
    let paths = [
        "oauth2/authorize",
        "oauth2/v2.0/authorize",
        "oauth2/token",
        "oauth2/v2.0/token",
        "oauth2/devicecode",
        "oauth2/v2.0/devicecode",
        "adminconsent",
        "v2.0/adminconsent",
        "login",
        "pick",
        "consent",
        "deviceauth",
        "oauth2/logout",
        ".well-known/openid-configuration",
        "discovery/instance",
        "discovery/keys",
        "openid/userinfo",
    ];
    let others = [
        "common/login",
        "common/consent",
        "devicelogin",
        "error",
        "oidc/userinfo",
        "msi/token",
        "vault/a/secrets/b",
        "metadata/identity/oauth2/token",
        "v1.0/applications",
        "v1.0/applications(appId='",
        "v1.0/applications/x/y/z",
        "v1.0/servicePrincipals",
        "v1.0/oauth2PermissionGrants",
        "v1.0/me",
        "v1.0/organization",
        "vault//",
        "v1.0/",
    ];
    let fields = "client_id=APP&client_secret=%00&response_type=code&scope=%ff%fe/.default&resource=%0d%0aSet-Cookie:x\
        &redirect_uri=https://portal.azure.com&state=%00%0d%0a&claims=[[[[&code=.&refresh_token=..&device_code=%2e\
        &client_assertion=a.b.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer\
        &api-version=2018-02-01&authorization_endpoint=https://[::1&$filter=appId%20eq%20'&flowToken=%27"
        .replace("APP", world.emulator.app_id());
    let grants =
        ["authorization_code", "refresh_token", "device_code", "client_credentials", "%00", "password"];
    let all = paths.iter().flat_map(|path| {
        ["common", tenant.as_str(), "%2e%2e", "%ff"].map(|tenant| format!("{tenant}/{path}"))
    });
    for path in all.chain(others.iter().map(|path| (*path).to_owned())) {
        for (place, grant) in grants.iter().enumerate() {
            let text = format!("{fields}&grant_type={grant}");
            let url = format!("{}/{path}?{text}", world.emulator.base_url());
            let method =
                [reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::DELETE][place % 3].clone();
            let request =
                world.http.request(method, url).bearer_auth(token).header("metadata", "true").body(text);
            let answer = request.send().await.unwrap();
            assert!(answer.status().as_u16() < 500, "{path} {grant} {}", answer.status());
            assert!(!answer.headers().contains_key("set-cookie") || path.ends_with("logout"), "{path}");
        }
    }
    world.emulator.stop().await;
}
