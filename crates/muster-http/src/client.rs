//! The one HTTP client. Every call has a timeout and a bound on the answer's size; redirects are never followed, so
//! that a token goes only to the host it was asked for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, RequestBuilder};
use tokio::time::Instant;
use url::Url;

use crate::error::{ClientError, TransportError, shown, without_url};
use crate::local::Local;
use crate::memory::{Held, Memory};
use crate::obstacle::Obstacle;
use crate::one_connection::OneConnection;
use crate::public::{PublicOnly, not_public_host, refusal};
use crate::response::Response;
use crate::roots;

/// How much of an answer that is too large is kept, to tell what it is.
const BEGINNING_BYTES: usize = 1 << 20;

/// How long an answer's rate is watched before it is judged, again and again.
pub const RATE_WINDOW: Duration = Duration::from_secs(20);

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
    /// The memory that the bodies of answers may take together, as they come and until they are dropped; those for which
    /// there is no room wait unread. At least one and a half times `body_bytes_max`.
    pub memory_bytes: usize,
    /// The least that must come of an answer in each [`RATE_WINDOW`] after its headers; 0 for any.
    pub least_bytes_per_second: usize,
    /// Whether compressed answers are asked for.
    pub gzip: bool,
    /// Connections that are kept open to one host.
    pub idle_connections_max: usize,
    /// How long an unused connection is kept open.
    pub idle_connection_life: Duration,
    /// PEM certificates trusted beside the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// TLS in place of that with the system's roots and `extra_roots_pem`, for a client certificate.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Whether only public addresses are connected to. Without effect behind a proxy, which looks names up by itself.
    pub public_only: bool,
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
            memory_bytes: 56 << 20,
            least_bytes_per_second: 1 << 10,
            gzip: true,
            idle_connections_max: 16,
            idle_connection_life: Duration::from_secs(90),
            extra_roots_pem: None,
            tls: None,
            public_only: false,
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
    memory: Memory,
    least_bytes: usize,
    local: Option<Local>,
    recipe: Arc<Recipe>,
}

/// A body with what it holds of the memory, or why it cannot be read.
type ReadBody = Result<(Held, Vec<u8>), TransportError>;

/// What more clients of the same kind are made from.
struct Recipe {
    options: ClientOptions,
    tls: rustls::ClientConfig,
    /// Which addresses the proxy is asked for.
    proxied: Option<Matcher>,
}

impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipe").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Recipe {
    /// The host and port of the proxy that is on the way to an address.
    fn proxy_to(&self, url: &Url) -> Option<String> {
        let address = url.as_str().parse().ok()?;
        let proxy = self.proxied.as_ref()?.intercept(&address)?;
        Some(proxy.uri().authority()?.as_str().rsplit('@').next()?.to_owned())
    }

    fn builder(&self) -> Result<reqwest::ClientBuilder, ClientError> {
        let options = &self.options;
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
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
        let builder = if options.public_only { builder.dns_resolver(Arc::new(PublicOnly)) } else { builder };
        let Some(Proxy { url, no_proxy }) = &options.proxy else { return Ok(builder) };
        let proxy =
            reqwest::Proxy::all(url.clone()).map_err(|error| ClientError::Proxy(without_url(error)))?;
        let except = no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
        Ok(builder.proxy(proxy.no_proxy(except)))
    }
}

