//! Graph's security API and the Defender APIs without sockets, tokens and waiting: a function from a request to an answer.
//!
//! The HTTP server answers by the same code, so that what a simulation meets in-process is what a client meets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{DATE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use crate::client_config::Tenant;
use crate::defender::feed;
use crate::defender::service::{self as defender, Defender};
use crate::errors::RequestError;
use crate::faults::active::{Faults, Met};
use crate::faults::kind::{Area, Fault, FaultKind};
use crate::faults::mixture::strict_faults;
use crate::faults::quirks::DateQuirk;
use crate::faults::spoil::spoil;
use crate::graph::service::{self, Caller, Graph, Target};
use crate::http::answer::{Answer, Transport};
use crate::http::call::Call;
use crate::hunting::service::{Hunting, HuntingApi, NoRows};
use crate::hunting::tables;
use crate::receivers::RecordKind;
use crate::world::changes::WorldChange;
use crate::world::clock::{Clock, SystemClock};
use crate::world::dice::Dice;
use crate::world::hostile::hostile_records;
use crate::world::tenants::{Lateness, UpdatePolicy, World};
use crate::world::truth::TruthVersion;
use crate::world::view::View;

/// Graph's security API and the Defender APIs of some tenants.
pub struct GraphApi {
    pub(crate) world: World,
    pub(crate) graph: Graph,
    pub(crate) defender: Defender,
    hunting: Hunting,
    pub(crate) faults: Faults,
    strict: bool,
}

/// What a [`GraphApi`] is made from. `GraphConfig::default()` is three small tenants without records.
#[derive(Clone)]
pub struct GraphConfig {
    /// How many tenants.
    pub tenants: usize,
    /// Everything made up is made up from this.
    pub seed: u64,
    /// How many alerts there are at first, spread over `history`.
    pub alerts: u64,
    /// Over how long a past they are spread.
    pub history: Duration,
    /// Whether alerts are about two kilobytes small; else as large as in life.
    pub short_alerts: bool,
    /// Requests a minute for each tenant before 429; absent: no limit.
    pub quota_per_minute: Option<u32>,
    /// Whether [`strict_faults`] are always in force.
    pub strict: bool,
    /// The kinds of records that are written down in the log of truth, beside Graph's.
    pub kinds: Vec<RecordKind>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            tenants: 3,
            seed: 7,
            alerts: 0,
            history: Duration::from_secs(6 * 3600),
            short_alerts: true,
            quota_per_minute: None,
            strict: true,
            kinds: vec![RecordKind::Alert, RecordKind::Incident],
            clock: Arc::new(SystemClock),
        }
    }
}

/// A request to Graph or a Defender API, without a token: who asks may ask.
#[derive(Debug, Clone, Copy)]
pub struct GraphRequest<'a> {
    /// `GET`, mostly.
    pub method: &'a str,
    /// The path, for example `/v1.0/security/alerts_v2` or `/api/incidents`.
    pub path: &'a str,
    /// What stands behind `?`, or nothing.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The tenant whose data is asked for: GUID or domain.
    pub tenant: &'a str,
    /// What is sent, which hunting queries are.
    pub body: &'a [u8],
}

/// An answer of Graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, `Date` among them, names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of the body, also where only a part of it would arrive.
    pub body: Bytes,
    /// How the answer travels; a simulation decides what it makes of it.
    pub transport: Transport,
}

impl GraphAnswer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1.as_str())
    }

    /// What of the body arrives before the connection is closed or falls silent; `None` when nothing does, not even the
    /// status.
    pub fn arrived(&self) -> Option<Bytes> {
        match self.transport {
            Transport::Silence | Transport::Reset => None,
            Transport::Cut { after_bytes } | Transport::Stall { after_bytes } => {
                let length = usize::try_from(after_bytes).unwrap_or(usize::MAX);
                Some(self.body.slice(..length.min(self.body.len().saturating_sub(1))))
            }
            _ => Some(self.body.clone()),
        }
    }
}

/// What is asked for, and of which API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Graph(Target<'a>),
    Defender(View, Target<'a>),
    /// The retired SIEM API.
    Feed,
    Hunting(HuntingApi),
}

