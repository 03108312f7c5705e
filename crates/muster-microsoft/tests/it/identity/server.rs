//! A server that answers as a test says, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) form: HashMap<String, String>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    delay: Duration,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string(), delay: Duration::ZERO }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// The server. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    most_at_once: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Starts a server whose answers depend on the question, and on how many came before it.
    pub(crate) async fn start(answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let most_at_once: Arc<AtomicUsize> = Arc::default();
        let at_once: Arc<AtomicUsize> = Arc::default();
        let answer = Arc::new(answer);
        let app = Router::new().fallback({
            let (asked, most) = (Arc::clone(&asked), Arc::clone(&most_at_once));
            move |request: Request| {
                let (asked, most) = (Arc::clone(&asked), Arc::clone(&most));
                let (answer, at_once) = (Arc::clone(&answer), Arc::clone(&at_once));
                async move {
                    let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    let question = read(request).await;
                    let reply = {
                        let mut asked = asked.lock().expect("no panic");
                        let reply = answer(&question, asked.len());
                        asked.push(question);
                        reply
                    };
                    tokio::time::sleep(reply.delay).await;
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    write(reply)
                }
            }
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { address, asked, most_at_once, _tasks: tasks }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

async fn read(request: Request) -> Asked {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap_or_default().to_owned())
    };
    Asked {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.iter().map(header).collect(),
        form: url::form_urlencoded::parse(&body).into_owned().collect(),
    }
}

fn write(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("a status");
    for (name, value) in reply.headers {
        response.headers_mut().append(name, value.parse().expect("a header"));
    }
    response
}
