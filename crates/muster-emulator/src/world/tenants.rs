//! All tenants with their alerts and incidents, as they are now, and the log of every version there ever was.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::receivers::{Produced, RecordKind};
use crate::world::cast::{self, TenantFacts};
use crate::world::clock::Clock;
use crate::world::dice::{Dice, derive};
use crate::world::generate::{AlertPlan, IncidentPlan, SEVERITIES, alert_seed};
use crate::world::hostile::WrittenRecord;
use crate::world::query::{List, Query};
use crate::world::records::Recordings;
use crate::world::table::{FixedFields, Page, Row, Table};
use crate::world::ticks::{TICKS_PER_MILLISECOND, TICKS_PER_SECOND, Ticks};
use crate::world::truth::{Entry, NewEntry, TruthLog, TruthVersion};

/// The tenants and what happened to them.
pub(crate) struct World {
    clock: Arc<dyn Clock>,
    /// The customers, and after them the provider's own tenant, which has no alerts.
    tenants: Vec<Tenant>,
    by_name: HashMap<String, u32>,
    /// Running sums: the tenant of a throw is the first whose sum is above it.
    weights: Vec<f64>,
    large_one_in: u32,
    truth: Mutex<TruthLog>,
    seed: u64,
    /// Whether alerts are written as short as they can be.
    short_alerts: bool,
    counters: Mutex<Production>,
}

struct Tenant {
    facts: TenantFacts,
    state: Mutex<TenantState>,
}

/// The records of one tenant.
#[derive(Default)]
pub(crate) struct TenantState {
    pub(crate) alerts: Table,
    pub(crate) incidents: Table,
    /// Alerts of each incident, by place in `alerts`.
    pub(crate) members: Vec<Vec<u32>>,
    /// The incident that new alerts join, and how many more it takes.
    pub(crate) open_incident: Option<(u32, u32)>,
    next_incident: u64,
    next_alert: u64,
    /// Versions that are not visible yet, the next first: when, in which order they were made, and what.
    hidden: BinaryHeap<Reverse<(Ticks, u64, HiddenRow)>>,
    hidden_made: u64,
    lateness: Option<Lateness>,
}

/// A version that waits to become visible.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct HiddenRow {
    kind: RecordKind,
    index: u32,
    /// Its place in the log of truth.
    logged: u32,
}

/// How long after they were made versions become visible.
pub(crate) struct Lateness {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// One version in so many is late.
    pub(crate) one_in: u32,
    pub(crate) dice: Dice,
}

impl Lateness {
    fn draw(&mut self) -> i64 {
        if self.dice.below(u64::from(self.one_in.max(1))) > 0 {
            return 0;
        }
        draw_wait(&mut self.dice, (self.from, self.to))
    }
}

struct Production {
    dice: Dice,
    due_updates: BinaryHeap<Reverse<(Ticks, u32, u32)>>,
}

/// How alerts are updated after they appeared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpdatePolicy {
    pub(crate) share: f64,
    pub(crate) after: (Duration, Duration),
}

