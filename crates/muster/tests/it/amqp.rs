//! RabbitMQ as Debian has it, on a node of the tests' own, read back by pika: over kills of Muster and of the node,
//! wrong credentials, no exchange, no queue, a queue that is full, messages that are too large. Skipped, and says so,
//! where `.ci/install-peers` has not been run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use muster::deliver::StepOutcome;
use muster_emulator::Config;
use muster_store::Store;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::brokers::{
    all_is_delivered, all_is_settled, free_port, is_told, judge, missing, python, run_python, takes_example,
    totals, write_certificates, write_secret,
};
use crate::support::{Bench, Setup, config, eventually};

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// `wait QUEUES`, until the broker and they are there; `count QUEUES`, when their number does not grow any more; `read
/// QUEUES FILE`.
const SCRIPT: &str = r#"
import sys, time
import pika
port, what, queues, rest = int(sys.argv[1]), sys.argv[2], [name for name in sys.argv[3].split(",") if name], sys.argv[4:]
until = time.monotonic() + 120
while True:
    try:
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, "soc", pika.PlainCredentials("reader", "reader")))
        break
    except pika.exceptions.AMQPConnectionError:
        assert what == "wait" and time.monotonic() < until, "there is no broker"
        time.sleep(0.1)
while what == "wait" and queues:
    try:
        connection.channel().queue_declare(queues[0], passive=True)
        queues = queues[1:]
    except pika.exceptions.ChannelClosedByBroker:
        assert time.monotonic() < until, queues
        time.sleep(0.2)
channel = connection.channel()
def count():
    return sum(channel.queue_declare(queue, passive=True).method.message_count for queue in queues)
if what == "count":
    before, now = -1, count()
    while before != now:
        time.sleep(0.1)
        before, now = now, count()
    print(now)
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
        if !Path::new(SERVER).exists() {
            return missing(SERVER);
        }
        let (folder, port, dist_port, tls_port) =
            (tempfile::tempdir().expect("a folder"), free_port(), free_port(), free_port());
        write_certificates(folder.path(), "muster-cert");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\nloopback_users = none\n\
             max_message_size = 200000\nauth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nload_definitions = {}\n",
            path("ca.pem"),
            path("server.pem"),
            path("server.key"),
            path("definitions.json")
        );
        let user = |name: &str, password: &str| json!({ "name": name, "password": password, "tags": "" });
        let definitions = json!({
            "vhosts": [{ "name": "soc" }],
            "users": [user("reader", "reader"), user("muster", "right"), user("muster-cert", "none")],
            "permissions": [{ "user": "reader", "vhost": "soc", "configure": ".*", "write": ".*", "read": ".*" }],
        });
        std::fs::write(path("definitions.json"), definitions.to_string()).expect("written");
        std::fs::write(folder.path().join("rabbitmq.conf"), settings).expect("written");
        std::fs::write(folder.path().join("plugins"), "[rabbitmq_auth_mechanism_ssl].\n").expect("written");
        let node = format!("muster-test-{port}@localhost");
        let process = command(folder.path(), (&node, port, dist_port)).spawn().expect("it starts");
        let broker = Self { python, folder, port, tls_port, node, dist_port, process };
        broker.is_there("").await;
        Some(broker)
    }

    /// Waits until it has started, and has these queues.
    async fn is_there(&self, queues: &str) {
        run_python(&self.python, SCRIPT, &[&*self.port.to_string(), "wait", queues]).await;
    }

    /// Has the node itself do something, as `rabbitmqctl` would, which is a virtual machine of its own each time: that
    /// takes longer than all the rest of a test.
    async fn control(&self, erlang: &str) {
        use tokio::io::AsyncWriteExt as _;
        let cookie = std::fs::read_to_string(self.folder.path().join(".erlang.cookie")).expect("a cookie");
        let mut call = Command::new("erl_call")
            .args(["-sname", &self.node, "-c", cookie.trim(), "-e"])
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("erl_call starts");
        let line = format!("{erlang}\n");
        call.stdin.take().expect("a pipe").write_all(line.as_bytes()).await.expect("written");
        let output = call.wait_with_output().await.expect("it ends");
        assert!(output.stdout.starts_with(b"{ok, ok}"), "{erlang}: {output:?}");
    }

    /// What a user may write to in the virtual host.
    async fn permit(&self, user: &str, write: &str) {
        let [user, write] = [user, write].map(|text| text.replace('\\', "\\\\"));
        let rights = format!("<<\"^$\">>, <<\"{write}\">>, <<\"^$\">>");
        self.control(&format!(
            "rabbit_auth_backend_internal:set_permissions(<<\"{user}\">>, <<\"soc\">>, {rights}, <<\"test\">>)."
        ))
        .await;
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

    /// Starts it again; [`is_there`](Self::is_there) waits for it.
    fn restart(&mut self) {
        std::fs::remove_file(self.folder.path().join("pid")).expect("a pid file");
        let named = (&*self.node, self.port, self.dist_port);
        self.process = command(self.folder.path(), named).spawn().expect("it starts");
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
        self.control(&format!(
            "{{ok, Text}} = file:read_file(\"{}\"), {{ok, Read}} = rabbit_json:try_decode(Text), \
             rabbit_definitions:import_parsed(Read).",
            file.display()
        ))
        .await;
        let commands = std::fs::read_to_string(folder.join("amqp.txt")).expect("written");
        let permissions = commands.lines().find(|line| line.starts_with("rabbitmqctl set_permissions"));
        let words: Vec<&str> = permissions.expect("permissions").split('\'').skip(1).step_by(2).collect();
        let ["soc", "muster", "^$", write, "^$"] = words[..] else { panic!("{permissions:?}") };
        self.permit("muster", write).await;
        let queues = definitions["queues"].as_array().expect("queues").iter();
        let names: Vec<&str> = queues.map(|queue| queue["name"].as_str().expect("a name")).collect();
        // They are made by and by.
        self.is_there(&names.join(",")).await;
        names.join(",")
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill_node();
    }
}

