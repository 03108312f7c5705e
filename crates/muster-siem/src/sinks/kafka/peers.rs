//! A broker that nobody here wrote (`noida-db`), also over a way on which answers are lost, read back by librdkafka. Skipped, and
//! says so, where `.ci/install-peers` has not been run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use muster_model::{Outcome, Selection};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Kafka, KafkaSettings};
use crate::sinks::testing::{body, delivery, delivery_batch, output, settings, start, surroundings, tenant};

/// Makes topics, as their operators do.
const MAKE: &str = r#"
import sys
from confluent_kafka.admin import AdminClient, NewTopic
server, *topics = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": server})
for made in admin.create_topics([NewTopic(topic, 4, 1) for topic in topics]).values():
    made.result(30)
"#;

/// Prints the value and the headers of every record of a topic, a line of JSON for each.
const READ_BACK: &str = r#"
import json, sys
from confluent_kafka import Consumer, TopicPartition, OFFSET_BEGINNING
server, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": server, "group.id": "readers", "enable.auto.commit": False, "check.crcs": True})
for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
    at = TopicPartition(topic, partition, OFFSET_BEGINNING)
    low, high = consumer.get_watermark_offsets(at, timeout=30)
    offset = low
    if low < high:
        consumer.assign([at])
    while offset < high:
        message = consumer.poll(30)
        assert message is not None and not message.error(), message and message.error()
        headers = {name: value.decode() for name, value in message.headers()}
        headers.update(partition=partition, key=message.key().decode(), value=json.loads(message.value()))
        print(json.dumps(headers))
        offset = message.offset() + 1
"#;

#[expect(
    clippy::disallowed_methods,
    reason = "what must be there, and where, is the machine's affair, not the settings'"
)]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

fn python() -> PathBuf {
    let peers = environment("MUSTER_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("the test's own path");
        test.ancestors().nth(3).expect("the target folder").join("peers")
    });
    peers.join("python/bin/python")
}

/// Where a program is that Python brought; none where it is not installed, which the test says, or which fails it.
fn program(asked: &str) -> Option<String> {
    let found = output(Command::new(python()).args(["-c", asked])).ok();
    let Some(found) = found.filter(|found| found.status.success()) else {
        let missing = "noida-db and confluent-kafka are not installed; .ci/install-peers installs them";
        assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
        println!("skipped: {missing}");
        return None;
    };
    Some(String::from_utf8(found.stdout).expect("a path").trim().to_owned())
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

async fn run(mut command: Command, port: u16) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(start(&mut command).expect("it starts"));
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(tokio::time::Instant::now() < until, "the broker listens within a minute");
        tokio::task::yield_now().await;
    }
    running
}

