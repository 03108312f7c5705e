//! Every recorded payload of a shape that a source reads: its records are taken out of it as a source takes them, and each
//! is written in every format without loss. `docs/formats/payloads.md` is what comes out, file by file: `cargo test -p
//! muster-siem payloads -- --nocapture` prints it, `… payloads -- --ignored` writes it there.
//!
//! The payloads lie beside the checkout (`../shared/corpus`). What lies there and is no such payload stands in
//! [`NO_PAYLOADS`] with the reason, so that a new file is not passed over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_model::RecordKind::{
    self, EndpointAlert, GraphAlert, GraphIncident, HuntingRow, SiemDetection, XdrIncident,
};
use muster_model::page::{List, split};
use serde_json::Value;

use crate::corpus::corpus;
use crate::coverage::lost;

/// How the records stand in a file.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// An answer of an API with its records in this list.
    Page(&'static str),
    /// An answer that is the list of its records.
    Bare,
    /// One record, or one a line.
    Records,
    /// One record a line, or in each item of a list, in this field, and that perhaps as a text.
    In(&'static str),
    /// Answers of an emulated API, with pages in `body` or `response_body`.
    Answers,
}
use Shape::{Answers, Bare, In, Page, Records};

const VALUE: Shape = Page("value");

/// What is read: a file, folder or the beginning of a name, its kind of record, how they stand in it, and how many there
/// are.
const PAYLOADS: &[(&str, RecordKind, Shape, usize)] = &[
    ("demisto-content/graph/incidents_list_response.json", GraphIncident, VALUE, 2),
    ("demisto-content/mde", EndpointAlert, VALUE, 6),
    ("elastic-integrations/m365_defender/alert/sample_event.json", GraphAlert, In("event.original"), 1),
    ("elastic-integrations/m365_defender/alert/test-alert.log", GraphAlert, Records, 1),
    ("elastic-integrations/m365_defender/event", HuntingRow, Records, 48),
    ("elastic-integrations/m365_defender/incident/sample_event.json", GraphIncident, In("event.original"), 1),
    ("elastic-integrations/m365_defender/incident/test-incident.log", GraphIncident, Records, 7),
    ("elastic-integrations/m365_defender/log/sample_event.json", XdrIncident, In("event.original"), 1),
    ("elastic-integrations/m365_defender/log/test-m365-defender-empty-ndjson.log", XdrIncident, Records, 1),
    ("elastic-integrations/m365_defender/log/test-m365-defender-ndjson.log", XdrIncident, Records, 6),
    ("elastic-integrations/m365_defender/mock/alert-http-mock-config.json", GraphAlert, Answers, 3),
    ("elastic-integrations/m365_defender/mock/incident-http-mock-config.json", GraphIncident, Answers, 1),
    ("elastic-integrations/m365_defender/mock/log-http-mock-config.json", XdrIncident, Answers, 4),
    ("elastic-integrations/microsoft_defender_endpoint/log/test-defenderatp.log", EndpointAlert, Records, 4),
    ("elastic-integrations/microsoft_defender_endpoint/mock", EndpointAlert, Answers, 1),
    ("microsoft-365-docs/alerts-1.json", EndpointAlert, Records, 1),
    ("microsoft-365-docs/api-list-incidents-2.json", XdrIncident, VALUE, 3),
    ("microsoft-365-docs/get-alerts-4.json", EndpointAlert, VALUE, 1),
    ("microsoft-365-docs/pull-alerts-using-rest-api-4.json", SiemDetection, Bare, 1),
    ("microsoft-365-docs/run-advanced-query-api-3.json", HuntingRow, Page("Results"), 2),
    ("microsoft-docs/graph-alert-update-response.json", GraphAlert, Records, 1),
    ("microsoft-docs/graph-alerts_v2-list", GraphAlert, VALUE, 3),
    ("microsoft-docs/graph-incidents-list", GraphIncident, VALUE, 4),
    ("microsoft-docs/graph-runhuntingquery-response", HuntingRow, Page("results"), 6),
    ("microsoft-docs/legacy-siem-alerts.json", SiemDetection, Bare, 1),
    ("microsoft-docs/mde-advancedqueries-response.json", HuntingRow, Page("Results"), 2),
    ("microsoft-docs/mde-alert-single-with-evidence.json", EndpointAlert, Records, 1),
    ("microsoft-docs/mde-alerts-list", EndpointAlert, VALUE, 2),
    ("microsoft-docs/xdr-advancedhunting-response.json", HuntingRow, Page("Results"), 2),
    ("microsoft-docs/xdr-incident-update-response-captured.json", XdrIncident, Records, 1),
    ("microsoft-docs/xdr-incidents-list.json", XdrIncident, VALUE, 3),
    ("microsoft-graph-docs/runhuntingquery", HuntingRow, Page("results"), 4),
    ("otrf-security-datasets/Microsoft365DefenderEvents.ndjson", HuntingRow, Records, 6),
    ("panther-analysis/defender_detection_passthrough.json", HuntingRow, In("log"), 1),
    ("panther-analysis/microsoft_graph_passthrough.json", GraphAlert, In("log"), 3),
    ("rapid7-insightconnect/microsoft_atp/test_get_alerts.json", EndpointAlert, Records, 1),
    ("rapid7-insightconnect/microsoft_defender_hunting", HuntingRow, Page("Results"), 2),
    ("rapid7-insightconnect/microsoft_defender_incidents/test_get_incident.json", XdrIncident, Records, 1),
    ("rapid7-insightconnect/microsoft_defender_incidents/test_list_incidents.json", XdrIncident, VALUE, 1),
    ("sekoia-intake-formats/microsoft-365-defender", HuntingRow, In("input.message"), 55),
    ("stix-shifter/alertV2_respons.json", GraphAlert, Records, 1),
    ("stix-shifter/alert_v2.json", GraphAlert, VALUE, 1),
    ("tenzir-library/graph/defender-alerts.ndjson", GraphAlert, Records, 1),
    ("tenzir-library/graph/defender-incidents.ndjson", GraphIncident, Records, 1),
    ("wazuh/ms-graph.ndjson", GraphAlert, In("ms-graph"), 2),
];

/// What else lies there: a file or folder, or the beginning of a name, and why no source reads it.
const NO_PAYLOADS: &[(&str, &str)] = &[
    ("INDEX.md", "says what lies there"),
    (
        "demisto-content/graph/legacy_alerts_v1_response.json",
        "alerts of Graph's retired `/security/alerts`, which no source reads",
    ),
    ("ecs", "names of fields"),
    (
        "elastic-integrations/microsoft_defender_cloud",
        "Defender for Cloud's export by Event Hub, which is not collected",
    ),
    (
        "elastic-integrations/microsoft_defender_endpoint/log/sample_event.json",
        "an event without the record it was made of",
    ),
    ("microsoft-365-docs/api-update-incidents-2.json", "a request"),
    ("microsoft-365-docs/get-alert-related-machine-info-2.json", "a device, which is not collected"),
    ("microsoft-365-docs/pull-alerts-using-rest-api-1.json", "a token"),
    ("microsoft-docs-cef", "CEF of products that are not collected in that form"),
    ("microsoft-docs/INDEX.md", "says what lies there"),
    ("microsoft-docs/graph-alert-update-request.json", "a request"),
    ("microsoft-docs/graph-app", "answers about apps"),
    ("microsoft-docs/graph-error", "errors"),
    ("microsoft-docs/graph-federatedidentitycredential", "credentials"),
    ("microsoft-docs/graph-incident-update-request.json", "a request"),
    ("microsoft-docs/graph-oauth2permissiongrant", "a grant"),
    ("microsoft-docs/graph-runhuntingquery-request", "requests"),
    ("microsoft-docs/graph-security-v1-schema.json", "a schema"),
    ("microsoft-docs/graph-serviceprincipal", "an app"),
    ("microsoft-docs/identity", "tokens, keys and errors"),
    ("microsoft-docs/legacy-siem-token-response-v1.json", "a token"),
    ("microsoft-docs/mde-advancedqueries-request.json", "a request"),
    ("microsoft-docs/mde-alert-related-user.json", "a user, which is not collected"),
    ("microsoft-docs/mde-alert-update-request.json", "a request"),
    ("microsoft-docs/mde-alerts-batch-update-request.json", "a request"),
    ("microsoft-docs/mde-create-alert-by-reference-request.json", "a request"),
    ("microsoft-docs/mde-error", "errors"),
    ("microsoft-docs/mde-machine", "devices and what is done to them, which is not collected"),
    ("microsoft-docs/xdr-advancedhunting-request.json", "a request"),
    ("microsoft-docs/xdr-incident-update-request", "requests"),
    ("msgraph-metadata", "a schema"),
    ("ocsf-examples", "message traces, and products that are not Microsoft's"),
    ("ocsf-schema", "a schema"),
    ("rapid7-insightconnect/microsoft_atp/test_get_files_from_alert.json", "files, which are not collected"),
    (
        "rapid7-insightconnect/microsoft_atp/test_get_machine_information_first.json",
        "devices, which are not collected",
    ),
    (
        "rapid7-insightconnect/microsoft_defender_incidents/test_update_incident.json",
        "an incident without its id",
    ),
    (
        "sekoia-intake-formats/microsoft-sentinel",
        "Azure's own incidents of Sentinel, which are not collected",
    ),
    ("sekoia-intake-formats/o365", "the Office 365 Management API, which is not collected"),
    ("sekoia-intake-formats/ocsf", "OCSF as input"),
    ("splunk-cim", "names of fields"),
    ("splunk/ms365_defender_incident_alerts.fields.json", "names of fields"),
    (
        "splunk/ms365_defender_incident_alerts.sample.json",
        "an alert out of an incident of Defender XDR, which comes inside one only",
    ),
    ("tenzir-library/graph/directory-audits", "audits of Graph, which are not collected"),
    ("tenzir-library/graph/risk-detections", "risk detections of Graph, which are not collected"),
    ("tenzir-library/graph/sign-ins", "sign-ins of Graph, which are not collected"),
    ("wazuh/msgraph-api-responses.json", "names of types where records should be"),
];

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        if entry.path().is_dir() {
            list(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

/// The objects in a file: it is one, or a list of them, or has one a line.
fn objects(text: &str) -> Vec<Value> {
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items,
        Ok(value) => vec![value],
        Err(_) => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect(),
    }
}

/// The pages of answers that stand somewhere in `value`.
fn answers(value: &Value, pages: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| answers(item, pages)),
        Value::Object(map) if map.get("value").is_some_and(Value::is_array) => pages.push(value.to_string()),
        Value::Object(map) => map.values().for_each(|inner| answers(inner, pages)),
        Value::String(text) if text.trim_start().starts_with('{') => {
            if let Ok(inner) = serde_json::from_str(text) {
                answers(&inner, pages);
            }
        }
        _ => {}
    }
}

