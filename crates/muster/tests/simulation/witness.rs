//! What must hold in every history. It knows the log of truth, Muster's requests as the service saw them, the journal, and
//! what Muster claims; it never takes Muster's word for what there was to be read.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use muster_emulator::GraphApi;
use muster_model::{Cursor, Source, TenantId};
use muster_store::SourceState;

use crate::cloud::Asked;
use crate::machine::Accepted;
use crate::truth::{Content, Truth, Version};

/// Something that must never be.
#[derive(Debug)]
pub(crate) struct Violation(pub(crate) String);

type Checked = Result<(), Violation>;
type Key = (TenantId, Source);

/// Records that are visible within this time of their update are not late.
const PROMPT: SignedDuration = SignedDuration::from_secs(450);

/// How much was looked at.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) turns: u64,
    pub(crate) rounds: u64,
    pub(crate) versions: u64,
    pub(crate) records: u64,
    /// Versions that had to be in the journal after some round.
    pub(crate) proved: u64,
    /// Rounds after which something was told to be missing.
    pub(crate) incomplete: u64,
    /// Versions that were missing while that was told.
    pub(crate) missing: u64,
    pub(crate) late: u64,
    pub(crate) failures: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.turns += other.turns;
        self.rounds += other.rounds;
        self.versions += other.versions;
        self.records += other.records;
        self.proved += other.proved;
        self.incomplete += other.incomplete;
        self.missing += other.missing;
        self.late += other.late;
        self.failures += other.failures;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { turns, rounds, versions, records, proved, incomplete, missing, late, failures } = self;
        write!(
            f,
            "{turns} turns ({failures} failing), {rounds} rounds ({incomplete} with something missing), {versions} versions ({late} late), {records} records; {proved} times a version had to be there, {missing} times it was told to be missing"
        )
    }
}

/// A live round as seen from outside.
#[derive(Debug, Clone, Copy)]
struct Round {
    from: Timestamp,
    began: Timestamp,
    ended: Timestamp,
}

#[derive(Default)]
struct Reading {
    under_way: Option<(Timestamp, Timestamp)>,
    rounds: Vec<Round>,
    last_success_at: Option<Timestamp>,
    next_from: Option<String>,
}

/// A turn of Muster, as seen from outside.
pub(crate) struct Turn<'a> {
    pub(crate) key: Key,
    pub(crate) before: &'a Cursor,
    pub(crate) after: &'a Cursor,
    pub(crate) state: &'a SourceState,
    pub(crate) asked: Vec<Asked>,
    pub(crate) killed: bool,
    pub(crate) now: Timestamp,
}

/// Sees all, and says what must not be.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) truth: Truth,
    kept: HashMap<(TenantId, Source, String), Vec<Content>>,
    /// Places of the versions that are in the journal.
    held: HashSet<usize>,
    readings: HashMap<Key, Reading>,
    pub(crate) counts: Counts,
}

fn live_round_under_way(cursor: &Cursor) -> bool {
    cursor.in_round() && !cursor.is_healing()
}

fn field(cursor: &Cursor, name: &str) -> Option<String> {
    let cursor = serde_json::to_value(cursor).expect("a cursor is JSON");
    cursor[name].as_str().map(str::to_owned)
}

impl Witness {
    /// Nothing in the journal is invented, and nothing is there twice.
    pub(crate) fn accepted(&mut self, api: &GraphApi, records: Vec<Accepted>) -> Checked {
        if !records.is_empty() {
            self.truth.update(api);
        }
        for Accepted { tenant, source, id, updated_at, body } in records {
            self.counts.records += 1;
            let wrong =
                |what: &str| Violation(format!("{source} {id} of {updated_at:?}: {what}: {body:.2000}"));
            let content = Content::read(source, body.as_bytes()).ok_or_else(|| wrong("no JSON"))?;
            let Some(version) = self.truth.find(tenant, source, &id, &content.body) else {
                return Err(wrong("the journal holds what never was"));
            };
            // The journal's heads hold no times that nanoseconds of 64 bits do not reach.
            let reachable = i64::try_from(version.updated_at.as_nanosecond()).is_ok();
            if updated_at != Some(version.updated_at).filter(|_| reachable) {
                return Err(wrong("the journal holds another time of update"));
            }
            for alert in content.alerts.iter().flatten() {
                if !self.truth.belongs(version, alert) {
                    return Err(wrong(&format!("what it holds never was: {alert:.500}")));
                }
            }
            let all_of = |place: usize| {
                let (one, other) = (&self.truth.versions[place], version);
                one.updated_at == other.updated_at && one.told.id == other.told.id
            };
            let same: Vec<usize> = self
                .truth
                .versions
                .iter()
                .filter(|one| one.tenant == tenant && one.source == source && all_of(one.place))
                .filter(|one| self.truth.body(one.place) == &content.body)
                .map(|one| one.place)
                .collect();
            self.held.extend(same);
            let kept = self.kept.entry((tenant, source, id.clone())).or_default();
            if kept.contains(&content) {
                return Err(Violation(format!("{source} {id} of {updated_at:?} is twice in the journal")));
            }
            let fuller = kept.iter().find(|kept| kept.body == content.body && kept.alerts.is_some());
            if content.alerts.is_none() && fuller.is_some() {
                return Err(Violation(format!(
                    "{source} {id} of {updated_at:?} comes again without its alerts"
                )));
            }
            kept.push(content);
        }
        Ok(())
    }

