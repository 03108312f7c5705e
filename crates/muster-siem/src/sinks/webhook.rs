//! A webhook: each record, or a batch of them, posted to an address of the operator's.
//!
//! Delivered is what a 2xx has answered for. Signed as Standard Webhooks says: `webhook-id` is made from what the records are known
//! by, so that what is sent again has the id that it had, and a receiver that remembers ids takes it once; nothing else tells
//! a repetition.
//!
//! The address itself is a secret with many receivers: only its origin is shown.
//!
//! An address that somebody typed may lead into the own network. So only public addresses are connected to, judged by the
//! address that a connection goes to, and no redirect is followed.
//!
//! Source: Standard Webhooks, "Specification".

mod address;
mod hook;
mod message;
mod settings;
mod signature;

use std::time::Duration;

use muster_http::Response;
use muster_model::{DeliveryBatch, Report, Trouble};

pub use self::address::HookUrl;
pub use self::hook::{Hook, HookSettings};
pub use self::settings::{BatchAs, WebhookSettings};

use self::message::Messages;
use super::batch::{self, Formatted, Limits, Part, Sent, Way};
use super::error::SinkError;
use super::http;
use super::settings::{Settings, Surroundings, bytes};
use crate::formats::{BodyTemplate, Encoding};

/// Requests of one delivery batch that are on their way at once.
const REQUESTS_MAX: usize = 8;
/// Events of one request.
const EVENTS_MAX: usize = 1_000;
/// A receiver that wants no more is asked again after so long.
const GONE_WAIT: Duration = Duration::from_secs(3600);

/// A webhook's receiver.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    settings: WebhookSettings,
    encoding: Encoding,
    /// The body of each record, where it is not the format's event.
    body: Option<BodyTemplate>,
    hook: Hook,
    way: Way,
}

impl Webhook {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        name: &str,
        settings: WebhookSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().into_iter().next() {
                return Err(mistake);
            }
            let body = settings.body.as_deref().map(BodyTemplate::compile).transpose();
            let body = body.map_err(|why| format!("body: {why}"))?;
            Ok((encoding, body, Hook::build(&settings.hook(), around, REQUESTS_MAX)?))
        });
        let (encoding, body, hook) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        let way = Way::of(format!("sink `{name}` ({})", settings.target()));
        Ok(Self { name: name.to_owned(), settings, encoding, body, hook, way })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn super::KeepTickets) -> Report {
        let messages = Messages::of(batch, &self.settings);
        let formatted = match &self.body {
            None => Formatted::new(&self.encoding, batch).await,
            Some(body) => {
                Formatted::of(batch, |kind, record, events| {
                    events.push_record(kind, record, &body.write(kind, record, batch.tenant)?);
                    Ok(())
                })
                .await
            }
        };
        // So that a message has the id that it had when it comes again beside others.
        let formatted = formatted.cut_at_deliveries(batch);
        let formatted = formatted.rewritten(|event, buffer| messages.write(event, buffer)).await;
        let limits = Limits {
            // A list's brackets.
            part_bytes_max: bytes(self.settings.batch_size).saturating_sub(2),
            part_events_max: if self.settings.batch == BatchAs::Off { 1 } else { EVENTS_MAX },
            requests_max: REQUESTS_MAX,
            failures_max: 1,
        };
        let messages = &messages;
        batch::deliver_to_one(formatted, limits, (&self.way, tickets), async |part| {
            self.send(&part, messages).await
        })
        .await
    }

    /// Sends the events of `part` in one request.
    async fn send(&self, part: &Part, messages: &Messages) -> Sent {
        let (id, body) = (messages.id_of(part), messages.body_of(part));
        let response = match self.hook.post(None, &id, self.settings.content_type(), body).await {
            Ok(response) => response,
            Err(reason) => return Sent::Retry(Some(self.trouble(&reason, None))),
        };
        let said = self.hook.words(&response);
        match response.status {
            200..=299 => Sent::Delivered,
            413 => Sent::TooLarge(format!("the receiver takes no request of this size ({said})")),
            400 | 422 => Sent::Invalid { reason: format!("the receiver refuses it ({said})"), suspect: None },
            _ if http::is_doubtful(&response) => Sent::Doubtful(self.refusal(&response)),
            _ => Sent::Retry(Some(self.refusal(&response))),
        }
    }

    /// Why a request was refused as a whole, and what to do about it.
    fn refusal(&self, response: &Response) -> Trouble {
        let said = self.hook.words(response);
        let (reason, wait) = match response.status {
            410 => (
                format!(
                    "the receiver wants no more ({said}): everything stays owed and is offered again every hour; take the sink out \
                     of the settings and its routes, or ask whoever runs the receiver"
                ),
                Some(GONE_WAIT),
            ),
            401 | 403 => (
                format!(
                    "the receiver does not let it in ({said}): check the sink's headers, its signing_secrets, and the clock of \
                     this machine, which a signature depends on; where it takes other records, a firewall before it may refuse this one"
                ),
                None,
            ),
            404 | 405 => {
                (format!("there is no webhook at this address ({said}): check the sink's url"), None)
            }
            415 => {
                (format!("the receiver does not take the type of the body ({said}): set content_type"), None)
            }
            500 => (format!("the receiver fails at it ({said}); tried again later, by itself"), None),
            408 | 425 | 429 | 501..=599 => {
                (format!("the receiver is busy or down ({said}); tried again later, by itself"), None)
            }
            _ => (format!("the request was refused ({said})"), None),
        };
        self.trouble(&reason, http::asked_wait(response).or(wait))
    }

    fn trouble(&self, reason: &str, after: Option<Duration>) -> Trouble {
        Trouble { reason: format!("sink `{}` ({}): {reason}", self.name, self.settings.target()), after }
    }

    /// Connects and asks with `HEAD`, which posts nothing: whether somebody is there. Whether a record would be taken, no
    /// webhook tells without one.
    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        let looked = self.hook.look().await;
        let response = looked.map_err(|reason| unusable(self.trouble(&reason, None)))?;
        let target = self.settings.target();
        match response.status {
            401 | 403 | 410 | 429 | 500 | 502..=504 => Err(unusable(self.refusal(&response))),
            // Most webhooks know only POST, and say so in one of several ways.
            status => Ok(format!(
                "{target} answers (HTTP {status} to HEAD); whether it takes records shows with the first, since a webhook cannot be asked"
            )),
        }
    }
}

#[cfg(test)]
mod tests;
