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
//! A message is never cut: one that the transport or the settings do not take is rejected.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use muster_http::with_causes;
use muster_model::{DeliveryBatch, Outcome, Record, Report, Severity, Source, Trouble};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Answers, SinkError, TlsOptions, shown, tls};
use crate::formats::{Events, Format, Spelling};

/// What a UDP datagram over IPv4 can carry.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Frames are written when this much has gathered.
const WRITE_BYTES: usize = 128 << 10;
/// Connections that are kept open with [`Confirm::None`].
const KEPT_MAX: usize = 4;
/// What a receiver may say before it closes; it has nothing to say.
const CHATTER_BYTES_MAX: usize = 64 << 10;

/// The settings of a [`Syslog`].
#[derive(Debug, Clone)]
pub struct SyslogOptions {
    /// The receiver's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub transport: Transport,
    /// How messages are told apart on a stream.
    pub framing: Framing,
    /// How the header is spelled.
    pub rfc: Rfc,
    /// The facility's number, 0 to 23.
    pub facility: u8,
    /// The application's name in the header.
    pub app_name: String,
    /// The sending host's name in the header.
    pub hostname: String,
    /// How records are spelled.
    pub spelling: Spelling,
    /// What counts as delivered.
    pub confirm: Confirm,
    /// How long each step may take: to connect, to shake hands, to take the next bytes, to close.
    pub timeout: Duration,
    /// The longest message, header included, that the receiver takes. Longer ones are rejected.
    pub message_bytes_max: Option<usize>,
    /// Whom to trust.
    pub tls: TlsOptions,
}

impl SyslogOptions {
    /// The defaults beside what must be said.
    #[must_use]
    pub fn new(host: String, port: u16, transport: Transport, spelling: impl Into<Spelling>) -> Self {
        Self {
            host,
            port,
            transport,
            framing: Framing::usual_for(transport),
            rfc: Rfc::Rfc5424,
            facility: 16,
            app_name: "muster".to_owned(),
            hostname: "muster".to_owned(),
            spelling: spelling.into(),
            confirm: Confirm::usual_for(transport),
            timeout: Duration::from_secs(30),
            message_bytes_max: None,
            tls: TlsOptions::default(),
        }
    }
}

/// How a receiver is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram for each message.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream under TLS.
    Tls,
}

/// How messages are told apart on a stream (RFC 6587).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The length in front of each message.
    OctetCounting,
    /// A newline after each message.
    Newline,
}

impl Framing {
    /// What RFC 5425 asks of TLS, and what receivers expect over TCP.
    #[must_use]
    pub fn usual_for(transport: Transport) -> Self {
        match transport {
            Transport::Tls => Self::OctetCounting,
            Transport::Udp | Transport::Tcp => Self::Newline,
        }
    }
}

/// How the header is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rfc {
    /// `<PRI>1 2026-01-02T03:04:05.123456Z host app - graph_alerts - message`
    Rfc5424,
    /// `<PRI>Jan  2 03:04:05 host message`, the time in UTC.
    Rfc3164,
}

/// What counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// The receiver has read everything and closed the connection after us.
    Close,
    /// The operating system has taken it.
    None,
}

impl Confirm {
    /// The most that a transport can do.
    #[must_use]
    pub fn usual_for(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::None,
            Transport::Tcp | Transport::Tls => Self::Close,
        }
    }
}

