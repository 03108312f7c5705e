//! App registration by program, as an administrator of the provider does it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_emulator::{Clock, Config};
use reqwest::Method;
use serde_json::{Value, json};

use super::credentials::KeyAndCertificate;
use super::support::{Emulated, fields_of};

/// Microsoft Graph Command Line Tools.
const TOOLS: &str = "14d82eec-204b-4c2f-b7e8-296a70dab67e";

/// A token of a person of the provider for Graph, by the command-line tools and a loopback redirect.
async fn operator_token(world: &Emulated, account: &str) -> String {
    let provider = world.emulator.provider();
    let redirect = "http://localhost:54321/";
    let query = [
        ("client_id", TOOLS),
        ("response_type", "code"),
        ("redirect_uri", redirect),
        ("scope", "https://graph.microsoft.com/.default offline_access openid profile"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ];
    let address = world.url("organizations/oauth2/v2.0/authorize", &query);
    let account = format!("{account}@{}", provider.domain);
    let back = fields_of(&world.emulator.sign_in(&address, &account, true).unwrap());
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", TOOLS),
        ("code", &back["code"]),
        ("redirect_uri", redirect),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    ];
    let (status, body) = world.post("organizations/oauth2/v2.0/token", &form).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

struct Graph<'a> {
    world: &'a Emulated,
    token: String,
}

