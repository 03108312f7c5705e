//! A conversation with a broker: what goes out and what comes in at the same time, each within bounds.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use muster_http::{Obstacle, with_causes};
use muster_model::SecretReference;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::error::shown;
use super::settings::Surroundings;
use super::stream::Stream;
use super::tls;

/// What is read at once.
const READ_BYTES: usize = 16 << 10;

/// Why there is nothing more to be had of a broker.
#[derive(Debug)]
pub(super) enum Ended {
    /// It closed the connection.
    Closed,
    /// The network failed, or TLS.
    Failed(io::Error),
    /// The time is over.
    TimedOut,
    /// It said so, or said what it must not; in words for the operator.
    Said(String),
}

impl Ended {
    /// What happened and what to do about it, of a broker that is called so.
    pub(super) fn words(&self, product: &str, timeout: std::time::Duration) -> String {
        match self {
            Self::Closed => format!("it closed the connection: check {product}'s own log"),
            Self::TimedOut => {
                format!("no answer within {timeout:?}: it is stalled, overloaded or not {product}")
            }
            Self::Said(words) => words.clone(),
            Self::Failed(error) => {
                let advice = match error.kind() {
                    io::ErrorKind::InvalidData => "check the CA file, and that the port speaks TLS",
                    _ => "check the host, the network and its own log",
                };
                let said = shown(&with_causes(error));
                match Obstacle::of(error, None) {
                    Some(obstacle) => format!("no way to {product}: {}", obstacle.told(&said)),
                    None => format!("no way to {product} ({said}): {advice}"),
                }
            }
        }
    }
}

/// What TLS needs. The configuration holds the cache by which later connections resume the session.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// By these settings; or what is wrong with them.
    pub(super) fn new(
        ca_file: Option<&PathBuf>,
        certificate: Option<&PathBuf>,
        key: Option<&SecretReference>,
        around: &Surroundings<'_>,
    ) -> Result<Self, String> {
        let (ca_file, certificate) = (around.path(ca_file), around.path(certificate));
        let identity = match (&certificate, key) {
            (Some(certificate), Some(key)) => {
                let key = (around.secret)(key).map_err(|no_secret| no_secret.reason)?;
                Some((certificate.as_path(), key))
            }
            _ => None,
        };
        let config = tls::client_config(ca_file.as_deref().map(Path::new), identity)?;
        Ok(Self(TlsConnector::from(config)))
    }

    /// Shakes hands with the host of `address`.
    pub(super) async fn shake(&self, address: &Address, tcp: TcpStream) -> io::Result<Stream> {
        let name = ServerName::try_from(address.host.clone()).map_err(|_| {
            io::Error::other(format!("`{}` is no name that a certificate could have", shown(&address.host)))
        })?;
        Ok(Stream::Tls(Box::new(self.0.connect(name, tcp).await?)))
    }
}

/// A connection to the host of `address`, in the clear.
pub(super) async fn connect(address: &Address) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// One step that may take until then.
pub(super) async fn step<T>(until: Instant, step: impl Future<Output = io::Result<T>>) -> Result<T, Ended> {
    match tokio::time::timeout_at(until, step).await {
        Ok(done) => done.map_err(Ended::Failed),
        Err(_) => Err(Ended::TimedOut),
    }
}

/// The bytes of a conversation.
pub(super) struct Wire {
    stream: Stream,
    /// What came and was not looked at yet.
    pub(super) heard: BytesMut,
    /// What is to go out.
    pub(super) out: Vec<u8>,
    /// How much of it the operating system has.
    sent: usize,
    is_flushed: bool,
    space: Box<[u8]>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What goes out may be a password.
        f.debug_struct("Wire")
            .field("heard", &self.heard.len())
            .field("out", &self.out.len())
            .finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        let space = vec![0; READ_BYTES].into();
        Self { stream, heard: BytesMut::new(), out: Vec::new(), sent: 0, is_flushed: true, space }
    }

    /// The TCP connection, where nothing was said on it yet that belongs to what comes now.
    pub(super) fn into_tcp(self) -> Result<TcpStream, Ended> {
        match self.stream {
            Stream::Tcp(tcp) if self.heard.is_empty() && self.out.len() == self.sent => Ok(tcp),
            _ => Err(Ended::Said("it goes on in the clear where TLS must begin".to_owned())),
        }
    }

    /// How much of what is to go out the operating system has.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Forgets what has gone out, and gives its memory back: a connection that is kept open holds none of it.
    pub(super) fn forget_sent(&mut self) {
        if self.sent > 0 {
            self.out = self.out.split_off(self.sent);
            self.sent = 0;
        }
    }

    /// Sends the first `limit` bytes of what is to go out, for as long as nothing is heard; answers when something was
    /// heard.
    pub(super) async fn turn(&mut self, limit: usize, until: Instant) -> Result<(), Ended> {
        let turn = std::future::poll_fn(|context| {
            // Why it takes nothing more it may have said before.
            match (self.poll_send(limit, context), self.poll_hear(context)) {
                (_, Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
                (Poll::Ready(Err(error)), _) => Poll::Ready(Err(Ended::Failed(error))),
                (_, heard) => heard,
            }
        });
        match tokio::time::timeout_at(until, turn).await {
            Ok(done) => done,
            Err(_) => Err(Ended::TimedOut),
        }
    }

    fn poll_send(&mut self, limit: usize, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < limit.min(self.out.len()) {
            let rest = &self.out[self.sent..limit.min(self.out.len())];
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => (self.sent, self.is_flushed) = (self.sent + bytes, false),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.is_flushed {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.is_flushed = true,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let mut buffer = ReadBuf::new(&mut self.space);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Err(Ended::Closed)),
            Poll::Ready(Ok(())) => {
                let first = self.heard.is_empty();
                self.heard.extend_from_slice(buffer.filled());
                // No broker's own words begin so; behind TLS, the alert would have been the library's to tell.
                if first && matches!(self.stream, Stream::Tcp(_)) && Obstacle::is_tls_alert(&self.heard) {
                    return Poll::Ready(Err(Ended::Said(Obstacle::WantsTls.told(""))));
                }
                Poll::Ready(Ok(()))
            }
            // Many servers end TLS without saying so.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Err(Ended::Closed))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Ended::Failed(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Hears what has come already, without waiting; says whether the connection goes on.
    pub(super) async fn is_open(&mut self) -> bool {
        // The runtime looks at its sockets when a task yields; without that a close may have come unseen.
        tokio::task::yield_now().await;
        std::future::poll_fn(|context| match self.poll_hear(context) {
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(true),
            Poll::Ready(Err(_)) => Poll::Ready(false),
        })
        .await
    }

    /// Ends the connection so that what the operating system still has of what was given up is not sent any more.
    pub(super) fn abandon(self) {
        if let Err(error) = self.stream.tcp().set_zero_linger() {
            tracing::debug!(%error, "a connection that was given up may send its rest");
        }
    }
}
