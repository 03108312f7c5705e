//! How far a source has been read, and what is asked next.
//!
//! A source is read in *rounds*. A round asks for everything updated since a lower bound, in ascending order of the
//! update time, page by page, until a page comes back that is not full. From one page to the next the lower bound
//! moves to the newest update time on the page (keyset paging), so that records which are updated meanwhile, and so
//! move to the end, shift nothing. Where the bound cannot move (a whole page with one update time), or the server
//! did not sort, the round goes on by offset; each such step goes back by a tenth of the page, because records that
//! leave the front meanwhile pull the others towards it.
//!
//! Nothing is missed and nothing doubled because
//! - a page's records and the cursor after it are stored in one transaction, so a crash repeats at most one page;
//! - bounds are inclusive, so records that share the update time at a page's edge are seen again, and dropped again by
//!   their version;
//! - the next round starts an *overlap* before the point to which the last one read, for records that become visible
//!   late; while nothing new comes, the start is held within the *horizon*, so that a quiet tenant costs little;
//! - the bound never passes the server's own clock, so that a record dated in the future cannot hide others.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many records a round may pass by offset before it is called stuck.
const OFFSET_MAX: u32 = 100_000;

/// How late a record may become visible and still be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorPolicy {
    /// Re-read this much before the newest update seen.
    pub overlap: Duration,
    /// But begin no earlier than this before the last round, when nothing new has come.
    pub horizon: Duration,
}

/// How far a source has been read. Stored as JSON beside the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Everything updated up to here, and visible when it was asked for, has been seen.
    seen_up_to: Timestamp,
    /// Where the next round begins.
    next_from: Timestamp,
    /// The round under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    round: Option<Round>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Round {
    from: Timestamp,
    skip: u32,
    /// The server's clock when the round's first page was answered.
    began_at: Timestamp,
    /// The newest update time seen in this round.
    newest: Timestamp,
    /// Whether the server ignores the order that is asked for.
    unsorted: bool,
    /// Fingerprint of the last page.
    fingerprint: u64,
}

/// What to ask the server: records updated at or after `from`, ascending, leaving out the first `skip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The inclusive lower bound of the update time.
    pub from: Timestamp,
    /// How many records to skip.
    pub skip: u32,
}

/// What came back, as far as paging is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageFacts {
    /// How many records were on the page, readable or not.
    pub count: u32,
    /// Whether there may be more: the page was full, or it names a next one.
    pub more: bool,
    /// The newest update time on the page, where any could be read.
    pub newest: Option<Timestamp>,
    /// How the update times are ordered.
    pub order: PageOrder,
    /// A hash of the page's ids, in order.
    pub fingerprint: u64,
    /// The server's clock (its `Date` header), or ours.
    pub answered_at: Timestamp,
}

/// How the update times of a page are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageOrder {
    /// They never fall, and the last is later than the first.
    Ascending,
    /// All the same, or too few to tell: no proof that the server sorts.
    Level,
    /// They fall somewhere: the server does not sort as it was asked to.
    Unsorted,
}

impl PageOrder {
    /// The order of these update times.
    #[must_use]
    pub fn of(times: &[Timestamp]) -> Self {
        match (times.first(), times.last()) {
            _ if !times.is_sorted() => Self::Unsorted,
            (Some(first), Some(last)) if first < last => Self::Ascending,
            _ => Self::Level,
        }
    }
}

/// What comes after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask for the next page.
    Continue,
    /// The round is complete.
    RoundDone,
}

/// The server gives the same page over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server repeats the same page from {from} on (offset {skip})")]
pub struct Stuck {
    /// The bound that was asked for.
    pub from: Timestamp,
    /// The offset that was asked for.
    pub skip: u32,
}

impl Cursor {
    /// A cursor that has seen nothing updated since `since`.
    #[must_use]
    pub fn starting(since: Timestamp) -> Self {
        Self { seen_up_to: since, next_from: since, round: None }
    }

    /// Everything updated up to here has been seen.
    #[must_use]
    pub fn seen_up_to(&self) -> Timestamp {
        self.seen_up_to
    }

    /// Whether a round is under way.
    #[must_use]
    pub fn in_round(&self) -> bool {
        self.round.is_some()
    }

    /// What to ask next.
    #[must_use]
    pub fn question(&self) -> Question {
        match &self.round {
            Some(round) => Question { from: round.from, skip: round.skip },
            None => Question { from: self.next_from, skip: 0 },
        }
    }

    /// The cursor after a page that answered [`Cursor::question`], to be stored together with the page's records.
    ///
    /// # Errors
    /// When the server makes no progress; the cursor stays as it was.
    pub fn after(&self, page: &PageFacts, policy: &CursorPolicy) -> Result<(Self, Step), Stuck> {
        let asked = self.question();
        let fresh = Round {
            from: asked.from,
            skip: asked.skip,
            began_at: page.answered_at,
            newest: self.seen_up_to,
            unsorted: false,
            fingerprint: 0,
        };
        let mut round = self.round.clone().unwrap_or(fresh);
        let newest = page.newest.map(|newest| newest.min(page.answered_at));
        round.newest = newest.map_or(round.newest, |newest| newest.max(round.newest));
        round.unsorted |= page.order == PageOrder::Unsorted;
        if !page.more {
            return Ok((self.round_done(&round, policy), Step::RoundDone));
        }
        let repeated = self.round.is_some() && round.fingerprint == page.fingerprint && page.count > 0;
        if round.skip > OFFSET_MAX || (repeated && round.skip > 0) || page.count == 0 {
            return Err(Stuck { from: asked.from, skip: asked.skip });
        }
        round.fingerprint = page.fingerprint;
        match newest {
            Some(newest)
                if newest > round.from
                    && page.order == PageOrder::Ascending
                    && !round.unsorted
                    && !repeated =>
            {
                round.from = newest;
                round.skip = 0;
            }
            _ => round.skip = round.skip.saturating_add(page.count - page.count / 10),
        }
        let seen_up_to = if round.skip > 0 { self.seen_up_to } else { self.seen_up_to.max(round.newest) };
        Ok((Self { seen_up_to, next_from: self.next_from, round: Some(round) }, Step::Continue))
    }

