//! Alerts that appear by themselves: the past, and a rate.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use crate::receivers::RecordKind;
use crate::world::appear::NewAlert;
use crate::world::dice::Dice;
use crate::world::query::List;
use crate::world::records::Recordings;
use crate::world::tenants::{Production, TenantState, UpdatePolicy, World, draw_wait, lock};
use crate::world::ticks::{TICKS_PER_SECOND, Ticks};
use crate::world::truth::NewEntry;

impl World {
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
                let entry = NewEntry {
                    tenant,
                    kind,
                    row,
                    what: "created",
                    made: now,
                    visible_from: now,
                    before: None,
                };
                self.write_down(&mut truth, table, index, entry);
            }
        }
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
}
