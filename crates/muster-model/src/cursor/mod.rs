//! How far a source has been read, and what is asked next.
//!
//! A source is read in *rounds*. A round asks for everything updated since a lower bound, in windows that each fit into
//! one answer (`round.rs` says why that is exact whatever the server does). What cannot be read becomes a *hole*: the round goes
//! on behind it, and the hole is asked for again until it is healed.
//!
//! Nothing is missed and nothing doubled because
//! - a page's records and the cursor after it are stored in one transaction, so a crash repeats at most one page;
//! - windows share no instant, and what changes meanwhile moves to the newer side, which is read later;
//! - the next round starts an *overlap* before the beginning of the last one, for records that become visible late, and
//!   the overlap grows with the delays that were met;
//! - that beginning is believed only where our clock and the server's agree on it; otherwise nothing but update times
//!   that were seen moves the bound.

mod blobs;
mod clocks;
mod hole;
mod note;
mod part;
mod pass;
mod passing;
mod plan;
mod query;
mod round;
mod single;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

pub use blobs::{BlobRead, BlobState, Blobs, ListedBlob};
pub use clocks::Clocks;
use hole::HOLE_WAIT_MAX;
pub use hole::{Hole, Reason};
pub use note::Note;
pub use part::Part;
pub use pass::Pass;
pub use plan::{Partial, Plan, Unreadable};
pub use query::{PageLimits, PageQuery, PageSummary};
use round::{Progress, Round, floor};

/// Defender appends a row to a stream's blobs within this time of its own, as a rule.
const APPENDED_WITHIN: Duration = Duration::from_secs(3_600);
/// So much around an instant is read with it where a service cuts in silence.
const AROUND_A_CUT: Duration = Duration::from_secs(3_600);
/// More holes than this are told as fewer, longer ones.
const HOLES_MAX: usize = 64;
/// How late a record may become visible and still be seen by the next round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorPolicy {
    /// Re-read this much before the last round began.
    pub overlap: Duration,
    /// What the overlap may grow to where records come later than that.
    pub overlap_max: Duration,
}

/// How far a source has been read. Stored as JSON beside the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The newest update time that was seen.
    seen_up_to: Timestamp,
    /// Where the next round begins.
    next_from: Timestamp,
    /// The span that complete rounds have read; none before the first was. Of a stream: the span of whose rows all that lay
    /// there has been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proved: Option<Proved>,
    /// Where all rounds end; none: with whatever is newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Timestamp>,
    /// The round under way. One that another version began is begun anew.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "round_or_none")]
    round: Option<Round>,
    /// The reading again of a hole, while a round of news has precedence.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "round_or_none")]
    paused: Option<Round>,
    /// What could not be read, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    holes: Vec<Hole>,
    /// The greatest delay met lately between a record's update and its being visible.
    #[serde(default)]
    delay_seconds: u64,
    /// How the source wants to be asked.
    #[serde(default)]
    plan: Plan,
    /// Where it is one reading of spans that lie behind: how far that has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass: Option<Pass>,
    /// Where it is of a stream: which blobs have been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blobs: Option<Blobs>,
}

/// A span that rounds have read from end to end, but for the holes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Proved {
    from: Timestamp,
    to: Timestamp,
    /// When the last of those rounds began, by the later of the clocks: one that was behind is no sign of long idleness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

fn round_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Round>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// What comes after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask for the next page.
    Continue,
    /// The round is complete.
    RoundDone,
}

impl Cursor {
    /// A cursor that has seen nothing updated since `since`.
    #[must_use]
    pub fn starting(since: Timestamp) -> Self {
        Self {
            seen_up_to: since,
            next_from: since,
            proved: None,
            to: None,
            round: None,
            paused: None,
            holes: Vec::new(),
            delay_seconds: 0,
            plan: Plan::default(),
            pass: None,
            blobs: None,
        }
    }

    /// A cursor for one reading of a span that has passed; what is known of the source is taken over from `like`.
    #[must_use]
    pub fn spanning(from: Timestamp, to: Timestamp, like: Option<&Self>) -> Self {
        let plan = like.map_or_else(Plan::default, |like| Plan {
            partial: None,
            unreadable: Vec::new(),
            ..like.plan.clone()
        });
        Self { to: Some(to), plan, ..Self::starting(from) }
    }

    /// How far the blobs of a stream have been read.
    #[must_use]
    pub fn blobs(&self) -> Blobs {
        self.blobs.clone().unwrap_or_else(|| Blobs::starting(self.next_from))
    }

    /// What is the matter with blobs of a stream, in words for the operator.
    #[must_use]
    pub fn blobs_missing(&self) -> Option<String> {
        self.blobs.as_ref().and_then(Blobs::missing)
    }

