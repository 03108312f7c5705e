//! The log of truth, as the emulated world wrote it when it changed.

use std::collections::HashMap;

use jiff::Timestamp;
use muster_emulator::receivers::RecordKind;
use muster_emulator::{GraphApi, TruthVersion};
use muster_model::{Source, TenantId};
use serde_json::Value;

/// A record's body, and the alerts that came with it, where any did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    pub(crate) body: Value,
    pub(crate) alerts: Option<Vec<Value>>,
}

impl Content {
    /// What a body says, whoever wrote it.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        let record = body.as_object_mut()?;
        record.retain(|key, _| !key.contains("@odata.context"));
        let alerts = match record.remove("alerts") {
            Some(Value::Array(mut alerts)) => {
                alerts.sort_by_key(|alert| alert["id"].to_string());
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
    pub(crate) versions: Vec<Version>,
    by_id: HashMap<(TenantId, Source, String), Vec<usize>>,
    bodies: HashMap<usize, Value>,
}

impl Truth {
    /// Reads on in the log. What was there may have ended meanwhile; what a version says never changes.
    pub(crate) fn update(&mut self, api: &GraphApi) {
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
            };
            let updated_at = told.updated.parse().expect("a time");
            self.by_id.entry((tenant, source, told.id.clone())).or_default().push(place);
            let body = api.truth_body(place).expect("every version has a body");
            let body = Content::read(&body).expect("a record").body;
            self.bodies.insert(place, body);
            self.versions.push(Version { told, tenant, source, updated_at, place });
        }
    }

    pub(crate) fn body(&self, place: usize) -> &Value {
        &self.bodies[&place]
    }

    /// The version of a record that says this, if there ever was one.
    pub(crate) fn find(&self, tenant: TenantId, source: Source, id: &str, body: &Value) -> Option<&Version> {
        let places = self.by_id.get(&(tenant, source, id.to_owned()))?;
        places.iter().find(|place| self.body(**place) == body).map(|place| &self.versions[*place])
    }
}
