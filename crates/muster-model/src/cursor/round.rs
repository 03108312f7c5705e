//! Reading a span of update times to its end.
//!
//! A span is read in *windows* (`from <= update time < to`). A window has been read when **one** answer held all of it:
//! a whole page that was not full and named no next one. Then neither the server's order nor its offsets nor its links
//! matter, and a record that changes meanwhile leaves to the newer side, where it is met again. A window that does not
//! fit is narrowed, and when it holds a single instant, divided by fields that can be filtered on. What the page says
//! about order is used as a hint where to divide, and never believed.
//!
//! Only where windows cannot be closed does a round go on by links or by offset: at one instant, and towards a server
//! that ignores upper bounds.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::clocks::Clocks;
use super::hole::{Hole, Reason};
use super::part::Part;
use super::plan::Plan;
use super::query::{PageLimits, PageQuery, PageSummary};

/// The step of Microsoft's times, in nanoseconds: seven digits after the second.
const TICK_NANOSECONDS: i128 = 100;
/// A window that brings no answer is not narrowed below a millisecond.
const UNANSWERED_TICKS_MIN: i64 = 10_000;
/// How far ahead a window is thought to reach whose end no clock tells.
const HOUR_TICKS: i64 = 3_600 * 10_000_000;
/// How many pages one window may have by links. Services have been seen to answer hundreds of empty ones.
const LINKED_PAGES_MAX: u32 = 2_000;
/// After so many narrowings in a row the times on the page are no longer used as a hint.
const HINTED_NARROWINGS_MAX: u8 = 3;
/// So often in a round a window is asked for again before it is believed that the service cuts: one that cuts at random
/// would be asked for ever.
const CHECKS_MAX: u8 = 2;
/// A link longer than this is not kept.
const LINK_BYTES_MAX: usize = 8 << 10;

/// One reading of a span, under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Round {
    /// Everything before here has been read, or is told as a hole.
    pub(super) at: Timestamp,
    /// Where the span ends; none: with whatever is newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<Timestamp>,
    /// Where the next hole begins that gets no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_hole: Option<Timestamp>,
    /// How wide the next window is, in ticks; none: all that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<i64>,
    /// The width of the last window that fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fitted: Option<i64>,
    /// The clocks when the round's first page was asked for.
    pub(super) began: Clocks,
    /// Whether any page of it has come.
    #[serde(default)]
    answered: bool,
    /// The newest update time seen in this round that the clocks do not contradict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<Timestamp>,
    /// At one instant: which value of which field is asked for, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) slice: Vec<Part>,
    #[serde(default)]
    pub(super) skip: u32,
    /// At one instant that gets no answer as a whole: its records one by one, and how many of them gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) one_by_one: Option<u32>,
    /// That has been tried in this window.
    #[serde(default)]
    pub(super) tried_one_by_one: bool,
    /// The links that are followed from this window's first page on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<Chain>,
    /// Where the records end that got no answer; the window behind it is asked, to tell a bad record from a bad service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) doubted_to: Option<Timestamp>,
    /// A time that had come when the round began, going by update times that were seen: those on later pages less what
    /// passed between, since a record may have been made meanwhile, and others that belong before it with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) surely_begun: Option<Timestamp>,
    /// The newest update time on any page of this round, believed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<Timestamp>,
    /// A window of which the service gave fewer than were asked for, while its parts are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubted: Option<Doubted>,
    /// A window whose parts held more than came of it, asked for again: what became visible meanwhile is no cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checked: Option<Doubted>,
    /// How often in this round that was done.
    #[serde(default)]
    checks: u8,
    #[serde(default)]
    narrowings: u8,
    /// How often in a row the window's page was not whole.
    #[serde(default)]
    flawed: u8,
    /// What could not be read the last time, as hashes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    suspects: Vec<u64>,
    /// Whether something in it could not be read, the second time either.
    #[serde(default)]
    pub(super) met_unreadable: bool,
    /// The ids of the page before, at the same instant.
    #[serde(default)]
    pub(super) fingerprint: u64,
    /// The hole that this round reads again, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) healing: Option<Hole>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Chain {
    link: String,
    /// Pages so far.
    pages: u32,
    /// Those of them that held records.
    filled: u32,
}

