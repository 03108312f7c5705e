//! `muster alerts search` and `show`, as an analyst meets them.

use std::collections::BTreeSet;
use std::process::Output;

use jiff::Timestamp;
use muster_emulator::Config;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Bench, Setup, config, signal};

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// What a search finds.
async fn search(setup: &Setup, arguments: &[&str]) -> Value {
    let limit = ["--output", "json", "alerts", "search", "--limit", "100000"];
    let done = setup.muster(&[&limit, arguments].concat()).await;
    assert!(done.status.success(), "{arguments:?}: {done:?}");
    json(&done)
}

fn alerts(found: &Value) -> &Vec<Value> {
    found["alerts"].as_array().expect("a list")
}

fn ids(found: &Value) -> BTreeSet<String> {
    alerts(found).iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

fn text<'v>(row: &'v Value, field: &str) -> &'v str {
    row[field].as_str().unwrap_or_else(|| panic!("no {field}: {row}"))
}

fn time(row: &Value) -> Option<Timestamp> {
    row["time"].as_str().map(|time| time.parse().expect("a time"))
}

fn in_database(setup: &Setup, sql: &str, id: &str) {
    let database = rusqlite::Connection::open(setup.path().join("muster.db")).expect("opened");
    assert!(database.execute(sql, [id]).expect("done") > 0, "{sql}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_found_by_whatever_is_known_of_them() {
    let setup = Setup::start(Config { alerts: Some(240), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    bench.rounds(2).await;
    let before = search(&setup, &["--source", "graph_alerts"]).await;
    for row in alerts(&before).iter().step_by(7) {
        setup.emulator.update_alert(text(row, "tenant_id"), text(row, "id")).expect("updated");
    }
    setup.emulator.add_hostile_records(&setup.emulator.tenants()[0].id).expect("hostile records");
    bench.rounds(3).await;
    let totals = bench.store.journal_totals().await.expect("the store answers");
    drop(bench);

    let all = search(&setup, &[]).await;
    let rows = alerts(&all);
    assert_eq!(all["searched"], totals.records, "every record was looked at");
    assert!(all["complete"] == true && all["limited"] == false && all["tenants"] == 3, "{all}");
    let times: Vec<_> = rows.iter().map(time).collect();
    assert!(times.is_sorted_by(|one: &Option<Timestamp>, other| one >= other), "the latest first: {times:?}");
    let keys: BTreeSet<_> =
        rows.iter().map(|row| (text(row, "tenant"), text(row, "source"), text(row, "id"))).collect();
    assert_eq!(keys.len(), rows.len(), "each once, in its latest version");
    let versions = search(&setup, &["--versions"]).await;
    assert_eq!(alerts(&versions).len() as u64, totals.records);
    assert!(alerts(&versions).len() > rows.len(), "some have changed");
    // The latest of each, by the versions themselves.
    for row in rows.iter().take(20) {
        let of = |other: &&Value| ["tenant", "source", "id"].iter().all(|field| other[*field] == row[*field]);
        let latest = alerts(&versions).iter().filter(of).map(time).max();
        assert_eq!(latest, Some(time(row)));
    }

    // Each way to look for one finds it, and nothing that is not so.
    let is_of_graph = |row: &&Value| row["source"] == "graph_alerts";
    let is_plain =
        |text: &str| text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.\\ ".contains(letter));
    let named = |field: &str, part: char| {
        let is_named = |row: &&Value| {
            let name = row[field][0].as_str().unwrap_or_default();
            name.contains(part)
                && is_plain(name)
                && is_plain(text(row, "title"))
                && text(row, "title").len() > 13
        };
        let found = rows.iter().filter(is_of_graph).find(is_named);
        found.unwrap_or_else(|| panic!("an alert with {field}"))
    };
    let (host, user) = (named("hosts", '.'), named("users", '\\'));
    let first = |row: &Value, field: &str| row[field][0].as_str().expect("a name").to_owned();
    let by_host = search(&setup, &["--host", &first(host, "hosts").to_uppercase()]).await;
    let with_host = |row: &&Value| {
        let name = first(host, "hosts");
        row["hosts"]
            .as_array()
            .expect("names")
            .iter()
            .any(|other| other.as_str().is_some_and(|other| other.eq_ignore_ascii_case(&name)))
    };
    assert!(ids(&by_host).contains(text(host, "id")) && alerts(&by_host).iter().all(|row| with_host(&row)));
    assert_eq!(alerts(&by_host).len(), rows.iter().filter(with_host).count());
    let by_user = search(&setup, &["--user", &first(user, "users"), "--source", "graph_alerts"]).await;
    assert!(ids(&by_user).contains(text(user, "id")) && alerts(&by_user).iter().all(|row| is_of_graph(&row)));
    let title: String = text(host, "title").chars().skip(1).take(12).collect();
    let by_text = search(&setup, &["--text", &title.to_uppercase()]).await;
    assert!(ids(&by_text).contains(text(host, "id")));
    assert!(alerts(&by_text).len() <= rows.len());
    let high = search(&setup, &["--severity", "high"]).await;
    assert_eq!(alerts(&high).len(), rows.iter().filter(|row| row["severity"] == "high").count());
    let slug = text(host, "tenant");
    let by_tenant = search(&setup, &["--tenant", slug]).await;
    assert_eq!(alerts(&by_tenant).len(), rows.iter().filter(|row| row["tenant"] == slug).count());
    let others = search(&setup, &["--tenant", "all", "--except", slug]).await;
    assert_eq!(alerts(&others).len() + alerts(&by_tenant).len(), rows.len());
    let by_id = search(&setup, &["--id", text(host, "id"), "--versions"]).await;
    let of_id = |row: &&Value| row["id"] == host["id"];
    assert_eq!(alerts(&by_id).len(), alerts(&versions).iter().filter(of_id).count());
    let service = search(&setup, &["--service", text(host, "service")]).await;
    assert!(ids(&service).contains(text(host, "id")));
    assert!(
        alerts(&service)
            .iter()
            .all(|row| row["source"] == "graph_incidents" || row["service"] == host["service"])
    );
    assert_eq!(alerts(&search(&setup, &["--text", "no such text anywhere"]).await).len(), 0);

    // A span, and what a record was then.
    let middle = times[times.len() / 2];
    let typed = middle.expect("it has a time").to_string();
    let later = search(&setup, &["--since", &typed]).await;
    assert_eq!(alerts(&later).len(), rows.iter().filter(|row| time(row) >= middle).count());
    let then = search(&setup, &["--until", &typed]).await;
    assert!(alerts(&then).iter().all(|row| time(row) < middle));
    let known_then: BTreeSet<_> =
        alerts(&versions).iter().filter(|row| time(row) < middle).map(|row| text(row, "id")).collect();
    assert_eq!(ids(&then).len(), known_then.len(), "each that there was, as it was");

    // What attackers wrote moves no cursor, and turns no text.
    let table = setup.muster(&["alerts", "search", "--limit", "100000"]).await;
    let table = String::from_utf8(table.stdout).expect("UTF-8");
    let harmful = table.chars().find(|letter| *letter != '\n' && muster_model::text::is_harmful(*letter));
    assert_eq!(harmful, None);

    // A limit is told, and what was not looked at.
    let few = setup.muster(&["-o", "json", "alerts", "search", "--limit", "5"]).await;
    let few = json(&few);
    assert_eq!((alerts(&few).len(), &few["limited"], &few["complete"]), (5, &true.into(), &false.into()));
    assert_eq!(alerts(&few)[..], rows[..5]);
    assert!(few["searched"].as_u64() < Some(totals.records));
    let told = words(&setup.muster(&["alerts", "search", "--limit", "5"]).await);
    assert!(
        told.contains("as many as --limit allows") && told.contains("there may be more before"),
        "{told}"
    );
    for (wrong, code) in [
        (&["--tenant", "nobody"][..], 5),
        (&["--since", "1d", "--until", "2d"], 2),
        (&["--text", " "], 2),
        (&["--severity", "worst"], 2),
    ] {
        let done = setup.muster(&[&["alerts", "search"], wrong].concat()).await;
        assert_eq!(done.status.code(), Some(code), "{wrong:?}: {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_alert_is_shown_whole_and_in_its_tenant() {
    let setup = Setup::start(Config { alerts: Some(60), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    bench.rounds(2).await;
    let found = search(&setup, &["--source", "graph_alerts"]).await;
    let row = &alerts(&found)[0];
    let (id, slug) = (text(row, "id"), text(row, "tenant"));
    let portal = text(row, "portal");
    assert!(portal.starts_with("https://security.microsoft.com/"), "{portal}");
    assert!(portal.ends_with(&format!("tid={}", text(row, "tenant_id"))), "{portal}");
    let raw = setup.muster(&["alerts", "show", id, "--raw"]).await;
    let record: Value = serde_json::from_slice(&raw.stdout).expect("Microsoft's JSON");
    assert_eq!((record["id"].as_str(), record["title"].as_str()), (Some(id), Some(text(row, "title"))));
    let shown = setup.muster(&["alerts", "show", id, "--tenant", slug]).await;
    let told = words(&shown);
    for said in
        [text(row, "severity"), slug, portal, "splunk: acknowledged", "archive: acknowledged", "versions"]
    {
        assert!(told.contains(said), "{said}: {told}");
    }
    let one = json(&setup.muster(&["-o", "json", "alerts", "show", id]).await);
    let deliveries = one[0]["versions"][0]["deliveries"].as_array().expect("deliveries");
    assert_eq!(deliveries.len(), 3, "{one}");
    let none = setup.muster(&["alerts", "show", "no-such-alert"]).await;
    assert!(none.status.code() == Some(5) && words(&none).contains("muster fetch --id"), "{none:?}");

    // What cannot be read is told, and everything else is found.
    let whole = alerts(&search(&setup, &[]).await).len();
    in_database(
        &setup,
        "UPDATE journal_batch SET sealed = zeroblob(length(sealed)) WHERE batch_no =
         (SELECT batch_no FROM record_version WHERE id = ? AND ordinal >= 0)",
        id,
    );
    let done = setup.muster(&["-o", "json", "alerts", "search", "--limit", "100000"]).await;
    assert_eq!(done.status.code(), Some(6), "{done:?}");
    let rest = json(&done);
    assert!(rest["complete"] == false && rest["unreadable_batches"] == 1, "{rest}");
    assert!(rest["unreadable"].as_u64() > Some(0) && alerts(&rest).len() < whole, "{rest}");
    let told = words(&setup.muster(&["alerts", "search", "--text", "nothing of the kind"]).await);
    assert!(told.contains("nothing was found") && told.contains("were not searched"), "{told}");
    let damaged = setup.muster(&["alerts", "show", id]).await;
    assert_eq!(damaged.status.code(), Some(6), "{damaged:?}");
    assert!(words(&damaged).contains("cannot be read"), "{damaged:?}");
    assert_eq!(setup.muster(&["alerts", "show", id, "--raw"]).await.status.code(), Some(5));

    // Nothing is left of a tenant that was offboarded, and nothing is said of it.
    let gone = setup.muster(&["tenant", "offboard", slug, "--yes"]).await;
    assert!(gone.status.success(), "{gone:?}");
    let rest = search(&setup, &[]).await;
    assert!(alerts(&rest).iter().all(|row| row["tenant"] != slug) && rest["tenants"] == 2, "{rest}");
    let done = setup.muster(&["alerts", "search", "--tenant", slug]).await;
    assert!(!done.status.success() && words(&done).contains("offboarded"), "{done:?}");
    drop(bench);
}

/// What has left the journal is told, and a search that finds nothing says where it did not look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_found_says_where_was_looked() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(40), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    bench.rounds(2).await;
    let now = muster_model::Clock::now(&*bench.clock);
    let keep = muster_store::Retention {
        journal: now,
        versions: jiff::Timestamp::MIN,
        ledger: jiff::Timestamp::MIN,
        now,
    };
    let pruned = bench.store.prune_journal(keep).await.expect("pruned");
    assert!(pruned.batches > 0);
    let found = search(&setup, &[]).await;
    assert!(found["gone"].as_u64() > Some(0) && found["pruned_up_to"].is_string(), "{found}");
    let told = words(&setup.muster(&["alerts", "search"]).await);
    assert!(told.contains("nothing was found") && told.contains("has left the journal"), "{told}");
    drop(bench);
}

/// Interrupted, it tells what it found and how far it has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_search_tells_how_far_it_came() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(4_000), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    bench.rounds(6).await;
    drop(bench);
    for whole in 0..40 {
        let search = ["-o", "json", "alerts", "search", "--limit", "100000"];
        let child = setup.command(&search).stdout(std::process::Stdio::piped()).spawn().expect("started");
        // Some of these come before it has begun, and some when it is over.
        tokio::time::sleep(std::time::Duration::from_millis(20 + 10 * whole)).await;
        signal(&child, Signal::INT);
        let done = child.wait_with_output().await.expect("it ends");
        if done.status.code() == Some(6) {
            let found = json(&done);
            assert!(found["interrupted"] == true && found["complete"] == false, "{found}");
            return;
        }
    }
    panic!("no search was interrupted");
}
