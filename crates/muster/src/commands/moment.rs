//! A time on the command line: how long ago, a date, or a time.

use std::str::FromStr;

use jiff::Timestamp;
use muster_model::Span;
use muster_model::time::moment;

/// `7d`, `2026-11-01` (its midnight, UTC) or `2026-11-01T08:30:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Ago(Span),
    At(Timestamp),
}

impl Moment {
    pub(crate) fn seen_at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(span) => now.checked_sub(span.0).unwrap_or(Timestamp::UNIX_EPOCH),
            Self::At(at) => at,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        moment(text.trim()).map(Self::At).or_else(|| text.parse().ok().map(Self::Ago)).ok_or_else(|| {
            format!("`{text}` is neither how long ago (7d, 90m), a date (2026-11-01) nor a time (2026-11-01T08:30:00Z)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_notation() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().expect("a time");
        let read = |text: &str| text.parse::<Moment>().map(|moment| moment.seen_at(now).to_string());
        assert_eq!(read("7d").as_deref(), Ok("2026-11-21T12:00:00Z"));
        assert_eq!(read("90m").as_deref(), Ok("2026-11-28T10:30:00Z"));
        assert_eq!(read("2026-11-01").as_deref(), Ok("2026-11-01T00:00:00Z"));
        assert_eq!(read("2026-11-01T08:30:00Z").as_deref(), Ok("2026-11-01T08:30:00Z"));
        assert_eq!(read("2026-11-01T08:30:00+02:00").as_deref(), Ok("2026-11-01T06:30:00Z"));
        for wrong in ["", "yesterday", "2026-13-01", "-7d", "7", "2026-11"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
