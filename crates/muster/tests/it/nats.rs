//! NATS JetStream as the nats-server of Debian (2.9) and of PyPI (2.15) play it, read back by NATS's own client for
//! Python: over kills of either side, an outage, a poisonous record, wrong credentials and a stream that is full.
//! Skipped, and says so, where `.ci/install-peers` has not been run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use muster_emulator::Config;
use muster_store::Store;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::brokers::{
    all_is_delivered, all_is_settled, free_port, is_told, judge, missing, python, run_python, takes_example,
    totals, write_certificates, write_secret,
};
use crate::support::{Bench, Setup, config, eventually};

/// `create JSON`, `update JSON`, `count`, `read FILE`.
const SCRIPT: &str = r#"
import asyncio, json, sys
import nats
async def main():
    url, user, password, what, rest = *sys.argv[1:5], sys.argv[5:]
    nc = await nats.connect(url, user=user, password=password, max_reconnect_attempts=2)
    js = nc.jetstream()
    async def api(subject, body):
        said = json.loads((await nc.request("$JS.API." + subject, json.dumps(body).encode(), timeout=10)).data)
        if "error" in said:
            raise Exception(said["error"])
        return said
    if what in ("create", "update"):
        config = json.loads(rest[0])
        await api(f"STREAM.{what.upper()}.{config['name']}", config)
    elif what == "count":
        print((await api("STREAM.INFO.MUSTER", {}))["state"]["messages"])
    elif what == "read":
        count = (await api("STREAM.INFO.MUSTER", {}))["state"]["messages"]
        taken = await js.subscribe(">", stream="MUSTER", ordered_consumer=True)
        with open(rest[0], "wb") as out:
            for _ in range(count):
                message = await taken.next_msg(timeout=20)
                out.write(message.subject.encode() + b"\0" + message.data.replace(b"\n", b" ") + b"\n")
    await nc.close()
asyncio.run(main())
"#;

struct NatsServer {
    program: PathBuf,
    python: PathBuf,
    folder: TempDir,
    port: u16,
    process: Child,
}

impl NatsServer {
    /// Debian's server, or the one of PyPI.
    async fn start(newest: bool) -> Option<Self> {
        let python = python("nats").await?;
        let program = match newest {
            true => python.with_file_name("nats-server"),
            false => PathBuf::from("/usr/sbin/nats-server"),
        };
        if !program.exists() {
            return missing(&program.display().to_string());
        }
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let settings = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\" }}\n\
             authorization {{ users: [ {{ user: muster, password: right, permissions: {{\n\
               publish: [\"muster.>\", \"$JS.API.>\", \"$JS.ACK.>\", \"$JS.FC.>\"], subscribe: [\"_INBOX.>\"] }} }} ] }}\n",
            folder.path().join("store").display()
        );
        std::fs::write(folder.path().join("nats.conf"), settings).expect("written");
        let process = spawn(&program, folder.path());
        let server = Self { program, python, folder, port, process };
        server.is_there().await;
        Some(server)
    }

    async fn is_there(&self) {
        eventually("nats-server listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
        })
        .await;
    }

    async fn kill(&mut self) {
        self.process.kill().await.expect("killed");
    }

    async fn restart(&mut self) {
        self.process = spawn(&self.program, self.folder.path());
        self.is_there().await;
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    async fn ask(&self, arguments: &[&str]) -> String {
        let (url, mut all) = (self.url(), Vec::new());
        all.extend([url.as_str(), "muster", "right"]);
        all.extend(arguments);
        run_python(&self.python, SCRIPT, &all).await
    }

    async fn count(&self) -> u64 {
        self.ask(&["count"]).await.trim().parse().expect("a number")
    }

    /// The bodies of all messages.
    async fn read(&self) -> Vec<String> {
        let file = self.folder.path().join("read");
        self.ask(&["read", file.to_str().expect("UTF-8")]).await;
        let text = std::fs::read_to_string(&file).expect("read");
        text.lines().map(|line| line.split_once('\0').expect("a subject").1.to_owned()).collect()
    }

    /// Makes the stream that `muster siem-config nats` prints, on one server, with these changes.
    async fn create(&self, setup: &Setup, what: &str, changes: &[(&str, i64)]) {
        let folder = setup.path().join(format!("siem-{what}-{}", changes.len()));
        let folder = folder.to_str().expect("UTF-8");
        let printed = setup.muster(&["siem-config", "nats", "--folder", folder]).await;
        assert!(printed.status.success(), "{printed:?}");
        let text = std::fs::read_to_string(Path::new(folder).join("nats-nats.json")).expect("written");
        let mut stream: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        stream["num_replicas"] = 1.into();
        for (key, value) in changes {
            stream[*key] = (*value).into();
        }
        self.ask(&[what, &stream.to_string()]).await;
    }
}

