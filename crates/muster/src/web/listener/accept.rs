//! Accepting connections, whatever goes wrong meanwhile.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Door};
use super::{Certificates, Refusal, Visitors};

/// How long to wait after an error that is not one of the connection.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections that may be ending while others are in their places already.
const SPARE: usize = 32;
/// How often the gauge of connections is set.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// How often the same trouble is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Serves until told to stop; requests that are under way then are answered.
pub async fn serve(
    listener: TcpListener,
    certificates: Option<Arc<Certificates>>,
    router: Router,
    visitors: Arc<Visitors>,
    stop: CancellationToken,
) {
    let door = Door::new(certificates, router, stop.clone());
    let connections = TaskTracker::new();
    // What was told to end holds its descriptor until it has ended: nobody is accepted before.
    let sockets = Arc::new(Semaphore::new(visitors.bounds().connections_max + SPARE));
    let (mut pause, mut told) = (PAUSE, Told::default());
    let mut ticks = tokio::time::interval(COUNT_EVERY);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {
                visitors.count();
                continue;
            }
            accepted = next(&listener, &sockets) => accepted,
        };
        match accepted {
            Ok((stream, peer, socket)) => {
                pause = PAUSE;
                match visitors.enter(peer.ip(), Instant::now()) {
                    Ok(visit) => {
                        let served = connection::serve(stream, visit, Arc::clone(&door));
                        drop(connections.spawn(async move {
                            served.await;
                            drop(socket);
                        }));
                    }
                    Err(refusal) => {
                        visitors.refused(refusal.as_str());
                        if refusal != Refusal::Full && told.again(refusal.as_str()) {
                            tracing::warn!(
                                listener = visitors.name(), address = %peer.ip(), bound = refusal.as_str(),
                                "connections of an address are refused: a proxy belongs into trusted_proxies; anybody else is a flood"
                            );
                        }
                    }
                }
            }
            Err(error) if is_of_the_connection(&error) => {}
            // Out of descriptors or memory, most often: whoever waits makes room for the main job.
            Err(error) => {
                visitors.refused("accept");
                let made_room = visitors.make_room();
                if told.again("accept") {
                    tracing::error!(listener = visitors.name(), %error, made_room, "cannot accept connections; going on");
                }
                if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    break;
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
    drop(listener);
    connections.close();
    tokio::time::timeout(visitors.bounds().last, connections.wait()).await.ok();
}

/// The next connection, once there is a descriptor for it.
async fn next(
    listener: &TcpListener,
    sockets: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let socket = Arc::clone(sockets).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, socket))
}

/// The connection was over before it was accepted; the next one is not concerned.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// When each trouble was told last: floods fill no log.
#[derive(Default)]
struct Told(Vec<(&'static str, Instant)>);

impl Told {
    fn again(&mut self, what: &'static str) -> bool {
        let now = Instant::now();
        match self.0.iter_mut().find(|(told, _)| *told == what) {
            Some((_, at)) if now.saturating_duration_since(*at) < TELL_EVERY => false,
            Some((_, at)) => {
                *at = now;
                true
            }
            None => {
                self.0.push((what, now));
                true
            }
        }
    }
}