/// How much was produced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProducedCounts {
    /// Different alerts.
    pub alerts: u64,
    /// Different incidents.
    pub incidents: u64,
    /// Versions of alerts.
    pub alert_versions: u64,
    /// Versions of incidents.
    pub incident_versions: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(seed: u64, tenants: usize, large_one_in: u32, clock: Arc<dyn Clock>) -> Self {
        let customers = tenants;
        let tenants: Vec<Tenant> = (0..customers as u64)
            .map(|number| cast::tenant(seed, number))
            .chain([cast::provider(seed)])
            .map(|facts| Tenant { facts, state: Mutex::default() })
            .collect();
        let mut by_name = HashMap::with_capacity(tenants.len() * 2);
        for (index, tenant) in (0..).zip(&tenants) {
            by_name.insert(tenant.facts.id.clone(), index);
            by_name.insert(tenant.facts.domain.clone(), index);
        }
        let mut dice = Dice::derived(&[seed, 0x3e16]);
        let mut sum = 0.0;
        // A few large customers and many small ones.
        let weights = tenants[..customers]
            .iter()
            .map(|_| {
                sum += 0.15 + 6.0 * dice.fraction().powi(4);
                sum
            })
            .collect();
        Self {
            clock,
            tenants,
            by_name,
            weights,
            large_one_in,
            truth: Mutex::default(),
            seed,
            short_alerts: false,
            counters: Mutex::new(Production {
                dice: Dice::derived(&[seed, 0x940d]),
                due_updates: BinaryHeap::new(),
            }),
        }
    }

    /// The same with alerts of about two kilobytes, each with one piece of evidence: a simulation reads many.
    #[must_use]
    pub(crate) fn with_short_alerts(self, short_alerts: bool) -> Self {
        Self { short_alerts, ..self }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn now(&self) -> Ticks {
        Ticks::from_timestamp(self.clock.now())
    }

    /// How many customers there are.
    pub(crate) fn tenant_count(&self) -> usize {
        self.weights.len()
    }

    /// The tenant of the provider itself, where its apps are registered.
    pub(crate) fn provider(&self) -> u32 {
        u32::try_from(self.weights.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn facts(&self, tenant: u32) -> &TenantFacts {
        &self.tenants[tenant as usize].facts
    }

    pub(crate) fn all_facts(&self) -> impl Iterator<Item = &TenantFacts> {
        self.tenants[..self.weights.len()].iter().map(|tenant| &tenant.facts)
    }

    /// The tenant of a GUID or domain, upper or lower case.
    pub(crate) fn find_tenant(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).or_else(|| self.by_name.get(&name.to_lowercase())).copied()
    }

    fn throw_tenant(&self, dice: &mut Dice) -> u32 {
        let throw = dice.fraction() * self.weights.last().copied().unwrap_or(0.0);
        let index = self.weights.partition_point(|sum| *sum <= throw);
        u32::try_from(index.min(self.weights.len().saturating_sub(1))).unwrap_or(0)
    }

    /// Fills the past: `count` alerts over the last `history`, all visible at once.
    pub(crate) fn populate(&self, count: u64, history: Duration, updates: UpdatePolicy) {
        if self.weights.is_empty() || count == 0 {
            return;
        }
        let now = self.now();
        let span = i64::try_from(history.as_micros() * 10).unwrap_or(i64::MAX / 2).max(1);
        let step = (span / i64::try_from(count).unwrap_or(i64::MAX)).max(1);
        let mut production = lock(&self.counters);
        let Production { dice, due_updates } = &mut *production;
        for number in 0..i64::try_from(count).unwrap_or(i64::MAX) {
            let offset = (i128::from(span) * i128::from(number) / i128::from(count)) as i64;
            let created = Ticks((now.0 - span + offset + dice.between(0, step - 1)).min(now.0));
            let tenant = self.throw_tenant(dice);
            let delay = if dice.chance(0.6) { 2 } else { 1200 };
            let updated = Ticks((created.0 + dice.between(0, delay * TICKS_PER_SECOND)).min(now.0));
            let later = dice.chance(updates.share);
            let mut state = lock(&self.tenants[tenant as usize].state);
            let new = NewAlert { updated: Some(updated), shown: false, ..NewAlert::shown() };
            let index = self.add_alert(tenant, &mut state, created, new);
            drop(state);
            if later {
                let wait = draw_wait(dice, updates.after);
                due_updates.push(Reverse((Ticks(now.0 + wait), tenant, index)));
            }
        }
        drop(production);
        for index in 0..self.tenants.len() {
            let tenant = u32::try_from(index).unwrap_or(0);
            let mut state = lock(&self.tenants[index].state);
            self.record_all(tenant, &mut state);
        }
    }

    fn record_all(&self, tenant: u32, state: &mut TenantState) {
        let now = self.now();
        let mut truth = lock(&self.truth);
        for (kind, table) in
            [(RecordKind::Alert, &mut state.alerts), (RecordKind::Incident, &mut state.incidents)]
        {
            for index in 0..u32::try_from(table.len()).unwrap_or(u32::MAX) {
                let Some(row) = table.visible(index).cloned() else { continue };
                let place = truth.write(NewEntry {
                    tenant,
                    kind,
                    row,
                    what: "created",
                    made: now,
                    visible_from: now,
                    before: None,
                });
                table.set_logged(index, place);
            }
        }
    }

    /// Makes a version the newest of its record: writes it into the log of truth, and lets answers hold it at once or
    /// when it is late.
    pub(crate) fn publish(&self, tenant: u32, state: &mut TenantState, kind: RecordKind, version: Version) {
        let (index, row) = (version.index, version.row);
        let now = self.now();
        let late = state.lateness.as_mut().map_or(0, Lateness::draw);
        let table = state.table_of(kind);
        let before = table.logged(index);
        table.replace(index, Arc::clone(&row));
        let visible_from = Ticks(now.0.saturating_add(late));
        let entry = NewEntry {
            tenant,
            kind,
            row: Arc::clone(&row),
            what: version.what,
            made: now,
            visible_from,
            before,
        };
        let place = lock(&self.truth).write(entry);
        table.set_logged(index, place);
        if late == 0 {
            table.show(index, row);
        } else {
            state.hidden_made += 1;
            let hidden = HiddenRow { kind, index, logged: place };
            state.hidden.push(Reverse((visible_from, state.hidden_made, hidden)));
        }
    }

    /// Lets answers hold what has become visible by now.
    fn uncover(&self, state: &mut TenantState) {
        let now = self.now();
        while state.hidden.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, _, hidden))) = state.hidden.pop() else { return };
            let truth = lock(&self.truth);
            let Some(entry) = truth.entries().get(hidden.logged as usize) else { continue };
            // A newer version was visible before this one.
            if entry.visible_until.is_some_and(|until| until <= entry.visible_from) {
                continue;
            }
            let row = Arc::clone(&entry.row);
            drop(truth);
            state.table_of(hidden.kind).show(hidden.index, row);
        }
    }

    /// Locks a tenant, with all visible that is by now.
    pub(crate) fn state(&self, tenant: u32) -> MutexGuard<'_, TenantState> {
        let mut state = lock(&self.tenants[tenant as usize].state);
        if !state.hidden.is_empty() {
            self.uncover(&mut state);
        }
        state
    }

    /// From now on, new versions of a tenant become visible late; or at once again.
    pub(crate) fn set_lateness(&self, tenant: u32, lateness: Option<Lateness>) {
        self.state(tenant).lateness = lateness;
    }

    /// Puts recorded alerts and incidents into the first tenant.
    pub(crate) fn serve_records(&self, recordings: Recordings) -> (usize, usize) {
        let Some(tenant) = self.tenants.first() else { return (0, 0) };
        let mut state = lock(&tenant.state);
        let mut records = recordings.records;
        records.sort_by_key(|record| (record.row.created, record.row.updated));
        for record in records {
            if record.list == List::Incidents {
                state.members.push(Vec::new());
            }
            let (table, row) = (state.table_mut(record.list), Arc::new(record.row));
            let index = table.push(Arc::clone(&row));
            table.show(index, row);
        }
        self.record_all(0, &mut state);
        (state.alerts.len(), state.incidents.len())
    }

    /// Lets `count` alerts appear now, in tenants by their size; some will be updated later.
    pub(crate) fn produce(&self, count: u64, updates: UpdatePolicy) {
        if self.weights.is_empty() {
            return;
        }
        for _ in 0..count {
            let mut production = lock(&self.counters);
            let tenant = self.throw_tenant(&mut production.dice);
            let later = production.dice.chance(updates.share);
            let wait = draw_wait(&mut production.dice, updates.after);
            drop(production);
            let (index, at) = self.appear(tenant, NewAlert::shown());
            if later {
                lock(&self.counters).due_updates.push(Reverse((Ticks(at.0 + wait), tenant, index)));
            }
        }
    }

    /// One new alert of a tenant, now.
    fn appear(&self, tenant: u32, new: NewAlert) -> (u32, Ticks) {
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
            let body = Bytes::from(record.json);
            let row = Row::fixed(record.id.clone(), record.at, record.at, FixedFields::default(), body);
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

    /// Does the updates whose time has come; gives how many.
    pub(crate) fn run_due_updates(&self, updates: UpdatePolicy) -> usize {
        let now = self.now();
        let mut done = 0;
        loop {
            let mut production = lock(&self.counters);
            let due = production.due_updates.peek().is_some_and(|Reverse((at, ..))| *at <= now);
            let Some(Reverse((_, tenant, index))) = due.then(|| production.due_updates.pop()).flatten()
            else {
                return done;
            };
            let again = production.dice.chance(0.3);
            let wait = draw_wait(&mut production.dice, updates.after);
            if again {
                production.due_updates.push(Reverse((
                    Ticks(now.0 + wait.max(TICKS_PER_SECOND)),
                    tenant,
                    index,
                )));
            }
            drop(production);
            let mut state = self.state(tenant);
            self.update_at(tenant, &mut state, index);
            done += 1;
        }
    }

    /// How many updates are still to come.
    pub(crate) fn updates_due_later(&self) -> usize {
        lock(&self.counters).due_updates.len()
    }

    pub(crate) fn select(&self, tenant: u32, list: List, query: &Query, page_size: usize) -> Page {
        self.state(tenant).table(list).select(query, page_size)
    }

    pub(crate) fn find_row(&self, tenant: u32, list: List, id: &str) -> Option<(u32, Arc<Row>)> {
        let state = self.state(tenant);
        let index = state.table(list).find(id)?;
        state.table(list).visible(index).map(|row| (index, Arc::clone(row)))
    }

    /// An incident and its alerts, in the order they joined, at one moment: an incident never shows alerts that are
    /// newer than itself.
    pub(crate) fn incident_with_members(
        &self,
        tenant: u32,
        incident: u32,
    ) -> Option<(Arc<Row>, Vec<Arc<Row>>)> {
        let state = self.state(tenant);
        let row = state.incidents.visible(incident).cloned()?;
        Some((row, state.visible_members(incident)))
    }

    /// The alerts of an incident, in the order they joined.
    pub(crate) fn members(&self, tenant: u32, incident: u32) -> Vec<Arc<Row>> {
        self.state(tenant).visible_members(incident)
    }

    /// Writes all bodies now, so that no reader waits for them later.
    pub(crate) fn write_bodies(&self) {
        for tenant in &self.tenants {
            let state = lock(&tenant.state);
            let rows: Vec<_> = state.alerts.rows().chain(state.incidents.rows()).cloned().collect();
            drop(state);
            for row in rows {
                row.body(&tenant.facts);
            }
        }
    }

    /// Every version that was ever visible, in order.
    pub(crate) fn produced(&self) -> Vec<Produced> {
        let now = self.now();
        let truth = lock(&self.truth);
        let seen = truth.entries().iter().filter(|entry| entry.was_visible_by(now));
        seen.map(|entry| Produced {
            tenant: self.facts(entry.tenant).id.clone(),
            kind: entry.kind,
            id: entry.row.id.clone(),
            updated_ms: entry.row.updated.milliseconds(),
        })
        .collect()
    }

    /// The log of truth, of one tenant or of all.
    pub(crate) fn truth(&self, tenant: Option<u32>) -> Vec<TruthVersion> {
        let truth = lock(&self.truth);
        let wanted = |entry: &&Entry| tenant.is_none_or(|tenant| tenant == entry.tenant);
        truth
            .entries()
            .iter()
            .filter(wanted)
            .map(|entry| entry.public(&self.facts(entry.tenant).id))
            .collect()
    }

    /// What answers hold of a version, by its place in the log of truth.
    pub(crate) fn truth_body(&self, place: usize) -> Option<Bytes> {
        let truth = lock(&self.truth);
        let entry = truth.entries().get(place)?;
        Some(entry.row.body(self.facts(entry.tenant)).full.clone())
    }

    pub(crate) fn produced_counts(&self) -> ProducedCounts {
        let mut counts = ProducedCounts::default();
        let now = self.now();
        for entry in lock(&self.truth).entries().iter().filter(|entry| entry.was_visible_by(now)) {
            match entry.kind {
                RecordKind::Alert => counts.alert_versions += 1,
                RecordKind::Incident => counts.incident_versions += 1,
            }
        }
        for tenant in 0..u32::try_from(self.tenants.len()).unwrap_or(u32::MAX) {
            let state = self.state(tenant);
            counts.alerts += state.alerts.visible_len() as u64;
            counts.incidents += state.incidents.visible_len() as u64;
        }
        counts
    }
}