fn spawn(program: &Path, folder: &Path) -> Child {
    Command::new(program)
        .args(["-c", folder.join("nats.conf").to_str().expect("UTF-8")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nats-server starts")
}

async fn setup(server: &NatsServer, of: Config, deduplicate: &str) -> (Setup, Arc<dyn Store>) {
    let url = server.url();
    let extra = format!(
        r#"
        [sinks.nats]
        type = "nats"
        url = ["nats://127.0.0.1:9", "{url}"]
        stream = "MUSTER"
        deduplicate = "{deduplicate}"
        user = "muster"
        password = {{ file = "nats.password" }}
        timeout = "5s"
        batch_size = "64KiB"
        [[routes]]
        sinks = ["nats"]
        "#
    );
    let setup = Setup::start(of, &extra).await;
    password(&setup, "right");
    let path = setup.settings_path();
    let text = std::fs::read_to_string(&path).expect("the settings");
    // What Splunk confirmed in a process that was killed then is waited for so long.
    let text = text.replacen("[sinks.splunk]", "[sinks.splunk]\nack_timeout = \"4s\"", 1);
    std::fs::write(&path, text).expect("written");
    let store = setup.store().await;
    (setup, store)
}

fn password(setup: &Setup, password: &str) {
    write_secret(&setup.path().join("nats.password"), password);
}

async fn says(store: &Arc<dyn Store>, what: &str) {
    eventually(&format!("it is told: {what}"), async || is_told(store, "nats", what).await).await;
}

/// Kills of Muster, six times, and of the server under load.
async fn over_kills(newest: bool, deduplicate: &str) {
    let Some(mut server) = NatsServer::start(newest).await else { return };
    let (setup, store) = setup(&server, Config { alerts: Some(300), ..config() }, deduplicate).await;
    server.create(&setup, "create", &[]).await;
    let tested = setup.muster(&["sink", "test", "nats"]).await;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(
        tested.status.success() && said.contains("go into it") && said.contains("no replica"),
        "{tested:?}"
    );
    assert_eq!(server.count().await, 0, "a test leaves nothing behind");
    for _ in 0..6 {
        let mut muster = setup.run();
        let before = server.count().await;
        eventually("it has published something, or has done all", async || {
            server.count().await > before || setup.lost() == 0
        })
        .await;
        muster.kill().await.expect("killed");
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 10, None).expect("new alerts");
        }
    }
    let mut muster = setup.run();
    all_is_delivered(&setup, &store).await;
    let version = if newest { "2.15" } else { "2.9" };
    let trouble = format!("kill -9 of Muster six times, nats-server {version}, {deduplicate}");
    let verdict = judge(("nats", &trouble), &setup, &store, &server.read().await).await;
    assert_eq!((verdict.doubled, verdict.dead_letters), (0, 0));

    // The server is killed while it is written to, and is away for a while.
    for _ in 0..3 {
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 60, None).expect("new alerts");
        }
        let before = totals(&store, "nats").await.map_or(0, |totals| totals.delivered);
        eventually("some of it is delivered", async || {
            totals(&store, "nats").await.is_some_and(|totals| totals.delivered > before)
        })
        .await;
        server.kill().await;
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 5, None).expect("new alerts");
        }
        says(&store, "no way to NATS").await;
        server.restart().await;
    }
    all_is_delivered(&setup, &store).await;
    let trouble = format!("kill -9 of nats-server {version} three times, away for a while, {deduplicate}");
    let verdict = judge(("nats", &trouble), &setup, &store, &server.read().await).await;
    // The server comes back within the two minutes, and reads its window out of the stream.
    assert_eq!((verdict.doubled, verdict.dead_letters), (0, 0));

    // All of it once more, by command.
    let versions = server.count().await;
    let before = totals(&store, "nats").await.expect("a sink").delivered;
    let replayed = setup.muster(&["replay", "--tenant", "all", "--sink", "nats", "--again", "--yes"]).await;
    assert!(replayed.status.success(), "{replayed:?}");
    eventually("what was replayed is delivered", async || {
        totals(&store, "nats")
            .await
            .is_some_and(|totals| totals.owed == 0 && totals.delivered >= before + versions)
    })
    .await;
    assert_eq!(server.count().await, versions, "it is there once");
    muster.kill().await.expect("killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_and_an_outage_nothing_is_lost_or_doubled() {
    over_kills(false, "subject").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_server_tells_repetitions_by_its_window() {
    over_kills(true, "window").await;
}

/// Wrong credentials, no stream, a stream that is full, and records that it refuses for their length. Muster's parts are
/// in this process, with a clock of their own, so that no pause between two attempts is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_owed_and_what_is_poisonous_is_alone() {
    let Some(server) = NatsServer::start(false).await else { return };
    let of = Config { alerts: Some(60), large_one_in: 20, ..config() };
    let (setup, store) = setup(&server, of, "subject").await;
    password(&setup, "wrong");
    let bench = Bench::new(&setup).await;
    bench.rounds(1).await;
    tells(&store, "check the sink's user and password").await;
    let tested = setup.muster(&["sink", "test", "nats"]).await;
    assert!(!tested.status.success(), "{tested:?}");
    let said = String::from_utf8_lossy(&[tested.stdout, tested.stderr].concat()).into_owned();
    assert!(!said.contains("wrong"), "{said}");
    drop(bench);
    password(&setup, "right");
    let bench = Bench::new(&setup).await;
    bench.pass(90);
    bench.rounds(1).await;
    tells(&store, "there is no stream `MUSTER`").await;
    assert_eq!(totals(&store, "nats").await.map(|totals| (totals.delivered, totals.rejected)), Some((0, 0)));
    server.create(&setup, "create", &[("max_msgs", 1)]).await;
    bench.rounds(2).await;
    tells(&store, "raise its limits").await;
    assert_eq!(totals(&store, "nats").await.map(|totals| totals.rejected), Some(0), "nothing is buried");
    assert!(server.count().await <= 1);
    server.create(&setup, "update", &[("max_msgs", -1), ("max_msg_size", 100_000)]).await;
    all_is_settled(&setup, &bench).await;
    let trouble = "wrong credentials, no stream, a full stream, poisonous records";
    let verdict = judge(("nats", trouble), &setup, &store, &server.read().await).await;
    assert_eq!(verdict.doubled, 0);
    assert!(verdict.dead_letters > 0, "half a megabyte is more than the stream takes");
    let letters = store.dead_letters(None, 10_000).await.expect("the store answers");
    assert!(letters.iter().all(|letter| letter.reason.contains("max_msg_size")), "{letters:?}");
}

