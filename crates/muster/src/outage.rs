//! Warns while sinks are down: what is owed to them stays in the journal however old it is, so nothing is lost until the disk
//! is full. How long that takes is told long before.
//!
//! It looks at how the store has grown and at the space that is left. What grows it may be something else; then the warning is
//! as true.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_model::Clock;
use muster_store::{SinkTotals, Store};
use tokio_util::sync::CancellationToken;

use crate::often::Often;
use crate::shown::output::duration;
use crate::troubles::Troubles;

/// The part of `muster run` that has the trouble, in its heartbeat.
const DISK: &str = "disk";
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// A sink that is down for less is not told of here.
const DOWN_FOR: SignedDuration = SignedDuration::from_hours(1);
/// Growth is taken from this much of the past, and from no less than this.
const WATCHED: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(10), SignedDuration::from_hours(24));
/// How the store has grown, and when something was told.
#[derive(Debug, Default)]
pub struct Outage {
    sizes: VecDeque<(Timestamp, u64)>,
    told: Often,
}

/// Something to tell.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    /// The sinks that are down.
    pub sinks: Vec<String>,
    /// Since when they are owed something.
    pub since: Timestamp,
    pub owed: u64,
    /// How long the disk lasts.
    pub left: SignedDuration,
}

impl Notice {
    /// In words, for whoever should do something.
    fn in_words(&self) -> String {
        let left = duration(Duration::try_from(self.left).unwrap_or_default());
        format!(
            "{} records are owed to sinks that are down ({}), and at its present growth the disk that holds the store is full in \
             about {left}: mend the sinks, make room, or take them out of the routes",
            self.owed,
            self.sinks.join(", ")
        )
    }
}

impl Outage {
    /// What lies ahead with these sinks, given how large the store is and how much space is left, in bytes.
    pub fn ahead(
        &mut self,
        sinks: &[SinkTotals],
        (size, free): (u64, u64),
        now: Timestamp,
    ) -> Option<Notice> {
        let (least, most) = WATCHED;
        // A clock that has stepped back says nothing of growth.
        self.sizes.retain(|(at, _)| *at <= now && now.duration_since(*at) <= most);
        self.sizes.push_back((now, size));
        let down = |sink: &&SinkTotals| {
            sink.failing > 0 && sink.owed_since.is_some_and(|since| now.duration_since(since) >= DOWN_FOR)
        };
        let down: Vec<&SinkTotals> = sinks.iter().filter(down).collect();
        let since = down.iter().filter_map(|sink| sink.owed_since).min()?;
        let (first_at, first) = self.sizes.front().copied()?;
        let watched = now.duration_since(first_at);
        let grown = size.checked_sub(first).filter(|grown| *grown > 0 && watched >= least)?;
        let seconds = u128::from(free) * u128::from(watched.as_secs().unsigned_abs()) / u128::from(grown);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        let left = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        Often::soon(seconds)?;
        let owed = down.iter().map(|sink| sink.owed).sum();
        Some(Notice { sinks: down.iter().map(|sink| sink.sink.clone()).collect(), since, owed, left })
    }

    /// Whether the log is told of it now: it is, now and then.
    pub fn is_due(&mut self, ahead: &Notice, now: Timestamp) -> bool {
        let left = ahead.left.as_secs().unsigned_abs();
        Often::soon(left).is_some_and(|every| self.told.is_due(every, now))
    }
}

