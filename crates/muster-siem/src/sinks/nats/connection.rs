//! A connection to a server, by which messages are published and answered for.
//!
//! It is ours, and not that of NATS's own crate `async-nats` (0.51), of which a sink that keeps nothing and retries
//! nothing cannot be made:
//! - it reconnects for ever by itself, and then sends what waited in its queue, long after that was given up here. A
//!   client that is dropped while it has no connection goes on trying;
//! - of a request that has no answer in time it keeps the entry for as long as it lives;
//! - it reads lines and messages of any length into memory, whatever a server says;
//! - with the log at `trace` it writes down its CONNECT, with the password in it.
//!
//! Here a connection that fails, or that leaves something unanswered, is closed, with what was not sent of it.

use muster_model::Secret;
use serde_json::json;
use tokio::time::Instant;

use super::nkey::Nkey;
use super::protocol::{self, Heard, Message, Publish, ServerInfo};
use crate::sinks::address::Address;
use crate::sinks::error::shown;
use crate::sinks::kept::Close;
use crate::sinks::servers::Converse;
use crate::sinks::stream::Stream;
use crate::sinks::wire::{self, Ended, Tls, Wire};

/// How the sink proves who it is.
#[derive(Debug)]
pub(super) enum Auth {
    Nobody,
    User { user: String, password: Secret<String> },
    Token(Secret<String>),
    Nkey(Nkey),
    Jwt { jwt: Secret<String>, nkey: Nkey },
}

/// What a connection is made with.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) auth: Auth,
    /// None where nothing is encrypted.
    pub(super) tls: Option<Tls>,
    pub(super) tls_first: bool,
    pub(super) inbox_prefix: String,
}

/// What became of a message that was published.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Message(Message),
    /// It may not be published there, in the server's words.
    Forbidden(String),
}

#[derive(Debug)]
pub(super) struct Connection {
    wire: Wire,
    server: String,
    pub(super) info: ServerInfo,
    /// What subjects for answers begin with, with the dot.
    inbox: String,
    /// The number of the next message.
    next: u64,
    /// What the server said last that was no answer.
    complaint: Option<String>,
}

impl Converse for Connection {
    type Way = Way;

    const PRODUCT: &'static str = "NATS";

    /// It also subscribes to answers.
    async fn open(address: &Address, way: &Way, until: Instant) -> Result<Self, Ended> {
        let tcp = wire::step(until, wire::connect(address)).await?;
        let stream = match &way.tls {
            Some(tls) if way.tls_first => wire::step(until, tls.shake(address, tcp)).await?,
            _ => Stream::Tcp(tcp),
        };
        let mut connection = Self {
            wire: Wire::new(stream),
            server: address.to_string(),
            info: ServerInfo::default(),
            inbox: format!("{}.{}.", way.inbox_prefix, uuid::Uuid::new_v4().simple()),
            next: 0,
            complaint: None,
        };
        let Heard::Info(info) = connection.hear(until).await? else {
            return Err(Ended::Said(
                "it does not begin as a NATS server does: check the sink's url".to_owned(),
            ));
        };
        connection.info = *info;
        match &way.tls {
            Some(tls) if !way.tls_first => {
                // Whatever came in the clear behind the INFO could be anybody's.
                let tcp = connection.wire.into_tcp()?;
                connection.wire = Wire::new(wire::step(until, tls.shake(address, tcp)).await?);
            }
            None if connection.info.tls_required => {
                let why = "it takes TLS only: begin the sink's url with tls:// in place of nats://";
                return Err(Ended::Said(why.to_owned()));
            }
            _ => {}
        }
        if !connection.info.headers {
            let why = format!("NATS {} knows no headers: 2.9 is needed", shown(&connection.info.version));
            return Err(Ended::Said(why));
        }
        connection.greet(address, &way.auth, until).await?;
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
            match protocol::read(&mut self.wire.heard) {
                Ok(None) => return !self.info.ldm,
                Ok(Some(heard)) if self.learn(&heard) || matches!(heard, Heard::Message(_)) => {}
                // After an error comes its end, mostly; and what is no NATS makes all that follows worthless.
                _ => return false,
            }
        }
    }
}

impl Connection {
    async fn greet(&mut self, address: &Address, auth: &Auth, until: Instant) -> Result<(), Ended> {
        let mut connect = json!({
            "verbose": false, "pedantic": false, "tls_required": address.is_encrypted, "name": "muster",
            "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "protocol": 1, "echo": false,
            "headers": true, "no_responders": true,
        });
        let sign = |nkey: &Nkey| {
            match &self.info.nonce {
            Some(nonce) => Ok(nkey.sign(nonce)),
            None => Err(Ended::Said(
                "it asks for no signature, so it knows no nkeys: check the server's authorization, and the sink's nkey_seed \
                 or credentials"
                    .to_owned(),
            )),
        }
        };
        match auth {
            Auth::Nobody => {}
            Auth::User { user, password } => {
                connect["user"] = json!(user);
                connect["pass"] = json!(password.expose());
            }
            Auth::Token(token) => connect["auth_token"] = json!(token.expose()),
            Auth::Nkey(nkey) => {
                connect["sig"] = json!(sign(nkey)?);
                connect["nkey"] = json!(nkey.public);
            }
            Auth::Jwt { jwt, nkey } => {
                connect["sig"] = json!(sign(nkey)?);
                connect["jwt"] = json!(jwt.expose());
            }
        }
        let hello = format!("CONNECT {connect}\r\nSUB {}* 1\r\nPING\r\n", self.inbox);
        self.wire.out.extend_from_slice(hello.as_bytes());
        loop {
            match self.hear(until).await {
                Ok(Heard::Pong) => return Ok(()),
                Ok(Heard::Error(said)) => return Err(Ended::Said(refused(&said))),
                Ok(_) => {}
                Err(ended) => return Err(ended),
            }
        }
    }

