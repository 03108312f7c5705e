//! The sources of the Defender APIs, end to end: the emulator, the collector, the journal, every format, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_emulator::receivers::RecordKind;
use muster_emulator::{Area, Clock as _, Config, Fault, FaultKind, WorldChange};
use muster_microsoft::sources::is_bare;
use muster_model::{Clock as _, Source};
use muster_store::TenantChange;
use serde_json::Value;

use crate::support::{Bench, Setup, config};

/// A file for each format that the usual sinks do not write.
const OTHER_FORMATS: &str = r#"
        [sinks.ecs]
        type = "file"
        path = "ecs.ndjson"
        format = "ecs"
        [sinks.ocsf]
        type = "file"
        path = "ocsf.ndjson"
        format = "ocsf"
        [sinks.leef]
        type = "file"
        path = "leef.log"
        format = "leef"
        [[routes]]
        sinks = ["ecs", "ocsf", "leef"]
"#;

const OF_DEFENDER: [Source; 2] = [Source::EndpointAlerts, Source::XdrIncidents];

/// Muster and the emulated cloud, with one clock that both go by. One tenant is read by the Defender APIs only.
struct World {
    setup: Setup,
    bench: Bench,
    clock: Arc<muster_emulator::ManualClock>,
}

impl World {
    async fn with(alerts: u64, sources: &[Source], extra: &str) -> Self {
        let now = muster_model::SystemClock.now();
        let clock = Arc::new(muster_emulator::ManualClock::new(now));
        let kinds = sources.iter().filter_map(|source| RecordKind::of_source(source.as_str())).collect();
        let config = Config {
            tenants: 1,
            alerts: Some(alerts),
            strict: true,
            kinds,
            clock: clock.clone(),
            ..config()
        };
        let setup = Setup::start(config, extra).await;
        let bench = Bench::at(&setup, now).await;
        let sources = TenantChange::Sources(sources.iter().copied().collect());
        let world = Self { setup, bench, clock };
        let id = world.tenant().parse().expect("a GUID");
        world.bench.store.change_tenant(id, sources, "a test", now).await.expect("changed");
        world
    }

    fn tenant(&self) -> String {
        self.setup.emulator.tenants()[0].id.clone()
    }

    fn fault(&self, area: Area, kind: FaultKind) {
        self.setup.emulator.add_fault(Fault::new(area, kind)).expect("a fault");
    }

    fn change(&self, change: WorldChange) {
        self.setup.emulator.change_world(&change).expect("the world changes");
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.bench.pass(seconds);
    }

    async fn rounds(&self, rounds: u32) {
        for _ in 0..rounds {
            self.bench.collect().await;
            self.bench.deliver().await;
            self.pass(90);
        }
    }

    async fn shown(&self) -> Vec<String> {
        self.bench.errors().await
    }

