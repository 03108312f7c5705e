//! Several Musters on one PostgreSQL: the real program in several processes, a real server, and a pooler between them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use muster_emulator::{Config, Tally};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::brokers::{free_port, missing};
use crate::cluster::Cluster;
use crate::support::{Setup, config, eventually, signal};

/// How often a node is killed, paused, or asked to leave.
const TROUBLES: u32 = 8;

/// A pgbouncer in transaction mode before a server, with fewer connections than the nodes have.
struct Pooler {
    _folder: tempfile::TempDir,
    _process: Child,
    port: u16,
}

impl Pooler {
    async fn before(cluster: &Cluster) -> Option<Self> {
        let program = Path::new("/usr/sbin/pgbouncer");
        if !program.is_file() {
            return missing("pgbouncer");
        }
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\nmuster = host=127.0.0.1 port={} dbname=muster user=muster\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 6\nmax_client_conn = 200\n\
             unix_socket_dir =\n",
            cluster.port
        );
        std::fs::write(&settings, text).expect("written");
        let mut command = Command::new(program);
        // It does not run as root either.
        if rustix::process::geteuid().is_root() {
            let owned = Command::new("chown").arg("-R").arg("postgres").arg(folder.path()).status().await;
            assert!(owned.expect("chown").success());
            command.args(["--user", "postgres"]);
        }
        command.arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().expect("pgbouncer starts");
        eventually("pgbouncer listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Some(Self { _folder: folder, _process: process, port })
    }
}

fn store_at(port: u16) -> String {
    format!("[store]\nurl = \"postgres://muster@127.0.0.1:{port}/muster\"\n")
}

/// A node's folder: the settings and the key of all, and files of its own.
fn node_folder(setup: &Setup, name: &str) -> PathBuf {
    let folder = setup.path().join(name);
    std::fs::create_dir(&folder).expect("a folder");
    for entry in std::fs::read_dir(setup.path()).expect("a folder").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("copied");
        }
    }
    folder
}

fn start(folder: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("muster.log"));
    Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("--config")
        .arg(folder.join("muster.toml"))
        .arg("run")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("a log"))
        .kill_on_drop(true)
        .spawn()
        .expect("muster starts")
}

/// The nodes that are alive, as `muster node list` tells them.
async fn listed(setup: &Setup) -> serde_json::Value {
    let listed = setup.muster(&["node", "list", "--output", "json"]).await;
    assert!(listed.status.success(), "{listed:?}");
    serde_json::from_slice(&listed.stdout).expect("JSON")
}

/// The processes of the nodes that are listed.
async fn pids(setup: &Setup) -> BTreeSet<u64> {
    let nodes = listed(setup).await;
    nodes.as_array().expect("nodes").iter().filter_map(|node| node["pid"].as_u64()).collect()
}

/// How many tenants are each one's, and which sinks.
async fn nodes(setup: &Setup) -> Vec<(u64, Vec<String>)> {
    let nodes = listed(setup).await;
    let sinks = |node: &serde_json::Value| {
        let sinks = node["sinks"].as_array().expect("sinks").iter();
        sinks.map(|sink| sink.as_str().expect("a name").to_owned()).collect()
    };
    let nodes = nodes.as_array().expect("nodes").iter();
    nodes.map(|node| (node["tenants"].as_u64().expect("a number"), sinks(node))).collect()
}

/// Two nodes under load when the primary is killed: its standby is promoted, which did not have all. What was lost with the
/// primary is fetched and delivered again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_fails_over_costs_nothing() {
    let Some(mut primary) = Cluster::start(&["fsync=off", "wal_level=replica"]) else { return };
    let extra = |standby: u16| {
        format!(
            "[store]\nurl = \"postgres://muster@127.0.0.1:{},127.0.0.1:{standby}/muster\"\n\
             [collect]\npoll_interval = \"200ms\"\nrequests_per_minute = 100000\n",
            primary.port
        )
    };
    let emulated = Config { tenants: 6, alerts: Some(1_500), rate: Some(60.0), ..config() };
    let standby = primary.standby();
    let setup = Setup::start_in_database(emulated, &extra(standby.port)).await;
    let folders: Vec<PathBuf> = ["one", "two"].iter().map(|name| node_folder(&setup, name)).collect();
    let mut running: Vec<Child> = folders.iter().map(|folder| start(folder)).collect();
    let distinct = || -> u64 {
        let tally = setup.emulator.tally();
        tally.receivers.iter().filter(|receiver| receiver.used).map(|receiver| receiver.distinct).sum()
    };
    eventually("they are at work", async || distinct() > 400).await;
    primary.end_server(Signal::KILL);
    let before = distinct();
    standby.sql("postgres", "SELECT pg_promote()");
    eventually("they go on", async || distinct() > before + 200).await;
    let tally = arrived(&setup).await;
    for receiver in tally.receivers.iter().filter(|receiver| receiver.used) {
        println!("{}: lost {}, doubled {}", receiver.receiver, receiver.lost, receiver.doubled);
        assert_eq!(receiver.unknown, 0, "{receiver:?}");
    }
    for (folder, node) in folders.iter().zip(&mut running) {
        signal(node, Signal::TERM);
        assert!(node.wait().await.expect("it ends").success(), "{}", log(folder));
    }
}

/// Waits until all that was produced has arrived everywhere; what the receivers had then. Alerts are updated later, too: the next
/// look may find something that is under way.
async fn arrived(setup: &Setup) -> Tally {
    let at_last = Mutex::new(None);
    eventually("all that was produced arrives", async || {
        let tally = setup.emulator.tally();
        let is_there =
            setup.emulator.production_finished() && tally.receivers.iter().all(|receiver| receiver.lost == 0);
        *at_last.lock().expect("no panic with it") = Some(tally);
        is_there
    })
    .await;
    at_last.into_inner().expect("no panic with it").expect("it was looked at")
}

