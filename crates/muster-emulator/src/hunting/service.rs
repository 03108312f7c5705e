//! The three APIs that take hunting queries: paths, permissions, quotas, bodies and answers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use super::rows::Words;
use super::{kql, tables};
use crate::faults::active::Faults;
use crate::faults::kind::Area;
use crate::graph::service::{Caller, READERS};
use crate::http::call::Call;
use crate::world::tenants::World;
use crate::world::ticks::Ticks;
use crate::world::view::View;

/// An API that takes queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum HuntingApi {
    Graph,
    Xdr,
    Endpoint,
}

/// Queries in a minute, as documented.
const QUERIES_PER_MINUTE: u32 = 45;
/// The largest answer.
const RESULT_BYTES_MAX: usize = 124_000_000;
/// How far back there is anything.
const DAYS_MAX: i64 = 30;

/// An app in a tenant.
type Account = (String, u32, HuntingApi);

/// What each app used of its quota in which tenant: since which second, and how much.
pub(crate) struct Hunting {
    strict: bool,
    used: Mutex<HashMap<Account, (i64, u32)>>,
}

/// Why there are no rows.
pub(crate) enum NoRows {
    Refused {
        status: StatusCode,
        code: &'static str,
        message: String,
    },
    /// For so many seconds.
    Throttled(i64),
}

fn refused(status: StatusCode, code: &'static str, message: impl Into<String>) -> NoRows {
    NoRows::Refused { status, code, message: message.into() }
}

fn bad(message: impl Into<String>) -> NoRows {
    refused(StatusCode::BAD_REQUEST, "BadRequest", message)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(rename = "Query", alias = "query")]
    query: String,
    #[serde(default, rename = "Timespan", alias = "timespan")]
    timespan: Option<String>,
}

impl HuntingApi {
    /// The API that a path names.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/v1.0/security/runHuntingQuery" | "/v1.0/security/microsoft.graph.security.runHuntingQuery" => {
                Some(Self::Graph)
            }
            "/api/advancedhunting/run" => Some(Self::Xdr),
            "/api/advancedqueries/run" | "/api/v1.0/advancedqueries/run" => Some(Self::Endpoint),
            _ => None,
        }
    }

    /// Where its faults strike.
    pub(crate) fn area(self) -> Area {
        match self {
            Self::Graph => Area::GraphHunting,
            Self::Xdr => Area::XdrHunting,
            Self::Endpoint => Area::EndpointHunting,
        }
    }

    /// Whose tokens it takes.
    pub(crate) fn view(self) -> View {
        match self {
            Self::Graph => View::Graph,
            Self::Xdr => View::Xdr,
            Self::Endpoint => View::Endpoint,
        }
    }

    /// The role and the scope that it needs.
    fn permission(self) -> (&'static str, &'static str) {
        match self {
            Self::Graph => ("ThreatHunting.Read.All", "ThreatHunting.Read.All"),
            Self::Xdr => ("AdvancedHunting.Read.All", "AdvancedHunting.Read"),
            Self::Endpoint => ("AdvancedQuery.Read.All", "AdvancedQuery.Read"),
        }
    }
}

impl Hunting {
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, used: Mutex::default() }
    }

    /// The body of the answer to a query.
    pub(crate) fn answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        caller: &Caller,
        api: HuntingApi,
    ) -> Result<String, NoRows> {
        if call.method != Method::POST {
            let text = "The HTTP method is not supported here.";
            return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "BadRequest", text));
        }
        check_permission(faults, caller, api)?;
        self.spend(world, caller, api)?;
        let kind = call.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/json") {
            let text = "A content type of application/json is needed.";
            return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BadRequest", text));
        }
        let body: Body = serde_json::from_slice(&call.body)
            .map_err(|error| bad(format!("The request body is not valid: {error}")))?;
        if body.query.trim().is_empty() {
            return Err(bad("The query is empty."));
        }
        let from = match body.timespan.as_deref() {
            None => None,
            Some(_) if api != HuntingApi::Graph => return Err(bad("The request has an unknown property.")),
            Some(span) => {
                let span = start_of(span, world.now().timestamp());
                Some(span.ok_or_else(|| bad("Timespan is not a valid ISO 8601 interval."))?)
            }
        };
        let earliest = world.now().plus_seconds(-DAYS_MAX * 86_400);
        let from = from.map_or(earliest, |from| Ticks::from_timestamp(from).max(earliest));
        let rows =
            kql::answer(&body.query, |name| tables::table(world, caller.tenant, name, from)).map_err(bad)?;
        let words = if api == HuntingApi::Graph { Words::Graph } else { Words::Defender };
        let written = rows.written(words, RESULT_BYTES_MAX).ok_or_else(|| {
            bad("Query execution has exceeded the allowed result size. Optimize your query by limiting the number of results and try again.")
        })?;
        Ok(match api {
            HuntingApi::Graph => {
                let context =
                    "https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.security.huntingQueryResults";
                format!("{{\"@odata.context\":\"{context}\",{written}}}")
            }
            HuntingApi::Xdr => {
                let count = rows.rows.len();
                let stats = format!(
                    "{{\"ExecutionTime\":0.0156652,\"resource_usage\":{{\"cpu\":{{\"user\":\"00:00:00.0156250\",\"kernel\":\"00:00:00\",\"total cpu\":\"00:00:00.0156250\"}}}},\"dataset_statistics\":[{{\"table_row_count\":{count},\"table_size\":{}}}]}}",
                    written.len()
                );
                format!("{{\"Stats\":{stats},{written}}}")
            }
            HuntingApi::Endpoint => format!("{{{written}}}"),
        })
    }

    /// Counts a query against the documented quota.
    fn spend(&self, world: &World, caller: &Caller, api: HuntingApi) -> Result<(), NoRows> {
        if !self.strict {
            return Ok(());
        }
        let now = world.now().seconds();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let window =
            used.entry((caller.claims().client().to_owned(), caller.tenant, api)).or_insert((now, 0));
        if !(0..60).contains(&(now - window.0)) {
            *window = (now, 0);
        }
        window.1 += 1;
        if window.1 > QUERIES_PER_MINUTE {
            Err(NoRows::Throttled((window.0 + 60 - now).max(1)))
        } else {
            Ok(())
        }
    }
}

