//! Whether a `muster run` is at work.
//!
//! Two things say so: the lock on the store, which goes with its process however that ends, and the heartbeat, which says
//! that the process gets on with it. Only both together are "running".

use std::time::Duration;

use jiff::Timestamp;
use muster_store::Heartbeat;
use serde::Serialize;

use crate::shown::output::{ago, plain};

/// How often the heartbeat is written.
pub const BEAT_EVERY: Duration = Duration::from_secs(10);
/// Who was not heard of for so long is silent: three beats, and some time to write one.
pub const SILENT_AFTER: Duration = Duration::from_secs(35);
/// A beat may have been written after the present was looked at. One that is later than this comes from a clock that
/// has stepped back since, and says nothing.
const AHEAD_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It holds the store, and its last heartbeat is fresh.
    Running,
    /// Something holds the store, and no heartbeat is fresh.
    Silent,
    /// It was told to stop, and did.
    Stopped,
    /// Nothing holds the store, and nobody told it to stop.
    Died,
    NeverRan,
}

impl RunState {
    pub const ALL: [Self; 5] = [Self::Running, Self::Silent, Self::Stopped, Self::Died, Self::NeverRan];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Silent => "silent",
            Self::Stopped => "stopped",
            Self::Died => "died",
            Self::NeverRan => "never_ran",
        }
    }
}

/// How the `muster run` of a store is, or what became of the last one.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub state: RunState,
    /// Since when it runs; of one that does not, the last sign of life. Nothing where the clock that wrote it was ahead.
    pub since: Option<Timestamp>,
    /// What it last said of itself.
    pub last: Option<Heartbeat>,
}

impl Run {
    /// `heartbeats`: the one that was started last first. `owned`: whether a process holds the store.
    pub fn of(heartbeats: &[Heartbeat], owned: bool, now: Timestamp) -> Self {
        if let Some(running) = heartbeats.iter().find(|beat| owned && is_fresh(beat, now)) {
            let since = past(running.started_at, now);
            return Self { state: RunState::Running, since, last: Some(running.clone()) };
        }
        let last = heartbeats.first().cloned();
        let (state, since) = match &last {
            // Whoever holds the store is not the one that has stopped.
            Some(last) if owned => (RunState::Silent, last.stopped_at.is_none().then_some(last.beat_at)),
            None if owned => (RunState::Silent, None),
            Some(Heartbeat { stopped_at: Some(at), .. }) => (RunState::Stopped, Some(*at)),
            Some(last) => (RunState::Died, Some(last.beat_at)),
            None => (RunState::NeverRan, None),
        };
        Self { state, since: since.and_then(|since| past(since, now)), last }
    }

    pub fn is_running(&self) -> bool {
        self.state == RunState::Running
    }

    /// In a sentence, without the remedy.
    pub fn in_words(&self, now: Timestamp) -> String {
        let when = |since: Option<Timestamp>| match since {
            Some(since) => format!("{since:.0} ({} ago)", ago(Some(since), now)),
            None => "a time that its clock told wrongly".to_owned(),
        };
        match (self.state, &self.last) {
            (RunState::Running, Some(last)) => format!(
                "running for {} · version {}, process {} on {}",
                ago(self.since.or(Some(now)), now),
                plain(&last.version),
                last.pid,
                plain(&last.host)
            ),
            (RunState::Running, None) => "running".to_owned(),
            (RunState::Silent, Some(last)) if last.stopped_at.is_none() => format!(
                "NOTHING IS HEARD of the `muster run` that holds the store; last sign of life {}",
                when(self.since)
            ),
            (RunState::Silent, _) => {
                "NOTHING IS HEARD of the process that holds the store; it may be starting".to_owned()
            }
            (RunState::Stopped, _) => format!("NOTHING RUNS: stopped as told at {}", when(self.since)),
            (RunState::Died, _) => format!("NOTHING RUNS: it died, last sign of life {}", when(self.since)),
            (RunState::NeverRan, _) => "NOTHING RUNS: it never ran on this store".to_owned(),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self.state {
            RunState::Running => "",
            RunState::Silent => "look at its log; if it hangs, end it and start `muster run`",
            RunState::Died => "look at the end of its log, and start `muster run`",
            RunState::Stopped | RunState::NeverRan => "start `muster run`",
        }
    }
}

fn is_fresh(beat: &Heartbeat, now: Timestamp) -> bool {
    let age = now.duration_since(beat.beat_at);
    let (ahead, silent) = (AHEAD_MAX.as_secs() as i64, SILENT_AFTER.as_secs() as i64);
    beat.stopped_at.is_none() && age.as_secs() >= -ahead && age.as_secs() < silent
}

/// The time, unless it lies ahead.
fn past(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (now.duration_since(at).as_secs() >= -(AHEAD_MAX.as_secs() as i64)).then_some(at)
}

#[cfg(test)]
mod tests {
    use muster_store::InstanceId;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn beat(instance: u128, beat_at: i64, stopped_at: Option<i64>) -> Heartbeat {
        Heartbeat {
            instance: InstanceId(Uuid::from_u128(instance)),
            host: "collector-1".to_owned(),
            pid: 4_711,
            version: "0.1.0".to_owned(),
            started_at: at(-500),
            beat_at: at(beat_at),
            stopped_at: stopped_at.map(at),
            troubles: Vec::new(),
        }
    }

    #[test]
    fn only_who_holds_the_store_and_is_heard_of_runs() {
        let state = |beats: &[Heartbeat], owned| {
            let run = Run::of(beats, owned, at(0));
            (run.state, run.since.map(|since| since.duration_since(at(0)).as_secs()))
        };
        assert_eq!(state(&[beat(1, -5, None)], true), (RunState::Running, Some(-500)));
        assert_eq!(state(&[beat(1, -34, None)], true), (RunState::Running, Some(-500)));
        assert_eq!(state(&[beat(1, -35, None)], true), (RunState::Silent, Some(-35)));
        // A kill is noticed at once, since the lock has gone.
        assert_eq!(state(&[beat(1, -5, None)], false), (RunState::Died, Some(-5)));
        assert_eq!(state(&[beat(1, -5, Some(-4))], false), (RunState::Stopped, Some(-4)));
        assert_eq!(state(&[beat(1, -5, Some(-4))], true), (RunState::Silent, None));
        assert_eq!(state(&[], false), (RunState::NeverRan, None));
        assert_eq!(state(&[], true), (RunState::Silent, None));
    }

    #[test]
    fn a_heartbeat_from_the_future_is_not_running() {
        for ahead in [3, 60, 86_400, 80 * 365 * 86_400] {
            let run = Run::of(&[beat(1, ahead, None)], true, at(0));
            assert_eq!((run.state, run.since), (RunState::Silent, None), "{ahead}");
            assert!(run.in_words(at(0)).contains("NOTHING IS HEARD"));
            let run = Run::of(&[beat(1, ahead, Some(ahead))], false, at(0));
            assert_eq!((run.state, run.since), (RunState::Stopped, None), "{ahead}");
        }
        // What was written while the present was looked at is no clock that steps.
        assert!(Run::of(&[beat(1, 1, None)], true, at(0)).is_running());
    }

    #[test]
    fn the_last_one_counts_and_any_that_is_alive() {
        let died = Run::of(&[beat(2, -900, None), beat(1, -2_000, Some(-1_999))], false, at(0));
        assert_eq!(died.state, RunState::Died);
        // One that was started later has died, as where several share a store.
        assert!(Run::of(&[beat(2, -900, None), beat(1, -3, None)], true, at(0)).is_running());
    }
}