fn read_back(port: u16, topic: &str) -> Vec<Value> {
    let server = format!("127.0.0.1:{port}");
    let read = output(Command::new(python()).args(["-c", READ_BACK, &server, topic])).expect("Python runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let text = String::from_utf8(read.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Delivers many batches of three tenants, each until it is delivered, and holds what is there against what was owed.
async fn everything_arrives_once(port: u16, at: u16, topic: &str, compression: &str) {
    let made = output(Command::new(python()).args(["-c", MAKE, &format!("127.0.0.1:{port}"), topic]));
    let made = made.expect("Python runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let own: KafkaSettings = settings(json!({
        "brokers": [format!("127.0.0.1:{at}")], "topic": topic, "security_protocol": "plaintext",
        "compression": compression, "batch_size": "20kB", "timeout": "10s",
    }));
    let sink = Kafka::build("kafka", own, &surroundings()).expect("a sink");
    assert!(sink.test().await.expect("usable").contains("partitions"));
    let tenants = (0..3_u128).map(async |number| {
        let tenant = tenant(number);
        for of in 1..8 {
            let bodies: Vec<String> =
                (0..60).map(|record| body(&format!("{number}-{of}-{record}"))).collect();
            let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
            let mut whole = delivery(of, &bodies);
            let (mut owed, mut tries) = ((0..60).collect::<Vec<usize>>(), 0);
            while !owed.is_empty() {
                whole.selection = Selection::of(60, |place| owed.contains(&place)).expect("some");
                let report = sink.deliver(delivery_batch(&tenant, std::slice::from_ref(&whole))).await;
                let outcomes = owed.iter().zip(&report.outcomes);
                owed = outcomes.filter(|(_, of)| **of == Outcome::Retry).map(|(place, _)| *place).collect();
                assert!(report.outcomes.iter().all(|of| matches!(of, Outcome::Retry | Outcome::Delivered)));
                tries += 1;
                assert!(tries < 200, "{:?}", report.trouble);
            }
        }
    });
    futures_util::future::join_all(tenants).await;
    sink.close().await;
    let found = read_back(port, topic);
    let mut ids: Vec<&str> = found.iter().filter_map(|record| record["event_id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), found.len()), (3 * 7 * 60, 3 * 7 * 60), "{compression}: each is there once");
    for record in &found {
        let [tenant, source, id] =
            ["tenant_id", "source", "record_id"].map(|name| record[name].as_str().expect("a header"));
        assert_eq!(record["key"], format!("{tenant}/{source}/{id}"));
        assert!(record["value"]["id"].is_string());
    }
    assert_eq!(sink.producer.maybe_doubled(), 0);
}

/// Passes on what comes; of the answers to Produce, every fourth is lost with its connection.
async fn forward_with_losses(listener: TcpListener, port: u16, proxy: u16, lost: Arc<AtomicU32>) {
    let answers = Arc::new(AtomicU32::new(0));
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let (lost, answers) = (Arc::clone(&lost), Arc::clone(&answers));
        connections.spawn(async move {
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            loop {
                let request = frame(&mut client).await?;
                server.write_all(&request).await.ok()?;
                let answer = at_the_proxy(frame(&mut server).await?, port, proxy);
                let is_produce = request[4..6] == [0, 0];
                if is_produce && answers.fetch_add(1, Ordering::Relaxed) % 4 == 3 {
                    lost.fetch_add(1, Ordering::Relaxed);
                    return Some(());
                }
                client.write_all(&answer).await.ok()?;
            }
        });
    }
}

/// An answer in which the broker says of itself that it is where the proxy is.
fn at_the_proxy(mut answer: Vec<u8>, port: u16, proxy: u16) -> Vec<u8> {
    let place = |port: u16| [&b"127.0.0.1"[..], &u32::from(port).to_be_bytes()].concat();
    let (from, to) = (place(port), place(proxy));
    if let Some(at) = answer.windows(from.len()).position(|window| window == from) {
        answer[at..at + to.len()].copy_from_slice(&to);
    }
    answer
}

async fn frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + length as usize, 0);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noida_has_everything_once_also_where_answers_are_lost() {
    let asked = "import noida_db, os, confluent_kafka; print(os.path.join(os.path.dirname(noida_db.__file__), 'noida-db'))";
    let Some(program) = program(asked) else { return };
    let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
    let mut command = Command::new(Path::new(&program));
    command.args(["start", "--data-dir", folder.path().to_str().expect("UTF-8"), "--only", "kafka"]);
    command.args(["--kafka-port", &port.to_string()]);
    let _broker = run(command, port).await;
    for compression in ["none", "gzip", "zstd"] {
        everything_arrives_once(port, port, &format!("straight-{compression}"), compression).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = listener.local_addr().expect("an address").port();
    let (lost, mut tasks) = (Arc::new(AtomicU32::new(0)), JoinSet::new());
    tasks.spawn(forward_with_losses(listener, port, proxy, Arc::clone(&lost)));
    for compression in ["none", "gzip", "zstd"] {
        everything_arrives_once(port, proxy, &format!("lossy-{compression}"), compression).await;
    }
    let lost = lost.load(Ordering::Relaxed);
    println!("noida-db: {lost} answers lost, no record lost or doubled");
    assert!(lost > 10, "{lost}");
}
