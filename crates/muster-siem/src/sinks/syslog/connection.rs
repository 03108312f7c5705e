//! A connection to a receiver, in the clear or under TLS.

use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What a receiver may say before it closes; it has nothing to say.
pub(super) const CHATTER_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) took_to_connect: Duration,
}

impl Connection {
    /// Whether the receiver has closed its half already; waits for nothing.
    pub(super) async fn has_ended(&mut self) -> bool {
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
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
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
