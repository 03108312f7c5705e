use std::sync::Arc;

use muster_model::{ByteSize, Span};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::sinks::FormatName;
use crate::sinks::Sink;
use crate::sinks::suite::{self, Behaviour, Harness};
use crate::sinks::testing::{body, check_page, delivery, delivery_batch, settings, surroundings, tenant};

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Nothing is split here, so that messages are as long as their records.
fn plain(transport: Transport, port: u16) -> SyslogSettings {
    let address = format!("127.0.0.1:{port}");
    let section = json!({ "address": address, "transport": "tcp", "event_size_max": "16MiB" });
    SyslogSettings { transport, ..settings(section) }
}

fn sink(settings: SyslogSettings) -> Sink {
    Sink::Syslog(Syslog::build("arcsight", settings, &surroundings()).expect("a sink"))
}

async fn deliver(sink: &Sink, bodies: &[&str]) -> Report {
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, bodies)])).await
}

fn all_delivered(report: &Report, count: usize) {
    assert_eq!(*report, Report { outcomes: vec![Outcome::Delivered; count], trouble: None });
}

fn is_retry(report: &Report, words: &str) {
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Retry), "{report:?}");
    let trouble = report.trouble.as_ref().expect("a trouble");
    assert!(trouble.reason.contains(words), "{}", trouble.reason);
    assert!(trouble.reason.starts_with("sink `arcsight` (127.0.0.1:"), "{}", trouble.reason);
}

/// One connection read to its end, then closed.
async fn read_one(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    text
}

#[tokio::test]
async fn messages_end_with_newlines_over_tcp() {
    let (listener, port) = listener().await;
    let sink = sink(plain(Transport::Tcp, port));
    let (a, b) = (body("a"), body("b"));
    let bodies = [a.as_str(), &b];
    let (report, text) = tokio::join!(deliver(&sink, &bodies), read_one(&listener));
    all_delivered(&report, 2);
    let head = "<130>1 2026-01-02T03:04:05.123456Z muster muster - graph_alerts - ";
    assert_eq!(text, format!("{head}{a}\n{head}{b}\n"));
}

#[tokio::test]
async fn messages_are_counted_over_tcp() {
    let (listener, port) = listener().await;
    let mut settings = plain(Transport::Tcp, port);
    settings.framing = Some(Framing::OctetCounting);
    settings.rfc = Rfc::Rfc3164;
    let sink = sink(settings);
    let a = body("å");
    let bodies = [a.as_str()];
    let (report, text) = tokio::join!(deliver(&sink, &bodies), read_one(&listener));
    all_delivered(&report, 1);
    let message = format!("<130>Jan  2 03:04:05 muster muster: {a}");
    assert_eq!(text, format!("{} {message}", message.len()));
}

#[tokio::test]
async fn the_header_says_what_the_settings_say() {
    let (listener, port) = listener().await;
    let section = json!({
        "address": format!("127.0.0.1:{port}"), "transport": "tcp", "facility": "audit",
        "host_name": "{{ tenant.slug }}.example", "app_name": "defender alerts",
        "structured_data": { "muster@32473": { "tenant": "{{ tenant.name }}", "quote": "a\"b]c\\\u{1b}" } },
    });
    let sink = sink(settings(section));
    let a = body("a");
    let bodies = [a.as_str()];
    let (report, text) = tokio::join!(deliver(&sink, &bodies), read_one(&listener));
    all_delivered(&report, 1);
    let data = r#"[muster@32473 quote="a\"b\]c\\" tenant="Tenant 0"]"#;
    let head = "<106>1 2026-01-02T03:04:05.123456Z tenant-0.example defenderalerts - graph_alerts";
    assert_eq!(text, format!("{head} {data} {a}\n"));
}