/// What starts a node.
fn command(folder: &Path, (node, port, dist_port): (&str, u16, u16)) -> Command {
    let mut command = Command::new(SERVER);
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
    command
}

async fn setup(broker: &RabbitMq, of: Config, timeout: &str) -> (Setup, Arc<dyn Store>) {
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
            timeout = "{timeout}"
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
    eventually(&format!("it is told of {sink}: {what}"), async || is_told(store, sink, what).await).await;
}

const SINKS: [&str; 2] = ["rabbit", "classic"];

/// By sink, how many messages are there beyond what is written down as delivered: those that are there twice already,
/// and those that will be when they are sent again.
async fn unwritten(broker: &RabbitMq, queues: &[String; 2], store: &Arc<dyn Store>) -> [u64; 2] {
    let mut unwritten = [0; 2];
    for (place, sink) in SINKS.into_iter().enumerate() {
        let delivered = totals(store, sink).await.map_or(0, |totals| totals.delivered);
        unwritten[place] = broker.count(&queues[place]).await.saturating_sub(delivered);
    }
    unwritten
}

/// Holds what each sink's queues have against the archive; nothing is there twice but so many.
async fn judge_all(
    broker: &RabbitMq,
    queues: &[String; 2],
    (setup, store): (&Setup, &Arc<dyn Store>),
    (trouble, doubled_max): (&str, [u64; 2]),
) {
    for (place, sink) in SINKS.into_iter().enumerate() {
        let verdict = judge((sink, trouble), setup, store, &broker.read(&queues[place]).await).await;
        assert_eq!(verdict.dead_letters, 0);
        assert!(verdict.doubled <= doubled_max[place], "{verdict:?}, and not more than {doubled_max:?}");
    }
}

fn add_alerts(setup: &Setup, count: usize) {
    for tenant in setup.emulator.tenants() {
        setup.emulator.add_alerts(&tenant.id, count, None).expect("new alerts");
    }
}

