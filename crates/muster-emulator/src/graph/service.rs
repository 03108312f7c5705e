//! Microsoft Graph's security API: lists of alerts and incidents, and single ones.
//!
//! A page is put together from bodies that are already text. Nothing is parsed or built as a tree per request: in a
//! benchmark the emulator runs beside the program that is measured.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::odata;
use crate::faults::{Area, FaultKind, Faults};
use crate::http::answer::{Answer, throttled};
use crate::http::call::Call;
use crate::identity::claims::{Claims, TokenError};
use crate::identity::platform::Identity;
use crate::identity::resources::GRAPH_APP_ID;
use crate::world::dice::Dice;
use crate::world::hostile::nested_record;
use crate::world::query::{DEFAULT_ORDER, List, Query};
use crate::world::table::{Page, Row};
use crate::world::tenants::World;

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
    pub(crate) tenant: u32,
}

impl Caller {
    /// What the caller's token says.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }
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
    code: &'static str,
    message: String,
}

pub(crate) fn refusal(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into() }
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
        let (claims, tenant) = identity.check(world, call, GRAPH_APP_ID).map_err(refused)?;
        if faults.revoked(tenant).is_some() {
            return Err(refused(TokenError::Tenant));
        }
        if let Some(challenge) = faults.claims_challenge(area, tenant) {
            let answered = serde_json::from_str(&challenge)
                .is_ok_and(|challenge| identity.answers_challenge(&claims, &challenge));
            if !answered {
                let challenge = format!(
                    "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", client_id=\"{GRAPH_APP_ID}\", error=\"insufficient_claims\", claims=\"{}\"",
                    call.base,
                    STANDARD.encode(challenge)
                );
                let text = "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp";
                let refusal = refusal(StatusCode::UNAUTHORIZED, "TokenCreatedWithOutdatedPolicies", text);
                return Err(self.refuse(world, call, refusal).with(WWW_AUTHENTICATE, challenge));
            }
        }
        Ok(Caller { claims, tenant })
    }

    pub(crate) fn answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        caller: &Caller,
        target: Target<'_>,
        fault: Option<&FaultKind>,
    ) -> Answer {
        let answer = self.try_answer(world, faults, call, caller, target, fault);
        let answer = match answer {
            Ok(body) => Answer::json(StatusCode::OK, body),
            Err(Rejected::Refusal(refusal)) => return self.refuse(world, call, refusal),
            Err(Rejected::Throttled(seconds)) => return self.throttle(world, call, seconds),
        };
        self.stamp(call, answer).0
    }

    fn try_answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        caller: &Caller,
        target: Target<'_>,
        fault: Option<&FaultKind>,
    ) -> Result<Vec<u8>, Rejected> {
        match fault {
            Some(FaultKind::Throttle { retry_after_seconds }) => {
                return Err(Rejected::Throttled(*retry_after_seconds));
            }
            Some(FaultKind::Status { status }) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                return Err(
                    refusal(status, code_of(status), "The service had trouble with the request.").into()
                );
            }
            _ => {}
        }
        if call.method != Method::GET {
            let text = "The HTTP method is not supported for this resource.";
            return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "Request_BadRequest", text).into());
        }
        check_role(faults, caller, target.list())?;
        self.spend(world, caller)?;
        let unknown_members_wanted = call
            .headers
            .get_all("prefer")
            .iter()
            .any(|value| value.to_str().is_ok_and(|text| text.contains("include-unknown-enum-members")));
        let query = odata::parse(target.list(), call.query)
            .map_err(|error| refusal(StatusCode::BAD_REQUEST, "BadRequest", error.0))?;
        let writer = PageWriter { world, call, caller, unknown_members_wanted, fault };
        match target {
            Target::List(list) => Ok(writer.list(list, query)),
            Target::One(list, id) => writer.one(list, id, &query).ok_or_else(|| not_found(id)),
            Target::AlertsOf(id) => writer.alerts_of(id).ok_or_else(|| not_found(id)),
        }
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
                Some(self.throttle(world, call, *retry_after_seconds))
            }
            Some(FaultKind::Status { status }) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                let text = "The service had trouble with the request.";
                Some(self.refuse(world, call, refusal(status, code_of(status), text)))
            }
            _ => None,
        }
    }

    fn throttle(&self, world: &World, call: &Call<'_>, seconds: u32) -> Answer {
        let (answer, request_id) = self.stamp(call, throttled("", seconds));
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

/// Directory roles whose holders may read alerts and incidents.
const READERS: &[&str] = &[
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
    if caller.claims.allows(&granted) {
        // On behalf of a person it takes the person's own right to read, too.
        if caller.claims.scp.is_none()
            || caller.claims.wids.iter().any(|role| READERS.contains(&role.as_str()))
        {
            return Ok(());
        }
        let text = "The user is not authorized to read security data: a directory role such as Security Reader is needed.";
        return Err(refusal(StatusCode::FORBIDDEN, "Forbidden", text).into());
    }
    if let Some(scopes) = &caller.claims.scp {
        let text =
            format!("Missing scopes. API required scopes: {}, user scopes: {scopes}.", wanted.join(","));
        return Err(refusal(StatusCode::FORBIDDEN, "Forbidden", text).into());
    }
    let text = format!(
        "Missing application roles. API required roles: {}, application roles: {}.",
        wanted.join(","),
        caller.claims.roles.join(",")
    );
    Err(refusal(StatusCode::FORBIDDEN, "Forbidden", text).into())
}

/// Writes the bodies of right answers.
struct PageWriter<'a> {
    world: &'a World,
    call: &'a Call<'a>,
    caller: &'a Caller,
    unknown_members_wanted: bool,
    fault: Option<&'a FaultKind>,
}

