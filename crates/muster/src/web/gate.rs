//! What every request to customers' pages passes first: whose it is, how often that one asks, whether it is meant for
//! this address. And what every answer carries, whoever wrote it.

use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY,
    RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use url::Url;

use super::listener::Visit;

/// The address that the pages are reached at, as the settings say at present.
#[derive(Debug, Clone, Default)]
pub(super) struct PublicUrl(Arc<RwLock<Option<Url>>>);

impl PublicUrl {
    pub(super) fn set(&self, url: Option<Url>) {
        *self.0.write().expect("no panic while the lock is held") = url;
    }

    fn is_unknown(&self) -> bool {
        self.0.read().expect("no panic while the lock is held").is_none()
    }

    fn is_https(&self) -> bool {
        self.0
            .read()
            .expect("no panic while the lock is held")
            .as_ref()
            .is_some_and(|url| url.scheme() == "https")
    }

    /// Whether a `Host` names the same host. Its port is not looked at: proxies and forwarded ports have others, and a
    /// name is all that a foreign page could bring a browser here with.
    fn is_of(&self, host: &str) -> bool {
        let Ok(host) = host.parse::<Authority>() else { return false };
        let url = self.0.read().expect("no panic while the lock is held");
        let wanted = url.as_ref().and_then(Url::host_str);
        let host = host.host();
        wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(host.strip_suffix('.').unwrap_or(host)))
    }
}

/// Lets a request in, or answers why not.
pub(super) async fn pass(State(url): State<PublicUrl>, request: Request, next: Next) -> Response {
    let visit = request.extensions().get::<Arc<Visit>>().cloned();
    let mut answer = match refusal(&url, &request, visit.as_deref()) {
        Some((reason, answer)) => {
            if let Some(visit) = &visit {
                visit.visitors().refused(reason);
            }
            answer
        }
        None => next.run(request).await,
    };
    put_headers(answer.headers_mut(), url.is_https());
    answer
}

fn refusal(url: &PublicUrl, request: &Request, visit: Option<&Visit>) -> Option<(&'static str, Response)> {
    let say = |status: StatusCode, words: &'static str| {
        let mut answer = (status, words).into_response();
        // Who is turned away has nothing to add.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        answer
    };
    let proxied = visit.is_some_and(|visit| visit.visitors().trusts(visit.peer()));
    if let Some(visit) = visit
        && let Err(refusal) = visit.visitors().ask(client(visit, request.headers(), proxied), Instant::now())
    {
        let mut answer =
            say(StatusCode::TOO_MANY_REQUESTS, "Too many requests. Please try again in a minute.\n");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        return Some((refusal.as_str(), answer));
    }
    if ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
        let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, "Pages are asked for with GET, HEAD or POST.\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        return Some(("method", answer));
    }
    if url.is_unknown() {
        // Muster is starting, or its settings name no pages any more.
        let mut answer = say(StatusCode::SERVICE_UNAVAILABLE, "Please try again in a minute.\n");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        return Some(("starting", answer));
    }
    if !host(request, proxied).is_some_and(|host| url.is_of(host)) {
        let words = "This address is not served here. (Behind a proxy: it has to pass the Host header on.)\n";
        return Some(("host", say(StatusCode::MISDIRECTED_REQUEST, words)));
    }
    None
}

/// Whether a browser sends a form from a page of ours. `Sec-Fetch-Site` says so wherever a browser speaks TLS, `Origin` in
/// older ones. Where neither stands, no browser that another site could use sent it: each of them has sent one with every
/// form since 2020. A token in the form would prove no more, since whoever knows the link can read the page.
pub(super) fn is_from_here(headers: &HeaderMap, public_url: &Url) -> bool {
    let site = HeaderName::from_static("sec-fetch-site");
    if headers.contains_key(&site) {
        return only(headers, &site) == Some("same-origin");
    }
    if headers.contains_key(ORIGIN) {
        return only(headers, &ORIGIN) == Some(public_url.origin().ascii_serialization().as_str());
    }
    true
}

/// Which host is asked for: the address of a request counts before its header (RFC 9112, 3.2.2).
fn host(request: &Request, proxied: bool) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    let forwarded = HeaderName::from_static("x-forwarded-host");
    let header = proxied.then(|| only(request.headers(), &forwarded)).flatten();
    header.or_else(|| only(request.headers(), &HOST))
}

/// A header that stands once; a second one would leave open which counts.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// Whose request it is. What a proxy says is believed as far as it is trusted: from the right, the first address that is
/// not a trusted proxy's (everything left of it can be made up).
fn client(visit: &Visit, headers: &HeaderMap, proxied: bool) -> IpAddr {
    let peer = visit.peer();
    if !proxied {
        return peer;
    }
    let lines = headers.get_all("x-forwarded-for").iter();
    let hops: Vec<&str> =
        lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).collect();
    for hop in hops.iter().rev().take(32) {
        match hop.trim().parse::<IpAddr>() {
            Ok(address) if visit.visitors().trusts(address) => {}
            Ok(address) => return address,
            Err(_) => return peer,
        }
    }
    peer
}

/// What answers without a page lack; pages have brought theirs.
fn put_headers(headers: &mut HeaderMap, https: bool) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if https {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(value);
    }
}
