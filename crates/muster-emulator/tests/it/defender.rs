//! The Defender APIs: the world of Graph in other words, with rules of their own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_emulator::receivers::RecordKind;
use muster_emulator::{
    AppRegistration, Area, Clock, Config, Fault, FaultKind, GraphAnswer, GraphApi, GraphConfig, GraphRequest,
    Handle, ManualClock, WorldChange, start,
};
use serde_json::{Value, json};

const ENDPOINT: &str = "/api/alerts";
const XDR: &str = "/api/incidents";

struct Desk {
    api: GraphApi,
    clock: Arc<ManualClock>,
    tenant: String,
}

impl Desk {
    fn with(alerts: u64) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-21T08:00:00Z".parse().unwrap()));
        let kinds = vec![
            RecordKind::Alert,
            RecordKind::Incident,
            RecordKind::EndpointAlert,
            RecordKind::XdrIncident,
            RecordKind::SiemDetection,
        ];
        let config = GraphConfig {
            tenants: 1,
            alerts,
            short_alerts: false,
            kinds,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..GraphConfig::default()
        };
        let api = GraphApi::new(&config);
        let tenant = api.tenants()[0].id.clone();
        Self { api, clock, tenant }
    }

    fn get(&self, path: &str, query: &str) -> GraphAnswer {
        let headers = &[("prefer", "include-unknown-enum-members")];
        self.api.answer(&GraphRequest {
            method: "GET",
            path,
            query,
            headers,
            tenant: &self.tenant,
            body: &[],
        })
    }

    fn list(&self, path: &str, query: &str) -> Vec<Value> {
        let answer = self.get(path, query);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let page = read(&answer);
        assert_eq!(page.get("@odata.nextLink"), None);
        page["value"].as_array().unwrap().clone()
    }
}

fn read(answer: &GraphAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn one_world_is_seen_through_each_api() {
    let desk = Desk::with(120);
    let of_graph = |list: &str, query: &str| -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let page = format!("{query}&$top=50&$skip={}", all.len());
            let page = desk.get(list, &page);
            let page = read(&page)["value"].as_array().unwrap().clone();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    };
    let incidents = of_graph("/v1.0/security/incidents", "$expand=alerts");
    let seen = desk.list(XDR, "");
    assert_eq!(seen.len(), incidents.len().min(100));
    for incident in &seen {
        let id = incident["incidentId"].as_i64().unwrap().to_string();
        let graph = incidents.iter().find(|graph| graph["id"] == id).unwrap();
        assert_eq!(incident["lastUpdateTime"], graph["lastUpdateDateTime"]);
        assert_eq!(incident["incidentName"], graph["displayName"]);
        let ids = |record: &Value, key: &str| -> BTreeSet<String> {
            record["alerts"].as_array().unwrap().iter().map(|alert| alert[key].to_string()).collect()
        };
        assert_eq!(ids(incident, "alertId"), ids(graph, "id"));
    }
    let alerts =
        of_graph("/v1.0/security/alerts_v2", "$filter=serviceSource eq 'microsoftDefenderForEndpoint'");
    let seen = desk.list(ENDPOINT, "$expand=evidence");
    assert!(!alerts.is_empty());
    let ids = |records: &[Value]| -> BTreeSet<String> {
        records.iter().map(|record| format!("{} {}", record["id"], record["title"])).collect()
    };
    assert_eq!(ids(&seen), ids(&alerts));
    assert!(seen.iter().any(|alert| !alert["evidence"].as_array().unwrap().is_empty()));
}

#[test]
fn incidents_are_newest_first_and_only_some_fields_can_be_asked_by() {
    let desk = Desk::with(400);
    let all = desk.list(XDR, "");
    assert_eq!(all.len(), 100, "the largest page, and no next one");
    let created: Vec<&str> = all.iter().map(|incident| incident["createdTime"].as_str().unwrap()).collect();
    assert!(created.is_sorted_by(|one, other| one >= other));
    let middle = all[50]["lastUpdateTime"].as_str().unwrap();
    for incident in desk.list(XDR, &format!("$filter=lastUpdateTime ge {middle}&$top=100")) {
        assert!(incident["lastUpdateTime"].as_str().unwrap() >= middle);
    }
    let active = desk.list(XDR, "$filter=status eq 'Active'&$top=5&$skip=1");
    assert!(active.len() == 5 && active.iter().all(|incident| incident["status"] == "Active"));
    for refused in ["$top=101", "$orderby=lastUpdateTime", "$count=true", "$filter=severity eq 'High'"] {
        let answer = desk.get(XDR, refused);
        let error = read(&answer);
        assert_eq!((answer.status, error["error"]["code"].as_str()), (400, Some("ODataError")), "{refused}");
        assert_eq!(error["error"]["target"].as_str().map(str::len), Some(36));
    }
}

