//! RabbitMQ as Debian has it, on a node of the tests' own, read back by pika: over kills of Muster and of the node,
//! wrong credentials, no exchange, no queue, a queue that is full, messages that are too large. Skipped, and says so,
//! where `.ci/install-peers` has not been run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use muster_emulator::Config;
use muster_store::Store;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::brokers::{
    all_is_delivered, free_port, judge, missing, python, run_python, takes_example, totals,
    write_certificates, write_secret,
};
use crate::support::{Setup, config, eventually};

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// `wait QUEUES`, until they are there; `count QUEUES`; `read QUEUES FILE`.
const SCRIPT: &str = r#"
import sys, time
import pika
port, what, queues, rest = int(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), sys.argv[4:]
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, "soc", pika.PlainCredentials("reader", "reader")))
until = time.monotonic() + 120
while what == "wait" and queues:
    try:
        connection.channel().queue_declare(queues[0], passive=True)
        queues = queues[1:]
    except pika.exceptions.ChannelClosedByBroker:
        assert time.monotonic() < until, queues
        time.sleep(0.2)
channel = connection.channel()
count = sum(channel.queue_declare(queue, passive=True).method.message_count for queue in queues)
if what == "count":
    print(count)
elif what == "read":
    ids = set()
    with open(rest[0], "wb") as out:
        for queue in queues:
            while True:
                # Not acknowledged: it is put back when the connection ends.
                method, properties, body = channel.basic_get(queue)
                if method is None:
                    break
                assert properties.delivery_mode == 2 and properties.headers["record_id"], properties
                ids.add((properties.message_id, body))
                out.write(body.replace(b"\n", b" ") + b"\n")
    assert len({id for id, _ in ids}) == len(ids), "one id for two versions"
connection.close()
"#;

struct RabbitMq {
    python: PathBuf,
    folder: TempDir,
    port: u16,
    tls_port: u16,
    node: String,
    dist_port: u16,
    process: Child,
}

