//! The exact rules of the words that a source's state is told in. `docs/states.md` tells them to operators.
//!
//! The first rule that fits counts. What kind of trouble an answer is, and which word that has, stands in the tables of
//! `muster_microsoft`: `api/answers.rs` and `meaning.rs`.

use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::{Fault, SourceWord};
use muster_model::TenantState;

use crate::shown::output::Tone;

/// After so long without anything new a source is quiet.
pub const QUIET_AFTER: Duration = Duration::from_secs(86_400);
/// A success that lies further ahead was written by a clock that has stepped back since: when it was is not known.
pub const AHEAD_MAX: Duration = Duration::from_secs(60);

/// What is known of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFacts {
    pub tenant: TenantState,
    /// The trouble that it has met since its last success.
    pub fault: Option<Fault>,
    /// Whether its last poll failed.
    pub fails: bool,
    /// When it is asked next.
    pub next_at: Timestamp,
    /// When it was last read to its end.
    pub last_success_at: Option<Timestamp>,
    /// When something new last came.
    pub last_new_at: Option<Timestamp>,
    /// Whether part of what was read is missing.
    pub missing: bool,
}

/// The state of a source.
pub fn source_word(facts: &SourceFacts, late_after: Duration, now: Timestamp) -> SourceWord {
    let SourceFacts { tenant, fault, fails, next_at, last_success_at, last_new_at, missing } = *facts;
    match tenant {
        TenantState::Active => {}
        TenantState::Paused | TenantState::Offboarded => return SourceWord::Paused,
        TenantState::Invited | TenantState::Consented | TenantState::Verifying => {
            return if last_success_at.is_some() { SourceWord::Paused } else { SourceWord::NeverRead };
        }
    }
    match fault {
        Some(fault) if fault.needs_a_person() => return fault.meaning().state,
        // What passes by itself is believed until it should have been tried again.
        Some(fault) if since(next_at, now) <= late_after => return fault.meaning().state,
        _ => {}
    }
    let Some(last_success_at) = last_success_at else { return SourceWord::NeverRead };
    let stale = since(last_success_at, now) > late_after || since(now, last_success_at) > AHEAD_MAX;
    if fails || fault.is_some() || stale {
        return SourceWord::Late;
    }
    if missing {
        return SourceWord::Partial;
    }
    match last_new_at {
        Some(at) if since(at, now) < QUIET_AFTER => SourceWord::Reading,
        _ => SourceWord::Quiet,
    }
}

/// How good a state is. Only what is surely read is good, and while nothing runs, nothing is; silence is not good, but no
/// trouble either.
pub fn tone(word: SourceWord, running: bool) -> Tone {
    match word {
        SourceWord::Reading if running => Tone::Good,
        SourceWord::Reading | SourceWord::Quiet => Tone::Plain,
        SourceWord::Late
        | SourceWord::Throttled
        | SourceWord::Partial
        | SourceWord::ApiDown
        | SourceWord::Paused
        | SourceWord::NeverRead => Tone::Fair,
        SourceWord::ConsentLost | SourceWord::NoLicence | SourceWord::NoToken => Tone::Bad,
    }
}

/// The time that has passed since `at`; none where `at` lies ahead.
pub fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// A word's rule as `docs/states.md` tells it.
pub fn rule(word: SourceWord) -> &'static str {
    match word {
        SourceWord::Paused => {
            "its tenant is paused or offboarded, or was read before and is being onboarded anew"
        }
        SourceWord::ConsentLost | SourceWord::NoLicence | SourceWord::NoToken => {
            "the last attempt met one of the troubles below that have this word, and no round was complete since"
        }
        SourceWord::Throttled | SourceWord::ApiDown => {
            "the same; but only until it should have been tried again for longer than *late* allows: then it is `late`"
        }
        SourceWord::NeverRead => "no round was ever complete",
        SourceWord::Late => {
            "the last complete round is older than three times `poll_interval_quiet` (and than a minute), or has a time that lies ahead; or the last attempt failed by a fault of Muster's own"
        }
        SourceWord::Partial => {
            "the last round was complete, but for a span that could not be read or a product that Microsoft leaves out"
        }
        SourceWord::Reading => {
            "the last complete round is fresh, nothing is missing, and something new came within the last 24 hours"
        }
        SourceWord::Quiet => "the same, but nothing new came within the last 24 hours",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(360);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn well() -> SourceFacts {
        SourceFacts {
            tenant: TenantState::Active,
            fault: None,
            fails: false,
            next_at: at(50),
            last_success_at: Some(at(-10)),
            last_new_at: Some(at(-3_600)),
            missing: false,
        }
    }

    fn word(change: impl FnOnce(&mut SourceFacts)) -> SourceWord {
        let mut facts = well();
        change(&mut facts);
        source_word(&facts, LATE, at(0))
    }

    #[test]
    fn each_word_has_its_rule() {
        use SourceWord::{
            ApiDown, ConsentLost, Late, NeverRead, NoLicence, NoToken, Partial, Paused, Quiet, Reading,
            Throttled,
        };
        assert_eq!(word(|_| {}), Reading);
        assert_eq!(word(|facts| facts.last_new_at = Some(at(-86_401))), Quiet);
        assert_eq!(word(|facts| facts.last_new_at = None), Quiet);
        assert_eq!(word(|facts| facts.missing = true), Partial);
        assert_eq!(word(|facts| facts.last_success_at = Some(at(-360))), Reading);
        assert_eq!(word(|facts| facts.last_success_at = Some(at(-361))), Late);
        assert_eq!(word(|facts| facts.last_success_at = Some(at(61))), Late, "a clock that stepped back");
        assert_eq!(word(|facts| facts.fails = true), Late);
        assert_eq!(word(|facts| facts.last_success_at = None), NeverRead);
        assert_eq!(word(|facts| facts.tenant = TenantState::Paused), Paused);
        assert_eq!(word(|facts| facts.tenant = TenantState::Invited), Paused);
        for (fault, expected) in [
            (Fault::LostConsent, ConsentLost),
            (Fault::NoLicence, NoLicence),
            (Fault::SecretExpired, NoToken),
            (Fault::Throttled, Throttled),
            (Fault::Unreachable, ApiDown),
        ] {
            assert_eq!(word(|facts| facts.fault = Some(fault)), expected);
        }
    }

    #[test]
    fn what_passes_by_itself_is_not_believed_for_ever() {
        let asked_next = |fault, next_at| {
            word(|facts| {
                (facts.fault, facts.next_at) = (Some(fault), at(next_at));
            })
        };
        assert_eq!(asked_next(Fault::Throttled, 3_600), SourceWord::Throttled);
        assert_eq!(asked_next(Fault::Throttled, -360), SourceWord::Throttled);
        assert_eq!(asked_next(Fault::Throttled, -361), SourceWord::Late);
        assert_eq!(asked_next(Fault::LostConsent, -86_400), SourceWord::ConsentLost);
    }
}
