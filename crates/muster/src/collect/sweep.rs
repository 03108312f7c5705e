//! Sweeps: what was read is read once more, for what showed late.
//!
//! Every source of every active tenant is swept every hour over the last day, and every night over the last seven days.
//! The nightly sweep reads everything by id. The hourly one does so where the day holds few records; else it asks the
//! service for a count of each hour, and reads the hours whose count is not ours. A count only raises an alarm: an hour that
//! was counted and not read is not confirmed, and a service that does not count, or counts nonsense, is read.
//!
//! A sweep ends where live reading has proved that it has been: what is newer is the live cursor's. Sweeps of different
//! tenants begin at different minutes.

use std::time::Duration;

use jiff::Timestamp;
use muster_http::TransportError;
use muster_microsoft::FetchError;
use muster_microsoft::sources::{self, AfterFailure};
use muster_model::{Cursor, Purpose};
use muster_store::SourceLease;

use super::caller::Caller;
use super::collector::Collector;
use super::turn::TurnError;
use crate::backoff;

const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;
/// How many days the nightly sweep goes back.
const NIGHTLY_DAYS: i64 = 7;
/// Nightly sweeps begin within so many hours after midnight, UTC.
const NIGHT_HOURS: i64 = 6;
/// A day with more records than this is counted first.
const UNCOUNTED_MAX: u64 = 2_000;

/// A span of update times.
type Span = (Timestamp, Timestamp);

impl Collector {
    /// Sees to it that a source that has been read is swept from now on.
    pub(super) async fn begin_sweeps(&self, lease: &SourceLease) {
        let (tenant, source) = (lease.tenant.id, lease.source);
        // Every turn of a stream looks at all that lies there.
        if source.stream().is_some() {
            return;
        }
        if !self.swept.is_first((tenant, source)) {
            return;
        }
        let now = self.clock.now();
        // A query costs of a quota that people share: its look-back covers the day.
        let purposes: &[Purpose] = match source.hunt() {
            Some(_) => &[Purpose::NightlySweep],
            None => &[Purpose::Sweep, Purpose::NightlySweep],
        };
        for &purpose in purposes {
            let next_at = next(purpose, lease, now);
            let begun = self.store.begin_cursor(tenant, source, purpose, Cursor::resting(now), next_at).await;
            if let Err(error) = begun {
                self.swept.forget((tenant, source));
                self.told.store.failed("begin to sweep a source", &error, now);
            }
        }
    }

    /// The sweep that begins now; `None` where there is nothing to sweep yet.
    pub(super) async fn new_sweep(
        &self,
        lease: &SourceLease,
        live: &Cursor,
    ) -> Result<Option<Cursor>, TurnError> {
        let now = self.clock.now();
        let Some(span) = span(lease.purpose, lease.tenant.since, live.proved(), now) else { return Ok(None) };
        let counts = sources::declaration(lease.source).counts;
        // What a provider leaves out, the count leaves out too, or not: nobody knows.
        if lease.purpose == Purpose::Sweep && counts && live.plan().partial.is_none() {
            let (tenant, source) = (lease.tenant.id, lease.source);
            let known = self.store.latest_counts(tenant, source, span.0, span.1).await?;
            if known.iter().map(|(_, count)| count).sum::<u64>() > UNCOUNTED_MAX {
                return Ok(Cursor::counting(hours(span), now, Some(live)));
            }
        }
        Ok(Cursor::passing(&[span], now, Some(live)))
    }

    /// Compares the service's count of an hour with ours.
    pub(super) async fn count_hour(
        &self,
        caller: &Caller<'_>,
        cursor: &mut Cursor,
        (from, to): Span,
    ) -> Result<(), TurnError> {
        let (tenant, source) = (caller.tenant, caller.source);
        let is_whole = to.duration_since(from).as_secs() == HOUR_SECONDS;
        let Some(target) = sources::count(source, from, to).filter(|_| is_whole) else {
            cursor.counted(true);
            return Ok(());
        };
        let counted = match caller.fetch(&target).await {
            Ok(page) => sources::read_count(&page.body).filter(|_| page.partial.is_none()),
            Err(
                FetchError::BadRequest { .. }
                | FetchError::Unavailable { .. }
                | FetchError::Transport(
                    TransportError::Timeout { .. }
                    | TransportError::Broken { .. }
                    | TransportError::TooLarge { .. },
                ),
            ) => {
                cursor.count_no_more();
                return Ok(());
            }
            Err(error) => return Err(TurnError::Fetch { error, after: AfterFailure::Wait }),
        };
        let Some(counted) = counted else {
            cursor.counted(true);
            return Ok(());
        };
        let known = self.store.latest_counts(tenant, source, from, to).await?;
        let known = known.iter().map(|(_, count)| count).sum::<u64>();
        self.store.put_source_counts(tenant, source, vec![(from, counted)], self.clock.now()).await?;
        if counted != known {
            tracing::info!(hour = %from, counted, known, "the service counts otherwise: the hour is read again");
        }
        cursor.counted(counted != known);
        Ok(())
    }
}

