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
use crate::world::query::{List, Query};
use crate::world::table::{Page, Row, Table};
use crate::world::ticks::Ticks;
use crate::world::truth::{Entry, NewEntry, TruthLog, TruthVersion};

/// The tenants and what happened to them.
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    /// The customers, and after them the provider's own tenant, which has no alerts.
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) by_name: HashMap<String, u32>,
    /// Running sums: the tenant of a throw is the first whose sum is above it.
    pub(crate) weights: Vec<f64>,
    pub(crate) large_one_in: u32,
    pub(crate) truth: Mutex<TruthLog>,
    pub(crate) seed: u64,
    /// Whether alerts are written as short as they can be.
    pub(crate) short_alerts: bool,
    pub(crate) counters: Mutex<Production>,
    /// The kinds of records that are written down as produced. Those of Graph are in the log of truth in any case.
    pub(crate) kinds: Vec<RecordKind>,
}

pub(crate) struct Tenant {
    pub(crate) facts: TenantFacts,
    pub(crate) state: Mutex<TenantState>,
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
    pub(crate) next_incident: u64,
    pub(crate) next_alert: u64,
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

/// How alerts are updated after they appeared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpdatePolicy {
    pub(crate) share: f64,
    pub(crate) after: (Duration, Duration),
}

/// What is to happen by itself.
pub(crate) struct Production {
    pub(crate) dice: Dice,
    pub(crate) due_updates: BinaryHeap<Reverse<(Ticks, u32, u32)>>,
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

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            kinds: vec![RecordKind::Alert, RecordKind::Incident],
        }
    }

    /// The same with alerts of about two kilobytes, each with one piece of evidence: a simulation reads many.
    #[must_use]
    pub(crate) fn with_short_alerts(self, short_alerts: bool) -> Self {
        Self { short_alerts, ..self }
    }

    /// The same where records of these kinds are written down as produced.
    #[must_use]
    pub(crate) fn with_kinds(self, kinds: Vec<RecordKind>) -> Self {
        Self { kinds, ..self }
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

    /// Makes a version the newest of its record: writes it into the log of truth, and lets answers hold it at once or
    /// when it is late.
    pub(crate) fn publish(&self, tenant: u32, state: &mut TenantState, kind: RecordKind, version: Version) {
        let (index, row) = (version.index, version.row);
        let now = self.now();
        let late = state.lateness.as_mut().map_or(0, Lateness::draw);
        let table = state.table_of(kind);
        table.replace(index, Arc::clone(&row));
        let visible_from = Ticks(now.0.saturating_add(late));
        let entry = NewEntry {
            tenant,
            kind,
            row: Arc::clone(&row),
            what: version.what,
            made: now,
            visible_from,
            before: None,
        };
        let place = self.write_down(&mut lock(&self.truth), table, index, entry);
        if late == 0 {
            table.show(index, row);
        } else {
            state.hidden_made += 1;
            let hidden = HiddenRow { kind, index, logged: place };
            state.hidden.push(Reverse((visible_from, state.hidden_made, hidden)));
        }
    }

    /// Writes a version into the log of truth, for each API that shows it; gives the place of Graph's.
    pub(crate) fn write_down(
        &self,
        truth: &mut TruthLog,
        table: &mut Table,
        index: u32,
        new: NewEntry,
    ) -> u32 {
        let seen = new.row.is_seen_elsewhere(new.kind);
        let others: Vec<(usize, NewEntry)> = new
            .kind
            .elsewhere()
            .iter()
            .enumerate()
            .filter(|(_, kind)| seen && self.kinds.contains(kind))
            .map(|(number, kind)| {
                let before = table.logged_elsewhere(index, number);
                (number, NewEntry { kind: *kind, row: Arc::clone(&new.row), before, ..new })
            })
            .collect();
        let place = truth.write(NewEntry { before: table.logged(index), ..new });
        table.set_logged(index, place);
        for (number, other) in others {
            let place = truth.write(other);
            table.set_logged_elsewhere(index, number, place);
        }
        place
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
        let counts = |entry: &&Entry| entry.was_visible_by(now) && self.kinds.contains(&entry.kind);
        let seen = truth.entries().iter().filter(counts);
        seen.map(|entry| Produced {
            tenant: self.facts(entry.tenant).id.clone(),
            kind: entry.kind,
            id: entry.row.id_as(entry.kind).into_owned(),
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

    pub(crate) fn truth_len(&self) -> usize {
        lock(&self.truth).entries().len()
    }

    /// What answers hold of a version, by its place in the log of truth.
    pub(crate) fn truth_body(&self, place: usize) -> Option<Bytes> {
        let truth = lock(&self.truth);
        let entry = truth.entries().get(place)?;
        Some(entry.row.text_as(entry.kind, self.facts(entry.tenant)))
    }

    /// An alert's version as Graph has it, by its place in the log of truth.
    pub(crate) fn truth_alert(&self, place: usize) -> Option<Bytes> {
        let truth = lock(&self.truth);
        let entry = truth.entries().get(place).filter(|entry| entry.kind == RecordKind::Alert)?;
        Some(entry.row.body(self.facts(entry.tenant)).full.clone())
    }

    /// An alert's version as an incident of Defender XDR holds it, by its place in the log of truth.
    pub(crate) fn truth_body_in_xdr(&self, place: usize) -> Option<Bytes> {
        let truth = lock(&self.truth);
        let entry = truth.entries().get(place).filter(|entry| entry.kind == RecordKind::Alert)?;
        entry.row.xdr(entry.kind, self.facts(entry.tenant)).cloned()
    }

    pub(crate) fn produced_counts(&self) -> ProducedCounts {
        let mut counts = ProducedCounts::default();
        let now = self.now();
        for entry in lock(&self.truth).entries().iter().filter(|entry| entry.was_visible_by(now)) {
            match entry.kind {
                RecordKind::Alert => counts.alert_versions += 1,
                RecordKind::Incident => counts.incident_versions += 1,
                RecordKind::EndpointAlert | RecordKind::XdrIncident | RecordKind::SiemDetection => {}
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

impl TenantState {
    pub(crate) fn table_mut(&mut self, list: List) -> &mut Table {
        match list {
            List::Alerts => &mut self.alerts,
            List::Incidents => &mut self.incidents,
        }
    }

    fn table_of(&mut self, kind: RecordKind) -> &mut Table {
        match kind.family() {
            RecordKind::Alert | RecordKind::EndpointAlert | RecordKind::SiemDetection => &mut self.alerts,
            RecordKind::Incident | RecordKind::XdrIncident => &mut self.incidents,
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

pub(crate) fn draw_wait(dice: &mut Dice, (from, to): (Duration, Duration)) -> i64 {
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
