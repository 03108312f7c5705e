//! The way to the collector: one request, its answer, and what a refusal means.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use muster_http::{Client, Response};
use muster_model::Trouble;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use uuid::Uuid;

use crate::sinks::error::shown;
use crate::sinks::http::{self, ReceiverWords};

const WORDS: ReceiverWords =
    ReceiverWords { product: "Splunk", service: "Splunk HEC", place: "the collector" };

/// A collector.
#[derive(Debug)]
pub(super) struct Collector {
    /// The sink's name, for messages.
    pub(super) sink: String,
    pub(super) client: Client,
    /// The address without a path of the collector, for messages and for joining.
    pub(super) base: String,
    /// How long each request may take.
    pub(super) timeout: Duration,
}

impl Collector {
    /// One request to the collector and its whole answer. An error is one of the way there.
    pub(super) async fn call(
        &self,
        method: Method,
        endpoint: &str,
        channel: Uuid,
        body: Option<Bytes>,
        gzip: bool,
    ) -> Result<Reply, Trouble> {
        let query = if endpoint == "ack" { format!("?channel={channel}") } else { String::new() };
        let mut request = self
            .client
            .request(method, &format!("{}/services/collector/{endpoint}{query}", self.base))
            .header("X-Splunk-Request-Channel", channel.to_string());
        if gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        match self.client.send(request).await {
            Ok(response) => Ok(Reply::read(response)),
            Err(error) => Err(self.trouble(http::no_answer(&error, self.timeout, WORDS), None)),
        }
    }

    /// Why a request was refused as a whole, and what to do about it.
    pub(super) fn refusal(&self, reply: &Reply) -> Trouble {
        let words = reply.words();
        let code = reply.said.as_ref().and_then(|said| said.code);
        let reason = match (reply.status.as_u16(), code) {
            (_, Some(1)) => {
                format!("the token is disabled ({words}): enable it in Splunk, Settings > Data inputs")
            }
            (401 | 403, Some(2..=4)) | (401, _) | (403, _) => {
                format!("the token is not taken ({words}): check the sink's token against Splunk's")
            }
            (400, Some(7)) => format!(
                "the index is not one that the token may write to ({words}): create it, or allow it in the token"
            ),
            (400, Some(10 | 11)) => format!("the data channel is not taken ({words})"),
            (404 | 405, _) => {
                format!(
                    "there is no event collector at this address ({words}): check the sink's url and its port"
                )
            }
            (408 | 429 | 500..=599, _) => {
                format!("Splunk is busy or down ({words}); tried again later, by itself")
            }
            (200..=299, _) => format!(
                "it answers, but not like Splunk HEC ({words}): check that the sink's url is the collector's own, \
                 not a login page or another service"
            ),
            _ => format!("the request was refused ({words})"),
        };
        self.trouble(reason, reply.retry_after)
    }

    pub(super) fn trouble(&self, reason: String, after: Option<Duration>) -> Trouble {
        Trouble { reason: format!("sink `{}` ({}): {reason}", self.sink, self.base), after }
    }
}

/// A collector's answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) said: Option<Said>,
    text: Vec<u8>,
}

impl Reply {
    fn read(response: Response) -> Self {
        Self {
            status: StatusCode::from_u16(response.status).expect("what came as a status is one"),
            retry_after: http::asked_wait(&response),
            said: serde_json::from_slice(&response.body).ok(),
            text: response.body,
        }
    }

    /// What it said, short and safe to print.
    pub(super) fn words(&self) -> String {
        let status = self.status.as_u16();
        match &self.said {
            Some(Said { code: Some(code), text, .. }) => {
                format!("{}, code {code}, HTTP {status}", shown(text.as_deref().unwrap_or("no text")))
            }
            _ if self.text.trim_ascii().is_empty() => format!("HTTP {status}"),
            _ => format!("HTTP {status}: {}", http::beginning(&self.text)),
        }
    }
}

/// What a collector says in JSON.
#[derive(Deserialize)]
pub(super) struct Said {
    pub(super) text: Option<String>,
    pub(super) code: Option<i64>,
    #[serde(rename = "ackId")]
    pub(super) ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    pub(super) number: Option<i64>,
    pub(super) acks: Option<BTreeMap<String, bool>>,
}
