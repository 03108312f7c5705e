//! `muster hunt`: all customers asked at once, what goes wrong with some of them, and rows that attackers wrote.

use std::process::Output;
use std::time::Duration;

use muster_emulator::{AppRegistration, Area, Config, DirectoryChange, Fault, FaultKind, WorldChange};
use muster_model::{Clock as _, SystemClock};
use muster_store::{TenantChange, TenantKey};
use serde_json::Value;

use crate::support::{Setup, config};

/// Muster with tenants that have consented to hunting, unless `roles` says otherwise.
async fn setup(tenants: usize, alerts: u64) -> Setup {
    let roles = ["SecurityAlert.Read.All", "SecurityIncident.Read.All", "ThreatHunting.Read.All"];
    let roles = roles.map(str::to_owned).to_vec();
    Setup::start(Config { tenants, alerts: Some(alerts), roles, strict: true, ..config() }, "").await
}

async fn hunt(setup: &Setup, query: &str, arguments: &[&str]) -> Output {
    setup.muster(&[&["hunt", query], arguments].concat()).await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn rows(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

/// The slugs of all tenants, with their GUIDs.
async fn slugs(setup: &Setup) -> Vec<(String, String)> {
    let listed = setup.muster(&["--output", "json", "tenant", "list"]).await;
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("JSON");
    let of = |tenant: &Value, key: &str| tenant[key].as_str().expect("a text").to_owned();
    listed.iter().map(|tenant| (of(tenant, "slug"), of(tenant, "id"))).collect()
}

fn fault(setup: &Setup, fault: Fault) {
    setup.emulator.add_fault(fault).expect("a fault");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_customers_are_asked_and_those_that_failed_are_named() {
    let setup = setup(3, 90).await;
    let slugs = slugs(&setup).await;
    let all = hunt(&setup, "AlertInfo | take 2", &["--tenant", "all", "--output", "ndjson"]).await;
    assert!(all.status.success(), "{}", text(&all.stderr));
    let found = rows(&all);
    assert_eq!(found.len(), 6, "{found:?}");
    for (slug, _) in &slugs {
        let own = found.iter().filter(|row| row["tenant"] == slug.as_str());
        assert!(
            own.clone().count() == 2 && own.clone().all(|row| row["row"]["AlertId"].is_string()),
            "{slug}"
        );
    }
    assert!(text(&all.stderr).contains("6 rows of 3 tenants"), "{}", text(&all.stderr));

    // Who looked into whose data stands in the audit log.
    let audited = setup.muster(&["--output", "json", "audit", "list"]).await;
    let audited: Vec<Value> = serde_json::from_slice(&audited.stdout).expect("JSON");
    let asked: Vec<_> = audited.iter().filter(|event| event["action"] == "hunt.asked").collect();
    assert_eq!((asked.len(), &asked[0]["subject"]), (1, &Value::from("all")), "{asked:?}");
    let details = serde_json::json!({
        "query": "AlertInfo | take 2", "cut": false, "api": "graph", "timespan": null, "tenants": 3,
    });
    assert_eq!(asked[0]["details"], details);

    let two = format!("{},{}", slugs[0].0, slugs[2].0);
    let some = hunt(&setup, "AlertInfo | take 1", &["--tenant", &two, "-o", "csv"]).await;
    assert_eq!(text(&some.stdout).lines().count(), 3, "{}", text(&some.stdout));

    // One has not consented: the others' rows come, and it is named with the link.
    let lost = FaultKind::RemoveRole { role: "ThreatHunting.Read.All".to_owned() };
    fault(&setup, Fault::new(Area::Graph, lost).for_tenant(&slugs[1].1));
    let partly = hunt(&setup, "AlertInfo | take 2", &["--tenant", "all", "--output", "ndjson"]).await;
    let said = text(&partly.stderr);
    assert_eq!((partly.status.code(), rows(&partly).len()), (Some(6), 4), "{said}");
    assert!(rows(&partly).iter().all(|row| row["tenant"] != slugs[1].0.as_str()));
    for words in [
        &format!("muster: {}: the app has no consent for ThreatHunting.Read.All", slugs[1].0),
        &format!("/{}/adminconsent?client_id=", slugs[1].1),
        "muster app register main --permission 'Microsoft Graph/ThreatHunting.Read.All'",
        &format!("4 rows of 2 of 3 tenants; 1 failed: {}", slugs[1].0),
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Alerts are read all the same.
    assert!(setup.muster(&["fetch", "--tenant", &slugs[1].0]).await.status.success());
    assert_eq!(hunt(&setup, "AlertInfo", &["--tenant", "nobody"]).await.status.code(), Some(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_api_needs_a_permission_of_its_own_and_gives_the_same_rows() {
    let setup = setup(1, 400).await;
    let slugs = slugs(&setup).await;
    let ask = async |api: &str| {
        let arguments = ["--tenant", "all", "--output", "ndjson", "--api", api];
        hunt(&setup, "DeviceProcessEvents | limit 20", &arguments).await
    };
    let graph = ask("graph").await;
    assert!(graph.status.success(), "{}", text(&graph.stderr));
    let found = rows(&graph);
    assert!(!found.is_empty());
    // What Graph writes as 1, 0 and {} is what it means.
    assert!(found.iter().all(|row| row["row"]["IsProcessRemoteSession"].is_boolean()), "{found:?}");
    assert!(found.iter().all(|row| row["row"]["AdditionalFields"].is_null()));
    assert!(found.iter().any(|row| row["row"]["ProcessId"].is_number()));
    let xdr = ask("xdr").await;
    assert!(xdr.status.success(), "{}", text(&xdr.stderr));
    assert_eq!(rows(&xdr), found, "one world, whatever API it is seen through");
    assert!(text(&xdr.stderr).contains("ends this API on 31 January 2027"), "{}", text(&xdr.stderr));

    let endpoint = ask("endpoint").await;
    let said = text(&endpoint.stderr);
    assert_eq!(endpoint.status.code(), Some(7), "nobody answered: {said}");
    assert!(
        said.contains("no consent for AdvancedQuery.Read.All") && said.contains("adminconsent"),
        "{said}"
    );
    let hunter = setup.emulator.register_app(AppRegistration {
        name: "hunter".to_owned(),
        multitenant: true,
        secret: Some("secret-of-hunter".to_owned()),
        roles: vec!["https://api.securitycenter.microsoft.com/AdvancedQuery.Read.All".to_owned()],
        ..AppRegistration::default()
    });
    let hunter = hunter.expect("registered");
    let tenant = slugs[0].1.clone();
    let consent = DirectoryChange::Consent { tenant, app: Some(hunter.clone()) };
    setup.emulator.change(consent).expect("consented");
    std::fs::write(setup.path().join("hunter.secret"), "secret-of-hunter").expect("written");
    setup.write_settings(&format!(
        "[apps.hunter]\nclient_id = \"{hunter}\"\nsecret = {{ file = \"hunter.secret\" }}\n"
    ));
    let store = setup.store().await;
    let id = store.tenant(TenantKey::Name(&slugs[0].0)).await.expect("a tenant").id;
    let app = TenantChange::App("hunter".to_owned());
    store.change_tenant(id, app, "a test", SystemClock.now()).await.expect("changed");
    store.close().await;
    let endpoint = ask("endpoint").await;
    assert!(endpoint.status.success(), "{}", text(&endpoint.stderr));
    assert_eq!(rows(&endpoint), found);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_429_is_waited_for_where_that_is_short_and_named_where_it_is_long() {
    let setup = setup(2, 20).await;
    let slugs = slugs(&setup).await;
    let throttle = |seconds| FaultKind::Throttle { retry_after_seconds: seconds };
    fault(&setup, Fault::new(Area::GraphHunting, throttle(2)).for_tenant(&slugs[0].1).times(1));
    let begun = tokio::time::Instant::now();
    let waited = hunt(&setup, "AlertInfo | count", &["--tenant", "all", "--output", "json"]).await;
    assert!(waited.status.success(), "{}", text(&waited.stderr));
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    let counted: Value = serde_json::from_slice(&waited.stdout).expect("a JSON list");
    assert_eq!(counted.as_array().map(Vec::len), Some(2));

    fault(&setup, Fault::new(Area::GraphHunting, throttle(1_800)).for_tenant(&slugs[0].1));
    let long = hunt(&setup, "AlertInfo | count", &["--tenant", "all", "--output", "json"]).await;
    let said = text(&long.stderr);
    assert_eq!(long.status.code(), Some(6), "{said}");
    assert!(
        said.contains(&format!("{}: throttled by Microsoft for 1800 s\n  → ask again later", slugs[0].0)),
        "{said}"
    );

    // Where all fail alike, the cause and its remedy are told once, and all are named.
    setup.emulator.clear_faults();
    fault(&setup, Fault::new(Area::GraphHunting, throttle(1_800)));
    let all = hunt(&setup, "AlertInfo | count", &["--tenant", "all"]).await;
    let said = text(&all.stderr);
    assert_eq!((said.matches("throttled").count(), said.matches("→").count()), (1, 1), "{said}");
    let both = |first: usize, other: usize| {
        format!("muster: as in {}, so in 1 other tenant: {}", slugs[first].0, slugs[other].0)
    };
    assert!(said.contains(&both(0, 1)) || said.contains(&both(1, 0)), "{said}");

    // What passes is asked again; a query is not repeated for ever.
    setup.emulator.clear_faults();
    fault(&setup, Fault::new(Area::GraphHunting, FaultKind::Status { status: 503 }).times(1));
    fault(&setup, Fault::new(Area::GraphHunting, FaultKind::Garbage).for_tenant(&slugs[1].1));
    let mixed = hunt(&setup, "AlertInfo | count", &["--tenant", "all"]).await;
    let said = text(&mixed.stderr);
    assert_eq!(mixed.status.code(), Some(6), "{said}");
    assert!(said.contains("the answer is no table of rows"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_query_is_told_in_microsofts_words() {
    let setup = setup(1, 5).await;
    let wrong = hunt(&setup, "AlertInfo | where Colour == 'red'", &["--tenant", "all"]).await;
    let said = text(&wrong.stderr);
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(7), 0), "{said}");
    assert!(said.contains("Failed to resolve column or scalar expression named 'Colour'"), "{said}");
    assert!(said.contains("request-id") && said.contains("→ mend the query"), "{said}");

    for (arguments, words) in [
        (&["--api", "xdr", "--timespan", "7d"][..], "--timespan is Graph's"),
        (&["--timespan", "a week"], "neither how long"),
        (&["--output", "xml"], "ndjson"),
    ] {
        let wrong = hunt(&setup, "AlertInfo", &[&["--tenant", "all"], arguments].concat()).await;
        assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
        assert!(text(&wrong.stderr).contains(words), "{}", text(&wrong.stderr));
    }
    assert_eq!(hunt(&setup, " ", &["--tenant", "all"]).await.status.code(), Some(2));
    // Only `hunt` prints so.
    assert_eq!(setup.muster(&["status", "--output", "csv"]).await.status.code(), Some(2));

    let tenant = setup.emulator.tenants()[0].id.clone();
    let old = (SystemClock.now() - jiff::SignedDuration::from_hours(72)).to_string();
    let change = WorldChange::AddAlerts { tenant, count: 1, title: Some("old".to_owned()), at: Some(old) };
    setup.emulator.change_world(&change).expect("changed");
    let query = setup.path().join("query.kql");
    std::fs::write(&query, "AlertInfo // all of them\n| where Title == \"old\"\n| count\n").expect("written");
    let query = format!("@{}", query.display());
    for (span, count) in [("7d", 1), ("P1D", 0), ("PT24H", 0), ("30d", 1)] {
        let counted = hunt(&setup, &query, &["--tenant", "all", "-o", "ndjson", "--timespan", span]).await;
        assert_eq!(rows(&counted)[0]["row"]["Count"], count, "{span}: {}", text(&counted.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_attackers_wrote_moves_no_cursor_and_opens_no_formula() {
    const TITLE: &str = "=cmd|' /C calc'!A1\u{1b}[2J\u{9b}31m\u{202e}, \"quoted\"\r\nnext";
    let setup = setup(1, 0).await;
    let tenant = setup.emulator.tenants()[0].id.clone();
    let change = WorldChange::AddAlerts { tenant, count: 1, title: Some(TITLE.to_owned()), at: None };
    setup.emulator.change_world(&change).expect("changed");
    let print = async |format: &str| {
        let query = "AlertInfo | project Title, Severity";
        let output = hunt(&setup, query, &["--tenant", "all", "--output", format]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let harmless = |text: &str| {
        text.chars().all(|character| !muster_model::text::is_harmful(character) || "\r\n".contains(character))
    };
    let exact: Value = serde_json::from_str(&print("ndjson").await).expect("one line");
    assert_eq!(exact["row"]["Title"], TITLE);
    for format in ["table", "csv", "ndjson", "json"] {
        let printed = print(format).await;
        assert!(harmless(&printed), "{format}: {printed:?}");
    }
    let csv = print("csv").await;
    let cell = "\"'=cmd|' /C calc'!A1\u{fffd}[2J\u{fffd}31m\u{fffd}, \"\"quoted\"\"\nnext\"";
    assert!(csv.contains(cell), "{csv:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_rows_are_all_there() {
    let setup = setup(1, 0).await;
    let query = "range x from 1 to 100000 step 1 | extend Text = strrep('=', 8)";
    let csv = hunt(&setup, query, &["--tenant", "all", "--output", "csv"]).await;
    assert!(csv.status.success(), "{}", text(&csv.stderr));
    assert!(text(&csv.stderr).contains("there may be more"), "{}", text(&csv.stderr));
    let csv = text(&csv.stdout);
    assert_eq!(csv.lines().count(), 100_001);
    assert!(
        csv.lines().last().is_some_and(|line| line.contains(",100000,\"'========\",")),
        "{:?}",
        csv.lines().last()
    );
    let table = hunt(&setup, query, &["--tenant", "all"]).await;
    assert!(text(&table.stdout).contains("more rows; `--output ndjson`"), "the table is bounded");

    // More than Microsoft gives is refused by Microsoft, and told.
    let query = format!("range x from 1 to 100000 step 1 {}", "| extend T = strrep('x', 1024)".repeat(2));
    let large = hunt(&setup, &query, &["--tenant", "all", "--output", "ndjson"]).await;
    assert!(text(&large.stderr).contains("exceeded the allowed result size"), "{}", text(&large.stderr));
}
