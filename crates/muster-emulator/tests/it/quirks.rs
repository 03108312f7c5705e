//! Every quirk and fault of Graph's lists, seen from outside through the entry without sockets, on a clock that is moved
//! by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_emulator::{
    Area, Clock, Fault, FaultKind, GraphAnswer, GraphApi, GraphConfig, GraphRequest, ManualClock, Transport,
    WorldChange, random_faults,
};
use serde_json::Value;

const ALERTS: &str = "/v1.0/security/alerts_v2";
const INCIDENTS: &str = "/v1.0/security/incidents";
const ORDERED: &str = "$orderby=lastUpdateDateTime asc";

/// One tenant whose alerts can be asked for.
struct Desk {
    api: GraphApi,
    clock: Arc<ManualClock>,
    tenant: String,
}

impl Desk {
    fn with(alerts: u64) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-21T08:00:00Z".parse().unwrap()));
        let config = GraphConfig {
            tenants: 1,
            alerts,
            strict: false,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..GraphConfig::default()
        };
        let api = GraphApi::new(&config);
        let tenant = api.tenants()[0].id.clone();
        Self { api, clock, tenant }
    }

    fn quirk(self, kind: FaultKind) -> Self {
        self.api.add_fault(Fault::new(Area::Graph, kind)).unwrap();
        self
    }

    fn get(&self, path: &str, query: &str) -> GraphAnswer {
        self.get_with(path, query, &[])
    }

    fn get_with(&self, path: &str, query: &str, headers: &[(&str, &str)]) -> GraphAnswer {
        self.api.answer(&GraphRequest {
            method: "GET",
            path,
            query,
            headers,
            tenant: &self.tenant,
            body: &[],
        })
    }

    /// All pages of a list, following links. No list here has more than a thousand.
    fn pages(&self, path: &str, query: &str) -> Vec<Value> {
        let mut pages = Vec::new();
        let mut query = query.to_owned();
        while pages.len() < 1000 {
            let answer = self.get(path, &query);
            assert_eq!(answer.status, 200, "{}", text(&answer));
            let page = json(&answer);
            let link = page["@odata.nextLink"].as_str().map(str::to_owned);
            pages.push(page);
            match link {
                Some(link) => query = link.split_once('?').unwrap().1.to_owned(),
                None => return pages,
            }
        }
        panic!("the list has no end");
    }

    fn change(&self, change: WorldChange) -> Vec<String> {
        self.api.change(&change).unwrap()
    }

    fn add(&self, count: u32) -> Vec<String> {
        self.change(WorldChange::AddAlerts { tenant: self.tenant.clone(), count, title: None, at: None })
    }

    fn add_incident(&self, alerts: u32) -> String {
        self.change(WorldChange::AddIncident { tenant: self.tenant.clone(), alerts }).remove(0)
    }
}

fn json(answer: &GraphAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", text(answer)))
}

