//! Object stores as programs play them that nobody here wrote: moto for S3, Azurite for Azure Blob Storage, and a
//! folder. Over kills, outages and lost answers each version is there once, as other clients read it. Skipped, and
//! says so, where `.ci/install-peers` has not been run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use muster::config::Settings;
use muster_emulator::Config;
use muster_emulator::receivers::ReceiverTally;
use muster_store::{DeadLetterOrigin, SinkTotals, Store};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::docs::root;
use crate::support::{Setup, config, eventually, signal};

/// The key of the account that Azurite has, which Microsoft publishes.
pub(crate) const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

#[expect(
    clippy::disallowed_methods,
    reason = "what must be there, and where, is the machine's affair, not the settings'"
)]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

fn peers() -> PathBuf {
    environment("MUSTER_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("the test's own path");
        test.ancestors().nth(3).expect("the target folder").join("peers")
    })
}

/// Whether the programs are there; where they are not, the test says so, or fails.
pub(crate) fn installed() -> bool {
    let there = ["python/bin/moto_server", "azurite/node_modules/.bin/azurite-blob"]
        .iter()
        .all(|program| peers().join(program).exists());
    if !there {
        let missing = "moto and azurite are not installed; .ci/install-peers installs them";
        assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
        println!("skipped: {missing}");
    }
    there
}

/// A server that plays a store.
pub(crate) struct Server {
    kind: &'static str,
    pub(crate) endpoint: String,
    process: Child,
    _reading: JoinSet<()>,
}