impl Client {
    /// Makes the client.
    ///
    /// # Errors
    /// When the roots or the proxy cannot be used.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        // HTTP/1.1, since the TLS settings offer nothing else: over HTTP/2 all tenants would share one connection and its
        // window, and a body that is not read on would hold up everybody's.
        let tls = match &options.tls {
            Some(tls) => (**tls).clone(),
            None => roots::tls_config(options.extra_roots_pem.as_deref())?,
        };
        let proxied = options.proxy.as_ref().map(|Proxy { url, no_proxy }| {
            Matcher::builder().all(url.as_str()).no(no_proxy.as_deref().unwrap_or_default()).build()
        });
        let recipe = Recipe { options: options.clone(), tls, proxied };
        Ok(Self {
            inner: recipe.builder()?.build().map_err(|error| ClientError::Setup(without_url(error)))?,
            request_id_header: options.request_id_header,
            idle_timeout: options.idle_timeout,
            total_timeout: options.total_timeout,
            body_bytes_max: options.body_bytes_max,
            memory: Memory::new(options.memory_bytes, options.body_bytes_max),
            least_bytes: options.least_bytes_per_second * RATE_WINDOW.as_secs() as usize,
            local: options.local.clone(),
            recipe: Arc::new(recipe),
        })
    }

    /// A client like this one that connects once. When that connection is gone, a request fails with
    /// [`TransportError::Connect`] before anything of it is sent. Requests must come one after the other.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of_one_connection(&self) -> Result<Self, ClientError> {
        let builder =
            self.recipe.builder()?.connector_layer(OneConnection::default()).pool_max_idle_per_host(1);
        let inner = builder.build().map_err(|error| ClientError::Setup(without_url(error)))?;
        Ok(Self { inner, ..self.clone() })
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
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, TransportError> {
        let (head, body) = self.exchange(request).await?;
        let (held, body) = body?;
        Ok(Response { held, body, ..head })
    }

    /// The same, for those to whom the status tells enough: an answer whose body cannot be read, since it is too large, too
    /// slow or breaks off, is one without a body.
    ///
    /// # Errors
    /// See [`TransportError`]; only for what happens before a body.
    pub async fn send_for_status(&self, request: RequestBuilder) -> Result<Response, TransportError> {
        let (head, body) = self.exchange(request).await?;
        let (held, body) = body.unwrap_or_default();
        Ok(Response { held, body, ..head })
    }

    /// Sends a request; an answer without its body, and what became of that.
    async fn exchange(&self, mut request: RequestBuilder) -> Result<(Response, ReadBody), TransportError> {
        if let Some(header) = self.request_id_header {
            request = request.header(header, uuid::Uuid::new_v4().to_string());
        }
        let request = request.build().map_err(|error| TransportError::Connect {
            host: "the server".to_owned(),
            detail: without_url(error),
            obstacle: None,
        })?;
        let host = request.url().host_str().unwrap_or("the server").to_owned();
        // What is an address already is not looked up.
        if let Some(detail) = self.refuses(request.url()) {
            return Err(TransportError::Connect { host, detail, obstacle: None });
        }
        let way = self.recipe.proxy_to(request.url());
        let proxy = way.as_deref();
        let started = Instant::now();
        let mut answer = match &self.local {
            None => self
                .inner
                .execute(request)
                .await
                .map_err(|error| self.transport_error(&host, proxy, error))?,
            Some(local) => local.answer(request).await?,
        };
        let status = answer.status().as_u16();
        let headers = std::mem::take(answer.headers_mut());
        // Only a proxy says so, of itself (RFC 9110 section 15.5.8): the request went no further.
        if let (407, Some(proxy)) = (status, way) {
            let obstacle = Some(Obstacle::ProxyWantsLogin(proxy));
            return Err(TransportError::Connect { host, detail: "HTTP 407".to_owned(), obstacle });
        }
        if answer.status().is_redirection() {
            let to = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
            return Err(TransportError::Redirect { host, status, to: shown(to) });
        }
        let body = self.read(&host, answer, started + self.total_timeout).await;
        Ok((Response { status, headers, ..Response::default() }, body))
    }

    /// Why nothing is sent to an address that is written as such.
    fn refuses(&self, url: &Url) -> Option<String> {
        let (address, why) = not_public_host(url).filter(|_| self.recipe.options.public_only)?;
        Some(refusal(url.host_str().unwrap_or_default(), address, why))
    }

    /// Reads a body as it comes, with what it holds of the memory.
    async fn read(&self, host: &str, answer: reqwest::Response, until: Instant) -> ReadBody {
        let host = || host.to_owned();
        let (mut held, mut body) = (Held::default(), Vec::new());
        let mut pieces = answer.bytes_stream();
        let (mut judged_at, mut came) = (Instant::now() + RATE_WINDOW, 0);
        loop {
            let piece = match tokio::time::timeout_at(judged_at, pieces.next()).await {
                Ok(Some(piece)) => piece.map_err(|error| self.transport_error(&host(), None, error))?,
                Ok(None) => break,
                Err(_) if came < self.least_bytes => {
                    return Err(TransportError::TooSlow { host: host(), bytes: came, after: RATE_WINDOW });
                }
                Err(_) => {
                    (judged_at, came) = (Instant::now() + RATE_WINDOW, 0);
                    continue;
                }
            };
            came += piece.len();
            if body.len() + piece.len() > self.body_bytes_max {
                body.truncate(BEGINNING_BYTES);
                let limit_bytes = self.body_bytes_max;
                return Err(TransportError::TooLarge { host: host(), limit_bytes, beginning: body });
            }
            let asked_at = Instant::now();
            let grown = tokio::time::timeout_at(until, self.memory.grow(&mut held, &mut body, piece.len()));
            match grown.await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(TransportError::MemoryFull { host: host() }),
            }
            // That there was no room is not the server's fault.
            judged_at += asked_at.elapsed();
            body.extend_from_slice(&piece);
        }
        self.memory.settle(&mut held, &mut body);
        Ok((held, body))
    }

    fn transport_error(&self, host: &str, proxy: Option<&str>, error: reqwest::Error) -> TransportError {
        let host = host.to_owned();
        if error.is_timeout() {
            let after = match () {
                () if error.is_body() => self.idle_timeout,
                () if error.is_connect() => self.recipe.options.connect_timeout,
                () => self.total_timeout,
            };
            return TransportError::Timeout { host, after };
        }
        let obstacle = Obstacle::of(&error, proxy);
        if error.is_connect() {
            TransportError::Connect { host, detail: without_url(error), obstacle }
        } else {
            TransportError::Broken { host, detail: without_url(error), obstacle }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    /// A client that is answered with a body of these pieces, one after each wait.
    fn client(
        options: ClientOptions,
        pieces: impl Fn() -> Vec<(Duration, Vec<u8>)> + Send + Sync + 'static,
    ) -> Client {
        let local = Local::new(move |_| {
            let pieces = stream::iter(pieces()).then(async |(wait, piece)| {
                sleep(wait).await;
                Ok::<_, std::io::Error>(piece)
            });
            let body = reqwest::Body::wrap_stream(pieces);
            async move { Ok(hyper::Response::builder().status(200).body(body).expect("an answer").into()) }
        });
        Client::new(&ClientOptions { local: Some(local), ..options }).expect("a client")
    }

    async fn get(client: &Client) -> Result<Response, TransportError> {
        client.send(client.get("https://slow.example/", None)).await
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_not_waited_for() {
        let pieces = || vec![(SECOND, b"x".to_vec()); 1_000];
        let begun = Instant::now();
        let slow = get(&client(ClientOptions::default(), pieces)).await.expect_err("too slow");
        assert!(matches!(slow, TransportError::TooSlow { bytes: 19..=20, .. }), "{slow}");
        assert_eq!(begun.elapsed(), RATE_WINDOW);
        // One that begins well is judged by what it does now.
        let pieces = || {
            let begins = vec![(Duration::ZERO, vec![b'x'; 100_000])];
            [begins, vec![(SECOND, b"x".to_vec()); 1_000]].concat()
        };
        let begun = Instant::now();
        let slow = get(&client(ClientOptions::default(), pieces)).await.expect_err("too slow");
        assert!(matches!(slow, TransportError::TooSlow { .. }), "{slow}");
        assert_eq!(begun.elapsed(), 2 * RATE_WINDOW);
        // Whoever asks for no rate gets all of it.
        let any = ClientOptions { least_bytes_per_second: 0, ..ClientOptions::default() };
        let pieces = || vec![(SECOND, b"x".to_vec()); 100];
        assert_eq!(get(&client(any, pieces)).await.expect("an answer").body.len(), 100);
    }

    /// Who needs no more than the status has it, whatever becomes of the body.
    #[tokio::test(start_paused = true)]
    async fn a_status_is_known_without_a_body() {
        let options = || ClientOptions { body_bytes_max: 1 << 20, ..ClientOptions::default() };
        let trickles: fn() -> Vec<(Duration, Vec<u8>)> = || vec![(SECOND, b"x".to_vec()); 1_000];
        let too_large: fn() -> Vec<(Duration, Vec<u8>)> = || vec![(Duration::ZERO, vec![b'x'; 1 << 20]); 2];
        for pieces in [trickles, too_large] {
            let client = client(options(), pieces);
            get(&client).await.expect_err("no body");
            let request = client.get("https://slow.example/", None);
            let answer = client.send_for_status(request).await.expect("a status");
            assert_eq!((answer.status, answer.body.len()), (200, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_that_is_quick_enough_is_read() {
        let pieces = || vec![(SECOND, vec![b'x'; 1_100]); 100];
        assert_eq!(
            get(&client(ClientOptions::default(), pieces)).await.expect("an answer").body.len(),
            110_000
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_and_is_told_in_the_end() {
        // Room for one, and the reserve.
        let options =
            ClientOptions { body_bytes_max: 1 << 20, memory_bytes: 5 << 19, ..ClientOptions::default() };
        let total = options.total_timeout;
        let client = client(options, || vec![(Duration::ZERO, vec![b'x'; 1 << 20])]);
        let (first, second) = (get(&client).await.expect("room"), get(&client).await.expect("the reserve"));
        let begun = Instant::now();
        let full = get(&client).await.expect_err("no room");
        assert!(matches!(full, TransportError::MemoryFull { .. }), "{full}");
        assert_eq!(begun.elapsed(), total);
        // Half the time of a call is waited for room, and is not held against the server's rate.
        let later = async {
            sleep(total / 2).await;
            drop((first, second));
        };
        let (third, ()) = tokio::join!(get(&client), later);
        assert_eq!(third.expect("room in the end").body.len(), 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_take_no_room_from_others() {
        let pieces = || {
            // Every second answer trickles.
            static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
            match COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 {
                0 => vec![(SECOND, b"x".to_vec()); 1_000],
                _ => vec![(Duration::ZERO, vec![b'x'; 50_000])],
            }
        };
        let client = client(ClientOptions::default(), pieces);
        let mut slow = stream::FuturesUnordered::new();
        let mut quick = 0;
        for _ in 0..200 {
            slow.push(tokio::time::timeout(SECOND * 5, get(&client)));
        }
        while let Some(answer) = slow.next().await {
            quick += usize::from(answer.is_ok_and(|answer| answer.is_ok()));
        }
        assert_eq!(quick, 100, "the others are read while a hundred trickle");
    }
}
