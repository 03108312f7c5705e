//! The listener: HTTP and HTTPS on one port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{AnswerBody, ResetOnRequest};

const SNIFF_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// Who is at the other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What a listener needs.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

impl Listener {
    /// Takes connections until it is told to stop. `answer` hears whether a request came over TLS; an error of it resets
    /// the connection.
    pub(crate) async fn accept<S, F>(self, listener: TcpListener, answer: S)
    where
        S: Fn(Request<Incoming>, bool) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<AnswerBody>, ResetOnRequest>> + Send + 'static,
    {
        loop {
            let stream = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match stream {
                Ok((stream, from)) => {
                    let answer = answer.clone();
                    let answer = move |mut request: Request<Incoming>, secure| {
                        request.extensions_mut().insert(Peer(from));
                        answer(request, secure)
                    };
                    let serving = serve(self.tls.clone(), stream, answer);
                    self.tasks.spawn(self.cancel.clone().run_until_cancelled_owned(serving));
                }
                // Out of file descriptors, most often: waiting is all that can be done.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn serve<S, F>(tls: Option<Arc<rustls::ServerConfig>>, stream: TcpStream, answer: S)
where
    S: Fn(Request<Incoming>, bool) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<AnswerBody>, ResetOnRequest>> + Send + 'static,
{
    let mut first = [0];
    let sniffed = tokio::time::timeout(SNIFF_TIMEOUT, stream.peek(&mut first)).await;
    if !matches!(sniffed, Ok(Ok(1))) || stream.set_nodelay(true).is_err() {
        return;
    }
    let result = match tls {
        Some(tls) if first[0] == TLS_HANDSHAKE => match TlsAcceptor::from(tls).accept(stream).await {
            Ok(stream) => serve_http(stream, |request| answer(request, true)).await,
            Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
        },
        _ => serve_http(stream, |request| answer(request, false)).await,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn serve_http<T, F>(stream: T, answer: impl Fn(Request<Incoming>) -> F) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response<AnswerBody>, ResetOnRequest>> + Send + 'static,
{
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // Answers bring their own date, or none.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await
}
