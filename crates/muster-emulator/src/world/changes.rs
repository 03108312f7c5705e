//! What tests change in the tenants: alerts and incidents that appear, move, are merged, or are written anew.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::errors::RequestError;
use crate::receivers::RecordKind;
use crate::world::appear::{NewAlert, later_version};
use crate::world::dice::Dice;
use crate::world::hostile::WrittenRecord;
use crate::world::table::Row;
use crate::world::tenants::{TenantState, Version, World};
use crate::world::ticks::Ticks;

/// A change of the tenants; the tenant is a GUID or a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum WorldChange {
    /// New alerts, which join incidents as they come.
    AddAlerts {
        /// The tenant.
        tenant: String,
        /// How many.
        #[serde(default = "one")]
        count: u32,
        /// Their title, in place of a made-up one.
        #[serde(default)]
        title: Option<String>,
        /// The time of creation and update of all of them, as RFC 3339 writes it; absent: now.
        #[serde(default)]
        at: Option<String>,
    },
    /// A new incident with so many alerts.
    AddIncident {
        /// The tenant.
        tenant: String,
        /// How many alerts.
        alerts: u32,
    },
    /// A new version of an alert.
    UpdateAlert {
        /// The tenant.
        tenant: String,
        /// The alert.
        id: String,
        /// Whether it keeps its `lastUpdateDateTime` and has other content all the same.
        #[serde(default)]
        same_time: bool,
    },
    /// New versions of alerts that chance chooses.
    UpdateSome {
        /// The tenant.
        tenant: String,
        /// How many.
        count: u32,
    },
    /// An incident becomes part of another: its alerts move there, and it is redirected.
    MergeIncidents {
        /// The tenant.
        tenant: String,
        /// The one that ends.
        from: String,
        /// The one that goes on.
        into: String,
    },
    /// An alert moves to another incident.
    MoveAlert {
        /// The tenant.
        tenant: String,
        /// The alert.
        alert: String,
        /// The incident.
        into: String,
    },
    /// Alerts whose ids nobody expects: two that differ in upper and lower case only, a number, null, one of a megabyte.
    AddOddIds {
        /// The tenant.
        tenant: String,
    },
    /// Alerts whose times nobody expects: in the year 1, tomorrow, in the year 9999.
    AddOddTimes {
        /// The tenant.
        tenant: String,
    },
    /// One alert of so many megabytes.
    AddHugeAlert {
        /// The tenant.
        tenant: String,
        /// How large.
        megabytes: u32,
    },
    /// An incident with a megabyte of text.
    AddAbsurdIncident {
        /// The tenant.
        tenant: String,
        /// How many empty alerts it holds, whether they are asked for or not.
        empty_alerts: u32,
    },
}

fn one() -> u32 {
    1
}

