//! The addresses of the identity platform.

use hyper::StatusCode;
use hyper::header::{HeaderName, WWW_AUTHENTICATE};

use crate::faults::active::Faults;
use crate::faults::kind::{Area, FaultKind};
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::world::tenants::World;

use super::claims::Version;
use super::error::Trace;
use super::platform::{Identity, Scene};
use super::resources::GRAPH_APP_ID;
use super::{discovery, error, managed, pages};

/// Where Graph tells who signed in.
pub(crate) const USER_INFO_PATH: &str = "/oidc/userinfo";

impl Identity {
    /// Whether a path belongs to the identity platform.
    pub(crate) fn owns(path: &str) -> bool {
        let below = path.trim_start_matches('/').split_once('/').map_or("", |parts| parts.1);
        matches!(path, "/devicelogin" | "/error" | USER_INFO_PATH)
            || path == managed::IMDS_PATH
            || path == managed::APP_SERVICE_PATH
            || matches!(
                below,
                "adminconsent"
                    | "v2.0/adminconsent"
                    | "login"
                    | "pick"
                    | "consent"
                    | "deviceauth"
                    | "openid/userinfo"
            )
            || below.starts_with("oauth2/")
            || below.contains(".well-known/")
            || below.starts_with("discovery/")
    }

    /// The tenant that an address names, if there is one.
    pub(crate) fn tenant_of(world: &World, path: &str) -> Option<u32> {
        world.find_tenant(path.trim_start_matches('/').split('/').next()?)
    }

    /// Which faults a path suffers; those of the pages and of discovery none.
    pub(crate) fn area_of(path: &str) -> Option<Area> {
        if path.ends_with("/oauth2/token") || path.ends_with("/oauth2/v2.0/token") {
            return Some(if path == managed::IMDS_PATH { Area::ManagedIdentity } else { Area::Token });
        }
        if path == managed::APP_SERVICE_PATH {
            return Some(Area::ManagedIdentity);
        }
        path.contains("/discovery/")
            .then_some(Area::Discovery)
            .or_else(|| path.contains("/.well-known/").then_some(Area::Discovery))
    }

    pub(crate) fn answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        fault: Option<&FaultKind>,
    ) -> Answer {
        let scene = &Scene { world, faults, call };
        let (tenant, rest) = call.path.trim_start_matches('/').split_once('/').unwrap_or((call.path, ""));
        let result = match (call.path, rest) {
            _ if Self::area_of(call.path) == Some(Area::Discovery)
                && let Some(answer) = discovery::fault_answer(fault) =>
            {
                Ok(answer)
            }
            ("/error", _) => Ok(explain(call)),
            (USER_INFO_PATH, _) | (_, "openid/userinfo") => Ok(self.user_info(scene)),
            (managed::IMDS_PATH | managed::APP_SERVICE_PATH, _) => Ok(self.managed_identity(scene, fault)),
            ("/devicelogin", _) | (_, "oauth2/deviceauth" | "oauth2/v2.0/deviceauth") => {
                Ok(self.device_page(scene))
            }
            ("/common/login" | "/common/pick" | "/common/consent" | "/common/deviceauth", _) => {
                Ok(self.page_sent(scene))
            }
            (_, "oauth2/authorize") => Ok(self.authorize(scene, tenant, Version::V1)),
            (_, "oauth2/v2.0/authorize") => Ok(self.authorize(scene, tenant, Version::V2)),
            (_, "adminconsent") => Ok(self.admin_consent(scene, tenant, Version::V1)),
            (_, "v2.0/adminconsent") => Ok(self.admin_consent(scene, tenant, Version::V2)),
            (_, "oauth2/token") => self.token(scene, tenant, Version::V1, fault),
            (_, "oauth2/v2.0/token") => self.token(scene, tenant, Version::V2, fault),
            (_, "oauth2/devicecode") => self.device_code(scene, tenant, Version::V1),
            (_, "oauth2/v2.0/devicecode") => self.device_code(scene, tenant, Version::V2),
            (_, "oauth2/logout" | "oauth2/v2.0/logout") => Ok(self.log_out(scene)),
            (_, ".well-known/openid-configuration") => {
                discovery::discovery(world, call, tenant, Version::V1, self.elsewhere(world, tenant))
            }
            (_, "v2.0/.well-known/openid-configuration") => {
                discovery::discovery(world, call, tenant, Version::V2, self.elsewhere(world, tenant))
            }
            (_, "discovery/instance") => discovery::instance_discovery(world, call),
            (_, "discovery/keys" | "discovery/v2.0/keys") => Ok(self.published_keys(world, tenant)),
            _ => Ok(Answer::text(StatusCode::NOT_FOUND, "not found")),
        };
        let answer =
            result.unwrap_or_else(|error| Trace::of(world, call, || self.guid()).answer(call, &error));
        answer
            .with(HeaderName::from_static("x-ms-request-id"), self.guid())
            .with(HeaderName::from_static("x-ms-ests-server"), "2.1.22154.6 - SEC ProdSlices")
            .with(HeaderName::from_static("strict-transport-security"), "max-age=31536000; includeSubDomains")
    }

    /// `GET /oidc/userinfo`: who a token of Graph's was issued for.
    fn user_info(&self, scene: &Scene<'_>) -> Answer {
        let claims = match self.check(scene.world, scene.call, GRAPH_APP_ID) {
            Ok((claims, _)) if claims.scp.is_some() => claims,
            _ => {
                return Answer::json(StatusCode::UNAUTHORIZED, r#"{"error":"invalid_token"}"#)
                    .with(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"");
            }
        };
        let body = serde_json::json!({"sub": claims.sub, "name": claims.name, "email": claims.upn});
        Answer::json(StatusCode::OK, body.to_string())
    }
}

/// `GET /error?code=…`, where `error_uri` leads: what a code means.
fn explain(call: &Call<'_>) -> Answer {
    let code = url::form_urlencoded::parse(call.query.as_bytes()).find(|pair| pair.0 == "code");
    match code.and_then(|pair| pair.1.parse().ok()).filter(|code| error::is_known(*code)) {
        Some(code) => pages::note(&format!("AADSTS{code}"), &error::aad(code).text),
        None => pages::note("No such code", "The emulator knows no refusal with this code."),
    }
}