/// A new version of a record.
pub(crate) struct Version {
    pub(crate) index: u32,
    pub(crate) row: Arc<Row>,
    pub(crate) what: &'static str,
}

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

impl TenantState {
    fn table_mut(&mut self, list: List) -> &mut Table {
        match list {
            List::Alerts => &mut self.alerts,
            List::Incidents => &mut self.incidents,
        }
    }

    fn table_of(&mut self, kind: RecordKind) -> &mut Table {
        match kind {
            RecordKind::Alert => &mut self.alerts,
            RecordKind::Incident => &mut self.incidents,
        }
    }

    fn visible_members(&self, incident: u32) -> Vec<Arc<Row>> {
        let members = self.members.get(incident as usize).map_or(&[] as &[u32], Vec::as_slice);
        members.iter().filter_map(|&index| self.alerts.visible(index).cloned()).collect()
    }

    fn table(&self, list: List) -> &Table {
        match list {
            List::Alerts => &self.alerts,
            List::Incidents => &self.incidents,
        }
    }
}

/// Two versions of one record never share a millisecond: many readers keep no finer time.
pub(crate) fn later_version(before: Ticks, now: Ticks, visible: bool) -> Ticks {
    if !visible {
        return before.max(now);
    }
    if now.milliseconds() > before.milliseconds() { now } else { Ticks(before.0 + TICKS_PER_MILLISECOND) }
}

