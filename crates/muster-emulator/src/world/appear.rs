//! How alerts and incidents appear and change: each change is a version.

use std::sync::Arc;

use bytes::Bytes;

use crate::receivers::RecordKind;
use crate::world::generate::{AlertPlan, IncidentPlan, SEVERITIES, alert_seed};
use crate::world::hostile::WrittenRecord;
use crate::world::table::{FixedFields, Row};
use crate::world::tenants::{TenantState, Version, World};
use crate::world::ticks::{TICKS_PER_MILLISECOND, Ticks};

/// An alert that is to appear.
pub(crate) struct NewAlert {
    pub(crate) title: Option<String>,
    /// Its last update; absent: when it was created.
    pub(crate) updated: Option<Ticks>,
    /// Whether it is a version that is written down. What fills the past is only written down as it is in the end.
    pub(crate) shown: bool,
    pub(crate) touches_incident: bool,
}

impl NewAlert {
    pub(crate) fn shown() -> Self {
        Self { title: None, updated: None, shown: true, touches_incident: true }
    }
}

impl World {
    /// One new alert of a tenant, now.
    pub(crate) fn appear(&self, tenant: u32, new: NewAlert) -> (u32, Ticks) {
        let mut state = self.state(tenant);
        let now = self.now();
        (self.add_alert(tenant, &mut state, now, new), now)
    }

    /// New alerts of one tenant, now; gives their ids.
    pub(crate) fn add_alerts(&self, tenant: u32, count: usize, title: Option<&str>) -> Vec<String> {
        let appear =
            |_| self.appear(tenant, NewAlert { title: title.map(str::to_owned), ..NewAlert::shown() }).0;
        let indices: Vec<u32> = (0..count).map(appear).collect();
        let state = self.state(tenant);
        indices.iter().filter_map(|&index| Some(state.alerts.newest(index)?.id.clone())).collect()
    }

    /// Adds alerts whose text is given; gives the ids of those that can be known again.
    pub(crate) fn add_written(&self, tenant: u32, records: Vec<WrittenRecord>) -> Vec<String> {
        let mut state = self.state(tenant);
        let mut ids = Vec::new();
        for record in records {
            let fields = serde_json::from_str(&record.json).map(|record| FixedFields::of(&record));
            let body = Bytes::from(record.json);
            let row = Row::fixed(record.id.clone(), record.at, record.at, fields.unwrap_or_default(), body);
            let row = Arc::new(row);
            let index = state.alerts.push(Arc::clone(&row));
            if record.identifiable {
                self.publish(tenant, &mut state, RecordKind::Alert, Version { index, row, what: "created" });
                ids.push(record.id);
            } else {
                state.alerts.show(index, row);
            }
        }
        ids
    }

    pub(crate) fn add_alert(
        &self,
        tenant: u32,
        state: &mut TenantState,
        created: Ticks,
        new: NewAlert,
    ) -> u32 {
        let facts = &self.tenants[tenant as usize].facts;
        let updated = new.updated.unwrap_or(created);
        let (incident, left) = match state.open_incident.take() {
            Some(open) => open,
            None => {
                let incident = self.new_incident(tenant, state, created);
                let plan = state.incidents.newest(incident).and_then(|row| row.incident_plan());
                (incident, plan.map_or(1, |plan| plan.size(facts)))
            }
        };
        let number = state.next_alert;
        state.next_alert += 1;
        let incident_row =
            Arc::clone(state.incidents.newest(incident).expect("an open incident is in its table"));
        let of = incident_row.incident_plan().expect("an open incident was made here");
        let mut plan = AlertPlan::new(alert_seed(facts, number), incident, of, created, self.large_one_in);
        plan.updated = updated;
        plan.title = new.title;
        if self.short_alerts {
            plan.target_bytes = 0;
        }
        let severity = plan.severity;
        let row = Arc::new(Row::alert(plan));
        let index = state.alerts.push(Arc::clone(&row));
        state.members[incident as usize].push(index);
        state.open_incident = (left > 1).then(|| (incident, left - 1));
        if new.shown {
            self.publish(tenant, state, RecordKind::Alert, Version { index, row, what: "created" });
        } else {
            state.alerts.show(index, row);
        }
        if new.touches_incident {
            self.touch_incident(tenant, state, incident, updated, severity, new.shown);
        }
        index
    }