fn text(answer: &GraphAnswer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn records(page: &Value) -> Vec<Value> {
    page["value"].as_array().unwrap().clone()
}

fn ids(pages: &[Value]) -> Vec<String> {
    pages.iter().flat_map(records).map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

fn updates(pages: &[Value]) -> Vec<String> {
    let updated = |record: Value| record["lastUpdateDateTime"].as_str().unwrap().to_owned();
    pages.iter().flat_map(records).map(updated).collect()
}

fn link(answer: &GraphAnswer) -> Option<String> {
    json(answer)["@odata.nextLink"].as_str().map(str::to_owned)
}

// Order.

#[test]
fn orderby_is_honoured_ignored_or_refused() {
    let sorted = |pages: &[Value]| updates(pages).is_sorted();
    assert!(sorted(&Desk::with(60).pages(ALERTS, &format!("{ORDERED}&$top=20"))));
    let ignored = Desk::with(60).quirk(FaultKind::IgnoreOrderby);
    assert!(!sorted(&ignored.pages(ALERTS, &format!("{ORDERED}&$top=20"))));
    let refused = Desk::with(60).quirk(FaultKind::RefuseOrderby).get(ALERTS, ORDERED);
    assert!(refused.status == 400 && text(&refused).contains("orderby"));
}

#[test]
fn one_page_ascends_by_luck_and_the_whole_does_not() {
    let desk = Desk::with(60).quirk(FaultKind::ShuffledOrder { ascending_pages: 1 });
    let pages = desk.pages(ALERTS, &format!("{ORDERED}&$top=20"));
    assert!(updates(&pages[..1]).is_sorted() && !updates(&pages).is_sorted());
    assert_eq!(ids(&pages).iter().collect::<BTreeSet<_>>().len(), 60, "nothing is left out or doubled");
}

// Caps, filters, counts.

#[test]
fn skip_and_top_have_caps() {
    let desk = Desk::with(60).quirk(FaultKind::SkipLimit { most: 500 });
    assert_eq!(desk.get(ALERTS, "$skip=500").status, 200);
    assert_eq!(desk.get(ALERTS, "$skip=501").status, 400);
    let refused = Desk::with(60).quirk(FaultKind::TopLimit { most: 10, clamp: false }).get(ALERTS, "$top=11");
    assert!(refused.status == 400 && text(&refused).contains("limit of '10' for Top"));
    let clamped = Desk::with(60).quirk(FaultKind::TopLimit { most: 10, clamp: true }).get(ALERTS, "$top=11");
    assert_eq!((records(&json(&clamped)).len(), link(&clamped)), (10, None));
    assert_eq!(Desk::with(60).get(INCIDENTS, "$top=51").status, 400);
}

#[test]
fn a_strict_service_keeps_to_microsofts_caps() {
    let clock = Arc::new(ManualClock::new("2026-11-21T08:00:00Z".parse().unwrap()));
    let api = GraphApi::new(&GraphConfig { tenants: 1, alerts: 1100, clock, ..GraphConfig::default() });
    let tenant = api.tenants()[0].id.clone();
    api.clear_faults();
    let get = |path, query| {
        api.answer(&GraphRequest { method: "GET", path, query, headers: &[], tenant: &tenant, body: &[] })
    };
    assert_eq!((get(ALERTS, "$skip=500").status, get(ALERTS, "$skip=501").status), (200, 400));
    let most = get(ALERTS, "$top=1001");
    assert_eq!((records(&json(&most)).len(), link(&most)), (1000, None));
    assert!(link(&get(ALERTS, "$top=1000")).unwrap().contains("$skiptoken="));
    let incidents = get(INCIDENTS, "$top=51");
    assert_eq!((records(&json(&incidents)).len(), link(&incidents)), (50, None));
}

#[test]
fn windows_and_other_fields_are_filtered_and_counted() {
    let desk = Desk::with(60);
    let all = desk.pages(ALERTS, ORDERED);
    let times = updates(&all);
    let (from, to) = (&times[10], &times[20]);
    let within = |filter: &str| updates(&desk.pages(ALERTS, &format!("$filter={filter}"))).len();
    let between = |low: &dyn Fn(&String) -> bool| times.iter().filter(|time| low(time)).count();
    let window = format!("lastUpdateDateTime ge {from} and lastUpdateDateTime lt {to}");
    assert_eq!(within(&window), between(&|time| time >= from && time < to));
    assert_eq!(within(&format!("lastUpdateDateTime le {to}")), between(&|time| time <= to));
    assert_eq!(within(&format!("lastUpdateDateTime eq {to}")), between(&|time| time == to));
    let severities = ["informational", "low", "medium", "high"];
    let sum: usize = severities.iter().map(|name| within(&format!("severity eq '{name}'"))).sum();
    assert_eq!(sum, 60);
    let rest =
        format!("{window} and not (severity eq 'high' or serviceSource eq 'microsoftDefenderForEndpoint')");
    assert!(within(&rest) < within(&window));
    let counted = json(&desk.get(ALERTS, &format!("$filter={window}&$count=true&$top=1")));
    assert_eq!(counted["@odata.count"], within(&window));
}

#[test]
fn properties_operators_and_counts_are_refused() {
    for (word, query) in [
        ("lt", "$filter=lastUpdateDateTime lt 2026-01-01T00:00:00Z"),
        ("createdDateTime", "$filter=createdDateTime ge 2026-01-01T00:00:00Z"),
        ("count", "$count=true"),
    ] {
        let desk = Desk::with(1);
        assert_eq!(desk.get(ALERTS, query).status, 200, "{word}");
        assert_eq!(
            desk.quirk(FaultKind::RefuseFilter { word: word.to_owned() }).get(ALERTS, query).status,
            400
        );
    }
    assert_eq!(Desk::with(1).get(ALERTS, "$filter=investigationState eq 'running'").status, 400);
}

// Links and pages.

#[test]
fn links_are_opaque_and_lead_through_small_ragged_and_empty_pages() {
    let desk = Desk::with(60)
        .quirk(FaultKind::SkipToken)
        .quirk(FaultKind::SkipLimit { most: 5 })
        .quirk(FaultKind::SmallPages { most: 7, ragged: true })
        .quirk(FaultKind::EmptyPages { pages: 3 });
    let first = desk.get(ALERTS, "$top=50");
    assert!(records(&json(&first)).is_empty() && link(&first).unwrap().contains("$skiptoken="));
    let pages = desk.pages(ALERTS, "$top=50");
    assert_eq!(ids(&pages).iter().collect::<BTreeSet<_>>().len(), 60);
    let sizes: Vec<usize> = pages.iter().map(|page| records(page).len()).filter(|size| *size > 0).collect();
    assert!(
        sizes.iter().all(|size| *size <= 7) && sizes.iter().collect::<BTreeSet<_>>().len() > 1,
        "{sizes:?}"
    );
    assert_eq!(pages.len(), sizes.len() * 4, "three empty pages before each");
    assert_eq!(desk.get(ALERTS, "$skiptoken=made-up").status, 400);
}

#[test]
fn a_link_on_the_last_page_leads_to_an_empty_one() {
    let desk = Desk::with(60).quirk(FaultKind::LinkOnLastPage);
    let pages = desk.pages(ALERTS, "$top=20");
    let sizes: Vec<usize> = pages.iter().map(|page| records(page).len()).collect();
    assert_eq!(sizes, [20, 20, 20, 0]);
}

#[test]
fn links_are_missing_loop_or_lead_elsewhere() {
    let with = |kind| link(&Desk::with(60).quirk(kind).get(ALERTS, "$top=20"));
    assert_eq!(with(FaultKind::MissingNextLink), None);
    assert!(with(FaultKind::NextLinkLoop).unwrap().ends_with("$skip=0"));
    let elsewhere = FaultKind::NextLinkElsewhere { origin: "https://evil.example".to_owned() };
    assert!(with(elsewhere).unwrap().starts_with("https://evil.example/v1.0/"));
}

// Records in time.

#[test]
fn versions_become_visible_late_and_the_truth_says_when() {
    let late = FaultKind::LateVisibility { from_seconds: 3600, to_seconds: 7200, one_version_in: 1 };
    let desk = Desk::with(0).quirk(late);
    let id = desk.add(1).remove(0);
    let seen = |desk: &Desk| ids(&desk.pages(ALERTS, "")).contains(&id);
    assert!(!seen(&desk));
    let version = desk.api.truth().into_iter().find(|version| version.id == id).unwrap();
    let delay = version.visible_from.duration_since(version.made_at).as_secs();
    assert!((3600..=7200).contains(&delay), "{delay}");
    desk.clock.set(version.visible_from - Duration::from_millis(1));
    assert!(!seen(&desk) && !version.was_visible_by(desk.clock.now()));
    desk.clock.set(version.visible_from);
    assert!(seen(&desk) && version.is_visible_at(desk.clock.now()));
}

#[test]
fn a_version_that_is_overtaken_before_it_is_visible_is_never_seen() {
    let late = FaultKind::LateVisibility { from_seconds: 0, to_seconds: 36_000, one_version_in: 1 };
    let desk = Desk::with(0).quirk(late);
    desk.add(30);
    for _ in 0..40 {
        desk.clock.advance(Duration::from_secs(60));
        desk.change(WorldChange::UpdateSome { tenant: desk.tenant.clone(), count: 5 });
    }
    let (mut met, mut versions) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..700 {
        for page in desk.pages(ALERTS, "$top=100") {
            for record in records(&page) {
                met.insert((record["id"].to_string(), record["lastUpdateDateTime"].to_string()));
            }
        }
        desk.clock.advance(Duration::from_secs(60));
    }
    let now = desk.clock.now();
    let truth = desk.api.truth();
    for version in
        truth.iter().filter(|version| version.kind == muster_emulator::receivers::RecordKind::Alert)
    {
        let key = (format!("\"{}\"", version.id), format!("\"{}\"", version.updated));
        if version.was_visible_by(now) {
            versions.insert(key);
        } else {
            assert!(!met.contains(&key), "never visible, and seen: {version:?}");
        }
    }
    // A version that is visible for less than a minute may be missed by somebody who looks once a minute.
    assert!(met.is_subset(&versions), "what is seen is in the log of truth");
    let newest = truth.iter().filter(|version| version.newest).count();
    assert!(newest >= 30 && versions.len() > newest / 2);
}

#[test]
fn records_change_while_they_are_paged() {
    let desk = Desk::with(60).quirk(FaultKind::UpdateWhilePaged { alerts: 2 });
    let before = desk.api.truth().len();
    desk.clock.advance(Duration::from_secs(60));
    desk.pages(ALERTS, &format!("{ORDERED}&$top=20"));
    assert!(desk.api.truth().len() > before + 4);
}

#[test]
fn more_records_than_a_page_share_one_update_time() {
    let desk = Desk::with(0);
    let at = "2026-11-21T07:59:59.5000000Z";
    let change = WorldChange::AddAlerts {
        tenant: desk.tenant.clone(),
        count: 250,
        title: None,
        at: Some(at.to_owned()),
    };
    desk.change(change);
    let pages = desk.pages(ALERTS, &format!("{ORDERED}&$top=100"));
    assert_eq!(updates(&pages).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([at.to_owned()]));
    assert_eq!(ids(&pages).len(), 250);
}

#[test]
fn an_update_keeps_its_time_and_has_other_content() {
    let desk = Desk::with(0);
    let id = desk.add(1).remove(0);
    let read = || json(&desk.get(&format!("{ALERTS}/{id}"), ""));
    let before = read();
    desk.clock.advance(Duration::from_secs(60));
    desk.change(WorldChange::UpdateAlert { tenant: desk.tenant.clone(), id: id.clone(), same_time: true });
    let after = read();
    assert_eq!(before["lastUpdateDateTime"], after["lastUpdateDateTime"]);
    assert_ne!(before, after);
    let truth = desk.api.truth();
    let place = truth.iter().rposition(|version| version.id == id).unwrap();
    assert_eq!((truth[place].what, truth[place].version), ("rewritten", 2));
    let body: Value = serde_json::from_slice(&desk.api.truth_body(place).unwrap()).unwrap();
    assert_eq!(body["status"], after["status"]);
}

#[test]
fn a_gateway_writes_json_anew() {
    let desk = Desk::with(3);
    let before = desk.get(ALERTS, "");
    let desk = desk.quirk(FaultKind::Rewritten);
    let after = desk.get(ALERTS, "");
    assert_ne!(before.body, after.body);
    assert_eq!(json(&before), json(&after));
}

// Incidents.

#[test]
fn an_incident_is_merged_into_another() {
    let desk = Desk::with(0);
    let (from, into) = (desk.add_incident(3), desk.add_incident(2));
    desk.clock.advance(Duration::from_secs(60));
    let change =
        WorldChange::MergeIncidents { tenant: desk.tenant.clone(), from: from.clone(), into: into.clone() };
    desk.change(change);
    let read = |id: &str| json(&desk.get(&format!("{INCIDENTS}/{id}"), "$expand=alerts"));
    let (ended, goes_on) = (read(&from), read(&into));
    assert_eq!(
        (&ended["status"], &ended["redirectIncidentId"]),
        (&"redirected".into(), &into.clone().into())
    );
    assert_eq!(ended["alerts"].as_array().unwrap().len(), 0);
    assert_eq!(goes_on["alerts"].as_array().unwrap().len(), 5);
    assert!(goes_on["alerts"].as_array().unwrap().iter().all(|alert| alert["incidentId"] == into.as_str()));
    let what: Vec<&str> =
        desk.api.truth().iter().filter(|version| version.newest).map(|version| version.what).collect();
    assert_eq!(what.iter().filter(|what| **what == "moved").count(), 3);
    assert_eq!(what.iter().filter(|what| **what == "merged").count(), 1);
}

#[test]
fn an_alert_moves_to_another_incident() {
    let desk = Desk::with(0);
    let (from, into) = (desk.add_incident(2), desk.add_incident(1));
    let members = |id: &str| ids(&[json(&desk.get(&format!("{INCIDENTS}/{id}/alerts"), ""))]);
    let alert = members(&from).remove(0);
    desk.change(WorldChange::MoveAlert {
        tenant: desk.tenant.clone(),
        alert: alert.clone(),
        into: into.clone(),
    });
    assert!(members(&into).contains(&alert) && !members(&from).contains(&alert));
}

#[test]
fn incidents_hold_hundreds_and_thousands_of_alerts() {
    let desk = Desk::with(0);
    for alerts in [400, 3000] {
        let id = desk.add_incident(alerts);
        let incident = json(&desk.get(&format!("{INCIDENTS}/{id}"), "$expand=alerts"));
        assert_eq!(incident["alerts"].as_array().unwrap().len(), alerts as usize);
    }
    let versions = desk.api.truth().into_iter().filter(|version| version.id.parse::<u64>().is_ok()).count();
    assert_eq!(versions, 2, "an incident appears once, with all its alerts");
}

#[test]
fn expand_fails_on_large_incidents() {
    for status in [500, 504, 400, 206] {
        let desk = Desk::with(0).quirk(FaultKind::RefuseExpand { status, above: 3 });
        desk.add_incident(2);
        let expanded = "$expand=alerts";
        assert_eq!(desk.get(INCIDENTS, expanded).status, 200, "two alerts are not too many");
        desk.add_incident(4);
        let answer = desk.get(INCIDENTS, expanded);
        assert_eq!(answer.status, status);
        assert_eq!(desk.get(INCIDENTS, "").status, 200);
        if status == 206 {
            assert!(answer.header("warning").unwrap().starts_with("199 - \"Microsoft/"));
            assert_eq!(
                records(&json(&answer))
                    .iter()
                    .filter(|record| record["alerts"] == Value::Array(vec![]))
                    .count(),
                1
            );
        }
    }
}

#[test]
fn a_single_record_is_answered_with_500() {
    let desk = Desk::with(60);
    let id = ids(&desk.pages(ALERTS, ""))[30].clone();
    let desk = desk.quirk(FaultKind::Poisoned { id: Some(id.clone()), one_record_in: 0 });
    let failing = (0..60).filter(|skip| desk.get(ALERTS, &format!("$top=1&$skip={skip}")).status == 500);
    assert_eq!(failing.collect::<Vec<_>>(), [30]);
    assert_eq!(desk.get(ALERTS, "$top=60").status, 500);
    assert_eq!(desk.get(&format!("{ALERTS}/{id}"), "").status, 500);
}

#[test]
fn unknown_enum_members_are_hidden_unless_asked_for() {
    let desk = Desk::with(300);
    let count = |headers: &[(&str, &str)]| {
        text(&desk.get_with(ALERTS, "$top=300", headers)).matches("unknownFutureValue").count()
    };
    assert!(count(&[]) > 20);
    assert_eq!(count(&[("Prefer", "include-unknown-enum-members")]), 0);
}

// Answers that are not whole, or say other things than they mean.

#[test]
fn a_product_does_not_answer() {
    let desk = Desk::with(60);
    let sources = records(&json(&desk.get(ALERTS, "$top=60")));
    let known = |source: &&str| *source != "unknownFutureValue";
    let provider = sources.iter().filter_map(|record| record["serviceSource"].as_str()).find(known).unwrap();
    let desk = desk.quirk(FaultKind::Partial { provider: provider.to_owned() });
    let answer = desk.get(ALERTS, "$top=60");
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("warning").unwrap(), format!("199 - \"Microsoft/{provider}/504/10000\""));
    let left = records(&json(&answer));
    let of_provider = sources.iter().filter(|record| record["serviceSource"] == provider).count();
    assert_eq!(left.len(), 60 - of_provider);
    assert!(left.iter().all(|record| record["serviceSource"] != provider));
}

#[test]
fn other_warnings_mean_nothing() {
    for code in [110, 299] {
        let desk = Desk::with(5).quirk(FaultKind::Warning { code, text: "stale".to_owned() });
        let answer = desk.get(ALERTS, "");
        assert_eq!((answer.status, records(&json(&answer)).len()), (200, 5));
        assert_eq!(answer.header("warning").unwrap(), format!("{code} - \"stale\""));
    }
}

#[test]
fn the_date_is_wrong_malformed_or_missing() {
    let date = |seconds, text: Option<&str>| {
        let kind = FaultKind::DateHeader { seconds, text: text.map(str::to_owned) };
        Desk::with(1).quirk(kind).get(ALERTS, "").header("date").map(str::to_owned)
    };
    assert_eq!(Desk::with(1).get(ALERTS, "").header("date"), Some("Sat, 21 Nov 2026 08:00:00 GMT"));
    assert_eq!(date(-20 * 365 * 86_400, None).unwrap(), "Sun, 26 Nov 2006 08:00:00 GMT");
    assert_eq!(date(20 * 365 * 86_400, None).unwrap(), "Fri, 16 Nov 2046 08:00:00 GMT");
    assert_eq!(date(0, Some("yesterday")).unwrap(), "yesterday");
    assert_eq!(date(0, None), None);
}

#[test]
fn throttling_says_when_in_many_ways() {
    for retry_after in
        [Some("5"), Some("0"), Some("-1"), Some("soon"), Some("Sat, 21 Nov 2026 08:01:00 GMT"), None]
    {
        let kind = FaultKind::ThrottleWith { retry_after: retry_after.map(str::to_owned) };
        let answer = Desk::with(1).quirk(kind).get(ALERTS, "");
        assert_eq!((answer.status, answer.header("retry-after")), (429, retry_after));
        assert_eq!(json(&answer)["error"]["code"], "TooManyRequests");
    }
}

#[test]
fn refusals_have_any_status_code_and_body() {
    let desk = Desk::with(1).quirk(FaultKind::Unauthorized { challenge: true });
    let answer = desk.get(ALERTS, "");
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").unwrap().contains("error=\"insufficient_claims\", claims=\""));
    let error =
        FaultKind::Error { status: 404, code: "TenantDeploymentNotFound".to_owned(), message: String::new() };
    let answer = Desk::with(1).quirk(error).get(ALERTS, "");
    assert_eq!((answer.status, &json(&answer)["error"]["code"]), (404, &"TenantDeploymentNotFound".into()));
    for status in [403, 500, 502, 503, 504] {
        assert_eq!(Desk::with(1).quirk(FaultKind::Status { status }).get(ALERTS, "").status, status);
        let page = Desk::with(1).quirk(FaultKind::HtmlStatus { status }).get(ALERTS, "");
        assert!(page.status == status && text(&page).starts_with("<!DOCTYPE html>"));
    }
    let removed = FaultKind::RemoveRole { role: "SecurityAlert.Read.All".to_owned() };
    assert_eq!(Desk::with(1).quirk(removed).get(ALERTS, "").status, 403);
    assert_eq!(Desk::with(1).quirk(FaultKind::RevokeTenant { code: None }).get(ALERTS, "").status, 401);
}