fn draw_wait(dice: &mut Dice, (from, to): (Duration, Duration)) -> i64 {
    let ticks = |duration: Duration| i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX / 4);
    dice.between(ticks(from), ticks(to).max(ticks(from)))
}

/// The seed of secrets that a world hands out.
pub(crate) fn secret_from(seed: u64, what: u64) -> Dice {
    Dice::new(derive(&[seed, 0x5ec4e7, what]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::clock::ManualClock;

    /// Every body of a world, as callers with and without `Prefer` see them, as one hash.
    fn fingerprint(seed: u64) -> String {
        let clock = Arc::new(ManualClock::new("2026-11-21T03:46:39Z".parse().unwrap()));
        let world = World::new(seed, 5, 40, Arc::clone(&clock) as Arc<dyn Clock>);
        let updates = UpdatePolicy { share: 0.3, after: (Duration::from_secs(2), Duration::from_secs(30)) };
        world.populate(600, Duration::from_secs(6 * 3600), updates);
        clock.advance(Duration::from_secs(60));
        world.run_due_updates(updates);
        world.produce(50, updates);
        let mut all = Vec::new();
        for tenant in &world.tenants {
            let state = lock(&tenant.state);
            for row in state.alerts.rows().chain(state.incidents.rows()) {
                row.body(&tenant.facts).append_to(&mut all, true);
                row.body(&tenant.facts).append_to(&mut all, false);
            }
        }
        let hash = ring::digest::digest(&ring::digest::SHA256, &all);
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn one_seed_gives_one_world_byte_for_byte() {
        assert_eq!(fingerprint(7), "5250e93960f8405a6a88fffe002154dd14b48106f573c1f0b10e968d568e035a");
    }
}
