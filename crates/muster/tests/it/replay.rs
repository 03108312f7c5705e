//! What no route took, and `muster replay`, as a person meets them.

use std::time::Duration;

use muster_emulator::Config;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::support::{Bench, Setup, config, eventually};

/// The settings without their routes.
fn take_routes_away(setup: &Setup) {
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let (before, _) = text.split_once("[[routes]]").expect("a route");
    std::fs::write(setup.settings_path(), before).expect("written");
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn words(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

async fn unrouted(bench: &Bench) -> u64 {
    let found = bench.store.unrouted().await.expect("the store answers");
    found.iter().map(|found| found.records).sum()
}

async fn accepted(bench: &Bench) -> u64 {
    let states = bench.store.source_states().await.expect("the store answers");
    states.iter().map(|state| state.accepted).sum()
}

/// A route is missing while records come. Nothing is silent about it, and when it is put back all of them arrive, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_while_a_route_was_missing_arrives_once() {
    let setup = Setup::start(Config { alerts: Some(600), ..config() }, "").await;
    take_routes_away(&setup);
    let verdict = setup.muster(&["validate"]).await;
    assert!(!verdict.status.success(), "{verdict:?}");
    assert!(words(&verdict).contains("there is no route"), "{verdict:?}");
    let bench = Bench::new(&setup).await;
    bench.rounds(3).await;
    let accepted = accepted(&bench).await;
    assert!(accepted > 600, "alerts and incidents: {accepted}");
    assert_eq!(unrouted(&bench).await, accepted);
    let hours = json(&setup.muster(&["--output", "json", "ledger", "--since", "400d"]).await);
    let sum = |hours: &Value| {
        hours
            .as_array()
            .expect("hours")
            .iter()
            .map(|hour| hour["unrouted"].as_u64().expect("a number"))
            .sum::<u64>()
    };
    assert_eq!(sum(&hours), accepted, "the ledger tells");
    let replay = async |more: &[&str]| {
        let yes: &[&str] = if more.contains(&"--dry-run") { &[] } else { &["--yes"] };
        let call = [&["--output", "json", "replay", "--tenant", "all"], more, yes].concat();
        let done = setup.muster(&call).await;
        (done.status.code(), json(&done))
    };
    let (code, nowhere) = replay(&["--unrouted"]).await;
    assert_eq!((code, nowhere["owed"].as_u64()), (Some(6), Some(0)), "no route serves them: {nowhere}");
    drop(bench);

    setup.write_settings("");
    let (code, preview) = replay(&["--unrouted", "--dry-run"]).await;
    assert_eq!((code, preview["owed"].as_u64()), (Some(0), Some(3 * accepted)), "{preview}");
    let all = setup.muster(&["replay", "--tenant", "all", "--unrouted", "--yes"]).await;
    assert!(all.status.success() && words(&all).contains("no `muster run` is at work"), "{all:?}");
    let (_, again) = replay(&["--unrouted"]).await;
    assert_eq!(again["owed"].as_u64(), Some(0), "{again}");
    let (_, missed) = replay(&[]).await;
    assert_eq!(missed["owed"].as_u64(), Some(0), "what is owed is not owed twice: {missed}");
    let bench = Bench::new(&setup).await;
    assert_eq!(unrouted(&bench).await, 0);
    bench.deliver().await;
    setup.assert_all_arrived_once();
    let hours = json(&setup.muster(&["--output", "json", "ledger", "--since", "400d"]).await);
    assert_eq!(sum(&hours), 0);
    let (_, missed) = replay(&[]).await;
    assert_eq!(missed["owed"].as_u64(), Some(0), "what was had is not brought twice: {missed}");
    // What comes live is not held up, and not doubled.
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 5, None).expect("new alerts");
    bench.rounds(3).await;
    setup.assert_all_arrived_once();
}