impl World {
    /// Changes the tenants; gives the ids of what is new or changed.
    pub(crate) fn change(&self, change: &WorldChange) -> Result<Vec<String>, RequestError> {
        match change {
            WorldChange::AddAlerts { tenant, count, title, at } => {
                let tenant = self.tenant(tenant)?;
                let Some(at) = at else {
                    return Ok(self.add_alerts(tenant, *count as usize, title.as_deref()));
                };
                let at = Ticks::parse(at).ok_or_else(|| RequestError::NotATime(at.clone()))?;
                let mut state = self.state(tenant);
                let indices: Vec<u32> = (0..*count)
                    .map(|_| {
                        let new = NewAlert { title: title.clone(), ..NewAlert::shown() };
                        self.add_alert(tenant, &mut state, at, new)
                    })
                    .collect();
                Ok(ids(&state, &indices))
            }
            WorldChange::AddIncident { tenant, alerts } => {
                let tenant = self.tenant(tenant)?;
                Ok(vec![self.add_incident(tenant, *alerts)])
            }
            WorldChange::UpdateAlert { tenant, id, same_time } => {
                let found = self.tenant(tenant)?;
                let done = if *same_time { self.rewrite(found, id) } else { self.update_alert(found, id) };
                let unknown = || RequestError::UnknownAlert { tenant: tenant.clone(), id: id.clone() };
                done.then(|| vec![id.clone()]).ok_or_else(unknown)
            }
            WorldChange::UpdateSome { tenant, count } => Ok(self.update_some(self.tenant(tenant)?, *count)),
            WorldChange::MergeIncidents { tenant, from, into } => {
                let found = self.tenant(tenant)?;
                let mut state = self.state(found);
                let place = |id: &String| state.incidents.find(id);
                match (place(from), place(into)) {
                    (Some(from), Some(into)) if from != into => {
                        self.merge(found, &mut state, from, into);
                        Ok(vec![])
                    }
                    _ => Err(RequestError::UnknownIncident { tenant: tenant.clone(), id: from.clone() }),
                }
            }
            WorldChange::MoveAlert { tenant, alert, into } => {
                let found = self.tenant(tenant)?;
                let mut state = self.state(found);
                match (state.alerts.find(alert), state.incidents.find(into)) {
                    (Some(index), Some(target)) => {
                        self.move_alert(found, &mut state, index, target);
                        Ok(vec![alert.clone()])
                    }
                    _ => Err(RequestError::UnknownAlert { tenant: tenant.clone(), id: alert.clone() }),
                }
            }
            WorldChange::AddOddIds { tenant } => {
                let tenant = self.tenant(tenant)?;
                Ok(self.add_written(tenant, odd_ids(self.now())))
            }
            WorldChange::AddOddTimes { tenant } => {
                let tenant = self.tenant(tenant)?;
                Ok(self.add_written(tenant, odd_times(self.now())))
            }
            WorldChange::AddHugeAlert { tenant, megabytes } => {
                let tenant = self.tenant(tenant)?;
                let now = self.now();
                let id = format!("huge-{:016x}", now.0);
                let filler = "x".repeat((*megabytes as usize) << 20);
                let json = written(&format!("\"{id}\""), now, &filler);
                Ok(self.add_written(tenant, vec![WrittenRecord { id, at: now, identifiable: true, json }]))
            }
            WorldChange::AddAbsurdIncident { tenant, empty_alerts } => {
                let tenant = self.tenant(tenant)?;
                Ok(vec![self.add_absurd_incident(tenant, *empty_alerts)])
            }
        }
    }

    /// The tenant of a name.
    pub(crate) fn tenant(&self, name: &str) -> Result<u32, RequestError> {
        self.find_tenant(name).ok_or_else(|| RequestError::UnknownTenant(name.to_owned()))
    }

    fn add_incident(&self, tenant: u32, alerts: u32) -> String {
        let mut state = self.state(tenant);
        let now = self.now();
        let open = state.open_incident.take();
        let incident = self.new_incident(tenant, &mut state, now);
        let mut severity = "informational";
        for left in (1..=alerts).rev() {
            state.open_incident = Some((incident, left));
            let new = NewAlert { touches_incident: false, ..NewAlert::shown() };
            let index = self.add_alert(tenant, &mut state, now, new);
            if let Some(plan) = state.alerts.newest(index).and_then(|row| row.alert_plan()) {
                severity = plan.severity;
            }
        }
        state.open_incident = open;
        self.touch_incident(tenant, &mut state, incident, now, severity, true);
        state.incidents.newest(incident).map(|row| row.id.clone()).unwrap_or_default()
    }

    /// Other content at the same update time.
    fn rewrite(&self, tenant: u32, id: &str) -> bool {
        let mut state = self.state(tenant);
        let Some(index) = state.alerts.find(id) else { return false };
        let row = state.alerts.newest(index).cloned();
        let Some(plan) = row.as_ref().and_then(|row| row.alert_plan()) else { return false };
        let next = plan.advanced(self.facts(tenant), plan.updated);
        let row = Arc::new(Row::alert(next));
        self.publish(tenant, &mut state, RecordKind::Alert, Version { index, row, what: "rewritten" });
        true
    }

    /// New versions of alerts that chance chooses; gives their ids.
    pub(crate) fn update_some(&self, tenant: u32, count: u32) -> Vec<String> {
        let mut state = self.state(tenant);
        if state.alerts.len() == 0 {
            return Vec::new();
        }
        let mut dice = Dice::derived(&[self.seed(), 0x50e, u64::from(tenant), self.now().0.unsigned_abs()]);
        let all = state.alerts.len();
        let indices: Vec<u32> = (0..count)
            .map(|_| u32::try_from(dice.index(all)).unwrap_or(0))
            .filter(|&index| self.update_at(tenant, &mut state, index))
            .collect();
        ids(&state, &indices)
    }

