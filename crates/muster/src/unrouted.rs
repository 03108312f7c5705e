//! Tells the operator of records that no route takes, while there is time: they are kept no longer than others.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::Clock;
use muster_store::{Store, Unrouted, UnroutedCause};
use tokio_util::sync::CancellationToken;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long nothing is said after something was.
const TELL_EVERY: Duration = Duration::from_secs(3_600);
/// So long before the first of them leave the journal it is told that they do.
const BEFORE_THE_END: Duration = Duration::from_secs(86_400);

/// What was told, and when.
#[derive(Debug, Default)]
pub struct Told {
    records: u64,
    grown_at: Option<Timestamp>,
    leaving_at: Option<Timestamp>,
}

/// Something to tell.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// There are more than were told of.
    More { records: u64, tenants: usize, more: u64 },
    /// Some leave the journal soon.
    Leaving { records: u64, tenants: usize, from: Timestamp },
}

impl Told {
    /// What is to be told of what there is. Those that routes left out for what they say were meant to be.
    pub fn notices(&mut self, unrouted: &[Unrouted], keep: Duration, now: Timestamp) -> Vec<Notice> {
        let without =
            || unrouted.iter().filter(|found| found.cause == UnroutedCause::NoRoute && found.records > 0);
        let records: u64 = without().map(|found| found.records).sum();
        let of = |all: &mut dyn Iterator<Item = &Unrouted>| {
            all.map(|found| found.tenant).collect::<std::collections::BTreeSet<_>>().len()
        };
        let mut notices = Vec::new();
        let silent = |told: Option<Timestamp>| {
            told.is_some_and(|told| told <= now && now.duration_since(told).unsigned_abs() < TELL_EVERY)
        };
        if records > self.records && !silent(self.grown_at) {
            let more = records - self.records;
            notices.push(Notice::More { records, tenants: of(&mut without()), more });
            (self.records, self.grown_at) = (records, Some(now));
        }
        // What was replayed or pruned may come again.
        self.records = self.records.min(records);
        let leaves = |found: &&Unrouted| {
            let at = found.since.and_then(|since| since.checked_add(keep).ok());
            at.filter(|at| now.checked_add(BEFORE_THE_END).is_ok_and(|soon| *at <= soon))
        };
        if let Some(from) = without().filter_map(|found| leaves(&found)).min()
            && !silent(self.leaving_at)
        {
            let leaving = || without().filter(|found| leaves(found).is_some());
            let records = leaving().map(|found| found.records).sum();
            notices.push(Notice::Leaving { records, tenants: of(&mut leaving()), from });
            self.leaving_at = Some(now);
        }
        notices
    }
}

/// Looks, and tells, until told to stop.
pub async fn watch(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keep: Duration,
    log: Arc<crate::told::Told>,
    stop: CancellationToken,
) {
    let mut told = Told::default();
    loop {
        match store.unrouted().await {
            Ok(unrouted) => told.notices(&unrouted, keep, clock.now()).into_iter().for_each(tell),
            Err(error) => log.store.failed("count what no route took", &error, clock.now()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

fn tell(notice: Notice) {
    match notice {
        Notice::More { records, tenants, more } => tracing::warn!(
            records,
            tenants,
            more,
            "no route took these records, so they reached no sink: `muster validate` tells which route is missing still; `muster replay --tenant all --unrouted` brings them to where the routes lead"
        ),
        Notice::Leaving { records, tenants, from } => tracing::warn!(
            records,
            tenants,
            from = %format!("{from:.0}"),
            "records that no route took leave the journal soon, the first of them then: `muster replay --tenant all --unrouted` brings them to where the routes lead"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).expect("in range")
    }

    fn unrouted(tenant: u128, records: u64, since: i64) -> Unrouted {
        Unrouted {
            tenant: uuid::Uuid::from_u128(tenant).into(),
            source: muster_model::Source::GraphAlerts,
            cause: UnroutedCause::NoRoute,
            records,
            since: Some(at(since)),
            pruned: 0,
            pruned_span: None,
        }
    }

    const DAY: i64 = 86_400;
    const KEEP: Duration = Duration::from_secs(7 * 86_400);

    #[test]
    fn more_is_told_at_once_and_then_each_hour() {
        let mut told = Told::default();
        assert_eq!(told.notices(&[], KEEP, at(0)), []);
        let two = [unrouted(1, 3, 0), unrouted(2, 4, 0)];
        assert_eq!(told.notices(&two, KEEP, at(1)), [Notice::More { records: 7, tenants: 2, more: 7 }]);
        assert_eq!(told.notices(&two, KEEP, at(4_000)), [], "nothing new");
        let grown = [unrouted(1, 9, 0)];
        assert_eq!(told.notices(&grown, KEEP, at(4_001)), [Notice::More { records: 9, tenants: 1, more: 2 }]);
        let again = [unrouted(1, 12, 0)];
        assert_eq!(told.notices(&again, KEEP, at(4_100)), []);
        assert_eq!(
            told.notices(&again, KEEP, at(7_601)),
            [Notice::More { records: 12, tenants: 1, more: 3 }]
        );
        // Replayed; what comes after that is new.
        assert_eq!(told.notices(&[], KEEP, at(7_700)), []);
        let anew = [unrouted(1, 1, 0)];
        assert_eq!(told.notices(&anew, KEEP, at(20_000)), [Notice::More { records: 1, tenants: 1, more: 1 }]);
        let meant = [Unrouted { cause: UnroutedCause::Filtered, ..unrouted(1, 99, 0) }];
        assert_eq!(told.notices(&meant, KEEP, at(40_000)), []);
    }

    #[test]
    fn it_is_told_a_day_before_the_first_of_them_go() {
        let mut told = Told { records: 100, ..Told::default() };
        let some = [unrouted(1, 3, 0), unrouted(2, 4, 5 * DAY)];
        assert_eq!(told.notices(&some, KEEP, at(6 * DAY - 1)), []);
        let leaving = Notice::Leaving { records: 3, tenants: 1, from: at(7 * DAY) };
        assert_eq!(told.notices(&some, KEEP, at(6 * DAY)), [leaving]);
        assert_eq!(told.notices(&some, KEEP, at(6 * DAY + 60)), []);
        assert_eq!(told.notices(&some, KEEP, at(6 * DAY + 3_600)).len(), 1);
    }
}
