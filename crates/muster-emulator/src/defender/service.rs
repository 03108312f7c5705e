//! The Defender APIs' own rules: paths, permissions, quotas and errors.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::WWW_AUTHENTICATE;
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::faults::active::{Faults, Met};
use crate::faults::kind::{Area, FaultKind};
use crate::faults::quirks::Quirks;
use crate::graph::odata;
use crate::graph::page::{PageFailure, PageWriter};
use crate::graph::service::{Caller, NotAdmitted, READERS, Target, USUAL_CLAIMS};
use crate::http::answer::{Answer, throttled_with};
use crate::http::call::Call;
use crate::identity::claims::TokenError;
use crate::identity::platform::Identity;
use crate::identity::resources::AAD_GRAPH_APP_ID;
use crate::world::dice::Dice;
use crate::world::query::List;
use crate::world::tenants::World;
use crate::world::view::View;

/// Where the paths of the Defender APIs begin.
pub(crate) const PREFIX: &str = "/api/";

/// The app id of Defender for Endpoint.
const ENDPOINT_APP_ID: &str = "fc780465-2017-40d4-a0c5-307022471b92";
/// The app id of Defender XDR.
const XDR_APP_ID: &str = "8ee8fdad-f234-4243-8f3b-15c294843740";

/// The Defender APIs' own state: what each app used of its quotas, and the ids of refusals.
pub(crate) struct Defender {
    /// Whether the documented quotas are kept to.
    strict: bool,
    used: Mutex<HashMap<(String, u32, View), [Window; 2]>>,
    ids: Mutex<Dice>,
}

/// What was used since a second.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    since: i64,
    used: u32,
}

/// Why there is no right answer.
pub(crate) struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
}

pub(crate) fn refusal(status: StatusCode, code: &str, message: impl Into<String>) -> Refusal {
    Refusal { status, code: code.to_owned(), message: message.into() }
}

/// What a path of the Defender APIs names; with a version in it or without.
pub(crate) fn target(path: &str) -> Option<(View, Target<'_>)> {
    let path = path.strip_prefix(PREFIX)?;
    let path = path.strip_prefix("v1.0/").unwrap_or(path);
    let (name, id) = path.split_once('/').map_or((path, None), |(name, id)| (name, Some(id)));
    let (view, list) = match name {
        "alerts" => (View::Endpoint, List::Alerts),
        "incidents" => (View::Xdr, List::Incidents),
        _ => return None,
    };
    match id {
        None => Some((view, Target::List(list))),
        Some(id) if !id.is_empty() && !id.contains('/') => Some((view, Target::One(list, id))),
        Some(_) => None,
    }
}

/// Where faults of a list strike.
pub(crate) fn area(view: View) -> Area {
    match view {
        View::Xdr => Area::XdrIncidents,
        View::Siem => Area::SiemFeed,
        View::Endpoint | View::Graph => Area::EndpointAlerts,
    }
}

/// Requests in so many seconds, as documented for lists; one incident by its id has a minute of its own.
fn quotas(view: View, target: Target<'_>) -> [(i64, u32); 2] {
    let per_minute = match (view, target) {
        (View::Xdr, Target::List(_)) => 50,
        _ => 100,
    };
    [(60, per_minute), (3_600, 1_500)]
}

impl Defender {
    pub(crate) fn new(strict: bool, seed: u64) -> Self {
        Self { strict, used: Mutex::default(), ids: Mutex::new(Dice::derived(&[seed, 0xdefe])) }
    }

    /// Who calls, or the answer that tells why nobody does.
    pub(crate) fn authenticate(
        &self,
        world: &World,
        identity: &Identity,
        faults: &Faults,
        call: &Call<'_>,
        (view, area): (View, Area),
    ) -> Result<Caller, Answer> {
        let refused = |error: TokenError| {
            let challenge = format!(
                "Bearer authorization_uri=\"{}/common/oauth2/authorize\", error=\"invalid_token\"",
                call.base
            );
            let refusal = refusal(StatusCode::UNAUTHORIZED, "Unauthorized", error.to_string());
            self.refuse(refusal).with(WWW_AUTHENTICATE, challenge)
        };
        // Microsoft's pages name several audiences for Defender XDR; what counts in the end is the permission.
        let audiences: &[&str] = match view {
            View::Xdr => &[XDR_APP_ID, ENDPOINT_APP_ID],
            View::Siem => &[AAD_GRAPH_APP_ID],
            View::Endpoint | View::Graph => &[ENDPOINT_APP_ID],
        };
        let mut checked = Err(TokenError::Audience);
        for audience in audiences {
            checked = identity.check(world, call, audience);
            if !matches!(checked, Err(TokenError::Audience)) {
                break;
            }
        }
        Caller::admitted(checked, identity, faults, area).map_err(|not| match not {
            NotAdmitted::Token(error) => refused(error),
            NotAdmitted::Challenge(claims) => self.challenge(call, &claims),
        })
    }

