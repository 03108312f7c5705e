//! Elasticsearch and OpenSearch, by their bulk API.
//!
//! Each event is created under an `_id` made from what its record is known by (tenant, source, id, update time, content), so an
//! event that comes again is answered 409 and counts as delivered: nothing is doubled. That holds within one backing index:
//! once a data stream has rolled over, an event that is sent again (its answer was lost, and the rollover came in between) is
//! created once more in the new index, and nobody can tell.
//!
//! A 200 may hold refusals. Every event has an answer of its own, and an answer that does not name the event that was sent in
//! its place counts for nothing.
//!
//! Source: Elasticsearch "Bulk API", "Data streams", "Create or update a document: `op_type`".

mod answer;
mod document;
mod settings;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use muster_http::{Client, Response, TransportError};
use muster_model::{DeliveryBatch, Report, Trouble};
use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;

pub use self::settings::ElasticsearchSettings;

use self::answer::BulkAnswer;
use self::document::{Place, bulk_body};
use super::batch::{self, Formatted, Limits, Part, Sent, Way};
use super::error::{SinkError, shown};
use super::http::{self, ReceiverWords};
use super::record_ids::RecordIds;
use super::settings::{Settings, Surroundings, bytes};
use crate::formats::{Encoding, Template};

/// Requests of one delivery batch that are on their way at once.
const REQUESTS_MAX: usize = 4;
/// Events of one request: the answer has a line for each.
const EVENTS_MAX: usize = 1_000;
/// What is asked of the answer: all that is looked at.
const FILTER: &str =
    "filter_path=errors,error,status,items.*._id,items.*.status,items.*.error.type,items.*.error.reason";
const WORDS: ReceiverWords =
    ReceiverWords { product: "Elasticsearch", service: "the bulk API", place: "Elasticsearch" };

/// An Elasticsearch or OpenSearch cluster.
#[derive(Debug)]
pub struct Elasticsearch {
    name: String,
    settings: ElasticsearchSettings,
    encoding: Encoding,
    client: Client,
    /// The addresses of nodes, without a path's end.
    nodes: Vec<String>,
    /// Which of them answered last.
    current: AtomicUsize,
    /// By where events go: an index that refuses everything of one tenant is no judge of others', nor they of it.
    ways: Mutex<HashMap<String, Arc<Way>>>,
}