/// What a sweep that begins at `now` covers: whole hours that live reading has been through, but nothing before the tenant
/// is read at all.
fn span(purpose: Purpose, since: Timestamp, proved: Option<Span>, now: Timestamp) -> Option<Span> {
    let days = match purpose {
        Purpose::Sweep => 1,
        Purpose::NightlySweep => NIGHTLY_DAYS,
        Purpose::Live | Purpose::Backfill => return None,
    };
    let (_, proved_to) = proved?;
    let to = hour_of(proved_to.min(now));
    let from = Timestamp::from_second(hour_of(now).as_second() - days * DAY_SECONDS).ok()?;
    let from = from.max(since);
    (from < to).then_some((from, to))
}

/// The hours of a span; the first may have begun before it.
fn hours((from, to): Span) -> Vec<Span> {
    let mut hours = Vec::new();
    let mut at = from;
    while at < to {
        let next = Timestamp::from_second(hour_of(at).as_second() + HOUR_SECONDS).unwrap_or(to).min(to);
        hours.push((at, next));
        at = next;
    }
    hours
}

fn hour_of(time: Timestamp) -> Timestamp {
    let second = time.as_second() - time.as_second().rem_euclid(HOUR_SECONDS);
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}

/// How long it is until the next sweep of a lease's purpose begins.
pub(super) fn wait(lease: &SourceLease, now: Timestamp) -> Duration {
    Duration::try_from(next(lease.purpose, lease, now).duration_since(now)).unwrap_or_default()
}

/// When a source is swept next: at a minute of the hour, or of the night, that is its own.
fn next(purpose: Purpose, lease: &SourceLease, now: Timestamp) -> Timestamp {
    let (every, within) = match purpose {
        Purpose::NightlySweep => (DAY_SECONDS, NIGHT_HOURS * HOUR_SECONDS),
        _ => (HOUR_SECONDS, HOUR_SECONDS),
    };
    let names = [&lease.tenant.id.to_string(), lease.source.as_str(), purpose.as_str()];
    let own = i64::try_from(backoff::seed(&names) % u64::try_from(within).unwrap_or(1)).unwrap_or(0);
    let second = now.as_second();
    Timestamp::from_second(second - (second - own).rem_euclid(every) + every).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_sweep_covers_whole_hours_that_were_read() {
        let long_ago = at("2026-01-01T00:00:00Z");
        let now = at("2026-11-28T12:20:00Z");
        let proved = Some((long_ago, at("2026-11-28T12:19:00Z")));
        let day = span(Purpose::Sweep, long_ago, proved, now);
        assert_eq!(day, Some((at("2026-11-27T12:00:00Z"), at("2026-11-28T12:00:00Z"))));
        let week = span(Purpose::NightlySweep, long_ago, proved, now);
        assert_eq!(week, Some((at("2026-11-21T12:00:00Z"), at("2026-11-28T12:00:00Z"))));
        // Live reading is behind: what it has not come to is not lost.
        let behind = Some((long_ago, at("2026-11-28T02:30:00Z")));
        let part = span(Purpose::Sweep, long_ago, behind, now);
        assert_eq!(part, Some((at("2026-11-27T12:00:00Z"), at("2026-11-28T02:00:00Z"))));
        // A tenant is read since a time, and not before it.
        let since = at("2026-11-28T03:30:00Z");
        let young = span(Purpose::NightlySweep, since, proved, now);
        assert_eq!(young, Some((since, at("2026-11-28T12:00:00Z"))));
        assert_eq!(span(Purpose::Sweep, now, proved, now), None);
        assert_eq!(span(Purpose::Sweep, long_ago, None, now), None, "nothing has been read");
        // A clock that is far ahead has nothing to sweep.
        assert_eq!(span(Purpose::Sweep, long_ago, proved, at("2099-01-01T00:00:00Z")), None);
    }

    #[test]
    fn a_span_has_its_hours() {
        let all = hours((at("2026-11-28T03:30:00Z"), at("2026-11-28T06:00:00Z")));
        let begins: Vec<String> = all.iter().map(|(from, _)| from.to_string()).collect();
        assert_eq!(begins, ["2026-11-28T03:30:00Z", "2026-11-28T04:00:00Z", "2026-11-28T05:00:00Z"]);
        assert_eq!(all.last().map(|hour| hour.1), Some(at("2026-11-28T06:00:00Z")));
        assert_eq!(hours((at("2026-11-28T06:00:00Z"), at("2026-11-28T06:00:00Z"))), []);
    }
}