impl Server {
    pub(crate) async fn moto() -> Self {
        let mut command = Command::new(peers().join("python/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.kill_on_drop(true).spawn().expect("moto starts");
        let (endpoint, _reading) = address_in(process.stderr.take().expect("its output")).await;
        Self { kind: "s3", endpoint, process, _reading }
    }

    /// With what it keeps in this folder, at this port; 0 for any.
    pub(crate) async fn azurite(folder: &Path, port: &str) -> Self {
        let mut command = Command::new(peers().join("azurite/node_modules/.bin/azurite-blob"));
        command
            .args(["--disableTelemetry", "--skipApiVersionCheck", "--blobPort", port, "--location"])
            .arg(folder);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.kill_on_drop(true).spawn().expect("azurite starts");
        let (endpoint, _reading) = address_in(process.stdout.take().expect("its output")).await;
        Self { kind: "azure", endpoint, process, _reading }
    }

    fn port(&self) -> &str {
        self.endpoint.rsplit_once(':').expect("a port").1
    }

    pub(crate) async fn make(&self, bucket: &str) {
        python(&["make", self.kind, &self.endpoint, bucket]).await;
    }

    /// Puts the files of a folder into a bucket.
    pub(crate) async fn store(&self, bucket: &str, folder: &Path) {
        python(&["store", self.kind, &self.endpoint, bucket, folder.to_str().expect("UTF-8")]).await;
    }

    /// Reads all objects of a bucket into a folder.
    async fn fetch(&self, bucket: &str, folder: &Path) {
        python(&["fetch", self.kind, &self.endpoint, bucket, folder.to_str().expect("UTF-8")]).await;
    }
}

/// The address that a server says it listens on. What it says after that is read, too, so that it never waits for a
/// reader.
async fn address_in(output: impl AsyncRead + Unpin + Send + 'static) -> (String, JoinSet<()>) {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await.expect("its output") {
        if let Some((_, address)) = line.split_once("http://") {
            let address = address.split([' ', '/', '\u{1b}']).next().expect("an address").to_owned();
            let mut reading = JoinSet::new();
            reading.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (format!("http://{address}"), reading);
        }
    }
    panic!("the server ended without an address");
}

/// Runs the script beside this file, and gives what it printed.
async fn python(arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/object_store.py");
    let mut command = Command::new(peers().join("python/bin/python"));
    let output = command.arg("-W").arg("ignore").arg(script).args(arguments).output().await.expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// With the sinks of [`settings`]; what Splunk confirmed in a process that was killed then is waited for four seconds
/// only.
fn write_settings(setup: &Setup, moto: &Server, azurite: &Server) {
    setup.write_settings(&settings(setup.path(), moto, azurite));
    let path = setup.settings_path();
    let text = std::fs::read_to_string(&path).expect("the settings");
    let text = text.replacen("[sinks.splunk]", "[sinks.splunk]\nack_timeout = \"4s\"", 1);
    std::fs::write(&path, text).expect("written");
}

/// Three sinks of raw records: in S3, in Azure, in a folder.
fn settings(setup: &Path, moto: &Server, azurite: &Server) -> String {
    let write = |name: &str, secret: &str| std::fs::write(setup.join(name), secret).expect("written");
    write("s3.id", "id");
    write("s3.key", "key");
    write("azure.key", AZURITE_KEY);
    std::fs::create_dir_all(setup.join("objects")).expect("a folder");
    format!(
        r#"
        [sinks.s3]
        type = "object_store"
        url = "s3://muster/of/tests"
        endpoint = "{}"
        region = "eu-west-1"
        access_key_id = {{ file = "s3.id" }}
        secret_access_key = {{ file = "s3.key" }}
        timeout = "3s"
        [sinks.azure]
        type = "object_store"
        url = "az://muster/of/tests"
        endpoint = "{}/devstoreaccount1"
        account = "devstoreaccount1"
        account_key = {{ file = "azure.key" }}
        timeout = "3s"
        [sinks.folder]
        type = "object_store"
        url = "file://{}"
        [[routes]]
        sinks = ["s3", "azure", "folder"]
        "#,
        moto.endpoint,
        azurite.endpoint,
        setup.join("objects").display(),
    )
}

async fn totals(store: &dyn Store, sink: &str) -> SinkTotals {
    let totals = store.sink_totals().await.expect("the store answers");
    totals.into_iter().find(|totals| totals.sink == sink).expect("the sink")
}

/// Says what a trouble cost a sink, by what another client finds there, and holds it against what it was to have.
async fn judge(setup: &Setup, store: &dyn Store, sink: &str, trouble: &str, folder: &Path) {
    let file = setup.path().join(format!("{sink}.ndjson"));
    python(&["lines", text(folder), text(&file)]).await;
    let tally: ReceiverTally = setup.emulator.tally_file(&file).expect("what was read back");
    let letters = store.dead_letters(None, 1_000).await.expect("the store answers");
    let is_of =
        |origin: &DeadLetterOrigin| matches!(origin, DeadLetterOrigin::Sink { sink: of, .. } if of == sink);
    let letters = letters.iter().filter(|letter| is_of(&letter.origin)).count();
    let (lost, doubled) = (tally.lost, tally.doubled);
    println!(
        "matrix: object_store ({sink}) × {trouble}: lost {lost}, doubled {doubled}, dead letters {letters}"
    );
    assert_eq!((lost, doubled, tally.unknown, letters), (0, 0, 0, 0), "{sink}: {tally:?}");
    // All that the file sink has, also what attackers wrote so that it can hardly be read.
    let archive = &setup.tallies()[2];
    let facts = |tally: &ReceiverTally| (tally.received, tally.distinct, tally.unreadable);
    assert_eq!(facts(&tally), facts(archive), "{sink}");
    // Each record that counts as delivered is there: what cannot be read is counted by itself.
    assert_eq!(totals(store, sink).await.delivered, tally.received + tally.unreadable, "{sink}");
}

/// Waits until nothing is owed to the object stores, and all that was made has come.
async fn all_is_there(setup: &Setup, store: &dyn Store) {
    eventually("all that was produced arrives", async || {
        let owed = store.sink_totals().await.expect("the store answers");
        setup.lost() == 0 && owed.iter().all(|sink| sink.owed == 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_each_version_is_there_once() {
    if !installed() {
        return;
    }
    let kept = tempfile::tempdir().expect("a folder");
    let (moto, azurite) = tokio::join!(Server::moto(), Server::azurite(kept.path(), "0"));
    let setup = Setup::start(Config { alerts: Some(300), ..config() }, "").await;
    write_settings(&setup, &moto, &azurite);
    // No bucket yet: everything is refused, and nothing buried.
    let store = setup.store().await;
    let mut muster = setup.run();
    for (sink, wanted) in [("s3", "NoSuchBucket"), ("azure", "ContainerNotFound")] {
        eventually("it is told that the bucket is missing", async || {
            let told = store.sink_totals().await.expect("the store answers");
            let told = told.into_iter().find(|totals| totals.sink == sink);
            told.and_then(|totals| totals.last_error).is_some_and(|why| why.contains(wanted))
        })
        .await;
        assert_eq!(totals(&*store, sink).await.delivered, 0);
    }
    muster.kill().await.expect("killed");
    moto.make("muster").await;
    azurite.make("muster").await;
    for sink in ["s3", "azure", "folder"] {
        let tested = setup.muster(&["sink", "test", sink]).await;
        let said = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert!(tested.status.success() && said.contains("makes an object once"), "{sink}: {tested:?}");
        println!("{sink}: {said}");
    }
    let delivered = async || {
        let totals = store.sink_totals().await.expect("the store answers");
        totals
            .iter()
            .filter(|sink| ["s3", "azure", "folder"].contains(&&*sink.sink))
            .map(|sink| sink.delivered)
            .sum::<u64>()
    };
    for _ in 0..6 {
        let before = delivered().await;
        let mut muster = setup.run();
        eventually("something is delivered, or all is", async || {
            delivered().await > before || setup.lost() == 0
        })
        .await;
        muster.kill().await.expect("killed");
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 10, None).expect("new alerts");
        }
    }
    let mut muster = setup.run();
    all_is_there(&setup, &*store).await;
    muster.kill().await.expect("killed");
    let (s3, azure) = (setup.path().join("from-s3"), setup.path().join("from-azure"));
    moto.fetch("muster", &s3).await;
    azurite.fetch("muster", &azure).await;
    let folder = setup.path().join("objects");
    for (sink, folder) in [("s3", &s3), ("azure", &azure), ("folder", &folder)] {
        judge(&setup, &*store, sink, "killed six times, and everything refused before", folder).await;
    }
    // The same names and bytes everywhere: they depend on the delivery alone.
    let there = files(&folder);
    assert!(!there.is_empty());
    assert_eq!(files(&s3.join("of/tests")), there);
    assert_eq!(files(&azure.join("of/tests")), there);
}

/// All files below a folder, by their paths in it, but for what a kill left half written.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "part") => {}
                false => {
                    let name = path.strip_prefix(folder).expect("below it").to_owned();
                    found.insert(name, std::fs::read(&path).expect("read"));
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_store_is_gone_or_refuses_waits_for_it() {
    if !installed() {
        return;
    }
    let kept = tempfile::tempdir().expect("a folder");
    let (moto, mut azurite) = tokio::join!(Server::moto(), Server::azurite(kept.path(), "0"));
    let setup = Setup::start(Config { alerts: Some(120), ..config() }, "").await;
    write_settings(&setup, &moto, &azurite);
    moto.make("muster").await;
    azurite.make("muster").await;
    // Wrong credentials: told, and nothing is delivered.
    let wrong = AZURITE_KEY.replace("Eby8", "AAAA");
    std::fs::write(setup.path().join("azure.key"), wrong).expect("written");
    let store = setup.store().await;
    let mut muster = setup.run();
    eventually("the wrong key is told", async || {
        let told = store.sink_totals().await.expect("the store answers");
        let told = told.into_iter().find(|totals| totals.sink == "azure");
        told.and_then(|totals| totals.last_error).is_some_and(|why| why.contains("check the sink's keys"))
    })
    .await;
    assert_eq!(totals(&*store, "azure").await.delivered, 0);
    muster.kill().await.expect("killed");
    std::fs::write(setup.path().join("azure.key"), AZURITE_KEY).expect("written");
    // S3 stands still while objects come, and answers when nobody listens any more; Azurite ends, and comes back. It is asked to
    // end: killed, it forgets even its container, which it keeps in memory for some seconds.
    let mut muster = setup.run();
    for round in 0..3 {
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 20, None).expect("new alerts");
            if round == 0 {
                setup.emulator.add_hostile_records(&tenant.id).expect("records of attackers");
            }
        }
        signal(&moto.process, Signal::STOP);
        let port = azurite.port().to_owned();
        signal(&azurite.process, Signal::TERM);
        azurite.process.wait().await.expect("ended");
        for sink in ["s3", "azure"] {
            eventually("it is told that there is no way", async || {
                let told = store.sink_totals().await.expect("the store answers");
                let told = told.into_iter().find(|totals| totals.sink == sink);
                told.is_some_and(|told| {
                    told.owed > 0 && told.last_error.is_some_and(|why| why.contains("no way to"))
                })
            })
            .await;
        }
        signal(&moto.process, Signal::CONT);
        azurite = Server::azurite(kept.path(), &port).await;
        eventually("they take what waited", async || {
            totals(&*store, "s3").await.owed == 0 && totals(&*store, "azure").await.owed == 0
        })
        .await;
    }
    all_is_there(&setup, &*store).await;
    muster.kill().await.expect("killed");
    let (s3, azure) = (setup.path().join("from-s3"), setup.path().join("from-azure"));
    moto.fetch("muster", &s3).await;
    azurite.fetch("muster", &azure).await;
    let trouble = "wrong credentials, gone and back three times, answers lost, hostile records";
    for (sink, folder) in [("s3", &s3), ("azure", &azure), ("folder", &setup.path().join("objects"))] {
        judge(&setup, &*store, sink, trouble, folder).await;
    }
}

/// Each event of the Parquet files, put together again, is an event of the NDJSON of the same records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_has_what_ndjson_has() {
    if !installed() {
        return;
    }
    let setup = Setup::start(Config { alerts: Some(200), ..config() }, "").await;
    let (lake, lines) = (setup.path().join("lake"), setup.path().join("lines"));
    for folder in [&lake, &lines] {
        std::fs::create_dir(folder).expect("a folder");
    }
    setup.write_settings(&format!(
        r#"
        [sinks.lake]
        type = "object_store"
        url = "file://{}"
        objects = "parquet"
        region = "eu-west-1"
        [sinks.lines]
        type = "object_store"
        url = "file://{}"
        format = "ocsf"
        [[routes]]
        sinks = ["lake", "lines"]
        "#,
        lake.display(),
        lines.display()
    ));
    let store = setup.store().await;
    let mut muster = setup.run();
    for tenant in setup.emulator.tenants() {
        setup.emulator.add_hostile_records(&tenant.id).expect("records of attackers");
    }
    all_is_there(&setup, &*store).await;
    muster.kill().await.expect("killed");
    let said = python(&["parquet", text(&lake), text(&lines)]).await;
    println!("{said}");
    assert!(said.contains("events of classes [2004, 2005]"), "{said}");
    let delivered = totals(&*store, "lake").await.delivered;
    assert_eq!(delivered, totals(&*store, "lines").await.delivered);
    assert!(delivered > 200, "{delivered}");
    // What the bucket and Security Lake must be told.
    let printed = setup.muster(&["siem-config", "object_store", "--sink", "lake"]).await;
    let printed = String::from_utf8(printed.stdout).expect("UTF-8");
    for wanted in
        ["install -d", "--source-name muster_2004 --event-classes DETECTION_FINDING", "accountId=external_"]
    {
        assert!(printed.contains(wanted), "{wanted}: {printed}");
    }
}

#[test]
fn the_example_is_right() {
    let settings = Settings::read(&root().join("examples/object_store.toml")).expect("settings");
    assert_eq!(settings.sinks.len(), 2);
}
