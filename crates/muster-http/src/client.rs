//! The one HTTP client. Every call has a timeout and a bound on the answer's size; redirects are never followed, so
//! that a token goes only to the host it was asked for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, RequestBuilder};
use tokio::sync::Semaphore;
use url::Url;

use crate::error::{ClientError, TransportError, shown, without_url};
use crate::local::Local;
use crate::response::Response;
use crate::roots;

/// Answers announced to be smaller than this are read at once; larger ones wait for a place.
const SMALL_BODY_BYTES: u64 = 256 << 10;
/// How much of an answer that is too large is kept, to tell what it is.
const BEGINNING_BYTES: usize = 1 << 20;

/// How the client behaves.
#[derive(Clone)]
pub struct ClientOptions {
    /// Sent as `User-Agent`.
    pub user_agent: String,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// A header that carries a fresh id with every request, for the receiver's support.
    pub request_id_header: Option<&'static str>,
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
    /// Whether compressed answers are asked for.
    pub gzip: bool,
    /// Connections that are kept open to one host.
    pub idle_connections_max: usize,
    /// How long an unused connection is kept open.
    pub idle_connection_life: Duration,
    /// PEM certificates trusted beside the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// The proxy on the way, if there is one. The environment is not looked at.
    pub proxy: Option<Proxy>,
    /// Answers every request in place of the network.
    pub local: Option<Local>,
}

impl std::fmt::Debug for ClientOptions {
    /// Without the headers, in which a token may stand.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("Muster/", env!("CARGO_PKG_VERSION")).to_owned(),
            headers: HeaderMap::new(),
            request_id_header: None,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            body_bytes_max: 32 << 20,
            bodies_max: 4,
            gzip: true,
            idle_connections_max: 16,
            idle_connection_life: Duration::from_secs(90),
            extra_roots_pem: None,
            proxy: None,
            local: None,
        }
    }
}

/// A proxy on the way.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its address, with user and password where it wants them.
    pub url: Url,
    /// Hosts that are reached without it, as in `NO_PROXY`: names, `.domains`, addresses and networks, by commas.
    pub no_proxy: Option<String>,
}

impl std::fmt::Debug for Proxy {
    /// Without the user and password of the address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.url.host_str())
            .field("port", &self.url.port())
            .field("no_proxy", &self.no_proxy)
            .finish_non_exhaustive()
    }
}

/// The HTTP client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    request_id_header: Option<&'static str>,
    idle_timeout: Duration,
    total_timeout: Duration,
    body_bytes_max: usize,
    bodies: Arc<Semaphore>,
    local: Option<Local>,
}

impl Client {
    /// Makes the client.
    ///
    /// # Errors
    /// When the roots or the proxy cannot be used.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let tls = roots::tls_config(options.extra_roots_pem.as_deref())?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(&options.user_agent)
            .default_headers(options.headers.clone())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.idle_timeout)
            .timeout(options.total_timeout)
            .pool_max_idle_per_host(options.idle_connections_max)
            .pool_idle_timeout(options.idle_connection_life)
            .gzip(options.gzip)
            .no_proxy();
        if let Some(Proxy { url, no_proxy }) = &options.proxy {
            let proxy =
                reqwest::Proxy::all(url.clone()).map_err(|error| ClientError::Proxy(without_url(error)))?;
            let except = no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
            builder = builder.proxy(proxy.no_proxy(except));
        }
        Ok(Self {
            inner: builder.build().map_err(|error| ClientError::Setup(without_url(error)))?,
            request_id_header: options.request_id_header,
            idle_timeout: options.idle_timeout,
            total_timeout: options.total_timeout,
            body_bytes_max: options.body_bytes_max,
            bodies: Arc::new(Semaphore::new(options.bodies_max.max(1))),
            local: options.local.clone(),
        })
    }

    /// Any request.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.inner.request(method, url)
    }

    /// A `GET` that wants JSON and may carry a bearer token.
    pub fn get(&self, url: &str, bearer: Option<&str>) -> RequestBuilder {
        let request = self.inner.get(url).header(header::ACCEPT, "application/json");
        match bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A `POST` of a form that wants JSON.
    pub fn post_form(&self, url: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.inner.post(url).header(header::ACCEPT, "application/json").form(form)
    }

    /// A request with a bearer token and a JSON body that wants JSON.
    pub fn json(
        &self,
        method: Method,
        url: &str,
        bearer: &str,
        body: &impl serde::Serialize,
    ) -> RequestBuilder {
        let body = serde_json::to_vec(body).expect("what is sent consists of strings, numbers and lists");
        self.inner
            .request(method, url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .bearer_auth(bearer)
            .body(body)
    }

    /// A `DELETE` that carries a bearer token.
    pub fn delete(&self, url: &str, bearer: &str) -> RequestBuilder {
        self.inner.delete(url).header(header::ACCEPT, "application/json").bearer_auth(bearer)
    }

    /// Sends a request and reads the whole answer, within the bounds. An answer of any status is one, but for a
    /// redirect's.
    ///
    /// # Errors
    /// See [`TransportError`].
    pub async fn send(&self, mut request: RequestBuilder) -> Result<Response, TransportError> {
        if let Some(header) = self.request_id_header {
            request = request.header(header, uuid::Uuid::new_v4().to_string());
        }
        let request = request.build().map_err(|error| TransportError::Connect {
            host: "the server".to_owned(),
            detail: without_url(error),
        })?;
        let host = request.url().host_str().unwrap_or("the server").to_owned();
        let mut answer = match &self.local {
            None => self.inner.execute(request).await.map_err(|error| self.transport_error(&host, error))?,
            Some(local) => local.answer(request).await?,
        };
        let status = answer.status().as_u16();
        let length = answer.content_length();
        let headers = std::mem::take(answer.headers_mut());
        if answer.status().is_redirection() {
            let to = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
            return Err(TransportError::Redirect { host, status, to: shown(to) });
        }
        let place = match length.is_some_and(|length| length <= SMALL_BODY_BYTES) {
            true => None,
            false => {
                let place = Arc::clone(&self.bodies).acquire_owned();
                let place = tokio::time::timeout(self.total_timeout, place).await;
                let late = TransportError::Timeout { host: host.clone(), after: self.total_timeout };
                Some(place.map_err(|_| late)?.expect("the semaphore is never closed"))
            }
        };
        let expected = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(64 << 10);
        let mut body = Vec::with_capacity(expected.min(self.body_bytes_max));
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.transport_error(&host, error))?;
            if body.len() + piece.len() > self.body_bytes_max {
                body.truncate(BEGINNING_BYTES);
                let limit_bytes = self.body_bytes_max;
                return Err(TransportError::TooLarge { host, limit_bytes, beginning: body });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Response { status, headers, body, place })
    }

    fn transport_error(&self, host: &str, error: reqwest::Error) -> TransportError {
        let host = host.to_owned();
        if error.is_timeout() {
            let after = if error.is_body() { self.idle_timeout } else { self.total_timeout };
            TransportError::Timeout { host, after }
        } else if error.is_connect() {
            TransportError::Connect { host, detail: without_url(error) }
        } else {
            TransportError::Broken { host, detail: without_url(error) }
        }
    }
}
