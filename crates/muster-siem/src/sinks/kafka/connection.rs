//! One connection to one broker: greeted, proven, one request at a time.

use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use muster_model::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::errors;
use super::oauth::Tokens;
use super::sasl::{self, Scram, ScramHash};
use super::settings::{BrokerAddress, Mechanism};
use super::wire::{self, Api, Versions};
use crate::sinks::address::Address;
use crate::sinks::error::shown;
use crate::sinks::stream::Stream;
use crate::sinks::wire::{Tls, connect};

/// The longest answer that is read: Metadata of a topic of tens of thousands of partitions.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// What is read at once, so that memory is taken for what has come and not for what is said to come.
const PIECE_BYTES: usize = 64 << 10;
/// How Muster is called in the brokers' logs and quotas.
const CLIENT: &str = "muster";
/// Event Hubs closes what was idle for 240 s, Kafka what was idle for ten minutes.
const IDLE_MAX: Duration = Duration::from_secs(170);
/// Of a session that the broker ends at a time, so much is used.
const SESSION_SHARE: f64 = 0.8;

/// How brokers are reached, and what is shown to them.
pub(super) struct Way {
    pub(super) tls: Option<Tls>,
    pub(super) proof: Proof,
}

/// What Muster proves itself by.
pub(super) enum Proof {
    /// Nothing, or its certificate.
    None,
    /// A user's password.
    Password { mechanism: Mechanism, user: String, password: Secret<String> },
    /// A token.
    Token(Box<Tokens>),
}

impl Proof {
    fn mechanism(&self) -> Option<Mechanism> {
        match self {
            Self::None => None,
            Self::Password { mechanism, .. } => Some(*mechanism),
            Self::Token(_) => Some(Mechanism::OauthBearer),
        }
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing of what was asked has been sent.
    NotSent {
        /// In words, with what to do.
        why: String,
        /// How long to wait, where somebody asked for it.
        after: Option<Duration>,
    },
    /// The same, and all the time is over.
    NotReached(String),
    /// The same: what Muster proves itself by is refused, or not to be had. Others would refuse it as well, and may count
    /// that.
    Refused {
        /// In words, with what to do.
        why: String,
        /// How long to wait, where somebody asked for it.
        after: Option<Duration>,
    },
    /// It may have been sent; the connection is gone.
    Closed(String),
    /// It may have been sent; there was no answer, or none that means anything.
    Unanswered(String),
}

impl Failed {
    fn not_sent(why: impl Into<String>) -> Self {
        Self::NotSent { why: why.into(), after: None }
    }

    fn refused(why: String) -> Self {
        Self::Refused { why, after: None }
    }

    /// In words.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::NotSent { why, .. }
            | Self::Refused { why, .. }
            | Self::NotReached(why)
            | Self::Closed(why)
            | Self::Unanswered(why) => why,
        }
    }

    /// How long to wait, where somebody asked for it.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::NotSent { after, .. } | Self::Refused { after, .. } => *after,
            Self::NotReached(_) | Self::Closed(_) | Self::Unanswered(_) => None,
        }
    }
}

pub(super) struct Connection {
    stream: Stream,
    correlation: i32,
    versions: Versions,
    used_at: Instant,
    /// When the broker ends the session.
    until: Option<Instant>,
    /// The TLS version, where there is one.
    pub(super) tls: Option<&'static str>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, greets and proves itself. Nothing that matters is sent.
    pub(super) async fn open(way: &Way, at: &BrokerAddress) -> Result<Self, Failed> {
        let failed = |what: &str, error: &io::Error| {
            let advice = match error.kind() {
                io::ErrorKind::InvalidData => {
                    "check ca_file, the name in its certificate, and that the port speaks TLS"
                }
                _ => "check the sink's brokers, the network and the broker's own log",
            };
            let said = shown(&muster_http::with_causes(error));
            Failed::not_sent(match muster_http::Obstacle::of(error, None) {
                Some(obstacle) => format!("it failed at {what}: {}", obstacle.told(&said)),
                None => format!("it failed at {what} ({said}): {advice}"),
            })
        };
        let address =
            Address { host: at.host.to_string(), port: at.port, is_encrypted: way.tls.is_some(), path: None };
        let tcp = connect(&address).await.map_err(|error| failed("connecting", &error))?;
        let stream = match &way.tls {
            None => Stream::Tcp(tcp),
            Some(tls) => {
                let shaken = tls.shake(&address, tcp).await;
                shaken.map_err(|error| failed("shaking hands for TLS", &error))?
            }
        };
        let tls = match &stream {
            Stream::Tcp(_) => None,
            Stream::Tls(tls) => tls.get_ref().1.protocol_version().and_then(|version| version.as_str()),
        };
        let mut connection = Self {
            stream,
            correlation: 0,
            versions: Versions::default(),
            used_at: Instant::now(),
            until: None,
            tls,
        };
        connection.greet().await?;
        connection.prove(&way.proof).await?;
        Ok(connection)
    }

