//! The managed-identity endpoints: the one of virtual machines at `/metadata/identity/oauth2/token`, and the one of App
//! Service at `/msi/token`, which a header with a secret protects.

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::faults::kind::FaultKind;
use crate::http::answer::Answer;
use crate::http::call::fields_of;

use super::claims::{Claims, Version};
use super::platform::{Identity, ManagedIdentity, Scene};
use super::resources::Resource;

/// Where virtual machines ask.
pub(crate) const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// Where App Service asks.
pub(crate) const APP_SERVICE_PATH: &str = "/msi/token";

/// The parameters that name an identity in one way, and what of it they name.
type Naming = (&'static [&'static str], fn(&ManagedIdentity) -> &str);

fn problem(status: u16, error: &str, text: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Answer::json(status, json!({"error": error, "error_description": text}).to_string())
}

impl Identity {
    /// Answers a request of a machine, or of App Service.
    pub(crate) fn managed_identity(&self, scene: &Scene<'_>, fault: Option<&FaultKind>) -> Answer {
        match fault {
            Some(FaultKind::Status { status: 410 }) => {
                return problem(410, "gone", "The identity endpoint is being updated.");
            }
            Some(FaultKind::Status { status }) => {
                return problem(*status, "internal_server_error", "The request failed. Try again.");
            }
            Some(FaultKind::Throttle { retry_after_seconds }) => {
                return crate::http::answer::throttled(
                    r#"{"error":"too_many_requests","error_description":"Too many requests."}"#,
                    *retry_after_seconds,
                );
            }
            _ => {}
        }
        let call = scene.call;
        let app_service = call.path == APP_SERVICE_PATH;
        if call.method != Method::GET {
            return problem(405, "method_not_allowed", "Only GET is taken here.");
        }
        let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
        if app_service {
            if header("x-identity-header") != Some(self.identity_header.as_str()) {
                return Answer::json(
                    StatusCode::UNAUTHORIZED,
                    json!({"statusCode": 401, "message": "Header X-IDENTITY-HEADER is missing or wrong."})
                        .to_string(),
                );
            }
        } else if !header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return problem(400, "bad_request_102", "Required metadata header not specified");
        } else if call.headers.contains_key("x-forwarded-for") {
            return problem(403, "forbidden", "Requests through a proxy are not answered.");
        }
        let query = fields_of(call.query.as_bytes());
        let known: &[&str] = if app_service {
            &["2019-08-01", "2017-09-01"]
        } else {
            &["2018-02-01", "2019-08-01", "2017-08-01"]
        };
        match query.get("api-version") {
            Some(version) if known.contains(&version.as_str()) => {}
            Some(_) => {
                return problem(400, "bad_request_101", "The requested API version is not supported.");
            }
            None => {
                return problem(400, "bad_request_100", "Required query variable 'api-version' is missing");
            }
        }
        let Some(resource) = query.get("resource") else {
            return problem(400, "invalid_request", "Required query variable 'resource' is missing");
        };
        let identity = match self.identity_of(&query) {
            Ok(identity) => identity,
            Err(answer) => return answer,
        };
        let Some(known) = Resource::named(resource, call) else {
            let text = format!(
                "AADSTS500011: The resource principal named {resource} was not found in the tenant named {}. This can \
                 happen if the application has not been installed by the administrator of the tenant or consented to by \
                 any user in the tenant. You might have sent your authentication request to the wrong tenant.",
                scene.world.facts(scene.world.provider()).name
            );
            return problem(400, "invalid_resource", &text);
        };
        let tenant = scene.world.provider();
        let issued = scene.world.now().seconds();
        let lifetime = self.lifetime_seconds;
        let claims = {
            let state = &mut *self.lock();
            let principal = state.directory.tenant(scene.world, tenant).principal(&identity.client_id);
            let roles = principal.map_or_else(Vec::new, |principal| principal.roles_on(known.app_id));
            let mut claims = Claims {
                aud: resource.clone(),
                iat: issued - 300,
                nbf: issued - 300,
                exp: issued + lifetime,
                tid: scene.world.facts(tenant).id.clone(),
                idtyp: Some("app".to_owned()),
                oid: identity.object_id.clone(),
                sub: identity.object_id.clone(),
                xms_mirid: Some(identity.resource_id.clone()),
                roles,
                aio: state.dice.base64(24),
                rh: format!("1.{}.", state.token(20)),
                uti: state.token(16),
                ..Claims::default()
            };
            claims.name_issuer_and_client(Version::V1, &identity.client_id, "2");
            claims
        };
        let token = self.keys.current().sign(&claims, Version::V1);
        self.lock().grants.note_issued(&token);
        let mut body = json!({
            "access_token": token,
            "client_id": identity.client_id,
            "expires_on": (issued + lifetime).to_string(),
            "resource": resource,
            "token_type": "Bearer",
        });
        if !app_service {
            body["refresh_token"] = json!("");
            body["expires_in"] = json!(lifetime.to_string());
            body["ext_expires_in"] = json!(lifetime.to_string());
            body["not_before"] = json!((issued - 300).to_string());
        }
        Answer::json(StatusCode::OK, body.to_string()).uncached()
    }

    /// The identity that a request names; the first one when it names none.
    fn identity_of(
        &self,
        query: &std::collections::HashMap<String, String>,
    ) -> Result<ManagedIdentity, Answer> {
        let ways: [Naming; 3] = [
            (&["client_id", "clientid"], |identity| &identity.client_id),
            (&["object_id", "principal_id"], |identity| &identity.object_id),
            (&["msi_res_id", "mi_res_id"], |identity| &identity.resource_id),
        ];
        let named: Vec<_> = ways
            .iter()
            .filter_map(|(names, id)| Some((names.iter().find_map(|name| query.get(*name))?, *id)))
            .collect();
        let found = match named.as_slice() {
            [] => self.managed.first(),
            [(wanted, id)] => self.managed.iter().find(|own| id(own).eq_ignore_ascii_case(wanted)),
            _ => {
                return Err(problem(
                    400,
                    "invalid_request",
                    "Only one of client_id, object_id, msi_res_id may be given",
                ));
            }
        };
        found.cloned().ok_or_else(|| problem(400, "invalid_request", "Identity not found"))
    }
}