/// A window of which the service gave so many records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Doubted {
    from: Timestamp,
    to: Timestamp,
    given: u32,
    /// How many its parts held so far.
    held: u32,
}

/// Whether a round goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Continue,
    Done,
}

use Progress::{Continue, Done};

impl Round {
    pub(super) fn starting(from: Timestamp, to: Option<Timestamp>, clocks: Clocks) -> Self {
        Self {
            at: floor(from),
            to: to.map(ceil),
            next_hole: None,
            width: None,
            fitted: None,
            began: clocks,
            answered: false,
            newest: None,
            surely_begun: None,
            slice: Vec::new(),
            skip: 0,
            one_by_one: None,
            tried_one_by_one: false,
            chain: None,
            doubted_to: None,
            latest: None,
            doubted: None,
            checked: None,
            checks: 0,
            narrowings: 0,
            flawed: 0,
            suspects: Vec::new(),
            met_unreadable: false,
            fingerprint: 0,
            healing: None,
        }
    }

    /// What to ask next.
    pub(super) fn query(&self, plan: &Plan) -> PageQuery {
        let from = self.doubted_to.unwrap_or(self.at);
        let to = match self.doubted_to {
            Some(from) => Some(plus(from, self.width.unwrap_or(UNANSWERED_TICKS_MIN))),
            None => self.asked_end(plan),
        };
        PageQuery {
            from,
            to,
            slice: self.slice.clone(),
            skip: self.skip,
            single: self.one_by_one.is_some(),
            link: self.chain.as_ref().map(|chain| chain.link.clone()),
        }
    }

    /// Where the window ends; none: it is open.
    pub(super) fn end(&self) -> Option<Timestamp> {
        let ends = [self.to, self.next_hole, self.width.map(|width| plus(self.at, width))];
        ends.into_iter().flatten().min()
    }

    /// Where what is asked for ends: that of a service that keeps to no upper bound is all that is left.
    fn asked_end(&self, plan: &Plan) -> Option<Timestamp> {
        if plan.ignores_upper_bounds { self.to } else { self.end() }
    }

    /// Steps over what is known to get no answer: it is asked for by itself, and here it would cost a search each time.
    /// Returns whether that is the end.
    pub(super) fn step_over(&mut self, holes: &[Hole]) -> bool {
        let silent = |hole: &&Hole| matches!(hole.reason, Reason::NoAnswer | Reason::NotWhole);
        if self.healing.is_none() && self.slice.is_empty() {
            while let Some(to) = holes
                .iter()
                .filter(silent)
                .find_map(|hole| hole.to.filter(|to| hole.from <= self.at && *to > self.at))
            {
                self.at = to;
            }
            self.next_hole =
                holes.iter().filter(silent).map(|hole| hole.from).filter(|from| *from > self.at).min();
        }
        self.to.is_some_and(|to| self.at >= to)
    }

