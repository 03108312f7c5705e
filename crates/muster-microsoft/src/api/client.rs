//! The one HTTP client. Every call has a timeout and a bound on the answer's size; redirects are never followed, so
//! that a token goes only to the host it was asked for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{self, HeaderMap};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

/// Answers announced to be smaller than this are read at once; larger ones wait for a place.
const SMALL_BODY_BYTES: u64 = 256 << 10;

/// How the client behaves.
#[derive(Clone)]
pub struct ClientOptions {
    /// Sent as `User-Agent`.
    pub user_agent: String,
    /// For the TCP and TLS handshake.
    pub connect_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// For the whole of one call.
    pub total_timeout: Duration,
    /// The largest body of an answer that is taken, after decompression.
    pub body_bytes_max: usize,
    /// How many larger bodies may be in memory at the same time; the others wait unread.
    pub bodies_max: usize,
    /// PEM certificates trusted beside the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// The proxy, and the hosts that are reached without it (`NO_PROXY` syntax).
    pub proxy: Option<(Url, Option<String>)>,
}

impl std::fmt::Debug for ClientOptions {
    /// Without the proxy's address, in which a password may stand.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("Muster/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            body_bytes_max: 32 << 20,
            bodies_max: 4,
            extra_roots_pem: None,
            proxy: None,
        }
    }
}

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The CA file holds no certificate.
    #[error("the CA file holds no PEM certificate that can be read: {0}")]
    Roots(String),
    /// Something else, such as a proxy address that cannot be used.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
}

/// Why a call brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection.
    #[error("{host} cannot be reached: {detail}; check DNS, firewall and proxy settings")]
    Connect {
        /// The host that was called.
        host: String,
        /// What the system said.
        detail: String,
    },
    /// It took too long.
    #[error("{host} did not answer in time ({after:?})")]
    Timeout {
        /// The host that was called.
        host: String,
        /// The bound that was passed.
        after: Duration,
    },
    /// The connection broke while the answer came.
    #[error("{host} broke off in the middle of its answer: {detail}")]
    Broken {
        /// The host that was called.
        host: String,
        /// What the system said.
        detail: String,
    },
    /// More than is taken.
    #[error("{host} sent more than {limit_bytes} bytes in one answer")]
    TooLarge {
        /// The host that was called.
        host: String,
        /// The bound.
        limit_bytes: usize,
        /// What had come by then: at most the first mebibyte.
        beginning: Vec<u8>,
    },
    /// A redirect, which is not followed.
    #[error(
        "{host} wants to redirect to {to}; a token is not sent elsewhere, so this was refused. Check proxy and cloud settings"
    )]
    Redirect {
        /// The host that was called.
        host: String,
        /// Where it points.
        to: String,
    },
}

/// An answer, of any status but a redirect's.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// The server's clock.
    pub date: Option<Timestamp>,
    /// Microsoft's id of the request, for support cases.
    pub request_id: Option<String>,
    /// How the server wants its callers to prove themselves: its `WWW-Authenticate` header.
    pub www_authenticate: Option<String>,
    /// A `Warning` header: part of the answer is missing.
    pub warning: Option<String>,
    /// How long the answer may be kept (`Cache-Control: max-age`).
    pub max_age: Option<Duration>,
    /// The place in memory of a larger body; given back when it is dropped.
    pub place: Option<OwnedSemaphorePermit>,
}

/// The HTTP client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    idle_timeout: Duration,
    total_timeout: Duration,
    body_bytes_max: usize,
    bodies: Arc<Semaphore>,
}

