//! Microsoft Sentinel and Log Analytics, by Azure Monitor's Logs Ingestion API: rows for one stream of one data collection rule.
//!
//! Delivered is what a 204 has answered for; any other answer, a 200 too, counts for nothing. The service tells
//! no repetition: rows whose answer was lost are sent again and are there twice then. Each row carries what its record is known
//! by, and the function that `muster siem-config sentinel` prints takes the newest row of each.
//!
//! The service cuts a field at 64 KB and leaves out a column that the rule does not declare, and answers 204 all the same. So no
//! field is ever longer than [`FIELD_BYTES_MAX`], and the columns are a closed list, [`COLUMNS`], from which the templates of
//! rule and table are printed.
//!
//! Source: Microsoft "Logs Ingestion API in Azure Monitor", "Azure Monitor service limits", "Standard columns in Azure Monitor
//! Logs", "Add or delete tables and columns" (reserved names).

mod row;
mod settings;

use std::time::Duration;

use bytes::Bytes;
use muster_http::{Client, Response, TransportError};
use muster_model::{DeliveryBatch, Report, Trouble};
use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;

pub use self::row::{COLUMNS, Column, ColumnType, FIELD_BYTES_MAX};
pub use self::settings::SentinelSettings;

use self::row::RecordColumns;
use super::batch::{self, Formatted, Limits, Part, Sent, Way};
use super::bearer::{BearerTokens, TokenApi, WantedTokens};
use super::error::{SinkError, shown};
use super::http::{self, ReceiverWords};
use super::settings::{Settings, Surroundings, bytes};
use crate::formats::Encoding;

/// Requests of one delivery batch that are on their way at once.
const REQUESTS_MAX: usize = 4;
/// Rows of one request.
const ROWS_MAX: usize = 5_000;
const API_VERSION: &str = "2023-01-01";
const WORDS: ReceiverWords = ReceiverWords {
    product: "Azure Monitor",
    service: "the Logs Ingestion API",
    place: "the data collection endpoint",
};

/// A stream of a data collection rule.
#[derive(Debug)]
pub struct Sentinel {
    name: String,
    settings: SentinelSettings,
    encoding: Encoding,
    client: Client,
    tokens: BearerTokens,
    /// Where rows are sent.
    url: String,
    way: Way,
}

