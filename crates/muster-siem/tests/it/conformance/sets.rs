//! What is compared, what is not, and why.

use std::collections::BTreeSet;

use muster_model::RecordKind;
use serde_json::Value;

/// How a file pairs records with expected events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Records a line, and `{"expected":[…]}` in another file.
    Elastic,
    /// One `{"input":{"message":…},"expected":{…}}`.
    Sekoia,
    /// Records a line, and a list of events in another file.
    Tenzir,
    /// An event that was indexed, with its record as a string in `event.original`.
    Indexed,
}

/// Files of one origin and kind of record.
pub(super) struct Set {
    pub(super) name: &'static str,
    /// A file, or a folder.
    pub(super) path: &'static str,
    pub(super) layout: Layout,
    pub(super) kind: RecordKind,
    /// How many there are to compare.
    pub(super) records: usize,
    /// Whether it is OCSF and not ECS.
    pub(super) ocsf: bool,
}

pub(super) const SETS: &[Set] = &[
    elastic(
        "elastic alert",
        "elastic-integrations/m365_defender/alert/test-alert.log",
        RecordKind::GraphAlert,
        1,
    ),
    elastic(
        "elastic incident",
        "elastic-integrations/m365_defender/incident/test-incident.log",
        RecordKind::GraphIncident,
        7,
    ),
    elastic(
        "elastic log",
        "elastic-integrations/m365_defender/log/test-m365-defender-ndjson.log",
        RecordKind::XdrIncident,
        6,
    ),
    elastic(
        "elastic endpoint",
        "elastic-integrations/microsoft_defender_endpoint/log/test-defenderatp.log",
        RecordKind::EndpointAlert,
        4,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-alert.log",
        RecordKind::HuntingRow,
        4,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-app-and-identity.log",
        RecordKind::HuntingRow,
        5,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-device.log",
        RecordKind::HuntingRow,
        34,
    ),
    elastic(
        "elastic event",
        "elastic-integrations/m365_defender/event/test-email.log",
        RecordKind::HuntingRow,
        5,
    ),
    Set {
        name: "sekoia",
        path: "sekoia-intake-formats/microsoft-365-defender",
        layout: Layout::Sekoia,
        kind: RecordKind::HuntingRow,
        records: 55,
        ocsf: false,
    },
    indexed(
        "elastic alert",
        "elastic-integrations/m365_defender/alert/sample_event.json",
        RecordKind::GraphAlert,
    ),
    indexed(
        "elastic incident",
        "elastic-integrations/m365_defender/incident/sample_event.json",
        RecordKind::GraphIncident,
    ),
    indexed(
        "elastic log",
        "elastic-integrations/m365_defender/log/sample_event.json",
        RecordKind::XdrIncident,
    ),
    tenzir("tenzir-library/graph/defender-alerts.ndjson", RecordKind::GraphAlert),
    tenzir("tenzir-library/graph/defender-incidents.ndjson", RecordKind::GraphIncident),
];

pub(super) const fn tenzir(path: &'static str, kind: RecordKind) -> Set {
    Set { name: "tenzir", path, layout: Layout::Tenzir, kind, records: 1, ocsf: true }
}

pub(super) const fn elastic(name: &'static str, path: &'static str, kind: RecordKind, records: usize) -> Set {
    Set { name, path, layout: Layout::Elastic, kind, records, ocsf: false }
}

pub(super) const fn indexed(name: &'static str, path: &'static str, kind: RecordKind) -> Set {
    Set { name, path, layout: Layout::Indexed, kind, records: 1, ocsf: false }
}

/// What has an expected output and is not compared, with the reason.
pub(super) const NOT_COMPARED: &[(&str, &str)] = &[
    (
        "elastic-integrations/microsoft_defender_cloud",
        "Defender for Cloud's export by Event Hub, which is not collected",
    ),
    (
        "elastic-integrations/m365_defender/log/test-m365-defender-empty-ndjson.log",
        "an empty answer, of which no event is expected",
    ),
    (
        "elastic-integrations/microsoft_defender_endpoint/log/sample_event.json",
        "an event without the record it was made of",
    ),
    ("wazuh", "rules' verdicts, not events"),
    ("splunk", "names of fields, without values"),
    ("sekoia-intake-formats/o365", "the Office 365 Management API, which is not collected"),
    (
        "sekoia-intake-formats/microsoft-sentinel",
        "Azure's own incidents of Sentinel, which are not collected",
    ),
    ("sekoia-intake-formats/ocsf", "OCSF as input"),
    ("tenzir-library/graph/sign-ins.ndjson", "sign-ins of Graph, which are not collected"),
    ("tenzir-library/graph/directory-audits.ndjson", "audits of Graph, which are not collected"),
    ("tenzir-library/graph/risk-detections.ndjson", "risk detections of Graph, which are not collected"),
    ("ocsf-examples", "message traces, and products that are not Microsoft's"),
    ("panther-analysis", "rules' verdicts, not events"),
    ("microsoft-docs-cef", "CEF of products that are not collected in that form"),
];

/// What is expected and does not come from the record: the set, the field, the reason.
pub(super) const UNDERIVED: &[(&str, &str, &str)] = &[
    ("", "ecs.version", "a constant of the integration's version"),
    ("", "event.original", "the record itself"),
    ("", "tags", "settings of Elastic's agent"),
    ("elastic", "agent.*", "settings of Elastic's agent"),
    ("elastic", "data_stream.*", "settings of Elastic's agent"),
    ("elastic", "event.agent_id_status", "settings of Elastic's agent"),
    ("elastic", "event.ingested", "when Elastic indexed it"),
    ("elastic", ".geo.", "looked up in a database of places"),
    ("sekoia", "message", "the record itself"),
    ("sekoia", "event.dataset", "Sekoia's own names of data sets"),
    ("sekoia", "url.registered_domain", "needs the public suffix list"),
    ("sekoia", "url.top_level_domain", "needs the public suffix list"),
    ("sekoia", "url.subdomain", "needs the public suffix list"),
    ("sekoia", "user_agent.name", "looked up in a database of browsers"),
    ("sekoia", "user_agent.device.name", "looked up in a database of browsers"),
    ("sekoia", "user_agent.os.name", "looked up in a database of browsers"),
    ("sekoia", "user_agent.version", "looked up in a database of browsers"),
];

/// Whether `pattern` is `name`, or its beginning with a `*` at the end.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

/// Why the field is left out. What is looked up is left out only where the record does not say it itself.
pub(super) fn left_out(
    set: &Set,
    field: &str,
    values: &BTreeSet<String>,
    record: &Value,
) -> Option<&'static str> {
    let (_, name, reason) = UNDERIVED.iter().find(|(of, name, _)| {
        set.name.starts_with(of) && (fits(name, field) || *name == ".geo." && field.contains(name))
    })?;
    let said = |value: &String| record.as_object().into_iter().flatten().any(|(_, column)| column == value);
    (*name != ".geo." || !values.iter().any(said)).then_some(*reason)
}