    /// What follows from a page.
    pub(super) fn after(
        &mut self,
        page: &PageSummary,
        limits: &PageLimits,
        plan: &mut Plan,
        holes: &mut Vec<Hole>,
    ) -> Progress {
        if !std::mem::replace(&mut self.answered, true) {
            self.began = page.clocks;
        }
        if let Some(doubted_to) = self.doubted_to.take() {
            // The service answers for what is behind: it is the records that it cannot give.
            self.tell(holes, Reason::NoAnswer, Some(doubted_to), page.clocks.local);
            self.at = doubted_to;
            if self.to.is_some_and(|to| self.at >= to) {
                return Done;
            }
        }
        let believed = page.times.iter().filter(|time| **time <= page.clocks.earlier());
        let believed = believed.max().copied();
        self.newest = self.newest.max(believed);
        let passed = page.clocks.local.duration_since(self.began.local).max(SignedDuration::ZERO);
        self.surely_begun = self.surely_begun.max(believed.and_then(|time| time.checked_sub(passed).ok()));
        self.latest = self.latest.max(page.times.iter().max().copied());
        let outside = page.times.iter().filter(|time| self.end().is_some_and(|end| **time >= end)).count();
        // A few may have changed while the answer was made.
        plan.ignores_upper_bounds |= outside * 5 > page.times.len();
        if let Some(silent) = self.one_by_one {
            return self.after_one(silent, page, limits, plan, holes);
        }
        if !self.is_whole(page, plan, holes) {
            self.chain = None;
            return self.flawed(page, limits, plan, holes);
        }
        (self.flawed, self.suspects) = (0, Vec::new());
        let is_an_instant = self.at_an_instant() && !plan.ignores_upper_bounds;
        if limits.divides_no_instant() {
            self.check(page, plan);
        }
        let full = plan.is_full(page.items, page.top, limits, is_an_instant) || (page.cut && page.items > 0);
        plan.saw(page.items);
        if limits.divides_no_instant() && self.compare(page, full, is_an_instant, plan) {
            return Continue;
        }
        let before = self.chain.take();
        let (pages, filled) = before.as_ref().map_or((0, 0), |chain| (chain.pages, chain.filled));
        let (pages, filled) = (pages + 1, filled + u32::from(page.items > 0));
        match &page.link {
            Some(link) => {
                // A window of one answer is proven; several that hang together by links are taken at their word.
                // What an earlier page of the chain held is no longer known: then the times are no hint.
                let times = if before.is_some() { &[] } else { page.times.as_slice() };
                if (full || filled > 1) && self.narrow(times, page.clocks, plan) {
                    return Continue;
                }
                let repeats = before.is_some_and(|before| before.link == *link);
                if repeats || pages > LINKED_PAGES_MAX || link.len() > LINK_BYTES_MAX {
                    let reason = if repeats { Reason::Repeats } else { Reason::EndlessLinks };
                    self.tell(holes, reason, self.asked_end(plan), page.clocks.local);
                    return self.window_done(page, limits, plan);
                }
                self.chain = Some(Chain { link: link.clone(), pages, filled });
                Continue
            }
            // There is more, of which nobody knows what.
            None if page.cut && page.items == 0 => {
                self.tell(holes, Reason::NoNextPage, self.asked_end(plan), page.clocks.local);
                self.window_done(page, limits, plan)
            }
            None if full || (filled > 1 && !self.at_an_instant()) => {
                if self.narrow(&page.times, page.clocks, plan) {
                    return Continue;
                }
                if !full {
                    if plan.ignores_upper_bounds && self.slice.is_empty() {
                        // Several answers that hang together by links: a record that changed meanwhile may have moved
                        // another over a page's edge.
                        self.tell(
                            holes,
                            Reason::Unproved,
                            Some(self.known_end(page, plan)),
                            page.clocks.local,
                        );
                    }
                    return self.window_done(page, limits, plan);
                }
                self.crowded(page, limits, plan, holes)
            }
            // Several answers hold no instant whole: a record that changes meanwhile moves the others to where they are not
            // met. So it is divided until each part is one answer.
            None if page.items > 0 && (self.skip > 0 || filled > 1) => {
                match self.deeper_field(limits, plan) {
                    Some(field) => {
                        self.skip = 0;
                        self.slice.push(Part { field, value: 0 });
                        Continue
                    }
                    None => self.window_done(page, limits, plan),
                }
            }
            None => self.window_done(page, limits, plan),
        }
    }

    /// How many of the page's records are in the window from here to `end`.
    fn inside(&self, page: &PageSummary, end: Timestamp) -> u32 {
        let inside = page.times.iter().filter(|time| self.at <= **time && **time < end).count();
        u32::try_from(inside).unwrap_or(u32::MAX)
    }

    /// A window that is asked for again: where it still lacks what its parts held, the service cuts.
    fn check(&mut self, page: &PageSummary, plan: &mut Plan) {
        let Some(before) = self.checked.take() else { return };
        if before.from == self.at && self.end() == Some(before.to) && !plan.ignores_upper_bounds {
            let given = self.inside(page, before.to);
            if given < before.held {
                plan.was_cut_at(given);
            }
        }
    }

