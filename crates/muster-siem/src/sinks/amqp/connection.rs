//! A connection to a broker with one channel, by which messages are published and confirmed.
//!
//! It is ours, for no crate was found that a sink which keeps nothing and retries nothing could be made of:
//! - `amqprs` (2.1) panics in the task that reads when a frame comes for a channel that it does not know, or an answer
//!   that nobody waits for; whatever comes in goes into queues without a bound, also a frame of four gigabytes; a
//!   heartbeat of 0 has it send heartbeats without a pause; and what it could not write yet is written when it can,
//!   however long ago that was given up;
//! - `lapin` (4.12) has a thread for each connection, the same queues without a bound, and allocates 64 times the frame
//!   size that the broker names.
//!
//! Here a connection that fails, or that leaves something unconfirmed, is closed, with what was not sent of it.

use std::collections::HashMap;
use std::time::Duration;

use muster_model::Secret;
use tokio::time::Instant;

use super::frames::{self, FRAME_MAX, Frame, Kind, Message, Method, not_amqp};
use crate::sinks::address::Address;
use crate::sinks::error::shown;
use crate::sinks::kept::Close;
use crate::sinks::servers::Converse;
use crate::sinks::stream::Stream;
use crate::sinks::wire::{self, Ended, Tls, Wire};

/// The only channel.
const CHANNEL: u16 = 1;
/// Seconds; half of it without a word is time for one.
const HEARTBEAT: u16 = 60;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How the sink proves who it is.
#[derive(Debug)]
pub(super) enum Auth {
    Plain {
        user: String,
        password: Secret<String>,
    },
    /// By its certificate.
    External,
}

/// What a connection is made with.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) auth: Auth,
    /// None where nothing is encrypted.
    pub(super) tls: Option<Tls>,
}

/// What became of a message that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Unknown,
    Confirmed,
    /// `basic.nack`
    NotTaken,
    /// No queue is bound to where it was sent, in the broker's words. It is confirmed all the same.
    Returned(String),
}

/// Why there are no more confirms.
#[derive(Debug)]
pub(super) enum Stopped {
    Ended(Ended),
    /// The broker closed the channel, with what was published on it and not confirmed.
    Channel {
        code: u16,
        text: String,
    },
}

impl From<Ended> for Stopped {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    wire: Wire,
    server: String,
    frame_max: usize,
    /// What was published on the channel so far: the last delivery tag.
    published: u64,
    /// Where the messages end that are to go out.
    ends: Vec<usize>,
    /// Why the broker takes nothing at present.
    blocked: Option<String>,
    /// A message that comes back: its reason, and its id and how much of its body is yet to come once that is known.
    returning: Option<(String, Option<(String, u64)>)>,
}

impl Converse for Connection {
    type Way = Way;

    const PRODUCT: &'static str = "the broker";

    /// It also opens the channel.
    async fn open(address: &Address, way: &Way, until: Instant) -> Result<Self, Ended> {
        let tcp = wire::step(until, wire::connect(address)).await?;
        let stream = match &way.tls {
            Some(tls) => wire::step(until, tls.shake(address, tcp)).await?,
            None => Stream::Tcp(tcp),
        };
        let mut connection = Self {
            wire: Wire::new(stream),
            server: address.to_string(),
            frame_max: FRAME_MAX as usize,
            published: 0,
            ends: Vec::new(),
            blocked: None,
            returning: None,
        };
        connection.greet(address, &way.auth, until).await?;
        frames::method(&mut connection.wire.out, CHANNEL, (20, 10), |out| out.push(0));
        connection.expect(&Method::ChannelOpenOk, until).await?;
        Ok(connection)
    }

    fn server(&self) -> &str {
        &self.server
    }

    async fn is_usable(&mut self) -> bool {
        if !self.wire.is_open().await {
            return false;
        }
        loop {
            match frames::read(&mut self.wire.heard) {
                Ok(None) => return true,
                Ok(Some(Frame { kind: Kind::Heartbeat, .. })) => {}
                Ok(Some(Frame { kind: Kind::Method, payload, .. })) => {
                    let Some(method) = Method::read(&payload) else { return false };
                    match (self.learn(&method), method) {
                        (Ok(true), _) | (Ok(false), Method::Ack { .. }) => {}
                        _ => return false,
                    }
                }
                _ => return false,
            }
        }
    }
}