/// Over real connections it is measured in `pace.rs` only: what a paused clock and a socket make of one another is chance.
#[tokio::test(start_paused = true)]
async fn a_receiver_gets_no_more_events_a_second_than_it_may() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let mut settings = plain(Transport::Udp, receiver.local_addr().expect("an address").port());
    settings.events_per_second_max = Some(10.try_into().expect("more than none"));
    let sink = sink(settings);
    let bodies: Vec<String> = (0..40).map(|n| body(&n.to_string())).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let began = Instant::now();
    all_delivered(&deliver(&sink, &bodies).await, 40);
    let took = began.elapsed().as_secs_f64();
    assert!((3.7..4.1).contains(&took), "{took} s");
}

#[tokio::test]
async fn cef_stands_right_after_the_host() {
    let (listener, port) = listener().await;
    let mut settings = plain(Transport::Tcp, port);
    settings.rfc = Rfc::Rfc3164;
    settings.format = FormatName::Cef;
    let sink = sink(settings);
    let (report, text) = tokio::join!(deliver(&sink, &["{\"id\":\"a\"}"]), read_one(&listener));
    all_delivered(&report, 1);
    assert!(text.starts_with("<130>Jan  2 03:04:05 muster CEF:0|"), "{text}");
}

#[tokio::test]
async fn a_receiver_that_dies_in_between_leaves_everything_owed() {
    let (listener, port) = listener().await;
    let sink = sink(plain(Transport::Tcp, port));
    let large = body(&"x".repeat(1 << 20));
    let dies = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut some = [0; 1000];
        stream.read_exact(&mut some).await.expect("a start");
    };
    let bodies = [large.as_str(); 16];
    let (report, ()) = tokio::join!(deliver(&sink, &bodies), dies);
    is_retry(&report, "it failed at");
    drop(listener);
    is_retry(&deliver(&sink, &["{}"]).await, "check that it runs and listens");
}

#[tokio::test]
async fn a_receiver_that_closes_before_it_has_read_is_not_believed() {
    let (listener, port) = listener().await;
    let sink = sink(plain(Transport::Tcp, port));
    let closes = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        // Unread bytes make this a reset, as when a receiver is killed.
        stream.readable().await.expect("bytes");
        drop(stream);
    };
    let (report, ()) = tokio::join!(deliver(&sink, &["{}"]), closes);
    is_retry(&report, "");
}

#[tokio::test]
async fn a_stalled_receiver_is_left() {
    let (listener, port) = listener().await;
    let mut settings = plain(Transport::Tcp, port);
    settings.timeout = Span(Duration::from_millis(100));
    let sink = sink(settings);
    // Accepted by the system's backlog and never read.
    is_retry(&deliver(&sink, &["{}"]).await, "took longer than 100ms at closing the connection");
    let large = body(&"x".repeat(1 << 20));
    is_retry(&deliver(&sink, &[large.as_str(); 16]).await, "took longer than 100ms at taking messages");
    drop(listener);
}

#[tokio::test]
async fn a_kept_connection_is_used_again_until_the_receiver_closes_it() {
    let (listener, port) = listener().await;
    let mut settings = plain(Transport::Tcp, port);
    settings.confirm = Some(Confirm::None);
    let sink = sink(settings);
    let (report, accepted) = tokio::join!(deliver(&sink, &["{}"]), listener.accept());
    all_delivered(&report, 1);
    let mut first = accepted.expect("a connection").0;
    all_delivered(&deliver(&sink, &["{}"]).await, 1);
    let line = "<130>1 2026-01-02T03:04:05.123456Z muster muster - graph_alerts - {}\n";
    let mut both = vec![0; 2 * line.len()];
    first.read_exact(&mut both).await.expect("both messages");
    assert_eq!(both, line.repeat(2).as_bytes());
    drop(first);

    let (report, accepted) = tokio::join!(deliver(&sink, &["{}"]), listener.accept());
    all_delivered(&report, 1);
    let mut second = accepted.expect("a connection").0;
    sink.close().await;
    let mut text = String::new();
    second.read_to_string(&mut text).await.expect("text");
    assert_eq!(text, line);
}

