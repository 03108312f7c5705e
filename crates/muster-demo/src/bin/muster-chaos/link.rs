//! A way that can be cut: a TCP proxy that passes bytes on, late, not at all, or no more.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the way is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Connections are closed, and new ones at once.
    Cut,
    /// Nothing passes, and nothing is closed.
    Stalled,
    /// Each piece waits so long.
    Delayed(Duration),
}

/// A proxy that listens on the loopback. It ends with this.
pub(crate) struct Link {
    pub(crate) port: u16,
    way: watch::Sender<Way>,
    target: watch::Sender<u16>,
    _task: JoinSet<()>,
}

impl Link {
    /// A way to this port of the loopback.
    pub(crate) async fn to(target: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let ((way, seen_way), (target, seen_target)) = (watch::channel(Way::Open), watch::channel(target));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, seen_way, seen_target));
        Ok(Self { port, way, target, _task: task })
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Leads elsewhere from now on; what leads there is cut.
    pub(crate) fn turn_to(&self, target: u16) {
        self.target.send_replace(target);
    }
}

async fn accept(listener: TcpListener, way: watch::Receiver<Way>, target: watch::Receiver<u16>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if *way.borrow() != Way::Cut {
            connections.spawn(serve(stream, way.clone(), target.clone()));
        }
    }
}

async fn serve(client: TcpStream, mut way: watch::Receiver<Way>, mut target: watch::Receiver<u16>) {
    let port = *target.borrow_and_update();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(server) = TcpStream::connect(address).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let (up_way, down_way) = (way.clone(), way.clone());
    tokio::select! {
        () = pass(&mut from_client, &mut to_server, up_way) => {}
        () = pass(&mut from_server, &mut to_client, down_way) => {}
        _ = way.wait_for(|way| *way == Way::Cut) => {}
        _ = target.changed() => {}
    }
}

/// Passes on until either side is done.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut way: watch::Receiver<Way>,
) {
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        let now = *way.borrow();
        match now {
            Way::Delayed(by) => tokio::time::sleep(by).await,
            Way::Stalled if way.wait_for(|way| *way != Way::Stalled).await.is_err() => return,
            _ => {}
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(200);
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server that answers each byte by this one.
    async fn server(says: u8) -> (u16, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    while stream.read_u8().await.is_ok() && stream.write_u8(says).await.is_ok() {}
                });
            }
        });
        (port, tasks)
    }

    async fn asked(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_u8(b'?').await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_way_stalls_is_cut_and_leads_elsewhere() {
        let ((first, _one), (second, _other)) = (server(b'1').await, server(b'2').await);
        let link = Link::to(first).await.expect("listens");
        let connect = async || TcpStream::connect(("127.0.0.1", link.port)).await.expect("connects");
        let mut stream = connect().await;
        assert_eq!(asked(&mut stream).await.expect("passes"), b'1');
        link.set(Way::Stalled);
        assert!(timeout(SOON, asked(&mut stream)).await.is_err(), "nothing passes");
        link.set(Way::Open);
        let late = timeout(PATIENCE, stream.read_u8()).await.expect("it goes on");
        assert_eq!(late.expect("what was asked is answered"), b'1');
        link.set(Way::Cut);
        assert!(timeout(PATIENCE, asked(&mut stream)).await.expect("closed").is_err());
        assert!(asked(&mut connect().await).await.is_err());
        link.set(Way::Open);
        let mut stream = connect().await;
        assert_eq!(asked(&mut stream).await.expect("passes"), b'1');
        link.turn_to(second);
        assert!(timeout(PATIENCE, asked(&mut stream)).await.expect("closed").is_err());
        assert_eq!(asked(&mut connect().await).await.expect("passes"), b'2');
    }
}