    /// Gives a round up that cannot go on, so that the next one begins where this one did.
    #[must_use]
    pub fn without_round(&self) -> Self {
        Self { round: None, ..self.clone() }
    }

    fn round_done(&self, round: &Round, policy: &CursorPolicy) -> Self {
        let seen_up_to = round.newest.max(self.seen_up_to);
        let overlapped = earlier(seen_up_to.min(round.began_at), policy.overlap);
        let next_from = overlapped.max(earlier(round.began_at, policy.horizon));
        Self { seen_up_to, next_from, round: None }
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::hash::{DefaultHasher, Hash, Hasher};

    use proptest::prelude::*;

    use super::*;

    const POLICY: CursorPolicy =
        CursorPolicy { overlap: Duration::from_secs(120), horizon: Duration::from_secs(1800) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn facts(page: &[(i64, u32)], more: bool, now: i64) -> PageFacts {
        let mut hasher = DefaultHasher::new();
        page.iter().for_each(|(_, id)| id.hash(&mut hasher));
        PageFacts {
            count: page.len() as u32,
            more,
            newest: page.iter().map(|(time, _)| at(*time)).max(),
            order: PageOrder::of(&page.iter().map(|(time, _)| at(*time)).collect::<Vec<_>>()),
            fingerprint: hasher.finish(),
            answered_at: at(now),
        }
    }

    /// A server: records by id with their update time; answers a question.
    struct Server {
        records: BTreeMap<u32, i64>,
        top: usize,
        sorted: bool,
    }

    impl Server {
        fn answer(&self, question: Question) -> (Vec<(i64, u32)>, bool) {
            let mut found: Vec<(i64, u32)> = self
                .records
                .iter()
                .filter(|(_, time)| at(**time) >= question.from)
                .map(|(id, time)| (*time, *id))
                .collect();
            found.sort_unstable();
            if !self.sorted {
                found.reverse();
            }
            let page: Vec<_> = found.iter().skip(question.skip as usize).take(self.top).copied().collect();
            let more = page.len() == self.top;
            (page, more)
        }
    }

    #[test]
    fn a_quiet_tenant_asks_for_little() {
        let mut cursor = Cursor::starting(at(1_000));
        (cursor, _) = cursor.after(&facts(&[(2_000, 1)], false, 90_000), &POLICY).expect("progress");
        assert_eq!(cursor.question().from, at(90_000 - 1_800));
        assert_eq!(cursor.seen_up_to(), at(2_000));
    }

    #[test]
    fn a_record_dated_in_the_future_hides_nothing() {
        let cursor = Cursor::starting(at(1_000));
        let (cursor, _) = cursor.after(&facts(&[(4_000_000, 1)], false, 2_000), &POLICY).expect("progress");
        assert_eq!(cursor.question().from, at(2_000 - 120));
    }

    #[test]
    fn the_same_page_over_and_over_is_an_error() {
        let mut cursor = Cursor::starting(at(1_000));
        let page = facts(&[(1_500, 1), (1_500, 2)], true, 2_000);
        let stuck = (0..10).find_map(|_| match cursor.after(&page, &POLICY) {
            Ok((next, _)) => {
                cursor = next;
                None
            }
            Err(stuck) => Some(stuck),
        });
        assert!(stuck.is_some());
        assert_eq!(cursor.without_round().question().from, at(1_000));
    }

    proptest! {
        /// Whatever the order, page size and equal times, and with updates between pages, every version that is
        /// still there when a round ends has been seen.
        #[test]
        fn nothing_is_missed(
            times in proptest::collection::vec(0_i64..6, 1..200),
            updates in proptest::collection::btree_map(0_usize..30, any::<prop::sample::Index>(), 0..20),
            top in 10_usize..40,
            sorted in any::<bool>(),
        ) {
            let mut server = Server {
                records: times.iter().enumerate().map(|(id, time)| (id as u32, 10_000 + time)).collect(),
                top,
                sorted,
            };
            let mut now = 20_000;
            let mut cursor = Cursor::starting(at(0));
            let mut seen = BTreeSet::new();
            let (mut pages, mut rounds) = (0_usize, 0);
            // The overlap of the second round finds what was updated behind the first one's back.
            while rounds < 2 {
                if let Some(which) = updates.get(&pages).filter(|_| rounds == 0) {
                    now += 1;
                    server.records.insert(which.index(times.len()) as u32, now);
                }
                let (page, more) = server.answer(cursor.question());
                seen.extend(page.iter().copied());
                let (next, step) = cursor.after(&facts(&page, more, now), &POLICY).expect("progress");
                cursor = serde_json::from_str(&serde_json::to_string(&next).expect("JSON")).expect("what was written");
                pages += 1;
                rounds += usize::from(step == Step::RoundDone);
                prop_assert!(pages < 1_000, "no end");
            }
            for (id, time) in &server.records {
                prop_assert!(seen.contains(&(*time, *id)), "{id} at {time} was missed");
            }
        }
    }
}