impl RabbitMq {
    async fn start() -> Option<Self> {
        let python = python("pika").await?;
        let server = Path::new(PROGRAMS).join("rabbitmq-server");
        if !server.exists() {
            return missing(&server.display().to_string());
        }
        let (folder, port, dist_port, tls_port) =
            (tempfile::tempdir().expect("a folder"), free_port(), free_port(), free_port());
        write_certificates(folder.path(), "muster-cert");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\nloopback_users = none\n\
             max_message_size = 200000\nauth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\nssl_options.verify = verify_peer\n",
            path("ca.pem"),
            path("server.pem"),
            path("server.key")
        );
        std::fs::write(folder.path().join("rabbitmq.conf"), settings).expect("written");
        std::fs::write(folder.path().join("plugins"), "[rabbitmq_auth_mechanism_ssl].\n").expect("written");
        let node = format!("muster-test-{port}@localhost");
        let process =
            command("rabbitmq-server", folder.path(), (&node, port, dist_port)).spawn().expect("it starts");
        let broker = Self { python, folder, port, tls_port, node, dist_port, process };
        broker.is_there().await;
        broker.control(&["add_vhost", "soc"]).await;
        broker.control(&["add_user", "reader", "reader"]).await;
        broker.control(&["set_permissions", "-p", "soc", "reader", ".*", ".*", ".*"]).await;
        broker.control(&["add_user", "muster", "right"]).await;
        Some(broker)
    }

    fn command(&self, program: &str) -> Command {
        command(program, self.folder.path(), (&self.node, self.port, self.dist_port))
    }

    async fn is_there(&self) {
        eventually("RabbitMQ listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
        })
        .await;
        // What was stored is there once it has started altogether.
        eventually("RabbitMQ has started", async || {
            let waited = self.command("rabbitmqctl").arg("await_startup").output().await;
            waited.expect("rabbitmqctl starts").status.success()
        })
        .await;
    }

    async fn control(&self, arguments: &[&str]) {
        let output = self.command("rabbitmqctl").args(arguments).output().await.expect("rabbitmqctl starts");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// SIGKILL, to the node itself and to the script that started it.
    async fn kill(&mut self) {
        self.kill_node();
        drop(self.process.wait().await);
    }

    fn kill_node(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).ok();
        let pid = pid.and_then(|pid| pid.trim().parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may be gone already.
            rustix::process::kill_process(pid, Signal::KILL).ok();
        }
        self.process.start_kill().ok();
    }

    async fn restart(&mut self) {
        std::fs::remove_file(self.folder.path().join("pid")).expect("a pid file");
        self.process = self.command("rabbitmq-server").spawn().expect("it starts");
        self.is_there().await;
    }

    fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}/soc", self.port)
    }

    async fn count(&self, queues: &str) -> u64 {
        let arguments = [&*self.port.to_string(), "count", queues];
        run_python(&self.python, SCRIPT, &arguments).await.trim().parse().expect("a number")
    }

    async fn read(&self, queues: &str) -> Vec<String> {
        let file = self.folder.path().join("read");
        let port = self.port.to_string();
        run_python(&self.python, SCRIPT, &[&port, "read", queues, file.to_str().expect("UTF-8")]).await;
        std::fs::read_to_string(&file).expect("read").lines().map(str::to_owned).collect()
    }

    /// Makes what `muster siem-config amqp` prints for a sink, with these changes; and its permissions. The names of
    /// the queues.
    async fn make(&self, setup: &Setup, sink: &str, changes: impl Fn(&mut Value)) -> String {
        let folder = setup.path().join(format!("siem-{}", uuid::Uuid::new_v4()));
        let arguments = ["siem-config", "amqp", "--sink", sink, "--folder", folder.to_str().expect("UTF-8")];
        let printed = setup.muster(&arguments).await;
        assert!(printed.status.success(), "{printed:?}");
        let file = folder.join(format!("amqp-{sink}.json"));
        let text = std::fs::read_to_string(&file).expect("written");
        let mut definitions: Value = serde_json::from_str(&text).expect("JSON");
        changes(&mut definitions);
        std::fs::write(&file, definitions.to_string()).expect("written");
        self.control(&["import_definitions", file.to_str().expect("UTF-8")]).await;
        let commands = std::fs::read_to_string(folder.join("amqp.txt")).expect("written");
        let permissions = commands.lines().find(|line| line.starts_with("rabbitmqctl set_permissions"));
        let words = permissions.expect("permissions").split(' ').skip(1).map(|word| word.trim_matches('\''));
        // Both sinks are one user's here.
        let words: Vec<&str> =
            words.map(|word| if word == r"^muster$" { "^(muster|classic)$" } else { word }).collect();
        if sink == "rabbit" {
            self.control(&words).await;
        }
        let queues = definitions["queues"].as_array().expect("queues").iter();
        let names: Vec<&str> = queues.map(|queue| queue["name"].as_str().expect("a name")).collect();
        // They are made by and by.
        run_python(&self.python, SCRIPT, &[&*self.port.to_string(), "wait", &names.join(",")]).await;
        names.join(",")
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill_node();
    }
}

