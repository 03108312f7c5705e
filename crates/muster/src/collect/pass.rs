//! One turn of a sweep or a backfill: spans that lie behind are read as live reading reads, a few pages at a time.
//!
//! A pass that fails says nothing of its source, which live reading tells of: it waits, and goes on where it was. So it
//! does after a restart, since its cursor moves in the transaction that accepts each page. While live reading of the source
//! fails, no pass is tried.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use muster_microsoft::api::answers::PAGES_PER_TURN;
use muster_microsoft::sources::AfterFailure;
use muster_model::{Clocks, Cursor, Note, Purpose, Reason};
use muster_store::{PollResult, SourceLease};
use tokio_util::sync::CancellationToken;

use super::collector::Collector;
use super::place::Place;
use super::sweep;
use super::turn::{TurnError, later};

/// How long a pass waits while live reading of its source fails.
const LIVE_TROUBLE_WAIT: Duration = Duration::from_secs(300);

/// What comes of a turn.
enum PassStep {
    /// All has been gone through.
    Over,
    /// There is more.
    Continue,
    /// It does not begin yet.
    Later(Duration),
}

impl Collector {
    pub(super) async fn pass_turn(
        &self,
        lease: &SourceLease,
        place: &Place,
        stop: &CancellationToken,
    ) -> PollResult {
        let mut cursor = lease.cursor.clone();
        let now = self.clock.now();
        if let Some(pass) = cursor.pass_mut().filter(|pass| pass.as_of > now) {
            // The clock was ahead when it began. When that was nobody knows, and so it confirms nothing.
            pass.as_of = Timestamp::UNIX_EPOCH;
        }
        let pages = AssertUnwindSafe(self.pass_pages(lease, &mut cursor, place, stop)).catch_unwind().await;
        let now = self.clock.now();
        match pages.unwrap_or(Err(TurnError::Panicked)) {
            Ok(PassStep::Over) => self.pass_over(lease, &cursor),
            Ok(PassStep::Continue) => {
                let progressed = cursor != lease.cursor;
                PollResult::Yielded { next_at: now, progressed, missing: None, cursor: Some(cursor) }
            }
            Ok(PassStep::Later(wait)) => PollResult::Yielded {
                next_at: later(now, wait),
                progressed: false,
                missing: None,
                cursor: None,
            },
            Err(error) => {
                let (wait, counts) = self.wait_after(lease, &error);
                if !counts {
                    let progressed = cursor != lease.cursor;
                    return PollResult::Yielded {
                        next_at: later(now, wait),
                        progressed,
                        missing: None,
                        cursor: Some(cursor),
                    };
                }
                let (reason, purpose) = (error.to_string(), lease.purpose.as_str());
                self.count_pass(lease, "failed");
                tracing::debug!(purpose, error = reason, retry_in_seconds = wait.as_secs(), "a pass waits");
                PollResult::Failed { reason, next_at: later(now, wait), cursor: Some(cursor) }
            }
        }
    }

    async fn pass_pages(
        &self,
        lease: &SourceLease,
        cursor: &mut Cursor,
        place: &Place,
        stop: &CancellationToken,
    ) -> Result<PassStep, TurnError> {
        let (tenant, source) = (lease.tenant.id, lease.source);
        let live = self.store.cursor(tenant, source, Purpose::Live).await?;
        let Some(live) = live.filter(|live| live.state.failures == 0) else {
            return Ok(PassStep::Later(LIVE_TROUBLE_WAIT));
        };
        let app = self.apps.find(&lease.tenant.app)?;
        let caller = self.caller(lease, &app, place);
        let routes = self.router.routes(&lease.tenant, source);
        if cursor.pass().is_none() {
            match self.new_sweep(lease, &live.cursor).await? {
                Some(pass) => *cursor = pass,
                None if lease.purpose.is_sweep() => {
                    return Ok(PassStep::Later(sweep::wait(lease, self.clock.now())));
                }
                None => return Ok(PassStep::Over),
            }
        }
        let mut requests = PAGES_PER_TURN;
        loop {
            while cursor.next_to_count().is_none() && cursor.is_span_done() {
                if !cursor.next_span() {
                    return Ok(PassStep::Over);
                }
            }
            if requests == 0 || stop.is_cancelled() {
                return Ok(PassStep::Continue);
            }
            requests -= 1;
            if let Some(hour) = cursor.next_to_count() {
                self.count_hour(&caller, cursor, hour).await?;
                continue;
            }
            let clocks = Clocks { local: self.clock.now(), server: None };
            let request = self.request(source, cursor, clocks)?;
            match self.page(lease, &caller, &routes, cursor, &request, clocks).await {
                Ok(_) | Err(TurnError::Fetch { after: AfterFailure::AskAgain, .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A pass has gone through all of its spans: what it read whole is proof, and what it could not read is the live
    /// cursor's from now on.
    fn pass_over(&self, lease: &SourceLease, cursor: &Cursor) -> PollResult {
        let now = self.clock.now();
        let holes = cursor.holes_of_pass();
        let (found, as_of) = cursor.pass().map_or((0, now), |pass| (pass.found, pass.as_of));
        self.count_pass(lease, "done");
        let (purpose, left) = (lease.purpose.as_str(), holes.len());
        match lease.purpose.is_sweep() {
            true if found > 0 => {
                tracing::warn!(
                    purpose,
                    records = found,
                    holes = left,
                    "a sweep healed what had not been read"
                );
            }
            true => tracing::debug!(purpose, holes = left, "a sweep found nothing new"),
            false => tracing::info!(purpose, records = found, holes = left, "a backfill is done"),
        }
        let notes = holes.iter().map(|hole| Note::Hole {
            from: hole.from,
            to: hole.to,
            reason: hole.reason,
            since: hole.since,
        });
        // What a provider leaves out now, the live cursor sees as well.
        let notes = notes.filter(|note| !matches!(note, Note::Hole { reason: Reason::Partial, .. }));
        let next = lease.purpose.is_sweep();
        let next = next.then(|| (later(now, sweep::wait(lease, now)), Cursor::resting(now)));
        PollResult::Over { read: cursor.read_whole(), as_of, notes: notes.collect(), next }
    }

    fn count_pass(&self, lease: &SourceLease, result: &'static str) {
        let (source, purpose) = (lease.source.as_str(), lease.purpose.as_str());
        metrics::counter!("muster_passes_total", "source" => source, "purpose" => purpose, "result" => result)
            .increment(1);
    }
}
