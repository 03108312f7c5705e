//! Elasticsearch's bulk API as a server plays it that nobody here wrote (`osmem-server`, OpenSearch in memory): over kills, an
//! outage and a replay, each version is there once. Skipped, and says so, where `.ci/install-peers` has not been run.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use muster_emulator::Config;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{Setup, ask, config, eventually};

#[expect(
    clippy::disallowed_methods,
    reason = "what must be there, and where, is the machine's affair, not the settings'"
)]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

struct OpenSearch {
    url: String,
    process: Child,
    _stdin: ChildStdin,
    _stdout: BufReader<ChildStdout>,
}

impl OpenSearch {
    /// A server at this address; none where it is not installed, which the test says, or which fails it.
    async fn start(address: &str) -> Option<Self> {
        let peers = environment("MUSTER_PEERS").map(PathBuf::from).unwrap_or_else(|| {
            let test = std::env::current_exe().expect("the test's own path");
            test.ancestors().nth(3).expect("the target folder").join("peers")
        });
        let python = peers.join("python/bin/python");
        let asked = ["-c", "import osmem_server; print(osmem_server.resolve_binary())"];
        let found =
            Command::new(&python).args(asked).output().await.ok().filter(|found| found.status.success());
        let Some(found) = found else {
            let missing = "osmem-server is not installed; .ci/install-peers installs it";
            assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
            println!("skipped: {missing}");
            return None;
        };
        let program = String::from_utf8(found.stdout).expect("a path");
        let mut process = Command::new(program.trim())
            .args(["-addr", address, "-no-ja"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("its output"));
        let mut line = String::new();
        stdout.read_line(&mut line).await.expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("a line of JSON");
        let url = said["url"].as_str().expect("an address").to_owned();
        Some(Self { url, _stdin: process.stdin.take().expect("its input"), process, _stdout: stdout })
    }

    /// Takes the index templates that `muster siem-config` prints for Elasticsearch, by OpenSearch's word for a type.
    async fn take_templates(&self, setup: &Setup) {
        let printed = setup.muster(&["siem-config", "elasticsearch"]).await;
        let printed = String::from_utf8(printed.stdout)
            .expect("UTF-8")
            .replace("flattened", "flat_object")
            // OpenSearch has policies of its own; osmem has no data streams, and takes indices of that name.
            .replace("\"index.lifecycle.name\": \"muster\",", "")
            .replace("\n  \"data_stream\": {},", "");
        let templates: Vec<&str> = printed.split("\nPUT _index_template/").skip(1).collect();
        assert_eq!(templates.len(), 3, "{printed}");
        for template in templates {
            let (name, rest) = template.split_once('\n').expect("a body");
            let body = rest.split("\n\n").next().expect("a body");
            let json = [("Content-Type", "application/json")];
            let (status, said) =
                ask("PUT", &format!("{}/_index_template/{name}", self.url), &json, body).await;
            assert_eq!(status, 200, "{said} to {body}");
        }
    }

    /// How many documents the indexes that fit this have together.
    async fn count(&self, index: &str) -> u64 {
        let (status, body) = ask("GET", &format!("{}/{index}/_count", self.url), &[], "").await;
        match status {
            200 => serde_json::from_str::<Value>(&body).expect("JSON")["count"].as_u64().expect("a number"),
            // None of them is there yet.
            _ => 0,
        }
    }
}

fn settings(url: &str) -> String {
    format!(
        r#"
        [sinks.raw]
        type = "elasticsearch"
        url = "{url}"
        format = "raw"
        index = "raw-{{{{ tenant.slug }}}}"
        timeout = "10s"
        [sinks.ocsf]
        type = "elasticsearch"
        url = "{url}"
        format = "ocsf"
        index = "ocsf"
        gzip = true
        [sinks.ecs]
        type = "elasticsearch"
        url = ["http://127.0.0.1:9", "{url}"]
        ecs.namespace = "{{{{ tenant.slug }}}}"
        [[routes]]
        sinks = ["raw", "ocsf", "ecs"]
        "#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_and_a_replay_each_version_is_one_document() {
    let Some(opensearch) = OpenSearch::start("127.0.0.1:0").await else { return };
    let setup = Setup::start(Config { alerts: Some(300), ..config() }, &settings(&opensearch.url)).await;
    let tested = setup.muster(&["sink", "test", "raw"]).await;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success() && said.contains("opensearch 3"), "{said}");
    opensearch.take_templates(&setup).await;
    // What Splunk confirmed in a process that was killed then is waited for so long.
    let path = setup.settings_path();
    let text = std::fs::read_to_string(&path).expect("the settings");
    let text = text.replacen("[sinks.splunk]", "[sinks.splunk]\nack_timeout = \"4s\"", 1);
    std::fs::write(&path, text).expect("written");
    for _ in 0..6 {
        let mut muster = setup.run();
        let before = opensearch.count("raw-*").await;
        eventually("it has created something, or has done all", async || {
            opensearch.count("raw-*").await > before || setup.lost() == 0
        })
        .await;
        muster.kill().await.expect("killed");
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 10, None).expect("new alerts");
        }
    }
    let store = setup.store().await;
    let all_is_there = async || {
        eventually("all that was produced arrives", async || {
            let totals = store.sink_totals().await.expect("the store answers");
            setup.lost() == 0 && totals.iter().all(|sink| sink.owed == 0)
        })
        .await;
    };
    let mut muster = setup.run();
    all_is_there().await;
    // What the file has, which doubles nothing, is what must be there.
    let versions = setup.tallies()[2].received;
    assert!(versions > 480, "{versions}");
    let letters = store.dead_letters(None, 10).await.expect("the store answers");
    assert!(letters.is_empty(), "{letters:?}");
    assert_eq!(opensearch.count("raw-*").await, versions);
    let (ecs, ocsf) = (opensearch.count("logs-*").await, opensearch.count("ocsf").await);
    assert!(ecs >= versions && ocsf >= versions, "{ecs}, {ocsf}, {versions}");
    let slug = store.tenants().await.expect("read").remove(0).slug.to_string();
    let own = format!("logs-m365_defender.alert-{}", slug.replace('-', "_"));
    assert!(opensearch.count(&own).await > 0, "{own}");
    assert!(opensearch.count(&format!("raw-{slug}")).await > 0);

    // All of it once more, by command.
    let before: u64 = store.sink_totals().await.expect("read").iter().map(|sink| sink.delivered).sum();
    for sink in ["raw", "ecs"] {
        let replayed = setup.muster(&["replay", "--tenant", "all", "--sink", sink, "--again", "--yes"]).await;
        assert!(replayed.status.success(), "{replayed:?}");
    }
    eventually("what was replayed is delivered", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        let delivered: u64 = totals.iter().map(|sink| sink.delivered).sum();
        totals.iter().all(|sink| sink.owed == 0) && delivered >= before + 2 * versions
    })
    .await;
    assert_eq!((opensearch.count("raw-*").await, opensearch.count("logs-*").await), (versions, ecs));
    muster.kill().await.expect("killed");
}

