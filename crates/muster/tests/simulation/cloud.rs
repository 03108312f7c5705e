//! Microsoft's side of a history: answers Muster's requests in this process, by the emulator, and lets time pass with each.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http;
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use muster_emulator::{GraphApi, GraphConfig, GraphRequest, Transport};
use muster_http::{Local, TransportError};
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::log::Log;
use crate::storage::{self, Answered, Storage};
use crate::time::{Time, WorldClock};

/// After this long the client gives a call up.
pub(crate) const TOTAL_TIMEOUT: Duration = Duration::from_secs(120);

/// Microsoft's cloud.
pub(crate) struct Cloud {
    pub(crate) api: GraphApi,
    /// Where the blobs of a stream lie.
    pub(crate) storage: Arc<Storage>,
    time: Arc<Time>,
    state: Mutex<State>,
    killed: Notify,
    log: Log,
}

struct State {
    dice: Dice,
    kill: Option<Kill>,
    no_tokens_until: Timestamp,
    asked: Vec<Asked>,
    requests: u64,
}

/// Muster is killed at a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kill {
    /// So many requests are answered before.
    pub(crate) after: u32,
    /// Whether the service still works on that request.
    pub(crate) answered: bool,
}

/// A request for a list, as the service saw it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: Timestamp,
    /// The lower bound of update times, where the request names one.
    pub(crate) from: Option<Timestamp>,
}

impl Cloud {
    /// Its storage holds `streamed` rows of each tenant: how many, over how long, and since when they are to be read.
    pub(crate) fn new(
        seed: u64,
        time: &Arc<Time>,
        config: GraphConfig,
        streamed: (u64, Duration, Timestamp),
        log: &Log,
    ) -> Arc<Self> {
        let config = GraphConfig { clock: Arc::new(WorldClock(Arc::clone(time))), ..config };
        let state = State {
            dice: Dice::new(seed, 2),
            kill: None,
            no_tokens_until: Timestamp::MIN,
            asked: Vec::new(),
            requests: 0,
        };
        let api = GraphApi::new(&config);
        let tenants = api.tenants().iter().map(|tenant| tenant.id.clone()).collect();
        Arc::new(Self {
            storage: Storage::new(seed, time, tenants, streamed),
            api,
            time: Arc::clone(time),
            state: Mutex::new(state),
            killed: Notify::new(),
            log: log.clone(),
        })
    }

    /// The way to this cloud for a client.
    pub(crate) fn local(self: &Arc<Self>) -> Local {
        let cloud = Arc::clone(self);
        Local::new(move |request| {
            let cloud = Arc::clone(&cloud);
            async move { cloud.answer(request).await }
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }

    /// Arms, or disarms, what kills Muster.
    pub(crate) fn kill(&self, kill: Option<Kill>) {
        self.state().kill = kill;
    }

    /// Waits until Muster is to be killed.
    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }

    /// The identity platform is down for a while.
    pub(crate) fn no_tokens_for(&self, lasting: Duration) {
        let until = self.time.world().checked_add(lasting).expect("histories stay within the range");
        self.state().no_tokens_until = until;
    }

    /// The requests for lists since this was last asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state().requests
    }

    async fn answer(&self, request: reqwest::Request) -> Result<reqwest::Response, TransportError> {
        let killed = {
            let mut state = self.state();
            state.requests += 1;
            match &mut state.kill {
                Some(kill) if kill.after == 0 => state.kill.take(),
                Some(kill) => {
                    kill.after -= 1;
                    None
                }
                None => None,
            }
        };
        if killed.is_some_and(|kill| !kill.answered) {
            self.die().await;
        }
        let answer = match request.url().host_str() {
            Some(
                "graph.microsoft.com"
                | "api.security.microsoft.com"
                | "api.securitycenter.microsoft.com"
                | "wdatp-alertexporter-us.securitycenter.windows.com",
            ) => self.api(&request),
            Some(storage::HOST) => self.blobs(&request),
            _ => self.token(&request),
        };
        if killed.is_some() {
            self.die().await;
        }
        answer
    }

    /// The process is killed while it waits for this answer.
    async fn die(&self) {
        self.log.line("  (killed here)");
        self.killed.notify_one();
        std::future::pending::<()>().await;
    }

    /// A token that is nothing but its tenant's id.
    fn token(&self, request: &reqwest::Request) -> Result<reqwest::Response, TransportError> {
        self.time.advance(Duration::from_millis(50));
        if self.state().no_tokens_until > self.time.world() {
            self.log.line("  token: 503");
            return Ok(whole(503, &[], Bytes::from_static(b"busy")));
        }
        let tenant = request.url().path_segments().and_then(|mut parts| parts.next()).unwrap_or_default();
        let body = serde_json::json!({ "token_type": "Bearer", "expires_in": 3_599, "access_token": tenant });
        Ok(whole(200, &[], Bytes::from(body.to_string())))
    }

    fn blobs(&self, request: &reqwest::Request) -> Result<reqwest::Response, TransportError> {
        let took = self.took();
        self.time.advance(took);
        let url = request.url();
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        if storage::is_listing(query) {
            let at = self.time.world().checked_sub(Duration::from_micros(1)).expect("in range");
            self.state().asked.push(Asked { at, from: None });
        }
        let range = request.headers().get("range").and_then(|range| range.to_str().ok());
        let answered = self.storage.answer(path, query, range);
        let told = |status: u16, body: &Bytes| {
            self.log.line_with(|| {
                let beginning = String::from_utf8_lossy(&body[..body.len().min(2_000)]).into_owned();
                let (now, size) = (self.time.world(), body.len());
                format!("  {now} {path}?{query} {range:?} -> {status} {size} bytes: {beginning}")
            });
        };
        match answered {
            Answered::Whole(status, headers, body) => {
                told(status, &body);
                Ok(whole(status, &borrowed(&headers), body))
            }
            Answered::Cut(status, headers, body) => {
                told(status, &body);
                Ok(pieces(status, &borrowed(&headers), [Ok(body), Err(io::Error::other("cut"))]))
            }
            Answered::Silence => {
                self.log.line("  storage: no answer");
                self.time.advance(TOTAL_TIMEOUT);
                Err(TransportError::Timeout { host: storage::HOST.to_owned(), after: TOTAL_TIMEOUT })
            }
        }
    }