#[test]
fn evidence_comes_where_it_is_asked_for_and_with_one_alert() {
    let desk = Desk::with(200);
    let empty = |alert: &Value| alert["evidence"].as_array().unwrap().is_empty();
    let bare = desk.list(ENDPOINT, "$top=10000");
    assert!(bare.iter().all(empty));
    let whole = desk.list(ENDPOINT, "$expand=evidence");
    let (place, alert) = whole.iter().enumerate().find(|(_, alert)| !empty(alert)).unwrap();
    let mut stripped = alert.clone();
    stripped["evidence"] = json!([]);
    assert_eq!(bare[place], stripped);
    let one = desk.get(&format!("{ENDPOINT}/{}", alert["id"].as_str().unwrap()), "");
    let mut one = read(&one);
    one.as_object_mut().unwrap().remove("@odata.context");
    assert_eq!(&one, alert);
    assert_eq!(desk.get("/api/alerts/da0_0", "").status, 404);
    assert_eq!(read(&desk.get("/api/incidents/1", ""))["error"]["code"], "ResourceNotFound");

    let refusing = FaultKind::RefuseExpand { status: 500, above: 0 };
    desk.api.add_fault(Fault::new(Area::EndpointAlerts, refusing)).unwrap();
    assert_eq!(desk.get(ENDPOINT, "$expand=evidence").status, 500);
    assert_eq!(desk.list(ENDPOINT, "").len(), bare.len());
}

#[test]
fn quotas_are_those_of_the_documentation() {
    let desk = Desk::with(5);
    for _ in 0..50 {
        assert_eq!(desk.get(XDR, "").status, 200);
    }
    let refused = desk.get(XDR, "");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    let error = &read(&refused)["error"];
    assert_eq!((error["code"].as_str(), error["target"].as_str()), (Some("429"), Some(desk.tenant.as_str())));
    assert!(error["message"].as_str().unwrap().contains("Maximum allowed 50 per 00:01:00"), "{error}");
    assert_eq!(desk.get(ENDPOINT, "").status, 200, "each API has its own");
    // 1,500 in an hour.
    for _ in 0..29 {
        desk.clock.advance(Duration::from_secs(61));
        assert!((0..50).all(|_| desk.get(XDR, "").status == 200));
    }
    desk.clock.advance(Duration::from_secs(61));
    let refused = read(&desk.get(XDR, ""));
    assert!(refused["error"]["message"].as_str().unwrap().contains("1500 per 01:00:00"), "{refused}");
}

#[test]
fn the_log_of_truth_has_what_each_api_shows() {
    let desk = Desk::with(0);
    let add = WorldChange::AddAlerts { tenant: desk.tenant.clone(), count: 200, title: None, at: None };
    desk.api.change(&add).unwrap();
    desk.clock.advance(Duration::from_secs(5));
    let ids = desk.list(ENDPOINT, "");
    let id = ids[0]["id"].as_str().unwrap().to_owned();
    let update = WorldChange::UpdateAlert { tenant: desk.tenant.clone(), id: id.clone(), same_time: false };
    desk.api.change(&update).unwrap();
    let truth = desk.api.truth();
    let newest: Vec<usize> = (0..truth.len()).filter(|place| truth[*place].newest).collect();
    let shown = |path: &str, query: &str, kind: RecordKind| {
        let shown = desk.list(path, query);
        let mut told = 0;
        for place in newest.iter().filter(|place| truth[**place].kind == kind) {
            told += 1;
            let body: Value = serde_json::from_slice(&desk.api.truth_body(*place).unwrap()).unwrap();
            let found = shown.iter().any(|record| {
                let mut record = record.clone();
                if kind == RecordKind::XdrIncident {
                    record.as_object_mut().unwrap().remove("alerts");
                }
                record == body
            });
            assert!(found, "{body}");
        }
        assert_eq!(told, shown.len());
    };
    shown(ENDPOINT, "$expand=evidence", RecordKind::EndpointAlert);
    shown(XDR, "", RecordKind::XdrIncident);
    let versions: Vec<u32> = truth
        .iter()
        .filter(|version| version.kind == RecordKind::EndpointAlert && version.id == id)
        .map(|version| version.version)
        .collect();
    assert_eq!(versions, [1, 2]);
}