/// What a node has written in its log.
fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("muster.log")).unwrap_or_default()
}

/// Three nodes under load, behind a pooler, while they are killed, paused for longer than they are waited for, and told to
/// leave: everything arrives at each receiver, and what came twice was under way when a node was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_killed_paused_and_told_to_leave_and_nothing_is_lost() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let Some(pooler) = Pooler::before(&cluster).await else { return };
    let extra = format!(
        "{}[collect]\npoll_interval = \"200ms\"\nrequests_per_minute = 100000\n",
        store_at(pooler.port)
    );
    let emulated = Config { tenants: 12, alerts: Some(3_000), rate: Some(60.0), ..config() };
    let setup = Setup::start_in_database(emulated, &extra).await;
    let folders: Vec<PathBuf> =
        ["one", "two", "three"].iter().map(|name| node_folder(&setup, name)).collect();
    let mut running: Vec<Child> = folders.iter().map(|folder| start(folder)).collect();
    eventually("three nodes share the tenants and the sinks", async || {
        let nodes = nodes(&setup).await;
        let held = nodes.iter().flat_map(|(_, sinks)| sinks).count();
        nodes.len() == 3 && nodes.iter().all(|(tenants, _)| *tenants == 4) && held == 3
    })
    .await;
    let mut chance = ChaCha8Rng::seed_from_u64(0x6e6f_6465);
    let mut lost_nodes = 0;
    for trouble in 0..TROUBLES {
        let at = (chance.next_u32() % 3) as usize;
        match trouble % 4 {
            // So that it wakes up when others have had its work for long.
            0 => {
                signal(&running[at], Signal::STOP);
                eventually("its work is taken over", async || nodes(&setup).await.len() == 2).await;
                signal(&running[at], Signal::CONT);
                lost_nodes += 1;
            }
            1 => {
                signal(&running[at], Signal::TERM);
                let ended = running[at].wait().await.expect("it ends");
                assert!(ended.success(), "{}", log(&folders[at]));
                running[at] = start(&folders[at]);
            }
            _ => {
                running[at].kill().await.expect("killed");
                running[at] = start(&folders[at]);
                lost_nodes += 1;
            }
        }
        // One that was killed is there until it has been silent for ten seconds.
        let at_work: BTreeSet<u64> = running.iter().filter_map(|node| node.id().map(u64::from)).collect();
        eventually("three nodes are at work again", async || pids(&setup).await == at_work).await;
    }
    let tally = arrived(&setup).await;
    for receiver in tally.receivers.iter().filter(|receiver| receiver.used) {
        println!(
            "{}: lost {}, doubled {} while {lost_nodes} nodes were lost",
            receiver.receiver, receiver.lost, receiver.doubled
        );
        assert_eq!(receiver.unknown, 0, "{receiver:?}");
    }
    for (folder, node) in folders.iter().zip(&mut running) {
        signal(node, Signal::TERM);
        assert!(node.wait().await.expect("it ends").success(), "{}", log(folder));
    }
    assert_eq!(nodes(&setup).await, [], "who leaves is gone at once");
}

/// Several nodes, and one file on storage that all of them have: whose turn it is writes it, and nobody else keeps it open.
/// The one that began is told to leave, and another is killed, so that each has it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_on_shared_storage_goes_from_node_to_node_and_has_everything_once() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let shared = tempfile::tempdir().expect("a folder");
    let file = shared.path().join("archive.ndjson");
    let extra = format!(
        "{}[collect]\npoll_interval = \"200ms\"\nrequests_per_minute = 100000\n\
         [sinks.archive]\ntype = \"file\"\nformat = \"raw\"\npath = {:?}\n",
        store_at(cluster.port),
        file.to_str().expect("UTF-8")
    );
    let emulated = Config { tenants: 6, alerts: Some(1_200), rate: Some(40.0), ..config() };
    let setup = Setup::start_in_database(emulated, &extra).await;
    let folders: Vec<PathBuf> =
        ["one", "two", "three"].iter().map(|name| node_folder(&setup, name)).collect();
    let mut running: Vec<Child> = Vec::new();
    for folder in &folders {
        running.push(start(folder));
        eventually("it has joined", async || nodes(&setup).await.len() == running.len()).await;
    }
    let archived = || setup.emulator.tally_file(&file).map_or(0, |tally| tally.distinct);
    for at in 0..running.len() {
        let before = archived();
        eventually("the file grows", async || archived() > before).await;
        match at {
            0 => {
                signal(&running[at], Signal::TERM);
                assert!(running[at].wait().await.expect("it ends").success(), "{}", log(&folders[at]));
            }
            _ => running[at].kill().await.expect("killed"),
        }
        running[at] = start(&folders[at]);
        // One that was killed is there until it has been silent for ten seconds.
        let at_work: BTreeSet<u64> = running.iter().filter_map(|node| node.id().map(u64::from)).collect();
        eventually("three nodes are at work again", async || pids(&setup).await == at_work).await;
    }
    arrived(&setup).await;
    eventually("the file has everything", async || {
        setup.emulator.tally_file(&file).is_ok_and(|tally| tally.lost == 0)
    })
    .await;
    let tally = setup.emulator.tally_file(&file).expect("the file");
    assert_eq!((tally.doubled, tally.unknown, tally.incomplete), (0, 0, 0), "{tally:?}");
    for (folder, node) in folders.iter().zip(&mut running) {
        signal(node, Signal::TERM);
        assert!(node.wait().await.expect("it ends").success(), "{}", log(folder));
    }
}
