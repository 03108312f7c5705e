//! Key vaults.

use muster_emulator::{Area, Config, Fault, FaultKind};
use serde_json::{Value, json};

use super::support::Emulated;

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_keeps_secrets_for_the_providers_apps() {
    let world = Emulated::start(Config { tenants: 1, ..Config::default() }).await;
    let provider = world.emulator.provider().id;
    let (_, token) = world.client_credentials(&provider, "https://vault.azure.net").await;
    let token = token["access_token"].as_str().unwrap().to_owned();
    let url = |path: &str| world.url(&format!("vault/keys/secrets/{path}"), &[("api-version", "7.4")]);
    let unknown = world.http.get(url("siem")).send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    assert_eq!(
        unknown.headers()["www-authenticate"],
        format!(
            "Bearer authorization=\"{}/{provider}\", resource=\"https://vault.azure.net\"",
            world.emulator.base_url()
        )
    );
    let get = async |path: &str, token: &str| {
        let answer = world.http.get(url(path)).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap())
    };
    let (status, body) = get("siem", &token).await;
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("SecretNotFound")));
    let put = async |value: &str| {
        let body = json!({"value": value, "contentType": "text/plain"}).to_string();
        let answer = world.http.put(url("siem")).bearer_auth(&token).body(body).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap())
    };
    let (status, first) = put("one").await;
    assert_eq!(status, 200, "{first}");
    put("two").await;
    assert_eq!(get("siem", &token).await.1["value"], "two");
    let version = first["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(get(&format!("siem/{version}"), &token).await.1["value"], "one");
    assert_eq!(world.emulator.vault_secret("keys", "SIEM").as_deref(), Some("two"));
    assert_eq!(put(&"x".repeat(30_000)).await.0, 400);
    assert_eq!(get("..%2fother", &token).await.0, 400);

    let (_, graph) = world.client_credentials(&provider, "https://graph.microsoft.com").await;
    assert_eq!(get("siem", graph["access_token"].as_str().unwrap()).await.0, 401, "not a token for a vault");
    let (_, customer) = world.client_credentials(&world.tenant(0).id, "https://vault.azure.net").await;
    assert_eq!(
        get("siem", customer["access_token"].as_str().unwrap()).await.0,
        401,
        "another tenant's token"
    );
    world.emulator.allow_vault("keys", world.emulator.app_id(), false);
    let (status, body) = get("siem", &token).await;
    assert_eq!((status, body["error"]["innererror"]["code"].as_str()), (403, Some("AccessDenied")));
    world.emulator.allow_vault("keys", world.emulator.app_id(), true);
    world.emulator.add_fault(Fault::new(Area::KeyVault, FaultKind::Status { status: 503 }).times(1)).unwrap();
    assert_eq!(get("siem", &token).await.0, 503);
    assert_eq!(get("siem", &token).await.0, 200);
    world.emulator.stop().await;
}
