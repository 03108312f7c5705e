//! The device-code endpoints: a sign-in that is begun here and confirmed in a browser elsewhere.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::answer::Answer;
use crate::http::call::fields_of;

use super::claims::Version;
use super::directory::is_any_tenant;
use super::error::{AadError, aad, missing, unknown_app, unknown_tenant};
use super::grants::{DEVICE_INTERVAL_SECONDS, DEVICE_SECONDS, Device, DeviceOutcome};
use super::platform::{Identity, Scene};
use super::scopes;

/// Letters and digits that are not mistaken for each other.
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

impl Identity {
    /// `POST …/devicecode`.
    pub(crate) fn device_code(
        &self,
        scene: &Scene<'_>,
        tenant_name: &str,
        version: Version,
    ) -> Result<Answer, AadError> {
        // The v1 endpoint was also asked by GET.
        let form = match (scene.call.method, version) {
            (&Method::POST, _) => fields_of(&scene.call.body),
            (&Method::GET, Version::V1) => fields_of(scene.call.query.as_bytes()),
            _ => return Err(aad(900_561)),
        };
        let tenant = match tenant_name {
            name if is_any_tenant(name) => None,
            name => Some(scene.world.find_tenant(name).ok_or_else(|| unknown_tenant(name))?),
        };
        let client = form.get("client_id").ok_or_else(|| missing("client_id"))?;
        let directory = &scene.world.facts(tenant.unwrap_or(scene.world.provider())).name;
        let app = self.lock().directory.app(client).cloned();
        let app = app
            .filter(|app| tenant.is_none_or(|tenant| app.reaches(tenant)))
            .ok_or_else(|| unknown_app(client, directory))?;
        if tenant.is_none() && !app.multitenant() {
            return Err(aad(50_194));
        }
        let wanted = match version {
            Version::V1 => {
                let resource = form.get("resource").map(String::as_str);
                scopes::delegated_resource(resource, &app, directory, scene.call)?
            }
            Version::V2 => {
                let scope = form.get("scope").ok_or_else(|| missing("scope"))?;
                let scope = scopes::delegated_scope(scope, directory, scene.call)?;
                scope.wanted.unwrap_or_else(|| scopes::profile_only(&scope.oidc))
            }
        };
        let state = &mut *self.lock();
        let user_code: String = (0..9).map(|_| char::from(state.dice.choose(LETTERS))).collect();
        let device_code =
            format!("{}BAQABIQEAAA{}", user_code.chars().next().unwrap_or('C'), state.token(90));
        let host = scene.call.base.split_once("://").map_or(scene.call.base, |parts| parts.1);
        let verification = if crate::http::hosts::is_login(host) {
            "https://microsoft.com/devicelogin".to_owned()
        } else {
            format!("{}/devicelogin", scene.call.base)
        };
        let message = format!(
            "To sign in, use a web browser to open the page {verification} and enter the code {user_code} to authenticate."
        );
        let number = |number: i64| match version {
            Version::V1 => Value::from(number.to_string()),
            Version::V2 => Value::from(number),
        };
        let mut body = json!({
            "user_code": user_code,
            "device_code": device_code,
            "expires_in": number(DEVICE_SECONDS),
            "interval": number(DEVICE_INTERVAL_SECONDS),
            "message": message,
        });
        let place = if version == Version::V1 { "verification_url" } else { "verification_uri" };
        body[place] = Value::from(verification);
        state.grants.note_issued(&device_code);
        state.grants.devices.insert(
            device_code,
            Device {
                user_code,
                app_id: app.app_id,
                tenant,
                wanted: Some(wanted),
                issued: scene.world.now(),
                outcome: DeviceOutcome::Pending,
            },
        );
        Ok(Answer::json(StatusCode::OK, body.to_string()).uncached())
    }

    /// The sign-in that a code, entered in a browser, is for.
    pub(crate) fn find_device(&self, scene: &Scene<'_>, user_code: &str) -> Option<String> {
        let now = scene.world.now();
        let state = self.lock();
        state.grants.devices.iter().find_map(|(key, device)| {
            let open =
                device.outcome == DeviceOutcome::Pending && now < device.issued.plus_seconds(DEVICE_SECONDS);
            (open && device.user_code == user_code).then(|| key.clone())
        })
    }
}
