//! Splunk's HTTP Event Collector (HEC).
//!
//! A delivery batch is formatted once into one buffer; request bodies are slices of it. Where the collector answers with
//! an `ackId` (indexer acknowledgement), a record is delivered when the indexer says so. Where it does not, a 200
//! with code 0 is all that Splunk offers: the event is in the collector's queue, and a crash of Splunk at that moment
//! loses it. `Acknowledge::Required` insists on the former.
//!
//! What is not guaranteed: HEC cannot tell a repetition. A request whose answer was lost is sent again, and Splunk
//! then has its events twice.
//!
//! When Splunk refuses one event of a request it has, by common report, indexed those before it; but it says so
//! nowhere, its `invalid-event-number` counts from 0 for some errors and from 1 for others, and no acknowledgement
//! comes with a refusal. So the number is only a hint: the suspect is sent alone and becomes a dead letter if it is
//! refused alone, the events around it are sent again. That may double the events of one request, and it can neither
//! lose an event nor bury a good one.

mod acknowledgement;
mod collector;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use muster_http::Client;
use muster_model::{ByteSize, DeliveryBatch, Report, Secret, SecretReference, Span, Trouble};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Deserializer};
use url::Url;

use self::acknowledgement::{AckBoard, Ticket};
use self::collector::{Collector, Said};
use super::batch::{self, Formatted, Limits, Part, RequestPermit, Sent};
use super::error::SinkError;
use super::http;
use super::settings::{EncodingKeys, Settings, Surroundings, bytes, http_url, seconds, word};
use crate::formats::{
    BigEvents, Encoding, Format, IndexTemplate, MappingOptions, Sourcetypes, SplunkOptions, Template,
};

/// Requests of one delivery batch that are on their way at once.
const REQUESTS_MAX: usize = 4;

/// `type = "splunk_hec"`: Splunk's HTTP Event Collector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplunkHecSettings {
    /// Where the collector is, such as `https://splunk.example:8088`.
    #[serde(deserialize_with = "url")]
    pub url: Url,
    /// Its token.
    pub token: SecretReference,
    /// The index; `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ tenant.name }}` may stand in it, as in `host` and
    /// `source`.
    #[serde(default)]
    pub index: Option<IndexTemplate>,
    /// The host of the events.
    #[serde(default)]
    pub host: Option<Template>,
    /// The source of the events.
    #[serde(default)]
    pub source: Option<Template>,
    /// `[sinks.NAME.sourcetypes]`
    #[serde(default)]
    pub sourcetypes: Sourcetypes,
    /// Write the fields of the data models Alerts and Malware into the index.
    #[serde(default)]
    pub cim_fields: bool,
    /// `[sinks.NAME.mapping]`: fields dropped, renamed, set and added.
    #[serde(default)]
    pub mapping: MappingOptions,
    /// The longest event.
    #[serde(default)]
    pub event_size_max: Option<ByteSize>,
    /// What is done with longer ones: `split`, `drop` or `refer`.
    #[serde(default)]
    pub big_events: BigEvents,
    /// The fields that `big_events = "drop"` leaves out, in this order.
    #[serde(default)]
    pub big_drop: Vec<String>,
    /// Whether bodies are compressed: for slow links, it costs more processor time than all else.
    #[serde(default)]
    pub gzip: bool,
    /// Indexer acknowledgement: `auto`, `required` or `off`.
    #[serde(default, deserialize_with = "acknowledge")]
    pub acknowledge: Acknowledge,
    /// How long an acknowledgement is waited for.
    #[serde(default = "five_minutes")]
    pub ack_timeout: Span,
    /// How long each request may take.
    #[serde(default = "minute")]
    pub timeout: Span,
    /// The largest request body; an event that is bigger goes alone.
    #[serde(default = "one_mebibyte")]
    pub batch_size: ByteSize,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Delivery batches under way at the same time.
    #[serde(default = "four")]
    pub concurrency: u32,
}

/// Whether indexer acknowledgement is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// Where the collector offers it.
    #[default]
    Auto,
    /// Nothing is sent to a collector that does not offer it.
    Required,
    /// Never: an accepted request counts.
    Off,
}

