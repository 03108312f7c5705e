//! Microsoft Graph's security API: lists of alerts and incidents, and single ones.
//!
//! A page is put together from bodies that are already text. Nothing is parsed or built as a tree per request: in a
//! benchmark the emulator runs beside the program that is measured.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::odata;
use super::page::{PageFailure, PageWriter};
use crate::faults::active::{Faults, Met};
use crate::faults::kind::{Area, FaultKind};
use crate::faults::quirks::Quirks;
use crate::http::answer::{Answer, throttled_with};
use crate::http::call::Call;
use crate::identity::claims::{Claims, TokenError};
use crate::identity::platform::Identity;
use crate::identity::resources::GRAPH_APP_ID;
use crate::world::dice::Dice;
use crate::world::query::List;
use crate::world::tenants::World;
use crate::world::view::View;

/// Where Graph's paths begin.
pub(crate) const PREFIX: &str = "/v1.0/";

/// Graph's own state: the quota of each tenant and the ids of requests.
pub(crate) struct Graph {
    quota_per_minute: Option<u32>,
    used: Mutex<HashMap<(String, u32), (i64, u32)>>,
    request_ids: Mutex<Dice>,
}

/// Who asks, after the token was found right.
pub(crate) struct Caller {
    claims: Arc<Claims>,
    /// Whether it needs no token and has all roles.
    trusted: bool,
    pub(crate) tenant: u32,
}

impl Caller {
    /// One who needs no token.
    pub(crate) fn trusted(tenant: u32) -> Self {
        Self { claims: Arc::default(), trusted: true, tenant }
    }

    /// One whose token was found right, unless the tenant's consent is revoked or a challenge stands open.
    pub(crate) fn admitted(
        checked: Result<(Arc<Claims>, u32), TokenError>,
        identity: &Identity,
        faults: &Faults,
        area: Area,
    ) -> Result<Self, NotAdmitted> {
        let (claims, tenant) = checked.map_err(NotAdmitted::Token)?;
        if faults.revoked(tenant).is_some() {
            return Err(NotAdmitted::Token(TokenError::Tenant));
        }
        if let Some(challenge) = faults.claims_challenge(area, tenant) {
            let answered = serde_json::from_str(&challenge)
                .is_ok_and(|challenge| identity.answers_challenge(&claims, &challenge));
            if !answered {
                return Err(NotAdmitted::Challenge(challenge));
            }
        }
        Ok(Self { claims, trusted: false, tenant })
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// What the caller's token says.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// Why a token opens nothing.
pub(crate) enum NotAdmitted {
    Token(TokenError),
    /// It lacks these claims.
    Challenge(String),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    List(List),
    One(List, &'a str),
    AlertsOf(&'a str),
}

impl Target<'_> {
    /// What a path below `/v1.0/` names.
    pub(crate) fn of(path: &str) -> Option<Target<'_>> {
        let path = path.strip_prefix(PREFIX)?.strip_prefix("security/")?;
        let mut parts = path.split('/');
        let list = match parts.next()? {
            "alerts_v2" => List::Alerts,
            "incidents" => List::Incidents,
            _ => return None,
        };
        match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => Some(Target::List(list)),
            (Some(id), None, _) if !id.is_empty() => Some(Target::One(list, id)),
            (Some(id), Some("alerts"), None) if list == List::Incidents => Some(Target::AlertsOf(id)),
            _ => None,
        }
    }

    pub(crate) fn list(self) -> List {
        match self {
            Target::List(list) | Target::One(list, _) => list,
            Target::AlertsOf(_) => List::Incidents,
        }
    }
}

/// A refusal, before it is written.
pub(crate) struct Refusal {
    status: StatusCode,
    code: Cow<'static, str>,
    message: String,
}

pub(crate) fn refusal(
    status: StatusCode,
    code: impl Into<Cow<'static, str>>,
    message: impl Into<String>,
) -> Refusal {
    Refusal { status, code: code.into(), message: message.into() }
}

impl Graph {
    pub(crate) fn new(quota_per_minute: Option<u32>, seed: u64) -> Self {
        Self {
            quota_per_minute,
            used: Mutex::default(),
            request_ids: Mutex::new(Dice::derived(&[seed, 0x94af])),
        }
    }