    /// The records of the archive.
    fn archived(&self) -> Vec<serde_json::Value> {
        let archive = std::fs::read_to_string(self.setup.path().join("archive.ndjson")).unwrap_or_default();
        archive.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    async fn assert_all_arrived_once(&self) {
        self.setup.assert_all_arrived_once();
        assert_eq!(self.shown().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_are_read_to_the_end_and_delivered_in_every_format() {
    let world = World::with(400, &OF_DEFENDER, OTHER_FORMATS).await;
    world.rounds(6).await;
    let tenant = world.tenant();
    world.change(WorldChange::UpdateSome { tenant: tenant.clone(), count: 20 });
    world.change(WorldChange::AddAlerts { tenant: tenant.clone(), count: 30, title: None, at: None });
    world.rounds(6).await;
    world.assert_all_arrived_once().await;
    let archived = world.archived();
    let alerts = archived.iter().filter(|record| record.get("machineId").is_some()).count();
    let incidents = archived.iter().filter(|record| record.get("incidentName").is_some()).count();
    assert!(alerts > 50 && incidents > 50 && alerts + incidents == archived.len(), "{alerts} {incidents}");
    // An alert may be about a device alone, which is no evidence of its own.
    let with_evidence = archived.iter().filter(|record| record["evidence"][0].is_object()).count();
    assert!(with_evidence * 2 > alerts, "{with_evidence} of {alerts}");
    assert!(
        archived.iter().all(|record| record.get("incidentName").is_none() || record["alerts"][0].is_object())
    );
    for file in ["ecs.ndjson", "ocsf.ndjson", "leef.log"] {
        let text = std::fs::read_to_string(world.setup.path().join(file)).expect("written");
        let missing: Vec<&str> = archived
            .iter()
            .filter_map(|record| record["title"].as_str().or(record["incidentName"].as_str()))
            .filter(|title| {
                !text.contains(
                    title.split(['\'', '\\', '"', '|']).max_by_key(|part| part.len()).unwrap_or_default(),
                )
            })
            .collect();
        assert!(missing.is_empty(), "{file} lacks {missing:?}");
    }
    assert_eq!(world.bench.dead_letters().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instant_with_more_incidents_than_a_page_is_divided_by_status() {
    let world = World::with(0, &[Source::XdrIncidents], "").await;
    world.rounds(1).await;
    for _ in 0..130 {
        world.change(WorldChange::AddIncident { tenant: world.tenant(), alerts: 1 });
    }
    world.rounds(12).await;
    world.assert_all_arrived_once().await;
    assert_eq!(world.archived().len(), 130);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_evidence_cannot_be_put_in_each_alert_is_asked_for_by_itself_once() {
    let world = World::with(200, &[Source::EndpointAlerts], "").await;
    world.fault(Area::EndpointAlerts, FaultKind::RefuseExpand { status: 500, above: 0 });
    world.rounds(10).await;
    let archived = world.archived();
    let with_evidence = archived.iter().filter(|record| record["evidence"][0].is_object()).count();
    assert!(with_evidence * 2 > archived.len(), "{with_evidence} of {}", archived.len());
    assert!(archived.iter().all(|alert| alert.get("@odata.context").is_none()));
    let asked = |world: &World| -> u64 {
        let counts = world.setup.emulator.requests();
        counts.iter().filter(|count| count.area == Area::EndpointAlerts).map(|count| count.count).sum()
    };
    let before = asked(&world);
    world.rounds(3).await;
    // What has none could have come without; it is asked for again for as long as it is met.
    let without = (archived.len() - with_evidence) as u64;
    let again = asked(&world) - before;
    assert!(again <= 9 + 3 * without, "what is known with its evidence is not asked for again: {again}");
    world.setup.emulator.clear_faults();
    world.rounds(25).await;
    world.assert_all_arrived_once().await;
}

#[test]
fn no_evidence_is_only_missing_where_it_was_not_asked_for() {
    let ladder = muster_microsoft::sources::declaration(Source::EndpointAlerts).ladder;
    let bare = r#"{"id":"1","evidence":[]}"#;
    assert!(is_bare(ladder[0], bare), "in an answer that says that something is missing");
    assert!(!is_bare(ladder[1], bare));
    let kind = Source::EndpointAlerts.kind();
    assert!(muster_model::is_same_version(kind, r#"{"id":"1","evidence":[{"sha1":"a"}]}"#, bare));
}

/// 50 requests a minute and 1,500 an hour are never exceeded, so that the emulator, which counts them, refuses none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rates_are_kept_to() {
    let world = World::with(3_000, &[Source::XdrIncidents], "").await;
    for _ in 0..60 {
        world.bench.collect().await;
        world.pass(3);
    }
    world.rounds(4).await;
    let requests = world.setup.emulator.requests();
    assert!(requests.iter().all(|count| count.status != 429), "{requests:?}");
    let asked: u64 =
        requests.iter().filter(|count| count.area == Area::XdrIncidents).map(|count| count.count).sum();
    assert!(asked > 50, "more than a minute's worth was needed: {asked}");
    world.assert_all_arrived_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_what_is_missing() {
    let error = |status: u16, code: &str, message: &str| FaultKind::Error {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
    };
    for (fault, code, said) in [
        (error(403, "Forbidden", "no"), "no_licence", "not set up for this product"),
        (error(500, "HostNotFound", "no"), "no_licence", "no licence"),
        (error(404, "TenantDeploymentNotFound", "no"), "no_licence", "no licence"),
        (FaultKind::Unauthorized { challenge: false }, "other", "does not know the app in this tenant yet"),
        (FaultKind::HtmlStatus { status: 403 }, "api_down", "not the API's"),
        (error(403, "UnknownError", "<html>"), "api_down", "not the API's"),
        (FaultKind::RemoveRole { role: "Incident.Read.All".to_owned() }, "missing_role", "Incident.Read.All"),
    ] {
        let world = World::with(3, &[Source::XdrIncidents], "").await;
        let told = format!("{fault:?}");
        world.fault(Area::XdrIncidents, fault);
        world.rounds(1).await;
        let checks = world.bench.store.checks(None).await.expect("the store answers");
        let check =
            checks.iter().find(|(_, check)| check.name == "source xdr_incidents").map(|(_, check)| check);
        let check = check.unwrap_or_else(|| panic!("{told}: no check"));
        assert_eq!(check.code, code, "{told}: {}", check.detail);
        assert!(check.detail.contains(said), "{told}: {}", check.detail);
        world.setup.emulator.clear_faults();
        world.pass(3_600);
        world.rounds(4).await;
        world.assert_all_arrived_once().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validate_tells_what_would_come_twice() {
    let world = World::with(0, &Source::ALL, "").await;
    let said = world.setup.muster(&["validate"]).await;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "advice is no mistake: {text}");
    for pair in [["graph_alerts", "endpoint_alerts"], ["graph_incidents", "xdr_incidents"]] {
        let told = pair.iter().all(|source| text.contains(source));
        assert!(told && text.contains("twice"), "{text}");
    }
    let tenant = TenantChange::Sources(OF_DEFENDER.into());
    let id = world.tenant().parse().expect("a GUID");
    world.bench.store.change_tenant(id, tenant, "a test", world.bench.clock.now()).await.expect("changed");
    let said = world.setup.muster(&["validate"]).await;
    assert!(!String::from_utf8_lossy(&said.stdout).contains("twice"));
}

/// The detections of the old SIEM feed, as the world wrote them down: those that are visible now, by id.
fn detections(world: &World) -> BTreeMap<String, Value> {
    let now = world.clock.now();
    let truth = world.setup.emulator.truth();
    let visible = truth
        .iter()
        .enumerate()
        .filter(|(_, version)| version.kind == RecordKind::SiemDetection && version.is_visible_at(now));
    let body = |place: usize| {
        let body = world.setup.emulator.graph().truth_body(place).expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    };
    visible.map(|(place, version)| (version.id.clone(), body(place))).collect()
}

/// Each version once, and the last of each as it is.
fn assert_detections_arrived(world: &World) {
    let mut arrived: BTreeMap<String, Value> = BTreeMap::new();
    let mut versions = BTreeSet::new();
    for record in world.archived() {
        let text = |field: &str| record[field].as_str().expect("a text").to_owned();
        let version = (text("FullId"), text("LastProcessedTimeUtc"));
        assert!(versions.insert(version.clone()), "twice: {version:?}");
        let is_later = |known: &Value| known["LastProcessedTimeUtc"].as_str() > Some(version.1.as_str());
        if !arrived.get(&version.0).is_some_and(is_later) {
            arrived.insert(version.0, record);
        }
    }
    let expected = detections(world);
    assert_eq!(arrived.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (id, body) in expected {
        assert_eq!(arrived[&id], body, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_siem_feed_is_read_to_its_end_and_delivered_in_every_format() {
    let world = World::with(400, &[Source::SiemFeed], OTHER_FORMATS).await;
    world.rounds(6).await;
    assert_detections_arrived(&world);
    let tenant = world.tenant();
    world.change(WorldChange::UpdateSome { tenant: tenant.clone(), count: 40 });
    world.change(WorldChange::AddAlerts { tenant: tenant.clone(), count: 60, title: None, at: None });
    world.rounds(6).await;
    assert_detections_arrived(&world);
    let archived = world.archived();
    assert!(archived.len() > 80, "{}", archived.len());
    for file in ["ecs.ndjson", "ocsf.ndjson", "leef.log"] {
        let text = std::fs::read_to_string(world.setup.path().join(file)).expect("written");
        let alerts = archived.iter().filter_map(|record| record["AlertId"].as_str());
        let missing: Vec<&str> = alerts.filter(|id| !text.contains(id)).collect();
        assert!(missing.is_empty(), "{file} lacks {missing:?}");
        assert_eq!(text.lines().count(), archived.len(), "{file}");
    }
    assert_eq!(world.shown().await, Vec::<String>::new());
    assert_eq!(world.bench.dead_letters().await, Vec::<String>::new());
}

/// A full answer halves its window, down to one instant, of which more is asked for than of a span.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_detections_of_one_instant_than_a_page_are_read_whole() {
    let world = World::with(50, &[Source::SiemFeed], "").await;
    world.rounds(2).await;
    let at = world.clock.now() - Duration::from_secs(30);
    let many = WorldChange::AddAlerts {
        tenant: world.tenant(),
        count: 5_000,
        title: None,
        at: Some(at.to_string()),
    };
    world.change(many);
    let of_the_instant = detections(&world).len();
    assert!(of_the_instant > 1_100, "{of_the_instant}");
    world.rounds(6).await;
    assert_detections_arrived(&world);
    assert_eq!(world.shown().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_siem_feed_names_the_portal_and_the_region() {
    let world = World::with(20, &[Source::SiemFeed], "").await;
    let refused = FaultKind::Error { status: 403, code: "Forbidden".to_owned(), message: "no".to_owned() };
    world.fault(Area::SiemFeed, refused);
    world.rounds(2).await;
    let shown = world.shown().await.join("");
    for words in
        ["the SIEM feed refuses access (status 403", "Settings > Endpoints > APIs > SIEM", "[siem_feed]"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    world.setup.emulator.clear_faults();
    world.pass(600);
    world.rounds(4).await;
    assert_detections_arrived(&world);
}

/// Only devices that are wanted, and what Microsoft says of the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_siem_feed_gives_what_the_settings_ask_for() {
    let world = World::with(200, &[Source::SiemFeed], "").await;
    let all = detections(&world);
    let group = |detection: &Value| detection["MachineGroup"].as_str().unwrap_or_default().to_owned();
    let wanted = all.values().map(group).find(|group| !group.is_empty()).expect("devices have groups");
    let expected: BTreeSet<&String> =
        all.iter().filter(|(_, detection)| group(detection) == wanted).map(|(id, _)| id).collect();
    assert!(!expected.is_empty() && expected.len() < all.len());
    world.setup.write_settings(&format!("[siem_feed]\nmachine_groups = [\"{wanted}\"]\n"));
    let tenant = world.tenant();
    let fetch = ["fetch", "--tenant", &tenant, "--source", "siem_feed", "--since", "30d", "--format", "raw"];
    let fetched = world.setup.muster(&fetch).await;
    assert!(fetched.status.success(), "{fetched:?}");
    let fetched = String::from_utf8(fetched.stdout).expect("UTF-8");
    let ids: BTreeSet<String> = fetched
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a record"))
        .map(|record| record["FullId"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>(), expected);
    let by_id = world.setup.muster(&[&fetch[..5], &["--id", "x"]].concat()).await;
    assert!(String::from_utf8_lossy(&by_id.stderr).contains("by time only"), "{by_id:?}");
    for command in [&["validate"][..], &["status"]] {
        let told = world.setup.muster(command).await;
        let told = [told.stdout, told.stderr].concat();
        let told = String::from_utf8_lossy(&told).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("31 December 2024") && told.contains("`graph_alerts`"), "{command:?}: {told}");
    }
    let checked = world.setup.muster(&["--output", "json", "tenant", "check", &tenant]).await;
    assert!(checked.status.success(), "{checked:?}");
}