    fn merge(&self, tenant: u32, state: &mut TenantState, from: u32, into: u32) {
        let Some(target) = state.incidents.newest(into).and_then(|row| row.incident_plan()).cloned() else {
            return;
        };
        let Some(row) = state.incidents.newest(from).cloned() else { return };
        let Some(mut plan) = row.incident_plan().cloned() else { return };
        for alert in state.members[from as usize].clone() {
            self.move_alert(tenant, state, alert, into);
        }
        if state.open_incident.is_some_and(|open| open.0 == from) {
            state.open_incident = None;
        }
        let row = state.incidents.newest(from).cloned().unwrap_or(row);
        plan.status = "redirected";
        plan.redirect = Some(target.incident_id);
        plan.updated = later_version(row.updated, self.now(), true);
        let row = Arc::new(Row::incident(plan));
        self.publish(tenant, state, RecordKind::Incident, Version { index: from, row, what: "merged" });
    }

    fn move_alert(&self, tenant: u32, state: &mut TenantState, index: u32, into: u32) {
        let Some(row) = state.alerts.newest(index).cloned() else { return };
        let Some(target) = state.incidents.newest(into).and_then(|row| row.incident_plan()).cloned() else {
            return;
        };
        let Some(mut plan) = row.alert_plan().cloned() else { return };
        if plan.incident == into {
            return;
        }
        let at = later_version(row.updated, self.now(), true);
        state.members[plan.incident as usize].retain(|&member| member != index);
        state.members[into as usize].push(index);
        (plan.incident, plan.incident_id, plan.updated) = (into, target.incident_id, at);
        let severity = plan.severity;
        let row = Arc::new(Row::alert(plan));
        self.publish(tenant, state, RecordKind::Alert, Version { index, row, what: "moved" });
        self.touch_incident(tenant, state, into, at, severity, true);
    }

    fn add_absurd_incident(&self, tenant: u32, empty_alerts: u32) -> String {
        let mut state = self.state(tenant);
        let now = self.now();
        let id = format!("{}", 900_000_000 + now.0.rem_euclid(1_000_000));
        let alerts = vec!["{}"; empty_alerts as usize].join(",");
        let text = "absurd ".repeat((1 << 20) / 7);
        let json = format!(
            r#"{{"id":"{id}","status":"active","severity":"low","displayName":"{text}","createdDateTime":"{now}","lastUpdateDateTime":"{now}","alerts":[{alerts}]}}"#
        );
        let row = Arc::new(Row::fixed(id.clone(), now, now, Default::default(), Bytes::from(json)));
        state.members.push(Vec::new());
        let index = state.incidents.push(Arc::clone(&row));
        self.publish(tenant, &mut state, RecordKind::Incident, Version { index, row, what: "created" });
        id
    }
}

fn ids(state: &TenantState, indices: &[u32]) -> Vec<String> {
    indices.iter().filter_map(|&index| Some(state.alerts.newest(index)?.id.clone())).collect()
}

/// An alert with little in it; `id` is JSON.
fn written(id: &str, at: Ticks, title: &str) -> String {
    format!(
        r#"{{"id":{id},"status":"new","severity":"high","serviceSource":"microsoftDefenderForEndpoint","title":"{title}","createdDateTime":"{at}","lastUpdateDateTime":"{at}","evidence":[]}}"#
    )
}

fn odd_ids(now: Ticks) -> Vec<WrittenRecord> {
    let record = |id: String, place: i64, identifiable: bool| {
        let at = Ticks(now.0 + place * crate::world::ticks::TICKS_PER_MILLISECOND);
        WrittenRecord {
            json: written(&id, at, "an odd id"),
            id: id.trim_matches('"').to_owned(),
            at,
            identifiable,
        }
    };
    vec![
        record(format!("\"Case-{:x}-a\"", now.0), 0, true),
        record(format!("\"Case-{:x}-A\"", now.0), 0, true),
        record("42".to_owned(), 1, false),
        record("null".to_owned(), 2, false),
        record(format!("\"{}\"", "i".repeat(1 << 20)), 3, false),
    ]
}

fn odd_times(now: Ticks) -> Vec<WrittenRecord> {
    let times =
        ["0001-01-01T00:00:00Z", "9999-12-30T00:00:00Z"].map(|text| Ticks::parse(text).unwrap_or(now));
    let all = times.into_iter().chain([now.plus_seconds(86_400)]);
    let record = |(place, at): (usize, Ticks)| {
        let id = format!("time-{:x}-{place}", now.0);
        let json = written(&format!("\"{id}\""), at, "an odd time");
        WrittenRecord { id, at, identifiable: true, json }
    };
    all.enumerate().map(record).collect()
}
