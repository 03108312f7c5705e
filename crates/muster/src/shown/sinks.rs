//! The exact rules of the words that a sink's state is told in. `docs/states.md` tells them to operators.
//!
//! The first rule that fits counts. A sink that has never acknowledged anything is never good.

use std::time::Duration;

use jiff::Timestamp;
use muster_store::SinkTotals;
use serde::Serialize;

use crate::shown::output::Tone;
use crate::shown::state::since;

/// A sink that owes nothing and acknowledged nothing for so long is idle.
pub const IDLE_AFTER: Duration = Duration::from_secs(300);
/// What is owed for longer is behind.
pub const BEHIND_AFTER: Duration = Duration::from_secs(300);
/// What was handed over is waited for, when nothing was acknowledged for so long.
pub const WAITING_AFTER: Duration = Duration::from_secs(30);
/// For so long after a sink refused something for good, it says so.
pub const REFUSED_FOR: Duration = Duration::from_secs(3_600);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkWord {
    /// The settings do not name it any more.
    Removed,
    /// Nothing that is owed can be delivered now.
    Down,
    /// The same for some tenants; others' records are taken.
    Partial,
    /// Nothing runs that would deliver.
    Stopped,
    /// It refused records for good.
    Refused,
    /// Records are owed for longer than they should be, though nothing fails.
    Behind,
    /// Records were handed over, or are about to be, and nothing was acknowledged since.
    Waiting,
    /// Nothing was ever to be delivered to it.
    NeverUsed,
    Idle,
    Delivering,
}

impl SinkWord {
    pub const ALL: [Self; 10] = [
        Self::Removed,
        Self::Down,
        Self::Partial,
        Self::Stopped,
        Self::Refused,
        Self::Behind,
        Self::Waiting,
        Self::NeverUsed,
        Self::Idle,
        Self::Delivering,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverUsed => "never_used",
            other => other.in_words(),
        }
    }

    pub fn in_words(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Down => "down",
            Self::Partial => "partial",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
            Self::Behind => "behind",
            Self::Waiting => "waiting",
            Self::NeverUsed => "never used",
            Self::Idle => "idle",
            Self::Delivering => "delivering",
        }
    }

    /// The rule as `docs/states.md` tells it.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Removed => "the settings do not name it",
            Self::Down => {
                "it could not be opened; or something is owed, and of every tenant that waits the last attempt failed"
            }
            Self::Partial => {
                "something is owed, and of some of the tenants that wait the last attempt failed"
            }
            Self::Stopped => "no `muster run` is at work",
            Self::Refused => "within the last hour it refused records for good; they lie as dead letters",
            Self::Behind => "nothing fails, but the oldest record is owed for more than 5 minutes",
            Self::Waiting => {
                "something is owed, and nothing was acknowledged for 30 seconds, or ever: its acknowledgement is waited for"
            }
            Self::NeverUsed => "nothing is owed, and nothing was ever acknowledged",
            Self::Idle => "nothing is owed, and nothing was acknowledged for 5 minutes",
            Self::Delivering => {
                "it acknowledges, and the oldest record is not owed for longer than 5 minutes"
            }
        }
    }

    /// How good it is, where so many records are owed.
    pub fn tone(self, owed: u64) -> Tone {
        match self {
            Self::Down | Self::Partial => Tone::Bad,
            Self::Removed if owed > 0 => Tone::Bad,
            Self::Stopped | Self::Refused | Self::Behind | Self::Waiting => Tone::Fair,
            Self::Removed | Self::NeverUsed | Self::Idle => Tone::Plain,
            Self::Delivering => Tone::Good,
        }
    }
}

/// What is known of a sink beside its totals.
#[derive(Debug, Clone, Copy)]
pub struct SinkFacts {
    /// Whether the settings name it.
    pub in_settings: bool,
    /// Whether `muster run` says that it cannot be opened.
    pub broken: bool,
    /// Whether a `muster run` is at work.
    pub running: bool,
}

