//! The listener: HTTP and HTTPS on one port, and which part of the outside world a request is for.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{DATE, HOST, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::faults::{self, Area, FaultKind};
use crate::graph::applications;
use crate::graph::service::{self as graph, Caller, Target};
use crate::http::answer::{Answer, AnswerBody, Outcome};
use crate::http::hosts;
use crate::http::hosts::Place;
use crate::identity::traffic::TokenTraffic;
use crate::identity::{self, Identity, http_date};
use crate::shared::Shared;
use crate::{control, key_vault};

/// A request, read whole.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    /// Scheme and host as the client wrote them.
    pub(crate) base: &'a str,
}

/// Bodies that clients send are small.
const REQUEST_BYTES_MAX: usize = 4 << 20;
const SNIFF_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// Takes connections until the emulator is told to stop.
pub(crate) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let stream = tokio::select! {
            () = shared.cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok((stream, _)) => {
                let serving = serve(Arc::clone(&shared), stream);
                shared.tasks.spawn(shared.cancel.clone().run_until_cancelled_owned(serving));
            }
            // Out of file descriptors, most often: waiting is all that can be done.
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let mut first = [0];
    let sniffed = tokio::time::timeout(SNIFF_TIMEOUT, stream.peek(&mut first)).await;
    if !matches!(sniffed, Ok(Ok(1))) || stream.set_nodelay(true).is_err() {
        return;
    }
    let result = match &shared.tls {
        Some(tls) if first[0] == TLS_HANDSHAKE => {
            match TlsAcceptor::from(Arc::clone(tls)).accept(stream).await {
                Ok(stream) => serve_http(shared, stream, true).await,
                Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
            }
        }
        _ => serve_http(shared, stream, false).await,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn serve_http<S>(shared: Arc<Shared>, stream: S, secure: bool) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request, secure).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>, secure: bool) -> Response<AnswerBody> {
    let (parts, body) = request.into_parts();
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = format!("{}://{host}", if secure { "https" } else { "http" });
    let body = match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            return sent(shared, Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"))
                .await;
        }
    };
    let call = Call {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &parts.headers,
        body,
        base: &base,
    };
    if call.path.starts_with("/control/") {
        return sent(shared, control::answer(shared, &call).await).await;
    }
    // The metadata of a machine is always asked for in plain HTTP.
    let metadata = hosts::place(host) == Place::Metadata;
    if shared.tls.is_some() && !secure && !metadata {
        return sent(shared, Answer::text(StatusCode::BAD_REQUEST, "this emulator speaks HTTPS")).await;
    }
    let below_vault = call.path.strip_prefix(key_vault::PREFIX).and_then(|path| path.split_once('/'));
    match (hosts::place(host), below_vault) {
        (Place::Vault(vault), _) => answer_vault(shared, &call, vault, call.path).await,
        (Place::Anywhere, Some((vault, path))) => answer_vault(shared, &call, vault, path).await,
        (Place::Anywhere | Place::Graph, _) if call.path.starts_with(graph::PREFIX) => {
            answer_graph(shared, &call).await
        }
        (Place::Graph, _) if call.path == identity::USER_INFO_PATH => answer_identity(shared, &call).await,
        (Place::Anywhere | Place::Login | Place::Metadata, _) if Identity::owns(call.path) => {
            answer_identity(shared, &call).await
        }
        _ => nothing(shared).await,
    }
}

async fn nothing(shared: &Shared) -> Response<AnswerBody> {
    sent(shared, Answer::text(StatusCode::NOT_FOUND, "nothing is emulated here")).await
}

async fn answer_identity(shared: &Shared, call: &Call<'_>) -> Response<AnswerBody> {
    let _in_flight = TokenTraffic::is_token_request(call).then(|| shared.token_traffic.begin(call));
    if Identity::area_of(call.path) == Some(Area::Token) {
        let delay = shared.token_delay_ms.load(Ordering::Acquire);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }
    let tenant = Identity::tenant_of(&shared.world, call.path);
    let area = Identity::area_of(call.path);
    let fault = area.and_then(|area| shared.faults.take(area, tenant));
    let answer = shared.identity.answer(&shared.world, &shared.faults, call, fault.as_ref());
    shared.count(area.unwrap_or(Area::Authorize), tenant, &answer, fault.as_ref());
    finish(shared, answer, fault.as_ref()).await
}

async fn answer_vault(shared: &Shared, call: &Call<'_>, vault: &str, path: &str) -> Response<AnswerBody> {
    let fault = shared.faults.take(Area::KeyVault, None);
    let answer = shared.key_vaults.answer(&shared.world, &shared.identity, call, vault, path, fault.as_ref());
    shared.count(Area::KeyVault, None, &answer, fault.as_ref());
    finish(shared, answer, fault.as_ref()).await
}

async fn answer_applications(shared: &Shared, call: &Call<'_>, segments: &[&str]) -> Response<AnswerBody> {
    let area = Area::Applications;
    let caller = match shared.graph.authenticate(&shared.world, &shared.identity, &shared.faults, call, area)
    {
        Ok(caller) => caller,
        Err(answer) => {
            shared.count(area, None, &answer, None);
            return finish(shared, answer, None).await;
        }
    };
    let fault = shared.faults.take(area, Some(caller.tenant));
    let (world, identity) = (&shared.world, &shared.identity);
    let answer =
        applications::answer(&shared.graph, world, identity, call, &caller, segments, fault.as_ref());
    shared.count(area, Some(caller.tenant), &answer, fault.as_ref());
    finish(shared, answer, fault.as_ref()).await
}

async fn answer_graph(shared: &Shared, call: &Call<'_>) -> Response<AnswerBody> {
    if let Some(segments) = applications::segments(call.path) {
        return answer_applications(shared, call, &segments).await;
    }
    let Some(target) = Target::of(call.path) else {
        let answer = shared.graph.no_such_path(&shared.world, call);
        shared.count(Area::Graph, None, &answer, None);
        return finish(shared, answer, None).await;
    };
    let area = target.list().area();
    match shared.graph.authenticate(&shared.world, &shared.identity, &shared.faults, call, area) {
        Ok(caller) => answer_caller(shared, call, &caller, target, area).await,
        Err(answer) => {
            shared.count(area, None, &answer, None);
            finish(shared, answer, None).await
        }
    }
}

async fn answer_caller(
    shared: &Shared,
    call: &Call<'_>,
    caller: &Caller,
    target: Target<'_>,
    area: Area,
) -> Response<AnswerBody> {
    let fault = shared.faults.take(area, Some(caller.tenant));
    let answer = shared.graph.answer(&shared.world, &shared.faults, call, caller, target, fault.as_ref());
    shared.count(area, Some(caller.tenant), &answer, fault.as_ref());
    finish(shared, answer, fault.as_ref()).await
}

async fn sent(shared: &Shared, answer: Answer) -> Response<AnswerBody> {
    finish(shared, answer, None).await
}

async fn finish(shared: &Shared, answer: Answer, fault: Option<&FaultKind>) -> Response<AnswerBody> {
    if let Some(delay) = faults::delay_of(fault) {
        tokio::time::sleep(delay).await;
    }
    let answer = answer.with(DATE, http_date(shared.world.now()));
    match answer.send(fault) {
        Outcome::Send(response) => response,
        Outcome::Silence => std::future::pending().await,
    }
}

/// Listens, or says in words why not.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, crate::StartError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => crate::StartError::PortInUse { address },
        _ => crate::StartError::Listen { address, source },
    })
}
