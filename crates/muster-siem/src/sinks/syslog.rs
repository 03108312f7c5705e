//! Syslog: RFC 5424 or RFC 3164 messages over UDP, TCP or TLS, framed by octet counting or newlines (RFC 6587).
//!
//! Syslog has no acknowledgement. The nearest to one is [`Confirm::Close`]: a connection for each delivery batch,
//! everything written, our half closed, then waiting until the receiver closes its half. A receiver does so when it
//! has read to the end, so a delivery batch counts as delivered when the receiver's program has read all of it from its
//! socket. What it does then is its own affair: a receiver that dies with messages in its own queue loses them, and
//! nobody is told. With [`Confirm::None`] the connection is kept and what the operating system has taken counts as
//! delivered; a receiver or network that dies then loses what was on its way. UDP promises nothing at all.
//!
//! A delivery batch that fails half-way is sent again as a whole, and the receiver then has its beginning twice.
//!
//! Over RELP (`relp.rs`) a receiver answers for each message, so each record has an outcome of its own: one is delivered when
//! all its messages were taken into the receiver's queue, and a connection that fails costs what had no answer only.
//!
//! A message is never cut: one that the transport or the settings do not take is rejected.

mod connection;
mod message;
mod pace;
mod relp;
mod settings;

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_http::{Obstacle, with_causes};
use muster_model::{DeliveryBatch, Outcome, Record, Report, Source, Trouble};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

pub use self::message::{Framing, Rfc, Transport};
pub use self::settings::{Confirm, SyslogSettings};

use self::connection::{CHATTER_BYTES_MAX, Connection};
use self::message::MessageLayout;
use self::pace::Pace;
use self::relp::{Answered, Session};
use self::settings::host_and_port;
use super::error::{SinkError, shown};
use super::outcomes::Outcomes;
use super::settings::{Settings, Surroundings, bytes};
use super::stream::Stream;
use super::tls;
use crate::formats::{Encoding, Events, Format};

/// Frames are written when this much has gathered.
const WRITE_BYTES: usize = 128 << 10;
/// Connections that are kept open with [`Confirm::None`].
const KEPT_MAX: usize = 4;
/// A syslog receiver.
#[derive(Debug)]
pub struct Syslog {
    name: String,
    settings: SyslogSettings,
    /// The receivers, with what TLS needs for each.
    receivers: Vec<Receiver>,
    /// Which of them was there last.
    current: AtomicUsize,
    encoding: Encoding,
    layout: MessageLayout,
    confirm: Confirm,
    pace: Option<Pace>,
    kept: Mutex<Vec<Connection>>,
    sessions: Mutex<Vec<Session>>,
}

#[derive(Debug)]
struct Receiver {
    host: String,
    port: u16,
    tls: Option<Tls>,
}

