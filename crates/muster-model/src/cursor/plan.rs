//! How one source of one tenant wants to be asked: learnt from its answers, and kept in its cursor, so that a restart or a
//! take-over need not learn it again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::query::PageLimits;

/// How many unreadable records are told apart per source.
const UNREADABLE_MAX: usize = 100;
/// Page sizes that services use by themselves: a page of just so many may have been cut short.
const USUAL_PAGE_SIZES: [u32; 10] = [10, 20, 25, 50, 100, 200, 250, 500, 1_000, 2_000];
/// A service that gives fewer records than these without a word is none.
const CUT_AT_LEAST: u32 = 10;
/// After so many rounds the rung above is tried again.
const ROUNDS_ON_A_RUNG: u16 = 10;

/// What has been learnt about a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// How many rungs of the source's ladder it stands below the best.
    pub rung: u8,
    /// Rounds since the rung was last changed or tried.
    pub rounds_on_rung: u16,
    /// Page sizes are halved this many times.
    pub halvings: u8,
    /// The largest page that ever came.
    pub largest_page: u32,
    /// So many records were given of a window whose parts held more, though more had been asked for: the least such number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_at: Option<u32>,
    /// The service refuses to sort.
    pub refuses_order: bool,
    /// In this round the service did not keep to an upper bound.
    pub ignores_upper_bounds: bool,
    /// In this round the service did not take a link of its own.
    pub refuses_links: bool,
    /// The fields by which it does not let itself be asked, as bits.
    pub refused_fields: u8,
    /// In this round the service refused larger offsets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_max: Option<u32>,
    /// What cannot be read, and where it was met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
    /// What the service says is missing from its answers, and from which update time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

/// A record that cannot be read, known by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Hash of its bytes.
    pub hash: u64,
    /// The window in which it came.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

/// Answers that lack what one provider has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// The provider, or what the service said.
    pub missing: String,
    /// The first update time from which on it is missing.
    pub from: Timestamp,
    /// Since when that is so.
    pub since: Timestamp,
}

impl Plan {
    /// Whether a page of so many records may have been cut short, though it names no next one: an oversized page size is
    /// reduced without a word. What is at one instant and cannot be divided in any way is doubted only where the service was
    /// seen to do so: it could never be proved.
    pub(super) fn is_full(&self, items: u32, top: u32, limits: &PageLimits, is_an_instant: bool) -> bool {
        let by_time = limits.divides_no_instant();
        let is_beyond_a_cut = self.cut_at.is_some_and(|most| items >= most);
        let is_of_a_size = items >= self.largest_page || USUAL_PAGE_SIZES.contains(&items);
        let is_doubtful = if by_time {
            is_beyond_a_cut || !is_an_instant && items >= CUT_AT_LEAST && is_of_a_size
        } else {
            items >= 2 && is_of_a_size
        };
        items >= top || limits.cuts_silently && is_doubtful
    }

    pub(super) fn saw(&mut self, items: u32) {
        self.largest_page = self.largest_page.max(items);
    }

    /// A window of which `given` records came held more. A service that cuts by bytes does so at many sizes: the least counts.
    pub(super) fn was_cut_at(&mut self, given: u32) {
        if given >= CUT_AT_LEAST {
            self.cut_at = Some(self.cut_at.map_or(given, |most| most.min(given)));
        }
    }

    /// Whether it is known already that an answer of so many may lack some.
    pub(super) fn knows_cut_at(&self, given: u32) -> bool {
        given < CUT_AT_LEAST || self.cut_at.is_some_and(|most| most <= given)
    }

    /// The parts of a window held just the `given` records that came of the whole. What gives more than a cut in one answer
    /// does not cut there any more.
    pub(super) fn was_whole_at(&mut self, given: u32) {
        self.cut_at = self.cut_at.filter(|most| given <= *most);
    }

    /// How many records a page can hold.
    pub(super) fn page_room(&self, top: u32, limits: &PageLimits) -> u32 {
        let least = if limits.divides_no_instant() { CUT_AT_LEAST } else { 2 };
        if limits.cuts_silently { top.min(self.largest_page.max(least)) } else { top }
    }

    /// The largest offset that the service takes.
    pub(super) fn skip_max(&self, limits: &PageLimits) -> u32 {
        self.skip_max.map_or(limits.skip_max, |most| most.min(limits.skip_max))
    }

    /// The page size to ask for.
    #[must_use]
    pub fn page_size(&self, full: u32) -> u32 {
        (full >> self.halvings.min(16)).max(1)
    }

    pub(super) fn knows_unreadable(&self, hash: u64) -> bool {
        self.unreadable.iter().any(|known| known.hash == hash)
    }

    pub(super) fn learn_unreadable(&mut self, from: Timestamp, to: Timestamp, hashes: &[u64]) {
        for &hash in hashes {
            if !self.knows_unreadable(hash) {
                self.unreadable.push(Unreadable { hash, from, to });
            }
        }
        let excess = self.unreadable.len().saturating_sub(UNREADABLE_MAX);
        self.unreadable.drain(..excess);
    }

    /// What is known was met in this window too.
    pub(super) fn widen_unreadable(&mut self, from: Timestamp, to: Timestamp, hashes: &[u64]) {
        for known in self.unreadable.iter_mut().filter(|known| hashes.contains(&known.hash)) {
            (known.from, known.to) = (known.from.min(from), known.to.max(to));
        }
    }

    /// What was met in this window before and is not there any more can be read now, or has changed.
    pub(super) fn forget_readable(&mut self, from: Timestamp, to: Timestamp, still: &[u64]) {
        self.unreadable.retain_mut(|known| {
            if still.contains(&known.hash) {
                return true;
            }
            if from <= known.from {
                known.from = known.from.max(to);
            }
            if known.to <= to {
                known.to = known.to.min(from);
            }
            known.from < known.to
        });
    }

    /// One rung down; `false` on the last.
    pub fn step_down(&mut self, rungs: u8) -> bool {
        self.rounds_on_rung = 0;
        let can = self.rung + 1 < rungs;
        self.rung += u8::from(can);
        can
    }

    /// A round has ended: what holds for one round is forgotten, and the rung above may be due for another try.
    pub(super) fn round_done(&mut self) {
        (self.ignores_upper_bounds, self.refuses_links, self.skip_max) = (false, false, None);
        self.halvings = self.halvings.saturating_sub(1);
        if self.rung > 0 {
            self.rounds_on_rung += 1;
            if self.rounds_on_rung >= ROUNDS_ON_A_RUNG {
                (self.rung, self.rounds_on_rung) = (self.rung - 1, 0);
            }
        }
    }
}
