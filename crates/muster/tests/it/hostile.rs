//! Servers lie, stall and send nonsense; alerts are written by attackers. Each case ends with a clear message, the rest
//! goes on, and nothing is lost.

use muster_emulator::{Area, Config, Fault, FaultKind};

use crate::support::{Bench, Setup, config};

/// Runs with a fault on Graph for a while, then without, and checks that everything arrives once; returns what was
/// said meanwhile.
async fn survive(kind: FaultKind) -> (Vec<String>, Vec<String>) {
    survive_with(Fault::new(Area::Graph, kind), "").await
}

async fn survive_with(fault: Fault, extra: &str) -> (Vec<String>, Vec<String>) {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(120), ..config() }, extra).await;
    let bench = Bench::new(&setup).await;
    let tenant = setup.emulator.tenants()[0].id.clone();
    setup.emulator.add_fault(fault.for_tenant(tenant.clone())).expect("a fault");
    bench.rounds(4).await;
    let errors = bench.errors().await;
    for tally in setup.tallies() {
        let others = tally.tenants.iter().filter(|(id, _)| **id != tenant);
        assert_eq!(
            others.map(|(_, tenant)| tenant.lost).sum::<u64>(),
            0,
            "the other tenant is not affected: {tally:?}"
        );
    }
    setup.emulator.clear_faults();
    // What was missing is asked for again, longer apart each time.
    bench.rounds(40).await;
    setup.assert_all_arrived_once();
    assert_eq!(bench.errors().await, Vec::<String>::new(), "the errors are gone with their causes");
    (errors, bench.dead_letters().await)
}

fn assert_said(errors: &[String], words: &str) {
    assert!(errors.iter().any(|error| error.contains(words)), "`{words}` is not in {errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn html_with_status_200() {
    let (errors, dead) = survive(FaultKind::Html).await;
    assert_said(&errors, "is not a page of records");
    assert!(!dead.is_empty(), "the bytes are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_json() {
    let (errors, dead) = survive(FaultKind::Garbage).await;
    // Garbled the same way twice, it is a record that cannot be read.
    let reasons = ["a record in it cannot be read", "the answers are torn or garbled"];
    let told = errors.iter().all(|error| reasons.iter().any(|reason| error.contains(reason)));
    assert!(told, "{errors:?}");
    assert!(!dead.is_empty(), "the bytes are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_pages_still_give_their_whole_records() {
    survive(FaultKind::Truncate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_utf8() {
    survive(FaultKind::InvalidUtf8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_in_the_middle() {
    let (errors, _) = survive(FaultKind::Cut { after_bytes: 1_000 }).await;
    assert_said(&errors, "broke off in the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end() {
    let (errors, _) = survive(FaultKind::Oversized { megabytes: 40 }).await;
    assert_said(&errors, "bytes in one answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_gzip_makes_small() {
    let (errors, _) = survive(FaultKind::Bomb { megabytes: 40 }).await;
    assert_said(&errors, "bytes in one answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closed_before_any_answer() {
    survive(FaultKind::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_body() {
    let (errors, _) = survive(FaultKind::EmptyBody).await;
    assert_said(&errors, "is not a page of records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_refuses_is_not_lost_consent() {
    let (errors, _) = survive(FaultKind::HtmlStatus { status: 403 }).await;
    assert_said(&errors, "that is not the API's");
    assert!(errors.iter().all(|error| !error.contains("check consent")), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_without_a_time_that_can_be_read() {
    for retry_after in [None, Some("soon"), Some("-5"), Some("0")] {
        let retry_after = retry_after.map(str::to_owned);
        let (errors, _) = survive(FaultKind::ThrottleWith { retry_after }).await;
        assert_said(&errors, "throttled by Microsoft");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_empty_pages_with_links() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(40), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    setup.emulator.add_fault(Fault::new(Area::Graph, FaultKind::EmptyPages { pages: 300 })).expect("a fault");
    bench.rounds(20).await;
    setup.assert_all_arrived_once();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_nesting() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(40), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    setup
        .emulator
        .add_fault(Fault::new(Area::Graph, FaultKind::DeepNesting { depth: 5_000 }))
        .expect("a fault");
    bench.rounds(2).await;
    let dead = bench.dead_letters().await;
    assert!(dead.iter().any(|reason| reason.contains("levels deep")), "{dead:?}");
    setup.assert_all_arrived_once();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_elsewhere_gets_no_token() {
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let location = format!("http://{}/v1.0/security/alerts_v2", trap.local_addr().expect("an address"));
    let (errors, _) = survive(FaultKind::Redirect { location }).await;
    assert_said(&errors, "wants to redirect");
    let nobody = futures_util::FutureExt::now_or_never(trap.accept());
    assert!(nobody.is_none(), "nobody came to the trap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_link_to_elsewhere_gets_no_token() {
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let origin = format!("http://{}", trap.local_addr().expect("an address"));
    survive(FaultKind::NextLinkElsewhere { origin }).await;
    let nobody = futures_util::FutureExt::now_or_never(trap.accept());
    assert!(nobody.is_none(), "nobody came to the trap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_link_in_a_loop() {
    survive(FaultKind::NextLinkLoop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_page_without_a_next_link_is_not_the_end() {
    survive(FaultKind::MissingNextLink).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_sort() {
    survive(FaultKind::IgnoreOrderby).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_another_tenant_is_not_used() {
    let fault = Fault::new(Area::Token, FaultKind::WrongTenantToken);
    let (errors, _) = survive_with(fault, "").await;
    assert_said(&errors, "issued a token whose tenant is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_role_is_told_with_the_consent_link() {
    let fault = Fault::new(Area::Token, FaultKind::RemoveRole { role: "SecurityAlert.Read.All".to_owned() });
    let (errors, _) = survive_with(fault, "").await;
    assert_said(&errors, "no consent for SecurityAlert.Read.All");
    assert_said(&errors, "/adminconsent?client_id=");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_written_by_attackers() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(20), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    let ids = setup.emulator.add_hostile_records(&setup.emulator.tenants()[0].id).expect("hostile records");
    assert!(!ids.is_empty());
    bench.rounds(9).await;
    for tally in setup.tallies() {
        // Records without an id or a time arrive as well, but a receiver cannot tell which they are.
        assert_eq!((tally.lost, tally.doubled), (0, 0), "{tally:?}");
    }
    let errors = bench.errors().await;
    assert!(errors.iter().all(|error| error.contains("a record in it cannot be read")), "{errors:?}");
    assert!(!errors.is_empty(), "what is missing is shown for as long as it is");
    let text = std::fs::read_to_string(setup.path().join("archive.ndjson")).expect("the archive");
    for line in text.lines() {
        serde_json::from_str::<&serde_json::value::RawValue>(line).expect("each line is one JSON value");
    }
}
