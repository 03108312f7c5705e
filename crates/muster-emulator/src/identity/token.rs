//! The token endpoints: every grant, in both versions.

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::faults::kind::{Area, FaultKind};
use crate::http::answer::{Answer, throttled};
use crate::http::call::fields_of;

use super::claims::Version;
use super::client::Credentials;
use super::directory::is_any_tenant;
use super::error::{AadError, aad, missing, unknown_app, unknown_tenant};
use super::platform::{Identity, Scene};
use super::redeem::disabled;
use super::token_request::Request;

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ON_BEHALF_OF: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl Identity {
    /// `POST …/token`.
    pub(crate) fn token(
        &self,
        scene: &Scene<'_>,
        tenant_name: &str,
        version: Version,
        fault: Option<&FaultKind>,
    ) -> Result<Answer, AadError> {
        match fault {
            Some(FaultKind::Throttle { retry_after_seconds }) => {
                return Ok(throttled(
                    r#"{"error":"temporarily_unavailable","error_description":"AADSTS90055: Too many requests.","error_codes":[90055]}"#,
                    *retry_after_seconds,
                ));
            }
            Some(FaultKind::Status { status }) => {
                let mut error = aad(90_033);
                error.status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST);
                return Err(error);
            }
            _ => {}
        }
        let request = self.read_token_request(scene, tenant_name, version)?;
        let tenant = request.tenant;
        if let Some(code) = scene.faults.refusal(Area::Token, tenant, Some(&request.app.app_id)) {
            return Err(aad(code));
        }
        let grant = match request.required("grant_type")? {
            "client_credentials" => self.client_credentials(&request)?,
            "authorization_code" => self.redeem_code(&request)?,
            "refresh_token" => self.refresh(&request)?,
            "password" => self.password(&request)?,
            DEVICE_GRANT | "device_code" => self.redeem_device(&request)?,
            ON_BEHALF_OF => {
                let public = false;
                self.prove(scene, tenant_name, &request.app, &request.credentials, public)?;
                return Err(aad(7_000_114).text(format!(
                    "Application '{}' is not allowed to make application on-behalf-of calls.",
                    request.app.app_id
                )));
            }
            grant => {
                return Err(
                    aad(70_003).text(format!("The app requested an unsupported grant type '{grant}'."))
                );
            }
        };
        Ok(self.issue(&request, grant, fault))
    }

    fn read_token_request<'a>(
        &self,
        scene: &'a Scene<'a>,
        tenant_name: &'a str,
        version: Version,
    ) -> Result<Request<'a>, AadError> {
        if scene.call.method != Method::POST {
            return Err(aad(900_561).text(format!(
                "The endpoint only accepts POST requests. Received a {} request.",
                scene.call.method
            )));
        }
        let form = fields_of(&scene.call.body);
        let credentials = Credentials::of(scene.call.headers, &form);
        let tenant = match tenant_name {
            "consumers" => return Err(aad(50_059)),
            name if is_any_tenant(name) => None,
            name => Some(scene.world.find_tenant(name).ok_or_else(|| unknown_tenant(name))?),
        };
        let client = credentials.client_id.clone().ok_or_else(|| missing("client_id"))?;
        let directory = tenant.map_or("Microsoft", |tenant| scene.world.facts(tenant).name.as_str());
        let app = self.lock().directory.app(&client).cloned();
        let app = app
            .filter(|app| tenant.is_none_or(|tenant| app.reaches(tenant)))
            .ok_or_else(|| unknown_app(&client, directory))?;
        if tenant.is_none() && !app.multitenant() {
            return Err(aad(50_194).text(format!(
                "Application '{}'({}) is not configured as a multi-tenant application. Usage of the /{tenant_name} \
                 endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or \
                 configure the application to be multi-tenant.",
                app.app_id, app.name
            )));
        }
        let claims = form
            .get("claims")
            .map(|text| {
                serde_json::from_str::<Value>(text)
                    .ok()
                    .filter(Value::is_object)
                    .ok_or_else(|| aad(90_013).text("The 'claims' parameter is no JSON object."))
            })
            .transpose()?;
        Ok(Request { scene, tenant_name, tenant, version, form, credentials, app, claims })
    }

    /// The app must have a part in the tenant, switched on.
    pub(crate) fn check_principal(&self, request: &Request<'_>, tenant: u32) -> Result<(), AadError> {
        let scene = request.scene;
        let app = &request.app;
        let facts = scene.world.facts(tenant);
        if let Some(code) = scene.faults.revoked(tenant) {
            return Err(match code {
                700_016 => unknown_app(&app.app_id, &facts.name),
                7_000_112 => disabled(app),
                code => aad(code),
            });
        }
        if !app.enabled {
            return Err(disabled(app));
        }
        let state = &mut *self.lock();
        match state.directory.tenant(scene.world, tenant).principal(&app.app_id) {
            Some(principal) if principal.enabled => Ok(()),
            Some(_) => Err(disabled(app)),
            None => Err(unknown_app(&app.app_id, &facts.name)),
        }
    }
}
