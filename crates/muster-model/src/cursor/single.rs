//! One by one: what is left when the records of an instant get no answer together. Those that do are had this way; the
//! instant stays a hole, since offsets prove nothing.

use super::hole::{Hole, Reason};
use super::plan::Plan;
use super::query::{PageLimits, PageSummary};
use super::round::{Progress, Round};

/// After so many records without an answer the rest is left to the next try.
const SILENT_MAX: u32 = 3;

impl Round {
    /// No answer: the records are asked for one by one from now on, or the one that was asked for is stepped over.
    pub(super) fn none_of_one(&mut self) {
        match self.one_by_one {
            None if !self.tried_one_by_one => {
                self.tried_one_by_one = true;
                (self.one_by_one, self.skip, self.fingerprint) = (Some(0), 0, 0);
            }
            Some(silent) if silent < SILENT_MAX => {
                (self.one_by_one, self.skip) = (Some(silent + 1), self.skip.saturating_add(1));
            }
            // Whether it is the records or the service, what lies behind will tell.
            _ => {
                self.slice.clear();
                (self.one_by_one, self.skip, self.width) = (None, 0, Some(1));
                self.doubted_to = self.end();
            }
        }
    }

    /// One record came, or none: then these were all.
    pub(super) fn after_one(
        &mut self,
        silent: u32,
        page: &PageSummary,
        limits: &PageLimits,
        plan: &Plan,
        holes: &mut Vec<Hole>,
    ) -> Progress {
        let repeated = page.items > 0 && self.fingerprint == page.fingerprint;
        let next = self.skip.saturating_add(page.items);
        if page.items > 0 && !repeated && next <= plan.skip_max(limits) {
            (self.skip, self.fingerprint, self.one_by_one) = (next, page.fingerprint, Some(silent));
            return Progress::Continue;
        }
        self.one_by_one = None;
        self.tell(holes, Reason::NoAnswer, self.end(), page.clocks.local);
        self.window_done(page, limits, plan)
    }
}
