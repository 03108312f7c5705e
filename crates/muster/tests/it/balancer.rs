//! What is reported delivered is indexed: behind balancers that lead to another indexer each time, with an indexer that
//! answers and dies before it has indexed anything.

use std::net::SocketAddr;
use std::time::Duration;

use muster_emulator::receivers::{
    Balancer, Balancing, HecConfig, ReceiverFault, ReceiverName, Receivers, ReceiversConfig,
};
use muster_emulator::{Config, loopback};

use crate::support::{Bench, Setup, config};

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// An indexer of Splunk's, with a collector.
struct Indexer {
    receivers: Receivers,
}

impl Indexer {
    async fn start() -> Self {
        let hec = HecConfig { listen: loopback(), token: TOKEN.to_owned(), acknowledge: true, tls: None };
        let receivers =
            Receivers::start(ReceiversConfig { hec: Some(hec), syslog: None, ingest: None }).await;
        Self { receivers: receivers.expect("it starts") }
    }

    fn address(&self) -> SocketAddr {
        self.receivers.hec_address().expect("it listens")
    }

    /// Answers as ever, and loses what it has not indexed.
    fn dies_before_indexing(&self) {
        self.receivers.set_fault(ReceiverName::Hec, ReceiverFault::NeverAcknowledge);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether a missing peer is a failure is for the environment to say"
)]
fn peers_are_required() -> bool {
    std::env::var("MUSTER_REQUIRE_PEERS").is_ok_and(|value| value == "1")
}

/// How many versions of what was produced are indexed, those in both indexers twice; and how many copies there are in one.
fn indexed(setup: &Setup, indexers: &[&Indexer]) -> (u64, u64) {
    let produced = setup.emulator.produced();
    let tallies = indexers.iter().flat_map(|indexer| indexer.receivers.tally(&produced));
    tallies.fold((0, 0), |(distinct, doubled), tally| (distinct + tally.distinct, doubled + tally.doubled))
}

/// A Muster whose only sink leads to this address.
async fn setup(urls: &[SocketAddr], alerts: u64) -> Setup {
    let urls: Vec<String> = urls.iter().map(|address| format!("\"http://{address}\"")).collect();
    let extra = format!(
        "[sinks.indexers]\ntype = \"splunk_hec\"\nurl = [{}]\ntoken = {{ file = \"indexers.token\" }}\nack_timeout = \"10m\"\n\n\
         [[routes]]\nsinks = [\"indexers\"]\n",
        urls.join(", ")
    );
    let setup = Setup::start(Config { alerts: Some(alerts), ..config() }, &extra).await;
    std::fs::write(setup.path().join("indexers.token"), TOKEN).expect("written");
    setup
}

async fn delivered(bench: &Bench) -> (u64, u64) {
    let totals = bench.store.sink_totals().await.expect("the store answers");
    let sink = totals.into_iter().find(|totals| totals.sink == "indexers").expect("a sink");
    (sink.delivered, sink.owed)
}

/// Delivers, then lets time pass until what an indexer has lost is sent again, to the one that lives.
async fn through(setup: &Setup, first: &Indexer, second: &Indexer, what: &str) {
    let bench = Bench::new(setup).await;
    second.dies_before_indexing();
    bench.collect().await;
    bench.deliver().await;
    let (reported, owed) = delivered(&bench).await;
    let (there, _) = indexed(setup, &[first, second]);
    println!(
        "{what}, one indexer dead before indexing: {reported} reported delivered, {there} indexed, {owed} owed"
    );
    assert!(reported <= there, "{reported} are reported delivered and {there} are indexed");
    assert!(owed > 0, "the dead indexer had some");
    // It comes back with nothing.
    second.receivers.clear_faults();
    // Where each question is led elsewhere, it takes some until the right one hears it.
    for _ in 0..200 {
        bench.pass(20);
        bench.deliver().await;
        let ((reported, owed), (there, _)) = (delivered(&bench).await, indexed(setup, &[first, second]));
        assert!(reported <= there, "{reported} are reported delivered and {there} are indexed");
        if owed == 0 {
            break;
        }
    }
    let ((reported, owed), (there, doubled)) = (delivered(&bench).await, indexed(setup, &[first, second]));
    println!("{what}, in the end: {reported} reported delivered, {there} indexed, {doubled} doubled");
    assert!(
        owed == 0 && reported <= there,
        "{owed} owed; {reported} are reported delivered and {there} are indexed"
    );
    assert!(bench.dead_letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_balancer_of_connections_what_is_reported_delivered_is_indexed() {
    let (first, second) = (Indexer::start().await, Indexer::start().await);
    let targets = vec![first.address(), second.address()];
    let balancer = Balancer::start(loopback(), targets, Balancing::PerConnection).await.expect("it starts");
    let setup = setup(&[balancer.address()], 120).await;
    through(&setup, &first, &second, "a balancer of connections").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_balancer_of_requests_what_is_reported_delivered_is_indexed() {
    let (first, second) = (Indexer::start().await, Indexer::start().await);
    let targets = vec![first.address(), second.address()];
    let balancer = Balancer::start(loopback(), targets, Balancing::PerRequest).await.expect("it starts");
    let setup = setup(&[balancer.address()], 120).await;
    through(&setup, &first, &second, "a balancer of requests").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_both_indexers_named_in_the_settings_what_is_reported_delivered_is_indexed() {
    let (first, second) = (Indexer::start().await, Indexer::start().await);
    let setup = setup(&[first.address(), second.address()], 120).await;
    through(&setup, &first, &second, "both in the settings").await;
}

/// A balancer that nobody here wrote, balancing connections and requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_haproxy_what_is_reported_delivered_is_indexed() {
    let program = std::path::Path::new("/usr/sbin/haproxy");
    if !program.exists() {
        let required = peers_are_required();
        assert!(!required, "haproxy is missing; .ci/install-peers installs it");
        println!("skipped: haproxy is not here; .ci/install-peers installs it");
        return;
    }
    for mode in ["tcp", "http"] {
        let (first, second) = (Indexer::start().await, Indexer::start().await);
        let folder = tempfile::tempdir().expect("a folder");
        let listener = std::net::TcpListener::bind(loopback()).expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let configuration = format!(
            "defaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             frontend hec\n  bind {address}\n  default_backend indexers\n\
             backend indexers\n  balance roundrobin\n  server one {}\n  server two {}\n",
            first.address(),
            second.address()
        );
        std::fs::write(folder.path().join("haproxy.cfg"), configuration).expect("written");
        let mut haproxy = tokio::process::Command::new(program);
        haproxy.arg("-db").arg("-f").arg(folder.path().join("haproxy.cfg")).kill_on_drop(true);
        let _running = haproxy.spawn().expect("haproxy starts");
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let setup = setup(&[address], 120).await;
        through(&setup, &first, &second, &format!("HAProxy in mode {mode}")).await;
    }
}