    /// 401 that asks for a token with claims.
    fn challenge(&self, call: &Call<'_>, claims: &str) -> Answer {
        let challenge = format!(
            "Bearer authorization_uri=\"{}/common/oauth2/authorize\", error=\"insufficient_claims\", claims=\"{}\"",
            call.base,
            STANDARD.encode(claims)
        );
        let text = "Continuous access evaluation resulted in claims challenge.";
        self.refuse(refusal(StatusCode::UNAUTHORIZED, "Unauthorized", text)).with(WWW_AUTHENTICATE, challenge)
    }

    /// The answer of a list or of a record, with all that the request meets but how it travels.
    pub(crate) fn answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        caller: &Caller,
        (view, target): (View, Target<'_>),
        met: &Met,
    ) -> Answer {
        if let Some(answer) = self.fault_answer(world, call, caller, met.answer.as_ref()) {
            return answer;
        }
        if let Some(answer) = self.over_quota(world, caller, view, target) {
            return answer;
        }
        self.try_answer(world, faults, call, caller, (view, target), &met.quirks)
            .unwrap_or_else(|refusal| self.refuse(refusal))
    }

    fn try_answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        caller: &Caller,
        (view, target): (View, Target<'_>),
        quirks: &Quirks,
    ) -> Result<Answer, Refusal> {
        if call.method != Method::GET {
            let text = "The HTTP method is not supported here.";
            return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "BadRequest", text));
        }
        if caller.is_trusted() && faults.revoked(caller.tenant).is_some() {
            let text = TokenError::Tenant.to_string();
            return Err(refusal(StatusCode::UNAUTHORIZED, "Unauthorized", text));
        }
        check_permission(faults, caller, view)?;
        let query = odata::parse(view, target.list(), call.query, quirks)
            .map_err(|error| refusal(StatusCode::BAD_REQUEST, "ODataError", error.0))?;
        let writer =
            PageWriter { world, call, tenant: caller.tenant, unknown_members_wanted: true, quirks, view };
        let page = match target {
            Target::List(list) => writer.list(list, query),
            Target::One(list, id) => writer.one(list, id, &query),
            Target::AlertsOf(id) => Err(PageFailure::NotFound(id.to_owned())),
        };
        page.map_err(|failure| match failure {
            PageFailure::NotFound(id) => {
                let what = if view == View::Xdr { "Incident" } else { "Alert" };
                refusal(StatusCode::NOT_FOUND, "ResourceNotFound", format!("{what} {id} was not found"))
            }
            PageFailure::Status(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                refusal(status, code_of(status), "The service had trouble with the request.")
            }
        })
    }

    /// Counts a request against the documented quotas of app and tenant; gives the 429 where one is used up.
    fn over_quota(&self, world: &World, caller: &Caller, view: View, target: Target<'_>) -> Option<Answer> {
        if !self.strict {
            return None;
        }
        let now = world.now().seconds();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (caller.claims().client().to_owned(), caller.tenant, view);
        let windows = used.entry(key).or_default();
        for (window, (seconds, most)) in windows.iter_mut().zip(quotas(view, target)) {
            if !(0..seconds).contains(&(now - window.since)) {
                *window = Window { since: now, used: 0 };
            }
            window.used += 1;
            if window.used > most {
                let left = (window.since + seconds - now).max(1);
                return Some(self.throttle(world, caller, (seconds, most), Some(left.to_string())));
            }
        }
        None
    }

    pub(crate) fn throttle(
        &self,
        world: &World,
        caller: &Caller,
        (seconds, most): (i64, u32),
        retry_after: Option<String>,
    ) -> Answer {
        let span = format!("{:02}:{:02}:00", seconds / 3_600, seconds / 60 % 60);
        let when = retry_after
            .as_deref()
            .map_or_else(String::new, |left| format!(" You can send requests again in {left} seconds."));
        let message = format!(
            "API calls quota exceeded! Maximum allowed {most} per {span} for the key Destination+TenantID+AppID.{when}"
        );
        let body =
            json!({"error": {"code": "429", "message": message, "target": world.facts(caller.tenant).id}});
        let answer = throttled_with("", retry_after);
        Answer { body: body.to_string().into(), ..answer }
    }

    /// The answer of a fault that does not depend on what is asked for.
    pub(crate) fn fault_answer(
        &self,
        world: &World,
        call: &Call<'_>,
        caller: &Caller,
        fault: Option<&FaultKind>,
    ) -> Option<Answer> {
        let status_of = |status: u16| StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let trouble = "The service had trouble with the request.";
        Some(match fault? {
            FaultKind::Throttle { retry_after_seconds } => {
                self.throttle(world, caller, (60, 45), Some(retry_after_seconds.to_string()))
            }
            FaultKind::ThrottleWith { retry_after } => {
                self.throttle(world, caller, (3_600, 1_500), retry_after.clone())
            }
            FaultKind::Status { status } => {
                let status = status_of(*status);
                self.refuse(refusal(status, code_of(status), trouble))
            }
            FaultKind::Error { status, code, message } => {
                self.refuse(refusal(status_of(*status), code, message.clone()))
            }
            FaultKind::Unauthorized { challenge: true } => self.challenge(call, USUAL_CLAIMS),
            FaultKind::Unauthorized { challenge: false } => {
                let text = TokenError::Expired.to_string();
                self.refuse(refusal(StatusCode::UNAUTHORIZED, "Unauthorized", text))
            }
            _ => return None,
        })
    }

    pub(crate) fn no_such_path(&self) -> Answer {
        self.refuse(refusal(StatusCode::NOT_FOUND, "NotFound", "General error 404: no such resource path."))
    }

    pub(crate) fn refuse(&self, refusal: Refusal) -> Answer {
        let Refusal { status, code, message } = refusal;
        let target = self.ids.lock().unwrap_or_else(PoisonError::into_inner).guid();
        let body = json!({"error": {"code": code, "message": message, "target": target}});
        Answer::json(status, body.to_string())
    }
}

fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        429 => "TooManyRequests",
        _ => "InternalServerError",
    }
}

fn check_permission(faults: &Faults, caller: &Caller, view: View) -> Result<(), Refusal> {
    let (roles, scopes): ([&str; 2], [&str; 2]) = match view {
        View::Xdr => {
            (["Incident.Read.All", "Incident.ReadWrite.All"], ["Incident.Read", "Incident.ReadWrite"])
        }
        View::Endpoint | View::Graph | View::Siem => {
            (["Alert.Read.All", "Alert.ReadWrite.All"], ["Alert.Read", "Alert.ReadWrite"])
        }
    };
    let claims = caller.claims();
    let wanted = if claims.scp.is_some() { scopes } else { roles };
    let granted: Vec<&str> =
        wanted.into_iter().filter(|name| !faults.is_role_removed(caller.tenant, name)).collect();
    if caller.is_trusted() && granted.len() == wanted.len() {
        return Ok(());
    }
    let forbidden = |text: String| refusal(StatusCode::FORBIDDEN, "Forbidden", text);
    if !claims.allows(&granted) {
        let (who, kind) = match claims.scp {
            Some(_) => ("user", "delegated"),
            None => ("application", "application"),
        };
        return Err(forbidden(format!(
            "The {who} does not have any of the required {kind} permissions ({}) to access the resource.",
            wanted.join(", ")
        )));
    }
    // On behalf of a person it takes the person's own right to read, too.
    if claims.scp.is_some() && !claims.wids.iter().any(|role| READERS.contains(&role.as_str())) {
        return Err(forbidden("The user is not allowed to view data of this tenant.".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_lists_and_records() {
        assert_eq!(target("/api/alerts"), Some((View::Endpoint, Target::List(List::Alerts))));
        assert_eq!(target("/api/v1.0/alerts/da1"), Some((View::Endpoint, Target::One(List::Alerts, "da1"))));
        assert_eq!(target("/api/incidents/7"), Some((View::Xdr, Target::One(List::Incidents, "7"))));
        for nothing in ["/api/machines", "/api/alerts/", "/api/alerts/x/user", "/v1.0/alerts", "/api/"] {
            assert_eq!(target(nothing), None, "{nothing}");
        }
    }
}
