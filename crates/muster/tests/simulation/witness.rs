//! What must hold in every history. It knows the log of truth, Muster's requests as the service saw them, the journal, and
//! what Muster claims; it never takes Muster's word for what there was to be read.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use muster_emulator::GraphApi;
use muster_model::{BlobState, Cursor, Hole, Reason, Source, TenantId};
use muster_store::{LedgerHour, SourceState};

use crate::claims::{Claims, Held};
use crate::cloud::Asked;
use crate::machine::Accepted;
use crate::truth::{Content, Truth, Version};

/// Something that must never be.
#[derive(Debug)]
pub(crate) struct Violation(pub(crate) String);

pub(crate) type Checked = Result<(), Violation>;
pub(crate) type Key = (TenantId, Source);

/// Records that are visible within this time of their update are not late: the overlap, less the longest that one answer may
/// take and still hold what its question could not.
const PROMPT: SignedDuration = SignedDuration::from_secs(600 - 125);
/// After so long a sweep has met whatever is visible; sweeps are made each hour, but the last steps of a history take longer.
const SWEPT_WITHIN: SignedDuration = SignedDuration::from_hours(7);
/// What sweeps go back; the nightly one within the last steps of a history.
const SWEPT_BACK: SignedDuration = SignedDuration::from_hours(6 * 24);

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
    /// Hours that the ledger claimed to be complete, each time they were looked at.
    pub(crate) complete: u64,
    /// Incidents that had to have all their alerts in the end.
    pub(crate) whole: u64,
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
        self.complete += other.complete;
        self.whole += other.whole;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            turns,
            rounds,
            versions,
            records,
            proved,
            incomplete,
            missing,
            late,
            failures,
            complete,
            whole,
        } = self;
        write!(
            f,
            "{turns} turns ({failures} failing), {rounds} rounds ({incomplete} with something missing), {versions} versions ({late} late), {records} records; {proved} times a version had to be there, {missing} times it was told to be missing; {complete} times an hour was claimed to be complete; {whole} incidents had to have all their alerts"
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

/// A round that has begun.
struct UnderWay {
    from: Timestamp,
    /// When it was asked for first.
    began: Timestamp,
    /// Up to when what was asked for may not have been answered: until its first window was asked for the last time, or,
    /// where that got no answer, the one behind it.
    asked_again: Timestamp,
    is_behind: bool,
}

impl UnderWay {
    /// A turn asks for these; `is_failing`: the one before ended without an answer.
    fn ask(&mut self, asked: &[Asked], is_failing: bool) {
        for (place, asked) in asked.iter().enumerate() {
            let is_first = asked.from == Some(self.from);
            if is_first || !self.is_behind || (place == 0 && is_failing) {
                (self.asked_again, self.is_behind) = (asked.at, !is_first);
            }
        }
    }
}

#[derive(Default)]
struct Reading {
    under_way: Option<UnderWay>,
    rounds: Vec<Round>,
    last_success_at: Option<Timestamp>,
    is_failing: bool,
    next_from: Option<String>,
    /// Since when a hole is being read again.
    healing_since: Option<Timestamp>,
}

/// A turn of Muster, as seen from outside.
pub(crate) struct Turn<'a> {
    pub(crate) key: Key,
    pub(crate) before: &'a Cursor,
    pub(crate) after: &'a Cursor,
    pub(crate) state: &'a SourceState,
    pub(crate) asked: Vec<Asked>,
    pub(crate) killed: bool,
    /// When it began, by Muster's clock.
    pub(crate) began: Timestamp,
    pub(crate) now: Timestamp,
}

/// Sees all, and says what must not be.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) truth: Truth,
    kept: HashMap<(TenantId, Source, String), Vec<Content>>,
    /// Places of the versions that are in the journal.
    held: HashSet<usize>,
    /// Places of the versions that are not.
    absent: BTreeSet<usize>,
    /// Those of them that were readable throughout some complete round.
    owed: HashSet<usize>,
    readings: HashMap<Key, Reading>,
    /// The spans that backfills were to read, and when they began.
    backfills: Vec<(Key, (Timestamp, Timestamp), Timestamp)>,
    pub(crate) claims: Claims,
    pub(crate) counts: Counts,
}

/// The end of a history.
#[derive(Clone, Copy)]
pub(crate) struct End {
    /// Whether sweeps healed in it.
    pub(crate) swept: bool,
    /// Whether our clock was wrong by months, and the server's was wrong as well.
    pub(crate) clocks_lied: bool,
    pub(crate) now: Timestamp,
}

fn live_round_under_way(cursor: &Cursor) -> bool {
    cursor.in_round() && !cursor.is_healing()
}

