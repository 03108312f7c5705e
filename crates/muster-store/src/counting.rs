//! What a page, an acknowledgement or a loss adds to the ledger, whatever the engine.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Cursor, Hole, Purpose};

use crate::ledger::HOUR_SECONDS;
use crate::stored::{nanoseconds, timestamp};
use crate::{AcceptedPage, Late};

const HOUR_NANOSECONDS: i64 = HOUR_SECONDS * 1_000_000_000;
/// What `record_version.updated_at` holds where no time is known.
const NO_TIME: i64 = i64::MIN;

/// The number of the hour that counts a record updated at this time.
pub(crate) fn hour_of(updated_at: Option<Timestamp>) -> i64 {
    hour_of_stored(updated_at.map_or(NO_TIME, nanoseconds))
}

/// The same for a time as it is stored.
pub(crate) fn hour_of_stored(updated_at: i64) -> i64 {
    if updated_at == NO_TIME { 0 } else { updated_at.div_euclid(HOUR_NANOSECONDS) }
}

/// When an hour begins, in nanoseconds.
pub(crate) fn hour_begin(hour: i64) -> i64 {
    hour.saturating_mul(HOUR_NANOSECONDS)
}

/// When an hour begins.
pub(crate) fn hour_begins_at(hour: i64) -> Timestamp {
    timestamp(hour_begin(hour))
}

/// The span that had been read before a page came: what is updated in it and still new came late.
pub(crate) struct AlreadyRead {
    from: Timestamp,
    to: Timestamp,
    /// What was missing in it.
    missing: Vec<(Timestamp, Option<Timestamp>)>,
    /// Whether the page is a sweep's.
    sweeping: bool,
}

impl AlreadyRead {
    /// What had been read before a live page.
    pub(crate) fn by_live(page: &AcceptedPage<'_>) -> Option<Self> {
        let to = page.proved_up_to?;
        Some(Self { from: Timestamp::MIN, to, missing: Vec::new(), sweeping: false })
    }

    /// What a sweep finds read, given the live cursor.
    pub(crate) fn by_others(purpose: Purpose, live: &Cursor) -> Option<Self> {
        if purpose == Purpose::Backfill {
            return None;
        }
        let (from, to) = live.proved()?;
        let partial = live.plan().partial.as_ref().map(|partial| (partial.from, None));
        let holes = live.holes().into_iter().map(|Hole { from, to, .. }| (*from, *to));
        Some(Self { from, to, missing: holes.chain(partial).collect(), sweeping: true })
    }

    fn holds(&self, time: Timestamp) -> bool {
        self.from <= time && time < self.to
    }

    fn missed(&self, time: Timestamp) -> bool {
        self.missing.iter().any(|(from, to)| *from <= time && to.is_none_or(|to| time < to))
    }
}

/// What a page adds to one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HourCounts {
    pub(crate) new: u32,
    pub(crate) seen_again: u32,
    pub(crate) late: u32,
    pub(crate) late_seconds_max: u64,
    pub(crate) healed: u32,
    pub(crate) unrouted: u32,
    /// The earliest and the latest update time of the new, as they are stored.
    pub(crate) new_between: Option<(i64, i64)>,
}

/// What a page adds.
pub(crate) struct PageCounts {
    pub(crate) hours: BTreeMap<i64, HourCounts>,
    pub(crate) late: Option<Late>,
}

impl PageCounts {
    /// What one record adds that could not be read when its page came. It opens no hour again: the page was not whole.
    pub(crate) fn of_letter(updated_at: Option<Timestamp>, unrouted: bool) -> Self {
        let hour = HourCounts { new: 1, unrouted: u32::from(unrouted), ..HourCounts::default() };
        Self { hours: BTreeMap::from([(hour_of(updated_at), hour)]), late: None }
    }

    /// What `page` adds of which the records at the indices `fresh` are new.
    pub(crate) fn of(
        page: &AcceptedPage<'_>,
        fresh: &[usize],
        read: Option<&AlreadyRead>,
        now: Timestamp,
    ) -> Self {
        let fresh: HashSet<usize> = fresh.iter().copied().collect();
        let mut counts = Self { hours: BTreeMap::new(), late: None };
        for (index, record) in page.records.iter().enumerate() {
            let updated_at = record.head.updated_at;
            let hour = counts.hours.entry(hour_of(updated_at)).or_default();
            if !fresh.contains(&index) {
                hour.seen_again += 1;
                continue;
            }
            hour.new += 1;
            let at = updated_at.map_or(NO_TIME, nanoseconds);
            let (first, last) = hour.new_between.unwrap_or((at, at));
            hour.new_between = Some((first.min(at), last.max(at)));
            hour.unrouted += u32::from(page.destinations[record.destination].sinks.is_empty());
            let Some((time, read)) = updated_at.zip(read).filter(|(time, read)| read.holds(*time)) else {
                continue;
            };
            hour.healed += u32::from(read.sweeping);
            if !read.missed(time) {
                let delay = Duration::try_from(now.duration_since(time)).unwrap_or_default();
                hour.late += 1;
                hour.late_seconds_max = hour.late_seconds_max.max(delay.as_secs());
                let late = counts.late.get_or_insert(Late { records: 0, delay });
                (late.records, late.delay) = (late.records + 1, late.delay.max(delay));
            }
        }
        counts
    }

    /// As it is handed to one statement: an array for each hour.
    pub(crate) fn as_json(&self) -> String {
        let rows = self.hours.iter().map(|(hour, counts)| {
            let HourCounts { new, seen_again, late, late_seconds_max, healed, unrouted, new_between } =
                *counts;
            let seconds = i64::try_from(late_seconds_max).unwrap_or(i64::MAX);
            let (first, last) = new_between.unwrap_or((NO_TIME, NO_TIME));
            let counts = [new, seen_again, late, healed, unrouted].map(i64::from);
            (*hour, counts, seconds, first, last)
        });
        serde_json::to_string(&rows.collect::<Vec<_>>()).expect("numbers")
    }
}