impl Sentinel {
    /// A sink with this name; nothing is connected yet, and nobody asked for a token.
    pub(super) fn build(
        name: &str,
        settings: SentinelSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().into_iter().next() {
                return Err(mistake);
            }
            let tokens = (around.tokens)(&WantedTokens {
                api: TokenApi::LogIngestion,
                app: &settings.app,
                tenant: settings.tenant,
                receiver: &settings.endpoint,
            })?;
            let ca_file = around.path(settings.ca_file.as_ref());
            let (proxy, headers) = (around.proxy.clone()?, reqwest::header::HeaderMap::new());
            let client = http::client(headers, settings.timeout.0, ca_file.as_deref(), proxy, REQUESTS_MAX)?;
            Ok((encoding, client, tokens))
        });
        let (encoding, client, tokens) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        let url = format!(
            "{}/dataCollectionRules/{}/streams/{}?api-version={API_VERSION}",
            settings.endpoint.as_str().trim_end_matches('/'),
            settings.rule,
            settings.stream
        );
        let way = Way::of(format!("sink `{name}` ({})", settings.target()));
        Ok(Self { name: name.to_owned(), settings, encoding, client, tokens, url, way })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn super::KeepTickets) -> Report {
        let columns = RecordColumns::of(batch, self.settings.format);
        let rows = Formatted::new(&self.encoding, batch).await;
        let rows = rows.rewritten(|event, buffer| columns.write_row(event, buffer)).await;
        let limits = Limits {
            // The list's brackets are two bytes, and the last row has no comma.
            part_bytes_max: bytes(self.settings.batch_size).saturating_sub(1),
            part_events_max: ROWS_MAX,
            requests_max: REQUESTS_MAX,
            failures_max: 1,
        };
        batch::deliver_to_one(rows, limits, (&self.way, tickets), async |part| self.send(&part).await).await
    }

    /// Sends the rows of `part` in one request.
    async fn send(&self, part: &Part) -> Sent {
        let response = match self.post(http::json_list(&part.bytes()), part.len()).await {
            Ok(response) => response,
            Err(trouble) => return Sent::Retry(Some(trouble)),
        };
        let said = words(&response);
        match response.status {
            204 => Sent::Delivered,
            413 => Sent::TooLarge(format!("Azure Monitor takes no request of this size ({said})")),
            // Nothing of a request that is refused so was taken: the search for the row that is meant doubles nothing.
            400 if !is_about_the_way(&response) => {
                Sent::Invalid { reason: format!("Azure Monitor refuses it ({said})"), suspect: None }
            }
            _ => Sent::Retry(Some(self.refusal(&response))),
        }
    }

    /// One request with this many rows. A token that is refused is replaced once.
    async fn post(&self, body: Bytes, rows: usize) -> Result<Response, Trouble> {
        let BearerTokens { source, resource } = &self.tokens;
        let packed = match self.settings.gzip {
            true => http::gzip(body.clone()).await.map_err(|error| self.trouble(&error, None))?,
            false => body.clone(),
        };
        // What does not become smaller goes as it is: the service measures both.
        let is_packed = packed.len() < body.len();
        let body = if is_packed { packed } else { body };
        let mut is_second = false;
        loop {
            let token = source.token(resource).await.map_err(|no_token| {
                let reason = format!("no token of app `{}`: {}", self.settings.app, no_token.reason);
                self.trouble(&reason, no_token.retry_after)
            })?;
            let mut request = self
                .client
                .request(Method::POST, &self.url)
                .header(CONTENT_TYPE, "application/json")
                .bearer_auth(token.expose())
                .body(body.clone());
            if is_packed {
                request = request.header(CONTENT_ENCODING, "gzip");
            }
            let response = self.client.send(request).await.map_err(|error| self.unanswered(&error, rows))?;
            if response.status == 401 {
                source.refused(resource, &token).await;
                if !std::mem::replace(&mut is_second, true) {
                    continue;
                }
            }
            return Ok(response);
        }
    }

    /// Why there is no answer, and what that means for the rows.
    fn unanswered(&self, error: &TransportError, rows: usize) -> Trouble {
        let reason = http::no_answer(error, self.settings.timeout.0, WORDS);
        let is_unsent = matches!(error, TransportError::Connect { .. } | TransportError::Redirect { .. });
        if is_unsent || rows == 0 {
            return self.trouble(&reason, None);
        }
        let doubts = format!(
            "{reason}; its {rows} row(s) may be there all the same, and are there twice then when they are sent again"
        );
        self.trouble(&doubts, None)
    }

    /// Why a request was refused as a whole, and what to do about it.
    fn refusal(&self, response: &Response) -> Trouble {
        let said = words(response);
        let SentinelSettings { app, rule, stream, .. } = &self.settings;
        let reason = match response.status {
            401 => format!(
                "it does not take the token of app `{app}` ({said}): check that the sink's `tenant` is the one that the rule's \
                 subscription trusts"
            ),
            403 => format!(
                "app `{app}` may not write by rule `{rule}` ({said}): give it the role `Monitoring Metrics Publisher` on the data \
                 collection rule; it takes up to 30 minutes until Azure goes by it. Tried again meanwhile, by itself"
            ),
            404 => format!(
                "there is no rule `{rule}` with a stream `{stream}` at this endpoint ({said}): check the sink's endpoint, rule \
                 (the immutable id, dcr-…) and stream, and that the rule is in the endpoint's region"
            ),
            400 => {
                format!("it does not take the request ({said}): check the sink's endpoint, rule and stream")
            }
            408 | 429 | 500..=599 => {
                format!("Azure Monitor is busy or down ({said}); tried again later, by itself")
            }
            200..=299 => format!(
                "it answers, but not with 204 as the Logs Ingestion API does ({said}), so nothing counts as delivered: check the \
                 sink's endpoint, and what stands between here and Azure"
            ),
            _ => format!("the request was refused ({said})"),
        };
        self.trouble(&reason, http::asked_wait(response))
    }

    fn trouble(&self, reason: &str, after: Option<Duration>) -> Trouble {
        Trouble { reason: format!("sink `{}` ({}): {reason}", self.name, self.settings.target()), after }
    }

    /// Gets a token, and sends an empty list: whether endpoint, rule, stream and role are right, without a row.
    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        let response = self.post(Bytes::from_static(b"[]"), 0).await.map_err(unusable)?;
        let SentinelSettings { app, rule, stream, .. } = &self.settings;
        let found = format!("{} takes the token of app `{app}`", self.settings.target());
        match response.status {
            204 => Ok(format!("{found} for stream `{stream}` of rule `{rule}`; an empty list was sent")),
            400 if !is_about_the_way(&response) => Ok(format!(
                "{found} for rule `{rule}`; it takes no empty list ({}), so whether stream `{stream}` takes rows shows with the first",
                words(&response)
            )),
            _ => Err(unusable(self.refusal(&response))),
        }
    }
}

#[derive(Deserialize)]
struct Refused {
    error: RefusedError,
}

#[derive(Deserialize)]
struct RefusedError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn refused(response: &Response) -> Option<RefusedError> {
    serde_json::from_slice::<Refused>(&response.body).ok().map(|refused| refused.error)
}

/// Whether a refusal is about where rows are sent, not about a row.
fn is_about_the_way(response: &Response) -> bool {
    let code = refused(response).map(|error| error.code.to_ascii_lowercase()).unwrap_or_default();
    ["stream", "rule", "dcr", "version", "endpoint", "auth"].iter().any(|word| code.contains(word))
}

/// What it said, short and safe to print.
fn words(response: &Response) -> String {
    let status = response.status;
    match refused(response) {
        Some(RefusedError { code, message }) => {
            let said: String = format!("{code}: {message}").chars().take(300).collect();
            format!("HTTP {status}, {}", shown(&said))
        }
        None => http::words(status, &response.body),
    }
}

#[cfg(test)]
mod tests;
