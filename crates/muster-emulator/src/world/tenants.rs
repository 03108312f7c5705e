//! All tenants with their alerts and incidents, as they are now, and the ledger of every version ever shown.

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
use crate::world::hostile::hostile_records;
use crate::world::query::{List, Query};
use crate::world::records::Recordings;
use crate::world::table::{FixedFields, Page, Row, Table};
use crate::world::ticks::{TICKS_PER_MILLISECOND, TICKS_PER_SECOND, Ticks};

/// The tenants and what happened to them.
pub(crate) struct World {
    clock: Arc<dyn Clock>,
    /// The customers, and after them the provider's own tenant, which has no alerts.
    tenants: Vec<Tenant>,
    by_name: HashMap<String, u32>,
    /// Running sums: the tenant of a throw is the first whose sum is above it.
    weights: Vec<f64>,
    large_one_in: u32,
    ledger: Mutex<Vec<LedgerEntry>>,
    counters: Mutex<Production>,
}

struct Tenant {
    facts: TenantFacts,
    state: Mutex<TenantState>,
}

#[derive(Default)]
struct TenantState {
    alerts: Table,
    incidents: Table,
    /// Alerts of each incident, by place in `alerts`.
    members: Vec<Vec<u32>>,
    /// The incident that new alerts join, and how many more it takes.
    open_incident: Option<(u32, u32)>,
    next_incident: u64,
    next_alert: u64,
}