/// A sink that comes later gets what the journal has; a wrong name, a paused tenant and one that is gone are told apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_about_what_was_asked() {
    let setup = Setup::start(Config { alerts: Some(60), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    bench.rounds(2).await;
    setup.assert_all_arrived_once();
    let slugs: Vec<String> =
        bench.store.tenants().await.expect("tenants").iter().map(|tenant| tenant.slug.to_string()).collect();
    drop(bench);
    let wrong = setup.muster(&["replay", "--tenant", "all", "--sink", "splnk", "--yes"]).await;
    assert_eq!(wrong.status.code(), Some(5));
    assert!(words(&wrong).contains("did you mean `splunk`?"), "{wrong:?}");
    let wrong = setup.muster(&["replay", "--tenant", "nobody", "--unrouted", "--yes"]).await;
    assert_eq!(wrong.status.code(), Some(5), "{wrong:?}");

    setup.write_settings("[sinks.second]\ntype = \"file\"\npath = \"second.ndjson\"\nformat = \"raw\"\n");
    let replay = async |more: &[&str]| {
        let call = [&["--output", "json", "replay", "--yes", "--sink", "second"], more].concat();
        let done = setup.muster(&call).await;
        (done.status.code(), done)
    };
    let paused = setup.muster(&["tenant", "pause", &slugs[0]]).await;
    assert!(paused.status.success(), "{paused:?}");
    let gone = setup.muster(&["tenant", "offboard", &slugs[1], "--yes"]).await;
    assert!(gone.status.success(), "{gone:?}");
    let (code, done) = replay(&["--tenant", &slugs[1]]).await;
    assert!(code == Some(1) && words(&done).contains("its journal was destroyed"), "{done:?}");
    let (code, done) = replay(&["--tenant", &slugs[0], "--source", "graph_alerts"]).await;
    let owed = json(&done)["owed"].as_u64().expect("a number");
    assert!(code == Some(0) && owed > 0, "{done:?}");
    let (_, done) = replay(&["--tenant", "all"]).await;
    let rows = json(&done)["rows"].as_array().expect("rows").clone();
    assert!(rows.iter().all(|row| row["tenant"] != slugs[1].as_str()), "{rows:?}");
    assert!(rows.iter().any(|row| row["sinks"]["second"]["owed_already"].as_u64() == Some(owed)), "{rows:?}");
    let total = owed + json(&done)["owed"].as_u64().expect("a number");
    let nobody = setup.muster(&["replay", "--tenant", "all", "--sink", "second"]).await;
    assert!(nobody.status.code() == Some(2) && words(&nobody).contains("--yes"), "{nobody:?}");
    let (code, done) = replay(&["--tenant", "all", "--since", "2020-01-02", "--until", "2020-01-01"]).await;
    assert_eq!(code, Some(2), "{done:?}");

    let bench = Bench::new(&setup).await;
    bench.deliver().await;
    let lines = || {
        std::fs::read_to_string(setup.path().join("second.ndjson")).expect("a file").lines().count() as u64
    };
    assert_eq!(lines(), total, "of the paused one, too");
    let (_, done) = replay(&["--tenant", &slugs[2], "--again"]).await;
    let again = json(&done)["owed"].as_u64().expect("a number");
    assert!(again > 0 && again < total, "{done:?}");
    // The command goes by the machine's clock.
    bench.pass(3_600);
    bench.deliver().await;
    assert_eq!(lines(), total + again, "that is what was asked for");
}

/// Each event of a replay carries its name, which the command prints and the audit log keeps; what came first does not, and what the
/// sink had before is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replayed_says_so() {
    let ecs = "[sinks.second]\ntype = \"file\"\npath = \"second.ndjson\"\nformat = \"ecs\"\n\
               [[routes]]\ntenants = [\"*\"]\nsinks = [\"second\"]\n";
    let setup = Setup::start(Config { alerts: Some(30), ..config() }, ecs).await;
    let bench = Bench::new(&setup).await;
    bench.rounds(2).await;
    let events = || -> Vec<Value> {
        let text = std::fs::read_to_string(setup.path().join("second.ndjson")).expect("a file");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let id = |event: &Value| event["labels"]["muster_replay_id"].as_str().map(str::to_owned);
    let first = events();
    assert!(!first.is_empty() && first.iter().all(|event| id(event).is_none()));
    let call = ["-o", "json", "replay", "--tenant", "all", "--sink", "second", "--again"];
    let preview = json(&setup.muster(&[&call[..], &["--dry-run"]].concat()).await);
    assert!(preview["replay_id"].is_null(), "{preview}");
    let sum = |verdict: &Value, field: &str| -> u64 {
        let rows = verdict["rows"].as_array().expect("rows");
        rows.iter().filter_map(|row| row["sinks"]["second"][field].as_u64()).sum()
    };
    assert!(sum(&preview, "owed") > 0 && sum(&preview, "owed") == sum(&preview, "again"), "{preview}");
    let done = json(&setup.muster(&[&call[..], &["--yes"]].concat()).await);
    let name = done["replay_id"].as_str().expect("a name").to_owned();
    bench.pass(3_600);
    bench.deliver().await;
    let all = events();
    assert_eq!(all.len(), 2 * first.len());
    assert!(all[first.len()..].iter().all(|event| id(event).as_ref() == Some(&name)), "{name}");
    let audit = words(&setup.muster(&["-o", "json", "audit", "list", "--limit", "1000"]).await);
    assert!(audit.contains(&name), "{audit}");
}

/// The program and the command are killed at random moments: all arrives, and the file has nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_survives_kills_and_doubles_nothing() {
    let setup = Setup::start(
        Config { tenants: 4, alerts: Some(1_500), update_share: Some(0.0), ..config() },
        "[collect]\npoll_interval = \"200ms\"\nrequests_per_minute = 100000\n",
    )
    .await;
    let with_routes = std::fs::read_to_string(setup.settings_path()).expect("settings");
    take_routes_away(&setup);
    let mut muster = setup.run();
    let store = setup.store().await;
    let unrouted = async || -> u64 {
        store.unrouted().await.expect("the store answers").iter().map(|found| found.records).sum()
    };
    eventually("all is read", async || {
        let states = store.source_states().await.expect("the store answers");
        states.iter().all(|state| state.last_success_at.is_some())
    })
    .await;
    let log = || std::fs::read_to_string(setup.path().join("muster.log")).expect("a log");
    eventually("it is told", async || log().contains("there is no route, so nothing")).await;
    muster.kill().await.expect("killed");
    assert!(unrouted().await > 1_500);
    std::fs::write(setup.settings_path(), with_routes).expect("written");
    // A wrong name in a route is told at the next start.
    let mut settings = std::fs::read_to_string(setup.settings_path()).expect("settings");
    settings.push_str("\n[[routes]]\ntenants = [\"nobody\"]\nsinks = [\"splunk\"]\n");
    std::fs::write(setup.settings_path(), settings).expect("written");
    let verdict = setup.muster(&["validate"]).await;
    assert!(
        verdict.status.success() && words(&verdict).contains("there is no tenant `nobody`"),
        "{verdict:?}"
    );

    let mut chance = ChaCha8Rng::seed_from_u64(0x7265_706c);
    let mut owed_at_kills = 0;
    for round in 0..12 {
        let mut muster = setup.run();
        let mut replay = setup
            .command(&["replay", "--tenant", "all", "--unrouted", "--yes"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("started");
        tokio::time::sleep(Duration::from_millis(30 + u64::from(chance.next_u32() % 400))).await;
        if round % 2 == 0 {
            replay.kill().await.expect("killed");
            muster.kill().await.expect("killed");
        } else {
            muster.kill().await.expect("killed");
            replay.kill().await.expect("killed");
        }
        let totals = store.sink_totals().await.expect("the store answers");
        owed_at_kills +=
            totals.iter().filter(|sink| sink.sink != "archive").map(|sink| sink.owed).sum::<u64>();
    }
    let rest = setup.muster(&["replay", "--tenant", "all", "--unrouted", "--yes"]).await;
    assert!(rest.status.success(), "{rest:?}");
    let mut muster = setup.run();
    eventually("all arrives", async || setup.lost() == 0).await;
    muster.kill().await.expect("killed");
    assert_eq!(unrouted().await, 0);
    let [splunk, arcsight, file] = setup.tallies();
    assert_eq!((file.doubled, file.unknown, file.unreadable), (0, 0, 0), "{file:?}");
    assert!(splunk.doubled + arcsight.doubled <= owed_at_kills, "{splunk:?} {arcsight:?}");
    assert!(log().contains("there is no tenant `nobody`"), "{}", log());
}