    /// What a turn claims.
    pub(crate) fn turn(&mut self, api: &GraphApi, turn: Turn<'_>) -> Checked {
        let Turn { key, before, after, state, asked, killed, now } = turn;
        self.counts.turns += 1;
        self.counts.failures += u64::from(state.failures > 0);
        if state.last_error.as_deref().is_some_and(|error| error.contains("a fault of Muster")) {
            return Err(Violation(format!("{} made the program fail", key.1)));
        }
        let reading = self.readings.entry(key).or_default();
        if !live_round_under_way(before) {
            reading.under_way = None;
        }
        if reading.under_way.is_none() {
            // What a kill left of a hole may be asked for first, and is no news.
            let next_from = field(before, "next_from").and_then(|from| from.parse().ok());
            let first = asked.first().filter(|first| !before.is_healing() || first.from == next_from);
            reading.under_way = first.and_then(|first| Some((first.from?, first.at)));
        }
        let caught_up = !killed && state.last_success_at != reading.last_success_at;
        reading.last_success_at = state.last_success_at;
        let next_from = field(after, "next_from");
        let moved = reading.next_from.is_some() && reading.next_from != next_from;
        reading.next_from = next_from;
        if live_round_under_way(after) || !(caught_up || moved) {
            if !live_round_under_way(after) {
                reading.under_way = None;
            }
            return Ok(());
        }
        let Some((from, began)) = reading.under_way.take() else {
            return match caught_up {
                true => Err(Violation(format!("{} counts as read though nothing new was asked for", key.1))),
                false => Ok(()),
            };
        };
        let round = Round { from, began, ended: now };
        reading.rounds.push(round);
        self.counts.rounds += 1;
        self.truth.update(api);
        self.round(key, round, after, state, killed)
    }

    /// After a complete round everything that was readable throughout is in the journal, or told to be missing.
    fn round(
        &mut self,
        key: Key,
        round: Round,
        after: &Cursor,
        state: &SourceState,
        killed: bool,
    ) -> Checked {
        let incomplete = !after.holes().is_empty() || after.plan().partial.is_some();
        self.counts.incomplete += u64::from(incomplete);
        let complete_up_to = after.complete_up_to();
        for version in self.truth.versions.iter().filter(|version| (version.tenant, version.source) == key) {
            let readable = version.told.is_visible_throughout(round.began, round.ended);
            if !readable || version.updated_at < round.from {
                continue;
            }
            self.counts.proved += 1;
            if self.held.contains(&version.place) {
                continue;
            }
            self.counts.missing += 1;
            let lost = |how: &str| Violation(format!("{} {how}; {round:?}", described(version)));
            if version.updated_at < complete_up_to {
                return Err(lost(&format!("is missing though all is claimed up to {complete_up_to}")));
            }
            let told = after.holes().into_iter().any(|hole| {
                hole.from <= version.updated_at && hole.to.is_none_or(|to| version.updated_at < to)
            });
            let partial = after.plan().partial.as_ref().is_some_and(|part| part.from <= version.updated_at);
            if !told && !partial {
                return Err(lost("was readable throughout a complete round and is missing, silently"));
            }
            if !killed && state.last_error.is_none() {
                return Err(lost("is missing and the status says nothing"));
            }
        }
        Ok(())
    }

    /// When all is quiet, and everything has been asked for again.
    pub(crate) fn quiet(
        &mut self,
        api: &GraphApi,
        states: &[(SourceState, Cursor)],
        now: Timestamp,
    ) -> Checked {
        self.truth.update(api);
        self.counts.versions += self.truth.versions.len() as u64;
        for (state, cursor) in states {
            if let Some(error) = &state.last_error {
                return Err(Violation(format!("{} is not well when all is quiet: {error}", state.source)));
            }
            if let Some(hole) = cursor.holes().first() {
                return Err(Violation(format!("{} has a hole when all is quiet: {hole:?}", state.source)));
            }
        }
        for version in &self.truth.versions {
            let Some(reading) = self.readings.get(&(version.tenant, version.source)) else { continue };
            let Some(first) = reading.rounds.iter().map(|round| round.from).min() else {
                return Err(Violation(format!("{} was never read to its end", version.source)));
            };
            if !version.told.newest || !version.told.is_visible_at(now) || version.updated_at < first {
                continue;
            }
            let late = version.told.visible_from.duration_since(version.updated_at) > PROMPT;
            self.counts.late += u64::from(late);
            if !self.held.contains(&version.place) && !late {
                return Err(Violation(format!("{} is missing when all is quiet", described(version))));
            }
        }
        Ok(())
    }
}

fn described(version: &Version) -> String {
    let told = &version.told;
    let until = told.visible_until.map_or_else(|| "now".to_owned(), |until| until.to_string());
    format!(
        "{} {} version {} ({}) updated {}, visible from {} until {until},",
        version.source, told.id, told.version, told.what, version.updated_at, told.visible_from
    )
}
