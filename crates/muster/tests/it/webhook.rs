//! Webhooks to a server that nobody here wrote, whose signatures Standard Webhooks' own library checks: over kills, an outage, wrong
//! credentials, refusals. Skipped, and says so, where `.ci/install-peers` has not been run.

use std::collections::BTreeSet;

use muster_emulator::Config;

use crate::python_receiver::{Receiver, all_delivered, python};
use crate::support::{Setup, ask, config, eventually};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn receiver() -> Option<Receiver> {
    Some(Receiver::new(python("standardwebhooks").await?, "webhook.py", "hook"))
}

async fn start(alerts: u64, port: u16) -> Setup {
    start_at(alerts, &format!("http://127.0.0.1:{port}/hook"), "").await
}

async fn start_at(alerts: u64, url: &str, more: &str) -> Setup {
    let settings = format!(
        "{more}[sinks.hook]\ntype = \"webhook\"\nurl = \"{url}\"\nallow_private = true\ntimeout = \"5s\"\n\
         signing_secrets = [{{ file = \"hook.secret\" }}]\n[[routes]]\nsinks = [\"hook\"]\n"
    );
    let setup = Setup::start(Config { alerts: Some(alerts), ..config() }, &settings).await;
    std::fs::write(setup.path().join("hook.secret"), SECRET).expect("written");
    setup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_nothing_is_lost_and_what_comes_again_has_its_id() {
    let Some(receiver) = receiver().await else { return };
    let (_server, port) = receiver.serve(0, SECRET).await;
    let setup = start(300, port).await;
    let tested = setup.muster(&["sink", "test", "hook"]).await;
    assert!(tested.status.success() && receiver.lines("taken.ndjson").is_empty(), "{tested:?}");
    let printed = setup.muster(&["siem-config", "webhook"]).await;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        printed.contains("one record in the format `raw`") && printed.contains("1 secret(s)"),
        "{printed}"
    );
    assert!(!printed.contains("MfKQ9r8"), "no secret is printed: {printed}");
    let told = receiver.through_kills(&setup, "webhook").await;
    // A receiver that remembers ids has each version once.
    let different: BTreeSet<String> = receiver.lines("ids").into_iter().collect();
    assert_eq!(different.len() as u64, told.versions());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_an_outage_wrong_credentials_and_refusals_nothing_is_lost() {
    let Some(receiver) = receiver().await else { return };
    let (mut server, port) = receiver.serve(0, SECRET).await;
    let setup = start(60, port).await;
    let mut muster = setup.run();
    all_delivered(&setup).await;

    server.kill().await.expect("killed");
    receiver.says(&setup, "no way to the webhook").await;
    // Back, and with another secret than Muster signs with.
    let (mut server, _) = receiver.serve(port, OTHER).await;
    receiver.says(&setup, "check the sink's headers, its signing_secrets").await;
    server.kill().await.expect("killed");
    let (_server, _) = receiver.serve(port, SECRET).await;
    all_delivered(&setup).await;
    let told = receiver.row(&setup, "webhook", "gone for a while, and wrong credentials").await;
    assert_eq!((told.tally.doubled, told.letters), (0, 0));

    receiver.mode("422");
    receiver.says(&setup, "nothing else was taken meanwhile").await;
    receiver.mode("ok");
    all_delivered(&setup).await;
    let told = receiver.row(&setup, "webhook", "everything refused").await;
    assert_eq!((told.tally.doubled, told.letters), (0, 0));

    // Who wants no more is asked again in an hour; meanwhile everything stays owed, and it is said plainly.
    receiver.mode("410");
    receiver.says(&setup, "wants no more").await;
    assert_eq!(receiver.told(&setup).await.letters, 0);
    let store = setup.store().await;
    eventually("all of it is owed", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        totals.iter().any(|sink| sink.sink == "hook" && sink.owed >= 5)
    })
    .await;
    muster.kill().await.expect("killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisonous_record_costs_itself() {
    let Some(receiver) = receiver().await else { return };
    let (_server, port) = receiver.serve(0, SECRET).await;
    let setup = start(30, port).await;
    let mut muster = setup.run();
    receiver.poison(&setup).await;
    muster.kill().await.expect("killed");
    let told = receiver.row(&setup, "webhook", "one record in 25 refused").await;
    assert!(told.letters > 0 && told.tally.doubled == 0, "{}", told.letters);
    assert_eq!(told.tally.received, told.delivered);
}

/// The signature in the query of an address, as Azure Logic Apps have it, goes to the receiver and is shown to nobody else: also
/// where the receiver says it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_behind_the_question_mark_is_sent_and_never_shown() {
    const QUERY: &str = "sp=%2Ftriggers&sv=1.0&sig=in-the-query-0-secret%2B";
    let Some(receiver) = receiver().await else { return };
    let (_server, port) = receiver.serve(0, SECRET).await;
    let health = crate::health::free_port();
    let more = format!("[server]\nlisten = \"127.0.0.1:{health}\"\nlog_level = \"debug\"\n");
    let url = format!("http://127.0.0.1:{port}/hook?{QUERY}");
    let setup = start_at(30, &url, &more).await;
    let mut muster = setup.run();
    all_delivered(&setup).await;
    let paths: BTreeSet<String> = receiver.lines("paths").into_iter().collect();
    assert_eq!(paths, BTreeSet::from([format!("/hook?{QUERY}")]));

    receiver.mode("404");
    receiver.says(&setup, "there is no webhook at this address (HTTP 404: /hook?[…])").await;
    let mut told = vec![ask("GET", &format!("http://127.0.0.1:{health}/metrics"), &[], "").await.1];
    for command in [
        &["status"][..],
        &["--output", "json", "status"],
        &["sink", "list"],
        &["sink", "test", "hook"],
        &["validate"],
        &["doctor"],
        &["siem-config", "webhook"],
    ] {
        let output = setup.muster(command).await;
        told.push(format!("{command:?} {output:?}"));
    }
    muster.kill().await.expect("killed");
    told.push(std::fs::read_to_string(setup.path().join("muster.log")).expect("a log"));
    for said in told {
        assert!(!said.is_empty() && !said.contains("in-the-query"), "{said}");
    }
}
