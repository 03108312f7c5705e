//! One connection, from its handshake to its end.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::unhurried::Unhurried;
use super::{Certificates, Visit};

/// What all connections of a listener lead to.
pub(super) struct Door {
    tls: Option<TlsAcceptor>,
    service: TowerToHyperService<Router>,
    stop: CancellationToken,
}

impl Door {
    pub(super) fn new(
        certificates: Option<Arc<Certificates>>,
        router: Router,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let tls = certificates.map(|certificates| TlsAcceptor::from(certificates.server_config()));
        Arc::new(Self { tls, service: TowerToHyperService::new(router), stop })
    }
}

/// Serves a connection until it is over, its time is, or its place is needed.
pub(super) async fn serve(stream: TcpStream, visit: Visit, door: Arc<Door>) {
    let visit = Arc::new(visit);
    tokio::select! {
        () = visit.ended() => visit.visitors().refused("replaced"),
        () = open(stream, &visit, &door) => {}
    }
}

async fn open(stream: TcpStream, visit: &Arc<Visit>, door: &Arc<Door>) {
    let bounds = visit.visitors().bounds();
    // One answer is one write: nothing is won by waiting for more.
    stream.set_nodelay(true).ok();
    let stream = Unhurried::new(stream, bounds.unread);
    let Some(tls) = &door.tls else { return http(stream, visit, door).await };
    match timeout(bounds.handshake, tls.accept(stream)).await {
        Ok(Ok(stream)) => http(stream, visit, door).await,
        Ok(Err(error)) => {
            tracing::debug!(address = %visit.peer(), %error, "a TLS handshake failed");
            visit.visitors().refused("handshake");
        }
        Err(_) => visit.visitors().refused("handshake"),
    }
}

async fn http<S: AsyncRead + AsyncWrite + Unpin>(stream: S, visit: &Arc<Visit>, door: &Arc<Door>) {
    let bounds = visit.visitors().bounds();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(visit));
        door.service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(bounds.head_bytes_max)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tokio::time::sleep(bounds.life) => {
            connection.as_mut().graceful_shutdown();
            timeout(bounds.last, connection).await.unwrap_or(Ok(()))
        }
        () = door.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(bounds.last, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        if error.is_timeout() {
            visit.visitors().refused("slow");
        }
        tracing::debug!(address = %visit.peer(), %error, "a connection ended");
    }
}
