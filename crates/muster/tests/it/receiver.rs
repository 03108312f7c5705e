//! A receiver of syslog over TLS that asks for a certificate, in both ways in which syslog acknowledges: RELP, and a close
//! after all was read. What it has taken stands in a file, a message a line.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::brokers::write_certificates;

/// What it says to the opening of a session of RELP.
const OPENED: &str = "200 OK\nrelp_version=0\nrelp_software=a test\ncommands=syslog";

/// How it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Relp,
    Syslog,
}

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    /// It hangs up before a word is said.
    Down,
    /// It takes messages and says nothing.
    Silent,
    /// It hangs up after so many messages of a connection, the last few of which it has taken without a word.
    HangsUp {
        after: usize,
        unanswered: usize,
    },
    /// It trusts another certificate than the client's.
    Distrusts,
    /// It refuses one message in so many, by what stands in it; 1: all.
    Refuses {
        one_in: u64,
    },
}

struct State {
    wrong: Wrong,
    file: std::fs::File,
    /// Messages that it has taken and not answered for.
    unanswered: u64,
    /// The most that it took on one connection that ended without a goodbye.
    cut_off: u64,
}

/// The receiver.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Certificates and the file `NAME.log` are in `folder`.
    pub(crate) async fn start(folder: &Path, name: &str, speaks: Speaks) -> Self {
        let own = folder.join(name);
        std::fs::create_dir_all(&own).expect("a folder");
        write_certificates(&own, "muster.example");
        let elsewhere = own.join("elsewhere");
        std::fs::create_dir_all(&elsewhere).expect("a folder");
        write_certificates(&elsewhere, "somebody.example");
        let (trusting, distrusting) =
            (acceptor(&own, &own.join("ca.pem")), acceptor(&own, &elsewhere.join("ca.pem")));
        let file = std::fs::File::create(folder.join(format!("{name}.log"))).expect("a file");
        let state = Arc::new(Mutex::new(State { wrong: Wrong::Nothing, file, unanswered: 0, cut_off: 0 }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (mut tasks, shared) = (JoinSet::new(), Arc::clone(&state));
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, wrong) = (Arc::clone(&shared), wrong(&shared));
                let acceptor = if wrong == Wrong::Distrusts { &distrusting } else { &trusting };
                let acceptor = acceptor.clone();
                open.spawn(async move {
                    if wrong == Wrong::Down {
                        return;
                    }
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    match speaks {
                        Speaks::Relp => relp(stream, &state).await,
                        Speaks::Syslog => syslog(stream, &state).await,
                    }
                });
            }
        });
        Self { port, state, _tasks: tasks }
    }

    /// The settings of a sink for it.
    pub(crate) fn sink(&self, name: &str, speaks: Speaks) -> String {
        let transport = if speaks == Speaks::Relp { "relp_tls" } else { "tls" };
        format!(
            "[sinks.{name}]\ntype = \"syslog\"\nformat = \"cef\"\naddress = \"localhost:{}\"\ntransport = \"{transport}\"\n\
             timeout = \"1s\"\nmessage_size_max = \"4MiB\"\nca_file = \"{name}/ca.pem\"\n\
             client_certificate = \"{name}/client.pem\"\nclient_key = {{ file = \"{name}/client.key\" }}\n\
             [[routes]]\nsinks = [\"{name}\"]\n",
            self.port
        )
    }

    pub(crate) fn goes(&self, wrong: Wrong) {
        self.state.lock().expect("a lock").wrong = wrong;
    }

    /// How many messages it took without answering for them, and the most that it took of a connection that was cut off.
    pub(crate) fn unanswered(&self) -> (u64, u64) {
        let state = self.state.lock().expect("a lock");
        (state.unanswered, state.cut_off)
    }
}

fn wrong(state: &Mutex<State>) -> Wrong {
    state.lock().expect("a lock").wrong
}

fn acceptor(own: &Path, trusted: &Path) -> TlsAcceptor {
    let certificates = |path: &Path| -> Vec<CertificateDer<'static>> {
        let certificates = CertificateDer::pem_file_iter(path).expect("a file");
        certificates.collect::<Result<_, _>>().expect("certificates")
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates(trusted));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::from_pem_file(own.join("server.key")).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(certificates(&own.join("server.pem")), key)
        .expect("a server");
    TlsAcceptor::from(Arc::new(config))
}

/// Takes a message into the file; whether it is refused instead.
fn take(state: &Mutex<State>, message: &[u8]) -> bool {
    let mut state = state.lock().expect("a lock");
    if let Wrong::Refuses { one_in } = state.wrong {
        // By the event alone: the header has a time of its own.
        let event = message.windows(4).position(|at| at == b"CEF:").map_or(message, |at| &message[at..]);
        let mut hasher = DefaultHasher::new();
        event.hash(&mut hasher);
        if hasher.finish().is_multiple_of(one_in) {
            return true;
        }
    }
    state.file.write_all(message).and_then(|()| state.file.write_all(b"\n")).expect("written");
    false
}

/// The next frame that begins with `words` words, of which the last is its length: the words, and what follows.
async fn frame(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    words: usize,
) -> Option<(Vec<String>, Vec<u8>)> {
    loop {
        let mut head = Vec::new();
        let mut at = 0;
        while head.len() < words {
            let Some(end) = bytes[at..].iter().position(|byte| matches!(byte, b' ' | b'\n')) else { break };
            head.push(String::from_utf8_lossy(&bytes[at..at + end]).into_owned());
            at += end + 1;
        }
        if head.len() == words {
            let length: usize = head[words - 1].parse().expect("a length");
            // A frame of RELP ends with a line feed; without data that ends its head.
            let end = at + length + usize::from(words > 1 && length > 0);
            if bytes.len() >= end {
                let data = bytes[at..at + length].to_vec();
                bytes.drain(..end);
                return Some((head, data));
            }
        }
        match stream.read_buf(bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn relp(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    let (mut bytes, mut taken) = (Vec::new(), 0);
    while let Some((words, data)) = frame(&mut stream, &mut bytes, 3).await {
        let wrong = wrong(state);
        let said = match words[1].as_str() {
            "open" => OPENED,
            "close" => return,
            _ if take(state, &data) => "500 refused",
            _ => "200 OK",
        };
        let is_message = words[1] == "syslog";
        taken += usize::from(is_message);
        let is_silent = match wrong {
            Wrong::Silent => is_message,
            Wrong::HangsUp { after, unanswered } => is_message && taken + unanswered > after,
            _ => false,
        };
        if is_silent {
            state.lock().expect("a lock").unanswered += 1;
            match wrong {
                // Answers that the client has not read go with the connection.
                Wrong::HangsUp { after, unanswered } if taken >= after => {
                    state.lock().expect("a lock").unanswered += (taken - unanswered) as u64;
                    return;
                }
                _ => continue,
            }
        }
        let answer = format!("{} rsp {} {said}\n", words[0], said.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut state = state.lock().expect("a lock");
    state.cut_off = state.cut_off.max(taken as u64);
}

async fn syslog(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    let mut bytes = Vec::new();
    while let Some((_, message)) = frame(&mut stream, &mut bytes, 1).await {
        take(state, &message);
    }
    // All was read: that is said by closing, once it was closed.
    drop(tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await);
}
