//! What the log is told of a store that fails as a whole, such as on a full disk: a line when that begins and one when it is
//! over, however many are kept from their work by it.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use muster_store::StoreError;

use crate::shown::output::duration;
use crate::shown::state::since;

/// It is over when a heartbeat was written and nothing has failed for so long.
const QUIET_FOR: Duration = Duration::from_secs(5);

/// What of the store was told last.
#[derive(Debug, Default)]
pub struct StoreTold(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    words: String,
    since: Timestamp,
    failed_at: Timestamp,
}

impl StoreTold {
    /// Something could not be done, which `doing` names, because the store failed.
    pub fn failed(&self, doing: &str, error: &StoreError, now: Timestamp) {
        if !error.is_of_all_work() {
            tracing::warn!(error = %error, "cannot {doing}");
            return;
        }
        let words = error.to_string();
        let mut told = self.0.lock().expect("no panic while the lock is held");
        match &mut *told {
            Some(open) if open.words == words => {
                open.failed_at = now;
                tracing::debug!(error = words, "cannot {doing}");
            }
            open => {
                tracing::error!(about = "store", "cannot {doing}: {words}; it is tried again by itself");
                let since = open.as_ref().map_or(now, |open| open.since);
                *open = Some(Open { words, since, failed_at: now });
            }
        }
    }

    /// The store has taken a heartbeat.
    pub fn written(&self, now: Timestamp) {
        let mut told = self.0.lock().expect("no panic while the lock is held");
        // A clock that was set back does not keep it open.
        let fails = |open: &Open| open.failed_at <= now && since(open.failed_at, now) < QUIET_FOR;
        if let Some(open) = told.take_if(|open| !fails(open)) {
            tracing::info!(
                about = "store",
                "over after {}: {}",
                duration(since(open.since, now)),
                open.words
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::told::tests::Log;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    #[test]
    fn a_full_disk_is_one_line_however_many_meet_it_and_one_when_it_is_over() {
        let told = StoreTold::default();
        let full = || StoreError::DiskFull { store: "muster.db".to_owned() };
        let lines = Log::of(|| {
            for second in 0..600 {
                for doing in ["look for due sources", "look for deliveries", "mark the store as in use"] {
                    told.failed(doing, &full(), at(second));
                }
            }
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        let begins = "cannot look for due sources: the disk that holds the store is full";
        assert!(lines[0].contains("ERROR") && lines[0].contains(begins), "{lines:?}");
        // A heartbeat that gets through while others fail does not end it.
        assert_eq!(Log::of(|| told.written(at(601))), [""; 0]);
        let lines = Log::of(|| {
            told.written(at(610));
            told.written(at(620));
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("over after 10m 10s: the disk that holds the store is full"), "{lines:?}");
    }

    #[test]
    fn another_trouble_is_another_line_and_what_fails_alone_is_told_each_time() {
        let told = StoreTold::default();
        let lines = Log::of(|| {
            told.failed("write", &StoreError::DiskFull { store: "muster.db".to_owned() }, at(0));
            let fails = StoreError::DiskFails { store: "muster.db".to_owned(), detail: "EIO".to_owned() };
            told.failed("write", &fails, at(1));
            for _ in 0..2 {
                told.failed("keep the lease", &StoreError::LeaseLost { what: "a source".to_owned() }, at(2));
            }
        });
        assert_eq!(lines.len(), 4, "{lines:?}");
    }
}
