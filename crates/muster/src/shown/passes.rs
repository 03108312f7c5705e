//! How sweeps and backfills are doing.

use jiff::{SignedDuration, Timestamp};
use muster_model::{Purpose, Source};
use muster_store::CursorState;
use serde::Serialize;

/// A sweep or a backfill of one source.
#[derive(Debug, Clone, Serialize)]
pub struct PassStatus {
    pub source: Source,
    pub purpose: Purpose,
    /// When it last came to its end.
    pub last_success_at: Option<Timestamp>,
    /// When it goes on, or begins next.
    pub next_at: Timestamp,
    /// The update times that it covers, while it is under way.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// How much of them it has been through, from 0 to 1.
    pub done: f64,
    /// Records that it met and nobody had seen before.
    pub found: u64,
    /// How long it will take from now on, should it go on as it did.
    pub seconds_left: Option<u64>,
    pub failures: u32,
    pub last_error: Option<String>,
}

impl PassStatus {
    pub fn of(found: &CursorState, now: Timestamp) -> Self {
        let CursorState { state, cursor } = found;
        let span = cursor.pass_span();
        let done = cursor.pass_progress().map_or(0.0, |(done, all)| share(done, all));
        let elapsed = cursor.pass().map(|pass| now.duration_since(pass.as_of));
        Self {
            source: state.source,
            purpose: state.purpose,
            last_success_at: state.last_success_at,
            next_at: state.next_at,
            from: span.map(|span| span.0),
            to: span.map(|span| span.1),
            done,
            found: cursor.pass().map_or(0, |pass| pass.found),
            seconds_left: elapsed.and_then(|elapsed| left(elapsed, done)),
            failures: state.failures,
            last_error: state.last_error.clone(),
        }
    }

    /// Whether it is under way.
    pub fn is_under_way(&self) -> bool {
        self.from.is_some()
    }
}

fn share(done: SignedDuration, all: SignedDuration) -> f64 {
    if all.is_zero() { 0.0 } else { (done.as_secs_f64() / all.as_secs_f64()).clamp(0.0, 1.0) }
}

/// What is left of a work of which so much was done in so long; nothing is said from too little.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is rounded, and not negative"
)]
fn left(elapsed: SignedDuration, done: f64) -> Option<u64> {
    let elapsed = elapsed.as_secs_f64();
    (done >= 0.01 && elapsed > 0.0).then(|| (elapsed * (1.0 - done) / done).round() as u64)
}

/// A share in per cent. All is only said of what is done.
pub fn percent(done: f64) -> String {
    format!("{:.0} %", (done * 100.0).floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_needs_something_to_go_by() {
        let seconds = SignedDuration::from_secs;
        assert_eq!(left(seconds(60), 0.25), Some(180));
        assert_eq!(left(seconds(60), 1.0), Some(0));
        assert_eq!(left(seconds(60), 0.0), None);
        assert_eq!(left(seconds(-60), 0.5), None, "a clock that stepped back");
        assert!(share(seconds(5), seconds(0)).abs() < f64::EPSILON);
        assert_eq!(percent(0.999), "99 %");
        assert_eq!(percent(1.0), "100 %");
    }
}
