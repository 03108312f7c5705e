//! AMQP 0.9.1, as RabbitMQ speaks it, with publisher confirms: each event is a message of its own, persistent and
//! mandatory.
//!
//! Delivered is what the broker has confirmed and not returned: it confirms also what no queue takes, after it has sent
//! that back (`basic.return`), so a message that came back is not delivered, whatever is confirmed of it. The confirm
//! of a message that went into durable queues comes when they have it on disk, or in a quorum of their replicas;
//! whether queues are durable no publisher can see. Confirms come in any order, one for several, and one for what was
//! not sent yet counts for nothing.
//!
//! AMQP has no way to tell a repetition. What was published and not confirmed when a connection or the channel ended
//! stays owed, and may be there twice; every message has a `message_id` made from the sink's name and what its record
//! is known by, by which consumers can tell.
//!
//! A broker closes the channel over a message that is too large for it, with all that was published behind it. It is
//! looked for: by the lengths that the broker names, or else by publishing one at a time.
//!
//! Source: AMQP 0-9-1; RabbitMQ "Consumer Acknowledgements and Publisher Confirms", "Blocked Connections",
//! "Publishers".

mod connection;
mod frames;
mod settings;

use std::sync::Mutex;
use std::time::Duration;

use muster_model::{DeliveryBatch, Report, Trouble};
use tokio::time::Instant;

pub use self::settings::{AmqpSettings, Mechanism};

use self::connection::{Auth, Connection, Stopped, Verdict, refused};
use self::frames::Message;
use super::batch::{self, Answered, Fate, Formatted, Keeping, Limits, Part, RequestPermit, Sent, Way};
use super::error::{SinkError, shown};
use super::kept::Close as _;
use super::place::{PlaceTemplate, Places};
use super::record_ids::RecordIds;
use super::servers::{Converse as _, Servers};
use super::settings::{FormatName, Settings, Surroundings, bytes};
use super::wire::{Ended, Tls};
use crate::formats::Encoding;

/// What is published together of one delivery batch, each on a connection of its own, at once.
const REQUESTS_MAX: usize = 2;
/// Events that are published together.
const EVENTS_MAX: usize = 1_000;
/// For so long the broker is believed to take no longer messages than it has said once.
const SIZE_KNOWN_FOR: Duration = Duration::from_secs(600);
/// The longest record id that goes into a header.
const HEADER_BYTES_MAX: usize = 1_024;

/// A broker that speaks AMQP 0.9.1, such as RabbitMQ.
#[derive(Debug)]
pub struct Amqp {
    name: String,
    settings: AmqpSettings,
    encoding: Encoding,
    routing_key: PlaceTemplate,
    nodes: Servers<Connection>,
    way: Way,
    /// The longest message that the broker takes, where it has said so, and when.
    size_max: Mutex<Option<(usize, Instant)>>,
}

/// What goes with every message of a delivery batch.
struct Labels<'a> {
    ids: RecordIds,
    places: Places,
    tenant: &'a str,
    tenant_id: String,
    sources: Vec<&'static str>,
}