impl Graph<'_> {
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}/v1.0/{path}", self.world.emulator.base_url());
        let mut request = self.world.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path} {body}");
        body
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_registered_granted_its_roles_and_used() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let provider = world.emulator.provider();
    let graph = Graph { world: &world, token: operator_token(&world, "admin").await };
    assert_eq!(graph.get("me").await["userPrincipalName"], format!("admin@{}", provider.domain));
    assert_eq!(graph.get("organization").await["value"][0]["id"], provider.id);
    let (status, app) = graph
        .post(
            "applications",
            json!({
                "displayName": "Muster (production)", "signInAudience": "AzureADMultipleOrgs",
                "web": {"redirectUris": ["https://muster.mssp.example/onboard/callback"]},
                "requiredResourceAccess": [{"resourceAppId": "00000003-0000-0000-c000-000000000000",
                    "resourceAccess": [{"id": "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5", "type": "Role"}]}],
            }),
        )
        .await;
    assert_eq!(status, 201, "{app}");
    let (object, id) = (app["id"].as_str().unwrap(), app["appId"].as_str().unwrap());
    assert_ne!(object, id);
    assert_eq!(
        graph.get(&format!("applications?$filter=appId%20eq%20'{id}'")).await["value"][0]["id"],
        object
    );
    assert_eq!(graph.get(&format!("applications(appId='{id}')")).await["displayName"], "Muster (production)");

    let (status, secret) = graph
        .post(
            &format!("applications/{object}/addPassword"),
            json!({"passwordCredential": {"displayName": "x"}}),
        )
        .await;
    assert_eq!(status, 200, "{secret}");
    let text = secret["secretText"].as_str().unwrap().to_owned();
    assert!(text.starts_with(secret["hint"].as_str().unwrap()));
    let listed = graph.get(&format!("applications/{object}")).await;
    assert!(listed["passwordCredentials"][0]["secretText"].is_null());
    let ask = async || {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", &text),
            ("resource", "https://graph.microsoft.com"),
        ];
        world.post(&format!("{}/oauth2/token", provider.id), &form).await
    };
    assert_eq!(ask().await.1["error_codes"][0], 700_016, "without a service principal there is no token");
    let (status, principal) = graph.post("servicePrincipals", json!({"appId": id})).await;
    assert_eq!(status, 201, "{principal}");
    assert_eq!(graph.post("servicePrincipals", json!({"appId": id})).await.0, 409);
    let body = ask().await.1;
    let roles = &super::support::claims_of(body["access_token"].as_str().unwrap())["roles"];
    assert!(roles.is_null(), "a token without roles is given all the same");

    let resource = graph
        .get("servicePrincipals?$filter=appId%20eq%20'00000003-0000-0000-c000-000000000000'")
        .await["value"][0]
        .clone();
    let role = resource["appRoles"]
        .as_array()
        .unwrap()
        .iter()
        .find(|role| role["value"] == "SecurityAlert.Read.All")
        .unwrap()["id"]
        .clone();
    let place = format!("servicePrincipals/{}/appRoleAssignedTo", resource["id"].as_str().unwrap());
    let assignment = json!({"principalId": principal["id"], "resourceId": resource["id"], "appRoleId": role});
    let (status, assigned) = graph.post(&place, assignment.clone()).await;
    assert_eq!(status, 201, "{assigned}");
    assert_eq!(graph.post(&place, assignment).await.0, 400, "it is there already");
    let body = ask().await.1;
    let roles = &super::support::claims_of(body["access_token"].as_str().unwrap())["roles"];
    assert_eq!(*roles, json!(["SecurityAlert.Read.All"]));
    let grant = json!({"clientId": principal["id"], "consentType": "AllPrincipals", "resourceId": resource["id"],
        "scope": "User.Read"});
    let (status, made) = graph.post("oauth2PermissionGrants", grant).await;
    assert_eq!(status, 201, "{made}");
    let listed = graph
        .get(&format!(
            "oauth2PermissionGrants?$filter=clientId%20eq%20'{}'",
            principal["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(listed["value"][0]["scope"], "User.Read");

    let removed = json!({"keyId": secret["keyId"]});
    assert_eq!(graph.post(&format!("applications/{object}/removePassword"), removed).await.0, 204);
    assert_eq!(ask().await.0, 401);
    let federated = json!({"name": "aks", "issuer": "https://issuer.example", "subject": "s",
        "audiences": ["api://AzureADTokenExchange"]});
    let place = format!("applications/{object}/federatedIdentityCredentials");
    assert_eq!(graph.post(&place, federated.clone()).await.0, 201);
    assert_eq!(graph.post(&place, federated).await.0, 409);
    assert_eq!(graph.get(&place).await["value"].as_array().unwrap().len(), 1);
    assert_eq!(graph.call(Method::DELETE, &format!("applications/{object}"), None).await.0, 204);
    assert_eq!(graph.call(Method::GET, &format!("applications/{object}"), None).await.0, 404);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_set_and_rolled_with_a_proof() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let graph = Graph { world: &world, token: operator_token(&world, "admin").await };
    let [first, second] = KeyAndCertificate::pair();
    let (_, app) = graph.post("applications", json!({"displayName": "rolls"})).await;
    let object = app["id"].as_str().unwrap();
    let credential = |key: &KeyAndCertificate| {
        json!({"type": "AsymmetricX509Cert", "usage": "Verify", "displayName": "CN=x",
            "key": STANDARD.encode(key.certificate_pem.as_bytes())})
    };
    let patch = json!({"keyCredentials": [credential(first)]});
    assert_eq!(graph.call(Method::PATCH, &format!("applications/{object}"), Some(patch)).await.0, 204);
    let known = graph.get(&format!("applications/{object}?$select=keyCredentials")).await;
    assert!(known["keyCredentials"][0]["key"].is_string());
    let now = muster_emulator::SystemClock.now().as_second();
    let proof = |key: &KeyAndCertificate, issuer: &str, life: i64| {
        let header = json!({"alg": "RS256", "typ": "JWT", "x5t": key.sha1()});
        let claims = json!({"aud": "00000002-0000-0000-c000-000000000000", "iss": issuer, "nbf": now, "exp": now + life});
        key.sign(&header, &claims)
    };
    let add = async |proof: String| {
        let body = json!({"keyCredential": credential(second), "passwordCredential": null, "proof": proof});
        graph.post(&format!("applications/{object}/addKey"), body).await
    };
    assert_eq!(add(proof(second, object, 300)).await.0, 400, "signed with a key that is not registered");
    assert_eq!(add(proof(first, "somebody", 300)).await.0, 400);
    assert_eq!(add(proof(first, object, 3600)).await.0, 400, "lives too long");
    assert_eq!(add("garbage".to_owned()).await.0, 400);
    let (status, added) = add(proof(first, object, 600)).await;
    assert_eq!(status, 200, "{added}");
    // What is named by its id only is kept.
    let kept = json!({"keyCredentials": [{"keyId": added["keyId"], "type": "AsymmetricX509Cert", "usage": "Verify"}]});
    assert_eq!(graph.call(Method::PATCH, &format!("applications/{object}"), Some(kept)).await.0, 204);
    let left = graph.get(&format!("applications/{object}")).await;
    assert_eq!(left["keyCredentials"].as_array().unwrap().len(), 1);
    world.emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let (_, body) = world.client_credentials(&world.tenant(0).id, "https://graph.microsoft.com").await;
    let app = Graph { world: &world, token: body["access_token"].as_str().unwrap().to_owned() };
    for (path, body) in [
        ("applications", json!({"displayName": "x"})),
        ("servicePrincipals", json!({"appId": TOOLS})),
        ("oauth2PermissionGrants", json!({})),
    ] {
        let (status, body) = app.post(path, body).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (403, Some("Authorization_RequestDenied")),
            "{path}"
        );
    }
    assert_eq!(app.call(Method::GET, "me", None).await.0, 400);
    let admin = Graph { world: &world, token: operator_token(&world, "admin").await };
    for body in [
        json!({}),
        json!({"displayName": ""}),
        json!({"displayName": "x", "signInAudience": "Everybody"}),
        json!({"displayName": "x", "web": {"redirectUris": ["http://plain.example"]}}),
        json!({"displayName": "x", "web": {"redirectUris": ["https://*.example"]}}),
        json!({"displayName": "x", "requiredResourceAccess": [{"resourceAppId": "y", "resourceAccess": [{"id": 7}]}]}),
        json!({"displayName": "x", "keyCredentials": [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": "AAAA"}]}),
        json!([1, 2]),
    ] {
        let (status, answer) = admin.post("applications", body.clone()).await;
        assert_eq!(status, 400, "{body} {answer}");
    }
    world.emulator.stop().await;
}