fn overlap(one: &Hole, other: &Hole) -> bool {
    one.to.is_none_or(|to| other.from < to) && other.to.is_none_or(|to| one.from < to)
}

fn field(cursor: &Cursor, name: &str) -> Option<String> {
    let cursor = serde_json::to_value(cursor).expect("a cursor is JSON");
    cursor[name].as_str().map(str::to_owned)
}

impl Witness {
    /// Reads on in the log of truth.
    pub(crate) fn update(&mut self, api: &GraphApi) {
        let before = self.truth.versions.len();
        self.truth.update(api);
        for place in before..self.truth.versions.len() {
            let version = &self.truth.versions[place];
            // A row or a detection says less than its alert: where nothing of it changed, it is in the journal already.
            let says_less = version.source == Source::SiemFeed || version.source.hunt().is_some();
            let key = (version.tenant, version.source, version.told.id.clone());
            let kept = self.kept.get(&key).filter(|_| says_less);
            if kept.into_iter().flatten().any(|kept| &kept.body == self.truth.body(place)) {
                self.held.insert(place);
            } else {
                self.absent.insert(place);
            }
        }
    }

    /// A backfill of a span begins.
    pub(crate) fn backfill(&mut self, key: Key, span: (Timestamp, Timestamp), now: Timestamp) {
        self.backfills.push((key, span, now));
    }

    /// Nothing in the journal is invented, and nothing is there twice.
    pub(crate) fn accepted(&mut self, api: &GraphApi, records: Vec<Accepted>, now: Timestamp) -> Checked {
        if !records.is_empty() {
            self.update(api);
        }
        for Accepted { tenant, source, id, updated_at, body } in records {
            self.counts.records += 1;
            let wrong =
                |what: &str| Violation(format!("{source} {id} of {updated_at:?}: {what}: {body:.2000}"));
            let content = Content::read(source, body.as_bytes()).ok_or_else(|| wrong("no JSON"))?;
            // A row has no id; the key that the settings name is the alert's. Those of streams are numbered.
            let of_alert = match source.stream() {
                Some(_) => content.body["properties"]["ReportId"].as_str(),
                None => content.body["AlertId"].as_str().filter(|_| source.hunt().is_some()),
            };
            let named = content.body["properties"]["AlertId"].as_str();
            if named.is_some_and(|named| named != id) {
                return Err(wrong("an alert of a stream is not known by its id"));
            }
            let id = of_alert.map_or_else(|| id.clone(), str::to_owned);
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
            let updated_at = version.updated_at;
            // A row that is still cut may be whole before its blob is.
            let shown_at = version.told.visible_from.min(now);
            self.claims.came((tenant, source), updated_at, shown_at);
            for &place in self.truth.places(tenant, source, &id) {
                let says_this = self.truth.versions[place].updated_at == updated_at
                    && self.truth.body(place) == &content.body;
                if says_this {
                    self.held.insert(place);
                    self.absent.remove(&place);
                    self.owed.remove(&place);
                }
            }
            let kept = self.kept.entry((tenant, source, id.clone())).or_default();
            if kept.contains(&content) {
                return Err(Violation(format!("{source} {id} of {updated_at} is twice in the journal")));
            }
            let fuller = kept.iter().find(|kept| kept.body == content.body && kept.alerts.is_some());
            if content.alerts.is_none() && fuller.is_some() {
                return Err(Violation(format!(
                    "{source} {id} of {updated_at} comes again without its alerts"
                )));
            }
            kept.push(content);
        }
        Ok(())
    }

