//! What `muster status` and the metrics say of records that are refused or that no route takes, and of parts that do not work.

use muster::shown::sinks::SinkWord;
use muster_emulator::{Area, Config, FaultKind};
use rustix::process::Signal;

use crate::status::Desk;
use crate::support::{Setup, config, eventually, get, signal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_refuses_records_says_so_for_an_hour() {
    let desk = Desk::new(Config { tenants: 1, alerts: Some(20), ..config() }).await;
    desk.fault(Area::Hec, FaultKind::Firewall { status: 413, one_event_in: 4 });
    desk.bench.collect().await;
    desk.bench.deliver().await;
    desk.setup.emulator.clear_faults();
    let picture = desk.running().await;
    let sink = picture.sinks.iter().find(|sink| sink.sink == "splunk").expect("the sink");
    assert_eq!((sink.state, sink.owed), (SinkWord::Refused, 0), "{sink:?}");
    assert!(sink.rejected > 0 && sink.dead_letters == sink.rejected, "{sink:?}");
    let refused: Vec<_> = picture.causes.iter().filter(|cause| cause.about == "sink splunk").collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].code, "refused");
    assert!(refused[0].remedy.contains("muster dead-letter retry"), "{refused:?}");

    desk.bench.pass(3_599);
    assert_eq!(desk.sink().await, SinkWord::Refused);
    desk.bench.pass(1);
    assert_ne!(desk.sink().await, SinkWord::Refused);
    let replayed = desk.setup.muster(&["dead-letter", "retry", "--all", "--yes"]).await;
    assert!(replayed.status.success(), "{replayed:?}");
    desk.bench.deliver().await;
    assert_eq!(desk.sink().await, SinkWord::Delivering);
    desk.setup.assert_all_arrived_once();
}

/// An app whose secret is missing, and a sink whose CA file is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_does_not_work_is_one_cause_until_it_is_mended() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(6), ..config() }, "").await;
    let (secret, ca) = (setup.path().join("main.secret"), setup.path().join("ca.pem"));
    let kept = (std::fs::read(&secret).expect("a secret"), std::fs::read(&ca).expect("a CA file"));
    std::fs::remove_file(&secret).expect("removed");
    std::fs::write(&ca, "").expect("written");
    let desk = Desk::at(setup).await;
    desk.bench.rounds(1).await;
    for deliverer in &desk.bench.deliverers {
        deliverer.sink.get().await.ok();
    }
    let picture = desk.running().await;
    let told: Vec<_> = picture.causes.iter().map(|cause| cause.about.as_str()).collect();
    assert_eq!(told, ["app main", "sink arcsight"], "{:?}", picture.causes);
    assert!(picture.causes[0].what.contains("main.secret"), "{:?}", picture.causes);
    let sink = picture.sinks.iter().find(|sink| sink.sink == "arcsight").expect("the sink");
    assert_eq!((sink.state, sink.owed), (SinkWord::Down, 0), "also where nothing is owed: {sink:?}");

    std::fs::write(&secret, kept.0).expect("written");
    std::fs::write(&ca, kept.1).expect("written");
    // As whoever looks after the apps does every minute.
    assert!(desk.bench.collector.apps.read_again("main").await.expect("it is there again"));
    desk.bench.rounds(3).await;
    let picture = desk.running().await;
    let parts = ["app main", "sink arcsight"];
    assert!(picture.causes.iter().all(|cause| !parts.contains(&cause.about.as_str())), "{picture:?}");
    desk.setup.assert_all_arrived_once();
}

/// Of two tenants one has no route: `status`, `--check` and `/metrics` count what reaches no sink, until it is replayed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_a_route_are_counted_until_they_are_replayed() {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port();
    let server = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    let setup = Setup::start(Config { tenants: 2, alerts: Some(10), ..config() }, &server).await;
    let listed = setup.muster(&["--output", "json", "status"]).await;
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let slug = |index: usize| listed["tenants"][index]["slug"].as_str().expect("a slug").to_owned();
    let with_all = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let with_one = with_all.replacen("tenants = [\"*\"]", &format!("tenants = [\"{}\"]", slug(0)), 1);
    assert_ne!(with_all, with_one);
    std::fs::write(setup.settings_path(), with_one).expect("written");

    let running = setup.run();
    let picture = async || {
        let output = setup.muster(&["--output", "json", "status"]).await;
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let unrouted =
        |picture: &serde_json::Value| picture["totals"]["unrouted"]["no_route"].as_u64().expect("a number");
    eventually("both are read", async || {
        let picture = picture().await;
        let read = picture["totals"]["sources"]["reading"].as_u64() == Some(4);
        read && unrouted(&picture) > 0 && picture["totals"]["owed"] == 0
    })
    .await;
    let now = picture().await;
    let (count, second) = (unrouted(&now), &now["tenants"][1]);
    assert_eq!(second["unrouted"]["no_route"].as_u64(), Some(count), "{second}");
    let causes: Vec<_> = now["causes"].as_array().expect("causes").iter().map(|one| &one["code"]).collect();
    assert_eq!(causes, ["no_route"], "{now}");
    let text = setup.muster(&["status"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for part in
        [&format!("{count} without a route"), "UNROUTED", "for which there was no route", "add a route"]
    {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let check = setup.muster(&["status", "--check"]).await;
    let line = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.code() == Some(1) && line.contains(&format!(" unrouted={count} ")), "{line}");
    let metrics = get(&format!("http://127.0.0.1:{port}/metrics"), &[]).await;
    let of = |tenant: &str| -> f64 {
        let series = format!("muster_source_unrouted_records{{tenant=\"{tenant}\"");
        let lines = metrics.lines().filter(|line| line.starts_with(&series) && line.contains("\"no_route\""));
        lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")).sum()
    };
    assert_eq!((of(&slug(0)), of(&slug(1))), (0.0, count as f64), "{metrics}");
    assert!(metrics.contains("muster_trouble{about=\"routes\",code=\"no_route\"} 1"), "{metrics}");

    std::fs::write(setup.settings_path(), with_all).expect("written");
    signal(&running, Signal::HUP);
    eventually("there is a route, and what is left is to replay", async || {
        let text = setup.muster(&["status"]).await;
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        text.contains("bring them to their sinks with `muster replay`") && !text.contains("add a route")
    })
    .await;
    let replayed = setup.muster(&["replay", "--tenant", "all", "--unrouted", "--yes"]).await;
    assert!(replayed.status.success(), "{replayed:?}");
    eventually("all has arrived", async || setup.lost() == 0).await;
    assert_eq!(unrouted(&picture().await), 0);
    setup.assert_all_arrived_once();
}