fn command(program: &str, folder: &Path, (node, port, dist_port): (&str, u16, u16)) -> Command {
    let mut command = Command::new(Path::new(PROGRAMS).join(program));
    let path = |name: &str| folder.join(name);
    command
        // Where a node that cannot start leaves its dump.
        .current_dir(folder)
        .env("HOME", folder)
        .env("RABBITMQ_NODENAME", node)
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", dist_port.to_string())
        .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
        .env("RABBITMQ_LOG_BASE", path("log"))
        .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
        .env("RABBITMQ_CONF_ENV_FILE", path("none"))
        .env("RABBITMQ_PID_FILE", path("pid"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if program == "rabbitmqctl" {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    command
}

async fn setup(broker: &RabbitMq, of: Config) -> (Setup, Arc<dyn Store>) {
    let url = broker.url();
    let sink = |name: &str, exchange: &str| {
        format!(
            r#"
            [sinks.{name}]
            type = "amqp"
            url = ["amqp://127.0.0.1:9/soc", "{url}"]
            exchange = "{exchange}"
            routing_key = "{exchange}.{{{{ tenant.slug }}}}.{{{{ source }}}}"
            user = "muster"
            password = {{ file = "rabbit.password" }}
            timeout = "5s"
            batch_size = "64KiB"
            "#
        )
    };
    let routes = "[[routes]]\nsinks = [\"rabbit\", \"classic\"]\n";
    let extra = [sink("rabbit", "muster"), sink("classic", "classic"), routes.to_owned()].concat();
    let setup = Setup::start(of, &extra).await;
    write_secret(&setup.path().join("rabbit.password"), "right");
    let path = setup.settings_path();
    let text = std::fs::read_to_string(&path).expect("the settings");
    // What Splunk confirmed in a process that was killed then is waited for so long.
    let text = text.replacen("[sinks.splunk]", "[sinks.splunk]\nack_timeout = \"4s\"", 1);
    std::fs::write(&path, text).expect("written");
    let store = setup.store().await;
    (setup, store)
}

fn classic(definitions: &mut Value) {
    for queue in definitions["queues"].as_array_mut().expect("queues") {
        queue["arguments"] = json!({ "x-overflow": "reject-publish" });
    }
}

async fn says(store: &Arc<dyn Store>, sink: &str, what: &str) {
    eventually(&format!("it is told of {sink}: {what}"), async || {
        let error = totals(store, sink).await.and_then(|totals| totals.last_error);
        error.is_some_and(|error| error.contains(what))
    })
    .await;
}

async fn owed(store: &Arc<dyn Store>) -> [u64; 2] {
    let mut owed = [0; 2];
    for (owed, sink) in owed.iter_mut().zip(["rabbit", "classic"]) {
        *owed = totals(store, sink).await.map_or(0, |totals| totals.owed);
    }
    owed
}

/// Kills of Muster, six times, and of the node under load; with quorum queues and with durable classic ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_of_either_side_nothing_is_lost() {
    let Some(mut broker) = RabbitMq::start().await else { return };
    let (setup, store) = setup(&broker, Config { alerts: Some(300), ..config() }).await;
    let queues = [broker.make(&setup, "rabbit", |_| {}).await, broker.make(&setup, "classic", classic).await];
    let tested = setup.muster(&["sink", "test", "rabbit"]).await;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success() && said.contains("it has the exchange `muster`"), "{tested:?}");
    assert_eq!(broker.count(&queues[0]).await, 0, "a test leaves nothing behind");
    let mut owed_at_kills = [0; 2];
    for _ in 0..6 {
        let mut muster = setup.run();
        let before = broker.count(&queues[0]).await;
        eventually("it has published something, or has done all", async || {
            broker.count(&queues[0]).await > before || setup.lost() == 0
        })
        .await;
        muster.kill().await.expect("killed");
        owed(&store).await.iter().zip(&mut owed_at_kills).for_each(|(owed, sum)| *sum += owed);
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 10, None).expect("new alerts");
        }
    }
    let mut muster = setup.run();
    all_is_delivered(&setup, &store).await;
    let mut doubled = [0; 2];
    for (place, sink) in ["rabbit", "classic"].into_iter().enumerate() {
        let trouble = "kill -9 of Muster six times";
        let verdict = judge((sink, trouble), &setup, &store, &broker.read(&queues[place]).await).await;
        assert_eq!(verdict.dead_letters, 0);
        assert!(
            verdict.doubled <= owed_at_kills[place],
            "more than was owed at the kills: {owed_at_kills:?}"
        );
        doubled[place] = verdict.doubled;
    }
    for _ in 0..2 {
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 60, None).expect("new alerts");
        }
        let before = totals(&store, "rabbit").await.map_or(0, |totals| totals.delivered);
        eventually("some of it is delivered", async || {
            totals(&store, "rabbit").await.is_some_and(|totals| totals.delivered > before)
        })
        .await;
        broker.kill().await;
        owed(&store).await.iter().zip(&mut owed_at_kills).for_each(|(owed, sum)| *sum += owed);
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 5, None).expect("new alerts");
        }
        for sink in ["rabbit", "classic"] {
            says(&store, sink, "no way to the broker").await;
        }
        broker.restart().await;
    }
    all_is_delivered(&setup, &store).await;
    for (place, sink) in ["rabbit", "classic"].into_iter().enumerate() {
        let trouble = "kill -9 of RabbitMQ twice, away for a while";
        let verdict = judge((sink, trouble), &setup, &store, &broker.read(&queues[place]).await).await;
        assert_eq!(verdict.dead_letters, 0);
        assert!(
            verdict.doubled <= owed_at_kills[place],
            "more than was owed at the kills: {owed_at_kills:?}"
        );
        assert!(verdict.doubled >= doubled[place]);
    }
    muster.kill().await.expect("killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_owed_and_what_is_too_large_is_alone() {
    let Some(broker) = RabbitMq::start().await else { return };
    over_tls_by_its_certificate(&broker).await;
    let (setup, store) = setup(&broker, Config { alerts: Some(40), large_one_in: 20, ..config() }).await;
    broker.control(&["set_permissions", "-p", "soc", "muster", "^$", "^(muster|classic)$", "^$"]).await;
    let password = setup.path().join("rabbit.password");
    write_secret(&password, "wrong");
    let mut muster = setup.run();
    says(&store, "rabbit", "check the sink's user and password").await;
    let tested = setup.muster(&["sink", "test", "rabbit"]).await;
    assert!(!tested.status.success(), "{tested:?}");
    muster.kill().await.expect("killed");
    write_secret(&password, "right");
    let mut muster = setup.run();
    says(&store, "rabbit", "make the exchange").await;
    let tested = setup.muster(&["sink", "test", "rabbit"]).await;
    assert!(String::from_utf8_lossy(&tested.stdout).contains("make the exchange"), "{tested:?}");
    // An exchange that nothing is bound to confirms everything.
    broker.make(&setup, "rabbit", |definitions| definitions["bindings"] = json!([])).await;
    broker.make(&setup, "classic", classic).await;
    says(&store, "rabbit", "no queue is bound to exchange `muster`").await;
    let none = totals(&store, "rabbit").await.map(|totals| (totals.delivered, totals.rejected));
    assert_eq!(none, Some((0, 0)), "confirmed is not delivered");
    // A policy makes the queues full.
    broker
        .control(&[
            "set_policy",
            "-p",
            "soc",
            "full",
            "^muster",
            r#"{"max-length":1,"overflow":"reject-publish"}"#,
        ])
        .await;
    let queues = broker.make(&setup, "rabbit", |_| {}).await;
    says(&store, "rabbit", "x-overflow").await;
    // Each queue has taken one message, so what is too large is judged; nothing else is buried.
    let letters = store.dead_letters(None, 10_000).await.expect("the store answers");
    assert!(letters.iter().all(|letter| letter.reason.contains("max_message_size")), "{letters:?}");
    broker.control(&["clear_policy", "-p", "soc", "full"]).await;
    all_is_delivered(&setup, &store).await;
    let trouble = "wrong credentials, no exchange, no queue, a full queue, too large";
    let verdict = judge(("rabbit", trouble), &setup, &store, &broker.read(&queues).await).await;
    assert!(verdict.dead_letters > 0, "half a megabyte is more than the broker takes");
    let letters = store.dead_letters(None, 10_000).await.expect("the store answers");
    assert!(letters.iter().any(|letter| letter.reason.contains("max_message_size")), "{letters:?}");
    muster.kill().await.expect("killed");
}

