//! The way to a mail server: connected, encrypted as the settings say, signed in. A server that offers no STARTTLS gets
//! nothing; what it said before TLS counts for nothing after it; and none may say more than a bound.
//!
//! Source: RFC 5321, RFC 3207, RFC 4954.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use muster_http::{Obstacle, with_causes};
use muster_model::Secret;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::trouble::Trouble;
use crate::config::{MailSettings, MailTls};

/// What one server may say in one conversation: many times what any does, and little enough to be read at once.
const SAID_BYTES_MAX: usize = 16 << 10;
/// What a line of it may hold before TLS.
const LINE_BYTES_MAX: usize = 1_000;
/// What stands for the greeting that the server gave before TLS.
const GREETED: &[u8] = b"220 ready\r\n";

/// Who brings mails to a server.
pub struct Smtp {
    server: String,
    port: u16,
    tls: MailTls,
    connector: TlsConnector,
    credentials: Option<(String, Secret<String>)>,
    timeout: std::time::Duration,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Smtp {
    /// By these settings; nothing is connected yet.
    ///
    /// # Errors
    /// When the CA file cannot be used, in words.
    pub fn new(
        settings: &MailSettings,
        password: Option<Secret<String>>,
        ca_file: Option<&Path>,
    ) -> Result<Self, String> {
        let wrong = |error: muster_http::RootsError| match ca_file {
            Some(file) => format!("the CA file {}: {error}", file.display()),
            None => error.to_string(),
        };
        let extra = ca_file.map(muster_http::read_roots).transpose().map_err(wrong)?;
        let tls = muster_http::tls_config(extra.as_deref()).map_err(wrong)?;
        Ok(Self {
            server: settings.server.clone(),
            port: settings.port(),
            tls: settings.tls,
            connector: TlsConnector::from(Arc::new(tls)),
            credentials: settings.user.clone().zip(password),
            timeout: settings.timeout.0,
        })
    }

    /// Brings a mail; what the server answered.
    ///
    /// # Errors
    /// Why it did not take it.
    pub async fn send(&self, mail: &Message) -> Result<String, Trouble> {
        self.in_time(async {
            let mut connection = self.signed_in().await?;
            let answer = match self.say_mail(&mut connection, mail).await {
                Ok(answer) => answer,
                Err(trouble) => {
                    connection.abort().await;
                    return Err(trouble);
                }
            };
            // The mail is taken; how the conversation ends changes nothing.
            connection.quit().await.ok();
            let words: Vec<&str> = answer.message().collect();
            Ok(muster_model::text::shown(&format!("{} {}", answer.code(), words.join(" ")), 200))
        })
        .await
    }

    /// Says whom a mail is from and to, and what it says. A sender that the server does not take is trouble of our settings, which
    /// every mail would meet; a recipient or a text that it does not take is this mail's.
    async fn say_mail(
        &self,
        connection: &mut AsyncSmtpConnection,
        mail: &Message,
    ) -> Result<Response, Trouble> {
        let (envelope, text) = (mail.envelope(), mail.formatted());
        let offers = |what| connection.server_info().supports_feature(what);
        let is_foreign =
            envelope.from().into_iter().chain(envelope.to()).any(|of| !of.to_string().is_ascii());
        let mut options = Vec::new();
        for (is_needed, offer, option) in [
            (is_foreign, Extension::SmtpUtfEight, MailParameter::SmtpUtfEight),
            (!text.is_ascii(), Extension::EightBitMime, MailParameter::Body(MailBodyParameter::EightBitMime)),
        ] {
            if is_needed && !offers(offer) {
                let server = &self.server;
                let said = format!("the mail server {server} does not offer {offer}, which the mail needs");
                return Err(Trouble::of_the_message(said));
            }
            if is_needed {
                options.push(option);
            }
        }
        let from = Mail::new(envelope.from().cloned(), options);
        connection.command(from).await.map_err(|error| {
            let trouble = self.refused(&error, false);
            match error.is_permanent() {
                true => Trouble::of_the_way(format!(
                    "{}: check `from`, and whether the server lets this machine send from there",
                    trouble.reason
                )),
                false => trouble,
            }
        })?;
        for to in envelope.to() {
            let to = Rcpt::new(to.clone(), Vec::new());
            connection.command(to).await.map_err(|error| self.refused(&error, true))?;
        }
        connection.command(Data).await.map_err(|error| self.refused(&error, true))?;
        connection.message(&text).await.map_err(|error| self.refused(&error, true))
    }

    /// Connects and signs in, and brings nothing.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub async fn look(&self) -> Result<String, Trouble> {
        self.in_time(async {
            let mut connection = self.signed_in().await?;
            connection.quit().await.ok();
            let how = match self.tls {
                MailTls::None => "in the clear",
                MailTls::Implicit => "by TLS",
                MailTls::Starttls => "by STARTTLS",
            };
            let who = if self.credentials.is_some() { ", and lets the user in" } else { "" };
            Ok(format!("{}:{} answers {how}{who}", self.server, self.port))
        })
        .await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(Trouble::of_the_way(format!(
                "no way to the mail server {}: it did not finish within {:?}: it is stalled or overloaded",
                self.server, self.timeout
            ))),
        }
    }

    async fn signed_in(&self) -> Result<AsyncSmtpConnection, Trouble> {
        let hello = hello();
        let stream = self.connected(&hello).await?;
        let connection = AsyncSmtpConnection::connect_with_transport(stream, &hello).await;
        let mut connection = connection.map_err(|error| self.refused(&error, false))?;
        if let Some((user, password)) = &self.credentials {
            let credentials = Credentials::new(user.clone(), password.expose().clone());
            let asked = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            asked.map_err(|error| match error.is_client() {
                true => Trouble::of_the_way(format!(
                    "the mail server {} offers no sign-in that Muster knows (PLAIN, LOGIN): check server, port and tls",
                    self.server
                )),
                false => {
                    let Trouble { reason, .. } = self.refused(&error, false);
                    Trouble::of_the_way(format!("{reason}: check user and password"))
                }
            })?;
        }
        Ok(connection)
    }

    /// The way there, encrypted as is wanted.
    async fn connected(&self, hello: &ClientId) -> Result<Box<dyn AsyncTokioStream>, Trouble> {
        let tcp = TcpStream::connect((self.server.as_str(), self.port)).await;
        let tcp = tcp.map_err(|error| self.no_way(&error))?;
        let peer = tcp.peer_addr().map_err(|error| self.no_way(&error))?;
        tcp.set_nodelay(true).map_err(|error| self.no_way(&error))?;
        Ok(match self.tls {
            MailTls::None => Box::new(Bounded::new(tcp, peer, b"")),
            MailTls::Implicit => Box::new(Bounded::new(self.shake(tcp).await?, peer, b"")),
            MailTls::Starttls => {
                let mut tcp = tcp;
                self.ask_for_tls(&mut tcp, hello).await?;
                Box::new(Bounded::new(self.shake(tcp).await?, peer, GREETED))
            }
        })
    }

    async fn shake(&self, tcp: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Trouble> {
        let name = ServerName::try_from(self.server.clone()).map_err(|_| {
            Trouble::of_the_way(format!("`{}` is no name that a certificate could have", self.server))
        })?;
        self.connector.connect(name, tcp).await.map_err(|error| self.no_way(&error))
    }

    /// Speaks in the clear until the server is ready for TLS. It is read byte by byte, so that nothing that it says ahead is
    /// taken for an answer under TLS.
    async fn ask_for_tls(&self, tcp: &mut TcpStream, hello: &ClientId) -> Result<(), Trouble> {
        let greeting = self.answer(tcp).await?;
        self.expect(&greeting, "220", "does not greet")?;
        self.say(tcp, &format!("EHLO {hello}\r\n")).await?;
        let offers = self.answer(tcp).await?;
        self.expect(&offers, "250", "does not take EHLO")?;
        let has_tls = offers
            .iter()
            .any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")));
        if !has_tls {
            return Err(Trouble::of_the_way(format!(
                "the mail server {} offers no STARTTLS, and nothing is sent in the clear: use the port of tls = \"implicit\", or, on a \
                 network that is safe, tls = \"none\"",
                self.server
            )));
        }
        self.say(tcp, "STARTTLS\r\n").await?;
        let ready = self.answer(tcp).await?;
        self.expect(&ready, "220", "does not begin TLS")
    }

    async fn say(&self, tcp: &mut TcpStream, line: &str) -> Result<(), Trouble> {
        tcp.write_all(line.as_bytes()).await.map_err(|error| self.no_way(&error))
    }

    /// The lines of one answer.
    async fn answer(&self, tcp: &mut TcpStream) -> Result<Vec<String>, Trouble> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = Vec::new();
            loop {
                let byte = tcp.read_u8().await.map_err(|error| self.no_way(&error))?;
                if byte == b'\n' {
                    break;
                }
                line.push(byte);
                if line.len() > LINE_BYTES_MAX || lines.len() > 100 {
                    return Err(Trouble::of_the_way(format!(
                        "the mail server {} says more than any does: check server and port",
                        self.server
                    )));
                }
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if is_last {
                return Ok(lines);
            }
        }
    }

    fn expect(&self, answer: &[String], code: &str, otherwise: &str) -> Result<(), Trouble> {
        let first = answer.first().map_or("", String::as_str);
        match first.starts_with(code) {
            true => Ok(()),
            false => Err(Trouble::of_the_way(format!(
                "the mail server {} {otherwise}: it says `{}`",
                self.server,
                muster_model::text::shown(first, 200)
            ))),
        }
    }

    fn no_way(&self, error: &(dyn std::error::Error + 'static)) -> Trouble {
        let said = muster_http::shown(&with_causes(error));
        Trouble::of_the_way(match Obstacle::of(error, None) {
            Some(obstacle) => format!("no way to the mail server {}: {}", self.server, obstacle.told(&said)),
            None => format!(
                "no way to the mail server {} ({said}): check server, port and tls, and its own log",
                self.server
            ),
        })
    }

    /// What the server has against a mail, or against us. What is permanent and about the mail is refused for good.
    fn refused(&self, error: &lettre::transport::smtp::Error, is_about_the_mail: bool) -> Trouble {
        let said = muster_http::shown(&with_causes(error));
        let Some(code) = error.status() else {
            return Trouble::of_the_way(format!("no way to the mail server {} ({said})", self.server));
        };
        let reason = format!("the mail server {} says {said}", self.server);
        // 530 to 538 are about the sign-in (RFC 4954), 421 about the server; a wrong sender is our settings' affair.
        let is_of_the_way = code.to_string().starts_with("53") || code.to_string() == "421";
        match code.severity {
            Severity::PermanentNegativeCompletion if is_about_the_mail && !is_of_the_way => {
                Trouble::of_the_message(reason)
            }
            _ => Trouble::of_the_way(format!("{reason}; tried again later, by itself")),
        }
    }
}