    /// Who calls, or the answer that tells why nobody does.
    pub(crate) fn authenticate(
        &self,
        world: &World,
        identity: &Identity,
        faults: &Faults,
        call: &Call<'_>,
        area: Area,
    ) -> Result<Caller, Answer> {
        let refused = |error: TokenError| {
            let challenge = format!(
                "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", client_id=\"{}\", error=\"invalid_token\"",
                call.base, GRAPH_APP_ID
            );
            let refusal = refusal(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", error.to_string());
            self.refuse(world, call, refusal).with(WWW_AUTHENTICATE, challenge)
        };
        let checked = identity.check(world, call, GRAPH_APP_ID);
        Caller::admitted(checked, identity, faults, area).map_err(|not| match not {
            NotAdmitted::Token(error) => refused(error),
            NotAdmitted::Challenge(claims) => self.challenge(world, call, &claims),
        })
    }

    /// 401 that asks for a token with claims.
    fn challenge(&self, world: &World, call: &Call<'_>, claims: &str) -> Answer {
        let challenge = format!(
            "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", client_id=\"{GRAPH_APP_ID}\", error=\"insufficient_claims\", claims=\"{}\"",
            call.base,
            STANDARD.encode(claims)
        );
        let text = "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp";
        let refusal = refusal(StatusCode::UNAUTHORIZED, "TokenCreatedWithOutdatedPolicies", text);
        self.refuse(world, call, refusal).with(WWW_AUTHENTICATE, challenge)
    }

    /// The answer of a list or of a record, with all that the request meets but how it travels.
    pub(crate) fn answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        caller: &Caller,
        target: Target<'_>,
        met: &Met,
    ) -> Answer {
        if let Some(answer) = self.fault_answer(world, call, met.answer.as_ref()) {
            return answer;
        }
        match self.try_answer(world, faults, call, caller, target, &met.quirks) {
            Ok(answer) => self.stamp(call, answer).0,
            Err(Rejected::Refusal(refusal)) => self.refuse(world, call, refusal),
            Err(Rejected::Throttled(seconds)) => self.throttle(world, call, Some(seconds.to_string())),
        }
    }

    fn try_answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        caller: &Caller,
        target: Target<'_>,
        quirks: &Quirks,
    ) -> Result<Answer, Rejected> {
        if call.method != Method::GET {
            let text = "The HTTP method is not supported for this resource.";
            return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "Request_BadRequest", text).into());
        }
        if caller.trusted && faults.revoked(caller.tenant).is_some() {
            let text = TokenError::Tenant.to_string();
            return Err(refusal(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", text).into());
        }
        check_role(faults, caller, target.list())?;
        self.spend(world, caller)?;
        let unknown_members_wanted = call
            .headers
            .get_all("prefer")
            .iter()
            .any(|value| value.to_str().is_ok_and(|text| text.contains("include-unknown-enum-members")));
        let query = odata::parse(View::Graph, target.list(), call.query, quirks)
            .map_err(|error| refusal(StatusCode::BAD_REQUEST, "BadRequest", error.0))?;
        let writer = PageWriter {
            world,
            call,
            tenant: caller.tenant,
            unknown_members_wanted,
            quirks,
            view: View::Graph,
        };
        let page = match target {
            Target::List(list) => writer.list(list, query),
            Target::One(list, id) => writer.one(list, id, &query),
            Target::AlertsOf(id) => writer.alerts_of(id),
        };
        page.map_err(|failure| match failure {
            PageFailure::NotFound(id) => not_found(&id),
            PageFailure::Status(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                refusal(status, code_of(status), "The service had trouble with the request.").into()
            }
        })
    }

    /// Counts a request against the quota of app and tenant.
    fn spend(&self, world: &World, caller: &Caller) -> Result<(), Rejected> {
        let Some(quota) = self.quota_per_minute else { return Ok(()) };
        let now = world.now().seconds();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let window = used.entry((caller.claims.client().to_owned(), caller.tenant)).or_insert((now, 0));
        if now - window.0 >= 60 {
            *window = (now, 0);
        }
        window.1 += 1;
        if window.1 > quota {
            return Err(Rejected::Throttled(u32::try_from(60 - (now - window.0)).unwrap_or(1).max(1)));
        }
        Ok(())
    }

    /// The answer of a fault that does not depend on what is asked for.
    pub(crate) fn fault_answer(
        &self,
        world: &World,
        call: &Call<'_>,
        fault: Option<&FaultKind>,
    ) -> Option<Answer> {
        match fault {
            Some(FaultKind::Throttle { retry_after_seconds }) => {
                Some(self.throttle(world, call, Some(retry_after_seconds.to_string())))
            }
            Some(FaultKind::ThrottleWith { retry_after }) => {
                Some(self.throttle(world, call, retry_after.clone()))
            }
            Some(FaultKind::Status { status }) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                let text = "The service had trouble with the request.";
                Some(self.refuse(world, call, refusal(status, code_of(status), text)))
            }
            Some(FaultKind::Error { status, code, message }) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                Some(self.refuse(world, call, refusal(status, code.clone(), message.clone())))
            }
            Some(FaultKind::Unauthorized { challenge: true }) => {
                Some(self.challenge(world, call, USUAL_CLAIMS))
            }
            Some(FaultKind::Unauthorized { challenge: false }) => {
                let text = TokenError::Expired.to_string();
                Some(self.refuse(
                    world,
                    call,
                    refusal(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", text),
                ))
            }
            _ => None,
        }
    }

    pub(crate) fn throttle(&self, world: &World, call: &Call<'_>, retry_after: Option<String>) -> Answer {
        let (answer, request_id) = self.stamp(call, throttled_with("", retry_after));
        let date = world.now().to_string();
        let body = json!({"error": {
            "code": "TooManyRequests",
            "innerError": {
                "code": "429", "date": &date[..19], "message": "Please retry after", "request-id": request_id, "status": "429",
            },
            "message": "Please retry again later.",
        }});
        Answer { body: body.to_string().into(), ..answer }
    }

    pub(crate) fn refuse(&self, world: &World, call: &Call<'_>, refusal: Refusal) -> Answer {
        let (answer, request_id) = self.stamp(call, Answer::json(refusal.status, ""));
        let date = world.now().to_string();
        let body = json!({"error": {
            "code": refusal.code,
            "message": refusal.message,
            "innerError": {
                "date": &date[..19], "request-id": request_id, "client-request-id": client_request_id(call).unwrap_or(&request_id),
            },
        }});
        Answer { body: body.to_string().into(), ..answer }
    }

    /// The answer for a path that Graph does not have.
    pub(crate) fn no_such_path(&self, world: &World, call: &Call<'_>) -> Answer {
        let text =
            format!("Resource not found for the segment '{}'.", call.path.rsplit('/').next().unwrap_or(""));
        self.refuse(world, call, refusal(StatusCode::BAD_REQUEST, "BadRequest", text))
    }

    /// Adds the headers that every answer of Graph has; gives the request's id too.
    pub(crate) fn stamp(&self, call: &Call<'_>, answer: Answer) -> (Answer, String) {
        let id = self.request_ids.lock().unwrap_or_else(PoisonError::into_inner).guid();
        let client = client_request_id(call).unwrap_or(&id).to_owned();
        let answer = answer
            .with(HeaderName::from_static("request-id"), id.clone())
            .with(HeaderName::from_static("client-request-id"), client)
            .with(
                HeaderName::from_static("x-ms-ags-diagnostic"),
                r#"{"ServerInfo":{"DataCenter":"Sweden Central","Slice":"E","Ring":"5","ScaleUnit":"001","RoleInstance":"GV3PEPF00000001"}}"#,
            );
        (answer, id)
    }
}