/// A syslog receiver.
#[derive(Debug)]
pub struct Syslog {
    name: String,
    options: SyslogOptions,
    tls: Option<Tls>,
    /// Host and application as they may stand in a header.
    host_field: String,
    app_field: String,
    kept: Mutex<Vec<Connection>>,
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
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn new(name: String, options: SyslogOptions) -> Result<Self, SinkError> {
        let tls = match check(&options) {
            Ok(tls) => tls,
            Err(problem) => return Err(SinkError::Settings { sink: name, problem }),
        };
        Ok(Self {
            host_field: header_field(&options.hostname, 255),
            app_field: header_field(&options.app_name, 48),
            name,
            options,
            tls,
            kept: Mutex::default(),
        })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let mut answers = Answers::new();
        let troubled = match (self.options.transport, self.options.confirm) {
            (Transport::Udp, _) => self.send_datagrams(batch, &mut answers).await,
            (_, Confirm::Close) => self.send_and_close(batch, &mut answers).await,
            (_, Confirm::None) => self.send_and_keep(batch, &mut answers).await,
        };
        // What an early failure kept from being looked at is owed as well.
        answers.outcomes.resize(batch.records().count(), Outcome::Retry);
        if let Err(trouble) = troubled {
            if self.options.transport != Transport::Udp {
                answers.retry_all();
            }
            answers.trouble(trouble);
        }
        answers.report()
    }

    async fn send_and_close(&self, batch: DeliveryBatch<'_>, answers: &mut Answers) -> Result<(), Trouble> {
        let mut connection = None;
        self.write_all(batch, answers, &mut connection).await?;
        match connection {
            Some(connection) => self.confirm_by_close(connection).await,
            None => Ok(()),
        }
    }

