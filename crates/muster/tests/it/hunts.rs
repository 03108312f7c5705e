//! Saved hunting queries as sources: their rows in the journal and at a sink, once each, whatever Microsoft does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_emulator::{Area, Config, Fault, FaultKind, WorldChange};
use muster_microsoft::SourceWord;
use muster_model::{Clock as _, Purpose, Source};
use muster_store::SourceState;
use serde_json::Value;

use crate::support::{Bench, Setup, config};

/// Muster and the emulated cloud, with one clock that both go by.
struct World {
    setup: Setup,
    bench: Bench,
    clock: Arc<muster_emulator::ManualClock>,
}

const ALERTS: &str = r#"
    [hunts.alerts]
    query = "AlertInfo | project Timestamp, AlertId, Title, Severity;"
    every = "5m"
    look_back = "30d"
    key_columns = ["AlertId"]
"#;

impl World {
    async fn with(tenants: usize, alerts: u64, extra: &str) -> Self {
        let now = muster_model::SystemClock.now();
        let clock = Arc::new(muster_emulator::ManualClock::new(now));
        let roles = ["SecurityAlert.Read.All", "SecurityIncident.Read.All", "ThreatHunting.Read.All"];
        let roles = roles.map(str::to_owned).to_vec();
        let (alerts, strict, clock_of_cloud) = (Some(alerts), true, clock.clone());
        let config = Config { tenants, alerts, roles, strict, clock: clock_of_cloud, ..config() };
        let setup = Setup::start(config, extra).await;
        let bench = Bench::at(&setup, now).await;
        Self { setup, bench, clock }
    }

    fn tenant(&self, index: usize) -> String {
        self.setup.emulator.tenants()[index].id.clone()
    }

    fn add(&self, index: usize, count: u32, at: Option<Timestamp>) {
        let (tenant, at) = (self.tenant(index), at.map(|at| at.to_string()));
        let change = WorldChange::AddAlerts { tenant, count, title: None, at };
        self.setup.emulator.change_world(&change).expect("the world changes");
    }

    fn fault(&self, fault: Fault) {
        self.setup.emulator.add_fault(fault).expect("a fault");
    }

    async fn rounds(&self, rounds: u32) {
        for _ in 0..rounds {
            self.bench.collect().await;
            self.bench.deliver().await;
            self.pass(330);
        }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.bench.pass(seconds);
    }

    /// The rows of a saved query at the sink.
    fn rows(&self, hunt: &str) -> Vec<Value> {
        let archive = std::fs::read_to_string(self.setup.path().join("archive.ndjson")).unwrap_or_default();
        let records = archive.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record"));
        records.filter(|record| record["Hunt"] == hunt).collect()
    }

    /// What the query itself brings, from all tenants.
    async fn asked(&self, query: &str) -> Vec<Value> {
        let asked = self.setup.muster(&["hunt", query, "--tenant", "all", "--output", "ndjson"]).await;
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        let lines = String::from_utf8(asked.stdout).expect("UTF-8");
        lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row")["row"].take()).collect()
    }

