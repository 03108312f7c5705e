//! A receiver that speaks HTTP and answers as a test tells it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::suite::{BAD, Behaviour};

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

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A receiver that answers as it is told, and remembers what it was asked.
pub(super) struct Receiver {
    pub(super) url: Url,
    pub(super) seen: Arc<Mutex<Vec<Request>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// `answer` gives the bytes of a whole HTTP answer.
    pub(super) async fn start(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    /// The same, over TLS where that is given, at `localhost`.
    pub(super) async fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Request) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let url = match &tls {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        };
        let url = url.parse().expect("a URL");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let mut tasks = JoinSet::new();
        let requests = seen.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (requests, answer, tls) = (requests.clone(), answer.clone(), tls.clone());
                let connection = connections.len();
                connections.spawn(async move {
                    let mut stream: Box<dyn Stream> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
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

/// A receiver that behaves as it is told, and what it has taken.
pub(super) struct Misbehaving {
    pub(super) receiver: Receiver,
    behaviour: Arc<Mutex<Behaviour>>,
    taken: Arc<Mutex<Vec<String>>>,
}

/// What a receiver says, as whole HTTP answers.
pub(super) struct Answers {
    pub(super) well: String,
    /// To a request with the one that it refuses.
    pub(super) refused: String,
    pub(super) nonsense: String,
}

impl Misbehaving {
    /// One that behaves well. `ids` reads the records of a request.
    pub(super) async fn start(
        ids: impl Fn(&Request) -> Vec<String> + Send + Sync + 'static,
        answers: Answers,
    ) -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::Well));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (now, taking) = (Arc::clone(&behaviour), Arc::clone(&taken));
        let receiver = Receiver::start(move |request| {
            let ids = ids(request);
            let behaviour = *now.lock().expect("a lock");
            let answer = match behaviour {
                Behaviour::Down => return http(503, "", ""),
                Behaviour::Slow => return HANGS.to_owned(),
                Behaviour::Nonsense => return answers.nonsense.clone(),
                Behaviour::RefusesOne if ids.contains(&BAD.to_owned()) => return answers.refused.clone(),
                Behaviour::Cuts => "HTTP/1.1 20".to_owned(),
                Behaviour::Well | Behaviour::RefusesOne => answers.well.clone(),
            };
            taking.lock().expect("a lock").extend(ids);
            answer
        });
        Self { receiver: receiver.await, behaviour, taken }
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("a lock") = behaviour;
    }

    pub(super) fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("a lock").clone()
    }
}

async fn read_request(stream: &mut Box<dyn Stream>, connection: usize) -> Option<Request> {
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
