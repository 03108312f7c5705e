//! Answers without a network: for simulations, which need thousands of requests a second, at a time that they choose.
//!
//! Everything behind the connection is as always: what an answer says, its bounds, and how its body is read.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::TransportError;

/// The future of an answer.
type Answer = Pin<Box<dyn Future<Output = Result<reqwest::Response, TransportError>> + Send>>;

/// Answers every request of a [`Client`](crate::Client) in place of the network.
#[derive(Clone)]
pub struct Local(Arc<dyn Fn(reqwest::Request) -> Answer + Send + Sync>);

impl Local {
    /// Answers by `answer`. A [`reqwest::Response`] is made from any `http::Response`; a stream that fails makes a body that
    /// breaks off.
    pub fn new<F, A>(answer: F) -> Self
    where
        F: Fn(reqwest::Request) -> A + Send + Sync + 'static,
        A: Future<Output = Result<reqwest::Response, TransportError>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(answer(request))))
    }

    pub(crate) async fn answer(
        &self,
        request: reqwest::Request,
    ) -> Result<reqwest::Response, TransportError> {
        (self.0)(request).await
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

#[cfg(test)]
mod tests {
    use super::Local;
    use crate::{Client, ClientOptions, TransportError};

    fn client(local: Local) -> Client {
        let options = ClientOptions { local: Some(local), body_bytes_max: 10, ..ClientOptions::default() };
        Client::new(&options).expect("a client")
    }

    fn answer(body: impl Into<reqwest::Body>) -> reqwest::Response {
        hyper::Response::builder()
            .status(206)
            .header("warning", "199 - x")
            .body(body)
            .expect("an answer")
            .into()
    }

    #[tokio::test]
    async fn a_client_is_answered_without_a_network() {
        let client = client(Local::new(|request| async move {
            assert_eq!(request.headers()["authorization"], "Bearer secret");
            match request.url().path() {
                "/whole" => Ok(answer("whole")),
                "/large" => Ok(answer("eleven bytes")),
                "/broken" => {
                    let pieces = [Ok("half"), Err(std::io::Error::other("cut"))];
                    Ok(answer(reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))))
                }
                _ => Err(TransportError::Connect {
                    host: "nobody".to_owned(),
                    detail: String::new(),
                    obstacle: None,
                }),
            }
        }));
        let get = |path| client.send(client.get(&format!("https://local.example{path}"), Some("secret")));
        let whole = get("/whole").await.expect("an answer");
        assert_eq!((whole.status, &whole.body[..]), (206, &b"whole"[..]));
        assert_eq!(whole.header("warning").as_deref(), Some("199 - x"));
        assert!(matches!(get("/large").await, Err(TransportError::TooLarge { limit_bytes: 10, .. })));
        assert!(matches!(get("/broken").await, Err(TransportError::Broken { .. })));
        assert!(matches!(get("/else").await, Err(TransportError::Connect { .. })));
    }
}