impl Connection {
    async fn greet(&mut self, address: &Address, auth: &Auth, until: Instant) -> Result<(), Ended> {
        self.wire.out.extend_from_slice(frames::PROTOCOL);
        let Method::Start { mechanisms } = self.answer(until).await? else { return Err(out_of_turn()) };
        let (mechanism, response) = match auth {
            Auth::Plain { user, password } => {
                ("PLAIN", Secret::new(format!("\0{user}\0{}", password.expose()).into_bytes()))
            }
            Auth::External => ("EXTERNAL", Secret::new(Vec::new())),
        };
        if !mechanisms.split(' ').any(|known| known == mechanism) {
            return Err(Ended::Said(format!(
                "it knows nobody by {mechanism}, but by {}: change the sink's mechanism, or switch it on there",
                shown(&mechanisms)
            )));
        }
        frames::method(&mut self.wire.out, 0, (10, 11), |out| {
            frames::table(out, |out| {
                for (name, value) in [("product", "muster"), ("version", env!("CARGO_PKG_VERSION"))] {
                    frames::text_field(out, name, value);
                }
                frames::short_text(out, "capabilities");
                out.push(b'F');
                frames::table(out, |out| {
                    for capability in [
                        "publisher_confirms",
                        "basic.nack",
                        "connection.blocked",
                        // Whoever is not let in is told so.
                        "authentication_failure_close",
                    ] {
                        frames::true_field(out, capability);
                    }
                });
            });
            frames::short_text(out, mechanism);
            frames::long_text(out, response.expose());
            frames::short_text(out, "en_US");
        });
        let Method::Tune { frame_max } = self.answer(until).await? else { return Err(out_of_turn()) };
        let frame_max = if frame_max == 0 { FRAME_MAX } else { frame_max.min(FRAME_MAX) };
        if frame_max < 4096 {
            return Err(Ended::Said(not_amqp("that frames are shorter than any may be")));
        }
        self.frame_max = frame_max as usize;
        frames::method(&mut self.wire.out, 0, (10, 31), |out| {
            out.extend_from_slice(&CHANNEL.to_be_bytes());
            out.extend_from_slice(&frame_max.to_be_bytes());
            out.extend_from_slice(&HEARTBEAT.to_be_bytes());
        });
        frames::method(&mut self.wire.out, 0, (10, 40), |out| {
            frames::short_text(out, address.path.as_deref().unwrap_or("/"));
            out.extend_from_slice(&[0; 2]);
        });
        self.expect(&Method::OpenOk, until).await
    }

    /// From now on what is published is confirmed.
    pub(super) async fn select_confirms(&mut self, until: Instant) -> Result<(), Ended> {
        frames::method(&mut self.wire.out, CHANNEL, (85, 10), |out| out.push(0));
        self.expect(&Method::SelectOk, until).await
    }

    /// Asks whether there is such an exchange, without making it.
    pub(super) async fn find_exchange(&mut self, exchange: &str, until: Instant) -> Result<(), Ended> {
        frames::method(&mut self.wire.out, CHANNEL, (40, 10), |out| {
            out.extend_from_slice(&[0; 2]);
            frames::short_text(out, exchange);
            frames::short_text(out, "direct");
            out.push(1);
            frames::table(out, |_| {});
        });
        self.expect(&Method::ExchangeDeclareOk, until).await
    }

    /// Asks whether there is such a queue, without making it.
    pub(super) async fn find_queue(&mut self, queue: &str, until: Instant) -> Result<(), Ended> {
        frames::method(&mut self.wire.out, CHANNEL, (50, 10), |out| {
            out.extend_from_slice(&[0; 2]);
            frames::short_text(out, queue);
            out.push(1);
            frames::table(out, |_| {});
        });
        self.expect(&Method::QueueDeclareOk, until).await
    }

    /// Publishes in a transaction that is taken back: the broker says whether it may be done, and nothing is stored.
    pub(super) async fn try_publish(&mut self, message: &Message<'_>, until: Instant) -> Result<(), Ended> {
        frames::method(&mut self.wire.out, CHANNEL, (90, 10), |_| {});
        self.expect(&Method::SelectOk, until).await?;
        message.write(CHANNEL, self.frame_max, &mut self.wire.out);
        frames::method(&mut self.wire.out, CHANNEL, (90, 30), |_| {});
        self.expect(&Method::RollbackOk, until).await
    }

    async fn expect(&mut self, wanted: &Method, until: Instant) -> Result<(), Ended> {
        match self.answer(until).await? {
            answer if answer == *wanted => Ok(()),
            Method::ChannelClose { code, text } => {
                self.say_closed();
                Err(Ended::Said(refused(code, &text)))
            }
            _ => Err(out_of_turn()),
        }
    }

    /// The next method that is an answer.
    async fn answer(&mut self, until: Instant) -> Result<Method, Ended> {
        loop {
            match self.hear(usize::MAX, until).await? {
                Frame { kind: Kind::Method, payload, .. } => {
                    let method = Method::read(&payload).ok_or_else(garbled)?;
                    if !self.learn(&method)? {
                        return Ok(method);
                    }
                }
                Frame { kind: Kind::Heartbeat, .. } => {}
                _ => return Err(out_of_turn()),
            }
        }
    }