    /// What a tenant is read from.
    async fn sources_of(&self, slug: &str) -> BTreeSet<&'static str> {
        let tenants = self.bench.store.tenants().await.expect("read");
        let tenant = tenants.into_iter().find(|tenant| tenant.slug.as_str() == slug).expect("a tenant");
        tenant.sources.into_iter().map(Source::as_str).collect()
    }

    async fn state(&self, source: &str) -> SourceState {
        let states = self.bench.store.source_states().await.expect("the store answers");
        states.into_iter().find(|state| state.source.as_str() == source).expect("a source")
    }

    /// Asserts that the sink has each of these rows once.
    fn assert_rows(&self, hunt: &str, wanted: Vec<Value>) {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for row in wanted {
            *counts.entry(row.to_string()).or_default() -= 1;
        }
        for mut row in self.rows(hunt) {
            row.as_object_mut().expect("a row").remove("Hunt");
            *counts.entry(row.to_string()).or_default() += 1;
        }
        counts.retain(|_, count| *count != 0);
        assert!(counts.is_empty(), "missing (-) or doubled (+): {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_records_like_any_others_and_come_once() {
    let world = World::with(2, 60, ALERTS).await;
    world.rounds(3).await;
    assert_eq!(world.bench.errors().await, Vec::<String>::new());
    let query = "AlertInfo | project Timestamp, AlertId, Title, Severity";
    let first = world.asked(query).await;
    assert!(first.len() > 50, "{}", first.len());
    world.assert_rows("alerts", first);
    // What is new, and what shows days after its time.
    world.add(0, 7, None);
    let late = world.bench.clock.now() - SignedDuration::from_hours(50);
    world.add(1, 5, Some(late));
    world.rounds(3).await;
    world.assert_rows("alerts", world.asked(query).await);
    let state = world.state("graph_hunting/alerts").await;
    assert_eq!((state.purpose, state.failures), (Purpose::Live, 0));
    // It is asked as often as it says, and not with the other sources.
    let wait = state.next_at.duration_since(state.last_success_at.expect("read")).as_secs();
    assert!((200..=300).contains(&wait), "{wait}");
    // Alerts and incidents are read as before.
    let archive = std::fs::read_to_string(world.setup.path().join("archive.ndjson")).expect("an archive");
    assert!(archive.lines().filter(|line| line.contains("incidentWebUrl")).count() > 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_rows_as_are_given_are_not_taken_for_all() {
    const ROWS: u64 = 101_000;
    let from = muster_model::SystemClock.now() - SignedDuration::from_hours(60);
    let many = format!(
        r#"
        [hunts.many]
        query = "range x from 1 to {ROWS} step 1 | extend Timestamp = datetime({from}) + x * 1s"
        look_back = "5d"
    "#
    );
    let world = World::with(1, 0, &many).await;
    world.bench.collect().await;
    let state = world.state("graph_hunting/many").await;
    assert_eq!((state.accepted, state.last_error.as_deref()), (ROWS, None), "{state:?}");
    let found = world.bench.store.cursor(state.tenant, state.source, Purpose::Live).await.expect("read");
    assert_eq!(found.expect("it is read").cursor.holes(), Vec::<&muster_model::Hole>::new());
    world.pass(3_700);
    world.bench.collect().await;
    assert_eq!(world.state("graph_hunting/many").await.accepted, ROWS, "once each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_refused_is_told_in_microsofts_words_and_costs_nobody_else() {
    let wrong = r#"
        [hunts.wrong]
        query = "AlertInfo | where Colour == 'red'"
        [hunts.keyless]
        query = "AlertInfo"
        key_columns = ["Id"]
        [hunts.timeless]
        query = "AlertInfo | project AlertId"
        [hunts.huge]
        query = "range x from 1 to 60000 step 1 | extend Timestamp = datetime(2020-01-01) + x * 1s | extend T = strrep('x', 1024) | extend U = strrep('x', 1024) | extend V = strrep('x', 1024)"
        look_back = "30d"
    "#;
    let world = World::with(1, 30, wrong).await;
    world.rounds(2).await;
    for (hunt, words) in [
        ("wrong", "Failed to resolve column or scalar expression named 'Colour'"),
        ("keyless", "the rows have no column `Id`, which is their key_columns"),
        ("timeless", "Failed to resolve column or scalar expression named 'Timestamp'"),
    ] {
        let state = world.state(&format!("graph_hunting/{hunt}")).await;
        assert!(state.failures > 0, "{hunt}");
        assert!(state.last_error.as_deref().is_some_and(|said| said.contains(words)), "{hunt}: {state:?}");
        assert_eq!(world.rows(hunt).len(), 0);
    }
    let alerts = world.state("graph_alerts").await;
    assert_eq!((alerts.failures, alerts.last_error), (0, None));
    // `validate` says so before anybody waits for rows, and asks for none.
    let tried = world.setup.muster(&["validate", "--connect"]).await;
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert_eq!(tried.status.code(), Some(7), "{said}");
    assert!(said.contains("hunt wrong: Microsoft does not take the request"), "{said}");
    assert!(said.contains("hunt keyless: the rows have no column `Id`"), "{said}");
    assert!(said.contains("hunt huge: Microsoft takes the query (tenant "), "{said}");
    let status = world.setup.muster(&["status"]).await;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("graph_hunting/wrong"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_at_once_is_asked_for_in_smaller_windows() {
    let from = muster_model::SystemClock.now() - SignedDuration::from_hours(24);
    // 70 MB of rows together: more than is taken in one answer.
    let large = format!(
        r#"
        [hunts.large]
        query = "range x from 1 to 70000 step 1 | extend Timestamp = datetime({from}) + x * 1s | extend T = strrep('x', 1000)"
        look_back = "2d"
    "#
    );
    let world = World::with(1, 0, &large).await;
    for _ in 0..20 {
        world.bench.collect().await;
        world.pass(60);
    }
    let state = world.state("graph_hunting/large").await;
    assert_eq!((state.accepted, state.last_error.as_deref()), (70_000, None), "{state:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lying_and_failing_services_lose_and_double_no_row() {
    let world = World::with(1, 40, ALERTS).await;
    let query = "AlertInfo | project Timestamp, AlertId, Title, Severity";
    let words = async || world.state("graph_hunting/alerts").await.last_error.unwrap_or_default();
    for (kind, said) in [
        (FaultKind::Html, "not a page of records"),
        (FaultKind::Truncate, "not a page of records"),
        (FaultKind::EmptyBody, "not a page of records"),
        (FaultKind::Garbage, "not a page of records"),
        (FaultKind::Status { status: 504 }, "504"),
        (FaultKind::Throttle { retry_after_seconds: 600 }, "throttled"),
    ] {
        world.add(0, 2, None);
        world.fault(Fault::new(Area::GraphHunting, kind.clone()).times(1));
        world.bench.collect().await;
        assert!(words().await.contains(said), "{kind:?}: {}", words().await);
        world.setup.emulator.clear_faults();
        world.rounds(4).await;
        assert_eq!(words().await, "", "{kind:?}");
        world.assert_rows("alerts", world.asked(query).await);
    }
    // Permission is withdrawn, and comes back: nothing of what happened meanwhile is missing.
    let lost = FaultKind::RemoveRole { role: "ThreatHunting.Read.All".to_owned() };
    world.fault(Fault::new(Area::Graph, lost));
    world.add(0, 6, None);
    world.rounds(3).await;
    assert!(words().await.contains("no consent for ThreatHunting.Read.All"), "{}", words().await);
    assert_eq!(world.state("graph_alerts").await.failures, 0, "alerts need another permission");
    let status = world.setup.muster(&["status", "--output", "json"]).await;
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let sources = status["tenants"][0]["sources"].as_array().expect("sources");
    let hunt = sources.iter().find(|source| source["source"] == "graph_hunting/alerts").expect("a hunt");
    assert_eq!(hunt["state"], SourceWord::ConsentLost.as_str(), "{hunt}");
    world.setup.emulator.clear_faults();
    world.rounds(4).await;
    world.assert_rows("alerts", world.asked(query).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_say_whom_a_query_asks_and_where_its_rows_go() {
    let setup = |tenants: &str| {
        format!(
            r#"
            [hunts.some]
            query = "AlertInfo | project Timestamp, AlertId"
            tenants = [{tenants}]
            look_back = "30d"
            [hunts.old]
            api = "xdr"
            query = "AlertInfo | project Timestamp, AlertId"
            look_back = "30d"
            [hunts.by-the-clock]
            query = "AlertInfo | where Timestamp > ago(1h)"
            tenants = ["nobody"]
            [sinks.rows]
            type = "file"
            path = "rows.ndjson"
            format = "ecs"
            [[routes]]
            sources = ["xdr_hunting"]
            sinks = ["rows"]
        "#
        )
    };
    let mut world = World::with(2, 20, &setup("'nobody'")).await;
    let slugs: Vec<String> = world
        .bench
        .store
        .tenants()
        .await
        .expect("read")
        .iter()
        .map(|tenant| tenant.slug.to_string())
        .collect();
    let validated = world.setup.muster(&["validate"]).await;
    let said = String::from_utf8_lossy(&validated.stdout).into_owned();
    assert!(said.contains("[hunts.some] tenants: it asks no tenant"), "{said}");
    assert!(said.contains("[hunts.by-the-clock] query: `ago()` goes by the time"), "{said}");
    assert!(
        said.contains("[hunts.old] api: Microsoft ends the API of `xdr_hunting/old` on 31 January 2027: read `graph_hunting` in its place (MC1220762)"),
        "{said}"
    );
    world.rounds(1).await;
    assert_eq!(world.bench.errors().await, Vec::<String>::new());
    assert_eq!((world.rows("some").len(), world.rows("old").len() >= 15), (0, true));
    let status = world.setup.muster(&["status"]).await;
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("! Microsoft ends the API of `xdr_hunting/old` on 31 January 2027"), "{said}");
    assert!(said.contains("(MC1220762); 2 tenants"), "{said}");
    let ecs = std::fs::read_to_string(world.setup.path().join("rows.ndjson")).expect("rows");
    assert_eq!(ecs.lines().count(), world.rows("old").len(), "by its route as well");

    world.setup.write_settings(&setup(&format!("'{}'", slugs[1])));
    world.bench = Bench::at(&world.setup, world.bench.clock.now()).await;
    world.rounds(1).await;
    let validated = world.setup.muster(&["validate"]).await;
    let said = String::from_utf8_lossy(&validated.stdout).into_owned();
    assert!(
        said.contains("from 1 tenant(s)")
            && said.contains("`graph_hunting/some` and `xdr_hunting/old` give them both"),
        "the same query to the same sink: {said}"
    );
    let one = world.rows("some").len();
    assert!((5..20).contains(&one), "{one}");
    assert!(!world.sources_of(&slugs[0]).await.contains("graph_hunting/some"));
    assert!(world.sources_of(&slugs[1]).await.contains("graph_hunting/some"));
    let fetched = world
        .setup
        .muster(&["fetch", "-t", &slugs[1], "--source", "graph_hunting/some", "--since", "29d"])
        .await;
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    let unknown = world.setup.muster(&["fetch", "-t", &slugs[1], "--source", "graph_hunting/other"]).await;
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("[hunts.other]"), "{unknown:?}");

    // A query that is gone from the settings is not asked; the tenants' other sources stay.
    world.setup.write_settings("");
    world.bench = Bench::at(&world.setup, world.bench.clock.now()).await;
    world.rounds(1).await;
    assert_eq!(world.sources_of(&slugs[1]).await, ["graph_alerts", "graph_incidents"].into());
}