enum Rejected {
    Refusal(Refusal),
    Throttled(u32),
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

fn not_found(id: &str) -> Rejected {
    refusal(StatusCode::NOT_FOUND, "ResourceNotFound", format!("Resource '{id}' does not exist.")).into()
}

fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BadRequest",
        401 => "InvalidAuthenticationToken",
        403 => "Forbidden",
        404 => "ResourceNotFound",
        502 | 504 => "UnknownError",
        503 => "ServiceUnavailable",
        _ => "InternalServerError",
    }
}

fn client_request_id<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    call.headers.get("client-request-id")?.to_str().ok()
}

/// The claims of a challenge that asks for nothing special.
pub(crate) const USUAL_CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1577836800"}}}"#;

/// Directory roles whose holders may read alerts and incidents.
pub(crate) const READERS: &[&str] = &[
    "62e90394-69f5-4237-9190-012177145e10",
    "5d6b6bb7-de71-4623-b4af-96380a352509",
    "194ae4cb-b126-40b2-bd5b-6091b380977d",
    "5f2222b1-57c3-48ba-8ad5-d4759f1fde6f",
    "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
];

fn check_role(faults: &Faults, caller: &Caller, list: List) -> Result<(), Rejected> {
    let wanted: &[&str] = match list {
        List::Alerts => &["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"],
        List::Incidents => &["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"],
    };
    let granted: Vec<&str> =
        wanted.iter().copied().filter(|role| !faults.is_role_removed(caller.tenant, role)).collect();
    if caller.trusted && granted.len() == wanted.len() {
        return Ok(());
    }
    let claims = caller.claims();
    if claims.allows(&granted) {
        // On behalf of a person it takes the person's own right to read, too.
        if claims.scp.is_none() || claims.wids.iter().any(|role| READERS.contains(&role.as_str())) {
            return Ok(());
        }
        let text = "The user is not authorized to read security data: a directory role such as Security Reader is needed.";
        return Err(refusal(StatusCode::FORBIDDEN, "Forbidden", text).into());
    }
    if let Some(scopes) = &claims.scp {
        let text =
            format!("Missing scopes. API required scopes: {}, user scopes: {scopes}.", wanted.join(","));
        return Err(refusal(StatusCode::FORBIDDEN, "Forbidden", text).into());
    }
    let text = format!(
        "Missing application roles. API required roles: {}, application roles: {}.",
        wanted.join(","),
        claims.roles.join(",")
    );
    Err(refusal(StatusCode::FORBIDDEN, "Forbidden", text).into())
}
