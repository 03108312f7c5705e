//! The public listener: what strangers may do there, for how long, and how it speaks TLS.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use muster::web::listener::certificate::check;
use muster::web::listener::{self, Bounds, CertificateFiles, Certificates, Visitors};
use muster_microsoft::entra::consent::ConsentForm;
use muster_model::SystemClock;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::onboarding::{House, empty};
use crate::support::eventually;

/// A listener with short times, in this process.
struct Listening {
    address: SocketAddr,
    visitors: Arc<Visitors>,
    _tasks: JoinSet<()>,
}

/// Time enough for a busy machine to answer, and short enough to wait for.
fn bounds() -> Bounds {
    Bounds {
        connections_max: 400,
        per_address_max: 50,
        burst: 3_000.0,
        handshake: Duration::from_millis(700),
        head: Duration::from_millis(700),
        unread: Duration::from_millis(700),
        life: Duration::from_secs(4),
        last: Duration::from_secs(2),
        ..Bounds::public(400)
    }
}

async fn listen(bounds: Bounds, certificates: Option<Arc<Certificates>>) -> Listening {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    let router = Router::new()
        .route("/", get(async || "a page\n"))
        .route("/large", get(async || vec![b'x'; 32 << 20]))
        .route("/form", post(async |body: String| body));
    let visitors = Visitors::new("test", bounds, Vec::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(listener::serve(
        socket,
        certificates,
        router,
        Arc::clone(&visitors),
        CancellationToken::new(),
    ));
    Listening { address, visitors, _tasks: tasks }
}

/// Connects from `127.0.0.last`.
pub(crate) async fn connect_from(last: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((IpAddr::from([127, 0, 0, last]), 0).into())?;
    socket.connect(to).await
}

async fn answer(mut stream: TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

const PAGE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Whatever a connection does not do in time, it is over, and the page is there for others meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_waited_for() {
    let listening = listen(bounds(), None).await;
    let mut hostile = JoinSet::new();
    for (last, request) in [
        (2, ""),
        (3, "GET / HTTP/1.1\r\nHost: loc"),
        (4, "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nslow"),
        (5, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (6, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (7, "\u{0}\u{1}\u{2} nonsense \r\n\r\n"),
        (8, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        for _ in 0..30 {
            let mut stream = connect_from(last, listening.address).await.expect("it listens");
            stream.write_all(request.as_bytes()).await.expect("it is sent");
            hostile.spawn(async move {
                // Whoever never reads holds its place until the server ends it; all others wait for the end.
                match request.contains("/large") {
                    true => tokio::time::sleep(Duration::from_secs(30)).await,
                    false => drop(stream.read_to_end(&mut Vec::new()).await),
                }
                drop(stream);
            });
        }
    }
    let page = answer(connect_from(99, listening.address).await.expect("it listens"), PAGE).await;
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("a page\n"), "{page}");
    eventually("all are gone", async || listening.visitors.connected() == 0).await;
}

/// A trickle of bytes buys no time: neither byte by byte in a head, nor in a body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickle_is_not_waited_for() {
    let listening = listen(bounds(), None).await;
    let began = tokio::time::Instant::now();
    let mut trickles = JoinSet::new();
    for start in
        ["GET / HTTP/1.1\r\nX-A: ", "POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(listening.address).await.expect("it listens");
        trickles.spawn(async move {
            stream.write_all(start.as_bytes()).await.ok();
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            while stream.write_all(b"a").await.is_ok() {
                ticks.tick().await;
            }
        });
    }
    trickles.join_all().await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_addresses_and_places_have_bounds() {
    let listening = listen(bounds(), None).await;
    let to = listening.address;
    let connect = async || TcpStream::connect(to).await.expect("it listens");
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    let refused = answer(connect().await, &long).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431"), "{refused}");
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(500));
    let refused = answer(connect().await, &many).await;
    assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");

    // The 51st of one address is closed at once; another address has its own.
    let mut open = Vec::new();
    for _ in 0..50 {
        let mut stream = connect_from(20, to).await.expect("it listens");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is sent");
        assert!(stream.read(&mut [0; 512]).await.expect("an answer") > 0);
        open.push(stream);
    }
    let turned_away = answer(connect_from(20, to).await.expect("it listens"), PAGE).await;
    assert_eq!(turned_away, "");
    let page = answer(connect_from(21, to).await.expect("it listens"), PAGE).await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
}

/// A flood of one address is turned away without a word; whoever comes from another is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_turned_away() {
    let listening = listen(Bounds { burst: 600.0, per_second: 5.0, ..bounds() }, None).await;
    let mut answered = 0;
    for _ in 0..200 {
        let page = answer(connect_from(30, listening.address).await.expect("it listens"), PAGE).await;
        answered += usize::from(page.starts_with("HTTP/1.1 200"));
    }
    assert!((50..150).contains(&answered), "{answered}");
    let page = answer(connect_from(31, listening.address).await.expect("it listens"), PAGE).await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_for_this_address_and_ask_for_pages() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let ask = async |request: String| {
        answer(TcpStream::connect(house.address).await.expect("it listens"), &request).await
    };
    let with =
        |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    let host = "Host: 127.0.0.1\r\n";
    for (request, status) in [
        (with("/onboard/x", host), 404),
        (with("/onboard/x", &format!("Host: {}\r\n", house.address)), 404),
        (with("/onboard/x", "Host: evil.example\r\n"), 421),
        (with("/onboard/x", "Host: 127.0.0.1.evil.example\r\n"), 421),
        (with("/onboard/x", "Host: 127.0.0.1@evil.example\r\n"), 421),
        (with("/onboard/x", "Host: \r\n"), 421),
        (with("/onboard/x", ""), 421),
        (with("/onboard/x", &format!("{host}{host}")), 421),
        (with("http://evil.example/onboard/x", host), 421),
        (with("http://127.0.0.1/onboard/x", "Host: evil.example\r\n"), 404),
        // Nobody here is a proxy that is trusted.
        (with("/onboard/x", "Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1\r\n"), 421),
        (with("/onboard/x", &format!("{host}X-Forwarded-Host: evil.example\r\n")), 404),
        (with("/metrics", host), 404),
        (with("/livez", host), 404),
        (with("/onboard/../metrics", host), 404),
        (with("/onboard/..%2f..%2fetc%2fpasswd", host), 404),
        (with("/onboard/%2e%2e/%2e%2e/etc/passwd", host), 404),
        (with("//etc/passwd", host), 404),
        (with("/", host), 404),
        (format!("TRACE /onboard/x HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 405),
        (format!("OPTIONS * HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 405),
        (format!("CONNECT evil.example:443 HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 405),
        (format!("BREW /onboard/x HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 405),
        // What two servers could read in two ways.
        (
            format!(
                "POST /onboard/callback HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"
            ),
            400,
        ),
        (format!("POST /onboard/callback HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\nab"), 400),
        (format!("GET /onboard/x HTTP/1.1\r\n{host}Bad Header: x\r\n\r\n"), 400),
        (format!("GET /onboard/x y HTTP/1.1\r\n{host}\r\n"), 400),
    ] {
        let answer = ask(request.clone()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        if status != 400 {
            let answer = answer.to_lowercase();
            for header in [
                "cache-control: no-store",
                "x-content-type-options: nosniff",
                "x-frame-options: deny",
                "referrer-policy: same-origin",
                "content-security-policy: default-src 'none'",
            ] {
                assert!(answer.contains(header), "{header}: {request}: {answer}");
            }
        }
        assert!(!answer.contains("muster_"), "no metrics: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_is_believed() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    let handle = muster::web::onboarding::OnboardingHandle::default();
    handle.set(Some(Arc::clone(&house.onboarding)));
    let proxy = "127.0.0.77".parse().expect("a range");
    let bounds = Bounds { burst: 20.0, per_second: 0.01, per_address_max: 5, ..Bounds::public(100) };
    let visitors = Visitors::new("test", bounds, vec![proxy]);
    let routes = muster::web::onboarding::routes(handle);
    let mut tasks = JoinSet::new();
    tasks.spawn(listener::serve(socket, None, routes, visitors, CancellationToken::new()));
    let ask = async |last: u8, headers: &str| {
        let request = format!("GET /onboard/x HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        let page = answer(connect_from(last, address).await.expect("it listens"), &request).await;
        page.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok())
    };
    let through = "Host: backend\r\nX-Forwarded-Host: 127.0.0.1\r\nX-Forwarded-For: made.up, 203.0.113.";
    // Many people behind one proxy, each with a burst of their own; what they put in front of it is not looked at.
    for person in 0..30 {
        assert_eq!(ask(77, &format!("{through}{person}\r\n")).await, Some(404), "{person}");
    }
    let mut last = Some(404);
    for _ in 0..25 {
        last = ask(77, &format!("{through}1, 127.0.0.77\r\n")).await;
    }
    assert_eq!(last, Some(429), "one of them asks too often");
    assert_eq!(ask(77, &format!("{through}2\r\n")).await, Some(404));
    // Whoever is no proxy says so in vain.
    assert_eq!(ask(78, &format!("{through}3\r\n")).await, Some(421));
}

/// A certificate for a host and its key, in files; the certificate as clients trust it.
pub(crate) fn write_certificate(
    folder: &Path,
    name: &str,
    host: &str,
) -> (CertificateFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
    let files = CertificateFiles {
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
        host: host.to_owned(),
    };
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    (files, made.cert.der().clone())
}

/// A client that trusts this certificate alone.
pub(crate) fn trusting(certificate: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    // Each handshake is a whole one and looks at the certificate.
    config.resumption = Resumption::disabled();
    Arc::new(config).into()
}

async fn page_over_tls(connector: &TlsConnector, to: SocketAddr) -> std::io::Result<String> {
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = connector.connect(name, stream).await?;
    stream.write_all(PAGE.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn certificates(files: &CertificateFiles) -> Arc<Certificates> {
    Certificates::open(files.clone(), Arc::new(SystemClock))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let folder = TempDir::new().expect("a folder");
    let (files, first) = write_certificate(folder.path(), "first", "localhost");
    let (renewed, second) = write_certificate(folder.path(), "second", "localhost");
    let in_use = certificates(&files);
    let listening = listen(bounds(), Some(Arc::clone(&in_use))).await;
    let (first, second) = (trusting(first), trusting(second));
    let page = page_over_tls(&first, listening.address).await.expect("TLS");
    assert!(page.contains("a page"), "{page}");
    // The client proposes no protocol that is not there.
    assert!(answer(TcpStream::connect(listening.address).await.expect("it listens"), PAGE).await.len() < 32);

    // Half of it is renewed: key and certificate do not fit, and what is in use stays.
    std::fs::rename(&renewed.certificate, &files.certificate).expect("renewed");
    in_use.look_after();
    assert!(page_over_tls(&first, listening.address).await.is_ok());
    std::fs::rename(&renewed.key, &files.key).expect("renewed");
    in_use.look_after();
    assert!(page_over_tls(&first, listening.address).await.is_err());
    assert!(page_over_tls(&second, listening.address).await.is_ok());
    std::fs::remove_file(&files.key).expect("removed");
    in_use.look_after();
    assert!(!in_use.read_again());
    assert!(page_over_tls(&second, listening.address).await.is_ok(), "what is in use stays in use");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_stall_or_are_none_end() {
    let folder = TempDir::new().expect("a folder");
    let (files, root) = write_certificate(folder.path(), "site", "localhost");
    let listening = listen(bounds(), Some(certificates(&files))).await;
    let mut open = Vec::new();
    for (last, begin) in
        [(40, &b""[..]), (41, b"\x16\x03\x01\x02\x00\x01\x00"), (42, b"GET / HTTP/1.1\r\n\r\n")]
    {
        for _ in 0..40 {
            let mut stream = connect_from(last, listening.address).await.expect("it listens");
            stream.write_all(begin).await.expect("it is sent");
            open.push(stream);
        }
    }
    assert!(page_over_tls(&trusting(root), listening.address).await.expect("TLS").contains("a page"));
    eventually("all are gone", async || listening.visitors.connected() == 0).await;
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    let folder = TempDir::new().expect("a folder");
    let (files, _) = write_certificate(folder.path(), "site", "muster.mssp.example");
    let (other, _) = write_certificate(folder.path(), "other", "*.mssp.example");
    check(&files).expect("it is right");
    check(&CertificateFiles { host: "muster.mssp.example".to_owned(), ..other.clone() })
        .expect("by its wildcard");
    let wrong = |files: &CertificateFiles| check(files).expect_err("a mistake").to_string();
    let junk = folder.path().join("junk.pem");
    std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("written");
    let with = |certificate: &Path, key: &Path, host: &str| CertificateFiles {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        host: host.to_owned(),
    };
    let host = "muster.mssp.example";
    for (files, words) in [
        (with(&folder.path().join("none.pem"), &files.key, host), "none.pem cannot be read: No such file"),
        (with(folder.path(), &files.key, host), "it is no file"),
        (with(&empty, &files.key, host), "empty.pem holds no PEM certificate that can be read"),
        (with(&junk, &files.key, host), "junk.pem holds no PEM certificate that can be read"),
        (with(&files.certificate, &empty, host), "empty.pem can be read or changed by others"),
        (with(&files.certificate, &files.certificate, host), "can be read or changed by others (mode 0644)"),
        (with(&files.certificate, &other.key, host), "does not belong to the certificate"),
        (with(&files.certificate, &files.key, "a.example"), "is for muster.mssp.example, not for a.example"),
        (with(&other.certificate, &other.key, "a.b.mssp.example"), "is for *.mssp.example, not for a.b.mssp"),
    ] {
        let told = wrong(&files);
        assert!(told.contains(words), "{words}: {told}");
    }
    std::fs::set_permissions(&empty, std::fs::Permissions::from_mode(0o640)).expect("its mode");
    let told = wrong(&with(&files.certificate, &empty, host));
    assert!(told.contains("holds no PEM private key"), "{told}");
}