impl Asked<'_> {
    /// What a path and query name, where no host tells.
    pub(crate) fn of<'a>(path: &'a str, query: &str) -> Option<Asked<'a>> {
        if feed::is_path(path) && feed::speaks(query) {
            return Some(Asked::Feed);
        }
        let defender = || defender::target(path).map(|(view, target)| Asked::Defender(view, target));
        let hunting = || HuntingApi::of(path).map(Asked::Hunting);
        Target::of(path).map(Asked::Graph).or_else(defender).or_else(hunting)
    }

    /// Where faults of it strike.
    pub(crate) fn area(self) -> Area {
        match self {
            Self::Graph(target) => Area::of(target.list()),
            Self::Defender(view, _) => defender::area(view),
            Self::Feed => defender::area(View::Siem),
            Self::Hunting(api) => api.area(),
        }
    }

    /// Scheme and host of links of answers that came over no socket.
    fn base(self) -> &'static str {
        match self {
            Self::Graph(_) | Self::Hunting(HuntingApi::Graph) => "https://graph.microsoft.com",
            Self::Defender(View::Endpoint, _) | Self::Hunting(HuntingApi::Endpoint) => {
                "https://api.securitycenter.microsoft.com"
            }
            Self::Feed => "https://wdatp-alertexporter-eu.securitycenter.windows.com",
            Self::Defender(..) | Self::Hunting(HuntingApi::Xdr) => "https://api.security.microsoft.com",
        }
    }
}

impl GraphApi {
    /// The API of a new world.
    pub fn new(config: &GraphConfig) -> Self {
        let world = World::new(config.seed, config.tenants.max(1), 0, Arc::clone(&config.clock))
            .with_short_alerts(config.short_alerts)
            .with_kinds(config.kinds.clone());
        let updates = UpdatePolicy { share: 0.0, after: (Duration::ZERO, Duration::ZERO) };
        world.populate(config.alerts, config.history, updates);
        Self::of(world, config.quota_per_minute, config.seed, config.strict)
    }

    pub(crate) fn of(world: World, quota_per_minute: Option<u32>, seed: u64, strict: bool) -> Self {
        let faults = Faults::new(seed, Arc::clone(&world.clock));
        let (graph, defender) = (Graph::new(quota_per_minute, seed), Defender::new(strict, seed));
        let hunting = Hunting::new(strict);
        let api = Self { world, graph, defender, hunting, faults, strict };
        api.be_strict();
        api
    }

    fn be_strict(&self) {
        for fault in strict_faults().into_iter().filter(|_| self.strict) {
            self.faults.add(fault, None);
        }
    }

