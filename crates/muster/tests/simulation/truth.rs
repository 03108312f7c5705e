//! The log of truth, as the emulated world wrote it when it changed.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use muster_emulator::receivers::RecordKind;
use muster_emulator::{GraphApi, TruthVersion};
use muster_model::{Source, TenantId};
use serde_json::Value;

use crate::storage::Storage;

/// A record's body, and what came with it of that which is not always there: the alerts of an incident, the evidence of
/// an alert of Defender for Endpoint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    pub(crate) body: Value,
    pub(crate) alerts: Option<Vec<Value>>,
}

impl Content {
    /// What a body says, whoever wrote it.
    pub(crate) fn read(source: Source, body: &[u8]) -> Option<Self> {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        let record = body.as_object_mut()?;
        record.retain(|key, _| !key.contains("@odata.context"));
        let (key, id) = match source {
            Source::EndpointAlerts => ("evidence", "none"),
            Source::XdrIncidents => ("alerts", "alertId"),
            Source::GraphAlerts | Source::GraphIncidents => ("alerts", "id"),
            // A row has nothing beside itself.
            Source::GraphHunting(_) | Source::XdrHunting(_) | Source::Streaming(_) => {
                record.remove("Hunt");
                ("", "")
            }
            Source::SiemFeed => ("", ""),
        };
        let alerts = match record.remove(key) {
            // Where evidence was not asked for the list is empty.
            Some(Value::Array(evidence)) if key == "evidence" && evidence.is_empty() => None,
            Some(Value::Array(mut alerts)) => {
                alerts.sort_by_key(|alert| alert[id].to_string());
                Some(alerts)
            }
            _ => None,
        };
        Some(Self { body, alerts })
    }
}

/// One version of a record.
pub(crate) struct Version {
    pub(crate) told: TruthVersion,
    pub(crate) tenant: TenantId,
    pub(crate) source: Source,
    pub(crate) updated_at: Timestamp,
    pub(crate) place: usize,
}

/// All versions of all records up to now.
#[derive(Default)]
pub(crate) struct Truth {
    /// The saved query that is asked in this history: its rows are what the log says of Graph's alerts.
    pub(crate) hunt: Option<Source>,
    /// The stream that is read in this history: its rows are what the log of its storage says.
    pub(crate) stream: Option<(Source, Arc<Storage>)>,
    /// After how many changes of the storage that was read.
    changes: Option<u64>,
    /// The blobs that hold the rows.
    blobs: Vec<String>,
    pub(crate) versions: Vec<Version>,
    by_id: HashMap<(TenantId, Source, String), Vec<usize>>,
    bodies: HashMap<usize, Value>,
    /// The evidence of versions of alerts of Defender for Endpoint.
    evidence: HashMap<usize, Vec<Value>>,
    /// What each version of an alert says inside an incident of Defender XDR.
    in_xdr: HashMap<(TenantId, String), Vec<Value>>,
}

impl Truth {
    /// Reads on in the log. What was there may have ended meanwhile; what a version says never changes.
    pub(crate) fn update(&mut self, api: &GraphApi) {
        if let Some((source, storage)) = self.stream.clone() {
            return self.update_rows(source, &storage);
        }
        // Versions end only when others are made.
        if api.truth_len() == self.versions.len() {
            return;
        }
        let told = api.truth();
        for (version, told) in self.versions.iter_mut().zip(&told) {
            if version.told.visible_until != told.visible_until || version.told.newest != told.newest {
                version.told = told.clone();
            }
        }
        for (place, told) in told.into_iter().enumerate().skip(self.versions.len()) {
            let tenant = told.tenant.parse().expect("a GUID");
            let source = match told.kind {
                RecordKind::Alert => Source::GraphAlerts,
                RecordKind::Incident => Source::GraphIncidents,
                RecordKind::EndpointAlert => Source::EndpointAlerts,
                RecordKind::XdrIncident => Source::XdrIncidents,
                RecordKind::SiemDetection => Source::SiemFeed,
            };
            let mut updated_at = told.updated.parse().expect("a time");
            let mut body = api.truth_body(place).expect("every version has a body");
            let mut source = source;
            if let Some((hunt, row)) = self.hunt.zip(api.truth_row(place)) {
                (source, body) = (hunt, row);
                updated_at = row_time(&body);
            }
            self.by_id.entry((tenant, source, told.id.clone())).or_default().push(place);
            let content = Content::read(source, &body).expect("a record");
            self.bodies.insert(place, content.body);
            if let (Source::EndpointAlerts, Some(evidence)) = (source, content.alerts) {
                self.evidence.insert(place, evidence);
            }
            if let Some(body) = api.truth_body_in_xdr(place) {
                let body = serde_json::from_slice(&body).expect("a record");
                self.in_xdr.entry((tenant, told.id.clone())).or_default().push(body);
            }
            self.versions.push(Version { told, tenant, source, updated_at, place });
        }
    }

    fn update_rows(&mut self, source: Source, storage: &Storage) {
        let Some((changes, rows)) = storage.rows_after(self.changes) else { return };
        self.changes = Some(changes);
        for (place, row) in rows.into_iter().enumerate() {
            if let Some(version) = self.versions.get_mut(place) {
                version.told = row.told;
                continue;
            }
            let tenant = row.told.tenant.parse().expect("a GUID");
            self.by_id.entry((tenant, source, row.told.id.clone())).or_default().push(place);
            let content = Content::read(source, row.line.as_bytes()).expect("a row");
            self.bodies.insert(place, content.body);
            self.blobs.push(row.blob);
            let updated_at = row.updated_at;
            self.versions.push(Version { told: row.told, tenant, source, updated_at, place });
        }
    }

    /// The blob that holds a row.
    pub(crate) fn blob(&self, place: usize) -> Option<&str> {
        self.blobs.get(place).map(String::as_str)
    }

    pub(crate) fn body(&self, place: usize) -> &Value {
        &self.bodies[&place]
    }

    /// Whether what came with a version is what belonged to it: alerts as they were at some time, or its own evidence.
    pub(crate) fn belongs(&self, version: &Version, item: &Value) -> bool {
        let (tenant, text) = (version.tenant, |key: &str| item[key].as_str().unwrap_or_default().to_owned());
        match version.source {
            Source::GraphAlerts
            | Source::SiemFeed
            | Source::GraphHunting(_)
            | Source::XdrHunting(_)
            | Source::Streaming(_) => false,
            Source::GraphIncidents => self.find(tenant, Source::GraphAlerts, &text("id"), item).is_some(),
            Source::EndpointAlerts => {
                self.evidence.get(&version.place).is_some_and(|evidence| evidence.contains(item))
            }
            Source::XdrIncidents => {
                self.in_xdr.get(&(tenant, text("alertId"))).is_some_and(|bodies| bodies.contains(item))
            }
        }
    }

    /// The places of a record's versions.
    pub(crate) fn places(&self, tenant: TenantId, source: Source, id: &str) -> &[usize] {
        self.by_id.get(&(tenant, source, id.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// The version of a record that says this, if there ever was one.
    pub(crate) fn find(&self, tenant: TenantId, source: Source, id: &str, body: &Value) -> Option<&Version> {
        let places = self.places(tenant, source, id);
        places.iter().find(|place| self.body(**place) == body).map(|place| &self.versions[*place])
    }
}

/// When a row of a saved query was, by its `Timestamp`.
fn row_time(row: &[u8]) -> Timestamp {
    let row: Value = serde_json::from_slice(row).expect("a row");
    row["Timestamp"]
        .as_str()
        .and_then(|time| time.parse().ok())
        .expect("only rows with a time are in the log")
}