    /// What a turn claims.
    pub(crate) fn turn(&mut self, api: &GraphApi, turn: Turn<'_>) -> Checked {
        let Turn { key, before, after, state, asked, killed, began, now } = turn;
        self.counts.turns += 1;
        self.counts.failures += u64::from(state.failures > 0);
        if state.last_error.as_deref().is_some_and(|error| error.contains("a fault of Muster")) {
            return Err(Violation(format!("{} made the program fail", key.1)));
        }
        let reading = self.readings.entry(key).or_default();
        if key.1.stream().is_some() {
            let caught_up = !killed && state.last_success_at != reading.last_success_at;
            reading.last_success_at = state.last_success_at;
            if let Some(first) = asked.first() {
                self.claims.stream_read(key, began, first.at, now);
            }
            if caught_up {
                let Some(first) = asked.first() else {
                    return Err(Violation(format!("{} counts as read though nothing was listed", key.1)));
                };
                // Whatever lies there is read, of whatever time it is.
                let round = Round { from: Timestamp::MIN, began: first.at, ended: now };
                reading.rounds.push(round);
                self.counts.rounds += 1;
                self.update(api);
                self.round(key, round, after, state, killed)?;
            }
            return self.status(key, after, state, killed, now);
        }
        if let Some(first) = asked.first() {
            let since = *reading.healing_since.get_or_insert(first.at);
            for hole in before.holes() {
                let is_left = after.holes().iter().any(|left| overlap(hole, left));
                if !is_left {
                    self.claims.round_done(key, hole.from, hole.to.map_or(since, |to| to.min(since)));
                }
            }
        }
        if !after.is_healing() {
            reading.healing_since = None;
        }
        if !live_round_under_way(before) {
            reading.under_way = None;
        }
        if reading.under_way.is_none() {
            // What a kill left of a hole may be asked for first, and is no news.
            let next_from = field(before, "next_from").and_then(|from| from.parse().ok());
            let first = asked.first().filter(|first| !before.is_healing() || first.from == next_from);
            let begun = |first: &Asked| {
                Some(UnderWay { from: first.from?, began: first.at, asked_again: first.at, is_behind: false })
            };
            reading.under_way = first.and_then(begun);
        }
        if let Some(round) = &mut reading.under_way {
            round.ask(&asked, reading.is_failing);
        }
        reading.is_failing = state.failures > 0;
        let caught_up = !killed && state.last_success_at != reading.last_success_at;
        reading.last_success_at = state.last_success_at;
        let next_from = field(after, "next_from");
        let moved = reading.next_from.is_some() && reading.next_from != next_from;
        reading.next_from = next_from;
        if live_round_under_way(after) || !(caught_up || moved) {
            if !live_round_under_way(after) {
                reading.under_way = None;
            }
            return self.status(key, after, state, killed, now);
        }
        let Some(UnderWay { from, began, asked_again, .. }) = reading.under_way.take() else {
            return match caught_up {
                true => Err(Violation(format!("{} counts as read though nothing new was asked for", key.1))),
                false => Ok(()),
            };
        };
        let round = Round { from, began, ended: now };
        reading.rounds.push(round);
        self.claims.round_done(key, from, asked_again);
        self.counts.rounds += 1;
        self.update(api);
        self.round(key, round, after, state, killed)?;
        self.status(key, after, state, killed, now)
    }

    /// Whatever could have been read, and still can be, is there or told to be missing: at every moment, not only when a
    /// round ends.
    fn status(&self, key: Key, after: &Cursor, state: &SourceState, killed: bool, now: Timestamp) -> Checked {
        for place in &self.owed {
            let version = &self.truth.versions[*place];
            if (version.tenant, version.source) != key || !version.told.is_visible_at(now) {
                continue;
            }
            let lost = |how: &str| Err(Violation(format!("{} {how}", described(version))));
            if key.1.stream().is_none() && version.updated_at < after.complete_up_to() {
                return lost("is missing though all is claimed up to later");
            }
            // A kill came before the status could be written down.
            if !killed && state.last_error.is_none() {
                return lost("is missing and the status says nothing");
            }
        }
        Ok(())
    }

