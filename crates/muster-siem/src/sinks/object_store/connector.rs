//! The HTTP client that the stores' clients speak through: Muster's own, with its roots, its proxy, its time-outs and
//! its bound on answers. It follows no redirect and tries nothing twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use async_trait::async_trait;
use bytes::Bytes;
use muster_http::{Client, TransportError};
use reqwest::StatusCode;

use crate::sinks::http;

/// Makes each store's client of this one.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &::object_store::ClientOptions) -> ::object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

/// What was answered last to the requests of one operation: the stores' own errors leave it out, or hold it as text
/// only.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Option<Answer>>>);

/// How a request was refused.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The service's word for what is wrong, such as `NoSuchBucket`; or how the answer begins.
    pub(super) code: String,
    pub(super) wait: Option<Duration>,
}

impl Heard {
    pub(super) fn answer(&self) -> Option<Answer> {
        self.0.lock().expect("no panic while the lock is held").clone()
    }
}

#[derive(Debug)]
struct Service(Client);

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let heard = parts.extensions.get::<Heard>().cloned().unwrap_or_default();
        let request = self
            .0
            .request(parts.method, &parts.uri.to_string())
            .headers(parts.headers)
            .body(reqwest::Body::wrap(body));
        let answer = self.0.send(request).await.map_err(transport)?;
        let code = answer
            .header("x-ms-error-code")
            .or_else(|| code(&answer.body).map(str::to_owned))
            .unwrap_or_else(|| http::beginning(answer.body.trim_ascii()));
        let told = Answer { status: answer.status, code, wait: http::asked_wait(&answer) };
        *heard.0.lock().expect("no panic while the lock is held") =
            (!(200..300).contains(&answer.status)).then_some(told);
        let mut response = HttpResponse::new(Bytes::from(answer.body).into());
        *response.status_mut() = StatusCode::from_u16(answer.status)
            .map_err(|error| HttpError::new(HttpErrorKind::Decode, error))?;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

fn transport(error: TransportError) -> HttpError {
    let kind = match &error {
        TransportError::Connect { .. } => HttpErrorKind::Connect,
        TransportError::Timeout { .. } => HttpErrorKind::Timeout,
        TransportError::Broken { .. } => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}

/// The service's word for what is wrong, out of XML that may be anything.
fn code(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, after) = text.split_once("<Code>")?;
    let (code, _) = after.split_once("</Code>")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric();
    (!code.is_empty() && code.len() <= 64 && code.bytes().all(fits)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn a_code_is_a_word() {
        let error = b"<?xml?><Error><Code>NoSuchBucket</Code><Message>x</Message></Error>";
        assert_eq!(code(error), Some("NoSuchBucket"));
        let long = format!("<Code>{}</Code>", "x".repeat(65));
        for odd in ["", "<Code>", "<Code></Code>", "<Code>a b</Code>", "<Code>\u{1b}[31m</Code>", &long] {
            assert_eq!(code(odd.as_bytes()), None, "{odd}");
        }
    }
}
