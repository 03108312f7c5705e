//! Which tenants are silent for longer than is their habit.
//!
//! The habit is learnt from the hours of the ledger, and cautiously: a tenant that has hardly brought anything, or is new, has
//! none, and nobody is told that it is silent. A holiday is no reason either, as long as there was one like it.

use std::time::Duration;

use jiff::SignedDuration;
use muster_microsoft::SourceWord;
use muster_store::{NoticeCondition, TenantHabit};

use super::conditions::{Facts, Habit, Silence};
use super::kind::Kind;
use crate::shown::state::since;
use crate::shown::status::{Snapshot, TenantStatus};

/// So much of the past is looked at.
pub const WATCHED: SignedDuration = SignedDuration::from_hours(24 * 28);
/// So often it is looked.
pub const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// A habit needs so many hours with something new,
const HOURS_LEAST: u64 = 24;
/// and so much time from the first to the last of them.
const SPAN_LEAST: SignedDuration = SignedDuration::from_hours(24 * 7);
/// A tenant is never silent before this, whatever its habit.
const SILENT_LEAST: Duration = Duration::from_secs(24 * 3_600);
/// So many times the longest gap is longer than is its habit.
const TIMES: u32 = 2;

/// Those that are silent. What cannot be read is no silence: other conditions tell that.
#[must_use]
pub fn silent(now: &Snapshot, habits: &[TenantHabit], known: &[NoticeCondition]) -> Vec<Silence> {
    let mut silent: Vec<Silence> = habits.iter().filter_map(|habit| silence(now, habit)).collect();
    for goes_on in known.iter().filter_map(|known| that_goes_on(now, known)) {
        if silent.iter().all(|silence| silence.tenant != goes_on.tenant) {
            silent.push(goes_on);
        }
    }
    silent
}

/// A silence that was seen before and lasts: the habit is learnt from a time that slides on, until the silence is all of it.
fn that_goes_on(now: &Snapshot, known: &NoticeCondition) -> Option<Silence> {
    if known.ended_at.is_some() || known.kind != Kind::TenantSilent.as_str() {
        return None;
    }
    let since = serde_json::from_str::<Facts>(&known.facts).ok()?.since?;
    let tenant = now.tenants.iter().find(|tenant| Some(tenant.id) == known.tenant)?;
    let is_new = tenant.sources.iter().filter_map(|source| source.last_new_at).any(|new| new > since);
    (!is_new && is_read(tenant)).then_some(Silence { tenant: tenant.id, since, habit: None })
}

fn silence(now: &Snapshot, habit: &TenantHabit) -> Option<Silence> {
    let tenant = now.tenants.iter().find(|tenant| tenant.id == habit.tenant)?;
    let known = habit.last.duration_since(habit.first);
    if habit.hours < HOURS_LEAST || known < SPAN_LEAST || !is_read(tenant) {
        return None;
    }
    // Something may have been accepted since without a time of its own.
    let last = tenant.sources.iter().filter_map(|source| source.last_new_at).max()?.max(habit.last);
    let longest_before = Duration::from_secs(habit.longest_gap_hours.saturating_mul(3_600));
    let silent_for = since(last, now.at);
    let least = (longest_before * TIMES).max(SILENT_LEAST);
    (silent_for > least).then_some(Silence {
        tenant: habit.tenant,
        since: last,
        habit: Some(Habit { longest_before, watched: Duration::try_from(known).unwrap_or_default() }),
    })
}

/// Whether all its sources are read to their ends, so that silence says something.
fn is_read(tenant: &TenantStatus) -> bool {
    tenant.is_worked_on()
        && tenant.sources.iter().all(|source| matches!(source.state, SourceWord::Reading | SourceWord::Quiet))
}