impl Client {
    /// Makes the client.
    ///
    /// # Errors
    /// When the extra roots or the proxy cannot be used.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let tls =
            rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(|error| ClientError::Setup(error.to_string()))?
                .with_root_certificates(roots(options.extra_roots_pem.as_deref())?)
                .with_no_client_auth();
        let mut builder = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .user_agent(&options.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.idle_timeout)
            .timeout(options.total_timeout)
            .pool_max_idle_per_host(16)
            .gzip(true)
            .no_proxy();
        if let Some((url, no_proxy)) = &options.proxy {
            let proxy =
                reqwest::Proxy::all(url.clone()).map_err(|error| ClientError::Setup(error.to_string()))?;
            let except = no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
            builder = builder.proxy(proxy.no_proxy(except));
        }
        Ok(Self {
            inner: builder.build().map_err(|error| ClientError::Setup(chain(&error)))?,
            idle_timeout: options.idle_timeout,
            total_timeout: options.total_timeout,
            body_bytes_max: options.body_bytes_max,
            bodies: Arc::new(Semaphore::new(options.bodies_max.max(1))),
        })
    }

    /// A `GET` that carries a bearer token.
    pub(crate) fn get(&self, url: &str, bearer: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.inner.get(url).header(header::ACCEPT, "application/json");
        match bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A `POST` of a form.
    pub(crate) fn post_form(&self, url: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.inner.post(url).header(header::ACCEPT, "application/json").form(form)
    }

    /// A request with a bearer token and a JSON body.
    pub(crate) fn json(
        &self,
        method: Method,
        url: &str,
        bearer: &str,
        body: &impl serde::Serialize,
    ) -> reqwest::RequestBuilder {
        let body = serde_json::to_vec(body).expect("what is sent consists of strings, numbers and lists");
        self.inner
            .request(method, url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .bearer_auth(bearer)
            .body(body)
    }

    /// A `DELETE` that carries a bearer token.
    pub(crate) fn delete(&self, url: &str, bearer: &str) -> reqwest::RequestBuilder {
        self.inner.delete(url).header(header::ACCEPT, "application/json").bearer_auth(bearer)
    }

    /// Sends a request and reads the whole answer, within the bounds.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, TransportError> {
        let request = request.header("client-request-id", uuid::Uuid::new_v4().to_string()).build().map_err(
            |error| TransportError::Connect { host: "the server".to_owned(), detail: chain(&error) },
        )?;
        let host = request.url().host_str().unwrap_or("the server").to_owned();
        let response =
            self.inner.execute(request).await.map_err(|error| self.transport_error(&host, &error))?;
        if response.status().is_redirection() {
            let to = response
                .headers()
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("nowhere");
            return Err(TransportError::Redirect { host, to: shown(to) });
        }
        let status = response.status().as_u16();
        let headers = response.headers();
        let date = text(headers, "date").and_then(|value| http_date(&value));
        let retry_after = text(headers, "retry-after").and_then(|value| retry_after(&value, date));
        let request_id = text(headers, "request-id").or_else(|| text(headers, "x-ms-request-id"));
        let warning = text(headers, "warning");
        let www_authenticate = joined(headers, header::WWW_AUTHENTICATE);
        let max_age = text(headers, "cache-control").and_then(|value| max_age(&value));
        let small = response.content_length().is_some_and(|length| length <= SMALL_BODY_BYTES);
        let place = match small {
            true => None,
            false => {
                let place = Arc::clone(&self.bodies).acquire_owned();
                let place = tokio::time::timeout(self.total_timeout, place).await;
                let late = TransportError::Timeout { host: host.clone(), after: self.total_timeout };
                Some(place.map_err(|_| late)?.expect("the semaphore is never closed"))
            }
        };
        let expected =
            response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(64 << 10);
        let mut body = Vec::with_capacity(expected.min(self.body_bytes_max));
        let mut stream = response.bytes_stream();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.transport_error(&host, &error))?;
            if body.len() + piece.len() > self.body_bytes_max {
                body.truncate(1 << 20);
                return Err(TransportError::TooLarge {
                    host,
                    limit_bytes: self.body_bytes_max,
                    beginning: body,
                });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, body, retry_after, date, request_id, warning, www_authenticate, max_age, place })
    }

    fn transport_error(&self, host: &str, error: &reqwest::Error) -> TransportError {
        let host = host.to_owned();
        if error.is_timeout() {
            let after = if error.is_body() { self.idle_timeout } else { self.total_timeout };
            TransportError::Timeout { host, after }
        } else if error.is_connect() {
            TransportError::Connect { host, detail: chain(error) }
        } else {
            TransportError::Broken { host, detail: chain(error) }
        }
    }
}

fn roots(extra_pem: Option<&[u8]>) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    // A system certificate that cannot be read is the system's affair; the others still serve.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = extra_pem {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|error| ClientError::Roots(error.to_string()))?;
        if certificates.is_empty() {
            return Err(ClientError::Roots("no BEGIN CERTIFICATE in it".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| ClientError::Roots(error.to_string()))?;
        }
    }
    Ok(roots)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(shown)
}

/// All values of a header, as one list.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// RFC 9111 section 5.2.2.1.
fn max_age(value: &str) -> Option<Duration> {
    let mut directives = value.split(',').map(str::trim);
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    Some(Duration::from_secs(seconds.trim_matches('"').parse().ok()?))
}

/// RFC 9110 section 5.6.7.
fn http_date(value: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(value).ok().map(|zoned| zoned.timestamp())
}

/// RFC 9110 section 10.2.3: seconds, or a date. At most a day is believed.
fn retry_after(value: &str, now: Option<Timestamp>) -> Option<Duration> {
    const MOST: Duration = Duration::from_secs(24 * 3600);
    let wait = match value.trim().parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => Duration::try_from(http_date(value)?.duration_since(now?)).unwrap_or_default(),
    };
    Some(wait.min(MOST))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// A bit of what a server said, bounded and without control characters, fit for a message.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = http_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(now.expect("a date").to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(retry_after("7", None), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:00 GMT", now), Some(Duration::from_secs(23)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("999999999", None), Some(Duration::from_secs(86_400)));
        assert_eq!(retry_after("-1", None), None);
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn what_servers_say_is_shown_without_control_characters() {
        assert_eq!(shown("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(shown(&"x".repeat(301)).chars().count(), 301);
    }
}
