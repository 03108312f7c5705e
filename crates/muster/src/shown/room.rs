//! How full the journal is, and how long that lasts: pure, from what the store says.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_store::{JournalBacklog, Store, StoreError};
use serde::Serialize;

use crate::config::{JournalBound, WhenFull};
use crate::often::Often;
use crate::shown::output::{duration, size};

/// Where sinks are owed for less than this, no rate is told from it.
const RATE_FROM: SignedDuration = SignedDuration::from_mins(10);
/// The share that sinks are owed of a journal that is full of it.
const FULL_FROM: u64 = 90;
/// Where sinks are owed for less than this, and less than half of what may be taken, nobody is warned.
const WARN_FROM: SignedDuration = SignedDuration::from_hours(1);

/// How full the journal is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Room {
    /// Bytes that it may take.
    pub max_bytes: u64,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Bytes of what it keeps because sinks are owed it; shadows do not count.
    pub owed_bytes: u64,
    /// Since when the oldest of that is owed.
    pub owed_since: Option<Timestamp>,
    /// In how many seconds it is full, if it grows as it has since then.
    pub seconds_left: Option<u64>,
    /// What happens then.
    pub when_full: WhenFull,
    /// Whether it is, with what sinks are owed.
    pub full: bool,
    /// Whether nothing is collected until there is room, whoever is owed what fills it.
    pub stopped: bool,
    /// Whether somebody should do something about it.
    pub warns: bool,
}

impl Room {
    /// How full it is by these facts.
    pub fn of(bound: JournalBound, bytes: u64, backlog: JournalBacklog, now: Timestamp) -> Self {
        let owed_for = backlog.since.map(|since| now.duration_since(since));
        let left = owed_for.filter(|owed_for| *owed_for >= RATE_FROM && backlog.bytes > 0).map(|owed_for| {
            let room = u128::from(bound.bytes.saturating_sub(backlog.bytes));
            let seconds = room * u128::from(owed_for.as_secs().unsigned_abs()) / u128::from(backlog.bytes);
            u64::try_from(seconds).unwrap_or(u64::MAX)
        });
        // What nobody is owed makes room within a moment.
        let full = bytes >= bound.bytes && backlog.bytes >= bound.share(FULL_FROM);
        let stopped = bound.stops_at(bytes);
        let soon = left.is_some_and(|left| Often::soon(left).is_some());
        let owed_long = owed_for.is_some_and(|owed_for| owed_for >= WARN_FROM);
        Self {
            max_bytes: bound.bytes,
            bytes,
            owed_bytes: backlog.bytes,
            owed_since: backlog.since,
            seconds_left: left,
            when_full: bound.when_full,
            full,
            stopped,
            warns: full || stopped || backlog.bytes >= bound.share(50) || (owed_long && soon),
        }
    }

    /// Looks how full it is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn look(
        store: &dyn Store,
        bound: JournalBound,
        shadows: &[String],
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let backlog = store.journal_backlog(shadows).await?;
        Ok(Self::of(bound, store.journal_bytes().await?, backlog, now))
    }

    /// In words, for whoever should do something.
    pub fn in_words(&self) -> String {
        let of = format!("{} of {}", size(self.bytes), size(self.max_bytes));
        if self.full {
            return match self.when_full {
                WhenFull::Stop => format!(
                    "is full ({of}): nothing new is collected until sinks take what they are owed; it waits at Microsoft meanwhile"
                ),
                WhenFull::DropOldest => {
                    format!("is full ({of}): the oldest that sinks are owed is given up")
                }
            };
        }
        if self.stopped {
            return format!(
                "has reached its bound ({of}) with what shadows are owed or is being sent: nothing new is collected until there is room; it waits at Microsoft meanwhile"
            );
        }
        let left = self.seconds_left.map(Duration::from_secs).map(duration);
        let left = left.map_or_else(String::new, |left| format!(", and is full in about {left}"));
        let then = match self.when_full {
            WhenFull::Stop => "nothing new is collected",
            WhenFull::DropOldest => "the oldest of it is given up",
        };
        format!(
            "holds {} that sinks are owed, of the {} that it may take{left}; then {then}",
            size(self.owed_bytes),
            size(self.max_bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1 << 30;
    const BOUND: JournalBound = JournalBound { bytes: 10 * GB, when_full: WhenFull::Stop };

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + 3_600 * hour).expect("in range")
    }

    fn room(owed_bytes: u64, bytes: u64, now: i64) -> Room {
        Room::of(BOUND, bytes, JournalBacklog { bytes: owed_bytes, since: Some(at(0)) }, at(now))
    }

    #[test]
    fn the_time_left_is_told_long_before_it_is_full() {
        // A gigabyte a day: nine days are left after the first.
        let day = room(GB, 2 * GB, 24);
        assert_eq!(day.seconds_left, Some(9 * 86_400));
        assert!(day.warns && !day.full);
        assert!(day.in_words().contains("full in about 9d"), "{}", day.in_words());
        assert!(day.in_words().contains("then nothing new is collected"), "{}", day.in_words());
        // A tenth of that: it lasts for months.
        assert!(!room(GB / 10, GB, 24).warns);
        // What is owed for a moment says nothing of what is to come.
        let moment = Room::of(BOUND, GB, JournalBacklog { bytes: GB, since: Some(at(0)) }, at(0));
        assert_eq!((moment.seconds_left, moment.warns), (None, false));
        assert!(room(6 * GB, 6 * GB, 0).warns, "but half of it does");
        assert!(!Room::of(BOUND, 9 * GB, JournalBacklog::default(), at(5)).warns, "nothing is owed");
    }

    #[test]
    fn full_is_told_with_what_happens() {
        let full = room(10 * GB, 10 * GB, 24);
        assert!(full.full && full.warns && full.in_words().contains("nothing new is collected"));
        let dropping = JournalBound { when_full: WhenFull::DropOldest, ..BOUND };
        let backlog = JournalBacklog { bytes: 10 * GB, since: Some(at(0)) };
        let full = Room::of(dropping, 11 * GB, backlog, at(0));
        assert!(full.in_words().contains("is given up"), "{}", full.in_words());
        assert!(!Room::of(BOUND, 10 * GB, JournalBacklog::default(), at(0)).full, "nobody is owed it");
        // But what fills it may be a shadow's that is slow: then nothing is collected either, and that is told.
        let stopped = Room::of(BOUND, 10 * GB, JournalBacklog::default(), at(0));
        assert!(stopped.warns && stopped.in_words().contains("nothing new is collected"), "{stopped:?}");
        assert!(!Room::of(dropping, 11 * GB, JournalBacklog::default(), at(0)).warns, "it goes on");
    }
}