/// Kills of Muster, six times, and of the node under load; with quorum queues and with durable classic ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_of_either_side_nothing_is_lost() {
    let Some(mut broker) = RabbitMq::start().await else { return };
    // Nothing is given up because the machine is slow: that would double it, too.
    let (setup, store) = setup(&broker, Config { alerts: Some(200), ..config() }, "60s").await;
    let queues = [broker.make(&setup, "rabbit", |_| {}).await, broker.make(&setup, "classic", classic).await];
    let tested = setup.muster(&["sink", "test", "rabbit"]).await;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success() && said.contains("it has the exchange `muster`"), "{tested:?}");
    assert_eq!(broker.count(&queues[0]).await, 0, "a test leaves nothing behind");
    for _ in 0..6 {
        let before = totals(&store, "rabbit").await.map_or(0, |totals| totals.delivered);
        let mut muster = setup.run();
        eventually("some of it is delivered", async || {
            totals(&store, "rabbit").await.is_some_and(|totals| totals.delivered > before)
        })
        .await;
        muster.kill().await.expect("killed");
        add_alerts(&setup, 10);
    }
    let mut doubled_max = unwritten(&broker, &queues, &store).await;
    let mut muster = setup.run();
    all_is_delivered(&setup, &store).await;
    let trouble = ("kill -9 of Muster six times", doubled_max);
    judge_all(&broker, &queues, (&setup, &store), trouble).await;

    // What two workers have under way: two requests each.
    let archive = std::fs::read_to_string(setup.path().join("archive.ndjson")).expect("the archive");
    let shortest = archive.lines().map(str::len).min().expect("a record") as u64;
    let under_way = 2 * 2 * ((64 << 10) / shortest + 1);
    for _ in 0..2 {
        add_alerts(&setup, 60);
        let before = totals(&store, "rabbit").await.map_or(0, |totals| totals.delivered);
        eventually("some of it is delivered", async || {
            totals(&store, "rabbit").await.is_some_and(|totals| totals.delivered > before)
        })
        .await;
        broker.kill().await;
        doubled_max = doubled_max.map(|doubled| doubled + under_way);
        add_alerts(&setup, 5);
        // It takes its time to start, and nobody listens meanwhile.
        broker.restart();
        // It may be back soon.
        let [rabbit, classic] = SINKS.map(|sink| says(&store, sink, "no way to the broker"));
        tokio::join!(rabbit, classic);
        broker.is_there(&queues.join(",")).await;
    }
    all_is_delivered(&setup, &store).await;
    let trouble = ("kill -9 of RabbitMQ twice, away for a while", doubled_max);
    judge_all(&broker, &queues, (&setup, &store), trouble).await;
    muster.kill().await.expect("killed");
}

async fn tells(store: &Arc<dyn Store>, sink: &str, what: &str) {
    let told = totals(store, sink).await.and_then(|totals| totals.last_error);
    assert!(told.as_ref().is_some_and(|told| told.contains(what)), "{what}: {told:?}");
}

/// Brings what one tenant owes to sink `rabbit`: for what the broker takes its time to refuse.
async fn try_once(bench: &Bench) {
    bench.collect().await;
    let deliverer = bench.deliverers.iter().find(|deliverer| deliverer.name == "rabbit").expect("a sink");
    assert_eq!(deliverer.step().await.expect("the store answers"), StepOutcome::Retry);
}