impl Settings for SplunkHecSettings {
    fn target(&self) -> String {
        self.url.to_string()
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let format = Format::Splunk(SplunkOptions {
            index: self.index.clone(),
            host: self.host.clone(),
            source: self.source.clone(),
            sourcetypes: self.sourcetypes.clone(),
            cim_fields: self.cim_fields,
        });
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (event_size_max, big_events) = (*event_size_max, *big_events);
        EncodingKeys { format, mapping, event_size_max, big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        vec![("token", &self.token)]
    }
}

/// A Splunk HTTP Event Collector.
#[derive(Debug)]
pub struct SplunkHec {
    settings: SplunkHecSettings,
    encoding: Encoding,
    collector: Collector,
    board: AckBoard,
    /// Whether the collector has shown that it acknowledges, for `Acknowledge::Required`.
    acknowledges: AtomicBool,
}

impl SplunkHec {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        sink: &str,
        settings: SplunkHecSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            let token = (around.secret)(&settings.token)?;
            Ok((encoding, client(&settings, &token, around)?, base(&settings.url)?))
        });
        let (encoding, client, base) =
            made.map_err(|problem| SinkError::Settings { sink: sink.to_owned(), problem })?;
        let collector = Collector { sink: sink.to_owned(), client, base, timeout: settings.timeout.0 };
        let (board, acknowledges) = (AckBoard::default(), AtomicBool::new(false));
        Ok(Self { settings, encoding, collector, board, acknowledges })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let formatted = Formatted::new(&self.encoding, batch).await;
        if self.settings.acknowledge == Acknowledge::Required
            && !formatted.is_empty()
            && !self.acknowledges.load(Ordering::Relaxed)
            && let Err(trouble) = self.insist_on_acknowledgement().await
        {
            return formatted.keep_owed(trouble);
        }
        let limits = Limits {
            part_bytes_max: bytes(self.settings.batch_size),
            part_events_max: usize::MAX,
            requests_max: REQUESTS_MAX,
        };
        batch::deliver(formatted, limits, |part, permit| self.send(part, permit)).await
    }

    /// Sends the events of `part` in one request and waits for what the collector has to say about it.
    async fn send(&self, part: Part, permit: RequestPermit) -> Sent {
        let posted = self.post(part.bytes()).await;
        drop(permit);
        match posted {
            Posted::Accepted => Sent::Delivered,
            Posted::Acknowledging(ticket) => {
                let acknowledged =
                    self.board.acknowledged(ticket, &self.collector, self.settings.ack_timeout.0).await;
                match acknowledged {
                    Ok(()) => Sent::Delivered,
                    Err(trouble) => Sent::Retry(Some(trouble)),
                }
            }
            Posted::Refused(sent) => sent,
        }
    }

    async fn post(&self, body: Bytes) -> Posted<'_> {
        let channel = self.board.channel();
        let gzip = self.settings.gzip;
        let body = match gzip {
            true => http::gzip(body).await,
            false => Ok(body),
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Posted::Refused(Sent::Retry(Some(self.collector.trouble(error, None)))),
        };
        let reply = match self.collector.call(Method::POST, "event", channel, Some(body), gzip).await {
            Ok(reply) => reply,
            Err(trouble) => {
                self.board.change_channel(channel);
                return Posted::Refused(Sent::Retry(Some(trouble)));
            }
        };
        if reply.status.is_server_error() {
            self.board.change_channel(channel);
        }
        match (reply.status, reply.said.as_ref()) {
            (StatusCode::OK, Some(Said { code: Some(0), ack_id, .. })) => {
                match (self.settings.acknowledge, ack_id) {
                    (Acknowledge::Off, _) | (Acknowledge::Auto, None) => Posted::Accepted,
                    (_, Some(id)) => Posted::Acknowledging(self.board.register(channel, *id)),
                    (Acknowledge::Required, None) => {
                        self.acknowledges.store(false, Ordering::Relaxed);
                        Posted::Refused(Sent::Retry(Some(
                            self.collector.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None),
                        )))
                    }
                }
            }
            (StatusCode::PAYLOAD_TOO_LARGE, _) => Posted::Refused(Sent::TooLarge(format!(
                "Splunk takes no event of this size ({}); raise max_content_length in its limits.conf",
                reply.words()
            ))),
            // Data format, event field missing, event field blank, indexed fields.
            (StatusCode::BAD_REQUEST, Some(Said { code: Some(6 | 12 | 13 | 15), number, .. })) => {
                Posted::Refused(Sent::Invalid {
                    reason: format!("Splunk refuses the event: {}", reply.words()),
                    suspect: number.and_then(|number| usize::try_from(number).ok()),
                })
            }
            _ => Posted::Refused(Sent::Retry(Some(self.collector.refusal(&reply)))),
        }
    }

    /// Asks, before anything is sent, whether the collector acknowledges.
    async fn insist_on_acknowledgement(&self) -> Result<(), Trouble> {
        if acknowledgement::offered_by(&self.collector).await? {
            self.acknowledges.store(true, Ordering::Relaxed);
            Ok(())
        } else {
            Err(self.collector.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None))
        }
    }

    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let collector = &self.collector;
        let unusable = |trouble: Trouble| SinkError::unusable(&collector.sink, &trouble);
        let channel = self.board.channel();
        let health = collector.call(Method::GET, "health", channel, None, false).await.map_err(unusable)?;
        if health.status != StatusCode::OK || health.said.as_ref().and_then(|said| said.code) != Some(17) {
            return Err(unusable(collector.refusal(&health)));
        }
        // A request without an event is refused for just that when the token is good, and leaves nothing behind.
        let empty = collector.call(Method::POST, "event", channel, Some(Bytes::new()), false).await;
        let empty = empty.map_err(unusable)?;
        if empty.said.as_ref().and_then(|said| said.code) != Some(5) {
            return Err(unusable(collector.refusal(&empty)));
        }
        let acknowledges = acknowledgement::offered_by(collector).await.map_err(unusable)?;
        let how = match (self.settings.acknowledge, acknowledges) {
            (Acknowledge::Off, _) => "acknowledgement is switched off in the settings",
            (_, true) => "it acknowledges what was indexed",
            (Acknowledge::Auto, false) => "it does not acknowledge: what it accepts counts as delivered",
            (Acknowledge::Required, false) => {
                return Err(unusable(collector.trouble(NO_ACKNOWLEDGEMENT.to_owned(), None)));
            }
        };
        Ok(format!("Splunk HEC at {} is healthy and takes the token; {how}", collector.base))
    }
}