    /// Holds what the parts of a window hold against what came of the whole: a service that gives less than it has, and less
    /// than was asked for, is known by that. Returns whether the window is to be asked for again.
    fn compare(&mut self, page: &PageSummary, full: bool, is_an_instant: bool, plan: &mut Plan) -> bool {
        let Some(end) = self.end().filter(|_| !plan.ignores_upper_bounds) else { return false };
        // It may have been left behind, as where a part of it gave no answer.
        self.doubted = self.doubted.filter(|doubted| doubted.to > self.at);
        let end = self.doubted.map_or(end, |doubted| end.min(doubted.to));
        let inside = self.inside(page, end);
        let Some(mut doubted) = self.doubted.take() else {
            if full && !is_an_instant && page.items < page.top {
                self.doubted = Some(Doubted { from: self.at, to: end, given: inside, held: 0 });
            }
            return false;
        };
        if full && !is_an_instant {
            self.doubted = Some(doubted);
            return false;
        }
        doubted.held = doubted.held.saturating_add(inside);
        if doubted.held > doubted.given {
            if plan.knows_cut_at(doubted.given) {
                return false;
            }
            if self.checks >= CHECKS_MAX {
                plan.was_cut_at(doubted.given);
                return false;
            }
            // All of it again: its instants were believed so far.
            self.checks += 1;
            (self.at, self.width) = (doubted.from, Some(ticks(doubted.from, doubted.to)));
            (self.skip, self.chain, self.narrowings) = (0, None, 0);
            self.checked = Some(doubted);
            return true;
        }
        if end < doubted.to || page.link.is_some() {
            self.doubted = Some(doubted);
        } else if doubted.held == doubted.given {
            plan.was_whole_at(doubted.given);
        }
        false
    }

    /// What follows when no answer came, or one that is no page. `heavy`: a smaller window may be answered.
    pub(super) fn unanswered(&mut self, heavy: bool, clocks: Clocks, plan: &Plan) -> bool {
        if self.doubted_to.take().is_some() || !heavy {
            return false;
        }
        self.chain = None;
        if plan.ignores_upper_bounds {
            return false;
        }
        if !self.slice.is_empty() || self.one_by_one.is_some() {
            self.none_of_one();
            return true;
        }
        let guess = if clocks.local > self.at { clocks.local } else { plus(self.at, HOUR_TICKS) };
        let span = ticks(self.at, self.end().unwrap_or(guess));
        // What is a hole already is looked at closely.
        let least = if self.healing.is_some() { 1 } else { UNANSWERED_TICKS_MIN };
        if span / 2 >= least {
            self.width = Some(span / 2);
        } else if self.healing.is_some() && !self.tried_one_by_one {
            self.width = Some(1);
            self.none_of_one();
        } else {
            self.width = Some(span.clamp(1, least));
            self.doubted_to = self.end();
        }
        true
    }

    /// Asks for the window from its first page again; `false` where no link was followed.
    pub(super) fn drop_link(&mut self) -> bool {
        self.chain.take().is_some()
    }

    /// The offset, the upper bound, or the field of the innermost slice was refused: it is asked without.
    pub(super) fn refused(&mut self, plan: &mut Plan) -> bool {
        if self.skip > 0 {
            plan.skip_max = Some(self.skip - 1);
            self.skip = 0;
            return true;
        }
        if let Some(part) = self.slice.pop() {
            plan.refused_fields |= 1 << part.field;
            self.skip = 0;
            return true;
        }
        let bounded = !plan.ignores_upper_bounds && self.end().is_some();
        plan.ignores_upper_bounds |= bounded;
        bounded
    }

    /// Where what is asked for ends; in an open window, beyond all that has come and by any clock could have.
    fn known_end(&self, page: &PageSummary, plan: &Plan) -> Timestamp {
        let newest = self.latest.unwrap_or(self.at).max(page.clocks.later()).max(self.at);
        self.asked_end(plan).unwrap_or_else(|| plus(newest, 1))
    }

    /// Whether all of the page could be read, save for what is known to be unreadable.
    fn is_whole(&mut self, page: &PageSummary, plan: &mut Plan, holes: &mut Vec<Hole>) -> bool {
        if page.torn {
            return false;
        }
        let end = self.known_end(page, plan);
        if page.unreadable.iter().all(|hash| plan.knows_unreadable(*hash)) {
            plan.forget_readable(self.at, end, &page.unreadable);
            plan.widen_unreadable(self.at, end, &page.unreadable);
            // The same bytes, such as `null`, may stand for another record here.
            if !page.unreadable.is_empty() && !self.is_told_unreadable(end, holes) {
                self.tell(holes, Reason::Unreadable, Some(end), page.clocks.local);
            }
            self.met_unreadable |= !page.unreadable.is_empty();
            return true;
        }
        if self.suspects == page.unreadable {
            // The same bytes again: it is no fault in passing.
            plan.learn_unreadable(self.at, end, &page.unreadable);
            self.tell(holes, Reason::Unreadable, Some(end), page.clocks.local);
            self.met_unreadable = true;
            return true;
        }
        self.suspects = page.unreadable.clone();
        false
    }