    /// The cursor of a stream after some of its blobs were read, in which the newest row was of that time.
    #[must_use]
    pub fn with_blobs(&self, blobs: Blobs, newest: Option<Timestamp>) -> Self {
        let seen_up_to = newest.map_or(self.seen_up_to, |newest| newest.max(self.seen_up_to));
        // What is older need not be known much longer.
        let next_from = self.next_from.max(blobs.settled_before());
        Self { blobs: Some(blobs), seen_up_to, next_from, ..self.clone() }
    }

    /// The cursor of a stream once all that lay there when it was listed, at `listed_at` by our clock, has been read to its
    /// end. Of hours that are over for long enough more is not expected; what comes all the same is late.
    #[must_use]
    pub fn with_all_read(&self, listed_at: Timestamp) -> Self {
        let since = self.blobs().since();
        let from = self.proved.map_or(since, |proved| proved.from.max(since));
        let to = earlier(listed_at, APPENDED_WITHIN);
        let proved = Proved { from, to, at: Some(listed_at) };
        Self { proved: Some(proved).filter(|proved| proved.from < proved.to), ..self.clone() }
    }

    /// The newest update time that was seen.
    #[must_use]
    pub fn seen_up_to(&self) -> Timestamp {
        self.seen_up_to
    }

    /// Everything updated before here, and visible when it was asked for, has been read. What the service keeps no longer
    /// ([`Reason::Gone`]) is visible to nobody.
    #[must_use]
    pub fn complete_up_to(&self) -> Timestamp {
        let partial = self.plan.partial.as_ref().map(|partial| partial.from);
        let holes = self.holes().into_iter().filter(|hole| hole.reason != Reason::Gone).map(|hole| hole.from);
        holes.chain(partial).fold(self.next_from, Timestamp::min)
    }

    /// Where the last complete round ended, whatever it had to leave out.
    #[must_use]
    pub fn passed_up_to(&self) -> Timestamp {
        self.next_from
    }

    /// The span that complete rounds have read, but for the holes in it; none before the first round was complete. What is
    /// updated in it and still new came *late*.
    #[must_use]
    pub fn proved(&self) -> Option<(Timestamp, Timestamp)> {
        self.proved.map(|proved| (proved.from, proved.to))
    }

    /// When the last complete round began, by the later of the clocks; `None` before the first.
    #[must_use]
    pub fn last_round_at(&self) -> Option<Timestamp> {
        self.proved.and_then(|proved| proved.at)
    }

    /// Up to where everything had been read before the round under way, so that what is older and still new came late.
    /// `None` before the first complete round, and while a hole is read again: what was in it is not late.
    #[must_use]
    pub fn proved_up_to(&self) -> Option<Timestamp> {
        if self.is_healing() {
            return None;
        }
        let partial = self.plan.partial.as_ref().map(|partial| partial.from);
        self.proved.map(|proved| partial.map_or(proved.to, |from| from.min(proved.to)))
    }

