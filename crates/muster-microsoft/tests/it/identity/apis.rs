//! What APIs answer to tokens: claims challenges, missing permissions, missing licences.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_microsoft::entra::credential::{Access, App};
use muster_microsoft::{Fault, FetchError, Microsoft, MicrosoftOptions};
use muster_model::Source;
use serde_json::{Value, json};

use super::server::{Asked, Reply, Server};
use super::support::{Keeper, claims, clock, issued, microsoft, options, tenant, token, with_secret};

fn is_login(asked: &Asked) -> bool {
    asked.path.ends_with("/token")
}

fn page() -> Reply {
    Reply::json(200, &json!({"value": []}))
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"code": code, "message": message}}))
}

fn challenge(claims: &str) -> Reply {
    let header = format!(
        r#"Bearer realm="", authorization_uri="https://login.example/common/oauth2/authorize", error="insufficient_claims", claims="{claims}""#
    );
    error(401, "InvalidAuthenticationToken", "Continuous access evaluation resulted in claims challenge")
        .header("www-authenticate", header)
}

#[tokio::test]
async fn a_claims_challenge_is_answered_with_a_token_that_meets_it() {
    let server = Server::start(|asked, _| match (is_login(asked), asked.form.get("claims")) {
        (true, Some(claims)) if claims.contains("nbf") => issued("new-token"),
        (true, _) => issued("old-token"),
        (false, _) if asked.headers["authorization"] == "Bearer new-token" => page(),
        (false, _) => {
            challenge(&STANDARD.encode(r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#))
        }
    })
    .await;
    let options = MicrosoftOptions { continuous_access: true, ..options(&server) };
    let microsoft = Microsoft::new(options, clock()).expect("a client");
    microsoft.check_source(&with_secret(), tenant(), Source::GraphAlerts).await.expect("a page");
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    let claims: Value = serde_json::from_str(&asked[2].form["claims"]).expect("JSON");
    assert_eq!(claims["access_token"]["nbf"]["value"], "1604106651");
    assert_eq!(claims["access_token"]["xms_cc"]["values"], json!(["cp1"]));
    // The new token stays.
    microsoft.check_source(&with_secret(), tenant(), Source::GraphIncidents).await.expect("a page");
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_challenge_that_comes_again_or_is_garbled_ends_after_one_more_token() {
    for claims in [STANDARD.encode(r#"{"access_token":{"nbf":{}}}"#), "!!!".to_owned(), "A".repeat(9_000)] {
        let server = Server::start(move |asked, count| match is_login(asked) {
            true => issued(&format!("token-{count}")),
            false => challenge(&claims),
        })
        .await;
        let error = microsoft(&server).check_source(&with_secret(), tenant(), Source::GraphAlerts).await;
        assert!(matches!(error, Err(FetchError::Denied { status: 401, .. })), "{error:?}");
        assert_eq!(server.asked().len(), 4);
    }
}

#[tokio::test]
async fn lost_consent_and_missing_permissions_are_told_apart_before_asking() {
    for (roles, scopes, access, fault) in [
        (json!(null), "SecurityAlert.Read.All", Access::Application, Fault::LostConsent),
        (json!([]), "", Access::Application, Fault::LostConsent),
        (json!(["SecurityIncident.Read.All"]), "", Access::Application, Fault::MissingRole),
        (json!(["SecurityAlert.Read.All"]), "openid", Access::Delegated, Fault::MissingRole),
    ] {
        let server = Server::start(move |asked, _| {
            let mut claims = claims();
            claims["roles"] = roles.clone();
            claims["scp"] = json!(scopes);
            match is_login(asked) {
                true => issued(&token(&claims)),
                false => page(),
            }
        })
        .await;
        let options =
            MicrosoftOptions { grants: Some(Keeper::with("the-refresh-token")), ..options(&server) };
        let microsoft = Microsoft::new(options, clock()).expect("a client");
        let app = App { access, ..with_secret() };
        let error =
            microsoft.check_source(&app, tenant(), Source::GraphAlerts).await.expect_err("not allowed");
        assert_eq!(error.fault(), fault, "{error}");
        assert!(
            error.to_string().contains("SecurityAlert.Read.All")
                && error.to_string().contains("/adminconsent")
        );
        assert!(server.asked().iter().all(is_login));
    }
}

/// Found with live tenants: the service refuses although consent is there, and consenting again changes nothing.
#[tokio::test]
async fn a_refusal_of_a_token_with_the_permission_is_no_missing_consent() {
    for (status, access, fault, said) in [
        (403, Access::Application, Fault::NoLicence, "not set up for this product"),
        (403, Access::Delegated, Fault::PersonLacksRole, "the person who signed in"),
        (401, Access::Application, Fault::Other, "does not know the app in this tenant yet"),
    ] {
        let server = Server::start(move |asked, _| match is_login(asked) {
            true => issued(&token(&claims())),
            false => error(status, "Forbidden", "no"),
        })
        .await;
        let grants = Keeper::with("the-refresh-token");
        let options = MicrosoftOptions { grants: Some(grants), ..options(&server) };
        let microsoft = Microsoft::new(options, clock()).expect("a client");
        let app = App { access, ..with_secret() };
        let error = microsoft.check_source(&app, tenant(), Source::GraphAlerts).await.expect_err("refused");
        assert_eq!(error.fault(), fault, "{error}");
        assert!(
            error.to_string().contains(said) && error.to_string().contains("has the permission"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_person_with_the_permission_reads() {
    let server = Server::start(|asked, _| match is_login(asked) {
        true => issued(&token(&claims())),
        false => page(),
    })
    .await;
    let options = MicrosoftOptions { grants: Some(Keeper::with("the-refresh-token")), ..options(&server) };
    let microsoft = Microsoft::new(options, clock()).expect("a client");
    let app = App { access: Access::Delegated, ..with_secret() };
    microsoft.check_source(&app, tenant(), Source::GraphAlerts).await.expect("a page");
    assert_eq!(server.asked()[0].form["grant_type"], "refresh_token");
}

#[tokio::test]
async fn refusals_of_apis_are_told_by_their_kind() {
    for (reply, fault) in [
        (error(403, "Forbidden", "Tenant is not licensed for this feature"), Fault::NoLicence),
        (error(403, "ServiceNotEnabled", "x"), Fault::NoLicence),
        (error(400, "BadRequest", "The tenant has no valid subscription"), Fault::NoLicence),
        (error(403, "Forbidden", "Missing application roles"), Fault::MissingRole),
        (error(503, "ServiceUnavailable", "x"), Fault::ApiDown),
        (error(504, "UnknownError", ""), Fault::ApiDown),
        (error(429, "TooManyRequests", "x").header("retry-after", "7"), Fault::Throttled),
        (error(400, "BadRequest", "x"), Fault::Other),
    ] {
        let told = format!("{reply:?}");
        let server = Server::start(move |asked, _| match is_login(asked) {
            true => issued("opaque"),
            false => reply.clone(),
        })
        .await;
        let error = microsoft(&server).check_source(&with_secret(), tenant(), Source::GraphAlerts).await;
        let error = error.expect_err("refused");
        assert_eq!(error.fault(), fault, "{told}: {error}");
        if fault == Fault::Throttled {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        }
    }
}
