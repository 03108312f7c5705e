//! A load balancer before several receivers, and what such things do to clients that count on one of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::running::StartReceiverError;
use super::{ReceiverName, running::listen};

/// How a balancer leads clients to its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balancing {
    /// Each connection to the next target, as balancers of the fourth layer do.
    PerConnection,
    /// Each request of a connection to the next target, as balancers of the seventh layer do. Requests and answers in the
    /// clear, with `Content-Length`.
    PerRequest,
}

/// A running balancer. It ends when this is dropped.
pub struct Balancer {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Balancer {
    /// Starts a balancer before these targets.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn start(
        address: SocketAddr,
        targets: Vec<SocketAddr>,
        balancing: Balancing,
    ) -> Result<Self, StartReceiverError> {
        let listener = listen(ReceiverName::Hec, address).await?;
        let address = listener.local_addr().map_err(|source| StartReceiverError::Listen {
            receiver: ReceiverName::Hec,
            address,
            source,
        })?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(Targets { targets, next: AtomicUsize::new(0) }), balancing));
        Ok(Self { address, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

struct Targets {
    targets: Vec<SocketAddr>,
    next: AtomicUsize,
}

impl Targets {
    fn next(&self) -> SocketAddr {
        self.targets[self.next.fetch_add(1, Ordering::Relaxed) % self.targets.len()]
    }
}

async fn accept(listener: TcpListener, targets: Arc<Targets>, balancing: Balancing) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let targets = Arc::clone(&targets);
        connections.spawn(async move {
            let carried = match balancing {
                Balancing::PerConnection => carry_connection(client, targets.next()).await,
                Balancing::PerRequest => carry_requests(client, &targets).await,
            };
            if let Err(error) = carried {
                tracing::debug!(%error, "a balanced connection broke");
            }
        });
    }
}

async fn carry_connection(mut client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn carry_requests(mut client: TcpStream, targets: &Targets) -> std::io::Result<()> {
    let mut kept = Vec::new();
    while let Some(request) = read_message(&mut client, &mut kept).await? {
        let mut server = TcpStream::connect(targets.next()).await?;
        server.write_all(&request).await?;
        let Some(answer) = read_message(&mut server, &mut Vec::new()).await? else { return Ok(()) };
        client.write_all(&answer).await?;
    }
    Ok(())
}

/// The next whole message of HTTP; `None` at the end. What came beyond it is kept.
async fn read_message(stream: &mut TcpStream, kept: &mut Vec<u8>) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(length) = message_length(kept).filter(|length| kept.len() >= *length) {
            let rest = kept.split_off(length);
            return Ok(Some(std::mem::replace(kept, rest)));
        }
        if stream.read_buf(kept).await? == 0 {
            return Ok(None);
        }
    }
}

/// How long the message is that begins here, once its head is whole.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head + body.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0))
}