    /// An incident without alerts, which nobody sees before it is touched.
    pub(crate) fn new_incident(&self, tenant: u32, state: &mut TenantState, created: Ticks) -> u32 {
        let plan = IncidentPlan::new(self.facts(tenant), state.next_incident, created);
        state.next_incident += 1;
        state.members.push(Vec::new());
        state.incidents.push(Arc::new(Row::incident(plan)))
    }

    /// An incident moves when one of its alerts does.
    pub(crate) fn touch_incident(
        &self,
        tenant: u32,
        state: &mut TenantState,
        incident: u32,
        at: Ticks,
        severity: &'static str,
        shown: bool,
    ) {
        let Some(row) = state.incidents.newest(incident).cloned() else { return };
        let Some(plan) = row.incident_plan() else { return };
        let mut plan = plan.clone();
        let first = plan.updated == plan.created && state.incidents.logged(incident).is_none();
        let first = first && state.members[incident as usize].len() == 1;
        plan.updated = if first { at } else { later_version(row.updated, at, shown) };
        let rank = |severity: &str| SEVERITIES.iter().position(|known| *known == severity);
        if rank(severity) > rank(plan.severity) {
            plan.severity = severity;
        }
        let all_resolved = state.members[incident as usize].iter().all(|&alert| {
            let alert = state.alerts.newest(alert).and_then(|row| row.alert_plan());
            alert.is_some_and(|plan| plan.status == "resolved")
        });
        if all_resolved && state.open_incident.is_none_or(|open| open.0 != incident) {
            plan.status = "resolved";
        } else if plan.status == "resolved" {
            plan.status = "active";
        }
        let row = Arc::new(Row::incident(plan));
        if shown {
            let what = if state.incidents.logged(incident).is_none() { "created" } else { "changed" };
            self.publish(tenant, state, RecordKind::Incident, Version { index: incident, row, what });
        } else {
            state.incidents.replace(incident, Arc::clone(&row));
            state.incidents.show(incident, row);
        }
    }

    /// Updates an alert now; false when the tenant has none of that id that was made here.
    pub(crate) fn update_alert(&self, tenant: u32, id: &str) -> bool {
        let mut state = self.state(tenant);
        match state.alerts.find(id) {
            Some(index) => self.update_at(tenant, &mut state, index),
            None => false,
        }
    }

    pub(crate) fn update_at(&self, tenant: u32, state: &mut TenantState, index: u32) -> bool {
        let facts = &self.tenants[tenant as usize].facts;
        let Some(row) = state.alerts.newest(index).cloned() else { return false };
        let Some(plan) = row.alert_plan() else { return false };
        let at = later_version(row.updated, self.now(), true);
        let mut next = plan.advanced(facts, at);
        if self.short_alerts {
            next.target_bytes = 0;
        }
        let (incident, severity) = (next.incident, next.severity);
        let row = Arc::new(Row::alert(next));
        self.publish(tenant, state, RecordKind::Alert, Version { index, row, what: "changed" });
        self.touch_incident(tenant, state, incident, at, severity, true);
        true
    }
}

/// Two versions of one record never share a millisecond: many readers keep no finer time.
pub(crate) fn later_version(before: Ticks, now: Ticks, visible: bool) -> Ticks {
    if !visible {
        return before.max(now);
    }
    if now.milliseconds() > before.milliseconds() { now } else { Ticks(before.0 + TICKS_PER_MILLISECOND) }
}