impl Amqp {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        name: &str,
        settings: AmqpSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().into_iter().next() {
                return Err(mistake);
            }
            let auth = match (&settings.user, &settings.password) {
                (Some(user), Some(password)) => {
                    let password = (around.secret)(password).map_err(|no_secret| no_secret.reason)?;
                    Auth::Plain { user: user.clone(), password }
                }
                _ => Auth::External,
            };
            let (certificate, key) = (settings.client_certificate.as_ref(), settings.client_key.as_ref());
            let tls = || Tls::new(settings.ca_file.as_ref(), certificate, key, around);
            let tls = settings.url.is_encrypted().then(tls);
            Ok((encoding, connection::Way { auth, tls: tls.transpose()? }))
        });
        let (encoding, connecting) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        let kept_max = REQUESTS_MAX * settings.concurrency() as usize;
        Ok(Self {
            way: Way::of(format!("sink `{name}` ({})", settings.url)),
            nodes: Servers::new(name, &settings.url, connecting, settings.timeout.0, kept_max),
            name: name.to_owned(),
            routing_key: settings.key(),
            settings,
            encoding,
            size_max: Mutex::new(None),
        })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn super::KeepTickets) -> Report {
        let labels = Labels {
            ids: RecordIds::of_sink(&self.name, batch),
            places: Places::of(&self.routing_key, batch),
            tenant: batch.tenant.slug.as_str(),
            tenant_id: batch.tenant.id.to_string(),
            sources: batch.records().map(|(source, _)| source.as_str()).collect(),
        };
        let formatted = Formatted::new(&self.encoding, batch).await;
        let limits = Limits {
            part_bytes_max: bytes(self.settings.batch_size),
            part_events_max: EVENTS_MAX,
            requests_max: REQUESTS_MAX,
            failures_max: 1,
        };
        let labels = &labels;
        batch::deliver(
            formatted,
            limits,
            (&self.way, Keeping { tickets, forget: &|_| {} }),
            async |part, permit| {
                // The nodes of a cluster are one place.
                Answered { sent: self.send(&part, permit, labels).await, by: vec![0] }
            },
        )
        .await
    }

    /// Publishes the events of `part` together.
    async fn send(&self, part: &Part, permit: RequestPermit, labels: &Labels<'_>) -> Sent {
        let _permit = permit;
        let ids = labels.ids.of_part(part);
        let headers: Vec<Vec<(&'static str, &str)>> = part
            .events()
            .map(|event| {
                let source = labels.sources.get(event.envelope.record).copied().unwrap_or_default();
                let mut headers =
                    vec![("tenant", labels.tenant), ("tenant_id", &*labels.tenant_id), ("source", source)];
                if event.id.len() <= HEADER_BYTES_MAX {
                    headers.push(("record_id", event.id));
                }
                headers
            })
            .collect();
        let content_type = match self.settings.format {
            FormatName::Cef | FormatName::Leef => "text/plain",
            FormatName::Raw | FormatName::Splunk | FormatName::Ecs | FormatName::Ocsf => "application/json",
        };
        let messages: Vec<Message<'_>> = part
            .events()
            .zip(ids.iter().zip(&headers))
            .map(|(event, (id, headers))| Message {
                exchange: &self.settings.exchange,
                routing_key: labels.places.of_record(event.envelope.record),
                id,
                content_type,
                source: labels.sources.get(event.envelope.record).copied().unwrap_or_default(),
                timestamp: event.envelope.time.and_then(|time| u64::try_from(time.as_second()).ok()),
                headers,
                body: event.bytes,
            })
            .collect();
        Sent::Each(self.publish(&messages).await)
    }

    /// Publishes messages, and says what became of each.
    async fn publish(&self, messages: &[Message<'_>]) -> Vec<Fate> {
        let until = Instant::now() + self.settings.timeout.0;
        let mut fates: Vec<Option<Fate>> = messages.iter().map(|_| None).collect();
        let mut is_one_by_one = false;
        let trouble = loop {
            if let Some(bytes_max) = self.size_max() {
                let too_large =
                    messages.iter().zip(&mut fates).filter(|(message, _)| message.body.len() > bytes_max);
                for (message, fate) in too_large {
                    fate.get_or_insert_with(|| Fate::Refused(too_large_words(message, Some(bytes_max), "")));
                }
            }
            let open: Vec<usize> = (0..messages.len()).filter(|place| fates[*place].is_none()).collect();
            let next = if is_one_by_one { open.get(..1).unwrap_or_default() } else { &open };
            if next.is_empty() {
                return fates.into_iter().flatten().collect();
            }
            let mut connection = match self.connection(until).await {
                Ok(connection) => connection,
                Err(trouble) => break trouble,
            };
            let node = connection.server().to_owned();
            let sent: Vec<Message<'_>> = next.iter().map(|place| messages[*place].clone()).collect();
            let (verdicts, done) = connection.publish(&sent, until).await;
            let is_nacked = verdicts.contains(&Verdict::NotTaken);
            for (place, verdict) in next.iter().zip(verdicts) {
                fates[*place] = self.fate(&node, &messages[*place], verdict);
            }
            let stopped = match done {
                // A quorum queue that was full goes on refusing what comes by the same channel, also when its limit was raised.
                Ok(()) if is_nacked => {
                    connection.close().await;
                    continue;
                }
                Ok(()) => {
                    self.nodes.keep(connection);
                    continue;
                }
                Err(stopped) => stopped,
            };
            connection.abandon(&stopped).await;
            let (code, text) = match stopped {
                Stopped::Channel { code, text } => (code, text),
                Stopped::Ended(ended) => {
                    break self.nodes.ended(&node, &ended);
                }
            };
            if !is_about_a_message(code, &text) {
                break self.nodes.trouble(&node, &refused(code, &text));
            }
            let left: Vec<usize> = next.iter().copied().filter(|place| fates[*place].is_none()).collect();
            let bytes_max = size_named(&text)
                .filter(|bytes_max| left.iter().any(|place| messages[*place].body.len() > *bytes_max));
            match (bytes_max, left.as_slice()) {
                (Some(bytes_max), _) => self.learn_size(bytes_max),
                (None, [alone]) => {
                    fates[*alone] = Some(Fate::Refused(too_large_words(&messages[*alone], None, &text)));
                }
                (None, _) => is_one_by_one = true,
            }
        };
        let unanswered = || Fate::Retry(trouble.clone());
        fates.into_iter().map(|fate| fate.unwrap_or_else(unanswered)).collect()
    }

    /// What became of a message, where the broker has said it.
    fn fate(&self, node: &str, message: &Message<'_>, verdict: Verdict) -> Option<Fate> {
        Some(match verdict {
            Verdict::Unknown => return None,
            Verdict::Confirmed => Fate::Delivered,
            Verdict::NotTaken => Fate::Retry(self.nodes.trouble(node, &format!(
                "a queue does not take `{}` (nack): it is full and refuses what is new (x-overflow), or the broker has lost it; \
                 let consumers take from it",
                shown(message.routing_key)
            ))),
            Verdict::Returned(words) => Fate::Retry(self.nodes.trouble(node, &format!(
                "no queue is bound to exchange `{}` for routing key `{}` ({words}): bind one (`muster siem-config amqp`), or check \
                 the sink's exchange and routing_key",
                shown(message.exchange),
                shown(message.routing_key)
            ))),
        })
    }

    fn size_max(&self) -> Option<usize> {
        let known = self.size_max.lock().expect("no panic while the lock is held");
        known.filter(|(_, since)| since.elapsed() < SIZE_KNOWN_FOR).map(|(bytes, _)| bytes)
    }

    fn learn_size(&self, bytes_max: usize) {
        *self.size_max.lock().expect("no panic while the lock is held") = Some((bytes_max, Instant::now()));
    }

    /// A connection by which can be published with confirms: one that is open, or a new one.
    async fn connection(&self, until: Instant) -> Result<Connection, Trouble> {
        if let Some(connection) = self.nodes.kept().await {
            return Ok(connection);
        }
        let mut connection = self.nodes.connect(until).await?;
        match connection.select_confirms(until).await {
            Ok(()) => Ok(connection),
            Err(ended) => Err(self.nodes.ended(connection.server(), &ended)),
        }
    }

    /// Looks for the exchange, or for the queue that is named, and publishes in a transaction that is taken back.
    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        let until = Instant::now() + self.settings.timeout.0;
        let mut connection = self.nodes.connect(until).await.map_err(unusable)?;
        let node = connection.server().to_owned();
        let failed = |ended: Ended| unusable(self.nodes.ended(&node, &ended));
        let (exchange, pattern) = (&self.settings.exchange, self.routing_key.pattern());
        let routing_key = pattern.replace('*', "muster-sink-test");
        let found = match exchange.as_str() {
            "" if pattern.contains('*') => {
                format!("whether there is a queue for each `{pattern}` is seen when records are sent")
            }
            "" => {
                connection.find_queue(&pattern, until).await.map_err(failed)?;
                format!("it has the queue `{pattern}`; let it be durable")
            }
            exchange => {
                connection.find_exchange(exchange, until).await.map_err(failed)?;
                format!(
                    "it has the exchange `{exchange}`; whether a durable queue is bound to it for `{pattern}` is seen when \
                     records are sent: those for which there is none stay owed"
                )
            }
        };
        let probe = Message {
            exchange,
            routing_key: &routing_key,
            id: "muster-sink-test",
            content_type: "application/json",
            source: "muster-sink-test",
            timestamp: None,
            headers: &[],
            body: b"{}",
        };
        connection.try_publish(&probe, until).await.map_err(failed)?;
        connection.close().await;
        let vhost = self.settings.vhost();
        Ok(format!("{node} takes the credentials for virtual host `{vhost}`, and messages; {found}"))
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.nodes.close().await;
    }
}

/// Whether a channel was closed over one of the messages: others would be taken.
fn is_about_a_message(code: u16, text: &str) -> bool {
    // 311 is content-too-large; RabbitMQ says 406 precondition-failed, and that for other things, too.
    code == 311 || code == 406 && text.to_ascii_lowercase().contains("size")
}

/// The longest message that the broker takes, where it says that one is longer: `message size 2000 is larger than
/// configured max size 1000`.
fn size_named(text: &str) -> Option<usize> {
    let (_, after) = text.rsplit_once("max size ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn too_large_words(message: &Message<'_>, bytes_max: Option<usize>, text: &str) -> String {
    let bytes = message.body.len();
    match bytes_max {
        Some(bytes_max) => format!(
            "the event has {bytes} bytes, and the broker takes {bytes_max} (max_message_size): set event_size_max, so that such \
             events are split, or raise max_message_size"
        ),
        None => format!("the broker refuses the event of {bytes} bytes ({})", shown(text)),
    }
}

#[cfg(test)]
mod tests;