/// The cluster is gone for a while, and comes back empty: what it had taken before is lost with it, and nothing else; meanwhile
/// everything stays owed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_cluster_is_gone_waits_for_it() {
    let Some(opensearch) = OpenSearch::start("127.0.0.1:0").await else { return };
    let address = opensearch.url.trim_start_matches("http://").to_owned();
    let setup = Setup::start(Config { alerts: Some(60), ..config() }, &settings(&opensearch.url)).await;
    let OpenSearch { mut process, .. } = opensearch;
    process.kill().await.expect("killed");
    let store = setup.store().await;
    let mut muster = setup.run();
    let raw = async || {
        let totals = store.sink_totals().await.expect("the store answers");
        totals.into_iter().find(|sink| sink.sink == "raw")
    };
    eventually("it is told that nobody is there", async || {
        raw()
            .await
            .is_some_and(|sink| sink.last_error.is_some_and(|why| why.contains("no way to Elasticsearch")))
    })
    .await;
    assert_eq!(raw().await.map(|sink| sink.delivered), Some(0));
    let opensearch = OpenSearch::start(&address).await.expect("installed");
    opensearch.take_templates(&setup).await;
    eventually("all of it arrives", async || {
        setup.lost() == 0 && raw().await.is_some_and(|sink| sink.owed == 0 && sink.delivered > 0)
    })
    .await;
    let versions = setup.tallies()[2].received;
    // What came before the templates were there may have been refused for its types, and is kept.
    let letters = store.dead_letters(None, 1_000).await.expect("the store answers");
    let refused =
        letters.iter().filter(|letter| format!("{:?}", letter.origin).contains("\"raw\"")).count() as u64;
    assert_eq!(opensearch.count("raw-*").await + refused, versions);
    tokio::time::timeout(Duration::from_secs(5), muster.kill()).await.expect("in time").expect("killed");
}
