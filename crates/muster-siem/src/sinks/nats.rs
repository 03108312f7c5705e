//! NATS JetStream: each event is a message of its own, stored by one stream.
//!
//! Delivered is what that stream has answered for: a PubAck that names it and gives a number. The stream is named in
//! each message (`Nats-Expected-Stream`), so that no other one takes what has come to be its subject. An answer that
//! names no number, or another stream, or comes from a service that listens on the subject, counts for nothing.
//!
//! An event that comes again has the same `Nats-Msg-Id`, made from the sink's name and what its record is known by
//! (tenant, source, id, update time, content), and the stream knows it for as long as its `duplicate_window` is, two
//! minutes where nobody says otherwise. With `deduplicate = "subject"` that digest is the last name of its subject, and
//! a stream that keeps the first message of each subject has it once, for as long as it keeps it.
//!
//! What was published and not answered for stays owed: the connection is closed, with what was not sent of it, and
//! nothing is retried here.
//!
//! Source: NATS "JetStream, publishing to streams", "Streams", ADR-4 and the server's `errors.json`.

mod answer;
mod connection;
mod nkey;
mod protocol;
mod settings;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};

use muster_model::{DeliveryBatch, Report, Secret, SecretReference, Trouble};
use tokio::time::Instant;

pub use self::settings::{Deduplicate, NatsSettings};

use self::answer::{WRONG_LAST_SEQUENCE, fate, forbidden, nobody_listens};
use self::connection::{Answer, Auth, Connection};
use self::nkey::{Nkey, read_credentials};
use self::protocol::Publish;
use self::stream::{StreamConfig, StreamInfo};
use super::batch::{self, Answered, Fate, Formatted, Keeping, Limits, Part, RequestPermit, Sent, Way};
use super::error::{SinkError, shown};
use super::place::Places;
use super::record_ids::RecordIds;
use super::servers::{Converse as _, Servers};
use super::settings::{Settings, Surroundings, bytes};
use super::wire::{Ended, Tls};
use crate::formats::Encoding;

/// What is published together of one delivery batch, each on a connection of its own, at once.
const REQUESTS_MAX: usize = 2;
/// Events that are published together.
const EVENTS_MAX: usize = 1_000;

/// A stream of NATS JetStream.
#[derive(Debug)]
pub struct Nats {
    name: String,
    settings: NatsSettings,
    encoding: Encoding,
    servers: Servers<Connection>,
    way: Way,
    /// Whether it was told already what is odd about the stream.
    has_warned: AtomicBool,
}