fn check_permission(faults: &Faults, caller: &Caller, api: HuntingApi) -> Result<(), NoRows> {
    let (role, scope) = api.permission();
    let claims = caller.claims();
    let wanted = if claims.scp.is_some() { scope } else { role };
    let removed = faults.is_role_removed(caller.tenant, wanted);
    if !removed && (caller.is_trusted() || claims.allows(&[wanted])) {
        // On behalf of a person it takes the person's own right to read, too.
        if claims.scp.is_none() || claims.wids.iter().any(|role| READERS.contains(&role.as_str())) {
            return Ok(());
        }
        let text = "The user is not allowed to view data of this tenant.";
        return Err(refused(StatusCode::FORBIDDEN, "Forbidden", text));
    }
    let text = match (api, claims.scp.as_deref()) {
        (HuntingApi::Graph, Some(scopes)) => {
            format!("Missing scopes. API required scopes: {wanted}, user scopes: {scopes}.")
        }
        (HuntingApi::Graph, None) => format!(
            "Missing application roles. API required roles: {wanted}, application roles: {}.",
            claims.roles.join(",")
        ),
        (_, scopes) => {
            let (who, kind) =
                if scopes.is_some() { ("user", "delegated") } else { ("application", "application") };
            format!(
                "The {who} does not have any of the required {kind} permissions ({wanted}) to access the resource."
            )
        }
    };
    Err(refused(StatusCode::FORBIDDEN, "Forbidden", text))
}

/// Where an interval of ISO 8601 begins: `P7D`, `start/P7D`, `P7D/end`, `start/end` or `start`.
fn start_of(text: &str, now: Timestamp) -> Option<Timestamp> {
    let length = |text: &str| -> Option<SignedDuration> {
        text.starts_with('P')
            .then(|| text.parse::<Span>().ok())??
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .ok()
    };
    let moment = |text: &str| {
        Ticks::parse(text)
            .map(Ticks::timestamp)
            .or_else(|| Ticks::parse(&format!("{text}T00:00:00Z")).map(Ticks::timestamp))
    };
    match text.split_once('/') {
        None => length(text).and_then(|length| now.checked_sub(length).ok()).or_else(|| moment(text)),
        Some((first, end)) => match length(first) {
            Some(length) => moment(end)?.checked_sub(length).ok(),
            None => moment(first).filter(|_| length(end).is_some() || moment(end).is_some()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_begin_somewhere() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let at = |text: &str| start_of(text, now).map(|start| start.to_string());
        assert_eq!(at("P7D").as_deref(), Some("2026-11-21T12:00:00Z"));
        assert_eq!(at("PT90M").as_deref(), Some("2026-11-28T10:30:00Z"));
        assert_eq!(at("2026-11-01").as_deref(), Some("2026-11-01T00:00:00Z"));
        assert_eq!(at("2026-11-01T08:00:00Z/2026-11-02").as_deref(), Some("2026-11-01T08:00:00Z"));
        assert_eq!(at("P1D/2026-11-02T00:00:00Z").as_deref(), Some("2026-11-01T00:00:00Z"));
        for wrong in ["", "yesterday", "P", "7d", "P7D/", "2026-11-01/soon"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