    /// The next thing that the server says; its questions are answered, and what it tells of itself is kept.
    async fn hear(&mut self, until: Instant) -> Result<Heard, Ended> {
        loop {
            let Some(heard) = protocol::read(&mut self.wire.heard).map_err(Ended::Said)? else {
                self.wire.turn(usize::MAX, until).await?;
                continue;
            };
            if !self.learn(&heard) {
                return Ok(heard);
            }
        }
    }

    /// Whether it was nothing but talk between client and server.
    fn learn(&mut self, heard: &Heard) -> bool {
        match heard {
            Heard::Ping => self.wire.out.extend_from_slice(b"PONG\r\n"),
            // The first one is waited for.
            Heard::Info(info) if self.info.max_payload > 0 => {
                let nonce = self.info.nonce.take();
                self.info = ServerInfo { nonce, ..(**info).clone() };
            }
            Heard::Well => {}
            _ => return false,
        }
        true
    }

    /// Publishes all of `messages` and gathers the answers, in their order; with what ended it before all had one. Then
    /// the connection is of no more use.
    pub(super) async fn publish(
        &mut self,
        messages: &[Publish<'_>],
        until: Instant,
    ) -> (Vec<Option<Answer>>, Result<(), Ended>) {
        let mut answers = vec![None; messages.len()];
        let done = self.publish_into(messages, &mut answers, until).await;
        if done.is_ok() {
            self.wire.forget_sent();
        }
        (answers, done)
    }

    async fn publish_into(
        &mut self,
        messages: &[Publish<'_>],
        answers: &mut [Option<Answer>],
        until: Instant,
    ) -> Result<(), Ended> {
        let first = self.next;
        self.next += messages.len() as u64;
        self.wire.forget_sent();
        let bytes: usize = messages.iter().map(|message| message.bytes() + 160).sum();
        self.wire.out.reserve(bytes);
        let mut ends = Vec::with_capacity(messages.len());
        for (number, message) in (first..).zip(messages) {
            message.write(&format!("{}{number}", self.inbox), &mut self.wire.out);
            ends.push(self.wire.out.len());
        }
        let mut waiting = messages.len();
        while waiting > 0 {
            match self.hear(until).await {
                Ok(Heard::Message(message)) => {
                    let number =
                        message.subject.strip_prefix(&self.inbox).and_then(|number| number.parse().ok());
                    let place =
                        number.and_then(|number: u64| usize::try_from(number.checked_sub(first)?).ok());
                    // What is about something else was given up before, and is known to be so.
                    let Some(place) = place.filter(|place| *place < messages.len()) else { continue };
                    if self.wire.sent() < ends[place] {
                        let why = "it answers for what it has not got yet, so nothing it says counts";
                        return Err(Ended::Said(why.to_owned()));
                    }
                    if answers[place].is_none() {
                        answers[place] = Some(Answer::Message(message));
                        waiting -= 1;
                    }
                }
                Ok(Heard::Error(said)) => match forbidden(&said) {
                    Some(subject) => {
                        for (message, answer) in messages.iter().zip(answers.iter_mut()) {
                            if message.subject == subject && answer.is_none() {
                                *answer = Some(Answer::Forbidden(shown(&said)));
                                waiting -= 1;
                            }
                        }
                    }
                    // After most of these it closes the connection.
                    None => self.complaint = Some(refused(&said)),
                },
                Ok(_) => {}
                Err(ended) => {
                    return Err(match (ended, self.complaint.take()) {
                        (Ended::Said(why), _) => Ended::Said(why),
                        (_, Some(complaint)) => Ended::Said(complaint),
                        (ended, None) => ended,
                    });
                }
            }
        }
        Ok(())
    }

    /// Asks one question that the server itself answers.
    pub(super) async fn ask(&mut self, subject: &str, until: Instant) -> Result<Answer, Ended> {
        let question = Publish { subject, headers: &[], payload: b"" };
        let (mut answers, done) = self.publish(&[question], until).await;
        match answers.pop().flatten() {
            Some(answer) => Ok(answer),
            None => Err(done.err().unwrap_or(Ended::Closed)),
        }
    }

    /// Ends it, with what it has not sent.
    pub(super) fn abandon(self) {
        self.wire.abandon();
    }
}

impl Close for Connection {
    // Nothing is owed on it, and a server of NATS expects no farewell.
    async fn close(self) {}
}

/// The subject that may not be published to, where that is what the server says.
fn forbidden(said: &str) -> Option<&str> {
    let rest = said.get(..23).filter(|start| start.eq_ignore_ascii_case("Permissions Violation f"));
    let subject = rest.and_then(|_| said.split('"').nth(1));
    subject.filter(|_| said.contains("Publish"))
}

/// What an error of the connection means, and what to do.
fn refused(said: &str) -> String {
    let lower = said.to_ascii_lowercase();
    let advice = match lower.as_str() {
        said if said.contains("subscription") => {
            "allow it to subscribe to answers, `_INBOX.>` or the sink's inbox_prefix with `.>` behind it"
        }
        said if said.contains("authorization")
            || said.contains("authentication")
            || said.contains("revoked") =>
        {
            "check the sink's user and password, token, nkey_seed or credentials"
        }
        said if said.contains("maximum connections") || said.contains("maximum account") => {
            "raise the server's or the account's limit of connections"
        }
        said if said.contains("payload") => {
            "set event_size_max below the server's max_payload, or raise that"
        }
        said if said.contains("tls") || said.contains("secure") => {
            "begin the sink's url with tls://, and give a client certificate where one is asked for"
        }
        _ => "check the server's own log",
    };
    format!("the server says `{}`: {advice}", shown(said))
}
