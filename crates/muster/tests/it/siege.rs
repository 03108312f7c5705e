//! Thousands of hostile connections at the public listener while tenants are collected: the real program, measured from
//! outside. `a_siege_of_ten_thousand` is the large one:
//!
//!     cargo test -p muster --test it siege -- --ignored --nocapture

use rustix::process::Signal;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use muster::web::listener::descriptors;
use muster_emulator::Config;
use muster_model::{Clock as _, SystemClock};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::listener::{trusting, write_certificate};
use crate::support::{Setup, config, eventually, signal};

/// What a hostile connection does.
#[derive(Debug, Clone, Copy)]
enum Kind {
    HalfHead,
    SlowBody,
    Idle,
    NeverReads,
    Handshake,
    /// As many requests as it gets.
    Flood,
}

const KINDS: [Kind; 6] =
    [Kind::HalfHead, Kind::SlowBody, Kind::Idle, Kind::NeverReads, Kind::Handshake, Kind::Flood];

/// What was seen of it from outside.
#[derive(Debug, Default)]
struct Seen {
    connected: AtomicU64,
    open: AtomicU64,
    open_max: AtomicU64,
    requests: AtomicU64,
}

/// Keeps one connection, and begins it anew whenever it is ended, until the siege is over.
async fn besiege(
    kind: Kind,
    from: IpAddr,
    to: SocketAddr,
    tls: TlsConnector,
    seen: Arc<Seen>,
    over: Arc<AtomicBool>,
) {
    while !over.load(Ordering::Relaxed) {
        let socket = TcpSocket::new_v4().expect("a socket");
        if socket.bind((from, 0).into()).is_err() {
            return;
        }
        if let Ok(Ok(stream)) = timeout(Duration::from_secs(10), socket.connect(to)).await {
            seen.connected.fetch_add(1, Ordering::Relaxed);
            let open = seen.open.fetch_add(1, Ordering::Relaxed) + 1;
            seen.open_max.fetch_max(open, Ordering::Relaxed);
            attack(kind, stream, &tls, &seen, &over).await.ok();
            seen.open.fetch_sub(1, Ordering::Relaxed);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn attack(
    kind: Kind,
    mut stream: TcpStream,
    tls: &TlsConnector,
    seen: &Seen,
    over: &AtomicBool,
) -> std::io::Result<()> {
    if matches!(kind, Kind::Handshake) {
        stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc").await?;
        return until_the_end(&mut stream, over).await;
    }
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = timeout(Duration::from_secs(15), tls.connect(name, stream)).await??;
    let (head, many) = match kind {
        Kind::HalfHead => ("GET /onboard/x HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", 1),
        Kind::SlowBody => {
            ("POST /onboard/callback HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\na", 1)
        }
        Kind::Idle => ("GET /onboard/x HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
        // Pipelined, so that answers pile up.
        Kind::NeverReads => ("GET /onboard/x HTTP/1.1\r\nHost: localhost\r\n\r\n", 100),
        Kind::Flood | Kind::Handshake => {
            let mut buffer = [0; 4_096];
            while !over.load(Ordering::Relaxed) {
                stream.write_all(b"GET /onboard/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
                if stream.read(&mut buffer).await? == 0 {
                    break;
                }
                seen.requests.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(());
        }
    };
    stream.write_all(head.repeat(many).as_bytes()).await?;
    if matches!(kind, Kind::NeverReads) {
        // It notices its end by what it cannot write any more.
        while !over.load(Ordering::Relaxed) {
            sleep(Duration::from_secs(1)).await;
            timeout(Duration::from_secs(20), stream.write_all(b"\r\n")).await??;
        }
        return Ok(());
    }
    until_the_end(&mut stream, over).await
}

/// Waits until the server ends the connection; now and then a byte goes out.
async fn until_the_end<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let mut buffer = [0; 4_096];
    while !over.load(Ordering::Relaxed) {
        match timeout(Duration::from_secs(2), stream.read(&mut buffer)).await {
            Ok(Ok(0)) => break,
            Ok(Err(error)) => return Err(error),
            Ok(Ok(_)) | Err(_) => {}
        }
    }
    Ok(())
}

/// What a siege came to.
#[derive(Debug)]
struct Outcome {
    /// The greatest time since a source was last read to its end, before and during.
    lag_before: f64,
    lag_during: f64,
    /// Resident memory of the program in MB, before and the most during.
    memory_before: u64,
    memory_during: u64,
    /// Pages asked for by somebody honest, how many came, and the slowest.
    #[expect(dead_code, reason = "printed with the rest")]
    asked: u32,
    answered: u32,
    slowest: Duration,
    descriptors_max: usize,
}

/// Besieges a Muster that collects `tenants` with `connections`, for `rounds` poll intervals.
async fn siege(connections: usize, tenants: usize, poll: Duration, rounds: u32) -> Outcome {
    descriptors::raise();
    let folder = tempfile::tempdir().expect("a folder");
    let (files, root) = write_certificate(folder.path(), "site", "localhost");
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = port.local_addr().expect("an address");
    drop(port);
    let extra = format!(
        "[onboarding]\nlisten = \"{address}\"\npublic_url = \"https://localhost:{}\"\ncertificate_file = {:?}\n\
         key_file = {:?}\nprovider_name = \"Northwind\"\ncontact = \"soc@northwind.example\"\n\
         [collect]\npoll_interval = \"{}ms\"\npoll_interval_quiet = \"{}ms\"\n",
        address.port(),
        files.certificate,
        files.key,
        poll.as_millis(),
        poll.as_millis(),
    );
    let setup = Setup::start(
        Config { tenants, alerts: Some(2 * u64::try_from(tenants).expect("it fits")), ..config() },
        &extra,
    )
    .await;
    let mut child = setup.run();
    let pid = child.id().expect("it runs");
    let store = setup.store().await;
    let lag = async || {
        let states = store.source_states().await.expect("the store answers");
        let now = SystemClock.now();
        let since = |at| now.duration_since(at).as_secs_f64();
        states.iter().map(|state| state.last_success_at.map(since)).collect::<Option<Vec<_>>>()
    };
    eventually("all tenants are read", async || lag().await.is_some()).await;
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    let mut ticks = interval((poll / 4).min(Duration::from_secs(1)));
    let mut watch = async |until: Instant| {
        let (mut greatest, mut most, mut open) = (0.0_f64, 0, 0);
        while Instant::now() < until {
            ticks.tick().await;
            greatest = lag().await.expect("all are read").into_iter().fold(greatest, f64::max);
            most = most.max(memory());
            open = open.max(std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count));
        }
        (greatest, most, open)
    };
    let (lag_before, memory_before, _) = watch(Instant::now() + poll * 2).await;

    let (seen, over) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let tls = trusting(root);
    let mut hostile = JoinSet::new();
    for number in 0..connections {
        let kind = KINDS[number % KINDS.len()];
        // 32 connections of each address are let in; more come than that.
        let address_of = u8::try_from(2 + number / 40 % 250).expect("it fits");
        let from = IpAddr::from([127, 0, 1, address_of]);
        hostile.spawn(besiege(kind, from, address, tls.clone(), Arc::clone(&seen), Arc::clone(&over)));
    }
    let honest = async {
        let (mut asked, mut answered, mut slowest) = (0, 0, Duration::ZERO);
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            asked += 1;
            if let Ok(Ok(true)) = timeout(Duration::from_secs(20), honest_page(address, &tls)).await {
                answered += 1;
                slowest = slowest.max(began.elapsed());
            }
            sleep(Duration::from_millis(500)).await;
        }
        (asked, answered, slowest)
    };
    let watched = async {
        let watched = watch(Instant::now() + poll * rounds).await;
        over.store(true, Ordering::Relaxed);
        watched
    };
    let ((asked, answered, slowest), (lag_during, memory_during, descriptors_max)) =
        tokio::join!(honest, watched);
    hostile.shutdown().await;
    println!("{seen:?}");
    signal(&child, Signal::TERM);
    assert!(child.wait().await.expect("it ends").success());
    Outcome {
        lag_before,
        lag_during,
        memory_before,
        memory_during,
        asked,
        answered,
        slowest,
        descriptors_max,
    }
}

async fn honest_page(to: SocketAddr, tls: &TlsConnector) -> std::io::Result<bool> {
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = tls.connect(name, stream).await?;
    let request = b"GET /onboard/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    // The kind word for a link that leads nowhere.
    Ok(answer.starts_with(b"HTTP/1.1 404"))
}

/// Some hundred connections, in a few seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_siege_keeps_nobody_from_work() {
    let outcome = siege(400, 3, Duration::from_secs(1), 12).await;
    println!("{outcome:?}");
    assert!(outcome.slowest < Duration::from_secs(20));
    // Ten times what it takes where nothing else runs.
    assert!(outcome.lag_during < outcome.lag_before + 5.0, "{outcome:?}");
    assert!(outcome.memory_during < outcome.memory_before + 100, "{outcome:?}");
    assert!(outcome.answered > 0 && outcome.descriptors_max < 600, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten thousand connections for some minutes: run it alone, with --nocapture"]
async fn a_siege_of_ten_thousand() {
    let poll = Duration::from_secs(30);
    let outcome = siege(10_000, 500, poll, 4).await;
    println!("{outcome:#?}");
    assert!(outcome.lag_during < outcome.lag_before + poll.as_secs_f64(), "{outcome:?}");
    assert!(outcome.memory_during < outcome.memory_before + 200, "{outcome:?}");
    // How many honest visitors were answered is shown above: it depends on what the machine has left for the pages.
    assert!(outcome.descriptors_max < 1_600, "{outcome:?}");
}