struct Tls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Syslog {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        name: &str,
        settings: SyslogSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            let receivers = settings.address.iter().map(|address| {
                let (host, port) = host_and_port(address)?;
                let tls = tls(&settings, &host, around)?;
                Ok(Receiver { host, port, tls })
            });
            let receivers = receivers.collect::<Result<Vec<_>, String>>()?;
            match settings.mistakes().first() {
                Some(mistake) => Err(mistake.clone()),
                None => Ok((encoding, receivers)),
            }
        });
        let (encoding, receivers) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        let transport = settings.transport;
        let layout = MessageLayout {
            transport,
            framing: settings.framing.unwrap_or_else(|| Framing::usual_for(transport)),
            rfc: settings.rfc,
            has_own_tag: matches!(encoding.format, Format::Cef(_) | Format::Leef(_)),
            message_bytes_max: match transport.is_relp() {
                true => Some(bytes(settings.message_bytes())),
                false => settings.message_size_max.map(bytes),
            },
            facility: settings.facility,
            host: settings.host_name.clone(),
            app_name: settings.app_name.clone(),
            structured_data: settings.structured_data.clone(),
        };
        let confirm = settings.confirm.unwrap_or_else(|| Confirm::usual_for(transport));
        Ok(Self {
            name: name.to_owned(),
            pace: settings.events_per_second_max.map(Pace::new),
            settings,
            receivers,
            current: AtomicUsize::new(0),
            encoding,
            layout,
            confirm,
            kept: Mutex::default(),
            sessions: Mutex::default(),
        })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let mut outcomes = Outcomes::default();
        let troubled = match (self.settings.transport, self.confirm) {
            (Transport::Udp, _) => self.send_datagrams(batch, &mut outcomes).await,
            (Transport::Relp | Transport::RelpTls, _) => self.send_relp(batch, &mut outcomes).await,
            (_, Confirm::Close) => self.send_and_close(batch, &mut outcomes).await,
            (_, Confirm::None) => self.send_and_keep(batch, &mut outcomes).await,
        };
        // What an early failure kept from being looked at is owed as well.
        outcomes.retry_rest(batch.records().count());
        if let Err(trouble) = troubled {
            if matches!(self.settings.transport, Transport::Tcp | Transport::Tls) {
                outcomes.retry_all();
            }
            outcomes.trouble(trouble);
        }
        outcomes.report()
    }

    async fn send_and_close(&self, batch: DeliveryBatch<'_>, outcomes: &mut Outcomes) -> Result<(), Trouble> {
        let mut connection = None;
        self.write_all(batch, outcomes, &mut connection).await?;
        match connection {
            Some(connection) => self.confirm_by_close(connection).await,
            None => Ok(()),
        }
    }

    async fn send_and_keep(&self, batch: DeliveryBatch<'_>, outcomes: &mut Outcomes) -> Result<(), Trouble> {
        let mut connection = self.take_kept().await;
        self.write_all(batch, outcomes, &mut connection).await?;
        let Some(mut connection) = connection else { return Ok(()) };
        self.step("taking messages", connection.stream.flush()).await?;
        if connection.has_ended().await {
            return Err(self.trouble("it closed the connection while messages were on their way", None));
        }
        let mut kept = self.kept.lock().expect("no panic while the lock is held");
        if kept.len() < KEPT_MAX {
            kept.push(connection);
        }
        Ok(())
    }

    /// A kept connection that the receiver has not closed meanwhile.
    async fn take_kept(&self) -> Option<Connection> {
        loop {
            let mut connection = self.kept.lock().expect("no panic while the lock is held").pop()?;
            if !connection.has_ended().await {
                return Some(connection);
            }
        }
    }

    /// Formats and writes every record, connecting when the first one is ready. Memory stays within one write.
    async fn write_all(
        &self,
        batch: DeliveryBatch<'_>,
        outcomes: &mut Outcomes,
        connection: &mut Option<Connection>,
    ) -> Result<(), Trouble> {
        let mut events = Events::new();
        let mut frames = Vec::with_capacity(WRITE_BYTES + (16 << 10));
        let mut header = Vec::new();
        for (index, (source, record)) in batch.records().enumerate() {
            if let Err(reason) = self.format(batch, source, record, &mut events, &mut header) {
                outcomes.push(Outcome::Rejected(reason));
                continue;
            }
            if let Some(until) = self.must_wait(&events) {
                if !frames.is_empty() {
                    self.write(&mut frames, connection).await?;
                }
                tokio::time::sleep_until(until).await;
            }
            let before = frames.len();
            outcomes.push(Outcome::Delivered);
            for event in events.iter() {
                match self.layout.frame(&header, event, &mut frames) {
                    Ok(()) => {}
                    Err(reason) => {
                        // A record goes whole or not at all.
                        frames.truncate(before);
                        outcomes.reject(index, &reason);
                        break;
                    }
                }
            }
            if frames.len() >= WRITE_BYTES {
                self.write(&mut frames, connection).await?;
            }
        }
        if frames.is_empty() { Ok(()) } else { self.write(&mut frames, connection).await }
    }

    /// Until when these events have to wait, so that the receiver gets no more a second than it may.
    fn must_wait(&self, events: &Events) -> Option<Instant> {
        self.pace.as_ref().and_then(|pace| pace.take(events.iter().count()))
    }

    async fn write(&self, frames: &mut Vec<u8>, connection: &mut Option<Connection>) -> Result<(), Trouble> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.connect().await?),
        };
        // In steps, so that a slow receiver has the timeout for each and not for all of a large record.
        for piece in frames.chunks(WRITE_BYTES) {
            self.step("taking messages", connection.stream.write_all(piece)).await?;
        }
        frames.clear();
        Ok(())
    }

    /// Closes our half and waits for the receiver to close its own.
    async fn confirm_by_close(&self, mut connection: Connection) -> Result<(), Trouble> {
        self.step("taking messages", connection.stream.flush()).await?;
        if connection.has_ended().await {
            return Err(self.trouble("it closed the connection before it can have read everything", None));
        }
        self.step("closing", connection.stream.shutdown()).await?;
        self.step("closing the connection after it has read everything", async {
            let mut chatter = [0; 1024];
            let mut heard = 0;
            loop {
                match connection.stream.read(&mut chatter).await {
                    Ok(0) => return Ok(()),
                    // Many receivers end TLS without saying so. What counts is that they have read to the end.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                    Ok(bytes) if heard == 0 && Obstacle::is_tls_alert(&chatter[..bytes]) => {
                        return Err(io::Error::other(Obstacle::WantsTls.told("")));
                    }
                    Ok(bytes) => heard += bytes,
                }
                if heard > CHATTER_BYTES_MAX {
                    return Err(io::Error::other("it talks back, so it is not a syslog receiver"));
                }
            }
        })
        .await?;
        // A receiver that had closed by itself while our last bytes were under way sends a reset for them, which
        // comes within a round trip.
        tokio::time::sleep((connection.took_to_connect * 2).min(Duration::from_millis(200))).await;
        match connection.stream.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => {
                Err(self
                    .trouble(&format!("it closed the connection before it read everything ({error})"), None))
            }
        }
    }

    async fn send_datagrams(&self, batch: DeliveryBatch<'_>, outcomes: &mut Outcomes) -> Result<(), Trouble> {
        let socket = self.step("finding the way", self.udp()).await?;
        let mut events = Events::new();
        let (mut header, mut datagram) = (Vec::new(), Vec::new());
        for (index, (source, record)) in batch.records().enumerate() {
            if let Err(reason) = self.format(batch, source, record, &mut events, &mut header) {
                outcomes.push(Outcome::Rejected(reason));
                continue;
            }
            if let Some(until) = self.must_wait(&events) {
                tokio::time::sleep_until(until).await;
            }
            outcomes.push(Outcome::Delivered);
            for event in events.iter() {
                datagram.clear();
                datagram.extend_from_slice(&header);
                datagram.extend_from_slice(event);
                if let Err(reason) = self.layout.fits(datagram.len()) {
                    outcomes.reject(index, &reason);
                    break;
                }
                let sent = self.step("taking datagrams", async {
                    match socket.send(&datagram).await {
                        Ok(_) => Ok(true),
                        // EMSGSIZE: the way to the receiver takes less than the protocol allows.
                        Err(error)
                            if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) =>
                        {
                            Ok(false)
                        }
                        Err(error) => Err(error),
                    }
                });
                match sent.await {
                    Ok(true) => {}
                    Ok(false) => {
                        let reason = format!("the network takes no datagram of {} bytes", datagram.len());
                        outcomes.reject(index, &reason);
                        break;
                    }
                    Err(trouble) => {
                        outcomes.retry(index);
                        return Err(trouble);
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends messages over RELP; what has no answer when it fails is owed, and nothing else.
    async fn send_relp(&self, batch: DeliveryBatch<'_>, outcomes: &mut Outcomes) -> Result<(), Trouble> {
        let mut session = self.take_session().await;
        let (mut answered, mut is_taken) = (Vec::new(), false);
        let sent = self.put_relp(batch, outcomes, &mut session, &mut answered).await;
        for Answered { record, refused } in answered {
            match refused {
                None => is_taken = true,
                Some(reason) => {
                    outcomes.refuse(record, format!("the receiver refuses the message: {reason}"))
                }
            }
        }
        if let Err(trouble) = sent {
            session.iter().flat_map(Session::unanswered).for_each(|record| outcomes.retry(record));
            outcomes.settle_refused(is_taken);
            return Err(trouble);
        }
        if let Some(session) = session {
            let mut kept = self.sessions.lock().expect("no panic while the lock is held");
            if kept.len() < KEPT_MAX {
                kept.push(session);
            }
        }
        match outcomes.settle_refused(is_taken) {
            None => Ok(()),
            // Whoever refuses everything is in trouble itself.
            Some(reason) => {
                Err(self.trouble(&format!("{reason}; it has taken nothing else meanwhile"), None))
            }
        }
    }

    async fn put_relp(
        &self,
        batch: DeliveryBatch<'_>,
        outcomes: &mut Outcomes,
        session: &mut Option<Session>,
        answered: &mut Vec<Answered>,
    ) -> Result<(), Trouble> {
        let (mut events, mut header) = (Events::new(), Vec::new());
        for (index, (source, record)) in batch.records().enumerate() {
            if let Err(reason) = self.format(batch, source, record, &mut events, &mut header) {
                outcomes.push(Outcome::Rejected(reason));
                continue;
            }
            // A record goes whole or not at all.
            let fits = events.iter().try_for_each(|event| self.layout.fits(header.len() + event.len()));
            if let Err(reason) = fits {
                outcomes.push(Outcome::Rejected(reason));
                continue;
            }
            if session.is_none() {
                *session = Some(self.open_session().await?);
            }
            let Some(session) = session.as_mut() else { continue };
            if let Some(until) = self.must_wait(&events) {
                tokio::time::sleep_until(until).await;
            }
            outcomes.push(Outcome::Delivered);
            for event in events.iter() {
                let sent = self.step("answering for messages", session.send(index, &header, event)).await;
                match sent {
                    Ok(answer) => answered.extend(answer),
                    Err(trouble) => {
                        // Some of its messages may not even be on their way.
                        outcomes.retry(index);
                        return Err(trouble);
                    }
                }
            }
        }
        let Some(session) = session.as_mut() else { return Ok(()) };
        while let Some(answer) = self.step("answering for messages", session.answer()).await? {
            answered.push(answer);
        }
        Ok(())
    }

    /// A kept session that the receiver has not closed meanwhile.
    async fn take_session(&self) -> Option<Session> {
        loop {
            let mut session = self.sessions.lock().expect("no panic while the lock is held").pop()?;
            if !session.connection.has_ended().await {
                return Some(session);
            }
        }
    }

    async fn open_session(&self) -> Result<Session, Trouble> {
        let connection = self.connect().await?;
        self.step("agreeing on RELP", Session::open(connection)).await
    }

    async fn udp(&self) -> io::Result<UdpSocket> {
        let mut last = io::Error::other("the name has no address");
        let Receiver { host, port, .. } = self.receiver();
        for address in tokio::net::lookup_host((host.as_str(), *port)).await? {
            let from: SocketAddr =
                if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
            let socket = UdpSocket::bind(from).await?;
            match socket.connect(address).await {
                Ok(()) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The receiver that is in use.
    fn receiver(&self) -> &Receiver {
        &self.receivers[self.current.load(Ordering::Relaxed) % self.receivers.len()]
    }

    /// Connects to the receiver in use; where it is not there, to the next one that is, which is in use from then on. Others that
    /// connect at the same time try receivers of their own.
    async fn connect(&self) -> Result<Connection, Trouble> {
        let (first, count) = (self.current.load(Ordering::Relaxed), self.receivers.len());
        let mut trouble = None;
        for place in (first..first + count).map(|place| place % count) {
            match self.connect_to(&self.receivers[place]).await {
                Ok(connection) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(failed) => {
                    trouble.get_or_insert(failed);
                }
            }
        }
        Err(trouble.expect("there is one receiver at least"))
    }

    async fn connect_to(&self, receiver: &Receiver) -> Result<Connection, Trouble> {
        let start = Instant::now();
        let address = (receiver.host.as_str(), receiver.port);
        let tcp = self.step_at(receiver, "connecting", TcpStream::connect(address)).await?;
        let took_to_connect = start.elapsed();
        let nodelay = tcp.set_nodelay(true);
        let stream = match &receiver.tls {
            None => Stream::Tcp(tcp),
            Some(tls) => {
                let shaking = tls.connector.connect(tls.server_name.clone(), tcp);
                Stream::Tls(Box::new(self.step_at(receiver, "shaking hands for TLS", shaking).await?))
            }
        };
        nodelay.map_err(|error| self.trouble_at(receiver, &error.to_string(), None))?;
        Ok(Connection { stream, took_to_connect })
    }

    /// One step with the timeout, its failure in words.
    async fn step<T>(&self, what: &str, step: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
        self.step_at(self.receiver(), what, step).await
    }

    async fn step_at<T>(
        &self,
        receiver: &Receiver,
        what: &str,
        step: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Trouble> {
        match tokio::time::timeout(self.settings.timeout.0, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let advice = match error.kind() {
                    io::ErrorKind::InvalidData => {
                        "check the CA file, the server name, and that the port speaks TLS"
                    }
                    _ => "check the host, the network and the receiver's own log",
                };
                let said = shown(&with_causes(&error));
                let told = match Obstacle::of(&error, None) {
                    Some(obstacle) => format!("it failed at {what}: {}", obstacle.told(&said)),
                    None => format!("it failed at {what} ({said}): {advice}"),
                };
                Err(self.trouble_at(receiver, &told, None))
            }
            Err(_) => Err(self.trouble_at(
                receiver,
                &format!(
                    "it took longer than {:?} at {what}: it is stalled or overloaded",
                    self.settings.timeout.0
                ),
                None,
            )),
        }
    }

    fn trouble(&self, reason: &str, after: Option<Duration>) -> Trouble {
        self.trouble_at(self.receiver(), reason, after)
    }

    fn trouble_at(&self, receiver: &Receiver, reason: &str, after: Option<Duration>) -> Trouble {
        let Receiver { host, port, .. } = receiver;
        Trouble { reason: format!("sink `{}` ({}:{port}): {reason}", self.name, shown(host)), after }
    }

    /// The record's events, and the header that stands before each of them.
    fn format(
        &self,
        batch: DeliveryBatch<'_>,
        source: Source,
        record: Record<'_>,
        events: &mut Events,
        header: &mut Vec<u8>,
    ) -> Result<(), String> {
        events.clear();
        self.encoding
            .write(source.kind(), record, batch.tenant, events)
            .map_err(|error| error.to_string())?;
        let time = events.events().next().and_then(|event| event.envelope.time);
        self.layout.write_header(source, (record.head.severity, time), batch.tenant, header);
        Ok(())
    }

    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        if self.settings.transport == Transport::Udp {
            self.step("finding the way", self.udp()).await.map_err(unusable)?;
            let Receiver { host, port, .. } = self.receiver();
            return Ok(format!(
                "{host}:{port} has an address; over UDP nobody can tell whether anyone listens"
            ));
        }
        if self.settings.transport.is_relp() {
            let session = self.open_session().await.map_err(unusable)?;
            let how = if relp::is_encrypted(&session) { "under TLS" } else { "in the clear" };
            self.step("closing", session.close()).await.map_err(unusable)?;
            let (Receiver { host, port, .. }, bytes) =
                (self.receiver(), bytes(self.settings.message_bytes()));
            return Ok(format!(
                "{host}:{port} speaks RELP {how} and answers for each message; messages of more than {bytes} bytes are not sent to it"
            ));
        }
        let mut connection = self.connect().await.map_err(unusable)?;
        let version = match &connection.stream {
            Stream::Tcp(_) => "in the clear".to_owned(),
            Stream::Tls(stream) => {
                let version = stream.get_ref().1.protocol_version();
                format!("under {}", version.and_then(|version| version.as_str()).unwrap_or("TLS"))
            }
        };
        let confirms = match self.confirm {
            // Whether it closes after us is what deliveries depend on.
            Confirm::Close => {
                self.confirm_by_close(connection).await.map_err(unusable)?;
                "and closes them when it has read to the end"
            }
            Confirm::None => {
                self.step("closing", connection.stream.shutdown()).await.map_err(unusable)?;
                "and is not asked to confirm"
            }
        };
        // Receivers cut or drop what is longer than they allow, and nothing on the wire tells so.
        let limit = match self.layout.message_bytes_max {
            Some(bytes) => format!("messages of more than {bytes} bytes are not sent to it"),
            None => {
                "set `message_size_max` to the receiver's own limit, or it may lose longer messages unseen"
                    .to_owned()
            }
        };
        let Receiver { host, port, .. } = self.receiver();
        Ok(format!("{host}:{port} takes connections {version}, {confirms}; {limit}"))
    }

    pub(super) async fn close(&self) {
        let sessions = std::mem::take(&mut *self.sessions.lock().expect("no panic while the lock is held"));
        for session in sessions {
            if let Err(trouble) = self.step("closing", session.close()).await {
                tracing::debug!(
                    sink.name = self.name,
                    reason = trouble.reason,
                    "a session did not close well"
                );
            }
        }
        let kept = std::mem::take(&mut *self.kept.lock().expect("no panic while the lock is held"));
        for mut connection in kept {
            if let Err(trouble) = self.step("closing", connection.stream.shutdown()).await {
                tracing::debug!(
                    sink.name = self.name,
                    reason = trouble.reason,
                    "a connection did not close well"
                );
            }
        }
    }
}

/// What TLS needs, where it is used; or why the settings cannot work.
fn tls(settings: &SyslogSettings, host: &str, around: &Surroundings<'_>) -> Result<Option<Tls>, String> {
    if settings.transport == Transport::Udp && settings.confirm == Some(Confirm::Close) {
        return Err("over udp nothing can be confirmed: use tcp or tls, or set confirm to none".to_owned());
    }
    if !settings.transport.is_encrypted() {
        return Ok(None);
    }
    let name = settings.server_name.as_deref().unwrap_or(host);
    let server_name = ServerName::try_from(name.to_owned()).map_err(|_| {
        format!("`{}` is no name that a certificate could have: set server_name", shown(name))
    })?;
    let ca_file = around.path(settings.ca_file.as_ref());
    // The configuration holds the cache by which later connections resume the session.
    let certificate = around.path(settings.client_certificate.as_ref());
    let identity = match (&certificate, &settings.client_key) {
        (Some(certificate), Some(key)) => {
            let key = (around.secret)(key).map_err(|no_secret| no_secret.reason)?;
            Some((certificate.as_path(), key))
        }
        _ => None,
    };
    let connector = TlsConnector::from(tls::client_config(ca_file.as_deref(), identity)?);
    Ok(Some(Tls { connector, server_name }))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_relp;