#[tokio::test]
async fn a_message_that_does_not_fit_is_rejected_and_never_cut() {
    let (listener, port) = listener().await;
    let mut settings = plain(Transport::Tcp, port);
    settings.message_size_max = Some(ByteSize(200));
    let sink = sink(settings);
    let large = body(&"x".repeat(500));
    let bodies = ["{}", &large, "{}"];
    let (report, text) = tokio::join!(deliver(&sink, &bodies), read_one(&listener));
    assert_eq!(report.outcomes[0], Outcome::Delivered);
    assert!(
        matches!(&report.outcomes[1], Outcome::Rejected(reason) if reason.contains("at most 200 are taken"))
    );
    assert_eq!(report.outcomes[2], Outcome::Delivered);
    assert_eq!(text.lines().count(), 2);
}

#[tokio::test]
async fn a_newline_in_an_event_does_not_become_a_message() {
    let sink = Syslog::build("arcsight", plain(Transport::Tcp, 1), &surroundings()).expect("a sink");
    let mut frames = Vec::new();
    assert!(sink.layout.frame(b"<1>", b"a\n<1>b", &mut frames).expect_err("refused").contains("newline"));
    assert!(frames.is_empty());
}

#[tokio::test]
async fn datagrams() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let port = receiver.local_addr().expect("an address").port();
    let mut settings = plain(Transport::Udp, port);
    settings.rfc = Rfc::Rfc3164;
    let sink = sink(settings);
    let large = body(&"x".repeat(70_000));
    let report = deliver(&sink, &["{\"id\":1}", &large, "{\"id\":2}"]).await;
    assert!(matches!(&report.outcomes[1], Outcome::Rejected(reason) if reason.contains("use tcp or tls")));
    assert_eq!((&report.outcomes[0], &report.outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered));
    let mut buffer = [0; 1000];
    for id in [1, 2] {
        let length = receiver.recv(&mut buffer).await.expect("a datagram");
        assert_eq!(
            std::str::from_utf8(&buffer[..length]),
            Ok(format!("<130>Jan  2 03:04:05 muster muster: {{\"id\":{id}}}").as_str())
        );
    }
    assert!(sink.test().await.expect("an address").contains("nobody can tell"));
}

struct Authority {
    acceptor: TlsAcceptor,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).expect("written");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate");
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), folder }
    }

    fn trusted(&self, port: u16, server_name: Option<&str>) -> SyslogSettings {
        SyslogSettings {
            ca_file: Some(self.folder.path().join("ca.pem")),
            server_name: server_name.map(ToOwned::to_owned),
            ..plain(Transport::Tls, port)
        }
    }

    /// Reads one connection to its end; says goodbye or just hangs up.
    async fn read_one(&self, listener: &TcpListener, goodbye: bool) -> Option<String> {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = self.acceptor.accept(stream).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("text");
        if goodbye {
            stream.shutdown().await.expect("closed");
        }
        Some(text)
    }
}

#[tokio::test]
async fn messages_are_counted_over_tls() {
    let authority = Authority::new(&["127.0.0.1", "siem.example"]);
    let (listener, port) = listener().await;
    for (server_name, goodbye) in [(None, true), (Some("siem.example"), false)] {
        let sink = sink(authority.trusted(port, server_name));
        for _ in 0..2 {
            let (report, text) =
                tokio::join!(deliver(&sink, &["{}"]), authority.read_one(&listener, goodbye));
            all_delivered(&report, 1);
            let message = "<130>1 2026-01-02T03:04:05.123456Z muster muster - graph_alerts - {}";
            assert_eq!(text, Some(format!("{} {message}", message.len())));
        }
        let (found, text) = tokio::join!(sink.test(), authority.read_one(&listener, true));
        let found = found.expect("usable");
        assert!(
            found.contains("takes connections under TLSv1_3, and closes them when it has read to the end")
        );
        assert_eq!(text.as_deref(), Some(""));
    }
}