    fn api(&self, request: &reqwest::Request) -> Result<reqwest::Response, TransportError> {
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let tenant =
            text("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let headers: Vec<(&str, &str)> =
            ["prefer", "content-type"].into_iter().filter_map(|name| Some((name, text(name)?))).collect();
        let sent = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let url = request.url();
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let took = self.took();
        self.time.advance(took);
        const LISTS: [&str; 5] = ["alerts_v2", "alerts", "incidents", "runHuntingQuery", "run"];
        if LISTS.contains(&path.rsplit('/').next().unwrap_or_default())
            && !path.contains("/security/incidents/")
        {
            // What changes while the answer is made was not visible when it was asked for.
            let at = self.time.world().checked_sub(Duration::from_micros(1)).expect("in range");
            let asked = Asked { at, from: lower_bound(query, sent) };
            self.state().asked.push(asked);
        }
        let answer = self.api.answer(&GraphRequest {
            method: request.method().as_str(),
            path,
            query,
            headers: &headers,
            tenant,
            body: sent,
        });
        self.log.line_with(|| {
            let size = answer.body.len();
            let transport = format!("{:?}", answer.transport);
            let beginning = String::from_utf8_lossy(&answer.body[..size.min(600)]).into_owned();
            let now = self.time.world();
            let sent = String::from_utf8_lossy(sent);
            format!("  {now} {path}?{query}{sent} -> {} {transport} {size} bytes: {beginning}", answer.status)
        });
        let host = || url.host_str().unwrap_or_default().to_owned();
        let timeout = || {
            self.time.advance(TOTAL_TIMEOUT);
            Err(TransportError::Timeout { host: host(), after: TOTAL_TIMEOUT })
        };
        let headers: Vec<(&str, &str)> =
            answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match answer.transport {
            Transport::Whole => Ok(whole(answer.status, &headers, answer.body)),
            Transport::WithoutLength => {
                Ok(pieces(answer.status, &headers, [Ok::<_, io::Error>(answer.body)]))
            }
            Transport::Late { milliseconds } => {
                self.time.advance(Duration::from_millis(milliseconds));
                Ok(whole(answer.status, &headers, answer.body))
            }
            Transport::Trickle { bytes_per_second } => {
                let seconds = answer.body.len() as u64 / u64::from(bytes_per_second.max(1));
                if seconds > TOTAL_TIMEOUT.as_secs() {
                    return timeout();
                }
                self.time.advance(Duration::from_secs(seconds));
                Ok(pieces(answer.status, &headers, [Ok::<_, io::Error>(answer.body)]))
            }
            Transport::Cut { .. } => {
                let part = answer.arrived().unwrap_or_default();
                Ok(pieces(answer.status, &headers, [Ok(part), Err(io::Error::other("cut"))]))
            }
            Transport::Stall { .. } | Transport::Silence => timeout(),
            Transport::Reset => {
                Err(TransportError::Broken { host: host(), detail: "reset".to_owned(), obstacle: None })
            }
        }
    }

    /// How long a call takes.
    fn took(&self) -> Duration {
        let dice = &mut self.state().dice;
        let microseconds = match dice.below(100) {
            0..80 => dice.between(20_000, 400_000),
            80..96 => dice.between(400_000, 5_000_000),
            _ => dice.between(5_000_000, 60_000_000),
        };
        Duration::from_micros(microseconds)
    }
}

/// The bound of `lastUpdateDateTime ge BOUND`, `lastUpdateTime ge BOUND`, `Timestamp >= datetime(BOUND)`, or what is asked
/// for behind `sinceTimeUtc=BOUND`: the SIEM feed is asked from the tick before.
fn lower_bound(query: &str, sent: &[u8]) -> Option<Timestamp> {
    if let Some((_, bound)) = std::str::from_utf8(sent).ok()?.split_once(">= datetime(") {
        return bound.split(')').next()?.parse().ok();
    }
    let option = |wanted: &str| {
        let mut options = url::form_urlencoded::parse(query.as_bytes());
        options.find(|(key, _)| key == wanted).map(|(_, value)| value)
    };
    if let Some(since) = option("sinceTimeUtc") {
        let since: Timestamp = since.parse().ok()?;
        return since.checked_add(Duration::from_nanos(100)).ok();
    }
    option("$filter")?.split_once("Time ge ")?.1.split(' ').next()?.parse().ok()
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn builder(status: u16, headers: &[(&str, &str)]) -> http::response::Builder {
    let builder = http::Response::builder().status(status);
    headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value))
}

fn whole(status: u16, headers: &[(&str, &str)], body: Bytes) -> reqwest::Response {
    builder(status, headers).body(body).expect("the emulator's answers are well formed").into()
}

fn pieces(
    status: u16,
    headers: &[(&str, &str)],
    pieces: impl IntoIterator<Item = io::Result<Bytes>, IntoIter: Send + 'static>,
) -> reqwest::Response {
    let body = reqwest::Body::wrap_stream(stream::iter(pieces));
    builder(status, headers).body(body).expect("the emulator's answers are well formed").into()
}