async fn tells(store: &Arc<dyn Store>, what: &str) {
    let told = totals(store, "nats").await.and_then(|totals| totals.last_error);
    assert!(told.as_ref().is_some_and(|told| told.contains(what)), "{what}: {told:?}");
}

/// The server wants a certificate, and a signature by an nkey; or a JWT of an account that it knows nothing of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_certificate_and_an_nkey_are_shown() {
    let Some(python) = python("nats").await else { return };
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    write_certificates(folder.path(), "muster.example");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let settings = format!(
        "listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\" }}\n\
         tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n\
         authorization {{ users: [ {{ nkey: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK }} ] }}\n",
        path("store"),
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    );
    std::fs::write(folder.path().join("nats.conf"), settings).expect("written");
    let program = python.with_file_name("nats-server");
    let mut process = spawn(&program, folder.path());
    eventually("nats-server listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await;
    let sink = |name: &str, scheme: &str, keys: &str| {
        format!(
            "[sinks.{name}]\ntype = \"nats\"\nurl = \"{scheme}://localhost:{port}\"\nstream = \"MUSTER\"\ntimeout = \"10s\"\n{keys}\n"
        )
    };
    let tls = format!(
        "ca_file = \"{}\"\nclient_certificate = \"{}\"\nclient_key = {{ file = \"{}\" }}\n",
        path("ca.pem"),
        path("client.pem"),
        path("client.key")
    );
    let nkey = "nkey_seed = { file = \"nats.seed\" }\n";
    let extra = [
        sink("good", "tls", &format!("{tls}{nkey}")),
        sink("nobody", "tls", &tls),
        sink("stranger", "tls", &format!("ca_file = \"{}\"\n{nkey}", path("ca.pem"))),
        sink("untrusting", "tls", nkey),
        sink("clear", "nats", nkey),
    ]
    .concat();
    let setup = Setup::start(Config { alerts: Some(0), ..config() }, &extra).await;
    write_secret(
        &setup.path().join("nats.seed"),
        "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y\n",
    );
    for (sink, why) in [
        // Let in: there is no stream yet.
        ("good", "there is no stream `MUSTER`"),
        ("nobody", "check the sink's user and password, token, nkey_seed or credentials"),
        ("stranger", "certificate"),
        ("untrusting", "its certificate comes from a CA that is not trusted"),
        ("clear", "begin the sink's url with tls://"),
    ] {
        let tested = setup.muster(&["sink", "test", sink]).await;
        let said = String::from_utf8_lossy(&[tested.stdout, tested.stderr].concat()).into_owned();
        assert!(
            !tested.status.success() && said.to_lowercase().contains(&why.to_lowercase()),
            "{sink}: {said}"
        );
    }
    process.kill().await.expect("killed");
}