/// The retired SIEM API: the same alerts in a bare list, by the time at which they were processed.
#[test]
fn the_siem_feed_shows_the_same_alerts() {
    let desk = Desk::with(300);
    let feed = |query: &str| -> Vec<Value> {
        let answer = desk.get(ENDPOINT, query);
        assert_eq!(answer.status, 200, "{query}: {}", String::from_utf8_lossy(&answer.body));
        read(&answer).as_array().expect("a bare list").clone()
    };
    let all = feed("ago=P30D");
    let alerts = desk.list(ENDPOINT, "$expand=evidence");
    let ids = |records: &[Value], key: &str| -> BTreeSet<String> {
        records.iter().map(|record| record[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&all, "AlertId"), ids(&alerts, "id"));
    assert_eq!(ids(&all, "FullId").len(), all.len());
    let of = |time: &Value| time.as_str().unwrap().to_owned();
    for alert in &alerts {
        let detection = all.iter().find(|detection| detection["AlertId"] == alert["id"]).unwrap();
        for (own, other) in [
            ("AlertTitle", "title"),
            ("Severity", "severity"),
            ("LastProcessedTimeUtc", "lastUpdateTime"),
            ("AlertTime", "alertCreationTime"),
            ("IoaDefinitionId", "detectorId"),
        ] {
            assert_eq!(detection[own], alert[other], "{own}");
        }
    }
    let times: Vec<String> = all.iter().map(|detection| of(&detection["LastProcessedTimeUtc"])).collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "the newest first");
    assert_eq!(feed("ago=P30D&limit=5"), all[..5]);
    let span = format!("sinceTimeUtc={}&untilTimeUtc={}", times[20], times[10]);
    assert_eq!(feed(&span), all[10..=20], "both bounds are in it");
    assert!(feed("limit=1000000").len() < all.len(), "two hours where nothing is said");
    let group = all.iter().find_map(|one| one["MachineGroup"].as_str().filter(|group| !group.is_empty()));
    let group = group.expect("devices have groups");
    let some = feed(&format!("ago=P30D&machinegroups=none&machinegroups={}", group.replace(' ', "%20")));
    assert!(!some.is_empty() && some.len() < all.len());
    assert!(some.iter().all(|detection| detection["MachineGroup"] == group));
    for wrong in ["sinceTimeUtc=x", "limit=0", "ago=1h"] {
        assert_eq!(desk.get(ENDPOINT, wrong).status, 400, "{wrong}");
    }
    // Each detection is in the log of truth as it is shown.
    let truth = desk.api.truth();
    let told = (0..truth.len()).filter(|place| truth[*place].kind == RecordKind::SiemDetection);
    for place in told.filter(|place| truth[*place].newest) {
        let body: Value = serde_json::from_slice(&desk.api.truth_body(place).unwrap()).unwrap();
        assert_eq!(body["FullId"], truth[place].id.as_str());
        assert!(all.contains(&body), "{body}");
    }
    desk.api.add_fault(Fault::new(Area::SiemFeed, FaultKind::Status { status: 503 })).unwrap();
    assert_eq!(desk.get(ENDPOINT, "ago=PT1H").status, 503);
    assert_eq!(desk.get(ENDPOINT, "").status, 200, "the other API has no fault");
}

struct House {
    emulator: Handle,
    http: reqwest::Client,
}

impl House {
    async fn start() -> Self {
        let emulator = start(Config { alerts: Some(200), tenants: 1, ..Config::default() }).await.unwrap();
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { emulator, http }
    }

    async fn token(&self, path: &str, app: (&str, &str), what: (&str, &str)) -> Value {
        let tenant = &self.emulator.tenants()[0].id;
        let url = format!("{}/{tenant}/{path}", self.emulator.base_url());
        let form =
            [("grant_type", "client_credentials"), ("client_id", app.0), ("client_secret", app.1), what];
        let answer = self.http.post(url).form(&form).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn get(&self, host: &str, path: &str, token: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.emulator.base_url());
        let answer = self.http.get(url).header("Host", host).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }
}