async fn over_tls_by_its_certificate(broker: &RabbitMq) {
    broker.control(&["add_user", "muster-cert", "none"]).await;
    let path = |name: &str| broker.folder.path().join(name).display().to_string();
    let tls = format!(
        "url = \"amqps://localhost:{}/soc\"\nca_file = \"{}\"\nexchange = \"amq.topic\"\n",
        broker.tls_port,
        path("ca.pem")
    );
    let certificate = format!(
        "mechanism = \"external\"\nclient_certificate = \"{}\"\nclient_key = {{ file = \"{}\" }}\n",
        path("client.pem"),
        path("client.key")
    );
    let plain = "user = \"muster\"\npassword = { file = \"rabbit.password\" }\n";
    let extra = format!(
        "[sinks.external]\ntype = \"amqp\"\n{tls}{certificate}\n[sinks.plain]\ntype = \"amqp\"\n{tls}{plain}\n"
    );
    let setup = Setup::start(Config { alerts: Some(0), ..config() }, &extra).await;
    write_secret(&setup.path().join("rabbit.password"), "right");
    let test = async |sink: &str| {
        let tested = setup.muster(&["sink", "test", sink]).await;
        String::from_utf8_lossy(&[tested.stdout, tested.stderr].concat()).into_owned()
    };
    let said = test("external").await;
    assert!(said.contains("permissions in it"), "{said}");
    for (user, sink) in [("muster-cert", "external"), ("muster", "plain")] {
        broker.control(&["set_permissions", "-p", "soc", user, "^$", "^$", "^$"]).await;
        let said = test(sink).await;
        assert!(said.contains("permission to write to the exchange"), "{said}");
        broker.control(&["set_permissions", "-p", "soc", user, "^$", "^amq\\.topic$", "^$"]).await;
        let said = test(sink).await;
        assert!(said.contains("takes the credentials for virtual host `soc`, and messages"), "{said}");
    }
}

#[tokio::test]
async fn the_example_is_taken() {
    takes_example(include_str!("../../../../examples/amqp.toml"), &[("rabbit.password", "a-password")]).await;
}
