//! What the ledger claims about hours, held against the log of truth. When rounds and sweeps began, and what they asked for,
//! is known from the service's side.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use muster_store::{HourState, LedgerHour};

use crate::truth::Truth;
use crate::witness::{Checked, Key, Violation, described};

const HOUR_SECONDS: i64 = 3_600;

/// What is known of a source from outside.
#[derive(Default)]
struct Known {
    /// When sweeps and backfills began: by Muster's clock, and in the world's time.
    passes: HashMap<Timestamp, Pass>,
    /// The spans of update times that complete live rounds have asked for: up to when they began, in the world's time.
    asked: Vec<(Timestamp, Timestamp)>,
    /// When the latest to show of an hour's records in the journal showed.
    came: HashMap<i64, Timestamp>,
}

/// A sweep or a backfill, or several that began when Muster's clock showed the same.
#[derive(Clone, Copy)]
struct Pass {
    first: Timestamp,
    last: Timestamp,
    is_sweep: bool,
}

/// Holds claims about hours.
#[derive(Default)]
pub(crate) struct Claims {
    known: HashMap<Key, Known>,
    /// How many hours were claimed to be complete, each time they were looked at.
    pub(crate) complete: u64,
}

/// What is in the journal and what is not.
pub(crate) struct Held<'a> {
    pub(crate) truth: &'a Truth,
    /// The places of versions that are not in the journal.
    pub(crate) absent: &'a BTreeSet<usize>,
    /// Those of them that some complete round could have read.
    pub(crate) owed: &'a HashSet<usize>,
}

impl Claims {
    /// A sweep or a backfill may begin now: Muster's clock shows `local`, and its first request comes at `asked_at`.
    pub(crate) fn pass_begins(&mut self, key: Key, local: Timestamp, asked_at: Timestamp, is_sweep: bool) {
        let passes = &mut self.known.entry(key).or_default().passes;
        let pass = passes.entry(local).or_insert(Pass { first: asked_at, last: asked_at, is_sweep });
        // A clock that was set back shows a time twice.
        (pass.first, pass.last) = (pass.first.min(asked_at), pass.last.max(asked_at));
        pass.is_sweep &= is_sweep;
    }

    /// A turn of a stream is over: it looked at all that lay there once Muster's clock had shown `local`, at `asked_at`, and what
    /// showed until `now` it may have read.
    pub(crate) fn stream_read(&mut self, key: Key, local: Timestamp, asked_at: Timestamp, now: Timestamp) {
        self.pass_begins(key, local, asked_at, true);
        self.pass_begins(key, local, now, true);
    }

    /// A live round is complete that asked for everything from `from` on at `began`.
    pub(crate) fn round_done(&mut self, key: Key, from: Timestamp, began: Timestamp) {
        let asked = &mut self.known.entry(key).or_default().asked;
        match asked.last_mut() {
            Some(last) if last.0 <= from && from <= last.1 => last.1 = last.1.max(began),
            _ => asked.push((from, began)),
        }
    }

    /// A record came into the journal that has been visible since `shown_at`.
    pub(crate) fn came(&mut self, key: Key, updated_at: Timestamp, shown_at: Timestamp) {
        let latest = self.known.entry(key).or_default().came.entry(hour_of(updated_at)).or_insert(shown_at);
        *latest = shown_at.max(*latest);
    }

    /// What the ledger says of a source's hours.
    pub(crate) fn check(
        &mut self,
        key: Key,
        held: &Held<'_>,
        hours: &[LedgerHour],
        now: Timestamp,
    ) -> Checked {
        for hour in hours {
            let begin = match hour.state {
                HourState::Hole { .. } | HourState::GivenUp { .. } | HourState::Late | HourState::Open => {
                    continue;
                }
                HourState::Read => None,
                HourState::Complete { as_of } => Some(self.complete(key, hour, as_of)?),
            };
            self.complete += u64::from(begin.is_some());
            let (from, to) = (hour.hour, hour.hour + std::time::Duration::from_secs(3_600));
            let known = self.known.get(&key);
            let asked = known.is_some_and(|known| is_within(&known.asked, from, to));
            if begin.is_none() && !asked {
                return Err(wrong(key, hour, "no complete round has asked for all of it"));
            }
            for place in held.absent {
                let version = &held.truth.versions[*place];
                if (version.tenant, version.source) != key
                    || version.updated_at < from
                    || version.updated_at >= to
                {
                    continue;
                }
                let readable = begin.is_some_and(|begin| version.told.is_visible_throughout(begin, now));
                // Which hours the rows of a blob are of that cannot be read, nobody knows: what was read as of a time was.
                let owed =
                    key.1.stream().is_none() && held.owed.contains(place) && version.told.is_visible_at(now);
                if readable || owed {
                    let missing = format!("{} is not in the journal", described(version));
                    return Err(wrong(key, hour, &missing));
                }
            }
        }
        Ok(())
    }

    /// When the sweep began, in the world's time, that a claim of completeness is about.
    fn complete(&self, key: Key, hour: &LedgerHour, as_of: Timestamp) -> Result<Timestamp, Violation> {
        let known = self.known.get(&key);
        let Some(pass) = known.and_then(|known| known.passes.get(&as_of)) else {
            return Err(wrong(key, hour, "no sweep began then"));
        };
        // Live reading had been there before a sweep, but perhaps not before a backfill.
        let came = known.and_then(|known| known.came.get(&hour_of(hour.hour))).filter(|_| pass.is_sweep);
        if let Some(came) = came.filter(|came| **came > pass.last) {
            return Err(wrong(
                key,
                hour,
                &format!("a record of it came that showed at {came}, and did not open it"),
            ));
        }
        Ok(pass.first)
    }
}

fn hour_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(HOUR_SECONDS)
}

/// Whether a span lies within others taken together.
fn is_within(spans: &[(Timestamp, Timestamp)], from: Timestamp, to: Timestamp) -> bool {
    let mut at = from;
    while at < to {
        let reach = spans.iter().filter(|span| span.0 <= at).map(|span| span.1).max();
        match reach.filter(|reach| *reach > at) {
            Some(reach) => at = reach,
            None => return false,
        }
    }
    true
}

fn wrong(key: Key, hour: &LedgerHour, why: &str) -> Violation {
    Violation(format!("the ledger says {:?} of {} of {}: {why}", hour.state, hour.hour, key.1))
}