#[test]
fn answers_travel_badly() {
    let with = |kind| Desk::with(5).quirk(kind).get(ALERTS, "");
    assert_eq!(with(FaultKind::Reset).arrived(), None);
    assert_eq!(with(FaultKind::Stall { after_bytes: None }).transport, Transport::Silence);
    assert_eq!(with(FaultKind::Stall { after_bytes: Some(9) }).arrived().unwrap().len(), 9);
    assert_eq!(with(FaultKind::Cut { after_bytes: 7 }).arrived().unwrap().len(), 7);
    assert_eq!(with(FaultKind::Slow { milliseconds: 9 }).transport, Transport::Late { milliseconds: 9 });
    let drops = Transport::Trickle { bytes_per_second: 1 };
    assert_eq!(with(FaultKind::Trickle { bytes_per_second: 1 }).transport, drops);
    assert_eq!(with(FaultKind::WithoutLength).transport, Transport::WithoutLength);
    assert_eq!(with(FaultKind::EmptyBody).body.len(), 0);
    let moved = with(FaultKind::Redirect { location: "https://evil.example/".to_owned() });
    assert_eq!((moved.status, moved.header("location")), (302, Some("https://evil.example/")));
}

#[test]
fn bodies_have_flaws() {
    let with = |kind| Desk::with(5).quirk(kind).get(ALERTS, "");
    assert!(with(FaultKind::ByteOrderMark).body.starts_with(&[0xef, 0xbb, 0xbf, b'{']));
    let control = with(FaultKind::ControlCharacter);
    assert!(control.body.contains(&1) && serde_json::from_slice::<Value>(&control.body).is_err());
    let torn = with(FaultKind::Truncate);
    assert!(torn.status == 200 && serde_json::from_slice::<Value>(&torn.body).is_err());
    let unreadable = with(FaultKind::UnreadableRecord { place: 2 });
    assert_eq!(text(&unreadable).matches("\"id\":\"unreadable\",,").count(), 1);
    assert_eq!(text(&unreadable).matches("\"providerAlertId\"").count(), 4);
    let junk = with(FaultKind::JunkItems { items: 300_000, different: false });
    assert!(records(&json(&junk)).len() == 300_005 && junk.body.len() < 2_500_000, "{}", junk.body.len());
    let bomb = with(FaultKind::Bomb { megabytes: 50 });
    assert!(bomb.header("content-encoding") == Some("gzip") && bomb.body.len() < 200_000);
}