    /// What the ledger says of the hours of a source.
    pub(crate) fn ledger(
        &mut self,
        api: &GraphApi,
        key: Key,
        hours: &[LedgerHour],
        now: Timestamp,
    ) -> Checked {
        self.update(api);
        let held = Held { truth: &self.truth, absent: &self.absent, owed: &self.owed };
        self.claims.check(key, &held, hours, now)?;
        self.counts.complete = self.claims.complete;
        Ok(())
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
        let is_stream = key.1.stream().is_some();
        let (blobs, blobs_missing) = (after.blobs(), after.blobs_missing());
        let incomplete =
            !after.holes().is_empty() || after.plan().partial.is_some() || blobs_missing.is_some();
        self.counts.incomplete += u64::from(incomplete);
        // Of a stream only the ledger claims anything, hour by hour.
        let complete_up_to = if is_stream { Timestamp::MIN } else { after.complete_up_to() };
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
            self.owed.insert(version.place);
            let lost = |how: &str| Violation(format!("{} {how}; {round:?}", described(version)));
            if version.updated_at < complete_up_to {
                return Err(lost(&format!("is missing though all is claimed up to {complete_up_to}")));
            }
            let told = after.holes().into_iter().any(|hole| {
                hole.from <= version.updated_at && hole.to.is_none_or(|to| version.updated_at < to)
            });
            let partial = after.plan().partial.as_ref().is_some_and(|part| part.from <= version.updated_at);
            // Of a blob that is known to have trouble.
            let in_trouble =
                is_stream
                    && self.truth.blob(version.place).and_then(|name| blobs.of(name)).is_some_and(|read| {
                        matches!(read.state, BlobState::Cut(_) | BlobState::Unreadable(..))
                    });
            if !told && !partial && !in_trouble {
                return Err(lost("was readable throughout a complete round and is missing, silently"));
            }
            if !killed && state.last_error.is_none() {
                return Err(lost("is missing and the status says nothing"));
            }
        }
        Ok(())
    }

    /// When all is quiet, and everything has been asked for again.
    pub(crate) fn quiet(&mut self, api: &GraphApi, states: &[(SourceState, Cursor)], end: End) -> Checked {
        self.update(api);
        self.counts.versions += self.truth.versions.len() as u64;
        for (state, cursor) in states {
            let holes = cursor.holes();
            // Where no clock tells what year it is, nobody knows what Microsoft keeps no longer.
            if end.clocks_lied && holes.iter().all(|hole| hole.reason == Reason::Gone) {
                continue;
            }
            if let Some(error) = &state.last_error {
                return Err(Violation(format!("{} is not well when all is quiet: {error}", state.source)));
            }
            if let Some(hole) = holes.first() {
                return Err(Violation(format!("{} has a hole when all is quiet: {hole:?}", state.source)));
            }
        }
        for version in &self.truth.versions {
            let Some(reading) = self.readings.get(&(version.tenant, version.source)) else { continue };
            let Some(first) = reading.rounds.iter().map(|round| round.from).min() else {
                return Err(Violation(format!("{} was never read to its end", version.source)));
            };
            let told = &version.told;
            if !told.newest || !told.is_visible_at(end.now) {
                continue;
            }
            let is_backfilled = self.backfills.iter().any(|(key, (from, to), began)| {
                *key == (version.tenant, version.source)
                    && (*from..*to).contains(&version.updated_at)
                    && told.visible_from <= *began
            });
            if is_backfilled && !self.held.contains(&version.place) {
                return Err(Violation(format!("{} is missing after a backfill", described(version))));
            }
            if version.updated_at < first {
                continue;
            }
            let late = told.visible_from.duration_since(version.updated_at) > PROMPT;
            self.counts.late += u64::from(late);
            // Whatever shows late is the sweeps' to heal, as far as they reach: to where the first round began. A clock that
            // was behind has let a later one begin before that, of which nothing is promised.
            let swept_from = reading.rounds.first().map_or(first, |round| round.from);
            // A saved query is swept at night only.
            let healed = end.swept
                && version.source.hunt().is_none()
                && version.updated_at >= swept_from
                && end.now.duration_since(told.visible_from) > SWEPT_WITHIN
                && end.now.duration_since(version.updated_at) < SWEPT_BACK;
            // Whatever lies in a stream is looked at in each turn.
            if late && !healed && version.source.stream().is_none() {
                continue;
            }
            if !self.held.contains(&version.place) {
                return Err(Violation(format!("{} is missing when all is quiet", described(version))));
            }
            if version.source == Source::GraphIncidents {
                self.whole(version)?;
                self.counts.whole += 1;
            }
        }
        Ok(())
    }

    /// An incident that is in the journal has all the alerts there that every answer with it could hold.
    fn whole(&self, incident: &Version) -> Checked {
        let there: HashSet<&str> = self
            .kept
            .get(&(incident.tenant, incident.source, incident.told.id.clone()))
            .into_iter()
            .flatten()
            .filter(|kept| &kept.body == self.truth.body(incident.place))
            .flat_map(|kept| kept.alerts.iter().flatten())
            .filter_map(|alert| alert["id"].as_str())
            .collect();
        for alert in self.truth.versions.iter().filter(|version| version.told.newest) {
            let belongs = |place: usize| self.truth.body(place)["incidentId"] == incident.told.id.as_str();
            if alert.tenant != incident.tenant
                || alert.source != Source::GraphAlerts
                || !belongs(alert.place)
                || there.contains(alert.told.id.as_str())
            {
                continue;
            }
            let places = self.truth.places(alert.tenant, alert.source, &alert.told.id);
            let shown = places.iter().map(|place| self.truth.versions[*place].told.visible_from).min();
            let joined = places.iter().rev().take_while(|place| belongs(**place)).last();
            let joined = joined.map(|place| self.truth.versions[*place].told.made_at);
            if shown.is_some_and(|shown| shown <= incident.told.visible_from)
                && joined.is_some_and(|joined| joined <= incident.told.made_at)
            {
                return Err(Violation(format!(
                    "{} is in the journal without its alert {} when all is quiet",
                    described(incident),
                    alert.told.id
                )));
            }
        }
        Ok(())
    }
}

pub(crate) fn described(version: &Version) -> String {
    let told = &version.told;
    let until = told.visible_until.map_or_else(|| "now".to_owned(), |until| until.to_string());
    format!(
        "{} {} version {} ({}) updated {}, visible from {} until {until},",
        version.source, told.id, told.version, told.what, version.updated_at, told.visible_from
    )
}