    /// Answers a request. Nothing waits: `transport` says what would.
    pub fn answer(&self, request: &GraphRequest<'_>) -> GraphAnswer {
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::try_from(*value)) {
                headers.append(name, value);
            }
        }
        let asked = Asked::of(request.path, request.query);
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::GET);
        let call = Call {
            method: &method,
            path: request.path,
            query: request.query,
            headers: &headers,
            body: Bytes::copy_from_slice(request.body),
            base: asked.map_or("https://graph.microsoft.com", Asked::base),
        };
        let answer = match (self.world.find_tenant(request.tenant), asked) {
            (Some(tenant), Some(asked)) => self.respond(&call, &Caller::trusted(tenant), asked),
            (None, _) => Answer::text(StatusCode::UNAUTHORIZED, "no such tenant"),
            (_, None) => self.graph.no_such_path(&self.world, &call),
        };
        GraphAnswer {
            status: answer.status.as_u16(),
            headers: answer
                .headers
                .into_iter()
                .map(|(name, value)| (name.as_str().to_owned(), value))
                .collect(),
            body: answer.body,
            transport: answer.transport,
        }
    }

    /// The whole answer of a list or of a record, with all that the request meets.
    pub(crate) fn respond(&self, call: &Call<'_>, caller: &Caller, asked: Asked<'_>) -> Answer {
        let now = self.world.now();
        let met = self.faults.meet(asked.area(), Some(caller.tenant));
        let (world, faults) = (&self.world, &self.faults);
        let answer = match asked {
            Asked::Graph(target) => self.graph.answer(world, faults, call, caller, target, &met),
            Asked::Defender(view, target) => {
                self.defender.answer(world, faults, call, caller, (view, target), &met)
            }
            Asked::Feed => self.defender.feed(world, faults, call, caller, &met),
            Asked::Hunting(api) => self.hunt(call, caller, api, &met),
        };
        let answer = match &met.quirks.date {
            None => answer.with(DATE, now.http_date()),
            Some(DateQuirk::Shifted(seconds)) => answer.with(DATE, now.plus_seconds(*seconds).http_date()),
            Some(DateQuirk::Text(text)) => answer.with(DATE, text.clone()),
            Some(DateQuirk::Absent) => answer,
        };
        let answer =
            if met.quirks.without_length { answer.travelling(Transport::WithoutLength) } else { answer };
        spoil(answer, met.answer.as_ref())
    }

    /// The answer to a hunting query, in the words of its API.
    fn hunt(&self, call: &Call<'_>, caller: &Caller, api: HuntingApi, met: &Met) -> Answer {
        let Self { world, graph, defender, faults, .. } = self;
        let fault = met.answer.as_ref();
        let faulty = match api {
            HuntingApi::Graph => graph.fault_answer(world, call, fault),
            HuntingApi::Xdr | HuntingApi::Endpoint => defender.fault_answer(world, call, caller, fault),
        };
        if let Some(answer) = faulty {
            return answer;
        }
        match (api, self.hunting.answer(world, faults, call, caller, api)) {
            (HuntingApi::Graph, Ok(body)) => graph.stamp(call, Answer::json(StatusCode::OK, body)).0,
            (_, Ok(body)) => Answer::json(StatusCode::OK, body),
            (HuntingApi::Graph, Err(NoRows::Throttled(seconds))) => {
                graph.throttle(world, call, Some(seconds.to_string()))
            }
            (_, Err(NoRows::Throttled(seconds))) => {
                defender.throttle(world, caller, (60, 45), Some(seconds.to_string()))
            }
            (HuntingApi::Graph, Err(NoRows::Refused { status, code, message })) => {
                graph.refuse(world, call, service::refusal(status, code, message))
            }
            (_, Err(NoRows::Refused { status, code, message })) => {
                defender.refuse(defender::refusal(status, code, message))
            }
        }
    }

    /// All tenants, the first first.
    pub fn tenants(&self) -> Vec<Tenant> {
        self.world.all_facts().map(Tenant::from).collect()
    }

    /// Changes the tenants; gives the ids of what is new or changed.
    ///
    /// # Errors
    ///
    /// If it names a tenant or a record that is not there, or a time that is none.
    pub fn change(&self, change: &WorldChange) -> Result<Vec<String>, RequestError> {
        self.world.change(change)
    }

    /// Lets something go wrong from now on.
    ///
    /// # Errors
    ///
    /// If there is no such tenant, or the fault means nothing to an API.
    pub fn add_fault(&self, fault: Fault) -> Result<(), RequestError> {
        let tenant = fault.tenant.as_deref().map(|name| self.world.tenant(name)).transpose()?;
        if matches!(fault.area, Area::Hec | Area::Syslog | Area::Ingest) {
            return Err(RequestError::MeaninglessFault(fault.kind, fault.area));
        }
        let tenants = || match tenant {
            Some(tenant) => tenant..tenant + 1,
            None => 0..u32::try_from(self.world.tenant_count()).unwrap_or(u32::MAX),
        };
        match &fault.kind {
            FaultKind::Hostile => {
                for tenant in tenants() {
                    let records = hostile_records(self.world.facts(tenant), self.world.now());
                    self.world.add_written(tenant, records);
                }
                return Ok(());
            }
            FaultKind::LateVisibility { from_seconds, to_seconds, one_version_in } => {
                for tenant in tenants() {
                    let lateness = Lateness {
                        from: Duration::from_secs(*from_seconds),
                        to: Duration::from_secs(*to_seconds),
                        one_in: *one_version_in,
                        dice: Dice::derived(&[self.world.seed(), 0x1a7e, u64::from(tenant)]),
                    };
                    self.world.set_lateness(tenant, Some(lateness));
                }
            }
            _ => {}
        }
        self.faults.add(fault, tenant);
        Ok(())
    }

    /// Lets all go right again. What is to become visible late still does.
    pub fn clear_faults(&self) {
        self.faults.clear();
        self.be_strict();
        for tenant in 0..u32::try_from(self.world.tenant_count()).unwrap_or(u32::MAX) {
            self.world.set_lateness(tenant, None);
        }
    }

    /// Faults in force, with what is left of their counts.
    pub fn faults(&self) -> Vec<Fault> {
        self.faults.list()
    }

    /// Every version of every record, in the order they were made, whether visible or not.
    pub fn truth(&self) -> Vec<TruthVersion> {
        self.world.truth(None)
    }

    /// How many versions there are. As long as that stays, nothing of [`GraphApi::truth`] has changed.
    pub fn truth_len(&self) -> usize {
        self.world.truth_len()
    }

    /// What a version says, by its place in [`GraphApi::truth`], as callers of its API see it that ask for all there is: an
    /// incident without its alerts, an alert with its evidence.
    pub fn truth_body(&self, place: usize) -> Option<Bytes> {
        self.world.truth_body(place)
    }

    /// What a version of an alert says as a row of the hunting table `AlertInfo`, by its place in [`GraphApi::truth`]. `None`
    /// where it has no time, or is no alert of Graph's.
    pub fn truth_row(&self, place: usize) -> Option<Bytes> {
        self.world.truth_alert(place).and_then(|alert| tables::alert_info_row(&alert))
    }

    /// The rows of the hunting table `AlertEvidence` that a version of an alert makes.
    pub(crate) fn truth_evidence_rows(&self, place: usize) -> Vec<serde_json::Value> {
        self.world.truth_alert(place).map(|alert| tables::alert_evidence_rows(&alert)).unwrap_or_default()
    }

    /// What a version of an alert says inside an incident of Defender XDR, by its place in [`GraphApi::truth`].
    pub fn truth_body_in_xdr(&self, place: usize) -> Option<Bytes> {
        self.world.truth_body_in_xdr(place)
    }
}