#[test]
fn records_are_odd() {
    let desk = Desk::with(0);
    desk.change(WorldChange::AddOddIds { tenant: desk.tenant.clone() });
    let odd = records(&json(&desk.get(ALERTS, "")));
    let ids: Vec<Value> = odd.iter().map(|record| record["id"].clone()).collect();
    assert!(ids.contains(&Value::Null) && ids.contains(&42.into()), "{ids:?}");
    assert!(ids.iter().filter_map(Value::as_str).any(|id| id.len() == 1 << 20));
    let lower: BTreeMap<String, usize> =
        ids.iter().filter_map(Value::as_str).fold(BTreeMap::new(), |mut map, id| {
            *map.entry(id.to_lowercase()).or_default() += 1;
            map
        });
    assert!(lower.values().any(|count| *count == 2), "two ids differ in case only");
    let desk = Desk::with(0);
    desk.change(WorldChange::AddOddTimes { tenant: desk.tenant.clone() });
    let times = updates(&desk.pages(ALERTS, ORDERED));
    assert!(
        times[0].starts_with("0001-01-01")
            && times[1].starts_with("2026-11-22")
            && times[2].starts_with("9999")
    );
    let desk = Desk::with(2);
    desk.change(WorldChange::AddHugeAlert { tenant: desk.tenant.clone(), megabytes: 50 });
    assert!(desk.get(ALERTS, "").body.len() > 50 << 20);
    let desk = Desk::with(0);
    desk.change(WorldChange::AddAbsurdIncident { tenant: desk.tenant.clone(), empty_alerts: 1000 });
    let incident = records(&json(&desk.get(INCIDENTS, ""))).remove(0);
    assert_eq!(incident["alerts"].as_array().unwrap().len(), 1000);
}