/// The state of a sink.
pub fn sink_word(facts: SinkFacts, totals: &SinkTotals, now: Timestamp) -> SinkWord {
    // A time that lies ahead was written by a clock that has stepped back since: it says nothing good.
    let within = |at: Option<Timestamp>, span: Duration| {
        at.is_some_and(|at| since(at, now) < span && since(now, at) < Duration::from_secs(60))
    };
    let owes = totals.owed > 0;
    if !facts.in_settings {
        SinkWord::Removed
    } else if facts.broken || (owes && totals.failing > 0 && totals.failing >= totals.owing) {
        SinkWord::Down
    } else if owes && totals.failing > 0 {
        SinkWord::Partial
    } else if !facts.running {
        SinkWord::Stopped
    } else if within(totals.last_rejected_at, REFUSED_FOR) {
        SinkWord::Refused
    } else if owes && !within(totals.owed_since, BEHIND_AFTER) {
        SinkWord::Behind
    } else if owes && !within(totals.last_success_at, WAITING_AFTER) {
        SinkWord::Waiting
    } else if totals.last_success_at.is_none() {
        SinkWord::NeverUsed
    } else if within(totals.last_success_at, IDLE_AFTER) {
        SinkWord::Delivering
    } else {
        SinkWord::Idle
    }
}

/// The totals of a sink that was never owed anything.
pub fn nothing_yet(sink: &str) -> SinkTotals {
    SinkTotals {
        sink: sink.to_owned(),
        delivered: 0,
        owed: 0,
        owed_since: None,
        rejected: 0,
        given_up: 0,
        given_up_at: None,
        dead_letters: 0,
        last_rejected_at: None,
        last_success_at: None,
        owing: 0,
        failing: 0,
        last_error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    const FACTS: SinkFacts = SinkFacts { in_settings: true, broken: false, running: true };

    fn word(facts: SinkFacts, change: impl FnOnce(&mut SinkTotals)) -> SinkWord {
        let mut totals = SinkTotals {
            delivered: 10,
            owed: 4,
            owed_since: Some(at(-2)),
            last_success_at: Some(at(-3)),
            owing: 2,
            ..nothing_yet("splunk")
        };
        change(&mut totals);
        sink_word(facts, &totals, at(0))
    }

    #[test]
    fn each_word_has_its_rule() {
        assert_eq!(word(FACTS, |_| {}), SinkWord::Delivering);
        assert_eq!(word(FACTS, |totals| totals.owed = 0), SinkWord::Delivering);
        assert_eq!(word(FACTS, |totals| totals.failing = 2), SinkWord::Down);
        assert_eq!(word(FACTS, |totals| totals.failing = 1), SinkWord::Partial);
        assert_eq!(word(SinkFacts { broken: true, ..FACTS }, |_| {}), SinkWord::Down);
        assert_eq!(word(SinkFacts { in_settings: false, ..FACTS }, |_| {}), SinkWord::Removed);
        assert_eq!(word(SinkFacts { running: false, ..FACTS }, |_| {}), SinkWord::Stopped);
        assert_eq!(word(FACTS, |totals| totals.last_rejected_at = Some(at(-3_599))), SinkWord::Refused);
        assert_eq!(word(FACTS, |totals| totals.last_rejected_at = Some(at(-3_600))), SinkWord::Delivering);
        assert_eq!(word(FACTS, |totals| totals.owed_since = Some(at(-300))), SinkWord::Behind);
        assert_eq!(word(FACTS, |totals| totals.last_success_at = Some(at(-30))), SinkWord::Waiting);
        assert_eq!(word(FACTS, |totals| totals.last_success_at = None), SinkWord::Waiting);
        let idle = |last_success_at| {
            word(FACTS, |totals| {
                (totals.owed, totals.owed_since, totals.last_success_at) = (0, None, last_success_at);
            })
        };
        assert_eq!(idle(Some(at(-300))), SinkWord::Idle);
        assert_eq!(idle(None), SinkWord::NeverUsed);
        assert_eq!(idle(Some(at(86_400))), SinkWord::Idle, "a clock that stepped back");
    }
}