const NO_ACKNOWLEDGEMENT: &str = "the token does not acknowledge what was indexed, and the settings require it: enable \
     indexer acknowledgement for the token in Splunk, or set acknowledge to auto";

enum Posted<'a> {
    Accepted,
    Acknowledging(Ticket<'a>),
    Refused(Sent),
}

fn client(
    settings: &SplunkHecSettings,
    token: &Secret<String>,
    around: &Surroundings<'_>,
) -> Result<Client, String> {
    let mut authorization = HeaderValue::from_str(&format!("Splunk {}", token.expose()))
        .ok()
        .filter(|_| !token.expose().is_empty() && !token.expose().contains(char::is_whitespace))
        .ok_or("its token is empty or holds a character that no token has, such as a space or a line end")?;
    authorization.set_sensitive(true);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization)]);
    let ca_file = around.path(settings.ca_file.as_ref());
    http::client(headers, settings.timeout.0, ca_file.as_deref(), around.proxy.clone()?, REQUESTS_MAX)
}

/// The address without the collector's own path, which may be typed or not.
fn base(url: &Url) -> Result<String, String> {
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("its url must be like https://splunk.example:8088".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its url must hold no user or password: the token is a setting of its own".to_owned());
    }
    let mut base = url.clone();
    base.set_query(None);
    base.set_fragment(None);
    let base = base.as_str().trim_end_matches('/');
    Ok(base.split_once("/services/collector").map_or(base, |(base, _)| base).to_owned())
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    http_url(deserializer, "https://splunk.example:8088")
}

fn acknowledge<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Acknowledge, D::Error> {
    let words = [("auto", Acknowledge::Auto), ("required", Acknowledge::Required), ("off", Acknowledge::Off)];
    word(deserializer, "a way to acknowledge", &words)
}

fn five_minutes() -> Span {
    seconds(300)
}

fn minute() -> Span {
    seconds(60)
}

fn one_mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

fn four() -> u32 {
    4
}

#[cfg(test)]
mod tests;
