//! The TCP side shared by the receivers: listening, refusing, and cutting connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::ReceiverFault;

/// How long to wait before trying again to listen or to accept.
const RETRY: Duration = Duration::from_millis(20);

/// The fault of one receiver, as its tasks see it.
pub(super) type FaultSeen = watch::Receiver<Option<ReceiverFault>>;

/// Returns when the fault is one of these.
async fn until(fault: &mut FaultSeen, these: fn(&ReceiverFault) -> bool) {
    // An error means that the receivers are being dropped, which ends this task anyway.
    drop(fault.wait_for(|fault| fault.as_ref().is_some_and(these)).await);
}

/// Returns when the fault is none of these.
pub(super) async fn until_not(fault: &mut FaultSeen, these: fn(&ReceiverFault) -> bool) {
    drop(fault.wait_for(|fault| !fault.as_ref().is_some_and(these)).await);
}

pub(super) fn is_down(fault: &ReceiverFault) -> bool {
    matches!(fault, ReceiverFault::Down)
}

pub(super) fn is_stalled(fault: &ReceiverFault) -> bool {
    matches!(fault, ReceiverFault::Stall)
}

pub(super) fn never_acknowledges(fault: &ReceiverFault) -> bool {
    matches!(fault, ReceiverFault::NeverAcknowledge)
}

/// Accepts connections until cancelled. While the receiver is down nothing listens, so that a client is refused by
/// the operating system, and the connections that were open are reset.
pub(super) async fn accept_connections<S, F>(
    listener: TcpListener,
    address: SocketAddr,
    fault: FaultSeen,
    tracker: TaskTracker,
    cancel: CancellationToken,
    serve: S,
) where
    S: Fn(Wire) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut open = Some(listener);
    loop {
        let mut changes = fault.clone();
        let listener = match open.take() {
            Some(listener) => listener,
            None => match listen_again(address, &mut changes, &cancel).await {
                Some(listener) => listener,
                None => return,
            },
        };
        let connections = cancel.child_token();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = until(&mut changes, is_down) => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let connection = serve(Wire::new(stream, fault.clone()));
                        tracker.spawn(connections.clone().run_until_cancelled_owned(connection));
                    }
                    // A lack of file descriptors, or a client gone before it was accepted.
                    Err(error) => {
                        tracing::warn!(%address, %error, "cannot accept a connection");
                        tokio::time::sleep(RETRY).await;
                    }
                },
            }
        }
        drop(listener);
        connections.cancel();
    }
}

async fn listen_again(
    address: SocketAddr,
    fault: &mut FaultSeen,
    cancel: &CancellationToken,
) -> Option<TcpListener> {
    cancel.run_until_cancelled(until_not(fault, is_down)).await?;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Some(listener),
            Err(error) => tracing::warn!(%address, %error, "cannot listen again"),
        }
        cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await?;
    }
}

/// A connection that can be cut by a fault, and that is reset unless it was shut down on purpose.
///
/// The difference matters: a syslog client takes an orderly close for the confirmation that all was read.
pub(super) struct Wire {
    stream: TcpStream,
    fault: FaultSeen,
    read_bytes: u64,
    shut_down: bool,
}

impl Wire {
    fn new(stream: TcpStream, fault: FaultSeen) -> Self {
        // Answers are small; without this they would wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
        Wire { stream, fault, read_bytes: 0, shut_down: false }
    }

    /// How many bytes may still be read before the connection is to be cut.
    fn bytes_before_cut(&self) -> Option<u64> {
        match *self.fault.borrow() {
            Some(ReceiverFault::CutAfterBytes(bytes)) => Some(bytes.saturating_sub(self.read_bytes)),
            _ => None,
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if !self.shut_down
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match self.bytes_before_cut() {
            None => Pin::new(&mut self.stream).poll_read(context, buffer),
            Some(0) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(bytes) => {
                let room = buffer.remaining().min(usize::try_from(bytes).unwrap_or(usize::MAX));
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
                let polled = Pin::new(&mut self.stream).poll_read(context, &mut part);
                let read = part.filled().len();
                buffer.advance(read);
                polled
            }
        };
        self.read_bytes += (buffer.filled().len() - before) as u64;
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down = true;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