    /// The span of [`Cursor::spanning`] that is still to be read.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let at = self.round.as_ref().map_or(self.next_from, |round| round.at);
        self.to.map(|to| (at, to))
    }

    /// What could not be read so far, oldest first.
    #[must_use]
    pub fn holes(&self) -> Vec<&Hole> {
        let healing = self.round.iter().chain(&self.paused).filter_map(|round| round.healing.as_ref());
        let mut holes: Vec<&Hole> = self.holes.iter().chain(healing).collect();
        holes.sort_by_key(|hole| hole.from);
        holes
    }

    /// How the source wants to be asked.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// To learn how the source wants to be asked.
    pub fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    /// Whether a round is under way.
    #[must_use]
    pub fn in_round(&self) -> bool {
        self.round.is_some()
    }

    /// Whether the round under way asks again for what could not be read before.
    #[must_use]
    pub fn is_healing(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.healing.is_some())
    }

    /// Whether what gets no answer cannot be narrowed down any more.
    #[must_use]
    pub fn is_searching_at_the_bottom(&self) -> bool {
        self.round.as_ref().is_some_and(Round::is_at_the_bottom)
    }

    /// What to ask next.
    #[must_use]
    pub fn query(&self, clocks: Clocks) -> PageQuery {
        match &self.round {
            Some(round) => round.query(&self.plan),
            None => self.new_round(clocks).query(&self.plan),
        }
    }

    fn new_round(&self, clocks: Clocks) -> Round {
        let mut round = Round::starting(self.next_from, self.to, clocks);
        // What earlier rounds have seen was there before this one.
        round.surely_begun = Some(self.seen_up_to);
        round.step_over(&self.holes);
        round
    }

    /// The cursor after a page that answered [`Cursor::query`], to be stored together with the page's records.
    #[must_use]
    pub fn after(&self, page: &PageSummary, policy: &CursorPolicy, limits: &PageLimits) -> (Self, Step) {
        let without_link;
        let page = match page.link {
            Some(_) if self.plan.refuses_links => {
                without_link = PageSummary { link: None, cut: true, ..page.clone() };
                &without_link
            }
            _ => page,
        };
        let mut next = self.clone();
        let mut round = next.round.take().unwrap_or_else(|| self.new_round(page.clocks));
        next.mind_partial(page, &round);
        let progress = round.after(page, limits, &mut next.plan, &mut next.holes);
        next.seen_up_to = next.seen_up_to.max(round.newest.unwrap_or(next.seen_up_to));
        next.bound_holes();
        if progress == Progress::Continue && !round.step_over(&next.holes) {
            next.round = Some(round);
            return (next, Step::Continue);
        }
        next.round_done(round, page.clocks, policy);
        (next, Step::RoundDone)
    }

    /// Whatever a provider left out while it could not answer is a hole once it does.
    fn mind_partial(&mut self, page: &PageSummary, round: &Round) {
        match (&page.partial, self.plan.partial.take()) {
            (Some(missing), before) => {
                let (from, since) = before.map_or((round.at, page.clocks.local), |before| {
                    (before.from.min(round.at), before.since)
                });
                self.plan.partial = Some(Partial { missing: missing.clone(), from, since });
            }
            (None, Some(before)) => self.holes.push(Hole {
                from: before.from,
                // Up to where the next round of news begins, too: where a hole was read just now, by a clock that has been
                // put back, nothing else reaches as far.
                to: Some(round.at.max(page.clocks.local).max(self.next_from)).filter(|to| *to > before.from),
                reason: Reason::Partial,
                since: before.since,
                tries: 0,
                next_at: page.clocks.local,
            }),
            (None, None) => {}
        }
    }

    fn round_done(&mut self, round: Round, clocks: Clocks, policy: &CursorPolicy) {
        match round.healing {
            Some(hole) => {
                if hole.reason == Reason::Unreadable && round.met_unreadable {
                    self.put_back(hole, clocks.local);
                }
            }
            None => {
                self.delay_seconds -= self.delay_seconds / 1_000;
                let overlap = policy
                    .overlap
                    .max(Duration::from_secs(self.delay_seconds * 2))
                    .min(policy.overlap_max.max(policy.overlap));
                // Clocks that do not agree prove nothing; update times that were seen do.
                let read_up_to = round.began.agreed().unwrap_or_else(|| {
                    // What was proved before stays so, as far as our own clock has come.
                    let proved = self.proved.as_ref().map(|proved| proved.to.min(round.began.local));
                    let seen = round.surely_begun.unwrap_or(self.seen_up_to);
                    seen.min(round.began.earlier()).max(proved.unwrap_or(Timestamp::MIN))
                });
                // Where a gap was left, as after a clock that was wrong, proof begins anew behind it.
                let from = match self.proved {
                    Some(before) if before.to >= self.next_from => before.from.min(self.next_from),
                    _ => self.next_from,
                };
                self.proved = (from < read_up_to).then_some(Proved {
                    from,
                    to: read_up_to,
                    at: Some(round.began.later()),
                });
                self.next_from = self.to.unwrap_or_else(|| earlier(read_up_to, overlap));
                self.plan.round_done();
            }
        }
    }

    fn put_back(&mut self, hole: Hole, now: Timestamp) {
        let tries = hole.tries.saturating_add(1);
        self.holes.push(Hole { tries, next_at: Hole::next_try(tries, now), ..hole });
    }

    /// Begins to ask again for a hole that is due; `false` where none is, or a round is under way.
    pub fn heal(&mut self, clocks: Clocks) -> bool {
        if self.round.is_some() {
            return false;
        }
        if let Some(round) = self.paused.take() {
            self.round = Some(round);
            return true;
        }
        let now = clocks.local;
        // A time further off than the longest wait was written by a clock that was wrong.
        let due = |hole: &Hole| {
            let is_time = hole.next_at <= now || hole.next_at > now.checked_add(HOLE_WAIT_MAX).unwrap_or(now);
            is_time && hole.reason != Reason::Gone
        };
        let Some(index) = self.holes.iter().position(due) else { return false };
        let hole = self.holes.remove(index);
        let (mut from, mut to) = (hole.from, hole.to);
        if hole.reason == Reason::TooMany && self.plan.cut_at.is_some() {
            // Whether the service still cuts is seen only where there is more than the instant itself.
            from = earlier(from, AROUND_A_CUT);
            to = to.map(|to| to.checked_add(AROUND_A_CUT).unwrap_or(to));
            // A reading of a span that has passed keeps to it.
            to = self.to.map_or(to, |most| Some(to.map_or(most, |to| to.min(most))));
        }
        let mut round = Round::starting(from, to, clocks);
        round.healing = Some(hole);
        self.round = Some(round);
        true
    }

    /// What follows when no answer came. `heavy`: a smaller window may be answered. Returns whether something else is
    /// asked now.
    pub fn unanswered(&mut self, heavy: bool, clocks: Clocks) -> bool {
        let mut round = self.round.take().unwrap_or_else(|| self.new_round(clocks));
        let changed = round.unanswered(heavy, clocks, &self.plan);
        self.round = Some(round);
        changed
    }

    /// Lets a round of news go first; the hole is read on after it.
    pub fn pause_healing(&mut self) {
        self.paused = self.round.take_if(|round| round.healing.is_some());
    }

    /// Gives up asking for a hole for now; it is asked for again later.
    pub fn leave_hole(&mut self, now: Timestamp) {
        if let Some(hole) =
            self.round.take_if(|round| round.healing.is_some()).and_then(|round| round.healing)
        {
            self.put_back(hole, now);
        }
    }

    /// The service refuses what the query has beside its lower bound: it is asked without; `false` where there was nothing.
    pub fn refused(&mut self, clocks: Clocks) -> bool {
        let mut round = self.round.take().unwrap_or_else(|| self.new_round(clocks));
        let changed = round.refused(&mut self.plan);
        self.round = Some(round);
        changed
    }

    /// The service does not take the link that it named itself, as when that has expired: this round goes on without links.
    /// `false` where none was followed.
    pub fn link_refused(&mut self) -> bool {
        let refused = self.round.as_mut().is_some_and(Round::drop_link);
        self.plan.refuses_links |= refused;
        refused
    }

    /// A record came that had been updated `delay` before: the overlap must reach as far.
    pub fn came_late(&mut self, delay: Duration) {
        self.delay_seconds = self.delay_seconds.max(delay.as_secs());
    }

    /// What was updated from `from` until `to` was never read, and the service keeps it no longer: told, and not asked for
    /// again.
    pub fn is_gone(&mut self, from: Timestamp, to: Timestamp, now: Timestamp) {
        let gone = |hole: &&mut Hole| hole.reason == Reason::Gone && hole.to.is_some_and(|to| to >= from);
        match self.holes.iter_mut().find(gone) {
            Some(hole) => hole.to = hole.to.max(Some(to)),
            None => {
                let reason = Reason::Gone;
                self.holes.push(Hole { from, to: Some(to), reason, since: now, tries: 0, next_at: now });
            }
        }
        self.bound_holes();
    }

    /// Keeps the list of holes bounded: neighbours become one, those that can be healed and those that cannot apart.
    fn bound_holes(&mut self) {
        self.holes.sort_by_key(|hole| (hole.reason != Reason::Gone, hole.from));
        self.join_overlapping();
        while self.holes.len() > HOLES_MAX {
            let gone = self.holes.iter().filter(|hole| hole.reason == Reason::Gone).count();
            let at = if gone > HOLES_MAX / 2 { 0 } else { gone };
            let behind = self.holes.remove(at + 1);
            let first = &mut self.holes[at];
            first.to = match (first.to, behind.to) {
                (Some(one), Some(other)) => Some(one.max(other)),
                _ => None,
            };
            first.since = first.since.min(behind.since);
        }
        self.holes.dedup_by(|later, first| {
            let same = later.reason == first.reason && later.from == first.from && later.to == first.to;
            if same {
                first.since = first.since.min(later.since);
                first.tries = first.tries.max(later.tries);
            }
            same
        });
    }
}

impl Cursor {
    /// Rounds overlap, and so does what they could not read: it is asked for again as one span, and not as often as it was
    /// met.
    fn join_overlapping(&mut self) {
        // What gets no answer is stepped over, and not met again: it was searched for, and stays as narrow as it was found.
        let joins = |reason| !matches!(reason, Reason::Gone | Reason::NoAnswer | Reason::NotWhole);
        let mut joined: Vec<Hole> = Vec::with_capacity(self.holes.len());
        for hole in self.holes.drain(..) {
            let before = joined.iter_mut().find(|before| {
                before.reason == hole.reason
                    && joins(hole.reason)
                    && before.to.is_none_or(|to| hole.from <= to)
            });
            match before {
                None => joined.push(hole),
                Some(before) => {
                    before.to = before.to.zip(hole.to).map(|(one, other)| one.max(other));
                    before.since = before.since.min(hole.since);
                    before.next_at = before.next_at.min(hole.next_at);
                    before.tries = before.tries.min(hole.tries);
                }
            }
        }
        self.holes = joined;
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    floor(time.checked_sub(by).unwrap_or(Timestamp::MIN))
}

#[cfg(test)]
mod tests;
