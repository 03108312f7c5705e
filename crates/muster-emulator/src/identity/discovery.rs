//! Discovery: what the platform publishes about itself, its keys, and which hosts belong together.

use hyper::StatusCode;
use hyper::header::CACHE_CONTROL;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::faults::kind::FaultKind;
use crate::http::answer::{Answer, throttled};
use crate::http::call::Call;
use crate::http::hosts;
use crate::world::tenants::World;

use super::claims::Version;
use super::directory::is_any_tenant;
use super::error::{AadError, aad, unknown_tenant};
use super::platform::Identity;

/// `GET …/.well-known/openid-configuration`.
pub(crate) fn discovery(
    world: &World,
    call: &Call<'_>,
    tenant: &str,
    version: Version,
    elsewhere: Option<(String, Option<String>)>,
) -> Result<Answer, AadError> {
    let id = match tenant {
        "common" | "organizations" | "consumers" => "{tenantid}".to_owned(),
        name => match world.find_tenant(name) {
            Some(found) => world.facts(found).id.clone(),
            None => return Err(unknown_tenant(name).error("invalid_tenant")),
        },
    };
    let named = if id.starts_with('{') { tenant } else { id.as_str() };
    let base = call.base;
    let mut document = json!({
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "request_uri_parameter_supported": false,
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "claims_supported": ["sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name",
            "msgraph_host", "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid",
            "ver", "at_hash", "c_hash", "email"],
        "kerberos_endpoint": format!("{base}/{named}/kerberos"),
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    });
    let own = match version {
        Version::V1 => json!({
            "token_endpoint": format!("{base}/{named}/oauth2/token"),
            "authorization_endpoint": format!("{base}/{named}/oauth2/authorize"),
            "end_session_endpoint": format!("{base}/{named}/oauth2/logout"),
            "jwks_uri": format!("{base}/common/discovery/keys"),
            "issuer": format!("https://sts.windows.net/{id}/"),
            "userinfo_endpoint": format!("{base}/common/openid/userinfo"),
            "check_session_iframe": format!("{base}/{named}/oauth2/checksession"),
            "microsoft_multi_refresh_token": true,
        }),
        Version::V2 => json!({
            "token_endpoint": format!("{base}/{named}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base}/{named}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/{named}/oauth2/v2.0/devicecode"),
            "end_session_endpoint": format!("{base}/{named}/oauth2/v2.0/logout"),
            "jwks_uri": format!("{base}/{named}/discovery/v2.0/keys"),
            "issuer": format!("https://login.microsoftonline.com/{id}/v2.0"),
            "userinfo_endpoint": if hosts::is_anywhere(base) {
                format!("{base}/oidc/userinfo")
            } else {
                "https://graph.microsoft.com/oidc/userinfo".to_owned()
            },
        }),
    };
    if let (Some(document), serde_json::Value::Object(own)) = (document.as_object_mut(), own) {
        document.extend(own);
    }
    if let Some((instance, sub_scope)) = elsewhere {
        document["cloud_instance_name"] = Value::from(instance);
        if let Some(sub_scope) = sub_scope {
            document["tenant_region_sub_scope"] = Value::from(sub_scope);
        }
    }
    Ok(cached(Answer::json(StatusCode::OK, document.to_string())))
}

/// `GET /common/discovery/instance`: which hosts are one cloud.
pub(crate) fn instance_discovery(world: &World, call: &Call<'_>) -> Result<Answer, AadError> {
    let asked = form_urlencoded::parse(call.query.as_bytes())
        .find(|(key, _)| key == "authorization_endpoint")
        .map(|(_, value)| value.into_owned());
    let asked = asked.as_deref().and_then(|address| url::Url::parse(address).ok());
    let own = call.base.split_once("://").map_or(call.base, |parts| parts.1);
    let mut tenant = "common".to_owned();
    if let Some(address) = &asked {
        let host = address.host_str().unwrap_or("");
        let named = address.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if !hosts::is_login(host) && !own.eq_ignore_ascii_case(&named) {
            return Err(aad(50_049));
        }
        let first = address.path_segments().and_then(|mut segments| segments.next()).unwrap_or("");
        // Nothing that the client wrote is repeated unless it names a tenant.
        if is_any_tenant(first) || world.find_tenant(first).is_some() {
            first.clone_into(&mut tenant);
        }
    }
    let mut metadata: Vec<Value> = hosts::LOGIN_CLOUDS
        .iter()
        .map(|aliases| {
            let cache = if aliases.len() > 2 { aliases[1] } else { aliases[0] };
            json!({"preferred_network": aliases[0], "preferred_cache": cache, "aliases": aliases})
        })
        .collect();
    if !hosts::is_login(own) {
        metadata.insert(0, json!({"preferred_network": own, "preferred_cache": own, "aliases": [own]}));
    }
    let body = json!({
        "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0/.well-known/openid-configuration", call.base),
        "api-version": "1.1",
        "metadata": metadata,
    });
    Ok(cached(Answer::json(StatusCode::OK, body.to_string())))
}

/// The answer of a fault that strikes discovery and keys.
pub(crate) fn fault_answer(fault: Option<&FaultKind>) -> Option<Answer> {
    let body = r#"{"error":"temporarily_unavailable","error_description":"AADSTS90033: A transient error has occurred. Please try again.","error_codes":[90033]}"#;
    match fault {
        Some(FaultKind::Throttle { retry_after_seconds }) => Some(throttled(body, *retry_after_seconds)),
        Some(FaultKind::Status { status }) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            Some(Answer::json(status, body))
        }
        _ => None,
    }
}

fn cached(answer: Answer) -> Answer {
    answer.with(CACHE_CONTROL, "max-age=86400, private")
}

impl Identity {
    /// The national cloud that a tenant is in, where that is another one.
    pub(crate) fn elsewhere(&self, world: &World, tenant: &str) -> Option<(String, Option<String>)> {
        let tenant = world.find_tenant(tenant)?;
        self.lock().directory.tenant(world, tenant).elsewhere.clone()
    }

    /// `GET …/discovery/keys`.
    pub(crate) fn published_keys(&self, world: &World, tenant: &str) -> Answer {
        let issuer = match world.find_tenant(tenant) {
            Some(tenant) => format!("https://login.microsoftonline.com/{}/v2.0", world.facts(tenant).id),
            None => "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(),
        };
        cached(Answer::json(StatusCode::OK, self.keys.published(&issuer).to_string()))
    }
}
