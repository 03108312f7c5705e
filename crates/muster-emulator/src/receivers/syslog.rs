//! Syslog receivers: UDP (RFC 5426), TCP (RFC 6587, both framings) and TLS (RFC 5425).
//!
//! A message counts only when it was read whole. When a client closes its sending side, the receiver reads all
//! that is left and then closes its own side in good order: that close is the only confirmation syslog has, and in
//! every other case (a fault, a cut, a TLS stream without its `close_notify`) the connection is reset instead.
//!
//! Under [`ReceiverFault::NeverAcknowledge`] a TCP or TLS receiver reads and forgets, and never closes its side;
//! such a connection is reset once the fault is gone. Under [`ReceiverFault::Stall`] it stops reading, then goes
//! on. [`ReceiverFault::Slow`] delays every read of up to 64 KiB, or every datagram.
//! [`ReceiverFault::Status`] means nothing here, nor do the TCP faults to UDP; UDP that is down drops what comes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio_rustls::TlsAcceptor;

use super::fault::{ReceiverFault, lock};
use super::framing::{Frame, Framer};
use super::identify::identify_syslog;
use super::tally::Ledger;
use super::wire::{FaultSeen, Wire, is_stalled, never_acknowledges, until_not};

/// Well above the largest alert in any format; a longer message counts as unreadable.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
const READ_BYTES: usize = 64 << 10;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one TLS connection.
pub(super) async fn serve_tls(
    wire: Wire,
    acceptor: TlsAcceptor,
    fault: FaultSeen,
    ledger: Arc<Mutex<Ledger>>,
) {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(wire)).await {
        Ok(Ok(stream)) => serve(stream, fault, ledger).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// Serves one connection until the client closes it.
pub(super) async fn serve<S>(mut stream: S, mut fault: FaultSeen, ledger: Arc<Mutex<Ledger>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut framer = Framer::new(MESSAGE_BYTES_MAX);
    let mut chunk = vec![0; READ_BYTES];
    let mut forgotten = false;
    let ended_well = loop {
        let read = stream.read(&mut chunk).await;
        hold_up(&mut fault).await;
        let bytes = match read {
            Ok(0) => break true,
            Ok(count) => &chunk[..count],
            Err(error) => {
                tracing::debug!(%error, "a syslog connection broke");
                break false;
            }
        };
        let forget = fault.borrow().as_ref().is_some_and(never_acknowledges);
        forgotten |= forget;
        framer.push(bytes, |frame| {
            if forget {
                return;
            }
            match frame {
                Frame::Message(message) => {
                    let sighting = identify_syslog(message);
                    lock(&ledger).record(&sighting);
                }
                Frame::Unreadable => lock(&ledger).record_unreadable(),
            }
        });
    };
    if framer.is_incomplete() && !forgotten {
        lock(&ledger).record_incomplete();
    }
    // Without a message read under it, the fault still withholds the confirmation of this connection.
    forgotten |= fault.borrow().as_ref().is_some_and(never_acknowledges);
    if forgotten {
        until_not(&mut fault, never_acknowledges).await;
    } else if ended_well && let Err(error) = stream.shutdown().await {
        tracing::debug!(%error, "cannot close a syslog connection");
    }
}

/// Receives datagrams until dropped.
pub(super) async fn serve_udp(socket: UdpSocket, mut fault: FaultSeen, ledger: Arc<Mutex<Ledger>>) {
    let mut datagram = vec![0; READ_BYTES];
    loop {
        let received = socket.recv(&mut datagram).await;
        hold_up(&mut fault).await;
        if matches!(*fault.borrow(), Some(ReceiverFault::Down)) {
            continue;
        }
        match received {
            Ok(length) => {
                let sighting = identify_syslog(&datagram[..length]);
                lock(&ledger).record(&sighting);
            }
            Err(error) => tracing::debug!(%error, "cannot receive a datagram"),
        }
    }
}

async fn hold_up(fault: &mut FaultSeen) {
    until_not(fault, is_stalled).await;
    let slow = match *fault.borrow() {
        Some(ReceiverFault::Slow { milliseconds }) => Some(Duration::from_millis(milliseconds)),
        _ => None,
    };
    if let Some(delay) = slow {
        tokio::time::sleep(delay).await;
    }
}
