//! A receiver that speaks HTTP and answers as a test tells it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

/// Instead of an answer: there is none, ever.
pub(super) const HANGS: &str = "hangs";

/// What it was asked.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Which of the connections, by the order in which they came.
    pub(super) connection: usize,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// A receiver that answers as it is told, and remembers what it was asked.
pub(super) struct Receiver {
    pub(super) url: Url,
    pub(super) seen: Arc<Mutex<Vec<Request>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// `answer` gives the bytes of a whole HTTP answer.
    pub(super) async fn start(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let mut tasks = JoinSet::new();
        let requests = seen.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (requests, answer) = (requests.clone(), answer.clone());
                let connection = connections.len();
                connections.spawn(async move {
                    while let Some(request) = read_request(&mut stream, connection).await {
                        requests.lock().expect("a lock").push(request.clone());
                        let answer = answer(&request);
                        if answer == HANGS {
                            std::future::pending::<()>().await;
                        }
                        // The client may have gone, which is not the collector's business.
                        drop(stream.write_all(answer.as_bytes()).await);
                        if !answer.contains("keep-alive") {
                            break;
                        }
                    }
                    drop(stream.shutdown().await);
                });
            }
        });
        Self { url, seen, _tasks: tasks }
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("a lock").clone()
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream, connection: usize) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).expect("a head");
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = bytes.split_off(head + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { connection, method, path, headers, body })
}

/// The bytes of an answer, after which the connection is closed.
pub(super) fn http(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// An answer after which the connection stays open.
pub(super) fn kept(status: u16, body: &str) -> String {
    http(status, "", body).replace("Connection: close", "Connection: keep-alive")
}