    async fn greet(&mut self) -> Result<(), Failed> {
        let no_kafka = |why: &str| {
            Failed::not_sent(format!(
                "it does not answer like a Kafka broker ({}): check the port, and security_protocol, which must fit its listener",
                shown(why)
            ))
        };
        let answer = self.exchange(wire::API_VERSIONS, wire::API_VERSIONS.most, &[]).await;
        let answer = answer.map_err(|failed| no_kafka(failed.why()))?;
        let (error, versions) = Versions::read(&answer).map_err(|error| no_kafka(&error.to_string()))?;
        if error != errors::NONE {
            return Err(no_kafka(&errors::words(error)));
        }
        self.versions = versions;
        Ok(())
    }

    async fn prove(&mut self, proof: &Proof) -> Result<(), Failed> {
        let Some(mechanism) = proof.mechanism() else { return Ok(()) };
        let name = mechanism.name();
        let answer = self.ask(wire::SASL_HANDSHAKE, |_| wire::sasl_handshake(name)).await?.1;
        let (error, takes) = wire::read_sasl_handshake(&answer).map_err(|_| odd("SaslHandshake"))?;
        if error != errors::NONE {
            let takes = shown(&takes.join(", "));
            return Err(Failed::not_sent(format!(
                "it does not take sasl_mechanism {name}; it takes {takes}"
            )));
        }
        match proof {
            Proof::None => {}
            Proof::Password { mechanism: Mechanism::Plain, user, password } => {
                self.step(&sasl::plain(user, password), user).await?;
            }
            Proof::Password { mechanism, user, password } => {
                let hash = match mechanism {
                    Mechanism::ScramSha512 => ScramHash::Sha512,
                    _ => ScramHash::Sha256,
                };
                self.scram(Scram::new(hash, user, password.clone()), user).await?;
            }
            Proof::Token(tokens) => {
                let token = tokens.token().await.map_err(|no_token| Failed::Refused {
                    why: no_token.reason,
                    after: no_token.retry_after,
                })?;
                let said = self.step(&sasl::oauth_bearer(&token), "the token").await;
                let refused = match said {
                    Ok(said) if said.is_empty() => return Ok(()),
                    // RFC 7628 section 3.2.2: a refusal is a challenge, which is answered before it counts.
                    Ok(said) => {
                        let why = shown(&String::from_utf8_lossy(&said));
                        Failed::refused(format!(
                            "it does not take the token ({why}): check oauth.scope, and what the client may do"
                        ))
                    }
                    Err(failed) => failed,
                };
                tokens.refused(&token).await;
                return Err(refused);
            }
        }
        Ok(())
    }

    async fn scram(&mut self, scram: Scram, user: &str) -> Result<(), Failed> {
        let first = self.step(&Secret::new(scram.first().into_bytes()), user).await?;
        // The password is hashed thousands of times: too long for a thread that others wait for.
        let second = tokio::task::spawn_blocking(move || scram.second(&first)).await;
        let second = second.map_err(|error| Failed::not_sent(error.to_string()))?;
        let (message, expected) = second.map_err(|why| {
            Failed::not_sent(format!(
                "its answer in SCRAM is not to be trusted: {why}; check that it is your broker"
            ))
        })?;
        let last = self.step(&message, user).await?;
        if !expected.proves_itself(&last) {
            return Err(Failed::not_sent(
                "it does not prove that it knows the user's password: check that it is your broker",
            ));
        }
        Ok(())
    }

    /// One message of SASL and its answer.
    async fn step(&mut self, message: &Secret<Vec<u8>>, who: &str) -> Result<Vec<u8>, Failed> {
        let started = Instant::now();
        let asked = self.ask(wire::SASL_AUTHENTICATE, |_| wire::sasl_authenticate(message.expose())).await;
        let (version, answer) = asked.map_err(|failed| match failed {
            // Brokers of before KIP-152 say no by hanging up.
            Failed::Closed(why) => Failed::refused(format!(
                "it hangs up on the credentials ({why}): check the sink's user and password"
            )),
            other => other,
        })?;
        let said = wire::read_sasl_authenticate(version, &answer).map_err(|_| odd("SaslAuthenticate"))?;
        if said.error != errors::NONE {
            let message = said.message.unwrap_or_default();
            return Err(Failed::refused(format!(
                "it does not take the credentials of {} (error {}: {}): check them, and that the broker knows them for this sasl_mechanism",
                shown(who),
                said.error,
                shown(&message)
            )));
        }
        if let Ok(lifetime @ 1..) = u64::try_from(said.lifetime_ms) {
            self.until = started.checked_add(Duration::from_millis(lifetime).mul_f64(SESSION_SHARE));
        }
        Ok(said.token)
    }