    /// Whether it is told already that something up to `end` cannot be read.
    fn is_told_unreadable(&self, end: Timestamp, holes: &[Hole]) -> bool {
        holes.iter().chain(&self.healing).any(|hole| {
            hole.reason == Reason::Unreadable && hole.from <= self.at && hole.to.is_none_or(|to| end <= to)
        })
    }

    /// A page that is not whole: the same again first, then in smaller windows, and at last what is missing is told.
    fn flawed(
        &mut self,
        page: &PageSummary,
        limits: &PageLimits,
        plan: &mut Plan,
        holes: &mut Vec<Hole>,
    ) -> Progress {
        self.flawed = self.flawed.saturating_add(1);
        if self.flawed < 2 {
            return Continue;
        }
        if self.narrow(&page.times, page.clocks, plan) {
            return Continue;
        }
        self.tell(holes, Reason::NotWhole, self.asked_end(plan), page.clocks.local);
        self.suspects.clear();
        self.window_done(page, limits, plan)
    }

    /// More records than a page at one instant, or towards a server that ignores upper bounds.
    fn crowded(
        &mut self,
        page: &PageSummary,
        limits: &PageLimits,
        plan: &mut Plan,
        holes: &mut Vec<Hole>,
    ) -> Progress {
        let repeated = self.skip > 0 && self.fingerprint == page.fingerprint;
        self.fingerprint = page.fingerprint;
        if plan.ignores_upper_bounds && self.slice.is_empty() {
            let (first, last) = (page.times.first(), page.times.iter().max());
            if let (Some(first), Some(last)) = (first, last)
                && is_ascending(&page.times)
                && first < last
                && floor(*last) > self.at
            {
                // The order is all there is to go by, and it proves nothing.
                self.tell(holes, Reason::Unproved, Some(floor(*last)), page.clocks.local);
                (self.at, self.skip) = (floor(*last), 0);
                return Continue;
            }
        }
        // Only as many as the largest page so far: an empty page behind them shows that these were all.
        let suspicious_only = page.items < page.top && !page.cut && self.skip == 0;
        let next = self.skip.saturating_add(page.items);
        if (suspicious_only || self.deeper_field(limits, plan).is_none())
            && !repeated
            && next <= plan.skip_max(limits)
        {
            self.skip = next;
            return Continue;
        }
        self.skip = 0;
        if let Some(field) = self.deeper_field(limits, plan) {
            self.slice.push(Part { field, value: 0 });
            return Continue;
        }
        let reason = if repeated { Reason::Repeats } else { Reason::TooMany };
        self.tell(holes, reason, self.asked_end(plan), page.clocks.local);
        self.window_done(page, limits, plan)
    }

    /// The next field by which the records of this instant can be divided.
    fn deeper_field(&self, limits: &PageLimits, plan: &Plan) -> Option<u8> {
        let used = |field: u8| self.slice.iter().any(|part| part.field == field);
        (0..u8::try_from(limits.field_values.len()).unwrap_or(u8::MAX))
            .find(|field| !used(*field) && plan.refused_fields & (1 << field) == 0)
    }

    /// The window has been read, or what is missing in it told: on to the next.
    pub(super) fn window_done(&mut self, page: &PageSummary, limits: &PageLimits, plan: &Plan) -> Progress {
        (self.skip, self.chain, self.flawed, self.narrowings, self.fingerprint) = (0, None, 0, 0, 0);
        self.tried_one_by_one = false;
        while let Some(part) = self.slice.last_mut() {
            part.value += 1;
            if part.value <= limits.field_values[usize::from(part.field)] {
                return Continue;
            }
            self.slice.pop();
        }
        if plan.ignores_upper_bounds {
            return Done;
        }
        let Some(end) = self.end() else { return Done };
        let width = ticks(self.at, end);
        self.at = end;
        if self.to.is_some_and(|to| end >= to) {
            return Done;
        }
        let room = plan.page_room(page.top, limits);
        let wider = match page.items {
            0 => width.saturating_mul(16),
            items if items * 4 <= room => width.saturating_mul(4),
            items if items * 2 <= room => width.saturating_mul(2),
            _ => width,
        };
        let wider = if width <= UNANSWERED_TICKS_MIN { wider.max(self.fitted.unwrap_or(0)) } else { wider };
        if width > UNANSWERED_TICKS_MIN {
            self.fitted = Some(width);
        }
        // Nothing is known to be behind the newest: the last window is open.
        let open = plus(end, wider) > self.latest_known(page.clocks);
        self.width = (!open || self.to.is_some()).then_some(wider);
        Continue
    }