/// Who we say that we are: the machine's name, where that can be said.
fn hello() -> ClientId {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fits = !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    ClientId::Domain(if fits { name } else { "localhost".to_owned() })
}

/// A connection of which no more than a bound is read, behind words that were said already.
struct Bounded<S> {
    stream: S,
    peer: SocketAddr,
    before: &'static [u8],
    read: usize,
}

impl<S> Bounded<S> {
    fn new(stream: S, peer: SocketAddr, before: &'static [u8]) -> Self {
        Self { stream, peer, before, read: 0 }
    }
}

impl<S> fmt::Debug for Bounded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let (now, later) = self.before.split_at(self.before.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.before = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.read += buffer.filled().len().saturating_sub(before);
        match self.read > SAID_BYTES_MAX {
            true => Poll::Ready(Err(io::Error::other("it says more than any mail server does"))),
            false => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::notices::trouble::About;

    /// A server that answers so to commands that begin so, and else that all is well; what it says to a mail.
    async fn told_by(command: &'static str, answer: &'static str) -> Trouble {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let server = TaskTracker::new().spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            stream.write_all(b"220 x\r\n").await.expect("said");
            let mut line = Vec::new();
            while let Ok(byte) = stream.read_u8().await {
                line.push(byte);
                if byte != b'\n' {
                    continue;
                }
                let said = String::from_utf8_lossy(&std::mem::take(&mut line)).to_ascii_uppercase();
                let said = if said.starts_with(command) { answer } else { "250 well" };
                stream.write_all(format!("{said}\r\n").as_bytes()).await.expect("said");
            }
        });
        let settings = format!(
            "server = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\ntimeout = \"5s\"\nfrom = \"m@a.example\"\nto = [\"b@c.example\"]"
        );
        let smtp = Smtp::new(&toml::from_str(&settings).expect("settings"), None, None).expect("a way");
        let mail = Message::builder()
            .from("m@a.example".parse().expect("an address"))
            .to("b@c.example".parse().expect("an address"))
            .body("x".to_owned())
            .expect("a mail");
        let trouble = smtp.send(&mail).await.expect_err("it is refused");
        server.await.expect("no panic");
        trouble
    }

    #[tokio::test]
    async fn a_wrong_sender_is_trouble_of_the_settings_and_a_wrong_recipient_of_one_mail() {
        let sender = told_by("MAIL FROM", "553 5.7.1 not your address").await;
        assert_eq!(sender.what, About::Way(None));
        assert!(
            sender.reason.contains("not your address") && sender.reason.contains("check `from`"),
            "{sender:?}"
        );
        let recipient = told_by("RCPT TO", "554 5.7.1 relay access denied").await;
        assert_eq!(recipient.what, About::Message);
        assert!(recipient.reason.contains("relay access denied"), "{recipient:?}");
        let text = told_by("DATA", "554 a virus").await;
        assert_eq!(text.what, About::Message);
        let busy = told_by("RCPT TO", "451 later").await;
        assert_eq!(busy.what, About::Way(None));
    }
}