    /// A request in the newest version that both speak; the version, and the answer. Where it fails, nothing that
    /// matters was sent.
    pub(super) async fn ask(
        &mut self,
        api: Api,
        body: impl FnOnce(i16) -> Vec<u8>,
    ) -> Result<(i16, Vec<u8>), Failed> {
        let version = self.version(api)?;
        let answer = self.exchange(api, version, &body(version)).await?;
        Ok((version, answer))
    }

    /// The newest version of a request that both speak.
    pub(super) fn version(&self, api: Api) -> Result<i16, Failed> {
        self.versions.newest(api).ok_or_else(|| {
            Failed::not_sent(format!(
                "it speaks no version of {} that Muster speaks ({} to {}): Muster needs Kafka 1.0 or later",
                api.name, api.least, api.most
            ))
        })
    }

    /// Sends a request and reads its answer, which must be its own.
    pub(super) async fn exchange(&mut self, api: Api, version: i16, body: &[u8]) -> Result<Vec<u8>, Failed> {
        self.correlation = self.correlation.wrapping_add(1);
        let mut request = wire::head(api, version, self.correlation, CLIENT, body);
        let alone = body.len() > PIECE_BYTES;
        if !alone {
            request.extend_from_slice(body);
        }
        let closed = |error: io::Error| {
            Failed::Closed(format!("the connection is gone: {}", shown(&error.to_string())))
        };
        self.stream.write_all(&request).await.map_err(closed)?;
        if alone {
            self.stream.write_all(body).await.map_err(closed)?;
        }
        self.stream.flush().await.map_err(closed)?;
        let mut head = [0; 8];
        // An alert of TLS is shorter than any answer.
        self.stream.read_exact(&mut head[..4]).await.map_err(closed)?;
        if matches!(self.stream, Stream::Tcp(_)) && muster_http::Obstacle::is_tls_alert(&head) {
            return Err(Failed::Unanswered(muster_http::Obstacle::WantsTls.told("")));
        }
        self.stream.read_exact(&mut head[4..]).await.map_err(closed)?;
        let [a, b, c, d, correlation @ ..] = head;
        let said = i32::from_be_bytes([a, b, c, d]);
        let length = usize::try_from(said).ok().and_then(|length| length.checked_sub(4));
        let length = length.filter(|length| *length <= ANSWER_BYTES_MAX).ok_or_else(|| {
            Failed::Unanswered(format!("it says that its answer has {said} bytes, which is not believed"))
        })?;
        if i32::from_be_bytes(correlation) != self.correlation {
            return Err(Failed::Unanswered("it answers to something that was not asked".to_owned()));
        }
        let mut answer = Vec::with_capacity(length.min(PIECE_BYTES));
        let mut rest = (&mut self.stream).take(length as u64);
        while answer.len() < length {
            if rest.read_buf(&mut answer).await.map_err(closed)? == 0 {
                return Err(closed(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.used_at = Instant::now();
        let body = wire::body(api, version, &answer).map_err(|_| odd(api.name))?.len();
        Ok(answer.split_off(answer.len() - body))
    }

    /// Whether it can be used once more; waits for nothing.
    pub(super) async fn is_usable(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.used_at) > IDLE_MAX || self.until.is_some_and(|until| now >= until) {
            return false;
        }
        // The runtime looks at its sockets when a task yields; without that a close may have come unseen.
        tokio::task::yield_now().await;
        let mut space = [0; 1];
        std::future::poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut space);
            // Nothing is waited for: whatever comes now is a close, or nonsense.
            Poll::Ready(Pin::new(&mut self.stream).poll_read(context, &mut buffer).is_pending())
        })
        .await
    }

    pub(super) async fn close(mut self) {
        // It is given up in any case.
        drop(self.stream.shutdown().await);
    }
}

fn odd(what: &str) -> Failed {
    Failed::Unanswered(format!("its answer to {what} cannot be read"))
}
