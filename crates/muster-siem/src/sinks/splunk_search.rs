//! What Splunk says is there: a search by its REST API, `POST /services/search/v2/jobs/export` (Splunk's "REST API
//! Reference", Search endpoints), or without `v2` where that is not known. Nothing is changed there.
//!
//! A record is known again by what its event carries as it stands in Microsoft's JSON: its id and the time of its last update;
//! beside these by the tenant's id, an indexed field, and the sourcetype of its kind.

use std::time::Duration;

use jiff::Timestamp;
use muster_http::{Client, Response};
use muster_model::time::moment;
use muster_model::{RecordKind, Secret, TenantId};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::error::{SinkError, shown};
use super::http::{self, ReceiverWords};
use super::settings::Surroundings;
use super::splunk_hec::SplunkHecSettings;

const WORDS: ReceiverWords =
    ReceiverWords { product: "Splunk", service: "Splunk's search", place: "its REST API" };
/// How long a search may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// With and without the number of the API's version.
const ENDPOINTS: [&str; 2] = ["services/search/v2/jobs/export", "services/search/jobs/export"];

/// So many records are asked for in one search.
pub const RECORDS_MAX: usize = 200;

/// The way to Splunk's search.
#[derive(Debug)]
pub struct SplunkSearch {
    client: Client,
    base: String,
    settings: SplunkHecSettings,
}

/// Records of one kind and tenant that are asked for.
#[derive(Debug, Clone, Copy)]
pub struct SearchedFor<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// Of which kind.
    pub kind: RecordKind,
    /// Their ids, at most [`RECORDS_MAX`].
    pub ids: &'a [&'a str],
    /// Between which times their events lie, both included; any where there is none.
    pub span: Option<(Timestamp, Timestamp)>,
}

/// A version of a record that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundVersion {
    /// The record's id.
    pub id: String,
    /// When Microsoft last changed it, as the event says.
    pub updated_at: Timestamp,
    /// How many events there are of it.
    pub copies: u64,
}

impl SplunkSearch {
    /// The way to it; nothing is connected yet.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn new(
        sink: &str,
        settings: &SplunkHecSettings,
        (url, token): (&Url, &Secret<String>),
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| "the token of its search holds characters that no token has".to_owned())
            .and_then(|mut value| {
                value.set_sensitive(true);
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                let ca_file = around.path(settings.ca_file.as_ref());
                http::client(headers, TIMEOUT, ca_file.as_deref(), around.proxy.clone()?, 1)
            });
        let client = made.map_err(|problem| SinkError::Settings { sink: sink.to_owned(), problem })?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, base, settings: settings.clone() })
    }

    /// Whether records of this kind are known again: a row of a query has no id.
    #[must_use]
    pub fn knows(kind: RecordKind) -> bool {
        names(kind).is_some()
    }

    /// Which versions of these records are there, and how often. Others of the same records may be among them.
    ///
    /// # Errors
    /// Why that cannot be told, in words for the operator.
    pub async fn find(&self, asked: SearchedFor<'_>) -> Result<Vec<FoundVersion>, String> {
        let Some(search) = self.search(&asked) else { return Ok(Vec::new()) };
        let mut form =
            vec![("search", search), ("output_mode", "json".to_owned()), ("preview", "false".to_owned())];
        if let Some((from, to)) = asked.span {
            form.push(("earliest_time", from.as_second().to_string()));
            // Exclusive, and an event's time may be rounded.
            form.push(("latest_time", to.as_second().saturating_add(2).to_string()));
        }
        let mut last = None;
        for endpoint in ENDPOINTS {
            let request = self.client.request(Method::POST, &format!("{}/{endpoint}", self.base)).form(&form);
            let response =
                self.client.send(request).await.map_err(|error| http::no_answer(&error, TIMEOUT, WORDS))?;
            if response.status != 404 {
                return read(&response);
            }
            last = Some(response);
        }
        last.map_or(Ok(Vec::new()), |response| read(&response))
    }

    fn search(&self, asked: &SearchedFor<'_>) -> Option<String> {
        let (id, updated, sourcetype) = self.names(asked.kind)?;
        let ids: Vec<String> = asked.ids.iter().map(|id| quoted(id)).collect();
        if ids.is_empty() {
            return None;
        }
        Some(format!(
            "search index=* sourcetype={} tenant_id::{} ({}) | spath input=_raw path={id} output=muster_id \
             | spath input=_raw path={updated} output=muster_updated | stats count AS muster_copies BY muster_id muster_updated",
            quoted(sourcetype),
            quoted(&asked.tenant.to_string()),
            ids.join(" OR ")
        ))
    }

    fn names(&self, kind: RecordKind) -> Option<(&'static str, &'static str, &str)> {
        let (id, updated) = names(kind)?;
        let types = &self.settings.sourcetypes;
        let sourcetype = match kind {
            RecordKind::GraphAlert | RecordKind::EndpointAlert => &types.alert,
            RecordKind::GraphIncident | RecordKind::XdrIncident => &types.incident,
            RecordKind::SiemDetection => &types.siem_detection,
            RecordKind::HuntingRow => &types.hunting,
        };
        Some((id, updated, sourcetype))
    }
}

