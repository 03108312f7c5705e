//! Sign-in, consent and the grants that follow, driven over HTTP and through the pages.

use super::support::{Emulated, claims_of, fields_of};
use muster_emulator::{AppRegistration, Area, Config, Fault, FaultKind};

const GRAPH: &str = "https://graph.microsoft.com";
const ALERTS: &str = "https://graph.microsoft.com/SecurityAlert.Read.All openid profile offline_access";
const REDIRECT: &str = "https://portal.azure.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_the_app_reads_alerts_for_them_in_both_versions() {
    let world = Emulated::start(Config { alerts: Some(50), tenants: 2, ..Config::default() }).await;
    let tenant = world.tenant(0);
    let account = format!("analyst@{}", tenant.domain);
    let app = world.emulator.app_id().to_owned();
    let secret = world.emulator.secret().to_owned();
    for (version, path) in [(1, "oauth2"), (2, "oauth2/v2.0")] {
        let mut query = vec![
            ("client_id", app.as_str()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("state", "s&t=1"),
            ("nonce", "n1"),
        ];
        let api = if version == 1 { ("resource", GRAPH) } else { ("scope", ALERTS) };
        query.push(api);
        let address = world.url(&format!("{}/{path}/authorize", tenant.id), &query);
        let back = world.emulator.sign_in(&address, &account, true).unwrap();
        let fields = fields_of(&back);
        assert!(back.starts_with("https://portal.azure.com/?"), "{back}");
        assert_eq!(fields["state"], "s&t=1");
        assert!(fields.contains_key("session_state") && !fields.contains_key("admin_consent"));
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &app),
            ("client_secret", &secret),
            ("code", &fields["code"]),
            ("redirect_uri", REDIRECT),
            ("client_info", "1"),
        ];
        let (status, body) = world.post(&format!("{}/{path}/token", tenant.id), &form).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["expires_in"].is_string(), version == 1);
        let claims = claims_of(body["access_token"].as_str().unwrap());
        assert_eq!((claims["ver"].as_str(), claims["appidacr"].as_str()), (Some("1.0"), Some("1")));
        assert_eq!(
            (claims["upn"].as_str(), claims["tid"].as_str()),
            (Some(account.as_str()), Some(tenant.id.as_str()))
        );
        assert!(claims["scp"].as_str().unwrap().contains("SecurityAlert.Read.All"), "{claims}");
        assert!(claims["roles"].is_null() && claims["idtyp"].is_null());
        let id = claims_of(body["id_token"].as_str().unwrap());
        assert_eq!((id["nonce"].as_str(), id["aud"].as_str()), (Some("n1"), Some(app.as_str())));
        assert_eq!(id["ver"], format!("{version}.0"));
        assert!(body["client_info"].is_string());
        let issued = world.emulator.issued_secrets();
        for secret in [&body["access_token"], &body["refresh_token"], &body["id_token"]] {
            assert!(issued.iter().any(|own| secret == own.as_str()), "every secret that goes out is noted");
        }
        assert!(issued.contains(&fields["code"]));
        let page = world.get("v1.0/security/alerts_v2", body["access_token"].as_str().unwrap()).await;
        assert_eq!(page.0, 200, "{}", page.1);
        // The refresh token gives another, and stays good itself.
        for _ in 0..2 {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", &app),
                ("client_secret", &secret),
                ("refresh_token", body["refresh_token"].as_str().unwrap()),
            ];
            let (status, next) = world.post(&format!("{}/{path}/token", tenant.id), &form).await;
            assert_eq!(status, 200, "{next}");
            assert_ne!(next["refresh_token"], body["refresh_token"]);
        }
    }
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_consent_gives_the_app_its_roles_in_every_form() {
    let world =
        Emulated::start(Config { consented: false, tenants: 5, alerts: Some(20), ..Config::default() }).await;
    let app = world.emulator.app_id().to_owned();
    let forms: [(&str, &[(&str, &str)]); 4] = [
        ("{tenant}/adminconsent", &[]),
        ("organizations/v2.0/adminconsent", &[("scope", "https://graph.microsoft.com/.default")]),
        (
            "{tenant}/oauth2/authorize",
            &[("prompt", "admin_consent"), ("response_type", "code"), ("resource", GRAPH)],
        ),
        (
            "common/oauth2/authorize",
            &[("prompt", "consent"), ("response_type", "code"), ("sso_reload", "true")],
        ),
    ];
    for (place, (path, more)) in forms.into_iter().enumerate() {
        let tenant = world.tenant(place);
        let (status, body) = world.client_credentials(&tenant.id, GRAPH).await;
        assert_eq!((status, body["error_codes"][0].as_u64()), (400, Some(700_016)), "{body}");
        let mut query = vec![("client_id", app.as_str()), ("redirect_uri", REDIRECT), ("state", "abc")];
        query.extend_from_slice(more);
        let address = world.url(&path.replace("{tenant}", &tenant.id), &query);
        // Somebody who is no administrator is told so, and the application hears of it.
        let refused = world.emulator.sign_in(&address, &format!("analyst@{}", tenant.domain), true).unwrap();
        assert!(refused.contains("error="), "{refused}");
        // The administrator may decline.
        let admin = format!("admin@{}", tenant.domain);
        let declined = fields_of(&world.emulator.sign_in(&address, &admin, false).unwrap());
        assert_eq!(declined["state"], "abc");
        match place {
            0 => {
                assert_eq!(declined["error"], "permission_denied");
                assert_eq!(declined["error_description"], "The admin canceled the request");
            }
            1 => {
                assert_eq!(declined["error"], "consent_required");
                assert_eq!(declined["admin_consent"], "True");
                assert!(declined["error_description"].starts_with("AADSTS65004"));
            }
            _ => assert_eq!(declined["error"], "access_denied"),
        }
        assert_eq!(world.client_credentials(&tenant.id, GRAPH).await.0, 400);
        // And may consent.
        let back = fields_of(&world.emulator.sign_in(&address, &admin, true).unwrap());
        assert_eq!(back["state"], "abc");
        assert!(!back.contains_key("error"), "{back:?}");
        if place < 2 {
            assert_eq!(
                (back["tenant"].as_str(), back["admin_consent"].as_str()),
                (tenant.id.as_str(), "True")
            );
        }
        assert_eq!(back.contains_key("admin_consent"), place < 3);
        assert_eq!(back.contains_key("code"), place >= 2);
        if place == 1 {
            assert!(back["scope"].contains("https://graph.microsoft.com/SecurityAlert.Read.All"));
        }
        let (status, body) = world.client_credentials(&tenant.id, GRAPH).await;
        assert_eq!(status, 200, "{body}");
        let claims = claims_of(body["access_token"].as_str().unwrap());
        assert_eq!(claims["roles"][0], "SecurityAlert.Read.All");
    }
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_flow_waits_for_a_person() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let tenant = world.tenant(0);
    let app = world.emulator.app_id().to_owned();
    for (path, api) in [("oauth2", ("resource", GRAPH)), ("oauth2/v2.0", ("scope", ALERTS))] {
        let begun = async || {
            let (status, body) =
                world.post(&format!("{}/{path}/devicecode", tenant.id), &[("client_id", &app), api]).await;
            assert_eq!(status, 200, "{body}");
            body
        };
        let device = begun().await;
        let code = device["device_code"].as_str().unwrap();
        let poll = async |code: &str| {
            let form = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("client_id", app.as_str()),
                (if path == "oauth2" { "code" } else { "device_code" }, code),
            ];
            world.post(&format!("{}/{path}/token", tenant.id), &form).await
        };
        let (status, waiting) = poll(code).await;
        assert_eq!((status, waiting["error"].as_str()), (400, Some("authorization_pending")));
        assert_eq!(poll("nonsense").await.1["error"], "bad_verification_code");
        let page = device["verification_uri"].as_str().or(device["verification_url"].as_str()).unwrap();
        let address = format!("{page}?otc={}", device["user_code"].as_str().unwrap());
        let account = format!("analyst@{}", tenant.domain);
        // The walk ends on a page: there is no application in this browser.
        let said = world.emulator.sign_in(&address, &account, true).unwrap_err().to_string();
        assert!(said.contains("You have signed in to the application on your device"), "{said}");
        let (status, done) = poll(code).await;
        assert_eq!(status, 200, "{done}");
        assert!(done["refresh_token"].is_string());
        assert_ne!(poll(code).await.0, 200);
        let declined = begun().await;
        let address = format!("{page}?otc={}", declined["user_code"].as_str().unwrap());
        world.emulator.sign_in(&address, &account, false).unwrap_err();
        let (_, body) = poll(declined["device_code"].as_str().unwrap()).await;
        assert_eq!(body["error"], "authorization_declined");
    }
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_consents_for_themself_to_what_needs_no_administrator() {
    let world = Emulated::start(Config { consented: false, tenants: 1, ..Config::default() }).await;
    let tenant = world.tenant(0);
    let app = world
        .emulator
        .register_app(AppRegistration {
            name: "profile reader".to_owned(),
            multitenant: true,
            secret: Some("s".to_owned()),
            redirect_uris: vec![REDIRECT.to_owned()],
            ..AppRegistration::default()
        })
        .unwrap();
    let account = format!("user@{}", tenant.domain);
    let token = async |scope: &str, account: &str| {
        let query = [
            ("client_id", app.as_str()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", scope),
        ];
        let address = world.url("common/oauth2/v2.0/authorize", &query);
        let back = fields_of(&world.emulator.sign_in(&address, account, true).unwrap());
        let code = back.get("code").ok_or_else(|| back["error"].clone())?;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", app.as_str()),
            ("client_secret", "s"),
            ("code", code),
            ("redirect_uri", REDIRECT),
        ];
        let (status, body) = world.post("common/oauth2/v2.0/token", &form).await;
        assert_eq!(status, 200, "{body}");
        Ok::<_, String>(body)
    };
    let body = token("User.Read openid", &account).await.unwrap();
    assert!(body["refresh_token"].is_null() && body["id_token"].is_string(), "{body}");
    let access = body["access_token"].as_str().unwrap();
    assert_eq!(claims_of(access)["scp"], "User.Read openid");
    let (status, who) = world.get("oidc/userinfo", access).await;
    assert_eq!((status, who["email"].as_str()), (200, Some(account.as_str())));
    assert_eq!(world.get("v1.0/me", access).await.1["userPrincipalName"], account);
    assert_eq!(world.get("v1.0/security/alerts_v2", access).await.0, 403, "not among its scopes");
    let refused = token("SecurityAlert.Read.All", &account).await;
    assert_eq!(refused.unwrap_err(), "access_denied", "only an administrator can allow that");
    let admin = format!("admin@{}", tenant.domain);
    let body = token("SecurityAlert.Read.All offline_access", &admin).await.unwrap();
    assert!(body["refresh_token"].is_string() && body["id_token"].is_null());
    assert_eq!(
        token("SecurityAlert.Read.All", &account).await.unwrap_err(),
        "access_denied",
        "the administrator consented for themself"
    );
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_explained_where_the_error_leads() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let (status, page) = world.page("error", &[("code", "53003")]).await;
    assert!(status == 200 && page.contains("Conditional Access"), "{page}");
    assert!(world.page("error", &[("code", "<script>")]).await.1.contains("No such code"));
    let fault = Fault::new(Area::Discovery, FaultKind::Status { status: 503 }).times(1);
    world.emulator.add_fault(fault).unwrap();
    assert_eq!(world.page("common/discovery/keys", &[]).await.0, 503);
    assert_eq!(world.page("common/discovery/keys", &[]).await.0, 200);
    world.emulator.stop().await;
}
