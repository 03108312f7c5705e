//! Kibana: a data view and a dashboard for what Elasticsearch sinks write in ECS, as saved objects to import (Kibana "Saved objects
//! API", `_import`: a JSON object a line).

use serde_json::{Value, json};

use muster_siem::sinks::{FormatName, SinkSettings};

use super::elasticsearch::OWN_STREAMS;
use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};

/// Of the dashboard: what is shown, by which field, and of which kind the picture is.
const PANELS: [(&str, &str, &str, Picture); 5] = [
    ("severity", "Records by severity", "event.severity", Picture::OverTime),
    ("customers", "Customers", "organization.name", Picture::Table),
    ("products", "Products", "observer.product", Picture::Table),
    ("techniques", "Techniques of MITRE ATT&CK", "threat.technique.id", Picture::Table),
    ("hosts", "Devices", "host.name", Picture::Table),
];

#[derive(Clone, Copy)]
enum Picture {
    OverTime,
    Table,
}

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("elasticsearch", |sink| match sink {
        SinkSettings::Elasticsearch(settings) if settings.format == FormatName::Ecs => Some(settings),
        _ => None,
    })?;
    let mut patterns: Vec<String> = Vec::new();
    for (_, settings) in sinks {
        match &settings.index {
            Some(index) => patterns.push(index.pattern()),
            None => patterns.extend(OWN_STREAMS.map(str::to_owned)),
        }
    }
    patterns.sort();
    patterns.dedup();
    if patterns.is_empty() {
        let said =
            "the settings have no sink of type elasticsearch that writes ECS; the dashboard is of its fields";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let lines: Vec<String> =
        objects(&patterns.join(",")).iter().map(|object| format!("{object}\n")).collect();
    Ok(vec![File::new("kibana.ndjson", lines.concat())])
}

/// The data view, the pictures, and the dashboard that has them.
fn objects(pattern: &str) -> Vec<Value> {
    let mut objects = vec![json!({
        "type": "index-pattern",
        "id": "muster-records",
        "attributes": { "title": pattern, "name": "Muster: Defender records", "timeFieldName": "@timestamp" },
        "references": [],
    })];
    objects.extend(PANELS.iter().map(|(id, title, field, picture)| picture.object(id, title, field)));
    let (mut panels, mut references) = (Vec::new(), Vec::new());
    for (index, (id, ..)) in PANELS.iter().enumerate() {
        // The first takes a row of 48 columns, the others half of one each.
        let place = match index.checked_sub(1) {
            None => json!({ "x": 0, "y": 0, "w": 48, "h": 12, "i": id }),
            Some(next) => {
                json!({ "x": 24 * (next % 2), "y": 12 + 14 * (next / 2), "w": 24, "h": 14, "i": id })
            }
        };
        let name = format!("panel_{id}");
        panels.push(json!({
            "type": "visualization", "gridData": place, "panelIndex": id, "embeddableConfig": {}, "panelRefName": name,
        }));
        references.push(json!({
            "name": format!("{id}:{name}"), "type": "visualization", "id": format!("muster-{id}"),
        }));
    }
    let search = json!({ "query": { "query": "", "language": "kuery" }, "filter": [] });
    objects.push(json!({
        "type": "dashboard",
        "id": "muster-overview",
        "attributes": {
            "title": "Muster: Defender records of all customers",
            "description": "What Muster has brought. Each version of an alert or incident is a document.",
            "panelsJSON": Value::from(panels).to_string(),
            "optionsJSON": json!({ "useMargins": true, "hidePanelTitles": false }).to_string(),
            "timeRestore": true,
            "timeFrom": "now-24h",
            "timeTo": "now",
            "kibanaSavedObjectMeta": { "searchSourceJSON": search.to_string() },
        },
        "references": references,
    }));
    objects
}

impl Picture {
    fn object(self, id: &str, title: &str, field: &str) -> Value {
        let count = json!({ "id": "1", "enabled": true, "type": "count", "params": {}, "schema": "metric" });
        let terms = |schema: &str| {
            json!({ "id": "3", "enabled": true, "type": "terms", "schema": schema, "params": {
                "field": field, "size": 20, "order": "desc", "orderBy": "1", "otherBucket": true, "missingBucket": false,
            } })
        };
        let (kind, aggregations, params) = match self {
            Self::OverTime => {
                let time = json!({ "id": "2", "enabled": true, "type": "date_histogram", "schema": "segment",
                    "params": { "field": "@timestamp", "interval": "auto" } });
                (
                    "histogram",
                    json!([count, time, terms("group")]),
                    json!({ "addLegend": true, "addTooltip": true }),
                )
            }
            Self::Table => ("table", json!([count, terms("bucket")]), json!({ "perPage": 10 })),
        };
        let state = json!({ "title": title, "type": kind, "aggs": aggregations, "params": params });
        let index = "kibanaSavedObjectMeta.searchSourceJSON.index";
        let search =
            json!({ "query": { "query": "", "language": "kuery" }, "filter": [], "indexRefName": index });
        json!({
            "type": "visualization",
            "id": format!("muster-{id}"),
            "attributes": {
                "title": format!("Muster: {title}"),
                "visState": state.to_string(),
                "uiStateJSON": "{}",
                "kibanaSavedObjectMeta": { "searchSourceJSON": search.to_string() },
            },
            "references": [{ "name": index, "type": "index-pattern", "id": "muster-records" }],
        })
    }
}
