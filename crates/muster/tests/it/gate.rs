//! A gate between Muster and Microsoft: it hands every request on, and can hold one of them, before it is carried out or
//! before its answer comes back. So a process can be killed exactly between two steps.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// When a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Microsoft never hears of it.
    BeforeItIsDone,
    /// It is done, and nobody hears of it.
    BeforeItsAnswer,
}

/// Which request is held: the `nth` whose line holds `line`, such as `POST` and a bit of a path.
#[derive(Debug, Clone)]
struct Rule {
    line: &'static str,
    nth: u32,
    when: When,
}

/// The gate.
pub(crate) struct Gate {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    rule: Arc<Mutex<Option<Rule>>>,
    held: Arc<Notify>,
    release: Arc<Notify>,
}

impl Gate {
    /// Opens a gate to `target`.
    pub(crate) async fn open(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let gate = Self {
            address: listener.local_addr().expect("an address"),
            rule: Arc::default(),
            held: Arc::default(),
            release: Arc::default(),
        };
        let (rule, held, release) =
            (Arc::clone(&gate.rule), Arc::clone(&gate.held), Arc::clone(&gate.release));
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let (rule, held, release) = (Arc::clone(&rule), Arc::clone(&held), Arc::clone(&release));
                // What fails here fails in Muster too, and is seen there.
                tasks.spawn(async move { pass(from, target, &rule, &held, &release).await.ok() });
            }
        });
        gate
    }

    /// Holds the `nth` request from now on whose first line holds `line`.
    pub(crate) fn hold(&self, line: &'static str, nth: u32, when: When) {
        *self.rule.lock().expect("no panic while the lock is held") = Some(Rule { line, nth, when });
    }

    /// Lets everything through.
    pub(crate) fn let_through(&self) {
        *self.rule.lock().expect("no panic while the lock is held") = None;
    }

    /// Waits until the request is held.
    pub(crate) async fn holds(&self) {
        self.held.notified().await;
    }

    /// Lets the held request go on.
    pub(crate) fn release(&self) {
        self.let_through();
        self.release.notify_one();
    }
}

async fn pass(
    mut from: TcpStream,
    target: SocketAddr,
    rule: &Mutex<Option<Rule>>,
    held: &Notify,
    release: &Notify,
) -> std::io::Result<()> {
    let request = request(&mut from).await?;
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    let when = {
        let mut rule = rule.lock().expect("no panic while the lock is held");
        match rule.as_mut().filter(|rule| line.contains(rule.line)) {
            Some(rule) => {
                rule.nth = rule.nth.saturating_sub(1);
                (rule.nth == 0).then_some(rule.when)
            }
            None => None,
        }
    };
    if when == Some(When::BeforeItIsDone) {
        held.notify_one();
        release.notified().await;
    }
    let mut to = TcpStream::connect(target).await?;
    to.write_all(&request).await?;
    let mut answer = Vec::new();
    to.read_to_end(&mut answer).await?;
    if when == Some(When::BeforeItsAnswer) {
        held.notify_one();
        release.notified().await;
    }
    from.write_all(&answer).await?;
    from.shutdown().await
}

/// One request, asking for the connection to be closed behind its answer.
async fn request(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match from.read(&mut piece).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        match from.read(&mut piece).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => body.extend_from_slice(&piece[..count]),
        }
    }
    let kept = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut request: String = kept.map(|line| format!("{line}\r\n")).collect();
    request.push_str("connection: close\r\n\r\n");
    Ok([request.into_bytes(), body].concat())
}