/// Where an event says which record it is, and of when.
fn names(kind: RecordKind) -> Option<(&'static str, &'static str)> {
    match kind {
        RecordKind::GraphAlert | RecordKind::GraphIncident => Some(("id", "lastUpdateDateTime")),
        RecordKind::EndpointAlert => Some(("id", "lastUpdateTime")),
        RecordKind::XdrIncident => Some(("incidentId", "lastUpdateTime")),
        RecordKind::SiemDetection => Some(("FullId", "LastProcessedTimeUtc")),
        RecordKind::HuntingRow => None,
    }
}

/// A text within a search, whatever stands in it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

#[derive(Deserialize)]
struct Line {
    result: Option<Row>,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Row {
    muster_id: String,
    muster_updated: String,
    muster_copies: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    text: String,
}

fn read(response: &Response) -> Result<Vec<FoundVersion>, String> {
    let lines = serde_json::Deserializer::from_slice(&response.body).into_iter::<Line>();
    let mut found = Vec::new();
    let mut complaint = None;
    for line in lines {
        let Ok(line) = line else {
            let said = http::beginning(&response.body);
            return Err(format!(
                "it answers, but not like Splunk's search (HTTP {}: {said}): check [sinks.NAME.search] url, which is the port of the REST API (8089), not of the collector",
                response.status
            ));
        };
        if let Some(Row { muster_id, muster_updated, muster_copies }) = line.result {
            // What cannot be read is no version that was sent.
            if let (Some(updated_at), Ok(copies)) = (moment(&muster_updated), muster_copies.parse()) {
                found.push(FoundVersion { id: muster_id, updated_at, copies });
            }
        }
        let fatal = |message: &&Message| matches!(message.r#type.as_str(), "FATAL" | "ERROR");
        complaint = complaint.or(line.messages.iter().find(fatal).map(|message| shown(&message.text)));
    }
    let said = complaint.map_or_else(String::new, |said| format!(": {said}"));
    match response.status {
        200 if said.is_empty() => Ok(found),
        200 => Err(format!("Splunk could not finish the search{said}")),
        401 | 403 => Err(format!(
            "Splunk does not let the token search (HTTP {}{said}): check [sinks.NAME.search] token, and that its role may search the indexes",
            response.status
        )),
        status => Err(format!("Splunk refused the search (HTTP {status}{said})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response { status, headers: HeaderMap::new(), body: body.into(), held: Default::default() }
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let row = r#"{"preview":false,"offset":0,"result":{"muster_id":"a","muster_updated":"2026-11-29T08:30:00.1234567Z","muster_copies":"2"}}"#;
        let found = read(&response(200, &format!("{row}\n{row}\n"))).expect("rows");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].id.as_str(), found[0].copies), ("a", 2));
        assert_eq!(found[0].updated_at, "2026-11-29T08:30:00.1234567Z".parse().expect("a time"));
        assert_eq!(read(&response(200, "{\"preview\":false,\"lastrow\":true}\n")), Ok(Vec::new()));
        for (status, body, words) in [
            (401, r#"{"messages":[{"type":"WARN","text":"x"}]}"#, "token"),
            (
                400,
                r#"{"messages":[{"type":"FATAL","text":"Unknown search command"}]}"#,
                "Unknown search command",
            ),
            (
                200,
                &format!("{row}\n{}", r#"{"messages":[{"type":"ERROR","text":"a peer is down"}]}"#),
                "a peer is down",
            ),
            (200, "<html>", "not like Splunk's search"),
            (200, &row[..40], "not like Splunk's search"),
            (503, "", "HTTP 503"),
        ] {
            let error = read(&response(status, body)).expect_err(body);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_searched_for_stays_a_text() {
        assert_eq!(quoted("a\"b\\c\n| delete"), r#""a\"b\\c| delete""#);
        assert!(!SplunkSearch::knows(RecordKind::HuntingRow) && SplunkSearch::knows(RecordKind::XdrIncident));
    }
}