/// Looks, and tells, until told to stop.
pub async fn watch(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    (path, shadows): (Option<PathBuf>, BTreeSet<String>),
    troubles: Troubles,
    log: Arc<crate::told::Told>,
    stop: CancellationToken,
) {
    let mut outage = Outage::default();
    loop {
        match store.sink_totals().await {
            Ok(mut sinks) => {
                // What those are owed is given up in time.
                sinks.retain(|sink| !shadows.contains(&sink.sink));
                // Of a database's disk only the database knows.
                if let Some((path, space)) = path.as_ref().and_then(|path| Some((path, space(path)?))) {
                    let ahead = outage.ahead(&sinks, space, clock.now());
                    // So that `muster status` shows it, and people are told.
                    troubles.set(DISK, ahead.as_ref().map(Notice::in_words).as_deref());
                    if let Some(ahead) = ahead.filter(|ahead| outage.is_due(ahead, clock.now())) {
                        tell(&ahead, path);
                    }
                }
            }
            Err(error) => log.store.failed("look for sinks that are down", &error, clock.now()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// How large the store is, and how much space is left where it lies.
fn space(path: &Path) -> Option<(u64, u64)> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let size = |path: &Path| std::fs::metadata(path).map(|file| file.len()).unwrap_or(0);
    let disk = rustix::fs::statvfs(path).ok()?;
    Some((size(path) + size(Path::new(&wal)), disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn tell(notice: &Notice, path: &Path) {
    let Notice { sinks, since, owed, left } = notice;
    let (sinks, left) = (sinks.join(", "), duration(Duration::try_from(*left).unwrap_or_default()));
    let since = format!("{since:.0}");
    tracing::warn!(
        sinks,
        owed,
        since,
        left,
        store = %path.display(),
        "sinks are down, and what is owed to them stays in the store until they take it: at its present growth the disk is full \
         in that time. Mend the sinks, make room, or take them out of the routes"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    const GB: u64 = 1 << 30;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).expect("in range")
    }

    fn down(since: i64) -> SinkTotals {
        SinkTotals {
            sink: "splunk".to_owned(),
            delivered: 5,
            owed: 70,
            owed_since: Some(at(since)),
            rejected: 0,
            given_up: 0,
            given_up_at: None,
            dead_letters: 0,
            last_rejected_at: None,
            last_success_at: None,
            owing: 2,
            failing: 1,
            last_error: Some("it is down".to_owned()),
        }
    }

    /// A store that grows by a gigabyte each day, on a disk with 40 left.
    fn day_of(outage: &mut Outage, hour: i64) -> Option<Notice> {
        let grown = GB / 24 * u64::try_from(hour).expect("after the beginning");
        let now = at(hour * HOUR);
        let ahead = outage.ahead(&[down(0)], (10 * GB + grown, 40 * GB - grown), now)?;
        outage.is_due(&ahead, now).then_some(ahead)
    }

    #[test]
    fn the_time_left_is_told_long_before_the_disk_is_full() {
        let mut outage = Outage::default();
        let told: Vec<(i64, i64)> = (0..40 * 24)
            .filter_map(|hour| Some((hour, day_of(&mut outage, hour)?.left.as_secs() / HOUR)))
            .collect();
        let (first, left) = told[0];
        assert!(
            (26 * 24..27 * 24).contains(&first) && (13 * 24..=14 * 24).contains(&left),
            "{first}, {left}"
        );
        for (hour, left) in &told {
            assert!((hour + left).abs_diff(40 * 24) <= 2, "told at {hour}: {left} hours left");
        }
        let often = told.windows(2).map(|pair| pair[1].0 - pair[0].0).collect::<Vec<_>>();
        assert!(often[0] == 12 && often.last() == Some(&1), "{often:?}");
    }

    #[test]
    fn what_is_well_or_does_not_grow_is_not_told_of() {
        let mut outage = Outage::default();
        let well = SinkTotals { failing: 0, ..down(0) };
        let new = down(2 * DAY);
        for hour in 0..48 {
            let size = 10 * GB + GB * u64::try_from(hour).expect("a number");
            assert_eq!(outage.ahead(&[well.clone(), new.clone()], (size, GB), at(hour * HOUR)), None);
        }
        assert!(outage.ahead(&[down(0)], (60 * GB, GB), at(2 * DAY)).is_some());
        let mut outage = Outage::default();
        for hour in 0..48 {
            assert_eq!(outage.ahead(&[down(0)], (10 * GB, GB), at(hour * HOUR)), None, "it does not grow");
        }
        // A clock that was ahead has left nothing behind.
        assert_eq!(outage.ahead(&[down(0)], (20 * GB, GB), at(0)), None);
    }
}