#[tokio::test]
async fn a_stranger_is_not_told_anything() {
    let (authority, stranger) = (Authority::new(&["127.0.0.1"]), Authority::new(&["127.0.0.1"]));
    let (listener, port) = listener().await;
    let sink = sink(authority.trusted(port, None));
    let (report, text) = tokio::join!(deliver(&sink, &["{}"]), stranger.read_one(&listener, true));
    is_retry(&report, "shaking hands for TLS");
    assert_eq!(text, None);

    let sink = self::sink(authority.trusted(port, Some("other.example")));
    let (found, text) = tokio::join!(sink.test(), authority.read_one(&listener, true));
    let said = found.expect_err("another name").to_string();
    assert!(said.contains("its certificate is for another name"), "{said}");
    assert_eq!(text, None);
}

#[tokio::test]
async fn settings_that_cannot_work_are_told() {
    let refused = |change: fn(&mut SyslogSettings)| {
        let mut settings = plain(Transport::Udp, 514);
        change(&mut settings);
        Syslog::build("arcsight", settings, &surroundings()).expect_err("refused").to_string()
    };
    for wrong in [" :514", "arcsight.example", "arcsight.example:0", "a/b:514"] {
        let settings = SyslogSettings { address: vec![wrong.to_owned()], ..plain(Transport::Udp, 514) };
        let told = Syslog::build("arcsight", settings, &surroundings()).expect_err("refused").to_string();
        assert!(told.contains("is not an address such as"), "{told}");
    }
    assert!(refused(|settings| settings.confirm = Some(Confirm::Close)).contains("nothing can be confirmed"));
}

/// A receiver in a task of its own: how it behaves, and the lines that it has read.
struct Misbehaving {
    port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    lines: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Misbehaving {
    async fn start() -> Self {
        let (listener, port) = listener().await;
        let behaviour = Arc::new(Mutex::new(Behaviour::Well));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (now, reading) = (Arc::clone(&behaviour), Arc::clone(&lines));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut stalled = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let behaviour = *now.lock().expect("a lock");
                let mut text = String::new();
                match behaviour {
                    Behaviour::Down => stream.readable().await.expect("bytes"),
                    Behaviour::Slow => stalled.push(stream),
                    Behaviour::Cuts => drop(stream.read_exact(&mut [0; 10]).await.expect("a start")),
                    Behaviour::Nonsense => {
                        // The sink may leave before it has heard all of it.
                        drop(stream.write_all(&[b'?'; 2 * CHATTER_BYTES_MAX]).await);
                        drop(stream.read_to_string(&mut text).await);
                    }
                    Behaviour::Well | Behaviour::RefusesOne => {
                        stream.read_to_string(&mut text).await.expect("text");
                        reading.lock().expect("a lock").extend(text.lines().map(ToOwned::to_owned));
                    }
                }
            }
        });
        Self { port, behaviour, lines, _task: task }
    }
}

impl Harness for Misbehaving {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        *self.behaviour.lock().expect("a lock") = behaviour;
        let settings = SyslogSettings { timeout: Span(timeout), ..plain(Transport::Tcp, self.port) };
        Sink::Syslog(Syslog::build("suite", settings, &surroundings()).expect("a sink"))
    }

    async fn taken(&self) -> Vec<String> {
        let lines = self.lines.lock().expect("a lock").clone();
        let id = |line: &String| {
            let body = line.split_once(" - graph_alerts - ").expect("a header").1;
            let record: serde_json::Value = serde_json::from_str(body).expect("a record");
            record["id"].as_str().expect("an id").to_owned()
        };
        lines.iter().map(id).collect()
    }

    fn impossible(behaviour: Behaviour) -> Option<&'static str> {
        (behaviour == Behaviour::RefusesOne)
            .then_some("a syslog receiver answers nothing, so it refuses nothing")
    }

    const TELLS_REPETITIONS: bool = false;
}

#[tokio::test]
async fn suite() {
    suite::run(Misbehaving::start).await;
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<SyslogSettings>("syslog");
}