/// Muster's parts are in this process, with a clock of their own, so that no pause between two attempts is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_owed_and_what_is_too_large_is_alone() {
    let Some(broker) = RabbitMq::start().await else { return };
    over_tls_by_its_certificate(&broker).await;
    let of = Config { alerts: Some(40), large_one_in: 20, ..config() };
    let (setup, store) = setup(&broker, of, "5s").await;
    broker.permit("muster", "^(muster|classic)$").await;
    let password = setup.path().join("rabbit.password");
    write_secret(&password, "wrong");
    let bench = Bench::new(&setup).await;
    try_once(&bench).await;
    tells(&store, "rabbit", "check the sink's user and password").await;
    let tested = setup.muster(&["sink", "test", "rabbit"]).await;
    assert!(!tested.status.success(), "{tested:?}");
    drop(bench);
    write_secret(&password, "right");
    let bench = Bench::new(&setup).await;
    bench.pass(90);
    bench.rounds(1).await;
    tells(&store, "rabbit", "make the exchange").await;
    let tested = setup.muster(&["sink", "test", "rabbit"]).await;
    assert!(String::from_utf8_lossy(&tested.stdout).contains("make the exchange"), "{tested:?}");
    // An exchange that nothing is bound to confirms everything.
    broker.make(&setup, "rabbit", |definitions| definitions["bindings"] = json!([])).await;
    broker.make(&setup, "classic", classic).await;
    bench.rounds(1).await;
    tells(&store, "rabbit", "no queue is bound to exchange `muster`").await;
    let none = totals(&store, "rabbit").await.map(|totals| (totals.delivered, totals.rejected));
    assert_eq!(none, Some((0, 0)), "confirmed is not delivered");
    // A policy makes the queues full.
    let policy = r#"[{<<"max-length">>, 1}, {<<"overflow">>, <<"reject-publish">>}]"#;
    let at = r#"<<"soc">>, <<"full">>"#;
    let set = format!(r#"rabbit_policy:set({at}, <<"^muster">>, {policy}, 0, <<"queues">>, <<"test">>)."#);
    broker.control(&set).await;
    let queues = broker.make(&setup, "rabbit", |_| {}).await;
    bench.rounds(2).await;
    tells(&store, "rabbit", "x-overflow").await;
    // Each queue has taken one message, so what is too large is judged; nothing else is buried.
    let letters = store.dead_letters(None, 10_000).await.expect("the store answers");
    assert!(letters.iter().all(|letter| letter.reason.contains("max_message_size")), "{letters:?}");
    broker.control(&format!(r#"rabbit_policy:delete({at}, <<"test">>)."#)).await;
    all_is_settled(&setup, &bench).await;
    over_an_alarm(&broker, &setup, (&bench, &store)).await;
    let trouble = "wrong credentials, no exchange, no queue, a full queue, too large, blocked";
    let verdict = judge(("rabbit", trouble), &setup, &store, &broker.read(&queues).await).await;
    assert!(verdict.dead_letters > 0, "half a megabyte is more than the broker takes");
    let letters = store.dead_letters(None, 10_000).await.expect("the store answers");
    assert!(letters.iter().all(|letter| letter.reason.contains("max_message_size")), "{letters:?}");
}

/// The broker has too little memory, and blocks whoever publishes.
async fn over_an_alarm(broker: &RabbitMq, setup: &Setup, (bench, store): (&Bench, &Arc<dyn Store>)) {
    let limit = |limit: &str| format!("vm_memory_monitor:set_vm_memory_high_watermark({limit}).");
    broker.control(&limit("{absolute, 1000}")).await;
    let tenant = &setup.emulator.tenants()[0].id;
    setup.emulator.add_alerts(tenant, 1, None).expect("a new alert");
    try_once(bench).await;
    tells(store, "rabbit", "the broker takes nothing from publishers at present").await;
    broker.control(&limit("0.4")).await;
    all_is_settled(setup, bench).await;
}

async fn over_tls_by_its_certificate(broker: &RabbitMq) {
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
        broker.permit(user, "^$").await;
        let said = test(sink).await;
        assert!(said.contains("permission to write to the exchange"), "{said}");
        broker.permit(user, r"^amq\.topic$").await;
        let said = test(sink).await;
        assert!(said.contains("takes the credentials for virtual host `soc`, and messages"), "{said}");
    }
}

/// Permissions that are set for one sink are those of its user, who may be another sink's, too; and a saved query is a
/// source like the others.
#[tokio::test]
async fn a_user_of_two_sinks_may_write_for_both_and_saved_queries_have_queues() {
    let sink = |name: &str, keys: &str| {
        format!(
            "[sinks.{name}]\ntype = \"amqp\"\nurl = \"amqp://rabbit.example/soc\"\nuser = \"muster\"\n\
             password = {{ file = \"rabbit.password\" }}\n{keys}\n"
        )
    };
    let extra = [
        sink("first", "exchange = \"alerts\""),
        sink("second", "routing_key = \"{{ tenant.slug }}.{{ source }}\""),
        "[hunts.encoded-commands]\nquery = \"DeviceProcessEvents\"\nevery = \"1h\"\n".to_owned(),
    ]
    .concat();
    let setup = Setup::start(Config { tenants: 1, alerts: Some(0), ..config() }, &extra).await;
    let printed = setup.muster(&["siem-config", "amqp"]).await;
    let said = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert_eq!(said.matches("add_user 'muster'").count(), 1, "{printed:?}");
    assert!(said.contains(r"'^$' '^(alerts|amq\.default)$' '^$'"), "{said}");
    assert!(said.contains(".graph_hunting-encoded-commands\""), "{said}");
}

#[tokio::test]
async fn the_example_is_taken() {
    takes_example(include_str!("../../../../examples/amqp.toml"), &[("rabbit.password", "a-password")]).await;
}