impl Nats {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        name: &str,
        settings: NatsSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().into_iter().next() {
                return Err(mistake);
            }
            let auth = auth(&settings, around)?;
            let (certificate, key) = (settings.client_certificate.as_ref(), settings.client_key.as_ref());
            let tls = || Tls::new(settings.ca_file.as_ref(), certificate, key, around);
            let tls = settings.url.is_encrypted().then(tls);
            let connecting = connection::Way {
                auth,
                tls: tls.transpose()?,
                tls_first: settings.tls_first,
                inbox_prefix: settings.inbox_prefix.clone(),
            };
            Ok((encoding, connecting))
        });
        let (encoding, connecting) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        let kept_max = REQUESTS_MAX * settings.concurrency() as usize;
        Ok(Self {
            way: Way::of(format!("sink `{name}` ({})", settings.url)),
            servers: Servers::new(name, &settings.url, connecting, settings.timeout.0, kept_max),
            name: name.to_owned(),
            settings,
            encoding,
            has_warned: AtomicBool::new(false),
        })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn super::KeepTickets) -> Report {
        let ids = RecordIds::of_sink(&self.name, batch);
        let places = Places::of(&self.settings.subject, batch);
        let formatted = Formatted::new(&self.encoding, batch).await;
        let limits = Limits {
            part_bytes_max: bytes(self.settings.batch_size),
            part_events_max: EVENTS_MAX,
            requests_max: REQUESTS_MAX,
            failures_max: 1,
        };
        let (ids, places) = (&ids, &places);
        batch::deliver(
            formatted,
            limits,
            (&self.way, Keeping { tickets, forget: &|_| {} }),
            async |part, permit| {
                // The servers of a cluster are one place.
                Answered { sent: self.send(&part, permit, ids, places).await, by: vec![0] }
            },
        )
        .await
    }

    /// Publishes the events of `part` together.
    async fn send(&self, part: &Part, permit: RequestPermit, ids: &RecordIds, places: &Places) -> Sent {
        let _permit = permit;
        let until = Instant::now() + self.settings.timeout.0;
        let mut connection = match self.connection(until).await {
            Ok(connection) => connection,
            Err(trouble) => return Sent::Retry(Some(trouble)),
        };
        let ids = ids.of_part(part);
        let subjects: Vec<String> = part
            .events()
            .zip(&ids)
            .map(|(event, id)| match self.settings.deduplicate {
                Deduplicate::Window => places.of_record(event.envelope.record).to_owned(),
                Deduplicate::Subject => format!("{}.{id}", places.of_record(event.envelope.record)),
            })
            .collect();
        let headers: Vec<[(&str, &str); 2]> = ids
            .iter()
            .map(|id| [("Nats-Msg-Id", id.as_str()), ("Nats-Expected-Stream", self.settings.stream.as_str())])
            .collect();
        let messages: Vec<Publish<'_>> = part
            .events()
            .zip(subjects.iter().zip(&headers))
            .map(|(event, (subject, headers))| Publish { subject, headers, payload: event.bytes })
            .collect();
        let server = connection.server().to_owned();
        let trouble = |reason: &str| self.servers.trouble(&server, reason);
        let max_payload = connection.info.max_payload;
        let fits = |message: &Publish<'_>| max_payload == 0 || message.bytes() <= max_payload;
        let sent: Vec<Publish<'_>> = messages.iter().copied().filter(|message| fits(message)).collect();
        let (answers, done) = connection.publish(&sent, until).await;
        let unanswered = match done {
            Ok(()) => {
                self.servers.keep(connection);
                None
            }
            Err(ended) => {
                connection.abandon();
                Some(self.servers.ended(&server, &ended))
            }
        };
        let mut answers = answers.into_iter();
        let fates = messages.iter().map(|message| {
            if !fits(message) {
                return Fate::Refused(format!(
                    "the event has {} bytes with its headers, and the server takes {max_payload} (max_payload): set \
                     event_size_max, so that such events are split, or raise max_payload",
                    message.bytes()
                ));
            }
            match (answers.next().flatten(), &unanswered) {
                (Some(answer), _) => {
                    let place = (self.settings.stream.as_str(), message.subject);
                    fate(&answer, place, self.settings.deduplicate, trouble)
                }
                (None, Some(trouble)) => Fate::Retry(trouble.clone()),
                (None, None) => Fate::Retry(trouble("it was not answered for")),
            }
        });
        Sent::Each(fates.collect())
    }

    /// A connection by which can be published: one that is open, or a new one, by which it was seen that the stream is
    /// as it must be.
    async fn connection(&self, until: Instant) -> Result<Connection, Trouble> {
        if let Some(connection) = self.servers.kept().await {
            return Ok(connection);
        }
        let mut connection = self.servers.connect(until).await?;
        let Ok(config) = self.look(&mut connection, until).await? else { return Ok(connection) };
        let warnings = config.warnings(&self.settings);
        if !warnings.is_empty() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                sink.name = self.name,
                "the stream that this sink delivers to may lose or double what it has acknowledged: {}",
                warnings.join("; ")
            );
        }
        Ok(connection)
    }

    /// Looks whether the stream is one that can be delivered to: what it is like; or, where that does not have to be
    /// known, why it is not.
    async fn look(
        &self,
        connection: &mut Connection,
        until: Instant,
    ) -> Result<Result<StreamConfig, String>, Trouble> {
        let config = self.ask(connection, until).await?;
        let unfit = match (&config, self.settings.deduplicate) {
            (Ok(config), _) => config.unfit(&self.settings),
            // The name of the stream in each message is protection enough.
            (Err(_), Deduplicate::Window) => None,
            // A stream of another kind would refuse events in the words by which a fit one says that it has them.
            (Err(unknown), Deduplicate::Subject) => Some(format!(
                "with deduplicate = \"subject\" nothing is sent before it is known what the stream is like: {unknown}"
            )),
        };
        match unfit {
            Some(unfit) => Err(self.servers.trouble(connection.server(), &unfit)),
            None => Ok(config),
        }
    }

    /// What the stream is like; or, where the user may not ask or nobody answers, why that is not known.
    async fn ask(
        &self,
        connection: &mut Connection,
        until: Instant,
    ) -> Result<Result<StreamConfig, String>, Trouble> {
        let (subject, stream) = (self.settings.info_subject(), &self.settings.stream);
        let answer = connection.ask(&subject, until).await;
        let trouble = |reason: &str| self.servers.trouble(connection.server(), reason);
        let message = match answer {
            Ok(Answer::Message(message)) => message,
            Ok(Answer::Forbidden(said)) => return Ok(Err(forbidden(&said, &subject))),
            Err(ended) => return Err(self.servers.ended(connection.server(), &ended)),
        };
        if message.status == Some(503) {
            return Ok(Err(nobody_listens(stream, &subject)));
        }
        let Ok(info) = serde_json::from_slice::<StreamInfo>(&message.payload) else {
            return Err(trouble("what it answers about the stream cannot be read: check the sink's url"));
        };
        match (info.error, info.config) {
            (None, Some(config)) => Ok(Ok(config)),
            (Some(error), _) if error.code == 404 => Err(trouble(&format!(
                "there is no stream `{stream}` ({}): create it (`muster siem-config nats`), or change the sink's stream",
                error.words()
            ))),
            (Some(error), _) => Err(trouble(&format!(
                "JetStream does not answer for stream `{stream}` ({}): check the server's own log",
                error.words()
            ))),
            (None, None) => {
                Err(trouble("what it answers about the stream cannot be read: check the sink's url"))
            }
        }
    }

    /// Asks what the stream is like, and publishes what it cannot store: a message that wants to stand behind one that
    /// there will never be. Its refusal shows that the subject leads to this stream, and that the user may publish to
    /// it.
    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        let until = Instant::now() + self.settings.timeout.0;
        let mut connection = self.servers.connect(until).await.map_err(unusable)?;
        let server = connection.server().to_owned();
        let trouble = |reason: &str| self.servers.trouble(&server, reason);
        let (version, stream) = (shown(&connection.info.version), &self.settings.stream);
        let mut found = format!("NATS {version} at {server} answers");
        let mut warnings = Vec::new();
        match self.look(&mut connection, until).await.map_err(unusable)? {
            Ok(config) => {
                warnings = config.warnings(&self.settings);
                found.push_str(&format!(", and has stream `{stream}`"));
            }
            Err(unknown) => warnings.push(format!("what the stream is like is not known: {unknown}")),
        }
        let bytes = self.settings.event_bytes_max();
        if connection.info.max_payload > 0 && bytes > connection.info.max_payload as u64 {
            warnings.push(format!(
                "the server takes {} bytes with headers (max_payload), and events may have {bytes}: set event_size_max lower",
                connection.info.max_payload
            ));
        }
        let subject = self.settings.test_subject();
        let headers =
            [("Nats-Expected-Stream", stream.as_str()), ("Nats-Expected-Last-Sequence", IMPOSSIBLE)];
        let probe = Publish { subject: &subject, headers: &headers, payload: b"" };
        let (answers, done) = connection.publish(&[probe], until).await;
        let answer = match (answers.into_iter().next().flatten(), done) {
            (Some(answer), _) => answer,
            (None, done) => {
                let ended = done.err().unwrap_or(Ended::Closed);
                return Err(unusable(self.servers.ended(&server, &ended)));
            }
        };
        let is_refused_as_wanted = match &answer {
            Answer::Message(message) => {
                let said =
                    serde_json::from_slice::<StreamInfo>(&message.payload).ok().and_then(|said| said.error);
                said.is_some_and(|error| error.err_code == WRONG_LAST_SEQUENCE)
            }
            Answer::Forbidden(_) => false,
        };
        if !is_refused_as_wanted {
            let place = (stream.as_str(), subject.as_str());
            return match fate(&answer, place, self.settings.deduplicate, trouble) {
                Fate::Retry(trouble) => Err(unusable(trouble)),
                Fate::Refused(reason) => Err(unusable(trouble(&reason))),
                Fate::Delivered => Err(unusable(trouble(
                    "what answers does not keep to JetStream's headers, so it cannot be told what it stores",
                ))),
            };
        }
        found.push_str(&format!("; messages to `{}` go into it", self.settings.stream_subject()));
        for warning in warnings {
            found.push_str("; mind: ");
            found.push_str(&warning);
        }
        Ok(found)
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.servers.close().await;
    }
}