// When faults strike.

#[test]
fn faults_keep_to_a_schedule_a_tenant_and_chance() {
    let desk = Desk::with(1);
    let fault = Fault::new(Area::GraphAlerts, FaultKind::Html).during(60, 30).every(600);
    desk.api.add_fault(fault.for_tenant(&desk.tenant)).unwrap();
    let html = |desk: &Desk| text(&desk.get(ALERTS, "")).contains("html");
    let mut seen = Vec::new();
    for _ in 0..80 {
        seen.push(html(&desk));
        desk.clock.advance(Duration::from_secs(10));
    }
    let struck: Vec<usize> = seen.iter().enumerate().filter(|pair| *pair.1).map(|pair| pair.0 * 10).collect();
    assert_eq!(struck, [60, 70, 80, 660, 670, 680]);
    assert!(!text(&desk.get(INCIDENTS, "")).contains("html"), "another area");

    let desk = Desk::with(1);
    desk.api.add_fault(Fault::new(Area::Graph, FaultKind::Reset).one_in(4)).unwrap();
    let struck = (0..400).filter(|_| desk.get(ALERTS, "").arrived().is_none()).count();
    assert!((60..140).contains(&struck), "{struck}");
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed: u64| {
        let desk = Desk::with(40);
        for fault in random_faults(seed) {
            desk.api.add_fault(fault.for_tenant(&desk.tenant)).unwrap();
        }
        let mut answers = Vec::new();
        for step in 0..60 {
            desk.clock.advance(Duration::from_secs(120));
            if step % 5 == 0 {
                desk.add(2);
                desk.change(WorldChange::UpdateSome { tenant: desk.tenant.clone(), count: 3 });
            }
            let answer = desk.get(ALERTS, &format!("{ORDERED}&$top=10"));
            answers.push((answer.status, answer.body, answer.transport));
        }
        (answers, desk.api.truth().len())
    };
    assert!(history(11) == history(11));
    assert!((0..5).map(history).collect::<Vec<_>>().windows(2).any(|pair| pair[0] != pair[1]));
}