    async fn send_and_keep(&self, batch: DeliveryBatch<'_>, answers: &mut Answers) -> Result<(), Trouble> {
        let mut connection = self.take_kept().await;
        self.write_all(batch, answers, &mut connection).await?;
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
        answers: &mut Answers,
        connection: &mut Option<Connection>,
    ) -> Result<(), Trouble> {
        let mut events = Events::new();
        let mut frames = Vec::with_capacity(WRITE_BYTES + (16 << 10));
        let mut header = Vec::new();
        for (index, (source, record)) in batch.records().enumerate() {
            let before = frames.len();
            if let Err(reason) = self.spell(batch, source, record, &mut events, &mut header) {
                answers.outcomes.push(Outcome::Rejected(reason));
                continue;
            }
            answers.outcomes.push(Outcome::Delivered);
            for event in events.iter() {
                match self.frame(&header, event, &mut frames) {
                    Ok(()) => {}
                    Err(reason) => {
                        // A record goes whole or not at all.
                        frames.truncate(before);
                        answers.reject(index, &reason);
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

    async fn send_datagrams(&self, batch: DeliveryBatch<'_>, answers: &mut Answers) -> Result<(), Trouble> {
        let socket = self.step("finding the way", self.udp()).await?;
        let mut events = Events::new();
        let (mut header, mut datagram) = (Vec::new(), Vec::new());
        for (index, (source, record)) in batch.records().enumerate() {
            if let Err(reason) = self.spell(batch, source, record, &mut events, &mut header) {
                answers.outcomes.push(Outcome::Rejected(reason));
                continue;
            }
            answers.outcomes.push(Outcome::Delivered);
            for event in events.iter() {
                datagram.clear();
                datagram.extend_from_slice(&header);
                datagram.extend_from_slice(event);
                if let Err(reason) = self.fits(datagram.len()) {
                    answers.reject(index, &reason);
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
                        answers.reject(index, &reason);
                        break;
                    }
                    Err(trouble) => {
                        answers.retry(index);
                        return Err(trouble);
                    }
                }
            }
        }
        Ok(())
    }

    async fn udp(&self) -> io::Result<UdpSocket> {
        let mut last = io::Error::other("the name has no address");
        for address in tokio::net::lookup_host((self.options.host.as_str(), self.options.port)).await? {
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

    async fn connect(&self) -> Result<Connection, Trouble> {
        let start = Instant::now();
        let address = (self.options.host.as_str(), self.options.port);
        let tcp = self.step("connecting", TcpStream::connect(address)).await?;
        let took_to_connect = start.elapsed();
        let nodelay = tcp.set_nodelay(true);
        let stream = match &self.tls {
            None => Stream::Tcp(tcp),
            Some(tls) => {
                let shaking = tls.connector.connect(tls.server_name.clone(), tcp);
                Stream::Tls(Box::new(self.step("shaking hands for TLS", shaking).await?))
            }
        };
        nodelay.map_err(|error| self.trouble(&error.to_string(), None))?;
        Ok(Connection { stream, took_to_connect })
    }

    /// One step with the timeout, its failure in words.
    async fn step<T>(&self, what: &str, step: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
        match tokio::time::timeout(self.options.timeout, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let advice = match error.kind() {
                    io::ErrorKind::ConnectionRefused => "check that it runs and listens on this port",
                    io::ErrorKind::InvalidData => {
                        "check the CA file, the server name, and that the port speaks TLS"
                    }
                    _ => "check the host, the network and the receiver's own log",
                };
                Err(self.trouble(
                    &format!("it failed at {what} ({}): {advice}", shown(&with_causes(&error))),
                    None,
                ))
            }
            Err(_) => Err(self.trouble(
                &format!(
                    "it took longer than {:?} at {what}: it is stalled or overloaded",
                    self.options.timeout
                ),
                None,
            )),
        }
    }

    fn trouble(&self, reason: &str, after: Option<Duration>) -> Trouble {
        let SyslogOptions { host, port, .. } = &self.options;
        Trouble { reason: format!("sink `{}` ({}:{port}): {reason}", self.name, shown(host)), after }
    }

    /// The record's events, and the header that stands before each of them.
    fn spell(
        &self,
        batch: DeliveryBatch<'_>,
        source: Source,
        record: Record<'_>,
        events: &mut Events,
        header: &mut Vec<u8>,
    ) -> Result<(), String> {
        events.clear();
        self.options
            .spelling
            .write(source.kind(), record, batch.tenant, events)
            .map_err(|error| error.to_string())?;
        header.clear();
        let priority = self.options.facility * 8 + severity_number(record.head.severity);
        let time = time_of(record);
        let text = match self.options.rfc {
            Rfc::Rfc5424 => {
                let time = time.and_then(time_5424);
                let time = time.as_deref().unwrap_or("-");
                format!("<{priority}>1 {time} {} {} - {source} - ", self.host_field, self.app_field)
            }
            Rfc::Rfc3164 => {
                let time = time.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%b %e %H:%M:%S");
                // CEF and LEEF take the place of the tag: receivers look for `CEF:` right after the host.
                match self.options.spelling.format {
                    Format::Cef(_) | Format::Leef(_) => format!("<{priority}>{time} {} ", self.host_field),
                    _ => {
                        format!("<{priority}>{time} {} {}: ", self.host_field, self.app_field)
                    }
                }
            }
        };
        header.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Appends one message, framed.
    fn frame(&self, header: &[u8], event: &[u8], frames: &mut Vec<u8>) -> Result<(), String> {
        let bytes = header.len() + event.len();
        self.fits(bytes)?;
        match self.options.framing {
            Framing::OctetCounting => frames.extend_from_slice(format!("{bytes} ").as_bytes()),
            // Formats write none; if one ever does, it must not become a message of its own.
            Framing::Newline if memchr::memchr2(b'\n', b'\0', event).is_some() => {
                return Err("the message holds a newline, which newline framing cannot carry".to_owned());
            }
            Framing::Newline => {}
        }
        frames.extend_from_slice(header);
        frames.extend_from_slice(event);
        if self.options.framing == Framing::Newline {
            frames.push(b'\n');
        }
        Ok(())
    }

    fn fits(&self, bytes: usize) -> Result<(), String> {
        let most = match self.options.transport {
            Transport::Udp => self.options.message_bytes_max.unwrap_or(usize::MAX).min(DATAGRAM_BYTES_MAX),
            Transport::Tcp | Transport::Tls => self.options.message_bytes_max.unwrap_or(usize::MAX),
        };
        if bytes <= most {
            return Ok(());
        }
        let advice = match self.options.transport {
            Transport::Udp => "use tcp or tls for large records",
            Transport::Tcp | Transport::Tls => "raise message_bytes_max if the receiver takes more",
        };
        Err(format!("the message has {bytes} bytes and at most {most} are taken; it is not cut: {advice}"))
    }

    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let SyslogOptions { host, port, transport, .. } = &self.options;
        let unusable = |trouble: Trouble| {
            let prefix = format!("sink `{}` ", self.name);
            let problem = trouble.reason.strip_prefix(&prefix).unwrap_or(&trouble.reason).to_owned();
            SinkError::Unusable { sink: self.name.clone(), problem }
        };
        if *transport == Transport::Udp {
            self.step("finding the way", self.udp()).await.map_err(unusable)?;
            return Ok(format!(
                "{host}:{port} has an address; over UDP nobody can tell whether anyone listens"
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
        let confirms = match self.options.confirm {
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
        let limit = match self.options.message_bytes_max {
            Some(bytes) => format!("messages of more than {bytes} bytes are not sent to it"),
            None => {
                "set `message_size_max` to the receiver's own limit, or it may lose longer messages unseen"
                    .to_owned()
            }
        };
        Ok(format!("{host}:{port} takes connections {version}, {confirms}; {limit}"))
    }

    pub(super) async fn close(&self) {
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

fn check(options: &SyslogOptions) -> Result<Option<Tls>, String> {
    if options.host.trim().is_empty() || options.host.contains(char::is_whitespace) {
        return Err("its host must be a name or an address".to_owned());
    }
    if options.facility > 23 {
        return Err(format!("facility {} does not exist: use 0 to 23", options.facility));
    }
    if options.transport == Transport::Udp && options.confirm == Confirm::Close {
        return Err("over udp nothing can be confirmed: use tcp or tls, or set confirm to none".to_owned());
    }
    if options.transport != Transport::Tls {
        return Ok(None);
    }
    let name = options.tls.server_name.as_deref().unwrap_or(&options.host);
    let server_name = ServerName::try_from(name.to_owned()).map_err(|_| {
        format!("`{}` is no name that a certificate could have: set server_name", shown(name))
    })?;
    // The configuration holds the cache by which later connections resume the session.
    Ok(Some(Tls { connector: TlsConnector::from(tls::client_config(&options.tls)?), server_name }))
}

/// A header field: printable ASCII without spaces, at most `bytes_max`, `-` for nothing.
fn header_field(text: &str, bytes_max: usize) -> String {
    let fits = |character: char| if character.is_ascii_graphic() { character } else { '-' };
    let field: String = text.trim().chars().take(bytes_max).map(fits).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}

/// When it was created, or else last changed. Times such as .NET's "no date" of year 1 are none.
fn time_of(record: Record<'_>) -> Option<Timestamp> {
    let times = [record.head.created_at, record.head.updated_at];
    times.into_iter().flatten().find(|time| *time > Timestamp::UNIX_EPOCH)
}

/// RFC 5424 takes six fractional digits at most, and years of four digits.
fn time_5424(time: Timestamp) -> Option<String> {
    let text = time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    (text.len() == 27).then_some(text)
}

fn severity_number(severity: Severity) -> u8 {
    match severity {
        Severity::High => 2,
        Severity::Medium => 4,
        Severity::Low | Severity::Unknown => 5,
        Severity::Informational => 6,
    }
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    took_to_connect: Duration,
}

impl Connection {
    /// Whether the receiver has closed its half already; waits for nothing.
    async fn has_ended(&mut self) -> bool {
        // The runtime looks at its sockets when a task yields; without that a close may have come unseen.
        tokio::task::yield_now().await;
        let mut heard = 0;
        let mut space = [0; 1024];
        std::future::poll_fn(|context| {
            loop {
                let mut buffer = ReadBuf::new(&mut space);
                match pin!(&mut self.stream).poll_read(context, &mut buffer) {
                    Poll::Pending => return Poll::Ready(false),
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() && heard <= CHATTER_BYTES_MAX => {
                        heard += buffer.filled().len();
                    }
                    Poll::Ready(_) => return Poll::Ready(true),
                }
            }
        })
        .await
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Tls(stream) => stream.get_ref().0.take_error(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
#[path = "syslog_tests.rs"]
mod tests;