impl Elasticsearch {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        name: &str,
        settings: ElasticsearchSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().into_iter().next() {
                return Err(mistake);
            }
            let headers = settings.headers(around)?;
            let ca_file = around.path(settings.ca_file.as_ref());
            let proxy = around.proxy.clone()?;
            let client = http::client(headers, settings.timeout.0, ca_file.as_deref(), proxy, REQUESTS_MAX)?;
            Ok((encoding, client))
        });
        let (encoding, client) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        let nodes: Vec<String> =
            settings.url.0.iter().map(|url| url.as_str().trim_end_matches('/').to_owned()).collect();
        Ok(Self {
            ways: Mutex::default(),
            name: name.to_owned(),
            settings,
            encoding,
            client,
            nodes,
            current: AtomicUsize::new(0),
        })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn super::KeepTickets) -> Report {
        let place = match &self.settings.index {
            Some(index) => Place::Index(index.expand(batch.tenant)),
            None => Place::OwnDataStream(self.settings.ecs.namespace_of(batch.tenant)),
        };
        let ids = RecordIds::of(batch);
        let formatted = Formatted::new(&self.encoding, batch).await;
        let way = self.way(&place);
        let limits = Limits {
            part_bytes_max: bytes(self.settings.batch_size),
            part_events_max: EVENTS_MAX,
            requests_max: REQUESTS_MAX,
            failures_max: 1,
        };
        let (place, ids) = (&place, &ids);
        // The nodes of a cluster are one receiver.
        batch::deliver_to_one(formatted, limits, (&way, tickets), async |part| {
            self.send(&part, place, ids).await
        })
        .await
    }

    fn way(&self, place: &Place) -> Arc<Way> {
        let (Place::Index(name) | Place::OwnDataStream(name)) = place;
        let mut ways = self.ways.lock().expect("no panic while the lock is held");
        let way = ways.entry(name.clone()).or_insert_with(|| {
            Arc::new(Way::of(format!("sink `{}` ({})", self.name, self.nodes.join(", "))))
        });
        Arc::clone(way)
    }

    /// Sends the events of `part` in one request.
    async fn send(&self, part: &Part, place: &Place, ids: &RecordIds) -> Sent {
        let sent = ids.of_part(part);
        let body = bulk_body(part, &sent, place, &self.encoding.format);
        let body = match self.settings.gzip {
            true => match http::gzip(body).await {
                Ok(body) => body,
                Err(error) => return Sent::Retry(Some(self.trouble(&self.nodes[0], &error, None))),
            },
            false => body,
        };
        let (node, response) = match self.call(Method::POST, &self.bulk(), Some(body)).await {
            Ok(answered) => answered,
            Err((_, TransportError::TooLarge { .. })) if part.len() > 1 => {
                // What was created stays so, and is answered 409 when its half comes.
                return Sent::TooLarge("the answer is too large to be read".to_owned());
            }
            Err((node, error)) => {
                let reason = http::no_answer(&error, self.settings.timeout.0, WORDS);
                return Sent::Retry(Some(self.trouble(&node, &reason, None)));
            }
        };
        if response.status == 413 {
            return Sent::TooLarge(format!(
                "Elasticsearch takes no request of this size ({}): raise http.max_content_length",
                words(&response)
            ));
        }
        match BulkAnswer::read(&response.body) {
            Some(answer) if response.status == 200 => {
                match answer.fates(&sent, |reason| self.trouble(&node, reason, None)) {
                    Ok(fates) => Sent::Each(fates),
                    Err(why) => Sent::Retry(Some(self.trouble(&node, &why, None))),
                }
            }
            _ => Sent::Retry(Some(self.refusal(&node, &response))),
        }
    }

    fn bulk(&self) -> String {
        let mut path = format!("/_bulk?{FILTER}");
        if let Some(pipeline) = &self.settings.pipeline {
            path.push_str("&pipeline=");
            path.push_str(pipeline);
        }
        path
    }

    /// One request to the node that answered last, or to the next one where nothing can be sent; with the node.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<(String, Response), (String, TransportError)> {
        let first = self.current.load(Ordering::Relaxed);
        let mut last = None;
        for place in (0..self.nodes.len()).map(|step| (first + step) % self.nodes.len()) {
            let node = &self.nodes[place];
            let mut request = self.client.request(method.clone(), &format!("{node}{path}"));
            if let Some(body) = &body {
                let is_bulk = path.starts_with("/_bulk");
                let kind = if is_bulk { "application/x-ndjson" } else { "application/json" };
                request = request.header(CONTENT_TYPE, kind).body(body.clone());
                if is_bulk && self.settings.gzip {
                    request = request.header(CONTENT_ENCODING, "gzip");
                }
            }
            match self.client.send(request).await {
                Ok(response) => {
                    // A node that is leaving, or starting, says so; others of the cluster can do it.
                    if matches!(response.status, 502..=504) && last.is_none() && self.nodes.len() > 1 {
                        self.current.store((place + 1) % self.nodes.len(), Ordering::Relaxed);
                        last = Some(Ok((node.clone(), response)));
                        continue;
                    }
                    self.current.store(place, Ordering::Relaxed);
                    return Ok((node.clone(), response));
                }
                Err(error) => {
                    let was_not_sent = matches!(error, TransportError::Connect { .. });
                    last = Some(Err((node.clone(), error)));
                    self.current.store((place + 1) % self.nodes.len(), Ordering::Relaxed);
                    if !was_not_sent {
                        break;
                    }
                }
            }
        }
        last.expect("there is a node")
    }

    /// Why a request was refused as a whole, and what to do about it.
    fn refusal(&self, node: &str, response: &Response) -> Trouble {
        let said = words(response);
        let reason = match response.status {
            401 => format!(
                "it does not take the credentials ({said}): check the sink's api_key, or user and password"
            ),
            403 => format!(
                "the credentials do not allow it ({said}): give the key or the user the privileges `create_doc` and `auto_configure` on the index"
            ),
            404 | 405 => {
                format!("there is no bulk API at this address ({said}): check the sink's url and index")
            }
            400 => format!("it does not take the request ({said}): check the sink's index and pipeline"),
            408 | 429 | 500..=599 => {
                format!("Elasticsearch is busy or down ({said}); tried again later, by itself")
            }
            200..=299 => format!(
                "it answers, but not like Elasticsearch ({said}): check that the sink's url is Elasticsearch's own, not Kibana or a login page"
            ),
            _ => format!("the request was refused ({said})"),
        };
        self.trouble(node, &reason, http::asked_wait(response))
    }

    fn trouble(&self, node: &str, reason: &str, after: Option<Duration>) -> Trouble {
        Trouble { reason: format!("sink `{}` ({node}): {reason}", self.name), after }
    }

    /// Asks who it is, and whether the credentials may create documents where they are to go.
    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        let get = async |method, path: &str, body| {
            self.call(method, path, body).await.map_err(|(node, error)| {
                let reason = http::no_answer(&error, self.settings.timeout.0, WORDS);
                unusable(self.trouble(&node, &reason, None))
            })
        };
        let (node, response) = get(Method::GET, "/", None).await?;
        let who: Option<Who> = serde_json::from_slice(&response.body).ok();
        let Some(who) = who.filter(|_| response.status == 200) else {
            return Err(unusable(self.refusal(&node, &response)));
        };
        let (product, version) =
            (who.version.distribution.as_deref().unwrap_or("elasticsearch"), &who.version.number);
        let found = format!("{} {} at {node} answers", shown(product), shown(version));
        let index = match &self.settings.index {
            // Any tenant's, in which `*` stands for what is the tenant's own.
            Some(index) => index.pattern(),
            None => format!(
                "logs-*-{}",
                self.settings.ecs.namespace.as_ref().map_or_else(|| "default".to_owned(), Template::pattern)
            ),
        };
        let wanted = serde_json::json!({ "index": [{ "names": [index], "privileges": ["create_doc"] }] });
        let body = Some(Bytes::from(wanted.to_string()));
        let (node, response) = get(Method::POST, "/_security/user/_has_privileges", body).await?;
        let has: Option<HasPrivileges> = serde_json::from_slice(&response.body).ok();
        match (response.status, has) {
            (200, Some(HasPrivileges { has_all_requested: false })) => {
                let reason = format!(
                    "the credentials may not create documents in `{index}`: give them the privilege `create_doc` on it"
                );
                return Err(unusable(self.trouble(&node, &reason, None)));
            }
            (401 | 403, _) => return Err(unusable(self.refusal(&node, &response))),
            // Without security, and in OpenSearch, there is nobody to ask.
            _ => {}
        }
        Ok(format!("{found}, and takes the credentials; what it creates goes into `{index}`"))
    }
}

#[derive(Deserialize)]
struct Who {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    /// OpenSearch names itself here.
    distribution: Option<String>,
}

#[derive(Deserialize)]
struct HasPrivileges {
    has_all_requested: bool,
}

/// What it said, short and safe to print.
fn words(response: &Response) -> String {
    #[derive(Deserialize)]
    struct Whole {
        error: serde_json::Value,
    }
    let status = response.status;
    let error = serde_json::from_slice::<Whole>(&response.body).ok().map(|whole| whole.error);
    let reason = error.as_ref().and_then(|error| error["reason"].as_str().or_else(|| error.as_str()));
    match reason {
        Some(reason) => format!("HTTP {status}: {}", shown(&reason.chars().take(300).collect::<String>())),
        None if response.body.trim_ascii().is_empty() => format!("HTTP {status}"),
        None => format!("HTTP {status}: {}", http::beginning(&response.body)),
    }
}

#[cfg(test)]
mod tests;