/// The partner page names three audiences for one API; each call below is one of its tokens.
#[tokio::test]
async fn tokens_permissions_and_hosts() {
    let house = House::start().await;
    let (id, secret) = (house.emulator.app_id().to_owned(), house.emulator.secret().to_owned());
    let app = (id.as_str(), secret.as_str());
    let v1 = ("oauth2/token", "resource");
    let v2 = ("oauth2/v2.0/token", "scope");
    let xdr = "https://api.security.microsoft.com";
    let endpoint = "https://api.securitycenter.microsoft.com";
    let text = |token: Value| token["access_token"].as_str().unwrap_or_default().to_owned();
    for (host, path, audience) in [
        ("api.security.microsoft.com", XDR, xdr),
        ("eu.api.security.microsoft.com", XDR, xdr),
        ("api-gcc.security.microsoft.us", "/api/v1.0/incidents", xdr),
        ("api.securitycenter.microsoft.com", ENDPOINT, endpoint),
        ("us.api.security.microsoft.com", ENDPOINT, endpoint),
        ("localhost", ENDPOINT, endpoint),
    ] {
        for token in [
            house.token(v1.0, app, (v1.1, audience)).await,
            house.token(v2.0, app, (v2.1, &format!("{audience}/.default"))).await,
        ] {
            let (status, page) = house.get(host, path, &text(token)).await;
            assert_eq!(status, 200, "{host}{path}: {page}");
            assert!(!page["value"].as_array().unwrap().is_empty());
        }
    }
    let graph = text(house.token(v1.0, app, (v1.1, "https://graph.microsoft.com")).await);
    let own = text(house.token(v1.0, app, (v1.1, endpoint)).await);
    let (status, error) = house.get("api.security.microsoft.com", XDR, &graph).await;
    assert_eq!((status, error["error"]["code"].as_str()), (401, Some("Unauthorized")));
    // The audience is one of those that Microsoft's pages name; the permission is not in it.
    let (status, error) = house.get("api.security.microsoft.com", XDR, &own).await;
    assert_eq!((status, error["error"]["code"].as_str()), (403, Some("Forbidden")));
    assert_eq!(house.get("api.securitycenter.microsoft.com", XDR, &own).await.0, 404, "not at this host");
    assert_eq!(house.get("graph.microsoft.com", ENDPOINT, &own).await.0, 404);

    // The SIEM feed takes tokens for Azure AD Graph at its own hosts, and at any other name by the token.
    let feed = text(house.token(v1.0, app, (v1.1, "https://graph.windows.net")).await);
    for host in [
        "wdatp-alertexporter-eu.windows.com",
        "wdatp-alertexporter-us.securitycenter.windows.com",
        "localhost",
    ] {
        let (status, page) = house.get(host, "/api/alerts?ago=P30D", &feed).await;
        assert!(status == 200 && !page.as_array().unwrap().is_empty(), "{host}: {status} {page}");
    }
    assert_eq!(house.get("localhost", "/api/alerts/", &feed).await.0, 200, "as connectors ask");
    let (status, _) = house.get("wdatp-alertexporter-eu.windows.com", ENDPOINT, &own).await;
    assert_eq!(status, 401, "a token of another API");
    assert_eq!(house.get("wdatp-alertexporter-eu.windows.com", XDR, &feed).await.0, 404);
    assert_eq!(house.get("api.securitycenter.microsoft.com", ENDPOINT, &feed).await.0, 401);

    let registration = AppRegistration {
        name: "less".to_owned(),
        multitenant: true,
        secret: Some("secret-of-less".to_owned()),
        roles: vec![format!("{xdr}/AdvancedHunting.Read.All")],
        ..AppRegistration::default()
    };
    let less = house.emulator.register_app(registration).unwrap();
    let tenant = house.emulator.tenants()[0].id.clone();
    let consent = muster_emulator::DirectoryChange::Consent { tenant, app: Some(less.clone()) };
    house.emulator.change(consent).unwrap();
    let token = text(house.token(v1.0, (&less, "secret-of-less"), (v1.1, xdr)).await);
    let (status, error) = house.get("api.security.microsoft.com", XDR, &token).await;
    assert_eq!(status, 403);
    assert!(error["error"]["message"].as_str().unwrap().contains("Incident.Read.All"), "{error}");
    house.emulator.stop().await;
}