struct LedgerEntry {
    tenant: u32,
    kind: RecordKind,
    index: u32,
    updated_ms: i64,
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
            ledger: Mutex::default(),
            counters: Mutex::new(Production {
                dice: Dice::derived(&[seed, 0x940d]),
                due_updates: BinaryHeap::new(),
            }),
        }
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
            let index = self.add_alert(tenant, &mut state, created, updated, None, false);
            drop(state);
            if later {
                let wait = draw_wait(dice, updates.after);
                due_updates.push(Reverse((Ticks(now.0 + wait), tenant, index)));
            }
        }
        drop(production);
        for index in 0..self.tenants.len() {
            let tenant = u32::try_from(index).unwrap_or(0);
            let state = lock(&self.tenants[index].state);
            self.record_all(tenant, &state);
        }
    }

    fn record_all(&self, tenant: u32, state: &TenantState) {
        let mut ledger = lock(&self.ledger);
        for (kind, table) in [(RecordKind::Alert, &state.alerts), (RecordKind::Incident, &state.incidents)] {
            ledger.extend((0..).zip(table.rows()).map(|(index, row)| LedgerEntry {
                tenant,
                kind,
                index,
                updated_ms: row.updated.milliseconds(),
            }));
        }
    }

    fn record(&self, tenant: u32, kind: RecordKind, index: u32, at: Ticks) {
        lock(&self.ledger).push(LedgerEntry { tenant, kind, index, updated_ms: at.milliseconds() });
    }

    /// Puts recorded alerts and incidents into the first tenant.
    pub(crate) fn serve_records(&self, recordings: Recordings) -> (usize, usize) {
        let Some(tenant) = self.tenants.first() else { return (0, 0) };
        let mut state = lock(&tenant.state);
        let mut records = recordings.records;
        records.sort_by_key(|record| (record.row.created, record.row.updated));
        for record in records {
            match record.list {
                List::Alerts => _ = state.alerts.push(record.row),
                List::Incidents => {
                    state.incidents.push(record.row);
                    state.members.push(Vec::new());
                }
            }
        }
        self.record_all(0, &state);
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
            let (index, at) = self.appear(tenant, None);
            if later {
                lock(&self.counters).due_updates.push(Reverse((Ticks(at.0 + wait), tenant, index)));
            }
        }
    }

    /// One new alert of a tenant, now.
    fn appear(&self, tenant: u32, title: Option<String>) -> (u32, Ticks) {
        let mut state = lock(&self.tenants[tenant as usize].state);
        let now = self.now();
        let index = self.add_alert(tenant, &mut state, now, now, title, true);
        (index, now)
    }

    /// New alerts of one tenant, now; gives their ids.
    pub(crate) fn add_alerts(&self, tenant: u32, count: usize, title: Option<&str>) -> Vec<String> {
        (0..count)
            .filter_map(|_| {
                let (index, _) = self.appear(tenant, title.map(str::to_owned));
                self.row_at(tenant, List::Alerts, index).map(|row| row.id.clone())
            })
            .collect()
    }

    /// Adds records written as attackers and accidents write them; gives the ids of those that have one.
    pub(crate) fn add_hostile(&self, tenant: u32) -> Vec<String> {
        let mut state = lock(&self.tenants[tenant as usize].state);
        let mut ids = Vec::new();
        for hostile in hostile_records(&self.tenants[tenant as usize].facts, self.now()) {
            let fields = FixedFields::default();
            let body = Bytes::from(hostile.json);
            let index =
                state.alerts.push(Row::fixed(hostile.id.clone(), hostile.at, hostile.at, fields, body));
            if hostile.identifiable {
                self.record(tenant, RecordKind::Alert, index, hostile.at);
                ids.push(hostile.id);
            }
        }
        ids
    }

    fn add_alert(
        &self,
        tenant: u32,
        state: &mut TenantState,
        created: Ticks,
        updated: Ticks,
        title: Option<String>,
        visible: bool,
    ) -> u32 {
        let facts = &self.tenants[tenant as usize].facts;
        let (incident, left) = match state.open_incident.take() {
            Some(open) => open,
            None => {
                let plan = IncidentPlan::new(facts, state.next_incident, created);
                let size = plan.size(facts);
                state.next_incident += 1;
                state.members.push(Vec::new());
                (state.incidents.push(Row::incident(plan)), size)
            }
        };
        let number = state.next_alert;
        state.next_alert += 1;
        let incident_row =
            Arc::clone(state.incidents.get(incident).expect("an open incident is in its table"));
        let of = incident_row.incident_plan().expect("an open incident was made here");
        let mut plan = AlertPlan::new(alert_seed(facts, number), incident, of, created, self.large_one_in);
        plan.updated = updated;
        plan.title = title;
        let severity = plan.severity;
        let index = state.alerts.push(Row::alert(plan));
        state.members[incident as usize].push(index);
        state.open_incident = (left > 1).then(|| (incident, left - 1));
        if visible {
            self.record(tenant, RecordKind::Alert, index, updated);
        }
        self.touch_incident(tenant, state, incident, updated, severity, visible);
        index
    }

    /// An incident moves when one of its alerts does.
    fn touch_incident(
        &self,
        tenant: u32,
        state: &mut TenantState,
        incident: u32,
        at: Ticks,
        severity: &'static str,
        visible: bool,
    ) {
        let Some(row) = state.incidents.get(incident).cloned() else { return };
        let Some(plan) = row.incident_plan() else { return };
        let mut plan = plan.clone();
        let first = state.members[incident as usize].len() == 1 && plan.updated == plan.created;
        plan.updated = if first { at } else { later_version(row.updated, at, visible) };
        let rank = |severity: &str| SEVERITIES.iter().position(|known| *known == severity);
        if rank(severity) > rank(plan.severity) {
            plan.severity = severity;
        }
        let all_resolved = state.members[incident as usize].iter().all(|&alert| {
            state
                .alerts
                .get(alert)
                .and_then(|row| row.alert_plan())
                .is_some_and(|plan| plan.status == "resolved")
        });
        if all_resolved && state.open_incident.is_none_or(|open| open.0 != incident) {
            plan.status = "resolved";
        } else if plan.status == "resolved" {
            plan.status = "active";
        }
        let updated = plan.updated;
        state.incidents.replace(incident, Row::incident(plan));
        if visible {
            self.record(tenant, RecordKind::Incident, incident, updated);
        }
    }

    /// Updates an alert now; false when the tenant has none of that id that was made here.
    pub(crate) fn update_alert(&self, tenant: u32, id: &str) -> bool {
        let mut state = lock(&self.tenants[tenant as usize].state);
        match state.alerts.find(id) {
            Some(index) => self.update_at(tenant, &mut state, index),
            None => false,
        }
    }

    fn update_at(&self, tenant: u32, state: &mut TenantState, index: u32) -> bool {
        let facts = &self.tenants[tenant as usize].facts;
        let Some(row) = state.alerts.get(index).cloned() else { return false };
        let Some(plan) = row.alert_plan() else { return false };
        let at = later_version(row.updated, self.now(), true);
        let next = plan.advanced(facts, at);
        let (incident, severity) = (next.incident, next.severity);
        state.alerts.replace(index, Row::alert(next));
        self.record(tenant, RecordKind::Alert, index, at);
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
            let mut state = lock(&self.tenants[tenant as usize].state);
            self.update_at(tenant, &mut state, index);
            done += 1;
        }
    }

    /// How many updates are still to come.
    pub(crate) fn updates_due_later(&self) -> usize {
        lock(&self.counters).due_updates.len()
    }

    pub(crate) fn select(&self, tenant: u32, list: List, query: &Query, page_size: usize) -> Page {
        let state = lock(&self.tenants[tenant as usize].state);
        state.table(list).select(query, page_size)
    }

    pub(crate) fn find_row(&self, tenant: u32, list: List, id: &str) -> Option<(u32, Arc<Row>)> {
        let state = lock(&self.tenants[tenant as usize].state);
        let index = state.table(list).find(id)?;
        state.table(list).get(index).map(|row| (index, Arc::clone(row)))
    }

    fn row_at(&self, tenant: u32, list: List, index: u32) -> Option<Arc<Row>> {
        lock(&self.tenants[tenant as usize].state).table(list).get(index).cloned()
    }

    /// An incident and its alerts, in the order they joined, at one moment: an incident never shows alerts that are
    /// newer than itself.
    pub(crate) fn incident_with_members(
        &self,
        tenant: u32,
        incident: u32,
    ) -> Option<(Arc<Row>, Vec<Arc<Row>>)> {
        let state = lock(&self.tenants[tenant as usize].state);
        let row = state.incidents.get(incident).cloned()?;
        let members = state.members.get(incident as usize).map_or(&[] as &[u32], Vec::as_slice);
        Some((row, members.iter().filter_map(|&index| state.alerts.get(index).cloned()).collect()))
    }

    /// The alerts of an incident, in the order they joined.
    pub(crate) fn members(&self, tenant: u32, incident: u32) -> Vec<Arc<Row>> {
        let state = lock(&self.tenants[tenant as usize].state);
        let members = state.members.get(incident as usize).map_or(&[] as &[u32], Vec::as_slice);
        members.iter().filter_map(|&index| state.alerts.get(index).cloned()).collect()
    }

    /// Writes all bodies now, so that no reader waits for them later.
    pub(crate) fn write_bodies(&self) {
        for tenant in &self.tenants {
            let state = lock(&tenant.state);
            let rows: Vec<_> = state.alerts.rows().iter().chain(state.incidents.rows()).cloned().collect();
            drop(state);
            for row in rows {
                row.body(&tenant.facts);
            }
        }
    }

    /// Every version that was ever visible, in order.
    pub(crate) fn produced(&self) -> Vec<Produced> {
        let ledger = lock(&self.ledger);
        // Ids are looked up tenant by tenant: no tenant is locked while the ledger grows elsewhere.
        let entries: Vec<_> =
            ledger.iter().map(|entry| (entry.tenant, entry.kind, entry.index, entry.updated_ms)).collect();
        drop(ledger);
        entries
            .into_iter()
            .filter_map(|(tenant, kind, index, updated_ms)| {
                let list = match kind {
                    RecordKind::Alert => List::Alerts,
                    RecordKind::Incident => List::Incidents,
                };
                let id = self.row_at(tenant, list, index)?.id.clone();
                Some(Produced { tenant: self.facts(tenant).id.clone(), kind, id, updated_ms })
            })
            .collect()
    }

    pub(crate) fn produced_counts(&self) -> ProducedCounts {
        let mut counts = ProducedCounts::default();
        for entry in lock(&self.ledger).iter() {
            match entry.kind {
                RecordKind::Alert => counts.alert_versions += 1,
                RecordKind::Incident => counts.incident_versions += 1,
            }
        }
        for tenant in &self.tenants {
            let state = lock(&tenant.state);
            counts.alerts += state.alerts.len() as u64;
            counts.incidents += state.incidents.len() as u64;
        }
        counts
    }
}

impl TenantState {
    fn table(&self, list: List) -> &Table {
        match list {
            List::Alerts => &self.alerts,
            List::Incidents => &self.incidents,
        }
    }
}

/// Two versions of one record never share a millisecond: many readers keep no finer time.
fn later_version(before: Ticks, now: Ticks, visible: bool) -> Ticks {
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
            for row in state.alerts.rows().iter().chain(state.incidents.rows()) {
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
