//! The APIs that take hunting queries: where they are, what they need, and when they end.

use std::time::Duration;

use muster_http::ClientOptions;
use serde::Serialize;

use crate::api::family::{Api, Quota};
use crate::entra::permissions::{Permission, ResourceApp, known};
use crate::sources::AnnouncedEnd;

/// The most rows that an answer holds: whoever has more cuts them off, and says nothing of it. Source: Microsoft "Advanced
/// hunting API" and "security: runHuntingQuery".
pub const ROWS_MAX: u32 = 100_000;

/// An API that takes hunting queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HuntingApi {
    /// Microsoft Graph `POST /security/runHuntingQuery`.
    Graph,
    /// Defender XDR `POST /api/advancedhunting/run`.
    Xdr,
    /// Defender for Endpoint `POST /api/advancedqueries/run`.
    Endpoint,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HuntingQuery {
    /// The query, in KQL.
    pub text: String,
    /// How far it looks back, as ISO 8601 writes it; Graph only. Without it, as the query says, and at most 30 days.
    pub timespan: Option<String>,
}

/// The body of a request, as Microsoft's pages write it.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "Query")]
    query: &'a str,
    #[serde(rename = "Timespan", skip_serializing_if = "Option::is_none")]
    timespan: Option<&'a str>,
}

impl HuntingQuery {
    /// The body of the request.
    pub(crate) fn body(&self) -> impl Serialize + '_ {
        Body { query: &self.text, timespan: self.timespan.as_deref() }
    }
}

/// The longest time a query runs: 200 seconds at Defender for Endpoint, 3 minutes at the others. No byte comes before.
const RUNS_MAX: Duration = Duration::from_secs(200);
/// The largest answer that is taken. Documented are 124 MB of rows; JSON takes some more.
const ANSWER_BYTES_MAX: usize = 160 << 20;

impl HuntingApi {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Graph, Self::Xdr, Self::Endpoint];

    /// Its host and its kind of token.
    #[must_use]
    pub const fn api(self) -> Api {
        match self {
            Self::Graph => Api::Graph,
            Self::Xdr => Api::DefenderXdr,
            Self::Endpoint => Api::DefenderForEndpoint,
        }
    }

    /// Its path below the API's address.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Graph => "/v1.0/security/runHuntingQuery",
            Self::Xdr => "/api/advancedhunting/run",
            Self::Endpoint => "/api/advancedqueries/run",
        }
    }

    /// The permission that it needs.
    #[must_use]
    pub const fn permissions(self) -> &'static [&'static Permission] {
        match self {
            Self::Graph => const { &[known(ResourceApp::Graph, "ThreatHunting.Read.All")] },
            Self::Xdr => const { &[known(ResourceApp::DefenderXdr, "AdvancedHunting.Read.All")] },
            Self::Endpoint => const { &[known(ResourceApp::DefenderForEndpoint, "AdvancedQuery.Read.All")] },
        }
    }

    /// Its end, as Microsoft's notice names it.
    #[must_use]
    pub const fn end(self) -> Option<AnnouncedEnd> {
        match self {
            Self::Graph => None,
            Self::Xdr | Self::Endpoint => Some(AnnouncedEnd {
                date: "31 January 2027",
                any_time_since: false,
                replacement: "graph",
                announcement: "MC1220762",
            }),
        }
    }

    /// The same for a saved query, in the words of the settings.
    pub(crate) const fn end_of_source(self) -> Option<AnnouncedEnd> {
        match self.end() {
            None => None,
            Some(end) => Some(AnnouncedEnd { replacement: "graph_hunting", ..end }),
        }
    }

    pub(crate) const fn quota(self) -> Quota {
        Quota::Hunting(self.api())
    }
}

/// The same with the time that a query takes.
pub(crate) fn patient(client: &ClientOptions) -> ClientOptions {
    ClientOptions {
        idle_timeout: client.idle_timeout.max(RUNS_MAX + Duration::from_secs(40)),
        total_timeout: client.total_timeout.max(RUNS_MAX * 3),
        ..client.clone()
    }
}

/// The same, with room for the largest answer: its rows may be 124 MB. All answers together take no more than two of those.
pub(crate) fn roomy(client: &ClientOptions) -> ClientOptions {
    ClientOptions { body_bytes_max: ANSWER_BYTES_MAX, memory_bytes: 2 * ANSWER_BYTES_MAX, ..patient(client) }
}