/// How cheap a history is: `cargo test -p muster-emulator --test it a_history -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_history_is_cheap() {
    let (began, mut answers, mut bytes) = (tokio::time::Instant::now(), 0u32, 0usize);
    for seed in 0..200 {
        let clock = Arc::new(ManualClock::new("2026-11-21T08:00:00Z".parse().unwrap()));
        let clocked = Arc::clone(&clock) as Arc<dyn Clock>;
        let config = GraphConfig { tenants: 1, seed, alerts: 50, clock: clocked, ..GraphConfig::default() };
        let api = GraphApi::new(&config);
        let tenant = api.tenants()[0].id.clone();
        for fault in random_faults(seed) {
            api.add_fault(fault).unwrap();
        }
        for _ in 0..100 {
            clock.advance(Duration::from_secs(60));
            api.change(&WorldChange::UpdateSome { tenant: tenant.clone(), count: 1 }).unwrap();
            for path in [ALERTS, INCIDENTS] {
                let query = "$orderby=lastUpdateDateTime asc&$top=20";
                let answer = api.answer(&GraphRequest {
                    method: "GET",
                    path,
                    query,
                    headers: &[],
                    tenant: &tenant,
                    body: &[],
                });
                (answers, bytes) = (answers + 1, bytes + answer.body.len());
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{answers} answers of {bytes} bytes in {seconds:.2} s: {:.0} a second",
        f64::from(answers) / seconds
    );
}
