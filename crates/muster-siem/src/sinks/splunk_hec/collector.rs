//! The way to the collector: one request, its answer, and what a refusal means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_http::{Client, Response, TransportError};
use muster_model::{Secret, Slug, TenantId, Trouble};
use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue,
};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use uuid::Uuid;

use super::tokens::Token;
use crate::sinks::error::shown;
use crate::sinks::http::{self, ReceiverWords};

const WORDS: ReceiverWords =
    ReceiverWords { product: "Splunk", service: "Splunk HEC", place: "the collector" };

/// A collector.
#[derive(Debug)]
pub(super) struct Collector {
    /// The sink's name, for messages.
    pub(super) sink: String,
    /// Makes the clients of lines, and asks what belongs to none.
    pub(super) client: Client,
    /// The address without a path of the collector, for messages and for joining.
    pub(super) base: String,
    /// How long each request may take.
    pub(super) timeout: Duration,
}

/// For whom something is sent or asked.
#[derive(Debug)]
pub(super) struct Whose {
    /// `None` while the way is only tried.
    pub(super) tenant: Option<(TenantId, Slug)>,
    pub(super) token: Arc<Token>,
    /// Whether the token is this tenant's own.
    pub(super) is_own: bool,
    /// The index that its events go to, where the settings say one.
    pub(super) index: Option<String>,
}

impl Whose {
    pub(super) fn tenant_id(&self) -> Option<TenantId> {
        self.tenant.as_ref().map(|(id, _)| *id)
    }

    /// Whose token it is, as it stands behind it.
    pub(super) fn of_tenant(&self) -> String {
        let own = self.tenant.as_ref().filter(|_| self.is_own);
        own.map(|(_, slug)| format!(" of tenant {slug}")).unwrap_or_default()
    }

    /// Which index it is, as it stands behind it.
    fn index(&self) -> String {
        let index = self.index.as_ref().zip(self.tenant.as_ref());
        index.map(|(index, (_, slug))| format!(" `{}` of tenant {slug}", shown(index))).unwrap_or_default()
    }
}

/// A request to a collector.
pub(super) struct Call<'a> {
    /// `None` where none is needed.
    pub(super) token: Option<&'a Token>,
    pub(super) endpoint: &'static str,
    pub(super) channel: Uuid,
    pub(super) body: Option<Bytes>,
    pub(super) gzip: bool,
    /// What a balancer wants to see again.
    pub(super) cookies: Option<&'a Secret<String>>,
}

/// Why a call brought no answer.
pub(super) struct NoAnswer {
    pub(super) trouble: Trouble,
    /// Whether it is certain that nothing was sent.
    pub(super) was_not_sent: bool,
    /// Whether the time was over.
    pub(super) is_silence: bool,
}

impl Collector {
    /// One request to the collector over `client`, and its whole answer. An error is one of the way there.
    pub(super) async fn call(&self, client: &Client, call: Call<'_>) -> Result<Reply, NoAnswer> {
        let Call { token, endpoint, channel, body, gzip, cookies } = call;
        let query = if endpoint == "ack" { format!("?channel={channel}") } else { String::new() };
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = client
            .request(method, &format!("{}/services/collector/{endpoint}{query}", self.base))
            .header("X-Splunk-Request-Channel", channel.to_string());
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.header.clone());
        }
        if let Some(mut cookies) = cookies.and_then(|cookies| HeaderValue::from_str(cookies.expose()).ok()) {
            cookies.set_sensitive(true);
            request = request.header(COOKIE, cookies);
        }
        if gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        client.send(request).await.map(Reply::read).map_err(|error| NoAnswer {
            was_not_sent: matches!(error, TransportError::Connect { .. }),
            is_silence: matches!(error, TransportError::Timeout { .. }),
            trouble: self.trouble(http::no_answer(&error, self.timeout, WORDS), None),
        })
    }

    /// Whether it is well, by its own words.
    pub(super) async fn health(&self) -> Result<Reply, NoAnswer> {
        let channel = Uuid::new_v4();
        let call = Call { token: None, endpoint: "health", channel, body: None, gzip: false, cookies: None };
        self.call(&self.client, call).await
    }

    /// Why a request was refused as a whole, and what to do about it.
    pub(super) fn refusal(&self, reply: &Reply, whose: Option<&Whose>) -> Trouble {
        let of_tenant = whose.map(Whose::of_tenant).unwrap_or_default();
        let named = whose.map(Whose::index).unwrap_or_default();
        let words = reply.words();
        let code = reply.said.as_ref().and_then(|said| said.code);
        let reason = match (reply.status.as_u16(), code) {
            (_, Some(1)) => {
                format!(
                    "the token{of_tenant} is disabled ({words}): enable it in Splunk, Settings > Data inputs"
                )
            }
            (401 | 403, Some(2..=4)) | (401, _) | (403, _) => {
                format!(
                    "the token{of_tenant} is not taken ({words}): check the sink's token against Splunk's"
                )
            }
            (400, Some(7)) => format!(
                "the index{named} is not one that the token may write to ({words}): create it, or allow it in the token"
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
    pub(super) headers: HeaderMap,
    text: Vec<u8>,
}

impl Reply {
    fn read(response: Response) -> Self {
        Self {
            status: StatusCode::from_u16(response.status).expect("what came as a status is one"),
            retry_after: http::asked_wait(&response),
            said: serde_json::from_slice(&response.body).ok(),
            headers: response.headers,
            text: response.body,
        }
    }

    /// Whether the collector closes the connection after this answer.
    pub(super) fn closes(&self) -> bool {
        let connection =
            self.headers.get(CONNECTION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        connection.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"))
    }

    /// Whether it is the token that is refused.
    pub(super) fn refuses_the_token(&self) -> bool {
        matches!((self.status.as_u16(), self.code()), (401 | 403, Some(1..=4)) | (401, None))
    }

    /// The code of HEC that it says, where it says one.
    pub(super) fn code(&self) -> Option<i64> {
        self.said.as_ref().and_then(|said| said.code)
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