/// The pages of a file, as a source gets them.
fn pages(text: &str, shape: Shape) -> (List, Vec<String>) {
    let page = |records: Vec<String>| (List::Bare, vec![format!("[{}]", records.join(","))]);
    match shape {
        Page(name) => (List::Field(name), vec![text.to_owned()]),
        Bare => (List::Bare, vec![text.to_owned()]),
        Records if serde_json::from_str::<Value>(text).is_ok() => page(vec![text.trim().to_owned()]),
        Records => page(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()),
        In(path) => page(
            objects(text)
                .iter()
                .map(|object| match path.split('.').fold(object, |value, key| &value[key]) {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
                .collect(),
        ),
        Answers => {
            let mut found = Vec::new();
            objects(text).iter().for_each(|object| answers(object, &mut found));
            (List::Field("value"), found)
        }
    }
}

/// Reads a payload as a source does, and writes its records in every format. How many there are.
fn read(name: &str, text: &str, kind: RecordKind, shape: Shape, faults: &mut Vec<String>) -> usize {
    let (list, pages) = pages(text, shape);
    let mut records = 0;
    for page in &pages {
        let page = match split(page.as_bytes(), kind, list, usize::MAX) {
            Ok(page) => page,
            Err(error) => {
                faults.push(format!("{name}: {error}"));
                continue;
            }
        };
        faults.extend(page.torn.iter().map(|torn| format!("{name}: {torn}")));
        faults.extend(page.broken.iter().map(|broken| format!("{name}: {}", broken.reason)));
        for item in &page.items {
            records += 1;
            faults.extend(lost(kind, item.body).into_iter().map(|text| format!("{name}: {text}")));
        }
    }
    records
}

/// The report, and what is wrong.
fn report(corpus: &Path) -> (String, Vec<String>) {
    let mut files = Vec::new();
    list(corpus, &mut files);
    files.sort();
    let (mut faults, mut rows, mut of_kind) =
        (Vec::new(), String::new(), BTreeMap::<_, (usize, usize)>::new());
    let mut counted = vec![0; PAYLOADS.len()];
    let mut passed_over = vec![0; NO_PAYLOADS.len()];
    for file in &files {
        let name = file.strip_prefix(corpus).expect("in the folder").display().to_string();
        let expected = name.contains("-expected.") || name.ends_with(".fields.json");
        let at = PAYLOADS.iter().position(|(path, ..)| !expected && name.starts_with(path));
        let Some(at) = at else {
            match NO_PAYLOADS.iter().position(|(path, _)| name.starts_with(path)) {
                Some(other) => passed_over[other] += 1,
                None if expected => {}
                None => faults.push(format!("{name}: neither read nor named with a reason why not")),
            }
            continue;
        };
        let (_, kind, shape, ..) = PAYLOADS[at];
        let text = std::fs::read_to_string(file).expect("text");
        let records = read(&name, &text, kind, shape, &mut faults);
        counted[at] += records;
        let sum = of_kind.entry(kind.as_str()).or_default();
        *sum = (sum.0 + 1, sum.1 + records);
        rows.push_str(&format!("| `{name}` | {kind} | {records} |\n"));
    }
    for ((path, _, _, records), counted) in PAYLOADS.iter().zip(counted) {
        if counted != *records {
            faults.push(format!("{path}: {counted} records, and not {records}"));
        }
    }
    for ((path, _), count) in NO_PAYLOADS.iter().zip(passed_over) {
        if count == 0 {
            faults.push(format!("{path}: is not there"));
        }
    }
    let mut sums = String::new();
    for (kind, (files, records)) in &of_kind {
        sums.push_str(&format!("| {kind} | {files} | {records} |\n"));
    }
    let (files, records) = of_kind.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    sums.push_str(&format!("| **all** | {files} | {records} |\n"));
    let mut others = String::new();
    for (path, reason) in NO_PAYLOADS {
        others.push_str(&format!("| `{path}` | {reason} |\n"));
    }
    let page = format!(
        "# Recorded payloads\n\n\
         Written by a test (`cargo test -p muster-siem payloads -- --ignored`) and compared by it, from a folder of payloads that \
         others recorded or documented (`../shared/corpus` beside the checkout; without it the test says that it is skipped, with \
         `MUSTER_REQUIRE_CORPUS=1` it fails). Each payload of a shape that a source reads is taken apart as the source takes it, and \
         each of its records is written in all six formats: no text and no number is missing in any of them, where the format \
         carries Microsoft's own words (see [what of a record is in its events](coverage.md)).\n\n\
         | kind of record | files | records |\n|---|---:|---:|\n{sums}\n\
         ## File by file\n\n| file | kind of record | records |\n|---|---|---:|\n{rows}\n\
         ## Not read\n\nNames, or their beginnings.\n\n| file | why |\n|---|---|\n{others}"
    );
    (page, faults)
}

fn page_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/payloads.md")
}

#[test]
fn payloads_are_read_without_loss() {
    let Some(corpus) = corpus("") else { return };
    let (page, faults) = report(&corpus);
    println!("{page}");
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
    let written = std::fs::read_to_string(page_path()).unwrap_or_default();
    assert!(
        written == page,
        "docs/formats/payloads.md is out of date: cargo test -p muster-siem payloads -- --ignored"
    );
}

#[test]
#[ignore = "writes docs/formats/payloads.md"]
fn payloads_are_written_down() {
    let corpus = corpus("").expect("the payloads");
    std::fs::write(page_path(), report(&corpus).0).expect("written");
}

/// A check that finds nothing proves something only where there is something to find.
#[test]
fn a_payload_that_breaks_off_is_found() {
    let mut faults = Vec::new();
    let text = r#"{"value":[{"id":"1","title":"x","createdDateTime":"2026-03-02T08:15:30Z"},{"id":"2""#;
    let records = read("x", text, GraphAlert, VALUE, &mut faults);
    assert_eq!((records, faults.len()), (1, 1), "{faults:?}");
    let records = read("x", r#"{"values":[]}"#, GraphAlert, VALUE, &mut faults);
    assert_eq!((records, faults.len()), (0, 2), "{faults:?}");
    let records = read("x", r#"{"value":[{"title":"no id"}]}"#, GraphAlert, VALUE, &mut faults);
    assert_eq!((records, faults.len()), (0, 3), "{faults:?}");
}