    /// The next frame; meanwhile so much goes out.
    async fn hear(&mut self, limit: usize, until: Instant) -> Result<Frame, Ended> {
        loop {
            if let Some(frame) = frames::read(&mut self.wire.heard).map_err(Ended::Said)? {
                return match frame.channel {
                    0 | CHANNEL => Ok(frame),
                    _ => Err(Ended::Said(not_amqp("something on a channel that nobody opened"))),
                };
            }
            let beat = Instant::now() + Duration::from_secs((HEARTBEAT / 2).into());
            match self.wire.turn(limit, until.min(beat)).await {
                Err(Ended::TimedOut) if beat < until => {
                    // What is still on its way is a sign of life itself.
                    if self.wire.sent() == self.wire.out.len() {
                        frames::heartbeat(&mut self.wire.out);
                    }
                }
                other => other?,
            }
        }
    }

    /// Whether it was about the connection, and not an answer.
    fn learn(&mut self, method: &Method) -> Result<bool, Ended> {
        match method {
            Method::Blocked { reason } => self.blocked = Some(shown(reason)),
            Method::Unblocked => self.blocked = None,
            Method::Flow { is_active } => {
                self.blocked = (!is_active).then(|| "channel.flow".to_owned());
                let is_active = u8::from(*is_active);
                frames::method(&mut self.wire.out, CHANNEL, (20, 21), |out| out.push(is_active));
            }
            Method::Close { code, text } => return Err(Ended::Said(refused(*code, text))),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Publishes all of `messages`, and gathers what becomes of them, in their order; with what stopped it before all
    /// of them were confirmed. Then the connection is of no more use.
    pub(super) async fn publish(
        &mut self,
        messages: &[Message<'_>],
        until: Instant,
    ) -> (Vec<Verdict>, Result<(), Stopped>) {
        let mut verdicts = vec![Verdict::Unknown; messages.len()];
        let done = self.publish_into(messages, &mut verdicts, until).await;
        if done.is_ok() {
            self.wire.forget_sent();
            self.ends.clear();
        }
        (verdicts, done)
    }

    async fn publish_into(
        &mut self,
        messages: &[Message<'_>],
        verdicts: &mut [Verdict],
        until: Instant,
    ) -> Result<(), Stopped> {
        self.wire.forget_sent();
        self.ends.clear();
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, message) in messages.iter().enumerate() {
            message.write(CHANNEL, self.frame_max, &mut self.wire.out);
            self.ends.push(self.wire.out.len());
            by_id.entry(message.id).or_default().push(place);
        }
        let first = self.published + 1;
        self.published += messages.len() as u64;
        let mut returned: HashMap<usize, String> = HashMap::new();
        // How many of the first ones have a verdict each.
        let mut settled = 0;
        while settled < messages.len() {
            let frame = match self.hear(self.limit(), until).await {
                Err(Ended::TimedOut) if self.blocked.is_some() => {
                    let why = self.blocked.take().unwrap_or_default();
                    return Err(Stopped::Ended(Ended::Said(format!(
                        "the broker takes nothing from publishers at present (`{why}`): free disk or memory there, or raise its \
                         limits"
                    ))));
                }
                other => other?,
            };
            if frame.kind == Kind::Heartbeat {
                continue;
            }
            if let Some(back) = self.come_back(&frame)? {
                let Some((id, reason)) = back else { continue };
                let Some(places) = by_id.get(id.as_str()) else {
                    return Err(Ended::Said(not_amqp("that a message comes back which was not sent")).into());
                };
                // It comes before its confirm.
                places.iter().for_each(|place| drop(returned.insert(*place, reason.clone())));
                continue;
            }
            let method = Method::read(&frame.payload).ok_or_else(garbled)?;
            if self.learn(&method)? {
                continue;
            }
            let (tag, multiple, is_taken) = match method {
                Method::Ack { tag, multiple } => (tag, multiple, true),
                Method::Nack { tag, multiple } => (tag, multiple, false),
                Method::Return { code, text, exchange, routing_key } => {
                    let words = format!("{code} {text}, exchange `{exchange}`, routing key `{routing_key}`");
                    self.returning = Some((shown(&words), None));
                    continue;
                }
                Method::ChannelClose { code, text } => {
                    self.say_closed();
                    return Err(Stopped::Channel { code, text: shown(&text) });
                }
                _ => return Err(out_of_turn().into()),
            };
            let sent = self.ends.partition_point(|end| *end <= self.wire.sent());
            // 0 with `multiple` is all of them.
            let tag = if tag == 0 && multiple { first + sent as u64 - 1 } else { tag };
            let Some(place) = tag.checked_sub(first) else { continue };
            let place = usize::try_from(place).ok().filter(|place| *place < sent);
            let place = place.ok_or_else(|| Ended::Said(not_amqp("that it has what it has not got yet")))?;
            for place in if multiple { settled..=place } else { place..=place } {
                if verdicts[place] == Verdict::Unknown {
                    verdicts[place] = match (is_taken, returned.remove(&place)) {
                        (_, Some(reason)) => Verdict::Returned(reason),
                        (true, None) => Verdict::Confirmed,
                        (false, None) => Verdict::NotTaken,
                    };
                }
            }
            while verdicts.get(settled).is_some_and(|verdict| *verdict != Verdict::Unknown) {
                settled += 1;
            }
        }
        Ok(())
    }

    /// Takes the content of a message that comes back: none where there is none, and its id and reason once it is
    /// whole.
    fn come_back(&mut self, frame: &Frame) -> Result<Option<Option<(String, String)>>, Ended> {
        let (reason, content) = match (self.returning.take(), frame.kind) {
            (None, Kind::Method) => return Ok(None),
            (Some(returning), Kind::Header | Kind::Body) => returning,
            _ => return Err(out_of_turn()),
        };
        let (id, left) = match (content, frame.kind) {
            (None, Kind::Header) => {
                let (bytes, id) = frames::read_header(&frame.payload).ok_or_else(garbled)?;
                (id.unwrap_or_default(), bytes)
            }
            (Some((id, left)), Kind::Body) => {
                let left = left.checked_sub(frame.payload.len() as u64).ok_or_else(garbled)?;
                (id, left)
            }
            _ => return Err(out_of_turn()),
        };
        Ok(Some(match left {
            0 => Some((id, reason)),
            left => {
                self.returning = Some((reason, Some((id, left))));
                None
            }
        }))
    }

    /// How much may go out: all, or what belongs to a message that has begun, while the broker takes nothing.
    fn limit(&self) -> usize {
        match self.blocked {
            None => usize::MAX,
            Some(_) => {
                let sent = self.wire.sent();
                let begun = self.ends.partition_point(|end| *end < sent);
                let before =
                    begun.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
                match self.ends.get(begun) {
                    Some(end) if sent > before => *end,
                    Some(_) => sent,
                    None => usize::MAX,
                }
            }
        }
    }

    /// Answers a channel that the broker has closed, in place of what was to go out yet.
    fn say_closed(&mut self) {
        if self.is_between_messages() {
            self.wire.out.truncate(self.wire.sent());
            self.ends = vec![self.wire.sent()];
            frames::method(&mut self.wire.out, CHANNEL, (20, 41), |_| {});
        }
    }

    fn is_between_messages(&self) -> bool {
        let sent = self.wire.sent();
        sent == 0 || sent == self.wire.out.len() || self.ends.contains(&sent)
    }

    /// Ends it, with what it has not sent. Where nothing stands half-sent, the broker is told, so that its log has no
    /// complaint.
    pub(super) async fn abandon(self, stopped: &Stopped) {
        match stopped {
            Stopped::Channel { .. } if self.is_between_messages() => self.close().await,
            _ => self.wire.abandon(),
        }
    }
}

impl Close for Connection {
    async fn close(mut self) {
        let until = Instant::now() + FAREWELL;
        frames::method(&mut self.wire.out, 0, (10, 50), |out| {
            out.extend_from_slice(&200_u16.to_be_bytes());
            frames::short_text(out, "goodbye");
            out.extend_from_slice(&[0; 4]);
        });
        while let Ok(frame) = self.hear(usize::MAX, until).await {
            if frame.kind == Kind::Method && Method::read(&frame.payload) == Some(Method::CloseOk) {
                return;
            }
        }
    }
}

fn garbled() -> Ended {
    Ended::Said(not_amqp("what cannot be read"))
}

fn out_of_turn() -> Ended {
    Ended::Said(not_amqp("what it was not asked"))
}

/// Why the broker closed the connection or the channel, and what to do.
pub(super) fn refused(code: u16, text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let advice = match code {
        _ if lower.contains("login was refused") || lower.contains("authentication") => {
            "check the sink's user and password, and that the user may come from here (`guest` may only from the same machine)"
        }
        402 | 404 | 530
            if lower.contains("vhost") && !lower.contains("exchange") && !lower.contains("queue") =>
        {
            "check the virtual host at the end of the sink's url, and the user's permissions in it"
        }
        403 if lower.contains("vhost") && !lower.contains("exchange") => {
            "give the user permissions in the virtual host"
        }
        403 => "give the user the permission to write to the exchange (`muster siem-config amqp`)",
        404 if lower.contains("queue") => {
            "make the queue (`muster siem-config amqp`), or check the sink's routing_key"
        }
        404 => "make the exchange (`muster siem-config amqp`), or check the sink's exchange",
        320 => "it is shutting down, or somebody closed the connection there; tried again later, by itself",
        _ => "check the broker's own log",
    };
    format!("the broker says `{code} {}`: {advice}", shown(text))
}