/// Writes `server.conf` of an operator with one account, and credentials files of a user of it and of a stranger, as
/// `nsc` would. What NATS's keys and tokens look like stands in its `nkeys` and `jwt`.
const CREDENTIALS: &str = r#"
import base64, json, os, sys, time
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
folder, port = sys.argv[1:]
def text(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xffff
    return base64.b32encode(data + crc.to_bytes(2, "little")).rstrip(b"=").decode()
class Key:
    def __init__(self, letter):
        kind = (ord(letter) - ord("A")) << 3
        self.private = Ed25519PrivateKey.generate()
        self.public = text(bytes([kind]) + self.private.public_key().public_bytes_raw())
        self.seed = text(bytes([18 << 3 | kind >> 5, (kind & 31) << 3]) + self.private.private_bytes_raw())
def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
def token(by, of, nats):
    claims = {"jti": of.public, "iat": int(time.time()), "iss": by.public, "name": "x", "sub": of.public, "nats": {**nats, "version": 2}}
    signed = part(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode()) + "." + part(json.dumps(claims).encode())
    return signed + "." + part(by.private.sign(signed.encode()))
operator, account, other = Key("O"), Key("A"), Key("A")
limits = {name: -1 for name in ["subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"]}
held = token(operator, account, {"type": "account", "limits": {**limits, "wildcards": True}})
with open(os.path.join(folder, "nats.conf"), "w") as out:
    out.write(f'listen: "127.0.0.1:{port}"\n')
    out.write(f'operator: {token(operator, operator, {"type": "operator"})}\nresolver: MEMORY\nresolver_preload: {{ {account.public}: {held} }}\n')
for name, of in [("user", account), ("stranger", other)]:
    user = Key("U")
    jwt = token(of, user, {"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}})
    with open(os.open(os.path.join(folder, name + ".creds"), os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
        out.write(f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n")
        out.write(f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n")
"#;

/// A user whose account's operator the server trusts is let in by a credentials file, and nobody else.
#[tokio::test]
async fn a_credentials_file_is_shown() {
    let Some(python) = python("nats, cryptography").await else { return };
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let path = folder.path().to_str().expect("UTF-8");
    run_python(&python, CREDENTIALS, &[path, &port.to_string()]).await;
    let mut process = spawn(&python.with_file_name("nats-server"), folder.path());
    eventually("nats-server listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await;
    let sink = |name: &str| {
        format!(
            "[sinks.{name}]\ntype = \"nats\"\nurl = \"nats://127.0.0.1:{port}\"\nstream = \"MUSTER\"\n\
             credentials = {{ file = \"{path}/{name}.creds\" }}\n"
        )
    };
    let extra = [sink("user"), sink("stranger")].concat();
    let setup = Setup::start(Config { tenants: 1, alerts: Some(0), ..config() }, &extra).await;
    // Let in: this server has no JetStream.
    for (sink, why) in [("user", "switch JetStream on"), ("stranger", "token, nkey_seed or credentials")] {
        let tested = setup.muster(&["sink", "test", sink]).await;
        let said = String::from_utf8_lossy(&[tested.stdout, tested.stderr].concat()).into_owned();
        assert!(!tested.status.success() && said.contains(why), "{sink}: {said}");
    }
    process.kill().await.expect("killed");
}

/// It is made once, and tells repetitions in one way.
#[tokio::test]
async fn a_stream_of_two_sinks_has_the_subjects_of_both() {
    let sink = |name: &str, deduplicate: &str| {
        format!(
            "[sinks.{name}]\ntype = \"nats\"\nurl = \"nats://nats.example\"\nstream = \"MUSTER\"\n\
             subject = \"{name}.{{{{ source }}}}\"\ndeduplicate = \"{deduplicate}\"\n"
        )
    };
    for (deduplicate, is_possible) in [("subject", true), ("window", false)] {
        let extra = [sink("first", "subject"), sink("second", deduplicate)].concat();
        let setup = Setup::start(Config { tenants: 1, alerts: Some(0), ..config() }, &extra).await;
        for named in [&[][..], &["--sink", "second"][..]] {
            let printed = setup.muster(&[&["siem-config", "nats"][..], named].concat()).await;
            let said = String::from_utf8_lossy(&[printed.stdout, printed.stderr].concat()).into_owned();
            assert_eq!(printed.status.success(), is_possible, "{said}");
            if is_possible {
                assert_eq!(said.matches("stream add MUSTER").count(), 1, "{said}");
                assert!(said.contains("\"first.*.*\",") && said.contains("\"second.*.*\"\n"), "{said}");
            } else {
                assert!(said.contains("share stream `MUSTER` and differ in deduplicate"), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn the_example_is_taken() {
    let credentials = "-----BEGIN NATS USER JWT-----\neyJ0.e30.x\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n\
         SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y\n------END USER NKEY SEED------\n";
    takes_example(include_str!("../../../../examples/nats.toml"), &[("muster.creds", credentials)]).await;
}
