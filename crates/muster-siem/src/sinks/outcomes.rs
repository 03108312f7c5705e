//! The outcomes of a delivery batch's records, gathered while their events go their ways.

use std::collections::BTreeMap;

use muster_model::{Outcome, Report, Trouble};

/// One outcome for each record, and why some are to be retried.
///
/// A record may be several events. Its outcome is the least final of theirs: one that must be retried keeps the record
/// owed, even where another of its events was refused for good.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    outcomes: Vec<Outcome>,
    /// What was refused, while it is not known whether that is the records' fault.
    refused: Vec<(usize, String)>,
    /// Of which it is not known whether the receiver has taken them: they are never sent again by themselves.
    uncertain: BTreeMap<usize, String>,
    trouble: Option<Trouble>,
}

impl Outcomes {
    /// The next record's outcome, for all that is known yet.
    pub(super) fn push(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    pub(super) fn reject(&mut self, record: usize, reason: &str) {
        if let Some(outcome @ (Outcome::Delivered | Outcome::Awaited)) = self.outcomes.get_mut(record) {
            *outcome = Outcome::Rejected(reason.to_owned());
        }
    }

    /// The receiver has it, and a ticket is kept.
    pub(super) fn await_ticket(&mut self, record: usize) {
        if let Some(outcome @ Outcome::Delivered) = self.outcomes.get_mut(record) {
            *outcome = Outcome::Awaited;
        }
    }

    /// The receiver has taken it or not, and does not say: that stays so, whatever becomes of its other events.
    pub(super) fn uncertain(&mut self, record: usize, reason: &str) {
        self.uncertain.entry(record).or_insert_with(|| reason.to_owned());
    }

    /// Whether nothing speaks against its delivery yet.
    pub(super) fn is_delivered(&self, record: usize) -> bool {
        self.outcomes.get(record) == Some(&Outcome::Delivered)
    }

    pub(super) fn retry(&mut self, record: usize) {
        if let Some(outcome) = self.outcomes.get_mut(record) {
            *outcome = Outcome::Retry;
        }
    }

    /// The receiver refuses a record; whether for good is for [`settle_refused`](Self::settle_refused) to say.
    pub(super) fn refuse(&mut self, record: usize, reason: String) {
        self.refused.push((record, reason));
    }

    /// What was refused is refused for good where the receiver has taken something else, and stays owed where it has not: then
    /// the first reason is given.
    pub(super) fn settle_refused(&mut self, is_taken: bool) -> Option<String> {
        let refused = std::mem::take(&mut self.refused);
        let first = refused.first().map(|(_, reason)| reason.clone());
        for (record, reason) in refused {
            if is_taken { self.reject(record, &reason) } else { self.retry(record) }
        }
        first.filter(|_| !is_taken)
    }

    /// Everything that was not refused stays owed.
    pub(super) fn retry_all(&mut self) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Delivered) {
            *outcome = Outcome::Retry;
        }
    }

    /// Of `count` records, those that were not looked at stay owed.
    pub(super) fn retry_rest(&mut self, count: usize) {
        self.outcomes.resize(count, Outcome::Retry);
    }

    /// Keeps the first reason, and the longest wait anyone asked for.
    pub(super) fn trouble(&mut self, trouble: Trouble) {
        match &mut self.trouble {
            None => self.trouble = Some(trouble),
            Some(known) => known.after = known.after.max(trouble.after),
        }
    }

    pub(super) fn report(mut self) -> Report {
        for (record, reason) in self.uncertain {
            if let Some(outcome) = self.outcomes.get_mut(record) {
                *outcome = Outcome::Uncertain(reason);
            }
        }
        Report { outcomes: self.outcomes, trouble: self.trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of its events may be there, and must not be sent again by itself, whatever becomes of the others.
    #[test]
    fn a_record_that_is_uncertain_stays_so() {
        let mut outcomes = Outcomes::default();
        (0..3).for_each(|_| outcomes.push(Outcome::Delivered));
        outcomes.uncertain(0, "uncertain: 1 of 2");
        outcomes.retry(0);
        outcomes.retry(1);
        outcomes.uncertain(1, "uncertain: 1 of 2");
        outcomes.reject(1, "too long");
        let uncertain = Outcome::Uncertain("uncertain: 1 of 2".to_owned());
        assert_eq!(outcomes.report().outcomes, [uncertain.clone(), uncertain, Outcome::Delivered]);
    }
}