    /// Makes the window smaller; `false` where it is as small as can be, or cannot be closed.
    fn narrow(&mut self, times: &[Timestamp], clocks: Clocks, plan: &Plan) -> bool {
        if plan.ignores_upper_bounds || !self.slice.is_empty() {
            return false;
        }
        let end = self.end();
        let mut inside: Vec<Timestamp> = times.iter().copied().filter(|time| *time >= self.at).collect();
        inside.retain(|time| end.is_none_or(|end| *time < end));
        let ascending = is_ascending(&inside);
        inside.sort_unstable();
        let limit = end.unwrap_or_else(|| plus(self.latest_known(clocks).max(self.at), 2));
        let span = ticks(self.at, limit);
        if span <= 1 {
            return false;
        }
        self.narrowings = self.narrowings.saturating_add(1);
        let hinted = self.narrowings <= HINTED_NARROWINGS_MAX;
        let middle = span / 2;
        let of = |index: usize| inside.get(index).map(|time| ticks(self.at, floor(*time)));
        let level = of(0) == of(inside.len().saturating_sub(1));
        let width = match of(inside.len() * 7 / 10) {
            // Most of them are at the very beginning: that instant by itself.
            Some(0) => 1,
            Some(hint) if hinted && (ascending || level) => hint,
            Some(_) => of(inside.len() / 2).unwrap_or(middle).min(middle),
            None => middle,
        };
        self.width = Some(width.clamp(1, span - 1));
        (self.skip, self.chain) = (0, None);
        true
    }

    /// Beyond this time nothing is known to be.
    fn latest_known(&self, clocks: Clocks) -> Timestamp {
        self.latest.map_or(clocks.earlier(), |latest| latest.max(clocks.earlier()))
    }

    pub(super) fn is_at_the_bottom(&self) -> bool {
        self.doubted_to.is_some() || self.one_by_one.is_some()
    }

    fn at_an_instant(&self) -> bool {
        // A hole of one instant has no width: what counts is what is asked for.
        !self.slice.is_empty() || self.end().is_some_and(|end| ticks(self.at, end) <= 1)
    }

    pub(super) fn tell(&self, holes: &mut Vec<Hole>, reason: Reason, to: Option<Timestamp>, now: Timestamp) {
        let before = self.healing.as_ref();
        let tries = before.map_or(0, |hole| hole.tries.saturating_add(1));
        let since = before.map_or(now, |hole| hole.since);
        holes.push(Hole { from: self.at, to, reason, since, tries, next_at: Hole::next_try(tries, now) });
    }
}

/// Whether the times rise, nearly all of them: one row out of place is no disorder.
fn is_ascending(times: &[Timestamp]) -> bool {
    let falls = times.windows(2).filter(|pair| pair[0] > pair[1]).count();
    times.first() < times.last() && falls * 10 <= times.len()
}

fn nanoseconds(time: Timestamp) -> i128 {
    time.as_nanosecond()
}

pub(super) fn floor(time: Timestamp) -> Timestamp {
    let nanoseconds = nanoseconds(time);
    Timestamp::from_nanosecond(nanoseconds - nanoseconds.rem_euclid(TICK_NANOSECONDS)).unwrap_or(time)
}

fn ceil(time: Timestamp) -> Timestamp {
    let floor = floor(time);
    if floor == time { time } else { plus(floor, 1) }
}

fn ticks(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from((nanoseconds(to) - nanoseconds(from)) / TICK_NANOSECONDS).unwrap_or(i64::MAX)
}

fn plus(time: Timestamp, ticks: i64) -> Timestamp {
    let nanoseconds = nanoseconds(time) + i128::from(ticks) * TICK_NANOSECONDS;
    Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::MAX)
}
