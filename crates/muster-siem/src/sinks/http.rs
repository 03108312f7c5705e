//! What sinks that speak HTTP have in common: the client, and what is said when there is no answer.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_http::{Client, ClientError, ClientOptions, Proxy, Response, TransportError};
use reqwest::header::HeaderMap;
use url::Url;

use super::error::shown;
use super::tls;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// What the answers that are being read may take together.
const ANSWERS_BYTES_MAX: usize = 16 << 20;
/// The same where pieces of objects are read.
const LARGE_ANSWER_BYTES_MAX: usize = 18 << 20;
const LARGE_ANSWERS_BYTES_MAX: usize = 72 << 20;
/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What a receiver is called in messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiverWords {
    /// Such as `Splunk`.
    pub(super) product: &'static str,
    /// What of it is spoken to, such as `Splunk HEC`.
    pub(super) service: &'static str,
    /// Where the url leads, such as `the collector`.
    pub(super) place: &'static str,
}

/// How a client connects beside what is usual.
#[derive(Default)]
pub(super) struct Connection {
    /// TLS with a client certificate.
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    /// Whether only public addresses are connected to.
    pub(super) public_only: bool,
    /// Whether answers may be large.
    pub(super) large_answers: bool,
}

/// A client for one sink, or what is wrong with its settings. `headers` go with every request.
pub(super) fn client(
    headers: HeaderMap,
    timeout: Duration,
    ca_file: Option<&Path>,
    proxy: Option<Proxy>,
    requests_max: usize,
) -> Result<Client, String> {
    client_with(headers, timeout, ca_file, proxy, requests_max, Connection::default())
}

/// The same, connecting in this way.
pub(super) fn client_with(
    headers: HeaderMap,
    timeout: Duration,
    ca_file: Option<&Path>,
    proxy: Option<Proxy>,
    requests_max: usize,
    Connection { tls, public_only, large_answers }: Connection,
) -> Result<Client, String> {
    let (body_bytes_max, memory_bytes) = match large_answers {
        true => (LARGE_ANSWER_BYTES_MAX, LARGE_ANSWERS_BYTES_MAX),
        false => (ANSWER_BYTES_MAX, ANSWERS_BYTES_MAX),
    };
    let client = Client::new(&ClientOptions {
        headers,
        connect_timeout: timeout.min(Duration::from_secs(10)),
        idle_timeout: timeout,
        total_timeout: timeout,
        body_bytes_max,
        memory_bytes,
        // A receiver that trickles is bounded by the time that one request may take.
        least_bytes_per_second: 0,
        gzip: false,
        idle_connections_max: 2 * requests_max,
        idle_connection_life: Duration::from_secs(30),
        extra_roots_pem: tls::extra_roots(ca_file)?,
        tls,
        public_only,
        proxy,
        ..ClientOptions::default()
    });
    client.map_err(|error| match error {
        ClientError::Roots(error) => tls::wrong_roots(ca_file, error),
        ClientError::Proxy(_) => "its proxy must be like http://proxy.example:3128".to_owned(),
        ClientError::Setup(why) => shown(&why),
    })
}

/// Why a request brought no answer, and what to do.
pub(super) fn no_answer(error: &TransportError, timeout: Duration, words: ReceiverWords) -> String {
    let ReceiverWords { product, service, place } = words;
    let why = match error {
        TransportError::Redirect { status, to, .. } => {
            return format!(
                "it redirects elsewhere (HTTP {status} to {}), which is not followed since what is secret is for this \
                 address only: set the sink's url to where {place} is",
                Url::parse(to).map_or("another path of its own".to_owned(), |to| origin(&to))
            );
        }
        TransportError::TooLarge { limit_bytes, .. } => {
            return format!(
                "it answers with more than {limit_bytes} bytes, which {service} never does: check the sink's url"
            );
        }
        TransportError::Timeout { .. } => format!("no answer within {timeout:?}"),
        TransportError::TooSlow { .. } | TransportError::MemoryFull { .. } => error.to_string(),
        TransportError::Connect { detail, obstacle: Some(obstacle), .. }
        | TransportError::Broken { detail, obstacle: Some(obstacle), .. } => {
            return format!("no way to {product}: {}", obstacle.told(&shown(detail)));
        }
        TransportError::Connect { detail, .. } | TransportError::Broken { detail, .. } => shown(detail),
    };
    format!("no way to {product} ({why}): check the url, the network and, for https, the CA")
}

/// How long the receiver asks to wait, within reason.
pub(super) fn asked_wait(response: &Response) -> Option<Duration> {
    response.retry_after().map(|wait| wait.min(RETRY_AFTER_MAX))
}

/// An address without its path, in which a secret may stand.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether a refusal may be about what was sent as well as about the way, such as a firewall's 403 or the 500 of a receiver that
/// fails at it. Where a wait is asked for, it is the way.
pub(super) fn is_doubtful(response: &Response) -> bool {
    let is_of_the_way = matches!(response.status, 401 | 404 | 405 | 407 | 408 | 410 | 415 | 425 | 429);
    (400..=501).contains(&response.status) && !is_of_the_way && response.retry_after().is_none()
}

/// Status and text of an answer, short and safe to print.
pub(super) fn words(status: u16, body: &[u8]) -> String {
    match body.trim_ascii() {
        [] => format!("HTTP {status}"),
        body => format!("HTTP {status}: {}", beginning(body)),
    }
}

/// Values of JSON, each of which ends with a comma, as a list.
pub(super) fn json_list(values: &[u8]) -> Bytes {
    let mut list = Vec::with_capacity(values.len() + 1);
    list.push(b'[');
    list.extend_from_slice(values.strip_suffix(b",").unwrap_or(values));
    list.push(b']');
    list.into()
}

/// How a body that cannot be read begins: enough to recognise a login page by.
pub(super) fn beginning(body: &[u8]) -> String {
    shown(&String::from_utf8_lossy(body.get(..80).unwrap_or(body)))
}

/// The body compressed. It takes tens of milliseconds: too long for a thread that others wait for.
pub(super) async fn gzip(body: Bytes) -> Result<Bytes, String> {
    let compressed = tokio::task::spawn_blocking(move || {
        let memory = Vec::with_capacity(body.len() / 4);
        let mut encoder = flate2::write::GzEncoder::new(memory, flate2::Compression::fast());
        let written = encoder.write_all(&body).and_then(|()| encoder.finish());
        written.expect("writing to memory does not fail").into()
    });
    compressed.await.map_err(|error| error.to_string())
}