/// The number that no message of a stream has.
const IMPOSSIBLE: &str = "9223372036854775807";

/// How the sink proves who it is; or what is wrong with that.
fn auth(settings: &NatsSettings, around: &Surroundings<'_>) -> Result<Auth, String> {
    let read = |secret: &SecretReference| (around.secret)(secret).map_err(|no_secret| no_secret.reason);
    let trimmed = |secret: Secret<String>| Secret::new(secret.expose().trim().to_owned());
    Ok(match settings {
        NatsSettings { credentials: Some(credentials), .. } => {
            let text = read(credentials)?;
            let (jwt, nkey) = read_credentials(text.expose()).ok_or(
                "its credentials are not a credentials file of NATS: a user's JWT and NKEY SEED, each between lines of dashes",
            )?;
            Auth::Jwt { jwt: Secret::new(jwt), nkey }
        }
        NatsSettings { nkey_seed: Some(seed), .. } => {
            let seed = read(seed)?;
            Auth::Nkey(
                Nkey::from_seed(seed.expose())
                    .ok_or("its nkey_seed is no seed of a user, which begins with SU")?,
            )
        }
        NatsSettings { token: Some(token), .. } => Auth::Token(trimmed(read(token)?)),
        NatsSettings { user: Some(user), password: Some(password), .. } => {
            Auth::User { user: user.clone(), password: read(password)? }
        }
        _ => Auth::Nobody,
    })
}

#[cfg(test)]
mod tests;