impl PageWriter<'_> {
    fn list(&self, list: List, mut query: Query) -> Vec<u8> {
        if self.fault == Some(&FaultKind::IgnoreOrderby) {
            query.order = DEFAULT_ORDER;
        }
        let size = query.top.unwrap_or_else(|| list.page_default());
        let page = self.world.select(self.caller.tenant, list, &query, size);
        let name = match list {
            List::Alerts => "security/alerts_v2",
            List::Incidents if query.expand_alerts => "security/incidents(alerts())",
            List::Incidents => "security/incidents",
        };
        let mut text = Vec::with_capacity(page.rows.len() * 7500 + 512);
        text.extend_from_slice(b"{\"@odata.context\":\"https://graph.microsoft.com/v1.0/$metadata#");
        text.extend_from_slice(name.as_bytes());
        text.push(b'"');
        if let Some(total) = page.total {
            text.extend_from_slice(format!(",\"@odata.count\":{total}").as_bytes());
        }
        if let Some(link) = self.next_link(&query, size, &page) {
            text.extend_from_slice(b",\"@odata.nextLink\":");
            text.extend_from_slice(json!(link).to_string().as_bytes());
        }
        text.extend_from_slice(b",\"value\":[");
        let mut first = true;
        if let Some(FaultKind::DeepNesting { depth }) = self.fault {
            text.extend_from_slice(nested_record(*depth, self.world.now()).as_bytes());
            first = false;
        }
        for (index, row) in &page.rows {
            if !first {
                text.push(b',');
            }
            first = false;
            self.record(&mut text, list, *index, row, query.expand_alerts);
        }
        text.extend_from_slice(b"]}");
        text
    }

    fn one(&self, list: List, id: &str, query: &Query) -> Option<Vec<u8>> {
        let (index, row) = self.world.find_row(self.caller.tenant, list, id)?;
        let name = match list {
            List::Alerts => "security/alerts_v2/$entity",
            List::Incidents => "security/incidents/$entity",
        };
        let mut record = Vec::with_capacity(8192);
        self.record(&mut record, list, index, &row, query.expand_alerts);
        let mut text = Vec::with_capacity(record.len() + 128);
        text.extend_from_slice(b"{\"@odata.context\":\"https://graph.microsoft.com/v1.0/$metadata#");
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"\",");
        text.extend_from_slice(record.strip_prefix(b"{").unwrap_or(&record));
        Some(text)
    }

    fn alerts_of(&self, id: &str) -> Option<Vec<u8>> {
        let (index, _) = self.world.find_row(self.caller.tenant, List::Incidents, id)?;
        let mut text = b"{\"@odata.context\":\"https://graph.microsoft.com/v1.0/$metadata#Collection(microsoft.graph.security.alert)\",\"value\":[".to_vec();
        self.members(&mut text, &self.world.members(self.caller.tenant, index));
        text.extend_from_slice(b"]}");
        Some(text)
    }

    fn record(&self, text: &mut Vec<u8>, list: List, index: u32, row: &Row, expand: bool) {
        let tenant = self.caller.tenant;
        let expanded = list == List::Incidents && expand && row.incident_plan().is_some();
        let whole = if expanded { self.world.incident_with_members(tenant, index) } else { None };
        match whole {
            None => row.body(self.world.facts(tenant)).append_to(text, self.unknown_members_wanted),
            Some((row, members)) => {
                row.body(self.world.facts(tenant)).append_to(text, self.unknown_members_wanted);
                text.pop();
                text.extend_from_slice(b",\"alerts\":[");
                self.members(text, &members);
                text.extend_from_slice(b"]}");
            }
        }
    }

    fn members(&self, text: &mut Vec<u8>, members: &[Arc<Row>]) {
        for (place, alert) in members.iter().enumerate() {
            if place > 0 {
                text.push(b',');
            }
            alert.body(self.world.facts(self.caller.tenant)).append_to(text, self.unknown_members_wanted);
        }
    }

    /// The whole address of the next page: this one's, with another `$skip`.
    fn next_link(&self, query: &Query, size: usize, page: &Page) -> Option<String> {
        let skip = match self.fault {
            Some(FaultKind::NextLinkLoop) => query.skip,
            Some(FaultKind::MissingNextLink) => return None,
            Some(FaultKind::NextLinkElsewhere { .. }) => query.skip + size,
            _ if page.more && size > 0 => query.skip + size,
            _ => return None,
        };
        let mut address = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in url::form_urlencoded::parse(self.call.query.as_bytes()) {
            if key != "$skip" {
                address.append_pair(&key, &value);
            }
        }
        address.append_pair("$skip", &skip.to_string());
        // Graph writes the dollar sign of its options as it is.
        let query = address.finish().replace("%24", "$");
        let base = match self.fault {
            Some(FaultKind::NextLinkElsewhere { origin }) => origin.as_str(),
            _ => self.call.base,
        };
        Some(format!("{base}{}?{query}", self.call.path))
    }
}
