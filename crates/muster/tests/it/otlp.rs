//! OTLP to servers that nobody here wrote: Python's, which reads by OpenTelemetry's own messages, and the collector rotel before
//! it. Over kills, an outage, wrong credentials, refusals, a partial refusal. Skipped, and says so, where `.ci/install-peers` has
//! not been run.

use std::collections::BTreeSet;
use std::process::Stdio;

use muster_emulator::{Config, loopback};
use tokio::process::Command;

use crate::python_receiver::{Receiver, all_delivered, python};
use crate::support::{Setup, config, eventually};

const TOKEN: &str = "Bearer a-token";

async fn receiver() -> Option<Receiver> {
    let modules = "opentelemetry.proto.collector.logs.v1.logs_service_pb2";
    Some(Receiver::new(python(modules).await?, "otlp.py", "otel"))
}

async fn start(alerts: u64, port: u16) -> Setup {
    let settings = format!(
        "[sinks.otel]\ntype = \"otlp\"\nurl = \"http://127.0.0.1:{port}\"\ntimeout = \"5s\"\n\
         headers = {{ Authorization = {{ file = \"otel.token\" }} }}\n[[routes]]\nsinks = [\"otel\"]\n"
    );
    let setup = Setup::start(Config { alerts: Some(alerts), ..config() }, &settings).await;
    std::fs::write(setup.path().join("otel.token"), TOKEN).expect("written");
    setup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_nothing_is_lost_and_each_version_says_which_it_is() {
    let Some(receiver) = receiver().await else { return };
    let (_server, port) = receiver.serve(0, TOKEN).await;
    let setup = start(300, port).await;
    let tested = setup.muster(&["sink", "test", "otel"]).await;
    assert!(tested.status.success() && receiver.lines("taken.ndjson").is_empty(), "{tested:?}");
    let printed = setup.muster(&["siem-config", "otlp"]).await;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        printed.contains(&format!("endpoint: 0.0.0.0:{port}")) && printed.contains("Authorization"),
        "{printed}"
    );
    let told = receiver.through_kills(&setup, "otlp").await;
    let different: BTreeSet<String> = receiver.lines("versions").into_iter().collect();
    assert_eq!(different.len() as u64, told.versions(), "by its attributes, what is doubled can be told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_an_outage_wrong_credentials_and_refusals_nothing_is_lost() {
    let Some(receiver) = receiver().await else { return };
    let (mut server, port) = receiver.serve(0, TOKEN).await;
    let setup = start(60, port).await;
    let mut muster = setup.run();
    all_delivered(&setup).await;

    server.kill().await.expect("killed");
    receiver.says(&setup, "no way to the collector").await;
    let (mut server, _) = receiver.serve(port, "Bearer another").await;
    receiver.says(&setup, "the collector does not let it in").await;
    server.kill().await.expect("killed");
    let (_server, _) = receiver.serve(port, TOKEN).await;
    all_delivered(&setup).await;
    let told = receiver.row(&setup, "otlp", "gone for a while, and wrong credentials").await;
    assert_eq!((told.tally.doubled, told.letters), (0, 0));

    receiver.mode("400");
    receiver.says(&setup, "nothing else was taken meanwhile").await;
    receiver.mode("ok");
    all_delivered(&setup).await;
    let told = receiver.row(&setup, "otlp", "everything refused").await;
    assert_eq!((told.tally.doubled, told.letters), (0, 0));

    receiver.poison(&setup).await;
    let told = receiver.row(&setup, "otlp", "one record in 25 refused").await;
    assert!(told.letters > 0 && told.tally.doubled == 0, "{}", told.letters);
    muster.kill().await.expect("killed");
}

/// The collector took some and does not say which: dead letters that say so, and that only a command sends again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_refusal_is_uncertain_until_the_operator_sends_it_again() {
    let Some(receiver) = receiver().await else { return };
    let (_server, port) = receiver.serve(0, TOKEN).await;
    receiver.mode("partial");
    let setup = start(60, port).await;
    let mut muster = setup.run();
    all_delivered(&setup).await;
    let told = receiver.row(&setup, "otlp", "a partial refusal").await;
    assert!(told.letters > 1 && told.tally.doubled == 0, "{} dead letters", told.letters);
    assert_eq!(
        told.versions(),
        told.delivered + told.letters - 1,
        "all but one of the uncertain ones are there"
    );
    let listed = setup.muster(&["--output", "json", "dead-letter", "list"]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("uncertain: of a request of") && listed.contains("one is too old"), "{listed}");
    // Sent again by command: the one is there now, and the others are there twice.
    let again = setup.muster(&["dead-letter", "replay", "--all", "--yes"]).await;
    assert!(again.status.success(), "{again:?}");
    eventually("they are delivered", async || {
        let now = receiver.told(&setup).await;
        now.letters == 0 && now.delivered == told.delivered + told.letters
    })
    .await;
    muster.kill().await.expect("killed");
    let after = receiver.told(&setup).await;
    assert_eq!((after.tally.doubled, after.tally.lost), (told.letters - 1, 0));
}

/// A whole collector that somebody else wrote takes what Muster sends, and hands it on unchanged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotel_takes_all_of_it_and_hands_it_on() {
    let Some(receiver) = receiver().await else { return };
    let Some(python) = python("rotel").await else { return };
    let (_server, port) = receiver.serve(0, "").await;
    let found = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let found = Command::new(&python).args(["-c", found]).output().await.expect("asked");
    let free = || {
        std::net::TcpListener::bind(loopback()).and_then(|listener| listener.local_addr()).expect("a port")
    };
    let (http, grpc) = (free(), free());
    let mut rotel = Command::new(String::from_utf8(found.stdout).expect("a path").trim());
    rotel.args(["start", "--exporter", "otlp", "--otlp-exporter-protocol", "http", "--disable-batching"]);
    rotel.args(["--otlp-exporter-endpoint", &format!("http://127.0.0.1:{port}")]);
    rotel.args(["--otlp-http-endpoint", &http.to_string(), "--otlp-grpc-endpoint", &grpc.to_string()]);
    rotel.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _rotel = rotel.spawn().expect("it starts");
    eventually("rotel listens", async || tokio::net::TcpStream::connect(http).await.is_ok()).await;
    let setup = start(60, http.port()).await;
    let mut muster = setup.run();
    all_delivered(&setup).await;
    muster.kill().await.expect("killed");
    eventually("rotel has handed all of it on", async || {
        let told = receiver.told(&setup).await;
        told.tally.lost == 0 && told.versions() == told.delivered
    })
    .await;
    let told = receiver.row(&setup, "otlp", "through rotel").await;
    assert_eq!((told.tally.doubled, told.letters), (0, 0));
}
